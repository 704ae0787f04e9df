"""Everything that a finished (or half-finished) run knows about itself: what a report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from cemi_core.model.budget import UncertaintyBudget
from cemi_core.model.frame import DroppedFrame, Frame, FrameSource
from cemi_core.model.grid import Cells, FrameGrid
from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Mosaic
from cemi_core.model.result import GridMap, Profile, PropertyTable, Relation, Result
from cemi_core.renamed import old_name


class StepTime(NamedTuple):
    """How long a step of the run took: its name, seconds, and what became of it (``"done"``, ``"reused"``, ...)."""

    step: str
    seconds: float
    status: str


class PluginUse(NamedTuple):
    """A plugin that took part: the stage it served, its name, and the package and version that it came from."""

    stage: str
    name: str
    package: str
    version: str


@dataclass(frozen=True)
class FinishedRun:
    """Everything that a report may show; what is missing is left out of the page.

    Attributes
    ----------
    title : str
        Heading of the page.
    created : str
        When the run ended, ISO 8601.
    frames : sequence of Frame
        Frames that the source kept, in the order of the layout.
    dropped : sequence of DroppedFrame
        Frames that the source left out, and why.
    layout : Layout or None
        Where the frames lie; its frames are those of ``frames``, in the same order.
    mosaic : Mosaic or None
        The picture. Only small boxes and coarse levels of it are read.
    channels : mapping of str to Mosaic
        The mosaic of each channel, opened when it is asked for; empty for plain grey.
    main_channel : str
        The channel that ``mosaic`` shows, on which the frames were matched; empty where that is the luminance of
        colour, or plain grey.
    grid : Grid, FrameGrid or None
        Cells of the maps; without it the maps are drawn in rows and columns.
    results : sequence of Result
        What the analyzers found.
    profiles : sequence of Profile
        Quantities along x.
    relations : sequence of Relation
        How the profiles go with a measured property.
    property_table : PropertyTable or None
        That property.
    settings_yaml : str
        The resolved recipe.
    versions : mapping of str to str
        Versions of the programs that took part.
    plugins : sequence of PluginUse
    timings : sequence of StepTime
    warnings : sequence of str
        What to mistrust; shown at the top together with what the data itself gives away.
    peak_memory_mb : float or None
        Largest memory of the run, MB.
    quality : Result or None
        How good the stitching is, where the stitcher says it.
    denoising : sequence of Result
        How far the work of each denoiser can be trusted, where it says it.
    layers : mapping of str to Mosaic
        The layers that the results name, by their path.
    budgets : sequence of UncertaintyBudget
        The mean of each map over the mosaic, and what its uncertainty is made of.
    trust : sequence of Result
        What checks of the finished run have found: how far off its numbers are (``cemi twin``, ``cemi count``).
    """

    title: str
    created: str = ""
    frames: Sequence[Frame] = ()
    dropped: Sequence[DroppedFrame] = ()
    layout: Layout | None = None
    mosaic: Mosaic | None = None
    channels: Mapping[str, Mosaic] = field(default_factory=dict)
    main_channel: str = ""
    grid: Cells | None = None
    results: Sequence[Result] = ()
    profiles: Sequence[Profile] = ()
    relations: Sequence[Relation] = ()
    property_table: PropertyTable | None = None
    settings_yaml: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    plugins: Sequence[PluginUse] = ()
    timings: Sequence[StepTime] = ()
    warnings: Sequence[str] = ()
    peak_memory_mb: float | None = None
    quality: Result | None = None
    denoising: Sequence[Result] = ()
    layers: Mapping[str, Mosaic] = field(default_factory=dict)
    budgets: Sequence[UncertaintyBudget] = ()
    trust: Sequence[Result] = ()

    @property
    def digest(self) -> str:
        """What tells this state of the run from any other: 16 hexadecimal digits, made of its settings and its maps."""
        content = sha256(self.settings_yaml.encode())
        for grid_map in (grid_map for result in self.results for grid_map in result.maps):
            content.update(grid_map.name.encode())
            for values in (grid_map.value, grid_map.low, grid_map.high):
                content.update(np.ascontiguousarray(values, np.float64).tobytes())
        return content.hexdigest()[:16]

    @property
    def pixel_size_um(self) -> float | None:
        """Edge of a pixel, micrometres: the mosaic's, else that of the first frame that knows it."""
        if self.mosaic is not None and self.mosaic.pixel_size_um:
            return self.mosaic.pixel_size_um
        return next((frame.pixel_size_um for frame in self.frames if frame.pixel_size_um), None)

    @property
    def separate(self) -> bool:
        """True if the frames are images that stand alone: the mosaic only shows them side by side."""
        return isinstance(self.grid, FrameGrid)

    def quantity_label(self, name: str) -> str:
        """Return the words for a quantity that a relation names, or the name itself."""
        return next((profile.label for profile in self.profiles if profile.name == name), name)

    def frame_name(self, index: int) -> str:
        """Return the name of frame ``index``, or its number where the source gave none."""
        return self.frames[index].name if 0 <= index < len(self.frames) else f"frame {index}"


@runtime_checkable
class RunFrames(FrameSource, Protocol):
    """The frames of a run as its source gave them, where they were placed, and all else that the run has found.

    The source ``run`` gives it: ``make_named("source", "run", path="runs/ehea")``.
    """

    @property
    def layout(self) -> Layout:
        """Where the frames lie."""
        ...

    def opened(self) -> AbstractContextManager[FinishedRun]:
        """Return a context with everything that the finished run knows, the mosaic open for reading.

        Raises
        ------
        InputError
            The run is not finished.
        """
        ...


@runtime_checkable
class Reporter(Protocol):
    """Writes what a finished run has found, for people."""

    def write(self, run: FinishedRun, folder: Path) -> Sequence[Path]:
        """Write the report into ``folder`` and return the files, the one to open first.

        ``maps/`` of the folder holds a table of each map already, under the names of `map_file_names`.
        """
        ...


def map_file_names(maps: Sequence[GridMap]) -> list[str]:
    """Return a file name without suffix for each map: its own name, numbered where several have the same."""
    names: list[str] = []
    for grid_map in maps:
        plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in grid_map.name)[:100]
        number = 1
        while (name := plain if number == 1 else f"{plain}_{number}") in names:
            number += 1
        names.append(name)
    return names


def __getattr__(name: str) -> Any:
    return old_name(__name__, name)
