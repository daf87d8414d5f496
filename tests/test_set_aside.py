"""Accounts that a finding set aside: recorded with facts and on the trail; named in a bundle on request."""

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from bundle_world import NOW_US, scan_crowd
from scan_world import Crowd, honest, pool
from stillwatch.api.live import LiveScanner
from stillwatch.api.scanning import scan
from stillwatch.cases.alert import alert
from stillwatch.cases.audit.signing import TrailSigner
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.bundle import BundleError
from stillwatch.cases.bundle.claimed import claims
from stillwatch.cases.bundle.export import prepare, release
from stillwatch.cases.bundle.gather import ScannedLog, ndjson
from stillwatch.cases.evidence import inputs_of
from stillwatch.cases.fold import fold
from stillwatch.cases.reading import Filter, queue
from stillwatch.cases.store import Store
from stillwatch.cli.case_text import alert_lines
from stillwatch.cli.main import app
from stillwatch.report.findings import findings_json, load, schema, write
from stillwatch.scan import ScanResult
from test_bundle import alone, check, document, each, lines, resigned
from test_live import once, replayed, sketched, some_hours, texts

pytestmark = pytest.mark.slow
EACH = 5  # accounts that each rule sets aside
OFFICE, TABLE, CLOUD = "91.1.1", "92.2.2", "93.3.3"


@dataclass(frozen=True)
class World:
    folder: Path
    log: Path
    accounts: Path
    result: ScanResult
    of: dict[str, tuple[str, ...]]  # by rule
    pool: tuple[str, ...]
    case: str
    signer: TrailSigner

    def store(self) -> Store:
        store = Store(f"sqlite:///{self.folder}/cases.db")
        attach(store, self.folder / "audit.key")
        return store

    def bundle(self, out: Path, with_set_aside: bool) -> tuple[str, ...]:
        """Export the case; return the sentences about its release."""
        with self.store() as store:
            log = ScannedLog([self.log], self.accounts)
            now_us = NOW_US + 1
            ready = prepare(
                store, self.case, who="ann", now_us=now_us, log=log, with_set_aside=with_set_aside
            )
            release(store, ready, out, who="ann", now_us=now_us)
            return ready.leaving


def mixed(crowd: Crowd) -> dict[str, tuple[str, ...]]:
    """A pool, and others that adopted its wording and settings: from an office, an event, a product."""
    names = pool(crowd, "p0", many=40, begin_day=6.0, days=2.8)
    shares = [names[k * EACH : (k + 1) * EACH] for k in range(5)]
    of = dict(zip(("site", "event", "product", "class", "cloud"), shares, strict=True))
    for row in crowd.rows:
        where = {"site": (OFFICE, 3320), "event": (TABLE, None), "cloud": (CLOUD, 24940)}
        for rule, (network, system) in where.items():
            if row["account"] in of[rule]:
                row |= {"client_ip": f"{network}.{of[rule].index(row['account'])}", "asn": system}
        if row["account"] in of["product"]:
            row["user_agent"] = "tandemdev/7.1"
    for known in crowd.known:
        if known["account"] in of["event"]:
            known["payment"] = None
        if known["account"] in of["class"]:
            known["email_domain"] = "uni.ac.at"
    return of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    crowd = Crowd(1)
    honest(crowd, 200, 10.0)
    before = len(crowd.known)
    of = mixed(crowd)
    folder = tmp_path_factory.mktemp("aside")
    log, accounts, result = scan_crowd(crowd, folder)
    with Store(f"sqlite:///{folder}/cases.db") as store:
        attach(store, folder / "audit.key")
        fold(store, result, NOW_US, "scan", inputs=inputs_of([log, accounts]))
        case, signer = queue(store, Filter(), NOW_US).cases[0].id, store.trail.signer  # type: ignore[union-attr]
    everybody = tuple(one["account"] for one in crowd.known[before:])
    return World(folder, log, accounts, result, of, everybody, case, signer)


