"""The matchers, local features and ways of blending that a setting can name: one line each, the code elsewhere.

A new matcher or blender is a class in a file of its own and a line here; settings, their descriptions and the messages
for wrong words follow. Nothing heavy is imported before a method is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Method:
    """A method that a setting can name.

    Attributes
    ----------
    home : str
        Where its class is, ``"module:Class"``.
    summary : str
        What it does, one clause, for the description of the setting.
    """

    home: str
    summary: str

    def load(self) -> Any:
        """Import and return the class."""
        module, _, name = self.home.partition(":")
        return getattr(import_module(module), name)


@dataclass(frozen=True)
class BlendMethod(Method):
    """A way of blending.

    Attributes
    ----------
    margin_px : int
        How far from a box a frame may lie and still have a say in it, px.
    counts_frames : bool
        Whether it tells how many frames made each pixel (`Blender.blend_and_count`).
    """

    margin_px: int = 0
    counts_frames: bool = False


#: How two frames are compared: subclasses of `cemi_stitch.matching.matcher.Matcher`.
MATCHERS: Mapping[str, Method] = {
    "zncc": Method(
        "cemi_stitch.matching.zncc_matcher:ZnccMatcher",
        "zero-mean normalised cross-correlation over the whole window",
    ),
    "phase": Method("cemi_stitch.matching.phase_matcher:PhaseMatcher", "phase correlation, its peaks verified by zncc"),
    "features": Method(
        "cemi_stitch.matching.features_matcher:FeaturesMatcher",
        "local features that agree on a shift, also verified by zncc, with rotation and scale in the report",
    ),
}
#: How frames are joined: subclasses of `cemi_stitch.blending.blender.Blender`.
BLENDERS: Mapping[str, BlendMethod] = {
    "feather": BlendMethod("cemi_stitch.blending.feather:Feather", "weighted by the distance from their edges"),
    "none": BlendMethod("cemi_stitch.blending.nearest:Nearest", "each pixel from one frame"),
    "average": BlendMethod(
        "cemi_stitch.blending.average:Average",
        "all frames weighted by their noise, so that noise falls most (the effective number of frames is stored beside "
        "the mosaic)",
        counts_frames=True,
    ),
    "multiband": BlendMethod(
        "cemi_stitch.blending.multiband:Multiband", "fine detail from one frame, brightness blended widely", 128
    ),
}
#: Local features of the matcher ``features``: makers of `cemi_stitch.correlation.features.PairMatcher`.
FEATURES: Mapping[str, Method] = {
    "sift": Method("cemi_stitch.correlation.features:make_sift", "needs nothing"),
    "disk": Method("cemi_stitch.correlation.features:make_disk", "a network, its keypoints paired by LightGlue"),
    "aliked": Method("cemi_stitch.correlation.features:make_aliked", "a network, its keypoints paired by LightGlue"),
    "xfeat": Method("cemi_stitch.correlation.features:make_xfeat", "a small network, paired by LightGlue"),
    "loftr": Method("cemi_stitch.correlation.features:make_loftr", "a network that matches without keypoints"),
}


def described(methods: Mapping[str, Method]) -> str:
    """Return names and summaries as one clause each, for the description of a setting."""
    return "; ".join(f"{name}, {method.summary}" for name, method in methods.items())
