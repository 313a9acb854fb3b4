"""Prompts as retrieval (RAG) makes them: passages of a collection, found by popularity."""

from __future__ import annotations

import functools
import random
from bisect import bisect_right
from itertools import accumulate

from bench.scenario.block_text import block_text
from bench.scenario.calibration import TokenRates
from bench.scenario.corpus import load_corpus
from bench.scenario.work import Passages

_QUESTION_MARK = "?"


def retrieved(spec: Passages, rates: TokenRates, rng: random.Random) -> str:
    """The text of one prompt: passages in the order of their rank, and a question.

    Each passage has the same text wherever it turns up; the question is another in every prompt.
    The overhead of `rates` is that of the whole prompt.
    """
    per_unit = TokenRates(rates.model, rates.language, rates.tokens_per_unit, 0.0)
    parts = [
        f"[{place}] {block_text((number,), (spec.passage_tokens,), per_unit, spec.language)}"
        for place, number in enumerate(_found(spec, rng), 1)
    ]
    corpus = load_corpus(spec.language)
    units = per_unit.units(spec.question_tokens)
    question = corpus.passage(rng.randrange(len(corpus.starts)), units)[0] + _QUESTION_MARK
    return "\n\n".join([question, *parts] if spec.question == "first" else [*parts, question])


def _found(spec: Passages, rng: random.Random) -> list[int]:
    """Numbers of different passages, drawn by popularity; the most popular first."""
    sums = _popularity(spec.corpus, spec.zipf)
    found: dict[int, None] = {}
    while len(found) < spec.passages:
        found[bisect_right(sums, rng.random() * sums[-1])] = None
        if spec.passages > spec.corpus // 2 and len(found) >= spec.corpus // 2:
            found |= dict.fromkeys(range(spec.corpus))
    return sorted(list(found)[: spec.passages])


@functools.lru_cache(maxsize=8)
def _popularity(count: int, exponent: float) -> list[float]:
    return list(accumulate((n + 1) ** -exponent for n in range(count)))
