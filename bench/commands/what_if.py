"""Asking a profile what other machines, or another load, would do: `capacity what-if`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.analysis.capacity.promises import parse_promises, percentile_of
from bench.analysis.capacity.users import UserModel
from bench.commands.fitting import MOST_PACE
from bench.errors import EngineError, UsageError
from bench.report.capacity.what_if_page import Study
from bench.scenario.traces import Trace, load_trace
from bench.simulation.fleet import Routing, Workload
from bench.simulation.profile import ModelProfile, Profile, load_profile
from bench.simulation.what_if import (
    METRICS,
    ModelledServer,
    OfferedLoad,
    Option,
    Promise,
    poisson_load,
    servers_needed,
)
from bench.simulation.what_if import what_if as predict
from bench.thresholds import Threshold

SURE = 0.95
"""A promise counts as kept if it holds in this share of the draws."""


def study(
    profile_name: str | Path,
    promises: Sequence[str],
    *,
    model: str | None = None,
    people: UserModel | None = None,
    rate_per_s: float | None = None,
    trace: str | Path | None = None,
    time_scale: float = 1.0,
    window_s: tuple[float, float] | None = None,
    slots: int | None = None,
    servers: Sequence[int] = (),
    most: int = 1000,
    prefill_factor: float = 1.0,
    routing: Routing = "least-loaded",
    seed: int = 1,
) -> Study:
    """Ask how many servers a load needs, or what given numbers of servers would do.

    Args:
        profile_name: a shipped profile, or the file of a fitted one.
        promises: e.g. "ttft_s.p95 <= 2".
        model: of the profile; its first if None.
        people: the load, as people who ask questions.
        rate_per_s: the load, as arrivals per second.
        trace: the load, as a file of arrivals. Exactly one of the three is given.
        time_scale: multiplies the times of the trace.
        window_s: of the trace, before scaling.
        slots: of each server; None = the profile's.
        servers: evaluate just these; empty = search for the fewest that suffice.
        most: give up beyond so many.
        prefill_factor: 2 = a machine that reads prompts twice as fast.
        routing: of requests to servers.
        seed: of arrivals and lengths.

    Raises:
        UsageError: the question is not complete, or asks for what cannot be promised.
        EngineError: there is no such profile.
    """
    for what, factor in (("prefill", prefill_factor), ("time scale", time_scale)):
        if not 0 < factor < math.inf:
            raise UsageError(f"{what} {factor:g} must be a number above 0")
    for what, count in (("slots", slots), ("most", most), *(("servers", n) for n in servers)):
        if count is not None and count < 1:
            raise UsageError(f"{what} {count} must be a whole number above 0")
    profile = load_profile(profile_name)
    chosen = _chosen(profile, model)
    promised = parse_promises(promises)
    limits = tuple(map(_promise, promised))
    machine = _machine(profile, chosen, slots, prefill_factor)
    lengths = _lengths(profile, chosen, np.random.default_rng(seed))
    load, words = _load(people, rate_per_s, trace, time_scale, window_s, lengths, machine)

    if load.erlangs > most * machine.parameters.slots:
        raise UsageError(
            f"{words} would keep {load.erlangs:,.0f} slots busy, and at most {most:,} servers with "
            f"{machine.parameters.slots} are tried",
            "Ask for a part of the load.",
        )

    def evaluate(n: int) -> Option:
        return predict(machine, load, limits, servers=n, routing=routing, seed=seed)

    def glance(n: int) -> Option:
        plain = replace(machine, draws=())
        return predict(plain, load, limits, servers=n, routing=routing, seed=seed)

    if servers:
        found = [evaluate(n) for n in sorted(set(servers))]
        needed = next((w.servers for w in found if w.holds >= SURE), None)
    else:
        needed, found = servers_needed(
            evaluate,
            glance,
            sure=SURE,
            least=int(load.erlangs / machine.parameters.slots),
            most=most,
        )
    fitted = profile.fitted
    extrapolated = ""
    if fitted is not None and machine.parameters.slots > fitted.most_together + 0.5:
        extrapolated = (
            f"the run had at most {fitted.most_together:.1f} requests decoding together, so "
            f"{machine.parameters.slots} slots are extrapolated"
        )
    return Study(
        profile=profile.name,
        model=chosen.name,
        load=words,
        promises=promised,
        slots=machine.parameters.slots,
        routing=routing,
        needed=needed,
        options=tuple(found),
        requests=len(load.make(seed)),
        fitted_to=fitted.run if fitted else "",
        invented=profile.invented,
        simulated=bool(fitted and fitted.simulated),
        extrapolated=extrapolated,
        pace=fitted.pace if fitted and fitted.pace > MOST_PACE else 0.0,
        misfit=fitted.misfit if fitted else "",
    )


def _promise(promise: Threshold) -> Promise:
    if promise.metric not in METRICS:
        raise UsageError(f"{promise.text}: a prediction is about one of {', '.join(METRICS)}")
    return Promise(promise.metric, percentile_of(promise), promise.value)


def _chosen(profile: Profile, model: str | None) -> ModelProfile:
    found = {one.name: one for one in reversed(profile.models)}
    if model is None:
        return profile.models[0]
    if model not in found:
        has = ", ".join(one.name for one in profile.models)
        raise EngineError(f"profile {profile.name} has no model {model!r}", f"It has {has}.")
    return found[model]


def _machine(
    profile: Profile, model: ModelProfile, slots: int | None, prefill_factor: float
) -> ModelledServer:
    base = model.service(slots=slots or profile.num_parallel, batch_tokens=512, slowdown=1.0)
    draws = tuple(d.parameters(base) for d in profile.fitted.draws) if profile.fitted else ()

    def faster(p: Any) -> Any:
        return replace(p, prefill_ns_per_token=p.prefill_ns_per_token / prefill_factor)

    overhead_ms = profile.fitted.overhead_ms if profile.fitted else 0.0
    return ModelledServer(faster(base), tuple(faster(d) for d in draws), int(overhead_ms * 1e6))


def _lengths(profile: Profile, model: ModelProfile, rng: np.random.Generator) -> NDArray[np.int64]:
    """Pairs of prompt and output tokens: measured ones, else drawn from the profile."""
    if profile.fitted is not None and profile.fitted.lengths:
        return np.array(profile.fitted.lengths, dtype=np.int64)
    sigma = np.log(max(model.output_tokens.p95 / model.output_tokens.median, 1.0)) / 1.645
    outputs = rng.lognormal(np.log(model.output_tokens.median), sigma, 1000)
    prompts = rng.lognormal(np.log(300), 0.8, 1000)
    return np.maximum(np.column_stack([prompts, outputs]), 1).astype(np.int64)


def _load(
    people: UserModel | None,
    rate_per_s: float | None,
    trace: str | Path | None,
    time_scale: float,
    window_s: tuple[float, float] | None,
    lengths: NDArray[np.int64],
    machine: ModelledServer,
) -> tuple[OfferedLoad, str]:
    """The load, and what it is in words."""
    if sum(x is not None for x in (people, rate_per_s, trace)) != 1:
        raise UsageError("say the load once", "Give --users, --rate or --trace.")
    if trace is None and (window_s is not None or time_scale != 1):
        raise UsageError("time scale and window are about a trace", "Give --trace, or leave them.")
    if window_s is not None and not window_s[0] < window_s[1]:
        raise UsageError(f"window {window_s[0]:g} {window_s[1]:g} must begin before it ends")
    if trace is not None:
        try:
            replayed = load_trace(Path(trace), window_s)
        except ValueError as error:
            raise UsageError(str(error)) from None
        if len(replayed) < 2:
            raise UsageError(f"{trace} has fewer than two arrivals in that window")
        words = _trace_words(Path(trace), replayed, time_scale, window_s)
        return _replay(replayed, time_scale, lengths), words
    if people is not None:
        rate = people.rate_per_s
        words = (
            f"{people.users:,.0f} users with {people.requests_per_hour:g} questions an hour each, "
            f"peak factor {people.peak_factor:g} ({rate:.3g} requests/s)"
        )
    else:
        assert rate_per_s is not None
        rate, words = rate_per_s, f"{rate_per_s:.3g} requests/s"
    if not 0 < rate < math.inf:
        raise UsageError(f"the load must be a number above 0; it is {rate:g} requests/s")
    return poisson_load(rate, lengths, machine), words


def _trace_words(
    path: Path, trace: Trace, time_scale: float, window_s: tuple[float, float] | None
) -> str:
    how = [] if window_s is None else [f"{window_s[0]:g} to {window_s[1]:g} s"]
    how += [] if time_scale == 1 else [f"times x {time_scale:g}"]
    notes = f" ({'; '.join((*how, trace.notes[2]))})"
    return f"the {len(trace):,} arrivals of {path.name}{notes}"


def _replay(trace: Trace, time_scale: float, lengths: NDArray[np.int64]) -> OfferedLoad:
    """A trace as it stands; lengths that it does not say are drawn, anew for each seed."""
    at_ns = np.rint(np.array(trace.at_s) * (time_scale * 1e9)).astype(np.int64)
    known = [np.array(t, dtype=np.int64) for t in (trace.prompt_tokens, trace.output_tokens)]

    def make(seed: int) -> Workload:
        drawn = lengths[np.random.default_rng(seed).integers(0, len(lengths), len(trace))]
        prompts, outputs = (t if len(t) else drawn[:, i] for i, t in enumerate(known))
        return Workload(at_ns, np.maximum(prompts, 1), np.maximum(outputs, 1))

    return OfferedLoad(make)
