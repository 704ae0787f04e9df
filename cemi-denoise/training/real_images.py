"""The real pictures that the shipped weights are trained and tested on, split by specimen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.images.read_image import read_pixels, to_grey
from cemi_core.model.frame import to_unit_range

#: Pictures to train on, below the folder of public images.
TRAINING = (
    "nasa_ebc/images/*.tif",
    "nasa_super/images/*.tif",
    "ss316_fei_tiff/*.tif",
    "dendritic_sem_tiles/*.jpg",
)
#: Specimens (beginnings of file names) of these folders that are kept for tests.
HELD_OUT_SPECIMENS = ("010417#4", "032919#10", "spot6", "spot7", "SS 316 P&C_#3")
#: Folders of which no picture is trained on.
HELD_OUT = ("ternary_eutectic/*.tif", "stitch2d_bse_tiles/*.jpg")
_DATA_BAR_FROM_ROW = {"ss316_fei_tiff": 880}


def training_files(data: Path) -> list[Path]:
    """Return the pictures to train on."""
    return [path for path in _files(data, TRAINING) if not path.name.startswith(HELD_OUT_SPECIMENS)]


def held_out_files(data: Path) -> list[Path]:
    """Return the pictures of specimens that no training has seen."""
    kept = [path for path in _files(data, TRAINING) if path.name.startswith(HELD_OUT_SPECIMENS)]
    return kept + _files(data, HELD_OUT)


def _files(data: Path, patterns: tuple[str, ...]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(data.glob(pattern))]


def read_clean(path: Path) -> NDArray[np.float32]:
    """Return a picture as float32 in [0, 1], without data bar, averaged over 2 x 2 px, which halves its own noise."""
    image = to_unit_range(to_grey(read_pixels(path)))[: _DATA_BAR_FROM_ROW.get(path.parent.name)]
    height, width = (edge - edge % 2 for edge in image.shape)
    return np.asarray(cv2.resize(image[:height, :width], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
