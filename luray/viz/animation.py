"""An animation of all years, as MP4 or GIF.

A frame is the map of one year by palette lookup, with a legend and the year beside it and the way
through the years below. Frames are made one at a time and handed to the encoder: memory is bounded
by one frame.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import xarray as xr
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from luray.core.types import U8
from luray.viz.figure import ACCENT, INK, MUTED, RULE
from luray.viz.palette import rgb
from luray.viz.view import View

Progress = Callable[[int, int], None]
"""Called with the number of frames done and of all frames."""

SIZES = {".mp4": 1200, ".gif": 640}
"""Pixels along the longer axis of the map, by format."""

PACE = 12
"""Frames a second."""

ORIGIN_COLOURS = {"observed": ACCENT, "hindcast": "#c98b2b", "forecast": "#8a5aa8"}
WHITE = "#ffffff"

LEGEND_TOP = 7.0
"""Lines from the upper edge of the panel to the legend."""


def animate(
    product: xr.Dataset,
    path: str | Path,
    *,
    years: Sequence[int] | None = None,
    max_pixels: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write an animation of `years` (all of them by default), one frame each; .mp4 or .gif by the
    extension.

    `max_pixels` bounds the longer axis of the map, `SIZES` by default: a larger grid is thinned to
    it by taking the middle cell of each block, a smaller one enlarged by whole factors. The file
    appears whole or not at all. Raises ValueError for another extension and for a year that the
    product does not have.
    """
    target = Path(path)
    if target.suffix not in SIZES:
        raise ValueError(
            f"{target.name} ends in {target.suffix!r}, expected one of {', '.join(SIZES)}; rename "
            "it"
        )
    view = View.of(product)
    shown = tuple(view.years if years is None else years)
    for year in shown:
        view.check_year(year)
    if not shown:
        raise ValueError(
            f"no year to show in {target.name}, expected at least one of "
            f"{view.years[0]}-{view.years[-1]}"
        )
    layout = Layout(view, shown, max_pixels or SIZES[target.suffix])
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.stem}.{uuid.uuid4().hex[:8]}.partial{target.suffix}")
    frames = _counted(layout, progress)
    try:
        if target.suffix == ".mp4":
            _write_mp4(partial, frames, layout.size)
        else:
            _write_gif(partial, frames, view)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class Layout:
    """Where things are in a frame, in pixels; `frame` draws one."""

    view: View
    years: tuple[int, ...]
    max_pixels: int

    @cached_property
    def at_most(self) -> int:
        """Cells of the map along the longer axis of the grid, so that neither side exceeds
        `max_pixels` on paper.
        """
        n_lat, n_lon = self.view.grid.shape
        return max(
            1,
            int(max(n_lat, n_lon) * min(1, self.max_pixels / max(n_lat * self.view.aspect, n_lon))),
        )

    @cached_property
    def map_size(self) -> tuple[int, int]:
        """Width and height of the map; cells are as high as they are wide on the ground."""
        height, width = self.view.map(self.years[0], at_most=self.at_most).values.shape
        enlarge = max(1, int(self.max_pixels / max(height * self.view.aspect, width)))
        return width * enlarge, max(1, round(height * enlarge * self.view.aspect))

    @cached_property
    def unit(self) -> int:
        """Height of a line of text."""
        return max(12, self.max_pixels // 48)

    @property
    def margin(self) -> int:
        """Space around the map."""
        return self.unit

    @cached_property
    def panel(self) -> tuple[int, int]:
        """Left edge and width of the panel beside the map."""
        widest = max(
            self.font(0.8).getlength(self.view.palette.label(k))
            for k in range(len(self.view.palette.names))
        )
        return self.map_size[0] + 2 * self.margin, int(max(widest + 1.6 * self.unit, 9 * self.unit))

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of a frame, both even as the video format wants them."""
        left, width = self.panel
        rows = len(self.view.palette.names)
        height = (
            max(self.map_size[1], int((LEGEND_TOP + 1.35 * rows) * self.unit))
            + 2 * self.margin
            + 3 * self.unit
        )
        return (left + width + self.margin + 1) // 2 * 2, (height + 1) // 2 * 2

    @property
    def bar(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the way through the years."""
        bottom = self.size[1] - self.margin - self.unit
        return self.margin, bottom - max(4, self.unit // 3), self.size[0] - self.margin, bottom

    def font(self, lines: float, *, bold: bool = False) -> ImageFont.FreeTypeFont:
        """DejaVu Sans (shipped with matplotlib) of a size in lines."""
        weight = "bold" if bold else "normal"
        name = font_manager.findfont(
            font_manager.FontProperties(family="DejaVu Sans", weight=weight)
        )
        return ImageFont.truetype(name, round(self.unit * lines))

    def pixel_of(self, row: int, col: int) -> tuple[int, int]:
        """x and y of the middle of a cell of the product's grid."""
        grid, (width, height) = self.view.grid, self.map_size
        x, y = int((col + 0.5) / grid.n_lon * width), int((row + 0.5) / grid.n_lat * height)
        return self.margin + x, self.margin + y

    def x_of(self, number: int) -> int:
        """x of the way through the years after so many frames."""
        left, _, right, _ = self.bar
        return left + round((right - left) * number / len(self.years))

    @cached_property
    def background(self) -> Image.Image:
        """Everything that is the same in all frames."""
        image = Image.new("RGB", self.size, WHITE)
        draw = ImageDraw.Draw(image)
        left, unit, palette = self.panel[0], self.unit, self.view.palette
        small = self.font(0.8)
        for line, k in enumerate(
            (*palette.land, *(k for k in range(len(palette.names)) if k not in palette.land))
        ):
            y = self.margin + int((LEGEND_TOP + 1.35 * line) * unit)
            draw.rectangle(
                (left, y, left + unit, y + int(0.8 * unit)), fill=palette.colours[k], outline=RULE
            )
            draw.text(
                (left + 1.6 * unit, y + 0.4 * unit),
                palette.label(k),
                fill=INK,
                font=small,
                anchor="lm",
            )
        self._way(draw, len(self.years), [_pale(self._colour(y)) for y in self.years])
        tiny, (start, _, end, bottom) = self.font(0.7), self.bar
        caveats = _cut(" · ".join(self.view.caveats), tiny, end - start - 8 * unit)
        for text, x, anchor in (
            (str(self.years[0]), start, "la"),
            (caveats, (start + end) // 2, "ma"),
            (str(self.years[-1]), end, "ra"),
        ):
            draw.text((x, bottom + unit * 0.25), text, fill=MUTED, font=tiny, anchor=anchor)
        draw.text(
            (left, self.margin),
            _cut(self.view.title, small, self.panel[1]),
            fill=MUTED,
            font=small,
            anchor="la",
        )
        return image

    def frame(self, number: int) -> Image.Image:
        """The frame of `years[number]`, RGB."""
        year = self.years[number]
        image = self.background.copy()
        picture = Image.fromarray(self.view.map(year, at_most=self.at_most).values)
        picture.putpalette(self.view.palette.rgb.ravel().tolist())
        enlarged = picture.resize(self.map_size, Image.Resampling.NEAREST)
        image.paste(enlarged.convert("RGB"), (self.margin, self.margin))
        draw = ImageDraw.Draw(image)
        left, unit, origin = self.panel[0], self.unit, self.view.origins[year]
        draw.text(
            (left, self.margin + 1.5 * unit),
            str(year),
            fill=INK,
            font=self.font(2.6, bold=True),
            anchor="la",
        )
        draw.text(
            (left, self.margin + 4.5 * unit),
            origin,
            fill=self._colour(year),
            font=self.font(1),
            anchor="la",
        )
        self._way(draw, number + 1, [self._colour(y) for y in self.years])
        return image

    def _way(self, draw: ImageDraw.ImageDraw, frames: int, colours: Sequence[str]) -> None:
        _, top, _, bottom = self.bar
        for n in range(frames):
            draw.rectangle((self.x_of(n), top, self.x_of(n + 1) - 1, bottom), fill=colours[n])

    def _colour(self, year: int) -> str:
        return ORIGIN_COLOURS.get(self.view.origins[year], INK)


def _counted(layout: Layout, progress: Progress | None) -> Iterator[Image.Image]:
    for number in range(len(layout.years)):
        yield layout.frame(number)
        if progress is not None:
            progress(number + 1, len(layout.years))


def _write_mp4(path: Path, frames: Iterator[Image.Image], size: tuple[int, int]) -> None:
    """H.264 with 4:2:0 colour and the BT.709 matrix that players assume, readable while it loads.

    The same frames must be the same bytes: one thread for the codec and one for the scaling, whose
    rounding is exact.
    """
    scaling = "scale=out_color_matrix=bt709:flags=bicubic+accurate_rnd+bitexact"
    one_thread = ["-threads", "1", "-filter_threads", "1"]
    colours = [
        "-vf",
        scaling,
        "-colorspace",
        "bt709",
        "-color_primaries",
        "bt709",
        "-color_trc",
        "bt709",
    ]
    writer = imageio_ffmpeg.write_frames(
        str(path),
        size,
        fps=PACE,
        codec="libx264",
        pix_fmt_in="rgb24",
        pix_fmt_out="yuv420p",
        macro_block_size=1,
        ffmpeg_log_level="error",
        quality=None,
        output_params=[
            *one_thread,
            "-crf",
            "18",
            "-preset",
            "veryfast",
            "-movflags",
            "+faststart",
            *colours,
        ],
    )
    writer.send(None)
    try:
        for frame in frames:
            writer.send(frame.tobytes())
    finally:
        writer.close()


def _write_gif(path: Path, frames: Iterator[Image.Image], view: View) -> None:
    """One palette for all frames: the legend's colours exactly, and shades for the text."""
    palette = Image.new("P", (1, 1))
    palette.putpalette(_gif_colours(view).ravel().tolist())
    indexed = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    next(indexed).save(
        path, save_all=True, append_images=indexed, duration=1000 // PACE, loop=0, optimize=False
    )


def _gif_colours(view: View) -> U8:
    """256 colours: those of the legend and of the years first, then shades between white and the
    text's colours.
    """
    pure = [rgb(c) for c in (*view.palette.colours, WHITE, RULE, *ORIGIN_COLOURS.values())]
    pure += [rgb(_pale(c)) for c in ORIGIN_COLOURS.values()]
    shades = [
        np.linspace(rgb(WHITE), rgb(c), 40, dtype=np.uint8)
        for c in (INK, MUTED, *ORIGIN_COLOURS.values())
    ]
    table = np.concatenate([np.array(pure, np.uint8), *shades])[:256]
    return np.concatenate([table, np.repeat(table[-1:], 256 - len(table), axis=0)])


def _pale(colour: str) -> str:
    """A colour mixed with three parts of white."""
    red, green, blue = ((value + 3 * 255) // 4 for value in rgb(colour))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _cut(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Text shortened to a width in pixels."""
    if font.getlength(text) <= width:
        return text
    return next(
        (
            f"{text[:n]}…"
            for n in range(len(text), 0, -1)
            if font.getlength(f"{text[:n]}…") <= width
        ),
        "",
    )
