"""Whether two models cut text into the same tokens: only then can their lists be compared.

From what came back, never from names: how many tokens the servers count in the same texts, and
how many of the listed tokens look the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from statistics import median

from bench.analysis.fidelity.position import pair
from bench.errors import NotComparable
from bench.results.fidelity_files import ENOUGH, PlaceRecord

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
