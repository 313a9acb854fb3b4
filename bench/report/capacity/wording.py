"""The sentences of a capacity report: rules over its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.analysis.capacity.probe import SearchEnding
from bench.analysis.capacity.result import Bottleneck, CapacityResult, ProbeResult
from bench.analysis.capacity.users import UserModel, concurrent_users
from bench.analysis.run.summary import Estimate
from bench.report.page import Answer, Notice, Sentence, Tone
from bench.report.units import duration, plural, three_digits
from bench.thresholds import Threshold

LIMITS = {
    Bottleneck.SLOTS: "requests wait for a free slot",
    Bottleneck.PREFILL: "reading the prompts takes the time",
    Bottleneck.DECODE: "writing the answers takes the time",
    Bottleneck.SPILL: "a part of the model runs on the CPU",
    Bottleneck.ERRORS: "requests fail",
    Bottleneck.CLIENT: "this program could not keep up",
}
ADVICE = {
    Bottleneck.SLOTS: "Try more slots (OLLAMA_NUM_PARALLEL) if memory allows, or another server.",
    Bottleneck.PREFILL: "Try shorter prompts, a warm prefix, or a faster machine.",
    Bottleneck.DECODE: "Try a smaller model or quantisation, fewer slots, or a faster machine.",
    Bottleneck.SPILL: "Try a smaller context, fewer slots, a smaller quantisation until all fits.",
    Bottleneck.ERRORS: "Look at the failed requests in the run's report.",
    Bottleneck.CLIENT: "Run it on another machine than the server's, or with --workers.",
}
REQUESTS_OF_A_SEARCH = 33_000
"""What a search to its end took in simulations of eight machines, on average."""


def load_text(result: CapacityResult, load: float) -> str:
    """A load with its unit: "0.5 requests/s", "4 users"."""
    if result.by == "rate":
        return f"{three_digits(load)} requests/s"
    return plural(int(load), result.by.removesuffix("s"))


def searched_text(result: CapacityResult) -> str:
    """What a load counts."""
    return "arrivals (requests per second)" if result.by == "rate" else f"{result.by} at once"


def promises_text(promises: Sequence[Threshold]) -> str:
    """The promises in one clause."""
    return " and ".join(map(str, promises))


def capacity_answer(result: CapacityResult) -> Answer:
    """The answer, and what qualifies it."""
    first, tone = _first(result)
    more = [_range(result), _reason(result), _slots(result)]
    first = (f"{result.model} ", *first)
    return Answer("", (first, *(m for m in more if m)), model=result.model, tone=tone)


def _first(result: CapacityResult) -> tuple[Sentence, Tone]:
    promise = promises_text(result.promises)
    if result.limited_by is Bottleneck.CLIENT:
        return ("was not measured to its limit: this program could not keep up.",), "caution"
    if result.ending is SearchEnding.NEVER_PASSED:
        already = "one alone is too much"
        if result.probes:
            already = f"it broke at {load_text(result, min(p.load for p in result.probes))}"
        return (f"does not keep {promise} at any load: {already} already.",), "bad"
    if result.ending is SearchEnding.NEVER_SATURATED and result.load is not None:
        at = load_text(result, result.load)
        return (f"keeps {promise} up to {at}, the highest load tried.",), "good"
    if result.load is None:
        found = "keep" if result.high is not None or result.best is not None else "keep or break"
        ended = "was not searched to the end" if result.interrupted else "needs a longer search"
        return (f"{ended}: no load is proven to {found} {promise}.",), "caution"
    kept = f"serves {load_text(result, result.load)} within {promise}"
    if result.ending is SearchEnding.CONFIRMED and result.held and result.broke:
        return (f"{kept}; {_proofs(result, result.held, result.broke)}.",), "good"
    if result.ending is SearchEnding.RANGE:
        return (f"{kept}; the limit is known only as a range.",), "neutral"
    return (f"{kept}, at least: no load is proven to break it.",), "caution"


def _proofs(result: CapacityResult, held: float, broke: float) -> str:
    """Which loads longer probes proved to hold and to break, as the table of probes has them."""
    more = f"{broke / held - 1:.0%} more".replace("%", " %")
    if held == result.load:
        return f"a longer probe confirmed it, and {load_text(result, broke)} ({more}) broke it"
    at = f"{load_text(result, held)} held in a longer probe"
    return f"{at}, and {load_text(result, broke)} ({more}) broke"


def _range(result: CapacityResult) -> Sentence:
    """Where the limit is."""
    if result.limited_by is Bottleneck.CLIENT:
        return ()
    unit = "requests/s" if result.by == "rate" else result.by
    # Half a user is no answer.
    best, low, high = (
        None if x is None else three_digits(x) for x in (result.best, result.low, result.high)
    )
    best = best if result.by == "rate" else None
    if low and high:
        most_likely = f", most likely at {best}" if best else ""
        return (f"The limit lies between {low} and {high} {unit}{most_likely}.",)
    if not best:
        return ()
    known = f", and at {low} or above" if low else f", and at {high} or below" if high else ""
    return (f"The limit is most likely at {best} {unit}{known}.",)


def _reason(result: CapacityResult) -> Sentence:
    """Which promise breaks first, and why."""
    if result.limited_by not in LIMITS or result.limited_by is Bottleneck.CLIENT:
        return ()
    first = " first" if len(result.promises) > 1 else ""
    return (f"{result.breaks or 'The promise'} breaks{first}: {LIMITS[result.limited_by]}.",)


def _slots(result: CapacityResult) -> Sentence:
    """How many requests are worked on at once, and whether that is what was asked for."""
    seen, asked = result.slots_observed, result.slots_asked
    if seen is None:
        return ()
    least = "" if result.slots_exact else "at least "
    said = f"The server works on {least}{plural(seen, 'request')} at once"
    if not asked:
        return (f"{said}.",)
    if asked == seen:
        return (f"{said}, as it was set to.",)
    open_end = not result.slots_exact and seen < asked
    return (f"{said}{'; it' if open_end else ', though it'} was set to {asked}.",)


def people_sentence(result: CapacityResult, people: UserModel) -> str:
    """How many people the found rate serves."""
    if result.by != "rate" or result.load is None:
        return ""
    asked = f"{people.requests_per_hour:g} questions an hour, peak factor {people.peak_factor:g}"
    return f"That is {math.floor(people.users_at(result.load)):,} people, each with {asked}."


def loop_sentence(result: CapacityResult, think_s: float) -> str:
    """How many users of a closed loop make the found rate."""
    if result.by != "rate" or result.load is None or result.mean_response_s is None:
        return ""
    users = plural(
        math.floor(concurrent_users(result.load, result.mean_response_s, think_s)), "user"
    )
    return f"That is {users} who pause {think_s:g} s between answers (N = X (R + Z))."


def knee_sentence(result: CapacityResult) -> str:
    """What the sweep shows, in words."""
    levels = [x for x in result.sweep.levels if x.speed]
    if len(levels) < 2:
        return ""
    best = max(levels, key=lambda x: x.speed)
    said = f"Throughput was highest with {plural(best.users, 'user')}: "
    said += f"{three_digits(best.speed)} tok/s"
    if best.efficiency is not None and best.users > 1:
        said += f", {best.efficiency:.0%} of as many single users"
    if (knee := result.sweep.knee_users) is None:
        return f"{said}."
    return f"{said}. The knee, most throughput for its latency, is at {plural(knee, 'user')}."


def notices(result: CapacityResult) -> tuple[Notice, ...]:
    """What the reader must know."""
    again = "Do not trust the answer; see the run's report, and search again."
    notices = [Notice("invalid", why, again, invalidates=True) for why in result.invalid]
    if result.limited_by in ADVICE:
        message = f"what stands in the way of more: {LIMITS[result.limited_by]}"
        invalid = result.limited_by is Bottleneck.CLIENT
        notices.append(
            Notice("limited_by", message, ADVICE[result.limited_by], invalidates=invalid)
        )
    if result.limited_by is Bottleneck.CLIENT:
        return tuple(notices)
    if result.slots_asked and result.slots_exact and result.slots_observed != result.slots_asked:
        message = f"the server was set to {plural(result.slots_asked, 'slot')}, and works with "
        message += str(result.slots_observed)
        advice = "Ollama lowers it where memory is short, and for some models; see its log."
        notices.append(Notice("fewer_slots", message, advice))
    if result.interrupted:
        message = f"the search was interrupted after {duration(result.spent_s)} of measuring: "
        message += "what it had found is shown"
        notices.append(Notice("interrupted", message, "Run it again."))
    elif _cut_short(result):
        message = (
            f"the search used {duration(result.spent_s)} of the {duration(result.budget_s)} "
            "allowed, and the next probe would not have fitted"
        )
        notices.append(Notice("out_of_budget", message, _more_time(result)))
    return tuple(notices)


def _cut_short(result: CapacityResult) -> bool:
    late = result.ending is SearchEnding.RANGE and result.spent_s > 0.7 * result.budget_s
    return late or result.ending is SearchEnding.UNDECIDED


def _more_time(result: CapacityResult) -> str:
    """How much time a whole search would take, where that can be said."""
    advice = "Give it more time with --budget"
    rate = result.best or result.load
    if result.by != "rate" or not rate:
        return f"{advice}."
    whole = duration(REQUESTS_OF_A_SEARCH / rate)
    return f"{advice}; a search to its end takes about {whole} here."


def probe_cells(probe: ProbeResult) -> list[Estimate]:
    """The promised percentiles of a probe with their one-sided bounds."""
    return [Estimate(k.value, k.low, k.high) for k in probe.kept]


def memory_sentence(result: CapacityResult) -> str:
    """What context fits on the GPU."""
    memory = result.memory
    if memory is None or memory.tokens is None:
        return ""
    slots = result.slots_observed or 1
    return (
        f"At most {memory.tokens:,} tokens of context (num_ctx x slots) stay on the GPU: "
        f"{memory.tokens // slots:,} for each of {plural(slots, 'slot')}."
    )
