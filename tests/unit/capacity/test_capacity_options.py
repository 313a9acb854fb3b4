"""Options of `capacity` that no search or prediction could be about."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import bench
from bench.cli.capacity import command
from bench.commands.probing import By
from bench.errors import UsageError

WHAT_IF = ("what-if", "test", "--slo", "ttft_s.p95<=2")
SEARCH = ("search", "quickstart", "--slo", "ttft_s.p95<=2")


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "many"])
@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        *((WHAT_IF, o) for o in ("--users", "--rate", "--prefill", "--time-scale", "--peak")),
        *((SEARCH, o) for o in ("--most", "--peak", "--requests-per-hour")),
    ],
)
def test_numbers_are_above_zero(arguments: tuple[str, ...], option: str, value: str) -> None:
    said = CliRunner().invoke(command, [*arguments, f"{option}={value}"])
    assert said.exit_code == 2
    assert f"Invalid value for '{option}': " in said.output


@pytest.mark.parametrize(
    ("by", "ceiling", "why"),
    [("rate", 0.0, "a rate above 0; it is 0"), ("users", 0.5, "at least 1 user; it is 0.5")],
)
def test_a_search_has_a_highest_load(by: By, ceiling: float, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        bench.find_capacity("quickstart", ["ttft_s.p95<=2"], by=by, ceiling=ceiling)


@pytest.mark.parametrize("option", ["--requests-per-hour=6", "--think=10"])
def test_only_a_rate_is_translated_into_people(option: str) -> None:
    """Once the option was taken, and nothing was said of it."""
    said = CliRunner().invoke(command, [*SEARCH, "--by", "users", option, "--dry-run"])
    assert isinstance(said.exception, UsageError)
    assert "--by users finds users" in str(said.exception)
