"""A model directory kept as it was written by schema 1: every later version must read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from gpu_kmeans.evaluate import evaluate
from gpu_kmeans.model import Model
from gpu_kmeans.recommend import Recommender

GOLDEN = Path(__file__).parent / "golden_model"


@pytest.fixture(scope="module")
def golden() -> Model:
    return Model.load(GOLDEN)


def test_it_holds_what_was_saved(golden):
    assert golden.items.num_rows == 243
    assert golden.centroids.shape == (10, 300)
    assert golden.sizes.tolist() == [23, 23, 23, 25, 23, 23, 30, 18, 30, 22]
    assert np.count_nonzero(golden.labels == -1) == 3
    assert golden.info.backend == "cpu"
    assert golden.info.seed == 42
    assert golden.info.inertia == pytest.approx(203.85056276069872)


@pytest.mark.parametrize(
    ("rank", "expected"),
    [
        ("blend", [(1054, 0.873834), (1038, 0.859416), (1215, 0.847222)]),
        ("relevance", [(1215, 0.447244), (1038, 0.414024), (1098, 0.396923)]),
        ("popularity", [(1054, 0.981481), (1120, 0.936214), (1141, 0.923868)]),
    ],
)
def test_it_recommends_what_it_recommended(golden, rank, expected):
    found = Recommender(golden).recommend("ghost in a haunted mansion", limit=3, rank=rank)
    assert found.cluster is not None
    assert (found.cluster.label, found.cluster.size) == (3, 25)
    assert [item.id for item in found.items] == [id for id, _ in expected]
    assert [item.score for item in found.items] == pytest.approx(
        [score for _, score in expected], abs=1e-6
    )


def test_it_is_judged_as_it_was(golden):
    found = evaluate(golden, n_queries=50)
    assert found.inertia == pytest.approx(203.85056276069872)
    assert found.n_clustered == 240


def test_it_is_saved_again_as_the_same_model(golden, tmp_path):
    golden.save(tmp_path / "again")
    again = Model.load(tmp_path / "again")
    assert again.items.equals(golden.items)
    assert again.labels.tolist() == golden.labels.tolist()
    old, new = (load_file(folder / "arrays.safetensors") for folder in (GOLDEN, tmp_path / "again"))
    assert {name.removeprefix("features/0/") for name in new} == set(old)
    for name, array in new.items():
        np.testing.assert_array_equal(array, old[name.removeprefix("features/0/")], strict=True)


GOLDEN_2 = Path(__file__).parent / "golden_model_2"
"""A model of schema 2: texts, numbers and categories, reduced, with a name given by hand."""


def test_a_model_of_several_encoders_holds_what_was_saved(tmp_path):
    model = Model.load(GOLDEN_2)
    assert [part.encoder.kind for part in model.features.parts] == ["text", "numbers", "categories"]
    assert model.sizes.tolist() == [13, 19, 6, 18, 16, 8]
    assert model.names == {2: "Kept by hand"}
    assert model.features.parts[0].weight == 2.0
    assert model.features.names[120:122] == ["runtime", "log budget"]
    assert model.centroids.shape == (6, 6)
    np.testing.assert_allclose(model.distances[:3], [0.35567651, 0.22559224, 0.12887801], rtol=1e-5)
    recommender = Recommender(model)
    assert [item.id for item in recommender.recommend("ghost mansion", limit=3).items] == [
        *(1079, 1038, 1031)
    ]
    assert [item.id for item in recommender.similar(model.items["id"][0].as_py(), limit=3)] == [
        1053,
        1055,
        1002,
    ]
    assert model.others is not None
    assert {"tagline", "runtime", "original_language"} <= set(model.others.column_names)
    model.save(tmp_path / "again")
    old, new = (load_file(f / "arrays.safetensors") for f in (GOLDEN_2, tmp_path / "again"))
    assert old.keys() == new.keys()
    for name, array in new.items():
        np.testing.assert_array_equal(array, old[name], strict=True)
