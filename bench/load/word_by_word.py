"""What fidelity asks of models: their next words, and the questions of `bench.scenario.gates`.

Next words are by teacher forcing: a model reads texts, and says at chosen places what it expects.
One request a place, one after another. Each place of a text is a longer prefix than the one before,
so the server evaluates only what is new (its prefix cache).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any

from bench.errors import ModelError, ServerError
from bench.ollama.control import Control
from bench.ollama.names import is_cloud_name, same_model
from bench.ollama.next_token import (
    NO_LIST,
    next_token_request,
    options,
    read_answer,
    read_next_token,
)
from bench.results.fidelity_files import (
    AGAIN,
    ENOUGH,
    REFERENCE,
    FidelitySetup,
    GateRecord,
    PlaceRecord,
    Side,
)
from bench.scenario.gates import questions

LOAD_TIMEOUT_S = 1800.0
REPLY_TIMEOUT_S = 600.0
_KEEP_ALIVE = "10m"
_REFUSALS = 3
"""So many answers without a list at the start, and there is none to come."""

OnPlace = Callable[[PlaceRecord], None]


async def describe_side(control: Control, model: str, label: str) -> Side:
    """A model as its server describes it.

    Raises:
        ModelError: it is missing, a cloud model, makes no text, or drafts ahead.
    """
    version = await control.version()
    installed = await control.tags()
    found = next((m for m in installed if same_model(m.name, model)), None)
    shown = await control.show(model)
    if is_cloud_name(model) or shown.remote or (found and found.remote):
        raise ModelError(
            f"{model} runs on ollama.com, which gives no log-probabilities",
            "Name a model that this server runs itself.",
        )
    if shown.capabilities is not None and "completion" not in shown.capabilities:
        raise ModelError(
            f"{model} makes no text ({', '.join(shown.capabilities)}): it has no next words",
            "Name models that answer.",
        )
    if shown.drafts:
        raise ModelError(
            f"{model} drafts ahead (speculative decoding): of drafted tokens servers give no "
            "probabilities of their own",
            "Compare models without a draft model: in a copy, leave DRAFT out of its Modelfile, or "
            "set PARAMETER draft_num_predict 0.",
        )
    return Side(
        label=label,
        model=model,
        url=control.url,
        version=version.version,
        engine=version.engine,
        digest=found.digest if found else "",
        size_bytes=found.size_bytes if found else None,
        quantization=shown.quantization or (found.quantization if found else ""),
        parameter_size=shown.parameter_size or (found.parameter_size if found else ""),
    )


def places_of(setup: FidelitySetup, side: int) -> Iterator[tuple[int, int]]:
    """(text, cut) of every place of a side, in the order in which it is asked.

    The same order again would find the cache in the same state and give the same bits, so the
    reference is asked again backwards: longest prefix first.
    """
    if side != AGAIN:
        yield from ((t, cut) for t, text in enumerate(setup.texts) for cut in text.cuts)
        return
    left = setup.again
    for t, text in enumerate(setup.texts):
        for cut in tuple(reversed(text.cuts))[:left]:
            yield t, cut
        left -= len(text.cuts)
        if left <= 0:
            return


def takes_turns(setup: FidelitySetup) -> bool:
    """Whether each side has a server for itself."""
    return len({side.url for side in setup.sides}) == len(setup.sides)


def turns(setup: FidelitySetup) -> Iterator[tuple[int, int | None]]:
    """(side, text) in the order of asking; None = all texts that are left.

    One side after the other, since each wants the memory for itself. Every candidate is tried at
    the first texts before anything else: only the tokens that come back show another tokenizer, and
    hours might pass before it is refused. Sides that have a server each take turns, text by text:
    what changes meanwhile concerns all of them, and a run that is stopped has the same texts of
    all.
    """
    sides = range(len(setup.sides))
    if takes_turns(setup):
        yield from ((side, text) for text in range(len(setup.texts)) for side in sides)
        yield AGAIN, None
        return
    yield from ((side, text) for side in sides[1:] for text in _few(setup))
    yield from ((side, None) for side in (REFERENCE, AGAIN, *sides[1:]))


def _few(setup: FidelitySetup) -> Iterator[int]:
    """The first texts, as many as it takes to try a model: some places may have no list."""
    places = 0
    for number, text in enumerate(setup.texts):
        if places >= 2 * ENOUGH:
            return
        yield number
        places += len(text.cuts)


def total_places(setup: FidelitySetup) -> int:
    """How many requests the whole takes."""
    sides = [AGAIN, *range(len(setup.sides))]
    return sum(1 for side in sides for _ in places_of(setup, side))


async def ask_side(
    control: Control,
    setup: FidelitySetup,
    side: int,
    done: Collection[tuple[int, int, int]],
    on_place: OnPlace,
    text: int | None = None,
) -> None:
    """Ask one side at every place that is not done yet.

    `done` are the keys of the places that have an answer. With `text`, only that one is asked
    about.

    Raises:
        ModelError: the server sends no log-probabilities.
        BenchError: it refuses, or cannot be reached.
    """
    about = setup.sides[max(side, REFERENCE)]
    left = [
        (t, cut)
        for t, cut in places_of(setup, side)
        if (side, t, cut) not in done and text in (None, t)
    ]
    if not left:
        return
    await control.preload(about.model, options(setup.num_ctx), _KEEP_ALIVE, LOAD_TIMEOUT_S)
    listed, refused = False, 0
    for t, cut in left:
        request = next_token_request(about.model, setup.texts[t].text[:cut], setup.num_ctx)
        reply = read_next_token(await control.generate(request, REPLY_TIMEOUT_S))
        listed = listed or bool(reply.tokens)
        refused += reply.missing == NO_LIST
        if not listed and refused == min(_REFUSALS, len(left)):
            raise ModelError(
                f"{about.model} on {about.url} (Ollama {about.version}) sends no log-probabilities",
                "They came with Ollama 0.12.11; for MLX models with 0.21.1.",
            )
        on_place(PlaceRecord(side, t, cut, reply.tokens, reply.prompt_tokens, reply.missing))


async def make_room(control: Control, model: str) -> None:
    """Unload a side before the next is loaded: two that do not fit together would spill."""
    with suppress(ServerError):
        await control.unload(model)


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
