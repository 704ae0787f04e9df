"""The analyzer ``segment``: every pixel gets a class from a stored network; shares, layers, and regions as objects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.cell_analyzer import CellAnalyzer, grid_map, measured_cells, measurement_of, overlay, thumbnail
from cemi_analyze.picture.cell import Cell, as_picture, cell_of
from cemi_analyze.segment.drawing import outlined
from cemi_analyze.segment.likeness import traits_of, warnings_of
from cemi_analyze.segment.pieces import Pieces, joined_pieces, pieces_of
from cemi_analyze.segment.segmenter import Segmenter
from cemi_analyze.segment.voting import voted
from cemi_analyze.segment.weights import SegmenterCard, card_in, find_segmenter
from cemi_analyze.uncertainty.blocks import block_means, blocks_along
from cemi_analyze.uncertainty.intervals import Interval, patch_share_intervals
from cemi_core.errors import InputError
from cemi_core.model.abilities import AnalyzerAbilities
from cemi_core.model.classes import ClassLabel
from cemi_core.model.layers import LayerSpec
from cemi_core.model.mosaic import Box
from cemi_core.model.result import GridMap, Measurement, Result
from cemi_core.model.settings import InputPathOrName, Settings
from cemi_core.model.stages import BlockInfo, Runtime

#: Blocks of a cell, from whose scatter the interval comes, are at least so wide, px.
_BLOCK_PX = 96.0


class NetworkSettings(Settings):
    """What all analyzers that ask a network have in common."""

    flips: bool = Field(
        False, description="Average over the image and its mirror images: a little better, four times as slow."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="What the convolutions are computed in. auto: bfloat16 on a processor with matrix units for it, "
        "more than twice as fast, with one pixel in a thousand on the other side of a border.",
    )
    vote: bool = Field(
        False, description="Give each region one class, by the votes of its pixels; a region that is unsure is none."
    )
    min_area_px: int = Field(64, ge=1, description="Regions of fewer pixels are not objects, px^2.")
    drawn: Literal["outlines", "grad-cam"] = Field(
        "outlines",
        description="What the images of single cells show: outlines of the regions, or with them what in the image "
        "the network went by (Grad-CAM).",
    )


class SegmentSettings(NetworkSettings):
    """Settings of the analyzer ``segment``."""

    weights: InputPathOrName = Field(
        description="Weights of 'cemi train segmenter': a .safetensors file, or the name of shipped ones."
    )


@dataclass(frozen=True)
class SegmentedCell:
    """What is kept of one cell.

    Attributes
    ----------
    shares : ndarray of float64, shape (classes, rows, columns)
        Share of each class in blocks of the cell; NaN in blocks that were hardly imaged.
    pieces : Pieces
    traits : mapping of str to float
        See `likeness.traits_of`.
    thumbnail : ndarray of uint8
        Probability of anything but the first class.
    pixel_size_um : float or None
    """

    shares: NDArray[np.float64]
    pieces: Pieces
    traits: Mapping[str, float]
    thumbnail: NDArray[np.uint8]
    pixel_size_um: float | None


class NetworkAnalyzer(CellAnalyzer):
    """Gives every pixel a class, cell by cell.

    Parameters
    ----------
    segmenter : Segmenter
    settings : NetworkSettings
    called : str
        Name of the analyzer.
    objects : tuple of str
        Name and label of the regions.
    notes : tuple of str
        Sentences that its results begin with.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        settings: NetworkSettings,
        called: str = "segment",
        objects: tuple[str, str] = ("regions", "Regions"),
        notes: tuple[str, ...] = (),
    ) -> None:
        self.name = called  # type: ignore[misc]  # of the result
        self.segmenter, self.settings, self.objects, self._notes = segmenter, settings, objects, notes

    @property
    def halo(self) -> int:
        """How far the network looks, px."""
        return self.segmenter.card.context_px

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """The classes of the network; the first is what no label names."""
        return self.segmenter.card.classes

    def prepare(self) -> None:
        """Load the weights and try the device, so that a mistake is told before the work starts."""
        self.segmenter.prepare()

    def process(self, block: NDArray[np.float32], info: BlockInfo) -> SegmentedCell | None:
        """Segment one cell."""
        cell = _prepared(block, info)
        return None if cell is None else self._measured(cell, info, *self._answered(cell, info))

    def process_with_layers(
        self, block: NDArray[np.float32], info: BlockInfo
    ) -> tuple[SegmentedCell | None, Mapping[str, NDArray[np.float32] | NDArray[np.uint8]]]:
        """Return what `process` does, and the layers that `layers_of` names."""
        cell = _prepared(block, info)
        if cell is None:
            core = info.core if info.core is not None else (slice(None), slice(None))
            shape = np.asarray(block)[(..., *core)].shape[-2:]
            none = np.zeros(shape, np.uint8)
            return None, {spec.name: none for spec in layers_of(self.classes)}
        classes, probabilities = self._answered(cell, info)
        valid = cell.valid[cell.core]
        layers: dict[str, NDArray[np.float32] | NDArray[np.uint8]] = {}
        for index, spec in enumerate(layers_of(self.classes)):
            if index == 0 and spec.kind == "classes":
                layers[spec.name] = np.where(valid, classes, 255).astype(np.uint8)
            elif index == 0:
                layers[spec.name] = ((classes == 1) & valid).astype(np.uint8)
            else:
                layers[spec.name] = np.where(valid, probabilities[index], 0).astype(np.float32)
        return self._measured(cell, info, classes, probabilities), layers

    def explain(self, block: NDArray[np.float32], info: BlockInfo) -> NDArray[np.uint8]:
        """Return the cell with the regions outlined, and with what the network went by where that is wanted."""
        cell = _prepared(block, info)
        core = info.core if info.core is not None else (slice(None), slice(None))
        if cell is None:
            return np.zeros((*np.asarray(block)[(..., *core)].shape[-2:], 3), np.uint8)
        classes, _ = self._answered(cell, info)
        heat = None
        if self.settings.drawn == "grad-cam":
            from cemi_analyze.segment.grad_cam import went_by

            heat = went_by(self.segmenter, cell.image)[cell.core]
        grey = cell.image if cell.image.ndim == 2 else cell.image.mean(0)
        return outlined(grey[cell.core], classes, self.classes, heat)

    def merge(self, partials: Iterable[tuple[int, int, SegmentedCell | None]], grid_shape: tuple[int, int]) -> Result:
        """Join the cells: a map of the share of each class, the regions as objects, and what is to be said."""
        cells = list(measured_cells(partials))
        shown = range(1, len(self.classes)) if len(self.classes) == 2 else (*range(1, len(self.classes)), 0)
        maps = tuple(self._map(index, cells, grid_shape) for index in shown)
        pixel_size_um = cells[0][2].pixel_size_um if cells else None
        regions = joined_pieces(
            [cell.pieces for _, _, cell in cells],
            *self.objects,
            self.classes[1:],
            pixel_size_um,
            self.settings.min_area_px,
        )
        picture = overlay([(row, column, cell.thumbnail) for row, column, cell in cells], grid_shape)
        return Result(
            self.name,
            maps,
            overlays={} if picture is None else {"probability": picture},
            notes=(*self._notes, self._about(), *self._unlike(cells)),
            objects=(regions,),
        )

    def measure(self, image: NDArray[Any], pixel_size_um: float | None = None) -> Measurement:
        """Measure a whole image: the share of the second class, with those of the others beside it."""
        picture = as_picture(image)
        whole = Box(0, 0, picture.shape[0], picture.shape[1])
        info = BlockInfo(pixel_size_um, whole.slices, box=whole, image_shape=(whole.height, whole.width))
        result = self.merge([(0, 0, self.process(picture, info))], (1, 1))
        found = measurement_of(result)
        return replace(found, extra={**found.extra, f"{self.objects[0]}_count": float(len(result.objects[0]))})

    def _answered(self, cell: Cell, info: BlockInfo) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return classes (h, w) and probabilities (k, h, w) of the cell itself."""
        rows, columns = cell.core
        shape = cell.image.shape[-2:]
        (y0, y1, _), (x0, x1, _) = rows.indices(shape[0]), columns.indices(shape[1])
        work = Box(0, 0, *shape) if self.settings.vote else Box(y0, x0, y1 - y0, x1 - x0)
        probabilities = self.segmenter.probabilities(cell.image, work, info.origin_px)
        classes = probabilities.argmax(0)
        if self.settings.vote:
            classes = voted(probabilities)
            inside = (slice(y0, y1), slice(x0, x1))
            return classes[inside], probabilities[(slice(None), *inside)]
        return classes, probabilities

    def _measured(
        self, cell: Cell, info: BlockInfo, classes: NDArray[np.int64], probabilities: NDArray[np.float32]
    ) -> SegmentedCell:
        valid = cell.valid[cell.core]
        grey = cell.image if cell.image.ndim == 2 else np.asarray(cell.image.mean(0), np.float32)
        blocks = blocks_along((valid.shape[0], valid.shape[1]), _BLOCK_PX)
        by_mask = self.segmenter.card.errors.by == "mask" or self.settings.vote
        shares = [
            block_means((classes == index).astype(np.float32) if by_mask else probabilities[index], valid, blocks)[0]
            for index in range(len(self.classes))
        ]
        shown = np.where(valid, classes, 0)
        of_class = np.take_along_axis(probabilities, shown[None], 0)[0]
        box = info.box or Box(0, 0, valid.shape[0], valid.shape[1])
        pieces = pieces_of(shown, of_class, box, _ends(cell))
        image = np.where(valid, grey[cell.core], grey[cell.core][valid].mean())
        return SegmentedCell(
            np.array(shares),
            pieces,
            traits_of(np.asarray(image, np.float32), probabilities),
            thumbnail(np.where(valid, 1 - probabilities[0], 0).astype(np.float32)),
            info.pixel_size_um,
        )

    def named(self, index: int) -> tuple[str, str]:
        """Return name and label of the map of a class."""
        label = self.classes[index]
        words = (label.label or label.name).replace("_", " ")
        return f"{map_name(label.name)}_fraction", f"{words.capitalize()}, share"

    def _map(self, index: int, cells: Sequence[tuple[int, int, SegmentedCell]], grid_shape: tuple[int, int]) -> GridMap:
        """Return the share of a class, its interval from the scatter within cells and from the network's own errors."""
        errors = self.segmenter.card.errors
        found = patch_share_intervals([cell.shares[index] for _, _, cell in cells])
        systematic, intervals = {}, []
        for (row, column, cell), interval in zip(cells, found, strict=True):
            own = errors.half_width(cell.traits["noise"], index)
            systematic[row, column] = own
            wide = interval.widened(own)
            intervals.append((row, column, Interval(wide.value, max(wide.low, 0.0), min(wide.high, 1.0))))
        return grid_map(*self.named(index), "1", intervals, grid_shape, systematic)

    def _about(self) -> str:
        card = self.segmenter.card
        counted = "pixels of the mask" if card.errors.by == "mask" or self.settings.vote else "mean probabilities"
        rms = max((row[1] for row in card.errors.rms), default=0.0)
        held = (
            f"the interval holds the scatter within a cell and the network's own error on fields that were set aside "
            f"(at most {100 * rms:.1f} points rms)"
            if card.errors.rms
            else "the interval holds the scatter within a cell only: the weights say nothing of their errors"
        )
        names = ", ".join(label.name for label in card.classes)
        return f"classes ({names}) by the network '{card.name}'; shares are {counted}; {held}"

    def _unlike(self, cells: Sequence[tuple[int, int, SegmentedCell]]) -> tuple[str, ...]:
        card = self.segmenter.card
        return warnings_of([cell.traits for _, _, cell in cells], card.ranges, card.name)


