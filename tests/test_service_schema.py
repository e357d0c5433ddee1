"""The OpenAPI document is true: what it allows is taken, what it excludes is refused as it says."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from serving import BYTES, CSV, GZIP, NDJSON, PARQUET, TAR, TSV, XLSX, Server

from gpu_kmeans.service.app import create_app
from gpu_kmeans.service.settings import Settings

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")

KNOWN = {"name": ["films", "none"], "item": ["1001", "1002", "7"]}
EXCLUDED = [
    # Not every string is a table or an archive, and the document cannot say which are.
    checks.positive_data_acceptance,
]


def document() -> dict[str, Any]:
    """The document, made here: tests are collected before there is a service to ask."""
    service: Any = SimpleNamespace(settings=Settings(), metrics=None)
    found: dict[str, Any] = create_app(service).app.openapi()
    return found


def narrowed(found: dict[str, Any]) -> dict[str, Any]:
    """The same with fewer values: of all names, next to none is that of a model."""
    for path in found["paths"].values():
        for method, operation in path.items():
            for parameter in operation.get("parameters", ()):
                # What is there is not to be replaced or deleted meanwhile.
                kept = parameter["in"] == "path" and method not in ("put", "delete")
                if kept and parameter["name"] in KNOWN:
                    parameter["schema"]["enum"] = KNOWN[parameter["name"]]
    for name in ("Job", "Report"):
        # Schemathesis makes something else of `prefixItems` here, and then finds that wrong.
        steps = found["components"]["schemas"][name]["properties"]["history"]["items"]
        del steps["prefixItems"]
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of its own: what is tried here may also change it."""
    data = tmp_path_factory.mktemp("schema") / "data"
    with Server(data, "--sample", max_upload_bytes=1, max_queue=1) as server:
        yield server
        assert not [line for line in server.log() if line["level"] == "error"]
        assert server.stop() == 0


@schemathesis.serializer(CSV, TSV, NDJSON, PARQUET, XLSX, GZIP, BYTES, TAR, "application/zip")
def too_large(_: Any, value: Any) -> bytes:
    """Each upload that is looked into costs a process; what is said of them is tested elsewhere."""
    return b"  " + (value if isinstance(value, bytes) else str(value).encode())


schema = schemathesis.openapi.from_dict(narrowed(document()))
schema.config.generation.update(deterministic=True)
refusals = schema.config.checks.negative_data_rejection
refusals.expected_statuses = [*refusals.expected_statuses, "413"]


@schema.parametrize()
@settings(max_examples=8, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_the_document_says(case: Any, server: Server) -> None:
    response = case.call(base_url=str(server.http.base_url))
    case.validate_response(response, excluded_checks=EXCLUDED)


def test_the_document_is_the_one_that_is_served(server: Server) -> None:
    assert server.get("/v1/openapi.json") == document()


def test_the_document_names_every_place_and_states_every_body() -> None:
    found = document()
    assert found["openapi"].startswith("3.1")
    operations = [each for path in found["paths"].values() for each in path.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    assert all(each["summary"] for each in operations)
    for path, methods in found["paths"].items():
        for method, each in methods.items():
            bodies = method in ("put", "post") and not path.endswith(
                ("/activate", "/cancel", "/rollback")
            )
            assert ("requestBody" in each) == bodies
            if path.startswith("/v1/"):
                problem = each["responses"]["default"]["content"]["application/problem+json"]
                assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}
