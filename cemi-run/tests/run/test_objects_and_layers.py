"""Claims about objects, classes and layers: stored, written as tables, in the report and in what can be related."""

import csv
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from cemi_core.errors import PluginError
from cemi_core.model.abilities import AnalyzerAbilities
from cemi_core.model.classes import class_labels
from cemi_core.model.layers import LayerSpec
from cemi_core.model.mosaic import Box
from cemi_core.model.objects import ObjectColumn, Objects
from cemi_core.model.result import ClassMap, Result
from cemi_run.engine.folder import RunFolder
from cemi_run.steps.finish import opened_run
from cemi_run.store.object_table import read_objects, write_objects

KINDS = class_labels(["dull", "bright"])
SPECS = (
    LayerSpec("bright", "Bright pixels", "mask"),
    LayerSpec("grey", "Grey level", "probability"),
    LayerSpec("kind", "Kind of pixel", "classes", KINDS),
)


class Everything:
    """Gives one object, one class and three layers for each cell."""

    halo = 3

    def process(self, block, info):
        return self.process_with_layers(block, info)[0]

    def process_with_layers(self, block, info):
        core = block[info.core]
        bright = core > np.median(core)
        layers = {"bright": bright.astype(np.uint8), "grey": core, "kind": bright.astype(np.uint8)}
        y, x = info.box.y + info.box.height / 2, info.box.x + info.box.width / 2
        return (y, x, float(bright.mean())), layers

    def merge(self, partials, grid_shape):
        kinds, places = np.full(grid_shape, -1), []
        for row, column, partial in partials:
            if partial is not None:
                places.append(partial)
                kinds[row, column] = partial[2] > 0.49
        y, x, share = np.array(places).T
        columns = (ObjectColumn("share", "Share", "1", share),)
        objects = Objects("spots", "Spots", y, x, np.full(len(y), 9.0), columns=columns)
        return Result(
            "everything",
            objects=(objects,),
            classes=(ClassMap("kind", "Kind of cell", KINDS, kinds, np.full(grid_shape, 0.9)),),
        )

    def explain(self, block, info):
        return (255 * block[info.core]).clip(0, 255).astype(np.uint8)

    def measure(self, image, pixel_size_um=None):
        raise NotImplementedError


@pytest.fixture
def everything(tiny_plugins, declare, monkeypatch):
    import cemi_grey.analyzer

    monkeypatch.setattr(cemi_grey.analyzer, "make", lambda settings, runtime: Everything())
    declare("grey", AnalyzerAbilities(layers=SPECS, explains=True))


def test_a_run_stores_what_an_analyzer_says_of_objects_cells_and_pixels(run, everything):
    run()
    with opened_run(RunFolder(run.out)) as finished:
        (result,) = finished.results
        (objects,) = result.objects
        assert len(objects) == finished.grid.rows * finished.grid.columns
        assert objects.column("share").shape == (len(objects),)
        assert result.classes[0].classes == KINDS and result.classes[0].confidence[0, 0] == 0.9
        assert {m.name for m in result.maps} == {"spots_per_mm2", "spots_diameter"}
        assert sum(name.startswith("What was seen") for name in result.overlays) == 4
        assert [layer.spec for layer in result.layers] == list(SPECS)
        box = Box(0, 0, *finished.mosaic.shape)
        grey, valid = finished.mosaic.read(box), finished.mosaic.read_valid(box)
        shown = {layer.spec.name: finished.layers[layer.path] for layer in result.layers}
        np.testing.assert_allclose(shown["grey"].read(box)[valid], grey[valid], atol=1 / 65535)
        np.testing.assert_array_equal(shown["bright"].read_valid(box), valid)
        assert set(np.unique(np.rint(shown["kind"].read(box)[valid] * 255))) == {0, 1}
        assert [profile.name for profile in finished.profiles] == ["spots_per_mm2", "spots_diameter"]
    page = (run.out / "report.html").read_text()
    for words in ("Spots", "Kind of cell", "Bright pixels", "What was seen in row 1, column 1"):
        assert words in page, words


def test_objects_are_a_table_that_other_programs_read(run, everything):
    run()
    (path,) = (run.out / "objects").glob("*.csv")
    with path.open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert {"object", "y_px", "x_um", "area_um2", "class", "cut", "share"} <= set(lines[0])
    assert [line["object"] for line in lines] == [str(n + 1) for n in range(len(lines))]
    assert (run.out / "maps" / "spots_per_mm2.csv").exists()


