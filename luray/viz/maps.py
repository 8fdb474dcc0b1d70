"""Maps: the classes of a year, change between two years, and an overview for a first look.

Places and sizes on paper are in inches. Shapes: H, W picture cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from cartopy.mpl.geoaxes import GeoAxes
from cartopy.mpl.gridliner import Gridliner
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnchoredOffsetbox, AuxTransformBox, TextArea, VPacker
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from luray.core.arithmetic import ceil_div
from luray.core.legend import NO_VALUE_COLOUR, capitalised, rgb
from luray.core.types import F64, U8
from luray.core.value_scale import MOST_LEVELS
from luray.viz.figure import (
    INK,
    MUTED,
    RULE,
    axes_at,
    footnote,
    new_figure,
    place_in,
    save,
    text_at,
)
from luray.viz.largest import largest, shortened
from luray.viz.palette import Palette
from luray.viz.plots import draw_areas, draw_means, in_signs
from luray.viz.projection import DEGREES
from luray.viz.view import Picture, View, shares

UNCHANGED = "#e4e4df"
DIFFERENCE = "BrBG"
"""Colours of the difference of two maps of values: less is brown, more is green."""

PIXELS = 1200
"""Cells along the longer axis of a large map."""

WIDE = 0.5
"""Height over width of a map up to which its panel is below it rather than beside it."""

TALLEST = 8.0
"""Height in inches that no map exceeds."""

COAST_WIDTH = 0.5
"""Points: width of the coastlines."""

PANEL_WIDTH = 2.9
"""Inches: width of the legend, and of a panel beside a map."""

PANEL_HEIGHT = 2.45
"""Inches: height of a panel below a map."""

LEGEND_LINE = 0.235
"""Inches: height of a line of the legend."""

MOST_LETTERS = 34
"""Letters of a name in a legend and of its value together, at most."""

MOST_ENTRIES = 8
"""Classes that a legend names; the inset below it needs the rest of the panel."""

PAPER = (255, 255, 255)
"""Colour beside a map: a grid has bent edges where it is projected."""


class LegendEntry(NamedTuple):
    """A row of a legend."""

    colour: str
    """Of its box; empty for no box."""
    name: str
    value: str = ""


class ColourBar(NamedTuple):
    """The scale of a map of values."""

    colours: U8
    """From the lowest value to the highest, shape (n, 3)."""
    first: float
    last: float
    name: str
    units: str
    note: str = ""
    """A line below it."""

    @classmethod
    def of_scale(cls, palette: Palette, *, note: str = "") -> "ColourBar":
        """Return the scale of the values of a product."""
        scale = palette.scale
        assert scale is not None
        colours = palette.rgb[: scale.levels]
        name = capitalised(palette.long_name)
        return cls(colours, scale.first, scale.last, name, scale.units, note)


@dataclass(frozen=True)
class Page:
    """A figure with axes for a map and for a panel, whose units are inches."""

    figure: Figure
    axes: GeoAxes
    panel: Axes
    is_wide: bool
    """True where the panel lies below the map, not beside it."""


def map_of_year(product: xr.Dataset, year: int, path: str | Path) -> None:
    """Draw the map of one year, or of another time step, in the legend's colours.

    Beside it the legend with shares, or the scale of the values, ticks and a scale bar, and of a
    predicted year a small map of the confidence or spread.

    Raises
    ------
    ValueError
        For a year that the product does not have.
    """
    view = View.of(product)
    palette = view.palette
    picture = view.map(year, at_most=PIXELS, method="mode")
    origin = view.origins[year]
    page = _page(view, view.time.label(year), origin)
    draw_map(page.axes, palette.rgb[picture.values], picture, view)
    decorate(page.axes, view)
    if palette.scale is not None:
        [mean] = view.means([year])
        bar = ColourBar.of_scale(palette, note=f"mean {mean:.3g}")
        draw_colour_bar(page.panel, bar, height=_bar_height(page))
        if origin != "observed":
            _draw_quality_inset(page, view, year)
        save(page.figure, path)
        return

    # The largest classes have a row each, all others have one together.
    shares_K = shares(view.areas([year]))[0]
    named = largest(shares_K, MOST_ENTRIES)
    entries = []
    for position in named:
        k = palette.land[position]
        entries.append(
            LegendEntry(palette.colours[k], palette.label(k), f"{shares_K[position]:.1%}")
        )
    unnamed_share = float(shares_K.sum() - shares_K[named].sum())
    entries += _others(len(palette.land) - len(named), f"{unnamed_share:.1%}")
    entries.append(LegendEntry(palette.ocean, "ocean"))
    _draw_legend(page.panel, entries, "Share of land")

    if origin != "observed":
        _draw_quality_inset(page, view, year)
    save(page.figure, path)


def change_map(product: xr.Dataset, year_a: int, year_b: int, path: str | Path) -> None:
    """Draw where the map differs between two years: the new class, grey where it is the same.

    Of values it is the difference, the later less the earlier one. A large grid shows the cell in
    the middle of each block, so that the share of changed cells is right.

    Raises
    ------
    ValueError
        For a year that the product does not have.
    """
    view = View.of(product)
    palette = view.palette
    picture_a = view.map(year_a, at_most=PIXELS)
    picture_b = view.map(year_b, at_most=PIXELS)
    heading = f"{view.time.label(year_a)} → {view.time.label(year_b)}"
    page = _page(view, heading, f"change of {palette.long_name}")
    if palette.scale is not None:
        _draw_difference(page, view, picture_a.values, picture_b)
        save(page.figure, path)
        return
    image = change_image(picture_a.values, picture_b.values, view)
    draw_map(page.axes, image, picture_b, view)
    decorate(page.axes, view)

    gained_K = _gains(view, year_a, year_b)
    total = float(view.areas([year_b]).sum())
    unchanged = f"{1 - gained_K.sum() / total:.1%}" if total else ""
    named = [position for position in largest(gained_K, MOST_ENTRIES) if gained_K[position] > 0]
    entries = []
    for position in named:
        k = palette.land[position]
        area = f"{gained_K[position]:,.0f}"
        entries.append(LegendEntry(palette.colours[k], palette.label(k), area))
    n_gained = int((gained_K > 0).sum())
    unnamed_area = float(gained_K.sum() - gained_K[named].sum())
    entries += _others(n_gained - len(named), f"{unnamed_area:,.0f}")
    entries.append(LegendEntry(UNCHANGED, "unchanged", unchanged))
    entries.append(LegendEntry(palette.ocean, "ocean"))
    _draw_legend(page.panel, entries, "Land that became, km²")
    save(page.figure, path)


def change_image(codes_a: U8, codes_b: U8, view: View) -> U8:
    """Return the colours of a change map, shape (H, W, 3).

    Parameters
    ----------
    codes_a, codes_b : array, uint8, shape (H, W)
        Codes of the earlier and of the later year.
    view : View
        Has the colours.

    Returns
    -------
    array, uint8, shape (H, W, 3)
        The colour of the later class where the codes differ, grey elsewhere on land.
    """
    image = view.palette.rgb[codes_b]
    land = np.isin(codes_b, view.palette.land_codes)
    image[(codes_a == codes_b) & land] = rgb(UNCHANGED)
    return image


def _draw_difference(page: Page, view: View, levels_a: U8, picture_b: Picture) -> None:
    """Draw the difference of two maps of values, and its scale."""
    scale = view.palette.scale
    assert scale is not None
    known = (levels_a <= MOST_LEVELS) & (picture_b.values <= MOST_LEVELS)
    difference = (picture_b.values.astype(np.int16) - levels_a) * scale.step
    # The largest differences are few; the colours are for the others.
    most = float(np.percentile(np.abs(difference[known]), 99)) if known.any() else 0.0
    most = max(most, scale.step)
    colours = colormaps[DIFFERENCE](0.5 + difference / (2 * most), bytes=True)[..., :3]
    colours[~known] = rgb(view.palette.ocean)
    draw_map(page.axes, colours, picture_b, view)
    decorate(page.axes, view)

    shades = np.linspace(0, 1, 101)
    bar_colours = colormaps[DIFFERENCE](shades, bytes=True)[:, :3]
    name = f"Change of {view.palette.long_name}"
    bar = ColourBar(bar_colours, -most, most, name, scale.units)
    draw_colour_bar(page.panel, bar, height=_bar_height(page))


def overview(product: xr.Dataset, path: str | Path) -> None:
    """Draw a whole product in one picture: up to four years, and the area of every class.

    Of values their mean over time.
    """
    view = View.of(product)
    years = overview_years(view)

    # Maps stand in one row, or two columns where they are wide, above the chart of the areas.
    ratio = view.projected.ratio
    n_columns = len(years) if ratio > 0.6 else min(2, len(years))
    n_rows = ceil_div(len(years), n_columns)

    # Inches, from the foot of the page up: footnote, chart, maps with their headings, title.
    page_width = 12.0
    left = 0.45
    right = 0.3
    gap = 0.18
    room = page_width - left - right - gap * (n_columns - 1)
    width = min(room / n_columns, TALLEST / ratio)
    height = width * ratio
    heading_height = 0.42
    foot = 0.75
    chart_height = 2.6
    maps_bottom = foot + chart_height + 0.5
    page_height = maps_bottom + n_rows * (height + heading_height) + 0.55

    figure = new_figure(page_width, page_height)
    top = page_height - 0.38
    text_at(
        figure, left, top, view.title or capitalised(view.palette.long_name), size=15, weight="bold"
    )
    text_at(figure, page_width - right, top, _span(view), size=9, colour=MUTED, align="right")
    for n, year in enumerate(years):
        row, column = divmod(n, n_columns)
        x = left + column * (width + gap)
        y = maps_bottom + (n_rows - 1 - row) * (height + heading_height)
        axes = map_axes_at(figure, view, x, y, width, height)
        picture = view.map(year, at_most=PIXELS // 2, method="mode")
        draw_map(axes, view.palette.rgb[picture.values], picture, view)
        above = y + height + 0.09
        label = view.time.label(year)
        text_at(figure, x, above, label, size=13, weight="bold")
        after_label = x + 0.58 * len(label) / len("2000")
        text_at(figure, after_label, above, view.origins[year], size=9, colour=MUTED)
    scale_bar(axes, view)

    # On the right of the chart there is room for the names of its layers.
    chart_width = page_width - left - right - 3.0
    chart = axes_at(figure, left + 0.55, foot, chart_width, chart_height)
    if view.palette.scale is None:
        draw_areas(chart, view)
    else:
        draw_means(chart, view)
        panel = axes_at(
            figure, page_width - right - PANEL_WIDTH + 0.75, foot, PANEL_WIDTH, chart_height
        )
        panel.set(xlim=(0, PANEL_WIDTH), ylim=(0, chart_height))
        panel.axis("off")
        draw_colour_bar(panel, ColourBar.of_scale(view.palette), height=chart_height - 0.75)
    footnote(figure, view.caveats, left=left)
    save(figure, path)


def overview_years(view: View) -> tuple[int, ...]:
    """Return first year, first and last observed year, last year: each once, ascending.

    Where a year has several maps these are the ones of the middle of these years: of one season.
    """
    ends = {view.years[0], *(view.observed or ()), view.years[-1]}
    time = view.time
    if time.per_year > 1:
        middles = {time.step(time.year(step), time.per_year // 2) for step in ends}
        ends = (middles & set(view.years)) or ends
    return tuple(sorted(ends))


def map_axes_at(
    figure: Figure, view: View, left: float, bottom: float, width: float, height: float
) -> GeoAxes:
    """Add axes for a map at a place given in inches, in the projection of the product's grid."""
    projected = view.projected
    axes = figure.add_axes(
        place_in(figure, left, bottom, width, height), projection=projected.crs, aspect="auto"
    )
    west, east, south, north = projected.extent
    axes.set(xlim=(west, east), ylim=(south, north))
    axes.spines["geo"].set_visible(False)
    return axes


