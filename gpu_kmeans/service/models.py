"""Model versions in memory, ready to answer, and what the API shows of their items."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import orjson

from gpu_kmeans import __version__
from gpu_kmeans.errors import FileProblem, ModelError, UnknownItem, UnsupportedSchema
from gpu_kmeans.index.columns import column_views
from gpu_kmeans.model import Model
from gpu_kmeans.model.cluster_map import ClusterMap, cluster_map, typical_first
from gpu_kmeans.model.naming import cluster_names
from gpu_kmeans.model.profiles import profiles
from gpu_kmeans.recommend import ClusterView, RankedItem, cluster_views
from gpu_kmeans.search import Searcher
from gpu_kmeans.service.answers import Answers
from gpu_kmeans.service.model_size import check_memory, memory_of
from gpu_kmeans.service.problems import Problem, answer_too_large
from gpu_kmeans.service.registry import Row
from gpu_kmeans.service.settings import Settings
from gpu_kmeans.service.shown import (
    MAX_NAME_CHARACTERS,
    MAX_NAMES,
    MAX_TERM_CHARACTERS,
    beginning,
    beginnings,
    cut,
    marked,
    names,
)
from gpu_kmeans.service.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ClusterShown", "Loaded", "Models", "cluster_row", "missing"]

log = logging.getLogger("gpu_kmeans.service")

ITEMS_KEPT = 20_000
VIEWS_CHARACTERS = 1 << 24
"""Characters of the items that are kept as they are shown; then they are made anew."""
SMALL_ITEMS = 20_000
SMALL_BYTES = 1 << 26
PROFILE_BYTES = 32
"""Bytes for each feature of each cluster while profiles are made: a few float64."""
MAP_ITEMS = 100_000
"""Items on a map: more cannot be told apart in a window."""
HEAD_BYTES = 1_000
NAMED = ("genres", "keywords", "cast", "directors")
MOST_CAST = 8
MAP_NOTE = (
    "For viewing only: each disc is a cluster, its area the number of items, the most typical "
    "ones in the middle; discs that lie close together tend to have similar terms."
)


@dataclass(frozen=True, slots=True)
class ClusterShown:
    """A cluster with its name and its words, all short enough to be shown.

    Attributes
    ----------
    label, size : int
    name : str
    named : bool
        Whether a person has given the name.
    top_terms : list of str
    """

    label: int
    size: int
    name: str
    named: bool
    top_terms: list[str]

    @classmethod
    def of(cls, view: ClusterView, name: str, named: bool) -> Self:
        """Cut what is long."""
        terms = [cut(term, MAX_TERM_CHARACTERS) for term in view.top_terms]
        return cls(view.label, int(view.size), cut(name, MAX_NAME_CHARACTERS), named, terms)


class Loaded:
    """A version that answers.

    Parameters
    ----------
    name : str
    version : int
    model : Model
    settings : Settings
        How much of a text, and of anything, is shown.
    """

    def __init__(self, name: str, version: int, model: Model, settings: Settings) -> None:
        self.name = name
        self.version = version
        self.model = model
        self.settings = settings
        self.memory = memory_of(model)
        names = self._names()
        self.searcher = Searcher(model, names=names)
        self.recommender = self.searcher.recommender
        self.clusters = [
            ClusterShown.of(view, names[view.label], view.label in model.names)
            for view in self._cluster_views()
        ]
        items = model.items
        self.is_small = items.num_rows <= SMALL_ITEMS and items.nbytes <= SMALL_BYTES
        """Whether a usual question is answered sooner than another thread would begin."""
        self._views: dict[int, Row] = {}
        self._views_characters = 0
        self._map: asyncio.Task[bytes] | None = None
        self._profiling = asyncio.Lock()  # each takes memory while it is made
        self.recommender.vector(0)  # so that the first to ask need not wait
        self.searcher.prepare()
        self.answers = Answers(self._about())
        self.check()

    def _about(self) -> str:
        """What answers depend on beside the request."""
        shown = self.settings.max_text_characters, self.settings.max_answer_bytes
        parts = (__version__, self.name, self.version, self.model.info.created, *shown)
        return repr(parts)

    def check(self) -> None:
        """Answer a query, or raise."""
        if self.model.features.text is None:
            self.ranked(self.recommender.similar(self.model.items["id"][0].as_py(), limit=1), ())
            return
        word = next(iter(self.model.vectorizer.vocabulary_))
        answer = self.recommender.recommend(word, limit=1)
        self.ranked(answer.items, answer.terms)
        self.searcher.search(word, limit=1)

    def _cluster_views(self) -> list[ClusterView]:
        if self.model.features.text is not None or self._may_profile:
            return cluster_views(self.model)
        return [ClusterView(label, size, ()) for label, size in enumerate(self.model.sizes)]

    def _names(self) -> list[str]:
        """Names of all clusters; where their means would take too much memory, people's alone."""
        if self._may_profile:
            return cluster_names(self.model)
        own = self.model.names
        return [own.get(label, f"cluster {label}") for label in range(self.model.n_clusters)]

    @property
    def _may_profile(self) -> bool:
        """Whether the means of all clusters, a few times over, are within the memory allowed."""
        cells = self.model.n_clusters * self.model.n_features
        return PROFILE_BYTES * cells <= self.settings.max_loaded_bytes

    async def profiles(self, n_reasons: int, n_typical: int) -> Row:
        """What sets each cluster apart, with names cut; one is made at a time.

        Raises
        ------
        Problem
            422 ``model_too_large``.
        """
        if not self._may_profile:
            raise Problem(
                422,
                "model_too_large",
                f"profiles of {self.model.n_clusters} clusters of {self.model.n_features} features "
                f"take more than the {self.settings.max_loaded_bytes} bytes of memory allowed "
                "(max_loaded_bytes): fit fewer clusters, or fewer features",
            )

        def make() -> Row:
            made = profiles(self.model, n_reasons=n_reasons, n_typical=n_typical)
            return {
                **self.head(),
                "clusters": [_cut_profile(profile.to_dict()) for profile in made],
            }

        async with self._profiling:
            return await asyncio.to_thread(make)

    def head(self) -> Row:
        """Which version an answer comes from."""
        return {"model": self.name, "version": self.version}

    def item_id(self, text: str) -> int | str:
        """The id that a path's text stands for."""
        return self.recommender.item_id(text)

    def item(self, row: int) -> Row:
        """An item as the API shows it, its text cut."""
        view = self._views.get(row)
        if view is None:
            view = self._view(row)
            size = len(view["text"]) + sum(len(name) for key in NAMED for name in view[key])
            size += sum(len(name) + len(str(cell)) for name, cell in view["columns"].items())
            if self._views_characters + size > VIEWS_CHARACTERS or len(self._views) >= ITEMS_KEPT:
                self._views, self._views_characters = {}, 0
            self._views[row] = view
            self._views_characters += size
        return view

    def named_item(self, row: int) -> Row:
        """The id and the title of an item."""
        return {"id": self.model.items["id"][row].as_py(), "title": self._title(row)}

    def text(self, row: int, start: int, limit: int) -> Row:
        """A part of an item's whole text, and where the next one begins."""
        items = self.model.items
        text = items["text"][row].as_py() if "text" in items.column_names else ""
        end = start + limit
        return {
            "id": self.model.items["id"][row].as_py(),
            "characters": len(text),
            "start": start,
            "text": text[start:end],
            "next": end if end < len(text) else None,
        }

    def ranked(self, items: Iterable[RankedItem], terms: Collection[str]) -> list[Row]:
        """Recommended items: what each is, why it is here, its text with the terms marked."""
        views = []
        for item in items:
            view = self.item(self.recommender.row_of(item.id))
            title = view["title"]
            why = {
                "score": item.score,
                "parts": item.parts,
                "marked": marked(view["text"], terms),
                "marked_title": None if title is None else marked(title, terms),
                "reasons": {},
            }
            views.append(view | why)
        return views

    def shared_terms(self, row: int, count: int = 12) -> list[str]:
        """The heaviest terms of an item; none where there are no texts."""
        if self.model.features.text is None:
            return []
        indices, weights = self.recommender.vector(row)
        heaviest = np.argsort(-weights, kind="stable")[:count]
        return [self._terms[index] for index in indices[heaviest].tolist()]

    def members(self, label: int) -> list[int]:
        """Rows of a cluster's items, the most typical first."""
        if not 0 <= label < self.model.n_clusters:
            raise UnknownItem(
                f"the model has clusters 0 to {self.model.n_clusters - 1}, and none {label}"
            )
        return self._members.get(label, [])

    async def packed_map(self) -> bytes:
        """The map as JSON, compressed; drawn once, however many ask for it meanwhile."""
        if self._map is None or (self._map.done() and self._map.exception() is not None):
            self._map = asyncio.create_task(asyncio.to_thread(self._draw))
        return await asyncio.shield(self._map)

    def _draw(self) -> bytes:
        discs = cluster_map(self.model)
        shown = min(MAP_ITEMS, len(discs.rows))
        while len(content := orjson.dumps(self._map_of(discs, shown))) > (
            most := self.settings.max_answer_bytes
        ):
            if shown == 0:
                raise answer_too_large(len(content), most)
            shown //= 2
        return gzip.compress(content, 6, mtime=0)

    def _map_of(self, discs: ClusterMap, shown: int) -> Row:
        """The map of so many of the clustered items, taken evenly from all clusters."""
        n = len(discs.rows)
        drawn = np.arange(shown) * n // max(1, shown)
        rows = discs.rows[drawn]
        items = self.model.items.select(
            [name for name in ("id", "title") if name in self.model.items.column_names]
        ).take(rows)
        few = f" {shown} of {n} items are drawn, as many as an answer holds." if shown < n else ""
        shapes = zip(
            *(column.tolist() for column in (discs.labels, discs.x, discs.y, discs.radius)),
            strict=True,
        )
        return {
            **self.head(),
            "note": MAP_NOTE + few,
            "n": n,
            "shown": shown,
            "x": np.round(discs.item_x[drawn], 3).tolist(),
            "y": np.round(discs.item_y[drawn], 3).tolist(),
            "cluster": self.model.labels[rows].tolist(),
            "id": list(_values(items["id"])),
            "title": list(self._titles(items)),
            "discs": [
                {
                    "x": round(x, 3),
                    "y": round(y, 3),
                    "radius": round(radius, 3),
                    **cluster_row(self.clusters[label]),
                }
                for label, x, y, radius in shapes
            ],
        }

    def cluster_rows(self) -> list[Row]:
        """All clusters as the API shows them, with as many terms as an answer has room for."""
        rows = [cluster_row(view) for view in self.clusters]
        most = max((len(view.top_terms) for view in self.clusters), default=0)
        while most and len(orjson.dumps(rows)) > self.settings.max_answer_bytes - HEAD_BYTES:
            most //= 2
            rows = [row | {"top_terms": row["top_terms"][:most]} for row in rows]
        return rows

    @cached_property
    def _members(self) -> dict[int, list[int]]:
        """Rows by cluster, the most typical first."""
        by_label: dict[int, list[int]] = {}
        rows = typical_first(self.model)
        for row, label in zip(rows.tolist(), self.model.labels[rows].tolist(), strict=True):
            by_label.setdefault(label, []).append(row)
        return by_label

    @cached_property
    def columns(self) -> list[Row]:
        """Columns that items can be filtered by, as the API shows them."""
        return [
            {
                "name": view.name,
                "kind": view.kind,
                "items": view.n_items,
                "distinct": view.n_values,
                "least": view.least,
                "most": view.most,
                "whole": view.whole,
                "values": [{"value": value, "items": n} for value, n in view.values],
            }
            for view in column_views(self.model)
        ]

    @cached_property
    def _terms(self) -> list[str]:
        return [str(term) for term in self.model.vectorizer.get_feature_names_out()]

    def _titles(self, items: pa.Table) -> Iterator[str | None]:
        if "title" not in items.column_names:
            return repeat(None, items.num_rows)
        return beginnings(items["title"], MAX_NAME_CHARACTERS)

    def _title(self, row: int) -> str | None:
        items = self.model.items
        if "title" not in items.column_names:
            return None
        return beginning(items["title"], row, MAX_NAME_CHARACTERS)[0]

    def _view(self, row: int) -> Row:
        items, there = self.model.items, set(self.model.items.column_names)

        def number(name: str) -> Any:
            return items[name][row].as_py() if name in there else None

        def some(name: str, most: int = MAX_NAMES) -> list[str]:
            return names(items[name], row, most) if name in there else []

        date, _ = beginning(items["date"], row, MAX_NAME_CHARACTERS) if "date" in there else ("", 0)
        text, is_cut = "", False
        if "text" in there:
            text, is_cut = beginning(items["text"], row, self.settings.max_text_characters)
        return {
            "id": items["id"][row].as_py(),
            "title": self._title(row),
            "text": text,
            **({"text_is_cut": True} if is_cut else {}),
            "date": date,
            "popularity": number("popularity"),
            "vote_average": number("rating"),
            "votes": number("votes"),
            "genres": some("genres"),
            "keywords": some("keywords"),
            "cast": some("cast", MOST_CAST),
            "directors": some("crew"),
            "columns": self._columns(row),
            "cluster": int(self.model.labels[row]),
        }

    def _columns(self, row: int) -> Row:
        """The item's cells of the columns that have no role of the catalogue; texts are cut."""
        others = self.model.others
        if others is None:
            return {}
        return {
            cut(name, MAX_NAME_CHARACTERS): others[name][row].as_py()
            if str(others[name].type) == "double"
            else beginning(others[name], row, self.settings.max_text_characters)[0]
            for name in others.column_names
        }


