"""Small line plots drawn with OpenCV, for the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT = 520, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 28, 38
_INK = (60, 60, 60)
_COLOURS = (
    (180, 119, 31), (14, 127, 255), (44, 160, 44), (40, 39, 214), (189, 103, 148),
    (75, 86, 140), (194, 119, 227), (127, 127, 127), (34, 189, 188), (207, 190, 23),
)  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """A named line: ``x`` and ``y`` of the same length."""

    name: str
    x: NDArray[np.floating]
    y: NDArray[np.floating]


def panel(
    title: str, x_label: str, curves: Sequence[Curve], y_range: tuple[float, float], x_ticks: Iterable[float]
) -> NDArray[np.uint8]:
    """Return one plot with its legend, BGR (330, 520, 3); values outside ``y_range`` are drawn at its edge."""
    canvas = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    low_x, high_x = min(float(c.x.min()) for c in curves), max(float(c.x.max()) for c in curves)
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def place(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.int32]:
        across = _LEFT + width * (np.asarray(x, float) - low_x) / (high_x - low_x)
        share = (np.clip(np.asarray(y, float), *y_range) - y_range[0]) / (y_range[1] - y_range[0])
        return np.rint(np.column_stack([across, _TOP + height * (1 - share)])).astype(np.int32)

    _text(canvas, title, (_LEFT, 18), 0.48)
    _text(canvas, x_label, (_LEFT + width // 2 - 30, _HEIGHT - 6), 0.42)
    for value in np.linspace(*y_range, 7):
        (x, y), (end, _) = place(np.array([low_x, high_x]), np.array([value, value])).tolist()
        cv2.line(canvas, (x, y), (end, y), (225, 225, 225), 1)
        _text(canvas, f"{round(value, 4) + 0.0:g}", (4, y + 4), 0.38)
    for value in x_ticks:
        x, y = place(np.array([value]), np.array([y_range[0]]))[0].tolist()
        _text(canvas, f"{value:g}", (x - 10, y + 15), 0.38)
    for number, curve in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        # Virtual pictures are drawn thick, so that they stand out from the real ones.
        thick = 2 if curve.name.startswith("virtual") else 1
        cv2.polylines(canvas, [place(curve.x, curve.y)], False, colour, thick, cv2.LINE_AA)
        row = _TOP + 14 + 15 * number
        cv2.line(canvas, (_WIDTH - 228, row - 4), (_WIDTH - 208, row - 4), colour, thick, cv2.LINE_AA)
        _text(canvas, curve.name, (_WIDTH - 202, row), 0.38)
    return canvas


def _text(canvas: NDArray[np.uint8], words: str, place: tuple[int, int], scale: float) -> None:
    cv2.putText(canvas, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
