"""Tests of a specimen: every claim that the virtual microscope and other users of specimens rely on.

>>> class TestMySpecimen(SpecimenTests):
...     name = "my-specimen"
...     settings = {"grain_um": 3.0}
"""

from __future__ import annotations

import math
import pickle
import tracemalloc
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box
from cemi_core.model.objects import Objects
from cemi_core.model.specimen import Specimen, SpecimenSettings, SpecimenTruth
from cemi_core.model.stages import Runtime
from cemi_core.plugins.manager import make, registry

_FACTORY_MAY_ALLOCATE = 1_000_000


class SpecimenTests:
    """What others rely on in every `Specimen`. Name an installed one, or say in `make` how to make yours."""

    #: Name of the specimen, and settings that keep the test fast.
    name: ClassVar[str] = ""
    settings: ClassVar[dict[str, Any]] = {}
    #: Whether another seed gives another image; false for what has nothing random in it.
    seed_decides: ClassVar[bool] = True
    #: Where the specimen is looked at: not at the origin, with rows above 0.
    box: ClassVar[Box] = Box(-70, 430, 230, 260)

    def make(self, seed: int = 0) -> Specimen:
        """Return the specimen under test."""
        plugin = registry().specimens.get(self.name)
        model = plugin.description.load_settings()
        assert issubclass(model, SpecimenSettings), "settings derive from SpecimenSettings"
        made: Specimen = make(plugin, model(**self.settings), Runtime(seed=seed))
        return made

    def test_is_a_specimen_with_a_positive_scale_and_size(self) -> None:
        specimen = self.make()
        assert isinstance(specimen, Specimen)
        assert specimen.pixel_size_um > 0
        assert min(specimen.extent_px) >= 1

    def test_grey_levels_are_float32_in_the_unit_range(self) -> None:
        image = self.make().render(self.box)
        assert image.dtype == np.float32
        assert image.shape == (self.box.height, self.box.width)
        assert np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1

    def test_a_pixel_is_the_same_in_whatever_box_it_is_asked_for(self) -> None:
        whole, other = self.make().render(self.box), self.make()
        for tile in self.box.tiles(97, 113):
            np.testing.assert_array_equal(other.render(tile), _cut(whole, self.box, tile))

    def test_truth_is_the_same_in_whatever_box_it_is_asked_for(self) -> None:
        whole, other = _layers(self.make().truth(self.box)), self.make()
        for tile in self.box.tiles(self.box.height - 71, 149):
            for layer, values in _layers(other.truth(tile)).items():
                np.testing.assert_array_equal(values, _cut(whole[layer], self.box, tile), err_msg=layer)

    def test_truth_has_the_layers_that_it_names_with_their_shapes_and_types(self) -> None:
        specimen = self.make()
        truth = specimen.truth(self.box)
        shape = (self.box.height, self.box.width)
        assert tuple(truth.masks) == tuple(specimen.mask_names)
        assert tuple(truth.means) == tuple(specimen.mean_names)
        for layer, values in _layers(truth).items():
            assert values.shape == shape, layer
        assert all(mask.dtype == np.bool_ for mask in truth.masks.values())
        assert all(values.dtype == np.float32 for values, _ in truth.means.values())
        assert all(np.isfinite(values[defined]).all() for values, defined in truth.means.values())
        assert all(field.dtype == np.float32 for field in truth.fields.values())
        assert truth.labels is None or (truth.labels.dtype == np.int64 and truth.labels.min() >= 0)

    def test_each_object_lies_in_exactly_one_of_several_boxes(self) -> None:
        specimen = self.make()
        whole = specimen.objects(self.box)
        if whole is None:
            return
        tiles = list(self.box.tiles(89, 131))
        parts = [specimen.objects(tile) for tile in tiles]
        found = np.concatenate([_rows(part) for part in parts if part is not None])
        np.testing.assert_array_equal(_sorted(found), _sorted(_rows(whole)))
        for tile, part in zip(tiles, parts, strict=True):
            assert part is not None
            # half a pixel is the way from the centre of an outermost pixel to the edge of the box
            assert ((part.y_px >= tile.y - 0.5) & (part.y_px <= tile.y + tile.height - 0.5)).all()
            assert ((part.x_px >= tile.x - 0.5) & (part.x_px <= tile.x + tile.width - 0.5)).all()

    def test_numbers_of_objects_are_those_of_the_labels(self) -> None:
        specimen = self.make()
        objects, labels = specimen.objects(self.box), specimen.truth(self.box).labels
        if objects is None or labels is None or "number" not in [column.name for column in objects.columns]:
            return
        numbers = objects.column("number").astype(np.int64)
        assert len(np.unique(numbers)) == len(numbers), "two objects have the same number"
        inner = labels[40:-40, 40:-40]
        everywhere = specimen.objects(self.box.grown(300))
        assert everywhere is not None
        assert np.isin(inner[inner > 0], everywhere.column("number").astype(np.int64)).all()

    def test_travels_to_another_process_and_stays_the_same(self) -> None:
        specimen = self.make()
        image = specimen.render(self.box)
        again = pickle.loads(pickle.dumps(specimen))  # noqa: S301 - our own bytes
        np.testing.assert_array_equal(again.render(self.box), image)

    def test_the_seed_decides(self) -> None:
        image = self.make(seed=0).render(self.box)
        np.testing.assert_array_equal(self.make(seed=0).render(self.box), image)
        if self.seed_decides:
            assert (self.make(seed=1).render(self.box) != image).any()

    def test_the_factory_is_cheap(self) -> None:
        self.make()  # imports what it needs
        tracemalloc.start()
        self.make(seed=12345)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < _FACTORY_MAY_ALLOCATE, "a factory computes nothing: do it when pixels are asked for"

    def test_planted_numbers_are_finite(self) -> None:
        for name, value in self.make().properties().items():
            assert name == name.lower() and " " not in name
            assert math.isfinite(value), name

    def test_a_single_pixel_can_be_asked_for(self) -> None:
        specimen = self.make()
        assert specimen.render(Box(3, 5, 1, 1)).shape == (1, 1)
        assert all(values.shape == (1, 1) for values in _layers(specimen.truth(Box(3, 5, 1, 1))).values())


def _cut(values: NDArray[Any], whole: Box, part: Box) -> NDArray[Any]:
    return values[Box(part.y - whole.y, part.x - whole.x, part.height, part.width).slices]


def _layers(truth: SpecimenTruth) -> dict[str, NDArray[Any]]:
    """Return every array of a truth by a name of its own."""
    layers: dict[str, NDArray[Any]] = {f"mask {name}": mask for name, mask in truth.masks.items()}
    for name, (values, defined) in truth.means.items():
        layers |= {f"mean {name}": values, f"where {name} is defined": defined}
    layers |= {f"field {name}": field for name, field in truth.fields.items()}
    return layers if truth.labels is None else {**layers, "labels": truth.labels}


def _rows(objects: Objects) -> NDArray[np.float64]:
    columns = [column.values for column in objects.columns]
    return np.column_stack([objects.y_px, objects.x_px, objects.area_px, objects.class_index, *columns])


def _sorted(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows[np.lexsort(rows.T)]
