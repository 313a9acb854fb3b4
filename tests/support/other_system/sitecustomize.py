"""Makes a Python on Linux lack what macOS or Windows lack: for tests of the main flows.

Python runs this at its start wherever this folder is on PYTHONPATH, in child processes too.
BENCH_TEST_SYSTEM is "darwin" or "win32". Libraries that look at the platform when they are
imported are imported first, since they would go for modules that are not here; ours sees the other
system only.
"""

from __future__ import annotations

import os
import sys


def _refuse(*_: object, **__: object) -> object:
    raise NotImplementedError("not on this system")


def _become(name: str) -> None:
    import asyncio
    import ctypes
    import logging.handlers
    import multiprocessing
    import pathlib
    import select
    import selectors
    import shutil
    import signal
    import socket
    import subprocess
    import tempfile
    import time
    import webbrowser
    import zoneinfo

    # Each decides by the platform at import.
    import click
    import click.testing
    import httpx
    import matplotlib.figure
    import numpy
    import platformdirs
    import psutil
    import pydantic.main
    import rich.console
    import rich.live
    import rich.markdown
    import rich.progress

    del (
        zoneinfo,
        matplotlib,
        numpy,
        pydantic,
        ctypes,
        logging,
        multiprocessing,
        pathlib,
        shutil,
        subprocess,
        tempfile,
        webbrowser,
    )
    del click, httpx, platformdirs, rich

    lacks: list[tuple[object, str]] = [
        (select, "epoll"),
        (selectors, "EpollSelector"),
        (socket, "TCP_INFO"),
        (socket, "SO_BINDTODEVICE"),
        (os, "sched_setaffinity"),
        (os, "sched_getaffinity"),
        (os, "pidfd_open"),
        (psutil.Process, "cpu_affinity"),
    ]
    if name == "win32":
        lacks += [
            (os, "killpg"),
            (os, "getpgid"),
            (os, "setsid"),
            (os, "fork"),
            (os, "mkfifo"),
            (os, "getuid"),
            (os, "geteuid"),
            (os, "nice"),
            (signal, "SIGKILL"),
            (signal, "SIGHUP"),
            (signal, "SIGUSR1"),
            (signal, "SIGSTOP"),
            (signal, "pthread_sigmask"),
            (time, "clock_gettime_ns"),
            (time, "CLOCK_MONOTONIC"),
            (time, "CLOCK_REALTIME"),
        ]
        sys.modules["resource"] = None  # type: ignore[assignment]  # "not to be found"
        sys.modules["fcntl"] = None  # type: ignore[assignment]
        sys.modules["termios"] = None  # type: ignore[assignment]
        socket.socket.recvmsg = _refuse  # type: ignore[assignment,method-assign]
        socket.socket.recvmsg_into = _refuse  # type: ignore[assignment,method-assign]
        # What the proactor loop of Windows lacks.
        loop = asyncio.SelectorEventLoop
        for method in ("add_reader", "add_writer"):
            setattr(loop, method, _refuse)
        for method in ("add_signal_handler", "remove_signal_handler"):
            setattr(loop, method, _refuse)
    for owner, attribute in lacks:
        if hasattr(owner, attribute):
            delattr(owner, attribute)
    asyncio.DefaultEventLoopPolicy._loop_factory = asyncio.SelectorEventLoop  # type: ignore[attr-defined]
    selectors.DefaultSelector = selectors.PollSelector  # type: ignore[misc,assignment]
    sys.platform = name


if os.environ.get("BENCH_TEST_SYSTEM") in ("darwin", "win32"):
    _become(os.environ["BENCH_TEST_SYSTEM"])
