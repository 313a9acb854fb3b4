"""Fit, simulate, measure: at slot counts and rates that were not in the fit, in virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest
from fit_check import compare
from virtual_runs import closed, plan_of, run_virtually
from virtual_server import model

from bench.commands.fitting import FittedProfile, fit_run
from bench.scenario.plan import Arrivals, Load
from bench.simulation.profile import Length

SERVER = model(
    step_ms=10,
    step_ms_per_sequence=2,
    step_ms_per_kilotoken=1,
    prefill_tok_per_s=2000,
    jitter=0.05,
    output_tokens=Length(median=20, p95=45),
)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> FittedProfile:
    plan = plan_of(*(closed(users, 15 + 10 * users) for users in (1, 2, 4, 6)))
    folder = tmp_path_factory.mktemp("fit")
    return fit_run(run_virtually(plan, SERVER, folder, num_parallel=4).path)


def test_the_slots_are_seen_in_the_blocks_that_waited(fitted: FittedProfile) -> None:
    assert fitted.fit.parameters.slots == 4
    assert fitted.cautions == ()
    assert fitted.document["fitted"]["simulated"] is True


@pytest.mark.parametrize("slots", [1, 2, 8])
@pytest.mark.parametrize("use", [0.5, 0.8])
def test_predictions_hold_where_nothing_was_fitted(
    fitted: FittedProfile, tmp_path: Path, slots: int, use: float
) -> None:
    at_most = {1: 3.0, 2: 3.9, 8: 5.3}[slots]
    load = Load("open", rate_per_s=use * at_most, arrivals=Arrivals("poisson"), requests=400)
    run = run_virtually(plan_of(load, seed=3), SERVER, tmp_path, num_parallel=slots)
    compared = compare(fitted.fit, slots, run.path)
    assert compared.within(0.15), str(compared)
