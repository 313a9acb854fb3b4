"""The address of an Ollama server: what a user may write, taken apart once.

Accepted are the forms of `OLLAMA_HOST` (`host`, `host:port`, `:port`), URLs with a base path
(`https://gpu.example.org/ollama`), IPv6 (`[::1]:11434`) and Unix sockets (`unix:///run/ollama.sock`,
or `http+unix://%2Frun%2Follama.sock/base`).

Credentials are kept in memory only: no `repr`, no `url` and no error message shows them.
"""

from __future__ import annotations

import base64
import ipaddress
import netrc
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from bench.errors import UsageError

OLLAMA_PORT = 11434
TOKEN_VARIABLE = "OLLAMA_BENCH_TOKEN"
"""Environment variable with a bearer token for every target without credentials in its URL."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ADVICE = 'write it as "http://127.0.0.1:11434", "gpu-box:11434" or "unix:///run/ollama.sock"'


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is and how to be let in.

    Attributes:
        scheme: `http` or `https`.
        host: name or IP address, without brackets; "localhost" for a Unix socket.
        port: TCP port; 0 for a Unix socket.
        base_path: what stands before "/api/...": "" or "/ollama".
        unix_socket: path of the socket, "" for TCP.
        insecure: do not verify the certificate.
        ca_file: PEM file of the authority to trust, "" for the system's.
        authorization: value of the Authorization header, "" for none.
    """

    scheme: str
    host: str
    port: int
    base_path: str = ""
    unix_socket: str = ""
    insecure: bool = False
    ca_file: str = ""
    authorization: str = field(default="", repr=False)

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        insecure: bool = False,
        ca_file: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> Address:
        """Take an address apart and find the credentials for it.

        Credentials come from the URL (`https://user:password@host`), else from the environment
        variable `OLLAMA_BENCH_TOKEN` (bearer token), else from the netrc file (an entry of exactly
        this host; its `default` entry is not used).

        Args:
            url: as the user wrote it.
            insecure: accept any certificate.
            ca_file: PEM file of a certificate authority to trust instead of the system's.
            environ: the environment; None means the process's own.

        Raises:
            UsageError: it cannot be an address.
        """
        environ = os.environ if environ is None else environ
        text = url.strip()
        parts = _split(text if "://" in text else f"http://{text}")
        secret = _from_url(parts)
        if parts.scheme in ("unix", "http+unix"):
            path, base = _unix_path(parts)
            secret = secret or _from_environment(environ)
            return cls("http", "localhost", 0, base, path, authorization=secret)
        if parts.scheme not in _DEFAULT_PORTS:
            raise UsageError(
                f"the target address uses {parts.scheme!r}, not http or https", _ADVICE
            )
        host = _host(parts)
        bare_port = OLLAMA_PORT if "://" not in text else _DEFAULT_PORTS[parts.scheme]
        if parts.query or parts.fragment:
            raise UsageError(
                "the target address has a '?' or '#' part, which makes no sense", _ADVICE
            )
        return cls(
            parts.scheme,
            host,
            _port(parts, bare_port),
            _base(parts.path),
            insecure=insecure,
            ca_file=ca_file,
            authorization=secret or _from_environment(environ) or _from_netrc(host, environ),
        )

    @property
    def authority(self) -> str:
        """Host and port as in the Host header; the port only where it is not the scheme's own.

        The zone of a link-local IPv6 address means nothing to the other side (RFC 6874).
        """
        return self._netloc(self.host.partition("%")[0])

    @property
    def url(self) -> str:
        """The normalised URL, without credentials; may be shown and stored."""
        if self.unix_socket:
            return f"unix://{self.unix_socket}{':' + self.base_path if self.base_path else ''}"
        return f"{self.scheme}://{self._netloc(self.host.replace('%', '%25'))}{self.base_path}"

    def _netloc(self, host: str) -> str:
        host = f"[{host}]" if ":" in host else host
        return host if self.port in (0, _DEFAULT_PORTS[self.scheme]) else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, by its name alone."""
        if self.unix_socket or self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def proxy(self) -> str:
        """URL of the proxy that the environment asks for, "" for none.

        HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY count, on macOS and Windows the system's
        settings too. This machine is never asked through a proxy.
        """
        if self.is_loopback or proxy_bypass(self.host):
            return ""
        proxies = getproxies()
        return proxies.get(self.scheme) or proxies.get("all") or ""

    def tls_context(self) -> ssl.SSLContext:
        """What `https` is spoken with: verification on unless `insecure`, HTTP/1.1 only.

        Raises:
            UsageError: the authority's file cannot be read.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ssl.SSLError) as e:
            raise UsageError(
                f"{self.ca_file}: cannot be used as certificate authority: {e}",
                "it must be a PEM file with the certificate that signed the server's",
            ) from e
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        return context

    def request_head(self, method: str, path: str) -> bytes:
        """A request's head up to and including "Content-Length: ", so that the number follows."""
        lines = [
            f"{method} {self.base_path}{path} HTTP/1.1",
            f"Host: {self.authority}",
            "User-Agent: ollama-bench",
            "Accept: */*",
            "Accept-Encoding: identity",
            "Content-Type: application/json",
        ]
        if self.authorization:
            lines.append(f"Authorization: {self.authorization}")
        lines.append("Content-Length: ")
        return "\r\n".join(lines).encode("latin-1")


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError as e:
        raise UsageError("the target address is not a URL", _ADVICE) from e


def _host(parts: SplitResult) -> str:
    host = unquote(parts.hostname or "")
    if any(c.isspace() or not c.isprintable() for c in host + parts.path):
        raise UsageError("the target address has blanks or control characters in it", _ADVICE)
    try:
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError as e:
        raise UsageError("the host of the target address is not a host name", _ADVICE) from e
    # A server is told to listen on 0.0.0.0, but is reached on a real address; so does Ollama's own
    # client with OLLAMA_HOST.
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _port(parts: SplitResult, default: int) -> int:
    try:
        port = parts.port
    except ValueError as e:
        raise UsageError(
            "the port of the target address is not a number up to 65535", _ADVICE
        ) from e
    return default if port is None else port


def _unix_path(parts: SplitResult) -> tuple[str, str]:
    """Path of the socket and base path of the API behind it."""
    if parts.scheme == "http+unix":
        path, base = unquote(parts.netloc.rpartition("@")[2]), parts.path
    else:
        path, _, base = unquote(parts.path).partition(":")
    if not path.startswith("/"):
        raise UsageError("the path of the Unix socket is not absolute", _ADVICE)
    return path, _base(base)


def _base(path: str) -> str:
    """The base path as it goes on the request line."""
    return quote(path, safe="/%:@!$&'()*+,;=~").rstrip("/")


def _from_url(parts: SplitResult) -> str:
    if parts.username is None and parts.password is None:
        return ""
    return _basic(unquote(parts.username or ""), unquote(parts.password or ""))


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _from_environment(environ: Mapping[str, str]) -> str:
    token = environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        return ""
    if not token.isascii() or not token.isprintable():
        raise UsageError(f"{TOKEN_VARIABLE} is not a token: it has characters no header may hold")
    return f"Bearer {token}"


def _from_netrc(host: str, environ: Mapping[str, str]) -> str:
    """Basic credentials of exactly this host; a missing or broken file means none."""
    file = environ.get("NETRC", "")
    path = Path(file) if file else Path("~/.netrc").expanduser()
    try:
        entry = netrc.netrc(path).hosts.get(host)
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return ""
    return _basic(entry[0], entry[2] or "") if entry else ""
