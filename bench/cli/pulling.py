"""The progress bars of a model that is being pulled."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from bench.ollama.control import PullProgress


class PullBar:
    """One bar a layer; to be called with every step of a pull."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            console=console,
        )
        self._layers: dict[str, TaskID] = {}
        self._status = ""

    def __call__(self, model: str, step: PullProgress) -> None:
        """Show a step; the bars end with the server's "success"."""
        if step.status == "success":
            self._progress.stop()
            return
        if step.digest and step.total:
            self._progress.start()
            self._bar(model, step)
        elif step.status != self._status:
            self._status = step.status
            self._progress.console.print(f"{model}: {step.status}")

    def _bar(self, model: str, step: PullProgress) -> None:
        if step.digest not in self._layers:
            name = f"{model} {step.digest.removeprefix('sha256:')[:12]}"
            self._layers[step.digest] = self._progress.add_task(name, total=step.total)
        self._progress.update(self._layers[step.digest], completed=step.completed or 0)
