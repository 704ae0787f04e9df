"""How well the shipped network finds lamellae: the table of docs/segment.md.

    python benchmarks/segmentation.py                       # a few minutes on one core
    python benchmarks/segmentation.py --weights runs/mine/weights.safetensors --fields 2 --parts periods negatives

periods    overlap with the true mask (IoU) and error of the share, by period, scan and maker of the specimen: `ehea` is
           what the network was trained on (other seeds), `eutectic` was never shown to it; there half of each field is
           irregular texture of the same two grey levels and scale.
negatives  share that is called lamellae where there is none: noise, islands, grain boundaries, scratches, curtains,
           dendrites, pores.
ends       share found where nothing, or all, is lamellae.
scans      overlap of the masks of one place in a fast scan, the same denoised, and a slow scan.

All images are made: the noise is that of the virtual microscope (60 electrons per pixel at white in a fast scan, LD,
and 9.7 times as many in a slow one, HD; correlated along the line).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_analyze.segment.segmenter import Segmenter
from cemi_analyze.train.views import curtains, scratches
from cemi_core.model.mosaic import Box
from cemi_specimens.random_field import smooth_noise
from cemi_virtual_sem import make_specimen
from cemi_virtual_sem.detector import Detector, DetectorSettings

PERIODS = 3.0, 4.0, 6.0, 10.0, 20.0, 40.0
DWELLS = {"LD": 1.0, "HD": 9.7}
EDGE = 512
SPACING_UM = 0.65
FIRST_SEED = 70_000
PARTS = "periods", "negatives", "ends", "scans"

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="lamellae")
    parser.add_argument("--fields", type=int, default=4, help="Fields of 512 x 512 px of each kind.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    segmenter = Segmenter(options.weights, threads=options.threads)
    tables: Mapping[str, Callable[[Segmenter, int], None]] = {
        "periods": periods,
        "negatives": negatives,
        "ends": ends,
        "scans": scans,
    }
    for part in options.parts:
        tables[part](segmenter, options.fields)


def periods(segmenter: Segmenter, fields: int) -> None:
    """Print overlap and error of the share by period."""
    print(
        "| maker | scan | blur, px | period, px | IoU | share, error in points: mean | rms |\n"
        "|---|---|---|---|---|---|---|"
    )
    for maker in (_ehea, _eutectic):
        for scan in DWELLS:
            for blur in (0.6, 1.4):
                for period in PERIODS:
                    if blur > 0.25 * period:
                        continue  # nothing is left of such lamellae
                    both, either, errors = 0, 0, []
                    for number in range(fields):
                        clean, mask = maker(period, blur, FIRST_SEED + number)
                        found = _probability(segmenter, _recorded(clean, scan, number))
                        both += int(((found > 0.5) & mask).sum())
                        either += int(((found > 0.5) | mask).sum())
                        errors.append(_share(segmenter, found) - mask.mean())
                    rms = np.sqrt(np.mean(np.square(errors)))
                    print(
                        f"| {maker.__name__[1:]} | {scan} | {blur} | {period:g} | {both / max(either, 1):.3f} "
                        f"| {100 * np.mean(errors):+.1f} | {100 * rms:.1f} |",
                        flush=True,
                    )


def negatives(segmenter: Segmenter, fields: int) -> None:
    """Print the share that is called lamellae where there is none."""
    print("\n| without lamellae | LD, % | HD, % |\n|---|---|---|")
    for name, made in _without_lamellae():
        shares = []
        for scan in DWELLS:
            found = [
                _share(segmenter, _probability(segmenter, _recorded(made(FIRST_SEED + n), scan, n)))
                for n in range(fields)
            ]
            shares.append(100 * np.mean(found))
        print(f"| {name} | {shares[0]:.2f} | {shares[1]:.2f} |", flush=True)


def ends(segmenter: Segmenter, fields: int) -> None:
    """Print the share found where nothing or everything is lamellae."""
    print("\n| true share | maker | period, px | LD, % | HD, % |\n|---|---|---|---|---|")
    for truth, maker in ((0, _ehea), (1, _ehea), (1, _eutectic)):
        for period in (3.0, 6.0, 20.0):
            shares = []
            for scan in DWELLS:
                found = []
                for number in range(fields):
                    clean, _ = maker(period, 0.6, FIRST_SEED + number, share=truth)
                    found.append(_share(segmenter, _probability(segmenter, _recorded(clean, scan, number))))
                shares.append(100 * np.mean(found))
            print(f"| {truth} | {maker.__name__[1:]} | {period:g} | {shares[0]:.1f} | {shares[1]:.1f} |", flush=True)


def scans(segmenter: Segmenter, fields: int) -> None:
    """Print how far masks of one place agree between scans."""
    print("\n| period, px | LD with HD, IoU | LD denoised (Gaussian 0.7 px) with HD, IoU |\n|---|---|---|")
    for period in PERIODS:
        overlaps: list[list[float]] = [[], []]
        for number in range(fields):
            clean, _ = _ehea(period, 0.6, FIRST_SEED + number)
            fast, slow = (_recorded(clean, scan, number) for scan in DWELLS)
            smooth = np.asarray(cv2.GaussianBlur(fast, (0, 0), 0.7), np.float32)
            best = _probability(segmenter, slow) > 0.5
            for image, found in zip((fast, smooth), overlaps, strict=True):
                mask = _probability(segmenter, image) > 0.5
                found.append(float((mask & best).sum() / max((mask | best).sum(), 1)))
        print(f"| {period:g} | {np.mean(overlaps[0]):.3f} | {np.mean(overlaps[1]):.3f} |", flush=True)


def _probability(segmenter: Segmenter, image: Image) -> Image:
    return segmenter.probabilities(image)[1]


def _share(segmenter: Segmenter, probability: Image) -> float:
    by_mask = segmenter.card.errors.by == "mask"
    return float((probability > 0.5).mean() if by_mask else probability.mean())


def _ehea(period: float, blur: float, seed: int, share: float | None = None) -> tuple[Image, Mask]:
    low, high = (0.1, 0.7) if share is None else (share, share)
    return _rendered(
        "ehea",
        period,
        blur,
        seed,
        mask="lamella",
        spacing_low_um=SPACING_UM,
        spacing_high_um=SPACING_UM,
        lamella_low=low,
        lamella_high=high,
        colony_um=SPACING_UM / period * float(np.clip(12 * period, 90, 220)),
    )


def _eutectic(period: float, blur: float, seed: int, share: float | None = None) -> tuple[Image, Mask]:
    """Return lamellae of a maker that the network never saw, in half of the field."""
    colony_um = SPACING_UM / period * float(np.clip(12 * period, 90, 220))
    lamellae, _ = _rendered(
        "eutectic", period, blur, seed, fraction=0.4, growth="lamellae", spacing_um=SPACING_UM, colony_um=colony_um
    )
    if share == 1:
        return lamellae, np.ones(lamellae.shape, bool)
    levels = {"dark_grey": 0.34, "bright_grey": 0.64, "fraction": 0.4}
    islands, _ = _rendered("gaussian-field", period, blur, seed, correlation_um=0.25 * SPACING_UM, **levels)
    reach = float(np.clip(6 * period, 40, 110))
    field = smooth_noise(seed, Box(0, 0, EDGE, EDGE), reach)
    where = np.asarray(field > np.median(field), bool)
    return np.where(where, lamellae, islands).astype(np.float32), where


def _rendered(
    name: str, period: float, blur: float, seed: int, mask: str | None = None, **settings: Any
) -> tuple[Image, Mask]:
    pixel_um = SPACING_UM / period
    extent = (EDGE, EDGE)
    specimen = make_specimen(name, pixel_size_um=pixel_um, extent_px=extent, seed=seed, blur_px=blur, **settings)
    box = Box(0, 0, EDGE, EDGE)
    truth = np.zeros(extent, bool) if mask is None else specimen.truth(box).masks[mask]
    return np.asarray(specimen.render(box), np.float32), truth


def _recorded(clean: Image, scan: str, number: int) -> Image:
    """Return an image as the virtual microscope records it, in 256 levels."""
    detector = Detector(DetectorSettings(dwell=DWELLS[scan]), seed=number)
    noisy = detector.record(clean, np.random.default_rng((FIRST_SEED, number)))
    return np.asarray(np.rint(np.clip(noisy, 0, 1) * 255) / 255, np.float32)


def _without_lamellae() -> Iterator[tuple[str, Callable[[int], Image]]]:
    flat = np.full((EDGE, EDGE), 0.5, np.float32)
    yield "noise alone", lambda seed: flat
    for name, period, fraction in (
        ("small islands", 6.0, 0.35),
        ("large islands", 20.0, 0.35),
        ("labyrinth", 8.0, 0.5),
    ):
        yield name, partial(_field, "gaussian-field", period, correlation_um=0.25 * SPACING_UM, fraction=fraction)
    yield "irregular eutectic, 3 px", lambda seed: _ehea(3.0, 0.6, seed, share=0)[0]
    yield "grain boundaries", partial(_field, "polycrystal", 6.5)
    yield "grains", partial(_field, "voronoi", 6.5)
    yield "scratches", lambda seed: np.clip(flat + scratches(flat.shape, np.random.default_rng(seed)), 0, 1)
    yield "curtains", lambda seed: np.clip(flat + curtains(flat.shape, np.random.default_rng(seed)), 0, 1)
    yield "dendrite arms", partial(_field, "dendrites", 6.5)
    pores = {"particle_grey": 0.1, "edge_grey": 0.2, "substrate_grey": 0.6, "coverage": 0.1, "diameter_um": 0.8}
    yield "pores", partial(_field, "particles", 6.5, **pores)


def _field(name: str, period: float, seed: int, **settings: Any) -> Image:
    return _rendered(name, period, 0.6, seed, **settings)[0]


if __name__ == "__main__":
    main()
