"""The control calls: version, tags, show, ps, preload, unload and pull. Never on the timed path."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import msgspec

from bench.errors import ModelError, NotOllama, ServerError
from bench.ollama.address import Address
from bench.ollama.control_errors import MAX_ERROR, error_text, explain, model_error, not_ollama
from bench.ollama.http_client import httpx
from bench.ollama.names import same_model
from bench.ollama.replies import (
    InstalledModel,
    ResidentModel,
    ShownModel,
    parse_ps,
    parse_show,
    parse_tags,
    parse_version,
)

ENGINE_HEADER = "X-Ollama-Bench-Engine"
"""The embedded server says here which engine makes its numbers: `simulated` or `llama.cpp`."""

_QUICK = httpx.Timeout(10.0)
_PS_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """Who answers.

    Attributes:
        version: as `/api/version` says.
        engine: "ollama", or the engine of the embedded server.
    """

    version: str
    engine: str = "ollama"

    @property
    def simulated(self) -> bool:
        """True if the server makes its numbers up."""
        return self.engine == "simulated"


@dataclass(frozen=True, slots=True)
class PullProgress:
    """One line of a pull: bytes are of the layer with this digest."""

    status: str
    digest: str = ""
    total: int | None = None
    completed: int | None = None


class Control:
    """The control calls of one server.

    Args:
        url: of the server, with its base path if any; no credentials in it.
        headers: sent with every call (authentication).
        verify: how to check a certificate, as httpx takes it.
        transport: replaces the network (tests, Unix sockets).
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        verify: Any = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")  # as messages name it
        self._client = httpx.AsyncClient(
            base_url=f"{self.url}/",
            headers=dict(headers or {}),
            verify=verify,
            transport=transport,
            timeout=_QUICK,
        )

    @classmethod
    def of(cls, address: Address) -> Control:
        """The control calls of the server at an address."""
        secret = address.authorization
        headers = {"Authorization": secret} if secret else {}
        verify: Any = address.tls_context() if address.scheme == "https" else False
        if not address.unix_socket:
            return cls(address.url, headers=headers, verify=verify)
        socket = httpx.AsyncHTTPTransport(uds=address.unix_socket)
        control = cls(f"http://localhost{address.base_path}", headers=headers, transport=socket)
        control.url = address.url
        return control

    async def __aenter__(self) -> Control:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def version(self) -> ServerVersion:
        """Who answers at the address.

        Raises:
            ServerUnreachable: nobody.
            NotOllama: something else than Ollama.
        """
        response = await self._request("GET", "api/version")
        if response.status_code in (404, 405, 501):
            raise not_ollama(self.url, f"it answers {response.status_code} to /api/version")
        self._check(response)
        version = parse_version(response.content)
        engine = response.headers.get(ENGINE_HEADER) or _engine_in(version)
        return ServerVersion(version=version, engine=engine)

    async def tags(self) -> tuple[InstalledModel, ...]:
        """The installed models."""
        response = self._check(await self._request("GET", "api/tags"))
        return parse_tags(response.content)

    async def show(self, model: str) -> ShownModel:
        """One installed model.

        Raises:
            ModelError: it is not installed.
        """
        response = await self._request("POST", "api/show", {"model": model, "name": model})
        return parse_show(self._check(response, model).content)

    async def ps(self) -> tuple[ResidentModel, ...]:
        """The models in memory. Never call it inside a measured phase: it can block."""
        response = self._check(await self._request("GET", "api/ps"))
        return parse_ps(response.content)

    async def preload(
        self, model: str, options: Mapping[str, Any], keep_alive: str | int, timeout_s: float
    ) -> int:
        """Get a model ready with these options, and return how long that took in nanoseconds.

        The server gives no durations for this, so the client's clock is used. The options must be
        those of the requests to come: other load-time options would make them reload.

        Raises:
            ModelError: the model cannot be loaded.
        """
        body = {"model": model, "options": dict(options), "keep_alive": keep_alive, "stream": False}
        start = time.monotonic_ns()
        response = await self._request("POST", "api/generate", body, timeout_s)
        took = time.monotonic_ns() - start
        self._check(response, model)
        return took

    async def unload(self, model: str, timeout_s: float = 60.0) -> None:
        """Unload a model and wait until `/api/ps` says it is gone.

        Raises:
            ServerError: it is still there after `timeout_s`.
        """
        body = {"model": model, "keep_alive": 0, "stream": False}
        self._check(await self._request("POST", "api/generate", body), model)
        deadline = time.monotonic() + timeout_s
        while any(same_model(m.name, model) for m in await self.ps()):
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{model} is still in memory {timeout_s:.0f} s after it was asked to unload",
                    "Is another client using it?",
                )
            await asyncio.sleep(_PS_POLL_S)

    async def pull(self, model: str) -> AsyncIterator[PullProgress]:
        """Pull a model, telling the progress.

        Raises:
            ModelError: it cannot be pulled.
        """
        async with self._stream("api/pull", {"model": model, "name": model}) as response:
            if response.status_code != httpx.codes.OK:
                await response.aread()
                self._check(response, model)
            async for line in response.aiter_lines():
                if line.strip():
                    yield _pull_progress(line, model)

    @asynccontextmanager
    async def _stream(self, path: str, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        # No time limit between lines: verifying a large layer is silent for minutes.
        timeout = httpx.Timeout(10.0, read=None)
        try:
            async with self._client.stream("POST", path, json=body, timeout=timeout) as response:
                yield response
        except httpx.TransportError as error:
            raise explain(self.url, error) from error

    async def _request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        timeout = _QUICK if timeout_s is None else httpx.Timeout(timeout_s, connect=10.0)
        try:
            response = await self._client.request(method, path, json=body, timeout=timeout)
        except (httpx.TransportError, httpx.InvalidURL, httpx.DecodingError) as error:
            raise explain(self.url, error) from error
        if response.is_redirect:
            to = response.headers.get("location", "another address")
            raise ServerError(
                f"{self.url} redirects to {to}", "Redirects are not followed: name that address."
            )
        return response

    def _check(self, response: httpx.Response, model: str = "") -> httpx.Response:
        """The response, if it is a success.

        Raises:
            BenchError: it is not; the message carries the server's own words.
        """
        if response.status_code == httpx.codes.OK:
            return response
        said = error_text(response.content) or response.reason_phrase
        if response.status_code in (401, 403, 407):
            raise ServerError(
                f"{self.url} refuses access ({response.status_code} {said})",
                "If a proxy asks for a password or token, give it in the environment: see "
                "`ollama-bench run --help`. A bare 403 is also Ollama's answer to a Host header "
                "it does not expect.",
            )
        if model:
            raise model_error(model, response.status_code, said)
        raise ServerError(
            f"{self.url} answers {response.status_code} to {response.url.path}: {said}"
        )


def _pull_progress(line: str, model: str) -> PullProgress:
    try:
        said = msgspec.json.decode(line)
    except msgspec.DecodeError:
        said = None
    if not isinstance(said, dict):
        raise NotOllama(f"the answer to /api/pull is not what Ollama sends: {line[:60]!r}")
    if said.get("error"):
        raise ModelError(f"cannot pull {model}: {str(said['error'])[:MAX_ERROR]}")
    return PullProgress(
        status=str(said.get("status", "")),
        digest=str(said.get("digest", "")),
        total=said.get("total"),
        completed=said.get("completed"),
    )


def _engine_in(version: str) -> str:
    """The engine in a version like `0.32.15-ollama-bench.simulated`; "ollama" if it names none."""
    mark = version.casefold()
    return next((e for e in ("simulated", "llama.cpp") if e in mark), "ollama")
