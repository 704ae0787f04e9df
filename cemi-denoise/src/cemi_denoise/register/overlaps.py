"""Where frames overlap they show a place twice with independent noise: something to train on without a clean image.

Noise2Noise (Lehtinen et al., arXiv:1803.04189): a network that predicts one noisy view from another learns the mean,
the specimen. The view that goes in is only cropped, so that its noise is the microscope's; the other, the target, is
shifted by a fraction of a pixel with splines, which changes its noise but, up to 0.3 cycles per pixel, not what it
shows. What makes views useless is kept out: places that do not agree, and noise that is not independent (a recorder
that repeats frames, a running average, a pattern fixed in the pixels of a stage that rests).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.corrections import spread_over
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout
from cemi_denoise.noise.model import NoiseModel, estimate_noise_model, estimate_noise_sigma
from cemi_denoise.register.pair_registration import agreement_of
from cemi_denoise.register.registration import SMOOTHING_PX, comparable, fit_warp, is_significant
from cemi_denoise.register.warp import Warp, common_box, resampled

_LARGEST_PX = 512
_MARGIN_PX = 6
_FINE_PX = 0.8
_LARGEST_STRAY_PX = 8.0
#: Frames nearer than this show a pattern fixed in the pixels at one place of the specimen, px.
_RESTING_PX = 4.0
_LEAST_AGREEMENT = 0.85
#: Variance of the difference of two views over the sum of their own; 1 if their noise is independent.
_LEAST_INDEPENDENCE = 0.7
_FRAMES_FOR_NOISE = 6


@dataclass(frozen=True)
class Overlap:
    """Two views of one place.

    Attributes
    ----------
    frames : tuple of int
        Which frames: the one that goes into the network, and the target.
    noisy : ndarray of float32, shape (h, w)
        Cut out of the first frame, as it is.
    target : ndarray of float32, shape (h, w)
        The second frame on the same pixels, in the grey levels of the first.
    """

    frames: tuple[int, int]
    noisy: NDArray[np.float32]
    target: NDArray[np.float32]


@dataclass(frozen=True)
class OverlapSet:
    """Overlaps to train on, what their noise is like, and why others were left out.

    Attributes
    ----------
    overlaps : tuple of Overlap
    noise : NoiseModel
        Of single frames.
    rejected : tuple of (tuple of int, str)
        Pairs of frames that were looked at and not used, and why.
    """

    overlaps: tuple[Overlap, ...]
    noise: NoiseModel
    rejected: tuple[tuple[tuple[int, int], str], ...] = ()


def find_overlaps(
    frames: FrameSource, layout: Layout, patch_px: int = 96, seed: int = 0, most: int = 48, threads: int = 1
) -> OverlapSet:
    """Cut the overlaps out of frames, register them anew, and keep those that are good to train on.

    Parameters
    ----------
    frames : FrameSource
        Raw frames.
    layout : Layout
        Where they lie.
    patch_px : int
        Overlaps smaller than this are of no use, px.
    seed : int
        Chooses among more pairs than ``most``, and where to cut large overlaps.
    most : int
        Overlaps to keep; each holds up to 512 x 512 px twice, 2 MB.
    threads : int
        For OpenCV's part of the registration.

    Raises
    ------
    InputError
        No overlap can be used; the message says why.
    """
    cv2.setNumThreads(threads)
    candidates = list(_candidates(layout, patch_px))
    if not candidates:
        least_px = patch_px + 2 * _MARGIN_PX
        raise InputError(f"no two frames overlap by {least_px} px or more in both directions, so nothing can be learnt")
    rng = np.random.default_rng((seed, len(candidates)))
    found: list[Overlap] = []
    rejected: list[tuple[tuple[int, int], str]] = []
    for number in rng.permutation(len(candidates)):
        pair = candidates[int(number)] if rng.random() < 0.5 else candidates[int(number)][::-1]
        result = _overlap(frames, layout, pair, patch_px, rng)
        if isinstance(result, str):
            rejected.append((pair, result))
        else:
            found.append(result)
        if len(found) == most or len(rejected) >= 4 * most:
            break
    if not found:
        raise InputError(
            f"none of {len(rejected)} overlaps can be trained on: frames {rejected[0][0]}: {rejected[0][1]}"
        )
    return OverlapSet(tuple(found), _noise_of(found), tuple(rejected))


def _candidates(layout: Layout, smallest_px: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs of frames whose places are known and that overlap by ``smallest_px`` in both directions."""
    kept = sorted({(pair.first, pair.second) for pair in layout.pairs if pair.kept})
    everyone = (
        (first, int(second))
        for first in range(len(layout))
        for second in layout.frames_in(layout.frame_box(first))
        if second > first and layout.component[first] == layout.component[second]
    )
    places, sizes = layout.positions_px, layout.shapes
    for first, second in kept or everyone:
        overlap = np.minimum(places[first] + sizes[first], places[second] + sizes[second]) - np.maximum(
            places[first], places[second]
        )
        turned = layout.affine_of(first) is not None or layout.affine_of(second) is not None
        if overlap.min() >= smallest_px + 2 * _MARGIN_PX and not turned:
            yield first, second


