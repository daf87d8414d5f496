"""From cases to exports: who is notified of what, files on record, the way to a partner and back."""

import json
import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import stix2
from typer.testing import CliRunner, Result

from cases_world import NOW_US, START_US, campaign, names, result
from exports_world import Receiver, receiver
from indicators_world import Provider, provider
from postgres_server import new_database, running
from scan_world import START
from stillwatch.cases import Verdict, handling
from stillwatch.cases.alert import alert
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.audit.verify import verify
from stillwatch.cases.exports import ExportError, Form
from stillwatch.cases.exports.deliver import work_off
from stillwatch.cases.exports.outbox import Outbox
from stillwatch.cases.exports.places import place
from stillwatch.cases.exports.sinks import ExportTarget
from stillwatch.cases.exports.telling import tell
from stillwatch.cases.exports.write import activity_of, prepare, release, write_file
from stillwatch.cases.fold import fold
from stillwatch.cases.reading import acts, find
from stillwatch.cases.store import Store
from stillwatch.cli.main import app
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import PURPOSE, sketch_batch
from stillwatch.gateway.folder import derive, open_folder
from test_exports import valid

DAY_US = 86_400_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "a"
    made.mkdir()
    return made


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{folder}/cases.db") as found:
        attach(found, folder / "audit.key")
        yield found


def hook(
    url: str = "https://hooks.example.com/", name: str = "hook", kind: str = "webhook", **other: Any
) -> ExportTarget:
    schemes = ("https", "http") if kind == "webhook" else ("tcp",)
    fields = {"keys": (), "says": "alert", "allow": (), "ca": None}
    return ExportTarget(kind, name, place(url, schemes), **fields | other)


def opened(store: Store) -> str:
    return fold(store, result(campaign("sw-1", names(0, 40))), NOW_US, "scan").opened[0]


def events(outbox: Outbox, target: str = "hook") -> list[dict[str, Any]]:
    return [json.loads(letter.body) for letter in outbox.waiting() if letter.target == target]


# --- notifications and their receivers ---


@pytest.mark.slow
def test_news_are_told_once_and_in_order(store: Store, folder: Path) -> None:
    outbox, hooks = Outbox(folder / "outbox"), [hook()]
    case = opened(store)
    assert tell(outbox, hooks, store, NOW_US, "https://console.example") == 1
    assert tell(outbox, hooks, store, NOW_US) == 0
    handling.judge(store, case, Verdict.TRUE, who="ana", why="seen", now_us=NOW_US + 1)
    assert tell(outbox, hooks, store, NOW_US + 2) == 1
    handling.close(store, case, who="ana", why="done", verdict=None, now_us=NOW_US + 3)
    assert tell(outbox, hooks, store, NOW_US + 4) == 1
    told = events(outbox)
    assert [one["type"].rpartition(".")[2] for one in told] == ["opened", "updated", "closed"]
    assert len({one["id"] for one in told}) == 3
    assert {one["subject"] for one in told} == {case}
    assert told[0]["data"]["permalink"] == f"https://console.example/cases/{case}"


@pytest.mark.slow
def test_a_crash_between_keeping_and_noting_sends_the_same_again(store: Store, folder: Path) -> None:
    outbox = Outbox(folder / "outbox")
    opened(store)
    tell(outbox, [hook()], store, NOW_US)
    first = events(outbox)
    (outbox.folder / "told.json").unlink()
    assert tell(outbox, [hook()], store, NOW_US + 9) == 1
    assert events(outbox) == first  # it is already waiting
    outbox.sent(outbox.waiting()[0])
    (outbox.folder / "told.json").unlink()
    tell(outbox, [hook()], store, NOW_US + 9)
    assert [one["id"] for one in events(outbox)] == [first[0]["id"]]
    (outbox.folder / "told.json").write_text("[]")
    with pytest.raises(ExportError, match="move it away"):
        tell(outbox, [hook()], store, NOW_US)


@pytest.mark.slow
def test_suppressed_cases_are_not_told_until_it_ends(store: Store, folder: Path) -> None:
    outbox, case = Outbox(folder / "outbox"), opened(store)
    handling.suppress(
        store, case, until_us=NOW_US + DAY_US, owner="ana", who="ana", why="known", now_us=NOW_US
    )
    assert tell(outbox, [hook()], store, NOW_US) == 0
    handling.unsuppress(store, case, who="ana", why="no more", now_us=NOW_US + 1)
    assert tell(outbox, [hook()], store, NOW_US + 1) == 1
    assert [one["type"] for one in events(outbox)] == ["stillwatch.case.opened"]


