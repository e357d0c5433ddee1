"""Model versions in memory, ready to answer, and what the API shows of their items."""

from __future__ import annotations

import asyncio
import gzip
import logging
import math
import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import orjson

from gpu_kmeans.discs import disc_map, own_products, typical_first
from gpu_kmeans.errors import FileProblem, ModelError, UnknownItem, UnsupportedSchema
from gpu_kmeans.model import UNCLUSTERED, Model
from gpu_kmeans.recommend import ClusterView, RankedItem, Recommender, cluster_views
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.registry import Row
from gpu_kmeans.service.store import Store

__all__ = ["Loaded", "Models", "cluster_row", "marked", "missing"]

log = logging.getLogger("gpu_kmeans.service")

ITEMS_KEPT = 20_000
MOST_CAST = 8
INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
MAP_NOTE = (
    "For viewing only: each disc is a cluster, its area the number of items, the most typical "
    "ones in the middle; discs that lie close together tend to have similar terms."
)


class Loaded:
    """A version that answers.

    Parameters
    ----------
    name : str
    version : int
    model : Model
    """

    def __init__(self, name: str, version: int, model: Model) -> None:
        self.name = name
        self.version = version
        self.model = model
        self.recommender = Recommender(model)
        self.clusters = cluster_views(model)
        self._views: dict[int, Row] = {}
        self.check()  # so that the first to ask need not wait

    def check(self) -> None:
        """Answer a query, or raise."""
        word = next(iter(self.model.vectorizer.vocabulary_))
        found = self.recommender.recommend(word, limit=1)
        self.ranked(found.items, found.terms)

    def head(self) -> Row:
        """Which version an answer comes from."""
        return {"model": self.name, "version": self.version}

    def item_id(self, text: str) -> int | str:
        """The id that a path's text stands for."""
        import pyarrow as pa

        if not pa.types.is_integer(self.model.items.schema.field("id").type):
            return text
        if not INTEGER.fullmatch(text):
            raise UnknownItem(f"no item of the model has the id {text!r:.80}")
        return int(text)

    def item(self, row: int) -> Row:
        """An item as the API shows it."""
        view = self._views.get(row)
        if view is None:
            view = self._view(row)
            if len(self._views) >= ITEMS_KEPT:
                self._views.clear()
            self._views[row] = view
        return view

    def ranked(self, items: Iterable[RankedItem], terms: Collection[str]) -> list[Row]:
        """Recommended items: what each is, why it is here, its text with the terms marked."""
        found = []
        for item in items:
            view = self.item(self.recommender.row_of(item.id))
            why = {"score": item.score, "parts": item.parts, "marked": marked(view["text"], terms)}
            found.append(view | why)
        return found

    def shared_terms(self, row: int, count: int = 12) -> list[str]:
        """The heaviest terms of an item."""
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

    def labelled(self) -> Iterator[list[Any]]:
        """Id, title, cluster and distance to its centroid of every item, as far as it has them."""
        model, postings = self.model, self.model.postings
        squares = np.bincount(
            postings.rows, np.square(postings.values, dtype=np.float64), postings.n_rows
        )
        centroids = [float(np.square(c, dtype=np.float64).sum()) for c in model.centroids]
        dots = own_products(model)
        ids, labels = model.items["id"].to_pylist(), model.labels.tolist()
        for row, label in enumerate(labels):
            if label == UNCLUSTERED:
                distance: Any = ""
            else:
                squared = squares[row] - 2 * dots[row] + centroids[label]
                distance = round(math.sqrt(max(0.0, squared)), 6)
            yield [ids[row], self._titles[row] or "", label, distance]

    @cached_property
    def packed_map(self) -> bytes:
        """The map as JSON, compressed: for many items it is megabytes, and the same each time."""
        return gzip.compress(orjson.dumps(self.map()), 6, mtime=0)

    def map(self) -> Row:
        """The map of all clustered items."""
        discs = disc_map(self.model)
        ids = self.model.items["id"].to_pylist()
        titles = self._titles
        rows = discs.rows.tolist()
        shapes = zip(
            *(each.tolist() for each in (discs.labels, discs.x, discs.y, discs.radius)),
            strict=True,
        )
        return {
            **self.head(),
            "note": MAP_NOTE,
            "n": len(rows),
            "x": np.round(discs.item_x, 3).tolist(),
            "y": np.round(discs.item_y, 3).tolist(),
            "cluster": self.model.labels[discs.rows].tolist(),
            "id": [ids[row] for row in rows],
            "title": [titles[row] for row in rows],
            "discs": [
                {
                    "label": label,
                    "x": round(x, 3),
                    "y": round(y, 3),
                    "radius": round(radius, 3),
                    "size": self.clusters[label].size,
                    "top_terms": list(self.clusters[label].top_terms),
                }
                for label, x, y, radius in shapes
            ],
        }

    @cached_property
    def _members(self) -> dict[int, list[int]]:
        """Rows by cluster, the most typical first."""
        found: dict[int, list[int]] = {}
        rows = typical_first(self.model)
        for row, label in zip(rows.tolist(), self.model.labels[rows].tolist(), strict=True):
            found.setdefault(label, []).append(row)
        return found

    @cached_property
    def _terms(self) -> list[str]:
        return [str(term) for term in self.model.vectorizer.get_feature_names_out()]

    @cached_property
    def _titles(self) -> list[str | None]:
        items = self.model.items
        if "title" not in items.column_names:
            return [None] * items.num_rows
        titles: list[str | None] = items["title"].to_pylist()
        return titles

    def _view(self, row: int) -> Row:
        items = self.model.items
        cells = {name: items[name][row].as_py() for name in items.column_names}
        return {
            "id": cells["id"],
            "title": cells.get("title"),
            "text": cells["text"],
            "date": cells.get("date") or "",
            "popularity": cells.get("popularity"),
            "vote_average": cells.get("rating"),
            "votes": cells.get("votes"),
            "genres": cells.get("genres") or [],
            "keywords": cells.get("keywords") or [],
            "cast": (cells.get("cast") or [])[:MOST_CAST],
            "directors": cells.get("crew") or [],
            "cluster": int(self.model.labels[row]),
        }


