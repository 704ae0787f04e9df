"""What the site adds while it is built: pages that stand elsewhere in the repository, and the help of every command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
#: Page of the site -> file of the repository.
PAGES = {"architecture.md": "ARCHITECTURE.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that no file in docs/ holds."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=_on_the_site((ROOT / source).read_text(encoding="utf-8"))))
    files.append(File.generated(config, "commands.md", content=commands()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Point links that leave docs/ to what the site has of it, and name the file where it has nothing."""
    return _on_the_site(markdown)


def _on_the_site(text: str) -> str:
    """Return the text of a page with links that work on the site."""
    for page, source in PAGES.items():
        text = re.sub(rf"\((?:\.\./)*{source}(#[^)]*)?\)", rf"({page}\g<1>)" if "#" in text else f"({page})", text)
    text = text.replace("](docs/", "](")
    # What else stands outside docs/ (a recipe, a package) is named, not linked.
    return re.sub(
        r"\[([^\]]+)\]\((?:\.\./)+(?!docs/)[^)]+\)|\[([^\]]+)\]\((?:news|recipes|LICENSE)[^)]*\)", r"\1\2", text
    )


def commands() -> str:
    """Return the page on the commands: what ``cemi NAME --help`` prints."""
    from cemi_run.cli.main import cli

    lines = ["# Commands", "", "What `cemi NAME --help` prints, for every command of the packages of this project."]
    for name, command, context in sorted(_leaves(cli, click.Context(cli, info_name="cemi")), key=lambda leaf: leaf[0]):
        lines += ["", f"## {name}", "", "```text", command.get_help(context), "```"]
    return "\n".join(lines) + "\n"


def _leaves(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield every command below a group, with its whole name."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        below = click.Context(command, parent=context, info_name=name, max_content_width=100)
        if isinstance(command, click.Group):
            yield from _leaves(command, below)
        else:
            yield below.command_path, command, below
