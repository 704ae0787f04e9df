"""The channels of a run: an overview of each, and of three of them in colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.channels import COLOUR
from cemi_core.model.mosaic import Mosaic
from cemi_report.blocks import Plate
from cemi_report.picture import View, display_range, read_view, whole
from cemi_report.picture_figures import UNSEEN, picture_figure

#: Longest edge of a channel on the page, px.
CHANNEL_PX = 800
#: So many channels are shown, at most.
MAX_SHOWN = 12


def channel_plates(channels: Mapping[str, Mosaic], main: str, pixel_size_um: float | None) -> tuple[Plate, ...]:
    """Return three channels in colour, if there are so many, and each channel in grey; nothing for a plain grey run.

    Parameters
    ----------
    channels : mapping of str to Mosaic
        By name, all of one shape.
    main : str
        The channel that was matched; empty for the luminance of colour.
    pixel_size_um : float or None
        Edge of a mosaic pixel.
    """
    shown = list(channels)[:MAX_SHOWN]
    views = {name: read_view(channels[name], whole(channels[name]), CHANNEL_PX, CHANNEL_PX) for name in shown}
    plates = []
    if len(views) >= 3:
        plates.append(_colour_plate({name: views[name] for name in shown[:3]}, pixel_size_um))
    for name, view in views.items():
        matched = ", on which the frames were matched" if name == main else ""
        plates.append(Plate(picture_figure(view, pixel_size_um), f"Channel {name}{matched}"))
    return tuple(plates)


def _colour_plate(views: Mapping[str, View], pixel_size_um: float | None) -> Plate:
    red, green, blue = views
    true = tuple(views) == COLOUR
    image = in_colour(list(views.values()), true)
    view = views[red]
    if true:
        title, reading = "In colour", "Red, green and blue are stretched together, so that grey stays grey."
    else:
        title = f"In false colours: {red} red, {green} green, {blue} blue"
        reading = "Each channel is stretched by itself: compare where colours lie, not how bright they are."
    return Plate(picture_figure(view, pixel_size_um, shown=image), title, reading)


def in_colour(views: Sequence[View], together: bool) -> NDArray[np.uint8]:
    """Return three views of one place as uint8 (h, w, 3), what was not imaged pale blue.

    Parameters
    ----------
    views : sequence of View
        Red, green and blue.
    together : bool
        Stretched between the lowest and the highest of their percentiles, and not each by itself.
    """
    ranges = [display_range(view) for view in views]
    if together:
        ranges = [(min(low for low, _ in ranges), max(high for _, high in ranges))] * len(views)
    planes = [np.clip((view.image - low) / (high - low), 0.0, 1.0) for view, (low, high) in zip(views, ranges)]
    rgb: NDArray[np.uint8] = (np.stack(planes, axis=-1) * 255).round().astype(np.uint8)
    rgb[~np.logical_and.reduce([view.valid for view in views])] = UNSEEN
    return rgb
