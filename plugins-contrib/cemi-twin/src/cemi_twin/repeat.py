"""One repeat: a virtual specimen is recorded, the run's recipe is run on it, and every cell is put beside its truth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cemi_core.files.atomic import atomic_path
from cemi_core.model.progress import Progress
from cemi_core.model.result import GridMap
from cemi_core.plugins.manager import registry
from cemi_run.engine.folder import RunFolder
from cemi_run.engine.plan import Machine
from cemi_run.flow import run_recipe
from cemi_run.recipe.check import check_recipe
from cemi_run.recipe.yaml_tree import to_yaml
from cemi_run.steps.finish import opened_run
from cemi_twin.plan import TwinPlan
from cemi_virtual_sem.recording import write_recording
from cemi_virtual_sem.verdict import truth_of_run

_SERIES = ("value", "low", "high", "systematic", "truth", "column_truth")


@dataclass(frozen=True)
class Told:
    """What the recipe said of one quantity of a specimen whose truth is known.

    Attributes
    ----------
    name, label, unit : str
    value, low, high : ndarray of float64, shape (rows, columns)
        As the map has them; NaN where the cell could not be measured.
    systematic : ndarray of float64, shape (rows, columns)
        NaN where the map does not say what its cells share.
    truth : ndarray of float64, shape (rows, columns)
    column_truth : ndarray of float64, shape (columns,)
        Truth of whole columns.
    """

    name: str
    label: str
    unit: str
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    systematic: NDArray[np.float64]
    truth: NDArray[np.float64]
    column_truth: NDArray[np.float64]


def carry_out(
    plan: TwinPlan,
    truths: Mapping[str, str],
    seed: int,
    folder: Path,
    machine: Machine,
    progress: Progress,
) -> list[Told]:
    """Record, run and compare; what an earlier call has finished in the folder with the same plan is read instead.

    Parameters
    ----------
    plan : TwinPlan
    truths : mapping of str to str
        The truth of each map, by the names of `cemi_virtual_sem.truth.truth_on_grid`.
    seed : int
        Draws the specimen, the stage and the noise.
    folder : Path
        Of this repeat: ``recording/``, ``run/``, ``recipe.yaml`` and, at the end, ``cells.h5``.
    machine : Machine
    progress : callable

    Raises
    ------
    CemiError
        The recipe cannot be run on the twin.
    """
    key, cells = _key(plan, truths, seed), folder / "cells.h5"
    done = _read(cells, key)
    if done is not None:
        return done
    recording = folder / "recording"
    if not _is_of(folder / "key.txt", key):
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "key.txt").write_text(key, encoding="utf-8")
    if not (recording / "truth.h5").exists():
        write_recording(
            recording,
            plan.specimen,
            plan.session,
            seed=seed,
            mode=plan.mode,
            force=True,
            progress=lambda made, total: progress("recording the twin", made, total),
            threads=machine.workers,
        )
    recipe = folder / "recipe.yaml"
    recipe.write_text(to_yaml(plan.recipe_on(recording.resolve())), encoding="utf-8")
    checked = replace(check_recipe(recipe, registry()), report=None)
    run_recipe(checked, folder / "run", machine, progress, discard=("frames",))
    told = _compared(folder / "run", recording, truths)
    _write(cells, key, told)
    return told


def _key(plan: TwinPlan, truths: Mapping[str, str], seed: int) -> str:
    from cemi_twin import __version__

    content = [plan.specimen, plan.session.model_dump(mode="json"), plan.mode, dict(plan.recipe), dict(truths), seed]
    return sha256(json.dumps([__version__, *content], sort_keys=True, default=str).encode()).hexdigest()


def _is_of(path: Path, key: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == key


def _compared(run: Path, recording: Path, truths: Mapping[str, str]) -> list[Told]:
    with opened_run(RunFolder(run)) as data:
        cells, columns = truth_of_run(data, recording), truth_of_run(data, recording, rows=1)
        maps = [grid_map for result in data.results for grid_map in result.maps]
        return [
            _told(grid_map, cells[truths[grid_map.name]], columns[truths[grid_map.name]][0])
            for grid_map in maps
            if truths.get(grid_map.name) in cells
        ]


def _told(grid_map: GridMap, truth: NDArray[np.float64], column_truth: NDArray[np.float64]) -> Told:
    unknown = np.full(grid_map.value.shape, np.nan)
    systematic = unknown if grid_map.systematic is None else grid_map.systematic
    series = (grid_map.value, grid_map.low, grid_map.high, systematic, truth, column_truth)
    return Told(grid_map.name, grid_map.label, grid_map.unit, *(np.asarray(one, np.float64) for one in series))


def _write(path: Path, key: str, told: list[Told]) -> None:
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["key"] = key
        for number, one in enumerate(told):
            group = file.create_group(f"{number:03d}")
            group.attrs.update(name=one.name, label=one.label, unit=one.unit)
            for series in _SERIES:
                group[series] = getattr(one, series)


def _read(path: Path, key: str) -> list[Told] | None:
    """Return what an earlier call has finished, or None."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("key") != key:
                return None
            return [
                Told(*(str(group.attrs[name]) for name in ("name", "label", "unit")), *(group[s][()] for s in _SERIES))
                for _, group in sorted(file.items())
            ]
    except (OSError, KeyError):
        return None
