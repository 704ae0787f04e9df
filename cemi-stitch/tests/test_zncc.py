"""ZNCC surfaces against the plain definition, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cemi_core.numeric.significance import significance as reference_significance
from cemi_core.numeric.zncc import overlap_zncc as reference_zncc
from cemi_stitch.correlation.zncc import overlap_zncc, significance, template_zncc
from cemi_stitch.correlation.zncc_opencv import template_zncc_on_cpu


def plain_zncc(a: np.ndarray, b: np.ndarray, dy: int, dx: int) -> tuple[float, int]:
    """Correlate the overlap of a and b, b's origin at (dy, dx) of a, from the definition."""
    canvas = np.full((a.shape[0] + 2 * b.shape[0], a.shape[1] + 2 * b.shape[1]), np.nan)
    top, left = dy + b.shape[0], dx + b.shape[1]
    if top < 0 or left < 0:
        return 0.0, 0
    target = canvas[top : top + b.shape[0], left : left + b.shape[1]]
    target[...] = b[: target.shape[0], : target.shape[1]]
    other = canvas[b.shape[0] : b.shape[0] + a.shape[0], b.shape[1] : b.shape[1] + a.shape[1]]
    both = np.isfinite(a) & np.isfinite(other)
    if both.sum() < 2:
        return 0.0, 0
    return float(np.corrcoef(a[both], other[both])[0, 1]), int(both.sum())


