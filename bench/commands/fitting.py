"""Fitting a profile to a run: `capacity fit`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.analysis.capacity.sweep import by_block, slots_of
from bench.analysis.run.columns import Bools, Columns
from bench.analysis.run.evidence import columns_of
from bench.errors import ResultsError, UsageError
from bench.results.directory import Run, read_run
from bench.results.record import Phase
from bench.simulation.fit import ServiceFit, fit_service
from bench.simulation.fitted import fitted_document
from bench.simulation.misfit import REFUSE, worst
from bench.simulation.served import Served

MOST_LENGTHS = 300
MOST_PACE = 0.05
"""A server whose pace wanders more than that has longer tails than the model."""
DEFAULT_CTX = 4096
MOST_UNKNOWN = 0.05
"""With more requests whose time in a slot is unknown, a step seems faster than it is."""


@dataclass(frozen=True, slots=True)
class FittedProfile:
    """A fit, the profile document that holds it, and what limits its use."""

    fit: ServiceFit
    document: dict[str, Any]
    cautions: tuple[str, ...] = ()


def fit_run(
    path: str | Path, *, slots: int | None = None, model: str | None = None
) -> FittedProfile:
    """Fit a profile to a run directory.

    Args:
        path: of the run.
        slots: of the server; None = as observed in the run.
        model: which model of the run, if there are several.

    Raises:
        ResultsError: the run does not say enough, or the model does not describe it.
        UsageError: the model has to be named.
    """
    path = Path(path)
    if slots is not None and slots < 1:
        raise UsageError(f"slots {slots} must be a whole number above 0")
    run = read_run(path)
    name = _model_of(run, model)
    asked = _columns(run, name)
    columns = asked.select(asked.ok)
    unseen = ~_durations_known(asked)[asked.measured]
    if unseen.any() and unseen.mean() > MOST_UNKNOWN:
        raise ResultsError(
            f"{path}: {unseen.mean():.0%} of the requests failed or have no durations, and took "
            "slots all the same: how many were worked on together is not known",
            "Measure a run in which they are all answered, by a server that says its durations.",
        )
    seen = slots_of(by_block(columns))
    cautions = []
    if slots is None:
        slots = seen.observed if seen else 1
        if seen is not None and not seen.exact:
            cautions.append(
                f"no request had to wait, so {slots} is the least number of slots that the server "
                "has; give the true one with --slots"
            )
    cases = [c for c in run.info.plan.cases if c.model == name]
    servers = list(dict.fromkeys(c.target for c in cases))
    if len(servers) > 1:
        raise UsageError(
            f"{path} measured {name} on {len(servers)} servers ({', '.join(servers)}), and a "
            "profile is of one",
            "Measure one of them alone, e.g. with --host.",
        )
    batch = cases[0].options.get("num_batch", 512)
    try:
        fit = fit_service(served_of(columns), slots=slots, batch_tokens=int(batch))
    except ValueError as error:
        raise ResultsError(
            f"{path}: {error}", "Measure more, e.g. with the scenario concurrency."
        ) from None
    off = worst(fit.off)
    if off is not None and off.share >= REFUSE:
        raise ResultsError(
            f"{path}: the service model does not describe this server: {off}",
            "Its predictions would be wrong. Measure a run whose requests are more alike, or "
            "measure the load itself with `ollama-bench capacity`.",
        )
    if off is not None:
        cautions.append(f"the model does not describe the run well: {off}; predictions are hints")
    if fit.pace > MOST_PACE:
        cautions.append(
            f"the server's own pace wandered by {fit.pace:.0%} (standard deviation) during the "
            "run. The model keeps one pace, so real tails are longer than it says; a machine with "
            "nothing else to do, or a longer run, says more"
        )
    pairs = np.column_stack([columns.prompt_tokens, columns.output_tokens])
    known = pairs[~np.isnan(pairs).any(axis=1)].astype(np.int64)
    step = max(1, len(known) // MOST_LENGTHS)
    lengths = [(int(p), int(o)) for p, o in known[::step]]
    document = fitted_document(
        fit,
        run=run.info.id,
        simulated=run.info.simulated,
        lengths=lengths,
        model=_model_document(run, name, known[:, 1]),
    )
    return FittedProfile(fit, document, tuple(cautions))


def served_of(columns: Columns) -> Served:
    """What a fit needs, from the records of requests that ended well.

    When a request was worked on is placed by the client's stamps of its first and last text, since
    the server tells durations but no times; without a stream, back from the end.
    """
    streamed = ~np.isnan(columns.first_text_ns)
    decode = np.nan_to_num(columns.eval_ns)
    first = np.where(streamed, columns.first_text_ns, columns.end_ns - decode)
    cached = np.nan_to_num(columns.cached_tokens)
    return Served(
        started=first - columns.prompt_eval_ns,
        first=first,
        end=first + decode,
        prompt_n=np.maximum(columns.prompt_tokens - cached, 1),
        context_n=columns.prompt_tokens,
        output_n=columns.output_tokens,
        outside=first - columns.sent_ns - columns.prompt_eval_ns,
    )


def _model_of(run: Run, model: str | None) -> str:
    names = list(dict.fromkeys(c.model for c in run.info.plan.cases))
    if model is None and len(names) == 1:
        return names[0]
    if model in names:
        assert model is not None
        return model
    what = f"holds no model {model!r}" if model else f"holds {len(names)} models"
    raise UsageError(f"{run.path} {what}", f"Choose with --model: {', '.join(names)}")


def _columns(run: Run, model: str) -> Columns:
    """The requests of a model, warm-up left out."""
    kept = [r for r in run.records if r.model == model and r.phase is not Phase.WARMUP]
    return columns_of(kept, [c.id for c in run.info.plan.cases])


def _durations_known(columns: Columns) -> Bools:
    """Whose time in a slot is known; some versions time nothing in a reply of one token."""
    timed = ~np.isnan(columns.eval_ns) | (columns.output_tokens <= 1)
    return np.asarray(columns.ok & timed & ~np.isnan(columns.prompt_eval_ns))


def _model_document(run: Run, name: str, outputs: NDArray[np.int64]) -> dict[str, object]:
    """What is known of the model, by the names of `ModelProfile`."""
    info = next((m for m in run.info.models if m.name == name), None)
    about = info.model_info if info else {}
    architecture = str(about.get("general.architecture", "llama"))
    loads = [b.load_ns / 1e9 for b in run.info.blocks if b.load_ns]
    return {
        "name": name,
        "family": (info.family if info else "") or architecture,
        "parameters": float(about.get("general.parameter_count") or 0),
        "quantization": (info.quantization if info else "") or "unknown",
        "size_gb": ((info.size_bytes if info else 0) or 0) / 1e9,
        "layers": int(about.get(f"{architecture}.block_count") or 0),
        "embedding_length": int(about.get(f"{architecture}.embedding_length") or 0),
        "context_length": (info.context_limit if info else None) or DEFAULT_CTX,
        "cold_load_s": max(loads, default=0.0),
        "warm_load_s": min(loads, default=0.0),
        "output_tokens": {
            "median": float(np.median(outputs)),
            "p95": float(np.quantile(outputs, 0.95)),
        },
    }
