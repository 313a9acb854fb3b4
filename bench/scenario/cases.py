"""The cases of a scenario: targets x models x matrix x load levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.address import default_url, full_url
from bench.errors import UsageError
from bench.scenario import work_cases
from bench.scenario.fields import DistributionSpec
from bench.scenario.inconsistent import in_sessions
from bench.scenario.load_schema import DEFAULT_REQUESTS, ArrivalsSpec, Limits
from bench.scenario.matrix import MAX_CASES, axis_text, combinations
from bench.scenario.options import DEFAULTS
from bench.scenario.plan import (
    TOTAL_S,
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
from bench.scenario.schema import Scenario
from bench.scenario.session_files import played_file
from bench.scenario.traces import load_trace
from bench.scenario.work_cases import distribution

SETTLE_SHARE = 0.25
"""Of the length of an open block, what it settles for unless the scenario says otherwise. A block
long enough for its median to be given is some 17 relaxation times of its queue long, if there are
three of it (`bench.stats.queue_memory`); after four, an empty start is forgotten to 2 %. The
benchmark `tests/performance/open_loop_settling.py` shows the bias for shorter and longer ones."""
LONGEST_SETTLE_S = 600.0

TOGETHER, ALONE = "together", "alone"
"""How a part of a mix is measured."""
DEFAULT_WARMUP = 3
"""Requests before each block that are not measured."""


def case_models(scenario: Scenario, models: Sequence[str]) -> tuple[str, ...]:
    """The models to measure: those given, else those of the scenario.

    Raises:
        UsageError: there is none, or one is there twice or has no name.
    """
    chosen = tuple(models) or tuple(scenario.models)
    if not chosen and scenario.mix and all(part.model for part in scenario.mix):
        chosen = (str(scenario.mix[0].model),)
    if not chosen:
        raise UsageError(
            f"scenario {scenario.name} names no model", "give one with -m, e.g. -m llama3.2:3b"
        )
    if not all(m.strip() for m in chosen):
        raise UsageError("-m '': a model has a name", "give one, e.g. -m llama3.2:3b")
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
        if scenario.targets and not hosts:
            targets = [
                Target(t.name, full_url(t.url) if t.url else "", tuple(t.command or ()), t.env)
                for t in scenario.targets
            ]
        else:
            urls = [full_url(host) for host in hosts] or [default_url()]
            targets = [Target(url.split("://", 1)[1], url) for url in urls]
    except ValueError as error:
        raise UsageError(f"--host: {error}" if hosts else str(error)) from None
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
        ScenarioError: there are more than `MAX_CASES`, or two of one id.
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
                    if one.mix:
                        cases += _mixed(one, axes, shown, load)
                    else:
                        cases.append(_case(one, _named(model, shown), axes, load))
    message = ""
    if len(cases) > MAX_CASES:
        message = f"expands into {len(cases):,} cases, more than the {MAX_CASES} allowed"
    ids = [case.id for case in cases]
    if twice := next((name for i, name in enumerate(ids) if name in ids[:i]), ""):
        message = f"two cases are called {twice}: values that differ so little are not told apart"
    if message:
        raise scenario.wrong(message)
    return tuple(cases)


def _mixed(scenario: Scenario, axes: Axes, shown: Axes, load: Load) -> list[Case]:
    """Each part of a mix, alone and together with the others."""
    mix, parts = scenario.mix, scenario.parts()
    try:
        loads = shared_out(load, [part.share for part in mix])
    except ValueError as error:
        raise scenario.wrong(str(error), "mix") from None
    cases = []
    for (name, one), part, its in zip(parts.items(), mix, loads, strict=True):
        for how in (ALONE, TOGETHER):
            named = {"part": name, "mix": how}
            its_axes = axes | named | {"model": part.model or axes["model"]}
            if its.users is not None:
                its_axes |= {"users": str(its.users)}
            case = _case(one, _named(its_axes["model"], shown | named), its_axes, its)
            together = _named(TOGETHER, shown) if how == TOGETHER else ""
            cases.append(replace(case, part=name, together=together))
    return cases


def _named(first: str, axes: Axes) -> str:
    return ", ".join([first, *(f"{k}={v}" for k, v in axes.items())])


def shared_out(load: Load, shares: list[float]) -> list[Load]:
    """The load of each part.

    Raises:
        ValueError: there are fewer users, requests or sessions than parts.
    """
    total = sum(shares)
    counts = {
        key: _whole(value, shares, key)
        for key in ("users", "requests", "sessions")
        if (value := getattr(load, key)) is not None
    }
    loads = []
    for place, share in enumerate(shares):
        values: dict[str, Any] = {key: parts[place] for key, parts in counts.items()}
        if load.rate_per_s is not None:
            values["rate_per_s"] = load.rate_per_s * share / total
        loads.append(replace(load, **values))
    return loads


def _whole(count: int, shares: list[float], key: str) -> list[int]:
    """Whole numbers in these proportions, each at least 1 (largest remainders)."""
    if count < len(shares):
        raise ValueError(f"{count} {key} are fewer than the {len(shares)} parts of mix")
    total = sum(shares)
    exact = [count * share / total for share in shares]
    whole = [max(1, int(value)) for value in exact]
    while sum(whole) > count:
        larger = [i for i in range(len(whole)) if whole[i] > 1]
        whole[max(larger, key=lambda i: whole[i] - exact[i])] -= 1
    while sum(whole) < count:
        whole[max(range(len(whole)), key=lambda i: exact[i] - whole[i])] += 1
    return whole


def _levels(scenario: Scenario) -> list[tuple[dict[str, Any], Load]]:
    """The load levels: what tells each from the others, and the load itself."""
    closed, sessions = scenario.load.closed, in_sessions(scenario)
    if closed is None:
        return _open_levels(scenario)
    load = Load(
        loop="closed",
        think_time_s=_maybe(closed.think_time),
        requests=_requests(closed, sessions),
        duration_s=closed.duration,
        max_errors=closed.max_errors,
        ramp_up_s=closed.ramp_up,
    )
    return [
        (
            {"users": users},
            replace(load, users=users, sessions=_sessions(closed, users) if sessions else None),
        )
        for users in dict.fromkeys(closed.users)
    ]


def _open_levels(scenario: Scenario) -> list[tuple[dict[str, Any], Load]]:
    spec = scenario.load.open
    assert spec is not None
    arrivals = _arrivals(spec.arrivals, scenario)
    trace = arrivals.kind == "trace"
    requests = spec.requests if trace else _requests(spec, in_sessions(scenario))
    if in_sessions(scenario):  # what arrives is a session
        requests = spec.sessions if spec.duration is not None else _sessions(spec, 5)
    load = Load(
        loop="open",
        arrivals=arrivals,
        max_in_flight=spec.max_in_flight,
        requests=requests,
        duration_s=spec.duration,
        max_errors=spec.max_errors,
    )

    def settle_s(rate: float | None) -> float:
        if spec.settle is not None:
            return spec.settle
        length_s = spec.duration if spec.duration is not None else math.inf
        if trace:
            times = arrivals.times_s[:requests]
            length_s = min(length_s, times[-1] * arrivals.time_scale if times else 0.0)
        elif rate is not None and requests is not None:
            length_s = min(length_s, requests / rate)
        return min(SETTLE_SHARE * length_s, LONGEST_SETTLE_S)

    rates: list[float | None] = [*dict.fromkeys(spec.rate)] if spec.rate else [None]
    return [
        (
            {"rate": "trace" if rate is None else rate},
            replace(load, rate_per_s=rate, settle_s=settle_s(rate)),
        )
        for rate in rates
    ]


def _requests(limits: Limits, sessions: bool) -> int | None:
    if sessions or limits.duration is not None:
        return limits.requests
    return DEFAULT_REQUESTS if limits.requests is None else limits.requests


def _sessions(limits: Limits, users: int) -> int | None:
    """How many sessions a block has: as said, else two of each user if nothing else limits it."""
    if limits.sessions is None and limits.requests is None and limits.duration is None:
        return 2 * users
    return limits.sessions


def _case(scenario: Scenario, case_id: str, axes: Axes, load: Load) -> Case:
    think: Think = None if scenario.think == "unset" else scenario.think
    usual_warmup = 0 if scenario.cold else DEFAULT_WARMUP
    times, pictures = scenario.timeouts, scenario.prompts.images is not None
    total_s = times.total or max(TOTAL_S, 2 * times.first_byte)
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
        prompts=_prompts(scenario),
        load=load,
        warmup=usual_warmup if scenario.warmup is None else scenario.warmup,
        cold=scenario.cold,
        format=work_cases.format_value(scenario),
        system=scenario.system,
        raw=scenario.raw,
        timeouts=Timeouts(times.connect, times.first_byte, times.idle, total_s),
        tools=work_cases.tools(scenario),
        checks=tuple(scenario.checks),
        control=pictures if scenario.control is None else scenario.control,
        truncate=scenario.truncate,
    )


def _prompts(scenario: Scenario) -> PromptSpec:
    spec, made = scenario.prompts, scenario.prompts.synthetic
    return PromptSpec(
        tuple(spec.inline or ()),
        spec.file or "",
        None
        if made is None
        else SyntheticPrompts(
            distribution(made.input_tokens), _maybe(made.output_tokens), made.language
        ),
        spec.cache,
        made=work_cases.made_sessions(scenario),
        replay=work_cases.replay(scenario),
        rag=work_cases.passages(spec.rag),
        images=work_cases.images(scenario),
        batch=spec.batch[0],
    )


def _maybe(spec: DistributionSpec | None) -> Distribution | None:
    return None if spec is None else distribution(spec)


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
    found = work_cases.replay(scenario) if spec.recorded is not None else None
    if found is not None:  # sessions begin when they began
        starts = (session.start_s for session in played_file(found).sessions)
        times_s = tuple(start for start in starts if start is not None)
        return Arrivals("trace", trace_file=found.file, times_s=times_s)
    return Arrivals("constant" if spec.constant else "poisson")
