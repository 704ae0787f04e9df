"""How near a picture comes to a better one of the same field: one number each, for the command line and for training.

All take two pictures (h, w), float in [0, 1], registered to the pixel, and raise `InputError` where they cannot be
compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cemi_core.errors import InputError
from cemi_core.model.stages import Runtime

Picture = NDArray[np.floating]
Metric = Callable[[Picture, Picture], float]

#: Share of the pixels of the reference, those with the steepest slopes, that count as edges.
_EDGE_SHARE = 0.05
#: Smoothing before slopes are taken, px.
_SLOPE_SIGMA_PX = 1.0
_SMALLEST_PX = 16


def _size_of(picture: Picture) -> str:
    return " x ".join(str(edge) for edge in picture.shape[::-1])


def _on_comparable_pictures(metric: Metric) -> Metric:
    """Check both pictures first, and let the metric see float64."""

    @wraps(metric)
    def checked(image: Picture, reference: Picture) -> float:
        if image.shape != reference.shape:
            sizes = f"{_size_of(image)} and {_size_of(reference)}"
            raise InputError(f"only pictures of the same field and size can be compared, not of {sizes} px")
        if image.ndim != 2 or min(image.shape) < _SMALLEST_PX:
            raise InputError(
                f"pictures to compare are grey and at least {_SMALLEST_PX} px a side, not {_size_of(image)} px"
            )
        if not (np.isfinite(image).all() and np.isfinite(reference).all()):
            raise InputError("pictures to compare hold pixels that are not numbers; crop them away")
        return float(metric(np.asarray(image, np.float64), np.asarray(reference, np.float64)))

    return checked


@_on_comparable_pictures
def psnr(image: Picture, reference: Picture) -> float:
    """Return the peak signal-to-noise ratio, dB, where 1 is the peak; infinite for equal pictures."""
    error = float(np.mean((image - reference) ** 2))
    return float("inf") if error == 0 else -10 * float(np.log10(error))


@_on_comparable_pictures
def ssim(image: Picture, reference: Picture) -> float:
    """Return the structural similarity, at most 1, with Gaussian windows of 1.5 px (Wang et al., IEEE TIP 2004)."""
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(
            image, reference, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )


def phase_fraction(image: Picture) -> float:
    """Return the share of the pixels above Otsu's threshold of the picture itself; NaN where it is all one grey."""
    from skimage.filters import threshold_otsu

    if np.ptp(image) == 0:
        return float("nan")
    return float(np.mean(image > threshold_otsu(np.asarray(image))))


@_on_comparable_pictures
def phase_fraction_difference(image: Picture, reference: Picture) -> float:
    """Return by how many percentage points the phase fractions by Otsu's threshold differ, at least 0.

    Each picture has its own threshold, as one who has only that picture would take it (Lang et al., Microstructures
    2025, 5, 2025004, Supplementary Fig. 1).
    """
    return 100 * abs(phase_fraction(image) - phase_fraction(reference))


@_on_comparable_pictures
def edge_sharpness(image: Picture, reference: Picture) -> float:
    """Return how steep the edges of the reference are in the picture, as a share of how steep they are there.

    1 is as sharp, below 1 blurred, above 1 sharpened. The slopes (derivatives of a Gaussian of 1 px) of the picture are
    projected on those of the reference at the 5 % of its pixels that are steepest, so that noise in the picture
    averages out; noise in the reference lowers the number. NaN for a reference without edges.
    """
    slopes = [_slopes(picture) for picture in (image, reference)]
    steepness = (slopes[1] ** 2).sum(0)
    edges = steepness >= max(np.quantile(steepness, 1 - _EDGE_SHARE), 1e-12)
    if not edges.any():
        return float("nan")
    return float((slopes[0] * slopes[1]).sum(0)[edges].sum() / steepness[edges].sum())


def _slopes(picture: Picture) -> NDArray[np.float64]:
    return np.stack([gaussian_filter(picture, _SLOPE_SIGMA_PX, order=order) for order in ((1, 0), (0, 1))])


