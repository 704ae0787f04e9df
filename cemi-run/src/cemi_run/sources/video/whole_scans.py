"""Whole scans, put together from the frames of a recording.

A screen shows rows of two scans at a time: above the scan front the scan in progress, below it the one before. A row is
copied from the last frame before the front passes over it again, a margin ahead of the front: so every row of a scan is
taken once, an error of the front of up to the margin does no harm, and the codec has had a whole scan's time to refine
it. A copy from when the row had just been drawn is kept beside: it is taken where coloured graphics have come over the
row since.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemi_run.sources.video.scan_front import Advance, FrontTracker, Motion, row_changes
from cemi_run.sources.video.screen import Survey, coloured

_SAMPLED_COLUMNS = 256
COLOURED = "coloured graphics in the picture"


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan of the beam over the picture.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (h, w)
        Coded brightness; undefined where the scan has a flaw that says so.
    start_s, end_s : float
        When its first and its last line were drawn.
    lines_per_s : float
        Speed of the front, px/s; 0 if the picture is refreshed at once.
    flaw : str
        Why it must not be used; empty if it is whole.
    """

    pixels: NDArray[np.uint8]
    start_s: float
    end_s: float
    lines_per_s: float
    flaw: str = ""


class ScanAssembler:
    """Puts whole scans together from the frames of a recording; holds one scan and one frame at a time.

    Parameters
    ----------
    survey : Survey
        What is known of the recording; it must have an area and be rolling.
    drop_coloured : bool
        Scans with coloured graphics get a flaw.
    """

    def __init__(self, survey: Survey, drop_coloured: bool = True) -> None:
        assert survey.area is not None
        self._survey = survey
        self._area = survey.area
        self._height, width = survey.area.shape
        self._margin = max(2, min(round(0.02 * self._height), self._height // 8))
        self._tracker = FrontTracker(self._height, survey.fresh, survey.stale, self._margin)
        self._drop_coloured = drop_coloured
        self._step = max(1, width // _SAMPLED_COLUMNS)
        self._buffer = np.zeros(self._area.shape, np.uint8)
        self._early = np.zeros(self._area.shape, np.uint8)  # rows as they looked when they had just been drawn
        self._clean = np.zeros(self._height, bool)  # whether there were no coloured graphics on them then
        self._filled = 0
        self._coloured = self._saved = False
        self._unseen_until = 0  # up to this row, counted on over scans, the front may have passed unnoticed
        self._listed = False  # the last interruption has been listed as a flaw of a scan
        self._copied: int | None = None  # next row to copy, counted on over scans; None while the front is unknown
        self._turns: dict[int, float] = {}  # when the front started scan number k
        self._before: tuple[NDArray[np.uint8], NDArray[np.uint8] | None, NDArray[np.uint8]] | None = None
        self._latest_s = 0.0
        self._before_s, self._front = 0.0, 0  # when the front was last seen, and where, counted on over scans
        self.repeats = 0
        self.saved = 0  # scans that were kept in spite of coloured graphics
        self.front: int | None = None

    def push(self, luma: NDArray[np.uint8], chroma: NDArray[np.uint8] | None, time_s: float) -> list[Scan]:
        """Take the next frame of the screen and return the scans that it completes."""
        picture = self._area.cut(luma).copy()
        sampled = np.ascontiguousarray(picture[:, :: self._step])
        colours = None if chroma is None else self._area.cut_chroma(chroma)
        done: list[Scan] = []
        if self._before is not None:
            advance = self._tracker.update(row_changes(self._before[2], sampled), time_s)
            done = self._advance(advance, time_s)
            if colours is not None and advance.motion is Motion.MOVED:
                self._keep_fresh(advance, picture, colours)
        self._before, self._latest_s = (picture, colours, sampled), time_s
        return done

    def interrupt(self, reason: str) -> list[Scan]:
        """Forget the front, since frames are missing or damaged; return what can still be completed."""
        done = self._flush(reason, self._latest_s)
        self._tracker.forget()
        self._before = None
        return done

    def finish(self) -> list[Scan]:
        """Return the last scans of the recording."""
        return self._flush("the recording ends within it", self._latest_s)

    def _advance(self, advance: Advance, time_s: float) -> list[Scan]:
        done: list[Scan] = []
        if advance.motion is Motion.REPEAT:
            self.repeats += 1
            return done
        if advance.motion is Motion.LOST:
            done = self._flush("the whole picture changed at once within it", time_s)
        elif advance.motion is Motion.FOUND:
            done = self._drop("the scan front was lost")
            self._copied = advance.start + self._margin
            self._turns, self._unseen_until = {}, 0
            self._clean[:] = False
        else:
            for turn in range(advance.start // self._height + 1, advance.stop // self._height + 1):
                share = (turn * self._height - advance.start) / (advance.stop - advance.start)
                self._turns[turn] = self._before_s + share * (time_s - self._before_s)
            if self._noticed(advance):
                self._unseen_until = advance.start + advance.unseen
        self._before_s, self._front = time_s, advance.stop
        if advance.motion is not Motion.LOST:
            self.front = advance.stop % self._height
            done += self._copy(advance.stop + self._margin)
        return done

    def _copy(self, stop: int) -> list[Scan]:
        """Copy rows up to ``stop`` from the frame before; return the scans that this completes."""
        done: list[Scan] = []
        assert self._before is not None and self._copied is not None
        picture, colours, _ = self._before
        while self._copied < stop:
            number, first = divmod(self._copied, self._height)
            last = min(self._height, first + stop - self._copied)
            rows = slice(first, last)
            self._buffer[rows] = picture[rows]
            if self._drop_coloured and colours is not None and coloured(colours, self._survey.neutral, rows):
                self._coloured |= not self._clean[rows].all()
                self._saved = not self._coloured
                self._buffer[rows] = self._early[rows]
            self._filled += last - first
            self._copied += last - first
            if last == self._height:
                done += self._complete(number)
        return done

    def _keep_fresh(self, advance: Advance, picture: NDArray[np.uint8], colours: NDArray[np.uint8]) -> None:
        """Keep the rows that have just been drawn, a margin behind the front, and whether graphics cover them."""
        row, stop = advance.start - self._margin, advance.stop - self._margin
        while row < stop:
            first = row % self._height
            last = min(self._height, first + stop - row)
            self._early[first:last] = picture[first:last]
            self._clean[first:last] = not coloured(colours, self._survey.neutral, slice(first, last))
            row += last - first

    def _complete(self, number: int) -> list[Scan]:
        whole = self._filled == self._height
        lost = self._unseen_until > number * self._height
        flaw = "the scan front was lost" if lost else COLOURED if self._coloured else ""
        done = [self._scan(number, flaw)] if whole else []
        self.saved += whole and self._saved and not flaw
        if not whole and not self._listed:
            done = [self._scan(number, "its first lines were drawn before the front was known")]
        self._listed = self._listed and whole
        self._clear()
        return done

    def _clear(self) -> None:
        self._buffer = np.zeros_like(self._buffer)
        self._filled, self._coloured, self._saved = 0, False, False

    def _scan(self, number: int, flaw: str) -> Scan:
        """Describe scan ``number``, drawn in turn ``number - 1`` of the front and drawn over in turn ``number``."""
        rate = self._tracker.lines_per_s
        start, end = self._turn_s(number - 1), self._turn_s(number)
        return Scan(self._buffer, start, end, rate, flaw)

    def _turn_s(self, number: int) -> float:
        """Return when the front started turn ``number``, extrapolated where it was not seen."""
        if number in self._turns:
            return self._turns[number]
        rate = self._tracker.lines_per_s
        if not rate:
            return self._before_s
        if self._turns:
            nearest = min(self._turns, key=lambda turn: abs(turn - number))
            return self._turns[nearest] + (number - nearest) * self._height / rate
        return self._before_s - (self._front - number * self._height) / rate

    def _noticed(self, advance: Advance) -> bool:
        """Return whether rows that were passed over unseen would have shown it: they are not plain black or white."""
        if advance.unseen <= self._margin or self._before is None:
            return False
        rows = np.arange(advance.start, advance.start + advance.unseen) % self._height
        return bool((self._before[2][rows].std(axis=1) > 1 + 0.2 * self._tracker.fresh).mean() > 0.1)

    def _flush(self, reason: str, time_s: float) -> list[Scan]:
        """Complete the scan that the front has not reached yet from the last frame; the one in progress is lost."""
        if self._copied is None or self._before is None or self._tracker.overdue(time_s):
            return self._drop(reason)
        number, row = divmod(self._copied, self._height)
        done: list[Scan] = []
        if row >= self._margin:
            done = self._copy((number + 1) * self._height)
        return done if row == self._margin else done + self._drop(reason)

    def _drop(self, reason: str) -> list[Scan]:
        """Give up the scan in progress."""
        done: list[Scan] = []
        if self._copied is not None:
            done = [self._scan(self._copied // self._height, reason)]
            self._listed = True
        self._clear()
        self._copied = None
        self.front = None
        return done


class WholePictures:
    """Takes each different frame for a whole scan: for recordings whose picture is refreshed all at once."""

    def __init__(self, survey: Survey, drop_coloured: bool = True) -> None:
        assert survey.area is not None
        self._survey = survey
        self._area = survey.area
        self._drop_coloured = drop_coloured
        self._before: NDArray[np.uint8] | None = None
        self.repeats = self.saved = 0

    def push(self, luma: NDArray[np.uint8], chroma: NDArray[np.uint8] | None, time_s: float) -> list[Scan]:
        """Take the next frame of the screen and return it as a scan if it differs from the one before."""
        picture = self._area.cut(luma).copy()
        if self._before is not None:
            changes = row_changes(self._before, picture)
            if float(np.median(changes)) <= self._survey.threshold:
                self.repeats += 1
                return []
        self._before = picture
        flaw = ""
        if self._drop_coloured and chroma is not None:
            flaw = COLOURED if coloured(self._area.cut_chroma(chroma), self._survey.neutral) else ""
        return [Scan(picture, time_s, time_s, 0.0, flaw)]

    def interrupt(self, reason: str) -> list[Scan]:
        """Do nothing: every frame stands alone."""
        return []

    def finish(self) -> list[Scan]:
        """Return nothing: every scan has been given."""
        return []
