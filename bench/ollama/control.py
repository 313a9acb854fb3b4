"""The control calls: version, tags, show, ps, preload, unload and pull. Never on the timed path."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import msgspec

from bench.address import Address
from bench.errors import ModelError, NotOllama, ServerError
from bench.ollama.control_calls import ControlAnswer, ControlCalls
from bench.ollama.control_errors import not_ollama, refusal
from bench.ollama.error_bodies import error_value_text, json_error
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
from bench.ollama.reply_lines import UNREADABLE, excerpt, whole
from bench.wire.http_client import httpx
from bench.wire.proxies import proxy_for

T = TypeVar("T")

ENGINE_HEADER = "X-Ollama-Bench-Engine"
"""The embedded server says here which engine makes its numbers: `simulated` or `llama.cpp`."""

_PS_POLL_S = 0.05
_MAX_STATUS = 200


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


class Control(ControlCalls):
    """The control calls of one server.

    Args:
        url: of the server, with its base path if any; no credentials in it.
        headers, verify, proxy: as httpx takes them.
        transport: replaces the network (tests, Unix sockets).
        shown: the URL as messages name it; "" means as it is.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        verify: Any = True,
        transport: httpx.AsyncBaseTransport | None = None,
        proxy: str = "",
        shown: str = "",
    ) -> None:
        client = httpx.AsyncClient(
            base_url=f"{url.rstrip('/')}/",
            headers={"Accept-Encoding": "identity", **(headers or {})},
            verify=verify,
            transport=transport,
            proxy=proxy or None,
            trust_env=False,
        )
        super().__init__((shown or url).rstrip("/"), client, proxied=bool(proxy))

    @classmethod
    def of(cls, address: Address) -> Control:
        """The control calls of the server at an address."""
        root, headers = address.http_root
        if address.unix_socket:
            socket = httpx.AsyncHTTPTransport(uds=address.unix_socket)
            return cls(root, headers=headers, transport=socket, shown=address.url)
        verify: Any = address.tls_context() if address.scheme == "https" else False
        proxy = proxy_for(address)
        return cls(root, headers=headers, verify=verify, proxy=proxy, shown=address.url)

    async def version(self) -> ServerVersion:
        """Who answers at the address.

        Raises:
            ServerUnreachable: nobody.
            NotOllama: something else than Ollama.
        """
        answer = await self.ask("GET", "api/version")
        if answer.missing:
            raise not_ollama(self.url, f"it answers {answer.status} to /api/version")
        self._check(answer)
        version = parse_version(answer.body)
        # A version such as 0.32.15-ollama-bench.simulated names its engine, too.
        named = (e for e in ("simulated", "llama.cpp") if e in version.casefold())
        return ServerVersion(version, answer.headers.get(ENGINE_HEADER) or next(named, "ollama"))

    async def tags(self) -> tuple[InstalledModel, ...]:
        """The installed models."""
        return parse_tags(self._check(await self.ask("GET", "api/tags")).body)

    async def show(self, model: str) -> ShownModel:
        """One installed model; empty, and noted, where the server cannot tell.

        Raises:
            ModelError: it is not installed.
        """
        answer = await self.ask("POST", "api/show", {"model": model, "name": model})
        missing = answer.missing and not json_error(answer.body)
        what = "what the model was trained for and can do"
        return self._known(answer, missing, what, parse_show, model) or ShownModel()

    async def ps(self) -> tuple[ResidentModel, ...] | None:
        """The models in memory; None, and noted, where the server cannot tell.

        Never call it inside a measured phase: it can block.
        """
        answer = await self.ask("GET", "api/ps")
        what = "which models are in memory, with which context, and where"
        return self._known(answer, answer.missing, what, parse_ps)

    async def preload(
        self,
        model: str,
        options: Mapping[str, Any],
        keep_alive: str | int,
        timeout_s: float,
        *,
        embed: bool = False,
    ) -> int:
        """Get a model ready with these options, and return how long that took in nanoseconds.

        The server gives no durations for this, so the client's clock is used. The options must be
        those of the requests to come: other load-time options would make them reload.

        Raises:
            ModelError: the model cannot be loaded.
        """
        body = {"model": model, "options": dict(options), "keep_alive": keep_alive, "stream": False}
        path = "api/generate"
        if embed:  # a model that only embeds cannot generate
            path, body = "api/embed", {**body, "input": "ready"}
        answer = await self.ask("POST", path, body, timeout_s)
        self._check(answer, model)
        return answer.took_ns

    async def generate(self, body: Mapping[str, Any], timeout_s: float) -> bytes:
        """The reply to one whole request of `/api/generate`.

        Raises:
            BenchError: the server refuses, or cannot be reached.
        """
        answer = await self.ask("POST", "api/generate", dict(body), timeout_s)
        return self._check(answer, str(body["model"])).body

    async def unload(self, model: str, timeout_s: float = 60.0) -> None:
        """Unload a model and wait until `/api/ps` says it is gone, if it says anything.

        Raises:
            ServerError: it is still there after `timeout_s`.
        """
        body = {"model": model, "keep_alive": 0, "stream": False}
        self._check(await self.ask("POST", "api/generate", body), model)
        deadline = time.monotonic() + timeout_s
        while any(same_model(m.name, model) for m in await self.ps() or ()):
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{model} is still in memory {timeout_s:.0f} s after it was asked to unload",
                    "Is another client using it?",
                )
            await asyncio.sleep(_PS_POLL_S)

    async def pull(self, model: str) -> AsyncIterator[PullProgress]:
        """Pull a model, reporting progress.

        Raises:
            ModelError: it cannot be pulled.
        """
        asked = {"model": model, "name": model}
        check = partial(self._check, model=model)
        async with self.lines("api/pull", asked, check) as lines:
            async for line in lines:
                if line.strip():
                    yield _pull_progress(line, model)

    def _known(
        self,
        answer: ControlAnswer,
        missing: bool,
        what: str,
        parse: Callable[[bytes], T],
        model: str = "",
    ) -> T | None:
        """What a call says that no number needs; None, and noted, if it cannot be used."""
        why = f"{answer.path} answers {answer.status}"
        if not missing:
            try:
                return parse(self._check(answer, model).body)
            except NotOllama as error:
                why = error.message
        self._note(f"not known: {what} ({why})")
        return None

    def _check(self, answer: ControlAnswer, model: str = "") -> ControlAnswer:
        """The answer, if it is a success.

        Raises:
            BenchError: it is not; the message carries the server's own words.
        """
        if not answer.ok or json_error(answer.body):
            raise refusal(self.url, answer.path, answer.status, answer.body, model)
        return answer


def _pull_progress(line: bytes, model: str) -> PullProgress:
    try:
        said = msgspec.json.decode(line)
    except UNREADABLE:
        said = None
    if not isinstance(said, dict):
        raise NotOllama(f"the answer to /api/pull is not what Ollama sends: {excerpt(line[:60])}")
    if said.get("error"):
        raise ModelError(f"cannot pull {model}: {error_value_text(said['error'])}")
    return PullProgress(
        status=str(said.get("status", ""))[:_MAX_STATUS],
        digest=str(said.get("digest", ""))[:_MAX_STATUS],
        total=whole(said.get("total")),
        completed=whole(said.get("completed")),
    )
