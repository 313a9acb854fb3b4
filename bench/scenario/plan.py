"""The plan: what a resolved scenario asks for, as plain frozen data.

A scenario expands into *cases* (one combination of target, model, options, workload and load level)
and an ordered list of *blocks* (one uninterrupted stretch of one case). Everything here can be
written to `run.json` and read back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.scenario.draws import Distribution as Distribution
from bench.scenario.work import Images, MadeSessions, Passages, Replay, Tools
from bench.thresholds import Threshold

Endpoint = Literal["chat", "generate", "embed"]
Think = bool | Literal["low", "medium", "high", "max"] | None
Axes = dict[str, str]
"""Axis name -> value as text, e.g. {"model": "llama3.2:3b", "users": "4"}."""


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
        sessions: per block: begin no further session after so many; None = no such limit.
        duration_s: per block: stop sending after so many seconds; None = no such limit.
        max_errors: per block: stop the block after so many failed requests; None = never.
        ramp_up_s: closed loop: the users' first requests are spread over this time, which is not
            part of the measured window.
        settle_s: open loop: for so long requests arrive before those that are measured, so that
            the queue is as long as it usually is; after the last measured one they go on arriving
            until all measured ones have ended, at most as long again.
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
    settle_s: float = 0.0
    sessions: int | None = None


@dataclass(frozen=True, slots=True)
class SyntheticPrompts:
    """Prompts made to a token count from the shipped corpus."""

    input_tokens: Distribution
    output_tokens: Distribution | None
    language: str


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """Where the prompts of a case come from.

    Exactly one of `inline` (texts), `file` (key of `Plan.prompt_files`), `synthetic`, `made`,
    `replay` and `rag` is set.

    Attributes:
        made, replay: sessions instead of single prompts.
        images: pictures that go with each prompt.
        batch: texts of one embedding request.
        cache: `bust` = a unique nonce first in the first text the template renders; `warm` = no
            nonce, and synthetic prompts share one text.
    """

    inline: tuple[str, ...] = ()
    file: str = ""
    synthetic: SyntheticPrompts | None = None
    cache: Literal["bust", "warm"] = "bust"
    made: MadeSessions | None = None
    replay: Replay | None = None
    rag: Passages | None = None
    images: Images | None = None
    batch: int = 1

    @property
    def in_sessions(self) -> bool:
        """Whether a user plays sessions instead of sending single requests."""
        return self.made is not None or self.replay is not None

    @property
    def language(self) -> str:
        """Of the text that prompts are made of; "" if none is made."""
        made = self.synthetic or self.made or self.replay or self.rag
        return made.language if made is not None else ""


TOTAL_S = 7200.0
"""Generous: the slowest machine writes the longest answer in this time."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. First byte covers queueing, a cold load and the whole prefill; total, all."""

    connect_s: float = 10.0
    first_byte_s: float = 600.0
    idle_s: float = 120.0
    total_s: float = TOTAL_S


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
        checks: what is checked in every answer: json, schema, tool_call.
        control: every request is followed by the same one without pictures, else without format.
        truncate: let the server cut what does not fit.
        part: of a mix, which one; "" = there is no mix.
        together: cases of the same text here run at the same time; "" = this one runs alone.
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
    tools: Tools | None = None
    checks: tuple[str, ...] = ()
    control: bool = False
    truncate: bool = False
    part: str = ""
    together: str = ""

    @property
    def in_sessions(self) -> bool:
        """Whether requests build on each other: sessions, or results of tools after an answer."""
        scripted = self.tools is not None and self.tools.result_tokens is not None
        return self.prompts.in_sessions or scripted


@dataclass(frozen=True, slots=True)
class Block:
    """One uninterrupted stretch of one case, in the order of the plan.

    Attributes:
        index: position in the plan, from 0; files have it as it is.
        case: id of the case.
        repetition: which block of its case this is, from 0.
        seed: of everything drawn in this block; equal in both blocks of a pair.
        pair: number of the pair it belongs to, None outside `ab`.
        side: "a" or "b" within a pair.
        position: 0 = first of its pair, 1 = second.
        beside: index of the first of the blocks that run at the same time, if there are several.
    """

    index: int
    case: str
    repetition: int
    seed: int
    pair: int | None = None
    side: Literal["a", "b"] | None = None
    position: int | None = None
    beside: int | None = None

    @property
    def number(self) -> int:
        """As people count it: from 1, in every view, message and report."""
        return self.index + 1


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


DEFAULT_TEXTS = ("en", "code")


@dataclass(frozen=True, slots=True)
class ForcedText:
    """A text to be read word by word, with the places where models are asked what comes next.

    Attributes:
        kind: language, or the name of its file.
        cuts: how many characters come before each place; ascending.
    """

    kind: str
    text: str
    cuts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FidelityPlan:
    """What is asked about fidelity when all blocks have run.

    Attributes:
        reference: the model that the others are compared with; "" = the largest file.
    """

    reference: str
    texts: tuple[ForcedText, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered list of blocks, and all they refer to.

    Attributes:
        name: of the scenario.
        scenario: the resolved scenario as it would be written to a file.
        source: path or name the scenario came from.
        salt: makes the cache-busting nonces of this run differ from those of any other run.
        thresholds: what must hold; in run.json each is its text.
        primary: metrics that gate a comparison, e.g. "decode_tok_per_s", "ttft_s.p50".
        prompt_files: the prompts read from files, by the name that `PromptSpec.file` has: one dict
            a prompt, with the keys `prompt` (str) and optionally `system` (str) and
            `output_tokens` (int).
        scenario_b: for `ab`: the resolved scenario of side b, `scenario` being that of side a.
        notes: what was understood of the files that the scenario names, in words.
        fidelity: None if only speed is measured.
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
    thresholds: tuple[Threshold, ...] = ()
    primary: tuple[str, ...] = ("decode_tok_per_s", "ttft_s.p50")
    prompt_files: dict[str, tuple[dict[str, Any], ...]] = field(default_factory=dict)
    scenario_b: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    fidelity: FidelityPlan | None = None

    def case(self, case_id: str) -> Case:
        """The case with this id.

        Raises:
            KeyError: there is none.
        """
        return {case.id: case for case in self.cases}[case_id]

    def nonce_block(self, block: Block) -> int:
        """The index from which a block's nonces are made.

        Its own; but both blocks of a pair on two servers have those of the first, so that they send
        the same bytes and their texts can be compared. On one server the second would be answered
        from the prompt cache.
        """
        near = self.blocks[max(block.index - 1, 0) : block.index + 2]
        for other in near if block.pair is not None else ():
            paired = other.pair == block.pair and other.side != block.side
            if paired and self._server(other) != self._server(block):
                return min(block.index, other.index)
        return block.index

    def _server(self, block: Block) -> str:
        """What tells the server of a block from others, whatever it is called."""
        name = self.case(block.case).target
        target = next((t for t in self.targets if t.name == name), None)
        if target is None or not target.url:
            return name
        host = target.url.partition("://")[2]
        return re.sub(r"^(localhost|\[::1\]):", "127.0.0.1:", host)
