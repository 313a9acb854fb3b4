"""The proxy that the environment asks for."""

from __future__ import annotations

import ipaddress
from importlib.util import find_spec
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from bench.address import Address
from bench.errors import UsageError
from bench.hidden import remember

_SCHEMES = ("http", "https", "socks5", "socks5h")


def proxy_for(address: Address) -> str:
    """URL of the proxy that the environment asks for, "" for none.

    HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY count, on macOS and Windows the system's
    settings too. NO_PROXY is read as Ollama's own client does (golang.org/x/net/http/httpproxy):
    names with their subdomains, addresses, networks such as 10.0.0.0/8, each with or without a
    port. This machine is never asked through a proxy. As with curl, a proxy without a scheme is
    spoken to in http.

    Raises:
        UsageError: it cannot be the address of a proxy.
    """
    proxies = getproxies()
    if address.is_loopback or _asked_directly(address, proxies.get("no", "")):
        return ""
    scheme = address.scheme if proxies.get(address.scheme) else "all"
    text = (proxies.get(scheme) or "").strip()
    if not text:
        return ""
    url = text if "://" in text else f"http://{text}"
    if why := _why_not(url):
        # Its value is not shown: it may hold a password.
        raise UsageError(
            f"the proxy in {scheme.upper()}_PROXY cannot be used: {why}",
            "write it as http://HOST:PORT, or list the server's host in NO_PROXY",
        )
    if password := urlsplit(url).password:
        remember(password)
    return url


def _asked_directly(address: Address, listed: str) -> bool:
    host = address.host
    with_port = f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
    if proxy_bypass(host) or proxy_bypass(with_port):
        return True
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in listed.split(","):
        try:
            if ip in ipaddress.ip_network(entry.strip(), strict=False):
                return True
        except ValueError:
            continue  # a name
    return False


def _why_not(url: str) -> str:
    if not url.isascii() or not url.isprintable() or " " in url:
        return "it has blanks or characters no address may hold"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "it is not an address"
    if parts.scheme not in _SCHEMES:
        return f"its scheme is none of {', '.join(_SCHEMES)}"
    if not host or port == 0:
        return "it names no host" if not host else "its port is 0"
    if parts.scheme.startswith("socks") and find_spec("socksio") is None:
        return "SOCKS needs socksio, which is not installed (pip install socksio)"
    return ""
