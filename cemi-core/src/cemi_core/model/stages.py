"""The contracts of the stages: what a denoiser, a stitcher, an analyzer and a relation must offer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.abilities import (
    AnalyzerAbilities,
    DenoiserAbilities,
    RelationAbilities,
    SourceAbilities,
    StitcherAbilities,
)
from cemi_core.model.executor import SerialExecutor
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout, PairShift
from cemi_core.model.measured_maps import MeasuredMaps
from cemi_core.model.mosaic import Box, Mosaic, Patch
from cemi_core.model.progress import Progress, silent
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
        The brightest grey level of the whole image, where it is known (of a mosaic, only for a denoiser with the
        ability ``wants_peak``): a detector of 12 bits in a file of 16 uses a sixteenth of the range.
    image_shape : tuple of int or None
        (height, width) of the whole image that the block was cut from, px: an edge of the block that is no edge of the
        image cuts what lies there.
    channels : tuple of str
        Names of the channels of the block (n, h, w), or of the one that it is; empty for plain grey.
    """

    pixel_size_um: float | None = None
    core: tuple[slice, slice] | None = None
    valid: NDArray[np.bool_] | None = None
    row: int = 0
    column: int = 0
    box: Box | None = None
    peak: float | None = None
    image_shape: tuple[int, int] | None = None
    channels: tuple[str, ...] = ()

    @property
    def origin_px(self) -> tuple[int, int]:
        """(y, x) of the block's first pixel, halo included, in the whole image; (0, 0) if nothing is known."""
        if self.box is None or self.core is None:
            return (0, 0)
        rows, columns = self.core
        return self.box.y - (rows.start or 0), self.box.x - (columns.start or 0)


class Journal(Protocol):
    """Keeps the shifts of finished batches of pairs, so that a run that was killed does not match them again."""

    def get(self, key: str) -> list[PairShift] | None:
        """Return what was put under ``key``, or None."""
        ...

    def put(self, key: str, shifts: list[PairShift]) -> None:
        """Keep ``shifts`` under ``key``."""
        ...


class ForgetfulJournal:
    """A journal that keeps nothing, for work that is not resumed."""

    def get(self, key: str) -> list[PairShift] | None:
        """Return None."""
        return None

    def put(self, key: str, shifts: list[PairShift]) -> None:
        """Keep nothing."""


@dataclass(frozen=True)
class PlaceContext:
    """What a stitcher may use while it places or judges.

    Attributes
    ----------
    executor : Executor
        Runs tasks; by default where they are submitted.
    progress : callable
        Called with (what is going on, done, total).
    journal : Journal
        Keeps finished batches of pairs over kills.
    """

    executor: Executor = field(default_factory=SerialExecutor)
    progress: Progress = silent
    journal: Journal = field(default_factory=ForgetfulJournal)


@runtime_checkable
class Prepares(Protocol):
    """Ability ``prepares``: weights, files and the device are tried before the work starts."""

    def prepare(self) -> None:
        """Try all that the work needs; cheap beside the work.

        Raises
        ------
        CemiError
            Something cannot be used.
        """
        ...


@runtime_checkable
class Denoiser(Protocol):
    """Removes noise from images; pure, no state between calls, picklable.

    ``info.valid`` names pixels that were not imaged; one that fills them (in-painting) may return anything there, and
    the others return them as they came.
    """

    @property
    def halo(self) -> int:
        """Pixels around a block that its result depends on."""
        ...

    def __call__(self, block: NDArray[np.float32], info: BlockInfo | None = None) -> NDArray[np.float32]:
        """Return ``block`` (n, h, w) or (h, w), float32 in [0, 1], without noise, same type.

        The same shape, or with the ability ``scale`` = s, (n, s h, s w).
        """
        ...


@runtime_checkable
class LearnsFromFrames(Protocol):
    """Ability ``learns`` of a denoiser: it becomes another one by looking at the frames of the run.

    If that is a dataclass of the same package, and only texts, numbers, bytes and tuples of them in it differ from the
    denoiser that was asked, it is kept in the run folder: a run that was killed goes on with it, and it is the one
    that judges.
    """

    def adapt(self, frames: FrameSource, layout: Layout | None) -> Denoiser:
        """Return the denoiser that has learnt; ``layout`` is None without the ability ``needs_layout``.

        It `TellsNotes`: what came of learning.
        """
        ...


@runtime_checkable
class TellsNotes(Protocol):
    """Something that has sentences for the report."""

    @property
    def notes(self) -> tuple[str, ...]:
        """The sentences."""
        ...


