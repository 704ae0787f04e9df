"""The moving average of a network's weights, which is better than the weights of any single step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def moving_average(network: nn.Module, share: float) -> AveragedModel:
    """Return a moving average that begins at the weights of now; ``update_parameters`` lets it follow.

    After n steps the share of the old average is ``min(share, n / (9 + n))``: it follows faster in the beginning, when
    there is nothing to average yet. What batch normalisation has seen is taken over as it is.

    Parameters
    ----------
    network : nn.Module
        Left as it is.
    share : float
        Of the old weights at each step, in [0, 1).
    """

    @torch.no_grad()
    def follow(kept: Sequence[Tensor], new: Sequence[Tensor], count: Tensor | int) -> None:
        old = min(share, int(count) / (9 + int(count)))
        for average, weights in zip(kept, new, strict=True):
            average.lerp_(weights, 1 - old)

    average = AveragedModel(network, multi_avg_fn=follow)
    average.n_averaged.fill_(1)  # the weights of now; at 0 the first step would replace them
    average.eval().requires_grad_(False)
    return average
