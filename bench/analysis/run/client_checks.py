"""Did the client itself move a reported number by more than the number's interval?

What the client did wrong is known: how late it sent, how late it read, how long its users idled
between an answer and their next request. From that follows how far each number can have been moved.
A number that was moved by more than half the width of its 95 % interval lies about its own
uncertainty, and the run is invalid.

Users of a closed loop: every client needs a moment to read an answer and to ask again, some tenths
of a millisecond, which is nothing beside a chat and a few percent of an embedding of 10 ms. Users
who asked at once would get up to that share more; whether they would depends on the server (one
that is never idle gives no more). So the intervals of rates reach that much higher. Beyond
`MOST_SHARE` the load was another one than the plan's, and the run is invalid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.columns import Floats, seconds
from bench.analysis.run.gaps import Gaps
from bench.analysis.run.summary import CaseSummary, Estimate, Metric
from bench.metrics import METRICS, QUANTILES
from bench.results.run import RunInfo, RunWarning
from bench.results.warning_codes import WarningCode
from bench.stats.quantiles import read_quantile

MIN_SHARE = 0.01
"""A number that was moved by less than this part of itself is not called bent, however narrow its
interval."""
MIN_SHIFT_S = 0.0005  # the same for times
MIN_LAG_S = 0.002
"""An idle event loop's ticks are late by up to a millisecond or two: its timers are that coarse."""
MIN_USER_STAMPS_SHARE = 0.01
MIN_COALESCED_SHARE = 0.05

RATES = ("request_per_s", "output_tok_per_s", "goodput_per_s")
MOST_SHARE = 0.1
LEAST_SHARE = 0.01  # users who idle less are not worth a wider interval, nor a word
_FROM_SEND = ("ttft_s", "answer_ttft_s", "e2e_s")


Shift = tuple[str, Mapping[str, float], str, str]
"""How far numbers can have been moved, by what, and what helps.

Id of a metric; name of each of its statistics -> by how much, in its unit; a clause; advice.
"""


def client_warnings(info: RunInfo, data: CaseData, summary: CaseSummary) -> Iterator[RunWarning]:
    """One warning if the client bent a number of this case: the number that was bent most.

    It makes the run invalid, but for gaps between chunks by which nothing is decided: of two chunks
    in one read, a busy machine makes many.
    """
    workers = info.transport.workers if info.transport is not None else 1
    relief = f"Stop other work on this machine, or use --workers {workers + 1}."
    shifts = [
        *_sent_late(relief, data),
        *_read_late(info, data),
        *_read_together(relief, data),
        *_asked_late(relief, data, summary),
    ]
    deciding = (*(t.metric for t in info.plan.thresholds), *info.plan.primary)
    gaps_decide = any(text.startswith("itl_s") for text in deciding)
    worst = False, 1.0  # whether it is grave, and what was moved / what is allowed
    found = None
    for id, moved, cause, advice in shifts:
        unit, floor = METRICS[id].unit, 0.0 if id in RATES else MIN_SHIFT_S
        for stat, by in moved.items():
            known = summary.metrics[id].stats.get(stat, Estimate(None))
            if known.value is None or known.low is None or known.high is None:
                continue  # only numbers with an interval can lie about it
            half = (known.high - known.low) / 2
            excess = by / max(half, MIN_SHARE * abs(known.value), floor, 1e-12)
            bent = excess > 1 and (gaps_decide or id != "itl_s"), excess
            if bent > worst:
                worst = bent
                found = RunWarning(
                    WarningCode.CLIENT_BENT,
                    f"{id}.{stat} may be off by {by:.3g} {unit}, and its interval says "
                    f"±{half:.2g} {unit}: {cause}",
                    advice,
                    invalidates=bent[0],
                )
    if found is not None:
        yield found


def _sent_late(relief: str, data: CaseData) -> Iterator[Shift]:
    """Open loop: latencies count from the planned time, so they hold the send delay.

    What the numbers would be without it is known exactly. Time that connecting took is not ours.
    """
    if data.case.load.loop != "open":
        return
    ok = data.ok
    delay = seconds(ok.sent_ns - ok.planned_ns - np.nan_to_num(ok.connect_ns)).clip(min=0.0)
    for id in _FROM_SEND:
        values = data.times[id]
        there = ~np.isnan(values) & ~np.isnan(delay)
        if not there.any():
            continue
        before, after = np.sort(values[there]), np.sort((values - delay)[there])
        moved = {"mean": float(delay[there].mean())}
        for name, p in QUANTILES.items():
            moved[name] = read_quantile(before, p) - read_quantile(after, p)
        late = float(delay[there].max()) * 1e3
        cause = f"requests were sent up to {late:.1f} ms after they were due"
        yield id, moved, cause, relief


