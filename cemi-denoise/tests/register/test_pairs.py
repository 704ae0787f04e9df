"""LD and HD images are registered, matched in grey levels, or rejected with a reason; every truth here is planted."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from scipy.ndimage import convolve1d, gaussian_filter, map_coordinates

from cemi_core.errors import InputError
from cemi_denoise.register.pair_registration import RegisteredPair, RejectedPair, register_pair
from cemi_denoise.register.pairs import load_pairs
from cemi_denoise.register.warp import Warp, common_box, resampled

LD_NOISE = 0.11  # 60 electrons per pixel at white, and the amplifier
HD_NOISE = LD_NOISE / np.sqrt(9.7)  # of the paper's dwell times


def specimen(seed=0, side=420):
    """Return irregular dark lamellae in a bright phase, borders blurred by a beam, as a float64 picture."""
    rng = np.random.default_rng(seed)
    fine = gaussian_filter(rng.standard_normal((side, side)), 2.2)
    coarse = gaussian_filter(rng.standard_normal((side, side)), 9)
    return gaussian_filter(np.where(fine / fine.std() + coarse / coarse.std() > 0.5, 0.36, 0.6), 0.7)


def noise(shape, sigma, seed):
    """Return noise that is correlated along the line, by +0.4."""
    noise = convolve1d(np.random.default_rng(seed).standard_normal(shape), (0.235, 1, 0.235), axis=1, mode="wrap")
    return sigma * noise / noise.std()


def pair(shift=(6.3, -9.62), scale=0.0, bend_px=0.0, seed=0, shape=(300, 330), ld_noise=LD_NOISE):
    """Return an LD and an HD picture, and the true (dy, dx) from each LD pixel to the HD picture, (2, h, w)."""
    whole = specimen(seed)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    v, u = y / shape[0] * 2 - 1, x / shape[1] * 2 - 1
    dy = shift[0] + scale * (y - shape[0] / 2) + bend_px * (u * u - 0.5 * u * v)
    dx = shift[1] + scale * (x - shape[1] / 2) + bend_px * (v * v + 0.5 * u * v)
    ld = map_coordinates(whole, [y + dy + 50, x + dx + 50], order=5) + noise(shape, ld_noise, seed + 1)
    hd = whole[50 : 50 + shape[0], 50 : 50 + shape[1]] + noise(shape, HD_NOISE, seed + 2)
    return ld.astype(np.float32), hd.astype(np.float32), np.stack([dy, dx])


def error_px(registered, truth):
    """Return the root mean square error of the place of the common field's pixels."""
    top, left, height, width = common_box(registered.warp, truth.shape[1:])
    rows, columns = np.arange(top, top + height, dtype=float), np.arange(left, left + width, dtype=float)
    found = registered.warp.displacement(rows[:, None], columns[None, :])
    return float(np.sqrt(((found - truth[:, top : top + height, left : left + width]) ** 2).sum(0).mean()))


