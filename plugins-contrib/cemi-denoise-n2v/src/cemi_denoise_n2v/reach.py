"""How far the network looks, from the sizes of its layers; known without PyTorch."""

from __future__ import annotations

import math

#: Steps between the pixels that each layer looks at.
DILATIONS = (1, 1, 2, 4, 2, 1)
BLUR_SIGMA_PX = 6.0
BLUR_RADIUS_PX = math.ceil(3 * BLUR_SIGMA_PX)
#: Pixels around a pixel that its result depends on: two blurs, the layers, and the last one.
REACH_PX = 2 * BLUR_RADIUS_PX + sum(DILATIONS) + 1
