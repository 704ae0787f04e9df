"""Which scans of a pass to keep, so that neighbours overlap by the wanted share whatever the stage speed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemi_run.sources.video.motion import overlap_share


@dataclass(frozen=True)
class PlacedScan:
    """A whole scan with its measured place.

    Attributes
    ----------
    number : int
        Place among the measured scans of the pass.
    pixels : ndarray of uint8, shape (h, w)
        Coded brightness.
    time_s : float
        When its last line was drawn.
    position_px : tuple of float
        (y, x) from the first scan of the pass, px.
    shape : tuple of int
        (height, width) of what will be kept of it, px.
    doubt_px : float
        Sum over all steps so far that could not be measured, where the place follows from the speed before.
    lines_per_s : float
        Speed of the scan front.
    """

    number: int
    pixels: NDArray[np.uint8]
    time_s: float
    position_px: tuple[float, float]
    shape: tuple[int, int]
    doubt_px: float
    lines_per_s: float


class OverlapPicker:
    """Keeps the scans whose overlap with the kept one before is nearest to the wanted; holds one scan in reserve.

    Parameters
    ----------
    wanted : float
        Wanted overlap of neighbours, share of the frame.
    least, most : float
        Allowed overlap. Where no scan falls between, the one with more overlap is taken, so that no gap opens.
    """

    def __init__(self, wanted: float = 0.45, least: float = 0.30, most: float = 0.60) -> None:
        self._wanted, self._least, self._most = wanted, least, most
        self._kept: PlacedScan | None = None
        self._reserve: PlacedScan | None = None

    def offer(self, scan: PlacedScan) -> list[PlacedScan]:
        """Take the next scan of the pass; return those that are now decided to be kept, in order."""
        if self._kept is None:
            return [self._keep(scan)]
        overlap = self._overlap(scan)
        if overlap > self._wanted:
            self._reserve = scan
            return []
        reserve = self._reserve
        if reserve is None or self._better(overlap, self._overlap(reserve)):
            return [self._keep(scan)]
        return [self._keep(reserve), *self.offer(scan)]

    def finish(self) -> list[PlacedScan]:
        """Return the last scan if it adds enough to the kept ones."""
        reserve = self._reserve
        return [self._keep(reserve)] if reserve is not None and self._overlap(reserve) <= self._most else []

    def _keep(self, scan: PlacedScan) -> PlacedScan:
        self._kept, self._reserve = scan, None
        return scan

    def _overlap(self, scan: PlacedScan) -> float:
        assert self._kept is not None
        a, b = self._kept.position_px, scan.position_px
        return overlap_share((b[0] - a[0], b[1] - a[1]), scan.shape)

    def _better(self, small: float, large: float) -> bool:
        """Return whether the smaller of two overlaps is the better one; the larger is above the wanted share."""
        if small < self._least:
            return False
        return large > self._most or self._wanted - small <= large - self._wanted
