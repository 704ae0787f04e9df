"""Measure lamella spacing

A made image holds stripes of one period. `LamellaWidth` finds the period with a 95 % interval, at four noise levels.
"""

import matplotlib.pyplot as plt
import numpy as np

from cemi_analyze import LamellaWidth
from cemi_core.testing import striped_image

PERIOD_PX, PIXEL_SIZE_UM = 9.0, 0.1
clean = striped_image((256, 256), period_px=PERIOD_PX)
random = np.random.default_rng(0)

figure, all_axes = plt.subplots(1, 4, figsize=(10, 3), layout="constrained")
for axes, noise in zip(all_axes, (0.0, 0.05, 0.1, 0.2), strict=True):
    image = (clean + noise * random.standard_normal(clean.shape)).astype(np.float32)
    found = LamellaWidth().measure(image, PIXEL_SIZE_UM)
    axes.imshow(image[:96, :96], cmap="gray", vmin=0, vmax=1)
    axes.set_title(f"noise {noise:g}\n{found.value:.3f} [{found.low:.3f}, {found.high:.3f}] um")
    axes.set_axis_off()
figure.suptitle(f"planted spacing {PERIOD_PX * PIXEL_SIZE_UM:.3f} um")
