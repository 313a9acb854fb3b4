"""What each block sends: its requests, its think times, its arrivals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.load.calibrate import calibrate, calibration_key
from bench.load.closed import ThinkTime
from bench.load.measure import Maker
from bench.load.requests import RequestMaker
from bench.load.target import OpenTarget
from bench.scenario.calibration import TokenRates
from bench.scenario.draws import think_time_s
from bench.scenario.plan import Block, Case, Plan
from bench.scenario.prompts import prompt_source


@dataclass(frozen=True, slots=True)
class Workload:
    """What one block sends, and when.

    Attributes:
        make: makes the requests.
        think: pause of a user after an answer; None = none.
        arrivals_ns: open loop: when requests arrive, from the start of measuring; else empty.
        uncalibrated: why prompts could not be made to length, "" if they could.
    """

    make: Maker
    think: ThinkTime | None = None
    arrivals_ns: Sequence[int] = ()
    uncalibrated: str = ""


def workload(
    case: Case, block: Block, plan: Plan, rates: TokenRates | None, keep_text: bool = False
) -> Workload:
    """The workload of a block: a pure function of the plan and of the calibration.

    Args:
        case: of the block.
        block: of the plan.
        plan: the whole plan.
        rates: what calibration found; None = nothing.
        keep_text: keep the text of the answers.
    """
    load = case.load
    think: ThinkTime | None = None
    if load.think_time_s is not None:

        def think(user: int, answers: int) -> float:
            return think_time_s(load, block.seed, user, answers)

    arrivals: Sequence[int] = ()
    if load.loop == "open":
        from bench.scenario.arrivals import arrival_offsets_ns  # numpy: only where it is needed

        arrivals = arrival_offsets_ns(load, block.seed).tolist()
    source = prompt_source(case, plan, rates)
    return Workload(RequestMaker(case, block, source, keep_text), think, arrivals)


class Workloads:
    """The workloads of a plan, calibrated when a model is first loaded."""

    def __init__(self, plan: Plan, keep_text: bool = False) -> None:
        self._plan = plan
        self._keep_text = keep_text
        self._found: dict[tuple[str, ...], tuple[TokenRates | None, str]] = {}

    async def __call__(self, case: Case, block: Block, target: OpenTarget) -> Workload:
        """The workload of a block, whose model is loaded."""
        rates, why = await self.calibrated(case, block, target)
        made = workload(case, block, self._plan, rates, self._keep_text)
        return replace(made, uncalibrated=why)

    async def calibrated(
        self, case: Case, block: Block, target: OpenTarget
    ) -> tuple[TokenRates | None, str]:
        """What calibration found, if the case needs it; or None, and why it found nothing."""
        if case.prompts.synthetic is None:
            return None, ""
        key = calibration_key(case)
        if key not in self._found:
            self._found[key] = await calibrate(case, block, self._plan, target.transport)
        return self._found[key]
