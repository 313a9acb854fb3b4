"""One control call over HTTP: bounded in time and size, and asked again where that may help.

A server that is busy, restarting or behind a gateway may cut or refuse a single call. Before and
between measurements there is time to ask again; that it was necessary is noted.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Self

from bench.errors import BenchError, NotOllama, ServerError
from bench.ollama.control_errors import explain, not_ollama, speaks_https
from bench.ollama.error_bodies import body_error
from bench.wire.http_client import httpx
from bench.wire.reply_reader import Inflate

MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of one answer, decompressed. The list of a thousand models has a quarter of that."""
MAX_LINE = 256 * 1024
"""Bytes of one line of a pull."""
QUICK_S = 10.0
"""How long a call that has nothing to compute may take in all, and a connection to be opened."""
_FIRST_LINE_S = 60.0
"""A pull says at once what it is going to do."""

ATTEMPTS = 4
_PAUSES_S = (0.25, 0.5, 1.0)
_LONGEST_PAUSE_S = 30.0
_TRY_AGAIN = frozenset({429, 502, 503, 504})
_MISSING = frozenset({404, 405, 501})


@dataclass(frozen=True, slots=True)
class ControlAnswer:
    """What a control call got; `took_ns`: the attempt that was answered, on the client's clock."""

    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    took_ns: int

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.status == httpx.codes.OK

    @property
    def missing(self) -> bool:
        """Whether the server does not know the call."""
        return self.status in _MISSING


class ControlCalls:
    """Asks a server.

    Attributes:
        notes: what a user should know although no call failed of it.
    """

    def __init__(self, url: str, client: httpx.AsyncClient, *, proxied: bool = False) -> None:
        self.url = url
        self._proxied = proxied
        self.notes: list[str] = []
        self._client = client
        self._sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self._answered = False
        self._probed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _explained(
        self, call: str, error: Exception, timeout_s: float, answered: bool
    ) -> BenchError:
        return explain(self.url, call, error, timeout_s, answered, self._proxied)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    async def ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> ControlAnswer:
        """The answer to one call, whatever its status; a redirect is none.

        `timeout_s` is for the whole of each attempt; None means `QUICK_S`.

        Raises:
            ServerUnreachable: there is none, or not in time.
            NotOllama: it is no HTTP, or endless.
            ServerError: it is a redirect.
        """
        timeout_s = QUICK_S if timeout_s is None else timeout_s
        first, call = "", f"{method} /{path}"
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = await self._once(method, path, body, timeout_s)
            except BenchError:
                raise
            except Exception as error:
                why = self._explained(call, error, timeout_s, self._answered)
                if await self._is_https(error):
                    secure = self.url.replace("http://", "https://", 1)
                    raise NotOllama(
                        f"{self.url} speaks https, not http",
                        f"Write its address with https:// ({secure}).",
                    ) from error
                if attempt == ATTEMPTS or not _passing(error):
                    raise why from error
                first = first or why.message
                pause_s = _PAUSES_S[attempt - 1]
            else:
                self._answered = True
                if attempt == ATTEMPTS or answer.status not in _TRY_AGAIN:
                    if first:
                        self._note(f"{call} was asked {attempt} times; the first time: {first}")
                    return answer
                first = first or body_error(answer.status, answer.body)
                pause_s = _wanted_pause_s(answer, _PAUSES_S[attempt - 1])
            await self._sleep(pause_s)
        raise AssertionError  # the last attempt returns or raises

    async def _is_https(self, error: Exception) -> bool:
        """Whether the server speaks https only; looked at once, for it may take seconds."""
        if self._answered or self._probed:
            return False
        self._probed = not isinstance(error, httpx.ConnectError)
        return await speaks_https(self._client.base_url, error)

    async def _once(
        self, method: str, path: str, body: dict[str, Any] | None, timeout_s: float
    ) -> ControlAnswer:
        start_ns = time.monotonic_ns()
        limits = httpx.Timeout(timeout_s, connect=min(timeout_s, QUICK_S))
        async with asyncio.timeout(timeout_s + 1.0):
            async with self._client.stream(method, path, json=body, timeout=limits) as response:
                if response.is_redirect:
                    to = response.headers.get("location", "another address")[:300]
                    raise ServerError(
                        f"{self.url} redirects to {to}",
                        "Redirects are not followed: name that address.",
                    )
                content = b"".join([piece async for piece in self._pieces(response, MAX_ANSWER)])
                took_ns = time.monotonic_ns() - start_ns
                return ControlAnswer(
                    f"/{path}", response.status_code, response.headers, content, took_ns
                )

    async def _pieces(self, response: httpx.Response, most: int) -> AsyncIterator[bytes]:
        """The body without its coding; none of its pieces is large, all of them are bounded."""
        coding, left = response.headers.get("content-encoding", "").strip().lower(), most
        try:
            inflate = Inflate(coding) if coding not in ("", "identity") else lambda data: (data,)
            async for data in response.aiter_raw():
                for plain in inflate(data):
                    left -= len(plain)
                    if left < 0:
                        more = f"its answer to {response.url.path} has more than {most >> 10} KiB"
                        raise not_ollama(self.url, more)
                    yield plain
        except ValueError as error:
            raise httpx.DecodingError(f"the answer is {error}") from error

    @asynccontextmanager
    async def lines(
        self, path: str, body: dict[str, Any], check: Callable[[ControlAnswer], Any]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of an answer that may take hours, silent for minutes.

        `check` raises if the answer is no success.
        """
        timeout = httpx.Timeout(QUICK_S, read=None)
        try:
            async with (
                asyncio.timeout(_FIRST_LINE_S) as limit,
                self._client.stream("POST", path, json=body, timeout=timeout) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    content = b"".join([p async for p in self._pieces(response, MAX_ANSWER)])
                    status, headers = response.status_code, response.headers
                    check(ControlAnswer(f"/{path}", status, headers, content, 0))
                limit.reschedule(None)
                yield self._split(response, path)
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:  # OSError: TLS, time-outs
            raise self._explained(f"POST /{path}", error, _FIRST_LINE_S, True) from error

    async def _split(self, response: httpx.Response, path: str) -> AsyncIterator[bytes]:
        rest = bytearray()
        async for data in self._pieces(response, sys.maxsize):
            first, *others = data.split(b"\n")
            rest += first
            for other in others:
                yield bytes(rest)
                rest[:] = other
            if len(rest) > MAX_LINE:
                raise not_ollama(self.url, f"a line of its answer to /{path} does not end")
        yield bytes(rest)


def _passing(error: Exception) -> bool:
    if isinstance(error, httpx.RemoteProtocolError):
        return "peer closed connection" in str(error) or "Server disconnected" in str(error)
    return isinstance(error, httpx.ReadError | httpx.WriteError | httpx.CloseError)


def _wanted_pause_s(answer: ControlAnswer, usual_s: float) -> float:
    """What Retry-After asks for in seconds or by a date (RFC 9110), within reason."""
    asked = answer.headers.get("retry-after", "")
    try:
        asked_s = float(asked)
    except ValueError:
        try:
            asked_s = parsedate_to_datetime(asked).timestamp() - time.time()
        except (ValueError, OverflowError, OSError):
            return usual_s
    return min(max(asked_s, usual_s), _LONGEST_PAUSE_S) if math.isfinite(asked_s) else usual_s
