"""Ollama's scheduler: which models are loaded, and who gets a slot when.

A request for a loaded model that needs no reload goes straight to the FIFO queue of its runner's
slots, which has no limit. Any other request goes to the pending queue, which has one, and is worked
off one by one: a load, or the wait for a busy model that must go, makes everything behind it wait,
requests for the model that is loading too. A model whose load options change is unloaded first;
when no room is left, an idle one with the shortest keep_alive goes, or else the busy one with the
shortest.

What looks odd here was seen on a real 0.32.15:

- A model that must go still takes requests; one that names a keep_alive makes it stay that long,
  and the request that needs the room waits.
- A model goes even if the client that needed the room has given up.
- A client that gave up keeps its place in the pending queue until its turn comes.

Ollama before 0.30 is played the same, though there requests that came while the weights of their
model were read did not count as pending.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.server.engine import Engine, EngineFailure, LoadOptions, ModelCard, Runner
from bench.server.go import NS
from bench.server.options import needs_reload
from bench.server.truth import TruthRecord

_log = logging.getLogger(__name__)
BUSY = "server busy, please try again.  maximum pending requests exceeded"


class RunnerSlots:
    """The parallel places of a runner, first come, first served.

    A freed slot is handed on within `release`, before anything else can happen.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.used = 0
        self._queue: deque[Callable[[], None]] = deque()

    def enter(self, start: Callable[[], None]) -> None:
        """Call `start` once a slot is free: at once, or from a later `release`."""
        if self.used < self.count:
            self.used += 1
            start()
        else:
            self._queue.append(start)

    def leave_queue(self, start: Callable[[], None]) -> bool:
        """Stop waiting; False if `start` was not waiting any more."""
        try:
            self._queue.remove(start)
        except ValueError:
            return False
        return True

    def release(self) -> None:
        """Give a slot back."""
        if self._queue:
            self._queue.popleft()()
        else:
            self.used -= 1


@dataclass(slots=True, eq=False)
class Loaded:
    """A model in memory.

    Attributes:
        keep_alive_ns: how long it stays when idle; the last request that named one decides.
        users: requests that hold it (it cannot expire meanwhile).
        expires_ns: when it goes, on the scheduler's clock; None until it was idle once.
        rendering: held while a prompt is rendered, so that a short one does not overtake a long one
            on the way to the slots.
    """

    card: ModelCard
    options: LoadOptions
    runner: Runner
    slots: RunnerSlots
    keep_alive_ns: int
    users: int = 0
    expires_ns: int | None = None
    timer: asyncio.TimerHandle | None = None
    rendering: asyncio.Lock = field(default_factory=asyncio.Lock)

    def serves(self, options: LoadOptions) -> bool:
        """Whether a request that wants these options can have it as it is."""
        on_cpu = not self.runner.memory.size_vram
        return self.runner.alive and not needs_reload(self.options, options, on_cpu=on_cpu)


@dataclass(slots=True, eq=False)
class _Pending:
    """A request that needs a load, or waits behind one; `ready` is cancelled if it gives up."""

    card: ModelCard
    options: LoadOptions
    keep_alive_ns: int | None
    ready: asyncio.Future[Loaded]
    truth: TruthRecord


