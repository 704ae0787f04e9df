"""Single frames that are turned or stretched against the others: found, straightened, matched and blended upright."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cemi_core.model.array_source import ArraySource
from cemi_core.model.corrections import straightened
from cemi_core.model.mosaic import Box, Patch
from cemi_stitch.correlation.block_shifts import LocalShifts
from cemi_stitch.distortion.frame_affine import frame_turns
from cemi_stitch.settings import KorniaSettings
from cemi_stitch.stitcher import KorniaStitcher

SHAPE = (220, 260)
Map = NDArray[np.float64]
#: Where the frames of `recorded` lie, (y, x), px: three passes of four frames, a tenth to a fifth of each shared.
TRUTH = np.mgrid[:3, :4].reshape(2, -1).T * [180.0, 210.0] + np.random.default_rng(5).uniform(-4, 4, (12, 2))


def rotation(degrees: float) -> Map:
    """Rotation from x towards y, as a map of (y, x)."""
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def scene(truth: NDArray[np.float64] = TRUTH) -> NDArray[np.float64]:
    """Spline coefficients of a random specimen, 40 px more on all sides than the frames see."""
    rng = np.random.default_rng(0)
    size = np.ceil(truth.max(axis=0) + SHAPE).astype(int) + 80
    layers = [ndimage.gaussian_filter(rng.standard_normal(size), s) * s for s in (1.5, 4.0)]
    return ndimage.spline_filter(0.5 + 0.06 * sum(layer / layer.std() for layer in layers))


def pixels_of(place: NDArray[np.float64], affine: Map) -> list[NDArray[np.float64]]:
    """Where in the specimen the pixels of a frame lie whose map is ``affine``."""
    middle = (np.array(SHAPE) - 1) / 2
    grid = np.mgrid[: SHAPE[0], : SHAPE[1]].reshape(2, -1).T - middle
    return list((place + 40 + middle + grid @ affine.T).T)


def recorded(maps: dict[int, Map], noise: float = 0.01, truth: NDArray[np.float64] = TRUTH) -> ArraySource:
    """Frames at ``truth``, of a stage that knows its places to 5 px; ``maps`` are those of turned ones."""
    rng, coefficients = np.random.default_rng(1), scene(truth)
    frames = []
    for n, place in enumerate(truth):
        at = pixels_of(place, maps.get(n, np.eye(2)))
        frame = ndimage.map_coordinates(coefficients, at, prefilter=False).reshape(SHAPE)
        frames.append((frame + rng.normal(0, noise, SHAPE)).astype(np.float32))
    nominal = [tuple(map(float, place)) for place in truth + rng.uniform(-4, 4, truth.shape)]
    rows = np.unique(np.round(truth[:, 0] / 180), return_inverse=True)[1].tolist()
    return ArraySource(frames, positions_px=nominal, rows=rows, position_tolerance_px=10)


def errors_px(positions: NDArray[np.float64], truth: NDArray[np.float64] = TRUTH) -> NDArray[np.float64]:
    error = positions - truth
    return np.linalg.norm(error - np.median(error, axis=0), axis=1)


@pytest.mark.parametrize("noise", [0.01, 0.06])
@pytest.mark.parametrize(
    ("number", "affine"),
    [
        pytest.param(5, rotation(0.6), id="turned"),
        pytest.param(0, rotation(-0.6), id="turned at a corner"),
        pytest.param(6, np.diag([1.0, 1.01]), id="stretched"),
        pytest.param(9, np.array([[1.0, 0.0], [0.012, 1.0]]), id="sheared"),
    ],
)
def test_one_turned_frame_is_found_and_all_lie_where_they_should(number: int, affine: Map, noise: float) -> None:
    source = recorded({number: affine}, noise)
    layout = KorniaStitcher().place(source)
    assert layout.affine is not None
    assert [n for n in range(12) if layout.affine_of(n) is not None] == [number]
    moved = (np.array(SHAPE) / 2) @ (layout.affine[number] - affine).T
    assert np.linalg.norm(moved) <= 0.15 + 3 * noise  # px at a corner, where the map moves 1.5 px
    assert errors_px(layout.positions_px).max() <= 0.05 + noise
    (note,) = [note for note in layout.notes if "turned or distorted" in note]
    assert source.frames[number].name in note and "straightened" in note


def test_the_setting_leaves_turned_frames_as_they_are_and_says_so() -> None:
    source = recorded({5: rotation(0.6)})
    layout = KorniaStitcher(KorniaSettings(turned_frames="report")).place(source)
    assert layout.affine is None
    (note,) = [note for note in layout.notes if "turned or distorted" in note]
    assert f"{source.frames[5].name} by +0.6" in note


def test_a_turned_frame_is_found_in_a_single_pass_where_no_loop_can_close() -> None:
    row = np.stack([np.zeros(8), 170.0 * np.arange(8)], 1) + np.random.default_rng(2).uniform(0, 4, (8, 2))
    layout = KorniaStitcher().place(recorded({2: rotation(0.7)}, truth=row))
    assert [n for n in range(8) if layout.affine_of(n) is not None] == [2]


@pytest.mark.parametrize("common", [np.eye(2), rotation(0.6)], ids=["upright", "all turned alike"])
def test_frames_that_are_alike_are_left_alone(common: Map) -> None:
    layout = KorniaStitcher().place(recorded(dict.fromkeys(range(12), common), noise=0.06))
    assert layout.affine is None
    assert not [note for note in layout.notes if "turned or distorted" in note]


def test_the_mosaic_shows_the_specimen_though_a_frame_was_turned() -> None:
    source = recorded({5: rotation(0.6)}, noise=0.0)
    stitcher = KorniaStitcher(KorniaSettings(blend="none", equalise=False, flat_field="none"))
    layout = stitcher.place(source)
    y, x = np.round(layout.positions_px[5]).astype(int)
    box = Box(int(y) + 30, int(x) + 30, SHAPE[0] - 60, SHAPE[1] - 60)
    shift = np.median(layout.positions_px - TRUTH, axis=0)
    corner = np.array([box.y, box.x]) - shift + 40
    grid = np.mgrid[: box.height, : box.width].reshape(2, -1).T + corner
    truth = ndimage.map_coordinates(scene(), grid.T, prefilter=False).reshape(box.height, box.width)

    def error(affine: Map | None) -> float:
        patch = Patch(5, source.read(5), *map(float, layout.positions_px[5]), affine=affine)
        return float(np.std(stitcher.blend([patch], box) - truth))

    assert error(layout.affine_of(5)) <= 0.005 < 0.02 <= error(None)


def test_a_straightened_layout_is_judged_as_it_is_blended() -> None:
    source, stitcher = recorded({5: rotation(1.0)}), KorniaStitcher()
    layout = stitcher.place(source)
    table = dict(row[:2] for row in stitcher.judge(source, layout).tables[0].rows)
    assert table["score"] == 100
    crooked = KorniaStitcher(KorniaSettings(turned_frames="report")).place(source)
    crooked_table = dict(row[:2] for row in stitcher.judge(source, crooked).tables[0].rows)
    assert table["agreement_median"] >= crooked_table["agreement_median"]


def test_straightening_undoes_a_turn_and_knows_nothing_beyond_the_frame() -> None:
    affine = rotation(2.0)
    coefficients = scene()
    turned = ndimage.map_coordinates(coefficients, pixels_of(TRUTH[5], affine), prefilter=False).reshape(SHAPE)
    upright = ndimage.map_coordinates(coefficients, pixels_of(TRUTH[5], np.eye(2)), prefilter=False).reshape(SHAPE)
    turned[50, 60] = np.nan
    found = straightened(turned.astype(np.float32), affine)
    known = np.isfinite(found)
    assert not known[0, -1] and not known[-1, 0]
    assert 1 <= np.count_nonzero(~known[20:-20, 20:-20]) <= 9
    assert np.abs(found - upright)[known].max() <= 0.025 and np.std((found - upright)[known]) <= 0.001


def test_one_wrong_block_convicts_nobody() -> None:
    """What a block of a single pair wants is not enough: the other pairs of the frame must want it too."""
    shapes = np.tile(SHAPE, (6, 1))
    rng = np.random.default_rng(0)
    ends = np.array([(0, 1), (1, 2), (3, 4), (0, 3), (1, 4), (2, 5), (4, 5)])
    pair = np.repeat(np.arange(7), 8)
    place = rng.uniform(0, SHAPE, (56, 2))
    chance = rng.normal(0, 0.05, (56, 2))
    middle = (np.array(SHAPE) - 1) / 2
    wanted = (place - middle) @ (rotation(1.0) - np.eye(2)).T
    alike = np.tile(np.eye(2), (56, 1, 1))

    def convicted(by: list[int]) -> list[int]:
        deviation = chance + wanted * np.isin(pair, by)[:, None]
        return list(frame_turns(6, LocalShifts(pair, place, place, deviation, alike), ends, shapes))

    assert convicted([]) == []
    assert convicted([5]) == []
    assert convicted([5, 6]) == [5]
