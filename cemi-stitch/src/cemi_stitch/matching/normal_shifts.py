"""Normal shifts: pairs that show only straight lamellae tell their shift across them, and nothing along them.

This is the aperture problem. Such an overlap correlates all along a ridge, and so do overlaps that have nothing in
common, so its peak proves nothing. But where the stage is known to less than half a period, the phase of the lamellae
gives the shift across them to a fraction of a pixel; along the lamellae the stage decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout, PairShift
from cemi_core.numeric.noise import noise_std
from cemi_core.numeric.significance import significance
from cemi_core.numeric.structure_tensor import mean_tensor, principal_axis
from cemi_core.numeric.zncc import zncc
from cemi_stitch.frames.filters import smoothed
from cemi_stitch.graph.acceptance import FINE_FLOOR
from cemi_stitch.graph.edges import NormalShift
from cemi_stitch.tasks import batches, spread, use_threads

#: Standard errors above this, px, make a pair suspicious of being known in one direction only.
UNSURE_PX = 0.5
#: Square of the spread of directions (rad) up to which lamellae are straight: 6 degrees.
STRAIGHT = 0.01
#: Pixels at the edge of an overlap that are left out (smoothing saw nothing beyond), the shortest side of what is left,
#: and the most pixels that are compared.
EDGE_PX, MIN_SIDE_PX, MAX_PIXELS = 4, 16, 60_000
#: Least correlation, and the share of it that no other peak may reach.
MIN_QUALITY, RIVAL_SHARE = 0.2, 0.8
#: Distance within which a parabola is laid through the correlation, and from which on peaks are others, px.
NEAR_PX, ELSEWHERE_PX = 2.2, 3.0
#: Lamellae whose directions differ by less run the same way, rad.
SAME_WAY = 0.02
#: Independent pixels: one in so many after a Gaussian of 1.5 px.
PIXELS_PER_INDEPENDENT = 28
#: Pairs that one task measures.
PAIRS_PER_TASK = 8


#: Why the solve does not use a pair of straight lamellae whose shift across them is not known either.
AMBIGUOUS = "straight lamellae: unknown along them, and across them no single shift fits"


def straight_pairs(
    source: FrameSource,
    layout: Layout,
    smoothing_px: float,
    threads: int = 1,
    executor: Executor | None = None,
) -> list[int]:
    """Return the places in ``layout.pairs`` of those that show straight lamellae.

    Only pairs that were dropped though they correlate, or whose standard error is large, are looked at, and the others
    if one of them is straight.
    """
    unsure = [n for n, pair in enumerate(layout.pairs) if _is_unsure(pair)]
    found: list[int] = []
    for asked in (unsure, sorted(set(range(len(layout.pairs))) - set(unsure))):
        parts = batches([n for n in asked if layout.pairs[n].overlap_px], PAIRS_PER_TASK)
        calls = [(source, [layout.pairs[n] for n in part], smoothing_px, threads) for part in parts]
        for part, straight in zip(parts, spread(executor, show_straight_lamellae, calls), strict=True):
            found += [n for n, yes in zip(part, straight, strict=True) if yes]
        if not found:
            break
    return sorted(found)


def _is_unsure(pair: PairShift) -> bool:
    if not pair.kept:
        return float(significance(pair.quality, pair.overlap_px)) > FINE_FLOOR
    return pair.overlap_px > 0 and not pair.sigma_px <= UNSURE_PX


def show_straight_lamellae(
    source: FrameSource, pairs: Sequence[PairShift], smoothing_px: float, threads: int
) -> list[bool]:
    """Return whether the overlap of each pair shows straight lamellae; module-level, for any executor."""
    use_threads(threads)
    found = []
    for pair in pairs:
        first, second, noise = _prepared(source, pair.first, pair.second, smoothing_px)
        parts = _shared(first, second, np.rint(pair.shift_px))
        found.append(parts is not None and all(_lamellae(part, noise)[1] <= STRAIGHT for part in parts))
    return found


def measured_normal_shifts(
    source: FrameSource,
    expected: Sequence[tuple[int, int, tuple[float, float]]],
    reach_px: float,
    smoothing_px: float,
    threads: int = 1,
    executor: Executor | None = None,
) -> list[NormalShift]:
    """Return what pairs tell across straight lamellae.

    Parameters
    ----------
    source : FrameSource
    expected : sequence of (first, second, (dy, dx))
        Frames and the shift that the rest of the layout expects, px.
    reach_px : float
        How far off that may be, px: a pair that fits at several shifts within this distance tells nothing.
    smoothing_px : float
        Gaussian before frames are compared, px.
    threads : int
    executor : Executor, optional
    """
    calls = [(source, part, reach_px, smoothing_px, threads) for part in batches(expected, PAIRS_PER_TASK)]
    return _with_shared_normals([one for part in spread(executor, shifts_across, calls) for one in part if one])


def _with_shared_normals(found: Sequence[NormalShift]) -> list[NormalShift]:
    """Return the shifts, each with the mean normal of all that run nearly the same way.

    Chance differences between normals would else look like knowledge of the shift along the lamellae.
    """
    if not found:
        return []
    normals, pixels = np.array([one.normal for one in found]), np.array([one.overlap_px for one in found])
    angle = np.arctan2(normals[:, 1], normals[:, 0]) % np.pi
    order = np.argsort(angle)
    turned = np.concatenate([angle[order] - np.pi, angle[order], angle[order] + np.pi])
    weight = np.tile(pixels[order], 3)
    totals = [np.concatenate([[0.0], np.cumsum(values)]) for values in (weight, weight * turned)]
    width = np.maximum(SAME_WAY, 3 * np.array([one.normal_sigma_rad for one in found]))
    low, high = np.searchsorted(turned, angle - width, "left"), np.searchsorted(turned, angle + width, "right")
    mean = (totals[1][high] - totals[1][low]) / (totals[0][high] - totals[0][low])
    return [replace(one, normal=(float(np.cos(a)), float(np.sin(a)))) for one, a in zip(found, mean, strict=True)]


def shifts_across(
    source: FrameSource,
    expected: Sequence[tuple[int, int, tuple[float, float]]],
    reach_px: float,
    smoothing_px: float,
    threads: int,
) -> list[NormalShift | None]:
    """Return the shifts of a batch, None for pairs that tell nothing; module-level, for any executor."""
    use_threads(threads)
    found: list[NormalShift | None] = []
    for i, j, shift in expected:
        first, second, noise = _prepared(source, i, j, smoothing_px)
        told = _across(first, second, shift, reach_px, noise)
        found.append(None if told is None else NormalShift(i, j, *told))
    return found


def _prepared(
    source: FrameSource, first: int, second: int, smoothing_px: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Return two smoothed frames and the variance that noise gives to their gradients.

    White noise of deviation s has a variance of s^2 / (4 pi sigma^2) after a Gaussian of sigma, and pixels d apart a
    correlation of exp(-d^2 / (4 sigma^2)); gradients are half the difference of pixels 2 px apart.
    """
    sigma = max(smoothing_px, 0.5)
    raw = [source.read(n) for n in (first, second)]
    variance = (noise_std(raw[0]) ** 2 + noise_std(raw[1]) ** 2) / 2
    pictures = [smoothed(image, smoothing_px, "cpu").numpy() for image in raw]
    noise = variance / (4 * math.pi * sigma**2) * (1 - math.exp(-1 / sigma**2)) / 2
    return pictures[0], pictures[1], noise


