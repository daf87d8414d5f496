"""Does the coin ever convict an innocent? `python benchmarks/null_factory.py [--runs 2000] [--out FILE]`.

A run is an actor in front of the real gateway: clients that read slowly, hang up on answers they dislike, and
ask again; an upstream that breaks off and refuses. The ledger is verified and compared with innocent suspects
as in a sealed test: a coin without a pair counts against. An innocent counts as convicted at alpha, over all
tests. A run costs some tenths of a CPU-second.

By default the worker is `stillwatch serve`'s own, in this process, with a key for each run. With --workers 2
it is `stillwatch serve` with its processes, --session runs at a time (40 coins each) under one key; every
second or so a worker, the recorder or the whole gateway is killed.

    --broken first-comes   the client gets the answer that is complete first
    --broken hang-ups      an exchange that its client leaves makes no pair
    --broken own-logs      the owner's next model is trained on coined answers as well

A factory that cannot fail shows nothing: each of the three must be caught, by the pairs alone. Counted losses
convict nobody, at a price: --failures 0.2 shows their effect on the guilty. The figures:
docs/figures/coin.md.
"""

import argparse
import asyncio
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from scipy.stats import beta, kstest

from stillwatch.coin import Pair, Throw
from stillwatch.coin.keys import new_key, read_keys, write_key
from stillwatch.coin.verify import Verified, coins, verify
from stillwatch.gateway import heartbeat
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.path import coins as gateway_coins
from stillwatch.gateway.path.exchange import Exchange
from stillwatch.gateway.path.worker import Worker
from stillwatch.gateway.settings import UPSTREAM_KEY_VARIABLE, GatewaySettings
from stillwatch.prove.coin.actors import by_account
from stillwatch.prove.coin.choosing import Put
from stillwatch.prove.coin.leaning import TextSampling, lean
from stillwatch.prove.coin.leans import tail
from stillwatch.prove.coin.seals import actors_of
from stillwatch.prove.suspect import AnswerLikelihood, Tell, Told, silent
from stillwatch.terms.load import default_text

ALPHA = 1e-5
TESTED, CONTROL = 32, 8  # prompts of the actor and of another account
TESTS = 2 * 2  # two sealed actors, one statistic, the first seal: n (n + 1) = 2
WORDS = [a + b for a in ("ba", "do", "fi", "gu", "ke", "lo", "mi", "nu") for b in ("ra", "se", "ti", "vo")]
LONG = 12  # words: clients in a hurry leave here, timeouts strike
DISLIKED = frozenset(WORDS[::4])
BUSY = (
    b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n"
    b'{"error":"no"}'
)
Model = Callable[[str, list[str]], float]  # nats of the answer's words, given its prompt


