"""The metrics of sessions, embeddings, pictures and checked answers; listed in `bench.metrics`."""

from __future__ import annotations

from typing import Any, Final

from bench.metric_kinds import MetricKind, time_kind, tokens_kind, window_kind

_NO_SESSIONS = "these requests stand alone: they are not sessions"
_NOT_CHECKED = "the scenario does not check it"
_NO_CACHED = "this server does not say how many prompt tokens came from its cache"


def _share(id: str, label: str, *words: Any, **more: Any) -> MetricKind:
    return MetricKind(id, label, "share", *words, **{"better": "higher", **more})


def _turn_time(id: str, label: str, *words: Any, **more: Any) -> MetricKind:
    """A time of sessions; it has no value for most requests, so it judges none."""
    usual = {"missing": "", "quality": False, "absent": _NO_SESSIONS}
    return time_kind(id, label, *words, **{**usual, **more})


def _number(id: str, label: str, *words: Any, **more: Any) -> MetricKind:
    return MetricKind(id, label, "count", *words, **{"per_block": False, **more})


WORK: Final = (
    _share(
        "cached_share",
        "Read from the cache",
        "Share of all prompt tokens that the server had read before and did not read again.",
        "Σ prompt_eval_cached_count / Σ prompt_eval_count",
        "The template's head counts. Unknown, not 0, where the server does not say.",
        clock="server",
        absent=_NO_CACHED,
    ),
    _share(
        "eligible_cached_share",
        "Kept of what could be kept",
        "Share of the tokens of a session's history that the server did not read again.",
        "Σ cached / Σ min(prompt, prompt before + answer before), from the second request of a "
        "history on",
        "With a recorded history the answers in it were never generated here, so it stays below 1.",
        clock="server",
        absent=_NO_CACHED,
    ),
    _share(
        "suspected_cached_share",
        "Suspected: kept of what could be kept",
        "The same where the server gives no count: suspected from how long prompts took, against "
        "a cold one of their block.",
        "Σ (history − tokens that the time beyond the new ones would read cold) / Σ history",
        "Only of requests that had the server to themselves, and only with cache: bust. Reading "
        "is slower in a long context, so it comes out low rather than high.",
        clock="server",
        quality=False,
        absent="the server says what it kept, or too few prompts were read alone",
    ),
    _turn_time(
        "first_turn_ttft_s",
        "First turn: time to first text",
        "From sending the first request of a session to the first text of its answer.",
        "first chunk with non-empty text − sent",
        streamed=True,
    ),
    _turn_time(
        "later_ttft_s",
        "Later requests: time to first text",
        "The same of all further requests of a session.",
        "first chunk with non-empty text − sent",
        "An answer that only calls tools has no text.",
        streamed=True,
    ),
    _turn_time(
        "user_turn_s",
        "Turn of the user",
        "What a person waits from a message to the end of the last answer to it, without the "
        "pauses of tools.",
        "end of the turn's last answer − its first request sent − pauses of tools",
        "Only turns of which all requests were measured and ended well.",
    ),
    _turn_time(
        "answer_start_s",
        "Start of the final answer",
        "What a person waits from a message to the first text of the last answer to it, without "
        "the pauses of tools.",
        "first text of the turn's last answer − its first request sent − pauses of tools",
        streamed=True,
    ),
    _turn_time(
        "tool_pause_s",
        "Pauses of tools",
        "How long the tools of a turn take: part of the workload, not of the server.",
        "Σ pauses before the requests of a turn but the first",
        better="",
    ),
    window_kind(
        "session_per_h",
        "Sessions per hour",
        "Whole sessions that ended in the measured window, per hour.",
        "sessions ended / length of the window",
        unit="/h",
        absent=_NO_SESSIONS,
    ),
    window_kind(
        "user_turn_per_h",
        "Turns per hour",
        "Whole turns of users that ended in the measured window, per hour.",
        "turns ended / length of the window",
        unit="/h",
        absent=_NO_SESSIONS,
    ),
    tokens_kind(
        "context_tokens",
        "Context",
        "Prompt tokens of each request of a session, its history among them.",
        "prompt_eval_count",
        absent=_NO_SESSIONS,
    ),
    window_kind(
        "text_per_s",
        "Texts per second",
        "Texts that were embedded, per second of the measured window.",
        "texts of requests that ended well / length of the window",
        unit="texts/s",
        absent="no embeddings were asked for",
    ),
    window_kind(
        "embed_tok_per_s",
        "Embedded tokens",
        "Tokens that were embedded, per second of the measured window.",
        "prompt_eval_count of embedding requests / length of the window",
        unit="tok/s",
        absent="no embeddings were asked for",
    ),
    time_kind(
        "batch_s",
        "Time of a batch",
        "From sending a request for embeddings to its last byte.",
        "last byte − sent",
        absent="no embeddings were asked for",
    ),
    _number(
        "image_tokens",
        "Tokens of a picture",
        "How many tokens the prompt has more for each picture.",
        "(mean prompt tokens with pictures − without) / pictures, the same texts both times",
        unit="tokens",
        clock="server",
        absent="no pictures, or none left out to compare",
    ),
    _number(
        "image_s",
        "Time of a picture",
        "How much longer the prompt takes to be read for each picture that no cache knows.",
        "(mean prompt_eval_duration with pictures − without) / pictures, the same texts both times",
        unit="s",
        better="lower",
        clock="server",
        absent="no pictures, or none left out to compare",
    ),
    _share(
        "json_valid_rate",
        "Valid JSON",
        "Share of answers that are JSON.",
        "answers that parse / answers",
        "Answers that were cut at their length count as invalid.",
        absent=_NOT_CHECKED,
    ),
    _share(
        "schema_valid_rate",
        "Follows the schema",
        "Share of answers that are JSON and follow the scenario's schema.",
        "answers that follow it / answers",
        "Answers that were cut at their length count as invalid.",
        absent=_NOT_CHECKED,
    ),
    _share(
        "tool_call_valid_rate",
        "Valid tool calls",
        "Share of answers that call a tool that was offered, with arguments that fit it.",
        "answers with valid calls only / answers",
        absent=_NOT_CHECKED,
    ),
    _number(
        "constraint_cost",
        "Speed with a format",
        "Decode speed with the format as a part of that without it.",
        "decode speed with format / without, the same prompts both times",
        "Needs control: true.",
        better="higher",
        clock="server",
        unit="times",
        absent="no answers without the format to compare",
    ),
    _number(
        "swaps",
        "Model loads",
        "How often the server loaded the model while it was measured, because another had taken "
        "its place.",
        "moments at which requests had waited for a load; those that ended waiting together count "
        "once",
        better="lower",
        clock="server",
        unit="loads",
        absent="the server does not say how long it loads",
    ),
    _number(
        "swap_s",
        "Time lost to loads",
        "How long at least one request waited until the model was loaded, the loads of others "
        "before it too.",
        "length of the union of these waits",
        unit="s",
        better="lower",
        clock="server",
        absent="the server does not say how long it loads",
    ),
    _number(
        "runner_rss",
        "Growth of the server's memory",
        "How much more memory the server's processes held at the end of the case than at first.",
        "resident memory at the last sample − at the first",
        "Prompt caches grow in it, unseen by /api/ps.",
        unit="GiB",
        better="",
        clock="server",
        absent="nobody watched the server's processes",
    ),
)
"""In the order of reports."""
