"""What is recorded and measured for a twin: frames, passes and cells like those of the run, but fewer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cemi_core.errors import UsageError
from cemi_core.model.result import GridMap
from cemi_twin.families import DARK_PHASE, Variation
from cemi_twin.fit import Fit
from cemi_twin.noise import FrameNoise
from cemi_twin.reading import Microscope, RunView
from cemi_virtual_sem.detector import DetectorSettings, line_kernel
from cemi_virtual_sem.settings import Mode, SessionSettings
from cemi_virtual_sem.stage import StageSettings

Size = Literal["auto", "tiny", "small", "medium"]
SIZES: tuple[Size, ...] = ("auto", "tiny", "small", "medium")
_FRAMES = {"auto": 24, "tiny": 12, "small": 24, "medium": 40}
_MAX_FRAME_PX = (1024, 1536)
_ROWS_OF_CELLS = 4
#: Mean of the squared distance from the middle of the shading, over a frame (see `cemi_virtual_sem.detector`).
_MEAN_RADIUS = 2 / 3 + 0.15**2 + 0.25**2


@dataclass(frozen=True)
class TwinPlan:
    """One recording of a twin, and how it is measured.

    Attributes
    ----------
    specimen : str
        Name of the specimen plugin.
    session : SessionSettings
    mode : {"video", "stills"}
    recipe : mapping
        The run's recipe without its source, relation and report, on a grid of cells as large as the run's.
    left_out : tuple of str
        Sentences on what the twin cannot tell.
    """

    specimen: str
    session: SessionSettings
    mode: Mode
    recipe: Mapping[str, Any]
    left_out: tuple[str, ...] = ()

    @property
    def pictures(self) -> int:
        """Frames that are recorded, or scans of a video."""
        s = self.session
        return s.stills if self.mode == "stills" else s.passes * s.scans_per_pass

    def recipe_on(self, recording: Path) -> dict[str, Any]:
        """Return the recipe with a recording as its source."""
        return {**self.recipe, "source": _source(self.recipe["source"], self.mode, recording, self.session)}


def detector_of(noise: FrameNoise, shading: float = 0.0, drift: float = 0.0) -> DetectorSettings:
    """Return the virtual detector whose frames have this noise."""
    along = noise.line_autocorrelation
    while any(along):
        try:
            line_kernel(along)
            break
        except UsageError:  # measured values need not belong to any noise; the nearest smaller ones do
            along = tuple(0.9 * value if abs(value) > 0.02 else 0.0 for value in along)
    return DetectorSettings(
        electrons_per_px=1 / max(noise.per_grey, 1e-6),
        read_noise=math.sqrt(max(noise.base, 0.0)),
        line_autocorrelation=along,
        shading=shading,
        brightness_drift=drift,
    )


def variation_of(maps: tuple[GridMap, ...]) -> Variation:
    """Return how far the run's own maps vary along x, beyond what the scatter of their cells explains."""

    def half(name: str, relative: bool = False) -> float:
        found = next((grid_map for grid_map in maps if grid_map.name == name), None)
        if found is None or not np.isfinite(found.value).any():
            return 0.0
        count = np.isfinite(found.value).sum(0)
        column = np.nanmean(np.where(count > 0, found.value, 0.0), axis=0)[count > 0]
        if len(column) < 4:
            return 0.0
        rows = np.nanvar(found.value, axis=0)[count > 1] / np.maximum(count[count > 1] - 1, 1)
        spread = math.sqrt(max(float(column.var()) - (float(np.nanmean(rows)) if rows.size else 0.0), 0.0))
        mean = abs(float(column.mean()))
        return math.sqrt(2) * spread / (mean if relative and mean > 0 else 1.0)

    phase = max(half(name) for name in DARK_PHASE)
    return Variation(
        min(phase, 0.2), min(half("lamella_fraction"), 0.25), min(half("lamella_spacing", True), 0.3), _slope(maps)
    )


def _slope(maps: tuple[GridMap, ...]) -> float:
    for grid_map in maps:
        if grid_map.name in ("sr_fraction", "phase_fraction", "bcc_fraction"):
            count = np.isfinite(grid_map.value).sum(0)
            x = np.flatnonzero(count)
            if len(x) < 4:
                continue
            column = np.nanmean(grid_map.value[:, x], axis=0)
            return float(np.clip(np.polyfit(x, column, 1)[0] * grid_map.value.shape[1], -0.9, 0.9))
    return 0.0


