"""Sessions: one person's or agent's sequence of requests that build on each other.

Whether a session was read from a file (`bench.scenario.session_files`) or made up
(`bench.scenario.made_sessions`), it is the same thing: steps, each of which adds messages to the
history of its thread. What is sent is the history so far, so a step holds only what is new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Message = dict[str, Any]
"""{"role", "content", ...} as OpenAI and Ollama write it."""
StepKind = Literal["user", "tool", "title", "summary", "subagent"]
"""What a request was sent for: a message of the user, results of tools, a title or a summary that
the client asks for beside the conversation, or the work of a sub-agent."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a session.

    Attributes:
        kind: what it was sent for.
        added: messages that are new to its thread since the step before, without the answer to
            that step.
        answer: the recorded assistant message that answered it, tool calls included; None = not
            recorded.
        at_s: when it arrived, in seconds since the first request of its file; None = not known.
        answered_at_s: when its answer had ended, likewise.
        gap_s: the pause since the end of the answer before it, in its thread; None = not known.
        prompt_tokens, cached_tokens, output_tokens: as recorded; None = not recorded. Cached
            tokens are part of the prompt's.
        blocks: for traces without text: identities of the stretches that its prompt is made of; the
            same number is the same text, in the whole file.
        lengths: tokens of each of `blocks`; their sum is `prompt_tokens`. The text of a shorter one
            is the beginning of that of a longer one with the same number
            (`bench.scenario.block_text` makes the text).
        thread: whose history it continues: "" is the main one; sub-agents and side requests have
            one each.
        fresh: the history of its thread starts anew with `added`: the first step, a compaction.
        tools: the tools it offers; None = those of the session.
    """

    kind: StepKind
    added: tuple[Message, ...] = ()
    answer: Message | None = None
    at_s: float | None = None
    answered_at_s: float | None = None
    gap_s: float | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    blocks: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()
    thread: str = ""
    fresh: bool = False
    tools: tuple[dict[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One session.

    Attributes:
        id: as the file calls it, or its number; unique in its file.
        steps: in the order in which they were sent.
        tools: the tools that its requests offer, as OpenAI and Ollama write them.
        start_s: when it began, in seconds since the first request of its file; None = not known.
    """

    id: str
    steps: tuple[Step, ...]
    tools: tuple[dict[str, Any], ...] = ()
    start_s: float | None = None


@dataclass(frozen=True, slots=True)
class SessionFile:
    """What was read of a file of sessions.

    Attributes:
        sessions: in the order in which they began, or of the file where that is not known.
        format: its format by name, as `prompts.sessions.format` calls it.
        notes: what must be said to the user: how it was read, what was left out and why.
    """

    sessions: tuple[Session, ...]
    format: str
    notes: tuple[str, ...] = ()