def _across(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    expected: tuple[float, float],
    reach_px: float,
    noise: float,
) -> tuple[tuple[float, float], tuple[float, float], float, float, int, float] | None:
    """Return what `NormalShift` holds but for the frames, or None."""
    parts = _shared(first, second, np.rint(expected))
    if parts is None:
        return None
    normal, spread_squared, normal_sigma = _lamellae(parts[0], noise)
    shifts = _whole_shifts(expected, normal, reach_px)
    quality = np.array([_correlation(_shared(first, second, shift)) for shift in shifts])
    across = shifts @ np.array(normal)
    best = int(np.argmax(quality))
    inside = abs(across[best] - np.dot(normal, expected)) < reach_px - 1
    near = np.abs(across - across[best]) <= NEAR_PX
    if quality[best] < MIN_QUALITY or not inside or near.sum() < 4 or not _is_lonely(across, quality, best):
        return None
    bend, slope, _ = np.polyfit(across[near] - across[best], quality[near], 2)
    if bend >= 0:
        return None
    step, pixels = float(np.clip(-slope / (2 * bend), -NEAR_PX, NEAR_PX)), parts[0].size
    variance = 2 * max(1 - float(quality[best]), 1e-3) * PIXELS_PER_INDEPENDENT / (-2 * bend * pixels)
    sigma = math.sqrt(variance + (max(spread_squared, 0.0) + SAME_WAY**2 / 3) * reach_px**2 / 12)
    move = float(across[best]) + step - float(np.dot(normal, expected))
    shift = (expected[0] + move * normal[0], expected[1] + move * normal[1])
    return normal, shift, sigma, float(quality[best]), pixels, normal_sigma


