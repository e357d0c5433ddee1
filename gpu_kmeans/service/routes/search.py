"""Looking for items: by words, by conditions, by likeness; all of them, page by page."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response

from gpu_kmeans.recommend import MAX_LIMIT, MAX_QUERY
from gpu_kmeans.service import schemas
from gpu_kmeans.service.conditional import UNCHANGED, ConditionalRoute
from gpu_kmeans.service.dependencies import (
    Chosen,
    NamePath,
    ServiceOf,
    answer,
    answer_aside,
    answers_by,
    errors,
    may_read,
)
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.registry import Row
from gpu_kmeans.service.request_body import read_json
from gpu_kmeans.service.searching import answer_to, answers_to, rows_of

__all__ = ["router"]

router = APIRouter(
    prefix="/v1/models/{name}",
    tags=["search"],
    dependencies=[Depends(may_read)],
    route_class=ConditionalRoute,
)

USUAL_LIMIT, USUAL_QUERY = 50, 500
MOST_SHOWN = 200
Text = Annotated[str, Query(max_length=MAX_QUERY)]
Labels = Annotated[
    list[Annotated[int, Query(ge=-1, le=2**31)]],
    Query(
        max_length=schemas.MOST_VALUES,
        description="label of a cluster to show items of, several times for several; -1: in none",
    ),
]
Where = Annotated[
    list[Annotated[str, Query(max_length=MAX_QUERY)]],
    Query(
        max_length=schemas.MOST_VALUES,
        description="a condition on a column: COLUMN=VALUE, COLUMN>=VALUE or COLUMN<=VALUE; items "
        "must pass all of them",
        examples=[["genres=Drama", "year>=1990"]],
    ),
]
Ids = list[Annotated[str, Query(max_length=500)]]
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/SearchQueries"},
                "example": {"queries": [{"q": "robot", "limit": 3}, {"like": [1001]}]},
            }
        },
    }
}


@router.get(
    "/recommend",
    operation_id="recommend",
    response_model=schemas.Recommendation,
    responses=UNCHANGED | errors(404, 409),
)
async def recommend(
    loaded: Chosen,
    q: Annotated[
        str | None,
        Query(
            max_length=MAX_QUERY,
            description='words, the last of which may be a beginning; "a phrase" between '
            "quotation marks must stand in an item as it is",
            examples=["haunted house by the sea"],
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 10,
    rank: Annotated[
        schemas.SearchRank | None,
        Query(
            description="best (the default) and blend weigh match and popularity; article: items "
            "of the nearest cluster alone, by popularity"
        ),
    ] = None,
    cluster: Labels = [],  # noqa: B006 - FastAPI copies it
    where: Where = [],  # noqa: B006
    like: Annotated[
        Ids, Query(max_length=schemas.MOST_VALUES, description="id of an item to be like")
    ] = [],  # noqa: B006
    dislike: Annotated[
        Ids, Query(max_length=schemas.MOST_VALUES, description="id of an item to be less like")
    ] = [],  # noqa: B006
    diversity: Annotated[
        int | None,
        Query(ge=1, le=MAX_LIMIT, description="most items of one cluster among the first ten"),
    ] = None,
    clusters: Annotated[
        int | None,
        Query(ge=1, description="so many of the nearest clusters are ranked alone (rank: blend)"),
    ] = None,
) -> Response:
    """Items that match words or conditions, or are like others, with the reasons."""
    asked = schemas.SearchQuery.model_construct(
        q=q,
        limit=limit,
        rank=rank,
        cluster=cluster,
        where=where,
        like=like,
        dislike=dislike,
        diversity=diversity,
        clusters=clusters,
    )
    most = loaded.settings.max_answer_bytes
    # A thread takes longer than a usual query; an unusual one would keep all others waiting.
    usual = loaded.is_small and limit <= USUAL_LIMIT and len(q or "") <= USUAL_QUERY
    if usual and not where and len(like) + len(dislike) <= USUAL_LIMIT:
        return answer(answer_to(loaded, asked), most=most)
    return await answer_aside(lambda: answer_to(loaded, asked), most)


@router.post(
    "/recommend",
    operation_id="recommend_batch",
    response_model=schemas.Recommendations,
    responses=errors(404, 409, 413, 415),
    openapi_extra=_BODY,
)
async def recommend_batch(service: ServiceOf, loaded: Chosen, request: Request) -> Response:
    """The same of several queries at a time, at most `max_batch`."""
    asked = await read_json(request, schemas.SearchQueries, service.settings)
    if len(asked.queries) > service.settings.max_batch:
        raise Problem(
            422,
            "batch_too_large",
            f"{len(asked.queries)} queries are more than the {service.settings.max_batch} allowed "
            "at a time",
        )
    most = loaded.settings.max_answer_bytes
    return await answer_aside(lambda: answers_to(loaded, asked.queries, most))


@router.get(
    "/items",
    operation_id="list_items",
    response_model=schemas.ItemList,
    responses=UNCHANGED | errors(404, 409),
)
async def list_items(
    service: ServiceOf,
    name: NamePath,
    loaded: Chosen,
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MOST_SHOWN)] = 50,
    cluster: Labels = [],  # noqa: B006
    where: Where = [],  # noqa: B006
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,9}-[0-9]{1,9}$", description="of the page before")
    ] = None,
) -> Response:
    """All items in the order of the file. A cursor stays with its version."""
    start = 0
    if cursor is not None:
        version, start = map(int, cursor.split("-"))
        loaded = await service.models.get(name, version)
        answers_by(request, loaded)

    def make() -> Row:
        rows = rows_of(loaded, cluster, where)
        first = int(np.searchsorted(rows, start))
        shown = rows[first : first + limit].tolist()
        more = first + limit < len(rows)
        return {
            **loaded.head(),
            "total": len(rows),
            "items": [loaded.item(row) for row in shown],
            "next_cursor": f"{loaded.version}-{shown[-1] + 1}" if more else None,
        }

    return await answer_aside(make, service.settings.max_answer_bytes)


@router.get(
    "/columns",
    operation_id="list_columns",
    response_model=schemas.FilterColumns,
    responses=UNCHANGED | errors(404, 409),
)
async def list_columns(service: ServiceOf, loaded: Chosen) -> Response:
    """Columns that items can be filtered by, with their values, and those that are searched."""
    return await answer_aside(
        lambda: {
            **loaded.head(),
            "columns": loaded.columns,
            "searched": list(loaded.searcher.fields),
        },
        service.settings.max_answer_bytes,
    )
