"""Requests for jobs: which kind each is, held to its dataset, and as the registry keeps it."""

from __future__ import annotations

from typing import Any

from gpu_kmeans.clustering.base import ALGORITHMS
from gpu_kmeans.service import schemas
from gpu_kmeans.service.fit_checks import check_parameters
from gpu_kmeans.service.jobs import CHOICE, check_revision
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.registry import Row
from gpu_kmeans.service.settings import Settings

__all__ = ["about_choice", "about_fit", "request_kind"]


def request_kind(document: Any) -> type[schemas.JobRequest] | type[schemas.ChoiceRequest]:
    """Return the schema that a request's JSON is to be held to."""
    is_choice = isinstance(document, dict) and document.get("kind") == CHOICE
    return schemas.ChoiceRequest if is_choice else schemas.JobRequest


def about_fit(asked: schemas.JobRequest, dataset: Row, settings: Settings) -> Row:
    """Check a request for a fit, and return what the job is about.

    Raises
    ------
    Problem
        422 for parameters that cannot be; 409 for another revision of the dataset.
    """
    check_parameters(asked.parameters, dataset["about"], settings)
    about: Row = {
        "dataset": asked.dataset,
        "model": asked.model or asked.dataset,
        "parameters": _parameters(asked.parameters, settings),
        "activate": asked.activate,
    }
    return about | _revision(asked.revision, dataset)


def about_choice(asked: schemas.ChoiceRequest, dataset: Row, settings: Settings) -> Row:
    """Do the same for a request to look for numbers of clusters."""
    parameters = asked.parameters
    algorithm = parameters.algorithm
    if algorithm != "auto" and ALGORITHMS[algorithm].finds_k:
        raise Problem(
            422,
            "invalid_param",
            f"algorithm={algorithm} finds the number of clusters itself: name another, or none",
        )
    smallest = parameters.model_dump(exclude={"low", "high"}) | {"n_clusters": parameters.low}
    check_parameters(schemas.Parameters.model_validate(smallest), dataset["about"], settings)
    about: Row = {
        "kind": CHOICE,
        "dataset": asked.dataset,
        "model": None,
        "parameters": _parameters(parameters, settings),
        "activate": False,
    }
    return about | _revision(asked.revision, dataset)


def _parameters(asked: schemas.Encoding, settings: Settings) -> Row:
    parameters = asked.model_dump(by_alias=True)
    return parameters | {"backend": parameters["backend"] or settings.backend}


def _revision(wanted: str | None, dataset: Row) -> Row:
    if wanted is None:
        return {}
    check_revision(dataset, wanted)
    return {"revision": wanted}
