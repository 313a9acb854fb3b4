"""Receive stamps that the Linux kernel takes (SO_TIMESTAMPNS), on the monotonic clock.

A stamp taken when the packet arrives is free of everything that happens in this process and in the
scheduler afterwards. It comes as CLOCK_REALTIME with each `recvmsg`; the offset between the two
clocks is constant but for steps (NTP slews both alike). It is sampled each second, and at once for
a stamp that lies in the future or more than 5 ms back; so only a step back by less than that can
go unnoticed, for a second at most.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from functools import lru_cache

from bench.clock import NS
from bench.wire.exchange import WireCounters

SO_TIMESTAMPNS = 35
"""asm-generic/socket.h; the `socket` module has no name for it. The self-test would tell."""
_TIMESPEC = struct.Struct("@ll")
ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0
_unpack = _TIMESPEC.unpack

# A stamp can lie this far in the future only if the offset is wrong (its sampling error is below).
FUTURE_NS = 50_000
# A stamp this old is possible (a stalled loop), or the clock was set: sample the offset, unless it
# is younger than that.
_OLD_NS = 5_000_000
_STEP_NS = 100_000
# Half of this is the largest error of an offset read without interruption.
_GOOD_SAMPLE_NS = 5_000
_RESAMPLE_NS = NS


class KernelStamps:
    """Converts kernel stamps to CLOCK_MONOTONIC, and keeps stamping switched on.

    For some milliseconds after the first socket of the machine asks for stamps, packets can come
    without; a keeper socket held from the start bridges that.
    """

    def __init__(self, counters: WireCounters) -> None:
        self._counters = counters
        self._keeper = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._keeper.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._offset_ns = sample_offset_ns()
        self._fresh_ns = time.monotonic_ns() + _OLD_NS
        self._due_ns = self._fresh_ns + _RESAMPLE_NS

    def close(self) -> None:
        """Let go of the keeper."""
        self._keeper.close()

    def monotonic_ns(self, timespec: bytes, now_ns: int) -> int:
        """The stamp on the monotonic clock, given the time now; 0 if it makes no sense."""
        seconds, nanoseconds = _unpack(timespec)
        real_ns: int = seconds * NS + nanoseconds
        stamp = real_ns - self._offset_ns
        age_ns = now_ns - stamp
        if now_ns < self._fresh_ns:
            if age_ns >= -FUTURE_NS:
                return stamp
        elif now_ns < self._due_ns and -FUTURE_NS <= age_ns < _OLD_NS:
            return stamp
        self.resample(now_ns)
        stamp = real_ns - self._offset_ns
        return stamp if stamp <= now_ns + FUTURE_NS else 0

    def resample(self, now_ns: int) -> None:
        """Take the offset between the clocks anew."""
        offset_ns = sample_offset_ns()
        if abs(offset_ns - self._offset_ns) > _STEP_NS:
            self._counters.clock_steps += 1
        self._offset_ns = offset_ns
        self._fresh_ns = now_ns + _OLD_NS
        self._due_ns = now_ns + _RESAMPLE_NS


def sample_offset_ns() -> int:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC; of several readings, the one least interrupted."""
    best_ns, offset_ns = NS, 0
    for i in range(100):
        if i >= 4 and best_ns < _GOOD_SAMPLE_NS:
            break
        before = time.monotonic_ns()
        real = time.time_ns()
        after = time.monotonic_ns()
        if after - before < best_ns:
            best_ns, offset_ns = after - before, real - (before + after) // 2
    return offset_ns


@lru_cache(maxsize=1)
def why_no_kernel_stamps() -> str:
    """Try kernel stamps on a loopback TCP connection; "" if they work, else why not.

    Takes a few milliseconds, once a process.
    """
    why = "kernel stamps need Linux"
    if sys.platform == "linux":
        why = _why_not()
    return why


if sys.platform == "linux":

    def _why_not() -> str:
        try:
            stamps = KernelStamps(WireCounters())
        except OSError as e:
            return f"the kernel refuses SO_TIMESTAMPNS ({e.strerror})"
        try:
            return _try_loopback(stamps)
        except OSError as e:
            return f"the self-test of kernel stamps failed ({e.strerror or e})"
        finally:
            stamps.close()

    def _try_loopback(stamps: KernelStamps) -> str:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname(), timeout=1) as client,
            server.accept()[0] as peer,
        ):
            client.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            good = 0
            for _ in range(20):
                before_ns = time.monotonic_ns()
                peer.send(b"x")
                _, ancillary, _, _ = client.recvmsg(16, ANCILLARY_BYTES)
                now_ns = time.monotonic_ns()
                if not ancillary:
                    # Packets can lack a stamp for some milliseconds after stamping was switched on.
                    good = 0
                    time.sleep(0.001)
                    continue
                stamp = stamps.monotonic_ns(ancillary[0][2], now_ns)
                if not before_ns - FUTURE_NS <= stamp <= now_ns + FUTURE_NS:
                    return "the kernel's stamps do not fit the monotonic clock"
                good += 1
                if good == 3:
                    return ""
        return "the kernel does not stamp what TCP receives"
