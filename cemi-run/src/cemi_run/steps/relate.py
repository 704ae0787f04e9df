"""The step that relates what was measured on a mosaic to a property along x, or at points of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from cemi_core.errors import InputError, UsageError
from cemi_core.files.csv_table import read_csv_table
from cemi_core.model.grid import Cells, Grid
from cemi_core.model.measured_maps import MeasuredMaps
from cemi_core.model.result import Profile, PropertyTable, Relation, Result
from cemi_core.model.stages import RelatesMaps, Runtime
from cemi_core.model.units import MICROMETRES_PER_UNIT
from cemi_core.plugins.manager import make
from cemi_core.plugins.types import RelationPlugin
from cemi_run.engine.abilities import with_ability
from cemi_run.engine.folder import RunFolder
from cemi_run.engine.plan import Context, Outcome
from cemi_run.recipe.check import Choice
from cemi_run.recipe.schema import GridSpec, RelateSpec
from cemi_run.steps.measure import cells_of, load_result, profiles_of
from cemi_run.store.hdf5_table import new_hdf5_file
from cemi_run.store.protocol import open_mosaic
from cemi_run.store.run_file import write_profiles, write_relations

#: The column of a property's table that says what each value averages over.
_FOOTPRINT = re.compile("footprint_(nm|um|mm|cm)")


def relate_profiles(
    choice: Choice[RelationPlugin],
    spec: RelateSpec,
    analyze_steps: Sequence[str],
    mosaic_step: str,
    grid: GridSpec | Literal["frames"] | None,
    context: Context,
) -> Outcome:
    """Relate every map, or its profile, to the measured property."""
    with open_mosaic(context.folder.output_of(mosaic_step)) as mosaic:
        if mosaic.pixel_size_um is None:
            raise UsageError(
                "'relate' needs the pixel size, which is unknown; give 'pixel_size' in the source's settings"
            )
        results = [load_result(context.folder.output_of(step)) for step in analyze_steps]
        cells, pixel_size_um = cells_of(grid, mosaic, context.folder), mosaic.pixel_size_um
    profiles = profiles_of(results, cells, pixel_size_um)
    table = read_property_table(Path(spec.property or ""), spec.x, spec.value or "", spec.y)
    relations = related(choice, context.machine.runtime(), results, profiles, cells, pixel_size_um, table)
    return Outcome([write_related(context.folder, profiles, relations)], list(table.notes))


def related(
    choice: Choice[RelationPlugin],
    runtime: Runtime,
    results: Sequence[Result],
    profiles: Sequence[Profile],
    cells: Cells,
    pixel_size_um: float,
    table: PropertyTable,
) -> tuple[Relation, ...]:
    """Return how the maps of a mosaic go with a property, by a method that takes maps or profiles.

    Raises
    ------
    PluginError
        The method declares that it takes maps, and does not.
    """
    method = make(choice.plugin, choice.settings, runtime)
    if not choice.plugin.description.abilities_of(choice.settings).needs_maps or not isinstance(cells, Grid):
        return tuple(method.relate(profiles, table))
    maps = [grid_map for result in results for grid_map in result.maps]
    measured = MeasuredMaps(maps, profiles, cells, pixel_size_um)
    return with_ability(method, RelatesMaps, choice.plugin, "needs_maps").relate_maps(measured, table)


def write_related(folder: RunFolder, profiles: Sequence[Profile], relations: Sequence[Relation]) -> Path:
    """Keep relations, and the profiles behind them, for the last step; return the file."""
    path = folder.inner / "relations.h5"
    with new_hdf5_file(path) as file:
        write_profiles(file.create_group("profiles"), profiles)
        write_relations(file.create_group("relations"), relations)
    return path


def read_property_table(path: Path, x_column: str, value_column: str, y_column: str | None = None) -> PropertyTable:
    """Read a CSV table of a property along x, or at points of the mosaic.

    A column ``footprint_um`` (or _nm, _mm, _cm), where there is one, holds the diameter of what each value averages
    over. Lines whose numbers are not finite are left out, which the table's notes say.

    Parameters
    ----------
    path : Path
        With a head line; commas, semicolons or tabs between the columns.
    x_column : str
        Place along the mosaic; its unit is the end of its name: ``_nm``, ``_um``, ``_mm``, ``_cm``.
    value_column : str
        The property.
    y_column : str, optional
        Place across the mosaic, with its unit as in ``x_column``.

    Raises
    ------
    InputError
        The file is missing or empty, a column is missing, or a value is not a number (the message names the line).
    UsageError
        The name of the x or y column carries no unit.
    """
    table = read_csv_table(path)
    head = table.head
    footprint = next((name for name in head if _FOOTPRINT.fullmatch(name)), None)
    lengths = [x_column, *([y_column] if y_column is not None else []), *([footprint] if footprint is not None else [])]
    per_unit = [MICROMETRES_PER_UNIT.get(column.rpartition("_")[2]) for column in lengths]
    if None in per_unit:
        named = lengths[per_unit.index(None)]
        raise UsageError(f"the column '{named}' must carry its unit: name it like {named[0]}_um, {named[0]}_mm or _cm")
    columns = [*lengths, value_column]
    for column in columns:
        if head.count(column) > 1:
            raise InputError(f"{path} has {head.count(column)} columns '{column}'; name them apart")
        if column not in head:
            raise InputError(f"{path} has no column '{column}'; its columns are {', '.join(head)}")
    places = [head.index(column) for column in columns]
    points = []
    for number, row in table.lines:
        try:
            points.append([float(row[place]) for place in places])
        except (ValueError, IndexError):
            listed = ", ".join(f"'{column}'" for column in columns[:-1])
            raise InputError(
                f"{path}, line {number}: {listed} and '{value_column}' must be numbers, with a decimal point"
            ) from None
    array = np.asarray(points, dtype=np.float64).reshape(-1, len(columns))
    array[:, :-1] *= np.asarray(per_unit, np.float64)
    finite = np.isfinite(array).all(axis=1)
    if not finite.any():
        raise InputError(f"{path} has a head line but no values")
    if footprint is not None and (array[finite, len(lengths) - 1] <= 0).any():
        raise InputError(f"{path}: '{footprint}' is the diameter of an indent and must be larger than 0")
    dropped = int((~finite).sum())
    notes = (f"{dropped} line(s) of {path.name} without finite numbers were left out of the relation.",)
    array = array[finite][np.lexsort(array[finite].T[::-1])]
    return PropertyTable(
        value_column,
        array[:, 0],
        array[:, -1],
        y_um=array[:, 1] if y_column is not None else None,
        footprint_um=array[:, len(lengths) - 1] if footprint is not None else None,
        notes=notes if dropped else (),
    )
