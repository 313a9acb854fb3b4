"""The seam between the front and the engines of the embedded server.

The front speaks HTTP and owns Ollama's scheduler: which models are loaded, the FIFO queue for the
slots of a runner, keep_alive, eviction, reloads, truncation, and the mapping to Ollama's durations.
An engine loads a model into a `Runner`; a runner computes at most `LoadOptions.parallel` jobs at
once, because the front never starts more. All calls are made on the event loop's thread, and all
sink callbacks must be made on it. Times are integer nanoseconds on the clock the engine was given.
What an engine cannot do raises `EngineFailure`, worded as Ollama words it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

_CONTEXT_UNIT = 256
DEFECT = "internal error of the embedded server"
"""The error that a client gets where this server has a defect."""


Json: TypeAlias = Any
"""A value of a JSON document, decoded."""


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """`details` of /api/tags, /api/show and /api/ps."""

    parent_model: str = ""
    format: str = "gguf"
    family: str = ""
    families: tuple[str, ...] = ()
    parameter_size: str = ""
    quantization_level: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What the server says about a model it has, loaded or not.

    Attributes:
        name: with its tag, e.g. "smollm2:135m".
        digest: 64 hex digits (manifest digest).
        size: bytes on disk.
        modified_at: RFC 3339 with nanoseconds and zone, as /api/tags shows it.
        context_length: tokens the model was trained for; num_ctx is clamped to it.
        capabilities: of completion, tools, insert, vision, embedding, thinking; in Ollama's order.
        model_info, tensors, template, modelfile, license, system, parameters: as in /api/show.
        default_options: the model's own PARAMETERs, which override Ollama's defaults.
        serial: the architecture is forced to one slot, whatever the server's setting.
    """

    name: str
    digest: str
    size: int
    modified_at: str
    details: ModelDetails
    context_length: int
    embedding_length: int
    capabilities: tuple[str, ...] = ("completion",)
    model_info: Mapping[str, Json] = field(default_factory=dict)
    tensors: Sequence[Mapping[str, Json]] = ()
    template: str = ""
    modelfile: str = ""
    license: str = ""
    system: str = ""
    parameters: str = ""
    default_options: Mapping[str, Json] = field(default_factory=dict)
    serial: bool = False


