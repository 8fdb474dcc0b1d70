"""Maps: land use of a year, change between two years, and an overview for a first look."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnchoredOffsetbox, AuxTransformBox, TextArea, VPacker
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from luray.core.grid import EARTH_RADIUS_M
from luray.core.types import U8
from luray.viz.figure import INK, MUTED, RULE, axes_at, footnote, new_figure, save, text_at
from luray.viz.plots import draw_areas
from luray.viz.palette import rgb
from luray.viz.view import Picture, View, shares

UNCHANGED = "#e4e4df"
PIXELS = 1200
"""Cells along the longer axis of a large map."""

WIDE = 0.5
"""Height over width of a map up to which its panel is below it rather than beside it."""

TALLEST = 8.0
"""Height in inches that no map exceeds."""

PANEL_WIDTH, PANEL_HEIGHT = 2.9, 2.45
"""Size of the legend in inches: the width of the panel beside a map, the height of one below it."""


def map_of_year(product: xr.Dataset, year: int, path: str | Path) -> None:
    """Map of one year in the legend's colours: legend with shares, ticks, scale bar; confidence of
    a predicted year.

    Raises ValueError for a year that the product does not have.
    """
    view = View.of(product)
    picture = view.map(year, at_most=PIXELS, method="mode")
    origin = view.origins[year]
    figure, axes, panel = _page(view, f"{year}", origin)
    draw_map(axes, view.palette.rgb[picture.values], picture, view)
    decorate(axes, view)
    share = shares(view.areas([year]))[0]
    entries = [
        (view.palette.colours[k], view.palette.label(k), f"{s:.1%}")
        for k, s in zip(view.palette.land, share, strict=True)
    ]
    _key(panel, [*entries, (view.palette.ocean, "ocean", "")], "Share of land")
    if origin != "observed":
        _confidence_inset(figure, panel, view, year)
    save(figure, path)


def change_map(product: xr.Dataset, year_a: int, year_b: int, path: str | Path) -> None:
    """Where land use differs between two years: colour of the new class, grey where it is the same.

    A large grid shows the cell in the middle of each block, so that the share of changed cells is
    kept. Raises ValueError for a year that the product does not have.
    """
    view = View.of(product)
    before, after = (view.map(year, at_most=PIXELS) for year in (year_a, year_b))
    figure, axes, panel = _page(view, f"{year_a} → {year_b}", "change of land use")
    draw_map(axes, change_image(before.values, after.values, view), after, view)
    decorate(axes, view)
    gained = _gains(view, year_a, year_b)
    total = float(view.areas([year_b]).sum())
    entries = [
        (view.palette.colours[k], view.palette.label(k), f"{area:,.0f} km²")
        for k, area in zip(view.palette.land, gained, strict=True)
        if area > 0
    ]
    same = f"{1 - gained.sum() / total:.1%}" if total else ""
    _key(
        panel,
        [*entries, (UNCHANGED, "unchanged", same), (view.palette.ocean, "ocean", "")],
        "Land that became",
    )
    save(figure, path)


def change_image(before: U8, after: U8, view: View) -> U8:
    """Colours of a change map, shape (H, W, 3): new class where the codes differ, grey elsewhere on
    land.
    """
    image = view.palette.rgb[after]
    ocean = ~np.isin(after, [view.palette.codes[k] for k in view.palette.land])
    image[(before == after) & ~ocean] = rgb(UNCHANGED)
    return image


def overview(product: xr.Dataset, path: str | Path) -> None:
    """One picture of a whole product: four years side by side, and below them the area of every
    class.
    """
    view = View.of(product)
    years = overview_years(view)
    ratio = _ratio(view)
    columns = len(years) if ratio > 0.6 else min(2, len(years))
    rows = -(-len(years) // columns)
    page, left, gap, right = 12.0, 0.45, 0.18, 0.3
    width = min((page - left - right - gap * (columns - 1)) / columns, TALLEST / ratio)
    height = width * ratio
    band, chart, foot = 0.42, 2.6, 0.75
    total = foot + chart + 0.5 + rows * (height + band) + 0.55
    figure = new_figure(page, total)
    text_at(figure, left, total - 0.38, view.title or "Land use", size=15, weight="bold")
    text_at(figure, page - right, total - 0.38, _span(view), size=9, colour=MUTED, align="right")
    for n, year in enumerate(years):
        x = left + n % columns * (width + gap)
        y = foot + chart + 0.5 + (rows - 1 - n // columns) * (height + band)
        axes = axes_at(figure, x, y, width, height)
        picture = view.map(year, at_most=PIXELS // 2, method="mode")
        draw_map(axes, view.palette.rgb[picture.values], picture, view)
        axes.set(xticks=[], yticks=[])
        text_at(figure, x, y + height + 0.09, str(year), size=13, weight="bold")
        text_at(figure, x + 0.58, y + height + 0.09, view.origins[year], size=9, colour=MUTED)
    scale_bar(axes, view)
    draw_areas(axes_at(figure, left + 0.55, foot, page - left - right - 3.0, chart), view)
    footnote(figure, view.caveats, left=left)
    save(figure, path)


def overview_years(view: View) -> tuple[int, ...]:
    """First year, first and last observed year, last year; up to four different ones, ascending."""
    return tuple(sorted({view.years[0], *(view.observed or ()), view.years[-1]}))


def draw_map(axes: Axes, image: U8, picture: Picture, view: View) -> None:
    """Draw colours of shape (H, W, 3) where the picture lies, cell by cell, and cut the axes at the
    grid's edges.
    """
    axes.imshow(
        image, extent=picture.extent, interpolation="nearest", aspect="auto", origin="upper"
    )
    axes.set(xlim=(view.grid.west, view.grid.east), ylim=(view.grid.south, view.grid.north))


def decorate(axes: Axes, view: View) -> None:
    """Ticks in degrees and a scale bar."""
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _degrees(value, "EW")))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _degrees(value, "NS")))
    scale_bar(axes, view)


def scale_bar(axes: Axes, view: View) -> None:
    """A bar of a round length of about a fifth of the map; none where the scale varies, beyond 60
    degrees.
    """
    grid = view.grid
    if max(grid.north - grid.south, grid.east - grid.west) > 60:
        return
    km_per_degree = (
        np.radians(1) * EARTH_RADIUS_M / 1000 * np.cos(np.radians((grid.north + grid.south) / 2))
    )
    length = round_length((grid.east - grid.west) * km_per_degree / 4)
    line = AuxTransformBox(axes.transData)
    line.add_artist(Rectangle((0, 0), length / km_per_degree, 0, edgecolor=INK, linewidth=1.6))
    label = TextArea(f"{length:,g} km", textprops={"size": 8, "color": INK})
    box = AnchoredOffsetbox(
        "lower left",
        pad=0.4,
        borderpad=0.6,
        frameon=True,
        child=VPacker(children=[label, line], align="center", pad=0, sep=3),
    )
    box.patch.set(linewidth=0, alpha=0.85)
    axes.add_artist(box)


def round_length(most: float) -> float:
    """Largest of 1, 2 or 5 times a power of ten that does not exceed `most`, which is positive."""
    below = 10.0 ** (
        np.floor(np.log10(most)) - 1
    )  # a whole power less: the logarithm may be rounded up
    return float(max(n * below for n in (1, 2, 5, 10, 20, 50) if n * below <= most))


def _page(view: View, heading: str, subtitle: str) -> tuple[Figure, Axes, Axes]:
    """A figure with axes for the map, and a panel in units of inches: right of the map, or below a
    wide one.
    """
    ratio = _ratio(view)
    wide = ratio <= WIDE
    width = 10.5 if wide else TALLEST / max(ratio, 1)
    height = width * ratio
    left, foot, head = 0.75, 0.62, 0.75
    if wide:
        figure = new_figure(left + width + 0.3, foot + PANEL_HEIGHT + 0.35 + height + head)
        axes = axes_at(figure, left, foot + PANEL_HEIGHT + 0.35, width, height)
        panel = axes_at(figure, left, foot - 0.2, width, PANEL_HEIGHT)
    else:
        figure = new_figure(left + width + 0.3 + PANEL_WIDTH + 0.2, foot + height + head)
        axes = axes_at(figure, left, foot, width, height)
        panel = axes_at(figure, left + width + 0.3, foot, PANEL_WIDTH, height)
    panel.axis("off")
    panel.set(xlim=(0, width if wide else PANEL_WIDTH), ylim=(0, PANEL_HEIGHT if wide else height))
    top = figure.get_figheight() - 0.45
    text_at(figure, left, top, heading, size=18, weight="bold")
    text_at(figure, left + 0.17 * len(heading) + 0.25, top, subtitle, size=11, colour=MUTED)
    text_at(
        figure, figure.get_figwidth() - 0.25, top, view.title, size=10, colour=MUTED, align="right"
    )
    footnote(figure, view.caveats, left=left)
    return figure, axes, panel


def _key(panel: Axes, entries: Sequence[tuple[str, str, str]], title: str) -> None:
    """Legend box in the upper left of a panel, a row for each (colour, name, value)."""
    top, line = panel.get_ylim()[1], 0.235
    height = line * (len(entries) + 1) + 0.25
    panel.add_patch(
        Rectangle(
            (0, top - height), PANEL_WIDTH, height, facecolor="none", edgecolor=RULE, clip_on=False
        )
    )
    panel.text(0.13, top - 0.24, title, fontsize=9, fontweight="bold", color=INK, va="center")
    for n, (colour, name, value) in enumerate(entries):
        y = top - 0.3 - line * (n + 0.9)
        panel.add_patch(
            Rectangle((0.13, y - 0.07), 0.2, 0.14, facecolor=colour, edgecolor=RULE, linewidth=0.6)
        )
        panel.text(0.43, y, name, fontsize=8.5, color=INK, va="center")
        panel.text(PANEL_WIDTH - 0.13, y, value, fontsize=8.5, color=INK, va="center", ha="right")


def _confidence_inset(figure: Figure, panel: Axes, view: View, year: int) -> None:
    """A small map of the confidence at the lower end of the panel, or at the right end below a wide
    map.
    """
    picture = view.map(year, at_most=PIXELS // 3, name="confidence")
    codes = view.map(year, at_most=PIXELS // 3).values
    land = np.isin(codes, [view.palette.codes[k] for k in view.palette.land])
    box, (w, h) = panel.get_position(), figure.get_size_inches()
    ratio, (right, top) = _ratio(view), (panel.get_xlim()[1], panel.get_ylim()[1])
    wide = ratio <= WIDE
    across, down = (right - PANEL_WIDTH - 0.4, top - 0.8) if wide else (PANEL_WIDTH, top - 3.3)
    width = min(across, down / ratio)
    x, y = box.x0 * w + (right - width if wide else 0), box.y0 * h
    y += top - 0.25 - width * ratio if wide else 0.42
    axes = axes_at(figure, x, y, width, width * ratio)
    shown = Picture(np.where(land, picture.values, 0), picture.extent)
    colours = colormaps["cividis"](shown.values / 100, bytes=True)[..., :3]
    colours[~land] = rgb(view.palette.ocean)
    draw_map(axes, colours, shown, view)
    axes.set(xticks=[], yticks=[])
    axes.set_title("Confidence", loc="left", fontsize=9, fontweight="bold", color=INK, pad=4)
    bar = axes_at(figure, x, y - 0.18, width, 0.09)
    bar.imshow(np.linspace(0, 1, 101)[None], cmap="cividis", aspect="auto", extent=(0, 100, 0, 1))
    bar.set(yticks=[])
    bar.tick_params(labelsize=7, length=2)
    bar.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))


def _gains(view: View, year_a: int, year_b: int) -> Any:
    """Area in km2 that each class of land gained, shape (K,)."""
    (before, area), (after, _) = view.sample(year_a), view.sample(year_b)
    changed = before != after
    return np.array(
        [
            float(area @ (changed & (after == view.palette.codes[k])).sum(axis=1))
            for k in view.palette.land
        ]
    )


def _ratio(view: View) -> float:
    """Height over width of the map on paper."""
    return view.grid.n_lat * view.aspect / view.grid.n_lon


def _span(view: View) -> str:
    years = f"{view.years[0]}–{view.years[-1]}" if len(view.years) > 1 else f"{view.years[0]}"
    return f"{years}, one map a year, {view.grid.n_lat} × {view.grid.n_lon} cells of {view.grid.step:g}°"


def _degrees(value: float, signs: str) -> str:
    return f"{abs(round(value, 6)):g}°{'' if abs(value) < 1e-9 else signs[int(value < 0)]}"
