from cemi_core.testing import StitcherRecipeTests


class TestOpencvInARecipe(StitcherRecipeTests):
    name = "opencv"
