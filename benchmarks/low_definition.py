"""Low-definition frames as they come, without a denoiser: CEMI beside SIFT and a chain of homographies.

    python benchmarks/low_definition.py [--seeds 0 1 2] [--frames 24] [--json FILE]

Stills of the virtual SEM (eutectic alloy, 1012 x 628 px of 222 nm, 44 % x 32 % overlap, 3 passes) at the scan time of
the paper's low-definition pictures (2.7 s) and at a third of it. Both know which frame follows which; CEMI also gets
the nominal positions (off by 5 px) and its default for how far off they may be. The chain is what common scripts do:
SIFT, ratio test at 0.75, homography by RANSAC from each frame to the one before it in its pass (the first of a pass to
the first of the pass before), products of homographies. A frame is lost if it is flagged, if its link fails, or if it
lies more than 20 px off after the common shift that suits most frames.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.model.array_source import ArraySource
from cemi_stitch.stitcher import KorniaStitcher
from cemi_virtual_sem import Session, session_settings

PASSES = 3
DWELLS = {"2.7 s": 1.0, "0.9 s": 1 / 3}
#: A frame this far off its true place, px, is lost.
LOST_PX = 20.0
Images = list[NDArray[np.uint8]]


def record(frames: int, dwell: float, seed: int) -> tuple[Images, NDArray[np.float64], NDArray[np.float64], list[int]]:
    """Return the stills, their nominal and true places (y, x), px, and their passes."""
    travel = 0.56 * 1012 * (frames // PASSES - 1)
    changes = [f"passes={PASSES}", f"stills={frames}", f"travel_px={travel:.0f}", f"detector.dwell={dwell}"]
    session = Session("ehea", session_settings("ehea", "medium", changes), seed)
    places = session.still_places()
    images = [session.still(n, true) for n, (_, _, true) in enumerate(places)]
    return images, np.array([p[1] for p in places]), np.array([p[2] for p in places]), [p[0] for p in places]


def by_cemi(images: Images, nominal: NDArray[np.float64], rows: list[int]) -> NDArray[np.float64]:
    """Return the places that CEMI finds; NaN for frames that it flags."""
    layout = KorniaStitcher().place(ArraySource(images, positions_px=[tuple(p) for p in nominal], rows=rows))
    return np.where(layout.placed_by_prior[:, None], np.nan, layout.positions_px)


def by_homography_chain(images: Images, rows: list[int]) -> NDArray[np.float64]:
    """Return the places by a chain of homographies, from the frames' centres; NaN after a broken link."""
    sift, matcher = cv2.SIFT_create(), cv2.BFMatcher(cv2.NORM_L2)
    features = [sift.detectAndCompute(image, None) for image in images]
    centre = np.array([images[0].shape[1] - 1, images[0].shape[0] - 1]) / 2
    to_first: list[NDArray[np.float64] | None] = [np.eye(3)]
    for n in range(1, len(images)):
        before = n - 1 if rows[n] == rows[n - 1] else rows.index(rows[n - 1])
        link = _homography(matcher, features[n], features[before])
        start = to_first[before]
        to_first.append(None if link is None or start is None else start @ link)
    places = np.full((len(images), 2), np.nan)
    for n, transform in enumerate(to_first):
        if transform is not None:
            x, y, w = transform @ [*centre, 1.0]
            places[n] = y / w - centre[1], x / w - centre[0]
    return places


def _homography(matcher: cv2.BFMatcher, frame: tuple, before: tuple) -> NDArray[np.float64] | None:
    (points, words), (points_before, words_before) = frame, before
    if words is None or words_before is None or len(words_before) < 2:
        return None
    pairs = [m for m, n in matcher.knnMatch(words, words_before, k=2) if m.distance < 0.75 * n.distance]
    if len(pairs) < 4:
        return None
    here = np.float32([points[m.queryIdx].pt for m in pairs])
    there = np.float32([points_before[m.trainIdx].pt for m in pairs])
    return cv2.findHomography(here, there, cv2.RANSAC, 5.0)[0]


def judged(places: NDArray[np.float64], truth: NDArray[np.float64]) -> tuple[float, float, int]:
    """Return the median and largest error of frames that are not lost, px, and the number of lost frames."""
    error = places - truth
    if not np.isfinite(error).any():
        return float("nan"), float("nan"), len(truth)
    distance = np.linalg.norm(error - np.nanmedian(error, axis=0), axis=1)
    held = distance <= LOST_PX
    if held.sum() < 2:  # the first frame alone says nothing
        return float("nan"), float("nan"), len(truth)
    return float(np.median(distance[held])), float(distance[held].max()), int((~held).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--json", type=Path, help="write every result to this file")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    record_of = []
    print(f"{'scan time':10}{'seed':>5}  {'tool':22}{'median px':>10}{'largest':>9}{'lost':>9}{'CPU s':>8}")
    for name, dwell in DWELLS.items():
        for seed in options.seeds:
            images, nominal, truth, rows = record(options.frames, dwell, seed)
            for tool in ("cemi", "SIFT + homographies"):
                start = time.process_time()
                places = by_cemi(images, nominal, rows) if tool == "cemi" else by_homography_chain(images, rows)
                spent = time.process_time() - start
                median, largest, lost = judged(places, truth)
                print(
                    f"{name:10}{seed:5}  {tool:22}{median:10.3f}{largest:9.2f}{lost:6}/{len(images)}{spent:8.1f}",
                    flush=True,
                )
                keys = ("scan", "seed", "tool", "median_px", "max_px", "lost", "cpu_s")
                record_of.append(dict(zip(keys, (name, seed, tool, median, largest, lost, spent), strict=True)))
    if options.json:
        options.json.write_text(json.dumps(record_of))


if __name__ == "__main__":
    main()
