"""Rectification: straightens turned frames, matches them again and solves the layout anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.corrections import CorrectedFrames
from cemi_core.model.frame import Frame, FrameSource
from cemi_core.model.layout import Layout, PairShift
from cemi_core.numeric.significance import significance
from cemi_stitch.distortion.frame_affine import corner_px
from cemi_stitch.distortion.scan_geometry import with_geometry
from cemi_stitch.graph.acceptance import FINE_FLOOR
from cemi_stitch.graph.candidate_pairs import Window
from cemi_stitch.matching.match_pairs import accepted
from cemi_stitch.settings import KorniaSettings
from cemi_stitch.solve.layout import solve_layout

#: Rounds of straightening, and the change of a frame's corners, px, below which no more is worth it.
ROUNDS, SETTLED_PX = 4, 0.05
#: What straightening must add to the `significance` of a frame's pairs, or the frame is left as it was.
CLEARLY = 6.0
#: Half the window in which a pair of straightened frames is matched, px.
REACH_PX = 12.0
#: Turned frames that are named in a note.
MAX_NAMED = 5

Rematch = Callable[[FrameSource, Sequence[Window]], list[PairShift]]


def with_upright_frames(
    source: FrameSource, layout: Layout, settings: KorniaSettings, rematch: Rematch | None
) -> Layout:
    """Return the layout in which turned frames have their maps, and lie where their straightened pictures say.

    Frames whose pairs do not fit clearly better once they are straightened are left as they are.

    Parameters
    ----------
    source : FrameSource
    layout : Layout
        With the maps that were found, in ``affine``.
    settings : KorniaSettings
    rematch : callable, optional
        Matches pairs of straightened frames; without, the frames stay where they are.
    """
    half = (layout.shapes - 1) / 2
    before, total = layout, np.array(layout.affine)
    turned = _turned(total)
    for number in range(ROUNDS):
        if rematch is None:
            break
        upright = CorrectedFrames(source, None, total)
        solved = solve_layout(source.frames, _matched_again(upright, layout, turned, rematch), settings.tolerance)
        layout = with_geometry(upright, solved, settings.smoothing_px, turned)
        if number == 0:
            better = [n for n in turned if _significance(layout, n) > _significance(before, n) + CLEARLY]
            if len(better) < len(turned):
                total[[n for n in turned if n not in better]] = np.eye(2)
                again = replace(before, affine=total)
                return with_upright_frames(source, again, settings, rematch) if better else replace(before, affine=None)
        if layout.affine is None:
            break
        more = np.where(np.isin(np.arange(len(layout)), turned)[:, None, None], layout.affine, np.eye(2))
        if max(corner_px(more[n] - np.eye(2), half[n]) for n in turned) < SETTLED_PX:
            break
        total = more @ total
    layout = replace(layout, affine=total)
    return replace(layout, notes=(*layout.notes, note_on_turned(source.frames, layout, "straightened")))


def _turned(affine: NDArray[np.float64]) -> list[int]:
    found: list[int] = np.flatnonzero((affine != np.eye(2)).any(axis=(1, 2))).tolist()
    return found


def _significance(layout: Layout, frame: int) -> float:
    """Return how much the pairs of a frame fit beyond chance, in all."""
    own = [pair for pair in layout.pairs if frame in (pair.first, pair.second) and pair.overlap_px]
    return sum(float(significance(pair.quality, pair.overlap_px)) for pair in own)


def _matched_again(upright: FrameSource, layout: Layout, turned: Sequence[int], rematch: Rematch) -> list[PairShift]:
    """Return all pairs, those of turned frames matched anew around where the layout puts them."""
    known = [float(significance(pair.quality, pair.overlap_px)) for pair in layout.pairs if pair.kept]
    threshold = max(FINE_FLOOR, min(known, default=0.0))
    again = [n for n, pair in enumerate(layout.pairs) if pair.first in turned or pair.second in turned]
    windows = []
    for pair in (layout.pairs[n] for n in again):
        dy, dx = layout.positions_px[pair.second] - layout.positions_px[pair.first]
        windows.append(Window(pair.first, pair.second, (float(dy), float(dx)), (REACH_PX, REACH_PX)))
    pairs = list(layout.pairs)
    for n, fresh in zip(again, rematch(upright, windows), strict=True):
        pairs[n] = accepted(fresh, threshold)
    return pairs


def note_on_turned(frames: Sequence[Frame], layout: Layout, what: str) -> str:
    """Return a sentence that names the turned frames of a layout, how far they are turned, and ``what`` is done."""
    affine: NDArray[np.float64] = np.asarray(layout.affine)
    half = (layout.shapes - 1) / 2
    size = {n: corner_px(affine[n] - np.eye(2), half[n]) for n in range(len(layout))}
    turned = sorted((n for n in size if size[n] > 0), key=lambda n: -size[n])
    named = [f"{frames[n].name} by {_turn(affine[n])} ({size[n]:.1f} px at its corners)" for n in turned[:MAX_NAMED]]
    more = ", ..." if len(turned) > MAX_NAMED else ""
    verb = "frame is" if len(turned) == 1 else "frames are"
    return f"{len(turned)} {verb} turned or distorted against the others: {', '.join(named)}{more}; {what}."


def _turn(affine: NDArray[np.float64]) -> str:
    """Return the angle of a map, from x towards y, and its stretch if that is what there is."""
    angle = float(np.degrees(np.arctan2(affine[0, 1] - affine[1, 0], affine[0, 0] + affine[1, 1])))
    return f"{angle:+.2f} degrees"