@runtime_checkable
class JudgesDenoising(Protocol):
    """Ability ``judges`` of a denoiser: how far its work on these frames can be trusted."""

    def judge(self, raw: FrameSource, denoised: FrameSource, layout: Layout | None, executor: Executor) -> Result:
        """Return a judgement of frames before and after; ``layout`` is None for windows of a mosaic.

        Its table ``summary`` has the columns ``quantity``, ``value``, ``limit`` and ``verdict``; a verdict that begins
        with "doubtful" is named at the top of the report.
        """
        ...


@runtime_checkable
class Stitcher(Protocol):
    """Finds where frames lie and joins them; picklable."""

    def place(self, frames: FrameSource, context: PlaceContext) -> Layout:
        """Return the layout of the frames: match, solve, equalise."""
        ...

    def blend(self, patches: Sequence[Patch], box: Box) -> NDArray[np.float32]:
        """Return the mosaic in ``box``, float32 (height, width), NaN where no patch reaches."""
        ...


@runtime_checkable
class JudgesLayout(Protocol):
    """Ability ``judges`` of a stitcher: how good a layout is."""

    def judge(self, frames: FrameSource, layout: Layout, context: PlaceContext) -> Result:
        """Return a judgement of a layout of these frames.

        Its table ``summary`` (``quantity``, ``value``) must hold a row ``score`` (0 to 100, NaN if unknown), its first
        note says what the score means; maps, further tables and overlays (the weak places) are shown in the report.
        """
        ...


@runtime_checkable
class CountsFrames(Protocol):
    """Ability ``counts_frames`` of a stitcher: how many frames made each pixel."""

    def blend_and_count(self, patches: Sequence[Patch], box: Box) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the mosaic in ``box`` and the effective number of frames in each pixel, float32, both of its shape."""
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
        """Measure a whole image (h, w) at once: one number with its interval."""
        ...


@runtime_checkable
class WritesLayers(Protocol):
    """Ability ``layers`` of an analyzer: it also says something of every pixel."""

    def process_with_layers(
        self, block: NDArray[np.float32], info: BlockInfo
    ) -> tuple[Any, Mapping[str, NDArray[np.float32] | NDArray[np.uint8]]]:
        """Return what `process` returns, and of each declared layer the pixels of the cell itself (without halo).

        A mask or a probability is float32 or uint8 0 or 1, (h, w) of ``info.core``; classes are uint8.
        """
        ...


@runtime_checkable
class Explains(Protocol):
    """Ability ``explains`` of an analyzer: it can draw what it has seen."""

    def explain(self, block: NDArray[np.float32], info: BlockInfo) -> NDArray[np.uint8]:
        """Return an image of the cell itself, uint8 (h, w) or (h, w, 3), that shows what was measured there."""
        ...


@runtime_checkable
class ExportsChannels(Protocol):
    """An exporter whose format holds several channels."""

    def export_channels(self, channels: Mapping[str, Mosaic], path: Path, progress: Callable[[int, int], None]) -> None:
        """Write mosaics of one shape and pixel size as the channels of one image, with their names, in their order."""
        ...


@runtime_checkable
class RelationMethod(Protocol):
    """Relates profiles to a measured property; picklable."""

    def relate(self, profiles: Sequence[Profile], table: PropertyTable) -> tuple[Relation, ...]:
        """Return one relation per profile, strongest first, then those of several quantities together, if any."""
        ...


@runtime_checkable
class RelatesMaps(Protocol):
    """Ability ``needs_maps`` of a relation method: it looks under each point of the property.

    `relate` is asked of it for images that stand alone only.
    """

    def relate_maps(self, measured: MeasuredMaps, table: PropertyTable) -> tuple[Relation, ...]:
        """Return what `RelationMethod.relate` returns, from maps; ``table.y_um`` is None where only x is known."""
        ...


#: What an object must offer for each ability that its plugin declares.
CONTRACTS: Mapping[type, Mapping[str, type]] = {
    SourceAbilities: {"prepares": Prepares},
    DenoiserAbilities: {"learns": LearnsFromFrames, "judges": JudgesDenoising, "prepares": Prepares},
    StitcherAbilities: {"judges": JudgesLayout, "counts_frames": CountsFrames, "prepares": Prepares},
    AnalyzerAbilities: {"layers": WritesLayers, "explains": Explains, "prepares": Prepares},
    RelationAbilities: {"needs_maps": RelatesMaps},
}