@pytest.mark.slow
def test_each_target_gets_its_own_words(store: Store, folder: Path) -> None:
    outbox = Outbox(folder / "outbox")
    opened(store)
    siem = hook("tcp://siem.example", "siem", "syslog")
    tell(outbox, [hook(), hook(name="ocsf", says="ocsf"), siem], store, NOW_US)
    (ocsf,) = events(outbox, "ocsf")
    assert valid(ocsf["data"], "detection_finding")
    (letter,) = [one for one in outbox.waiting() if one.target == "siem"]
    lines = letter.body.split("\n")
    assert len(lines) == 41
    assert all(line.startswith("CEF:0|Stillwatch|") for line in lines)


@pytest.mark.slow
def test_many_targets_away_never_hold_who_tells(store: Store, folder: Path) -> None:
    """To notify is to write files: no name is resolved and no connection made, even if all receivers hang."""
    outbox = Outbox(folder / "outbox")
    opened(store)
    begun = time.monotonic()
    tell(outbox, [hook(f"https://10.255.255.{k}/", f"t{k}") for k in range(20)], store, NOW_US)
    assert time.monotonic() - begun < 60  # twenty receivers that hang would take 300
    done = work_off(outbox, [hook("https://10.255.255.1/", "t1")], lambda: NOW_US, random.Random(0))
    assert (done.sent, done.failed, done.dead) == (0, 1, 19)
    assert "nothing goes there" in " ".join(done.refusals)


# --- files ---


@pytest.mark.slow
@pytest.mark.parametrize("form", [Form.OCSF, Form.INCIDENT, Form.CEF, Form.CLOUDEVENT])
def test_what_leaves_is_on_record(store: Store, folder: Path, form: Form) -> None:
    case, out = opened(store), folder / "out"
    ready = prepare(store, case, form, now_us=NOW_US)
    assert not any(act.verb == "export" for act in acts(store, case))
    release(store, ready, out, who="ana", now_us=NOW_US)
    assert out.read_bytes() == ready.data
    assert oct(out.stat().st_mode & 0o777) == "0o600"
    (act,) = [act for act in acts(store, case) if act.verb == "export"]
    assert act.sets["export"] == {"format": str(form), "sha256": ready.leaving.sha256}
    assert verify(store.engine).records > 1  # type: ignore[union-attr]
    if form in (Form.OCSF, Form.INCIDENT):
        name = "detection_finding" if form is Form.OCSF else "incident_finding"
        assert valid(json.loads(ready.data), name)


def test_stix_needs_a_partner_and_a_full_disk_is_said(store: Store, folder: Path) -> None:
    with pytest.raises(ExportError, match="indicators export"):
        prepare(store, opened(store), Form.STIX, now_us=NOW_US)
    with pytest.raises(ExportError, match="cannot be written"):
        write_file(folder / "none" / "x", b"")
    assert not any(name.startswith(".") for name in os.listdir(folder))


def test_activity_says_what_is_news(store: Store) -> None:
    told = alert(store, opened(store), NOW_US)
    assert [str(activity_of(told, known)) for known in (None, False, True)] == ["opened", "opened", "updated"]


# --- the command line: alerts ---


def run(*words: str | Path, said: str = "") -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=said, catch_exceptions=False)


@pytest.fixture
def on_call(folder: Path) -> Iterator[Receiver]:
    with receiver() as found:
        assert run("alerts", "keygen", folder / "on-call.key").exit_code == 0
        entry = f'[[webhook]]\nname = "on-call"\nurl = "{found.url}"\nkeys = ["on-call.key"]\n'
        (folder / "alerts.toml").write_text(entry + 'allow = ["localhost"]\n')
        yield found


