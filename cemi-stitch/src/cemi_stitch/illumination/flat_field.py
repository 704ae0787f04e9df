"""Flat field: the shading that all frames share, from their overlaps and from their mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import legvander
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csc_matrix, diags, hstack

from cemi_core.model.layout import PairShift
from cemi_core.numeric.robust import absolute_weights, factorised, huber_weights, irls, mad_std, normal_solver
from cemi_stitch.frames.thumbnails import Thumbnail
from cemi_stitch.illumination.gain_offset import GAIN_SPREAD, overlap_slices

#: The logarithm of the shading is a polynomial of this degree in y and x (lens and detector shading are smooth).
DEGREE = 4
#: Edge of the picture in which the shading is kept: linear interpolation between its points is right to 0.1 %.
POINTS = 33
#: Fewer frames do not tell shading from specimen.
MIN_FRAMES = 12
#: Standard deviation of the polynomial's coefficients known beforehand; leans are small, for overlaps alone cannot tell
#: them from a gain that drifts from frame to frame, ...
SHADING_SPREAD, LEAN_SPREAD = 0.1, 0.03
#: ... nor the mean over frames from a specimen that gets brighter along its length, by so much (log) per half a frame.
TREND_SPREAD = 0.02
#: What differs from 0 by this many standard errors is believed; a shading below `MIN_SHADING` (rms) is left alone.
SIGNIFICANT, MIN_SHADING = 3.0, 0.002
#: An overlap is compared in at most 4 x 4 cells, and at most this many overlaps are.
CELLS, MAX_PAIRS = 4, 2000
#: No comparison of two cells is better than this (logarithm); darker cells ([0, 1] scale) are not compared.
ERROR_FLOOR, MIN_BRIGHTNESS = 0.002, 0.02
#: Rounds of solving for the shading and weighing cells anew, the error (logarithm) of cells that the first one assumes,
#: and rounds for the leans.
ROUNDS, FIRST_ERROR, LEAN_ROUNDS = 6, 0.02, 30
#: Frames side by side that sample a specimen well enough to average it out; fewer do where a trend is reckoned with.
MIN_SAMPLES, MIN_SAMPLES_LEAN = 5, 2

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """Comparisons of overlaps: ``first`` and ``second`` frame (n,), places in both (n, 2; -1 to 1), log ratio (n,)."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    first_place: Array
    second_place: Array
    ratio: Array
    share: Array


