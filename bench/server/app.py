"""The routes, and what every request goes through."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import unquote

from bench.clock import Clock
from bench.server import library, openai
from bench.server.bodies import BadRequest, check_top_logprobs, read_completion, read_object
from bench.server.completion import Completion
from bench.server.embedding import embed, find_for_embedding, normalised, read_embed
from bench.server.engine import DEFECT, Engine, EngineFailure
from bench.server.eras import EmulatedVersion
from bench.server.faults import FaultPlan
from bench.server.faulty_wire import FaultyWire
from bench.server.go import dumps
from bench.server.http import Listener
from bench.server.http_reply import Request, ServerReply
from bench.server.lines import ChatLines, GenerateLines, error_body
from bench.server.local_only import may_ask
from bench.server.openai_events import JSON as JSON_V1
from bench.server.openai_events import ChatEvents, TextEvents
from bench.server.scheduler import Scheduler
from bench.server.settings import ServerSettings, ServerState
from bench.server.stream import Clocks, Wire
from bench.server.truth import TruthLog, TruthRecord, body_identity

_log = logging.getLogger(__name__)
_TEXT = "text/plain; charset=utf-8"
_NDJSON = "application/x-ndjson"
_V1 = "/v1/"
_FAULTY_PATHS = ("/api/chat", "/api/generate", "/v1/chat/completions", "/v1/completions")
_V1_MODEL = "/v1/models/"

Body = TypeVar("Body")
Extra = TypeVar("Extra")
Route = Callable[["App", Request, Wire], Coroutine[Any, Any, None]]


class App:
    """One server: hand `listener` to `loop.create_server`.

    Attributes:
        refuse: refuses new connections for so many seconds; set by whoever listens.
        loopback: it listens on a loopback address, so only this machine's names for itself will do
            as Host; set by whoever listens.
    """

    def __init__(
        self,
        engine: Engine,
        era: EmulatedVersion,
        settings: ServerSettings,
        *,
        clock: Clock,
        truth: TruthLog,
        faults: FaultPlan,
    ) -> None:
        self.state = ServerState(
            engine=engine,
            era=era,
            settings=settings,
            clock=clock,
            clocks=Clocks(clock.now_ns, time.time_ns() - clock.now_ns()),
            scheduler=Scheduler(
                *(engine, clock.now_ns, settings.keep_alive_ns),
                *(settings.max_loaded, settings.max_queue),
            ),
            truth=truth,
        )
        self.refuse: Callable[[float], None] = lambda seconds: None
        self.loopback = False
        self._faults = faults
        self.listener = Listener(
            handler=self.handle,
            now_ns=clock.now_ns,
            extra_headers={"X-Ollama-Bench-Engine": engine.name},
        )

    async def handle(self, request: Request, reply: ServerReply) -> None:
        """Answer one request, whatever it is."""
        record = TruthRecord(
            id=next(self.state.ids),
            peer=request.peer,
            method=request.method,
            path=request.path,
            body_sha256=body_identity(request.body),
            received_ns=request.received_ns,
        )
        wire = self._wire(request, reply, record)
        task = asyncio.current_task()
        assert task is not None
        reply.on_gone = task.cancel
        try:
            if not may_ask(request.headers, self.loopback):
                wire.reply.send(403, "", b"")
            elif not (isinstance(wire, FaultyWire) and wire.strike_first(self.refuse)):
                await _route(request)(self, request, wire)
            await wire.drained()
        except EngineFailure as failure:
            _refuse(request, wire, failure)
        except asyncio.CancelledError:
            if not reply.ended:
                reply.cut(reset=False)
        except Exception:  # a defect of ours: say so, and go on serving
            _log.exception("%s %s", request.method, request.path)
            if reply.started:
                reply.cut(reset=True)
            else:
                _refuse(request, wire, EngineFailure(DEFECT))
        finally:
            record.end_ns = self.state.clocks.now_ns()
            record.status = reply.status
            record.gone = reply.gone
            self.state.truth.write(record)

    async def aclose(self) -> None:
        """Break off what is under way and unload everything."""
        await self.listener.aclose()
        await self.state.scheduler.aclose()
        await self.state.engine.aclose()
        self.state.truth.close()

    def _wire(self, request: Request, reply: ServerReply, record: TruthRecord) -> Wire:
        clocks = self.state.clocks
        fault = self._faults.next() if request.path in _FAULTY_PATHS else None
        return FaultyWire(reply, clocks, record, fault) if fault else Wire(reply, clocks, record)


def _refuse(request: Request, wire: Wire, failure: EngineFailure) -> None:
    """Answer with an error, in the words of the path."""
    if request.path.startswith(_V1):
        body = openai.error_body(failure.status, failure.message)
        if failure.before_v1:
            wire.whole(failure.status, library.JSON, body.rstrip())
        else:
            wire.whole(failure.status, JSON_V1, body)
    elif failure.in_stream:
        wire.reply.begin(failure.status, "application/json")
        wire.reply.write(error_body(failure.message))
        wire.reply.end()
    else:
        wire.whole(failure.status, library.JSON, error_body(failure.message))


def _route(request: Request) -> Route:
    path = _V1_MODEL if request.path.startswith(_V1_MODEL) else request.path
    methods = ["HEAD"] if path in _WITH_HEAD else []
    methods += [method for method, known in _ROUTES if known == path]
    if not methods:
        return _sent(lambda _: b"404 page not found", "text/plain", 404)
    if request.method not in methods:
        wrong = "text/plain", 405, ", ".join(methods)
        return _sent(lambda _: b"405 method not allowed", *wrong)
    return _ROUTES["GET" if request.method == "HEAD" else request.method, path]


def _sent(
    made: Callable[[ServerState], bytes],
    kind: str = library.JSON,
    status: int = 200,
    allow: str = "",
) -> Route:
    """A route whose whole reply is made at once."""

    async def answer(app: App, request: Request, wire: Wire) -> None:
        wire.reply.send(status, kind, made(app.state), allow=allow)

    return answer


async def _show(app: App, request: Request, wire: Wire) -> None:
    wire.reply.send(200, library.JSON, library.show(app.state, request.body))


async def _pull(app: App, request: Request, wire: Wire) -> None:
    lines = library.pull(app.state, request.body)
    if len(lines) == 1:
        wire.reply.send(200, library.JSON, lines[0])
        return
    wire.reply.begin(200, _NDJSON)
    for line in lines:
        wire.reply.write(line + b"\n")
    wire.reply.end()


async def _copy(app: App, request: Request, wire: Wire) -> None:
    library.copy(app.state, request.body)
    wire.reply.send(200, "", b"")


async def _delete(app: App, request: Request, wire: Wire) -> None:
    library.delete(app.state, request.body)
    wire.reply.send(200, "", b"")


async def _chat(app: App, request: Request, wire: Wire) -> None:
    body = read_completion(request.body, chat=True)
    if not body.model:
        raise BadRequest("model is required")
    await Completion(app.state, request, body, ChatLines(body.model), wire).run()


async def _generate(app: App, request: Request, wire: Wire) -> None:
    body = read_completion(request.body, chat=False)
    await Completion(app.state, request, body, GenerateLines(body.model), wire).run()


async def _create(app: App, request: Request, wire: Wire) -> None:
    raise EngineFailure("this server makes no models: give them to it when it starts", 404)


async def _embed(app: App, request: Request, wire: Wire) -> None:
    value, inputs = read_embed(request.body)
    dimensions = value.of("dimensions", int, 0)
    card = find_for_embedding(app.state, value, wire.truth)
    done = await embed(app.state, request, card, value, inputs, wire.truth)
    vectors = [normalised(vector, dimensions) for vector in done.vectors]
    metrics = {
        "total_duration": done.total_ns,
        "load_duration": done.load_ns,
        "prompt_eval_count": done.prompt_n,
    }
    wire.truth.metrics = metrics
    entry: dict[str, Any] = {"model": value.of("model", str, ""), "embeddings": vectors}
    entry |= {k: v for k, v in metrics.items() if v}
    wire.whole(200, library.JSON, dumps(entry).encode())


async def _embeddings(app: App, request: Request, wire: Wire) -> None:
    value = read_object(request.body, "api.EmbeddingRequest")
    text = value.of("prompt", str, "")
    if not value.of("model", str, ""):
        raise BadRequest("model is required")
    card = find_for_embedding(app.state, value, wire.truth)
    inputs = [text] if text else []
    done = await embed(app.state, request, card, value, inputs, wire.truth, refusal=500)
    vectors: list[Any] = [vector.astype(float) for vector in done.vectors]
    wire.whole(200, library.JSON, dumps({"embedding": vectors[0] if vectors else []}).encode())


def _read_v1(read: Callable[[bytes], tuple[Body, Extra]], request: Request) -> tuple[Body, Extra]:
    """A body of /v1, which is turned into one of Ollama's before its handler sees it."""
    try:
        if not request.body.strip():
            raise BadRequest("EOF")
        return read(request.body)
    except BadRequest as failure:
        failure.before_v1 = True
        raise


