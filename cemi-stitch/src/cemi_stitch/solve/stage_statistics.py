"""How the stage moved, as the layout shows it: step, speed, y step and backlash, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import Frame
from cemi_core.numeric.robust import mad_std

#: Steps that a statement about the stage needs at least.
MIN_STEPS = 4


@dataclass(frozen=True)
class StageMotion:
    """The stage's motion in px of the mosaic; NaN where the frames do not tell.

    Attributes
    ----------
    step_px, step_spread_px : float
        Median distance between frames that follow each other in a pass, and its robust standard deviation.
    speed_px_per_s : float
        Median speed along passes, from the frames' times.
    pass_step_px, pass_step_spread_px : float
        The same for the distance between neighbouring passes, across them.
    backlash_px : float
        How much the first step of a pass falls short of the others, median over passes.
    start_spread_px : float
        How far starts of passes scatter along them about their nominal places, robust standard deviation.
    """

    step_px: float
    step_spread_px: float
    speed_px_per_s: float
    pass_step_px: float
    pass_step_spread_px: float
    backlash_px: float
    start_spread_px: float


def stage_motion(frames: Sequence[Frame], positions_px: NDArray[np.float64], known: NDArray[np.bool_]) -> StageMotion:
    """Return how the stage moved between frames whose places were measured.

    Parameters
    ----------
    frames : sequence of Frame
    positions_px : ndarray, shape (n, 2)
    known : ndarray of bool, shape (n,)
        Frames that overlaps placed.
    """
    rows = np.array([frame.row for frame in frames])
    follows = np.flatnonzero((rows[1:] == rows[:-1]) & known[1:] & known[:-1])
    steps = positions_px[follows + 1] - positions_px[follows]
    along = _direction(steps)
    length = np.abs(steps @ along)
    times = np.array([np.nan if frame.time_s is None else frame.time_s for frame in frames])
    duration = times[follows + 1] - times[follows]
    timed = duration > 0
    first = (np.diff(rows, prepend=rows[:1] - 1) != 0)[follows]
    step, step_spread = _middle(length)
    pass_steps, starts = _between_passes(rows, positions_px, _nominal(frames), known, along)
    pass_step, pass_spread = _middle(pass_steps)
    enough = first.sum() >= MIN_STEPS and (~first).sum() >= MIN_STEPS
    return StageMotion(
        step_px=step,
        step_spread_px=step_spread,
        speed_px_per_s=_middle(length[timed] / duration[timed])[0],
        pass_step_px=pass_step,
        pass_step_spread_px=pass_spread,
        backlash_px=float(np.median(length[~first]) - np.median(length[first])) if enough else float("nan"),
        start_spread_px=_middle(starts)[1],
    )


def describe(motion: StageMotion) -> str:
    """Return the motion as a sentence for the report; empty without a measured step."""
    if not np.isfinite(motion.step_px):
        return ""
    text = f"The stage moved {motion.step_px:.1f} px (+- {motion.step_spread_px:.1f}) from frame to frame"
    if np.isfinite(motion.speed_px_per_s):
        text += f" at {motion.speed_px_per_s:.1f} px/s"
    if np.isfinite(motion.pass_step_px):
        text += f" and {motion.pass_step_px:.1f} px (+- {motion.pass_step_spread_px:.1f}) from pass to pass"
    if np.isfinite(motion.start_spread_px):
        text += f"; passes start {motion.start_spread_px:.1f} px off (one standard deviation)"
    if np.isfinite(motion.backlash_px) and motion.backlash_px > 3 * motion.step_spread_px / np.sqrt(MIN_STEPS):
        text += f"; the first step of a pass is {motion.backlash_px:.1f} px short (backlash)"
    return text + "."


def _nominal(frames: Sequence[Frame]) -> NDArray[np.float64]:
    return np.array([frame.position_px or (np.nan, np.nan) for frame in frames], np.float64).reshape(-1, 2)


def _direction(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit vector (y, x) along which most steps go, forth or back."""
    if not len(steps):
        return np.array([0.0, 1.0])
    values, vectors = np.linalg.eigh(steps.T @ steps)
    return np.asarray(vectors[:, int(np.argmax(values))])


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the median and the robust standard deviation; NaN of fewer than two values."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return float("nan"), float("nan")
    median = float(np.median(values))
    return median, float(mad_std(values, median))


def _between_passes(
    rows: NDArray[np.int64],
    positions: NDArray[np.float64],
    nominal: NDArray[np.float64],
    known: NDArray[np.bool_],
    along: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return distances of neighbouring passes across them, and offsets of passes along them from the nominal places."""
    across = np.array([along[1], -along[0]])
    numbers = [row for row in np.unique(rows).tolist() if (known & (rows == row)).any()]
    members = [known & (rows == row) for row in numbers]
    middle = np.array([np.median(positions[m] @ across) for m in members])
    neighbours = np.diff(numbers) == 1
    starts = np.array([float(((positions - nominal)[m] @ along)[0]) for m in members])
    return np.abs(np.diff(middle))[neighbours], np.diff(starts)[neighbours] / np.sqrt(2)
