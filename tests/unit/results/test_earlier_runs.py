"""Run directories of earlier versions stay readable, and say the same.

`tests/recordings/runs` holds runs as version 0.1.0 wrote them, before the rooms were moved, with
the summary that it made of them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.run.summarise import summarise
from bench.commands.comparing import compare
from bench.commands.stored_runs import index_run
from bench.report.formats import RENDERERS, render
from bench.report.run_page import run_page
from bench.results.directory import read_run
from bench.results.history import History

RUNS = sorted((Path(__file__).parents[2] / "recordings" / "runs").glob("0.1.0-*"))
SAME = (
    *("decode_tok_per_s.value", "ollama_tok_per_s.value", "error_rate.value"),
    *("ttft_s.mean", "ttft_s.p50", "e2e_s.mean", "e2e_s.p50", "eval_s.mean", "prompt_tokens.mean"),
    *("output_tokens.mean", "load_s.mean", "total_s.mean"),
)
"""Numbers that no change of meaning has touched. On purpose otherwise: rates per window, `queue_s`
of a lone request, `tpot_s` by the stream's shape, every interval, and what has too little data."""


def old_summary(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "summary.json").read_text())
    return found


@pytest.mark.parametrize("path", RUNS, ids=lambda p: p.name)
def test_the_numbers_are_those_of_then(path: Path) -> None:
    run = read_run(path)
    assert run.torn_lines == 0 and not run.incomplete and run.info.warnings == ()
    (now,), (then,) = summarise(run.info, run.records).cases, old_summary(path)["cases"]
    assert now.requests.ok == then["requests"]["ok"] == 18
    for name in SAME:
        id, _, statistic = name.partition(".")
        found = now.metrics[id].stats[statistic].value
        assert found == pytest.approx(then["metrics"][id][statistic]["value"], rel=1e-12), name


@pytest.mark.parametrize("path", RUNS, ids=lambda p: p.name)
@pytest.mark.parametrize("form", sorted(RENDERERS))
def test_they_render_in_every_format(path: Path, form: str) -> None:
    run = read_run(path)
    text = render(run_page([run], [summarise(run.info, run.records)]), form)
    assert "sim-small" in text


def test_they_are_compared_and_indexed(tmp_path: Path) -> None:
    first, second = (Path(shutil.copytree(path, tmp_path / path.name)) for path in RUNS)
    (comparison,) = compare(first, second)
    assert comparison.refused is None and comparison.indicative
    (case,) = comparison.cases
    assert {m.metric for m in case.metrics} >= {"decode_tok_per_s", "ttft_s.p50"}
    history = History(tmp_path / "history.db")
    for path in (first, second):
        index_run(path, history)
    assert {run.path for run in history.runs()} == {first, second}
