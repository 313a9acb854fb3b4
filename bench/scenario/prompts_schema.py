"""What may stand under `prompts` in a scenario file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from bench.scenario.fields import Model, Name, TokensField, scalar_or_list
from bench.scenario.promptfile import PromptColumn
from bench.scenario.work_schema import (
    AgentSpec,
    ConversationSpec,
    ImagesSpec,
    Language,
    RagSpec,
    SessionsSpec,
)


class Synthetic(Model):
    """Prompts made to a token count from the text that ships with the program."""

    input_tokens: TokensField
    """Tokens of the whole prompt as the server counts them, chat template included."""
    output_tokens: TokensField | None = None
    """At most so many tokens are generated; takes the place of options.num_predict."""
    language: Language = "en"
    """Which text the prompts are made of."""


class Prompts(Model):
    """What is asked: exactly one of inline, file, synthetic, conversation, agent, sessions, rag."""

    one_of = ("inline", "file", "synthetic", "conversation", "agent", "sessions", "rag")

    inline: Annotated[list[Name], Field(min_length=1)] | None = None
    """The prompts themselves, used in turn."""
    file: str | None = None
    """A .txt, .jsonl, .csv or .tsv file of prompts, relative to the scenario file, used in turn."""
    columns: dict[PromptColumn, Name] = Field(default_factory=dict)
    """What a table calls them, e.g. {prompt: question, system: role, output_tokens: length}; it may
    have other columns then."""
    encoding: Name | None = None
    """Of the file, e.g. gbk or cp1252. If not given: UTF-8, or what its bytes show."""
    split: Literal["lines", "paragraphs"] | None = None
    """Of a .txt file: a prompt ends at every line's end, or at blank lines only. If not given: at
    blank lines if there are any, where it cannot be meant otherwise."""
    synthetic: Synthetic | None = None
    """Prompts of a given length."""
    conversation: ConversationSpec | None = None
    """Each user talks with the model: messages that build on each other, with pauses."""
    agent: AgentSpec | None = None
    """Each user is a coding agent: a long shared head, and many short steps."""
    sessions: SessionsSpec | None = None
    """Recorded sessions, played again."""
    rag: RagSpec | None = None
    """Questions with passages that were found for them."""
    images: ImagesSpec | None = None
    """Pictures that go with each prompt."""
    batch: Annotated[
        list[Annotated[int, Field(ge=1, le=10_000)]], scalar_or_list(int), Field(min_length=1)
    ] = Field(default_factory=lambda: [1])
    """Texts in each request of endpoint embed; a list makes one case each."""
    cache: Literal["bust", "warm"] = "bust"
    """bust: each prompt starts with a number of its own, so no prefix cache can help.
    warm: prompts are sent as they are, and synthetic ones share one text."""

    @model_validator(mode="after")
    def _of_files(self) -> Self:
        if self.split is not None and self.file is None:
            raise ValueError("split is for a file of prompts")
        if self.file is None and (self.columns or self.encoding):
            raise ValueError("columns and encoding are for a file of prompts")
        if self.columns and "prompt" not in self.columns:
            raise ValueError("columns must say which one is the prompt, e.g. {prompt: question}")
        return self


def _prompts(value: Any) -> Any:
    if isinstance(value, list):
        return {"inline": value}
    if isinstance(value, dict):  # a kind without values stands for its defaults
        kinds = ("conversation", "agent", "rag")
        return {k: {} if k in kinds and v is True else v for k, v in value.items()}
    return value


PromptsField = Annotated[
    Prompts, BeforeValidator(_prompts, json_schema_input_type=list[str] | Prompts)
]
