"""Searches frames in no order: all pairs at low resolution, to propose which of them overlap, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from cemi_stitch.correlation.zncc import normalised, significance
from cemi_stitch.graph.candidate_pairs import Window

#: More frames than this are not searched without an order: the work grows with the square of their number.
MAX_FRAMES = 400
#: Longer side of the pictures that are compared, px; an overlap of 12 % is still 8 px wide.
SIDE_PX = 64
#: Partners that are proposed for each frame: up to eight lie around it.
PARTNERS = 8
#: How far a proposal may be wrong, px of these pictures.
REACH = 2.0
#: Pairs that are correlated at once.
BATCH = 64


@dataclass(frozen=True)
class _Spectra:
    """Transforms of small pictures, of their squares and of their masks, complex (n, H, W / 2 + 1)."""

    picture: Tensor
    square: Tensor
    mask: Tensor
    size: tuple[int, int]


def proposed_windows(
    pictures: Sequence[Tensor], factor: int, group: NDArray[np.int64], min_overlap: float
) -> list[Window]:
    """Return narrow windows for the pairs of frames that fit each other best, from all pairs not joined yet.

    Every shift that leaves an overlap is tried, each normalised over its own overlap (Padfield, IEEE Trans. Image
    Process. 21 (2012) 2706); each frame's best `PARTNERS` are proposed, by the significance of their correlation.

    Parameters
    ----------
    pictures : sequence of Tensor of float32, shape (h, w)
        Thumbnails without shading, NaN where nothing was imaged.
    factor : int
        Frame pixels per pixel of ``pictures``.
    group : ndarray of int, shape (n,)
        Frames of the same number hang together already and are not compared.
    min_overlap : float
        Smallest overlap, as a share of the frames' area.
    """
    longest = max(max(picture.shape) for picture in pictures)
    ratio = max(1.0, longest / SIDE_PX)
    small = [_shrunk(picture.numpy(), ratio) for picture in pictures]
    spectra = _spectra(small)
    area = min(picture.size for picture in small)
    pairs = np.argwhere((group[:, None] != group) & (np.arange(len(group))[:, None] < np.arange(len(group))))
    shifts, scores = np.zeros((len(pairs), 2)), np.zeros(len(pairs))
    for start in range(0, len(pairs), BATCH):
        part = slice(start, start + BATCH)
        shifts[part], scores[part] = _best_shifts(spectra, pairs[part], max(16.0, min_overlap * area))
    step = ratio * factor
    reach = REACH * step
    return [
        Window(int(i), int(j), (float(shift[0] * step), float(shift[1] * step)), (reach, reach))
        for (i, j), shift in ((pairs[n], shifts[n]) for n in _partners(pairs, scores, len(pictures)))
    ]


def _partners(pairs: NDArray[np.int64], scores: NDArray[np.float64], count: int) -> list[int]:
    """Return the numbers of the pairs that are among the best of either of their frames, in order."""
    taken, chosen = np.zeros(count, np.int64), []
    for n in np.argsort(-scores).tolist():
        i, j = pairs[n]
        if scores[n] > 0 and min(taken[i], taken[j]) < PARTNERS:
            taken[[i, j]] += 1
            chosen.append(n)
    return sorted(chosen)


def _shrunk(picture: NDArray[np.float32], ratio: float) -> NDArray[np.float32]:
    size = (max(1, round(picture.shape[1] / ratio)), max(1, round(picture.shape[0] / ratio)))
    valid = np.isfinite(picture)
    share = cv2.resize(valid.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(np.where(valid, picture, 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.where(share >= 0.5, total / np.maximum(share, 0.5), np.nan).astype(np.float32)


def _spectra(pictures: Sequence[NDArray[np.float32]]) -> _Spectra:
    sides = [2 * max(picture.shape[axis] for picture in pictures) - 1 for axis in (0, 1)]
    size = (next_fast_len(sides[0], True), next_fast_len(sides[1], True))
    parts: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
    for picture in pictures:
        valid = np.isfinite(picture)
        level = np.where(valid, picture - (picture[valid].mean() if valid.any() else 0), 0).astype(np.float32)
        for kept, values in zip(parts, (level, level**2, valid.astype(np.float32)), strict=True):
            kept.append(torch.fft.rfft2(torch.from_numpy(values), s=size))
    return _Spectra(torch.stack(parts[0]), torch.stack(parts[1]), torch.stack(parts[2]), size)


def _best_shifts(
    spectra: _Spectra, pairs: NDArray[np.int64], fewest: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the best shift of each pair, px of the small pictures, and its `significance`."""
    a, b = torch.from_numpy(pairs[:, 0].copy()), torch.from_numpy(pairs[:, 1].copy())

    def correlated(first: Tensor, second: Tensor) -> Tensor:
        product: Tensor = torch.fft.irfft2(first[a] * second[b].conj(), s=spectra.size)
        return product

    count = correlated(spectra.mask, spectra.mask).round().clamp_min(0)
    moments_a = correlated(spectra.picture, spectra.mask), correlated(spectra.square, spectra.mask)
    moments_b = correlated(spectra.mask, spectra.picture), correlated(spectra.mask, spectra.square)
    product = correlated(spectra.picture, spectra.picture)
    score = significance(*normalised(product, count, moments_a, moments_b, torch.tensor([fewest])))
    best = score.flatten(1).max(1)
    place = np.stack(np.unravel_index(best.indices.numpy(), spectra.size), 1).astype(np.float64)
    wrapped = np.where(place > np.array(spectra.size) / 2, place - spectra.size, place)
    return wrapped, best.values.numpy().astype(np.float64)
