"""Lists the weak overlaps of a mosaic: which are worst, which frame is to blame, and what they look like."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.model.corrections import adjusted
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Box
from cemi_stitch.quality.overlap_agreement import REACH_PX, Overlap

#: Places that are listed, those that are shown, and how many one frame may fill.
MAX_LISTED, MAX_SHOWN, MAX_PER_FRAME = 24, 8, 2
#: Edge of a thumbnail's panels, px, and the gap between them.
PANEL_PX, GAP_PX = 160, 4


@dataclass(frozen=True)
class WeakPlace:
    """An overlap that is wrong, and the frame of the two whose other overlaps are wrong as well."""

    overlap: Overlap
    suspect: int
    wrong: str

    @property
    def centre_px(self) -> tuple[float, float]:
        """(y, x) in the mosaic."""
        box = self.overlap.box
        return box.y + (box.height - 1) / 2, box.x + (box.width - 1) / 2


def weak_places(overlaps: Sequence[Overlap], layout: Layout) -> list[WeakPlace]:
    """Return the worst overlaps, worst first: by how much of the suspect's judged area is wrong, then by area lost."""
    bad: defaultdict[int, float] = defaultdict(float)
    judged: defaultdict[int, float] = defaultdict(float)
    for overlap in overlaps:
        for frame in (overlap.first, overlap.second):
            judged[frame] += overlap.area_px * (overlap.verdict != "unclear")
            bad[frame] += overlap.area_px * overlap.is_bad
    wrong = {frame: bad[frame] / judged[frame] for frame in judged if judged[frame]}
    found = []
    for overlap in (overlap for overlap in overlaps if overlap.is_bad):
        suspect = max((overlap.first, overlap.second), key=lambda frame: (wrong[frame], bad[frame]))
        found.append((-wrong[suspect], -_lost(overlap), suspect, overlap))
    matched = {(pair.first, pair.second): pair for pair in layout.pairs}
    places: list[WeakPlace] = []
    filled: Counter[int] = Counter()
    for _, _, suspect, overlap in sorted(found, key=lambda entry: entry[:3]):
        filled[suspect] += 1
        if filled[suspect] <= MAX_PER_FRAME and len(places) < MAX_LISTED:
            pair = matched.get((overlap.first, overlap.second))
            history = (
                "never compared" if pair is None else "match kept" if pair.kept else f"match rejected: {pair.reason}"
            )
            places.append(WeakPlace(overlap, suspect, f"{_what_is_wrong(overlap, suspect)}; {history}"))
    return places


def _lost(overlap: Overlap) -> float:
    """Return the area times the agreement that is missing."""
    reachable = overlap.best if overlap.verdict == "misplaced" else overlap.allowed
    return overlap.area_px * max(reachable - overlap.agreement, 0.0)


def _what_is_wrong(overlap: Overlap, suspect: int) -> str:
    if overlap.verdict == "differs":
        return (
            f"no agreement within {REACH_PX:.0f} px although the noise would allow {overlap.allowed:.2f}: "
            "farther off, or the pictures differ"
        )
    sign = 1 if suspect == overlap.second else -1
    dy, dx = (sign * part for part in overlap.misfit_px)
    about = "about " if overlap.distance_px < REACH_PX - 1 else "at least "
    return f"frame {suspect} fits better {about}{overlap.distance_px:.1f} px away (y {dy:+.1f}, x {dx:+.1f})"


def show_place(place: WeakPlace, source: FrameSource, layout: Layout) -> NDArray[np.uint8]:
    """Return panels side by side: first frame, second, their difference as placed, and at the best shift.

    The last one is left out where no shift helps. Middle grey is no difference; lightly smoothed.
    """
    overlap = place.overlap
    box = _middle(overlap.box)
    pictures = {n: _corrected(source, layout, n) for n in (overlap.first, overlap.second)}
    first = _crop(pictures[overlap.first], layout.positions_px[overlap.first], box)
    moves = [(0.0, 0.0)] + ([overlap.misfit_px] if overlap.verdict == "misplaced" else [])
    seconds = [
        _crop(pictures[overlap.second], layout.positions_px[overlap.second] + np.array(move), box) for move in moves
    ]
    known = np.concatenate([part[np.isfinite(part)] for part in (first, seconds[0])])
    low, high = np.percentile(known, (1, 99)) if known.size else (0.0, 1.0)
    width = max(float(high - low), 1e-6)
    panels = [
        *((image - low) / width for image in (first, seconds[0])),
        *(0.5 + (first - second) / width for second in seconds),
    ]
    gap = np.ones((box.height, GAP_PX), np.float32)
    row = [part for panel in panels for part in (panel, gap)][:-1]
    return np.asarray(np.clip(np.nan_to_num(np.hstack(row), nan=1.0) * 255, 0, 255), np.uint8)


def _middle(box: Box) -> Box:
    height, width = min(box.height, PANEL_PX), min(box.width, PANEL_PX)
    return Box(box.y + (box.height - height) // 2, box.x + (box.width - width) // 2, height, width)


def _corrected(source: FrameSource, layout: Layout, index: int) -> NDArray[np.float32]:
    image = cv2.GaussianBlur(np.ascontiguousarray(source.read(index), np.float32), (0, 0), 1.0)
    return adjusted(np.asarray(image, np.float32), float(layout.gain[index]), float(layout.offset[index]))


def _crop(image: NDArray[np.float32], position: NDArray[np.float64], box: Box) -> NDArray[np.float32]:
    """Return the part of a frame at ``position`` that lies in ``box``, NaN where it does not reach."""
    piece = np.full((box.height, box.width), np.nan, np.float32)
    y, x = box.y - math.floor(position[0] + 0.5), box.x - math.floor(position[1] + 0.5)
    inner = Box(y, x, box.height, box.width).clipped((image.shape[0], image.shape[1]))
    if inner.height and inner.width:
        piece[inner.y - y : inner.y - y + inner.height, inner.x - x : inner.x - x + inner.width] = image[inner.slices]
    return piece
