"""nginx and HAProxy before a server of this machine, each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from scripted_wire import CERTIFICATE

PATHS = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
"""Debian puts servers where only root looks."""

_NGINX = """\
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  gzip on;
  gzip_proxied any;
  gzip_types *;
  upstream ollama {{ server 127.0.0.1:{server}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{http};
    listen 127.0.0.1:{https} ssl http2;
    server_name localhost;
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_buffering off;
    location / {{ proxy_pass http://ollama; proxy_set_header Host localhost; }}
    location /buffered/ {{
      proxy_pass http://ollama/; proxy_set_header Host localhost;
      proxy_buffering on; proxy_buffer_size 4k; proxy_buffers 4 4k;
    }}
    location /old/ {{
      proxy_pass http://ollama/; proxy_set_header Host localhost; proxy_http_version 1.0;
    }}
    location /brief/ {{
      proxy_pass http://ollama/; proxy_set_header Host localhost; keepalive_requests 2;
    }}
    location /small/ {{
      proxy_pass http://ollama/; proxy_set_header Host localhost; client_max_body_size 100;
    }}
    location /hasty/ {{
      proxy_pass http://ollama/; proxy_set_header Host localhost; proxy_read_timeout 300ms;
    }}
    location /nowhere/ {{ proxy_pass http://127.0.0.1:{nobody}; }}
  }}
}}
"""

_HAPROXY = """\
global
  maxconn 256
  ssl-default-bind-options no-tls-tickets
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
frontend here
  bind 127.0.0.1:{http}
  bind 127.0.0.1:{https} ssl crt {certificate} alpn h2,http/1.1
  use_backend hasty if {{ path_beg /hasty/ }}
  use_backend nowhere if {{ path_beg /nowhere/ }}
  use_backend closing if {{ path_beg /closing/ }}
  default_backend ollama
backend ollama
  http-reuse always
  server one 127.0.0.1:{server}
backend closing
  option httpclose
  http-request replace-path /closing(/.*) \\1
  server one 127.0.0.1:{server}
backend hasty
  timeout server 300ms
  http-request replace-path /hasty(/.*) \\1
  server one 127.0.0.1:{server}
backend nowhere
  retries 0
  server one 127.0.0.1:{nobody}
"""


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def installed(name: str) -> str | None:
    """Where a proxy is, None if it is not installed."""
    return shutil.which(name, path=PATHS)


@asynccontextmanager
async def proxy(name: str, server: int, folder: Path) -> AsyncIterator[tuple[int, int]]:
    """A proxy before a server; its ports for http and https.

    Args:
        name: "nginx" or "haproxy".
        server: port of the server.
        folder: for its files.
    """
    http, https = free_port(), free_port()
    text = (_NGINX if name == "nginx" else _HAPROXY).format(
        user="user root;" if os.geteuid() == 0 else "",
        folder=folder,
        server=server,
        http=http,
        https=https,
        nobody=free_port(),
        certificate=CERTIFICATE,
    )
    config = folder / f"{name}.conf"
    config.write_text(text)
    program = installed(name)
    assert program is not None
    options = ["-p", str(folder), "-c", str(config)] if name == "nginx" else ["-db", "-f", config]
    log = (folder / f"{name}.out").open("wb")
    process = await asyncio.create_subprocess_exec(
        program, *options, stdout=log, stderr=log, start_new_session=True
    )
    try:
        async with asyncio.timeout(10):
            await _listening(http, process)
        yield http, https
    finally:
        log.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM if name == "nginx" else signal.SIGKILL)
        await process.wait()


async def _listening(port: int, process: asyncio.subprocess.Process) -> None:
    while True:
        assert process.returncode is None, "it ended at once; see its .out file"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        return
