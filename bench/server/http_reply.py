"""One request of a client, and the reply to it, whole or as a stream, framed as Go frames it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.server.http import ClientConnection

# Up to this size Go sends a body with its length; a longer one goes out in chunks.
_GO_BUFFER = 2048
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    """One request, complete with its body; `old`: in HTTP/1.0, which knows no chunks."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    peer: str
    received_ns: int
    old: bool


class ServerReply:
    """What goes back on one request.

    Attributes:
        on_gone: called once if the client goes away before the reply has ended.
        gone: the client has gone; writing does nothing any more.
        started: bytes of this reply have been handed to the socket.
        ended: the reply is complete.
    """

    def __init__(self, connection: ClientConnection, request: Request, keep: bool) -> None:
        self._connection = connection
        self._keep, self._old = keep, request.old
        self._head_only = request.method == "HEAD"
        self._head = b""
        self.status = 0
        self.started = False
        self.ended = False
        self.gone = False
        self.on_gone: Callable[[], object] | None = None

    def send(self, status: int, content_type: str, body: bytes, *, allow: str = "") -> None:
        """The whole reply: with its length if it is short, in chunks otherwise, as Go does.

        `allow` lists the methods that would be right, if this one is wrong.
        """
        if len(body) > _GO_BUFFER and not self._head_only:
            self.begin(status, content_type)
            self.write(body)
            self.end()
            return
        self.status = status
        head = self._headers(content_type, len(body), allow)
        self._put(head if self._head_only else head + body)
        self._finish()

    def begin(self, status: int, content_type: str) -> None:
        """Start a stream; nothing is sent before the first `write`."""
        self.status = status
        self._keep = self._keep and not self._old  # whose end is that of the connection
        self._head = self._headers(content_type, None)

    def write(self, data: bytes) -> None:
        """One chunk, in one write to the socket."""
        self.raw(self.frame(data))

    def frame(self, data: bytes) -> bytes:
        """The chunk as it goes to the socket, after the head if that has not gone out yet."""
        head, self._head = self._head, b""
        return head + data if self._old else b"%s%x\r\n%s\r\n" % (head, len(data), data)

    def raw(self, data: bytes) -> None:
        """Bytes for the socket, framed already."""
        if not self.ended:
            self._put(data)

    def end(self) -> None:
        """The stream is complete."""
        if self.ended:
            return
        head, self._head = self._head, b""
        self._put(head if self._old else head + b"0\r\n\r\n")
        self._finish()

    def cut(self, *, reset: bool) -> None:
        """Break the connection off: with a reset, or with a plain end of the bytes."""
        self.ended = True
        self._connection.cut(reset=reset)

    def lose(self) -> None:
        """The client has gone (called by the connection)."""
        self.gone = self.ended = True
        if self.on_gone is not None:
            self.on_gone()

    def _headers(self, content_type: str, length: int | None, allow: str = "") -> bytes:
        """Status line and headers, in Go's order.

        Without a length the body comes in chunks, or (HTTP/1.0) until the connection ends.
        """
        connection = ("keep-alive", "") if self._old else ("", "close")
        headers = {
            "Allow": allow,
            "Content-Type": content_type,
            **self._connection.listener.extra_headers,
            "Date": formatdate(usegmt=True),
            "Content-Length": "" if length is None else str(length),
            "Connection": connection[0 if self._keep else 1],
            "Transfer-Encoding": "chunked" if length is None and not self._old else "",
        }
        version, status = "1.0" if self._old else "1.1", self.status
        # Go has no words for what gateways made up.
        reason = _REASONS.get(status, f"status code {status}")
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
        return f"HTTP/{version} {status} {reason}\r\n{lines}\r\n".encode("latin-1")

    def _put(self, data: bytes) -> None:
        self.started = True
        self._connection.put(data)

    def _finish(self) -> None:
        self.ended = True
        self._connection.replied(self._keep)
