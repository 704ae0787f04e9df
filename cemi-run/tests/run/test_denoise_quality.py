"""Claims about the steps in which a denoiser judges its own work."""

import h5py
import numpy as np
import pytest

from cemi_core.errors import PluginError
from cemi_core.model.abilities import DenoiserAbilities
from cemi_core.model.mosaic import Box
from cemi_core.model.result import Result, Table
from cemi_run.steps.denoise_quality import MosaicWindows, imaged_windows
from cemi_run.store.protocol import create_mosaic

HEADS = ("quantity", "value", "limit", "verdict")


def judgement(verdict="doubtful: <detail> was invented"):
    return Result(
        "own name",
        (),
        (
            Table("summary", HEADS, (("share that disagrees", 0.25, 0.01, verdict), ("pattern", 0.05, 0.15, "good"))),
            Table("frames", ("frame", "spread_px"), (("t0.tif", 0.5),)),
        ),
        overlays={"The worst place": np.full((20, 60, 3), 99, np.uint8)},
        notes=("What the numbers mean.",),
    )


@pytest.fixture
def judging(tiny_plugins, declare, monkeypatch):
    """Let the tiny denoiser judge; the list tells of how many frames, their mean change, and of how many places."""
    import cemi_box.denoiser

    asked = []

    def judge(self, raw, denoised, layout, executor):
        change = np.abs(raw.read(0) - denoised.read(0)).mean()
        asked.append((len(raw.frames), change > 0, layout and len(layout)))
        return judgement()

    monkeypatch.setattr(cemi_box.denoiser.Box, "judge", judge, raising=False)
    declare("box", DenoiserAbilities(judges=True))
    return asked


def test_a_run_holds_what_its_denoisers_say_of_frames_and_of_the_mosaic(run, judging):
    done = run()
    assert {"judge-denoise-0-box", "judge-denoise-mosaic-0-box"} < done
    assert judging == [(6, True, 6), (1, True, None)]
    with h5py.File(run.out / "run.h5") as file:
        assert [group.attrs["analyzer"] for group in file["denoising"].values()] == [
            "box on frames",
            "box on the mosaic",
        ]
    page = (run.out / "report.html").read_text()
    assert 'id="denoising"' in page
    assert "1 of 2 checks are doubtful" in page
    assert "Denoising with box on the mosaic: &lt;detail&gt; was invented (share that disagrees: 0.25, good is" in page
    assert "What the numbers mean." in page
    assert "The worst place" in page


def test_it_is_redone_when_the_frames_or_the_layout_change_and_not_otherwise(run, judging):
    run()
    assert run() == set()
    assert run("grid.columns=5") == {"analyze-0-grey", "relate", "report"}
    assert "judge-denoise-0-box" not in run("denoise.1.radius_px=2")
    assert {"judge-denoise-0-box", "judge-denoise-mosaic-0-box"} < run("stitch.round_to_px=true")


def test_denoisers_that_do_not_judge_leave_nothing(run):
    assert not any(name.startswith("judge") for name in run())
    with h5py.File(run.out / "run.h5") as file:
        assert len(file["denoising"]) == 0
    assert 'id="denoising"' not in (run.out / "report.html").read_text()


@pytest.mark.parametrize("wrong", [None, Result("x", ()), Result("x", (), (Table("summary", ("a", "b"), ()),))])
def test_a_judgement_of_another_kind_is_the_fault_of_the_denoiser(run, judging, monkeypatch, wrong):
    import cemi_box.denoiser

    monkeypatch.setattr(cemi_box.denoiser.Box, "judge", lambda self, *rest: wrong)
    with pytest.raises(PluginError, match="judged without a Result that holds a table 'summary' of quantity, value"):
        run()


def test_windows_of_a_mosaic_are_imaged_completely_and_spread_over_it(tmp_path):
    image = np.random.default_rng(0).random((100, 400)).astype(np.float32)
    image[50:, 100:] = np.nan
    with create_mosaic(tmp_path / "m.h5", image.shape, np.dtype(np.float32)) as mosaic:
        mosaic.write(Box(0, 0, *image.shape), image)
    boxes = imaged_windows(tmp_path / "m.h5", most=4, edges_px=(200, 50))
    assert len(boxes) == 4
    assert boxes[0] == Box(0, 0, 50, 50)
    assert all(np.isfinite(image[box.slices]).all() for box in boxes)
    windows = MosaicWindows(tmp_path / "m.h5", boxes)
    np.testing.assert_array_equal(windows.read(1), image[boxes[1].slices])
    assert [frame.shape for frame in windows.frames] == [(50, 50)] * 4
    assert len({frame.name for frame in windows.frames}) == 4
