"""Finds a brightness gain and offset per frame, so that overlapping frames agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csc_matrix, diags, hstack

from cemi_core.model.corrections import spread_over
from cemi_core.model.layout import PairShift
from cemi_core.numeric.robust import huber_weights, irls, mad_std, normal_solver
from cemi_stitch.frames.thumbnails import Thumbnail

#: What is known of gains (as logarithm) and offsets before looking: standard deviations. They keep errors from adding
#: up along a pass, and decide what overlaps leave open.
GAIN_SPREAD, OFFSET_SPREAD = 0.15, 0.05
#: How much shading makes one side of a frame differ from the other: standard deviations, as above. A shading and a
#: gradient over the mosaic cannot be told apart by overlaps; this decides between them.
GAIN_SHADING, OFFSET_SHADING = 0.02, 0.01
#: What of it is left where the flat field was looked for.
GAIN_SHADING_LEFT, OFFSET_SHADING_LEFT = 0.002, 0.001
#: The comparison of two frames is never taken as better than this (logarithm of the gain; offset).
GAIN_FLOOR, OFFSET_FLOOR = 0.003, 0.0005
#: Gains outside are taken as wrong and limited.
GAIN_RANGE = (0.25, 4.0)
#: Rounds of solving for gains or offsets and weighing overlaps anew.
ROUNDS = 6
#: Contrast (standard deviation on the [0, 1] scale) that an overlap needs to say something on the gain.
MIN_CONTRAST = 0.003


@dataclass(frozen=True)
class OverlapMoments:
    """Mean and standard deviation of two frames where they overlap; ``shift`` (y, x) in frame sizes."""

    first: int
    second: int
    means: tuple[float, float]
    deviations: tuple[float, float]
    shift: tuple[float, float]
    pixels: int


def equalised(
    thumbnails: Sequence[Thumbnail],
    factor: int,
    positions_px: NDArray[np.float64],
    pairs: Sequence[PairShift],
    flat_field: NDArray[np.float64] | None = None,
    shading_known: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return gain and offset of each frame, shape (n,): corrected = gain * image + offset on the [0, 1] scale.

    The overlaps of kept pairs are compared by standard deviation (gain) and mean (offset), which a misfit of a fraction
    of a pixel leaves alone. Gains are solved as logarithms, then offsets; both by sparse least squares with
    robust weights, drawn towards gain 1 and an unchanged mean as far as overlaps leave them open.

    Parameters
    ----------
    thumbnails : sequence of Thumbnail
        One per frame.
    factor : int
        Frame pixels per thumbnail pixel.
    positions_px : ndarray, shape (n, 2)
    pairs : sequence of PairShift
    flat_field : ndarray, shape (m, n), optional
        Shading that is removed from every frame first; see `Layout`.
    shading_known : bool
        Whether shading was looked for: then hardly any is left to be told from steps between frames.
    """
    shading = _shading(thumbnails, flat_field)
    count = len(thumbnails)
    found = [_moments(thumbnails, shading, factor, positions_px, pair) for pair in pairs if pair.kept]
    moments = [m for m in found if m is not None]
    if not moments:
        return np.ones(count), np.zeros(count)
    edges = np.array([(m.first, m.second) for m in moments])
    means = np.array([m.means for m in moments])
    deviations = np.maximum([m.deviations for m in moments], 1e-9)
    share = np.sqrt([m.pixels for m in moments])
    share /= share.max()
    contrast = deviations.min(axis=1) / (deviations.min(axis=1) + MIN_CONTRAST)
    ratio = np.log(deviations[:, 0] / deviations[:, 1])
    lean = np.array([m.shift for m in moments])
    known = Known(GAIN_SPREAD, GAIN_SHADING_LEFT if shading_known else GAIN_SHADING, GAIN_FLOOR)
    logarithm = _solve(edges, ratio, share * contrast**2, lean, np.zeros(count), known)
    gain = np.clip(np.exp(logarithm), *GAIN_RANGE)
    step = gain[edges[:, 0]] * means[:, 0] - gain[edges[:, 1]] * means[:, 1]
    level = np.array(
        [float(np.nanmean(t.image / shading[t.levels.shape])) if (t.levels > 0).any() else 0.0 for t in thumbnails]
    )
    known = Known(OFFSET_SPREAD, OFFSET_SHADING_LEFT if shading_known else OFFSET_SHADING, OFFSET_FLOOR)
    offset = _solve(edges, step, share, lean, (1 - gain) * level, known)
    return gain, offset


