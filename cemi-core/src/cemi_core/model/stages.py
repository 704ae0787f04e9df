"""The contracts of the stages: what a denoiser, a stitcher, an analyzer and a relation must offer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Box, Patch
from cemi_core.model.result import Measurement, Profile, PropertyTable, Relation, Result


@dataclass(frozen=True)
class Runtime:
    """The machine as a plugin sees it; factories get it beside their settings, and nothing else of the machine.

    Attributes
    ----------
    device : str
        A torch device name: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
    threads : int
        Threads that one task may use, at least 1.
    seed : int
        Seed for everything random.
    weights_dir : str or None
        Folder with model weights.
    """

    device: str = "cpu"
    threads: int = 1
    seed: int = 0
    weights_dir: str | None = None


@dataclass(frozen=True)
class BlockInfo:
    """Where a block of pixels comes from.

    Attributes
    ----------
    pixel_size_um : float or None
        Edge of a pixel, micrometres.
    core : tuple of slice
        The part of the block that is the cell or tile itself; the rest is halo (less than ``halo`` px at the edge of
        the picture).
    valid : ndarray of bool, shape (h, w), or None
        Where the block was imaged; None if everywhere.
    row, column : int
        Grid cell (analyzers).
    box : Box or None
        The core in mosaic coordinates.
    peak : float or None
        The brightest grey level of the whole picture, where it is known (of a mosaic, only for a denoiser with
        ``wants_peak``): a detector of 12 bits in a file of 16 uses a sixteenth of the range.
    """

    pixel_size_um: float | None = None
    core: tuple[slice, slice] | None = None
    valid: NDArray[np.bool_] | None = None
    row: int = 0
    column: int = 0
    box: Box | None = None
    peak: float | None = None


@runtime_checkable
class Denoiser(Protocol):
    """Removes noise from pictures; pure, no state between calls, picklable.

    It may also offer ``adapt(frames, layout) -> Denoiser``, which learns from overlapping frames. If that returns a
    dataclass of the same package, and only texts, numbers, bytes and tuples of them in it differ from the denoiser that
    was asked, core keeps it in the run folder: a run that was killed goes on with it, and it is the one that judges.

    It may offer ``judge(raw, denoised, layout, executor) -> Result``: how far its work on these frames (before and
    after; ``layout`` None for windows of a mosaic) can be trusted. Its table ``summary`` has the columns ``quantity``,
    ``value``, ``limit`` and ``verdict``; a verdict that begins with "doubtful" is named at the top of the report.

    With a true ``wants_peak``, ``info.peak`` is measured on mosaics too, which are read once more for it.
    """

    @property
    def halo(self) -> int:
        """Pixels around a block that its result depends on."""
        ...

    def __call__(self, block: NDArray[np.float32], info: BlockInfo | None = None) -> NDArray[np.float32]:
        """Return ``block`` (n, h, w) or (h, w), float32 in [0, 1], without noise, same shape and type."""
        ...


@runtime_checkable
class Stitcher(Protocol):
    """Finds where frames lie and joins them; picklable.

    It may also offer ``judge(frames, layout, executor, *, progress=None) -> Result``: how good a layout is. Its table
    ``summary`` (``quantity``, ``value``) must hold a row ``score`` (0 to 100, NaN if unknown), its first note says what
    the score means; maps, further tables and overlays (the weak places) are shown in the report.

    It may offer ``blend_margin_px`` too: frames within so many px of a box are then handed to `blend`. And
    ``offers_looks``: if true, ``blend_with_looks(patches, box)`` returns the mosaic and the effective number of frames
    in each pixel, float32 (height, width) both, and core stores the second beside the first.
    """

    def place(self, frames: FrameSource, executor: Executor) -> Layout:
        """Return the layout of the frames: match, solve, equalise."""
        ...

    def blend(self, patches: Sequence[Patch], box: Box) -> NDArray[np.float32]:
        """Return the mosaic in ``box``, float32 (height, width), NaN where no patch reaches."""
        ...


@runtime_checkable
class Analyzer(Protocol):
    """Measures one cell of the grid at a time, independent of every other cell; picklable."""

    @property
    def halo(self) -> int:
        """Pixels around a cell that its measurement looks at."""
        ...

    def process(self, block: NDArray[np.float32], info: BlockInfo) -> Any:
        """Measure one cell: ``block`` is the cell with its halo; return a small picklable partial result."""
        ...

    def merge(self, partials: Iterable[tuple[int, int, Any]], grid_shape: tuple[int, int]) -> Result:
        """Join ``(row, column, partial)`` of all cells into maps of ``grid_shape``; missing cells become NaN."""
        ...

    def measure(self, image: NDArray[Any], pixel_size_um: float | None = None) -> Measurement:
        """Measure a whole picture (h, w) at once: one number with its interval."""
        ...


@runtime_checkable
class RelationMethod(Protocol):
    """Relates profiles along x to a measured property; picklable."""

    def relate(self, profiles: Sequence[Profile], table: PropertyTable) -> tuple[Relation, ...]:
        """Return one relation per profile, strongest first."""
        ...
