from __future__ import annotations

import asyncio
import functools
import json
import time
from contextlib import contextmanager

import pytest
from click.testing import CliRunner
from rich.console import Console

from bench.cli import doctor
from bench.doctor import self_test
from bench.doctor.self_test import LoadStep, SelfTest, run_self_test


@pytest.mark.parametrize("transport", [None, "user", "httpx"])
def test_every_chunk_is_compared_with_the_servers_own_note(transport):
    began = time.monotonic()
    test = asyncio.run(run_self_test(transport, loads=(400,), seconds=0.5))
    took_ms = (time.monotonic() - began) * 1e3
    [step] = test.steps
    assert test.transport == (transport or test.transport)
    assert step.reached_per_s > 0
    # No answer arrives before it was sent, or after all is over: on any machine.
    assert 0 <= step.error_p50_ms <= step.error_p99_ms < took_ms
    assert test.requests_per_s > 0


def test_a_slow_collection_of_garbage_takes_no_time_from_the_short_requests(monkeypatch):
    @contextmanager
    def slowly_quiet(strict):
        time.sleep(1.2 * self_test._SHORT_S)
        yield

    monkeypatch.setattr(self_test, "_SHORT_S", 0.1)
    monkeypatch.setattr(self_test, "quiet", slowly_quiet)
    assert asyncio.run(run_self_test("user", loads=(400,), seconds=0.2)).requests_per_s > 0


def test_higher_loads_are_not_tried_when_one_was_not_reached(monkeypatch):
    monkeypatch.setattr(self_test, "REACHED_SHARE", 100.0)
    test = asyncio.run(run_self_test(loads=(400, 800), seconds=0.2))
    assert [s.offered_per_s for s in test.steps] == [400]
    assert not test.steps[0].reached


@pytest.fixture
def quick(monkeypatch):
    """A self-test of a moment."""
    short = functools.partial(run_self_test, loads=(400,), seconds=0.2)
    monkeypatch.setattr(self_test, "run_self_test", short)


def test_doctor_tells_the_self_test(quick):
    done = CliRunner().invoke(doctor.command, ["--self-test"])
    assert done.exit_code == 0, done.output
    assert "chunks per second" in done.stdout
    assert "400" in done.stdout


def test_the_table_fits_a_narrow_screen(capsys):
    """Also with the longest of its numbers: nothing is cut off."""
    steps = [LoadStep(100_000, 99_999.0, 123.4, 9.99, 0.0049, 0.99, 1234.0, 1.5) for _ in range(2)]
    doctor._print([], SelfTest("kernel", "", tuple(steps), 1.0), Console(width=80))
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert "123" in shown and "10.0" in shown and "0.005" in shown and "1234" in shown


def test_doctor_gives_the_self_test_as_json(quick):
    done = CliRunner().invoke(doctor.command, ["--self-test", "--json"])
    assert done.stderr == "measuring against a server of its own ...\n"
    found = json.loads(done.stdout)
    assert [s["offered_per_s"] for s in found["self_test"]["steps"]] == [400]
    assert {"transport", "stamp error", "trusted up to"} <= {f["what"] for f in found["findings"]}
