"""Fidelity after the blocks of a run: of its models, on its servers, in its run directory."""

from __future__ import annotations

from collections.abc import Mapping

from bench.commands.fidelity import asked_so_far, begin, labels
from bench.commands.fidelity_asking import OnStep
from bench.errors import Interrupted
from bench.load.word_by_word import describe_side, make_room
from bench.ollama.control import Control
from bench.results.directory import RunDirectory
from bench.results.fidelity_files import Side, go_on
from bench.scenario.plan import Plan


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
