"""How much coherency makes a texture lamellar: judged against an isotropic picture of the same spectrum."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cemi_analyze.picture.orientation import isotropic_twin, structure_tensor

_TWIN_PX = 256


def isotropic_coherency(image: NDArray[np.float32], window_px: float) -> NDArray[np.float64]:
    """Return the median and the 99 % quantile of the coherency that an isotropic texture has by chance.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Whose spectrum the isotropic texture has, noise included.
    window_px : float
        Deviation of the window of the structure tensor.

    Returns
    -------
    ndarray of float64, shape (2,)
        NaN for a picture without any texture.
    """
    if float(image.std(dtype=np.float64)) < 1e-6:
        return np.full(2, np.nan)
    size = max(_TWIN_PX, 2 ** math.ceil(math.log2(24 * window_px)))
    twin = structure_tensor(isotropic_twin(image, size), window_px).coherency
    margin = int(2 * window_px)
    return np.quantile(twin[margin:-margin, margin:-margin], [0.5, 0.99]).astype(np.float64)


def lamellar_coherency(counts: NDArray[np.int64], typical: float, highest: float) -> float:
    """Return the coherency that separates lamellae from isotropic texture.

    Half-way between the median coherency of isotropic texture and that of the lamellae (all that is beyond the 99 %
    quantile of isotropic texture), but no lower than that quantile. Half-way is where the coherency, falling over the
    edge of a colony, passes the edge; and both ends come from the picture, so that noise, which lowers them, needs no
    correction of its own.

    Parameters
    ----------
    counts : ndarray of int, shape (bins,)
        Histogram of the coherency over [0, 1].
    typical, highest : float
        Median and 99 % quantile of isotropic texture, from `isotropic_coherency`.
    """
    bins = len(counts)
    first = min(math.ceil(highest * bins), bins - 1)
    beyond = np.cumsum(counts[first:])
    if beyond[-1] == 0:
        return float(highest)
    lamellar = (first + np.searchsorted(beyond, 0.5 * beyond[-1]) + 0.5) / bins
    return float(max(highest, 0.5 * (typical + lamellar)))
