"""What may stand under `prompts`, `tools` and `checks` in a scenario file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from bench.scenario.fields import (
    DistributionField,
    DistributionSpec,
    Model,
    Name,
    Seconds,
    TokensField,
    before,
    scalar_or_list,
)
from bench.scenario.promptfile import PromptColumn

Language = Literal["en", "zh", "de", "es", "code"]
HistoryField = Literal["recorded", "own"]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def lognormal(median: float, p95: float) -> DistributionSpec:
    """A lognormal distribution as a default."""
    return DistributionSpec.model_validate({"lognormal": {"median": median, "p95": p95}})


def fixed(value: float) -> DistributionSpec:
    """One number as a default."""
    return DistributionSpec.model_validate({"fixed": value})


class SessionBase(Model):
    """What conversations and agents have in common."""

    head: Literal["shared", "changing"] = "shared"
    """shared: all sessions begin with the same text, which a prefix cache can keep. changing: its
    first line is another in every request, as a time or a hash in a system prompt is; no prefix can
    be read from a cache then."""
    history: HistoryField = "recorded"
    """Answers in the history: recorded ones (made up, so the same on every server) or the server's
    own, as people have them. With own ones the lengths of the prompts depend on the model."""
    pause_cap: Seconds = 60.0
    """No pause is longer."""
    context: Count | None = None
    """Tokens up to which the history grows. If not given: options.num_ctx."""
    language: Language = "en"
    """Which text the messages are made of."""


class ConversationSpec(SessionBase):
    """People who talk with the model: a user is a session, one message after another."""

    turns: TokensField = Field(default_factory=lambda: fixed(6))
    """Messages of the user in a session."""
    shared_tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens of a system prompt that all sessions share; 0 = none."""
    first_tokens: TokensField = Field(default_factory=lambda: fixed(800))
    """Tokens of the first message."""
    turn_tokens: TokensField = Field(default_factory=lambda: fixed(80))
    """Tokens of each further message."""
    output_tokens: TokensField | None = None
    """At most so many tokens of each answer. If not given: options.num_predict."""
    pause: DistributionField = Field(default_factory=lambda: lognormal(20, 90))
    """Seconds that the user reads and thinks before the next message."""


class SubAgentsSpec(Model):
    """Sub-agents that a message of the user starts; the agent waits for them."""

    chance: Share = 0.03
    """How likely a message starts them."""
    parallel: Annotated[int, Field(ge=1, le=64)] = 1
    """How many work at the same time."""
    steps: TokensField = Field(default_factory=lambda: lognormal(11, 40))
    """Requests of each."""
    first_tokens: Count = 10_300
    """Tokens of the first request of each, its head included."""
    same_head: bool = False
    """Whether they begin with the head of the session. If not, with one of their own."""


class AgentSpec(SessionBase):
    """Coding agents, made up after published statistics of 48,658 requests."""

    preset: Literal["coding"] = "coding"
    """Whose statistics: a coding agent's."""
    scale: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 1.0
    """Numbers of tokens that are not given themselves are multiplied by this."""
    turns: TokensField = Field(default_factory=lambda: lognormal(3, 12))
    """Messages of the user in a session."""
    tool_steps: DistributionField = Field(default_factory=lambda: lognormal(6, 66))
    """Requests with the results of tools after each message."""
    shared_tokens: Annotated[int, Field(ge=0)] | None = None
    """Tokens of the head that all sessions share: tools and system prompt. 15,100 x scale."""
    first_tokens: TokensField | None = None
    """Tokens of the first message with its files. Median 3,900 x scale."""
    turn_tokens: TokensField | None = None
    """Tokens of each further message. Median 705 x scale."""
    tool_tokens: TokensField | None = None
    """Tokens of the results of tools in one request. Median 705 x scale."""
    output_tokens: TokensField | None = None
    """Tokens of each answer at most. Median 216 x scale."""
    pause: DistributionField = Field(default_factory=lambda: lognormal(132, 4108))
    """Seconds before each further message of the user."""
    tool_pause: DistributionField = Field(default_factory=lambda: lognormal(9, 128))
    """Seconds that the tools take before each result."""
    titles: bool = True
    """Whether a title is asked for beside the first message."""
    subagents: SubAgentsSpec | None = Field(default_factory=SubAgentsSpec)
    """Sub-agents."""
    compaction: bool = True
    """Whether a history that fills the context is put into a summary of half its length. Without
    it, a session that outgrows the context is an error, said before the run."""


