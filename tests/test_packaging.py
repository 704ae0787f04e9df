"""Claims about the packages as they are released; what wheels hold and need is asked by ``make wheels``."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = sorted(
    path.parent for path in [*ROOT.glob("cemi-*/pyproject.toml"), *ROOT.glob("plugins-contrib/*/pyproject.toml")]
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_version_licence_classifiers_and_urls_of_all_packages_are_those_of_the_root():
    done = subprocess.run([sys.executable, ROOT / "release" / "align.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, f"run python release/align.py; these differ:\n{done.stdout}{done.stderr}"


def test_no_package_names_an_address_that_cannot_exist():
    for path in (ROOT / "pyproject.toml", *(package / "pyproject.toml" for package in PACKAGES)):
        urls = tomllib.loads(path.read_text())["project"].get("urls", {})
        reserved = [url for url in urls.values() if re.search(r"\.(example|invalid|test|localhost)\b|example\.", url)]
        assert not reserved, path


def test_the_program_tells_the_version_of_the_root(cemi):
    assert cemi("--version").out.split()[-1] == PROJECT["project"]["version"]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_every_package_has_a_readme_and_tests_and_its_imports_are_watched(package):
    (module,) = [path.parent.name for path in package.glob("src/*/__init__.py")]
    assert (package / "README.md").is_file()
    assert list(package.glob("tests/**/test_*.py"))
    assert module in PROJECT["tool"]["importlinter"]["root_packages"]


def test_the_meta_package_names_only_packages_that_are_here_and_leaves_none_out():
    extras = PROJECT["project"]["optional-dependencies"]
    texts = [*PROJECT["project"]["dependencies"], *extras["all"], *extras["dev"]]
    named = {re.match(r"[a-z0-9-]+", text)[0] for text in texts if text.startswith("cemi-")}
    assert named == {package.name for package in PACKAGES}


def test_every_piece_of_news_is_of_a_kind_that_the_changelog_knows():
    kinds = {kind["directory"] for kind in PROJECT["tool"]["towncrier"]["type"]}
    for path in (ROOT / "news").glob("*.md"):
        assert path.suffixes[-2].lstrip(".") in kinds, path.name
        assert path.read_text().strip(), path.name
