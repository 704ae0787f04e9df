"""Claims about spreading work: order, batches, bounded numbers in flight, and errors."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cemi_core.errors import UsageError, WorkerError
from cemi_core.model.executor import SerialExecutor, end_if_stopped
from cemi_run.engine.executors import open_executor, spread


def _double(common, items):
    return [common * item for item in items]


@pytest.mark.parametrize("batch", [None, 1, 3, 100])
def test_answers_come_in_the_order_of_the_items(batch):
    with ThreadPoolExecutor(3) as executor:
        found = list(spread(executor, _double, 2, range(50), in_flight=4, batch=batch))
    assert found == [(i, 2 * i) for i in range(50)]


def test_no_items_give_no_answers():
    assert list(spread(SerialExecutor(), _double, 2, [], in_flight=2)) == []


def test_short_tasks_are_batched_to_about_a_tenth_of_a_second():
    sizes = []

    def work(common, items):
        sizes.append(len(items))
        time.sleep(0.005 * len(items))
        return items

    list(spread(SerialExecutor(), work, None, range(100), in_flight=2))
    assert sizes[0] == 1
    assert 5 <= sizes[1] <= 20


def test_never_more_tasks_are_under_way_than_asked_for():
    under_way, most, lock = 0, 0, threading.Lock()

    def work(common, items):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.002)
        with lock:
            under_way -= 1
        return items

    taken = 0

    def items():
        nonlocal taken
        for i in range(60):
            taken += 1
            yield i

    with ThreadPoolExecutor(8) as executor:
        for number, _ in enumerate(spread(executor, work, None, items(), in_flight=3, batch=1)):
            assert taken <= number + 5
    assert most <= 3


def test_the_error_of_a_task_arrives_and_stops_the_rest():
    done = []

    def work(common, items):
        done.extend(items)
        if 3 in items:
            raise ValueError("three")
        return items

    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="three"):
        list(spread(executor, work, None, range(100), in_flight=2, batch=1))
    assert len(done) < 10


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_a_long_task_ends_when_its_work_is_interrupted(kind, tmp_path):
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    with pytest.raises(KeyboardInterrupt), open_executor(kind, 1) as executor:
        executor.submit(_long, begun, ended)
        executor.submit(os.getpid)
        while not begun.exists():
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert not ended.exists()


def _long(begun, ended):
    end_if_stopped()  # nobody has stopped it yet
    begun.touch()
    for _ in range(3000):
        time.sleep(0.02)
        end_if_stopped()
    ended.touch()


@pytest.mark.parametrize("workers", [0, -1])
def test_a_run_needs_a_worker(workers):
    with pytest.raises(UsageError), open_executor("threads", workers):
        pass


def test_a_scheduler_that_does_not_answer_is_one_sentence(monkeypatch):
    import distributed

    def refuse(address, timeout):
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr(distributed, "Client", refuse)
    with (
        pytest.raises(UsageError, match=r"no Dask scheduler answers at tcp://127.0.0.1:1"),
        open_executor("dask", 1, "tcp://127.0.0.1:1"),
    ):
        pass


def _die(common, items):
    os._exit(9)


def test_a_worker_that_dies_is_one_sentence():
    with pytest.raises(WorkerError, match="fewer --workers"), open_executor("processes", 1) as executor:
        list(spread(executor, _die, None, [1], in_flight=1))


def test_what_cannot_be_sent_to_a_process_is_one_sentence():
    with pytest.raises(WorkerError, match="--executor threads"), open_executor("processes", 1) as executor:
        list(spread(executor, _double, threading.Lock(), [1], in_flight=1))


_WORKS_UNTIL_KILLED = """
import os, sys, time
from cemi_run.engine.executors import open_executor, spread

def note_pid(folder, items):
    open(os.path.join(folder, str(os.getpid())), "w").close()
    time.sleep(0.2)
    return items

if __name__ == "__main__":
    with open_executor("processes", 1) as executor:
        list(spread(executor, note_pid, sys.argv[1], range(100), in_flight=1))
"""


@pytest.mark.skipif(not hasattr(os, "kill") or os.name == "nt", reason="looks for processes by signal 0")
def test_no_worker_outlives_a_killed_parent(tmp_path):
    (tmp_path / "pids").mkdir()
    (tmp_path / "work.py").write_text(_WORKS_UNTIL_KILLED)
    parent = subprocess.Popen([sys.executable, tmp_path / "work.py", tmp_path / "pids"])
    deadline = time.monotonic() + 30
    while not (found := list((tmp_path / "pids").iterdir())) and time.monotonic() < deadline:
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    while _lives(int(found[0].name)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _lives(int(found[0].name))


def _lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # a zombie that nobody has waited for is dead
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
