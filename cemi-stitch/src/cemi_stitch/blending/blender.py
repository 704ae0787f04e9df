"""What a way of blending offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box, Patch

Image = NDArray[np.float32]


class Blender(ABC):
    """Joins frames into a piece of the mosaic; add a subclass to `cemi_stitch.methods.BLENDERS`."""

    @abstractmethod
    def blend(self, patches: Sequence[Patch], box: Box) -> Image:
        """Return the mosaic in ``box``, float32 (box.height, box.width), NaN where no patch reaches.

        Parameters
        ----------
        patches : sequence of Patch
            All frames that reach ``box`` grown by the method's ``margin_px``, in any order; NaN pixels do not count.
        box : Box
            In mosaic pixels.
        """

    def blend_and_count(self, patches: Sequence[Patch], box: Box) -> tuple[Image, Image]:
        """Return the mosaic in ``box`` and the effective frame count of each pixel, float32 both.

        Raises
        ------
        NotImplementedError
            This way of blending does not count frames.
        """
        raise NotImplementedError(f"{type(self).__name__} does not count frames")
