"""How many agents a machine carries: whole searches over sessions, in virtual time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from session_runs import plan_of
from virtual_runs import run_virtually
from virtual_server import model

from bench.analysis.capacity.probe import SearchEnding
from bench.analysis.capacity.promises import parse_promises
from bench.analysis.capacity.result import CapacityResult
from bench.analysis.run.evidence import columns_of
from bench.analysis.run.latency import latencies
from bench.analysis.run.summarise import summarise
from bench.commands.probing import Prober, SearchFor
from bench.commands.sizing import capacity_plan
from bench.errors import UsageError
from bench.report.capacity.capacity_page import capacity_page
from bench.report.console import console_text

SERVER = model(prefill_tok_per_s=4000.0, step_ms=10.0, step_ms_per_sequence=1.0)
AGENT = {
    "turns": 2,
    "tool_steps": 2,
    "shared_tokens": 200,
    "first_tokens": 100,
    "turn_tokens": 40,
    "tool_tokens": 60,
    "output_tokens": 4,
    "pause": 0.2,
    "tool_pause": 0.1,
    "titles": False,
    "subagents": {"chance": 0},
}
MORE = {"options": {"num_predict": 4, "temperature": 0, "num_ctx": 4096}}
ONE = {"closed": {"users": 1, "sessions": 1}}
SLOTS = {"num_parallel": 2, "cache_ram_mib": 0}


def searched(folder: Path, *promises: str, **wanted: float) -> CapacityResult:
    plan = capacity_plan(plan_of({"agent": AGENT}, ONE, **MORE), "sessions")
    prober = Prober(plan, SearchFor(parse_promises(promises), "sessions", **wanted))  # type: ignore[arg-type]
    run = run_virtually(plan, SERVER, folder, grow=prober, **SLOTS)
    return prober.result(run.info, summarise(run.info, run.records))


def turns_of(folder: Path, users: int) -> float:
    """The turns' 90th percentile at so many sessions at once, from a long run of its own."""
    load = {"closed": {"users": users, "sessions": 30 * users}}
    plan = plan_of({"agent": AGENT}, load, seed=77, **MORE)
    run = run_virtually(plan, SERVER, folder, **SLOTS)
    columns = columns_of(run.records, [c.id for c in run.info.plan.cases])
    turns = latencies(columns.select(columns.measured & columns.ok))["user_turn_s"]
    return float(np.nanquantile(turns, 0.9))


@pytest.mark.slow
def test_the_number_of_agents_that_a_machine_carries(tmp_path: Path) -> None:
    """Beyond its slots the cache is lost, and every turn reads its history again."""
    folders = [tmp_path / str(n) for n in range(9)]
    for folder in folders:
        folder.mkdir()
    p90 = {n: turns_of(folders[n], n) for n in (1, 2, 3)}
    limit = (p90[2] + p90[3]) / 2
    assert p90[1] <= p90[2] < 0.8 * p90[3]
    result = searched(folders[0], f"user_turn_s.p90 <= {limit:.3f}", budget_s=36_000.0)
    assert result.ending is SearchEnding.CONFIRMED
    assert result.load == 2
    assert result.broke == 3
    shown = " ".join(console_text(capacity_page(result, charts=False)).split())
    assert "serves 2 sessions within user_turn_s.p90" in shown
    assert "The limit lies between 2 and 3 sessions" in shown


@pytest.mark.slow
def test_a_search_keeps_its_budget(tmp_path: Path) -> None:
    result = searched(tmp_path, "user_turn_s.p90 <= 0.5", budget_s=60.0)
    assert result.spent_s <= 60.0


def test_what_cannot_be_searched_is_refused_before_the_run() -> None:
    alone = plan_of({"inline": ["Hello"]}, {"closed": {"users": 1, "requests": 1}})
    with pytest.raises(UsageError, match="has none, its requests stand alone"):
        capacity_plan(alone, "sessions")
    with pytest.raises(UsageError, match="is a time of sessions, and --by users does not play"):
        parse_promises(("user_turn_s.p90 <= 2",), "users")
