"""The admin port: authentication, its responses, and agreement with its own API description."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from gateway_world import free_port
from stillwatch.gateway import heartbeat
from stillwatch.gateway.admin import Desk
from stillwatch.gateway.admin.app import create_app
from stillwatch.gateway.control import actions, proposals
from stillwatch.gateway.control.ladder import Proposal, ProposalChanges, WantedStep
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import open_folder
from stillwatch.gateway.instance import open_terms
from stillwatch.gateway.latest import HANDOVER, Findings, handover_json
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.report.findings import to_text, write, write_atomically
from stillwatch.scan import AccountVerdict, Campaign, Harvest, Reason, ScanResult, ScanTotals
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.terms.load import default_text
from stillwatch.units import utc_us

NOW = 1_795_600_000_000_000
WHEN = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    folder = open_folder(tmp_path / "serve")
    folder.terms.write_text(default_text())
    settings = GatewaySettings("http://127.0.0.1:9", workers=2)
    with ControlState(folder.state) as state:
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
    scanned = ScanTotals(5_000, 2, WHEN, WHEN, 0, 1.0)
    result = ScanResult("0", scanned, (found,), accounts)
    write(result, desk.folder.detector)
    write_atomically(desk.folder.detector / HANDOVER, to_text(handover_json(result, {"sw-1": "sw-0"})))


def _proposal(desk: Desk, *accounts: str) -> int:
    want = WantedStep("sw-1", Step.THROTTLE, "ladder.rule 1", "a pool", accounts, None)
    proposals.write_down(desk.state, ProposalChanges((Proposal(0, NOW, want),), (), ()), now_us=NOW)
    return proposals.proposals(desk.state)[0].proposal


def _filled(desk: Desk) -> None:
    """Create one of everything, so that a walk over the description finds objects."""
    for account in ("acme", "beta", "zeta"):
        desk.state.issue(account, "Org", now_us=NOW)
    for account in ("acme", "beta", "gamma"):
        actions.act(
            desk.state,
            [(account, EnforcementStatus(Step.WATCH, NOW, "x", "sw-1"))],
            who="a",
            why="b",
            now_us=NOW,
        )
    for account in ("zeta", "eta"):
        _proposal(desk, account)
    _findings(desk)
    desk.folder.gaps.write_text(
        '{"worker":0,"from_us":1,"until_us":2,"exchanges":3,"reason":"full"}\ntorn\n', encoding="utf-8"
    )


# --- authentication ---


@pytest.mark.slow
def test_only_the_token_opens_what_is_not_health(app: FastAPI, desk: Desk, token: str) -> None:
    out = TestClient(app, base_url="http://127.0.0.1:8081")
    without_token = ("/health", "/livez", "/readyz")
    for path in without_token:
        assert out.get(path).status_code in (200, 503)
    paths = [path for path in app.openapi()["paths"] if path not in without_token]
    assert len(paths) > 15
    metrics, key = desk.state.metrics_token(now_us=NOW), desk.state.issue("acct_1", now_us=NOW)
    before = desk.state.revision()
    wrong = (None, "Bearer ", f"Bearer {token[:-1]}", f"Basic {token}", f"Bearer {token}x", f"Bearer {key}")
    for path in paths:
        for given in (*wrong, *([f"Bearer {metrics}"] if path != "/metrics" else [])):
            headers = {} if given is None else {"authorization": given}
            for method in app.openapi()["paths"][path]:
                answer = out.request(method, path.replace("{", "").replace("}", ""), headers=headers, json={})
                assert answer.status_code == 401, (method, path, given)
                assert answer.json()["error"]["code"] == "unauthorised"
                assert answer.headers["www-authenticate"] == "Bearer"
    assert desk.state.revision() == before


@pytest.mark.slow
@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b'{"a":[' + b"[]," * 300_000 + b"[]]}"])
def test_the_body_of_who_has_no_token_is_not_read(app: FastAPI, desk: Desk, body: bytes) -> None:
    out = TestClient(app, base_url="http://127.0.0.1:8081", headers={"content-type": "application/json"})
    metrics = desk.state.metrics_token(now_us=NOW)
    for given in ({}, {"authorization": f"Bearer {metrics}"}):
        for content in (body, iter([body])):  # with a length and without
            assert out.post("/v1/keys", content=content, headers=given).status_code == 401


@pytest.mark.parametrize(
    ("name", "first", "second", "status"),
    [
        ("authorization", "Bearer TOKEN", "Bearer x", 400),
        ("authorization", "Bearer x", "Bearer TOKEN", 400),
        ("content-length", "0" * 5_000 + "2", None, 413),
        ("content-length", "9" * 5_000, None, 413),
        ("content-length", "\u00b2", None, 413),
    ],
)
def test_headers_that_can_be_read_in_two_ways_are_refused(
    app: FastAPI, token: str, name: str, first: str, second: str | None, status: int
) -> None:
    out = TestClient(app, base_url="http://127.0.0.1:8081")
    values = [value.replace("TOKEN", token).encode("latin-1") for value in (first, second) if value]
    headers: Any = [(name.encode(), value) for value in values]
    answer = out.get("/v1/keys", headers=headers)
    assert answer.status_code == status


@pytest.mark.slow
def test_a_load_balancer_can_ask_before_there_is_any_token(app: FastAPI) -> None:
    out = TestClient(app, base_url="http://127.0.0.1:8081")
    assert [out.get(path).status_code for path in ("/livez", "/readyz", "/health")] == [200, 503, 503]
    assert out.get("/v1/keys").status_code == 401
    for path in ("/livez", "/readyz", "/health", "/metrics", "/v1/keys"):
        looked, asked = out.get(path), out.head(path)
        assert asked.status_code == looked.status_code, "HEAD is GET"
        assert asked.headers["content-type"] == looked.headers["content-type"]
    assert out.delete("/health").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8081", "localhost:9999", ""])
def test_a_foreign_name_is_turned_away(app: FastAPI, token: str, host: str) -> None:
    out = TestClient(app, base_url="http://127.0.0.1:8081")
    answer = out.get("/v1/keys", headers={"host": host, "authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (421, "bad_host")


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1:8081", "localhost", "LOCALHOST:8081", "[::1]:8081"])
def test_its_own_names_are_let_in(app: FastAPI, token: str, host: str) -> None:
    out = TestClient(app, base_url="http://127.0.0.1:8081")
    assert out.get("/v1/keys", headers={"host": host, "authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.slow
def test_a_body_too_large_is_refused_with_and_without_a_length(admin: TestClient) -> None:
    large = b'{"text": "' + b"x" * (3 << 20) + b'"}'
    assert admin.post("/v1/terms/check", content=large).status_code == 413
    pieces = (large[k : k + 65_536] for k in range(0, len(large), 65_536))
    answer = admin.post("/v1/terms/check", content=pieces, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("GET", "/v1/nothing", b"", 404, "not_found"),
        ("DELETE", "/v1/keys", b"", 405, "wrong_method"),
        ("POST", "/v1/keys", b"{", 422, "invalid"),
        ("POST", "/v1/keys", b'{"account": "a", "more": 1}', 422, "invalid"),
        ("POST", "/v1/keys", b'{"account": 7}', 422, "invalid"),
        ("POST", "/v1/keys", b'{"account": "a\\u0000b"}', 422, "invalid"),
        ("POST", "/v1/keys", b'{"account": "\\ud800"}', 422, "invalid"),
        ("POST", "/v1/keys", b"[" * 100_000, 400, "bad_request"),
        ("POST", "/v1/keys", b"\xff", 400, "bad_request"),
        ("POST", "/v1/keys/abcd1234/revoke", b"{}", 404, "not_found"),
        ("GET", "/v1/keys?limit=100000", b"", 422, "invalid"),
        ("POST", "/v1/actions/99/undo", b'{"why": "x"}', 404, "not_found"),
    ],
)
def test_every_error_has_one_shape(
    admin: TestClient, method: str, path: str, content: bytes, status: int, code: str
) -> None:
    answer = admin.request(method, path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert answer.json()["error"]["code"] == code
    assert "Traceback" not in answer.text


@pytest.mark.slow
def test_what_was_sent_is_not_said_again(admin: TestClient) -> None:
    answer = admin.post("/v1/keys", json={"account": "a", "sk-sw-secret": "sk-canary"})
    assert answer.status_code == 422
    assert "sk-canary" not in answer.text


@pytest.mark.slow
def test_nothing_is_cached_or_framed(admin: TestClient) -> None:
    for path in ("/health", "/v1/keys", "/v1/nothing", "/metrics"):
        headers = admin.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


# --- keys and standings ---


@pytest.mark.slow
def test_a_key_over_the_port_and_pages_of_them(admin: TestClient, desk: Desk) -> None:
    issued = [admin.post("/v1/keys", json={"account": f"a{k}"}).json() for k in range(5)]
    assert all(one["key"].startswith(f"sk-sw-{one['key_id']}-") for one in issued)
    listed, after = [], ""
    while True:
        page = admin.get("/v1/keys", params={"limit": 2} | ({"after": after} if after else {})).json()
        listed += page["items"]
        after = page["next"]
        if after is None:
            break
    assert [one["key_id"] for one in listed] == sorted(one["key_id"] for one in issued)
    assert "key" not in listed[0]
    new = admin.post(f"/v1/keys/{listed[0]['key_id']}/rotate", json={"overlap_s": 60}).json()
    assert new["replaces"] == listed[0]["key_id"]
    assert admin.post(f"/v1/keys/{new['key_id']}/revoke", json={}).json()["revoked"] is not None


@pytest.mark.slow
def test_a_write_from_an_old_look_is_a_conflict(admin: TestClient, desk: Desk) -> None:
    seen = admin.get("/v1/keys").json()["revision"]
    first = {"accounts": ["a"], "step": "watch", "why": "x", "if_revision": seen}
    assert admin.post("/v1/standings", json=first).status_code == 200
    answer = admin.post("/v1/standings", json=first)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert len(actions.history(desk.state)) == 1


@pytest.mark.slow
def test_a_dry_run_names_who_is_hit_and_changes_nothing(admin: TestClient, desk: Desk) -> None:
    for account in ("acme", "acme-2", "beta"):
        desk.state.issue(account, "Acme" if account != "beta" else None, now_us=NOW)
    body = {"accounts": ["acme", "nobody"], "step": "block", "why": "x", "dry_run": True}
    done = admin.post("/v1/standings", json=body).json()
    assert (done["action"], done["dry_run"]) == (None, True)
    told = done["reach"]
    assert (told["accounts"], told["keys"], told["same_org_names"]) == (2, 1, ["acme-2"])
    assert told["unknown"] == ["nobody"]
    assert [(n["account"], n["shares"]) for n in told["near"]] == [("acme-2", ["organisation"])]
    assert [h["account"] for h in told["hit"]] == ["acme", "nobody"]
    assert "not touched" in told["notes"][0]
    assert actions.standings(desk.state) == {}


@pytest.mark.slow
def test_a_standing_and_its_undo_over_the_port(admin: TestClient, desk: Desk) -> None:
    body = {"accounts": ["a", "b"], "step": "throttle", "why": "x", "for_s": 60, "by": "ann"}
    action = admin.post("/v1/standings", json=body).json()["action"]
    assert [s["account"] for s in admin.get("/v1/standings?step=throttle").json()["items"]] == ["a", "b"]
    assert admin.get("/v1/standings/log?account=a").json()["items"][0]["who"] == "ann"
    assert admin.post(f"/v1/actions/{action}/undo", json={"why": "no"}).json()["action"] == action + 1
    assert admin.get("/v1/standings").json()["items"] == []
    assert [a["in_force"] for a in admin.get("/v1/actions").json()["items"]] == [False, False]


@pytest.mark.slow
def test_proposals_over_the_port(admin: TestClient, desk: Desk) -> None:
    first, second = _proposal(desk, "a"), _proposal(desk, "b")
    assert len(admin.get("/v1/proposals?state=open").json()["items"]) == 2
    dry = admin.post(f"/v1/proposals/{first}/approve", json={"dry_run": True}).json()
    assert (dry["action"], dry["reach"]["account_names"]) == (None, ["a"])
    assert admin.post(f"/v1/proposals/{first}/approve", json={}).json()["action"] == 1
    assert admin.post(f"/v1/proposals/{first}/approve", json={}).status_code == 409
    assert admin.post(f"/v1/proposals/{second}/dismiss", json={"why": "x"}).json()["state"] == "dismissed"


# --- read-only endpoints ---


@pytest.mark.slow
def test_terms_in_force_their_history_and_a_candidate(admin: TestClient, desk: Desk) -> None:
    shown = admin.get("/v1/terms").json()
    assert (shown["version"], shown["error"], shown["text"]) == (1, None, default_text())
    (entry,) = admin.get("/v1/terms/history").json()["items"]
    assert (entry["version"], entry["outcome"]) == (1, "accepted")
    assert admin.get("/v1/terms/history/1").json()["text"] == default_text()
    assert admin.get("/v1/terms/history/2").status_code == 404
    good = 'version = 2\n[[ban]]\nfamily = "deepseek"\n'
    checked = admin.post("/v1/terms/check", json={"text": good}).json()
    assert (checked["usable"], checked["version"]) == (True, 2)
    assert any(change["where"].startswith("ban") for change in checked["changes"])
    bad = admin.post("/v1/terms/check", json={"text": "version = 0\n"}).json()
    assert not bad["usable"]
    assert "candidate:1" in bad["problems"][0]
    assert admin.get("/v1/terms").json()["version"] == 1


@pytest.mark.slow
def test_campaigns_findings_and_gaps(admin: TestClient, desk: Desk) -> None:
    assert admin.get("/v1/campaigns").json()["items"] == []  # nothing was found yet
    _filled(desk)
    (campaign,) = admin.get("/v1/campaigns").json()["items"]
    assert (campaign["id"], campaign["first_id"], campaign["accounts"]) == ("sw-1", "sw-0", 2)
    assert admin.get("/v1/campaigns/sw-1/accounts").json()["items"] == ["acme", "zeta"]
    found = admin.get("/v1/findings?campaign=sw-1").json()["items"]
    assert [(a["account"], a["standing"]) for a in found] == [("acme", "watch"), ("zeta", "clear")]
    assert [g["reason"] for g in admin.get("/v1/gaps").json()["items"]] == ["full"]


@pytest.mark.slow
def test_a_gap_of_no_calendar_hides_nothing_else(admin: TestClient, desk: Desk) -> None:
    line = '{"worker":900,"from_us":%d,"until_us":%d,"exchanges":%d,"reason":"x"}\n'
    numbers = ((1, 2, 3), (5, 4, 7), (1, 1 << 61, (1 << 62) - 1), (-1, 2, 1))
    desk.folder.gaps.write_text("".join(line % number for number in numbers), encoding="utf-8")
    assert admin.get("/health").status_code == 503, "no worker serves here; it is no 500"
    assert admin.get("/metrics").status_code == 200
    assert [gap["exchanges"] for gap in admin.get("/v1/gaps").json()["items"]] == [7, 3]


@pytest.mark.slow
def test_findings_that_cannot_be_read_are_said_and_not_a_500(admin: TestClient, desk: Desk) -> None:
    _findings(desk)
    (desk.folder.detector / "findings.json").write_text("{", encoding="utf-8")
    answer = admin.get("/v1/campaigns")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


@pytest.mark.slow
def test_metrics_are_prometheus_text(admin: TestClient, desk: Desk) -> None:
    _filled(desk)
    answer = admin.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert all(re.fullmatch(r"# (HELP|TYPE) \w+ .+|\w+(\{.*\})? [-+0-9.e]+", line) for line in lines)
    assert 'stillwatch_standings{step="watch"} 3' in lines
    assert "stillwatch_requests_total 0" in lines
    named = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(named) == len(set(named))


def test_health_is_503_when_nobody_is_served(admin: TestClient, desk: Desk) -> None:
    assert admin.get("/health").status_code == 503
    for k in range(2):
        heartbeat.beat(desk.folder.run / f"worker-{k}.json", utc_us())
    answer = admin.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")


# --- agreement with its own description ---


@pytest.mark.slow
def test_schemathesis_finds_nothing(desk: Desk, tmp_path: Path) -> None:
    _filled(desk)
    port = free_port()
    wanted = replace(desk, settings=replace(desk.settings, admin_port=port))
    token = desk.state.admin_token(now_us=NOW)
    server = uvicorn.Server(uvicorn.Config(create_app(wanted), port=port, log_config=None, lifespan="off"))
    stop = threading.Event()

    follows = {"tables_generation": desk.state.version().generation, "tables_revision": 1 << 62}

    def beat() -> None:
        while not stop.wait(1.0):
            for name in ("worker-0", "worker-1", "recorder", "detector", "supervisor"):
                heartbeat.beat(desk.folder.run / f"{name}.json", utc_us(), **follows)

    threads = [threading.Thread(target=server.run), threading.Thread(target=beat)]
    for thread in threads:
        thread.start()
    try:
        command = [str(Path(sys.executable).with_name("schemathesis")), "run"]
        command += [f"http://127.0.0.1:{port}/openapi.json", "-H", f"Authorization: Bearer {token}"]
        command += ["--checks", "all", "--max-examples", "60", "--no-color", "--wait-for-schema", "10"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False, cwd=tmp_path)
    finally:
        server.should_exit = True
        stop.set()
        for thread in threads:
            thread.join(30)
    assert done.returncode == 0, done.stdout[-6_000:]
    cases = re.search(r"([\d,]+) generated, ([\d,]+) passed", done.stdout)
    assert cases is not None, done.stdout[-2_000:]
    print(f"schemathesis: {cases[1]} cases, {cases[2]} passed")
    assert int(cases[1].replace(",", "")) > 1_000