def draw_map(axes: GeoAxes, image: U8, picture: Picture, view: View) -> None:
    """Draw colours of shape (H, W, 3) of a thinned map, and the coastlines."""
    # As many pixels as the figure has there, so that none is drawn twice or left out.
    box = axes.get_window_extent()
    raster = view.projected.raster(round(max(box.width, box.height)))
    axes.imshow(
        raster.paint(image, factor=picture.factor, background=PAPER),
        extent=view.projected.extent,
        interpolation="nearest",
        aspect="auto",
        origin="upper",
        transform=view.projected.crs,
    )
    axes.add_collection(
        LineCollection(view.projected.coastlines, colors=INK, linewidths=COAST_WIDTH)
    )


def decorate(axes: GeoAxes, view: View) -> None:
    """Add meridians and parallels with their degrees, and a scale bar."""
    lines: Gridliner = axes.gridlines(
        crs=DEGREES,
        draw_labels=["bottom", "left"],
        linewidth=0.4,
        color=INK,
        alpha=0.25,
        x_inline=False,
        y_inline=False,
        rotate_labels=False,
    )
    style = {"size": 8, "color": MUTED}
    lines.xlabel_style = style
    lines.ylabel_style = style
    scale_bar(axes, view)


def scale_bar(axes: GeoAxes, view: View) -> None:
    """Add a bar of a round length, about a fifth of the map; none where the scale varies."""
    projected = view.projected
    if projected.is_world:
        return
    west, east, _, _ = projected.extent
    length = round_length((east - west) / 4)

    bar = AuxTransformBox(axes.transData)
    bar.add_artist(Rectangle((0, 0), length, 0, edgecolor=INK, linewidth=1.6))
    label = TextArea(f"{length / 1000:,g} km", textprops={"size": 8, "color": INK})
    box = AnchoredOffsetbox(
        "lower left",
        pad=0.4,
        borderpad=0.6,
        frameon=True,
        child=VPacker(children=[label, bar], align="center", pad=0, sep=3),
    )
    box.patch.set(linewidth=0, alpha=0.85)
    axes.add_artist(box)


