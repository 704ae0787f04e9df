"""The README's examples run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from cemi_core.model.array_source import ArraySource


def test_examples_of_the_readme_run() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    first, second = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(first, names)
    common = tuple(slice(0, size) for size in names["scene"].shape)
    assert np.nanmax(np.abs(names["picture"][common] - names["scene"])) <= 2e-2
    exec(second, names)
    frames = [np.zeros((20, 30), np.float32)] * 3
    layout = names["NominalStitcher"]().place(ArraySource(frames, positions_px=[(0, 0), (0, 20), (0, 40)]))
    assert np.allclose(layout.positions_px, [[0, 0], [0, 20], [0, 40]], atol=1e-3)
