"""Live stitching: frames are placed while they appear in a folder, each among a few neighbours, and shown at once.

The places are provisional: each new frame is matched with the last ones and those near to where it should lie. What
counts is the full solve over all frames afterwards.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path
from cemi_core.files.find import natural_key
from cemi_core.images.read_image import read_headers
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout, write_layout_csv
from cemi_core.model.stages import PlaceContext, Stitcher
from cemi_run.steps.place import placed

log = logging.getLogger("cemi")

#: Frames that a new one is matched with: the last ones, and those nearest to where it should lie; then, if it matches
#: none of them, the first frames of passes, and so many groups of earlier frames.
LAST, NEAREST, GROUP, MOST_GROUPS = 2, 3, 6, 6
#: Largest side of a frame in the overview, and of the overview, px.
THUMBNAIL_PX, OVERVIEW_PX = 160, 2400
REFRESH_SECONDS = 2.0


@dataclass(frozen=True)
class LiveFrame:
    """A frame with its provisional place; ``matched`` is False where no overlap says it."""

    path: Path
    shape: tuple[int, int]
    position_px: tuple[float, float]
    matched: bool
    thumbnail: NDArray[np.uint8]


class FolderWatch:
    """Tells which files of a folder are new and complete.

    A file counts as complete when its size and time have not changed between two looks and its header can be read.
    """

    def __init__(self, folder: Path, suffixes: Sequence[str]) -> None:
        self._folder, self._suffixes = folder, frozenset(suffixes)
        self._seen: dict[Path, tuple[int, int]] = {}
        self._given: set[Path] = set()
        self._broken: dict[Path, tuple[int, int]] = {}

    def new_files(self) -> list[Path]:
        """Return the files that have become complete since the last call, in natural order."""
        found = []
        for path in sorted(self._folder.iterdir(), key=lambda p: natural_key(p.name)):
            if path in self._given or path.suffix.lower() not in self._suffixes or path.name.startswith("."):
                continue
            try:
                status = path.stat()
            except OSError:
                continue
            state = (status.st_size, status.st_mtime_ns)
            before, self._seen[path] = self._seen.get(path), state
            if before == state and self._broken.get(path) != state and self._is_readable(path, state):
                self._given.add(path)
                found.append(path)
        return found

    def refuse(self, path: Path) -> None:
        """Take a file back that could not be read after all; it is given again once it has changed."""
        self._given.discard(path)
        if path in self._seen:
            self._broken[path] = self._seen[path]

    def _is_readable(self, path: Path, state: tuple[int, int]) -> bool:
        try:
            return bool(read_headers(path))
        except InputError as error:
            self._broken[path] = state
            log.debug("not complete yet: %s", error)
            return False


class LiveLayout:
    """Frames that have been placed so far.

    Parameters
    ----------
    stitcher : Stitcher
    open_frames : callable
        Returns the source of the given files; the names of its frames are those of the files.
    executor : Executor
    """

    def __init__(
        self, stitcher: Stitcher, open_frames: Callable[[Sequence[Path]], FrameSource], executor: Executor
    ) -> None:
        self._stitcher, self._open, self._executor = stitcher, open_frames, executor
        self.frames: list[LiveFrame] = []
        self._factor = 0  # of the thumbnails; from the first frame

    def add(self, path: Path) -> LiveFrame | None:
        """Place the frame of a new file; None if it cannot be read, or is gone."""
        if not path.exists():
            log.warning("%s: gone before it was placed", path.name)
            return None
        try:
            for neighbours in self._groups():
                frame, joined = self._placed_among(neighbours, path)
                if joined or not self.frames:
                    break
        except InputError as error:
            log.warning("%s", error)
            return None
        self.frames.append(frame)
        return frame

    def _expected(self) -> NDArray[np.float64]:
        """Return where the next frame should lie: as far from the last one as that from the one before."""
        last = np.array(self.frames[-1].position_px, np.float64)
        step = np.array([0.0, 0.7 * self.frames[-1].shape[1]])
        if len(self.frames) > 1:
            step = last - np.array(self.frames[-2].position_px)
        expected: NDArray[np.float64] = last + step
        return expected

    def _groups(self) -> list[list[int]]:
        """Return the groups of placed frames among which the next one is looked for, the likeliest first."""
        count = len(self.frames)
        if not count:
            return [[]]
        distance = np.linalg.norm(np.array([f.position_px for f in self.frames]) - self._expected(), axis=1)
        first = list(dict.fromkeys([*range(count - 1, max(count - 1 - LAST, -1), -1), *np.argsort(distance).tolist()]))
        rest = [n for n in range(count - 1, -1, -1) if n not in first[: LAST + NEAREST]]
        groups = [rest[start : start + GROUP] for start in range(0, len(rest), GROUP)]
        starts = [n for n in self._pass_starts() if n in rest][-GROUP:]
        return [first[: LAST + NEAREST], *([starts] if starts else []), *groups[:MOST_GROUPS]]

    def _pass_starts(self) -> list[int]:
        """Return the first frame and those that lie more than a frame away from the one before."""
        places = np.array([frame.position_px for frame in self.frames])
        far = (np.abs(np.diff(places, axis=0)) > self.frames[0].shape).any(axis=1)
        return [0, *(np.flatnonzero(far) + 1).tolist()]

    def _placed_among(self, neighbours: Sequence[int], path: Path) -> tuple[LiveFrame, bool]:
        """Return the frame, and whether an overlap joins it to one of its neighbours that are still there."""
        neighbours = [n for n in neighbours if self.frames[n].path.exists()]
        source = self._open([*(self.frames[n].path for n in neighbours), path])
        index = {frame.name: frame.index for frame in source.frames}
        if path.name not in index:
            raise InputError(f"'{path}' cannot be read")
        new = index[path.name]
        known = {index[self.frames[n].path.name]: n for n in neighbours if self.frames[n].path.name in index}
        layout = placed(self._stitcher, source, PlaceContext(self._executor))
        joined = [n for n in known if layout.component[n] == layout.component[new]]
        image = source.read(new)
        if joined:
            moves = [np.array(self.frames[known[n]].position_px) - layout.positions_px[n] for n in joined]
            place = layout.positions_px[new] + np.median(moves, axis=0)
        else:
            place = self._expected() if self.frames else np.zeros(2)
        self._factor = self._factor or max(1, -(-max(image.shape) // THUMBNAIL_PX))
        matched = not self.frames or any(self.frames[known[n]].matched for n in joined)
        position, shape = (float(place[0]), float(place[1])), (image.shape[0], image.shape[1])
        return LiveFrame(path, shape, position, matched, _thumbnail(image, self._factor)), bool(joined)

    def layout(self) -> Layout:
        """Return the provisional layout, smallest coordinates at 0."""
        count = len(self.frames)
        positions = np.array([frame.position_px for frame in self.frames], np.float64).reshape(-1, 2)
        matched = np.array([frame.matched for frame in self.frames], np.bool_)
        return Layout(
            positions_px=positions - (positions.min(axis=0) if count else 0.0),
            shapes=np.array([frame.shape for frame in self.frames], np.int64).reshape(-1, 2),
            component=np.where(matched, 0, 1),
            residual_px=np.full(count, np.nan),
            gain=np.ones(count),
            offset=np.zeros(count),
            placed_by_prior=~matched,
        )

    def write_table(self, path: Path) -> None:
        """Write the provisional ``layout.csv``."""
        with atomic_path(path, durable=False) as temporary:
            write_layout_csv(temporary, self.layout(), [frame.path.name for frame in self.frames])

    def write_overview(self, path: Path) -> None:
        """Write a PNG of all frames at their places, later ones on top."""
        with atomic_path(path, durable=False) as temporary:
            Image.fromarray(self.overview()).save(temporary, format="png")

    def overview(self) -> NDArray[np.uint8]:
        """Return all frames at their places, small enough for a screen."""
        layout = self.layout()
        further = max(1, -(-max(layout.mosaic_shape) // (self._factor * OVERVIEW_PX)))
        edge = self._factor * further
        height, width = (-(-side // edge) + 1 for side in layout.mosaic_shape)
        canvas = np.zeros((height, width), np.uint8)
        for frame, (y, x) in zip(self.frames, layout.positions_px / edge, strict=True):
            small = frame.thumbnail[::further, ::further]
            top, left = round(float(y)), round(float(x))
            part = canvas[top : top + small.shape[0], left : left + small.shape[1]]
            part[:] = small[: part.shape[0], : part.shape[1]]
        return canvas


def _thumbnail(image: NDArray[np.float32], factor: int) -> NDArray[np.uint8]:
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = np.nan_to_num(image[: height * factor, : width * factor])
    blocks = blocks.reshape(height, factor, width, factor).mean(axis=(1, 3)) if height and width else blocks
    return np.asarray(np.clip(blocks * 255, 0, 255), np.uint8)


def follow_folder(
    watch: FolderWatch,
    live: LiveLayout,
    overview: Path,
    table: Path | None,
    *,
    idle_seconds: float | None,
    poll_seconds: float = 1.0,
) -> None:
    """Place frames as they appear until nothing has come for ``idle_seconds``; Ctrl-C ends it as well.

    Parameters
    ----------
    watch : FolderWatch
    live : LiveLayout
        Is filled.
    overview, table : Path
        Written anew, in one step each, at most every two seconds.
    idle_seconds : float or None
        None waits until Ctrl-C.
    poll_seconds : float
        Time between two looks.
    """
    last_news, last_shown, shown = time.monotonic(), 0.0, 0
    try:
        while idle_seconds is None or time.monotonic() - last_news < idle_seconds:
            for path in watch.new_files():
                frame = live.add(path)
                if frame is None:
                    watch.refuse(path)
                else:
                    log.info("%s: %s", path.name, _words(frame))
                last_news = time.monotonic()
                if live.frames and last_news - last_shown > REFRESH_SECONDS:
                    _show(live, overview, table)
                    last_shown, shown = time.monotonic(), len(live.frames)
            if len(live.frames) > shown:
                _show(live, overview, table)
                last_shown, shown = time.monotonic(), len(live.frames)
            time.sleep(poll_seconds)
    except KeyboardInterrupt:
        count = len(live.frames)
        what = f"solving all {count} frames (Ctrl-C again to give up)" if count else "no frame has come"
        log.info("stopped watching; %s", what)


def _words(frame: LiveFrame) -> str:
    y, x = frame.position_px
    return f"at y {y:.1f}, x {x:.1f} px" if frame.matched else "matches no frame yet; shown where the stage should be"


def _show(live: LiveLayout, overview: Path, table: Path | None) -> None:
    live.write_overview(overview)
    if table is not None:
        live.write_table(table)
