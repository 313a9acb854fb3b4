"""Many people's runs on one page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from runs import HARD, LLAMA, QWEN, Workload, write_run

from bench.commands.board import board
from bench.errors import ResultsError
from bench.report.board import sparkline
from bench.report.formats import render
from bench.report.page import Prose
from bench.report.tables import Table

SMALL = Workload(models=(LLAMA, QWEN), requests=12, warmup=1)


def test_machines_models_and_versions_are_on_one_page(tmp_path: Path) -> None:
    slower = replace(LLAMA, step_s=0.025)
    other = {"cpu": {"model": "Apple M3"}, "gpus": []}
    write_run(tmp_path / "ann", replace(SMALL, version="0.9.6", models=(slower,)))
    write_run(tmp_path / "ann", replace(SMALL, version="0.32.15"))
    write_run(tmp_path / "bob" / "deep", replace(SMALL, environment=other))
    (tmp_path / "bob" / "broken").mkdir()
    (tmp_path / "bob" / "broken" / "run.json").write_text("{")
    page = board([tmp_path])
    table, lines = page.brief
    assert len(table.rows) == 5
    assert {row.cells[0].text for row in table.rows} == {
        "AMD Ryzen 9 7950X, NVIDIA GeForce RTX 3060",
        "Apple M3",
    }
    assert "broken" in page.warnings[0].message
    (line,) = lines.rows
    told = {c.title: cell.text for c, cell in zip(lines.columns, line.cells, strict=True)}
    assert told["Versions"] == "0.9.6 → 0.32.15"
    assert told["Decode"] == "▁█"
    assert told["Change"].startswith("+2")
    html = render(page, "html")
    assert "data-filterable" in html and "http://" not in html.replace("http://www.w3.org", "")


def test_the_fastest_is_named_with_its_interval_and_what_is_alike_is_said_once(
    tmp_path: Path,
) -> None:
    for step in (0.02, 0.03):
        write_run(tmp_path, replace(SMALL, models=(replace(LLAMA, step_s=step),), blocks=6))
    page = board([tmp_path])
    (found,) = page.findings
    assert re.search(r"fastest at [\d.]+ tok/s ± [\d.]+ .*of 2 runs", found.texts[0])
    (section,) = page.sections
    alike, table = section.items[1:3]
    assert isinstance(alike, Prose) and isinstance(table, Table)
    assert "Load 1 user, Context 8,192" in str(alike)
    shown = [column.title for column in table.columns]
    assert {"Machine", "Model", "Decode"} <= set(shown) and "Context" not in shown
    assert len(page.brief[0].columns) > len(shown)  # programs that read CSV get them all


def test_made_up_numbers_win_nothing_and_hostile_names_stay_text(tmp_path: Path) -> None:
    write_run(tmp_path, HARD)
    page = board([tmp_path])
    assert page.simulated
    assert page.findings
    assert all("no decode speed in a valid, real run" in a.texts[0] for a in page.findings)
    assert "<script>alert" not in render(page, "html")


def test_a_folder_without_runs_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no run to show"):
        board([tmp_path])


def test_a_sparkline_goes_from_lowest_to_highest() -> None:
    assert sparkline([1.0, 2.0, 1.5]) == "▁█▅"
    assert sparkline([3.0, 3.0]) == "▄▄"


@pytest.mark.slow
def test_loads_are_sorted_as_numbers(tmp_path: Path) -> None:
    """Once 16 users stood before 2: loads were sorted as text."""
    many = replace(SMALL, models=(LLAMA,), users=(2, 16), requests=32)
    write_run(tmp_path, many)
    table, *_ = board([tmp_path]).brief
    load = [c.title for c in table.columns].index("Load")
    assert [row.cells[load].text for row in table.rows] == ["2 users", "16 users"]
