"""Exposure: a brightness gain and offset per frame, so that overlapping frames agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csc_matrix, diags, identity
from scipy.sparse.linalg import splu

from cemi_core.model.layout import PairShift
from cemi_stitch.thumbnails import Thumbnail

#: Weight of "gain 1, offset 0" for each frame against one overlap of full weight: decides only what overlaps leave
#: open.
TOWARDS_IDENTITY = 1e-4
#: Gains outside are taken as wrong and limited.
GAIN_RANGE = (0.25, 4.0)
#: Contrast (standard deviation on the [0, 1] scale) that an overlap needs to say something on the gain.
MIN_CONTRAST = 0.003


def equalised(
    thumbnails: Sequence[Thumbnail], factor: int, positions_px: NDArray[np.float64], pairs: Sequence[PairShift]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return gain and offset of each frame, shape (n,): corrected = gain * image + offset on the [0, 1] scale.

    The overlaps of kept pairs are compared by standard deviation (gain) and mean (offset), which a sub-pixel misfit
    leaves alone. Gains are solved as logarithms, so that their geometric mean is 1; then offsets, with mean 0.
    """
    count = len(thumbnails)
    kept = [pair for pair in pairs if pair.kept]
    moments = [_overlap_moments(thumbnails, factor, positions_px, pair) for pair in kept]
    rows = [(p.first, p.second, *m) for p, m in zip(kept, moments, strict=True) if m is not None]
    if not rows:
        return np.ones(count), np.zeros(count)
    table = np.array(rows)
    edges, mean, spread, pixels = table[:, :2].astype(int), table[:, 2:4], table[:, 4:6], table[:, 6]
    weight = pixels / pixels.max()
    contrast = spread.min(axis=1) / (spread.min(axis=1) + MIN_CONTRAST)
    ratio = np.log(np.maximum(spread[:, 0], 1e-9) / np.maximum(spread[:, 1], 1e-9))
    gain = np.exp(_solve(count, edges, ratio, weight * contrast**4))
    gain = np.clip(gain, *GAIN_RANGE)
    step = gain[edges[:, 0]] * mean[:, 0] - gain[edges[:, 1]] * mean[:, 1]
    offset = _solve(count, edges, step, weight, centre=_pivot_offsets(thumbnails, gain))
    return gain, offset


def _pivot_offsets(thumbnails: Sequence[Thumbnail], gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the offsets that leave each frame's mean alone under its gain: where overlaps leave the offset open."""
    means = [float(np.nanmean(t.image)) if (t.levels > 0).any() else 0.0 for t in thumbnails]
    return (1 - gain) * np.array(means)


def _solve(
    count: int,
    edges: NDArray[np.int64],
    difference: NDArray[np.float64],
    weight: NDArray[np.float64],
    centre: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return v with v_j - v_i = difference_ij by weighted least squares, drawn weakly to ``centre`` (0)."""
    row = np.repeat(np.arange(len(edges)), 2)
    sign = np.tile([-1.0, 1.0], len(edges))
    incidence = csc_matrix(coo_matrix((sign, (row, edges.ravel())), shape=(len(edges), count)))
    goal = np.zeros(count) if centre is None else centre
    robust = np.ones(len(edges))
    value = goal
    for _ in range(4):
        w = diags(weight * robust)
        normal = csc_matrix(incidence.T @ w @ incidence + TOWARDS_IDENTITY * identity(count))
        value = splu(normal).solve(incidence.T @ (w @ difference) + TOWARDS_IDENTITY * goal)
        misfit = np.abs(incidence @ value - difference)
        scale = max(3 * 1.4826 * float(np.median(misfit)), 1e-3)
        robust = 1 / np.maximum(misfit / scale, 1.0)
    return value


def _overlap_moments(
    thumbnails: Sequence[Thumbnail], factor: int, positions_px: NDArray[np.float64], pair: PairShift
) -> tuple[float, float, float, float, int] | None:
    """Return (mean, mean, standard deviation, standard deviation, pixels) of both frames in their overlap."""
    shift = np.rint((positions_px[pair.second] - positions_px[pair.first]) / factor).astype(int)
    first, second = thumbnails[pair.first], thumbnails[pair.second]
    cuts: list[tuple[slice, slice]] = []
    for axis in (0, 1):
        start = max(0, int(shift[axis]))
        stop = min(first.levels.shape[axis], second.levels.shape[axis] + int(shift[axis]))
        if stop - start < 2:
            return None
        cuts.append((slice(start, stop), slice(start - int(shift[axis]), stop - int(shift[axis]))))
    a = first.levels[cuts[0][0], cuts[1][0]]
    b = second.levels[cuts[0][1], cuts[1][1]]
    valid = (a > 0) & (b > 0)
    if valid.sum() < 16:
        return None
    values = [(levels[valid].astype(np.float64) - 1) * t.step + t.low for levels, t in ((a, first), (b, second))]
    return (
        float(values[0].mean()),
        float(values[1].mean()),
        float(values[0].std()),
        float(values[1].std()),
        int(valid.sum()),
    )
