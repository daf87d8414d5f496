#!/usr/bin/env python3
"""The gateway's promises, tried: processes killed at random, disks that fill up and recover.

    python benchmarks/reliability.py kills --n 500
    python benchmarks/reliability.py disk --n 50       # as root: it mounts small file systems of its own
    python benchmarks/reliability.py readonly
    python benchmarks/reliability.py tokens

Each prints its results and exits with 1 if a promise was broken; `--write` puts the figures into
docs/figures/reliability.md. The upstream is the tests' own.
"""

import argparse
import fcntl
import http.client
import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from gateway_world import Running, gateway, until  # noqa: E402 - the tests' own world
from stillwatch.gateway.path.reply import Ratios, Stream  # noqa: E402
from stillwatch.terms.load import default_text  # noqa: E402
from upstream import Upstream  # noqa: E402
from upstream_replies import WORDS  # noqa: E402

PAGE = ROOT / "docs" / "figures" / "reliability.md"
BAN = '[[ban]]\nfamily = "deepseek"\n'
Say = Callable[[str], None]


# --- clients ---------------------------------------------------------------------------------------------


@dataclass
class Told:
    """The clients' results of each exchange."""

    acknowledged: set[str] = field(default_factory=set)  # status 200 and a whole body
    refused: set[str] = field(default_factory=set)  # 503
    other: Counter[str] = field(default_factory=Counter)

    @property
    def sent(self) -> int:
        return len(self.acknowledged) + len(self.refused) + sum(self.other.values())


def asked(name: str, kind: int) -> tuple[str, dict[str, Any]]:
    """Return a path and a body; `name` is unique to the exchange."""
    said = {"role": "user", "content": f"what is {name}?"}
    body: dict[str, Any] = {"model": "mira", "user": name, "stream": bool(kind % 2)}
    match kind % 10 // 2:
        case 0:
            return "/v1/chat/completions", body | {"messages": [said]}
        case 1:
            return "/v1/responses", body | {"input": said["content"]}
        case 2:
            return "/v1/messages", body | {"messages": [said], "max_tokens": 99, "model": "mira-think"}
        case 3:
            return "/v1/completions", body | {"prompt": said["content"]}
        case _:
            if kind % 2:  # a client that leaves early
                return "/v1/chat/completions", body | {"messages": [said], "model": "fault:slow"}
            return "/v1/embeddings", {"model": "mira", "user": name, "input": said["content"]}


class Clients:
    """Threads that send requests without pause, each over a kept connection."""

    def __init__(self, running: Running, count: int, seed: int, pause_s: float = 0.0) -> None:
        self.told, self._running, self._pause_s = Told(), running, pause_s
        self._prefix = f"s{seed}"
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on, args=(k, seed)) for k in range(count)]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _ask_on(self, client: int, seed: int) -> None:
        dice = random.Random(f"{seed} {client}")
        connection: http.client.HTTPConnection | None = None
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"{self._prefix}c{client}-{number}"
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self._running.port, timeout=15)
            try:
                if not self._one(connection, name, dice):
                    connection = self._gone(connection)
            except (OSError, http.client.HTTPException) as why:
                self.told.other[type(why).__name__] += 1
                connection = self._gone(connection)
                time.sleep(0.02)
            if self._pause_s:
                time.sleep(dice.random() * self._pause_s)
        self._gone(connection)

    @staticmethod
    def _gone(connection: http.client.HTTPConnection | None) -> None:
        if connection is not None:
            connection.close()

    def _one(self, connection: http.client.HTTPConnection, name: str, dice: random.Random) -> bool:
        """Make one exchange; return whether the connection can be reused."""
        path, body = asked(name, dice.randrange(10))
        tokens = {"x-tokens": str(dice.randrange(1, 40)), "content-type": "application/json"}
        connection.request("POST", path, json.dumps(body), self._running.auth | tokens)
        reply = connection.getresponse()
        if body["model"] == "fault:slow":
            reply.read(100)
            self.told.other["left early"] += 1
            return False
        reply.read()  # raises if the body is not whole
        if reply.status == 200:
            self.told.acknowledged.add(name)
        elif reply.status == 503:
            self.told.refused.add(name)
        else:
            self.told.other[str(reply.status)] += 1
        return not reply.will_close


