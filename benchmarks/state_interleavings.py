#!/usr/bin/env python3
"""Can a key, revocation, block or status be lost or come back, whatever happens to the processes?

    python benchmarks/state_interleavings.py --n 1000 --seed 1 --worlds 4
    python benchmarks/state_interleavings.py --cases --n 1000    # the database of cases
    python benchmarks/state_interleavings.py --postgres --n 200  # kept in PostgreSQL, which is killed as well

Each interleaving lets several things happen at once to a real `stillwatch serve` with two workers: changes by
the command line and by the admin port, two of them of one account; processes killed, paused or with a full
disk; restarts, hand-overs. In some the folder is copied while it is served, or a copy is put back, also while
it is served. In a quarter, accidents coincide. All the time clients try keys that must not work. After
each, everything acknowledged is compared with the store, with what clients get and with /health. It exits
with 1 if anything differs.
"""

import argparse
import copy
import http.client
import json
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

import psycopg  # noqa: E402

import postgres_server  # noqa: E402 - the tests' own world
from case_interleavings import interleave_cases  # noqa: E402
from forked_commands import KILLED, ForkedCommands, is_there  # noqa: E402
from gateway_world import free_port, until  # noqa: E402
from interleaving_outcome import Outcome  # noqa: E402
from stillwatch.gateway.control.migrations import StateError  # noqa: E402
from stillwatch.gateway.control.tables import load_tables  # noqa: E402
from upstream import Upstream  # noqa: E402

CLAIM = re.compile(r"every worker applies keys and standings of revision (\d+)")
WRITTEN, NOT_IN_FORCE = (0, 200, 201, 3, 504), (3, 504)
FAULTS = (70, 99)  # exit codes of a command that met an unexpected error
NO_ROOM_BYTES = 4096  # files may grow no further: not even one page of SQLite's log fits
ANSWER_S = 120  # on a loaded machine a shorter wait would mistake a late write for a wrong fact
TRIES = 4  # with one key, to reach both workers
BAD_MOMENT = 5  # in one of four each accident is so many times as likely
COMMAND_LINE = """
import pydantic, uvicorn, zoneinfo
from stillwatch.cli import folder, key, main, serve, standing
from stillwatch.gateway import serving
def act(words):
    sys.argv = ["stillwatch", *words]  # a gateway that makes way begins the next one by the other
    sys.orig_argv = [sys.executable, "-c", "from stillwatch.cli.main import run; run()", *words]
    main.run()
"""


@dataclass
class Key:
    account: str
    text: str
    revoked: bool = False


@dataclass
class Facts:
    """The expected facts: everything acknowledged."""

    keys: dict[str, Key] = field(default_factory=dict)  # by id
    strangers: set[str] = field(default_factory=set)  # keys that were issued without acknowledgement
    actions: dict[str, list[tuple[int, str]]] = field(default_factory=dict)  # by account: number, step

    def step(self, account: str) -> str:
        return self.actions[account][-1][1] if self.actions.get(account) else "clear"