def plan_twin(view: RunView, microscope: Microscope, fit: Fit, size: Size) -> TwinPlan:
    """Return what is recorded and measured: enough cells for the statistics, in little time and memory."""
    height, width = (min(edge, limit) for edge, limit in zip(view.frame_shape, _MAX_FRAME_PX, strict=True))
    height, width = height // 4 * 4, width // 2 * 2
    ratio = [edge / full for edge, full in zip((height, width), view.frame_shape, strict=True)]
    step_y, step_x = (step * part for step, part in zip(microscope.step_px, ratio, strict=True))
    step_x = step_x if math.isfinite(step_x) else 0.6 * width
    frames = min(_FRAMES[size], max(len(view.frames), 6))
    passes = _passes(view, height, step_y, frames)
    step_y = step_y if math.isfinite(step_y) else 0.7 * height
    travel = max(frames // passes - 1, 1) * step_x
    per_scan = 0.15 * width
    extent = ((passes - 1) * step_y + height, travel + width)
    cell = view.grid.cell_shape
    rows, columns = (max(1, round(length / edge)) for length, edge in zip(extent, cell, strict=True))
    values: dict[str, Any] = fit.settings(view.pixel_um, variation_of(view.maps))
    level = 1 - microscope.shading / 2 * _MEAN_RADIUS
    values |= {name: min(values[name] / level, 1.0) for name in values if name.endswith("_grey")}
    placing = microscope.placing_px
    session = SessionSettings(
        pixel_size_um=view.pixel_um,
        # a frame of a moving stage loses a margin when it is deskewed
        width_px=width + (round(per_scan) // 2 * 2 if view.is_video else 0),
        height_px=height,
        bar_px=max(24, height // 48 * 4),
        passes=passes,
        stills=passes * max(frames // passes, 2),
        travel_px=travel,
        px_per_scan=per_scan,
        overlap_y=float(np.clip(1 - step_y / height, 0.05, 0.9)),
        blur_px=fit.found["blur"],
        specimen=values,
        stage=StageSettings(placing_px=float(np.clip(placing, 0.0, 30.0)) if math.isfinite(placing) else 5.0),
        detector=detector_of(microscope.noise, microscope.shading, microscope.drift),
    )
    recipe, left_out = _recipe_of(view, rows, columns)
    return TwinPlan(fit.family.name, session, "video" if view.is_video else "stills", recipe, left_out)


def _passes(view: RunView, height: int, step_y: float, frames: int) -> int:
    """Return as many passes as a few rows of cells need, at most those of the run."""
    if not math.isfinite(step_y) or step_y <= 0:
        return 1
    of_run = round((view.layout.mosaic_shape[0] - height) / step_y) + 1
    wanted = min(view.grid.rows, _ROWS_OF_CELLS) * view.grid.cell_shape[0]
    needed = math.ceil((wanted - height) / step_y) + 1
    return int(np.clip(needed, 1, max(1, min(of_run, frames // 3))))


def _recipe_of(view: RunView, rows: int, columns: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    kept = {key: value for key, value in view.recipe.items() if key not in ("relate", "report", "grid")}
    said = []
    if view.channels:
        other = [entry["use"] for entry in kept.get("analyze", []) if entry.get("channel")]
        kept["analyze"] = [entry for entry in kept.get("analyze", []) if not entry.get("channel")]
        kept["stitch"] = {key: value for key, value in kept.get("stitch", {}).items() if key != "match_channel"}
        said += [f"{name} was measured on another channel, and a twin has one only" for name in other]
    return {**kept, "grid": {"rows": rows, "columns": columns}}, tuple(said)


def _source(source: Mapping[str, Any], mode: Mode, recording: Path, session: SessionSettings) -> dict[str, Any]:
    """Return the run's source with the twin's files: what was said of the user's own files is left out."""
    length = f"{session.pixel_size_um!r} um"
    given = dict(source.get("with", {}))
    if mode == "video":
        kept = {key: given[key] for key in ("overlap", "overlap_range", "direction", "deskew") if key in given}
        with_ = {**kept, "path": str(recording / "pass*.mp4"), "pixel_size": length, "y_overlap": session.overlap_y}
        return {"use": "video", "with": with_}
    with_ = {"path": str(recording / "frames" / "*.tif"), "pixel_size": length}
    if "positions" in given or "grid" in given:
        with_["positions"] = str(recording / "positions.csv")
    if "tolerance" in given:
        with_["tolerance"] = given["tolerance"]
    return {"use": "images", "with": with_}
