"""Tables of results."""

from dataclasses import replace

import pytest
from runs import CHAT, CONCURRENCY, HARD, Workload, build

from bench.report.failure_tables import error_table, outcome_table
from bench.report.model import Report, build_report
from bench.report.result_tables import (
    absent_table,
    block_table,
    comparison_table,
    metric_table,
    shown_metrics,
)
from bench.report.tables import Table
from bench.report.threshold_table import threshold_details, threshold_table


def report_of(workload: Workload) -> Report:
    run, summary = build(workload)
    return build_report([run], [summary])


def texts(table: Table | None, title: str) -> list[str]:
    assert table is not None
    place = [c.title for c in table.columns].index(title)
    return [row.cells[place].text for row in table.rows]


@pytest.mark.slow
def test_comparison_has_a_row_a_case_and_says_what_it_lacks() -> None:
    table = comparison_table(report_of(CONCURRENCY))
    assert len(table.rows) == 8
    assert table.filterable
    assert "needs" not in table.note
    short = comparison_table(report_of(replace(CHAT, requests=13)))
    assert short.note.endswith("The p95 of the first text needs 72 requests: 3 cases had fewer.")


@pytest.mark.slow
def test_comparison_has_the_axes_as_columns_and_every_ratio_to_the_best() -> None:
    table = comparison_table(report_of(CONCURRENCY))
    assert texts(table, "Users") == ["1", "2", "4", "8"] * 2
    assert texts(table, "Memory") == ["3.17"] * 8
    ratios = texts(table, "Decode speed / best")
    assert ratios.count("best") == 1
    place = [c.title for c in table.columns].index("Decode speed / best")
    cells = [row.cells[place] for row in table.rows if row.cells[place].text != "best"]
    assert all(c.low and c.raw and c.high and c.low < c.raw < c.high for c in cells)
    alone = [c.title for c in comparison_table(report_of(Workload())).columns]
    assert alone[0] == "Case"
    assert not any("best" in title for title in alone)


def test_failures_stand_beside_the_requests() -> None:
    assert any("failed" in t for t in texts(comparison_table(report_of(HARD)), "Requests"))
    assert not any("failed" in t for t in texts(comparison_table(report_of(CHAT)), "Requests"))


def test_answer_column_only_where_a_model_thinks() -> None:
    def titles(workload: Workload) -> list[str]:
        return [c.title for c in comparison_table(report_of(workload)).columns]

    assert "First answer text, p50" in titles(HARD)
    assert "First answer text, p50" not in titles(CHAT)


def test_thresholds_say_when_the_interval_leaves_them_open() -> None:
    limits = ("decode_tok_per_s >= 40", "decode_tok_per_s >= 49.5", "ttft_s.p99 <= 2")
    table = threshold_table(report_of(Workload(thresholds=limits)))
    assert texts(table, "Result") == ["✗ not met, but open", "? not supported", "✓ met"]
    assert texts(table, "Measured")[2].endswith("tok/s ± 0.3")
    assert "368" in texts(table, "Remark")[1]
    assert threshold_table(report_of(Workload())) is None
    assert threshold_details(report_of(Workload(thresholds=limits))) is None


@pytest.mark.slow
def test_thresholds_of_many_cases_are_a_row_each_result() -> None:
    report = report_of(replace(CONCURRENCY, thresholds=("ttft_s.p50 <= 1", "e2e_s.p50 <= 99")))
    table = threshold_table(report)
    assert texts(table, "Result")[0] == "✗ not met"
    assert texts(table, "Cases")[-1] == "all 8 cases"
    medians = [c.estimate("ttft_s", "p50") for c in report.cases]
    worst = max(e.value or 0.0 for e in medians if e)
    assert texts(table, "Measured")[0].startswith(f"{worst:.2f}")
    details = threshold_details(report)
    assert details is not None
    assert len(details.rows) == 16


def test_errors_are_counted_by_what_was_said() -> None:
    table = error_table(report_of(Workload(failures=0.5, error_text="out of memory")))
    assert texts(table, "Said") == ["out of memory"]
    assert texts(table, "Outcome") == ["http error"]
    assert error_table(report_of(Workload())) is None


def test_outcomes_and_reasons() -> None:
    table = outcome_table(report_of(Workload()))
    assert texts(table, "ok") == ["120"]
    assert texts(table, "stopped: length") == ["120"]


def test_every_metric_of_the_summary_has_a_table() -> None:
    report = report_of(HARD)
    present = {m for c in report.cases for m in c.summary.metrics}
    absent = absent_table(report)
    assert absent is not None
    assert len(shown_metrics(report)) + len(absent.rows) == len(present)
    assert {"ttft_s", "decode_tok_per_s", "error_rate"} <= set(shown_metrics(report))
    for metric_id in shown_metrics(report):
        table = metric_table(report, metric_id)
        assert table is not None
        assert len(table.rows) == 3
    assert metric_table(report, "no_such_metric") is None


@pytest.mark.slow
def test_blocks_in_order_of_time() -> None:
    table = block_table(report_of(CONCURRENCY))
    assert table is not None
    starts = [row.cells[1].raw or 0.0 for row in table.rows]
    assert len(starts) == 24
    assert starts == sorted(starts)


def test_the_case_that_is_furthest_off_is_the_one_that_never_got_the_thing() -> None:
    """A number that is infinite, or that nothing was measured of, has no value."""
    run, summary = build(replace(CONCURRENCY, thresholds=("ttft_s.p50 <= 0.0001",)))
    first, *others = summary.thresholds
    never = replace(first, value=None, low=None, high=None, note="5 of 9 requests never answered")
    table = threshold_table(build_report([run], [replace(summary, thresholds=(*others, never))]))
    assert table is not None
    (row,) = table.rows
    assert [cell.text for cell in row.cells][-1] == "5 of 9 requests never answered"
