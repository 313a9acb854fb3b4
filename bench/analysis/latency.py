"""Per-request times, in seconds; NaN where a request has none.

In an open loop, what a user feels counts from when the request was *due* (`planned_ns`): a
generator that falls behind must not hide the wait (coordinated omission). `send_delay_s` says how
far behind it was. In a closed loop it counts from when the request was sent.

Failed requests have no latency. They are counted in `error_rate` and nowhere else.
"""

from __future__ import annotations

import numpy as np

from bench.analysis.columns import Columns, Floats, seconds

MIN_TPOT_TOKENS = 2


def latencies(columns: Columns) -> dict[str, Floats]:
    """Every per-request time of some requests that ended well.

    Returns:
        Metric id -> one value a row:

        * `ttft_s`: first non-empty text, thinking or answer. Streams only.
        * `answer_ttft_s`: first non-empty answer text. Streams only.
        * `tpot_s`: (last text - first text) / (output tokens - 1), from two tokens on. Where an
          answer ends by itself, its end token is counted but brings no text: this is then too low
          by one part in output tokens - 1.
        * `e2e_s`: last byte.
        * `send_delay_s`: sent - planned. Open loop only.
        * `load_s`, `prompt_eval_s`, `eval_s`, `total_s`: the server's durations.
        * `queue_s`: total - load - prompt_eval - eval, not below 0: an upper bound of the wait for
          a slot (it also holds rendering, tokenising and a slow reader).
        * `overhead_s`: client's send-to-last-byte minus the server's total: network and client.
    """
    start = columns.start_ns
    first_text = np.where(columns.stream, columns.first_text_ns, np.nan)
    first_answer = np.where(columns.stream, columns.first_answer_ns, np.nan)
    text_span = np.where(columns.stream, columns.last_text_ns - first_text, np.nan)
    steps = np.where(columns.output_tokens >= MIN_TPOT_TOKENS, columns.output_tokens - 1, np.nan)
    return {
        "ttft_s": seconds(first_text - start),
        "answer_ttft_s": seconds(first_answer - start),
        "tpot_s": seconds(text_span / steps),
        "e2e_s": seconds(columns.end_ns - start),
        "send_delay_s": seconds(columns.sent_ns - columns.planned_ns),
        "load_s": seconds(columns.load_ns),
        "prompt_eval_s": seconds(columns.prompt_eval_ns),
        "eval_s": seconds(columns.eval_ns),
        "total_s": seconds(columns.total_ns),
        "queue_s": seconds(queue_ns(columns)),
        "overhead_s": seconds(columns.end_ns - columns.sent_ns - columns.total_ns),
    }


def queue_ns(columns: Columns) -> Floats:
    """Time the server spent on neither load, prompt nor decoding, not below 0.

    `eval_duration` is absent from a reply of one token in some eras: nothing was timed then.
    """
    untimed = np.isnan(columns.eval_ns) & (columns.output_tokens <= 1)
    eval_ns = np.where(untimed, 0.0, columns.eval_ns)
    rest = columns.total_ns - columns.load_ns - columns.prompt_eval_ns - eval_ns
    return np.maximum(rest, 0.0)
