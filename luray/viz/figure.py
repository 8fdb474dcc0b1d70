"""The look that all figures share: sizes in inches, colours, writing whole files."""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from luray.storage.objects import write_atomically

INK = "#22303c"
MUTED = "#6b7780"
RULE = "#cfd6db"
SHADE = "#eef1f3"
ACCENT = "#1f6f8b"
DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure, size in inches; it needs no window and no pyplot state."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches from the lower left corner."""
    w, h = figure.get_size_inches()
    axes = figure.add_axes((left / w, bottom / h, width / w, height / h))
    axes.tick_params(colors=MUTED, labelsize=8, length=3, width=0.6)
    for spine in axes.spines.values():
        spine.set(color=RULE, linewidth=0.8)
    return axes


def open_spines(axes: Axes) -> None:
    """Leave only the left and bottom spine, with a light grid of y."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)


def text_at(
    figure: Figure,
    x: float,
    y: float,
    text: str,
    *,
    size: float = 9,
    colour: str = INK,
    weight: str = "normal",
    align: str = "left",
) -> None:
    """Text whose baseline starts (or ends) at a place in inches."""
    w, h = figure.get_size_inches()
    figure.text(
        x / w, y / h, text, fontsize=size, color=colour, fontweight=weight, ha=align, va="baseline"
    )


def footnote(figure: Figure, caveats: Sequence[str], *, left: float) -> None:
    """The caveats in small type along the lower edge."""
    text_at(figure, left, 0.12, " · ".join(caveats), size=7, colour=MUTED)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure whole or not at all; the extension says the format (png, pdf, svg)."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=Path(path).suffix.lstrip(".") or "png")
    write_atomically(str(path), buffer.getvalue())
