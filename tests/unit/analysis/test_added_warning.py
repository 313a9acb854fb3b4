"""Adding a warning takes one file (slow_starts.py) and one test (this one)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.run.summary_json import from_json, to_json
from bench.analysis.run.warnings import ADDED
from bench.commands.reference import warnings as reference
from bench.results.record import RequestRecord
from bench.results.warning_codes import _ADDED, Severity, WarningCode, add_code


@pytest.fixture(autouse=True)
def added() -> Iterator[None]:
    file = Path(__file__).parent / "slow_starts.py"
    spec = importlib.util.spec_from_file_location("slow_starts", file)
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield
    ADDED.clear()
    _ADDED.clear()


@pytest.mark.slow
def test_an_added_warning_is_everywhere(
    run_of: Callable[..., Any], a_request: Callable[..., RequestRecord]
) -> None:
    quick = [a_request(20.0 * i, index=i, ttft=0.1) for i in range(5)]
    assert all(w.code != "slow_start" for w in run_of(quick).summary().warnings)
    summary = run_of([*quick, a_request(200.0, index=5, ttft=6.0)]).summary()
    (warning,) = [w for w in summary.warnings if w.code == "slow_start"]
    assert warning.message == "a first token came after 6.0 s" and warning.case
    assert warning in from_json(to_json(summary)).warnings
    assert "| `slow_start` | note | the first token came very late |" in reference()


def test_a_code_is_given_once() -> None:
    assert WarningCode("slow_start").severity is Severity.NOTE
    for code in ("slow_start", "gpu_spill"):
        with pytest.raises(ValueError, match=f"{code} exists already"):
            add_code(code, Severity.NOTE, "again")
