"""Where a server is, as part of what a result is a result of.

The hardware of the client's machine is in every run, that of a server elsewhere is not. So two
servers elsewhere are two machines until the user says otherwise.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.analysis.comparison.setup_difference import CaseSide, Role, SetupDifference

_DEFAULT_PORT = 11434


@dataclass(frozen=True, slots=True)
class _Place:
    """Host ("" = the client's machine), and the rest of the address ("" = Ollama's usual port)."""

    host: str = ""
    door: str = ""

    def __str__(self) -> str:
        return f"{self.host or 'localhost'}{self.door}" if self.host or self.door else ""


def place_of(side: CaseSide) -> str:
    """The place of a case's server: "" where Ollama usually is on the client's own machine.

    That is also where a server is that was started for the run, on whatever port was free. Another
    port on this machine counts as another place: it may be a tunnel to another machine.
    """
    return str(_place(side))


def server_differences(a: CaseSide, b: CaseSide) -> Iterator[SetupDifference]:
    """Two servers elsewhere forbid the comparison; two ports of one host may explain a change."""
    first, second = _place(a), _place(b)
    if first == second:
        return
    shown = str(first) or "this machine", str(second) or "this machine"
    if first.host == second.host:
        message = "Two addresses on one machine; behind one may be a tunnel to another machine."
        yield SetupDifference("server", *shown, Role.EXPLAINS, message)
        return
    message = "Two servers, and nothing is known of the hardware of one that is elsewhere."
    yield SetupDifference("server", *shown, Role.BLOCKS, message)


def _place(side: CaseSide) -> _Place:
    target = side.server
    if target is None or not target.url:
        return _Place()
    try:
        url = urlsplit(target.url)
        host, port = url.hostname or "", url.port
    except ValueError:  # an address that an earlier version took
        return _Place(target.url)
    if url.scheme == "unix":
        return _Place("", target.url)
    path = url.path.rstrip("/")
    if _is_loopback(host):
        usual = port in (None, _DEFAULT_PORT) and not path
        return _Place("", "" if usual else f":{port}{path}")
    return _Place(host, f":{port}{path}" if port else path)


def _is_loopback(host: str) -> bool:
    if host in ("", "localhost") or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
