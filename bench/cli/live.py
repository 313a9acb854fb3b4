"""The view of a run while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.cli.planned import plan_text
from bench.ollama.exchange import Outcome
from bench.results.record import Phase, RequestRecord
from bench.results.run import BlockInfo, RunInfo, RunWarning
from bench.scenario.plan import Block, Case, Plan

REFRESH_PER_S = 2
"""Redraws per second: each takes a few milliseconds of this process."""

_LAST = 500
_SWITCH_S = 0.0005
_PHASES = {Phase.WARMUP: "warm-up", Phase.RAMP_UP: "ramp-up", Phase.MEASURE: "measure"}


@dataclass(slots=True)
class CaseProgress:
    """What the view knows of one case: counters only, cheap to keep.

    `ttft_s` holds the last few hundred values; the report has them all.
    """

    blocks: int = 0
    blocks_done: int = 0
    ok: int = 0
    failed: int = 0
    in_block: int = 0
    tokens: int = 0
    decode_ns: int = 0
    ttft_s: deque[float] = field(default_factory=lambda: deque(maxlen=_LAST))

    def count(self, record: RequestRecord) -> None:
        """Take a measured request in."""
        self.in_block += 1
        if record.outcome is not Outcome.OK:
            self.failed += 1
            return
        self.ok += 1
        server = record.server
        if server.eval_count and server.eval_duration and server.eval_count > 1:
            self.tokens += server.eval_count - 1
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

    def speed_so_far(self) -> str:
        """Decode speed of one answer, over all requests so far."""
        return f"{self.tokens * 1e9 / self.decode_ns:.1f}" if self.decode_ns else "-"


class Progress:
    """Follows a run; an `Observer`."""

    def __init__(self) -> None:
        self.cases: dict[str, CaseProgress] = {}
        self.in_flight = 0
        self.phase = ""
        self.block: Block | None = None
        self.blocks_done = 0
        self.plan: Plan | None = None
        self.started_s = 0.0
        self._case: Case | None = None
        self._phase: Phase | None = None
        self._measuring_since = 0.0

    def run_started(self, info: RunInfo) -> None:
        """Note what is to come."""
        self.plan = info.plan
        self.started_s = time.monotonic()
        for block in info.plan.blocks:
            self.cases.setdefault(block.case, CaseProgress()).blocks += 1

    def block_started(self, block: Block, case: Case) -> None:
        """A block begins."""
        self.block, self._case, self.phase = block, case, "load"
        self._phase = None
        progress = self.cases.setdefault(case.id, CaseProgress())
        progress.in_block = 0
        progress.blocks = max(progress.blocks, progress.blocks_done + 1)

    def phase_started(self, block: Block, phase: Phase) -> None:
        """A phase begins."""
        self._enter(phase)

    def request_sent(self, phase: Phase) -> None:
        """One more in flight; the first measured one ends the ramp-up."""
        self.in_flight += 1
        if self._phase is not phase:
            self._enter(phase)

    def _enter(self, phase: Phase) -> None:
        self._phase, self.phase = phase, _PHASES[phase]
        self._measuring_since = time.monotonic()

    def request_ended(self, record: RequestRecord) -> None:
        """One less in flight."""
        self.in_flight -= 1
        if record.phase is Phase.MEASURE:
            self.cases[record.case].count(record)

    def block_ended(self, info: BlockInfo) -> None:
        """A block is over."""
        self.blocks_done += 1
        self.cases[info.case].blocks_done += 1
        self.cases[info.case].in_block = 0
        self.phase = ""

    def warned(self, warning: RunWarning) -> None:
        """Nothing to count."""

    def block_share(self) -> float:
        """How much of the current block is done, 0 to 1."""
        if self._case is None or self.phase not in ("measure", "ramp-up"):
            return 0.0
        shares = [0.0]
        wanted = requests_per_block(self._case)
        if wanted:
            shares.append(self.cases[self._case.id].in_block / wanted)
        if self._case.load.duration_s and self.phase == "measure":
            since = time.monotonic() - self._measuring_since
            shares.append(since / self._case.load.duration_s)
        return min(1.0, max(shares))

    def share(self, case_id: str) -> float:
        """How much of a case is done, 0 to 1."""
        case = self.cases[case_id]
        current = self.block_share() if self.block and self.block.case == case_id else 0.0
        return min(1.0, (case.blocks_done + current) / max(1, case.blocks))

    def left_s(self) -> float | None:
        """Seconds left, if the rest goes as what is done; None while nothing is."""
        total = sum(c.blocks for c in self.cases.values())
        done = self.blocks_done + self.block_share()
        if done < 0.02 * total or done == 0:
            return None
        return (time.monotonic() - self.started_s) * (total - done) / done


class PlainView(Progress):
    """One line when a block begins and one when it ends: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def run_started(self, info: RunInfo) -> None:
        """Say what will be run."""
        super().run_started(info)
        self._say(plan_text(info.plan))

    def block_started(self, block: Block, case: Case) -> None:
        """Say so."""
        super().block_started(block, case)
        total = sum(c.blocks for c in self.cases.values())
        self._say(f"block {block.index + 1}/{total}: {case.id}")

    def block_ended(self, info: BlockInfo) -> None:
        """Say how it went so far."""
        super().block_ended(info)
        case = self.cases[info.case]
        left = self.left_s()
        rest = f", {duration(left)} left" if left else ""
        self._say(
            f"  {case.ok} ok, {case.failed} failed, {case.speed_so_far()} tok/s, "
            f"TTFT p50/p95 {case.ttft_so_far()}{rest}"
        )

    def warned(self, warning: RunWarning) -> None:
        """Say it at once."""
        self._say(f"  warning: {warning.message}")

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class LiveView(Progress):
    """A table that is drawn anew a few times a second."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._live = Live(
            console=console,
            refresh_per_second=REFRESH_PER_S,
            get_renderable=self._draw,
            transient=True,
        )

    def run_started(self, info: RunInfo) -> None:
        """Say what will be run, and show the table from now on."""
        super().run_started(info)
        # The table is drawn by a thread: let it give way to the load after half a millisecond,
        # not five.
        sys.setswitchinterval(_SWITCH_S)
        self._live.start()
        self._live.console.print(plan_text(info.plan), highlight=False, markup=False)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The table is gone when this context ends."""
        before = sys.getswitchinterval()
        try:
            yield
        finally:
            self._live.stop()
            sys.setswitchinterval(before)

    def warned(self, warning: RunWarning) -> None:
        """Say it above the table."""
        self._live.console.print(Text(f"warning: {warning.message}", style="yellow"))

    def _draw(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, expand=False)
        for title in ("case", "", "ok", "failed", "tok/s each", "TTFT p50 / p95"):
            table.add_column(title, justify="left" if title in ("case", "") else "right")
        for case_id, case in self.cases.items():
            current = self.block is not None and self.block.case == case_id and self.phase
            table.add_row(
                Text(case_id, style="bold" if current else ""),
                ProgressBar(total=1.0, completed=self.share(case_id), width=20),
                str(case.ok),
                Text(str(case.failed), style="red" if case.failed else ""),
                case.speed_so_far(),
                case.ttft_so_far(),
            )
        return Group(table, self._foot())

    def _foot(self) -> Text:
        total = sum(c.blocks for c in self.cases.values())
        left = self.left_s()
        parts = [
            f"block {min(self.blocks_done + 1, total)}/{total}",
            self.phase or "done",
            f"{self.in_flight} in flight",
            f"{duration(left)} left" if left is not None else "time left not known yet",
        ]
        return Text("  ".join(parts), style="dim")


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


def duration(value: float) -> str:
    """A span of time as people read it."""
    if value < 90:
        return f"{max(1, round(value))} s"
    if value < 5400:
        return f"{value / 60:.0f} min"
    return f"{value / 3600:.1f} h"


def view_on(console: Console) -> tuple[LiveView | PlainView, AbstractContextManager[None]]:
    """What shows a run on a console: the observer, and the context in which it is shown."""
    if console.is_terminal and not console.quiet:
        live = LiveView(console)
        return live, live.shown()
    return PlainView(console), nullcontext()
