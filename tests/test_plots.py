"""Figures say what the results say, can be read, and are saved whole or not at all."""

from __future__ import annotations

import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import get_args, get_type_hints

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text
from matplotlib.transforms import Bbox
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
from gpu_kmeans.backends.protocol import Progress
from gpu_kmeans.errors import FileProblem, InvalidParam
from gpu_kmeans.model.outliers import junk_clusters, outliers
from gpu_kmeans.plots import card, words
from gpu_kmeans.plots.labels import Box, place
from gpu_kmeans.recommend import ClusterView, RankedItem, Recommendation

NASTY = [
    "Borat: Cultural Learnings of America for Make Benefit Glorious Nation of Kazakhstan",
    "The Lord of the Rings: The Fellowship of the Ring",
    "The Lord of the Rings: The Return of the King",
    "七人の侍",
    "千と千尋の神隠し Spirited Away",
    "Le fabuleux destin d'Amélie Poulain",
    "Броненосец «Потёмкин»",
    "الرسالة",
    "नमस्ते",
    "$9.99 for $5_and_more_",
    r"\$x^2$ \frac{1}{2}",
    "Pneumonoultramicroscopicsilicovolcanoconiosis" * 3,
    "👽 Emoji 🛸",
    "A\nnewline\tand\x00control\u202e",
    "",
    "<script>alert('&')</script> -- ",
    "W" * 100_000,
    "\ud800 lone surrogate \uffff",
]
PLAIN = ["Alien", "Aliens", "Mars Attacks!", "Arrival", "The Day After", "Red Dust"]
CLUSTER = ClusterView(label=7, size=312, top_terms=("alien", "space"))


def recommendation(
    titles: Sequence[str | None],
    popularity: Sequence[float | None],
    vote_average: Sequence[float | None],
    query: str = "space alien",
    message: str | None = None,
) -> Recommendation:
    items = tuple(
        RankedItem(100 + row, title, each, vote, 1.0, {}, 7)
        for row, (title, each, vote) in enumerate(
            zip(titles, popularity, vote_average, strict=True)
        )
    )
    return Recommendation(query, ("alien",), CLUSTER if items else None, items, message)


def spread(titles: Sequence[str], sigma: float = 1.0) -> Recommendation:
    rng = np.random.default_rng(0)
    popularity = rng.lognormal(2, sigma, len(titles)).tolist()
    return recommendation(titles, popularity, rng.normal(6.5, 0.8, len(titles)).round(1).tolist())


def clusters(sizes: Sequence[int]) -> list[ClusterView]:
    return [ClusterView(label, size, ("war", "love")) for label, size in enumerate(sizes)]


HISTORY = [
    ("sketch", 0, 9001.0),
    *[("lloyd", step, 4800 - 10.0 * step) for step in range(1, 6)],
    *[("hartigan", step, 4750 - 1.0 * (step - 5)) for step in range(6, 10)],
]

