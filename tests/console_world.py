"""A console for tests: a store with the report's hostile cases, some users, a gateway of dicts."""

import re
import tempfile
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from starlette.testclient import TestClient
from starlette.types import ASGIApp

from stillwatch.cases import reading
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.fold import fold
from stillwatch.cases.store import Store
from stillwatch.console import (
    AffectedEndUser,
    CapturedExchange,
    ComponentHealth,
    InForce,
    Lost,
    NearbyAccount,
    Proposed,
    StepImpact,
    User,
    UserRole,
    people,
    sessions,
)
from stillwatch.console.app import make
from stillwatch.console.openid import IdentityProvider
from stillwatch.console.settings import ConsoleSettings
from stillwatch.scan import AccountVerdict, ScanResult
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.terms.history import HistoryEntry
from stillwatch.terms.load import default_text, loads
from test_report_world import BANG, HOSTILE, leads, result

NOW = 1_795_600_000_000_000
PASSWORD = "correct horse battery"
USERS = {
    "rita": UserRole.READER,
    "anna": UserRole.ANALYST,
    "ben": UserRole.ANALYST,
    "paul": UserRole.APPROVER,
    "pia": UserRole.APPROVER,
}
COOKIE = "stillwatch-8090"
HERE = "http://127.0.0.1:8090"
_HASHED = people.scrypt(PASSWORD, n=1 << 10)  # stored with its parameters: quick to check
NEWER = default_text().replace("version = 1", "version = 2", 1).replace("# max_n = 8 ", "max_n = 4 ", 1)


@dataclass
class Gateway:
    """Stands for a running gateway, with changes on top of each other so that an undo is exact."""

    name: str = "gateway of the tests"
    why_not: str | None = None
    actions: list[tuple[dict[str, EnforcementStatus], bool]] = field(default_factory=list)  # (what, in force)
    asked: list[str] = field(default_factory=list)
    open: dict[int, Proposed] = field(default_factory=dict)
    named: tuple[tuple[NearbyAccount, ...], tuple[NearbyAccount, ...], tuple[AffectedEndUser, ...]] = (
        (),
        (),
        (),
    )

    @property
    def acts(self) -> str | None:
        return self.why_not

    def standings(self, accounts: Collection[str]) -> Mapping[str, EnforcementStatus]:
        found: dict[str, EnforcementStatus] = {}
        for what, in_force in self.actions:
            if in_force:
                found |= {a: s for a, s in what.items() if a in set(accounts)}
        return found

    def reach(self, accounts: Sequence[str], step: Step, now_us: int) -> StepImpact:
        self.asked.append(f"reach {step.name} {len(accounts)}")
        return StepImpact(
            tuple(accounts),
            (),
            (),
            len(accounts),
            7,
            HOSTILE,
            2,
            None,
            ("Shared ones are not touched.",),
            *self.named,
        )

    def act(
        self, accounts: Sequence[str], standing: EnforcementStatus, who: str, why: str, now_us: int
    ) -> int:
        self.actions.append((dict.fromkeys(accounts, standing), True))
        return len(self.actions)

    def undo(self, action: int, who: str, why: str, now_us: int) -> int:
        self.actions[action - 1] = (self.actions[action - 1][0], False)
        self.actions.append(({}, True))
        return len(self.actions)

    def proposals(self, accounts: Collection[str] | None = None) -> Sequence[Proposed]:
        return [p for p in self.open.values() if accounts is None or set(p.accounts) & set(accounts)]

    def approve(self, proposal: int, who: str, why: str, now_us: int) -> int | None:
        found = self.open.pop(proposal)
        return self.act(found.accounts, EnforcementStatus(found.step, now_us, why), who, why, now_us)

    def in_force(self) -> bool:
        return True

    def dismiss(self, proposal: int, who: str, why: str, now_us: int) -> None:
        del self.open[proposal]

    def terms(self) -> InForce:
        texts = (
            HistoryEntry(2, "b" * 64, "2026-11-20T00:00:00+00:00", "accepted", "", NEWER),
            HistoryEntry(1, "c" * 64, "2026-11-19T00:00:00+00:00", "refused", HOSTILE[0], None),
            HistoryEntry(1, "a" * 64, "2026-11-01T00:00:00+00:00", "accepted", "", default_text()),
        )
        return InForce(loads(NEWER, "terms.toml"), "b" * 64, f"terms.toml: {HOSTILE[1]}", texts)

    def health(self, now_us: int) -> Sequence[ComponentHealth]:
        return [
            ComponentHealth("detector", "degraded", f"is 70 s behind; {HOSTILE[2]}"),
            ComponentHealth("workers", "ok", "2 of 2 serve"),
        ]

    def not_seen(self, now_us: int) -> Sequence[str]:
        return [f"Memory reaches back 1.0 days. {HOSTILE[2]}"]

    def gaps(self) -> Sequence[Lost]:
        return [Lost(NOW - 7_200_000_000, NOW - 3_600_000_000, 12, HOSTILE[3])]

    def verdict(self, account: str) -> AccountVerdict | None:
        return AccountVerdict(account, 0.01, None, "batch", 40, HOSTILE[4])

    def captured_texts(self, account: str, limit: int) -> Sequence[CapturedExchange]:
        self.asked.append(f"said {account}")
        return [
            CapturedExchange(
                NOW - k * 60_000_000,
                f"x-{k}",
                "mira-think",
                text,
                text,
                f"![x](https://evil.example/{k}) {text}",
            )
            for k, text in enumerate(HOSTILE)
        ]


