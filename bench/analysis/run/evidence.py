"""From records to the columns that can be believed: the way that all analysis takes.

Records keep what the servers said. Here every one of them passes the court of plausibility
(`bench.analysis.run.plausibility`), and every stream is checked for what its arrivals can carry
(`bench.analysis.run.stream_shape`). So runs of any age are judged by the same rules.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.run.columns import Columns, unjudged_columns
from bench.analysis.run.gaps import Streams
from bench.analysis.run.plausibility import judge
from bench.analysis.run.stream_shape import judge_streams
from bench.results.record import RequestRecord
from bench.results.records import records_of


def columns_of(records: Sequence[RequestRecord], case_ids: Sequence[str]) -> Columns:
    """The columns of some records, in their order; what cannot be true is absent."""
    return judged(records, case_ids).columns


def judged(records: Sequence[RequestRecord], case_ids: Sequence[str]) -> Streams:
    """The same, with the gaps between the chunks of all streamed replies that ended well.

    Records that were read from a run directory remember it: a report asks more than once.
    """
    read = records_of(records)
    key = tuple(case_ids)
    known: Streams | None = read.memo.get(key)
    if known is None:
        raw = unjudged_columns(read, case_ids)
        known = read.memo[key] = Streams(read, judge_streams(judge(raw), Streams(read, raw)))
    return known
