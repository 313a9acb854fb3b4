"""The address of a server, read as Ollama itself reads OLLAMA_HOST.

Source of the rules: `envconfig/config.go` of Ollama, `Host` and `ConnectableHost`. Ours in
addition: `unix:///path/of/socket`, and an error instead of a silent default for what is no address.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import quote

from bench.errors import UsageError

DEFAULT_PORT = "11434"
_PORTS = {"http": "80", "https": "443"}


def default_host(environ: Mapping[str, str] | None = None) -> str:
    """The URL that OLLAMA_HOST stands for, or that of a local server if it is not set.

    Raises:
        ValueError: OLLAMA_HOST is not an address.
    """
    value = (os.environ if environ is None else environ).get("OLLAMA_HOST", "")
    try:
        return parse_host(value)
    except ValueError as error:
        raise ValueError(f"OLLAMA_HOST: {error}") from None


def server_url(given: str | None) -> str:
    """The URL of the one server that a command asks: the one given, else that of OLLAMA_HOST.

    Raises:
        UsageError: it is not an address.
    """
    try:
        return parse_host(given) if given else default_host()
    except ValueError as error:
        raise UsageError(f"--host: {error}" if given else str(error)) from None


def parse_host(value: str) -> str:
    """The URL of a server: scheme, host and port, and the base path if there is one.

    Without a scheme the port is 11434; with `http://` it is 80, with `https://` 443. An address
    that only a server can listen on (0.0.0.0, ::) becomes the loopback address.

    Raises:
        ValueError: not an address; the message says what would be.
    """
    text = value.strip().strip("\"'").strip()
    if text.startswith("unix://"):
        return _unix(text)
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
        if text == "ollama.com":
            scheme, rest = "https", "ollama.com:443"
    if scheme not in _PORTS:
        raise ValueError(f"unknown scheme {scheme!r}: give http://, https:// or unix://")
    authority, _, path = rest.partition("/")
    if "@" in authority:
        raise ValueError(
            "credentials must not stand in an address, since it is stored with every run: "
            "set OLLAMA_BENCH_TOKEN, or use a netrc file"
        )
    host, port = _split(authority, _PORTS[scheme] if separator else DEFAULT_PORT)
    path = path.rstrip("/")
    return f"{scheme}://{host}:{port}" + (f"/{path}" if path else "")


def _unix(text: str) -> str:
    path = text.removeprefix("unix://")
    if not path.startswith("/"):
        raise ValueError("a socket is given by its absolute path: unix:///path/of/socket")
    return f"unix://{quote(path, safe='/')}" if "%" not in path else text


def _split(authority: str, default_port: str) -> tuple[str, str]:
    bare = _address(authority.strip("[]"))
    if bare is not None:
        return bare, default_port
    host, colon, port = authority.rpartition(":")
    if not colon:
        host, port = authority, default_port
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{port!r} is not a port in {authority!r}")
    if not host:
        return "127.0.0.1", port
    literal = _address(host.strip("[]"))
    if literal is None and not _is_name(host):
        raise ValueError(f"{host!r} is not the name or address of a host")
    return literal or host, port


def _address(text: str) -> str | None:
    """An IP address as it stands in a URL; None if it is a name."""
    if not text:
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return str(address) if address.version == 4 else f"[{address}]"


def _is_name(host: str) -> bool:
    return all(c.isalnum() or c in "-._" for c in host)
