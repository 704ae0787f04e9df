"""What a denoiser took away must look like noise: as strong, without a pattern, and without regard to edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cemi_denoise.noise.model import NoiseModel

#: Lags of the autocorrelation, px.
LAGS = 8
_EDGE_SHARE = 0.1
_EDGE_SIGMA_PX = 1.5


@dataclass(frozen=True)
class ResidualTest:
    """What is known of the residual, input minus output, in units of the noise.

    Attributes
    ----------
    residual : ndarray of float32, shape (h, w)
        Divided by the standard deviation of the noise at that grey level.
    explained : float
        Variance of the residual over that of the noise: 1 if all of the noise was taken away and nothing else; less
        where noise was left, more where structure was taken away or put in.
    along, across : ndarray of float, shape (8,)
        Autocorrelation of the residual at lags of 1 to 8 px along and across the scan lines.
    pattern : float
        How far the largest of these lies above what the noise has at that lag.
    edge_excess : float
        Variance of the residual at the steepest tenth of the pixels of the output over that elsewhere; 1 for noise.
    edge_correlation : float
        Correlation of the residual with the detail of the output at these edges: positive where edges were blurred,
        negative where they were sharpened or added.
    """

    residual: NDArray[np.float32]
    explained: float
    along: NDArray[np.float64]
    across: NDArray[np.float64]
    pattern: float
    edge_excess: float
    edge_correlation: float


def examine_residual(
    image: NDArray[np.float32], denoised: NDArray[np.float32], noise: NoiseModel, faintest: float = 1e-6
) -> ResidualTest:
    """Return how much the residual of one picture resembles noise.

    Parameters
    ----------
    image, denoised : ndarray of float32, shape (h, w)
        In and out; finite, at least 32 px a side.
    noise : NoiseModel
        Of pictures taken like this one.
    faintest : float
        Standard deviation that the noise has at least.
    """
    smooth = gaussian_filter(denoised, _EDGE_SIGMA_PX)
    sigma = np.maximum(noise.sigma(smooth), np.float32(faintest))
    residual = ((image - denoised) / sigma).astype(np.float32)
    residual -= residual.mean()
    along, across = _autocorrelation(residual), _autocorrelation(residual.T)
    expected = [_padded(lags) for lags in (noise.line_correlation, noise.across_correlation)]
    pattern = max(float((found - wanted).max()) for found, wanted in zip((along, across), expected, strict=True))
    steepness = np.hypot(*np.gradient(smooth))
    edges = steepness > np.quantile(steepness, 1 - _EDGE_SHARE)
    detail = denoised - gaussian_filter(denoised, 2 * _EDGE_SIGMA_PX)
    return ResidualTest(
        residual=residual,
        explained=float(np.mean(residual.astype(np.float64) ** 2)),
        along=along,
        across=across,
        pattern=pattern,
        edge_excess=float(residual[edges].var() / max(residual[~edges].var(), 1e-12)),
        edge_correlation=_correlation(residual[edges], detail[edges]),
    )


def _autocorrelation(residual: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the autocorrelation at lags of 1 to `LAGS` px along the second axis."""
    variance = max(float(np.mean(residual**2, dtype=np.float64)), 1e-12)
    width = residual.shape[1]
    return np.array(
        [
            np.mean(residual[:, : width - lag] * residual[:, lag:], dtype=np.float64) / variance
            for lag in range(1, LAGS + 1)
        ]
    )


def _padded(lags: tuple[float, ...]) -> NDArray[np.float64]:
    return np.array([*lags, *[0.0] * LAGS])[:LAGS]


def _correlation(one: NDArray[np.float32], two: NDArray[np.float32]) -> float:
    if one.size < 2 or one.std() == 0 or two.std() == 0:
        return 0.0
    return float(np.corrcoef(one, two)[0, 1])
