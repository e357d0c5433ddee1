"""What the API takes and gives, as it stands in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from gpu_kmeans.clustering.base import ALGORITHMS
from gpu_kmeans.features.categories import RARE_SHARE
from gpu_kmeans.features.matrix import Normalisation
from gpu_kmeans.features.numbers import Missing, Scale
from gpu_kmeans.recommend import MAX_LIMIT, MAX_QUERY
from gpu_kmeans.service.settings import Settings

__all__ = [
    "Assignments",
    "Choice",
    "ChoiceParameters",
    "ChoiceRequest",
    "Clusters",
    "Dataset",
    "Datasets",
    "Encoding",
    "FilterColumns",
    "Info",
    "Item",
    "ItemList",
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
    "Preview",
    "Problem",
    "Profiles",
    "Recommendation",
    "Recommendations",
    "Report",
    "Roles",
    "SearchQueries",
    "SearchQuery",
    "SearchRank",
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
Kind = Literal["text", "numbers", "categories", "matrix"]
"""What is clustered: names of encoders, and of weights."""
Column = Annotated[str, Field(min_length=1, max_length=500)]
Word = Annotated[str, Field(min_length=1, max_length=200)]
MOST_COLUMNS = 1_000
"""Maximum number of columns that a request names."""
MOST_STOP_WORDS = 10_000
MOST_VALUES = 1_000
"""Maximum number of conditions, labels or ids in one query."""
SearchRank = Literal["best", "blend", "relevance", "popularity", "article"]
MOST_TRIM = 0.5
MOST_CHOICES = 1_000
"""Maximum number of clusters that a choice looks at."""


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


class Clustered(_Shown):
    """Columns that are clustered, by what they are clustered as."""

    text: list[str] = Field(description="several are joined", examples=[["overview"]])
    numbers: list[str]
    categories: list[str]
    matrix: str | None = Field(description="a column of lists, or the matrix that a file is")


class Dataset(_Shown):
    """A table, or a matrix, that can be clustered."""

    name: Name = Field(examples=["films"])
    created: str
    updated: str
    revision: str = Field(
        description="another one once a part was replaced: for If-Match, and for fits",
        examples=["5f2c9a0be1d34c77"],
    )
    rows: int = Field(examples=[4803])
    columns: dict[str, str] = Field(
        description="the column that is used for each role; of several texts, see `clustered`",
        examples=[{"id": "id", "text": "overview"}],
    )
    clustered: Clustered = Field(description="the columns that a fit takes, and as what")
    proposed: dict[str, str | list[str]] = Field(
        description="those of them that nobody named: taken because of what they hold",
        examples=[{"numbers": ["age", "income"]}],
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


class SeenColumn(_Shown):
    """What a column seems to be."""

    column: str
    role: str = Field(
        description="a role of `/v1/roles`; else text, number, category, list, matrix, date, "
        "other or empty",
        examples=["number"],
    )
    missing: int = Field(description="empty cells")
    distinct: int = Field(description="different cells that are not empty")


class Preview(_Shown):
    """What a table holds, and what a fit without options would make of it."""

    format: Literal["csv", "jsonl", "parquet", "xlsx"]
    packed: bool = Field(description="with gzip")
    encoding: str
    delimiter: str
    n_rows: int
    columns: list[SeenColumn]
    text: str | None = Field(description="the column of texts that such a fit would cluster")
    clustered: dict[Kind, list[str]] = Field(description="all columns that it would cluster")
    rows: list[list[str]] = Field(description="the first ones, long cells cut")
    problems: list[str] = Field(description="what such a fit would say, or be refused for")


class Role(_Shown):
    """A role of the catalogue that a column can have."""

    name: str = Field(examples=["title"])
    column: str = Field(description="its name unless another is named", examples=["title"])
    kind: Literal["id", "text", "number", "list"]
    meaning: str
    in_credits: bool
    required: bool


class Feature(_Shown):
    """A role of columns that are clustered beside texts, or without them."""

    name: str = Field(examples=["numbers"])
    meaning: str
    several: bool = Field(description="whether more than one column can have it")


class Roles(_Shown):
    """What columns can be: the parameters of uploads."""

    roles: list[Role]
    features: list[Feature]


# -- jobs --------------------------------------------------------------------------------------


def _known_algorithm(name: str) -> str:
    if name not in ALGORITHMS and name != "auto":
        raise ValueError(f"there is no such algorithm; there are auto, {', '.join(ALGORITHMS)}")
    return name


class Encoding(_Given):
    """How rows are made of a dataset, and clustered: arguments of ``gpu-kmeans fit``."""

    seed: int = Field(42, ge=0, le=2**63 - 1)
    algorithm: Annotated[
        str,
        Field(
            json_schema_extra={"enum": ["auto", *ALGORITHMS]},
            description="see `/v1/info`; auto: spherical for texts alone that are reduced, else "
            "hartigan",
        ),
        AfterValidator(_known_algorithm),
    ] = "auto"
    max_iter: int = Field(300, ge=1, le=100_000)
    backend: Literal["auto", "cpu", "gpu"] | None = Field(
        None, description="the service's own by default"
    )
    stop_words: (
        Literal["english"]
        | Annotated[str, Field(pattern="^[a-z]{2}$")]
        | Annotated[list[Word], Field(max_length=MOST_STOP_WORDS)]
        | None
    ) = Field("english", description="of a language, by its two letters; or the words themselves")
    analyzer: Literal["word", "char", "char_wb"] = Field(
        "word", description="what terms are made of; characters for languages without spaces"
    )
    ngram_range: Annotated[
        list[Annotated[int, Field(ge=1, le=MAX_NGRAM)]],
        Field(
            min_length=2,
            max_length=2,
            description="shortest and longest run of words, or characters",
        ),
    ] = [1, 1]
    min_df: Annotated[int, Field(ge=1)] | Annotated[float, Field(ge=0, le=1)] = 1
    max_df: Annotated[int, Field(ge=1)] | Annotated[float, Field(ge=0, le=1)] = 1.0
    max_features: Annotated[int, Field(ge=1)] | None = None
    sublinear_tf: bool = Field(False, description="for weighting tfidf alone")
    weighting: Literal["auto", "tfidf", "bm25", "log-entropy"] = Field(
        "auto", description="of terms; auto: bm25 for texts alone, else tfidf"
    )
    scale: Scale = Field("standard", description="of numbers")
    missing: Missing = Field("fill", description="what becomes of missing numbers")
    log: Annotated[list[Column], FailFast()] = Field(
        default_factory=list, max_length=MOST_COLUMNS, description="numbers to take log(1 + x) of"
    )
    rare: Annotated[float, Field(ge=0, lt=1)] = Field(
        RARE_SHARE, description="share of the rows below which values of a category count as one"
    )
    normalise: Normalisation = Field("none", description="of a matrix")
    log1p: bool = Field(False, description="take log(1 + x) of a matrix")
    weights: dict[Kind, Annotated[float, Field(gt=0, le=1e6)]] = Field(
        default_factory=dict,
        description="what texts, numbers, categories and the matrix count beside the others; 1 by "
        "default",
    )
    reduce: Annotated[int, Field(ge=0, le=10_000)] | Literal["auto"] = Field(
        "auto",
        description="directions to project rows onto first; 0 for none; auto: 100 for texts alone",
    )

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


class Parameters(Encoding):
    """Arguments of a fit; see ``gpu-kmeans fit --help``."""

    n_clusters: Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"] = Field(
        10, description="auto: a number that stands out"
    )
    trim: float = Field(
        0.0, ge=0, lt=MOST_TRIM, description="share of the rows that fit worst, left out"
    )
    noise: Literal["apart", "nearest"] = Field(
        "apart", description="what becomes of rows that the algorithm puts into no cluster"
    )


class ChoiceParameters(Encoding):
    """Arguments of a look for numbers of clusters; see ``gpu-kmeans choose-k --help``."""

    low: int = Field(2, alias="from", ge=2, le=MOST_CHOICES, description="least number of clusters")
    high: int = Field(
        50, alias="to", ge=2, le=MOST_CHOICES, description="largest; all of few, twelve of many"
    )

    @model_validator(mode="after")
    def _rising_counts(self) -> ChoiceParameters:
        if self.low > self.high:
            raise ValueError(f"from={self.low} is more than to={self.high}")
        return self


Revision = Annotated[str, Field(max_length=64)]


class JobRequest(_Given):
    """A fit to be made."""

    kind: Literal["fit"] = "fit"
    dataset: Name = Field(examples=["films"])
    model: Name | None = Field(None, description="the dataset's name by default")
    parameters: Parameters = Field(default_factory=lambda: Parameters.model_validate({}))
    activate: bool = Field(True, description="let the new version answer")
    revision: Revision | None = Field(
        None, description="of the dataset: where it was replaced since, there is no fit"
    )


class ChoiceRequest(_Given):
    """Numbers of clusters to be looked for."""

    kind: Literal["choose-k"]
    dataset: Name = Field(examples=["films"])
    parameters: ChoiceParameters = Field(
        default_factory=lambda: ChoiceParameters.model_validate({})
    )
    revision: Revision | None = Field(
        None, description="of the dataset: where it was replaced since, there is no answer"
    )


class JobError(_Shown):
    """Why a job gave no version."""

    code: str
    detail: str


class JobSummary(_Shown):
    """A fit, or a look for numbers of clusters: waiting, running or ended."""

    id: str
    kind: Literal["fit", "choose-k"]
    dataset: Name
    model: Name | None = Field(description="null for one that makes no version")
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


class Candidate(_Shown):
    """What speaks for a number of clusters."""

    k: int
    explained: float = Field(description="share of the inertia of one cluster")
    silhouette: float
    stability: float = Field(description="agreement of fits of other draws of the rows; 1 at most")
    largest: float = Field(description="share of the rows")
    smallest: float
    coherence: Number = Field(description="of the terms of texts, from -1 to 1")
    cluster_stability: list[float] = Field(description="by label")


class Typical(_Shown):
    """An item near to its cluster's mean."""

    id: ItemId
    title: str | None


