"""Pictures of the specimen with a scale bar, and the places of the details marked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box
from cemi_core.model.scale_bar import nice_scale_bar
from cemi_report.figures import INK, drawn, encode, length_axis
from cemi_report.picture import View, display_range

#: What was not imaged: a tint that no grey picture holds.
UNSEEN = np.array([0xD3, 0xE0, 0xEE], dtype=np.uint8)
_BAR_STRIP_PX = 54
_LEAST_WIDTH_PX = 240
_DPI = 100


def as_rgb(view: View) -> NDArray[np.uint8]:
    """Return a view as uint8 (h, w, 3): stretched between its 0.5 and 99.5 percentiles, unseen pixels pale blue."""
    low, high = display_range(view)
    grey = np.clip((view.image - low) / (high - low), 0.0, 1.0)
    rgb = np.repeat((grey * 255).round().astype(np.uint8)[..., None], 3, axis=2)
    rgb[~view.valid] = UNSEEN
    return rgb


def place_text(box: Box, mosaic_shape: tuple[int, int], pixel_size_um: float | None) -> str:
    """Return where a box of a mosaic lies, for people: ``"x 1.204 to 1.332 mm, y 0.100 to 0.196 mm"``."""
    axis = length_axis(max(mosaic_shape), pixel_size_um)
    digits = {"px": 0, "µm": 1, "mm": 3}[axis.unit]
    x0, x1, y0, y1 = (edge * axis.per_px for edge in (box.x, box.x + box.width, box.y, box.y + box.height))
    return f"x {x0:,.{digits}f} to {x1:,.{digits}f} {axis.unit}, y {y0:,.{digits}f} to {y1:,.{digits}f} {axis.unit}"


def _scale_bar(axes: Axes, view: View, zoom: int, pixel_size_um: float | None) -> None:
    """Draw the bar and its length into a strip whose data coordinates are px of the page."""
    length, text = nice_scale_bar(view.box.width * (pixel_size_um or 1.0))
    bar_px = length / (pixel_size_um or 1.0) / view.mosaic_px_per_px * zoom
    text = text if pixel_size_um else f"{length:g} px"
    axes.add_patch(Rectangle((0, 22), bar_px, 10, facecolor=INK, edgecolor="none"))
    axes.text(bar_px + 12, 27, text, va="center", ha="left", fontsize=15, color=INK, fontweight="bold")


def _mark(axes: Axes, view: View, zoom: int, marks: Sequence[Box]) -> None:
    scale = zoom / view.mosaic_px_per_px
    for number, box in enumerate(marks, start=1):
        x, y = (box.x - view.box.x) * scale, (box.y - view.box.y) * scale
        if not (0 <= x < view.image.shape[1] * zoom and 0 <= y < view.image.shape[0] * zoom):
            continue
        width, height = max(box.width * scale, 6), max(box.height * scale, 6)
        for colour, line in (("black", 3.0), ("#ffd34d", 1.4)):
            axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=line))
        frame = {"facecolor": "#ffd34d", "edgecolor": "black", "linewidth": 0.6, "pad": 1.8}
        axes.text(x + width + 9, y + 5, str(number), fontsize=12, color="black", va="top", bbox=frame, clip_on=True)


@drawn
def picture_figure(
    view: View,
    pixel_size_um: float | None = None,
    marks: Sequence[Box] = (),
    quality: int = 82,
    shown: NDArray[np.uint8] | None = None,
) -> bytes:
    """Draw a view with a scale bar below it.

    Parameters
    ----------
    view : View
        What to show; one of its pixels becomes one pixel of the figure (several for a very small picture).
    pixel_size_um : float or None
        Edge of a mosaic pixel; None gives a bar in px.
    marks : sequence of Box
        Places in mosaic pixels to frame and number from 1.
    quality : int
        JPEG quality, 1 to 95.
    shown : ndarray of uint8, shape (h, w, 3), optional
        What is drawn in place of the view's brightness, such as its colours.

    Returns
    -------
    bytes
        A JPEG file.
    """
    height, width = view.image.shape
    zoom = max(1, 640 // max(height, width))
    page_width, page_height = max(width * zoom, _LEAST_WIDTH_PX), height * zoom + _BAR_STRIP_PX
    figure = Figure(figsize=(page_width / _DPI, page_height / _DPI), dpi=_DPI, facecolor="white")
    share = height * zoom / page_height
    axes = figure.add_axes((0, 1 - share, width * zoom / page_width, share))
    axes.set_axis_off()
    extent = (0, width * zoom, height * zoom, 0)
    axes.imshow(as_rgb(view) if shown is None else shown, extent=extent, interpolation="nearest", aspect="auto")
    _mark(axes, view, zoom, marks)
    axes.set(xlim=(0, width * zoom), ylim=(height * zoom, 0))
    strip = figure.add_axes((0, 0, 1, _BAR_STRIP_PX / page_height))
    strip.set_axis_off()
    strip.set(xlim=(0, page_width), ylim=(_BAR_STRIP_PX, 0))
    _scale_bar(strip, view, zoom, pixel_size_um)
    return encode(figure, "jpeg", quality=quality, optimize=True)
