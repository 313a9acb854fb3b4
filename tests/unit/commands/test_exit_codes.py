"""The exit code of several cases or runs: a loss that is certain is never hidden."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from virtual_runs import closed, plan_of, run_virtually
from virtual_server import model

from bench.analysis.run.summarise import summarise
from bench.analysis.run.summary import ThresholdVerdict
from bench.commands.run import FinishedRun, make_plan, with_file
from bench.errors import ExitCode, ModelError, gravest
from bench.results.run import RunWarning
from bench.results.warning_codes import WarningCode
from bench.thresholds import parse_threshold


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([0, 5, 1, 3], 1),  # once 5: an invalid run hid the threshold that failed in another
        ([0, 3, 5], 5),
        ([5, 4], 4),
        ([3, 0], 3),
        ([1, 130], 130),
        ([0, 0], 0),
        ([], 0),
    ],
)
def test_of_several_the_first_of_1_4_5_3_counts(codes: list[int], expected: int) -> None:
    assert gravest(ExitCode(code) for code in codes) == expected


@pytest.mark.parametrize(
    ("invalid", "failing", "expected"),
    [
        ((), (0,), ExitCode.WORSE),
        ((0,), (), ExitCode.INVALID),
        ((0,), (0,), ExitCode.INVALID),  # of one case, whatever it says
        ((0,), (1,), ExitCode.WORSE),  # once 5: the invalid case hid a failure of another
        (("",), (1,), ExitCode.INVALID),  # the whole run
        ((0, 1), (1,), ExitCode.INVALID),
    ],
)
def test_an_invalid_case_hides_no_failure_of_another(
    tmp_path: Path, invalid: tuple[int | str, ...], failing: tuple[int, ...], expected: ExitCode
) -> None:
    plan = replace(
        plan_of(closed(1, 4), closed(2, 4)), thresholds=(parse_threshold("e2e_s.max <= 100"),)
    )
    run = run_virtually(plan, model(), tmp_path)
    ids = [case.id for case in run.info.plan.cases]
    warnings = tuple(
        RunWarning(
            WarningCode.CLIENT_STALLED, "stood still", "", ids[i] if isinstance(i, int) else i, True
        )
        for i in invalid
    )
    info = replace(run.info, warnings=warnings)
    summary = summarise(info, run.records)
    assert {t.verdict for t in summary.thresholds} == {ThresholdVerdict.MET}
    verdicts = {ids[i]: ThresholdVerdict.NOT_MET for i in failing}
    judged = tuple(
        replace(t, verdict=verdicts.get(t.case, ThresholdVerdict.MET)) for t in summary.thresholds
    )
    finished = FinishedRun(run.path, info, replace(summary, thresholds=judged))
    assert finished.exit_code is expected


def test_a_server_that_is_not_started_yet_cannot_be_asked_for_its_model() -> None:
    """Once the server at the usual address was asked, which is not the one to be measured."""
    scenario = {
        "name": "managed",
        "targets": [{"name": "new", "command": ["ollama", "serve"]}],
        "prompts": ["Say it."],
        "load": {"closed": {"users": 1, "requests": 2}},
    }
    with pytest.raises(ModelError, match="no model is named, and new is started for the run"):
        make_plan(scenario)


def test_what_cannot_be_written_costs_no_answer(tmp_path: Path) -> None:
    run = run_virtually(plan_of(closed(1, 4)), model(), tmp_path)
    finished = FinishedRun(run.path, run.info, summarise(run.info, run.records))
    (run.path / "capacity.json").mkdir()
    kept = with_file(finished, "capacity.json", b"{}")
    assert [w.code for w in kept.not_written] == [WarningCode.SUMMARY_NOT_WRITTEN]
    assert "capacity.json" in kept.not_written[0].message
    assert with_file(finished, "other.json", b"{}") is finished
