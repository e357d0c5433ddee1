"""The map: discs that do not overlap, of the right area, with every item in its own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import NONE, SPACE, toy_model

from gpu_kmeans.model.cluster_map import ClusterMap, _apart, cluster_map

TOY = toy_model()


def apart(x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> float:
    """The narrowest gap between two discs; negative where they overlap."""
    gaps = np.hypot(x[:, None] - x, y[:, None] - y) - radius[:, None] - radius
    return float(gaps[~np.eye(len(radius), dtype=bool)].min(initial=np.inf))


def test_every_clustered_item_lies_in_its_own_disc() -> None:
    found = cluster_map(TOY)
    assert sorted(found.rows.tolist()) == np.flatnonzero(TOY.labels >= 0).tolist()
    at = {label: number for number, label in enumerate(found.labels.tolist())}
    disc = np.array([at[label] for label in TOY.labels[found.rows].tolist()])
    out = np.hypot(found.item_x - found.x[disc], found.item_y - found.y[disc])
    assert (out <= found.radius[disc]).all()
    assert apart(found.x, found.y, found.radius) > 0


def test_areas_are_sizes_and_no_two_items_share_a_place() -> None:
    found = cluster_map(TOY)
    assert found.radius**2 == pytest.approx(TOY.sizes[found.labels].astype(float))
    assert len(set(zip(found.item_x.tolist(), found.item_y.tolist(), strict=True))) == 12


def test_the_most_typical_item_is_in_the_middle() -> None:
    found = cluster_map(TOY)
    rows = TOY.postings.to_csr().toarray().astype(float)
    for label, x, y in zip(found.labels, found.x, found.y, strict=True):
        mine = TOY.labels[found.rows] == label
        out = np.hypot(found.item_x[mine] - x, found.item_y[mine] - y)
        closeness = (rows[found.rows[mine]] @ TOY.centroids[label])[np.argsort(out)]
        assert (np.diff(closeness) <= 1e-6).all()


def test_a_cluster_without_items_has_no_disc() -> None:
    with_empty = toy_model(labels=np.where(TOY.labels == SPACE, NONE, TOY.labels))
    assert SPACE not in cluster_map(with_empty).labels


def test_the_same_model_gives_the_same_map() -> None:
    one, other = cluster_map(TOY), cluster_map(toy_model())
    for name in ClusterMap.__dataclass_fields__:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


@settings(deadline=None)
@given(
    places=st.lists(st.tuples(*[st.floats(-5, 5)] * 2), min_size=1, max_size=25),
    sizes=st.lists(st.integers(1, 10_000), min_size=25, max_size=25),
)
def test_discs_are_pushed_apart_from_wherever_they_start(
    places: list[tuple[float, float]], sizes: list[int]
) -> None:
    radius = np.sqrt(np.array(sizes[: len(places)], dtype=float))
    x, y = _apart(np.array(places), radius)
    assert np.isfinite(x).all() and np.isfinite(y).all()
    assert apart(x, y, radius) > 0
