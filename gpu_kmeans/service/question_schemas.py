"""What questions to models and changes of them take and give, as the OpenAPI document has it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gpu_kmeans.model.edit import MAX_NAME
from gpu_kmeans.service.schemas import Cluster, ItemId, Name, Number, Version

__all__ = [
    "Audit",
    "Comparison",
    "Drift",
    "Edited",
    "Edits",
    "Levels",
    "Outliers",
    "Updated",
    "Versions",
]

MOST_OPERATIONS = 1_000
MOST_ITEMS = 100_000
"""Maximum number of items that one operation moves."""
Label = Annotated[int, Field(ge=0, le=2**31 - 1)]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _OfVersion(BaseModel):
    model: Name
    version: int


class Versions(BaseModel):
    """Versions of a model, the newest first."""

    model: Name
    active: int | None
    previous: int | None
    versions: list[Version]
    next_cursor: str | None


# -- levels ------------------------------------------------------------------------------------


class LevelCluster(BaseModel):
    """A cluster of a level."""

    label: int
    name: str
    size: int
    parent: int | None = Field(description="label of the cluster above that it is a part of")
    labels: list[int] = Field(description="clusters of the version that its items are in")


class Level(BaseModel):
    """One level: so many clusters."""

    n_clusters: int
    clusters: list[LevelCluster]


class Levels(_OfVersion):
    """Clusters on several levels, the coarsest first; each is a part of one above."""

    levels: list[Level]


# -- changes by hand ---------------------------------------------------------------------------


class Rename(_Given):
    """Give a cluster a name of one's own."""

    op: Literal["rename"]
    cluster: Label
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)] | None = Field(
        description="null for the automatic one"
    )


class Merge(_Given):
    """Make one cluster of several: the first of them; labels after the others move up."""

    op: Literal["merge"]
    clusters: list[Label] = Field(min_length=2, max_length=100_000)


class Split(_Given):
    """Split a cluster: its largest part keeps the label, the others come after all."""

    op: Literal["split"]
    cluster: Label
    parts: int = Field(2, ge=2, le=1_000)
    seed: int = Field(42, ge=0, le=2**63 - 1)


class Move(_Given):
    """Put items into a cluster."""

    op: Literal["move"]
    items: list[ItemId] = Field(min_length=1, max_length=MOST_ITEMS)
    cluster: Label


Operation = Annotated[Rename | Merge | Split | Move, Field(discriminator="op")]


class Edits(_Given):
    """Changes of a version by hand, one after the other: each sees the labels of the one before."""

    version: Annotated[int, Field(ge=1, le=2**31)] | None = Field(
        None, description="that is changed; If-Match names it as well"
    )
    operations: list[Operation] = Field(min_length=1, max_length=MOST_OPERATIONS)
    activate: bool = Field(
        True, description="let the new version answer; the one changed must be active then"
    )


class Edited(_OfVersion):
    """A new version, and its clusters."""

    based_on: int
    active: bool
    clusters: list[Cluster]


class Updated(Edited):
    """A new version with the items of an upload."""

    n_new: int = Field(description="items that came")
    n_known: int = Field(description="rows whose id the model has already: they are left out")
    n_strange: int = Field(description="new items that fit nowhere")
    strange: list[ItemId] = Field(description="their ids, a thousand at most")


# -- outliers ----------------------------------------------------------------------------------


class NamedCluster(BaseModel):
    """A cluster by its name."""

    label: int
    name: str
    size: int


class Outlier(BaseModel):
    """An item, and how badly it fits."""

    id: ItemId
    title: str | None
    score: Number = Field(
        description="distance to the nearest established cluster, in median distances of its "
        "items; about 1 for an ordinary item, null for one without features"
    )
    margin: Number = Field(description="that distance divided by the one to the next cluster")
    cluster: int
    nearest: int
    why: Literal["no_text", "no_known_term", "set_apart"] | None = Field(
        description="that it is in no cluster"
    )


class Outliers(_OfVersion):
    """Items, the worst first, and clusters that hold together badly."""

    n: int = Field(description="items there are, on all pages")
    items: list[Outlier]
    next_cursor: str | None
    junk_clusters: list[NamedCluster]


# -- changes between versions ------------------------------------------------------------------


class Flow(BaseModel):
    """Items that a cluster before and one after share."""

    before: int
    after: int
    before_name: str
    after_name: str
    items: int
    matched: bool = Field(description="whether the one became the other")


class Terms(BaseModel):
    """Distinctive terms that a cluster has got, and lost."""

    label: int = Field(description="after")
    came: list[str]
    went: list[str]


class Moved(BaseModel):
    """An item that is in another cluster than what its own became."""

    id: ItemId
    title: str | None
    before: int
    after: int


class BothClusters(BaseModel):
    """Clusters of both versions."""

    before: list[NamedCluster]
    after: list[NamedCluster]


class Comparison(BaseModel):
    """Two versions side by side."""

    before: _OfVersion
    after: _OfVersion
    verdict: str
    agreement: float = Field(description="adjusted Rand index of the common items")
    v_measure: float
    n_common: int
    n_gone: int
    n_new: int
    n_moved: int
    clusters: BothClusters
    flows: list[Flow] = Field(description="the largest first, a thousand at most")
    n_flows: int
    terms: list[Terms]
    moved: list[Moved]
    next_cursor: str | None = Field(description="of the next page of `moved`")


class DriftCluster(BaseModel):
    """New rows of a cluster."""

    label: int = Field(description="-1 for rows in no cluster")
    name: str | None
    rows: int
    far: int


class Drift(_OfVersion):
    """New rows against the distances that a version knows."""

    n_rows: int
    n_far: int = Field(description="farther from their cluster than 99 in 100 of its own items")
    expected: float
    verdict: str
    clusters: list[DriftCluster]


# -- the service -------------------------------------------------------------------------------


class AuditKey(BaseModel):
    """The key that a request had."""

    id: str
    name: str


class AuditEntry(BaseModel):
    """A change that was made."""

    time: str
    action: str = Field(examples=["version activated"])
    client: str | None = Field(description="its address; null for what the service did by itself")
    key: AuditKey | None
    request: str | None
    about: dict[str, Any] = Field(examples=[{"model": "films", "version": 2}])


class Audit(BaseModel):
    """Changes, the newest first."""

    entries: list[AuditEntry]
    next_cursor: str | None