def round_length(most: float) -> float:
    """Return the largest of 1, 2 or 5 times a power of ten that does not exceed `most`.

    Examples
    --------
    >>> round_length(380.0)
    200.0
    """
    # A whole power less than the logarithm says, because that may be rounded up.
    power = 10.0 ** (np.floor(np.log10(most)) - 1)
    lengths = [n * power for n in (1, 2, 5, 10, 20, 50)]
    return float(max(length for length in lengths if length <= most))


def _page(view: View, heading: str, subtitle: str) -> Page:
    """A page with a heading and the caveats, a map and a panel right of it, or below a wide one."""
    ratio = view.projected.ratio
    is_wide = ratio <= WIDE
    width = 10.5 if is_wide else TALLEST / max(ratio, 1)
    height = width * ratio
    left = 0.75
    foot = 0.62
    head = 0.75
    if is_wide:
        map_bottom = foot + PANEL_HEIGHT + 0.35
        figure = new_figure(left + width + 0.3, map_bottom + height + head)
        axes = map_axes_at(figure, view, left, map_bottom, width, height)
        panel = axes_at(figure, left, foot - 0.2, width, PANEL_HEIGHT)
        panel.set(xlim=(0, width), ylim=(0, PANEL_HEIGHT))
    else:
        panel_left = left + width + 0.3
        figure = new_figure(panel_left + PANEL_WIDTH + 0.2, foot + height + head)
        axes = map_axes_at(figure, view, left, foot, width, height)
        panel = axes_at(figure, panel_left, foot, PANEL_WIDTH, height)
        panel.set(xlim=(0, PANEL_WIDTH), ylim=(0, height))
    panel.axis("off")

    top = figure.get_figheight() - 0.45
    right = figure.get_figwidth() - 0.25
    after_heading = left + 0.17 * len(heading) + 0.25
    text_at(figure, left, top, heading, size=18, weight="bold")
    text_at(figure, after_heading, top, subtitle, size=11, colour=MUTED)
    text_at(figure, right, top, view.title, size=10, colour=MUTED, align="right")
    footnote(figure, view.caveats, left=left)
    return Page(figure, axes, panel, is_wide)


