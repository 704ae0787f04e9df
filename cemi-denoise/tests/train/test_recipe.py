"""Claims about the recipe of a training: what it means, and one sentence with its place for every mistake."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import jsonschema
import pytest

from cemi_denoise.network.networks import build_network, parameter_count
from cemi_denoise.noise.degrade import SemDegradation, SyntheticDegradation
from cemi_denoise.train.recipe import (
    NetworkSettings,
    SemSettings,
    SyntheticSettings,
    TrainingRecipe,
)
from cemi_run.cli.main import run
from cemi_run.recipe.check import RecipeError
from cemi_run.recipe.settings_file import read_settings_file
from cemi_run.recipe.yaml_tree import parse_yaml, read_yaml

SHIPPED = sorted((Path(__file__).parents[2] / "training").glob("*.yaml"))


@pytest.fixture
def mistakes(tmp_path):
    """Return what is said of the text of a recipe."""

    def told(text):
        path = tmp_path / "r.yaml"
        path.write_text(text)
        with pytest.raises(RecipeError) as error:
            read_settings_file(path, TrainingRecipe)
        return str(error.value)

    return told


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_training_recipe_that_ships_is_valid_and_fits_the_schema(path, capsys):
    read_settings_file(path, TrainingRecipe)
    assert run(["schema", "train", "denoiser"]) == 0
    jsonschema.validate(read_yaml(path).data, json.loads(capsys.readouterr().out))


def test_a_command_that_reads_no_file_has_no_schema(capsys):
    assert run(["schema", "doctor"]) == 2
    assert "'cemi doctor' reads no file of settings" in capsys.readouterr().err


def test_the_training_recipes_of_the_user_guide_are_valid():
    guide = (Path(__file__).parents[3] / "docs/train.md").read_text()
    shown = [block for block in re.findall(r"```yaml\n(.*?)```", guide, re.S) if "training: 1" in block]
    assert shown
    for block in shown:
        TrainingRecipe.model_validate(parse_yaml(block, "train.md").data)


def test_noise_that_is_not_described_is_that_of_the_degradations():
    kinds = ((SemSettings, SemDegradation), (SyntheticSettings, SyntheticDegradation))
    for settings, degradation in kinds:
        given = settings().model_dump(exclude={"share", "noise_of"})
        standard = asdict(degradation())
        assert given == {name: standard[name] for name in given}


def test_sizes_of_the_networks_are_those_of_the_paper():
    assert 1.0e6 < parameter_count(build_network(NetworkSettings().architecture())) < 1.2e6
    large = NetworkSettings(size="large").architecture()
    assert (large["blocks"], large["features"], large["growth"]) == (23, 64, 32)  # 16.8 M parameters


def test_a_single_number_of_a_network_can_be_changed():
    assert NetworkSettings(blocks=2).architecture()["blocks"] == 2
    assert NetworkSettings(name="UNet", levels=2).architecture()["levels"] == 2


def test_mistakes_name_their_place_and_what_would_be_right(mistakes):
    head = "training: 1\n"
    assert "r.yaml:3:3: unknown key 'data.imagse'; did you mean 'images'?" in mistakes(
        f"{head}data:\n  imagse: y\n  images: x\n  sem: {{}}\n"
    )
    assert "'sem' puts noise on clean pictures: name them in 'images'" in mistakes(f"{head}data: {{sem: {{}}}}\n")
    assert "name at least one kind of data" in mistakes(f"{head}data: {{}}\n")
    assert "say which noise is put on 'images'" in mistakes(f"{head}data: {{images: x, pairs: {{ld: a, hd: b}}}}\n")
    both = "{images: x, sem: {noise_of: y, electrons: [5, 10]}}"
    assert "'noise_of' measures 'electrons'; give one of the two" in mistakes(f"{head}data: {both}\n")
    turned = "{images: x, sem: {electrons: [50, 10]}}"
    assert "the smaller value comes first: [10, 50]" in mistakes(f"{head}data: {turned}\n")


def test_noise_that_cannot_be_made_is_refused(mistakes):
    data = "training: 1\ndata: {images: x, "
    assert "must lie between 0.05 and 20, not 1e+06" in mistakes(data + "synthetic: {sizes: [[1, 1.0e6], [1, 1]]}}\n")
    assert "must lie between 0.05 and 20, not 0" in mistakes(data + "synthetic: {blur_px: [[0, 1], [1, 1]]}}\n")
    assert "must lie between 0.01 and 1e+09, not 0" in mistakes(data + "sem: {electrons: [0, 10]}}\n")
    assert "'seed' should be less than or equal to 1000000000" in mistakes(
        data + "sem: {}}\nseed: 99999999999999999999\n"
    )
    assert "'validation.metrics'" in mistakes(data + "sem: {}}\nvalidation: {images: y, sem: {}, metrics: []}\n")


def test_overlaps_that_are_measured_on_are_held_out_of_the_same_choice(mistakes):
    text = "training: 1\ndata: {overlaps: {run: x}}\nvalidation: {overlaps: {run: x, most: 20}}\n"
    assert "'most' must be the same in both" in mistakes(text)


def test_settings_of_another_network_are_refused(mistakes):
    text = "training: 1\nnetwork: {name: UNet, growth: 8}\ndata: {images: x, sem: {}}\n"
    assert "'growth' belongs to RRDBNet, and the network is UNet" in mistakes(text)


def test_patches_of_semgan_are_large_enough_for_vgg(mistakes):
    text = "training: 1\nstage: semgan\npatch_px: 16\ndata: {images: x, sem: {}}\n"
    assert "'patch_px' must be at least 32 for semgan" in mistakes(text)