def cluster_row(view: ClusterView) -> Row:
    """A cluster as the API shows it."""
    return {"label": view.label, "size": view.size, "top_terms": list(view.top_terms)}


def marked(text: str, terms: Collection[str]) -> list[tuple[str, bool]]:
    """Cut a text into pieces; true are the words of the terms, in whatever case."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a letter whose small form is two
        lowered = "".join(each if len(each.lower()) > 1 else each.lower() for each in text)
    spans = []
    for word in {word for term in terms for word in term.split()}:
        at = lowered.find(word)
        while at >= 0:
            end = at + len(word)
            if not (_is_word(lowered[at - 1 : at]) or _is_word(lowered[end : end + 1])):
                spans.append((at, end))
            at = lowered.find(word, end)
    pieces: list[tuple[str, bool]] = []
    done = 0
    for at, end in sorted(spans):
        if at > done:
            pieces.append((text[done:at], False))
        pieces.append((text[at:end], True))
        done = end
    if done < len(text):
        pieces.append((text[done:], False))
    return pieces


def _is_word(character: str) -> bool:
    """Whether it continues a word, as :mod:`gpu_kmeans.text` defines one; "" does not."""
    return character.isalnum() or character == "_"


class Models:
    """Loads versions when they are asked for, and keeps the last few.

    Parameters
    ----------
    store : Store
    most : int
        Versions to keep.
    """

    def __init__(self, store: Store, most: int) -> None:
        self.store = store
        self.most = most
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Loaded]] = {}
        self._one_at_a_time = asyncio.Lock()  # each takes memory while it is read

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
        for model in self.store.registry.models()[: self.most]:
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

        def load() -> Loaded:
            return Loaded(name, version, Model.load(self.store.models / row["folder"]))

        try:
            async with self._one_at_a_time:
                loaded = await asyncio.to_thread(load)
        except (UnsupportedSchema, FileProblem, OSError, MemoryError) as error:
            if (self.store.models / row["folder"]).is_dir():  # not its fault: it stays where it is
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
        while len(self._loaded) > self.most:
            self._loaded.popitem(last=False)
        return loaded

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
