"""The files of deploy/: the image is built and started, the others are checked with their own tools."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

import image_world
from gateway_world import UPSTREAM_KEY, free_port, until
from hooks_world import environment, running
from image_world import ROOT
from served import COMMAND, children, served
from upstream import Upstream

DEPLOY = ROOT / "deploy"
COMPOSE = sorted(DEPLOY.glob("compose*.yaml"))
CHART = DEPLOY / "helm" / "stillwatch"
UNITS = sorted((DEPLOY / "systemd").iterdir())


def options_of_serve() -> set[str]:
    done = subprocess.run([*COMMAND, "serve", "--help"], capture_output=True, text=True, check=True)
    return set(re.findall(r"--[a-z-]+", done.stdout))


def words_of_compose() -> list[list[str]]:
    files = [yaml.safe_load(path.read_text("utf-8")) for path in COMPOSE]
    services = [one for file in files for one in file["services"].values()]
    return [
        one["command"] for one in services if one.get("image") == "stillwatch" and "entrypoint" not in one
    ]


def words_of_units() -> list[list[str]]:
    starts = re.findall(
        r"^ExecStart=(.*)$", "\n".join(path.read_text("utf-8") for path in UNITS), re.MULTILINE
    )
    return [line.split()[1:] for line in starts]


@pytest.mark.slow
def test_what_is_started_exists_as_a_command_with_these_options() -> None:
    image = [json.loads(rest) for name, rest in image_world.instructions() if name == "CMD"]
    known = options_of_serve()
    found = [*words_of_compose(), *words_of_units(), *image]
    assert len(found) == 4 + 1 + 1
    for words in found:
        assert words[0] == "serve"
        unknown = {word.partition("=")[0] for word in words if word.startswith("--")} - known
        assert not unknown, f"{' '.join(words)}: serve has no {unknown}"


def test_the_image_gets_what_its_steps_copy() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        word
        for name, rest in image_world.instructions()
        if name == "COPY" and "--from" not in rest
        for word in rest.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / one).exists() for one in copied)


def test_the_image_has_the_versions_that_are_tested() -> None:
    def pins(path: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", path.read_text("utf-8"), re.MULTILINE))

    extras = pins(DEPLOY / "extras.lock")
    tested = pins(ROOT / "requirements-dev.lock") | pins(ROOT / "requirements.lock")
    assert extras.items() <= tested.items(), "`make lock` writes deploy/extras.lock anew"
    assert {"psycopg", "opentelemetry-proto"} <= set(extras)


@pytest.mark.slow
@pytest.mark.skipif(image_world.WHY_NOT is not None, reason=str(image_world.WHY_NOT))
def test_the_image_serves_read_only_as_nobody(tmp_path: Path) -> None:
    image = image_world.build(tmp_path)
    assert image.user == "65534:65534"
    log = tmp_path / "log"
    container = image.start([*image.command, "--upstream", "http://127.0.0.1:9"], log)
    try:
        (first,) = until(lambda: children(container.pid), what="the container")
        until(lambda: image.inside(first, image.health).returncode == 0, 120, "/livez")
        owner = Path(f"/proc/{first}/status").read_text()
        assert re.search(r"^Uid:\s+65534\s+65534", owner, re.MULTILINE)
        assert re.search(r"^NSpid:.*\s1$", owner, re.MULTILINE)
        for place in ("/", "/opt/stillwatch", "/usr/local/lib"):
            assert image.inside(first, ["touch", f"{place}/mine"]).returncode != 0
        issued = image.inside(first, [*image.entrypoint, "key", "issue", "acct_1"])
        assert issued.returncode == 0, issued.stderr
        assert "sk-sw-" in issued.stdout
        join = yaml.safe_load((DEPLOY / "compose.fleet.yaml").read_text("utf-8"))["services"]["join-b"]
        copied = ["cd /tmp; " + join["command"][0].replace("/first", "/var/lib/stillwatch")]
        done = image.inside(first, [*join["entrypoint"], *copied])
        assert done.returncode == 0, done.stderr
        of_the_fleet = image.inside(first, ["ls", "-l", "/tmp"]).stdout
        assert {"secret", "audit.key", "audit.key.pub", "terms.toml"} <= set(of_the_fleet.split())
        assert re.search(r"^-rw-------.* secret$", of_the_fleet, re.MULTILINE)
        ready = [word.replace("livez", "readyz") for word in image.health]
        until(lambda: image.inside(first, ready).returncode == 0, 60, "/readyz")
        os.kill(first, signal.SIGTERM)
        assert container.wait(60) == 0, log.read_text()
    finally:
        container.kill()
        container.wait()
        shutil.rmtree(image.root)  # 700 MB


@pytest.fixture(scope="session")
def linters() -> Path:
    """The tools of deploy/linters.lock, in a separate environment."""
    lock = DEPLOY / "linters.lock"
    name = f"deploy-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    return environment(name, "--require-hashes", "-r", str(lock))


@pytest.mark.slow
def test_linters_find_nothing_in_image_and_compose_files(linters: Path) -> None:
    for words in (
        ["hadolint", str(DEPLOY / "Dockerfile")],
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", *map(str, COMPOSE)],
    ):
        done = subprocess.run([linters / words[0], *words[1:]], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


# Helm's own library from PyPI: lints a chart and renders it, without a cluster
RENDER = """
import json, sys, helm_python as helm
chart, name, values = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
found = helm.lint(chart, values, strict=True)
bad = [*found["errors"], *(m["error"] for m in found["messages"] if m["severity"] > 1)]
with helm.Chart.load(chart) as loaded:
    print(json.dumps([bad, [] if bad else list(loaded.render(values, name=name, namespace="prod").values())]))
