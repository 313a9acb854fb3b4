"""One place in a text: what two models think comes next, as far as their servers say.

A server lists the 20 likeliest tokens with their probabilities over the whole vocabulary. Merging
everything outside the tokens that both list into one event can only lower the Kullback-Leibler
divergence (data-processing inequality; Cover & Thomas, *Elements of Information Theory*, 2.8), so
the divergence of what is listed is a lower bound.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.errors import NotComparable
from bench.results.fidelity_files import ENOUGH, PlaceRecord

TopTokens = Sequence[tuple[str, float]]
"""Tokens as text with their log-probabilities (natural), likeliest first."""

LIST = 20
"""The most that Ollama lists."""
_HEAD = 10
_LEAST_REST = 1e-9
_ELSEWHERE = 2.0
"""Log ratio of the rests, or of most of the tail, from which on the candidate expects something
else altogether: that is in the bound, and says nothing of small errors in the tail. One such place
would outweigh hundreds."""
_REPLACEMENT = "\ufffd"


@dataclass(frozen=True, slots=True)
class Pair:
    """Reference and candidate at one place.

    Attributes:
        bound: divergence of the listed tokens and of one rest; never above the true divergence.
        rest: the reference's probability outside the tokens that both list.
        observed: log ratios p / q of the reference's tokens from rank 11 on, without the ratio of
            the rests: what the tail looks like.
        at_least: the same for tokens that the candidate does not list: not below these.
        other_top: the likeliest tokens differ.
        common: the share of the reference's tokens that the candidate lists, too.
    """

    bound: float
    rest: float
    observed: tuple[float, ...]
    at_least: tuple[float, ...]
    other_top: bool
    common: float


def pair(reference: TopTokens, candidate: TopTokens) -> Pair | None:
    """Compare two lists.

    Returns:
        None if a list has no token that differs from the others, or they have none in common.
    """
    p, q = _named(reference), _named(candidate)
    common = [token for token in p if token in q]
    if not common:
        return None
    rest_p = max(1 - sum(math.exp(p[t]) for t in common), _LEAST_REST)
    rest_q = max(1 - sum(math.exp(q[t]) for t in common), _LEAST_REST)
    shift = math.log(rest_p / rest_q)
    tail = list(p)[_HEAD:] if abs(shift) < _ELSEWHERE else []
    observed = tuple(p[t] - q[t] - shift for t in tail if t in q)
    if observed and abs(median(observed)) >= _ELSEWHERE:
        tail, observed = [], ()
    last = min(q.values())
    return Pair(
        bound=sum(math.exp(p[t]) * (p[t] - q[t]) for t in common) + rest_p * shift,
        rest=rest_p,
        observed=observed,
        at_least=tuple(p[t] - last - shift for t in tail if t not in q),
        other_top=_first(reference) != _first(candidate),
        common=len(common) / len(p),
    )


def _named(tokens: TopTokens) -> dict[str, float]:
    """Tokens by text, without those whose text does not say which token it is.

    Control tokens come without text, parts of a character as U+FFFD; of several that look the same,
    the likeliest is kept.
    """
    kept: dict[str, float] = {}
    for token, log_p in sorted(tokens, key=lambda entry: -entry[1]):
        control = token.startswith("<|") and token.endswith("|>")
        if token and _REPLACEMENT not in token and not control:
            kept.setdefault(token, log_p)
    return kept


def _first(tokens: TopTokens) -> str:
    return max(tokens, key=lambda entry: entry[1])[0]


_OTHER_COUNTS = 0.1
_LEAST_COMMON = 0.1
_ADVICE = "Compare quantisations of one model, or models of one family."


def check_tokenizer(
    reference: str,
    candidate: str,
    said: Mapping[tuple[int, int], PlaceRecord],
    other: Mapping[tuple[int, int], PlaceRecord],
) -> None:
    """Refuse a candidate with another tokenizer; too few places prove nothing.

    Raises:
        NotComparable: with the reason.
    """
    both = [(said[p], other[p]) for p in said if p in other]
    # One token more throughout is a mark at the start of a text, which files set differently.
    counts = Counter(
        b.prompt_tokens - a.prompt_tokens
        for a, b in both
        if a.prompt_tokens is not None and b.prompt_tokens is not None
    )
    if (places := counts.total()) >= ENOUGH:
        usual, times = counts.most_common(1)[0]
        odd = places - times if abs(usual) <= 1 else places
        if odd > _OTHER_COUNTS * places:
            raise NotComparable(
                f"{candidate} has another tokenizer than {reference}: it counts another number of "
                f"tokens in {odd} of {places} texts",
                _ADVICE,
            )
    listed = [(a.tokens, b.tokens) for a, b in both if a.tokens and b.tokens]
    if len(listed) < ENOUGH:
        return
    found = (pair(a, b) for a, b in listed)
    common = median(p.common if p else 0.0 for p in found)
    if common < _LEAST_COMMON:
        raise NotComparable(
            f"{candidate} has another vocabulary than {reference}: of the tokens that each thinks "
            f"likeliest, {common:.0%} are the same",
            f"{_ADVICE} A broken file shows the same sign: does it answer sensibly?",
        )