@pytest.mark.parametrize(
    ("distortion", "scale", "bend_px"), [("shift", 0, 0), ("affine", 0.006, 0), ("quadratic", 0.003, 2.0)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_pairs_are_registered_to_a_fifth_of_a_pixel_at_the_noise_of_a_fast_scan(distortion, scale, bend_px, seed):
    ld, hd, truth = pair(scale=scale, bend_px=bend_px, seed=10 * seed)
    found = register_pair(ld, hd, "a pair", distortion)
    assert isinstance(found, RegisteredPair), found
    assert error_px(found, truth) < 0.2
    assert found.agreement > 0.9


def test_large_pictures_are_compared_at_a_part_of_their_size_and_pixels_first(monkeypatch):
    monkeypatch.setattr("cemi_denoise.register.pair_registration._COARSE_PIXELS", 20_000)
    monkeypatch.setattr("cemi_denoise.register.registration._MOST_PIXELS", 20_000)
    ld, hd, truth = pair((17.3, -28.6))
    assert error_px(register_pair(ld, hd), truth) < 0.2


def test_a_shift_is_found_to_a_twentieth_of_a_pixel():
    errors = []
    for seed, fraction in enumerate((0.0, 0.25, 0.5, 0.8)):
        ld, hd, truth = pair((3 + fraction, -5 - fraction), seed=10 * seed)
        errors.append(error_px(register_pair(ld, hd, distortion="shift"), truth))
    assert np.sqrt(np.mean(np.square(errors))) < 0.05


def test_the_ld_picture_is_cropped_and_nothing_else():
    ld, hd, _ = pair()
    found = register_pair(ld, hd)
    top, left, height, width = common_box(found.warp, hd.shape)
    np.testing.assert_array_equal(found.ld, ld[top : top + height, left : left + width])
    assert found.ld.shape == found.hd.shape
    assert height > 270
    assert width > 300


def test_the_hd_picture_takes_the_grey_levels_of_the_ld_one():
    ld, hd, _ = pair()
    found = register_pair(ld, 1.4 * hd - 0.2)
    assert found.gain == pytest.approx(1 / 1.4, rel=0.03)
    assert found.hd.mean() == pytest.approx(found.ld.mean(), abs=0.002)
    assert np.mean(found.ld - found.hd) == pytest.approx(0, abs=0.002)
    assert found.noise == pytest.approx(LD_NOISE, rel=0.1)


def test_resampling_does_not_blur_what_a_beam_resolves():
    y, x = np.mgrid[:80, :90].astype(float)
    for frequency, gain in ((0.1, 0.999), (0.25, 0.99), (0.33, 0.95)):
        wave = np.cos(2 * np.pi * frequency * x) + np.cos(2 * np.pi * frequency * y)
        moved = resampled(wave.astype(np.float32), Warp.shift(0.5, 0.5, wave.shape), 20, 20, 40, 40)
        shifted = np.cos(2 * np.pi * frequency * (x + 0.5)) + np.cos(2 * np.pi * frequency * (y + 0.5))
        there = shifted[20:60, 20:60]
        assert (moved * there).sum() / (there * there).sum() > gain


@pytest.mark.parametrize("seed", range(4))
def test_pictures_of_other_places_are_rejected(seed):
    ld, hd = pair(seed=0)[0], pair(seed=20 + seed)[1]
    found = register_pair(ld, hd, "wrong")
    assert isinstance(found, RejectedPair)
    assert "do not show the same field" in found.reason


def test_a_field_that_changed_between_the_scans_is_rejected():
    ld, hd, _ = pair()
    ld[:, 150:] = pair(seed=7)[0][:, 150:]
    found = register_pair(ld, hd)
    assert isinstance(found, RejectedPair)
    assert "agree" in found.reason


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float64", "rgb", "other size"])
def test_types_sizes_and_colours_do_not_matter(kind):
    ld, hd, truth = pair()
    if kind in ("uint8", "uint16"):
        top = np.iinfo(kind).max
        ld, hd = (np.rint(np.clip(p, 0, 1) * top).astype(kind) for p in (ld, hd))
    elif kind == "float64":
        ld, hd = ld.astype(kind), hd.astype(kind)
    elif kind == "rgb":
        ld, hd = (np.repeat(np.rint(np.clip(p, 0, 1) * 255).astype(np.uint8)[..., None], 3, 2) for p in (ld, hd))
    else:
        ld, truth = ld[20:260, 10:300], truth[:, 20:260, 10:300] + np.array([20, 10])[:, None, None]
    found = register_pair(ld, hd)
    assert isinstance(found, RegisteredPair), found
    wide = np.full((2, 500, 500), np.nan)
    wide[:, : truth.shape[1], : truth.shape[2]] = truth
    assert np.abs(found.warp.displacement(np.array(100.0), np.array(100.0)) - wide[:, 100, 100]).max() < 0.2


def saturated(picture):
    picture = picture.copy()
    picture[:, :100] = picture.max()
    return picture


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda p: p * 0, "is empty"),
        (lambda p: np.where(p == p[4, 4], np.nan, p), "not numbers"),
        (saturated, "is saturated"),
        (lambda p: p[:40, :50], "at least 64"),
    ],
)
def test_bad_pictures_are_rejected_with_a_reason(spoil, reason):
    ld, hd, _ = pair(shape=(150, 160))
    for found in (register_pair(spoil(ld), hd), register_pair(ld, spoil(hd))):
        assert isinstance(found, RejectedPair)
        assert reason in found.reason


def test_the_same_picture_twice_and_exchanged_pictures_are_rejected():
    ld, hd, _ = pair()
    assert "same" in register_pair(ld, ld.copy()).reason
    assert "exchanged" in register_pair(hd, ld).reason


