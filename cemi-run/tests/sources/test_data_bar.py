from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cemi_run.sources.data_bar import common_bar_height
from cemi_run.sources.images import ImagesSettings, ImagesSource

DATA = Path(os.environ.get("CEMI_DATA", Path(__file__).parents[4] / "shared" / "data"))


def micrograph(seed: int, bar: int = 30) -> np.ndarray:
    """Return 300 x 400 px of texture with a data bar whose number differs from picture to picture."""
    pixels = np.random.default_rng(seed).integers(40, 220, (300, 400), dtype=np.uint8)
    if bar:
        strip = Image.new("L", (400, bar), 10)
        draw = ImageDraw.Draw(strip)
        draw.rectangle((20, bar - 8, 120, bar - 5), fill=240)
        draw.text((140, 1), f"20 kV  WD 8 mm  BSE  No. {seed}", fill=240)
        draw.rectangle((330, 1, 390, bar - 2), fill=200)
        pixels[-bar:] = np.asarray(strip)
    return pixels


@pytest.mark.parametrize("bar", [12, 30, 60])
def test_bar_with_a_running_number_is_found_to_the_row(bar: int) -> None:
    assert common_bar_height([micrograph(seed, bar) for seed in range(3)]) == bar


def test_pictures_without_a_bar_lose_nothing() -> None:
    assert common_bar_height([micrograph(seed, 0) for seed in range(3)]) == 0
    black_below = [micrograph(seed, 0) for seed in range(3)]
    for picture in black_below:
        picture[-40:] = 0
    assert common_bar_height(black_below) == 0
    assert common_bar_height([micrograph(0)] * 3) == 0  # one place: nothing tells the bar from the specimen
    assert common_bar_height([np.zeros((100, 100), np.float32)] * 3) == 0


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_bar_without_metadata_is_cut_from_a_folder(tmp_path: Path, suffix: str) -> None:
    for seed in range(4):
        Image.fromarray(micrograph(seed)).save(tmp_path / f"{seed}.{suffix}", quality=95)
    source = ImagesSource(ImagesSettings(path=str(tmp_path)))
    assert {frame.shape[1] for frame in source.frames} == {400}
    assert abs(source.frames[0].shape[0] - 270) <= (0 if suffix == "png" else 4)  # a block of JPEG mixes 8 rows
    assert ImagesSource(ImagesSettings(path=str(tmp_path), crop="none")).frames[0].shape == (300, 400)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real images (CEMI_DATA) are not here")
@pytest.mark.parametrize(
    "folder", ["dendritic_sem_tiles", "stitch2d_bse_tiles", "zircon_sem_tiles", "nasa_ebc/images", "nasa_super/images"]
)
def test_real_images_without_a_bar_lose_nothing(folder: str) -> None:
    path = str(DATA / folder)
    cut, whole = (ImagesSource(ImagesSettings(path=path, crop=crop)) for crop in ("auto", "none"))
    assert cut.frames[0].shape == whole.frames[0].shape
