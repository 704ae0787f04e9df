"""What a run found survives the HDF5 file without loss."""

from __future__ import annotations

import csv
import dataclasses
import json

import h5py
import numpy as np
import pytest

from cemi_core.errors import InputError
from cemi_core.model.budget import Contribution, UncertaintyBudget
from cemi_core.model.frame import DroppedFrame, Frame
from cemi_core.model.grid import Grid
from cemi_core.model.layout import Layout, PairShift, ScanGeometry
from cemi_core.model.result import GridMap, GroupMean, Profile, PropertyTable, Relation, Result, Table
from cemi_run.store import run_file
from cemi_run.store.hdf5_table import new_hdf5_file
from cemi_run.store.map_csv import write_map_csv


@pytest.fixture
def group(tmp_path):
    with h5py.File(tmp_path / "run.h5", "w") as file:
        yield file


def test_a_new_file_appears_whole_or_not_at_all_and_any_hdf5_tool_reads_it(tmp_path):
    path = tmp_path / "layout.h5"
    with pytest.raises(KeyboardInterrupt), new_hdf5_file(path) as file:
        run_file.write_layout(file, layout_of(1000))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with new_hdf5_file(path) as file:
        run_file.write_layout(file, layout_of(1000))
        assert not path.exists()
    with h5py.File(path) as file:
        assert_same(run_file.read_layout(file), layout_of(1000))


def assert_same(one, other):
    """Compare dataclasses field by field, arrays with NaN included."""
    assert type(one) is type(other)
    for field in dataclasses.fields(one):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right, err_msg=field.name)
            assert left.dtype == right.dtype, field.name
        elif isinstance(left, tuple) and left and dataclasses.is_dataclass(left[0]):
            assert len(left) == len(right)
            for a, b in zip(left, right, strict=True):
                assert_same(a, b)
        elif dataclasses.is_dataclass(left):
            assert_same(left, right)
        elif isinstance(left, float) and np.isnan(left):
            assert np.isnan(right)
        elif isinstance(left, dict):
            assert list(left) == list(right)
            for key in left:
                np.testing.assert_array_equal(left[key], right[key])
        else:
            assert left == right, field.name


def layout_of(n, pairs=(), notes=()):
    random = np.random.default_rng(0)
    return Layout(
        positions_px=random.random((n, 2)) * 1000,
        shapes=np.full((n, 2), 512, np.int64),
        component=np.arange(n) // 2,
        residual_px=np.where(np.arange(n) % 2, np.nan, random.random(n)),
        gain=1 + random.random(n),
        offset=random.random(n) / 10,
        placed_by_prior=np.arange(n) % 3 == 0,
        pairs=tuple(pairs),
        notes=tuple(notes),
    )


def a_map_with_reasons(name):
    value = np.random.default_rng(4).random((3, 5))
    why = np.where(value < 0.3, 1, np.where(value < 0.5, 0, -1)).astype(np.int64)
    reasons = ("out of focus", "no two phases: µ")
    return GridMap(name, "Share", "1", value, value - 0.1, value + 0.1, 0.05 * value, reasons, why)


def a_map(name="bcc_fraction", seed=0):
    value = np.random.default_rng(seed).random((3, 5))
    value[1, 2] = np.nan
    return GridMap(name, "BCC fraction", "1", value, value - 0.1, value + 0.1)


def test_a_layout_comes_back_with_its_pairs_and_why_they_were_dropped(group):
    pairs = [
        PairShift(0, 1, (1.25, -300.5), 0.93, 5000, 0.04),
        PairShift(1, 2, (0.1 + 0.2, 7.0), 0.2).dropped("quality 0.20 is below the threshold of 0.35"),
        PairShift(2, 3, (4.0, 300.0), 0.8, candidates=(((4.0, 312.0), 0.79), ((4.0, 288.0), 0.75))),
    ]
    layout = layout_of(4, pairs, ["Zwei Bilder hängen lose.", ""])
    run_file.write_layout(group, layout)
    assert_same(run_file.read_layout(group), layout)


def test_standard_errors_and_the_geometry_of_the_scan_come_back(group):
    errors = np.array([[0.1, 0.2], [np.nan, np.nan], [12.0, 9.0]])
    geometry = ScanGeometry(shear_px_per_line=0.19, shear_px_per_line_error=0.01)
    layout = dataclasses.replace(layout_of(3), sigma_px=errors, geometry=geometry)
    run_file.write_layout(group, layout)
    found = run_file.read_layout(group)
    np.testing.assert_array_equal(found.sigma_px, errors)
    assert_same(found.geometry, geometry)


