"""Whose port it is: a server that answers need not be the one that was started."""

from __future__ import annotations

import psutil


def listens(pid: int, port: int) -> bool | None:
    """Whether a process, or one that it started, listens on a port of this machine.

    Returns:
        None if the system does not tell.
    """
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return None
    listening = [_one_listens(one, port) for one in family]
    return True if True in listening else None if None in listening else False


def _one_listens(process: psutil.Process, port: int) -> bool | None:
    # Renamed in psutil 6; the old name goes away.
    connections = getattr(process, "net_connections", None) or process.connections
    try:
        found = connections("tcp")
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return None
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in found)
