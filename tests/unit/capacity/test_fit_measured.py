"""Fit, simulate, measure: at slot counts and rates that were not in the fit, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fit_check import compare
from virtual_runs import closed, plan_of, run_virtually
from virtual_server import model

from bench.commands import fitting
from bench.commands.fitting import FittedProfile, fit_run
from bench.errors import ResultsError, UsageError
from bench.results.directory import RunDirectory
from bench.scenario.plan import Arrivals, Load, Target
from bench.server.faults import Fault, FaultPlan, Kind
from bench.simulation.fit import ServiceFit, fit_service
from bench.simulation.profile import Length
from bench.simulation.served import Served

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


@pytest.mark.slow
def test_the_slots_are_seen_in_the_blocks_that_waited(fitted: FittedProfile) -> None:
    assert fitted.fit.parameters.slots == 4
    assert fitted.cautions == ()
    assert fitted.document["fitted"]["simulated"] is True


@pytest.mark.parametrize(("square_ns", "refused"), [(60_000.0, True), (500.0, False)])
def test_a_server_that_the_model_does_not_describe_is_refused_or_said_to_be_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, square_ns: float, refused: bool
) -> None:
    """Prefill that grows with the square of the prompt, planted between the records and the fit."""
    run = run_virtually(plan_of(closed(1, 80)), SERVER, tmp_path, num_parallel=1)

    def fit_bent(served: Served, **how: int) -> ServiceFit:
        extra = np.cumsum(square_ns * served.prompt_n**2)
        before = extra - square_ns * served.prompt_n**2
        bent = replace(
            served,
            started=served.started + before,
            first=served.first + extra,
            end=served.end + extra,
        )
        return fit_service(bent, **how)

    monkeypatch.setattr(fitting, "fit_service", fit_bent)
    if refused:
        with pytest.raises(ResultsError, match="does not describe this server: prefill of"):
            fit_run(run.path)
        return
    fitted = fit_run(run.path)
    assert any("does not describe the run well: prefill" in c for c in fitted.cautions)
    assert fitted.document["fitted"]["misfit"].startswith("prefill of")


@pytest.mark.slow
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


def test_one_profile_is_of_one_server(tmp_path: Path) -> None:
    """Two servers, an `ab` of two hosts say, were fitted together as if they were one."""
    plan = plan_of(closed(1, 20), closed(2, 20))
    run = run_virtually(plan, SERVER, tmp_path, num_parallel=4)
    there = replace(run.info.plan.cases[1], target="there")
    both = (*run.info.plan.targets, Target("there", "http://127.0.0.1:2"))
    plan = replace(run.info.plan, targets=both, cases=(run.info.plan.cases[0], there))
    RunDirectory(run.path, run.info.id).write_info(replace(run.info, plan=plan))
    with pytest.raises(UsageError, match=r"on 2 servers \(here, there\)"):
        fit_run(run.path)


@pytest.mark.parametrize("kind", [Kind.MISSING_COUNTS, Kind.CUT])
def test_requests_that_took_slots_unseen_make_no_profile(tmp_path: Path, kind: Kind) -> None:
    """A third unseen made a step 25 % faster than it was, said to be a pace that wanders."""
    faults = FaultPlan([Fault(kind=kind, rate=0.3)])
    plan = plan_of(closed(1, 40), closed(3, 40))
    run = run_virtually(plan, SERVER, tmp_path, num_parallel=2, faults=faults)
    with pytest.raises(ResultsError, match="failed or have no durations"):
        fit_run(run.path)
