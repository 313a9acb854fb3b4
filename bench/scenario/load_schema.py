"""The part of a scenario file that says how much is asked at once."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from bench.scenario.fields import (
    DistributionField,
    Model,
    PositiveSeconds,
    Seconds,
    before,
    scalar_or_list,
)

DEFAULT_REQUESTS = 30
"""Measured requests per block when a load says neither `requests` nor `duration`."""

Users = Annotated[list[Annotated[int, Field(ge=1, le=10_000)]], scalar_or_list(int)]
Rates = Annotated[
    list[Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]], scalar_or_list(float)
]


class Limits(Model):
    """When a block ends: at whichever limit comes first."""

    requests: Annotated[int, Field(ge=1)] | None = None
    """Measured requests per block, over all users. 30 if duration is not given either."""
    sessions: Annotated[int, Field(ge=1)] | None = None
    """Sessions per block, over all users; each is measured to its end. Twice the users if no other
    limit is given. With a limit of requests or time instead, sessions go on to their end, but what
    is sent after it is not measured."""
    duration: PositiveSeconds | None = None
    """Length of a block; what is in flight then is let end."""
    max_errors: Annotated[int, Field(ge=1)] | None = None
    """Give a block up after so many failed requests."""


class ClosedLoad(Limits):
    """A fixed number of users, each waiting for its answer before it asks again."""

    users: Annotated[Users, Field(min_length=1)] = Field(default_factory=lambda: [1])
    """How many users at once; a list makes one case each."""
    think_time: DistributionField | None = None
    """Pause in seconds between an answer and the next request of that user."""
    ramp_up: Seconds = 0.0
    """The users start spread over this time, which is not part of the measurement."""


class GammaArrivals(Model):
    """Arrivals with gaps of a chosen burstiness."""

    burstiness: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
    """Squared coefficient of variation of the gaps: 1 = Poisson, above = burstier."""


class TraceArrivals(Model):
    """Arrivals at recorded times."""

    file: str
    """CSV or JSONL with a column of times (time_s, time_ms, or date and time) and, if known, of
    prompt_tokens and output_tokens, or text with one time in seconds a line; relative to the
    scenario file. The traces of Azure, BurstGPT, Mooncake and Bailian are read as they are.
    Synthetic prompts get the trace's tokens."""
    time_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Times are multiplied by this: 0.5 plays the trace twice as fast."""
    window: Annotated[list[Seconds], Field(min_length=2, max_length=2)] | None = None
    """Only the arrivals from the first to the second time, before scaling: [1h, 2h]."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.window is not None and self.window[0] >= self.window[1]:
            raise ValueError("window must begin before it ends")
        return self


class ArrivalsSpec(Model):
    """`constant`, `poisson`, `recorded` (sessions begin as in their file), or one of these."""

    one_of = ("constant", "poisson", "recorded", "gamma", "trace")

    constant: Literal[True] | None = None
    poisson: Literal[True] | None = None
    recorded: Literal[True] | None = None
    gamma: GammaArrivals | None = None
    trace: TraceArrivals | None = None


def _arrivals(value: Any) -> Any:
    if value in ("constant", "poisson", "recorded"):
        return {value: True}
    if isinstance(value, dict | ArrivalsSpec):
        return value
    raise ValueError(
        "must be constant, poisson, recorded, {gamma: {burstiness: 3}} or "
        "{trace: {file: arrivals.txt}}"
    )


_ArrivalsText = Literal["constant", "poisson", "recorded"]
ArrivalsField = Annotated[ArrivalsSpec, before(_arrivals, _ArrivalsText | ArrivalsSpec)]


class OpenLoad(Limits):
    """Requests arrive at a rate, whatever the server does."""

    rate: Annotated[Rates, Field(min_length=1)] | None = None
    """Arrivals per second; a list makes one case each. Not given with a trace."""
    arrivals: ArrivalsField = ArrivalsSpec.model_construct(poisson=True)
    """How the arrivals are spread."""
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Arrivals above so many open requests are dropped and counted."""
    settle: Seconds | None = None
    """For so long requests arrive, unmeasured, before those that are measured: an empty server
    answers faster than one in use. If not given: a quarter of the block, at most 10m. A trace plays
    its own first rows for that, and measures every row once."""

    @model_validator(mode="after")
    def _rate_or_trace(self) -> Self:
        own_times = self.arrivals.trace is not None or self.arrivals.recorded is not None
        if not own_times and self.rate is None:
            raise ValueError("rate is missing: how many requests arrive per second")
        if own_times and self.rate is not None:
            raise ValueError("a trace brings its own times: remove rate, or use time_scale")
        return self


class LoadSpec(Model):
    """The load: exactly one of closed (users) and open (arrival rate)."""

    one_of = ("closed", "open")

    closed: ClosedLoad | None = None
    open: OpenLoad | None = None
