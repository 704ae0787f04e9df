"""Brings every package in line with the root's pyproject.toml: version, licence, classifiers, urls.

``python release/align.py`` writes what differs; ``--check`` only names it (a test runs that); ``--version 0.3.0`` sets
a new version first.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_VERSION = re.compile(r'^__version__ = "[^"]*"$', re.M)
_OWN_REQUIREMENT = re.compile(r'"(cemi(?:-[a-z0-9]+)*(?:\[[a-z0-9,-]+\])?)(?:[<>=~!][^"]*)"')
_CLASSIFIERS = re.compile(r"^classifiers = \[\n(?:  .*\n)*\]\n", re.M)
_URLS = re.compile(r"^\[project\.urls\]\n(?:.+\n)*\n?", re.M)


def packages() -> list[Path]:
    """Return the folder of every package but the meta-package."""
    return sorted(
        path.parent for path in [*ROOT.glob("cemi-*/pyproject.toml"), *ROOT.glob("plugins-contrib/*/pyproject.toml")]
    )


def module_of(package: Path) -> Path:
    """Return the folder of the module that a package installs."""
    (folder,) = [path.parent for path in package.glob("src/*/__init__.py")]
    return folder


def wanted_files(root: dict[str, Any]) -> dict[Path, str]:
    """Return what each file should hold so that all packages agree with the root."""
    version, classifiers = root["project"]["version"], root["project"]["classifiers"]
    urls = root["project"].get("urls", {})  # none until the project has a public home
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    wanted = {ROOT / "pyproject.toml": with_own_requirements((ROOT / "pyproject.toml").read_text("utf-8"), version)}
    for package in packages():
        module = module_of(package)
        init = module / "__init__.py"
        wanted[package / "LICENSE"] = licence
        wanted[module / "py.typed"] = ""
        wanted[init] = _VERSION.sub(f'__version__ = "{version}"', init.read_text(encoding="utf-8"))
        text = (package / "pyproject.toml").read_text(encoding="utf-8")
        text = with_own_requirements(text, version)
        wanted[package / "pyproject.toml"] = with_urls(with_classifiers(text, classifiers), urls)
    citation = ROOT / "CITATION.cff"
    text = citation.read_text(encoding="utf-8")
    wanted[citation] = re.sub(r"^version: .*$", f"version: {version}", text, flags=re.M)
    return wanted


def with_own_requirements(text: str, version: str) -> str:
    """Return a pyproject.toml whose requirements of CEMI's packages name this version or a later one of its series."""
    return _OWN_REQUIREMENT.sub(rf'"\g<1>~={version}"', text)


def with_classifiers(text: str, classifiers: list[str]) -> str:
    """Return a pyproject.toml with these classifiers after its authors."""
    block = "classifiers = [\n" + "".join(f'  "{name}",\n' for name in classifiers) + "]\n"
    text = _CLASSIFIERS.sub("", text)
    return re.sub(r"^(authors = .*\n)", lambda found: found[1] + block, text, count=1, flags=re.M)


def with_urls(text: str, urls: dict[str, str]) -> str:
    """Return a pyproject.toml with these urls, if there are any, before its settings of hatch."""
    lines = "".join(f'{name} = "{url}"\n' for name, url in urls.items())
    block = f"[project.urls]\n{lines}\n" if lines else ""
    text = re.sub(r"\n{3,}", "\n\n", _URLS.sub("", text))
    return re.sub(r"^\[tool\.hatch", lambda found: block + found[0], text, count=1, flags=re.M)


def main() -> int:
    """Write or name the files that differ; exit code 1 if ``--check`` finds any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only name what differs")
    parser.add_argument("--version", help="set this version everywhere")
    options = parser.parse_args()
    pyproject = ROOT / "pyproject.toml"
    if options.version:
        text = re.sub(r'^version = ".*"$', f'version = "{options.version}"', pyproject.read_text("utf-8"), flags=re.M)
        pyproject.write_text(text, encoding="utf-8")
    root = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    differing = [
        (path, text)
        for path, text in wanted_files(root).items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path, text in differing:
        print(path.relative_to(ROOT))
        if not options.check:
            path.write_text(text, encoding="utf-8")
    return int(options.check and bool(differing))


if __name__ == "__main__":
    sys.exit(main())