def _draw_legend(panel: Axes, entries: Sequence[LegendEntry], title: str) -> None:
    """Draw a legend box in the upper left of a panel, a row for each entry."""
    top = panel.get_ylim()[1]
    height = LEGEND_LINE * (len(entries) + 1) + 0.25
    frame = Rectangle(
        (0, top - height), PANEL_WIDTH, height, facecolor="none", edgecolor=RULE, clip_on=False
    )
    panel.add_patch(frame)
    panel.text(0.13, top - 0.24, title, fontsize=9, fontweight="bold", color=INK, va="center")

    right = PANEL_WIDTH - 0.13
    for n, (colour, name, value) in enumerate(entries):
        y = top - 0.3 - LEGEND_LINE * (n + 0.9)
        if colour:
            box = Rectangle((0.13, y - 0.07), 0.2, 0.14, facecolor=colour, edgecolor=RULE)
            box.set_linewidth(0.6)
            panel.add_patch(box)
        room = MOST_LETTERS - len(value)
        panel.text(0.43, y, shortened(name, room), fontsize=8.5, color=INK, va="center")
        panel.text(right, y, value, fontsize=8.5, color=INK, va="center", ha="right")


def _bar_height(page: Page) -> float:
    """Return the height of a colour bar in a panel, which a small map may follow."""
    return PANEL_HEIGHT - 0.85 if page.is_wide else 2.0