@pytest.fixture(scope="module")
def bundles(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The case's bundle, with and without the names of accounts that were set aside."""
    folder = tmp_path_factory.mktemp("bundles")
    for named in (False, True):
        world.bundle(folder / str(named), named)
    return {named: folder / str(named) for named in (False, True)}


@pytest.fixture
def copy(bundles: dict[bool, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundles[True], tmp_path / "copy"))


# --- the scan ---


def test_each_is_written_down_with_its_rule_and_facts_and_accused_of_nothing(world: World) -> None:
    campaign = world.result.campaigns[0]
    aside = {one.account: one for one in campaign.set_aside}
    for rule in ("site", "event", "product", "class"):
        assert {aside[name].rule for name in world.of[rule]} == {rule}
    assert not set(aside) & set(campaign.accounts)
    assert set(world.of["cloud"]) <= set(campaign.accounts)  # a rented server is no site
    office, table = aside[world.of["site"][0]], aside[world.of["event"][0]]
    assert (office.asn, office.accounts_there) == (3320, EACH)
    assert {aside[name].network for name in world.of["site"]} == {office.network}
    assert {aside[name].network for name in world.of["event"]} == {table.network} != {office.network}
    assert table.first is not None
    assert table.last is not None
    assert aside[world.of["product"][0]].product == "tandemdev"
    assert aside[world.of["class"][0]].mail_domain == "uni.ac.at"
    assert OFFICE not in json.dumps(findings_json(world.result))


def test_the_report_keeps_its_contract_and_is_read_back(world: World, tmp_path: Path) -> None:
    told = findings_json(world.result)
    Draft202012Validator(schema()).validate(told)
    write(world.result, tmp_path)
    assert load(tmp_path).campaigns[0].set_aside == world.result.campaigns[0].set_aside


def test_a_case_says_how_many_in_one_line(world: World) -> None:
    with world.store() as store:
        told = alert(store, world.case, NOW_US)
    assert told.set_aside == Counter(one.rule for one in world.result.campaigns[0].set_aside)
    line = next(line for line in alert_lines(told) if "set aside" in line)
    assert f"{EACH} sit at one site" in line


# --- the bundle ---


def test_by_default_nobody_who_was_set_aside_is_in_a_bundle(world: World, bundles: dict[bool, Path]) -> None:
    bundle = bundles[False]
    assert alone(bundle, "--key", world.signer.key).returncode == 0
    for one in world.result.campaigns[0].set_aside:
        assert not [path for path in bundle.rglob("*") if path.is_file() and one.account in path.read_text()]
    said = "\n".join(check(bundle, world.signer.key)["lines"])
    assert "who they are is not in the bundle" in said
    assert f"{EACH} site" in said


def test_where_the_owner_says_so_they_are_named_and_counted_again(
    world: World, bundles: dict[bool, Path]
) -> None:
    done = alone(bundles[True], "--key", world.signer.key)
    assert done.returncode == 0, done.stdout
    told = {row["name"]: row for row in lines(bundles[True], "claims.ndjson") if "set_aside." in row["name"]}
    again = Counter(name.split(".")[2] for name, row in told.items() if row["why_not"] is None)
    word = Counter(name.split(".")[2] for name, row in told.items() if row["why_not"] is not None)
    assert again >= Counter(product=EACH, network=2 * EACH, first=EACH, last=2 * EACH)
    assert word >= Counter(asn=EACH, accounts_there=EACH, mail_domain=EACH)
    assert not again.keys() & word.keys()


def test_the_checker_names_accused_who_share_a_network(bundles: dict[bool, Path], world: World) -> None:
    """An owner who records a wrong `asn` accuses an office: the events show that it is one place."""
    said = "\n".join(check(bundles[False], world.signer.key)["lines"])
    assert f"{EACH} of the " in said
    assert "that they sit at no site, and were at no event, rests on `asn` and payment" in said


def test_what_leaves_says_whether_they_are_named(world: World, tmp_path: Path) -> None:
    many = len(world.result.campaigns[0].set_aside)
    without = "\n".join(world.bundle(tmp_path / "a", False))
    named = "\n".join(world.bundle(tmp_path / "b", True))
    assert f"{many} accounts that were set aside are not named" in without
    assert f"the names of {many} accounts that nobody accuses" in named


# --- a dishonest owner, who signs anything with the trail's own key ---


def of_rule(rule: str, change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, bytes]], None]:
    def edit(told: Any) -> None:
        change(next(one for one in told["accounts"] if one["rule"] == rule))

    def everywhere(files: dict[str, bytes]) -> None:
        document("set_aside.json", edit)(files)
        files["claims.ndjson"] = ndjson(claims(files))  # its numbers with it

    return everywhere


def set_a_friend_aside(files: dict[str, bytes]) -> None:
    """A friend of the owner is later recorded as a colleague in the office."""
    friend = json.loads(files["finding.json"])["campaign"]["finding"]["accounts"][0]
    document("set_aside.json", lambda d: d["accounts"].append({"account": friend, "rule": "class"}))(files)


