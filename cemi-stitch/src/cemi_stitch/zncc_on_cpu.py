"""The inner loop on the CPU: the ZNCC of one template and one patch, as `zncc.template_zncc` computes it in batches."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_stitch.zncc import MIN_CONTRAST

#: Up to this reach products are summed shift by shift, which is faster than OpenCV's Fourier transforms (by 2 at 2 px
#: for overlaps of 90,000 to 270,000 px) ...
DIRECT_REACH = 2
#: ... in blocks of about so many pixels, which stay in the cache.
BLOCK_PIXELS = 12_000

Picture = NDArray[np.float32]


def template_zncc_on_cpu(patch: Picture, template: Picture, reach: int) -> Picture:
    """Correlate a template with a patch that is ``reach`` px larger on every side.

    Parameters
    ----------
    patch : ndarray of float32, shape (h + 2 * reach, w + 2 * reach)
        Mean near 0.
    template : ndarray of float32, shape (h, w)
    reach : int
        Half the window, px.

    Returns
    -------
    ndarray of float32, shape (2 * reach + 1, 2 * reach + 1)
        ZNCC in [-1, 1]; 0 where patch or template has no contrast.
    """
    # The mean of the patch adds nothing to its products with a template of mean 0.
    flat = template - template.mean()
    scatter, own = _window_scatter(patch, template.shape, reach), float(np.vdot(flat, flat))
    good = np.minimum(scatter, own) > template.size * MIN_CONTRAST**2
    product = _direct(patch, flat, reach) if reach <= DIRECT_REACH else cv2.matchTemplate(patch, flat, cv2.TM_CCORR)
    quality = np.clip(product / np.sqrt(np.maximum(scatter * own, 1e-30)), -1, 1)
    return np.where(good, quality, 0.0).astype(np.float32)


def _direct(patch: Picture, flat: Picture, reach: int) -> NDArray[np.float64]:
    """Return the sum of products at every shift, from dot products of stretches of memory.

    With 0 on its right the template gets the patch's width, so that a shift is one distance in memory and whole blocks
    of rows are one dot product.
    """
    (height, width), stride, span = flat.shape, patch.shape[1], 2 * reach + 1
    wide = np.zeros((height, stride), np.float32)
    wide[:, :width] = flat
    along, beside = patch.ravel(), wide.ravel()
    distance = [y * stride + x for y in range(span) for x in range(span)]
    sums = np.zeros(span * span)
    rows = max(1, BLOCK_PIXELS // stride)
    for top in range(0, height, rows):
        start, stop = top * stride, min(top + rows, height) * stride - 2 * reach
        block = beside[start:stop]
        sums += [np.dot(along[start + step : stop + step], block) for step in distance]
    return sums.reshape(span, span)


def _window_scatter(patch: Picture, shape: tuple[int, ...], reach: int) -> NDArray[np.float64]:
    """Return the sum of squared deviations from the mean of every window of ``shape`` in ``patch``."""
    (height, width), span = shape, 2 * reach + 1
    first, above, below = patch[:height], patch[: 2 * reach], patch[height:]
    columns = (
        (first.sum(axis=0), below - above),
        (np.einsum("ij,ij->j", first, first), below * below - above * above),
    )
    moments = []
    for start, change in columns:
        table = np.zeros((span, len(start) + 1))
        table[0, 1:] = start
        table[1:, 1:] = start + np.cumsum(change, axis=0, dtype=np.float64)
        table = np.cumsum(table, axis=1)
        moments.append(table[:, width : width + span] - table[:, :span])
    return moments[1] - moments[0] ** 2 / (height * width)
