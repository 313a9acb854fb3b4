"""The cases of a scenario: targets x models x matrix x load levels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from bench.errors import Problem, ScenarioError, UsageError
from bench.scenario.fields import DistributionSpec
from bench.scenario.hosts import default_host, parse_host
from bench.scenario.load_schema import DEFAULT_REQUESTS, ArrivalsSpec, LoadSpec
from bench.scenario.matrix import MAX_CASES, combinations
from bench.scenario.options import DEFAULTS
from bench.scenario.plan import (
    Arrivals,
    Axes,
    Case,
    Distribution,
    Load,
    PromptSpec,
    SyntheticPrompts,
    Target,
    Think,
    Timeouts,
)
from bench.scenario.schema import Prompts, Scenario
from bench.scenario.traces import load_trace

DEFAULT_WARMUP = 3
"""Requests before each block that are not measured."""


def case_models(scenario: Scenario, models: Sequence[str]) -> tuple[str, ...]:
    """The models to measure: those given, else those of the scenario.

    Raises:
        UsageError: there is none, or one is there twice.
    """
    chosen = tuple(models) or tuple(scenario.models)
    if not chosen:
        raise UsageError(
            f"scenario {scenario.name} names no model", "give one with -m, e.g. -m llama3.2:3b"
        )
    twice = [m for i, m in enumerate(chosen) if m in chosen[:i]]
    if twice:
        raise UsageError(f"model {twice[0]} is listed twice")
    return chosen


def case_targets(scenario: Scenario, hosts: Sequence[str]) -> tuple[Target, ...]:
    """The servers to measure: those given, else those of the scenario, else OLLAMA_HOST.

    Raises:
        UsageError: an address is none, or two targets have one name.
    """
    try:
        if hosts:
            urls = [parse_host(host) for host in hosts]
            targets = [Target(url.split("://", 1)[1], url) for url in urls]
        elif scenario.targets:
            targets = [
                Target(t.name, parse_host(t.url) if t.url else "", tuple(t.command or ()), t.env)
                for t in scenario.targets
            ]
        else:
            url = default_host()
            targets = [Target(url.split("://", 1)[1], url)]
    except ValueError as error:
        raise UsageError(str(error)) from None
    names = [t.name for t in targets]
    twice = [n for i, n in enumerate(names) if n in names[:i]]
    if twice:
        raise UsageError(f"two targets are called {twice[0]}", "give each a name of its own")
    return tuple(targets)


def make_cases(
    scenario: Scenario, models: Sequence[str], targets: tuple[Target, ...]
) -> tuple[Case, ...]:
    """Every case of a scenario.

    The id names the model, the load level and the keys of the matrix, and the target if there
    are several: what does not tell cases apart in one run would make ids differ between runs.

    Raises:
        ScenarioError: there are more than `MAX_CASES`.
    """
    cases = []
    for target in targets:
        for model in models:
            for values, one in combinations(scenario):
                for level, load in _levels(one):
                    axes = {"model": model, "target": target.name}
                    axes |= {k: axis_text(v) for k, v in (values | level).items()}
                    shown = {k: v for k, v in axes.items() if k not in ("model", "target")}
                    if len(targets) > 1:
                        shown = {"target": target.name} | shown
                    case_id = ", ".join([model, *(f"{k}={v}" for k, v in shown.items())])
                    cases.append(_case(one, case_id, axes, load))
    if len(cases) > MAX_CASES:
        message = f"expands into {len(cases):,} cases, more than the {MAX_CASES} allowed"
        raise ScenarioError(scenario.source or scenario.name, [Problem("", message)])
    return tuple(cases)


def _levels(scenario: Scenario) -> list[tuple[dict[str, Any], Load]]:
    """The load levels: what tells each from the others, and the load itself."""
    spec = scenario.load
    if spec.closed is not None:
        closed = spec.closed
        return [
            (
                {"users": users},
                Load(
                    loop="closed",
                    users=users,
                    think_time_s=_maybe(closed.think_time),
                    requests=_requests(closed.requests, closed.duration),
                    duration_s=closed.duration,
                    max_errors=closed.max_errors,
                    ramp_up_s=closed.ramp_up,
                ),
            )
            for users in dict.fromkeys(closed.users)
        ]
    return _open_levels(spec, scenario)


def _open_levels(spec: LoadSpec, scenario: Scenario) -> list[tuple[dict[str, Any], Load]]:
    load = spec.open
    assert load is not None
    arrivals = _arrivals(load.arrivals, scenario)
    trace = arrivals.kind == "trace"
    requests = load.requests if trace else _requests(load.requests, load.duration)
    return [
        (
            {"rate": rate if rate is not None else "trace"},
            Load(
                loop="open",
                rate_per_s=rate,
                arrivals=arrivals,
                max_in_flight=load.max_in_flight,
                requests=requests,
                duration_s=load.duration,
                max_errors=load.max_errors,
            ),
        )
        for rate in dict.fromkeys(load.rate or [None])  # type: ignore[list-item]
    ]


def _requests(requests: int | None, duration_s: float | None) -> int | None:
    return DEFAULT_REQUESTS if requests is None and duration_s is None else requests


def _case(scenario: Scenario, case_id: str, axes: Axes, load: Load) -> Case:
    think: Think = None if scenario.think == "unset" else scenario.think
    warmup = scenario.warmup
    if warmup is None:
        warmup = 0 if scenario.cold else DEFAULT_WARMUP
    times = scenario.timeouts
    return Case(
        id=case_id,
        axes=axes,
        target=axes["target"],
        model=axes["model"],
        endpoint=scenario.endpoint,
        stream=scenario.stream,
        options=DEFAULTS | scenario.options.model_dump(exclude_none=True),
        think=think,
        keep_alive=scenario.keep_alive,
        prompts=_prompts(scenario.prompts),
        load=load,
        warmup=warmup,
        cold=scenario.cold,
        format=scenario.format,
        system=scenario.system,
        raw=scenario.raw,
        timeouts=Timeouts(times.connect, times.first_byte, times.idle),
    )


def _prompts(spec: Prompts) -> PromptSpec:
    synthetic = None
    if spec.synthetic is not None:
        made = spec.synthetic
        synthetic = SyntheticPrompts(
            distribution(made.input_tokens), _maybe(made.output_tokens), made.language
        )
    return PromptSpec(tuple(spec.inline or ()), spec.file or "", synthetic, spec.cache)


def _maybe(spec: DistributionSpec | None) -> Distribution | None:
    return None if spec is None else distribution(spec)


def distribution(spec: DistributionSpec) -> Distribution:
    """A distribution of the file as that of the plan."""
    if spec.fixed is not None:
        return Distribution("fixed", {"value": spec.fixed})
    if spec.uniform is not None:
        return Distribution("uniform", {"low": spec.uniform.low, "high": spec.uniform.high})
    if spec.normal is not None:
        return Distribution("normal", {"mean": spec.normal.mean, "sd": spec.normal.sd})
    if spec.lognormal is not None:
        made = spec.lognormal
        return Distribution("lognormal", {"median": made.median, "p95": made.p95})
    assert spec.choice is not None
    weights = spec.choice.weights or [1.0] * len(spec.choice.values)
    return Distribution("choice", {"values": list(spec.choice.values), "weights": weights})


def _arrivals(spec: ArrivalsSpec, scenario: Scenario) -> Arrivals:
    if spec.gamma is not None:
        return Arrivals("gamma", burstiness=spec.gamma.burstiness)
    if spec.trace is not None:
        trace = load_trace(scenario.directory / spec.trace.file, spec.trace.window)
        return Arrivals(
            "trace",
            trace_file=spec.trace.file,
            time_scale=spec.trace.time_scale,
            times_s=trace.at_s,
            prompt_tokens=trace.prompt_tokens,
            output_tokens=trace.output_tokens,
        )
    return Arrivals("constant" if spec.constant else "poisson")


def axis_text(value: Any) -> str:
    """A value of an axis as text: short, and the same in every run."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict) and len(value) == 1:
        ((kind, inner),) = value.items()
        if isinstance(inner, dict):
            return f"{kind}({', '.join(f'{k} {axis_text(v)}' for k, v in inner.items())})"
        return axis_text(inner)
    if isinstance(value, dict | list):
        return hashlib.sha256(repr(value).encode()).hexdigest()[:8]
    text = " ".join(str(value).split())
    return (
        text if len(text) <= 40 else f"{text[:28]}~{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    )
