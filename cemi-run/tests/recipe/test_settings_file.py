"""Claims about settings in a YAML file of their own: nested paths, what extends what, every error with its place."""

import pytest
from pydantic import Field

from cemi_core.errors import UsageError
from cemi_core.model.settings import InputPath, Settings
from cemi_run.recipe.check import RecipeError
from cemi_run.recipe.settings_file import read_settings_file


class Pictures(Settings):
    images: InputPath | list[InputPath] = Field(description="Pictures.")
    share: float = Field(1.0, gt=0, description="Share.")


class Job(Settings):
    steps: int = Field(ge=1, description="Steps.")
    pictures: Pictures | None = Field(None, description="Pictures.")


@pytest.fixture
def write(tmp_path):
    def write(text, name="job.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_a_path_in_a_nested_map_is_relative_to_the_file_that_names_it(write, tmp_path):
    write("steps: 5\npictures: {images: a/*.png}\n", "base/base.yaml")
    top = write("extends: base/base.yaml\nsteps: 7\npictures: {share: 0.5}\n")
    job = read_settings_file(top, Job)
    assert (job.steps, job.pictures.share) == (7, 0.5)
    assert job.pictures.images == str(tmp_path / "base/a/*.png")


def test_variables_come_from_the_environment_and_an_unset_one_is_named(write, monkeypatch):
    path = write("steps: 5\npictures:\n  images: ['${PICTURES}/x.png']\n")
    monkeypatch.setenv("PICTURES", "/somewhere")
    assert read_settings_file(path, Job).pictures.images == ["/somewhere/x.png"]
    monkeypatch.delenv("PICTURES")
    with pytest.raises(RecipeError, match=r"job.yaml:3:\d+: the environment variable PICTURES is not set"):
        read_settings_file(path, Job)


def test_every_mistake_is_told_with_its_place(write):
    path = write("steps: 0\npictures:\n  images: x\n  shares: 1\n")
    with pytest.raises(RecipeError) as told:
        read_settings_file(path, Job, ["pictures.share=-1"])
    text = str(told.value)
    assert "job.yaml:1:1: 'steps' should be greater than or equal to 1" in text
    assert "job.yaml:4:3: unknown key 'pictures.shares'; did you mean 'share'?" in text
    assert "--set pictures.share=-1: 'pictures.share' should be greater than 0" in text


def test_an_override_changes_a_nested_value_and_makes_the_maps_on_its_way(write):
    job = read_settings_file(write("steps: 5\n"), Job, ["pictures.images=/x.png", "steps=9"])
    assert (job.steps, job.pictures.images) == (9, "/x.png")
    with pytest.raises(UsageError, match="write it as key=value"):
        read_settings_file(write("steps: 5\n"), Job, ["steps"])


def test_a_file_that_is_no_map_says_what_it_should_hold(write):
    with pytest.raises(UsageError, match="should be a map of keys; it has steps, pictures"):
        read_settings_file(write("- 1\n"), Job)