def test_a_pair_comes_back_from_json_with_its_further_peaks():
    pair = PairShift(2, 3, (4.0, 300.0), 0.8, 5000, 0.04, candidates=(((4.0, 312.0), 0.79),))
    assert PairShift.from_json(json.loads(json.dumps(dataclasses.asdict(pair)))) == pair


def test_a_layout_of_an_earlier_version_has_no_standard_errors(group):
    run_file.write_layout(group, layout_of(3))
    del group["geometry"], group["candidates"]
    assert np.isnan(run_file.read_layout(group).sigma_px).all()


def test_standard_errors_that_nobody_gave_are_unknown_for_every_frame():
    layout = layout_of(3)
    assert layout.sigma_px.shape == (3, 2) and np.isnan(layout.sigma_px).all()


def test_a_layout_of_one_frame_without_pairs_comes_back(group):
    layout = layout_of(1)
    run_file.write_layout(group, layout)
    assert_same(run_file.read_layout(group), layout)


def test_frames_come_back_with_what_is_unknown_about_them(group):
    frames = (
        Frame(0, "a.png", (10, 20)),
        Frame(1, "pass01.mp4@12.40s", (8, 9), 1, 12.4, (3.5, -2.0), 25.0, 0.222),
    )
    dropped = (DroppedFrame("b.png", "it is black"), DroppedFrame("c", "repeats the frame before", 3.25, frames=0))
    run_file.write_frames_table(group, frames, dropped)
    assert run_file.read_frames_table(group) == (frames, dropped)


def test_a_run_without_frames_and_drops_comes_back_empty(group):
    run_file.write_frames_table(group, [], [])
    assert run_file.read_frames_table(group) == ((), ())


def test_a_result_comes_back_in_the_order_of_its_maps(group):
    result = Result(
        analyzer="lamella-width",
        maps=(a_map("spacing", 1), a_map("coherency", 2), a_map("angle", 3), a_map_with_reasons("share")),
        tables=(
            Table(
                "phases", ("phase", "width [um]", "cells", "good"), (("FCC", 0.4, 12, True), ("BCC", 0.2, 11, False))
            ),
            Table("mixed", ("what", "how much"), (("a", None), ("b", 3), ("c", 2.5), ("d", "many"))),
            Table("empty", ("nothing",), ()),
        ),
        overlays={"mask/cell": np.arange(12, dtype=np.uint8).reshape(3, 4), "colour": np.ones((2, 2, 3), np.uint8)},
        notes=("measured along the normal", "µ"),
    )
    run_file.write_result(group, result)
    assert_same(run_file.read_result(group), result)


def test_one_analyzer_used_twice_keeps_both_results_profiles_and_relations(group):
    results = [Result("bcc-fraction", (a_map(seed=1),)), Result("bcc-fraction", (a_map(seed=2),))]
    run_file.write_results(group.create_group("results"), results)
    for one, other in zip(run_file.read_results(group["results"]), results, strict=True):
        assert_same(one, other)
    x = np.arange(5.0)
    profiles = [Profile("bcc", "BCC", "1", x, x + k, x - 1, x + 1, np.arange(5)) for k in range(12)]
    run_file.write_profiles(group.create_group("profiles"), profiles)
    for one, other in zip(run_file.read_profiles(group["profiles"]), profiles, strict=True):
        assert_same(one, other)


def test_relations_and_properties_come_back(group):
    x = np.linspace(0, 1, 7)
    relations = [
        Relation("bcc_fraction", "hv", 0.63, 0.2, 0.9, 0.004, 7, 5.5, x, x**2, x**3, ("seven points are few",)),
        Relation("width", "hv", float("nan"), float("nan"), float("nan"), 1.0, 2, 2.0, x[:2], x[:2], x[:2]),
        Relation(
            "bcc_fraction + width",
            "hv",
            0.5,
            float("nan"),
            float("nan"),
            0.02,
            7,
            5.5,
            x,
            x**2,
            x**3,
            measure="R2",
            verdict="They explain hv.",
            p_holm=0.04,
            p_fdr=0.03,
            ceiling=0.9,
            disattenuated=0.7,
            disattenuated_low=0.2,
            disattenuated_high=1.0,
            q2=0.3,
            quantities=("bcc_fraction", "width"),
            y_um=x + 1,
            quantity_half=x / 10,
            property_half=x / 20,
        ),
    ]
    run_file.write_relations(group.create_group("relations"), relations)
    for one, other in zip(run_file.read_relations(group["relations"]), relations, strict=True):
        assert_same(one, other)
    table = PropertyTable("hv", x, x + 450)
    run_file.write_property_table(group.create_group("property"), table)
    assert_same(run_file.read_property_table(group["property"]), table)


