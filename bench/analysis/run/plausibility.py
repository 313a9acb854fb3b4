"""The court of plausibility: which of a server's numbers can be true.

What a server says of a request is evidence. Each number is held against the other numbers of its
reply, against what was asked, and against the client's own clock, which is the one thing that is
sure: nothing the server did for a request can have taken longer than the exchange. A number that
cannot be true is refused: it is absent from every metric, with its reason, and never clipped. The
record in `requests.jsonl` keeps it as it came.

Each rule leaves room for what honest servers do. `SLACK_NS` covers whole-millisecond durations (up
to 0.6.1) and the 15.6 ms ticks of the clock that Go uses on Windows. In the recordings of 0.12.11,
0.24.0 and 0.32.15 no rule comes closer to refusing than: total at least 0.1 ms below the exchange,
the first text at least 1.2 ms after load and prompt, the parts at least 1.6 ms below the total.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from bench.analysis.run.columns import COLUMN_OF, NO_NUMBER, Bools, Columns, Floats

SLACK_NS = 20e6
SLACK_SHARE = 0.02  # a duration may be longer than what must hold it by so much
LEAST_REST_NS = 0.2e6
"""Decoding leaves at least this of the total for reading the request and the prompt."""
LEAST_PROMPT_NS = 50e3  # no engine gets a prompt through a model in less
MAX_DECODE_TOK_PER_S = 20_000.0  # above this no machine that runs Ollama decodes for one request
MAX_CHARS_PER_TOKEN = 64.0
"""An answer's mean; the longest entries of vocabularies are runs of spaces."""
EACH_CHUNK_ONE_TOKEN = 0.85
"""From so many chunks of text per token on, a stream shows each token as it comes."""

FIELD_NAMES = {column: name for name, column in COLUMN_OF.items()}
"""Column -> the field of the done line."""
FIELDS = tuple(FIELD_NAMES)  # columns that are judged, in the order of `Columns.refused`
DURATIONS, PARTS = FIELDS[:4], FIELDS[1:4]


class Reason(IntEnum):
    """Why a field is refused, in a clause that ends "eval_duration is ..."; 0 = it is not."""

    text: str

    def __new__(cls, code: int, text: str = "") -> Reason:
        """A code with its clause."""
        member = int.__new__(cls, code)
        member._value_, member.text = code, text
        return member

    NONE = 0, ""
    NO_NUMBER = NO_NUMBER, "no whole number that a counter holds"
    NEGATIVE = 2, "negative"
    ZERO = 3, "zero, which says nothing"
    LONGER_THAN_EXCHANGE = 4, "longer than the whole exchange took by the client's clock"
    AFTER_FIRST_TEXT = 5, "not over when the first text was already there"
    AFTER_STREAM = 6, "longer than the stream of tokens, from first text to last byte"
    WHOLE_REQUEST = 7, "as long as the whole request, so not decoding alone"
    SHORTER_THAN_PARTS = 8, "shorter than its parts together"
    PARTS_TOO_LONG = 9, "longer, with the other parts, than the whole"
    TOO_FAST = 10, "shorter than any machine takes for that many tokens"
    MORE_THAN_ASKED = 11, "more than num_predict allows"
    FEWER_THAN_CHUNKS = 12, "fewer tokens than pieces of text that came"
    TOO_FEW_FOR_TEXT = 13, "too few tokens for so much text"
    MORE_THAN_PROMPT = 14, "more cached tokens than the prompt has"
    FEWER_THAN_LIMIT = 15, "not num_predict, though the answer ended at that limit"


@dataclass(slots=True)
class _JudgedReplies:
    """The fields of many replies while they are judged: NaN as soon as one is refused."""

    columns: Columns
    values: dict[str, Floats]
    refused: NDArray[np.int8]

    def refuse(self, field: str, where: Bools, reason: Reason) -> None:
        """Refuse a field where it has not been refused before."""
        hit = where & ~np.isnan(self.values[field])
        if hit.any():  # nearly always none is: then the values stay those of the records
            self.refused[hit, FIELDS.index(field)] = reason
            self.values[field] = np.where(hit, np.nan, self.values[field])


def judge(columns: Columns) -> Columns:
    """The columns with every field that cannot be true absent, and why in `refused`."""
    values = {field: getattr(columns, field) for field in FIELDS}
    case = _JudgedReplies(columns, values, columns.refused.copy())
    with np.errstate(invalid="ignore", divide="ignore"):
        _by_themselves(case)
        _counts(case)
        _against_the_client(case)
        _against_each_other(case)
        _speeds(case)
    return columns.with_fields(**case.values, refused=case.refused)


def refuse_cut_counts(columns: Columns, context: int | None) -> Columns:
    """Refuses counts that are not `num_predict` though the answer is said to have ended there.

    An answer that fills the context ends in the same way, so this needs to know the context.
    """
    if context is None:
        return columns
    filled = columns.prompt_tokens + columns.output_tokens >= 0.9 * context
    known = ~np.isnan(columns.prompt_tokens) & (columns.num_predict > 0)
    at_limit = known & np.equal(columns.done_reason, "length") & ~filled
    wrong = at_limit & (columns.output_tokens < columns.num_predict)
    if not wrong.any():
        return columns
    refused = columns.refused.copy()
    refused[wrong, FIELDS.index("output_tokens")] = Reason.FEWER_THAN_LIMIT
    counted = np.where(wrong, np.nan, columns.output_tokens)
    return columns.with_fields(output_tokens=counted, refused=refused)