@pytest.mark.slow
def test_deliver_tells_and_sends(store: Store, folder: Path, on_call: Receiver) -> None:
    opened(store)
    done = run("alerts", "deliver", "--folder", folder, "--json")
    assert (done.exit_code, json.loads(done.stdout)["sent"]) == (0, 1)
    first = json.loads(on_call.bodies()[0])
    here = f"urn:stillwatch:{store.installation()}"
    assert (first["type"], first["source"]) == ("stillwatch.case.opened", here)
    assert run("alerts", "deliver", "--folder", folder).stdout == "0 sent, 0 failed, 0 given up, 0 wait\n"
    on_call.answer = b"HTTP/1.1 503 no\r\n\r\n"
    handling.note(store, store_case(store), "look", who="ana", now_us=NOW_US)
    failed = run("alerts", "deliver", "--folder", folder)
    assert failed.exit_code == 3
    assert "on-call: localhost" in failed.stdout
    assert "answers 503" in failed.stdout
    listed = json.loads(run("alerts", "list", "--folder", folder, "--json").stdout)
    assert (len(listed["waiting"]), listed["waiting"][0]["attempts"]) == (1, 1)
    assert "answers 503" in run("alerts", "list", "--folder", folder).stdout
    outbox = Outbox(folder / "outbox")
    outbox.bury(outbox.waiting()[0])
    assert "1 will be tried again" in run("alerts", "retry", "--folder", folder).stdout
    on_call.answer = b"HTTP/1.1 200 OK\r\n\r\n"
    assert run("alerts", "deliver", "--folder", folder).exit_code == 0
    assert run("alerts", "retry", "xyz", "--folder", folder).exit_code == 2


def store_case(store: Store) -> str:
    return find(store, "case-")


def test_check_says_who_would_be_told(folder: Path, on_call: Receiver) -> None:
    assert "took a test event, at" in run("alerts", "check", "--send", "--folder", folder).stdout
    assert json.loads(on_call.bodies()[0])["type"] == "stillwatch.test"
    text = (folder / "alerts.toml").read_text()
    closed = text.replace('allow = ["localhost"]', "").replace("http:", "https:")
    (folder / "alerts.toml").write_text(closed)
    wrong = run("alerts", "check", "--folder", folder)
    assert wrong.exit_code == 3
    assert "loopback" in wrong.stdout
    (folder / "alerts.toml").unlink()
    assert run("alerts", "check", "--folder", folder).exit_code == 2
    assert run("alerts", "list", "--folder", folder / "none").exit_code == 2


@pytest.mark.slow
def test_an_export_is_asked_for(store: Store, folder: Path) -> None:
    case, out = opened(store), folder / "finding.json"
    asked = run("case", "export", case[:8], "--form", "ocsf", "--out", out, "--folder", folder)
    assert (asked.exit_code, out.exists()) == (2, False)
    assert "nothing has left" in asked.stderr
    assert "names of accounts: as they are" in asked.stderr
    assert (
        run("case", "export", case[:8], "--form", "ocsf", "--out", out, "--folder", folder, "--yes").exit_code
        == 0
    )
    assert valid(json.loads(out.read_bytes()), "detection_finding")
    shown = run("case", "export", case, "--form", "cef", "--folder", folder, "--yes")
    assert shown.stdout.startswith("CEF:0|Stillwatch|")
    event = ("case", "export", case, "--form", "cloudevent", "--folder", folder, "--yes", "--source")
    assert json.loads(run(*event, "https://eu.example/sw").stdout)["source"] == "https://eu.example/sw"
    assert "no URI, which CloudEvents wants" in run(*event, "a b").stderr


def test_keygen_gives_the_public_half(folder: Path) -> None:
    assert run("alerts", "keygen", folder / "pair.key", "--ed25519").stdout.startswith("whpk_")
    assert run("alerts", "keygen", folder / "pair.key").exit_code == 2


# --- the command line: to a partner and back ---


@pytest.fixture(scope="module")
def alpha(tmp_path_factory: pytest.TempPathFactory) -> Provider:
    return provider(tmp_path_factory.mktemp("alpha"), "alpha", 1)


@pytest.fixture(scope="module")
def beta(tmp_path_factory: pytest.TempPathFactory) -> Provider:
    return provider(tmp_path_factory.mktemp("beta"), "beta", 2, begin_day=7.0)


