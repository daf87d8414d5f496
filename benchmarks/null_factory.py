"""Does the coin ever convict an innocent? `python benchmarks/null_factory.py [--runs 2000] [--out FILE]`.

A run is a gateway's worker with a key of its own, served over sockets to clients that read slowly, hang up
at what they do not like, ask again, and to an upstream that breaks off and refuses. Its ledger is verified
and put beside innocent suspects as a sealed test does it. The worker is `stillwatch serve`'s own, in this
process; a run costs some tenths of a CPU-second. An innocent counts as convicted at alpha, over all tests.

    --broken first-comes   the client gets the answer that is whole first
    --broken hang-ups      an exchange that its client leaves makes no pair
    --broken own-logs      the owner's next model is trained on coined answers as well

A factory that cannot fail shows nothing: each of the three has to be caught. docs/coin.md has the figures.
"""

import argparse
import asyncio
import json
import math
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import beta, kstest

from stillwatch.coin.keys import new_key, read_keys, write_key
from stillwatch.coin.verify import pairs, verify
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import open_folder
from stillwatch.gateway.path import coins as gateway_coins
from stillwatch.gateway.path.exchange import Exchange
from stillwatch.gateway.path.worker import Worker
from stillwatch.gateway.settings import UPSTREAM_KEY_VARIABLE, GatewaySettings
from stillwatch.prove.coin.choosing import choose
from stillwatch.prove.coin.leaning import TextSampling, lean
from stillwatch.prove.coin.leans import tail
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
    """A model with a taste of its own for every prompt: words, and how long its answers are."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def weights(self, prompt: str) -> list[float]:
        draw = random.Random(f"{self.seed} {prompt}")
        return [draw.gammavariate(0.3, 1.0) + 1e-6 for _ in WORDS]

    def answer(self, prompt: str, draw: random.Random) -> list[str]:
        return draw.choices(WORDS, self.weights(prompt), k=draw.randint(3, 20))


class Learned:
    """A model made by counting: words after words, prompt by prompt, mixed with what it knew before."""

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
    """A suspect of which a test gets likelihoods."""

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
    """Answers chat requests by a teacher: whole or word by word, sometimes broken off, sometimes refused."""

    teacher = Teacher(0)
    draw = random.Random(0)

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
        words = self.teacher.answer(asked["messages"][-1]["content"], draw)
        broken = draw.random() < (0.2 if len(words) > LONG else 0.03)  # long answers meet timeouts
        if draw.random() < 0.03:
            self.transport.write(BUSY)
        elif asked.get("stream"):
            await self.stream(words, broken)
        else:
            await asyncio.sleep(0.0004 * len(words))
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
            delta = {"content": f"{' ' if at else ''}{word}"}
            self.chunk({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            await asyncio.sleep(0.0004)
        self.chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self.transport.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    def chunk(self, told: dict[str, Any]) -> None:
        event = b"data: " + json.dumps(told).encode() + b"\n\n"
        self.transport.write(b"%x\r\n%s\r\n" % (len(event), event))


async def client(port: int, key: str, prompt: str, draw: random.Random) -> None:
    """Ask once, or again where the answer broke off or was not liked. What it does hangs on what it reads."""
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
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
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
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()


def _is_whole(seen: bytes) -> bool:
    head, _, body = seen.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line[15:])
    return False


def break_gateway(how: str) -> None:
    """Make the gateway wrong in one way."""
    if how == "first-comes":
        drawn = gateway_coins.Coins.drawn

        def first(self: Any, draw: Any) -> None:
            mine, other = draw.slots[draw.served], draw.slots[1 - draw.served]
            if other._size < mine._size:  # the shorter one was whole first: it is what was served
                mine._parts, other._parts = other._parts, mine._parts
                mine._size, other._size = other._size, mine._size
            drawn(self, draw)

        gateway_coins.Coins.drawn = first  # type: ignore[method-assign]
    elif how == "hang-ups":

        def leave(self: Any) -> None:
            if self._draw is not None:
                self._leave("its client left")

        Exchange._leave_to_draw = leave  # type: ignore[method-assign]


class Factory:
    """One worker, and runs against it."""

    def __init__(self, worker: Worker, folder: Any, port: int, keys: dict[str, str], broken: str) -> None:
        self.worker, self.folder, self.port, self.keys, self.broken = worker, folder, port, keys, broken

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
        teacher = Upstream.teacher = Teacher(number)
        Upstream.draw = random.Random(f"answers {number}")
        asked = [("crew", f"prompt {k}") for k in range(TESTED)] + [
            ("else", f"other {k}") for k in range(CONTROL)
        ]
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
        found = verify(at, keys)
        held = list(pairs(at, keys))
        chosen = choose(held, lambda pair: pair.account, 400, 1)
        told: dict[str, float] = {}
        for name, nats in self.suspects(teacher, held, draw).items():
            puts = [put for put in chosen.puts if put.actor == "crew"]
            leans = lean(puts, "likelihood", Weighing(name, nats), None, TextSampling(), silent)
            towards = [
                (v if put.pair.served == 0 else -v) for put in puts if (v := leans[put.id]) is not None
            ]
            told[name] = tail(towards)[2]
        return {"run": number, "pairs": found.pairs, "unpaired": found.unpaired, "p": told}

    def suspects(self, teacher: Teacher, held: list[Any], draw: random.Random) -> dict[str, Model]:
        """Innocents, and one that was taught what was served."""
        prompts = [f"prompt {k}" for k in range(TESTED)]
        other = Teacher(10**6 + draw.randrange(10**6))
        public = [(p, teacher.answer(p, draw)) for p in prompts for _ in range(3)]
        served = [(one.messages[-1]["content"], one.answers[one.served].text.split()) for one in held]
        # the owner's next model learns from its logs: from exchanges without a coin, as the seal states
        logs = [(p, teacher.answer(p, draw)) for p in prompts for _ in range(2)]
        logs += served * 2 if self.broken == "own-logs" else []
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


async def runs(asked: argparse.Namespace) -> list[dict[str, Any]]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0)
    upstream = server.sockets[0].getsockname()[1]
    probe = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    home = Path(
        tempfile.mkdtemp(prefix="null-factory-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    )
    try:
        folder = open_folder(home / "folder")
        folder.terms.write_text(default_text() + '\n[coin]\nshare = 1.0\ntexts = "plain"\n', encoding="utf-8")
        GatewaySettings(
            upstream=f"http://127.0.0.1:{upstream}",
            port=port,
            admin_port=port + 1 if port < 65535 else 1024,
            log_level="error",
        ).save(folder.settings)
        with ControlState(folder.state, folder.secret()) as state:
            keys = {name: state.issue(name, now_us=time.time_ns() // 1000) for name in ("crew", "else")}
        os.environ[UPSTREAM_KEY_VARIABLE] = "sk-upstream"
        worker = Worker(folder, 0, loop)
        serving = loop.create_task(worker.serve())
        await asyncio.sleep(0.2)
        factory = Factory(worker, folder, port, keys, asked.broken)
        done = []
        for number in range(asked.first, asked.first + asked.runs):
            done.append(await factory.run(number))
            if asked.out:
                with asked.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(done[-1]) + "\n")
            for log in sorted(folder.wal.glob("*"))[:-2]:
                log.unlink(missing_ok=True)  # what no recorder takes away
        worker._stop()
        await serving
        server.close()
        return done
    finally:
        shutil.rmtree(home)


def report(done: list[dict[str, Any]]) -> int:
    """Print what was found; 1 where an innocent was convicted more often than can be borne."""
    convicted = sum(
        any(p * TESTS <= ALPHA for name, p in one["p"].items() if not name.startswith("GUILTY"))
        for one in done
    )
    upper = float(beta.ppf(0.95, convicted + 1, len(done) - convicted)) if convicted < len(done) else 1.0
    mean = sum(one["pairs"] for one in done) / len(done)
    lost = sum(one["unpaired"] for one in done) / len(done)
    print(f"{len(done)} runs, {mean:.1f} pairs and {lost:.1f} coins without one each")
    print(f"runs that convict an innocent at {ALPHA:g}: {convicted}; upper bound (95 %) {upper:.3%}")
    fine = upper <= 0.002
    for name in done[0]["p"]:
        values = [one["p"][name] for one in done]
        below = {at: sum(p <= at for p in values) for at in (0.05, 0.001)}
        trained = sum(p * TESTS <= ALPHA for p in values)
        # P(fewer below .05 | a valid test): p-values that are small too often show here first
        odd = float(beta.sf(0.05, below[0.05], len(values) - below[0.05] + 1)) if below[0.05] else 0.0
        guilty = name.startswith("GUILTY")
        wrong = not guilty and odd > 1 - 1e-4
        fine = fine and not wrong
        print(
            f"  {name}: p <= .05 in {below[0.05] / len(values):.4f}, "
            f"<= .001 in {below[0.001] / len(values):.4f}, "
            f"trained in {trained} ({trained / len(values):.3f}); "
            f"KS {kstest(values, 'uniform').pvalue:.2g}{'  <- NOT VALID' if wrong else ''}"
        )
    return 0 if fine else 1


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--runs", type=int, default=2000)
    asked.add_argument("--first", type=int, default=0, help="number of the first run")
    asked.add_argument("--broken", choices=("", "first-comes", "hang-ups", "own-logs"), default="")
    asked.add_argument("--out", type=Path, help="append each run there, a JSON line each")
    asked.add_argument("--read", type=Path, help="run nothing; report what a file holds")
    told = asked.parse_args()
    if told.read:
        return report([json.loads(line) for line in told.read.read_text("utf-8").splitlines()])
    break_gateway(told.broken)
    import uvloop

    began = time.process_time()
    done = uvloop.run(runs(told))
    print(f"broken on purpose: {told.broken or 'no'}; {time.process_time() - began:.0f} CPU-s")
    return report(done)


if __name__ == "__main__":
    raise SystemExit(main())
