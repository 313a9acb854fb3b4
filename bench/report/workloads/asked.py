"""The requests of sessions, as charts draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from bench.analysis.run.evidence import columns_of
from bench.report.model import CaseView, Report
from bench.results.record import RequestRecord
from bench.results.records import records_of

LOST_BELOW: Final = 0.5
"""A request that finds less of its history in the cache has lost it."""


@dataclass(frozen=True, slots=True)
class MeasuredRequest:
    """One measured request of a session that ended well.

    Attributes:
        context: tokens of its prompt.
        cached: how many of them were read from the cache; None where the server does not say.
        history: how many of them may have been: the prompt before and its answer; 0 of the first.
        wait_s: until its first text; None without any.
    """

    record: RequestRecord
    context: int
    cached: int | None
    history: int
    wait_s: float | None

    @property
    def lost(self) -> bool:
        """Its history was there before, and had to be read again."""
        return self.cached is not None and self.cached < LOST_BELOW * self.history


@dataclass(frozen=True, slots=True)
class MeasuredSession:
    """One session of a case: requests that build on each other, in the order of sending."""

    case: CaseView
    requests: tuple[MeasuredRequest, ...]

    @property
    def cache_reported(self) -> bool:
        """The server said of every request how much was cached."""
        return all(a.cached is not None for a in self.requests)


def sessions_of(report: Report, case: CaseView) -> list[MeasuredSession]:
    """The sessions of a case in the order in which they began; side requests are left out."""
    run = report.runs[case.run].run
    ids = [c.id for c in run.info.plan.cases]
    if case.summary.id not in ids:  # the short form on a terminal knows no plan and no records
        return []
    columns = columns_of(run.records, ids)
    place = ids.index(case.summary.id)
    ours = columns.measured & columns.ok & (columns.case == place)
    rows = np.flatnonzero(ours & (columns.work.session >= 0))
    found: dict[tuple[object, ...], list[RequestRecord]] = {}
    for record in records_of(run.records).read(rows):
        if record.session is not None and record.sent_ns is not None and not record.thread:
            key = (record.block, record.user, record.session)
            found.setdefault(key, []).append(record)
    begun = sorted(found.values(), key=lambda records: min(r.sent_ns or 0 for r in records))
    made = (MeasuredSession(case, _asked(sorted(r, key=lambda r: r.sent_ns or 0))) for r in begun)
    return [s for s in made if len(s.requests) > 1]


def _asked(records: Sequence[RequestRecord]) -> tuple[MeasuredRequest, ...]:
    known = [r for r in records if r.server.prompt_eval_count]
    before = [0] + [
        (a.server.prompt_eval_count or 0) + (a.server.eval_count or 0) for a, _ in pairwise(known)
    ]
    return tuple(_one(r, b) for r, b in zip(known, before, strict=False))


def _one(record: RequestRecord, before: int) -> MeasuredRequest:
    context = record.server.prompt_eval_count or 0
    texts = [t for t in (record.first_thinking_ns, record.first_answer_ns) if t is not None]
    wait = (min(texts) - record.sent_ns) / 1e9 if texts and record.sent_ns is not None else None
    history = min(context, before)
    return MeasuredRequest(record, context, record.server.prompt_eval_cached_count, history, wait)
