"""Frames: single pictures of the specimen, in the order in which they were taken."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known about one frame before its pixels are read.

    Attributes
    ----------
    index : int
        Place in the source, 0 for the first frame; ``FrameSource.frames[i].index == i``.
    name : str
        File name, or file name and time for a frame of a video (``"pass01.mp4@12.40s"``).
    shape : tuple of int
        (height, width) in px, after cropping.
    row : int
        Stage pass; frames of one pass follow each other.
    time_s : float or None
        Presentation time within its video.
    position_px : tuple of float or None
        Nominal (y, x) of the centre of the first pixel, in px, rough: from a positions table, from grid hints, or
        from the motion that the source measured. None where nothing is known.
    position_tolerance_px : float or None
        How far the true place may be from where ``position_px`` says, relative to its neighbours in the pass.
    pixel_size_um : float or None
        Edge of a pixel in micrometres.
    channels : tuple of str
        Names of its channels (``("red", "green", "blue")``, ``("BSE", "SE")``); empty for plain grey.
    main_channel : str
        The channel that ``FrameSource.read`` gives; empty where that is a mixture of them, as the luminance of colour.
    conditions : tuple of (str, str)
        What is known about how it was taken, name and value as text: ``(("dose", "12"), ("class", "annealed"))``.
    """

    index: int
    name: str
    shape: tuple[int, int]
    row: int = 0
    time_s: float | None = None
    position_px: tuple[float, float] | None = None
    position_tolerance_px: float | None = None
    pixel_size_um: float | None = None
    channels: tuple[str, ...] = ()
    conditions: tuple[tuple[str, str], ...] = ()
    main_channel: str = ""

    @property
    def known_conditions(self) -> dict[str, str]:
        """Its conditions by name, with ``number`` (1 for the first frame) and, of a recording, ``time_s``."""
        own = {"number": str(self.index + 1)}
        if self.time_s is not None:
            own["time_s"] = f"{self.time_s:g}"
        return own | dict(self.conditions)

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Frame:
        """Return the frame that `dataclasses.asdict` and JSON have turned into plain data."""
        position = entry["position_px"]
        plain = {
            "shape": tuple(entry["shape"]),
            "position_px": None if position is None else tuple(position),
            "channels": tuple(entry.get("channels", ())),
            "conditions": tuple((str(name), str(value)) for name, value in entry.get("conditions", ())),
        }
        return cls(**{**entry, **plain})


@dataclass(frozen=True, slots=True)
class DroppedFrame:
    """A frame that the source left out, and why (one short clause, for the report).

    Attributes
    ----------
    name : str
    reason : str
    time_s : float or None
        Presentation time within its video.
    frames : int
        1; or 0 for a remark on a whole recording, such as how many good scans were not needed.
    """

    name: str
    reason: str
    time_s: float | None = None
    frames: int = 1


@runtime_checkable
class FrameSource(Protocol):
    """Ordered frames, read one at a time; picklable: it holds paths, not open files.

    Attributes
    ----------
    frames : sequence of Frame
        Every frame in order of acquisition.
    dropped : sequence of DroppedFrame
        What was left out.
    dtype : numpy.dtype
        Type of the pixels at the source: uint8, uint16 or float32.
    float_range : tuple of float
        Float values that `read` maps to 0 and 1, if the pixels are floats.
    notes : sequence of str
        Sentences for the user and the report, one for each thing that is odd about the frames.

    `GreyFrames` is a base that says all of it which plain grey frames have in common.
    """

    @property
    def frames(self) -> Sequence[Frame]: ...

    @property
    def dropped(self) -> Sequence[DroppedFrame]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def float_range(self) -> tuple[float, float]: ...

    @property
    def notes(self) -> Sequence[str]: ...

    def read(self, index: int) -> NDArray[np.float32]:
        """Return frame ``index`` as float32 (h, w) in [0, 1] (0..255, 0..65535 or the float range of the source).

        Of a frame with channels, the one that is matched.
        """
        ...

    def read_channels(self, index: int) -> NDArray[np.float32]:
        """Return all channels of frame ``index``, float32 (channels, h, w), in the order of ``Frame.channels``."""
        ...


class GreyFrames(ABC):
    """Base of a source of plain grey frames: nothing dropped, nothing to note, one channel, floats from 0 to 1."""

    dropped: Sequence[DroppedFrame] = ()
    float_range: tuple[float, float] = (0.0, 1.0)
    notes: Sequence[str] = ()

    @abstractmethod
    def read(self, index: int) -> NDArray[np.float32]:
        """Return frame ``index`` as float32 (h, w) in [0, 1]."""

    def read_channels(self, index: int) -> NDArray[np.float32]:
        """Return the frame as its only channel, float32 (1, h, w)."""
        return self.read(index)[np.newaxis]


@runtime_checkable
class StreamSource(Protocol):
    """Frames that can only be read in one go, pass by pass, such as those of recordings; picklable.

    Passes are independent: several may be read at once, in different processes.

    Attributes
    ----------
    passes : sequence of str
        One name per pass, in order (the file name of each recording).
    notes : sequence of str
        Sentences for the user and the report: what is odd about the recordings.
    """

    @property
    def passes(self) -> Sequence[str]: ...

    @property
    def notes(self) -> Sequence[str]: ...

    def read_pass(
        self, row: int, progress: Callable[[int, int], None] | None = None
    ) -> Iterator[tuple[Frame, NDArray[Any]] | DroppedFrame]:
        """Yield what pass ``row`` holds, in order of acquisition.

        Parameters
        ----------
        row : int
            Place in ``passes``; it is also the ``row`` of the frames.
        progress : callable, optional
            Called now and then with (done, all), in steps of the source's own.

        Yields
        ------
        tuple of Frame and ndarray, or DroppedFrame
            A kept frame, ``Frame.index`` counting within the pass, with its pixels (h, w) in the source's own type, all
            of one pass in one size; or a frame that was left out.

        Raises
        ------
        InputError
            The pass cannot be read at all.
        """
        ...


def to_unit_range(pixels: NDArray[Any], float_range: tuple[float, float] = (0.0, 1.0)) -> NDArray[np.float32]:
    """Return pixels as float32 in [0, 1]: integers over their type's full range, floats over ``float_range``.

    Values of a float image outside ``float_range`` are kept (not clipped); NaN stays NaN.
    """
    if pixels.dtype.kind == "u":
        unit: NDArray[np.float32] = pixels.astype(np.float32) * np.float32(1.0 / np.iinfo(pixels.dtype).max)
        return unit
    if pixels.dtype.kind == "b":
        return pixels.astype(np.float32)
    low, high = float_range
    scale = 1.0 / (high - low) if high > low else 1.0
    return ((pixels.astype(np.float32) - np.float32(low)) * np.float32(scale)).astype(np.float32, copy=False)


def from_unit_range(
    image: NDArray[np.floating], dtype: np.dtype[Any], float_range: tuple[float, float] = (0.0, 1.0)
) -> NDArray[Any]:
    """Return an image in [0, 1] in ``dtype``: the inverse of `to_unit_range`; integers are rounded and clipped.

    NaN becomes 0 in an integer type.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "u":
        top = np.iinfo(dtype).max
        work = image * image.dtype.type(top)
        np.rint(work, out=work)
        np.clip(work, 0, top, out=work)
        if np.isnan(work).any():
            np.nan_to_num(work, copy=False, nan=0.0)
        pixels: NDArray[Any] = work.astype(dtype)
        return pixels
    low, high = float_range
    return (image * (high - low if high > low else 1.0) + low).astype(dtype)
