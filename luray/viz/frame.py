"""A frame of an animation: the map of one year, its legend, and the timeline of all years.

Places and sizes are in pixels, x to the right and y downward; `unit` is the height of a line of
text, to which everything but the map is scaled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib import font_manager
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont

from luray.core.legend import rgb
from luray.core.value_scale import ValueScale
from luray.viz.figure import ACCENT, INK, MUTED, RULE
from luray.viz.largest import largest
from luray.viz.plots import in_signs
from luray.viz.projection import Raster
from luray.viz.view import View

ORIGIN_COLOURS = {"observed": ACCENT, "hindcast": "#c98b2b", "forecast": "#8a5aa8"}
WHITE = "#ffffff"

LEGEND_TOP = 7.0
"""Lines from the upper edge of the panel to the legend."""

LEGEND_LINE = 1.35
"""Lines from one entry of the legend to the next."""

MOST_TICKS = 8
"""Values that the legend of values shows, about."""

FEWEST_ENTRIES = 12
"""Entries that a legend always has room for; a higher map has room for more of them."""


@dataclass(frozen=True)
class FrameLayout:
    """Where things are in a frame; `frame` draws one."""

    view: View
    years: tuple[int, ...]
    max_pixels: int
    """Pixels that neither side of the map exceeds."""

    @cached_property
    def at_most(self) -> int:
        """Cells of the thinned map along the longer axis of the grid."""
        return min(self.max_pixels, max(self.view.grid.shape))

    @cached_property
    def map_size(self) -> tuple[int, int]:
        """Width and height of the map."""
        return self.view.projected.size(self.max_pixels)

    @cached_property
    def raster(self) -> Raster:
        """The cell that each pixel of the map shows."""
        return self.view.projected.raster(self.max_pixels)

    @cached_property
    def coastlines(self) -> Image.Image:
        """The pixels of the map on which there is a coastline."""
        mask = Image.new("1", self.map_size)
        self.view.projected.draw_coastlines(ImageDraw.Draw(mask), self.map_size, colour=1)
        return mask

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
        font = self.font(0.8)
        widest_name = max(font.getlength(name) for name, _ in self.legend)
        left = self.map_size[0] + 2 * self.margin
        time = self.view.time
        widest_label = 0.0
        if time.per_year > 1:
            widest_label = self.year_font.getlength(time.label(self.years[0]))
        return left, int(max(widest_name + 1.6 * self.unit, 9 * self.unit, widest_label))

    @property
    def year_font(self) -> ImageFont.FreeTypeFont:
        """Font of the year, smaller where it has a month, too."""
        return self.font(2.6 if self.view.time.per_year == 1 else 1.9, bold=True)

    @cached_property
    def legend(self) -> list[tuple[str, str]]:
        """Name and colour of what the legend shows: the classes of land, then the other flags.

        Of more classes than the map is high it shows the largest, and how many more the maps have;
        that line has no colour. Of values it shows round ones, from the highest to the lowest.
        """
        palette = self.view.palette
        if palette.scale is not None:
            return self._scale_entries(palette.scale)
        lines_beside_map = (self.map_size[1] / self.unit - LEGEND_TOP) / LEGEND_LINE
        most = max(FEWEST_ENTRIES, int(lines_beside_map))
        others = [k for k in range(len(palette.names)) if k not in palette.land]

        named = list(palette.land)
        rest = 0
        if len(named) + len(others) > most:
            charted = set(self.view.chart_years()) & set(self.years)
            area_K = self.view.areas(sorted({self.years[0], *charted, self.years[-1]})).sum(axis=0)
            kept = largest(area_K, most - len(others) - 1)
            named = [palette.land[position] for position in kept]
            rest = int((area_K > 0).sum()) - len(named)

        entries = [(palette.label(k), palette.colours[k]) for k in named]
        if rest:
            entries.append((f"{rest} other classes", ""))
        return entries + [(palette.label(k), palette.colours[k]) for k in others]

    def _scale_entries(self, scale: ValueScale) -> list[tuple[str, str]]:
        """Values and colours of the legend of values, and what has none."""
        ticks = MaxNLocator(MOST_TICKS, steps=[1, 2, 5, 10]).tick_values(scale.first, scale.last)
        values = np.array([value for value in ticks if scale.first <= value <= scale.last])
        levels = scale.levels_of(values)
        units = in_signs(scale.units)
        entries = [
            (f"{value:.6g} {units}".strip(), self.view.palette.colours[level])
            for value, level in zip(values, levels, strict=True)
        ]
        return [*entries[::-1], ("no value", self.view.palette.ocean)]

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of a frame, both even as the video format wants them."""
        left, panel_width = self.panel
        legend_lines = LEGEND_TOP + LEGEND_LINE * len(self.legend)
        content_height = max(self.map_size[1], int(legend_lines * self.unit))
        width = left + panel_width + self.margin
        height = content_height + 2 * self.margin + 3 * self.unit
        return (width + 1) // 2 * 2, (height + 1) // 2 * 2

    @property
    def timeline(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the bar that shows the years."""
        width, height = self.size
        bottom = height - self.margin - self.unit
        top = bottom - max(4, self.unit // 3)
        return self.margin, top, width - self.margin, bottom

    def font(self, lines: float, *, bold: bool = False) -> ImageFont.FreeTypeFont:
        """Return DejaVu Sans, which matplotlib ships, in a size in lines."""
        weight = "bold" if bold else "normal"
        properties = font_manager.FontProperties(family="DejaVu Sans", weight=weight)
        return ImageFont.truetype(font_manager.findfont(properties), round(self.unit * lines))

    def pixel_of(self, row: int, column: int) -> tuple[int, int]:
        """Return x and y of the middle of a cell of the product's grid."""
        projected = self.view.projected
        place = projected.to_metres(self.view.grid.lon[[column]], self.view.grid.lat[[row]])
        columns, rows = projected.to_pixels(*place, self.map_size)
        return self.margin + int(columns[0]), self.margin + int(rows[0])

    def x_of(self, number: int) -> int:
        """Return x on the timeline after a number of frames."""
        left, _, right, _ = self.timeline
        return left + round((right - left) * number / len(self.years))

    @cached_property
    def background(self) -> Image.Image:
        """Everything that is the same in all frames."""
        image = Image.new("RGB", self.size, WHITE)
        draw = ImageDraw.Draw(image)
        self._draw_legend(draw)
        self._draw_timeline(draw, len(self.years), [pale(self._colour(y)) for y in self.years])
        self._draw_timeline_labels(draw)

        left, width = self.panel
        font = self.font(0.8)
        title = _shortened(self.view.title, font, width)
        draw.text((left, self.margin), title, fill=MUTED, font=font, anchor="la")
        return image

    def frame(self, number: int) -> Image.Image:
        """Return the frame of `years[number]`, RGB."""
        year = self.years[number]
        image = self.background.copy()

        picture = self.view.map(year, at_most=self.at_most)
        colours = self.view.palette.rgb[picture.values]
        map_HW3 = self.raster.paint(colours, factor=picture.factor, background=rgb(WHITE))
        corner = (self.margin, self.margin)
        image.paste(Image.fromarray(map_HW3), corner)
        image.paste(INK, corner, self.coastlines)

        draw = ImageDraw.Draw(image)
        left, _ = self.panel
        year_top = self.margin + 1.5 * self.unit
        label = self.view.time.label(year)
        draw.text((left, year_top), label, fill=INK, font=self.year_font, anchor="la")
        origin_top = self.margin + 4.5 * self.unit
        origin = self.view.origins[year]
        draw.text(
            (left, origin_top), origin, fill=self._colour(year), font=self.font(1), anchor="la"
        )
        self._draw_timeline(draw, number + 1, [self._colour(y) for y in self.years])
        return image

    def _draw_legend(self, draw: ImageDraw.ImageDraw) -> None:
        """Draw the entries of the legend, one a line."""
        left, _ = self.panel
        unit = self.unit
        font = self.font(0.8)
        for line, (name, colour) in enumerate(self.legend):
            top = self.margin + int((LEGEND_TOP + LEGEND_LINE * line) * unit)
            box = (left, top, left + unit, top + int(0.8 * unit))
            if colour:
                draw.rectangle(box, fill=colour, outline=RULE)
            place = (left + 1.6 * unit, top + 0.4 * unit)
            draw.text(place, name, fill=INK, font=font, anchor="lm")

    def _draw_timeline(
        self, draw: ImageDraw.ImageDraw, frames: int, colours: Sequence[str]
    ) -> None:
        """Draw the timeline up to a number of frames."""
        _, top, _, bottom = self.timeline
        for n in range(frames):
            draw.rectangle((self.x_of(n), top, self.x_of(n + 1) - 1, bottom), fill=colours[n])

    def _draw_timeline_labels(self, draw: ImageDraw.ImageDraw) -> None:
        """Draw the first and the last year below the timeline, and the caveats between them."""
        left, _, right, bottom = self.timeline
        font = self.font(0.7)
        caveats = _shortened(" · ".join(self.view.caveats), font, right - left - 8 * self.unit)
        for text, x, anchor in (
            (self.view.time.label(self.years[0]), left, "la"),
            (caveats, (left + right) // 2, "ma"),
            (self.view.time.label(self.years[-1]), right, "ra"),
        ):
            place = (x, bottom + self.unit * 0.25)
            draw.text(place, text, fill=MUTED, font=font, anchor=anchor)

    def _colour(self, year: int) -> str:
        return ORIGIN_COLOURS.get(self.view.origins[year], INK)


def pale(colour: str) -> str:
    """Return a colour mixed with three parts of white.

    Examples
    --------
    >>> pale("#000000")
    '#bfbfbf'
    """
    red, green, blue = ((value + 3 * 255) // 4 for value in rgb(colour))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text, shortened to a width in pixels."""
    if font.getlength(text) <= width:
        return text
    for length in range(len(text), 0, -1):
        shorter = f"{text[:length]}…"
        if font.getlength(shorter) <= width:
            return shorter
    return ""
