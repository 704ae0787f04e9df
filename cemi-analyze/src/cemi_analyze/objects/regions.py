"""Regions darker or brighter than a grey level, one by one: pores, precipitates, particles that stand apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import ndimage

from cemi_analyze.cell_analyzer import CellAnalyzer, grid_map, measured_cells
from cemi_analyze.picture.cell import as_picture
from cemi_analyze.uncertainty.blocks import block_means, blocks_along, fraction_interval
from cemi_analyze.uncertainty.intervals import Interval
from cemi_core.model.abilities import AnalyzerAbilities
from cemi_core.model.classes import ClassLabel
from cemi_core.model.layers import LayerSpec
from cemi_core.model.objects import Objects, joined_objects
from cemi_core.model.result import Measurement, Result
from cemi_core.model.settings import Settings
from cemi_core.model.stages import BlockInfo, Runtime
from cemi_core.numeric.objects import no_objects, objects_in_block

_TOUCHING = np.ones((3, 3), bool)
_COLOUR = "#d55e00"


class RegionsSettings(Settings):
    """Settings of the analyzer ``regions``."""

    darker_than: float | None = Field(
        None, ge=0, le=1, description="Grey level (black 0, white 1) below which a pixel belongs to a region."
    )
    brighter_than: float | None = Field(
        None, ge=0, le=1, description="Grey level above which a pixel belongs to a region; give one of the two."
    )
    called: str = Field(
        "regions",
        pattern=r"^[a-z][a-z0-9_]*$",
        max_length=40,
        description="What they are called: 'pores', 'particles'.",
    )
    smoothing_px: float = Field(
        1.0, ge=0, le=10, description="Standard deviation of the Gaussian before the threshold, px; 0 for none."
    )
    min_area_px: int = Field(12, ge=1, description="Regions of fewer pixels are noise and do not count, px^2.")
    largest_px: int = Field(
        96, ge=8, le=4096, description="Largest extent of a region, px: so far is looked around each cell of the grid."
    )

    @model_validator(mode="after")
    def _one_level(self) -> Self:
        if (self.darker_than is None) == (self.brighter_than is None):
            raise ValueError("give one grey level: darker_than for dark regions, or brighter_than for bright ones")
        return self

    @property
    def label(self) -> str:
        """The name with a capital letter, for figures."""
        return self.called.replace("_", " ").capitalize()


def abilities(settings: RegionsSettings) -> AnalyzerAbilities:
    """Return what the analyzer can do: a layer that shows the regions, and images of what it saw."""
    shown = LayerSpec(settings.called, settings.label, "mask", (ClassLabel(settings.called, settings.label, _COLOUR),))
    return AnalyzerAbilities(layers=(shown,), explains=True)


@dataclass(frozen=True)
class _Cell:
    objects: Objects
    share: Interval


class Regions(CellAnalyzer):
    """Finds connected regions beyond a grey level and gives each with its size, and their share of the area.

    Pixels that touch at a side or a corner belong together; regions that touch each other are one. The level is the
    same everywhere, so that the result does not depend on how the image is cut.

    Parameters
    ----------
    settings : RegionsSettings
    """

    name = "regions"

    def __init__(self, settings: RegionsSettings) -> None:
        self.settings = settings

    @property
    def halo(self) -> int:
        """The largest extent of a region, and the reach of the smoothing."""
        return self.settings.largest_px + self._reach

    @property
    def _reach(self) -> int:
        return int(np.ceil(4 * self.settings.smoothing_px))

    def process(self, block: NDArray[np.float32], info: BlockInfo) -> _Cell | None:
        """Return the regions of a cell, and their share of its area."""
        return self._found(block, info)[0]

    def process_with_layers(
        self, block: NDArray[np.float32], info: BlockInfo
    ) -> tuple[_Cell | None, Mapping[str, NDArray[np.uint8]]]:
        """Return the regions of a cell, and the mask of them."""
        cell, mask = self._found(block, info)
        return cell, {self.settings.called: mask[_core(block, info)].astype(np.uint8)}

    def explain(self, block: NDArray[np.float32], info: BlockInfo) -> NDArray[np.uint8]:
        """Return the cell with the regions outlined."""
        core = _core(block, info)
        mask = self._found(block, info)[1][core]
        grey = np.clip(np.rint(np.nan_to_num(block[core]) * 255), 0, 255).astype(np.uint8)
        image = np.repeat(grey[..., None], 3, axis=2)
        edge = mask & ~ndimage.binary_erosion(mask)
        image[edge] = [int(_COLOUR[i : i + 2], 16) for i in (1, 3, 5)]
        return image

    def merge(self, partials: Iterable[tuple[int, int, Any]], grid_shape: tuple[int, int]) -> Result:
        """Join the cells: one table of all regions, and a map of their share of the area."""
        shares, found = [], []
        for row, column, cell in measured_cells(partials):
            shares.append((row, column, cell.share))
            found.append(cell.objects)
        objects = joined_objects(found) if found else no_objects(self.settings.called, self.settings.label)
        label = f"{self.settings.label}, share of the area"
        return Result(
            self.name,
            (grid_map(f"{self.settings.called}_fraction", label, "1", shares, grid_shape),),
            notes=(self._note(), *self._wide_note(shares)),
            objects=(objects,),
        )

    def measure(self, image: NDArray[Any], pixel_size_um: float | None = None) -> Measurement:
        """Measure a whole image: the share of the area, with the number of regions and their mean diameter."""
        picture = as_picture(image)
        core = (slice(0, picture.shape[0]), slice(0, picture.shape[1]))
        info = BlockInfo(pixel_size_um=pixel_size_um, core=core, image_shape=(picture.shape[0], picture.shape[1]))
        cell = self.process(picture, info)
        unit = "um" if pixel_size_um is not None else "px"
        if cell is None:
            nothing = float("nan")
            return Measurement(f"{self.settings.called}_fraction", nothing, nothing, nothing, "1")
        sizes = cell.objects.column(f"diameter_{unit}")
        mean = float(sizes.mean()) if len(sizes) else float("nan")
        extra = {"count": float(len(cell.objects)), f"mean_diameter_{unit}": mean}
        share = cell.share
        return Measurement(f"{self.settings.called}_fraction", share.value, share.low, share.high, "1", extra)

    def _found(self, block: NDArray[np.float32], info: BlockInfo) -> tuple[_Cell | None, NDArray[np.bool_]]:
        settings = self.settings
        valid = np.isfinite(block) if info.valid is None else info.valid & np.isfinite(block)
        mask = self._beyond(block, valid)
        labels, count = ndimage.label(mask, structure=_TOUCHING)
        if count:
            small = np.bincount(labels.ravel()) < settings.min_area_px
            labels[small[labels]] = 0
            mask = labels > 0
        core = _core(block, info)
        if valid[core].mean() < 0.1:
            return None, mask
        blocks = blocks_along(labels[core].shape, 2 * settings.largest_px)
        share = fraction_interval(*block_means(mask[core].astype(np.float32), valid[core], blocks))
        return _Cell(objects_in_block(labels, info, settings.called, settings.label), share), mask

    def _beyond(self, block: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the pixels beyond the level, after smoothing by what was imaged alone."""
        settings, image = self.settings, np.where(valid, block, np.float32(0))
        if settings.smoothing_px > 0:
            size = (2 * self._reach + 1,) * 2
            weight = cv2.GaussianBlur(valid.astype(np.float32), size, settings.smoothing_px)
            image = cv2.GaussianBlur(image, size, settings.smoothing_px) / np.maximum(weight, np.float32(1e-6))
        if settings.darker_than is not None:
            return np.asarray((image < np.float32(settings.darker_than)) & valid)
        return np.asarray((image > np.float32(settings.brighter_than or 0.0)) & valid)

    def _wide_note(self, shares: Sequence[tuple[int, int, Interval]]) -> tuple[str, ...]:
        """Say why cells have no interval worth the name."""
        wide = sum(share.low <= 0 and share.high >= 1 for _, _, share in shares)
        if not wide:
            return ()
        return (
            f"{wide} of {len(shares)} cells are too small to show how the share of {self.settings.called} scatters in "
            f"them, so that its interval is 0 to 1: it takes two blocks of {2 * self.settings.largest_px} px. Choose "
            "larger cells, or a lower 'largest_px' if the regions are smaller.",
        )

    def _note(self) -> str:
        level = self.settings.darker_than
        side = f"darker than {level:g}" if level is not None else f"brighter than {self.settings.brighter_than:g}"
        return (
            f"{self.settings.label} are connected pixels {side} (black 0, white 1) after a Gaussian of "
            f"{self.settings.smoothing_px:g} px, of at least {self.settings.min_area_px} pixels. The interval of their "
            "share holds the scatter within a cell, not the choice of the level."
        )


def _core(block: NDArray[np.float32], info: BlockInfo) -> tuple[slice, slice]:
    return info.core if info.core is not None else (slice(0, block.shape[0]), slice(0, block.shape[1]))


def make(settings: RegionsSettings, runtime: Runtime) -> Regions:
    """Make the analyzer from checked settings."""
    return Regions(settings)
