"""Whatever is wrong: one clear message, the right exit code, no traceback."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from scripted_wire import CERTIFICATE

GOOD = "schema: 1\nname: mine\nprompts: [Hello]\nload: {closed: {users: [1], requests: 2}}\n"


def check(done, code, *said):
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for words in said:
        assert words in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("load: {closed: [\n", "mine.yaml"),
        (GOOD.replace("users: [1]", "users: many"), "load.closed.users"),
        (GOOD + "modles: [x]\n", "models"),
        (GOOD + "options: {num_ctxx: 5}\n", "num_ctx"),
        ("prompts: []\n", "prompts"),
    ],
)
def test_a_wrong_scenario_file(command, tmp_path, content, said):
    (tmp_path / "mine.yaml").write_text(content)
    check(command("run", "mine.yaml", "-m", "m"), 2, "mine.yaml", said)


def test_all_errors_of_a_file_are_told_at_once(command, tmp_path):
    wrong = GOOD.replace("requests: 2", "requests: none") + "modles: [x]\nblocks: -1\n"
    (tmp_path / "mine.yaml").write_text(wrong)
    stderr = check(command("run", "mine.yaml", "-m", "m"), 2)
    for key in ("requests", "modles", "blocks"):
        assert key in stderr


def test_a_missing_file(process):
    check(process("run", "nowhere/mine.yaml", "-m", "m"), 2, "nowhere/mine.yaml")


def test_an_unknown_scenario_names_the_nearest(command):
    check(command("run", "chatt", "-m", "m"), 2, "chatt", "chat")


def test_a_wrong_override(command):
    check(command("run", "chat", "-m", "m", "--set", "load.closed.user=3"), 2, "users")


def test_nobody_answers(command):
    check(command("run", "smoke", "-m", "m"), 6, "no server answers", "ollama serve", "--host")


def test_an_address_that_is_none(command):
    check(command("run", "smoke", "-m", "m", "--host", "http://a b:x"), 2, "a b:x")


@contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class WebSite(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"<html>It works!</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class NotHttp(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(100)
        self.request.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


def test_a_web_site_is_not_ollama(command):
    with serving(HTTPServer(("127.0.0.1", 0), WebSite)) as host:
        check(command("run", "smoke", "-m", "m", host=host), 6, "not what Ollama sends", "11434")


def test_another_protocol_is_not_ollama(command):
    with serving(socketserver.TCPServer(("127.0.0.1", 0), NotHttp)) as host:
        check(command("run", "smoke", "-m", "m", host=host), 6, "not Ollama")


def test_a_model_that_is_not_installed(process, simulated):
    stderr = check(
        process("run", "smoke", "-m", "sim-smal", host=simulated.url),
        2,
        "sim-smal is not installed",
    )
    assert "ollama pull sim-smal" in stderr
    assert "sim-small:latest" in stderr


def test_a_model_that_cannot_chat(command, simulated):
    check(command("run", "smoke", "-m", "sim-embed", host=simulated.url), 2, "cannot chat")


def test_a_cloud_model(command, simulated):
    check(command("run", "smoke", "-m", "gpt-oss:120b-cloud", host=simulated.url), 2, "cloud model")


def test_thinking_asked_of_a_model_that_cannot(command, simulated):
    arguments = ("run", "smoke", "-m", "sim-small", "--set", "think=true")
    check(command(*arguments, host=simulated.url), 2, "cannot think")


def test_no_model_named_lists_what_is_installed(command, simulated):
    stderr = check(command("run", "smoke", host=simulated.url), 2, "no model is named")
    assert "sim-small:latest" in stderr and "-m" in stderr


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_an_output_that_is_a_file(command, simulated, tmp_path, name):
    (tmp_path / "file").write_text("")
    done = command("run", "smoke", "-m", "sim-small", "-o", name, "-q", host=simulated.url)
    check(done, 2, "cannot write", "-o")


def test_an_output_that_cannot_be_written(command, simulated):
    done = command("run", "smoke", "-m", "sim-small", "-o", "/proc/runs", "-q", host=simulated.url)
    check(done, 2, "cannot write", "-o")


def test_a_full_disk(process, simulated):
    """Files may not grow beyond a few kilobytes: the run ends with one message."""
    import resource

    done = process(
        "run",
        "smoke",
        "-m",
        "sim-small",
        "--set",
        "load.closed.requests=200",
        "-q",
        host=simulated.url,
        # Python would keep bytecode that is cut off at the limit.
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    stderr = check(done, 2, "cannot write", "requests.jsonl")
    assert "is kept" in stderr


def test_a_transport_that_does_not_exist(command, simulated):
    done = command("run", "smoke", "-m", "sim-small", "--transport", "pigeon", host=simulated.url)
    check(done, 2, "pigeon", "kernel")


def test_output_directories_that_exist_are_kept(command, simulated, tmp_path):
    paths = set()
    for _ in range(2):
        done = command("run", "smoke", "-m", "sim-small", "-q", "--no-report", host=simulated.url)
        assert done.returncode == 0, done.stderr
        paths.add(done.stdout.strip())
    assert len(paths) == 2
    assert all(json.loads((tmp_path / p / "run.json").read_text())["status"] for p in paths)


def test_a_certificate_that_nobody_trusts_is_told_with_both_ways_out(command):
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server) as address:
        host = f"https://localhost:{address.rpartition(':')[2]}"
        check(command("run", "smoke", "-m", "m", "--host", host), 6, "--ca-file", "--insecure")


@pytest.mark.parametrize("name", ["doctor", "models"])
@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("ftp://x", "unknown scheme 'ftp'"),
        ("127.0.0.1:99999", "'99999' is not a port"),
        ("http://me:hunter2@x", "OLLAMA_BENCH_TOKEN"),
    ],
)
def test_an_ollama_host_that_is_none(command, name, host, said):
    stderr = check(command(name, host=host), 2, "OLLAMA_HOST", said)
    assert "hunter2" not in stderr
    check(command(name, "--host", host), 2, "--host", said)


def test_a_transport_without_the_self_test_it_is_for(command):
    check(command("doctor", "--transport", "user"), 2, "--self-test")
    check(command("doctor", "--self-test", "--load-from", "local:2"), 2, "--load-from")
