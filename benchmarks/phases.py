"""Phase fractions against planted truths and manual masks: what docs/how-numbers-are-computed.md says of them.

python benchmarks/phases.py                    # planted shares, lamellae, third levels; 8 seeds
python benchmarks/phases.py --only real        # manual masks of real superalloys, in CEMI_DATA
python benchmarks/phases.py --only gradient    # sr-phase on gradients
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from cemi_analyze import PhaseFraction, SrPhase
from cemi_analyze.phases.settings import PhaseFractionSettings
from cemi_core.images.read_image import read_pixels, read_samples
from cemi_core.model.stages import BlockInfo

BRIGHT, DARK = 0.60, 0.36
#: Deviation of the noise at half brightness; the phases are 0.24 apart.
NOISE = {"HD": 0.02, "LD": 0.08}
BEAMS_PX = (0.7, 1.4)
SIZE_PX = 384


@dataclass(frozen=True)
class Found:
    """A share with its interval, the truth, what method and cells share, and which method answered or why none did."""

    value: float
    low: float
    high: float
    true: float
    how: str
    systematic: float = 0.0

    @property
    def sampling(self) -> float:
        """Half-width of the interval without the method's part."""
        return float(np.sqrt(max((0.5 * (self.high - self.low)) ** 2 - self.systematic**2, 0.0)))

    @property
    def held(self) -> bool:
        """Whether the interval holds the truth."""
        return bool(self.low <= self.true <= self.high)


def measured(image: NDArray[np.float32], true: float, settings: PhaseFractionSettings) -> Found:
    """Return what the analyzer says of a picture."""
    analyzer = PhaseFraction(settings)
    core = (slice(0, image.shape[0]), slice(0, image.shape[1]))
    cell = analyzer.process(image, BlockInfo(core=core))
    found = analyzer.merge([(0, 0, cell)], (1, 1)).maps[0]
    how = "not imaged" if cell is None else cell.best or cell.reason.split(" (")[0].split(",")[0]
    shared = 0.0 if found.systematic is None else float(found.systematic[0, 0])
    return Found(float(found.value[0, 0]), float(found.low[0, 0]), float(found.high[0, 0]), true, how, shared)


def field(share: float, size: int, rng: np.random.Generator, sigma: float) -> NDArray[np.float32]:
    """Return an irregular texture of one phase with a share, 0 or 1."""
    smooth = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), sigma)
    return (smooth > np.quantile(smooth, 1 - share)).astype(np.float32)


