"""The inner loop on the CPU: the ZNCC of one template and one patch, as `zncc.template_zncc` computes it in batches."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_stitch.correlation.zncc import MIN_CONTRAST

#: Up to so many shifts along an axis products are summed shift by shift, which is faster than OpenCV's Fourier
#: transforms (by 2 for 5 x 5 shifts and overlaps of 90,000 to 270,000 px) ...
DIRECT_SHIFTS = 5
#: ... in blocks of about so many pixels, which stay in the cache.
BLOCK_PIXELS = 12_000

Picture = NDArray[np.float32]


def template_zncc_on_cpu(patch: Picture, template: Picture, every: int = 1) -> Picture:
    """Correlate a template with all places of a larger patch.

    Parameters
    ----------
    patch : ndarray of float32, shape (h + y, w + x)
        Mean near 0.
    template : ndarray of float32, shape (h, w)
    every : int
        Only every so many rows and columns of the template count, which is enough where pictures are smoothed; the
        shifts remain single pixels.

    Returns
    -------
    ndarray of float32, shape (y + 1, x + 1)
        ZNCC in [-1, 1]; 0 where patch or template has no contrast.
    """
    height, width = template.shape
    shifts = patch.shape[0] - height + 1, patch.shape[1] - width + 1
    surface = np.empty(shifts, np.float32)
    sparse = template[::every, ::every]
    flat = sparse - sparse.mean()
    for y in range(every):
        for x in range(every):
            # The pixels that every so many shifts compare; they lie side by side, so that all of it is one stretch.
            rows = (shifts[0] - y + every - 1) // every + flat.shape[0] - 1
            columns = (shifts[1] - x + every - 1) // every + flat.shape[1] - 1
            compared = np.ascontiguousarray(patch[y::every, x::every][:rows, :columns])
            surface[y::every, x::every] = _zncc(compared, flat)
    return surface


def _zncc(patch: Picture, flat: Picture) -> NDArray[np.float64]:
    """Return the ZNCC of a template of mean 0; the mean of the patch adds nothing to its products with that."""
    shifts = patch.shape[0] - flat.shape[0] + 1, patch.shape[1] - flat.shape[1] + 1
    scatter, own = _window_scatter(patch, flat.shape), float(np.vdot(flat, flat))
    good = np.minimum(scatter, own) > flat.size * MIN_CONTRAST**2
    product = _direct(patch, flat) if max(shifts) <= DIRECT_SHIFTS else cv2.matchTemplate(patch, flat, cv2.TM_CCORR)
    quality = np.clip(product / np.sqrt(np.maximum(scatter * own, 1e-30)), -1, 1)
    return np.where(good, quality, 0.0)


def _direct(patch: Picture, flat: Picture) -> NDArray[np.float64]:
    """Return the sum of products at every shift, from dot products of stretches of memory.

    With 0 on its right the template gets the patch's width, so that a shift is one distance in memory and whole blocks
    of rows are one dot product.
    """
    (height, width), stride = flat.shape, patch.shape[1]
    wide = np.zeros((height, stride), np.float32)
    wide[:, :width] = flat
    along, beside = patch.ravel(), wide.ravel()
    shifts = patch.shape[0] - height + 1, stride - width + 1
    distance = [y * stride + x for y in range(shifts[0]) for x in range(shifts[1])]
    sums = np.zeros(len(distance))
    rows = max(1, BLOCK_PIXELS // stride)
    for top in range(0, height, rows):
        start, stop = top * stride, min(top + rows, height) * stride - (stride - width)
        block = beside[start:stop]
        sums += [np.dot(along[start + step : stop + step], block) for step in distance]
    return sums.reshape(shifts)


def _window_scatter(patch: Picture, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the sum of squared deviations from the mean of every window of ``shape`` in ``patch``."""
    height, width = shape
    first, above, below = patch[:height], patch[: len(patch) - height], patch[height:]
    columns = (
        (first.sum(axis=0), below - above),
        (np.einsum("ij,ij->j", first, first), below * below - above * above),
    )
    moments = []
    for start, change in columns:
        table = np.zeros((len(change) + 1, len(start) + 1))
        table[0, 1:] = start
        table[1:, 1:] = start + np.cumsum(change, axis=0, dtype=np.float64)
        table = np.cumsum(table, axis=1)
        moments.append(table[:, width:] - table[:, :-width])
    return moments[1] - moments[0] ** 2 / (height * width)
