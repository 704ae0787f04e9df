"""Claims about two-point statistics and chords: against materials whose functions are known exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtri

from cemi_analyze.texture.chords import chord_lengths, chord_survival, interface_per_px, lineal_path, mean_chord_px
from cemi_analyze.texture.correlation import correlation_length, two_point_correlation
from cemi_analyze.texture.lengths import length_intervals, lengths_of
from cemi_analyze.texture.two_point import TwoPointAnalyzer
from cemi_core.model.mosaic import Box
from cemi_core.model.stages import BlockInfo
from cemi_specimens.make import make_specimen


def mosaic_of_lines(shape, per_px, fraction, rng):
    """Cells between random lines, each of the phase with the chance ``fraction``: Debye's medium, exactly.

    A segment of length r is met by no line with the chance exp(-per_px r) (Switzer, Ann. Math. Stat. 1965, 36, 1859).
    """
    height, width = shape
    reach = math.hypot(height, width) / 2
    number = rng.poisson(per_px / 2 * 2 * reach * math.pi)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    y, x = y - height / 2, x - width / 2
    key = np.zeros(shape, np.uint64)
    for angle, distance in zip(rng.uniform(0, math.pi, number), rng.uniform(-reach, reach, number), strict=True):
        side = x * math.cos(angle) + y * math.sin(angle) > distance
        key ^= np.where(side, rng.integers(2**63, dtype=np.uint64), np.uint64(0))
    _, cell = np.unique(key, return_inverse=True)
    return (rng.uniform(size=cell.max() + 1) < fraction)[cell].reshape(shape)


@pytest.fixture(scope="module")
def debye():
    rng = np.random.default_rng(0)
    return [mosaic_of_lines((400, 400), 1 / 9, 0.3, rng) for _ in range(16)]


def _mean_and_error(values):
    return np.mean(values, axis=0), np.std(values, axis=0, ddof=1) / math.sqrt(len(values))


def test_debyes_medium_has_an_exponential_correlation(debye):
    found = [two_point_correlation(mask, max_px=30).radial()[1] for mask in debye]
    distance = two_point_correlation(debye[0], max_px=30).radial()[0]
    mean, error = _mean_and_error(found)
    expected = 0.09 + 0.21 * np.exp(-distance / 9)
    assert (np.abs(mean - expected) < 3.5 * error + 0.002).all()
    assert correlation_length(distance, expected) == pytest.approx(9, rel=0.01)


def test_debyes_medium_has_exponential_chords_and_lineal_paths(debye):
    for axis in ("x", "y"):
        chord, error = _mean_and_error([mean_chord_px(mask, axis=axis) for mask in debye])
        seen = 1 / (0.7 * (1 - math.exp(-1 / 9)))  # chords shorter than a pixel do not show
        assert chord == pytest.approx(seen, abs=3.5 * error)
        path, error = _mean_and_error([lineal_path(mask, axis=axis, max_px=40) for mask in debye])
        assert (np.abs(path - 0.3 * np.exp(-np.arange(41) * 0.7 / 9)) < 3.5 * error + 0.003).all()
        survival, error = _mean_and_error([chord_survival(chord_lengths(mask, axis=axis))[:25] for mask in debye])
        assert (np.abs(survival - np.exp(-np.arange(25) * 0.7 / 9)) < 3.5 * error + 0.02).all()
    boundary, error = _mean_and_error([interface_per_px(mask) for mask in debye])
    seen = 0.5 * (1 - math.exp(-1 / 9)) + 0.5 * (1 - math.exp(-math.sqrt(2) / 9)) / math.sqrt(2)
    assert boundary == pytest.approx(math.pi * 0.21 * seen, abs=3.5 * error)


def test_the_interval_of_a_length_holds_that_of_the_material():
    rng = np.random.default_rng(2)
    masks = [mosaic_of_lines((300, 300), 1 / 9, 0.3, rng) for _ in range(60)]
    seen = 1 / (1 - math.exp(-1 / 9))
    expected = {"correlation_length": 9.0, "dark_chord_x": seen / 0.7, "bright_chord_y": seen / 0.3}
    cells = [lengths_of(mask, np.ones(mask.shape, bool)) for mask in masks]
    held = []
    for name, length in expected.items():
        found = length_intervals([cell[name] for cell in cells])
        held += [interval.low <= length <= interval.high for interval in found]
        assert np.median([interval.high - interval.low for interval in found]) < 0.75 * length, name
    assert 0.82 <= np.mean(held) <= 0.99


def _level_cut(distance, fraction, length):
    level, rho = ndtri(fraction), math.exp(-((distance / length) ** 2))
    integrand = lambda u: math.exp(-(level**2) / (1 + u)) / math.sqrt(1 - u * u)  # noqa: E731
    return fraction**2 + quad(integrand, 0, rho, limit=200)[0] / (2 * math.pi)


def test_a_level_cut_gaussian_field_has_its_exact_correlation_and_boundary():
    specimen = make_specimen("gaussian-field", pixel_size="100 nm", extent_px=(1024, 1024), seed=1, correlation_um=1.2)
    dark = specimen.truth(Box(0, 0, 1024, 1024)).masks["dark"]
    found = two_point_correlation(dark, max_px=60)
    distance, radial = found.radial()
    for where, s2 in ((np.arange(61), found.along_x), (np.arange(61), found.along_y), (distance, radial)):
        exact = np.array([_level_cut(r, 0.35, 12.0) for r in where])
        assert np.abs(s2 - exact).max() < 0.006
    assert interface_per_px(dark) * 10 == pytest.approx(specimen.properties()["interface_per_um"], rel=0.01)


def test_stripes_along_y_have_the_chords_that_were_drawn():
    mask = np.zeros((120, 240), bool)
    mask[:, np.arange(240) % 10 < 3] = True
    assert mean_chord_px(mask) == pytest.approx(3, rel=0.02)
    assert mean_chord_px(~mask) == pytest.approx(7, rel=0.02)
    assert math.isnan(mean_chord_px(mask, axis="y")), "never left along the stripes"
    np.testing.assert_allclose(lineal_path(mask, max_px=4), [0.3, 0.2, 0.1, 0, 0], atol=0.01)
    s2 = two_point_correlation(mask, max_px=20)
    np.testing.assert_allclose(s2.along_x[[0, 3, 10, 20]], [0.3, 0, 0.3, 0.3], atol=0.01)
    np.testing.assert_allclose(s2.along_y, 0.3, atol=1e-6)


def test_a_run_that_the_edge_cuts_is_known_to_be_longer():
    line = np.array([[1, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1]], bool)
    chords = chord_lengths(line)
    assert chords.length_px.tolist() == [3, 1, 2] and chords.complete.tolist() == [True, True, False]
    np.testing.assert_allclose(chord_survival(chords), [1, 2 / 3, 2 / 3, 0])
    valid = np.ones(line.shape, bool)
    valid[0, 4] = False
    assert chord_lengths(line, valid).length_px.tolist() == [1, 1, 2]
    assert lineal_path(line, valid, max_px=1).tolist() == [7 / 11, 2 / 9]


def test_pixels_that_were_not_imaged_do_not_count(debye):
    mask = debye[0]
    valid = np.ones(mask.shape, bool)
    valid[:, 250:] = False
    cut, whole = two_point_correlation(mask, valid, 30), two_point_correlation(mask[:, :250], max_px=30)
    np.testing.assert_allclose(cut.s2, whole.s2, atol=1e-5)
    assert mean_chord_px(mask, valid) == pytest.approx(mean_chord_px(mask[:, :250]))
    np.testing.assert_allclose(lineal_path(mask, valid), lineal_path(mask[:, :250]))


@pytest.fixture(scope="module")
def field():
    specimen = make_specimen("gaussian-field", pixel_size="100 nm", extent_px=(500, 600), seed=2, correlation_um=1.2)
    box = Box(0, 0, 500, 600)
    return specimen.render(box), specimen.truth(box).masks["dark"]


@pytest.mark.parametrize("noise", [0.02, 0.09])
def test_noise_neither_shortens_nor_lengthens_chords(field, noise):
    image, dark = field
    noisy = (image + noise * np.random.default_rng(3).standard_normal(image.shape)).astype(np.float32)
    analyzer = TwoPointAnalyzer()
    found = analyzer.process(noisy, BlockInfo(None, (slice(0, 500), slice(0, 600))))
    truth = lengths_of(dark, np.ones(dark.shape, bool))
    for grid_map in analyzer.merge([(0, 0, found)], (1, 1)).maps:
        expected, value = truth[grid_map.name].value_px, grid_map.value[0, 0]
        assert value == pytest.approx(expected, rel=0.06), grid_map.name
        assert grid_map.low[0, 0] <= expected <= grid_map.high[0, 0]
        assert grid_map.unit == "px" and 0 <= grid_map.systematic[0, 0] < 0.15 * value


def test_what_cannot_be_told_is_said(field):
    rng = np.random.default_rng(0)
    analyzer, core = TwoPointAnalyzer(), (slice(0, 300), slice(0, 300))
    plain = (0.5 + 0.05 * rng.standard_normal((300, 300))).astype(np.float32)
    drowned = (field[0][:300, :300] + 1.5 * rng.standard_normal((300, 300))).astype(np.float32)
    x = np.arange(300)[None, :] * np.ones((300, 1))
    halves = np.where(x < 150, 0.3, 0.7).astype(np.float32)
    cells = [(0, n, analyzer.process(image, BlockInfo(0.1, core))) for n, image in enumerate((plain, drowned, halves))]
    result = analyzer.merge(cells, (1, 3))
    lengths = result.maps[0]
    assert np.isnan(lengths.value).all()
    assert lengths.reason(0, 0) == "no two phases"
    assert lengths.reason(0, 1) in (
        "no two phases",
        "too noisy: the noise makes boundaries, and the smoothing against it would blur the phases",
    )
    assert lengths.reason(0, 2) == "correlated over more than a third of the cell"


def test_the_table_holds_the_mean_functions_of_the_cells(field):
    analyzer = TwoPointAnalyzer()
    cells = [(0, 0, analyzer.process(field[0], BlockInfo(0.1, (slice(0, 500), slice(0, 600)))))]
    (table,) = analyzer.merge(cells, (1, 1)).tables
    assert table.columns[:4] == ("distance_um", "S2 x", "S2 y", "S2 all directions")
    assert [row[0] for row in table.rows[:3]] == [0, 0.1, 0.2] and len(table.rows) == 65
    share = field[1].mean()
    assert table.rows[0][1] == pytest.approx(share, abs=0.01)
    assert table.rows[0][4] == table.rows[0][1]
    assert table.rows[64][3] == pytest.approx(share**2, abs=0.03)
