"""Who sent what from where, and how far each sender can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.analysis.run.sender_clocks import SenderLatency, sender_latencies
from bench.report.model import Report, RunView
from bench.report.tables import Table, estimate_column, from_columns, number_column, text_column
from bench.report.units import number
from bench.results.run import SenderClock, SenderInfo

_NOTE = (
    "Latencies are of each sender's own requests, on its own clock. To the server: shortest time "
    "to open a connection. To this machine: shortest round trip between the sender and the machine "
    "that ran ollama-bench. The drift of its clock is corrected; clock error is the most that a "
    "corrected time can be off by."
)


@dataclass(frozen=True, slots=True)
class _SenderRow:
    """One sender in one case; `senders` has it once a block."""

    case: str
    latency: SenderLatency
    senders: tuple[SenderInfo, ...]

    @property
    def name(self) -> str:
        names = ", ".join(dict.fromkeys(s.name for s in self.senders if s.name))
        return f"{self.latency.worker + 1}: {names or 'this machine'}"

    def worst(self, name: str) -> float | None:
        """The largest of a number that each block's health says."""
        values = (getattr(s.health, name) for s in self.senders)
        return max((v for v in values if v is not None), default=None)

    @property
    def stamps(self) -> str:
        return ", ".join(dict.fromkeys(s.transport for s in self.senders if s.transport))

    @property
    def clocks(self) -> tuple[SenderClock, ...]:
        return tuple(s.clock for s in self.senders if s.clock is not None)

    @property
    def drift(self) -> str:
        """As it was known best, in parts per million."""
        known = [c for c in self.clocks if c.drift_error_ppm is not None]
        if not known:
            return ""
        best = min(known, key=lambda c: c.drift_error_ppm or 0.0)
        return f"{number(best.drift_ppm, 0)} ± {number(best.drift_error_ppm or 0.0, 0)}"


def sender_table(report: Report) -> Table | None:
    """One row for every case and sender; None where one process of this machine sent all."""
    rows = [row for number, view in enumerate(report.runs) for row in _rows(report, number, view)]
    if not rows:
        return None
    several = len({r.case for r in rows}) > 1
    to_server = [_least(s.server_rtt_ns for s in r.senders) for r in rows]
    errors = [max((c.error_ns / 1e9 for c in r.clocks), default=None) for r in rows]
    columns = [
        text_column("Sender", [r.name for r in rows]),
        text_column("Case", [r.case if several else "" for r in rows]),
        text_column("Requests", [r.latency.n for r in rows]),
        text_column("Failed", [r.latency.failed or None for r in rows]),
        estimate_column("First text, p50", "s", [r.latency.ttft_s for r in rows], "p50"),
        estimate_column("Whole answer, p50", "s", [r.latency.e2e_s for r in rows], "p50"),
        number_column("To the server", "s", to_server),
        number_column("To this machine", "s", [_least(c.rtt_ns for c in r.clocks) for r in rows]),
        text_column("Clock drift (ppm)", [r.drift for r in rows]),
        number_column("Clock error", "s", errors),
        number_column("Sent late p99", "ms", [r.worst("send_late_p99_ms") for r in rows]),
        number_column("Event-loop lag p99", "ms", [r.worst("loop_lag_p99_ms") for r in rows]),
        number_column("Client CPU", "share", [r.worst("cpu_share") for r in rows]),
        text_column("Stamps", [r.stamps for r in rows]),
    ]
    return from_columns("senders", "Senders: who sent what, and how well", columns, note=_NOTE)


def _rows(report: Report, number: int, view: RunView) -> Iterator[_SenderRow]:
    info = view.run.info
    if not any(block.senders for block in info.blocks):
        return
    for one in sender_latencies(view.run.records, [case.id for case in info.plan.cases]):
        blocks = [b for b in info.blocks if b.case == one.case]
        senders = tuple(s for b in blocks for s in b.senders if s.number == one.worker)
        if senders:
            yield _SenderRow(report.case_label(number, one.case), one, senders)


def _least(values_ns: Iterable[int | None]) -> float | None:
    return min((v / 1e9 for v in values_ns if v is not None), default=None)
