"""What a run found, in HDF5 groups: frames, layout, maps, profiles and relations, and back without loss.

Every function takes an open `h5py.Group` (a file is one) and fills or reads it. Unknown numbers are NaN.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.budget import Contribution, UncertaintyBudget
from cemi_core.model.classes import ClassLabel
from cemi_core.model.frame import DroppedFrame, Frame
from cemi_core.model.layers import Layer, LayerSpec
from cemi_core.model.layout import Layout, PairShift, ScanGeometry
from cemi_core.model.result import ClassMap, GridMap, GroupMean, Profile, PropertyTable, Relation, Result, Table
from cemi_run.store.hdf5_table import read_columns, read_rows, read_texts, write_columns, write_rows, write_texts
from cemi_run.store.object_table import read_objects

_SERIES = ("value", "low", "high")
_STATISTICS = ("r", "low", "high", "p_value", "n_effective")
#: What a run of an older version does not say of a relation.
_LATER_STATISTICS = ("p_holm", "p_fdr", "ceiling", "disattenuated", "disattenuated_low", "disattenuated_high", "q2")
_LATER_POINTS = ("y_um", "quantity_half", "property_half")
_OF_A_GROUP = ("mean", "low", "high")
_POINTS = ("x_um", "quantity_values", "property_values")


def write_frames_table(group: h5py.Group, frames: Sequence[Frame], dropped: Sequence[DroppedFrame] = ()) -> None:
    """Store the tables ``frames`` and ``dropped``."""
    positions = np.array([frame.position_px or (np.nan, np.nan) for frame in frames], np.float64).reshape(-1, 2)
    shapes = np.array([frame.shape for frame in frames], np.int64).reshape(-1, 2)
    columns: dict[str, Any] = {
        "index": np.array([frame.index for frame in frames], np.int64),
        "name": _texts(frame.name for frame in frames),
        "height_px": shapes[:, 0],
        "width_px": shapes[:, 1],
        "row": np.array([frame.row for frame in frames], np.int64),
        "time_s": _numbers(frame.time_s for frame in frames),
        "y_px": positions[:, 0],
        "x_px": positions[:, 1],
        "position_tolerance_px": _numbers(frame.position_tolerance_px for frame in frames),
        "pixel_size_um": _numbers(frame.pixel_size_um for frame in frames),
        "conditions": _texts(json.dumps(dict(frame.conditions), ensure_ascii=False) for frame in frames),
    }
    if any(frame.channels for frame in frames):
        columns["channels"] = _texts(json.dumps(frame.channels) for frame in frames)
        columns["main_channel"] = _texts(frame.main_channel for frame in frames)
    write_columns(group, "frames", columns)
    write_columns(
        group,
        "dropped",
        {
            "name": _texts(frame.name for frame in dropped),
            "reason": _texts(frame.reason for frame in dropped),
            "time_s": _numbers(frame.time_s for frame in dropped),
            "frames": np.array([frame.frames for frame in dropped], np.int64),
        },
    )


def read_frames_table(group: h5py.Group) -> tuple[tuple[Frame, ...], tuple[DroppedFrame, ...]]:
    """Return the frames and the dropped frames that `write_frames_table` stored."""
    frames = []
    for entry in _entries(group, "frames"):
        y, x = entry["y_px"], entry["x_px"]
        frames.append(
            Frame(
                index=entry["index"],
                name=entry["name"],
                shape=(entry["height_px"], entry["width_px"]),
                row=entry["row"],
                time_s=_or_none(entry["time_s"]),
                position_px=None if np.isnan(y) else (y, x),
                position_tolerance_px=_or_none(entry["position_tolerance_px"]),
                pixel_size_um=_or_none(entry["pixel_size_um"]),
                # a run of an older version knows no conditions
                conditions=tuple(json.loads(entry.get("conditions", "{}")).items()),
                channels=tuple(json.loads(entry.get("channels", "[]"))),
                main_channel=entry.get("main_channel", ""),
            )
        )
    dropped = (  # a run of an older version does not tell remarks from frames
        DroppedFrame(e["name"], e["reason"], _or_none(e["time_s"]), e.get("frames", 1))
        for e in _entries(group, "dropped")
    )
    return tuple(frames), tuple(dropped)


def write_layout(group: h5py.Group, layout: Layout) -> None:
    """Store a layout: tables ``placed`` (a line per frame), ``pairs`` (kept or not and why) and ``candidates`` (their
    further peaks), what the frames tell of the scan as attributes of ``geometry``, and ``notes``.
    """
    write_columns(
        group,
        "placed",
        {
            "y_px": layout.positions_px[:, 0],
            "x_px": layout.positions_px[:, 1],
            "height_px": layout.shapes[:, 0],
            "width_px": layout.shapes[:, 1],
            "component": layout.component,
            "residual_px": layout.residual_px,
            "gain": layout.gain,
            "offset": layout.offset,
            "placed_by_prior": layout.placed_by_prior,
            "sigma_y_px": layout.sigma_px[:, 0],
            "sigma_x_px": layout.sigma_px[:, 1],
        },
    )
    pairs = layout.pairs
    shifts = np.array([pair.shift_px for pair in pairs], np.float64).reshape(-1, 2)
    columns: dict[str, Any] = {
        "first": np.array([pair.first for pair in pairs], np.int64),
        "second": np.array([pair.second for pair in pairs], np.int64),
        "dy_px": shifts[:, 0],
        "dx_px": shifts[:, 1],
        "quality": _numbers(pair.quality for pair in pairs),
        "overlap_px": np.array([pair.overlap_px for pair in pairs], np.int64),
        "sigma_px": _numbers(pair.sigma_px for pair in pairs),
        "kept": np.array([pair.kept for pair in pairs], np.bool_),
        "reason": _texts(pair.reason for pair in pairs),
    }
    write_columns(group, "pairs", columns)
    peaks = [(n, *shift, quality) for n, pair in enumerate(pairs) for shift, quality in pair.candidates]
    table = np.array(peaks, np.float64).reshape(-1, 4)
    candidates = {"pair": table[:, 0].astype(np.int64), "dy_px": table[:, 1], "dx_px": table[:, 2]}
    write_columns(group, "candidates", {**candidates, "quality": table[:, 3]})
    group.create_group("geometry").attrs.update(asdict(layout.geometry))
    if layout.flat_field is not None:
        group["flat_field"] = layout.flat_field
    if layout.affine is not None:
        group["affine"] = layout.affine
    write_texts(group, "notes", layout.notes)


def read_layout(group: h5py.Group) -> Layout:
    """Return the layout that `write_layout` stored.

    Raises
    ------
    InputError
        The group holds no layout.
    """
    if "placed" not in group:
        raise InputError(f"{group.file.filename} holds no layout")
    placed = read_columns(group, "placed")
    candidates: dict[int, list[tuple[tuple[float, float], float]]] = {}
    for peak in _entries(group, "candidates") if "candidates" in group else ():
        candidates.setdefault(peak["pair"], []).append(((peak["dy_px"], peak["dx_px"]), peak["quality"]))
    pairs = [
        PairShift(
            shift_px=(entry.pop("dy_px"), entry.pop("dx_px")), candidates=tuple(candidates.get(number, ())), **entry
        )
        for number, entry in enumerate(_entries(group, "pairs"))
    ]
    return Layout(
        positions_px=np.column_stack([placed["y_px"], placed["x_px"]]),
        shapes=np.column_stack([placed["height_px"], placed["width_px"]]),
        component=placed["component"],
        residual_px=placed["residual_px"],
        gain=placed["gain"],
        offset=placed["offset"],
        placed_by_prior=placed["placed_by_prior"],
        pairs=tuple(pairs),
        notes=read_texts(group, "notes"),
        flat_field=group["flat_field"][:] if "flat_field" in group else None,
        affine=group["affine"][:] if "affine" in group else None,
        **_accuracy(group, placed),
    )


def _accuracy(group: h5py.Group, placed: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Return standard errors and scan geometry; nothing where an earlier version wrote the file."""
    if "geometry" not in group:
        return {}
    geometry = {name: float(value) for name, value in group["geometry"].attrs.items()}
    sigma = np.column_stack([placed["sigma_y_px"], placed["sigma_x_px"]])
    return {"sigma_px": sigma, "geometry": ScanGeometry(**geometry)}