def test_another_magnification_is_rejected():
    ld, hd, _ = pair(scale=0.08)
    assert "magnification" in register_pair(ld, hd).reason


def test_a_field_beside_it_is_rejected():
    ld, hd, _ = pair()
    found = register_pair(ld[:, :200], hd[:, 110:])
    assert isinstance(found, RejectedPair)
    assert found.reason.startswith("the images have 37% of their field in common: does one show the field beside it")


@pytest.mark.parametrize("overlap", [0.4, 0.65])
def test_shuffled_files_of_overlapping_fields_are_told_from_their_neighbours(tmp_path, overlap):
    whole, side = specimen(5, 640), 220
    files = {"ld": [], "hd": []}
    for number in range(4):
        x = 20 + round(number * side * (1 - overlap))
        for kind, sigma, off in (("ld", LD_NOISE, 0), ("hd", HD_NOISE, 6)):
            field = whole[30 + off : 30 + off + side, x - off : x - off + side]
            path = tmp_path / f"{kind} {number}.tif"
            tifffile.imwrite(path, (field + noise(field.shape, sigma, number)).astype(np.float32))
            files[kind].append(path)
    in_order = load_pairs(files["ld"], files["hd"])
    assert len(in_order.pairs) == 4
    for number, path in enumerate(files["hd"]):
        path.rename(tmp_path / f"hd x{(number + 1) % 4}.tif")
    shuffled = load_pairs(files["ld"], sorted(tmp_path.glob("hd x*")))
    assert not shuffled.pairs
    reasons = [pair.reason for pair in shuffled.rejected]
    told = "of their field in common" if overlap < 0.5 else "shows more of the LD image"
    assert sum(told in reason for reason in reasons) == 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    for number in (1, 2, 10):
        for kind, picture in zip(("LD", "HD"), pair(seed=30 * number, shape=(200, 220))[:2], strict=True):
            pixels = np.rint(np.clip(picture, 0, 1) * 65535).astype(np.uint16)
            tifffile.imwrite(folder / f"field{number}_{kind}.tif", pixels)
    return folder


def test_a_stack_is_no_scan_of_a_pair(tmp_path):
    pages = np.random.default_rng(0).integers(1, 254, (2, 80, 80), dtype=np.uint8)
    for name in ("a_LD.tif", "a_HD.tif"):
        tifffile.imwrite(tmp_path / name, pages, photometric="minisblack")
    (rejected,) = load_pairs([tmp_path / "a_LD.tif"], [tmp_path / "a_HD.tif"]).rejected
    assert rejected.reason == "a_LD.tif holds 2 pictures: save each as a file of its own"


def test_files_are_paired_by_name_or_else_by_order(folder):
    ld, hd = sorted(folder.glob("*LD.tif")), sorted(folder.glob("*HD.tif"))
    by_name = load_pairs(ld, hd[::-1])
    assert [p.name for p in by_name.pairs] == [f"field{n}_LD.tif + field{n}_HD.tif" for n in (10, 1, 2)]
    assert not by_name.rejected
    for number, path in enumerate(ld[:2]):
        (folder / f"scan {number}.tif").write_bytes(path.read_bytes())
    by_order = load_pairs(sorted(folder.glob("scan*")), hd[:2])
    assert len(by_order.pairs) == 2


def test_one_bad_pair_does_not_cost_the_others(folder, tmp_path):
    broken = tmp_path / "field2_HD.tif"
    broken.write_bytes(b"II*\0 no picture")
    hd = [folder / "field1_HD.tif", broken]
    found = load_pairs([folder / f"field{n}_LD.tif" for n in (1, 2, 10)], hd)
    assert len(found.pairs) == 1
    assert {p.name: p.reason for p in found.rejected}["field10_LD.tif"] == "there is no HD image of the same name"
    assert any("field2_HD.tif" in p.reason for p in found.rejected)
    assert "same field" in load_pairs([folder / "field1_LD.tif"], [folder / "field2_HD.tif"]).rejected[0].reason


def test_files_that_make_no_pairs_are_refused_in_a_sentence(folder):
    ld = sorted(folder.glob("*LD.tif"))
    with pytest.raises(InputError, match="no HD image"):
        load_pairs(ld, [])
    with pytest.raises(InputError, match="give as many of each"):
        load_pairs([folder / "field1_LD.tif"], [folder / "field2_HD.tif", folder / "field10_HD.tif"])
