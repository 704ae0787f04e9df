"""Is a plugin's factory cheap? Looked at in a process of its own, where nothing has been imported before.

A plan is made from settings and descriptions, and a factory only puts an object together: neither imports a library
that takes seconds, and neither opens a file. Only imports may read: code anywhere, and what the libraries of this
environment read of their own folders meanwhile.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from importlib.machinery import all_suffixes
from pathlib import Path
from types import FrameType
from typing import Any

from cemi_core.model.stages import Runtime
from cemi_core.plugins.manager import registry
from cemi_core.plugins.types import AnalyzerPlugin, DenoiserPlugin, Plugin, SourcePlugin, StitcherPlugin

#: Libraries that take seconds to import, or a few hundred megabytes.
HEAVY = (
    "torch",
    "onnxruntime",
    "tensorflow",
    "keras",
    "jax",
    "cupy",
    "kornia",
    "spandrel",
    "timm",
    "transformers",
    "lightning",
    "segmentation_models_pytorch",
)
_CODE = tuple(all_suffixes())
_MACHINE = ("/proc", "/sys", "/dev")
#: Folders of compiled code, and of what distributions say of themselves, which pydantic reads for every first model.
_OF_IMPORTS = ("__pycache__", ".dist-info", ".egg-info")


def costs_of_making(plugin: Plugin[Any], settings: Mapping[str, Any], files_allowed: bool = False) -> list[str]:
    """Return a sentence for each costly thing that describing and making a plugin does; none if it is cheap.

    Parameters
    ----------
    plugin : Plugin
        Its factory, settings and abilities are named by text or importable.
    settings : mapping
        As in a recipe. Planning may open a file that is named here.
    files_allowed : bool
        Whether the factory may open files.

    Raises
    ------
    pickle.PicklingError
        Something of it cannot be imported by another process.
    AssertionError
        It cannot be made at all; the message holds the traceback.
    """
    try:
        described = pickle.dumps((plugin, dict(settings), files_allowed))
    except AttributeError as error:  # of a function inside a function
        raise pickle.PicklingError(str(error)) from error
    asked = pickle.dumps((sys.path, described))
    command = [sys.executable, "-c", f"from {__name__} import answer; answer()"]
    done = subprocess.run(command, input=asked, capture_output=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"'{plugin.name}' cannot be made from {dict(settings)}:\n{done.stderr.decode()}")
    costs: list[str] = json.loads(done.stdout.splitlines()[-1])
    return costs


def answer() -> None:
    """Read what `costs_of_making` asks from stdin, make the plugin, and print the answer."""
    path, asked = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 - of `costs_of_making`, as is what it holds
    sys.path[:] = path
    registry()  # a plan begins with it: to look another plugin up costs nothing then
    opened: list[str] = []
    sys.addaudithook(lambda event, about: _note(opened, about[0]) if event == "open" else None)
    plugin, settings, files_allowed = pickle.loads(asked)  # noqa: S301
    costs = []
    checked = plugin.load_settings()(**settings)
    if isinstance(plugin, SourcePlugin | DenoiserPlugin | StitcherPlugin | AnalyzerPlugin):
        plugin.abilities_of(checked)
    named = {str(value) for value in settings.values()}  # a file that the settings name may say what there will be
    opened[:] = [path for path in opened if path not in named]
    costs += _costs("planning", opened, False)
    plugin.load_factory()(checked, Runtime())
    costs += _costs("the factory", opened, files_allowed)
    print("\n" + json.dumps(costs))  # noqa: T201 - the answer


def _costs(who: str, opened: list[str], files_allowed: bool) -> list[str]:
    """Return what has been imported or opened by now, and forget it."""
    costs = [f"{who} imports {name}" for name in HEAVY if sys.modules.pop(name, None) is not None]
    if not files_allowed:
        costs += [f"{who} opens {path}" for path in dict.fromkeys(opened)]
    opened.clear()
    return costs


def _note(opened: list[str], path: Any) -> None:
    """Note a file that is opened, unless importing code needs it."""
    if not isinstance(path, str | bytes | Path):  # the number of a file that is open already
        return
    name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - Path would ask the disk
    if name.endswith(_CODE) or name.startswith(_MACHINE):
        return
    of_libraries = name.startswith((sys.prefix, sys.base_prefix)) or any(part in name for part in _OF_IMPORTS)
    if of_libraries and _importing():
        return
    opened.append(name)


def _importing() -> bool:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
