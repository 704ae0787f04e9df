"""A run killed with SIGKILL goes on and ends in the same result (ten random moments: `make kill-test`)."""

import importlib.util
import signal
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.timeout(600)
def test_two_killed_runs_resume_to_the_same_result(tmp_path):
    path = Path(__file__).parent.parent / "benchmarks" / "kill_and_resume.py"
    spec = importlib.util.spec_from_file_location("kill_and_resume", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.kill_and_resume(tmp_path, kills=2, seed=1) == 0
