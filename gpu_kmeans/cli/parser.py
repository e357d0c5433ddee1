"""The options of every command; what they do is in :mod:`gpu_kmeans.cli.commands`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from gpu_kmeans import __version__
from gpu_kmeans.cli import layout
from gpu_kmeans.clustering.base import ALGORITHMS
from gpu_kmeans.data.roles import FEATURES, ROLES
from gpu_kmeans.errors import InvalidParam

__all__ = ["build"]

# Python's int() and float() alone would also take "1_0", other scripts' digits and "nan".
_WHOLE = re.compile(r"[+-]?[0-9]+")
_LANGUAGE = re.compile(r"[a-z]{2}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

_EPILOG = """\
Results go to standard output, progress and errors to standard error.
With --json a command prints exactly one JSON object; when it fails, the
object is {"error": {"code": ..., "message": ...}}.

exit codes:
  0    done
  1    failed
  2    the command or its input cannot be used; the message says why
  130  interrupted (SIGINT, Ctrl-C) before anything was changed
  141  the reader of standard output went away, as with "| head"
  143  terminated (SIGTERM) before anything was changed

environment:
  GPU_KMEANS_TRACEBACK=1   show the Python traceback of an error
  GPU_KMEANS_INSTRUCTIONS  of the compiled kernels: auto, baseline, avx2,
                           avx512, or none to do without them
  NO_COLOR=1               no bold text on a terminal
"""


_RECOMMEND_JSON = """\
All items are searched: titles, texts, lists of names, other columns of texts.
"Two words" between quotation marks are a phrase that items must have; the
last word may be the beginning of one; words that no item has stand for those
at one typing error.

The object of --json has query, total, items (rank, id, title, popularity,
vote_average, label, score, and reasons: words by field), facets (label, name,
hits), corrections (word, nearest, used), message and words (those of the query
for which items were found); with --like also like and dislike. With --clusters
or --rank article it has query, terms, cluster (label, size, top_terms), items
(id, title, popularity, vote_average, score, parts, label) and message.
"""


class _Layout(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=min(layout.width(), 80))


class _Parser(argparse.ArgumentParser):
    hint = ""
    """What to do about arguments that are missing or not recognised, for one command."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, rest = super().parse_known_args(args, namespace)
        if rest:  # said here, and not by the parser of all commands, which has no hint
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return known, rest

    def error(self, message: str) -> NoReturn:
        hint = self.hint if message.startswith(("unrecognized", "the following")) else ""
        raise InvalidParam(f"{message}{hint} (see: {self.prog} --help)")


def build() -> argparse.ArgumentParser:
    """Return the parser; its result has ``command`` and that command's options.

    Wrong usage raises :class:`~gpu_kmeans.errors.InvalidParam`.
    """
    parser = _Parser(
        prog="gpu-kmeans",
        description="Cluster any table: texts, numbers, categories, matrices.\n"
        "Explain the clusters, search them, recommend from them.",
        epilog=_EPILOG,
        formatter_class=_Layout,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gpu-kmeans {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", title="commands"
    )

    def command(name: str, summary: str) -> Any:
        made = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            formatter_class=_Layout,
            allow_abbrev=False,
        )
        made.add_argument("--json", action="store_true", help="print one JSON object")
        return made

    _demo(command("demo", "the whole job on a small bundled catalogue, in seconds"))
    _look(command("look", "a table's format, columns and their proposed roles, before any fit"))
    _fit(command("fit", "cluster the rows of a table or a matrix and keep the model"))
    _choose_k(command("choose-k", "which numbers of clusters stand out in a table, and why"))
    _profile(command("profile", "what sets each cluster apart, and its most typical items"))
    _labels(command("labels", "the cluster of every item of a model, as CSV"))
    _assign(command("assign", "put the rows of another file into the clusters of a model"))
    _recommend(command("recommend", "items of a model for a few keywords, with the reasons"))
    _neighbors(command("neighbors", "the items most like each item of a model, as CSV"))
    _levels(command("levels", "a model's clusters on several levels, from coarse to fine"))
    _outliers(command("outliers", "items that fit worst, and clusters that hold together badly"))
    _compare(command("compare", "what became of the clusters of a model in another"))
    _drift(command("drift", "whether new rows still are what a model was fitted on"))
    _edit(command("edit", "rename, merge or split clusters, or move items, into a new model"))
    _update(command("update", "put new rows into a model without a refit, as a new model"))
    _evaluate(command("evaluate", "how good a model's clusters and recommendations are"))
    _plot(command("plot", "draw a model's clusters, and recommendations for a query"))
    _image(command("image", "an image in a few colours: its own, clustered"))
    _fetch(command("fetch", "download a public data set"))
    _serve(command("serve", "an HTTP service and a page: upload, fit, look, recommend"))
    _settings(command("config", "every setting of the service, and where its value comes from"))
    _key(command("key", "who may use the service: add, list and remove keys"))
    _folder_of_data(
        command("recover", "make the service's registry anew of what lies in its folder")
    )
    _restore(command("restore", "a service's folder made of a backup that it gave"))
    command("doctor", "which backends can run here, and exactly why the others cannot")
    return parser


