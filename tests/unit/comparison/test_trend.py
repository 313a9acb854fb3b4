"""A metric over runs and server versions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bench.analysis.trend import trends
from bench.report.comparison.trend_formats import render_trends
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
    text = " ".join(render_trends([trend], "console").split())
    assert "changed by −6" in text and "2026-01-21" in text


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


def test_formats():
    made = trends(history([50.0] * 12, ["0.24.0"] * 6 + ["0.32.15"] * 6), "decode_tok_per_s")
    assert "| 0.24.0 | 6 |" in render_trends(made, "markdown")
    assert "<svg" in render_trends(made, "html")
    (content,) = json.loads(render_trends(made, "json"))
    assert len(content["points"]) == 12
    assert [v["server_version"] for v in content["versions"]] == ["0.24.0", "0.32.15"]
