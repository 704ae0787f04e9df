"""Spacing and widths of lamellae against planted truths: the tables of docs/how-numbers-are-computed.md.

python benchmarks/lamellae.py                 # 3 seeds of each
python benchmarks/lamellae.py --only false    # what is no lamellae: scratches, grain boundaries, curtains ...
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cemi_analyze import LamellaWidth
from cemi_analyze.train.views import curtains
from cemi_core.model.mosaic import Box
from cemi_core.model.stages import BlockInfo
from cemi_virtual_sem import make_specimen

BRIGHT, DARK = 0.60, 0.36
NOISE = {"HD": 0.02, "LD": 0.08}
SIZE_PX, FINE, BEAM_PX = 384, 3, 0.7
PERIODS_PX = (5.0, 6.6, 8.0, 12.0, 20.0, 36.0)

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Kind:
    """How lamellae are laid: dark share, waves (px), edge of a colony (px, 0 for none), share of lamellar colonies."""

    name: str
    shares: tuple[float, ...] = (0.35, 0.5)
    wave_px: float = 0.0
    colony_px: float = 0.0
    lamellar: float = 1.0
    periods: tuple[float, ...] = PERIODS_PX


KINDS = (
    Kind("straight"),
    Kind("thin dark phase", (0.1, 0.2), periods=(12.0, 20.0, 30.0)),
    Kind("wavy", wave_px=2.0),
    Kind("colonies", wave_px=1.0, colony_px=100.0, periods=PERIODS_PX[:5]),
    Kind(
        "colonies, half of them irregular", (0.35,), wave_px=1.0, colony_px=100.0, lamellar=0.5, periods=PERIODS_PX[:5]
    ),
)


def smooth(size: int, sigma: float, rng: np.random.Generator) -> Image:
    """Return a smooth random field of deviation 1."""
    field = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), sigma)
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def lamellae(kind: Kind, period_px: float, share: float, noise: float, seed: int) -> Image:
    """Return a picture of lamellae through a beam, with noise of counting."""
    rng = np.random.default_rng([seed, round(10 * period_px), round(100 * share)])
    size = SIZE_PX * FINE
    y, x = np.mgrid[:size, :size].astype(np.float32) / FINE
    lamellar: NDArray[np.bool_] | None = None
    if kind.colony_px:
        number = max(2, int(SIZE_PX**2 / kind.colony_px**2))
        seeds = rng.uniform(0, SIZE_PX, (number, 2))
        colony = cKDTree(seeds).query(np.column_stack([y.ravel(), x.ravel()]))[1].reshape(size, size)
        turn = rng.uniform(0, np.pi, number).astype(np.float32)[colony]
        start = rng.uniform(0, 1, number).astype(np.float32)[colony]
        lamellar = (rng.uniform(size=number) < kind.lamellar)[colony]
    else:
        turn, start = np.float32(rng.uniform(0, np.pi)), np.float32(rng.uniform())
    across = (x * np.cos(turn) + y * np.sin(turn)) / np.float32(period_px) + start
    if kind.wave_px:
        across += cv2.resize(smooth(SIZE_PX, 25, rng), (size, size)) * np.float32(kind.wave_px / period_px)
    dark = (np.mod(across, 1) < share).astype(np.float32)
    if lamellar is not None and kind.lamellar < 1:
        field = cv2.resize(smooth(SIZE_PX, 0.28 * period_px, rng), (size, size))
        dark = np.where(lamellar, dark, (field > np.quantile(field, 1 - share)).astype(np.float32))
    return imaged(BRIGHT + (DARK - BRIGHT) * dark, FINE, noise, rng)


def imaged(grey: Image, fine: int, noise: float, rng: np.random.Generator) -> Image:
    """Return grey levels drawn finer through the beam, with noise."""
    clean = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), BEAM_PX * fine)
    clean = cv2.resize(clean, (grey.shape[1] // fine, grey.shape[0] // fine), interpolation=cv2.INTER_AREA)
    scatter = noise * np.sqrt(np.maximum(clean, 0) / 0.5)
    return (clean + scatter * rng.standard_normal(clean.shape)).astype(np.float32)


def not_lamellae(kind: str, noise: float, seed: int) -> Image:
    """Return a picture without lamellae that may be taken for some."""
    rng = np.random.default_rng([seed, sum(map(ord, kind))])
    flat = np.full((SIZE_PX, SIZE_PX), 0.5, np.float32)
    if kind.startswith("islands"):
        flat = np.where(smooth(SIZE_PX, float(kind.split()[1]), rng) > 0.4, np.float32(DARK), np.float32(BRIGHT))
    elif kind in ("polycrystal", "dendrites"):
        made = make_specimen(kind, pixel_size_um=0.12, extent_px=(SIZE_PX, SIZE_PX), seed=seed)
        flat = made.render(Box(0, 0, SIZE_PX, SIZE_PX))
    elif kind.endswith("scratches"):
        common = rng.uniform(0, np.pi)
        for _ in range(70):
            turn = common + rng.normal(0, 0.02) if kind.startswith("parallel") else rng.uniform(0, np.pi)
            at, along = rng.uniform(0, SIZE_PX, 2), SIZE_PX * np.array([np.cos(turn), np.sin(turn)])
            ends = [tuple(int(v) for v in point) for point in (at - along, at + along)]
            cv2.line(flat, ends[0], ends[1], float(rng.uniform(0.35, 0.65)), int(rng.integers(1, 3)))
    elif kind == "curtains":
        flat = flat + np.asarray(curtains(flat.shape, rng), np.float32)
    elif kind == "line jitter":
        flat = flat + 0.03 * rng.standard_normal((SIZE_PX, 1)).astype(np.float32)
    return imaged(flat, 1, noise, rng)


def truths(seeds: int) -> None:
    """Print spacing and width of the dark phase for every kind."""
    for kind in KINDS:
        for scan, noise in NOISE.items():
            spacing, held, width = [], [], []
            pictures = 0
            for period in kind.periods:
                for share in kind.shares:
                    for seed in range(seeds):
                        image = lamellae(kind, period, share, noise, seed)
                        found = LamellaWidth().measure(image)
                        pictures += 1
                        if not np.isfinite(found.value):
                            continue
                        spacing.append(found.value / period - 1)
                        held.append(found.low <= period <= found.high)
                        dark = found.extra["dark_width_px"]
                        if np.isfinite(dark):
                            true = share * period
                            low, high = found.extra["dark_width_px_low"], found.extra["dark_width_px_high"]
                            width.append((period, dark / true - 1, low <= true <= high, (high - low) / 2 / true))
            _line(f"{kind.name}, {scan}", spacing, held, width, pictures)


def _line(
    name: str,
    spacing: Sequence[float],
    held: Sequence[bool],
    width: Sequence[tuple[float, float, bool, float]],
    pictures: int,
) -> None:
    error = 100 * np.array(spacing)
    print(
        f"{name:<38} spacing: bias {error.mean():+.2f} %, rms {np.sqrt((error**2).mean()):.2f} %, held "
        f"{np.mean(held):.0%}, {len(spacing)} of {pictures}",
        flush=True,
    )
    table = np.array(width, np.float64)
    for first, last in ((0, 8), (8, 99)):
        some = table[(table[:, 0] >= first) & (table[:, 0] < last)] if len(table) else table
        if len(some):
            off = 100 * some[:, 1]
            print(
                f"{'':<38} width of the dark phase, period {first} to {last} px: bias {off.mean():+.1f} %, rms "
                f"{np.sqrt((off**2).mean()):.1f} %, held {some[:, 2].mean():.0%}, half-width "
                f"{100 * some[:, 3].mean():.0f} %, told {len(some)}",
                flush=True,
            )


def several(seeds: int) -> None:
    """Print what is told of two spacings in one cell."""
    print("\nhalf 10 px, half 30 px")
    for seed in range(seeds):
        left = lamellae(Kind("", wave_px=0.5), 10.0, 0.4, 0.03, seed)
        right = lamellae(Kind("", wave_px=0.5), 30.0, 0.4, 0.03, seed + 50)
        image = np.where(np.arange(SIZE_PX)[None, :] < SIZE_PX // 2, left, right)
        analyzer = LamellaWidth()
        result = analyzer.merge([(0, 0, analyzer.process(image, BlockInfo()))], (1, 1))
        rows = [row[2:] for table in result.tables for row in table.rows]
        print(
            "  " + "; ".join(f"{value:.2f} [{low:.2f}, {high:.2f}] in {share:.0%}" for value, low, high, share in rows)
        )


def false_spacings(seeds: int) -> None:
    """Print how many pictures without lamellae get a spacing."""
    print("\nspacings where there is none")
    kinds = ["noise", "islands 2", "islands 4", "islands 8", "polycrystal", "dendrites"]
    kinds += ["scratches", "parallel scratches", "curtains", "line jitter"]
    for kind in kinds:
        pictures = [not_lamellae(kind, noise, seed) for noise in NOISE.values() for seed in range(seeds)]
        told = [LamellaWidth().measure(image).value for image in pictures]
        found = [round(float(value), 1) for value in told if np.isfinite(value)]
        print(f"  {kind:<20} {len(found)} of {len(told)} {found or ''}", flush=True)


def speed() -> None:
    """Print the time of a cell of 512 px on one core."""
    kind = KINDS[3]
    images = [cv2.resize(lamellae(kind, 8.0, 0.35, noise, 0), (512, 512)) for noise in NOISE.values()]
    LamellaWidth().measure(images[0])
    start = time.perf_counter()
    for image in images:
        LamellaWidth().measure(image)
    print(f"\n{1000 * (time.perf_counter() - start) / len(images):.0f} ms for a cell of 512 x 512 px")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("truths", "several", "false", "speed"), nargs="*")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    parts: dict[str, Callable[[], None]] = {
        "truths": lambda: truths(given.seeds),
        "several": lambda: several(given.seeds),
        "false": lambda: false_spacings(given.seeds),
        "speed": speed,
    }
    for name in given.only or parts:
        parts[name]()


if __name__ == "__main__":
    main()
