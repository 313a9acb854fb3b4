"""How far a run is: counted as it goes, shown by the view on the terminal or as plain lines."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.cli import output
from bench.cli.case_progress import CaseProgress, get_ready, progress_of
from bench.cli.planned import plan_text
from bench.results.record import Phase, RequestRecord
from bench.results.run import BlockInfo, RunInfo, RunWarning
from bench.scenario.plan import Block, Case, Plan
from bench.wire.exchange import Outcome

_LOADING = "loading the model"
_PHASES = {
    Phase.WARMUP: "warm-up",
    Phase.RAMP_UP: "ramp-up",
    Phase.SETTLE: "settle",
    Phase.MEASURE: "measure",
    Phase.HOLD: "hold",
}
_ENOUGH_DONE = 0.02
"""Share of a run from which on the time left can be estimated from the time taken."""


class Progress:
    """Follows a run; an `Observer`."""

    def __init__(self) -> None:
        self.cases: dict[str, CaseProgress] = {}
        self.in_flight = 0
        self.phase = ""
        self.block: Block | None = None
        self.blocks_done = 0
        self.plan: Plan | None = None
        self.places: tuple[int, int] | None = None
        self.last_error = ""
        self.stop = ""
        self.started_s = 0.0
        self._case: Case | None = None
        self._phase: Phase | None = None
        self._measuring_since = 0.0
        self._seen_s = 0.0
        self._ready = False

    def run_started(self, info: RunInfo) -> None:
        """Note what is to come."""
        self.plan = info.plan
        self.started_s = time.monotonic()
        cases = {case.id: case for case in info.plan.cases}
        for block in info.plan.blocks:
            of_case = progress_of(cases.get(block.case))
            self.cases.setdefault(block.case, of_case).blocks += 1

    def block_started(self, block: Block, case: Case) -> None:
        """A block begins."""
        self.block, self._case, self.phase = block, case, _LOADING
        self._phase = None
        progress = self.cases.setdefault(case.id, progress_of(case))
        progress.begin_block()
        progress.blocks = max(progress.blocks, progress.blocks_done + 1)

    def phase_started(self, block: Block, phase: Phase) -> None:
        """A phase begins."""
        if phase is Phase.MEASURE:
            self._get_ready()
        self._enter(phase)

    def request_sent(self, phase: Phase) -> None:
        """One more in flight; the first measured one ends the ramp-up."""
        self._pass_time()
        self.in_flight += 1
        # Requests that only keep the load up come between the last measured ones.
        if phase not in (self._phase, Phase.HOLD):
            self._enter(phase)

    def _enter(self, phase: Phase) -> None:
        self._phase, self.phase = phase, _PHASES[phase]
        self._measuring_since = self._seen_s = time.monotonic()

    def _pass_time(self) -> None:
        """Count the time since the last change of what is in flight, if it is measured."""
        now_s = time.monotonic()
        if self._phase is Phase.MEASURE and self._case is not None:
            self.cases[self._case.id].pass_time(now_s - self._seen_s, self.in_flight)
        self._seen_s = now_s

    def request_ended(self, record: RequestRecord) -> None:
        """One less in flight."""
        self._pass_time()
        self.in_flight -= 1
        if record.phase is not Phase.MEASURE:
            self._get_ready()
        self.cases[record.case].count(record)
        if record.outcome not in (Outcome.OK, Outcome.CANCELLED):
            self.last_error = record.error or record.outcome.value

    def _get_ready(self) -> None:
        """Once, when the first request that is not measured ends, or before the first that is."""
        if not self._ready:
            self._ready = True
            get_ready()

    def block_ended(self, info: BlockInfo) -> None:
        """A block is over."""
        self.blocks_done += 1
        case = self.cases[info.case]
        case.end_block(info)
        self.phase, self._phase = "", None

    def place_asked(self, label: str, done: int, total: int) -> None:
        """After the blocks: one more answer about fidelity."""
        if not self.places:
            self.started_s = time.monotonic()
        self.places = done, total
        self.block = None
        self.phase = f"fidelity: {label}, {done} of {total} places"

    def warned(self, warning: RunWarning) -> None:
        """Nothing to count."""

    def stopping(self, at_once: bool) -> None:
        """Say what happens now."""
        waiting = "waiting for the answers under way; Ctrl-C again ends them now"
        self.stop = f"stopping: {'ending what is under way' if at_once else waiting}"

    @property
    def total(self) -> int:
        """Blocks of the plan, as it stands now."""
        return sum(c.blocks for c in self.cases.values())

    def is_current(self, case_id: str) -> bool:
        """Whether a block of this case is running."""
        return bool(self.phase) and self.block is not None and self.block.case == case_id

    def block_share(self) -> float:
        """How much of the current block is done, 0 to 1."""
        if self._case is None or self._phase not in (Phase.MEASURE, Phase.RAMP_UP):
            return 0.0
        shares = [0.0]
        wanted = requests_per_block(self._case)
        if wanted:
            shares.append(self.cases[self._case.id].in_block / wanted)
        if self._case.load.duration_s and self._phase is Phase.MEASURE:
            measuring_s = time.monotonic() - self._measuring_since
            shares.append(measuring_s / self._case.load.duration_s)
        return min(1.0, max(shares))

    def share(self, case_id: str) -> float:
        """How much of a case is done, 0 to 1."""
        case = self.cases[case_id]
        current = self.block_share() if self.is_current(case_id) else 0.0
        return min(1.0, (case.blocks_done + current) / max(1, case.blocks))

    def share_of_all(self) -> float:
        """How much of the run is done, 0 to 1; once its blocks have run, of what comes then."""
        if self.places:
            return self.places[0] / self.places[1]
        return min(1.0, (self.blocks_done + self.block_share()) / max(1, self.total))

    def left_s(self) -> float | None:
        """Seconds left, if the rest goes as what is done; None while too little is."""
        done = self.share_of_all()
        if done < _ENOUGH_DONE:
            return None
        return (time.monotonic() - self.started_s) * (1 - done) / done


class PlainView(Progress):
    """A line when a block begins and one when it ends, for logs and pipes; on stderr by default."""

    def __init__(self, say: Callable[[str], object] | None = None) -> None:
        super().__init__()
        self._say = say or output.say
        self._label = ""

    def run_started(self, info: RunInfo) -> None:
        """Say what will be run."""
        super().run_started(info)
        self._say(plan_text(info.plan))

    def place_asked(self, label: str, done: int, total: int) -> None:
        """Say which model it is about."""
        super().place_asked(label, done, total)
        if label != self._label:
            self._label = label
            self._say(self.phase)

    def block_started(self, block: Block, case: Case) -> None:
        """Say so."""
        super().block_started(block, case)
        self._say(f"block {block.number}/{self.total}: {case.id}")

    def block_ended(self, info: BlockInfo) -> None:
        """Say how it went so far."""
        super().block_ended(info)
        case = self.cases[info.case]
        left = self.left_s()
        rest = f", {duration(left)} left" if left else ""
        self._say(
            f"  {case.ok} ok, {case.failed} failed, {case.speed_so_far()} tok/s each, "
            f"{case.throughput_so_far()} tok/s in all, TTFT p50/p95 {case.ttft_so_far()}{rest}"
        )

    def warned(self, warning: RunWarning) -> None:
        """Say it at once."""
        self._say(f"  warning: {warning.message}")

    def stopping(self, at_once: bool) -> None:
        """Say it at once."""
        super().stopping(at_once)
        self._say(self.stop)


def requests_per_block(case: Case) -> float | None:
    """Measured requests of one block; None where only the server's speed decides."""
    load = case.load
    if load.loop == "closed":
        return load.requests
    expected = None
    if load.duration_s is not None and load.rate_per_s is not None:
        expected = load.duration_s * load.rate_per_s
    if load.arrivals is not None and load.arrivals.times_s:
        expected = len(load.arrivals.times_s)
    limits = [n for n in (load.requests, expected) if n is not None]
    return min(limits) if limits else None


def duration(value: float) -> str:
    """A span of time as people read it."""
    if value < 90:
        return f"{max(1, round(value))} s"
    if value < 5400:
        return f"{value / 60:.0f} min"
    return f"{value / 3600:.1f} h"
