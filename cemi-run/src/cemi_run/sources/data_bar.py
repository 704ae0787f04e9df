"""A data bar that has been drawn into stills: rows at the bottom that are alike in different pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def common_bar_height(pictures: Sequence[NDArray[Any]]) -> int:
    """Return the height of the data bar that pictures of different places have in common, px; 0 if there is none.

    Parameters
    ----------
    pictures : sequence of ndarray, shape (h, w)
        At least three, of one shape and type.

    Notes
    -----
    A row belongs to the bar if 80 % of its pixels agree to 3 % of the range in all pictures (numbers in the bar may
    differ). A bar is 2 to 25 % of the height, has ink in it, and ends at a row of the specimen: plain black rows, or
    pictures of one place, are no bar.
    """
    stack = np.stack([np.asarray(picture, np.float32) for picture in pictures])
    span = float(stack.max() - stack.min())
    if len(stack) < 3 or not np.isfinite(span) or span <= 0:
        return 0
    height = stack.shape[1]
    lower = stack[:, -height // 3 :]
    alike = ((lower.max(axis=0) - lower.min(axis=0)) <= 0.03 * span).mean(axis=1)
    different = np.flatnonzero(alike[::-1] < 0.8)
    bar = int(different[0]) if different.size else 0
    if not 0.02 * height <= bar <= 0.25 * height or alike[-bar - 1] > 0.6:
        return 0
    low, high = np.percentile(lower[0, -bar:], (2, 98))
    return bar if high - low > 0.25 * span else 0