def draw_colour_bar(panel: Axes, bar: ColourBar, *, height: float) -> None:
    """Draw the scale of values in the upper left of a panel whose units are inches."""
    left, right = panel.get_xlim()
    low, top = panel.get_ylim()
    panel.text(0.13, top - 0.16, bar.name, fontsize=9, fontweight="bold", color=INK, va="center")
    panel.text(0.13, top - 0.36, in_signs(bar.units), fontsize=8.5, color=MUTED, va="center")
    bar_top = top - 0.55
    bar_bottom = bar_top - height
    panel.imshow(
        bar.colours[::-1, None],
        extent=(0.13, 0.38, bar_bottom, bar_top),
        aspect="auto",
        interpolation="nearest",
    )
    frame = Rectangle((0.13, bar_bottom), 0.25, height, facecolor="none", edgecolor=RULE)
    panel.add_patch(frame)
    for value in MaxNLocator(6).tick_values(bar.first, bar.last):
        if bar.first <= value <= bar.last:
            y = bar_bottom + height * (value - bar.first) / (bar.last - bar.first)
            panel.plot([0.38, 0.44], [y, y], color=MUTED, linewidth=0.6)
            panel.text(0.5, y, f"{value:.6g}", fontsize=8.5, color=INK, va="center")
    box = Rectangle(
        (0.95, bar_bottom), 0.2, 0.14, facecolor=NO_VALUE_COLOUR, edgecolor=RULE, linewidth=0.6
    )
    panel.add_patch(box)
    panel.text(1.25, bar_bottom + 0.07, "no value", fontsize=8.5, color=INK, va="center")
    if bar.note:
        panel.text(0.95, bar_bottom + 0.35, bar.note, fontsize=8.5, color=INK, va="center")
    panel.set(xlim=(left, right), ylim=(low, top))  # imshow has moved them


def _others(n_classes: int, value: str) -> list[LegendEntry]:
    """Return the entry of the classes that there is no room to name; none for none."""
    if not n_classes:
        return []
    # no box: white is the colour of snow in some legends
    return [LegendEntry("", f"{n_classes} other classes", value)]


def _draw_quality_inset(page: Page, view: View, year: int) -> None:
    """Draw a small map of the confidence or spread below in a panel, or right in one below."""
    scale = view.palette.scale
    if scale is None:
        quality = view.map(year, at_most=PIXELS // 3, name="confidence")
        codes = view.map(year, at_most=PIXELS // 3).values
        land = np.isin(codes, view.palette.land_codes)
        most = 100.0
        title = "Confidence"
        tick = FuncFormatter(lambda value, _: f"{value:.0f} %")
    else:
        quality = view.map(year, at_most=PIXELS // 3, name="spread")
        land = quality.values <= MOST_LEVELS
        most = float(quality.values[land].max(initial=1)) * scale.step
        title = f"Standard deviation, {in_signs(scale.units)}"
        tick = FuncFormatter(lambda value, _: f"{value:g}")

    # What the legend leaves of the panel, and the largest map that fits into it.
    panel = page.panel
    panel_right = panel.get_xlim()[1]
    panel_top = panel.get_ylim()[1]
    if page.is_wide:
        room_across = panel_right - PANEL_WIDTH - 0.4
        room_down = panel_top - 0.8
    else:
        room_across = PANEL_WIDTH
        room_down = panel_top - 3.3
    ratio = view.projected.ratio
    width = min(room_across, room_down / ratio)
    height = width * ratio

    position = panel.get_position()
    figure_width, figure_height = page.figure.get_size_inches()
    x = position.x0 * figure_width
    y = position.y0 * figure_height
    if page.is_wide:
        x += panel_right - width
        y += panel_top - 0.25 - height
    else:
        y += 0.42

    axes = map_axes_at(page.figure, view, x, y, width, height)
    values = np.where(land, quality.values, 0) * (scale.step if scale else 1)
    colours = colormaps["cividis"](values / most, bytes=True)[..., :3]
    colours[~land] = rgb(view.palette.ocean)
    draw_map(axes, colours, quality, view)
    axes.set_title(title, loc="left", fontsize=9, fontweight="bold", color=INK, pad=4)

    bar = axes_at(page.figure, x, y - 0.18, width, 0.09)
    bar.imshow(np.linspace(0, 1, 101)[None], cmap="cividis", aspect="auto", extent=(0, most, 0, 1))
    bar.set(yticks=[])
    bar.tick_params(labelsize=7, length=2)
    bar.xaxis.set_major_formatter(tick)


def _gains(view: View, year_a: int, year_b: int) -> F64:
    """Area in km2 that each class of land gained, shape (K,)."""
    codes_a, area_H = view.sample(year_a)
    codes_b, _ = view.sample(year_b)
    changed = codes_a != codes_b
    gains_K = []
    for code in view.palette.land_codes:
        gained_cells_H = (changed & (codes_b == code)).sum(axis=1)
        gains_K.append(float(area_H @ gained_cells_H))
    return np.array(gains_K)


def _span(view: View) -> str:
    """The years and the grid of a product, in words."""
    grid = view.grid
    cells = f"{grid.n_lat} × {grid.n_lon} cells of {grid.step:g}°"
    each = "one map a year" if view.time.per_year == 1 else f"{view.time.adjective} maps"
    return f"{view.span}, {each}, {cells}"
