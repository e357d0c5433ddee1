"""Figures of a model and of its changes: what is drawn is what the result says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import PathPatch, Rectangle
from results_to_draw import (
    TOY,
    choice,
    comparison,
    drift_of,
    levels_of,
    named,
    planted,
    profiles_of,
)

from gpu_kmeans import plots
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.model.hierarchy import levels, natural_levels
from gpu_kmeans.model.outliers import junk_clusters, outliers
from gpu_kmeans.plots import card
from gpu_kmeans.plots.words import fit_name, measure_of


def written(figure: Figure) -> list[str]:
    """Return everything that is written on a figure."""
    FigureCanvasAgg(figure).draw()
    return [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_fontsize"))]


def rectangles(figure: Figure) -> list[Rectangle]:
    return [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]


# -- how many clusters --------------------------------------------------------------------


def test_each_evidence_has_a_panel_with_its_values_and_the_recommended_numbers_marked() -> None:
    result = choice(range(2, 11), [5, 7])
    figure = plots.choice_curves(result)
    panels = [axes.texts[0].get_text() for axes in figure.axes]
    assert panels == ["Explained share", "Silhouette", "Stability", "Cluster sizes", "Coherence"]
    curve, marks = figure.axes[1].lines[:2]
    assert curve.get_xdata().tolist() == list(range(2, 11))  # type: ignore[union-attr]
    assert curve.get_ydata().tolist() == [c.silhouette for c in result.candidates]  # type: ignore[union-attr]
    assert marks.get_xdata().tolist() == [5, 7]  # type: ignore[union-attr]
    assert marks.get_marker() == "D"
    assert "Number of clusters: 5 stands out, then 7" in written(figure)
    assert "These lie apart and are found again." in written(figure)


def test_sizes_are_two_lines_told_apart_by_their_marks() -> None:
    axes = plots.choice_curves(choice(range(2, 11), [5])).axes[3]
    largest, smallest = axes.lines[0], axes.lines[2]
    assert largest.get_marker() != smallest.get_marker()
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["largest", "smallest"]  # type: ignore[union-attr]


def test_rows_without_texts_have_no_coherence_and_nothing_may_stand_out() -> None:
    figure = plots.choice_curves(choice([2, 3, 4], [], coherent=False))
    assert len(figure.axes) == 4
    assert "Number of clusters: none stands out" in written(figure)
    assert not any("diamonds" in text for text in written(figure))


@pytest.mark.parametrize("counts", [[2], [2, 3, 5, 8, 13, 21, 34, 50], range(2, 100)])
def test_the_ends_and_the_recommended_numbers_stand_below_each_panel(counts: Any) -> None:
    best = counts[len(counts) // 2]
    axes = plots.choice_curves(choice(counts, [best])).axes[0]
    labels = {text.get_text(): text.get_fontweight() for text in axes.get_xticklabels()}
    assert labels[str(best)] == "bold"
    assert len(labels) <= 10


# -- levels -------------------------------------------------------------------------------


def test_a_cluster_of_a_level_is_as_tall_as_it_is_large_and_beside_its_parent() -> None:
    figure = plots.level_tree(levels_of([[60, 40], [10, 40, 50]], [[0, 1, 0]]))
    cells = {(r.get_x(), r.get_y()): r.get_height() for r in rectangles(figure)}
    assert cells == {(0, 0): 60, (0, 60): 40, (1, 0): 50, (1, 50): 10, (1, 60): 40}
    assert {"2 clusters", "3 clusters", "Clusters on 2 levels: 2, 3"} <= set(written(figure))


def test_parts_have_the_shade_of_what_they_are_part_of() -> None:
    figure = plots.level_tree(levels_of([[60, 40], [10, 40, 50]], [[0, 1, 0]]))
    shades = {(r.get_x(), r.get_y()): to_hex(r.get_facecolor()) for r in rectangles(figure)}
    assert shades[1, 0] == shades[1, 50] == shades[0, 0] != shades[0, 60] == shades[1, 60]


def test_names_that_have_no_room_are_counted() -> None:
    sizes = [[10_000], [9_990, *[1] * 10]]
    figure = plots.level_tree(levels_of(sizes, [[0] * 11]))
    assert "10 clusters too small for a name here." in written(figure)


def test_levels_of_a_model_hold_all_its_items() -> None:
    model = planted(9)
    assert natural_levels(model) == [3, 5, 10]
    made = levels(model, natural_levels(model))
    figure = plots.level_tree(made)
    heights = Counter[float]()
    for cell in rectangles(figure):
        heights[cell.get_x()] += cell.get_height()
    assert set(heights.values()) == {240}
    assert set(made[-1].names) & set(written(figure))


# -- outliers -----------------------------------------------------------------------------


def test_the_worst_item_is_a_dot_at_its_score_named_beside_its_cluster() -> None:
    model = planted(3)
    scored = outliers(model)
    figure = plots.outlier_scores(model, scored, junk_clusters(model))
    (axes,) = figure.axes
    dots = np.concatenate(
        [dots.get_offsets() for dots in axes.collections if len(dots.get_offsets())]
    )
    worst = scored.first(1)[0]
    at = dots[dots[:, 0].argmax()]
    assert at[0] == pytest.approx(scored.scores[worst])
    beside = [t.get_text() for t in axes.texts if t.xy[1] == at[1] and t.get_ha() == "left"]  # type: ignore[attr-defined]
    assert beside == [f"id {model.items['id'][int(worst)].as_py()}"]
    assert axes.get_xscale() == "log"


def test_junk_clusters_say_so_and_are_hatched() -> None:
    model = planted(3)
    (junk,) = junk_clusters(model)
    figure = plots.outlier_scores(model, outliers(model), [junk])
    assert sum(text.startswith("junk: ") for text in written(figure)) == 1
    assert [bar.get_hatch() for bar in rectangles(figure)].count("////") == 1
    unmarked = plots.outlier_scores(model, outliers(model))
    assert not any(text.startswith("junk") for text in written(unmarked))


def test_bars_are_the_middle_half_of_the_scores() -> None:
    scored = outliers(TOY)
    figure = plots.outlier_scores(TOY, scored)
    spans = sorted((bar.get_x(), bar.get_width()) for bar in rectangles(figure))
    expected = []
    for label in range(3):
        low, high = np.quantile(scored.scores[TOY.labels == label], (0.25, 0.75))
        expected.append((low, high - low))
    assert np.allclose(spans, sorted(expected))


def test_of_many_clusters_those_with_the_worst_items_are_shown() -> None:
    model = planted(60)
    figure = plots.outlier_scores(model, outliers(model), junk_clusters(model))
    text = written(figure)
    assert sum(part.startswith("junk: ") for part in text) == 1
    assert any("21 ordinary clusters not shown." in part for part in text)


def test_outliers_of_another_model_are_refused() -> None:
    with pytest.raises(InvalidParam, match="240 scores and 13 items"):
        plots.outlier_scores(TOY, outliers(planted(3)))


# -- comparisons --------------------------------------------------------------------------


def bands(figure: Figure) -> list[PathPatch]:
    return [p for p in figure.axes[0].patches if isinstance(p, PathPatch)]


def test_bands_are_as_wide_as_they_have_items_and_edged_where_a_cluster_became_another() -> None:
    flows = [(0, 1, 60, True), (1, 0, 30, True), (0, 0, 10, False)]
    figure = plots.cluster_flows(comparison(flows))
    widths = sorted(
        band.get_path().vertices[-2][1] - band.get_path().vertices[0][1] for band in bands(figure)
    )  # type: ignore[index]
    assert np.allclose(np.array(widths) / widths[0], [1, 3, 6])
    edges = sorted(bool(band.get_edgecolor()[3]) for band in bands(figure))
    assert edges == [False, True, True]
    text = written(figure)
    assert "Agreement 0.60: alike, with changes" in text
    assert any(part.startswith("10 of 100 items moved") for part in text)
    assert any("3 only in the first, 4 in the second." in part for part in text)


def test_what_a_cluster_became_stands_beside_it() -> None:
    flows = [(0, 2, 50, True), (1, 0, 30, True), (2, 1, 20, True), (2, 0, 1, False)]
    figure = plots.cluster_flows(comparison(flows))
    right = [t for t in figure.axes[0].texts if t.get_ha() == "left"][1:]
    from_the_top = sorted(right, key=lambda text: text.xy[1])  # type: ignore[attr-defined]
    assert [text.get_text().split()[0] for text in from_the_top] == ["50", "31", "20"]


def test_of_many_clusters_the_smallest_are_one() -> None:
    flows = [(n, n, 100 - n, True) for n in range(60)]
    text = written(plots.cluster_flows(comparison(flows)))
    assert sum("21 smaller clusters" in part for part in text) == 2


# -- drift --------------------------------------------------------------------------------


def test_drift_is_drawn_as_shares_beside_what_was_to_be_expected() -> None:
    result = drift_of({0: (200, 20), 1: (100, 1), -1: (5, 5)})
    figure = plots.drift_shares(result, ["first", "second"])
    lengths = [bar.get_width() for bar in rectangles(figure)]
    assert lengths == [20 / 200, 5 / 5, 1 / 100]
    text = written(figure)
    assert {"first", "second", "in no cluster: no known word", "20 of 200"} <= set(text)
    assert any("Dashed line: 1%" in part for part in text)
    assert "cluster 1" in written(plots.drift_shares(result))


# -- profiles -----------------------------------------------------------------------------


def test_profiles_show_means_shares_and_which_way_they_deviate() -> None:
    text = written(plots.profile_grid(profiles_of(3)))
    counted = Counter(text)
    assert [counted[cell] for cell in ("▼ 0", "1", "▲ 2", "▲ 75%", "25%")] == [3, 6, 3, 3, 1]


def test_higher_and_lower_differ_in_shade_from_the_usual() -> None:
    figure = plots.profile_grid(profiles_of(3, columns=1))
    shades = {r.get_y(): to_rgb(r.get_facecolor()) for r in rectangles(figure) if not r.get_x()}
    low, usual, high = (shades[y] for y in (0, 1, 2))
    assert min(usual) > 0.99 and low[0] > low[2] and high[2] > high[0]


def test_profiles_without_numbers_say_so() -> None:
    assert "No number, category or feature sets a cluster apart." in written(plots.profile_grid([]))


# -- names, dark, and what cannot be drawn ------------------------------------------------


def test_a_name_loses_whole_words_before_it_is_cut() -> None:
    measure = measure_of(9)
    assert fit_name("plan silver, high age, region north", 1.6, measure) == "plan silver, high age"
    assert fit_name("plan silver", 9, measure) == "plan silver"
    assert measure(fit_name("x" * 300 + ", y", 1, measure)) <= 1


def test_a_dark_figure_has_light_words_on_a_dark_card(tmp_path: Path) -> None:
    figure = plots.dark(plots.outlier_scores(TOY, outliers(TOY), [1]))
    plots.save(figure, tmp_path / "dark.png")
    pixels = imread(tmp_path / "dark.png")
    assert (pixels[..., 3] == 1).all()
    assert (pixels[[0, 0, -1, -1], [0, -1, 0, -1], :3] < 0.12).all()
    for text in figure.findobj(lambda a: hasattr(a, "get_fontsize")):
        assert min(to_rgb(text.get_color())) > 0.5  # type: ignore[attr-defined]


def test_dark_leaves_out_what_has_no_colour_and_keeps_hues() -> None:
    figure = plots.dark(plots.cluster_flows(comparison([(0, 0, 9, True), (0, 1, 1, False)])))
    edges = sorted(bool(band.get_edgecolor()[3]) for band in bands(figure))
    assert edges == [False, True]
    red, green, blue = to_rgb(rectangles(figure)[0].get_facecolor())
    assert blue > green > red > to_rgb(card.BLUE)[0]


@pytest.mark.parametrize("thing", [None, 5, "text", [None], object()])
@pytest.mark.parametrize(
    "draw",
    [
        plots.choice_curves,
        plots.cluster_flows,
        plots.level_tree,
        plots.profile_grid,
        plots.drift_shares,
        plots.dark,
        lambda thing: plots.outlier_scores(thing, outliers(TOY)),
        lambda thing: plots.outlier_scores(TOY, thing),
    ],
)
def test_what_is_no_result_is_refused(draw: Any, thing: Any) -> None:
    with pytest.raises(InvalidParam, match=r"needs a|not "):
        draw(thing)


def test_names_of_persons_stand_on_every_figure_of_a_model() -> None:
    model = named(planted(3))
    for figure in (
        plots.outlier_scores(model, outliers(model)),
        plots.level_tree(levels(model, [2, 4])),
    ):
        assert any(text.startswith("الرسالة, سينما") for text in written(figure))
