"""Using a model: predict, assign new rows, look at an item and at those like it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path as FolderPath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from gpu_kmeans.errors import UnknownItem
from gpu_kmeans.model.storage import FILES
from gpu_kmeans.recommend import MAX_LIMIT
from gpu_kmeans.service import schemas
from gpu_kmeans.service.conditional import UNCHANGED, ConditionalRoute
from gpu_kmeans.service.dependencies import (
    Chosen,
    ServiceOf,
    answer,
    answer_aside,
    errors,
    may_read,
)
from gpu_kmeans.service.formats import MEDIA_TYPES
from gpu_kmeans.service.models import missing
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.registry import Row
from gpu_kmeans.service.request_body import media_type, read_json, reading_from
from gpu_kmeans.service.routes.datasets import UPLOAD, Delimiter, answer_of_worker

__all__ = ["router"]

router = APIRouter(
    prefix="/v1/models/{name}",
    tags=["use"],
    dependencies=[Depends(may_read)],
    route_class=ConditionalRoute,
)

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": schemas.Texts.model_json_schema(),
                "example": {"texts": ["A ghost haunts a lighthouse."]},
            }
        },
    }
}
USUAL_LIMIT = 50
USUAL_PART, MAX_PART = 100_000, 1_000_000
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
# An id may hold a slash.
ItemPath = Annotated[str, Path(max_length=500)]


@router.post(
    "/predict",
    operation_id="predict",
    response_model=schemas.Predictions,
    responses=errors(404, 409, 413, 415),
    openapi_extra=BODY,
)
async def predict(service: ServiceOf, loaded: Chosen, request: Request) -> Response:
    """Clusters of texts, and the distances to their centroids."""
    asked = await read_json(request, schemas.Texts, service.settings)
    if len(asked.texts) > service.settings.max_batch:
        raise Problem(
            422,
            "batch_too_large",
            f"{len(asked.texts)} texts are more than the {service.settings.max_batch} allowed "
            "at a time",
        )
    labels, distances = await asyncio.to_thread(loaded.recommender.predict, asked.texts)
    predictions = [
        {"cluster": label, "distance": distance}  # NaN is null in JSON
        for label, distance in zip(labels.tolist(), distances.tolist(), strict=True)
    ]
    return answer({**loaded.head(), "predictions": predictions})


@router.post(
    "/assign",
    operation_id="assign",
    response_model=schemas.Assignments,
    responses=errors(404, 409, 413, 415, 507),
    openapi_extra=UPLOAD,
)
async def assign(
    service: ServiceOf, loaded: Chosen, request: Request, delimiter: Delimiter = None
) -> Response:
    """Clusters of the rows of a table or a matrix, encoded as the model's own were.

    It is sent as items are, and needs the columns that were clustered. Nothing of it is stored.
    """
    kind = media_type(request, tuple(MEDIA_TYPES))
    spec: Row = {"task": "assign", **reading_from(request, delimiter), "head": loaded.head()}
    row = service.models.row(loaded.name, loaded.version)

    def link_model(scratch: FolderPath) -> None:
        (scratch / "model").mkdir()
        try:
            for name in FILES:
                os.link(service.store.models / row["folder"] / name, scratch / "model" / name)
        except FileNotFoundError:  # it answers from memory still
            raise missing(loaded.name, loaded.version) from None

    return await answer_of_worker(service, request, kind, spec, link_model)


@router.get(
    "/items/{item:path}/similar",
    operation_id="similar_items",
    response_model=schemas.Similar,
    responses=UNCHANGED | errors(404, 409),
)
async def similar(loaded: Chosen, item: ItemPath, limit: Limit = 10) -> Response:
    """Items that are most like an item, in all clusters: by their texts, or by their rows."""

    def make() -> Any:
        recommender = loaded.recommender
        wanted = loaded.item_id(item)
        row = recommender.row_of(wanted)
        answered = recommender.similar(wanted, limit)
        return {
            **loaded.head(),
            "item": loaded.item(row),
            "items": loaded.ranked(answered, loaded.shared_terms(row)),
        }

    most = loaded.settings.max_answer_bytes
    usual = loaded.is_small and limit <= USUAL_LIMIT
    return answer(make(), most=most) if usual else await answer_aside(make, most)


@router.get(
    "/items/{item:path}/text",
    operation_id="get_item_text",
    response_model=schemas.ItemText,
    responses=UNCHANGED | errors(404, 409),
)
async def text(
    loaded: Chosen,
    item: ItemPath,
    start: Annotated[int, Query(ge=0, le=2**31, description="characters to leave out")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PART, description="characters")] = USUAL_PART,
) -> Response:
    """The whole text of an item, part by part: other answers cut long texts."""
    row = loaded.recommender.row_of(loaded.item_id(item))
    return await answer_aside(lambda: loaded.text(row, start, limit))


@router.get(
    "/items/{item:path}",
    operation_id="get_item",
    response_model=schemas.Item,
    responses=UNCHANGED | errors(404, 409),
)
async def show(loaded: Chosen, item: ItemPath) -> Response:
    """One item."""
    if not item:
        raise UnknownItem("give the id of an item")
    row = loaded.recommender.row_of(loaded.item_id(item))
    return answer(loaded.item(row), most=loaded.settings.max_answer_bytes)
