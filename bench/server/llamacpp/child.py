"""The process in which llama.cpp runs; started as a script by `process`, never imported.

It imports nothing of ours, so that it starts fast, and speaks by pipes: its settings come as one
line of JSON on stdin, its address (or what went wrong) goes as one line of JSON to stdout,
llama.cpp's log goes to stderr. It ends when stdin ends, so it cannot outlive its parent, whatever
happens to that. (A load in progress ends first: llama.cpp holds the interpreter lock meanwhile.)
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any


def main() -> None:
    """Load the model, say where it is served, and stay until stdin ends."""
    # They reach the whole foreground group; when to stop is the parent's decision.
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever llama.cpp prints to stdout belongs to the log
    settings = json.loads(sys.stdin.readline())
    try:
        server = _serve(settings)
        reply = {"address": server.listening_address}
    except (RuntimeError, ImportError, AttributeError, TypeError, ValueError) as error:
        reply = {"error": str(error) or type(error).__name__}
    answers.write(json.dumps(reply) + "\n")
    answers.flush()
    if "error" in reply:
        sys.exit(1)  # by way of the clean-up, which writes what llama.cpp has logged
    sys.stdin.read()
    # Not by way of the interpreter's clean-up: nothing is worth waiting for any more.
    os._exit(0)


def _serve(settings: dict[str, Any]) -> Any:
    """Start llama.cpp's server with `settings`: dotted names of its parameters and their values."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    for name, value in settings.items():
        *path, last = name.split(".")
        owner = params
        for step in path:
            owner = getattr(owner, step)
        setattr(owner, last, value)
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
