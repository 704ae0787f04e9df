"""``cemi new-plugin``: an installable package with its test, from a template."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from pathlib import Path

import click

STAGES = ("source", "denoiser", "stitcher", "analyzer", "relation", "exporter")


@click.command("new-plugin", epilog="Example: cemi new-plugin denoiser box-filter && pip install -e cemi-box-filter")
@click.argument("stage", type=click.Choice(STAGES))
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), help="Folder to make the package in.")
def new_plugin(stage: str, name: str, out: Path) -> None:
    """Start a package cemi-NAME with a working plugin NAME of this STAGE, its settings and its test."""
    from cemi_core.errors import UsageError
    from cemi_run import __version__

    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(name.replace("-", "_")):
        raise UsageError(
            f"'{name}' cannot be a plugin's name: use lower-case words joined by dashes, such as box-filter"
        )
    folder = out / f"cemi-{name}"
    if folder.exists():
        raise UsageError(f"{folder} exists already; choose another name or folder")
    class_name = "".join(part.capitalize() for part in name.split("-"))
    words = {"NAME": name, "MODULE": f"cemi_{name.replace('-', '_')}", "CLASS": class_name, "VERSION": __version__}
    module = folder / "src" / words["MODULE"]
    targets = {
        "pyproject.toml": folder / "pyproject.toml",
        f"{stage}_plugin.py": module / "plugin.py",
        f"{stage}.py": module / f"{stage}.py",
        f"{stage}_test.py": folder / "tests" / f"test_{words['MODULE']}.py",
    }
    templates = files("cemi_run.cli") / "templates"
    for template, target in targets.items():
        text = (templates / f"{template}.txt").read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    init = f'"""The CEMI plugin {name}."""\n\n__version__ = "0.1.0"\n'
    (module / "__init__.py").write_text(init, encoding="utf-8")
    click.echo(f"{folder}: now run\n  pip install -e {folder}\n  pytest {folder}\n  cemi plugins")
