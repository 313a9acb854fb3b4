"""How much context fits on the GPU: the memory bound of a run's model."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.capacity.kv_memory import BYTES_PER_ELEMENT, KvShape, kv_shape, tokens_that_fit
from bench.results.run import ModelInfo, Residency, RunInfo

DEFAULT_CACHE = "f16"
_MIB = 1024 * 1024


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
    after = next((b.after for b in reversed(info.blocks) if b.after and b.after.loaded), None)
    fixed, fixed_from = _fixed(model, after, slots, per_token)
    gpu, gpu_from = (gpu_bytes, "option") if gpu_bytes else _gpu_here(info)
    return KvBound(
        shape=shape,
        cache_type=kind,
        cache_known=given is not None,
        bytes_per_token=per_token,
        used_bytes=after.size_bytes if after else None,
        fixed_bytes=fixed,
        fixed_from=fixed_from,
        gpu_share=after.gpu_share if after else None,
        gpu_bytes=gpu,
        gpu_from=gpu_from,
        tokens=tokens_that_fit(shape, gpu, fixed, kind) if gpu and fixed else None,
        others=after.others if after else (),
    )


def _cache_setting(info: RunInfo) -> str | None:
    """OLLAMA_KV_CACHE_TYPE of a server that the run started itself; it ignores other words."""
    settings = info.targets[0].settings if info.targets else {}
    kind = settings.get("OLLAMA_KV_CACHE_TYPE", "").strip().lower()
    return kind if kind in BYTES_PER_ELEMENT else None


def _fixed(
    model: ModelInfo, after: Residency | None, slots: int | None, per_token: float
) -> tuple[int | None, str]:
    """What the model takes besides its context."""
    if after and after.size_bytes and after.served_context and slots:
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
