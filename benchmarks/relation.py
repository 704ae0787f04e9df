"""How often relations are found where there are none, and whether a planted one is found with its interval.

    python benchmarks/relation.py                          # all tables, some twenty minutes on one core
    python benchmarks/relation.py --tables false-positives --trials 200

The curves are drawn from Gaussian fields along a line, whose truth is known (made, not measured):

false-positives
    One curve against another that knows nothing of it: share of p < 0.05, by the plain t test and with the effective
    sample size.
several
    Four curves against one: share of trials in which any of them has p < 0.05, before and after Holm.
joint
    One to four curves against one that knows nothing of them: how often leave-one-out Q2 is above 0, how often R2 is
    larger than that of 95 % of the drawn curves, and how often the report says "explains" (both far from the fit).
planted
    Curves with r = 0.63 between them: mean r found, share of 95 % intervals that hold 0.63, share with p < 0.05;
    then with scatter on both sides, before and after correction for it.
predicted
    `linear` and `forest` on a property that two quantities explain by 60 %: share of 90 % intervals that hold a value
    that the model has not seen, and their median half-width in standard deviations of the property, infinite where
    too few places are left; a forest is tried in one of 25 trials.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cemi_analyze.relation.covariance import distances
from cemi_analyze.relation.pearson import PearsonRelation, PearsonSettings
from cemi_analyze.relation.prediction import ForestSettings, LinearSettings, PredictionRelation
from cemi_analyze.relation.together import least_squares, left_out_predictions
from cemi_core.model.result import Profile, PropertyTable, Relation
from cemi_core.numeric.significance import p_value

#: Columns of the profile; the property lies at some of them.
COLUMNS = 61
LENGTH_UM = 6000.0
X_UM = np.linspace(0, LENGTH_UM, COLUMNS)
#: Lengths over which a curve is alike (to 1/e), as shares of the profile.
REACHES = (0.0, 0.02, 0.05, 0.1, 0.15)
PLANTED_R = 0.63

Curves = Callable[[int], NDArray[np.float64]]


def curves_like(kind: str, reach: float, rng: np.random.Generator) -> Curves:
    """Return a function that draws so many curves, shape (m, COLUMNS), of mean 0 and variance 1."""
    if reach == 0:
        return lambda many: rng.standard_normal((many, COLUMNS))
    apart = np.abs(X_UM[:, None] - X_UM) / (reach * LENGTH_UM)
    likeness = np.exp(-apart) if kind == "exponential" else np.exp(-(apart**2))
    root = np.linalg.cholesky(likeness + 1e-9 * np.eye(COLUMNS))
    return lambda many: np.asarray(rng.standard_normal((many, COLUMNS)) @ root.T)


def profile(values: NDArray[np.float64], name: str = "q", error: float = 0.1) -> Profile:
    """Return a profile whose values have a standard error."""
    half = 1.96 * error
    return Profile(name, name, "1", X_UM, values, values - half, values + half, np.ones(COLUMNS, np.int64))


def table(
    values: NDArray[np.float64], points: int, repeats: int = 1, scatter: float = 0.0, seed: int = 0
) -> PropertyTable:
    """Return a property at so many columns, each measured once or several times with scatter."""
    at = np.linspace(0, COLUMNS - 1, points).round().astype(int)
    noise = scatter * np.random.default_rng(seed).standard_normal((points, repeats))
    return PropertyTable("hv", np.repeat(X_UM[at], repeats), (values[at, None] + noise).ravel())


def singles(relations: tuple[Relation, ...]) -> list[Relation]:
    """Return the relations of one quantity each."""
    return [relation for relation in relations if not relation.quantities]


def false_positives(trials: int, points: int, seed: int) -> None:
    """Print how often curves that know nothing of each other look related."""
    print(f"\nFalse positives, {points} points, {trials} trials, %")
    print("| likeness | alike over | plain t | effective size |\n|---|---|---|---|")
    method = PearsonRelation()
    for kind in ("exponential", "gaussian"):
        for reach in REACHES:
            draw = curves_like(kind, reach, np.random.default_rng([seed, points, int(1000 * reach)]))
            found = []
            for _ in range(trials):
                quantity, other = draw(2)
                (one,) = method.relate([profile(quantity)], table(other, points))
                found.append((p_value(one.r, points) < 0.05, one.p_value < 0.05))
            print(f"| {kind} | {100 * reach:.0f} % | {_percents(found)} |", flush=True)


def several_tried(trials: int, points: int, seed: int) -> None:
    """Print how often one of four curves that know nothing of the property looks related to it."""
    print(f"\nAny of four quantities, {points} points, {trials} trials, %")
    print("| alike over | plain t | effective size | after Holm |\n|---|---|---|---|")
    method = PearsonRelation(PearsonSettings(surrogates=99))
    for reach in (0.0, 0.05, 0.1):
        draw = curves_like("gaussian", reach, np.random.default_rng([seed, points, int(1000 * reach), 4]))
        found = []
        for _ in range(trials):
            *four, other = draw(5)
            relations = singles(method.relate([profile(v, f"q{n}") for n, v in enumerate(four)], table(other, points)))
            plain = min(p_value(relation.r, points) for relation in relations)
            effective, holm = (min(getattr(each, p) for each in relations) for p in ("p_value", "p_holm"))
            found.append((plain < 0.05, effective < 0.05, holm < 0.05))
        print(f"| {100 * reach:.0f} % | {_percents(found)} |", flush=True)


def _percents(found: list[tuple[bool, ...]]) -> str:
    return " | ".join(f"{100 * share:.1f}" for share in np.mean(found, axis=0))


def joint(trials: int, points: int, seed: int) -> None:
    """Print how often curves together seem to explain one that knows nothing of them."""
    print(f"\nJoint fits of noise, {points} points, {trials} trials, %")
    print(
        '| alike over | quantities | leave-one-out Q2 > 0 | drawn curves p < 0.05 | "explains" |\n|---|---|---|---|---|'
    )
    for reach in REACHES:
        for quantities in range(1, 5):
            draw = curves_like("gaussian", reach, np.random.default_rng([seed, quantities, int(1000 * reach)]))
            names = [f"q{number}" for number in range(quantities)]
            method = PearsonRelation(PearsonSettings(together=[names]))
            found = []
            for _ in range(trials):
                *several, other = draw(quantities + 1)
                properties = table(other, points)
                relations = method.relate([profile(v, n) for v, n in zip(several, names, strict=True)], properties)
                (together,) = (relation for relation in relations if relation.quantities)
                found.append((_leave_one_out_q2(several, properties) > 0, together.p_value < 0.05, explains(together)))
            print(f"| {100 * reach:.0f} % | {quantities} | {_percents(found)} |", flush=True)


def explains(relation: Relation) -> bool:
    """Return what the sentence of the report says."""
    return " not explain " not in relation.verdict


def _leave_one_out_q2(several: list[NDArray[np.float64]], properties: PropertyTable) -> float:
    at = np.searchsorted(X_UM, properties.x_um - 1)
    values, quantities = properties.value, np.column_stack(several)[at]
    predicted = left_out_predictions(quantities, values, distances(properties.x_um), 0.0, least_squares)
    return float(1 - np.sum((values - predicted) ** 2) / np.sum((values - values.mean()) ** 2))


def planted(trials: int, seed: int) -> None:
    """Print what is found of r = 0.63."""
    print(f"\nPlanted r = {PLANTED_R}, {trials} trials")
    print("| alike over | points | mean r | interval holds it, % | p < 0.05, % |\n|---|---|---|---|---|")
    method = PearsonRelation()
    for reach in (0.0, 0.02, 0.05):
        for points in (15, 27, 61):
            draw = curves_like("gaussian", reach, np.random.default_rng([seed, points, int(1000 * reach)]))
            found = []
            for _ in range(trials):
                quantity, other = draw(2)
                (one,) = method.relate([profile(quantity)], table(mixed(quantity, other), points))
                found.append((one.r, 100 * (one.low <= PLANTED_R <= one.high), 100 * (one.p_value < 0.05)))
            r, held, significant = np.mean(found, axis=0)
            print(f"| {100 * reach:.0f} % | {points} | {r:.3f} | {held:.1f} | {significant:.1f} |", flush=True)
    print("\nThe same with scatter on both sides (three repeats a place), 5 %")
    print("| scatter | points | mean r | interval holds it, % | mean corrected r | corrected interval holds it, % |")
    print("|---|---|---|---|---|---|")
    for scatter in (0.3, 0.6):
        for points in (15, 27, 61):
            _planted_in_scatter(method, trials, points, scatter, seed)


def mixed(quantity: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a property whose correlation with a quantity is the planted one."""
    return PLANTED_R * quantity + np.sqrt(1 - PLANTED_R**2) * other


