"""The matcher ``phase``: peaks of the phase correlation, verified by ZNCC."""

from __future__ import annotations

import math

from torch import Tensor

from cemi_stitch.correlation.phase_correlation import phase_peaks
from cemi_stitch.frames.filters import shading_sigma_px, without_shading
from cemi_stitch.graph.candidate_pairs import Window
from cemi_stitch.matching.matcher import ProposingMatcher, Shifts


class PhaseMatcher(ProposingMatcher):
    """Proposes the peaks of the phase correlation of unsmoothed frames."""

    needs_raw = True

    def propose(self, first: Tensor, second: Tensor, offset: tuple[int, int], window: Window) -> Shifts:
        """Return the peaks within the window, or the highest of all; see `ProposingMatcher.propose`."""
        sigma = shading_sigma_px(second.shape)
        reach = (math.ceil(window.reach_px[0]) + 1, math.ceil(window.reach_px[1]) + 1)
        middle = [round(s) - o for s, o in zip(window.shift_px, offset, strict=True)]
        far = (reach[0] + abs(middle[0]), reach[1] + abs(middle[1]))
        peaks = phase_peaks(
            without_shading(first, sigma), without_shading(second, sigma), far, self.options.smoothing_px
        )
        near = [peak for peak in peaks if all(abs(p - m) <= r for p, m, r in zip(peak, middle, reach, strict=True))]
        return [(float(y + offset[0]), float(x + offset[1])) for y, x in near or peaks[:1]]
