"""Builds every package as it is released, and asks each wheel, alone, whether it works.

``python release/wheels.py`` (``make wheels``) builds sdists, builds wheels *from the sdists*, and then checks

- the contents: every file that git knows under ``src`` (templates and shipped weights too) and none of the tests;
  licence, ``py.typed``, classifiers, urls, the one version;
- each wheel alone: an environment that holds this wheel, CEMI's own packages that it requires, and exactly the
  third-party packages that all of them declare, without their extras. In it every module is imported and every plugin's
  settings and factory are loaded. What is missing there is missing for a user.

Nothing is downloaded: third-party packages are linked from the environment that runs this script.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from email.parser import Parser
from importlib.metadata import Distribution, distribution
from pathlib import Path

from align import ROOT, module_of, packages
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def main() -> int:
    """Build and check; exit code 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    folders = [ROOT, *packages()]
    with ThreadPoolExecutor(options.jobs) as executor:
        wheels = list(executor.map(lambda folder: build(folder, options.out), folders))
        wrong = [
            f"{wheel.name}: {text}"
            for folder, wheel in zip(folders, wheels)
            for text in content_mistakes(folder, wheel)
        ]
        own = {requirement_name(wheel): wheel for wheel in wheels}
        for wheel, mistakes in zip(wheels, executor.map(lambda wheel: mistakes_alone(wheel, own), wheels)):
            wrong += [f"{wheel.name} alone: {text}" for text in mistakes]
            print(f"{'wrong' if mistakes else 'works'}  {wheel.name}  {wheel.stat().st_size / 1000:.0f} kB", flush=True)
    print("\n".join(wrong), file=sys.stderr)
    return int(bool(wrong))


def build(folder: Path, out: Path) -> Path:
    """Return the wheel of a package, built from its sdist; both lie in ``out``."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]
    with tempfile.TemporaryDirectory() as temporary:
        done = subprocess.run([*command, temporary, str(folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{folder} does not build:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        for path in Path(temporary).iterdir():
            shutil.move(path, out / path.name)
            if path.suffix == ".whl":
                wheel = out / path.name
    return wheel


def metadata_of(wheel: Path) -> dict[str, list[str]]:
    """Return the fields of a wheel's METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        message = Parser().parsestr(archive.read(name).decode())
    return {key: message.get_all(key) for key in set(message.keys())}


def requirement_name(wheel: Path) -> str:
    """Return the normalized name of the package in a wheel."""
    return canonicalize_name(metadata_of(wheel)["Name"][0])


def content_mistakes(folder: Path, wheel: Path) -> list[str]:
    """Return what is wrong with the contents and the metadata of a wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = metadata_of(wheel)
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("dist-info/licenses/LICENSE")]
    wanted = set()
    if folder != ROOT:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src"],
            cwd=folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        wanted = {name.removeprefix("src/") for name in listed.stdout.splitlines() if (folder / name).exists()}
    urls = {f"{name}, {url}" for name, url in project.get("urls", {}).items()}
    checks = {
        f"version {found['Version']}": found["Version"] == [project["version"]],
        f"licence {found.get('License-Expression')}": found.get("License-Expression") == [project["license"]],
        "no LICENSE": len(licences) == 1,
        "no py.typed": folder == ROOT or f"{module_of(folder).name}/py.typed" in names,
        "classifiers differ": sorted(found.get("Classifier", [])) == sorted(project["classifiers"]),
        "urls differ": set(found.get("Project-URL", [])) == urls,
        "no readme": bool(found.get("Description-Content-Type")),
        f"lacks {sorted(wanted - names)}": wanted <= names,
        f"holds {sorted(names - wanted)}": names <= wanted,
    }
    return [text for text, right in checks.items() if not right]


def closure(name: str, own: dict[str, Path]) -> tuple[set[str], set[str]]:
    """Return the names that a package pulls in by what it and its requirements declare: CEMI's own, and third-party."""
    seen: set[tuple[str, str]] = set()
    todo = [(name, "")]
    while todo:
        current, extra = todo.pop()
        if (current, extra) in seen:
            continue
        seen.add((current, extra))
        if current in own:
            declared = metadata_of(own[current]).get("Requires-Dist", [])
        else:
            declared = distribution(current).requires or []
        for requirement in map(Requirement, declared):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needed = canonicalize_name(requirement.name)
                todo += [(needed, ""), *((needed, wanted) for wanted in requirement.extras)]
    names = {current for current, _ in seen}
    return names & set(own), names - set(own)


