"""The contestants: how each gateway is started in front of the mock, and which processes are its own."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import stillwatch.gateway.hooks
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import open_folder

MODELS = ("bench-small", "bench-large", "bench-stream-2", "bench-stream-4", "bench-stream-10")
START_S = 180.0  # LiteLLM took 17 to 38 s on a busy machine
OURS = {
    "worker": r"stillwatch\.gateway\.child worker",
    "recorder": r"stillwatch\.gateway\.child recorder",
    "detector": r"stillwatch\.gateway\.child detector",
    "template": r"stillwatch\.gateway\.child template",  # its folder's name may hold "serve"
    "supervisor": r"serve",
}


@dataclass
class Contestant:
    """One gateway that runs. `pid` is its first process; None for the upstream itself."""

    name: str
    port: int
    key: str = "none"
    pid: int | None = None
    parts: dict[str, str] = field(default_factory=dict)  # process names by pattern of the command line
    scale: float = 1.0  # of the number of requests: fewer for slow ones
    folder: Path | None = None


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def listening(port: int) -> bool:
    with socket.socket() as found:
        found.settimeout(1)
        return found.connect_ex(("127.0.0.1", port)) == 0


def pinned(cpus: set[int] | None) -> Callable[[], None] | None:
    return (lambda: os.sched_setaffinity(0, cpus)) if cpus else None


@contextmanager
def running(
    command: list[str], port: int, log: Path, cpus: set[int] | None, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, wait until its port answers, and end it with all its children afterwards."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            preexec_fn=pinned(cpus),
            start_new_session=True,
        )
    try:
        until = time.monotonic() + START_S
        while not listening(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


NGINX = """
daemon off; worker_processes 1; user root; error_log {folder}/error.log; pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  keepalive_requests 10000000; keepalive_timeout 300s; tcp_nodelay on;
  client_max_body_size 64m; client_body_buffer_size 256k; proxy_buffers 16 64k; proxy_buffer_size 64k;
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass {scheme}://mock; proxy_http_version 1.1; proxy_set_header Connection ""; {tls} }}
  }}
}}
"""
TLS = "proxy_ssl_trusted_certificate {certificate}; proxy_ssl_verify on; proxy_ssl_name localhost;"


@contextmanager
def nginx(
    binary: str, upstream: int, folder: Path, cpus: set[int] | None, certificate: Path | None = None
) -> Iterator[Contestant]:
    """Debian's nginx: one worker, no access log, keep-alive both ways, bodies in memory.

    certificate: of an upstream that speaks TLS.
    """
    folder.mkdir()
    port = free_port()
    conf = folder / "nginx.conf"
    scheme, tls = ("https", TLS.format(certificate=certificate)) if certificate else ("http", "")
    conf.write_text(NGINX.format(folder=folder, upstream=upstream, port=port, scheme=scheme, tls=tls))
    with running([binary, "-c", str(conf), "-p", str(folder)], port, folder / "log", cpus) as process:
        name = "nginx, TLS upstream" if certificate else "nginx"
        yield Contestant(name, port, pid=process.pid, parts={"worker": "nginx"})


ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {types}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: "/"}}, route: {{cluster: mock, timeout: 0s}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": {types}.http.router.v3.Router}}
  clusters:
  - name: mock
    type: STATIC
    load_assignment:
      cluster_name: mock
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}
"""


@contextmanager
def envoy(binary: str, upstream: int, folder: Path, cpus: set[int] | None) -> Iterator[Contestant]:
    """Envoy as a plain proxy: one worker thread, no access log, no filter but the router."""
    folder.mkdir()
    port, conf = free_port(), folder / "envoy.yaml"
    types = "type.googleapis.com/envoy.extensions.filters"
    conf.write_text(ENVOY.format(port=port, upstream=upstream, types=types))
    command = [binary, "-c", str(conf), "--concurrency", "1", "-l", "error", "--disable-hot-restart"]
    with running(command, port, folder / "log", cpus) as process:
        yield Contestant("Envoy", port, pid=process.pid, parts={"worker": "envoy"})


