"""What plugins can do beyond their contract: declared on their descriptions, so that a plan needs no plugin.

Each ability that needs code has a small protocol in `cemi_core.model.stages`; a declared ability without its method is
the plugin's mistake and is said before the work starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # every start of the program reads this module
    from cemi_core.model.layers import LayerSpec


@dataclass(frozen=True)
class SourceAbilities:
    """What a source can do.

    Attributes
    ----------
    prepares : bool
        `Prepares`: it can say before the work whether it would fail.
    """

    prepares: bool = False


@dataclass(frozen=True)
class DenoiserAbilities:
    """What a denoiser with these settings can do.

    Attributes
    ----------
    learns : bool
        `LearnsFromFrames`: it becomes another denoiser by looking at the frames of the run.
    needs_layout : bool
        One that learns wants to know where the frames lie: they are placed once before.
    judges : bool
        `JudgesDenoising`: it says how far its work can be trusted.
    wants_peak : bool
        It uses ``info.peak``, the brightest grey level of the whole image; a mosaic is read once more for it.
    takes_channels : bool
        It wants all channels of a frame at once, (channels, h, w), and ``info.channels``; others get one by one.
    scale : int
        Its images are so many times as high and wide (super-resolution).
    deterministic : bool
        The same input gives the same pixels.
    prepares : bool
        `Prepares`: it can say before the work whether its weights, files and device can be used.
    """

    learns: bool = False
    needs_layout: bool = False
    judges: bool = False
    wants_peak: bool = False
    takes_channels: bool = False
    scale: int = 1
    deterministic: bool = True
    prepares: bool = False


@dataclass(frozen=True)
class StitcherAbilities:
    """What a stitcher with these settings can do.

    Attributes
    ----------
    judges : bool
        `JudgesLayout`: it says how good a layout is.
    counts_frames : bool
        `CountsFrames`: it tells how many frames made each pixel.
    blend_margin_px : int
        Frames so far from a box are handed to `blend` too.
    stands_alone : bool
        It joins nothing: each frame is an image of its own.
    prepares : bool
        `Prepares`: it can say before the work whether its device and files can be used.
    """

    judges: bool = False
    counts_frames: bool = False
    blend_margin_px: int = 0
    stands_alone: bool = False
    prepares: bool = False


@dataclass(frozen=True)
class AnalyzerAbilities:
    """What an analyzer with these settings can do.

    Attributes
    ----------
    layers : tuple of LayerSpec
        `WritesLayers`: the layers that it writes beside the mosaic.
    explains : bool
        `Explains`: it can draw what it has seen in a block.
    takes_channels : bool
        It wants all channels, (channels, h, w), and ``info.channels``; others get the one that they are told.
    prepares : bool
        `Prepares`: it can say before the work whether its weights and device can be used.
    """

    layers: tuple[LayerSpec, ...] = ()
    explains: bool = False
    takes_channels: bool = False
    prepares: bool = False


@dataclass(frozen=True)
class RelationAbilities:
    """What a relation method can do.

    Attributes
    ----------
    takes_classes : bool
        It compares classes (``PropertyTable.classes``); others need numbers.
    needs_images : bool
        It takes images that stand alone only, no profiles along x.
    needs_maps : bool
        `RelatesMaps`: it looks at the maps under each point of the property, whose y it may know; others get profiles
        along x.
    """

    takes_classes: bool = False
    needs_images: bool = False
    needs_maps: bool = False
