"""EfficientNet-Lite: MobileNet's inverted bottlenecks scaled up, without what processors are slow at.

Tan and Le, ICML 2019 (arXiv:1905.11946); the lite variants leave out squeeze-and-excitation and use ReLU6. Layers are
named as in the published weights.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

# repeats, kernel, stride, expansion, channels before and after, of the seven groups of blocks
_GROUPS = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
_STEM = 32
#: Factors of the width and the depth of each variant.
SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}


class _SameConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow does: at stride 2 more below and on the right."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution, of the size of the input over the stride, rounded up."""
        pads: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(x, pads))


def _conv(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return _SameConv2d(before, after, kernel, stride, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class _Block(nn.Module):
    """An inverted bottleneck: wider, a convolution per channel, narrower; added to its input where both fit."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        self.expands, self.adds = expansion != 1, stride == 1 and before == after
        if self.expands:
            self._expand_conv, self._bn0 = _conv(before, inner, 1), _norm(inner)
        self._depthwise_conv, self._bn1 = _conv(inner, inner, kernel, stride, inner), _norm(inner)
        self._project_conv, self._bn2 = _conv(inner, after, 1), _norm(after)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class EfficientNetLite(nn.Module):
    """The trunk of EfficientNet-Lite; answers with the features of five stages.

    Parameters
    ----------
    variant : {0, 1, 2}
    """

    def __init__(self, variant: int) -> None:
        super().__init__()
        width, depth = SCALES[variant]
        self._conv_stem, self._bn0 = _conv(3, _STEM, 3, 2), _norm(_STEM)
        blocks: list[_Block] = []
        self.ends: list[int] = []
        widths: list[int] = []
        for group, (repeats, kernel, stride, expansion, before, after) in enumerate(_GROUPS):
            outer = group in (0, len(_GROUPS) - 1)  # which are not scaled in depth
            before = before if group == 0 else _rounded(before * width)
            after = _rounded(after * width)
            if stride == 2:
                self.ends.append(len(blocks))
                widths.append(blocks[-1]._project_conv.out_channels)
            for index in range(repeats if outer else math.ceil(depth * repeats)):
                first = index == 0
                blocks.append(_Block(before if first else after, after, kernel, stride if first else 1, expansion))
        self._blocks = nn.ModuleList(blocks)
        self.channels = (*widths, blocks[-1]._project_conv.out_channels)
        self.ends.append(len(blocks))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features at strides 2, 4, 8, 16 and 32 for colour images (n, 3, h, w)."""
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        features = []
        for index, block in enumerate(self._blocks, start=1):
            x = block(x)
            if index in self.ends:
                features.append(x)
        return features


def _rounded(channels: float) -> int:
    """Return a multiple of 8 that is not more than a tenth smaller."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near
