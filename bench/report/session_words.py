"""What sessions, mixes, embeddings and checked answers say, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from bench.analysis.run.neighbours import Cost, neighbour_costs
from bench.report.model import CaseView, Report
from bench.report.page import Answer, Sentence
from bench.report.tables import Table, from_columns, text_column
from bench.report.units import RANGE, number, plural, show

CHECKS: Final = {
    "schema_valid_rate": "follow the schema",
    "json_valid_rate": "are JSON",
    "tool_call_valid_rate": "call a tool rightly",
}
"""What answers are checked for, in words."""
_KEPT: Final = 0.8
"""From here on a cache works: what is missing are the answers of a recorded history."""
_LOST: Final = 0.5
_LOST_BELOW: Final = 0.6
"""A share of histories below this, clearly below that of fewer users, is a lost cache."""
_SHARE: Final = "eligible_cached_share"
_WHAT: Final = {
    "user_turn_s.mean": "a turn takes",
    "batch_s.mean": "a batch takes",
    "ttft_s.mean": "the first text takes",
    "e2e_s.mean": "an answer takes",
    "decode_tok_per_s": "text is written",
}


def cache(case: CaseView) -> Sentence | None:
    """Whether the histories of sessions stay in the cache."""
    found = case.known(_SHARE)
    if found is None:
        return _suspected(case)
    shown = show(found, "share")
    low, high = found.ends
    if low is not None and low >= _KEPT:
        return ("It keeps ", shown, " of what it has read of a session.")
    if high is not None and high <= _LOST:
        rest = " of a session's history is kept, and each turn reads the rest again."
        return ("The cache is lost: only ", shown, rest)
    return ("It keeps ", shown, " of what it has read of a session; the rest is read again.")


def _suspected(case: CaseView) -> Sentence | None:
    """What the time of prompts says of a cache that the server says nothing of."""
    if not (found := case.known("suspected_cached_share")):
        return None
    begin = "The server does not say what its cache keeps; by the time that prompts take, "
    return (begin, show(found, "share"), " of a session's history is suspected to be kept.")


def turn(case: CaseView) -> Sentence | None:
    """What a person waits."""
    if not (found := case.known("user_turn_s", "mean")):
        return None
    return ("A message is answered in ", show(found, "s"), " on average, tools not counted.")


def embeddings(case: CaseView) -> Sentence | None:
    """How many texts are embedded."""
    found = case.known("text_per_s")
    return ("It embeds ", show(found, "texts/s"), ".") if found else None


def pictures(case: CaseView) -> Sentence | None:
    """What a picture costs."""
    tokens, spent = case.known("image_tokens"), case.known("image_s")
    if tokens is None or spent is None:
        return None
    return ("It reads a picture in ", show(spent, "s"), ", as ", show(tokens, "tokens"), ".")


def validity(case: CaseView) -> Sentence | None:
    """How many answers are what was asked for."""
    for id in ("schema_valid_rate", "tool_call_valid_rate", "json_valid_rate"):
        if found := case.known(id):
            return (show(found, "share"), f" of the answers {CHECKS[id]}.")
    return None


QUALIFIERS = (turn, cache, embeddings, pictures, validity)


def cache_loss(group: Sequence[CaseView]) -> Sentence | None:
    """From how many users on the cache is lost, where the intervals separate."""
    for before, after in pairwise(group):
        had, has = before.known(_SHARE), after.known(_SHARE)
        if had is None or has is None:
            continue
        (low, _), (_, high) = had.ends, has.ends
        separate = low is not None and high is not None and high < low
        if separate and after.value(_SHARE) < _LOST_BELOW:
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
    waits = [c.known("later_ttft_s", "p50") for c in (before, after)]
    if all(waits):
        start = (*start, ", and later turns begin after ", show(waits[1], "s"), " instead of ")
        return (*start, show(waits[0], "s"), f".{served}")
    return (*start, f".{served}")


def neighbours(report: Report) -> Iterator[Answer]:
    """What the parts of a mix cost each other, where the interval says it."""
    for view in report.runs:
        for cost in neighbour_costs(view.summary.cases):
            if cost.low is None or cost.high is None or cost.low <= 1 <= cost.high:
                continue
            parts = {c.axes["part"] for c in view.summary.cases if "part" in c.axes}
            others = "the other parts" if len(parts) > 2 else "the other part"
            speed = cost.metric == "decode_tok_per_s"
            times = f"{number(cost.ratio, 2)} times as {'fast' if speed else 'long'}"
            said = f"Beside {others}, {_WHAT[cost.metric]} {times} ({_interval(cost)})"
            yield Answer("", ((f"{said} for {cost.part}.",),))


def neighbour_table(report: Report) -> Table | None:
    """The same as a table, with what cannot be said."""
    costs: list[Cost] = [c for v in report.runs for c in neighbour_costs(v.summary.cases)]
    if not costs:
        return None
    columns = [
        text_column("Part", [c.part for c in costs]),
        text_column("Metric", [c.metric for c in costs]),
        text_column("Together / alone", [number(c.ratio, 2) for c in costs]),
        text_column("95 % interval", [_interval(c) for c in costs]),
        text_column("Pairs of blocks", [c.blocks for c in costs]),
    ]
    note = "Each block together with the others against the one alone of the same repetition."
    return from_columns("neighbours", "What the parts cost each other", columns, note=note)


def _interval(cost: Cost) -> str:
    if cost.low is None or cost.high is None:
        return "needs 2 blocks"
    interval = f"{number(cost.low, 2)}{RANGE}{number(cost.high, 2)}"
    return f"{interval}, no difference shown" if cost.low <= 1 <= cost.high else interval
