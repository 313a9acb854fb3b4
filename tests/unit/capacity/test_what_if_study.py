"""What `capacity what-if` makes of its options: what is replayed is said, nonsense is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bench.commands.what_if import study
from bench.errors import UsageError
from bench.report.capacity.what_if_page import what_if_page
from bench.report.formats import render
from bench.simulation.fit import ServiceFit
from bench.simulation.fitted import fitted_document
from bench.simulation.service import ServiceParameters

PROMISES = ["ttft_s.p95<=2"]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "day.csv"
    path.write_text("time_s,prompt_tokens,output_tokens\n0,50,10\n1,50,10\n2,50,10\n")
    return path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "the 3 arrivals of day.csv (time_s, in s)"),
        ({"time_scale": 0.5}, "the 3 arrivals of day.csv (times x 0.5; time_s, in s)"),
        (
            {"time_scale": 3, "window_s": (1, 9)},
            "the 2 arrivals of day.csv (1 to 9 s; times x 3; time_s, in s)",
        ),
    ],
)
def test_how_a_trace_is_replayed_is_said(trace: Path, options: dict[str, Any], words: str) -> None:
    assert study("test", PROMISES, trace=trace, servers=[1], **options).load == words


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
def test_factors_are_above_zero(trace: Path, factor: float) -> None:
    with pytest.raises(UsageError, match=r"time scale .* must be a number above 0"):
        study("test", PROMISES, trace=trace, servers=[1], time_scale=factor)
    with pytest.raises(UsageError, match=r"prefill .* must be a number above 0"):
        study("test", PROMISES, rate_per_s=1, servers=[1], prefill_factor=factor)
    with pytest.raises(UsageError, match="the load must be a number above 0"):
        study("test", PROMISES, rate_per_s=factor, servers=[1])


def test_a_window_begins_before_it_ends(trace: Path) -> None:
    with pytest.raises(UsageError, match="window 2 1 must begin before it ends"):
        study("test", PROMISES, trace=trace, servers=[1], window_s=(2, 1))


def test_scale_and_window_need_a_trace() -> None:
    for options in ({"time_scale": 2.0}, {"window_s": (0.0, 1.0)}):
        with pytest.raises(UsageError, match="about a trace"):
            study("test", PROMISES, rate_per_s=1, servers=[1], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("pace", "told"), [(0.04, False), (0.2, True)])
def test_a_pace_that_wandered_is_told(tmp_path: Path, pace: float, told: bool) -> None:
    parameters = ServiceParameters(slots=2, prefill_ns_per_token=1e6, base_ns=1e7)
    fit = ServiceFit(parameters, 0, (parameters,), 100, 2.0, 0.01, pace)
    model = {
        "name": "m",
        "family": "llama",
        "parameters": 1e9,
        "quantization": "Q4_0",
        "size_gb": 1,
        "layers": 1,
        "embedding_length": 1,
        "context_length": 4096,
        "cold_load_s": 1,
        "warm_load_s": 1,
        "output_tokens": {"median": 10, "p95": 10},
    }
    profile = tmp_path / "profile.yaml"
    YAML().dump(fitted_document(fit, run="r", lengths=[(10, 10)], model=model), profile)
    asked = study(profile, PROMISES, rate_per_s=0.1, servers=[1])
    messages = [notice.message for notice in what_if_page(asked, charts=False).warnings]
    assert any("pace wandered by 20%" in message for message in messages) is told


def test_the_page_speaks_of_predictions() -> None:
    page = what_if_page(study("test", PROMISES, rate_per_s=1, servers=[1, 2]))
    assert "PredictedValue" not in render(page, "html")
    assert page.brief[0].caption == "Prediction, by number of servers"
