"""From the keys of a scenario that ask for more than single prompts to plain data of the plan.

A file that they name and that cannot be read, or holds something else, is a ValueError.
"""

from __future__ import annotations

import base64
import os
from codecs import BOM_UTF8
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from bench.files import read_file
from bench.scenario.draws import Distribution, Kind
from bench.scenario.fields import DistributionSpec
from bench.scenario.json_check import check_schema, unchecked
from bench.scenario.options import DEFAULTS
from bench.scenario.prompts_schema import AgentSpec, RagSpec, lognormal
from bench.scenario.schema import Scenario
from bench.scenario.session_files import matching_files, session_file
from bench.scenario.trace_rows import parse_json
from bench.scenario.work import Images, MadeSessions, Passages, Replay, SubAgents, Tools

_MAX_IMAGE_BYTES = 50_000_000
_MAX_JSON_BYTES = 5_000_000

# Published statistics of coding agents, tokens (median, 95 % quantile): 710 traces with 48,658
# requests of kv-cache-tester; the 95 % quantiles follow from its medians and 90 % quantiles.
_HEAD = 15_100
_FIRST = (3_900.0, 23_700.0)
_NEW = (705.0, 6_750.0)
_OUTPUT = (216.0, 1_347.0)


def distribution(spec: DistributionSpec) -> Distribution:
    """A distribution of the file as that of the plan."""
    ((kind, given),) = spec.model_dump(exclude_none=True).items()
    params = given if isinstance(given, dict) else {"value": given}
    if kind == "choice":
        params.setdefault("weights", [1.0] * len(params["values"]))
    return Distribution(cast(Kind, kind), params)


def made_sessions(scenario: Scenario) -> MadeSessions | None:
    """What `prompts.conversation` or `prompts.agent` ask for."""
    spec = scenario.prompts.conversation or scenario.prompts.agent
    if spec is None:
        return None
    options = DEFAULTS | scenario.options.model_dump(exclude_none=True)
    common: dict[str, Any] = {
        **spec.model_dump(include={"language", "head", "history"}),
        "turns": distribution(spec.turns),
        "pause_s": distribution(spec.pause),
        "pause_cap_s": spec.pause_cap,
        "context": spec.context or int(options["num_ctx"]),
    }
    if isinstance(spec, AgentSpec):
        return _agent(spec, common)
    output = Distribution("fixed", {"value": max(1, int(options["num_predict"]))})
    return MadeSessions(
        **common,
        shared_tokens=spec.shared_tokens,
        first_tokens=distribution(spec.first_tokens),
        turn_tokens=distribution(spec.turn_tokens),
        output_tokens=output if spec.output_tokens is None else distribution(spec.output_tokens),
        compaction=False,
    )


def _agent(spec: AgentSpec, common: dict[str, Any]) -> MadeSessions:
    def tokens(given: DistributionSpec | None, usual: tuple[float, float]) -> Distribution:
        median, p95 = (max(1.0, value * spec.scale) for value in usual)
        return distribution(given or lognormal(median, p95))

    agents, subagents = spec.subagents, None
    if agents is not None and agents.chance:
        subagents = SubAgents(
            **agents.model_dump(include={"chance", "parallel", "same_head"}),
            steps=distribution(agents.steps),
            first_tokens=max(1, round(agents.first_tokens * spec.scale)),
        )
    head = spec.shared_tokens
    return MadeSessions(
        **common,
        shared_tokens=round(_HEAD * spec.scale) if head is None else head,
        first_tokens=tokens(spec.first_tokens, _FIRST),
        turn_tokens=tokens(spec.turn_tokens, _NEW),
        output_tokens=tokens(spec.output_tokens, _OUTPUT),
        compaction=spec.compaction,
        titles=spec.titles,
        tool_steps=distribution(spec.tool_steps),
        tool_tokens=tokens(spec.tool_tokens, _NEW),
        tool_pause_s=distribution(spec.tool_pause),
        subagents=subagents,
    )


def replay(scenario: Scenario) -> Replay | None:
    """What `prompts.sessions` asks for."""
    spec = scenario.prompts.sessions
    if spec is None:
        return None
    path = shown_path(scenario.directory / spec.file)
    columns = tuple(sorted(spec.columns.items()))
    return Replay(
        **spec.model_dump(include={"file", "format", "history", "start", "language"}),
        path=path,
        pause_cap_s=spec.delays.cap,
        max_context=spec.max_context or 0,
        count=len(session_file(path, spec.format, columns).sessions),
        columns=columns,
    )


def shown_path(path: Path) -> str:
    """A path from here: run directories are mailed, and what a home is called is private."""
    try:
        return os.path.relpath(path)
    except ValueError:  # another drive
        return str(path)


def passages(spec: RagSpec | None) -> Passages | None:
    """What `prompts.rag` asks for."""
    if spec is None:
        return None
    return Passages(**spec.model_dump(exclude={"popularity"}), zipf=spec.popularity.zipf)


def images(scenario: Scenario) -> Images | None:
    """What `prompts.images` asks for."""
    spec = scenario.prompts.images
    if spec is None:
        return None
    if spec.pixels is not None:
        return Images(spec.count, (spec.pixels[0], spec.pixels[1]))
    found = []
    for one in (scenario.directory / name for name in spec.files or ()):
        for path in matching_files(one):
            data = _read(path, _MAX_IMAGE_BYTES)
            if not data.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff", b"RIFF", b"GIF8")):
                raise ValueError(f"{path.name} is no PNG, JPEG, WebP or GIF")
            found.append((path.name, base64.b64encode(data).decode()))
    return Images(spec.count, (0, 0), tuple(found))


def tools(scenario: Scenario) -> Tools | None:
    """What `tools` asks for."""
    spec = scenario.tools
    if spec is None:
        return None
    value = read_json(scenario.directory / spec.file)
    if isinstance(value, dict):
        value = value.get("tools", [value])
    if not isinstance(value, list) or not value:
        raise ValueError(f"{spec.file} must hold a list of tools")
    for number, tool in enumerate(value, 1):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ValueError(
                f"{spec.file}: tool {number} is not as OpenAI and Ollama write them: "
                '{"type": "function", "function": {"name": ..., "parameters": {...}}}'
            )
        if "tool_call" in scenario.checks:
            check_schema(function.get("parameters", True))
    made, results = Tools(tuple(value), spec.file), spec.results
    if results is None:
        return made
    tokens = distribution(results.tokens)
    return replace(made, result_tokens=tokens, pause_s=results.pause, rounds=results.rounds)


def format_value(scenario: Scenario) -> Any:
    """The format, read from its file if it names one."""
    value = scenario.format
    if isinstance(value, dict) and set(value) == {"file"} and isinstance(value["file"], str):
        name = value["file"]
        value = read_json(scenario.directory / name)
        if not isinstance(value, dict):
            raise ValueError(f"{name} must hold a JSON schema, an object")
    if "schema" in scenario.checks and isinstance(value, dict):
        check_schema(value)
        if words := unchecked(value):
            raise ValueError(f"`checks: schema` cannot check {', '.join(words)} of this schema")
    return value


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return parse_json(_read(path, _MAX_JSON_BYTES).removeprefix(BOM_UTF8), path.name)


def _read(path: Path, most: int) -> bytes:
    try:
        data = read_file(path, most + 1)
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from None
    if len(data) > most:
        raise ValueError(f"{path.name} is larger than {most:,} bytes")
    return data