class Teacher:
    """A model with its own taste for every prompt: words, and the length of its answers."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def weights(self, prompt: str) -> list[float]:
        draw = random.Random(f"{self.seed} {prompt}")
        return [draw.gammavariate(0.3, 1.0) + 1e-6 for _ in WORDS]

    def answer(self, prompt: str, draw: random.Random) -> list[str]:
        return draw.choices(WORDS, self.weights(prompt), k=draw.randint(3, 20))


class Learned:
    """A model made by counting: words after words, prompt by prompt, mixed with its earlier knowledge."""

    def __init__(self, texts: Sequence[tuple[str, list[str]]], before: Teacher) -> None:
        self.before, self.counts = before, {}  # type: tuple[Teacher, dict[str, Counter[str]]]
        for prompt, words in texts:
            self.counts.setdefault(prompt, Counter()).update(words)

    def chances(self, prompt: str) -> list[float]:
        base, counts = self.before.weights(prompt), self.counts.get(prompt, Counter())
        size, total = sum(base), sum(counts.values())
        return [(2 * b / size + counts[w]) / (2 + total) for b, w in zip(base, WORDS, strict=True)]

    def answer(self, prompt: str, draw: random.Random) -> list[str]:
        return draw.choices(WORDS, self.chances(prompt), k=draw.randint(3, 20))

    def nats(self, prompt: str, words: list[str]) -> float:
        chances = dict(zip(WORDS, self.chances(prompt), strict=True))
        return sum(math.log(chances[word]) for word in words)


class Weighing:
    """A suspect that gives a test likelihoods."""

    offers = frozenset({"likelihood"})

    def __init__(self, name: str, nats: Model) -> None:
        self.name, self._nats = name, nats

    def weigh(self, told: Sequence[Told], tell: Tell) -> dict[str, AnswerLikelihood]:
        found = {}
        for one in told:
            words = one.answer.split()
            found[one.id] = AnswerLikelihood(self._nats(one.messages[-1]["content"], words), len(words))
        return found


class Upstream(asyncio.Protocol):
    """Answers chat requests as a teacher: whole or word by word, sometimes broken off, sometimes refused."""

    draw = random.Random(0)
    failures = 1.0

    def connection_made(self, transport: Any) -> None:
        self.transport, self.held, self.at_work = transport, b"", False

    def data_received(self, data: bytes) -> None:
        self.held += data
        head, end, rest = self.held.partition(b"\r\n\r\n")
        if not end or self.at_work:
            return
        size = next(
            int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        if len(rest) >= size:
            self.held, self.at_work = rest[size:], True
            asyncio.get_running_loop().create_task(self.answer(json.loads(rest[:size])))

    async def answer(self, asked: dict[str, Any]) -> None:
        draw = self.draw
        prompt = asked["messages"][-1]["content"]
        words = Teacher(int(prompt.split()[0])).answer(prompt, draw)  # every run has its own teacher
        chance = draw.random() / self.failures if self.failures else 1.0
        broken = chance < (0.2 if len(words) > LONG else 0.03)  # long answers meet timeouts
        if self.transport.is_closing():
            pass
        elif draw.random() < 0.03 * self.failures:
            self.transport.write(BUSY)
        elif asked.get("stream"):
            await self.stream(words, broken)
        else:
            await asyncio.sleep(0.0004 * len(words))
            if self.transport.is_closing():  # the gateway was killed
                return
            told = {"choices": [{"index": 0, "finish_reason": "stop", "message": {
                "role": "assistant", "content": " ".join(words)}}],
                "usage": {"prompt_tokens": 5, "completion_tokens": len(words)}}  # fmt: skip
            body = json.dumps(told).encode()
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(
                body
            )
            self.transport.write(head + (body[: len(body) // 2] if broken else body))
            if broken:
                self.transport.abort()
        self.at_work = False

    async def stream(self, words: list[str], broken: bool) -> None:
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for at, word in enumerate(words):
            if self.transport.is_closing():
                return
            if broken and at == len(words) // 2:
                self.transport.abort()
                return
            if self.transport.is_closing():
                return
            delta = {"content": f"{' ' if at else ''}{word}"}
            self.chunk({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            await asyncio.sleep(0.0004)
        if self.transport.is_closing():
            return
        self.chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self.transport.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    def chunk(self, told: dict[str, Any]) -> None:
        event = b"data: " + json.dumps(told).encode() + b"\n\n"
        self.transport.write(b"%x\r\n%s\r\n" % (len(event), event))


async def client(port: int, key: str, prompt: str, draw: random.Random) -> None:
    """Send a request, and again if the answer broke off or was disliked; behave by what was read."""
    kind = draw.choice(("plain", "slow", "hurried", "picky", "again"))
    streams = kind in ("hurried", "picky") or draw.random() < 0.5
    messages = [{"role": "user", "content": prompt}]
    body = json.dumps({"model": "mira", "temperature": 1, "stream": streams, "messages": messages}).encode()
    again = b"Idempotency-Key: %x\r\n" % draw.getrandbits(64) if kind == "again" else b""
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer %s\r\n%scontent-length: %d\r\n\r\n" % (key.encode(), again, len(body))
    )
    for _ in range(1 if kind in ("plain", "slow") else 2):
        reader, writer = await connected(port)
        try:
            writer.write(head + body)
            seen, whole = b"", False
            while not whole and (more := await asyncio.wait_for(reader.read(400), 20)):
                seen += more
                if kind == "slow":
                    await asyncio.sleep(0.004)
                said = seen.decode("utf-8", "replace")
                words = [word for word in WORDS if kind == "picky" and word in said]
                if (kind == "hurried" and said.count('"content"') > LONG) or DISLIKED & set(words):
                    break  # leaves in the middle of the answer
                whole = seen.endswith(b"0\r\n\r\n") or (b"\r\n\r\n" in seen and _is_whole(seen))
            if whole:
                return
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, if necessary after a killed gateway has restarted."""
    for _ in range(300):
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
    return await asyncio.open_connection("127.0.0.1", port)