class Witness:
    """Records which exchanges the upstream saw. It lets the upstream forget what was counted."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.saw: Counter[str] = Counter()

    def look(self, last: bool = False) -> None:
        seen = self._upstream.seen
        while seen and (last or seen[0].done or seen[0].gone):
            body = json.loads(seen.popleft().body or b"{}")
            if "user" in body:
                self.saw[body["user"]] += 1


# --- kill -9 ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kills:
    """Results for the exchanges while processes were killed."""

    workers: int
    recorders: int
    sent: int
    acknowledged: int
    seen_upstream: int
    rows: int
    outcomes: dict[str, int]
    lost: list[str]  # acknowledged, and in no segment
    unseen: list[str]  # seen by the upstream, and in no segment
    doubled: list[str]
    strange: list[str]  # impossible outcomes

    @property
    def good(self) -> bool:
        return not (self.lost or self.unseen or self.doubled or self.strange)


def kills(n: int, seed: int = 0, clients: int = 4, say: Say = lambda _: None) -> Kills:
    """Kill workers and recorders `n` times while clients send requests without pause."""
    dice = random.Random(seed)
    count: Counter[str] = Counter()
    with Upstream() as upstream, gateway(upstream.url, BAN, workers=2) as running:
        witness = Witness(upstream)
        with Clients(running, clients, seed) as asking:
            for number in range(n):
                time.sleep(dice.random() * 0.9)
                for victim in dice.choice(
                    (["worker-0"], ["worker-1"], ["recorder"], ["worker-0", "recorder"])
                ):
                    running.stop(victim, signal.SIGKILL)
                    count[victim.partition("-")[0]] += 1
                    running.start(victim)
                witness.look()
                if (number + 1) % 50 == 0:
                    say(f"{number + 1} kills, {asking.told.sent:,} exchanges sent")
            time.sleep(1.0)
        witness.look(last=True)
        rows = running.settle()
        return _judged(rows, asking.told, witness.saw, count)


def _judged(rows: list[dict[str, Any]], told: Told, saw: Counter[str], count: Counter[str]) -> Kills:
    times = Counter(row["end_user"] for row in rows)
    ids = Counter(row["exchange_id"] for row in rows)
    outcomes = {row["end_user"]: row["outcome"] for row in rows}
    right = {"complete", "unknown"}
    return Kills(
        count["worker"],
        count["recorder"],
        told.sent,
        len(told.acknowledged),
        len(saw),
        len(rows),
        dict(Counter(row["outcome"] for row in rows)),
        sorted(told.acknowledged - set(times)),
        sorted(set(saw) - set(times)),
        sorted([name for name, k in times.items() if k > 1] + [name for name, k in ids.items() if k > 1]),
        sorted(name for name in told.acknowledged & set(outcomes) if outcomes[name] not in right),
    )


# --- a full or missing disk ------------------------------------------------------------------------


class NoMount(Exception):
    """This machine does not allow mounting a file system."""


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise NoMount(f"{words[0]}: {done.stderr.strip() or done.returncode}")


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """Provide a separate file system in memory. Raises: NoMount if that is not allowed."""
    if os.geteuid() != 0:
        raise NoMount("only root may mount")
    with tempfile.TemporaryDirectory(prefix="stillwatch-disk-") as made:
        _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", made)
        try:
            yield Path(made)
        finally:
            _run("umount", "-l", made)


@contextmanager
def failing_disk(megabytes: int) -> Iterator[tuple[Path, Callable[[], None], Callable[[], None]]]:
    """Provide an ext4 in a file; a call that shuts it down like a kernel error, and one that remounts it."""
    if os.geteuid() != 0:
        raise NoMount("only root may mount")
    with tempfile.TemporaryDirectory(prefix="stillwatch-disk-") as made:
        image, at = Path(made) / "image", Path(made) / "disk"
        at.mkdir()
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        _run("mkfs.ext4", "-q", str(image))
        _run("mount", "-o", "loop", str(image), str(at))

        def down() -> None:
            handle = os.open(at, os.O_RDONLY)
            try:
                fcntl.ioctl(handle, EXT4_SHUTDOWN, struct.pack("I", 2))
            except OSError as why:
                raise NoMount(f"ext4 cannot be taken down here: {why.strerror}") from why
            finally:
                os.close(handle)

        def again() -> None:
            _run("umount", str(at))
            _run("mount", "-o", "loop", str(image), str(at))

        try:
            yield at, down, again
        finally:
            _run("umount", "-l", str(at))


EXT4_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32): include/uapi/linux/ext4.h


@dataclass(frozen=True)
class Disk:
    """Results for exchanges while the disk was repeatedly full."""

    mode: str
    fills: int
    acknowledged: int
    refused: int
    rows: int
    unrecorded: int  # seen by the upstream, and without a row
    told_in_gaps: int  # exchanges
    gaps: int
    uncaptured: int  # by the counter
    lost: list[str]  # in mode "refuse": acknowledged, but without a row
    doubled: list[str]
    unknown: int  # rows without an outcome, though nothing was killed
    restarts: int

    @property
    def good(self) -> bool:
        honest = self.told_in_gaps == self.uncaptured
        complete = self.unrecorded == self.told_in_gaps if self.mode == "serve" else not self.unrecorded
        return honest and complete and not (self.lost or self.doubled or self.unknown or self.restarts)


def _fill(disk: Path) -> Path:
    """Take every free byte."""
    ballast = disk / "ballast"
    with open(ballast, "ab", buffering=0) as file:
        for size in (1 << 20, 4096):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return ballast


def disk(n: int, mode: str, seed: int = 0, say: Say = lambda _: None) -> Disk:
    """Fill the gateway's disk `n` times while clients send requests, and free it again."""
    dice = random.Random(seed)
    terms = default_text().replace('on_failure = "serve"', f'on_failure = "{mode}"')
    with small_disk(14) as at, Upstream() as upstream, gateway(upstream.url, terms, path=at / "f") as running:
        witness = Witness(upstream)
        failed = "uncaptured" if mode == "serve" else "refused_capture"
        with Clients(running, 3, seed, pause_s=0.03) as asking:
            for number in range(n):
                time.sleep(dice.random() * 0.3)
                ballast, before = _fill(at), running.counters()
                until(lambda b=before: running.counters()[failed] > b[failed], 20, "the disk's refusal")
                time.sleep(dice.random() * 0.3)
                _fill(at)
                ballast.unlink()
                until(lambda: not running.counters()["gap_since_us"], 20, "the gap's end")
                witness.look()
                if (number + 1) % 10 == 0:
                    say(f"{number + 1} times full, {asking.told.sent:,} exchanges sent")
        witness.look(last=True)
        restarts = sum(process.poll() is not None for process in running.processes.values())
        counters = running.counters()
        rows = running.settle()
        gaps = [json.loads(line) for line in running.folder.gaps.read_bytes().splitlines() if line]
        times = Counter(row["end_user"] for row in rows)
        lost = sorted(asking.told.acknowledged - set(times)) if mode == "refuse" else []
        return Disk(
            mode, n, len(asking.told.acknowledged), len(asking.told.refused), len(rows),
            len(set(witness.saw) - set(times)), sum(gap["exchanges"] for gap in gaps), len(gaps),
            counters["uncaptured"], lost, sorted(name for name, k in times.items() if k > 1),
            sum(row["outcome"] == "unknown" for row in rows), restarts,
        )  # fmt: skip


