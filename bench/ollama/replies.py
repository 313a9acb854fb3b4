"""What Ollama's control endpoints answer, as far as we need it; else it is NotOllama.

Old versions lack fields and some fields are null, so everything is optional on the wire; a field of
another type is a sign that this is not Ollama.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from bench.errors import NotOllama
from bench.ollama.reply_lines import UNREADABLE
from bench.ollama.weights import WeightReads, weight_reads

T = TypeVar("T")


class _Details(msgspec.Struct):
    format: str | None = None
    family: str | None = None
    parameter_size: str | None = None
    quantization_level: str | None = None
    context_length: int | None = None


class _Model(msgspec.Struct):
    """Of `/api/tags` and of `/api/ps`."""

    name: str | None = None
    model: str | None = None
    size: int | None = None
    size_vram: int | None = None
    digest: str | None = None
    details: _Details | None = None
    capabilities: list[str] | None = None
    remote_host: str | None = None
    remote_model: str | None = None
    expires_at: str | None = None
    context_length: int | None = None


class _Models(msgspec.Struct):
    models: list[_Model] | None


class _Show(msgspec.Struct):
    details: _Details | None = None
    model_info: dict[str, Any] | None = None
    capabilities: list[str] | None = None
    parameters: str | None = None
    modelfile: str | None = None
    remote_host: str | None = None
    remote_model: str | None = None
    tensors: Any = None


class _Version(msgspec.Struct):
    version: str


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """One model of `/api/tags`.

    Attributes:
        capabilities: empty where the server does not list them here (before v0.30.0).
        remote: True for the stub of a cloud model.
    """

    name: str
    digest: str = ""
    size_bytes: int | None = None
    format: str = ""
    family: str = ""
    parameter_size: str = ""
    quantization: str = ""
    capabilities: tuple[str, ...] = ()
    remote: bool = False


@dataclass(frozen=True, slots=True)
class ShownModel:
    """What `/api/show` says of one model.

    Attributes:
        context_limit: the context length the model was trained for; None = not said.
        capabilities: None where the server does not say (before v0.6.4).
        parameters: the model's own parameter lines, verbatim.
        drafts: a smaller model or head proposes tokens (speculative decoding).
        model_info: GGUF metadata, without the array values (they are null unless verbose).
        weights: what decoding reads of them; None = not known.
    """

    format: str = ""
    family: str = ""
    parameter_size: str = ""
    quantization: str = ""
    context_limit: int | None = None
    capabilities: tuple[str, ...] | None = None
    parameters: str = ""
    model_info: dict[str, Any] = field(default_factory=dict)
    remote: bool = False
    drafts: bool = False
    weights: WeightReads | None = None


@dataclass(frozen=True, slots=True)
class ResidentModel:
    """One model of `/api/ps`: in memory now.

    Attributes:
        served_context: tokens per slot; None before v0.10.0.
    """

    name: str
    digest: str = ""
    format: str = ""
    size_bytes: int | None = None
    vram_bytes: int | None = None
    served_context: int | None = None
    expires_at: str = ""


def parse_version(body: bytes) -> str:
    """The version in a reply of `/api/version`."""
    return decode_answer(body, _Version, "/api/version").version


def parse_tags(body: bytes) -> tuple[InstalledModel, ...]:
    """The models in a reply of `/api/tags`."""
    return tuple(
        InstalledModel(
            name=m.name or m.model or "",
            digest=m.digest or "",
            size_bytes=m.size,
            capabilities=tuple(m.capabilities or ()),
            remote=bool(m.remote_host or m.remote_model),
            **_details(m.details),
        )
        for m in decode_answer(body, _Models, "/api/tags").models or ()
    )


def parse_show(body: bytes) -> ShownModel:
    """The model in a reply of `/api/show`."""
    shown = decode_answer(body, _Show, "/api/show")
    info = {k: v for k, v in (shown.model_info or {}).items() if v is not None}
    limit = info.get(f"{info.get('general.architecture', '')}.context_length")
    if limit is None and shown.details:
        limit = shown.details.context_length
    return ShownModel(
        context_limit=limit if isinstance(limit, int) else None,
        capabilities=None if shown.capabilities is None else tuple(shown.capabilities),
        parameters=shown.parameters or "",
        drafts=_drafts(shown.parameters or "", shown.modelfile or ""),
        model_info=info,
        remote=bool(shown.remote_host or shown.remote_model),
        weights=weight_reads(shown.tensors, info) if isinstance(shown.tensors, list) else None,
        **_details(shown.details),
    )


def _drafts(parameters: str, modelfile: str) -> bool:
    """Whether a model drafts: unless the parameter says 0, if it is set or a draft model is there.

    A head inside the file drafts only where the parameter is set.
    """
    asked = [
        words[1]
        for line in parameters.splitlines()
        if (words := line.split())[:1] == ["draft_num_predict"] and len(words) > 1
    ]
    if asked:
        return asked[-1] != "0"
    return any(line.split()[:1] == ["DRAFT"] for line in modelfile.splitlines())


def parse_ps(body: bytes) -> tuple[ResidentModel, ...]:
    """The models in a reply of `/api/ps`."""
    return tuple(
        ResidentModel(
            name=m.name or m.model or "",
            digest=m.digest or "",
            format=(m.details.format or "") if m.details else "",
            size_bytes=m.size,
            vram_bytes=m.size_vram,
            served_context=m.context_length or None,
            expires_at=m.expires_at or "",
        )
        for m in decode_answer(body, _Models, "/api/ps").models or ()
    )


def _details(details: _Details | None) -> dict[str, str]:
    found = details or _Details()
    return {
        "format": found.format or "",
        "family": found.family or "",
        "parameter_size": found.parameter_size or "",
        "quantization": found.quantization_level or "",
    }


def decode_answer(body: bytes, kind: type[T], path: str) -> T:
    """A whole answer as a structure.

    Raises:
        NotOllama: it is something else.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except UNREADABLE as error:
        start = body[:60].decode(errors="replace").strip()
        raise NotOllama(
            f"the answer to {path} is not what Ollama sends ({error}): {start!r}",
            "Check the address and port; Ollama's own port is 11434.",
        ) from error
