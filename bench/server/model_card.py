"""What the embedded server says about a model that it has, loaded or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

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
