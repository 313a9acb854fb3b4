"""Records what clients ask a server, as sessions that can be played again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench.address import Address, server_url
from bench.errors import UsageError
from bench.recorder.recording import HOST, until_stopped
from bench.recorder.writing import Tally, Writer


def record(
    output: str | Path,
    *,
    to: str | None = None,
    port: int = 11435,
    text: bool = True,
    announce: Callable[[str, str], None] = lambda _url, _target: None,
    failed: Callable[[str], None] = lambda _message: None,
) -> Tally:
    """Pass requests on to a server and write them to a file, until interrupted.

    Args:
        output: file to write; it must not exist.
        to: address of the server; None = that of OLLAMA_HOST.
        port: where to listen, on this machine only; 0 = any free one.
        text: keep what was said; else token counts and hashes only.
        announce: called with the proxy's URL and the server's once it listens.
        failed: receives each new reason why the server cannot be reached.

    Raises:
        UsageError: the file exists, the port is in use, or an address is none.
    """
    target = Address.parse(server_url(to, "--to"))
    if target.is_loopback and target.port == port and port:
        raise UsageError(
            f"{target.url} is where the proxy itself would listen",
            f"say with --to where the server is, e.g. --to {HOST}:11434, or choose another --port",
        )
    writer = Writer(Path(output), with_text=text)
    reasons: set[str] = set()

    def failed_once(message: str) -> None:
        if message not in reasons:
            reasons.add(message)
            failed(message)

    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(
                until_stopped(
                    target, writer, port, lambda url: announce(url, target.url), failed_once
                )
            )
    finally:
        writer.close()
        if not writer.tally.requests:
            with suppress(OSError):
                Path(output).unlink()
    return writer.tally
