"""The two sides of `ab`: what may be set on each, and the plan that follows.

`model=NAME` and `host=URL` choose what a side measures; `binary=PATH` and `env.NAME=VALUE` start a
server for it; everything else is a key of the scenario, as for `--set`:

    --a model=llama3.2:3b                 --b model=llama3.2:3b-instruct-q8_0
    --a host=:11434                       --b host=:11435
    --a binary=/opt/ollama-0.24/ollama    --b binary=/opt/ollama-0.32/ollama
    --a env.OLLAMA_FLASH_ATTENTION=0      --b env.OLLAMA_FLASH_ATTENTION=1
    --a options.num_ctx=4096              --b options.num_ctx=16384
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.commands.sources import ScenarioSource, names
from bench.errors import ScenarioError, UsageError
from bench.hidden import shown_environment
from bench.scenario.expand import build_ab_plan
from bench.scenario.loading import load_scenario
from bench.scenario.plan import Plan
from bench.scenario.schema import Scenario

_DEFAULT_BINARY = "ollama"


@dataclass(frozen=True, slots=True)
class SideSettings:
    """What was set on one side.

    Attributes:
        models, hosts: as for a run.
        overrides: keys of the scenario, `path=value` each.
        binary: server to start, "" for none.
        env: of the server to start.
    """

    models: tuple[str, ...]
    hosts: tuple[str, ...]
    overrides: tuple[str, ...]
    binary: str
    env: dict[str, str]

    @property
    def managed(self) -> bool:
        """Whether a server is started for this side."""
        return bool(self.binary or self.env)


def parse_side(letter: str, settings: Sequence[str]) -> SideSettings:
    """Take the settings of one side apart."""
    models, hosts, overrides = [], [], []
    binary, env = "", {}
    for text in settings:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key or not value or key == "env.":
            raise UsageError(
                f"--{letter} {text}: write KEY=VALUE", "For example: --a model=llama3.2:3b"
            )
        if key == "model":
            models.append(value)
        elif key in ("host", "target"):
            hosts.append(value)
        elif key == "binary":
            binary = value
        elif key.startswith("env."):
            env[key.removeprefix("env.")] = value
        else:
            overrides.append(f"{key}={value}")
    side = SideSettings(tuple(models), tuple(hosts), tuple(overrides), binary, env)
    if side.managed and hosts:
        raise UsageError(
            f"--{letter} sets both a host and a server to start",
            "A server that runs already keeps its own settings: give either host, or binary/env.",
        )
    return side


def ab_plan(
    scenario: ScenarioSource,
    a: str | Sequence[str],
    b: str | Sequence[str],
    pairs: int,
    *,
    models: str | Sequence[str] = (),
    hosts: str | Sequence[str] = (),
    overrides: str | Sequence[str] = (),
    seed: int | None = None,
) -> Plan:
    """The plan of a comparison in pairs. Two equal sides are an A/A: how much equals differ.

    Args:
        scenario: path of a file, name of a shipped scenario, or its keys as a dict.
        a: what is set on side a.
        b: likewise on side b.
        pairs: pairs of blocks for each case.
        models: of both sides, where a side names none.
        hosts: likewise.
        overrides: keys of the scenario, on both sides.
        seed: takes the place of the scenario's.

    Raises:
        UsageError: nothing is set on either side, or a setting is wrong.
        ScenarioError: what follows from them is no scenario.
    """
    if not (a or b):
        raise UsageError(
            "nothing says how the two sides differ",
            "Say what differs, e.g. --a options.num_ctx=4096 --b options.num_ctx=16384. To see how "
            "much equal sides differ (A/A), set the same on both.",
        )
    sides = parse_side("a", names(a)), parse_side("b", names(b))
    return _paired_plan(
        scenario, *sides, pairs, models=models, hosts=hosts, overrides=overrides, seed=seed
    )


def pilot_plan(scenario: ScenarioSource, pairs: int, **chosen: Any) -> Plan:
    """The plan of a pilot: pairs of equal sides (A/A), as the comparison will measure them."""
    none = SideSettings((), (), (), "", {})
    return _paired_plan(scenario, none, none, pairs, **chosen)


def _paired_plan(
    scenario: ScenarioSource,
    side_a: SideSettings,
    side_b: SideSettings,
    pairs: int,
    *,
    models: str | Sequence[str] = (),
    hosts: str | Sequence[str] = (),
    overrides: str | Sequence[str] = (),
    seed: int | None = None,
) -> Plan:
    if pairs < 1:
        raise UsageError(f"{pairs} pairs are none: a comparison takes 6 or more")
    models, hosts, overrides = names(models), names(hosts), names(overrides)
    if not hosts:
        side_a, side_b = _both_started(side_a, side_b), _both_started(side_b, side_a)
    loaded = [
        _loaded(scenario, overrides, side, letter)
        for letter, side in (("a", side_a), ("b", side_b))
    ]
    given_a, given_b = (() if side.managed else side.hosts or hosts for side in (side_a, side_b))
    return build_ab_plan(
        loaded[0],
        loaded[1],
        pairs,
        models_a=side_a.models or models,
        models_b=side_b.models or models,
        hosts_a=given_a,
        hosts_b=given_b,
        seed=seed,
    )


def _loaded(
    scenario: ScenarioSource, overrides: Sequence[str], side: SideSettings, letter: str
) -> Scenario:
    """The scenario of one side; a problem names the option that the setting was given with."""
    try:
        return load_scenario(scenario, [*overrides, *side.overrides, *_targets(side, letter)])
    except ScenarioError as error:
        problems = []
        for problem in error.problems:
            for text in side.overrides:
                here = {
                    key: getattr(problem, key).replace(f"--set {text}", f"--{letter} {text}")
                    for key in ("path", "message")
                }
                problem = replace(problem, **here)
            problems.append(problem)
        raise ScenarioError(error.file, problems) from None


def _both_started(side: SideSettings, other: SideSettings) -> SideSettings:
    """If a server is started for the other side, one is started for this one, too.

    A server that runs already has settings that nobody knows.
    """
    if other.managed and not side.managed and not side.hosts:
        return replace(side, binary=_DEFAULT_BINARY)
    return side


def _targets(side: SideSettings, letter: str) -> list[str]:
    """The server to start as a setting of the scenario's targets."""
    if not side.managed:
        return []
    binary = side.binary or _DEFAULT_BINARY
    shown = [*(f"{k}={v}" for k, v in shown_environment(side.env).items()), binary, "serve"]
    target = {
        "name": f"{letter}: {' '.join(shown)}", "command": [binary, "serve"], "env": side.env
    }  # fmt: skip
    return [f"targets={json.dumps([target])}"]
