"""Truth against result: how well a run on a virtual recording has done."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.frame import Frame
from cemi_core.model.layout import Layout
from cemi_core.model.result import GridMap, Profile
from cemi_core.plugins.manager import make_named
from cemi_virtual_sem.truth import truth_on_grid

#: Which map of a run is compared with which truth.
TRUTH_OF_MAP = {
    "bcc_fraction": "bcc_fraction",
    "lamella_spacing": "lamella_spacing_um",
    "lamella_fraction": "lamella_fraction",
    "sr_fraction": "sr_fraction",
}


@dataclass(frozen=True)
class MapVerdict:
    """One map, or one profile along x, against its truth.

    Attributes
    ----------
    name, unit : str
    r : float
        Pearson's correlation over the cells or columns.
    bias : float
        Mean of measured minus true.
    rms : float
        Root mean square of measured minus true.
    covered : float
        Share of the cells or columns with a value whose 95 % interval holds the truth.
    true_range : tuple of float
        Smallest and largest true value.
    measured : float
        Share of the cells or columns with a truth that have a value.
    true_mean : float
        Mean of the truth where there is a value.
    """

    name: str
    unit: str
    r: float
    bias: float
    rms: float
    covered: float
    true_range: tuple[float, float]
    measured: float = 1.0
    true_mean: float = float("nan")


@dataclass(frozen=True)
class Verdict:
    """A run against the truth of its recording.

    Attributes
    ----------
    position_error_px : ndarray of float, shape (n,)
        Distance between found and true place of each frame, after one common translation.
    components, placed_by_prior : int
        Parts of the layout, and frames that stand where the stage should have been.
    maps : tuple of MapVerdict
    profiles : tuple of MapVerdict
        The same of the profiles along x, whose truth is the mean over all of a column.
    """

    position_error_px: NDArray[np.float64]
    components: int
    placed_by_prior: int
    maps: tuple[MapVerdict, ...]
    profiles: tuple[MapVerdict, ...] = ()


def judge_run(run: Path, recording: Path) -> Verdict:
    """Compare a finished run with the recording that it was made from.

    Parameters
    ----------
    run : Path
        Run folder of ``cemi recipe``.
    recording : Path
        Folder of ``cemi virtual-sem``.

    Raises
    ------
    InputError
        One of the folders is not what it should be, or a frame is not of this recording.
    """
    with make_named("source", "run", path=str(run)).opened() as data:
        if data.layout is None:
            raise InputError(f"{run} holds no layout")
        truth = true_positions(data.frames, recording)
        error = np.hypot(*(data.layout.positions_px - truth - _offset(data.layout, truth)).T)
        of_cells = truth_of_run(data, recording)
        of_columns = {name: values[0] for name, values in truth_of_run(data, recording, rows=1).items()}
        maps = [_judged(m, of_cells) for result in data.results for m in result.maps if _truth(m.name) in of_cells]
        profiles = [_judged(p, of_columns) for p in data.profiles if _truth(p.name) in of_columns]
        components = int(data.layout.component.max()) + 1
        return Verdict(error, components, int(data.layout.placed_by_prior.sum()), tuple(maps), tuple(profiles))


def verdict_lines(verdicts: Sequence[MapVerdict]) -> list[str]:
    """Return maps or profiles beside their truth as the lines of a table, for people."""
    head = f"{'quantity':<20}{'truth':>8}{'bias':>9}{'rms':>8}{'r':>7}{'covered':>10}{'measured':>10}   true range"
    lines = [head]
    for v in verdicts:
        low, high = v.true_range
        lines.append(
            f"{v.name:<20}{v.true_mean:>8.3f}{v.bias:>+9.3f}{v.rms:>8.3f}{v.r:>7.2f}{100 * v.covered:>8.0f} %"
            f"{100 * v.measured:>8.0f} %   {low:.3f} to {high:.3f} {'' if v.unit == '1' else v.unit}".rstrip()
        )
    return lines


def _truth(name: str) -> str:
    return TRUTH_OF_MAP.get(name, "")


def truth_of_run(data: FinishedRun, recording: Path, rows: int | None = None) -> dict[str, NDArray[np.float64]]:
    """Return the true value of each quantity in each cell of a run, by the names of `truth_on_grid`.

    Parameters
    ----------
    data : FinishedRun
        A run on the recording, the mosaic open.
    recording : Path
        Folder of ``cemi virtual-sem``.
    rows : int, optional
        Rows of cells instead of the run's own: 1 gives the truth of whole columns.

    Raises
    ------
    InputError
        The run holds no layout or mosaic, a frame is not of this recording, or the mosaic leaves the known region.
    """
    if data.layout is None or data.grid is None:
        raise InputError("the run holds no layout or no mosaic")
    offset = _offset(data.layout, true_positions(data.frames, recording))
    # A scan at (y, x) shows the specimen from there on, so pixel (0, 0) of the mosaic lies at minus the offset.
    box = (-offset[0], -offset[1], *data.grid.shape)
    return truth_on_grid(recording / "truth.h5", rows or data.grid.rows, data.grid.columns, _known(box, recording))


def _offset(layout: Layout, truth: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.median(layout.positions_px - truth, axis=0))


def _known(box: tuple[float, float, int, int], recording: Path) -> tuple[float, float, int, int]:
    """Return the box moved by the fraction of a pixel that it may stick out of the region with truth."""
    with h5py.File(recording / "truth.h5", "r") as file:
        low = [float(file.attrs["origin_y_px"]), float(file.attrs["origin_x_px"])]
    y, x, height, width = box
    if y < low[0] - 4 or x < low[1] - 4:
        raise InputError(f"the mosaic starts at ({y:.1f}, {x:.1f}) px of the specimen, outside the truth")
    return max(y, low[0]), max(x, low[1]), height, width


def true_positions(frames: Sequence[Frame], recording: Path) -> NDArray[np.float64]:
    """Return the true (y, x) of each frame's first pixel, px, shape (n, 2), from ``scans.csv`` or ``stills.csv``.

    A frame of a video belongs to the last scan that was complete at its presentation time. Frames that are narrower
    than the recorded picture (deskewed ones) have lost as many columns left as right, seen from the middle line.
    """
    scans = recording / "scans.csv"
    if scans.exists():
        rows = _read(scans)
        width = _recorded_width(recording)
        lost = np.array([(0.0, (width - frame.shape[1]) / 2) for frame in frames])
        return np.array([_scan_of(frame, rows) for frame in frames]) + lost
    by_file = {
        Path(row["file"]).name: (float(row["y_px"]), float(row["x_px"])) for row in _read(recording / "stills.csv")
    }
    missing = [frame.name for frame in frames if Path(frame.name).name not in by_file]
    if missing:
        raise InputError(f"{missing[0]} is not a still of {recording}")
    return np.array([by_file[Path(frame.name).name] for frame in frames])


def _recorded_width(recording: Path) -> int:
    try:
        session = json.loads((recording / "session.json").read_text(encoding="utf-8"))
        return int(session["settings"]["width_px"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{recording} is not a recording of 'cemi virtual-sem': {error}") from None


def _scan_of(frame: Frame, rows: list[dict[str, str]]) -> tuple[float, float]:
    file = frame.name.partition("@")[0]
    done = [row for row in rows if row["file"] == file and float(row["t_end_s"]) <= (frame.time_s or 0) + 0.02]
    if not done:
        raise InputError(f"{frame.name} is not a scan of this recording")
    last = max(done, key=lambda row: float(row["t_end_s"]))
    return float(last["y_px"]), float(last["x_px"])


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))
    except FileNotFoundError:
        raise InputError(f"{path.parent} is not a recording of 'cemi virtual-sem' ({path.name} is missing)") from None


def _judged(found: GridMap | Profile, truth: Mapping[str, NDArray[np.float64]]) -> MapVerdict:
    true = truth[_truth(found.name)]
    known = np.isfinite(found.value) & np.isfinite(true)
    value, expected = found.value[known], true[known]
    difference = value - expected
    covered = (found.low[known] <= expected) & (expected <= found.high[known])
    several = known.sum() > 2 and np.ptp(value) > 0 and np.ptp(expected) > 0
    nothing = not known.any()
    return MapVerdict(
        name=found.name,
        unit=found.unit,
        r=float(np.corrcoef(value, expected)[0, 1]) if several else float("nan"),
        bias=float("nan") if nothing else float(difference.mean()),
        rms=float("nan") if nothing else float(np.sqrt((difference**2).mean())),
        covered=float("nan") if nothing else float(covered.mean()),
        true_range=(float("nan"), float("nan")) if nothing else (float(expected.min()), float(expected.max())),
        measured=float(known.sum() / max(np.isfinite(true).sum(), 1)),
        true_mean=float("nan") if nothing else float(expected.mean()),
    )
