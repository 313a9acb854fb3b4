"""For all tests."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says something of the machine, not of the code.
settings.register_profile("any_machine", deadline=None)
settings.load_profile("any_machine")

# Tests start hundreds of processes. An installed program is compiled once, not at each start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell starts what is in the background with Ctrl-C ignored, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

_thawed = threading.Event()
_unfreeze = gc.unfreeze


def _unfreeze_and_note() -> None:
    _unfreeze()
    _thawed.set()


# To ask `gc.get_freeze_count()` instead takes 10 to 50 ms: it walks through all objects.
gc.unfreeze = _unfreeze_and_note

TESTS = Path(__file__).parent
SLOW_FOLDERS = ("integration", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever starts servers, processes or a browser is slow: `-m "not slow"` leaves it out.

    The real engine comes with the extra `demo`; CI never goes without it.
    """
    no_engine = find_spec("xllamacpp") is None and not os.environ.get("CI")
    skip = pytest.mark.skip(reason="no llama.cpp engine: pip install -e '.[demo,test]'")
    for item in items:
        if no_engine and item.get_closest_marker("real_engine"):
            item.add_marker(skip)
        if (
            item.path.is_relative_to(TESTS)
            and item.path.relative_to(TESTS).parts[0] in SLOW_FOLDERS
        ):
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """All that was collected stays alive: no later collection of garbage looks among it.

    Otherwise each takes half a second, and some of what is tested starts one at every call.
    """
    gc.collect()
    gc.freeze()


def pytest_runtest_setup() -> None:
    """A run in this process has thawed it."""
    if _thawed.is_set():
        _thawed.clear()
        gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was skipped, why, and what mends it: a reader of the last lines must know."""
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} skipped: {reason}")


@pytest.fixture(autouse=True)
def no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes to the history of whoever runs it."""
    monkeypatch.setenv("OLLAMA_BENCH_HISTORY", "off")


@pytest.fixture(autouse=True)
def ctrl_c_stays_as_it_was() -> Iterator[None]:
    """The programs that later tests start inherit it: one that ignores it is never interrupted."""
    yield
    left = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert left is signal.default_int_handler, "this test leaves another handler of Ctrl-C"
