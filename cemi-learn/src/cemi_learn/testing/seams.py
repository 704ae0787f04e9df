"""How far the answers of a network in tiles are from those for the whole image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cemi_learn.tiles.tiled_network import TiledNetwork


def seam_of(tiled: TiledNetwork, image: NDArray[np.float32]) -> float:
    """Return the largest difference between an answer in cells and one for the whole image, on the answer's scale.

    Half a grey level of 255 (0.002) cannot be seen; for logits the number to compare with is their spread.

    Parameters
    ----------
    tiled : TiledNetwork
        With cells that are smaller than the image.
    image : ndarray of float32, shape (c, h, w)
    """
    whole = TiledNetwork(tiled.original, "cpu", max(image.shape[1:]), 0, tiled.multiple, tiled.answer, tiled.place).run(
        image
    )
    return float(np.abs(tiled.run(image) - whole).max())
