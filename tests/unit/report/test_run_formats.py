"""Runs for machines that read reports: JUnit, annotations, benchstat, requests as tables."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet
import pytest
from runs import CHAT, FakeModel, build, write_run

from bench.errors import UsageError
from bench.report.formats import render
from bench.report.run_page import run_page
from bench.report.write import write_reports

LOAD = replace(
    CHAT,
    models=CHAT.models[:2],
    requests=12,
    failures=0.2,
    error_text="=cmd|'/c calc'!A0",
    thresholds=("ttft_s.p50 <= 2", "decode_tok_per_s >= 4000", "e2e_s.p99 <= 9"),
)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("formats"), LOAD)


def text(run_dir: Path, name: str) -> str:
    return write_reports([run_dir], name)[0]


def test_junit_has_a_test_for_each_threshold_of_each_case(run_dir: Path) -> None:
    root = ElementTree.fromstring(text(run_dir, "junit"))
    cases = root.findall(".//testcase")
    failed = [c.get("name") for c in cases if c.find("failure") is not None]
    # One request in five failed, so the 99th percentile is never.
    assert failed == ["decode_tok_per_s >= 4000", "e2e_s.p99 <= 9"] * 2
    assert root.get("failures") == "4" and root.get("tests") == str(len(cases))


def test_annotations_name_what_failed(run_dir: Path) -> None:
    lines = text(run_dir, "github").splitlines()
    assert lines[0].startswith("::error title=threshold failed%3A decode_tok_per_s >= 4000::")
    assert any(line.startswith("::warning title=requests failed::") for line in lines)


def test_benchstat_has_a_line_a_block(run_dir: Path) -> None:
    lines = text(run_dir, "benchstat").splitlines()
    assert sum("step=generate" in line for line in lines) == 2 * LOAD.blocks


def test_requests_as_csv_and_parquet_say_the_same(run_dir: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(text(run_dir, "requests-csv"))))
    path = tmp_path / "requests.parquet"
    write_reports([run_dir], "parquet", path)
    table = pyarrow.parquet.read_table(path).to_pylist()
    assert len(rows) == len(table) == 2 * LOAD.blocks * (LOAD.requests + LOAD.warmup)
    for row, kept in zip(rows, table, strict=True):
        assert (row["case"], int(row["request"])) == (kept["case"], kept["request"])
        assert row["ttft_s"] == ("" if kept["ttft_s"] is None else repr(kept["ttft_s"]))
    bad = [row for row in rows if row["outcome"] == "http_error"]
    assert bad
    assert {row["error"][:2] for row in bad} == {"'="}  # no formula
    assert {row["ttft_s"] for row in bad} == {""}
    good = next(k for k in table if k["phase"] == "measure" and k["outcome"] == "ok")
    speed = (good["eval_count"] - 1) / good["eval_duration"] * 1e9
    assert good["decode_tok_per_s"] == pytest.approx(speed)


def test_parquet_needs_a_file(run_dir: Path) -> None:
    with pytest.raises(UsageError, match="no text"):
        text(run_dir, "parquet")


def test_junit_and_annotations_hold_nothing_that_moves_a_cursor() -> None:
    """XML does not allow it; a run's junit was once no XML with such a name."""
    odd = replace(LOAD, models=(FakeModel("a\x1b[31m\x00:1b"),))
    run, summary = build(odd)
    page = run_page([run], [summary])
    root = ElementTree.fromstring(render(page, "junit"))
    assert any("a\ufffd[31m\ufffd:1b" in (c.get("classname") or "") for c in root.iter("testcase"))
    assert "\x1b" not in render(page, "github")