@dataclass(slots=True, eq=False)
class Scheduler:
    """Loads, keeps and unloads models for the front.

    An idle model stays for `keep_alive_ns` if no request has said; at most `max_queue` requests
    wait for their turn to load.
    """

    engine: Engine
    now_ns: Callable[[], int]
    keep_alive_ns: int
    max_loaded: int
    max_queue: int
    _loaded: dict[str, Loaded] = field(default_factory=dict)
    _pending: deque[_Pending] = field(default_factory=deque)  # the first is being worked on
    _worker: asyncio.Task[None] | None = None
    _unloading: set[asyncio.Task[None]] = field(default_factory=set)
    _unloaded: asyncio.Event = field(default_factory=asyncio.Event)

    def loaded(self) -> list[Loaded]:
        """The models in memory, as /api/ps lists them: the one that expires last first."""
        return sorted(self._loaded.values(), key=lambda m: -self.expires_at(m))

    def expires_at(self, model: Loaded) -> int:
        """When a model goes, if nothing happens."""
        if model.expires_ns is None:
            return self.now_ns() + model.keep_alive_ns
        return model.expires_ns

    async def acquire(
        self,
        card: ModelCard,
        options: LoadOptions,
        keep_alive_ns: int | None,
        truth: TruthRecord,
    ) -> Loaded:
        """The model, loaded as wanted and held for the caller, who must `release` it.

        Cancelling gives up; the load that this request has begun is aborted. It is to stay for
        `keep_alive_ns` from now on; None = as it was. `truth` gets the load, and what had to go for
        it.

        Raises:
            EngineFailure: the queue is full, or the model cannot be loaded.
        """
        model = self._loaded.get(card.digest)
        if model is not None and model.serves(options):
            return self._hold(model, keep_alive_ns)
        if len(self._pending) > self.max_queue:
            raise EngineFailure(BUSY, 503)
        loop = asyncio.get_running_loop()
        request = _Pending(card, options, keep_alive_ns, loop.create_future(), truth)
        self._pending.append(request)
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        try:
            return await request.ready
        except asyncio.CancelledError:
            if not request.ready.cancelled() and not request.ready.exception():
                self.release(request.ready.result())
            raise

    def release(self, model: Loaded) -> None:
        """The caller is done with the model."""
        model.users -= 1
        if model.users:
            return
        model.expires_ns = self.now_ns() + model.keep_alive_ns
        if model.keep_alive_ns <= 0:
            self._unload(model)
        elif model.keep_alive_ns < 365 * 86400 * NS:  # beyond that: for ever
            loop = asyncio.get_running_loop()
            model.timer = loop.call_later(model.keep_alive_ns / NS, self._unload, model)

    def expire(self, card: ModelCard) -> None:
        """Unload a model as soon as it is idle (keep_alive 0 with nothing to do)."""
        model = self._loaded.get(card.digest)
        if model is not None:
            model.expires_ns = self.now_ns()
            self._dismiss(model)

    async def aclose(self) -> None:
        """Unload everything."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        for model in list(self._loaded.values()):
            self._unload(model)
        await self._all_unloaded()

    def _hold(self, model: Loaded, keep_alive_ns: int | None) -> Loaded:
        model.users += 1
        _stop_timer(model)
        if keep_alive_ns is not None:
            model.keep_alive_ns = keep_alive_ns
        return model

    async def _work(self) -> None:
        """Work the pending queue off."""
        while self._pending:
            request = self._pending[0]
            try:
                await self._serve(request)
            except Exception as error:  # a refusal, or a defect of an engine
                if request.ready.done():
                    _log.warning("a load that was given up failed: %s", error)
                else:
                    request.ready.set_exception(error)
            self._pending.popleft()
        self._worker = None

    async def _serve(self, request: _Pending) -> None:
        """Hand a request its model, having loaded it and made room for it if need be."""
        began, unloaded = self.now_ns(), list[str]()
        while not request.ready.cancelled():
            await self._all_unloaded()  # so that the memory is free
            model = self._loaded.get(request.card.digest)
            if model is not None and model.serves(request.options):
                self._hold(model, request.keep_alive_ns)
                request.ready.set_result(model)
                return
            victim = model or self._in_the_way(request)
            if victim is None:
                await self._load(request)
                request.truth.load_ns = self.now_ns() - began
                request.truth.unloaded = unloaded
                return
            if victim.card.name not in unloaded:
                unloaded.append(victim.card.name)
            self._unloaded.clear()
            self._dismiss(victim)
            await self._unloaded.wait()  # whichever goes first: there may be room then

    def _in_the_way(self, request: _Pending) -> Loaded | None:
        """The model that must go before the request's can be loaded; None if there is room."""
        models = self._loaded.values()
        full = len(models) >= self.max_loaded
        if not models or not (full or not self.engine.fits(request.card, request.options)):
            return None
        idle = [m for m in models if not m.users]
        return min(idle or models, key=lambda m: (m.keep_alive_ns, m.card.digest))

    async def _load(self, request: _Pending) -> None:
        card, options = request.card, request.options
        load = asyncio.ensure_future(self.engine.load(card, options))
        request.ready.add_done_callback(lambda _: load.cancel())
        try:
            runner = await load
        except asyncio.CancelledError:
            if request.ready.cancelled():
                return
            raise
        model = Loaded(card, options, runner, RunnerSlots(options.parallel), self.keep_alive_ns)
        self._loaded[card.digest] = model
        self._hold(model, request.keep_alive_ns)
        if request.ready.cancelled():  # at the last moment
            self.release(model)
        else:
            request.ready.set_result(model)

    def _dismiss(self, model: Loaded) -> None:
        """Unload a model once it is idle, unless another request wants it to stay."""
        model.keep_alive_ns = 0
        _stop_timer(model)
        if not model.users:
            self._unload(model)

    def _unload(self, model: Loaded) -> None:
        """Forget an idle model now, and free its memory in the background."""
        _stop_timer(model)
        del self._loaded[model.card.digest]
        task = asyncio.get_running_loop().create_task(self._free(model.runner))
        self._unloading.add(task)
        task.add_done_callback(self._unloading.discard)

    async def _free(self, runner: Runner) -> None:
        try:
            with contextlib.suppress(EngineFailure):
                await runner.unload()
        finally:
            self._unloaded.set()

    async def _all_unloaded(self) -> None:
        while self._unloading:
            await asyncio.wait(self._unloading)


def _stop_timer(model: Loaded) -> None:
    if model.timer is not None:
        model.timer.cancel()
        model.timer = None
