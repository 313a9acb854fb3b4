"""`python -m bench.server CONFIG`: a server as a child process.

CONFIG is a `ServerConfig` as JSON. The child prints one JSON line, with its URL or what is wrong,
and stops when its standard input is closed, so it never outlives its parent.
"""

from __future__ import annotations

import json
import sys

import msgspec

from bench.children import leave_signals_to_parent
from bench.errors import BenchError
from bench.server.app import App
from bench.server.config import ServerConfig
from bench.server.serving import serve


def _announce(app: App, url: str) -> None:
    state = app.state
    said = {
        "url": url,
        "version": state.version,
        "engine": state.engine.name,
        "simulated": state.engine.simulated,
        "models": sorted(state.cards()),
    }
    print(json.dumps(said), flush=True)


def main() -> int:
    """Serve; 0 if stopped, 2 if it could not start."""
    leave_signals_to_parent(terminate=False)
    config = msgspec.json.decode(sys.argv[1], type=ServerConfig)
    try:
        serve(
            config,
            _announce,
            say=lambda line: print(line, file=sys.stderr, flush=True),
            until_closed=sys.stdin.fileno(),
        )
    except BenchError as error:
        print(json.dumps({"error": error.message, "advice": error.advice}), flush=True)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
