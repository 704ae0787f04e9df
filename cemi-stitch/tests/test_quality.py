"""Claims about the judgement of a stitching: it falls with what is misplaced, and not with noise."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cemi_core.model.array_source import ArraySource
from cemi_core.model.corrections import spread_over
from cemi_core.model.layout import Layout, PairShift
from cemi_core.model.stages import PlaceContext
from cemi_stitch.graph.loop_closure import loop_closures
from cemi_stitch.quality.overlap_agreement import make_small_frame
from cemi_stitch.quality.score import judge_layout, measure_overlaps, score_of
from cemi_stitch.stitcher import KorniaStitcher

MOVED = 5


def layout_at(positions, shapes, pairs=()):
    n = len(positions)
    positions = np.asarray(positions, float)
    return Layout(
        positions - positions.min(axis=0),
        np.array(shapes, np.int64).reshape(n, 2),
        np.zeros(n, np.int64),
        np.zeros(n),
        np.ones(n),
        np.zeros(n),
        np.zeros(n, np.bool_),
        tuple(pairs),
    )


def placed(recording, move_px=(0.0, 0.0)):
    positions = recording.truth_px.copy()
    positions[MOVED] += move_px
    return layout_at(positions, [frame.shape for frame in recording.source.frames])


def table(result, name):
    found = next(table for table in result.tables if table.name == name)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def summary(result):
    return {row["quantity"]: row["value"] for row in table(result, "summary")}


@pytest.mark.parametrize("noise", [0.0, 0.12, 0.3])
@pytest.mark.parametrize("specimen", ["dendritic", "lamellar"])
def test_true_places_score_above_95_whatever_the_noise(record, specimen, noise):
    recording = record(specimen, noise=noise)
    assert score_of(measure_overlaps(recording.source, placed(recording))) > 95


@pytest.mark.parametrize("noise", [0.0, 0.12])
def test_one_frame_moved_by_5_px_is_the_weak_place_and_by_how_much(record, noise):
    recording = record(noise=noise)
    result = judge_layout(recording.source, placed(recording, (3.0, -4.0)))
    worst = table(result, "weak places")
    assert {place["suspect"] for place in worst[:2]} == {MOVED}
    assert summary(result)["score"] < 80
    overlaps = [o for o in measure_overlaps(recording.source, placed(recording, (3.0, -4.0))) if o.second == MOVED]
    assert overlaps
    for overlap in overlaps:
        assert np.allclose(overlap.misfit_px, (-3.0, 4.0), atol=0.5)


def test_a_frame_far_off_is_found_though_no_shift_nearby_helps(record):
    recording = record("lamellar")
    result = judge_layout(recording.source, placed(recording, (25.0, 30.0)))
    assert summary(result)["score"] < 80
    assert table(result, "weak places")[0]["suspect"] == MOVED
    assert "no agreement within" in table(result, "weak places")[0]["what_is_wrong"]


def test_frames_that_are_all_wrong_score_near_zero(record):
    recording = record("lamellar")
    wrong = recording.truth_px + np.random.default_rng(1).uniform(-20, 20, recording.truth_px.shape)
    layout = layout_at(wrong, [frame.shape for frame in recording.source.frames])
    assert score_of(measure_overlaps(recording.source, layout)) < 10


@pytest.mark.parametrize("specimen", ["lamellar", "sparse"])
def test_noise_that_a_denoiser_has_smoothed_is_not_punished_and_a_far_frame_is(record, specimen):
    rng = np.random.default_rng(3)

    def denoised(number, image):
        return ndimage.gaussian_filter(image + rng.normal(0, 0.12, image.shape), 1.5).astype(np.float32)

    recording = record(specimen, change=denoised)
    at_truth = score_of(measure_overlaps(recording.source, placed(recording)))
    assert at_truth > 95
    assert score_of(measure_overlaps(recording.source, placed(recording, (20.0, 25.0)))) < at_truth - 10


def test_half_a_pixel_and_brightness_steps_are_no_misplacement(record):
    recording = record(change=lambda n, image: image * (0.7 if n % 2 else 1.0) + 0.1 * (n % 3))
    assert score_of(measure_overlaps(recording.source, placed(recording, (0.3, 0.4)))) > 95


def test_agreement_comes_near_to_what_the_noise_allows(record):
    recording = record(noise=0.12)
    numbers = summary(judge_layout(recording.source, placed(recording)))
    assert numbers["agreement_median"] == pytest.approx(numbers["agreement_allowed_by_noise_median"], abs=0.05)
    assert 0.5 < numbers["agreement_median"] < 0.95


def test_the_maps_show_the_misfit_where_it_is(record):
    recording = record()
    layout = placed(recording, (4.0, 0.0))
    misfit = judge_layout(recording.source, layout).maps[1]
    cell = np.array(layout.mosaic_shape) / misfit.value.shape
    row, column = ((layout.positions_px[MOVED] + layout.shapes[MOVED] / 2) / cell).astype(int)
    assert misfit.value[row, column] > 2
    assert np.nanmin(misfit.value) < 0.3


def test_a_pair_that_was_never_compared_is_judged_too(record):
    recording = record()
    result = judge_layout(recording.source, placed(recording, (5.0, 0.0)))
    assert all("never compared" in place["what_is_wrong"] for place in table(result, "weak places"))


def test_pictures_of_weak_places_show_that_the_shift_helps(record):
    recording = record()
    layout = placed(recording, (5.0, 0.0))
    overlays = judge_layout(recording.source, layout).overlays
    assert overlays
    for picture in overlays.values():
        panels = np.array_split(picture.astype(float), 4, axis=1)
        inner = [panel[8:-8, 8:-8] for panel in panels]
        assert picture.dtype == np.uint8
        assert inner[3].std() < 0.6 * inner[2].std()


def test_the_stitcher_judges_its_own_layout_with_threads_as_without(record):
    from concurrent.futures import ThreadPoolExecutor

    recording = record(noise=0.05)
    stitcher = KorniaStitcher()
    layout = stitcher.place(recording.source)
    alone = summary(stitcher.judge(recording.source, layout))
    with ThreadPoolExecutor(2) as executor:
        together = summary(stitcher.judge(recording.source, layout, PlaceContext(executor)))
    assert alone == pytest.approx(together, nan_ok=True)
    assert alone["score"] > 95
    assert alone["misfit_median_px"] < 0.2


@pytest.mark.parametrize(
    "images",
    [
        [np.random.default_rng(0).random((60, 80), dtype=np.float32)],
        [np.zeros((60, 80), np.float32)] * 2,
        [np.full((60, 80), np.nan, np.float32)] * 2,
        [np.random.default_rng(0).random((3, 3), dtype=np.float32)] * 2,
    ],
    ids=["one", "black", "nan", "tiny"],
)
def test_frames_that_say_nothing_give_no_score_and_no_error(images):
    layout = layout_at([(0, 40 * n) for n in range(len(images))], [image.shape for image in images])
    result = judge_layout(ArraySource(images), layout)
    assert math.isnan(summary(result)["score"])
    assert not table(result, "weak places")


def test_frames_without_overlap_give_no_score_and_say_so(record):
    recording = record(columns=2, rows=1)
    layout = layout_at([(0, 0), (0, 5000)], [frame.shape for frame in recording.source.frames])
    result = judge_layout(recording.source, layout)
    assert math.isnan(summary(result)["score"])
    assert summary(result)["frames_without_proof"] == 2
    assert any("No two frames overlap" in note for note in result.notes)


def test_tables_hold_only_plain_values(record):
    recording = record()
    result = judge_layout(recording.source, placed(recording, (5.0, 0.0)))
    values = [value for table in result.tables for row in table.rows for value in row]
    assert {type(value) for value in values} <= {int, float, str, type(None)}
    assert len(json.loads(json.dumps(values))) == len(values) > 50


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=4, max_size=12))
def test_loops_of_consistent_shifts_close(places):
    pairs = [
        PairShift(i, j, (places[j][0] - places[i][0], places[j][1] - places[i][1]), 1.0)
        for i in range(len(places))
        for j in range(i + 1, len(places))
        if j - i in (1, 2)
    ]
    three, four = loop_closures(pairs)
    assert three.size == len(places) - 2
    assert np.allclose(three, 0, atol=1e-6)
    assert np.allclose(four, 0, atol=1e-6)


def test_a_wrong_shift_opens_its_loops_and_a_dropped_one_counts_nowhere():
    pairs = [PairShift(0, 1, (0, 10), 1.0), PairShift(1, 3, (10, 0), 1.0), PairShift(0, 2, (10, 0), 1.0)]
    wrong = PairShift(2, 3, (3, 14), 1.0)
    three, four = loop_closures([*pairs, wrong])
    assert three.size == 0
    assert four == pytest.approx([5.0])
    assert loop_closures([*pairs, wrong.dropped("wrong")])[1].size == 0


def test_the_noise_of_a_frame_is_read_from_the_frame_alone():
    rng = np.random.default_rng(0)
    noise = make_small_frame(rng.normal(0.5, 0.1, (300, 300)).astype(np.float32), 2)
    inner = noise.levels.astype(float)[5:-5, 5:-5]
    assert noise.noise == pytest.approx(inner.std(), rel=0.1)


def test_frames_are_judged_without_the_shading_that_all_share(record):
    """Stripes across every frame, as dirt or a detector leaves them, would else disagree wherever frames overlap."""
    flat_field = np.tile(1 + 0.3 * (-1.0) ** np.arange(16), (16, 1))
    plain = record()
    shaded = record(change=lambda _, frame: (0.7 * frame * spread_over(flat_field, frame.shape)).astype(np.float32))
    layout = placed(plain)

    def agreement(source, layout):
        return summary(KorniaStitcher().judge(source, layout))["agreement_median"]

    clean = agreement(plain.source, layout)
    assert agreement(shaded.source, replace(layout, flat_field=flat_field)) == pytest.approx(clean, abs=0.01)
    assert agreement(shaded.source, layout) < clean - 0.1
