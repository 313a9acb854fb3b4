"""The run directory of a fidelity run.

fidelity-setup.json   which models, texts and places (`FidelitySetup`); written first
places.jsonl          a line for each place that was asked, appended as it ends
gates.jsonl           a line for each question of "is it broken?", likewise
fidelity.json         the result
fidelity.html         the report

What cannot be written or read raises `ResultsError`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.errors import ResultsError
from bench.files import read_file
from bench.results.directory import RUN_FILE, RunDirectory
from bench.scenario.plan import ForcedText

T = TypeVar("T")

SETUP_FILE = "fidelity-setup.json"
PLACES_FILE = "places.jsonl"
GATES_FILE = "gates.jsonl"
RESULT_FILE = "fidelity.json"
PAGE_FILE = "fidelity.html"
SCHEMA = 1

AGAIN = -1
"""In place of a side's number: the reference asked again, in another order."""
REFERENCE = 0
ENOUGH = 8
"""Places that tell whether two models have one tokenizer."""


@dataclass(frozen=True, slots=True)
class Side:
    """A model as it was found on its server.

    Attributes:
        label: how it is called in the report; unique.
        engine: "ollama", or the engine of the embedded server.
    """

    label: str
    model: str
    url: str
    version: str = ""
    engine: str = "ollama"
    digest: str = ""
    size_bytes: int | None = None
    quantization: str = ""
    parameter_size: str = ""


@dataclass(frozen=True, slots=True)
class FidelitySetup:
    """What is asked.

    Attributes:
        sides: the reference first.
        identity: hash of texts and places.
        again: how many places of the reference are asked again, for the noise floor.
    """

    schema: int
    id: str
    created_at: str
    tool_version: str
    sides: tuple[Side, ...]
    texts: tuple[ForcedText, ...]
    identity: str
    num_ctx: int
    seed: int
    again: int

    @property
    def simulated(self) -> bool:
        """Whether any of the numbers are invented."""
        return any(side.engine == "simulated" for side in self.sides)


@dataclass(frozen=True, slots=True)
class PlaceRecord:
    """What one side said at one place.

    Attributes:
        side: number of the side, or `AGAIN`.
        text: number of the text.
        cut: characters of the text before the place.
        tokens: likeliest tokens with their log-probabilities.
        prompt_tokens: as the server counts.
        missing: why there are no tokens.
    """

    side: int
    text: int
    cut: int
    tokens: tuple[tuple[str, float], ...] = ()
    prompt_tokens: int | None = None
    missing: str = ""

    @property
    def key(self) -> tuple[int, int, int]:
        """What it is about."""
        return self.side, self.text, self.cut


@dataclass(frozen=True, slots=True)
class GateRecord:
    """What one side answered to a question of `bench.scenario.gates`.

    Attributes:
        side: number of the side.
        gate: value of the `Gate`.
        number: tells it from the others of its gate.
        asked: the question, as reports name it.
        ended: as the server says: "stop", "length".
        error: why there is no answer.
    """

    side: int
    gate: str
    number: int
    asked: str
    answer: str
    ended: str = ""
    error: str = ""

    @property
    def key(self) -> tuple[int, str, int]:
        """What it is about."""
        return self.side, self.gate, self.number


def fidelity_alone(path: Path) -> bool:
    """Whether a directory is of `ollama-bench fidelity`, not of a scenario's run."""
    return (path / SETUP_FILE).is_file() and not (path / RUN_FILE).exists()


def go_on(path: Path) -> str:
    """How to go on with a run, in words."""
    return f"Go on with: ollama-bench fidelity --resume {path}"


def write_setup(directory: RunDirectory, setup: FidelitySetup) -> None:
    """Write what is going to be asked."""
    text = msgspec.json.format(msgspec.json.encode(setup), indent=2)
    directory.write_file(SETUP_FILE, text + b"\n")


def read_setup(path: Path) -> FidelitySetup:
    """Read it back."""
    file = path / SETUP_FILE
    try:
        setup = msgspec.json.decode(read_file(file), type=FidelitySetup)
    except (FileNotFoundError, NotADirectoryError):
        raise ResultsError(
            f"{path} is no directory of a fidelity run (no {SETUP_FILE})",
            "`ollama-bench fidelity` prints its directory as its last line.",
        ) from None
    except OSError as error:
        raise ResultsError(f"cannot read {file}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise ResultsError(f"{file} is not what ollama-bench writes: {error}") from None
    if setup.schema > SCHEMA:
        raise ResultsError(f"{file} is of a later version of ollama-bench", "Upgrade it.")
    return setup


def read_places(path: Path) -> list[PlaceRecord]:
    """What was measured so far; a line that a kill tore is left out, and asked again."""
    return _lines(path / PLACES_FILE, PlaceRecord)


def read_gates(path: Path) -> list[GateRecord]:
    """What was answered so far, likewise."""
    return _lines(path / GATES_FILE, GateRecord)


def _lines(file: Path, kind: type[T]) -> list[T]:
    found: list[T] = []
    try:
        for line in read_file(file).split(b"\n"):
            with suppress(msgspec.DecodeError):
                found.append(msgspec.json.decode(line, type=kind))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ResultsError(f"cannot read {file}: {error.strerror}") from None
    return found
