from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.address import Address, default_url, full_url
from bench.errors import UsageError


@pytest.fixture(autouse=True)
def no_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


# The first 22 rows that can be an address are those of Ollama's own test of OLLAMA_HOST
# (envconfig/config_test.go): the URL it makes, except that a server's 0.0.0.0 is connected to.
FORMS = [
    ("", "http://127.0.0.1:11434", "127.0.0.1:11434"),
    ("1.2.3.4", "http://1.2.3.4:11434", "1.2.3.4:11434"),
    (":1234", "http://127.0.0.1:1234", "127.0.0.1:1234"),
    ("1.2.3.4:1234", "http://1.2.3.4:1234", "1.2.3.4:1234"),
    ("example.com", "http://example.com:11434", "example.com:11434"),
    ("example.com:1234", "http://example.com:1234", "example.com:1234"),
    (":0", "http://127.0.0.1:0", "127.0.0.1"),
    ("[::1]", "http://[::1]:11434", "[::1]:11434"),
    ("[::]", "http://[::1]:11434", "[::1]:11434"),
    ("::1", "http://[::1]:11434", "[::1]:11434"),
    ("[::1]:1337", "http://[::1]:1337", "[::1]:1337"),
    (" 1.2.3.4 ", "http://1.2.3.4:11434", "1.2.3.4:11434"),
    ('"1.2.3.4"', "http://1.2.3.4:11434", "1.2.3.4:11434"),
    ("' 1.2.3.4 '", "http://1.2.3.4:11434", "1.2.3.4:11434"),
    ("1.2.3.4/", "http://1.2.3.4:11434", "1.2.3.4:11434"),
    ("example.com/", "http://example.com:11434", "example.com:11434"),
    ("http://1.2.3.4", "http://1.2.3.4:80", "1.2.3.4"),
    ("http://1.2.3.4:4321", "http://1.2.3.4:4321", "1.2.3.4:4321"),
    ("https://1.2.3.4", "https://1.2.3.4:443", "1.2.3.4"),
    ("https://1.2.3.4:4321", "https://1.2.3.4:4321", "1.2.3.4:4321"),
    ("example.com/ollama", "http://example.com:11434/ollama", "example.com:11434"),
    ("https://example.com/a/b/", "https://example.com:443/a/b", "example.com"),
    ("ollama.com", "https://ollama.com:443", "ollama.com"),
    # What a server may listen on, but nobody connects to.
    ("0.0.0.0", "http://127.0.0.1:11434", "127.0.0.1:11434"),
    ("0.0.0.0:11500", "http://127.0.0.1:11500", "127.0.0.1:11500"),
    ("http://0.0.0.0", "http://127.0.0.1:80", "127.0.0.1"),
    ("::", "http://[::1]:11434", "[::1]:11434"),
    ("[::]:11500", "http://[::1]:11500", "[::1]:11500"),
    ("http://:8080", "http://127.0.0.1:8080", "127.0.0.1:8080"),
    ("[]:8080", "http://127.0.0.1:8080", "127.0.0.1:8080"),
    # Names and paths.
    ("localhost", "http://localhost:11434", "localhost:11434"),
    ("gpu_box:8080", "http://gpu_box:8080", "gpu_box:8080"),
    ("gpu:", "http://gpu:11434", "gpu:11434"),
    ("GPU.Example.org", "http://gpu.example.org:11434", "gpu.example.org:11434"),
    (" HTTP://GPU:80 ", "http://gpu:80", "gpu"),
    ("https://gpu:80", "https://gpu:80", "gpu:80"),
    ("http://gpu/ollama/", "http://gpu:80/ollama", "gpu"),
    ("gpu:1234/a/b", "http://gpu:1234/a/b", "gpu:1234"),
    ("http://gpu/ä", "http://gpu:80/%C3%A4", "gpu"),
    ("http://gpu/a%20b", "http://gpu:80/a%20b", "gpu"),
    ("bücher.example", "http://xn--bcher-kva.example:11434", "xn--bcher-kva.example:11434"),
    # IPv6: long forms, mapped addresses, zones.
    ("2001:DB8:0:0::1", "http://[2001:db8::1]:11434", "[2001:db8::1]:11434"),
    ("https://[2001:db8::1]", "https://[2001:db8::1]:443", "[2001:db8::1]"),
    ("fe80::1%eth0", "http://[fe80::1%25eth0]:11434", "[fe80::1]:11434"),
    ("[fe80::1%eth0]:1", "http://[fe80::1%25eth0]:1", "[fe80::1]:1"),
    ("http://[fe80::1%25eth0]:1", "http://[fe80::1%25eth0]:1", "[fe80::1]:1"),
    # Unix sockets.
    ("unix:///run/o.sock", "unix:///run/o.sock", "localhost"),
    ("unix:///run/a%20b.sock", "unix:///run/a%20b.sock", "localhost"),
    ("unix:///run/o.sock:/base/", "unix:///run/o.sock:/base", "localhost"),
    ("unix:///run/o.sock:base", "unix:///run/o.sock:/base", "localhost"),
    ("http+unix://%2Frun%2Fo.sock", "unix:///run/o.sock", "localhost"),
    ("http+unix://%2Frun%2Fo.sock/base", "unix:///run/o.sock:/base", "localhost"),
]


