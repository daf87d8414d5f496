#!/usr/bin/env python3
"""Whether a key, revocation, block or standing can be lost or come back, whatever happens to the processes.

    python benchmarks/state_interleavings.py --n 1000 --seed 1
    python benchmarks/state_interleavings.py --cases --n 1000    # the same for the database of cases

Each interleaving lets one to five things happen at once to a real `stillwatch serve` with two workers: writes
by the command line and by the admin port, a worker or the whole tree killed, orderly restarts, hand-overs to
the next gateway, a command killed while it writes. In some the folder is copied while it is served, or a copy
is put back. After each, everything that was answered with success is compared with what the store says, with
what clients get and with what /health claims. What must be so is kept in a dictionary. It ends with 1 where
anything differs.
"""

import argparse
import copy
import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from gateway_world import free_port, until  # noqa: E402 - the tests' own world
from upstream import Upstream  # noqa: E402

NOT_IN_FORCE = (3, 504)
# A process that has imported the command line and forks for each command: a second saved a command.
FORKING = """
import json, os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
from stillwatch.cli import folder, key, main, standing
for line in sys.stdin:
    place, words = json.loads(line)
    pid = os.fork()
    if pid == 0:
        out = os.open(place, os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1), os.dup2(out, 2), os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = 0
        try:
            sys.argv = ["stillwatch", *words]
            main.run()
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            import traceback
            traceback.print_exc()
            code = 99
        sys.stdout.flush(), sys.stderr.flush()
        os.rename(place, f"{place}.{code}")
        os._exit(0)
    print(pid, flush=True)
"""


@dataclass
class Facts:
    """What must be so: everything that was answered with success, as a dictionary."""

    keys: dict[str, tuple[str, str, bool]] = field(default_factory=dict)  # id -> account, key, revoked
    blocked: set[str] = field(default_factory=set)  # accounts


@dataclass
class Outcome:
    """What was found."""

    interleavings: int = 0
    did: Counter[str] = field(default_factory=Counter)
    not_confirmed: int = 0  # a command or the admin port said: not in force everywhere yet
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        did = ", ".join(f"{count} {what}" for what, count in sorted(self.did.items()))
        bad = Counter(text.partition(":")[0] for text in self.wrong)
        return (
            f"{self.interleavings} interleavings ({did}): {len(self.wrong)} facts wrong"
            f"{' ' + str(dict(bad)) if bad else ''}; {self.not_confirmed} answers said: not in force yet"
        )


