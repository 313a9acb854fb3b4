"""A profile that was fitted to a measured run, with what the fit does not know exactly."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import msgspec

from bench.simulation.fit import ServiceFit
from bench.simulation.misfit import worst
from bench.simulation.service import ServiceParameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """The speed of the model, refitted to a resampled run. As in `ModelProfile`."""

    prefill_tok_per_s: float
    step_ms: float
    step_ms_per_sequence: float
    step_ms_per_kilotoken: float

    def parameters(self, like: ServiceParameters) -> ServiceParameters:
        """The service parameters of this draw; the rest is taken from `like`."""
        return replace(
            like,
            prefill_ns_per_token=1e9 / self.prefill_tok_per_s,
            base_ns=self.step_ms * 1e6,
            per_sequence_ns=self.step_ms_per_sequence * 1e6,
            per_token_ns=self.step_ms_per_kilotoken * 1e3,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Where a profile comes from; what is not named here is as in `ServiceFit`.

    Attributes:
        run: id of the run it was fitted to.
        slots: of the server that was measured.
        lengths: [prompt tokens, output tokens] of measured requests.
        simulated: the run was made on the simulated engine, so this is a model of a model.
        misfit: where the model is off from what it was fitted to, in words; "" if nowhere.
    """

    run: str
    requests: int
    slots: int
    most_together: float
    decode_error: float
    overhead_ms: float
    lengths: tuple[tuple[int, int], ...]
    draws: tuple[Draw, ...]
    simulated: bool = False
    pace: float = 0.0
    misfit: str = ""


def draw_of(p: ServiceParameters) -> Draw:
    """The speed in a profile's units."""
    return Draw(
        prefill_tok_per_s=1e9 / max(p.prefill_ns_per_token, 1e-3),
        step_ms=p.base_ns / 1e6,
        step_ms_per_sequence=p.per_sequence_ns / 1e6,
        step_ms_per_kilotoken=p.per_token_ns / 1e3,
    )


def fitted_document(
    fit: ServiceFit,
    *,
    run: str,
    lengths: list[tuple[int, int]],
    model: dict[str, object],
    simulated: bool = False,
) -> dict[str, object]:
    """A profile document, ready to be written as YAML, that `serve --profile` can load.

    `lengths` and `simulated` are as in `Fitted`; `model` is what is known of the model, by the
    names of `ModelProfile`.
    """
    fitted = Fitted(
        run=run,
        requests=fit.requests,
        slots=fit.parameters.slots,
        most_together=round(fit.most_together, 2),
        decode_error=round(fit.decode_error, 4),
        overhead_ms=fit.overhead_ns / 1e6,
        lengths=tuple(lengths),
        draws=tuple(draw_of(d) for d in fit.draws),
        simulated=simulated,
        pace=round(fit.pace, 4),
        misfit=str(off) if (off := worst(fit.off)) else "",
    )
    of = " of the simulated engine" if simulated else ""
    return {
        "name": f"fitted-{run}",
        "description": f"Fitted to run {run}: {fit.requests} requests{of}",
        "invented": False,
        "num_parallel": fit.parameters.slots,
        "device": {"description": "as measured", "vram_gb": 0, "spill_slowdown": 1},
        "models": [model | asdict(draw_of(fit.parameters)) | {"jitter": fit.parameters.jitter}],
        "fitted": msgspec.to_builtins(fitted),
    }
