"""The inner loop on the CPU: the ZNCC of one template and one patch, as `zncc.template_zncc` computes it in batches."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_stitch.zncc import MIN_CONTRAST

#: Up to this reach all products of the window are summed one by one, which is faster than OpenCV's Fourier transforms
#: (by 2 at 2 px for overlaps of 90,000 to 270,000 px) ...
DIRECT_REACH = 2
#: ... in blocks of about so many pixels, which stay in the cache.
BLOCK_PIXELS = 12_000

Picture = NDArray[np.float32]


def template_zncc_on_cpu(patch: Picture, template: Picture, reach: int) -> Picture:
    """Correlate a template with a patch that is ``reach`` px larger on every side.

    Parameters
    ----------
    patch : ndarray of float32, shape (h + 2 * reach, w + 2 * reach)
    template : ndarray of float32, shape (h, w)
    reach : int
        Half the window, px.

    Returns
    -------
    ndarray of float32, shape (2 * reach + 1, 2 * reach + 1)
        ZNCC in [-1, 1]; 0 where patch or template has no contrast.
    """
    level, flat = patch - patch.mean(), template - template.mean()
    product = _direct(level, flat, reach) if reach <= DIRECT_REACH else cv2.matchTemplate(level, flat, cv2.TM_CCORR)
    scatter, own = _window_scatter(level, template.shape, reach), float(np.vdot(flat, flat))
    good = np.minimum(scatter, own) > template.size * MIN_CONTRAST**2
    quality = np.clip(product / np.sqrt(np.maximum(scatter * own, 1e-30)), -1, 1)
    return np.where(good, quality, 0.0).astype(np.float32)


def _direct(level: Picture, flat: Picture, reach: int) -> NDArray[np.float64]:
    """Return the sum of products at every shift, from dot products of stretches of memory.

    With 0 on its right the template gets the patch's width, so that a shift in y and x is one step in memory and
    whole blocks of rows are one dot product.
    """
    (height, width), stride, span = flat.shape, level.shape[1], 2 * reach + 1
    wide = np.zeros((height, stride), np.float32)
    wide[:, :width] = flat
    along, beside = level.ravel(), wide.ravel()
    sums = np.zeros((span, span))
    rows = max(1, BLOCK_PIXELS // stride)
    for top in range(0, height, rows):
        start, stop = top * stride, min(top + rows, height) * stride - 2 * reach
        block = beside[start:stop]
        for y in range(span):
            for x in range(span):
                step = y * stride + x
                sums[y, x] += np.dot(along[start + step : stop + step], block)
    return sums


def _window_scatter(level: Picture, shape: tuple[int, ...], reach: int) -> NDArray[np.float64]:
    """Return the sum of squared deviations from the mean of every window of ``shape`` in ``level``."""
    (height, width), span = shape, 2 * reach + 1
    moments = []
    for values in (level, level * level):
        first = values[:height].sum(axis=0, dtype=np.float64)
        change = (values[height:] - values[: 2 * reach]).cumsum(axis=0, dtype=np.float64)
        table = np.zeros((span, values.shape[1] + 1))
        np.cumsum(np.vstack([first, first + change]), axis=1, out=table[:, 1:])
        moments.append(table[:, width : width + span] - table[:, :span])
    return moments[1] - moments[0] ** 2 / (height * width)
