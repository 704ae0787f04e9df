"""ZNCC against scipy.stats at single shifts, and against scikit-image's masked registration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.stats import pearsonr
from skimage.registration import phase_cross_correlation

from cemi_core.numeric.zncc import overlap_zncc, shift_at, zncc

Shape = tuple[int, int]


def overlap_at(a: np.ndarray, b: np.ndarray, dy: int, dx: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that both pictures show, none of them NaN, if b lies at (dy, dx) of a."""
    rows = slice(max(0, dy), max(0, min(a.shape[0], b.shape[0] + dy)))
    columns = slice(max(0, dx), max(0, min(a.shape[1], b.shape[1] + dx)))
    part_a = a[rows, columns]
    part_b = b[rows.start - dy : rows.stop - dy, columns.start - dx : columns.stop - dx]
    both = np.isfinite(part_a) & np.isfinite(part_b)
    return part_a[both], part_b[both]


@given(st.integers(0, 10_000), st.integers(3, 60))
def test_zncc_is_pearsons_r(seed: int, count: int) -> None:
    a, b = np.random.default_rng(seed).random((2, count))
    assert zncc(a, b) == pytest.approx(pearsonr(a, b).statistic, abs=1e-12)


def test_zncc_with_a_constant_picture_is_zero() -> None:
    assert zncc(np.full((4, 4), 0.5), np.random.default_rng(0).random((4, 4))) == 0.0


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(5, 12), st.integers(5, 12)),
    st.tuples(st.integers(5, 12), st.integers(5, 12)),
    st.floats(0, 0.3),
    st.integers(0, 10_000),
)
def test_overlap_zncc_is_pearsons_r_of_the_pixels_that_both_show(
    first: Shape, second: Shape, missing: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b = (np.where(rng.random(shape) < missing, np.nan, rng.standard_normal(shape)) for shape in (first, second))
    quality, count = overlap_zncc(a, b, 4)
    for dy in range(1 - second[0], first[0]):
        for dx in range(1 - second[1], first[1]):
            x, y = overlap_at(a, b, dy, dx)
            assert count[dy, dx] == len(x)
            expected = pearsonr(x, y).statistic if len(x) >= 4 else 0.0
            assert quality[dy, dx] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("shift", [(7, -12), (-5, 4), (0, 20)])
def test_the_best_shift_is_that_of_masked_registration_in_scikit_image(shift: Shape) -> None:
    rng = np.random.default_rng(1)
    scene = gaussian_filter(rng.standard_normal((120, 140)), 1.5)
    a, b = scene[20:100, 30:110].copy(), scene[20 + shift[0] :, 30 + shift[1] :][:80, :80].copy()
    a += 0.05 * rng.standard_normal(a.shape)
    a[10:30, 40:60] = b[:, :6] = np.nan
    quality, _ = overlap_zncc(a, b, 0.3 * b.size)
    found = shift_at(int(quality.argmax()), a.shape, quality.shape)
    masks = np.isfinite(a), np.isfinite(b)
    oracle, *_ = phase_cross_correlation(
        np.nan_to_num(a), np.nan_to_num(b), reference_mask=masks[0], moving_mask=masks[1], overlap_ratio=0.3
    )
    assert found == shift == tuple(oracle.astype(int))
