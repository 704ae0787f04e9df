"""What all filters here have in common: stacks, pixel types, missing pixels and the halo."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.frame import FrameSource, from_unit_range, to_unit_range
from cemi_core.model.layout import Layout
from cemi_core.model.result import Result
from cemi_core.model.stages import BlockInfo
from cemi_denoise.noise.box_mean import box_mean


@dataclass(frozen=True)
class PictureDenoiser(ABC):
    """A denoiser that takes one picture at a time, of any pixel type; a subclass gives `halo` and `one`.

    Parameters
    ----------
    threads : int
        Threads that OpenCV may use.
    """

    threads: int = field(default=1, kw_only=True, repr=False)

    @property
    @abstractmethod
    def halo(self) -> int:
        """Pixels around a block that its result depends on."""

    @abstractmethod
    def one(self, image: NDArray[np.float32], info: BlockInfo | None) -> NDArray[np.float32]:
        """Return a picture (h, w) without noise; pixels that are missing come back as they were."""

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
        check_pictures(block)
        cv2.setNumThreads(self.threads)  # here, since the setting does not travel to other processes
        stack = to_unit_range(block) if block.dtype.kind == "u" else block.astype(np.float32, copy=False)
        result = np.empty_like(stack)
        for index in np.ndindex(stack.shape[:-2]):
            result[index] = self.one(np.ascontiguousarray(stack[index]), info)
        return (
            from_unit_range(result, block.dtype) if block.dtype.kind == "u" else result.astype(block.dtype, copy=False)
        )

    def judge(self, raw: FrameSource, denoised: FrameSource, layout: Layout | None, executor: Executor) -> Result:
        """Return how far the frames denoised with this can be trusted; see `cemi_denoise.judge.invention`."""
        from cemi_denoise.judge.invention import judge_denoising

        # one that has learnt from the frames is not the one that is asked now, so it cannot be turned
        asked = None if self.still_learns else self
        return judge_denoising(asked, raw, denoised, layout, executor, self.second_opinion())

    @property
    def still_learns(self) -> bool:
        """Whether what denoises is not this, but what it becomes by learning from the frames."""
        return False

    def second_opinion(self) -> PictureDenoiser | None:
        """Return another denoiser to compare with when this one is judged, if there is one that tells something."""
        return None


@dataclass(frozen=True)
class PictureFilter(PictureDenoiser):
    """A denoiser that filters the neighbourhood of each pixel; a subclass gives `reach` and `filter`.

    Missing pixels (NaN, or not ``info.valid``) come back as they were. For their neighbours they are filled with the
    mean of what was imaged nearby, so that neither a hole nor the edge of the mosaic darkens what lies beside it.
    """

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

    def one(self, image: NDArray[np.float32], info: BlockInfo | None) -> NDArray[np.float32]:
        """Return a picture (h, w) filtered."""
        imaged = imaged_pixels(image, info)
        if imaged is None:
            return self.filter(image, None)
        filtered = self.filter(fill_missing(image, imaged, self.reach), imaged)
        return np.where(imaged, filtered, image)


def check_pictures(block: NDArray[Any]) -> None:
    """Raise an `InputError` unless ``block`` is a picture or a stack of pictures of a type that filters take."""
    if block.ndim not in (2, 3) or 0 in block.shape:
        raise InputError(f"a picture to denoise has shape (h, w) or (n, h, w), not {block.shape}")
    if block.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        raise InputError(f"a picture to denoise is uint8, uint16 or float in [0, 1], not {block.dtype}")


def imaged_pixels(image: NDArray[np.float32], info: BlockInfo | None) -> NDArray[np.bool_] | None:
    """Return where a picture was imaged, or None if everywhere: it is a number there, and ``info.valid``."""
    imaged = np.isfinite(image)
    if info is not None and info.valid is not None:
        imaged &= info.valid
    return None if imaged.all() else imaged


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
