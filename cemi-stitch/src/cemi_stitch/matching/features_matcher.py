"""The matcher ``features``: shifts that local features agree on, verified by ZNCC; rotation and scale."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from torch import Tensor

from cemi_core.model.frame import FrameSource
from cemi_stitch.correlation.features import Similarity, agreed_shifts, pair_matcher, similarity
from cemi_stitch.frames.cache import PreparedFrames
from cemi_stitch.graph.candidate_pairs import Window
from cemi_stitch.matching.matcher import ProposingMatcher, Shifts
from cemi_stitch.tasks import use_threads


class FeaturesMatcher(ProposingMatcher):
    """Proposes the shifts that most local features agree on."""

    nothing_found = "too few features agree on a shift"

    def propose(self, first: Tensor, second: Tensor, offset: tuple[int, int], window: Window) -> Shifts:
        """Return the shifts that features agree on; see `ProposingMatcher.propose`."""
        points = pair_matcher(self.options.features, self.options.device)(first, second)
        return [(y + offset[0], x + offset[1]) for y, x in agreed_shifts(*points)]

    def notes(self, source: FrameSource, windows: Sequence[Window]) -> tuple[str, ...]:
        """Return a sentence on the rotation and scale between frames; nothing if no pair tells."""
        return rotation_note(self.similarities(source, windows))

    def similarities(self, source: FrameSource, windows: Sequence[Window]) -> list[Similarity | None]:
        """Return rotation and scale between the frames of each window, None where too few features agree."""
        use_threads(self.options.threads)
        frames, found = PreparedFrames(source, self.options), []
        for window in windows:
            pieces = self.pieces(frames, window)
            points = None if pieces is None else pair_matcher(self.options.features, self.options.device)(*pieces[:2])
            found.append(None if points is None else similarity(*points))
        return found


def rotation_note(found: Sequence[Similarity | None]) -> tuple[str, ...]:
    """Return a sentence on the rotation and scale between frames; nothing if no pair told."""
    told = [one for one in found if one is not None]
    if not told:
        return ()
    turns, scales = [one.rotation_deg for one in told], [one.scale for one in told]
    return (
        f"Overlapping frames are turned against each other by {median(turns):.2f} degrees (at most "
        f"{max(abs(turn) for turn in turns):.2f}) and scaled by {median(scales):.4f} (medians of {len(told)} pairs).",
    )