def link_distribution(found: Distribution, site: Path) -> None:
    """Show the files of an installed third-party package in another folder of modules."""
    tops = {path.parts[0] for path in found.files or [] if path.parts[0] not in ("..", "__pycache__")}
    for top in tops:
        _link(Path(str(found.locate_file(top))), site / top)


def _link(source: Path, target: Path) -> None:
    """Link a file or a package; of a folder that several packages share, link what is in it."""
    shared = source.is_dir() and source.suffix == "" and not any(source.glob("__init__.*"))
    if shared and not source.name.endswith(".libs"):
        target.mkdir(exist_ok=True)
        for child in source.iterdir():
            _link(child, target / child.name)
    elif source.exists() and not target.exists():
        target.symlink_to(source.resolve())


_LOOK = """
import importlib, json, pkgutil, sys, warnings
sys.path.append(sys.argv[1])
warnings.simplefilter("ignore")
names, optional, wrong = json.loads(sys.argv[2]), set(json.loads(sys.argv[3])), []
for package in names:
    found = importlib.import_module(package)
    for module in pkgutil.walk_packages(found.__path__, package + "."):
        if module.name.endswith(".__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in optional:
                wrong.append(f"{module.name}: {error}")
        except Exception as error:
            wrong.append(f"{module.name}: {type(error).__name__}: {error}")
from cemi_core.plugins.manager import registry
wrong += [f"{problem.package}: {problem.reason}" for problem in registry().problems]
for plugin in registry().plugins:
    try:
        for name in ("load_settings", "load_factory"):
            getattr(plugin.description, name, lambda: None)()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in optional:
            wrong.append(f"{plugin.stage} {plugin.name}: {error}")
if "cemi_run" in names:
    from cemi_run.cli.main import run
    if run(["plugins"]):
        wrong.append("cemi plugins does not work")
print(json.dumps(wrong))
"""
#: How packages are imported whose modules are called otherwise.
IMPORT_NAMES = {"pillow": "PIL"}


def optional_modules(wheel: Path) -> list[str]:
    """Return the modules of third-party packages that a wheel names in its extras."""
    extras = [Requirement(text) for text in metadata_of(wheel).get("Requires-Dist", []) if "extra ==" in text]
    names = {canonicalize_name(requirement.name) for requirement in extras}
    return sorted({IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names})


def mistakes_alone(wheel: Path, own: dict[str, Path]) -> list[str]:
    """Return what does not work where only this wheel and what it declares are installed."""
    name = requirement_name(wheel)
    needed, others = closure(name, own)
    with tempfile.TemporaryDirectory() as temporary:
        site = Path(temporary)
        for other in needed:
            with zipfile.ZipFile(own[other]) as archive:
                archive.extractall(site)
        for other in others:
            link_distribution(distribution(other), site)
        modules = sorted({path.name for path in site.glob("cemi_*") if (path / "__init__.py").is_file()})
        optional = sorted({module for other in needed for module in optional_modules(own[other])})
        words = [str(site), json.dumps(modules), json.dumps(optional)]
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _LOOK, *words], capture_output=True, text=True, check=False
        )
    if done.returncode:
        return [done.stderr[-800:]]
    mistakes: list[str] = json.loads(done.stdout.splitlines()[-1])
    return mistakes


if __name__ == "__main__":
    sys.exit(main())
