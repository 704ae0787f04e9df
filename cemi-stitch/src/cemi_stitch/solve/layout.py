"""Turns measured shifts into a layout: loops, stage model, global solve, and notes on what is weak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import Frame
from cemi_core.model.layout import Layout, PairShift
from cemi_stitch.graph.acceptance import drop_broken_loops
from cemi_stitch.graph.candidate_pairs import nominal_positions, tolerance_px
from cemi_stitch.graph.edges import NormalShift
from cemi_stitch.solve.covariance import position_sigma
from cemi_stitch.solve.disambiguation import choose_peaks
from cemi_stitch.solve.least_squares import NormalShiftEquations, components, solve_positions, solve_with_normal_shifts
from cemi_stitch.solve.stage_prior import PriorShifts, stage_prior
from cemi_stitch.solve.stage_statistics import describe, stage_motion
from cemi_stitch.solve.unlinked_groups import islands_at_stage

#: Places are rounded to a thousandth of a pixel, far below their error, so that whole-pixel places stay whole.
POSITION_DECIMALS = 3
#: A loop closes, and a shift agrees with the solution, within this distance.
LOOP_TOLERANCE_PX = 4.0
#: What the standard error of a shift cannot know (interpolation, distortion of the scan), px.
FLOOR_SIGMA_PX = 0.05


def step_slack_px(frames: Sequence[Frame], tolerance: float) -> tuple[float, float]:
    """Return how far off one nominal step may be, (y, x) in px: the largest tolerance of any frame."""
    slack = np.array([tolerance_px(frame, tolerance) for frame in frames]).max(axis=0)
    return float(slack[0]), float(slack[1])


def solve_layout(
    frames: Sequence[Frame], shifts: Sequence[PairShift], tolerance: float, normal_shifts: Sequence[NormalShift] = ()
) -> Layout:
    """Return the layout that the kept shifts agree on; frames that they do not reach are placed by the stage model.

    Parameters
    ----------
    frames : sequence of Frame
    shifts : sequence of PairShift
        Measured; those with ``kept=False`` are passed on with their reasons.
    tolerance : float
        Expected error of a nominal step as a share of the frame's size.
    normal_shifts : sequence of NormalShift
        Shifts across straight lamellae, of pairs that are not kept; the stage model says the rest.
    """
    across = {(one.first, one.second): one for one in normal_shifts}
    slack = step_slack_px(frames, tolerance)
    chosen = choose_peaks(len(frames), shifts, nominal_positions(frames), slack, LOOP_TOLERANCE_PX)
    pairs = drop_broken_loops(chosen, LOOP_TOLERANCE_PX)
    sigma = max(slack)
    positions, prior = _solved(frames, pairs, sigma)
    pairs, changed = _without_outliers(pairs, positions)
    if changed:
        positions, prior = _solved(frames, pairs, sigma)
    equations = None
    if normal_shifts:
        equations = _equations(normal_shifts)
        positions = _solved_with_normal_shifts(pairs, prior, equations, len(frames))
        pairs = _filled_in(pairs, positions, across)
    group = components(len(frames), _edges(pairs))
    joined = components(len(frames), np.concatenate([_edges(pairs), prior.edges]))
    shapes = np.array([frame.shape for frame in frames], np.int64)
    sigma_px = _sigma([pair for pair in pairs if (pair.first, pair.second) not in across], positions, prior, equations)
    kept_shifts = np.array([pair.shift_px for pair in pairs if pair.kept], np.float64).reshape(-1, 2)
    nominal = nominal_positions(frames)
    stated = [frame.position_tolerance_px for frame in frames if frame.position_tolerance_px is not None]
    largest = max(stated) if len(stated) == len(frames) else None
    positions, stage_sigma = islands_at_stage(positions, group, nominal, _edges(pairs), kept_shifts, largest)
    if stage_sigma is not None:
        sigma_px[group != 0] = stage_sigma
    positions = _side_by_side(positions, shapes, joined)
    return Layout(
        positions_px=np.round(positions - positions.min(axis=0), POSITION_DECIMALS),
        shapes=shapes,
        component=group,
        residual_px=_residuals(len(frames), pairs, positions),
        gain=np.ones(len(frames)),
        offset=np.zeros(len(frames)),
        placed_by_prior=group != 0,
        pairs=tuple(pairs),
        notes=(
            *_notes(frames, pairs, positions, group, joined),
            *_notes_on_peaks(shifts, chosen),
            *_notes_on_normal_shifts(normal_shifts),
        ),
        sigma_px=sigma_px,
    )


def _edges(pairs: Sequence[PairShift]) -> NDArray[np.int64]:
    return np.array([(p.first, p.second) for p in pairs if p.kept], np.int64).reshape(-1, 2)


def _errors(pairs: Sequence[PairShift]) -> NDArray[np.float64]:
    """Return the standard errors of the kept shifts, px."""
    stated = np.array([pair.sigma_px for pair in pairs if pair.kept], np.float64)
    return np.hypot(np.nan_to_num(stated), FLOOR_SIGMA_PX)


def _sigma(
    pairs: Sequence[PairShift],
    positions: NDArray[np.float64],
    prior: PriorShifts,
    normal_shifts: NormalShiftEquations | None,
) -> NDArray[np.float64]:
    """Return the standard error of each place, (y, x), px."""
    edges = _edges(pairs)
    shifts = np.array([pair.shift_px for pair in pairs if pair.kept], np.float64).reshape(-1, 2)
    residuals = shifts - (positions[edges[:, 1]] - positions[edges[:, 0]])
    return position_sigma(len(positions), edges, _errors(pairs), residuals, prior.edges, prior.spread_px, normal_shifts)


def _solved(
    frames: Sequence[Frame], pairs: Sequence[PairShift], sigma: float
) -> tuple[NDArray[np.float64], PriorShifts]:
    kept = [pair for pair in pairs if pair.kept]
    shifts = np.array([pair.shift_px for pair in kept], np.float64).reshape(-1, 2)
    error = _errors(pairs)
    prior = stage_prior(frames, nominal_positions(frames), _edges(pairs), shifts, sigma)
    positions = solve_positions(len(frames), _edges(pairs), shifts, error, prior.edges, prior.shifts_px, prior.sigma_px)
    return positions, prior


def _equations(normal_shifts: Sequence[NormalShift]) -> NormalShiftEquations:
    return NormalShiftEquations(
        np.array([(one.first, one.second) for one in normal_shifts], np.int64),
        np.array([one.normal for one in normal_shifts]),
        np.array([np.dot(one.normal, one.shift_px) for one in normal_shifts]),
        np.hypot([one.sigma_px for one in normal_shifts], FLOOR_SIGMA_PX),
    )


def _solved_with_normal_shifts(
    pairs: Sequence[PairShift], prior: PriorShifts, normal_shifts: NormalShiftEquations, count: int
) -> NDArray[np.float64]:
    shifts = np.array([pair.shift_px for pair in pairs if pair.kept], np.float64).reshape(-1, 2)
    return solve_with_normal_shifts(
        count,
        np.concatenate([_edges(pairs), prior.edges]),
        np.concatenate([shifts, prior.shifts_px]),
        np.concatenate([_errors(pairs), prior.sigma_px]),
        normal_shifts,
    )


def _filled_in(
    pairs: Sequence[PairShift], positions: NDArray[np.float64], across: Mapping[tuple[int, int], NormalShift]
) -> list[PairShift]:
    """Return the pairs, those known across lamellae kept, with the solution as their shift along the lamellae."""
    result = []
    for pair in pairs:
        one = across.get((pair.first, pair.second))
        if one is not None:
            solved = positions[pair.second] - positions[pair.first]
            normal = np.array(one.normal)
            shift = solved + (normal @ (one.shift_px - solved)) * normal
            measured = (float(shift[0]), float(shift[1]))
            pair = PairShift(pair.first, pair.second, measured, one.quality, one.overlap_px, one.sigma_px)
        result.append(pair)
    return result


def _misfits(pairs: Sequence[PairShift], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance between measured and solved shift of every pair, px."""
    if not pairs:
        return np.zeros(0)
    shifts = np.array([pair.shift_px for pair in pairs])
    first, second = np.array([(pair.first, pair.second) for pair in pairs]).T
    return np.asarray(np.linalg.norm(positions[second] - positions[first] - shifts, axis=1))


