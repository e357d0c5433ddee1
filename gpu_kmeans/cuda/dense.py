"""Dense rows by cuML: k-means from centroids that were drawn on the host, and HDBSCAN.

cuML does not promise to add float32 numbers in a fixed order, so its labels may differ from run
to run where a row is equally near to two centroids, and with them all that follows: a fit of
dense rows, and one that starts from a sketch. All other verbs of this backend repeat themselves
to the last bit.

Not yet run on a GPU.
"""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np
from cuml.cluster import KMeans
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import DenseFit, Matrix, is_sparse
from gpu_kmeans.errors import InvalidParam, UnsupportedOnBackend

__all__ = ["dense_kmeans", "dense_regions"]

LARGEST = 2**31 - 1
"""Maximum number of rows times clusters: beyond it the library's indices overflow (raft #1258)."""
MOST_SAMPLES = 1023
"""Maximum number of nearest rows that the library's HDBSCAN looks at."""
NEVER = float(np.finfo(np.float32).tiny)
"""A tolerance that stops only where the cost no longer falls or no centroid moves: cuML asks for
one above 0, and measures it against the cost and the absolute shift, not as scikit-learn does."""


def dense_kmeans(
    rows: Matrix,
    init: NDArray[Any],
    max_iter: int,
    weight: NDArray[np.float64] | None = None,
    tol: float = 0.0,
) -> DenseFit:
    (n, n_features), k = rows.shape, len(init)
    # Checked here, as what goes wrong inside the library can take the whole process with it.
    if init.shape != (k, n_features) or n < k:
        raise InvalidParam(
            f"centroids of shape {init.shape} cannot start k-means on rows of shape {rows.shape}"
        )
    if n * k > LARGEST:
        raise UnsupportedOnBackend(
            f"cuML's k-means cannot hold {n} rows times {k} clusters (more than {LARGEST}); use "
            "fewer clusters, or backend='cpu'"
        )
    kmeans = KMeans(
        n_clusters=k,
        init=cp.asarray(init, dtype=np.float32),
        n_init=1,  # "auto" means ten times the same run where the start is given
        max_iter=max_iter,
        tol=max(tol, NEVER),
        output_type="cupy",
    )
    points = cp.ascontiguousarray(rows, dtype=np.float32)
    kmeans.fit(points, sample_weight=None if weight is None else cp.asarray(weight, np.float32))
    return DenseFit(cp.asnumpy(kmeans.labels_).astype(np.int32), int(kmeans.n_iter_))


def dense_regions(
    rows: Matrix, least: int, samples: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]] | None:
    if is_sparse(rows):
        return None  # cuML's takes dense rows alone
    try:
        from cuml.cluster import HDBSCAN
    except ImportError as error:
        raise UnsupportedOnBackend(
            f"this cuML has no HDBSCAN ({error}): use backend='cpu', or another algorithm"
        ) from error
    if samples > MOST_SAMPLES:
        raise UnsupportedOnBackend(
            f"cuML's HDBSCAN takes at most {MOST_SAMPLES} samples, not {samples}: use backend='cpu'"
        )
    model = HDBSCAN(min_cluster_size=least, min_samples=samples, output_type="numpy")
    model.fit(cp.ascontiguousarray(rows, dtype=np.float32))
    return np.asarray(model.labels_, np.int32), np.asarray(model.probabilities_, np.float64)
