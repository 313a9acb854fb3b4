"""What several cases say together, in words: rules over groups of cases.

A rule speaks only where the intervals carry what it says; otherwise it is silent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bench.analysis.summary import Estimate
from bench.report.model import CaseView, Report
from bench.report.page import Answer, Sentence
from bench.report.units import count, plural, show

# Adding users beyond the slots must gain less than this in throughput to be called saturated.
_FLAT: Final = 1.10
# "No more" needs intervals that rule out a gain of this factor.
_GAIN_WORTH_IT: Final = 1.25
# Prompts whose mean lengths differ by this factor make a sweep over context depth.
_DEPTHS_DIFFER: Final = 1.5
# Queueing below this is bookkeeping of the server, not waiting for a slot.
_QUEUE_FLOOR_S: Final = 0.05


def findings(report: Report) -> tuple[Answer, ...]:
    """Everything that only several cases together can say; of invalid ones nothing is said."""
    found = [
        Answer("", (said,), group[0].model)
        for group in sweeps(report, "users")
        if _valid(group) and (said := saturation(group))
    ]
    found += [
        Answer("", (said,))
        for group in same_load(report)
        if _valid(group) and (said := fastest(group))
    ]
    found += [
        Answer("", (said,), group[0].model)
        for group in depth_groups(report)
        if _valid(group) and (said := depth(group))
    ]
    return tuple(found)


def _valid(group: Sequence[CaseView]) -> bool:
    return not any(case.invalid for case in group)


def sweeps(report: Report, axis: str) -> Iterator[list[CaseView]]:
    """Cases that differ in one axis alone, in its order; groups of two or more."""
    groups: dict[tuple[object, ...], list[CaseView]] = {}
    for case in report.cases:
        value = _axis(case, axis)
        if value is not None:
            groups.setdefault(_key_without(case, axis), []).append(case)
    for group in groups.values():
        if len(group) > 1:
            yield sorted(group, key=lambda c: _axis(c, axis) or 0.0)


def same_load(report: Report) -> Iterator[list[CaseView]]:
    """Cases that differ in the model alone, at the lowest load of their sweep; two or more."""
    groups: dict[tuple[object, ...], list[CaseView]] = {}
    for case in report.cases:
        groups.setdefault(_key_without(case, "model", "users", "rate"), []).append(case)
    for group in groups.values():
        lowest = min(_load_level(c) for c in group)
        at_lowest = [c for c in group if _load_level(c) == lowest]
        if len({c.model for c in at_lowest}) > 1:
            yield at_lowest


def depth_groups(report: Report) -> Iterator[list[CaseView]]:
    """Cases of one model at one load whose prompts differ clearly in length, shortest first."""
    groups: dict[tuple[object, ...], list[CaseView]] = {}
    for case in report.cases:
        if prompt_length(case):
            key = (case.run, case.model, case.summary.target, case.users, case.rate_per_s)
            groups.setdefault(key, []).append(case)
    for group in groups.values():
        group.sort(key=lambda c: prompt_length(c) or 0.0)
        shortest, longest = prompt_length(group[0]), prompt_length(group[-1])
        if shortest and longest and longest / shortest >= _DEPTHS_DIFFER:
            yield group


def prompt_length(case: CaseView) -> float | None:
    """Mean tokens of a case's prompts; None if the server did not say."""
    mean = case.estimate("prompt_tokens", "mean")
    return mean.value if mean else None


def depth(group: Sequence[CaseView]) -> Sentence | None:
    """How decode speed falls with the context, where the intervals separate.

    Args:
        group: cases whose prompts differ in length, shortest first.
    """
    first, last = group[0], group[-1]
    before, after = (c.estimate("decode_tok_per_s") for c in (first, last))
    if not _clearly_above(before, after):
        return None
    return (
        f"{first.who} slows from ",
        show(before, "tok/s"),
        f" with {count(round(prompt_length(first) or 0))} prompt tokens to ",
        show(after, "tok/s"),
        f" with {count(round(prompt_length(last) or 0))}.",
    )


def saturation(group: Sequence[CaseView]) -> Sentence | None:
    """Where more users stop helping, and why.

    Args:
        group: cases that differ only in their users, in that order.
    """
    if len(group) < 2:
        return None
    return _full_slots(group) or _no_gain(group) or _still_gains(group)


