"""Images to rows: the colours that an image has, each weighted by the number of its pixels.

A photo of twelve million pixels has a few hundred thousand colours. Clustering these with their
counts as weights is clustering all pixels: inertia and centroids are the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import EmptyDataset, FileProblem, InputError, OutOfRange, UnsupportedFileType
from gpu_kmeans.tables.files import opened
from gpu_kmeans.tables.paths import check_path

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FORMATS", "MAX_PIXELS", "ImageColors", "pooled", "read_colors"]

FORMATS = "PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"
"""Formats that are read, by Pillow's names; others would start programs (EPS) or fetch files."""
MAX_PIXELS = 64_000_000
"""Maximum number of pixels of an image; larger ones are refused before they are unpacked."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageColors:
    """The colours of an image, and where they are in it.

    Attributes
    ----------
    colors : ndarray of shape (m, 3) or (m, 4), float32
        Different colours, 0 to 255: red, green, blue and, where any pixel lets something shine
        through, alpha. All pixels that are fully transparent have one colour, ``(0, 0, 0, 0)``.
    counts : ndarray of shape (m,), float64
        Number of pixels of each colour: the ``sample_weight`` of a fit.
    pixels : ndarray of shape (height, width), int32
        Which of the colours each pixel has.
    format : str
        One of ``FORMATS``.
    n_bytes : int
        Size of the file.
    icc_profile : bytes or None
        The colour space that red, green and blue are meant in, where the file names one.
    notes : tuple of str
        What was converted.
    """

    colors: NDArray[np.float32]
    counts: NDArray[np.float64]
    pixels: NDArray[np.int32]
    format: str
    n_bytes: int
    icc_profile: bytes | None
    notes: tuple[str, ...]


def read_colors(source: str | PathLike[str]) -> ImageColors:
    """Read an image and count its colours.

    Parameters
    ----------
    source : path of a PNG, JPEG, WebP, BMP, GIF or TIFF file
        Told by content. The orientation that a camera notes is applied; of several frames the first
        is read; greyscale, palettes, CMYK and 16 bits a channel become 8 bits of RGB.

    Raises
    ------
    FileProblem
        The file cannot be read, or is damaged.
    UnsupportedFileType
        It is no image of these formats, or its pixels are no colours.
    OutOfRange
        It has more than ``MAX_PIXELS`` pixels.
    """
    path = check_path("source", source)
    with opened(path) as file:
        n_bytes = file.seek(0, 2)
        file.seek(0)
        if not n_bytes:
            raise EmptyDataset(f"{path.name} is empty; give an image")
        image, format, notes = _load(file, path)
    profile = image.info.get("icc_profile")
    is_rgb = isinstance(profile, bytes) and profile[16:20] == b"RGB "
    channels = np.asarray(_in_rgb(image, path.name, notes))
    if channels.shape[2] == 4 and (channels[..., 3] == 255).all():
        channels = channels[..., :3]
    colors, counts, pixels = _counted(channels)
    return ImageColors(
        colors, counts, pixels, format, n_bytes, profile if is_rgb else None, tuple(notes)
    )


def pooled(
    colors: NDArray[np.float32], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Merge colours that differ only in the last two bits of each channel.

    Returns
    -------
    means : ndarray of shape (m', 3) or (m', 4), float32
    counts : ndarray of shape (m',), float64
    """
    keys = _packed(colors.astype(np.uint8) & np.uint8(0xFC))
    _, cells = np.unique(keys, return_inverse=True)
    totals = np.bincount(cells, counts).astype(np.float64)
    sums = [np.bincount(cells, counts * channel) for channel in colors.T]
    return (np.stack(sums, 1) / totals[:, None]).astype(np.float32), totals


def _counted(
    channels: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int32]]:
    height, width, depth = channels.shape
    packed = _packed(channels.reshape(-1, depth))
    if depth == 4:
        packed[packed < 1 << 24] = (
            0  # alpha, the highest byte, is 0: what is beneath cannot be seen
        )
    keys, pixels, counts = np.unique(packed, return_inverse=True, return_counts=True)
    shifts = np.array([16, 8, 0, 24][:depth], np.uint32)
    colors = (keys[:, None] >> shifts & 0xFF).astype(np.float32)
    return colors, counts.astype(np.float64), pixels.astype(np.int32).reshape(height, width)


def _packed(rows: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return each row of bytes as one number, alpha highest."""
    packed = np.zeros(len(rows), np.uint32)
    for channel in (3, 0, 1, 2)[4 - rows.shape[1] :]:
        packed <<= 8
        packed |= rows[:, channel]
    return packed


def _load(file: BufferedReader, path: Path) -> tuple[Image, str, list[str]]:
    """Unpack the first frame, upright, with what it was and what a reader should know of it."""
    from PIL import Image, ImageOps

    name, notes = path.name, []
    with _whole(name):
        image: Any = Image.open(file, formats=FORMATS)
        format = image.format if image.format in FORMATS else "JPEG"  # MPO: JPEGs of phones
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise _too_large(name, f"{width:,} x {height:,} pixels")
        if width < 1 or height < 1:
            raise EmptyDataset(f"{name} has no pixels; give another image")
        if getattr(image, "is_animated", False):
            notes.append("of several frames the first was read")
        if any(";16" in str(tile) for tile in image.tile) or image.mode.startswith("I"):
            notes.append("16 bits a channel became 8")
        image.load()
        try:
            upright = ImageOps.exif_transpose(image)
        except Exception:  # notes of cameras are often broken, and the pixels are whole
            notes.append("the orientation that its camera noted cannot be read")
            upright = image
        upright.info.setdefault("icc_profile", image.info.get("icc_profile"))
        return upright, format, notes


def _in_rgb(image: Image, name: str, notes: list[str]) -> Image:
    """Return the image as RGB, or as RGBA where pixels may be transparent."""
    from PIL import Image as images

    mode = image.mode
    if mode.startswith("I"):
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 0xFFFF:
            raise _no_colors(name, "32 bits a pixel")
        image = images.fromarray(((levels * 0xFF + 0x7FFF) // 0xFFFF).astype(np.uint8))
        mode = image.mode
    if mode == "F":
        raise _no_colors(name, "floating-point numbers")
    called = {"1": "black and white", "L": "greyscale", "LA": "greyscale", "P": "a palette"}
    if mode not in ("RGB", "RGBA"):
        notes.append(f"{called.get(mode, mode)} became RGB")
    try:
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    except (ValueError, OSError) as error:
        raise _no_colors(name, f"colours as {mode}") from error


def _no_colors(name: str, what: str) -> UnsupportedFileType:
    return UnsupportedFileType(
        f"{name} holds {what}; save it with 8 bits a channel, as PNG or JPEG"
    )


def _too_large(name: str, size: str) -> OutOfRange:
    return OutOfRange(
        f"{name} has {size}, and at most {MAX_PIXELS:,} are read; make it smaller first"
    )


@contextmanager
def _whole(name: str) -> Iterator[None]:
    """Turn whatever decoders raise into this package's errors."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken notes of cameras
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (InputError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise UnsupportedFileType(
            f"{name} is no image that is read; save it as one of {', '.join(FORMATS)}"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, "too many pixels") from error
    # Each decoder fails in its own way, and none of them knows more than that the file is broken.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FileProblem(f"{name} is not a whole image: {reason}; save it again") from error
