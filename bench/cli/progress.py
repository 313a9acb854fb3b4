"""How far a run is: counted as it goes, shown by the view on the terminal or as plain lines."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import click

from bench.cli.planned import plan_text
from bench.ollama.exchange import Outcome
from bench.results.record import Phase, RequestRecord
from bench.results.run import BlockInfo, RunInfo, RunWarning
from bench.scenario.plan import Block, Case, Plan

_LAST = 500
_LOADING = "loading the model"
_PHASES = {Phase.WARMUP: "warm-up", Phase.RAMP_UP: "ramp-up", Phase.MEASURE: "measure"}
_ENOUGH_DONE = 0.02
"""Share of a run from which on the time left can be told from the time taken."""


@dataclass(slots=True)
class CaseProgress:
    """What the view knows of one case: counters only, cheap to keep.

    `ttft_s` holds the last few hundred values; the report has them all.

    Attributes:
        tokens, spent_s: tokens of all answers so far, and how long those took together.
        measured_s, busy_s: how long was measured, and the same times how many were in flight.
        decoded, decode_ns: tokens after the first, and the time the server took for them.
    """

    blocks: int = 0
    blocks_done: int = 0
    ok: int = 0
    failed: int = 0
    in_block: int = 0
    tokens: int = 0
    spent_s: float = 0.0
    measured_s: float = 0.0
    busy_s: float = 0.0
    decoded: int = 0
    decode_ns: int = 0
    ttft_s: deque[float] = field(default_factory=lambda: deque(maxlen=_LAST))

    def count(self, record: RequestRecord) -> None:
        """Take a measured request in."""
        self.in_block += 1
        if record.outcome is not Outcome.OK:
            self.failed += record.outcome is not Outcome.CANCELLED
            return
        self.ok += 1
        server = record.server
        if server.eval_count and record.sent_ns is not None and record.end_ns is not None:
            self.tokens += server.eval_count
            self.spent_s += (record.end_ns - record.sent_ns) / 1e9
            if server.eval_duration and server.eval_count > 1:
                self.decoded += server.eval_count - 1
                self.decode_ns += server.eval_duration
        firsts = [n for n in (record.first_thinking_ns, record.first_answer_ns) if n is not None]
        begin = record.planned_ns if record.planned_ns is not None else record.sent_ns
        if firsts and begin is not None:
            self.ttft_s.append((min(firsts) - begin) / 1e9)

    def ttft_so_far(self) -> str:
        """Median and 95 % quantile of the last requests, as they stand."""
        if not self.ttft_s:
            return "-"
        ordered = sorted(self.ttft_s)
        p50, p95 = (ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in (0.5, 0.95))
        return f"{seconds(p50)} / {seconds(p95)}"

    def throughput_so_far(self) -> str:
        """Tokens per second of all answers together, while it was measured.

        Speed of an answer times how many were in flight: answers that are not complete need not be
        known, so this is right from the first answer on.
        """
        if not self.tokens or not self.spent_s or not self.measured_s:
            return "-"
        return rate(self.tokens / self.spent_s * self.busy_s / self.measured_s)

    def speed_so_far(self) -> str:
        """Decode speed of one answer in tokens per second, over all requests so far."""
        return rate(self.decoded * 1e9 / self.decode_ns) if self.decode_ns else "-"


class Progress:
    """Follows a run; an `Observer`."""

    def __init__(self) -> None:
        self.cases: dict[str, CaseProgress] = {}
        self.in_flight = 0
        self.phase = ""
        self.block: Block | None = None
        self.blocks_done = 0
        self.plan: Plan | None = None
        self.last_error = ""
        self.stop = ""
        self.started_s = 0.0
        self._case: Case | None = None
        self._phase: Phase | None = None
        self._measuring_since = 0.0
        self._seen_s = 0.0

    def run_started(self, info: RunInfo) -> None:
        """Note what is to come."""
        self.plan = info.plan
        self.started_s = time.monotonic()
        for block in info.plan.blocks:
            self.cases.setdefault(block.case, CaseProgress()).blocks += 1

    def block_started(self, block: Block, case: Case) -> None:
        """A block begins."""
        self.block, self._case, self.phase = block, case, _LOADING
        self._phase = None
        progress = self.cases.setdefault(case.id, CaseProgress())
        progress.in_block = 0
        progress.blocks = max(progress.blocks, progress.blocks_done + 1)

    def phase_started(self, block: Block, phase: Phase) -> None:
        """A phase begins."""
        self._enter(phase)

    def request_sent(self, phase: Phase) -> None:
        """One more in flight; the first measured one ends the ramp-up."""
        self._pass_time()
        self.in_flight += 1
        if self._phase is not phase:
            self._enter(phase)

    def _enter(self, phase: Phase) -> None:
        self._phase, self.phase = phase, _PHASES[phase]
        self._measuring_since = self._seen_s = time.monotonic()

    def _pass_time(self) -> None:
        """Count the time since the last change of what is in flight, if it is measured."""
        now_s = time.monotonic()
        if self._phase is Phase.MEASURE and self._case is not None:
            case = self.cases[self._case.id]
            case.measured_s += now_s - self._seen_s
            case.busy_s += self.in_flight * (now_s - self._seen_s)
        self._seen_s = now_s

    def request_ended(self, record: RequestRecord) -> None:
        """One less in flight."""
        self._pass_time()
        self.in_flight -= 1
        if record.phase is Phase.MEASURE:
            self.cases[record.case].count(record)
        if record.outcome not in (Outcome.OK, Outcome.CANCELLED):
            self.last_error = record.error or record.outcome.value

    def block_ended(self, info: BlockInfo) -> None:
        """A block is over."""
        self.blocks_done += 1
        case = self.cases[info.case]
        case.blocks_done += 1
        case.in_block = 0
        self.phase, self._phase = "", None

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
            shares.append(self._measuring_s() / self._case.load.duration_s)
        return min(1.0, max(shares))

    def share(self, case_id: str) -> float:
        """How much of a case is done, 0 to 1."""
        case = self.cases[case_id]
        current = self.block_share() if self.is_current(case_id) else 0.0
        return min(1.0, (case.blocks_done + current) / max(1, case.blocks))

    def share_of_all(self) -> float:
        """How much of the run is done, 0 to 1."""
        return min(1.0, (self.blocks_done + self.block_share()) / max(1, self.total))

    def left_s(self) -> float | None:
        """Seconds left, if the rest goes as what is done; None while too little is."""
        done = self.share_of_all()
        if done < _ENOUGH_DONE:
            return None
        return (time.monotonic() - self.started_s) * (1 - done) / done

    def _measuring_s(self) -> float:
        return time.monotonic() - self._measuring_since


class PlainView(Progress):
    """One line when a block begins and one when it ends: for logs and pipes.

    Args:
        say: prints a line; on stderr unless given.
    """

    def __init__(self, say: Callable[[str], object] | None = None) -> None:
        super().__init__()
        self._say = say or (lambda line: click.echo(line, err=True))

    def run_started(self, info: RunInfo) -> None:
        """Say what will be run."""
        super().run_started(info)
        self._say(plan_text(info.plan))

    def block_started(self, block: Block, case: Case) -> None:
        """Say so."""
        super().block_started(block, case)
        self._say(f"block {block.index + 1}/{self.total}: {case.id}")

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


def seconds(value: float) -> str:
    """A time as people read it."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def rate(value: float) -> str:
    """Things per second, in three digits or as many as it has."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def duration(value: float) -> str:
    """A span of time as people read it."""
    if value < 90:
        return f"{max(1, round(value))} s"
    if value < 5400:
        return f"{value / 60:.0f} min"
    return f"{value / 3600:.1f} h"
