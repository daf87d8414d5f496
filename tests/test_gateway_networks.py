"""A gateway with a table of networks: a campus is no pool, and no account can choose its own network."""

import asyncio
import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from gateway_world import Running, free_port, gateway, until
from scan_world import START, Crowd, honest, pool
from stillwatch.cases.alert import alert
from stillwatch.cases.bundle.export import scanned_logs
from stillwatch.cases.bundle.leaving import whether_scanned
from stillwatch.cases.evidence import latest
from stillwatch.cases.reading import Filter, queue
from stillwatch.gateway import clock, heartbeat
from stillwatch.gateway.control.case_sync import Casework
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.health import PartHealth, health
from stillwatch.gateway.latest import Findings
from stillwatch.gateway.record.recorder import Recorder
from stillwatch.gateway.record.segments import merge
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.gateway.setup_check import look
from stillwatch.scan import ScanResult
from stillwatch.terms.load import default_text
from stillwatch.units import DAY_US
from test_gateway_detector import NOW, detector, idle
from test_gateway_replay import replay
from test_networks import IPTOASN, file_of
from upstream import Upstream

TRUSTED = default_text().replace("[identity]\n", '[identity]\ntrusted_proxies = ["127.0.0.0/8"]\n')
CAMPUS, SERVERS = "129.132.20", "135.181.7"  # SWITCH's and Hetzner's
TABLE = "129.132.0.0/16\t559\n135.181.0.0/16\t24940\n10.0.0.0/8\t559\n172.0.0.0/8\t7018\n"


# --- accounts in one place ---


@dataclass(frozen=True)
class Recorded:
    """A fortnight of a gateway's exchanges, recorded with and without a table of networks."""

    students: set[str]
    renters: set[str]
    folders: dict[bool, Folder]


def sit_at(crowd: Crowd, network: str, members: set[str]) -> set[str]:
    """Put all members at one network for six days, each with its own address."""
    address = {name: f"{network}.{k + 10}" for k, name in enumerate(sorted(members))}
    for row in crowd.rows:
        row["client_ip"] = address.get(row["account"], row["client_ip"])
    return members


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("networks")
    crowd = Crowd(13)
    honest(crowd, 300, 14.0)
    students = sit_at(crowd, CAMPUS, set(pool(crowd, "class", begin_day=7.0, days=6.0)))
    renters = sit_at(crowd, SERVERS, set(pool(crowd, "pool", begin_day=7.0, days=6.0)))
    port = free_port()
    hand = clock.write(folder / "hand", int(START.timestamp() * 1e6))
    table = file_of(folder, TABLE)
    folders = {True: Folder(folder / "with"), False: Folder(folder / "without")}
    with gateway(f"http://127.0.0.1:{port}", TRUSTED, path=folders[True].path, start=False) as g:
        with ControlState(g.folder.state, g.folder.secret()) as state:
            keys = {name: state.issue(name, now_us=1) for name in {row["account"] for row in crowd.rows}}
        g.start("worker-0", **{clock.VARIABLE: str(folder / "hand")})
        asyncio.run(replay(g, port, crowd.table().sort_by("time").to_pylist(), keys, hand))
        g.stop("worker-0")
    shutil.copytree(folders[True].path, folders[False].path)
    for named, one in folders.items():
        recorder = Recorder(one, lambda: datetime.now(UTC), networks=[str(table)] if named else [])
        while recorder.step(flush=True):
            pass
    return Recorded(students, renters, folders)


def found_live(folder: Folder) -> ScanResult:
    watching = detector(folder)
    idle(watching)
    watching.step()
    assert watching.error is None
    return watching._live.tick(NOW, watching._complete_until_us(NOW))


def named_accounts(result: ScanResult) -> set[str]:
    return {account for one in result.campaigns for account in one.accounts}


@pytest.mark.slow
def test_a_class_on_its_campus_is_a_lead_live_and_a_pool_at_rented_servers_is_found(
    recorded: Recorded,
) -> None:
    """Six days, more than any event. Without a table, every gateway named the class."""
    blind, sees = found_live(recorded.folders[False]), found_live(recorded.folders[True])
    assert len(named_accounts(blind) & recorded.students) >= 0.8 * len(recorded.students)
    assert not named_accounts(sees) & recorded.students
    assert any("no hidden pool" in lead.text for lead in sees.leads if recorded.students & set(lead.accounts))
    for result in (blind, sees):
        assert len(named_accounts(result) & recorded.renters) >= 0.8 * len(recorded.renters)


# --- the owner of an address ---


def ask(g: Running, forwarded: str | None) -> None:
    head = g.auth if forwarded is None else g.auth | {"x-forwarded-for": forwarded}
    body = {"model": "mira", "messages": [{"role": "user", "content": "hello"}]}
    assert httpx.post(g.url + "/v1/chat/completions", json=body, headers=head).status_code == 200


def places(rows: list[dict[str, Any]]) -> list[tuple[str | None, int | None]]:
    return [(row["client_ip"], row["asn"]) for row in rows]


@pytest.mark.slow
def test_an_account_cannot_choose_its_system(up: Upstream, tmp_path: Path) -> None:
    """It may send any x-forwarded-for: either no proxy is trusted, or the proxy's own entry is the last."""
    table = str(file_of(tmp_path, IPTOASN + "127.0.0.0\t127.255.255.255\t3320\tXX\tours\n"))
    with gateway(up.url, networks=(table,)) as g:
        ask(g, "80.1.1.1")
        ask(g, None)
        assert places(g.rows(2)) == [("127.0.0.1", None)] * 2
    with gateway(up.url, TRUSTED, networks=(table,)) as g:
        ask(g, "80.1.1.1, 9.9.9.9")
        ask(g, "80.1.1.1, somewhere")
        assert places(g.rows(2)) == [("9.9.9.9", None), ("127.0.0.1", None)]


