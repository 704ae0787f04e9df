"""What a cell shows of its phases: marks that were drawn, shading, grey levels, further ones, how far to trust them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from cemi_analyze.phases.drawn import drawn_on
from cemi_analyze.phases.edges import Edges, edges_of
from cemi_analyze.phases.histogram import Histogram, histogram_of, without_steps
from cemi_analyze.phases.mixture import Mixture
from cemi_analyze.phases.mixture_fit import fit_mixture
from cemi_analyze.phases.shading import flat_matrix, without_shading
from cemi_analyze.phases.spots import Spots, is_one_level, rare_spots
from cemi_analyze.picture.cell import Cell
from cemi_core.numeric.noise import noise_std

#: Smoothing where noise hides the levels, px, the separation below which that is so, and how much of the picture may
#: lie on borders: where half of it does, smoothing hides more than it shows.
_AGAINST_NOISE_PX, _NOISY, _BORDERS_ALL_OVER = 0.6, 3.3, 0.5
#: A fit that leaves so much of the histogram unexplained, beyond what counting explains, is none; where the phases are
#: uneven, or a filter took the noise, a wrong one fits almost as well as the right one.
_UNEXPLAINED, _UNEXPLAINED_UNEVEN = 0.025, 0.01
#: Least distance of levels over their deviations.
_APART = 1.9
#: The same for a fit by which others are judged, and for three phases.
_TOLD_APART, _THREE_APART = 2.3, 2.6
#: Levels further apart than so many deviations of the noise need no smoothing to be told from a third one.
_CLEAR = 8.0
#: Least share of the borders that are seen which a fit must hold as mixed pixels, and how much it may be short.
_BORDERS_HELD, _BORDERS_SHORT = 0.45, 0.04
#: Pixels that lie further off than this many deviations are of a further level; least share that counts; largest
#: share of a darker one (pores) that is left out instead of refusing to answer.
_FAR, _FURTHER, _MOST_PORES = 4.5, 0.001, 0.12
#: Distance of a further level from the nearest, over that between the phases: the wide places of a phase whose
#: lamellae are thin lie nearer.
_AWAY = 0.65
#: Least share of a level between two others: less is the borders' doing.
_LEAST_MIDDLE = 0.06
#: Share of its pixels that lie 2 px inside areas of such a level; of thin lamellae hardly any do.
_WIDE = 0.12
#: Levels are sharp if they scatter by less than so many deviations of the noise, or lie so many of theirs apart.
_SHARP, _SHARP_APART = 1.4, 8.0
#: Smoothing under which further levels are looked for, px; noise that is left of white noise.
_SEEN_PX, _LEFT = 1.0, 0.2821
#: Thickness of lamellae in widths of the beam at which pure levels are still reached; share of borders that are all.
_CROWDED, _ALL_BORDER = 0.7, 1.0
#: How far off a share is for the part of the contrast by which thin lamellae miss their level, measured on made ones.
_THIN_OFF, _THIN_MOST = 7.0, 0.25

NO_CONTRAST = "no two-phase contrast above the noise"


@dataclass(frozen=True)
class Evidence:
    """What the picture of one cell shows.

    Attributes
    ----------
    image : ndarray of float32, shape (h, w)
        The cell without shading.
    valid : ndarray of bool, shape (h, w)
        Pixels of the phases: imaged, not drawn, not of pores.
    mixture : Mixture or None
        The best fit of the phases; None where there is no contrast at all.
    fits : bool
        Whether it can be believed.
    edges : Edges or None
    systematic, of_thin : float
        95 % half-width of a share by the fit, and the part of it that thin phases have by any method.
    histogram : Histogram or None
    drawn, pores : float
        Share of the pixels that were left out.
    one_level : bool
        Nothing but noise is there, and spots of a rare phase if any.
    spots : Spots or None
    further : str
        A level beyond those asked for, in words; empty without one.
    """

    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    mixture: Mixture | None = None
    fits: bool = False
    edges: Edges | None = None
    systematic: float = 0.0
    of_thin: float = 0.0
    histogram: Histogram | None = None
    drawn: float = 0.0
    pores: float = 0.0
    one_level: bool = False
    spots: Spots | None = None
    further: str = ""


def look_at(cell: Cell, phases: int = 2, levelling: bool = True) -> Evidence:
    """Return what the picture of a cell shows of its phases.

    Parameters
    ----------
    cell : Cell
    phases : int
        Number of grey levels that are phases; more than these are refused or, if darker and rare, taken for pores.
    levelling : bool
        Take out shading.
    """
    image = np.ascontiguousarray(cell.image[cell.core])
    valid = cell.valid[cell.core]
    bars = drawn_on(image, valid)
    valid = valid & ~bars.mask
    if valid.sum() < 32 * 32 or float(image[valid].max() - image[valid].min()) <= 1e-6:
        return Evidence(image, valid, drawn=bars.share)
    image = without_steps(image)
    noise = noise_std(image)
    if phases == 2:
        flat = flat_matrix(image, valid) if levelling else image
        spots = rare_spots(flat, valid)
        if is_one_level(flat, valid, spots):
            return Evidence(flat, valid, drawn=bars.share, one_level=True, spots=spots)
    mixture = fit_mixture(histogram_of(image[valid]), phases, noise)
    if mixture is None:
        return Evidence(image, valid, drawn=bars.share)
    found = Evidence(image, valid, mixture, drawn=bars.share)
    found = _with_far_levels(_with_third_level(found, noise) if phases == 2 else found, phases, noise)
    if levelling and not found.further:
        found = _with_far_levels(_levelled(found, phases, noise), phases, noise)
    return found if found.further else _judged(found, phases, noise)


def _levelled(found: Evidence, phases: int, noise: float) -> Evidence:
    image, mixture = found.image, found.mixture
    assert mixture is not None
    for _ in range(2):
        flat = without_shading(image, found.valid, mixture)
        if flat is image:
            break
        image = flat
        mixture = fit_mixture(histogram_of(image[found.valid]), phases, noise) or mixture
    return replace(found, image=image, mixture=mixture)


def _with_far_levels(found: Evidence, phases: int, noise: float) -> Evidence:
    """Leave out what is far darker than the darkest phase; say what is far brighter, or darker and too much."""
    mixture = found.mixture
    if mixture is None or found.further or mixture.separation < _TOLD_APART or not _is_sharp(mixture, noise):
        return found
    smooth = np.asarray(cv2.GaussianBlur(found.image, (0, 0), _SEEN_PX), np.float32)
    dark, bright = float(mixture.levels[0]), float(mixture.levels[-1])
    contrast = bright - dark
    left = max(_LEFT * noise, 0.3 * float(mixture.deviations.min()))
    reach = _FAR * left + 0.2 * contrast
    darker, brighter = found.valid & (smooth < dark - reach), found.valid & (smooth > bright + reach)
    number = float(found.valid.sum())
    few = max(_FURTHER * number, 12)
    if max(darker.sum(), brighter.sum()) < few or not _holds_borders(mixture, found, noise):
        return found
    if brighter.sum() >= 2 * few and float(smooth[brighter].mean(dtype=np.float64)) - bright > _AWAY * contrast:
        share = float(brighter.sum() / number)
        return replace(found, further=f"a further grey level, brighter, in about {_percent(share)} of the area")
    if darker.sum() < few or dark - float(smooth[darker].mean(dtype=np.float64)) < _AWAY * contrast:
        return found
    return _without_pores(found, darker, phases, noise)


def _with_third_level(found: Evidence, noise: float) -> Evidence:
    """Leave out pores, and say another third level, where three phases explain what two do not."""
    two = found.mixture
    if two is None or (two.separation >= _TOLD_APART and two.unexplained < _UNEXPLAINED):
        return found
    image = found.image
    if two.levels[-1] - two.levels[0] < _CLEAR * noise:
        image = np.asarray(cv2.GaussianBlur(found.image, (0, 0), _AGAINST_NOISE_PX), np.float32)
    three = fit_mixture(histogram_of(image[found.valid]), 3, noise_std(image))
    if three is None or three.separation < _THREE_APART or three.shares.min() < _FURTHER:
        return found
    left = three.unexplained
    if left > 0.6 * _UNEXPLAINED or left > 0.6 * two.unexplained:
        return found
    if three.shares[1] < _LEAST_MIDDLE and three.shares[0] > _MOST_PORES:
        return found
    if not _is_sharp(three, noise) or not _holds_borders(three, found, noise):
        return found
    dark, middle, bright = three.levels
    if three.shares[0] < _MOST_PORES and middle - dark > _AWAY * (bright - middle):
        smooth = np.asarray(cv2.GaussianBlur(found.image, (0, 0), _SEEN_PX), np.float32)
        return _without_pores(found, found.valid & (smooth < 0.5 * (dark + middle)), 2, noise)
    if bright - middle < _AWAY * (middle - dark) or three.shares[2] > three.shares[1]:
        smooth = np.asarray(cv2.GaussianBlur(found.image, (0, 0), _SEEN_PX), np.float32)
        between = np.abs(smooth - np.float32(middle)) < np.float32(0.5 * min(middle - dark, bright - middle))
        inside = cv2.erode(between.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        if inside.sum() < _WIDE * between.sum():
            return found
    shares = ", ".join(_percent(share) for share in three.shares)
    return replace(found, further=f"three grey levels ({shares} of the area)")


def _without_pores(found: Evidence, pores: NDArray[np.bool_], phases: int, noise: float) -> Evidence:
    """Leave out pores with their blurred borders, and fit the phases anew."""
    share = float(pores.sum() / found.valid.sum())
    around = cv2.dilate(pores.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11))) > 0
    valid = found.valid & ~around
    if share > _MOST_PORES or valid.sum() < 32 * 32:
        return found
    again = fit_mixture(histogram_of(found.image[valid]), phases, noise)
    return replace(found, valid=valid, mixture=again or found.mixture, pores=found.pores + share)


def _judged(found: Evidence, phases: int, noise: float) -> Evidence:
    """Choose between the picture as it is and lightly smoothed; say whether and how far the fit can be believed."""
    assert found.mixture is not None
    raw = found.mixture
    histogram = histogram_of(found.image[found.valid])
    chosen, apart = raw, 0.0
    if raw.separation < _NOISY:
        smooth = np.asarray(cv2.GaussianBlur(found.image, (0, 0), _AGAINST_NOISE_PX), np.float32)
        other = fit_mixture(histogram_of(smooth[found.valid]), phases, noise_std(smooth))
        if other is not None:
            hidden = raw.mixed > _BORDERS_ALL_OVER and raw.separation > 2.2
            chosen = raw if hidden else other
            apart = float(np.abs(raw.shares - other.shares).max()) if raw.separation >= _APART else 0.0
            histogram = histogram if hidden else histogram_of(smooth[found.valid])
    edges = edges_of(found.image, found.valid, float(chosen.levels[0]), float(chosen.levels[-1]), noise)
    unexplained = chosen.unexplained
    most = _UNEXPLAINED if _is_sharp(chosen, noise) else _UNEXPLAINED_UNEVEN
    believed = chosen.separation >= _APART and unexplained < most
    believed &= float(chosen.shares.min()) > 2e-4
    if phases == 2 and edges is not None and math.isinf(chosen.thickness):
        believed &= chosen.mixed > _BORDERS_HELD * min(edges.mixed, 1.0) - _BORDERS_SHORT
    of_thin = _of_thin(chosen, edges) if phases == 2 else 0.0
    parts = (
        0.5 * apart,
        0.2 * chosen.mixed / max(chosen.separation, 1.0),
        unexplained,
        of_thin,
    )
    return replace(
        found,
        mixture=chosen,
        fits=believed,
        edges=edges,
        histogram=histogram,
        systematic=math.hypot(*parts),
        of_thin=of_thin,
    )


def _is_sharp(mixture: Mixture, noise: float) -> bool:
    """Return whether levels are those of phases: histograms of uneven phases too can be cut into any number of them."""
    return float(mixture.deviations.mean()) < _SHARP * noise or mixture.separation > _SHARP_APART


def _holds_borders(mixture: Mixture, found: Evidence, noise: float) -> bool:
    """Return whether a fit has the mixed pixels that the borders in the picture must have."""
    shares = mixture.shares
    lower = int(np.argmax(shares[1:] + shares[:-1]))
    dark, bright = (float(level) for level in mixture.levels[lower : lower + 2])
    edges = edges_of(found.image, found.valid, dark, bright, noise)
    return edges is None or mixture.mixed > _BORDERS_HELD * min(edges.mixed, 1.0) - _BORDERS_SHORT


def _of_thin(mixture: Mixture, edges: Edges | None) -> float:
    """Return how far a share may be off because thin phases do not reach their own grey level."""
    share = float(mixture.shares.min())
    if math.isfinite(mixture.thickness):
        return 0.5 * share * math.exp(1.5 - mixture.thickness)
    if edges is None:
        return 0.0
    short = 2 * (1 - float(ndtr(0.5 * edges.thinner)))
    crowded = float(np.clip((edges.mixed - _CROWDED) / (_ALL_BORDER - _CROWDED), 0, 1))
    return min(math.hypot(_THIN_OFF * short * share, 0.9 * crowded * share * (1 - share)), _THIN_MOST)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
