"""Zero-mean normalised cross-correlation (ZNCC) on batched torch tensors, with the overlap of every shift normalised.

Shifts follow `cemi_core.model.layout.PairShift`: position of the second picture minus position of the first, so that
pixel ``y`` of the second lies on pixel ``y + shift`` of the first.
"""

from __future__ import annotations

import torch
from scipy.fft import next_fast_len
from torch import Tensor

#: Standard deviation, on the [0, 1] scale, below which a patch holds nothing to compare.
MIN_CONTRAST = 1e-4


def overlap_zncc(
    first: Tensor, second: Tensor, centre: Tensor, reach: tuple[int, int], min_overlap: Tensor
) -> tuple[Tensor, Tensor]:
    """Correlate whole pictures over a window of integer shifts, normalised over the true overlap at each shift.

    Pixels that are NaN do not count, which also lets pictures of different sizes share a batch (pad with NaN):
    masked normalised cross-correlation, Padfield, IEEE Trans. Image Process. 21 (2012) 2706, equations 9 to 12.

    Parameters
    ----------
    first, second : Tensor of float32, shape (n, h, w)
        Pictures; NaN where there is nothing.
    centre : Tensor of int64, shape (n, 2)
        The middle (dy, dx) of each pair's window, px.
    reach : tuple of int
        Half the window in y and x, px: ``2 * reach + 1`` shifts are tried.
    min_overlap : Tensor, shape (n,)
        Fewest common pixels.

    Returns
    -------
    quality : Tensor of float32, shape (n, 2 * reach_y + 1, 2 * reach_x + 1)
        ZNCC in [-1, 1]; 0 where the overlap is too small or has no contrast.
    count : Tensor of float32, same shape
        Pixels in the overlap; 0 where ``quality`` means nothing.
    """
    height = max(first.shape[-2], second.shape[-2]) + int(centre[:, 0].abs().max()) + reach[0]
    width = max(first.shape[-1], second.shape[-1]) + int(centre[:, 1].abs().max()) + reach[1]
    size = (next_fast_len(height, True), next_fast_len(width, True))
    window = _window(centre, reach, size)
    valid_a, valid_b = torch.isfinite(first), torch.isfinite(second)
    a, b = _centred(first, valid_a), _centred(second, valid_b)
    spectrum_a, spectrum_b = torch.fft.rfft2(a, s=size), torch.fft.rfft2(b, s=size)
    product = _correlate(spectrum_a, spectrum_b, size, window)
    if bool(valid_a.all()) and bool(valid_b.all()):
        rows_a, columns_a = _extent(centre, reach, first.shape[-2:], second.shape[-2:])
        rows_b, columns_b = _extent(-centre, reach, second.shape[-2:], first.shape[-2:], mirrored=True)
        count = (rows_a[1] - rows_a[0])[:, :, None] * (columns_a[1] - columns_a[0])[:, None, :]
        count = count.to(torch.float64)
        sum_a, square_a = _rectangle_sums(a, rows_a, columns_a)
        sum_b, square_b = _rectangle_sums(b, rows_b, columns_b)
    else:
        mask_a = torch.fft.rfft2(valid_a.to(a.dtype), s=size)
        mask_b = torch.fft.rfft2(valid_b.to(a.dtype), s=size)
        count = _correlate(mask_a, mask_b, size, window).round().clamp_min(0)
        sum_a, sum_b = _correlate(spectrum_a, mask_b, size, window), _correlate(mask_a, spectrum_b, size, window)
        square_a = _correlate(torch.fft.rfft2(a * a, s=size), mask_b, size, window)
        square_b = _correlate(mask_a, torch.fft.rfft2(b * b, s=size), size, window)
    return _normalise(product, count, (sum_a, square_a), (sum_b, square_b), min_overlap)


def _centred(image: Tensor, valid: Tensor) -> Tensor:
    """Subtract each picture's mean and put 0 where it is not valid, which keeps float32 transforms exact enough."""
    filled = torch.where(valid, image, torch.zeros_like(image))
    mean = filled.sum((-2, -1), keepdim=True) / valid.sum((-2, -1), keepdim=True).clamp_min(1)
    return torch.where(valid, image - mean, torch.zeros_like(image))


