from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scenario.hosts import default_host, parse_host


# The first rows are those of Ollama's own test of OLLAMA_HOST (envconfig/config_test.go).
@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":1234", "http://127.0.0.1:1234"),
        ("1.2.3.4:1234", "http://1.2.3.4:1234"),
        ("example.com", "http://example.com:11434"),
        ("example.com:1234", "http://example.com:1234"),
        ("[::1]", "http://[::1]:11434"),
        ("[::]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::1]:1337", "http://[::1]:1337"),
        (" 1.2.3.4 ", "http://1.2.3.4:11434"),
        ('"1.2.3.4"', "http://1.2.3.4:11434"),
        ("' 1.2.3.4 '", "http://1.2.3.4:11434"),
        ("1.2.3.4/", "http://1.2.3.4:11434"),
        ("example.com/", "http://example.com:11434"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("http://1.2.3.4:4321", "http://1.2.3.4:4321"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://1.2.3.4:4321", "https://1.2.3.4:4321"),
        ("example.com/ollama", "http://example.com:11434/ollama"),
        ("https://example.com/a/b/", "https://example.com:443/a/b"),
        ("ollama.com", "https://ollama.com:443"),
        ("0.0.0.0:11434", "http://127.0.0.1:11434"),
        ("unix:///run/ollama.sock", "unix:///run/ollama.sock"),
    ],
)
def test_an_address_reads_as_ollama_reads_it(value: str, url: str) -> None:
    assert parse_host(value) == url


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("box:66000", "not a port"),
        ("box:-1", "not a port"),
        ("box:abc", "not a port"),
        ("ftp://box", "unknown scheme"),
        ("two words", "not the name"),
        ("unix://relative.sock", "absolute path"),
        ("https://me:secret@box", "credentials"),
    ],
)
def test_what_is_no_address_is_refused(value: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_host(value)


def test_a_secret_is_not_repeated() -> None:
    with pytest.raises(ValueError) as caught:
        parse_host("https://me:hunter2@box")
    assert "hunter2" not in str(caught.value)


def test_the_environment_decides_if_nothing_else_does() -> None:
    assert default_host({}) == "http://127.0.0.1:11434"
    assert default_host({"OLLAMA_HOST": "gpu:8080"}) == "http://gpu:8080"
    with pytest.raises(ValueError, match="OLLAMA_HOST: 'x' is not a port"):
        default_host({"OLLAMA_HOST": "gpu:x"})


@given(st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z]{2,5})?", fullmatch=True), st.integers(0, 65535))
def test_a_normalised_address_stays_itself(host: str, port: int) -> None:
    url = parse_host(f"{host}:{port}")
    assert url == f"http://{host}:{port}"
    assert parse_host(url) == url