def _by_themselves(case: _JudgedReplies) -> None:
    """Ollama leaves a zero out; one that is sent stands for something that was not measured."""
    columns = case.columns
    text = (columns.answer_chars + columns.thinking_chars > 0) | (columns.text_chunks > 0)
    for field in FIELDS:
        case.refuse(field, case.values[field] < 0, Reason.NEGATIVE)
    for field in ("total_ns", "load_ns", "prompt_eval_ns", "prompt_tokens"):
        case.refuse(field, case.values[field] == 0, Reason.ZERO)
    case.refuse("output_tokens", (case.values["output_tokens"] == 0) & text, Reason.ZERO)
    untimed = case.values["output_tokens"] <= 1
    case.refuse("eval_ns", (case.values["eval_ns"] == 0) & ~untimed, Reason.ZERO)


def _counts(case: _JudgedReplies) -> None:
    columns, tokens = case.columns, case.values["output_tokens"]
    over = (columns.num_predict > 0) & (tokens > columns.num_predict)
    case.refuse("output_tokens", over, Reason.MORE_THAN_ASKED)
    # The end of a stream may flush some text with the done line.
    least = columns.text_chunks - 1 - 0.02 * columns.text_chunks
    case.refuse("output_tokens", columns.stream & (tokens < least), Reason.FEWER_THAN_CHUNKS)
    chars = columns.answer_chars + columns.thinking_chars
    dense = chars > MAX_CHARS_PER_TOKEN * (tokens + 1)
    case.refuse("output_tokens", dense, Reason.TOO_FEW_FOR_TEXT)
    cached = case.values["cached_tokens"]
    case.refuse("cached_tokens", cached > case.values["prompt_tokens"], Reason.MORE_THAN_PROMPT)


def _with_slack(limit: Floats) -> Floats:
    return limit + SLACK_NS + SLACK_SHARE * np.abs(limit)


def _against_the_client(case: _JudgedReplies) -> None:
    columns = case.columns
    exchange = _with_slack(columns.end_ns - columns.sent_ns)
    for field in DURATIONS:
        case.refuse(field, case.values[field] > exchange, Reason.LONGER_THAN_EXCHANGE)
    first = np.where(columns.stream, columns.first_text_ns - columns.sent_ns, np.nan)
    before_text = _with_slack(first)
    for field in PARTS[:2]:
        case.refuse(field, case.values[field] > before_text, Reason.AFTER_FIRST_TEXT)
    both = case.values["load_ns"] + case.values["prompt_eval_ns"] > before_text
    for field in PARTS[:2]:
        case.refuse(field, both, Reason.AFTER_FIRST_TEXT)
    _decoding_and_stream(case, first)


def _each_token_seen(case: _JudgedReplies) -> Bools:
    least = EACH_CHUNK_ONE_TOKEN * (case.values["output_tokens"] - 1)
    return np.asarray(case.columns.text_chunks >= least, dtype=np.bool_)


def _decoding_and_stream(case: _JudgedReplies, first: Floats) -> None:
    """Decoding that outlasts the stream of its tokens, though each was seen as it came.

    Refused only where load, prompt and decoding together do not fit into the exchange either. If
    they do, the stream was held back (`bench.analysis.run.evidence` says so); if one of them
    is not known, nothing tells which clock is wrong, and both speeds are shown as contradicting.
    """
    columns, eval_ns = case.columns, case.values["eval_ns"]
    exchange = columns.end_ns - columns.sent_ns
    account = case.values["load_ns"] + case.values["prompt_eval_ns"] + eval_ns
    unsound = account > _with_slack(exchange)  # False where one of them is not known
    outlasts = eval_ns > _with_slack(exchange - first)
    seen = columns.stream & _each_token_seen(case)
    case.refuse("eval_ns", seen & outlasts & unsound, Reason.AFTER_STREAM)


def _against_each_other(case: _JudgedReplies) -> None:
    columns, values = case.columns, case.values
    total, eval_ns = values["total_ns"], values["eval_ns"]
    # A stream of single tokens shows both clocks instead: the reader sees how they contradict.
    hidden = (values["output_tokens"] > 1) & ~(columns.stream & _each_token_seen(case))
    whole = (total >= eval_ns) & (total - eval_ns < LEAST_REST_NS)
    case.refuse("eval_ns", hidden & whole, Reason.WHOLE_REQUEST)
    parts = sum((np.nan_to_num(values[f]) for f in PARTS), np.zeros(len(columns)))
    too_long = parts > _with_slack(total)
    exchange = columns.end_ns - columns.sent_ns
    # Parts that fit into the exchange speak against the total; if they do not, against themselves.
    fits = too_long & (parts <= _with_slack(exchange)) & (total < 0.9 * exchange)
    case.refuse("total_ns", fits, Reason.SHORTER_THAN_PARTS)
    for field in PARTS:
        case.refuse(field, too_long & ~fits, Reason.PARTS_TOO_LONG)


def _speeds(case: _JudgedReplies) -> None:
    values = case.values
    steps = values["output_tokens"] - 1
    fast = steps > MAX_DECODE_TOK_PER_S * values["eval_ns"] / 1e9
    case.refuse("eval_ns", (steps > 0) & fast, Reason.TOO_FAST)
    case.refuse("prompt_eval_ns", values["prompt_eval_ns"] < LEAST_PROMPT_NS, Reason.TOO_FAST)
