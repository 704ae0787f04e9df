"""What all filters here have in common: stacks, pixel types, missing pixels and the halo."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.frame import from_unit_range, to_unit_range
from cemi_core.model.stages import BlockInfo


@dataclass(frozen=True)
class PictureFilter(ABC):
    """A denoiser that filters one picture at a time; a subclass gives `reach` and `filter`.

    Missing pixels (NaN, or not ``info.valid``) come back as they were. For their neighbours they are filled with the
    mean of what was imaged nearby, so that neither a hole nor the edge of the mosaic darkens what lies beside it.

    Parameters
    ----------
    threads : int
        Threads that OpenCV may use.
    """

    threads: int = field(default=1, kw_only=True, repr=False)

    @property
    @abstractmethod
    def reach(self) -> int:
        """Pixels around a pixel that its result depends on, where nothing is missing."""

    @abstractmethod
    def filter(self, image: NDArray[np.float32], imaged: NDArray[np.bool_] | None) -> NDArray[np.float32]:
        """Return a picture (h, w) without noise; ``imaged`` is False where it was filled, None if nowhere."""

    @property
    def halo(self) -> int:
        """Pixels around a block that its result depends on: its reach, and that of filling what is missing."""
        return 2 * self.reach

    def __call__(self, block: NDArray[Any], info: BlockInfo | None = None) -> NDArray[Any]:
        """Return ``block`` without noise.

        Parameters
        ----------
        block : ndarray, shape (h, w) or (n, h, w)
            Floats in [0, 1] (NaN where nothing was imaged), or uint8 or uint16 over their full range.
        info : BlockInfo, optional
            Its ``valid`` tells what was imaged.

        Returns
        -------
        ndarray
            Same shape and type.

        Raises
        ------
        InputError
            The block has another number of axes or another type.
        """
        if block.ndim not in (2, 3) or 0 in block.shape:
            raise InputError(f"a picture to denoise has shape (h, w) or (n, h, w), not {block.shape}")
        if block.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
            raise InputError(f"a picture to denoise is uint8, uint16 or float in [0, 1], not {block.dtype}")
        cv2.setNumThreads(self.threads)  # here, since the setting does not travel to other processes
        valid = None if info is None else info.valid
        stack = to_unit_range(block) if block.dtype.kind == "u" else block.astype(np.float32, copy=False)
        result = np.empty_like(stack)
        for index in np.ndindex(stack.shape[:-2]):
            result[index] = self._one(np.ascontiguousarray(stack[index]), valid)
        return (
            from_unit_range(result, block.dtype) if block.dtype.kind == "u" else result.astype(block.dtype, copy=False)
        )

    def _one(self, image: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> NDArray[np.float32]:
        imaged = np.isfinite(image)
        if valid is not None:
            imaged &= valid
        if imaged.all():
            return self.filter(image, None)
        filtered = self.filter(fill_missing(image, imaged, self.reach), imaged)
        return np.where(imaged, filtered, image)


def fill_missing(image: NDArray[np.float32], imaged: NDArray[np.bool_], radius: int) -> NDArray[np.float32]:
    """Return ``image`` with the pixels that are not ``imaged`` set to the mean of those imaged within ``radius``.

    Pixels farther than that from anything imaged become 0; a filter of this reach does not see them.
    """
    known = np.where(imaged, image, np.float32(0))
    size = (2 * radius + 1, 2 * radius + 1)
    weight = box_mean(imaged.astype(np.float32), size)
    total = box_mean(known, size)
    # less than half a pixel's weight is rounding error of the running sums
    some = weight > 0.5 / (size[0] * size[1])
    fill = np.divide(total, weight, out=np.zeros_like(total), where=some)
    return np.where(imaged, known, fill)


def box_mean(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the mean over a (width, height) box around every pixel; the picture is mirrored at its edges."""
    return cv2.boxFilter(image, cv2.CV_32F, size, borderType=cv2.BORDER_REFLECT)
