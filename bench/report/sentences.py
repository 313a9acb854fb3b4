"""What one case says, in words: rules over its numbers.

A rule speaks only where the data carry what it says; otherwise it is silent (None).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bench.analysis.run.open_loop import OVERLOAD
from bench.report.model import SEPARATOR, CaseView
from bench.report.page import Answer, Sentence, Tone
from bench.report.roofline_words import memory
from bench.report.session_words import QUALIFIERS as SESSION_RULES
from bench.report.units import count, percent, plural, show, supported
from bench.wire.exchange import Outcome

# Answer text this much later than the first text is worth a sentence: below, nobody waits.
_THINKING_WAIT_S: Final = 0.2
# A model with less than this on the GPU has spilled (sizes are rounded by the server).
_WHOLLY_ON_GPU: Final = 0.995
# Queueing below this is bookkeeping of the server, not waiting for a slot.
_QUEUE_FLOOR_S: Final = 0.05
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
    parts = (
        *(_speed(case) or ()),
        *_joined(_speed(case) is not None, _first_word(case), thinks(case)),
    )
    if not parts:
        return _NOTHING
    return (*parts, ".")


def _joined(after_speed: bool, first: Sentence | None, thinks: bool) -> Sentence:
    if first is None:
        return ()
    if thinks:
        return (", starts to think after " if after_speed else "starts to think after ", *first)
    return (", first word after " if after_speed else "gives the first word after ", *first)


def _speed(case: CaseView) -> Sentence | None:
    shown = show(case.estimate("decode_tok_per_s"), "tok/s")
    if shown.raw is None:
        return None
    return ("writes ", shown, " per user") if (case.users or 1) > 1 else ("writes ", shown)


def thinks(case: CaseView) -> bool:
    """Whether any of the text was thinking."""
    share = case.estimate("thinking_char_share")
    return share is not None and bool(share.value)


def never_answered(case: CaseView) -> Sentence | None:
    """Speaks of requests that ended well without a word of an answer."""
    silent = _silent(case)
    if not silent:
        return None
    ok = plural(case.summary.requests.ok, "request")
    return (f"{count(silent)} of {ok} brought thinking only: no word of an answer.",)


def _silent(case: CaseView) -> int:
    """How many requests brought text, but none of an answer."""
    first, answered = case.metric("ttft_s"), case.metric("answer_ttft_s")
    return first.n - answered.n if first and answered and thinks(case) else 0


def _first_word(case: CaseView) -> Sentence | None:
    shown = show(case.estimate("ttft_s", "p50"), "s", stat="p50")
    return None if shown.raw is None else (shown, " in half of the requests")


def failed(case: CaseView) -> Sentence | None:
    """Speaks when not one request ended well."""
    counts = case.summary.requests
    if counts.ok or not counts.failed:
        return None
    return (f"failed in {_all(counts.failed)} ({_outcomes(case)}).",)


def _all(n: int) -> str:
    return "its only request" if n == 1 else f"all {plural(n, 'request')}"


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
    shown = show(case.estimate("output_tok_per_s"), "tok/s")
    if (case.users or 1) < 2 or shown.raw is None:
        return None
    who = "Both" if case.users == 2 else f"All {case.users}"
    return (f"{who} users together get ", shown, ".")


def kept_up(case: CaseView) -> Sentence | None:
    """Speaks of an open loop: what was asked and what was served."""
    rate, served = case.rate_per_s, show(case.estimate("request_per_s"), "req/s")
    if rate is None or served.raw is None:
        return None
    whole = case.metric("e2e_s")
    if whole is not None and whole.note == OVERLOAD:
        so = "it did not keep up, so its latencies grow with the length of the block."
        return (f"{rate:g} requests/s were asked for, ", served, f" were served: {so}")
    return (f"{rate:g} requests/s were asked for, ", served, " came and were served.")


def thinking_first(case: CaseView) -> Sentence | None:
    """Speaks when readers wait for the answer noticeably longer than for the first text."""
    first = case.estimate("ttft_s", "p50")
    start = case.estimate("answer_ttft_s", "p50")
    if first is None or start is None or first.value is None or start.value is None:
        return None
    if not supported(start, "p50") or start.value - first.value < _THINKING_WAIT_S:
        return None
    end = ", where one came." if _silent(case) else "."
    return ("It thinks first: the answer itself starts after ", show(start, "s", stat="p50"), end)


def loading(case: CaseView) -> Sentence | None:
    """Speaks of cold starts: those asked for, and those that nobody asked for."""
    load = case.estimate("load_s", "p50")
    if load is None or load.value is None or not supported(load, "p50"):
        return None
    if load.value < _LOADING_S and not case.cold:
        return None
    return ("Loading the model takes ", show(load, "s", stat="p50"), " of each request.")


def reading(case: CaseView) -> Sentence | None:
    """Speaks of long prompts: how fast they are read."""
    speed, length = case.estimate("prefill_tok_per_s"), case.estimate("prompt_tokens", "mean")
    if speed is None or length is None or (length.value or 0) < _LONG_PROMPT:
        return None
    shown = show(speed, "tok/s")
    return None if shown.raw is None else ("It reads the prompts at ", shown, ".")


def waiting(case: CaseView) -> Sentence | None:
    """Speaks when half of the requests waited for a slot for a noticeable time."""
    queue = case.estimate("queue_s", "p50") if case.users != 1 else None
    if queue is None or queue.value is None or queue.low is None or queue.low < _QUEUE_FLOOR_S:
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
