"""The analyzer ``lamella-fraction``: lamellae found by a trained network, or by the coherency of their direction."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.cell_analyzer import CellAnalyzer
from cemi_analyze.lamellae.fraction import LamellaFraction, LamellaFractionSettings
from cemi_analyze.picture.cell import Cell
from cemi_analyze.segment.analyzer import NetworkAnalyzer, NetworkSettings, known_card, layers_of
from cemi_analyze.segment.segmenter import Segmenter
from cemi_core.model.abilities import AnalyzerAbilities
from cemi_core.model.classes import class_labels
from cemi_core.model.result import Result
from cemi_core.model.settings import InputPathOrName
from cemi_core.model.stages import BlockInfo, Runtime

SHIPPED = "lamellae"
#: Of the shipped weights, so that planning opens no file.
_CLASSES = class_labels(["other", "lamellae"])
_PLAIN_PX = 33
_NEEDED = ("cemi_learn", "torch", "segmentation_models_pytorch")


class LamellaSettings(LamellaFractionSettings, NetworkSettings):
    """Settings of the analyzer ``lamella-fraction``."""

    method: Literal["auto", "network", "coherency"] = Field(
        "auto",
        description="network: a trained network says which pixels are lamellae (needs 'cemi-analyze[learn]'). "
        "coherency: where texture runs one way, which scratches and grain boundaries do too. auto: the network where "
        "it is installed, unless a setting of the coherency is given.",
    )
    weights: InputPathOrName = Field(
        SHIPPED, description="Weights of the network: the shipped ones, or yours of 'cemi train segmenter'."
    )


class LamellaNetwork(NetworkAnalyzer):
    """Share of the area that is lamellae, each colony as an object, by a network of two classes."""

    def named(self, index: int) -> tuple[str, str]:
        """Return name and label of the map of a class."""
        return "lamella_fraction", "Lamella fraction"

    def _answered(self, cell: Cell, info: BlockInfo) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        classes, probabilities = super()._answered(cell, info)
        plain = is_plain(cell.image)[cell.core]
        probabilities = np.where(plain, np.array([1, 0], np.float32)[:, None, None], probabilities)
        return np.where(plain, 0, classes), probabilities


def is_plain(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where an image (h, w) varies by less than half a grey level of 255 within 33 px: no lamellae there."""
    level = image - image.mean()
    window = (_PLAIN_PX, _PLAIN_PX)
    variance = cv2.blur(level * level, window) - cv2.blur(level, window) ** 2
    return np.asarray(variance < (0.5 / 255) ** 2, bool)


class CoherencyInstead(LamellaFraction):
    """The share of lamellae by coherency, where a network was asked for and is not installed."""

    def merge(self, partials: Iterable[tuple[int, int, Any]], grid_shape: tuple[int, int]) -> Result:
        """Return what the coherency finds, and why it was taken."""
        found = super().merge(partials, grid_shape)
        return replace(
            found,
            notes=(
                *found.notes,
                "the network, which tells lamellae from scratches, grain boundaries and other texture that runs one "
                "way, is not installed: pip install 'cemi-analyze[learn]'",
            ),
        )


def by_network(settings: LamellaSettings) -> bool:
    """Return whether a network is asked; ``auto`` asks it where it is installed, and imports nothing to find out."""
    if settings.method != "auto":
        return settings.method == "network"
    given = settings.model_fields_set & (
        LamellaFractionSettings.model_fields.keys() - NetworkSettings.model_fields.keys()
    )
    return not given and is_installed()


def is_installed() -> bool:
    """Return whether the packages for networks are installed."""
    return all(importlib.util.find_spec(name) is not None for name in _NEEDED)


def abilities(settings: LamellaSettings) -> AnalyzerAbilities:
    """Return what the chosen method can do: the network writes layers and draws cells."""
    if not by_network(settings):
        return AnalyzerAbilities()
    card = None if settings.weights == SHIPPED else known_card(settings.weights)
    classes = _CLASSES if settings.weights == SHIPPED else () if card is None else card.classes
    return AnalyzerAbilities(layers=layers_of(classes) if classes else (), explains=True, prepares=True)


def make(settings: LamellaSettings, runtime: Runtime) -> CellAnalyzer:
    """Make the analyzer from checked settings."""
    if not by_network(settings):
        missing = settings.method == "auto" and not is_installed()
        return CoherencyInstead(settings) if missing else LamellaFraction(settings)
    segmenter = Segmenter(
        settings.weights, runtime.device, runtime.threads, runtime.weights_dir, settings.flips, settings.precision
    )
    return LamellaNetwork(segmenter, settings, "lamella-fraction", ("colonies", "Lamellar colonies"))
