"""What if: another number of servers, other slots, another load - answered in virtual time.

Every answer carries the uncertainty of the fit: the workload is served by each of the fit's draws,
and the answer's interval is where 95 % of the draws fall. It does not cover what the service model
leaves out; measure before you buy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.simulation.fleet import FleetResult, Routing, Workload, simulate_fleet
from bench.simulation.service import ServiceParameters

SETTLE_SHARE = 0.1
"""Share of a simulated workload that is left out while queues fill."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One server, and how sure we are of it.

    Attributes:
        draws: alternatives that the fit allows; empty for a profile that was not fitted.
        overhead_ns: time of a request outside queue and engine.
    """

    parameters: ServiceParameters
    draws: tuple[ServiceParameters, ...] = ()
    overhead_ns: int = 0


@dataclass(frozen=True, slots=True)
class Predicted:
    """A predicted number with the interval that comes from the fit; equal ends if there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What a number of servers would do.

    Attributes:
        promised: the promised percentile of each promise, in its order.
        holds: share of the draws in which every promise holds.
        busy: share of the slots' time in use.
    """

    servers: int
    ttft_p50_s: Predicted
    ttft_p95_s: Predicted
    tpot_p50_s: Predicted
    queue_p95_s: Predicted
    tok_per_s: Predicted
    busy: Predicted
    promised: tuple[Predicted, ...]
    holds: float


@dataclass(frozen=True, slots=True)
class Promise:
    """An upper limit of a percentile: metric `ttft_s`, `tpot_s`, `e2e_s` or `queue_s`."""

    metric: str
    p: float
    limit: float


METRICS: dict[str, Callable[[FleetResult], NDArray[np.float64]]] = {
    "ttft_s": lambda r: r.ttft_s,
    "tpot_s": lambda r: r.tpot_s,
    "e2e_s": lambda r: r.e2e_s,
    "queue_s": lambda r: r.queue_s,
}
"""What can be promised of a simulated fleet."""


def poisson_workload(
    rate_per_s: float, n: int, lengths: NDArray[np.int64], rng: np.random.Generator
) -> Workload:
    """Poisson arrivals whose lengths are drawn from measured ones.

    Args:
        rate_per_s: arrivals per second.
        n: how many.
        lengths: shape (k, 2): prompt tokens, output tokens.
        rng: draws.
    """
    at = np.cumsum(rng.exponential(1e9 / rate_per_s, n)).astype(np.int64)
    pairs = lengths[rng.integers(0, len(lengths), n)]
    return Workload(at, np.maximum(pairs[:, 0], 1), np.maximum(pairs[:, 1], 1))


def what_if(
    machine: Machine,
    workload: Workload,
    promises: Sequence[Promise],
    *,
    servers: int,
    routing: Routing = "least-loaded",
) -> WhatIf:
    """Serve a workload with so many servers, once for each draw of the fit."""
    told = [
        _told(p, workload, promises, machine.overhead_ns, servers, routing, seed)
        for seed, p in enumerate(machine.draws or (machine.parameters,))
    ]
    best = told[0]
    if machine.draws:
        best = _told(
            machine.parameters, workload, promises, machine.overhead_ns, servers, routing, 1000
        )
    columns = np.array(told)
    predicted = [
        Predicted(float(value), float(np.quantile(c, 0.025)), float(np.quantile(c, 0.975)))
        for value, c in zip(best, columns.T, strict=True)
    ]
    limits = np.array([p.limit for p in promises])
    holds = np.mean(np.all(columns[:, -len(limits) :] <= limits, axis=1))
    ttft_p50, ttft_p95, tpot, queue, speed, busy, *promised = predicted
    return WhatIf(
        servers=servers,
        ttft_p50_s=ttft_p50,
        ttft_p95_s=ttft_p95,
        tpot_p50_s=tpot,
        queue_p95_s=queue,
        tok_per_s=speed,
        busy=busy,
        promised=tuple(promised),
        holds=float(holds),
    )


def servers_needed(
    evaluate: Callable[[int], WhatIf], *, sure: float = 0.95, most: int = 1000
) -> tuple[int | None, list[WhatIf]]:
    """The fewest servers with which the promises hold in a share of the draws.

    Args:
        evaluate: what so many servers do.
        sure: share of the draws in which they must hold.
        most: give up beyond so many.

    Returns:
        The number, or None if `most` do not suffice; and everything evaluated, by servers.
    """
    seen: dict[int, WhatIf] = {}

    def holds(servers: int) -> bool:
        if servers not in seen:
            seen[servers] = evaluate(servers)
        return seen[servers].holds >= sure

    high = 1
    while not holds(high) and high < most:
        high = min(high * 2, most)
    if not holds(high):
        return None, sorted(seen.values(), key=lambda w: w.servers)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high, sorted(seen.values(), key=lambda w: w.servers)


def _told(
    parameters: ServiceParameters,
    workload: Workload,
    promises: Sequence[Promise],
    overhead_ns: int,
    servers: int,
    routing: Routing,
    seed: int,
) -> list[float]:
    """The numbers of `WhatIf`, in its order, from one simulation."""
    result = simulate_fleet(
        parameters,
        workload,
        servers=servers,
        routing=routing,
        overhead_ns=overhead_ns,
        seed=seed,
    )
    begin = int(len(workload) * SETTLE_SHARE)
    span_s = (int(result.end_ns.max()) - int(result.at_ns[0])) / 1e9
    held_s = float(np.sum(result.end_ns - result.started_ns)) / 1e9
    values = {name: metric(result)[begin:] for name, metric in METRICS.items()}
    return [
        float(np.nanquantile(values["ttft_s"], 0.5)),
        float(np.nanquantile(values["ttft_s"], 0.95)),
        float(np.nanquantile(values["tpot_s"], 0.5)),
        float(np.nanquantile(values["queue_s"], 0.95)),
        float(np.sum(result.output_n)) / span_s,
        held_s / (span_s * servers * parameters.slots),
        *(float(np.nanquantile(values[p.metric], p.p)) for p in promises),
    ]
