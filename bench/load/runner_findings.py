"""Did the model's runner die, or was it loaded again, while a block ran?"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Sequence

from bench.clock import NS
from bench.load.tally import BlockTally
from bench.ollama.eras import Era
from bench.results.record import RequestRecord
from bench.results.run import BlockInfo, RunWarning
from bench.results.warning_codes import WarningCode
from bench.scenario.plan import Block, Case
from bench.wire.exchange import Outcome

LOAD_S = 0.25
"""What a load takes at least: Ollama asks a new runner every 250 ms whether it is ready. The
shortest load in the recordings (98 MB on a CPU) took 0.285 s."""
SCATTER_FACTOR = 16.0
"""In median absolute deviations: how far warm requests may be from the usual one."""
CROWD_FACTOR = 4.0
"""Of the usual warm request: what those that come at once may wait for each other."""

_RUNNER_DIED = re.compile(r"unexpected EOF|unexpectedly stopped|has terminated|has died", re.I)
"""What Ollama says of a request whose runner ended under it."""
_DIED = "The runner had died: see the server's log for why."


def reload_limit_s(era: Era, users: int | None, loads_s: Sequence[float]) -> float:
    """A `load_duration` above this is a load; below it is what a warm request of the era costs.

    Args:
        era: of the server. Where warm requests are known to be quick, a block is also found out
            that has every request reload.
        users: at once; None = any number. Those who come together wait for each other.
        loads_s: of the block's requests, at least one.
    """
    low, high = era.warm_load_s
    usual = statistics.median(loads_s)
    scatter = statistics.median(abs(load - usual) for load in loads_s)
    if high < LOAD_S and not era.assumed:
        usual, scatter = min(usual, high), min(scatter, high - low)
    limit = usual + max(LOAD_S, SCATTER_FACTOR * scatter)
    return limit if users == 1 else max(limit, high, CROWD_FACTOR * usual)


def reloads(case: Case, info: BlockInfo, measured: BlockTally, era: Era) -> Iterator[RunWarning]:
    """Requests whose load_duration says that the model was loaded for them."""
    loads = [(index, ns / NS) for index, ns in measured.loads]
    if not loads or case.cold or case.together:  # models that take turns are what is measured
        return
    limit = reload_limit_s(era, case.load.users, [seconds for _, seconds in loads])
    jumped = [(i, s) for i, s in loads if s > limit]
    if not jumped:
        return
    first, seconds = jumped[0]
    count = f"{len(jumped)} request{'s' if len(jumped) > 1 else ''} waited"
    yield RunWarning(
        WarningCode.RELOADED,
        f"block {info.number}: {case.model} was loaded again while it was measured "
        f"({count}; first at request {first}, {seconds:.2g} s)",
        _DIED
        if _RUNNER_DIED.search(measured.first_failure)
        else "Another client with other options, or an eviction: stop it and measure again.",
        case.id,
        invalidates=True,
    )


def warm_up_findings(
    case: Case, block: Block, warmed_up: Sequence[RequestRecord]
) -> list[RunWarning]:
    """Warm-up requests that failed, though measuring went on."""
    failed = [r for r in warmed_up if r.outcome not in (Outcome.OK, Outcome.CANCELLED)]
    if not failed:
        return []
    said = [r.error or r.outcome.value for r in failed]
    died = next((text for text in said if _RUNNER_DIED.search(text)), "")
    return [
        RunWarning(
            WarningCode.WARM_UP_FAILED,
            f"block {block.number} of {case.id}: {len(failed)} of {len(warmed_up)} warm-up "
            f"requests failed, {'one of them' if died else 'first'}: {died or said[0]}",
            _DIED
            if died
            else "What failed there may fail again: look at error_rate and at the server's log.",
            case.id,
        )
    ]