@pytest.mark.slow
def test_what_is_captured_has_the_system_of_its_address_or_none(up: Upstream, tmp_path: Path) -> None:
    table = file_of(tmp_path, IPTOASN)
    known = {
        "80.1.1.1": 3320,
        "1.0.0.7": 13335,
        "2a00:1450::5": 15169,
        "::ffff:80.9.9.9": 3320,
        "1.0.1.9": None,  # not routed
        "2a02::1": None,  # outside
        "9.9.9.9": None,
        "10.0.0.7": None,
        "fd00::1": None,
    }
    with gateway(up.url, TRUSTED, networks=(str(table),)) as g:
        for address in known:
            ask(g, address)
        assert dict(places(g.rows(len(known)))) == known
        # a new table is used without a restart, and earlier records do not change
        os.replace(file_of(tmp_path, IPTOASN.replace("3320", "5089"), "new.tsv"), table)
        says = g.folder.run / "recorder.json"
        was = heartbeat.read(says)["networks"]["files"][0]["sha256"]
        until(lambda: heartbeat.read(says)["networks"]["files"][0]["sha256"] != was)
        ask(g, "80.1.1.1")
        rows = g.rows(len(known) + 1)
        assert (rows[0]["asn"], rows[-1]["asn"]) == (3320, 5089)
        now = heartbeat.read(says)["networks"]["files"][0]["sha256"]
        assert {one["sha256"] for one in tables_handed_over(g.folder)} == {was, now}


def tables_handed_over(folder: Folder) -> tuple[dict[str, Any], ...]:
    """Return what a new detector reports about the tables from which its exchanges got their `asn`."""
    watching = detector(folder)
    watching.step()
    watching.save()
    return Findings(folder).current().networks


@pytest.mark.slow
def test_a_finding_names_the_table_that_it_rests_on(recorded: Recorded, tmp_path: Path) -> None:
    folder = Folder(Path(shutil.copytree(recorded.folders[True].path, tmp_path / "copy")))
    found_live(folder)
    table = recorded.folders[True].path.parent / "table.tsv"
    told = {"name": table.name, "sha256": hashlib.sha256(table.read_bytes()).hexdigest()}
    with ControlState(folder.state) as state:
        found_under = {"short_answer_tokens": 64}
        casework = Casework(folder, None, state, lambda _: None, settings=found_under)
        casework.step(NOW)
        with casework.store(NOW) as store:
            for case in queue(store, Filter(), NOW).cases:
                said = alert(store, case.id, NOW)
                assert said.inputs == (told | {"bytes": table.stat().st_size},)
                assert f"--networks {table.name}" in said.why[0].query
                assert "--short-answers 64" in said.why[0].query
                assert whether_scanned(scanned_logs(latest(store, case.id).context), [table]) == (
                    "which files were scanned is not on record: whether these are them cannot be said",
                )
    # also if an hour's segments were merged into one file, and if the detector restarts from its state
    assert merge(folder, datetime.now(UTC) + timedelta(days=1)) > 1
    (folder.detector / "live.npz").unlink()
    for _ in range(2):
        assert [one["sha256"] for one in tables_handed_over(folder)] == [told["sha256"]]
    assert tables_handed_over(recorded.folders[False]) == ()


# --- messages to the owner ---


def networks_part(folder: Folder, settings: GatewaySettings, now_us: int) -> PartHealth:
    (part,) = [part for part in health(folder, settings, now_us).parts if part.name == "networks"]
    return part


def test_health_says_whether_there_is_a_table_and_how_old_it_is(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "serve")
    folder.terms.write_text(default_text(), encoding="utf-8")
    table = file_of(tmp_path, IPTOASN + "nonsense\n", "ip2asn.tsv")
    settings = GatewaySettings("http://127.0.0.1:9", networks=(str(table),))
    now_us = time.time_ns() // 1000
    part = networks_part(folder, GatewaySettings("http://127.0.0.1:9"), now_us)
    assert (part.status, "no table is named" in part.text) == ("ok", True)

    def after(networks: list[str]) -> PartHealth:
        recorder = Recorder(folder, lambda: datetime.now(UTC), networks=networks)
        recorder.networks.first(lambda: None)  # it is read in parallel
        heartbeat.beat(folder.run / "recorder.json", now_us, networks=recorder.networks.says())
        return networks_part(folder, settings, now_us)

    part = after([str(table)])
    assert part.status == "ok"
    assert part.text.startswith(f"ip2asn.tsv of {datetime.now(UTC):%Y-%m-%d}, 4 ranges, SHA-256 ")
    assert "unusable lines: 1, as ip2asn.tsv:5 has no columns" in part.text
    old_s = (now_us - 200 * DAY_US) / 1e6
    os.utime(table, (old_s, old_s))
    part = after([str(table)])
    assert (part.status, part.text.endswith("get a new one")) == ("degraded", True)
    table.unlink()
    part = after([str(table)])
    assert (part.status, part.text) == ("degraded", f"{table}: no such file; asn stays unknown")
    checks = {one.what: one for one in look(folder, settings, None)}
    assert checks["networks"].verdict == "warning"  # serving does not wait for it
    part = after([str(file_of(tmp_path, "no table\n"))])
    assert (part.status, "right would be a table of networks: iptoasn's" in part.text) == ("degraded", True)