RECORD = "set_aside.json: is not what the audit trail recorded when the finding was made"
LIES: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "an accused as set aside": (set_a_friend_aside, "was set aside, and the finding accuses it"),
    "a name left out": (document("set_aside.json", lambda d: d["accounts"].pop()), RECORD),
    "another salt": (document("set_aside.json", lambda d: d.update(salt="0" * 32)), RECORD),
    "another system": (of_rule("site", lambda one: one.update(asn=680)), RECORD),
    "another product": (of_rule("product", lambda one: one.update(product="cline")), RECORD),
    "fewer by the alert": (document("alert.json", lambda d: d["set_aside"].update(site=1)), "comes to"),
    "nobody by the alert": (document("alert.json", lambda d: d.update(set_aside=None)), "alert.json, sett"),
    "a longer event": (
        each("events.ndjson", lambda row: {"t": row["t"] + 10**11} if row["t"] % 7 == 0 else {}),
        "claim set_aside.",
    ),
    "other clients": (each("events.ndjson", lambda row: {"u": None}), "claim set_aside."),
    "other networks": (each("events.ndjson", lambda row: {"n": str(row["a"])}), "shares its network with no"),
    "at an event, and pays": (each("accounts.ndjson", lambda row: {"payment": "AAAAAAAA"}), "and pays"),
}


@pytest.mark.parametrize("name", LIES)
def test_what_is_untrue_of_them_is_named_though_the_owner_signed_it(
    world: World, copy: Path, name: str
) -> None:
    edit, expected = LIES[name]
    found = resigned(copy, edit, world.signer)
    assert any(expected in sentence for sentence in found), found


def test_whom_an_earlier_finding_of_the_case_accused_is_counted(world: World, copy: Path) -> None:
    resigned(copy, set_a_friend_aside, world.signer)
    assert any(line.startswith("1 of them are accounts of the case") for line in check(copy)["lines"])


def test_a_finding_of_before_says_that_it_kept_nobody(world: World, tmp_path: Path) -> None:
    """Cases from a version that did not record such accounts can be exported, but not with names."""
    shutil.copytree(world.folder, tmp_path / "old")
    old = World(tmp_path / "old", world.log, world.accounts, world.result, {}, (), world.case, world.signer)
    with closing(sqlite3.connect(old.folder / "cases.db")) as db, db:
        (row,) = db.execute("SELECT context FROM evidence").fetchone()
        plain = {k: v for k, v in json.loads(row).items() if not k.startswith("set_aside")}
        db.execute("UPDATE evidence SET context = ?", (json.dumps(plain),))
    with old.store() as store:
        assert alert(store, old.case, NOW_US).set_aside is None
    with pytest.raises(BundleError, match="scan again"):
        old.bundle(tmp_path / "none", True)
    old.bundle(tmp_path / "out", False)
    assert "was not kept when it was made" in "\n".join(check(tmp_path / "out")["lines"])


def test_only_a_bundle_can_name_them(world: World) -> None:
    words = ["case", "export", world.case, "--form", "ocsf", "--with-set-aside"]
    done = CliRunner().invoke(app, [*words, "--cases", f"sqlite:///{world.folder}/cases.db"])
    assert done.exit_code != 0
    assert "only a bundle" in done.output


def test_looks_that_go_on_from_a_saved_state_keep_whom_they_set_aside(world: World, tmp_path: Path) -> None:
    """The state uses names: an account's code changes."""
    log, accounts = sketched(pq.read_table(world.log)), pq.read_table(world.accounts)
    result, _ = replayed(log, accounts, some_hours(log, 6, 1), path=tmp_path / "live.npz")
    assert texts(result) == texts(once(log, accounts))
    assert result.campaigns[0].set_aside == world.result.campaigns[0].set_aside


def test_a_live_scan_looks_systems_up_as_a_scan_does(world: World, tmp_path: Path) -> None:
    """Without `asn` the office is accused; with a table it is set aside, also after restarts."""
    log = pq.read_table(world.log).drop_columns(["asn"]).sort_by("time")
    accounts, key = pq.read_table(world.accounts), b"a key of these tests"
    table = tmp_path / "table.tsv"
    table.write_text(f"{OFFICE}.0\t24\t3320\n{CLOUD}.0\t24\t24940\n", encoding="ascii")
    live = LiveScanner(accounts, key=key, networks=[table])
    for begin in range(0, len(log), 1 + len(log) // 3):
        live.add(log.slice(begin, 1 + len(log) // 3))
        live.look()
        live.save(tmp_path / "state")
        live = LiveScanner.load(tmp_path / "state", accounts, key=key, networks=[table])
    live.finish()
    once_with = scan(log, accounts, key=key, networks=[table]).scan.campaigns[0]
    assert live.result.scan.campaigns[0].set_aside == once_with.set_aside
    assert {one.account for one in once_with.set_aside if one.rule == "site"} == set(world.of["site"])
    blind = scan(log, accounts, key=key).scan.campaigns[0]
    assert set(world.of["site"]) <= set(blind.accounts)
