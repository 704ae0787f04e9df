"""Outlines, filling and bridges, against brute force and on random masks."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cemi_core.model.annotation import AnnotatedShape, Annotation
from cemi_core.model.classes import class_labels
from cemi_run.annotations import outlines, rasterize, shapes_of_mask
from cemi_run.annotations.bridges import bridged, unbridged
from cemi_run.annotations.clipping import clipped_area, clipped_line
from cemi_run.annotations.geometry import (
    Outline,
    area_and_centroid,
    contains,
    crosses_itself,
    ellipse,
    nested,
    opened,
    rectangle,
    signed_area,
)
from cemi_run.annotations.raster import filled

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14))
coordinates = st.floats(-4, 24, allow_nan=False, width=32)
rings = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=9).map(np.array)


def distance_to(ring: np.ndarray, point: tuple[int, int]) -> float:
    """Distance of a point from the nearest side of a closed ring."""
    side = np.roll(ring, -1, axis=0) - ring
    away = np.array(point) - ring
    at = np.clip((away * side).sum(1) / np.maximum((side * side).sum(1), 1e-30), 0, 1)
    return float(np.hypot(*(away - at[:, None] * side).T).min())


def pixels(outline: Outline, size: tuple[int, int]) -> np.ndarray:
    box, inside = filled(outline, size)
    whole = np.zeros(size, bool)
    whole[box.slices] = inside
    return whole


@given(masks)
def test_filling_the_outlines_of_a_mask_gives_the_mask(mask):
    refilled = np.zeros_like(mask)
    for outline in outlines(mask):
        refilled |= pixels(outline, mask.shape)
    assert np.array_equal(refilled, mask)


@given(masks)
def test_the_area_inside_outlines_less_holes_is_the_number_of_pixels(mask):
    parts = outlines(mask)
    assert area_and_centroid(parts)[0] == mask.sum()
    assert all(signed_area(part.outline_px) > 0 for part in parts)
    assert all(signed_area(hole) < 0 for part in parts for hole in part.holes_px)


@given(rings)
@example(np.array([[0, 0], [0, 0], [14.4296875, 14.4296875]]))
def test_a_pixel_belongs_to_an_outline_if_its_centre_lies_in_it(ring):
    size = (18, 21)
    inside = pixels(Outline(ring), size)
    for y in range(size[0]):
        for x in range(size[1]):
            if inside[y, x] != contains(ring, (y, x)):
                assert distance_to(ring, (y, x)) < 1e-4  # the centre lies on the edge


@given(st.integers(0, 12), st.integers(1, 12), st.integers(0, 12), st.integers(1, 12))
def test_neighbouring_rectangles_share_no_pixel_and_leave_none_out(top, height, left, width):
    size = (40, 40)
    halves = [
        rectangle(top, left, top + height, left + width),
        rectangle(top, left + width, top + height, left + 2 * width),
    ]
    one, other = (pixels(Outline(half), size) for half in halves)
    whole = pixels(Outline(rectangle(top, left, top + height, left + 2 * width)), size)
    assert not (one & other).any()
    assert np.array_equal(one | other, whole)


@given(masks)
@settings(max_examples=60)
def test_bridges_are_taken_apart_again(mask):
    for outline in outlines(mask):
        back = unbridged(bridged([outline]))
        assert sorted(abs(signed_area(r)) for part in back for r in part.rings) == pytest.approx(
            sorted(abs(signed_area(r)) for r in outline.rings)
        )
        assert len(back) == 1 and len(back[0].holes_px) == len(outline.holes_px)


def test_a_bridged_outline_covers_the_same_pixels():
    outline = Outline(ellipse((20, 25), (15, 18)), (ellipse((15, 20), (4, 5)), ellipse((26, 31), (3, 4))))
    whole = pixels(outline, (60, 60))
    assert np.array_equal(pixels(Outline(bridged([outline])), (60, 60)), whole)


def test_rings_become_areas_holes_and_islands():
    found = nested([ellipse((30, 30), (r, r)) for r in (25, 18, 10, 3)])
    assert [len(part.holes_px) for part in found] == [1, 1]
    area, y, x = area_and_centroid(found)
    assert area == pytest.approx(np.pi * (25**2 - 18**2 + 10**2 - 3**2), rel=0.005)
    assert (y, x) == pytest.approx((30, 30), abs=1e-6)


def test_a_bow_tie_crosses_itself_and_a_bridged_ring_does_not():
    assert crosses_itself(np.array([[0, 0], [10, 10], [0, 10], [10, 0]], float))
    assert not crosses_itself(ellipse((5, 5), (4, 4)))
    assert not crosses_itself(bridged([Outline(ellipse((9, 9), (8, 8)), (ellipse((9, 9), (3, 3)),))]))


@given(rings)
def test_clipping_to_the_image_changes_no_pixel_in_it(ring):
    size = (12, 15)
    clipped = clipped_area(ring, size)
    if len(clipped) < 3:
        assert pixels(Outline(ring), size).sum() == 0
        return
    assert (clipped >= -0.5).all() and (clipped <= np.array(size) - 0.5).all()
    assert np.count_nonzero(pixels(Outline(clipped), size) != pixels(Outline(ring), size)) == 0


def test_a_line_that_leaves_the_image_twice_comes_back_in_pieces():
    line = np.array([[5, 2], [-8, 4], [5, 6], [5, 30]], float)
    pieces = clipped_line(line, (10, 12))
    assert len(pieces) == 2
    assert pieces[0][-1][0] == pytest.approx(-0.5) and pieces[1][-1][1] == pytest.approx(11.5)


@given(masks, st.floats(0, 1.5))
def test_outlines_with_fewer_vertices_stay_within_the_tolerance(mask, tolerance):
    for exact, few in zip(outlines(mask), outlines(mask, tolerance), strict=True):
        ring = few.outline_px
        after = np.roll(ring, -1, axis=0)
        for point in exact.outline_px:
            along, to = after - ring, point - ring
            share = np.clip((along * to).sum(1) / np.maximum((along**2).sum(1), 1e-12), 0, 1)
            assert np.hypot(*(to - share[:, None] * along).T).min() <= tolerance + 1e-9


def test_a_tolerance_of_1_px_leaves_a_fifth_of_the_vertices_of_a_disc():
    y, x = np.mgrid[:200, :200]
    disc = np.hypot(y - 100, x - 100) < 80
    (exact,), (few,) = outlines(disc), outlines(disc, 1.0)
    assert len(few.outline_px) < len(exact.outline_px) / 5
    assert np.count_nonzero(pixels(few, disc.shape) != disc) < 0.01 * disc.sum()
    assert np.array_equal(pixels(exact, disc.shape), disc)


def test_repeated_vertices_are_dropped():
    ring = np.array([[0, 0], [0, 0], [0, 5], [5, 5], [0, 0]], float)
    assert opened(ring).tolist() == [[0, 0], [0, 5], [5, 5]]


def test_lines_are_as_wide_as_they_say_and_have_no_gaps():
    shape = AnnotatedShape("line", 0, np.array([[5.0, 3.0], [5.0, 23.0]]), width_px=5.0)
    thin = AnnotatedShape("line", 0, np.array([[2.2, 1.7], [17.9, 27.3]]))
    wide = rasterize(Annotation("a", (20, 30), class_labels(["crack"]), (shape,))) == 0
    assert wide[:, 13].sum() == 5
    line = rasterize(Annotation("a", (20, 30), class_labels(["crack"]), (thin,))) == 0
    assert line[:, 2:27].any(0).all()


def test_what_nobody_drew_is_the_background_if_there_is_one():
    square = AnnotatedShape("area", 1, rectangle(1.5, 1.5, 4.5, 4.5))
    with_background = Annotation("a", (8, 8), class_labels(["Background", "pore"]), (square,))
    without = Annotation("a", (8, 8), class_labels(["matrix", "pore"]), (square,))
    assert np.unique(rasterize(with_background)).tolist() == [0, 1]
    assert np.unique(rasterize(without)).tolist() == [-1, 1]


@given(hnp.arrays(np.int32, (9, 11), elements=st.integers(-1, 3)))
def test_shapes_of_a_mask_give_the_mask(mask):
    classes = class_labels(["background", "a", "b", "c"])
    shapes = shapes_of_mask(mask, classes)
    again = rasterize(Annotation("x", mask.shape, classes, shapes))
    assert np.array_equal(again, np.where(mask < 0, 0, mask))
