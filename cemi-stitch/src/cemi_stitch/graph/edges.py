"""Shifts between two frames that are known in one direction only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NormalShift:
    """A shift that is known in one direction.

    Attributes
    ----------
    first, second : int
        Frame indices, ``first < second``.
    normal : tuple of float
        Unit vector (y, x) across the lamellae.
    shift_px : tuple of float
        Position of ``second`` minus position of ``first``, (y, x), px: right along ``normal``, expected along the
        lamellae.
    sigma_px : float
        Standard error along ``normal``, px.
    quality : float
        Correlation of the overlap.
    overlap_px : int
        Pixels that were compared.
    normal_sigma_rad : float
        Standard error of the direction of ``normal``.
    """

    first: int
    second: int
    normal: tuple[float, float]
    shift_px: tuple[float, float]
    sigma_px: float
    quality: float
    overlap_px: int
    normal_sigma_rad: float
