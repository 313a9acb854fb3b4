"""The address of a server: every form that a user may write, taken apart in one place.

Read as Ollama reads OLLAMA_HOST (`envconfig/config.go`, `Host` and `ConnectableHost`): `host`,
`host:port`, `:port`, IPv6 with or without brackets, URLs with a base path, quotes and blanks
around it. Ours in addition: Unix sockets (`unix:///run/ollama.sock`, with a base path behind a
colon, or `http+unix://%2Frun%2Follama.sock/base`), IPv6 zones, international names, and an error
instead of a silent default for what is no address.

An address with a password in it is refused, since addresses are stored with every run. Credentials
come from the environment or a netrc file; they are kept in memory only, and no `repr`, no `url`
and no error message shows them.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, unquote

from bench.credentials import TOKEN_VARIABLE, credentials_for
from bench.errors import UsageError
from bench.files import open_file

OLLAMA_PORT = 11434

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ADVICE = 'write it as "http://127.0.0.1:11434", "gpu-box:11434" or "unix:///run/ollama.sock"'
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::(.*))?")


def default_url(environ: Mapping[str, str] | None = None) -> str:
    """The URL that OLLAMA_HOST stands for, or that of a local server if it is not set.

    Raises:
        ValueError: OLLAMA_HOST is not an address.
    """
    value = (os.environ if environ is None else environ).get("OLLAMA_HOST", "")
    try:
        return full_url(value)
    except ValueError as error:
        raise ValueError(f"OLLAMA_HOST: {error}") from None


def server_url(given: str | None, option: str = "--host") -> str:
    """The URL of the one server that a command asks: that given by an option, else OLLAMA_HOST's.

    Raises:
        UsageError: it is not an address.
    """
    try:
        return full_url(given) if given else default_url()
    except ValueError as error:
        raise UsageError(f"{option}: {error}" if given else str(error), _ADVICE) from None


def full_url(text: str) -> str:
    """The normal form of an address: scheme, host and port, and the base path if there is one.

    Raises:
        ValueError: not an address; the message says why, and repeats no password.
    """
    return _take_apart(text).url


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
        ca_file: PEM file of the authority to trust in place of the system's, "" for those.
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

    @staticmethod
    def parse(
        url: str,
        *,
        insecure: bool = False,
        ca_file: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> Address:
        """Take an address apart, as the user wrote it, and find the credentials for it.

        Credentials come from the environment variable `OLLAMA_BENCH_TOKEN` (bearer token), else
        from the netrc file (an entry of exactly this host; its `default` entry is not used).
        `environ` is the environment, None the process's own.

        Raises:
            UsageError: it cannot be an address.
        """
        environ = os.environ if environ is None else environ
        try:
            address = _take_apart(url)
        except ValueError as error:
            raise UsageError(f"the target address: {error}", _ADVICE) from None
        secret = credentials_for("" if address.unix_socket else address.host, environ)
        return replace(address, insecure=insecure, ca_file=ca_file, authorization=secret)

    @property
    def authority(self) -> str:
        """Host and port as in the Host header; the port only where it is not the scheme's own.

        The zone of a link-local IPv6 address means nothing to the other side (RFC 6874).
        """
        host = _in_url(self.host.partition("%")[0])
        return host if self.port in (0, _DEFAULT_PORTS[self.scheme]) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The normal form, always with its port and without credentials; may be shown and stored.

        `Address.parse` of it is the same address.
        """
        if self.unix_socket:
            base = f":{self.base_path}" if self.base_path else ""
            return f"unix://{quote(self.unix_socket, safe='/')}{base}"
        host = _in_url(self.host.replace("%", "%25"))
        return f"{self.scheme}://{host}:{self.port}{self.base_path}"

    @property
    def http_root(self) -> tuple[str, dict[str, str]]:
        """What httpx needs: the URL, and the headers that authorize and name the host.

        It takes the zone of an IPv6 address as the resolver does, not as a URL has it.
        """
        headers = {"Authorization": self.authorization} if self.authorization else {}
        if self.unix_socket:
            return f"http://localhost{self.base_path}", headers
        if "%" in self.host:
            headers["Host"] = self.authority
        host = _in_url(self.host)
        return f"{self.scheme}://{host}:{self.port}{self.base_path}", headers

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, by its name alone."""
        if self.unix_socket or self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def tls_context(self) -> ssl.SSLContext:
        """What `https` is spoken with: verification on unless `insecure`, HTTP/1.1 only.

        Raises:
            UsageError: the authority's file cannot be read.
        """
        file = self.ca_file or os.environ.get("SSL_CERT_FILE", "")
        try:
            if self.ca_file or (file and Path(file).exists()):
                open_file(Path(file)).close()  # OpenSSL would wait for a pipe
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ssl.SSLError) as e:
            why = "there is no such file" if isinstance(e, FileNotFoundError) else str(e)
            raise UsageError(
                f"{file}: cannot be used as certificate authority: {why}",
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


def _take_apart(text: str) -> Address:
    """What the text of an address gives.

    Raises:
        ValueError: not an address.
    """
    text = text.strip().strip("\"'").strip()
    if any(c.isspace() or not c.isprintable() for c in text):
        shown = "it" if "@" in text else repr(text)
        raise ValueError(f"{shown} has blanks or control characters in it")
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator:
        scheme, rest = ("https", "ollama.com:443") if text == "ollama.com" else ("http", text)
    if "?" in rest or "#" in rest:
        raise ValueError("a '?' or '#' has no meaning in it")
    if scheme == "unix":
        path, _, base = rest.partition(":")
        return _socket(path, base)
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        raise ValueError(
            "it holds credentials, which would be stored with every run: "
            f"leave them out, and set {TOKEN_VARIABLE} or use a netrc file"
        )
    if scheme == "http+unix":
        return _socket(authority, slash + path)
    if scheme not in _DEFAULT_PORTS:
        raise ValueError(f"unknown scheme {scheme!r}: give http://, https:// or unix://")
    host, port = _host_and_port(authority)
    by_default = _DEFAULT_PORTS[scheme] if separator else OLLAMA_PORT
    return Address(scheme, host, _port(port) if port else by_default, _base(slash + path))


def _socket(path: str, base: str) -> Address:
    path = unquote(path)
    if not path.startswith("/"):
        raise ValueError("a socket is given by its absolute path: unix:///path/of/socket")
    if not path.isprintable():
        raise ValueError("the path of the socket has control characters in it")
    return Address("http", "localhost", 0, _base(base), path)


def _host_and_port(authority: str) -> tuple[str, str]:
    """The host as it is connected to, and the text of its port ("" if there is none)."""
    if match := _BRACKETED.fullmatch(authority):
        host, port = match[1], match[2] or ""
        literal = _ip(host)
        if literal is None and host:
            raise ValueError(f"{host!r} is not an IPv6 address")
        return literal or "127.0.0.1", port
    if "[" in authority or "]" in authority:
        raise ValueError(
            f"{authority!r} is not the name or address of a host: write IPv6 as [::1]:{OLLAMA_PORT}"
        )
    if (literal := _ip(authority)) is not None:
        return literal, ""
    host, _, port = authority.rpartition(":") if ":" in authority else (authority, "", "")
    if not host:
        return "127.0.0.1", port
    return _ip(host) or _name(host), port


def _ip(text: str) -> str | None:
    """An IP address that can be connected to; None if it is none.

    A server is asked to listen on 0.0.0.0 or ::, but is reached on a real address.
    """
    try:
        address = ipaddress.ip_address(text.replace("%25", "%"))
    except ValueError:
        return None
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "::1"
    return str(address)


def _name(host: str) -> str:
    try:
        name = unquote(host).encode("idna").decode("ascii").lower()
    except UnicodeError:
        name = ""
    if not name or not all(c.isalnum() or c in "-._" for c in name):
        raise ValueError(f"{host!r} is not the name or address of a host")
    return name


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text[:6]) > 65535:
        raise ValueError(f"{text!r} is not a port: it must be a number up to 65535")
    return int(text)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _base(path: str) -> str:
    """The base path as it goes on the request line."""
    path = quote(path, safe="/%:@!$&'()*+,;=~").rstrip("/")
    return path if path.startswith("/") or not path else f"/{path}"