def _restore(parser: Any) -> None:
    parser.add_argument(
        "backup", type=Path, metavar="FILE", help="as GET /v1/backup of a service sent it"
    )
    _folder_of_data(parser)


def _demo(parser: Any) -> None:
    parser.add_argument(
        "--out",
        type=_folder,
        default=Path("gpu-kmeans-demo"),
        metavar="FOLDER",
        help="for the model and the figures; replaced if a demo made it (default: %(default)s)",
    )
    _backend_option(parser)


def _look(parser: Any) -> None:
    parser.add_argument("file", type=_file, metavar="FILE", help="a table; - for standard input")
    _format_options(parser)


def _fit(parser: Any) -> None:
    parser.add_argument(
        "movies",
        type=_file,
        metavar="FILE",
        help="a table, one item a row, or a matrix; - for standard input",
    )
    parser.add_argument(
        "credits",
        type=_file,
        nargs="?",
        metavar="SECOND",
        help="a table with cast and crew, joined by id",
    )
    parser.hint = "; files come before the names of columns: fit FILE --numbers AGE INCOME"

    output = parser.add_argument_group("output")
    output.add_argument(
        "--model", type=_folder, required=True, metavar="DIR", help="folder to keep the model in"
    )
    output.add_argument("--overwrite", action="store_true", help="replace the model if it exists")

    cluster = parser.add_argument_group("clustering", "The default stands in parentheses.")
    cluster.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="sparse rows on the workers of a Dask cluster: ADDRESS:PORT, or local:N for N here",
    )
    cluster.add_argument(
        "-k",
        "--clusters",
        type=_clusters,
        default=10,
        metavar="K",
        help="how many, or auto for a number that stands out (10)",
    )
    cluster.add_argument(
        "--noise",
        choices=("apart", "nearest"),
        default="apart",
        help="rows in no dense region stay apart, or go to the nearest cluster (apart)",
    )
    cluster.add_argument(
        "--trim",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="rows that fit worst, and have no say in the means (0)",
    )
    _row_options(parser, cluster)


