"""Averaging: all frames that see a pixel, weighted by their noise, and how many frames that is worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cemi_core.model.mosaic import Box, Patch
from cemi_core.numeric.noise import noise_std
from cemi_stitch.blending.blender import Blender, Image
from cemi_stitch.blending.feather import divided
from cemi_stitch.blending.resample import pieces

#: Over this distance from a frame's edge its weight rises from 0 to full, so that no seam shows; px.
TAPER_PX = 16
#: Noise below this is not told from none: the rounding of 8-bit pixels ([0, 1] scale).
NOISE_FLOOR = 1e-3


class Average(Blender):
    """Weighs frames by the inverse variance of their noise; see `average`."""

    def blend(self, patches: Sequence[Patch], box: Box) -> Image:
        """Return the mosaic in ``box``; see `Blender.blend`."""
        return average(patches, box)[0]

    def blend_and_count(self, patches: Sequence[Patch], box: Box) -> tuple[Image, Image]:
        """Return the mosaic in ``box`` and the effective frame count of each pixel."""
        return average(patches, box)


def average(patches: Sequence[Patch], box: Box) -> tuple[Image, Image]:
    """Return the mosaic in ``box``, all frames weighted by inverse noise variance, and the effective frame count.

    With weights w, the effective frame count is (sum w)^2 / sum w^2 (Kish, *Survey Sampling*, 1965): the noise of
    frames of equal noise falls by its square root. Interpolation between pixels lowers it further and correlates it
    between neighbours; that is not counted.

    Parameters
    ----------
    patches : sequence of Patch
        Frames, in any order; NaN pixels do not count.
    box : Box
        In mosaic pixels.

    Returns
    -------
    image : ndarray of float32, shape (box.height, box.width)
        NaN where no frame reaches.
    count : ndarray of float32, shape (box.height, box.width)
        At least 1; NaN where no frame reaches.
    """
    total = np.zeros((box.height, box.width), np.float32)
    weight, square = np.zeros_like(total), np.zeros_like(total)
    noise = {patch.index: max(abs(patch.gain) * noise_std(patch.image), NOISE_FLOOR) for patch in patches}
    for piece in pieces(patches, box):
        rows, columns = piece.edge_distance()
        taper = (np.minimum(distance / TAPER_PX, np.float32(1)) for distance in (rows, columns))
        own = piece.weighted(*taper) * np.float32((NOISE_FLOOR / noise[piece.index]) ** 2)
        total[piece.area] += own * piece.image
        weight[piece.area] += own
        square[piece.area] += own**2
    return divided(total, weight), divided(weight**2, square)