def _is_lonely(across: NDArray[np.float64], quality: NDArray[np.float64], best: int) -> bool:
    """Return whether no other peak comes near the best."""
    order = np.argsort(across)
    line = np.concatenate([[-1.0], quality[order], [-1.0]])  # a slope that leads out of the window counts as a peak
    peak = (line[1:-1] >= line[:-2]) & (line[1:-1] >= line[2:])
    elsewhere = np.abs(across[order] - across[best]) > ELSEWHERE_PX
    return bool(max(quality[order][peak & elsewhere], default=-1.0) < RIVAL_SHARE * quality[best])


def _shared(
    first: NDArray[np.float32], second: NDArray[np.float32], shift: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Return what both frames show at a shift by whole pixels, less its edges; None if that is too little."""
    in_first, in_second = [], []
    for axis in (0, 1):
        by = int(shift[axis])
        start, stop = max(0, by) + EDGE_PX, min(first.shape[axis], by + second.shape[axis]) - EDGE_PX
        if stop - start < MIN_SIDE_PX:
            return None
        in_first.append(slice(start, stop))
        in_second.append(slice(start - by, stop - by))
    parts = first[tuple(in_first)], second[tuple(in_second)]
    keep = min(1.0, math.sqrt(MAX_PIXELS / parts[0].size))
    cut = [int(side * (1 - keep) / 2) for side in parts[0].shape]
    middle = tuple(slice(c, side - c) for c, side in zip(cut, parts[0].shape, strict=True))
    return parts[0][middle], parts[1][middle]


def _lamellae(picture: NDArray[np.float32], noise: float) -> tuple[tuple[float, float], float, float]:
    """Return the normal (y, x) of lamellae, the square of the spread of their directions (rad^2), and its own error.

    From the structure tensor less the variance that noise gives to gradients.
    """
    normal, eigenvalues = principal_axis(mean_tensor(picture))
    small, large = eigenvalues - noise
    if large <= noise:
        return normal, 1.0, math.pi
    error = math.sqrt(noise / large * PIXELS_PER_INDEPENDENT / picture.size)
    return normal, float(small / large), error


def _whole_shifts(expected: tuple[float, float], normal: tuple[float, float], reach_px: float) -> NDArray[np.float64]:
    """Return shifts by whole pixels along a line across the lamellae, shape (n, 2).

    They miss the line by half a pixel, along the lamellae, where it does not matter: so no picture is interpolated.
    """
    along = np.arange(-reach_px, reach_px + 0.25, 0.5)[:, None]
    return np.asarray(np.unique(np.rint(np.array(expected) + along * np.array(normal)), axis=0))


def _correlation(parts: tuple[NDArray[np.float32], NDArray[np.float32]] | None) -> float:
    return -1.0 if parts is None else zncc(*parts)
