"""The scenarios that ship with the program, by name."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from bench.errors import UsageError
from bench.resources import resource_dir
from bench.scenario.schema import Scenario


def scenario_names() -> tuple[str, ...]:
    """Names of the shipped scenarios, sorted."""
    return tuple(sorted(path.stem for path in resource_dir("scenarios").glob("*.yaml")))


def headline(scenario: Scenario) -> str:
    """What it measures: the first sentence of its description, without its last mark."""
    return re.split(r"(?<=[.:])\s", scenario.description.strip())[0].rstrip(":.")


def scenario_path(name: str) -> Path:
    """The file of a shipped scenario.

    Raises:
        UsageError: there is none of this name; the message names the nearest.
    """
    names = scenario_names()
    if name in names:
        return resource_dir("scenarios") / f"{name}.yaml"
    close = difflib.get_close_matches(name, names, n=1)
    advice = f"did you mean {close[0]}?" if close else f"shipped are: {', '.join(names)}"
    raise UsageError(f"there is no scenario {name!r}, neither as a file nor shipped", advice)
