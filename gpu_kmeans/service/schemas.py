"""What the API takes and gives, as it stands in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, StringConstraints, field_validator

from gpu_kmeans.service.settings import Settings

__all__ = [
    "Clusters",
    "Dataset",
    "Datasets",
    "Info",
    "Item",
    "ItemText",
    "Items",
    "Job",
    "JobRequest",
    "JobSummary",
    "Jobs",
    "Map",
    "ModelDetail",
    "Models",
    "Name",
    "Predictions",
    "Problem",
    "Recommendation",
    "Report",
    "Similar",
    "Texts",
    "Version",
]

MAX_NGRAM = 10
"""Most words in a run: longer ones hardly repeat, and each length is as many terms again."""
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")]
ItemId = int | str
Piece = tuple[str, bool]
Step = tuple[str, int, float]
Number = float | None


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Shown(BaseModel):
    pass


class Problem(_Shown):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    code: str = Field(description="stable, for programs", examples=["missing_column"])
    detail: str = Field(
        description="for people",
        examples=["items.csv has no column 'overview'; found 'id', 'plot'"],
    )
    request_id: str


# -- datasets --------------------------------------------------------------------------------


class Part(_Shown):
    """An uploaded file."""

    bytes: int
    sha256: str
    media_type: str
    uploaded: str


class Dataset(_Shown):
    """A catalogue that can be clustered."""

    name: Name = Field(examples=["films"])
    created: str
    updated: str
    revision: str = Field(
        description="another one once a part was replaced: for If-Match, and for fits",
        examples=["5f2c9a0be1d34c77"],
    )
    rows: int = Field(examples=[4803])
    columns: dict[str, str] = Field(
        description="the column that is used for each role",
        examples=[{"id": "id", "text": "overview"}],
    )
    absent: list[str] = Field(description="roles without a column", examples=[["votes"]])
    problems: list[str] = Field(
        description="what a reader of the results should know",
        examples=[["rows without a text, which cannot be clustered: 3 of 4803"]],
    )
    items: Part
    credits: Part | None


class Datasets(_Shown):
    """All datasets by name."""

    datasets: list[Dataset]


# -- jobs --------------------------------------------------------------------------------------


class Parameters(_Given):
    """Arguments of a fit; see ``gpu-kmeans fit --help``."""

    n_clusters: int = Field(10, ge=1, le=100_000)
    seed: int = Field(42, ge=0, le=2**63 - 1)
    algorithm: Literal["hartigan", "lloyd"] = "hartigan"
    max_iter: int = Field(300, ge=1, le=100_000)
    backend: Literal["auto", "cpu", "gpu"] | None = Field(
        None, description="the service's own by default"
    )
    stop_words: Literal["english"] | None = "english"
    ngram_range: Annotated[
        list[Annotated[int, Field(ge=1, le=MAX_NGRAM)]],
        Field(min_length=2, max_length=2, description="shortest and longest run of words"),
    ] = [1, 1]
    min_df: Annotated[int, Field(ge=1)] | Annotated[float, Field(ge=0, le=1)] = 1
    max_df: Annotated[int, Field(ge=1)] | Annotated[float, Field(ge=0, le=1)] = 1.0
    max_features: Annotated[int, Field(ge=1)] | None = None
    sublinear_tf: bool = Field(False, description="for weighting tfidf alone")
    weighting: Literal["tfidf", "bm25", "log-entropy"] = "tfidf"

    @field_validator("ngram_range")
    @classmethod
    def _rising(cls, value: list[int]) -> list[int]:
        if value[0] > value[1]:
            raise ValueError(
                f"the shortest run, {value[0]}, is longer than the longest, {value[1]}"
            )
        return value

    @field_validator("max_df")
    @classmethod
    def _all_of_them(cls, value: int | float) -> int | float:
        """Take 1 for a share: JavaScript writes 1.0 so, and terms of one text are no clusters."""
        return 1.0 if value == 1 else value


class JobRequest(_Given):
    """A fit to be made."""

    dataset: Name = Field(examples=["films"])
    model: Name | None = Field(None, description="the dataset's name by default")
    parameters: Parameters = Field(default_factory=lambda: Parameters.model_validate({}))
    activate: bool = Field(True, description="let the new version answer")
    revision: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="of the dataset: where it was replaced since, there is no fit"
    )


class JobError(_Shown):
    """Why a job gave no version."""

    code: str
    detail: str


class JobSummary(_Shown):
    """A fit: waiting, running or ended."""

    id: str
    dataset: Name
    model: Name
    parameters: dict[str, Any]
    activate: bool
    state: Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted"]
    created: str
    started: str | None
    finished: str | None
    stage: str | None = Field(examples=["cluster"])
    version: int | None
    error: JobError | None
    queue_position: int | None = Field(description="1 is the next to run")


class Job(JobSummary):
    """A fit with its iterations."""

    history: list[Step] = Field(description="stage, iteration and inertia")


class Jobs(_Shown):
    """Jobs, the newest first."""

    jobs: list[JobSummary]
    next_cursor: str | None


# -- models ------------------------------------------------------------------------------------


class Version(_Shown):
    """One fit of a model."""

    version: int
    created: str
    active: bool
    state: Literal["ready", "corrupt"]
    dataset: Name | None
    job: str | None
    source: Literal["fit", "upload"]
    bytes: int
    backend: str
    parameters: dict[str, Any]
    metrics: dict[str, float]


class ModelSummary(_Shown):
    """A model in the list."""

    name: Name
    active: int | None
    versions: int
    updated: str


class Models(_Shown):
    """All models by name."""

    models: list[ModelSummary]


class ModelDetail(_Shown):
    """A model and its versions, the newest first."""

    name: Name
    active: int | None
    previous: int | None
    versions: list[Version]


class _OfVersion(_Shown):
    model: Name
    version: int


class Cluster(_Shown):
    """A cluster and the heaviest terms of its centroid."""

    label: int
    size: int
    top_terms: list[str]


class Clusters(_OfVersion):
    """All clusters of a version."""

    unclustered: int = Field(description="items in no cluster")
    clusters: list[Cluster]


class Item(_Shown):
    """A row of the catalogue."""

    id: ItemId
    title: str | None
    text: str = Field(description="at most `max_text_characters`; see `/text` for the whole")
    text_is_cut: bool = Field(False, description="more of it was left out; absent where not")
    date: str
    popularity: Number
    vote_average: Number
    votes: Number
    genres: list[str]
    keywords: list[str]
    cast: list[str]
    directors: list[str]
    cluster: int = Field(description="-1 for an item in no cluster")


class Items(_Shown):
    """A page of items."""

    items: list[Item]
    next_cursor: str | None


class ItemText(_Shown):
    """A part of an item's text."""

    id: ItemId
    characters: int = Field(description="of the whole text")
    start: int
    text: str
    next: int | None = Field(description="where the next part starts")


