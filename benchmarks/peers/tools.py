"""Each stitcher from elsewhere on one case, called as its documentation says; runs in the peers' own environment.

    .venv-peers/bin/python benchmarks/peers/tools.py NAME CASE-FOLDER

prints one line of JSON: the positions (y, x) of all tiles, px, NaN for a tile that the tool leaves out, and the CPU
time of the alignment with its imports. Tools are told the nominal positions and the stage's
largest error where they can be told.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.float64]
warnings.filterwarnings("ignore")


class Tiles:
    """What a tool may know about a case."""

    def __init__(self, folder: Path) -> None:
        known = json.loads((folder / "case.json").read_text())
        self.images = np.load(folder / "tiles.npy")
        self.nominal = np.array(known["nominal"])
        self.rows, self.columns, self.size = known["rows"], known["columns"], known["size"]
        self.overlap, self.jitter_px = known["overlap"], known["jitter_px"]
        #: Largest error of the step between two tiles, px.
        self.reach_px = 2 * self.jitter_px + 2


def ashlar(tiles: Tiles, sigma: float) -> Places:
    """ASHLAR's EdgeAligner (Python API), in whole pixels as it cuts overlaps."""
    reg = _ashlar_without_java()

    class Metadata(reg.Metadata):
        _num_images, num_channels, pixel_size = len(tiles.images), 1, 1.0
        pixel_dtype = tiles.images.dtype

        def tile_position(self, i: int) -> NDArray[np.float64]:
            return np.rint(tiles.nominal[i])

        def tile_size(self, i: int) -> NDArray[np.int64]:
            return np.array(tiles.images[i].shape)

    class Reader(reg.Reader):
        metadata = Metadata()

        def read(self, series: int, c: int) -> NDArray[np.generic]:
            return tiles.images[series]

    aligner = reg.EdgeAligner(Reader(), max_shift=tiles.reach_px, filter_sigma=sigma, do_make_thumbnail=False)
    aligner.run()
    return aligner.positions


def _ashlar_without_java():
    """Import ``ashlar.reg`` with stand-ins for the Java bridge, which only its reader of files needs."""
    from types import ModuleType
    from unittest.mock import MagicMock

    for name in ("jnius", "jnius_config"):
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__dict__.update(vm_running=True, autoclass=MagicMock(), cast=MagicMock())
    from ashlar import reg

    return reg


def m2stitch(tiles: Tiles) -> Places:
    """The MIST algorithm in Python (stitch_images)."""
    from m2stitch import stitch_images

    row, column = np.divmod(np.arange(len(tiles.images)), tiles.columns)
    grid, _ = stitch_images(
        tiles.images,
        rows=row,
        cols=column,
        position_initial_guess=np.rint(tiles.nominal).astype(int),
        overlap_diff_threshold=100 * tiles.reach_px / tiles.size,
        row_col_transpose=False,
        ncc_threshold=0.1,
    )
    return grid[["y_pos", "x_pos"]].to_numpy(float)


def mist_stitching(tiles: Tiles) -> Places:
    """NIST's MIST in Python (its command line)."""
    import subprocess

    import skimage.io

    with tempfile.TemporaryDirectory() as name:
        images, out = Path(name) / "tiles", Path(name) / "out"
        images.mkdir()
        for n, image in enumerate(tiles.images):
            row, column = divmod(n, tiles.columns)
            skimage.io.imsave(images / f"r{row:02d}c{column:02d}.tif", image, check_contrast=False)
        options = {
            "image-dirpath": images,
            "output-dirpath": out,
            "grid-width": tiles.columns,
            "grid-height": tiles.rows,
            "filename-pattern": "r{rr}c{cc}.tif",
            "filename-pattern-type": "ROWCOL",
            "grid-origin": "UL",
            "numbering-pattern": "HORIZONTALCONTINUOUS",
            "stage-repeatability": int(np.ceil(tiles.reach_px)),
            "horizontal-overlap": 100 * tiles.overlap,
            "vertical-overlap": 100 * tiles.overlap,
        }
        main = Path(find_spec("mist_stitching").origin).parent / "main.py"
        command = [sys.executable, str(main), *(f"--{key}={value}" for key, value in options.items())]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        places = np.full((len(tiles.images), 2), np.nan)
        for line in next(out.glob("*global-positions-*.txt")).read_text().splitlines():
            fields = dict(part.strip().split(": ") for part in line.split(";") if ": " in part)
            row, column = int(fields["file"][1:3]), int(fields["file"][4:6])
            x, y = fields["position"].strip("()").split(",")
            places[row * tiles.columns + column] = float(y), float(x)
        return places


