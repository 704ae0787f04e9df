"""One class of tests per stage: subclass it, say how to make your object, and pytest runs the claims.

>>> class TestMyDenoiser(DenoiserTests):
...     name = "my-denoiser"

tests an installed plugin as a recipe names it: what it describes, what it declares and what it does. An object alone:

>>> class TestMyFilter(DenoiserTests):
...     def make(self):
...         return MyFilter(strength=0.5)
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from unittest import SkipTest, mock

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.array_source import ArraySource
from cemi_core.model.frame import FrameSource
from cemi_core.model.grid import Grid
from cemi_core.model.mosaic import Box, Patch
from cemi_core.model.objects import Objects
from cemi_core.model.result import GridMap, Profile, PropertyTable
from cemi_core.model.stages import (
    CONTRACTS,
    BlockInfo,
    PlaceContext,
    Runtime,
)
from cemi_core.numeric.tiles import denoise_image
from cemi_core.plugins.manager import make_named, registry
from cemi_core.plugins.types import (
    AnalyzerPlugin,
    DenoiserPlugin,
    Plugin,
    RelationPlugin,
    SourcePlugin,
    StitcherPlugin,
    methods_of,
    owner_of,
)
from cemi_core.testing.factories import costs_of_making
from cemi_core.testing.samples import Tiles, cut_tiles, striped_image, textured_image


def make_plugin(stage: str, name: str, **settings: Any) -> Any:
    """Return the object that an installed plugin makes from these settings, as a recipe would."""
    return make_named(stage, name, **settings)


STAGES_WITH_ABILITIES = ("source", "denoise", "stitch", "analyze", "relate")


class Kit:
    """What every plugin promises, whatever its stage: it travels, and it is what its description says.

    A subclass gives `name`, or `make`; without a description, what a description promises is left out.
    """

    #: The stage of the plugin, as in ``cemi plugins``.
    stage = ""
    #: The word for the plugin in a recipe.
    name = ""
    #: Its settings, as in a recipe; by default its own.
    settings: Mapping[str, Any] = {}
    #: Further settings, beside `settings`, with which it can do more.
    more_settings: Sequence[Mapping[str, Any]] = ()
    #: Whether making it may open files.
    opens_files = False

    def plugin(self) -> Plugin[Any] | None:
        """Return the description of the plugin under test, or None: by default that of the installed one."""
        return registry().of_stage(self.stage).get(self.name).description if self.name else None

    def make(self) -> Any:
        """Return the object under test; by default the plugin makes it from `settings`."""
        return self._made(self.settings)

    def _made(self, settings: Mapping[str, Any]) -> Any:
        plugin = self.plugin()
        if plugin is None:
            raise NotImplementedError("a test kit needs the name of a plugin, or make()")
        return plugin.load_factory()(plugin.load_settings()(**settings), Runtime())

    def _described(self) -> Plugin[Any]:
        plugin = self.plugin()
        if plugin is None:
            raise SkipTest("the kit tests an object alone; give the name of its plugin to test what it declares")
        return plugin

    def _all_settings(self) -> list[dict[str, Any]]:
        return [dict(self.settings), *({**self.settings, **more} for more in self.more_settings)]

    def test_travels_to_another_process(self) -> None:
        pickle.loads(pickle.dumps(self.make()))  # noqa: S301 - our own bytes

    def test_what_it_declares_it_can_do_and_what_it_can_do_it_declares(self) -> None:
        plugin = self._described()
        declared: set[str] = set()
        able: dict[str, str] = {}
        for settings in self._all_settings() if self.stage in STAGES_WITH_ABILITIES else []:
            made, abilities = self._made(settings), abilities_of(plugin, settings)
            for ability, contract in CONTRACTS[type(abilities)].items():
                can, says = isinstance(made, contract), vars(abilities)[ability]
                assert can or not says, (
                    f"'{plugin.name}' declares the ability '{ability}' with {settings}, and {owner_of(made)} has no "
                    f"{methods_of(contract)}"
                )
                declared |= {ability} if says else set()
                able |= {ability: f"{owner_of(made)} has {methods_of(contract)}"} if can else {}
        for ability, what in able.items():
            assert ability in declared, (
                f"{what}, and '{plugin.name}' does not declare the ability '{ability}': declare it, or name in "
                "more_settings those with which it does"
            )

    def test_its_abilities_are_told_from_settings_alone_and_twice_the_same(self) -> None:
        plugin = self._described()
        if self.stage not in STAGES_WITH_ABILITIES:
            return

        def refuse(*_: Any, **__: Any) -> Any:
            raise AssertionError(f"'{plugin.name}' is made to tell what it can do")

        mute = replace(plugin, factory=refuse)
        for settings in self._all_settings():
            with mock.patch.object(type(self._made(settings)), "__init__", refuse):
                assert abilities_of(mute, settings) == abilities_of(mute, settings)

    def test_planning_and_making_it_is_cheap(self) -> None:
        plugin = self._described()
        for settings in self._all_settings():
            try:
                costs = costs_of_making(plugin, settings, self.opens_files)
            except pickle.PicklingError as error:
                raise SkipTest(f"another process cannot import what makes '{plugin.name}': {error}") from error
            assert not costs, f"'{plugin.name}' with {settings}: {'; '.join(costs)}; do it in prepare() or at first use"


def abilities_of(plugin: Plugin[Any], settings: Mapping[str, Any]) -> Any:
    """Return what a plugin of a stage with abilities declares with these settings, as in a recipe."""
    if not isinstance(plugin, SourcePlugin | DenoiserPlugin | StitcherPlugin | AnalyzerPlugin | RelationPlugin):
        raise TypeError(f"plugins of the stage '{plugin.stage}' declare no abilities")
    return plugin.abilities_of(plugin.load_settings()(**settings))


class DenoiserTests(Kit):
    """What core relies on in every `Denoiser`."""

    stage = "denoise"

    #: Largest difference between tiled and whole denoising, in the [0, 1] range (half a grey level of 255).
    seam = 0.5 / 255

    def image(self) -> NDArray[np.float32]:
        """Return a noisy picture to try it on."""
        clean = textured_image((150, 170))
        noise = np.random.default_rng(1).normal(0, 0.05, clean.shape)
        return np.clip(clean + noise, 0, 1).astype(np.float32)

    def test_keeps_shape_and_type_of_one_picture_and_of_a_stack(self) -> None:
        denoiser, image = self.make(), self.image()
        for block in (image, np.stack([image, image[::-1]])):
            result = denoiser(block, BlockInfo())
            assert result.shape == block.shape
            assert result.dtype == np.float32

    def test_leaves_its_input_alone(self) -> None:
        image = self.image()
        before = image.copy()
        self.make()(image)
        np.testing.assert_array_equal(image, before)

    def test_gives_the_same_answer_twice(self) -> None:
        image = self.image()
        np.testing.assert_array_equal(self.make()(image), self.make()(image))

    def test_keeps_the_mean_grey_level_to_one_part_in_two_hundred(self) -> None:
        image = self.image()
        assert abs(float(self.make()(image).mean()) / float(image.mean()) - 1) < 0.005

    def test_a_flat_picture_stays_flat(self) -> None:
        flat = np.full((64, 64), 0.5, np.float32)
        np.testing.assert_allclose(self.make()(flat), flat, atol=1e-3)

    def test_tiles_with_its_halo_show_no_seam(self) -> None:
        denoiser, image = self.make(), self.image()
        whole = denoise_image(denoiser, image)
        tiled = denoise_image(denoiser, image, tile_px=64)
        assert float(np.abs(whole - tiled).max()) <= self.seam


class StitcherTests(Kit):
    """What core relies on in every `Stitcher`."""

    stage = "stitch"

    #: Largest error of a position, px.
    tolerance_px = 1.0

    def tiles(self) -> Tiles:
        """Return overlapping cuts of one picture."""
        return cut_tiles()

    def source(self, tiles: Tiles) -> Any:
        """Return the tiles as frames whose nominal places are off by a few px."""
        nominal = tiles.positions_px + np.random.default_rng(2).uniform(-3, 3, tiles.positions_px.shape)
        return ArraySource(list(tiles.arrays), positions_px=[(float(y), float(x)) for y, x in nominal])

    def test_finds_the_places_of_overlapping_tiles(self) -> None:
        tiles = self.tiles()
        layout = self.make().place(self.source(tiles), PlaceContext())
        error = layout.positions_px - tiles.positions_px
        error -= error.mean(axis=0)
        assert float(np.abs(error).max()) <= self.tolerance_px

    def test_threads_give_the_same_layout(self) -> None:
        source = self.source(self.tiles())
        alone = self.make().place(source, PlaceContext())
        with ThreadPoolExecutor(2) as executor:
            together = self.make().place(source, PlaceContext(executor))
        np.testing.assert_allclose(alone.positions_px, together.positions_px, atol=1e-6)

    def test_one_frame_lies_at_the_origin(self) -> None:
        layout = self.make().place(ArraySource([textured_image()]), PlaceContext())
        np.testing.assert_array_equal(layout.positions_px, [[0.0, 0.0]])

    def test_blending_gives_the_picture_back(self) -> None:
        tiles = self.tiles()
        patches = [
            Patch(i, array, float(y), float(x))
            for i, (array, (y, x)) in enumerate(zip(tiles.arrays, tiles.positions_px, strict=True))
        ]
        height, width = tiles.picture.shape
        mosaic = self.make().blend(patches, Box(0, 0, height, width))
        assert mosaic.shape == (height, width)
        seen = np.isfinite(mosaic)
        covered = np.zeros((height, width), dtype=bool)
        for patch in patches:
            covered[Box(int(patch.y_px), int(patch.x_px), *patch.image.shape).slices] = True
        np.testing.assert_array_equal(seen, covered)
        np.testing.assert_allclose(mosaic[seen], tiles.picture[seen], atol=2e-3)


class AnalyzerTests(Kit):
    """What core relies on in every `Analyzer`."""

    stage = "analyze"

    def image(self) -> NDArray[np.float32]:
        """Return a picture that it can measure."""
        return striped_image()

    def _map(self, image: NDArray[np.float32], valid: NDArray[np.bool_] | None = None) -> GridMap:
        analyzer = self.make()
        whole = (slice(0, image.shape[0]), slice(0, image.shape[1]))
        box = Box(0, 0, image.shape[0], image.shape[1])
        info = BlockInfo(pixel_size_um=0.1, core=whole, valid=valid, box=box)
        partial = analyzer.process(image, info)
        pickle.loads(pickle.dumps(partial))  # noqa: S301 - our own bytes
        result = analyzer.merge([(0, 0, partial), (0, 1, None)], (1, 2))
        assert result.maps, "the kit looks at a map; override it for an analyzer that gives objects or layers alone"
        first: GridMap = result.maps[0]
        return first

    def test_gives_a_map_of_the_grid_with_bounds_around_the_value(self) -> None:
        grid_map = self._map(self.image())
        assert grid_map.value.shape == grid_map.low.shape == grid_map.high.shape == (1, 2)
        assert np.isfinite(grid_map.value[0, 0])
        assert grid_map.low[0, 0] <= grid_map.value[0, 0] <= grid_map.high[0, 0]

    def test_a_cell_that_was_not_imaged_is_nan(self) -> None:
        assert np.isnan(self._map(self.image()).value[0, 1])

    def test_a_cell_hardly_imaged_does_not_fail(self) -> None:
        image = self.image()
        valid = np.zeros(image.shape, dtype=bool)
        valid[:5, :5] = True
        self._map(np.where(valid, image, 0).astype(np.float32), valid)

    def test_each_object_is_found_once_whatever_the_tiles(self) -> None:
        image, pixel_size_um = self.image(), 0.1
        whole = self.objects_of_tiles(image, Grid(1, 1, (image.shape[0], image.shape[1])), pixel_size_um)
        for rows, columns in ((2, 3), (5, 4)):
            tiled = self.objects_of_tiles(image, Grid(rows, columns, (image.shape[0], image.shape[1])), pixel_size_um)
            assert len(tiled) == len(whole)
            for one, other in zip(whole, tiled, strict=True):
                assert len(one) == len(other), "objects were lost or found twice"
                for name in ("y_px", "x_px", "area_px", "class_index", "outline_px"):
                    np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
                for column, same in zip(one.columns, other.columns, strict=True):
                    np.testing.assert_array_equal(column.values, same.values)

    def objects_of_tiles(
        self, image: NDArray[np.float32], grid: Grid, pixel_size_um: float | None = None
    ) -> list[Objects]:
        """Return the objects that the analyzer finds on the cells of a grid, by place; none if it gives none."""
        analyzer = self.make()
        partials = []
        for row, column in np.ndindex(grid.rows, grid.columns):
            cell = grid.box(row, column)
            outer = cell.grown(analyzer.halo).clipped(grid.shape)
            core = Box(cell.y - outer.y, cell.x - outer.x, cell.height, cell.width).slices
            info = BlockInfo(pixel_size_um, core, None, row, column, cell, image_shape=grid.shape)
            partials.append((row, column, analyzer.process(image[outer.slices], info)))
        found = analyzer.merge(partials, (grid.rows, grid.columns)).objects
        return [objects.selected(np.lexsort((objects.x_px, objects.y_px))) for objects in found]

    def test_measures_a_picture_alone(self) -> None:
        measurement = self.make().measure(self.image(), 0.1)
        assert measurement.low <= measurement.value <= measurement.high
        assert measurement.unit


class SourceTests(Kit):
    """What core relies on in every `FrameSource`; to number its frames, it may look into files when it is made."""

    stage = "source"
    opens_files = True

    def test_says_all_that_a_source_says(self) -> None:
        source = self.make()
        missing = [name for name in dir(FrameSource) if not name.startswith("_") and name not in dir(source)]
        assert not missing, f"{owner_of(source)} has no {', '.join(missing)}; derive it from GreyFrames"

    def test_frames_are_numbered_in_order_and_read_as_they_say(self) -> None:
        source = self.make()
        assert len(source.frames) > 0
        for number, frame in enumerate(source.frames):
            assert frame.index == number
            image = source.read(number)
            assert image.dtype == np.float32
            assert image.shape == frame.shape
            assert float(np.nanmin(image)) >= 0
            assert float(np.nanmax(image)) <= 1

    def test_reading_twice_gives_the_same_pixels(self) -> None:
        source = self.make()
        np.testing.assert_array_equal(source.read(0), source.read(0))


class RelationTests(Kit):
    """What core relies on in every `RelationMethod`."""

    stage = "relate"

    def _relate(self, values: Sequence[float]) -> Any:
        x = np.linspace(0, 1000, len(values))
        value = np.asarray(values, dtype=np.float64)
        profile = Profile("q", "Quantity", "1", x, value, value - 0.1, value + 0.1, np.full(len(values), 3))
        noise = np.random.default_rng(0).normal(0, 0.02, len(values))
        return self.make().relate([profile], PropertyTable("hv", x, 500 + 100 * (value + noise)))

    def test_a_planted_relation_is_found(self) -> None:
        (relation,) = self._relate(list(np.random.default_rng(3).uniform(0, 1, 40)))
        assert relation.r > 0.9
        if not np.isnan(relation.low):  # not every measure of strength has an interval
            assert relation.low <= relation.r <= relation.high

    def test_the_effective_sample_is_no_larger_than_the_sample(self) -> None:
        (relation,) = self._relate(list(np.sin(np.linspace(0, 3, 60))))
        assert relation.n_effective <= relation.n
