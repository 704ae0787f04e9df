"""How sharp each cell of a mosaic is, beside the others: cells out of focus are found and can be left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.cell_analyzer import CellAnalyzer, grid_map, measured_cells
from cemi_analyze.picture.cell import cell_of
from cemi_analyze.picture.spectrum import NOISE_FROM, spectrum_of
from cemi_analyze.uncertainty.intervals import Interval
from cemi_core.model.abilities import AnalyzerAbilities
from cemi_core.model.classes import ClassLabel
from cemi_core.model.result import ClassMap, Result, Table
from cemi_core.model.settings import Settings
from cemi_core.model.stages import BlockInfo, Runtime

SHARP, OUT_OF_FOCUS = 0, 1
CLASSES = (ClassLabel("sharp", "sharp", "#0072b2"), ClassLabel("out of focus", "out of focus", "#d55e00"))
ABILITIES = AnalyzerAbilities(unfit=(CLASSES[OUT_OF_FOCUS].name,))
NO_TEXTURE = "no texture like that of the other cells: sharpness cannot be told"

#: Edges of the bands of spatial frequency, cycles per px, and their middles.
_EDGES = np.geomspace(0.02, 0.46, 13)
_MIDDLES = np.sqrt(_EDGES[1:] * _EDGES[:-1])
#: Neighbouring tiles overlap by half and are windowed: each counts as so many independent ones.
_TILE_WORTH = 0.35
#: Natural scatter of the log power between cells: in all bands alike (amount and contrast of the structure), and band
#: by band, alike over about so many natural logarithms of frequency.
_AMOUNT, _SHAPE, _REACH = 0.5, 0.5, 0.5
#: How much wider that scatter is between a single picture and the spectrum of sharp edges.
_ALONE = 3.0
#: Power below so many standard errors of the noise says nothing.
_NOISE_ERRORS = 3.0
#: Further error of the log power, so that a picture without noise does not count as known exactly.
_MIN_ERROR = 0.03
#: Blur variances that are tried, px^2.
_VARIANCES = np.concatenate([np.arange(-1.0, 4.0, 0.05), np.geomspace(4.0, 64.0, 60)])
_STEPS = np.gradient(_VARIANCES)
#: Twice the log-likelihood that the best blur may lack: that of a cell of noise alone, or of another material, is
#: hundreds, that of 999 of 1,000 cells that are alike is less than this.
_MAX_MISFIT = 60.0
#: Fewer cells than this are no distribution to compare with.
_MIN_CELLS = 6
#: Smallest scatter of the blur variance between sharp cells that is believed, px^2.
_MIN_SCATTER = 0.1


class FocusSettings(Settings):
    """From which blur on a cell is out of focus."""

    scatters: float = Field(
        default=4.0,
        ge=1,
        le=20,
        description="A cell is out of focus if its blur lies so many robust standard deviations of all cells above "
        "their median; beside such a cell five eighths of it are enough.",
    )
    smallest_px: float = Field(
        default=0.8,
        gt=0,
        le=5,
        description="Blur beyond that of the other cells (deviation of a Gaussian) that is too small to matter, px.",
    )


@dataclass(frozen=True)
class BandPower:
    """Power of one picture in bands of spatial frequency, without the noise.

    Attributes
    ----------
    power : ndarray of float64, shape (12,)
        Mean power per band from 0.02 to 0.46 cycles per px; NaN where the picture is too small for the band.
    error : ndarray of float64, shape (12,)
        Standard error of it from the noise.
    """

    power: NDArray[np.float64]
    error: NDArray[np.float64]


@dataclass(frozen=True)
class Blur:
    """Blur beyond that of a reference, as the variance of a Gaussian, px^2; negative where a picture is sharper.

    ``fits`` is False where no blur turns the reference into the picture: it shows something else, or nothing.
    """

    variance: Interval
    fits: bool


class Focus(CellAnalyzer):
    """Finds cells that are blurred beside the others of a mosaic.

    Parameters
    ----------
    settings : FocusSettings, optional
    """

    name: ClassVar[str] = "focus"

    def __init__(self, settings: FocusSettings | None = None) -> None:
        self.settings = settings or FocusSettings()

    @property
    def halo(self) -> int:
        """A cell alone is looked at: 0 px."""
        return 0

    def process(self, block: NDArray[np.float32], info: BlockInfo) -> BandPower | None:
        """Take the power spectrum of one cell."""
        cell = cell_of(block, info)
        return None if cell is None else band_power(cell.image[cell.core], cell.valid[cell.core])

    def merge(self, partials: Iterable[tuple[int, int, BandPower | None]], grid_shape: tuple[int, int]) -> Result:
        """Compare the cells; return the map ``blur`` and the classes ``focus``."""
        cells = list(measured_cells(partials))
        alone = len(cells) < _MIN_CELLS
        reference = None if alone else _median_power([cell for _, _, cell in cells])
        found = [(row, column, blur_against(cell, reference)) for row, column, cell in cells]
        variance = np.full(grid_shape, np.nan)
        for row, column, blur in found:
            if blur.fits:
                variance[row, column] = blur.variance.value
        scatter, soft = self._out_of_focus(variance) if not alone else (float("nan"), np.zeros(grid_shape, bool))
        places = [(row, column, _as_deviation(blur.variance)) for row, column, blur in found if blur.fits]
        reasons = {(row, column): NO_TEXTURE for row, column, blur in found if not blur.fits}
        value = np.where(np.isfinite(variance) & (not alone), np.where(soft, OUT_OF_FOCUS, SHARP), -1)
        table = Table(
            "focus",
            ("quantity", "value"),
            (
                ("cells judged", int(np.isfinite(variance).sum())),
                ("cells out of focus", int(soft.sum())),
                ("robust deviation of the blur variance between cells, px^2", scatter),
            ),
        )
        return Result(
            self.name,
            (grid_map("blur", "Blur beyond that of the other cells", "px", places, grid_shape, reasons=reasons),),
            tables=(table,),
            notes=self._notes(alone),
            classes=(ClassMap("focus", "Focus", CLASSES, value.astype(np.int64), np.full(grid_shape, np.nan)),),
        )

    def _out_of_focus(self, variance: NDArray[np.float64]) -> tuple[float, NDArray[np.bool_]]:
        """Return the robust scatter of the blur between cells, and which cells are out of focus.

        Focus drifts or a specimen bends, so a cell beside one that is surely out of focus needs less evidence
        (hysteresis, as in Canny's edges: J. Canny, IEEE Trans. PAMI 1986, 8, 679).
        """
        judged = np.isfinite(variance)
        if not judged.any():
            return float("nan"), np.zeros(variance.shape, bool)
        middle = float(np.median(variance[judged]))
        scatter = max(1.4826 * float(np.median(np.abs(variance[judged] - middle))), _MIN_SCATTER)
        smallest = self.settings.smallest_px**2
        high = middle + max(self.settings.scatters * scatter, smallest)
        low = middle + max(0.625 * self.settings.scatters * scatter, smallest)
        from skimage.filters import apply_hysteresis_threshold  # of its own folder it reads files when first named

        soft = apply_hysteresis_threshold(np.where(judged, variance, -np.inf), low, high)  # type: ignore[no-untyped-call]
        return scatter, np.asarray(soft, bool)

    def _notes(self, alone: bool) -> tuple[str, ...]:
        how = "power spectrum of each cell, free of noise, against the median of all cells"
        if alone:
            return (
                f"blur: fewer than {_MIN_CELLS} cells, so against the spectrum of sharp edges; no cell is called out "
                "of focus",
            )
        return (
            f"blur: {how}; out of focus from {self.settings.scatters:g} robust deviations above the median on, and "
            f"{self.settings.smallest_px:g} px at least; where more than half of the mosaic is out of focus alike, "
            "that does not show",
        )


def band_power(image: NDArray[np.float32], valid: NDArray[np.bool_] | None = None) -> BandPower:
    """Return the power of a picture in bands of spatial frequency, without that of the noise.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Finite; scanned along x; at least 32 px each way.
    valid : ndarray of bool, shape (h, w), optional
        Where it was imaged.
    """
    spectrum = spectrum_of(image, valid)
    noise = spectrum.noise
    frequency = np.hypot(spectrum.across, spectrum.along)
    used = (spectrum.across <= NOISE_FROM) & (frequency >= _EDGES[0]) & (frequency < _EDGES[-1])
    band = np.digitize(frequency[used], _EDGES) - 1
    number = np.bincount(band, minlength=len(_MIDDLES)).astype(np.float64)
    worth = spectrum.tiles * _TILE_WORTH
    of_noise = np.count_nonzero(spectrum.across > NOISE_FROM) * len(spectrum.across) / 4
    with np.errstate(invalid="ignore", divide="ignore"):
        signal = np.bincount(band, (spectrum.power - noise)[used], len(_MIDDLES)) / number
        squares = np.bincount(band, np.broadcast_to(noise**2, used.shape)[used], len(_MIDDLES)) / number
        error = np.sqrt(squares / worth * (1 / number + 1 / of_noise))
    return BandPower(signal, error)


def _median_power(cells: list[BandPower]) -> NDArray[np.float64]:
    power = np.array([cell.power for cell in cells])
    known = np.isfinite(power).any(axis=0)
    reference = np.full(power.shape[1], np.nan)
    reference[known] = np.nanmedian(power[:, known], axis=0)
    return reference


def blur_against(cell: BandPower, reference: NDArray[np.float64] | None = None) -> Blur:
    """Return how much a picture is blurred beyond a reference.

    A Gaussian blur of variance s multiplies power by exp(-4 pi^2 s f^2). The log power over the reference's is compared
    with that for each s. It may differ from it by what differs between places of one material anyhow: the amount of
    structure (all bands together, deviation 0.5) and its fineness (neighbouring bands together, 0.5), and by the noise.
    So a cell of coarser structure is not taken for a blurred one, and noise, which a blurred cell has as much of as
    a sharp one, does not count as sharpness.

    Parameters
    ----------
    cell : BandPower
        From `band_power`.
    reference : ndarray of float, shape (12,), optional
        Power of the reference; by default that of sharp edges, falling with the cube of frequency, of any amount.
    """
    alone = reference is None
    if reference is None:
        shape = _MIDDLES**-3.0
        known = cell.power > _NOISE_ERRORS * cell.error
        reference = shape * (np.median(cell.power[known] / shape[known]) if known.any() else np.nan)
    used = np.isfinite(cell.power) & (np.nan_to_num(reference) > 0)
    if not used.any() or not (reference[used] > 0).any():
        return Blur(Interval(float("nan"), float("nan"), float("nan")), False)
    power, error, wanted = cell.power[used], cell.error[used], reference[used]
    floor = _NOISE_ERRORS * error + 1e-6 * wanted
    log_frequency = np.log(_MIDDLES[used])
    told = np.log((np.maximum(power, -0.9 * floor) + floor) / (wanted + floor))
    seen = wanted / (wanted + floor)
    apart = np.abs(log_frequency[:, None] - log_frequency[None, :])
    scale = _ALONE if alone else 1.0
    natural = scale**2 * (_AMOUNT**2 + _SHAPE**2 * np.exp(-apart / _REACH))
    measured = (error / (np.maximum(power, 0) + floor)) ** 2 + _MIN_ERROR**2
    covariance = seen[:, None] * natural * seen[None, :] + np.diag(measured)
    loss = np.exp(-4 * np.pi**2 * np.outer(_VARIANCES, _MIDDLES[used] ** 2))
    left = told - np.log((wanted * loss + floor) / (wanted + floor))
    misfit = np.einsum("si,is->s", left, np.linalg.solve(covariance, left.T))
    chance = _STEPS * np.exp(-0.5 * (misfit - misfit.min()))
    chance /= chance.sum()
    low, high = np.interp([0.025, 0.975], np.cumsum(chance), _VARIANCES)
    value = float(chance @ _VARIANCES)
    fits = alone or bool(misfit.min() < _MAX_MISFIT)
    return Blur(Interval(value, min(float(low), value), max(float(high), value)), fits)


def _as_deviation(variance: Interval) -> Interval:
    """Return a blur variance, px^2, as the deviation of the Gaussian, px; of negative ones with the sign."""
    value, low, high = (float(np.sign(v) * np.sqrt(abs(v))) for v in (variance.value, variance.low, variance.high))
    return Interval(value, low, high)


def make(settings: FocusSettings, runtime: Runtime) -> Focus:
    """Make the analyzer for a recipe."""
    return Focus(settings)
