"""How this program takes being ended: SIGTERM and a lost terminal are like Ctrl-C."""

from __future__ import annotations

import _thread
import signal
import sys
from types import FrameType


def end_as_interrupted() -> None:
    """SIGTERM and SIGHUP raise KeyboardInterrupt, as SIGINT does; one that is ignored stays so."""
    for number in _numbers():
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)

    sys.unraisablehook = _interrupt_again


def was_interrupted(error: BaseException | None) -> bool:
    """Whether an interrupt is behind an error: Python wraps one that comes as a class is made."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _interrupt_again(unraisable: sys.UnraisableHookArgs) -> None:
    """An interrupt that came where none can be raised (a weak reference's end) is not lost."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        _thread.interrupt_main()
    else:
        sys.__unraisablehook__(unraisable)


def ignore_signals() -> None:
    """From now on nothing interrupts this process: it ends."""
    for number in (signal.SIGINT, *_numbers()):
        signal.signal(number, signal.SIG_IGN)


def _numbers() -> list[signal.Signals]:
    return [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
