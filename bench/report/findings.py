"""What several cases say together, in words: rules over groups of cases.

A rule speaks only where the intervals carry what it says; otherwise it is silent.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from bench.analysis.comparison.verdict_rule import RATE_SIZES
from bench.analysis.run.summary import Estimate
from bench.report.model import QUEUE_FLOOR_S, CaseView, Report
from bench.report.page import Answer, Sentence
from bench.report.ratios import ratio
from bench.report.roofline_words import size_findings
from bench.report.sentences import outcome_count
from bench.report.session_words import cache_loss, neighbours
from bench.report.units import count, percent, plural, show

# Speeds this close count as equal: half of it would be ignored, all of it must be caught.
_EQUAL: Final = RATE_SIZES.catch
# Adding users beyond the slots must gain less than this in throughput to be called saturated.
_FLAT: Final = 1.10
# "No more" needs intervals that rule out a gain of this factor.
_GAIN_WORTH_IT: Final = 1.25
# Prompts whose mean lengths differ by this factor make a sweep over context depth.
_DEPTHS_DIFFER: Final = 1.5
_DIGITS: Final = re.compile(r"\d[\d.,]*")
_ORDINALS: Final = (
    *("zeroth", "first", "second", "third", "fourth"),
    *("fifth", "sixth", "seventh", "eighth"),
)


def findings(report: Report) -> tuple[Answer, ...]:
    """Everything that only several cases together can say; of invalid ones nothing is said."""
    found = [failures(report)] if any(c.summary.requests.failed for c in report.cases) else []
    found += _each(same_load(report), fastest, of_model=False)
    found += _each(sweeps(report, "users"), saturation)
    found += _each(sweeps(report, "users"), cache_loss)
    found += _each(depth_groups(report), depth)
    return (*found, *neighbours(report), *size_findings(report))


def failures(report: Report) -> Answer:
    """How many requests failed, of what, and where most of them did."""
    counts = [c.summary.requests for c in report.cases]
    failed, total = sum(r.failed for r in counts), sum(r.ok + r.failed for r in counts)
    kinds: Counter[str] = Counter()
    for r in counts:
        kinds.update({k: n for k, n in r.by_outcome.items() if k != "ok" and n})
    said = ", ".join(outcome_count(k, n) for k, n in kinds.most_common())
    worst = max(report.cases, key=lambda c: c.summary.requests.failed)
    most = worst.summary.requests
    where = f" Most with {worst.label}: {count(most.failed)} of {count(most.ok + most.failed)}."
    where = where if len(report.cases) > 1 else ""
    verb = "" if total == 1 else f"{count(failed)} of "
    return Answer("", ((f"{verb}{plural(total, 'request')} failed: {said}.{where}",),), tone="bad")


def _each(
    groups: Iterable[list[CaseView]],
    rule: Callable[[Sequence[CaseView]], Sentence | None],
    *,
    of_model: bool = True,
) -> Iterator[Answer]:
    """What a rule says of each valid group; what it says of several in the same words, once."""
    same: dict[tuple[str, str], list[Sentence]] = {}
    for group in groups:
        if not any(case.invalid for case in group) and (said := rule(group)):
            wording = _DIGITS.sub("#", "".join(p for p in said if isinstance(p, str)))
            model = group[0].model if of_model else ""
            wording = wording.replace(_DIGITS.sub("#", _setting(group)), "")
            same.setdefault((model, wording), []).append(said)
    for (model, _), (first, *others) in same.items():
        more = (f"The same holds in {plural(len(others), 'other setting')}.",)
        yield Answer("", (first, more) if others else (first,), model)


def _setting(group: Sequence[CaseView]) -> str:
    """What all cases of a group share, besides model and run: " with 500 input tokens"."""
    shared = [a for a in group[0].axes if f"({a})" not in group[0].who]
    shared = [a for a in shared if all(a in c.axes for c in group)]
    return f" with {', '.join(shared)}" if shared else ""


def sweeps(report: Report, axis: str) -> Iterator[list[CaseView]]:
    """Cases that differ in one axis alone, in its order; groups of two or more."""
    known = [c for c in report.cases if _axis(c, axis) is not None]
    for group in _groups(known, lambda c: key_without(c, axis)):
        if len(group) > 1:
            yield sorted(group, key=lambda c: _axis(c, axis) or 0.0)


def same_load(report: Report) -> Iterator[list[CaseView]]:
    """Cases that differ in the model alone, at the lowest load of their sweep; two or more."""
    for group in _groups(report.cases, lambda c: key_without(c, "model", "users", "rate")):
        lowest = min(_load_level(c) for c in group)
        at_lowest = [c for c in group if _load_level(c) == lowest]
        if len({c.model for c in at_lowest}) > 1:
            yield at_lowest


def depth_groups(report: Report) -> Iterator[list[CaseView]]:
    """Cases of one model at one load whose prompts differ clearly in length, shortest first.

    A part of a mix counts alone: beside others it is slowed by them.
    """
    alone = [c for c in report.cases if c.summary.axes.get("mix") != "together"]
    known = [c for c in alone if prompt_length(c)]
    for group in _groups(known, lambda c: (c.run, c.model, c.summary.target, *_load_level(c))):
        group.sort(key=lambda c: prompt_length(c) or 0.0)
        shortest, longest = prompt_length(group[0]), prompt_length(group[-1])
        if shortest and longest and longest / shortest >= _DEPTHS_DIFFER:
            yield group


def prompt_length(case: CaseView) -> float | None:
    """Mean tokens of a case's prompts; None if the server did not say."""
    mean = case.estimate("prompt_tokens", "mean")
    return mean.value if mean else None


