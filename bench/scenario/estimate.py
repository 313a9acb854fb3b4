"""How many requests a plan makes and how long it will take: always a range, never a promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.scenario.corpus import calibration_key, units_of
from bench.scenario.draws import mean
from bench.scenario.made_sessions import script
from bench.scenario.order import at_once, loaded_state
from bench.scenario.plan import Block, Case, Load, Plan
from bench.scenario.room import fitting
from bench.scenario.sessions import Step

_ALREADY_RUNNING_S = 0.3
"""What a request to a loaded model takes beside its tokens, at most: old servers look the model up
again for every request (`load_duration` of 0.1 to 0.3 s)."""
_CALIBRATION_REQUESTS = 3
_UNLOAD_S = 5.0


@dataclass(frozen=True, slots=True)
class Range:
    """From at least `low` to at most `high`, as far as the assumptions go."""

    low: float
    high: float

    def __add__(self, other: Range) -> Range:
        """Both after one another."""
        return Range(self.low + other.low, self.high + other.high)

    def __mul__(self, count: float) -> Range:
        """So many after one another."""
        return Range(self.low * count, self.high * count)


@dataclass(frozen=True, slots=True)
class Speeds:
    """What is assumed of the server. The defaults reach from a laptop's CPU to a large GPU.

    Attributes:
        prefill_tok_per_s: prompt tokens per second of one request alone.
        decode_tok_per_s: output tokens per second of one request alone.
        load_s: getting a model into memory.
    """

    prefill_tok_per_s: Range = Range(60.0, 4000.0)
    decode_tok_per_s: Range = Range(6.0, 120.0)
    load_s: Range = Range(1.0, 30.0)


@dataclass(frozen=True, slots=True)
class PlanEstimate:
    """What a plan will cost.

    Attributes:
        requests: measured requests.
        unmeasured: calibration and warm-up requests, and those that bring the load up and keep it
            up, at least.
        seconds: of the whole run.
    """

    cases: int
    blocks: int
    requests: Range
    unmeasured: int
    seconds: Range


def estimate(plan: Plan, speeds: Speeds | None = None) -> PlanEstimate:
    """Requests and duration of a plan.

    The lower end takes every user to be served at once at full speed and answers to end half-way;
    the upper end takes requests to be served one after another, and answers of full length. Without
    `speeds` the guess is wide.
    """
    speeds = speeds or Speeds()
    requests = seconds = Range(0, 0)
    unmeasured = 0
    state = ""
    costs = {case.id: session_cost(case) for case in plan.cases}
    for blocks in at_once(plan.blocks):
        spans = []
        for block in blocks:
            case = plan.case(block.case)
            if state != (state := loaded_state(case)):
                seconds += speeds.load_s
            sent, took = _block(case, block, speeds, costs[case.id])
            requests += sent
            spans.append(took)
            unmeasured += case.warmup + _around_measuring(case, block)
        seconds += Range(max(span.low for span in spans), sum(span.high for span in spans))
    calibrated = {calibration_key(case) for case in plan.cases if case.prompts.language}
    unmeasured += _CALIBRATION_REQUESTS * len(calibrated)
    return PlanEstimate(len(plan.cases), len(plan.blocks), requests, unmeasured, seconds)


def _block(
    case: Case, block: Block, speeds: Speeds, cost: SessionCost | None
) -> tuple[Range, Range]:
    """Measured requests and seconds of one block."""
    one, load = _request_s(case, speeds, cost), case.load
    if load.loop == "open":
        from bench.scenario.arrivals import arrival_offsets_ns  # numpy: only where it is needed

        offsets = arrival_offsets_ns(load, block.seed)
        sent = Range(len(offsets), len(offsets))
        last_s = float(offsets[-1]) / 1e9 if len(offsets) else 0.0
        # Arrivals beyond what the server manages wait, at worst all one after another.
        took = Range(last_s + one.low, max(last_s, sent.high * one.high) + one.high)
        took += Range(load.settle_s, load.settle_s)
    elif cost is not None and load.sessions is not None:
        # To their end: each user plays one after the other.
        rounds = -(-load.sessions // (load.users or 1))
        sent = Range(load.sessions * cost.requests, load.sessions * cost.requests)
        low = rounds * (cost.requests * one.low + cost.pause_s)
        took = Range(low, max(low, sent.high * one.high + rounds * cost.pause_s))
    else:
        sent, took = _closed(load, one)
        users = load.users or 1
        if load.ramp_up_s > 0:
            took += Range(load.ramp_up_s, load.ramp_up_s)
        elif users > 1:  # their first and last requests: all at once, or one after another
            took += Range(2 * one.low, 2 * users * one.high)
    return sent, one * case.warmup + took


def _around_measuring(case: Case, block: Block) -> int:
    """Requests that bring the load up before measuring and keep it up after, at least.

    Several users ramp up: unless the scenario says over which time, over that of one request. And
    each but one asks again while the last measured answer is awaited.
    """
    if case.load.loop == "open":
        from bench.scenario.arrivals import arrival_times  # numpy: only where it is needed

        return len(arrival_times(case.load, block.seed).settle_ns)
    users = case.load.users or 1
    ramps_up = users > 1 or case.load.ramp_up_s > 0
    return (users if ramps_up else 0) + users - 1


def _closed(load: Load, one: Range) -> tuple[Range, Range]:
    users = load.users or 1
    pause = mean(load.think_time_s) if load.think_time_s else 0.0
    # Per request of all users together: in parallel, or one after another.
    fast = max((one.low + pause) / users, 1e-6)
    slow = max(one.high, (one.high + pause) / users)
    if load.duration_s is None:
        count = load.requests or 0
        return Range(count, count), Range(-(-count // users) * (one.low + pause), count * slow)
    most = load.duration_s / fast + users
    least = max(1.0, load.duration_s / slow)
    shortest = load.duration_s
    if load.requests is not None:
        most, least = min(most, load.requests), min(least, load.requests)
        shortest = min(load.duration_s, most * fast)
    took = Range(shortest, load.duration_s + one.high * users)
    return Range(round(least), round(most)), took


def _request_s(case: Case, speeds: Speeds, cost: SessionCost | None) -> Range:
    """Seconds of one request that has the server for itself."""
    spec, tokens, output = case.prompts, 300.0, output_tokens(case)
    if spec.synthetic is not None:
        tokens = mean(spec.synthetic.input_tokens)
    elif spec.inline:
        tokens = sum(units_of(text, "en") for text in spec.inline) / len(spec.inline) + 30
    if cost is not None:
        tokens = tokens if cost.prompt_tokens is None else cost.prompt_tokens
        output = output if cost.output_tokens is None else cost.output_tokens
    low = tokens / speeds.prefill_tok_per_s.high + output / 2 / speeds.decode_tok_per_s.high
    high = tokens / speeds.prefill_tok_per_s.low + output / speeds.decode_tok_per_s.low
    one = Range(low, high + _ALREADY_RUNNING_S)
    return one + speeds.load_s + Range(0, _UNLOAD_S) if case.cold else one


def output_tokens(case: Case) -> float:
    """Of an answer, at most; a guess where nothing limits it."""
    made = case.prompts.synthetic
    if made is not None and made.output_tokens is not None:
        return max(1.0, mean(made.output_tokens))
    limit = int(case.options.get("num_predict", 128))
    return float(limit if limit > 0 else 1024)


def duration_text(seconds: Range) -> str:
    """A range of durations in words: "40 s to 3 min", in steps that claim no accuracy."""
    low, high = _rounded(seconds.low), _rounded(seconds.high)
    return f"about {low}" if low == high else f"{low} to {high}"


def _rounded(seconds: float) -> str:
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 90:
        return f"{round(seconds / 10) * 10} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.0f} h" if seconds > 36_000 else f"{seconds / 3600:.1f} h"


_SESSIONS_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class SessionCost:
    """One session, on average.

    Attributes:
        requests: of it.
        prompt_tokens, output_tokens: of one of its requests; None = not known.
        pause_s: all its pauses together.
    """

    requests: float
    prompt_tokens: float | None
    output_tokens: float | None
    pause_s: float


def session_cost(case: Case) -> SessionCost | None:
    """The sessions of a case; None = its prompts come alone."""
    made, replay, cap_s = case.prompts.made, case.prompts.replay, float("inf")
    sessions: list[Sequence[Step]] = []
    if made is not None:
        sessions = [script(made, 0, number).steps for number in range(_SESSIONS_LOOKED_AT)]
    elif replay is not None:
        from bench.scenario.session_files import played_file  # most plans replay none

        cap_s = replay.pause_cap_s
        sessions = [fitting(session, replay, case) for session in played_file(replay).sessions]
    if not sessions:
        return None
    steps = [step for session in sessions for step in session]
    return SessionCost(
        len(steps) / len(sessions),
        _mean([s.prompt_tokens for s in steps if s.prompt_tokens is not None]),
        _mean([s.output_tokens for s in steps if s.output_tokens is not None]),
        sum(min(s.gap_s or 0.0, cap_s) for s in steps) / len(sessions),
    )


def _mean(counts: Sequence[int]) -> float | None:
    return sum(counts) / len(counts) if counts else None
