"""The truth log: when what was handed to the socket, on the machine's monotonic clock.

One JSON line a request, written when it has ended. A measuring client's records can be laid beside
it: `body_sha256` and `peer` say which request it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec

from bench.files import open_for_writing


@dataclass(slots=True, kw_only=True)
class TruthRecord:
    """What the server did for one request. Times are absolute CLOCK_MONOTONIC nanoseconds.

    Attributes:
        id: number of the request in the server's life, from 1; the job's id.
        peer: the client's address and port.
        body_sha256: of the request's body, first 16 hex digits.
        received_ns: the request was complete.
        loaded_ns: the model was there (end of load_duration).
        queued_ns, slot_ns: it began to wait for a slot, and got one.
        line_due_ns: for each line, when the engine meant it to be sent; 0 if unknown.
        line_sent_ns: for each line, right before it was handed to the socket.
        line_batch: for each line, how many sequences shared the step that made it.
        end_ns: the reply had ended, or the connection.
        status: HTTP status sent; 0 if none was.
        gone: the client went away first.
        fault: kind of the fault that was put in, "" if none.
        metrics: the numbers of the done line, as sent.
        prompt_tokens, cached_tokens: of the prompt, and how many of them were not evaluated again;
            known in every version, whatever the done line says. None if none was evaluated.
        load_ns: how long making room and loading the model took; None if it was loaded already,
            or another request had begun the load.
        unloaded: models that had to go first, the model's own name if it was loaded anew.
    """

    id: int
    peer: str
    method: str
    path: str
    body_sha256: str
    received_ns: int
    model: str = ""
    loaded_ns: int | None = None
    queued_ns: int | None = None
    slot_ns: int | None = None
    line_due_ns: list[int] = field(default_factory=list)
    line_sent_ns: list[int] = field(default_factory=list)
    line_batch: list[int] = field(default_factory=list)
    end_ns: int | None = None
    status: int = 0
    gone: bool = False
    fault: str = ""
    done_reason: str = ""
    metrics: dict[str, int] = field(default_factory=dict)
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    load_ns: int | None = None
    unloaded: list[str] = field(default_factory=list)


def body_identity(body: bytes) -> str:
    """First 16 hex digits of the body's SHA-256."""
    return hashlib.sha256(body).hexdigest()[:16]


class TruthLog:
    """Writes the records as requests end.

    They are appended to the file at `path`, if any, and kept in `records` with `keep`.
    """

    def __init__(self, path: Path | None = None, *, keep: bool = False) -> None:
        self.records: list[TruthRecord] = []
        self._keep = keep
        self._file: IO[bytes] | None = open_for_writing(path, append=True) if path else None
        self._encoder = msgspec.json.Encoder()

    def write(self, record: TruthRecord) -> None:
        """Log a record that is complete."""
        if self._keep:
            self.records.append(record)
        if self._file is not None:
            self._file.write(self._encoder.encode(record) + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def read_truth(path: Path) -> list[TruthRecord]:
    """The records of a truth log. A torn last line is left out.

    Raises:
        msgspec.DecodeError: a line is not a record.
    """
    complete, _, _ = path.read_bytes().rpartition(b"\n")
    return msgspec.json.Decoder(TruthRecord).decode_lines(complete)
