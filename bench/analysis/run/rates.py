"""All arithmetic of tokens per second, in one place.

A rate is kept as its two parts, tokens and seconds, so that the rate of many requests is a ratio of
sums. What a part means depends on the era (`bench.ollama.eras`):

* Decode. The first token falls out of the prompt's last batch, so `eval_duration` spans N-1 steps
  for N tokens: the speed is (N-1)/duration. Ollama itself prints N/duration, which is 1 % too high
  at 100 tokens, 11 % at 10, and 1,000,000 tok/s at one (the duration is then its floor, 1 us).
  Below `MIN_OUTPUT_TOKENS` no rate is given. MLX times the first token too: N/duration.
* Prefill. `prompt_eval_count` includes tokens that came from the prompt cache, and
  `prompt_eval_duration` does not, so their ratio is meaningless on a cache hit. A rate is given
  only where the cached count is known, or where a miss is assured because every prompt was unique.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.analysis.run.columns import Bools, Columns, Floats, seconds
from bench.analysis.run.evidence import Why, missing, note
from bench.analysis.run.plausibility import MAX_DECODE_TOK_PER_S
from bench.metrics import MIN_OUTPUT_TOKENS
from bench.ollama.eras import Era

MIN_PREFILL_TOKENS = 16  # fewer processed prompt tokens than this give no prefill rate
MIN_PREFILL_TOKENS_BUSTED = 128
"""The same where the cached count is not reported: the template's header (some 20 tokens before the
first word of the prompt) may come from the cache even of a unique prompt."""
MIN_GRAINS = 20
"""A duration shorter than so many grains of the server's clock gives no rate (5 % rounding)."""

MAX_PREFILL_TOK_PER_S = 1_000_000.0
"""Above this no machine that runs Ollama gets: something else was measured."""


@dataclass(frozen=True, slots=True)
class RateParts:
    """Tokens and the seconds they took, one row a request; both NaN where no rate is given.

    Attributes:
        note: why requests have none; "" if all have one.
        implausible: rows whose rate was refused because no machine is that fast.
    """

    tokens: Floats
    seconds: Floats
    note: str
    implausible: Bools

    @property
    def per_request(self) -> Floats:
        """Tokens per second of each request."""
        return self.tokens / self.seconds

    def together(self, rows: Bools | slice = slice(None)) -> float | None:
        """Tokens per second of some requests, as a ratio of sums; None if none has a rate."""
        tokens, spent = np.nansum(self.tokens[rows]), np.nansum(self.seconds[rows])
        return float(tokens / spent) if spent > 0 else None


def decode(columns: Columns, era: Era) -> RateParts:
    """Decode speed: steps that were timed, and their time."""
    steps = columns.output_tokens - 1 if era.first_token_free else columns.output_tokens
    return _decoded(columns, steps, era, MAX_DECODE_TOK_PER_S)


def ollama_decode(columns: Columns, era: Era) -> RateParts:
    """Decode speed as `ollama run --verbose` prints it: all tokens over `eval_duration`.

    Given for comparison with other tools; refused for the same short replies as `decode`.
    """
    return _decoded(columns, columns.output_tokens, era, MAX_DECODE_TOK_PER_S * 1.1)


def _decoded(columns: Columns, tokens: Floats, era: Era, ceiling: float) -> RateParts:
    reasons = [
        *missing(columns, ("output_tokens", "eval_ns")),
        (
            f"a decode rate needs at least {MIN_OUTPUT_TOKENS} output tokens",
            ~(columns.output_tokens >= MIN_OUTPUT_TOKENS),
        ),
    ]
    return _parts(columns.eval_ns, tokens, reasons, era, ceiling)


def prefill(columns: Columns, era: Era, busted: bool) -> RateParts:
    """Prefill speed: prompt tokens that were processed, and the time that took.

    `busted`: every prompt of the case was unique from its first characters on.
    """
    known = ~np.isnan(columns.cached_tokens)
    if era.prompt_count_has_cached:
        processed = columns.prompt_tokens - np.where(known, columns.cached_tokens, 0)
        unknown_minimum = MIN_PREFILL_TOKENS_BUSTED if busted else np.inf
        least = np.where(known, MIN_PREFILL_TOKENS, unknown_minimum)
    else:
        processed = columns.prompt_tokens
        least = np.full(len(columns), float(MIN_PREFILL_TOKENS))
    short = ~(processed >= least) | (not era.prompt_duration_trusted)
    reasons = [
        *missing(columns, ("prompt_tokens", "prompt_eval_ns")),
        (_prefill_note(era, busted, bool(known.any())), short),
    ]
    return _parts(columns.prompt_eval_ns, processed, reasons, era, MAX_PREFILL_TOK_PER_S)


def _prefill_note(era: Era, busted: bool, known: bool) -> str:
    if not era.prompt_duration_trusted:
        return "this server version times only the last batch of a prompt"
    if not era.prompt_count_has_cached or known:
        return f"a prefill rate needs at least {MIN_PREFILL_TOKENS} processed prompt tokens"
    if busted:
        return (
            f"a prefill rate needs prompts of at least {MIN_PREFILL_TOKENS_BUSTED} tokens where "
            "the server does not say how many came from its cache"
        )
    return "cache state unknown: the prompts may have come from the server's cache"


def _parts(
    duration_ns: Floats, tokens: Floats, reasons: list[Why], era: Era, ceiling: float
) -> RateParts:
    """Tokens and seconds of the rows to which none of the reasons against a rate applies."""
    coarse = ~(duration_ns >= max(MIN_GRAINS * era.duration_grain_ns, 1))
    reasons = [*reasons, ("the server's clock is too coarse for so short a time", coarse)]
    refused = np.logical_or.reduce([where for _, where in reasons])
    with np.errstate(invalid="ignore", divide="ignore"):
        implausible = ~refused & (tokens / seconds(duration_ns) > ceiling)
    refused |= implausible
    why = note(refused, [*reasons, ("no machine is that fast", implausible)])
    spent = seconds(np.where(refused, np.nan, duration_ns))
    return RateParts(np.where(refused, np.nan, tokens), spent, why, implausible)
