"""Overlapping frames give two views with independent noise to train on; every truth here is planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import convolve1d, gaussian_filter, map_coordinates

from cemi_core.errors import InputError
from cemi_core.images.read_image import read_pixels
from cemi_core.model.array_source import ArraySource
from cemi_core.model.layout import Layout, PairShift
from cemi_denoise.register.overlaps import find_overlaps
from cemi_denoise.train.overlap_patches import OverlapPatches, split_overlaps

SIGMA = 0.09


def specimen(seed=0, shape=(330, 620)):
    rng = np.random.default_rng(seed)
    fine, coarse = (gaussian_filter(rng.standard_normal(shape), width) for width in (2.2, 9))
    return gaussian_filter(np.where(fine / fine.std() + coarse / coarse.std() > 0.5, 0.36, 0.6), 0.7)


def noise(shape, seed):
    """Return noise that is correlated along the line, by +0.4."""
    noise = convolve1d(np.random.default_rng(seed).standard_normal(shape), (0.235, 1, 0.235), axis=1, mode="wrap")
    return SIGMA * noise / noise.std()


PLACES = np.array([[0, 0], [3.4, 99.7], [1.8, 201.2], [80.3, 20.6], [82.1, 118.9]])


def clean_frames(places=PLACES, shape=(180, 220)):
    whole, grid = specimen(), np.indices(shape, float)
    return [map_coordinates(whole, grid + np.array(p)[:, None, None] + 5, order=5) for p in places]


def noisy(frames):
    views = [frame + noise(frame.shape, number + 1) for number, frame in enumerate(frames)]
    return [np.clip(view, 0, 1).astype(np.float32) for view in views]


def layout_of(places, shape=(180, 220), residual_px=0.1, **changes):
    count = len(places)
    layout = Layout(
        positions_px=np.array(places) - np.min(places, axis=0),
        shapes=np.tile(shape, (count, 1)),
        component=np.zeros(count, np.int64),
        residual_px=np.full(count, residual_px),
        gain=np.ones(count),
        offset=np.zeros(count),
        placed_by_prior=np.zeros(count, bool),
    )
    return replace(layout, **changes)


def truth_of(overlap, frames):
    """Return the noise-free picture of an overlap: where its crop lies is found by its exact pixels."""
    noisy_frame, clean = frames[0][overlap.frames[0]], frames[1][overlap.frames[0]]
    height, width = overlap.noisy.shape
    for y, x in np.argwhere(noisy_frame == overlap.noisy[0, 0]):
        if np.array_equal(noisy_frame[y : y + height, x : x + width], overlap.noisy):
            return clean[y : y + height, x : x + width]
    raise AssertionError("the noisy view is not a plain crop of its frame")


@pytest.mark.parametrize("wrong_px", [0.0, 0.3, 1.5])
def test_the_second_view_lies_on_the_first_though_the_layout_is_a_little_wrong(wrong_px):
    clean = clean_frames()
    frames = noisy(clean)
    places = PLACES + wrong_px * np.random.default_rng(0).uniform(-1, 1, PLACES.shape)
    found = find_overlaps(ArraySource(frames), layout_of(places, residual_px=wrong_px), patch_px=64)
    assert len(found.overlaps) >= 5
    for overlap in found.overlaps:
        truth = truth_of(overlap, (frames, clean))
        rest = overlap.target - truth
        # what misregistration by d px leaves is d times the slope; the noise alone stays if d is 0
        slopes = np.stack([part.ravel() for part in np.gradient(truth)])
        shift = np.linalg.lstsq(slopes.T, rest.ravel(), rcond=None)[0]
        assert np.abs(shift).max() < 0.2
        assert rest.std() < 1.05 * SIGMA


def test_the_two_views_have_independent_noise():
    clean = clean_frames()
    frames = noisy(clean)
    overlaps = find_overlaps(ArraySource(frames), layout_of(PLACES), patch_px=64).overlaps
    assert overlaps
    for overlap in overlaps:
        truth = truth_of(overlap, (frames, clean))
        assert abs(np.corrcoef((overlap.noisy - truth).ravel(), (overlap.target - truth).ravel())[0, 1]) < 0.03


def test_brightness_of_the_second_frame_becomes_that_of_the_first():
    clean = clean_frames()
    shading = 1 + 0.15 * np.linspace(-1, 1, 220)
    gains = np.array([1.1, 1.0, 1.3, 1.15, 1.2])
    frames = noisy([shading * (frame / gain) for frame, gain in zip(clean, gains, strict=True)])
    flat = np.tile(np.linspace(0.85, 1.15, 3), (3, 1))
    found = find_overlaps(ArraySource(frames), layout_of(PLACES, gain=gains, flat_field=flat), patch_px=64)
    assert found.overlaps
    for overlap in found.overlaps:
        blurred = gaussian_filter(overlap.noisy - overlap.target, 12)
        assert np.abs(blurred).max() < 0.025


def test_the_noise_is_measured():
    noise_model = find_overlaps(ArraySource(noisy(clean_frames())), layout_of(PLACES), patch_px=64).noise
    assert noise_model.sigma(0.5) == pytest.approx(SIGMA, rel=0.1)
    assert noise_model.line_correlation[0] == pytest.approx(0.4, abs=0.06)


def test_frames_of_a_stage_that_rested_are_left_out():
    places = np.array([[0, 0], [0, 0], [0.3, 1.2]])
    with pytest.raises(InputError, match="the stage rested"):
        find_overlaps(ArraySource(noisy(clean_frames(places))), layout_of(places), patch_px=64)


def test_views_that_share_noise_are_left_out():
    places = np.array([[0, 0], [0, 60]])
    wide = (specimen()[:180, :300] + noise((180, 300), 1)).astype(np.float32)
    crops = [np.ascontiguousarray(wide[:, :220]), np.ascontiguousarray(wide[:, 60:280])]
    own = [0.3 * noise((180, 220), seed).astype(np.float32) for seed in (5, 6)]
    with pytest.raises(InputError, match=r"share .* of their noise"):
        find_overlaps(ArraySource([crop + n for crop, n in zip(crops, own, strict=True)]), layout_of(places), 64)


def test_pairs_at_a_wrong_place_are_left_out():
    places = PLACES.copy()
    places[4] += (25, -31)
    found = find_overlaps(ArraySource(noisy(clean_frames())), layout_of(places), patch_px=64)
    assert found.rejected
    assert all(4 in pair for pair, _ in found.rejected)
    assert not any(4 in overlap.frames for overlap in found.overlaps)


def test_places_that_changed_are_left_out():
    frames = noisy(clean_frames(PLACES[:2]))
    frames[1][:, :60] = specimen(9)[:180, :60]
    with pytest.raises(InputError, match=r"none of 1 overlaps .* agree"):
        find_overlaps(ArraySource(frames), layout_of(PLACES[:2]), patch_px=64)


def test_only_pairs_that_the_stitcher_kept_are_used_where_it_says():
    pairs = (PairShift(0, 1, (3.4, 99.7), 0.9), PairShift(1, 2, (0, 0), 0.9).dropped("no match"))
    found = find_overlaps(ArraySource(noisy(clean_frames())), layout_of(PLACES, pairs=pairs), patch_px=64)
    assert {tuple(sorted(overlap.frames)) for overlap in found.overlaps} == {(0, 1)}


def test_frames_that_do_not_overlap_are_refused_in_a_sentence():
    places = np.array([[0, 0], [0, 200.0]])
    with pytest.raises(InputError, match="no two frames overlap by 76 px"):
        find_overlaps(ArraySource(noisy(clean_frames(places))), layout_of(places), patch_px=64)


def test_patches_depend_on_the_step_alone_and_tell_the_noise():
    found = find_overlaps(ArraySource(noisy(clean_frames())), layout_of(PLACES), patch_px=64)
    batches = OverlapPatches(found.overlaps, found.noise, patch_px=64, batch=5, seed=2, told_error=0.0)
    batch = batches(3)
    assert batch.noisy.shape == batch.target.shape == (5, 1, 64, 64)
    np.testing.assert_array_equal(batch.noisy, batches(3).noisy)
    assert not np.array_equal(batch.noisy, batches(4).noisy)
    np.testing.assert_allclose(batch.noise, SIGMA, rtol=0.15)
    assert (batch.noisy - batch.target).numpy().std() == pytest.approx(np.sqrt(2) * SIGMA, rel=0.1)


def test_what_is_held_out_is_not_trained_on():
    found = find_overlaps(ArraySource(noisy(clean_frames())), layout_of(PLACES), patch_px=64)
    train, held = split_overlaps(found)
    assert len(train) + len(held) == len(found.overlaps)
    assert not {o.frames for o in train} & {o.frames for o in held}
    (left,), (right,) = split_overlaps(replace(found, overlaps=found.overlaps[:1]))
    assert left.noisy.size + right.noisy.size == found.overlaps[0].noisy.size


def test_overlaps_of_real_tiles_are_found_though_the_layout_is_a_pixel_off(cemi_data):
    tiles = [read_pixels(cemi_data / "stitch2d_bse_tiles" / f"stitch2d_ex[Grid@{column} 1].jpg") for column in (0, 1)]
    places = np.array([[0, 0], [4.2, 379.1]])  # truly (3, 380)
    (overlap,) = find_overlaps(ArraySource(tiles), layout_of(places, tiles[0].shape, residual_px=1.0), 64).overlaps
    assert min(overlap.noisy.shape) > 110
    assert np.corrcoef(overlap.noisy.ravel(), overlap.target.ravel())[0, 1] > 0.8
