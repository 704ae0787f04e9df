"""Run lengths of Label Studio's brush: bits, of red, green, blue and alpha pixel after pixel, row after row.

A head gives the number of values (32 bits), their size (5) and four sizes of lengths (4 each). Then each block says
whether it is a run (1 bit), which size its length has (2 bits) and its length less one. Then comes the value of the
run, or each value of the block (thi.ng/umbrella ``rle-pack``; label_studio_converter ``brush.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError

_LENGTH_BITS = (3, 4, 8, 16)
_VALUE_BITS = 8


def decode(values: Any, size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return where a brush painted with at least half of its strength.

    Parameters
    ----------
    values : list of int
        Bytes.
    size : tuple of int
        (height, width) of the image, px.
    where : str
        For messages.

    Raises
    ------
    InputError
        These are not run lengths, are cut off, or are of another size.
    """
    if not isinstance(values, list) or not all(isinstance(v, int) and 0 <= v < 256 for v in values):
        raise InputError(f"{where}: its brush is not a list of bytes")
    bits = _Bits(bytes(values))
    count, value_bits = bits.take(32), bits.take(5) + 1
    length_bits = [bits.take(4) + 1 for _ in range(4)]
    if count != size[0] * size[1] * 4:
        raise InputError(f"{where}: its brush has {count // 4} pixels, and its image {size[1]} x {size[0]} px")
    painted = np.zeros(count, np.uint8)
    place = 0
    while place < count:
        is_run = bits.take(1)
        stop = place + 1 + bits.take(length_bits[bits.take(2)])
        if stop > count or bits.is_over:
            raise InputError(f"{where}: its brush is cut off or damaged")
        if is_run:
            painted[place:stop] = min(bits.take(value_bits), 255)
        else:
            painted[place:stop] = [min(bits.take(value_bits), 255) for _ in range(place, stop)]
        place = stop
    if bits.is_over:
        raise InputError(f"{where}: its brush is cut off or damaged")
    return painted.reshape(*size, 4)[:, :, 3] >= 128


class _Bits:
    """Takes numbers of some bits each from bytes, the highest bit first."""

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content + bytes(8), 0
        self._end = 8 * len(content)

    @property
    def is_over(self) -> bool:
        """Whether more bits were taken than there are."""
        return self._place > self._end

    def take(self, count: int) -> int:
        """Return the next ``count`` bits, at most 32, as a number; zeros after the end."""
        first = self._place >> 3
        window = int.from_bytes(self._content[first : first + 5].ljust(5, b"\0"), "big")
        number = (window >> (40 - (self._place & 7) - count)) & ((1 << count) - 1)
        self._place += count
        return number


def encode(mask: NDArray[np.bool_]) -> list[int]:
    """Return the bytes of a mask (h, w), painted with full strength."""
    flat = np.repeat(mask.ravel(), 4)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    lengths = np.diff(np.concatenate([starts, [flat.size]])).tolist()
    bits = [f"{flat.size:032b}{_VALUE_BITS - 1:05b}", *(f"{size - 1:04b}" for size in _LENGTH_BITS)]
    for start, length in zip(starts.tolist(), lengths, strict=True):
        value = 255 if flat[start] else 0
        while length:
            part = min(length, 1 << _LENGTH_BITS[-1])
            number = next(k for k, size in enumerate(_LENGTH_BITS) if part <= 1 << size)
            bits.append(f"1{number:02b}{part - 1:0{_LENGTH_BITS[number]}b}{value:08b}")
            length -= part
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))
