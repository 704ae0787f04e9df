"""Matches pairs at full resolution, in batches over an executor, and accepts what chance alone would not give."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import PairShift
from cemi_core.model.progress import Progress, silent
from cemi_core.model.stages import Journal
from cemi_core.numeric.significance import correlation_at, significance
from cemi_stitch.frames.cache import MatchOptions
from cemi_stitch.graph.acceptance import FINE_FLOOR, permutation_threshold
from cemi_stitch.graph.candidate_pairs import Window
from cemi_stitch.matching.matcher import Axes, match_windows
from cemi_stitch.tasks import batches, shares_memory, spread

#: Pairs that one task matches: a good 100 ms; and where a GPU takes all of them at once.
PAIRS_PER_TASK, PAIRS_TOGETHER = 48, 256
#: Pairs, at most, of a task in a process of its own, which matches a whole strip.
MAX_PAIRS_APART = 1024
#: Width of a strip of the layout whose pairs are matched one after the other, as a multiple of the largest frame.
STRIP_FRAMES = 6
#: Pairs that cannot overlap, compared to learn what chance gives.
CHANCE_PAIRS = 40
#: Axes along which second frames are flipped so that they match only by chance; all three where pairs are few.
MIRRORS: tuple[Axes, ...] = ((0, 1), (0,), (1,))


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
    places_px : ndarray of float, shape (n, 2), or None
        Where the frames lie, about: pairs that share frames are then matched soon after each other, and frames are
        read from disk once or twice whatever their number.
    """

    source: FrameSource
    options: MatchOptions
    executor: Executor | None = None
    progress: Progress = silent
    journal: Journal | None = None
    places_px: NDArray[np.float64] | None = None


def matched(matching: Matching, windows: Sequence[Window], label: str = "matching") -> list[PairShift]:
    """Return the shifts of all windows, in order."""
    return _measured(matching, windows, {}, label)[0]


def matched_beyond_chance(matching: Matching, windows: Sequence[Window], false_match_rate: float) -> list[PairShift]:
    """Return the shifts of all windows, those dropped whose correlation chance could give too.

    What chance gives is learnt from some of the pairs, mirrored, while their frames are in memory.
    """
    mirrors: dict[int, tuple[Axes, ...]] = {}
    for wide in (False, True):
        alike = [n for n, window in enumerate(windows) if window.wide == wide]
        picks = alike[:: max(1, len(alike) // CHANCE_PAIRS)]
        mirrors |= dict.fromkeys(picks, MIRRORS if len(picks) < CHANCE_PAIRS else MIRRORS[:1])
    measured, by_chance = _measured(matching, windows, mirrors, "matching")
    threshold = {}
    for wide in (False, True):
        found = [pair for n, pairs in by_chance.items() if windows[n].wide == wide for pair in pairs if pair.overlap_px]
        values = np.array([float(significance(pair.quality, pair.overlap_px)) for pair in found])
        threshold[wide] = permutation_threshold(values, false_match_rate, FINE_FLOOR)
    return [accepted(pair, threshold[window.wide]) for pair, window in zip(measured, windows, strict=True)]


def _measured(
    matching: Matching, windows: Sequence[Window], mirrors: Mapping[int, tuple[Axes, ...]], label: str
) -> tuple[list[PairShift], dict[int, list[PairShift]]]:
    """Return the shifts of all windows, in order, and by their numbers those of some, mirrored along such axes."""
    parts = _batches(matching, windows)
    chance = [[(at, axes) for at, n in enumerate(part) for axes in mirrors.get(n, ())] for part in parts]
    calls = [
        (matching.source, [windows[n] for n in part], matching.options, some)
        for part, some in zip(parts, chance, strict=True)
    ]
    keys = [_key(some, options, of_chance) for _, some, options, of_chance in calls]
    journal = matching.journal
    known = [journal.get(key) if journal is not None else None for key in keys]
    fresh = spread(
        matching.executor,
        match_windows,
        [call for call, shifts in zip(calls, known, strict=True) if shifts is None],
    )
    found: dict[int, PairShift] = {}
    by_chance: dict[int, list[PairShift]] = {}
    for key, part, some, shifts in zip(keys, parts, chance, known, strict=True):
        if shifts is None:
            shifts = next(fresh)
            if journal is not None:
                journal.put(key, shifts)
        found.update(zip(part, shifts[: len(part)], strict=True))
        for (at, _), shift in zip(some, shifts[len(part) :], strict=True):
            by_chance.setdefault(part[at], []).append(shift)
        matching.progress(label, len(found), len(windows))
    return [found[n] for n in range(len(windows))], by_chance


def _batches(matching: Matching, windows: Sequence[Window]) -> list[Sequence[int]]:
    """Return the numbers of the windows task by task, strip by strip of the layout; in a strip in their order.

    Two neighbouring passes of a strip are few frames, which stay in memory. Tasks in processes of their own do not see
    what others have read, so each gets a strip.
    """
    size = PAIRS_TOGETHER if matching.options.together else PAIRS_PER_TASK
    strips = _strips(matching, windows)
    if shares_memory(matching.executor):
        return batches([n for strip in strips for n in strip], size)
    return [part for strip in strips for part in batches(strip, MAX_PAIRS_APART)]


def _strips(matching: Matching, windows: Sequence[Window]) -> list[list[int]]:
    """Return the numbers of the windows of each strip; strips run along the shorter side of the layout."""
    places = matching.places_px
    if places is None or not len(windows):
        return [list(range(len(windows)))]
    largest = max(max(frame.shape) for frame in matching.source.frames)
    along = places[:, int(np.argmax(np.ptp(places, axis=0)))]
    middle = np.array([(along[window.first] + along[window.second]) / 2 for window in windows])
    strip = ((middle - middle.min()) // (STRIP_FRAMES * largest)).astype(np.int64)
    return [np.flatnonzero(strip == number).tolist() for number in np.unique(strip)]


def accepted(pair: PairShift, threshold: float) -> PairShift:
    """Drop a shift whose `significance` is below ``threshold``."""
    limit = correlation_at(threshold, pair.overlap_px)
    if pair.kept and pair.quality < limit:
        return pair.dropped(f"correlation {pair.quality:.2f} below the threshold {limit:.2f} found by permutation")
    return pair


def _key(windows: Sequence[Window], options: MatchOptions, chance: Sequence[tuple[int, Axes]]) -> str:
    """Return the name of a batch: the same pairs, windows and settings have the same name."""
    pattern = None if options.pattern is None else hashlib.sha256(options.pattern.tobytes()).hexdigest()
    places = [(w.first, w.second, w.shift_px, w.reach_px) for w in windows]
    text = repr((places, options.smoothing_px, options.mirror, pattern, options.features, chance))
    return f"{options.matcher}-{windows[0].first}-{windows[-1].second}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
