"""An image in a few colours, and what that lost."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_kmeans.cli import progress, show, staging, standard_input
from gpu_kmeans.cli.layout import count, facts, heading, table
from gpu_kmeans.cli.output import Answer

if TYPE_CHECKING:
    from gpu_kmeans.image import ReducedImage

__all__ = ["run"]

_STAGES = {"read": "reading the image", "cluster": "clustering", "write": "writing the image"}


def run(options: argparse.Namespace) -> Answer:
    """Reduce the colours of one file and write another."""
    from gpu_kmeans.image import check_output, reduce_colors

    out = options.out
    with standard_input.as_file(options.photo) as photo, progress.shown("starting") as shown:
        check_output(photo, out)
        with staging.files_into(out.parent, [out.name], overwrite=options.overwrite) as aside:
            reduced = reduce_colors(
                photo,
                aside / out.name,
                options.colors,
                seed=options.seed,
                backend=options.backend,
                callback=shown.callback,
                on_stage=lambda stage: shown.say(_STAGES[stage]),
            )
    reduced = replace(reduced, path=out)
    name = "standard input" if str(options.photo) == "-" else options.photo.name
    data = {"photo": options.photo, "colors": options.colors, **reduced.to_dict()}
    return Answer(data, lambda: _text(reduced, name, options.colors))


def _text(reduced: ReducedImage, name: str, asked: int) -> str:
    notes = list(reduced.notes)
    if reduced.colors_before <= asked:
        notes.insert(0, f"it has no more than {count(reduced.colors_before, 'colour')}: all kept")
    lost = "none: every pixel is as it was"
    if reduced.psnr is not None:
        lost = (
            f"{reduced.mean_error:.2f} a pixel on average (of 0 to 255 a channel), "
            f"PSNR {reduced.psnr:.1f} dB, sum of squares {reduced.squared_error:,.0f}"
        )
    share = reduced.bytes_after / reduced.bytes_before
    lines = [
        (
            "Read",
            f"{reduced.format}, {reduced.width:,} x {reduced.height:,} pixels, "
            f"{count(reduced.colors_before, 'colour')}, {count(reduced.bytes_before, 'byte')}",
        ),
        *(("Note", note) for note in notes),
        ("Backend", f"{reduced.backend} ({reduced.backend_reason})"),
        ("Error", lost),
        (
            "Written",
            f"{reduced.path}, {count(reduced.bytes_after, 'byte')} ({share:.0%} of before)",
        ),
    ]
    rows = [
        (str(rank), f"{color.pixels:,}", f"{color.share:.1%}", color.hex)
        for rank, color in enumerate(reduced.palette, start=1)
    ]
    return show.paragraphs(
        heading(f"{name} in {count(reduced.colors_after, 'colour')}"),
        facts(lines),
        table(("", "pixels", "share", "colour"), rows),
    )
