"""The memory of each process of a gateway: `python benchmarks/gateway_memory.py --before OLD/src`.

`stillwatch serve` with defaults, in front of the mock upstream, some seconds after its start and again after
requests. RSS counts every mapped page, Pss divides shared pages among their processes, private pages are the
process's own: what the machine regains when it ends.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from gateway import start_mock
from gateway_bench import contestants as who
from gateway_bench.cost import part_of

HERE = Path(__file__).parent
SETTLE_S = 8.0  # imports, and the first findings
FIELDS = {"RSS": ("Rss",), "Pss": ("Pss",), "private": ("Private_Clean", "Private_Dirty")}


def held(pid: int) -> dict[str, float]:
    """Return MB of one process, by kind of count."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    kb = {name: int(size) for name, size in re.findall(r"(?m)^(\w+): +(\d+) kB", text)}
    return {column: sum(kb[name] for name in names) * 1024 / 1e6 for column, names in FIELDS.items()}


def table(pid: int) -> str:
    """Format the processes of a gateway, as lines."""
    first = psutil.Process(pid)
    found = {part_of(process, who.OURS): held(process.pid) for process in (first, *first.children(True))}
    found["together"] = {column: sum(part[column] for part in found.values()) for column in FIELDS}
    return "\n".join(
        f"  {name:11}" + "".join(f"{column} {mb:6.1f}   " for column, mb in sizes.items())
        for name, sizes in found.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--before", type=Path, metavar="SRC", help="another version's src, measured first")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--kind", default="small")
    parser.add_argument("--connections", type=int, default=32)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = start_mock(stack, None)[1]
        for source in [given.before, None] if given.before else [None]:
            name = "before" if source else "now"
            with who.ours(port, folder / f"serve-{name}", None, 1, source) as gateway:
                assert gateway.pid is not None
                time.sleep(SETTLE_S)
                print(f"{name}, at the start, MB:\n{table(gateway.pid)}", flush=True)
                work = {"port": gateway.port, "key": gateway.key, "kind": given.kind, "limit_s": 500}
                work |= {"connections": given.connections, "requests": given.requests}
                words = [sys.executable, "-m", "gateway_bench.load", json.dumps(work)]
                subprocess.run(words, cwd=HERE, check=True, stdout=subprocess.DEVNULL)
                time.sleep(SETTLE_S)
                print(f"{name}, after {given.requests:,} requests, MB:\n{table(gateway.pid)}", flush=True)


if __name__ == "__main__":
    main()
