"""The text that synthetic prompts are made of, and how long a stretch of it is in tokens.

Nobody but the server can count tokens, so lengths are measured in *units*: an estimate of the
tokens that a common tokenizer makes of each piece (a word, a mark, a character of Chinese). How
many tokens of this model a unit is worth is found by calibration (`bench.scenario.calibration`).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.resources import resource_dir

LANGUAGES = ("en", "zh", "de", "es", "code")
"""The texts that ship."""

_PIECE = re.compile(
    r"(?P<cjk>[\u3040-\u30ff\u3400-\u9fff])"
    r"|(?P<word>[^\W\d_]+)"
    r"|(?P<digit>\d)"
    r"|(?P<space>\n+| {2,})"
    r"|(?P<mark>[^\w\s]|_)"
)

_LETTERS_PER_EXTRA = {
    "en": (7, 4.0),
    "de": (4, 3.6),
    "es": (4, 4.0),
    "code": (6, 4.0),
    "zh": (6, 4.0),
}
"""Per language: letters of a word that one token usually holds; letters per further token."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """One text, cut into pieces.

    Attributes:
        text: all of it.
        ends: where in the text each piece ends; ascending.
        units: units up to and including each piece; ascending.
        starts: indices of pieces at which a sentence starts.
    """

    language: str
    text: str
    ends: npt.NDArray[np.int64]
    units: npt.NDArray[np.float64]
    starts: npt.NDArray[np.int64]

    @property
    def length(self) -> float:
        """Units of the whole text."""
        return float(self.units[-1])

    def passage(self, start: int, units: float) -> tuple[str, float]:
        """A stretch of text from the start of a sentence on, of about so many units.

        Past the end of the text it goes on at its beginning, so nothing is repeated before all of
        it was used.

        Args:
            start: which sentence, taken modulo their number.
            units: how long.

        Returns:
            The text, and its exact length in units.
        """
        if units <= 0:
            return "", 0.0
        first = int(self.starts[start % len(self.starts)])
        before = float(self.units[first - 1]) if first else 0.0
        offset = int(self.ends[first - 1]) if first else 0
        rounds, rest = divmod(before + units, self.length)
        last = min(int(np.searchsorted(self.units, rest)), len(self.units) - 1)
        last = self._nearer(last, rest)
        until = int(self.ends[last]) if last >= 0 else 0
        reached = float(self.units[last]) if last >= 0 else 0.0
        if rounds == 0:
            return self.text[offset:until].strip(), reached - before
        text = self.text[offset:] + self.text * (int(rounds) - 1) + self.text[:until]
        return text.strip(), self.length * rounds + reached - before

    def _nearer(self, last: int, units: float) -> int:
        """This piece or the one before it, whichever ends nearer to so many units."""
        before = float(self.units[last - 1]) if last > 0 else 0.0
        return last - 1 if units - before < float(self.units[last]) - units else last


def units_of(text: str, language: str) -> float:
    """The length of any text in the units of a language."""
    return float(sum(_cost(match, language) for match in _PIECE.finditer(text)))


@functools.cache
def load_corpus(language: str) -> Corpus:
    """The shipped text of a language.

    Raises:
        FileNotFoundError: there is none.
    """
    text = (resource_dir("scenarios") / "corpus" / f"{language}.txt").read_text(encoding="utf-8")
    text = text.strip() + "\n\n"
    matches = list(_PIECE.finditer(text))
    ends = np.array([m.end() for m in matches])
    units = np.cumsum([_cost(m, language) for m in matches])
    breaks = {0} | {m.end() for m in re.finditer(r"(?:[.!?;:]\s+|[。！？]|\n)", text)}
    starts = [0] + [
        i + 1 for i, end in enumerate(ends[:-1]) if _starts_after(int(end), text, breaks)
    ]
    return Corpus(language, text, ends, units, np.array(sorted(set(starts))))


def _starts_after(end: int, text: str, breaks: set[int]) -> bool:
    while end < len(text) and text[end] == " ":
        end += 1
    return end in breaks


def _cost(match: re.Match[str], language: str) -> float:
    if match.lastgroup == "word":
        fit, per_extra = _LETTERS_PER_EXTRA[language]
        return 1.0 + max(0, match.end() - match.start() - fit) / per_extra
    return 0.8 if match.lastgroup == "cjk" else 1.0
