"""What is right key by key in a scenario, but wrong together."""

from __future__ import annotations

from collections.abc import Iterator

from bench.scenario.prompts_schema import Prompts
from bench.scenario.schema import Scenario

Found = Iterator[tuple[str, str]]

SESSIONS = ("conversation", "agent", "sessions")


def inconsistencies(scenario: Scenario) -> list[tuple[str, str]]:
    """What is right key by key but wrong together, as (key path, message)."""
    checks = (_request, _load, _sessions, _embedding, _answers, _thresholds)
    found = [one for check in checks for one in check(scenario)]
    for index, part in enumerate(scenario.parts().values()):
        found += [
            (f"mix[{index}].{path}", message)
            for path, message in inconsistencies(part)
            if (path, message) not in found and not path.startswith(_OF_THE_WHOLE)
        ]
    return found


_OF_THE_WHOLE = ("load", "cold", "thresholds")
"""Keys that parts of a mix have in common: what one has no use for another has."""


def kind_of(scenario: Scenario) -> str:
    """Which of the kinds of prompts it has."""
    return next(k for k in Prompts.one_of if getattr(scenario.prompts, k) is not None)


def in_sessions(scenario: Scenario) -> bool:
    """Whether what is asked for comes in sessions."""
    return kind_of(scenario) in SESSIONS


def _request(scenario: Scenario) -> Found:
    if scenario.raw and scenario.endpoint != "generate":
        yield "raw", "needs endpoint: generate"
    if scenario.raw and scenario.system is not None:
        yield "raw", "cannot go with system: the server refuses the two together"
    if scenario.options.num_predict == 0:
        yield "options.num_predict", "0 means different things to different servers"


def _load(scenario: Scenario) -> Found:
    closed = scenario.load.closed
    if scenario.cold and (closed is None or closed.users != [1]):
        yield "cold", "unloads before every request: it needs load: {closed: {users: 1}}"
    if scenario.cold and closed is not None:
        for key, given in (("think_time", closed.think_time), ("ramp_up", closed.ramp_up)):
            if given:
                yield f"load.closed.{key}", "has no meaning with cold: remove it"
    if closed is not None and closed.requests is not None:
        most = max(closed.users)
        if closed.requests < most and "users" not in scenario.matrix:
            yield (
                "load.closed.requests",
                f"fewer than the {most} users, so some would never send: requests counts all users "
                "of a block together",
            )


def _sessions(scenario: Scenario) -> Found:
    kind, load = kind_of(scenario), scenario.load
    limits = load.closed or load.open
    path = "load.closed" if load.closed is not None else "load.open"
    recorded = load.open is not None and load.open.arrivals.recorded is not None
    if recorded and kind != "sessions":
        yield "load.open.arrivals", "recorded is for prompts.sessions: nothing else has times"
    if not in_sessions(scenario):
        if limits is not None and limits.sessions is not None:
            yield f"{path}.sessions", f"prompts.{kind} has no sessions: give requests or duration"
        return
    at = f"prompts.{kind}"
    if scenario.endpoint != "chat":
        yield at, "needs endpoint: chat"
    if scenario.cold:
        yield "cold", f"unloads before every request: it cannot go with {at}"
    if scenario.prompts.images is not None:
        yield "prompts.images", f"go with single prompts, not with {at}"
    if scenario.control:
        yield "control", f"is for single prompts, not for {at}"
    if load.closed is not None and load.closed.think_time is not None:
        yield "load.closed.think_time", f"{at} has its own pauses: remove it"
    if load.open is not None:
        if load.open.requests is not None:
            yield f"{path}.requests", "what arrives are sessions: give sessions or duration"
        if load.open.arrivals.trace is not None:
            yield f"{path}.arrivals", "a trace of requests cannot go with sessions: use recorded"


def _embedding(scenario: Scenario) -> Found:
    prompts = scenario.prompts
    if scenario.endpoint != "embed":
        if prompts.batch != [1]:
            yield "prompts.batch", "needs endpoint: embed"
        return
    if kind_of(scenario) not in ("inline", "file", "synthetic"):
        yield f"prompts.{kind_of(scenario)}", "cannot go with endpoint: embed"
    given = {"prompts.images": prompts.images}
    given |= {key: getattr(scenario, key) for key in ("tools", "format", "checks", "system")}
    for key in filter(given.get, given):
        yield key, "has no meaning with endpoint: embed, which writes no text: remove it"


def _answers(scenario: Scenario) -> Found:
    if "schema" in scenario.checks and not isinstance(scenario.format, dict):
        yield "checks", "schema needs format: a JSON schema, here or as {file: schema.json}"
    if "tool_call" in scenario.checks and scenario.tools is None:
        yield "checks", "tool_call needs tools: a file of them"
    if scenario.tools is not None and scenario.endpoint != "chat":
        yield "tools", "needs endpoint: chat"
    if scenario.control and scenario.format is None and scenario.prompts.images is None:
        yield "control", "leaves out pictures or the format: there is neither"
    if scenario.control and scenario.tools is not None and scenario.tools.results is not None:
        yield "control", "cannot go with tools.results"


_EMBEDDED = ("text_per_s", "embed_tok_per_s", "batch_s")
_SPEEDS = ("decode", "ollama", "prefill", "output")
_WRITTEN = {"output_tokens", *(f"{what}_tok_per_s" for what in _SPEEDS)}
_CHECKED = {f"{check}_valid_rate": check for check in ("json", "schema", "tool_call")}


def _thresholds(scenario: Scenario) -> Found:
    embeds = scenario.endpoint == "embed"
    for index, threshold in enumerate(scenario.thresholds):
        kind, at = threshold.kind, f"thresholds[{index}]"
        if not scenario.stream and kind.streamed:
            yield at, f"{kind.id} is only known when answers are streamed (stream: true)"
        if embeds and (kind.streamed or kind.id in _WRITTEN):
            yield at, f"endpoint: embed writes no text, so it has no {kind.id}: ask for text_per_s"
        if not embeds and kind.id in _EMBEDDED:
            yield at, f"{kind.id} is of endpoint: embed"
        check = _CHECKED.get(kind.id)
        if check is not None and check not in scenario.checks:
            yield at, f"{kind.id} is only known with checks: [{check}]"
