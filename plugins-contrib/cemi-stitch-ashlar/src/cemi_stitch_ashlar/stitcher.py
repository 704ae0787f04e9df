"""ASHLAR behind CEMI's contract of a stitcher (Muhlich et al., Bioinformatics 38 (2022) 4613)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.array_source import ArraySource
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout, PairShift
from cemi_core.model.mosaic import Box, Patch
from cemi_core.model.stages import PlaceContext, Runtime
from cemi_stitch.blending.feather import feather
from cemi_stitch_ashlar.settings import AshlarSettings
from cemi_stitch_ashlar.tiles import reader_of
from cemi_stitch_ashlar.without_java import ashlar_alignment


class AshlarStitcher:
    """Places frames with ASHLAR's ``EdgeAligner``; needs nominal positions, and frames of one size.

    ASHLAR keeps all frames in memory and works in one thread, so the executor stays idle.

    Parameters
    ----------
    settings : AshlarSettings, optional
    """

    def __init__(self, settings: AshlarSettings | None = None) -> None:
        self.settings = settings or AshlarSettings()

    def prepare(self) -> None:
        """Import ASHLAR, so that its absence is told before the work starts.

        Raises
        ------
        MissingDependencyError
            ASHLAR is not installed.
        """
        ashlar_alignment()

    def place(self, frames: FrameSource | Sequence[NDArray[Any]], context: PlaceContext | None = None) -> Layout:
        """Return where the frames lie.

        Raises
        ------
        InputError
            A frame has no nominal position, or the frames differ in size.
        MissingDependencyError
            ASHLAR is not installed.
        """
        source = frames if isinstance(frames, FrameSource) else ArraySource(frames)
        nominal = _nominal(source)
        if len(nominal) == 1:
            return _layout(source, nominal, [0], [])
        aligner = ashlar_alignment().EdgeAligner(
            # ASHLAR cuts overlaps at whole pixels but adds its shift to the positions as they are given.
            reader_of(source, np.rint(nominal)),
            max_shift=self._reach_px(source),
            alpha=self.settings.alpha,
            filter_sigma=self.settings.filter_sigma,
            do_make_thumbnail=False,
        )
        # Tiles without any contrast divide 0 by 0 and get an infinite error, as they should.
        with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            aligner.run()
        tree = aligner.spanning_tree
        groups = sorted(nx.connected_components(tree), key=lambda members: (-len(members), min(members)))
        number = {frame: k for k, members in enumerate(groups) for frame in members}
        pairs = [
            _pair(aligner, first, second, tree.has_edge(first, second)) for first, second in sorted(aligner._cache)
        ]
        return _layout(source, aligner.positions, [number[n] for n in range(len(nominal))], pairs)

    def blend(self, patches: Sequence[Patch], box: Box) -> NDArray[np.float32]:
        """Return the mosaic in ``box``, feathered as by the built-in stitcher; NaN where no frame reaches."""
        return feather(patches, box)

    def _reach_px(self, source: FrameSource) -> float:
        if self.settings.maximum_shift_px is not None:
            return self.settings.maximum_shift_px
        said = [frame.position_tolerance_px or 0.1 * max(frame.shape) for frame in source.frames]
        return max(said)


def _nominal(source: FrameSource) -> NDArray[np.float64]:
    frames = source.frames
    if not len(frames):
        raise InputError("there are no frames to stitch")
    if len(frames) == 1:
        return np.zeros((1, 2))
    without = [frame.name for frame in frames if frame.position_px is None]
    if without:
        raise InputError(
            f"the stitcher 'ashlar' needs the nominal position of every frame and '{without[0]}' has none; give the "
            "source a table of positions or the shape of the grid"
        )
    sizes = {frame.shape: frame.name for frame in frames}
    if len(sizes) > 1:
        (one, first), (other, second) = list(sizes.items())[:2]
        raise InputError(
            f"the stitcher 'ashlar' needs frames of one size, but '{first}' is {one[1]} x {one[0]} px and "
            f"'{second}' {other[1]} x {other[0]} px"
        )
    return np.array([frame.position_px for frame in frames], np.float64)


def _pair(aligner: Any, first: int, second: int, used: bool) -> PairShift:
    """Return what ASHLAR measured for a pair; its error is minus the logarithm of a correlation."""
    correction, error = aligner._cache[first, second]
    shift = aligner.metadata.positions[second] - aligner.metadata.positions[first] + correction
    overlap = np.maximum(aligner.metadata.size - np.abs(shift), 0).prod()
    pair = PairShift(
        int(first), int(second), (float(shift[0]), float(shift[1])), float(math.exp(-error)), overlap_px=int(overlap)
    )
    if used:
        return pair
    believed = math.isfinite(error)
    return pair.dropped("not in ASHLAR's spanning tree" if believed else "above ASHLAR's error or shift threshold")


def _layout(
    source: FrameSource, positions: NDArray[np.float64], component: Sequence[int], pairs: Sequence[PairShift]
) -> Layout:
    count = len(source.frames)
    group = np.array(component, np.int64)
    loose = int((group != 0).sum())
    note = f"ASHLAR joined {count - loose} of {count} frames; it placed the others by its model of the stage."
    residual = np.full(count, np.nan)
    for pair in pairs:
        if pair.kept:  # a tree leaves no residual: what it says is what is done
            residual[[pair.first, pair.second]] = 0.0
    return Layout(
        positions_px=np.asarray(positions - positions.min(axis=0), np.float64),
        shapes=np.array([frame.shape for frame in source.frames], np.int64),
        component=group,
        residual_px=residual,
        gain=np.ones(count),
        offset=np.zeros(count),
        placed_by_prior=group != 0,
        pairs=tuple(pairs),
        notes=(note,) if loose else (),
    )


def make_ashlar(settings: AshlarSettings, runtime: Runtime) -> AshlarStitcher:
    """Make the stitcher from a recipe."""
    return AshlarStitcher(settings)
