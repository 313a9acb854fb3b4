"""Fidelity as a Python function: what `ollama-bench fidelity` does.

import bench
found = bench.fidelity("llama3.2:3b-instruct-fp16", ["llama3.2:3b-instruct-q8_0"])
print(found.result.candidates[0].divergence)
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench._version import __version__
from bench.address import server_url
from bench.analysis.fidelity.analyse import analyse
from bench.analysis.fidelity.result import FidelityResult
from bench.commands.fidelity_asking import Connect, OnStep, ask_missing
from bench.commands.running import Interrupts, finish, interruptible
from bench.commands.sources import names
from bench.errors import BenchError, Interrupted, NotComparable, UsageError
from bench.load.session import Settings
from bench.load.word_by_word import describe_side, make_room, total_places, total_questions
from bench.ollama.control import Control
from bench.ollama.names import same_model
from bench.results.directory import RunDirectory
from bench.results.fidelity_files import (
    RESULT_FILE,
    SCHEMA,
    FidelitySetup,
    PlaceRecord,
    Side,
    go_on,
    read_gates,
    read_places,
    read_setup,
    write_setup,
)
from bench.scenario.plan import DEFAULT_TEXTS, ForcedText, Plan
from bench.scenario.word_ends import forced_texts, identity

NUM_CTX = 2048
"""More than any text takes."""
_AGAIN = 60


@dataclass(frozen=True, slots=True)
class FoundFidelity:
    """A fidelity run that has ended.

    Attributes:
        path: its run directory.
    """

    path: Path
    result: FidelityResult

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        from bench.report.fidelity.page import fidelity_page
        from bench.report.notebook import fragment

        return fragment(fidelity_page(self.result))


def fidelity(
    reference: str,
    candidates: str | Sequence[str],
    *,
    host: str | None = None,
    texts: str | Sequence[str] = DEFAULT_TEXTS,
    quick: bool = False,
    seed: int = 7,
    settings: Settings | None = None,
    on_step: OnStep | None = None,
) -> FoundFidelity:
    """Measure how far candidates' next words are from a reference's, on the servers that run them.

    Args:
        reference: the model to compare with: the original, or the best file there is. A model is a
            name, or `NAME@URL` for one on another server.
        candidates: models to compare with it.
        host: server of the models that name none; None = OLLAMA_HOST.
        texts: names of shipped texts, or files.
        quick: 15 texts instead of 60.
        seed: of the choice of texts and places.
        settings: where results go, and whom to trust.
        on_step: called with progress messages.

    Raises:
        Interrupted: what was measured is kept; see `resume_fidelity`.
        NotComparable: a candidate has another tokenizer.
        BenchError: it could not be measured; see `bench.errors`.
    """
    settings = settings or Settings()
    given = [reference, *names(candidates)]
    if len(given) < 2:
        raise UsageError(
            "there is nothing to compare with the reference",
            "Name at least one candidate: ollama-bench fidelity REFERENCE CANDIDATE...",
        )
    wanted = [_model_and_url(text, host) for text in given]
    _refuse_twins(wanted)
    chosen = forced_texts(names(texts), quick=quick, seed=seed)

    async def describe() -> tuple[Side, ...]:
        sides = []
        named = labels([(url, model) for model, url in wanted])
        for (model, url), label in zip(wanted, named, strict=True):
            async with Control.of(settings.address(url)) as control:
                sides.append(await describe_side(control, model, label))
        return tuple(sides)

    sides = finish(describe())
    directory = RunDirectory.create(Path(settings.output), "fidelity")
    setup = _begin(directory, sides, chosen, seed)
    return _measure(directory, setup, settings, on_step)


def resume_fidelity(
    path: str | Path, *, settings: Settings | None = None, on_step: OnStep | None = None
) -> FoundFidelity:
    """Go on with a fidelity run where it stopped; one that is complete is only judged again.

    Args:
        path: its run directory.
        settings: whom to trust.
        on_step: called with progress messages.

    Raises:
        NotComparable: a model or its server has changed since.
        BenchError: it could not be measured; see `bench.errors`.
    """
    path = Path(path)
    setup = read_setup(path)
    return _measure(RunDirectory(path, setup.id), setup, settings or Settings(), on_step)


async def begin(
    directory: RunDirectory,
    sides: tuple[Side, ...],
    texts: tuple[ForcedText, ...],
    seed: int,
    connect: Connect,
    on_step: OnStep,
) -> None:
    """Ask every side in a run directory that is there already, and judge.

    Raises:
        NotComparable: a candidate has another tokenizer.
        BenchError: it could not be measured; it says how to go on.
    """
    setup = _begin(directory, sides, texts, seed)
    records: list[PlaceRecord] = []
    with _goes_on(directory.path):
        await ask_missing(directory, setup, connect, records, on_step)
    _judge(directory, setup, records)


def asked_so_far(directory: RunDirectory) -> str:
    """How many answers are kept, in words."""
    setup = read_setup(directory.path)
    done = len(read_places(directory.path))
    return f"interrupted; {done} of {total_places(setup)} answers are kept in {directory.path}"


def _begin(
    directory: RunDirectory, sides: tuple[Side, ...], texts: tuple[ForcedText, ...], seed: int
) -> FidelitySetup:
    setup = FidelitySetup(
        schema=SCHEMA,
        id=directory.id,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        tool_version=__version__,
        sides=sides,
        texts=texts,
        identity=identity(texts),
        num_ctx=NUM_CTX,
        seed=seed,
        again=_AGAIN,
    )
    write_setup(directory, setup)
    return setup


def _judge(
    directory: RunDirectory, setup: FidelitySetup, records: list[PlaceRecord]
) -> FidelityResult:
    result = analyse(setup, records, read_gates(directory.path))
    text = msgspec.json.format(msgspec.json.encode(result), indent=2)
    directory.write_file(RESULT_FILE, text + b"\n")
    return result


@contextmanager
def _goes_on(path: Path) -> Iterator[None]:
    """Errors say how to go on, but for those after which there is nothing to go on with."""
    try:
        yield
    except NotComparable:
        raise
    except BenchError as error:
        error.advice = f"{error.advice} {go_on(path)}".strip()
        raise


def _measure(
    directory: RunDirectory, setup: FidelitySetup, settings: Settings, on_step: OnStep | None
) -> FoundFidelity:
    records = read_places(directory.path)
    asked = {r.key for r in read_gates(directory.path)} | {r.key for r in records}
    try:
        if len(asked) < total_places(setup) + total_questions(setup):
            with interruptible() as interrupts, _goes_on(directory.path):
                finish(_ask_alone(directory, setup, settings, records, on_step, interrupts))
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise Interrupted(asked_so_far(directory), go_on(directory.path)) from None
    return FoundFidelity(directory.path, _judge(directory, setup, records))


async def _ask_alone(
    directory: RunDirectory,
    setup: FidelitySetup,
    settings: Settings,
    records: list[PlaceRecord],
    on_step: OnStep | None,
    interrupts: Interrupts,
) -> None:
    """Ask on connections of its own, until it is interrupted."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    interrupts.act = lambda: loop.call_soon_threadsafe(task.cancel)
    if interrupts.asked:
        task.cancel()
    try:
        async with AsyncExitStack() as stack:
            controls = {
                url: await stack.enter_async_context(Control.of(settings.address(url)))
                for url in {side.url for side in setup.sides}
            }
            await ask_missing(directory, setup, lambda side: controls[side.url], records, on_step)
    finally:
        interrupts.ignore()  # the loop ends, and takes no call any more


