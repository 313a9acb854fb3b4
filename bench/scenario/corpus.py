"""The text that synthetic prompts are made of, and how long a stretch of it is in tokens.

Nobody but the server can count tokens, so lengths are measured in *units*: beside each text lies
what five tokenizers made of each piece of it on average (a word, a mark, a character of Chinese).
How many tokens of a model a unit is worth is learnt from what the server counted in a few requests.
"""

from __future__ import annotations

import functools
import hashlib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import fmean

from bench.resources import resource_dir
from bench.scenario.plan import Case

LANGUAGES = ("en", "zh", "de", "es", "code")
"""The texts that ship."""

PIECE = re.compile(
    r"(?P<cjk>[\u3040-\u30ff\u3400-\u9fff])"
    r"|(?P<word>[^\W\d_]+)"
    r"|(?P<digit>\d)"
    r"|(?P<space>\n+| {2,}|\t+)"
    r"|(?P<mark>[^\w\s]|_)"
)
"""What a text is cut into. Single spaces belong to the piece after them."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_STEPS = 4
"""Units are stored in quarters, one digit a piece."""

# For texts that were not counted: letters that the first token of a word holds, and each further.
_LETTERS = {"en": (7, 4.0), "de": (4, 3.6), "es": (4, 4.0), "code": (6, 4.0), "zh": (6, 4.0)}
_CHINESE = 0.7


@dataclass(frozen=True, slots=True)
class Corpus:
    """One text, cut into pieces.

    Attributes:
        text: all of it.
        ends: where in the text each piece ends; ascending.
        units: units up to and including each piece; ascending.
        starts: indices of pieces at which a sentence (in code: a line) starts.
    """

    language: str
    text: str
    ends: Sequence[int]
    units: Sequence[float]
    starts: Sequence[int]

    @property
    def length(self) -> float:
        """Units of the whole text."""
        return self.units[-1]

    def passage(self, start: int, units: float) -> tuple[str, float]:
        """A stretch of text from the start of a sentence on, of about so many units.

        Past the end of the text it goes on at its beginning, so nothing is repeated before all of
        it was used. `start` is the number of a sentence, taken modulo their count.

        Returns:
            The text, and its length in units.
        """
        if units <= 0:
            return "", 0.0
        first = self.starts[start % len(self.starts)]
        before, offset = self._until(first - 1)
        rounds, rest = divmod(before + units, self.length)
        last = min(bisect_left(self.units, rest), len(self.units) - 1)
        if rest - self._until(last - 1)[0] < self.units[last] - rest:
            last -= 1  # its end is nearer
        reached, until = self._until(last)
        if not rounds:
            return self.text[offset:until].strip(), max(0.0, reached - before)
        text = self.text[offset:] + self.text * (int(rounds) - 1) + self.text[:until]
        return text.strip(), self.length * rounds + reached - before

    def _until(self, piece: int) -> tuple[float, int]:
        """Units and characters up to and including a piece; nothing before the first."""
        return (self.units[piece], self.ends[piece]) if piece >= 0 else (0.0, 0)


def units_of(text: str, language: str) -> float:
    """The length of any text in units, by a rule of thumb."""
    fit, further = _LETTERS[language]
    total = 0.0
    for match in PIECE.finditer(text):
        if match.lastgroup == "word":
            total += 1.0 + max(0, match.end() - match.start() - fit) / further
        else:
            total += _CHINESE if match.lastgroup == "cjk" else 1.0
    return total


def corpus_text(language: str) -> Path:
    """The file of a text."""
    return resource_dir("scenarios") / "corpus" / f"{language}.txt"


@functools.cache
def load_corpus(language: str) -> Corpus:
    """The shipped text of a language.

    Raises:
        FileNotFoundError: there is none.
        ValueError: its units were counted for another text; see `scenarios/corpus/count_units.py`.
    """
    path = corpus_text(language)
    text = path.read_text(encoding="utf-8").strip() + "\n\n"
    units = decode_units(text, path.with_suffix(".units").read_text(encoding="ascii"))
    ends = [match.end() for match in PIECE.finditer(text)]
    breaks = r"\n+" if language == "code" else r"[.!?]\s+|[。！？]|\n+"
    begins = [0, *(match.end() for match in re.finditer(breaks, text))]
    starts = sorted({bisect_right(ends, begin) for begin in begins if begin < len(text)})
    return Corpus(language, text, ends, list(accumulate(units)), starts)


def encode_units(text: str, units: Sequence[float]) -> str:
    """The content of a `.units` file: a hash of the text, then one digit a piece.

    What rounding a piece leaves over is carried to the next, so sums stay right.
    """
    sums = [0, *(round(total * _STEPS) for total in accumulate(units))]
    steps = (min(max(0, after - before), len(_DIGITS) - 1) for before, after in pairwise(sums))
    digits = "".join(_DIGITS[step] for step in steps)
    lines = [digits[i : i + 100] for i in range(0, len(digits), 100)]
    return "\n".join([_hash(text), *lines]) + "\n"


def decode_units(text: str, content: str) -> list[float]:
    """The units of each piece of a text, from the content of its `.units` file."""
    counted, *lines = content.split()
    if counted != _hash(text):
        raise ValueError("the text was changed after its units were counted")
    worth = {digit: number / _STEPS for number, digit in enumerate(_DIGITS)}
    return [worth[digit] for digit in "".join(lines)]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_OVERHEAD = {"chat": 23.0, "generate": 23.0, "embed": 2.0, "raw": 0.0}
"""Tokens of the template when nothing was measured."""
_NONCE_TOKENS = 12.0
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


def guessed_rates(case: Case) -> TokenRates:
    """A rule of thumb, where nothing was measured."""
    spec, language = case.prompts, case.prompts.language or "en"
    overhead = _OVERHEAD["raw" if case.raw else case.endpoint]
    overhead += units_of(case.system, language) if case.system else 0.0
    overhead += 0.0 if spec.cache == "warm" else _NONCE_TOKENS
    return TokenRates(case.model, language, 1.0, overhead)


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