@dataclass(frozen=True)
class PowerRatio:
    """Power of a picture over that of another, by frequency.

    Attributes
    ----------
    frequency : ndarray of float, shape (bins,)
        Cycles per px, 0 to 0.5.
    ratio : ndarray of float, shape (bins,)
        Above 1: noise that was left, or texture that was added; below 1: detail that was lost.
    """

    frequency: NDArray[np.float64]
    ratio: NDArray[np.float64]


def power_spectrum_ratio(image: Picture, reference: Picture, bins: int = 32) -> PowerRatio:
    """Return the power of ``image`` over that of ``reference``, averaged over rings of like frequency.

    Parameters
    ----------
    image, reference : ndarray, shape (h, w)
        Finite.
    bins : int
        Number of rings between 0 and 0.5 cycles per px.
    """
    powers = [radial_power(picture - picture.mean(), bins) for picture in (image, reference)]
    tiny = 1e-20 * max(float(powers[1].sum()), 1e-300)
    return PowerRatio(ring_frequencies(bins), (powers[0] + tiny) / (powers[1] + tiny))


def radial_power(picture: Picture, bins: int) -> NDArray[np.float64]:
    """Return the power of a picture (h, w) of mean 0, tapered, in rings of like frequency; see `ring_frequencies`."""
    height, width = picture.shape
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = np.abs(np.fft.rfft2(picture * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    ring = np.minimum((frequency * 2 * bins).astype(int), bins)  # the last one holds the corners beyond 0.5
    return np.bincount(ring.ravel(), power.ravel(), bins + 1)[:bins]


def ring_frequencies(bins: int) -> NDArray[np.float64]:
    """Return the middle of each of the rings between 0 and 0.5 cycles per px."""
    return (np.arange(bins) + 0.5) / (2 * bins)


@_on_comparable_pictures
def power_spectrum_distance(image: Picture, reference: Picture) -> float:
    """Return how far the power spectra lie apart, dB: the mean over frequencies of the magnitude of their ratio."""
    return float(np.mean(np.abs(10 * np.log10(power_spectrum_ratio(image, reference).ratio))))


@dataclass(frozen=True)
class LpipsMetric:
    """LPIPS of two arrays.

    Parameters
    ----------
    network : Lpips
    """

    network: Any

    def __call__(self, image: Picture, reference: Picture) -> float:
        """Return LPIPS (AlexNet, version 0.1) of two pictures, grey seen as equal red, green and blue; 0 is equal."""
        return _on_comparable_pictures(self._distance)(image, reference)

    def _distance(self, image: Picture, reference: Picture) -> float:
        import torch

        from cemi_denoise.judge.lpips import SMALLEST_PX

        if min(image.shape) < SMALLEST_PX:
            raise InputError(f"LPIPS needs pictures of at least {SMALLEST_PX} px a side, not {_size_of(image)} px")
        one, two = (torch.from_numpy(picture.astype(np.float32))[None, None] for picture in (image, reference))
        with torch.inference_mode():
            return float(self.network(one, two))


def _made(metric: Metric) -> Callable[[Any, Runtime], Metric]:
    return lambda settings, runtime: metric


make_psnr = _made(psnr)
make_ssim = _made(ssim)
make_phase_fraction = _made(phase_fraction_difference)
make_edge_sharpness = _made(edge_sharpness)
make_power_spectrum = _made(power_spectrum_distance)


def make_lpips(settings: Any, runtime: Runtime) -> LpipsMetric:
    """Return LPIPS with the weights that are here.

    Raises
    ------
    InputError
        There are none.
    """
    from cemi_denoise.judge.lpips import load_lpips

    return LpipsMetric(load_lpips(runtime.weights_dir))


def available_metrics(weights_dir: str | Path | None = None) -> dict[str, Metric]:
    """Return every metric by its name; LPIPS only where its weights are."""
    metrics: dict[str, Metric] = {
        "psnr": psnr,
        "ssim": ssim,
        "phase-fraction": phase_fraction_difference,
        "edge-sharpness": edge_sharpness,
        "power-spectrum": power_spectrum_distance,
    }
    try:
        metrics["lpips"] = make_lpips(None, Runtime(weights_dir=None if weights_dir is None else str(weights_dir)))
    except InputError:
        return metrics
    return metrics