def write_result(group: h5py.Group, result: Result, objects_at: Sequence[str] = ()) -> None:
    """Store what an analyzer found: groups ``maps``, ``classes``, ``tables``, ``overlays``, and ``notes``.

    Parameters
    ----------
    group : h5py.Group
    result : Result
    objects_at : sequence of str
        Where its objects lie, which have files of their own: paths relative to the run folder.
    """
    group.attrs["analyzer"] = result.analyzer
    group["elsewhere"] = json.dumps({"objects": list(objects_at), "layers": [asdict(layer) for layer in result.layers]})
    classes = group.create_group("classes")
    for class_map in result.classes:
        entry = _new_entry(classes, class_map.name, label=class_map.label)
        entry["classes"] = json.dumps([asdict(label) for label in class_map.classes])
        entry["value"], entry["confidence"] = class_map.value, class_map.confidence
    maps = group.create_group("maps")
    for grid_map in result.maps:
        entry = _new_entry(maps, grid_map.name, label=grid_map.label, unit=grid_map.unit)
        for series in _SERIES:
            entry[series] = getattr(grid_map, series)
        _write_optional(entry, systematic=grid_map.systematic, reason_of=grid_map.reason_of)
        write_texts(entry, "reasons", grid_map.reasons)
    tables = group.create_group("tables")
    for table in result.tables:
        write_rows(_new_entry(tables, table.name), "table", table.columns, table.rows)
    overlays = group.create_group("overlays")
    for name, picture in result.overlays.items():
        _new_entry(overlays, name).create_dataset("picture", data=picture, compression="gzip", compression_opts=1)
    write_texts(group, "notes", result.notes)


