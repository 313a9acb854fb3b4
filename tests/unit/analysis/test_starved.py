"""A model of a mix that gets no turn is named; models that take turns are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from session_runs import plan_of
from virtual_runs import run_virtually
from virtual_server import model

from bench.analysis.run.summarise import summarise
from bench.results.run import RunWarning
from bench.results.warning_codes import WarningCode

SLOW = model(cold_load_s=2.0, warm_load_s=0.8, step_ms=50)
OTHER = model("b:latest", parameters=2e9, cold_load_s=3.0, warm_load_s=1.2, step_ms=50)
OPTIONS = {"num_predict": 64, "temperature": 0, "num_ctx": 2048}


def starved(folder: Path, load: dict[str, Any], vram_gb: float) -> list[RunWarning]:
    mix = [{"name": "one"}, {"name": "two", "model": OTHER.name}]
    closed = {"closed": {"requests": 16, "max_errors": 2} | load}
    plan = plan_of({"inline": ["Hello there"]}, closed, mix=mix, options=OPTIONS)
    run = run_virtually(
        plan, SLOW, folder, others=(OTHER,), vram_gb=vram_gb, num_parallel=1, cache_ram_mib=0
    )
    found = summarise(run.info, run.records).warnings
    return [w for w in found if w.code is WarningCode.STARVED]


@pytest.mark.slow
def test_a_model_that_is_never_idle_keeps_the_other_one_out(tmp_path: Path) -> None:
    (warning,) = starved(tmp_path, {"users": 4}, vram_gb=1.5)
    assert warning.case is not None
    # Parts begin together once both models were loaded: the one loaded last is in memory.
    assert "part=one, mix=together" in warning.case
    assert "a request for m:latest waited" in warning.message
    assert "later ones for b:latest were answered" in warning.message
    count = int(warning.message.split(" while ")[1].split()[0])
    assert count > 100  # 600 s of waiting, about 3 s an answer


@pytest.mark.slow
def test_one_that_gets_no_turn_before_measuring_begins_is_named_too(tmp_path: Path) -> None:
    """All its users ask while the load is ramped up, and wait in vain: nothing is measured."""
    (warning,) = starved(tmp_path, {"users": 4, "ramp_up": 0.1}, vram_gb=1.5)
    assert warning.case is not None and "mix=together" in warning.case


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "vram_gb"),
    [
        ({"users": 2}, 1.5),  # they take turns
        ({"users": 4, "think_time": 20}, 1.5),
        ({"users": 4}, 4.0),  # both are in memory
    ],
)
def test_models_that_take_turns_are_not_starved(
    tmp_path: Path, load: dict[str, Any], vram_gb: float
) -> None:
    assert not starved(tmp_path, load, vram_gb)
