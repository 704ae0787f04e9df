"""From where on the numbers of the checks against invention are doubtful, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass

from cemi_denoise.judge.disagreement import BOUND, SCALES_PX


@dataclass(frozen=True)
class Limit:
    """A quantity of the judgement, and from where on it is doubtful.

    Attributes
    ----------
    quantity : str
    limit : float
    above : bool
        Whether it is doubtful above the limit, or below.
    meaning : str
        What it means then.
    """

    quantity: str
    limit: float
    above: bool
    meaning: str

    def doubtful(self, value: float) -> bool:
        """Return whether a value is beyond the limit; one that is unknown is not."""
        return value > self.limit if self.above else value < self.limit


# Found with filters on grains, lamellae and a plain field, white and line-correlated noise of 0.05 and 0.1, and with
# the shipped network there and on real pictures: those that only smooth or only leave noise stay inside (blurring of
# edges excepted), texture of 0.3 times the noise and sharpening do not. The variance of the noise is known to 30 %.
UNCERTAINTY = Limit(
    "spread when the picture is turned, in units of the noise", 0.35, True, "the answer depends on how the picture lies"
)
OPINIONS = Limit(
    "difference to the other denoiser, in units of the noise", 0.5, True, "two denoisers see different things"
)
SHARE = Limit(
    "share of overlaps where denoised views disagree beyond the noise", 0.01, True, "detail was invented in them"
)
RATIO = Limit("power of the disagreement over that of the noise, at worst", 1.5, True, "noise was turned into texture")
EXPLAINED = Limit(
    "variance taken away, as a share of that of the noise", 1.5, True, "structure was taken away or put in"
)
PATTERN = Limit("pattern in what was taken away (correlation of neighbours)", 0.15, True, "it is not noise alone")
EDGE_EXCESS = Limit("what was taken away at edges, as a multiple of that elsewhere", 1.3, True, "edges were changed")
EDGE_CORRELATION = Limit(
    "correlation of what was taken away with the detail at edges", -0.2, False, "edges were sharpened or added"
)

#: What the numbers mean, for the report.
NOTES = (
    "Spread: the specimen knows neither up nor down, so what changes when a picture is turned or flipped comes from "
    "the denoiser. It is a lower bound, and 0 for filters without a preferred direction.",
    f"Disagreement: noise differs between two frames of one place, the specimen does not. A pixel counts if the "
    f"denoised views differ by more than {BOUND:g} standard deviations of the raw difference around, seen through "
    f"Gaussians of {', '.join(f'{s:g}' for s in SCALES_PX)} px. What both frames get wrong alike is not seen.",
    "What was taken away (input minus output) must be as strong as the noise, have no pattern, and not follow edges; "
    "less than the whole noise is no invention. A pattern may also come from noise of some frequencies that was left.",
    "In the lists low is good in all columns but 'edge correlation', where only what is below its limit is bad.",
)
