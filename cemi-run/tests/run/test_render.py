"""The picture as the stitcher offers it: shading removed, frames around a box handed in, looks stored beside."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from cemi_core.model.array_source import ArraySource
from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Box
from cemi_run.engine.executors import open_executor
from cemi_run.engine.plan import Machine, Workers
from cemi_run.steps.place import load_layout
from cemi_run.steps.render import Blender, along_shorter_edge, write_mosaic
from cemi_run.store.protocol import open_mosaic
from cemi_run.store.run_file import write_layout

SHADING = np.array([[0.8, 1.0, 1.2]])


class MeanStitcher:
    """The mean of all frames that it is handed, each at a whole-pixel place, and how many there were."""

    def blend(self, patches, box):
        return self.blend_and_count(patches, box)[0]

    def blend_and_count(self, patches, box):
        total, looks = np.zeros((2, box.height + 8000, box.width + 8000), np.float32)
        for patch in patches:
            y, x = round(patch.y_px) - box.y + 4000, round(patch.x_px) - box.x + 4000
            area = slice(y, y + patch.image.shape[0]), slice(x, x + patch.image.shape[1])
            total[area] += patch.image
            looks[area] += 1
        inner = slice(4000, 4000 + box.height), slice(4000, 4000 + box.width)
        seen = looks[inner] > 0
        mean = np.where(seen, total[inner] / np.maximum(looks[inner], 1), np.nan)
        return mean.astype(np.float32), np.where(seen, looks[inner], np.nan).astype(np.float32)


def layout_of(places, shape, flat_field=None):
    n = len(places)
    return Layout(
        positions_px=np.array(places, float),
        shapes=np.tile(shape, (n, 1)),
        component=np.zeros(n, int),
        residual_px=np.zeros(n),
        gain=np.ones(n),
        offset=np.zeros(n),
        placed_by_prior=np.zeros(n, bool),
        flat_field=flat_field,
    )


def render(path, stitcher, layout, frames, looks_path=None, kind="threads", margin_px=0):
    with open_executor(kind, 1) as executor:
        workers = Workers(executor, Machine(kind=kind, workers=1), lambda *_: None)
        blender = Blender(stitcher, looks_path is not None, margin_px)
        write_mosaic(blender, layout, ArraySource(frames), path, workers, looks_path)


@pytest.mark.parametrize(("kind", "suffix"), [("threads", ".h5"), ("processes", ".ome.zarr")])
def test_shading_is_removed_and_looks_are_stored_beside_the_picture(tmp_path, kind, suffix):
    shaded = np.tile(np.linspace(0.8, 1.2, 101, dtype=np.float32) * 0.5, (60, 1))
    layout = layout_of([(0, 0), (0, 50), (0, 300)], (60, 101), SHADING)
    path, looks_path = tmp_path / f"m{suffix}", tmp_path / f"looks{suffix}"
    render(path, MeanStitcher(), layout, [shaded] * 3, looks_path, kind)
    with open_mosaic(path) as mosaic, open_mosaic(looks_path) as looks:
        assert looks.shape == mosaic.shape and looks.level_shapes == mosaic.level_shapes
        box = Box(0, 0, *mosaic.shape)
        picture, number = mosaic.read(box), looks.read(box)
        assert np.array_equal(mosaic.read_valid(box), number > 0)
        assert np.abs(picture[number > 0] - 0.5).max() <= 1e-3
        assert [number[5, x] for x in (10, 70, 120, 200, 350)] == [1, 2, 1, 0, 1]


def test_frames_within_the_margin_of_a_box_are_handed_to_the_stitcher(tmp_path):
    seen = []

    class Watching(MeanStitcher):
        def blend(self, patches, box):
            seen.append((box.x, [patch.index for patch in patches]))
            return super().blend(patches, box)

    frames = [np.full((20, 1000), 0.5, np.float32)] * 3
    layout = layout_of([(0, 0), (0, 900), (0, 1900)], (20, 1000))
    for margin, handed in ((0, [(0, [0, 1, 2]), (2048, [2])]), (200, [(0, [0, 1, 2]), (2048, [1, 2])])):
        seen.clear()
        render(tmp_path / f"{margin}.h5", Watching(), layout, frames, margin_px=margin)
        assert sorted(seen) == handed


def test_maps_of_turned_frames_reach_the_stitcher_through_the_file_of_the_layout(tmp_path):
    turned = np.tile(np.eye(2), (2, 1, 1))
    turned[1] = [[1.0, -0.01], [0.01, 1.0]]
    seen = {}

    class Watching(MeanStitcher):
        def blend(self, patches, box):
            seen.update({patch.index: patch.affine for patch in patches})
            return super().blend(patches, box)

    frames = [np.full((20, 30), 0.5, np.float32)] * 2
    for affine in (None, turned):
        path = tmp_path / f"{affine is None}.h5"
        with h5py.File(path, "w") as file:
            write_layout(file, replace(layout_of([(0, 0), (0, 20)], (20, 30)), affine=affine))
        render(tmp_path / f"m-{path.name}", Watching(), load_layout(path), frames)
        assert seen[0] is None
        assert seen[1] is None if affine is None else np.array_equal(seen[1], turned[1])


def test_boxes_that_share_frames_follow_each_other_along_the_shorter_edge():
    wide, high = (20, 60), (60, 20)
    assert [(box.y, box.x) for box in along_shorter_edge(Box(0, 0, *wide).tiles(10, 30), wide)] == [
        (0, 0),
        (10, 0),
        (0, 30),
        (10, 30),
    ]
    assert [(box.y, box.x) for box in along_shorter_edge(Box(0, 0, *high).tiles(30, 10), high)] == [
        (0, 0),
        (0, 10),
        (30, 0),
        (30, 10),
    ]
