from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.ollama.address import Address


@pytest.fixture(autouse=True)
def no_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "url", "authority"),
    [
        # As OLLAMA_HOST: without a scheme the port is Ollama's, with one it is the scheme's.
        ("localhost", "http://localhost:11434", "localhost:11434"),
        ("gpu-box:8080", "http://gpu-box:8080", "gpu-box:8080"),
        (":11500", "http://127.0.0.1:11500", "127.0.0.1:11500"),
        ("0.0.0.0", "http://127.0.0.1:11434", "127.0.0.1:11434"),
        ("[::]:11434", "http://[::1]:11434", "[::1]:11434"),
        ("http://gpu-box", "http://gpu-box", "gpu-box"),
        ("https://gpu.example.org", "https://gpu.example.org", "gpu.example.org"),
        ("https://gpu.example.org:8443/", "https://gpu.example.org:8443", "gpu.example.org:8443"),
        ("http://gpu/ollama/", "http://gpu/ollama", "gpu"),
        ("gpu:1234/a/b", "http://gpu:1234/a/b", "gpu:1234"),
        ("http://[fe80::1%25eth0]:1", "http://[fe80::1%25eth0]:1", "[fe80::1]:1"),
        ("bücher.example", "http://xn--bcher-kva.example:11434", "xn--bcher-kva.example:11434"),
        ("http://gpu/ä", "http://gpu/%C3%A4", "gpu"),
        (" HTTP://GPU:80 ", "http://gpu", "gpu"),
        ("unix:///run/o.sock", "unix:///run/o.sock", "localhost"),
        ("unix:///run/o.sock:/base/", "unix:///run/o.sock:/base", "localhost"),
        ("http+unix://%2Frun%2Fo.sock/base", "unix:///run/o.sock:/base", "localhost"),
    ],
)
def test_forms(text: str, url: str, authority: str) -> None:
    address = Address.parse(text, environ={})
    assert (address.url, address.authority) == (url, authority)
    assert Address.parse(address.url, environ={}) == address


@pytest.mark.parametrize(
    "text",
    [
        "ftp://gpu",
        "http://gpu:99999",
        "http://gpu:x",
        "http://[::1",
        "http://gpu/?a=1",
        "http://gpu/#x",
        "http://gpu box",
        "unix://relative",
    ],
)
def test_what_cannot_be_an_address(text: str) -> None:
    with pytest.raises(UsageError) as e:
        Address.parse(text, environ={})
    assert e.value.advice


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    try:
        address = Address.parse(text, environ={})
    except UsageError:
        return
    head = address.request_head("POST", "/api/chat")
    assert head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r")


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_credentials_of_the_url_come_first(tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine gpu login bob password n\ndefault login eve password d\n")
    environ = {"OLLAMA_BENCH_TOKEN": "t0ken", "NETRC": str(netrc)}
    with_url = Address.parse("http://ann:p%40ss@gpu", environ=environ)
    assert with_url.authorization == basic("ann:p@ss")
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
    address = Address.parse("https://ann:hunter2@gpu/x", environ={})
    shown = f"{address!r} {address} {address.url} {address.authority}"
    assert "hunter2" not in shown and "ann" not in shown and address.authorization not in shown
    with pytest.raises(UsageError) as e:
        Address.parse("https://ann:hunter2@gpu:nope", environ={})
    assert "hunter2" not in str(e.value)
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