class Served:
    """One real `stillwatch serve`, and accidents of its processes."""

    def __init__(self, place: Path, upstream: str, command: ForkedCommands, *more: str) -> None:
        self.place, self.folder, self._command = place, place / "serve", command
        self.port, self.admin_port = free_port(), free_port()
        self._words = ["serve", "--folder", str(self.folder), "--upstream", upstream, "--workers", "2", *more]
        self._words += ["--port", str(self.port), "--admin-port", str(self.admin_port)]
        (place / "log").touch()
        self.start()
        self.token = until(
            lambda: (m := re.search(r"sw-admin-[\w-]+", self.log())) and m[0], 120, "the token"
        )

    def log(self) -> str:
        return (self.place / "log").read_text(errors="replace")

    def note(self, text: str) -> None:
        """Write to serve's log what was done to it, and when."""
        with (self.place / "log").open("a") as log:
            log.write(f"--- {time.strftime('%H:%M:%S')} {text}\n")

    def start(self) -> None:
        self.pid = self._command.begin(self._words, self.place / "log", stays=True)
        self.note(f"started as {self.pid}")

    def tree(self) -> list[int]:
        """Return the supervisor, then its processes."""
        found = [self.pid]
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError, ValueError, IndexError):
                if int(path.read_text().rpartition(")")[2].split()[1]) == self.pid:
                    found.append(int(path.parent.name))
        return found

    def workers(self) -> list[int]:
        return [pid for pid in self.tree() if b"worker-" in _cmdline(pid)]

    def stop(self, number: int, *, alone: bool = False) -> None:
        """End the supervisor, and with SIGKILL all the others, which also end without it."""
        tree = self.tree()
        self.note(f"{signal.Signals(number).name} for {tree}{', the first alone' if alone else ''}")
        for pid in tree if number == signal.SIGKILL and not alone else tree[:1]:
            _send(pid, number)
        until(lambda: not is_there(self.pid), 90, "the supervisor is gone")
        self.note(f"{self.pid} ended, {self._command.exit_of(self.pid)}")
        until(lambda: not [p for p in tree if b"stillwatch" in _cmdline(p)], 60, "the tree is gone")

    def limit_files(self, most_bytes: int) -> None:
        """Let no file of its processes exceed a size, including files created just now."""
        for _ in range(2):
            for pid in self.tree():
                with suppress(ProcessLookupError):
                    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
                    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most_bytes, hard))

    def ask(self, port: int, method: str, path: str, body: object = None, key: str = "") -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        headers = {
            "authorization": f"Bearer {key}",
            "connection": "close",
            "content-type": "application/json",
        }
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else text
        except (OSError, http.client.HTTPException, ValueError):
            return -1, None  # no answer
        finally:
            connection.close()

    def admin(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        return self.ask(self.admin_port, method, path, body, self.token)

    def status(self, key: str) -> int:
        return self.ask(self.port, "GET", "/v1/models", key=key)[0]

    def settled(self) -> dict[str, str]:
        """Wait until /health reports that both workers serve and apply the recorded state; return texts."""

        def ready() -> dict[str, str] | None:
            if not is_there(self.pid):
                how = self._command.exit_of(self.pid)
                raise AssertionError(f"serve ended, {how}: {self.log()[-4000:]}")
            found = self.ask(self.admin_port, "GET", "/health")[1]
            texts = {part["name"]: part["text"] for part in found["parts"]} if found else {}
            serves = texts.get("workers") == "2 of 2 serve" and CLAIM.search(texts["standings"])
            return texts if serves and "cannot" not in texts.get("fleet", "") else None

        return until(ready, 180, "two workers that go by what is written down")


class World:
    """A served gateway, its expected facts, and what people and accidents do to it."""

    def __init__(
        self, place: Path, upstream: str, seed: int, fleet: postgres_server.PostgresServer | None = None
    ) -> None:
        self.random, self.outcome, self.facts = random.Random(seed), Outcome(), Facts()
        self.copies: list[tuple[Path, Facts]] = []
        self._issued: dict[str, str] = {}  # every key that ever was, by id
        self.command, self._fleet = ForkedCommands(place, COMMAND_LINE), fleet
        self._url: str | None = None
        more = []
        if fleet is not None:
            self._url = postgres_server.new_database(str(fleet.folder)).replace("+psycopg", "")
            more = ["--state", self._url, "--gateway", "a", "--shared", str(place / "shared")]
        self.served = Served(place, upstream, self.command, *more)
        self.folder, self._number = self.served.folder, 0
        self._lock, self._quiet, self._restarting = threading.RLock(), threading.Lock(), threading.Lock()
        self._busy: Counter[str] = Counter()  # keys and accounts that are being changed -> how many changes
        self._begun: Counter[str] = Counter()  # changes of each that were started
        self._forget()
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _forget(self) -> None:
        self.answers: list[str] = []
        self._unsure: set[str] = set()  # keys and accounts in an unknown state
        self._loose: set[str] = set()  # those reported as not in force everywhere
        self._lost_issues = 0  # keys possibly issued without acknowledgement

    def wrong(self, text: str) -> None:
        self.outcome.wrong.append(f"{text}; after {self.answers}")

    # --- what people do ---

    def _tell(self, words: tuple[str, ...], path: str, body: object) -> tuple[int, Any]:
        """Make a change by the command line, one in ten with a full disk, or by the admin port."""
        way = self.random.random()
        if way < 0.5:
            code, answer = self.served.admin("POST", path, body)
            return code, answer if isinstance(answer, dict) else {}
        most = self.random.randint(0, 60_000) if way > 0.95 else None
        options = ("--folder", str(self.folder), *(("--json",) if words[1] != "revoke" else ()))
        code, text = self.command(*words, *options, most_bytes=most)
        if code in FAULTS:
            self.wrong(f"fault of a command: {' '.join(words)}, room for {most} bytes: {text[-2000:]}")
        with suppress(ValueError):
            return code, json.loads(text[text.index("{") : text.rindex("}") + 1])
        return code, {}

    @contextmanager
    def _changing(self, name: str) -> Iterator[None]:
        """Mark a key or an account as being changed: its state is unknown."""
        with self._lock:
            self._busy[name] += 1
            self._begun[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy[name] -= 1

    def _written(self, what: str, code: int, name: str) -> bool:
        """Record an answer. Return whether it is a success."""
        self.outcome.did[what] += 1
        self.outcome.not_confirmed += code in NOT_IN_FORCE
        self.answers.append(f"{what} {name}: {code}")
        if code in NOT_IN_FORCE:
            self._loose.add(name)
        elif code not in WRITTEN:
            self._unsure.add(name)
        return code in WRITTEN

    def issue(self) -> None:
        with self._lock:
            self._number += 1
            account = f"acct-{self._number}"
        code, answer = self._tell(("key", "issue", account), "/v1/keys", {"account": account})
        with self._lock:
            if not self._written("issued", code, account) or "key" not in answer:
                self._lost_issues += 1
                return
            key_id = answer["key"].split("-")[2]
            self.facts.keys[key_id] = Key(account, answer["key"])
            self._issued[key_id] = answer["key"]
            if code in NOT_IN_FORCE or not answer.get("in_force", True):
                self._loose.add(key_id)
                self.outcome.not_confirmed += code not in NOT_IN_FORCE
        self._try(key_id, "issued")

    def revoke(self, key_id: str) -> None:
        with self._changing(key_id):
            code, _ = self._tell(("key", "revoke", key_id), f"/v1/keys/{key_id}/revoke", {})
            with self._lock:
                self.facts.keys[key_id].revoked |= self._written("revoked", code, key_id)
        self._try(key_id, "revoked")

    def stand(self, key_id: str) -> None:
        """Block an account, lift that, take another step, or undo the last action."""
        account = self.facts.keys[key_id].account
        with self._changing(account):
            actions = self.facts.actions.get(account, [])
            step = self.random.choice(("block", "block", "throttle", "undo"))
            if self.facts.step(account) == "block":
                step = self.random.choice(("clear", "undo"))
            if step == "undo" and actions and actions[-1][0]:
                number, now = actions[-1][0], actions[:-1]
                words = ("standing", "undo", str(number), "--why", "test")
                code, answer = self._tell(words, f"/v1/actions/{number}/undo", {"why": "test"})
            else:
                step = "clear" if step == "undo" else step
                words = ("standing", "set", account, "--step", step, "--why", "test")
                body = {"accounts": [account], "step": step, "why": "test"}
                code, answer = self._tell(words, "/v1/standings", body)
                now = [*actions, (answer.get("action", 0), step)]
            with self._lock:
                if self._written(f"{step}s", code, account):
                    self.facts.actions[account] = now
                if self._busy[account] > 1:
                    self._unsure.add(account)  # of two at once the last one is unknown
        self._try(key_id, step)

    def race(self, key_id: str) -> None:
        """Change one account twice, or revoke one key twice, at once."""
        self._at_once([lambda what=what: what(key_id) for what in (self.stand, self.stand, self.revoke)])

    def kill_command(self, key_id: str) -> None:
        with self._changing(key_id):
            words = ("key", "revoke", key_id, "--folder", str(self.folder))
            self.command(*words, kill_after_s=self.random.uniform(0, 0.15))
            with self._lock:
                self._written("commands killed", KILLED, key_id)

    # --- what clients get ---

    def _allowed(self, key_id: str) -> set[int]:
        """Return the statuses that a client may get with a key now."""
        key = self.facts.keys[key_id]
        open_names = self._loose | self._unsure | {name for name, count in self._busy.items() if count}
        if key.revoked:
            return {200, 401, 403} if key_id in self._loose else {401}
        found = {403 if self.facts.step(key.account) == "block" else 200}
        if key.account in open_names:
            found |= {200, 403}
        return found | ({401} if key_id in open_names else set())

    def _try(self, key_id: str, when: str, times: int = TRIES) -> None:
        """Be a client. Acknowledged changes are in force everywhere; no answer counts as none."""
        for _ in range(times):
            with self._lock:
                key = self.facts.keys[key_id]
                begun, allowed = (self._begun[key_id], self._begun[key.account]), self._allowed(key_id)
            got = self.served.status(key.text)
            with self._lock:
                same = begun == (self._begun[key_id], self._begun[key.account])
                if same and got in (200, 401, 403) and got not in allowed:
                    self.wrong(f"served wrongly: {key_id} of {key.account} gets {got} ({when})")
                    return

    def _watch(self) -> None:
        """Be a client all the time: revoked or blocked keys are always refused, also during restarts."""
        draws = random.Random(0)
        took_s = 0.0
        while not self._ended.wait(0.05 + 5 * took_s):  # at most a sixth of one process's capacity
            began = time.monotonic()
            with self._quiet:
                with self._lock:
                    shut = [key_id for key_id in self.facts.keys if 200 not in self._allowed(key_id)]
                if shut:
                    # the last ones: a restart is most likely to lose a recent change
                    self._try(draws.choice(shut[-20:] if draws.random() < 0.5 else shut), "in between", 1)
                    self.outcome.did["requests in between"] += 1
                    took_s = time.monotonic() - began

    # --- what happens to processes and files ---

    def end_worker(self) -> None:
        for pid in self.served.workers()[:1]:
            _send(pid, self.random.choice((signal.SIGKILL, signal.SIGTERM)))
        self.outcome.did["workers ended"] += 1

    def freeze_worker(self) -> None:
        """Pause a worker for a moment: it applies its old state, without a heartbeat."""
        frozen = self.served.workers()[-1:]
        for pid in frozen:
            _send(pid, signal.SIGSTOP)
        time.sleep(self.random.uniform(0.1, 1.5))
        for pid in frozen:
            _send(pid, signal.SIGCONT)
        self.outcome.did["workers frozen"] += 1

    def fill_disk(self) -> None:
        """Let the gateway's processes write no page of a database, or nothing at all, for a moment."""
        self.served.limit_files(self.random.choice((0, NO_ROOM_BYTES)))
        time.sleep(self.random.uniform(0.1, 0.8))
        self.served.limit_files(resource.RLIM_INFINITY)
        self.outcome.did["full disks"] += 1

    def restart(self, number: int) -> None:
        """Restart once or twice, so that a starting process is ended too; for a while nobody serves."""
        with self._restarting:
            for _ in range(self.random.choice((1, 1, 2))):
                self.served.stop(number, alone=self.random.random() < 0.5)
                time.sleep(self.random.choice((0.0, 0.3, 1.5)))
                self.served.start()
                self.outcome.did["kills of the tree" if number == signal.SIGKILL else "orderly restarts"] += 1
                time.sleep(self.random.uniform(0.0, 2.0))

    def make_way(self) -> None:
        """Let another gateway replace it in the same process; nobody waits for the end."""
        self.served.note(f"SIGUSR2 for {self.served.pid}")
        _send(self.served.pid, signal.SIGUSR2)
        self.outcome.did["hand-overs"] += 1

    def lose_database(self) -> None:
        """Stop or kill PostgreSQL, which restarts after a moment."""
        assert self._fleet is not None
        self._fleet.stop(self.random.choice((signal.SIGINT, signal.SIGKILL)))
        time.sleep(self.random.uniform(0.0, 1.0))
        self._fleet.start()
        self.outcome.did["ends of PostgreSQL"] += 1

    def copy(self) -> None:
        """Copy as in docs/operations.md, or the plain files."""
        to = self.served.place / f"copy-{len(self.copies)}"
        backs_up = self.random.random() < 0.5
        left_out = ["run", "wal", "segments", "detector", *(["state.db*", "state.mark"] if backs_up else [])]
        shutil.copytree(self.folder, to, ignore=shutil.ignore_patterns(*left_out))
        if backs_up:
            files = (closing(sqlite3.connect(path / "state.db")) for path in (self.folder, to))
            with next(files) as db, next(files) as backup:
                db.backup(backup)
        self.copies.append((to, copy.deepcopy(self.facts)))
        self.outcome.did["copies made"] += 1

    def put_back(self) -> None:
        """Replace the folder by a copy or overwrite it; or, while it is served, put another folder there."""
        with self._quiet:
            copied, facts = self.random.choice(self.copies)
            how = self.random.choice(("in the place of the folder", "over the folder", "while it is served"))
            if how == "while it is served":
                aside = self.served.place / f"aside-{self.outcome.interleavings}"
                self.folder.rename(aside)
            else:
                self.served.stop(self.random.choice((signal.SIGKILL, signal.SIGTERM)))
            is_newest = how == "over the folder" and _version(copied) == _version(self.folder)
            if how == "in the place of the folder":
                shutil.rmtree(self.folder)
            elif how == "over the folder":
                for path in self.folder.glob("state.db-*"):  # as in docs/operations.md
                    path.unlink()
            shutil.copytree(copied, self.folder, dirs_exist_ok=True)
            self.facts = copy.deepcopy(facts)
            if how == "while it is served":
                until(self._follows, 180, "workers that go by the folder that was put there")
        if how == "while it is served":
            self._change_things([])  # the gateway uses the new folder until it is restarted
            self.served.stop(self.random.choice((signal.SIGKILL, signal.SIGTERM)))
        self.served.start()
        if not is_newest and "put back" not in self.served.settled()["standings"]:
            self.wrong(f"put back unnoticed: a copy {how}")
        self.outcome.did[f"copies put back {how}"] += 1

    def _follows(self) -> bool:
        keys = self.facts.keys.items()
        return all(self.served.status(key.text) in self._allowed(key_id) for key_id, key in keys)

    # --- one interleaving ---

    def _at_once(self, work: list[Callable[[], None]]) -> None:
        self.random.shuffle(work)
        with ThreadPoolExecutor(len(work)) as pool:
            list(pool.map(lambda do: do(), work))

    def _change_things(self, also: list[Callable[[], None]]) -> None:
        live = [key_id for key_id, key in self.facts.keys.items() if not key.revoked]
        work: list[Callable[[], None]] = [self.issue]
        for key_id in self.random.sample(live, min(4, len(live))):
            ways = (self.revoke, self.stand, self.kill_command, self.race)
            what = self.random.choices(ways, (3, 6, 1, 1))[0]
            work.append(lambda what=what, key_id=key_id: what(key_id))
        self._at_once(self.random.sample(work, self.random.randint(1, len(work))) + also)

    def step(self) -> None:
        """Let some things happen at once, then compare."""
        self._forget()
        draw = self.random.random()
        if self._fleet is None and draw < 0.02 and self.copies:
            self.put_back()
        elif self._fleet is None and draw < 0.05:  # a fleet is restored from its database: docs/fleet.md
            self.copy()
        else:
            happens: list[tuple[Callable[[], None], float]] = [
                (self.end_worker, 0.15),
                (self.freeze_worker, 0.08),
                (self.fill_disk, 0.08),
                (lambda: self.restart(signal.SIGKILL), 0.025),
                (lambda: self.restart(signal.SIGTERM), 0.02),
                (self.make_way, 0.025),
                *([(self.lose_database, 0.08)] if self._fleet else []),
            ]
            trouble = self.random.choice((1, 1, 1, BAD_MOMENT))  # accidents coincide
            self._change_things([what for what, share in happens if self.random.random() < trouble * share])
        self.outcome.interleavings += 1
        self.compare()

    def compare(self) -> None:
        """Compare the expected facts with the store, with what clients get, and with /health."""
        if self._url is not None:
            until(self._is_up_to_date, 60, "a copy of what the fleet's database holds")
        self.served.settled()
        with self._lock:
            tables = load_tables(self.folder / "state.db")
            self._compare_keys({key_id: key.disabled for key_id, key in tables.keys.items()})
            self._compare_steps({name: one.step.name.lower() for name, one in tables.standings.items()})
            self._unsure.clear()
            self._loose.clear()
            gone = sorted(self._issued.keys() - self.facts.keys.keys())
        for key_id in self.random.sample(gone, min(2, len(gone))):
            if (got := self.served.status(self._issued[key_id])) != 401:
                self.wrong(f"key out of nowhere: {key_id}, which the copy put back lacks, gets {got}")
        for key_id in self.random.sample(sorted(self.facts.keys), min(8, len(self.facts.keys))):
            self._try(key_id, "at the end", 2)
        self._compare_health()

    def _compare_keys(self, stored: dict[str, bool]) -> None:
        known = self.facts
        for key_id, key in known.keys.items():
            if key_id not in stored:
                self.wrong(f"key lost: {key_id}")
                continue
            if key_id in self._unsure:  # unacknowledged: the stored state counts
                key.revoked |= stored[key_id]
            if stored[key_id] != key.revoked:
                self.wrong(f"revocation {'lost' if key.revoked else 'out of nowhere'}: {key_id}")
        new = stored.keys() - known.keys.keys() - known.strangers
        known.strangers |= new
        if len(new) > self._lost_issues:
            self.wrong(f"key out of nowhere: {len(new)} of {sorted(new)}")

    def _compare_steps(self, stored: dict[str, str]) -> None:
        for account in {key.account for key in self.facts.keys.values()}:
            step, known = stored.get(account, "clear"), self.facts.step(account)
            if account in self._unsure:
                self.facts.actions[account] = [(0, step)]
            elif step != known:
                self.wrong(f"standing wrong: {account} is {step}, not {known}")

    def _is_up_to_date(self) -> bool:
        with psycopg.connect(self._url or "", options="-c search_path=stillwatch_gateway") as db:
            row = db.execute("SELECT revision FROM fleet").fetchone()
        with suppress(StateError):  # reopened in a moment
            return row == (load_tables(self.folder / "state.db").revision,)
        return False

    def _compare_health(self) -> None:
        before = self.served.admin("GET", "/v1/keys")[1]
        found = self.served.ask(self.served.admin_port, "GET", "/health")[1]
        after = self.served.admin("GET", "/v1/keys")[1]
        if before and found and after and before["revision"] == after["revision"]:
            text = next(part["text"] for part in found["parts"] if part["name"] == "standings")
            claim = CLAIM.search(text)
            if claim is None or int(claim[1]) != after["revision"]:
                self.wrong(f"health: {text}, at revision {after['revision']}")
        for pid in self.served.tree():
            for fd in Path(f"/proc/{pid}/fd").glob("*"):
                with suppress(OSError):
                    name = os.readlink(fd)
                    if "state.db" in name and name.endswith("(deleted)"):
                        self.wrong(f"deleted file in use: {name} by {pid}")

    def close(self) -> None:
        self._ended.set()
        self._watcher.join()
        self.served.stop(signal.SIGKILL)
        self.command.close()


def _version(folder: Path) -> tuple[str, int]:
    """Return which state a folder has: a copy of the newest one reverts nothing and needs no report."""
    tables = load_tables(folder / "state.db")
    return tables.generation, tables.revision


def _keep_logs(place: Path, to: Path, seed: int) -> None:
    to.mkdir(parents=True, exist_ok=True)
    for name in ("log", "ends"):
        shutil.copyfile(place / name, to / f"{seed}-{name}")


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def interleave(
    n: int,
    seed: int,
    seconds: float = 86_400,
    tell: bool = False,
    in_postgres: bool = False,
    keep: Path | None = None,
) -> Outcome:
    """Run `n` interleavings, or as many as fit in the time.

    keep: a folder for serve's log, and each process's end.
    """
    end = time.monotonic() + seconds
    with ExitStack() as ends:
        place = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="stillwatch-state-")))
        upstream = ends.enter_context(Upstream())
        server = ends.enter_context(postgres_server.startable()) if in_postgres else None
        world = World(place, upstream.url, seed, server)
        if keep is not None:
            ends.callback(_keep_logs, place, keep, seed)
        ends.callback(world.close)
        world.served.settled()
        while world.outcome.interleavings < n and time.monotonic() < end:
            seen = len(world.outcome.wrong)
            world.step()
            for text in world.outcome.wrong[seen:] if tell else ():
                print(f"  {seed}/{world.outcome.interleavings}: {text}", flush=True)
            if tell and world.outcome.interleavings % 50 == 0:
                print(f"seed {seed}: {world.outcome}", flush=True)
        return world.outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("--n", type=int, default=1_000, help="interleavings")
    parser.add_argument("--seed", type=int, default=1, help="of the first world; the next ones count on")
    parser.add_argument("--worlds", type=int, default=1, help="gateways, or databases, at once")
    parser.add_argument("--cases", action="store_true", help="try the database of cases instead")
    parser.add_argument("--postgres", action="store_true", help="kept in PostgreSQL; the state: a fleet's")
    parser.add_argument("--minutes", type=float, default=1_440.0, help="end after so long, whatever was done")
    parser.add_argument("--keep", type=Path, help="folder for serve's log and how each process ended")
    asked = parser.parse_args()
    began, found = time.monotonic(), Outcome()
    with ProcessPoolExecutor(asked.worlds) as pool:
        run = interleave_cases if asked.cases else partial(interleave, tell=True, keep=asked.keep)
        run = partial(run, in_postgres=asked.postgres)
        shares = [asked.n // asked.worlds + (k < asked.n % asked.worlds) for k in range(asked.worlds)]
        seeds = range(asked.seed, asked.seed + asked.worlds)
        for outcome in pool.map(run, shares, seeds, [asked.minutes * 60] * asked.worlds):
            found.add(outcome)
    minutes = (time.monotonic() - began) / 60
    print(f"seeds {seeds[0]} to {seeds[-1]}, {minutes:.1f} minutes: {found}")
    sys.exit(1 if found.wrong else 0)


if __name__ == "__main__":
    main()