def _values(column: Any) -> Iterator[Any]:
    """Cells of an Arrow column, so that other threads have their turn between."""
    for start in range(0, len(column), 4_096):
        yield from column.slice(start, 4_096).to_pylist()


def _cut_profile(profile: Row) -> Row:
    """A profile whose names are short enough to be shown."""
    profile["name"] = cut(profile["name"], MAX_NAME_CHARACTERS)
    for reason in profile["reasons"]:
        for key in ("column", "name"):
            reason[key] = cut(reason[key], MAX_NAME_CHARACTERS)
    for item in profile["typical"]:
        item["title"] = item["title"] and cut(item["title"], MAX_NAME_CHARACTERS)
    return profile


def cluster_row(view: ClusterShown) -> Row:
    """A cluster as the API shows it."""
    return {
        "label": view.label,
        "size": view.size,
        "name": view.name,
        "named": view.named,
        "top_terms": view.top_terms,
    }


class Models:
    """Loads versions when they are asked for, and keeps the last few.

    Parameters
    ----------
    store : Store
    settings : Settings
        How many versions are kept, and how much memory they may take.
    on_change : callable, optional
        Told "loaded" and "evicted", for the metrics.
    """

    def __init__(
        self, store: Store, settings: Settings, on_change: Callable[[str], None] | None = None
    ) -> None:
        self._on_change = on_change or (lambda _: None)
        self.store = store
        self.settings = settings
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Loaded]] = {}
        self._one_at_a_time = asyncio.Lock()  # each takes memory while it is read

    @property
    def memory(self) -> int:
        """Bytes that the versions in memory take."""
        return sum(loaded.memory for loaded in self._loaded.values())

    def __len__(self) -> int:
        return len(self._loaded)

    async def get(self, name: str, version: int | None = None) -> Loaded:
        """A version of a model, the active one unless told otherwise.

        Raises
        ------
        Problem
            404 for a model or a version that is not there; 409 where none is active, or where
            its files cannot be read.
        """
        row = self.row(name, version)
        folder = row["folder"]
        loaded = self._loaded.get(folder)
        if loaded is not None:
            self._loaded.move_to_end(folder)
            return loaded
        task = self._loading.get(folder)
        if task is None:  # those who come meanwhile wait for the same
            task = asyncio.create_task(self._load(row))
            self._loading[folder] = task
            task.add_done_callback(lambda _: self._loading.pop(folder, None))
        return await asyncio.shield(task)

    def ready(self, name: str, version: int | None = None) -> Loaded | None:
        """The same where it is in memory, else None."""
        return self._loaded.get(self.row(name, version)["folder"])

    def row(self, name: str, version: int | None = None) -> Row:
        """The registry's row of a version that can be read."""
        registry = self.store.registry
        model = registry.model(name)
        if model is None:
            raise Problem(404, "unknown_model", f"there is no model {name!r}")
        number = model["active"] if version is None else version
        if number is None:
            raise Problem(
                409,
                "no_active_version",
                f"no version of the model {name!r} is active: activate one",
            )
        row = registry.place(name, number)
        if row is None:
            raise Problem(404, "unknown_version", f"the model {name!r} has no version {number}")
        if row["state"] == "corrupt":
            raise _corrupt(name, number)
        return row

    def has(self, folder: str) -> bool:
        """Whether a version is in memory."""
        return folder in self._loaded

    async def load_active(self) -> None:
        """Load the active versions, as many as are kept, before anyone asks."""
        for model in self.store.registry.models()[: self.settings.max_loaded_models]:
            if model["active"] is not None:
                try:
                    await self.get(model["name"])
                except Problem as problem:
                    log.error(
                        "a model does not load",
                        extra={"model": model["name"], "code": problem.code},
                    )

    def forget(self, folder: str) -> None:
        """Keep a version in memory no longer."""
        self._loaded.pop(folder, None)

    async def _load(self, row: Row) -> Loaded:
        name, version = row["model"], row["version"]
        folder = self.store.models / row["folder"]
        most = min(self.settings.max_model_bytes, self.settings.max_loaded_bytes)

        def load() -> Loaded:
            row_now = self.store.registry.version(name, version)
            check_memory(row_now["about"].get("memory", 0) if row_now is not None else 0, most)
            return Loaded(name, version, Model.load(folder), self.settings)

        try:
            async with self._one_at_a_time:
                loaded = await asyncio.to_thread(load)
        except Problem as problem:
            raise Problem(
                409,
                "version_too_large",
                f"version {version} of the model {name!r} cannot be loaded: {problem.detail}",
            ) from None
        except (UnsupportedSchema, FileProblem, OSError, MemoryError) as error:
            if folder.is_dir():  # not its fault: it stays where it is
                raise Problem(
                    503,
                    "version_unavailable",
                    f"version {version} of the model {name!r} cannot be loaded now: "
                    f"{'it needs a newer gpu-kmeans' if _too_new(error) else 'try again later'}",
                    {"Retry-After": "5"},
                ) from error
            raise missing(name, version) from error
        except ModelError as error:
            raise await self._set_aside(row, error) from error
        self._loaded[row["folder"]] = loaded
        self._on_change("loaded")
        self._make_room()
        return loaded

    def _make_room(self) -> None:
        """Let go of those that were not asked for the longest; one stays in any case."""
        while len(self._loaded) > 1 and (
            len(self._loaded) > self.settings.max_loaded_models
            or self.memory > self.settings.max_loaded_bytes
        ):
            self._loaded.popitem(last=False)
            self._on_change("evicted")

    async def _set_aside(self, row: Row, error: Exception) -> Problem:
        """Take a version that cannot be read out of the way; return what to say of it."""
        name, version = row["model"], row["version"]
        await asyncio.to_thread(self.store.registry.set_aside, name, version)
        await asyncio.to_thread(self.store.set_aside, row["folder"])
        log.error(
            "a version was set aside",
            extra={"model": name, "version": version, "reason": type(error).__name__},
        )
        return _corrupt(name, version)


def _too_new(error: BaseException) -> bool:
    return isinstance(error, UnsupportedSchema)


def missing(name: str, version: int) -> Problem:
    """The problem of a version whose folder is not there; it may come back, as of a late mount."""
    return Problem(
        409,
        "version_missing",
        f"files of version {version} of the model {name!r} are missing from the server's folder "
        "or cut short: put them back, activate another version, or fit anew",
    )


def _corrupt(name: str, version: int) -> Problem:
    return Problem(
        409,
        "version_corrupt",
        f"version {version} of the model {name!r} cannot be read and was set aside: "
        "activate another, upload its archive again, or fit anew",
    )
