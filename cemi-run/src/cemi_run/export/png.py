"""PNG: one picture with a scale bar, for a talk or a paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydantic import Field

from cemi_core.files.atomic import atomic_path
from cemi_core.model.mosaic import Box, Mosaic
from cemi_core.model.scale_bar import nice_scale_bar
from cemi_core.model.settings import Settings
from cemi_core.model.stages import Runtime
from cemi_run.export.pixels import Contrast, Progress, grey_range, no_progress, to_grey

_BAND_PX = 512
_SMALLEST_TEXT_PX, _LARGEST_TEXT_PX = 10, 96


class PngSettings(Settings):
    """Settings of the export format ``png``."""

    max_px: int = Field(8192, ge=16, le=65535, description="Longest edge; the largest level that fits is taken.")
    scale_bar: bool = Field(True, description="Draw a scale bar, if the pixel size is known.")
    contrast: Contrast = Field("keep", description="'stretch' makes 0.2 % of the picture black and 0.2 % white.")


@dataclass(frozen=True)
class PngExporter:
    """Writes a mosaic as one 8-bit PNG.

    Parameters
    ----------
    max_px : int
        Longest edge, px.
    scale_bar : bool
        Draw a scale bar, if the pixel size is known.
    contrast : {"keep", "stretch"}
        Grey levels as they are, or from the 0.2 % darkest to the 0.2 % brightest imaged pixels.
    """

    max_px: int = 8192
    scale_bar: bool = True
    contrast: Contrast = "keep"

    def __call__(self, mosaic: Mosaic, path: Path, progress: Progress | None = None) -> None:
        """Write the largest level of ``mosaic`` that fits; pixels that were not imaged are black.

        Raises
        ------
        StorageError
            The disk is full.
        """
        self._save(self._picture(mosaic, progress or no_progress), mosaic, path)

    def export_channels(self, channels: Mapping[str, Mosaic], path: Path, progress: Progress) -> None:
        """Write red, green and blue as one picture in colour; ``contrast`` is applied to each.

        Raises
        ------
        StorageError
            The disk is full.
        """
        planes = [
            self._picture(mosaic, partial(_part_of, progress, number, len(channels)))
            for number, mosaic in enumerate(channels.values())
        ]
        self._save(np.stack(planes, axis=-1), next(iter(channels.values())), path)

    def _level(self, mosaic: Mosaic) -> tuple[int, int]:
        """Return the level that is shown, and which of its pixels are: every n-th."""
        last = len(mosaic.level_shapes) - 1
        level = next((k for k, shape in enumerate(mosaic.level_shapes) if max(shape) <= self.max_px), last)
        # the smallest level may still be larger than asked for
        return level, max(1, -(-max(mosaic.level_shapes[level]) // self.max_px))

    def _picture(self, mosaic: Mosaic, show: Progress) -> NDArray[np.uint8]:
        level, step = self._level(mosaic)
        shape = mosaic.level_shapes[level]
        black_white = grey_range(mosaic, self.contrast)
        bands = list(Box(0, 0, *shape).tiles(_BAND_PX, shape[1]))
        picture = np.empty((-(-shape[0] // step), -(-shape[1] // step)), np.uint8)
        for number, band in enumerate(bands):
            grey = to_grey(mosaic.read(band, level), black_white)
            picture[-(-band.y // step) : -(-(band.y + band.height) // step)] = grey[-band.y % step :: step, ::step]
            show(number + 1, len(bands))
        return picture

    def _save(self, picture: NDArray[np.uint8], mosaic: Mosaic, path: Path) -> None:
        level, step = self._level(mosaic)
        if self.scale_bar and mosaic.pixel_size_um is not None:
            picture = draw_scale_bar(picture, mosaic.pixel_size_um * 2**level * step)
        with atomic_path(path) as temporary:
            Image.fromarray(picture).save(temporary, format="PNG")


def _part_of(progress: Progress, number: int, count: int, done: int, total: int) -> None:
    """Show how far one of several pictures is, as a share of all."""
    progress(number * total + done, count * total)


def make(settings: PngSettings, runtime: Runtime) -> PngExporter:
    """Make the exporter from checked settings."""
    return PngExporter(settings.max_px, settings.scale_bar, settings.contrast)


def draw_scale_bar(picture: NDArray[np.uint8], pixel_size_um: float) -> NDArray[np.uint8]:
    """Return a picture (h, w) or (h, w, 3) with a scale bar: white, with its length, in the lower right corner.

    Parameters
    ----------
    picture : ndarray of uint8, shape (h, w) or (h, w, 3)
        Left as it is.
    pixel_size_um : float
        Edge of a pixel of this picture, micrometres.
    """
    height, width = picture.shape[:2]
    white = 255 if picture.ndim == 2 else (255, 255, 255)
    length_um, text = nice_scale_bar(width * pixel_size_um)
    bar_px = max(1, round(length_um / pixel_size_um))
    size = min(max(round(min(height, width) / 25), _SMALLEST_TEXT_PX), _LARGEST_TEXT_PX)
    # Pillow's own font has no micro sign.
    font = ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
    gap, thickness = max(2, size // 4), max(2, size // 5)
    image = Image.fromarray(picture.copy())
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    box_width = max(bar_px, right - left) + 2 * gap
    box_height = (bottom - top) + thickness + 3 * gap
    x, y = width - box_width - gap, height - box_height - gap
    draw.rectangle((x, y, x + box_width - 1, y + box_height - 1), fill=0)
    draw.text((x + (box_width - (right - left)) / 2 - left, y + gap - top), text, fill=white, font=font)
    bar_x, bar_y = x + (box_width - bar_px) // 2, y + box_height - gap - thickness
    draw.rectangle((bar_x, bar_y, bar_x + bar_px - 1, bar_y + thickness - 1), fill=white)
    return np.asarray(image)
