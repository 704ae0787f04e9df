"""A recipe with denoisers says in its report whether they invented anything."""

import h5py
import numpy as np
import tifffile

from cemi_core.testing import cut_tiles

RECIPE = """\
recipe: 1
source: {use: images, with: {path: tiles/*.tif, positions: positions.csv}}
denoise:
  - {use: wiener}
  - {use: gaussian, on: mosaic, with: {sigma_px: 4}}
stitch: {use: kornia}
grid: {rows: 1, columns: 2}
analyze: [{use: bcc-fraction}]
"""


def test_frames_and_mosaic_are_judged_in_run_file_and_report(cemi, tmp_path):
    tiles = cut_tiles(rows=2, columns=3, size=(160, 200), overlap=0.5)
    rng = np.random.default_rng(0)
    (tmp_path / "tiles").mkdir()
    lines = ["file,y_px,x_px"]
    for number, (array, (y, x)) in enumerate(zip(tiles.arrays, tiles.positions_px, strict=True)):
        noisy = np.clip(array + 0.06 * rng.standard_normal(array.shape), 0, 1)
        tifffile.imwrite(tmp_path / "tiles" / f"t{number}.tif", np.rint(255 * noisy).astype(np.uint8))
        lines.append(f"t{number}.tif,{y},{x}")
    (tmp_path / "positions.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "r.yaml").write_text(RECIPE)
    answer = cemi("recipe", tmp_path / "r.yaml", "--out", tmp_path / "run", "--quiet")
    assert answer.code == 0, answer.err
    with h5py.File(tmp_path / "run" / "run.h5") as file:
        said = {group.attrs["analyzer"]: group for group in file["denoising"].values()}
        assert list(said) == ["wiener on frames", "gaussian on the mosaic"]
    page = (tmp_path / "run" / "report.html").read_text()
    frames, mosaic = page[page.index('id="denoising"') :].split("gaussian on the mosaic")[:2]
    assert "share of overlaps where denoised views disagree" in frames
    assert "share of overlaps" not in mosaic
    assert "at most 0.0100" in frames and "at least" in frames
    assert "Limit: the side on which a denoiser stays that invents nothing." in frames
    # a blur of 4 px takes structure of 5 px away, and the report says so at its top
    assert "Denoising with gaussian on the mosaic: " in page
