"""How cases and runs are called, and what tells them apart."""

import pytest
from runs import CONCURRENCY, DEPTH, LLAMA, QWEN, Workload, build

from bench.errors import UsageError
from bench.report.model import Report, axis_text, build_report


def report_of(*workloads: Workload) -> Report:
    runs, summaries = zip(*(build(w) for w in workloads), strict=True)
    return build_report(runs, summaries)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("users", "1", "1 user"),
        ("users", "4", "4 users"),
        ("rate", "0.5", "0.5 requests/s"),
        ("think", "true", "thinking on"),
        ("think", "False", "thinking off"),
        ("think", "high", "thinking high"),
        ("options.num_ctx", "8192", "num_ctx 8192"),
        ("prompts.synthetic.input_tokens", "500", "500 input tokens"),
        ("input_tokens", "500", "500 input tokens"),
        ("target", "new", "new"),
    ],
)
def test_axes_in_words(name: str, value: str, text: str) -> None:
    assert axis_text(name, value) == text


@pytest.mark.slow
def test_only_what_varies_is_told() -> None:
    assert [c.label for c in report_of(Workload()).cases] == [LLAMA.name]
    two = report_of(Workload(models=(LLAMA, QWEN)))
    assert [c.label for c in two.cases] == [LLAMA.name, QWEN.name]
    sweep = report_of(CONCURRENCY)
    assert [c.label for c in sweep.cases][:2] == [
        f"{LLAMA.name} · 1 user",
        f"{LLAMA.name} · 2 users",
    ]
    assert sweep.cases[1].subject == f"{LLAMA.name} with 2 users"
    assert report_of(DEPTH).cases[0].axes == ("500 input tokens",)


@pytest.mark.slow
def test_models_keep_their_colours() -> None:
    report = report_of(CONCURRENCY)
    assert report.models == (LLAMA.name, QWEN.name)
    assert {c.series for c in report.cases if c.model == QWEN.name} == {1}


@pytest.mark.parametrize(
    ("workloads", "labels"),
    [
        ([Workload()], [""]),
        (
            [Workload(version="0.24.0"), Workload(version="0.32.15")],
            ["Ollama 0.24.0", "Ollama 0.32.15"],
        ),
        ([Workload(name="chat"), Workload(name="smoke")], ["chat", "smoke"]),
        ([Workload(), Workload()], ["run 1", "run 2"]),
    ],
)
def test_runs_are_told_apart(workloads: list[Workload], labels: list[str]) -> None:
    report = report_of(*workloads)
    assert [v.label for v in report.runs] == labels
    if labels[0]:
        assert report.cases[0].who == f"{LLAMA.name} ({labels[0]})"


def test_no_run_is_no_report() -> None:
    with pytest.raises(UsageError):
        build_report([], [])
