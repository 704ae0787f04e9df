"""p-values that allow for how many quantities were tried."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cemi_core.model.result import Relation


def with_adjusted_p(relations: Sequence[Relation]) -> list[Relation]:
    """Return relations whose p-values allow for all of them: by Holm, and as a false discovery rate.

    Those without a p-value were no try and do not count.
    """
    from statsmodels.stats.multitest import multipletests

    tried = [number for number, relation in enumerate(relations) if math.isfinite(relation.p_value)]
    adjusted = list(relations)
    if tried:
        p = np.array([relations[number].p_value for number in tried])
        holm, fdr = (multipletests(p, method=method)[1] for method in ("holm", "fdr_bh"))
        for number, by_holm, by_fdr in zip(tried, holm.tolist(), fdr.tolist(), strict=True):
            adjusted[number] = replace(relations[number], p_holm=by_holm, p_fdr=by_fdr)
    return adjusted
