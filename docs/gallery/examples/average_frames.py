"""Count frames in the overlaps

With `blend: average` the stitcher averages all frames that show a region, and says how many frames that makes. The
noise falls with the square root of this effective frame count.
"""

import matplotlib.pyplot as plt
import numpy as np

from cemi_core.model.mosaic import Box, Patch
from cemi_core.testing import cut_tiles
from cemi_stitch import KorniaStitcher
from cemi_stitch.settings import KorniaSettings

tiles = cut_tiles(rows=2, columns=3, size=(160, 200), overlap=0.45)
random = np.random.default_rng(0)
noisy = [(array + 0.08 * random.standard_normal(array.shape)).astype(np.float32) for array in tiles.arrays]

stitcher = KorniaStitcher(KorniaSettings(blend="average"))
layout = stitcher.place(noisy)
patches = [Patch(n, frame, *layout.positions_px[n], layout.gain[n], layout.offset[n]) for n, frame in enumerate(noisy)]
mosaic, count = stitcher.blend_and_count(patches, Box(0, 0, *layout.mosaic_shape))

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
left.imshow(mosaic, cmap="gray")
left.set_title("mosaic")
drawn = right.imshow(np.where(count > 0, count, np.nan), cmap="viridis")
right.set_title("effective frame count")
figure.colorbar(drawn, ax=right)
for axes in (left, right):
    axes.set_axis_off()