@dataclass(frozen=True)
class Down:
    """Results for exchanges around a disk that disappeared under the gateway."""

    mode: str
    before: int  # acknowledged while it was available
    during: int  # acknowledged while it was gone
    refused: int
    after: int  # acknowledged when it was back
    lost: list[str]  # of before and after
    died: list[str]  # processes

    @property
    def good(self) -> bool:
        served = self.during > 0 if self.mode == "serve" else self.during == 0 and self.refused > 0
        return served and self.before > 0 and self.after > 0 and not (self.lost or self.died)


def down(mode: str, seconds: float = 1.5) -> Down:
    """Remove the gateway's disk while clients send requests; restore it, start again."""
    terms = default_text().replace('on_failure = "serve"', f'on_failure = "{mode}"')
    with (
        failing_disk(96) as (at, away, again),
        Upstream() as upstream,
        gateway(upstream.url, terms, path=at / "f") as running,
    ):
        until((running.folder.run / "recorder.json").exists, 30, "the recorder having begun")
        os.sync()  # what is set up only once: keys, terms, settings
        told = []
        for phase in range(3):
            if phase == 1:
                away()
            if phase == 2:
                died = [name for name, p in running.processes.items() if p.poll() is not None]
                for name in list(running.processes):
                    running.stop(name, signal.SIGKILL)
                again()
                running.start("worker-0")
                running.start("recorder")
            with Clients(running, 3, phase, pause_s=0.02) as asking:
                time.sleep(seconds)
            told.append(asking.told)
        rows = {row["end_user"] for row in running.settle()}
        lost = sorted((told[0].acknowledged | told[2].acknowledged) - rows)
        counts = [len(one.acknowledged) for one in told]
        return Down(mode, counts[0], counts[1], len(told[1].refused), counts[2], lost, died)


