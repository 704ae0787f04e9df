"""Planted inventions are found, whichever way they are made, and honest denoisers are not accused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cemi_core.model.frame import Frame
from cemi_core.model.layout import Layout, PairShift
from cemi_core.model.stages import Runtime
from cemi_core.plugins.manager import make, registry
from cemi_denoise.denoisers.neural import NeuralDenoiser, SemnetDenoiser
from cemi_denoise.judge.disagreement import Views, compare_views, overlap_views, overlapping_pairs
from cemi_denoise.judge.invention import judge_denoising
from cemi_denoise.judge.residual import examine_residual
from cemi_denoise.judge.uncertainty import opinions_spread, orientation_spread
from cemi_denoise.noise.model import NoiseModel

SIGMA = 0.06
SIZE, STEP = 200, 110


class Frames:
    """Frames in memory as a FrameSource."""

    dropped = ()
    dtype = np.dtype(np.float32)

    def __init__(self, images):
        self.images = images
        self.frames = [Frame(n, f"f{n}.tif", image.shape) for n, image in enumerate(images)]

    def read(self, index):
        return self.images[index]


def specimen(shape, seed=0):
    """Two phases with soft borders."""
    pattern = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 6)
    return gaussian_filter(np.where(pattern > 0, 0.65, 0.35), 0.8).astype(np.float32)


def noise_of(shape, seed):
    return (SIGMA * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def layout_of(places, shape):
    pairs = tuple(
        PairShift(n, n + 1, tuple(np.subtract(places[n + 1], places[n])), 0.9, 1) for n in range(len(places) - 1)
    )
    count = len(places)
    return Layout(
        positions_px=np.array(places, float),
        shapes=np.tile(shape, (count, 1)),
        component=np.zeros(count, int),
        residual_px=np.zeros(count),
        gain=np.ones(count),
        offset=np.zeros(count),
        placed_by_prior=np.zeros(count, bool),
        pairs=pairs,
    )


@pytest.fixture(scope="module")
def recording():
    """Four frames in a row that overlap by 45 %, and their layout."""
    places = [(0, STEP * n) for n in range(4)]
    truth = specimen((SIZE, STEP * 3 + SIZE))
    frames = [truth[:, x : x + SIZE] + noise_of((SIZE, SIZE), n) for n, (_, x) in enumerate(places)]
    return Frames(frames), layout_of(places, (SIZE, SIZE))


def filter_called(name, **settings):
    plugin = registry().of_stage("denoise").get(name)
    return make(plugin, plugin.description.load_settings()(**settings), Runtime())


HONEST = filter_called("tv")


def texture_of(image, width):
    """Return a texture of unit strength that depends on every grey level of the picture, as an invention would."""
    seed = int(np.abs(image).sum() * 1e4)
    texture = gaussian_filter(np.random.default_rng(seed).standard_normal(image.shape), width)
    return (texture / texture.std()).astype(np.float32)


def on_stacks(change):
    return lambda stack: np.stack([change(image) for image in stack])


ADDS_TEXTURE = on_stacks(lambda image: HONEST(image) + 0.4 * SIGMA * texture_of(image, 1.5))
AMPLIFIES_NOISE = on_stacks(
    lambda image: (
        HONEST(image) + 4 * (gaussian_filter(image - HONEST(image), 1.5) - gaussian_filter(image - HONEST(image), 4))
    )
)
SHARPENS = on_stacks(lambda image: 2 * HONEST(image) - gaussian_filter(HONEST(image), 1.5))
OVERSMOOTHS = on_stacks(lambda image: gaussian_filter(image, 3))


def judged(denoise, recording, **options):
    raw, layout = recording
    denoised = Frames([denoise(image[None])[0] for image in raw.images])
    return judge_denoising(denoise, raw, denoised, layout, **options)


def doubts(result):
    summary = next(table for table in result.tables if table.name == "summary")
    return {row[0] for row in summary.rows if row[3].startswith("doubtful")}


@pytest.mark.parametrize("name", ["nlm", "tv", "wiener"])
def test_honest_filters_are_not_accused(name, recording):
    result = judged(filter_called(name), recording)
    assert doubts(result) == set()
    summary = next(table for table in result.tables if table.name == "summary")
    assert len(summary.rows) == 7


@pytest.mark.parametrize(
    ("denoise", "found"),
    [
        (ADDS_TEXTURE, {"share of overlaps", "power of the disagreement", "spread when"}),
        (AMPLIFIES_NOISE, {"power of the disagreement"}),
        (SHARPENS, {"correlation of what was taken away"}),
        (OVERSMOOTHS, {"pattern in", "variance taken away", "what was taken away at edges"}),
    ],
    ids=["texture", "amplified noise", "sharpening", "oversmoothing"],
)
def test_planted_inventions_are_doubted_for_the_right_reason(denoise, found, recording):
    said = doubts(judged(denoise, recording))
    for reason in found:
        assert any(doubt.startswith(reason) for doubt in said), (reason, said)


def test_texture_invented_in_one_frame_only_is_found_in_its_overlaps(recording):
    raw, layout = recording
    clean = [HONEST(image) for image in raw.images]
    clean[2] = clean[2] + 0.5 * SIGMA * texture_of(clean[2], 2)
    result = judge_denoising(None, raw, Frames(clean), layout)
    table = next(table for table in result.tables if table.name == "overlaps")
    shares = {row[:2]: row[2] for row in table.rows}
    assert min(shares["f1.tif", "f2.tif"], shares["f2.tif", "f3.tif"]) > 0.05
    assert shares["f0.tif", "f1.tif"] < 0.005
    assert any("f2.tif" in name for name in result.overlays if name.startswith("Disagreement"))


def test_the_same_answer_comes_from_several_threads_and_pictures_show_three_panels(recording):
    alone = judged(HONEST, recording)
    with ThreadPoolExecutor(2) as executor:
        assert judged(HONEST, recording, executor=executor).tables == alone.tables
    assert alone.overlays
    for picture in alone.overlays.values():
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.shape[1] > picture.shape[0]


def test_another_denoiser_that_sees_something_else_is_a_reason_to_doubt(recording):
    result = judged(HONEST, recording, other=ADDS_TEXTURE)
    value = next(row[1] for row in result.tables[0].rows if row[0].startswith("difference to the other"))
    assert value == pytest.approx(0.4, rel=0.2)
    assert judged(HONEST, recording, other=HONEST).tables[0].rows[1][1] == 0


def test_without_a_layout_nothing_is_said_of_overlaps(recording):
    raw, _ = recording
    result = judge_denoising(HONEST, raw, Frames([HONEST(image) for image in raw.images]))
    assert not any("disagree" in row[0] for row in result.tables[0].rows)
    assert len(result.tables[0].rows) == 5


def test_frames_without_measurable_noise_are_not_judged():
    blank = Frames([np.full((64, 64), 0.5, np.float32)] * 2)
    result = judge_denoising(HONEST, blank, blank)
    assert result.tables[0].rows == ()
    assert result.notes[0].startswith("Not judged: the noise cannot be measured")


def test_frames_with_missing_pixels_are_passed_over(recording):
    raw, layout = recording
    images = [image.copy() for image in raw.images]
    images[1][100, 50] = np.nan
    clean = [HONEST(image) for image in images]
    result = judge_denoising(HONEST, Frames(images), Frames(clean), layout)
    assert [row[0] for row in result.tables[1].rows] == ["f0.tif", "f2.tif", "f3.tif"]
    assert [row[:2] for row in result.tables[2].rows] == [("f1.tif", "f2.tif"), ("f2.tif", "f3.tif")]


def test_raw_views_never_disagree_more_than_they_do():
    views = tuple(specimen((128, 160)) + noise_of((128, 160), n) for n in (1, 2))
    found = compare_views(Views(views, views))
    assert found.share == 0
    np.testing.assert_allclose(found.power_ratio, 1)


def test_a_misplaced_or_darker_view_is_no_disagreement():
    truth = specimen((160, 200))
    raw = truth + noise_of(truth.shape, 1), np.roll(truth, 1, 1) * 0.95 + noise_of(truth.shape, 2)
    denoised = tuple(HONEST(image) for image in raw)
    found = compare_views(Views(raw, denoised))
    assert found.share < 0.01
    assert found.highest_ratio < 1.5


def test_overlaps_of_frames_that_lie_between_pixels_show_the_same_place():
    def waves(top, left):
        y, x = np.mgrid[:120, :150]
        return (0.5 + 0.3 * np.sin((y + top) / 4) * np.cos((x + left) / 5)).astype(np.float32)

    places = [(3.0, 0.0), (0.0, 60.4), (20.7, 30.2)]
    images = [waves(*place) for place in places]
    images[1] = (images[1] - 0.1) / 1.2
    layout = layout_of(places, (120, 150))
    layout.gain[1], layout.offset[1] = 1.2, 0.1
    frames = Frames(images)
    pairs = overlapping_pairs(layout, 10)
    assert pairs == [(0, 1), (1, 2)]
    for pair in pairs:
        views = overlap_views(frames, frames, layout, pair)
        one, two = (view[4:-4, 4:-4] for view in views.raw)
        assert min(one.shape) > 70
        assert np.abs(one - two).max() < 0.003


def test_spread_of_a_filter_without_direction_is_zero_and_of_one_along_x_is_not():
    image = specimen((64, 80)) + noise_of((64, 80), 3)
    along_x = on_stacks(lambda picture: gaussian_filter(picture, (0, 3)))
    assert orientation_spread(OVERSMOOTHS, image).rms < 1e-6
    assert orientation_spread(along_x, image).rms > 0.3 * SIGMA
    assert orientation_spread(along_x, image, keep_lines=True).rms < 1e-6
    np.testing.assert_allclose(opinions_spread(image, image + 0.1).deviation, 0.1 / np.sqrt(2), rtol=1e-4)


def test_a_residual_of_pure_noise_is_taken_for_noise_also_if_correlated_along_the_line():
    truth = specimen((256, 256))
    white = noise_of(truth.shape, 4) / SIGMA
    along = SIGMA * (white + 0.4 * np.roll(white, 1, 1)) / np.sqrt(1.16)
    model = NoiseModel(0.0, SIGMA**2, (0.4 / 1.16, 0.0, 0.0), (0.0, 0.0, 0.0))
    found = examine_residual(truth + along, truth, model)
    assert found.explained == pytest.approx(1, abs=0.05)
    assert found.pattern < 0.03
    assert found.edge_excess == pytest.approx(1, abs=0.1)
    assert abs(found.edge_correlation) < 0.05
    assert found.along[0] == pytest.approx(0.345, abs=0.02)


def test_edges_that_were_taken_away_show_in_the_residual_with_their_sign():
    truth = specimen((256, 256))
    raw = truth + noise_of(truth.shape, 5)
    model = NoiseModel(0.0, SIGMA**2)
    blurred = examine_residual(raw, gaussian_filter(truth, 2), model)
    sharpened = examine_residual(raw, 2 * truth - gaussian_filter(truth, 2), model)
    assert blurred.edge_excess > 1.4
    assert blurred.edge_correlation > 0.3
    assert sharpened.edge_excess > 1.2
    assert sharpened.edge_correlation < -0.3


def test_a_network_trained_to_look_real_is_compared_with_the_one_trained_for_the_least_error():
    for made, other in (
        (NeuralDenoiser(weights="semgan-small"), "semnet-small"),
        (SemnetDenoiser(), None),
        (HONEST, None),
    ):
        second = made.second_opinion()
        assert (second and second.weights) == other
