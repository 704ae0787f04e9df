"""OME-Zarr mosaics follow OME-NGFF 0.5 and let several processes write."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest
import zarr

from cemi_core.errors import InputError
from cemi_core.model.mosaic import Box
from cemi_run.store.ome_zarr import OmeZarrMosaic


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "mosaic.ome.zarr"
    with OmeZarrMosaic.create(path, (2500, 3000), np.dtype("uint16"), 0.25) as store:
        store.write(Box(0, 0, 2500, 3000), np.random.default_rng(0).random((2500, 3000), dtype=np.float32))
    return path


def test_metadata_say_pixel_size_in_micrometres_and_where_each_level_lies(path):
    ome = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    assert ome["version"] == "0.5"
    (multiscale,) = ome["multiscales"]
    assert multiscale["axes"] == [
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    assert [dataset["path"] for dataset in multiscale["datasets"]] == ["0", "1", "2", "3"]
    third = multiscale["datasets"][2]["coordinateTransformations"]
    assert third[0] == {"type": "scale", "scale": [1.0, 1.0]}
    # level 2 averages pixels 0..3 of level 0, whose centre is at 1.5 px
    assert third[1] == {"type": "translation", "translation": [0.375, 0.375]}


def test_without_a_pixel_size_no_unit_is_claimed(tmp_path):
    OmeZarrMosaic.create(tmp_path / "m.ome.zarr", (10, 10), np.dtype("uint8"))
    ome = json.loads((tmp_path / "m.ome.zarr" / "zarr.json").read_text())["attributes"]["ome"]
    assert "unit" not in ome["multiscales"][0]["axes"][0]


def test_arrays_are_plain_zarr_3_with_shards_of_chunks_of_512(path):
    group = zarr.open_group(path, mode="r", zarr_format=3)
    assert group["0"].shape == (2500, 3000)
    assert group["0"].dtype == np.uint16
    assert group["0"].chunks == (512, 512)
    assert group["0"].shards == (2048, 2048)
    assert group["0"].metadata.dimension_names == ("y", "x")
    assert group["3"].shape == (313, 375)
    truth = np.random.default_rng(0).random((2500, 3000), dtype=np.float32)
    np.testing.assert_allclose(group["0"][:] / 65535, truth, atol=1e-5)


def test_what_was_imaged_is_a_label_image_with_the_same_levels(path):
    group = zarr.open_group(path, mode="r", zarr_format=3)
    assert group["labels"].attrs["ome"]["labels"] == ["valid"]
    label = group["labels/valid"]
    assert label.attrs["ome"]["image-label"] == {"source": {"image": "../../"}}
    assert len(label.attrs["ome"]["multiscales"][0]["datasets"]) == 4
    assert (label["0"][:] == 1).all()


def write_region(path, box):
    with OmeZarrMosaic.open(path, writable=True) as store:
        value = (box.y // 2048 * 3 + box.x // 2048 + 1) / 255
        store.write(box, np.full((box.height, box.width), value, np.float32))


def test_processes_write_their_regions_at_the_same_time_without_loss(tmp_path):
    path = tmp_path / "m.ome.zarr"
    with OmeZarrMosaic.create(path, (4096, 6000), np.dtype("uint8")) as store:
        regions = list(Box(0, 0, *store.shape).tiles(*store.writer_px))
        with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
            list(pool.map(partial(write_region, path), regions))
        pixels = store.read(Box(0, 0, 4096, 6000)) * 255
    for box in regions:
        np.testing.assert_allclose(pixels[box.slices], box.y // 2048 * 3 + box.x // 2048 + 1, atol=1e-4)


def test_a_shard_cut_short_is_reported_with_its_folder(path):
    shard = path / "0" / "c" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:1000])
    with OmeZarrMosaic.open(path) as store, pytest.raises(InputError, match=r"mosaic\.ome\.zarr is damaged"):
        store.read(Box(0, 0, 100, 100))


def test_damaged_and_foreign_folders_are_refused_in_a_sentence(path, tmp_path):
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(InputError, match="not a mosaic written by CEMI"):
        OmeZarrMosaic.open(tmp_path / "other.zarr")
    with pytest.raises(InputError, match="not a mosaic written by CEMI"):
        OmeZarrMosaic.create(tmp_path / "other.zarr", (10, 10), np.dtype("uint8"))
    (path / "1" / "zarr.json").unlink()
    with pytest.raises(InputError, match="damaged"):
        OmeZarrMosaic.open(path)
    (path / "zarr.json").write_text("{")
    with pytest.raises(InputError, match="metadata are damaged"):
        OmeZarrMosaic.open(path)
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(InputError, match="not a Zarr folder"):
        OmeZarrMosaic.open(tmp_path / "empty.zarr")
