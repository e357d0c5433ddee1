"""An image in a few colours: its own colours clustered, and a PNG with the centroids as palette."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Callback
from gpu_kmeans.backends.select import BackendSpec, choose
from gpu_kmeans.clustering.distances import nearest
from gpu_kmeans.clustering.kmeans import KMeans
from gpu_kmeans.errors import FileProblem, InvalidParam
from gpu_kmeans.features.image import ImageColors, pooled, read_colors
from gpu_kmeans.files import write_over
from gpu_kmeans.tables.paths import check_path
from gpu_kmeans.validation import check_integer

__all__ = ["MAX_COLORS", "PaletteColor", "ReducedImage", "check_output", "reduce_colors"]

MAX_COLORS = 256
"""Maximum number of colours: what the palette of a PNG holds."""
POOLED_ABOVE = 1 << 18
"""Number of different colours beyond which a fit begins with neighbours pooled: on all of them,
Hartigan's moves would take minutes for what Lloyd's last steps do as well."""
LAST_STEPS = 20
"""Maximum number of Lloyd's iterations over all colours after a fit of the pooled ones."""


@dataclass(frozen=True, slots=True)
class PaletteColor:
    """A colour of a palette.

    Attributes
    ----------
    hex : str
        ``"#rrggbb"``, or ``"#rrggbbaa"`` where it lets something shine through.
    pixels : int
    share : float
        Of all pixels.
    """

    hex: str
    pixels: int
    share: float


