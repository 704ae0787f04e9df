"""The Python in the README runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from cemi_core.plugins.manager import registry

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_examples_run_and_denoise():
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", README, re.S):
        exec(code, names)
    assert names["clean"].shape == names["image"].shape
    assert np.std(names["clean"]) < 0.5 * np.std(names["image"])


def test_the_table_names_every_denoiser_with_its_defaults():
    ours = [plugin for plugin in registry().of_stage("denoise") if plugin.package == "cemi-denoise"]
    assert ours
    for plugin in ours:
        (line,) = [line for line in README.splitlines() if line.startswith(f"| `{plugin.name}` | `")]
        for key, field in plugin.description.load_settings().model_fields.items():
            assert (f"`{key}`" if field.is_required() else f"`{key}` {field.default}") in line