class PreviewedCluster(_Shown):
    """A cluster that a fit would make."""

    label: int
    name: str
    size: int
    share: float = Field(description="of all items in clusters")
    top_terms: list[str]
    typical: list[Typical]


class ClustersPreview(_Shown):
    """The clusters that a fit of so many with the same parameters and seed would make."""

    k: int
    recommended: bool
    n_unclustered: int
    clusters: list[PreviewedCluster]


class Choice(_Shown):
    """What a look for numbers of clusters has answered."""

    candidates: list[Candidate] = Field(description="by rising k")
    recommended: list[int] = Field(description="best first; none where nothing stands out")
    reason: str
    previews: list[ClustersPreview] = Field(
        description="of three candidates: those recommended, then the best of the others"
    )


class Job(JobSummary):
    """A job with its iterations, and what it has answered."""

    history: list[Step] = Field(description="stage, iteration and inertia")
    result: Choice | None = Field(description="of a choice that succeeded")


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
    source: Literal["fit", "upload", "edit", "update"]
    based_on: int | None = Field(description="the version that an edit or update was made of")
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
    """A cluster, its name and its words."""

    label: int
    size: int
    name: str = Field(description="no two clusters have the same")
    named: bool = Field(description="whether a person has given the name")
    top_terms: list[str] = Field(
        description="the heaviest terms of its centroid; without texts, what sets it apart"
    )


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
    columns: dict[str, str | float | None] = Field(
        description="the other columns of the file, long texts cut"
    )
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
    parts: dict[str, float] | None = Field(
        description="score = relevance * relevance_weight + fame * fame_weight; "
        "fame is the share of all items that are less popular. Null in searches of all items"
    )
    marked: list[Piece] = Field(description="the text in pieces; true: what matches")
    marked_title: list[Piece] | None = Field(
        None, description="the title likewise; null where there is none"
    )
    reasons: dict[str, list[str]] = Field(
        default_factory=dict,
        description="words that match by the fields that have them; phrases between quotation "
        "marks. Of items like others, terms that they share",
        examples=[{"title": ["robot"], "text": ["robots"]}],
    )


