"""Compare the virtual microscope's pictures with real ones: histogram, noise, texture (see docs/virtual-sem.md)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cemi_virtual_sem.compare import main

DATA = Path(os.environ.get("CEMI_DATA", Path(__file__).parents[2] / "shared" / "data"))

if __name__ == "__main__":
    if DATA.is_dir():
        main(["--data", str(DATA), *sys.argv[1:]])
    else:
        print(f"Skipped: no real images at {DATA}; set CEMI_DATA to their folder.")
