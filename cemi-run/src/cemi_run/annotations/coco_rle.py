"""Run lengths of COCO: how many pixels, column after column, are outside, inside, outside, ...

The compressed text has six bits a character, the lowest first, as differences to the run before the last
(cocodataset/cocoapi, ``common/maskApi.c``: ``rleToString``, ``rleFrString``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_run.annotations.fields import image_shape


def decode(segmentation: dict[str, Any], size: tuple[int, int] | None, where: str) -> NDArray[np.bool_]:
    """Return the mask (h, w) of a segmentation ``{"size": [h, w], "counts": list or str}``.

    Parameters
    ----------
    segmentation : dict
    size : tuple of int or None
        (height, width) of its image, which it must have.
    where : str
        For messages.

    Raises
    ------
    InputError
        The runs do not fill the image, or it has another size.
    """
    given = segmentation.get("size")
    if not isinstance(given, list) or len(given) != 2:
        raise InputError(f"{where}: its runs come without the size [height, width]")
    shape = image_shape(given[0], given[1], where)
    if shape is None or (size is not None and shape != size):
        known = f", and its image has {size[1]} x {size[0]} px" if size else ""
        raise InputError(f"{where}: its runs are of {given[1]} x {given[0]} px{known}")
    counts = segmentation.get("counts")
    runs = np.array(_from_text(counts, where) if isinstance(counts, str) else counts, np.int64).ravel()
    if (runs < 0).any() or int(runs.sum()) != shape[0] * shape[1]:
        raise InputError(f"{where}: its runs cover {int(runs.sum())} pixels, and its image has {shape[0] * shape[1]}")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(inside.reshape(shape[1], shape[0]).T)


def encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the compressed segmentation of a mask (h, w)."""
    column_by_column = mask.T.ravel()
    changes = np.flatnonzero(np.diff(column_by_column)) + 1
    runs = np.diff(np.concatenate([[0], changes, [column_by_column.size]])).tolist()
    if column_by_column.size and column_by_column[0]:
        runs = [0, *runs]
    return {"size": [int(mask.shape[0]), int(mask.shape[1])], "counts": _to_text(runs)}


def _to_text(runs: list[int]) -> str:
    characters = []
    for number, run in enumerate(runs):
        value = run - runs[number - 2] if number > 2 else run
        while True:
            bits = value & 0x1F
            value >>= 5
            more = value != -1 if bits & 0x10 else value != 0
            characters.append(chr(bits + (0x20 if more else 0) + 48))
            if not more:
                break
    return "".join(characters)


def _from_text(text: str, where: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 60:
            raise InputError(f"{where}: its compressed runs hold {character!r}, which is none of their characters")
        value |= (code & 0x1F) << shift
        shift += 5
        if not code & 0x20:
            if code & 0x10:
                value |= -1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise InputError(f"{where}: its compressed runs are cut off")
    return runs
