"""Every option of Ollama's `options` object: its type, its range, and whether a change reloads.

Ollama ignores unknown option names without a word, so a mistyped one would measure something else
than was asked; here they are refused. Source: `api/types.go` (`Options`, `Runner`) of Ollama.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bench.scenario.fields import Finite, Model, scalar_or_list

Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
TokenLimit = Annotated[Int32, Field(ge=-2)]


class OllamaOptions(Model):
    """Options of the model runner, sent on every request."""

    # Load-time: another value makes the server load the model again.
    num_ctx: Annotated[Int32, Field(ge=4)] | None = None
    """Context length in tokens, per slot. A change reloads the model. Default here: 4096."""
    num_batch: Annotated[Int32, Field(ge=1)] | None = None
    """Tokens processed at once while reading the prompt. A change reloads the model."""
    num_gpu: Annotated[Int32, Field(ge=-1)] | None = None
    """Layers on the GPU, -1 = as many as fit. A change reloads the model."""
    main_gpu: Annotated[Int32, Field(ge=0)] | None = None
    """Index of the GPU to use alone. A change reloads the model."""
    use_mmap: bool | None = None
    """Map the weights into memory instead of reading them. A change reloads the model."""
    num_thread: Annotated[Int32, Field(ge=0)] | None = None
    """CPU threads, 0 = automatic. A change reloads the model."""
    draft_num_predict: Annotated[Int32, Field(ge=0)] | None = None
    """Tokens drafted at once in speculative decoding. A change reloads the model. From 0.30."""

    # Per request.
    num_predict: TokenLimit | None = None
    """At most so many output tokens, -1 = ten times the context. Default here: 128."""
    seed: Int32 | None = None
    """Seed of the sampling, -1 = random. Default here: 7."""
    temperature: Annotated[Finite, Field(ge=0)] | None = None
    """Randomness of the sampling. Default here: 0."""
    top_k: Annotated[Int32, Field(ge=0)] | None = None
    """Sample among the k likeliest tokens."""
    top_p: Annotated[Finite, Field(ge=0, le=1)] | None = None
    """Sample among the likeliest tokens that together have this probability."""
    min_p: Annotated[Finite, Field(ge=0, le=1)] | None = None
    """Sample among tokens at least this likely, relative to the likeliest."""
    typical_p: Annotated[Finite, Field(ge=0, le=1)] | None = None
    """Locally typical sampling; 1 = off."""
    repeat_penalty: Annotated[Finite, Field(ge=0)] | None = None
    """Penalty on repeated tokens; 1 = none. Ollama's default changed between versions."""
    repeat_last_n: Annotated[Int32, Field(ge=-1)] | None = None
    """How far back repeats are looked for; -1 = the whole context."""
    presence_penalty: Finite | None = None
    """Penalty on tokens that occurred at all."""
    frequency_penalty: Finite | None = None
    """Penalty on tokens by how often they occurred."""
    num_keep: Annotated[Int32, Field(ge=-1)] | None = None
    """Tokens of the prompt that survive a context shift."""
    stop: Annotated[list[str], scalar_or_list(str)] | None = None
    """Texts that end the output."""


OPTION_NAMES = tuple(OllamaOptions.model_fields)
"""The name of every option that current servers read."""

_REMOVED_IN = {
    "0.1.35": "num_gqa, rope_frequency_base, rope_frequency_scale, embedding_only",
    "0.3.4": "numa",
    "0.5.5": "penalize_newline",
    "0.7.0": "mirostat, mirostat_tau, mirostat_eta, tfs_z, low_vram, use_mlock, f16_kv, "
    "logits_all, vocab_only",
}
REMOVED = {name: in_ for in_, names in _REMOVED_IN.items() for name in names.split(", ")}
"""Options that old guides still name -> the Ollama version that removed them."""

_INSTEAD = {
    "write it beside `options`, not in it": "think, keep_alive, format, stream",
    "Ollama's name for it is num_predict": "max_tokens, max_new_tokens, n_predict",
    "Ollama's name for it is num_ctx": "n_ctx, context_length, ctx_size",
    "Ollama's name for it is num_gpu": "n_gpu_layers",
    "Ollama's name for it is num_thread": "threads",
    "Ollama's name for it is repeat_penalty": "repetition_penalty",
    "it is a setting of the server: OLLAMA_NUM_PARALLEL": "num_parallel",
    "it is a setting of the server: OLLAMA_FLASH_ATTENTION": "flash_attention, flash_attn",
    "it is a setting of the server: OLLAMA_KV_CACHE_TYPE": "kv_cache_type",
    "Ollama has no such option; ask for long answers in the prompt": "ignore_eos, min_tokens",
    "Ollama has no such option": "logit_bias",
}
ELSEWHERE = {name: what for what, names in _INSTEAD.items() for name in names.split(", ")}
"""Names people try -> what to write instead."""

DEFAULTS: dict[str, float] = {"num_ctx": 4096, "temperature": 0, "seed": 7, "num_predict": 128}
"""Sent on every request unless the scenario says otherwise, so that no server default decides."""


def explain(name: str) -> str:
    """Why an option name is refused, if there is more to say than that it is unknown; else ""."""
    if name in REMOVED:
        return f"Ollama removed this option in {REMOVED[name]} and ignores it; delete the line"
    if name in ELSEWHERE:
        return f"not an option of Ollama: {ELSEWHERE[name]}"
    return ""
