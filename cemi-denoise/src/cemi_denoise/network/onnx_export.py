"""A network as an ONNX file, for programs without torch; with 8-bit weights only if that costs nothing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cemi_core.errors import InputError, MissingDependencyError
from cemi_core.files.atomic import atomic_path
from cemi_denoise.judge.metrics import psnr
from cemi_denoise.network.networks import DenoisingNetwork
from cemi_denoise.network.weights import load_weights
from cemi_denoise.noise.degrade import SemDegradation

#: What 8-bit weights may cost on a test picture, dB of PSNR.
MOST_LOSS_DB = 0.1
_EDGE_PX = 256


class _WholeMultiples(nn.Module):
    """A network for pictures whose edges are multiples of its own, so that no size is written into the file."""

    def __init__(self, network: DenoisingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor, noise: Tensor | None = None) -> Tensor:
        return self.network.body(picture if noise is None else self.network.told(picture, noise))


def export_onnx(
    weights: str, path: str | Path, int8: bool = False, weights_dir: str | Path | None = None
) -> dict[str, float]:
    """Write a network as an ONNX file that the denoiser ``onnx`` and other programs run.

    Its inputs are ``picture`` (n, 1, h, w), float32 in [0, 1], h and w multiples of 4 (8 for a U-Net of 3 levels), and,
    if the network is told, ``noise`` of the same shape, the standard deviation around each pixel, 0 where unknown.

    Parameters
    ----------
    weights : str
        A ``.safetensors`` file or the name of shipped weights; see `cemi_denoise.network.weights.find_weights`.
    path : str or Path
        The file to write; it appears only when it is complete and has been tried.
    int8 : bool
        Store and compute convolutions in 8 bits.
    weights_dir : str or Path, optional
        Folder with weights.

    Returns
    -------
    dict
        ``psnr_db`` of a test picture denoised with the file, and ``loss_db``, how much lower that is than in float32.

    Raises
    ------
    InputError
        The weights cannot be used, or 8 bits cost more than 0.1 dB.
    MissingDependencyError
        A package for it is not installed.
    """
    runtime = _package("onnxruntime")
    _package("onnx")
    network = load_weights(weights, weights_dir).network
    clean, noisy, noise = _test_picture()
    with TemporaryDirectory() as folder, atomic_path(Path(path)) as partial:
        exported = Path(folder) / "float32.onnx"
        _export(network, exported)
        fed = {"picture": noisy, **({"noise": noise} if network.noise_channel else {})}
        before = psnr(_run(runtime, exported, fed)[0, 0], clean[0, 0])
        if int8:
            written = Path(folder) / "int8.onnx"
            _quantize(exported, written, fed)
        else:
            written = exported
        after = psnr(_run(runtime, written, fed)[0, 0], clean[0, 0])
        if before - after > MOST_LOSS_DB:
            raise InputError(
                f"{weights}: 8-bit numbers cost {before - after:.2f} dB on a test picture, more than "
                f"{MOST_LOSS_DB} dB; export it with int8=False"
            )
        partial.write_bytes(written.read_bytes())
    return {"psnr_db": after, "loss_db": before - after}


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"the export to ONNX needs {name}, which is not installed; run: pip install 'cemi-denoise[onnx-export]'"
        ) from error


def _export(network: DenoisingNetwork, path: Path) -> None:
    picture = torch.rand(1, 1, 64, 96)
    inputs = (picture, torch.full_like(picture, 0.1)) if network.noise_channel else (picture,)
    names = ["picture", "noise"][: len(inputs)]
    size = {0: "n", 2: "height", 3: "width"}
    wrapped = _WholeMultiples(network).eval()
    with warnings.catch_warnings():
        # the newer exporter needs one more package and writes the same; the older one says what it does not simplify
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        torch.onnx.export(
            wrapped,
            inputs,
            str(path),
            input_names=names,
            output_names=["denoised"],
            dynamic_axes=dict.fromkeys([*names, "denoised"], size),
            dynamo=False,
            opset_version=17,
        )


def _quantize(source: Path, target: Path, fed: Mapping[str, NDArray[np.float32]]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Calibration(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [fed]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    # the picture itself and what makes the answer of it need more than 256 levels
    nodes = [node.name for node in import_module("onnx").load(str(source)).graph.node]
    trunk = [name for name in nodes if "/trunk/" in name and "Conv" in name]
    quantize_static(
        str(source),
        str(target),
        Calibration(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        op_types_to_quantize=["Conv"],
        nodes_to_quantize=trunk,
    )


def _test_picture() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return round grains of two grey levels, the same with a microscope's noise, and that noise's level everywhere."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn((1, 1, _EDGE_PX // 16, _EDGE_PX // 16), generator=generator)
    blobs = nn.functional.interpolate(coarse, (_EDGE_PX, _EDGE_PX), mode="bicubic")
    clean = 0.5 + 0.2 * torch.tanh(6 * blobs)
    degraded = SemDegradation(electrons=(50, 50), jitter_px=0)(clean, generator)
    level = degraded.noise[:, None, None, None].expand_as(clean).contiguous()
    return clean.numpy(), degraded.image.numpy(), level.numpy()


def _run(runtime: Any, path: Path, fed: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, dict(fed))[0]
    return result
