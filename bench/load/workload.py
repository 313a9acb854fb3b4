"""What each block sends: its requests, its think times, its arrivals."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bench.load.closed import ThinkTime
from bench.load.requests import RequestMaker
from bench.load.session_requests import SessionMaker
from bench.load.target import OpenTarget
from bench.load.warming import Maker
from bench.results.record import Phase
from bench.scenario.corpus import TokenRates, calibration_key, fit_calibration
from bench.scenario.draws import think_time_s
from bench.scenario.plan import Block, Case, Plan
from bench.scenario.prompts import calibration_prompts, prompt_source
from bench.wire.exchange import Outcome, Transport

if TYPE_CHECKING:
    from bench.scenario.arrivals import ArrivalTimes


@dataclass(frozen=True, slots=True)
class BlockWorkload:
    """What one block sends, and when.

    Attributes:
        make: makes the requests.
        think: pause of a user after an answer; None = none.
        arrivals: open loop: when requests, or sessions, arrive.
        sessions: makes the sessions, where users play them; `make` makes their warm-up then.
        uncalibrated: why prompts could not be made to length, "" if they could.
    """

    make: Maker
    think: ThinkTime | None = None
    arrivals: ArrivalTimes | None = None
    uncalibrated: str = ""
    sessions: SessionMaker | None = None


def workload(
    case: Case, block: Block, plan: Plan, rates: TokenRates | None, keep_text: bool = False
) -> BlockWorkload:
    """The workload of a block: a pure function of the plan and of the calibration."""
    load = case.load
    think: ThinkTime | None = None
    if load.think_time_s is not None:

        def think(user: int, answers: int) -> float:
            return think_time_s(load.think_time_s, block.seed, user, answers)

    arrivals = None
    if load.loop == "open":
        from bench.scenario.arrivals import arrival_times  # numpy: only where it is needed

        arrivals = arrival_times(load, block.seed)
    rows = {}
    if arrivals is not None and load.arrivals is not None and load.arrivals.kind == "trace":
        rows = {Phase.SETTLE: 0, Phase.HOLD: len(arrivals.measure_ns) - len(arrivals.hold_ns)}
    source = prompt_source(case, plan, rates)
    if case.in_sessions:
        sessions = SessionMaker(case, block, plan, source.rates, source, keep_text)
        return BlockWorkload(sessions.warm_up, think, arrivals, sessions=sessions)
    return BlockWorkload(RequestMaker(case, block, source, keep_text, rows), think, arrivals)


@dataclass(eq=False)
class Workloads:
    """The workloads of a plan, calibrated when a model is first loaded."""

    plan: Plan
    keep_text: bool = False
    _found: dict[tuple[str, ...], tuple[TokenRates | None, str]] = field(default_factory=dict)

    async def __call__(self, case: Case, block: Block, target: OpenTarget) -> BlockWorkload:
        """The workload of a block, whose model is loaded."""
        rates, why = await self.calibrated(case, block, target)
        made = workload(case, block, self.plan, rates, self.keep_text)
        return replace(made, uncalibrated=why)

    async def calibrated(
        self, case: Case, block: Block, target: OpenTarget
    ) -> tuple[TokenRates | None, str]:
        """What calibration found, if the case needs it; or None, and why it found nothing."""
        if not case.prompts.language:
            return None, ""
        key = calibration_key(case)
        if key not in self._found:
            self._found[key] = await calibrate(case, block, self.plan, target.transport)
        return self._found[key]


async def calibrate(
    case: Case, block: Block, plan: Plan, transport: Transport
) -> tuple[TokenRates | None, str]:
    """Send a few prompts of known length and fit a line through the counts.

    Returns:
        The rates; or None, and why there are none.
    """
    maker = RequestMaker(case, block, prompt_source(case, plan))
    lengths, counts = [], []
    for prompt in calibration_prompts(case, plan, block):
        reply = await transport.send(maker.calibration(prompt))
        if reply.outcome is not Outcome.OK:
            return None, f"calibration request failed: {reply.error or reply.outcome}"
        if reply.server.prompt_eval_count is None:
            return None, "the server did not count the prompt's tokens"
        lengths.append(prompt.units)
        counts.append(reply.server.prompt_eval_count)
    try:
        language = case.prompts.language or "en"
        return fit_calibration(lengths, counts, model=case.model, language=language), ""
    except ValueError as error:
        return None, str(error)
