"""From a scenario to a plan: its cases, and the blocks in the order they will be run."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.errors import Problem, ScenarioError, UsageError
from bench.scenario.cases import case_models, case_targets, make_cases
from bench.scenario.inconsistent import in_sessions
from bench.scenario.matrix import dump
from bench.scenario.order import interleaved, paired
from bench.scenario.plan import Case, FidelityPlan, Load, Plan, Target
from bench.scenario.promptfile import read_prompt_file
from bench.scenario.room import outgrown, too_long
from bench.scenario.schema import Scenario
from bench.scenario.understood import file_notes

MAX_BLOCKS = 10_000
MAX_REQUESTS = 5_000_000


def build_plan(
    scenario: Scenario,
    *,
    models: Sequence[str] = (),
    hosts: Sequence[str] = (),
    seed: int | None = None,
    salt: int | None = None,
) -> Plan:
    """The plan of a scenario.

    Models, hosts, seed and salt take the place of those of the scenario, if given; the salt is
    drawn at random if there is neither.

    Raises:
        ScenarioError: it expands into something that cannot be meant.
        UsageError: no model is known, or an address is none.
    """
    targets = case_targets(scenario, hosts)
    cases = make_cases(scenario, case_models(scenario, models), targets)
    seed = scenario.seed if seed is None else seed
    _check(scenario, cases, scenario.blocks)
    files = _prompt_files(scenario)
    return Plan(
        name=scenario.name,
        description=scenario.description.strip(),
        tags=tuple(scenario.tags),
        source=scenario.source,
        scenario=dump(scenario),
        targets=targets,
        cases=cases,
        blocks=interleaved(cases, scenario.blocks, seed),
        seed=seed,
        salt=_salt(scenario, salt),
        thresholds=tuple(scenario.thresholds),
        primary=_primary(scenario),
        prompt_files=files,
        notes=file_notes(scenario, _records(files), cases),
        fidelity=_fidelity(scenario, cases, seed),
    )


def build_ab_plan(
    scenario_a: Scenario,
    scenario_b: Scenario,
    pairs: int,
    *,
    models_a: Sequence[str] = (),
    models_b: Sequence[str] = (),
    hosts_a: Sequence[str] = (),
    hosts_b: Sequence[str] = (),
    seed: int | None = None,
    salt: int | None = None,
) -> Plan:
    """The plan of a comparison in interleaved pairs of blocks, in the order A B, B A, A B, ...

    Case n of side a is compared with case n of side b. Both blocks of a pair have the same seed, so
    the same prompts, and on two servers the same nonces, too. `Block.pair` counts the pairs of the
    whole plan; the case ids begin with "a: " and "b: ". Models, hosts, seed and salt are as for
    `build_plan`; `pairs` are those of each case.

    Raises:
        ScenarioError: one of the two expands into something that cannot be meant.
        UsageError: the sides do not have the same number of cases, or no model is known.
    """
    if scenario_a.mix or scenario_b.mix:
        raise UsageError(
            "the parts of a mix run at the same time, so they cannot be paired",
            "run the scenario twice, and compare the runs",
        )
    targets_a, targets_b = case_targets(scenario_a, hosts_a), case_targets(scenario_b, hosts_b)
    targets_b, rename = _joined(targets_a, targets_b)
    cases_a = make_cases(scenario_a, case_models(scenario_a, models_a), targets_a)
    cases_b = make_cases(
        scenario_b, case_models(scenario_b, models_b), case_targets(scenario_b, hosts_b)
    )
    cases_b = tuple(replace(c, target=rename[c.target]) for c in cases_b)
    if len(cases_a) != len(cases_b):
        raise UsageError(
            f"side a has {len(cases_a)} cases and side b {len(cases_b)}: they cannot be paired",
            "let both sides differ in single values, not in the length of a list",
        )
    sides = [(_sided(a, "a"), _sided(b, "b")) for a, b in zip(cases_a, cases_b, strict=True)]
    cases = tuple(case for pair in sides for case in pair)
    _check(scenario_a, cases, pairs)
    files_a, files_b = _prompt_files(scenario_a), _prompt_files(scenario_b)
    notes_a = file_notes(scenario_a, _records(files_a), cases_a)
    notes_b = file_notes(scenario_b, _records(files_b), cases_b)
    seed = scenario_a.seed if seed is None else seed
    return Plan(
        name=scenario_a.name,
        description=scenario_a.description.strip(),
        tags=tuple(scenario_a.tags),
        source=scenario_a.source,
        scenario=dump(scenario_a),
        targets=(*targets_a, *targets_b),
        cases=cases,
        blocks=paired(sides, pairs, seed),
        seed=seed,
        salt=_salt(scenario_a, salt),
        thresholds=tuple(scenario_a.thresholds),
        primary=_primary(scenario_a),
        prompt_files=files_a | files_b,
        scenario_b=dump(scenario_b),
        notes=tuple(dict.fromkeys((*notes_a, *notes_b))),
    )


def _joined(
    targets_a: tuple[Target, ...], targets_b: tuple[Target, ...]
) -> tuple[tuple[Target, ...], dict[str, str]]:
    """Targets that only side b has, and what each of its names became: names stay unique."""
    rename, extra = {}, []
    taken = {t.name: t for t in targets_a}
    for target in targets_b:
        if taken.get(target.name) == target:
            rename[target.name] = target.name
            continue
        name = target.name if target.name not in taken else f"{target.name} (b)"
        rename[target.name] = name
        extra.append(replace(target, name=name))
    return tuple(extra), rename


def _fidelity(scenario: Scenario, cases: tuple[Case, ...], seed: int) -> FidelityPlan | None:
    asked = scenario.fidelity
    if asked is None:
        return None
    models = {c.model for c in cases}
    problem = ""
    if len({(c.target, c.model) for c in cases}) < 2:
        problem = (
            "there is nothing to compare with: name two models, or two targets; or leave it out "
            "(--set fidelity=null)"
        )
    elif asked.reference and asked.reference not in models:
        problem = f"reference {asked.reference} is none of the models: {', '.join(sorted(models))}"
    if problem:
        raise ScenarioError(scenario.source or scenario.name, [Problem("fidelity", problem)])
    from bench.scenario.word_ends import forced_texts

    texts = forced_texts(
        asked.texts,
        quick=asked.quick,
        seed=seed,
        folder=scenario.directory,
        key="fidelity.texts",
    )
    return FidelityPlan(asked.reference or "", texts)


def _sided(case: Case, side: str) -> Case:
    return replace(case, id=f"{side}: {case.id}", axes={**case.axes, "side": side})


def _salt(scenario: Scenario, salt: int | None) -> int:
    if salt is not None:
        return salt
    return scenario.salt if scenario.salt is not None else secrets.randbits(53)


def _primary(scenario: Scenario) -> tuple[str, ...]:
    if scenario.primary is not None:
        return tuple(scenario.primary)
    if scenario.endpoint == "embed":
        return ("text_per_s", "batch_s.p50")
    if in_sessions(scenario):
        return ("decode_tok_per_s", "later_ttft_s.p50" if scenario.stream else "e2e_s.p50")
    return ("decode_tok_per_s", "ttft_s.p50" if scenario.stream else "e2e_s.p50")


def _prompt_files(scenario: Scenario) -> dict[str, tuple[dict[str, Any], ...]]:
    given = scenario.prompts
    if given.file is None:
        return {}
    path = scenario.directory / given.file
    return {given.file: read_prompt_file(path, given.split, given.columns, given.encoding)}


def _records(files: dict[str, tuple[dict[str, Any], ...]]) -> tuple[dict[str, Any], ...]:
    return next(iter(files.values()), ())


def _check(scenario: Scenario, cases: tuple[Case, ...], repetitions: int) -> None:
    problem = _too_much(cases, repetitions) or next(
        filter(None, (too_long(case) or outgrown(case) for case in cases)), ""
    )
    if problem:
        raise ScenarioError(scenario.source or scenario.name, [Problem("", problem)])


def _too_much(cases: tuple[Case, ...], repetitions: int) -> str:
    blocks = len(cases) * repetitions
    requests = repetitions * sum(_asked(case.load) for case in cases)
    if blocks > MAX_BLOCKS:
        return (
            f"expands into {len(cases):,} cases x {repetitions:,} blocks = {blocks:,} blocks, "
            f"more than the {MAX_BLOCKS:,} allowed"
        )
    if requests > MAX_REQUESTS:
        return f"asks for {requests:,.0f} requests, more than the {MAX_REQUESTS:,} allowed"
    return ""


def _asked(load: Load) -> float:
    """Requests of a block, as far as the plan settles them."""
    limits = [float(load.requests)] if load.requests is not None else []
    if load.rate_per_s is not None and load.duration_s is not None:
        limits.append(load.rate_per_s * load.duration_s)
    return min(limits, default=0.0)