@contextmanager
def hooks(binary: str, upstream: int, folder: Path, cpus: set[int] | None) -> Iterator[Contestant]:
    """Envoy with `stillwatch serve`'s hooks port, with capture, by the shipped configuration.

    Answers are not captured: Envoy does not send them.
    """
    made = open_folder(folder)
    with ControlState(made.state, made.secret()) as state:
        key, hook = (state.issue(name, now_us=time.time_ns() // 1000) for name in ("bench", "hook:envoy"))
    port, asked, served, admin = (free_port() for _ in range(4))
    text = (Path(stillwatch.gateway.hooks.__file__).parent / "files" / "envoy.yaml").read_text()
    for old, new in ((8000, upstream), (8082, asked), (8090, port)):
        text = text.replace(f"port_value: {old}", f"port_value: {new}").replace(f":{old}", f":{new}")
    conf = made.path / "envoy.yaml"
    conf.write_text(text.replace("sk-sw-...", hook))
    program = Path(sys.executable).parent / "stillwatch"
    serve = f"{program} serve --upstream http://127.0.0.1:{upstream} --folder {folder} --port {served}"
    serve += f" --admin-port {admin} --hooks-port {asked}"
    envoy = f"{binary} -c {conf} --concurrency 1 -l error --disable-hot-restart"
    ready = f"until (exec 3<>/dev/tcp/127.0.0.1/{asked}) 2>/dev/null; do sleep .2; done"
    command = ["bash", "-c", f"trap 'kill $(jobs -p)' TERM; {serve} & {ready}; {envoy} & wait; wait"]
    parts = {"Envoy": "envoy.yaml", "hooks": r"stillwatch\.gateway\.child hooks", **OURS}
    with running(command, port, folder.with_suffix(".log"), cpus) as process:
        yield Contestant("Envoy + hooks", port, key, process.pid, parts, folder=folder)


LITELLM = """
model_list:
{models}
general_settings: {{master_key: "{key}"{general}}}
litellm_settings: {{telemetry: false{settings}}}
"""


@contextmanager
def litellm(
    python: str, upstream: int, folder: Path, cpus: set[int] | None, tuned: bool
) -> Iterator[Contestant]:
    """LiteLLM's proxy, one worker.

    Tuned: as its page "Best Practices for Production" advises without a database or Redis (production mode,
    errors only, no error logs, a timeout of 600 s), and beyond it httptools, no retries, no spend logs.
    """
    folder.mkdir()
    port, key = free_port(), "sk-" + secrets.token_hex(24)
    models = "\n".join(
        f"  - {{model_name: {name}, litellm_params: {{model: openai/{name}, "
        f'api_base: "http://127.0.0.1:{upstream}/v1", api_key: none}}}}'
        for name in MODELS
    )
    general = ", disable_spend_logs: true, disable_error_logs: true" if tuned else ""
    fast = ", num_retries: 0, turn_off_message_logging: true, set_verbose: false, request_timeout: 600"
    settings = fast if tuned else ""
    conf = folder / "config.yaml"
    conf.write_text(LITELLM.format(models=models, key=key, general=general, settings=settings))
    env = {"LITELLM_MASTER_KEY": key, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    if tuned:
        extra = str(Path(python).parent.parent / "httptools")
        env |= {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "PYTHONPATH": extra}
    program = str(Path(python).parent / "litellm")
    command = [program, "--config", str(conf), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--num_workers", "1"]
    with running(command, port, folder / "log", cpus, env) as process:
        name = "LiteLLM, tuned" if tuned else "LiteLLM"
        yield Contestant(name, port, key, process.pid, {"worker": "litellm"}, scale=0.02)


@contextmanager
def ours(
    upstream: int,
    folder: Path,
    cpus: set[int] | None,
    workers: int,
    source: Path | None = None,
    certificate: Path | None = None,
) -> Iterator[Contestant]:
    """`stillwatch serve` as installed: default policy, issued keys, durable capture, recorder and detector.

    source: another version's `src`, to compare with this one. certificate: of an upstream with TLS.
    """
    port, admin = free_port(), free_port()
    made = open_folder(folder)
    with ControlState(made.state, made.secret()) as state:
        key = state.issue("bench", now_us=time.time_ns() // 1000)
    program = str(Path(sys.executable).parent / "stillwatch")
    origin = f"https://localhost:{upstream}" if certificate else f"http://127.0.0.1:{upstream}"
    command = [program, "serve", "--upstream", origin, "--folder", str(folder)]
    command += ["--upstream-ca", str(certificate)] if certificate else []
    command += ["--port", str(port), "--admin-port", str(admin), "--workers", str(workers)]
    log = folder.with_suffix(".log")
    env = {"STILLWATCH_UPSTREAM_KEY": "none"} | ({"PYTHONPATH": str(source.resolve())} if source else {})
    with running(command, port, log, cpus, env) as process:
        name = "Stillwatch" if workers == 1 else f"Stillwatch, {workers} workers"
        name += " (before)" if source else ""
        name += ", TLS upstream" if certificate else ""
        yield Contestant(name, port, key, process.pid, OURS, folder=folder)
