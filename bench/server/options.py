"""Ollama's `options`: their types, defaults, and which of them decide how a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from bench.server.engine import EngineFailure, LoadOptions, ModelCard
from bench.server.eras import EmulatedVersion

_INTEGER, _FLOAT, _BOOLEAN, _STRINGS = "integer", "float32", "boolean", "array"
_LOAD = dict.fromkeys(
    ("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "draft_num_predict"), _INTEGER
) | {"use_mmap": _BOOLEAN}
_INTEGERS = ("num_keep", "seed", "num_predict", "top_k", "repeat_last_n")
_FLOATS = (
    *("top_p", "min_p", "typical_p", "temperature"),
    *("repeat_penalty", "presence_penalty", "frequency_penalty"),
)
_SAMPLING = dict.fromkeys(_INTEGERS, _INTEGER) | dict.fromkeys(_FLOATS, _FLOAT)
_TYPES = _LOAD | _SAMPLING | {"stop": _STRINGS}

_DEFAULTS: dict[str, Any] = {
    "num_keep": 4,
    "seed": -1,
    "num_predict": -1,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repeat_last_n": 64,
    "temperature": 0.8,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
_DEFAULT_BATCH = 512
_LARGEST_EMBEDDING_BATCH = 2048
_SMALLEST_CONTEXT = 4
_SMALLEST_CONTEXT_WITH_VISION = 2048


def merged(
    card: ModelCard, requested: Mapping[str, Any] | None, era: EmulatedVersion
) -> dict[str, Any]:
    """Defaults, then the model's own, then the request's; unknown names are ignored.

    Raises:
        EngineFailure: a value has the wrong type (status 500, as Ollama answers).
    """
    options = dict(_DEFAULTS, repeat_penalty=era.default_repeat_penalty)
    for source in (card.default_options, requested or {}):
        for name, value in source.items():
            if name in _TYPES and value is not None:
                options[name] = _checked(name, value)
    return options


def load_options(
    options: Mapping[str, Any],
    card: ModelCard,
    era: EmulatedVersion,
    *,
    num_ctx: int,
    parallel: int,
    shift: bool,
) -> LoadOptions:
    """What the model has to be loaded with for these options.

    `num_ctx` counts if the options have none; `shift` decides nothing before llama-server.
    """
    chosen = {k: v for k, v in options.items() if k in _LOAD and not _left_open(k, v)}
    sees = "vision" in card.capabilities
    least = _SMALLEST_CONTEXT_WITH_VISION if sees else _SMALLEST_CONTEXT
    context = min(max(options.get("num_ctx", num_ctx), least), card.context_length)
    chosen["num_ctx"] = context
    if card.serial or "completion" not in card.capabilities:
        parallel = 1
    batch = era.automatic_batch(context * parallel)
    if era.llama_server and "embedding" in card.capabilities:
        batch = min(_LARGEST_EMBEDDING_BATCH, context)
    shift = shift or not era.llama_server
    return LoadOptions(**chosen, parallel=parallel, auto_batch=batch, shift=shift)


def _left_open(name: str, value: Any) -> bool:
    """Whether Ollama reads the value as "choose for me"."""
    if name == "num_gpu":
        return bool(value < 0)
    return name in ("num_thread", "draft_num_predict") and value == 0


def needs_reload(loaded: LoadOptions, wanted: LoadOptions, *, on_cpu: bool) -> bool:
    """Whether a model must be loaded anew (`runnerRef.needsReload` of Ollama).

    What a request leaves open does not differ from what was chosen for the loaded model; but where
    that model was given, `num_batch` left open means 512, and `num_gpu` left open anything.
    `on_cpu`: it is all on the CPU, where `use_mmap` left open means false.
    """
    same_batch = loaded.num_batch == wanted.num_batch or loaded.batch == (
        wanted.num_batch or _DEFAULT_BATCH
    )
    same_mapping = loaded.use_mmap == wanted.use_mmap or (
        on_cpu and loaded.use_mmap is None and wanted.use_mmap is False
    )
    same_layers = wanted.num_gpu in (None, loaded.num_gpu)
    others = ("num_ctx", "parallel", "main_gpu", "num_thread", "draft_num_predict", "shift")
    return not (same_batch and same_mapping and same_layers) or any(
        getattr(loaded, name) != getattr(wanted, name) for name in others
    )


def sampling(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that do not concern loading, without `stop`."""
    return {k: v for k, v in options.items() if k in _SAMPLING}


def _checked(name: str, value: Any) -> Any:
    kind = _TYPES[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind in (_INTEGER, _FLOAT) and number:
        with suppress(OverflowError):  # 1e999, or hundreds of digits
            return int(value) if kind == _INTEGER else float(value)
    if kind == _BOOLEAN and isinstance(value, bool):
        return value
    if kind == _STRINGS and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    strings = kind == _STRINGS and isinstance(value, list)
    wanted = "an array of strings" if strings else f"type {kind}"
    raise EngineFailure(f'option "{name}" must be of {wanted}')
