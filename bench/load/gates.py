"""Asks the questions of `bench.scenario.gates`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from bench.errors import ModelError, ServerError
from bench.load.word_by_word import REPLY_TIMEOUT_S
from bench.ollama.control import Control
from bench.ollama.next_token import options, read_answer
from bench.results.fidelity_files import FidelitySetup, GateRecord, Side
from bench.scenario.gates import questions


def is_asked(side: Side) -> bool:
    """Whether there is a point in it: the simulated engine writes words by chance."""
    return side.engine != "simulated"


def total_questions(setup: FidelitySetup) -> int:
    """How many questions are asked in all."""
    each = sum(1 for _ in questions(setup.num_ctx))
    return each * sum(map(is_asked, setup.sides))


async def ask_gates(
    control: Control,
    setup: FidelitySetup,
    side: int,
    done: Collection[tuple[int, str, int]],
    on_answer: Callable[[GateRecord], None],
) -> None:
    """Ask one side what is not answered yet.

    `done` are the keys of what has an answer.

    Raises:
        BenchError: the server cannot be reached.
    """
    for asked in questions(setup.num_ctx):
        if (side, asked.gate.value, asked.number) in done:
            continue
        body = {
            "model": setup.sides[side].model,
            "prompt": asked.prompt,
            "stream": False,
            "think": False,
            "options": options(setup.num_ctx) | {"num_predict": asked.most},
        }
        if asked.format is not None:
            body["format"] = asked.format
        text, ended, why = await _answer(control, body)
        on_answer(GateRecord(side, asked.gate.value, asked.number, asked.shown, text, ended, why))


async def _answer(control: Control, body: dict[str, Any]) -> tuple[str, str, str]:
    """Text, how it ended, and why there is none: that is an answer to "does it work", too.

    Raises:
        BenchError: nobody is there any more.
    """
    try:
        return *read_answer(await control.generate(body, REPLY_TIMEOUT_S)), ""
    except (ModelError, ServerError) as error:
        await control.version()
        return "", "", error.message
