"""How often a run reads the frames that it kept; `benchmarks/frame_reads.py` measures more of them, by step."""

from collections import Counter

import pytest

from cemi_run.store.frames import FrameStore

#: Wanted between the source and the maps, at most.
MAX_READS = 4


@pytest.fixture
def reads(monkeypatch):
    """Count the frame files that are read in this process, by frame."""
    counted = Counter()
    read_file = FrameStore._read_file

    def counting(store, path):
        counted[store.path.name, path.name] += 1
        return read_file(store, path)

    monkeypatch.setattr(FrameStore, "_read_file", counting)
    return counted


@pytest.mark.parametrize("kind", ["serial", "threads"])
def test_a_run_on_tiles_reads_each_frame_at_most_four_times(cemi, tile_folder, tmp_path, reads, kind):
    folder, positions, _ = tile_folder
    source = f"{{use: images, with: {{path: '{folder}', positions: '{positions}', pixel_size: 100 nm}}}}"
    _run(cemi, tmp_path, source, kind)
    assert set(reads) == {("kept", f"c.{n}.0.0") for n in range(6)}
    assert max(reads.values()) <= MAX_READS


def test_a_run_on_recordings_reads_each_frame_at_most_four_times(cemi, recording, tmp_path, reads):
    _run(cemi, tmp_path, f"{{use: video, with: {{path: '{recording}/pass*.mp4', pixel_size: 100 nm}}}}", "serial")
    kept = [number for (store, _), number in reads.items() if store == "kept"]
    moved = [number for (store, _), number in reads.items() if store != "kept"]  # where passes differ in size
    assert max(kept) + max(moved, default=0) <= MAX_READS


#: Stands for what a site does when Python starts: worker processes note what they open.
HOOK = """
import os, sys
lines = os.open({notes!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def note(event, about):
    if event == "open" and isinstance(about[0], str) and "/kept/pixels/c." in about[0] and "r" in (about[1] or ""):
        os.write(lines, (about[0] + chr(10)).encode())
sys.addaudithook(note)
"""


def test_two_worker_processes_read_each_frame_at_most_four_times_together(
    cemi, tile_folder, tmp_path, monkeypatch, reads
):
    notes = tmp_path / "notes"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HOOK.format(notes=str(notes)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    folder, positions, _ = tile_folder
    source = f"{{use: images, with: {{path: '{folder}', positions: '{positions}', pixel_size: 100 nm}}}}"
    _run(cemi, tmp_path, source, "processes", "--workers", 2)
    by_workers = Counter(("kept", line.rpartition("/")[2]) for line in notes.read_text().splitlines())
    assert set(by_workers) == {("kept", f"c.{n}.0.0") for n in range(6)}
    assert max((reads + by_workers).values()) <= MAX_READS


def _run(cemi, tmp_path, source, kind, *machine):
    recipe = tmp_path / "r.yaml"
    grid = "grid: {rows: 1, columns: 2}\nanalyze: [{use: bcc-fraction}]\n"
    recipe.write_text(f"recipe: 1\nsource: {source}\n{grid}")
    answer = cemi("recipe", recipe, "--out", tmp_path / "run", "--quiet", "--executor", kind, *machine)
    assert answer.code == 0, answer.err
    assert (tmp_path / "run" / "report.html").exists()
