"""What if: another number of servers, other slots, another load - answered in virtual time.

Every answer carries the uncertainty of the fit: the load is served by each of some draws of the
fit, and the answer's interval is where 95 % of them fall. It does not cover what the service model
leaves out; measure before you buy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from bench.simulation.fleet import FleetResult, Routing, Workload, simulate_fleet
from bench.simulation.service import ServiceParameters

SETTLE_SHARE = 0.5
"""First part of a steady load that is left out: queues fill, and an overload comes to light."""
DRAWS = 20
"""Alternatives of the fit that are simulated for one answer, if the time for them is short."""
MOST_SIMULATED = 1_000_000
"""Requests simulated for one answer: above this, fewer alternatives are."""
LEAST_DRAWS = 8
LEAST_ARRIVALS = 3000
"""Simulated arrivals: enough for a p95 that differs little from draw to draw by chance."""
FILLS = 60
"""A workload lasts at least so many service times, however many servers share it."""


@dataclass(frozen=True, slots=True)
class ModelledServer:
    """One server, and how sure we are of it.

    Attributes:
        draws: alternatives that the fit allows; empty for a profile that was not fitted.
        overhead_ns: time of a request outside queue and engine.
    """

    parameters: ServiceParameters
    draws: tuple[ServiceParameters, ...] = ()
    overhead_ns: int = 0


@dataclass(frozen=True, slots=True)
class PredictedValue:
    """A predicted number with the interval that comes from the fit; equal ends if there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Option:
    """What a number of servers would do.

    Attributes:
        promised: the promised percentile of each promise, in its order.
        holds: share of the draws in which every promise holds.
        busy: share of the slots' time in use.
    """

    servers: int
    ttft_p50_s: PredictedValue
    ttft_p95_s: PredictedValue
    tpot_p50_s: PredictedValue
    queue_p95_s: PredictedValue
    tok_per_s: PredictedValue
    busy: PredictedValue
    promised: tuple[PredictedValue, ...]
    holds: float


@dataclass(frozen=True, slots=True)
class Promise:
    """An upper limit of a percentile: metric `ttft_s`, `tpot_s`, `e2e_s` or `queue_s`."""

    metric: str
    p: float
    limit: float


@dataclass(frozen=True, slots=True)
class OfferedLoad:
    """What arrives.

    Attributes:
        make: a workload for each seed; always the same one if it is replayed.
        settle_share: first part that is left out of the results.
        erlangs: requests in service at once, if each were alone; 0 = not known. Fewer slots than
            these cannot do.
    """

    make: Callable[[int], Workload]
    settle_share: float = 0.0
    erlangs: float = 0.0


METRICS: dict[str, Callable[[FleetResult], NDArray[np.float64]]] = {
    name: attrgetter(name) for name in ("ttft_s", "tpot_s", "e2e_s", "queue_s")
}
"""What can be promised of a simulated fleet."""


