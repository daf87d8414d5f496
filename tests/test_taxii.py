"""TAXII 2.1: an export goes into a collection and returns unchanged, and server errors are reported."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cases_world import NOW_US, campaign, result
from indicators_world import QUESTIONS, VIRAL
from scan_world import Crowd
from stillwatch.cases import Verdict, handling, reading
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.exports import ExportError, post, taxii
from stillwatch.cases.exports.objects import bundle as sealed_bundle
from stillwatch.cases.exports.taxii import TaxiiCollection, open_collection, pull_objects, push_objects
from stillwatch.cases.fold import fold
from stillwatch.cases.indicators import IndicatorError
from stillwatch.cases.indicators.collection import files_in, missing_ids
from stillwatch.cases.indicators.keys import read_exchange
from stillwatch.cases.store import Store
from stillwatch.cli.main import app
from taxii_server import MEDIA_TYPE, PASSWORD, TaxiiServer, medallion, taxii_server

ANN = {taxii.USER: "ann", taxii.PASSWORD: PASSWORD}


@pytest.fixture
def server() -> Iterator[TaxiiServer]:
    with taxii_server() as found:
        yield found


@pytest.fixture
def collection(server: TaxiiServer) -> TaxiiCollection:
    return open_collection(server.url, ANN)


def objects(many: int, modified: str = "2026-05-01T00:00:00.000Z") -> list[dict[str, Any]]:
    return [
        {"type": "campaign", "id": f"campaign--00000000-0000-4000-8000-{k:012x}", "modified": modified}
        for k in range(many)
    ]


# --- the protocol ---


def test_what_is_pushed_is_pulled(server: TaxiiServer, collection: TaxiiCollection) -> None:
    server.pending = 1
    assert push_objects(collection, objects(25)) == 1
    server.page = 10
    page = pull_objects(collection)
    assert list(page.objects) == objects(25)
    assert sum("objects/" in one for one in server.asked) == 1 + 3
    assert page.added_last is not None
    assert pull_objects(collection, page.added_last).objects == ()


def test_a_large_export_goes_in_several_requests(server: TaxiiServer, collection: TaxiiCollection) -> None:
    server.most = 1_000
    assert push_objects(collection, objects(40)) == server.posts > 4
    assert list(pull_objects(collection).objects) == objects(40)


def test_a_token_is_sent_in_place_of_a_password() -> None:
    with taxii_server("s3cret") as server:
        assert pull_objects(open_collection(server.url, {taxii.TOKEN: "s3cret"})).objects == ()
        with pytest.raises(ExportError, match="wants a name and password") as refused:
            pull_objects(open_collection(server.url, {taxii.TOKEN: "0ther"}))
    assert "0ther" not in str(refused.value)
    assert "0ther" not in repr(open_collection(server.url, {taxii.TOKEN: "0ther"}))


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({taxii.USER: "ann"}, "go together"), ({taxii.PASSWORD: "x"}, "go together"),
        ({taxii.TOKEN: "t", taxii.USER: "ann"}, "both set"), ({taxii.TOKEN: "a\r\nb: c"}, "no token has"),
    ],
)  # fmt: skip
def test_credentials_that_are_none_are_refused(environ: dict[str, str], why: str) -> None:
    with pytest.raises(ExportError, match=why):
        open_collection("https://h.example/api1/collections/c/", environ)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://u:p@h.example/a/collections/c/", "ends up in logs"), ("https://h.example/a/", "is no coll"),
        ("https://h.example/a/collections/c/objects/", "is no collection"), ("ftp://h/", "give https"),
        ("https://h.example/a/collections/c/?x=1", "is no collection"),
    ],
)  # fmt: skip
def test_what_is_no_collection_is_refused(url: str, why: str) -> None:
    with pytest.raises(ExportError, match=why):
        open_collection(url, {})


def test_nothing_goes_in_the_clear_beyond_this_machine() -> None:
    plain = open_collection("http://h.example/a/collections/c", ANN, resolve=lambda host, port: ["10.0.0.5"])
    with pytest.raises(ExportError, match="shows everything"):
        pull_objects(plain)


# --- server errors ---


def body(**more: Any) -> tuple[int, str, bytes]:
    return 200, MEDIA_TYPE, json.dumps(more).encode()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((200, "text/html", b"<html>"), "answers with 'text/html', not application/taxii"),
        ((200, MEDIA_TYPE, b'{"objects": [{"id": "x"'), "no JSON"),
        ((200, MEDIA_TYPE, b'{"objects": [], "objects": []}'), "no JSON"),
        ((200, MEDIA_TYPE, b"[]"), "no object"), (body(objects={"a": 1}), "objects that cannot be read"),
        (body(objects=["a"]), "objects that cannot be read"), (body(more=True), "not how to ask for it"),
        (body(more=True, next="same", objects=[{}]), "no end"),
        ((302, MEDIA_TYPE, b"{}"), "a redirect"), ((500, "text/plain", b"x"), "no success"),
        ((403, MEDIA_TYPE, b'{"title": "\\u001b[2J no"}'), r"it says '\\\\x1b"),
        ((404, MEDIA_TYPE, b"{}"), "no such collection"), ((406, "text/plain", b""), "not speak TAXII"),
    ],
)  # fmt: skip
def test_a_server_that_answers_wrong_is_named(
    server: TaxiiServer, collection: TaxiiCollection, answer: tuple[int, str, bytes], why: str
) -> None:
    server.answer = answer
    with pytest.raises(ExportError, match=why):
        pull_objects(collection)


def test_pages_without_end_are_given_up(
    server: TaxiiServer, collection: TaxiiCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = iter(range(10_000))
    monkeypatch.setattr(server, "give", lambda query: ({"more": True, "next": str(next(turns))}, None))
    monkeypatch.setattr(taxii, "MOST_PAGES", 20)
    with pytest.raises(ExportError, match="gave up after 20"):
        pull_objects(collection)
    monkeypatch.setattr(taxii, "MOST_OBJECTS", 100)
    many = {"more": True, "objects": [{}] * 60}
    monkeypatch.setattr(server, "give", lambda query: (many | {"next": str(next(turns))}, None))
    with pytest.raises(ExportError, match="holds over 100 objects or 128 MB"):
        pull_objects(collection)


def test_a_server_without_next_goes_by_time(
    server: TaxiiServer, collection: TaxiiCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_objects(collection, objects(25))
    server.page, give = 10, server.give

    def bare(query: dict[str, list[str]]) -> tuple[dict[str, Any], str | None]:
        said, last = give(query)
        said.pop("next", None)
        return said, last

    monkeypatch.setattr(server, "give", bare)
    assert list(pull_objects(collection).objects) == objects(25)


def test_objects_that_were_not_taken_are_said(
    server: TaxiiServer, collection: TaxiiCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.failures = [{"id": "campaign--x", "version": "", "message": "not\nhere"}]
    with pytest.raises(ExportError, match=r"did not take 1 of 2 objects: it says 'not\\\\nhere'"):
        push_objects(collection, objects(2))
    server.failures = [{"id": objects(1)[0]["id"], "version": "", "message": "is there"}]
    assert push_objects(collection, objects(2)) == 1
    server.failures, server.pending = [], 99
    monkeypatch.setattr(taxii, "WAITS_S", (0.01, 0.01))
    with pytest.raises(ExportError, match="has not said"):
        push_objects(collection, objects(2))
    server.can_write = False
    with pytest.raises(ExportError, match="can_write"):
        push_objects(collection, objects(2))


@pytest.mark.slow
def test_a_server_that_never_answers_is_given_up(
    server: TaxiiServer, collection: TaxiiCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "give", lambda query: time.sleep(2) or ({}, None))
    monkeypatch.setattr(post.fetch, "__defaults__", (0.5, "POST"))
    with pytest.raises(ExportError, match="took longer than it may"):
        pull_objects(collection)


# --- the objects of one file ---


def test_nonsense_in_a_collection_is_passed_over() -> None:
    odd: list[dict[str, Any]] = [
        {}, {"id": 5}, {"id": "report--1", "object_refs": "x"}, {"id": "report--2", "object_refs": [1, None]},
        {"id": "sighting--1", "sighting_of_ref": 7}, {"id": "report--3", "modified": 3},
        {"id": "report--4", "object_refs": [objects(1)[0]["id"]], "object_marking_refs": {}},
        {"id": "report--5", "object_refs": ["campaign--../../../tmp/" + "a" * 20]},
        {"id": "sighting--../x", "sighting_of_ref": "campaign--1"},
    ]  # fmt: skip
    files, others = files_in(odd)
    assert (list(files), others) == ([objects(1)[0]["id"]], 5)
    assert missing_ids(odd) == {objects(1)[0]["id"]}


@pytest.mark.slow
def test_few_objects_do_not_make_very_many() -> None:
    """Content that another party may write is printed at most once per answer, and within limits."""
    told = [one | {"id": one["id"].replace("campaign", "sighting"), "sighting_of_ref": one["id"]}
            for one in objects(300)]  # fmt: skip
    files, _ = files_in(told)
    assert [len(one["objects"]) for one in files.values()] == [301]  # and our extension
    refs = [one["id"] for one in objects(700)]
    reports = [{"id": one["id"].replace("campaign", "report"), "object_refs": [one["id"], *refs]}
               for one in objects(700)]  # fmt: skip
    with pytest.raises(IndicatorError, match="reports name over"):
        files_in([*objects(700), *reports])


# --- commands ---


RED, BLUE = ([f"{name}-{k}" for k in range(4)] for name in ("red", "blue"))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two groups of four accounts, each with its own question."""
    crowd = Crowd(9)
    for accounts, text in ((RED, QUESTIONS[0]), (BLUE, VIRAL)):
        for n, account in enumerate(accounts * 5):
            crowd.says(account, 200 + n, text, client_ip="10.0.0.1", status=200)
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    pq.write_table(crowd.table(), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cases, of which that of the blue group is judged true, and an exchange key."""
    with Store(f"sqlite:///{tmp_path / 'cases.db'}") as store:
        attach(store, tmp_path / "audit.key")
        fold(store, result(campaign("sw-1", RED), campaign("sw-2", BLUE)), NOW_US, "scan")
        handling.judge(store, of(store, BLUE[0]), Verdict.TRUE, who="ann", why="looked", now_us=NOW_US)
    (tmp_path / "key").write_text(bytes(range(32)).hex())
    (tmp_path / "key").chmod(0o600)
    return tmp_path


def of(store: Store, account: str) -> str:
    return reading.account(store, account)[0].case.id


def run(*words: object, env: dict[str, str] = ANN) -> Result:
    return CliRunner().invoke(app, ["indicators", *map(str, words)], env=env)


def export(folder: Path, case: str, log: Path, name: str, *more: str) -> Path:
    out = folder / name
    done = run("export", case, log, "--folder", folder, "--exchange-key", folder / "key", "--sender", "Alpha",
               "--tlp", "amber", "--out", out, "--yes", *more)  # fmt: skip
    assert done.exit_code == 0, done.output
    return out


@pytest.mark.slow
def test_a_campaign_goes_by_a_collection_and_its_answer_comes_back(
    folder: Path, log: Path, server: TaxiiServer
) -> None:
    with Store(f"sqlite:///{folder / 'cases.db'}") as store:
        one, two = of(store, RED[0]), of(store, BLUE[0])
    at = ("--collection", server.url)
    first = export(folder, one, log, "one.json", "--unjudged", "it goes on")
    second = export(folder, two, log, "two.json")
    assert run("push", first, *at, "--folder", folder, "--yes", "--unjudged", "it goes on").exit_code == 0
    assert run("push", second, *at, "--folder", folder, "--yes").exit_code == 0
    done = run("pull", *at, "--out", folder / "got", "--json")
    told = json.loads(done.stdout)
    assert (len(told["files"]), told["others"]) == (2, 0)
    for path in told["files"]:
        taken = run("import", path, log, "--exchange-key", folder / "key", "--json")
        assert taken.exit_code == 0, taken.output
        assert {c["account"] for c in json.loads(taken.stdout)[0]["carriers"]} in (set(RED), set(BLUE))
        back = folder / "answer.json"
        run("import", path, log, "--exchange-key", folder / "key", "--answer", back, "--sender", "Beta",
            "--yes")  # fmt: skip
        assert run("push", back, *at, "--yes").exit_code == 0
    after = run("pull", *at, "--out", folder / "new", "--added-after", told["added_last"], "--json")
    answers = json.loads(after.stdout)["files"]
    assert len(answers) == 2
    taken = run("sightings", answers[0], "--exchange-key", folder / "key", "--sender", "Alpha", "--folder",
                folder)  # fmt: skip
    assert taken.exit_code == 0, taken.output
    assert "has seen this campaign" in taken.stdout
    other = folder / "other.key"
    other.write_text(bytes(range(1, 33)).hex())
    other.chmod(0o600)
    run("import", told["files"][0], log, "--exchange-key", folder / "key", "--answer", back, "--sender",
        "Beta", "--yes")  # fmt: skip
    forged = json.loads(back.read_text())["objects"]
    sealing = read_exchange(other)
    back.write_text(json.dumps(sealed_bundle(forged, sealing.sealing, sealing.fingerprint)))
    refused = run("sightings", back, "--exchange-key", other, "--sender", "Alpha", "--folder", folder)
    assert refused.exit_code == 2
    assert f"answers no case of yours that left under key {sealing.fingerprint}" in refused.stderr


@pytest.mark.slow
def test_what_may_not_leave_is_not_pushed(folder: Path, log: Path, server: TaxiiServer) -> None:
    url = f"sqlite:///{folder / 'cases.db'}"
    with Store(url) as store:
        one, two = of(store, RED[0]), of(store, BLUE[0])
    file = export(folder, one, log, "one.json", "--unjudged", "it goes on")
    push = ("push", file, "--collection", server.url, "--folder", folder)
    assert "nobody has judged" in run(*push, "--yes").stderr
    assert "nothing has left" in run(*push, "--unjudged", "it goes on").stderr
    file.write_bytes(file.read_bytes().replace(b'"confidence": 100', b'"confidence": 99', 1))
    assert "no case has it on record" in run(*push, "--yes", "--unjudged", "x").stderr
    file = export(folder, two, log, "two.json")
    with Store(url) as store:
        attach(store, folder / "audit.key")
        handling.judge(store, two, Verdict.FALSE, who="ann", why="erred", now_us=NOW_US)
    assert "nothing of it goes to a partner" in run("push", file, *push[2:], "--yes").stderr
    misp = export(folder, one, log, "misp.json", "--misp", "--unjudged", "x")
    assert "without --misp" in run("push", misp, *push[2:], "--yes", "--unjudged", "x").stderr
    named = export(folder, one, log, "named.json", "--plain", "account", "--tlp", "amber+strict",
                   "--unjudged", "x")  # fmt: skip
    assert "stay with one partner" in run("push", named, *push[2:], "--yes", "--unjudged", "x").stderr
    assert (server.stored, server.posts) == ([], 0)


@pytest.mark.slow
def test_where_it_went_is_on_record_even_if_the_server_failed(
    folder: Path, log: Path, server: TaxiiServer
) -> None:
    url = f"sqlite:///{folder / 'cases.db'}"
    with Store(url) as store:
        case = of(store, BLUE[0])
    file = export(folder, case, log, "two.json")
    server.answer = (500, "text/plain", b"")
    failed = run("push", file, "--collection", server.url, "--folder", folder, "--yes")
    assert (failed.exit_code, "no success (status 500)" in failed.stderr) == (2, True)
    assert PASSWORD not in failed.output
    with Store(url) as store:
        attach(store, folder / "audit.key")
        assert reading.acts(store, case)[-1].sets["export"]["to"] == server.url
        with store.reading() as db:
            told = [one.detail["export"] for one in read(db, subject=case) if one.what == "case.export"]
        pushed, under = [one["to"] for one in told if "to" in one]
        assert under == f"who holds key {read_exchange(folder / 'key').fingerprint}"
        assert pushed == server.url


# --- OASIS' own server ---


@pytest.mark.slow
def test_the_reference_server_takes_and_gives(folder: Path, log: Path, tmp_path: Path) -> None:
    python = os.environ.get("STILLWATCH_MEDALLION", sys.executable)  # with medallion 3.0.0
    if subprocess.run([python, "-c", "import medallion"], capture_output=True).returncode:
        pytest.skip("could not import 'medallion'")
    with medallion(python, tmp_path) as url:
        with Store(f"sqlite:///{folder / 'cases.db'}") as store:
            case = of(store, BLUE[0])
        file = export(folder, case, log, "two.json")
        for _ in range(2):  # the second time it has them all
            done = run("push", file, "--collection", url, "--folder", folder, "--yes")
            assert done.exit_code == 0, done.output
        got = json.loads(run("pull", "--collection", url, "--out", folder / "got", "--json").stdout)
        (path,) = got["files"]
        listed = run("import", path, "--exchange-key", folder / "key", "--json")
        assert json.loads(listed.stdout)[0]["sealed"], listed.output
        assert "wants a name and password" in run("pull", "--collection", url, "--out", folder, env={}).stderr
