"""Whether one side kept less of its prompts in the cache: what then makes its turns slower."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from bench.analysis.comparison.metric_verdicts import case_points
from bench.analysis.comparison.result import BlockPoint, Design
from bench.analysis.comparison.setup_difference import Role, SetupDifference
from bench.analysis.comparison.verdict_rule import Verdict
from bench.analysis.run.summary import CaseSummary
from bench.stats.paired import LogEffect, paired_effect
from bench.stats.welch import satterthwaite

_SHARES: Final = {
    "eligible_cached_share": "of what its sessions had sent before",
    "cached_share": "of its prompts",
}
"""The first that both sides have is used: the share of the history shows a lost cache best."""
_APART: Final = 0.05
"""Shares that differ by less move a turn by less than blocks differ among themselves."""
_READS: Final = (
    "ttft_s", "answer_ttft_s", "first_turn_ttft_s", "later_ttft_s", "answer_start_s", "user_turn_s",
    "e2e_s", "prompt_eval_s", "queue_s", "total_s", "request_per_s", "output_tok_per_s",
    "goodput_per_s", "session_per_h", "user_turn_per_h",
)  # fmt: skip
"""Metrics that reading a prompt is part of."""


def cached_causes(
    a: CaseSummary, b: CaseSummary, design: Design, names: tuple[str, str]
) -> Iterator[SetupDifference]:
    """The difference of cached shares, if it is larger than chance and large enough to matter.

    Nothing is said where a server gives no count, or where a side has fewer than two blocks: what
    is unknown explains nothing.
    """
    for share, whole in _SHARES.items():
        sides = case_points(share, a, b, design)
        if min(map(len, sides)) < 2:
            continue
        shares = [float(np.mean([p.value for p in side])) for side in sides]
        low, high = _difference(sides, design).log_interval()
        if low <= 0 <= high or abs(shares[1] - shares[0]) < _APART:
            return
        lost = shares[1] < shares[0]
        first, second = (f"{100 * value:.1f} %" for value in shares)
        message = (
            f"{names[1]} took {second} {whole} from its cache, {names[0]} {first} (difference "
            f"{_points(low)} to {_points(high)} points): it reads {'more' if lost else 'less'} of "
            "each prompt again."
        )
        verdict = Verdict.WORSE if lost else Verdict.BETTER
        yield SetupDifference(share, first, second, Role.EXPLAINS, message, _READS, verdict)
        return


def _difference(sides: Sequence[Sequence[BlockPoint]], design: Design) -> LogEffect:
    """Candidate minus baseline. Shares may be 0, so the difference is not of their logarithms."""
    first, second = (np.array([p.value for p in side]) for side in sides)
    if design is Design.PAIRED:
        return paired_effect(second - first)
    parts = [(float(v.var(ddof=1)) / v.size, v.size - 1.0) for v in (first, second)]
    variance, df = satterthwaite(parts)
    fewest = min(first.size, second.size)
    return LogEffect(float(second.mean() - first.mean()), math.sqrt(variance), df, fewest)


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}".replace("-", "−")
