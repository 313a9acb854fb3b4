"""What may stand in a scenario file, as pydantic models. The JSON Schema is made from these."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, model_validator

from bench.scenario.durations import duration_s
from bench.scenario.fields import (
    DistributionField,
    Model,
    PositiveSeconds,
    exactly_one,
    refuse,
    scalar_or_list,
)
from bench.scenario.hosts import parse_host
from bench.scenario.load_schema import ClosedLoad, LoadSpec
from bench.scenario.options import OllamaOptions
from bench.scenario.thresholds import STREAMED, parse_metric, parse_threshold

Language = Literal["en", "zh", "de", "es", "code"]
MAX_SEED = 2**53
"""The largest whole number that every reader of JSON keeps exactly."""

Name = Annotated[str, Field(min_length=1)]


class ManagedTarget(Model):
    """A server by URL, or a command that is started for the run and stopped after it."""

    name: Name
    """How the reports call this server."""
    url: str | None = None
    """Where it listens, in any form that OLLAMA_HOST may have; or unix:///path/of/socket."""
    command: Annotated[list[str], Field(min_length=1)] | None = None
    """Command line of a server to start, e.g. [/opt/ollama-0.32/bin/ollama, serve]."""
    env: dict[str, str] = Field(default_factory=dict)
    """Environment variables of that server, e.g. {OLLAMA_NUM_PARALLEL: "4"}."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, ("url", "command"))
        if self.url is not None:
            check_url(self.url)
            if self.env:
                raise refuse("env is only for a server that is started here, by command")
        return self


def check_url(url: str) -> None:
    """Refuses what is not the address of a server."""
    try:
        parse_host(url)
    except ValueError as error:
        raise refuse(str(error)) from None


def _target(value: Any) -> Any:
    if isinstance(value, str):
        check_url(value)
        return {"name": parse_host(value).split("://", 1)[1], "url": value}
    return value


TargetField = Annotated[
    ManagedTarget, BeforeValidator(_target, json_schema_input_type=str | ManagedTarget)
]


class Synthetic(Model):
    """Prompts made to a token count from the text that ships with the program."""

    input_tokens: DistributionField
    """Tokens of the whole prompt as the server counts them, chat template included."""
    output_tokens: DistributionField | None = None
    """At most so many tokens are generated; takes the place of options.num_predict."""
    language: Language = "en"
    """Which text the prompts are made of."""


class Prompts(Model):
    """Where the prompts come from: exactly one of inline, file, synthetic."""

    inline: Annotated[list[Name], Field(min_length=1)] | None = None
    """The prompts themselves, used in turn."""
    file: str | None = None
    """A .txt, .jsonl or .csv file of prompts, relative to the scenario file, used in turn."""
    synthetic: Synthetic | None = None
    """Prompts of a given length."""
    cache: Literal["bust", "warm"] = "bust"
    """bust: each prompt starts with a number of its own, so no prefix cache can help.
    warm: prompts are sent as they are, and synthetic ones share one text."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, ("inline", "file", "synthetic"))
        return self


def _prompts(value: Any) -> Any:
    return {"inline": value} if isinstance(value, list) else value


PromptsField = Annotated[
    Prompts, BeforeValidator(_prompts, json_schema_input_type=list[str] | Prompts)
]


class TimeoutsSpec(Model):
    """When to give a request up."""

    connect: PositiveSeconds = 10.0
    first_byte: PositiveSeconds = 600.0
    """Covers queueing, a cold load and reading the whole prompt."""
    idle: PositiveSeconds = 120.0
    """Between two parts of an answer."""


