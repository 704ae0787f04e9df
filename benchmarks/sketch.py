"""The plain sketch that CEMI is held against: what thirty lines of OpenCV and least squares do where the stage is good.

Gaussian of 1.5 px, OpenCV's template ZNCC of the whole overlap over +-16 px around the nominal shift, a parabola
through the peak in y and in x, least squares over all pairs. No search beyond the window, no threshold, no loops, no
flags.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

SMOOTHING_PX, REACH_PX = 1.5, 16
#: Smallest side of an overlap that is compared, px.
FEWEST_PX = 24


def pairs_of(nominal: NDArray[np.float64], shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the pairs whose nominal overlap is worth a comparison."""
    room = np.array(shape) - 2 * REACH_PX - FEWEST_PX
    first, second = np.triu_indices(len(nominal), 1)
    near = (np.abs(nominal[second] - nominal[first]) <= room).all(axis=1)
    return list(zip(first[near].tolist(), second[near].tolist(), strict=True))


def sketch_places(
    images: Sequence[NDArray[np.uint8]], nominal: NDArray[np.float64], executor: Executor | None = None
) -> tuple[NDArray[np.float64], int]:
    """Return the places (y, x) of the images, px, and the number of pairs."""
    spread = map if executor is None else executor.map
    smooth = list(spread(smoothed, images))
    pairs = pairs_of(nominal, images[0].shape)
    shifts = np.array(list(spread(partial(shift_of, smooth, nominal), pairs)))
    design = np.zeros((len(pairs) + 1, len(images)))
    design[np.arange(len(pairs)), [i for i, _ in pairs]] = -1
    design[np.arange(len(pairs)), [j for _, j in pairs]] = 1
    design[-1, 0] = 1
    wanted = np.vstack([shifts, np.zeros((1, 2))])
    return np.linalg.lstsq(design, wanted, rcond=None)[0], len(pairs)


def smoothed(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the image as float32, smoothed."""
    return cv2.GaussianBlur(image.astype(np.float32), (0, 0), SMOOTHING_PX)


def overlap(
    shift: NDArray[np.int64], shape: tuple[int, int], reach: int = REACH_PX
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where the patch lies in the first picture and the template in the second, smaller by the reach."""
    patch, template = [], []
    for step, side in zip(shift.tolist(), shape, strict=True):
        start, stop = max(0, step), min(side, side + step)
        patch.append(slice(start, stop))
        template.append(slice(start - step + reach, stop - step - reach))
    return (patch[0], patch[1]), (template[0], template[1])


def shift_of(
    smooth: Sequence[NDArray[np.float32]], nominal: NDArray[np.float64], pair: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the shift of one pair, (dy, dx), px."""
    i, j = pair
    expected = np.rint(nominal[j] - nominal[i]).astype(np.int64)
    patch, template = overlap(expected, smooth[i].shape)
    surface = cv2.matchTemplate(smooth[i][patch], smooth[j][template], cv2.TM_CCOEFF_NORMED)
    row, column = (int(n) for n in np.unravel_index(surface.argmax(), surface.shape))
    if not (0 < row < 2 * REACH_PX and 0 < column < 2 * REACH_PX):
        return expected + np.array([row, column]) - REACH_PX
    finer = [_vertex(surface[row - 1 : row + 2, column]), _vertex(surface[row, column - 1 : column + 2])]
    return expected + np.array([row, column]) - REACH_PX + finer


def _vertex(three: NDArray[np.float32]) -> float:
    low, middle, high = map(float, three)
    return (low - high) / (2 * (low - 2 * middle + high))
