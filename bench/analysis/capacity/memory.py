"""How much context fits on the GPU: the memory bound of a run's model.

bytes per token = sum over layers of  kv_heads x (key_length + value_length) x bytes per element

Ollama reserves num_ctx x parallel tokens when it loads a model, so the largest product that stays
on the GPU is (free memory - weights) / bytes per token. It ignores compute buffers, which are
small beside it, and sliding windows, which only make it smaller: an upper bound of the need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.results.run import ModelInfo, Residency, RunInfo

DEFAULT_CACHE = "f16"
_MIB = 1024 * 1024
BYTES_PER_ELEMENT = {
    "f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32,
    "q4_1": 20 / 32, "q4_0": 18 / 32, "iq4_nl": 18 / 32,
}  # fmt: skip
"""Cache types of OLLAMA_KV_CACHE_TYPE. Quantised blocks hold 32 elements and their scales."""


@dataclass(frozen=True, slots=True)
class KvShape:
    """What the cache of one token is made of."""

    layers: int
    kv_heads: tuple[int, ...]
    """One number a layer."""
    key_length: int
    value_length: int

    def bytes_per_token(self, cache_type: str = "f16") -> float:
        """Memory of one token over all layers.

        Raises:
            ValueError: unknown cache type.
        """
        if cache_type not in BYTES_PER_ELEMENT:
            known = ", ".join(BYTES_PER_ELEMENT)
            raise ValueError(f"unknown cache type {cache_type!r}: give one of {known}")
        elements = sum(self.kv_heads) * (self.key_length + self.value_length)
        return elements * BYTES_PER_ELEMENT[cache_type]


def kv_shape(model_info: Mapping[str, Any]) -> KvShape | None:
    """Read the shape from `model_info` of `/api/show`; None when it does not say enough.

    Head size falls back to embedding_length / head_count, as Ollama itself does. Per-layer head
    counts are null unless the reply was verbose; then there is no answer.
    """
    architecture = model_info.get("general.architecture")

    def number(key: str) -> int | None:
        value = model_info.get(f"{architecture}.{key}")
        return value if isinstance(value, int) and value > 0 else None

    layers = number("block_count")
    heads = number("attention.head_count")
    width = number("embedding_length")
    kv_heads = model_info.get(f"{architecture}.attention.head_count_kv", heads)
    fallback = width // heads if width and heads else None
    key_length = number("attention.key_length") or fallback
    value_length = number("attention.value_length") or fallback
    if not layers or not key_length or not value_length:
        return None
    if isinstance(kv_heads, int):
        kv_heads = [kv_heads] * layers
    if not isinstance(kv_heads, (list, tuple)) or len(kv_heads) != layers:
        return None
    if not all(isinstance(heads, int) for heads in kv_heads):
        return None
    return KvShape(layers, tuple(kv_heads), key_length, value_length)


def tokens_that_fit(
    shape: KvShape, free_bytes: float, weight_bytes: float, cache_type: str = "f16"
) -> int:
    """The largest num_ctx x parallel whose cache fits beside the weights; 0 if none does."""
    return max(0, int((free_bytes - weight_bytes) / shape.bytes_per_token(cache_type)))


@dataclass(frozen=True, slots=True)
class KvBound:
    """Bound of the KV cache. None where it is not known.

    Attributes:
        cache_type: of keys and values; `cache_known` tells whether that was said or assumed.
        bytes_per_token: at that cache type.
        used_bytes: that `/api/ps` says the loaded model takes, context included.
        fixed_bytes: of it what does not grow with the context: weights and buffers.
        fixed_from: where that is from: "loaded" (used less the context's share) or "file" (the size
            of the weights on disk, too low by the buffers).
        gpu_share: of the model that is in the GPU.
        gpu_bytes: memory of the GPU; `gpu_from` is where that is from: "option" or "driver".
        tokens: the largest num_ctx x slots whose cache stays on the GPU.
        others: other models that were in memory: they take their part of it.
    """

    shape: KvShape
    cache_type: str
    cache_known: bool
    bytes_per_token: float
    used_bytes: int | None = None
    fixed_bytes: int | None = None
    fixed_from: str = ""
    gpu_share: float | None = None
    gpu_bytes: int | None = None
    gpu_from: str = ""
    tokens: int | None = None
    others: tuple[str, ...] = ()


def memory_bound(
    info: RunInfo, slots: int | None, *, gpu_bytes: int | None = None, cache_type: str | None = None
) -> KvBound | None:
    """The bound of a run's model; None if the model does not tell the shape of its cache.

    `gpu_bytes` is None = as the driver of its GPUs said, if the server runs here; `cache_type` is
    None = as the server is set, else 16 bits.
    """
    model = info.models[0] if info.models else None
    shape = kv_shape(model.model_info) if model else None
    if model is None or shape is None:
        return None
    given = cache_type or _cache_setting(info)
    kind = given or DEFAULT_CACHE
    per_token = shape.bytes_per_token(kind)
    loaded = (b.after for b in reversed(info.blocks) if b.after and b.after.loaded)
    after = next(loaded, Residency(loaded=False))
    fixed, fixed_from = _fixed(model, after, slots, per_token)
    gpu, gpu_from = (gpu_bytes, "option") if gpu_bytes else _gpu_here(info)
    return KvBound(
        shape=shape,
        cache_type=kind,
        cache_known=given is not None,
        bytes_per_token=per_token,
        used_bytes=after.size_bytes,
        fixed_bytes=fixed,
        fixed_from=fixed_from,
        gpu_share=after.gpu_share,
        gpu_bytes=gpu,
        gpu_from=gpu_from,
        tokens=tokens_that_fit(shape, gpu, fixed, kind) if gpu and fixed else None,
        others=after.others,
    )


def _cache_setting(info: RunInfo) -> str | None:
    """OLLAMA_KV_CACHE_TYPE of a server that the run started itself; it ignores other words."""
    settings = info.targets[0].settings if info.targets else {}
    kind = settings.get("OLLAMA_KV_CACHE_TYPE", "").strip().lower()
    return kind if kind in BYTES_PER_ELEMENT else None


def _fixed(
    model: ModelInfo, after: Residency, slots: int | None, per_token: float
) -> tuple[int | None, str]:
    if after.size_bytes and after.served_context and slots:
        rest = after.size_bytes - after.served_context * slots * per_token
        # A server that reserves less than it serves would make this absurdly small.
        if rest >= 0.5 * (model.size_bytes or 1):
            return int(rest), "loaded"
    return (model.size_bytes, "file") if model.size_bytes else (None, "")


def _gpu_here(info: RunInfo) -> tuple[int | None, str]:
    """The memory of this machine's GPUs, if the measured server runs on it."""
    target = info.targets[0] if info.targets else None
    if target is None or not target.same_host or target.simulated:
        return None, ""
    gpus = info.environment.get("gpus") or []
    mib = [str(gpu.get("memory_mib", "")) for gpu in gpus if isinstance(gpu, dict)]
    total = sum(int(m) for m in mib if m.isdigit())
    return (total * _MIB, "driver") if total else (None, "")
