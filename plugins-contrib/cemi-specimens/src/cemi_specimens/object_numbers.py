"""Object numbers: one for each object of an endless plane, from the lattice node or period that it belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BITS = 52  # so that a float64 column of a table holds each number exactly


def object_numbers(node_y: ArrayLike, node_x: ArrayLike, index: ArrayLike, index_bits: int = 12) -> NDArray[np.int64]:
    """Return a positive number for each object.

    Parameters
    ----------
    node_y, node_x : array_like of int
        Lattice node or period of the object, of magnitude below ``2**((52 - index_bits) // 2 - 1)``.
    index : array_like of int
        Which of the objects of that node, 0 to ``2**index_bits - 1``.
    index_bits : int
        Bits kept for the index.

    Returns
    -------
    ndarray of int64
        Below 2**52; the arguments broadcast.
    """
    half = (_BITS - index_bits) // 2
    y, x, k = (np.asarray(part, np.int64) for part in (node_y, node_x, index))
    offset = 1 << (half - 1)
    numbers: NDArray[Any] = ((y + offset) << (half + index_bits)) | ((x + offset) << index_bits) | k
    return numbers
