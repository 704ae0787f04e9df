"""Channels of stills: colour, pages of several detectors, and files of other detectors or maps beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cemi_core.errors import InputError, UsageError
from cemi_core.files.find import find_files
from cemi_core.images.read_image import IMAGE_SUFFIXES, ImageHeader, has_colour, read_headers, read_samples
from cemi_core.model.channels import COLOUR, MIXTURE, checked_names
from cemi_core.model.frame import DroppedFrame
from cemi_run.sources.stills import Plane, Still

#: What a recipe says of the channels of its files.
Channels = Literal["auto", "grey"] | list[str]
#: Name of the images themselves where only the files beside them have one.
PLAIN = "image"
#: So many images stored in colour are looked at, at most, to know whether they are grey all the same.
_LOOKED_AT = 8


@dataclass(frozen=True)
class StillChannels:
    """Which channels the stills of a source have.

    Attributes
    ----------
    stills : tuple of Still
        One for each frame, with its planes.
    names : tuple of str
        Of the channels; empty for plain grey.
    main : str
        The channel that is matched; empty for the luminance of colour.
    dropped : tuple of DroppedFrame
        Frames that lack a channel.
    notes : tuple of str
        Sentences for the user and the report.
    """

    stills: tuple[Still, ...]
    names: tuple[str, ...] = ()
    main: str = MIXTURE
    dropped: tuple[DroppedFrame, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def type_of(self, name: str) -> np.dtype[Any]:
        """Return the type of the pixels of a channel."""
        dtype: np.dtype[Any] = self.stills[0].planes[self.names.index(name)].header.dtype
        return dtype


def channels_of(
    stills: Sequence[Still], channels: Channels, more: Mapping[str, str | list[str]], drop_bad: bool
) -> StillChannels:
    """Find the channels of stills.

    Parameters
    ----------
    stills : sequence of Still
        One for each page of each file.
    channels : str or list of str
        ``"auto"`` keeps true colour, ``"grey"`` uses its luminance alone, and names are those of the pages (or of the
        samples of a pixel) of each file, which then is one frame.
    more : mapping of str to files
        Further channels, and their files, folders or patterns: one file for each frame.
    drop_bad : bool
        Drop and list frames of which a further channel is damaged, as long as two others are left.

    Raises
    ------
    UsageError
        Names occur twice.
    InputError
        There are not as many pages, samples or files as names or frames; channels differ in size from their frame, or
        in depth from frame to frame.
    """
    own = _own_channels(stills, channels, bool(more))
    names = checked_names([*own.names, *more], "channels")
    found = replace(own, names=names)
    for name, paths in more.items():
        found = _with_files(found, name, paths, drop_bad)
    _check_depths(found)
    return replace(found, notes=(*found.notes, *_notes_on_alpha(found.stills), *_notes_on_size(found)))


def _own_channels(stills: Sequence[Still], channels: Channels, named: bool) -> StillChannels:
    """Return the channels that the files of the frames hold themselves; ``named`` asks for the name of plain grey."""
    if isinstance(channels, list):
        return _pages_as_channels(stills, checked_names(channels, "channels"))
    signals = next((still for still in stills if still.header.model == "signals"), None)
    if channels == "auto" and signals is not None:
        names = tuple(f"channel{number + 1}" for number in range(signals.header.samples))
        note = (
            f"'{signals.name}' holds {len(names)} samples in each pixel and does not say what they are: they are kept "
            f"as {', '.join(names)}, and {names[0]} is matched. Give their names in 'channels' of the source."
        )
        return replace(_pages_as_channels(stills, names), notes=(note,))
    coloured = _coloured(stills)
    if coloured is None:
        if not named:
            return StillChannels(tuple(stills))
        plain = tuple(replace(still, planes=(_whole(still, None),), main=0) for still in stills)
        return StillChannels(plain, (PLAIN,), PLAIN)
    if channels == "grey":
        note = f"'{coloured.name}' is a colour picture: its luminance is used; coloured graphics stay in it."
        return StillChannels(tuple(stills), notes=(note,))
    note = (
        f"'{coloured.name}' is a colour image: its channels red, green and blue are kept, and its luminance is matched "
        "('channels: grey' in the source keeps the luminance alone)."
    )
    kept = tuple(
        replace(still, planes=tuple(_whole(still, n if still.header.samples > 2 else None) for n in range(3)))
        for still in stills
    )
    return StillChannels(kept, COLOUR, MIXTURE, notes=(note,))


def _whole(still: Still, sample: int | None) -> Plane:
    return Plane(still.path, still.header, sample, 1, still.crop)


def _coloured(stills: Sequence[Still]) -> Still | None:
    """Return the first still in true colour; of those that are stored in colour, a few spread over all are decoded."""
    stored = _some(still for still in stills if still.header.colour)
    return next((still for still in stored if has_colour(still.path, still.header.page)), None)


def _some(stills: Iterable[Still]) -> list[Still]:
    """Return a few stills, spread over all."""
    found = list(stills)
    return [found[n] for n in np.unique(np.linspace(0, len(found) - 1, min(len(found), _LOOKED_AT)).astype(int))]


def _pages_as_channels(stills: Sequence[Still], names: Sequence[str]) -> StillChannels:
    """Return one still for each file, whose pages, or samples of a pixel, are the channels."""
    by_file: dict[Path, list[Still]] = {}
    for still in stills:
        by_file.setdefault(still.path, []).append(still)
    joined: list[Still] = []
    more_pages = 0
    for path, pages in by_file.items():
        samples = pages[0].header.samples
        if len(pages) == 1 and samples == len(names) > 1:
            planes = tuple(_whole(pages[0], sample) for sample in range(samples))
        elif len(pages) == len(names):
            planes = tuple(_fitted(pages[0], path, still.header, name) for still, name in zip(pages, names))
        else:
            held = f"{len(pages)} pages" if len(pages) > 1 else f"one page of {samples} sample(s) in each pixel"
            raise InputError(
                f"'{path}' holds {held}, but 'channels' gives {len(names)} name(s) ({', '.join(names)}); give a name "
                "for each page"
            )
        name = pages[0].name.removesuffix(f"[{pages[0].header.page}]") if len(pages) > 1 else pages[0].name
        place = pages[0].place - more_pages  # damaged files count, further pages do not
        more_pages += len(pages) - 1
        joined.append(replace(pages[0], name=name, place=place, planes=planes, main=0))
    return StillChannels(tuple(joined), tuple(names), names[0])


def _fitted(still: Still, path: Path, header: ImageHeader, name: str) -> Plane:
    """Return a page as a channel of a frame: of its size, or smaller by a whole factor.

    Raises
    ------
    InputError
        It is of another size.
    """
    for shape, crop in ((still.header.shape, still.crop), (still.shape, (slice(None), slice(None)))):
        factor = shape[0] // header.shape[0]
        if factor >= 1 and (factor * header.shape[0], factor * header.shape[1]) == shape:
            return Plane(path, header, None, factor, crop)
    (height, width), (own_height, own_width) = header.shape, still.header.shape
    raise InputError(
        f"channel '{name}': '{path}' is {height} x {width} px, and its frame '{still.name}' {own_height} x {own_width} "
        "px; a channel must be as large as its frame, or smaller by a whole factor such as 2 along both sides"
    )


def _with_files(found: StillChannels, name: str, paths: str | list[str], drop_bad: bool) -> StillChannels:
    """Add a channel that has a file for each frame."""
    files = find_files(paths, IMAGE_SUFFIXES, f"images of channel '{name}'")
    partners, note = _partners(found, name, files)
    stills: list[Still] = []
    dropped: list[DroppedFrame] = []
    for still, file in zip(found.stills, partners):
        try:
            headers = read_headers(file)
        except InputError as error:
            if not drop_bad:
                raise
            dropped.append(DroppedFrame(still.name, f"channel '{name}': {error}"))
            continue
        if len(headers) > 1:
            raise InputError(
                f"channel '{name}': '{file}' holds {len(headers)} pages; give a file with one for each frame"
            )
        stills.append(replace(still, planes=(*still.planes, _fitted(still, file, headers[0], name))))
    if dropped and len(stills) < 2:
        raise InputError(dropped[0].reason)
    notes = (*found.notes, *([note] if note else []))
    return replace(found, stills=tuple(stills), dropped=(*found.dropped, *dropped), notes=notes)


def _partners(found: StillChannels, name: str, files: Sequence[Path]) -> tuple[list[Path], str]:
    """Return the file of a channel for each frame, by name where the names fit, else by order, which is said."""
    words = {word for channel in found.names for word in _words(channel)}
    by_name: dict[tuple[str, ...], Path] = {}
    for file in files:
        by_name.setdefault(_key(file.name, words), file)
    wanted = [_key(still.name, words) for still in found.stills]
    if len(set(wanted)) == len(wanted) and len(by_name) == len(files) and all(key in by_name for key in wanted):
        return [by_name[key] for key in wanted], ""
    if len(files) != len(found.stills):
        alone = next((still for still, key in zip(found.stills, wanted) if key not in by_name), found.stills[0])
        raise InputError(
            f"channel '{name}': {len(files)} file(s) for {len(found.stills)} frames, and none is called like "
            f"'{alone.name}'; name its files like those of the frames, or give one for each frame in their order"
        )
    first = found.stills[0].name
    return list(files), (
        f"The files of channel '{name}' are not called like the frames: they are taken in order, '{files[0].name}' for "
        f"'{first}'."
    )


def _words(text: str) -> list[str]:
    """Return the words and numbers of a name, in small letters."""
    return re.findall(r"[^\W\d_]+|\d+", text.lower())


def _key(name: str, left_out: set[str]) -> tuple[str, ...]:
    """Return what of a file's name tells it from others of its channel: its words but for those of the channels."""
    stem, dot, suffix = name.rpartition(".")
    page = suffix.partition("[")[2]
    return tuple(
        word for word in _words((stem if dot else name) + (f" {page}" if page else "")) if word not in left_out
    )


