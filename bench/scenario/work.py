"""Work beyond single prompts, as plain frozen data of the plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from bench.scenario.draws import Distribution

History = Literal["recorded", "own"]
"""Which answers a history holds: those of the recording (or made up), the same on every server; or
those that this server gave."""


@dataclass(frozen=True, slots=True)
class SubAgents:
    """Sub-agents of a made-up session, which work at the same time.

    Attributes:
        chance: that a user's message starts them.
        parallel: how many at once.
        steps: requests of each.
        first_tokens: of the first request of each, head included.
        same_head: they begin with the session's head, not with one of their own.
    """

    chance: float
    parallel: int
    steps: Distribution
    first_tokens: int
    same_head: bool


@dataclass(frozen=True, slots=True)
class MadeSessions:
    """Sessions that are made up.

    Attributes:
        shared_tokens: of the head that all sessions begin with (system prompt, tools); 0 = none.
        head: `shared` = the same for all; `changing` = its first line is another in every request,
            so no prefix of it can be read from a cache.
        turns: messages of the user.
        first_tokens, turn_tokens: of the first and of each further one.
        tool_steps: requests with results of tools after each message; None = none.
        tool_tokens: of the results in one such request.
        output_tokens: of each answer.
        pause_s: of the user before each further message.
        tool_pause_s: of the tools before each result.
        pause_cap_s: no pause is longer.
        titles: a title is asked for beside the first message.
        context: tokens at which the history is made short; with `compaction` False only a limit
            to be checked beforehand.
        compaction: the history is put into a summary of half its length there.
    """

    language: str
    shared_tokens: int
    head: Literal["shared", "changing"]
    history: History
    turns: Distribution
    first_tokens: Distribution
    turn_tokens: Distribution
    output_tokens: Distribution
    pause_s: Distribution
    pause_cap_s: float
    context: int
    compaction: bool
    titles: bool = False
    tool_steps: Distribution | None = None
    tool_tokens: Distribution | None = None
    tool_pause_s: Distribution | None = None
    subagents: SubAgents | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """Sessions that are played again.

    Attributes:
        file: as the scenario names it.
        path: where it is, from the folder in which the run was started.
        format: `auto`, or its name.
        columns: our name of a column -> that of the file.
        pause_cap_s: no pause is longer.
        start: `begin`, or `anywhere`: each session from a step drawn by chance on, its history
            before that step sent along.
        max_context: sessions end before the request whose recorded prompt is longer; 0 = no limit.
        language: of the text that stands for tokens that the file only counts.
        count: sessions of the file.
    """

    file: str
    path: str
    format: str
    history: History
    pause_cap_s: float
    start: Literal["begin", "anywhere"]
    max_context: int
    language: str
    count: int
    columns: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Passages:
    """Questions with passages of a collection, as in retrieval (RAG).

    Attributes:
        passages: in each prompt.
        passage_tokens: of each.
        corpus: how many passages there are.
        zipf: exponent of their popularity; 0 = all are equally popular.
        question: before or after the passages.
    """

    passages: int
    passage_tokens: int
    corpus: int
    zipf: float
    question_tokens: int
    question: Literal["first", "last"]
    language: str


@dataclass(frozen=True, slots=True)
class Images:
    """Pictures that go with each prompt.

    Attributes:
        count: of each prompt.
        pixels: width and height of drawn ones.
        files: pictures to send instead, as (name, base64); used in turn.
    """

    count: int
    pixels: tuple[int, int]
    files: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Tools:
    """Tools that every request offers, and what stands for their results.

    Attributes:
        tools: as OpenAI and Ollama write them.
        file: as the scenario names it.
        result_tokens: of a scripted result; None = calls get no answer.
        pause_s: before it.
        rounds: results after each message at most.
    """

    tools: tuple[dict[str, Any], ...]
    file: str
    result_tokens: Distribution | None = None
    pause_s: float = 0.0
    rounds: int = 5
