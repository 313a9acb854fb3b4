"""Text for prompts that are made of blocks: those of a trace by their identities, or passages.

The same number becomes the same text, so that prompts share as many leading tokens as they did when
they were recorded. Each text starts with words of its own, because the corpus has far fewer
sentences to start at than a trace has blocks.
"""

from __future__ import annotations

import functools
import random
import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

from bench.scenario.corpus import TokenRates, load_corpus
from bench.scenario.work import Passages

_SPREAD = 0x9E3779B1
"""An odd factor (2**32 over the golden ratio) that sends neighbours far apart."""
_MARKS = 3
"""Words that tell a text from others: with some 700 words, 3e8 of them."""


Ints = Sequence[int]


def block_text(blocks: Ints, lengths: Ints, rates: TokenRates, language: str = "en") -> str:
    """The text of a prompt; the template's tokens come out of the first stretches."""
    ends = pairwise([0.0, *(rates.units(tokens) for tokens in accumulate(lengths))])
    parts = [
        _stretch(block, end - begin, language)
        for block, (begin, end) in zip(blocks, ends, strict=True)
    ]
    return "\n".join(filter(None, parts))


def shared_tokens(blocks_a: Ints, lengths_a: Ints, blocks_b: Ints, lengths_b: Ints) -> int:
    """How many leading tokens two prompts have in common."""
    total = 0
    stretches = zip(blocks_a, lengths_a, blocks_b, lengths_b, strict=False)
    for block_a, length_a, block_b, length_b in stretches:
        if block_a != block_b:
            break
        total += min(length_a, length_b)
        if length_a != length_b:
            break
    return total


@functools.lru_cache(maxsize=1024)
def _stretch(block: int, units: float, language: str) -> str:
    """The first so many units of the text of a block."""
    words = _words(language)
    number = block * _SPREAD % len(words) ** _MARKS
    marks = [words[number // len(words) ** place % len(words)] for place in range(_MARKS)]
    if units <= _MARKS:
        return " ".join(marks[: round(units)])
    corpus = load_corpus(language)
    text, _ = corpus.passage(block * _SPREAD, units - _MARKS)
    return f"{' '.join(marks)} {text}"


@functools.cache
def _words(language: str) -> tuple[str, ...]:
    """Short words of the corpus, one token each or nearly; their number is prime to the factor."""
    found = re.findall(r"\b[^\W\d_]{2,6}\b", load_corpus(language).text.lower())
    return tuple(sorted(set(found)))


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
    question = corpus.passage(rng.randrange(len(corpus.starts)), units)[0] + "?"
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
