"""A session at the virtual microscope: where the stage is, what each scan and each still shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_virtual_sem.detector import Detector
from cemi_virtual_sem.recorder import ScanClock
from cemi_virtual_sem.scan import ideal_scan, scan_pass
from cemi_virtual_sem.settings import SessionSettings, session_settings
from cemi_virtual_sem.specimens import SpecimenChoice
from cemi_virtual_sem.stage import StagePath, stage_path

SCANS_HEADER = ("file", "row", "scan", "t_start_s", "t_end_s", "y_px", "x_px", "speed_px_per_s")


class Session:
    """A specimen under a microscope.

    Parameters
    ----------
    specimen : str
        Any installed specimen: ``"ehea"``, ``"pbse-srse"``, ``"polycrystal"``, ``"voronoi"``, ...
    settings : SessionSettings
        What is recorded and how; `cemi_virtual_sem.settings.session_settings` has ready-made sizes.
    seed : int
        Sets specimen, stage, noise and recorder.
    """

    def __init__(self, specimen: str, settings: SessionSettings, seed: int = 0) -> None:
        self.settings = settings
        self.seed = seed
        self.choice = SpecimenChoice(
            specimen, settings.pixel_size_um, settings.extent_px, seed, settings.blur_px, settings.specimen
        )
        self.specimen = self.choice.make()
        self.detector = Detector(settings.detector, seed)
        slow = settings.detector.model_copy(update={"dwell": settings.detector.dwell * settings.hd_dwell})
        self.slow_detector = Detector(slow, seed)

    def clock(self) -> ScanClock:
        """Return when scans of a pass are drawn."""
        s = self.settings
        return ScanClock(s.scan_s, s.flyback_s, s.height_px)

    def path(self, row: int) -> StagePath:
        """Return the stage's motion in a pass."""
        s, clock = self.settings, self.clock()
        speed = s.px_per_scan / (s.scan_s + s.flyback_s)
        duration = clock.end_s(self.settings.scans_per_pass - 1)
        rng = np.random.default_rng([self.seed, 1, row])
        # Half a scan early, so that the first scan's middle lies near x = 0, where the recorded part begins.
        start_px = (row * s.step_y_px, -speed * s.scan_s / 2)
        return stage_path(start_px, speed, duration, s.stage, rng)

    def scan(self, row: int, scan: int) -> NDArray[np.uint8]:
        """Return the picture of one scan of a pass, as the screen shows it when complete."""
        s, start_s = self.settings, self.clock().start_s(scan)
        ideal = scan_pass(self.specimen, self.path(row), start_s, s.scan_s, (s.height_px, s.width_px))
        return to_grey8(self.detector.record(ideal, self._rng(2, row, scan), self._session_s(row, start_s)))

    def scan_truth(self, row: int) -> list[dict[str, Any]]:
        """Return one record for each completed scan of a pass, with the keys of `SCANS_HEADER`."""
        path, clock = self.path(row), self.clock()
        records = []
        for scan in range(self.settings.scans_per_pass):
            middle_s = (clock.start_s(scan) + clock.end_s(scan)) / 2
            y, x = path.position_px(middle_s)
            values = (clock.start_s(scan), clock.end_s(scan), float(y), float(x), path.speed_at(middle_s))
            records.append(dict(zip(SCANS_HEADER, (f"{pass_name(row)}.mp4", row, scan, *values), strict=True)))
        return records

    def still_places(self) -> list[tuple[int, tuple[float, float], tuple[float, float]]]:
        """Return for every still its pass, its nominal and its true (y, x), px; passes all run along +x."""
        s, places = self.settings, []
        for row in range(s.passes):
            count = s.stills // s.passes + (row < s.stills % s.passes)
            for column in range(count):
                nominal = (float(row * s.step_y_px), column * s.travel_px / max(count - 1, 1))
                error = s.stage.placing_px * self._rng(3, row, column).standard_normal(2)
                places.append((row, nominal, (nominal[0] + float(error[0]), nominal[1] + float(error[1]))))
        return places

    def still(self, index: int, place: tuple[float, float], slow: bool = False) -> NDArray[np.uint8]:
        """Return still number ``index``, taken at ``place`` (y, x); the stage rests. ``slow`` gives the HD partner."""
        s = self.settings
        lines = np.ones(s.height_px)
        ideal = ideal_scan(self.specimen, place[0] * lines, place[1] * lines, s.width_px)
        detector = self.slow_detector if slow else self.detector
        return to_grey8(detector.record(ideal, self._rng(5 if slow else 4, index), index * s.scan_s))

    def hd_place(self, index: int, place: tuple[float, float]) -> tuple[float, float]:
        """Return the true place of the HD partner of a still: the specimen may have drifted in between."""
        drift = self.settings.pair_drift_px * self._rng(6, index).standard_normal(2)
        return place[0] + float(drift[0]), place[1] + float(drift[1])

    def _session_s(self, row: int, time_s: float) -> float:
        return row * self.clock().start_s(self.settings.scans_per_pass) + time_s

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence([self.seed, *key])))


def pass_name(row: int) -> str:
    """Return the name of a pass: ``pass01`` for row 0."""
    return f"pass{row + 1:02d}"


def to_grey8(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return grey levels in [0, 1] as 8 bit, clipped."""
    return np.clip(picture * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)


def still_frames(
    specimen: str = "ehea", size: str = "tiny", seed: int = 0, overrides: Iterable[str] = ()
) -> tuple[list[NDArray[np.uint8]], NDArray[np.float64]]:
    """Return overlapping stills in memory, and where they truly lie.

    Parameters
    ----------
    specimen, size, overrides
        See `cemi_virtual_sem.settings.session_settings`.
    seed : int
        Another seed gives other pictures.

    Returns
    -------
    images : list of ndarray of uint8, shape (h, w)
        In order of acquisition, pass after pass.
    positions_px : ndarray, shape (n, 2)
        True (y, x) of each image's first pixel on the specimen.
    """
    session = Session(specimen, session_settings(specimen, size, overrides), seed)
    places = [true for _, _, true in session.still_places()]
    return [session.still(index, place) for index, place in enumerate(places)], np.array(places)
