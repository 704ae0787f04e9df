"""Tables of objects from annotations."""

import numpy as np
import pytest

from cemi_core.model.annotation import AnnotatedShape, Annotation
from cemi_core.model.classes import class_labels
from cemi_run.annotations import objects_of
from cemi_run.annotations.geometry import Outline, area_and_centroid, ellipse, rectangle


def test_each_area_group_and_point_is_one_row(specimen):
    table = objects_of(specimen, "grains", "Grains")
    assert (table.name, len(table)) == ("grains", 3 + 3)
    assert table.class_index.tolist() == [0, 0, 1, 3, 3, 3]
    assert table.classes == specimen.classes
    ring = specimen.shapes[1]
    area = np.pi * (22 * 25 - 6 * 5 - 5 * 7.5)
    assert table.area_px[1] == pytest.approx(area, rel=0.005)
    assert table.area_px[2] == pytest.approx(np.pi * (9 * 6 + 8 * 5), rel=0.005)  # both parts
    assert table.area_px[3:].tolist() == [0, 0, 0] and table.y_px[3:].tolist() == [75, 80, 82]
    assert len(table.outline(1)) == len(ring.outline_px) + sum(len(hole) + 2 for hole in ring.holes_px)
    assert area_and_centroid([Outline(np.asarray(table.outline(1), float))])[0] == pytest.approx(area, rel=0.005)
    assert np.isnan(table.score).all()


def test_a_mask_gives_areas_in_pixels_and_centres_of_mass():
    mask = np.zeros((20, 30), np.int32)
    mask[2:5, 3:9], mask[10:20, 25:30] = 1, 1
    table = objects_of(Annotation("a", mask.shape, class_labels(["background", "pore"]), (), mask))
    assert table.area_px.tolist() == [18, 50] and table.cut.tolist() == [False, True]
    assert (table.y_px[0], table.x_px[0]) == pytest.approx((3, 5.5))


def test_an_object_that_reaches_the_outermost_pixels_is_cut():
    shapes = (
        AnnotatedShape("area", 0, rectangle(-0.5, 5, 6, 9)),
        AnnotatedShape("area", 0, rectangle(0.5, 12, 6, 15)),
        AnnotatedShape("area", 0, ellipse((10, 24), (3, 6))),
    )
    assert objects_of(Annotation("a", (20, 30), class_labels(["g"]), shapes)).cut.tolist() == [True, False, True]


def test_no_object_is_an_empty_table():
    assert len(objects_of(Annotation("a", (20, 30), class_labels(["g"])))) == 0
