"""Denoise a noisy image

A made eutectic gets Gaussian noise of 0.09 of the full grey range. A Gaussian of 1 px and the trained network `semnet`
remove it; the last panel is the truth, which only a made specimen has. "Error" is the root mean square.
"""

import matplotlib.pyplot as plt
import numpy as np

from cemi_core.model.mosaic import Box
from cemi_denoise import GaussianDenoiser, SemnetDenoiser
from cemi_virtual_sem import make_specimen

specimen = make_specimen("ehea", pixel_size_um=0.1, seed=1)
truth = specimen.render(Box(y=0, x=0, height=192, width=192))
noisy = np.clip(truth + np.random.default_rng(0).normal(0, 0.09, truth.shape), 0, 1).astype(np.float32)

images = {
    "noisy": noisy,
    "gaussian, 1 px": GaussianDenoiser(sigma_px=1.0)(noisy),
    "semnet": SemnetDenoiser()(noisy),
    "truth": truth,
}

figure, all_axes = plt.subplots(1, 4, figsize=(10, 2.9), layout="constrained")
for axes, (name, image) in zip(all_axes, images.items(), strict=True):
    axes.imshow(image, cmap="gray", vmin=0.1, vmax=0.9)
    error = np.sqrt(np.mean((image - truth) ** 2))
    axes.set_title(name if image is truth else f"{name}\nerror {error:.3f}")
    axes.set_axis_off()
