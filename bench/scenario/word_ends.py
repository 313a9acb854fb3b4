"""Texts to be read word by word, and the places where a model is asked what comes next.

A place is the end of a word, before a blank: there a prefix has the same tokens as the whole text
has up to it (4,817 of 4,817 checked, in English, code, German and Spanish). Chinese and Japanese
are cut before punctuation.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path

from bench.errors import UsageError
from bench.scenario.corpus import LANGUAGES, load_corpus
from bench.scenario.plan import DEFAULT_TEXTS, ForcedText
from bench.scenario.promptfile import read_prompt_file

TEXTS, QUICK_TEXTS, PLACES = 60, 15, 8
_UNITS = 48.0
"""Length of a shipped text, in units of about one token: most of the time goes into reading."""
_ENDS_A_PLACE = 2
"""Places are drawn from so many ends of words each, one after the other. Neighbours tell nearly as
much as places far apart (correlation 0.06 to 0.10 beside 0.03), and take a third of the reading."""
_MOST_CHARACTERS = 1_000
_FIRST = 8
"""Words that a model gets to see before it is asked at all."""
_CJK = "\u3040-\u30ff\u3400-\u9fff"
_WORD_END = re.compile(rf"(?<=\S)(?=\s)|(?<=[{_CJK}])(?=[。，、；：！？])")
_WORD = re.compile(rf"[{_CJK}]|[^\s{_CJK}]+")


def forced_texts(
    sources: Sequence[str] = DEFAULT_TEXTS,
    *,
    quick: bool = False,
    seed: int = 7,
    folder: Path = Path(),
    key: str = "--texts",
) -> tuple[ForcedText, ...]:
    """Choose texts and places; the same for the same arguments.

    Sources are names of shipped texts, or files (a text a paragraph, .jsonl or .csv) relative to
    `folder`; messages call them `key`.

    Raises:
        UsageError: a source is neither, cannot be read, or too short.
    """
    if not sources:
        raise UsageError(f"{key} names no text", f"Shipped: {', '.join(LANGUAGES)}.")
    most = QUICK_TEXTS if quick else TEXTS
    draw = random.Random(seed)
    kinds = []
    for source in dict.fromkeys(sources):
        kind, texts = _texts_of(source, folder, key)
        draw.shuffle(texts)
        cut = (ForcedText(kind, t, _cuts(t, PLACES, draw)) for t in texts)
        # Long ones first: those of fewer places only where there are no others.
        kinds.append(sorted((t for t in cut if t.cuts), key=lambda t: -len(t.cuts)))
        if not kinds[-1]:
            raise UsageError(
                f"{key} {source}: no text in it is long enough",
                f"A text should have some 25 words; the first {_FIRST} are never asked about.",
            )
    in_turn = [t for t in chain.from_iterable(zip_longest(*kinds)) if t is not None]
    if len(in_turn) < 2:
        raise UsageError(
            f"{key} {','.join(sources)}: one text alone has no interval",
            f"Give at least 2 texts, better {TEXTS}: one a paragraph, or JSON Lines.",
        )
    return tuple(in_turn[:most])


def identity(texts: Sequence[ForcedText]) -> str:
    """A hash of texts and places: two results compare only if they agree in it."""
    content = json.dumps([[t.text, t.cuts] for t in texts], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _texts_of(source: str, folder: Path, key: str) -> tuple[str, list[str]]:
    if source in LANGUAGES:
        return source, list(_shipped(source))
    path = folder / source
    if not path.is_file():
        raise UsageError(
            f"{key} {source}: no such file, and no shipped text",
            f"Shipped: {', '.join(LANGUAGES)}.",
        )
    try:
        plain = path.suffix.lower() == ".txt"
        records = read_prompt_file(path, "paragraphs" if plain else None)
        if plain and len(records) == 1:  # no blank line: a text a line
            records = read_prompt_file(path, "lines")
    except ValueError as error:
        raise UsageError(f"{key}: {error}") from None
    return path.stem, [record["prompt"][:_MOST_CHARACTERS] for record in records]


def _shipped(language: str, units: float = _UNITS) -> Iterator[str]:
    """The text of a language in stretches that do not overlap, each from a sentence on."""
    corpus = load_corpus(language)
    before = [corpus.units[piece - 1] if piece else 0.0 for piece in corpus.starts]
    start = 0
    while start < len(before) and before[start] + units <= corpus.length:
        text, length = corpus.passage(start, units)
        yield text
        start = bisect_left(before, before[start] + length, start + 1)


def _cuts(text: str, places: int, draw: random.Random) -> tuple[int, ...]:
    words = list(_WORD.finditer(text))
    if len(words) <= _FIRST:
        return ()
    least = words[_FIRST - 1].end()
    ends = [m.start() for m in _WORD_END.finditer(text) if m.start() >= least]
    ends = ends[: _ENDS_A_PLACE * places]
    return tuple(sorted(draw.sample(ends, min(places, len(ends)))))
