"""OpenTelemetry spans of the GenAI conventions: flat, as the Python console writes them, or OTLP.

By the conventions cached tokens are part of `gen_ai.usage.input_tokens`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from bench.scenario.session_files.block_tree import Stretches, continued
from bench.scenario.session_files.forms import json_value, role_of, spoken, tool_call, tools_of
from bench.scenario.session_files.requests import LoggedRequest, kind_of, steps_of_log, with_gaps
from bench.scenario.session_files.rows import FileRow, Notes, Numbers, Reading, TimeField
from bench.scenario.sessions import Message, Session, Step

FIELDS = "trace_id, start_time, attributes; resourceSpans"
"""By which a row is recognised."""
_MODEL_CALLS = ("chat", "text_completion", "generate_content")
_INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
_OUTPUT = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
_CACHED = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens")
_SESSION = ("gen_ai.conversation.id", "session.id")
_TOOLS = "gen_ai.tool.definitions"


@dataclass(frozen=True, slots=True)
class _Span:
    row: FileRow
    session: str
    start_s: float
    end_s: float | None
    values: dict[str, Any]

    def messages(self, name: str, notes: Notes) -> tuple[Message, ...]:
        found = json_value(self.values.get(name))
        if not isinstance(found, list):
            return ()
        return tuple(m for raw in found for m in _messages(self.row, raw, notes))


def is_it(value: dict[str, Any]) -> bool:
    """Whether a row is a span, or a package of spans as OTLP has it."""
    if isinstance(value.get("resourceSpans"), list):
        return True
    traced = "trace_id" in value or isinstance(value.get("context"), dict)
    return traced and "attributes" in value and ("start_time" in value or "startTime" in value)


def read(rows: Iterator[FileRow], notes: Notes, numbers: Numbers) -> Reading:
    """Reads the sessions: by `gen_ai.conversation.id`, else by trace."""
    times = TimeField()
    sessions: dict[str, list[_Span]] = {}
    for row in rows:
        for span in _spans(row, times):
            operation = span.values.get("gen_ai.operation.name")
            counted = any(name in span.values for name in _INPUT)
            if operation in _MODEL_CALLS or (operation is None and counted):
                sessions.setdefault(span.session, []).append(span)
            else:
                notes.count("spans that are no calls of a model left out")
    made = []
    for name, spans in sessions.items():
        spans.sort(key=lambda span: span.start_s)
        asked = [_asked(span, notes) for span in spans]
        if all(a.prompt for a in asked):
            steps = steps_of_log(asked)
        else:
            for span, request in zip(spans, asked, strict=True):
                if request.facts.prompt_tokens is None:
                    raise span.row.wrong(
                        "some calls have messages and others only counts: take one kind"
                    )
            steps = _counted([a.facts for a in asked], numbers, notes)
        given = (tools_of(s.row, s.values.get(_TOOLS)) for s in spans)
        tools = next(filter(None, given), ())
        made.append(Session(name, with_gaps(steps, notes), tools))
    return Reading(made, "shared")


def _spans(row: FileRow, times: TimeField) -> Iterator[_Span]:
    if "resourceSpans" not in row.value:
        yield _span(row, row.value, times)
        return
    for resource in row.objects("resourceSpans"):
        for scope in row.objects("scopeSpans", resource):
            for span in row.objects("spans", scope):
                yield _span(row, span, times)


def _span(row: FileRow, span: dict[str, Any], times: TimeField) -> _Span:
    values = _attributes(row, span.get("attributes") or {})
    context = span.get("context")
    context = context if isinstance(context, dict) else span
    trace = context.get("trace_id") or context.get("traceId") or row.label
    session = next((values[n] for n in _SESSION if values.get(n)), trace)
    start = _first(span, "start_time", "startTime", "startTimeUnixNano")
    end = _first(span, "end_time", "endTime", "endTimeUnixNano")
    if start is None:
        raise row.wrong("a span has no start_time")
    start_s = times.read(row, "start_time", start)
    end_s = None if end is None else times.read(row, "end_time", end)
    return _Span(row, str(session), start_s, end_s, values)


def _first(span: dict[str, Any], *names: str) -> Any:
    return next((span[n] for n in names if span.get(n) not in (None, "")), None)


def _attributes(row: FileRow, given: Any) -> dict[str, Any]:
    """Attributes by their names; OTLP has them as a list of typed values."""
    if isinstance(given, dict):
        return given
    values = {}
    for item in row.objects("attributes", {"attributes": given}):
        value = item.get("value")
        if isinstance(value, dict) and value:
            kind, inner = next(iter(value.items()))
            value = int(inner) if kind == "intValue" and str(inner).isdigit() else inner
        values[str(item.get("key"))] = value
    return values


def _asked(span: _Span, notes: Notes) -> LoggedRequest:
    row, values = span.row, span.values
    prompt = row.count(*_INPUT, inside=values)
    cached = row.count(*_CACHED, inside=values)
    if prompt is not None and cached is not None and cached > prompt:
        raise row.wrong(
            f"{cached:,} cached tokens are more than the {prompt:,} input tokens: this file counts "
            "them beside the input, against the conventions; add them to it"
        )
    sent = span.messages("gen_ai.input.messages", notes) or _numbered(span, "gen_ai.prompt")
    if sent and (system := json_value(values.get("gen_ai.system_instructions"))):
        text = _text(system if isinstance(system, list) else [{"type": "text", "content": system}])
        sent = ({"role": "system", "content": text}, *sent)
    answers = span.messages("gen_ai.output.messages", notes) or _numbered(span, "gen_ai.completion")
    facts = Step(
        kind=kind_of(sent),
        at_s=span.start_s,
        answered_at_s=span.end_s,
        prompt_tokens=prompt,
        cached_tokens=cached,
        output_tokens=row.count(*_OUTPUT, inside=values),
    )
    if prompt is None and not sent:
        raise row.wrong("a call of a model has neither input tokens nor messages")
    return LoggedRequest(sent, answers[0] if answers else None, facts)


def _counted(steps: list[Step], numbers: Numbers, notes: Notes) -> tuple[Step, ...]:
    """Prompts of which only counts are known; what was cached is taken for the prompt before."""
    made: list[Step] = []
    before: Stretches = ((), ())
    for step in steps:
        if step.cached_tokens is None:
            notes.say("without cached counts nothing is known of prefixes: each prompt is new text")
        elif made and step.cached_tokens:
            notes.say(
                "prefixes are guessed from the cached counts: those tokens are the beginning of "
                "the prompt before"
            )
        kept = min(step.cached_tokens or 0, sum(before[1]))
        before = continued(before, kept, step.prompt_tokens or 0, numbers)
        made.append(replace(step, blocks=before[0], lengths=before[1], fresh=not made))
    return tuple(made)


def _messages(row: FileRow, raw: Any, notes: Notes) -> list[Message]:
    """Messages of one in the conventions' form; results of tools become messages of their own."""
    if not isinstance(raw, dict):
        raise row.wrong("a message is not an object")
    role = role_of(row, raw.get("role"))
    parts = raw.get("parts", raw.get("content"))
    if not isinstance(parts, list):
        return [spoken(row, role, parts, notes)]
    made: list[Message] = []
    calls = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "tool_call":
            calls.append(tool_call(part.get("id"), str(part.get("name")), part.get("arguments")))
        elif kind == "tool_call_response":
            result = part.get("response", part.get("result"))
            made.append({"role": "tool", "content": _text([{"type": "text", "content": result}])})
            if isinstance(part.get("id"), str):
                made[-1]["tool_call_id"] = part["id"]
        elif kind not in ("text", None):
            notes.count(f"parts of messages left out, of the kind {kind!r}")
    text = _text(parts)
    if text or calls or not made:
        made.insert(0, {"role": role, "content": text, **({"tool_calls": calls} if calls else {})})
    return made


def _text(parts: list[Any]) -> str:
    texts = []
    for part in parts:
        if isinstance(part, dict) and part.get("type", "text") == "text":
            content = part.get("content", part.get("text", ""))
            if not isinstance(content, str):
                content = json.dumps(content, ensure_ascii=False)
            texts.append(content)
        elif isinstance(part, str):
            texts.append(part)
    return "\n".join(texts)


def _numbered(span: _Span, prefix: str) -> tuple[Message, ...]:
    """Messages in the form of OpenLLMetry: `gen_ai.prompt.0.role`, `gen_ai.prompt.0.content`."""
    made: list[Message] = []
    while (content := span.values.get(f"{prefix}.{len(made)}.content")) is not None:
        role = span.values.get(f"{prefix}.{len(made)}.role", "assistant")
        made.append({"role": role_of(span.row, role), "content": str(content)})
    return tuple(made)