def test_they_are_kept_when_up_to_date_made_again_when_lost_and_gone_with_their_analyzer(run, everything):
    run()
    assert run() == set()
    (run.out / "layers" / "0-grey-kind.h5").unlink()
    assert "analyze-0-grey" in run()
    run("analyze=[]", "relate=null")
    assert not list((run.out / "layers").iterdir()) and not list((run.out / "objects").iterdir())


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ({"bright": np.zeros((2, 2))}, "made a layer 'bright' of"),
        ({"other": None}, "declares the layer 'bright' and gives"),
        ("too many", "names a class beyond the 2 of 'kind'"),
    ],
)
def test_a_layer_of_another_kind_is_the_fault_of_the_analyzer(run, everything, monkeypatch, layers, says):
    original = Everything.process_with_layers

    def wrong(self, block, info):
        partial, right = original(self, block, info)
        return partial, {**right, "kind": right["kind"] + np.uint8(7)} if layers == "too many" else layers

    monkeypatch.setattr(Everything, "process_with_layers", wrong)
    with pytest.raises(PluginError, match=says):
        run()


def test_an_analyzer_that_declares_layers_and_writes_none_is_named(run, declare):
    declare("grey", AnalyzerAbilities(layers=SPECS))
    with pytest.raises(
        PluginError, match=r"'grey' of tiny 1\.0 declares the ability 'layers', and .* has no process_with_layers"
    ):
        run()


def test_objects_survive_their_file_to_the_bit_and_a_million_take_less_than_a_gigabyte(tmp_path):
    n, rng = 1_000_000, np.random.default_rng(0)
    tracemalloc.start()
    objects = Objects(
        "atoms",
        "Atoms",
        rng.uniform(0, 1e5, n),
        rng.uniform(0, 1e5, n),
        rng.uniform(1, 99, n),
        columns=(ObjectColumn("height_um", "Height", "um", rng.uniform(0, 1, n)),),
        outline_px=rng.uniform(0, 1e5, (16 * n, 2)).astype(np.float32),
        outline_start=np.arange(0, 16 * n + 1, 16),
    )
    write_objects(tmp_path / "a.h5", objects)
    again = read_objects(tmp_path / "a.h5")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e9
    np.testing.assert_array_equal(again.outline_px, objects.outline_px)
    np.testing.assert_array_equal(again.columns[0].values, objects.columns[0].values)
    assert replace(again.columns[0], values=None) == replace(objects.columns[0], values=None)


@pytest.fixture
def exported(run, everything, monkeypatch, capsys):
    """Run `cemi export` on a finished run; return what it printed."""
    from cemi_run.cli.main import run as cemi

    run()

    def export(*arguments):
        code = cemi(["export", str(run.out), *arguments])
        captured = capsys.readouterr()
        return code, captured.out.strip(), captured.err

    return export


def test_objects_go_to_other_programs_and_come_back_as_annotations(exported, run):
    from cemi_run.annotations import read_annotations

    for target in ("geojson", "coco"):
        code, path, _ = exported("--to", target)
        assert code == 0
        (annotation,) = read_annotations(path) if target == "coco" else read_annotations(path, images=None)
        with opened_run(RunFolder(run.out)) as finished:
            objects = finished.results[0].objects[0]
        assert len(annotation.shapes) == len(objects)
        middle = np.array([shape.outline_px.mean(axis=0) for shape in annotation.shapes])
        np.testing.assert_allclose(middle, np.column_stack([objects.y_px, objects.x_px]), atol=0.01)


def test_a_layer_becomes_a_label_image_with_names_and_colours(exported):
    zarr = pytest.importorskip("zarr")
    code, path, _ = exported("--to", "ome-zarr-labels", "--layer", "kind")
    assert code == 0
    group = zarr.open_group(path, mode="r")
    assert group["labels"].attrs["ome"]["labels"] == ["valid", "kind"]
    about = group["labels/kind"].attrs["ome"]["image-label"]
    assert [entry["class"] for entry in about["properties"]] == ["dull", "bright"]
    assert set(np.unique(group["labels/kind/0"][:])) == {0, 1, 2}
    code, _, error = exported("--to", "ome-zarr-labels", "--layer", "kind")
    assert code == 2 and "has a label image 'kind' already" in error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--to", "ome-zarr-labels"), "choose one with --layer: bright, grey, kind"),
        (("--to", "ome-zarr-labels", "--layer", "grey"), "is a probability, which has no labels"),
        (("--to", "geojson", "--objects", "grains"), "--objects grains: "),
        (("--to", "png", "--objects", "spots"), "the format 'png' takes the mosaic of a run"),
    ],
)
def test_a_wrong_export_is_one_sentence(exported, arguments, says):
    code, _, error = exported(*arguments)
    assert code == 2 and says in error
