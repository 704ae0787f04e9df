"""Claims about stitching while frames still come."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.sparse.csgraph import connected_components

from cemi_core.model.executor import SerialExecutor
from cemi_core.model.layout import Layout
from cemi_core.testing import cut_tiles
from cemi_run.jobs.follow import FolderWatch, LiveLayout, follow_folder
from cemi_run.sources.images import ImagesSettings, ImagesSource


class Knowing:
    """A stitcher that knows where every file lies; files in ``strange`` overlap none."""

    def __init__(self, places, strange=()):
        self.places, self.strange, self.asked = places, strange, []

    def place(self, frames, context):
        names = [frame.name for frame in frames.frames]
        self.asked.append(names)
        positions = np.array([self.places[name] for name in names], float)
        alone = np.array([name in self.strange for name in names])
        n = len(names)
        return Layout(
            positions - positions.min(axis=0),
            np.array([frame.shape for frame in frames.frames]),
            np.where(alone, 1, 0),
            np.zeros(n),
            np.ones(n),
            np.zeros(n),
            alone,
        )


class Overlapping(Knowing):
    """Joins only the frames of 96 x 128 px that overlap."""

    def place(self, frames, context):
        layout = super().place(frames, context)
        y, x = layout.positions_px.T
        near = (np.abs(y[:, None] - y) < 96) & (np.abs(x[:, None] - x) < 128)
        return replace(layout, component=connected_components(near, directed=False)[1])


@pytest.fixture
def tiles(tmp_path):
    cut = cut_tiles(rows=2, columns=4)
    arrays = [(255 * array).astype(np.uint8) for array in cut.arrays]
    folder = tmp_path / "come"
    folder.mkdir()
    names = [f"t{n}.tif" for n in range(len(arrays))]
    return folder, names, arrays, dict(zip(names, cut.positions_px, strict=True))


def opened(paths):
    return ImagesSource(ImagesSettings(path=[str(path) for path in paths]))


def add_all(tiles, stitcher):
    folder, names, arrays, _ = tiles
    live = LiveLayout(stitcher, opened, SerialExecutor())
    for name, array in zip(names, arrays, strict=True):
        tifffile.imwrite(folder / name, array)
        live.add(folder / name)
    return live


def test_frames_come_to_lie_where_the_stitcher_says_from_a_few_neighbours_each(tiles):
    stitcher = Knowing(tiles[3])
    live = add_all(tiles, stitcher)
    found = live.layout().positions_px
    truth = np.array([tiles[3][name] for name in tiles[1]])
    np.testing.assert_allclose(found, truth - truth.min(axis=0), atol=1e-6)
    assert max(map(len, stitcher.asked)) <= 6
    assert not live.layout().placed_by_prior.any()


def test_a_frame_that_matches_nothing_is_shown_one_step_on_and_flagged(tiles):
    live = add_all(tiles, Knowing(tiles[3], strange=("t2.tif",)))
    before, here, strange = (np.array(live.frames[n].position_px) for n in (0, 1, 2))
    np.testing.assert_allclose(strange, 2 * here - before)
    assert live.layout().placed_by_prior.tolist() == [n == 2 for n in range(8)]


def test_the_first_frame_of_a_pass_is_found_below_the_first_of_the_pass_before(tmp_path):
    truth = {f"r{row}c{column:02d}.tif": (60 * row, 90 * column) for row in range(3) for column in range(50)}
    live = LiveLayout(Overlapping(truth), opened, SerialExecutor())
    for name in truth:
        tifffile.imwrite(tmp_path / name, np.zeros((96, 128), np.uint8))
        live.add(tmp_path / name)
    np.testing.assert_allclose(live.layout().positions_px, np.array(list(truth.values())), atol=1e-6)


def test_the_overview_shows_the_frames_at_their_places(tiles):
    live = add_all(tiles, Knowing(tiles[3]))
    picture = live.overview()
    y, x = (round(p) for p in live.layout().positions_px[-1])
    np.testing.assert_allclose(picture[y + 5 : y + 20, x + 5 : x + 20], tiles[2][-1][5:20, 5:20], atol=1)


def test_a_damaged_file_is_passed_over(tiles):
    folder, _, _, places = tiles
    live = LiveLayout(Knowing(places), opened, SerialExecutor())
    (folder / "t0.tif").write_bytes(b"II*\0 not really")
    assert live.add(folder / "t0.tif") is None
    assert not live.frames


def test_a_file_counts_once_it_has_stopped_growing_and_can_be_read(tiles):
    folder, _, arrays, _ = tiles
    watch = FolderWatch(folder, [".tif"])
    assert watch.new_files() == []
    tifffile.imwrite(folder / "t0.tif", arrays[0])
    whole = (folder / "t0.tif").read_bytes()
    (folder / "t0.tif").write_bytes(whole[:100])
    (folder / "notes.txt").write_text("no image")
    assert watch.new_files() == []
    assert watch.new_files() == []  # it has stopped growing, but is cut short
    (folder / "t0.tif").write_bytes(whole)
    assert watch.new_files() == []
    assert watch.new_files() == [folder / "t0.tif"]
    assert watch.new_files() == []


def test_a_file_whose_pixels_are_still_being_written_is_placed_when_they_have_come(tiles, tmp_path, monkeypatch):
    folder, names, arrays, places = tiles
    tifffile.imwrite(folder / names[0], arrays[0])
    Image.fromarray(arrays[1]).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    slow = folder / "t1.png"
    start = whole.index(b"IDAT") + 4
    slow.write_bytes(whole[:start] + bytes(len(whole) - start - 12) + whole[-12:])  # its full length, but no pixels yet
    live = LiveLayout(Knowing(places | {"t1.png": places["t1.tif"]}), opened, SerialExecutor())
    looks = []

    def sleep(seconds):
        looks.append([frame.path.name for frame in live.frames])
        if len(looks) == 4:
            slow.write_bytes(whole)
        if len(looks) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr("cemi_run.jobs.follow.time.sleep", sleep)
    watch = FolderWatch(folder, [".tif", ".png"])
    follow_folder(watch, live, tmp_path / "o.png", None, idle_seconds=None)
    assert looks[3] == ["t0.tif"]
    assert looks[-1] == ["t0.tif", "t1.png"]


def test_a_frame_is_placed_although_its_neighbour_has_been_deleted(tiles):
    folder, names, arrays, places = tiles
    live = LiveLayout(Knowing(places), opened, SerialExecutor())
    for name, array in zip(names, arrays, strict=True):
        tifffile.imwrite(folder / name, array)
        assert live.add(folder / name) is not None
        if name == "t1.tif":
            (folder / name).unlink()
    truth = np.array([places[name] for name in names])
    np.testing.assert_allclose(live.layout().positions_px, truth - truth.min(axis=0), atol=1e-6)
    assert live.add(folder / "gone.tif") is None


def test_following_ends_when_nothing_comes_any_more(tiles, tmp_path):
    folder, names, arrays, places = tiles
    live = LiveLayout(Knowing(places), opened, SerialExecutor())

    def drop():
        for name, array in zip(names, arrays, strict=True):
            tifffile.imwrite(folder / name, array)
            time.sleep(0.05)

    dropping = threading.Thread(target=drop)
    dropping.start()
    overview, table = tmp_path / "o.png", tmp_path / "l.csv"
    follow_folder(FolderWatch(folder, [".tif"]), live, overview, table, idle_seconds=2, poll_seconds=0.05)
    dropping.join()
    assert [frame.path.name for frame in live.frames] == names
    assert len(table.read_text().splitlines()) == 1 + len(names)
    assert np.asarray(Image.open(overview)).std() > 5


def test_an_interrupt_ends_following_and_keeps_what_was_placed(tiles, tmp_path, monkeypatch):
    folder, names, arrays, places = tiles
    tifffile.imwrite(folder / names[0], arrays[0])
    live = LiveLayout(Knowing(places), opened, SerialExecutor())
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("cemi_run.jobs.follow.time.sleep", sleep)
    follow_folder(FolderWatch(folder, [".tif"]), live, tmp_path / "o.png", None, idle_seconds=None)
    assert len(live.frames) == 1
    assert (tmp_path / "o.png").exists()
