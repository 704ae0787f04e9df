"""Relate a profile to hardness

Two smooth curves along a specimen that have nothing to do with each other often look related, because neighbouring
points repeat each other. `PearsonRelation` counts how many independent points a curve is worth, and widens the interval
accordingly.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter1d

from cemi_analyze import PearsonRelation
from cemi_core.model.result import Profile, PropertyTable

x_um = np.linspace(0, 1000, 60)


def curve(seed, length):
    """Return a random curve that is alike over ``length`` points."""
    values = gaussian_filter1d(np.random.default_rng(seed).standard_normal(60), length, mode="wrap")
    return (values - values.mean()) / values.std()


def related(values, hardness):
    """Return the relation of a profile to a property."""
    profile = Profile("q", "Quantity", "1", x_um, values, values - 0.1, values + 0.1, np.full(60, 3))
    (found,) = PearsonRelation().relate([profile], PropertyTable("hv", x_um, hardness))
    return found


planted = curve(1, 1.0)
cases = {
    "planted relation": (planted, 500 + 20 * planted + 12 * curve(2, 1.0)),
    "two smooth curves, unrelated": (curve(5, 7.0), 500 + 20 * curve(8, 7.0)),
}
figure, all_axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
for axes, (title, (values, hardness)) in zip(all_axes, cases.items(), strict=True):
    found = related(values, hardness)
    axes.plot(x_um, values, color="#0072b2", label="profile")
    axes.plot(x_um, (hardness - 500) / 20, color="#d55e00", label="hardness")
    axes.set_xlabel("x, um")
    words = f"r = {found.r:+.2f} [{found.low:+.2f}, {found.high:+.2f}], n = 60 (worth {found.n_effective:.0f})"
    axes.set_title(f"{title}\n{words}")
    axes.legend()
