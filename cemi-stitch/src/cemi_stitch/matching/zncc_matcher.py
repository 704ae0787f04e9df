"""The matcher ``zncc``: zero-mean normalised cross-correlation, from level to level of a pyramid."""

from __future__ import annotations

from collections.abc import Sequence

from cemi_core.model.layout import PairShift
from cemi_stitch.frames.cache import PreparedFrames
from cemi_stitch.graph.candidate_pairs import Window
from cemi_stitch.matching.matcher import Matcher
from cemi_stitch.matching.pair_shift import matched


class ZnccMatcher(Matcher):
    """Searches each window by ZNCC on a pyramid; see `cemi_stitch.matching.pyramid_search`."""

    def match(self, frames: PreparedFrames, windows: Sequence[Window]) -> list[PairShift]:
        """Return the shifts of all windows; see `Matcher.match`."""
        return matched(frames, windows, self.options.together)
