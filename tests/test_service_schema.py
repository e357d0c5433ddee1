"""The OpenAPI document is true: what it allows is taken, what it excludes is refused as it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from serving import Server, films

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

checks = pytest.importorskip("schemathesis.specs.openapi.checks")

CHANGES = ("put", "delete")
EXCLUDED = [
    # Not every string is CSV, not every number of clusters suits a dataset.
    checks.positive_data_acceptance,
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of its own: what is tried here may also delete."""
    with Server(tmp_path_factory.mktemp("schema") / "data") as server:
        server.put("films", films(30))
        server.fit("films", n_clusters=3)
        yield server
        assert not [line for line in server.log() if line["level"] == "error"]
        assert server.stop() == 0


@pytest.fixture(scope="module")
def document(server: Server) -> Any:
    """The document, with paths that lead somewhere: of all names, next to none is that of a model."""
    found = server.get("/v1/openapi.json")
    for path in found["paths"].values():
        for method, operation in path.items():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and method not in CHANGES:
                    known = {"name": ["films", "none"], "item": ["1001", "1002", "7"]}
                    if values := known.get(parameter["name"]):
                        parameter["schema"]["enum"] = values
    schema = schemathesis.openapi.from_dict(found)
    schema.config.update(base_url=str(server.http.base_url))
    schema.config.generation.update(deterministic=True)
    return schema


schema = schemathesis.pytest.from_fixture("document")
COUNT: dict = {}


@schema.parametrize()
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_the_document_says(case: Any) -> None:
    import time
    b = time.time()
    response = case.call()
    k = (case.method, case.operation.path)
    c = COUNT.setdefault(k, [0, 0.0, {}])
    c[0] += 1
    c[1] += time.time() - b
    c[2][response.status_code] = c[2].get(response.status_code, 0) + 1
    case.validate_response(response, excluded_checks=EXCLUDED)


def test_z():
    for k, v in COUNT.items():
        print(k, v[0], round(v[1], 2), v[2])