@dataclass(frozen=True, slots=True)
class ReducedImage:
    """What a reduction wrote, and what it lost.

    Attributes
    ----------
    path : Path
        The file that was written.
    format : str
        Of the file that was read.
    width, height : int
        Pixels, upright.
    colors_before, colors_after : int
        Numbers of different colours.
    palette : tuple of PaletteColor
        Largest first.
    inertia : float
        Sum over all pixels of the squared distances of their colours to their centroids.
    squared_error : float
        The same to the colours of the file, which are rounded to whole numbers.
    mean_error : float
        Mean distance of a pixel's colour to the one that it has in the file; at most 442, or 510
        with alpha.
    psnr : float or None
        Peak signal-to-noise ratio over all channels in dB; None where no pixel changed.
    bytes_before, bytes_after : int
        Sizes of the files.
    seed : int
    backend, backend_reason : str
        What clustered, and why this one.
    notes : tuple of str
        What was converted.
    """

    path: Path
    format: str
    width: int
    height: int
    colors_before: int
    colors_after: int
    palette: tuple[PaletteColor, ...]
    inertia: float
    squared_error: float
    mean_error: float
    psnr: float | None
    bytes_before: int
    bytes_after: int
    seed: int
    backend: str
    backend_reason: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it all, ready for JSON."""
        return asdict(self)


def reduce_colors(
    source: str | PathLike[str],
    out: str | PathLike[str],
    n_colors: int = 16,
    *,
    seed: int = 42,
    backend: BackendSpec = "auto",
    callback: Callback | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> ReducedImage:
    """Write an image again with few colours, as a PNG with a palette.

    Parameters
    ----------
    source : path of an image
        See :func:`gpu_kmeans.features.image.read_colors`.
    out : path of a ``.png`` file
        Written whole or not at all, over what was there, but never over ``source``.
    n_colors : int, default 16
        1 to 256. An image with fewer keeps all of its own.
    seed : int, default 42
        The same seed on the same backend writes the same file.
    backend : {"auto", "cpu", "gpu"} or a Backend, default "auto"
    callback : callable, optional
        See :class:`gpu_kmeans.KMeans`.
    on_stage : callable, optional
        Called with ``"read"``, ``"cluster"`` and ``"write"`` as these begin.

    Raises
    ------
    InvalidParam
        ``n_colors`` or ``seed`` outside of its domain, or ``out`` does not end in ``.png``.
    FileProblem, UnsupportedFileType, OutOfRange
        The image cannot be read, or the file not be written.
    """
    n_colors = check_integer("n_colors", n_colors, 1, MAX_COLORS)
    seed = check_integer("seed", seed, 0)
    target = check_output(source, out)
    enter: Callable[[str], None] = on_stage or (lambda stage: None)
    enter("read")
    image = read_colors(source)
    enter("cluster")
    chosen, reason = choose(backend)
    if len(image.colors) <= n_colors:
        centers, inertia = image.colors, 0.0
    else:
        fitted = _fit(image, n_colors, seed, chosen, callback)
        centers, inertia = fitted.cluster_centers_, float(fitted.inertia_)
    palette = np.unique(np.rint(centers), axis=0)
    labels = nearest(chosen, image.colors, palette)
    # Two centroids may round to one colour, or to one that others lie nearer to.
    sizes = np.bincount(labels, image.counts, len(palette))
    order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
    rank = np.empty(len(palette), np.uint8)
    rank[order] = np.arange(len(order))
    enter("write")
    content = _png(image, palette[order].astype(np.uint8), rank[labels])
    try:
        write_over(target, content)
    except OSError as problem:
        raise FileProblem(
            f"{target}: cannot write the image ({problem.strerror}); "
            "choose a file in a folder that exists and is writable"
        ) from problem
    height, width = image.pixels.shape
    squared = ((image.colors.astype(np.float64) - palette[labels]) ** 2).sum(1)
    error = float((squared * image.counts).sum())
    mean_square = error / (image.pixels.size * image.colors.shape[1])
    return ReducedImage(
        path=target,
        format=image.format,
        width=width,
        height=height,
        colors_before=len(image.colors),
        colors_after=len(order),
        palette=tuple(
            PaletteColor(
                "#" + color.astype(np.uint8).tobytes().hex(), int(size), size / image.pixels.size
            )
            for color, size in zip(palette[order], sizes[order].tolist(), strict=True)
        ),
        inertia=inertia,
        squared_error=error,
        mean_error=float((np.sqrt(squared) * image.counts).sum()) / image.pixels.size,
        psnr=10 * float(np.log10(255**2 / mean_square)) if mean_square else None,
        bytes_before=image.n_bytes,
        bytes_after=len(content),
        seed=seed,
        backend=chosen.name,
        backend_reason=reason,
        notes=image.notes,
    )


def check_output(source: str | PathLike[str], out: str | PathLike[str]) -> Path:
    """Return the path to write to.

    Raises
    ------
    InvalidParam
        It does not end in ``.png``.
    FileProblem
        It is a folder or ``source`` itself, or lies in no folder.
    """
    target = check_path("out", out)
    if target.suffix.lower() != ".png":
        raise InvalidParam(f"{target}: the image is written as .png, not {target.suffix!r}")
    if target.is_dir():
        raise FileProblem(f"{target} is a folder: give the name of a file in it")
    original = check_path("source", source)
    if target.exists() and original.exists() and target.samefile(original):
        raise FileProblem(f"{target} is the image itself, which is not written over: give another")
    return target


def _fit(
    image: ImageColors, n_colors: int, seed: int, backend: Any, callback: Callback | None
) -> KMeans:
    colors, counts = image.colors, image.counts
    if len(colors) > POOLED_ABOVE:
        colors, counts = pooled(colors, counts)
    options: dict[str, Any] = {"backend": backend, "callback": callback, "random_state": seed}
    if len(colors) < n_colors:
        colors, counts = image.colors, image.counts
    model = KMeans(n_colors, **options).fit(colors, sample_weight=counts)
    if len(colors) == len(image.colors):
        return model
    last = KMeans(
        n_colors,
        init=model.cluster_centers_,
        n_init=1,
        algorithm="lloyd",
        max_iter=LAST_STEPS,
        **options,
    )
    return last.fit(image.colors, sample_weight=image.counts)


def _png(image: ImageColors, palette: NDArray[np.uint8], indices: NDArray[np.uint8]) -> bytes:
    """Return a PNG whose pixels are indices of a palette, of as few bits as these take."""
    from PIL import Image

    height, width = image.pixels.shape
    picture = Image.frombytes("P", (width, height), indices[image.pixels].tobytes())
    picture.putpalette(palette[:, :3].tobytes())
    options: dict[str, Any] = {"icc_profile": image.icc_profile} if image.icc_profile else {}
    if palette.shape[1] == 4:
        options["transparency"] = palette[:, 3].tobytes()
    buffer = BytesIO()
    picture.save(buffer, "PNG", optimize=True, **options)
    return buffer.getvalue()