def _keep_alive(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise refuse('must be a duration with unit such as "30m", or a number of seconds')
    if isinstance(value, str):
        try:
            duration_s(value.removeprefix("-"))
        except ValueError:
            raise refuse(
                'must be a duration with unit such as "30m", or a number of seconds; '
                "-1 keeps the model loaded for ever"
            ) from None
    return value


def _think(value: Any) -> Any:
    if isinstance(value, bool) or value in ("low", "medium", "high", "max", "unset"):
        return value
    raise refuse("must be true, false, low, medium, high, max, or unset (not sent at all)")


def _format(value: Any) -> Any:
    if value == "json" or isinstance(value, dict):
        return value
    raise refuse("must be json, or a JSON schema")


def _threshold(value: str) -> str:
    try:
        parse_threshold(value)
    except ValueError as error:
        raise refuse(str(error)) from None
    return value


def _metric(value: str) -> str:
    try:
        parse_metric(value)
    except ValueError as error:
        raise refuse(str(error)) from None
    return value


ThresholdText = Annotated[str, AfterValidator(_threshold)]
MetricText = Annotated[str, AfterValidator(_metric)]
ThinkValue = bool | Literal["low", "medium", "high", "max", "unset"]


class Scenario(Model):
    """One scenario: what to measure, with which load, and what is good enough."""

    version: Literal[1] = Field(default=1, alias="schema")
    """Version of this file format."""
    name: Annotated[str, Field(pattern=r"^[\w][\w .+-]*$", max_length=60)] = "scenario"
    """Short name; it becomes part of the run directory's name."""
    description: str = ""
    """What it measures and why."""
    tags: Annotated[list[str], scalar_or_list(str)] = Field(default_factory=list)
    """Free words to find runs by."""
    models: Annotated[list[Name], scalar_or_list(str)] = Field(default_factory=list)
    """Models to measure. None: the loaded one, else the only one installed."""
    targets: list[TargetField] = Field(default_factory=list)
    """Servers to measure. None: OLLAMA_HOST, else http://127.0.0.1:11434."""
    endpoint: Literal["chat", "generate"] = "chat"
    """/api/chat or /api/generate."""
    stream: bool = True
    """Ask for the answer piece by piece. Without it there is no time to the first token."""
    options: OllamaOptions = Field(default_factory=OllamaOptions)
    """Options of the model runner."""
    think: Annotated[ThinkValue, BeforeValidator(_think, json_schema_input_type=ThinkValue)] = False
    """Whether a thinking model thinks. Models without that ability accept false."""
    keep_alive: Annotated[
        int | str, BeforeValidator(_keep_alive, json_schema_input_type=int | str)
    ] = "30m"
    """How long the model stays loaded after a request."""
    format: Annotated[
        Any, BeforeValidator(_format, json_schema_input_type=Literal["json"] | dict[str, Any])
    ] = None
    """json, or a JSON schema that the answer must follow."""
    system: Name | None = None
    """System prompt of every request."""
    raw: bool = False
    """Send the prompt past the template of the model (endpoint generate only)."""
    prompts: PromptsField = Field(
        default_factory=lambda: Prompts.model_validate({"synthetic": {"input_tokens": 200}})
    )
    """What is asked."""
    matrix: dict[str, list[Any]] = Field(default_factory=dict)
    """Lists over options and other keys: one case per combination."""
    load: LoadSpec = Field(default_factory=lambda: LoadSpec(closed=ClosedLoad()))
    """How much is asked at once."""
    warmup: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Requests before each block that are not measured. 3; 0 with cold."""
    blocks: Annotated[int, Field(ge=1, le=1000)] = 3
    """How often each case is measured; the cases take turns."""
    cold: bool = False
    """Unload the model before every measured request."""
    timeouts: TimeoutsSpec = Field(default_factory=TimeoutsSpec)
    """When to give a request up."""
    thresholds: Annotated[list[ThresholdText], scalar_or_list(str)] = Field(default_factory=list)
    """What must hold, e.g. "ttft_s.p95 <= 2"; else the exit code is 1."""
    primary: Annotated[list[MetricText], scalar_or_list(str)] | None = None
    """Metrics that decide a comparison. If not given: decode_tok_per_s, and ttft_s.p50 or, without
    streaming, e2e_s.p50."""
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 1
    """Of everything drawn: prompts, order, arrivals, think times."""
    salt: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    """Makes the numbers that bust caches differ between runs. Drawn anew each run if not given."""

    _source: str = PrivateAttr(default="")
    _directory: Path = PrivateAttr(default_factory=Path)

    @property
    def source(self) -> str:
        """The path or name it was loaded from."""
        return self._source

    @property
    def directory(self) -> Path:
        """The folder that relative paths in it are relative to."""
        return self._directory

    def located(self, source: str, directory: Path) -> Self:
        """The same scenario, knowing where it came from."""
        copy = self.model_copy()
        copy._source, copy._directory = source, directory
        return copy


def inconsistencies(scenario: Scenario) -> list[tuple[str, str]]:
    """What is right key by key but wrong together, as (key path, message)."""
    found = []
    if scenario.raw and scenario.endpoint != "generate":
        found.append(("raw", "needs endpoint: generate"))
    if scenario.raw and scenario.system is not None:
        found.append(("raw", "cannot go with system: the server refuses the two together"))
    closed = scenario.load.closed
    if scenario.cold and (closed is None or closed.users != [1]):
        found.append(("cold", "unloads before every request: it needs load: {closed: {users: 1}}"))
    if scenario.cold and closed is not None:
        for key, given in (("think_time", closed.think_time), ("ramp_up", closed.ramp_up)):
            if given:
                found.append((f"load.closed.{key}", "has no meaning with cold: remove it"))
    if closed is not None and closed.requests is not None:
        most = max(closed.users)
        if closed.requests < most and "users" not in scenario.matrix:
            message = (
                f"fewer than the {most} users, so some would never send: requests counts "
                "all users of a block together"
            )
            found.append(("load.closed.requests", message))
    if not scenario.stream:
        for index, text in enumerate(scenario.thresholds):
            if (metric := parse_threshold(text).metric) in STREAMED:
                message = f"{metric} is only known when answers are streamed (stream: true)"
                found.append((f"thresholds[{index}]", message))
    if scenario.options.num_predict == 0:
        found.append(("options.num_predict", "0 means different things to different servers"))
    return found