def _without_outliers(pairs: Sequence[PairShift], positions: NDArray[np.float64]) -> tuple[list[PairShift], bool]:
    """Drop kept shifts that disagree with the robust solution."""
    misfit = _misfits(pairs, positions)
    kept = np.array([pair.kept for pair in pairs], bool)
    if not kept.any():
        return list(pairs), False
    limit = max(LOOP_TOLERANCE_PX, 6 * float(np.median(misfit[kept])))
    bad = kept & (misfit > limit)
    result = [
        pair.dropped(f"disagrees with the solution by {d:.0f} px") if b else pair
        for pair, d, b in zip(pairs, misfit, bad, strict=True)
    ]
    return result, bool(bad.any())


def _residuals(count: int, pairs: Sequence[PairShift], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each frame's root mean square misfit over its kept pairs, px; NaN without pairs."""
    total, number = np.zeros(count), np.zeros(count)
    for pair, misfit in zip(pairs, _misfits(pairs, positions), strict=True):
        if pair.kept:
            total[[pair.first, pair.second]] += misfit**2
            number[[pair.first, pair.second]] += 1
    return np.asarray(np.sqrt(np.divide(total, number, out=np.full(count, np.nan), where=number > 0)))


def _side_by_side(
    positions: NDArray[np.float64], shapes: NDArray[np.int64], joined: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Lay groups that nothing joins beside each other, from left to right, not overlapping."""
    if joined.max(initial=0) == 0:
        return positions
    result, left = positions.copy(), 0.0
    order = sorted(range(joined.max() + 1), key=lambda g: int(np.flatnonzero(joined == g)[0]))
    for number in order:
        members = joined == number
        result[members] += [-result[members, 0].min(), left - result[members, 1].min()]
        left = float(np.ceil((result[members, 1] + shapes[members, 1]).max()))
    return result


def _notes(
    frames: Sequence[Frame],
    pairs: Sequence[PairShift],
    positions: NDArray[np.float64],
    group: NDArray[np.int64],
    joined: NDArray[np.int64],
) -> tuple[str, ...]:
    notes = []
    loose = np.flatnonzero(group != 0)
    nothing_kept = not any(pair.kept for pair in pairs)
    if len(frames) > 1 and nothing_kept:
        where = "side by side" if joined.max() > 0 else "by the stage model"
        why = (
            "No overlap between any two frames was found"
            if pairs
            else "By their positions no two frames overlap enough to be compared (see the setting min_overlap)"
        )
        notes.append(f"{why}; all {len(frames)} frames are placed {where}.")
    elif len(loose):
        names = ", ".join(frames[n].name for n in loose[:5].tolist()) + (", ..." if len(loose) > 5 else "")
        count = int(group.max())
        notes.append(
            f"{len(loose)} of {len(frames)} frames ({names}; {count} group{'s' if count > 1 else ''}) match no frame "
            "of the largest group and are placed by the stage model; their places are rough."
        )
        notes += [text for text in [describe(stage_motion(frames, positions, group == 0))] if text]
        if joined.max() > 0:
            notes.append("Frames without any known position were laid to the right of the others.")
    rejected = sum(not pair.kept for pair in pairs)
    if rejected:
        notes.append(f"{rejected} of {len(pairs)} compared pairs were not used; the table of pairs says why.")
    return tuple(notes)


def _notes_on_peaks(measured: Sequence[PairShift], chosen: Sequence[PairShift]) -> tuple[str, ...]:
    several = sum(bool(pair.kept and pair.candidates) for pair in measured)
    changed = sum(a.shift_px != b.shift_px for a, b in zip(measured, chosen, strict=True))
    if not changed:
        return ()
    return (f"{changed} of {several} pairs that fit at several shifts take another than the best fit, to close loops.",)


def _notes_on_normal_shifts(normal_shifts: Sequence[NormalShift]) -> tuple[str, ...]:
    if not normal_shifts:
        return ()
    return (
        f"{len(normal_shifts)} pairs show straight lamellae and tell their shift across them only; along the lamellae "
        "frames stand where the stage and other pairs say.",
    )
