"""Planted truths: stripes of known period and share, a eutectic of colonies, smooth profiles."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cemi_analyze.train.recipe import SegmenterRecipe

DARK, BRIGHT = 0.36, 0.60


def smooth_field(shape: tuple[int, int], sigma_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    field = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), sigma_px)
    return (field - field.mean()) / field.std()


def imaged(
    dark: NDArray[np.floating], noise: float, rng: np.random.Generator, beam_px: float = 0.6, denoise_px: float = 1.0
) -> NDArray[np.float32]:
    """Grey levels of a dark share per pixel: blurred by the beam, with Poisson-like noise, then denoised."""
    clean = BRIGHT + (DARK - BRIGHT) * cv2.GaussianBlur(dark.astype(np.float32), (0, 0), beam_px)
    noisy = clean + noise * np.sqrt(clean / 0.5) * rng.standard_normal(dark.shape).astype(np.float32)
    return (cv2.GaussianBlur(noisy, (0, 0), denoise_px) if denoise_px else noisy).astype(np.float32)


def stripes(
    period_px: float,
    angle_deg: float = 30.0,
    dark_share: float = 0.35,
    shape: tuple[int, int] = (240, 240),
    wave_px: float = 0.0,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Dark share per pixel of (wavy) stripes; ``angle_deg`` is the direction across them."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle = np.deg2rad(angle_deg)
    across = x * np.cos(angle) + y * np.sin(angle)
    if wave_px:
        across = across + wave_px * smooth_field(shape, 25, np.random.default_rng(seed))
    from_middle = np.abs(np.mod(across / period_px, 1) - 0.5) * period_px
    return np.clip(dark_share * period_px / 2 - from_middle + 0.5, 0, 1).astype(np.float32)


def worms(
    share: float | NDArray[np.floating], shape: tuple[int, int], rng: np.random.Generator, sigma_px: float = 1.8
) -> NDArray[np.float32]:
    """Dark share per pixel of an isotropic texture of the wanted dark share."""
    from scipy.special import ndtri

    level = np.asarray(ndtri(1 - np.asarray(share)), np.float32)
    return np.clip((smooth_field(shape, sigma_px, rng) - level) * 1.4 * sigma_px + 0.5, 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Eutectic:
    """A strip with its truth per pixel."""

    image: NDArray[np.float32]
    dark: NDArray[np.float32]
    lamellar: NDArray[np.bool_]
    spacing_px: NDArray[np.float32]
    rows: int
    columns: int

    def cells(self):
        height, width = self.image.shape[0] // self.rows, self.image.shape[1] // self.columns
        for row in range(self.rows):
            for column in range(self.columns):
                yield row, column, slice(row * height, (row + 1) * height), slice(column * width, (column + 1) * width)

    def truth(self, quantity: str) -> NDArray[np.float64]:
        per_pixel = {"dark": self.dark, "lamellar": self.lamellar, "spacing": self.spacing_px}[quantity]
        truth = np.full((self.rows, self.columns), np.nan)
        for row, column, ys, xs in self.cells():
            part = per_pixel[ys, xs]
            if np.isfinite(part).any():
                truth[row, column] = np.nanmean(part)
        return truth


def make_eutectic(
    rows: int = 2, columns: int = 14, cell_px: int = 240, noise: float = 0.07, seed: int = 1, swing: float = 0.2
) -> Eutectic:
    """Colonies of wavy lamellae in an irregular eutectic with primary dark phase, all changing along x."""
    rng = np.random.default_rng(seed)
    shape = rows * cell_px, columns * cell_px
    along = np.linspace(0, 1, shape[1], dtype=np.float32)
    share = 0.35 + 0.07 * np.sin(2 * np.pi * 1.3 * along)
    lamellae = 0.35 + swing * np.sin(2 * np.pi * 0.9 * along + 1)
    period = 6.5 + 0.9 * np.sin(2 * np.pi * 1.1 * along + 2)

    from scipy.spatial import cKDTree

    number = shape[0] * shape[1] // 100**2
    seeds = np.column_stack([rng.uniform(0, shape[0], number), rng.uniform(0, shape[1], number)])
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    colony = cKDTree(seeds).query(np.column_stack([y.ravel(), x.ravel()]))[1].reshape(shape)
    at = seeds[:, 1].astype(int)
    is_lamellar = rng.uniform(size=number) < lamellae[at]
    angle, periods = rng.uniform(0, np.pi, number), period[at] * np.exp(0.03 * rng.standard_normal(number))
    turned = angle[colony].astype(np.float32)
    local = periods[colony].astype(np.float32)
    across = x * np.cos(turned) + y * np.sin(turned) + 2 * smooth_field(shape, 30, rng)
    from_middle = np.abs(np.mod(across / local, 1) - 0.5) * local
    lines = np.clip(share * local / 2 - from_middle + 0.5, 0, 1)
    primary = np.clip((smooth_field(shape, 8, rng) - 1.6) * 8 + 0.5, 0, 1)
    irregular = np.maximum(worms(np.clip(share - 0.04, 0, 1), shape, rng), primary)
    lamellar = is_lamellar[colony]
    dark = np.where(lamellar, lines, irregular).astype(np.float32)
    grains = (0.04 * (rng.uniform(size=number) - 0.5))[colony]
    shading = 1 + 0.02 * smooth_field(shape, 150, rng)
    image = (imaged(dark, noise, rng) + grains) * shading
    spacing = np.where(lamellar, local, np.nan).astype(np.float32)
    return Eutectic(image.astype(np.float32), dark, lamellar, spacing, rows, columns)


@pytest.fixture(scope="session")
def eutectic() -> Eutectic:
    return make_eutectic()


@pytest.fixture(scope="session")
def mapped() -> Callable:
    """Process every cell of a strip with its halo, as core does, and merge."""
    from cemi_core.model.stages import BlockInfo

    def run(analyzer, strip: Eutectic, pixel_size_um: float | None = 0.1):
        partials = []
        height, width = strip.image.shape
        for row, column, ys, xs in strip.cells():
            y0, x0 = max(0, ys.start - analyzer.halo), max(0, xs.start - analyzer.halo)
            block = strip.image[y0 : min(height, ys.stop + analyzer.halo), x0 : min(width, xs.stop + analyzer.halo)]
            core = slice(ys.start - y0, ys.stop - y0), slice(xs.start - x0, xs.stop - x0)
            info = BlockInfo(pixel_size_um=pixel_size_um, core=core, row=row, column=column)
            partials.append((row, column, analyzer.process(block, info)))
        return analyzer.merge(partials[::-1], (strip.rows, strip.columns))

    return run


@pytest.fixture(scope="session")
def planted():
    """The generators, for tests that vary them."""

    return types.SimpleNamespace(
        imaged=imaged, stripes=stripes, worms=worms, smooth_field=smooth_field, make_eutectic=make_eutectic
    )


#: A segmenter small enough for tests.
NETWORK = {"name": "unet", "decoder_channels": [16, 16, 8, 8, 8], "pretrained": False}


def discs(shape: tuple[int, int] = (96, 128), seed: int = 0, noise: float = 0.03) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return an image (uint8) with dark discs of 7 px radius, some 14 px apart, and their mask."""
    from skimage.draw import disk

    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    for y in range(16, shape[0] - 12, 32):
        for x in range(16, shape[1] - 12, 32):
            at = (y + int(rng.integers(-6, 7)), x + int(rng.integers(-6, 7)))
            mask[disk(at, 7, shape=shape)] = 1
    image = np.where(mask == 1, 0.3, 0.7) + rng.normal(0, noise, shape)
    return np.clip(np.rint(255 * image), 0, 255).astype(np.uint8), mask