def _prepared(block: NDArray[np.float32], info: BlockInfo) -> Cell | None:
    """Return the cell of a block (h, w) or (c, h, w), or None where too little of it was imaged."""
    if np.ndim(block) == 2:
        return cell_of(block, info)
    planes = np.asarray(block, np.float32)
    first = cell_of(planes[0], info)
    if first is None:
        return None
    filled = [np.where(first.valid, plane, plane[first.valid].mean()).astype(np.float32) for plane in planes]
    return Cell(np.stack(filled), first.valid, first.core)


def _ends(cell: Cell) -> tuple[bool, bool, bool, bool]:
    """Return whether the block goes on above, below, left and right of the cell: without halo, the image ends."""
    (y0, y1, _), (x0, x1, _) = (part.indices(n) for part, n in zip(cell.core, cell.valid.shape, strict=True))
    return y0 == 0, y1 == cell.valid.shape[0], x0 == 0, x1 == cell.valid.shape[1]


def map_name(name: str) -> str:
    """Return the name of a class as names of maps and layers are: lower case with underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "class"


def layers_of(classes: Sequence[ClassLabel]) -> tuple[LayerSpec, ...]:
    """Return the layers: the mask (of two classes) or all classes, then the probability of each beyond the first."""
    if len(classes) == 2:
        one = classes[1]
        first = LayerSpec(map_name(one.name), (one.label or one.name).capitalize(), "mask", (one,))
    else:
        first = LayerSpec("classes", "Classes", "classes", tuple(classes))
    words = [(map_name(label.name), label.label or label.name) for label in classes[1:]]
    return (first, *(LayerSpec(f"{name}_probability", f"Probability of {of}", "probability") for name, of in words))


def abilities(settings: SegmentSettings) -> AnalyzerAbilities:
    """Return what the analyzer can do with these weights, of which only the description is read."""
    card = known_card(settings.weights)
    layers = () if card is None else layers_of(card.classes)
    return AnalyzerAbilities(layers=layers, explains=True, prepares=True)


def known_card(weights: str) -> SegmenterCard | None:
    """Return what weights say of themselves, or None where they are not here yet: preparing says so."""
    try:
        return card_in(find_segmenter(weights))
    except InputError:
        return None


def make(settings: SegmentSettings, runtime: Runtime) -> NetworkAnalyzer:
    """Make the analyzer from checked settings."""
    segmenter = Segmenter(
        settings.weights, runtime.device, runtime.threads, runtime.weights_dir, settings.flips, settings.precision
    )
    return NetworkAnalyzer(segmenter, settings)


def segmented(
    image: NDArray[Any], weights: str, runtime: Runtime | None = None, flips: bool = False
) -> NDArray[np.float32]:
    """Return the probability of each class in every pixel of an image.

    Parameters
    ----------
    image : ndarray, shape (h, w)
        uint8, uint16, or float in [0, 1].
    weights : str
        A file of ``cemi train segmenter``, or the name of shipped weights: ``"lamellae"``.
    runtime : Runtime, optional
        Device, threads, folder of weights.
    flips : bool
        Average over the image and its mirror images.

    Returns
    -------
    ndarray of float32, shape (classes, h, w)
        The mask is its ``argmax(0)``.

    Raises
    ------
    InputError
        No grey image of at least 32 x 32 px, or the weights cannot be used.
    MissingDependencyError
        The packages for networks are not installed.
    """
    machine = runtime or Runtime()
    segmenter = Segmenter(weights, machine.device, machine.threads, machine.weights_dir, flips)
    picture = as_picture(image)
    valid = np.isfinite(picture)
    filled = picture if valid.all() else np.where(valid, picture, picture[valid].mean()).astype(np.float32)
    return segmenter.probabilities(filled)