@dataclass(frozen=True)
class Known:
    """Standard deviations known beforehand: of the values, of the lean that shading gives a frame, of a comparison."""

    spread: float
    shading: float
    floor: float


def _solve(
    edges: NDArray[np.int64],
    difference: NDArray[np.float64],
    share: NDArray[np.float64],
    lean: NDArray[np.float64],
    centre: NDArray[np.float64],
    known: Known,
) -> NDArray[np.float64]:
    """Return v with v_j - v_i + lean_ij . b = difference_ij by robust least squares; b (y, x) is the shading.

    ``centre`` is what v is drawn to. The error of the differences is estimated from how well they fit together.
    """
    count = len(centre)
    row = np.repeat(np.arange(len(edges)), 2)
    sign = np.tile([-1.0, 1.0], len(edges))
    incidence = coo_matrix((sign, (row, edges.ravel())), shape=(len(edges), count))
    design = csc_matrix(hstack([incidence, csc_matrix(lean)]))
    goal = np.concatenate([centre, [0.0, 0.0]])
    prior = np.concatenate([np.full(count, known.spread**-2), np.full(2, known.shading**-2)])

    def reweigh(value: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        misfit = np.abs(design @ value - difference) * share
        error = max(float(mad_std(misfit)), known.floor)
        return huber_weights(misfit, 3 * error) * (share / error) ** 2

    solve = normal_solver(design, difference, diags(prior), prior * goal)
    value, _ = irls(solve, reweigh, (share / (known.spread / 5)) ** 2, ROUNDS)
    return value[:count]


def _shading(
    thumbnails: Sequence[Thumbnail], flat_field: NDArray[np.float64] | None
) -> dict[tuple[int, ...], NDArray[np.float64]]:
    """Return the shading of a thumbnail, to be divided by, for every shape that there is."""
    shapes = {(thumbnail.levels.shape[0], thumbnail.levels.shape[1]) for thumbnail in thumbnails}
    return {shape: np.ones(shape) if flat_field is None else spread_over(flat_field, shape) for shape in shapes}


def overlap_slices(
    first: tuple[int, ...], second: tuple[int, ...], shift: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Return what two pictures of shapes ``first`` and ``second`` see both, as slices of each; None if nothing.

    ``shift`` (y, x) is the place of the second in the first; an overlap narrower than 2 px counts as none.
    """
    cuts = []
    for axis in (0, 1):
        start, stop = max(0, shift[axis]), min(first[axis], second[axis] + shift[axis])
        if stop - start < 2:
            return None
        cuts.append((slice(start, stop), slice(start - shift[axis], stop - shift[axis])))
    return (cuts[0][0], cuts[1][0]), (cuts[0][1], cuts[1][1])


def _moments(
    thumbnails: Sequence[Thumbnail],
    shading: Mapping[tuple[int, ...], NDArray[np.float64]],
    factor: int,
    positions_px: NDArray[np.float64],
    pair: PairShift,
) -> OverlapMoments | None:
    """Compare two frames where they overlap; None where they hardly do."""
    shift = np.rint((positions_px[pair.second] - positions_px[pair.first]) / factor).astype(int).tolist()
    first, second = thumbnails[pair.first], thumbnails[pair.second]
    areas = overlap_slices(first.levels.shape, second.levels.shape, (shift[0], shift[1]))
    if areas is None:
        return None
    valid = (first.levels[areas[0]] > 0) & (second.levels[areas[1]] > 0)
    if valid.sum() < 16:
        return None
    means, deviations = [], []
    for thumbnail, area in zip((first, second), areas, strict=True):
        values = (thumbnail.levels[area].astype(np.float64) - 1) * thumbnail.step + thumbnail.low
        values = (values / shading[thumbnail.levels.shape][area])[valid]
        means.append(float(values.mean()))
        deviations.append(float(values.std()))
    lean = (shift[0] / first.levels.shape[0], shift[1] / first.levels.shape[1])
    return OverlapMoments(
        pair.first, pair.second, (means[0], means[1]), (deviations[0], deviations[1]), lean, int(valid.sum())
    )
