"""The inner loop on the CPU: the ZNCC of one template and one patch, as `zncc.template_zncc` computes it in batches."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_stitch.zncc import MIN_CONTRAST

#: Up to this reach products are summed shift by shift, which is faster than OpenCV's Fourier transforms (by 2 at 2 px
#: for overlaps of 90,000 to 270,000 px) ...
DIRECT_REACH = 2
#: ... in blocks of about so many pixels, which stay in the cache.
BLOCK_PIXELS = 12_000
#: A peak bends so much in every direction, as a share of its height, from one pixel to the next but one.
LEAST_BEND = 0.05

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
        ZNCC in [-1, 1]; 0 where patch or template has no contrast, and, in windows of up to `DIRECT_REACH`, beyond the
        8 neighbours of the middle if that stands out among them.
    """
    # The mean of the patch adds nothing to its products with a template of mean 0.
    flat = template - template.mean()
    scatter, own = _window_scatter(patch, template.shape, reach), float(np.vdot(flat, flat))
    good = np.minimum(scatter, own) > template.size * MIN_CONTRAST**2
    norm = np.sqrt(np.maximum(scatter * own, 1e-30))
    if reach > DIRECT_REACH:
        surface = cv2.matchTemplate(patch, flat, cv2.TM_CCORR) / norm
    else:
        surface = _direct(patch, flat, norm)
    return np.where(good, np.clip(surface, -1, 1), 0.0).astype(np.float32)


def _direct(patch: Picture, flat: Picture, norm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation shift by shift, the farther ones only if the middle does not stand out among the near."""
    reach = norm.shape[0] // 2
    surface = np.zeros(norm.shape)
    steps = [(y, x) for y in range(2 * reach + 1) for x in range(2 * reach + 1)]
    near = [(y, x) for y, x in steps if max(abs(y - reach), abs(x - reach)) <= 1]
    for some in (near, [step for step in steps if step not in near]):
        rows, columns = np.array(some, np.int64).reshape(-1, 2).T
        surface[rows, columns] = _sums(patch, flat, some) / norm[rows, columns]
        if _stands_out(surface[reach - 1 : reach + 2, reach - 1 : reach + 2].ravel()):
            break
    return surface


def _stands_out(nine: NDArray[np.float64]) -> bool:
    """Return whether the middle of 3 x 3 values is a peak that falls off to all sides; along a ridge it does not."""
    middle, opposite = float(nine[4]), nine[:4] + nine[:4:-1]
    return bool(nine.argmax() == 4 and (2 * middle - opposite > LEAST_BEND * middle).all())


def _sums(patch: Picture, flat: Picture, steps: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """Return the sum of products at each step (y, x) of the template into the patch, from dot products.

    With 0 on its right the template gets the patch's width, so that a step is one distance in memory and whole blocks
    of rows are one dot product.
    """
    (height, width), stride = flat.shape, patch.shape[1]
    wide = np.zeros((height, stride), np.float32)
    wide[:, :width] = flat
    along, beside = patch.ravel(), wide.ravel()
    distance = [y * stride + x for y, x in steps]
    sums = np.zeros(len(steps))
    rows = max(1, BLOCK_PIXELS // stride)
    for top in range(0, height, rows):
        start, stop = top * stride, min(top + rows, height) * stride - (stride - width)
        block = beside[start:stop]
        sums += [np.dot(along[start + step : stop + step], block) for step in distance]
    return sums


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
