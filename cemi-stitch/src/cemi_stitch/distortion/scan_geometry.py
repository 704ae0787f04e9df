"""Scan geometry: shear, rotation, scale and distortion that the frames share, with standard errors.

Overlaps alone cannot tell a shear, rotation or scale common to all frames: the mosaic is then distorted as a whole, and
consistently. These are seen against the stage's own steps, where frames come with positions that were not taken from
the pictures. A shear that differs from frame to frame (the stage moves forth and back, or at changing speed) and what
is not linear in the place within the frame show in the overlaps, whose parts then want different shifts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import Frame, FrameSource
from cemi_core.model.layout import Layout, ScanGeometry
from cemi_core.numeric.robust import irls, lstsq_solver, mad_std, tukey_weights
from cemi_stitch.correlation.block_shifts import LocalShifts, local_shifts
from cemi_stitch.distortion.frame_affine import as_affine, frame_turns, suspicious_pairs
from cemi_stitch.graph.candidate_pairs import nominal_positions

#: Pairs whose local shifts are measured, at most and at least.
MAX_PAIRS, MIN_PAIRS = 40, 6
#: Passes needed to tell the axes of stage and picture apart.
MIN_PASSES = 3
#: Groups of frames that are left out one after the other to learn standard errors.
MAX_GROUPS = 12
#: A number is worth a sentence if it is this many standard errors from none and moves something in a frame this far.
SURE, VISIBLE_PX = 4.0, 1.0
#: Change of speed between two frames, as a share of the median speed, from which their shears can be told apart.
MIN_SPEED_CHANGE = 0.2
#: Rounds of a robust fit, and standard deviations from which on a point does not count at all (Tukey's 4.7).
FIT_ROUNDS, OUTLIER = 8, 4.7
#: Lines that blocks of an overlap must lie from its middle for its shear to show.
MIN_LINES = 8


def with_geometry(source: FrameSource, layout: Layout, smoothing_px: float, turned: Sequence[int] = ()) -> Layout:
    """Return the layout with its scan geometry, maps of turned frames, and notes on what is worth a correction.

    Parameters
    ----------
    source : FrameSource
    layout : Layout
        Of frames as ``source`` gives them.
    smoothing_px : float
        Gaussian before local shifts are measured, px.
    turned : sequence of int
        Frames that were straightened already; what is left of their turn is told however small it is.
    """
    known = layout.component == 0
    geometry = against_stage(source.frames, layout.positions_px, known)
    kept = [p for p in layout.pairs if p.kept and known[p.first]]
    chosen = np.random.default_rng(0).permutation(len(kept))[:MAX_PAIRS]  # of all directions, whatever their order
    picks = [kept[n] for n in np.sort(chosen).tolist()]
    affine = None
    if len(picks) >= MIN_PAIRS:
        drawn = {(pair.first, pair.second) for pair in picks}
        others = [p for p in suspicious_pairs(layout, turned) if (p.first, p.second) not in drawn]
        local = local_shifts(source, [*picks, *others], smoothing_px)
        of_pair = np.array([(pair.first, pair.second) for pair in [*picks, *others]], np.int64)
        usual = local.part(local.pair < len(picks))
        speed = signed_speed(source.frames, layout)
        geometry = from_local_shifts(geometry, usual, of_pair[usual.pair], layout.shapes, speed)
        unbent = without_bend(local, usual, of_pair, layout.shapes)
        affine = as_affine(len(layout), frame_turns(len(layout), unbent, of_pair, layout.shapes, turned))
    notes = _notes(geometry, layout.shapes.max(axis=0), any(frame.time_s is not None for frame in source.frames))
    return replace(layout, geometry=geometry, affine=affine, notes=(*layout.notes, *notes))


def without_bend(
    local: LocalShifts, usual: LocalShifts, ends: NDArray[np.int64], shapes: NDArray[np.int64]
) -> LocalShifts:
    """Return local shifts without what the bend that all frames share, as ``usual`` shows it, puts into them.

    ``ends`` holds the frames of each pair, by the numbers in ``local.pair`` and ``usual.pair``.
    """
    bend = _bend(usual, ends[usual.pair], shapes)
    if len(bend) < 4 * bend.shape[1]:
        return local
    found, covariance = _fit_with_error(bend, _centred(usual.deviation_px, usual.pair), usual.pair)
    distortion = _distortion(found, covariance)
    if not distortion["distortion_px"] > SURE * distortion["distortion_px_error"]:
        return local
    return replace(local, deviation_px=local.deviation_px - _bend(local, ends[local.pair], shapes) @ found)


def against_stage(frames: Sequence[Frame], positions_px: NDArray[np.float64], known: NDArray[np.bool_]) -> ScanGeometry:
    """Return scale, rotation and shear of the pictures against the stage's nominal positions.

    A linear map from nominal to found positions, robust; its standard errors from leaving out one pass after the
    other, because frames of a pass share the error of its start, or groups of frames, whichever is larger. Frames of
    recordings tell nothing: their nominal positions come from the pictures.

    Parameters
    ----------
    frames : sequence of Frame
    positions_px : ndarray, shape (n, 2)
    known : ndarray of bool, shape (n,)
        Frames that overlaps placed.
    """
    nominal = nominal_positions(frames)
    use = known & np.isfinite(nominal).all(axis=1) & np.array([frame.time_s is None for frame in frames])
    passes = np.array([frame.row for frame in frames])[use]
    numbers = np.unique(passes)
    place, found = nominal[use], positions_px[use]
    if len(numbers) < MIN_PASSES or len(place) < 3 * MIN_PASSES or np.ptp(place, axis=0).min() <= 0:
        return ScanGeometry()
    value = _axes(place, found)
    scattered = np.random.default_rng(0).permutation(len(place)) % MAX_GROUPS
    error = np.maximum(_jackknife(place, found, passes), _jackknife(place, found, scattered))
    scale_y, scale_x, rotation, shear = map(float, value)
    return ScanGeometry(
        shear_px_per_line=shear,
        shear_px_per_line_error=float(error[3]),
        rotation_rad=rotation,
        rotation_rad_error=float(error[2]),
        scale_y=scale_y,
        scale_y_error=float(error[0]),
        scale_x=scale_x,
        scale_x_error=float(error[1]),
    )


def _jackknife(
    nominal: NDArray[np.float64], found: NDArray[np.float64], group: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the standard errors of `_axes` from leaving out one group of frames after the other."""
    numbers = np.unique(group)
    without = np.array([_axes(nominal[group != n], found[group != n]) for n in numbers])
    share = (len(numbers) - 1) / len(numbers)
    return np.asarray(np.sqrt(share * ((without - without.mean(axis=0)) ** 2).sum(axis=0)))


