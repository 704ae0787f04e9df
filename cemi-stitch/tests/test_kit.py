"""The built-in stitcher passes the kit that every stitcher must pass."""

from __future__ import annotations

from cemi_core.testing import StitcherTests
from cemi_stitch.stitcher import KorniaStitcher


class TestKorniaStitcher(StitcherTests):
    tolerance_px = 0.1

    def make(self) -> KorniaStitcher:
        return KorniaStitcher()
