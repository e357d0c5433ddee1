"""What a fit leaves: the model, its checks, its directory on the disk, and a map of it."""

from gpu_kmeans.model.model import (
    NO_KNOWN_TERM,
    NO_TEXT,
    SCHEMA_VERSION,
    SET_APART,
    UNCLUSTERED,
    Model,
    ModelInfo,
)
from gpu_kmeans.model.rows import Postings, Reduction

__all__ = [
    "NO_KNOWN_TERM",
    "NO_TEXT",
    "SCHEMA_VERSION",
    "SET_APART",
    "UNCLUSTERED",
    "Model",
    "ModelInfo",
    "Postings",
    "Reduction",
]
