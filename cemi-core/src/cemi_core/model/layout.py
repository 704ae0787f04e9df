"""Layouts: where every frame lies, how well it is known, and which pairs of frames say so."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box


@dataclass(frozen=True, slots=True)
class PairShift:
    """The measured shift between two overlapping frames.

    Attributes
    ----------
    first, second : int
        Frame indices, ``first < second``.
    shift_px : tuple of float
        (dy, dx): position of ``second`` minus position of ``first``, px, sub-pixel.
    quality : float
        Zero-mean normalised cross-correlation of the overlap, -1 to 1 (another matcher may use its own measure of
        0 to 1).
    overlap_px : int
        Pixels in the overlap.
    sigma_px : float
        Estimated standard error of the shift in each axis, px; NaN if unknown.
    kept : bool
        False if the solve did not use the pair.
    reason : str
        Why it was not used; empty if it was.
    candidates : tuple of ((dy, dx), quality)
        Other shifts that fit nearly as well (periodic structures), px, best first; the solve may take one of them
        instead of ``shift_px``.
    """

    first: int
    second: int
    shift_px: tuple[float, float]
    quality: float
    overlap_px: int = 0
    sigma_px: float = float("nan")
    kept: bool = True
    reason: str = ""
    candidates: tuple[tuple[tuple[float, float], float], ...] = ()

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> PairShift:
        """Return the pair whose fields, as `dataclasses.asdict` gives them, went through JSON."""
        peaks = ((tuple(shift), quality) for shift, quality in entry.get("candidates", ()))
        return cls(**{**entry, "shift_px": tuple(entry["shift_px"]), "candidates": tuple(peaks)})

    def dropped(self, reason: str) -> PairShift:
        """Return this pair marked as not used."""
        return replace(self, kept=False, reason=reason)


@dataclass(frozen=True, slots=True)
class ScanGeometry:
    """How the pictures differ from a plain, true-to-scale view along the stage's axes, the same for all frames.

    Each number stands beside its standard error (``..._error``); NaN where the frames do not tell. Overlaps alone
    cannot tell a shear, scale or rotation that all frames share, because the mosaic is then distorted as a whole and
    consistently; they are seen against the stage's nominal steps, or where frames differ.

    Attributes
    ----------
    shear_px_per_line : float
        How far each line of a picture is imaged to larger x than the line before it, px (a moving stage).
    rotation_rad : float
        Angle of the stage's x axis in the pictures, from x towards y (downwards).
    scale_y, scale_x : float
        Pictured length of a stage step over its nominal length along y and x.
    distortion_px : float
        Root mean square displacement within a frame by what is left of quadratic and cubic distortion, px.
    """

    shear_px_per_line: float = float("nan")
    shear_px_per_line_error: float = float("nan")
    rotation_rad: float = float("nan")
    rotation_rad_error: float = float("nan")
    scale_y: float = float("nan")
    scale_y_error: float = float("nan")
    scale_x: float = float("nan")
    scale_x_error: float = float("nan")
    distortion_px: float = float("nan")
    distortion_px_error: float = float("nan")


def _unknown_sigma() -> NDArray[np.float64]:
    return np.zeros((0, 2))


@dataclass(frozen=True)
class Layout:
    """Where every frame lies in the mosaic.

    Attributes
    ----------
    positions_px : ndarray of float64, shape (n, 2)
        (y, x) of the centre of each frame's first pixel in mosaic coordinates, finite; the smallest y and x are 0.
    shapes : ndarray of int, shape (n, 2)
        (height, width) of each frame.
    component : ndarray of int, shape (n,)
        Frames joined by kept pairs share a number; 0 is the largest component.
    residual_px : ndarray of float, shape (n,)
        Root mean square distance between measured and solved shifts over the frame's kept pairs; NaN without pairs.
    gain, offset : ndarray of float, shape (n,)
        Brightness correction: corrected = gain * image + offset, on the [0, 1] scale.
    placed_by_prior : ndarray of bool, shape (n,)
        True where no kept pair reaches the largest component, so that the place is that of the stage model.
    pairs : tuple of PairShift
        Every pair that was measured, kept or not.
    notes : tuple of str
        Sentences for the report: what is weak and why.
    sigma_px : ndarray of float64, shape (n, 2)
        Standard error of each place (y, x) relative to the middle of the largest component, px; that of the stage model
        where ``placed_by_prior``; NaN where unknown (the default for all frames).
    geometry : ScanGeometry
        What the pictures tell of the scan; NaN where they do not.
    flat_field : ndarray of float64, shape (m, k), or None
        Shading that all frames share: their relative brightness, mean 1, at points spread evenly from the first pixel
        to the last. It is divided out (`cemi_core.model.corrections`) before ``gain`` and ``offset``.
    affine : ndarray of float64, shape (n, 2, 2), or None
        For frames that are turned, stretched or sheared against the others: the pixel at (y, x) from a frame's middle
        lies at ``affine @ (y, x)`` from the middle of its place. None where all are the identity.
    """

    positions_px: NDArray[np.float64]
    shapes: NDArray[np.int64]
    component: NDArray[np.int64]
    residual_px: NDArray[np.float64]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    placed_by_prior: NDArray[np.bool_]
    pairs: tuple[PairShift, ...] = ()
    notes: tuple[str, ...] = ()
    sigma_px: NDArray[np.float64] = field(default_factory=_unknown_sigma)
    geometry: ScanGeometry = ScanGeometry()
    flat_field: NDArray[np.float64] | None = None
    affine: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if len(self.sigma_px) != len(self.positions_px):
            object.__setattr__(self, "sigma_px", np.full((len(self.positions_px), 2), np.nan))

    def __len__(self) -> int:
        return len(self.positions_px)

    @property
    def mosaic_shape(self) -> tuple[int, int]:
        """(height, width) of the smallest mosaic that holds every frame, px."""
        ends = np.ceil(self.positions_px + self.shapes).max(axis=0)
        return int(ends[0]), int(ends[1])

    def affine_of(self, index: int) -> NDArray[np.float64] | None:
        """Return the linear map of frame ``index``, shape (2, 2); None if it is the identity."""
        if self.affine is None or np.array_equal(self.affine[index], np.eye(2)):
            return None
        return np.asarray(self.affine[index])

    def frame_box(self, index: int) -> Box:
        """Return the mosaic pixels that frame ``index`` may touch."""
        y, x = np.floor(self.positions_px[index]).astype(int)
        height, width = self.shapes[index]
        return Box(int(y), int(x), int(height) + 1, int(width) + 1)

    def frames_in(self, box: Box) -> NDArray[np.int64]:
        """Return the indices of the frames that touch ``box``, in order."""
        low = self.positions_px
        high = low + self.shapes
        hit = (
            (low[:, 0] < box.y + box.height)
            & (high[:, 0] > box.y - 1)
            & (low[:, 1] < box.x + box.width)
            & (high[:, 1] > box.x - 1)
        )
        return np.flatnonzero(hit)


def write_layout_csv(path: Path, layout: Layout, names: Sequence[str]) -> None:
    """Write the table ``index,file,y_px,x_px,component,residual_px``, one line per frame."""
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["index", "file", "y_px", "x_px", "component", "residual_px"])
        for index, name in enumerate(names):
            y, x = layout.positions_px[index]
            residual = layout.residual_px[index]
            writer.writerow(
                [
                    index,
                    name,
                    f"{y:.4f}",
                    f"{x:.4f}",
                    int(layout.component[index]),
                    "" if np.isnan(residual) else f"{residual:.4f}",
                ]
            )
