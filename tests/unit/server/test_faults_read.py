"""Faults on the command line and in plan files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.errors import EngineError
from bench.server.faults import Fault, FaultPlan, Kind, parse_fault, read_plan


def test_the_command_line() -> None:
    assert parse_fault("cut:rate=0.1,after=3") == Fault(kind=Kind.CUT, rate=0.1, after=3)
    assert parse_fault("reset") == Fault(kind=Kind.RESET, rate=1.0)
    assert parse_fault("status:requests=2+5,status=503") == Fault(
        kind=Kind.STATUS, requests=(2, 5), status=503
    )
    assert parse_fault("cut:reset=true").reset


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cot", "there is no fault 'cot'; did you mean 'cut'?"),
        ("cut:ratte=1", "a fault has no 'ratte'; did you mean 'rate'?"),
        ("cut:rate", "'rate' is not NAME=VALUE"),
        ("cut:rate=often", "Expected `float"),
        ("cut:requests=2+5,rate=0.1", "give a rate or the requests, not both"),
    ],
)
def test_mistakes(text: str, words: str) -> None:
    with pytest.raises(EngineError) as info:
        parse_fault(text)
    assert words in str(info.value)
    assert text in str(info.value)


def test_a_plan_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("- {fault: stall, requests: [2], seconds: 0.5}\n- {fault: no_done, rate: 0}\n")
    plan = FaultPlan(read_plan(path))
    kinds = [fault.kind if fault else None for fault in (plan.next() for _ in range(3))]
    assert kinds == [None, Kind.STALL, None]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fault: cut", "is not a fault plan"),
        ("- {fault: cut}\n- {fault: stal}", "entry 2: there is no fault 'stal'"),
        ("- {fault: [}", "is not YAML"),
        ("- {fault: cut, 1: 2}", "entry 1: a fault has no '1'"),
        ("[" * 100_000, "is nested too deeply"),
    ],
)
def test_bad_plan_files(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(EngineError) as info:
        read_plan(path)
    assert words in str(info.value)
    with pytest.raises(EngineError, match="cannot be read"):
        read_plan(tmp_path / "missing.yaml")


def test_the_first_fault_that_applies_is_taken_and_bursts_go_on() -> None:
    plan = FaultPlan([parse_fault("status:requests=2,burst=3"), parse_fault("cut:requests=2+3+6")])
    kinds = [fault.kind if fault else None for fault in (plan.next() for _ in range(6))]
    assert kinds == [None, Kind.STATUS, Kind.STATUS, Kind.STATUS, None, Kind.CUT]


def test_rates_depend_on_the_seed_only() -> None:
    def struck(seed: int) -> list[int]:
        plan = FaultPlan([parse_fault("cut:rate=0.2")], seed)
        return [n for n in range(500) if plan.next()]

    assert struck(1) == struck(1)
    assert struck(1) != struck(2)
    assert 60 < len(struck(1)) < 140


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_without_a_writer_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EngineError, match="cannot be read"):
        read_plan(tmp_path / "pipe")
