"""Finds a fixed pattern: what stays at the same pixels of all frames, such as dust or the remains of a data bar.

A fixed pattern correlates at "no shift". The mean of all frames shows it; but where the specimen drifts by little, the
mean shows the specimen too, only blurred. So it takes two rounds: frames as they are and frames less their mean give
two layouts, and the one that explains more of the frames, by a specimen that moves and a pattern that stays, tells the
two apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import FrameSource
from cemi_stitch.frames.filters import shading_sigma_px, smoothed, without_shading

#: Fewer frames tell no pattern from specimen.
MIN_FRAMES = 4
#: Two halves of the frames show the same pattern if they correlate by this much.
MIN_AGREEMENT = 0.2
#: With this many frames, and up to so many pixels of a mosaic, specimen and pattern are told apart pixel by pixel.
MAX_FRAMES, MAX_CANVAS_PIXELS = 32, 40_000_000
#: Rounds of telling specimen from pattern; what they cannot tell apart stays with the specimen.
ROUNDS = 4
#: Bands of spatial frequency, up to one cycle in two pixels, in which pattern and noise are weighed.
BANDS = 32

Picture = NDArray[np.float32]


@dataclass(frozen=True)
class FrameSums:
    """Sums of the frames of even and of odd number, float32 (h, w), and how many there are of each."""

    sums: tuple[Picture, Picture]
    counts: tuple[int, int]

    def joined(self, other: FrameSums) -> FrameSums:
        """Return the sums over both."""
        return FrameSums(
            (self.sums[0] + other.sums[0], self.sums[1] + other.sums[1]),
            (self.counts[0] + other.counts[0], self.counts[1] + other.counts[1]),
        )


def summed(numbers: Sequence[int], frames: Sequence[Picture]) -> FrameSums:
    """Return the sums of frames (float32, one shape, NaN where nothing was imaged) with their numbers."""
    sums = (np.zeros(frames[0].shape, np.float32), np.zeros(frames[0].shape, np.float32))
    for number, frame in zip(numbers, frames, strict=True):
        valid = np.isfinite(frame)
        if not valid.all():
            frame = np.where(valid, frame, frame[valid].mean() if valid.any() else 0)
        np.add(sums[number % 2], frame, out=sums[number % 2])
    odd = sum(number % 2 for number in numbers)
    return FrameSums(sums, (len(numbers) - odd, odd))


def shared_picture(sums: FrameSums, smoothing_px: float) -> Picture | None:
    """Return what all frames share at the same pixels, freed of shading; None if that is nothing.

    Parameters
    ----------
    sums : FrameSums
    smoothing_px : float
        Standard deviation of the Gaussian that frames are smoothed with before matching.

    Returns
    -------
    ndarray of float32, shape (h, w), or None
        The mean of all frames, if the halves agree on it (`MIN_AGREEMENT`).
    """
    if sum(sums.counts) < MIN_FRAMES:
        return None
    halves = [_detail((total / count).astype(np.float32)) for total, count in zip(sums.sums, sums.counts, strict=True)]
    if _agreement(halves[0], halves[1], smoothing_px) < MIN_AGREEMENT:
        return None
    return ((sums.counts[0] * halves[0] + sums.counts[1] * halves[1]) / sum(sums.counts)).astype(np.float32)


@dataclass(frozen=True)
class Explanation:
    """What frames are made of, given where they lie.

    Attributes
    ----------
    pattern : ndarray of float32, shape (h, w), or None
        What stayed at the same pixels, to be taken off the frames; None if that is nothing.
    unexplained : float
        Variance that neither specimen nor pattern explains; the right places leave the least.
    """

    pattern: Picture | None
    unexplained: float


def explained(
    source: FrameSource, positions_px: NDArray[np.float64], shared: Picture, smoothing_px: float
) -> Explanation:
    """Tell what stayed at the same pixels from what moved with the specimen.

    Parameters
    ----------
    source : FrameSource
        Frames of one shape.
    positions_px : ndarray of float, shape (n, 2)
        Where the frames are thought to lie.
    shared : ndarray of float32, shape (h, w)
        `shared_picture` of the frames.
    smoothing_px : float
        Standard deviation of the Gaussian that frames are smoothed with before matching.
    """
    size = np.ceil(np.ptp(positions_px, axis=0)) + shared.shape + 4
    if size.prod() > MAX_CANVAS_PIXELS:
        return Explanation(_unmoved_part(shared, positions_px), 0.0)
    numbers = np.unique(np.linspace(0, len(positions_px) - 1, MAX_FRAMES).round().astype(int))
    frames = [_detail(source.read(int(n))) for n in numbers]
    places = positions_px[numbers] - positions_px.min(axis=0) + 2
    return _told_apart(frames, places, (int(size[0]), int(size[1])), smoothing_px)


def _told_apart(
    frames: list[Picture], places: NDArray[np.float64], size: tuple[int, int], smoothing_px: float
) -> Explanation:
    """Alternate between the specimen (mean of the frames where they lie) and the pattern (mean of what is left).

    After k rounds a pattern of spatial frequency f has come up to 1 - |c|^(2 k) of itself, c being the mean of
    exp(i f place) over the frames: where the movement cannot tell the two apart, |c| = 1, nothing is called pattern.
    """
    shape, wide = frames[0].shape, size[::-1]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    out = [np.array([[1, 0, -x], [0, 1, -y]], np.float64) for y, x in places]
    back = [np.array([[1, 0, x], [0, 1, y]], np.float64) for y, x in places]
    seen = np.zeros(size, np.float32)
    for move in out:
        seen += cv2.warpAffine(np.ones(shape, np.float32), move, wide, flags=flags)
    rest, pattern = list(frames), np.zeros(shape, np.float32)
    for _ in range(ROUNDS):
        specimen = np.zeros(size, np.float32)
        for frame, move in zip(frames, out, strict=True):
            specimen += cv2.warpAffine(frame - pattern, move, wide, flags=flags)
        specimen /= np.maximum(seen, 1)
        rest = [f - cv2.warpAffine(specimen, m, shape[::-1], flags=flags) for f, m in zip(frames, back, strict=True)]
        halves = [np.asarray(np.mean(rest[start::2], axis=0, dtype=np.float32)) for start in (0, 1)]
        pattern = np.mean(rest, axis=0, dtype=np.float32)
    unexplained = float(np.mean([smoothed(part - pattern, smoothing_px, "cpu").var() for part in rest]))
    if _agreement(halves[0], halves[1], smoothing_px) < MIN_AGREEMENT:
        return Explanation(None, unexplained)
    return Explanation(_neutral(halves), unexplained)


def _neutral(halves: list[Picture]) -> Picture:
    """Return the pattern that two halves of the frames show, taken back so far that it speaks neither for nor against.

    The mean over n frames holds the noise of each, so that two frames less the whole of it correlate negatively at no
    shift, by 1 / n of their noise. A share w of it leaves (1 - w)^2 of the pattern and takes (1 - (1 - w)^2) / n of the
    noise; the two cancel at w = 1 - sqrt(1 - p), p being the share of the pattern in the power of the mean. In bands of
    spatial frequency, p = 2 r / (1 + r) from the correlation r of the halves.
    """
    shape = halves[0].shape
    first, second = (np.fft.rfft2(half) for half in halves)
    radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    band = np.minimum((radius * 2 * BANDS).astype(np.int64), BANDS - 1).ravel()
    common = np.bincount(band, (first * second.conj()).real.ravel(), BANDS)
    power = [np.bincount(band, (np.abs(part) ** 2).ravel(), BANDS) for part in (first, second)]
    r = np.clip(common / np.maximum(np.sqrt(power[0] * power[1]), 1e-30), 0, 1)
    share = 1 - np.sqrt(1 - 2 * r / (1 + r))
    return np.fft.irfft2((first + second) / 2 * share[band].reshape(first.shape), s=shape).astype(np.float32)


def _unmoved_part(shared: Picture, places: NDArray[np.float64]) -> Picture:
    """Return ``shared`` without the spatial frequencies at which a moving specimen would show in the mean too."""
    height, width = shared.shape
    fy, fx = np.fft.fftfreq(height), np.fft.rfftfreq(width)
    phase_y = np.exp(2j * np.pi * places[:, :1] * fy).astype(np.complex64)
    phase_x = np.exp(2j * np.pi * places[:, 1:] * fx).astype(np.complex64)
    coherence = np.abs(phase_y.T @ phase_x / len(places)) ** 2
    return np.fft.irfft2(np.fft.rfft2(shared) * (1 - coherence), s=shared.shape).astype(np.float32)


def _detail(frame: Picture) -> Picture:
    """Return a frame without shading, 0 where nothing was imaged."""
    detail: Picture = without_shading(smoothed(frame, 0.0, "cpu"), shading_sigma_px(frame.shape)).numpy()
    return detail


def _agreement(first: Picture, second: Picture, smoothing_px: float) -> float:
    """Return the correlation of two smoothed pictures at the same pixels, 0 where one is flat."""
    a, b = (smoothed(picture, smoothing_px, "cpu").numpy() for picture in (first, second))
    product = float(np.vdot(a, a)) * float(np.vdot(b, b))
    return float(np.vdot(a, b)) / product**0.5 if product > 0 else 0.0
