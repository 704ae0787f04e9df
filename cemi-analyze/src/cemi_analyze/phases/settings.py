"""How the share of a phase is measured."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from cemi_analyze.segment.analyzer import NetworkSettings
from cemi_core.model.settings import InputPathOrName

Method = Literal[
    "auto", "mixture", "midpoint", "lever", "otsu", "kmeans", "watershed", "slic", "bradley-roth", "paper", "segment"
]
#: Methods that tell three or four phases apart.
OF_SEVERAL = ("auto", "mixture", "otsu", "kmeans", "watershed", "slic", "segment")


class PhaseFractionSettings(NetworkSettings):
    """How many phases there are, which one is counted, and by which method."""

    method: Method = Field(
        default="auto",
        description="'auto': the best of 'lever', 'mixture', 'midpoint' and 'otsu' by what the pictures show, the same "
        "for all cells; 'mixture': grey levels, noise and mixed pixels of the phases fitted together; 'midpoint': "
        "threshold half-way between the levels; 'lever': the mean grey level between those of the pure phases, for "
        "phases thinner than two pixels; 'otsu', 'kmeans': thresholds of the greatest variance between classes; "
        "'watershed', 'slic': regions grown or superpixels, then classes; 'bradley-roth': darker than 15 % below the "
        "mean around; 'paper': adaptive mean threshold, window 11, offset 2, of Lang et al. 2025; 'segment': a network "
        "that you trained ('weights').",
    )
    phases: int = Field(default=2, ge=2, le=4, description="Number of phases that differ in grey level.")
    names: tuple[str, ...] = Field(
        default=(), description="Names of the phases from dark to bright; by default 'dark', 'bright' and between."
    )
    phase: str = Field(
        default="dark",
        description="Which phase is counted: 'dark', 'bright', or one of 'names'. With three or four phases it comes "
        "first and the others follow.",
    )
    levelling: bool = Field(
        default=True,
        description="Take out shading, and for 'midpoint' and 'otsu' the brightness of single grains too, by a local "
        "mean over a wave of the texture (not for 'paper' and 'bradley-roth'). Switch off where one phase forms areas "
        "much wider than the rest of the texture.",
    )
    least_contrast: float = Field(
        default=2.0,
        ge=0,
        description="Distance between the phases over the noise below which a cell counts as structureless (NaN).",
    )
    level_uncertainty: float = Field(
        default=0.05,
        ge=0,
        le=0.5,
        description="How far a threshold, or with 'lever' the level of each phase, may be off, as a share of the "
        "distance between the phases; widens the interval (not for 'paper').",
    )
    wanted_accuracy: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Relative accuracy (95 % half-width over the value) for which the number of cells is told that "
        "would be needed, as in ASTM E562.",
    )
    weights: InputPathOrName | None = Field(
        default=None, description="Weights of the network for 'segment', of 'cemi train segmenter'."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.names and len(self.names) != self.phases:
            raise ValueError(f"'names' holds {len(self.names)} names for {self.phases} phases: one for each")
        if len(set(self.names)) < len(self.names):
            raise ValueError("'names' holds a name twice: each phase needs its own")
        if self.method != "segment" and self.phase not in self.phase_names and self.phase not in ("dark", "bright"):
            known = ", ".join(dict.fromkeys(("dark", "bright", *self.phase_names)))
            raise ValueError(f"no phase is named '{self.phase}': the phases are {known}")
        if self.phases > 2 and self.method not in OF_SEVERAL:
            raise ValueError(f"'{self.method}' tells two phases apart: for {self.phases} use {', '.join(OF_SEVERAL)}")
        if (self.method == "segment") != (self.weights is not None):
            raise ValueError("'weights' belongs to method 'segment': name both or neither")
        return self

    @property
    def phase_names(self) -> tuple[str, ...]:
        """Names of the phases, from dark to bright."""
        between = {2: (), 3: ("middle",), 4: ("dark_middle", "bright_middle")}[self.phases]
        return self.names or ("dark", *between, "bright")

    @property
    def counted(self) -> int:
        """Place of the phase that is counted, from dark to bright."""
        ends = {"dark": 0, "bright": self.phases - 1}
        return self.phase_names.index(self.phase) if self.phase in self.phase_names else ends[self.phase]


class BccFractionSettings(PhaseFractionSettings):
    """The same for the BCC phase of a eutectic alloy, which is dark in backscattered electrons."""
