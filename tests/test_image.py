"""Images in a few colours: the palette is that of a k-means, and nothing else changes."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from sklearn.cluster import KMeans as SklearnKMeans

from gpu_kmeans import image as images
from gpu_kmeans.cli import main
from gpu_kmeans.errors import (
    EmptyDataset,
    FileProblem,
    GpuKMeansError,
    InvalidParam,
    OutOfRange,
    UnsupportedFileType,
)
from gpu_kmeans.features import image as encoder
from gpu_kmeans.features.image import pooled, read_colors
from gpu_kmeans.image import reduce_colors


def scene(height: int = 60, width: int = 80) -> np.ndarray:
    """A sky, a sun, a hill, and the noise of a sensor."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    sky = np.stack([120 + y, 160 + y / 2, 220 - y / 3], -1)
    sun = (x - 60) ** 2 + (y - 15) ** 2 < 60
    hill = y > 38 + 5 * np.sin(x / 9)
    picture = np.where(sun[..., None], (250.0, 220, 120), sky)
    green = np.stack([60 + 30 * np.sin(x / 5), 110 + 40 * np.cos(y / 7), 50 + 0 * x], -1)
    picture = np.where(hill[..., None], green, picture) + rng.normal(0, 5, (height, width, 3))
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(scene()).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def saved(picture: Any, path: Path, **options: Any) -> Path:
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(
        path, **options
    )
    return path


def rebuilt(path: Path) -> np.ndarray:
    """What an image's distinct colours and their places say that its pixels are."""
    read = read_colors(path)
    assert len(np.unique(read.colors, axis=0)) == len(read.colors)
    np.testing.assert_array_equal(read.counts, np.bincount(read.pixels.ravel()))
    return read.colors[read.pixels]


# -- the reduction ---------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 5, 16, 64])
def test_every_pixel_gets_the_nearest_of_at_most_k_colours(
    k: int, photo: Path, backend: Any
) -> None:
    out = photo.with_name("small.png")
    reduced = reduce_colors(photo, out, k, backend=backend)
    with Image.open(out) as small:
        assert (small.format, small.mode) == ("PNG", "P")
        written = np.asarray(small.convert("RGB")).reshape(-1, 3).astype(int)
    pixels = scene().reshape(-1, 3).astype(int)
    palette = np.unique(written, axis=0)
    assert len(palette) == reduced.colors_after == len(reduced.palette) <= k
    squared = ((pixels[:, None] - palette) ** 2).sum(2)
    own = ((pixels - written) ** 2).sum(1)
    np.testing.assert_array_equal(own, squared.min(1))
    assert reduced.squared_error == own.sum()
    assert reduced.mean_error == pytest.approx(np.sqrt(own).mean())
    assert reduced.psnr == pytest.approx(10 * np.log10(255**2 / (own.mean() / 3)))
    assert reduced.bytes_after == out.stat().st_size
    assert reduced.bytes_before == photo.stat().st_size
    assert reduced.colors_before == len(np.unique(pixels, axis=0))


def test_the_palette_is_told_with_its_shares_largest_first(photo: Path) -> None:
    out = photo.with_name("small.png")
    reduced = reduce_colors(photo, out, 8)
    with Image.open(out) as small:
        colors, counts = np.unique(
            np.asarray(small.convert("RGB")).reshape(-1, 3), axis=0, return_counts=True
        )
    listed = {color.hex: color.pixels for color in reduced.palette}
    assert listed == {"#" + c.tobytes().hex(): n for c, n in zip(colors, counts, strict=True)}
    sizes = [color.pixels for color in reduced.palette]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(color.share for color in reduced.palette) == pytest.approx(1)


