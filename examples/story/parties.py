"""The desk of the story: runs commands, keeps what they said, starts and ends processes, fills forms in."""

import contextlib
import json
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html import unescape
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import duckdb

HERE = Path(__file__).parent
STILLWATCH = str(Path(sys.executable).parent / "stillwatch")


@dataclass
class Act:
    """One thing that somebody did: the command, what it said, and the sentence on the page."""

    by: str
    command: str
    output: str = ""
    status: int = 0
    seconds: float = 0.0
    sentence: str = ""
    order: int = 0

    def say(self, sentence: str) -> "Act":
        self.sentence = sentence
        print(f"  {sentence}", flush=True)
        return self


@dataclass
class Chapter:
    title: str
    about: str
    acts: list[Act] = field(default_factory=list)


class Failed(Exception):
    """A command of the story did not do what the story needs."""


class Desk:
    """The folder of the story, with what happened in it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.chapters: list[Chapter] = []
        self.outcome: dict[str, Any] = {}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.admin: dict[str, str] = {}
        self.port: dict[str, int] = {}
        self.upstream_port: dict[str, int] = {}
        self.upstream_url: dict[str, str] = {}
        self.persons: dict[str, Browser] = {}
        self.console, self.witness = "", ""
        self.limits: list[str] = []
        self._acts = 0

    # --- telling ---

    def chapter(self, title: str, about: str) -> None:
        self.chapters.append(Chapter(title, about))
        print(f"\n{title}", flush=True)

    def add(self, act: Act) -> Act:
        self._acts += 1
        act.order = self._acts
        self.chapters[-1].acts.append(act)
        return act

    def note(self, sentence: str, command: str = "") -> None:
        self.add(Act("", command)).say(sentence)

    @property
    def last(self) -> Act:
        return self.chapters[-1].acts[-1]

    # --- commands ---

    def run(self, by: str, command: str, *, given: str = "") -> Act:
        """Run a verb as a user would, in the story's folder. Raises: Failed where it refuses."""
        return self._done(by, f"stillwatch {command}", [STILLWATCH, *shlex.split(command)], given)

    def plain(self, by: str, command: list[str]) -> Act:
        return self._done(by, shlex.join([Path(command[0]).name, *command[1:]]), command, "")

    def _done(self, by: str, shown: str, command: list[str], given: str) -> Act:
        began = time.monotonic()
        ran = subprocess.run(command, cwd=self.out, input=given, capture_output=True, text=True, timeout=300)
        act = Act(by, shown, ran.stdout, ran.returncode, time.monotonic() - began)
        if ran.returncode:
            raise Failed(f"{shown}\nexit {ran.returncode}\n{ran.stdout[-2000:]}\n{ran.stderr[-3000:]}")
        return self.add(act)

    def json(self, by: str, command: str) -> Any:
        return json.loads(self.run(by, command).output)

    def scan(self, name: str, how: str) -> Any:
        self.run(name, f"scan {name}/log/exchanges.parquet --accounts {name}/log/accounts.parquet {how}")
        return json.loads((self.out / name / "report" / "findings.json").read_text("utf-8"))

    @staticmethod
    def campaigns(found: Any) -> str:
        every = found["campaigns"]
        accounts = sum(len(one["accounts"]) for one in every)
        taken = sum(one["harvest"]["exchanges"] for one in every)
        one = every[0]
        return (
            f"{len(every)} campaign{'s' if len(every) > 1 else ''} over {accounts} accounts, which took "
            f"{taken:,} answers (p = {one['p_value']:.2g}; alarm after "
            f"{one['harvest_at_alarm']['exchanges']:,})"
        )

    def folder(self, name: str) -> str:
        return "cloud/report" if name == "cloud" else "maker/serve"

    def cases(self, name: str) -> Any:
        return self.quiet(f"case list --folder {self.folder(name)} --json")["cases"]

    def members(self, name: str, case: str) -> list[str]:
        told = self.quiet(f"case accounts {case} --folder {self.folder(name)} --json")
        return [one["account"] for one in told["accounts"]]

    def case(self, name: str, case: str) -> Any:
        return self.quiet(f"case show {case} --folder {self.folder(name)} --json")

    def quiet(self, command: str) -> Any:
        return json.loads(self.quiet_text(command))

    def quiet_text(self, command: str) -> str:
        """A look at what is on record, which is no part of the story."""
        ran = subprocess.run(
            [STILLWATCH, *shlex.split(command)], cwd=self.out, capture_output=True, text=True
        )
        if ran.returncode:
            raise Failed(f"stillwatch {command}\n{ran.stderr}")
        return ran.stdout

    # --- processes ---

    def start(self, by: str, command: list[str], shown: str, log: str) -> Act:
        place = self.out / log
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            self.processes.append(subprocess.Popen(command, cwd=self.out, stdout=file, stderr=file))
        return self.add(Act(by, shown))

    def upstream(self, name: str, config: str) -> str:
        port = free_port()
        self.upstream_port[name], self.upstream_url[name] = port, f"http://127.0.0.1:{port}"
        command = [sys.executable, str(HERE / "toy_models.py"), "serve", config, "--port", str(port)]
        self.start(name, command, f"python toy_models.py serve {config} --port {port}", f"{name}/models.log")
        self.until(lambda: listens(port), 30)
        return self.upstream_url[name]

    def serve(self, name: str, upstream: str, terms: str) -> None:
        port, admin = free_port(), free_port()
        command = f"serve --folder {name}/serve --upstream {upstream} --terms {terms} --port {port}"
        command += f" --admin-port {admin}"
        self.start(name, [STILLWATCH, *shlex.split(command)], f"stillwatch {command}", f"{name}/serve.log")
        self.port[name], self.admin[name] = port, f"http://127.0.0.1:{admin}"
        self.until(lambda: get_status(admin, "/readyz") == 200, 120)
        self.until(lambda: bool(self.token(name)), 60)  # it is printed last
        self.last.say(f"The {name}'s gateway stands before its models.")

    def start_console(self, folder: str, how: str) -> str:
        port = free_port()
        command = f"console {folder} --port {port} {how}"
        self.start("cloud", [STILLWATCH, *shlex.split(command)], f"stillwatch {command}", "cloud/console.log")
        self.until(lambda: listens(port), 60)
        return f"http://127.0.0.1:{port}"

    def close(self) -> None:
        for one in reversed(self.processes):
            one.terminate()
        for one in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.wait(40)
            if one.poll() is None:
                one.kill()

    @staticmethod
    def until(true: Callable[[], bool], within_s: float) -> bool:
        """Wait for something. Raises: Failed."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if true():
                    return True
            time.sleep(0.1)
        raise Failed(f"it did not come within {within_s} s")

    # --- people and keys ---

    def people(self, name: str, roles: dict[str, str], folder: str) -> dict[str, str]:
        """Let people log in; each with a password of its own."""
        words = {}
        for person, role in roles.items():
            words[person] = f"{person} has a long password of the story {name}"
            self.run(
                name, f"console user add {person} --role {role} --folder {folder}", given=words[person] + "\n"
            )
        return words

    def issue(self, name: str, account: str) -> str:
        """Issue a key to an account, over the admin port."""
        body = json.dumps({"account": account, "by": "admin"})
        status, told = self.admin_asks(name, "/v1/keys", body)
        if status != 201:
            raise Failed(f"POST /v1/keys: {status} {told}")
        return str(told["key"])

    def token(self, name: str) -> str:
        """Give the admin token, as it was printed at the gateway's first start."""
        found = re.search(r"sw-admin-\S+(?=\s)", (self.out / name / "serve.log").read_text("utf-8"))
        return found[0] if found else ""

    def admin_asks(self, name: str, path: str, body: str) -> tuple[int, Any]:
        asked = HTTPConnection(urlsplit(self.admin[name]).netloc, timeout=30)
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.token(name)}"}
        try:
            asked.request("POST", path, body, headers)
            reply = asked.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            asked.close()

    # --- files ---

    def rows(self, file: str, rows: Iterable[tuple[str, str]]) -> None:
        path = self.out / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps({"prompt": p, "answer": a}) + "\n" for p, a in rows), "utf-8")

    def read_rows(self, file: str) -> list[tuple[str, str]]:
        told = map(json.loads, (self.out / file).read_text("utf-8").splitlines())
        return [(one["prompt"], one["answer"]) for one in told]

    def config(self, folder: str, models: dict[str, Any], name: str = "models.json") -> str:
        path = self.out / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(models, indent=1), "utf-8")
        return f"{folder}/{name}"

    def strangers(self, root: Path) -> dict[str, Any]:
        """Models of nobody's, each made from one page of documentation: they fill the library."""
        found = {}
        for page in sorted((root / "docs").glob("*.md"), key=lambda one: -one.stat().st_size)[:20]:
            self.rows(f"host/{page.stem}.jsonl", [("", line) for line in sentences(page)])
            found[f"toy-{page.stem}"] = {"rows": f"{page.stem}.jsonl", "order": 1}
        return found

    def column(self, file: str, name: str) -> list[str]:
        return [row[0] for row in self.sql(f"SELECT DISTINCT {name} FROM '{file}'")]

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Read the story's own files: the operator's knowledge of itself, or a count for the page."""
        with duckdb.connect() as db:
            db.execute(f"SET file_search_path = '{self.out}'")
            return db.execute(query).fetchall()

    def of_operator(self, name: str, seed: int) -> str:
        """Give the operator's own exchanges, as it knows them: a relation of SQL."""
        log, truth = f"'{name}/log/exchanges.parquet'", f"'scenes/{name}-{seed}/truth_exchanges.parquet'"
        return f"{log} JOIN {truth} USING (exchange_id) WHERE campaign IS NOT NULL"

    def sent(self, name: str, seed: int) -> list[str]:
        """Give the operator's different prompts."""
        return [row[0] for row in self.sql(f"SELECT DISTINCT prompt FROM {self.of_operator(name, seed)}")]

    def prompts_of(self, name: str, seed: int) -> dict[str, list[str]]:
        """Give the operator's prompts by account, in their order."""
        found: dict[str, list[str]] = {}
        query = f"SELECT account, prompt FROM {self.of_operator(name, seed)} ORDER BY time"
        for account, prompt in self.sql(query):
            found.setdefault(account, []).append(prompt)
        return found

    def truth(self, name: str, seed: int) -> dict[str, float]:
        """Give the thief's share of each account's traffic: its owner knows it, no command reads it."""
        return dict(self.sql(f"SELECT account, covert_share FROM 'scenes/{name}-{seed}/truth.parquet'"))

    def frequent(self, name: str) -> list[str]:
        log = f"'{name}/log/exchanges.parquet'"
        query = f"SELECT account FROM {log} GROUP BY account ORDER BY count(*) DESC, account"
        return [row[0] for row in self.sql(query)]

    def history(self, name: str, account: str, before: str) -> dict[str, Any]:
        """Give what an account's page shows of it: sign-up, exchanges in all, and before a time."""
        log, about = f"'{name}/log/exchanges.parquet'", f"'{name}/log/accounts.parquet'"
        ((created,),) = self.sql(f"SELECT created FROM {about} WHERE account = '{account}'")
        query = f"SELECT count(*), count(*) FILTER (time < '{before}') FROM {log} WHERE account = '{account}'"
        ((every, earlier),) = self.sql(query)
        return {"created": f"{created:%-d %B %Y}", "all": every, "before": earlier}

    def questions(self, name: str, most: int) -> list[str]:
        """Give some short prompts of a log, drawn by their hash."""
        log = f"'{name}/log/exchanges.parquet'"
        short = f"SELECT DISTINCT prompt FROM {log} WHERE length(prompt) BETWEEN 20 AND 300"
        return [row[0] for row in self.sql(f"{short} ORDER BY hash(prompt) LIMIT {most}")]

    def names_in(self, file: str, name: str) -> int:
        text = (self.out / file).read_text("utf-8")
        return sum(account in text for account in self.column(f"{name}/log/exchanges.parquet", "account"))


