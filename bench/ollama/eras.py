"""What each of the server's numbers means, by version: the eras.

Ollama has changed the engine behind its API several times, and with it the meaning of the
durations and counts on the done line. An *era* is a range of versions in which a metric means the
same; a *boundary* is a version at which one stops doing so. Both are data here, and nothing else in
the program compares version numbers.

The facts were read in the source of `ollama/ollama` (v0.1 to v0.33) and checked on recorded
exchanges of 0.12.11, 0.24.0 and 0.32.15.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

Version = tuple[int, int, int]
EraId = Literal["E1", "E2a", "E2b", "E3", "MLX"]

MLX_FORMAT = "safetensors"
"""`details.format` of models that run on the MLX engine; all others are "gguf"."""


LOAD_S = 0.25
"""What a load takes at least: Ollama asks a new runner every 250 ms whether it is ready. The
shortest load in the recordings (98 MB on a CPU) took 0.285 s."""


@dataclass(frozen=True, slots=True)
class Era:
    """A range of versions in which the server's numbers mean the same.

    Attributes:
        id: short and stable.
        name: in users' words.
        prompt_count_has_cached: `prompt_eval_count` includes tokens that came from the prompt
            cache, while `prompt_eval_duration` never includes time for them.
        prompt_duration_trusted: False where `prompt_eval_duration` is known to be wrong.
        first_token_free: True: N tokens are counted but only the N-1 steps after the first are
            timed by `eval_duration`. False (MLX): the first token's time is in it.
        sampling_untimed: `eval_duration` leaves out the time that choosing tokens takes, which a
            grammar or logprobs make long.
        duration_grain_ns: server durations come in multiples of this.
        warm_load_s: about how long `load_duration` is for a model that is already loaded
            (low, high): it covers reading the request and finding the model.
        caution: what to keep in mind, in one sentence; "" if nothing.
        assumed: True when the version says nothing (a development build, or not a version):
            the newest era was taken.
    """

    id: EraId
    name: str
    prompt_count_has_cached: bool = True
    prompt_duration_trusted: bool = True
    first_token_free: bool = True
    sampling_untimed: bool = False
    duration_grain_ns: int = 1
    warm_load_s: tuple[float, float] = (0.03, 0.6)
    caution: str = ""
    assumed: bool = False


_E1 = Era(
    id="E1",
    name="llama.cpp server (up to 0.3.14)",
    prompt_count_has_cached=False,
    duration_grain_ns=1_000,
    caution="The prompt count leaves out cached tokens, and is absent on a full cache hit.",
)
_E2A = Era(
    id="E2a",
    name="Go runner (0.4.0 to 0.12.4)",
    caution="Durations are wall time and include waiting for other requests' batches.",
)
_E2B = Era(
    id="E2b",
    name="Go runner, active time (0.12.5 to 0.24.0)",
    sampling_untimed=True,
    caution="Durations leave out sampling (ollamarunner) or all but the decode calls (llamarunner),"
    " which then shows as queue time.",
)
_E3 = Era(id="E3", name="llama-server (from 0.30.0)", warm_load_s=(0.09, 0.3))
_MLX = Era(
    id="MLX",
    name="MLX engine (safetensors models, from 0.16.0)",
    first_token_free=False,
    caution="The end token is not counted; stop, format and num_ctx are ignored; one slot only.",
)

_RELEASED_GAP = ((0, 24), (0, 30))
"""There are no releases between 0.24 and 0.30."""


def parse_version(version: str) -> Version | None:
    """The first three numbers of a version; what follows them (rc, dev, engine) is ignored.

    Returns:
        None when it is not a release: not a version, or 0.0.0 as development builds say.
    """
    found = re.match(r"\s*v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?![\d.])", version)
    if not found:
        return None
    parsed = (int(found[1]), int(found[2]), int(found[3] or 0))
    return None if parsed == (0, 0, 0) else parsed


def version_order(version: str) -> tuple[Version, str]:
    """Sorts versions as they were released: 0.9.1 before 0.12.0; what is no version comes last."""
    return _known(version), version


def era_of(version: str, format: str = "gguf") -> Era:
    """The era of a server version and a model format.

    Args:
        version: as `/api/version` says, e.g. "0.32.15", "0.33.0-rc2",
            "0.32.15-ollama-bench.simulated".
        format: `details.format` of the model; "safetensors" runs on the MLX engine.
    """
    parsed = parse_version(version)
    if parsed is None:
        newest = _MLX if format == MLX_FORMAT else _e3((999, 0, 0))
        return replace(newest, assumed=True)
    if format == MLX_FORMAT:
        return _MLX
    if parsed < (0, 4, 0):
        return _E1
    if parsed < (0, 12, 5):
        return replace(_E2A, duration_grain_ns=1_000_000 if parsed < (0, 6, 2) else 1)
    if parsed < (0, 25, 0):
        return replace(_E2B, prompt_duration_trusted=parsed >= (0, 12, 7))
    era = _e3(parsed)
    unreleased = _RELEASED_GAP[0] < parsed[:2] < _RELEASED_GAP[1]
    return replace(era, assumed=True) if unreleased else era


def _e3(version: Version) -> Era:
    return replace(
        _E3,
        prompt_count_has_cached=version != (0, 30, 0),
        warm_load_s=(0.0005, 0.01) if version >= (0, 32, 15) else _E3.warm_load_s,
    )


@dataclass(frozen=True, slots=True)
class Boundary:
    """A version at which numbers before and after must not be compared as they are.

    Attributes:
        version: the first version of the new meaning.
        kind: `definition` (the number means something else), `default` (the server does something
            else by default), `overhead` (the server itself became faster or slower, which is real
            but is not the model's speed).
        metrics: ids of the metrics it touches.
        reason: what changed.
        remedy: what makes both sides comparable again; "" if nothing does.
    """

    version: str
    kind: Literal["definition", "default", "overhead"]
    metrics: tuple[str, ...]
    reason: str
    remedy: str = ""


_PREFILL = ("prefill_tok_per_s", "prompt_eval_s", "prompt_tokens")
_DECODE = ("decode_tok_per_s", "ollama_tok_per_s", "eval_s")
_OUTPUT = ("output_tokens", "e2e_s", "eval_s", "total_s", "output_tok_per_s", "request_per_s")
_CLIENT = ("ttft_s", "answer_ttft_s", "e2e_s")

# fmt: off
BOUNDARIES: tuple[Boundary, ...] = (
    Boundary("0.4.0", "definition", (*_PREFILL, *_DECODE, "queue_s"),
             "A new engine: the prompt count includes cached tokens from here on, and durations "
             "are whole milliseconds (until 0.6.1).",
             "bust the prompt cache on both sides"),
    Boundary("0.6.2", "definition",
             ("prompt_eval_s", "eval_s", "prefill_tok_per_s", "decode_tok_per_s"),
             "Durations were whole milliseconds before, and are nanoseconds from here on.",
             "use prompts and outputs long enough for a millisecond not to matter"),
    Boundary("0.6.7", "default", ("served_context",),
             "The default context grew from 2048 to 4096 tokens.",
             "set options.num_ctx"),
    Boundary("0.10.0", "default",
             ("queue_s", "slots_observed", "output_tok_per_s", "request_per_s", *_CLIENT),
             "The default number of slots became 1 (before: up to 4 or 2, by memory).",
             "set OLLAMA_NUM_PARALLEL on the server"),
    Boundary("0.12.5", "definition", (*_PREFILL, *_DECODE, "queue_s"),
             "Durations count only the time the engine was at work on the request; thinking is on "
             "unless switched off. On some models 0.12.5 and 0.12.6 time only the prompt's last "
             "batch.",
             "set think"),
    Boundary("0.12.7", "definition", ("prefill_tok_per_s", "prompt_eval_s", "queue_s"),
             "prompt_eval_duration of 0.12.5 and 0.12.6 covered only the last batch of the "
             "prompt."),
    Boundary("0.15.5", "default",
             ("served_context", "gpu_share", "decode_tok_per_s", "prefill_tok_per_s", "ttft_s"),
             "The default context depends on the GPU's memory (4k, 32k or 256k tokens).",
             "set options.num_ctx"),
    Boundary("0.17.5", "default", _OUTPUT,
             "The default repeat_penalty became 1.0, so the text and its length differ.",
             "set options.repeat_penalty"),
    Boundary("0.18.0", "default", _OUTPUT,
             "The default repeat_penalty became 1.1 again, so the text and its length differ.",
             "set options.repeat_penalty"),
    Boundary("0.30.0", "definition", (*_PREFILL, *_DECODE, "queue_s", "gpu_share"),
             "A new engine (llama-server): durations are timed inside it, from the start of the "
             "slot's work, and memory is read from its log. In 0.30.0 alone the prompt count "
             "leaves out cached tokens.",
             "bust the prompt cache on both sides"),
    Boundary("0.30.1", "definition", _PREFILL,
             "The prompt count includes cached tokens again (0.30.0 left them out).",
             "bust the prompt cache on both sides"),
    Boundary("0.30.8", "default", (*_PREFILL, "ttft_s"),
             "The prompt cache is always on from here on (0.30.0 to 0.30.7: only with `shift`).",
             "bust the prompt cache on both sides"),
    Boundary("0.30.11", "default", (*_PREFILL, "ttft_s"),
             "A prompt longer than the context is cut to about half the context, not to its end.",
             "keep prompt + num_predict below num_ctx"),
    Boundary("0.32.10", "default", _OUTPUT,
             "The default repeat_penalty became 1.0, so the text and its length differ.",
             "set options.repeat_penalty"),
    Boundary("0.32.15", "overhead",
             ("load_s", "total_s", "request_per_s", "output_tok_per_s", *_CLIENT),
             "Model metadata is cached: a warm request waits about 1 ms instead of 95 to 300 ms "
             "before the engine gets it."),
    Boundary("0.33.3", "definition", ("prefill_tok_per_s",),
             "The server says how many prompt tokens came from the cache, so the prefill rate "
             "leaves out even the template's cached header.",
             "use long prompts, where the header does not matter"),
)
# fmt: on
"""Every known boundary, oldest first."""


def boundaries_between(first: str, second: str) -> list[Boundary]:
    """The boundaries that lie between two versions, oldest first, in either order.

    A version that cannot be read counts as newer than every boundary.
    """
    low, high = sorted((_known(first), _known(second)))
    return [b for b in BOUNDARIES if low < _known(b.version) <= high]


def _known(version: str) -> Version:
    return parse_version(version) or (999, 0, 0)
