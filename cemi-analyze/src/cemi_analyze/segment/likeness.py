"""What is known of an image at a glance, so that one unlike the training data is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cemi_analyze.picture.texture import texture_length_px
from cemi_core.numeric.noise import noise_std

#: Of the cells, from which it is said that they are unlike the training data.
_MOST_OUTSIDE = 0.2
_WORDS = {
    "noise": "relative noise",
    "contrast": "contrast",
    "level": "mean grey level",
    "texture_px": "length of the texture, px",
    "doubt": "share of pixels of which the network is unsure",
}


def noise_ratio(image: NDArray[np.float32]) -> float:
    """Return the deviation of white noise over that of all grey levels, 0 to 1; 1 for noise alone or a plain image."""
    spread = float(image.std(dtype=np.float64))
    return min(1.0, noise_std(image, every=2) / spread) if spread > 1e-6 else 1.0


def traits_of(image: NDArray[np.float32], probabilities: NDArray[np.float32]) -> dict[str, float]:
    """Return noise, contrast, level, texture and doubt of an image (h, w) and its probabilities (k, h, w)."""
    texture = texture_length_px(image)
    doubt = float((probabilities.max(0) < 0.8).mean())
    return {
        "noise": noise_ratio(image),
        "contrast": float(image.std(dtype=np.float64)),
        "level": float(image.mean(dtype=np.float64)),
        "texture_px": texture if np.isfinite(texture) else 0.0,
        "doubt": doubt,
    }


def warnings_of(
    cells: Sequence[Mapping[str, float]], ranges: Mapping[str, tuple[float, float]], name: str
) -> tuple[str, ...]:
    """Return a sentence for each trait that lies outside of what was trained on in more than a fifth of the cells."""
    found = []
    for trait, (low, high) in ranges.items():
        values = np.array([cell[trait] for cell in cells if trait in cell])
        outside = (values < low) | (values > high)
        if len(values) and outside.mean() > _MOST_OUTSIDE:
            found.append(
                f"{100 * outside.mean():.0f} % of the cells are unlike what '{name}' was measured on: "
                f"{_WORDS.get(trait, trait)} {np.median(values):.3g} (median), there {low:.3g} to {high:.3g}. Compare "
                "its mask with cells that you label by hand, or train it on images like these."
            )
    return tuple(found)
