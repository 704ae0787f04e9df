"""Claims about the polycrystals: sizes, ownership of pixels, boundaries."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_core.errors import UsageError
from cemi_core.model.mosaic import Box
from cemi_specimens import make_specimen
from cemi_specimens.laguerre import laguerre_sites
from cemi_specimens.voronoi import Voronoi


def test_each_pixel_of_a_voronoi_grain_is_nearest_to_its_nucleus() -> None:
    specimen = make_specimen("voronoi", seed=2)
    assert isinstance(specimen, Voronoi)
    labels = specimen.truth(Box(-50, 0, 200, 300)).labels
    y, x, numbers = specimen.nuclei(Box(-2000, -2000, 4000, 4000))
    rng = np.random.default_rng(0)
    for row, column in zip(rng.integers(0, 200, 60), rng.integers(0, 300, 60), strict=True):
        nearest = np.argmin((y - (row - 50)) ** 2 + (x - column) ** 2)
        assert labels[row, column] == numbers[nearest]


@pytest.mark.parametrize("name", ["voronoi", "laguerre", "potts"])
def test_grains_are_as_many_as_planted_and_share_out_the_plane(name: str) -> None:
    specimen = make_specimen(name, seed=1, grain_um=1.5)
    box = Box(100, -300, 600, 600)
    objects = specimen.objects(box)
    assert objects is not None
    area_um2 = 600 * 600 * specimen.pixel_size_um**2
    assert len(objects) / area_um2 == pytest.approx(specimen.properties()["grains_per_um2"], rel=0.06)
    # centroids lie in the box, pixels may not: over many grains both balance
    assert objects.area_px.sum() == pytest.approx(600 * 600, rel=0.04)


@pytest.mark.parametrize("spread", [0.1, 0.35, 0.5])
def test_laguerre_diameters_are_log_normal_with_the_stated_spread(spread: float) -> None:
    specimen = make_specimen("laguerre", seed=3, grain_um=4.0, size_spread=spread, grains_per_period=200)
    period = round(np.sqrt(200 * np.pi / 4) * 40)
    objects = specimen.objects(Box(0, 0, period, period))
    assert objects is not None and len(objects) == pytest.approx(200, abs=3)
    logarithm = np.log(objects.column("diameter_um"))
    assert logarithm.std() == pytest.approx(spread, rel=0.06)
    assert np.mean(((logarithm - logarithm.mean()) / logarithm.std()) ** 3) == pytest.approx(0, abs=0.4)


def test_a_point_belongs_to_the_laguerre_site_of_least_power() -> None:
    specimen = make_specimen("laguerre", seed=3, grain_um=3.0, grains_per_period=80)
    sites, period = laguerre_sites(80, 0.35, 3), np.sqrt(80 * np.pi / 4) * 30
    labels = specimen.truth(Box(0, 0, 150, 150)).labels
    for row, column in [(0, 0), (20, 130), (77, 60), (149, 149), (101, 3)]:
        apart = sites.centres - np.array([row, column]) / period
        apart -= np.round(apart)
        owner = np.argmin((apart**2).sum(axis=1) - sites.weights)
        assert labels[row, column] & (2**20 - 1) == owner


def test_potts_grains_are_connected_and_have_six_neighbours_on_average() -> None:
    specimen = make_specimen("potts", seed=4, grain_um=3.0)
    objects = specimen.objects(Box(0, 0, 800, 800))
    labels = specimen.truth(Box(0, 0, 800, 800)).labels
    assert objects is not None
    pairs = {
        tuple(sorted(pair))
        for a, b in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1]))
        for pair in np.stack([a[a != b], b[a != b]], axis=1).tolist()
    }
    inner = set(objects.column("number")[(np.abs(objects.y_px - 400) < 250) & (np.abs(objects.x_px - 400) < 250)])
    neighbours = [sum(number in pair for pair in pairs) for number in inner]
    assert np.mean(neighbours) == pytest.approx(6, abs=0.25)  # Euler's formula


def test_potts_boundaries_are_curved_less_than_noise_and_run_in_every_direction() -> None:
    labels = make_specimen("potts", seed=4, grain_um=4.0).truth(Box(0, 0, 500, 500)).labels
    along_x, along_y = (labels[:, 1:] != labels[:, :-1]).mean(), (labels[1:] != labels[:-1]).mean()
    diagonal = (labels[1:, 1:] != labels[:-1, :-1]).mean() / np.sqrt(2)
    assert along_x == pytest.approx(along_y, rel=0.12)
    assert diagonal == pytest.approx((along_x + along_y) / 2, rel=0.12)


def test_boundaries_are_dark_centred_between_two_grains_and_of_the_stated_width() -> None:
    specimen = make_specimen("voronoi", seed=6, boundary_px=5.0, grain_um=8.0, groove_depth=0.3)
    box = Box(0, 0, 512, 512)
    truth, image = specimen.truth(box), specimen.render(box)
    boundary, labels = truth.masks["boundary"], truth.labels
    assert image[boundary].mean() < image[~boundary].mean() - 0.04
    changes = labels[:, 1:] != labels[:, :-1]
    assert boundary[:, 1:][changes].all() and boundary[:, :-1][changes].all()
    runs = np.diff(np.flatnonzero(np.diff(np.pad(boundary.ravel().astype(int), 1))))[::2]
    assert 4 <= np.percentile(runs, 10) <= 6


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("voronoi", {"grain_um": 0.001}, "grain_um of 0.001 um is 0.01 px; it must be 3 to 256 px"),
        ("laguerre", {"grain_um": 1e6}, "must be 3 to 256 px"),
        ("potts", {"grains_across": 40, "grain_um": 20.0}, "the Potts model works on 32 to 2048 px"),
        ("gaussian-field", {"correlation_um": 500.0}, "a Gaussian field needs at most 128 px"),
        ("cahn-hilliard", {"spacing_um": 0.001}, "a period has 32 to 4096 px"),
        ("dendrites", {"dendrite_um": 1.0}, "change dendrite_um or pixel_size"),
        ("wires", {"wires_per_um2": 1e5}, "lower it or set a smaller pixel_size"),
        ("eutectic", {"spacing_um": 0.01}, "it must be 3 to 200 px"),
        ("particles", {"diameter_um": 0.01}, "it must be 2 to 2000 px"),
    ],
)
def test_sizes_that_pixels_cannot_show_are_refused_in_a_sentence(
    name: str, settings: dict[str, float], says: str
) -> None:
    with pytest.raises(UsageError) as error:
        make_specimen(name, **settings)
    assert says in str(error.value)
