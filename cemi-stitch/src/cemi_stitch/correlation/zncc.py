"""Zero-mean normalised cross-correlation (ZNCC) on batched torch tensors, on any device.

`overlap_zncc` normalises over the true overlap at every shift, for wide windows; `template_zncc` looks for templates in
patches that are larger on every side, for narrow ones. Shifts follow `cemi_core.model.layout.PairShift`: position of
the second picture minus position of the first, so that pixel ``y`` of the second lies on pixel ``y + shift`` of the
first.
"""

from __future__ import annotations

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from cemi_core.numeric.significance import MAX_CORRELATION

#: Standard deviation, on the [0, 1] scale, below which a patch holds nothing to compare.
MIN_CONTRAST = 1e-4

#: First and last but one of some lines (rows or columns), int64 (n, shifts) each.
Lines = tuple[Tensor, Tensor]


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
    first, second, centre = _meeting(first, second, centre, reach)
    size = _room(first, second, centre, reach)
    window = _window(centre, reach, size)
    if bool(torch.isfinite(first.sum() + second.sum())):
        a, b = (picture - picture.mean((-2, -1), keepdim=True) for picture in (first, second))
        spectrum_a, spectrum_b = _spectrum(a, size), _spectrum(b, size)
        rows_a, columns_a = _extent(centre, reach, first.shape[-2:], second.shape[-2:])
        rows_b, columns_b = _extent(-centre, reach, second.shape[-2:], first.shape[-2:], mirrored=True)
        count = (rows_a[1] - rows_a[0])[:, :, None].double() * (columns_a[1] - columns_a[0])[:, None, :]
        moments_a, moments_b = _rectangle_sums(a, rows_a, columns_a), _rectangle_sums(b, rows_b, columns_b)
    else:
        valid_a, valid_b = torch.isfinite(first), torch.isfinite(second)
        a, b = _centred(first, valid_a), _centred(second, valid_b)
        spectrum_a, spectrum_b = _spectrum(a, size), _spectrum(b, size)
        mask_a, mask_b = _spectrum(valid_a.to(a.dtype), size), _spectrum(valid_b.to(a.dtype), size)
        count = _correlate(mask_a, mask_b, size, window).round().clamp_min(0)
        square_a, square_b = _spectrum(a * a, size), _spectrum(b * b, size)
        sums_b, squares_b = (_correlate(mask_a, part, size, window) for part in (spectrum_b, square_b))
        sums_a, squares_a = (_correlate(part, mask_b, size, window) for part in (spectrum_a, square_a))
        moments_a, moments_b = (sums_a, squares_a), (sums_b, squares_b)
    product = _correlate(spectrum_a, spectrum_b, size, window)
    return normalised(product, count, moments_a, moments_b, min_overlap)


