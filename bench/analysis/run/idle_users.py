"""What a closed loop's users idled between an answer and their next request, and what that costs.

Every client needs a moment to read an answer and to ask again: some tenths of a millisecond, which
is nothing beside a chat and a few percent of an embedding of 10 ms. Users who asked at once would
get up to that share more; whether they would depends on the server (one that is never idle gives
no more). So the intervals of rates reach that much higher. Beyond `MOST_SHARE` the load was another
one than the plan's, and `bench.analysis.run.client_checks` makes the run invalid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.summary import Estimate, Metric
from bench.results.run import RunWarning
from bench.results.warning_codes import WarningCode

RATES = ("request_per_s", "output_tok_per_s", "goodput_per_s")
MOST_SHARE = 0.1
LEAST_SHARE = 0.01
"""Less is not worth a wider interval, nor a word."""


def idle_s(data: CaseData) -> float:
    """Mean time from a user's being ready to its request, of the worst block; 0 in open loops."""
    if data.case.load.loop != "closed":
        return 0.0
    return max((i.health.send_late_mean_ms or 0.0 for i in data.infos.values()), default=0.0) / 1e3


def idle_share(metrics: Mapping[str, Metric], data: CaseData) -> float:
    """The part of a user's cycle that was idling.

    By Little's law the cycle (answer, pause, idling) is users / rate.
    """
    users, rate = data.case.load.users, metrics["request_per_s"].stats.get("value")
    if users is None or rate is None or rate.value is None:
        return 0.0
    return idle_s(data) * rate.value / users


def reaching_higher(metrics: dict[str, Metric], data: CaseData) -> dict[str, Metric]:
    """The metrics of a case, intervals of its rates with what users that ask at once may get."""
    share = idle_share(metrics, data)
    if not LEAST_SHARE < share <= MOST_SHARE:
        return metrics
    return metrics | {id: _higher(metrics[id], share) for id in RATES}


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
            data.case.id,
        )


def _higher(metric: Metric, share: float) -> Metric:
    known = {name: e for name, e in metric.stats.items() if e.high is not None}
    return replace(metric, stats=metric.stats | {n: _up(e, share) for n, e in known.items()})


def _up(estimate: Estimate, share: float) -> Estimate:
    return replace(estimate, high=estimate.high / (1 - share)) if estimate.high else estimate
