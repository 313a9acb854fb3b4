"""How often comparisons are wrong, on fewer simulations than tests/performance makes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from bench.analysis.comparison.verdict_rule import Verdict

_FULL = Path(__file__).parents[2] / "performance" / "comparison_error_rates.py"
_spec = importlib.util.spec_from_file_location("comparison_error_rates", _FULL)
assert _spec is not None and _spec.loader is not None
rates = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = rates  # where dataclasses look their module up
_spec.loader.exec_module(rates)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [*rates.LEVELS, rates.DRIFTING], ids=lambda n: n.name)
def test_false_alarms_are_at_most_five_percent(noise):
    assert rates.wrong(rates.verdicts(noise, 0.0, 250)) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("noise", [rates.TYPICAL, rates.DRIFTING], ids=lambda n: n.name)
def test_a_loss_of_five_percent_is_seen(noise):
    found = rates.verdicts(noise, -0.05, 200)
    assert found[Verdict.WORSE] / found.total() >= 0.90


@pytest.mark.slow
def test_what_a_noisy_machine_cannot_tell_is_inconclusive():
    found = rates.verdicts(rates.LEVELS[3], 0.0, 100)
    assert found[Verdict.INCONCLUSIVE] / found.total() >= 0.8