def estimate_flat_field(
    thumbnails: Sequence[Thumbnail], factor: int, positions_px: Array, pairs: Sequence[PairShift]
) -> Array | None:
    """Return the shading that all frames share, or None where there is none to speak of or frames do not tell.

    A point of the specimen that two frames see at different places tells how the shading differs between these places;
    all overlaps together are solved for a polynomial and a gain per frame by robust least squares. What overlaps leave
    open (a small overlap says little on the middle of a frame) comes from the mean over frames of their own
    polynomials, as well as their scatter allows, but not what is the same across all passes if these are few. Only what
    is significant is kept.

    Parameters
    ----------
    thumbnails : sequence of Thumbnail
        One per frame; the pictures themselves are not needed.
    factor : int
        Frame pixels per thumbnail pixel.
    positions_px : ndarray, shape (n, 2)
    pairs : sequence of PairShift

    Returns
    -------
    ndarray of float64, shape (POINTS, POINTS), or None
        Relative brightness, mean 1, at points spread evenly over the frame, first to last pixel.
    """
    if len(thumbnails) < MIN_FRAMES:
        return None
    kept = [pair for pair in pairs if pair.kept]
    picked = kept[:: -(-len(kept) // MAX_PAIRS) or 1]
    cells = _cells(thumbnails, factor, positions_px, picked)
    mean, precision = _mean_shading(thumbnails, factor, positions_px)
    value, covariance = _solve(len(thumbnails), cells, mean, precision)
    value = _with_common_leans(_significant(value, covariance), cells)
    grid = np.linspace(-1, 1, POINTS)
    places = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    shading = np.exp(_basis(places) @ value).reshape(POINTS, POINTS)
    shading /= shading.mean()
    return shading if shading.std() >= MIN_SHADING else None


def _orders() -> list[tuple[int, int]]:
    """Return the degrees in y and x of every term, without the constant."""
    return [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i) if i + j]


def _is_lean() -> NDArray[np.bool_]:
    return np.array([i + j == 1 for i, j in _orders()])


def _basis(places: Array) -> Array:
    """Return the terms (products of Legendre polynomials) at ``places`` (n, 2), y and x from -1 to 1."""
    along_y, along_x = legvander(places[:, 0], DEGREE), legvander(places[:, 1], DEGREE)
    return np.stack([along_y[:, i] * along_x[:, j] for i, j in _orders()], -1)


def _centres(edges: NDArray[np.int64], size: int) -> Array:
    """Return the middles of the intervals between ``edges`` (px) as places in a frame of ``size``, -1 to 1."""
    return ((edges[:-1] + edges[1:]) / size) - 1


def _block_sums(image: Array, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Array:
    return np.add.reduceat(np.add.reduceat(image, rows[:-1], axis=0), columns[:-1], axis=1)


def _edges(length: int, cells: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, length, min(cells, max(length // 3, 1)) + 1).astype(np.int64))


def _cells(thumbnails: Sequence[Thumbnail], factor: int, positions_px: Array, pairs: Sequence[PairShift]) -> Cells:
    found = [part for pair in pairs for part in _compared(thumbnails, factor, positions_px, pair)]
    columns = [np.concatenate(column) for column in zip(*found, strict=True)] if found else []
    if not columns:
        none = np.zeros(0, np.int64)
        return Cells(none, none, np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), np.zeros(0))
    return Cells(*columns)


def _compared(
    thumbnails: Sequence[Thumbnail], factor: int, positions_px: Array, pair: PairShift
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Array, Array, Array, Array]]:
    """Yield the columns of `Cells` of one pair, if it overlaps."""
    first, second = thumbnails[pair.first], thumbnails[pair.second]
    shift = np.rint((positions_px[pair.second] - positions_px[pair.first]) / factor).astype(int)
    cuts = overlap_slices(first.levels.shape, second.levels.shape, (int(shift[0]), int(shift[1])))
    if cuts is None:
        return
    valid = (first.levels[cuts[0]] > 0) & (second.levels[cuts[1]] > 0)
    edges = [_edges(length, CELLS) for length in valid.shape]
    number = _block_sums(valid.astype(np.float64), *edges)
    brightness, places = [], []
    for thumbnail, cut in ((first, cuts[0]), (second, cuts[1])):
        image = np.where(valid, (thumbnail.levels[cut] - 1.0) * thumbnail.step + thumbnail.low, 0.0)
        brightness.append(_block_sums(image, *edges) / np.maximum(number, 1))
        centres = [_centres(edges[k] + cut[k].start, thumbnail.levels.shape[k]) for k in (0, 1)]
        places.append(np.stack(np.meshgrid(*centres, indexing="ij"), -1))
    good = (number >= 4) & (np.minimum(*brightness) > MIN_BRIGHTNESS)
    count = int(good.sum())
    ratio = np.log(brightness[0][good] / brightness[1][good])
    index = np.full(count, pair.first), np.full(count, pair.second)
    yield *index, places[0][good], places[1][good], ratio, np.sqrt(number[good] / number.max())


def _mean_shading(thumbnails: Sequence[Thumbnail], factor: int, positions_px: Array) -> tuple[Array, Array]:
    """Return the mean over frames of the polynomial fitted to each, and its precision (1 / variance) per term."""
    orders = _orders()
    fits = np.array([fit for thumbnail in thumbnails if (fit := _own_polynomial(thumbnail)) is not None])
    if len(fits) < MIN_FRAMES:
        return np.zeros(len(orders)), np.zeros(len(orders))
    middle = np.median(fits, axis=0)
    spread = np.maximum(mad_std(fits, middle, axis=0), 1e-4)
    inner = np.clip(fits, middle - 3 * spread, middle + 3 * spread)
    size = np.median([thumbnail.levels.shape for thumbnail in thumbnails], axis=0) * factor
    along_y, along_x = np.ptp(positions_px, axis=0) / size + 1  # frames that would lie side by side
    samples = [min(n, len(fits)) for n in (along_y * along_x, along_y, along_x)]
    number = np.array([samples[1] if j == 0 else samples[2] if i == 0 else samples[0] for i, j in orders])
    error = np.maximum(inner.std(axis=0), spread) / np.sqrt(np.maximum(number, 1))
    error = np.hypot(error, np.where(_is_lean(), TREND_SPREAD, ERROR_FLOOR / 2))
    usable = number >= np.where(_is_lean(), MIN_SAMPLES_LEAN, MIN_SAMPLES)
    return inner.mean(axis=0), np.where(usable, error**-2, 0.0)


def _own_polynomial(thumbnail: Thumbnail) -> Array | None:
    """Return the coefficients that fit the logarithm of one frame's brightness; None if much of it is missing."""
    edges = [_edges(length, 4 * CELLS) for length in thumbnail.levels.shape]
    valid = thumbnail.levels > 0
    number = _block_sums(valid.astype(np.float64), *edges)
    image = np.where(valid, (thumbnail.levels - 1.0) * thumbnail.step + thumbnail.low, 0.0)
    brightness = _block_sums(image, *edges) / np.maximum(number, 1)
    good = ((number > 0) & (brightness > MIN_BRIGHTNESS)).ravel()
    if good.mean() < 0.9:
        return None
    centres = [_centres(edges[k], thumbnail.levels.shape[k]) for k in (0, 1)]
    places = np.stack(np.meshgrid(*centres, indexing="ij"), -1).reshape(-1, 2)
    terms = np.column_stack([np.ones(len(places)), _basis(places)])[good]
    fit: Array = np.linalg.lstsq(terms, np.log(brightness.ravel()[good]), rcond=None)[0][1:]
    return fit


def _solve(count: int, cells: Cells, mean: Array, precision: Array) -> tuple[Array, Array]:
    """Return the coefficients of the shading and their covariance, from overlaps, mean shading and what was known."""
    terms, number = len(mean), len(cells.ratio)
    row = np.repeat(np.arange(number), 2)
    column = np.stack([cells.first, cells.second], -1).ravel()
    gains = coo_matrix((np.tile([1.0, -1.0], number), (row, column)), shape=(number, count))
    shading = _basis(cells.first_place) - _basis(cells.second_place)
    design = csc_matrix(hstack([gains, csc_matrix(shading)]))
    beforehand = np.where(_is_lean(), LEAN_SPREAD, SHADING_SPREAD) ** -2
    known = np.concatenate([np.full(count, GAIN_SPREAD**-2), precision + beforehand])
    goal = np.concatenate([np.zeros(count), precision * mean])
    unit = np.zeros((count + terms, terms))
    unit[count:] = np.eye(terms)

    def reweigh(value: Array, round_number: int) -> Array:
        misfit = np.abs(design @ value - cells.ratio) * cells.share
        error = max(float(mad_std(misfit)), ERROR_FLOOR) if number else FIRST_ERROR
        return huber_weights(misfit, 2 * error) * (cells.share / error) ** 2

    solve, prior = normal_solver(design, cells.ratio, diags(known), goal), diags(known)
    _, weight = irls(solve, reweigh, (cells.share / FIRST_ERROR) ** 2, ROUNDS - 1)
    factors = factorised(design, weight, prior)
    value: Array = factors.solve(design.T @ (weight * cells.ratio) + goal)
    covariance: Array = factors.solve(unit)[count:]
    return value[count:], covariance


def _significant(value: Array, covariance: Array) -> Array:
    """Return ``value`` without those of its independent parts that may be chance."""
    variance, axes = np.linalg.eigh((covariance + covariance.T) / 2)
    parts = axes.T @ value
    return axes @ np.where(np.abs(parts) > SIGNIFICANT * np.sqrt(np.maximum(variance, 0)), parts, 0.0)


def _with_common_leans(value: Array, cells: Cells) -> Array:
    """Return ``value`` with leans only as large as the overlaps show in common (the sum of absolute misfits least).

    A few frames that are darker than their neighbours, a third of the mosaic, say, would else be taken for a lean.
    """
    lean = _is_lean()
    shading = _basis(cells.first_place) - _basis(cells.second_place)
    rest = cells.ratio - shading[:, ~lean] @ value[~lean]

    def solve(weight: Array) -> Array:
        terms = shading[:, lean] * weight[:, None]
        return np.asarray(np.linalg.lstsq(terms.T @ shading[:, lean], terms.T @ rest, rcond=1e-9)[0], np.float64)

    def reweigh(common: Array, number: int) -> Array:
        return absolute_weights(rest - shading[:, lean] @ common, ERROR_FLOOR, cells.share**2)

    common, _ = irls(solve, reweigh, cells.share**2, LEAN_ROUNDS)
    result = value.copy()
    agree = np.sign(common) == np.sign(value[lean])
    result[lean] = np.where(agree, np.sign(common) * np.minimum(np.abs(common), np.abs(value[lean])), 0.0)
    return result
