"""From a scenario to a plan: its cases, and the blocks in the order they will be run."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from bench.errors import UsageError
from bench.scenario.cases import case_models, case_targets, make_cases
from bench.scenario.inconsistent import in_sessions
from bench.scenario.order import interleaved, paired
from bench.scenario.plan import Case, FidelityPlan, Plan, Target
from bench.scenario.promptfile import Records, read_prompt_file
from bench.scenario.room import outgrown, too_long
from bench.scenario.schema import Scenario
from bench.scenario.understood import file_notes

Files = dict[str, Records]
MAX_BLOCKS = 10_000
MAX_REQUESTS = 5_000_000
MAX_TEXTS = 2_000_000


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
    parts = scenario.parts() or {"": scenario}
    files, names = _prompt_files(parts)
    cases = tuple(_with_file(case, names[case.part]) for case in cases)
    plan = _plan(scenario, targets, cases, scenario.blocks, seed, salt)
    notes = (
        file_notes(one, files.get(names[part], ()), [c for c in cases if c.part == part])
        for part, one in parts.items()
    )
    return replace(
        plan,
        blocks=interleaved(cases, scenario.blocks, plan.seed),
        prompt_files=files,
        notes=tuple(dict.fromkeys(chain.from_iterable(notes))),
        fidelity=_fidelity(scenario, cases, plan.seed),
    )


def _plan(
    scenario: Scenario,
    targets: tuple[Target, ...],
    cases: tuple[Case, ...],
    repetitions: int,
    seed: int | None,
    salt: int | None,
) -> Plan:
    """A plan without its blocks and files."""
    problem = _too_much(cases, repetitions) or next(
        filter(None, (too_long(case) or outgrown(case) for case in cases)), ""
    )
    if problem:
        raise scenario.wrong(problem)
    if salt is None:
        salt = secrets.randbits(53) if scenario.salt is None else scenario.salt
    return Plan(
        name=scenario.name,
        description=scenario.description.strip(),
        tags=tuple(scenario.tags),
        source=scenario.source,
        scenario=scenario.as_data(),
        targets=targets,
        cases=cases,
        blocks=(),
        seed=scenario.seed if seed is None else seed,
        salt=salt,
        thresholds=tuple(scenario.thresholds),
        primary=_primary(scenario),
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
    targets_a, own_b = case_targets(scenario_a, hosts_a), case_targets(scenario_b, hosts_b)
    targets_b, rename = _joined(targets_a, own_b)
    cases_a = make_cases(scenario_a, case_models(scenario_a, models_a), targets_a)
    cases_b = make_cases(scenario_b, case_models(scenario_b, models_b), own_b)
    cases_b = tuple(replace(c, target=rename[c.target]) for c in cases_b)
    if len(cases_a) != len(cases_b):
        raise UsageError(
            f"side a has {len(cases_a)} cases and side b {len(cases_b)}: they cannot be paired",
            "let both sides differ in single values, not in the length of a list",
        )
    files, names = _prompt_files({"a": scenario_a, "b": scenario_b})
    cases_b = tuple(_with_file(case, names["b"]) for case in cases_b)
    sides = [(_sided(a, "a"), _sided(b, "b")) for a, b in zip(cases_a, cases_b, strict=True)]
    cases = tuple(case for pair in sides for case in pair)
    plan = _plan(scenario_a, (*targets_a, *targets_b), cases, pairs, seed, salt)
    notes = (
        *file_notes(scenario_a, files.get(names["a"], ()), cases_a),
        *file_notes(scenario_b, files.get(names["b"], ()), cases_b),
    )
    return replace(
        plan,
        blocks=paired(sides, pairs, plan.seed),
        prompt_files=files,
        scenario_b=scenario_b.as_data(),
        notes=tuple(dict.fromkeys(notes)),
    )


def _joined(
    targets_a: tuple[Target, ...], targets_b: tuple[Target, ...]
) -> tuple[tuple[Target, ...], dict[str, str]]:
    """Targets that only side b has, and what each of its names became: names stay unique."""
    rename, extra = {}, []
    taken = {t.name: t for t in targets_a}
    for target in targets_b:
        there = taken.get(target.name)
        name = target.name if there in (None, target) else f"{target.name} (b)"
        rename[target.name] = name
        if there != target:
            extra.append(replace(target, name=name))
    return tuple(extra), rename


def _fidelity(scenario: Scenario, cases: tuple[Case, ...], seed: int) -> FidelityPlan | None:
    asked = scenario.fidelity
    if asked is None:
        return None
    models = {c.model for c in cases}
    if len({(c.target, c.model) for c in cases}) < 2:
        raise scenario.wrong(
            "there is nothing to compare with: name two models, or two targets; or leave it out "
            "(--set fidelity=null)",
            "fidelity",
        )
    if asked.reference and asked.reference not in models:
        known = ", ".join(sorted(models))
        raise scenario.wrong(
            f"reference {asked.reference} is none of the models: {known}", "fidelity"
        )
    from bench.scenario.word_ends import forced_texts

    folder, key = scenario.directory, "fidelity.texts"
    texts = forced_texts(asked.texts, quick=asked.quick, seed=seed, folder=folder, key=key)
    return FidelityPlan(asked.reference or "", texts)


def _sided(case: Case, side: str) -> Case:
    return replace(case, id=f"{side}: {case.id}", axes={**case.axes, "side": side})


def _primary(scenario: Scenario) -> tuple[str, ...]:
    if scenario.primary is not None:
        return tuple(scenario.primary)
    if scenario.endpoint == "embed":
        return ("text_per_s", "batch_s.p50")
    first = "later_ttft_s.p50" if in_sessions(scenario) else "ttft_s.p50"
    return ("decode_tok_per_s", first if scenario.stream else "e2e_s.p50")


def _prompt_files(asked: dict[str, Scenario]) -> tuple[Files, dict[str, str]]:
    """The prompts of the files that several scenarios name, and what each one's is called there.

    Where the same file is cut otherwise, or other columns of it are asked, it is another one.
    """
    files: Files = {}
    names = {}
    for label, scenario in asked.items():
        given = scenario.prompts
        name = given.file or ""
        if name:
            path = scenario.directory / name
            records = read_prompt_file(path, given.split, given.columns, given.encoding)
            if files.setdefault(name, records) != records:
                name = f"{label}: {name}"
                files[name] = records
        names[label] = name
    return files, names


def _with_file(case: Case, name: str) -> Case:
    return replace(case, prompts=replace(case.prompts, file=name))


def _too_much(cases: tuple[Case, ...], repetitions: int) -> str:
    blocks = len(cases) * repetitions
    if blocks > MAX_BLOCKS:
        return (
            f"expands into {len(cases):,} cases x {repetitions:,} blocks = {blocks:,} blocks, "
            f"more than the {MAX_BLOCKS:,} allowed"
        )
    requests = 0.0  # as far as the plan settles them
    for case in cases:
        load, batch = case.load, case.prompts.batch
        limits = [float(load.requests)] if load.requests is not None else []
        if load.rate_per_s is not None and load.duration_s is not None:
            limits.append(load.rate_per_s * load.duration_s)
        asked = min(limits, default=0.0)
        texts = batch * max(asked, case.warmup)
        if batch > 1 and texts > MAX_TEXTS:
            return f"asks for {texts:,.0f} texts in a block, more than the {MAX_TEXTS:,} allowed"
        requests += repetitions * asked
    if requests > MAX_REQUESTS:
        return f"asks for {requests:,.0f} requests, more than the {MAX_REQUESTS:,} allowed"
    return ""
