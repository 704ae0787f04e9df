"""The last step: one run file, maps as tables and pictures, and the report made from them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path
from cemi_core.model.finished_run import FinishedRun, PluginUse, Reporter, StepTime, map_file_names
from cemi_core.model.grid import FrameGrid, Grid
from cemi_core.model.result import PropertyTable, Result
from cemi_core.model.stages import Runtime
from cemi_core.plugins.manager import make
from cemi_run.engine.folder import RunFolder
from cemi_run.engine.plan import Context, Outcome
from cemi_run.engine.provenance import peak_memory_mb, versions
from cemi_run.recipe.check import CheckedRecipe, Choice
from cemi_run.steps.budget import budgets_of
from cemi_run.steps.denoise_quality import load_judgements
from cemi_run.steps.measure import cells_of, frame_grid, load_result, profiles_of
from cemi_run.steps.place import load_layout
from cemi_run.steps.quality import load_quality
from cemi_run.steps.relate import read_property_table
from cemi_run.steps.repeats import Repeatability, measured_repeats
from cemi_run.store.channels import ChannelMosaics, ChannelPaths, channel_paths
from cemi_run.store.check_file import read_check
from cemi_run.store.hdf5_table import new_hdf5_file, opened_hdf5_file, read_texts, write_texts
from cemi_run.store.map_csv import write_map_csv
from cemi_run.store.protocol import open_mosaic
from cemi_run.store.run_file import (
    objects_at,
    read_budgets,
    read_frames_table,
    read_layout,
    read_profiles,
    read_relations,
    read_result,
    write_budgets,
    write_frames_table,
    write_layout,
    write_profiles,
    write_relations,
    write_result,
)


@dataclass(frozen=True)
class Ending:
    """What the last step must know of the flow before it."""

    title: str
    mosaic_step: str
    analyze_steps: tuple[str, ...]
    judge_steps: tuple[str, ...]
    recipe: CheckedRecipe
    choices: tuple[Choice[Any], ...]
    step_names: tuple[str, ...]
    frames_step: str = ""


def finish_run(ending: Ending, context: Context) -> Outcome:
    """Write ``run.h5``, ``maps/`` and the report from what the steps before have left."""
    folder = context.folder
    with new_hdf5_file(folder.run_file) as file:
        _write_run(file, ending, folder, context.machine.runtime())
    _write_maps(folder)
    outputs = [folder.run_file, folder.maps]
    choice = ending.recipe.report
    if choice is None:
        return Outcome(outputs, ["No report was written: no package that writes one (cemi-report) is installed."])
    reporter: Reporter = make(choice.plugin, choice.settings, context.machine.runtime())
    return Outcome([*outputs, *write_run_report(reporter, folder)])


def _write_run(file: h5py.File, ending: Ending, folder: RunFolder, runtime: Runtime) -> None:
    with opened_hdf5_file(folder.inner / "frames.h5") as table:
        frames, dropped = read_frames_table(table)
    write_frames_table(file.create_group("frames"), frames, dropped)
    layout = load_layout(folder.output_of("layout"))
    write_layout(file.create_group("layout"), layout)
    quality = load_quality(folder)
    if quality is not None:
        write_result(file.create_group("quality"), quality)
    _write_results(file.create_group("denoising"), load_judgements(folder, ending.judge_steps))
    stored = [folder.output_of(step) for step in ending.analyze_steps]
    results = [load_result(path) for path in stored]
    _write_results(file.create_group("results"), results, [_objects_of(path) for path in stored])
    with open_mosaic(folder.output_of(ending.mosaic_step)) as mosaic:
        grid = cells_of(ending.recipe.grid, mosaic, folder)
        pixel_size_um = mosaic.pixel_size_um
        profiles = profiles_of(results, grid, pixel_size_um)
    channels = channel_paths(folder.output_of(ending.mosaic_step))
    write_profiles(file.create_group("profiles"), profiles)
    repeats: dict[str, Repeatability] = {}
    stitched = folder.record(ending.frames_step) if ending.frames_step else None
    if stitched is not None and stitched.outputs:
        frames_path = folder.path / stitched.outputs[0]
        repeats = measured_repeats(ending.recipe.analyzers, frames_path, layout, grid, pixel_size_um, runtime)
    independent = isinstance(grid, FrameGrid)
    write_budgets(file, budgets_of(results, ending.recipe.pixel_size_share, repeats, independent))
    relate = ending.recipe.relate
    relations = file.create_group("relations")
    if relate is not None:
        with opened_hdf5_file(folder.output_of("relate")) as related:
            write_relations(relations, read_relations(related["relations"]))
    records = [record for name in ending.step_names if (record := folder.record(name)) is not None]
    write_texts(file, "warnings", [note for record in records for note in record.notes])
    about = {
        "title": ending.title,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": grid.rows,
        "columns": grid.columns,
        "cells": "frames" if isinstance(grid, FrameGrid) else "grid",
        "mosaic": folder.relative(folder.output_of(ending.mosaic_step)),
        "channels": list(channels.paths),
        "main_channel": channels.main,
        "recipe": ending.recipe.to_yaml(),
        "property": [relate.property, relate.x, relate.value, relate.y] if relate and relate.property else None,
        "versions": versions(ending.choices),
        "plugins": [[c.plugin.stage, c.name, c.plugin.package, c.plugin.version] for c in ending.choices],
        "steps": [[record.name, record.seconds, "done"] for record in records],
        "peak_memory_mb": peak_memory_mb(),
    }
    file.attrs["cemi_run_format"] = 1
    # A dataset, since HDF5 holds no attribute above 64 kB and a recipe may list many files.
    file["about"] = json.dumps(about)


def _write_results(group: h5py.Group, results: Sequence[Result], objects: Sequence[Sequence[str]] = ()) -> None:
    for number, result in enumerate(results):
        entry = group.create_group(f"{number:02d}-{result.analyzer.replace('/', '_')}")
        write_result(entry, result, objects[number] if objects else ())


def _objects_of(path: Path) -> list[str]:
    with opened_hdf5_file(path) as file:
        return objects_at(file)


@contextmanager
def opened_run(folder: RunFolder) -> Iterator[FinishedRun]:
    """Yield everything that ``run.h5`` knows, with the mosaic open for reading.

    Raises
    ------
    InputError
        The folder holds no finished run.
    """
    if not folder.run_file.exists():
        raise InputError(f"{folder.path} holds no finished run (run.h5 is missing); run 'cemi recipe' first")
    with opened_hdf5_file(folder.run_file) as file:
        if "about" not in file:
            raise InputError(f"{folder.run_file} was not written by 'cemi recipe'")
        about = json.loads(file["about"][()])
        frames, dropped = read_frames_table(file["frames"])
        mosaic_path = folder.path / about["mosaic"]
        layout, results = (
            read_layout(file["layout"]),
            [read_result(g, folder.path) for _, g in sorted(file["results"].items())],
        )
        quality = read_result(file["quality"]) if "quality" in file else None
        denoising = [read_result(g) for _, g in sorted(file["denoising"].items())] if "denoising" in file else []
        profiles, relations = read_profiles(file["profiles"]), read_relations(file["relations"])
        warnings = read_texts(file, "warnings")
        budgets = read_budgets(file)
    separate = about.get("cells") == "frames"  # a run of an older version has a grid
    with ExitStack() as stack:
        mosaic = stack.enter_context(open_mosaic(mosaic_path)) if mosaic_path.exists() else None
        paths = [layer.path for result in results for layer in result.layers if (folder.path / layer.path).exists()]
        layers = {path: stack.enter_context(open_mosaic(folder.path / path)) for path in paths}
        channels = channel_paths(mosaic_path) if about.get("channels") and mosaic else ChannelPaths()
        run = FinishedRun(
            title=about["title"],
            created=about["created"],
            frames=frames,
            dropped=dropped,
            layout=layout,
            mosaic=mosaic,
            channels=stack.enter_context(ChannelMosaics(channels.paths)),
            main_channel=channels.main,
            grid=frame_grid(layout, [frame.name for frame in frames], layout.mosaic_shape)
            if separate
            else Grid(about["rows"], about["columns"], mosaic.shape)
            if mosaic
            else None,
            results=results,
            profiles=profiles,
            budgets=budgets,
            relations=relations,
            property_table=_table_if_there(*about["property"]) if about["property"] else None,
            settings_yaml=about["recipe"],
            versions=about["versions"],
            plugins=[PluginUse(*row) for row in about["plugins"]],
            timings=[StepTime(*row) for row in about["steps"]],
            warnings=warnings,
            peak_memory_mb=about["peak_memory_mb"],
            quality=quality,
            denoising=denoising,
            layers=layers,
        )
        yield _with_checks(run, folder)


def _with_checks(run: FinishedRun, folder: RunFolder) -> FinishedRun:
    """Return the run with what checks of it have found; those of an earlier state of it are named and left out."""
    there = [path for path in folder.checks if path.exists()]
    if not there:
        return run
    found, warnings, state = [], list(run.warnings), run.digest
    for path in there:
        result, digest = read_check(path)
        if digest == state:
            found.append(result)
        else:
            warnings.append(
                f"{path.name} is of an earlier state of this run and is not shown; run 'cemi {path.stem}' again."
            )
    return replace(run, trust=found, warnings=warnings)


def _table_if_there(path: str, x: str, value: str, y: str | None = None) -> PropertyTable | None:
    """Return the property table if its file is still where the run found it; the report does without it otherwise."""
    try:
        return read_property_table(Path(path), x, value, y)
    except InputError:
        return None


def write_run_report(reporter: Reporter, folder: RunFolder) -> list[Path]:
    """Write a report into a run folder from what it holds; return the files that the reporter wrote."""
    with opened_run(folder) as run:
        return list(reporter.write(run, folder.path))


def _write_maps(folder: RunFolder) -> None:
    with opened_run(folder) as run, atomic_path(folder.maps) as temporary:
        temporary.mkdir()
        if run.grid is None:
            return
        maps = [grid_map for result in run.results for grid_map in result.maps]
        for name, grid_map in zip(map_file_names(maps), maps, strict=True):
            write_map_csv(temporary / f"{name}.csv", grid_map, run.grid, run.pixel_size_um)