def _window(centre: Tensor, reach: tuple[int, int], size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return index arrays that cut each pair's window out of a batch of cyclic correlations."""
    dy = torch.arange(-reach[0], reach[0] + 1, device=centre.device)
    dx = torch.arange(-reach[1], reach[1] + 1, device=centre.device)
    rows = (centre[:, :1] + dy) % size[0]
    columns = (centre[:, 1:] + dx) % size[1]
    batch = torch.arange(len(centre), device=centre.device)
    return batch[:, None, None], rows[:, :, None], columns[:, None, :]


def _correlate(
    spectrum_a: Tensor, spectrum_b: Tensor, size: tuple[int, int], window: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    return torch.fft.irfft2(spectrum_a * spectrum_b.conj(), s=size)[window].to(torch.float64)


def _extent(
    centre: Tensor, reach: tuple[int, int], own: torch.Size, other: torch.Size, mirrored: bool = False
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return (start, stop) of the overlap in a picture's own rows and columns for every shift of the window."""
    bounds = []
    for axis in (0, 1):
        step = torch.arange(-reach[axis], reach[axis] + 1, device=centre.device)
        shift = centre[:, axis : axis + 1] + (-step if mirrored else step)
        start = shift.clamp(0, own[axis])
        bounds.append((start, torch.maximum((shift + other[axis]).clamp(0, own[axis]), start)))
    return bounds[0], bounds[1]


def _rectangle_sums(
    image: Tensor, rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the sums of ``image`` and of its square over every rectangle rows x columns."""
    batch = torch.arange(len(image), device=image.device)[:, None, None]
    top, bottom = rows[0][:, :, None], rows[1][:, :, None]
    left, right = columns[0][:, None, :], columns[1][:, None, :]
    sums = []
    for values in (image, image * image):
        table = torch.nn.functional.pad(values.to(torch.float64).cumsum(-2).cumsum(-1), (1, 0, 1, 0))
        sums.append(
            table[batch, bottom, right]
            - table[batch, top, right]
            - table[batch, bottom, left]
            + table[batch, top, left]
        )
    return sums[0], sums[1]


def _normalise(
    product: Tensor,
    count: Tensor,
    moments_a: tuple[Tensor, Tensor],
    moments_b: tuple[Tensor, Tensor],
    min_overlap: Tensor,
) -> tuple[Tensor, Tensor]:
    pixels = count.clamp_min(1)
    covariance = product - moments_a[0] * moments_b[0] / pixels
    variance_a = moments_a[1] - moments_a[0] ** 2 / pixels
    variance_b = moments_b[1] - moments_b[0] ** 2 / pixels
    floor = pixels * MIN_CONTRAST**2
    good = (count >= min_overlap[:, None, None]) & (variance_a > floor) & (variance_b > floor)
    quality = covariance / (variance_a.clamp_min(1e-30) * variance_b.clamp_min(1e-30)).sqrt()
    quality = torch.where(good, quality.clamp(-1, 1), torch.zeros_like(quality))
    return quality.to(torch.float32), torch.where(good, count, torch.zeros_like(count)).to(torch.float32)


def template_zncc(patches: list[Tensor], templates: list[Tensor], reach: int) -> Tensor:
    """Correlate templates with patches that are ``reach`` px larger on every side, by one matrix product.

    The shifted copies of patch (in x) and template (in y) are the rows of two matrices, so that all
    ``(2 * reach + 1) ** 2`` shifts of a pair are one product and all pairs one batch: as exact as the sum over pixels
    and fast where the window is small.

    Parameters
    ----------
    patches : list of Tensor of float32, shape (h + 2 * reach, w + 2 * reach)
        From the first frames; sizes may differ from pair to pair.
    templates : list of Tensor of float32, shape (h, w)
        From the second frames.
    reach : int
        Half the window, px.

    Returns
    -------
    Tensor of float32, shape (n, 2 * reach + 1, 2 * reach + 1)
        ZNCC in [-1, 1]; 0 where patch or template has no contrast.
    """
    span = 2 * reach + 1
    heights = [int(t.shape[0]) for t in templates]
    widths = [int(t.shape[1]) for t in templates]
    rows, width = max(heights) + 2 * reach, max(widths)
    device = templates[0].device
    shifted_x = torch.zeros(len(patches), span, rows, width, device=device)
    shifted_y = torch.zeros(len(patches), span, rows, width, device=device)
    norms = []
    for n, (patch, template, h, w) in enumerate(zip(patches, templates, heights, widths, strict=True)):
        level = patch - patch.mean()
        flat = template - template.mean()
        for k in range(span):
            shifted_x[n, k, : h + 2 * reach, :w] = level[:, k : k + w]
            shifted_y[n, k, k : k + h, :w] = flat
        norms.append(_window_scatter(level, h, w, reach) * (flat * flat).sum())
    product = torch.bmm(shifted_y.flatten(2), shifted_x.flatten(2).transpose(1, 2))
    norm = torch.stack(norms)
    pixels = torch.tensor([h * w for h, w in zip(heights, widths, strict=True)], device=device, dtype=norm.dtype)
    good = norm > (pixels[:, None, None] * MIN_CONTRAST**2) ** 2
    quality = product / norm.clamp_min(1e-30).sqrt().to(product.dtype)
    return torch.where(good, quality.clamp(-1, 1), torch.zeros_like(quality))


def _window_scatter(patch: Tensor, height: int, width: int, reach: int) -> Tensor:
    """Return the sum of squared deviations from the mean of every ``height`` x ``width`` window of ``patch``."""
    span = 2 * reach + 1
    moments = []
    for values in (patch, patch * patch):
        first = values[:height].sum(0).to(torch.float64)
        change = (values[height : height + 2 * reach] - values[: 2 * reach]).to(torch.float64).cumsum(0)
        by_row = torch.cat([first[None], first[None] + change])
        table = torch.nn.functional.pad(by_row.cumsum(1), (1, 0))
        moments.append(table[:, width : width + span] - table[:, :span])
    return moments[1] - moments[0] ** 2 / (height * width)


def rival_peaks(surface: Tensor, best: tuple[int, int], share: float, most: int) -> list[tuple[int, int]]:
    """Return (row, column) of the local maxima of a surface (h, w), highest first, off its border and beside ``best``.

    Parameters
    ----------
    surface : Tensor of float32, shape (h, w)
    best : tuple of int
        The peak that is known.
    share : float
        Smallest height, as a share of that peak's.
    most : int
        How many to return at most.
    """
    around = torch.nn.functional.max_pool2d(surface[None, None], 3, 1)[0, 0]
    inner = surface[1:-1, 1:-1]
    high = (inner == around) & (inner >= share * surface[best]) & (inner > 0)
    places = [(int(row) + 1, int(column) + 1) for row, column in high.nonzero().tolist()]
    places = [place for place in places if max(abs(place[0] - best[0]), abs(place[1] - best[1])) > 1]
    return sorted(places, key=lambda place: -float(surface[place]))[:most]


def subpixel_peak(neighbourhood: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fit a quadratic surface to the 3 x 3 values around each peak (least squares).

    Parameters
    ----------
    neighbourhood : Tensor, shape (n, 3, 3)

    Returns
    -------
    offset : Tensor of float64, shape (n, 2)
        (dy, dx) of the vertex from the centre, each within [-1, 1] px; 0 where the surface has no maximum.
    height : Tensor of float64, shape (n,)
        Value at the vertex.
    curvature : Tensor of float64, shape (n,)
        Smaller of the two principal curvatures, 1 / px^2 (positive at a maximum).
    """
    v = neighbourhood.to(torch.float64)
    step = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64, device=v.device)
    gy = (v * step[:, None]).sum((1, 2)) / 6
    gx = (v * step).sum((1, 2)) / 6
    bend = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64, device=v.device)
    hyy = (v * bend[:, None]).sum((1, 2)) / 3
    hxx = (v * bend).sum((1, 2)) / 3
    hxy = (v * step[:, None] * step).sum((1, 2)) / 4
    determinant = hyy * hxx - hxy**2
    maximum = (determinant > 1e-12) & (hyy + hxx < 0)
    safe = torch.where(maximum, determinant, torch.ones_like(determinant))
    dy = torch.where(maximum, (hxy * gx - hxx * gy) / safe, torch.zeros_like(gy)).clamp(-1, 1)
    dx = torch.where(maximum, (hxy * gy - hyy * gx) / safe, torch.zeros_like(gx)).clamp(-1, 1)
    height = v.mean((1, 2)) - (hyy + hxx) / 3 + (gy * dy + gx * dx) / 2
    half_trace = (hyy + hxx) / 2
    spread = ((hyy - hxx) ** 2 / 4 + hxy**2).sqrt()
    curvature = torch.where(maximum, -(half_trace + spread), torch.zeros_like(gy))
    return torch.stack([dy, dx], 1), torch.maximum(height, v[:, 1, 1]), curvature
