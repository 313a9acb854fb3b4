"""The engine itself: loads models into llama.cpp processes and runs jobs on them."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import math
import secrets
from collections.abc import Sequence
from typing import Any

import psutil

from bench.cores import allowed_cpus, usable_cpus
from bench.errors import EngineError
from bench.server.engine import EngineFailure, LoadOptions, Memory, ModelCard
from bench.server.llamacpp.model_file import Say
from bench.server.llamacpp.models import ServedModel, served_models
from bench.server.llamacpp.process import EngineProcess
from bench.server.llamacpp.runner import LlamaCppRunner

INSTALL = 'pip install "ollama-bench[demo]"'
"""The command that brings this engine."""

_LOG_LOAD_DETAILS = 4  # from this verbosity on, llama.cpp logs the sizes of its buffers

_MEAN = 1  # llama.cpp's number of this pooling
_BYTES_PER_ELEMENT = 2  # llama.cpp's KV cache is 16-bit unless configured otherwise


def installed() -> bool:
    """Whether the packages of the extra `demo` are there; imports none of them."""
    return all(importlib.util.find_spec(name) for name in ("xllamacpp", "gguf"))


def require_installed() -> None:
    """Complain if the extra is missing.

    Raises:
        EngineError: it is; the advice is the command that installs it.
    """
    if not installed():
        raise EngineError("the llama.cpp engine is not installed", f"install it with: {INSTALL}")


def create_engine(
    models: Sequence[str] = (),
    threads: int | None = None,
    say: Say | None = None,
    cache_ram_mib: int = 8192,
) -> LlamaCppEngine:
    """The engine for `--model` arguments, or with the demo model if there are none.

    Blocks: it may fetch the demo model, and hashes the files of the models. Each of `models` is
    `PATH.gguf` or `NAME=PATH.gguf`.

    Raises:
        EngineError: the extra is missing, or a model is missing or bad.
    """
    require_installed()
    return LlamaCppEngine(served_models(models, say), threads or default_threads(), cache_ram_mib)


class LlamaCppEngine:
    """llama.cpp behind the `Engine` protocol.

    `threads` compute where a request does not say; `cache_ram_mib` of the host's memory hold
    sequences that lost their slot.
    """

    mark = "llama.cpp"
    simulated = False

    def __init__(
        self, models: Sequence[ServedModel], threads: int, cache_ram_mib: int = 8192
    ) -> None:
        self._cards = [model.card for model in models]
        self._models = {model.card.digest: model for model in models}  # a copy has another name
        self._threads = threads
        self._cache_ram_mib = cache_ram_mib
        self._runners: set[LlamaCppRunner] = set()
        self.name = f"llama.cpp (xllamacpp {importlib.metadata.version('xllamacpp')})"
        self.device = f"CPU, {threads} thread{'s' if threads > 1 else ''}"

    def cards(self) -> Sequence[ModelCard]:
        """The models it can load."""
        return self._cards

    def fits(self, card: ModelCard, options: LoadOptions) -> bool:
        """Whether the machine has that much memory to spare."""
        return needed_bytes(card, options) <= psutil.virtual_memory().available

    async def load(self, card: ModelCard, options: LoadOptions) -> LlamaCppRunner:
        """Start a process with the model; see `Engine.load`."""
        model = self._models.get(card.digest)
        if model is None:
            raise EngineFailure(f"model '{card.name}' not found", 404)
        key = secrets.token_hex(16)
        process = await EngineProcess.start(self._settings(model, options, key))
        memory = Memory(*process.buffers())
        runner = LlamaCppRunner(process, key, memory, options.num_ctx)
        try:
            await runner.check()
        except (EngineFailure, asyncio.CancelledError):
            await runner.unload()
            raise
        self._runners = {r for r in self._runners if r.alive} | {runner}
        return runner

    async def aclose(self) -> None:
        """End every process."""
        runners, self._runners = self._runners, set()
        await asyncio.gather(*(runner.unload() for runner in runners))

    def _settings(self, model: ServedModel, options: LoadOptions, key: str) -> dict[str, Any]:
        """llama.cpp's parameters; what is not here is llama.cpp's own default, as with Ollama."""
        threads = options.num_thread or self._threads
        settings: dict[str, Any] = {
            "model.path": str(model.path),
            "n_ctx": options.num_ctx * options.parallel,
            "n_parallel": options.parallel,
            "n_batch": options.batch,
            "n_ubatch": options.batch,
            "n_gpu_layers": max(0, options.num_gpu or 0),
            "cpuparams.n_threads": threads,
            "cpuparams_batch.n_threads": threads,
            "ctx_shift": options.shift,
            "cache_ram_mib": self._cache_ram_mib,
            "fit_params": False,
            "port": 0,
            "api_keys": [key],
            "ui": False,
            "verbosity": _LOG_LOAD_DETAILS,
        }
        if options.main_gpu is not None:
            settings["main_gpu"] = options.main_gpu
        if model.chat_template:
            settings["chat_template"] = model.chat_template
        if "embedding" in model.card.capabilities:
            settings["embedding"] = True
        if model.pool:
            settings["pooling_type"] = _MEAN
        return settings


def default_threads() -> int:
    """Physical cores, within the CPU affinity and the container's quota, minus one; at least one.

    All threads of a step wait for the slowest, so as many threads as cores collapses as soon as
    anything else runs (measured: 2 threads on 2 busy cores 2-9 tokens/s, 1 thread 50-70).
    """
    logical = psutil.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or logical
    # The share of the logical processors we may run on, taken of the physical cores.
    physical = math.ceil(physical * allowed_cpus() / logical)
    return max(1, min(physical, usable_cpus()) - 1)


def needed_bytes(card: ModelCard, options: LoadOptions) -> int:
    """Weights and KV cache; the work space, which is small beside them, is not counted.

    KV = layers x heads x (key + value length) x tokens x 2 bytes. A file that does not say one of
    these counts with its weights alone.
    """

    def number(key: str) -> int:
        return int(card.model_info.get(f"{card.details.family}.{key}") or 0)

    heads = number("attention.head_count")
    head_length = number("embedding_length") // heads if heads else 0
    key = number("attention.key_length") or head_length
    value = number("attention.value_length") or head_length
    kv_heads = number("attention.head_count_kv") or heads
    per_token = number("block_count") * kv_heads * (key + value) * _BYTES_PER_ELEMENT
    return card.size + per_token * options.num_ctx * options.parallel
