"""Claims about the two-phase specimens: fractions, correlations and spacings are the planted ones."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box
from cemi_specimens import make_specimen
from cemi_specimens.cahn_hilliard import spacings_across


def _autocorrelation(field: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the periodic autocorrelation about the mean, 1 at lag 0."""
    centred = field.astype(np.float64) - field.mean(dtype=np.float64)
    found = np.fft.irfft2(np.abs(np.fft.rfft2(centred)) ** 2, s=field.shape)
    return found / found[0, 0]


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("extent_px", [(256, 256), (500, 700), (301, 203)])
def test_gaussian_field_has_its_fraction_to_a_tenth_of_a_point(fraction: float, extent_px: tuple[int, int]) -> None:
    specimen = make_specimen("gaussian-field", seed=4, fraction=fraction, extent_px=extent_px)
    found = specimen.truth(Box(0, 0, *extent_px)).masks["dark"].mean()
    assert found == pytest.approx(fraction, abs=0.0001)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("correlation", ["gaussian", "exponential"])
def test_gaussian_field_has_its_correlation_to_a_hundredth(correlation: str, seed: int) -> None:
    length_px, extent_px = 12, (500, 700)
    specimen = make_specimen("gaussian-field", seed=seed, correlation=correlation, extent_px=extent_px)
    found = _autocorrelation(specimen.truth(Box(0, 0, *extent_px)).fields["gaussian_field"])
    y, x = np.mgrid[:40, :40]
    r = np.hypot(y, x) / length_px
    wanted = np.exp(-(r**2)) if correlation == "gaussian" else np.exp(-r)
    assert np.abs(found[:40, :40] - wanted).max() < 0.01
    strong = wanted > 0.3
    assert (np.abs(found[:40, :40] / wanted - 1)[strong]).max() < 0.01


def test_gaussian_field_is_gaussian_and_its_interface_is_as_long_as_rice_says() -> None:
    specimen = make_specimen("gaussian-field", seed=1, extent_px=(1200, 1200), correlation_um=1.0, fraction=0.3)
    truth = specimen.truth(Box(0, 0, 1200, 1200))
    field, mask = truth.fields["gaussian_field"].astype(np.float64), truth.masks["dark"]
    assert np.mean(field**3) == pytest.approx(0, abs=0.1)
    assert np.mean(field**4) == pytest.approx(3, abs=0.15)
    # Cauchy: pi / 2 times the crossings of lines along x and along y, per px
    crossings = ((mask[:, 1:] != mask[:, :-1]).mean() + (mask[1:] != mask[:-1]).mean()) / 2
    found_per_um = np.pi / 2 * crossings / specimen.pixel_size_um
    assert found_per_um == pytest.approx(specimen.properties()["interface_per_um"], rel=0.03)


@pytest.mark.parametrize("fraction", [0.3, 0.6])
def test_spinodal_structure_has_its_fraction_and_spacing_over_a_period(fraction: float) -> None:
    specimen = make_specimen("cahn-hilliard", seed=3, fraction=fraction, spacings_across=8, spacing_um=2.5)
    size = 8 * 25
    sizes = range(size - 8, size + 25)
    image = specimen.truth(Box(0, 0, size + 40, size + 40)).fields["composition"]
    # the period is a whole number of px near 8 spacings: found where the structure repeats
    period = min(sizes, key=lambda p: float(np.abs(image[p : p + 10] - image[:10]).max()))
    truth = specimen.truth(Box(0, 0, period, period))
    assert truth.masks["dark"].mean() == pytest.approx(fraction, abs=0.0002)
    found_um = period * specimen.pixel_size_um / spacings_across(truth.fields["composition"])
    assert found_um == pytest.approx(2.5, rel=0.01)


def test_spinodal_phases_are_near_their_equilibrium_and_the_interface_is_narrow() -> None:
    composition = make_specimen("cahn-hilliard", spacings_across=8).truth(Box(0, 0, 300, 300)).fields["composition"]
    assert np.percentile(composition, 90) - np.percentile(composition, 10) == pytest.approx(1.8, abs=0.2)
    assert (np.abs(composition) < 0.5).mean() < 0.35


@pytest.mark.parametrize(("fraction", "rods"), [(0.2, True), (0.3, True), (0.35, False), (0.45, False)])
def test_eutectic_is_of_rods_below_one_over_pi_and_has_its_fraction(fraction: float, rods: bool) -> None:
    specimen = make_specimen("eutectic", seed=2, fraction=fraction)
    box = Box(0, 0, 700, 700)
    assert specimen.truth(box).masks["dark"].mean() == pytest.approx(fraction, abs=0.006)
    objects = specimen.objects(Box(0, 0, 200, 200))
    assert objects is not None and objects.classes[0].name == ("rods" if rods else "lamellae")


def test_lamellae_of_a_colony_have_the_spacing_and_direction_of_its_row() -> None:
    specimen = make_specimen("eutectic", seed=5, faults=0.0, colony_um=14.0, spacing_um=0.5)
    objects = specimen.objects(Box(0, 0, 400, 500))
    assert objects is not None and len(objects) >= 3
    size, checked = 64, 0
    for i in range(len(objects)):
        y, x = round(objects.y_px[i]) - size // 2, round(objects.x_px[i]) - size // 2
        truth = specimen.truth(Box(y, x, size, size))
        if (truth.labels != objects.column("number")[i]).any():
            continue
        patch = truth.masks["dark"] - truth.masks["dark"].mean()
        power = np.abs(np.fft.rfft2(patch * np.outer(np.hanning(size), np.hanning(size)), s=(2048, 2048))) ** 2
        ky, kx = np.unravel_index(power.argmax(), power.shape)
        fy, fx = (ky - 2048 if ky > 1024 else ky) / 2048, kx / 2048
        assert 1 / np.hypot(fy, fx) * 0.1 == pytest.approx(objects.column("spacing_um")[i], rel=0.01)
        off = (np.rad2deg(np.arctan2(fy, fx)) - objects.column("orientation_deg")[i] + 90) % 180 - 90
        assert abs(off) < 1.5
        checked += 1
    assert checked >= 2


def test_faults_end_lamellae_and_keep_the_fraction() -> None:
    box = Box(0, 0, 500, 500)
    straight, faulted = (make_specimen("eutectic", seed=5, faults=faults).truth(box).masks["dark"] for faults in (0, 1))
    assert (straight != faulted).mean() > 0.05
    assert faulted.mean() == pytest.approx(straight.mean(), abs=0.01)


def test_dendrites_have_their_fraction_over_a_period_and_arms_along_their_orientation() -> None:
    specimen = make_specimen("dendrites", seed=1, dendrite_um=15.0, fraction=0.2)
    size = round(np.sqrt(4 * np.pi / 4) * 150)
    truth = specimen.truth(Box(0, 0, size, size))
    assert truth.masks["dendrite"].mean() == pytest.approx(0.2, abs=0.0002)
    whole = Box(-size, -size, 3 * size, 3 * size)
    labels, objects = specimen.truth(whole).labels, specimen.objects(Box(0, 0, size, size))
    assert objects is not None and len(objects) == 4
    for i in range(4):
        y, x = np.nonzero(labels == objects.column("number")[i])
        y, x = y - size - objects.y_px[i], x - size - objects.x_px[i]
        fourfold = np.sum(np.hypot(y, x) ** 2 * np.exp(4j * np.arctan2(y, x)))
        off = (np.rad2deg(np.angle(fourfold)) / 4 - objects.column("orientation_deg")[i] + 45) % 90 - 45
        assert abs(off) < 8
