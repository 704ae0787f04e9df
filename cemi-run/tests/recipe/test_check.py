"""Claims about checking recipes: every error at once, each with its place and what would be right."""

import json
from typing import Annotated, Literal

import jsonschema
import pytest
import yaml
from pydantic import Field

from cemi_core.errors import UsageError
from cemi_core.model.settings import InputPath, PositiveLengthUm, Settings
from cemi_core.plugins import AnalyzerPlugin, DenoiserPlugin, RelationPlugin, SourcePlugin, StitcherPlugin
from cemi_core.plugins.manager import Plugins, Registered
from cemi_run.recipe.check import RecipeError, check_recipe, choose
from cemi_run.recipe.json_schema import recipe_json_schema


class FilesSettings(Settings):
    path: InputPath | list[InputPath] = Field(description="Files.")
    pixel_size: PositiveLengthUm | None = Field(None, description="Edge of a pixel.")


class NlmSettings(Settings):
    strength: float = Field(0.8, gt=0, description="Strength.")
    noise: Literal["auto"] | Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field("auto", description="Noise.")


class MatchSettings(Settings):
    matcher: Literal["zncc", "phase"] = Field("zncc", description="Matcher.")


REGISTRY = Plugins(
    [
        Registered(plugin, "test-package", "1.0")
        for plugin in (
            SourcePlugin("files", "Files.", factory="x:y", settings=FilesSettings),
            DenoiserPlugin("nlm", "Non-local means.", factory="x:y", settings=NlmSettings),
            StitcherPlugin("kornia", "Correlation.", factory="x:y", settings=MatchSettings),
            AnalyzerPlugin("width", "Width.", factory="x:y"),
            RelationPlugin("pearson", "r.", factory="x:y"),
        )
    ]
)

GOOD = """\
recipe: 1
source: {use: files, with: {path: frames/*.tif, pixel_size: 222 nm}}
denoise:
  - use: nlm
    with:
      strength: 1e-1
stitch: {use: kornia, with: {matcher: zncc}}
analyze: [{use: width}]
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="r.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def _errors(path, overrides=()):
    with pytest.raises(RecipeError) as caught:
        check_recipe(path, REGISTRY, overrides)
    return str(caught.value).splitlines()


def test_a_good_recipe_becomes_plugins_with_checked_settings(write, tmp_path):
    recipe = check_recipe(write(GOOD), REGISTRY)
    assert recipe.source.settings.path == str(tmp_path / "frames/*.tif")
    assert recipe.source.settings.pixel_size == pytest.approx(0.222)
    assert recipe.denoisers[0].settings.strength == 0.1
    assert recipe.stitcher.settings.matcher == "zncc"
    assert recipe.relation is None


def test_a_resolved_recipe_runs_from_anywhere(write, tmp_path):
    first = check_recipe(write(GOOD), REGISTRY)
    again = check_recipe(write(first.to_yaml(), "elsewhere/resolved.yaml"), REGISTRY)
    assert again.source.settings == first.source.settings
    assert again.denoisers[0].settings == first.denoisers[0].settings


def test_all_errors_are_reported_at_once_each_with_line_and_column(write):
    bad = """\
recipe: 1
source: {use: files, with: {path: a.tif, pixel_size: 222}}
denoise:
  - use: nml
  - use: nlm
    with: {strngth: 1}
  - {use: nlm, with: {strength: -1}}
