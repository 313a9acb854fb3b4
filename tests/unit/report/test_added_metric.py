"""Adding a metric takes one file (connecting.py) and one test (this one)."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from runs import CHAT, build

from bench.analysis.run.latency import ADDED
from bench.analysis.run.summarise import summarise
from bench.analysis.run.summary_json import from_json, to_json
from bench.commands.reference import metrics as reference
from bench.metrics import METRICS
from bench.report.model import build_report
from bench.report.result_tables import metric_table, shown_metrics
from bench.scenario.jsonschema import json_schema_text
from bench.scenario.schema import Scenario
from bench.thresholds import parse_threshold


@pytest.fixture(autouse=True)
def added() -> Iterator[None]:
    file = Path(__file__).parent / "connecting.py"
    spec = importlib.util.spec_from_file_location("connecting", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["connecting"] = module
    spec.loader.exec_module(module)
    yield
    for known in (METRICS, ADDED, sys.modules):
        known.pop("connect_s", None)


@pytest.mark.slow
def test_an_added_metric_is_everywhere() -> None:
    run, _ = build(CHAT)
    info, records = run.info, run.records
    limit = parse_threshold("connect_s.p50 <= 15ms")
    records = [replace(r, connect_ns=10_000_000 + 1000 * i) for i, r in enumerate(records)]
    info = replace(info, plan=replace(info.plan, thresholds=(limit,)))
    summary = summarise(info, records)
    metric = summary.cases[0].metrics["connect_s"]
    assert metric.stats["p50"].value == pytest.approx(0.01, rel=0.05)
    assert (metric.unit, metric.better) == ("s", "lower")
    assert summary.cases[0].blocks[0].values["connect_s.p50"] == pytest.approx(0.01, rel=0.05)
    assert summary.cases[0].metrics["goodput_share"].stats["value"].value == 1.0
    assert all(t.passed for t in summary.thresholds)
    assert from_json(to_json(summary)).cases[0].metrics["connect_s"] == metric

    report = build_report([run], [summary])
    assert "connect_s" in shown_metrics(report)
    table = metric_table(report, "connect_s")
    assert table is not None and "Connecting (connect_s)" in table.caption
    assert "### `connect_s`" in reference()
    assert "connect_s.p95" in json_schema_text()
    assert Scenario.model_validate({"primary": ["connect_s.p50"]}).primary == ["connect_s.p50"]


def test_an_id_is_given_once() -> None:
    from bench.analysis.run.latency import per_request

    with pytest.raises(ValueError, match="ttft_s exists already"):
        per_request(METRICS["ttft_s"])