def _planted_in_scatter(method: PearsonRelation, trials: int, points: int, scatter: float, seed: int) -> None:
    rng = np.random.default_rng([seed, points, int(100 * scatter)])
    draw = curves_like("gaussian", 0.05, rng)
    found = []
    for trial in range(trials):
        quantity, other = draw(2)
        seen = profile(quantity + scatter * rng.standard_normal(COLUMNS), error=scatter)
        properties = table(mixed(quantity, other), points, 3, np.sqrt(3) * scatter, trial)
        (one,) = method.relate([seen], properties)
        held = one.low <= PLANTED_R <= one.high, one.disattenuated_low <= PLANTED_R <= one.disattenuated_high
        found.append((one.r, 100 * held[0], one.disattenuated, 100 * held[1]))
    r, held, corrected, corrected_held = np.nanmean(found, axis=0)
    print(f"| {scatter} | {points} | {r:.3f} | {held:.1f} | {corrected:.3f} | {corrected_held:.1f} |", flush=True)


def predicted(trials: int, seed: int) -> None:
    """Print how often intervals of predictions hold what the model has not seen."""
    print(f"\nPredictions, 90 % intervals, {trials} trials")
    print('| method | alike over | points | holds, % | half-width | says "explains", % |\n|---|---|---|---|---|---|')
    settings = {"linear": LinearSettings(), "forest": ForestSettings(trees=20, surrogates=39, interval="split")}
    for name, each in settings.items():
        for reach in (0.0, 0.05):
            for points in (20, 61):
                draw = curves_like("gaussian", reach, np.random.default_rng([seed, points, int(1000 * reach)]))
                found = []
                for _ in range(trials if name == "linear" else max(trials // 25, 4)):
                    first, second, other = draw(3)
                    property_values = (first + second) * np.sqrt(0.3) + np.sqrt(0.4) * other
                    profiles = [profile(first, "q0"), profile(second, "q1")]
                    (one,) = PredictionRelation(each).relate(profiles, table(property_values, points))
                    half = one.quantity_half if one.quantity_half is not None else np.full(points, np.inf)
                    held = np.abs(one.property_values - one.quantity_values) <= half
                    found.append((100 * held.mean(), np.median(half), 100 * explains(one)))
                held, half, says = np.mean(found, axis=0)
                print(f"| {name} | {100 * reach:.0f} % | {points} | {held:.1f} | {half:.2f} | {says:.0f} |", flush=True)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tables = ("false-positives", "several", "joint", "planted", "predicted")
    parser.add_argument("--tables", choices=tables, nargs="+", default=list(tables))
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--points", type=int, nargs="+", default=[15, 31])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    gc.freeze()  # statsmodels collects garbage with every correction
    for points in options.points if "false-positives" in options.tables else []:
        false_positives(options.trials, points, options.seed)
    if "several" in options.tables:
        several_tried(options.trials, 31, options.seed)
    if "joint" in options.tables:
        joint(options.trials, 31, options.seed)
    if "planted" in options.tables:
        planted(options.trials, options.seed)
    if "predicted" in options.tables:
        predicted(options.trials, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
