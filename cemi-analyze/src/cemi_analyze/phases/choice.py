"""The analyzers ``phase-fraction`` and ``bcc-fraction``: grey levels of each cell, or a trained network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from cemi_analyze.cell_analyzer import CellAnalyzer
from cemi_analyze.phases.fraction import BccFraction, PhaseFraction
from cemi_analyze.phases.settings import BccFractionSettings, PhaseFractionSettings
from cemi_analyze.segment.analyzer import NetworkAnalyzer, known_card, layers_of
from cemi_analyze.segment.segmenter import Segmenter
from cemi_core.errors import InputError
from cemi_core.model.abilities import AnalyzerAbilities
from cemi_core.model.result import Result
from cemi_core.model.stages import Runtime


class PhaseNetwork(NetworkAnalyzer):
    """Shares of the classes of a network, the counted one first under the name of the analyzer's map."""

    def __init__(self, segmenter: Segmenter, settings: PhaseFractionSettings, of: type[PhaseFraction]) -> None:
        super().__init__(segmenter, settings, of.name, ("phases", "Areas of phases"))
        self._of, self._phase = of, settings.phase if "phase" in settings.model_fields_set else ""

    @property
    def counted(self) -> int:
        """Index of the counted class: the one that 'phase' names, by default the second.

        Raises
        ------
        InputError
            The network knows no class of that name.
        """
        names = [label.name for label in self.classes]
        if not self._phase:
            return 1
        if self._phase not in names:
            raise InputError(f"the network knows no class '{self._phase}': it knows {', '.join(names)}")
        return names.index(self._phase)

    def prepare(self) -> None:
        """Load the weights; a phase that they do not know is told before the work starts."""
        super().prepare()
        _ = self.counted

    def named(self, index: int) -> tuple[str, str]:
        """Return name and label of the map of a class."""
        return (self._of.map_name, self._of.map_label) if index == self.counted else super().named(index)

    def merge(self, partials: Iterable[tuple[int, int, Any]], grid_shape: tuple[int, int]) -> Result:
        """Join the cells, the counted class first."""
        found = super().merge(partials, grid_shape)
        if len(self.classes) == 2 and self.counted == 0:
            turned = [
                replace(
                    part,
                    name=self._of.map_name,
                    label=self._of.map_label,
                    value=1 - part.value,
                    low=1 - part.high,
                    high=1 - part.low,
                )
                for part in found.maps
            ]
            return replace(found, maps=tuple(turned))
        first = [part for part in found.maps if part.name == self._of.map_name]
        return replace(found, maps=(*first, *(part for part in found.maps if part.name != self._of.map_name)))


def abilities(settings: PhaseFractionSettings) -> AnalyzerAbilities:
    """Return what the chosen method can do: a network writes layers and draws cells."""
    if settings.weights is None:
        return AnalyzerAbilities()
    card = known_card(settings.weights)
    return AnalyzerAbilities(layers=layers_of(card.classes) if card else (), explains=True, prepares=True)


def make(settings: PhaseFractionSettings, runtime: Runtime) -> CellAnalyzer:
    """Make ``phase-fraction`` from checked settings."""
    return _made(settings, runtime, PhaseFraction)


def make_bcc(settings: BccFractionSettings, runtime: Runtime) -> CellAnalyzer:
    """Make ``bcc-fraction`` from checked settings."""
    return _made(settings, runtime, BccFraction)


def _made(settings: PhaseFractionSettings, runtime: Runtime, of: type[PhaseFraction]) -> CellAnalyzer:
    if settings.weights is None:
        return of(settings)
    segmenter = Segmenter(
        settings.weights, runtime.device, runtime.threads, runtime.weights_dir, settings.flips, settings.precision
    )
    return PhaseNetwork(segmenter, settings, of)
