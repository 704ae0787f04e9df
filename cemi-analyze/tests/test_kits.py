"""Every analyzer and relation of this package keeps the promises that core leans on."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_analyze import BccFraction, LamellaFraction, LamellaWidth, PearsonRelation, SrPhase
from cemi_analyze.plugin import cemi_analyzers, cemi_relations
from cemi_core.model.stages import Analyzer, RelationMethod, Runtime
from cemi_core.testing import AnalyzerTests, RelationTests


class TestBccFraction(AnalyzerTests):
    def make(self):
        return BccFraction()


class TestLamellaWidth(AnalyzerTests):
    def make(self):
        return LamellaWidth()


class TestLamellaFraction(AnalyzerTests):
    def make(self):
        return LamellaFraction()


class TestSrPhase(AnalyzerTests):
    def make(self):
        return SrPhase()


class TestPearson(RelationTests):
    def make(self):
        return PearsonRelation()


#: Settings without which an analyzer cannot know what to measure.
NEEDED = {"regions": {"darker_than": 0.5}}


@pytest.mark.parametrize("plugin", [*cemi_analyzers(), *cemi_relations()], ids=lambda plugin: plugin.name)
def test_every_plugin_is_made_from_the_settings_that_it_cannot_do_without(plugin):
    settings = plugin.load_settings()(**NEEDED.get(plugin.name, {}))
    made = plugin.load_factory()(settings, Runtime(seed=3))
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