stitch: {use: kornia, with: {matcher: zncc2}}
grid: {rows: 3}
analyse: []
"""
    errors = _errors(write(bad))
    text = "\n".join(errors)
    assert "r.yaml:2:42: 'pixel_size': a length needs a unit" in text
    assert "r.yaml:4:5: unknown denoiser 'nml'; did you mean 'nlm'? installed: nlm" in text
    assert "r.yaml:6:12: unknown key 'strngth'; did you mean 'strength'?" in text
    assert "r.yaml:7:23: 'strength' should be greater than 0, not -1" in text
    assert "r.yaml:8:30: 'matcher' should be 'zncc' or 'phase', not 'zncc2'" in text
    assert "r.yaml:10:1: unknown key 'analyse'; did you mean 'analyze'?" in text
    assert len(errors) >= 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("recipe: 2\nsource: {use: files, with: {path: a}}", "'recipe' should be 1, not 2"),
        ("recipe: 1", "'source' is missing"),
        ("recipe: 1\nsource: files", "source"),
        ("recipe: 1\nsource: {use: files, with: {path: a}}\ngrid: {rows: 2, columns: 2, cell: 5 um}", "not both"),
        ("recipe: 1\nsource: {use: files, with: {}}", "'path' is missing"),
        ("recipe: 1\nsource: {use: files, with: {path: 7}}", "path"),
        ("recipe: 1\nsource: {use: files, with: {path: a}}\nrelate: {property: t.csv}", "'relate': 'value' is missing"),
        ("recipe: 1\nsource: {use: files, with: {path: a}}\ngrid: {rows: 0, columns: 2}", "greater than or equal to 1"),
    ],
)
def test_each_mistake_is_said_in_words(write, text, said):
    assert any(said in line for line in _errors(write(text)))


def test_a_list_is_no_recipe(write):
    with pytest.raises(UsageError, match="a recipe is a map"):
        check_recipe(write("- a\n- b"), REGISTRY)


def test_variables_come_from_the_environment_and_an_unset_one_is_an_error(write, monkeypatch, tmp_path):
    path = write(GOOD.replace("frames/*.tif", "'${CEMI_TEST_DIR}/*.tif'"))
    monkeypatch.setenv("CEMI_TEST_DIR", str(tmp_path / "data"))
    assert check_recipe(path, REGISTRY).source.settings.path == str(tmp_path / "data" / "*.tif")
    monkeypatch.delenv("CEMI_TEST_DIR")
    assert "the environment variable CEMI_TEST_DIR is not set" in _errors(path)[0]


def test_extends_merges_maps_replaces_lists_and_keeps_each_files_own_folder(write, tmp_path):
    write(GOOD, "base/base.yaml")
    top = write("extends: base/base.yaml\nsource: {with: {pixel_size: 100 nm}}\ndenoise: []\n", "top.yaml")
    recipe = check_recipe(top, REGISTRY)
    assert recipe.source.settings.path == str(tmp_path / "base" / "frames/*.tif")
    assert recipe.source.settings.pixel_size == pytest.approx(0.1)
    assert recipe.denoisers == ()


def test_another_plugin_does_not_inherit_the_settings_of_the_one_it_replaces(write):
    write(GOOD, "base.yaml")
    top = write("extends: base.yaml\nsource: {use: fils, with: {path: b}}\n", "top.yaml")
    assert _errors(top) == [f"{top}:2:10: unknown source 'fils'; did you mean 'files'? installed: files"]


def test_a_circle_of_extends_is_an_error(write):
    write("extends: b.yaml", "a.yaml")
    with pytest.raises(UsageError, match=r"circle: a\.yaml -> b\.yaml -> a\.yaml"):
        check_recipe(write("extends: a.yaml", "b.yaml").with_name("a.yaml"), REGISTRY)


@pytest.mark.parametrize(
    ("override", "attribute", "value"),
    [
        ("stitch.matcher=phase", lambda r: r.stitcher.settings.matcher, "phase"),
        ("stitch.with.matcher=phase", lambda r: r.stitcher.settings.matcher, "phase"),
        ("denoise.0.strength=2", lambda r: r.denoisers[0].settings.strength, 2.0),
        ("denoise.nlm.with.strength=2", lambda r: r.denoisers[0].settings.strength, 2.0),
        ("source.pixel_size=1 um", lambda r: r.source.settings.pixel_size, 1.0),
        ("report.title=On and off", lambda r: r.title, "On and off"),
        ("denoise=[]", lambda r: r.denoisers, ()),
    ],
)
def test_an_override_changes_one_place(write, override, attribute, value):
    assert attribute(check_recipe(write(GOOD), REGISTRY, [override])) == value


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("stitsh.matcher=phase", "a recipe has no 'stitsh'"),
        ("stitch.macher=phase", "unknown key 'macher'; did you mean 'matcher'"),
        ("denoise.7.strength=2", "has no entry '7'"),
        ("grid.cels=2", "use one of grid.cell"),
        ("nothing", "write it as key=value"),
        ("stitch.matcher=[1", "not valid YAML"),
        ("stitch..matcher=phase", "a name is missing between the dots"),
        ("denoise.².strength=2", "has no entry"),
        ("stitch=null", "should be a map of keys, not empty"),
        ("denoise=null", "write .. for an empty one"),
        ("source.path=", "a path is empty"),
        ("grid.rows=" + "9" * 5000, "a number of 5000 digits is too long"),
    ],
)
def test_an_override_of_an_unknown_place_is_an_error(write, override, said):
    with pytest.raises(UsageError, match=said.replace("[", r"\[")):
        check_recipe(write(GOOD), REGISTRY, [override])


def test_settings_from_the_command_line_are_checked_the_same_way():
    with pytest.raises(UsageError, match="'strength' should be greater than 0"):
        choose("denoise", "nlm", {"strength": -1}, REGISTRY, "--set")


def test_a_number_among_other_choices_is_named_by_its_key_alone():
    with pytest.raises(UsageError, match="'noise' should be greater than 0") as caught:
        choose("denoise", "nlm", {"noise": -1}, REGISTRY, "--set")
    assert "'noise' should be 'auto'" in str(caught.value)


def test_the_json_schema_accepts_what_the_check_accepts_and_refuses_what_it_refuses():
    schema = recipe_json_schema(REGISTRY)
    json.dumps(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good = yaml.safe_load(GOOD)
    good["denoise"][0]["with"]["strength"] = 0.1  # PyYAML reads 1e-1 as text, YAML 1.2 as a number
    assert not list(validator.iter_errors(good))
    for change in (
        {"stitch": {"use": "hugin"}},
        {"stitch": {"use": "kornia", "with": {"matcher": "sift"}}},
        {"source": {"use": "files", "with": {"path": "a", "pixel_size": "222"}}},
        {"colour": "red"},
    ):
        assert list(validator.iter_errors({**good, **change}))


def test_a_base_that_is_no_map_is_an_error(write, tmp_path):
    (tmp_path / "base.yaml").write_text("just words")
    with pytest.raises(UsageError, match=r"base\.yaml:1:1: a recipe is a map"):
        check_recipe(write(GOOD + "extends: base.yaml\n"), REGISTRY)


def test_a_long_value_is_cut_in_the_message(write):
    with pytest.raises(UsageError) as caught:
        check_recipe(write(GOOD), REGISTRY, ["grid.rows=" + "x" * 10_000])
    assert len(str(caught.value)) < 11_000  # the option itself is shown in full, the value not again
    assert str(caught.value).endswith("...")
