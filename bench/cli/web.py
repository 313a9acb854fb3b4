"""`run --web`: who starts the process that shows the run, and tells it where to look."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.children import module_command
from bench.cli.output import say
from bench.errors import UsageError
from bench.results.run import RunInfo


class Forwarding:
    """An observer that also tells the page where the run is written."""

    def __init__(self, observer: Any, page: LivePage, output: Path) -> None:
        self._observer, self._page, self._output = observer, page, output.absolute()

    def run_started(self, info: RunInfo) -> None:
        """The directory is there: one line to the page, before anything is measured."""
        self._page.show(self._output / info.id)
        self._observer.run_started(info)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._observer, name)


class LivePage:
    """The process of the page. Whatever becomes of it, the run goes on."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child, self._begun_s = child, 0.0
        self._begun_s = self.cpu_s()

    def show(self, run: Path) -> None:
        """Show this run directory from now on."""
        assert self._child.stdin is not None
        with suppress(OSError):
            self._child.stdin.write(f"{run}\n")
            self._child.stdin.flush()

    def cpu_s(self) -> float:
        """Seconds of CPU since it has been ready; 0 if the system does not say."""
        import psutil

        try:
            times = psutil.Process(self._child.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system) - self._begun_s


@contextmanager
def web_page(port: int | None) -> Iterator[LivePage | None]:
    """Serve the page while this context lasts.

    Args:
        port: 0 = any that is free; None = no page.

    Raises:
        UsageError: the port cannot be had.
    """
    if port is None:
        yield None
        return
    command = [*module_command("bench.cli.web_server"), str(port)]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        said = child.stdout.readline().strip()
        if not said.isdecimal():
            why = said or "its process did not start"
            raise UsageError(f"--web {port}: {why}", "Give another port, or 0 for any.")
        say(f"live: http://127.0.0.1:{said}/")
        try:
            yield LivePage(child)
        finally:
            with suppress(OSError):
                child.stdin.close()
            spent = child.stdout.read().strip()
            say(f"live: the page took {spent or '?'} s of CPU, in a process of its own")