def _model_and_url(text: str, host: str | None) -> tuple[str, str]:
    """`NAME` or `NAME@URL`."""
    model, at, url = text.partition("@")
    if not model or (at and not url):
        raise UsageError(
            f"{text!r} is no model", "Write NAME, or NAME@URL for one on another server."
        )
    return model, server_url(url if at else host)


def _refuse_twins(wanted: Sequence[tuple[str, str]]) -> None:
    for i, (model, url) in enumerate(wanted):
        if any(same_model(model, m) and url == u for m, u in wanted[:i]):
            raise UsageError(
                f"{model} on {url} is named twice",
                "How far it is from itself is measured anyway: that is the noise floor.",
            )


def labels(wanted: Sequence[tuple[str, str]]) -> list[str]:
    """Names of models, with the server where there are several servers."""
    several = len({server for server, _ in wanted}) > 1
    return [f"{model} on {server}" if several else model for server, model in wanted]


class FidelityStage:
    """Measures what `Plan.fidelity` asks for; see `bench.load.afterwards.Afterwards`."""

    def __init__(self, plan: Plan, on_step: OnStep) -> None:
        assert plan.fidelity is not None
        self._plan = plan
        self._asked = plan.fidelity
        self._on_step = on_step
        self._sides: tuple[Side, ...] = ()
        self._controls: dict[str, Control] = {}

    async def prepare(self, controls: Mapping[str, Control]) -> None:
        """Describe the sides, the reference first.

        Raises:
            ModelError: one of the models has no next words that a server would tell.
        """
        wanted = tuple(dict.fromkeys((c.target, c.model) for c in self._plan.cases))
        sides = []
        for (target, model), label in zip(wanted, labels(wanted), strict=True):
            sides.append(await describe_side(controls[target], model, label))
        first = self._reference(sides)
        self._sides = (sides[first], *sides[:first], *sides[first + 1 :])
        self._controls = {control.url: control for control in controls.values()}

    def _reference(self, sides: list[Side]) -> int:
        """The model that the scenario names, else the largest file; of several the first."""
        if self._asked.reference:
            return next(i for i, s in enumerate(sides) if s.model == self._asked.reference)
        return max(range(len(sides)), key=lambda i: (sides[i].size_bytes or 0, -i))

    async def measure(self, directory: RunDirectory) -> None:
        """Ask every side, and judge.

        Raises:
            NotComparable: the models have different tokenizers.
            BenchError: a server refuses, or cannot be reached.
        """
        for side in self._sides[1:]:
            await make_room(self._controls[side.url], side.model)
        await begin(
            directory,
            self._sides,
            self._asked.texts,
            self._plan.seed,
            lambda side: self._controls[side.url],
            self._on_step,
        )

    def interrupted(self, directory: RunDirectory) -> Interrupted:
        """What is kept, and how to go on."""
        return Interrupted(asked_so_far(directory), go_on(directory.path))
