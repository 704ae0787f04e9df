"""Compare virtual pictures with real ones: ``python -m cemi_virtual_sem.compare --data DIR``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_virtual_sem.plot import Curve, panel
from cemi_virtual_sem.realism import (
    LAGS,
    PATCH_PX,
    NoiseStatistics,
    histogram,
    noise_of_pictures,
    noise_of_repeats,
    percentiles,
    texture,
)
from cemi_virtual_sem.session import Session
from cemi_virtual_sem.settings import session_settings

Pictures = list[NDArray[np.uint8]]


@dataclass(frozen=True)
class Statistics:
    """What is compared, for one set of pictures."""

    name: str
    pictures: int
    histogram: NDArray[np.float64]
    noise: NoiseStatistics | None
    texture: NDArray[np.float64]


def statistics(name: str, pictures: Pictures, noise: NoiseStatistics | None) -> Statistics:
    """Return the statistics of a set of 8-bit pictures whose noise was measured already."""
    return Statistics(name, len(pictures), histogram(pictures), noise, texture(pictures))


def real_statistics(data: Path) -> Iterator[Statistics]:
    """Yield the statistics of the real pictures in a folder; sets that are not there are passed over."""
    for name, pattern, bottom in (
        ("nasa_ebc", "nasa_ebc/images/*.tif", 0),
        ("ss316", "ss316_fei_tiff/SS*.tif", 943 - 884),
        ("dendritic tiles", "dendritic_sem_tiles/00*.jpg", 0),
        ("ternary eutectic", "ternary_eutectic/*.tif", 120),
    ):
        pictures = [_grey(path, bottom) for path in sorted(data.glob(pattern))]
        if pictures:
            yield statistics(name, pictures, noise_of_pictures(pictures))
    repeats = data / "external_scan_sem_frames" / "raster.tif"
    if repeats.is_file():
        # The field drifts in the first ten frames, by up to a pixel; and each frame shares noise with the ones before
        # it (correlation 0.7 from one to the next: the microscope averages recursively), so they are taken far apart.
        frames = list(tifffile.imread(repeats)[10:])
        yield statistics("external_scan repeats", frames, noise_of_repeats(frames, apart=12))


def virtual_statistics(seed: int) -> Iterator[Statistics]:
    """Yield the statistics of virtual pictures; noise of ehea from repeats, since it has no flat place."""
    external = ("detector.electrons_per_px=215", "detector.read_noise=0.0204", "detector.line_autocorrelation=[]")
    flat = ("specimen.feature_um=3.0", "specimen.sr_end=0.2")
    for name, specimen, overrides, slow in (
        ("virtual ehea, LD", "ehea", (), False),
        ("virtual ehea, HD", "ehea", (), True),
        ("virtual pbse-srse, LD", "pbse-srse", flat, False),
        ("virtual, set as external_scan", "ehea", external, False),
    ):
        session = Session(specimen, session_settings(specimen, "small", overrides), seed)
        places = [true for _, _, true in session.still_places()][::8]
        pictures = [session.still(i, place, slow) for i, place in enumerate(places)]
        if specimen == "ehea":
            noise: NoiseStatistics | None = noise_of_repeats(
                [session.still(100 + i, places[0], slow) for i in range(24)]
            )
        else:
            noise = noise_of_pictures(pictures)
        yield statistics(name, pictures, noise)


def _grey(path: Path, bottom: int) -> NDArray[np.uint8]:
    # Through tifffile where possible: OpenCV prints warnings for the makers' own tags.
    picture = tifffile.imread(path) if path.suffix == ".tif" else cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if picture is None or picture.dtype != np.uint8:
        raise InputError(f"'{path}' is not an 8-bit picture")
    if picture.ndim == 3:
        picture = picture[..., 0]
    return np.asarray(picture[: picture.shape[0] - bottom])


def table(rows: Sequence[Statistics]) -> str:
    """Return the comparison as a Markdown table."""
    lines = [
        "| pictures | grey 1 / 50 / 99 % | noise, grey levels | variance = a mean + b | along the line, lags 1 2 3 "
        "| across, lags 1 2 3 | texture at 4 8 16 32 px |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        grey = " / ".join(map(str, percentiles(row.histogram, (1, 50, 99))))
        noise = row.noise
        cells = ["-"] * 4
        if noise is not None:
            fit = "-" if np.isnan(noise.gain) else f"{noise.gain:.2f} mean {noise.offset:+.0f}"
            cells = [f"{noise.deviation:.1f}", fit, *(_signed(values[1:4]) for values in (noise.along, noise.across))]
        lines.append(f"| {row.name} ({row.pictures}) | {grey} | {' | '.join(cells)} | {_signed(row.texture)} |")
    return "\n".join(lines)


def figure(rows: Sequence[Statistics]) -> NDArray[np.uint8]:
    """Return four small plots side by side, BGR: noise autocorrelation, both noise spectra, histograms."""
    noisy = [row for row in rows if row.noise is not None]
    frequency = np.arange(1, PATCH_PX // 2 + 1) / PATCH_PX
    panels = [
        panel(
            "noise autocorrelation along the line",
            "lag, px",
            [Curve(r.name, np.arange(len(r.noise.along)), r.noise.along) for r in noisy if r.noise],
            (-0.2, 1.0),
            range(LAGS),
        ),
        panel(
            "noise spectrum along the line",
            "cycles / px",
            [Curve(r.name, frequency, r.noise.spectrum_along) for r in noisy if r.noise],
            (0.0, 3.0),
            (0.1, 0.2, 0.3, 0.4, 0.5),
        ),
        panel(
            "noise spectrum across the lines",
            "cycles / px",
            [Curve(r.name, frequency, r.noise.spectrum_across) for r in noisy if r.noise],
            (0.0, 3.0),
            (0.1, 0.2, 0.3, 0.4, 0.5),
        ),
        panel(
            "histogram (smoothed)",
            "grey level",
            [Curve(r.name, np.arange(256), _softened(r.histogram)) for r in rows],
            (0.0, 0.03),
            range(0, 256, 50),
        ),
    ]
    return np.vstack([np.hstack(panels[:2]), np.hstack(panels[2:])])


def _softened(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.convolve(shares, np.ones(5) / 5, mode="same")


def _signed(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:+.2f}" for value in values)


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="Real data.")
@click.option("--figure", "picture", type=click.Path(path_type=Path, dir_okay=False), help="Write the plots as PNG.")
@click.option("--seed", default=0, show_default=True, help="Of the virtual pictures.")
def main(data: Path, picture: Path | None, seed: int) -> None:
    """Print histogram, noise and texture of real and of virtual pictures side by side."""
    rows = [*real_statistics(data), *virtual_statistics(seed)]
    click.echo(table(rows))
    if picture is not None:
        cv2.imwrite(str(picture), figure(rows), [cv2.IMWRITE_PNG_COMPRESSION, 9])
        click.echo(f"\nplots: {picture}", err=True)


if __name__ == "__main__":
    main()