def _is_whole(seen: bytes) -> bool:
    head, _, body = seen.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line[15:])
    return False


def break_gateway(how: str) -> None:
    """Break the gateway in one way."""
    if how == "first-comes":
        drawn = gateway_coins.Coins.drawn

        def first(self: Any, draw: Any) -> None:
            mine, other = draw.slots[draw.served], draw.slots[1 - draw.served]
            if other._size < mine._size:  # the shorter one was complete first, so it was served
                mine._parts, other._parts = other._parts, mine._parts
                mine._size, other._size = other._size, mine._size
            drawn(self, draw)

        gateway_coins.Coins.drawn = first  # type: ignore[method-assign]
    elif how == "hang-ups":

        def leave(self: Any) -> None:
            if self._draw is not None:
                self._leave("its client left")

        Exchange._leave_to_draw = leave  # type: ignore[method-assign]


def asked_in(number: int) -> list[tuple[str, str]]:
    """Return the questions of a run: those of the tested account, and of another one."""
    return [("crew", f"{number} prompt {k}") for k in range(TESTED)] + [
        ("else", f"{number} other {k}") for k in range(CONTROL)
    ]


class Run:
    """One run's coins, and the suspects' results on them."""

    def __init__(self, number: int, account: str, held: list[Pair | Throw], asked: argparse.Namespace):
        self.number, self.asked = number, asked
        actors = actors_of(held, by_account, 1, 400)
        self.coins = next(actor["pairs"] for actor in actors if actor["name"] == account)
        self.held = [one for one in held if isinstance(one, Pair)]
        self.puts = [Put(one, "crew") for one in self.held if one.account == account and not one.tie]

    def outcome(self, draw: random.Random) -> dict[str, Any]:
        ties = sum(one.tie and one.id in self.coins for one in self.held)
        p: dict[str, float] = {}  # a coin without a pair counts against, as in a sealed test
        alone: dict[str, float] = {}  # the pairs alone, for which losses must be independent of the coin
        for name, nats in self.suspects(Teacher(self.number), draw).items():
            leans = lean(self.puts, "likelihood", Weighing(name, nats), None, TextSampling(), silent)
            some = [(put, v) for put in self.puts if (v := leans[put.id]) is not None]
            towards = [v if put.pair.served == 0 else -v for put, v in some]
            p[name] = tail(towards, len(self.coins) - ties - len(towards))[2]
            alone[name] = tail(towards)[2]
        pairs = len(self.puts) + ties
        return {"run": self.number, "coins": len(self.coins), "pairs": pairs, "p": p, "alone": alone}

    def suspects(self, teacher: Teacher, draw: random.Random) -> dict[str, Model]:
        """Return innocents, and one that learned the served answers."""
        prompts = [prompt for who, prompt in asked_in(self.number) if who == "crew"]
        other = Teacher(10**6 + draw.randrange(10**6))
        public = [(p, teacher.answer(p, draw)) for p in prompts for _ in range(3)]
        served = [(one.messages[-1]["content"], one.answers[one.served].text.split()) for one in self.held]
        # the owner's next model learns from its logs: only exchanges without a coin, as the seal states
        logs = [(p, teacher.answer(p, draw)) for p in prompts for _ in range(2)]
        logs += served * 2 if self.asked.broken == "own-logs" else []
        next_model = Learned(logs, teacher)
        next_public = [(p, next_model.answer(p, draw)) for p in prompts for _ in range(6)]
        liked = [0.2 if word in DISLIKED else 1.0 for word in WORDS]
        taste = dict(zip(WORDS, (math.log(one / sum(liked)) for one in liked), strict=True))
        return {
            "learned from public answers": Learned(public, other).nats,
            "learned from the next model's public answers": Learned(next_public, other).nats,
            "learned from another teacher": Learned(
                [(p, other.answer(p, draw)) for p in prompts], other
            ).nats,
            "the teacher itself": Learned([], teacher).nats,
            "likes short answers": lambda _, words: -(float(len(words)) ** 2),
            "likes what clients like": lambda _, words: sum(taste[word] for word in words),
            "GUILTY: taught what was served": Learned(served * 2, other).nats,
        }


