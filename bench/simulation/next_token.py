"""What a simulated model thinks comes next: a whole distribution, the same for the same text.

All models of one family and size have the same original: logits drawn from N(0, 3^2), a draw a
text. Each model has its own normal errors on top, of the standard deviation that its profile says,
so how far two models are apart is known. A family's vocabulary is its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.simulation.profile import ModelProfile

Floats = NDArray[np.float64]

VOCABULARY = 32_000
WIDTH = 3.0
"""Standard deviation of the original's logits."""
LOOK_ALIKE = "\ufffd"
_CONTROL, _PARTS = 4, 60
"""Tokens without text, and parts of characters, which look alike."""
_END_IN = 400
"""After one text in so many the end of the text is likeliest."""
_SYLLABLES = [c + v for c in "bcdfghjklmnprstvwz" for v in "aeiou"]


@dataclass(frozen=True, slots=True)
class Listed:
    """A token of a list with its log-probability over the whole vocabulary."""

    text: str
    logprob: float


def logits(model: ModelProfile, text: str, cached: int = 0) -> Floats:
    """The logits after a text, one a token of the vocabulary.

    Tokens that the engine had `cached` make another shape of the computation, so other errors of
    rounding, as far as the profile has any.
    """
    original = _draw("original", model.family, f"{model.parameters:g}", text) * WIDTH
    if model.logit_error:
        original += _draw("errors", model.name, text) * model.logit_error
    if model.rounding:
        original += _draw("rounding", model.name, str(cached), text) * model.rounding
    return original


def log_softmax(values: Floats) -> Floats:
    """Log-probabilities of logits."""
    shifted = values - values.max()
    result: Floats = shifted - np.log(np.exp(shifted).sum())
    return result


def likeliest(model: ModelProfile, text: str, count: int, cached: int = 0) -> list[Listed]:
    """The likeliest tokens after a text, likeliest first."""
    values = log_softmax(logits(model, text, cached))
    top = np.argpartition(values, -count)[-count:]
    names = _names(model.family)
    return [Listed(names[i], float(values[i])) for i in top[np.argsort(-values[top])]]


def ends_here(text: str) -> bool:
    """Whether the end of the text is likeliest after this one, for every model."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % _END_IN == 0


@cache
def _names(family: str) -> list[str]:
    draw = np.random.default_rng(_seed("names", family))
    order = draw.permutation(len(_SYLLABLES) ** 3)[:VOCABULARY]
    n = len(_SYLLABLES)
    words = [f" {_SYLLABLES[i % n]}{_SYLLABLES[i // n % n]}{_SYLLABLES[i // n**2]}" for i in order]
    special = [""] * _CONTROL + [LOOK_ALIKE] * _PARTS
    return special + words[len(special) :]


def _draw(*key: str) -> Floats:
    return np.random.default_rng(_seed(*key)).standard_normal(VOCABULARY)


def _seed(*key: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(key).encode()).digest()[:16], "big")
