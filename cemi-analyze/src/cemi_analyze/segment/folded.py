"""Batch normalisation folded into the convolution before it: the same answers in less time."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_TRIAL_PX = 64
#: Answers may differ by rounding only.
_TOLERANCE = 1e-3


def folded(network: nn.Module, in_channels: int = 1) -> nn.Module:
    """Return a network in which each batch normalisation that follows a convolution is part of it.

    What follows what is found by a trial; a network whose answers would change is returned as it is.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode, on the CPU, float32; it stays as it is.
    in_channels : int
        Of its images.
    """
    made = copy.deepcopy(network).eval()
    trial = torch.linspace(0, 1, in_channels * _TRIAL_PX**2).view(1, in_channels, _TRIAL_PX, _TRIAL_PX)
    with torch.inference_mode():
        before = made(trial)
        for convolution, norm in _pairs(made, trial):
            fused = fuse_conv_bn_eval(convolution, norm)
            convolution.weight, convolution.bias = fused.weight, fused.bias
            _replace(made, norm, nn.Identity())
        after = made(trial)
    scale = float(before.abs().max()) + 1
    return made.requires_grad_(False) if float((after - before).abs().max()) < _TOLERANCE * scale else network


def _pairs(network: nn.Module, trial: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return convolutions whose answer goes to a batch normalisation, each used once."""
    made_by: dict[int, nn.Conv2d] = {}
    kept: list[Tensor] = []  # so that no number of a tensor is given twice
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def after_convolution(module: Any, seen: Any, answer: Tensor) -> None:
        made_by[id(answer)] = module
        kept.append(answer)

    def before_norm(module: Any, seen: tuple[Tensor, ...]) -> None:
        if id(seen[0]) in made_by:
            pairs.append((made_by[id(seen[0])], module))

    hooks = [
        module.register_forward_hook(after_convolution)
        if isinstance(module, nn.Conv2d)
        else module.register_forward_pre_hook(before_norm)
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
    ]
    network(trial)
    for hook in hooks:
        hook.remove()
    convolutions = [id(convolution) for convolution, _ in pairs]
    norms = [id(norm) for _, norm in pairs]
    return [(c, n) for c, n in pairs if convolutions.count(id(c)) == 1 and norms.count(id(n)) == 1]


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for parent in network.modules():
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)
