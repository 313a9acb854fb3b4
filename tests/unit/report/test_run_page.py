"""The page about runs: warnings in one place each, and nothing found in invalid numbers."""

from dataclasses import replace

import pytest
from runs import CONCURRENCY, LLAMA, QWEN, Workload, build

from bench.analysis.run.summary import Summary
from bench.report.model import build_report
from bench.report.page import Page
from bench.report.run_page import run_page
from bench.results.directory import Run
from bench.results.run import RunWarning


def page_with(*warnings: RunWarning, workload: Workload = CONCURRENCY) -> Page:
    run, summary = build(workload)
    return run_page([run], [replace(summary, warnings=warnings)])


def ids(summary: Summary, model: str) -> list[str]:
    return [c.id for c in summary.cases if c.model == model]


@pytest.mark.slow
def test_places_of_a_warning_are_told_by_model_in_the_order_of_the_report() -> None:
    _, summary = build(CONCURRENCY)
    llama, qwen = ids(summary, LLAMA.name), ids(summary, QWEN.name)
    late = [RunWarning("late_sends", "late", case=c) for c in (qwen[0], llama[3], llama[1])]
    (notice,) = page_with(*late).warnings
    assert notice.where == (f"{LLAMA.name} · 2 users, 8 users", f"{QWEN.name} · 1 user")
    everywhere = [RunWarning("late_sends", "late", case=c.id) for c in summary.cases]
    (notice,) = page_with(*everywhere).warnings
    assert notice.where == (f"all {len(summary.cases)} cases",)


@pytest.mark.slow
def test_warnings_of_one_kind_stand_together_with_their_own_numbers() -> None:
    _, summary = build(CONCURRENCY)
    first, second, *_ = (c.id for c in summary.cases)
    (notice,) = page_with(
        RunWarning("late_sends", "3 % late", "Stop other work.", first),
        RunWarning("late_sends", "9 % late", "Stop other work.", second),
    ).warnings
    assert notice.message == "9 % late"
    assert notice.where == ("the worst of 2 cases",)
    assert [message for message, _ in notice.every] == ["9 % late", "3 % late"]
    assert notice.folded
    twice = [RunWarning("late_sends", f"{n} % late", case=first) for n in (3, 9)]
    assert page_with(*twice).warnings[0].where == (f"{LLAMA.name} · 1 user",)
    of_no_case = [RunWarning("asked_again", f"POST /api/generate: {n} times") for n in (2, 3)]
    (notice,) = page_with(*of_no_case).warnings
    assert (notice.message[-7:], notice.where) == ("3 times", ("the worst of 2 messages",))


@pytest.mark.slow
def test_the_worst_of_all_blocks_is_said_in_its_own_unit_and_the_most_harmful_first() -> None:
    _, summary = build(CONCURRENCY)
    first, second, *_ = (c.id for c in summary.cases)
    late = [
        RunWarning("late_sends", f"block {i}: sent up to {x} after they were due", case=c)
        for i, x, c in ((1, "980 ms", first), (2, "1.2 s", second), (3, "2.0 ms", second))
    ]
    spilled = [RunWarning("gpu_spill", f"only {x}% is on the GPU", case=first) for x in (90, 40)]
    failed = RunWarning("failed_requests", "block 1: 3 of 12 requests failed", case=first)
    told = page_with(*late, *spilled, failed).warnings
    assert [n.code for n in told] == ["failed_requests", "gpu_spill", "late_sends"]
    assert told[1].message == "Only 40% is on the GPU"
    assert told[2].message == "Sent up to 1.2 s after they were due"
    assert told[2].where == ("the worst of 3 blocks of 2 cases",)
    assert [n.folded for n in told] == [False, False, True]


@pytest.mark.slow
def test_failed_requests_are_in_the_headline() -> None:
    page = page_with(workload=replace(CONCURRENCY, failures=0.1))
    failed = sum(c.summary.requests.failed for c in build_report(*page_of(0.1)).cases)
    assert page.findings[0].texts[0].startswith(f"{failed} of 960 requests failed: {failed} HTTP")
    assert page.findings[0].tone == "bad"
    assert page.badges[0].text == f"{failed} requests failed"


def page_of(failures: float) -> tuple[list[Run], list[Summary]]:
    run, summary = build(replace(CONCURRENCY, failures=failures))
    return [run], [summary]


def test_names_keep_their_first_letter() -> None:
    said = ("sim:latest failed", "mistral failed", "itl_s.p99 moved", "requests failed")
    _, summary = build(Workload(models=(replace(LLAMA, name="mistral"),)))
    run, _ = build(Workload(models=(replace(LLAMA, name="mistral"),)))
    warnings = tuple(RunWarning(f"w{i}", m) for i, m in enumerate(said))
    page = run_page([run], [replace(summary, warnings=warnings)])
    assert [n.message for n in page.warnings] == [*said[:3], "Requests failed"]


@pytest.mark.slow
def test_nothing_is_found_in_invalid_numbers() -> None:
    assert len(page_with().findings) == 3
    bad = RunWarning("client_bent", "bent", invalidates=True)
    assert page_with(bad).findings == ()
    assert all("invalid" in a.texts[1] for a in page_with(bad).answers)
    _, summary = build(CONCURRENCY)
    one = RunWarning("client_bent", "bent", case=ids(summary, QWEN.name)[3], invalidates=True)
    told = page_with(one)
    assert any(f.model == LLAMA.name for f in told.findings)
    assert not any(f.model == QWEN.name for f in told.findings)
    assert sum(any("invalid" in text for text in a.texts) for a in told.answers) == 1


def test_a_block_is_counted_in_every_run() -> None:
    run, summary = build(Workload(requests=4))
    late = [
        RunWarning("late_sends", f"block 1: {n} % late", case=summary.cases[0].id) for n in (3, 9)
    ]
    warned = [replace(summary, warnings=(w,)) for w in late]
    page = run_page([run, replace(run, info=replace(run.info, id="other"))], warned)
    assert page.warnings[0].where == ("the worst of 2 blocks of 2 cases",)