def imaged(
    grey: NDArray[np.float32], fine: int, blur_px: float, noise: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return grey levels drawn ``fine`` times finer through a beam, in pixels, with noise of counting."""
    size = grey.shape[0] // fine
    clean = cv2.resize(cv2.GaussianBlur(grey, (0, 0), fine * blur_px), (size, size), interpolation=cv2.INTER_AREA)
    scatter = noise * np.sqrt(np.maximum(clean, 0) / 0.5)
    return (clean + scatter * rng.standard_normal(clean.shape)).astype(np.float32)


def irregular(share: float, blur_px: float, noise: float, seed: int) -> tuple[NDArray[np.float32], float]:
    """Return irregular phases, features of some 8 px, and the share of the dark one."""
    rng = np.random.default_rng([seed, 1])
    dark = field(share, 2 * SIZE_PX, rng, 8.0)
    return imaged(BRIGHT + (DARK - BRIGHT) * dark, 2, blur_px, noise, rng), float(dark.mean())


def lamellae(
    share: float, blur_px: float, noise: float, seed: int, period_px: float = 8.0
) -> tuple[NDArray[np.float32], float]:
    """Return straight lamellae of a random direction."""
    rng = np.random.default_rng([seed, 2])
    y, x = np.mgrid[: 4 * SIZE_PX, : 4 * SIZE_PX].astype(np.float32) / 4
    turn, start = rng.uniform(0, np.pi), rng.uniform()
    across = (x * np.cos(turn) + y * np.sin(turn)) / period_px + start
    dark = (np.mod(across, 1) < share).astype(np.float32)
    return imaged(BRIGHT + (DARK - BRIGHT) * dark, 4, blur_px, noise, rng), float(dark.mean())


def third(kind: str, blur_px: float, noise: float, seed: int) -> tuple[NDArray[np.float32], float]:
    """Return two phases (0.35 dark) with a third level."""
    rng = np.random.default_rng([seed, 3])
    dark = field(0.35, 2 * SIZE_PX, rng, 8.0)
    share, grey = {"pores 2 %": (0.02, 0.08), "bright third 5 %": (0.05, 0.85), "middle grey 10 %": (0.10, 0.48)}.get(
        kind, (0.0, 0.08)
    )
    mask = field(share, 2 * SIZE_PX, rng, 10.0) if share else _disc(2 * SIZE_PX, 16)
    picture = np.where(mask > 0, np.float32(grey), BRIGHT + (DARK - BRIGHT) * dark).astype(np.float32)
    return imaged(picture, 2, blur_px, noise, rng), float((dark * (mask == 0)).mean())


def _disc(size: int, radius: int) -> NDArray[np.float32]:
    y, x = np.ogrid[:size, :size]
    return ((y - size / 3) ** 2 + (x - size / 2) ** 2 < radius**2).astype(np.float32)


def line(title: str, found: Sequence[Found]) -> None:
    """Print bias, scatter, coverage and half-width in points, and which methods answered."""
    told = [each for each in found if np.isfinite(each.value)]
    hows = ", ".join(f"{how} {number}" for how, number in Counter(each.how for each in found).most_common())
    if not told:
        print(f"  {title:<44} refused ({hows})", flush=True)
        return
    error = 100 * np.array([each.value - each.true for each in told])
    half = 50 * np.mean([each.high - each.low for each in told])
    held = np.mean([each.held for each in told])
    print(
        f"  {title:<44} bias {error.mean():+6.2f}, rms {np.sqrt((error**2).mean()):5.2f}, held {held:4.0%}, "
        f"half-width {half:4.1f}, answered {len(told)} of {len(found)} ({hows})",
        flush=True,
    )


def planted(seeds: int, settings: PhaseFractionSettings) -> None:
    """Print what planted specimens give."""
    makers: list[tuple[str, Callable[..., tuple[NDArray[np.float32], float]], tuple[object, ...]]] = [
        *((f"irregular {share:g}", irregular, (share,)) for share in (0.01, 0.02, 0.05, 0.2, 0.35, 0.6)),
        *((f"lamellae of 8 px, {share:g}", lamellae, (share,)) for share in (0.35, 0.5)),
        *((kind, third, (kind,)) for kind in ("pores 2 %", "bright third 5 %", "middle grey 10 %", "one pore")),
    ]
    for blur_px in BEAMS_PX:
        for scan, noise in NOISE.items():
            print(f"\nbeam {blur_px} px, {scan}")
            for name, make, first in makers:
                pictures = [make(*first, blur_px, noise, seed) for seed in range(seeds)]
                line(name, [measured(image, true, settings) for image, true in pictures])


def coverage(seeds: int, settings: PhaseFractionSettings) -> None:
    """Print how often the interval holds the share of the material, of which each picture is a sample."""
    print("\nshare of the material (0.34), not of the picture: irregular, beam 0.7 px")
    for scan, noise in NOISE.items():
        found = []
        for seed in range(25 * seeds):
            rng = np.random.default_rng([seed, 4])
            smooth = cv2.GaussianBlur(rng.standard_normal((2 * 256 + 80,) * 2).astype(np.float32), (0, 0), 8.0)
            smooth = smooth[40:-40, 40:-40] * np.float32(8.0 * 2 * np.sqrt(np.pi))
            dark = (smooth > np.float32(0.41246)).astype(np.float32)  # the quantile of 0.66
            found.append(measured(imaged(BRIGHT + (DARK - BRIGHT) * dark, 2, 0.7, noise, rng), 0.34, settings))
        line(scan, found)


def real(settings: PhaseFractionSettings) -> None:
    """Print what real superalloys with manual masks give (nasa/pretrained-microscopy-models, MIT)."""
    folder = Path(os.environ.get("CEMI_DATA", "../shared/data")) / "nasa_super"
    if not folder.is_dir():
        print("no real images: CEMI_DATA names no folder that holds 'nasa_super'")
        return
    found = []
    for path in sorted((folder / "images").iterdir()):
        grey = np.asarray(read_pixels(path), np.float32) / np.float32(255)
        colour = read_samples(folder / "masks" / path.name)[..., :3].astype(int)
        each = measured(grey, float((np.ptp(colour, axis=-1) > 40).mean()), settings)
        found.append(each)
        print(
            f"  {path.name:<24} mask {each.true:.3f}, found {each.value:.3f} "
            f"[{each.low:.3f}, {each.high:.3f}] ({each.how})"
        )
    line("all", found)
    alone = [each for each in found if abs(each.value - each.true) <= each.sampling]
    print(f"  by sampling alone, as of one segmented image: held {len(alone) / len(found):.0%}")


def gradient() -> None:
    """Print what sr-phase gives on gradients, with and without a drift of the brightness."""
    print("\nsr-phase, 15 cells of 160 px along a gradient")
    for scan, noise in NOISE.items():
        for drift in (0.0, 0.1):
            for first, last in ((0.002, 0.998), (0.1, 0.6)):
                rng = np.random.default_rng(0)
                smooth = cv2.GaussianBlur(rng.standard_normal((320, 4800)).astype(np.float32), (0, 0), 10.0)
                smooth /= smooth.std()
                level = ndtri(1 - np.linspace(first, last, 4800)).astype(np.float32)
                dark = (smooth > level).astype(np.float32)
                grey = cv2.GaussianBlur(BRIGHT + (DARK - BRIGHT) * dark, (0, 0), 1.4)
                clean = cv2.resize(grey, (2400, 160), interpolation=cv2.INTER_AREA)
                image = clean + noise * np.sqrt(clean / 0.5) * rng.standard_normal(clean.shape)
                image = (image * (1 + drift * np.sin(np.linspace(0, 7, 2400)))).astype(np.float32)
                analyzer = SrPhase()
                cells = [
                    (0, at, analyzer.process(np.ascontiguousarray(image[:, 160 * at : 160 * (at + 1)]), BlockInfo()))
                    for at in range(15)
                ]
                found = analyzer.merge(cells, (1, 15)).maps[0]
                true = dark.reshape(320, 15, 320).mean(axis=(0, 2))
                error = 100 * (found.value[0] - true)
                held = np.mean((found.low[0] <= true) & (true <= found.high[0]))
                print(
                    f"  {scan}, {first:g} to {last:g}, drift {drift:.0%}: bias {error.mean():+.2f}, worst "
                    f"{np.abs(error).max():.2f} points, held {held:.0%}"
                )


def speed(settings: PhaseFractionSettings) -> None:
    """Print the time of a cell of 512 px on one core."""
    pictures = [irregular(0.35, 0.7, noise, seed)[0] for noise in NOISE.values() for seed in (0, 1)]
    large = [cv2.copyMakeBorder(image, 0, 128, 0, 128, cv2.BORDER_REFLECT) for image in pictures]
    measured(large[0], 0.35, settings)
    start = time.perf_counter()
    for image in large:
        measured(image, 0.35, settings)
    print(f"\n{1000 * (time.perf_counter() - start) / len(large):.0f} ms for a cell of 512 x 512 px")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("planted", "coverage", "real", "gradient", "speed"), nargs="*")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--method", default="auto")
    given = parser.parse_args()
    settings = PhaseFractionSettings(method=given.method)
    cv2.setNumThreads(1)
    parts: dict[str, Callable[[], None]] = {
        "planted": lambda: planted(given.seeds, settings),
        "coverage": lambda: coverage(given.seeds, settings),
        "real": lambda: real(settings),
        "gradient": gradient,
        "speed": lambda: speed(settings),
    }
    for name in given.only or parts:
        parts[name]()


if __name__ == "__main__":
    main()
