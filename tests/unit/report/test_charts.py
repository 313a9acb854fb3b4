"""What charts draw is what was measured, thinned but not bent."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from cases import case, metric
from damaged_files import limited
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from runs import CHAT, CONCURRENCY, DEPTH, HARD, Workload, build

from bench.analysis.run.summarise import summarise
from bench.analysis.run.summary import Estimate, Steadiness
from bench.report.charts import machine_panel, run_charts, timeline
from bench.report.charts.axes import plain
from bench.report.charts.curves import CURVES, curve_chart
from bench.report.charts.drift import drift_chart
from bench.report.charts.machine_panel import averaged
from bench.report.charts.parts import Canvas, shortened, text_width
from bench.report.charts.request_parts import mean_parts
from bench.report.charts.sessions import sessions_of
from bench.report.charts.timeline import MOST_REQUESTS, bar_of
from bench.report.model import Report, build_report
from bench.report.samples import CURVE_POINTS, curve, samples_of
from bench.results.record import Phase, RequestRecord
from bench.wire.exchange import Outcome, ServerTimings

S = 1_000_000_000


def ids(workload: Workload) -> list[str]:
    run, summary = build(workload)
    return [c.id for c in run_charts(build_report([run], [summary]))]


@pytest.mark.slow
def test_charts_are_there_where_there_is_something_to_draw() -> None:
    always = ["speed", "split", "first-text", "per-token", "timeline", "drift"]
    assert ids(CHAT) == always
    assert ids(CONCURRENCY) == [
        *("speed", "split", "throughput", "latency-load", "first-text", "per-token"),
        *("timeline", "drift", "machine-r0c0", "machine-r0c7"),
    ]
    assert ids(DEPTH) == [*always[:4], "depth", *always[4:]]
    sweep = Workload(users=(1, 2), prompt_tokens=(100, 400), requests=8)
    assert ids(sweep)[0] == "heat"
    assert ids(replace(CHAT, stream=False)) == ["speed", "split", "timeline", "drift"]
    assert ids(replace(CHAT, failures=1.0)) == ["timeline"]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=2000))
def test_a_thinned_distribution_keeps_its_ends_and_its_shape(values: list[float]) -> None:
    ordered = np.sort(np.array(values))
    x, share = curve(ordered)
    assert len(x) <= max(CURVE_POINTS, 1)
    assert (x[0], x[-1]) == (ordered[0], ordered[-1])
    assert share[-1] == 1.0
    assert (np.diff(x) >= 0).all()
    for value, part in zip(x, share, strict=True):
        assert np.searchsorted(ordered, value, "left") < part * len(ordered) + 0.5
        assert part <= (ordered <= value).mean() + 1e-12


@pytest.mark.slow
def test_mean_parts_add_up_to_the_mean_time_of_a_request() -> None:
    run, summary = build(CONCURRENCY)
    for sample in samples_of(build_report([run], [summary])).cases:
        found = mean_parts(sample)
        assert found is not None
        parts, n = found
        assert n == sample.case.summary.requests.ok
        mean = sample.case.summary.metrics["e2e_s"].stats["mean"].value
        assert sum(parts.values()) == pytest.approx(mean, rel=1e-6)


def record(**changes: object) -> RequestRecord:
    base = RequestRecord(
        case="c",
        block=0,
        index=0,
        phase=Phase.MEASURE,
        outcome=Outcome.OK,
        model="m",
        stream=True,
        sent_ns=10 * S,
        end_ns=20 * S,
        server=ServerTimings(
            total_duration=9 * S,
            load_duration=1 * S,
            prompt_eval_count=5,
            prompt_eval_duration=2 * S,
            eval_count=5,
            eval_duration=3 * S,
        ),
    )
    return replace(base, **changes)


def test_bar_of_a_request_lays_the_servers_durations_end_to_end() -> None:
    bar = bar_of(record(), origin_ns=5 * S)
    assert bar is not None
    assert (bar.start, bar.end) == (5.0, 15.0)
    assert bar.parts == (
        ("load", 5.0, 6.0),
        ("queue", 6.0, 9.0),
        ("prefill", 9.0, 11.0),
        ("decode", 11.0, 14.0),
        ("overhead", 14.0, 15.0),
    )


def test_bar_never_leaves_the_time_of_its_request() -> None:
    bar = bar_of(record(end_ns=12 * S), origin_ns=0)
    assert bar is not None
    assert bar.parts[-1][2] <= 12.0
    assert bar_of(record(end_ns=None), 0) is None
    assert bar_of(record(sent_ns=None), 0) is None


def test_bar_of_a_failed_request_has_no_parts() -> None:
    failed = record(outcome=Outcome.TIMEOUT, server=ServerTimings())
    bar = bar_of(failed, 0)
    assert bar is not None
    assert bar.parts == ()


def test_bar_of_an_open_loop_begins_when_it_was_due() -> None:
    bar = bar_of(record(planned_ns=9 * S), 0)
    assert bar is not None
    assert bar.start == 9.0
    assert bar.parts[0][1] == 10.0


def test_the_timeline_shows_no_duration_that_cannot_be_true() -> None:
    run, _ = build(replace(CHAT, requests=6))
    block = run.info.blocks[0].index

    def impossible(record: RequestRecord) -> RequestRecord:
        return replace(
            record, server=replace(record.server, load_duration=-1, eval_duration=10**15)
        )

    run = replace(run, records=[impossible(r) for r in run.records])
    report = build_report([run], [summarise(run.info, run.records)])
    sent = timeline._sent_in(report, report.cases[0], run.info.blocks[0])
    assert len(sent) == sum(r.block == block for r in run.records)
    assert {(r.server.load_duration, r.server.eval_duration) for r in sent} == {(None, None)}
    assert all(r.server.prompt_eval_duration for r in sent)
    assert all(bar is not None and bar.parts == () for bar in (bar_of(r, 0) for r in sent))


@pytest.mark.slow
def test_timeline_draws_at_most_so_many_and_says_so() -> None:
    run, summary = build(replace(CHAT, requests=200))
    chart = next(c for c in run_charts(build_report([run], [summary])) if c.id == "timeline")
    assert chart.caption.startswith(f"The first {MOST_REQUESTS} of 203 requests of block")
    assert chart.table is not None
    assert len(chart.table.rows) == MOST_REQUESTS


def test_what_was_sent_after_the_window_does_not_stand_under_measured() -> None:
    run, _ = build(replace(CHAT, requests=6))
    block = replace(
        run.info.blocks[0], load_ns=None, start_ns=0, window_start_ns=2 * S, window_end_ns=6 * S
    )
    ax = Figure().subplots()
    timeline._bands(ax, block, 13.0)
    places = {text.get_text(): text.xy[0] for text in ax.texts}
    assert places == {"warm-up": 1.0, "measured": 4.0, "afterwards": 9.5}


@pytest.mark.parametrize(("mean", "said"), [(0.31, "0.3"), (2.34, "2.3"), (99.6, "100")])
def test_a_small_mean_of_the_machine_is_not_rounded_to_nothing(mean: float, said: str) -> None:
    assert machine_panel._rounded(mean) == said


def test_drift_is_relative_to_each_case() -> None:
    run, summary = build(replace(HARD, failures=0.0))
    chart = drift_chart(build_report([run], [summary]))
    assert chart is not None
    assert chart.table is not None
    deviations = [row.cells[-1].raw or 0.0 for row in chart.table.rows]
    assert sum(deviations) == pytest.approx(0.0, abs=1e-9)
    assert max(deviations) == pytest.approx(6.0, abs=1.0)
    assert "Not steady" not in chart.message
    unsteady = tuple(replace(c, steadiness=Steadiness(False, "drift")) for c in summary.cases)
    chart = drift_chart(build_report([run], [replace(summary, cases=unsteady)]))
    assert chart is not None
    assert "Not steady" in chart.message


def test_averaging_for_drawing_keeps_the_mean() -> None:
    times, values = np.arange(1000.0), np.random.default_rng(1).random(1000)
    x, y = averaged(times, values, 100)
    assert len(x) == 100
    assert y.mean() == pytest.approx(values.mean())
    assert averaged(times, values, 2000)[1] is values


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.285, "0.285"), (0.3, "0.3"), (1.25, "1.25"), (8000.0, "8,000"), (-0.5, "−0.5")],
)
def test_ticks_are_exact(value: float, text: str) -> None:
    assert plain(value) == text


@given(st.text(min_size=1, max_size=80), st.floats(60, 400))
def test_shortened_names_fit(text: str, room: float) -> None:
    short = shortened(text, room, 12)
    assert text_width(short, 12) <= room
    assert short == text or short.count("…") > text.count("…")


def test_a_name_of_any_length_is_cut_at_once() -> None:
    """The cut is that of trying every length, which for long names would take minutes."""

    def slowly(text: str, pixels: float) -> str:
        short, kept = text, len(text)
        while text_width(short, 10) > pixels and kept > 2:
            kept -= 1
            front = (kept + 1) // 2
            short = f"{text[:front]}…{text[len(text) - (kept - front) :]}"
        return short

    for text in ("", "a", "abcdefghijkl" * 9, "模型" * 30, "m模" * 40):
        for pixels in (1.0, 6.0, 29.9, 60.0, 200.0, 10_000.0):
            assert shortened(text, pixels, 10) == slowly(text, pixels)
    with limited(5):
        assert len(shortened("x" * 500_000, 200, 10)) == 33


def test_cases_that_differ_in_another_axis_have_lines_of_their_own() -> None:
    """One line went up and down between the two contexts."""
    made = [
        replace(
            case(metric("text_per_s", "", value=Estimate(speed * n, 1.0, 99.0)), axes=axes),
            key=f"r0c{n}{name}",
            axes=tuple(axes.values()),
        )
        for name, speed in (("a", 10.0), ("b", 5.0))
        for n in (1, 8)
        if (axes := {"batch": str(n), "num_ctx": name})
    ]
    report = cast(Report, SimpleNamespace(cases=tuple(made), simulated=False, runs=()))
    chart = curve_chart(report, next(c for c in CURVES if c.id == "batches"))
    assert chart is not None
    canvas = Canvas(Figure(), 560, 330)
    chart.draw(canvas)
    assert [len(tips) for tips in canvas.marks.tips.values()] == [2, 2]
    assert chart.message.count(": ") == 2


def test_the_wait_of_a_session_ends_with_its_first_text_and_not_with_an_empty_line() -> None:
    run, summary = build(replace(CHAT, requests=4, blocks=1, models=CHAT.models[:1]))
    records = [
        replace(r, session="s1", turn=r.index, first_chunk_ns=(r.sent_ns or 0) + 1000)
        for r in run.records
    ]
    report = build_report([replace(run, records=records)], [summary])
    (session,) = sessions_of(report, report.cases[0])
    measured = [r for r in records if r.phase is Phase.MEASURE]
    expected = [((r.first_answer_ns or 0) - (r.sent_ns or 0)) / 1e9 for r in measured]
    assert [a.wait_s for a in session.requests] == pytest.approx(expected)
