"""The routes, and what every request goes through."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from bench.clock import Clock, RealClock
from bench.server import library
from bench.server.bodies import BadRequest, CompletionBody, read_completion
from bench.server.completion import Completion
from bench.server.engine import Engine, EngineFailure
from bench.server.eras import Era
from bench.server.http import Listener, Reply, Request
from bench.server.lines import ChatLines, GenerateLines, error_body
from bench.server.scheduler import Scheduler
from bench.server.settings import House, Settings
from bench.server.stream import Clocks, Wire
from bench.server.truth import TruthLog, TruthRecord, body_identity

_TEXT = "text/plain; charset=utf-8"
_NDJSON = "application/x-ndjson"

Route = Callable[["App", Request, Wire], Coroutine[Any, Any, None]]


class App:
    """One server: hand `listener` to `loop.create_server`."""

    def __init__(
        self,
        engine: Engine,
        era: Era,
        settings: Settings | None = None,
        *,
        clock: Clock | None = None,
        truth: TruthLog | None = None,
    ) -> None:
        settings = settings or Settings()
        clock = clock or RealClock()
        self.house = House(
            engine=engine,
            era=era,
            settings=settings,
            clock=clock,
            clocks=Clocks(clock.now_ns, time.time_ns() - clock.now_ns()),
            scheduler=Scheduler(
                engine,
                clock.now_ns,
                max_loaded=settings.max_loaded,
                max_queue=settings.max_queue,
            ),
            truth=truth or TruthLog(),
        )
        self.listener = Listener(
            handler=self.handle,
            now_ns=clock.now_ns,
            extra_headers=[("X-Ollama-Bench-Engine", engine.name)],
        )

    async def handle(self, request: Request, reply: Reply) -> None:
        """Answer one request, whatever it is."""
        record = TruthRecord(
            id=next(self.house.ids),
            peer=request.peer,
            method=request.method,
            path=request.path,
            body_sha256=body_identity(request.body),
            received_ns=request.received_ns,
        )
        wire = self._wire(reply, record)
        task = asyncio.current_task()
        assert task is not None
        reply.on_gone = task.cancel
        try:
            await _route(request)(self, request, wire)
        except EngineFailure as failure:
            wire.whole(failure.status, library.JSON, error_body(failure.message))
        except asyncio.CancelledError:
            if not reply.gone:
                reply.cut(reset=False)
        finally:
            record.end_ns = self.house.clocks.now_ns()
            record.status = reply.status
            record.gone = reply.gone
            self.house.truth.write(record)

    async def aclose(self) -> None:
        """Break off what is under way and unload everything."""
        self.listener.close_all()
        await self.house.scheduler.aclose()
        await self.house.engine.aclose()
        self.house.truth.close()

    def _wire(self, reply: Reply, record: TruthRecord) -> Wire:
        return Wire(reply, self.house.clocks, record)


def _route(request: Request) -> Route:
    method = "GET" if request.method == "HEAD" else request.method
    return _ROUTES.get((method, request.path), _no_such_page)


async def _no_such_page(app: App, request: Request, wire: Wire) -> None:
    wire.reply.send(404, "text/plain", b"404 page not found")


async def _root(app: App, request: Request, wire: Wire) -> None:
    wire.reply.send(200, _TEXT, b"Ollama is running")


async def _version(app: App, request: Request, wire: Wire) -> None:
    wire.reply.send(200, library.JSON, library.version(app.house))


async def _tags(app: App, request: Request, wire: Wire) -> None:
    wire.reply.send(200, library.JSON, library.tags(app.house))


async def _ps(app: App, request: Request, wire: Wire) -> None:
    wire.reply.send(200, library.JSON, library.ps(app.house))


async def _show(app: App, request: Request, wire: Wire) -> None:
    wire.reply.send(200, library.JSON, library.show(app.house, request.body))


async def _pull(app: App, request: Request, wire: Wire) -> None:
    lines = library.pull(app.house, request.body)
    if len(lines) == 1:
        wire.reply.send(200, library.JSON, lines[0])
        return
    wire.reply.begin(200, _NDJSON)
    for line in lines:
        wire.reply.write(line + b"\n")
    wire.reply.end()


async def _copy(app: App, request: Request, wire: Wire) -> None:
    library.copy(app.house, request.body)
    wire.reply.send(200, "", b"")


async def _delete(app: App, request: Request, wire: Wire) -> None:
    card = library.delete(app.house, request.body)
    await app.house.scheduler.expire(card)
    wire.reply.send(200, "", b"")


async def _chat(app: App, request: Request, wire: Wire) -> None:
    body = read_completion(request.body, chat=True)
    if not body.model:
        raise BadRequest("model is required")
    await _complete(app, request, body, wire)


async def _generate(app: App, request: Request, wire: Wire) -> None:
    await _complete(app, request, read_completion(request.body, chat=False), wire)


async def _complete(app: App, request: Request, body: CompletionBody, wire: Wire) -> None:
    wire.truth.model = body.model
    form = ChatLines(body.model) if body.messages is not None else GenerateLines(body.model)
    await Completion(app.house, request, body, form, wire).run()


_ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/"): _root,
    ("GET", "/api/version"): _version,
    ("GET", "/api/tags"): _tags,
    ("GET", "/api/ps"): _ps,
    ("POST", "/api/show"): _show,
    ("POST", "/api/pull"): _pull,
    ("POST", "/api/copy"): _copy,
    ("DELETE", "/api/delete"): _delete,
    ("POST", "/api/chat"): _chat,
    ("POST", "/api/generate"): _generate,
}