@dataclass
class World:
    """A console with its store and gateway. `now` is its clock's time."""

    store: Store
    gateway: Gateway
    app: ASGIApp
    clock: list[int]
    cases: dict[str, str]  # campaign -> case

    def client(self, name: str | None = None) -> "Visitor":
        """Return a visitor, logged in without the quarter of a second that a password takes."""
        visitor = Visitor(self.app)
        if name is not None:
            cookie = sessions.begin(self.store, User(name, USERS[name], NOW), self.clock[0])
            visitor.cookies.set(COOKIE, cookie, domain="127.0.0.1")
        return visitor

    def close(self) -> None:
        """End the process and release the files that answer its SQL: a long run seldom collects garbage."""
        settle()
        with TestClient(self.app):
            pass
        self.store.close()


def settle() -> None:
    """Wait for the copies that a log-in makes in the background: a process must not end during them."""
    for one in threading.enumerate():
        if "_prepare" in one.name:
            one.join(30)


class Visitor(TestClient):
    """A browser without scripts: it keeps cookies, sends its origin, and fills forms in."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, base_url=HERE, headers={"origin": HERE}, follow_redirects=False)

    def log_in(self, name: str, password: str = PASSWORD) -> int:
        csrf = csrf_in(self.get("/login").text)
        form = {"name": name, "password": password, "csrf": csrf, "next": ""}
        return int(self.post("/login", data=form).status_code)

    def submit(self, path: str, page: str = "/queue", **form: object) -> tuple[int, str]:
        """Send a form of one of the pages; return the status, and the redirect's target or the text."""
        data = {"csrf": csrf_in(self.get(page).text), **form}
        got = self.post(path, data=data)
        return got.status_code, got.headers.get("location") or got.text


def csrf_in(page: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
    assert found, page[:500]
    return found[1]


def fill(store: Store, found: ScanResult) -> None:
    """Fold findings into a store, all accounts but every 50th firmly tied, and add some users."""
    campaigns = tuple(
        replace(c, firm=tuple(a for k, a in enumerate(c.accounts) if k % 50 != 7)) for c in found.campaigns
    )
    fold(store, replace(found, campaigns=campaigns, leads=leads(60)), NOW, HOSTILE[0])
    people.prepare(store)
    with store.writing(NOW) as tx:
        for name, role in USERS.items():
            row = {"name": name, "role": int(role), "password": _HASHED, "created_us": NOW}
            tx.db.execute(people.users.insert().values(**row))
        tx.audit("tests", "users made", "console", {})


@cache
def _filled() -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the files and the cases of a filled folder, made once and copied for each test."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Store(f"sqlite:///{folder / 'cases.db'}") as store:
            attach(store, folder / "audit.key")
            fill(store, result(300))
            cases = _cases_of(store)
        return {file.name: file.read_bytes() for file in folder.iterdir()}, cases


def _cases_of(store: Store) -> dict[str, str]:
    return {case.campaign: case.id for case in reading.queue(store, reading.Filter(limit=1_000), NOW).cases}


def world(
    folder: Path,
    found: ScanResult | None = None,
    url: str | None = None,
    big: int = 10,
    provider: IdentityProvider | None = None,
) -> World:
    """Open one. Without findings: the report's hostile world, its largest case cut to 300 accounts."""
    copied = found is None and url is None
    files, cases = _filled() if copied else ({}, {})
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    store = Store(url or f"sqlite:///{folder / 'cases.db'}")
    attach(store, folder / "audit.key")
    if not copied:
        fill(store, found or result(300))
    gateway, clock = Gateway(), [NOW]
    asked = {"settings": ConsoleSettings(big), "provider": provider, "now_us": lambda: clock[0]}
    app = make(store, gateway, hosts={"127.0.0.1"}, **asked)
    return World(store, gateway, app, clock, cases or _cases_of(store))


__all__ = ["BANG", "HOSTILE", "NOW", "PASSWORD", "Gateway", "Visitor", "World", "csrf_in", "world"]