def check_surface(a: np.ndarray, b: np.ndarray, centre: tuple[int, int], reach: tuple[int, int], fewest: int) -> None:
    shape = np.maximum(a.shape, b.shape)
    batch = [np.full(shape, np.nan, np.float32) for _ in range(2)]
    batch[0][: a.shape[0], : a.shape[1]] = a
    batch[1][: b.shape[0], : b.shape[1]] = b
    quality, count = overlap_zncc(
        torch.from_numpy(batch[0])[None],
        torch.from_numpy(batch[1])[None],
        torch.tensor([centre]),
        reach,
        torch.tensor([fewest]),
    )
    for row in range(2 * reach[0] + 1):
        for column in range(2 * reach[1] + 1):
            value, pixels = plain_zncc(a, b, centre[0] + row - reach[0], centre[1] + column - reach[1])
            expected = (value, pixels) if pixels >= fewest else (0.0, 0)
            assert float(count[0, row, column]) == expected[1]
            assert float(quality[0, row, column]) == pytest.approx(expected[0], abs=2e-4)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(6, 20), st.integers(6, 20)),
    st.tuples(st.integers(6, 20), st.integers(6, 20)),
    st.tuples(st.integers(-14, 14), st.integers(-14, 14)),
    st.integers(0, 10_000),
)
def test_overlap_zncc_is_the_plain_correlation_at_every_shift(
    first: tuple[int, int], second: tuple[int, int], centre: tuple[int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    check_surface(rng.random(first).astype(np.float32), rng.random(second).astype(np.float32), centre, (3, 4), 12)


def test_overlap_zncc_leaves_nan_pixels_out() -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.random((18, 22)).astype(np.float32) for _ in range(2))
    a[3:9, 5:12] = np.nan
    b[:, :4] = np.nan
    check_surface(a, b, (4, -3), (5, 5), 10)


def test_overlap_zncc_of_pictures_without_contrast_is_zero() -> None:
    flat = torch.full((1, 16, 16), 0.5)
    noise = torch.rand(1, 16, 16)
    for first, second in ((flat, noise), (noise, flat), (flat, flat)):
        quality, count = overlap_zncc(first, second, torch.zeros(1, 2, dtype=torch.int64), (3, 3), torch.tensor([10]))
        assert float(quality.abs().max()) == 0.0
        assert float(count.max()) == 0.0


def planted_templates(reach: int, sizes: list[tuple[int, int]]) -> tuple[list[np.ndarray], list[np.ndarray], list]:
    """Return patches, templates and their correlations from the definition."""
    rng = np.random.default_rng(2)
    templates = [rng.random(size).astype(np.float32) for size in sizes]
    patches = [rng.random((h + 2 * reach, w + 2 * reach)).astype(np.float32) + 3 for h, w in sizes]
    steps = range(2 * reach + 1)
    expected = [
        [[np.corrcoef(p[dy : dy + h, dx : dx + w].ravel(), t.ravel())[0, 1] for dx in steps] for dy in steps]
        for p, t, (h, w) in zip(patches, templates, sizes, strict=True)
    ]
    return patches, templates, expected


def filled(pictures: list[np.ndarray], value: float) -> torch.Tensor:
    shape = np.max([picture.shape for picture in pictures], axis=0)
    batch = np.full((len(pictures), *shape), value, np.float32)
    for n, picture in enumerate(pictures):
        batch[n, : picture.shape[0], : picture.shape[1]] = picture
    return torch.from_numpy(batch)


def test_template_zncc_is_the_plain_correlation_for_templates_of_several_sizes_whatever_lies_beyond_them() -> None:
    sizes = [(12, 17), (20, 9), (12, 17)]
    patches, templates, expected = planted_templates(3, sizes)
    surface = template_zncc(filled(patches, 7.0), filled(templates, 5.0), 3, torch.tensor(sizes))
    assert np.abs(surface.numpy() - expected).max() <= 1e-4


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("reach", [1, 2, 3, 6])
def test_the_inner_loop_on_the_cpu_is_the_plain_correlation_of_the_pixels_that_count(reach: int, every: int) -> None:
    patches, templates, _ = planted_templates(reach, [(12, 17), (151, 130)])
    for patch, template in zip(patches, templates, strict=True):
        height, width = template.shape
        windows = [patch[y:, x:][:height, :width] for y, x in np.ndindex(2 * reach + 1, 2 * reach + 1)]
        counts = (slice(None, None, every), slice(None, None, every))
        plain = [np.corrcoef(window[counts].ravel(), template[counts].ravel())[0, 1] for window in windows]
        found = template_zncc_on_cpu(patch - patch.mean(), template, every)
        assert np.abs(found.ravel() - plain).max() <= 1e-4


@pytest.mark.parametrize("reach", [2, 5])
def test_a_template_or_a_patch_without_contrast_correlates_with_nothing(reach: int) -> None:
    noise = np.random.default_rng(0).random((14 + 2 * reach, 14 + 2 * reach), dtype=np.float32)
    flat = np.full((14, 14), 0.4, np.float32)
    for patch, template in ((noise, flat), (np.full_like(noise, 0.4), noise[:14, :14].copy())):
        assert not template_zncc_on_cpu(patch, template).any()
        assert not template_zncc(torch.from_numpy(patch)[None], torch.from_numpy(template)[None], reach).any()


@settings(max_examples=20, deadline=None)
@given(st.tuples(st.integers(8, 24), st.integers(8, 24)), st.integers(0, 10_000), st.booleans())
def test_overlap_zncc_is_the_one_of_cemi_core(shape: tuple[int, int], seed: int, holed: bool) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    if holed:
        a[2:5, 3:6] = np.nan
    reach = (shape[0] // 2, shape[1] // 2)
    zero = torch.zeros(1, 2, dtype=torch.int64)
    quality, count = overlap_zncc(torch.from_numpy(a)[None], torch.from_numpy(b)[None], zero, reach, torch.tensor([9]))
    expected = reference_zncc(a.astype(np.float64), b.astype(np.float64), 9)
    rows, columns = (np.arange(-r, r + 1) for r in reach)
    assert np.array_equal(count[0].numpy(), expected[1][np.ix_(rows, columns)])
    assert np.abs(quality[0].numpy() - expected[0][np.ix_(rows, columns)]).max() <= 1e-4


def test_significance_on_tensors_is_that_of_cemi_core() -> None:
    quality, count = torch.linspace(-1, 1, 41), torch.linspace(0, 9000, 41)
    expected = reference_significance(quality.numpy().astype(np.float64), count.numpy().astype(np.float64))
    assert np.abs(significance(quality, count).numpy() - expected).max() <= 0.2  # 0.9999 in float32
    inner = slice(2, -2)
    assert np.allclose(significance(quality, count).numpy()[inner], expected[inner], rtol=1e-5)