def sentences(page: Path) -> list[str]:
    """Give a page's lines of prose: what toy models are made from."""
    lines = page.read_text("utf-8").splitlines()
    return [line for line in lines if line[:1].isalpha() and len(line.split()) > 8]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def get_status(port: int, path: str) -> int:
    asked = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        asked.request("GET", path)
        return asked.getresponse().status
    finally:
        asked.close()


def chat(port: int, key: str, model: str, prompt: str) -> tuple[int, Any]:
    """Ask a model, as any client of such an API does."""
    asked = HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 48})
    headers = {"content-type": "application/json", "authorization": f"Bearer {key or 'none'}"}
    try:
        asked.request("POST", "/v1/chat/completions", body, headers)
        reply = asked.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        asked.close()


@dataclass
class DryRun:
    """A dry run on the console's page: whom it would hit, and what it takes to go on."""

    browser: "Browser"
    act: Act
    case: str
    form: dict[str, str]
    accounts: int
    keys: int
    big: str

    @property
    def order(self) -> int:
        return self.act.order

    def say(self, sentence: str) -> None:
        self.act.say(sentence)

    def take(self) -> Act:
        return self.browser.send(f"/case/{self.case}/act", self.form)


class Browser:
    """A person at the console: logs in, reads pages, sends the forms that are on them."""

    def __init__(self, desk: Desk, by: str, home: str, name: str, password: str) -> None:
        self.desk, self.by, self.name = desk, by, name
        at = urlsplit(home)
        self.host, self.root = f"{at.hostname}:{at.port}", at.path
        self.cookies: dict[str, str] = {}
        form = {"name": name, "password": password, "csrf": self._csrf(self._get("/login")[1]), "next": ""}
        status, text = self._post("/login", form)
        if status != 303:
            raise Failed(f"{name} cannot log in: {status} {text[:500]}")

    def json(self, path: str) -> Any:
        status, text = self._get(f"{path}.json" if "?" not in path else path)
        if status != 200:
            raise Failed(f"GET {path}: {status} {text[:500]}")
        return json.loads(text)

    def post(self, path: str, page: str, **form: str) -> Act:
        """Send a form of a page. Raises: Failed where the console refuses."""
        return self.send(path, {**self._of_page(page), **form})

    def send(self, path: str, form: dict[str, str]) -> Act:
        status, text = self._post(path, form)
        if status != 303:
            raise Failed(f"POST {path} by {self.name}: {status} {plain(text)[:1500]}")
        return self._note_act(path, form, status, text)

    def page(self, path: str, page: str, what: str, **form: str) -> Act:
        """Send a form that is answered with a page."""
        whole = {**self._of_page(page), **form}
        status, text = self._post(path, whole)
        if status != 200:
            raise Failed(f"{what}: POST {path} by {self.name}: {status} {plain(text)[:1500]}")
        return self._note_act(path, whole, status, text)

    def refused(self, path: str, page: str, **form: str) -> Act:
        """Send a form that has to be refused; the act's output says why."""
        whole = {**self._of_page(page), **form}
        status, text = self._post(path, whole)
        if status < 400:
            raise Failed(f"POST {path} by {self.name} was not refused: {status}")
        said = re.search(r'<p class="trouble"[^>]*>(.*?)</p>', text, re.S)
        return self._note_act(path, whole, status, plain(said[1]) if said else plain(text)[:300])

    def dry_run(self, case: str, step: str, for_s: int, why: str) -> DryRun:
        act = self.page(
            f"/case/{case}/dry", f"/case/{case}", "dry run", step=step, for_s=str(for_s), budget="", why=why
        )
        text = act.output
        form = dict(
            re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text.split('id="h-do"')[1])
        )
        accounts = re.search(r"Accounts hit ([\d,]+)", plain(text))
        keys = re.search(r"Their working keys ([\d,]+)", plain(text))
        big = re.search(r"A second person must agree, because (.*?)\.</p>", text)
        act.output = plain(text)
        return DryRun(
            self,
            act,
            case,
            {k: unescape(v) for k, v in form.items()},
            number(accounts),
            number(keys),
            unescape(big[1]) if big else "",
        )

    def _note_act(self, path: str, form: dict[str, str], status: int, output: str) -> Act:
        shown = " ".join(
            f"{k}={v!r}" for k, v in form.items() if k not in ("csrf", "digest", "revision") and v
        )
        return self.desk.add(
            Act(f"{self.by}: {self.name}", f"POST {self.root}{path}  {shown}", output, status)
        )

    def _of_page(self, page: str) -> dict[str, str]:
        status, text = self._get(page)
        if status != 200:
            raise Failed(f"GET {page} by {self.name}: {status} {plain(text)[:500]}")
        revision = re.search(r'name="revision" value="(\d+)"', text)
        return {"csrf": self._csrf(text)} | ({"revision": revision[1]} if revision else {})

    @staticmethod
    def _csrf(text: str) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', text)
        if found is None:
            raise Failed(f"no form on the page: {plain(text)[:500]}")
        return found[1]

    def _get(self, path: str) -> tuple[int, str]:
        return self._ask("GET", path, None)

    def _post(self, path: str, form: dict[str, str]) -> tuple[int, str]:
        return self._ask("POST", path, urlencode(form))

    def _ask(self, method: str, path: str, body: str | None) -> tuple[int, str]:
        asked = HTTPConnection(self.host, timeout=60)
        headers = {"cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        if body is not None:
            headers |= {"origin": f"http://{self.host}", "content-type": "application/x-www-form-urlencoded"}
        try:
            asked.request(method, f"{self.root}{path}", body, headers)
            reply = asked.getresponse()
            for value in reply.headers.get_all("set-cookie") or ():
                for name, one in SimpleCookie(value).items():
                    self.cookies[name] = one.value
            return reply.status, reply.read().decode("utf-8")
        finally:
            asked.close()


def plain(text: str) -> str:
    """The words of a page."""
    text = re.sub(r"<(script|style).*?</\1>", " ", text, flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def number(found: re.Match[str] | None) -> int:
    return int(found[1].replace(",", "")) if found else 0
