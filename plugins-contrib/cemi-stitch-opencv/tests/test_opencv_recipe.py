from cemi_run.testing import StitcherRecipeTests


class TestOpencvInARecipe(StitcherRecipeTests):
    name = "opencv"
