"""OpenCV's stitching pipeline behind CEMI's contract of a stitcher (Brown and Lowe, IJCV 74 (2007) 59).

OpenCV is imported when frames are placed or blended.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cemi_core.errors import InputError, MissingDependencyError
from cemi_core.model.array_source import ArraySource
from cemi_core.model.frame import Frame, FrameSource
from cemi_core.model.layout import Layout, PairShift
from cemi_core.model.mosaic import Box, Patch
from cemi_core.model.stages import PlaceContext, Runtime
from cemi_stitch_opencv.settings import OpencvSettings

if TYPE_CHECKING:
    from cemi_stitch_opencv.pipeline import Match


class OpencvStitcher:
    """Places frames by local features, affine matches and a bundle adjustment.

    Where nominal positions are known, only frames that may overlap are compared; else all with all. Features of all
    frames stay in memory, and the work is done in one task, so the executor stays idle.

    OpenCV lets frames turn and scale freely and believes single particles; so a pair whose shift contradicts the
    positions that the frames came with (or overlaps nothing) is left out, before and after the bundle adjustment, and
    what hangs on such pairs alone stands at the nominal place.

    Parameters
    ----------
    settings : OpencvSettings, optional
    runtime : Runtime, optional
        Threads that OpenCV may use.
    """

    def __init__(self, settings: OpencvSettings | None = None, runtime: Runtime | None = None) -> None:
        self.settings = settings or OpencvSettings()
        self.runtime = runtime or Runtime()

    def prepare(self) -> None:
        """Import OpenCV, so that its absence is told before the work starts.

        Raises
        ------
        MissingDependencyError
            OpenCV is not installed.
        """
        require_opencv()

    def place(self, frames: FrameSource | Sequence[NDArray[Any]], context: PlaceContext | None = None) -> Layout:
        """Return where the frames lie; those that no match reaches stand where the stage should have been.

        Raises
        ------
        InputError
            There are no frames.
        """
        source = frames if isinstance(frames, FrameSource) else ArraySource(frames)
        count = len(source.frames)
        if not count:
            raise InputError("there are no frames to stitch")
        nominal = nominal_places(source.frames)
        if count == 1:
            return _layout(source.frames, nominal, np.zeros(1, np.int64), [], ())
        require_opencv().setNumThreads(self.runtime.threads)
        from cemi_stitch_opencv.pipeline import features_of, matched

        sizes = np.array([frame.shape for frame in source.frames], np.int64)
        maybe = may_overlap(source.frames)
        features = features_of(source, self.settings.features)
        least, window = self.settings.pair_confidence, plausible_shifts(source.frames)
        pairs = []
        for match in matched(features, maybe, self.settings.match_confidence):
            pair = _gated(_pair(match, sizes, least), window)
            maybe[pair.first, pair.second] &= pair.kept
            pairs.append(pair)
        group = _groups(count, [pair for pair in pairs if pair.kept])
        main = np.flatnonzero(group == 0)
        positions, notes = nominal.copy(), []
        places = self._bundled(features, maybe, sizes, main) if len(main) > 1 else None
        if places is not None:
            solved = np.full((count, 2), np.nan)
            solved[main] = places
            pairs = [_gated(pair, window, solved) for pair in pairs]
            group = _groups(count, [pair for pair in pairs if pair.kept])
            main = np.flatnonzero(group == 0)
            positions[main] = solved[main] + np.median(nominal[main] - solved[main], axis=0)
        if places is None or len(main) < 2:
            positions, group, main = nominal, np.arange(count), main[:0]
        if len(main) < count:
            joined = f"{len(main)} of {count} frames; the others" if len(main) else f"none of the {count} frames; they"
            notes.append(f"OpenCV joined {joined} stand where the stage should have been.")
        return _layout(source.frames, positions, group, pairs, notes)

    def _bundled(
        self, features: Sequence[Any], maybe: NDArray[np.bool_], sizes: NDArray[np.int64], main: NDArray[np.int64]
    ) -> NDArray[np.float64] | None:
        from cemi_stitch_opencv.pipeline import bundled

        some = [features[n] for n in main]
        least = self.settings.pair_confidence
        return bundled(some, maybe[np.ix_(main, main)], sizes[main], self.settings.match_confidence, least)

    def blend(self, patches: Sequence[Patch], box: Box) -> NDArray[np.float32]:
        """Return the mosaic in ``box``, feathered as by the built-in stitcher; NaN where no frame reaches."""
        from cemi_stitch.blending.feather import feather

        return feather(patches, box)


def require_opencv() -> ModuleType:
    """Return OpenCV.

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    try:
        return import_module("cv2")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"the stitcher 'opencv' needs the package '{error.name}', which is not installed; "
            "run: pip install opencv-python-headless"
        ) from error


