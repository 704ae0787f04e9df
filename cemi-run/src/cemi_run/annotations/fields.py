"""Numbers and vertices out of what a file says, with a sentence for what is not a number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cemi_core.errors import InputError
from cemi_core.images.read_image import MAX_PIXELS
from cemi_run.annotations.geometry import Vertices

#: Largest coordinate that is taken for one, px: no image is larger.
MAX_COORDINATE_PX = 4_000_000.0


def number(value: Any, what: str, where: str) -> float:
    """Return a finite number.

    Parameters
    ----------
    value : object
        From a file; texts such as ``"12.5"`` count as numbers.
    what, where : str
        For the message: ``"the radius"``, ``"'a.json', shape 3"``.

    Raises
    ------
    InputError
    """
    try:
        result = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise InputError(f"{where}: {what} is {value!r}, not a number")
    return result


def pairs(value: Any, where: str) -> Vertices:
    """Return vertices (y, x) of a list of ``[x, y]`` (further entries, such as z, are left out).

    Raises
    ------
    InputError
        Something is not a number, or larger than any image.
    """
    if not isinstance(value, list) or not all(isinstance(pair, list | tuple) and len(pair) >= 2 for pair in value):
        raise InputError(f"{where}: its points are not a list of [x, y]")
    return _checked([[pair[1], pair[0]] for pair in value], where)


def alternating(value: Any, where: str) -> Vertices:
    """Return vertices (y, x) of a list ``[x, y, x, y, ...]``.

    Raises
    ------
    InputError
        As `pairs`, or their number is odd.
    """
    if not isinstance(value, list):
        raise InputError(f"{where}: its points are not a list of numbers")
    if len(value) % 2:
        raise InputError(f"{where}: it has {len(value)} coordinates, an odd number, so one is missing")
    return _checked(list(zip(value[1::2], value[0::2], strict=True)), where)


def columns(x: Any, y: Any, where: str) -> Vertices:
    """Return vertices (y, x) of a list of x and a list of y.

    Raises
    ------
    InputError
        As `pairs`, or the lists differ in length.
    """
    if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
        raise InputError(f"{where}: it does not have as many x as y")
    return _checked(list(zip(y, x, strict=True)), where)


def _checked(values: list[Any], where: str) -> Vertices:
    try:
        points = np.array(values, np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        points = np.array([[number(part, "a coordinate", where) for part in pair] for pair in values], np.float64)
    return checked_vertices(points, where)


def checked_vertices(points: Vertices, where: str) -> Vertices:
    """Return vertices as they are, if each is a number that an image can have.

    Raises
    ------
    InputError
    """
    wrong = ~np.isfinite(points).all(1)
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{where}: point {place + 1} is ({points[place, 1]}, {points[place, 0]}), not two numbers")
    far = (np.abs(points) > MAX_COORDINATE_PX).any(1)
    if far.any():
        y, x = points[far][0]
        raise InputError(f"{where}: a point lies at ({x:.3g}, {y:.3g}) px, and no image is that large")
    return points


def image_shape(height: Any, width: Any, where: str) -> tuple[int, int] | None:
    """Return (height, width) in px of an image; None where a file gives none.

    Raises
    ------
    InputError
        A size is given that no image has.
    """
    if height is None or width is None:
        return None
    size = number(height, "the image's height", where), number(width, "the image's width", where)
    if not all(edge > 0 and edge == int(edge) for edge in size) or size[0] * size[1] > MAX_PIXELS:
        raise InputError(f"{where}: the image's size is given as {width} x {height} px")
    return int(size[0]), int(size[1])
