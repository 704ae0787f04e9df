"""Claims about the report of images that stand alone."""

import numpy as np
import pytest

from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.frame import Frame
from cemi_core.model.grid import FrameGrid
from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Box
from cemi_core.model.result import GridMap, GroupMean, Relation, Result, profile_of_frames
from cemi_report.image_figures import condition_figure, images_figure
from cemi_report.images_section import images
from cemi_report.page import render_report
from cemi_report.summary import doubts, facts

COUNT = 6


def grid_map(value=None):
    value = np.linspace(0.2, 0.6, COUNT) if value is None else np.asarray(value, np.float64)
    return GridMap("bcc_fraction", "BCC fraction", "1", value[None], value[None] - 0.02, value[None] + 0.02)


def relation_of(classes):
    numbers = np.arange(1.0, COUNT + 1)
    about = {"x_um": numbers, "quantity_values": grid_map().value[0]}
    if not classes:
        return Relation("bcc_fraction", "dose", 0.9, 0.4, 0.99, 0.01, COUNT, COUNT, property_values=numbers, **about)
    nan = float("nan")
    groups = (GroupMean("cold <b>", 3, 0.28, 0.1, 0.4), GroupMean("hot", 3, 0.52, 0.3, 0.7))
    strength = {"measure": "epsilon squared", "groups": groups, "property_values": np.repeat([0.0, 1.0], 3)}
    return Relation("bcc_fraction", "class", 0.77, nan, nan, 0.1, COUNT, COUNT, **strength, **about)


def make_run(classes=False, count=COUNT, **changes):
    shapes = np.full((count, 2), 100)
    positions = np.array([(0.0, 120.0 * n) for n in range(count)])
    ones = np.ones(count)
    layout = Layout(positions, shapes, np.arange(count), ones * np.nan, ones, 0 * ones, np.zeros(count, bool))
    names = tuple(f"im{n}.tif" for n in range(count))
    frames = [
        Frame(n, name, (100, 100), conditions=(("number", str(n + 1)), ("dose", f"{n}.5")))
        for n, name in enumerate(names)
    ]
    boxes = tuple(Box(0, 120 * n, 100, 100) for n in range(count))
    values = grid_map() if count == COUNT else grid_map(np.linspace(0.2, 0.6, count))
    run = {
        "frames": frames,
        "layout": layout,
        "grid": FrameGrid(boxes, names, (100, 120 * count - 20)),
        "results": [Result("bcc-fraction", (values,))],
        "profiles": [profile_of_frames(values)],
        "relations": [relation_of(classes)] if count == COUNT else [],
    }
    return FinishedRun("A folder", **{**run, **changes})


def test_the_table_of_images_has_their_conditions_and_values():
    table = images(make_run()).table
    assert table.heads == ("number", "image", "dose", "BCC fraction")
    assert table.rows[2] == ("3", "im2.tif", "2.5", "0.360 (0.340 to 0.380)")


def test_a_long_table_says_how_much_it_leaves_out():
    found = images(make_run(count=230))
    assert len(found.table.rows) == 200
    assert "30 more images are in run.h5" in found.reading


def test_frames_that_were_joined_have_no_table_of_images():
    assert images(make_run(grid=None)) is None


@pytest.mark.parametrize("classes", [False, True])
def test_the_page_speaks_of_images_and_not_of_groups_of_frames(classes):
    page = render_report(make_run(classes))
    assert "<h2>Images</h2>" in page
    assert "<h2>Measurements</h2>" in page
    assert "<h2>Placement</h2>" not in page
    assert "<h2>Profiles</h2>" not in page
    assert "Map of" not in page
    assert "cold &lt;b&gt;" in page or not classes
    assert "<b>cold" not in page


def test_the_summary_has_no_pairs_and_no_doubt_about_places():
    run = make_run()
    assert not {"Pairs", "Components"} & {fact.label for fact in facts(run)}
    assert not any("stage motion" in doubt for doubt in doubts(run))


def test_a_comparison_of_classes_above_5_percent_is_doubted():
    assert any("p of the strongest one is above 0.05" in doubt for doubt in doubts(make_run(classes=True)))


def test_intervals_that_are_wider_than_the_images_differ_are_named():
    said = "the interval of a single image is wider"
    assert not any(said in doubt for doubt in doubts(make_run()))
    near = grid_map(0.4 + 0.001 * np.arange(COUNT))
    assert any(said in doubt for doubt in doubts(make_run(profiles=[profile_of_frames(near)])))


def test_figures_are_drawn_whatever_is_missing():
    names = [f"im{n}.tif" for n in range(COUNT)]
    assert images_figure(grid_map([0.1, np.nan, 0.3, 0.4, np.nan, 0.2]), names) is not None
    assert images_figure(grid_map([np.nan] * COUNT), names) is None
    assert condition_figure(relation_of(classes=True), None) is not None
    assert condition_figure(relation_of(classes=False), profile_of_frames(grid_map())) is not None
