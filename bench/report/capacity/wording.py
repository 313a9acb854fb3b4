"""The sentences of a capacity report: rules over its numbers."""

from __future__ import annotations

from bench.analysis.capacity.result import CapacityResult, Limit, ProbeResult
from bench.analysis.capacity.search import Ending
from bench.analysis.capacity.users import UserModel, concurrent_users
from bench.analysis.summary import Estimate
from bench.report.page import Answer, Notice, Sentence, Tone
from bench.report.units import duration, plural, show

LIMITS = {
    Limit.SLOTS: "requests wait for a free slot",
    Limit.PREFILL: "reading the prompts takes the time",
    Limit.DECODE: "writing the answers takes the time",
    Limit.SPILL: "a part of the model runs on the CPU",
    Limit.ERRORS: "requests fail",
    Limit.CLIENT: "this program could not keep up",
}
ADVICE = {
    Limit.SLOTS: "Try more slots (OLLAMA_NUM_PARALLEL) if memory allows, or another server.",
    Limit.PREFILL: "Try shorter prompts, a warm prefix, or a faster machine.",
    Limit.DECODE: "Try a smaller model or quantisation, fewer slots, or a faster machine.",
    Limit.SPILL: "Try a smaller context, fewer slots or a smaller quantisation until all fits.",
    Limit.ERRORS: "Look at the failed requests in the run's report.",
    Limit.CLIENT: "Run it on another machine than the server's, or with --workers.",
}


def load_text(result: CapacityResult, load: float) -> str:
    """A load with its unit: "0.5 requests/s", "4 users"."""
    return plural(int(load), "user") if result.by == "users" else f"{load:.3g} requests/s"


def promises_text(result: CapacityResult) -> str:
    """The promises in one clause."""
    return " and ".join(result.promises)


def capacity_answer(result: CapacityResult) -> Answer:
    """The answer, and what qualifies it."""
    first, tone = _first(result)
    more: list[Sentence] = []
    if result.low is not None and result.high is not None:
        unit = "users" if result.by == "users" else "requests/s"
        best = f", most likely at {result.best:.3g}" if result.best is not None else ""
        more.append(
            (f"The limit lies between {result.low:.3g} and {result.high:.3g} {unit}{best}.",)
        )
    if result.breaks and result.limited_by in LIMITS:
        more.append((f"{result.breaks} breaks first: {LIMITS[result.limited_by]}.",))
    if result.slots_observed is not None:
        more.append((f"The server works on {plural(result.slots_observed, 'request')} at once.",))
    return Answer(result.model, (first, *more), model=result.model, tone=tone)


def _first(result: CapacityResult) -> tuple[Sentence, Tone]:
    promise = promises_text(result)
    if result.limited_by is Limit.CLIENT:
        return ("was not measured to its limit: this program could not keep up.",), "caution"
    if result.ending is Ending.NEVER_PASSED:
        lowest = min((p.load for p in result.probes), default=0.0)
        at = load_text(result, lowest)
        return (f"does not keep {promise} at any load: it broke at {at} already.",), "bad"
    if result.ending is Ending.NEVER_SATURATED and result.load is not None:
        at = load_text(result, result.load)
        return (f"keeps {promise} up to {at}, the highest load tried.",), "good"
    if result.load is None:
        found = "keep" if result.high is not None else "keep or break"
        return (f"needs more time: no load was found to {found} {promise}.",), "caution"
    kept = f"serves {load_text(result, result.load)} within {promise}"
    if result.ending is Ending.CONFIRMED:
        return (f"{kept}; a longer run confirmed it, and 10 % more failed.",), "good"
    if result.ending is Ending.RANGE:
        return (f"{kept}; the limit is known only as a range.",), "neutral"
    return (f"{kept}, at least: the time ran out before a load failed.",), "caution"


def people_sentence(result: CapacityResult, people: UserModel) -> str:
    """How many people the found rate serves."""
    if result.by != "rate" or result.load is None:
        return ""
    asked = f"{people.requests_per_hour:g} questions an hour, peak factor {people.peak_factor:g}"
    return f"That is {people.users_at(result.load):,.0f} people, each with {asked}."


def loop_sentence(result: CapacityResult, think_s: float) -> str:
    """How many users of a closed loop make the found rate."""
    if result.by != "rate" or result.load is None or result.mean_response_s is None:
        return ""
    users = concurrent_users(result.load, result.mean_response_s, think_s)
    return f"That is {users:.0f} users who pause {think_s:g} s between answers (N = X (R + Z))."


def notices(result: CapacityResult) -> tuple[Notice, ...]:
    """What the reader must know."""
    told = []
    if result.limited_by in ADVICE:
        message = f"what stands in the way of more: {LIMITS[result.limited_by]}"
        invalid = result.limited_by is Limit.CLIENT
        told.append(Notice("limited_by", message, ADVICE[result.limited_by], invalidates=invalid))
    if result.limited_by is Limit.CLIENT:
        return tuple(told)
    if result.ending is Ending.OUT_OF_BUDGET or (
        result.ending is Ending.RANGE and result.spent_s > 0.8 * result.budget_s
    ):
        message = (
            f"the search used {duration(result.spent_s)} of the {duration(result.budget_s)} "
            "allowed, and the next probe would not have fitted"
        )
        told.append(Notice("out_of_budget", message, "Give it more time with --budget."))
    return tuple(told)


def probe_cells(probe: ProbeResult) -> list[Estimate]:
    """The promised percentiles of a probe with their one-sided bounds."""
    return [
        Estimate(
            k.bound.value,
            k.bound.lower if k.bound.lower > float("-inf") else None,
            k.bound.upper if k.bound.upper < float("inf") else None,
        )
        for k in probe.kept
    ]


def value_text(estimate: Estimate, unit: str) -> str:
    """A promised percentile for display."""
    return show(estimate, unit).full