def poisson_load(
    rate_per_s: float, lengths: NDArray[np.int64], machine: ModelledServer
) -> OfferedLoad:
    """Poisson arrivals whose lengths are drawn from measured ones; another draw for each seed.

    `lengths` has shape (k, 2): prompt tokens, output tokens. The machine that will serve them tells
    how long it takes until queues have filled.
    """
    sample = lengths[:: max(1, len(lengths) // 50)]
    alone = Workload(np.arange(len(sample)) * 10**14, sample[:, 0], sample[:, 1])
    service_s = float(simulate_fleet(machine.parameters, alone).e2e_s.mean())
    n = max(LEAST_ARRIVALS, round(FILLS * rate_per_s * service_s))

    def make(seed: int) -> Workload:
        rng = np.random.default_rng(seed)
        at = np.cumsum(rng.exponential(1e9 / rate_per_s, n)).astype(np.int64)
        pairs = lengths[rng.integers(0, len(lengths), n)]
        return Workload(at, np.maximum(pairs[:, 0], 1), np.maximum(pairs[:, 1], 1))

    return OfferedLoad(make, SETTLE_SHARE, rate_per_s * service_s)


def what_if(
    machine: ModelledServer,
    load: OfferedLoad,
    promises: Sequence[Promise],
    *,
    servers: int,
    routing: Routing = "least-loaded",
    seed: int = 0,
) -> Option:
    """Serve a load with so many servers, once by the fit and once by each draw of it.

    Every draw gets arrivals of its own, so that the intervals hold their chance as well.
    """

    def results(parameters: ServiceParameters, number: int) -> list[float]:
        workload = load.make(seed + number)
        result = simulate_fleet(
            parameters,
            workload,
            servers=servers,
            routing=routing,
            overhead_ns=machine.overhead_ns,
            seed=seed + number,
        )
        begin = int(len(workload) * load.settle_share)
        return _results(result, begin, servers * parameters.slots, promises)

    best = results(machine.parameters, 0)
    size = len(load.make(seed))
    many = min(len(machine.draws), max(LEAST_DRAWS, min(DRAWS, MOST_SIMULATED // size)))
    alternatives = [results(p, k) for k, p in enumerate(machine.draws[:many], start=1)]
    columns = np.array(alternatives or [best])
    predicted = [
        PredictedValue(float(value), float(np.quantile(c, 0.025)), float(np.quantile(c, 0.975)))
        for value, c in zip(best, columns.T, strict=True)
    ]
    kept = np.array([p.limit for p in promises])
    holds = np.mean(np.all(columns[:, -len(kept) :] <= kept, axis=1))
    ttft_p50, ttft_p95, tpot, queue, speed, busy, *promised = predicted
    common = ttft_p50, ttft_p95, tpot, queue, speed, busy
    return Option(servers, *common, promised=tuple(promised), holds=float(holds))


def servers_needed(
    evaluate: Callable[[int], Option],
    glance: Callable[[int], Option],
    *,
    sure: float = 0.95,
    least: int = 1,
    most: int = 1000,
) -> tuple[int | None, list[Option]]:
    """The fewest servers with which the promises hold in a share (`sure`) of the draws.

    `evaluate` tells what so many servers do, by all draws; `glance` the same by the fit alone, for
    where to look. Fewer than `least` cannot do.

    Returns:
        The number (from 200 on, to half a percent), or None if `most` do not suffice; and
        everything evaluated, by servers.
    """
    seen: dict[int, Option] = {}

    def holds(servers: int) -> bool:
        if servers not in seen:
            seen[servers] = evaluate(servers)
        return seen[servers].holds >= sure

    least = min(max(least, 1), most)
    near = _fewest(lambda n: glance(n).holds >= sure, least, most)
    step = max(1, near // 200)
    high = near
    while high < most and not holds(high):
        high = min(high + step, most)
    if not holds(high):
        return None, sorted(seen.values(), key=lambda w: w.servers)
    while high - step >= 1 and holds(high - step):
        high -= step
    if high + step <= most:
        holds(high + step)  # what one more would buy
    return high, sorted(seen.values(), key=lambda w: w.servers)


def _fewest(holds: Callable[[int], bool], least: int, most: int) -> int:
    """The fewest for which it holds, by doubling and bisection; `most` if it never does."""
    low, high = least - 1, least
    while high < most and not holds(high):
        low, high = high, min(high * 2, most)
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _results(
    result: FleetResult, begin: int, slots: int, promises: Sequence[Promise]
) -> list[float]:
    """The numbers of `Option`, in its order, of the requests from the `begin`-th on."""
    # While requests still arrive: afterwards, the fleet only runs empty.
    window = (int(result.at_ns[begin]), int(result.at_ns[-1]) + 1)
    span_s = (window[1] - window[0]) / 1e9
    busy_s = float(_within(result.started_ns, result.end_ns, window).sum()) / 1e9
    decoding = _within(result.first_ns, result.end_ns, window)
    share = decoding / np.maximum(result.end_ns - result.first_ns, 1)
    values = {name: metric(result)[begin:] for name, metric in METRICS.items()}
    return [
        float(np.nanquantile(values["ttft_s"], 0.5)),
        float(np.nanquantile(values["ttft_s"], 0.95)),
        float(np.nanquantile(values["tpot_s"], 0.5)),
        float(np.nanquantile(values["queue_s"], 0.95)),
        float(share @ result.output_n) / span_s,
        busy_s / (span_s * slots),
        *(float(np.nanquantile(values[p.metric], p.p)) for p in promises),
    ]


def _within(
    start: NDArray[np.int64], end: NDArray[np.int64], window: tuple[int, int]
) -> NDArray[np.int64]:
    """How much of each span lies in a window."""
    inside = np.minimum(end, window[1]) - np.maximum(start, window[0])
    return np.asarray(np.maximum(inside, 0), dtype=np.int64)
