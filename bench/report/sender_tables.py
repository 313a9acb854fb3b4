"""Who sent what from where, and how far each sender can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from bench.analysis.run.sender_latency import SenderLatency, sender_latencies
from bench.report.model import Report, RunView
from bench.report.tables import Table, estimate_column, from_columns, number_column, text_column
from bench.results.run import ClientHealth, SenderClock, SenderInfo

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

    @property
    def health(self) -> tuple[ClientHealth, ...]:
        return tuple(s.health for s in self.senders)

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
        return f"{best.drift_ppm:.0f} ± {best.drift_error_ppm:.0f}".replace("-", "\N{MINUS SIGN}")


def sender_table(report: Report) -> Table | None:
    """One row for every case and sender; None where one process of this machine sent all."""
    rows = [row for number, view in enumerate(report.runs) for row in _rows(report, number, view)]
    if not rows:
        return None
    columns = [
        text_column("Sender", [r.name for r in rows]),
        text_column("Case", [r.case for r in rows] if _several(rows) else [""] * len(rows)),
        text_column("Requests", [r.latency.n for r in rows]),
        text_column("Failed", [r.latency.failed or None for r in rows]),
        estimate_column("First text, p50", "s", [r.latency.ttft_s for r in rows], "p50"),
        estimate_column("Whole answer, p50", "s", [r.latency.e2e_s for r in rows], "p50"),
        number_column("To the server", "s", [_least(_server_ns(r)) for r in rows]),
        number_column("To this machine", "s", [_least(c.rtt_ns for c in r.clocks) for r in rows]),
        text_column("Clock drift (ppm)", [r.drift for r in rows]),
        number_column("Clock error", "s", [_most(c.error_ns for c in r.clocks) for r in rows]),
        number_column("Sent late p99", "ms", [_late(r) for r in rows]),
        number_column("Event-loop lag p99", "ms", [_lag(r) for r in rows]),
        number_column("Client CPU", "share", [_cpu(r) for r in rows]),
        text_column("Stamps", [_stamps(r) for r in rows]),
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


def _several(rows: list[_SenderRow]) -> bool:
    return len(list(groupby(rows, key=lambda r: r.case))) > 1


def _server_ns(row: _SenderRow) -> Iterator[int]:
    return (s.server_rtt_ns for s in row.senders if s.server_rtt_ns is not None)


def _late(row: _SenderRow) -> float | None:
    return _worst(h.send_late_p99_ms for h in row.health)


def _lag(row: _SenderRow) -> float | None:
    return _worst(h.loop_lag_p99_ms for h in row.health)


def _cpu(row: _SenderRow) -> float | None:
    return _worst(h.cpu_share for h in row.health)


def _stamps(row: _SenderRow) -> str:
    return ", ".join(dict.fromkeys(s.transport for s in row.senders if s.transport))


def _worst(values: Iterable[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)


def _least(values_ns: Iterable[int]) -> float | None:
    return min((v / 1e9 for v in values_ns), default=None)


def _most(values_ns: Iterable[int]) -> float | None:
    return max((v / 1e9 for v in values_ns), default=None)
