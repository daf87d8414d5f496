"""A salvo of many kinds of requests, over midnight, through two workers, against one day's allowance.

Complete answers, streams that are read or abandoned, answers that are fetched later, batches and their
results, and decisions for another gateway. The upstream obeys `max_tokens`; the test sets the clock.
"""

import http.client
import json
import mmap
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway_world import Running, free_port, gateway, request, until
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.path.budgets import Budgets
from stillwatch.units import DAY_US

LIMIT, OF_BATCHES, LONGEST = 36_000, 20_000, 3_000
TERMS = f"version = 1\n[limits]\noutput_tokens_per_day = {LIMIT}\nanswer_tokens = {LONGEST}\n"
APART = f"batch_output_tokens_per_day = {OF_BATCHES}\n"  # without it, batches count with the answers
SLIDING = 'day = "sliding"\n'  # without it, the day ends at midnight
CHAT = "/v1/chat/completions"
MIDNIGHT_US = 20_500 * DAY_US
SEEDS = int(os.environ.get("STILLWATCH_SALVOS", "4"))


class Model:
    """An upstream with slow answers that use all, or half, of the permitted length."""

    def __init__(self, clock: memoryview) -> None:
        self.clock = clock
        self.later: dict[str, int] = {}  # names of answers and files -> their tokens
        self.names = iter(range(10**9))
        self.rng = random.Random(1)

    def tokens(self, body: dict[str, Any]) -> int:
        most = body.get("max_tokens") or body.get("max_output_tokens") or LONGEST
        return int(most * self.rng.choice((0.5, 1, 1))) * int(body.get("n") or 1)

    def name(self, tokens: int) -> str:
        name = f"x{next(self.names)}"
        self.later[name] = tokens
        return name

    def reply(self, method: str, path: str, body: bytes) -> Any:
        """Return the immediate reply, or (tokens) for a stream."""
        if path == "/v1/models":
            return {"object": "list", "data": []}
        if method == "GET":
            tokens = self.later[path.split("/")[3]]
            usage = {"completion_tokens": tokens, "prompt_tokens": 1}
            if path.startswith("/v1/files"):
                return {"custom_id": "1", "response": {"body": {"model": "mira", "usage": usage}}}
            usage = {"output_tokens": tokens, "input_tokens": 1}
            return {"id": path.split("/")[3], "object": "response", "background": True, "model": "mira",
                    "status": "completed", "usage": usage}  # fmt: skip
        if path == "/v1/files":
            lines = [json.loads(line) for line in body.split(b"\r\n\r\n") if line.startswith(b"{")]
            return {"id": self.name(sum(self.tokens(line["body"]) for line in lines))}
        asked = json.loads(body)
        if path == "/v1/batches":
            return {"id": self.name(0), "output_file_id": self.name(self.later[asked["input_file_id"]])}
        tokens = self.tokens(asked)
        if path == "/v1/responses":
            return {"id": self.name(tokens), "object": "response", "background": True, "status": "queued"}
        time.sleep(self.rng.uniform(0.02, 0.4))
        if asked.get("stream"):
            return tokens
        usage = {"completion_tokens": tokens, "prompt_tokens": 1}
        said = {"model": "mira", "choices": [{"message": {"content": "x"}}], "usage": usage}
        return said | {"at_day": self.clock[0] // DAY_US}


@contextmanager
def serving(model: Model) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            said = model.reply(self.command, self.path, body)
            if isinstance(said, int):
                self.stream(said)
                return
            data = json.dumps(said).encode()
            self.send_response(200)
            kind = "application/x-ndjson" if "/content" in self.path else "application/json"
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def stream(self, tokens: int) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            event = {"model": "mira", "choices": [{"delta": {"content": "word"}}]}
            data = b"data: %s\n\n" % json.dumps(event).encode()
            for begun in range(0, tokens, 100):
                self.wfile.write(data * min(100, tokens - begun))
                time.sleep(0.01)
            usage = {"completion_tokens": tokens, "prompt_tokens": 1}
            self.wfile.write(b"data: %s\n\n" % json.dumps({"choices": [], "usage": usage}).encode())
            self.wfile.write(b"data: [DONE]\n\n")

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # the gateway ended the stream
                self.close_connection = True

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Attacker:
    """One account, and its tokens per day: of answers, and of batches by the day of their start."""

    def __init__(self, gate: Running, account: str, key: str, clock: memoryview) -> None:
        self.gate, self.account, self.key, self.clock = gate, account, key, clock
        self.answers: Counter[int] = Counter()
        self.unclear = 0  # arrived while the day changed
        self.batches: Counter[int] = Counter()
        self.statuses: Counter[int] = Counter()
        self.outstanding: list[tuple[str, int]] = []
        self.outputs: list[tuple[str, int]] = []
        self._lock = threading.Lock()

    def ask(self, method: str, target: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        head = {"authorization": f"Bearer {self.key}", **headers}
        reply = request(self.gate.port, method, target, body, head)
        return reply.status, reply.body

    def count(self, first_day: int, tokens: int) -> None:
        with self._lock:
            day = self.clock[0] // DAY_US
            if day == first_day:
                self.answers[day] += tokens
            else:
                self.unclear += tokens

    def shot(self, seed: int) -> None:
        """Send one request of the salvo."""
        rng = random.Random(seed)
        body: dict[str, Any] = {"model": "mira", "messages": [{"role": "user", "content": f"q{seed}"}]}
        if (most := rng.choice((None, 300, 1_000, LONGEST))) is not None:
            body |= {"max_tokens": most, "n": rng.choice((1, LONGEST // most))}
        kind = rng.choice(("whole", "whole", "stream", "abandon", "later", "batch", "fetch"))
        for _ in range(6):
            try:
                status = getattr(self, kind)(rng, body)
            except (OSError, http.client.HTTPException):
                status = 0  # interrupted
            with self._lock:
                self.statuses[status] += 1
            if status != 429:
                break
            time.sleep(rng.uniform(0.05, 0.3))

    def whole(self, rng: random.Random, body: dict[str, Any]) -> int:
        status, said = self.ask("POST", CHAT, body)
        if status == 200:
            reply = json.loads(said)
            self.count(reply["at_day"], reply["usage"]["completion_tokens"])
        return status

    def stream(self, rng: random.Random, body: dict[str, Any], leaves_after: int = 10**9) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.gate.port, timeout=30)
        day = self.clock[0] // DAY_US  # what is read on the next day may have been sent on this one
        try:
            head = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
            connection.request("POST", CHAT, json.dumps(body | {"stream": True}), head)
            reply = connection.getresponse()
            if reply.status != 200:
                return reply.status
            events = 0
            while events < leaves_after:
                line = reply.readline()
                if not line:
                    break
                if b'"word"' in line:
                    events += 1
                    self.count(day, 1)
            return 200
        finally:
            connection.close()

    def abandon(self, rng: random.Random, body: dict[str, Any]) -> int:
        return self.stream(rng, body, rng.randrange(1, 1_500))

    def fetch(self, rng: random.Random, body: dict[str, Any]) -> int:
        with self._lock:
            output = self.outputs.pop() if self.outputs else None
        if output is None:
            return -1
        return self.take(*output)

    def take(self, output: str, day: int) -> int:
        status, said = self.ask("GET", f"/v1/files/{output}/content")
        with self._lock:
            if status == 200:
                tokens = json.loads(said)["response"]["body"]["usage"]["completion_tokens"]
                self.batches[day] += tokens
            else:
                self.outputs.append((output, day))
        return status

    def batch(self, rng: random.Random, body: dict[str, Any]) -> int:
        question = {"custom_id": "1", "method": "POST", "url": CHAT, "body": body}
        form = (
            b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            b'--b\r\ncontent-disposition: form-data; name="file"; filename="q.jsonl"\r\n\r\n'
            + json.dumps(question).encode() + b"\r\n\r\n--b--\r\n"
        )  # fmt: skip
        kind = {"content-type": "multipart/form-data; boundary=b"}
        file = json.loads(self.ask("POST", "/v1/files", form, **kind)[1])["id"]
        begin = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
        day = self.clock[0] // DAY_US
        status, said = self.ask("POST", "/v1/batches", begin)
        if status == 200:
            with self._lock:
                self.outputs.append((json.loads(said)["output_file_id"], day))
        return status

    def later(self, rng: random.Random, body: dict[str, Any]) -> int:
        most = {"max_output_tokens": body["max_tokens"]} if "max_tokens" in body else {}
        day = self.clock[0] // DAY_US
        asked = {"model": "mira", "input": "Why?", "background": True, **most}
        status, said = self.ask("POST", "/v1/responses", asked)
        if status == 200 and self.clock[0] // DAY_US == day:
            with self._lock:
                self.outstanding.append((json.loads(said)["id"], day))
        return status

    def collect(self) -> None:
        """Fetch all remaining answers. They count on the day of their requests."""
        while self.outstanding:
            name, day = self.outstanding.pop()
            status, said = self.ask("GET", f"/v1/responses/{name}")
            assert status == 200, "what is paid for can be fetched"
            self.answers[day] += json.loads(said)["usage"]["output_tokens"]


def decides(gate: Running, hook: str, account: str) -> bool:
    """Return whether another gateway's question gets permission for the account."""
    body = {"account": account, "model": "mira", "count": False}
    return bool(request(HOOKS, "POST", "/decide", body, {"x-stillwatch-hook": hook}).json()["allow"])


HOOKS = free_port()


@pytest.fixture(
    scope="module",
    params=[APART, "", SLIDING + APART, SLIDING],
    ids=["apart", "together", "sliding apart", "sliding together"],
)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Running, memoryview]]:
    file = tmp_path_factory.mktemp("clock") / "clock"
    file.write_bytes((MIDNIGHT_US - 3_600_000_000).to_bytes(8, "little"))
    with open(file, "r+b") as opened:
        clock = memoryview(mmap.mmap(opened.fileno(), 8)).cast("q")
    model = Model(clock)
    with serving(model) as url, gateway(
        url, TERMS + request.param, workers=2, start=False, recorder=False, hooks_port=HOOKS
    ) as gate:  # fmt: skip
        script = [sys.executable, str(Path(__file__).parent / "clocked_worker.py"), str(gate.folder.path)]
        for name in ("0", "1", "hooks"):
            gate.processes[f"worker-{name}"] = subprocess.Popen([*script, name, str(file)])
        until(gate.listens, 30, "the workers")
        yield gate, clock


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_mixed_salvo_passes_an_allowance_by_one_answer_at_most(
    world: tuple[Running, memoryview], seed: int
) -> None:
    gate, clock = world
    rng = random.Random(seed)
    midnight_us = MIDNIGHT_US + 3 * seed * DAY_US
    clock[0] = midnight_us - 3_000_000
    account = f"acct_{seed}"
    with ControlState(gate.folder.state, gate.folder.secret()) as state:
        key = state.issue(account, now_us=clock[0])
        hook = state.issue(f"hook:{seed}", now_us=clock[0])
        places = [row[0] for row in state.accounts()]
    attacker = Attacker(gate, account, key, clock)
    terms = gate.folder.terms.read_text()
    apart, slides = APART in terms, SLIDING in terms
    # both workers probably know the key; a 401 would waste a shot
    until(lambda: {attacker.ask("GET", "/v1/models")[0] for _ in range(12)} == {200}, what="the key")
    with ThreadPoolExecutor(40) as pool:
        shots = [pool.submit(attacker.shot, rng.randrange(10**9)) for _ in range(160)]
        time.sleep(rng.uniform(0.3, 1.2))
        clock[0] = midnight_us + 1_000_000  # during the salvo
        for shot in shots:
            shot.result()
    attacker.collect()
    first, second = midnight_us // DAY_US - 1, midnight_us // DAY_US
    spans = [(first, second)] if slides else [(first,), (second,)]  # each with one day's allowance

    def most_of_a_day(*counts: Counter[int]) -> int:
        return max(sum(counter[day] for counter in counts for day in span) for span in spans)

    most = min(LIMIT + LONGEST, 1.1 * LIMIT)
    assert most_of_a_day(attacker.answers) <= most, (attacker.answers, attacker.statuses)
    assert attacker.answers.total() > LIMIT / 2, attacker.statuses  # otherwise it is no salvo
    assert attacker.answers.total() + attacker.unclear <= len(spans) * (LIMIT + LONGEST)
    budgets = Budgets(gate.folder.run, 9, 2)
    place = places.index(account)

    def use_up() -> None:
        while (
            status := attacker.whole(rng, {"model": "mira", "messages": [], "max_tokens": LONGEST})
        ) == 200:
            pass
        assert status == 429

    # single answers use up the rest of the day's budget; then no account gets permission
    use_up()
    until(lambda: budgets.spent(place, clock[0]).tokens_held == 0, what="nothing is held")
    use_up()  # what the abandoned streams had held and did not use
    assert most_of_a_day(attacker.answers) <= LIMIT + LONGEST
    spent = budgets.spent(place, clock[0], sliding=slides)
    assert spent.output_tokens_day + (0 if apart else spent.batch_tokens_day) >= LIMIT
    assert not decides(gate, hook, account)
    clock[0] = midnight_us + DAY_US  # results of batches are fetched when there is a budget again
    while attacker.outputs:
        assert attacker.take(*attacker.outputs.pop()) == 200
    paid = budgets.spent(place, clock[0], sliding=slides).output_tokens_day
    assert paid == 0, "it was paid for"
    if apart:
        assert most_of_a_day(attacker.batches) <= OF_BATCHES
    else:
        assert most_of_a_day(attacker.answers, attacker.batches) <= most
    print(f"seed {seed}: {dict(attacker.answers)} of {LIMIT:,}, {dict(attacker.batches)} of {OF_BATCHES:,}")
