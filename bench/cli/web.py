"""`run --web`: who starts the process that shows the run, and tells it where to look."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.children import module_command
from bench.cli.output import say
from bench.errors import UsageError
from bench.results.run import RunInfo


class Forwarding:
    """An observer that also tells the page where the run is written."""

    def __init__(self, observer: object, page: Any, output: Path) -> None:
        self._observer, self._page, self._output = observer, page, output.absolute()

    def run_started(self, info: RunInfo) -> None:
        """The directory is there: one line to the page, before anything is measured."""
        self._page.write(f"{self._output / info.id}\n")
        self._page.flush()
        begin = getattr(self._observer, "run_started", None)
        if begin is not None:
            begin(info)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._observer, name)


class LivePage:
    """The process of the page: what is written to it, and what it costs."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        assert child.stdin is not None
        self.write, self.flush = child.stdin.write, child.stdin.flush
        self._pid, self._begun_s = child.pid, 0.0
        self._begun_s = self.cpu_s()

    def cpu_s(self) -> float:
        """Seconds of CPU since it has been ready; 0 if the system does not say."""
        import psutil

        try:
            times = psutil.Process(self._pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system) - self._begun_s


@contextmanager
def web_page(port: int | None) -> Iterator[Any]:
    """Serve the page while this context lasts; gives what `Forwarding` writes to, or None.

    Args:
        port: 0 = any that is free; None = no page.

    Raises:
        UsageError: the port is taken.
    """
    if port is None:
        yield None
        return
    child = subprocess.Popen(
        [*module_command("bench.cli.web_server"), str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    bound = child.stdout.readline().strip()
    if not bound:
        child.wait()
        raise UsageError(f"--web {port}: this port is taken", "Give another one, or 0 for any.")
    say(f"live: http://127.0.0.1:{bound}/")
    try:
        yield LivePage(child)
    finally:
        child.stdin.close()
        spent = child.stdout.read().strip()
        child.wait()
        say(f"live: the page took {spent or '?'} s of CPU, in a process of its own")
