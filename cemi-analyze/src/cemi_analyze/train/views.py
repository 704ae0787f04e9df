"""One field as a microscope may show it: blur, noise of any dose, knobs, scratches, curtains, and a denoiser's hand.

Noise follows what was measured on real micrographs: a variance that grows with the mean, white across lines, and
correlated along the line by up to +0.41, -0.09, -0.07 at lags of 1, 2 and 3 px.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_Image = NDArray[np.float32]
#: Autocorrelation of the noise along the line, at lags of 1, 2 and 3 px, of the slowest detector.
_LINE = (0.41, -0.09, -0.07)
_REACH = 7
#: Share of the bare views that show scratches, or curtains, and nothing else.
_ON_BARE = 0.4


@dataclass(frozen=True)
class Views:
    """Draws views of a field; pixels of the mask stay where they are.

    Attributes
    ----------
    blur_px : float
        Largest standard deviation of a blur, px.
    electrons : tuple of float
        Electrons per pixel at white, from and to (logarithmic).
    clean : float
        Share of the views without noise.
    contrast : tuple of float
        Factor of the contrast, from and to.
    inverted : float
        Share of the views whose grey levels are inverted.
    scratches, curtains, flat, denoised : float
        Share of the views with straight scratches, with the stripes of ion milling, with next to no contrast left (so
        that noise, scratches and curtains are all there is, and class 0 is right), and as denoisers leave them.
    """

    blur_px: float = 0.0
    electrons: tuple[float, float] = (40.0, 3000.0)
    clean: float = 0.15
    contrast: tuple[float, float] = (0.4, 1.5)
    inverted: float = 0.2
    scratches: float = 0.15
    curtains: float = 0.12
    flat: float = 0.05
    denoised: float = 0.2

    def __call__(
        self, image: _Image, mask: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[_Image, NDArray[np.int64]]:
        """Return a view of an image (h, w) in [0, 1] and its mask; the mask is another one where nothing is left."""
        bare = rng.random() < self.flat
        if bare:
            image = image.mean() + np.float32(rng.uniform(0, 0.04)) * (image - image.mean())
            mask = np.zeros_like(mask)
        if rng.random() < self.inverted:
            image = np.float32(1) - image
        image = blurred(image, float(rng.uniform(0, self.blur_px)))
        image = _pressed(image, rng)
        if rng.random() < max(self.curtains, _ON_BARE * bare):
            image = image + curtains(image.shape, rng)
        if rng.random() < max(self.scratches, _ON_BARE * bare):
            image = image + scratches(image.shape, rng)
        image = image * _shading(image.shape, rng)
        if rng.random() >= self.clean:
            electrons = float(np.exp(rng.uniform(*np.log(self.electrons))))
            image = noisy(image, electrons, float(rng.uniform(0, 1)), rng)
            if rng.random() < self.denoised:
                image = _denoised(image, rng)
        image = _turned_knobs(image, self.contrast, rng)
        return _stored(image, rng), mask


def blurred(image: _Image, sigma_px: float) -> _Image:
    """Return an image after a Gaussian; as it is below 0.1 px."""
    if sigma_px < 0.1:
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101), np.float32)


def line_filter(strength: float) -> NDArray[np.float32]:
    """Return the taps, with squares that sum to 1, that give white noise a share of the correlation along the line."""
    angles = 2 * np.pi * np.arange(256) / 256
    power = 1 + 2 * sum(strength * rho * np.cos((lag + 1) * angles) for lag, rho in enumerate(_LINE))
    taps = np.fft.ifft(np.sqrt(np.maximum(power, 0))).real
    kernel = np.concatenate([taps[-_REACH:], taps[: _REACH + 1]])
    return (kernel / np.sqrt((kernel**2).sum())).astype(np.float32)


def noisy(image: _Image, electrons: float, correlation: float, rng: np.random.Generator) -> _Image:
    """Return an image with the noise of a detector.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        In [0, 1].
    electrons : float
        Per pixel at white: the variance at grey level m is m / electrons, and 0.012 squared of the amplifier.
    correlation : float
        0 for white noise, 1 for that of the slowest detector along the line.
    rng : numpy.random.Generator
    """
    noise = rng.standard_normal(image.shape, np.float32)
    kernel = line_filter(correlation)
    one = np.ones(1, np.float32)
    along = np.asarray(cv2.sepFilter2D(noise, cv2.CV_32F, kernel, one, borderType=cv2.BORDER_REFLECT), np.float32)
    spread = np.sqrt(np.maximum(image, 0) / np.float32(electrons) + np.float32(0.012**2))
    return np.asarray(image + spread * along, np.float32)


def scratches(shape: tuple[int, ...], rng: np.random.Generator) -> _Image:
    """Return straight lines of polishing, bright or dark, all over the place or nearly parallel."""
    height, width = shape
    drawn = np.zeros((height, width), np.float32)
    common = rng.uniform(0, np.pi)
    spread = 0.15 if rng.random() < 0.6 else np.pi
    for _ in range(int(rng.integers(1, 26))):
        angle = common + rng.uniform(-spread, spread)
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        reach = rng.uniform(0.3, 2.0) * max(height, width)
        ends = [
            (round(16 * (x + sign * reach * np.cos(angle))), round(16 * (y + sign * reach * np.sin(angle))))
            for sign in (-1, 1)
        ]
        line = np.zeros_like(drawn)
        cv2.line(line, ends[0], ends[1], 1.0, int(rng.integers(1, 4)), cv2.LINE_AA, 4)
        drawn += np.float32(rng.choice((-1, 1)) * rng.uniform(0.04, 0.3)) * line
    return blurred(drawn, float(rng.uniform(0.3, 1.2)))


def curtains(shape: tuple[int, ...], rng: np.random.Generator) -> _Image:
    """Return the stripes that ion milling leaves along y: of every width, and nearly the same all the way down."""
    height, width = shape
    stripes = np.zeros(width, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        part = rng.standard_normal(width).astype(np.float32)
        part = cv2.GaussianBlur(part[None], (0, 0), float(np.exp(rng.uniform(np.log(0.6), np.log(8.0)))))[0]
        stripes += part / max(float(part.std()), 1e-6)
    along = cv2.GaussianBlur(rng.standard_normal((height, 1)).astype(np.float32), (0, 0), height / 4)
    image = stripes[None] * (1 + np.clip(along / max(float(along.std()), 1e-6), -1, 1) * np.float32(0.5))
    image *= np.float32(rng.uniform(0.01, 0.08) / max(float(image.std()), 1e-6))
    if rng.random() < 0.5:  # slanted a little
        shear = rng.uniform(-0.2, 0.2)
        matrix = np.array([[1, shear, -shear * height / 2], [0, 1, 0]], np.float32)
        image = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(image, np.float32)


def _pressed(image: _Image, rng: np.random.Generator) -> _Image:
    """Return an image with another gamma."""
    return np.asarray(np.clip(image, 0, 1) ** np.float32(np.exp(rng.uniform(-0.4, 0.4))), np.float32)


def _shading(shape: tuple[int, ...], rng: np.random.Generator) -> _Image:
    height, width = shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    slopes = rng.uniform(-0.08, 0.08, 3).astype(np.float32)
    lines = 1 + np.float32(rng.uniform(0, 0.01)) * rng.standard_normal((height, 1), np.float32)
    return np.asarray((1 + slopes[0] * y + slopes[1] * x + slopes[2] * x * y) * lines, np.float32)


def _denoised(image: _Image, rng: np.random.Generator) -> _Image:
    """Return an image as one of the usual filters leaves it."""
    which = int(rng.integers(4))
    if which == 0:
        return blurred(image, float(rng.uniform(0.4, 1.2)))
    if which == 1:
        return np.asarray(cv2.medianBlur(image, 3), np.float32)
    if which == 2:
        return np.asarray(cv2.bilateralFilter(image, 7, float(rng.uniform(0.1, 0.3)), 1.5), np.float32)
    mean, square = cv2.blur(image, (5, 5)), cv2.blur(image * image, (5, 5))
    variance = np.maximum(square - mean * mean, 1e-8)
    noise = np.median(variance)
    return np.asarray(mean + np.maximum(variance - noise, 0) / variance * (image - mean), np.float32)


def _turned_knobs(image: _Image, contrast: tuple[float, float], rng: np.random.Generator) -> _Image:
    mean = image.mean()
    factor = np.float32(np.exp(rng.uniform(*np.log(contrast))))
    level = np.clip(mean + np.float32(rng.uniform(-0.2, 0.2)), 0.15, 0.85)
    return np.asarray(level + factor * (image - mean), np.float32)


def _stored(image: _Image, rng: np.random.Generator) -> _Image:
    """Return an image as a file or a video holds it: clipped, of 256 levels, some of them as JPEG."""
    grey = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        _, data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))])
        grey = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
    return grey.astype(np.float32) / np.float32(255)