"""
SERVED = {"upstream": "https://api.example.com", "state": "postgresql://stillwatch@db.internal/stillwatch"}
FULL = {
    **SERVED,
    "terms": 'version = 1\n\n[identity]\ntrusted_proxies = ["10.0.0.0/8"]\n',
    "shared": {"existingClaim": "exchanges"},
    "folder": {"storageClassName": "fast"},
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"pool": "gateways"},
    "tolerations": [{"key": "gateways", "operator": "Exists"}],
    "podAnnotations": {"team": "abuse"},
    "service": {"annotations": {"a": "b"}},
}
STORED = {**SERVED, "shared": {"store": "s3://exchanges/fleet", "credentialsSecret": "bucket"}}


def rendered(linters: Path, name: str, values: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    words = [linters / "python", "-c", RENDER, str(CHART), name, json.dumps(values)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    bad, texts = json.loads(done.stdout)
    return bad, [one for text in texts for one in yaml.safe_load_all(text) if one]


@pytest.mark.slow
@pytest.mark.parametrize("values", [SERVED, FULL, STORED], ids=["least", "full", "object store"])
@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_the_chart_is_what_kubernetes_takes(
    linters: Path, tmp_path: Path, values: dict[str, Any], version: str
) -> None:
    bad, objects = rendered(linters, "a-release-whose-name-is-as-long-as-helm-lets-it-be", values)
    assert not bad
    path = tmp_path / "objects.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    words = [linters / "kubernetes-validate", "--strict", "-k", version, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    many = 4 if values is STORED else 5  # it has neither a claim nor a policy
    assert done.stdout.count(" passed ") == len(objects) == many


@pytest.mark.slow
def test_the_chart_serves_as_the_image_does(linters: Path) -> None:
    _, objects = rendered(linters, "prod", FULL)
    gateways = next(one for one in objects if one["kind"] == "StatefulSet")
    pod = gateways["spec"]["template"]["spec"]
    assert gateways["spec"]["replicas"] == 3
    assert pod["securityContext"]["runAsUser"] == 65534
    for one in (*pod["initContainers"], *pod["containers"]):
        assert one["securityContext"]["readOnlyRootFilesystem"] is True
    (container,) = pod["containers"]
    assert {word.partition("=")[0] for word in container["args"][1:]} <= options_of_serve()
    places = {one["mountPath"] for one in container["volumeMounts"]}
    volumes = [rest for name, rest in image_world.instructions() if name == "VOLUME"]
    assert {*volumes, "/tmp"} <= places
    longest = rendered(linters, "a-release-whose-name-is-as-long-as-helm-lets-it-be", SERVED)[1]
    name = next(one for one in longest if one["kind"] == "StatefulSet")["metadata"]["name"]
    assert len(f"{name}-99") <= 40  # a gateway's name in the fleet


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        {"upstream": ""},
        {"upstream": "api.example.com"},
        {"state": "sqlite:///x"},
        {"state": "postgresql://stillwatch:password@db/x"},
        {"gateways": 0},
        {"detectorMemoryMb": 100},
        {"shared": {"store": "s3://key:secret@bucket/x"}},
    ],
    ids=str,
)
def test_the_chart_refuses_values_that_cannot_serve(linters: Path, wrong: dict[str, Any]) -> None:
    bad, _ = rendered(linters, "prod", SERVED | wrong)
    assert next(iter(wrong)) in " ".join(bad)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze on this machine")
@pytest.mark.slow
def test_systemd_understands_every_line_of_the_units(tmp_path: Path) -> None:
    program = tmp_path / "stillwatch"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for path in UNITS:
        text = path.read_text("utf-8").replace("/srv/stillwatch/venv/bin/stillwatch", str(program))
        (tmp_path / path.name).write_text(text)
    paths = [str(tmp_path / path.name) for path in UNITS]
    done = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@contextmanager
def made_up_gateway(name: str, ready: list[int]) -> Iterator[tuple[int, int]]:
    """Run a client port that states its name, and an admin port whose /readyz has the status `ready[0]`."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            admin = self.server is servers[1]
            known = self.path == "/readyz" and self.headers["host"] == "localhost"
            self.send_response((ready[0] if known else 421) if admin else 200)
            body = b"" if admin else f"{name} {self.headers['x-forwarded-for']}".encode()
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Answer) for _ in range(2)]
    for one in servers:
        threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield servers[0].server_port, servers[1].server_port
    finally:
        for one in servers:
            one.shutdown()
            one.server_close()


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("haproxy"), reason="no haproxy on this machine (Debian: apt-get install haproxy)"
)
def test_the_balancer_goes_by_readyz(tmp_path: Path) -> None:
    text, port = (DEPLOY / "haproxy.cfg").read_text("utf-8"), free_port()
    names = re.findall(r"server (\S+) \1:8080", text)
    services = yaml.safe_load((DEPLOY / "compose.fleet.yaml").read_text("utf-8"))["services"]
    assert names == [name for name in services if name.startswith("gateway-")]
    states = {name: [200] for name in names}
    answered: Counter[str] = Counter()

    def who() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            name, forwarded = answer.read().decode().split()
        assert forwarded == "127.0.0.1"
        answered[name] += 1
        return name

    with (
        made_up_gateway("gateway-a", states["gateway-a"]) as a,
        made_up_gateway("gateway-b", states["gateway-b"]) as b,
    ):
        for name, (clients, admin) in zip(names, (a, b), strict=False):
            text = text.replace(f"{name}:8080", f"127.0.0.1:{clients} port {admin}")  # the third is absent
        config = tmp_path / "haproxy.cfg"
        config.write_text(text.replace("bind :8080", f"bind 127.0.0.1:{port}"))
        checked = subprocess.run(["haproxy", "-c", "-f", config], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        with open(tmp_path / "log", "wb") as log:
            balancer = subprocess.Popen(["haproxy", "-f", str(config)], stdout=log, stderr=log)
        try:
            until(lambda: answers(who) and len(answered) == 2, what="both gateways get clients")
            states["gateway-a"][0] = 503  # told to stop: it still answers
            until(lambda: {who() for _ in range(6)} == {"gateway-b"}, what="nobody is sent to the first")
            states["gateway-a"][0] = 200
            answered.clear()
            until(lambda: who() and len(answered) == 2, what="the first gets clients again")
        finally:
            balancer.terminate()
            balancer.wait(60)


def answers(ask: Any) -> bool:
    try:
        return bool(ask())
    except OSError:
        return False


@pytest.mark.slow
def test_litellm_serves_behind_the_gateway_and_nobody_gets_round(tmp_path: Path) -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    service = compose["services"]["litellm"]
    (wanted,) = re.findall(r"'(litellm\[proxy\]==[\d.]+)'", service["build"]["dockerfile_inline"])
    program = environment(wanted.replace("[proxy]==", "-"), wanted) / "litellm"
    config, port = tmp_path / "config.yaml", free_port()
    config.write_text(compose["configs"]["litellm"]["content"])
    changed = {"litellm": str(program), service["configs"][0]["target"]: str(config), "4000": str(port)}
    words = [changed.get(word, word) for word in service["command"]]
    assert set(service["command"]) - set(words) == set(changed)
    with Upstream() as up:
        provider = {"OPENAI_API_KEY": "sk-provider", "OPENAI_BASE_URL": f"{up.url}/v1"}
        quiet = {"LITELLM_MASTER_KEY": UPSTREAM_KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        with running(words, tmp_path / "said", env=os.environ | provider | quiet, cwd=tmp_path):
            url = f"http://127.0.0.1:{port}"
            until(lambda: answers(lambda: urllib.request.urlopen(f"{url}/health/liveliness", timeout=5)), 180)
            with served(url) as s:
                assert s.ask() == 200, (tmp_path / "said").read_text()[-3000:]
                assert up.seen[-1].header("authorization") == "Bearer sk-provider"
                assert s.ask(authorization=f"Bearer {UPSTREAM_KEY}") == 401
                connection = s.connect()
                connection.request("GET", "/key/list", headers={"authorization": f"Bearer {s.key}"})
                assert connection.getresponse().status == 403
                connection.close()