class Hits(_Shown):
    """How many of a cluster's items match."""

    label: int = Field(description="-1 for items in no cluster")
    name: str
    hits: int


class Correction(_Shown):
    """A word that nothing matches, and known words near to it."""

    word: str
    nearest: list[str] = Field(description="nearest first")
    used: bool = Field(description="whether items that have these words are shown for it")


class Recommendation(_OfVersion):
    """What a query found."""

    query: str
    rank: str = Field(description="likeness where items are like others")
    total: int = Field(description="items that match, shown or not")
    terms: list[str] = Field(description="words of the query that items have")
    cluster: Cluster | None = Field(
        description="the nearest one, where its items alone are ranked; else null"
    )
    facets: list[Hits] = Field(
        description="clusters with hits, most first, whichever clusters are asked for"
    )
    corrections: list[Correction]
    message: str | None
    items: list[Ranked]


class SearchQuery(_Given):
    """What is looked for, as in the parameters of `recommend`."""

    q: Annotated[str, Field(max_length=MAX_QUERY)] | None = Field(None, examples=["robot"])
    limit: int = Field(10, ge=1, le=MAX_LIMIT)
    rank: SearchRank | None = None
    cluster: Annotated[list[int], FailFast()] = Field(
        default_factory=list, max_length=MOST_VALUES, description="labels; -1: in no cluster"
    )
    where: Annotated[list[Annotated[str, Field(max_length=MAX_QUERY)]], FailFast()] = Field(
        default_factory=list, max_length=MOST_VALUES, examples=[["genres=Drama", "year>=1990"]]
    )
    like: Annotated[list[ItemId], FailFast()] = Field(
        default_factory=list, max_length=MOST_VALUES, description="ids"
    )
    dislike: Annotated[list[ItemId], FailFast()] = Field(
        default_factory=list, max_length=MOST_VALUES, description="ids"
    )
    diversity: int | None = Field(None, ge=1, le=MAX_LIMIT)
    clusters: int | None = Field(None, ge=1)


