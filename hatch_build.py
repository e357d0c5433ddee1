"""Compiles cpu_fallback/kernels while the package is built, where there is a C compiler.

Without one, or where it fails, the package is the same without the library: SciPy, NumPy and Arrow
do the work.

The environment may name another compiler (``CC``; empty for none) and what links a shared library
(``LDSHARED``), and for a build that is for another platform that platform
(``_PYTHON_HOST_PLATFORM``, which Python's own sysconfig reads); ``.ci/wheels`` sets all three. No
instructions are named that only some machines have: the library picks them as it is used.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
import tempfile
import zlib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNELS = Path("cpu_fallback") / "kernels"
LIBRARY = KERNELS / "librows.so"
FLAGS = ("-O2", "-std=gnu11", "-fPIC", "-pthread", "-Wno-psabi")


class CompileKernels(BuildHookInterface):
    """Puts the library beside its sources, and so into the wheel and an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or not self._compiled():
            return
        build_data["artifacts"].append(str(LIBRARY))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{self._platform()}"

    def _compiled(self) -> bool:
        compiler = shlex.split(os.environ.get("CC", "cc"))
        if not compiler:
            return False
        root = Path(self.root)
        sources = [*(root / KERNELS).glob("*.[ch]"), root / "hatch_build.py"]
        made = root / LIBRARY
        if made.is_file() and made.stat().st_mtime > max(s.stat().st_mtime for s in sources):
            return True
        partial = root / f"{LIBRARY}.{os.getpid()}"
        try:
            self._compile(root, compiler, partial)
        except (OSError, subprocess.CalledProcessError) as problem:
            said = getattr(problem, "stderr", None) or problem
            self.app.display_warning(f"the C kernels are left out, and work is slower: {said}")
            partial.unlink(missing_ok=True)
            (root / LIBRARY).unlink(missing_ok=True)  # of older sources
            return False
        partial.replace(root / LIBRARY)
        return True

    def _compile(self, root: Path, compiler: list[str], library: Path) -> None:
        linker = shlex.split(os.environ.get("LDSHARED", "")) or [*compiler, "-shared"]
        sources = [str(source.resolve()) for source in sorted((root / KERNELS).glob("*.c"))]
        with tempfile.TemporaryDirectory() as folder:
            command = [*compiler, *FLAGS, f"-DSOURCES={self._checksum(root)}u", "-c", *sources]
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
            objects = [str(Path(folder, Path(source).stem + ".o")) for source in sources]
            command = [*linker, *objects, "-o", str(library.resolve()), "-pthread", "-lm"]
            subprocess.run(command, check=True, capture_output=True, text=True)

    def _checksum(self, root: Path) -> int:
        """Return the sources' checksum; cpu_fallback/compiled/library.py takes no other library."""
        checksum = 0
        for source in sorted((root / KERNELS).glob("*.[ch]")):
            checksum = zlib.crc32(source.read_bytes(), checksum)
        return checksum

    def _platform(self) -> str:
        return sysconfig.get_platform().replace("-", "_").replace(".", "_")
