"""How far a call of a training came, and what is said of a denoiser that does harm."""

from __future__ import annotations

from dataclasses import dataclass

from cemi_learn.bench.outcome import Outcome as BenchOutcome


@dataclass(frozen=True)
class Outcome(BenchOutcome):
    """How far the training of a denoiser came; scores are means over the patches of ``validation``."""

    @property
    def noisy_scores(self) -> dict[str, float]:
        """Scores of the noisy patches themselves."""
        return dict(self.baseline)

    @property
    def harm(self) -> str:
        """What is said of a network that takes no noise out; empty of one that does, or that was not measured."""
        after, before = (f"{scores.get('psnr', 0.0):.2f}" for scores in (self.scores, self.baseline))
        if "psnr" not in self.scores or float(after) > float(before):
            return ""
        return f"{'no better' if after == before else 'worse'}: PSNR {after} dB, and {before} dB before"

    @property
    def fall(self) -> str:
        """What is said of weights that are worse than those at the start; empty of others, or if it is not known."""
        if "psnr" not in self.scores or "psnr" not in self.start_scores:
            return ""
        after, before = (f"{scores['psnr']:.2f}" for scores in (self.scores, self.start_scores))
        return f"PSNR {after} dB, and {before} dB at the start" if float(after) < float(before) else ""