def _meeting(first: Tensor, second: Tensor, centre: Tensor, reach: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Cut off what of both pictures no shift of the window brings together; return also the new middles."""
    for axis in (0, 1):
        (first, start_a), (second, start_b) = (
            _cut(own, axis, sign * centre[:, axis] - reach[axis], 2 * reach[axis] + int(other.shape[1 + axis]))
            for own, other, sign in ((first, second, 1), (second, first, -1))
        )
        centre = centre.clone()
        centre[:, axis] += start_b - start_a
    return first, second, centre


def _cut(pictures: Tensor, axis: int, start: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Return what lies between ``start`` and ``start + length`` of each picture, one side for all; and where."""
    side = int(pictures.shape[1 + axis])
    stop = (start + length).clamp(1, side)
    start = torch.minimum(start.clamp(0, side - 1), stop - 1)
    most = int((stop - start).max())
    if most == side:
        return pictures, torch.zeros_like(start)
    start = torch.minimum(start, torch.full_like(start, side - most))
    parts = zip(pictures, start.tolist(), strict=True)
    return torch.stack([picture.narrow(axis, first, most) for picture, first in parts]), start


def _room(first: Tensor, second: Tensor, centre: Tensor, reach: tuple[int, int]) -> tuple[int, int]:
    """Return the size of a cyclic correlation in which no shift of the windows meets the other end of a picture."""
    size = []
    for axis in (0, 1):
        low, high = int(centre[:, axis].min()) - reach[axis], int(centre[:, axis].max()) + reach[axis]
        own, other = int(first.shape[1 + axis]), int(second.shape[1 + axis])
        size.append(next_fast_len(max(own, other, own - low, other + high, high - low + 1), True))
    return size[0], size[1]


def _centred(image: Tensor, valid: Tensor) -> Tensor:
    """Subtract each picture's mean and put 0 where it is not valid, which keeps float32 transforms exact enough."""
    filled = torch.where(valid, image, 0.0)
    mean = filled.sum((-2, -1), keepdim=True) / valid.sum((-2, -1), keepdim=True).clamp_min(1)
    return torch.where(valid, image - mean, 0.0)


def _spectrum(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return ``rfft2`` of pictures filled up with 0 to ``size``; rows that are all 0 are not transformed."""
    spectrum: Tensor = torch.fft.fft(torch.fft.rfft(image, n=size[1]), n=size[0], dim=-2)
    return spectrum


def _window(centre: Tensor, reach: tuple[int, int], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return index arrays that cut each pair's window out of a batch of cyclic correlations."""
    dy = torch.arange(-reach[0], reach[0] + 1, device=centre.device)
    dx = torch.arange(-reach[1], reach[1] + 1, device=centre.device)
    return (centre[:, :1] + dy) % size[0], (centre[:, 1:] + dx) % size[1]


def _correlate(spectrum_a: Tensor, spectrum_b: Tensor, size: tuple[int, int], window: tuple[Tensor, Tensor]) -> Tensor:
    """Return the cyclic correlation in the window; only its rows are transformed back."""
    by_row = torch.fft.ifft(spectrum_a * spectrum_b.conj(), dim=-2)
    rows = by_row.gather(1, window[0][:, :, None].expand(-1, -1, by_row.shape[-1]))
    plane: Tensor = torch.fft.irfft(rows, n=size[1])
    return plane.gather(2, window[1][:, None, :].expand(-1, plane.shape[1], -1)).to(torch.float64)


def _extent(
    centre: Tensor, reach: tuple[int, int], own: torch.Size, other: torch.Size, mirrored: bool = False
) -> tuple[Lines, Lines]:
    """Return the rows and the columns of a picture that are in the overlap, for every shift of the window."""
    bounds = []
    for axis in (0, 1):
        step = torch.arange(-reach[axis], reach[axis] + 1, device=centre.device)
        shift = centre[:, axis : axis + 1] + (-step if mirrored else step)
        start = shift.clamp(0, own[axis])
        bounds.append((start, torch.maximum((shift + other[axis]).clamp(0, own[axis]), start)))
    return bounds[0], bounds[1]


def _rectangle_sums(image: Tensor, rows: Lines, columns: Lines) -> tuple[Tensor, Tensor]:
    """Return the sums of ``image`` (n, h, w) and of its square over every rectangle of rows and columns, float64."""
    return _sums(image, rows, columns), _sums(image * image, rows, columns)


def _sums(values: Tensor, rows: Lines, columns: Lines) -> Tensor:
    pad = torch.nn.functional.pad
    table = pad(values.cumsum(-2), (0, 0, 1, 0))
    top, bottom = (table.gather(1, line[:, :, None].expand(-1, -1, table.shape[2])) for line in rows)
    table = pad((bottom - top).cumsum(-1, dtype=torch.float64), (1, 0))
    left, right = (table.gather(2, line[:, None, :].expand(-1, table.shape[1], -1)) for line in columns)
    return right - left


def normalised(
    product: Tensor,
    count: Tensor,
    moments_a: tuple[Tensor, ...],
    moments_b: tuple[Tensor, ...],
    min_overlap: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return ZNCC and pixels, as `overlap_zncc` does, from sums over the overlap at every shift.

    Parameters
    ----------
    product : Tensor, shape (n, rows, columns)
        Sum of the products of both pictures.
    count : Tensor, same shape
        Pixels in the overlap.
    moments_a, moments_b : tuple of two Tensors, same shape
        Sum of each picture, and of its square.
    min_overlap : Tensor, shape (n,) or (1,)
        Fewest common pixels.
    """
    pixels = count.clamp_min(1)
    covariance = product - moments_a[0] * moments_b[0] / pixels
    variance_a = moments_a[1] - moments_a[0] ** 2 / pixels
    variance_b = moments_b[1] - moments_b[0] ** 2 / pixels
    floor = pixels * MIN_CONTRAST**2
    good = (count >= min_overlap[:, None, None]) & (variance_a > floor) & (variance_b > floor)
    quality = covariance / (variance_a.clamp_min(1e-30) * variance_b.clamp_min(1e-30)).sqrt()
    quality = torch.where(good, quality.clamp(-1, 1), 0.0)
    return quality.to(torch.float32), torch.where(good, count, 0.0).to(torch.float32)


def significance(quality: Tensor, count: Tensor) -> Tensor:
    """Return `cemi_core.numeric.significance.significance` of correlations, on any device."""
    score: Tensor = torch.atanh(quality.clamp(-MAX_CORRELATION, MAX_CORRELATION)) * count.sqrt()
    return score


def template_zncc(patches: Tensor, templates: Tensor, reach: int, sizes: Tensor | None = None) -> Tensor:
    """Correlate templates with patches that are ``reach`` px larger on every side, by one batched Fourier transform.

    Parameters
    ----------
    patches : Tensor of float32, shape (n, h + 2 * reach, w + 2 * reach)
        From the first frames.
    templates : Tensor of float32, shape (n, h, w)
        From the second frames.
    reach : int
        Half the window, px.
    sizes : Tensor of int64, shape (n, 2), optional
        Height and width of each template, at most (h, w), for templates of several sizes: what lies beyond them, and
        beyond the patches that belong to them, does not count.

    Returns
    -------
    Tensor of float32, shape (n, 2 * reach + 1, 2 * reach + 1)
        ZNCC in [-1, 1]; 0 where patch or template has no contrast.
    """
    span, device = 2 * reach + 1, patches.device
    if sizes is None:
        sizes = torch.tensor([templates.shape[-2:]], device=device).expand(len(templates), 2)
    flat = _centred(templates, _inside(sizes, templates.shape[-2:]))
    level = _centred(patches, _inside(sizes + 2 * reach, patches.shape[-2:]))
    size = (next_fast_len(int(patches.shape[-2]), True), next_fast_len(int(patches.shape[-1]), True))
    spectrum = _spectrum(level, size) * _spectrum(flat, size).conj()
    product = torch.fft.irfft(torch.fft.ifft(spectrum, dim=-2)[:, :span], n=size[1])[..., :span]
    start = torch.arange(span, device=device).expand(len(templates), -1)
    total, square = _rectangle_sums(level, (start, start + sizes[:, :1]), (start, start + sizes[:, 1:]))
    pixels = sizes.prod(1)[:, None, None].double()
    scatter, own = square - total**2 / pixels, (flat * flat).sum((-2, -1), keepdim=True)
    good = torch.minimum(scatter, own) > pixels * MIN_CONTRAST**2
    quality = product / (scatter * own).clamp_min(1e-30).sqrt()
    return torch.where(good, quality.clamp(-1, 1), 0.0).to(torch.float32)


def _inside(sizes: Tensor, shape: torch.Size) -> Tensor:
    """Return which pixels of a batch of ``shape`` lie within each picture's own size, (n, h, w)."""
    rows, columns = (torch.arange(int(side), device=sizes.device) for side in shape)
    return (rows[:, None] < sizes[:, 0, None, None]) & (columns < sizes[:, 1, None, None])
