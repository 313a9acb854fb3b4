"""The page about runs: warnings in one place each, and nothing found in invalid numbers."""

from dataclasses import replace

from runs import CONCURRENCY, LLAMA, QWEN, Workload, build

from bench.analysis.summary import Summary
from bench.report.page import Page
from bench.report.run_page import run_page
from bench.results.run import RunWarning


def page_with(*warnings: RunWarning, workload: Workload = CONCURRENCY) -> Page:
    run, summary = build(workload)
    return run_page([run], [replace(summary, warnings=warnings)])


def ids(summary: Summary, model: str) -> list[str]:
    return [c.id for c in summary.cases if c.model == model]


def test_places_of_a_warning_are_told_by_model_in_the_order_of_the_report() -> None:
    _, summary = build(CONCURRENCY)
    llama, qwen = ids(summary, LLAMA.name), ids(summary, QWEN.name)
    late = [RunWarning("late_sends", "late", case=c) for c in (qwen[0], llama[3], llama[1])]
    (notice,) = page_with(*late).warnings
    assert notice.where == (f"{LLAMA.name} · 2 users, 8 users", f"{QWEN.name} · 1 user")
    everywhere = [RunWarning("late_sends", "late", case=c.id) for c in summary.cases]
    (notice,) = page_with(*everywhere).warnings
    assert notice.where == (f"all {len(summary.cases)} cases",)


def test_warnings_of_one_kind_stand_together_with_their_own_numbers() -> None:
    _, summary = build(CONCURRENCY)
    first, second, *_ = (c.id for c in summary.cases)
    (notice,) = page_with(
        RunWarning("late_sends", "3 % late", "Stop other work.", first),
        RunWarning("late_sends", "9 % late", "Stop other work.", second),
    ).warnings
    assert [message for message, _ in notice.messages] == ["3 % late", "9 % late"]


def test_names_keep_their_first_letter() -> None:
    said = ("sim:latest failed", "mistral failed", "itl_s.p99 moved", "requests failed")
    _, summary = build(Workload(models=(replace(LLAMA, name="mistral"),)))
    run, _ = build(Workload(models=(replace(LLAMA, name="mistral"),)))
    warnings = tuple(RunWarning(f"w{i}", m) for i, m in enumerate(said))
    page = run_page([run], [replace(summary, warnings=warnings)])
    assert [n.message for n in page.warnings] == [*said[:3], "Requests failed"]


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
