"""The public API does not change by accident: its names and signatures are listed here."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import bench

SIGNATURES = {
    "ab": "plan, *, judging, settings, observer, report, template",
    "ab_plan": "scenario, a, b, pairs, *, models, hosts, overrides, seed",
    "compare": "baseline, candidates, *, judging, history",
    "fidelity": "reference, candidates, *, host, texts, quick, seed, settings, on_step",
    "find_capacity": "scenario, promises, *, by, budget_s, ceiling, slots_asked, gpu_bytes, "
    "cache_type, models, hosts, overrides, seed, settings, observer",
    "fit_run": "path, *, slots, model",
    "make_plan": "scenario, *, models, hosts, overrides, seed, settings",
    "plan_pairs": "run, *, judging, history",
    "resume_fidelity": "path, *, settings, on_step",
    "run": "scenario, *, models, hosts, overrides, seed, settings, observer, report",
    "run_plan": "plan, *, settings, observer, report, grow",
    "start_server": "engine, *, profile, models, port, faults, fault_plan, truth_log, environment, "
    "**settings",
    "study": "profile_name, promises, *, model, people, rate_per_s, trace, time_scale, window_s, "
    "slots, servers, most, prefill_factor, routing, seed",
}
TWINS = {name: f"{name}_async" for name in ("ab", "fidelity", "find_capacity", "run", "run_plan")}
TYPES = {
    *("BenchError", "Comparison", "EmbeddedServer", "ExitCode", "FakeTransport", "FinishedRun"),
    *(
        "FoundCapacity",
        "FoundFidelity",
        "History",
        "Judging",
        "Observer",
        "Plan",
        "ScriptedReply",
        "Settings",
    ),
    *("Summary", "UserModel"),
}


def parameters(function: object) -> str:
    assert callable(function)
    shown, star = [], False
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.KEYWORD_ONLY and not star:
            shown.append("*")
            star = True
        shown.append(f"**{p.name}" if p.kind is p.VAR_KEYWORD else p.name)
    return ", ".join(shown)


def test_the_names():
    assert set(bench.__all__) == {"__version__", *SIGNATURES, *TWINS.values(), *TYPES}
    assert dir(bench) == sorted(bench.__all__)


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_a_signature(name):
    assert parameters(getattr(bench, name)) == SIGNATURES[name]


@pytest.mark.parametrize("name", sorted(TWINS))
def test_a_twin_has_the_same_signature(name):
    twin = getattr(bench, TWINS[name])
    assert inspect.iscoroutinefunction(twin)
    assert parameters(twin) == SIGNATURES[name]
    assert twin.__name__ == TWINS[name]


@pytest.mark.parametrize("name", sorted(TYPES))
def test_a_type(name):
    assert inspect.isclass(getattr(bench, name)) and inspect.getdoc(getattr(bench, name))


GIVEN_BACK = {"EmbeddedServer", "FinishedRun", "FoundCapacity", "FoundFidelity"}
NO_FILES = {"__version__", "BenchError", "ExitCode"}


@pytest.mark.parametrize("name", sorted({*bench.__all__} - GIVEN_BACK - NO_FILES))
def test_a_path_may_be_text_wherever_one_is_given(name):
    called = getattr(bench, name)
    kinds = {p.name: str(p.annotation) for p in inspect.signature(called).parameters.values()}
    assert [p for p, kind in kinds.items() if "Path" in kind and "str" not in kind] == []


@pytest.mark.slow
def test_settings_with_text_for_paths(tmp_path):
    keys = {"schema": 1, "name": "text", "options": {"num_predict": 4}, "blocks": 2, "warmup": 0}
    settings = bench.Settings(output=str(tmp_path / "runs"), history=str(tmp_path / "h.sqlite"))
    with bench.start_server(profile="test") as server:
        scenario = keys | {"load": {"closed": {"users": 1, "requests": 3}}}
        found = bench.run(scenario, models="sim-small", hosts=server.url, settings=settings)
    assert found.path.parent == tmp_path / "runs"
    assert found.path.name in [run.id for run in bench.History(str(tmp_path / "h.sqlite")).runs()]


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bench.nothing


def test_importing_it_imports_nothing_large():
    code = "import bench, sys; print([m for m in ('numpy', 'httpx', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
