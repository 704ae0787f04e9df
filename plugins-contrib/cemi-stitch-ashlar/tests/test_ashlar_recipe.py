import pytest

from cemi_run.testing import StitcherRecipeTests

pytest.importorskip("ashlar", reason="ASHLAR is not installed: pip install cemi-stitch-ashlar[ashlar]")


class TestAshlarInARecipe(StitcherRecipeTests):
    name = "ashlar"
