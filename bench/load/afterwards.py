"""What is measured on the same servers when all blocks of a run have ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from bench.errors import BenchError, Interrupted
from bench.load.stop import Stop
from bench.ollama.control import Control
from bench.results.directory import RunDirectory


class Afterwards(Protocol):
    """What is measured when all blocks have run, on the same servers."""

    async def prepare(self, controls: Mapping[str, Control]) -> None:
        """Before the first block: refuse what cannot be measured.

        Raises:
            BenchError: the reason.
        """

    async def measure(self, directory: RunDirectory) -> None:
        """Measure into the run directory.

        Raises:
            BenchError: it cannot go on; what was measured is kept.
        """

    def interrupted(self, directory: RunDirectory) -> Interrupted:
        """What to say when it was stopped."""


async def run_afterwards(
    afterwards: Afterwards, directory: RunDirectory, stop: Stop
) -> BenchError | None:
    """Why it did not come to its end; None if it did."""

    async def whole() -> bool:
        await afterwards.measure(directory)
        return True

    try:
        ended = await stop.or_stopped(whole())
    except BenchError as error:
        return error
    return None if ended else afterwards.interrupted(directory)
