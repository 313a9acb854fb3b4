"""What sessions say in words: whether a server keeps what it has read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from bench.report.model import CaseView
from bench.report.page import Sentence
from bench.report.units import plural, show, supported

_SHARE: Final = "eligible_cached_share"
_LOST_BELOW: Final = 0.6
"""A share of histories below this, clearly below that of fewer users, is a lost cache."""


def cache_loss(group: Sequence[CaseView]) -> Sentence | None:
    """From how many users on the cache is lost, where the intervals separate.

    Args:
        group: cases that differ only in their users, in that order.
    """
    for before, after in pairwise(group):
        had, has = before.estimate(_SHARE), after.estimate(_SHARE)
        if had is None or has is None or not (supported(had) and supported(has)):
            continue
        (low, _), (_, high) = had.ends, has.ends
        if low is None or high is None or has.value is None:
            continue
        if high < low and has.value < _LOST_BELOW:
            return _lost(before, after)
    return None


def _lost(before: CaseView, after: CaseView) -> Sentence:
    slots = after.summary.identity.slots_observed
    served = f" {plural(slots, 'slot')} served at once." if slots else ""
    start: Sentence = (
        f"{after.who} loses its cache between {plural(before.users or 0, 'session')} at once and "
        f"{after.users}: of each history ",
        show(after.estimate(_SHARE), "share"),
        " is kept instead of ",
        show(before.estimate(_SHARE), "share"),
    )
    waits = [c.estimate("later_ttft_s", "p50") for c in (before, after)]
    if all(w is not None and supported(w, "p50") for w in waits):
        start = (*start, ", and later turns begin after ", show(waits[1], "s"), " instead of ")
        return (*start, show(waits[0], "s"), f".{served}")
    return (*start, f".{served}")
