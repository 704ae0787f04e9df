"""Claims about denoisers that make images larger (super-resolution): sizes, places and pixel sizes follow."""

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from cemi_core.errors import PluginError, UsageError
from cemi_core.model.abilities import DenoiserAbilities
from cemi_core.model.mosaic import Box
from cemi_core.numeric.tiles import denoise_image
from cemi_run.engine.folder import RunFolder
from cemi_run.steps.finish import opened_run


class Doubled:
    """Repeats every pixel."""

    halo = 2

    def __call__(self, block, info=None):
        return block.repeat(2, axis=-2).repeat(2, axis=-1)


@pytest.fixture
def doubled(tiny_plugins, declare, monkeypatch):
    import cemi_box.denoiser

    monkeypatch.setattr(cemi_box.denoiser, "make", lambda settings, runtime: Doubled())
    declare("box", DenoiserAbilities(scale=2, judges=False))


@pytest.mark.parametrize("on", ["frames", "mosaic"])
def test_a_run_with_twice_as_fine_pixels_has_twice_the_size_and_half_the_pixel_size(run, doubled, tmp_path, on):
    run("denoise=[]")
    with opened_run(RunFolder(run.out)) as plain:
        shape, size = plain.mosaic.shape, plain.mosaic.pixel_size_um
        before = plain.mosaic.read(Box(0, 0, *shape))
    run(f"denoise=[{{use: box, on: {on}}}]")
    with opened_run(RunFolder(run.out)) as fine:
        assert fine.mosaic.shape == (2 * shape[0], 2 * shape[1])
        assert fine.mosaic.pixel_size_um == size / 2
        inner = (slice(20, -20), slice(20, -20))
        after = fine.mosaic.read(Box(0, 0, *fine.mosaic.shape))[::2, ::2]
        assert np.abs(after - before)[inner].mean() < 0.02
        if on == "frames":
            assert any("2 times as high and wide" in warning for warning in fine.warnings)


def test_tiles_give_what_the_whole_gives_and_another_size_is_the_fault_of_the_denoiser():
    image = np.random.default_rng(0).random((90, 70), np.float32)
    image[3, 5] = np.nan
    whole, tiled = (denoise_image(Doubled(), image, tile_px=tile, scale=2) for tile in (4096, 32))
    np.testing.assert_array_equal(whole, tiled)
    assert np.isnan(whole[6:8, 10:12]).all() and np.isfinite(whole).sum() == whole.size - 4
    with pytest.raises(PluginError, match=r"made \(1, 180, 140\) of a block of \(1, 90, 70\)"):
        denoise_image(Doubled(), image)


def test_files_are_written_larger_with_their_scale(doubled, tiny_registry, tmp_path, monkeypatch):
    from cemi_run.cli.denoise import denoise

    for module in ("cemi_core.plugins.manager", "cemi_run.cli.choices"):
        monkeypatch.setattr(f"{module}.registry", lambda: tiny_registry)
    pixels = np.random.default_rng(1).integers(0, 255, (40, 50), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, resolution=(1e5, 1e5), resolutionunit=3)
    arguments = [str(tmp_path / "a.tif"), "--out", str(tmp_path / "out"), "--use", "box", "--quiet"]
    answer = CliRunner().invoke(denoise, [*arguments, "--set", "pixel_size=100 nm"])
    assert answer.exit_code == 0, answer.output
    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as file:
        np.testing.assert_array_equal(file.asarray(), pixels.repeat(2, 0).repeat(2, 1))
        number, per = file.pages[0].tags["XResolution"].value
        assert number / per == pytest.approx(1e4 / 0.05)
    refused = CliRunner().invoke(denoise, [*arguments, "--against", str(tmp_path / "a.tif")])
    assert isinstance(refused.exception, UsageError)
