"""Every matcher finds the same planted shifts, on whatever path."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError

import kornia.core.download as download
import kornia.feature as kornia_feature
import numpy as np
import pytest
import torch
from scipy import ndimage

from cemi_core.errors import MissingDependencyError
from cemi_core.model.layout import PairShift
from cemi_core.model.stages import Runtime
from cemi_stitch.correlation import features
from cemi_stitch.correlation.features import agreed_shifts, pair_matcher, similarity
from cemi_stitch.correlation.phase_correlation import phase_peaks
from cemi_stitch.frames import filters
from cemi_stitch.frames.cache import MatchOptions
from cemi_stitch.graph.candidate_pairs import Window
from cemi_stitch.matching.matcher import match_windows
from cemi_stitch.settings import KorniaSettings
from cemi_stitch.stitcher import KorniaStitcher

Record = Callable[..., object]
MATCHERS = ["zncc", "phase", "features"]


@pytest.mark.parametrize("matcher", MATCHERS)
@pytest.mark.parametrize("specimen", ["dendritic", "lamellar"])
def test_planted_tiles_come_back_by_every_matcher(record: Record, matcher: str, specimen: str) -> None:
    recording = record(specimen, rows=2, columns=2, noise=0.03)
    layout = KorniaStitcher(KorniaSettings(matcher=matcher)).place(recording.source)
    assert recording.errors_px(layout.positions_px).max() <= 0.1
    assert not layout.placed_by_prior.any()


@pytest.mark.parametrize("matcher", MATCHERS)
def test_both_paths_find_the_same_shifts_to_a_twentieth_of_a_pixel(
    record: Record, matcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = record("lamellar", rows=1, columns=3, noise=0.05)
    truth = recording.truth_px
    windows = [Window(i, i + 1, tuple(truth[i + 1] - truth[i] + [5, -4]), (12.0, 12.0)) for i in range(2)]
    options = MatchOptions(matcher=matcher)
    by_opencv = match_windows(recording.source, windows, options)
    monkeypatch.setattr(filters, "OPENCV_DEVICES", ())
    on_device = match_windows(recording.source, windows, options)
    for one, other in zip(by_opencv, on_device, strict=True):
        assert np.abs(np.subtract(one.shift_px, other.shift_px)).max() <= 0.05
        assert one.quality == pytest.approx(other.quality, abs=0.01)
        assert one.kept and other.kept


def on_both_paths(
    source: object, windows: list[Window], options: MatchOptions, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[PairShift, PairShift]]:
    """Yield each pair as matched one by one by OpenCV and all together by torch."""
    one_by_one = match_windows(source, windows, options)
    monkeypatch.setattr(filters, "OPENCV_DEVICES", ())
    yield from zip(one_by_one, match_windows(source, windows, options), strict=True)
    monkeypatch.undo()


@pytest.mark.parametrize("specimen", ["dendritic", "lamellar"])
@pytest.mark.parametrize("mirror", [(), (0, 1)])
def test_a_batch_of_unequal_overlaps_gives_what_its_pairs_give_one_by_one(
    record: Record, specimen: str, mirror: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def emptied(number: int, frame: np.ndarray) -> np.ndarray:
        return np.full_like(frame, 0.3) if number == 5 else frame

    recording = record(specimen, rows=2, columns=4, noise=0.05, jitter_px=20.0, change=emptied)
    truth = recording.truth_px
    off = np.random.default_rng(1).uniform(-14, 14, (8, 8, 2))
    pairs = [(0, 1), (1, 2), (2, 3), (0, 4), (0, 5), (1, 5), (1, 4), (2, 6), (3, 6), (3, 7), (6, 7), (0, 7)]
    windows = [Window(i, j, tuple(truth[j] - truth[i] + off[i, j]), (20.0, 20.0), wide=i == 3) for i, j in pairs]
    options = MatchOptions(mirror=mirror)
    results = list(on_both_paths(recording.source, windows, options, monkeypatch))
    for one, other in results:
        assert (one.first, one.second) == (other.first, other.second)
        if one.quality == 0 or one.quality > 0.3:
            assert (one.kept, one.reason) == (other.kept, other.reason)
        if mirror:  # only chance is left, which a little may change
            assert max(one.quality, other.quality) < 0.5
        elif one.quality > 0.3:
            assert np.abs(np.subtract(one.shift_px, other.shift_px)).max() <= 0.05
            assert one.quality == pytest.approx(other.quality, abs=0.005)
            assert one.sigma_px == pytest.approx(other.sigma_px, rel=0.05)
    if not mirror:
        errors = [np.abs(truth[o.second] - truth[o.first] - o.shift_px).max() for _, o in results if o.quality > 0.5]
        assert len(errors) >= 8 and max(errors) <= 0.15
        assert {other.reason for _, other in results} >= {"overlap is too small", "overlap has no contrast"}


def test_rival_peaks_of_a_repeating_specimen_are_the_same_in_a_batch(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stripes(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        uneven = ndimage.gaussian_filter(rng.standard_normal(shape), 4)
        return (0.5 + 0.2 * np.sin(np.arange(shape[1]) * 2 * np.pi / 9) + 0.05 * uneven / uneven.std()).astype("f4")

    recording = record(stripes, rows=1, columns=3, shape=(300, 400), noise=0.1)
    truth = recording.truth_px
    windows = [Window(i, i + 1, tuple(truth[i + 1] - truth[i] + [2, 3]), (30.0, 30.0)) for i in range(2)]
    results = list(on_both_paths(recording.source, windows, MatchOptions(), monkeypatch))
    assert any(one.candidates for one, _ in results)
    for one, other in results:
        assert len(one.candidates) == len(other.candidates)
        for (shift, quality), (shift_together, quality_together) in zip(one.candidates, other.candidates, strict=True):
            assert np.abs(np.subtract(shift, shift_together)).max() <= 0.05
            assert quality == pytest.approx(quality_together, abs=0.005)


@pytest.mark.parametrize("matcher", ["phase", "features"])
def test_frames_that_share_nothing_are_not_joined(record: Record, matcher: str) -> None:
    rng = np.random.default_rng(3)
    frames = [ndimage.gaussian_filter(rng.random((160, 200), dtype=np.float32), 1.5) for _ in range(4)]
    layout = KorniaStitcher(KorniaSettings(matcher=matcher)).place(frames)
    assert not any(pair.kept for pair in layout.pairs)


def test_phase_correlation_finds_a_shift_beneath_noise_three_times_the_texture(record: Record) -> None:
    recording = record("dendritic", rows=1, columns=2, shape=(300, 300), truth_px=np.array([[0, 0], [9.0, -14.0]]))
    first, second = (torch.from_numpy(recording.source.read(n)) for n in (0, 1))
    torch.manual_seed(0)
    noisy = [picture + 0.4 * torch.randn(picture.shape) for picture in (first, second)]
    assert phase_peaks(*noisy, (30, 30), 1.5)[0] == (9, -14)


def test_rotation_and_scale_are_told_in_the_notes(record: Record) -> None:
    def turn(number: int, frame: np.ndarray) -> np.ndarray:
        return ndimage.rotate(frame, 1.0 if number else 0.0, reshape=False, order=3, mode="reflect")

    recording = record("dendritic", rows=1, columns=2, shape=(300, 300), overlap=(0, 0.7), change=turn)
    layout = KorniaStitcher(KorniaSettings(matcher="features")).place(recording.source)
    (note,) = [note for note in layout.notes if "turned" in note]
    told = re.search(r"by (\S+) degrees \(at most (\S+)\) and scaled by (\S+) ", note)
    assert told is not None, note
    turn, largest, scale = (float(number) for number in told.groups())
    assert abs(turn) == largest == pytest.approx(1.0, abs=0.1)
    assert scale == pytest.approx(1.0, abs=0.005)


def test_similarity_of_planted_points() -> None:
    rng = np.random.default_rng(0)
    second = rng.uniform(0, 300, (60, 2))
    angle, scale = np.deg2rad(7.0), 1.05
    # From x towards y by 7 degrees: (x, y) -> (x cos + y sin, -x sin + y cos) undoes it.
    y, x = second.T
    first = scale * np.stack([-x * np.sin(angle) + y * np.cos(angle), x * np.cos(angle) + y * np.sin(angle)], 1)
    first[:15] = rng.uniform(0, 300, (15, 2))
    found = similarity(first, second)
    assert found is not None
    assert found.rotation_deg == pytest.approx(7.0, abs=0.1)
    assert found.scale == pytest.approx(1.05, abs=0.002)
    assert similarity(first[:8], second[:8]) is None


def test_matches_vote_on_a_shift_although_most_are_wrong() -> None:
    rng = np.random.default_rng(0)
    first = rng.uniform(0, 300, (60, 2))
    second = rng.uniform(0, 300, (60, 2))
    second[:20] = first[:20] - [12.0, -7.0] + rng.normal(0, 0.3, (20, 2))
    assert np.abs(np.subtract(agreed_shifts(first, second)[0], (12.0, -7.0))).max() <= 0.3
    assert agreed_shifts(first[:3], second[:3]) == []


@pytest.mark.parametrize("name", ["disk", "aliked", "xfeat", "loftr"])
@pytest.mark.filterwarnings("ignore:Transient failure", "ignore:Failed to load")
def test_missing_weights_say_what_to_download_and_where_to(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(download, "urlopen", unreachable)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    pair_matcher.cache_clear()
    with pytest.raises(MissingDependencyError, match="checkpoints") as error:
        pair_matcher(name, "cpu")
    for file, url in features.WEIGHTS[name].items():
        assert url in str(error.value)
        assert str(tmp_path / "hub" / "checkpoints" / file) in str(error.value)


@pytest.mark.parametrize(("name", "file"), [("disk", "depth-save.pth"), ("xfeat", "xfeat.pt")])
@pytest.mark.filterwarnings("ignore:Transient failure", "ignore:Failed to load")
def test_weights_are_found_under_the_names_that_are_asked_for_and_only_the_others_are_missing(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(download, "urlopen", unreachable)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    network = kornia_feature.DISK() if name == "disk" else kornia_feature.XFeatModel()
    torch.save({"extractor": network.state_dict()} if name == "disk" else network.state_dict(), folder / file)
    pair_matcher.cache_clear()
    with pytest.raises(MissingDependencyError, match="lightglue" if name == "disk" else "lighterglue") as error:
        pair_matcher(name, "cpu")
    assert features.WEIGHTS[name][file] not in str(error.value)


def glue_that_compares_descriptors(side: int) -> torch.nn.Module:
    """LightGlue whose attention adds nothing, so that it pairs the descriptors that are each other's nearest."""
    shape = {"input_dim": side, "descriptor_dim": side, "n_layers": 1, "num_heads": 1, "filter_threshold": 0.0}
    glue = kornia_feature.LightGlue(None, **shape)
    with torch.no_grad():
        for parameter in (*glue.transformers.parameters(), *glue.log_assignment.parameters()):
            parameter.zero_()
        glue.log_assignment[0].final_proj.weight.copy_(10 * torch.eye(side))
    return glue


