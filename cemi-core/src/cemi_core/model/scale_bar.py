"""Scale bars: the one place where the width of a picture becomes a round length."""

from __future__ import annotations

import math

from cemi_core.model.units import format_length


def nice_scale_bar(width_um: float) -> tuple[float, str]:
    """Return a round length for the scale bar of a picture, and its text.

    Parameters
    ----------
    width_um : float
        Width of the whole picture, micrometres, finite and above 0.

    Returns
    -------
    length_um : float
        The largest of ..., 1, 2, 5, 10, 20, 50, ... that is at most a quarter of the width (so at least a tenth of it).
    text : str
        The length with the unit that reads best, such as ``"200 nm"`` or ``"5 µm"``.

    Raises
    ------
    ValueError
        The width is not a positive, finite number.
    """
    if not (math.isfinite(width_um) and width_um > 0):
        raise ValueError(f"a picture has a positive width, not {width_um} um")
    longest = width_um / 4 * (1 + 1e-9)
    decade = math.floor(math.log10(longest))
    length_um = max(
        step * 10.0**power for power in (decade - 1, decade) for step in (1, 2, 5) if step * 10.0**power <= longest
    )
    length_um = float(f"{length_um:.1g}")
    return length_um, format_length(length_um).replace("um", "µm")
