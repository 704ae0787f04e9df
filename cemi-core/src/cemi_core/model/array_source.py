"""Frames from arrays in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.frame import DroppedFrame, Frame, GreyFrames, to_unit_range
from cemi_core.model.pixels import common_range, finite_range, to_grey


class ArraySource(GreyFrames):
    """Frames that are already in memory, for use in Python.

    Parameters
    ----------
    arrays : sequence of ndarray
        Frames (h, w), or a stack (n, h, w); uint8, uint16 or float, all of one type. Sizes may differ. Colour (h, w, 3)
        becomes its luminance.
    positions_px : sequence of tuple of float, optional
        Nominal (y, x) of each frame, px.
    position_tolerance_px : float, optional
        How far off these may be; by default 8 % of the larger side of the frame.
    rows : sequence of int, optional
        Stage pass of each frame; by default all are of pass 0.
    pixel_size_um : float, optional
        Edge of a pixel, micrometres.
    names : sequence of str, optional
        By default ``"array 0"``, ``"array 1"``, ...

    Attributes
    ----------
    float_range : tuple of float
        Float values that `read` maps to 0 and 1: (0, 1) if all values lie there, else the smallest and the largest.

    Raises
    ------
    InputError
        There is no frame, or types are mixed or unsupported.
    """

    def __init__(
        self,
        arrays: Sequence[NDArray[Any]] | NDArray[Any],
        positions_px: Sequence[tuple[float, float]] | None = None,
        rows: Sequence[int] | None = None,
        pixel_size_um: float | None = None,
        position_tolerance_px: float | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self._arrays = [_checked(index, array) for index, array in enumerate(arrays)]
        count = len(self._arrays)
        if not count:
            raise InputError("no arrays were given")
        for what, values in (("positions_px", positions_px), ("rows", rows), ("names", names)):
            if values is not None and len(values) != count:
                raise InputError(f"{what} has {len(values)} entries for {count} arrays")
        self.dtype = self._arrays[0].dtype
        for index, array in enumerate(self._arrays):
            if array.dtype != self.dtype:
                raise InputError(f"array 0 is {self.dtype} and array {index} is {array.dtype}; give all in one type")
        self.float_range = common_range(map(finite_range, self._arrays)) if self.dtype.kind == "f" else (0.0, 1.0)
        self.frames = tuple(
            Frame(
                index,
                names[index] if names is not None else f"array {index}",
                (array.shape[0], array.shape[1]),
                rows[index] if rows is not None else 0,
                position_px=(float(positions_px[index][0]), float(positions_px[index][1]))
                if positions_px is not None
                else None,
                position_tolerance_px=_tolerance(array, position_tolerance_px) if positions_px is not None else None,
                pixel_size_um=pixel_size_um,
            )
            for index, array in enumerate(self._arrays)
        )

    @classmethod
    def from_frames(
        cls, frames: Sequence[Frame], arrays: Sequence[NDArray[Any]], dropped: Sequence[DroppedFrame] = ()
    ) -> ArraySource:
        """Return a source of arrays about which everything is known already; frames are numbered anew."""
        source = cls(arrays)
        source.frames = tuple(replace(frame, index=index) for index, frame in enumerate(frames))
        source.dropped = tuple(dropped)
        return source

    def read_native(self, index: int) -> NDArray[Any]:
        """Return frame ``index`` (h, w) in its own type."""
        return self._arrays[index]

    def read(self, index: int) -> NDArray[np.float32]:
        """Return frame ``index`` as float32 (h, w) in [0, 1]."""
        return to_unit_range(self._arrays[index], self.float_range)


def _checked(index: int, array: NDArray[Any]) -> NDArray[Any]:
    array = np.asarray(array)
    if array.ndim not in (2, 3) or not array.size:
        raise InputError(f"array {index} has shape {array.shape}; a frame is (height, width) and not empty")
    if array.dtype in (np.uint8, np.uint16):
        return to_grey(array)
    if array.dtype.kind in "fb":
        return to_grey(array.astype(np.float32, copy=False))
    raise InputError(f"array {index} is {array.dtype}; give uint8, uint16 or float")


def _tolerance(array: NDArray[Any], given: float | None) -> float:
    return given if given is not None else 0.08 * max(array.shape)