FormatName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]


class DelaysSpec(Model):
    """Pauses of a replay."""

    cap: Seconds = 60.0
    """No pause is longer."""


class SessionsSpec(Model):
    """Recorded sessions, played again."""

    file: str
    """A file of sessions, relative to the scenario file; "*" may stand for several."""
    format: FormatName = "auto"
    """auto: recognised by its fields; or the name of the format."""
    history: HistoryField = "recorded"
    """Answers in the history: those of the recording, or the server's own."""
    delays: DelaysSpec = Field(default_factory=DelaysSpec)
    """Pauses between the requests."""
    start: Literal["begin", "anywhere"] = "begin"
    """anywhere: each session from a request drawn by chance on, with its history before that."""
    max_context: Count | None = None
    """Sessions end before a request whose recorded prompt is longer. If not given: options.num_ctx
    less the answer."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Names of the columns, where the file calls them otherwise."""
    language: Language = "en"
    """Of the text that stands for tokens where the file has none."""


class Zipf(Model):
    """The n-th most popular is asked for 1 / n^zipf as often as the first."""

    zipf: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 1.0


class RagSpec(Model):
    """Questions with passages that were found for them; some passages are found often."""

    passages: Annotated[int, Field(ge=1, le=1000)] = 5
    """Passages in each prompt."""
    passage_tokens: Count = 400
    """Tokens of each."""
    corpus: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Passages that there are."""
    popularity: Zipf = Field(default_factory=Zipf)
    """How unequally they are found."""
    question_tokens: Count = 30
    """Tokens of the question."""
    question: Literal["first", "last"] = "last"
    """Where it stands: a question in front of the passages voids the prefix cache."""
    language: Language = "en"
    """Which text all is made of."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.passages > self.corpus:
            raise ValueError(f"{self.passages} passages cannot be of a corpus of {self.corpus}")
        return self


Side = Annotated[int, Field(ge=1, le=8192)]


class ImagesSpec(Model):
    """Pictures that go with each prompt: drawn (no two alike), or files."""

    one_of = ("pixels", "files")

    pixels: Annotated[list[Side], Field(min_length=2, max_length=2)] | None = None
    """Width and height of drawn pictures."""
    files: Annotated[list[str], scalar_or_list(str)] | None = None
    """Files of pictures, relative to the scenario file; "*" may stand for several."""
    count: Annotated[int, Field(ge=1, le=16)] = 1
    """Pictures with each prompt."""


class ResultsSpec(Model):
    """What stands for the results of tools."""

    tokens: TokensField = Field(default_factory=lambda: fixed(300))
    """Tokens of each result."""
    pause: Seconds = 1.0
    """Seconds that a tool takes."""
    rounds: Annotated[int, Field(ge=1, le=1000)] = 5
    """Results after each message at most."""


class ToolsSpec(Model):
    """Tools that every request offers."""

    file: str
    """JSON file with a list of tools as OpenAI and Ollama write them, relative to the scenario."""
    results: ResultsSpec | None = None
    """What a call gets. If not given: nothing, and the answer with the call is the last."""


# A name stands for the file of that name.
ToolsField = Annotated[
    ToolsSpec, before(lambda v: {"file": v} if isinstance(v, str) else v, str | ToolsSpec)
]
CheckName = Literal["json", "schema", "tool_call"]


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


PromptsField = Annotated[Prompts, before(_prompts, list[str] | Prompts)]
