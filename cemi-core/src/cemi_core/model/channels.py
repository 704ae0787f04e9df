"""Channels: several images of one place, such as colour, two detectors, or maps of elements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError, UsageError
from cemi_core.model.frame import FrameSource

#: The channels of a colour image, in the order of its samples.
COLOUR = ("red", "green", "blue")
#: What `FrameSource.read` gives of frames whose matched image is not a channel, but a mixture of them.
MIXTURE = ""


@runtime_checkable
class ReadsTogether(FrameSource, Protocol):
    """A source that reads the matched image and all channels of a frame at once, each file decoded once."""

    def channel_type(self, name: str) -> tuple[np.dtype[Any], tuple[float, float]]:
        """Return the type of a channel's pixels at the source, and the float values that are 0 and 1 of them."""
        ...

    def read_together(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what `read` and `read_channels` give: (h, w) and (channels, h, w), float32 in [0, 1]."""
        ...


def checked_names(names: Iterable[str], where: str) -> tuple[str, ...]:
    """Return the names of channels, none empty and none twice (upper and lower case are alike).

    Raises
    ------
    UsageError
        A name is empty or occurs twice; ``where`` begins the sentence.
    """
    found = tuple(str(name).strip() for name in names)
    if not all(found):
        raise UsageError(f"{where}: a channel has no name")
    for number, name in enumerate(found):
        if name.lower() in (earlier.lower() for earlier in found[:number]):
            raise UsageError(f"{where}: two channels are called '{name}'; give each a name of its own")
    return found


def channel_file_names(names: Sequence[str]) -> dict[str, str]:
    """Return a file name without suffix for each channel: its own, with ``_`` for what a file name should not hold."""
    files: dict[str, str] = {}
    for name in names:
        plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:100]
        taken = {used.lower() for used in files.values()}
        number = 1
        while (file := plain if number == 1 else f"{plain}_{number}").lower() in taken:
            number += 1
        files[name] = file
    return files


def require_channel(name: str, names: Sequence[str], where: str) -> str:
    """Return the channel called ``name``.

    Parameters
    ----------
    name : str
        What was asked for.
    names : sequence of str
        What there is.
    where : str
        Begins the sentence: ``"stitch.match_channel"``.

    Raises
    ------
    InputError
        There is none of this name; the sentence lists those that there are.
    """
    if name in names:
        return name
    if not names:
        raise InputError(f"{where}: there is no channel '{name}'; the frames are plain grey, without named channels")
    raise InputError(f"{where}: there is no channel '{name}'; the channels are {', '.join(names)}")
