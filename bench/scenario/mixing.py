"""The parts of a mix: each a case of its own, alone and with all the others at the same time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.scenario.plan import Load
from bench.scenario.schema import Scenario

TOGETHER, ALONE = "together", "alone"


def part_names(scenario: Scenario) -> list[str]:
    """What the parts are called: by their names, else their models, else their numbers."""
    names: list[str] = []
    for number, part in enumerate(scenario.mix, 1):
        name = part.name or part.model or f"part {number}"
        names.append(name if name not in names else f"{name} {number}")
    return names


def parts_of(scenario: Scenario) -> list[Scenario]:
    """The scenario of each part."""
    data = scenario.as_data() | {"mix": []}
    made = []
    for part in scenario.mix:
        given = part.model_dump(mode="json", exclude_none=True, exclude={"name", "share", "model"})
        options = data["options"] | given.pop("options", {})
        one = Scenario.model_validate(data | given | {"options": options})
        made.append(one.located(scenario.source, scenario.directory))
    return made


def shared_out(load: Load, shares: list[float]) -> list[Load]:
    """The load of each part.

    Raises:
        ValueError: there are fewer users, requests or sessions than parts.
    """
    total = sum(shares)
    counts = {
        key: _whole(value, shares, key)
        for key in ("users", "requests", "sessions")
        if (value := getattr(load, key)) is not None
    }
    loads = []
    for place, share in enumerate(shares):
        values: dict[str, Any] = {key: parts[place] for key, parts in counts.items()}
        if load.rate_per_s is not None:
            values["rate_per_s"] = load.rate_per_s * share / total
        loads.append(replace(load, **values))
    return loads


def _whole(count: int, shares: list[float], key: str) -> list[int]:
    """Whole numbers in these proportions, each at least 1 (largest remainders)."""
    if count < len(shares):
        raise ValueError(f"{count} {key} are fewer than the {len(shares)} parts of mix")
    total = sum(shares)
    exact = [count * share / total for share in shares]
    whole = [max(1, int(value)) for value in exact]
    while sum(whole) > count:
        larger = [i for i in range(len(whole)) if whole[i] > 1]
        whole[max(larger, key=lambda i: whole[i] - exact[i])] -= 1
    while sum(whole) < count:
        whole[max(range(len(whole)), key=lambda i: exact[i] - whole[i])] += 1
    return whole
