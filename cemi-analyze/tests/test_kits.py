"""Every analyzer and relation of this package keeps the promises that core leans on."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_analyze.plugin import cemi_analyzers, cemi_relations
from cemi_core.model.stages import Analyzer, RelationMethod, Runtime
from cemi_core.testing import AnalyzerTests, RelationTests

#: Settings that have no default.
NEEDED = {
    "regions": {"darker_than": 0.4},
    "segment": {"weights": "lamellae"},
    "ensemble": {"of": [{"use": "bcc-fraction"}, {"use": "bcc-fraction", "with": {"method": "otsu"}}]},
}


class TestPhaseFraction(AnalyzerTests):
    name = "phase-fraction"


class TestBccFraction(AnalyzerTests):
    name = "bcc-fraction"


class TestLamellaWidth(AnalyzerTests):
    name = "lamella-width"


class TestLamellaFraction(AnalyzerTests):
    name = "lamella-fraction"


class TestSrPhase(AnalyzerTests):
    name = "sr-phase"


class TestTwoPoint(AnalyzerTests):
    name = "two-point"


class TestDescriptors(AnalyzerTests):
    name = "descriptors"


class TestFocus(AnalyzerTests):
    name = "focus"


class TestEnsemble(AnalyzerTests):
    name = "ensemble"
    settings = NEEDED["ensemble"]


class TestPearson(RelationTests):
    name = "pearson"


class TestLinear(RelationTests):
    name = "linear"


class TestForest(RelationTests):
    name = "forest"


@pytest.mark.parametrize("plugin", [*cemi_analyzers(), *cemi_relations()], ids=lambda plugin: plugin.name)
def test_every_plugin_is_made_from_its_settings(plugin):
    made = plugin.load_factory()(plugin.load_settings()(**NEEDED.get(plugin.name, {})), Runtime(seed=3))
    assert isinstance(made, Analyzer | RelationMethod)
    if isinstance(made, Analyzer):
        assert made.name == plugin.name
        empty = made.merge([(0, 0, None)], (1, 2))
        assert all(np.isnan(grid_map.value).all() for grid_map in empty.maps)


def test_listing_the_plugins_imports_no_numbers():
    import subprocess
    import sys

    code = "import cemi_analyze.plugin, sys; sys.exit('numpy' in sys.modules or 'cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
