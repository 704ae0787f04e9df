"""Installs the wheel of cemi-core alone into a fresh environment and lets a plugin of 20 lines run its test kit there.

``python release/core_alone.py`` (``make test-core-alone``): the plugin is the one that README.md shows. Who writes a
denoiser should need NumPy and SciPy, and neither a video decoder nor torch nor a plotting library.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from align import ROOT
from wheels import build

#: What an author of plugins need not have.
HEAVY = ("av", "click", "cv2", "dask", "h5py", "jinja2", "matplotlib", "rich", "tifffile", "torch", "zarr")

_PYPROJECT = """
[build-system]
requires = ["hatchling>=1.25"]
build-backend = "hatchling.build"

[project]
name = "cemi-box-filter"
version = "1.0"
dependencies = ["cemi-core"]

[project.entry-points.cemi]
box-filter = "cemi_box_filter"
"""
_TEST = f"""
from importlib.util import find_spec

import pytest

from cemi_core.plugins.manager import registry
from cemi_core.testing import DenoiserTests, make_plugin


class TestBoxFilter(DenoiserTests):
    def make(self):
        return make_plugin("denoise", "box-filter")


@pytest.mark.parametrize("name", {HEAVY})
def test_a_plugin_needs_no(name):
    assert find_spec(name) is None


def test_nothing_is_broken():
    assert not registry().problems
"""


def main() -> int:
    """Return the exit code of pytest in the fresh environment."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (plugin,) = [code for code in re.findall(r"```python\n(.*?)```", readme, re.S) if "class BoxFilter" in code]
    lines = [line for line in plugin.splitlines() if line.strip()]
    if len(lines) > 20:
        sys.exit(f"README.md promises 20 lines, the plugin has {len(lines)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        package = folder / "cemi-box-filter"
        (package / "src" / "cemi_box_filter").mkdir(parents=True)
        (package / "src" / "cemi_box_filter" / "__init__.py").write_text(plugin, encoding="utf-8")
        (package / "pyproject.toml").write_text(_PYPROJECT, encoding="utf-8")
        (package / "test_box_filter.py").write_text(_TEST, encoding="utf-8")
        wheel = build(ROOT / "cemi-core", folder)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"{wheel}[testing]", package], check=True)
        return subprocess.run([python, "-m", "pytest", "-q", package], cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
