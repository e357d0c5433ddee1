"""Files through which the worker process and the service hand each other models and answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["AFTER", "ANSWER", "ARRAYS", "BEFORE", "MADE", "MODEL", "write_answer", "write_arrays"]

ANSWER = "answer.json"
"""Name of the file that an answer of any length is in."""
ARRAYS = "answer.npz"
"""Name of the file that its columns of numbers are in."""
MODEL, BEFORE, AFTER = "model", "before", "after"
"""Names of the folders of models that are asked."""
MADE = "made"
"""Name of the folder of a model that was made of another."""


def write_answer(spec: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Write what is to be answered to a file: it may be longer than a line of standard output."""
    import orjson

    from gpu_kmeans.service.problems import answer_too_large

    content = orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)
    if len(content) > spec["max_answer_bytes"]:
        raise answer_too_large(len(content), spec["max_answer_bytes"])
    (Path(spec["folder"]) / ANSWER).write_bytes(content)
    return {}


def write_arrays(spec: dict[str, Any], columns: dict[str, Any]) -> None:
    """Write columns of numbers beside an answer."""
    import numpy as np

    np.savez(Path(spec["folder"]) / ARRAYS, **columns)
