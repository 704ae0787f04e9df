"""What every test of the repository shares."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Machines are shared and slow at times: a claim must not fail because of the clock.
settings.register_profile("cemi", deadline=None, derandomize=True)
settings.load_profile("cemi")

os.environ.setdefault("MPLBACKEND", "Agg")
# Two tests at a time on two cores: more threads in each only get in one another's way.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


@pytest.fixture(scope="session")
def cemi_data() -> Path:
    """The folder with real images; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get("CEMI_DATA", Path(__file__).parent.parent / "shared" / "data")).absolute()
    if not path.is_dir():
        pytest.skip(f"no real images at {path}; set CEMI_DATA to their folder")
    return path
