"""An animation of all years, as MP4 or GIF.

Frames are made one at a time and handed to the encoder: memory is bounded by one frame. The same
product gives the same bytes.
"""

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import xarray as xr
from PIL import Image

from luray.core.arithmetic import ceil_div
from luray.core.legend import rgb
from luray.core.progress import Progress, no_progress
from luray.core.types import U8
from luray.viz.figure import INK, MUTED, RULE
from luray.viz.frame import ORIGIN_COLOURS, WHITE, FrameLayout, pale
from luray.viz.palette import Palette
from luray.viz.view import View

SIZES = {".mp4": 1200, ".gif": 640}
"""Pixels along the longer axis of the map, by format."""

FRAMES_PER_SECOND = 12

MOST_STEPS = 720
"""Frames of an animation where a year has several maps: a minute."""

SHADES = 40
"""Shades of a GIF between white and each colour of text, whose edges are smoothed."""


def animate(
    product: xr.Dataset,
    path: str | Path,
    *,
    years: Sequence[int] | None = None,
    max_pixels: int | None = None,
    progress: Progress = no_progress,
) -> None:
    """Write an animation, one frame a year; the file appears whole or not at all.

    Parameters
    ----------
    product : xarray.Dataset
        An opened product.
    path : path
        File to write, .mp4 or .gif.
    years : sequence of int, optional
        Years, or time steps, that are shown. By default all of them; where a year has several, all
        of so many years that there are at most `MOST_STEPS`.
    max_pixels : int, optional
        Bound of the longer axis of the map, `SIZES` by default. A larger grid is thinned to it by
        taking the middle cell of each block, a smaller one enlarged by a whole factor.
    progress : callable, optional
        Called with the frames done and in all.

    Raises
    ------
    ValueError
        For another extension, and for a year that the product does not have.
    """
    target = Path(path)
    if target.suffix not in SIZES:
        raise ValueError(
            f"{target.name} ends in {target.suffix!r}, expected one of {', '.join(SIZES)}; "
            "rename it"
        )
    view = View.of(product)
    shown = shown_years(view) if years is None else tuple(years)
    for year in shown:
        view.check_year(year)
    if not shown:
        raise ValueError(f"no year to show in {target.name}, expected at least one of {view.span}")

    layout = FrameLayout(view, shown, max_pixels or SIZES[target.suffix])
    frames = _frames(layout, progress)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.stem}.{uuid.uuid4().hex[:8]}.partial{target.suffix}")
    try:
        if target.suffix == ".mp4":
            _write_mp4(partial, frames, layout.size)
        else:
            _write_gif(partial, frames, view.palette)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def shown_years(view: View) -> tuple[int, ...]:
    """Return the years, or time steps, that an animation shows of a product."""
    time = view.time
    if time.per_year == 1:
        return view.years
    calendar_years = sorted({time.year(step) for step in view.years})
    every = ceil_div(len(calendar_years) * time.per_year, MOST_STEPS)
    shown = set(calendar_years[::every])
    return tuple(step for step in view.years if time.year(step) in shown)


def _frames(layout: FrameLayout, progress: Progress) -> Iterator[Image.Image]:
    """Frames one by one, each reported when the encoder has taken it."""
    total = len(layout.years)
    for number in range(total):
        yield layout.frame(number)
        progress(number + 1, total)


def _write_mp4(path: Path, frames: Iterator[Image.Image], size: tuple[int, int]) -> None:
    """Write H.264 with 4:2:0 colour and the BT.709 matrix that players assume.

    `faststart` lets it play while it loads.
    """
    # The same frames must be the same bytes: one thread for the codec and one for the scaling,
    # whose rounding is exact, and no macroblock tree. Where the width is no multiple of 64, x264's
    # assembly works that out from memory that nobody has written, so that now and then another
    # of several encodings of the same frames comes out. Without it a file is a tenth larger.
    one_thread = "-threads 1 -filter_threads 1"
    quality = "-crf 18 -preset veryfast -x264-params mbtree=0 -movflags +faststart"
    scaling = "-vf scale=out_color_matrix=bt709:flags=bicubic+accurate_rnd+bitexact"
    colours = "-colorspace bt709 -color_primaries bt709 -color_trc bt709"
    writer = imageio_ffmpeg.write_frames(
        str(path),
        size,
        fps=FRAMES_PER_SECOND,
        codec="libx264",
        pix_fmt_in="rgb24",
        pix_fmt_out="yuv420p",
        macro_block_size=1,
        ffmpeg_log_level="error",
        quality=None,
        output_params=f"{one_thread} {quality} {scaling} {colours}".split(),
    )
    writer.send(None)
    try:
        for frame in frames:
            writer.send(frame.tobytes())
    finally:
        writer.close()


def _write_gif(path: Path, frames: Iterator[Image.Image], palette: Palette) -> None:
    """Write a GIF with one palette for all frames, the legend's colours exactly."""
    colours = Image.new("P", (1, 1))
    colours.putpalette(_gif_colours(palette).ravel().tolist())
    indexed = (frame.quantize(palette=colours, dither=Image.Dither.NONE) for frame in frames)
    first = next(indexed)
    first.save(
        path,
        save_all=True,
        append_images=indexed,
        duration=1000 // FRAMES_PER_SECOND,
        loop=0,
        optimize=False,
    )


def _gif_colours(palette: Palette) -> U8:
    """The 256 colours of a GIF, shape (256, 3).

    Those of the legend and of the years come first, so that none of them is cut off; then shades
    between white and the colours of text.
    """
    # Colours of whole areas: a frame must have them to the bit.
    origins = tuple(ORIGIN_COLOURS.values())
    pale_origins = tuple(pale(colour) for colour in origins)
    area_colours = (*palette.colours, WHITE, RULE, *origins, *pale_origins)
    area_rgb = np.array([rgb(colour) for colour in area_colours], np.uint8)

    # The edges of letters are mixed with the white behind them.
    white = rgb(WHITE)
    text_rgb = [rgb(colour) for colour in (INK, MUTED, *origins)]
    shades = [np.linspace(white, colour, SHADES, dtype=np.uint8) for colour in text_rgb]

    # A GIF's palette has 256 entries, whether they are needed or not.
    table = np.concatenate([area_rgb, *shades])[:256]
    filler = np.repeat(table[-1:], 256 - len(table), axis=0)
    return np.concatenate([table, filler])
