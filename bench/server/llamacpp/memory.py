"""How much memory a model is going to take, before it is loaded."""

from __future__ import annotations

from bench.server.engine import LoadOptions
from bench.server.model_card import ModelCard

_BYTES_PER_ELEMENT = 2  # llama.cpp's KV cache is 16-bit unless configured otherwise


def needed_bytes(card: ModelCard, options: LoadOptions) -> int:
    """Weights and KV cache; the work space, which is small beside them, is not counted.

    KV = layers x heads x (key + value length) x tokens x 2 bytes. A file that does not say one of
    these counts with its weights alone.
    """
    return card.size + _kv_bytes_per_token(card) * options.num_ctx * options.parallel


def _kv_bytes_per_token(card: ModelCard) -> int:
    def number(key: str) -> int:
        return int(card.model_info.get(f"{card.details.family}.{key}") or 0)

    heads = number("attention.head_count")
    head_length = number("embedding_length") // heads if heads else 0
    key = number("attention.key_length") or head_length
    value = number("attention.value_length") or head_length
    kv_heads = number("attention.head_count_kv") or heads
    return number("block_count") * kv_heads * (key + value) * _BYTES_PER_ELEMENT
