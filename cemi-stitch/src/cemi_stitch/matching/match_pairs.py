"""Matches pairs at full resolution, in batches over an executor, and accepts what chance alone would not give."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import PairShift
from cemi_core.model.progress import Progress, silent
from cemi_core.model.stages import Journal
from cemi_core.numeric.significance import correlation_at, significance
from cemi_stitch.frames.cache import MatchOptions
from cemi_stitch.graph.acceptance import FINE_FLOOR, permutation_threshold
from cemi_stitch.graph.candidate_pairs import Window
from cemi_stitch.matching.matcher import match_windows
from cemi_stitch.tasks import batches, spread

#: Pairs that one task matches: a good 100 ms; and where a GPU takes all of them at once.
PAIRS_PER_TASK, PAIRS_TOGETHER = 48, 256
#: Pairs that cannot overlap, compared to learn what chance gives.
CHANCE_PAIRS = 40
#: Axes along which second frames are flipped so that they match only by chance; all three where pairs are few.
MIRRORS: tuple[tuple[int, ...], ...] = ((0, 1), (0,), (1,))


@dataclass(frozen=True)
class Matching:
    """How windows are matched: what with, who works, who is told.

    Attributes
    ----------
    source : FrameSource
    options : MatchOptions
    executor : Executor or None
        Runs the batches; None runs them here.
    progress : callable
        Called with (what is going on, done, total).
    journal : Journal or None
        Batches that it knows are not matched again.
    """

    source: FrameSource
    options: MatchOptions
    executor: Executor | None = None
    progress: Progress = silent
    journal: Journal | None = None


def matched(matching: Matching, windows: Sequence[Window], label: str = "matching") -> list[PairShift]:
    """Return the shifts of all windows, in order."""
    parts = batches(windows, PAIRS_TOGETHER if matching.options.together else PAIRS_PER_TASK)
    keys = [_key(part, matching.options) for part in parts]
    journal = matching.journal
    known = [journal.get(key) if journal is not None else None for key in keys]
    calls = [
        (matching.source, part, matching.options) for part, shifts in zip(parts, known, strict=True) if shifts is None
    ]
    fresh = spread(matching.executor, match_windows, calls)
    result: list[PairShift] = []
    for key, shifts in zip(keys, known, strict=True):
        if shifts is None:
            shifts = next(fresh)
            if journal is not None:
                journal.put(key, shifts)
        result += shifts
        matching.progress(label, len(result), len(windows))
    return result


def matched_beyond_chance(matching: Matching, windows: Sequence[Window], false_match_rate: float) -> list[PairShift]:
    """Return the shifts of all windows, those dropped whose correlation chance could give too."""
    measured = matched(matching, windows)
    threshold = {
        wide: _chance_threshold(matching, [window for window in windows if window.wide == wide], false_match_rate)
        for wide in {window.wide for window in windows}
    }
    return [accepted(pair, threshold[window.wide]) for pair, window in zip(measured, windows, strict=True)]


def _chance_threshold(matching: Matching, alike: Sequence[Window], false_match_rate: float) -> float:
    """Return the significance that a match must exceed, from pairs that cannot overlap."""
    picks = alike[:: max(1, len(alike) // CHANCE_PAIRS)]
    found = []
    for mirror in MIRRORS if len(picks) < CHANCE_PAIRS else MIRRORS[:1]:
        mirrored = replace(matching, options=replace(matching.options, mirror=mirror))
        found += matched(mirrored, picks, "learning chance")
    values = np.array([float(significance(p.quality, p.overlap_px)) for p in found if p.overlap_px])
    return permutation_threshold(values, false_match_rate, FINE_FLOOR)


def accepted(pair: PairShift, threshold: float) -> PairShift:
    """Drop a shift whose `significance` is below ``threshold``."""
    limit = correlation_at(threshold, pair.overlap_px)
    if pair.kept and pair.quality < limit:
        return pair.dropped(f"correlation {pair.quality:.2f} below the threshold {limit:.2f} found by permutation")
    return pair


def _key(windows: Sequence[Window], options: MatchOptions) -> str:
    """Return the name of a batch: the same pairs, windows and settings have the same name."""
    pattern = None if options.pattern is None else hashlib.sha256(options.pattern.tobytes()).hexdigest()
    places = [(w.first, w.second, w.shift_px, w.reach_px) for w in windows]
    text = repr((places, options.smoothing_px, options.mirror, pattern, options.features))
    return f"{options.matcher}-{windows[0].first}-{windows[-1].second}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