def _axes(nominal: NDArray[np.float64], found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (scale_y, scale_x, rotation, shear) of the robust linear map from nominal to found places."""
    design = np.column_stack([nominal, np.ones(len(nominal))])
    coefficients, _ = _robust_fit(design, found)
    (yy, xy), (yx, xx) = coefficients[:2]  # found (y, x) per nominal y, then per nominal x
    rotation = np.arctan2(yx, xx)
    # A picture sheared by s shows a step (dy, dx) of the stage as (dy, dx - s dy), turned by the rotation.
    return np.array([yy / np.cos(rotation), np.hypot(yx, xx), rotation, -xy / yy - np.tan(rotation)])


def _robust_fit(
    design: NDArray[np.float64], wanted: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the coefficients of ``design @ coefficients = wanted`` (Tukey's biweight) and the weights, shape (n,)."""

    def reweigh(coefficients: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        away = np.linalg.norm(wanted - design @ coefficients, axis=1)
        return tukey_weights(away, max(float(mad_std(away, times=OUTLIER)), 1e-6))

    return irls(lstsq_solver(design, wanted), reweigh, np.ones(len(design)), FIT_ROUNDS)


def signed_speed(frames: Sequence[Frame], layout: Layout) -> NDArray[np.float64]:
    """Return the speed of the stage at each frame towards larger x, shape (n,); NaN where unknown.

    In px per unit of time, or, for frames without times, just the direction of their pass (+1 or -1).
    """
    rows = np.array([frame.row for frame in frames])
    times = np.array([np.nan if frame.time_s is None else frame.time_s for frame in frames])
    speed = np.full(len(frames), np.nan)
    for row in np.unique(rows):
        members = np.flatnonzero((rows == row) & (layout.component == 0))
        if len(members) < 2:
            continue
        x = layout.positions_px[members, 1]
        if np.isfinite(times[members]).all() and (np.diff(times[members]) > 0).all():
            speed[members] = np.gradient(x, times[members])
        else:
            speed[members] = np.sign(x[-1] - x[0])
    return speed


def from_local_shifts(
    geometry: ScanGeometry,
    local: LocalShifts,
    ends: NDArray[np.int64],
    shapes: NDArray[np.int64],
    speed: NDArray[np.float64],
) -> ScanGeometry:
    """Return the geometry with what local shifts add: distortion, and shear where frames differ in it.

    Parameters
    ----------
    geometry : ScanGeometry
        What is known already.
    local : LocalShifts
    ends : ndarray of int, shape (m, 2)
        Frames (first, second) of each local shift.
    shapes : ndarray of int, shape (n, 2)
    speed : ndarray, shape (n,)
        See `signed_speed`.
    """
    bend = _bend(local, ends, shapes)
    half, first, second = _within(local, ends, shapes)
    typical = float(np.nanmedian(np.abs(speed))) if np.isfinite(speed).any() else np.nan
    drift = speed / typical if typical > 0 else np.full(len(speed), np.nan)
    lines = (drift[ends[:, 1]] * second[:, 0] - drift[ends[:, 0]] * first[:, 0]) * half[0]
    differ = np.abs(drift[ends[:, 1]] - drift[ends[:, 0]]) > MIN_SPEED_CHANGE
    deviation = _centred(local.deviation_px, local.pair)
    lines = _centred(np.nan_to_num(lines)[:, None], local.pair)
    tells = len(np.unique(local.pair[differ & (np.abs(lines[:, 0]) > MIN_LINES)])) >= MIN_PAIRS
    if tells:
        bend = np.column_stack([bend, lines])
    if len(deviation) < 4 * bend.shape[1]:
        return geometry
    found, covariance = _fit_with_error(bend, deviation, local.pair)
    if tells:
        shear, error = float(found[-1, 1]), float(np.sqrt(covariance[1][-1, -1]))
        geometry = replace(geometry, shear_px_per_line=shear, shear_px_per_line_error=error)
    return replace(geometry, **_distortion(found, covariance))


def _within(
    local: LocalShifts, ends: NDArray[np.int64], shapes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return half the largest frame, px, and the places of blocks within first and second frame, -1 to 1."""
    half = shapes.max(axis=0) / 2
    first = (local.first_px - (shapes[ends[:, 0]] - 1) / 2) / half
    second = (local.second_px - (shapes[ends[:, 1]] - 1) / 2) / half
    return half, first, second


def _bend(local: LocalShifts, ends: NDArray[np.int64], shapes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what each term of the bend puts into local shifts, shape (m, 7).

    What a frame's pixel shows lies bend(u) further than its place; the shift of a pair gains second minus first.
    """
    _, first, second = _within(local, ends, shapes)
    return _centred(_powers(second) - _powers(first), local.pair)


def _powers(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quadratic and cubic terms of places within the frame, -1 to 1 from edge to edge, shape (m, 7)."""
    y, x = place.T
    return np.stack([y * y, y * x, x * x, y**3, y * y * x, y * x * x, x**3], axis=1)


def _centred(values: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the values minus their mean in each group."""
    count = np.maximum(np.bincount(group), 1)[:, None]
    mean = np.stack([np.bincount(group, column) for column in values.T], axis=1) / count
    return np.asarray(values - mean[group])


def _fit_with_error(
    design: NDArray[np.float64], wanted: NDArray[np.float64], group: NDArray[np.int64]
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Return coefficients (k, 2), and their covariances for y and x; errors of one pair go together.

    Sandwich estimate with one cluster per pair: White, Econometrica 48 (1980) 817; Liang and Zeger, Biometrika 73
    (1986) 13.
    """
    coefficients, weight = _robust_fit(design, wanted)
    bread = np.linalg.pinv(design.T @ (weight[:, None] * design), rcond=1e-9)
    residual = wanted - design @ coefficients
    clusters = int(np.unique(group).size)
    covariance = []
    for axis in (0, 1):
        score = design * (weight * residual[:, axis])[:, None]
        total = np.stack([np.bincount(group, column) for column in score.T], axis=1)
        covariance.append(bread @ (total.T @ total) @ bread * clusters / max(clusters - 1, 1))
    return coefficients, covariance


def _distortion(found: NDArray[np.float64], covariance: list[NDArray[np.float64]]) -> dict[str, float]:
    """Return the root mean square displacement over the frame, without its linear part, and its standard error."""
    y, x = ((2 * axis.ravel() + 1) / 16 - 1 for axis in np.mgrid[:16, :16])
    terms = _powers(np.stack([y, x], 1))
    linear = np.column_stack([np.ones(len(y)), y, x])
    terms = terms - linear @ np.linalg.lstsq(linear, terms, rcond=None)[0]
    metric = terms.T @ terms / len(terms)
    square = [float(found[:7, axis] @ metric @ found[:7, axis]) for axis in (0, 1)]
    chance = [float(np.trace(metric @ covariance[axis][:7, :7])) for axis in (0, 1)]
    value = np.sqrt(max(sum(square) - sum(chance), 0.0))
    return {"distortion_px": float(value), "distortion_px_error": float(np.sqrt(sum(chance)))}


def _notes(geometry: ScanGeometry, shape: NDArray[np.int64], recorded: bool) -> list[str]:
    """Return a sentence for each number that is sure and large enough to see."""

    def sure(value: float, error: float, moved_px: float) -> bool:
        return abs(value) > SURE * error and abs(moved_px) > VISIBLE_PX

    g, notes = geometry, []
    if sure(g.shear_px_per_line, g.shear_px_per_line_error, g.shear_px_per_line * shape[0]):
        advice = "set deskew: true" if recorded else "scan and stage are not at right angles, or the stage moved"
        error = g.shear_px_per_line_error
        notes.append(f"The pictures are sheared by {g.shear_px_per_line:.3f} (+- {error:.3f}) px per line; {advice}.")
    if sure(g.rotation_rad, g.rotation_rad_error, g.rotation_rad * shape[1]):
        angle, error = np.degrees([g.rotation_rad, g.rotation_rad_error])
        notes.append(f"The stage's x axis lies at {angle:.2f} (+- {error:.2f}) degrees in the pictures.")
    for axis, scale, error, size in (
        ("y", g.scale_y, g.scale_y_error, shape[0]),
        ("x", g.scale_x, g.scale_x_error, shape[1]),
    ):
        if sure(scale - 1, error, (scale - 1) * size):
            notes.append(
                f"Steps along {axis} are {scale:.4f} (+- {error:.4f}) of what the stage says: its pixel size is off."
            )
    if sure(g.distortion_px, g.distortion_px_error, g.distortion_px):
        notes.append(f"The pictures are bent by {g.distortion_px:.1f} px (root mean square over a frame).")
    return notes
