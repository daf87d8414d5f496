#!/usr/bin/env python3
"""A fleet's requests to its object store per hour, idle and under load, and their price.

    python benchmarks/object_store_requests.py --store radosgw    # Ceph: see tests/object_stores.py
    python benchmarks/object_store_requests.py --store moto --minutes 5 --rate 50

Two gateways with a real PostgreSQL and a real store, each behind a proxy that counts requests. After a minute
to settle it counts under --rate requests a second, half of them at each gateway, each a unique text of 300
words. Then it counts without requests. Hours are extrapolated proportionally.

Two effects that grow with the segments of an hour do not show in a few minutes, so they are calculated and
added: five minutes after its end an hour is merged, and each merged segment costs a HEAD, a DELETE and a PUT
(of the empty folder that pyarrow leaves); and a list has a page per thousand segments of the hour.

Prices are those of S3 Standard in us-east-1, without storage and a host's CPU.
"""

import contextlib
import itertools
import json
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from arguments import parser_of

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import postgres_server  # noqa: E402 - the tests' own world
import s3_server  # noqa: E402
from fleet_world import FleetServed, fleet, url_of  # noqa: E402
from gateway_world import until  # noqa: E402
from upstream import Upstream  # noqa: E402

WORDS = 300
USD = {"PUT": 5e-6, "LIST": 5e-6, "GET": 0.4e-6, "DELETE": 0.0}  # a request: S3 Standard, us-east-1
MONTH_H = 730
PAGE = 1_000  # objects in an answer to LIST
NAMES = ("a", "b")
HOUR = re.compile(r"segments%2F[^%]+%2F\d{4}-")  # one hour of one gateway


def kind(one: s3_server.StoreRequest) -> str:
    """Return the billing kind: POST counts as PUT, HEAD as GET."""
    if one.method == "GET" and "list-type=2" in one.url:
        return "LIST"
    return {"POST": "PUT", "HEAD": "GET"}.get(one.method, one.method)


def texts(seed: int) -> Iterator[str]:
    """Yield texts that share only single words."""
    syllables = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]
    words = ["".join(parts) for parts in itertools.product(syllables, repeat=3)]
    chance = np.random.default_rng(seed)
    while True:
        yield " ".join(words[one] for one in chance.integers(0, len(words), WORDS))


def ask(gateway: FleetServed, key: str, per_s: float, ended: threading.Event, got: Counter[str]) -> None:
    """Send requests at a steady pace; overdue ones are sent at once."""
    connection = gateway.connect()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    next_s = time.monotonic()
    for text in texts(sum(gateway.name.encode())):
        if ended.wait(max(0.0, next_s - time.monotonic())):
            break
        next_s += 1 / per_s
        body = json.dumps({"model": "mira", "messages": [{"role": "user", "content": text}]})
        connection.request("POST", "/v1/chat/completions", body, headers)
        answer = connection.getresponse()
        answer.read()
        got[str(answer.status)] += 1
    connection.close()


@contextmanager
def load(served: list[FleetServed], key: str, per_s: float) -> Iterator[Counter[str]]:
    """Send requests to all gateways while the block runs; provides their answers."""
    got: Counter[str] = Counter()
    ended = threading.Event()
    threads = [
        threading.Thread(target=ask, args=(one, key, per_s / len(served), ended, got)) for one in served
    ]
    for one in threads:
        one.start()
    try:
        yield got
    finally:
        ended.set()
        for one in threads:
            one.join(60)


def whole_hour(asked: list[s3_server.StoreRequest], times: float, others: int) -> Counter[str]:
    """Return requests per hour: those counted, plus a whole hour's segments. others: another gateway's."""
    found = Counter({name: round(many * times) for name, many in Counter(map(kind, asked)).items()})
    merged = round(segments(asked) * times)
    found.update({"GET": merged, "DELETE": merged, "PUT": merged})
    lists = sum(kind(one) == "LIST" and HOUR.search(one.url) is not None for one in asked) * times
    pages = sum(-(-count // PAGE) or 1 for count in range(others + 1)) / (others + 1)
    found["LIST"] += round(lists * (pages - 1))
    return found


def segments(asked: list[s3_server.StoreRequest]) -> int:
    """Return the number of uploads."""
    return sum(one.method == "PUT" and ".parquet" in one.url for one in asked)


def rows(doors: list[s3_server.S3Server], holder: str, what: str, seconds: float) -> list[str]:
    """Return the lines of one phase: each gateway's requests and bytes an hour, and dollars."""
    lines = []
    times = 3600 / seconds
    for name, door in zip(NAMES, doors, strict=True):
        others = sum(segments(one.requests) for one in doors if one is not door)
        found = whole_hour(door.requests, times, round(others * times))
        failed = sum(one.status >= 500 for one in door.requests)
        sent, got = (sum(getattr(one, side) for one in door.requests) for side in ("sent_bytes", "got_bytes"))
        usd = sum(USD[one] * many for one, many in found.items())
        counts = " | ".join(f"{found[one]:,}" for one in USD)
        role = "runs the detector" if name == holder else "standby"
        lines.append(
            f"| {what}, {role} | {counts} | {sent * times / 1e6:.2f} | {got * times / 1e6:.2f} "
            f"| {usd:.4f} | {usd * MONTH_H:.2f} |" + (f" {failed} failed" if failed else "")
        )
    return lines


@contextmanager
def counted(store: str) -> Iterator[tuple[str, list[s3_server.S3Server]]]:
    """Provide a store with a proxy for each gateway: the address of its bucket, and the proxies."""
    with s3_server.serving("" if store == "moto" else store) as first, ExitStack() as stack:
        doors = [first.another() for _ in NAMES]
        for one in doors:
            one.start()
            stack.callback(one.stop)
        yield first.bucket().partition("?")[0], doors


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--store", default="radosgw", help="radosgw, swift, moto, or an endpoint's URL")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each of the two counts")
    parser.add_argument("--settle-s", type=float, default=60.0, help="before each count")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second, over both gateways")
    given = parser.parse_args()
    lines: list[str] = []
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stillwatch-store-")))
        server = stack.enter_context(postgres_server.running())
        if server is None:
            sys.exit(postgres_server.WHY_NOT)
        shared, doors = stack.enter_context(counted(given.store))
        up = stack.enter_context(Upstream())
        environments = {
            name: {"AWS_ENDPOINT_URL_S3": door.endpoint} for name, door in zip(NAMES, doors, strict=True)
        }
        served = stack.enter_context(
            fleet(place, up.url, url_of(server), *NAMES, environments=environments, shared=shared)
        )
        until(lambda: any(one.pids("detector") for one in served), 120, "a detector")
        holder = next(one.name for one in served if one.pids("detector"))
        key = served[0].issue("acct_1")
        got: Counter[str] = Counter()
        for what in (f"{given.rate:g} requests a second", "idle"):
            with contextlib.nullcontext() if what == "idle" else load(served, key, given.rate) as answers:
                time.sleep(given.settle_s)
                got = answers if answers is not None else got
                for one in doors:
                    one.requests.clear()
                before, began_s = sum(got.values()), time.monotonic()
                time.sleep(given.minutes * 60)
                lines += rows(doors, holder, what, time.monotonic() - began_s)
                asked = sum(got.values()) - before
            lines.append(f"<!-- {what}: {asked:,} requests, answers {dict(got)} -->")
        assert [one.name for one in served if one.pids("detector")] == [holder], "the detector moved"
    print("| | PUT | LIST | GET | DELETE | MB up | MB down | $ an hour | $ a month |")
    print("|---|---|---|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
