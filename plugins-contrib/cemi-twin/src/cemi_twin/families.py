"""The kinds of virtual specimen that a twin can be, and the numbers of each that are fitted to a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

#: A setting of a specimen from the fitted numbers, the pixel size (um) and how far quantities vary over the specimen.
Build = Callable[[Mapping[str, float], float, "Variation"], dict[str, Any]]


@dataclass(frozen=True)
class Variation:
    """How far planted quantities vary along the specimen: half the range, as the run's own maps have it.

    ``phase`` and ``lamella`` are shares of the area, ``spacing`` is relative; ``slope`` is the difference of the dark
    phase's share between the right and the left end.
    """

    phase: float = 0.0
    lamella: float = 0.0
    spacing: float = 0.0
    slope: float = 0.0


@dataclass(frozen=True)
class Parameter:
    """One fitted number: where the search starts, its bounds, and the step by which its effect is tried."""

    name: str
    start: float
    low: float
    high: float
    step: float


@dataclass(frozen=True)
class Family:
    """A kind of specimen.

    Attributes
    ----------
    name : str
        Name of the specimen plugin.
    words : str
        What it is, for people.
    parameters : tuple of Parameter
        ``dark`` and ``bright`` are grey levels, ``fraction`` is the dark phase's share; ``period`` and ``colony`` are
        natural logarithms of px; ``blur`` is in px.
    build : callable
        Makes the settings of the specimen.
    truths : mapping of str to str
        The name of a map of a run, and the name of its truth in `cemi_virtual_sem.truth.truth_on_grid`.
    """

    name: str
    words: str
    parameters: tuple[Parameter, ...]
    build: Build
    truths: Mapping[str, str]


_DARK = Parameter("dark", 0.36, 0.02, 0.9, 0.03)
_BRIGHT = Parameter("bright", 0.6, 0.1, 0.98, 0.03)
_FRACTION = Parameter("fraction", 0.35, 0.06, 0.85, 0.04)
_PERIOD = Parameter("period", math.log(7.0), math.log(2.2), math.log(120.0), 0.08)
_COLONY = Parameter("colony", math.log(100.0), math.log(12.0), math.log(400.0), 0.2)
_BLUR = Parameter("blur", 0.7, 0.25, 3.0, 0.15)


def _between(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _around(value: float, half: float, low: float, high: float) -> tuple[float, float]:
    return _between(value - half, low, high), _between(value + half, low, high)


def _ehea(found: Mapping[str, float], pixel_um: float, varies: Variation) -> dict[str, Any]:
    bcc_low, bcc_high = _around(found["fraction"], varies.phase, 0.06, 0.88)
    lamella_low, lamella_high = _around(found["lamella"], varies.lamella, 0.0, 1.0)
    spacing_um = math.exp(found["period"]) * pixel_um
    return {
        "bcc_low": bcc_low,
        "bcc_high": bcc_high,
        "lamella_low": lamella_low,
        "lamella_high": lamella_high,
        "spacing_low_um": spacing_um * (1 - varies.spacing),
        "spacing_high_um": spacing_um * (1 + varies.spacing),
        "colony_um": math.exp(found["colony"]) * pixel_um,
        "waviness": found["waviness"],
        "primary_share": min(found["primary"], 0.9 * bcc_low),
        "fcc_grey": found["bright"],
        "bcc_grey": found["dark"],
        "dots_per_um2": 0.0,
    }


def _eutectic(found: Mapping[str, float], pixel_um: float, varies: Variation) -> dict[str, Any]:
    return {
        "fraction": _between(found["fraction"], 0.1, 0.5),
        "growth": "lamellae",
        "spacing_um": _between(math.exp(found["period"]), 3.0, 199.0) * pixel_um,
        "spacing_spread": _between(found["spread"], 0.0, 0.2),
        "colony_um": _between(math.exp(found["colony"]), 3.0, 599.0) * pixel_um,
        "faults": found["faults"],
        "dark_grey": found["dark"],
        "bright_grey": found["bright"],
    }


def _gaussian_field(found: Mapping[str, float], pixel_um: float, varies: Variation) -> dict[str, Any]:
    return {
        "fraction": found["fraction"],
        "correlation": "gaussian",
        "correlation_um": math.exp(found["length"]) * pixel_um,
        "dark_grey": found["dark"],
        "bright_grey": found["bright"],
    }


def _pbse_srse(found: Mapping[str, float], pixel_um: float, varies: Variation) -> dict[str, Any]:
    return {
        "sr_start": _between(found["fraction"] - varies.slope / 2, 0.01, 0.99),
        "sr_end": _between(found["fraction"] + varies.slope / 2, 0.01, 0.99),
        "feature_um": math.exp(found["length"]) * pixel_um,
        "grain_um": 25 * math.exp(found["length"]) * pixel_um,
        "sr_grey": found["dark"],
        "pb_grey": found["bright"],
    }


#: Maps of the share of the dark phase, by the names that analyzers give them.
DARK_PHASE = ("bcc_fraction", "phase_fraction", "dark_fraction", "sr_fraction")
_LENGTH = Parameter("length", math.log(6.0), math.log(1.0), math.log(60.0), 0.08)

FAMILIES: tuple[Family, ...] = (
    Family(
        "ehea",
        "lamellar colonies in an irregular two-phase structure",
        (
            _DARK,
            _BRIGHT,
            _FRACTION,
            _PERIOD,
            _COLONY,
            _BLUR,
            Parameter("lamella", 0.4, 0.0, 1.0, 0.12),
            Parameter("waviness", 0.4, 0.0, 1.0, 0.15),
            Parameter("primary", 0.06, 0.0, 0.24, 0.05),
        ),
        _ehea,
        {
            **dict.fromkeys(DARK_PHASE, "bcc_fraction"),
            "lamella_fraction": "lamella_fraction",
            "lamella_spacing": "lamella_spacing_um",
        },
    ),
    Family(
        "eutectic",
        "colonies of lamellae with faults, nothing between them",
        (
            _DARK,
            _BRIGHT,
            _FRACTION,
            _PERIOD,
            _COLONY,
            _BLUR,
            Parameter("spread", 0.1, 0.0, 0.2, 0.05),
            Parameter("faults", 0.25, 0.0, 1.0, 0.25),
        ),
        _eutectic,
        {**dict.fromkeys(DARK_PHASE, "dark_fraction"), "lamella_spacing": "spacing_um"},
    ),
    Family(
        "gaussian-field",
        "two phases without any direction, smooth boundaries",
        (_DARK, _BRIGHT, _FRACTION, _LENGTH, _BLUR),
        _gaussian_field,
        dict.fromkeys(DARK_PHASE, "dark_fraction"),
    ),
    Family(
        "pbse-srse",
        "two phases without any direction, rough boundaries, a gradient along x",
        (_DARK, _BRIGHT, _FRACTION, _LENGTH, _BLUR),
        _pbse_srse,
        dict.fromkeys(DARK_PHASE, "sr_fraction"),
    ),
)
