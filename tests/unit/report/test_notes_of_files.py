"""What was understood of prompt files and traces stands in the report, and in run.json."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from runs import Workload, build, write_run

from bench.report.formats import render
from bench.report.run_page import run_page
from bench.results.directory import RunDirectory, read_info

NOTE = "trace m.jsonl: 6 arrivals; over 9.16 s; timestamp, in ms (Mooncake), counted from the first"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["html", "markdown"])
def test_how_it_was_measured_names_the_files(form: str) -> None:
    run, summary = build(Workload(requests=4, blocks=2))
    plain = render(run_page([run], [summary]), form)
    info = replace(run.info, plan=replace(run.info.plan, notes=(NOTE,)))
    noted = render(run_page([replace(run, info=info)], [summary]), form)
    assert NOTE in noted.replace("\\", "") and NOTE not in plain


def test_notes_are_kept_and_runs_without_them_are_read(tmp_path: Path) -> None:
    path = write_run(tmp_path, Workload(requests=2, blocks=1))
    info = read_info(path)
    RunDirectory(path, info.id).write_info(replace(info, plan=replace(info.plan, notes=(NOTE,))))
    assert read_info(path).plan.notes == (NOTE,)
    older = (path / "run.json").read_text().replace('"notes"', '"unknown"')
    (path / "run.json").write_text(older)
    assert read_info(path).plan.notes == ()
