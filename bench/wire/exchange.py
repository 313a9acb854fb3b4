"""The seam between the load and the wire: a call goes in, a reply comes back, stamped.

A `Transport` sends one `Call` and resolves one future with one `Reply`. All stamps are absolute
CLOCK_MONOTONIC nanoseconds; whoever keeps the reply counts them from the start of the run.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncio  # what only reads records need not load it


class Outcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    HTTP_ERROR = "http_error"
    """A status other than 200."""
    STREAM_ERROR = "stream_error"
    """An error line under HTTP 200."""
    ABORTED = "aborted"
    """The reply ended properly, but without `done: true`."""
    MALFORMED = "malformed"
    """Not HTTP, not JSON, or not what Ollama sends."""
    TIMEOUT = "timeout"
    CONNECT_ERROR = "connect_error"
    DISCONNECTED = "disconnected"
    """The connection broke in mid-reply."""
    CANCELLED = "cancelled"
    """We stopped it (Ctrl-C, or the block's end)."""


@dataclass(frozen=True, slots=True)
class ServerTimings:
    """The done line's numbers, verbatim: nanoseconds and tokens. Absent is None, and is not 0."""

    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_cached_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request, encoded beforehand.

    Attributes:
        path: below the target's base path, e.g. "/api/chat".
        body: the JSON, encoded.
        stream: whether the body asks for a stream.
        keep_text: keep the output's text in the reply (off the timed path it costs memory only).
        connect_s, first_byte_s, idle_s, total_s: time-outs in seconds; the last one counts from
            sending to the last byte.
        method: of HTTP.
        dialect: makes what reads the lines of this call's reply.
        more_bytes: that a reply which is not streamed may have beyond the usual limit.
    """

    path: str
    body: bytes
    stream: bool = True
    keep_text: bool = False
    connect_s: float = 10.0
    first_byte_s: float = 600.0
    idle_s: float = 120.0
    total_s: float = 7200.0
    method: str = "POST"
    dialect: Callable[[Reply], ReplyLines] = field(kw_only=True)
    more_bytes: int = 0


MAX_NAMES_CHARS = 300
_NO_TIMINGS = ServerTimings()


@dataclass(slots=True)
class Reply:
    """What came back, filled while it comes.

    Attributes:
        outcome: how it ended; set exactly once, at the end.
        error: text of the error, bounded; "" if none.
        connect_ns: duration of opening the connection, if this call opened one; else None.
        sent_ns .. end_ns: see `bench.results.record.RequestRecord`.
        chunk_ns: arrival of every body line of a stream (absolute).
        text_chunks: lines with non-empty text of either kind.
        coalesced, user_stamps: see `WireCounters`.
        output_sha256: of thinking + NUL + answer, UTF-8; first 16 hex digits.
        answered_by: the model that the lines name; several, joined by ", ", if they differ.
        other_fields: what the done line holds besides what is read of it.
        tool_calls: how many tool calls the answer held.
        embeddings: how many vectors came.
        calls: the calls themselves, as they came, if the text is kept.
        odd: fields whose values could not be taken as they came, so are missing; "done" where the
            end was not marked as it should be.
    """

    outcome: Outcome | None = None
    error: str = ""
    status: int | None = None
    connect_ns: int | None = None
    sent_ns: int | None = None
    headers_ns: int | None = None
    first_chunk_ns: int | None = None
    first_thinking_ns: int | None = None
    first_answer_ns: int | None = None
    last_text_ns: int | None = None
    end_ns: int | None = None
    chunk_ns: array[int] = field(default_factory=lambda: array("q"))
    text_chunks: int = 0
    coalesced: int = 0
    user_stamps: int = 0
    done_reason: str | None = None
    server: ServerTimings = _NO_TIMINGS
    created_at_first: str = ""
    created_at_last: str = ""
    remote_model: str = ""
    answered_by: str = ""
    other_fields: dict[str, Any] = field(default_factory=dict)
    output_sha256: str = ""
    answer_chars: int = 0
    thinking_chars: int = 0
    tool_calls: int = 0
    embeddings: int | None = None
    calls: list[Any] = field(default_factory=list)
    answer: str | None = None
    thinking: str | None = None
    odd: tuple[str, ...] = ()

    def chunk(self, stamp: int) -> None:
        """A body line of a stream that counts came with the read at `stamp`."""
        chunk_ns = self.chunk_ns
        if not chunk_ns:
            self.first_chunk_ns = stamp
        elif chunk_ns[-1] == stamp:
            self.coalesced += 1
        chunk_ns.append(stamp)

    def answers(self, model: Any) -> None:
        """A line names a model that the line before it did not."""
        if isinstance(model, str) and model not in self.answered_by.split(", "):
            named = f"{self.answered_by}, {model}" if self.answered_by else model
            self.answered_by = named[:MAX_NAMES_CHARS]


class Trouble(NamedTuple):
    """What the bytes of a reply show to be wrong: the outcome, and the text of the error.

    After `Outcome.MALFORMED` nothing that follows is read.
    """

    outcome: Outcome
    error: str


class ReplyLines(Protocol):
    """A dialect's half of reading one reply: it fills the reply from the lines of the body.

    The other half, `bench.wire.reply_reader`, takes the body apart and holds its limits. What a
    dialect does not say otherwise reads nothing.
    """

    @property
    def size(self) -> int:
        """Bytes of text kept so far; they count against a limit."""
        return 0

    @property
    def takes_many(self) -> bool:
        """Whether `many` may be tried now."""
        return False

    def many(self, block: bytes, stamps: array[int]) -> bool:
        """Take several lines at once, or do nothing and return False: then each comes alone."""
        return False

    def line(self, data: bytes, stamp: int) -> Trouble | None:
        """Take a line of a stream, with its line end; blank ones come, too."""
        return None

    def whole(self, data: bytes) -> Trouble | None:
        """Take the body of a reply that is not streamed."""
        return None

    def end(self) -> Trouble | None:
        """The body has ended and nothing was wrong so far: say so if something is missing."""
        return None

    def http_error(self, status: int, body: bytes) -> str:
        """What the body of an answer with another status than 200 says, in one line."""
        return f"HTTP {status}"

    def close(self, keep: bool) -> None:
        """Complete the reply's text: length and hash, and the text itself if `keep`."""
        return


class Unread(ReplyLines):
    """Reads nothing: of some replies only that they come matters."""

    def __init__(self, _: Reply) -> None:
        return


@dataclass(slots=True)
class WireCounters:
    """What a transport counts about its own stamps, over all its calls.

    Attributes:
        reads: how often bytes were read from a socket.
        coalesced: body lines that shared a read with an earlier line, so share its stamp.
        user_stamps: reads that had to be stamped in user space though the kernel was asked.
        clock_steps: times the wall clock was set while kernel stamps were being converted.
        connections: connections opened.
        stale: idle connections the server had closed, found before or while using them.
    """

    reads: int = 0
    coalesced: int = 0
    user_stamps: int = 0
    clock_steps: int = 0
    connections: int = 0
    stale: int = 0


class Transport(Protocol):
    """Puts calls on the wire of one target."""

    name: str
    """`kernel`, `user`, `httpx` or `fake`."""

    counters: WireCounters

    async def open(self, connections: int) -> None:
        """Open connections beforehand, so that none is opened on the timed path.

        Raises:
            ServerUnreachable: nothing answers.
        """

    def send(self, call: Call) -> asyncio.Future[Reply]:
        """Send now; the future resolves when the reply has ended, whatever its outcome.

        It never raises: every failure is an outcome. Cancelling the future closes the connection
        at once; the reply so far can be had from `cancel`.
        """

    def cancel(self, future: asyncio.Future[Reply]) -> None:
        """End a call now: closes its connection, resolves the future as `cancelled`."""

    async def aclose(self) -> None:
        """Close every connection at once."""
