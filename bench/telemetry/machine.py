"""The whole machine, and the processes of a server on it: who listens, and all that it started."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from bench.telemetry.files import text_in
from bench.telemetry.source import Description, ElsewhereError, Found, Source, UnreadableError

_TUNNELS = frozenset({"ssh", "sshd", "autossh", "kubectl", "socat", "cloudflared"})
_CONTAINER_PORTS = frozenset(
    {"docker-proxy", "rootlessport", "rootlesskit", "slirp4netns", "pasta"}
)
"""They listen for a server in a container, which is no child of theirs."""
_SCAN_S = 5.0


class Machine(Source):
    """CPU, memory and swap as the operating system counts them."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._pressure = root / "proc/pressure/memory"
        self._asked = False
        reads = ["cpu_share", "memory_used_bytes", "swap_used_bytes", "swapped_in_bytes"]
        blind = {}
        if text_in(self._pressure):
            reads.append("memory_pressure_percent")
        else:
            blind["memory pressure"] = "the kernel does not show it"
        self.description = Description(
            "machine", "this machine", tuple(reads), exactness="by the system", blind=blind
        )

    def gauges(self) -> Mapping[str, float]:
        """What the system says now; `swapped_in_bytes` counts from its start."""
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        values = {
            "memory_used_bytes": float(memory.total - memory.available),
            "swap_used_bytes": float(swap.used),
            "swapped_in_bytes": float(swap.sin),
        }
        busy = psutil.cpu_percent() / 100
        if self._asked:  # the first answer of each thread is of nothing
            values["cpu_share"] = busy
        self._asked = True
        if found := re.search(r"some avg10=([\d.]+)", text_in(self._pressure)):
            values["memory_pressure_percent"] = float(found[1])
        return values


class ServerProcesses(Source):
    """The tree of processes below the one that listens."""

    def __init__(self, root: psutil.Process) -> None:
        self._root = root
        self._tree: list[psutil.Process] = []
        self._scanned_s = float("-inf")
        self._cpu_s: dict[int, float] = {}
        self._at_s = 0.0
        self.description = Description(
            f"server {root.pid}",
            f"process {root.name()} and its children",
            ("server_cpu_cores", "server_rss_bytes", "server_processes"),
            exactness=(
                "by the system; resident memory includes mapped weights, and counts pages "
                "that processes share once for each"
            ),
        )

    def gauges(self) -> Mapping[str, float]:
        """Cores in use since the last reading, and resident memory.

        Raises:
            UnreadableError: the server has ended.
        """
        now_s = time.monotonic()
        if now_s - self._scanned_s >= _SCAN_S:
            self._scan(now_s)
        cpu_s: dict[int, float] = {}
        rss = 0
        for process in self._tree:
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    rss += process.memory_info().rss
            except psutil.Error:
                self._scanned_s = float("-inf")  # a runner ended: look again next time
                continue
            cpu_s[process.pid] = times.user + times.system
        values = {"server_rss_bytes": float(rss), "server_processes": float(len(cpu_s))}
        known = cpu_s.keys() & self._cpu_s.keys()
        if known and now_s > self._at_s:
            used = sum(cpu_s[pid] - self._cpu_s[pid] for pid in known)
            values["server_cpu_cores"] = max(0.0, used) / (now_s - self._at_s)
        self._cpu_s, self._at_s = cpu_s, now_s
        if not cpu_s:
            raise UnreadableError("the server's process has ended")
        return values

    def _scan(self, now_s: float) -> None:
        try:
            self._tree = [self._root, *self._root.children(recursive=True)]
        except psutil.Error as error:
            raise UnreadableError(f"the server's process: {error}") from None
        self._scanned_s = now_s


def find_server(port: int) -> Found:
    """The processes of the server that listens on a TCP port of this machine.

    Raises:
        ElsewhereError: the port is the mouth of a tunnel.
    """
    if not port:
        return [], {"server's processes": "it listens on a Unix socket"}
    try:
        sockets = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return [], {"server's processes": "only root may see who listens on this system"}
    listening = [s for s in sockets if s.status == psutil.CONN_LISTEN]
    pids = {s.pid for s in listening if s.pid and getattr(s.laddr, "port", 0) == port}
    if not pids:
        return [], {"server's processes": "they belong to another user or to a container"}
    try:
        root = min((psutil.Process(pid) for pid in pids), key=lambda p: p.create_time())
        if root.pid == os.getpid():
            return [], {"server's processes": "the server is a part of this program"}
        if root.name() in _CONTAINER_PORTS:
            return [], {"server's processes": f"they are in a container ({root.name()} listens)"}
        if root.name() in _TUNNELS:
            raise ElsewhereError(f"not seen: {root.name()} passes port {port} on elsewhere")
        return [ServerProcesses(root)], {}
    except psutil.Error as error:
        return [], {"server's processes": str(error)}
