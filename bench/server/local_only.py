"""Who may ask a server that listens on this machine only: what Ollama checks of Host and Origin.

Against web pages that a browser on this machine shows (DNS rebinding, cross-site requests). The
rules are those of `allowedHostsMiddleware` and of the origins of `envconfig` (ollama/ollama,
server/routes.go, envconfig/config.go); the answer is 403 without a body.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

_LOCAL_ENDINGS = (".localhost", ".local", ".internal")
_LOCAL_ORIGINS = ("localhost", "127.0.0.1", "0.0.0.0")
_APP_SCHEMES = ("app", "file", "tauri", "vscode-webview", "vscode-file")


def may_ask(headers: Mapping[str, str], loopback: bool) -> bool:
    """Whether a request may be answered.

    Names of headers are in small letters. Unless the server listens on a loopback address, any Host
    will do.
    """
    host = headers.get("host", "")
    if loopback and not _local_host(_without_port(host)):
        return False
    origin = headers.get("origin", "")
    return not origin or _local_origin(origin, host)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def _local_host(host: str) -> bool:
    name = host.lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        known = ("", "localhost", socket.gethostname().lower())
        return name in known or name.endswith(_LOCAL_ENDINGS)
    return address.is_loopback or address.is_private or address.is_unspecified


def _local_origin(origin: str, host: str) -> bool:
    if origin in (f"http://{host}", f"https://{host}"):
        return True
    try:
        parts = urlsplit(origin)
        name = parts.hostname
    except ValueError:
        return False
    if parts.scheme in _APP_SCHEMES:
        return True
    return parts.scheme in ("http", "https") and name in _LOCAL_ORIGINS
