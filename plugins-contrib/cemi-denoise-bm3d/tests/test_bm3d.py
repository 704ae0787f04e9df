"""BM3D keeps the contract of a denoiser behind the adapter, and says what its licence is."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest

from cemi_core.errors import MissingDependencyError
from cemi_core.model.mosaic import Box
from cemi_core.testing import DenoiserTests, Kit, make_plugin, textured_image
from cemi_denoise_bm3d.denoiser import _say_licence
from cemi_denoise_bm3d.windows import filter_in_windows


def needs_bm3d():
    return pytest.importorskip("bm3d", reason="not installed (non-commercial): pip install cemi-denoise-bm3d[bm3d]")


class TestBm3dIsWhatItSays(Kit):
    """Also where the package ``bm3d`` is not installed."""

    stage, name = "denoise", "bm3d"


class TestBm3d(DenoiserTests):
    name = "bm3d"

    @pytest.fixture(autouse=True)
    def _installed(self):
        needs_bm3d()

    def image(self):
        return super().image()[:80, :90]


def test_measured_noise_removes_as_much_as_told_noise():
    needs_bm3d()
    clean = textured_image((90, 100))
    image = (clean + np.random.default_rng(1).normal(0, 0.08, clean.shape)).astype(np.float32)
    told, measured = (make_plugin("denoise", "bm3d", noise=noise)(image) for noise in (0.08, "auto"))
    before, with_told, with_measured = (np.mean((p - clean) ** 2) for p in (image, told, measured))
    assert with_told < before / 8
    assert with_measured < 1.2 * with_told


def test_the_licence_is_said_at_use(caplog):
    needs_bm3d()
    _say_licence.cache_clear()
    with caplog.at_level(logging.WARNING):
        make_plugin("denoise", "bm3d").prepare()
    assert "non-commercial" in caplog.text


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    noisy = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    with pytest.raises(MissingDependencyError, match=r"non-commercial.*pip install 'cemi-denoise-bm3d\[bm3d\]'"):
        make_plugin("denoise", "bm3d").prepare()
    with pytest.raises(MissingDependencyError, match=r"non-commercial.*pip install 'cemi-denoise-bm3d\[bm3d\]'"):
        make_plugin("denoise", "bm3d")(noisy)


def test_windows_do_not_depend_on_the_block_that_they_come_in():
    image = np.random.default_rng(0).random((150, 170)).astype(np.float32)

    def from_all(window):  # every pixel depends on the whole window
        return window - window.mean() + np.float32(0.1) * window[0, 0]

    whole = filter_in_windows(image, (0, 0), 40, 10, from_all)
    for box in Box(0, 0, *image.shape).tiles(37, 50):
        outer = box.grown(40).clipped(image.shape)
        part = filter_in_windows(image[outer.slices], (outer.y, outer.x), 40, 10, from_all)
        core = Box(box.y - outer.y, box.x - outer.x, box.height, box.width)
        np.testing.assert_allclose(part[core.slices], whole[box.slices], atol=1e-6)


def test_windows_that_change_nothing_give_the_picture_back():
    image = np.random.default_rng(0).random((61, 43)).astype(np.float32)
    np.testing.assert_allclose(filter_in_windows(image, (5, 17), 32, 8, lambda window: window), image, atol=1e-6)


def test_naming_the_denoiser_imports_nothing_heavy():
    script = "import cemi_denoise_bm3d.plugin, sys; print(any(m in sys.modules for m in ('bm3d', 'numpy', 'cv2')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
