"""From records to the columns that can be believed: the way that all analysis takes.

Records keep what the servers said. Here every one of them passes the court of plausibility
(`bench.analysis.run.plausibility`), and every stream is checked for what its arrivals can carry.
So runs of any age are judged by the same rules.

A time per token needs two things that only the stream shows: that text arrived spread over the
time in which it was made, and how many tokens lie between the first text and the last.

* Where each token brought a chunk of its own, the client counts them itself: the chunks that came
  after the first piece. A piece is the chunks that arrived together; the first piece of a stream
  in bursts holds several tokens, and its arrival is that of the last of them.
* Where fewer chunks than tokens came (several tokens of one character, an end token, thinking that
  is not shown), the server's own decoding time tells whether the others lie between the first text
  and the last, or outside.
* Where the text spans a small part of the server's decoding time, it was held back on its way, or
  read late.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum

import numpy as np

from bench.analysis.run.columns import Bools, Columns, Floats, Ints, unjudged_columns
from bench.analysis.run.gaps import Gaps, Streams
from bench.analysis.run.plausibility import FIELD_NAMES, FIELDS, Reason, judge
from bench.results.record import RequestRecord
from bench.results.records import records_of

TOGETHER_SHARE = 0.1
"""A gap below this share of a stream's mean gap is none: the chunks came together."""
BURSTS_SHARE = 0.5  # fewer pieces than this share of the chunks make a stream in bursts
MIN_PIECES = 8  # a stream in bursts carries a time per token from so many of them on
AGREES = 0.1
"""Tokens between first and last text, by the server's decoding time: within this of a count."""
MAX_UNTIMED = 2.5
"""Sampling that decoding time leaves out (0.12.5 to 0.24.0) makes the text span at most so many
times longer; it was 1.0 to 1.04, and 1.5 to 2 with a grammar or logprobs, in the recordings."""
HELD_SHARE = 0.5  # text that spans less than this of the server's decoding time was held back
FASTEST_STEP_NS = 50e3  # tokens that come faster than this were not made one by one
MAX_TOKEN_CHARS = 6.0  # chunks of no more text than this, on average, hold one token each
LARGE_PIECE = 3.0  # a first piece so many times larger than the others was held back
MIN_TO_JUDGE = 8  # fewer tokens may all arrive together by chance


class Shape(IntEnum):
    """How a stream arrived.

    Of a `HIDDEN` one `steps` are the tokens that were seen, if chunks are as short as tokens.
    """

    NONE = 0  # not streamed, or too few tokens, or no count: nothing to be judged
    TOKENS = 1  # spread over the time in which it was made
    BURSTS = 2  # several tokens at a time, at many times
    FEW_BURSTS = 3  # several tokens at a time, at a few times
    ONE_PIECE = 4  # all at once
    HELD_BACK = 5  # in less time than it took to make it
    HIDDEN = 6  # with fewer tokens than were counted; it is unknown when the others were made
    HELD_AT_START = 7  # one by one after a first piece of many tokens, with a late first text


CARRIES_GAPS = (Shape.NONE, Shape.TOKENS, Shape.HIDDEN)
"""Of these the gaps between chunks are times between pieces of text that were made apart."""
CARRIES_STEPS = (Shape.TOKENS, Shape.BURSTS, Shape.HELD_AT_START)
"""Of these the time per token can be had."""
SHAPES = {
    Shape.FEW_BURSTS: "the tokens came in a few bursts",
    Shape.BURSTS: "the tokens came in bursts",
    Shape.ONE_PIECE: "the whole answer came at once",
    Shape.HELD_BACK: "the stream came faster than it was made",
    Shape.HELD_AT_START: "the first tokens came together",
    Shape.HIDDEN: "fewer tokens came than the server counted, and the stream does not show when "
    "the others were made",
}
"""Shape -> why times between tokens cannot be read off the stream."""

NO_TIME_PER_TOKEN = (Shape.ONE_PIECE, Shape.HELD_BACK, Shape.FEW_BURSTS, Shape.HIDDEN)

Why = tuple[str, Bools]  # a reason, and the rows it holds for


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