def _check_depths(found: StillChannels) -> None:
    for number, name in enumerate(found.names):
        first = found.stills[0].planes[number]
        for still in found.stills:
            plane = still.planes[number]
            if plane.header.dtype != first.header.dtype:
                raise InputError(
                    f"channel '{name}': '{first.path}' is {first.header.dtype} and '{plane.path}' is "
                    f"{plane.header.dtype}; save all images of a channel with the same depth"
                )


def _notes_on_alpha(stills: Sequence[Still]) -> list[str]:
    for still in _some(still for still in stills if still.header.alpha):
        with suppress(InputError):  # what is damaged in its pixels is told where it is read
            alpha = read_samples(still.path, still.header.page)[..., -1]
            if alpha.min() < np.iinfo(alpha.dtype).max:
                return [f"'{still.name}' has transparent pixels (alpha): they count as imaged, with the colour below."]
    return []


def _notes_on_size(found: StillChannels) -> list[str]:
    notes = []
    for number, name in enumerate(found.names):
        plane = next((still.planes[number] for still in found.stills if still.planes[number].factor > 1), None)
        if plane is not None:
            height, width = plane.header.shape
            notes.append(
                f"Channel '{name}' has fewer pixels than its frames ('{plane.path.name}': {height} x {width} px): each "
                f"is repeated {plane.factor} times along both sides, so that it shows no more detail than before."
            )
    return notes


def require_alone(channels: Channels, more: Mapping[str, Any]) -> None:
    """Raise UsageError where channels are joined of files that have nothing to do with each other."""
    if isinstance(channels, list) or more:
        raise UsageError(
            "'channels' with names and 'more_channels' join files and pages to frames of a run; here each page stands "
            "alone, with all its channels: leave them out"
        )
