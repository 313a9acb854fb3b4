"""What is told of failed requests is told of those that failed, whatever order they ended in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from runs import CHAT, write_run

from bench.report.failure_tables import failed_of
from bench.results.directory import read_run
from bench.results.record import Phase
from bench.wire.exchange import Outcome


def test_failed_requests_are_found_in_a_stored_run(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, replace(CHAT, failures=0.2, users=(4,), requests=20)))
    failed = list(failed_of(run))
    expected = [r for r in run.records if r.phase is Phase.MEASURE and r.outcome is not Outcome.OK]
    assert failed == expected
    assert failed
