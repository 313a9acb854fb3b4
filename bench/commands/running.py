"""Asynchronous work behind synchronous functions, and asynchronous twins of these.

A notebook has an event loop running already: the work then gets a thread with a loop of its own.
"""

from __future__ import annotations

import asyncio
import contextvars
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from bench.errors import Interrupted

P = ParamSpec("P")
T = TypeVar("T")


def finish(
    work: Coroutine[Any, Any, T], run: Callable[[Coroutine[Any, Any, T]], T] = asyncio.run
) -> T:
    """The result of some work, whether or not an event loop runs in this thread."""
    if not _loop_runs():
        return run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, run, work).result()


def _loop_runs() -> bool:
    """Whether an event loop runs in this thread.

    A function of its own, so that no error of the work has this one's as its context: messages
    name the first cause of an error.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def async_twin(function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """The same function to be awaited: it runs in a thread, and the caller's loop goes on.

    Cancelling it stops the run at once and waits until what was measured is stored.
    """

    @wraps(function)
    async def twin(*args: P.args, **kwargs: P.kwargs) -> T:
        interrupts = Interrupts(act=_nothing)
        token = _given.set(interrupts)
        work = asyncio.ensure_future(asyncio.to_thread(_called, partial(function, *args, **kwargs)))
        _given.reset(token)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            for _ in range(2):  # as two times Ctrl-C: not gently, but at once
                interrupts.ask()
            await asyncio.wait([work])
            raise

    twin.__name__ = twin.__qualname__ = f"{function.__name__}_async"
    return twin


def _called(work: Callable[[], T]) -> T:
    """A KeyboardInterrupt out of a thread would end the program, not the work."""
    try:
        return work()
    except KeyboardInterrupt:
        raise Interrupted("stopped before anything was sent") from None


def _nothing() -> None:
    pass


def _interrupt() -> None:
    raise KeyboardInterrupt


@dataclass(slots=True)
class Interrupts:
    """What Ctrl-C, SIGTERM and SIGHUP do just now.

    Attributes:
        asked: how often it was asked for by other means than a signal.
    """

    act: Callable[[], object] = _interrupt
    asked: int = 0

    def ask(self) -> None:
        """Interrupt from another thread."""
        self.asked += 1
        self.act()

    def ignore(self) -> None:
        """From here on nothing must be torn."""
        self.act = _nothing


_given: contextvars.ContextVar[Interrupts | None] = contextvars.ContextVar("given", default=None)


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Decide what Ctrl-C, SIGTERM and SIGHUP do; only the main thread can receive them."""
    found = _given.get() or Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is not on Windows
    signals = [number for name in names if (number := getattr(signal, name, None)) is not None]
    # Who started this with nohup wants no hang-up to end it.
    signals = [n for n in signals if n == signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda *_: found.act()) for number in signals}
    try:
        yield found
    finally:
        for number, handler in before.items():
            # None is a handler that was not set by Python: it cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