class Ranked(Item):
    """An item with the reasons that it is here."""

    score: float
    parts: dict[str, float] = Field(
        description="score = relevance * relevance_weight + fame * fame_weight; "
        "fame is the share of all items that are less popular"
    )
    marked: list[Piece] = Field(description="the text in pieces; true: a term of the query")


class Recommendation(_OfVersion):
    """What a query found."""

    query: str
    rank: str
    terms: list[str] = Field(description="terms of the query that the model knows")
    cluster: Cluster | None = Field(description="the nearest one")
    message: str | None
    items: list[Ranked]


class Similar(_OfVersion):
    """Items with texts like that of one item."""

    item: Item
    items: list[Ranked]


class Texts(_Given):
    """Texts to be put into clusters."""

    texts: Annotated[list[Annotated[str, Field(max_length=10_000)]], FailFast()] = Field(
        min_length=1, examples=[["A ghost haunts a lighthouse."]]
    )


class Prediction(_Shown):
    """Where a text belongs."""

    cluster: int = Field(description="-1 without a known term")
    distance: Number = Field(description="to the centroid; Euclidean")


class Predictions(_OfVersion):
    """Clusters of texts, in their order."""

    predictions: list[Prediction]


class Disc(Cluster):
    """A cluster on the map."""

    x: float
    y: float
    radius: float


class Map(_OfVersion):
    """Clustered items as places in two dimensions, column by column."""

    note: str
    n: int = Field(description="clustered items")
    shown: int = Field(description="of them, as many as are drawn")
    x: list[float]
    y: list[float]
    cluster: list[int]
    id: list[ItemId]
    title: list[str | None]
    discs: list[Disc]


class Report(_OfVersion):
    """How good a version is, and how it came about."""

    model_config = ConfigDict(extra="allow")

    n_items: int
    n_clustered: int
    n_unclustered: int
    n_clusters: int
    n_empty: int
    inertia: float
    inertia_one_cluster: float
    explained: float
    largest_share: float
    silhouette: dict[str, float] | None
    reach: dict[str, Any]
    history: list[Step]
    seconds: dict[str, float]
    warnings: list[str]
    backend: str
    backend_reason: str
    created: str
    parameters: dict[str, Any]
    catalogue: dict[str, Any]


# -- the service -------------------------------------------------------------------------------


class Info(_Shown):
    """What this service is."""

    name: str
    version: str
    backend: str
    backend_reason: str
    keys_required: bool
    limits: dict[str, int | float]


LIMITS = (
    *("max_upload_bytes", "max_table_bytes", "max_row_bytes", "max_cell_bytes", "max_expansion"),
    *("max_columns", "max_distinct", "max_rows", "max_body_bytes", "max_answer_bytes"),
    *("max_text_characters", "max_batch", "max_queue", "max_concurrent", "max_uploads"),
    *("max_connections", "max_streams", "max_client_connections", "max_client_requests"),
    *("max_client_streams", "max_client_uploads"),
    *("max_model_bytes", "max_loaded_models", "max_loaded_bytes"),
    *("fit_seconds", "fit_memory_bytes", "check_seconds", "max_check_memory_bytes"),
)
"""Settings that a client should know."""


def limits(settings: Settings) -> dict[str, int | float]:
    """The limits that a client should know."""
    from gpu_kmeans.recommend import MAX_LIMIT, MAX_QUERY

    return {
        **{name: getattr(settings, name) for name in LIMITS},
        "max_query_characters": MAX_QUERY,
        "max_limit": MAX_LIMIT,
    }


def stated_limits() -> str:
    """Their defaults as a table in Markdown, with what each is of."""
    fields = Settings.model_fields
    rows = [
        f"| `{name}` | {fields[name].default} | {fields[name].description} |" for name in LIMITS
    ]
    return "\n".join(["| setting | default | |", "|---|---|---|", *rows])
