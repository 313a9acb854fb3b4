"""Searches for capacity on simulated machines, in virtual time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from simulated_machines import Machine

from bench.analysis.capacity.judge import least_requests
from bench.analysis.capacity.judged_search import FoundLimit, JudgedSearch
from bench.analysis.capacity.probe import Probe, SearchSettings, affordable
from bench.analysis.capacity.promises import ProbeSample, percentile_of
from bench.simulation.what_if import METRICS
from bench.thresholds import parse_threshold


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search found, and what it cost in requests and in seconds of virtual time.

    `longest` is the largest share of the budget that one probe took; 0 without a budget.
    """

    found: FoundLimit
    requests: int
    seconds: float
    probes: int
    longest: float = 0.0


def settings_for(machine: Machine, seed: int) -> SearchSettings:
    """As a search on a real server sets them after its sweep."""
    best = machine.best_rate(seed)
    p = percentile_of(parse_threshold(machine.promise))
    return SearchSettings(
        start=best / 2,
        ceiling=20 * best,
        saturation=best,
        slots=machine.parameters.slots,
        cv2=machine.cv2(seed),
        probe_requests=max(60, math.ceil(3 / (1 - p))),
        proof_requests=least_requests(p),
    )


def probed(machine: Machine, probe: Probe, seed: int) -> tuple[ProbeSample, float]:
    """One probe from an empty server, and how many seconds it took."""
    served = machine.serve(probe.load, probe.total, seed)
    metric, _, _ = machine.promised
    values = METRICS[metric](served)[probe.settle :]
    sample = ProbeSample((values[~np.isnan(values)],), served.in_system[probe.settle :])
    return sample, float(served.end_ns.max()) / 1e9


def search_on(machine: Machine, seed: int, budget_s: float = math.inf) -> Searched:
    """One search, by the rules of a search on a real server.

    Args:
        machine: to search on.
        seed: of all that is drawn.
        budget_s: seconds of virtual time that it may take.
    """
    settings = settings_for(machine, seed)
    hunt = JudgedSearch(settings, [parse_threshold(machine.promise)])
    requests, seconds, probes, longest = 0, 0.0, 0, 0.0

    def affords(load: float) -> int:
        rate = min(load, settings.saturation)
        return affordable(budget_s - seconds, rate, 1 / machine.one_user_rate())

    while (probe := hunt.next_probe(affords if math.isfinite(budget_s) else None)) is not None:
        sample, took = probed(machine, probe, seed * 10_007 + probes)
        hunt.record(probe, sample)
        requests += probe.total
        seconds += took
        longest = max(longest, took / budget_s)
        probes += 1
    return Searched(hunt.found(), requests, seconds, probes, longest)
