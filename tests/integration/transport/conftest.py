from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from scripted_wire import Make

from bench.address import Address
from bench.wire.exchange import Transport, WireCounters
from bench.wire.transports import choose_transport
from bench.wire.transports.stamps import KernelStamps, why_no_kernel_stamps

# Kernel stamps exist on Linux only; there they must work.
WIRE = ["kernel", "user", "httpx"] if sys.platform == "linux" else ["user", "httpx"]
SOCKETS = WIRE[:-1]


@pytest.fixture(scope="session", autouse=True)
def stamping() -> Iterator[None]:
    """Stamping is on before the first test: packets can lack stamps while it is switched on."""
    if sys.platform != "linux":
        yield
        return
    keeper = KernelStamps(WireCounters())
    assert why_no_kernel_stamps() == ""
    yield
    keeper.close()


@pytest.fixture(params=WIRE)
def wire(request: pytest.FixtureRequest) -> str:
    """Each transport that uses a network."""
    return str(request.param)


@pytest.fixture
def transports() -> list[str]:
    """All transports that use a network, to be compared."""
    return WIRE


@pytest.fixture(params=SOCKETS)
def sockets(request: pytest.FixtureRequest) -> str:
    """Each transport on sockets of our own."""
    return str(request.param)


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def make(no_proxy: None) -> Make:
    """Makes a transport by name, for a URL or a port of this machine."""

    def make_one(name: str, where: int | str, **more: object) -> Transport:
        url = where if isinstance(where, str) else f"http://127.0.0.1:{where}"
        return choose_transport(Address.parse(url, environ={}, **more), name)[0]  # type: ignore[arg-type]

    return make_one