async def _v1_model(app: App, request: Request, wire: Wire) -> None:
    name = unquote(request.path.removeprefix(_V1_MODEL))
    wire.reply.send(200, JSON_V1, openai.one_model(library.shown(app.state, name), name))


async def _v1_chat(app: App, request: Request, wire: Wire) -> None:
    body, usage = _read_v1(openai.read_chat, request)
    check_top_logprobs(body.top_logprobs)
    if not body.model:
        raise BadRequest("model is required")
    form = ChatEvents(body.model, usage, new=app.state.era.llama_server)
    await Completion(app.state, request, body, form, wire).run()


async def _v1_text(app: App, request: Request, wire: Wire) -> None:
    body, usage = _read_v1(openai.read_text, request)
    form = TextEvents(body.model, usage)
    await Completion(app.state, request, body, form, wire).run()


async def _v1_embeddings(app: App, request: Request, wire: Wire) -> None:
    value, inputs = _read_v1(openai.read_embeddings, request)
    card = find_for_embedding(app.state, value, wire.truth)
    done = await embed(app.state, request, card, value, inputs, wire.truth)
    wire.whole(200, JSON_V1, openai.embedding_list(done, value))


_ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/"): _sent(lambda _: b"Ollama is running", _TEXT),
    ("GET", "/api/version"): _sent(library.version),
    ("GET", "/api/tags"): _sent(library.tags),
    ("GET", "/api/ps"): _sent(library.ps),
    ("POST", "/api/show"): _show,
    ("POST", "/api/pull"): _pull,
    ("POST", "/api/copy"): _copy,
    ("DELETE", "/api/delete"): _delete,
    ("POST", "/api/create"): _create,
    ("POST", "/api/chat"): _chat,
    ("POST", "/api/generate"): _generate,
    ("POST", "/api/embed"): _embed,
    ("POST", "/api/embeddings"): _embeddings,
    ("GET", "/v1/models"): _sent(lambda s: openai.model_list(library.newest_first(s)), JSON_V1),
    ("GET", _V1_MODEL): _v1_model,
    ("POST", "/v1/chat/completions"): _v1_chat,
    ("POST", "/v1/completions"): _v1_text,
    ("POST", "/v1/embeddings"): _v1_embeddings,
}
_WITH_HEAD = ("/", "/api/tags", "/api/version")
"""Paths that also answer HEAD."""
