"""Map phase fraction and spacing

A made eutectic is measured cell by cell, as a recipe does it: `process` measures one cell with its surroundings, and
`merge` joins the cells into maps. The truth of the specimen stands beside the measured phase fraction.
"""

import matplotlib.pyplot as plt
import numpy as np

from cemi_analyze import BccFraction, LamellaWidth
from cemi_core.model.grid import Grid
from cemi_core.model.mosaic import Box
from cemi_core.model.stages import BlockInfo
from cemi_virtual_sem import make_specimen

specimen = make_specimen("ehea", pixel_size_um=0.1, seed=3, bcc_low=0.25, bcc_high=0.45)
whole = Box(0, 0, 600, 1500)
image = specimen.render(whole)
bcc = specimen.truth(whole).masks["bcc"]
grid = Grid(rows=2, columns=5, shape=image.shape)


def maps_of(analyzer):
    """Return the maps of an analyzer on the grid."""
    partials = []
    for row in range(grid.rows):
        for column in range(grid.columns):
            box = grid.box(row, column)
            inside = (slice(0, box.height), slice(0, box.width))
            partials.append((row, column, analyzer.process(image[box.slices], BlockInfo(0.1, inside, box=box))))
    return analyzer.merge(partials, (grid.rows, grid.columns)).maps


fraction, spacing = maps_of(BccFraction())[0], maps_of(LamellaWidth())[0]
boxes = [[grid.box(row, column) for column in range(grid.columns)] for row in range(grid.rows)]
truth = np.array([[bcc[box.slices].mean() for box in row] for row in boxes])

figure, all_axes = plt.subplots(2, 2, figsize=(10, 4.6), layout="constrained")
all_axes[0, 0].imshow(image, cmap="gray", aspect="auto")
all_axes[0, 0].set_title("image, 150 x 60 um")
panels = [(all_axes[0, 1], spacing.value, f"{spacing.label}, um")]
panels += [(all_axes[1, 0], fraction.value, "BCC fraction, measured"), (all_axes[1, 1], truth, "BCC fraction, truth")]
for axes, values, title in panels:
    limits = (truth.min() - 0.02, truth.max() + 0.02) if "BCC" in title else (None, None)
    drawn = axes.imshow(values, cmap="cividis", aspect="auto", vmin=limits[0], vmax=limits[1])
    figure.colorbar(drawn, ax=axes)
    axes.set_title(title)
for axes in all_axes.flat:
    axes.set_xticks([])
    axes.set_yticks([])
