"""Which specimen is under the microscope: any that is installed, by name, and how to have it again from a file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
from pydantic import ValidationError

from cemi_core.errors import UsageError
from cemi_core.model.specimen import Specimen, SpecimenSettings
from cemi_core.plugins.manager import registry
from cemi_specimens import make

#: What the microscope sets for every specimen.
_SHARED = ("pixel_size", "extent_px", "blur_px")


@dataclass(frozen=True)
class SpecimenChoice:
    """A specimen as the microscope looks at it.

    Attributes
    ----------
    name : str
        An installed specimen.
    pixel_size_um : float
        Edge of a pixel.
    extent_px : tuple of int
        (height, width) over which planted trends run.
    seed : int
        Another seed gives another specimen.
    blur_px : float
        Standard deviation of the beam's point spread, px.
    settings : dict
        Fields of the specimen's own settings, such as ``{"bcc_low": 0.28}``.
    """

    name: str
    pixel_size_um: float = 0.1
    extent_px: tuple[int, int] = (1200, 6000)
    seed: int = 0
    blur_px: float = 0.6
    settings: dict[str, Any] = field(default_factory=dict)

    def make(self) -> Specimen:
        """Return the specimen.

        Raises
        ------
        UsageError
            An unknown specimen or setting.
        """
        return make.make_specimen(self.name, seed=self.seed, prefix="specimen.", **self._fields())

    def to_json(self) -> str:
        """Return as JSON what `open_specimen` needs: every setting with the value used."""
        settings = self._every_setting()
        return json.dumps(
            {
                "name": self.name,
                "pixel_size_um": self.pixel_size_um,
                "extent_px": self.extent_px,
                "seed": self.seed,
                "blur_px": self.blur_px,
                "settings": settings,
            }
        )

    def _fields(self) -> dict[str, Any]:
        doubled = sorted(self.settings.keys() & set(_SHARED))
        if doubled:
            raise UsageError(
                f"specimen.{doubled[0]} is set by the session: use pixel_size_um, blur_px, passes or travel_px"
            )
        return {
            "pixel_size": f"{self.pixel_size_um!r} um",
            "extent_px": self.extent_px,
            "blur_px": self.blur_px,
            **self.settings,
        }

    def _every_setting(self) -> dict[str, Any]:
        model = make.checked_settings(self.name, self._fields(), "specimen.")
        every: dict[str, Any] = model.model_dump(mode="json", exclude=set(_SHARED))
        try:
            same = type(model)(**{**self._fields(), **every}) == model
        except ValidationError:
            same = False
        # a length is written as a number, which is not read without its unit: then what was given has to do
        return every if same else self.settings


def own_pixel_size_um(name: str) -> float | None:
    """Return the pixel size that a specimen has by its nature, such as atoms, um; None if any will do."""
    model = registry().specimens.get(name).description.load_settings()
    size = model.model_fields["pixel_size"].default
    return None if size == SpecimenSettings.model_fields["pixel_size"].default else float(size)


def make_specimen(
    name: str,
    *,
    pixel_size_um: float = 0.1,
    extent_px: tuple[int, int] = (1200, 6000),
    seed: int = 0,
    blur_px: float = 0.6,
    **settings: Any,
) -> Specimen:
    """Return an installed specimen as the microscope looks at it.

    Parameters
    ----------
    name : str
        ``"ehea"``, ``"pbse-srse"``, ``"polycrystal"``, or any specimen of another package.
    pixel_size_um, extent_px, seed, blur_px, **settings
        See `SpecimenChoice`.

    Raises
    ------
    UsageError
        An unknown specimen or setting.

    Examples
    --------
    >>> from cemi_core.model.mosaic import Box
    >>> make_specimen("ehea", seed=3).render(Box(0, 0, 64, 128)).shape
    (64, 128)
    """
    return SpecimenChoice(name, pixel_size_um, extent_px, seed, blur_px, settings).make()


def open_specimen(truth_path: str | Path) -> Specimen:
    """Return the specimen of a recording, from its ``truth.h5``: its pixels and masks can be computed anew anywhere."""
    with h5py.File(truth_path, "r") as file:
        about = json.loads(file.attrs["specimen"])
    return SpecimenChoice(**{**about, "extent_px": tuple(about["extent_px"])}).make()
