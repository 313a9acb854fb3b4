"""Ollama's scheduler: which models are loaded, and who gets a slot when.

A request for a loaded model that needs no reload goes straight to the FIFO queue of its runner's
slots, which has no limit. Any other request goes to the pending queue, which has one, and is worked
off one by one: a load makes everything behind it wait. A model whose load options change is first
drained; when no room is left, the idle runner with the shortest keep_alive goes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.server.engine import Engine, EngineFailure, LoadOptions, ModelCard, Runner
from bench.server.go import NS
from bench.server.options import needs_reload

BUSY = "server busy, please try again.  maximum pending requests exceeded"


class Slots:
    """The parallel places of a runner, first come, first served.

    A freed slot is handed on within `release`, before anything else can happen.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.used = 0
        self._queue: deque[Callable[[], None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

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
        users: requests that hold it (it cannot expire meanwhile).
        keep_alive_ns: how long it stays when idle; the last request's wish counts.
        expires_ns: when it goes, on the scheduler's clock; None until it was idle once.
    """

    card: ModelCard
    options: LoadOptions
    runner: Runner
    slots: Slots
    keep_alive_ns: int
    users: int = 0
    expires_ns: int | None = None
    timer: asyncio.TimerHandle | None = None
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class Scheduler:
    """Loads, keeps and unloads models for the front.

    Args:
        engine: what loads them.
        now_ns: the clock.
        max_loaded: most models in memory.
        max_queue: most requests that wait for a load.
    """

    def __init__(
        self,
        engine: Engine,
        now_ns: Callable[[], int],
        *,
        max_loaded: int = 3,
        max_queue: int = 512,
    ) -> None:
        self._engine = engine
        self._now = now_ns
        self._max_loaded = max_loaded
        self._max_queue = max_queue
        self._loaded: dict[str, Loaded] = {}
        self._pending = 0
        self._loop_lock = asyncio.Lock()
        self._loading: dict[str, asyncio.Event] = {}
        self._unloading: set[asyncio.Task[None]] = set()

    def loaded(self) -> list[Loaded]:
        """The models in memory, as /api/ps lists them: the one that expires last first."""
        return sorted(self._loaded.values(), key=lambda m: -self.expires_at(m))

    def expires_at(self, model: Loaded) -> int:
        """When a model goes, if nothing happens."""
        if model.expires_ns is None:
            return self._now() + model.keep_alive_ns
        return model.expires_ns

    async def acquire(self, card: ModelCard, options: LoadOptions, keep_alive_ns: int) -> Loaded:
        """The model, loaded as wanted and held for the caller, who must `release` it.

        Cancelling gives up; a load that only this request wanted is aborted.

        Raises:
            EngineFailure: the queue is full, or the model cannot be loaded.
        """
        model = self._ready(card, options)
        if model is None and card.digest in self._loading:
            await self._loading[card.digest].wait()
            model = self._ready(card, options)
        if model is None:
            model = await self._wait_and_load(card, options, keep_alive_ns)
        return self._hold(model, keep_alive_ns)

    def release(self, model: Loaded) -> None:
        """The caller is done with the model."""
        model.users -= 1
        if model.users:
            return
        model.expires_ns = min(self._now() + model.keep_alive_ns, 2**63 - 1)
        model.idle.set()
        if self._loaded.get(model.card.digest) is model:
            self._arm(model)

    async def expire(self, card: ModelCard) -> None:
        """Unload a model as soon as it is idle (keep_alive 0 with nothing to do)."""
        model = self._loaded.get(card.digest)
        if model is None:
            return
        model.keep_alive_ns = 0
        if not model.users:
            await self._unload(model)

    async def aclose(self) -> None:
        """Unload everything."""
        for model in list(self._loaded.values()):
            await self._unload(model)

    def _ready(self, card: ModelCard, options: LoadOptions) -> Loaded | None:
        model = self._loaded.get(card.digest)
        if model is None or not model.runner.alive:
            return None
        on_cpu = not model.runner.memory.size_vram
        return None if needs_reload(model.options, options, on_cpu=on_cpu) else model

    def _hold(self, model: Loaded, keep_alive_ns: int) -> Loaded:
        model.users += 1
        model.idle.clear()
        model.keep_alive_ns = keep_alive_ns
        if model.timer is not None:
            model.timer.cancel()
            model.timer = None
        return model

    async def _wait_and_load(
        self, card: ModelCard, options: LoadOptions, keep_alive_ns: int
    ) -> Loaded:
        if self._pending >= self._max_queue and self._loop_lock.locked():
            raise EngineFailure(BUSY, 503)
        self._pending += 1
        try:
            await self._loop_lock.acquire()
        finally:
            self._pending -= 1
        try:
            model = self._ready(card, options)
            return model or await self._load(card, options, keep_alive_ns)
        finally:
            self._loop_lock.release()

    async def _load(self, card: ModelCard, options: LoadOptions, keep_alive_ns: int) -> Loaded:
        done = self._loading[card.digest] = asyncio.Event()
        try:
            if (old := self._loaded.get(card.digest)) is not None:
                await self._drain(old)
            await self._make_room(card, options)
            runner = await self._engine.load(card, options)
        finally:
            del self._loading[card.digest]
            done.set()
        model = Loaded(card, options, runner, Slots(options.parallel), keep_alive_ns)
        self._loaded[card.digest] = model
        return model

    async def _make_room(self, card: ModelCard, options: LoadOptions) -> None:
        while self._loaded and (
            len(self._loaded) >= self._max_loaded or not self._engine.fits(card, options)
        ):
            idle = [m for m in self._loaded.values() if not m.users]
            await self._drain(min(idle or self._loaded.values(), key=lambda m: m.keep_alive_ns))

    async def _drain(self, model: Loaded) -> None:
        if model.users and model.runner.alive:
            model.idle.clear()
            await model.idle.wait()
        await self._unload(model)

    def _arm(self, model: Loaded) -> None:
        if model.timer is not None:
            model.timer.cancel()
        loop = asyncio.get_running_loop()
        if model.keep_alive_ns <= 0:
            model.timer = loop.call_later(0, self._on_expiry, model)
        elif model.keep_alive_ns < 365 * 86400 * NS:  # beyond that: for ever
            model.timer = loop.call_later(model.keep_alive_ns / NS, self._on_expiry, model)

    def _on_expiry(self, model: Loaded) -> None:
        model.timer = None
        if not model.users and self._loaded.get(model.card.digest) is model:
            task = asyncio.get_running_loop().create_task(self._unload(model))
            self._unloading.add(task)
            task.add_done_callback(self._unloading.discard)

    async def _unload(self, model: Loaded) -> None:
        if self._loaded.get(model.card.digest) is model:
            del self._loaded[model.card.digest]
        if model.timer is not None:
            model.timer.cancel()
            model.timer = None
        with contextlib.suppress(EngineFailure):
            await model.runner.unload()
