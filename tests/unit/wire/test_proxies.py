"""Whatever stands in the environment as a proxy: it can be used, or one message says why not."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.address import Address
from bench.errors import BenchError, ServerUnreachable, UsageError
from bench.ollama.control import Control
from bench.ollama.managed import free_port
from bench.wire.proxies import proxy_for
from bench.wire.transports import choose_transport

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
SERVER = Address.parse("http://gpu.example.org:11434", environ={})


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("value", "used"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("proxy:3128", "http://proxy:3128"),
        (" http://u:p@proxy:3128/ ", "http://u:p@proxy:3128/"),
        ("", ""),
        ("   ", ""),
    ],
)
def test_usual_values(value: str, used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", value)
    assert proxy_for(SERVER) == used


@pytest.mark.parametrize(
    ("listed", "host", "direct"),
    [
        ("gpu-box", "gpu-box:11434", True),
        ("corp", "gpu.corp:11434", True),
        ("gpu-box:11434", "gpu-box:11434", True),
        ("gpu-box:8080", "gpu-box:11434", False),
        ("localhost, 10.0.0.0/8", "10.1.2.3:11434", True),
        ("10.0.0.0/8", "11.1.2.3:11434", False),
        ("10.1.2.3:11434", "10.1.2.3:11434", True),
        ("fd00::/8", "http://[fd00::5]:11434", True),
        ("10.0.0.0/8", "http://[fd00::5]:11434", False),
        ("fd00::5", "http://[fd00::5]:11434", True),
        ("[fd00::5]:11434", "http://[fd00::5]:11434", True),
    ],
)
def test_no_proxy_is_read_as_ollamas_client_reads_it(
    listed: str, host: str, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", listed)
    assert (proxy_for(Address.parse(host, environ={})) == "") is direct


@pytest.mark.parametrize(
    "value",
    [
        "http://",
        "http://[::bad",
        "http://p:99999",
        "ftp://p:1",
        "http://u:s3cret@p:x",
        "a b",
        "http://p:0",
    ],
)
def test_what_is_no_proxy_is_named_without_its_secrets(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", value)
    with pytest.raises(UsageError, match="ALL_PROXY") as caught:
        choose_transport(SERVER)
    assert "s3cret" not in f"{caught.value.message} {caught.value.advice}"
    # This machine's own server is asked without any.
    assert proxy_for(Address.parse("127.0.0.1", environ={})) == ""


def test_socks_without_its_library_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://u:s3cret@proxy:1080")
    monkeypatch.setattr("bench.wire.proxies.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="ALL_PROXY cannot be used: SOCKS needs socksio") as caught:
        Control.of(SERVER)
    assert "s3cret" not in f"{caught.value.message} {caught.value.advice}"


async def test_a_proxy_that_is_not_there_is_blamed_not_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    async with Control.of(SERVER) as control:
        with pytest.raises(
            ServerUnreachable, match=r"the proxy before .* cannot be reached"
        ) as said:
            await control.version()
    assert "NO_PROXY" in said.value.advice


@pytest.mark.slow
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
)
async def test_any_value_is_a_proxy_or_one_message(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in (value, f"http://{value}", f"http://{value}@p:1", f"http://p:{value}"):
        monkeypatch.setenv("http_proxy", text)
        try:
            transport, _ = choose_transport(SERVER)
            await transport.aclose()
            await Control.of(SERVER).aclose()
        except BenchError as error:
            said = error.message
        else:
            said = ""
        assert "\n" not in said
