"""The kernels' instructions: whichever are used, the answers are the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cpu_fallback.compiled import instructions, library
from gpu_kmeans.errors import InvalidParam

needs_library = pytest.mark.skipif(
    library.kernels() is None, reason="the kernels were not compiled: there was no C compiler"
)
VARIABLE = "GPU_KMEANS_INSTRUCTIONS"
NAMES = [*instructions.VECTOR_BYTES, instructions.NONE]

FIT = """
import hashlib, json, sys
import numpy as np
from gpu_kmeans import KMeans, TfidfVectorizer
from gpu_kmeans.backends.doctor import diagnose

rng = np.random.default_rng(3)
numbers = (rng.zipf(1.3, (1500, 30)) % 3000) + 40 * rng.integers(0, 12, (1500, 1))
texts = [" ".join(f"w{number}" for number in text) for text in numbers]
rows = TfidfVectorizer(backend="cpu").fit_transform(texts)
blobs = 9 * rng.normal(size=(12, 8))[rng.integers(0, 12, 1500)] + rng.normal(size=(1500, 8))
fits = {}
for name, data in {"sparse": rows, "dense": blobs}.items():
    fit = KMeans(12, random_state=0, backend="cpu").fit(data)
    fits[name] = {"labels": fit.labels_.tolist(), "inertia": fit.inertia_}
bits = [array.tobytes() for array in (rows.data, rows.indices, rows.indptr)]
print(json.dumps({
    "instructions": diagnose().instructions,
    "rows": hashlib.sha256(b"".join(bits)).hexdigest(),
    "fits": fits,
}))
"""


@cache
def fitted_with(name: str) -> Any:
    """Fit the same data in a process that uses these instructions."""
    widest = library.kernels().widest_vectors()
    if instructions.VECTOR_BYTES.get(name, 0) > widest:
        pytest.skip(f"this machine does not have {name}")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FIT],
        cwd=Path(__file__).resolve().parents[1],
        env={**os.environ, VARIABLE: name},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_library
@pytest.mark.parametrize("name", NAMES)
def test_the_instructions_that_are_asked_for_are_used_and_shown(name: str) -> None:
    assert fitted_with(name)["instructions"] == name


@needs_library
@pytest.mark.parametrize("name", NAMES[1:])
def test_words_are_counted_and_weighed_to_the_same_bits(name: str) -> None:
    assert fitted_with(name)["rows"] == fitted_with("baseline")["rows"]


@needs_library
@pytest.mark.parametrize("rows", ["sparse", "dense"])
@pytest.mark.parametrize("name", NAMES[1:])
def test_fits_end_alike(name: str, rows: str) -> None:
    one, other = (fitted_with(each)["fits"][rows] for each in ("baseline", name))
    # Rounded once or twice, rows may go to another centroid at the same distance, and a fit on.
    assert other["inertia"] == pytest.approx(one["inertia"], rel=2e-3)


@needs_library
@pytest.mark.parametrize("rows", ["sparse", "dense"])
def test_wide_vectors_and_wider_ones_give_the_same_labels(rows: str) -> None:
    one, other = (fitted_with(name)["fits"][rows] for name in ("avx2", "avx512"))
    np.testing.assert_array_equal(one["labels"], other["labels"])
    assert one["inertia"] == other["inertia"]


def test_unknown_instructions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "avx10")
    with pytest.raises(InvalidParam, match="baseline, avx2, avx512, none, got 'avx10'"):
        instructions.requested()


def test_instructions_that_the_machine_lacks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "avx512")
    with pytest.raises(InvalidParam, match="what can be used here is baseline, avx2;"):
        instructions.vector_bytes(32)
    assert instructions.vector_bytes(64) == 64


def test_nothing_asked_for_is_the_widest(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, "", "auto"):
        monkeypatch.setenv(VARIABLE, value) if value is not None else monkeypatch.delenv(
            VARIABLE, raising=False
        )
        assert instructions.vector_bytes(32) == 32