FIGURES = {
    "scatter": lambda: plots.rating_scatter(spread(PLAIN)),
    "scatter of nasty titles": lambda: plots.rating_scatter(spread(NASTY, sigma=3)),
    "scatter of thirty": lambda: plots.rating_scatter(spread((NASTY + PLAIN * 3)[:30])),
    "scatter of a hundred": lambda: plots.rating_scatter(spread(PLAIN * 17)),
    "scatter of one": lambda: plots.rating_scatter(spread(PLAIN[:1])),
    "scatter of one spot": lambda: plots.rating_scatter(
        recommendation(NASTY, [5.0] * len(NASTY), [6.0] * len(NASTY))
    ),
    "empty scatter": lambda: plots.rating_scatter(recommendation([], [], [])),
    "bars": lambda: plots.popularity_bars(spread(PLAIN)),
    "bars of nasty titles": lambda: plots.popularity_bars(spread(NASTY, sigma=3)),
    "bars of a hundred": lambda: plots.popularity_bars(spread(PLAIN * 17)),
    "bars of one": lambda: plots.popularity_bars(spread(PLAIN[:1])),
    "bars of zeros": lambda: plots.popularity_bars(
        recommendation(PLAIN, [0.0] * len(PLAIN), [6.0] * len(PLAIN))
    ),
    "empty bars": lambda: plots.popularity_bars(recommendation([], [], [])),
    "clusters": lambda: plots.cluster_sizes(clusters([30, 200, 0])),
    "clusters of nasty terms": lambda: plots.cluster_sizes(
        [ClusterView(123_456, 1_234_567_890, tuple(NASTY)), ClusterView(1, 0, ())]
    ),
    "three hundred clusters": lambda: plots.cluster_sizes(clusters(range(300))),
    "no clusters": lambda: plots.cluster_sizes([]),
    "inertia": lambda: plots.inertia_history(HISTORY),
    "inertia of a sketch": lambda: plots.inertia_history(HISTORY[:1]),
    "inertia of breaths": lambda: plots.inertia_history(
        [*HISTORY[:6], ("breathe", 6, 4748.0), ("breathe", 7, 4747.5), *HISTORY[8:]]
    ),
    "inertia of one iteration": lambda: plots.inertia_history([("lloyd", 1, 0.0)]),
    "no inertia": lambda: plots.inertia_history([]),
    "choice": lambda: plots.choice_curves(choice([2, 3, 4, 5, 6, 7, 11, 18, 30, 50], [7, 18, 3])),
    "choice of two": lambda: plots.choice_curves(choice([2, 3], [], coherent=False)),
    "choice of ninety": lambda: plots.choice_curves(choice(range(2, 92), [40, 41, 42])),
    "one number of clusters": lambda: plots.choice_curves(choice([2], [2])),
    "no number of clusters": lambda: plots.choice_curves(choice([], [])),
    "levels": lambda: plots.level_tree(levels_of([[70, 30], [40, 5, 25, 30]], [[0, 0, 0, 1]])),
    "one level of eighty": lambda: plots.level_tree(levels_of([range(1, 81)], [])),
    "six levels": lambda: plots.level_tree(levels_of([[9, 1]] * 6, [[0, 1]] * 5)),
    "no levels": lambda: plots.level_tree([]),
    "outliers": lambda: plots.outlier_scores(TOY, outliers(TOY), [1]),
    "outliers of long names": lambda: plots.outlier_scores(
        named(planted(6)), outliers(planted(6)), junk_clusters(planted(6))
    ),
    "outliers of sixty": lambda: plots.outlier_scores(planted(60), outliers(planted(60))),
    "flows": lambda: plots.cluster_flows(
        comparison([(0, 1, 60, True), (1, 0, 30, True), (0, 0, 10, False), (2, 2, 1, True)])
    ),
    "flows of sixty": lambda: plots.cluster_flows(
        comparison([(n, (n + m) % 60, 50 - m, m == 0) for n in range(60) for m in (0, 7, 40)])
    ),
    "flow of one": lambda: plots.cluster_flows(comparison([(0, 0, 5, True)], agreement=1.0)),
    "no flows": lambda: plots.cluster_flows(comparison([])),
    "drift": lambda: plots.drift_shares(drift_of({0: (90, 9), 1: (10, 0), -1: (2, 2)}), NASTY),
    "drift of sixty": lambda: plots.drift_shares(drift_of({n: (n + 1, n // 9) for n in range(60)})),
    "no drift": lambda: plots.drift_shares(drift_of({})),
    "profiles": lambda: plots.profile_grid(profiles_of(5)),
    "profiles of sixty": lambda: plots.profile_grid(profiles_of(60, columns=20)),
    "no profiles": lambda: plots.profile_grid([]),
    "dark": lambda: plots.dark(plots.cluster_sizes(clusters([30, 200, 0]))),
}


@pytest.fixture(scope="module", params=FIGURES)
def figure(request: pytest.FixtureRequest) -> Figure:
    """Every kind of figure, drawn."""
    return drawn(FIGURES[request.param]())


def drawn(figure: Figure) -> Figure:
    """Draw a figure, so that every text has its place."""
    FigureCanvasAgg(figure).draw()
    return figure


def texts(figure: Figure) -> list[Text]:
    """List what is written on a drawn figure."""
    unseen = {id(label) for axes in figure.axes for label in labels_out_of_view(axes)}
    return [
        text
        for text in figure.findobj(Text)
        if isinstance(text, Text)
        and text.get_text().strip()
        and text.get_visible()
        and id(text) not in unseen
    ]


def labels_out_of_view(axes: Axes) -> Iterator[Text]:
    """Yield the labels of ticks that Matplotlib keeps beyond the ends of an axis."""
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if not low <= tick.get_loc() <= high:
                yield from (tick.label1, tick.label2)


def written(figure: Figure) -> str:
    """Return everything that is written on a figure."""
    return "\n".join(text.get_text() for text in texts(drawn(figure)))


def bars(figure: Figure) -> list[float]:
    """Return the lengths of a figure's bars, from the top."""
    (container,) = figure.axes[0].containers
    assert isinstance(container, BarContainer)
    top_down = sorted(container.patches, key=lambda bar: bar.get_y())
    return [bar.get_width() for bar in top_down]


def rows_of_text(axes: Axes, x: float) -> list[str]:
    """Return what is annotated in each row at ``x``, from the top."""
    found = [text for text in axes.texts if math.isclose(text.xy[0], x)]  # type: ignore[attr-defined]
    return [text.get_text() for text in sorted(found, key=lambda text: text.xy[1])]  # type: ignore[attr-defined]


# -- every figure -----------------------------------------------------------------------


def test_nothing_that_is_written_leaves_the_card(figure: Figure) -> None:
    width, height = figure.bbox.size
    for text in texts(figure):
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= width, text.get_text()
        assert box.y0 >= 0 and box.y1 <= height, text.get_text()


def test_no_text_covers_another(figure: Figure) -> None:
    level = [text for text in texts(figure) if not text.get_rotation() % 90]
    shown = [(text.get_text(), shrunk(text.get_window_extent())) for text in level]
    for (first, box), (second, other) in combinations(shown, 2):
        assert not box.overlaps(other), (first, second)


def shrunk(box: Bbox) -> Bbox:
    """Take a pixel off each side: neighbours may touch."""
    return Bbox.from_extents(box.x0 + 1, box.y0 + 1, box.x1 - 1, box.y1 - 1)


def test_text_from_the_data_is_never_mathematics(figure: Figure) -> None:
    assert not [text for text in texts(figure) if "$" in text.get_text() and text.get_parse_math()]


def test_as_png_each_figure_is_an_opaque_card_of_one_colour(figure: Figure, tmp_path: Path) -> None:
    plots.save(figure, tmp_path / "figure.png")
    pixels = imread(tmp_path / "figure.png")
    assert (pixels[..., 3] == 1).all()
    corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1], :3]
    assert np.allclose(corners, to_rgb(figure.get_facecolor()), atol=1 / 255)


def test_as_svg_each_figure_is_well_formed_undated_and_needs_no_font(
    figure: Figure, tmp_path: Path
) -> None:
    plots.save(figure, tmp_path / "figure.svg")
    text = (tmp_path / "figure.svg").read_text("utf-8")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "<dc:date>" not in text
    assert "<text" not in text


@pytest.mark.parametrize("kind", ["scatter of nasty titles", "bars", "clusters", "inertia"])
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_result_gives_the_same_bytes(kind: str, suffix: str, tmp_path: Path) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix.upper()}"
    plots.save(FIGURES[kind](), first)
    plots.save(FIGURES[kind](), second)
    assert first.read_bytes() == second.read_bytes()


def test_drawing_leaves_no_trace_in_matplotlib(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    for draw in list(FIGURES.values())[::4]:
        plots.save(draw(), tmp_path / "figure.svg")
    assert dict(matplotlib.rcParams) == before


def test_pyplot_is_never_imported() -> None:
    program = (
        "import sys; from gpu_kmeans import plots; plots.inertia_history([('lloyd', 1, 2.0)]);"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def luminance(color: str) -> float:
    """Return the relative luminance of a colour (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize(
    ("color", "least"),
    [
        (card.INK, 7),
        (card.QUIET, 4.5),
        (card.BLUE, 3),
        (card.GREEN, 3),
        (card.PURPLE, 3),
        (card.RED, 3),
    ],
)
def test_colours_stand_out_from_the_card(color: str, least: float) -> None:
    assert 1.05 / (luminance(color) + 0.05) >= least  # WCAG 2: contrast of text and of graphics


# -- recommendations --------------------------------------------------------------------


def test_the_scatter_has_a_point_for_each_item_and_its_rank_and_title() -> None:
    result = spread(PLAIN)
    figure = plots.rating_scatter(result)
    points = np.concatenate([part.get_offsets() for part in figure.axes[0].collections])
    assert points.tolist() == [[item.popularity, item.vote_average] for item in result.items]
    for rank, title in enumerate(PLAIN, start=1):
        assert f"{rank} {title}" in written(figure)


def test_the_header_names_the_query_and_the_cluster() -> None:
    for draw in (plots.rating_scatter, plots.popularity_bars):
        assert "for “space alien”; nearest is cluster 7, with 312 items" in written(
            draw(spread(PLAIN))
        )


def test_items_on_one_spot_share_a_label_that_counts_those_it_does_not_name() -> None:
    text = written(plots.rating_scatter(recommendation(PLAIN * 4, [5.0] * 24, [6.0] * 24)))
    assert "1 Alien\n\u200e2 Aliens\n\u200e3 Mars Attacks!" in text
    assert "… and 15 more" in text


def test_the_scatter_says_how_many_items_have_no_place_on_it() -> None:
    result = recommendation(["a", "b", "c"], [None, 4.0, 4.0], [3.0, math.nan, 3.0])
    text = written(plots.rating_scatter(result))
    assert "2 items without popularity or vote average left out." in text
    assert "3 c" in text and "1 a" not in text


def test_the_scatter_says_how_many_points_it_could_not_label() -> None:
    assert "items not labelled, for want of room." in written(
        plots.rating_scatter(spread(PLAIN * 17))
    )


@pytest.mark.parametrize(
    ("popularity", "scale"),
    [([1.0, 2.0], "linear"), ([1.0, 500.0], "log"), ([0.0, 500.0], "linear"), ([5, 5], "linear")],
)
def test_popularity_is_on_a_logarithmic_axis_where_it_spans_a_lot(
    popularity: list[float], scale: str
) -> None:
    (axes,) = plots.rating_scatter(recommendation(["a", "b"], popularity, [6.0, 7.0])).axes
    assert axes.get_xscale() == scale
    assert axes.get_xlabel() == ("popularity (logarithmic)" if scale == "log" else "popularity")


def test_the_bars_are_in_order_of_rank_and_as_long_as_the_popularity() -> None:
    result = recommendation(PLAIN[:3], [3.25, 87.44, 1234.5], [6.0, 7.0, 8.0])
    figure = plots.popularity_bars(result)
    assert bars(figure) == [3.25, 87.44, 1234.5]
    assert rows_of_text(figure.axes[0], 0.0) == PLAIN[:3]
    assert all(value in written(figure) for value in ("3.2", "87.4", "1,234"))


def test_an_item_without_popularity_is_unknown_and_not_zero() -> None:
    figure = plots.popularity_bars(recommendation(["a", "b"], [None, 4.0], [3.0, 3.0]))
    assert bars(figure) == [0.0, 4.0]
    assert "unknown" in written(figure)


def test_of_many_items_the_bars_show_the_first_fifty() -> None:
    figure = plots.popularity_bars(spread(PLAIN * 17))
    assert len(bars(figure)) == 50
    assert "The first 50 of 102 items." in written(figure)


@pytest.mark.parametrize("draw", [plots.rating_scatter, plots.popularity_bars])
def test_an_empty_recommendation_gives_a_figure_that_says_why(draw: object) -> None:
    assert callable(draw)
    message = "No word of the query is known: zzzz."
    assert message in written(draw(recommendation([], [], [], message=message)))
    assert "Nothing was found." in written(draw(recommendation([], [], [])))
    lacking = written(draw(recommendation(["a"], [None], [None])))
    assert "None of the items found has" in lacking


def test_a_title_that_cannot_be_drawn_comes_with_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_characters", lambda: frozenset(range(32, 127)))
    result = recommendation(["七人の侍", "", None], [1, 2, 3], [1, 2, 3])
    text = written(plots.popularity_bars(result))
    assert {"□□□□ (id 100)", "(id 101)", "(id 102)"} <= set(text.split("\n"))


# -- fits -------------------------------------------------------------------------------


def test_clusters_are_drawn_largest_first_with_their_sizes_and_terms() -> None:
    views = [
        ClusterView(0, 30, ("love", "wedding")),
        ClusterView(1, 1200, ("war", "soldier")),
        ClusterView(2, 30, ()),
    ]
    figure = plots.cluster_sizes(views)
    assert bars(figure) == [1200, 30, 30]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["cluster 1", "cluster 0", "cluster 2"]
    end = figure.axes[0].get_xlim()[1]
    assert rows_of_text(figure.axes[0], end) == ["war, soldier", "love, wedding", "no terms"]
    assert "1,260 items" in written(figure)


@pytest.mark.parametrize(("many", "shown"), [(50, 50), (51, 40), (300, 40)])
def test_of_many_clusters_the_largest_are_shown_and_the_rest_counted(many: int, shown: int) -> None:
    figure = plots.cluster_sizes(clusters(range(many)))
    assert bars(figure) == [*range(many - 1, many - 1 - shown, -1)]
    rest = range(many - shown)
    note = f"Not shown: {len(rest)} smaller clusters with {sum(rest):,} items."
    assert (note in written(figure)) == bool(rest)


def test_each_stage_has_its_own_mark_and_a_sketch_has_no_place() -> None:
    (axes,) = plots.inertia_history(HISTORY).axes
    marked = {str(line.get_label()): line for line in axes.lines if line.get_marker() != "None"}
    assert list(marked) == ["Lloyd, 5 iterations", "Hartigan, 4 iterations"]
    assert len({(line.get_marker(), line.get_color()) for line in marked.values()}) == 2
    points = [point for line in marked.values() for point in line.get_xydata().tolist()]  # type: ignore[union-attr]
    assert points == [[step, inertia] for stage, step, inertia in HISTORY if stage != "sketch"]
    assert "sketch" not in written(plots.inertia_history(HISTORY))


def test_a_fit_that_ended_in_the_sketch_has_no_iteration_to_draw() -> None:
    assert "recorded no iteration" in written(plots.inertia_history(HISTORY[:1]))


def test_every_stage_of_a_fit_can_be_drawn() -> None:
    stages = get_args(get_type_hints(Progress)["stage"])
    assert "lloyd" in stages
    drawn(plots.inertia_history([(stage, step, 5.0 - step) for step, stage in enumerate(stages)]))


def test_stages_that_take_turns_are_one_unbroken_line() -> None:
    steps = [(["lloyd", "hartigan"][step // 3 % 2], step + 1, 90.0 - step) for step in range(12)]
    (axes,) = plots.inertia_history(steps).axes
    runs = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "None"]  # type: ignore[union-attr]
    assert len(runs) == 4
    assert all(before[-1] == after[0] for before, after in pairwise(runs))


def test_the_inertia_figure_tells_start_and_end() -> None:
    text = written(plots.inertia_history(HISTORY))
    assert "Inertia over 9 iterations" in text
    assert "from 4,790.0 to 4,746.0" in text


# -- text -------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec=None), max_size=60),
            st.none() | st.floats(-3e38, 3e38),
            st.floats(0, 10),
        ),
        max_size=12,
    ),
    st.text(st.characters(codec=None)),
)
def test_any_recommendation_can_be_drawn_without_a_warning(
    rows: list[tuple[str, float | None, float]], query: str
) -> None:
    titles, popularity, votes = zip(*rows, strict=True) if rows else ((), (), ())
    result = recommendation(titles, popularity, votes, query)
    drawn(plots.rating_scatter(result))
    drawn(plots.popularity_bars(result))


@settings(deadline=None)
@given(st.text(st.characters(codec=None)), st.floats(0.5, 4))
def test_text_is_made_to_fit(text: str, width: float) -> None:
    measure = words.measure_of(9)
    assert measure(words.fit(text, width, measure)) <= width


def test_a_text_that_fits_is_left_alone_and_one_that_does_not_keeps_both_ends() -> None:
    measure = words.measure_of(9)
    assert words.fit("Alien $3 _x_ é", 3, measure) == "Alien $3 _x_ é"
    short = words.fit("The Lord of the Rings: The Return of the King", 1.8, measure)
    assert short.startswith("The Lord of") and short.endswith("the King") and " … " in short


def test_a_list_is_cut_between_words() -> None:
    measure = words.measure_of(9)
    assert words.fit_list(["alien", "space", "earth"], 0.9, measure) == "alien, space"
    assert words.fit_list(["x" * 300, "y"], 1, measure).count("…") == 1
    assert words.fit_list([], 1, measure) == ""


def test_only_characters_without_a_shape_vanish() -> None:
    assert words.drawable("a\u200d\u202eb \n c\x00\ud800") in {"a\u200d\u202eb c□", "ab c□"}
    assert words.drawable("Amélie \U0010ffff") == "Amélie □"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(0, "0"), (3, "3"), (3.14159, "3.1"), (87.44, "87.4"), (875.58, "875.6")],
        *[(1234.56, "1,235"), (0.0421, "0.042"), (-2.5, "-2.5"), (1.5e9, "1.5e+09")],
        *[(1e-9, "1e-09"), (99.96, "100.0"), (1e300, "1e+300")],
    ],
)
def test_numbers_read_plainly(value: float, text: str) -> None:
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([4680, 4700, 4720], ["4,680", "4,700", "4,720"]),
        ([4680, 4682.5, 4685], ["4,680.0", "4,682.5", "4,685.0"]),
        ([6.0, 6.2, 6.4], ["6.0", "6.2", "6.4"]),
        ([0.25, 0.5], ["0.25", "0.50"]),
        ([5.0], ["5"]),
        ([], []),
    ],
)
def test_the_numbers_of_an_axis_can_be_told_apart(values: list[float], labels: list[str]) -> None:
    assert card.Steps().format_ticks(values) == labels


# -- placing labels ---------------------------------------------------------------------

COORDINATES = st.tuples(st.floats(0, 400), st.floats(0, 300))


@settings(max_examples=50, deadline=None)
@given(st.lists(COORDINATES, max_size=15), st.lists(COORDINATES, max_size=5))
def test_labels_stay_inside_and_keep_off_each_other_and_the_points(
    points: list[tuple[float, float]], others: list[tuple[float, float]]
) -> None:
    within = Box(0, 0, 400, 300)
    sizes = [(20.0 + 5 * row, 10.0) for row in range(len(points))]
    placed = place(points, sizes, within, gap=4, others=others)
    boxes = [box for box in placed if box is not None]
    assert len(placed) == len(points)
    for box in boxes:
        assert 0 <= box.x0 <= box.x1 <= 400 and 0 <= box.y0 <= box.y1 <= 300
        assert not [p for p in points + others if box.x0 < p[0] < box.x1 and box.y0 < p[1] < box.y1]
    for first, second in combinations(boxes, 2):
        apart = first.x1 <= second.x0 or second.x1 <= first.x0
        assert apart or first.y1 <= second.y0 or second.y1 <= first.y0


def test_a_lone_label_stands_right_of_its_point_and_left_where_there_is_no_room() -> None:
    within = Box(0, 0, 400, 300)
    (right,) = place([(200, 150)], [(50, 10)], within, gap=4)
    (left,) = place([(390, 150)], [(50, 10)], within, gap=4)
    assert right is not None and 204 <= right.x0 <= 206
    assert left is not None and 384 <= left.x1 <= 386


def test_a_label_too_large_for_the_figure_is_left_out() -> None:
    assert place([(50, 50)], [(500, 10)], Box(0, 0, 400, 300), gap=4) == [None]


# -- files ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["figure", "figure.jpg", "figure.png.txt", ".png"])
def test_an_unknown_suffix_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidParam, match=r"as \.png or \.svg"):
        plots.save(plots.inertia_history([]), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "figure.svg"
    target.write_text("old")
    plots.save(plots.inertia_history([]), str(target))
    assert "<svg" in target.read_text("utf-8")
    assert list(tmp_path.iterdir()) == [target]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match=r"nowhere.*No such file or directory"):
        plots.save(plots.inertia_history([]), tmp_path / "nowhere" / "figure.png")


def test_a_folder_in_the_way_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "figure.png"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(FileProblem, match=r"figure\.png"):
        plots.save(plots.inertia_history([]), target)
    assert list(tmp_path.iterdir()) == [target]
    assert list(target.iterdir()) == [target / "inside"]


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_interrupts_the_writing_leaves_the_old_file(
    problem: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "figure.svg"
    target.write_text("old")

    def fail(self: Path, other: Path) -> None:
        raise problem

    monkeypatch.setattr(Path, "replace", fail)
    expected = FileProblem if isinstance(problem, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        plots.save(plots.inertia_history([]), target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


# -- what cannot be drawn -----------------------------------------------------------------

ITEM = RankedItem(1, "Alien", 5.0, 6.0, 1.0, {}, 7)
ODD = [
    *(None, 5, "alien", ITEM, CLUSTER, object, [None], [[]], [("lloyd",)], {"a": 1}, np.eye(3)),
    *([("lloyd", 1, "low")], [("lloyd", 1.5, 2.0)], [("lloyd", 1, math.nan)], [("other", 1, 2.0)]),
    *([(np.eye(2), 1, 2.0)], [ClusterView("a", 1, ())], [ClusterView(1, -1, ())]),
    *([ClusterView(1, 1, (3,))], [ClusterView(1, None, ("war",))]),
    Recommendation("q", (), None, (None,), None),
    Recommendation(None, (), None, (ITEM,), None),
    Recommendation("q", (), None, (RankedItem(1, 7, 5.0, 6.0, 1.0, {}, 7),), None),
    Recommendation("q", (), None, (RankedItem(1, "x", "high", 6.0, 1.0, {}, 7),), None),
    Recommendation("q", (), None, (RankedItem(1, "x", 5.0, [], 1.0, {}, 7),), None),
]


@pytest.mark.parametrize("thing", ODD, ids=lambda thing: f"{thing!r:.40}")
@pytest.mark.parametrize(
    "draw",
    [plots.rating_scatter, plots.popularity_bars, plots.cluster_sizes, plots.inertia_history],
)
def test_what_cannot_be_drawn_is_refused_in_words(draw, thing) -> None:
    with pytest.raises(InvalidParam, match=r"needs a|, not |must be"):
        draw(thing)


def test_the_history_of_an_estimator_is_drawn_as_that_of_a_model() -> None:
    progress = [Progress(*step, moved=0) for step in HISTORY]
    one, two = (plots.inertia_history(history) for history in (progress, HISTORY))
    assert [t.get_text() for t in texts(one)] == [t.get_text() for t in texts(two)]


@pytest.mark.parametrize("path", [None, 5, "a\0b.png", b"a.png", ["a.png"]])
def test_what_is_no_path_is_refused(path) -> None:
    with pytest.raises(InvalidParam):
        plots.save(Figure(), path)


@pytest.mark.parametrize("thing", [None, "figure", plots])
def test_what_is_no_figure_is_not_saved(tmp_path: Path, thing) -> None:
    with pytest.raises(InvalidParam, match="save writes a Matplotlib figure"):
        plots.save(thing, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
