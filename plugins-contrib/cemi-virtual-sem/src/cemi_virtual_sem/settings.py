"""What is recorded: every knob of the virtual microscope session, and the sizes that come ready made."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from cemi_core.errors import UsageError
from cemi_core.model.settings import Settings
from cemi_virtual_sem.detector import DetectorSettings
from cemi_virtual_sem.recorder import RecorderSettings
from cemi_virtual_sem.specimens import own_pixel_size_um
from cemi_virtual_sem.stage import StageSettings

SIZES = ("tiny", "small", "medium", "paper")
Mode = Literal["video", "stills"]
_Model = TypeVar("_Model", bound=Settings)


class SessionSettings(Settings):
    """A session at the virtual microscope."""

    pixel_size_um: float = Field(0.1, gt=0, description="Edge of a pixel, um.")
    width_px: int = Field(640, ge=64, multiple_of=2, description="Width of the picture.")
    height_px: int = Field(480, ge=64, multiple_of=4, description="Height of the picture, without the data bar.")
    bar_px: int = Field(40, ge=0, multiple_of=4, description="Height of the data bar below it; 0 for none.")
    passes: int = Field(3, ge=1, description="Number of stage passes.")
    stills: int = Field(48, ge=1, description="Number of stills over all passes (mode stills).")
    travel_px: float = Field(5376, gt=0, description="Way of the stage in one pass.")
    overlap_y: float = Field(0.324, gt=0, lt=1, description="Overlap of neighbouring passes.")
    scan_s: float = Field(2.7, gt=0, description="Time of one scan from its first to its last line, s.")
    flyback_s: float = Field(
        0.1, ge=0, description="Time between the last line of a scan and the first of the next, s."
    )
    px_per_scan: float = Field(96.0, gt=0, description="Way of the stage from one scan to the next, px (mode video).")
    hd: bool = Field(False, description="Write a slow-scan (HD) partner of every still.")
    hd_dwell: float = Field(9.7, gt=1, description="Dwell time of an HD picture relative to its LD partner.")
    pair_drift_px: float = Field(0.0, ge=0, description="Drift between LD and HD partner in each axis, px (deviation).")
    blur_px: float = Field(0.6, ge=0, le=4, description="Deviation of the beam's point spread, px.")
    hardness_points: int = Field(28, ge=5, description="Number of indents along x.")
    hardness_r: float = Field(
        0.633, gt=-1, lt=1, description="Planted correlation of hardness with the phase fraction."
    )
    specimen: dict[str, Any] = Field({}, description="Settings of the specimen; see the specimen's own model.")
    stage: StageSettings = Field(StageSettings(), description="How unevenly the stage moves.")
    detector: DetectorSettings = Field(DetectorSettings(), description="Dose, noise, bandwidth, shading.")
    recorder: RecorderSettings = Field(RecorderSettings(), description="The screen recording.")

    @property
    def scans_per_pass(self) -> int:
        """Completed scans in one pass (mode video)."""
        return round(self.travel_px / self.px_per_scan) + 1

    @property
    def step_y_px(self) -> float:
        """Way of the stage from one pass to the next, px."""
        return round((1 - self.overlap_y) * self.height_px)

    @property
    def extent_px(self) -> tuple[int, int]:
        """(height, width) of the part of the specimen that is recorded."""
        return round((self.passes - 1) * self.step_y_px) + self.height_px, round(self.travel_px) + self.width_px


_TINY: dict[str, Any] = {
    "width_px": 256, "height_px": 192, "bar_px": 24, "passes": 2, "stills": 12, "travel_px": 320, "px_per_scan": 64,
    "hardness_points": 8, "stage": {"placing_px": 2.0, "backlash_px": 3.0, "drift_px": 1.0},
}  # fmt: skip
_PAPER: dict[str, Any] = {
    "pixel_size_um": 0.222, "width_px": 1012, "height_px": 628, "bar_px": 44, "passes": 18, "stills": 3902,
    "travel_px": 122660, "px_per_scan": 142, "hardness_points": 55,
}  # fmt: skip
_SIZES: dict[str, dict[str, Any]] = {
    "tiny": _TINY,
    "small": {},
    "medium": {**_PAPER, "passes": 8, "stills": 400, "travel_px": 27867, "hardness_points": 28},
    "paper": _PAPER,
}
# At the small sizes the maps have few cells, so the planted properties vary more than in the paper (whose ranges are
# the specimen's defaults): more than what one cell of a coarse grid scatters by chance.
_WIDE_EHEA: dict[str, Any] = {"bcc_low": 0.25, "bcc_high": 0.45, "lamella_low": 0.15, "lamella_high": 0.6}
_SPECIMEN_BY_SIZE: dict[tuple[str, str], dict[str, Any]] = {
    ("ehea", "tiny"): {**_WIDE_EHEA, "colony_um": 8.0},
    ("ehea", "small"): _WIDE_EHEA,
    ("ehea", "medium"): {"colony_um": 24.0},
    ("ehea", "paper"): {"colony_um": 24.0},
    ("pbse-srse", "medium"): {"feature_um": 2.2},
    ("pbse-srse", "paper"): {"feature_um": 2.2},
}


def session_settings(
    specimen: str = "ehea", size: str = "small", overrides: Iterable[str] = (), **changes: Any
) -> SessionSettings:
    """Return the settings of a ready-made size, changed as wanted.

    Parameters
    ----------
    specimen : str
        Any installed specimen: sets its own ranges for the size, and its pixel size if it has one by its nature.
    size : str
        ``"tiny"`` (seconds, for tests), ``"small"`` (the demo), ``"medium"`` (400 stills of 1012 x 628 px) or
        ``"paper"`` (18 passes, 3,902 stills, as Lang et al. 2025).
    overrides : iterable of str
        ``"key=value"`` with dotted keys, such as ``"detector.dwell=9.7"`` or ``"specimen.bcc_low=0.3"``.
    **changes
        Further fields of `SessionSettings`; they replace.

    Raises
    ------
    UsageError
        An unknown size or key, or a value that does not fit.
    """
    if size not in _SIZES:
        raise UsageError(f"unknown size '{size}': use one of {', '.join(SIZES)}")
    values: dict[str, Any] = {**_SIZES[size], "specimen": dict(_SPECIMEN_BY_SIZE.get((specimen, size), {}))}
    own_um = own_pixel_size_um(specimen)
    values |= {"pixel_size_um": own_um} if own_um is not None else {}
    values |= changes
    for text in overrides:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise UsageError(f"--set takes key=value, such as detector.dwell=9.7, not '{text}'")
        _put(values, key.strip().split("."), _parsed(value.strip()), text)
    return checked(SessionSettings, values)


def checked(model: type[_Model], values: dict[str, Any]) -> _Model:
    """Return the settings object, or raise a `UsageError` that names every field that does not fit."""
    try:
        return model(**values)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        known = ", ".join(model.model_fields)
        hint = f" (known: {known})" if any(e["type"] == "extra_forbidden" for e in error.errors()) else ""
        raise UsageError(f"settings of the virtual microscope: {'; '.join(problems)}{hint}") from None


def _put(values: dict[str, Any], path: list[str], value: Any, text: str) -> None:
    for name in path[:-1]:
        inner = values.get(name, {})
        if not isinstance(inner, dict | Settings):
            raise UsageError(f"'{name}' in '{text}' has no settings below it")
        values[name] = dict(inner)
        values = values[name]
    values[path[-1]] = value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