def read_result(group: h5py.Group, folder: Path | None = None) -> Result:
    """Return the result that `write_result` stored.

    Parameters
    ----------
    group : h5py.Group
    folder : Path, optional
        The run folder, from which its objects are read; without it there are none.

    Raises
    ------
    InputError
        The group holds no result, or a file of objects is missing or damaged.
    """
    if "maps" not in group:
        raise InputError(f"{group.file.filename} holds no maps")
    elsewhere = json.loads(group["elsewhere"][()]) if "elsewhere" in group else {"objects": [], "layers": []}
    return Result(
        analyzer=str(group.attrs["analyzer"]),
        maps=tuple(map(_grid_map, _old_entries(group["maps"]))),
        tables=tuple(
            Table(str(entry.attrs["name"]), *read_rows(entry, "table")) for entry in _old_entries(group["tables"])
        ),
        overlays={str(entry.attrs["name"]): entry["picture"][:] for entry in _old_entries(group["overlays"])},
        notes=read_texts(group, "notes"),
        objects=() if folder is None else tuple(read_objects(folder / path) for path in elsewhere["objects"]),
        classes=tuple(map(_class_map, _old_entries(group["classes"]))) if "classes" in group else (),
        layers=tuple(_layer(entry) for entry in elsewhere["layers"]),
    )


def objects_at(group: h5py.Group) -> list[str]:
    """Return where the objects of a stored result lie, relative to the run folder."""
    return list(json.loads(group["elsewhere"][()])["objects"]) if "elsewhere" in group else []


def _write_optional(entry: h5py.Group, **series: NDArray[Any] | None) -> None:
    """Store the series that there are."""
    for name, values in series.items():
        if values is not None:
            entry[name] = values


def _optional(entry: h5py.Group, name: str) -> NDArray[Any] | None:
    return entry[name][:] if name in entry else None


def _grid_map(entry: h5py.Group) -> GridMap:
    name, label, unit = _named(entry)
    value, low, high = (entry[series][:] for series in _SERIES)
    return GridMap(
        name,
        label,
        unit,
        value,
        low,
        high,
        systematic=_optional(entry, "systematic"),
        reasons=read_texts(entry, "reasons") if "reasons" in entry else (),
        reason_of=_optional(entry, "reason_of"),
    )


def _class_map(entry: h5py.Group) -> ClassMap:
    classes = tuple(ClassLabel(**label) for label in json.loads(entry["classes"][()]))
    return ClassMap(
        str(entry.attrs["name"]), str(entry.attrs["label"]), classes, entry["value"][:], entry["confidence"][:]
    )


def _layer(entry: dict[str, Any]) -> Layer:
    spec = {**entry["spec"], "classes": tuple(ClassLabel(**label) for label in entry["spec"]["classes"])}
    return Layer(LayerSpec(**spec), entry["path"])


def write_results(group: h5py.Group, results: Sequence[Result]) -> None:
    """Store the results of several analyzers, a group each."""
    for result in results:
        write_result(_new_entry(group, result.analyzer), result)


def read_results(group: h5py.Group) -> tuple[Result, ...]:
    """Return the results that `write_results` stored."""
    return tuple(read_result(entry) for entry in _old_entries(group))


def write_budgets(group: h5py.Group, budgets: Sequence[UncertaintyBudget]) -> None:
    """Store uncertainty budgets; NaN comes back as NaN."""
    group["budgets"] = json.dumps([asdict(budget) for budget in budgets])


def read_budgets(group: h5py.Group) -> tuple[UncertaintyBudget, ...]:
    """Return the budgets that `write_budgets` stored; none from a run of an older version."""
    if "budgets" not in group:
        return ()
    entries = json.loads(group["budgets"][()])
    return tuple(
        UncertaintyBudget(**{**entry, "contributions": tuple(Contribution(**part) for part in entry["contributions"])})
        for entry in entries
    )


def write_profiles(group: h5py.Group, profiles: Sequence[Profile]) -> None:
    """Store profiles along x, a group each."""
    for profile in profiles:
        entry = _new_entry(group, profile.name, label=profile.label, unit=profile.unit)
        for series in ("x_um", *_SERIES, "cells"):
            entry[series] = getattr(profile, series)
        _write_optional(entry, systematic=profile.systematic)
        entry.attrs["independent"] = profile.independent


