"""Ask every side of a fidelity run what has no answer yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.analysis.fidelity.analyse import by_side
from bench.analysis.fidelity.position import check_tokenizer
from bench.errors import NotComparable
from bench.load.word_by_word import (
    ask_gates,
    ask_side,
    describe_side,
    is_asked,
    make_room,
    takes_turns,
    total_places,
    turns,
)
from bench.ollama.control import Control
from bench.results.directory import RunDirectory
from bench.results.fidelity_files import (
    AGAIN,
    ENOUGH,
    GATES_FILE,
    PLACES_FILE,
    REFERENCE,
    FidelitySetup,
    GateRecord,
    PlaceRecord,
    Side,
    read_gates,
)
from bench.results.journal import Journal

Connect = Callable[[Side], Control]
"""Finds the server of a side."""
OnStep = Callable[[str, int, int], None]
"""Called after every place: label of the side, places that have an answer, places in all."""


async def ask_missing(
    directory: RunDirectory,
    setup: FidelitySetup,
    connect: Connect,
    records: list[PlaceRecord],
    on_step: OnStep | None,
) -> None:
    """Ask what is missing, in the order of `turns`."""
    done = {record.key for record in records}
    total = total_places(setup)
    said = by_side(records)
    with Journal(directory.path / PLACES_FILE) as journal:

        def tell(label: str) -> None:
            if on_step is not None:
                on_step(label, len(records), total)

        def keep(record: PlaceRecord) -> None:
            journal.append(record)
            records.append(record)
            done.add(record.key)
            said.setdefault(record.side, {})[record.text, record.cut] = record
            side = setup.sides[max(record.side, REFERENCE)]
            tell(side.label)
            if record.side == AGAIN or len(said[record.side]) % ENOUGH:
                return
            for other in [record.side] if record.side > REFERENCE else sorted(said):
                if other > REFERENCE:
                    about = setup.sides[0].label, setup.sides[other].label
                    check_tokenizer(*about, said.get(REFERENCE, {}), said[other])

        for side in setup.sides:
            await _unchanged(connect(side), side)
        before = setup.sides[REFERENCE]
        for number, text in turns(setup):
            side = setup.sides[max(number, REFERENCE)]
            if side != before and not takes_turns(setup):
                await make_room(connect(before), before.model)
            await ask_side(connect(side), setup, number, done, keep, text)
            before = side
            if number == AGAIN or (number > REFERENCE and text in (None, len(setup.texts) - 1)):
                await _ask_gates(directory.path, setup, max(number, REFERENCE), connect, tell)


async def _ask_gates(
    path: Path, setup: FidelitySetup, side: int, connect: Connect, tell: Callable[[str], None]
) -> None:
    about = setup.sides[side]
    if not is_asked(about):
        return
    done = {record.key for record in read_gates(path)}
    with Journal(path / GATES_FILE) as journal:

        def keep(record: GateRecord) -> None:
            journal.append(record)
            tell(f"{about.label}: does it work")

        await ask_gates(connect(about), setup, side, done, keep)


async def _unchanged(control: Control, side: Side) -> None:
    """Refuse to mix two states of a model or server in one result."""
    now = await describe_side(control, side.model, side.label)
    for what, then, found in (
        ("server's version", side.version, now.version),
        ("server's engine", side.engine, now.engine),
        ("model's digest", side.digest, now.digest),
    ):
        if then != found:
            raise NotComparable(
                f"{side.label}: the {what} was {then or 'unknown'} when this run began, and is "
                f"{found or 'unknown'} now",
                "Begin anew; what was measured then belongs to the old state.",
            )
