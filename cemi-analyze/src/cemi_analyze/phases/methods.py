"""Phases by thresholds, regions and superpixels: a class for each pixel, from dark to bright."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_analyze.phases.histogram import histogram_of
from cemi_analyze.picture.texture import smoothed_against_noise

_PAPER_WINDOW_PX = 11
_PAPER_OFFSET = 2
#: Window over the width of the picture, and how far below its mean is dark (Bradley and Roth 2007).
_BRADLEY_WINDOW, _BRADLEY_BELOW = 1 / 8, 0.15
_SUPERPIXEL_PX = 8


def labels_by(method: str, image: NDArray[np.float32], valid: NDArray[np.bool_], phases: int) -> NDArray[np.int64]:
    """Return the phase of each pixel, 0 for the darkest, shape (h, w).

    Parameters
    ----------
    method : str
        ``otsu``, ``kmeans``, ``watershed``, ``slic``, ``bradley-roth`` or ``paper``.
    image : ndarray of float32, shape (h, w)
        Without shading, except for the last two methods, which allow for it themselves.
    valid : ndarray of bool, shape (h, w)
        Pixels that decide where the phases lie.
    phases : int
        Two to four; the last two methods tell two apart.
    """
    if method == "paper":
        return np.where(paper_dark_phase(image), 0, 1)
    if method == "bradley-roth":
        return np.where(bradley_roth_dark_phase(image), 0, 1)
    smooth = smoothed_against_noise(image)
    if method == "slic":
        return _by_superpixels(smooth, valid, phases)
    thresholds = (
        otsu_thresholds(smooth[valid], phases) if method != "kmeans" else kmeans_thresholds(smooth[valid], phases)
    )
    if method == "watershed":
        return _by_watershed(smooth, thresholds)
    return np.digitize(smooth, thresholds)


def paper_dark_phase(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the dark phase by the rule of Lang et al. 2025.

    3 x 3 Gaussian, then dark where a pixel is at least 2 grey levels (of 255) below the mean of its 11 x 11
    neighbourhood. It looks at no absolute level, so it finds a third of structureless noise dark.
    """
    grey = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    smooth = cv2.GaussianBlur(grey, (3, 3), 0)
    bright = cv2.adaptiveThreshold(
        smooth, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, _PAPER_WINDOW_PX, _PAPER_OFFSET
    )
    return np.equal(bright, 0)


def bradley_roth_dark_phase(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the dark phase by D. Bradley and G. Roth, J. Graphics Tools 2007, 12, 13.

    Dark where a pixel is 15 % below the mean of a window an eighth of the picture wide. It needs grey levels with a
    true zero; wide areas of one phase are lost.
    """
    edge = 2 * int(max(image.shape) * _BRADLEY_WINDOW / 2) + 1
    mean = cv2.blur(image, (edge, edge), borderType=cv2.BORDER_REFLECT)
    return np.asarray(image < (1 - _BRADLEY_BELOW) * mean)


def otsu_threshold(pixels: NDArray[np.float32]) -> float:
    """Return the threshold of greatest variance between classes (N. Otsu, IEEE Trans. SMC 1979, 9, 62)."""
    histogram = histogram_of(pixels, 256)
    return otsu_of_histogram(histogram.counts.astype(np.int64), histogram.centres)


def otsu_of_histogram(counts: NDArray[np.int64], centres: NDArray[np.float64]) -> float:
    """Return Otsu's threshold of a histogram with bins at ``centres``."""
    below = np.cumsum(counts)[:-1].astype(np.float64)
    sums = np.cumsum(counts * centres)
    above = below[-1] + counts[-1] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    best = np.flatnonzero(between == np.nanmax(between)) if np.isfinite(between).any() else np.array([0])
    split = int(best.mean())
    return float(0.5 * (centres[split] + centres[split + 1]))


def otsu_thresholds(pixels: NDArray[np.float32], phases: int) -> NDArray[np.float64]:
    """Return the thresholds of several phases by Otsu's rule, shape (phases - 1,)."""
    if phases == 2:
        return np.array([otsu_threshold(pixels)])
    from skimage.filters import threshold_multiotsu

    histogram = histogram_of(pixels, 128)
    counts, centres = histogram.counts.astype(np.int64), histogram.centres
    found = threshold_multiotsu(hist=(counts, centres), classes=phases)  # type: ignore[no-untyped-call]
    return np.asarray(found, np.float64) + 0.5 * histogram.step


def kmeans_thresholds(pixels: NDArray[np.float32], phases: int) -> NDArray[np.float64]:
    """Return the thresholds half-way between the means of k-means, weighted by the histogram, shape (phases - 1,)."""
    from sklearn.cluster import KMeans

    histogram = histogram_of(pixels, 256)
    start = histogram.quantile((np.arange(phases) + 0.5) / phases)[:, None]
    found = KMeans(phases, init=start, n_init=1).fit(histogram.centres[:, None], sample_weight=histogram.counts)
    means = np.sort(found.cluster_centers_.ravel())
    return np.asarray(0.5 * (means[1:] + means[:-1]))


def _by_watershed(smooth: NDArray[np.float32], thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Grow the surely dark and bright places along the slope of the picture until they meet at its steepest."""
    from skimage.segmentation import watershed

    means = _class_means(smooth, thresholds)
    seeds = np.zeros(smooth.shape, np.int32)
    for phase, mean in enumerate(means):
        reach = 0.25 * float(np.min(np.abs(np.delete(means, phase) - mean)))
        seeds[np.abs(smooth - mean) < reach] = phase + 1
    seeds[smooth < means[0]], seeds[smooth > means[-1]] = 1, len(means)
    gy, gx = (cv2.Sobel(smooth, cv2.CV_32F, *order) for order in ((0, 1), (1, 0)))
    grown = watershed(np.hypot(gy, gx), seeds)  # type: ignore[no-untyped-call]
    return np.asarray(grown, np.int64) - 1


def _by_superpixels(smooth: NDArray[np.float32], valid: NDArray[np.bool_], phases: int) -> NDArray[np.int64]:
    """Cut the picture into superpixels of about 8 px and divide their mean grey levels by k-means."""
    from skimage.segmentation import slic

    low, high = np.quantile(smooth[valid], [0.001, 0.999])
    scaled = np.clip((smooth - low) / max(float(high - low), 1e-9), 0, 1)
    number = max(4, smooth.size // _SUPERPIXEL_PX**2)
    cut = slic(scaled, number, compactness=0.1, channel_axis=None, start_label=0)
    size = np.bincount(cut.ravel())
    mean = np.bincount(cut.ravel(), smooth.ravel()) / np.maximum(size, 1)
    thresholds = kmeans_thresholds(np.repeat(mean, size).astype(np.float32), phases)
    return np.asarray(np.digitize(mean, thresholds)[cut])


def _class_means(image: NDArray[np.float32], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    label = np.digitize(image.ravel(), thresholds)
    number = np.bincount(label, minlength=len(thresholds) + 1)
    return np.asarray(np.bincount(label, image.ravel(), len(thresholds) + 1) / np.maximum(number, 1))