def depth(group: Sequence[CaseView]) -> Sentence | None:
    """How decode speed falls with the context, the shortest first, where the intervals separate."""
    first, last = group[0], group[-1]
    before, after = (c.estimate("decode_tok_per_s") for c in (first, last))
    if not _clearly_above(before, after):
        return None
    short, long = (count(round(prompt_length(c) or 0)) for c in (first, last))
    begin, then = f"{first.who}{_setting(group)} slows from ", f" with {short} prompt tokens to "
    return (begin, show(before, "tok/s"), then, show(after, "tok/s"), f" with {long}.")


def saturation(group: Sequence[CaseView]) -> Sentence | None:
    """Where more users stop helping, and why; of cases that differ only in their users."""
    if len(group) < 2:
        return None
    return _full_slots(group) or _no_gain(group) or _still_gains(group)


def _full_slots(group: Sequence[CaseView]) -> Sentence | None:
    """Speaks when requests beyond the observed slots wait and bring no more throughput."""
    slots = max(c.summary.identity.slots_observed or 0 for c in group)
    within = [c for c in group if (c.users or 0) <= slots]
    beyond = [c for c in group if (c.users or 0) > slots]
    if not slots or not within or not beyond:
        return None
    queue = beyond[-1].known("queue_s", "p50")
    if queue is None or (queue.low or 0.0) < QUEUE_FLOOR_S:
        return None
    before, after = (c.estimate("output_tok_per_s") for c in (within[-1], beyond[-1]))
    if not _about_equal(before, after):
        return None
    return (
        f"{group[0].who}{_setting(group)} saturates at {plural(slots, 'user')}: the server runs "
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
    begin = f"{first.who}{_setting(group)} writes no more in all with {last.users} users ("
    than = f") than with {first.users} ("
    return (begin, show(after, "tok/s"), than, show(before, "tok/s"), ").")


def _still_gains(group: Sequence[CaseView]) -> Sentence | None:
    """Speaks when the highest level measured still brought clearly more throughput."""
    before, after = (c.estimate("output_tok_per_s") for c in (group[-2], group[-1]))
    if not _clearly_above(after, before):
        return None
    begin = f"{group[0].who}{_setting(group)} still gains throughput from {group[-2].users} to "
    begin += f"{group[-1].users} users ("
    end = "): no saturation within the measured levels."
    return (begin, show(before, "tok/s"), " to ", show(after, "tok/s"), end)


def fastest(group: Sequence[CaseView]) -> Sentence | None:
    """Which model writes fastest, where the intervals separate; said to be open where not."""
    with_decode = [(c, e) for c in group if (e := c.estimate("decode_tok_per_s")) and e.value]
    if len(with_decode) < 2:
        return None
    with_decode.sort(key=lambda pair: -(pair[1].value or 0.0))
    (best, top), (second, next_best), *_ = with_decode
    between = ratio(top, next_best)
    if best.model == second.model or between is None:
        return None
    assert between.low is not None
    assert between.high is not None
    if between.low <= 1:
        # Intervals that overlap are no evidence of equality: the whole range must lie within what
        # counts as equal. As a range of the ratio it is wider than two one-sided tests ask for.
        if between.low > 1 / (1 + _EQUAL) and between.high < 1 + _EQUAL:
            return (f"{best.who} and {second.who} write equally fast to within {percent(_EQUAL)}.",)
        return (
            f"Whether {best.who} or {second.who} writes faster is open: the ratio is ",
            show(between, ""),
            ". An interleaved comparison (`ollama-bench ab`) can tell.",
        )
    load = f" with {plural(best.users or 1, 'user')}" if (best.users or 1) > 1 else ""
    return (f"{best.who} writes ", show(between, ""), f" times as fast as {second.who}{load}.")


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


def _groups(
    cases: Iterable[CaseView], key: Callable[[CaseView], tuple[object, ...]]
) -> Iterable[list[CaseView]]:
    groups: dict[tuple[object, ...], list[CaseView]] = {}
    for case in cases:
        groups.setdefault(key(case), []).append(case)
    return groups.values()


def key_without(case: CaseView, *left_out: str) -> tuple[object, ...]:
    """Equal for cases of a run that differ in these axes alone."""
    load = {"users": case.users, "rate": case.rate_per_s}
    axes = {"model": case.model, "target": case.summary.target, **load, **case.summary.axes}
    return (case.run, *sorted((k, str(v)) for k, v in axes.items() if k not in left_out))


def _ordinal(n: int) -> str:
    if n < len(_ORDINALS):
        return _ORDINALS[n]
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(n % 10 if n % 100 not in (11, 12, 13) else 0, "th")
    return f"{n}{suffix}"
