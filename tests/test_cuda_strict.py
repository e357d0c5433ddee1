"""The GPU's verbs on rows, with a stand-in that refuses what CuPy refuses, and what they cost.

The contract is that of :mod:`test_verbs`, and of :mod:`test_kmeans` what small rows show. Counts
are of launches, waits and uploads, see :mod:`strict_cupy`: the work itself is a device's to measure.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
import strict_cupy
import test_verbs
from cuda_on_cpu import cupy_on_numpy
from test_kmeans import (  # noqa: F401 - collected here, on the backend of this module
    test_empty_clusters_are_relocated_as_in_scikit_learn,
    test_four_points_by_hand,
    test_lloyd_equals_scikit_learn_from_the_same_start,
    test_transform_and_score,
    test_weights_equal_repeats,
    test_weights_of_very_different_size_and_zero,
)

from cpu_fallback import CpuBackend
from gpu_kmeans.backends.protocol import Backend

OF_CUML = "test_dense_kmeans_uses_all_rows_and_the_given_start"
globals().update(
    {
        name: test
        for name, test in vars(test_verbs).items()
        if name.startswith("test_") and name != OF_CUML
    }
)


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with cupy_on_numpy(strict_cupy.stand_ins(), strict_cupy.load):
        package = importlib.import_module("gpu_kmeans.cuda")

        class Strict(package.GpuBackend):
            def dense_kmeans(self, rows: Any, *arguments: Any) -> Any:
                assert isinstance(rows, strict_cupy.DeviceArray)
                return CpuBackend().dense_kmeans(strict_cupy.on_host(rows), *arguments)

        yield Strict()
