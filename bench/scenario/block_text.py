"""Text for prompts of which a trace knows only the block identities.

The same number becomes the same text, so that prompts share as many leading tokens as they did when
they were recorded. Each text starts with words of its own, because the corpus has far fewer
sentences to start at than a trace has blocks.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from itertools import accumulate

from bench.scenario.calibration import TokenRates
from bench.scenario.corpus import load_corpus

_SPREAD = 0x9E3779B1
"""An odd factor (2**32 over the golden ratio) that sends neighbours far apart."""
_MARKS = 3
"""Words that tell a text from others: with some 700 words, 3e8 of them."""


def block_text(
    blocks: Sequence[int], lengths: Sequence[int], rates: TokenRates, language: str = "en"
) -> str:
    """The text of a prompt.

    The template's tokens come out of the first stretches.
    """
    ends = [rates.units(tokens) for tokens in accumulate(lengths)]
    begins = [0.0, *ends]
    parts = [
        _stretch(block, end - begin, language)
        for block, begin, end in zip(blocks, begins, ends, strict=False)
    ]
    return "\n".join(part for part in parts if part)


def shared_tokens(
    blocks_a: Sequence[int],
    lengths_a: Sequence[int],
    blocks_b: Sequence[int],
    lengths_b: Sequence[int],
) -> int:
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
    marks = _marks(block, language)
    if units <= _MARKS:
        return " ".join(marks[: round(units)])
    corpus = load_corpus(language)
    text, _ = corpus.passage(block * _SPREAD, units - _MARKS)
    return f"{' '.join(marks)} {text}"


def _marks(block: int, language: str) -> list[str]:
    words = _words(language)
    number = block * _SPREAD % len(words) ** _MARKS
    return [words[number // len(words) ** place % len(words)] for place in range(_MARKS)]


@functools.cache
def _words(language: str) -> tuple[str, ...]:
    """Short words of the corpus, one token each or nearly; their number is prime to the factor."""
    text = load_corpus(language).text.lower()
    found = sorted(set(re.findall(r"\b[^\W\d_]{2,6}\b", text)))
    return tuple(found)
