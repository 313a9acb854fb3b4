"""What the functions of the Python API make of odd arguments: one message, no traceback."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.commands import fidelity
from bench.commands.running import Interrupts, interruptible
from bench.errors import UsageError
from bench.results.directory import RunDirectory
from bench.results.fidelity_files import FidelitySetup


def test_a_text_is_one_metric_and_one_key_and_not_its_letters() -> None:
    """Once every letter was a metric without samples: the candidate had failed."""
    judging = bench.Judging(primary="decode_tok_per_s", allow="digest")  # type: ignore[arg-type]
    assert judging.primary == ("decode_tok_per_s",)
    assert judging.allow == {"digest"}


def test_a_metric_that_does_not_exist_is_no_failed_candidate() -> None:
    with pytest.raises(UsageError, match=r"primary decod_tok_per_s: .*did you mean"):
        bench.Judging(primary=("decod_tok_per_s",))


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"servers": [0]}, "servers 0"),
        ({"servers": [2, -1]}, "servers -1"),
        ({"slots": -1}, "slots -1"),
        ({"most": 0}, "most 0"),
    ],
)
def test_a_prediction_is_about_whole_numbers_above_zero(asked: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=f"{named} must be a whole number above 0"):
        bench.study("gpu-12gb", ["ttft_s.p95 <= 2"], rate_per_s=0.5, **asked)


@pytest.mark.parametrize("pairs", [0, -1])
def test_no_pairs_are_no_comparison(pairs: int) -> None:
    with pytest.raises(UsageError, match="pairs are none"):
        bench.ab_plan("quickstart", "think=true", "think=false", pairs, models="m:1")


def test_a_profile_is_of_one_slot_at_least(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="slots 0"):
        bench.fit_run(tmp_path, slots=0)


def test_a_handler_that_python_did_not_set_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program around this one may handle SIGTERM in C: Python says None, and takes none back."""
    real = signal.signal

    def foreign(number: int, handler: Any) -> Any:
        before = real(number, handler)
        return None if number == signal.SIGTERM and callable(handler) else before

    kept = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(signal, "signal", foreign)
    try:
        with interruptible():
            pass
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        real(signal.SIGTERM, kept)


def test_who_cancels_fidelity_while_it_is_judged_meets_no_closed_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`fidelity_async` that was cancelled then ended with "Event loop is closed"."""

    async def nothing_is_missing(*_: Any) -> None:
        pass

    monkeypatch.setattr(fidelity, "ask_missing", nothing_is_missing)
    interrupts = Interrupts(act=lambda: None)
    setup = FidelitySetup(1, "id", "", "1", (), (), "", 2048, 7, 60)
    asked = fidelity._ask_alone(
        RunDirectory(tmp_path, "id"), setup, bench.Settings(), [], None, interrupts
    )
    asyncio.run(asked)
    interrupts.ask()