def _choose_k(parser: Any) -> None:
    parser.add_argument(
        "file", type=_file, metavar="FILE", help="a table or a matrix; - for standard input"
    )
    cluster = parser.add_argument_group("clustering", "The default stands in parentheses.")
    cluster.add_argument(
        "--from", dest="low", type=_whole(2), default=2, metavar="K", help="least number (2)"
    )
    cluster.add_argument(
        "--to", dest="high", type=_whole(2), default=50, metavar="K", help="largest number (50)"
    )
    _plot_option(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a figure that exists")
    _row_options(parser, cluster)


def _levels(parser: Any) -> None:
    _model_argument(parser)
    parser.add_argument(
        "levels", type=_whole(1), nargs="+", metavar="K", help="clusters of each level, rising"
    )
    _seed_option(parser)
    _csv_output(parser)
    _plot_option(parser)


def _neighbors(parser: Any) -> None:
    _model_argument(parser)
    parser.add_argument(
        "--count", type=_whole(1), default=15, metavar="N", help="items like each, at most (15)"
    )
    _csv_output(parser)
    _backend_option(parser)


def _outliers(parser: Any) -> None:
    _model_argument(parser)
    parser.add_argument("--limit", type=_whole(1), default=20, metavar="N", help="items shown (20)")
    _csv_output(parser)
    _plot_option(parser)


def _compare(parser: Any) -> None:
    _model_argument(parser)
    parser.add_argument("other", type=_folder, metavar="OTHER", help="another model folder")
    _plot_option(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a figure that exists")


def _drift(parser: Any) -> None:
    _model_argument(parser)
    parser.add_argument("file", type=_file, metavar="FILE", help="new rows; - for standard input")
    _plot_option(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a figure that exists")
    _format_options(parser)
    _backend_option(parser)


def _edit(parser: Any) -> None:
    _model_argument(parser)
    parser.add_argument(
        "action",
        choices=("rename", "merge", "split", "move"),
        help="rename LABEL NAME, merge LABEL LABEL, split LABEL [PARTS], move LABEL ID",
    )
    parser.add_argument("arguments", nargs="+", metavar="ARGUMENT", help="of the action")
    parser.add_argument(
        "--out", type=_folder, required=True, metavar="DIR", help="folder to keep the result in"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the model if it exists")
    _seed_option(parser)


def _update(parser: Any) -> None:
    _model_argument(parser)
    parser.add_argument("file", type=_file, metavar="FILE", help="new rows; - for standard input")
    parser.add_argument(
        "--out", type=_folder, required=True, metavar="DIR", help="folder to keep the result in"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the model if it exists")
    _format_options(parser)
    _backend_option(parser)


def _plot_option(parser: Any) -> None:
    parser.add_argument(
        "--plot", type=_file, metavar="FILE", help="also draw it, as FILE.png or FILE.svg"
    )
    _dark_option(parser)


def _dark_option(parser: Any) -> None:
    parser.add_argument("--dark", action="store_true", help="figures for a dark page")


def _seed_option(parser: Any) -> None:
    parser.add_argument(
        "--seed", type=_whole(0), default=42, metavar="N", help="source of all random draws (42)"
    )


def _row_options(parser: Any, cluster: Any) -> None:
    """Options that say how a file is read and encoded, and by what it is clustered."""
    _seed_option(cluster)
    _backend_option(cluster)
    cluster.add_argument(
        "--algorithm",
        choices=("auto", *ALGORITHMS),
        default="auto",
        metavar="NAME",
        help="; ".join(f"{name}: {about.meaning}" for name, about in ALGORITHMS.items())
        + " (auto: spherical for reduced texts, else hartigan)",
    )
    cluster.add_argument(
        "--max-iter", type=_whole(1), default=300, metavar="N", help="iterations at most (300)"
    )
    cluster.add_argument(
        "--reduce",
        type=_directions,
        default="auto",
        metavar="D",
        help="project rows onto D directions first: LSA of texts, PCA of numbers; 0: do not "
        "(auto: 100 for texts alone)",
    )
    cluster.add_argument(
        "--weight",
        type=_weight,
        action="append",
        default=[],
        metavar="KIND=W",
        help="what text, numbers, categories or matrix count beside the others (1)",
    )

    text = parser.add_argument_group("text")
    text.add_argument(
        "--stop-words",
        type=_stop_words,
        default="english",
        metavar="WORDS",
        help="to leave out: english, none, a language such as de, or a file with a word a line "
        "(english)",
    )
    text.add_argument(
        "--analyzer",
        choices=("word", "char", "char_wb"),
        default="word",
        help="terms are words, or characters: for languages without spaces, --analyzer char "
        "--ngrams 1 2 (word)",
    )
    text.add_argument(
        "--ngrams",
        type=_whole(1),
        nargs=2,
        default=(1, 1),
        metavar=("MIN", "MAX"),
        help="words, or characters, in a term (1 1)",
    )
    text.add_argument(
        "--min-df",
        type=_number_or_share,
        default=1,
        metavar="N",
        help="drop terms in fewer texts: a number, or a share such as 0.01 (1)",
    )
    text.add_argument(
        "--max-df",
        type=_number_or_share,
        default=1.0,
        metavar="N",
        help="drop terms in more texts: a number, or a share such as 0.5 (1.0)",
    )
    text.add_argument(
        "--max-features",
        type=_whole(1),
        default=None,
        metavar="N",
        help="keep only the most frequent terms (all)",
    )
    text.add_argument(
        "--weighting",
        choices=("auto", "tfidf", "bm25", "log-entropy"),
        default="auto",
        help="what a term weighs in a text (auto: bm25 for texts alone, else tfidf)",
    )
    text.add_argument(
        "--sublinear-tf",
        action="store_true",
        help="count a term's repeats as 1 + log(count); for tfidf alone",
    )

    _feature_options(parser)
    _format_options(parser)

    columns = parser.add_argument_group(
        "columns",
        "Names of the columns to read; '' for one that is not to be used.\n"
        "Without any, those to cluster are proposed by what they hold.",
    )
    for name, feature in FEATURES.items():
        columns.add_argument(
            f"--{name}",
            dest=f"column_{name}",
            type=_column(feature.meaning),
            metavar="NAME",
            help=feature.meaning,
            **({"nargs": "+", "action": "extend"} if feature.several else {}),
        )
    for name, role in ROLES.items():
        columns.add_argument(
            f"--{name.replace('_', '-')}",
            dest=f"column_{name}",
            type=_column(role.meaning) if role.required else str,
            metavar="NAME",
            help=f"{role.meaning} ({role.column})",
            **({"action": "append"} if name == "text" else {}),
        )


def _feature_options(parser: Any) -> None:
    numbers = parser.add_argument_group("numbers, categories and matrices")
    numbers.add_argument(
        "--scale",
        choices=("standard", "robust", "none"),
        default="standard",
        help="of numbers: by mean and standard deviation, by median and quartiles (standard)",
    )
    numbers.add_argument(
        "--missing",
        choices=("fill", "flag", "refuse"),
        default="fill",
        help="numbers: filled with the median, and flagged beside it, or refused (fill)",
    )
    numbers.add_argument(
        "--log",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="numbers of which log(1 + x) is taken first",
    )
    numbers.add_argument(
        "--rare",
        type=_share,
        default=0.01,
        metavar="SHARE",
        help="values of a category in a smaller share of the rows count as one (0.01)",
    )
    numbers.add_argument(
        "--normalise",
        choices=("none", "rows", "length"),
        default="none",
        help="rows of a matrix: to one sum, for counts, or to length 1, for embeddings (none)",
    )
    numbers.add_argument("--log1p", action="store_true", help="log(1 + x) of a matrix, after that")


def _profile(parser: Any) -> None:
    _model_argument(parser)
    parser.add_argument(
        "--reasons", type=_whole(1), default=8, metavar="N", help="of each kind, at most (8)"
    )
    parser.add_argument(
        "--typical", type=_whole(0), default=3, metavar="N", help="typical items shown (3)"
    )


def _labels(parser: Any) -> None:
    _model_argument(parser)
    _csv_output(parser)
    parser.add_argument(
        "--columns", action="store_true", help="with all columns of the items, not title alone"
    )


def _assign(parser: Any) -> None:
    _model_argument(parser)
    parser.add_argument(
        "file",
        type=_file,
        metavar="FILE",
        help="a table or matrix with the columns that were clustered; - for standard input",
    )
    _csv_output(parser)
    _format_options(parser)
    _backend_option(parser)


def _csv_output(parser: Any) -> None:
    parser.add_argument(
        "--out", type=_file, metavar="FILE", help="write a CSV file there (standard output)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what exists")


def _recommend(parser: Any) -> None:
    parser.hint = "; a query that starts with '-' goes after '--': recommend DIR -- -word"
    parser.epilog = _RECOMMEND_JSON
    _model_argument(parser)
    parser.add_argument(
        "query", nargs="*", metavar="QUERY", help="keywords; after -- if they start with -"
    )
    parser.add_argument(
        "--like",
        nargs="+",
        action="extend",
        default=[],
        metavar="ID",
        help="items like those of these ids, instead of keywords",
    )
    parser.add_argument(
        "--dislike",
        nargs="+",
        action="extend",
        default=[],
        metavar="ID",
        help="and unlike those of these",
    )
    parser.add_argument(
        "--where",
        type=_condition,
        action="append",
        default=[],
        metavar="CONDITION",
        help="items of which COLUMN=VALUE, 'COLUMN>=VALUE' or 'COLUMN<=VALUE'; all of several",
    )
    parser.add_argument(
        "--limit", type=_whole(1), default=10, metavar="N", help="items at most (10)"
    )
    parser.add_argument(
        "--rank",
        choices=("best", "blend", "relevance", "popularity", "article"),
        help="best: titles that are the query, then the best matches; blend: matches and "
        "popularity; relevance: matches alone; popularity: items that match, by popularity; "
        "article: the nearest cluster by popularity (best; blend with --clusters)",
    )
    parser.add_argument(
        "--clusters",
        type=_whole(1),
        metavar="N",
        help="draw from the N nearest clusters alone, by the cosine of the texts (all items)",
    )
    parser.add_argument(
        "--diversity",
        type=_whole(1),
        metavar="N",
        help="at most N items of one cluster among the first ten (any number)",
    )


def _evaluate(parser: Any) -> None:
    _model_argument(parser)
    parser.add_argument("--seed", type=_whole(0), default=0, metavar="N", help="of the samples (0)")
    parser.add_argument(
        "--queries",
        type=_whole(1),
        default=10_000,
        metavar="N",
        help="random queries to recommend for (10000)",
    )
    parser.add_argument(
        "--labels",
        type=_column("what the items are known to be"),
        metavar="NAME",
        help="column of the items that the clusters are compared with",
    )


def _plot(parser: Any) -> None:
    _model_argument(parser)
    parser.add_argument("--query", metavar="TEXT", help="also draw what is recommended for it")
    parser.add_argument("--limit", type=_whole(1), default=10, metavar="N", help="items drawn (10)")
    parser.add_argument(
        "--out", type=_folder, required=True, metavar="FOLDER", help="PNG and SVG files go here"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace figures that exist")
    _dark_option(parser)


def _image(parser: Any) -> None:
    parser.add_argument(
        "photo",
        type=_file,
        metavar="PHOTO",
        help="PNG, JPEG, WebP, BMP, GIF or TIFF; - for standard input",
    )
    parser.add_argument(
        "--colors", type=_whole(1), default=16, metavar="K", help="how many, up to 256 (16)"
    )
    parser.add_argument(
        "--out", type=_file, required=True, metavar="SMALL.png", help="PNG with a palette"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the PNG if it exists")
    parser.add_argument(
        "--seed", type=_whole(0), default=42, metavar="N", help="source of all random draws (42)"
    )
    _backend_option(parser)


def _fetch(parser: Any) -> None:
    parser.add_argument("dataset", choices=("tmdb",), help="tmdb: the TMDB 5000 films, from Kaggle")
    parser.add_argument(
        "--out", type=_folder, metavar="FOLDER", help="put the two CSVs there (kagglehub's cache)"
    )


def _serve(parser: Any) -> None:
    _settings(parser)
    parser.add_argument(
        "--sample", action="store_true", help="fit the bundled films first if there is no model"
    )


def _settings(parser: Any) -> None:
    """Settings that have flags; all others stand in the environment or in the file."""
    parser.add_argument("--data", type=_folder, metavar="FOLDER", help="folder of all data")
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port", type=_whole(0), metavar="N", help="port to listen on; 0 for any free one (8000)"
    )
    parser.add_argument(
        "--root-path", metavar="PATH", help="path that a proxy puts before ours, such as /clusters"
    )
    parser.add_argument("--backend", choices=("auto", "cpu", "gpu"), help="what fits run on (auto)")
    parser.add_argument(
        "--config", type=_file, metavar="FILE", help="TOML with settings (./gpu-kmeans.toml)"
    )


def _key(parser: Any) -> None:
    parser.add_argument("action", choices=("add", "list", "remove"), help="what to do")
    parser.add_argument("name", nargs="?", default="", help="a name for the key")
    parser.add_argument(
        "--scope", choices=("read", "write"), default="read", help="write includes read (read)"
    )
    _folder_of_data(parser)


def _folder_of_data(parser: Any) -> None:
    parser.add_argument("--data", type=_folder, metavar="FOLDER", help="folder of all data")
    parser.add_argument("--config", type=_file, metavar="FILE", help="TOML with settings")


def _format_options(parser: Any) -> None:
    parser.add_argument(
        "--encoding",
        metavar="NAME",
        help="of CSV files, such as windows-1252 (by the file's mark, or utf-8)",
    )
    parser.add_argument(
        "--delimiter",
        metavar="SIGN",
        help="between cells of CSV files: ',', ';', '|', tab, ... (found by looking)",
    )


def _backend_option(parser: Any) -> None:
    parser.add_argument(
        "--backend",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="auto takes the GPU when it can run (auto)",
    )


def _model_argument(parser: Any) -> None:
    parser.add_argument("model", type=_folder, metavar="DIR", help="a model folder that fit made")


def _file(text: str) -> Path:
    return _path(text, "file")


def _folder(text: str) -> Path:
    return _path(text, "folder")


def _path(text: str, kind: str) -> Path:
    if not text:  # Path("") is the current folder
        raise argparse.ArgumentTypeError(f"is empty: give the name of a {kind}")
    return Path(text)


def _column(meaning: str) -> Callable[[str], str]:
    def column(text: str) -> str:
        if not text:
            raise argparse.ArgumentTypeError(
                f"cannot be left out: give the name of a column ({meaning})"
            )
        return text

    return column


def _whole(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        number = _integer(text)
        if number is None:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
        if number < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {number}")
        return number

    return whole


def _directions(text: str) -> int | str:
    """Read ``auto``, or a number of directions."""
    return text if text == "auto" else _whole(0)(text)


def _number_or_share(text: str) -> int | float:
    """Read ``2`` as a number of texts and ``0.5`` or ``1.0`` as a share of them."""
    number = _integer(text)
    if number is not None:
        return number
    if not _NUMBER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return float(text)


def _clusters(text: str) -> int | str:
    return text if text == "auto" else _whole(1)(text)


def _share(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return float(text)


def _weight(text: str) -> tuple[str, float]:
    kind, _, number = text.partition("=")
    if not _NUMBER.fullmatch(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a kind and its weight, such as text=2")
    return kind, float(number)


def _condition(text: str) -> tuple[str, Any]:
    from gpu_kmeans.index.filters import parse_condition

    try:
        return parse_condition(text)
    except InvalidParam as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _stop_words(text: str) -> str | frozenset[str] | None:
    """Read ``english``, ``none``, a language's two letters, or a file with a word a line."""
    if text in ("english", "none"):
        return None if text == "none" else text
    if _LANGUAGE.fullmatch(text) and not Path(text).exists():
        return text
    try:
        content = Path(text).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError, ValueError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not english, none, a language's two letters, or a file of UTF-8 words "
            f"({error})"
        ) from None
    return frozenset(word for line in content.splitlines() if (word := line.strip()))


def _integer(text: str) -> int | None:
    try:
        return int(text) if _WHOLE.fullmatch(text) else None
    except ValueError:  # more digits than Python reads
        return None