@pytest.mark.slow
def test_an_alert_goes_to_a_partner_and_its_sighting_comes_back(
    alpha: Provider, beta: Provider, store: Store, folder: Path, tmp_path: Path
) -> None:
    assert (
        int(START.timestamp()) * 1_000_000 != START_US
    )  # the alert's times differ from the log's: only marks match
    case = fold(store, result(campaign("sw-1", alpha.pool)), NOW_US, "scan").opened[0]
    key, told, answer = tmp_path / "key", tmp_path / "told.json", tmp_path / "answer.json"
    assert run("indicators", "keygen", key).exit_code == 0
    sender = ("--exchange-key", key, "--sender", "Alpha Inc.")
    export = ("indicators", "export", case, alpha.log, *sender, "--folder", folder, "--out", told)
    assert "nobody has judged" in run(*export, "--tlp", "amber", "--yes").stderr
    handling.judge(store, case, Verdict.TRUE, who="ann", why="looked", now_us=NOW_US)
    assert "TLP:RED" in run(*export, "--tlp", "red", "--yes").stderr
    assert "nothing has left" in run(*export, "--tlp", "amber").stderr
    assert not told.exists()
    done = run(*export, "--tlp", "amber", "--yes")
    assert done.exit_code == 0
    assert "names of accounts: none" in done.stderr

    listed = run("indicators", "import", told, "--exchange-key", key)
    assert "Alpha Inc." in listed.stdout
    assert json.loads(run("indicators", "import", told, "--exchange-key", key, "--json").stdout)[0]["sealed"]
    back = (
        "indicators",
        "import",
        told,
        beta.log,
        "--exchange-key",
        key,
        "--answer",
        answer,
        "--sender",
        "Beta",
    )
    assert "nothing has left" in run(*back).stderr
    found = run(*back, "--yes", "--json")
    assert found.exit_code == 0
    (hits,) = json.loads(found.stdout)
    assert sorted(one["account"] for one in hits["carriers"]) == list(beta.pool)
    assert "12 accounts of 52; 240 of 706 exchanges carry" in run(*back, "--yes").stdout

    noted = run("indicators", "sightings", answer, *sender, "--folder", folder)
    assert re.match(
        rf"{case}: Beta \(TLP:AMBER; under key [0-9a-f]{{16}}; of 20\S+Z\) has seen this campaign: "
        "240 exchanges of 12 accounts",
        noted.stdout,
    )
    run("indicators", "sightings", answer, *sender, "--folder", folder)
    notes = [act.text for act in acts(store, case) if act.verb == "note"]
    assert len(notes) == 1
    assert "240 exchanges of 12 accounts" in notes[0]
    assert not any(name in answer.read_text() for name in beta.pool + beta.people)
    stranger = run(
        "indicators", "sightings", answer, "--exchange-key", key, "--sender", "Gamma", "--folder", folder
    )
    assert stranger.exit_code == 2
    assert "answers no case of yours" in stranger.stderr


@pytest.mark.slow
def test_what_a_partner_tells_is_noted_on_the_cases_that_hold_such_accounts(
    alpha: Provider, beta: Provider, store: Store, folder: Path, tmp_path: Path
) -> None:
    case = fold(store, result(campaign("sw-1", alpha.pool)), NOW_US, "scan").opened[0]
    key, told = tmp_path / "key", tmp_path / "told.json"
    run("indicators", "keygen", key)
    run("indicators", "export", case, alpha.log, "--exchange-key", key, "--sender", "Alpha Inc.", "--tlp",
        "amber", "--yes", "--unjudged", "urgent", "--folder", folder, "--out", told)  # fmt: skip
    take = ("indicators", "import", told, beta.log, "--exchange-key", key, "--note", "--folder", folder)
    assert "needs a log" in run(*take[:3], *take[4:]).stderr
    assert "no case of yours holds one of these accounts" in run(*take).stdout
    mine = fold(store, result(campaign("sw-2", (*beta.pool[:9], "acct_own"))), NOW_US, "scan").opened[0]
    for _ in range(2):
        done = run(*take, "--json")
        assert done.exit_code == 0
        assert len(json.loads(done.stdout)) == 1
    (text,) = [act.text for act in acts(store, mine) if act.verb == "note"]
    assert text.startswith("Alpha Inc. (TLP:AMBER) tells of ")
    assert text.endswith(": 9 of the 10 accounts here carry its marks.")
    assert f"{mine}: {text}" in done.stderr


