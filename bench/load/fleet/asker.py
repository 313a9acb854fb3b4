"""Where an agent listens, and the thread that compares its clock with this machine's."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from bench.load.fleet.agent import SILENCE_S, Hello
from bench.load.fleet.clocks import ClockWatch, RoundTrip

CONNECT_S = 3.0
"""A machine that does not take a connection within this cannot be reached."""
_FIRST_TRIPS = 16
_BETWEEN_TRIPS_S = 0.1


@dataclass(frozen=True, slots=True)
class Place:
    """Where an agent listens.

    Attributes:
        name: of its machine, as shown.
        token: lets in.
        sender: its number of its own, as in the name of its file.
        tls: what the connections are encrypted with; None = they are not.
    """

    name: str
    host: str
    port: int
    token: str
    sender: str
    tls: ssl.SSLContext | None = None

    def hello(self, wants: str, start: int = 0) -> bytes:
        """The first line of a connection."""
        return msgspec.json.encode(Hello(self.token, wants, start)) + b"\n"


class TimeAsker:
    """Asks one agent for its time, ten times a second, in a thread of its own.

    So other work of the event loop delays no stamp, and an agent gets messages from a busy run.
    `lost` is called once, when it does not answer for `SILENCE_S`.
    """

    def __init__(
        self, place: Place, lost: Callable[[], None], now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.watch = ClockWatch()
        self._place = place
        self._lost = lost
        self._now_ns = now_ns
        self._ended = threading.Event()
        self._known = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, daemon=True)

    def start(self, timeout_s: float = CONNECT_S) -> bool:
        """Compare the clocks for a first time; False if the agent cannot be reached."""
        self._thread.start()
        return self._known.wait(timeout_s)

    def stop(self) -> None:
        """Ask no more."""
        self._ended.set()

    def _ask_on(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._connected() as line:
            answers, count = line.makefile("rb"), 0
            while not self._ended.is_set():
                asked_ns = self._now_ns()
                line.sendall(b"\n")
                there, back = answers.readline().split()
                self.watch.add(RoundTrip(asked_ns, int(there), int(back), self._now_ns()))
                count += 1
                if count < _FIRST_TRIPS:
                    self._ended.wait(0.002)
                    continue
                self._known.set()
                self._ended.wait(_BETWEEN_TRIPS_S)
        if not self._ended.is_set():
            self._lost()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        place = self._place
        with socket.create_connection((place.host, place.port), SILENCE_S) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = plain if place.tls is None else place.tls.wrap_socket(plain)
            line.sendall(place.hello("time"))
            yield line
