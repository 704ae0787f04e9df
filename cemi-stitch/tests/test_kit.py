"""The built-in stitcher passes the kit that every stitcher must pass."""

from __future__ import annotations

from cemi_core.testing import StitcherTests


class TestKorniaStitcher(StitcherTests):
    name = "kornia"
    more_settings = ({"blend": "average"},)
    tolerance_px = 0.1