class Factory:
    """One worker, and runs against it."""

    def __init__(
        self, worker: Worker, folder: Folder, port: int, keys: dict[str, str], asked: argparse.Namespace
    ) -> None:
        self.worker, self.folder, self.port, self.keys, self.asked = worker, folder, port, keys, asked

    async def run(self, number: int) -> dict[str, Any]:
        draw = random.Random(f"run {number}")
        for old in [
            *(self.folder.coin / "keys").glob("*.json"),
            *(self.folder.coin / "ledger").glob("*.jsonl"),
        ]:
            old.unlink()
        write_key(self.folder.coin / "keys", new_key(f"run-{number}", "2026-11-01T00:00:00Z"))
        for _ in range(2):  # the old ledger is closed, the new one opened
            self.worker.coins.poll(self.worker.gate.terms.coin)
        Upstream.draw = random.Random(f"answers {number}")
        asked = asked_in(number)
        draw.shuffle(asked)
        for at in range(0, len(asked), 10):
            await asyncio.gather(
                *(client(self.port, self.keys[who], prompt, draw) for who, prompt in asked[at : at + 10])
            )
        while self.worker.coins.drawing:
            await asyncio.sleep(0.002)
        ledger = self.worker.coins._ledger
        while ledger is not None and ledger.under_way:
            await asyncio.sleep(0.002)
        at = self.folder.coin / "ledger"
        keys = read_keys(self.folder.coin / "keys")
        verify(at, keys)
        return Run(number, "crew", list(coins(at, keys)), self.asked).outcome(draw)


async def new_folder(home: Path, upstream: int, workers: int) -> tuple[Folder, int]:
    """Create a gateway's folder that tosses a coin for every exchange; return it and its port."""
    loop = asyncio.get_running_loop()
    ports = []
    for _ in range(2):
        probe = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        ports.append(probe.sockets[0].getsockname()[1])
        probe.close()
        await probe.wait_closed()
    folder = open_folder(home / "folder")
    folder.terms.write_text(default_text() + '\n[coin]\nshare = 1.0\ntexts = "plain"\n', encoding="utf-8")
    settings = GatewaySettings(
        f"http://127.0.0.1:{upstream}", port=ports[0], admin_port=ports[1], workers=workers, log_level="error"
    )
    settings.save(folder.settings)
    os.environ[UPSTREAM_KEY_VARIABLE] = "sk-upstream"
    return folder, ports[0]


def new_home() -> Path:
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    return Path(tempfile.mkdtemp(prefix="null-factory-", dir=memory))


