"""How much context fits: the memory of keys and values, from what `/api/show` says of a model.

bytes per token = sum over layers of  kv_heads x (key_length + value_length) x bytes per element

Ollama reserves num_ctx x parallel tokens when it loads a model, so the largest product that stays
on the GPU is (free memory - weights) / bytes per token. It ignores compute buffers, which are
small beside it, and sliding windows, which only make it smaller: an upper bound of the need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BYTES_PER_ELEMENT = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
    "iq4_nl": 18 / 32,
}
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
