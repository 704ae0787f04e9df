"""An ONNX file as a denoiser."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.errors import InputError, MissingDependencyError, UsageError
from cemi_core.model.settings import InputPath, Settings
from cemi_core.model.stages import Runtime
from cemi_denoise.denoisers.once import once
from cemi_denoise.denoisers.picture_model import REACH_DESCRIPTION, ModelFile, PictureModel, Reach

log = logging.getLogger("cemi")

_SMALLEST_PX = 64
_CUDA = "CUDAExecutionProvider"


class OnnxSettings(Settings):
    """Settings of the denoiser ``onnx``."""

    model: InputPath = Field(
        description="ONNX file: a float32 picture (n, 1 or 3, height, width) in [0, 1] in, one of the same size out; a "
        "second input, if any, is the standard deviation of the noise."
    )
    noise: float | None = Field(
        None, gt=0, le=1, description="For models that want it: standard deviation of the noise, white is 1."
    )
    multiple_px: int = Field(1, ge=1, le=512, description="Height and width that the model takes are multiples of it.")
    reach_px: Reach = Field("auto", description=REACH_DESCRIPTION)


@dataclass(frozen=True)
class OnnxDenoiser(PictureModel):
    """Runs somebody's exported network with onnxruntime; the file is read at first use, once in each process.

    Parameters
    ----------
    model : str
        The ONNX file.
    noise : float or None
        Standard deviation of the noise for models with a second input.
    device : str
        ``"cpu"``, or with onnxruntime-gpu ``"cuda"``.
    """

    model: str
    noise: float | None = None
    device: str = field(default="cpu", kw_only=True, repr=False)

    @property
    def file(self) -> ModelFile:
        """The file, as it is now."""
        return ModelFile.found(self.model, self.device)

    def prepare(self) -> None:
        """Read the file and run the model on a small flat picture, so that a mistake is told before the work starts.

        Raises
        ------
        MissingDependencyError
            onnxruntime is not installed.
        InputError
            The file is missing or no model that fits.
        UsageError
            onnxruntime does not compute on this device.
        """
        edge = -(-_SMALLEST_PX // self.multiple) * self.multiple
        self.run(np.full((edge, edge), 0.5, np.float32))
        log.debug("%s looks %d px far", self.model, self.reach)

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a picture (h, w) as the model changes it; the mean of its channels if it has three."""
        return run_session(self.file, image, self.noise, self.threads)


@once(maxsize=4)
def open_session(file: ModelFile, threads: int) -> Any:
    """Return an onnxruntime session of a file, checked; opened once in each process.

    Raises
    ------
    MissingDependencyError
        onnxruntime is not installed.
    InputError
        The file is not an ONNX model, or not one that takes a picture of any size.
    UsageError
        onnxruntime does not compute on this device.
    """
    try:
        runtime = import_module("onnxruntime")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "the denoiser 'onnx' needs onnxruntime, which is not installed; run: pip install 'cemi-denoise[onnx]'"
        ) from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    providers = _providers(runtime, file.device)
    try:
        session = runtime.InferenceSession(file.path, options, providers=providers)
    except Exception as error:  # onnxruntime raises classes of its own that derive from Exception alone
        raise InputError(f"{file.path} cannot be read as an ONNX model: {str(error).splitlines()[0][:150]}") from error
    _check_inputs(session, file.path)
    return session


def _providers(runtime: Any, device: str) -> list[Any]:
    """Return what onnxruntime computes with on a device; the CPU takes over what the device cannot do."""
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    if kind != "cuda" or not (number or "0").isdecimal() or _CUDA not in runtime.get_available_providers():
        raise UsageError(
            f"--device {device} cannot be used here: onnxruntime computes on cpu, or with onnxruntime-gpu on cuda"
        )
    return [(_CUDA, {"device_id": int(number or 0)}), "CPUExecutionProvider"]


def _check_inputs(session: Any, path: str) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if not 1 <= len(inputs) <= 2 or len(outputs) != 1 or len(inputs[0].shape) != 4:
        raise InputError(
            f"{path} takes {len(inputs)} inputs and gives {len(outputs)} outputs; a denoiser takes a picture (n, "
            "channels, height, width), perhaps with its noise, and gives one"
        )
    _, channels, *size = inputs[0].shape
    if inputs[0].type != "tensor(float)":
        raise InputError(f"{path} takes {inputs[0].type}; export it for float32, tensor(float)")
    if channels not in (1, 3):
        raise InputError(f"{path} takes {channels} channels; a denoiser takes 1 (grey) or 3")
    if not outputs[0].type.startswith("tensor("):
        raise InputError(f"{path} gives {outputs[0].type}; a denoiser gives a picture, tensor(float)")
    if any(isinstance(edge, int) for edge in size):
        raise InputError(
            f"{path} takes pictures of {size[1]} x {size[0]} px only; export it with free height and width"
        )


def run_session(
    file: ModelFile, image: NDArray[np.float32], noise: float | None, threads: int = 1
) -> NDArray[np.float32]:
    """Return what a model makes of a picture (h, w).

    Raises
    ------
    InputError
        It wants the noise and was not told, fails, or gives a picture of another size or one of no numbers.
    """
    session = open_session(file, threads)
    first, *rest = session.get_inputs()
    fed = {first.name: np.repeat(image[None, None], first.shape[1], axis=1)}
    if rest:
        if noise is None:
            raise InputError(
                f"{file.path} wants to be told the noise: set noise to its standard deviation, such as 0.1"
            )
        shape = (1,) if len(rest[0].shape) < 4 else (1, 1, *image.shape)
        fed[rest[0].name] = np.full(shape, noise, np.float32)
    try:
        (result,) = session.run(None, fed)
    except Exception as error:  # as above
        raise InputError(
            f"{file.path} fails on a picture of {image.shape[1]} x {image.shape[0]} px; if it folds pixels, set "
            f"multiple_px: {str(error).splitlines()[0][:120]}"
        ) from error
    if result.ndim != 4 or result.shape[2:] != image.shape or 0 in result.shape:
        raise InputError(f"{file.path} makes {result.shape} of {fed[first.name].shape}; a denoiser keeps the size")
    if not np.isfinite(result).all():
        raise InputError(f"{file.path} makes pixels that are not numbers; export it from weights that are whole")
    return np.asarray(result[0].mean(axis=0), np.float32)


def make(settings: OnnxSettings, runtime: Runtime) -> OnnxDenoiser:
    """Make the denoiser from checked settings."""
    return OnnxDenoiser(**settings.model_dump(), device=runtime.device, threads=runtime.threads)
