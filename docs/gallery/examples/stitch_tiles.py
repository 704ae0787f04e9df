"""Stitch six tiles

Six overlapping images are cut from one made image, at positions that the stitcher is not told. `place` finds them, and
`blend` joins the tiles. The outlines show where each tile was placed; the largest error stands in the title.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from cemi_core.model.mosaic import Box, Patch
from cemi_core.testing import cut_tiles
from cemi_stitch import KorniaStitcher

tiles = cut_tiles(rows=2, columns=3, size=(160, 200), overlap=0.3)
stitcher = KorniaStitcher()
layout = stitcher.place(list(tiles.arrays))

patches = [
    Patch(n, array, *layout.positions_px[n], layout.gain[n], layout.offset[n]) for n, array in enumerate(tiles.arrays)
]
mosaic = stitcher.blend(patches, Box(0, 0, *layout.mosaic_shape))

error = layout.positions_px - tiles.positions_px
error -= error.mean(axis=0)

figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
axes.imshow(mosaic, cmap="gray")
for number, ((y, x), (height, width)) in enumerate(zip(layout.positions_px, layout.shapes, strict=True)):
    colour = f"C{number}"
    axes.add_patch(Rectangle((x, y), width - 1, height - 1, fill=False, edgecolor=colour, linewidth=1.5))
axes.set_title(f"largest position error {np.abs(error).max():.2f} px")
axes.set_axis_off()
