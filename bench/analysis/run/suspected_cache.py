"""What the cache has probably kept, where the server gives no count: by the time of prompts.

The first request of a block is read whole: its head carries a number of the block. Its prompt time
is the cold fit, and each later prompt is taken to have cost as much a token. Reading gets slower in
a long context, so the share comes out low rather than high; it is called suspected, and it is not
compared or judged as the counted one is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.analysis.run.columns import Floats
from bench.analysis.run.rates import MIN_GRAINS, MIN_PREFILL_TOKENS_BUSTED

if TYPE_CHECKING:
    from bench.analysis.run.case_data import CaseData

MIN_COLD = 3
"""Blocks with a cold prompt: fewer show no spread."""


def suspected_cached(data: CaseData, eligible: Floats) -> Floats:
    """Tokens of each prompt's history that were probably not read again; NaN where nobody can tell.

    Only of requests that had the server to themselves: others' prompts and answers slow a prompt
    down, which would look like a lost cache. `eligible` is, for each row of `data.ok`, the tokens
    of its history.
    """
    unknown = np.full(len(data.ok), np.nan)
    if (
        not (data.busted and data.era.prompt_duration_trusted)
        or np.isfinite(data.ok.cached_tokens).any()
    ):
        return unknown
    cold = _cold_token_ns(data)
    if len(cold) < MIN_COLD:
        return unknown
    each = np.array([cold.get(block, np.nan) for block in data.ok.block.tolist()])
    read = np.minimum(data.ok.prompt_eval_ns / each, data.ok.prompt_tokens)
    new = data.ok.prompt_tokens - eligible
    kept = np.clip(eligible - np.maximum(read - new, 0.0), 0.0, eligible)
    return np.where(data.ok.alone, kept, np.nan)


def _cold_token_ns(data: CaseData) -> dict[int, float]:
    """Time of a token that is read for the first time, by block."""
    found = {}
    for block in data.block_order:
        rows = np.flatnonzero(data.columns.block == block)
        first = rows[np.argsort(data.columns.sent_ns[rows], kind="stable")[:1]]
        asked = data.columns.select(first)
        enough = asked.prompt_tokens >= MIN_PREFILL_TOKENS_BUSTED
        enough &= asked.prompt_eval_ns >= MIN_GRAINS * data.era.duration_grain_ns
        if (asked.ok & asked.alone & enough).all() and len(first):
            found[block] = float(asked.prompt_eval_ns[0] / asked.prompt_tokens[0])
    return found
