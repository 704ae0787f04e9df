"""Unlinked groups: frames that no measured shift joins to the others go to their nominal positions, if good."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Degrees of freedom from which the stage's own error is judged, at least.
MIN_FREEDOM = 3


def islands_at_stage(
    positions_px: NDArray[np.float64],
    group: NDArray[np.int64],
    nominal_px: NDArray[np.float64],
    edges: NDArray[np.int64],
    shifts_px: NDArray[np.float64],
    stated_px: float | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return positions with every island moved as one to the mean of its nominal places, if the stage's errors allow.

    Steps from frame to frame add up: a chain of them errs more with every link. A stage that knows where it is errs by
    the same amount everywhere; then nominal places beat chains. Which of the two it is shows where shifts were
    measured: errors of places that are independent have half the variance of errors of steps, those that add up have
    more the longer the chain. Islands are moved only if the variance of the places is at most that of the steps. Where
    too few shifts were measured to tell, a stage that states its error is believed if none of them contradicts it.

    Parameters
    ----------
    positions_px : ndarray, shape (n, 2)
        Solved places, islands hanging on steps of the stage model.
    group : ndarray of int, shape (n,)
        Groups that measured shifts join; 0 is the largest.
    nominal_px : ndarray, shape (n, 2)
        NaN where unknown.
    edges : ndarray of int, shape (m, 2)
        Measured pairs.
    shifts_px : ndarray, shape (m, 2)
    stated_px : float, optional
        Largest error of a nominal place, if the stage states one.

    Returns
    -------
    positions_px : ndarray, shape (n, 2)
    sigma_px : ndarray, shape (2,), or None
        Standard error of the stage's places (y, x); None if nothing was moved.
    """
    known = np.asarray(np.isfinite(nominal_px).all(axis=1))
    main = (group == 0) & known
    if not len(edges) or main.all() or np.count_nonzero(main) < 2:
        return positions_px, None
    off = positions_px - nominal_px
    members = [np.flatnonzero((group == number) & known) for number in range(int(group.max()) + 1)]
    centred = [off[frames] - off[frames].mean(axis=0) for frames in members if len(frames) > 1]
    freedom = sum(len(part) - 1 for part in centred)
    both = known[edges].all(axis=1)
    steps = (shifts_px - (nominal_px[edges[:, 1]] - nominal_px[edges[:, 0]]))[both]
    if not len(steps):
        return positions_px, None
    if freedom < MIN_FREEDOM:
        if stated_px is None or (np.abs(steps) > 2 * stated_px).any():
            return positions_px, None
        variance = np.full(2, stated_px**2 / 3)  # of errors that are equally likely up to the largest
    else:
        variance = sum((part**2).sum(axis=0) for part in centred) / freedom
        if (variance > np.mean(steps**2, axis=0)).any():
            return positions_px, None
    moved = positions_px.copy()
    for frames in members[1:]:
        if len(frames):
            island = group == group[frames[0]]
            moved[island] += off[main].mean(axis=0) - off[frames].mean(axis=0)
    return moved, np.asarray(np.sqrt(variance))
