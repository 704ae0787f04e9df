"""How every figure of the report is drawn: one style, one way to encode, one way to label lengths."""

from __future__ import annotations

import functools
import io
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

INK = "#1d2733"
MUTED = "#5d6b7a"
RULE = "#d5dbe3"
ACCENT = "#15607a"
SECOND = "#b0551b"
REJECTED = "#c2413b"
EMPTY = "#e9edf2"
#: Width of a figure, inches, and its resolution; 10 in at 140 dpi is 1400 px, sharp on a 1000-px column.
WIDTH_IN = 10.0
DPI = 140

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "text.color": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "hatch.color": "#b4bdc8",
    "hatch.linewidth": 0.6,
    "text.parse_math": False,  # a "$" in the name of a file or a quantity is a dollar sign
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
}
Arguments = ParamSpec("Arguments")
Encoded = TypeVar("Encoded", bytes, bytes | None, dict[str, bytes])


def drawn(make: Callable[Arguments, Encoded]) -> Callable[Arguments, Encoded]:
    """Let a function draw in the style of the report, whatever the user's matplotlibrc says."""

    @functools.wraps(make)
    def styled(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Encoded:
        with mpl.rc_context(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            mpl.rcdefaults()
            mpl.rcParams.update(_STYLE)
            return make(*args, **kwargs)

    return styled


def new_figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """Return an empty white figure that makes room for its labels."""
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def encode(figure: Figure, image_format: str = "png", **options: Any) -> bytes:
    """Return the figure as the bytes of a PNG, JPEG, PDF or SVG file; the options are those of Pillow."""
    stream = io.BytesIO()
    extra: dict[str, Any] = {"pil_kwargs": options} if options else {}
    figure.savefig(stream, format=image_format, **extra)
    return stream.getvalue()


def short(text: str, width: int = 60) -> str:
    """Return a label on one line, shortened so that a very long name does not push the figure off the page."""
    return textwrap.shorten(text, width, placeholder=" …") if len(text) > width else text


@dataclass(frozen=True, slots=True)
class LengthAxis:
    """The unit of an axis that shows places: ``per_px`` axis units to one pixel."""

    per_px: float
    unit: str


def length_axis(extent_px: float, pixel_size_um: float | None) -> LengthAxis:
    """Return px where the pixel size is unknown, else µm, or mm from 5 mm on."""
    if not pixel_size_um:
        return LengthAxis(1.0, "px")
    if extent_px * pixel_size_um >= 5000:
        return LengthAxis(pixel_size_um / 1000, "mm")
    return LengthAxis(pixel_size_um, "µm")


def fit_box(axes: Axes, width: float, height: float, flattest: float = 1 / 8, tallest: float = 2.0) -> str:
    """Give an axes the true shape of what it shows, or the nearest readable one; return a note on the stretching.

    Parameters
    ----------
    axes : Axes
        Its limits are already set.
    width, height : float
        Extent of the data, in one unit.
    flattest, tallest : float
        Least and greatest height of the box relative to its width.
    """
    true = height / width
    shape = min(max(true, flattest), tallest)
    axes.set_box_aspect(shape)
    if shape > 1.05 * true:
        return f"y stretched {shape / true:.1f}×"
    if shape < true / 1.05:
        return f"x stretched {true / shape:.1f}×"
    return ""


def colour_bar(axes: Axes, shown: ScalarMappable, extend: str = "neither") -> None:
    """Put a colour bar beside an axes, exactly as high as its box (the title of the axes names it)."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    width = 0.11 / (axes.get_position().width * figure.get_figwidth())
    bar = figure.colorbar(shown, cax=axes.inset_axes((1 + width, 0, width, 1)), extend=extend)
    bar.outline.set_visible(False)


def box_height_in(width: float, height: float, width_in: float, flattest: float = 1 / 8, tallest: float = 2.0) -> float:
    """Return the height of a box made by `fit_box` that is ``width_in`` inches wide."""
    return width_in * min(max(height / width, flattest), tallest)