# --- tokens of abandoned streams --------------------------------------------------------------------


@dataclass(frozen=True)
class Tokens:
    """Output tokens of streams that clients left: by our count, and by the upstream's."""

    api: str
    learned: int  # complete streams with usage, seen before
    streams: int
    ours: int
    truth: int
    worst: float  # largest relative error of a stream

    @property
    def off(self) -> float:
        return abs(self.ours - self.truth) / max(self.truth, 1)


STREAMS = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "go on"}]}),
    "chat, thinking": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "go on"}]}),
    "completions": ("/v1/completions", {"prompt": "go on"}),
    "responses": ("/v1/responses", {"input": "go on"}),
    "messages": ("/v1/messages", {"messages": [{"role": "user", "content": "go on"}], "max_tokens": 9999}),
}


def left_streams(api: str, learned: int, streams: int = 6, seed: int = 0) -> Tokens:
    """Leave streams in the middle, after `learned` complete ones, and compare the counts."""
    path, body = STREAMS[api]
    model = f"mira-think-{learned}" if "thinking" in api else f"mira-{learned}"
    dice = random.Random(seed)
    truth: dict[str, int] = {}
    with Upstream() as upstream, gateway(upstream.url) as running:
        for number in range(learned + streams):
            leaves = number >= learned
            user = f"t{number}"
            asked = body | {"model": model, "stream": True, "user": user}
            if "messages" in path or "responses" in path:
                asked |= {"metadata": {"user_id": user}}
            elif not leaves:
                asked |= {"stream_options": {"include_usage": True}}
            told = {"x-tokens": "600" if leaves else "60", "x-fault": "slow=0.003" if leaves else ""}
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
            connection.request("POST", path, json.dumps(asked), running.auth | told)
            reply = connection.getresponse()
            if leaves:
                until_s = time.monotonic() + 0.4 + dice.random()
                while time.monotonic() < until_s:
                    reply.read1(4096)
            else:
                reply.read()
            reply.close()
            connection.close()
            seen = upstream.wait_seen(number + 1)[-1]
            truth[user] = seen.output_tokens
        rows = {row["end_user"]: row["output_tokens"] for row in running.settle()}
    users = [f"t{number}" for number in range(learned, learned + streams)]
    worst = max(abs(rows[user] - truth[user]) / truth[user] for user in users)
    return Tokens(api, learned, streams, sum(rows[u] for u in users), sum(truth[u] for u in users), worst)