class SearchQueries(_Given):
    """Several of them, at most `max_batch`."""

    queries: Annotated[list[SearchQuery], FailFast()] = Field(min_length=1)


class Recommendations(_Shown):
    """What each query found, in their order."""

    answers: list[Recommendation]


class ItemList(_OfVersion):
    """A page of all items, in the order of the file."""

    total: int = Field(description="items that pass the conditions")
    items: list[Item]
    next_cursor: str | None


class ColumnValue(_Shown):
    """A value of a column, and how many items have it."""

    value: str
    items: int


class FilterColumn(_Shown):
    """A column that items can be filtered by."""

    name: str = Field(examples=["year"])
    kind: Literal["number", "date", "category", "list"]
    items: int = Field(description="items that have a value")
    distinct: int = Field(description="different values")
    least: float | str | None = Field(description="of numbers and dates")
    most: float | str | None
    whole: bool = Field(description="whether all are whole numbers")
    values: list[ColumnValue] = Field(
        description="of categories and lists, those of most items first"
    )


class FilterColumns(_OfVersion):
    """Columns that items can be filtered by."""

    columns: list[FilterColumn]
    searched: list[str] = Field(description="columns in which words are looked for")


class Similar(_OfVersion):
    """Items that are like one item: by their texts, or by the distance of their rows."""

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


class Assigned(_Shown):
    """Where a row of a table belongs."""

    id: ItemId = Field(description="the number of the row, where it has none")
    cluster: int = Field(description="-1 for a text without a known term")
    distance: Number = Field(description="to the cluster's mean; Euclidean")


class Assignments(_OfVersion):
    """Clusters of the rows of a table, in their order."""

    rows: list[Assigned]
    problems: list[str] = Field(description="what reading the table counted")


class Reason(_Shown):
    """One thing that sets a cluster apart."""

    kind: Literal["term", "number", "category", "feature"]
    column: str = Field(description="empty for terms, and for features of a matrix")
    name: str = Field(description="the term, number, value of the category, or feature")
    mean: Number = Field(description="of the cluster's items; of a category, its share of them")
    overall: Number = Field(description="of all items in clusters")
    deviation: Number = Field(description="of the mean, in standard deviations of all items")
    median: Number = Field(description="of the cluster's items, for numbers")


class Profile(_Shown):
    """What a cluster holds."""

    label: int
    name: str
    size: int
    share: float = Field(description="of all items in clusters")
    reasons: list[Reason] = Field(description="of each kind, the strongest first")
    typical: list[Typical] = Field(description="the nearest to its mean first")


class Profiles(_OfVersion):
    """What sets each cluster of a version apart."""

    clusters: list[Profile]


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
    silhouette: dict[str, float | str] | None
    reach: dict[str, Any] | None = Field(description="null without texts to ask for")
    history: list[Step]
    seconds: dict[str, float]
    warnings: list[str]
    backend: str
    backend_reason: str
    created: str
    parameters: dict[str, Any]
    catalogue: dict[str, Any]


# -- the service -------------------------------------------------------------------------------


class Algorithm(_Shown):
    """A way to cluster."""

    name: str = Field(examples=["hartigan"])
    meaning: str
    finds_k: bool = Field(description="whether it finds the number of clusters itself")


class Info(_Shown):
    """What this service is."""

    name: str
    version: str
    backend: str
    backend_reason: str
    keys_required: bool
    algorithms: list[Algorithm]
    limits: dict[str, int | float]


LIMITS = (
    *("max_upload_bytes", "max_table_bytes", "max_row_bytes", "max_cell_bytes", "max_expansion"),
    *("max_columns", "max_matrix_columns", "max_distinct", "max_rows"),
    *("max_body_bytes", "max_answer_bytes"),
    *("max_text_characters", "max_batch", "max_queue", "max_concurrent", "max_uploads"),
    *("max_connections", "max_streams", "max_client_connections", "max_client_requests"),
    *("max_client_streams", "max_client_uploads", "max_questions", "max_client_questions"),
    "client_requests_per_minute",
    *("max_model_bytes", "max_loaded_models", "max_loaded_bytes"),
    *("fit_seconds", "fit_memory_bytes", "check_seconds", "max_check_memory_bytes"),
)
"""Settings that a client should know."""


def limits(settings: Settings) -> dict[str, int | float]:
    """The limits that a client should know."""
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
