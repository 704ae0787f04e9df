"""Phase correlation: whitened spectra, the noisy ones of their frequencies left out, peaks verified by ZNCC.

C. D. Kuglin and D. C. Hines, Proc. Int. Conf. Cybernetics and Society (1975) 163. Whitening gives every frequency the
same say, which sharpens the peak but lets noise speak where there is no picture; so each frequency counts by the share
of its power that is above the noise (Wiener).
"""

from __future__ import annotations

import math

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from cemi_stitch.correlation.peaks import rival_peaks

#: Frequencies beyond this, cycles per px, show the noise: the optics and the beam pass little there.
NOISE_FREQUENCY = 0.4
#: The frames are tapered over this share of their sides, so that their edges are no edges in the picture.
TAPER = 0.1
#: Peaks are verified if they are this share of the highest, and at most so many.
PEAK_SHARE, PEAKS = 0.3, 5


def phase_surface(first: Tensor, second: Tensor, smoothing_px: float) -> Tensor:
    """Return the phase correlation of pairs of pictures of one size, unsmoothed, at all cyclic shifts.

    Parameters
    ----------
    first, second : Tensor of float32, shape (n, h, w)
        Pictures without shading.
    smoothing_px : float
        Standard deviation of the Gaussian that widens the peaks.

    Returns
    -------
    Tensor of float32, shape (n, H, W)
        At [k, y, x] how well ``second`` fits ``first`` if its pixels are moved by (y, x), both modulo the sides.
    """
    size = [next_fast_len(int(side), True) for side in first.shape[-2:]]
    window = taper(first.shape[-2], first.device)[:, None] * taper(first.shape[-1], first.device)
    a, b = (torch.fft.rfft2((p - p.mean((-2, -1), keepdim=True)) * window, s=size) for p in (first, second))
    fy = torch.fft.fftfreq(size[0], device=first.device)[:, None]
    fx = torch.fft.rfftfreq(size[1], device=first.device)
    square = fy**2 + fx**2
    share = _share_of_signal(a, square) * _share_of_signal(b, square)
    blur = torch.exp(-2 * (math.pi * max(smoothing_px, 0.5)) ** 2 * square)
    cross = a * b.conj()
    whitened = cross / cross.abs().clamp_min(1e-20)
    surface: Tensor = torch.fft.irfft2(whitened * share.sqrt() * blur, s=size)
    return surface


def taper(side: int, device: torch.device) -> Tensor:
    """Return a window of length ``side``: 1, falling to 0 as a cosine at its ends (Tukey)."""
    place = (torch.arange(side, device=device) + 0.5) / side
    edge = torch.minimum(place, 1 - place) / TAPER
    return 0.5 - 0.5 * torch.cos(math.pi * edge.clamp(max=1))


def _share_of_signal(spectrum: Tensor, square: Tensor) -> Tensor:
    power = spectrum.abs() ** 2
    noise = power[:, square > NOISE_FREQUENCY**2].mean(1)
    return ((power - noise[:, None, None]) / power.clamp_min(1e-20)).clamp(0, 1)


def phase_peaks(first: Tensor, second: Tensor, reach: tuple[int, int], smoothing_px: float) -> list[tuple[int, int]]:
    """Return the shifts (dy, dx) of the highest peaks of two pictures (h, w), whole px within ``reach``, best first."""
    surface = phase_surface(first[None], second[None], smoothing_px)[0]
    far = [min(r, (int(side) - 1) // 2) for r, side in zip(reach, surface.shape, strict=True)]
    near = torch.roll(surface, (far[0], far[1]), (0, 1))[: 2 * far[0] + 1, : 2 * far[1] + 1].cpu().numpy()
    row, column = divmod(int(near.argmax()), near.shape[1])
    places = [(row, column), *rival_peaks(near, (row, column), PEAK_SHARE, PEAKS - 1)]
    return [(y - far[0], x - far[1]) for y, x in places]
