"""Claims about the documents: their Python runs, their recipes are valid, their links lead somewhere."""

import re
import runpy
from pathlib import Path

import jsonschema
import pytest

from cemi_core.plugins.manager import registry
from cemi_run.recipe.check import check_recipe
from cemi_run.recipe.json_schema import recipe_json_schema
from cemi_run.recipe.settings_table import settings_markdown
from cemi_run.recipe.yaml_tree import parse_yaml, read_yaml

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(path for path in ROOT.glob("docs/**/*.md") if path.parent.name != "gallery"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("plugins-contrib/*/README.md"),
    ]
)
#: What `make docs` makes; it looks at these links itself.
MADE = {"gallery/index.md"}
EXAMPLES = sorted(ROOT.glob("docs/gallery/examples/*.py"))
RECIPES = sorted(ROOT.glob("recipes/*.yaml"))


def _blocks(language):
    return [
        pytest.param(block, id=f"{path.relative_to(ROOT)}-{number}")
        for path in DOCUMENTS
        for number, block in enumerate(re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.S | re.M))
    ]


@pytest.mark.parametrize("code", _blocks("python"))
def test_python_in_a_document_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "document", "exec"), {"__name__": "document"})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_of_the_gallery_draws_its_figure(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    figure = runpy.run_path(str(path))["figure"]
    figure.savefig("figure.png")
    assert any(axes.has_data() for axes in figure.axes)


@pytest.mark.parametrize("text", _blocks("yaml"))
def test_yaml_in_a_document_is_valid(text):
    data = parse_yaml(text, "document").data
    if "recipe" in data:
        jsonschema.validate(data, recipe_json_schema(registry()))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_recipe_that_ships_is_checked_and_fits_the_schema(path, monkeypatch, tmp_path):
    monkeypatch.setenv("CEMI_DATA", str(tmp_path))
    check_recipe(path, registry())
    jsonschema.validate(read_yaml(path).data, recipe_json_schema(registry()))


def test_the_readme_shows_the_recipe_that_ships():
    shown = re.search(r"```yaml\n(recipe: 1.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
    assert parse_yaml(shown, "README").data == read_yaml(ROOT / "recipes/ehea.yaml").data


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(path):
    prose = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose):
        assert target in MADE or (path.parent / target).exists(), target


def test_the_reference_of_settings_is_what_the_plugins_say():
    assert (ROOT / "docs/settings.md").read_text() == settings_markdown(registry()), "run: make docs"
