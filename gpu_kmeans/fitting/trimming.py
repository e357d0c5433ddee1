"""Trimmed fits: rows that fit worst have no say in the means."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.model import Model
from gpu_kmeans.model.outliers import outliers

__all__ = ["trimmed_fit"]

MOST_TRIMS = 5
"""Maximum number of fits after the first, of a trimmed one."""


def trimmed_fit(
    cluster: Callable[[NDArray[np.bool_] | None], Model], trim: float, backend: Backend
) -> Model:
    """Fit again and again without the rows that fit worst, until they are the same ones.

    Cuesta-Albertos, Gordaliza and Matran, Trimmed k-means: an attempt to robustify quantizers,
    1997.
    """
    model = cluster(None)
    trimmed = np.zeros(len(model.labels), dtype=np.bool_)
    for _ in range(MOST_TRIMS):
        worst = outliers(model, backend=backend).first(math.ceil(trim * model.items.num_rows))
        again = np.zeros(len(trimmed), dtype=np.bool_)
        again[worst] = True
        if np.array_equal(again, trimmed):
            break
        trimmed, model = again, cluster(~again)
    note = f"{int(trimmed.sum())} rows that fit worst have no say in the means (trim={trim:g})"
    info = replace(model.info, warnings=[*model.info.warnings, note])
    return replace(model, info=info)
