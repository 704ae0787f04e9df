"""The same result whatever runs the batches; batches that are known are not run again."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from pydantic import ValidationError

from cemi_core.model.layout import PairShift
from cemi_core.model.stages import PlaceContext, Runtime, Stitcher
from cemi_core.plugins import StitcherPlugin
from cemi_stitch.matching import match_pairs
from cemi_stitch.plugin import cemi_stitchers
from cemi_stitch.settings import KorniaSettings
from cemi_stitch.stitcher import KorniaStitcher
from cemi_stitch.tasks import batches, spread

Record = Callable[..., object]


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_threads_and_processes_place_frames_exactly_as_one_task_after_the_other(record: Record, kind: str) -> None:
    recording = record("lamellar", noise=0.05)
    alone = KorniaStitcher().place(recording.source)
    executor: Executor = (
        ThreadPoolExecutor(2) if kind == "threads" else ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    )
    with executor:
        spread_out = KorniaStitcher().place(recording.source, PlaceContext(executor))
    assert spread_out.pairs == alone.pairs
    assert np.array_equal(spread_out.positions_px, alone.positions_px)
    assert np.array_equal(spread_out.gain, alone.gain)


class Notebook:
    """A journal in memory that counts."""

    def __init__(self) -> None:
        self.kept: dict[str, list[PairShift]] = {}
        self.hits = 0

    def get(self, key: str) -> list[PairShift] | None:
        self.hits += key in self.kept
        return self.kept.get(key)

    def put(self, key: str, shifts: list[PairShift]) -> None:
        self.kept[key] = shifts


def test_batches_in_the_journal_are_not_matched_again(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match_pairs, "PAIRS_PER_TASK", 4)
    recording, journal = record(), Notebook()
    first = KorniaStitcher().place(recording.source, PlaceContext(journal=journal))
    assert len(journal.kept) >= 2

    def refuse(*_: object) -> list[PairShift]:
        raise AssertionError("matched again")

    monkeypatch.setattr(match_pairs, "match_windows", refuse)
    again = KorniaStitcher().place(recording.source, PlaceContext(journal=journal))
    assert again.pairs == first.pairs
    assert np.array_equal(again.positions_px, first.positions_px)


def test_other_settings_do_not_take_what_the_journal_knows(record: Record) -> None:
    recording, journal = record(rows=1, columns=3), Notebook()
    KorniaStitcher().match(recording.source, journal=journal)
    KorniaStitcher(KorniaSettings(smoothing_px=1.0)).match(recording.source, journal=journal)
    assert journal.hits == 0


def test_progress_ends_at_the_total(record: Record) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}
    recording = record()

    def note(label: str, done: int, total: int) -> None:
        seen.setdefault(label, []).append((done, total))

    KorniaStitcher().place(recording.source, PlaceContext(progress=note))
    assert {"reading frames", "matching"} <= set(seen)
    for steps in seen.values():
        assert steps[-1][0] == steps[-1][1]
    assert seen["reading frames"][-1] == (12, 12)


def test_spread_keeps_order_and_hands_on_errors() -> None:
    with ThreadPoolExecutor(2) as executor:
        assert list(spread(executor, pow, [(n, 2) for n in range(50)])) == [n * n for n in range(50)]
        with pytest.raises(ZeroDivisionError):
            list(spread(executor, divmod, [(1, 1), (1, 0), (1, 1)]))
    assert list(spread(None, pow, [(3, 2)])) == [9]
    assert [list(part) for part in batches(range(5), 2)] == [[0, 1], [2, 3], [4]]


def test_the_stitcher_is_a_stitcher_and_can_be_pickled() -> None:
    stitcher = pickle.loads(pickle.dumps(KorniaStitcher(KorniaSettings(min_overlap=0.1), Runtime(threads=2))))
    assert isinstance(stitcher, Stitcher)
    assert stitcher.settings.min_overlap == 0.1


def test_the_plugin_describes_itself_without_importing_torch_or_numpy() -> None:
    code = (
        "import sys; from cemi_stitch.plugin import cemi_stitchers; list(cemi_stitchers());"
        "sys.exit(bool({'torch', 'numpy', 'cv2', 'scipy', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_plugin_makes_a_stitcher_from_settings() -> None:
    plugins = {plugin.name: plugin for plugin in cemi_stitchers()}
    plugin = plugins["kornia"]
    assert list(plugins) == ["kornia", "separate"] and isinstance(plugin, StitcherPlugin)
    settings = plugin.load_settings()(matcher="zncc")
    assert isinstance(plugin.load_factory()(settings, Runtime()), KorniaStitcher)
    with pytest.raises(ValidationError):
        plugin.load_settings()(matcher="magic")
    with pytest.raises(ValidationError):
        plugin.load_settings()(overlap=0.4)