@pytest.mark.parametrize(("text", "url", "authority"), FORMS)
def test_forms(text: str, url: str, authority: str) -> None:
    address = Address.parse(text, environ={})
    assert (address.url, address.authority) == (url, authority)
    assert full_url(text) == url
    assert Address.parse(address.url, environ={}) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("box:66000", "not a port"),
        ("box:-1", "not a port"),
        ("box:abc", "not a port"),
        ("http://gpu:99999999999999999999", "not a port"),
        ("http://gpu:x", "not a port"),
        ("http://gpu:٣", "not a port"),
        ("ftp://gpu", "unknown scheme 'ftp'"),
        ("http://[::1", "not the name"),
        ("http://[gpu]", "not an IPv6 address"),
        ("1:2:3", "not the name"),
        ("http://gpu/?a=1", "no meaning"),
        ("http://gpu/#x", "no meaning"),
        ("http://gpu box", "blanks"),
        ("two words", "blanks"),
        ("http://gp\x1bu", "control characters"),
        ("a..b", "not the name"),
        ("unix://relative", "absolute path"),
        ("unix:///run/%00", "control characters"),
        ("http+unix://relative", "absolute path"),
        ("https://me:hunter2@box", "credentials"),
        ("me:hunter2@box", "credentials"),
        ("http+unix://me:hunter2@%2Frun", "credentials"),
    ],
)
def test_what_cannot_be_an_address(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as e:
        Address.parse(text, environ={})
    assert e.value.advice
    assert "hunter2" not in str(e.value)
    with pytest.raises(ValueError, match=why):
        full_url(text)


def test_the_environment_decides_if_nothing_else_does() -> None:
    assert default_url({}) == "http://127.0.0.1:11434"
    assert default_url({"OLLAMA_HOST": "gpu:8080"}) == "http://gpu:8080"
    with pytest.raises(ValueError, match="OLLAMA_HOST: 'x' is not a port"):
        default_url({"OLLAMA_HOST": "gpu:x"})


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    try:
        address = Address.parse(text, environ={})
    except UsageError:
        return
    assert Address.parse(address.url, environ={}) == address
    head = address.request_head("POST", "/api/chat")
    assert head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r")


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_where_credentials_come_from(tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine gpu login bob password n\ndefault login eve password d\n")
    environ = {"OLLAMA_BENCH_TOKEN": "t0ken", "NETRC": str(netrc)}
    assert Address.parse("http://gpu", environ=environ).authorization == "Bearer t0ken"
    del environ["OLLAMA_BENCH_TOKEN"]
    assert Address.parse("http://gpu", environ=environ).authorization == basic("bob:n")
    # Credentials meant for anybody are given to nobody.
    assert Address.parse("http://other", environ=environ).authorization == ""


def test_missing_or_broken_netrc_is_none(tmp_path: Path) -> None:
    assert Address.parse("http://gpu", environ={}).authorization == ""
    broken = tmp_path / "broken"
    broken.write_text("machine machine machine login")
    assert Address.parse("http://gpu", environ={"NETRC": str(broken)}).authorization == ""


def test_secrets_are_never_shown() -> None:
    address = Address.parse("https://gpu/x", environ={"OLLAMA_BENCH_TOKEN": "hunter2"})
    shown = f"{address!r} {address} {address.url} {address.authority}"
    assert "hunter2" not in shown and address.authorization not in shown
    with pytest.raises(UsageError) as e:
        Address.parse("https://gpu", environ={"OLLAMA_BENCH_TOKEN": "hun\nter2"})
    assert "ter2" not in str(e.value)


def test_request_head() -> None:
    address = Address.parse("http://gpu/base", environ={"OLLAMA_BENCH_TOKEN": "t"})
    lines = address.request_head("POST", "/api/chat").split(b"\r\n")
    assert lines[0] == b"POST /base/api/chat HTTP/1.1"
    assert lines[-1] == b"Content-Length: "
    assert b"Host: gpu" in lines and b"Authorization: Bearer t" in lines


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("localhost", True),
        ("api.localhost", True),
        ("127.3.2.1", True),
        ("[::1]", True),
        ("unix:///x", True),
        ("0.0.0.0", True),
        ("192.168.1.2", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback(text: str, loopback: bool) -> None:
    assert Address.parse(text, environ={}).is_loopback is loopback


def test_authority_file_that_is_none(tmp_path: Path) -> None:
    for content in (None, "not a certificate"):
        file = tmp_path / "ca.pem"
        if content is not None:
            file.write_text(content)
        address = Address.parse("https://gpu", ca_file=str(file), environ={})
        with pytest.raises(UsageError, match="certificate authority"):
            address.tls_context()
