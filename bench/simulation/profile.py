"""Profiles: invented machines with their models, in YAML.

A profile is read into frozen dataclasses and checked completely by type and range; what the numbers
mean is said at each attribute, with its unit in its name.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from bench.errors import EngineError
from bench.simulation.fitted import Fitted
from bench.simulation.service import ServiceParameters

Positive: TypeAlias = Annotated[float, msgspec.Meta(gt=0, lt=1e15)]
NotNegative: TypeAlias = Annotated[float, msgspec.Meta(ge=0, lt=1e15)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
CountOrNone: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]

_SHIPPED = Path(__file__).parent / "profiles"
_MS = 1e6
_LOGIT_ERRORS = {
    **dict.fromkeys(("F32", "F16", "BF16"), 0.0),
    "Q8_0": 0.1,
    "Q6_K": 0.15,
    "Q5_K_M": 0.3,
    "Q4_K_M": 0.4,
    "Q4_0": 0.9,
}
"""As measured on files of 135M parameters; larger models have less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """A log-normal number of tokens; `p95 == median` makes it fixed."""

    median: Positive
    p95: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCost:
    """What an image costs a model that can see.

    Attributes:
        patch: side in pixels of the square that becomes one token; 0 = `tokens` whatever the size.
        tokens: of an image whose size is not known, or does not matter.
        most: tokens at most; larger images are scaled down.
        encode_tok_per_s: image tokens per second that the encoder makes, before they are read as
            any prompt token is.
    """

    patch: CountOrNone = 32
    tokens: CountOrNone = 768
    most: CountOrNone = 4096
    encode_tok_per_s: Positive = 2000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where the models run.

    Attributes:
        vram_gb: memory of the GPU in GB (1e9 bytes); 0 if there is none.
        spill_slowdown: how many times slower the part of a model outside the GPU runs.
    """

    description: str
    vram_gb: NotNegative = 0.0
    spill_slowdown: Positive = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """One model: what it is, and how fast it serves on this device.

    Attributes:
        parameters: how many weights it has.
        size_gb: of the file, in GB (1e9 bytes).
        cold_load_s, warm_load_s: load time the first time, and when the file is in the page cache.
        prefill_tok_per_s: prompt tokens per second at full batches.
        step_ms: shortest duration of a step (reading the weights).
        step_ms_per_sequence: added per decoding sequence.
        step_ms_per_kilotoken: added per 1000 context tokens of all decoding sequences.
        sample_ms: time to sample one sequence's token; sequences are sampled one by one.
        jitter: coefficient of variation of a step's duration.
        kv_bytes_per_token: size of the KV cache per token of context.
        output_tokens: length of an answer that stops by itself, end token included.
        thinking_tokens: length of the thinking before it, if it thinks.
        serial: served one by one, whatever `--num-parallel` says.
        hybrid: it cannot go back to any token of a sequence, only to a checkpoint (recurrent layers
            or sliding windows).
        thinking_kept: which thinking of earlier turns its template shows again: "none", that
            of the "turn" under way (after the last user message), or "all".
        images: what one costs, if it can see.
        tool_call_rate: share of answers that call a tool if there are any; not given = whenever the
            last user message names one.
        divergence: standard deviation of the errors in its logits, against the original of its
            family and size; not given = about what the quantisation usually has.
        rounding: the same for errors that depend on what was in the cache.
    """

    name: str
    family: str
    parameters: Positive
    quantization: str
    size_gb: Positive
    layers: Count
    embedding_length: Count
    context_length: Count
    cold_load_s: NotNegative
    warm_load_s: NotNegative
    prefill_tok_per_s: Positive
    step_ms: NotNegative
    step_ms_per_sequence: NotNegative = 0.0
    step_ms_per_kilotoken: NotNegative = 0.0
    sample_ms: NotNegative = 0.0
    jitter: NotNegative = 0.0
    kv_bytes_per_token: CountOrNone = 0
    capabilities: tuple[str, ...] = ("completion",)
    language: Literal["en", "zh"] = "en"
    output_tokens: Length = field(default_factory=lambda: Length(median=180, p95=600))
    thinking_tokens: Length = field(default_factory=lambda: Length(median=120, p95=400))
    serial: bool = False
    hybrid: bool = False
    thinking_kept: Literal["none", "turn", "all"] = "none"
    images: ImageCost = field(default_factory=ImageCost)
    tool_call_rate: NotNegative | None = None
    divergence: NotNegative | None = None
    rounding: NotNegative = 0.0

    @property
    def logit_error(self) -> float:
        """Standard deviation of the errors in its logits."""
        if self.divergence is not None:
            return self.divergence
        return _LOGIT_ERRORS.get(self.quantization.upper(), 0.3)

    @property
    def digest(self) -> str:
        """An invented manifest digest: 64 hex digits that change with what the model is."""
        what = f"{self.name} {self.family} {self.parameters} {self.quantization} {self.size_gb}"
        return hashlib.sha256(what.encode()).hexdigest()

    def image_tokens_of(self, width: int, height: int) -> int:
        """How many tokens an image of so many pixels takes; 0 for a size that is not known."""
        patch = self.images.patch
        if not patch or not width or not height:
            return self.images.tokens
        return min(math.ceil(width / patch) * math.ceil(height / patch), self.images.most) + 2

    def service(self, *, slots: int, batch_tokens: int, slowdown: float) -> ServiceParameters:
        """The service model's parameters."""
        return ServiceParameters(
            slots=slots,
            prefill_ns_per_token=1e9 / self.prefill_tok_per_s * slowdown,
            base_ns=self.step_ms * _MS * slowdown,
            per_sequence_ns=self.step_ms_per_sequence * _MS * slowdown,
            per_token_ns=self.step_ms_per_kilotoken * _MS / 1000 * slowdown,
            sample_ns=self.sample_ms * _MS,
            jitter=self.jitter,
            batch_tokens=batch_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A device and its models. All shipped ones are invented.

    Attributes:
        num_ctx: context length served if a request asks for none.
        num_parallel: slots, if the server is given nothing else.
        fitted: where the numbers come from, if they were fitted to a run.
    """

    name: str
    description: str
    invented: bool
    device: Device
    models: tuple[ModelProfile, ...]
    num_ctx: Count = 4096
    num_parallel: Count = 1
    fitted: Fitted | None = None

    def gpu_share(self, need: int, used: int) -> float:
        """The part of a model that fits into the GPU beside what is loaded already."""
        free = max(self.device.vram_gb * 1e9 - used, 0.0)
        return min(1.0, free / need) if need else 1.0


def shipped_profiles() -> list[str]:
    """Names of the profiles that ship with the program."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))


def load_profile(name: str | Path) -> Profile:
    """Read a shipped profile by its name, or a file by its path.

    Raises:
        EngineError: there is none of that name, or the file is not a profile.
    """
    path = _find(str(name))
    try:
        document = YAML(typ="safe", pure=True).load(path)
        return msgspec.convert(document, Profile)
    except YAMLError as error:
        raise EngineError(f"{path} is not YAML: {str(error).splitlines()[0]}") from None
    except msgspec.ValidationError as error:
        raise EngineError(f"{path} is not a profile: {error}") from None
    except OSError as error:
        raise EngineError(f"{path} cannot be read: {error.strerror}") from None


def _find(name: str) -> Path:
    shipped = _SHIPPED / f"{name}.yaml"
    if shipped.is_file():
        return shipped
    path = Path(name)
    if path.is_file():
        return path
    names = shipped_profiles()
    near = difflib.get_close_matches(name, names, n=1)
    advice = f"Did you mean {near[0]!r}? " if near else ""
    raise EngineError(
        f"there is no profile {name!r}",
        f"{advice}Shipped: {', '.join(names)}; or give the path of a YAML file.",
    )
