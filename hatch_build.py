"""Compiles cpu_fallback/kernels while the package is built, where there is a C compiler.

Without one, or where it fails, the package is the same without the library: SciPy, NumPy and Arrow
do the work.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
import zlib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNELS = Path("cpu_fallback") / "kernels"
LIBRARY = KERNELS / "librows.so"


class CompileKernels(BuildHookInterface):
    """Puts the library beside its sources, and so into the wheel and an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or not self._compiled():
            return
        build_data["artifacts"].append(str(LIBRARY))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{self._platform()}"

    def _compiled(self) -> bool:
        root = Path(self.root)
        sources = [*(root / KERNELS).glob("*.[ch]"), root / "hatch_build.py"]
        made = root / LIBRARY
        if made.is_file() and made.stat().st_mtime > max(s.stat().st_mtime for s in sources):
            return True
        partial = root / f"{LIBRARY}.{os.getpid()}"
        command = [os.environ.get("CC", "cc"), "-O2", "-std=gnu11", "-shared", "-fPIC", "-pthread"]
        command += ["-Wno-psabi", f"-DSOURCES={self._checksum(root)}u"]
        command += [*map(str, sorted((root / KERNELS).glob("*.c"))), "-o", str(partial), "-lm"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as problem:
            said = getattr(problem, "stderr", None) or problem
            self.app.display_warning(f"the C kernels are left out, and work is slower: {said}")
            partial.unlink(missing_ok=True)
            (root / LIBRARY).unlink(missing_ok=True)  # of older sources
            return False
        partial.replace(root / LIBRARY)
        return True

    def _checksum(self, root: Path) -> int:
        """Return the sources' checksum; cpu_fallback/compiled/library.py takes no other library."""
        checksum = 0
        for source in sorted((root / KERNELS).glob("*.[ch]")):
            checksum = zlib.crc32(source.read_bytes(), checksum)
        return checksum

    def _platform(self) -> str:
        return sysconfig.get_platform().replace("-", "_").replace(".", "_")
