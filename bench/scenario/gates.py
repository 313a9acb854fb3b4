"""Is it broken? Questions that every working model answers, asked of each side of a fidelity run.

They are no scores: a ruined file, cache type or template fails them, a weak model may.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from bench.scenario.corpus import load_corpus


class Gate(StrEnum):
    """What is checked."""

    NEEDLE = "finds a sentence in a long text"
    JSON = "answers in the format asked for"
    COPY = "copies a string"
    LOOP = "does not loop"
    MARKER = "leaks no template marker"


NEEDLE: Final = "7319-KESTREL"
COPIED: Final = "q7Zr-20418-mPvd-77035-KxTb-91362-hWns-58"
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "year": {"type": "integer"}},
    "required": ["name", "year"],
}
_OPEN: Final = (
    "Explain in a few sentences why the sky is blue.",
    "Describe how to make a cup of tea, step by step.",
    "Tell a short story about a lighthouse keeper.",
    "What should a visitor see in a city with a harbour?",
)
_LONG: Final = 0.7
"""Share of the context that the long text fills: the question and the answer need the rest."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request.

    Attributes:
        gate: whose question it is; markers are looked for in the answers to all others.
        number: tells it from the others of its gate.
        shown: the question as a report names it.
        most: tokens of the answer.
        format: JSON schema; None = free text.
    """

    gate: Gate
    number: int
    prompt: str
    shown: str
    most: int
    format: dict[str, Any] | None = None


def questions(num_ctx: int) -> Iterator[Question]:
    """All questions, for a context of so many tokens."""
    units = _LONG * num_ctx
    corpus = load_corpus("en")
    start, _ = corpus.passage(0, units / 2)
    rest, _ = corpus.passage(len(corpus.starts) // 2, units / 2)
    ask = "What is the access code of the archive? Answer with the code alone."
    needle = f"The access code of the archive is {NEEDLE}."
    shown = f"{needle} (amid {units:,.0f} tokens) {ask}"
    yield Question(Gate.NEEDLE, 0, f"{start}\n\n{needle}\n\n{rest}\n\n{ask}", shown, 48)
    asked = "Name a famous ship and the year of its first voyage, as JSON with name and year."
    yield Question(Gate.JSON, 0, asked, f"{asked} (with a JSON schema)", 96, SCHEMA)
    asked = f"Repeat the following text exactly, and write nothing else: {COPIED}"
    yield Question(Gate.COPY, 0, asked, asked, 64)
    for number, asked in enumerate(_OPEN):
        yield Question(Gate.LOOP, number, asked, asked, 128)
