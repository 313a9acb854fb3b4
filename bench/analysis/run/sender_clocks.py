"""Several machines send: their latencies, and what the error of the senders' clocks does.

Latencies and speeds are measured on one clock each, the sender's, and owe nothing to the others.
Where requests of several machines are laid beside each other, each may be off by the bound that the
load found for its sender (`SenderClock.error_ns`):

* Rates and mean concurrency are sums over a measured window whose ends are off by as much; their
  intervals are widened by twice the error over the window.
* What was in flight when another request waited (slots, other load) is left out where the error is
  not small beside a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.columns import Columns, Floats, Ints, one_per_request
from bench.analysis.run.evidence import judged
from bench.analysis.run.latency import latencies
from bench.analysis.run.summary import Estimate, Metric
from bench.results.record import RequestRecord
from bench.results.records import records_of
from bench.results.run import BlockInfo, RunWarning
from bench.results.warning_codes import WarningCode
from bench.stats.quantiles import quantile_estimates

SMALL_SHARE = 0.05  # an error below this part of a typical request shifts no overlap that counts
WIDENED_SHARE = 0.005  # from here on reports say that an interval is wider by the clocks
_BY_WINDOW = ("output_tok_per_s", "request_per_s", "goodput_per_s", "in_flight")


def clock_error_s(infos: Iterable[BlockInfo]) -> float:
    """The most that a time of one sender can be off from another's; 0 with one clock."""
    several = [info.senders for info in infos if len(info.senders) > 1]
    errors = (s.clock.error_ns for senders in several for s in senders if s.clock)
    return 2 * max(errors, default=0) / 1e9


def overlaps_known(infos: Iterable[BlockInfo], ok: Columns) -> bool:
    """Whether requests of different senders can be laid beside each other."""
    error_s = clock_error_s(infos)
    took_ns = ok.end_ns - ok.sent_ns
    known = took_ns[~np.isnan(took_ns)]
    return not error_s or bool(
        len(known) and error_s <= SMALL_SHARE * float(np.median(known)) / 1e9
    )


def widened(metrics: dict[str, Metric], data: CaseData) -> dict[str, Metric]:
    """The metrics of a case, those of its windows widened by what the clocks can do."""
    share = _window_share(data)
    if not share:
        return metrics
    changed = {}
    for id in _BY_WINDOW:
        stats = dict(metrics[id].stats)
        for name, one in stats.items():
            if one.value is not None and one.low is not None and one.high is not None:
                by = share * abs(one.value)
                stats[name] = replace(one, low=max(0.0, one.low - by), high=one.high + by)
        changed[id] = replace(metrics[id], stats=stats)
    return metrics | changed


def clock_warnings(data: CaseData) -> Iterator[RunWarning]:
    """What the clocks left out or made wider."""
    share, error_ms = _window_share(data), clock_error_s(data.infos.values()) * 1e3
    bent = []
    if not overlaps_known(data.infos.values(), data.ok):
        bent.append("slots and waits for other load are left out")
    if share > WIDENED_SHARE:
        bent.append(f"intervals of rates are wider by {share:.1%}")
    if bent:
        yield RunWarning(
            WarningCode.SENDER_CLOCKS,
            f"times of different senders may be {error_ms:.2g} ms apart from each other: "
            + "; ".join(bent),
            "Longer blocks, longer answers, or senders nearer to this machine would help; see the "
            "round trips of the senders.",
        )


def _window_share(data: CaseData) -> float:
    """By what part of itself a number of the windows can be off: 2 errors over their length."""
    spent = [done.seconds for done in data.throughput.values() if done.seconds > 0]
    return clock_error_s(data.infos.values()) * len(spent) / sum(spent) if spent else 0.0


@dataclass(frozen=True, slots=True)
class SenderLatency:
    """What one sender's requests of one case took.

    Attributes:
        case: its id.
        worker: number of the sender.
        n: measured requests that ended well.
        failed: measured requests that did not.
        ttft_s, e2e_s: medians with their intervals, as of the whole case.
    """

    case: str
    worker: int
    n: int
    failed: int
    ttft_s: Estimate
    e2e_s: Estimate


def sender_latencies(
    records: Iterable[RequestRecord], case_ids: Sequence[str]
) -> list[SenderLatency]:
    """One for every case and sender, in this order."""
    read = records_of(records)
    columns = judged(read, case_ids).columns
    worker = read.columns.whole["worker"][columns.row]
    known = (columns.case >= 0) & columns.measured
    pairs = sorted(set(zip(columns.case[known].tolist(), worker[known].tolist(), strict=True)))
    return [
        _of(case_ids[c], w, columns.select(known & (columns.case == c) & (worker == w)))
        for c, w in pairs
    ]


def _of(case: str, worker: int, measured: Columns) -> SenderLatency:
    ok = measured.select(measured.ok)
    times = latencies(ok)
    ttft_s, e2e_s = (_median(times[id], ok.block) for id in ("ttft_s", "e2e_s"))
    return SenderLatency(case, worker, len(ok), len(measured) - len(ok), ttft_s, e2e_s)


def _median(values: Floats, blocks: Ints) -> Estimate:
    if not np.isfinite(values).any():
        return Estimate(None)
    sample = one_per_request(values, blocks)
    return quantile_estimates(sample.values, sample.blocks, {"p50": 0.5})["p50"]
