from __future__ import annotations

import pickle
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cemi_core.errors import UsageError
from cemi_core.model.mosaic import Box
from cemi_core.model.specimen import Specimen
from cemi_core.testing import SpecimenTests
from cemi_virtual_sem import make_specimen
from cemi_virtual_sem.ehea import Ehea
from cemi_virtual_sem.polycrystal import Polycrystal

NAMES = ("ehea", "pbse-srse", "polycrystal")
WHOLE = Box(-300, -200, 900, 1100)


@pytest.fixture(scope="module")
def wholes() -> dict[str, tuple[Specimen, np.ndarray]]:
    made = {name: make_specimen(name, seed=7) for name in NAMES}
    return {name: (specimen, specimen.render(WHOLE)) for name, specimen in made.items()}


@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    y=st.integers(0, 860),
    x=st.integers(0, 1060),
    height=st.integers(1, 500),
    width=st.integers(1, 500),
)
def test_a_pixel_is_the_same_however_the_region_is_cut(
    wholes: dict[str, tuple[Specimen, np.ndarray]], name: str, y: int, x: int, height: int, width: int
) -> None:
    _, whole = wholes[name]
    part = Box(y, x, min(height, WHOLE.height - y), min(width, WHOLE.width - x))
    fresh = make_specimen(name, seed=7)
    found = fresh.render(Box(part.y + WHOLE.y, part.x + WHOLE.x, part.height, part.width))
    np.testing.assert_array_equal(found, whole[part.slices])


@pytest.mark.parametrize("name", NAMES)
def test_truth_is_the_same_however_the_region_is_cut(name: str) -> None:
    specimen = make_specimen(name, seed=1)
    whole, part = specimen.truth(Box(-50, 400, 300, 300)), specimen.truth(Box(20, 480, 100, 90))
    inside = (slice(70, 170), slice(80, 170))
    for mask in specimen.mask_names:
        np.testing.assert_array_equal(part.masks[mask], whole.masks[mask][inside])
    for mean in specimen.mean_names:
        np.testing.assert_array_equal(part.means[mean][0], whole.means[mean][0][inside])


@pytest.mark.parametrize("name", NAMES)
def test_a_pickled_specimen_is_the_same_and_another_seed_is_not(
    wholes: dict[str, tuple[Specimen, np.ndarray]], name: str
) -> None:
    specimen, whole = wholes[name]
    box = Box(0, 0, 200, 200)
    here = whole[300:500, 200:400]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(specimen)).render(box), here)
    assert np.corrcoef(make_specimen(name, seed=8).render(box).ravel(), here.ravel())[0, 1] < 0.3


@pytest.mark.parametrize("name", NAMES)
def test_grey_levels_are_float32_in_the_unit_range(name: str, wholes: dict[str, tuple[Specimen, np.ndarray]]) -> None:
    _, whole = wholes[name]
    assert whole.dtype == np.float32
    assert whole.min() >= 0 and whole.max() <= 1


def test_memory_does_not_grow_with_the_region_that_was_visited() -> None:
    specimen = make_specimen("ehea", seed=0)
    for x in range(0, 512 * 70, 512):
        specimen.render(Box(0, x, 8, 512))
    kept = sum(tile.nbytes for tile in specimen._tiles.values())
    assert kept <= 32 * 512 * 512 * 4


def test_bcc_fraction_of_lamellae_and_of_the_rest_is_the_planted_one() -> None:
    specimen = make_specimen("ehea", seed=3, bcc_low=0.25, bcc_high=0.45, lamella_low=0.3, lamella_high=0.5)
    assert isinstance(specimen, Ehea)
    box = Box(0, 1000, 1024, 2048)
    truth = specimen.truth(box)
    planted = specimen.bcc_trend(np.arange(0, 1024)[:, None], 1000 + np.arange(2048)[None, :])
    bcc, lamella = truth.masks["bcc"], truth.masks["lamella"]
    assert bcc[lamella].mean() == pytest.approx(planted[lamella].mean(), abs=0.008)
    assert bcc[~lamella].mean() == pytest.approx(planted[~lamella].mean(), abs=0.015)


def test_lamellar_share_follows_its_planted_trend_along_x() -> None:
    specimen = make_specimen("ehea", seed=5, lamella_low=0.15, lamella_high=0.6)
    assert isinstance(specimen, Ehea)
    found, planted = [], []
    for x in range(0, 6000, 600):
        lamella = specimen.truth(Box(0, x, 1200, 600)).masks["lamella"]
        found.append(lamella.mean())
        planted.append(specimen.lamella_trend(np.arange(0, 1200, 20)[:, None], np.arange(x, x + 600, 20)).mean())
    assert np.corrcoef(found, planted)[0, 1] > 0.9
    assert np.mean(found) == pytest.approx(np.mean(planted), abs=0.04)


