"""Networks from files, read without running code that such a file may hold."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from spandrel import (
    ImageModelDescriptor,
    ModelLoader,
    UnsupportedDtypeError,
    UnsupportedModelError,
    canonicalize_state_dict,
)
from torch import Tensor

from cemi_core.errors import InputError, UsageError
from cemi_denoise.denoisers.once import once
from cemi_denoise.denoisers.picture_model import ModelFile

_PICKLED = (".pth", ".pt", ".ckpt")


@once(maxsize=2)
def open_model(file: ModelFile) -> ImageModelDescriptor[Any]:
    """Return the network of a file on its device; loaded once in each process.

    Raises
    ------
    InputError
        The file is not a model, none that spandrel knows, or none that keeps size and grey.
    UsageError
        The device is not there.
    """
    state = read_state(Path(file.path))
    try:
        model = ModelLoader().load_from_state_dict(canonicalize_state_dict(state))
    except UnsupportedModelError as error:
        raise InputError(f"spandrel knows no network with the weights that {file.path} holds") from error
    except Exception as error:  # a network is recognised by some names, and then others may be missing or misshapen
        raise InputError(
            f"{file.path} looks like a network that spandrel knows but is not: {_first_line(error)}"
        ) from error
    _check(model, file.path)
    try:
        return model.to(file.device).eval()
    except (RuntimeError, AssertionError, UnsupportedDtypeError) as error:
        raise UsageError(f"the network cannot run on the device '{file.device}': {_first_line(error)}") from error


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the named tensors in a file.

    Raises
    ------
    InputError
        The file is damaged, of another kind, or holds objects that are not tensors.
    """
    suffix = path.suffix.lower()
    if suffix not in (".safetensors", *_PICKLED):
        raise InputError(f"{path} is not .safetensors, {', '.join(_PICKLED)}; other model files are not read")
    try:
        if suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds Python objects, which may run code when they are read; convert it to .safetensors with a "
            "tool that you trust"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a model file: {_first_line(error)}") from error
    if not isinstance(state, dict):
        raise InputError(f"{path} holds no weights by name but a {type(state).__name__}")
    return state


def _check(model: Any, path: str) -> None:
    if not isinstance(model, ImageModelDescriptor):
        raise InputError(
            f"{path} is a network for filling in ({model.architecture.name}); a denoiser takes a picture only"
        )
    if model.scale != 1:
        raise InputError(f"{path} enlarges pictures by {model.scale}; a denoiser keeps the size (scale 1)")
    if model.input_channels not in (1, 3) or model.output_channels != model.input_channels:
        raise InputError(
            f"{path} makes {model.output_channels} channels of {model.input_channels}; a denoiser has 1 (grey) or 3"
        )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:150]
