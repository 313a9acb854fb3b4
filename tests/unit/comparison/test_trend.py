"""A metric over runs and server versions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bench.analysis.comparison.trend import trends
from bench.cli.history import report_links
from bench.report.charts.drawing import inline_svg
from bench.report.comparison.trend_page import trend_page
from bench.report.formats import render
from bench.results.history import IndexedCase, IndexedRun, Value


def history(values, versions=None, identity="same", **more) -> list[IndexedRun]:
    versions = versions or ["0.32.15"] * len(values)
    runs = []
    for i, (value, version) in enumerate(zip(map(float, values), versions, strict=True)):
        measured = {"decode_tok_per_s": Value(value, value * 0.99, value * 1.01)}
        case = IndexedCase("m, users=1", identity, version, "m", measured)
        fields = {"status": "complete", "valid": True, "simulated": False} | more
        when = f"2026-{1 + i // 28:02}-{1 + i % 28:02}T10:00:00+00:00"
        runs.append(IndexedRun(f"r{i}", Path("/x"), "chat", when, cases=(case,), **fields))
    return runs


def test_a_step_is_labelled():
    rng = np.random.default_rng(1)
    values = np.r_[rng.normal(60, 0.5, 20), rng.normal(56, 0.5, 12)]
    (trend,) = trends(history(values), "decode_tok_per_s")
    assert [c.index for c in trend.changes] == [20]
    text = " ".join(render(trend_page([trend]), "console").split())
    assert "changed by −6" in text and "2026-01-21" in text


def test_a_step_that_may_be_a_drift_is_said_to_be():
    rng = np.random.default_rng(1)
    values = np.r_[rng.normal(60, 0.5, 20), rng.normal(56, 0.5, 12)]
    (trend,) = trends(history(values), "decode_tok_per_s")
    (change,) = trend.changes
    assert "drift" not in " ".join(t for a in trend_page([trend]).findings for t in a.texts)
    doubtful = replace(trend, changes=(replace(change, firm=False),))
    text = " ".join(render(trend_page([doubtful]), "console").split())
    assert "unless it is a slow drift" in text


def test_mean_and_interval_of_every_version():
    values, versions = [50.0, 51.0, 49.0, 60.0], ["0.24.0"] * 3 + ["0.32.15"]
    (trend,) = trends(history(values, versions), "decode_tok_per_s")
    old, new = trend.versions
    assert (old.server_version, old.runs, new.runs) == ("0.24.0", 3, 1)
    low, high = stats.ttest_1samp(np.log(values[:3]), 0).confidence_interval()
    assert (old.low, old.high) == (pytest.approx(np.exp(low)), pytest.approx(np.exp(high)))
    assert old.mean == pytest.approx(stats.gmean(values[:3]))
    assert (new.mean, new.low, new.high) == (pytest.approx(60), None, None)


def test_identities_are_kept_apart_and_bad_runs_left_out():
    runs = [
        *history([50.0] * 3, identity="a"),
        *history([40.0] * 2, identity="b"),
        *history([1.0], valid=False),
        *history([1.0], status="interrupted"),
    ]
    found = trends(runs, "decode_tok_per_s")
    assert [(t.identity, len(t.points)) for t in found] == [("a", 3), ("b", 2)]
    assert trends(runs, "ttft_s.p50") == []


def test_what_is_left_out_is_named():
    invalid = history([1.0], valid=False)[0]
    broken = history([1.0, 1.0], status="interrupted")[1]
    (trend,) = trends([*history([50.0] * 3), invalid, broken], "decode_tok_per_s")
    assert trend.left_out == ("r0 (invalid)", "r1 (interrupted)")
    text = render(trend_page([trend]), "console")
    assert "Left out: r0 (invalid), r1 (interrupted)." in " ".join(text.split())


def test_formats():
    made = trends(history([50.0] * 12, ["0.24.0"] * 6 + ["0.32.15"] * 6), "decode_tok_per_s")
    assert "| 0.24.0 | 6 |" in render(trend_page(made), "markdown")
    assert "<svg" in render(trend_page(made), "html")
    (content,) = json.loads(render(trend_page(made), "json"))
    assert len(content["points"]) == 12
    assert [v["server_version"] for v in content["versions"]] == ["0.24.0", "0.32.15"]


def test_identities_of_one_name_are_called_by_what_differs():
    def named(name, identity, first):
        runs = history([50.0] * 3, identity=identity)
        whens = [f"2026-{first}-0{day}T10:00:00+00:00" for day in (1, 2, 3)]
        return [replace(r, name=name, created_at=w) for r, w in zip(runs, whens, strict=True)]

    runs = [*named("chat", "a", "01"), *named("long", "b", "02"), *named("chat", "c", "03")]
    page = trend_page(trends(runs, "decode_tok_per_s"))
    said = sorted(a.texts[0].partition(": ")[0] for a in page.findings)
    assert said == [
        "m, users=1 (chat) (from 2026-01-01 10:00)",
        "m, users=1 (chat) (from 2026-03-01 10:00)",
        "m, users=1 (long)",
    ]


def test_runs_lead_to_their_reports_and_the_verdict_is_said_once(tmp_path):
    runs = [replace(r, path=tmp_path / "runs" / f"r {r.id}") for r in history([50.0] * 9)]
    for run in runs[:2]:
        run.path.mkdir(parents=True)
        (run.path / "report.html").touch()
    (tmp_path.parent / "report.html").touch()
    elsewhere = replace(runs[2], path=tmp_path.parent)
    links = report_links([*runs[:2], elsewhere, *runs[3:]], tmp_path)
    assert links == {"r0": "runs/r%20r0/report.html", "r1": "runs/r%20r1/report.html"}
    made = trends(runs, "decode_tok_per_s")
    page = render(trend_page(made, links), "html")
    assert '<a href="runs/r%20r0/report.html">r0</a>' in page
    assert page.count('<a href="runs/') == 2
    (said,) = (a.texts[0] for a in trend_page(made).findings)
    body = page.partition("<main>")[2].partition("</main>")[0]
    assert body.count(said.partition(": ")[2]) == 1


def test_the_first_change_of_version_is_named_however_near_the_edge():
    """It was left out on phones, as if another label stood before it."""
    runs = history([50.0] * 12, ["0.24.0"] + ["0.32.15"] * 11)
    (chart,) = (
        i
        for i in trend_page(trends(runs, "decode_tok_per_s")).sections[0].items
        if i.id == "trend-0"
    )
    assert all(">0.32.15</text>" in svg for svg in inline_svg(chart))


def test_a_run_in_pairs_is_one_session_of_a_trend():
    """Equal sides gave two points each: half the noise, and versions with twice their runs."""
    runs = history([50.0, 51.0, 49.0])
    twice = [replace(run, cases=(*run.cases, *run.cases)) for run in runs]
    assert trends(twice, "decode_tok_per_s") == trends(runs, "decode_tok_per_s")
