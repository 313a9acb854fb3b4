"""The plan: what a resolved scenario asks for, as plain frozen data.

A scenario expands into *cases* (one combination of target, model, options, workload and load level)
and an ordered list of *blocks* (one uninterrupted stretch of one case). Everything here can be
written to `run.json` and read back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Endpoint = Literal["chat", "generate"]
Think = bool | Literal["low", "medium", "high", "max"] | None
Axes = dict[str, str]
"""Axis name -> value as text, e.g. {"model": "llama3.2:3b", "users": "4"}."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A number, or how to draw one.

    Attributes:
        kind: `fixed` (value), `uniform` (low, high), `normal` (mean, sd), `lognormal` (median,
            p95), `choice` (values, weights).
        params: the numbers of that kind, by the names above.
    """

    kind: Literal["fixed", "uniform", "normal", "lognormal", "choice"]
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How requests arrive in an open loop.

    Attributes:
        kind: `constant`, `poisson`, `gamma` (squared coefficient of variation = `burstiness`), or
            `trace` (times read from `trace_file`).
        burstiness: for `gamma` only: 1 is Poisson, above is burstier, below is smoother.
        times_s: for `trace` only: the arrivals as they stand in the file, in seconds.
        time_scale: for `trace` only: the times are multiplied by this.
        prompt_tokens, output_tokens: for `trace` only: of each arrival, if the file says; synthetic
            prompts are made to them.
    """

    kind: Literal["constant", "poisson", "gamma", "trace"] = "poisson"
    burstiness: float = 1.0
    trace_file: str = ""
    time_scale: float = 1.0
    times_s: tuple[float, ...] = ()
    prompt_tokens: tuple[int, ...] = ()
    output_tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """One load level.

    Attributes:
        loop: `closed` (a fixed number of users, each waiting for its answer) or `open` (arrivals
            at a rate, whatever the server does).
        users: closed loop: how many users.
        think_time_s: closed loop: pause between an answer and the next request of that user.
        rate_per_s: open loop: arrivals per second.
        max_in_flight: open loop: arrivals above this many open requests are dropped and counted.
        requests: per block: stop sending after so many measured requests; None = no such limit.
        duration_s: per block: stop sending after so many seconds; None = no such limit.
        max_errors: per block: stop the block after so many failed requests; None = never.
        ramp_up_s: closed loop: the users' first requests are spread over this time, which is not
            part of the measured window.
    """

    loop: Literal["closed", "open"]
    users: int | None = None
    think_time_s: Distribution | None = None
    rate_per_s: float | None = None
    arrivals: Arrivals | None = None
    max_in_flight: int = 1000
    requests: int | None = None
    duration_s: float | None = None
    max_errors: int | None = None
    ramp_up_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SyntheticPrompts:
    """Prompts made to a token count from the shipped corpus."""

    input_tokens: Distribution
    output_tokens: Distribution | None
    language: str


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """Where the prompts of a case come from.

    Exactly one of `inline` (texts), `file` (key of `Plan.prompt_files`) and `synthetic` is set.

    Attributes:
        cache: `bust` = a unique nonce first in the first text the template renders; `warm` = no
            nonce, and synthetic prompts share one text.
    """

    inline: tuple[str, ...] = ()
    file: str = ""
    synthetic: SyntheticPrompts | None = None
    cache: Literal["bust", "warm"] = "bust"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. First byte covers queueing, a cold load and the whole prefill."""

    connect_s: float = 10.0
    first_byte_s: float = 600.0
    idle_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Case:
    """One combination of target, model, options, workload and load level.

    Attributes:
        id: unique in the plan and stable between runs of the same scenario; readable
            ("llama3.2:3b, users=4").
        axes: what tells this case from its siblings; `model` and `target` are always there.
        target: name of the target (see `Plan.targets`).
        options: Ollama options, sent verbatim on every request.
        format: "json" or a JSON schema, or None.
        cold: unload before every measured request.
    """

    id: str
    axes: Axes
    target: str
    model: str
    endpoint: Endpoint
    stream: bool
    options: dict[str, Any]
    think: Think
    keep_alive: str | int
    prompts: PromptSpec
    load: Load
    warmup: int
    cold: bool = False
    format: Any = None
    system: str | None = None
    raw: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True, slots=True)
class Block:
    """One uninterrupted stretch of one case, in the order of the plan.

    Attributes:
        index: position in the plan, from 0.
        case: id of the case.
        repetition: which block of its case this is, from 0.
        seed: of everything drawn in this block; equal in both blocks of a pair.
        pair: number of the pair it belongs to, None outside `ab`.
        side: "a" or "b" within a pair.
        position: 0 = first of its pair, 1 = second.
    """

    index: int
    case: str
    repetition: int
    seed: int
    pair: int | None = None
    side: Literal["a", "b"] | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One server: a URL, or a command that the tool starts and stops itself.

    Attributes:
        url: normalised ("http://127.0.0.1:11434", with base path if any); "" for a managed one.
        command: argv of a managed server, empty for a URL.
        env: environment variables set for the managed server.
    """

    name: str
    url: str = ""
    command: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered list of blocks, and all they refer to.

    Attributes:
        name: of the scenario.
        scenario: the resolved scenario as it would be written to a file.
        source: path or name the scenario came from.
        salt: makes the cache-busting nonces of this run differ from those of any other run.
        thresholds: as written, e.g. "ttft_s.p95 <= 2".
        primary: metrics that gate a comparison, e.g. "decode_tok_per_s", "ttft_s.p50".
        prompt_files: the prompts read from files, by the name that `PromptSpec.file` has: one dict
            a prompt, with the keys `prompt` (str) and optionally `system` (str) and
            `output_tokens` (int).
        scenario_b: for `ab`: the resolved scenario of side b, `scenario` being that of side a.
    """

    name: str
    description: str
    tags: tuple[str, ...]
    source: str
    scenario: dict[str, Any]
    targets: tuple[Target, ...]
    cases: tuple[Case, ...]
    blocks: tuple[Block, ...]
    seed: int
    salt: int
    thresholds: tuple[str, ...] = ()
    primary: tuple[str, ...] = ("decode_tok_per_s", "ttft_s.p50")
    prompt_files: dict[str, tuple[dict[str, Any], ...]] = field(default_factory=dict)
    scenario_b: dict[str, Any] | None = None

    def case(self, case_id: str) -> Case:
        """The case with this id.

        Raises:
            KeyError: there is none.
        """
        for case in self.cases:
            if case.id == case_id:
                return case
        raise KeyError(case_id)
