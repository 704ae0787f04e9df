"""The specimens by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py

from cemi_core.errors import UsageError
from cemi_core.model.settings import Settings
from cemi_virtual_sem.ehea import Ehea, EheaSettings
from cemi_virtual_sem.pbse_srse import PbseSrse, PbseSrseSettings
from cemi_virtual_sem.polycrystal import Polycrystal, PolycrystalSettings
from cemi_virtual_sem.settings import checked
from cemi_virtual_sem.specimen import Specimen

_SPECIMENS: dict[str, tuple[type[Specimen], type[Settings]]] = {
    "ehea": (Ehea, EheaSettings),
    "pbse-srse": (PbseSrse, PbseSrseSettings),
    "polycrystal": (Polycrystal, PolycrystalSettings),
}
SPECIMENS = tuple(_SPECIMENS)


def make_specimen(
    name: str,
    *,
    pixel_size_um: float = 0.1,
    extent_px: tuple[int, int] = (1200, 6000),
    seed: int = 0,
    blur_px: float = 0.6,
    **settings: Any,
) -> Specimen:
    """Return a virtual specimen.

    Parameters
    ----------
    name : str
        ``"ehea"``, ``"pbse-srse"`` or ``"polycrystal"``.
    pixel_size_um : float
        Edge of a pixel.
    extent_px : tuple of int
        (height, width) over which the planted trends run.
    seed : int
        Another seed gives another specimen.
    blur_px : float
        Deviation of the beam's point spread, px.
    **settings
        Fields of the specimen's own settings, such as ``bcc_low=0.28``.

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
    if name not in _SPECIMENS:
        raise UsageError(f"unknown specimen '{name}': use one of {', '.join(SPECIMENS)}")
    kind, model = _SPECIMENS[name]
    return kind(
        pixel_size_um=pixel_size_um,
        settings=checked(model, settings, "specimen."),  # type: ignore[call-arg]
        extent_px=extent_px,
        seed=seed,
        blur_px=blur_px,
    )


def open_specimen(truth_path: str | Path) -> Specimen:
    """Return the specimen of a recording, from its ``truth.h5``: its pixels and masks can be computed anew anywhere."""
    with h5py.File(truth_path, "r") as file:
        about = json.loads(file.attrs["specimen"])
    return make_specimen(
        about["name"],
        pixel_size_um=about["pixel_size_um"],
        extent_px=tuple(about["extent_px"]),
        seed=about["seed"],
        blur_px=about["blur_px"],
        **about["settings"],
    )


def describe(specimen: Specimen) -> str:
    """Return as JSON what `open_specimen` needs."""
    return json.dumps(
        {
            "name": specimen.name,
            "pixel_size_um": specimen.pixel_size_um,
            "extent_px": specimen.extent_px,
            "seed": specimen.seed,
            "blur_px": specimen.blur_px,
            "settings": specimen.settings.model_dump(mode="json"),  # type: ignore[attr-defined]
        }
    )
