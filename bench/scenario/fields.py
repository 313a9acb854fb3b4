"""The kinds of values in a scenario file: durations, distributions, scalars where lists are."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bench.durations import duration_s
from bench.scenario.draws import Z95


class Model(BaseModel):
    """Base of all parts of a scenario: unknown keys are refused, values are not converted.

    The text below a field is its description in the JSON Schema (`bench.scenario.jsonschema`).
    """

    # Building late saves building every part once for itself: a run must start quickly.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    # Exactly one of these keys must be given.
    one_of: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in self.one_of if getattr(self, name) is not None]
        if self.one_of and len(given) != 1:
            what = f"has {' and '.join(given)}" if given else "has none"
            raise ValueError(f"{what}: give exactly one of {', '.join(self.one_of)}")
        return self


Name = Annotated[str, Field(min_length=1)]


def before(change: Callable[[Any], Any], shown: Any) -> BeforeValidator:
    """Changes or refuses what stands in the file, before its type is checked.

    `shown` is what may stand there, for editors.
    """
    return BeforeValidator(change, json_schema_input_type=shown)


def scalar_or_list(item: Any) -> BeforeValidator:
    """Accepts a scalar where a list is."""
    return before(lambda v: v if isinstance(v, list) else [v], item | list[item])


def _seconds(value: Any) -> Any:
    seconds = math.nan
    with contextlib.suppress(ValueError, OverflowError):
        if isinstance(value, str):
            seconds = duration_s(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = float(value)
    if not math.isfinite(seconds):
        raise ValueError("must be a duration such as 90s, 2m, 1h30m, or a number of seconds")
    return seconds


Seconds = Annotated[float, before(_seconds, float | str), Field(ge=0)]
"""A duration in seconds; in the file a number of seconds or Go's form (`90s`, `1h30m`)."""
PositiveSeconds = Annotated[float, before(_seconds, float | str), Field(gt=0)]
"""A duration above 0."""
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Uniform(Model):
    """Every value from low to high is equally likely."""

    low: Finite
    high: Finite

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high < self.low:
            raise ValueError("high must not be below low")
        return self


class Normal(Model):
    """The normal distribution."""

    mean: Finite
    sd: Annotated[Finite, Field(ge=0)]
    """Standard deviation."""


class Lognormal(Model):
    """The lognormal distribution: many small values, few large ones."""

    median: Annotated[Finite, Field(gt=0)]
    p95: Annotated[Finite, Field(gt=0)]
    """One value in twenty lies above it."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.p95 < self.median:
            raise ValueError("p95 must not be below the median")
        return self


class Choice(Model):
    """One of the listed values."""

    values: Annotated[list[Finite], Field(min_length=1)]
    weights: list[Annotated[Finite, Field(ge=0)]] | None = None
    """How likely each value is, relative to the others; all equal if not given."""

    @model_validator(mode="after")
    def _matching(self) -> Self:
        if self.weights is not None:
            if len(self.weights) != len(self.values):
                raise ValueError(f"has {len(self.values)} values but {len(self.weights)} weights")
            if sum(self.weights) <= 0:
                raise ValueError("at least one weight must be above 0")
        return self


class DistributionSpec(Model):
    """A number, or one of `fixed`, `uniform`, `normal`, `lognormal`, `choice`."""

    one_of = ("fixed", "uniform", "normal", "lognormal", "choice")

    fixed: Finite | None = None
    uniform: Uniform | None = None
    normal: Normal | None = None
    lognormal: Lognormal | None = None
    choice: Choice | None = None


def _fixed(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"fixed": value}
    if isinstance(value, dict | DistributionSpec):
        return value
    raise ValueError(
        "must be a number, or one of fixed, uniform, normal, lognormal, choice, "
        "e.g. {uniform: {low: 100, high: 300}}"
    )


def _tokens(spec: DistributionSpec) -> DistributionSpec:
    """Refuses counts of which many would be below 1: they would all be made 1."""
    low: float | None = spec.fixed
    if spec.uniform is not None:
        low = spec.uniform.low
    if spec.normal is not None:
        low = spec.normal.mean
        if low >= 1 > low - Z95 * spec.normal.sd:
            raise ValueError(
                f"one draw in twenty or more would be below 1 token: lower sd (it is "
                f"{spec.normal.sd:g}), or use lognormal: {{median: {low:g}, p95: ...}}"
            )
    if spec.lognormal is not None:
        low = spec.lognormal.median
    if spec.choice is not None:
        low = min(spec.choice.values)
    if low is not None and low < 1:
        raise ValueError(f"a text has at least 1 token: {low:g} is none; give 1 or more")
    return spec


DistributionField = Annotated[DistributionSpec, before(_fixed, float | DistributionSpec)]
"""A number, or how to draw one."""
TokensField = Annotated[DistributionField, AfterValidator(_tokens)]
"""A number of tokens, or how to draw one: at least 1."""
