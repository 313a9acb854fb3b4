"""The bytes of a model's weights that one decoded token must read, from the tensors of `/api/show`.

Of the token embeddings one row is read, unless they are the output layer, too (no `output.weight`).
Of a mixture of experts a token reads `expert_used_count` of `expert_count`; tensors of a vision or
audio encoder are read by prompts only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Elements of a block, bytes of a block: ggml's type traits (gguf.GGML_QUANT_SIZES).
_BLOCKS: dict[str, tuple[int, int]] = {
    **{"F32": (1, 4), "F16": (1, 2), "BF16": (1, 2), "F64": (1, 8), "I8": (1, 1), "I32": (1, 4)},
    **{"Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24), "Q8_0": (32, 34)},
    **{"Q8_1": (32, 40), "Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144)},
    **{"Q5_K": (256, 176), "Q6_K": (256, 210), "Q8_K": (256, 292), "IQ2_XXS": (256, 66)},
    **{"IQ2_XS": (256, 74), "IQ3_XXS": (256, 98), "IQ1_S": (256, 50), "IQ4_NL": (32, 18)},
    **{"IQ3_S": (256, 110), "IQ2_S": (256, 82), "IQ4_XS": (256, 136), "IQ1_M": (256, 56)},
    **{"TQ1_0": (256, 54), "TQ2_0": (256, 66), "MXFP4": (32, 17), "NVFP4": (64, 36)},
}
_ROWS = ("per_layer_token_embd.weight", ".nextn.", "position_embd.weight", "token_types.weight")
"""Looked up by row, or of layers that predict further tokens, which Ollama does not run."""
_EMBEDDINGS = "token_embd.weight"
_OUTPUT = "output.weight"
_ENCODERS = ("v.", "mm.", "a.", "vision", "audio")


@dataclass(frozen=True, slots=True)
class WeightReads:
    """What decoding reads of the weights.

    Attributes:
        dense_bytes: read for every step, however many sequences share it.
        expert_bytes: of all experts together; 0 of a dense model.
        expert_share: part of the experts that one token uses.
        active_parameters: weights that one token is multiplied with.
        total_bytes: of all tensors.
    """

    dense_bytes: int
    expert_bytes: int = 0
    expert_share: float = 1.0
    active_parameters: int = 0
    total_bytes: int = 0

    def bytes_read(self, sequences: float = 1.0) -> float:
        """Bytes of one step of a batch: its tokens choose their experts by themselves."""
        chosen: float = 1 - (1 - self.expert_share) ** sequences
        return self.dense_bytes + self.expert_bytes * chosen


def tensor_bytes(kind: str, shape: Iterable[int]) -> int | None:
    """The size of one tensor; None of a type that is not known."""
    block = _BLOCKS.get(kind.upper())
    return None if block is None else math.prod(shape) // block[0] * block[1]


def weight_reads(tensors: Iterable[Any], model_info: Mapping[str, Any]) -> WeightReads | None:
    """What decoding reads; None where a tensor cannot be understood."""
    sizes: dict[str, tuple[int, int]] = {}
    for tensor in tensors:
        try:
            name, shape = str(tensor["name"]), [int(n) for n in tensor["shape"]]
            size = tensor_bytes(str(tensor["type"]), shape)
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        if size is None or min(shape, default=0) <= 0:
            return None
        sizes[name] = (size, math.prod(shape))
    if not sizes:
        return None
    total = sum(size for size, _ in sizes.values())
    unread = (*_ROWS, _EMBEDDINGS) if _OUTPUT in sizes else _ROWS
    read = {
        name: size
        for name, size in sizes.items()
        if not name.startswith(_ENCODERS) and not any(part in name for part in unread)
    }
    experts = {n for n in read if "_exps." in n}
    share = _expert_share(model_info) if experts else 1.0
    if share is None:
        return None
    parameters = sum(n * (share if name in experts else 1) for name, (_, n) in read.items())
    return WeightReads(
        dense_bytes=sum(s for n, (s, _) in read.items() if n not in experts),
        expert_bytes=sum(read[n][0] for n in experts),
        expert_share=share,
        active_parameters=round(parameters),
        total_bytes=total,
    )


def _expert_share(model_info: Mapping[str, Any]) -> float | None:
    architecture = model_info.get("general.architecture")
    count = model_info.get(f"{architecture}.expert_count")
    used = model_info.get(f"{architecture}.expert_used_count")
    if not isinstance(count, int) or not isinstance(used, int) or not 0 < used <= count:
        return None
    return used / count
