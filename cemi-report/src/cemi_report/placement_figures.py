"""Where the frames lie and how well the pairs agree."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cemi_core.model.layout import Layout
from cemi_report.figures import (
    ACCENT,
    INK,
    MUTED,
    REJECTED,
    SECOND,
    box_height_in,
    colour_bar,
    drawn,
    encode,
    fit_box,
    length_axis,
    new_figure,
)
from cemi_report.reasons import kept_mask, pair_residuals_px

#: Largest component first, then the others in turn (Okabe and Ito's colours, told apart by the colour-blind).
_COMPONENTS = ("#5f6f80", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#f0e442")


def _outlines(layout: Layout, per_px: float) -> NDArray[np.float64]:
    """Return the corners of every frame as (x, y), shape (n, 4, 2)."""
    y0, x0 = layout.positions_px.T
    y1, x1 = y0 + layout.shapes[:, 0], x0 + layout.shapes[:, 1]
    corners = [np.stack(corner, axis=1) for corner in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
    return np.stack(corners, axis=1) * per_px


def _draw_frames(axes: Axes, layout: Layout, per_px: float) -> list[Patch]:
    outlines = _outlines(layout, per_px)
    legend = []
    prior = layout.placed_by_prior
    for number in range(min(int(layout.component.max()) + 1, len(_COMPONENTS))):
        last = number == len(_COMPONENTS) - 1
        members = (layout.component >= number if last else layout.component == number) & ~prior
        if not members.any():
            continue
        colour = _COMPONENTS[number]
        axes.add_collection(
            PolyCollection(
                list(outlines[members]), facecolors=(colour, 0.10), edgecolors=(colour, 0.45), linewidths=0.5
            )
        )
        name = "further components" if last else f"component {number}"
        legend.append(Patch(facecolor=colour, alpha=0.4, label=f"{name}: {members.sum():,}"))
    if prior.any():
        axes.add_collection(
            PolyCollection(
                list(outlines[prior]), facecolors=(SECOND, 0.12), edgecolors=SECOND, linewidths=0.8, hatch="///"
            )
        )
        legend.append(Patch(facecolor="none", edgecolor=SECOND, hatch="///", label=f"placed by prior: {prior.sum():,}"))
    return legend


def _pair_lines(layout: Layout, per_px: float) -> NDArray[np.float64]:
    """Return the line between the centres of each pair's frames, shape (pairs, 2, 2), as (x, y)."""
    centres = (layout.positions_px + layout.shapes / 2)[:, ::-1] * per_px
    ends = np.array([(pair.first, pair.second) for pair in layout.pairs], dtype=int).reshape(-1, 2)
    return np.asarray(centres[ends], dtype=np.float64)


@drawn
def layout_figure(layout: Layout, pixel_size_um: float | None = None) -> bytes:
    """Draw the frames' outlines and the pairs between their centres, as PNG.

    Kept pairs are coloured by their residual, px, up to its 98th percentile; rejected ones are thin red.
    """
    height, width = layout.mosaic_shape
    axis = length_axis(max(height, width), pixel_size_um)
    tallest = 1.2
    plot_in = 8.2 if width > height / 2 else 5.0
    figure = new_figure(box_height_in(width, height, plot_in, tallest=tallest) + 1.2)
    axes = figure.add_subplot()
    margin = 0.01 * max(width, height) * axis.per_px
    axes.set(xlim=(-margin, width * axis.per_px + margin), ylim=(height * axis.per_px + margin, -margin))
    stretched = fit_box(axes, width, height, tallest=tallest)
    legend: list[Patch | Line2D] = [*_draw_frames(axes, layout, axis.per_px)]
    lines, kept, residual = _pair_lines(layout, axis.per_px), kept_mask(layout), pair_residuals_px(layout)
    if (~kept).any():
        axes.add_collection(LineCollection(list(lines[~kept]), colors=(REJECTED, 0.35), linewidths=0.6))
        legend.append(Line2D([], [], color=REJECTED, linewidth=1, label=f"rejected pairs: {(~kept).sum():,}"))
    if kept.any():
        top = float(np.percentile(residual[kept], 98)) or 1e-3
        drawn_lines = LineCollection(list(lines[kept]), cmap="viridis", linewidths=1.3 if kept.sum() < 400 else 0.8)
        drawn_lines.set_array(residual[kept])
        drawn_lines.set_clim(0, top)
        axes.add_collection(drawn_lines)
        colour_bar(axes, drawn_lines, "max")
        axes.set_title("colour: residual of kept pairs (px)", loc="right", fontweight="normal")
    axes.set_xlabel(f"x ({axis.unit})")
    axes.set_ylabel(f"y ({axis.unit})" + (f"\n{stretched}" if stretched else ""))
    figure.legend(handles=legend, loc="outside upper left", ncols=4)
    return encode(figure)


@drawn
def residual_figure(layout: Layout) -> bytes | None:
    """Draw the distribution of the kept pairs' residuals, px, as PNG; None without kept pairs.

    The last bin holds everything beyond three times the 95th percentile.
    """
    kept = kept_mask(layout)
    residual = pair_residuals_px(layout)[kept] if kept.any() else np.empty(0)
    residual = residual[np.isfinite(residual)]
    if residual.size == 0:
        return None
    figure = new_figure(2.7)
    axes = figure.add_subplot()
    median, upper = np.percentile(residual, (50, 95))
    top = max(min(float(residual.max()), 3 * float(upper)), 0.05)
    bins = min(max(int(np.sqrt(residual.size) * 2), 8), 60)
    axes.hist(
        np.minimum(residual, top), bins=bins, range=(0, top), color=ACCENT, alpha=0.75, edgecolor="white", linewidth=0.4
    )
    for value, text, colour, style in ((median, "median", INK, "-"), (upper, "95 %", MUTED, "--")):
        axes.axvline(value, color=colour, linewidth=1.1, linestyle=style, label=f"{text}: {value:.3f} px")
    beyond = int((residual > top).sum())
    axes.set_xlabel(
        "distance between measured and solved shift (px)" + (f"; last bin holds {beyond} beyond" if beyond else "")
    )
    axes.set_ylabel("pairs")
    axes.legend(loc="upper right")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    return encode(figure)
