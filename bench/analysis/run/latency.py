"""Per-request times, in seconds; NaN where a request has none.

In an open loop, what a user feels counts from when the request was *due* (`planned_ns`): a
generator that falls behind must not hide the wait (coordinated omission). `send_delay_s` says how
far behind it was. In a closed loop it counts from when the request was sent.

Failed requests have no latency. They are counted in `error_rate` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.analysis.run.columns import Columns, Floats, seconds
from bench.metrics import METRICS, MetricKind

Times = Callable[[Columns], Floats]
_OF_TURNS = ("user_turn_s", "answer_start_s", "tool_pause_s")
ADDED: dict[str, Times] = {}
"""Metrics that were added by `per_request`: id -> what computes one value a row, NaN = absent."""


def per_request(kind: MetricKind) -> Callable[[Times], Times]:
    """Adds a metric: a time that each request has, with all that is known of it.

    From then on it is in summaries, blocks and reports, and thresholds can ask for it:

        @per_request(MetricKind("connect_s", "Connecting", "time", "Time to connect.", unit="s"))
        def connect_s(columns: Columns) -> Floats:
            return seconds(columns.connect_ns)

    Raises:
        ValueError: there is a metric of that id, or the new one is no time.
    """
    if kind.id in METRICS or kind.kind != "time" or kind.unit != "s":
        raise ValueError(f"{kind.id} exists already, or is no time in seconds")

    def add(times: Times) -> Times:
        METRICS[kind.id] = kind
        ADDED[kind.id] = times
        return times

    return add


def latencies(columns: Columns) -> dict[str, Floats]:
    """Every per-request time of some requests that ended well.

    Returns:
        Metric id -> one value a row. What each means is said in `bench.metrics`; more to the point:

        * `ttft_s`, `answer_ttft_s`: of streams only.
        * `tpot_s`: from two tokens on, where the stream shows how many lie between its first text
          and its last (`bench.analysis.run.evidence`).
        * `queue_s`: an upper bound of the wait for a slot, for it also holds rendering, tokenising
          and a slow reader. 0 for a request that was alone: it waited for no other of this run.
        * those of sessions: see `session_times`.
    """
    start = columns.start_ns
    first_text = np.where(columns.stream, columns.first_text_ns, np.nan)
    first_answer = np.where(columns.stream, columns.first_answer_ns, np.nan)
    text_span = np.where(columns.stream, columns.last_text_ns - first_text, np.nan)
    rest = queue_ns(columns)
    return {
        "ttft_s": seconds(first_text - start),
        "answer_ttft_s": seconds(first_answer - start),
        "tpot_s": seconds(text_span / columns.steps),
        "e2e_s": seconds(columns.end_ns - start),
        "send_delay_s": seconds(columns.sent_ns - columns.planned_ns),
        "load_s": seconds(columns.load_ns),
        "prompt_eval_s": seconds(columns.prompt_eval_ns),
        "eval_s": seconds(columns.eval_ns),
        "total_s": seconds(columns.total_ns),
        "queue_s": seconds(np.where(columns.alone & ~np.isnan(rest), 0.0, rest)),
        "unaccounted_s": seconds(np.where(columns.alone, rest, np.nan)),
        "overhead_s": seconds(columns.end_ns - columns.sent_ns - columns.total_ns),
        **session_times(columns, first_text),
        "batch_s": np.where(columns.work.inputs > 0, seconds(columns.end_ns - start), np.nan),
        **{id: times(columns) for id, times in ADDED.items()},
    }


def queue_ns(columns: Columns) -> Floats:
    """Time the server spent on neither load, prompt nor decoding, not below 0.

    `eval_duration` is absent from a reply of one token in some eras: nothing was timed then.
    """
    untimed = np.isnan(columns.eval_ns) & (columns.output_tokens <= 1)
    eval_ns = np.where(untimed, 0.0, columns.eval_ns)
    rest = columns.total_ns - columns.load_ns - columns.prompt_eval_ns - eval_ns
    return np.maximum(rest, 0.0)


def session_times(columns: Columns, first_text: Floats) -> dict[str, Floats]:
    """What the users of sessions wait for; NaN at every row that has none.

    Args:
        columns: requests that were measured and ended well.
        first_text: of each, in nanoseconds from the start of the run.

    Returns:
        Metric id -> one value a row:

        * `first_turn_ttft_s`, `later_ttft_s`: time to the first text of a session's very first
          request, and of all others of its main thread.
        * `user_turn_s`, `answer_start_s`: from the turn's first request to the end, or to the first
          text, of its last answer, less the pauses of tools; at the row of the turn's last request.
          A turn without its first request (it was not measured) has none.
        * `tool_pause_s`: these pauses.
    """
    work = columns.work
    none = np.full(len(columns), np.nan)
    rows = np.flatnonzero(work.main)
    if not len(rows):
        return dict.fromkeys(
            (*_OF_TURNS, "first_turn_ttft_s", "later_ttft_s"), none
        )  # one array: most runs have none
    found = {id: none.copy() for id in _OF_TURNS}
    ttft = seconds(first_text - columns.start_ns)
    opening = np.zeros(len(columns), dtype=np.bool_)
    order = rows[np.lexsort((columns.sent_ns[rows], work.turn[rows], work.session[rows]))]
    session, turn = work.session[order], work.turn[order]
    new = np.concatenate(([True], (np.diff(session) != 0) | (np.diff(turn) != 0)))
    begins = np.flatnonzero(new)
    ends = np.concatenate((begins[1:], [len(order)])) - 1
    pauses = np.concatenate(([0.0], np.cumsum(np.nan_to_num(work.gap_ns[order]))))
    opener, closer = order[begins], order[ends]
    # A history that a summary made short begins anew, too.
    opening[opener[(work.turn[opener] == 0) & work.fresh[opener]]] = True
    found["first_turn_ttft_s"] = np.where(opening, ttft, np.nan)
    found["later_ttft_s"] = np.where(work.main & ~opening, ttft, np.nan)
    whole = work.starts_turn[opener] & work.last_of_turn[closer]
    opener, closer = opener[whole], closer[whole]
    paused = (pauses[ends + 1] - pauses[begins + 1])[whole]
    begun = columns.start_ns[opener]
    found["user_turn_s"][closer] = seconds(columns.end_ns[closer] - begun - paused)
    found["answer_start_s"][closer] = seconds(first_text[closer] - begun - paused)
    found["tool_pause_s"][closer] = seconds(paused)
    return found