@pytest.mark.parametrize("pool", [False, True], ids=["all colours", "pooled first"])
@pytest.mark.parametrize("k", [4, 16])
def test_inertia_is_brute_force_and_no_worse_than_scikit_learn(
    k: int, pool: bool, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if pool:
        monkeypatch.setattr(images, "POOLED_ABOVE", 100)
    reduced = reduce_colors(photo, photo.with_name("small.png"), k)
    pixels = scene().reshape(-1, 3).astype(np.float64)
    theirs = SklearnKMeans(k, n_init=3, random_state=0).fit(pixels)
    assert reduced.inertia <= theirs.inertia_ * 1.001
    # Rounding a centroid can only add, and at most half a step a channel.
    assert reduced.inertia <= reduced.squared_error * (1 + 1e-6)
    assert reduced.squared_error <= reduced.inertia * (1 + 1e-6) + 0.75 * len(pixels)


def test_colours_are_pooled_by_their_means(photo: Path) -> None:
    read = read_colors(photo)
    means, counts = pooled(read.colors, read.counts)
    pixels = scene().reshape(-1, 3)
    cells, index = np.unique(pixels // 4, axis=0, return_inverse=True)
    assert len(means) == len(cells)
    expected = [pixels[index.ravel() == cell].mean(0) for cell in range(len(cells))]
    np.testing.assert_allclose(
        sorted(means.tolist()), sorted(np.array(expected).tolist()), rtol=1e-6
    )
    assert counts.sum() == len(pixels)


def test_the_same_seed_writes_the_same_file(photo: Path) -> None:
    contents = []
    for _ in range(2):
        reduce_colors(photo, photo.with_name("small.png"), 12, seed=7)
        contents.append(photo.with_name("small.png").read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize("k", [4, 5, 256])
def test_an_image_of_few_colours_keeps_them_all(k: int, tmp_path: Path) -> None:
    colors = np.array([[0, 0, 0], [255, 0, 0], [1, 2, 3], [9, 9, 9]], np.uint8)
    pixels = colors[np.random.default_rng(0).integers(0, 4, (9, 7))]
    path = saved(pixels, tmp_path / "few.png")
    reduced = reduce_colors(path, tmp_path / "out.png", k)
    with Image.open(tmp_path / "out.png") as small:
        np.testing.assert_array_equal(np.asarray(small.convert("RGB")), pixels)
    assert (reduced.colors_before, reduced.colors_after) == (4, 4)
    assert (reduced.inertia, reduced.squared_error, reduced.psnr) == (0, 0, None)


def test_centroids_that_round_to_one_colour_are_one(tmp_path: Path) -> None:
    pixels = np.zeros((10, 10, 3), np.uint8)
    pixels[:, 5:] = 1
    pixels[0, 0] = 2
    reduced = reduce_colors(saved(pixels, tmp_path / "x.png"), tmp_path / "out.png", 2)
    assert reduced.colors_after == 2
    assert reduced.squared_error == 3  # the one pixel of a third colour is nearest to (1, 1, 1)


# -- alpha -------------------------------------------------------------------------------------


def test_what_is_transparent_stays_so(tmp_path: Path) -> None:
    pixels = np.dstack([scene(), np.full((60, 80), 255, np.uint8)])
    pixels[:10, :, 3] = 0  # whatever colours are beneath
    pixels[10:20, :, 3] = 128
    path = saved(pixels, tmp_path / "x.png")
    read = read_colors(path)
    assert read.colors.shape[1] == 4
    assert read.counts[(read.colors == 0).all(1)] == 800
    reduced = reduce_colors(path, tmp_path / "out.png", 16)
    with Image.open(tmp_path / "out.png") as small:
        assert small.mode == "P"
        written = np.asarray(small.convert("RGBA")).astype(int)
    assert (written[:10] == 0).all()
    seen = np.where(pixels[..., 3:] == 0, 0, pixels).reshape(-1, 4).astype(int)
    palette = np.unique(written.reshape(-1, 4), axis=0)
    own = ((seen - written.reshape(-1, 4)) ** 2).sum(1)
    np.testing.assert_array_equal(own, ((seen[:, None] - palette) ** 2).sum(2).min(1))
    assert reduced.squared_error == own.sum()
    assert all(len(color.hex) == 9 for color in reduced.palette)


def test_alpha_that_hides_nothing_is_no_channel(tmp_path: Path) -> None:
    pixels = np.dstack([scene(), np.full((60, 80), 255, np.uint8)])
    assert read_colors(saved(pixels, tmp_path / "x.png")).colors.shape[1] == 3


# -- what images are -----------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "WEBP", "BMP", "TIFF"])
def test_formats_without_loss_are_read_as_they_are(format: str, tmp_path: Path) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    path = saved(scene(), tmp_path / "photo", format=format, **options)
    np.testing.assert_array_equal(rebuilt(path), scene())
    assert read_colors(path).format == format
    assert read_colors(path).notes == ()


@pytest.mark.parametrize("format", ["JPEG", "GIF", "WEBP"])
def test_formats_with_loss_are_read_as_pillow_reads_them(format: str, tmp_path: Path) -> None:
    path = saved(scene(), tmp_path / "photo", format=format)
    with Image.open(path) as photo:
        np.testing.assert_array_equal(rebuilt(path), np.asarray(photo.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_stand_upright(orientation: int, tmp_path: Path) -> None:
    picture = Image.fromarray(scene())
    exif = picture.getexif()
    exif[0x0112] = orientation
    path = saved(picture, tmp_path / "x.png", exif=exif)
    turned = {
        1: scene(),
        2: scene()[:, ::-1],
        3: scene()[::-1, ::-1],
        4: scene()[::-1],
        5: scene().transpose(1, 0, 2),
        6: np.rot90(scene(), -1),
        7: np.rot90(scene(), 2).transpose(1, 0, 2),
        8: np.rot90(scene()),
    }
    np.testing.assert_array_equal(rebuilt(path), turned[orientation])


def test_broken_notes_of_a_camera_do_not_stop_it(tmp_path: Path) -> None:
    path = saved(scene(), tmp_path / "x.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + bytes(20))
    assert rebuilt(path).shape == (60, 80, 3)


@pytest.mark.parametrize(
    ("mode", "note"),
    [
        ("L", "greyscale became RGB"),
        ("LA", "greyscale became RGB"),
        ("1", "black and white became RGB"),
        ("P", "a palette became RGB"),
    ],
)
def test_other_kinds_of_pixels_are_converted_and_said_to_be(
    mode: str, note: str, tmp_path: Path
) -> None:
    picture = Image.fromarray(scene()).convert(mode)
    path = saved(picture, tmp_path / "x.png")
    np.testing.assert_array_equal(rebuilt(path), np.asarray(picture.convert("RGB")))
    assert read_colors(path).notes == (note,)


def test_cmyk_is_converted(tmp_path: Path) -> None:
    path = saved(Image.fromarray(scene()).convert("CMYK"), tmp_path / "x.tif")
    assert read_colors(path).notes == ("CMYK became RGB",)
    assert np.abs(rebuilt(path) - scene()).max() <= 1


def png(depth: int, kind: int, rows: bytes, size: tuple[int, int]) -> bytes:
    """A PNG by hand: Pillow writes none of 16 bits a channel."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    levels = np.array([[0, 0x1234, 0xFFFF, 0x8000]], np.uint16)
    path = tmp_path / "x.png"
    path.write_bytes(png(16, 0, b"\0" + levels.astype(">u2").tobytes(), (4, 1)))
    assert rebuilt(path)[0, :, 0].tolist() == [0, 18, 255, 128]
    assert read_colors(path).notes[0] == "16 bits a channel became 8"
    rgb = np.repeat(levels.astype(">u2"), 3)
    path.write_bytes(png(16, 2, b"\0" + rgb.tobytes(), (4, 1)))
    assert rebuilt(path)[0, :, 0].tolist() == [0, 18, 255, 128]
    assert read_colors(path).notes == ("16 bits a channel became 8",)
    wide = Image.fromarray(levels.astype(np.int32) * 1000)
    with pytest.raises(UnsupportedFileType, match="32 bits a pixel; save it with 8 bits"):
        read_colors(saved(wide, tmp_path / "x.tif"))
    real = Image.fromarray(levels.astype(np.float32))
    with pytest.raises(UnsupportedFileType, match="floating-point numbers; save it"):
        read_colors(saved(real, tmp_path / "x.tif"))


def test_the_first_of_several_frames_is_read(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (5, 5), color) for color in ("red", "blue"))
    first.save(tmp_path / "x.gif", save_all=True, append_images=[second])
    read = read_colors(tmp_path / "x.gif")
    assert read.colors.tolist() == [[255, 0, 0]]
    assert "of several frames the first was read" in read.notes


def test_the_colour_space_is_kept(photo: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    saved(scene(), photo, icc_profile=profile)
    reduce_colors(photo, photo.with_name("small.png"), 4)
    with Image.open(photo.with_name("small.png")) as small:
        assert small.info["icc_profile"] == profile
    grey = profile[:16] + b"GRAY" + profile[20:]
    saved(Image.fromarray(scene()).convert("L"), photo, icc_profile=grey)
    assert read_colors(photo).icc_profile is None


# -- refusals ----------------------------------------------------------------------------------


def broken(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"", EmptyDataset, "is empty"),
        (b"id,text\n1,a\n", UnsupportedFileType, "no image that is read; save it as one of PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", UnsupportedFileType, "no image"),
        (b"\x89PNG\r\n\x1a\n", UnsupportedFileType, "no image"),
    ],
)
def test_what_is_no_image_is_refused(
    content: bytes, error: type[GpuKMeansError], words: str, tmp_path: Path
) -> None:
    path = broken(tmp_path, "x.png", content)
    with pytest.raises(error, match=words) as caught:
        reduce_colors(path, tmp_path / "out.png")
    assert str(caught.value).startswith("x.png")
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_truncated_images_are_refused(format: str, tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.fromarray(scene()).save(whole, format)
    for share in (0.3, 0.6, 0.9):
        content = whole.getvalue()[: int(len(whole.getvalue()) * share)]
        with pytest.raises((FileProblem, UnsupportedFileType), match=r"^x\.img is n"):
            read_colors(broken(tmp_path, "x.img", content))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_damage_anywhere_is_refused_or_read(format: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    whole = io.BytesIO()
    Image.fromarray(scene(12, 16)).save(whole, format)
    for _ in range(60):
        content = bytearray(whole.getvalue())
        for at in rng.integers(0, len(content), 3):
            content[at] = rng.integers(256)
        try:
            read_colors(broken(tmp_path, "x.img", bytes(content)))
        except GpuKMeansError as error:
            assert str(error).startswith("x.img ")


@pytest.mark.parametrize("side", [8_001, 10_000, 60_000])
def test_images_too_large_to_unpack_are_refused_unread(side: int, tmp_path: Path) -> None:
    path = broken(tmp_path, "x.png", png(8, 2, b"", (side, side)))
    with pytest.raises(OutOfRange, match="at most 64,000,000 are read"):
        read_colors(path)


def test_the_limit_of_pixels_is_inclusive(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "MAX_PIXELS", 60 * 80)
    read_colors(photo)
    monkeypatch.setattr(encoder, "MAX_PIXELS", 60 * 80 - 1)
    with pytest.raises(OutOfRange, match=r"photo\.png has 80 x 60 pixels"):
        read_colors(photo)


@pytest.mark.parametrize("k", [0, 257, 1.5, True, "16"])
def test_numbers_of_colours_that_no_palette_has_are_refused(k: Any, photo: Path) -> None:
    with pytest.raises(InvalidParam, match="n_colors must be"):
        reduce_colors(photo, photo.with_name("out.png"), k)


def test_the_image_itself_is_never_written_over(photo: Path) -> None:
    before = photo.read_bytes()
    link = photo.with_name("link.png")
    link.symlink_to(photo)
    hard = photo.with_name("hard.png")
    os.link(photo, hard)
    for out in (photo, link, hard, photo.parent / "." / "photo.png"):
        with pytest.raises(FileProblem, match="is the image itself"):
            reduce_colors(photo, out)
    assert photo.read_bytes() == before


def test_outputs_that_cannot_be_are_refused(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidParam, match=r"out\.jpg: the image is written as \.png"):
        reduce_colors(photo, tmp_path / "out.jpg")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(FileProblem, match="is a folder"):
        reduce_colors(photo, tmp_path / "folder.png")
    with pytest.raises(FileProblem, match="cannot write the image"):
        reduce_colors(photo, tmp_path / "none" / "out.png")
    with pytest.raises(FileProblem, match="no such file"):
        reduce_colors(tmp_path / "none.png", tmp_path / "out.png")


# -- the command -------------------------------------------------------------------------------


def test_the_command_says_what_it_did(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = photo.with_name("small.png")
    arguments = ["image", str(photo), "--colors", "8", "--out", str(out), "--backend", "cpu"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert said.startswith("photo.png in 8 colours\n")
    for words in ("PNG, 80 x 60 pixels", "PSNR", "Written", "% of before", "share  colour\n"):
        assert words in said
    assert main(arguments) == 2
    assert "give --overwrite to replace it" in capsys.readouterr().err
    before = out.read_bytes()
    assert main([*arguments, "--overwrite", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert out.read_bytes() == before
    assert result["path"] == str(out)
    assert result["bytes_after"] == len(before)
    assert len(result["palette"]) == result["colors_after"] == 8
    assert sorted(path.name for path in photo.parent.iterdir()) == ["photo.png", "small.png"]


def test_the_command_says_where_all_colours_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(Image.new("RGB", (4, 4), "teal"), tmp_path / "x.png")
    assert main(["image", str(path), "--out", str(tmp_path / "out.png")]) == 0
    said = capsys.readouterr().out
    assert "x.png in 1 colour\n" in said
    assert "no more than 1 colour: all kept" in said
    assert "every pixel is as it was" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "PHOTO", "--overwrite"], "is the image itself"),
        (["--out", "small.jpg"], "written as .png"),
        (["--colors", "0", "--out", "small.png"], "must be at least 1"),
        (["--colors", "300", "--out", "small.png"], "n_colors must be in [1, 256]"),
        ([], "--out"),
    ],
)
def test_the_command_refuses_with_the_way_out(
    options: list[str], words: str, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = photo.read_bytes()
    options = [str(photo) if option == "PHOTO" else option for option in options]
    assert main(["image", str(photo), *options]) == 2
    assert words in capsys.readouterr().err
    assert photo.read_bytes() == before
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]