@pytest.mark.parametrize("name", ["disk", "aliked", "xfeat"])
def test_networks_propose_the_shift_even_with_weights_that_learned_nothing(
    record: Record, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = {"disk": kornia_feature.DISK, "aliked": kornia_feature.ALIKED, "xfeat": kornia_feature.XFeat}[name]
    options = {"detection_threshold": 0.0} if name == "xfeat" else {}
    monkeypatch.setattr(network, "from_pretrained", lambda *_, **__: network(**options))
    glue = glue_that_compares_descriptors(64 if name == "xfeat" else 128)
    monkeypatch.setattr(kornia_feature, "LightGlue", lambda _: glue)
    pair_matcher.cache_clear()
    scene = torch.from_numpy(record("dendritic", rows=1, columns=2, shape=(288, 320)).source.read(0))
    places = pair_matcher(name, "cpu")(scene[:256, :256].contiguous(), scene[32:, 32:288].contiguous())
    pair_matcher.cache_clear()
    assert np.abs(np.subtract(agreed_shifts(*places)[0], (32.0, 32.0))).max() <= 1.5


def test_runtime_and_settings_reach_the_matcher() -> None:
    stitcher = KorniaStitcher(KorniaSettings(matcher="phase"), Runtime(threads=1))
    assert stitcher.settings.matcher == "phase"
    with pytest.raises(ValueError, match="matcher"):
        KorniaSettings(matcher="guess")