def packed(learned: int, streams: int = 40, seed: int = 1) -> Tokens:
    """The same with events of one to six tokens: counted as in the gateway, without sockets."""
    dice, ratios = random.Random(seed), Ratios()
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":300}}\n\n'
    for _ in range(learned):
        stream = Stream("chat")
        stream.feed(b"".join(event for event, _ in _events(dice, 300)) + usage)
        stream.facts(ratios, "mira", True)
    counts = []
    for _ in range(streams):
        events = _events(dice, 600)
        left, stream = dice.randrange(len(events) // 3, len(events)), Stream("chat")
        stream.feed(b"".join(event for event, _ in events[:left]))
        ours = stream.facts(ratios, "mira", False).output_tokens or 0
        counts.append((ours, sum(tokens for _, tokens in events[:left])))
    worst = max(abs(a - b) / b for a, b in counts)
    told = [sum(column) for column in zip(*counts, strict=True)]
    return Tokens("chat, 1 to 6 tokens an event", learned, streams, told[0], told[1], worst)


def _events(dice: random.Random, tokens: int) -> list[tuple[bytes, int]]:
    events = []
    while tokens:
        count = min(tokens, dice.randrange(1, 7))
        text = " ".join(dice.choice(WORDS) for _ in range(count)) + " "
        said = {"model": "mira", "choices": [{"index": 0, "delta": {"content": text}}]}
        events.append((b"data: " + json.dumps(said, ensure_ascii=False).encode() + b"\n\n", count))
        tokens -= count
    return events


# --- the command -----------------------------------------------------------------------------------------


def kills_table(n: int, found: Kills) -> list[tuple[str, str]]:
    return [
        (f"kill -9 at random: {found.workers} of workers, {found.recorders} of the recorder", f"{n:,} times"),
        ("exchanges sent / acknowledged", f"{found.sent:,} / {found.acknowledged:,}"),
        ("rows, by outcome", ", ".join(f"{k} {v:,}" for k, v in sorted(found.outcomes.items()))),
        ("acknowledged exchanges lost", f"**{len(found.lost)}**"),
        ("seen by the upstream, and without a row", f"**{len(found.unseen)}**"),
        ("doubled", f"**{len(found.doubled)}**"),
    ]


def disk_table(found: Disk) -> list[tuple[str, str]]:
    mode = f'`on_failure = "{found.mode}"`'
    return [
        (f"{mode}: disk filled and freed", f"{found.fills} times"),
        ("acknowledged / answered 503", f"{found.acknowledged:,} / {found.refused:,}"),
        ("served without a row", f"{found.unrecorded:,}"),
        ("told in gaps.jsonl", f"{found.told_in_gaps:,} in {found.gaps} gaps"),
        ("acknowledged, lost unseen", f"**{len(found.lost) if found.mode == 'refuse' else 0}**"),
        ("doubled / restarts", f"**{len(found.doubled)}** / {found.restarts}"),
    ]


def down_table(found: Down) -> list[tuple[str, str]]:
    return [
        (f'`on_failure = "{found.mode}"`: ext4 taken down under it', "once"),
        ("acknowledged before / while gone / after", f"{found.before} / {found.during} / {found.after}"),
        ("answered 503 while gone", f"{found.refused}"),
        ("acknowledged before and after, lost", f"**{len(found.lost)}**"),
        ("processes that died", f"**{len(found.died)}**"),
    ]


def tokens_table(all_found: list[Tokens]) -> list[tuple[str, str]]:
    return [
        (f"{one.api}, {one.learned or 'no'} complete streams before",
         f"{one.ours:,} / {one.truth:,}: {one.off:.1%} off, worst stream {one.worst:.1%}")
        for one in all_found
    ]  # fmt: skip


def put(mark: str, command: str, rows: list[tuple[str, str]]) -> None:
    """Write a table to the page, between its marks."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
    text = PAGE.read_text(encoding="utf-8")
    made = f"{begin}\n`{command}`\n\n{table}\n{end}"
    PAGE.write_text(re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: made, text, flags=re.DOTALL))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("what", choices=["kills", "disk", "readonly", "tokens"])
    options.add_argument("--n", type=int, default=50)
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--write", action="store_true", help="put the figures into the page")
    given = options.parse_args()
    command = f"python benchmarks/reliability.py {given.what}"
    rows: list[tuple[str, str]] = []
    if given.what == "kills":
        killed = kills(given.n, given.seed, say=print)
        rows, good, command = kills_table(given.n, killed), killed.good, f"{command} --n {given.n}"
        for what in ("lost", "unseen", "doubled", "strange"):
            print(what, getattr(killed, what)[:10])
    elif given.what == "disk":
        full = [disk(given.n // 2, mode, given.seed, say=print) for mode in ("serve", "refuse")]
        rows = [row for one in full for row in disk_table(one)]
        good, command = all(one.good for one in full), f"{command} --n {given.n}"
    elif given.what == "readonly":
        gone = [down(mode) for mode in ("serve", "refuse")]
        rows, good = [row for one in gone for row in down_table(one)], all(one.good for one in gone)
    else:
        counted = [left_streams(api, learned) for api in STREAMS for learned in (0, 3)]
        counted += [packed(learned) for learned in (0, 3, 20)]
        rows, good = tokens_table(counted), all(one.off <= 0.02 for one in counted if one.learned)
    print("\n".join(f"{name}: {value}" for name, value in rows))
    if given.write:
        put(given.what, command, rows)
    print("every promise held" if good else "A PROMISE WAS BROKEN")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