def read_profiles(group: h5py.Group) -> tuple[Profile, ...]:
    """Return the profiles that `write_profiles` stored."""
    profiles = []
    for entry in _old_entries(group):
        series = {name: entry[name][:] for name in ("x_um", *_SERIES, "cells")}
        independent = bool(entry.attrs.get("independent", False))  # a run of an older version has profiles along x
        profiles.append(
            Profile(*_named(entry), **series, independent=independent, systematic=_optional(entry, "systematic"))
        )
    return tuple(profiles)


def write_relations(group: h5py.Group, relations: Sequence[Relation]) -> None:
    """Store how profiles go with a property, a group each."""
    for relation in relations:
        entry = _new_entry(group, relation.quantity)
        entry.attrs["property_name"] = relation.property_name
        for number in (*_STATISTICS, *_LATER_STATISTICS, "n"):
            entry.attrs[number] = getattr(relation, number)
        for series in (*_POINTS, *(later for later in _LATER_POINTS if getattr(relation, later) is not None)):
            entry[series] = getattr(relation, series)
        entry.attrs["measure"], entry.attrs["verdict"] = relation.measure, relation.verdict
        write_texts(entry, "quantities", relation.quantities)
        groups = relation.groups
        columns = {name: _numbers(getattr(group, name) for group in groups) for name in _OF_A_GROUP}
        names = {"name": _texts(group.name for group in groups), "n": np.array([group.n for group in groups], np.int64)}
        write_columns(entry, "groups", {**names, **columns})
        write_texts(entry, "notes", relation.notes)


def read_relations(group: h5py.Group) -> tuple[Relation, ...]:
    """Return the relations that `write_relations` stored."""
    relations = []
    for entry in _old_entries(group):
        known = (*_STATISTICS, *(later for later in _LATER_STATISTICS if later in entry.attrs))
        numbers: dict[str, Any] = {number: float(entry.attrs[number]) for number in known}
        stored = (*_POINTS, *(later for later in _LATER_POINTS if later in entry))
        points: dict[str, Any] = {series: entry[series][:] for series in stored}
        relations.append(
            Relation(
                quantity=str(entry.attrs["name"]),
                property_name=str(entry.attrs["property_name"]),
                n=int(entry.attrs["n"]),
                notes=read_texts(entry, "notes"),
                measure=str(entry.attrs.get("measure", "r")),
                groups=tuple(GroupMean(**line) for line in _entries(entry, "groups")) if "groups" in entry else (),
                verdict=str(entry.attrs.get("verdict", "")),
                quantities=tuple(read_texts(entry, "quantities")) if "quantities" in entry else (),
                **numbers,
                **points,
            )
        )
    return tuple(relations)


def write_property_table(group: h5py.Group, table: PropertyTable) -> None:
    """Store a measured property along x, or at points of the mosaic."""
    group.attrs["name"] = table.name
    columns = {"x_um": table.x_um, "value": table.value, "y_um": table.y_um, "footprint_um": table.footprint_um}
    write_columns(group, "points", {name: column for name, column in columns.items() if column is not None})
    write_texts(group, "classes", table.classes)
    write_texts(group, "notes", table.notes)


def read_property_table(group: h5py.Group) -> PropertyTable:
    """Return the property that `write_property_table` stored."""
    points = read_columns(group, "points")
    return PropertyTable(
        name=str(group.attrs["name"]),
        classes=read_texts(group, "classes"),
        notes=read_texts(group, "notes") if "notes" in group else (),
        **points,
    )


def _new_entry(parent: h5py.Group, name: str, **attributes: Any) -> h5py.Group:
    """Add a group called ``name``; two of one name (one analyzer twice) become ``name`` and ``name_2``."""
    key = plain = name.replace("/", "_")
    number = 1
    while key in parent:
        number += 1
        key = f"{plain}_{number}"
    order = len(parent)
    entry = parent.create_group(key)
    entry.attrs.update(name=name, order=order, **attributes)
    return entry


def _old_entries(parent: h5py.Group) -> list[h5py.Group]:
    return sorted(parent.values(), key=lambda entry: int(entry.attrs["order"]))


def _named(entry: h5py.Group) -> tuple[str, str, str]:
    return str(entry.attrs["name"]), str(entry.attrs["label"]), str(entry.attrs["unit"])


def _entries(group: h5py.Group, name: str) -> Iterator[dict[str, Any]]:
    """Yield the lines of a table as plain Python values."""
    columns = {head: column.tolist() for head, column in read_columns(group, name).items()}
    for line in zip(*columns.values(), strict=True):
        yield dict(zip(columns, line, strict=True))


def _numbers(values: Iterator[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _texts(values: Iterator[str]) -> NDArray[Any]:
    return np.array(list(values), dtype=object)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