def test_conditions_images_that_count_fully_and_classes_come_back(group):
    conditions = (("dose", "1.5"), ("class", "geglüht"))
    frames = [Frame(0, "a.tif", (4, 5), conditions=conditions), Frame(1, "b.tif", (4, 5))]
    run_file.write_frames_table(group, frames)
    assert [frame.conditions for frame in run_file.read_frames_table(group)[0]] == [conditions, ()]
    x = np.array([1.0, 2.0])
    profile = Profile("q", "Q", "1", x, x, x, x, np.array([1, 1]), independent=True)
    run_file.write_profiles(group.create_group("profiles"), [profile])
    assert_same(run_file.read_profiles(group["profiles"])[0], profile)
    groups = (GroupMean("a", 3, 1.0, 0.5, 1.5), GroupMean("b", 1, 2.0, float("nan"), float("nan")))
    nan = float("nan")
    relation = Relation("q", "class", 0.5, nan, nan, 0.1, 2, 2.0, x, x, x, (), "epsilon squared", groups)
    run_file.write_relations(group.create_group("relations"), [relation])
    assert_same(run_file.read_relations(group["relations"])[0], relation)
    table = PropertyTable("class", x, np.array([0.0, 1.0]), ("a", "b"))
    run_file.write_property_table(group.create_group("property"), table)
    assert_same(run_file.read_property_table(group["property"]), table)


def test_a_run_of_an_older_version_has_no_conditions_and_profiles_along_x(group):
    run_file.write_frames_table(group, [Frame(0, "a.tif", (4, 5))])
    columns = {name: group["frames"][name] for name in group["frames"].dtype.names if name != "conditions"}
    del group["frames"]
    run_file.write_columns(group, "frames", {**columns, "name": ["a.tif"]})
    assert run_file.read_frames_table(group)[0][0].conditions == ()


def test_tables_are_plain_hdf5_tables_that_other_tools_show(group):
    run_file.write_layout(group, layout_of(3))
    assert group["placed"].dtype.names[:2] == ("y_px", "x_px")
    assert group["placed"].shape == (3,)


def test_a_file_without_the_thing_is_refused_in_a_sentence(group):
    with pytest.raises(InputError, match=r"run\.h5 holds no layout"):
        run_file.read_layout(group)
    with pytest.raises(InputError, match=r"run\.h5 holds no maps"):
        run_file.read_result(group)


@pytest.mark.parametrize(("pixel_size_um", "unit", "first_x"), [(0.5, "um", 24.75), (None, "px", 49.5)])
def test_a_map_as_csv_says_where_each_cell_is(tmp_path, pixel_size_um, unit, first_x):
    write_map_csv(tmp_path / "map.csv", a_map(), Grid(3, 5, (300, 500)), pixel_size_um)
    with (tmp_path / "map.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["row", "column", f"y_{unit}", f"x_{unit}", "value", "low", "high"]
    assert len(rows) == 15
    assert float(rows[0][f"x_{unit}"]) == first_x
    assert (rows[7]["row"], rows[7]["column"], rows[7]["value"]) == ("1", "2", "")
    assert float(rows[14]["value"]) == pytest.approx(a_map().value[2, 4], rel=1e-5)


def test_uncertainty_budgets_come_back_with_what_is_not_known(group):
    parts = (Contribution("sampling", "A", 0.01, "scatter"), Contribution("method", "B", float("nan"), "not said: µ"))
    budget = UncertaintyBudget("bcc_fraction", "BCC fraction", "1", 0.34, parts, 0.01, 20, 19)
    run_file.write_budgets(group, [budget])
    (found,) = run_file.read_budgets(group)
    assert_same(found, budget)
    assert found.unknown == ("method",)


def test_a_run_of_an_older_version_has_no_budgets(group):
    assert run_file.read_budgets(group) == ()