def _overlap(
    frames: FrameSource, layout: Layout, pair: tuple[int, int], patch_px: int, rng: np.random.Generator
) -> Overlap | str:
    """Return the overlap of a pair of frames, or why it cannot be used."""
    shift = layout.positions_px[pair[0]] - layout.positions_px[pair[1]]
    if np.abs(shift).max() < _RESTING_PX:
        return "the stage rested, so that whatever is fixed in the pixels would be taken for specimen"
    first, second = (frames.read(index) for index in pair)
    box = _cut(first.shape, second.shape, shift, rng)
    noisy = np.ascontiguousarray(first[box[0] : box[0] + box[2], box[1] : box[1] + box[3]])
    around = [round(s) + c for s, c in zip(shift, box[:2], strict=True)]
    plain = second[around[0] : around[0] + box[2], around[1] : around[1] + box[3]]
    if not (np.isfinite(noisy).all() and np.isfinite(second).all()):
        return "pixels are missing"
    scaled = _to_greys_of(layout, pair, second, shift, first.shape)
    if reason := _dependent(noisy, plain, layout.gain[pair[1]] / layout.gain[pair[0]]):
        return reason
    start = Warp.shift(shift[0] + box[0], shift[1] + box[1], noisy.shape)
    doubt = np.nan_to_num(layout.residual_px[list(pair)], nan=1.0).max()
    reach = 0 if doubt < 0.5 else math.ceil(min(3 * doubt, 8.0))
    warp = fit_warp(comparable(noisy, _FINE_PX), comparable(scaled, _FINE_PX), start, 1, reach)
    top, left, height, width = common_box(warp, second.shape)
    if min(height, width) < patch_px:
        return "the overlap is too small"
    noisy = noisy[top : top + height, left : left + width]
    target = resampled(scaled, warp, top, left, height, width)
    target += np.float32(np.median(noisy) - np.median(target))
    if _strays(warp, start):
        return "the two views do not lie where the layout says"
    agreement = _agreement(noisy, target)
    if agreement < _LEAST_AGREEMENT:
        return f"the two views agree in {agreement:.0%} only of what their noise allows"
    return Overlap(pair, noisy, target)


def _strays(warp: Warp, start: Warp) -> bool:
    """Return whether a fitted warp has left its start by more than a layout can be wrong."""
    corners = np.array([0.0, warp.shape[0] - 1.0])[:, None], np.array([0.0, warp.shape[1] - 1.0])[None, :]
    moved = warp.displacement(*corners) - start.displacement(*corners)
    return bool(np.abs(moved).max() > _LARGEST_STRAY_PX)


def _cut(
    first: tuple[int, ...], second: tuple[int, ...], shift: NDArray[np.float64], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of a part of the overlap in the first frame, at most 512 px a side."""
    starts, sizes = [], []
    for axis in (0, 1):
        low = max(math.ceil(-shift[axis]), 0) + _MARGIN_PX
        high = min(math.floor(second[axis] - 1 - shift[axis]), first[axis] - 1) + 1 - _MARGIN_PX
        size = max(min(high - low, _LARGEST_PX), 0)
        starts.append(low + int(rng.integers(max(high - low - size, 0) + 1)))
        sizes.append(size)
    return starts[0], starts[1], sizes[0], sizes[1]


def _to_greys_of(
    layout: Layout, pair: tuple[int, int], second: NDArray[np.float32], shift: NDArray[np.float64], shape: Sequence[int]
) -> NDArray[np.float32]:
    """Return the second frame as bright as the first shows the same place, by what the layout knows of brightness."""
    gains, offsets = layout.gain[list(pair)], layout.offset[list(pair)]
    scale: NDArray[np.float64] | float = gains[1]
    if layout.flat_field is not None:
        scale = gains[1] / spread_over(layout.flat_field, (second.shape[0], second.shape[1]))
    result = (scale * second + (offsets[1] - offsets[0])) / gains[0]
    if layout.flat_field is not None:
        flat = spread_over(layout.flat_field, (shape[0], shape[1]))
        # which pixel of the first frame shows the place of each of the second's, to the pixel: shading is smooth
        rows, columns = (
            np.clip(np.arange(n) - round(s), 0, m - 1) for n, s, m in zip(second.shape, shift, shape, strict=True)
        )
        result = result * flat[np.ix_(rows, columns)]
    return result.astype(np.float32)


def _dependent(first: NDArray[np.float32], second: NDArray[np.float32], gain: float) -> str:
    """Return why the noise of two views, registered to the pixel, is not independent; an empty text if it is.

    The difference of two views with noise of their own has the sum of their variances, or more if they show structure
    differently; it has less only if they share noise.
    """
    own = estimate_noise_sigma(first) ** 2 + (gain * estimate_noise_sigma(second)) ** 2
    together = estimate_noise_sigma(first - np.float32(gain) * second + np.float32(0.5)) ** 2
    if own == 0:
        return "there is no noise in it"
    if together < _LEAST_INDEPENDENCE * own:
        return f"the two views share {1 - together / own:.0%} of their noise, as repeated or averaged frames do"
    return ""


def _agreement(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return how well two views agree, see `agreement_of`; 0 if that could be chance."""
    seen = comparable(first), comparable(second)
    if not is_significant(float(np.corrcoef(seen[0].ravel(), seen[1].ravel())[0, 1]), first.size):
        return 0.0
    noise = [
        estimate_noise_model([view]).smoothed_variance(float(view.mean()), SMOOTHING_PX) for view in (first, second)
    ]
    return agreement_of(*seen, (noise[0], noise[1]))


def _noise_of(overlaps: Sequence[Overlap]) -> NoiseModel:
    chosen = np.unique(np.linspace(0, len(overlaps) - 1, _FRAMES_FOR_NOISE).astype(int))
    return estimate_noise_model([overlaps[int(number)].noisy for number in chosen])
