"""OpenCV's stitching pipeline behind CEMI's contract of a stitcher (Brown and Lowe, IJCV 74 (2007) 59)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cemi_core.errors import InputError
from cemi_core.model.frame import Frame, FrameSource
from cemi_core.model.layout import Layout, PairShift
from cemi_core.model.mosaic import Box, Patch
from cemi_core.model.stages import Runtime
from cemi_core.sources.array import ArraySource
from cemi_stitch.blend import feather
from cemi_stitch_opencv.pipeline import Match, bundled, features_of, matched
from cemi_stitch_opencv.settings import OpencvSettings


class OpencvStitcher:
    """Places frames by local features, affine matches and a bundle adjustment.

    Where nominal positions are known, only frames that may overlap are compared; else all with all. Features of all
    frames stay in memory, and the work is done in one task, so the executor stays idle.

    Parameters
    ----------
    settings : OpencvSettings, optional
    runtime : Runtime, optional
        Threads that OpenCV may use.
    """

    def __init__(self, settings: OpencvSettings | None = None, runtime: Runtime | None = None) -> None:
        self.settings = settings or OpencvSettings()
        self.runtime = runtime or Runtime()

    def place(self, frames: FrameSource | Sequence[NDArray[Any]], executor: Executor | None = None) -> Layout:
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
        cv2.setNumThreads(self.runtime.threads)
        sizes = np.array([frame.shape for frame in source.frames], np.int64)
        maybe = may_overlap(source.frames)
        features = features_of(source, self.settings.features)
        matches = matched(features, maybe, self.settings.match_confidence)
        believed = [match for match in matches if match.confidence >= self.settings.pair_confidence]
        group = _groups(count, believed)
        main = np.flatnonzero(group == 0)
        places = None
        if len(main) > 1:
            places = bundled(
                [features[n] for n in main],
                maybe[np.ix_(main, main)],
                sizes[main],
                self.settings.match_confidence,
                self.settings.pair_confidence,
            )
        positions, notes = nominal.copy(), []
        if places is None:
            group = np.arange(count)
            notes.append(f"OpenCV joined none of the {count} frames; they stand where the stage should have been.")
        else:
            positions[main] = places + np.median(nominal[main] - places, axis=0)
            if len(main) < count:
                notes.append(
                    f"OpenCV joined {len(main)} of {count} frames; the others stand where the stage should have been."
                )
        pairs = [_pair(match, sizes, self.settings.pair_confidence) for match in matches]
        return _layout(source.frames, positions, group, pairs, notes)

    def blend(self, patches: Sequence[Patch], box: Box) -> NDArray[np.float32]:
        """Return the mosaic in ``box``, feathered as by the built-in stitcher; NaN where no frame reaches."""
        return feather(patches, box)


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
    return (gap < np.maximum(slack[:, None], slack[None])[..., None]).all(axis=2)


def _groups(count: int, matches: Sequence[Match]) -> NDArray[np.int64]:
    """Return each frame's group of frames joined by matches, numbered from the largest on."""
    first, second = np.array([(m.first, m.second) for m in matches], np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    label = connected_components(graph, directed=False)[1]
    order = np.argsort(-np.bincount(label), kind="stable")
    return np.argsort(order)[label].astype(np.int64)


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
