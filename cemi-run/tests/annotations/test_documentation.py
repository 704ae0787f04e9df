"""The page on annotations names every format, and its configuration fits what is written."""

import json
import re
from pathlib import Path

from cemi_run.annotations import FORMATS, write_annotations

PAGE = Path(__file__).parents[3] / "docs" / "annotations.md"


def test_every_format_has_its_line():
    named = re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(named) == sorted(FORMATS)


def test_the_configuration_of_label_studio_has_the_names_that_are_written(specimen, tmp_path):
    write_annotations([specimen], tmp_path / "t.json", "label-studio")
    results = json.loads((tmp_path / "t.json").read_text())[0]["annotations"][0]["result"]
    names = set(re.findall(r'Labels name="([a-z]+)" toName="image"', PAGE.read_text()))
    assert {result["from_name"] for result in results} == names
    assert {result["to_name"] for result in results} == {"image"}
