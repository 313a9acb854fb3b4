"""What may stand in a scenario file, as pydantic models. The JSON Schema is made from these."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    model_validator,
)

from bench.address import full_url
from bench.durations import duration_s
from bench.errors import Problem, ScenarioError
from bench.scenario.fields import Model, Name, PositiveSeconds, before, scalar_or_list
from bench.scenario.load_schema import ClosedLoad, LoadSpec
from bench.scenario.options import OllamaOptions
from bench.scenario.plan import DEFAULT_TEXTS
from bench.scenario.prices import parse_prices
from bench.scenario.prompts_schema import CheckName, Prompts, PromptsField, ToolsField
from bench.thresholds import Threshold, parse_compared, parse_threshold

MAX_SEED = 2**53
"""The largest whole number that every reader of JSON keeps exactly."""


class ManagedTarget(Model):
    """A server by URL, or a command that is started for the run and stopped after it."""

    one_of = ("url", "command")

    name: Name
    """How the reports call this server."""
    url: str | None = None
    """Where it listens, in any form that OLLAMA_HOST may have; or unix:///path/of/socket."""
    command: Annotated[list[str], Field(min_length=1)] | None = None
    """Command line of a server to start, e.g. [/opt/ollama-0.32/bin/ollama, serve]."""
    env: dict[str, str] = Field(default_factory=dict)
    """Environment variables of that server, e.g. {OLLAMA_NUM_PARALLEL: "4"}."""

    @model_validator(mode="after")
    def _address(self) -> Self:
        if self.url is not None:
            full_url(self.url)
            if self.env:
                raise ValueError("env is only for a server that is started here, by command")
        return self


