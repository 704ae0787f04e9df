"""``cemi doctor``: what is installed, what works, what is missing."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import click

from cemi_run.cli.options import json_option


@click.command("doctor", epilog="Example: cemi doctor --json")
@json_option
def doctor(as_json: bool) -> int:
    """Check the installation and the machine; exit code 1 if something is broken."""
    checks = [_python(), *_packages(), *_plugins(), _torch(), _h264(), _disk(), _memory()]
    failed = any(check["state"] == "broken" for check in checks)
    if as_json:
        click.echo(json.dumps({"ok": not failed, "checks": checks}, indent=2))
        return int(failed)
    colours = {"ok": "green", "broken": "red", "note": "yellow"}
    for check in checks:
        click.secho(f"{check['state']:<7}", fg=colours[check["state"]], nl=False)
        click.echo(f"{check['what']}: {check['answer']}")
    return int(failed)


def _check(what: str, answer: str, state: str = "ok") -> dict[str, str]:
    return {"what": what, "answer": answer, "state": state}


def _python() -> dict[str, str]:
    state = "ok" if sys.version_info >= (3, 11) else "broken"
    return _check("Python", f"{platform.python_version()} on {platform.platform()}", state)


def _packages() -> list[dict[str, str]]:
    """Check that every installed CEMI package finds the versions that it asks for."""
    from cemi_core.plugins.manager import registry

    checks = []
    names = {"cemi-core", *(p.package for p in registry().plugins), *(p.package for p in registry().problems)}
    for name in sorted(names):
        try:
            wrong = [text for requirement in requires(name) or [] if (text := _unmet(requirement))]
            checks.append(_check(name, "; ".join([version(name), *wrong]), "broken" if wrong else "ok"))
        except PackageNotFoundError:
            checks.append(_check(name, "is not installed as a package", "broken"))
    return checks


def _unmet(requirement: str) -> str:
    """Return what is wrong with one requirement, or an empty text."""
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
        return ""
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return f"needs {wanted}, which is not installed"
    return "" if wanted.specifier.contains(found, prereleases=True) else f"needs {wanted}, but {found} is installed"


def _plugins() -> list[dict[str, str]]:
    """Load the settings, the factory and the abilities of every plugin, which `cemi plugins` does not do."""
    from cemi_core.plugins.manager import registry
    from cemi_core.plugins.types import CommandPlugin

    found = registry()
    checks = [_check(f"plugin {p.package} ({p.entry_point})", p.reason, "broken") for p in found.problems]
    for stage, name, same in found.conflicts():
        checks.append(_check(f"{stage} '{name}'", f"offered by {', '.join(p.package for p in same)}", "broken"))
    for plugin in found.plugins:
        if isinstance(plugin.description, CommandPlugin):
            continue
        try:
            _load(plugin.description)
        except Exception as error:  # whatever a plugin does wrong is the answer here
            what = f"{plugin.stage} '{plugin.name}' of {plugin.package}"
            checks.append(_check(what, f"{type(error).__name__}: {error}", "broken"))
    counts: dict[str, int] = {}
    for plugin in found.plugins:
        counts[plugin.stage] = counts.get(plugin.stage, 0) + 1
    checks.append(_check("plugins", ", ".join(f"{count} {stage}" for stage, count in counts.items())))
    return checks


def _load(description: Any) -> None:
    """Import all that a description names, and ask for its abilities by default if it has settings by default."""
    from pydantic import ValidationError

    from cemi_core.plugins.types import AnalyzerPlugin, DenoiserPlugin, RelationPlugin, SourcePlugin, StitcherPlugin

    model = description.load_settings()
    description.load_factory()
    if isinstance(description, AnalyzerPlugin | DenoiserPlugin | RelationPlugin | SourcePlugin | StitcherPlugin):
        try:
            settings = model()
        except ValidationError:  # such as a source, which needs a path
            return
        description.abilities_of(settings)


def _torch() -> dict[str, str]:
    from importlib import import_module

    try:
        torch: Any = import_module("torch")
    except ImportError as error:
        return _check("torch", f"cannot be imported ({error}); the stitcher 'kornia' needs it", "note")
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no CUDA device; the CPU is used"
    return _check("torch", f"{torch.__version__}, {gpu}")


def _h264() -> dict[str, str]:
    import av

    found = "h264" in av.codecs_available
    return _check(
        "video", f"PyAV {av.__version__}, H.264 {'can' if found else 'cannot'} be read", "ok" if found else "broken"
    )


def _disk() -> dict[str, str]:
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    state = "ok" if free_gb > 5 else "note"
    return _check("disk", f"{free_gb:.0f} GB free here", state)


def _memory() -> dict[str, str]:
    cores = os.cpu_count() or 1
    try:
        total_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError, AttributeError):
        return _check("machine", f"{cores} cores")
    return _check("machine", f"{cores} cores, {total_gb:.0f} GB of memory", "ok" if total_gb > 3 else "note")