class CommandLine:
    """Runs commands of the command line, each in a process of its own."""

    def __init__(self, place: Path) -> None:
        self._place, self._number, self._lock = place, 0, threading.Lock()
        self._parent = subprocess.Popen(
            [sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, *words: str, kill_after_s: float | None = None) -> tuple[int, str]:
        """Give exit code and output; -9 where it was killed."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        with self._lock:
            self._number += 1
            place = self._place / f"command-{self._number}"
            self._parent.stdin.write(json.dumps([str(place), words]) + "\n")
            self._parent.stdin.flush()
            pid = int(self._parent.stdout.readline())
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + (60 if kill_after_s is None else 0.2)
        while time.monotonic() < end:
            for found in self._place.glob(f"{place.name}.*"):
                text = found.read_text(errors="replace")
                found.unlink()
                return int(found.suffix[1:]), text
            time.sleep(0.005)
        return -9, ""

    def close(self) -> None:
        self._parent.communicate(timeout=10)  # it ends when nothing more comes


class World:
    """A gateway that is served, what must be so of it, and what can happen to it."""

    def __init__(self, place: Path, upstream: str, seed: int) -> None:
        self.place, self.folder, self.random = place, place / "serve", random.Random(seed)
        self.facts, self.outcome = Facts(), Outcome()
        self.copies: list[tuple[Path, Facts]] = []
        self.port, self.admin_port = free_port(), free_port()
        self.command = CommandLine(place)
        self._upstream, self._accounts = upstream, 0
        self._serve: subprocess.Popen[bytes] | None = None
        self.start()
        self.token = until(
            lambda: (m := re.search(r"sw-admin-[\w-]+", self.log())) and m[0], 120, "the token"
        )

    # --- the gateway ---

    def log(self) -> str:
        return (self.place / "log").read_text(errors="replace")

    def start(self) -> None:
        words = ["serve", "--folder", str(self.folder), "--upstream", self._upstream, "--workers", "2"]
        words += ["--port", str(self.port), "--admin-port", str(self.admin_port)]
        run = [sys.executable, "-c", "from stillwatch.cli.main import run; run()", *words]
        with open(self.place / "log", "ab") as log:
            self._serve = subprocess.Popen(run, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def tree(self) -> list[int]:
        """The supervisor and its processes."""
        assert self._serve is not None
        found = [self._serve.pid]
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError, ValueError, IndexError):
                if int(path.read_text().rpartition(")")[2].split()[1]) == self._serve.pid:
                    found.append(int(path.parent.name))
        return found

    def workers(self) -> list[int]:
        return [pid for pid in self.tree() if b"worker-" in _cmdline(pid)]

    def stop(self, number: int) -> None:
        assert self._serve is not None
        tree = self.tree() if number == signal.SIGKILL else [self._serve.pid]
        for pid in tree:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        self._serve.wait(90)
        until(lambda: not [p for p in tree if b"stillwatch" in _cmdline(p)], 60, "the tree is gone")

    def ask(self, port: int, method: str, path: str, body: object = None, key: str = "") -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
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

    def serves(self, key: str) -> int:
        return self.ask(self.port, "GET", "/v1/models", key=key)[0]

    def settled(self) -> None:
        """Wait until the admin port answers and both workers serve."""

        def ready() -> bool:
            assert self._serve is not None
            if self._serve.poll() is not None:
                raise AssertionError(f"serve ended with {self._serve.returncode}: {self.log()[-600:]}")
            parts = self.ask(self.admin_port, "GET", "/health")[1]
            return bool(parts) and any(p["text"] == "2 of 2 serve" for p in parts["parts"])

        until(ready, 180, "two workers serve")

    # --- what people do ---

    def issue(self) -> None:
        self._accounts += 1
        account = f"acct-{self._accounts}"
        if self.random.random() < 0.5:
            code, text = self.command("key", "issue", account, "--folder", str(self.folder), "--json")
            found = re.search(r"sk-sw-[\w-]+", text)
            key, done = found[0] if found else "", code in (0, 3)
        else:
            code, said = self.admin("POST", "/v1/keys", {"account": account})
            key, done = said["key"] if code == 201 else "", code == 201
        self._count("issued", code)
        if done:
            self.facts.keys[key.split("-")[2]] = (account, key, False)

    def revoke(self, key_id: str) -> None:
        account, key, _ = self.facts.keys[key_id]
        if self.random.random() < 0.5:
            code, _ = self.command("key", "revoke", key_id, "--folder", str(self.folder))
        else:
            code, _ = self.admin("POST", f"/v1/keys/{key_id}/revoke", {})
        self._count("revoked", code)
        if self._written(key_id, code, key, "revocation"):
            self.facts.keys[key_id] = (account, key, True)

    def stand(self, key_id: str) -> None:
        account, key, _ = self.facts.keys[key_id]
        step = "clear" if account in self.facts.blocked else "block"
        if self.random.random() < 0.5:
            words = (
                "standing",
                "set",
                account,
                "--step",
                step,
                "--why",
                "test",
                "--folder",
                str(self.folder),
            )
            code, _ = self.command(*words)
        else:
            body = {"accounts": [account], "step": step, "why": "test"}
            code, _ = self.admin("POST", "/v1/standings", body)
        self._count(f"{step}s", code)
        if self._written(key_id, code, key if step == "block" else "", "block"):
            (self.facts.blocked.add if step == "block" else self.facts.blocked.discard)(account)

    def killed_command(self, key_id: str) -> None:
        words = ("key", "revoke", key_id, "--folder", str(self.folder))
        self.command(*words, kill_after_s=self.random.uniform(0, 0.15))
        self._count("commands killed", 0)
        self._unsure.add(key_id)

    def _count(self, what: str, code: int) -> None:
        self.outcome.did[what] += 1
        self.outcome.not_confirmed += code in NOT_IN_FORCE
        self.answers.append(f"{what}: {code}")

    def _written(self, key_id: str, code: int, key: str, what: str) -> bool:
        """Whether it was answered with success; then it must be in force at once, wherever one asks."""
        if code in (0, 200) and key and self.serves(key) == 200:
            self.outcome.wrong.append(f"{what} not in force: of {key_id}, answered with success")
        if code not in (0, 200, *NOT_IN_FORCE):
            self._unsure.add(key_id)
        return code in (0, 200, *NOT_IN_FORCE)

    # --- what happens to processes and files ---

    def kill_worker(self, number: int) -> None:
        for pid in self.random.sample(self.workers(), 1) if self.workers() else []:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        self.outcome.did["workers ended"] += 1

    def restart(self, number: int) -> None:
        self.stop(number)
        time.sleep(self.random.choice((0.0, 0.3)))
        self.start()
        self.outcome.did["kills of the tree" if number == signal.SIGKILL else "orderly restarts"] += 1

    def make_way(self) -> None:
        """Let another gateway follow in the same process; nobody waits for it to be done."""
        assert self._serve is not None
        self._serve.send_signal(signal.SIGUSR2)
        self.outcome.did["hand-overs"] += 1

    def copy(self) -> None:
        to = self.place / f"copy-{len(self.copies)}"
        shutil.copytree(self.folder, to, ignore=shutil.ignore_patterns("run", "wal", "segments", "detector"))
        self.copies.append((to, copy.deepcopy(self.facts)))
        self.outcome.did["copies made"] += 1

    def put_back(self) -> None:
        copied, facts = self.random.choice(self.copies)
        self.stop(self.random.choice((signal.SIGKILL, signal.SIGTERM)))
        if self.random.random() < 0.5:
            shutil.rmtree(self.folder)
            shutil.copytree(copied, self.folder)
            how = "in the place of the folder"
        else:
            shutil.copytree(copied, self.folder, dirs_exist_ok=True)
            how = "over the folder"
        self.facts = copy.deepcopy(facts)
        self.start()
        self.settled()
        _, said = self.ask(self.admin_port, "GET", "/health")
        if not any("put back" in part["text"] for part in said["parts"]):
            self.outcome.wrong.append(f"put back unnoticed: a copy {how}")
        self.outcome.did["copies put back"] += 1

    # --- one interleaving ---

    def step(self) -> None:
        """Let some things happen at once, then compare."""
        self._unsure: set[str] = set()
        self.answers: list[str] = []
        live = [k for k, (_, _, revoked) in self.facts.keys.items() if not revoked]
        chosen = self.random.sample(live, min(3, len(live)))
        draw = self.random.random()
        if draw < 0.02 and self.copies:
            self.put_back()
        elif draw < 0.05:
            self.copy()
        else:
            work = [self.issue]
            for key_id in chosen:
                what = self.random.choices((self.revoke, self.stand, self.killed_command), (2, 5, 1))[0]
                work.append(lambda what=what, key_id=key_id: what(key_id))
            work = self.random.sample(work, self.random.randint(1, len(work)))
            if draw < 0.20:
                number = self.random.choice((signal.SIGKILL, signal.SIGTERM))
                work.append(lambda: self.kill_worker(number))
            elif draw < 0.23:
                work.append(lambda: self.restart(signal.SIGKILL))
            elif draw < 0.25:
                work.append(lambda: self.restart(signal.SIGTERM))
            elif draw < 0.29:
                work.append(self.make_way)
            self.random.shuffle(work)
            with ThreadPoolExecutor(len(work)) as pool:
                list(pool.map(lambda do: do(), work))
        self.outcome.interleavings += 1
        self.compare(chosen)

    def compare(self, touched: list[str]) -> None:
        """Compare the model with the store, with what clients get, and with what /health says."""
        self.settled()
        wrong, folder = self.outcome.wrong, str(self.folder)
        keys = {
            k["key_id"]: k for k in json.loads(self.command("key", "list", "--folder", folder, "--json")[1])
        }
        shown = json.loads(self.command("standing", "show", "--folder", folder, "--json")[1])
        blocked = {one["account"] for one in shown if one["step"] == "block"}
        for key_id in self._unsure & self.facts.keys.keys():  # nobody was told: what is written down counts
            account, key, _ = self.facts.keys[key_id]
            self.facts.keys[key_id] = (account, key, keys.get(key_id, {}).get("revoked") is not None)
            (self.facts.blocked.add if account in blocked else self.facts.blocked.discard)(account)
        for key_id, (account, _, revoked) in self.facts.keys.items():
            if key_id not in keys:
                wrong.append(f"key lost: {key_id}")
            elif (keys[key_id]["revoked"] is not None) != revoked:
                wrong.append(f"revocation {'lost' if revoked else 'out of nowhere'}: {key_id}")
            if (account in blocked) != (account in self.facts.blocked):
                wrong.append(f"block {'out of nowhere' if account in blocked else 'lost'}: {account}")
        sample = {*touched, *self.random.sample(sorted(self.facts.keys), min(3, len(self.facts.keys)))}
        for key_id in sample & self.facts.keys.keys():
            account, key, revoked = self.facts.keys[key_id]
            expected = 401 if revoked else 403 if account in self.facts.blocked else 200
            for _ in range(3):
                if (got := self.serves(key)) != expected:
                    wrong.append(f"served wrongly: {key_id} gets {got}, not {expected}")
        self._compare_health()

    def _compare_health(self) -> None:
        before = self.admin("GET", "/v1/keys")[1]
        said = self.ask(self.admin_port, "GET", "/health")[1]
        after = self.admin("GET", "/v1/keys")[1]
        if not (before and said and after) or before["revision"] != after["revision"]:
            return
        text = next(part["text"] for part in said["parts"] if part["name"] == "standings")
        claim = re.search(r"every worker goes by keys and standings of revision (\d+)", text)
        if claim is None or int(claim[1]) != after["revision"]:
            self.outcome.wrong.append(f"health: {text}, at revision {after['revision']}")
        for pid in self.tree():
            for fd in Path(f"/proc/{pid}/fd").glob("*"):
                with suppress(OSError):
                    name = os.readlink(fd)
                    if "state.db" in name and name.endswith("(deleted)"):
                        self.outcome.wrong.append(f"deleted file in use: {name} by {pid}")

    def close(self) -> None:
        self.command.close()
        self.stop(signal.SIGKILL)


# Writes records to the cases without pause, and says each that was answered with success.
WRITER = """
import sys
from pathlib import Path
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.store import Store
from stillwatch.units import utc_us
with Store(sys.argv[1]) as store:
    attach(store, Path(sys.argv[2]))
    for k in range(int(sys.argv[3])):
        store.look("ann", "looked", f"case-{sys.argv[4]}-{k}", {}, utc_us())
        print(f"case-{sys.argv[4]}-{k}", flush=True)
"""


def interleave_cases(n: int, seed: int, seconds: float = 86_400) -> Outcome:
    """Let processes write to one database of cases, be killed and close it, beside one that has it open."""
    from sqlalchemy import text  # here: the gateway's part needs none of it

    from stillwatch.cases.audit.trail import attach
    from stillwatch.cases.store import Store
    from stillwatch.units import utc_us

    draws, outcome, said = random.Random(seed), Outcome(), set()
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="stillwatch-cases-") as made:
        path, key = Path(made) / "cases.db", Path(made) / "audit.key"
        url = f"sqlite:///{path}"

        def attached() -> Store:
            store = Store(url)
            attach(store, key)
            return store

        def look(store: Store, subject: str) -> None:
            store.look("ben", "looked", subject, {}, utc_us())
            said.add(subject)

        store = attached()
        while outcome.interleavings < n and time.monotonic() < end:
            number = outcome.interleavings
            words = [sys.executable, "-c", WRITER, url, str(key), str(draws.randint(1, 8)), str(number)]
            # a new interpreter takes a second to begin: several interleavings share one
            other = subprocess.Popen(words, stdout=subprocess.PIPE, text=True) if number % 5 == 0 else None
            if draws.random() < 0.5:
                attached().close()  # a second handle in this process, opened and closed
                outcome.did["second handles"] += 1
            look(store, f"mine-{number}")
            if other is not None:
                if draws.random() < 0.5:
                    time.sleep(draws.uniform(0, 3))
                    other.kill()
                    outcome.did["writers killed"] += 1
                said |= set(other.communicate(timeout=120)[0].split("\n")[:-1])
                outcome.did["writers"] += 1
            look(store, f"mine-too-{number}")
            if draws.random() < 0.1:
                store.close()
                store = attached()
                outcome.did["restarts"] += 1
            with attached() as fresh, fresh.reading() as db:
                kept = list(db.execute(text("SELECT subject FROM audit_records")).scalars())
            outcome.wrong += [f"record lost: {one}" for one in said - set(kept)]
            outcome.wrong += [
                f"record doubled: {one}" for one, k in Counter(kept).items() if k > 1 and "-" in one
            ]
            outcome.interleavings += 1
        store.close()
    return outcome


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def interleave(n: int, seed: int, seconds: float = 86_400, tell: bool = False) -> Outcome:
    """Let `n` interleavings happen, or as many as fit in the time."""
    with tempfile.TemporaryDirectory(prefix="stillwatch-state-") as made, Upstream() as up:
        world = World(Path(made), up.url, seed)
        end = time.monotonic() + seconds
        try:
            world.settled()
            while world.outcome.interleavings < n and time.monotonic() < end:
                seen = len(world.outcome.wrong)
                world.step()
                for text in world.outcome.wrong[seen:] if tell else ():
                    print(f"  {world.outcome.interleavings}: {text}; after {world.answers}", flush=True)
                if tell and world.outcome.interleavings % 50 == 0:
                    print(world.outcome, flush=True)
        finally:
            world.close()
        return world.outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("--n", type=int, default=1_000, help="interleavings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", action="store_true", help="try the database of cases instead")
    parser.add_argument("--minutes", type=float, default=1_440.0, help="end after so long, whatever was done")
    asked = parser.parse_args()
    began = time.monotonic()
    if asked.cases:
        found = interleave_cases(asked.n, asked.seed, asked.minutes * 60)
    else:
        found = interleave(asked.n, asked.seed, asked.minutes * 60, tell=True)
    print(f"seed {asked.seed}, {(time.monotonic() - began) / 60:.1f} minutes: {found}")
    sys.exit(1 if found.wrong else 0)


if __name__ == "__main__":
    main()
