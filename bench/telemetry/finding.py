"""Which sources a run reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from urllib.parse import urlsplit

from bench.telemetry.sampling import Now, Telemetry
from bench.telemetry.source import Finder, Found

KINDS = ("nvidia", "amd", "intel", "apple", "cpu", "machine", "server")
"""Graphics cards by maker, energy of the CPU, the machine's memory, the server's processes."""
_REMOTE = "not seen: the server is on another machine; its exporters alone are read"


def open_telemetry(
    kinds: Sequence[str],
    now: Now,
    local: dict[str, int],
    not_seen: dict[str, str],
    hosts: Mapping[str, str] | None = None,
) -> Telemetry:
    """The telemetry of the machine that this program and its local servers run on; not started.

    Args:
        kinds: of `KINDS`, or "auto" for all, and URLs of Prometheus exporters.
        now: the clock of the run, in ns.
        local: targets on this machine -> the port they listen on; 0 = a Unix socket.
        not_seen: targets elsewhere -> why nothing is seen of their machine.
        hosts: target -> its host: an exporter on the same host is of that target's machine.
    """
    urls = [k for k in kinds if "://" in k]
    asked = [k for k in kinds if k != "auto"]
    kinds = KINDS if "auto" in kinds else kinds
    exporters = {
        url: (partial(find_exporter, url), _of(url, local, not_seen, hosts)) for url in urls
    }
    scraped = {t for _, targets in exporters.values() for t in targets}
    not_seen = {t: _REMOTE if t in scraped else why for t, why in not_seen.items()}
    finders: dict[str, Finder] = {}
    if local:
        finders = {kind: find for kind, find in _finders().items() if kind in kinds}
    servers: dict[str, Finder] = {}
    if "server" in kinds:
        servers = {target: partial(_find_server, port) for target, port in local.items()}
    return Telemetry(finders, now, not_seen, servers, exporters, asked)


def _of(
    url: str, local: Mapping[str, int], not_seen: Mapping[str, str], hosts: Mapping[str, str] | None
) -> tuple[str, ...]:
    """The targets whose machine an exporter reports on: by host, else those elsewhere, else all."""
    host = urlsplit(url).hostname
    same = tuple(t for t, h in (hosts or {}).items() if h == host)
    return same or tuple(not_seen) or tuple(local)


def find_exporter(url: str) -> Found:
    """The exporter at a URL.

    Raises:
        UnreadableError: it does not answer; it is asked again a second later.
    """
    from bench.telemetry.exporter import Exporter  # late: needs an extra

    return [Exporter(url)], {}


def _finders() -> dict[str, Finder]:
    from bench.telemetry.apple import find_apple  # late: not needed before the first request
    from bench.telemetry.nvidia import find_nvidia
    from bench.telemetry.sysfs import find_cpu_packages, find_drm_cards

    return {
        "nvidia": find_nvidia,
        "amd": partial(find_drm_cards, "amd"),
        "intel": partial(find_drm_cards, "intel"),
        "apple": find_apple,
        "cpu": find_cpu_packages,
        "machine": find_machine,
    }


def find_machine() -> Found:
    """This machine."""
    from bench.telemetry.machine import Machine  # late: psutil takes its time to load

    return [Machine()], {}


def _find_server(port: int) -> Found:
    from bench.telemetry.machine import find_server  # late: psutil takes its time to load

    return find_server(port)
