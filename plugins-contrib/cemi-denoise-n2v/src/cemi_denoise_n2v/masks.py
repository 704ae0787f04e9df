"""Which pixels the network must guess, and what it sees in their place."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

#: Share of the pixels that are guessed in one step.
_SHARE = 0.02
_FARTHEST_PX = 2


def hide_pixels(patches: Tensor, along_px: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return patches in which some pixels hold a neighbour's grey level, and which pixels are to be guessed.

    Krull, Buchholz and Jug, Noise2Void, CVPR 2019: who cannot see a pixel can only guess its noise-free value, if the
    noise of its neighbours tells nothing of its own. In a scanning microscope it does, along the line; so the
    neighbours there are hidden too (Broaddus et al., structN2V, ISBI 2020), and what is put in their place comes from
    other lines.

    Parameters
    ----------
    patches : tensor, shape (n, 1, h, w)
        At least 8 px high.
    along_px : int
        How far noise is correlated along the line; 0 hides single pixels.
    generator : torch.Generator

    Returns
    -------
    hidden : tensor, shape (n, 1, h, w)
    guessed : tensor of bool, shape (n, 1, h, w)
    """
    guessed = torch.rand(patches.shape, generator=generator) < _SHARE
    covered = functional.max_pool2d(guessed.float(), (1, 2 * along_px + 1), stride=1, padding=(0, along_px)) > 0
    height, width = patches.shape[-2:]
    down = torch.randint(1, _FARTHEST_PX + 1, patches.shape, generator=generator)
    down = torch.where(torch.rand(patches.shape, generator=generator) < 0.5, down, -down)
    across = torch.randint(-_FARTHEST_PX, _FARTHEST_PX + 1, patches.shape, generator=generator)
    y = torch.arange(height)[:, None] + down
    y = torch.where((y < 0) | (y >= height), torch.arange(height)[:, None] - down, y)
    x = (torch.arange(width) + across).clamp(0, width - 1)
    others = patches.flatten(2).gather(2, (y * width + x).flatten(2)).view_as(patches)
    return torch.where(covered, others, patches), guessed