def nominal_places(frames: Sequence[Frame]) -> NDArray[np.float64]:
    """Return the nominal (y, x) of every frame; side by side, from left to right, where one is not known."""
    if all(frame.position_px is not None for frame in frames):
        return np.array([frame.position_px for frame in frames], np.float64)
    widths = [frame.shape[1] for frame in frames]
    return np.stack([np.zeros(len(frames)), np.concatenate([[0], np.cumsum(widths)[:-1]])], 1).astype(np.float64)


def may_overlap(frames: Sequence[Frame]) -> NDArray[np.bool_]:
    """Return (n, n), True for two frames that may overlap if each step is off by at most its tolerance."""
    if any(frame.position_px is None for frame in frames):
        return np.ones((len(frames), len(frames)), bool)
    place = np.array([frame.position_px for frame in frames])
    size = np.array([frame.shape for frame in frames])
    slack = np.array([frame.position_tolerance_px or 0.0 for frame in frames])
    gap = np.abs(place[:, None] - place[None]) - (size[:, None] + size[None]) / 2
    near: NDArray[np.bool_] = (gap < np.maximum(slack[:, None], slack[None])[..., None]).all(axis=2)
    return near


def plausible_shifts(frames: Sequence[Frame]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle and the half width, (n, n, 2) each, px, of the window in which the shift of two frames lies.

    Around the nominal shift by the larger tolerance, or by half a frame where no tolerance is known; every shift that
    leaves an overlap where a position is not known.
    """
    size = np.array([frame.shape for frame in frames], np.float64)
    either = (size[:, None] + size[None]) / 2
    if any(frame.position_px is None for frame in frames):
        return (size[:, None] - size[None]) / 2, either
    place = np.array([frame.position_px for frame in frames])
    slack = np.array([frame.position_tolerance_px or max(frame.shape) / 2 for frame in frames])
    reach = np.maximum(slack[:, None], slack[None])[..., None]
    return place[None] - place[:, None], np.broadcast_to(reach, either.shape)


def _gated(
    pair: PairShift,
    window: tuple[NDArray[np.float64], NDArray[np.float64]],
    solved: NDArray[np.float64] | None = None,
) -> PairShift:
    """Drop a kept pair whose measured shift, or the one that was solved for it, is not plausible."""
    if not pair.kept:
        return pair
    shift = np.array(pair.shift_px) if solved is None else solved[pair.second] - solved[pair.first]
    off = shift - window[0][pair.first, pair.second]
    if (np.abs(off) <= window[1][pair.first, pair.second]).all():
        return pair
    return pair.dropped(f"contradicts the nominal positions by {np.abs(off).max():.0f} px")


def _groups(count: int, matches: Sequence[PairShift]) -> NDArray[np.int64]:
    """Return each frame's group of frames joined by matches, numbered from the largest on."""
    first, second = np.array([(m.first, m.second) for m in matches], np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    label = connected_components(graph, directed=False)[1]
    order = np.argsort(-np.bincount(label), kind="stable")
    group: NDArray[np.int64] = np.argsort(order)[label].astype(np.int64)
    return group


def _pair(match: Match, sizes: NDArray[np.int64], least: float) -> PairShift:
    """Return the shift of the centre of the second frame in the first, as a pair."""
    middle = (sizes[match.second, ::-1] - 1) / 2
    shift = (0.0, 0.0)
    if abs(np.linalg.det(match.transform)) > 1e-9:
        x, y = (np.linalg.inv(match.transform) @ [*middle, 1.0])[:2] - middle
        shift = (float(y), float(x))
    overlap = np.maximum(sizes[[match.first, match.second]].min(axis=0) - np.abs(shift), 0).prod()
    pair = PairShift(match.first, match.second, shift, min(match.confidence / 3, 1.0), overlap_px=int(overlap))
    if match.confidence >= least:
        return pair
    return pair.dropped(f"confidence {match.confidence:.2f} below {least:g} ({match.inliers} features agree)")


def _layout(
    frames: Sequence[Frame],
    positions: NDArray[np.float64],
    group: NDArray[np.int64],
    pairs: Sequence[PairShift],
    notes: Sequence[str],
) -> Layout:
    count = len(frames)
    total, number = np.zeros(count), np.zeros(count)
    for pair in pairs:
        if pair.kept:
            misfit = positions[pair.second] - positions[pair.first] - pair.shift_px
            total[[pair.first, pair.second]] += misfit @ misfit
            number[[pair.first, pair.second]] += 1
    return Layout(
        positions_px=positions - positions.min(axis=0),
        shapes=np.array([frame.shape for frame in frames], np.int64),
        component=group,
        residual_px=np.sqrt(np.divide(total, number, out=np.full(count, np.nan), where=number > 0)),
        gain=np.ones(count),
        offset=np.zeros(count),
        placed_by_prior=group != 0,
        pairs=tuple(pairs),
        notes=tuple(notes),
    )


def make_opencv(settings: OpencvSettings, runtime: Runtime) -> OpencvStitcher:
    """Make the stitcher from a recipe."""
    return OpencvStitcher(settings, runtime)
