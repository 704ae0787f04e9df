"""Search on thumbnails: correlates the small copies of two frames over wide windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cemi_stitch.correlation.zncc import overlap_zncc, significance
from cemi_stitch.frames.filters import shading_sigma_px, smoothed, without_shading
from cemi_stitch.frames.thumbnails import Thumbnail, make_thumbnail
from cemi_stitch.graph.acceptance import COARSE_FLOOR, permutation_threshold
from cemi_stitch.graph.candidate_pairs import Window

#: Pairs of thumbnails that are correlated at once.
BATCH = 16
#: Prepared thumbnails that are kept.
IMAGES_KEPT = 128
#: Pairs, at most, from which the score of chance matches is learned.
CHANCE_PAIRS = 60


@dataclass(frozen=True)
class CoarseMatches:
    """Best shifts of pairs of frames, found on thumbnails.

    Attributes
    ----------
    edges : ndarray of int, shape (m, 2)
        Frames i < j.
    shifts_px : ndarray of float, shape (m, 2)
        Position of j minus position of i, in px of the frames, to about one thumbnail pixel.
    score : ndarray of float, shape (m,)
        `significance` of the match.
    inside : ndarray of bool, shape (m,)
        Whether the best shift lies off the window's border; on the border it is not a peak.
    """

    edges: NDArray[np.int64]
    shifts_px: NDArray[np.float64]
    score: NDArray[np.float64]
    inside: NDArray[np.bool_]

    def above(self, threshold: float) -> CoarseMatches:
        """Return the peaks whose score is above ``threshold``."""
        return self.only(self.inside & (self.score > threshold))

    def only(self, some: NDArray[np.bool_]) -> CoarseMatches:
        """Return the matches where ``some`` is True."""
        return CoarseMatches(self.edges[some], self.shifts_px[some], self.score[some], self.inside[some])

    def joined(self, other: CoarseMatches) -> CoarseMatches:
        """Return the matches of both."""
        return CoarseMatches(
            np.concatenate([self.edges, other.edges]),
            np.concatenate([self.shifts_px, other.shifts_px]),
            np.concatenate([self.score, other.score]),
            np.concatenate([self.inside, other.inside]),
        )


class ThumbnailSearch:
    """Correlates thumbnails, freed of what varies slowly over them, over windows given in px of the frames.

    Parameters
    ----------
    thumbnails : sequence of Thumbnail
    factor : int
        Frame pixels per thumbnail pixel.
    min_overlap : float
        Smallest overlap, as a share of a frame's area.
    device : str
        A torch device.
    pattern : ndarray of float32, optional
        `fixed_pattern` of the frames, at full size; it is taken off.
    """

    def __init__(
        self,
        thumbnails: Sequence[Thumbnail],
        factor: int,
        min_overlap: float,
        device: str = "cpu",
        pattern: NDArray[np.float32] | None = None,
    ) -> None:
        self.thumbnails = thumbnails
        self.factor = factor
        self.min_overlap = min_overlap
        self.device = device
        self._pattern = None if pattern is None else make_thumbnail(pattern, factor).image
        self._image = lru_cache(maxsize=IMAGES_KEPT)(self._prepared)

    def _prepared(self, index: int) -> Tensor:
        """Return a thumbnail without shading, float32, NaN where nothing was imaged."""
        image = self.thumbnails[index].image
        if self._pattern is not None:
            image = image - self._pattern
        valid = torch.from_numpy(np.isfinite(image))
        picture = without_shading(smoothed(image, 0.0, "cpu"), shading_sigma_px(image.shape))
        return picture.masked_fill(~valid, math.nan)

    def pictures(self) -> list[Tensor]:
        """Return all thumbnails without shading, float32 (h, w), NaN where nothing was imaged."""
        return [self._prepared(index) for index in range(len(self.thumbnails))]

    def reach(self, window: Window) -> tuple[int, int]:
        """Return half the window in thumbnail px."""
        return math.ceil(window.reach_px[0] / self.factor), math.ceil(window.reach_px[1] / self.factor)

    def scores(self, windows: Sequence[Window], mirror: Sequence[int] = ()) -> Tensor:
        """Return the `significance` of every shift of windows of one size, shape (n, rows, columns).

        It is weighted by how far a shift is from the middle, if the windows expect their shifts there.
        ``mirror`` names axes along which the second picture is flipped, which destroys a match and keeps the texture.
        """
        first = _stack([self._image(w.first) for w in windows])
        second = _stack([self._image(w.second).flip(tuple(mirror)) for w in windows])
        centre = torch.tensor([[round(s / self.factor) for s in w.shift_px] for w in windows])
        fewest = torch.tensor([self._fewest_pixels(w) for w in windows])
        quality, count = overlap_zncc(
            first.to(self.device),
            second.to(self.device),
            centre.to(self.device),
            self.reach(windows[0]),
            fewest.to(self.device),
        )
        score = significance(quality, count).cpu()
        return score * self._expectation(windows[0])

    def _expectation(self, window: Window) -> Tensor:
        """Return the weight of each shift of a window: Cauchy's curve, a half at twice the expected spread."""
        rows, columns = (torch.arange(-reach, reach + 1) * self.factor for reach in self.reach(window))
        square = rows[:, None] ** 2 + columns**2
        return 1 / (1 + square / (2 * window.spread_px) ** 2)

    def match(self, windows: Sequence[Window], mirror: Sequence[int] = ()) -> CoarseMatches:
        """Return the best shift of each window."""
        shifts, score = np.zeros((len(windows), 2)), np.zeros(len(windows))
        is_inside = np.zeros(len(windows), bool)
        for numbers in self._batches(windows):
            group = [windows[n] for n in numbers]
            for n, window, plane in zip(numbers, group, self.scores(group, mirror), strict=True):
                score[n], is_inside[n] = float(plane.max()), inside(plane)
                shifts[n] = self.shift_at(window, int(plane.argmax()))
        edges = np.array([(w.first, w.second) for w in windows], np.int64).reshape(-1, 2)
        return CoarseMatches(edges, shifts, score, is_inside)

    def shift_at(self, window: Window, place: int) -> NDArray[np.float64]:
        """Return the shift in frame px at a flat index into the window's scores."""
        reach = self.reach(window)
        row, column = divmod(place, 2 * reach[1] + 1)
        middle = [round(s / self.factor) for s in window.shift_px]
        return self.factor * np.array([middle[0] + row - reach[0], middle[1] + column - reach[1]], np.float64)

    def chance_threshold(self, windows: Sequence[Window], rate: float) -> float:
        """Return the score that a share ``rate`` of false matches would exceed, from mirrored second frames."""
        picks = list(windows[:: max(1, len(windows) // CHANCE_PAIRS)])
        mirrors = [(0, 1), (0,), (1,)][: 1 if len(picks) > CHANCE_PAIRS // 3 else 3]
        scores = np.concatenate([self.match(picks, axes).score for axes in mirrors])
        return permutation_threshold(scores, rate, COARSE_FLOOR)

    def _batches(self, windows: Sequence[Window]) -> list[list[int]]:
        alike: dict[tuple[tuple[int, int], float], list[int]] = {}
        for n, window in enumerate(windows):
            alike.setdefault((self.reach(window), window.spread_px), []).append(n)
        return [group[k : k + BATCH] for group in alike.values() for k in range(0, len(group), BATCH)]

    def _fewest_pixels(self, window: Window) -> float:
        first, second = (self.thumbnails[n].levels.shape for n in (window.first, window.second))
        return max(16.0, self.min_overlap * float(min(first[0] * first[1], second[0] * second[1])))


def inside(plane: Tensor) -> bool:
    """Return whether the highest value of a plane lies off its border (sides of 3 and more)."""
    row, column = divmod(int(plane.argmax()), plane.shape[1])
    return 0 < row < plane.shape[0] - 1 and 0 < column < plane.shape[1] - 1


def _stack(images: Sequence[Tensor]) -> Tensor:
    """Return pictures as one batch; smaller ones are filled up with NaN."""
    height, width = (max(int(image.shape[axis]) for image in images) for axis in (0, 1))
    if all(image.shape == (height, width) for image in images):
        return torch.stack(list(images))
    pad = torch.nn.functional.pad
    return torch.stack([pad(i, (0, width - i.shape[1], 0, height - i.shape[0]), value=math.nan) for i in images])
