"""Single requests inside a page: all of a small run, the extremes of a large one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runs import CONCURRENCY, Workload, build, build_run

from bench.report import drill_down
from bench.report.model import build_report
from bench.results.record import Phase


def data_of(workload: Workload) -> dict[str, Any]:
    run, summary = build(workload)
    found: dict[str, Any] = json.loads(drill_down.request_data(build_report([run], [summary])))
    return found


def column(data: dict[str, Any], name: str) -> list[Any]:
    place = data["columns"].index(name)
    return [row[place] for row in data["rows"]]


def test_every_measured_request_is_there_with_its_parts() -> None:
    workload = replace(CONCURRENCY, requests=10)
    data = data_of(workload)
    measured = [r for r in build_run(workload, Path("r")).records if r.phase is Phase.MEASURE]
    assert data["total"] == len(data["rows"]) == len(measured) == 240
    longest = max((r.end_ns or 0) - (r.sent_ns or 0) for r in measured)
    assert max(column(data, "Whole answer")) == pytest.approx(longest / 1e6, abs=0.06)
    assert set(column(data, "Case")) == set(range(8))
    assert all(t == 128 for t in column(data, "Tokens"))


def test_failed_requests_say_why_and_the_slowest_show_their_gaps() -> None:
    data = data_of(Workload(failures=0.1))
    outcomes = [data["outcomes"][o] for o in column(data, "Outcome")]
    failed = [i for i, o in enumerate(outcomes) if o != "ok"]
    assert failed
    assert all("unexpectedly stopped" in data["details"][str(i)]["error"] for i in failed)
    slowest = max(range(len(outcomes)), key=lambda i: column(data, "Whole answer")[i])
    assert max(data["details"][str(slowest)]["gaps"]) > 10
    assert column(data, "Decode")[failed[0]] is None


@pytest.mark.slow
def test_of_too_many_the_extremes_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = Workload(requests=200, failures=0.02)
    whole = data_of(workload)
    monkeypatch.setattr(drill_down, "MOST_REQUESTS", 90)
    some = data_of(workload)
    assert some["total"] == 600
    assert len(some["rows"]) == 90
    for name in ("Whole answer", "First text"):
        known = [max(x for x in column(d, name) if x is not None) for d in (some, whole)]
        assert known[0] == known[1]
    bad = some["outcomes"].index("http error")
    assert column(some, "Outcome").count(bad) == column(whole, "Outcome").count(bad)


def test_a_long_stall_survives_thinning() -> None:
    gaps = [20_000_000] * 5000
    gaps[3333] = 900_000_000
    assert max(drill_down._gaps(gaps)) == 900.0
    assert len(drill_down._gaps(gaps)) <= 48


def test_of_very_many_runs_the_extremes_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than 666 runs each had no room for an extreme, so all of its requests stayed."""
    monkeypatch.setattr(drill_down, "MOST_REQUESTS", 6)
    assert len(data_of(Workload(requests=40))["rows"]) == 9
