"""What each metric is called in a report, what it means and how it is computed.

The definitions are those by which the analysis computes; they are printed in every report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Term:
    """One metric in words.

    Attributes:
        label: in tables and axes.
        meaning: one sentence.
        formula: how it is computed.
        caution: what it must not be taken for.
    """

    id: str
    label: str
    meaning: str
    formula: str = ""
    caution: str = ""


_TERMS: Final = (
    Term(
        "decode_tok_per_s",
        "Decode speed",
        "How fast one answer is written once it has begun, on the server's clock.",
        "Σ (eval_count − 1) / Σ eval_duration over the requests",
        "The first token comes out of the prompt's batch, so it is not counted. Answers under 16 "
        "tokens have no decode speed.",
    ),
    Term(
        "ollama_tok_per_s",
        "Decode speed, Ollama's convention",
        "The same by the formula of `ollama run --verbose`, for comparison with it.",
        "Σ eval_count / Σ eval_duration",
        "Too high by a factor N/(N − 1) for answers of N tokens.",
    ),
    Term(
        "prefill_tok_per_s",
        "Prefill speed",
        "How fast the prompt is read, on the server's clock.",
        "Σ uncached prompt tokens / Σ prompt_eval_duration",
        "Only where a cache miss is assured or the cached count is known.",
    ),
    Term(
        "output_tok_per_s",
        "Throughput",
        "Output tokens of all users together, per second of the measured window.",
        "output tokens in the window / length of the window",
        "Requests that straddle an edge of the window are credited by time.",
    ),
    Term(
        "request_per_s",
        "Requests per second",
        "Requests that ended well, per second of the measured window.",
        "requests in the window / length of the window",
    ),
    Term(
        "goodput_per_s",
        "Goodput",
        "Requests per second that kept every promise of the scenario.",
        "requests that met all per-request thresholds / length of the window",
    ),
    Term(
        "ttft_s",
        "Time to first text",
        "From sending the request to the first piece of text, thinking or answer (TTFT).",
        "first chunk with non-empty text − sent",
        "In an open loop it counts from the time the request was due, not from when it was sent.",
    ),
    Term(
        "answer_ttft_s",
        "Time to first answer text",
        "From sending the request to the first piece of the answer; thinking does not count.",
        "first chunk with non-empty answer text − sent",
    ),
    Term(
        "tpot_s",
        "Time per output token",
        "Mean time between tokens of one answer, as the client sees it (TPOT).",
        "(last text − first text) / (eval_count − 1)",
        "Only for answers of two tokens or more.",
    ),
    Term(
        "itl_s",
        "Gap between chunks",
        "Time between the arrivals of successive pieces of text.",
        "arrival of a chunk − arrival of the one before",
        "A chunk is not a token: see tokens per chunk.",
    ),
    Term(
        "e2e_s",
        "Time to complete answer",
        "From sending the request to its last byte.",
        "last byte − sent",
        "In an open loop it counts from the time the request was due.",
    ),
    Term("load_s", "Load time", "The server's time to get the model ready.", "load_duration"),
    Term(
        "prompt_eval_s",
        "Prefill time",
        "The server's time to read the prompt.",
        "prompt_eval_duration",
        "Covers only tokens that did not come from the prompt cache.",
    ),
    Term("eval_s", "Decode time", "The server's time to write the answer.", "eval_duration"),
    Term("total_s", "Server total", "The server's time for the request.", "total_duration"),
    Term(
        "queue_s",
        "Queue time",
        "Time on the server that is neither load, prefill nor decode: mostly waiting for a slot.",
        "max(0, total − load − prompt_eval − eval)",
        "An upper bound of the waiting.",
    ),
    Term(
        "overhead_s",
        "Overhead",
        "Time outside the server's own account: network, client, post-processing.",
        "time to complete answer (from sent) − total_duration",
    ),
    Term(
        "send_delay_s",
        "Send delay",
        "How much later than due a request was sent (open loop).",
        "sent − planned",
    ),
    Term(
        "in_flight",
        "Requests in flight",
        "How many requests were open at once, averaged over time.",
        "Σ time in the window of each request / length of the window",
    ),
    Term("error_rate", "Errors", "Share of requests that did not end well.", "failed / all"),
    Term(
        "chunk_per_token",
        "Chunks per token",
        "How many chunks with text came per output token.",
        "chunks with text / eval_count",
        "Below 1, gaps between chunks are not gaps between tokens.",
    ),
    Term("output_tokens", "Output tokens", "Tokens per answer.", "eval_count"),
    Term(
        "prompt_tokens",
        "Prompt tokens",
        "Tokens of the prompt, cached or not.",
        "prompt_eval_count",
    ),
    Term(
        "cached_tokens",
        "Cached prompt tokens",
        "Tokens of the prompt that the server had read before and did not read again.",
        "prompt_eval_cached_count",
        "Only from servers that say so.",
    ),
    Term(
        "thinking_char_share",
        "Share of thinking",
        "How much of the text was thinking, not answer.",
        "characters of thinking / characters of all text",
    ),
    Term(
        "early_stop_share",
        "Ended early",
        "Share of answers that ended before num_predict tokens.",
        "answers with fewer tokens than asked for / answers",
        "Answers of different lengths take different times.",
    ),
    Term(
        "goodput_share",
        "Share of goodput",
        "Share of requests that kept every promise of the scenario.",
        "requests that met all per-request thresholds / all",
    ),
    Term(
        "slots_observed",
        "Slots observed",
        "The largest concurrency at which requests did not wait for a slot.",
        "largest concurrency with queue time near 0",
    ),
    Term(
        "gpu_share",
        "On the GPU",
        "Share of the loaded model that lies in GPU memory.",
        "size_vram / size, from /api/ps",
        "Below 100 % the model has spilled to the CPU.",
    ),
)

TERMS: Final = {term.id: term for term in _TERMS}
"""Metric id -> its words."""


def term(metric_id: str) -> Term:
    """The words for a metric; an unknown one is named by its id."""
    return TERMS.get(metric_id) or Term(metric_id, metric_id.replace("_", " "), "")