@pytest.mark.slow
def test_plain_values_leave_only_where_they_are_asked_for_and_marked(
    alpha: Provider, beta: Provider, store: Store, folder: Path, tmp_path: Path
) -> None:
    case = fold(store, result(campaign("sw-1", alpha.pool)), NOW_US, "scan").opened[0]
    key, told = tmp_path / "key", tmp_path / "told.json"
    run("indicators", "keygen", key)
    export = ("indicators", "export", case, alpha.log, "--exchange-key", key, "--sender", "Alpha Inc.",
              "--yes", "--unjudged", "urgent", "--folder", folder, "--out", told)  # fmt: skip
    assert run(*export, "--tlp", "amber").exit_code == 0
    assert "203.0.113" not in told.read_text()
    plain = ("--plain", "network", "--plain", "email-domain", "--accounts", alpha.accounts)
    assert "lets plain values go further" in run(*export, "--tlp", "green", *plain).stderr
    assert "needs --accounts" in run(*export, "--tlp", "amber", "--plain", "email-domain").stderr
    assert "share nothing in plain" in run(*export, "--tlp", "amber", "--plain", "asn").stderr
    done = run(*export, "--tlp", "amber", *plain)
    assert "IN PLAIN, networks: 1" in done.stderr
    assert "IN PLAIN, e-mail domains: 1" in done.stderr
    objects = json.loads(told.read_text())["objects"]
    patterns = [one["pattern"] for one in objects if one["type"] == "indicator"]
    assert {p for p in patterns if "stillwatch" not in p} == {
        "[ipv4-addr:value = '203.0.113.0/24']",
        "[domain-name:value = 'drain.example']",
    }
    bundle = stix2.parse(told.read_text(), allow_custom=True)  # an official parser takes it whole
    assert len(bundle.objects) == len(objects)
    found = run("indicators", "import", told, beta.log, "--exchange-key", key, "--json")
    assert {c["account"] for c in json.loads(found.stdout)[0]["carriers"]} == set(beta.pool)


@pytest.mark.slow
def test_who_else_sent_this(alpha: Provider, store: Store, folder: Path) -> None:
    """Half of the pool is in the case; a search of the sender's own history names the others."""
    case = fold(store, result(campaign("sw-1", alpha.pool[:10])), NOW_US, "scan").opened[0]
    search = ("indicators", "search", case, alpha.log, "--folder", folder)
    found = json.loads(run(*search, "--json").stdout)[0]
    others = [one["account"] for one in found["carriers"] if not one["in_case"]]
    assert sorted(others) == list(alpha.pool[10:])
    shown = run(*search, "--since", "2026-03-09")
    assert f"{case}: 2 accounts of 49 beside its own; 142 of 290 exchanges carry" in shown.stdout
    assert "Before the campaign's first exchange 0 accounts carried a mark in 5 days" in shown.stdout
    assert run(*search, "--since", "last May").exit_code == 2


@pytest.mark.slow
def test_a_gateway_s_folder_is_searched_under_its_own_key(
    alpha: Provider, store: Store, folder: Path, tmp_path: Path
) -> None:
    served = open_folder(tmp_path / "served")
    hour = served.segments / "2026-03-02T00"
    hour.mkdir()
    (batch,) = alpha.table.combine_chunks().to_batches()
    made = sketch_batch(batch, Sketcher(derive(served.secret(), PURPOSE)))
    pq.write_table(type(alpha.table).from_batches([made]), hour / "0000000001-0000000001.parquet")
    case = fold(store, result(campaign("sw-1", alpha.pool[:10])), NOW_US, "serve").opened[0]
    found = json.loads(run("indicators", "search", case, served.path, "--folder", folder, "--json").stdout)[0]
    assert sum(not one["in_case"] for one in found["carriers"]) == 2
    key = tmp_path / "key"
    run("indicators", "keygen", key)
    asked = ("--exchange-key", key, "--sender", "A", "--tlp", "green", "--folder", folder, "--yes",
             "--unjudged", "urgent")  # fmt: skip
    refused = run("indicators", "export", case, served.path, *asked)
    assert refused.exit_code == 2
    assert "kept as sketches under another key only" in refused.stderr


@pytest.mark.slow
def test_rejected_lines_are_said(alpha: Provider, store: Store, folder: Path, tmp_path: Path) -> None:
    case = fold(store, result(campaign("sw-1", alpha.pool)), NOW_US, "scan").opened[0]
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"time": "2026-03-05T00:00:00Z", "account": "x", "prompt": "y"}\n{"time": "never"}\n')
    done = run("indicators", "search", case, alpha.log, bad, "--folder", folder)
    assert done.exit_code == 3
    assert "1 line rejected" in done.stderr or "lines rejected" in done.stderr


@pytest.mark.slow
def test_news_are_told_from_postgresql_too(folder: Path) -> None:
    with running() as server:
        if server is None:
            pytest.skip("no PostgreSQL on this machine")
        with Store(new_database(server)) as store:
            attach(store, folder / "audit.key")
            outbox, case = Outbox(folder / "outbox"), opened(store)
            assert tell(outbox, [hook()], store, NOW_US) == 1
            release(
                store, prepare(store, case, Form.OCSF, now_us=NOW_US), folder / "x", who="a", now_us=NOW_US
            )
            assert tell(outbox, [hook()], store, NOW_US + 1) == 1
            assert [one["type"].rpartition(".")[2] for one in events(outbox)] == ["opened", "updated"]