def written_discs(folder: Path, count: int = 5) -> Path:
    """Write images and masks of discs into ``images`` and ``masks`` of a folder."""
    from cemi_core.images.write_image import write_image

    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image, mask = discs(seed=number)
        write_image(folder / "images" / f"s{number}_a.png", image)
        write_image(folder / "masks" / f"s{number}_a.png", mask)
    return folder


def recipe_for(folder: Path, **changes: Any) -> SegmenterRecipe:
    """Return the recipe of a small training on written discs, with changes."""
    from cemi_analyze.train.recipe import SegmenterRecipe

    settings: dict[str, Any] = {
        "training": 1,
        "classes": ["other", "discs"],
        "data": {"masks": [{"images": str(folder / "images"), "masks": str(folder / "masks")}]},
        "network": NETWORK,
        "steps": 60,
        "batch": 4,
        "patch_px": 64,
        "learning_rate": 5e-3,
        "schedule": "one-cycle",
        "average": 0.8,
        "every": {"log": 20, "validation": 60, "samples": 60, "checkpoint": 60},
        "tensorboard": False,
        "stored_as": "float16",
    }
    return SegmenterRecipe(**{**settings, **changes})


@pytest.fixture(scope="session")
def samples():
    """What a small segmenter is trained on, in seconds: dark discs."""
    return types.SimpleNamespace(discs=discs, written_discs=written_discs, recipe_for=recipe_for)


@pytest.fixture(scope="session")
def trained_segmenter(tmp_path_factory):
    """The weights of a segmenter that was trained for seconds on dark discs, and what its training said."""
    from cemi_analyze.train.job import make
    from cemi_core.model.stages import Runtime
    from cemi_core.model.training import TrainingLimits

    folder = tmp_path_factory.mktemp("segmenter")
    recipe = recipe_for(written_discs(folder / "data"))
    told = make(recipe, Runtime(threads=1)).run(folder / "run", TrainingLimits(), lambda *_: None)
    return Path(str(told["weights"])), dict(told)
