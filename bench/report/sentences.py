"""What one case says, in words: rules over its numbers.

A rule speaks only where the data carry what it says; otherwise it is silent (None).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bench.analysis.run.open_loop import OVERLOAD
from bench.report.model import QUEUE_FLOOR_S, SEPARATOR, CaseView
from bench.report.page import Answer, Sentence, Tone
from bench.report.roofline_words import memory
from bench.report.session_words import QUALIFIERS as SESSION_RULES
from bench.report.units import count, percent, plural, show
from bench.wire.exchange import Outcome

# Answer text this much later than the first text is worth a sentence: below, nobody waits.
_THINKING_WAIT_S: Final = 0.2
# A model with less than this on the GPU has spilled (sizes are rounded by the server).
_WHOLLY_ON_GPU: Final = 0.995
# Loading that takes so long is a cold start, whether or not the scenario asked for one.
_LOADING_S: Final = 1.0
# Prompts from this length on take a time to be read that is worth a sentence.
_LONG_PROMPT: Final = 500

_OUTCOMES: Final[dict[str, tuple[str, str]]] = {
    Outcome.HTTP_ERROR: ("HTTP error", "HTTP errors"),
    Outcome.STREAM_ERROR: ("error in the stream", "errors in the stream"),
    Outcome.ABORTED: ("answer without an end", "answers without an end"),
    Outcome.MALFORMED: ("malformed answer", "malformed answers"),
    Outcome.TIMEOUT: ("time-out", "time-outs"),
    Outcome.CONNECT_ERROR: ("failed connection", "failed connections"),
    Outcome.DISCONNECTED: ("broken connection", "broken connections"),
    Outcome.CANCELLED: ("cancelled by us", "cancelled by us"),
}

_NOTHING: Final[Sentence] = ("gave no number that its requests can support.",)
_ITS: Final = "It "
"""How a sentence begins that can stand in for the headline where that has nothing."""

Rule = Callable[[CaseView], Sentence | None]


def answer(case: CaseView) -> Answer:
    """The answer for one case: what it does, then what qualifies it."""
    first = failed(case) or headline(case)
    more = [s for rule in _QUALIFIERS if (s := rule(case)) is not None]
    instead = next((s for s in more if str(s[0]).startswith(_ITS)), None)
    if first is _NOTHING and instead is not None:
        more.remove(instead)
        first = (str(instead[0]).removeprefix(_ITS), *instead[1:])
    return Answer(case.subject, (first, *more), case.model, SEPARATOR.join(case.axes), _tone(case))


def headline(case: CaseView) -> Sentence:
    """Speed and first word; what is missing is said to be missing."""
    if case.summary.requests.ok + case.summary.requests.failed == 0:
        return ("was not measured.",)
    parts: Sentence = ()
    if speed := case.known("decode_tok_per_s"):
        several = (case.users or 1) > 1
        parts = ("writes ", show(speed, "tok/s"), " per user" if several else "")
    if first := case.known("ttft_s", "p50"):
        comma = ", " if parts else ""
        verb = "" if parts else "gives the "
        begin = "starts to think after " if thinks(case) else f"{verb}first word after "
        parts = (
            *parts,
            f"{comma}{begin}",
            show(first, "s", stat="p50"),
            " in half of the requests",
        )
    return (*parts, ".") if parts else _NOTHING


def thinks(case: CaseView) -> bool:
    """Whether any of the text was thinking."""
    return case.value("thinking_char_share") > 0


def never_answered(case: CaseView) -> Sentence | None:
    """Speaks of requests that ended well without a word of an answer."""
    silent, ok = _silent(case), plural(case.summary.requests.ok, "request")
    if not silent:
        return None
    return (f"{count(silent)} of {ok} brought thinking only: no word of an answer.",)


def _silent(case: CaseView) -> int:
    """How many requests brought text, but none of an answer."""
    first, answered = case.metric("ttft_s"), case.metric("answer_ttft_s")
    return first.n - answered.n if first and answered and thinks(case) else 0


def failed(case: CaseView) -> Sentence | None:
    """Speaks when not one request ended well."""
    counts = case.summary.requests
    if counts.ok or not counts.failed:
        return None
    n = counts.failed
    every = "its only request" if n == 1 else f"all {plural(n, 'request')}"
    return (f"failed in {every} ({_outcomes(case)}).",)


def some_failed(case: CaseView) -> Sentence | None:
    """Speaks when some requests failed, but not all."""
    counts = case.summary.requests
    if not counts.failed or not counts.ok:
        return None
    total = counts.ok + counts.failed
    return (f"{count(counts.failed)} of {plural(total, 'request')} failed ({_outcomes(case)}).",)


def _outcomes(case: CaseView) -> str:
    kinds = case.summary.requests.by_outcome
    bad = sorted((k for k in kinds if k != "ok" and kinds[k]), key=lambda k: -kinds[k])
    return ", ".join(outcome_count(k, kinds[k]) for k in bad)


def outcome_count(outcome: str, n: int) -> str:
    """How many requests ended in a way: "10 HTTP errors"."""
    one, several = _OUTCOMES.get(outcome, (outcome.replace("_", " "),) * 2)
    return f"{count(n)} {one if n == 1 else several}"


def invalid(case: CaseView) -> Sentence | None:
    """Speaks when a warning says that the numbers must not be trusted."""
    return ("These numbers are invalid: see the warnings.",) if case.invalid else None


def together(case: CaseView) -> Sentence | None:
    """Speaks of several users: what all of them get together."""
    speed = case.known("output_tok_per_s")
    if (case.users or 1) < 2 or speed is None:
        return None
    who = "Both" if case.users == 2 else f"All {case.users}"
    return (f"{who} users together get ", show(speed, "tok/s"), ".")


def kept_up(case: CaseView) -> Sentence | None:
    """Speaks of an open loop: what was asked and what was served."""
    rate, served = case.rate_per_s, case.known("request_per_s")
    if rate is None or served is None:
        return None
    whole = case.metric("e2e_s")
    said = " came and were served."
    if whole is not None and whole.note == OVERLOAD:
        said = (
            " were served: it did not keep up, so its latencies grow with the length of the block."
        )
    return (f"{rate:g} requests/s were asked for, ", show(served, "req/s"), said)


def thinking_first(case: CaseView) -> Sentence | None:
    """Speaks when readers wait for the answer noticeably longer than for the first text."""
    first, start = case.estimate("ttft_s", "p50"), case.known("answer_ttft_s", "p50")
    if first is None or first.value is None or start is None:
        return None
    if case.value("answer_ttft_s", "p50") - first.value < _THINKING_WAIT_S:
        return None
    end = ", where one came." if _silent(case) else "."
    return ("It thinks first: the answer itself starts after ", show(start, "s", stat="p50"), end)


def loading(case: CaseView) -> Sentence | None:
    """Speaks of cold starts: those asked for, and those that nobody asked for."""
    load = case.known("load_s", "p50")
    if load is None or (case.value("load_s", "p50") < _LOADING_S and not case.cold):
        return None
    return ("Loading the model takes ", show(load, "s", stat="p50"), " of each request.")


def reading(case: CaseView) -> Sentence | None:
    """Speaks of long prompts: how fast they are read."""
    speed = case.known("prefill_tok_per_s")
    if speed is None or case.value("prompt_tokens", "mean") < _LONG_PROMPT:
        return None
    return ("It reads the prompts at ", show(speed, "tok/s"), ".")


def waiting(case: CaseView) -> Sentence | None:
    """Speaks when half of the requests waited for a slot for a noticeable time."""
    queue = case.known("queue_s", "p50") if case.users != 1 else None
    if queue is None or (queue.low or 0.0) < QUEUE_FLOOR_S:
        return None
    return ("Half of the requests wait ", show(queue, "s", stat="p50"), " or longer in the queue.")


def spilled(case: CaseView) -> Sentence | None:
    """Speaks when a model that uses the GPU does not fit on it."""
    share = case.summary.identity.gpu_share
    if share is None or not 0 < share < _WHOLLY_ON_GPU:
        return None
    return (f"Only {percent(share)} of the model is on the GPU; the rest runs on the CPU.",)


def slots_differ(case: CaseView) -> Sentence | None:
    """Speaks when the server runs fewer requests at once than it was asked to."""
    asked, seen = case.slots_asked, case.summary.identity.slots_observed
    if asked is None or seen is None or seen >= asked or (case.users or 0) <= seen:
        return None
    verb = "was" if seen == 1 else "were"
    return (f"The server was set to {plural(asked, 'slot')}, {count(seen)} {verb} observed.",)


def unsteady(case: CaseView) -> Sentence | None:
    """Speaks when the numbers changed while they were being measured."""
    steadiness = case.summary.steadiness
    if steadiness.steady is not False:
        return None
    why = f": {steadiness.message}" if steadiness.message else ""
    return (f"The numbers were not steady{why}.",)


def _tone(case: CaseView) -> Tone:
    if case.summary.requests.ok == 0 or case.invalid:
        return "bad"
    doubtful = (some_failed, spilled, slots_differ, unsteady)
    return "caution" if any(rule(case) for rule in doubtful) else "neutral"


_QUALIFIERS: Final[tuple[Rule, ...]] = (
    invalid,
    some_failed,
    never_answered,
    together,
    kept_up,
    thinking_first,
    waiting,
    loading,
    reading,
    spilled,
    slots_differ,
    memory,
    *SESSION_RULES,
    unsteady,
)
