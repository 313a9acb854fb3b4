"""Records as numpy columns: the form all analysis works on.

Times stay nanoseconds here (whole numbers, exact in float64 up to 104 days), so that differences
are exact; they are divided once, by `seconds`. Absent is NaN, and is not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from bench.ollama.exchange import Outcome
from bench.results.record import Phase, RequestRecord

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

OUTCOMES = tuple(Outcome)
PHASES = tuple(Phase)
MEASURE = PHASES.index(Phase.MEASURE)
WARMUP = PHASES.index(Phase.WARMUP)
RAMP_UP = PHASES.index(Phase.RAMP_UP)
OK = OUTCOMES.index(Outcome.OK)
CANCELLED = OUTCOMES.index(Outcome.CANCELLED)

_NS = 1e9
_GAP_BATCH = 8192
"""Requests whose gaps are unpacked at once: bounds the memory that takes."""


def total_by(group: Ints, values: Floats | Bools) -> Floats:
    """The sum of the values of each group; groups are numbered 0, 1, 2, ..."""
    return np.bincount(group, weights=values).astype(np.float64)


def size_by(group: Ints) -> Ints:
    """How many values each group has; groups are numbered 0, 1, 2, ..."""
    return np.bincount(group).astype(np.int64)


def numbered(labels: Ints) -> Ints:
    """Group labels, whatever they are, as 0, 1, 2, ... in ascending order of label."""
    steps = np.diff(labels)
    if (steps >= 0).all():  # sorted already, as records in the order of blocks are: no sort needed
        return np.concatenate(([0], np.cumsum(steps > 0))) if len(labels) else labels
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def seconds(ns: Floats) -> Floats:
    """Nanoseconds to seconds."""
    return ns / _NS


@dataclass(frozen=True, slots=True)
class Columns:
    """One row a request, all arrays of the same length.

    Attributes:
        row: position of the request in the sequence the columns were made from.
        case: position in the list of case ids; -1 = not among them.
        phase, outcome: position in `PHASES`, `OUTCOMES`.
        stream: True for a streamed reply.
        done_reason: as it came, "" if absent.
        prompt: equal for equal prompts, nonce included; -1 where the identity is unknown.
        planned_ns .. end_ns: see `bench.results.record.RequestRecord`.
        total_ns .. eval_ns: the server's durations.
        prompt_tokens, cached_tokens, output_tokens: the server's counts.
        target_tokens, num_predict: what was planned.
        chunks, text_chunks, coalesced, answer_chars, thinking_chars: as recorded.
    """

    row: Ints
    case: Ints
    block: Ints
    index: Ints
    phase: Ints
    outcome: Ints
    stream: Bools
    done_reason: NDArray[np.str_]
    prompt: Ints
    planned_ns: Floats
    sent_ns: Floats
    connect_ns: Floats
    headers_ns: Floats
    first_thinking_ns: Floats
    first_answer_ns: Floats
    last_text_ns: Floats
    end_ns: Floats
    total_ns: Floats
    load_ns: Floats
    prompt_eval_ns: Floats
    eval_ns: Floats
    prompt_tokens: Floats
    cached_tokens: Floats
    output_tokens: Floats
    target_tokens: Floats
    num_predict: Floats
    chunks: Ints
    text_chunks: Ints
    coalesced: Ints
    answer_chars: Ints
    thinking_chars: Ints

    def __len__(self) -> int:
        return len(self.row)

    def select(self, which: Bools | Ints) -> Columns:
        """The rows that a mask or an array of positions picks."""
        return Columns(**{f.name: getattr(self, f.name)[which] for f in fields(self)})

    @property
    def ok(self) -> Bools:
        """Requests that ended well."""
        return np.equal(self.outcome, OK)

    @property
    def measured(self) -> Bools:
        """Requests of the measured window: neither warm-up nor ramp-up."""
        return np.equal(self.phase, MEASURE)

    @property
    def start_ns(self) -> Floats:
        """Where latency counts from: when it was due in an open loop, else when it was sent."""
        return np.where(np.isnan(self.planned_ns), self.sent_ns, self.planned_ns)

    @property
    def first_text_ns(self) -> Floats:
        """First text of either kind, thinking or answer."""
        return np.fmin(self.first_thinking_ns, self.first_answer_ns)


def columns_of(records: Sequence[RequestRecord], case_ids: Sequence[str]) -> Columns:
    """The columns of some records, in their order.

    Args:
        records: any number of them, of any phase and outcome.
        case_ids: the cases that count; `Columns.case` refers to this list.
    """
    case_number = {case: i for i, case in enumerate(case_ids)}
    outcome_number = {o: i for i, o in enumerate(OUTCOMES)}
    phase_number = {p: i for i, p in enumerate(PHASES)}
    server = [r.server for r in records]
    return Columns(
        row=np.arange(len(records)),
        case=_ints(case_number.get(r.case, -1) for r in records),
        block=_ints(r.block for r in records),
        index=_ints(r.index for r in records),
        phase=_ints(phase_number[r.phase] for r in records),
        outcome=_ints(outcome_number[r.outcome] for r in records),
        stream=np.array([r.stream for r in records], dtype=np.bool_),
        done_reason=np.array([r.done_reason or "" for r in records], dtype=np.str_),
        prompt=_prompt_numbers(records),
        planned_ns=_floats(r.planned_ns for r in records),
        sent_ns=_floats(r.sent_ns for r in records),
        connect_ns=_floats(r.connect_ns for r in records),
        headers_ns=_floats(r.headers_ns for r in records),
        first_thinking_ns=_floats(r.first_thinking_ns for r in records),
        first_answer_ns=_floats(r.first_answer_ns for r in records),
        last_text_ns=_floats(r.last_text_ns for r in records),
        end_ns=_floats(r.end_ns for r in records),
        total_ns=_floats(s.total_duration for s in server),
        load_ns=_floats(s.load_duration for s in server),
        prompt_eval_ns=_floats(s.prompt_eval_duration for s in server),
        eval_ns=_floats(s.eval_duration for s in server),
        prompt_tokens=_floats(s.prompt_eval_count for s in server),
        cached_tokens=_floats(s.prompt_eval_cached_count for s in server),
        output_tokens=_floats(s.eval_count for s in server),
        target_tokens=_floats(r.target_input_tokens for r in records),
        num_predict=_floats(r.num_predict for r in records),
        chunks=_ints(r.chunks for r in records),
        text_chunks=_ints(r.text_chunks for r in records),
        coalesced=_ints(r.coalesced for r in records),
        answer_chars=_ints(r.answer_chars for r in records),
        thinking_chars=_ints(r.thinking_chars for r in records),
    )


def _prompt_numbers(records: Sequence[RequestRecord]) -> Ints:
    number: dict[str, int] = {}
    keys = (f"{r.nonce} {r.prompt_sha256}" if r.prompt_sha256 else "" for r in records)
    return _ints(number.setdefault(key, len(number)) if key else -1 for key in keys)


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)


def _floats(values: Iterable[int | None]) -> Floats:
    # The dtype turns None into NaN.
    return np.array(list(values), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Gaps:
    """The gaps between the chunks of many replies, one row a gap.

    Attributes:
        seconds: the gaps.
        row: `Columns.row` of the request each belongs to, ascending.
    """

    seconds: Floats
    row: Ints

    def position_in(self, rows: Ints) -> Ints:
        """For each gap, where its request stands in a list of rows that holds it."""
        table = np.zeros(int(rows.max(initial=0)) + 1, dtype=np.int64)
        table[rows] = np.arange(len(rows))
        return table[self.row]

    def of_rows(self, rows: Ints) -> Gaps:
        """The gaps of some requests, given by their `Columns.row` in ascending order."""
        low = np.searchsorted(self.row, rows, side="left")
        high = np.searchsorted(self.row, rows, side="right")
        # Neighbouring requests (those of a block) are one stretch of gaps.
        begins = np.flatnonzero(np.append(True, low[1:] != high[:-1])[: len(rows)])
        ends = np.append(begins[1:], len(rows))[: len(begins)] - 1
        parts = [slice(low[b], high[e]) for b, e in zip(begins, ends, strict=True)]
        if len(parts) == 1:
            return Gaps(self.seconds[parts[0]], self.row[parts[0]])
        return Gaps(
            np.concatenate([np.zeros(0), *(self.seconds[p] for p in parts)]),
            np.concatenate([np.zeros(0, np.int64), *(self.row[p] for p in parts)]),
        )


def gaps_between_chunks(
    records: Sequence[RequestRecord], columns: Columns, which: Callable[[Columns], Bools]
) -> Gaps:
    """Gaps between the chunks of streamed replies, from first text to last text.

    Lines before the first text and after the last (the done line without text) are left out: what
    is between them is not the time between two tokens.

    Args:
        records: those the columns were made from.
        columns: all of them.
        which: picks the requests that count.
    """
    rows = columns.row[which(columns)]
    parts = [
        _unpack(records, columns, rows[i : i + _GAP_BATCH]) for i in range(0, len(rows), _GAP_BATCH)
    ]
    if not parts:
        return Gaps(np.zeros(0), np.zeros(0, np.int64))
    return Gaps(np.concatenate([p.seconds for p in parts]), np.concatenate([p.row for p in parts]))


def _unpack(records: Sequence[RequestRecord], columns: Columns, rows: Ints) -> Gaps:
    lists = [records[i].chunk_gaps_ns for i in rows.tolist()]
    lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    gaps = np.fromiter(chain.from_iterable(lists), dtype=np.int64, count=int(lengths.sum()))
    owner = np.repeat(np.arange(len(rows)), lengths)
    sums = np.cumsum(gaps)
    starts = np.cumsum(lengths) - lengths
    before = np.concatenate(([0], sums))[starts]
    since_sent = sums - before[owner]
    first = (columns.first_text_ns - columns.sent_ns)[rows]
    last = (columns.last_text_ns - columns.sent_ns)[rows]
    # A comparison with NaN is False: replies without text have no gaps.
    inside = (since_sent > first[owner]) & (since_sent <= last[owner])
    # Lines that came in the same read as the first text share its stamp, but follow it.
    inside |= _follows_in_same_read(since_sent, first[owner], owner) & (since_sent <= last[owner])
    kept = np.flatnonzero(inside)
    kept = kept[~_is_done_line(gaps[kept], owner[kept], columns.text_chunks[rows])]
    return Gaps(gaps[kept] / _NS, rows[owner[kept]])


def _is_done_line(gaps: Ints, owner: Ints, text_chunks: Ints) -> Bools:
    """A done line that came in the same read as the last text: no gap between two texts.

    It can be told by the count: there is one line more than gaps between chunks of text.
    """
    is_last = np.ones(len(owner), dtype=np.bool_)
    is_last[:-1] = owner[1:] != owner[:-1]
    count = np.bincount(owner, minlength=len(text_chunks))
    return np.asarray(is_last & (gaps == 0) & (count >= text_chunks)[owner], dtype=np.bool_)


def _follows_in_same_read(since_sent: Ints, first: Floats, owner: Ints) -> Bools:
    at_first = since_sent == first
    follows = np.zeros(len(at_first), dtype=np.bool_)
    follows[1:] = at_first[1:] & at_first[:-1] & (owner[1:] == owner[:-1])
    return follows