def _target(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": full_url(value).split("://", 1)[1], "url": value}
    return value


TargetField = Annotated[ManagedTarget, before(_target, str | ManagedTarget)]


class TimeoutsSpec(Model):
    """When to give a request up."""

    connect: PositiveSeconds = 10.0
    first_byte: PositiveSeconds = 600.0
    """Covers queueing, a cold load and reading the whole prompt."""
    idle: PositiveSeconds = 120.0
    """Between two parts of an answer."""
    total: PositiveSeconds | None = None
    """From sending a request to the end of its answer. If not given: two hours, or twice
    `first_byte` if that is longer."""


def _keep_alive(value: Any) -> Any:
    wanted = 'must be a duration with unit such as "30m", or a number of seconds'
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(wanted)
    if isinstance(value, str):
        try:
            duration_s(value.removeprefix("-"))
        except ValueError:
            raise ValueError(f"{wanted}; -1 keeps the model loaded for ever") from None
    return value


def _think(value: Any) -> Any:
    if isinstance(value, bool) or value in ("low", "medium", "high", "max", "unset"):
        return value
    raise ValueError("must be true, false, low, medium, high, max, or unset (not sent at all)")


def _format(value: Any) -> Any:
    if value == "json" or isinstance(value, dict):
        return value
    raise ValueError("must be json, a JSON schema, or {file: schema.json}")


def _threshold(value: Any) -> Threshold:
    if isinstance(value, Threshold):
        return value
    if not isinstance(value, str):
        raise ValueError('must be text such as "ttft_s.p95 <= 2"')
    return parse_threshold(value)


def _metric(value: str) -> str:
    parse_compared(value)
    return value


ThresholdField = Annotated[
    Threshold, PlainValidator(_threshold, json_schema_input_type=str), PlainSerializer(str)
]
MetricText = Annotated[str, AfterValidator(_metric)]
ThinkValue = bool | Literal["low", "medium", "high", "max", "unset"]


TelemetryKind = Literal["nvidia", "amd", "intel", "apple", "cpu", "machine", "server"]
TelemetryUrl = Annotated[str, Field(pattern="^https?://")]
TelemetryValue = (
    Literal["auto", "off"]
    | Annotated[list[Literal["auto"] | TelemetryKind | TelemetryUrl], Field(min_length=1)]
)


def _telemetry(value: Any) -> Any:
    if value is False:  # an unquoted off in YAML 1.1
        return "off"
    kinds = get_args(TelemetryKind)
    if value in (["auto"], ["off"]):
        return value[0]
    if isinstance(value, str) and value not in ("auto", "off"):
        value = [value]
    if isinstance(value, list):
        urls = [v for v in value if isinstance(v, str) and v.startswith(("http://", "https://"))]
        if not value or any(v not in ("auto", *kinds, *urls) for v in value):
            listed = ", ".join(kinds)
            raise ValueError(f"must be auto, off, or a list of {listed} and URLs of exporters")
        if len(urls) == len(value):  # beside what is found by itself
            return ["auto", *urls]
    return value


TelemetryField = Annotated[TelemetryValue, before(_telemetry, TelemetryValue)]


class FidelitySpec(Model):
    """How far the models' next words are from those of one of them, read off after the blocks."""

    reference: Name | None = None
    """The model that the others are compared with: the original, or the best file there is. If not
    given: the largest file."""
    texts: Annotated[list[Name], Field(min_length=1), scalar_or_list(str)] = Field(
        default_factory=lambda: list(DEFAULT_TEXTS)
    )
    """Shipped texts (en, zh, de, es, code) or files, relative to the scenario file."""
    quick: bool = False
    """15 texts instead of 60: for large differences."""


def _prices(value: Any) -> Any:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
        raise ValueError("must be text such as 0.30 EUR/kWh, or a list of such")
    parse_prices(texts)
    return texts


PriceField = Annotated[list[str], before(_prices, str | list[str])]


class MixPart(Model):
    """One part of a mix. What is not given is as in the scenario."""

    name: Name | None = None
    """How reports call it. If not given: its model, or its number."""
    share: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Its share of the users, or of the arrivals, relative to the other parts."""
    model: Name | None = None
    """The model that it asks."""
    prompts: PromptsField | None = None
    """What it asks."""
    endpoint: Literal["chat", "generate", "embed"] | None = None
    """/api/chat, /api/generate or /api/embed."""
    options: OllamaOptions | None = None
    """Options of the model runner; those that are not given are as in the scenario."""
    system: Name | None = None
    """System prompt."""


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
    endpoint: Literal["chat", "generate", "embed"] = "chat"
    """/api/chat, /api/generate or /api/embed."""
    stream: bool = True
    """Ask for the answer piece by piece. Without it there is no time to the first token."""
    options: OllamaOptions = Field(default_factory=OllamaOptions)
    """Options of the model runner."""
    think: Annotated[ThinkValue, before(_think, ThinkValue)] = False
    """Whether a thinking model thinks. Models without that ability accept false."""
    keep_alive: Annotated[int | str, before(_keep_alive, int | str)] = "30m"
    """How long the model stays loaded after a request."""
    format: Annotated[Any, before(_format, Literal["json"] | dict[str, Any])] = None
    """json, or a JSON schema that the answer must follow, here or as {file: schema.json}."""
    tools: ToolsField | None = None
    """Tools that every request offers: a file, or {file: tools.json, results: {...}}."""
    checks: Annotated[list[CheckName], scalar_or_list(str)] = Field(default_factory=list)
    """What is checked in every answer: json (it is JSON), schema (it follows the format),
    tool_call (it calls a tool that there is, with arguments that fit)."""
    control: bool | None = None
    """Every request is followed by the same one without its pictures, else without the format, so
    that their cost is known. If not given: with pictures only."""
    truncate: bool = False
    """Let the server cut a text that does not fit, in silence. Without it that is an error."""
    system: Name | None = None
    """System prompt of every request."""
    raw: bool = False
    """Send the prompt past the template of the model (endpoint generate only)."""
    prompts: PromptsField = Field(
        default_factory=lambda: Prompts.model_validate({"synthetic": {"input_tokens": 200}})
    )
    """What is asked."""
    mix: list[MixPart] = Field(default_factory=list)
    """Several models or kinds of work at the same time, each with its share of the load; each is
    also measured alone."""
    matrix: dict[str, list[Any]] = Field(default_factory=dict)
    """Lists over options and other keys: one case per combination."""
    load: LoadSpec = Field(default_factory=lambda: LoadSpec(closed=ClosedLoad()))
    """How much is asked at once."""
    warmup: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Requests before each block that are not measured. 3; 0 with cold."""
    blocks: Annotated[int, Field(ge=1, le=1000)] = 6
    """How often each case is measured; the cases take turns. Many short blocks bound a number
    better than a few long ones in the same time."""
    cold: bool = False
    """Unload the model before every measured request."""
    timeouts: TimeoutsSpec = Field(default_factory=TimeoutsSpec)
    """When to give a request up."""
    thresholds: Annotated[list[ThresholdField], scalar_or_list(str)] = Field(default_factory=list)
    """What must hold, e.g. "ttft_s.p95 <= 2"; else the exit code is 1."""
    primary: Annotated[list[MetricText], scalar_or_list(str)] | None = None
    """Metrics that decide a comparison. If not given: decode_tok_per_s, and ttft_s.p50 or, without
    streaming, e2e_s.p50."""
    fidelity: FidelitySpec | None = None
    """Also measure how far the models are from a reference, when all blocks have run; only `run`
    does. {} does it with what is usual. See `ollama-bench help fidelity`."""
    telemetry: TelemetryField = "auto"
    """Which hardware of the server's machine is watched: auto, off, or a list of nvidia, amd,
    intel, apple (graphics cards), cpu (its energy), machine (memory, swap), server (its processes)
    and URLs of Prometheus exporters there."""
    price: PriceField = Field(default_factory=list)
    """What electricity costs, such as 0.30 EUR/kWh, and the machine, such as 1.20 EUR/h: one of
    them, or a list of both. The currency is free text."""
    bandwidth: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    """GB/s of the memory that holds the model: of the GPU, or of the CPU if the model is there.
    For hardware that does not report it, or reports it wrongly; the report marks it as given."""
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

    def as_data(self) -> dict[str, Any]:
        """The scenario as plain data, as it would be written to a file."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def parts(self) -> dict[str, Self]:
        """The scenario of each part of a mix, by its name, else its model, else its number."""
        data, made = self.as_data() | {"mix": []}, {}
        for number, part in enumerate(self.mix, 1):
            given = part.model_dump(
                mode="json", exclude_none=True, exclude={"name", "share", "model"}
            )
            options = data["options"] | given.pop("options", {})
            one = type(self).model_validate(data | given | {"options": options})
            name = part.name or part.model or f"part {number}"
            while name in made:
                name = f"{name} {number}"
            made[name] = one.located(self.source, self.directory)
        return made

    def wrong(self, message: str, path: str = "") -> ScenarioError:
        """The error that names this scenario, and the key."""
        return ScenarioError(self.source or self.name, [Problem(path, message)])

    def located(self, source: str, directory: Path) -> Self:
        """The same scenario, knowing where it came from."""
        copy = self.model_copy()
        copy._source, copy._directory = source, directory
        return copy
