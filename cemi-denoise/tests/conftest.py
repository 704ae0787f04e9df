"""One thread per test process, so that tests side by side do not slow each other down."""

from __future__ import annotations

import cv2

cv2.setNumThreads(1)
