"""A session at the virtual microscope: recordings or stills of a specimen, with their truth, in a folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_virtual_sem.detector import Detector
from cemi_virtual_sem.hardness import planted_hardness_hv
from cemi_virtual_sem.recorder import ScanClock, compose, screen_frames, write_video
from cemi_virtual_sem.scan import ideal_scan, scan_pass
from cemi_virtual_sem.screen import data_bar
from cemi_virtual_sem.settings import Mode, SessionSettings, session_settings
from cemi_virtual_sem.specimen import Specimen
from cemi_virtual_sem.specimens import make_specimen
from cemi_virtual_sem.stage import StagePath, stage_path
from cemi_virtual_sem.truth import profile_along_x, truth_steps, write_truth

Progress = Callable[[int, int], None]
SCANS_HEADER = ("file", "row", "scan", "t_start_s", "t_end_s", "y_px", "x_px", "speed_px_per_s")
SCREEN_HEADER = ("file", "frame", "time_s", "scan", "lines_drawn", "repeated", "marker")
STILLS_HEADER = ("file", "row", "y_px", "x_px")


class Session:
    """A specimen under a microscope.

    Parameters
    ----------
    specimen : str
        ``"ehea"``, ``"pbse-srse"`` or ``"polycrystal"``.
    settings : SessionSettings
        What is recorded and how; `cemi_virtual_sem.settings.session_settings` has ready-made sizes.
    seed : int
        Sets specimen, stage, noise and recorder.
    """

    def __init__(self, specimen: str, settings: SessionSettings, seed: int = 0) -> None:
        self.settings = settings
        self.seed = seed
        self.specimen: Specimen = make_specimen(
            specimen,
            pixel_size_um=settings.pixel_size_um,
            extent_px=settings.extent_px,
            seed=seed,
            blur_px=settings.blur_px,
            **settings.specimen,
        )
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


def write_recording(
    out: str | Path,
    specimen: str = "ehea",
    settings: SessionSettings | str = "small",
    *,
    seed: int = 0,
    mode: Mode = "video",
    force: bool = False,
    progress: Progress = lambda done, total: None,
    threads: int = 2,
) -> Path:
    """Write a recording with its truth into a folder.

    Parameters
    ----------
    out : str or Path
        Folder; made if it is not there.
    specimen : str
        ``"ehea"``, ``"pbse-srse"`` or ``"polycrystal"``.
    settings : SessionSettings or str
        The session, or the name of a ready-made size.
    seed : int
        The same seed gives the same recording.
    mode : {"video", "stills"}
        One .mp4 for each pass, or ``frames/*.tif``.
    force : bool
        Write into a folder that is not empty.
    progress : callable
        ``progress(done, total)`` after each piece of work.
    threads : int
        Passes, or stills, made at the same time.

    Returns
    -------
    Path
        ``truth.h5``, the last file to appear.

    Raises
    ------
    InputError
        The folder is not empty, or a file of that name is in the way.
    """
    chosen = session_settings(specimen, settings) if isinstance(settings, str) else settings
    session = Session(specimen, chosen, seed)
    folder = _prepare(Path(out), force)
    count = chosen.stills if mode == "stills" else chosen.passes * session.settings.scans_per_pass
    step = _Counter(count + truth_steps(session.specimen), progress)
    if mode == "stills":
        _write_stills(folder, session, step, threads)
    else:
        _write_passes(folder, session, step, threads)
    truth = folder / "truth.h5"
    pending = folder / "truth.pending.h5"
    write_truth(pending, session.specimen, chosen.model_dump_json(), step, threads)
    _write_hardness(folder / "hardness.csv", pending, session)
    (folder / "session.json").write_text(
        json.dumps(
            {"specimen": specimen, "seed": seed, "mode": mode, "settings": chosen.model_dump(mode="json")}, indent=1
        )
    )
    return pending.replace(truth)


def _prepare(folder: Path, force: bool) -> Path:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"'{folder}' is a file: name a folder for the recording")
    if folder.exists() and any(folder.iterdir()) and not force:
        raise InputError(f"the folder '{folder}' is not empty: name another one, or use --force to write into it")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "truth.h5").unlink(missing_ok=True)
    return folder


class _Counter:
    """Counts finished pieces of work; called from several threads, where the exact order does not matter."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def __call__(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)


def _write_passes(folder: Path, session: Session, step: Callable[[], None], threads: int) -> None:
    rows = range(session.settings.passes)
    with ThreadPoolExecutor(threads) as pool:
        screens = list(pool.map(lambda row: _write_pass(folder, session, row, step), rows))
    scans = [record.values() for row in rows for record in session.scan_truth(row)]
    write_table(folder / "scans.csv", SCANS_HEADER, scans)
    write_table(folder / "screen.csv", SCREEN_HEADER, [line for lines in screens for line in lines])


def _write_pass(folder: Path, session: Session, row: int, step: Callable[[], None]) -> list[tuple[Any, ...]]:
    s, clock = session.settings, session.clock()
    name = f"{pass_name(row)}.mp4"
    # The recording stops within the last flyback, when the last scan is complete on the screen.
    duration_s = clock.end_s(session.settings.scans_per_pass - 1) + s.flyback_s / 2
    frames = screen_frames(duration_s, s.recorder, np.random.default_rng([session.seed, 7, row]))
    bar = data_bar(s.width_px, s.bar_px, s.pixel_size_um)

    def picture_of(scan: int) -> NDArray[np.uint8]:
        step()
        return session.scan(row, scan)

    screens = compose(frames, clock, picture_of, bar)
    write_video(folder / name, screens, (s.height_px + s.bar_px, s.width_px), s.recorder)
    lines = []
    for number, frame in enumerate(frames):
        scan, drawn = clock.front(frame.shown_s)
        lines.append((name, number, frame.time_s, scan, drawn, int(frame.repeated), int(frame.marker is not None)))
    return lines


def _write_stills(folder: Path, session: Session, step: Callable[[], None], threads: int) -> None:
    s, places = session.settings, session.still_places()
    kinds = ("frames", "hd") if s.hd else ("frames",)
    for kind in kinds:
        (folder / kind).mkdir(exist_ok=True)
    names = list(_still_names(places))

    def write(index: int) -> None:
        place = places[index][2]
        _write_tiff(folder / "frames" / names[index], session.still(index, place), s.pixel_size_um)
        if s.hd:
            slow = session.still(index, session.hd_place(index, place), slow=True)
            _write_tiff(folder / "hd" / names[index], slow, s.pixel_size_um)
        step()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, range(len(places))))
    found = [(f"frames/{names[i]}", row, *true) for i, (row, _, true) in enumerate(places)]
    if s.hd:
        found += [(f"hd/{names[i]}", row, *session.hd_place(i, true)) for i, (row, _, true) in enumerate(places)]
    write_table(folder / "stills.csv", STILLS_HEADER, found)
    nominal = [(f"frames/{names[i]}", *nominal) for i, (_, nominal, _) in enumerate(places)]
    write_table(folder / "positions.csv", ("file", "y_px", "x_px"), nominal)


def _still_names(places: Sequence[tuple[int, Any, Any]]) -> Iterator[str]:
    within: dict[int, int] = {}
    for row, _, _ in places:
        within[row] = within.get(row, 0) + 1
        yield f"{pass_name(row)}_{within[row]:04d}.tif"


def _write_tiff(path: Path, picture: NDArray[np.uint8], pixel_size_um: float) -> None:
    partial = path.with_name(path.name + ".partial")
    per_cm = 1e4 / pixel_size_um
    tifffile.imwrite(
        partial, picture, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER", photometric="minisblack"
    )
    partial.replace(path)


def _write_hardness(path: Path, truth: Path, session: Session) -> None:
    """Write hardness.csv (x_um, hv) and keep the planted and the found correlation in the truth file."""
    s, name = session.settings, f"{session.specimen.mask_names[0]}_fraction"
    x_um, fraction = profile_along_x(truth, name, s.hardness_points)
    hv = np.round(planted_hardness_hv(fraction, s.hardness_r, session.seed), 2)
    write_table(path, ("x_um", "hv"), zip(x_um, hv, strict=True))
    with h5py.File(truth, "r+") as file:
        table = file.create_dataset("hardness", data=np.column_stack([x_um, hv, fraction]))
        table.attrs.update(columns=["x_um", "hv", name], related_to=name, planted_r=s.hardness_r)
        table.attrs["r"] = float(np.corrcoef(hv, fraction)[0, 1])


def write_table(path: Path, header: Iterable[str], lines: Iterable[Iterable[Any]]) -> None:
    """Write a CSV table; floats with six digits after the point; it appears under its name when complete."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for line in lines:
            writer.writerow([f"{value:.6f}" if isinstance(value, float) else value for value in line])
    partial.replace(path)
