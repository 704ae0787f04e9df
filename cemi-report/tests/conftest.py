"""A made-up run with everything in it: what the report is tried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from cemi_core.model.frame import DroppedFrame, Frame
from cemi_core.model.grid import Grid
from cemi_core.model.layout import Layout, PairShift
from cemi_core.model.mosaic import Box
from cemi_core.model.result import GridMap, PropertyTable, Relation, Result, Table, profile_along_x
from cemi_report.page import FinishedRun, PluginUse, StepTime


@dataclass
class FormulaMosaic:
    """A mosaic of any size whose pixels follow from a formula; remembers the largest box that was read."""

    shape: tuple[int, int]
    pixel_size_um: float | None = 0.222
    levels: int = 9
    hole: Box | None = None
    dtype: np.dtype = field(default_factory=lambda: np.dtype(np.uint8))
    largest_read_px: int = 0
    read_px: int = field(default=0)

    @property
    def level_shapes(self) -> tuple[tuple[int, int], ...]:
        return tuple(tuple(-(-side // 2**n) for side in self.shape) for n in range(self.levels))

    def _coordinates(self, box: Box, level: int) -> tuple[np.ndarray, np.ndarray]:
        height, width = self.level_shapes[level]
        assert box.y >= 0 and box.x >= 0 and box.y + box.height <= height and box.x + box.width <= width
        y, x = np.mgrid[box.y : box.y + box.height, box.x : box.x + box.width].astype(np.float32) * 2**level
        return y, x

    def read(self, box: Box, level: int = 0) -> np.ndarray:
        y, x = self._coordinates(box, level)
        self.largest_read_px = max(self.largest_read_px, box.height * box.width)
        self.read_px += box.height * box.width
        wave = np.sin((x * np.cos(x / 900) + y * np.sin(y / 700)) * 0.45) if level < 3 else 0.0
        noise = np.random.default_rng(level).normal(0, 0.06 / 2**level, x.shape)
        image = 0.5 + 0.16 * np.tanh(3 * wave) + 0.1 * np.sin(x / 1500) * np.cos(y / 800) + noise
        return np.where(self.read_valid(box, level), image, 0).astype(np.float32)

    def read_valid(self, box: Box, level: int = 0) -> np.ndarray:
        y, x = self._coordinates(box, level)
        edge = 40 * np.sin(x / 1012 * np.pi) ** 2
        valid = (y >= edge) & (y < self.shape[0] - edge)
        if self.hole is not None:
            h = self.hole
            valid &= ~((y >= h.y) & (y < h.y + h.height) & (x >= h.x) & (x < h.x + h.width))
        return valid


def stage_layout(rows: int, columns: int, seed: int = 0, bad: int = 3) -> Layout:
    """Return passes of overlapping frames of 628 x 1012 px with planted residuals; ``bad`` frames placed by prior."""
    rng = np.random.default_rng(seed)
    step = np.array([424.0, 569.0])
    index = np.arange(rows * columns).reshape(rows, columns)
    positions = np.stack(np.divmod(index.ravel(), columns), axis=1) * step + rng.normal(0, 6, (rows * columns, 2))
    positions -= positions.min(axis=0)
    links = [*zip(index[:, :-1].ravel(), index[:, 1:].ravel()), *zip(index[:-1].ravel(), index[1:].ravel())]
    prior = np.zeros(rows * columns, bool)
    prior[index.ravel()[columns - 1 : columns - 1 + bad]] = bad > 0
    pairs = []
    for first, second in links:
        true = positions[second] - positions[first]
        good = PairShift(int(first), int(second), tuple(true + rng.normal(0, 0.15, 2)), rng.uniform(0.6, 0.95))
        if prior[first] or prior[second]:
            pairs.append(good.dropped(f"quality {rng.uniform(0.02, 0.2):.2f} below the threshold 0.31"))
        elif rng.random() < 0.04:
            pairs.append(good.dropped("does not close its loops"))
        else:
            pairs.append(good)
    count = rows * columns
    return Layout(
        positions_px=positions,
        shapes=np.tile([628, 1012], (count, 1)),
        component=np.where(prior, 1, 0),
        residual_px=np.full(count, 0.2),
        gain=np.ones(count),
        offset=np.zeros(count),
        placed_by_prior=prior,
        pairs=tuple(pairs),
        notes=("The last frames of pass 1 hold no texture that a match could use.",) if bad else (),
    )


def grid_map(name: str, label: str, unit: str, grid: Grid, centre: float, spread: float, seed: int = 0) -> GridMap:
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, grid.columns)
    value = centre + spread * np.sin(3 * x + seed)[None] + rng.normal(0, spread / 3, (grid.rows, grid.columns))
    value[rng.random(value.shape) < 0.03] = np.nan
    half = spread * (0.3 + 0.2 * rng.random(value.shape))
    return GridMap(name, label, unit, value, value - half, value + half)


def make_run(rows: int = 4, columns: int = 40, cells: tuple[int, int] = (9, 80), **changes: object) -> FinishedRun:
    layout = stage_layout(rows, columns)
    pixel_size_um = 0.222
    mosaic = FormulaMosaic(layout.mosaic_shape, pixel_size_um, hole=Box(600, 9000, 300, 700))
    grid = Grid(*cells, mosaic.shape)
    fraction = grid_map("bcc_fraction", "BCC fraction", "1", grid, 0.345, 0.012, seed=1)
    width = grid_map("lamella_width", "Lamella spacing", "um", grid, 0.61, 0.05, seed=2)
    places = [x * pixel_size_um for x in grid.centres_px()[1]]
    profiles = [profile_along_x(each, places) for each in (fraction, width)]
    where = np.linspace(places[0], places[-1], 15)
    hardness = 500 + 1800 * (np.interp(where, places, profiles[0].value) - 0.345)
    hardness += np.random.default_rng(3).normal(0, 9, 15)
    relations = [
        Relation(
            "bcc_fraction",
            "hardness (HV)",
            0.71,
            0.24,
            0.91,
            0.008,
            15,
            9.4,
            where,
            np.interp(where, places, profiles[0].value),
            hardness,
            ("Profile averaged over 100 µm around each indent.",),
        ),
        Relation(
            "lamella_width",
            "hardness (HV)",
            -0.38,
            -0.79,
            0.24,
            0.21,
            15,
            10.2,
            where,
            np.interp(where, places, profiles[1].value),
            hardness,
        ),
    ]
    frames = [
        Frame(n, f"pass{n // columns + 1:02d}.mp4@{(n % columns) * 0.9:.2f}s", (628, 1012), n // columns, 0.9 * n)
        for n in range(rows * columns)
    ]
    dropped = [DroppedFrame(f"pass01.mp4@{n / 10:.2f}s", "repeats the frame before", n / 10) for n in range(260)]
    dropped += [
        DroppedFrame(f"pass02.mp4@{n}.00s", f"coloured marker on {0.4 + n / 10:.1f} % of it", n) for n in range(7)
    ]
    dropped.append(DroppedFrame("pass02.mp4", "9 whole scans were not needed", frames=0))
    y, x = np.mgrid[:300, :420]
    overlay = np.stack([(np.sin(x / 9 + y / 30) > 0) * 180, np.full(x.shape, 90), np.full(x.shape, 120)], -1)
    values = {
        "title": "AlCoCrFeNi2.1 ingot, centre line",
        "created": "2025-03-02 14:07",
        "frames": frames,
        "dropped": dropped,
        "layout": layout,
        "mosaic": mosaic,
        "grid": grid,
        "results": [
            Result(
                "bcc-fraction",
                (fraction,),
                notes=("Threshold by Otsu's method in each cell.",),
                overlays={"dark phase in cell (4, 40)": overlay.astype(np.uint8)},
            ),
            Result(
                "lamella-width",
                (width,),
                (
                    Table(
                        "Colonies by orientation",
                        ("angle (deg)", "cells", "spacing (um)"),
                        ((0, 211, 0.6021), (45, 320, 0.6133), (90, 158, float("nan"))),
                    ),
                ),
            ),
        ],
        "profiles": profiles,
        "relations": relations,
        "property_table": PropertyTable("hardness (HV)", where, hardness),
        "settings_yaml": "recipe: 1\nsource:\n  use: video\n  with:\n    path: data/*.mp4\n    pixel_size: 222 nm\n",
        "versions": {"cemi-core": "0.1.0", "numpy": "2.4.0", "python": "3.11.2"},
        "plugins": [
            PluginUse("source", "video", "cemi-core", "0.1.0"),
            PluginUse("stitch", "kornia", "cemi-stitch", "0.1.0"),
        ],
        "timings": [
            StepTime("frames", 21.32, "done"),
            StepTime("layout", 8.1, "done"),
            StepTime("mosaic", 11.77, "reused"),
        ],
        "warnings": ["The video was recorded at a variable rate; stage speed was taken from the frames."],
        "peak_memory_mb": 812.4,
    }
    return FinishedRun(**{**values, **changes})


@pytest.fixture(scope="session")
def make_report_data() -> Callable[..., FinishedRun]:
    return make_run
