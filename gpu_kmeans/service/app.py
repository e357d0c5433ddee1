"""The application: routes, problems, and the service behind them from start to stop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.routing import Match

from gpu_kmeans import __version__
from gpu_kmeans.service import schemas
from gpu_kmeans.service.dependencies import Service, answer
from gpu_kmeans.service.middleware import Gate
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.question_schemas import Edits
from gpu_kmeans.service.request_body import validation_problem
from gpu_kmeans.service.request_checks import check_query
from gpu_kmeans.service.routes import (
    changes,
    datasets,
    export,
    health,
    jobs,
    models,
    page,
    questions,
    search,
    tables,
    upkeep,
)
from gpu_kmeans.service.routes import inference as use

__all__ = ["create_app"]

METHODS = ("GET", "PUT", "POST", "DELETE")
DOCUMENT = "/v1/openapi.json"
ABOUT = (
    "Upload a table or a matrix, cluster its rows in the background, look at the clusters, ask for "
    "recommendations. Errors are `application/problem+json` with a stable `code`. `HEAD` is "
    "answered as `GET` is, without the body. Parameters that a route does not know are refused. "
    "Sizes count what is there once it is unpacked; what passes a limit is refused (413 or 422), "
    "and a fit that does fails. Each is a setting of the service (`gpu-kmeans config`) that can be "
    "raised; `limits` of `/v1/info` are its own, and these the defaults:"
)

STATED = (
    *(Edits, schemas.Problem, schemas.JobRequest, schemas.ChoiceRequest),
    *(schemas.SearchQuery, schemas.SearchQueries),
)
"""Schemas that no route's signature names."""
KEY_NEEDED = "needed unless the service listens on loopback alone"


def create_app(service: Service) -> Any:
    """The ASGI application of a service; its lifespan starts and stops the jobs."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            await service.jobs.start()
            await service.models.load_active()
        except Exception as error:
            service.failure = error  # the server ends, and says no more than that it does
            raise
        yield
        await service.jobs.stop()

    app = FastAPI(
        title="gpu-kmeans",
        version=__version__,
        description=f"{ABOUT}\n\n{schemas.stated_limits()}",
        lifespan=lifespan,
        openapi_url=None,  # it is a route as all others, below
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,  # what generated clients call them
    )
    app.state.service = service
    for router in (
        search,
        use,
        models,
        questions,
        changes,
        export,
        health,
        datasets,
        tables,
        jobs,
        upkeep,
        page,
    ):  # what is asked most comes first
        app.include_router(router.router)
    app.add_api_route(
        DOCUMENT, _document, include_in_schema=False, dependencies=[Depends(check_query)]
    )
    app.add_exception_handler(Exception, _raise)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    root = service.settings.root_path
    app.openapi = lambda: _openapi(app, root)  # type: ignore[method-assign]
    return Gate(app, service.settings, service.metrics)


async def _document(request: Request) -> Response:
    return answer(request.app.openapi())


async def _raise(_: Request, error: Exception) -> Any:
    """Leave it to the gate, which answers all problems."""
    raise error


async def _invalid(_: Request, error: Exception) -> Any:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    query = any("q" in fault["loc"] or "limit" in fault["loc"] for fault in faults)
    named = any("name" in fault["loc"] for fault in faults)
    code = "invalid_name" if named else "invalid_query" if query else "invalid_param"
    raise validation_problem(faults, code)


async def _http(request: Request, error: Exception) -> Any:
    assert isinstance(error, HTTPException)
    known = {
        404: ("not_found", f"there is nothing here; {DOCUMENT} lists what there is"),
        405: ("method_not_allowed", "this method is not for this place; see Allow"),
    }
    code, detail = known.get(error.status_code, ("failed", str(error.detail)))
    # Starlette names the methods of one route; a place may have several.
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    raise Problem(error.status_code, code, detail, headers)


def _allowed(request: Request) -> str:
    def has(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return ", ".join(method for method in METHODS if has(method))


def _openapi(app: FastAPI, root_path: str) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        known = document["components"]["schemas"]
        for model in STATED:
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            known |= schema.pop("$defs", {})
            known[model.__name__] = schema
        # FastAPI's own form of these, which is not what is sent.
        for unused in ("HTTPValidationError", "ValidationError"):
            known.pop(unused, None)
        # Stated here: as a dependency of each route it would be looked at with each request.
        bearer = {"type": "http", "scheme": "bearer", "description": KEY_NEEDED}
        document["components"]["securitySchemes"] = {"key": bearer}
        document["security"] = [{"key": []}, {}]
        if root_path:
            document["servers"] = [{"url": root_path}]
        app.openapi_schema = document
    return app.openapi_schema
