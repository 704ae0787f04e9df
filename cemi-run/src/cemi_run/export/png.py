"""PNG: one picture with a scale bar, for a talk or a paper."""

from __future__ import annotations

from dataclasses import dataclass
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
        show = progress or no_progress
        last = len(mosaic.level_shapes) - 1
        level = next((k for k, shape in enumerate(mosaic.level_shapes) if max(shape) <= self.max_px), last)
        shape = mosaic.level_shapes[level]
        step = max(1, -(-max(shape) // self.max_px))  # the smallest level may still be larger than asked for
        black_white = grey_range(mosaic, self.contrast)
        bands = list(Box(0, 0, *shape).tiles(_BAND_PX, shape[1]))
        picture = np.empty((-(-shape[0] // step), -(-shape[1] // step)), np.uint8)
        for number, band in enumerate(bands):
            grey = to_grey(mosaic.read(band, level), black_white)
            picture[-(-band.y // step) : -(-(band.y + band.height) // step)] = grey[-band.y % step :: step, ::step]
            show(number + 1, len(bands))
        if self.scale_bar and mosaic.pixel_size_um is not None:
            picture = draw_scale_bar(picture, mosaic.pixel_size_um * 2**level * step)
        with atomic_path(path) as temporary:
            Image.fromarray(picture).save(temporary, format="PNG")


def make(settings: PngSettings, runtime: Runtime) -> PngExporter:
    """Make the exporter from checked settings."""
    return PngExporter(settings.max_px, settings.scale_bar, settings.contrast)


def draw_scale_bar(picture: NDArray[np.uint8], pixel_size_um: float) -> NDArray[np.uint8]:
    """Return a picture (h, w) with a white bar of a round length and its text on black, in the lower right corner.

    Parameters
    ----------
    picture : ndarray of uint8, shape (h, w)
        Left as it is.
    pixel_size_um : float
        Edge of a pixel of this picture, micrometres.
    """
    height, width = picture.shape
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
    draw.text((x + (box_width - (right - left)) / 2 - left, y + gap - top), text, fill=255, font=font)
    bar_x, bar_y = x + (box_width - bar_px) // 2, y + box_height - gap - thickness
    draw.rectangle((bar_x, bar_y, bar_x + bar_px - 1, bar_y + thickness - 1), fill=255)
    return np.asarray(image)
