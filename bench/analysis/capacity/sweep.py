"""A sweep over users: what each number of them gets, and where more stop helping."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.capacity.usl import UslFit, fit_usl
from bench.analysis.run.columns import Columns
from bench.analysis.run.slots import Slots, observe_slots
from bench.analysis.run.summary import CaseSummary, Estimate
from bench.results.run import BlockInfo, Residency

LADDER = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Numbers of users of a sweep; it ends once it has gone well beyond the slots."""


@dataclass(frozen=True, slots=True)
class Level:
    """What one number of users got. Times in seconds; None where the data cannot tell.

    Attributes:
        tok_per_s: output tokens of all users together.
        user_tok_per_s: decode speed that each saw.
        e2e_s: mean time of a request.
        efficiency: `tok_per_s` / (users x that of one user).
        gpu_share: of the model that is in the GPU; `vram_bytes` is how much that is.
    """

    users: int
    requests: int
    tok_per_s: Estimate | None
    user_tok_per_s: Estimate | None
    ttft_p50_s: Estimate | None
    ttft_p95_s: Estimate | None
    queue_p50_s: Estimate | None
    e2e_s: Estimate | None
    efficiency: float | None
    gpu_share: float | None
    vram_bytes: int | None

    @property
    def speed(self) -> float:
        """Tokens per second of all together; 0 if unknown."""
        return (self.tok_per_s.value if self.tok_per_s else None) or 0.0


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep and what it shows.

    Attributes:
        knee_users: where throughput per time of a request is highest (Kleinrock's power, ICC
            1979); None with fewer than three levels.
        usl: throughput against users up to the slots, as a model; None with too few levels.
    """

    levels: tuple[Level, ...]
    knee_users: int | None = None
    usl: UslFit | None = None


def sweep_of(cases: Sequence[CaseSummary], blocks: Sequence[BlockInfo], slots: int | None) -> Sweep:
    """The sweep that some cases of a run make."""
    by_users = sorted(cases, key=lambda case: int(case.load["users"]))
    single = next((_speed(c) for c in by_users if c.load["users"] == 1), None)
    levels = tuple(_level(case, blocks, single) for case in by_users if case.requests.ok)
    return Sweep(levels, _knee(levels), _law(levels, slots))


def slots_of(blocks: Iterable[Columns]) -> Slots | None:
    """The slots that blocks with different loads show together; None if none does.

    In a block whose requests waited, every slot was busy; the others only show that there are so
    many at least. All blocks in one would hide the few that waited.
    """
    seen = [s for columns in blocks if len(columns) and (s := observe_slots(columns))]
    if not seen:
        return None
    return Slots(
        max(s.observed for s in seen), any(s.exact for s in seen), sum(s.requests for s in seen)
    )


def by_block(columns: Columns) -> list[Columns]:
    """The requests of each block."""
    return [columns.select(columns.block == b) for b in np.unique(columns.block)]


def _level(case: CaseSummary, blocks: Sequence[BlockInfo], single: float | None) -> Level:
    users = int(case.load["users"])
    speed = _speed(case)
    seen = (b.after for b in blocks if b.case == case.id and b.after)
    after = next(seen, Residency(loaded=False))
    return Level(
        users=users,
        requests=case.requests.ok,
        tok_per_s=_stat(case, "output_tok_per_s", "value"),
        user_tok_per_s=_stat(case, "decode_tok_per_s", "value"),
        ttft_p50_s=_stat(case, "ttft_s", "p50"),
        ttft_p95_s=_stat(case, "ttft_s", "p95"),
        queue_p50_s=_stat(case, "queue_s", "p50"),
        e2e_s=_stat(case, "e2e_s", "mean"),
        efficiency=speed / (users * single) if speed and single else None,
        gpu_share=after.gpu_share,
        vram_bytes=after.vram_bytes,
    )


def _stat(case: CaseSummary, metric_id: str, stat: str) -> Estimate | None:
    metric = case.metrics.get(metric_id)
    return metric.stats.get(stat) if metric else None


def _speed(case: CaseSummary) -> float | None:
    found = _stat(case, "output_tok_per_s", "value")
    return found.value if found else None


def _knee(levels: Sequence[Level]) -> int | None:
    power = {
        level.users: level.speed / level.e2e_s.value
        for level in levels
        if level.speed and level.e2e_s and level.e2e_s.value
    }
    return max(power, key=lambda users: power[users]) if len(power) > 2 else None


def _law(levels: Sequence[Level], slots: int | None) -> UslFit | None:
    """The scalability law, up to the slots."""
    points = [
        (level.users, level.speed)
        for level in levels
        if slots is not None and level.users <= slots and level.speed
    ]
    try:
        return fit_usl([n for n, _ in points], [x for _, x in points])
    except ValueError:
        return None