class EngineFailure(Exception):
    """A job or a load failed; the front answers with it as Ollama would.

    Args:
        message: the value of `{"error": ...}`, as Ollama words it.
        status: HTTP status, if nothing has been sent yet.

    Attributes:
        in_stream: the front had begun to stream when it happened; Ollama then answers in chunks.
        before_v1: what turns a body of /v1 into one of Ollama's refused it, in other headers.
    """

    in_stream = False
    before_v1 = False

    def __init__(self, message: str, status: int = 500) -> None:
        super().__init__(message)
        self.message, self.status = message, status


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What a runner is loaded with; `options.needs_reload` says which differences make it reload.

    Attributes:
        num_ctx: tokens per slot, clamped already.
        parallel: slots.
        auto_batch: `num_batch` if the request left it open, as Ollama chooses it.
        num_batch, num_gpu, main_gpu, use_mmap, num_thread, draft_num_predict: None where the
            request left the choice to the server ("auto").
        shift: whether generation may slide past the context.
    """

    num_ctx: int
    parallel: int
    auto_batch: int = 512
    num_batch: int | None = None
    num_gpu: int | None = None
    main_gpu: int | None = None
    use_mmap: bool | None = None
    num_thread: int | None = None
    draft_num_predict: int | None = None
    shift: bool = True

    @property
    def batch(self) -> int:
        """Most tokens that a step carries."""
        return self.num_batch or self.auto_batch

    @property
    def slot_ctx(self) -> int:
        """Tokens that a slot really has: llama.cpp rounds up to a multiple of 256."""
        return -(-self.num_ctx // _CONTEXT_UNIT) * _CONTEXT_UNIT


@dataclass(frozen=True, slots=True)
class Memory:
    """`size` and `size_vram` of /api/ps, in bytes. Equal: all on the GPU; 0 VRAM: on the CPU."""

    size: int
    size_vram: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a chat, as it came. Images are base64 text."""

    role: str
    content: str = ""
    thinking: str = ""
    images: tuple[str, ...] = ()
    tool_calls: tuple[Json, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePrompt:
    """What is to be rendered: the messages of a chat, or one raw text.

    A templated /api/generate comes as messages too (system and user). `raw` text gets no template.

    Attributes:
        raw: the text itself, if no template is to be applied; else None.
        suffix: text after the hole (fill in the middle), "" if none.
        template: a template that replaces the model's, "" if none.
        think: True, False, or a level ("low", "medium", "high", "max"); None if the model has no
            thinking. The front has resolved "unset" already.
        context: token ids of earlier turns (deprecated field of /api/generate), put in front.
    """

    messages: tuple[Message, ...] = ()
    raw: str | None = None
    suffix: str = ""
    template: str = ""
    tools: tuple[Json, ...] = ()
    think: bool | str | None = None
    context: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as the model sees it."""

    text: str
    tokens: Sequence[int] | NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One completion. The front holds a slot for it from `start` until its sink has the end.

    Attributes:
        id: unique in the server's life, for the truth log.
        prompt: after truncation; `prompt.tokens` is what must be evaluated (`prompt.text` is not
            cut, and serves for information only).
        options: every sampling option by Ollama's name with its effective value (defaults, model
            PARAMETERs and request merged, types checked): num_predict, seed, temperature, top_k,
            top_p, min_p, typical_p, repeat_last_n, repeat_penalty, presence_penalty,
            frequency_penalty, num_keep. num_predict < 0 means up to 10 x num_ctx; seed < 0 random.
        stop: stop sequences; their text is not delivered.
        format: None, "json", or a JSON schema (a dict).
        think: as in `EnginePrompt`; if truthy, thinking is delivered apart from the answer.
        tools: tool definitions; if there are any, calls are delivered as `Piece.tool_calls`.
        logprobs: whether to deliver them; `top_logprobs` alternatives per token.
    """

    id: int
    prompt: Rendered
    options: Mapping[str, Json]
    stop: tuple[str, ...] = ()
    format: Json = None
    think: bool | str | None = None
    tools: tuple[Json, ...] = ()
    logprobs: bool = False
    top_logprobs: int = 0


@dataclass(slots=True)
class Piece:
    """One increment of output: one line of the stream.

    Attributes:
        text, thinking: increments; both may be "".
        tool_calls: complete calls in Ollama's shape, `{"function": {"name", "arguments"}}`.
        logprobs: `{"token", "logprob", "bytes", "top_logprobs"}` per token, if asked for.
        due_ns: when the engine meant to deliver it (simulated engine); 0 if unknown.
        batch: sequences that shared the step which made it; 0 if unknown.
    """

    text: str = ""
    thinking: str = ""
    tool_calls: tuple[Json, ...] = ()
    logprobs: tuple[Json, ...] = ()
    due_ns: int = 0
    batch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """How a job ended, in the engine's own terms (llama.cpp's `timings`, in nanoseconds).

    Attributes:
        done_reason: "stop" or "length".
        prompt_n: prompt tokens evaluated. cache_n: prompt tokens reused from the prefix cache.
        prompt_ns: slot start to first token sampled.
        predicted_n: tokens sampled, end token included.
        predicted_ns: first token sampled to last token sampled.
        output_tokens: ids, for `context` of /api/generate; may be empty.
        piece: last text that is flushed with the end, if any.
        due_ns: when the engine meant to end (simulated engine); 0 if unknown.
    """

    done_reason: str
    prompt_n: int
    cache_n: int
    prompt_ns: int
    predicted_n: int
    predicted_ns: int
    output_tokens: Sequence[int] = ()
    piece: Piece | None = None
    due_ns: int = 0


class Sink(Protocol):
    """Receives a job's output, in order; exactly one of `finished` and `failed` ends it."""

    def piece(self, piece: Piece) -> None:
        """An increment."""

    def finished(self, finish: Finish) -> None:
        """The end."""

    def failed(self, failure: EngineFailure) -> None:
        """The job broke off; what was delivered stands."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """One input's vector (not normalised or cut: the front does that) and its prompt tokens."""

    vector: Sequence[float]
    prompt_n: int


class Runner(Protocol):
    """One loaded model."""

    memory: Memory

    @property
    def alive(self) -> bool:
        """False once it has broken down: the front then loads afresh."""

    async def render(self, prompt: EnginePrompt) -> Rendered:
        """Apply the template and tokenise."""

    def start(self, job: Job, sink: Sink) -> None:
        """Begin a job now. Never blocks; output and failures go to the sink, after the return."""

    def cancel(self, job_id: int) -> None:
        """The client has gone: stop the job and call its sink no more. Unknown ids are ignored."""

    async def embed(self, text: str) -> Embedding:
        """The embedding of one input."""

    async def unload(self) -> None:
        """Free the memory. No job is running when this is called, except after a break-down."""


class Engine(Protocol):
    """Something that can load models and run them.

    Attributes:
        name: what responses carry in `X-Ollama-Bench-Engine`: "simulated" or "llama.cpp <version>".
        mark: what the version string carries, without spaces: "simulated" or "llama.cpp".
        simulated: whether its numbers are invented.
        device: in words, for `serve`'s greeting ("profile laptop-cpu, invented", "1 thread").
    """

    name: str
    mark: str
    simulated: bool
    device: str

    def cards(self) -> Sequence[ModelCard]:
        """The models it can load."""

    def fits(self, card: ModelCard, options: LoadOptions) -> bool:
        """Whether it can be loaded beside what is loaded, without evicting anything."""

    async def load(self, card: ModelCard, options: LoadOptions) -> Runner:
        """Load a model; returns when it is ready. Cancelling aborts the load."""

    async def aclose(self) -> None:
        """Stop everything at once."""