def stitch2d(tiles: Tiles) -> Places:
    """Chain of SIFT shifts outward from the middle; what it does not reach is left out."""
    from stitch2d import StructuredMosaic
    from stitch2d.tile import OpenCVTile

    mosaic = StructuredMosaic(
        [OpenCVTile(_grey8(image)) for image in tiles.images],
        dim=tiles.columns,
        origin="upper left",
        direction="horizontal",
        pattern="raster",
    )
    mosaic.align()
    return np.array([[np.nan if t.y is None else t.y, np.nan if t.x is None else t.x] for r in mosaic.grid for t in r])


def multiview_stitcher(tiles: Tiles) -> Places:
    """Phase correlation of neighbours and global optimisation of translations."""
    from multiview_stitcher import msi_utils, param_utils, registration, spatial_image_utils

    views = []
    for image, (y, x) in zip(tiles.images, tiles.nominal, strict=True):
        sim = spatial_image_utils.get_sim_from_array(
            image, dims=["y", "x"], scale={"y": 1, "x": 1}, translation={"y": y, "x": x}, transform_key="stage"
        )
        views.append(msi_utils.get_msim_from_sim(sim, scale_factors=[]))
    registration.register(
        views,
        transform_key="stage",
        new_transform_key="registered",
        reg_channel_index=0,
        registration_binning={"y": 1, "x": 1},
        overlap_tolerance={"y": tiles.reach_px, "x": tiles.reach_px},
        pre_registration_pruning_method="keep_axis_aligned",
        groupwise_resolution_kwargs={"transform": "translation"},
    )
    moved = [
        param_utils.translation_from_affine(
            np.asarray(msi_utils.get_transform_from_msim(view, transform_key="registered")).squeeze()
        )
        for view in views
    ]
    return tiles.nominal + np.array(moved)


def feabas(tiles: Tiles) -> Places:
    """FEABAS's stitcher with translations only."""
    import skimage.io
    from feabas import config, constant

    # Its default settings are not in the wheel, and what it falls back on is none of its own choices.
    settings = config.general_settings
    config.general_settings = lambda: {**settings(), "parallel_framework": "process"}
    from feabas.stitcher import Stitcher

    with tempfile.TemporaryDirectory() as name:
        paths = [str(Path(name) / f"tile{n:03d}.png") for n in range(len(tiles.images))]
        for path, image in zip(paths, tiles.images, strict=True):
            skimage.io.imsave(path, _grey8(image), check_contrast=False)
        place = np.rint(tiles.nominal)[:, ::-1]
        stitcher = Stitcher(paths, np.concatenate([place, place + tiles.size], axis=1))
        margin = max(1.0, tiles.reach_px / (tiles.overlap * tiles.size))
        matcher = {"sigma": 2.5, "conf_thresh": 0.3, "pad": True}
        stitcher.dispatch_matchers(margin=margin, matcher_config=matcher)
        if not stitcher.num_links:
            raise RuntimeError("no overlap was matched")
        stitcher.initialize_meshes([tiles.size / 2])
        stitcher.optimize_translation(residue_threshold=0.4)
        stitcher.connect_isolated_subsystem()
        gear = (constant.MESH_GEAR_INITIAL, constant.MESH_GEAR_MOVING)
        return np.array([mesh.estimate_translation(gear=gear)[::-1] for mesh in stitcher.meshes])


def _grey8(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    return image if image.dtype == np.uint8 else (image * (255 / image.max())).astype(np.uint8)


TOOLS = {
    "ashlar": (lambda tiles: ashlar(tiles, 0.0), "ashlar"),
    "ashlar-sigma2": (lambda tiles: ashlar(tiles, 2.0), "ashlar"),
    "mist_stitching": (mist_stitching, "mist_stitching"),
    "m2stitch": (m2stitch, "m2stitch"),
    "stitch2d": (stitch2d, "stitch2d"),
    "multiview-stitcher": (multiview_stitcher, "multiview_stitcher"),
    "feabas": (feabas, "feabas"),
}


def _cpu_s() -> float:
    """Return the CPU time of this process and of its finished children, s."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    function, module = TOOLS[name]
    tiles = Tiles(folder)
    try:
        if find_spec(module) is None:
            raise ModuleNotFoundError(name=module)
        start = _cpu_s()
        places = np.asarray(function(tiles), float)
        answer = {"positions": places.tolist(), "cpu_s": _cpu_s() - start}
    except ModuleNotFoundError as error:
        answer = {"missing": f"{error.name} is not installed"}
    except Exception as error:  # whatever a tool stumbles over is its result
        lines = str(error).strip().splitlines() or [""]
        answer = {"failed": f"{type(error).__name__}: {lines[-1]}"[:160]}
    sys.stdout.flush()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
