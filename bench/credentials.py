"""Credentials for a server: from the environment, else from a netrc file; kept in memory only."""

from __future__ import annotations

import base64
import netrc
from collections.abc import Mapping
from pathlib import Path

from bench.errors import UsageError
from bench.files import open_file
from bench.hidden import remember

TOKEN_VARIABLE = "OLLAMA_BENCH_TOKEN"
"""Environment variable with a bearer token for every target."""


def credentials_for(host: str, environ: Mapping[str, str]) -> str:
    """The Authorization header for a host, "" if there is none.

    It is remembered, so that a server which echoes it does not give it away. Of the netrc file an
    entry of exactly this host counts; for "" only the environment does.

    Raises:
        UsageError: the token cannot stand in a header.
    """
    found = _from_environment(environ) or (_from_netrc(host, environ) if host else "")
    kind, _, credentials = found.partition(" ")
    remember(credentials)
    if kind == "Basic":
        remember(base64.b64decode(credentials).decode().partition(":")[2])
    return found


def _from_environment(environ: Mapping[str, str]) -> str:
    token = environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        return ""
    if not token.isascii() or not token.isprintable():
        raise UsageError(f"{TOKEN_VARIABLE} is not a token: it has characters no header may hold")
    return f"Bearer {token}"


def _from_netrc(host: str, environ: Mapping[str, str]) -> str:
    """Basic credentials of exactly this host; a missing or broken file means none."""
    file = environ.get("NETRC", "")
    try:
        path = Path(file) if file else Path("~/.netrc").expanduser()
        open_file(path).close()  # netrc would wait for a pipe
        entry = netrc.netrc(path).hosts.get(host)
    except (OSError, RuntimeError, netrc.NetrcParseError, UnicodeDecodeError):
        return ""
    if entry is None:
        return ""
    return "Basic " + base64.b64encode(f"{entry[0]}:{entry[2] or ''}".encode()).decode("ascii")
