"""Who takes part: each library in a small module of its own, imported only where it runs."""

from __future__ import annotations

from bench.contestants.base import CannotRun, Contestant, Fit
from bench.contestants.cuml import Cuml
from bench.contestants.faiss import FaissDefault, FaissDense, FaissSparse
from bench.contestants.flash import FlashKMeans
from bench.contestants.intelex import Intelex
from bench.contestants.ours import OursOnCpu, OursOnGpu
from bench.contestants.sklearn import Elkan, Lloyd, MiniBatch
from bench.contestants.sparsekmeans import SparseElkan, SparseLloyd
from bench.contestants.superkmeans import SuperKMeans

__all__ = ["CONTESTANTS", "OURS", "REFERENCE", "CannotRun", "Contestant", "Fit"]

CONTESTANTS: dict[str, Contestant] = {
    contestant.name: contestant
    for contestant in (
        OursOnCpu(),
        OursOnGpu(),
        Lloyd(),
        Elkan(),
        MiniBatch(),
        Intelex(),
        FaissSparse(),
        FaissDense(),
        FaissDefault(),
        SparseLloyd(),
        SparseElkan(),
        SuperKMeans(),
        Cuml(),
        FlashKMeans(),
    )
}
"""By name; scikit-learn and this package stand first, as others are compared with them."""

OURS = OursOnCpu.name
REFERENCE = Lloyd.name
"""Whose best of ten starts is a target of its own."""
