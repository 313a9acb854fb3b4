"""How many tokens a text will be, learnt from what the server counted in a few requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.scenario.plan import Case

DEFAULT_OVERHEAD = {"chat": 23.0, "generate": 23.0, "embed": 2.0, "raw": 0.0}
"""Tokens of the template when nothing was measured."""
NONCE_TOKENS = 12.0
"""Tokens of the nonce, likewise; prompts with `cache: warm` have none."""


@dataclass(frozen=True, slots=True)
class TokenRates:
    """Prompt tokens of one model and language: `overhead_tokens + tokens_per_unit * units`.

    Attributes:
        tokens_per_unit: tokens per unit of text (see `bench.scenario.corpus`).
        overhead_tokens: of the template, the system prompt and the nonce, if there is one.
        measured: False = a guess, because nothing was measured.
    """

    model: str
    language: str
    tokens_per_unit: float = 1.0
    overhead_tokens: float = 35.0
    measured: bool = False

    def units(self, tokens: float) -> float:
        """How many units of text make a prompt of so many tokens."""
        return max(0.0, (tokens - self.overhead_tokens) / self.tokens_per_unit)


def calibration_key(case: Case) -> tuple[str, ...]:
    """Cases with the same key make the same number of tokens of the same text."""
    template = "raw" if case.raw else case.endpoint
    text = (case.prompts.cache, case.system or "")
    return (case.target, case.model, case.prompts.language, template, repr(case.think), *text)


def fit_calibration(
    lengths: Sequence[float], counts: Sequence[int], *, model: str = "", language: str = "en"
) -> TokenRates:
    """Line through units of text and the `prompt_eval_count` they gave.

    Weighted least squares: the scatter of a count grows like the root of the prompt's length, so
    the shortest prompt settles the overhead and the longest ones the tokens per unit.

    Raises:
        ValueError: fewer than two different lengths, or counts that do not grow with them.
    """
    if len(lengths) != len(counts) or len(set(lengths)) < 2:
        raise ValueError("calibration needs prompts of at least two different lengths")
    weights = [1 / (1 + length) for length in lengths]
    mean_length, mean_count = fmean(lengths, weights), fmean(counts, weights)
    beside = [length - mean_length for length in lengths]
    slope = fmean([b * (c - mean_count) for b, c in zip(beside, counts, strict=True)], weights)
    slope /= fmean([b * b for b in beside], weights)
    if slope <= 0:
        raise ValueError("the server's prompt_eval_count does not grow with the prompt")
    overhead = mean_count - slope * mean_length
    return TokenRates(model, language, slope, overhead, measured=True)
