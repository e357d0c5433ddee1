"""What a fit leaves: the model, its checks, its directory on the disk, and a map of it."""

from gpu_kmeans.model.model import (
    NO_KNOWN_TERM,
    NO_TEXT,
    SCHEMA_VERSION,
    SET_APART,
    UNCLUSTERED,
    Model,
    ModelInfo,
    Postings,
)

__all__ = [
    "NO_KNOWN_TERM",
    "NO_TEXT",
    "SCHEMA_VERSION",
    "SET_APART",
    "UNCLUSTERED",
    "Model",
    "ModelInfo",
    "Postings",
]
