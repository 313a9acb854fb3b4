"""The one list of metrics: what each is called, means, and may be asked for.

Thresholds, promises, reports, the JSON Schema, completion and the documentation are made from it.
Ids carry their unit. A metric is added by one file that holds what is known of it and computes it
(`bench.analysis.run.latency.per_request`); those that come with the program are listed here.
"""

from __future__ import annotations

from typing import Final

from bench.metric_kinds import BLOCK_QUANTILE_MIN as BLOCK_QUANTILE_MIN
from bench.metric_kinds import MIN_OUTPUT_TOKENS as MIN_OUTPUT_TOKENS
from bench.metric_kinds import (
    NO_LIMIT,
    energy_kind,
    server_kind,
    speed_kind,
    time_kind,
    tokens_kind,
    window_kind,
)
from bench.metric_kinds import QUANTILES as QUANTILES
from bench.metric_kinds import RATE_QUANTILES as RATE_QUANTILES
from bench.metric_kinds import MetricKind as MetricKind
from bench.work_metrics import WORK

_LIST: Final = (
    speed_kind(
        "decode_tok_per_s",
        "Decode speed",
        "How fast one answer is written once it has begun, on the server's clock.",
        "Σ (eval_count − 1) / Σ eval_duration over the requests",
        "The first token is part of the prompt's batch: not counted. None under 16 tokens.",
        quality=True,
    ),
    speed_kind(
        "ollama_tok_per_s",
        "Decode speed, Ollama's convention",
        "The same by the formula of `ollama run --verbose`, for comparison with it.",
        "Σ eval_count / Σ eval_duration",
        "Too high by a factor N/(N − 1) for answers of N tokens.",
    ),
    speed_kind(
        "prefill_tok_per_s",
        "Prefill speed",
        "How fast the prompt is read, on the server's clock.",
        "Σ uncached prompt tokens / Σ prompt_eval_duration",
        "Only where a cache miss is assured or the cached count is known.",
    ),
    window_kind(
        "output_tok_per_s",
        "Throughput",
        "Output tokens of all users together, per second of the measured window.",
        "output tokens in the window / length of the window",
        "Requests that straddle an edge of the window are credited by time.",
        unit="tok/s",
    ),
    window_kind(
        "request_per_s",
        "Requests per second",
        "Requests that ended well, per second of the measured window.",
        "requests in the window / length of the window",
        unit="req/s",
    ),
    window_kind(
        "goodput_per_s",
        "Goodput",
        "Requests per second that kept every promise of the scenario.",
        "requests that met all per-request thresholds / length of the window",
        "A request without a value to judge is not counted as good.",
        unit="req/s",
        absent=NO_LIMIT,
    ),
    time_kind(
        "ttft_s",
        "Time to first text",
        "From sending the request to the first piece of text, thinking or answer (TTFT).",
        "first chunk with non-empty text − sent",
        "In an open loop it counts from the time the request was due, not from when it was sent.",
        missing="never",
        absent="no streamed reply with text",
        streamed=True,
    ),
    time_kind(
        "answer_ttft_s",
        "Time to first answer text",
        "From sending the request to the first piece of the answer; thinking does not count.",
        "first chunk with non-empty answer text − sent",
        "Thresholds and comparisons count requests without an answer as infinitely late; tables "
        "leave them out.",
        missing="never",
        absent="no streamed reply with answer text",
        streamed=True,
    ),
    time_kind(
        "tpot_s",
        "Time per output token",
        "Mean time between tokens of one answer, as the client sees it (TPOT).",
        "(last text − first text) / tokens between them",
        "Only where the tokens arrived spread over the time in which they were made.",
        absent="no streamed reply of two tokens or more",
        streamed=True,
    ),
    time_kind(
        "itl_s",
        "Gap between chunks",
        "Time between the arrivals of successive pieces of text.",
        "arrival of a chunk − arrival of the one before",
        "A chunk is not a token: see tokens per chunk.",
        missing="",
        quality=False,
        absent="no streamed reply with two chunks of text",
        streamed=True,
    ),
    time_kind(
        "e2e_s",
        "Time to complete answer",
        "From sending the request to its last byte.",
        "last byte − sent",
        "In an open loop it counts from the time the request was due.",
    ),
    server_kind(
        "load_s", "Load time", "The server's time to get the model ready.", "load_duration"
    ),
    server_kind(
        "prompt_eval_s",
        "Prefill time",
        "The server's time to read the prompt.",
        "prompt_eval_duration",
        "Covers only tokens that did not come from the prompt cache.",
    ),
    server_kind("eval_s", "Decode time", "The server's time to write the answer.", "eval_duration"),
    server_kind("total_s", "Server total", "The server's time for the request.", "total_duration"),
    server_kind(
        "queue_s",
        "Queue time",
        "Time on the server that is neither load, prefill nor decode: mostly waiting for a slot.",
        "max(0, total − load − prompt_eval − eval)",
        "An upper bound of the waiting; 0 for a request that was alone.",
    ),
    time_kind(
        "unaccounted_s",
        "Unaccounted time",
        "The same of a request that was alone on the server, so it waited for no other of the run.",
        "total − load − prompt_eval − eval",
        "Templates and tokenising; far more of it means another user, or wrong durations.",
        clock="server",
        quality=False,
        absent="no request was alone",
    ),
    time_kind(
        "overhead_s",
        "Overhead",
        "Time outside the server's own account: network, client, post-processing.",
        "time to complete answer (from sent) − total_duration",
        clock="both",
        quality=False,
        signed=True,
    ),
    time_kind(
        "send_delay_s",
        "Send delay",
        "How much later than due a request was sent (open loop).",
        "sent − planned",
        missing="",
        quality=False,
        absent="a closed loop has no planned times",
    ),
    window_kind(
        "in_flight",
        "Requests in flight",
        "How many requests were open at once, averaged over time.",
        "Σ time in the window of each request / length of the window",
        unit="requests",
        better="",
    ),
    MetricKind(
        "error_rate",
        "Errors",
        "share",
        "Share of requests that did not end well.",
        "failed / all",
        "Failures that come in clumps can miss a few blocks altogether. So there is an interval "
        "only if two blocks saw one; until then a limit that holds if failures are independent.",
        better="lower",
        clock="client",
    ),
    window_kind(
        "chunk_per_token",
        "Chunks per token",
        "How many chunks with text came per output token.",
        "chunks with text / eval_count",
        "Below 1, gaps between chunks are not gaps between tokens.",
        unit="chunks/token",
        better="",
        streamed=True,
    ),
    tokens_kind("output_tokens", "Output tokens", "Tokens per answer.", "eval_count"),
    tokens_kind("prompt_tokens", "Prompt tokens", "Tokens, cached or not.", "prompt_eval_count"),
    tokens_kind(
        "cached_tokens",
        "Cached prompt tokens",
        "Tokens of the prompt that the server had read before and did not read again.",
        "prompt_eval_cached_count",
        "Only from servers that say so.",
        absent="this server does not say how many prompt tokens came from its cache",
    ),
    MetricKind(
        "thinking_char_share",
        "Share of thinking",
        "share",
        "How much of the text was thinking, not answer.",
        "characters of thinking / characters of all text",
    ),
    MetricKind(
        "early_stop_share",
        "Ended early",
        "share",
        "Share of answers that ended before num_predict tokens.",
        "answers with fewer tokens than asked for / answers",
        "Answers of different lengths take different times.",
    ),
    MetricKind(
        "goodput_share",
        "Share of goodput",
        "share",
        "Share of requests that kept every promise of the scenario.",
        "requests that met all per-request thresholds / those that can be judged",
        "A request that broke no promise but lacks a value is judged neither way.",
        better="higher",
        per_block=False,
        absent=NO_LIMIT,
    ),
    MetricKind(
        "slots_observed",
        "Slots observed",
        "count",
        "How many requests the server worked on at once. Exact if more were in flight and waited, "
        "else at least so many.",
        "most requests that were read or written at the same time",
        unit="slots",
        clock="both",
        absent="no request shows it",
    ),
    MetricKind(
        "gpu_share",
        "On the GPU",
        "share",
        "Share of the loaded model that lies in GPU memory.",
        "size_vram / size, from /api/ps",
        "Below 100 % the model has spilled to the CPU.",
        better="higher",
        per_block=False,
        absent="the server did not say",
    ),
    MetricKind(
        "mem_bw_share",
        "Of the memory's bandwidth",
        "share",
        "How much of what the memory can read per second decoding reads: weights and KV cache.",
        "bytes a step must read x steps per second / bytes per second that can be read",
        "Of the reachable bandwidth: measured on a CPU, by clock under load on a GPU. Low: "
        "something else than memory takes the time.",
        better="higher",
        absent="bytes per token or the memory's bandwidth are not known",
    ),
    energy_kind(
        "j_per_token",
        "Energy per output token",
        "Energy of what computes the model, idle power and prompts included, per output token.",
        "energy in the window / output tokens in the window",
        "Of GPU boards or CPU packages, not from the wall; falls with more users at once.",
        unit="J/token",
    ),
    energy_kind(
        "j_per_token_above_idle",
        "Energy per output token above idle",
        "The same without what the devices draw with the model loaded and nothing to do.",
        "(energy − idle power x time) / output tokens",
        "Idle power is measured before the run.",
        unit="J/token",
        signed=True,
    ),
    energy_kind(
        "j_per_request",
        "Energy per request",
        "Energy of what computes the model, idle power included, per request.",
        "energy in the window / requests in the window",
        unit="J/request",
    ),
    energy_kind(
        "wh_per_mtok",
        "Energy per million output tokens",
        "Energy per output token in the unit of electricity bills.",
        "J/token x 1,000,000 / 3,600",
        unit="Wh/Mtok",
        per_block=False,
    ),
    energy_kind(
        "cost_per_mtok",
        "Cost per million output tokens",
        "Money for electricity, and for the machine's hours if they have a price.",
        "Wh/Mtok / 1,000 x price per kWh + hours per million tokens x price per hour",
        "Electricity of GPU boards or CPU packages only; hours as if always under this load.",
        unit="money",
        per_block=False,
        absent="no price was given (--price)",
    ),
    energy_kind(
        "gpu_power_w",
        "Power of the GPUs",
        "What the boards that compute the model drew on average while they were measured.",
        "energy of the boards in the window / length of the window",
        "Less power at less speed is no gain: see energy per token.",
        unit="W",
    ),
)

METRICS: Final[dict[str, MetricKind]] = {m.id: m for m in (*_LIST, *WORK)}
"""Metric id -> what is known of it beforehand, in the order of reports."""


def term(metric_id: str) -> MetricKind:
    """The words for a metric; an unknown one is named by its id."""
    return METRICS.get(metric_id) or MetricKind(metric_id, metric_id.replace("_", " "), "rate", "")
