"""Claims about the training of segmenters: it learns, and labels that cannot be learnt from end in one sentence."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from cemi_analyze.segment.weights import card_in
from cemi_analyze.train.calibration import fitted_temperature, share_errors
from cemi_analyze.train.job import make
from cemi_analyze.train.labels import opened_labels, opened_split
from cemi_analyze.train.losses import cross_entropy, dice_loss
from cemi_analyze.train.pseudo import sorted_pixels
from cemi_analyze.train.recipe import LabelSettings, SegmenterRecipe
from cemi_analyze.train.scribbles import grown_strokes
from cemi_analyze.train.task import SegmenterTask
from cemi_analyze.train.views import Views, line_filter, noisy
from cemi_core.errors import InputError, UsageError
from cemi_core.images.write_image import write_image
from cemi_core.model.stages import Runtime
from cemi_learn.testing.tasks import TaskTests
from cemi_run.cli.main import run


@pytest.fixture(scope="module")
def folder(samples, tmp_path_factory):
    return samples.written_discs(tmp_path_factory.mktemp("labels"))


class TestSegmenterTask(TaskTests):
    @pytest.fixture(autouse=True)
    def _folder(self, samples, folder):
        self.samples, self.folder = samples, folder

    def make(self):
        small = {"steps": 3, "batch": 2, "patch_px": 32, "views": {}}
        return SegmenterTask.opened(self.samples.recipe_for(self.folder, **small))


def test_a_minute_of_training_finds_the_discs_and_says_how_well(trained_segmenter):
    weights, told = trained_segmenter
    assert told["scores"]["iou_discs"] > 0.7
    card = card_in(weights)
    assert [label.name for label in card.classes] == ["other", "discs"]
    assert card.temperature > 0
    assert card.errors.rms
    assert card.ranges["noise"][0] <= card.ranges["noise"][1]
    assert weights.with_suffix(".md").is_file()
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} <= {"F16", "I64"}


def test_a_finished_training_can_be_the_start_of_another(samples, trained_segmenter, folder):
    weights, _ = trained_segmenter
    task = SegmenterTask.opened(samples.recipe_for(folder, network=None, start_from=str(weights)))
    assert task.examine(task.build().by_name["network"])["iou_discs"] > 0.7
    with pytest.raises(InputError, match="tells other, discs apart"):
        _ = SegmenterTask.opened(
            samples.recipe_for(folder, network=None, start_from=str(weights), classes=["other", "pores"])
        ).network_settings


def test_what_would_be_trained_is_told_before(samples, folder):
    told = make(samples.recipe_for(folder), Runtime()).plan()
    assert told["classes"] == ["other", "discs"]
    assert told["parameters"] > 1e6


def test_a_dry_run_writes_nothing(samples, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in folder.rglob("*"))
    recipe = samples.recipe_for(folder).model_dump(mode="json", exclude_unset=True)
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    assert run(["train", "segmenter", "r.yaml", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == recipe["steps"]
    assert [path.name for path in tmp_path.iterdir()] == ["r.yaml"]
    assert sorted(path.name for path in folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ("size", "size"),
        ("level", "stand for no class"),
        ("one", "only annotated specimen"),
        ("missing", "mask"),
    ],
)
def test_labels_that_cannot_be_learnt_from_are_told(samples, changed, told, tmp_path):
    data = samples.written_discs(tmp_path, 1 if changed == "one" else 3)
    image, mask = samples.discs(seed=1)
    if changed == "size":
        write_image(data / "masks" / "s1_a.png", mask[:-8])
    if changed == "level":
        write_image(
            data / "masks" / "s1_a.png", (7 * mask + np.arange(mask.size).reshape(mask.shape) % 2).astype(np.uint8)
        )
    if changed == "missing":
        write_image(data / "images" / "s9_a.png", image)
    with pytest.raises(InputError, match=told):
        opened_split(samples.recipe_for(data))


def test_a_class_that_is_only_measured_is_told(samples, tmp_path, folder):
    other = samples.written_discs(tmp_path, 2)
    for number in range(2):
        _, mask = samples.discs(seed=number)
        mask[:20, :20] = 2
        write_image(other / "masks" / f"s{number}_a.png", mask)
    validation = {"masks": [{"images": str(other / "images"), "masks": str(other / "masks"), "specimen": "^(s.)"}]}
    recipe = samples.recipe_for(folder, classes=["other", "discs", "pores"], validation=validation)
    with pytest.raises(InputError, match="pores"):
        opened_split(recipe)


@pytest.mark.parametrize(
    ("entry", "error", "told"),
    [
        ({"use": "voronoi", "classes": {"grains": "discs"}}, InputError, "has no mask 'grains'"),
        ({"use": "voronoi", "classes": {"all": "pores"}}, InputError, "'pores' is none of the classes"),
        ({"use": "voronoi", "settings": {"grain_um": -1}}, UsageError, "grain_um"),
        ({"use": "nothing"}, UsageError, "nothing"),
    ],
)
def test_specimens_that_do_not_fit_are_told(entry, error, told):
    data = LabelSettings(specimens=[{"fields": 1, "field_px": 64, **entry}])
    with pytest.raises(error, match=told):
        opened_labels(data, ["other", "discs"], 0)


def test_specimens_are_the_same_for_a_seed_and_others_for_another():
    entry = {"use": "ehea", "fields": 1, "field_px": 96, "classes": {"lamella": "discs"}}
    data = LabelSettings(specimens=[{**entry, "ranges": {"pixel_size": ["50 nm", "150 nm"]}}])
    one, same, other = (opened_labels(data, ["other", "discs"], seed).images[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.channels, same.channels)
    np.testing.assert_array_equal(one.mask, same.mask)
    assert not np.array_equal(one.channels, other.channels)


def test_views_keep_the_mask_in_place_and_the_grey_levels_in_range(samples):
    image, mask = samples.discs((96, 96))
    rng = np.random.default_rng(0)
    unit, of = image.astype(np.float32) / 255, mask.astype(np.int64)
    for _ in range(40):
        shown, same = Views(flat=0.0, inverted=0.0, scratches=0.0, curtains=0.0)(unit, of, rng)
        assert shown.dtype == np.float32
        assert 0 <= shown.min() <= shown.max() <= 1
        np.testing.assert_array_equal(same, of)
        assert shown[of == 1].mean() < shown[of == 0].mean()
    _, none = Views(flat=1.0)(unit, of, rng)
    assert not none.any()


def test_noise_has_the_variance_of_its_dose_and_the_correlation_of_the_line():
    flat = np.full((400, 400), 0.5, np.float32)
    noise = noisy(flat, 60.0, 1.0, np.random.default_rng(0)) - flat
    assert noise.std() == pytest.approx(np.sqrt(0.5 / 60 + 0.012**2), rel=0.02)
    along = float((noise[:, 1:] * noise[:, :-1]).mean() / noise.var())
    across = float((noise[1:] * noise[:-1]).mean() / noise.var())
    assert along == pytest.approx(0.41, abs=0.04)
    assert abs(across) < 0.02
    assert float((line_filter(0.5) ** 2).sum()) == pytest.approx(1, rel=1e-5)


def test_losses_see_only_what_is_labelled():
    classes = torch.tensor([[[0, 1], [1, -1]]])
    right, wrong = (torch.tensor([[[[-sign, sign], [sign, other]]]]) for sign, other in ((9.0, -9.0), (-9.0, 9.0)))
    for loss in (cross_entropy, dice_loss):
        assert float(loss(right, classes)) < 0.01 + 0.2 * (loss is dice_loss)
        assert float(loss(wrong, classes)) > 0.5
    changed = right.clone()
    changed[..., 1, 1] = 9.0
    assert float(cross_entropy(right, classes)) == float(cross_entropy(changed, classes))
    assert float(cross_entropy(right, torch.full_like(classes, -1))) == 0.0


def test_a_network_that_is_too_sure_is_cooled():
    rng = np.random.default_rng(0)
    probability = rng.uniform(0.05, 0.95, (200, 200))
    mask = (rng.random((200, 200)) < probability).astype(np.int64)
    logits = torch.from_numpy(3 * np.log(probability / (1 - probability)))[None].float()
    assert fitted_temperature([logits], [mask]) == pytest.approx(3, rel=0.1)


def test_shares_are_counted_the_way_that_is_nearer_to_the_truth():
    rng = np.random.default_rng(0)
    fields = [rng.uniform(0.0, 0.5, (64, 64)) for _ in range(6)]
    masks = [(rng.random((64, 64)) < field).astype(np.int64) for field in fields]
    probabilities = [np.stack([1 - field, field]).astype(np.float32) for field in fields]
    told = share_errors(probabilities, masks, np.full(6, 0.1))
    assert told["by"] == "probability"
    assert max(max(row) for row in told["rms"]) < 0.02


@pytest.mark.parametrize("method", ["kmeans", "superpixels"])
def test_sorted_pixels_are_the_discs(samples, method):
    image, mask = samples.discs()
    (found,) = sorted_pixels([image.astype(np.float32) / 255], 2, method)
    assert (found == (1 - mask)).mean() > 0.9  # dark is the first class


def test_an_image_of_one_grey_level_cannot_be_sorted():
    with pytest.raises(InputError, match="fewer than 2 grey levels"):
        sorted_pixels([np.full((40, 40), 0.5, np.float32)], 2, "kmeans")


def test_a_few_strokes_fill_in_the_discs(samples):
    image, mask = samples.discs()
    strokes = np.full(mask.shape, -1, np.int32)
    strokes[::12, ::3] = mask[::12, ::3]
    (grown,) = grown_strokes([image[None].astype(np.float32) / 255], [strokes])
    said = grown >= 0
    assert said.mean() > 0.6
    assert (grown == mask)[said].mean() > 0.97
    with pytest.raises(InputError, match="all of one class"):
        grown_strokes([image[None].astype(np.float32) / 255], [np.where(strokes == 1, -1, strokes)])
    with pytest.raises(InputError, match="export it at the size"):
        grown_strokes([image[None].astype(np.float32) / 255], [strokes[:-4]])


def test_pseudo_labels_and_strokes_in_a_recipe_become_labels(samples, tmp_path, folder):
    strokes = tmp_path / "strokes"
    strokes.mkdir()
    for number in range(5):
        _, mask = samples.discs(seed=number)
        drawn = np.full(mask.shape, 255, np.uint8)
        drawn[::12, ::3] = mask[::12, ::3]
        write_image(strokes / f"s{number}_a.png", drawn)
    images = str(folder / "images")
    data = LabelSettings(
        scribbles=[{"images": images, "masks": str(strokes)}], pseudo=[{"images": images, "method": "kmeans"}]
    )
    found = opened_labels(data, ["other", "discs"], 0)
    assert len(found.images) == 10
    assert all(set(np.unique(image.mask)) <= {-1, 0, 1} for image in found.images)


def test_a_recipe_without_labels_or_with_a_class_twice_is_refused(samples, folder):
    with pytest.raises(ValueError, match="at least one kind of labels"):
        SegmenterRecipe(training=1, classes=["a", "b"], data={})
    with pytest.raises(ValueError, match="name of its own"):
        samples.recipe_for(folder, classes=["a", "a"])


@pytest.mark.parametrize("name", ["lamellae-1", "lamellae", "paper"])
def test_the_recipes_beside_the_package_are_recipes(name):
    path = Path(__file__).parent.parent / "training" / f"{name}.yaml"
    recipe = SegmenterRecipe(**yaml.safe_load(path.read_text(encoding="utf-8")))
    assert recipe.classes == ["other", "lamellae"]
    if name == "paper":
        assert (recipe.network.encoder, recipe.loss, recipe.learning_rate) == ("smp:se_resnext50_32x4d", "dice", 1e-4)


def test_the_network_of_the_paper_can_be_built_without_weights(samples, folder):
    network = {"encoder": "smp:se_resnext50_32x4d", "pretrained": False}
    task = SegmenterTask.opened(samples.recipe_for(folder, network=network))
    made = task.build().by_name["network"].eval()
    with torch.inference_mode():
        assert made(torch.zeros(1, 1, 40, 50)).shape == (1, 1, 40, 50)