def _read_late(info: RunInfo, data: CaseData) -> Iterator[Shift]:
    """Stamps taken by this program hold its own lag; those of the kernel do not."""
    healths = [i.health for i in data.infos.values()]
    if not stamped_here(info, data):
        return
    usual = max((_lag_s(h.loop_lag_mean_ms, h.loop_lag_p99_ms) for h in healths), default=0.0)
    worst = max((_lag_s(h.loop_lag_p99_ms) for h in healths), default=0.0)
    moved = {q: worst if p > 0.5 else usual for q, p in QUANTILES.items()} | {"mean": usual}
    moved = {stat: by for stat, by in moved.items() if by > MIN_LAG_S}
    cause = f"this program was up to {worst * 1e3:.1f} ms late in reading (p99)"
    advice = "Stop other work on this machine, or measure from another one."
    for id in _FROM_SEND:
        yield id, moved, cause, advice
    # Both ends of a gap are late: its middle stays where it is, its tail grows.
    tail = {stat: by for stat, by in moved.items() if QUANTILES.get(stat, 0.0) > 0.5}
    yield "itl_s", tail, cause, advice


def _read_together(relief: str, data: CaseData) -> Iterator[Shift]:
    """Chunks that shared a read because this program was late hide the gaps between them.

    They share the stamp of the last of them: the first seems to come late and the others at once.
    Most likely they came evenly spread. A server that sends in bursts makes shared reads too; then
    this program is not late.
    """
    gaps = data.gaps
    healths = [i.health for i in data.infos.values()]
    lines = sum(h.reads + h.coalesced_lines for h in healths)
    if not lines or not len(gaps.seconds):
        return
    share = (sum(h.coalesced_lines for h in healths) - len(data.measured)) / lines
    lag = max((_lag_s(h.loop_lag_p99_ms) for h in healths), default=0.0)
    if share <= MIN_COALESCED_SHARE or lag <= max(MIN_LAG_S, float(np.median(gaps.seconds))):
        return
    seen, spread = np.sort(gaps.seconds), np.sort(spread_evenly(gaps))
    moved = {
        q: abs(read_quantile(seen, p) - read_quantile(spread, p)) for q, p in QUANTILES.items()
    }
    cause = f"{share:.0%} of the chunks shared a read, while this program was late"
    yield "itl_s", moved, cause, relief


def spread_evenly(gaps: Gaps) -> Floats:
    """The gaps as they would be if chunks with the same stamp had come one after another.

    A gap and the gaps of 0 that follow it in the same reply become equal parts of it.
    """
    begins = gaps.seconds > 0
    begins[1:] |= gaps.row[1:] != gaps.row[:-1]
    begins[:1] = True
    group = np.cumsum(begins) - 1
    sizes = np.bincount(group)
    return np.asarray((gaps.seconds[begins] / sizes)[group], dtype=np.float64)


def _asked_late(relief: str, data: CaseData, summary: CaseSummary) -> Iterator[Shift]:
    """Closed loop: users who idle much ask less often; a little is in the intervals already."""
    share = idle_share(summary.metrics, data)
    if share <= MOST_SHARE:
        return
    cause = f"users asked again {idle_s(data) * 1e3:.1f} ms after they were ready, on average"
    for id in RATES:
        if (value := summary.metrics[id].value) is not None:
            yield id, {"value": share * value}, cause, relief


def idle_s(data: CaseData) -> float:
    """Mean time from a user's being ready to its request, of the worst block; 0 in open loops."""
    if data.case.load.loop != "closed":
        return 0.0
    return max((i.health.send_late_mean_ms or 0.0 for i in data.infos.values()), default=0.0) / 1e3


def idle_share(metrics: Mapping[str, Metric], data: CaseData) -> float:
    """The part of a user's cycle that was idling.

    By Little's law the cycle (answer, pause, idling) is users / rate.
    """
    users, rate = data.case.load.users, metrics["request_per_s"].value
    return 0.0 if users is None or rate is None else idle_s(data) * rate / users


def reaching_higher(metrics: dict[str, Metric], data: CaseData) -> dict[str, Metric]:
    """The metrics of a case, intervals of its rates with what users that ask at once may get."""
    share = idle_share(metrics, data)
    if not LEAST_SHARE < share <= MOST_SHARE:
        return metrics
    changed = {}
    for id in RATES:
        stats = metrics[id].stats
        up = {n: replace(e, high=e.high / (1 - share)) for n, e in stats.items() if e.high}
        changed[id] = replace(metrics[id], stats=stats | up)
    return metrics | changed


def idle_warnings(metrics: Mapping[str, Metric], data: CaseData) -> Iterator[RunWarning]:
    """Intervals that reach higher by more than the reader would expect."""
    share = idle_share(metrics, data)
    if LEAST_SHARE < share <= MOST_SHARE:
        yield RunWarning(
            WarningCode.USERS_IDLED,
            f"users asked again {idle_s(data) * 1e3:.2g} ms after they were ready, on average: "
            f"intervals of rates reach {share:.1%} higher",
            "Answers this short show the client's own time, too: longer ones, or larger batches, "
            "show it less.",
        )


def stamped_here(info: RunInfo, data: CaseData) -> bool:
    """Whether this program stamped what arrived, not the kernel, so that stamps hold its lag."""
    healths = [i.health for i in data.infos.values()]
    some = any(h.user_stamps > MIN_USER_STAMPS_SHARE * max(1, h.reads) for h in healths)
    return some or info.transport is None or info.transport.name != "kernel"


def _lag_s(*lags_ms: float | None) -> float:
    """The first that is known, in seconds."""
    return next((lag / 1e3 for lag in lags_ms if lag is not None), 0.0)
