"""Fields of made specimens with their exact masks: as many as wanted, of any size and scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from cemi_analyze.train.recipe import SpecimenData
from cemi_core.errors import InputError, UsageError
from cemi_core.model.classes import class_labels
from cemi_core.model.frame import from_unit_range
from cemi_core.model.mosaic import Box
from cemi_core.model.specimen import Specimen
from cemi_core.model.stages import Runtime
from cemi_core.model.units import parse_length_um
from cemi_core.plugins.manager import make, registry
from cemi_learn.data.labelled import LabelledImage, LabelledSet


def rendered_set(data: Sequence[SpecimenData], classes: Sequence[str], seed: int) -> LabelledSet:
    """Return fields of specimens with their masks.

    Parameters
    ----------
    data : sequence of SpecimenData
    classes : sequence of str
        Names; pixels that no mask names are of the first one.
    seed : int
        Decides all fields; another seed gives others.

    Raises
    ------
    InputError
        A class or a mask is unknown.
    UsageError
        There is no such specimen, or a setting does not fit.
    """
    images = []
    for kind, entry in enumerate(data):
        for number in range(entry.fields):
            rng = np.random.default_rng((seed, kind, number))
            images.append(_field(entry, classes, rng, f"{entry.use}-{kind}-{number}"))
    return LabelledSet(tuple(images), class_labels(classes))


def drawn_settings(entry: SpecimenData, rng: np.random.Generator) -> dict[str, Any]:
    """Return the settings of one specimen: those that are given, and one draw of each that has a range."""
    drawn: dict[str, Any] = dict(entry.settings)
    for name, (low, high) in entry.ranges.items():
        if isinstance(low, str) or isinstance(high, str):
            drawn[name] = f"{_between(parse_length_um(str(low)), parse_length_um(str(high)), rng):.6g} um"
        else:
            drawn[name] = _between(float(low), float(high), rng)
    return drawn


def _between(low: float, high: float, rng: np.random.Generator) -> float:
    """Return a draw, even on a logarithmic scale where the range spans more than a factor of two."""
    if low > 0 and high > 2 * low:
        return math.exp(rng.uniform(math.log(low), math.log(high)))
    return float(rng.uniform(low, high))


def _field(entry: SpecimenData, classes: Sequence[str], rng: np.random.Generator, name: str) -> LabelledImage:
    edge = entry.field_px
    settings = drawn_settings(entry, rng)
    specimen = _made(entry.use, {"extent_px": (edge, edge), **settings}, int(rng.integers(2**31)))
    box = Box(0, 0, edge, edge)
    mask = np.zeros((edge, edge), np.int32)
    truth = specimen.truth(box)
    for of_mask, called in entry.classes.items():
        if called not in classes:
            raise InputError(f"'{called}' is none of the classes: {', '.join(classes)}")
        mask[_where(of_mask, truth.masks, entry.use, (edge, edge))] = list(classes).index(called)
    pixels = from_unit_range(specimen.render(box), np.dtype(np.uint8)).astype(np.uint8, copy=False)
    return LabelledImage(name, pixels, mask, name)


def _where(name: str, masks: Mapping[str, NDArray[np.bool_]], use: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    if name == "all":
        return np.ones(shape, bool)
    if name not in masks:
        known = ", ".join([*masks, "all"])
        raise InputError(f"the specimen '{use}' has no mask '{name}'; there are: {known}")
    return masks[name]


def _made(use: str, settings: Mapping[str, Any], seed: int) -> Specimen:
    plugin = registry().specimens.get(use)
    try:
        checked = plugin.description.load_settings()(**settings)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UsageError(f"settings of the specimen '{use}': {told}") from None
    made: Specimen = make(plugin, checked, Runtime(seed=seed))
    return made
