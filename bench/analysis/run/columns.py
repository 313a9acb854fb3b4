"""Records as numpy columns: the form all analysis works on.

Times stay nanoseconds here (whole numbers, exact in float64 up to 104 days), so that differences
are exact; they are divided once, by `seconds`. Absent is NaN, and is not zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.analysis.run.work_columns import WorkColumns, work_columns
from bench.ollama.names import same_model
from bench.results.one_value import kept, looked_up
from bench.results.record import Phase, RequestRecord
from bench.results.records import Records, records_of
from bench.stats.block_spread import total_by
from bench.wire.exchange import Outcome

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ShortInts = NDArray[np.int32]
"""Numbers of requests, one a gap: a large run has as many of them as of gaps."""
Bools = NDArray[np.bool_]

OUTCOMES = tuple(Outcome)
PHASES = tuple(Phase)
MEASURE = PHASES.index(Phase.MEASURE)
SETTLE = PHASES.index(Phase.SETTLE)
WARMUP = PHASES.index(Phase.WARMUP)
OK = OUTCOMES.index(Outcome.OK)
CANCELLED = OUTCOMES.index(Outcome.CANCELLED)

_NS = 1e9
NO_NUMBER = 1  # in `Columns.refused`: `bench.analysis.run.plausibility.Reason.NO_NUMBER`
COLUMN_OF = {
    **{"total_duration": "total_ns", "load_duration": "load_ns"},
    **{"prompt_eval_duration": "prompt_eval_ns", "eval_duration": "eval_ns"},
    **{"prompt_eval_count": "prompt_tokens", "prompt_eval_cached_count": "cached_tokens"},
    "eval_count": "output_tokens",
}
"""Field of the done line -> column, in the order of the second axis of `Columns.refused`."""
_SAME_WHOLE = ("block", "index", "chunks", "text_chunks", "coalesced", "answer_chars",
               "thinking_chars")  # fmt: skip
_SAME_OPTIONAL = ("planned_ns", "sent_ns", "connect_ns", "headers_ns", "first_thinking_ns",
                  "first_answer_ns", "last_text_ns", "end_ns", "num_predict")  # fmt: skip


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
class Sample:
    """Values of one metric, and what they hang together in: requests in blocks, gaps in requests.

    Attributes:
        values: without NaN.
        blocks: number (0, 1, ...) of the block of each unit.
        owner: the unit of each value, where a unit (a request) gives many values (gaps), which are
            then not independent; None if every value is a unit of its own.
    """

    values: Floats
    blocks: Ints
    owner: ShortInts | None = None

    def by_unit(self) -> tuple[Floats, Floats]:
        """The sum of the values of each unit, and how many they are."""
        if self.owner is None:
            return self.values, np.ones(len(self.values))
        return total_by(self.owner, self.values), np.bincount(self.owner).astype(np.float64)


def one_per_request(values: Floats, blocks: Ints) -> Sample:
    """A sample with one value a request; NaN (absent) is left out."""
    there = ~np.isnan(values)
    return Sample(values[there], numbered(blocks[there]))


def many_per_request(values: Floats, position: Ints | ShortInts, blocks: Ints) -> Sample:
    """A sample with many values a request; requests without values are left out.

    Args:
        values: without NaN.
        position: of the request of each value in `blocks`, ascending.
        blocks: the block of each request, by any number.
    """
    giving = np.bincount(position, minlength=len(blocks)) > 0
    owner = (np.cumsum(giving) - 1).astype(np.int32)
    return Sample(values, numbered(blocks[giving]), owner[position])


class Columns:
    """One row a request, all arrays of the same length; of a selection, made when they are read.

    Attributes:
        row: position of the request in the sequence the columns were made from.
        case: position in the list of case ids; -1 = not among them.
        user: of a closed loop; -1 = none.
        phase, outcome: position in `PHASES`, `OUTCOMES`.
        stream: True for a streamed reply.
        done_reason: as it came, "" if absent.
        prompt: equal for equal prompts, nonce included; -1 where the identity is unknown.
        planned_ns .. end_ns: see `bench.results.record.RequestRecord`.
        total_ns .. eval_ns: the server's durations.
        prompt_tokens, cached_tokens, output_tokens: the server's counts.
        target_tokens, num_predict: what was planned.
        chunks, text_chunks, coalesced, answer_chars, thinking_chars: as recorded.
        alone: no other request of these records was in flight at any time meanwhile.
        renamed: the models that the reply names, if it is not the one that was asked; else "".
        refused: why fields of the server are absent though they were sent
            (`bench.analysis.run.plausibility.Reason`), one column a field of `FIELDS`.
        shape: how the stream arrived (`bench.analysis.run.evidence.Shape`).
        steps: tokens between the first text and the last; NaN where the stream does not show it.
        work: what is known of requests of sessions, embeddings, and the like.
    """

    row: Ints
    case: Ints
    block: Ints
    index: Ints
    user: Ints
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
    alone: Bools
    renamed: NDArray[np.str_]
    refused: NDArray[np.int8]
    shape: Ints
    steps: Floats
    work: WorkColumns

    def __init__(self, **fields: NDArray[Any] | WorkColumns) -> None:
        self.__dict__.update(fields)
        self._all: Columns | None = None
        self._at: Ints | None = None  # None = every row

    def __getattr__(self, name: str) -> NDArray[Any]:
        if name.startswith("_") or self._all is None:
            raise AttributeError(name)
        values: NDArray[Any] = getattr(self._all, name)
        self.__dict__[name] = values = values if self._at is None else values[self._at]
        return values

    def __len__(self) -> int:
        return len(self.row)

    def select(self, which: Bools | Ints) -> Columns:
        """The rows that a mask or an array of positions picks."""
        at = np.flatnonzero(which) if which.dtype == np.bool_ else which.astype(np.int64)
        chosen = Columns()
        if self._all is None or self._at is None:
            chosen._all, chosen._at = self, at
        else:
            chosen._all, chosen._at = self._all, self._at[at]
        return chosen

    def with_fields(self, **values: NDArray[Any]) -> Columns:
        """The same with other values of some fields."""
        changed = Columns(**values)
        changed._all = self
        return changed

    @property
    def ok(self) -> Bools:
        """Requests that ended well."""
        return np.equal(self.outcome, OK)

    @property
    def measured(self) -> Bools:
        """Measured requests: not those that only brought the load up or kept it up."""
        return np.equal(self.phase, MEASURE)

    @property
    def start_ns(self) -> Floats:
        """Where latency counts from: when it was due in an open loop, else when it was sent."""
        return np.where(np.isnan(self.planned_ns), self.sent_ns, self.planned_ns)

    @property
    def first_text_ns(self) -> Floats:
        """First text of either kind, thinking or answer."""
        return np.fmin(self.first_thinking_ns, self.first_answer_ns)


def unjudged_columns(records: Sequence[RequestRecord], case_ids: Sequence[str]) -> Columns:
    """The columns of some records, in their order, with all that the servers said.

    `bench.analysis.run.evidence.columns_of` gives those that can be believed. `Columns.case` refers
    to `case_ids`, the cases that count.
    """
    read = records_of(records)
    whole, optional = read.columns.whole, read.columns.optional
    counters = {column: optional[f"server.{name}"] for name, column in COLUMN_OF.items()}
    same = {name: whole[name] for name in _SAME_WHOLE} | {n: optional[n] for n in _SAME_OPTIONAL}
    case_number = {case: i for i, case in enumerate(case_ids)}
    done, reasons = read.named("done_reason")
    return Columns(
        **same,
        **counters,
        row=np.arange(len(read)),
        case=_numbers(read.named("case"), case_number),
        user=kept(np.nan_to_num(optional["user"], nan=-1).astype(np.int64)),
        phase=_numbers(read.named("phase"), {p.value: i for i, p in enumerate(PHASES)}),
        outcome=_numbers(read.named("outcome"), {o.value: i for i, o in enumerate(OUTCOMES)}),
        stream=whole["stream"].astype(np.bool_),
        done_reason=looked_up(np.array([*reasons, ""], dtype=np.str_), done),
        prompt=read.columns.prompt,
        target_tokens=optional["target_input_tokens"],
        alone=_alone(optional["sent_ns"], optional["end_ns"]),
        renamed=_renamed(read),
        refused=_no_numbers(read),
        shape=np.broadcast_to(np.int64(0), len(read)),
        steps=np.broadcast_to(np.nan, len(read)),
        work=work_columns(read),
    )


def _numbers(named: tuple[Ints, list[str]], number: Mapping[str, int]) -> Ints:
    codes, names = named
    numbers = np.array([*(number.get(name, -1) for name in names), -1], dtype=np.int64)
    return kept(looked_up(numbers, codes))


def _alone(start: Floats, end: Floats) -> Bools:
    """Which requests had the server to themselves, as far as these records tell."""
    order = np.argsort(start, kind="stable")  # NaN last
    start, end = start[order], np.fmax.accumulate(end[order]) if len(end) else end
    free = np.ones(len(order), dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        overlaps = start[1:] < end[:-1]
    free[1:] &= ~overlaps
    free[:-1] &= ~overlaps
    alone = np.empty(len(order), dtype=np.bool_)
    alone[order] = free
    return alone


def _renamed(records: Records) -> NDArray[np.str_]:
    (asked, models), (said, names) = records.named("model"), records.named("answered_by")
    pairs, which = np.unique(asked * (len(names) + 1) + said, return_inverse=True)
    texts = [
        "" if not names[b] or same_model(names[b], models[a]) else names[b]
        for a, b in (divmod(pair, len(names) + 1) for pair in pairs.tolist())
    ]
    return looked_up(np.array([*texts, ""], dtype=np.str_), kept(which))


def _no_numbers(records: Records) -> NDArray[np.int8]:
    """Marks the counters that were sent, but are no whole numbers."""
    found = np.zeros((len(records), len(COLUMN_OF)), dtype=np.int8)
    for row, name in records.columns.no_numbers:
        found[row, list(COLUMN_OF).index(name)] = NO_NUMBER
    return found