def _full_slots(group: Sequence[CaseView]) -> Sentence | None:
    """Speaks when requests beyond the observed slots wait and bring no more throughput."""
    slots = max((c.summary.identity.slots_observed or 0 for c in group), default=0)
    within = [c for c in group if (c.users or 0) <= slots]
    beyond = [c for c in group if (c.users or 0) > slots]
    if not slots or not within or not beyond:
        return None
    queue = beyond[-1].estimate("queue_s", "p50")
    if queue is None or (queue.low or 0.0) < _QUEUE_FLOOR_S:
        return None
    before, after = (c.estimate("output_tok_per_s") for c in (within[-1], beyond[-1]))
    if not _about_equal(before, after):
        return None
    return (
        f"{group[0].who} saturates at {plural(slots, 'user')}: the server runs "
        f"{plural(slots, 'slot')}, the {_ordinal(slots + 1)} waits. With {beyond[-1].users} users "
        "half of the requests wait ",
        show(queue, "s", stat="p50"),
        " or longer.",
    )


def _no_gain(group: Sequence[CaseView]) -> Sentence | None:
    """Speaks when throughput stays flat though nobody is seen to wait for a slot."""
    first, last = group[0], group[-1]
    before, after = (c.estimate("output_tok_per_s") for c in (first, last))
    if not _about_equal(before, after) or not _surely_below(after, before, _GAIN_WORTH_IT):
        return None
    return (
        f"{first.who} writes no more in all with {last.users} users (",
        show(after, "tok/s"),
        f") than with {first.users} (",
        show(before, "tok/s"),
        ").",
    )


def _still_gains(group: Sequence[CaseView]) -> Sentence | None:
    """Speaks when the highest level measured still brought clearly more throughput."""
    before, after = (c.estimate("output_tok_per_s") for c in (group[-2], group[-1]))
    if not _clearly_above(after, before):
        return None
    return (
        f"{group[0].who} still gains throughput from {group[-2].users} to {group[-1].users} "
        "users (",
        show(before, "tok/s"),
        " to ",
        show(after, "tok/s"),
        "): no saturation within the measured levels.",
    )


def fastest(group: Sequence[CaseView]) -> Sentence | None:
    """Which model writes fastest, where the intervals separate; said to be open where not."""
    told = [(c, e) for c in group if (e := c.estimate("decode_tok_per_s")) and e.value]
    if len(told) < 2:
        return None
    told.sort(key=lambda pair: -(pair[1].value or 0.0))
    (best, top), (second, next_best) = told[0], told[1]
    assert top.value is not None
    assert next_best.value is not None
    if best.model == second.model:
        return None
    if None in (top.low, top.high, next_best.low, next_best.high):
        return None
    if not _clearly_above(top, next_best):
        return (
            f"{best.who} and {second.who} write about equally fast: their intervals overlap. "
            "An interleaved comparison (`ollama-bench ab`) can tell them apart.",
        )
    load = f" with {plural(best.users or 1, 'user')}" if (best.users or 1) > 1 else ""
    return (
        f"{best.who} writes ",
        show(_ratio(top, next_best), ""),
        f" times as fast as {second.who}{load}.",
    )


def _ratio(one: Estimate, other: Estimate) -> Estimate:
    """The ratio of two independent estimates, with the range that their intervals allow.

    Wider than a 95 % interval of the ratio: half-widths add up instead of their squares.
    """
    assert one.value is not None
    assert one.low is not None
    assert one.high is not None
    assert other.value is not None
    assert other.low is not None
    assert other.high is not None
    return Estimate(one.value / other.value, one.low / other.high, one.high / other.low)


def _about_equal(before: Estimate | None, after: Estimate | None) -> bool:
    if before is None or after is None or not before.value or not after.value:
        return False
    return after.value / before.value <= _FLAT


def _surely_below(one: Estimate | None, other: Estimate | None, factor: float) -> bool:
    """Whether even the widest reading of the intervals keeps one below `factor` times the other."""
    if one is None or other is None or one.high is None or not other.low:
        return False
    return one.high / other.low <= factor


def _clearly_above(one: Estimate | None, other: Estimate | None) -> bool:
    if one is None or other is None or one.low is None or other.high is None:
        return False
    return one.low > other.high


def _axis(case: CaseView, axis: str) -> float | None:
    if axis == "users":
        return case.users
    try:
        return float(case.summary.axes[axis])
    except (KeyError, ValueError):
        return None


def _load_level(case: CaseView) -> tuple[float, float]:
    return (case.users or 0, case.rate_per_s or 0.0)


def _key_without(case: CaseView, *left_out: str) -> tuple[object, ...]:
    axes = {
        "model": case.model,
        "target": case.summary.target,
        "users": case.users,
        "rate": case.rate_per_s,
        **case.summary.axes,
    }
    return (case.run, *sorted((k, str(v)) for k, v in axes.items() if k not in left_out))


def _ordinal(n: int) -> str:
    words = ("", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
    if n < len(words):
        return words[n]
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(n % 10 if n % 100 not in (11, 12, 13) else 0, "th")
    return f"{n}{suffix}"
