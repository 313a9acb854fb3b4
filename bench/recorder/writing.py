"""Writes recorded calls as lines of a file, in a thread of its own: passing on never waits."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import ResultsError, UsageError
from bench.hidden import scrub_all
from bench.recorder.exchange import Exchange
from bench.recorder.model_calls import ModelCall, read_call
from bench.recorder.threads import ThreadPlace, Threads
from bench.results.journal import Journal
from bench.scenario.session_files.recorded import MARK, VERSION

_PRIVATE = 0o600
MOST_WAITING = 256
"""Exchanges that may wait to be written; more are not recorded, and that is said."""


@dataclass(slots=True)
class Tally:
    """What has been recorded.

    Attributes:
        requests, sessions: written.
        passed: requests that are no calls of a model, or none that could be read.
        cut: calls of which the answer did not come to its end.
        lost: calls that could not be recorded.
        error: why the file cannot be written any more, "" = it can.
    """

    requests: int = 0
    sessions: int = 0
    passed: int = 0
    cut: int = 0
    lost: int = 0
    error: str = ""


class Writer:
    """A file of sessions that is being recorded.

    Without text, only hashes and lengths of messages are kept.

    Raises:
        UsageError: the file exists or cannot be made.
    """

    def __init__(self, path: Path, *, with_text: bool = True) -> None:
        self.tally = Tally()
        self._with_text = with_text
        self._threads = Threads()
        self._sessions: set[str] = set()
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)
        try:
            # Conversations are private: nobody else on the machine reads them.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE))
        except FileExistsError:
            raise UsageError(f"{path} exists already", "give another name with -o") from None
        except OSError as error:
            raise UsageError(
                f"{path} cannot be written: {error.strerror}", "give another name with -o"
            ) from None
        self._file = Journal(path)
        self._worker = ThreadPoolExecutor(1, "record")

    def take(self, exchange: Exchange) -> None:
        """Record an exchange, soon."""
        if not self._waiting.acquire(blocking=False):
            self.tally.lost += 1
            return
        self._worker.submit(self._write, exchange)

    def close(self) -> None:
        """Write what waits, and close the file."""
        self._worker.shutdown(wait=True)
        try:
            self._file.close()
        except ResultsError as error:  # it was deleted meanwhile
            self.tally.error, self.tally.lost = error.message, self.tally.requests

    def _write(self, exchange: Exchange) -> None:
        place = None
        try:
            call = read_call(exchange)
            if call is None or not call.messages:
                self.tally.passed += 1
                return
            place = self._threads.place(call.messages, call.tools)
            exchange.complete = exchange.complete and call.ended
            self._file.append(self._line(exchange, call, place))
            self.tally.requests += 1
            self.tally.cut += not exchange.complete
            self._sessions.add(place.session)
            self.tally.sessions = len(self._sessions)
        except Exception as error:  # what cannot be written is counted, never lost in silence
            self.tally.error = f"{type(error).__name__}: {error}"
            if isinstance(error, ResultsError):
                self.tally.error = error.message
            self.tally.lost += 1
            if place is not None:
                self._threads.forget(place.session)
        finally:
            self._waiting.release()

    def _line(self, exchange: Exchange, call: ModelCall, place: ThreadPlace) -> dict[str, Any]:
        new = call.messages[place.new :]
        answered = exchange.answered_at_s
        line: dict[str, Any] = {
            MARK: VERSION,
            "session": place.session,
            "fresh": place.fresh,
            "kind": "tool" if new and new[-1].get("role") == "tool" else "user",
            "at": _time(exchange.at_s),
            "answered_at": None if answered is None else _time(answered),
            "complete": exchange.complete,
            "path": exchange.path,
            "model": call.model,
            "prompt_tokens": call.prompt_tokens,
            "cached_tokens": call.cached_tokens,
            "output_tokens": call.output_tokens,
        }
        if not self._with_text:
            values = (call.tools or [], *call.messages)
            lengths = [len(msgspec.json.encode(value)) for value in values]
            return line | {"hashes": list(zip(place.hashes, lengths, strict=True))}
        if place.tools_changed:
            line["tools"] = scrub_all(call.tools or [])
        line["messages"] = scrub_all(new, kept=("images",))
        return line | {"answer": scrub_all(call.answer, kept=("images",))}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