def judge_streams(columns: Columns, streams: Streams) -> Columns:
    """The columns with `shape` and `steps`."""
    pieces, head = np.ones(len(columns), np.int64), np.ones(len(columns), np.int64)
    for rows, gaps in streams.in_batches():
        pieces[rows], head[rows] = pieces_of(gaps, rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        shape, steps = _judged(columns, pieces, head)
    return columns.with_fields(shape=shape, steps=steps)


def pieces_of(gaps: Gaps, rows: Ints) -> tuple[Ints, Ints]:
    """How many pieces each reply came in, and how many chunks its first piece holds.

    Returns:
        One entry a row each; 1 and 1 for a reply without gaps.
    """
    owner = gaps.position_in(rows)
    counts = np.bincount(owner, minlength=len(rows))
    spans = np.bincount(owner, weights=gaps.seconds, minlength=len(rows))
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = gaps.seconds >= np.maximum(TOGETHER_SHARE * spans / counts, 1e-9)[owner]
    pieces = 1 + np.bincount(owner[apart], minlength=len(rows))
    starts = np.cumsum(counts) - counts
    # Position of each reply's first gap between pieces; replies without one hold all in one piece.
    head = counts + 1
    breaks = np.flatnonzero(apart)
    replies, first = np.unique(owner[breaks], return_index=True)
    head[replies] = breaks[first] - starts[replies] + 1
    return pieces.astype(np.int64), head.astype(np.int64)


def _judged(columns: Columns, pieces: Ints, head: Ints) -> tuple[Ints, Floats]:
    chunks = columns.text_chunks.astype(np.float64)
    tokens, eval_ns = columns.output_tokens, columns.eval_ns
    visible = tokens - np.equal(columns.done_reason, "stop")
    span = np.where(columns.stream & columns.ok, columns.last_text_ns - columns.first_text_ns, 0.0)
    uncounted = np.isnan(tokens)
    visible = np.where(uncounted, chunks, visible)
    there = columns.stream & columns.ok & (chunks >= 1) & (visible >= 2)
    later = chunks - head
    timed = span / (eval_ns / (tokens - 1))  # tokens that the span should hold; NaN = unknown
    steps = _steps(later, (visible - 1) * later / np.maximum(chunks - 1, 1), timed)
    steps[uncounted] = np.nan
    one_piece = (pieces == 1) | (span < FASTEST_STEP_NS * np.maximum(later, 1))
    few = pieces < BURSTS_SHARE * chunks
    shape = np.full(len(columns), Shape.TOKENS, dtype=np.int64)
    usual = later / np.maximum(pieces - 1, 1)
    shape[(head >= MIN_TO_JUDGE) & (head > LARGE_PIECE * usual)] = Shape.HELD_AT_START
    shape[few] = Shape.BURSTS
    shape[few & (pieces < MIN_PIECES)] = Shape.FEW_BURSTS
    shape[np.isnan(steps) & ~uncounted] = Shape.HIDDEN
    held = (visible >= MIN_TO_JUDGE) & (timed < HELD_SHARE * later) & _account_is_sound(columns)
    shape[held] = Shape.HELD_BACK
    shape[one_piece] = Shape.ONE_PIECE
    shape[~there | (one_piece & (visible < MIN_TO_JUDGE))] = Shape.NONE
    # Tokens that nobody saw do not change when those that were seen came.
    text = columns.answer_chars + columns.thinking_chars
    hidden = (shape == Shape.HIDDEN) & (chunks > 1) & (text <= MAX_TOKEN_CHARS * chunks)
    steps = np.where(hidden, later, steps)
    carried = (np.isin(shape, CARRIES_STEPS) | hidden) & (steps > 0)
    return shape, np.where(carried, steps, np.nan)


def _steps(seen: Floats, all_of_them: Floats, timed: Floats) -> Floats:
    """How many tokens lie between first and last text: those seen, or all that were counted.

    Args:
        seen: chunks after the first piece.
        all_of_them: tokens after the first piece, if every token was made between.
        timed: how many the server's decoding time puts there; NaN = it is not known.

    Returns:
        NaN where neither count fits.
    """
    same = all_of_them <= seen * 1.01
    all_fit = (timed >= (1 - AGREES) * all_of_them) & (timed <= MAX_UNTIMED * all_of_them)
    seen_fit = np.abs(timed / seen - 1) <= AGREES
    nearer = np.abs(timed - seen) < np.abs(timed - all_of_them)
    unexplained = np.isnan(timed) & (all_of_them <= (1 + AGREES) * seen)
    chosen = np.where(all_fit & ~(seen_fit & nearer), all_of_them, np.nan)
    chosen = np.where(seen_fit & (nearer | ~all_fit), seen, chosen)
    return np.where(same, seen, np.where(unexplained, all_of_them, chosen))


def _account_is_sound(columns: Columns) -> Bools:
    """Load, prompt and decoding are known and fit before the end of the exchange."""
    account = columns.load_ns + columns.prompt_eval_ns + columns.eval_ns
    return np.asarray(account <= 1.02 * (columns.end_ns - columns.sent_ns) + 20e6, dtype=np.bool_)


def missing(columns: Columns, fields: Sequence[str]) -> list[Why]:
    """Why some of the server's fields are absent."""
    found: list[Why] = []
    for field in fields:
        refused = columns.refused[:, FIELDS.index(field)]
        name = FIELD_NAMES[field]
        reasons = np.unique(refused[refused > 0]).tolist()
        found += [(f"{name} is {Reason(r).text}", np.equal(refused, r)) for r in reasons]
        unsaid = np.isnan(getattr(columns, field)) & (refused == 0)
        found.append((f"the server does not say {name}", unsaid))
    return found


def shapes(columns: Columns, of: Iterable[Shape]) -> list[Why]:
    """Which streams have one of these shapes."""
    return [(SHAPES[shape], np.equal(columns.shape, shape)) for shape in of]


def note(absent: Bools, reasons: Iterable[Why]) -> str:
    """The reasons why rows are absent, the first that holds for each; "" if none is absent.

    Several come with how many rows each holds for, the most frequent first.
    """
    left = absent.copy()
    counts: dict[str, int] = {}
    for text, where in reasons:
        hit = left & where
        if hit.any():
            counts[text] = counts.get(text, 0) + int(hit.sum())
            left &= ~hit
    if len(counts) == 1 and not left.any():
        return next(iter(counts))
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    return "; ".join(f"{text} ({n})" for text, n in ordered)


def left_out(absent: Bools, reasons: Iterable[Why]) -> str:
    """The note of a metric that some requests have: how many have it not, and why."""
    n = int(absent.sum())
    if not n:
        return ""
    why = note(absent, reasons)
    return f"{n} of {len(absent)} requests left out: {why}" if n < len(absent) else why