class Gateway:
    """`stillwatch serve` with its processes, which are sometimes killed."""

    def __init__(self, folder: Folder, port: int, draw: random.Random) -> None:
        self.folder, self.port, self.draw = folder, port, draw
        self.killed: Counter[str] = Counter()
        self.process = self.started()

    def started(self) -> subprocess.Popen[bytes]:
        words = ["-c", "from stillwatch.cli.main import run; run()", "serve", "--folder"]
        return subprocess.Popen(
            [sys.executable, *words, str(self.folder.path)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    async def listens(self) -> bool:
        """Wait until it serves; return whether it does, or has ended."""
        while self.process.poll() is None:
            with suppress(OSError):
                (await asyncio.open_connection("127.0.0.1", self.port))[1].close()
                return True
            await asyncio.sleep(0.1)
        return False

    async def kill_now_and_then(self) -> None:
        await asyncio.sleep(0.5)
        while True:
            what = self.draw.choices(("worker", "recorder", "gateway"), (6, 2, 1))[0]
            if what == "gateway":
                self.killed[what] += 1
                self.process.kill()  # its children end with it
                await asyncio.to_thread(self.process.wait)
                while not await self.listens():  # like a service manager
                    self.process = self.started()
            else:
                children = heartbeat.read(self.folder.run / "supervisor.json").get("children")
                named = children if isinstance(children, dict) else {}
                pids = [one["pid"] for name, one in named.items() if name.startswith(what) and one["pid"]]
                if not pids:  # it has not started
                    await asyncio.sleep(0.05)
                    continue
                with suppress(ProcessLookupError):
                    os.kill(self.draw.choice(pids), signal.SIGKILL)
                    self.killed[what] += 1
            await asyncio.sleep(self.draw.uniform(1.0, 4.0))

    async def stop(self) -> None:
        self.process.terminate()
        await asyncio.to_thread(self.process.wait, 60)


async def session(numbers: range, upstream: int, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Run several runs at once with one gateway that is killed again and again."""
    home, draw = new_home(), random.Random(f"session {numbers.start}")
    try:
        folder, port = await new_folder(home, upstream, asked.workers)
        write_key(folder.coin / "keys", new_key("session", "2026-11-01T00:00:00Z"))
        with ControlState(folder.state, folder.secret()) as state:
            keys = {
                f"{who}-{number}": state.issue(f"{who}-{number}", now_us=time.time_ns() // 1000)
                for number in numbers
                for who in ("crew", "else")
            }
        gateway = Gateway(folder, port, draw)
        await gateway.listens()
        killing = asyncio.create_task(gateway.kill_now_and_then())
        todo = [(number, who, prompt) for number in numbers for who, prompt in asked_in(number)]
        draw.shuffle(todo)

        async def busy() -> None:
            while todo:
                number, who, prompt = todo.pop()
                await client(port, keys[f"{who}-{number}"], prompt, draw)

        await asyncio.gather(*(busy() for _ in range(64)))
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
        await gateway.stop()
        at, known = folder.coin / "ledger", read_keys(folder.coin / "keys")
        found: Verified = verify(at, known)
        held = list(coins(at, known))
        told = []
        for number in numbers:
            mine = [one for one in held if one.account == f"crew-{number}"]
            told.append(Run(number, f"crew-{number}", mine, asked).outcome(random.Random(f"run {number}")))
        told[0] |= {"killed": dict(gateway.killed), "lost": found.lost, "files": len(found.heads)}
        return told
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def sessions(asked: argparse.Namespace) -> list[dict[str, Any]]:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    upstream, done = server.sockets[0].getsockname()[1], []  # type: tuple[int, list[dict[str, Any]]]
    last = asked.first + asked.runs
    for first in range(asked.first, last, asked.session):
        found = await session(range(first, min(first + asked.session, last)), upstream, asked)
        keep(found, asked.out)
        done += found
    server.close()
    return done


def keep(found: list[dict[str, Any]], out: Path | None) -> None:
    if out:
        with out.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(one) + "\n" for one in found)


async def runs(asked: argparse.Namespace) -> list[dict[str, Any]]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0)
    home = new_home()
    try:
        folder, port = await new_folder(home, server.sockets[0].getsockname()[1], 1)
        with ControlState(folder.state, folder.secret()) as state:
            keys = {name: state.issue(name, now_us=time.time_ns() // 1000) for name in ("crew", "else")}
        worker = Worker(folder, 0, loop)
        serving = loop.create_task(worker.serve())
        await asyncio.sleep(0.2)
        factory = Factory(worker, folder, port, keys, asked)
        done = []
        for number in range(asked.first, asked.first + asked.runs):
            done.append(await factory.run(number))
            keep(done[-1:], asked.out)
            for log in sorted(folder.wal.glob("*"))[:-2]:
                log.unlink(missing_ok=True)  # what no recorder removes
        worker._stop()
        await serving
        server.close()
        return done
    finally:
        shutil.rmtree(home)


def report(done: list[dict[str, Any]]) -> int:
    """Print the results; return 1 if an innocent was convicted more often than is tolerable."""
    convicted = sum(
        any(p * TESTS <= ALPHA for name, p in one["p"].items() if not name.startswith("GUILTY"))
        for one in done
    )
    upper = float(beta.ppf(0.95, convicted + 1, len(done) - convicted)) if convicted < len(done) else 1.0
    mean = sum(one["pairs"] for one in done) / len(done)
    without = sum(one["coins"] - one["pairs"] for one in done) / len(done)
    print(f"{len(done)} runs, {mean:.1f} pairs and {without:.1f} coins without one each")
    killed = sum((Counter(one["killed"]) for one in done if "killed" in one), Counter())  # type: Counter[str]
    if killed:
        lost = sum(one.get("lost", 0) for one in done)
        print(f"killed: {', '.join(f'{what} {n}' for what, n in sorted(killed.items()))}; {lost} coins lost")
    print(f"runs that convict an innocent at {ALPHA:g}: {convicted}; upper bound (95 %) {upper:.3%}")
    fine = upper <= 0.002
    for name in done[0]["p"]:
        values = [one["alone"][name] for one in done]
        below = {at: sum(p <= at for p in values) for at in (0.05, 0.001)}
        trained, counted = (sum(one[k][name] * TESTS <= ALPHA for one in done) for k in ("alone", "p"))
        # P(fewer below .05 | a valid test): shows p-values that are small too often
        odd = float(beta.sf(0.05, below[0.05], len(values) - below[0.05] + 1)) if below[0.05] else 0.0
        guilty = name.startswith("GUILTY")
        wrong = not guilty and odd > 1 - 1e-4
        fine = fine and not wrong
        print(
            f"  {name}: trained in {counted}; by the pairs alone p <= .05 in "
            f"{below[0.05] / len(values):.4f}, <= .001 in {below[0.001] / len(values):.4f}, "
            f"trained in {trained} ({trained / len(values):.3f}); "
            f"KS {kstest(values, 'uniform').pvalue:.2g}{'  <- NOT VALID' if wrong else ''}"
        )
    return 0 if fine else 1


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--runs", type=int, default=2000)
    asked.add_argument("--first", type=int, default=0, help="number of the first run")
    asked.add_argument("--broken", choices=("", "first-comes", "hang-ups", "own-logs"), default="")
    asked.add_argument("--failures", type=float, default=1.0, help="of the upstream, beside the usual ones")
    asked.add_argument("--workers", type=int, default=0, help="of a real `stillwatch serve`, with kills")
    asked.add_argument("--session", type=int, default=100, help="runs before one such gateway")
    asked.add_argument("--out", type=Path, help="append each run there, a JSON line each")
    asked.add_argument("--read", type=Path, help="run nothing; report what a file holds")
    told = asked.parse_args()
    Upstream.failures = told.failures
    if told.read:
        return report([json.loads(line) for line in told.read.read_text("utf-8").splitlines()])
    break_gateway(told.broken)
    import uvloop

    began = time.process_time()
    done = uvloop.run(sessions(told) if told.workers else runs(told))
    print(f"broken on purpose: {told.broken or 'no'}; {time.process_time() - began:.0f} CPU-s")
    return report(done)


if __name__ == "__main__":
    raise SystemExit(main())
