"""The admin port: who gets in, what it answers, and that it keeps to its own description."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from stillwatch.gateway import actions, heartbeat, proposals
from stillwatch.gateway.admin import Desk
from stillwatch.gateway.admin.app import create_app
from stillwatch.gateway.folder import open_folder
from stillwatch.gateway.instance import open_terms
from stillwatch.gateway.ladder import Proposal, Reconciled, Wanted
from stillwatch.gateway.latest import HANDOVER, Findings, handover_json
from stillwatch.gateway.settings import Settings
from stillwatch.gateway.state import State
from stillwatch.report.findings import to_text, write, write_atomically
from stillwatch.scan import AccountVerdict, Campaign, Harvest, Reason, Scanned, ScanResult
from stillwatch.terms import Standing, Step
from stillwatch.terms.load import default_text

NOW = 1_795_600_000_000_000
WHEN = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    folder = open_folder(tmp_path / "serve")
    folder.terms.write_text(default_text())
    settings = Settings("http://127.0.0.1:9", workers=2)
    with State(folder.state) as state:
        yield Desk(folder, settings, state, open_terms(folder, keeps_history=True), Findings(folder))


@pytest.fixture
def app(desk: Desk) -> FastAPI:
    return create_app(desk)


@pytest.fixture
def token(desk: Desk) -> str:
    return desk.state.admin_token(now_us=NOW) or ""


@pytest.fixture
def admin(app: FastAPI, token: str) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1:8081", headers={"authorization": f"Bearer {token}"})


def _findings(desk: Desk) -> None:
    taken = Harvest(1_200, 900_000)
    found = Campaign(
        "sw-1", WHEN, 1e-7, 40.0, ("acme", "zeta"), taken, Harvest(90, 50_000), (Reason("d", "why", 3.0),), ()
    )
    accounts = tuple(AccountVerdict(a, 0.5, "sw-1", None, 600) for a in ("acme", "zeta"))
    scanned = Scanned(5_000, 2, WHEN, WHEN, 0, 1.0)
    result = ScanResult("0", scanned, (found,), accounts)
    write(result, desk.folder.detector)
    write_atomically(desk.folder.detector / HANDOVER, to_text(handover_json(result, {"sw-1": "sw-0"})))


def _proposal(desk: Desk, *accounts: str) -> int:
    want = Wanted("sw-1", Step.THROTTLE, "ladder.rule 1", "a pool", accounts, None)
    proposals.write_down(desk.state, Reconciled((Proposal(0, NOW, want),), (), ()), now_us=NOW)
    return proposals.proposals(desk.state)[0].proposal


def _filled(desk: Desk) -> None:
    """One of everything, so that a walk over the description finds things."""
    for account in ("acme", "beta", "zeta"):
        desk.state.issue(account, "Org", now_us=NOW)
    for account in ("acme", "beta", "gamma"):
        actions.act(
            desk.state, [(account, Standing(Step.WATCH, NOW, "x", "sw-1"))], who="a", why="b", now_us=NOW
        )
    for account in ("zeta", "eta"):
        _proposal(desk, account)
    _findings(desk)
    desk.folder.gaps.write_text(
        '{"worker":0,"from_us":1,"until_us":2,"exchanges":3,"reason":"full"}\ntorn\n', encoding="utf-8"
    )


# --- who gets in ---