def test_spacing_measured_by_fourier_transform_is_the_one_in_the_truth() -> None:
    specimen = make_specimen("ehea", seed=2, colony_um=30.0, lamella_low=0.5, lamella_high=0.5, waviness=0.2)
    truth = specimen.truth(Box(0, 0, 1024, 1024))
    grey = specimen.render(Box(0, 0, 1024, 1024))
    spacing_um, lamella = truth.means["lamella_spacing_um"]
    size, errors = 96, []
    for y in range(0, 1024 - size, size):
        for x in range(0, 1024 - size, size):
            window = (slice(y, y + size), slice(x, x + size))
            if not lamella[window].all() or np.ptp(spacing_um[window]) > 0.4:
                continue
            cos2, sin2 = (truth.means[f"lamella_{part}2"][0][window] for part in ("cos", "sin"))
            if np.hypot(cos2.mean(), sin2.mean()) < 0.9:
                continue  # more than one colony
            patch = grey[window] - grey[window].mean()
            power = np.abs(np.fft.fft2(patch * np.outer(np.hanning(size), np.hanning(size)), (512, 512))) ** 2
            fy, fx = np.meshgrid(*[np.fft.fftfreq(512)] * 2, indexing="ij")
            power[np.hypot(fy, fx) < 0.08] = 0
            peak = np.unravel_index(power.argmax(), power.shape)
            found_um = specimen.pixel_size_um / np.hypot(fy[peak], fx[peak])
            errors.append(found_um / spacing_um[window].mean() - 1)
    assert len(errors) >= 5
    assert np.median(np.abs(errors)) < 0.03


def test_bcc_is_the_dark_phase() -> None:
    specimen = make_specimen("ehea", seed=2)
    grey, bcc = specimen.render(Box(0, 0, 400, 400)), specimen.truth(Box(0, 0, 400, 400)).masks["bcc"]
    assert grey[bcc].mean() < grey[~bcc].mean() - 0.12


def test_sr_rich_phase_grows_along_x_as_planted() -> None:
    specimen = make_specimen("pbse-srse", seed=1, extent_px=(1200, 4000), sr_start=0.1, sr_end=0.6)
    found = [specimen.truth(Box(0, x, 1200, 400)).masks["sr"].mean() for x in range(0, 4000, 400)]
    assert found == pytest.approx(np.arange(0.125, 0.6, 0.05), abs=0.05)


def test_boundaries_part_the_grains_and_are_dark_and_of_the_stated_width() -> None:
    specimen = make_specimen("polycrystal", seed=6, boundary_px=5.0, grain_um=8.0)
    assert isinstance(specimen, Polycrystal)
    box = Box(0, 0, 512, 512)
    boundary, grains, grey = specimen.truth(box).masks["boundary"], specimen.labels(box), specimen.render(box)
    assert grey[boundary].mean() < grey[~boundary].mean() - 0.04
    changes = (grains[1:] != grains[:-1])[:, 1:] | (grains[:, 1:] != grains[:, :-1])[1:]
    assert boundary[1:, 1:][changes].all()
    # Walls cut along x: their width there is 5 px or, for slanting ones, more.
    runs = np.diff(np.flatnonzero(np.diff(np.pad(boundary.ravel().astype(int), 1))))[::2]
    assert 4 <= np.percentile(runs, 10) <= 6
    assert len(np.unique(grains)) == pytest.approx((512 / 80) ** 2, rel=0.5)


def test_unknown_specimens_and_settings_are_named() -> None:
    with pytest.raises(UsageError, match="unknown specimen 'ehae'; did you mean 'ehea'"):
        make_specimen("ehae")
    with pytest.raises(UsageError, match=r"specimen\.bcc_lo: .*known: .*bcc_low"):
        make_specimen("ehea", bcc_lo=0.3)
    with pytest.raises(UsageError, match=r"specimen\.pixel_size is set by the session"):
        make_specimen("ehea", pixel_size="20 nm")


class TestEhea(SpecimenTests):
    name = "ehea"


class TestPbseSrse(SpecimenTests):
    name = "pbse-srse"


class TestPolycrystal(SpecimenTests):
    name = "polycrystal"
    settings: ClassVar[dict[str, Any]] = {"grain_um": 3.0}
