"""The evidence bundle: a complete, true one is sound; every defect is named; it contains nothing private."""

import ast
import base64
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scipy.stats import binom
from typer.testing import CliRunner

import stamp_authority
from bundle_world import (
    ADDRESS,
    AGENT,
    CANARY,
    HOSTILE,
    NOW_US,
    Told,
    export,
    make,
    oldest_python,
    released,
)
from stillwatch.actors.clues import complementary_load
from stillwatch.cases import Verdict, handling, reading
from stillwatch.cases.audit.signing import new_signer
from stillwatch.cases.audit.verify import verify as verify_trail
from stillwatch.cases.bundle import BundleError, Prepared, answers, documents, recompute, verify
from stillwatch.cases.bundle.bundle_events import OpenedBundle
from stillwatch.cases.bundle.claimed import claims, recomputed_by
from stillwatch.cases.bundle.export import prepare, release, signed_manifest
from stillwatch.cases.bundle.gather import ScannedLog, ndjson
from stillwatch.cases.stamping import Authority, read_roots
from stillwatch.cases.store import Store
from stillwatch.cli.main import app


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return make(tmp_path_factory.mktemp("world"))


@pytest.fixture
def copy(told: Told, tmp_path: Path) -> Path:
    return Path(shutil.copytree(told.bundle, tmp_path / "copy"))


def alone(bundle: Path, *words: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run the bundle's own checker as a reader without Stillwatch does."""
    return subprocess.run(
        [python, "-I", "-S", str(bundle / "verify.py"), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
        env={"PATH": "/usr/bin"},
    )


def check(bundle: Path, key: str | None = None) -> dict[str, Any]:
    return dict(released().check(bundle, key))


def wrong(bundle: Path, key: str | None = None) -> list[str]:
    return list(check(bundle, key)["wrong"])


def key_of(told: Told) -> str:
    """Return the sender's public key, as a receiver has it from another source."""
    return str(told.folder / "audit.key.pub")


def lines(bundle: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (bundle / name).read_text().splitlines()]


# --- sound ---


@pytest.mark.slow
@pytest.mark.parametrize("python", [sys.executable, oldest_python()])
def test_a_copy_is_sound_with_nothing_but_python_and_the_senders_key(
    told: Told, copy: Path, python: str | None
) -> None:
    if python is None:
        pytest.skip("there is no Python 3.9 here")
    done = alone(copy, "--key", key_of(told), python=python)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "VERDICT: SOUND" in done.stdout
    assert all(c.isprintable() or c == "\n" for c in done.stdout)
    answers = [line.partition(":")[2].split(":")[0].strip() for line in done.stdout.splitlines()[-4:-1]]
    assert answers == ["yes", "yes", "yes"]


@pytest.mark.slow
def test_nothing_is_sound_without_a_key_that_the_receiver_gives(copy: Path) -> None:
    done = alone(copy)
    assert done.returncode == 1
    assert "SOUND" not in done.stdout
    found = check(copy)
    assert [answer[:2] for answer in found["answers"].values()] == ["ye", "NO", "ye"]
    assert found["wrong"] == []


@pytest.mark.parametrize("file", documents.CHECKER)
def test_the_checker_is_python_3_9_and_imports_the_standard_library_alone(told: Told, file: str) -> None:
    text = (told.bundle / file).read_text()
    tree = ast.parse(text, feature_version=(3, 9))
    assert "from __future__ import annotations" in text  # `X | None` is not evaluated
    for newer in (
        "datetime.UTC",
        "import UTC",
        "strict=True",
        "StrEnum",
        "int | ",
        "itertools.pairwise",
        "tomllib",
    ):
        assert newer not in text, newer
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    outside = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    beside = {f"{node.module}.py" for node in outside if node.level}
    names |= {node.module or "" for node in outside if not node.level}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
    before = documents.CHECKER[: documents.CHECKER.index(file)]
    assert beside <= set(before)  # it is loaded after those


@pytest.mark.slow
def test_most_claims_are_computed_again_and_the_rest_say_why_not(told: Told) -> None:
    found = check(told.bundle)
    results = Counter(row["result"] for row in found["claims"])
    assert results["differs"] == 0
    assert results["same"] >= 40
    assert all(row["why_not"] for row in found["claims"] if row["result"] == "not computed")
    by_name = {row["name"]: row for row in found["claims"]}
    for name in (
        "harvest.exchanges",
        "harvest.output_tokens",
        "harvest.timeline",
        "harvest.exchanges_at_alarm",
    ):
        assert by_name[name]["result"] == "same", name
    for name in ("finding.p_value", "reason.coordinated_harvest.bits", "reason.same_model.bits"):
        assert by_name[name]["result"] == "same", name
    said = by_name["tested.model.count"]
    assert (said["result"], said["why_not"]) == ("not computed", recompute.WHY_NOT["tested"])
    assert 1 <= by_name["tested.model.count_here"]["stated"] <= by_name["tested.model.of_here"]["stated"]
    assert not [row for row in found["claims"] if "the log given" in (row["why_not"] or "")]


@pytest.mark.slow
def test_the_key_is_checked_where_it_is_named(told: Told, copy: Path) -> None:
    with told.store() as store:
        key = store.trail.signer.key  # type: ignore[union-attr]
    assert alone(copy, "--key", key).returncode == 0
    assert alone(copy, "--key", str(told.folder / "audit.key.pub")).returncode == 0
    done = alone(copy, "--key", "ab" * 32)
    assert done.returncode == 1
    assert "not by the key that you gave" in done.stdout


def test_a_second_analyst_counts_the_same_from_the_file_alone(copy: Path, told: Told) -> None:
    """Written without the checker: an analyst reads the lines and counts independently."""
    accounts = lines(copy, "accounts.ndjson")
    named = {k for k, one in enumerate(accounts) if one["in_finding"]}
    events = [one for one in lines(copy, "events.ndjson") if one["a"] in named]
    taken = [one for one in events if one["t"] >= accounts[one["a"]]["since_us"] and one["s"] == 200]
    alert = json.loads((copy / "alert.json").read_text())
    finding = json.loads((copy / "finding.json").read_text())["campaign"]["finding"]
    assert len(taken) == finding["harvest"]["exchanges"]
    assert sum(one["o"] for one in taken) == finding["harvest"]["output_tokens"]
    hers = {k for k in named if accounts[k]["verdict"] == "victim"}  # a victim is not the thief
    assert {accounts[k]["account"] for k in named - hers} == set(alert["accounts"])
    assert (len(named - hers), len(hers)) == (alert["members"], alert["victims"])
    mostly = {a: statistics.mode(one["m"] for one in taken if one["a"] == a) for a in named}
    model, many = Counter(mostly.values()).most_common(1)[0]
    others = dict(json.loads((copy / "population.json").read_text())["mostly"]["model"])
    claim = next(one for one in alert["why"] if one["detector"] == "same_model")
    assert claim["actual"] == pytest.approx(many / len(named))
    assert claim["baseline"] == pytest.approx(others[model] / sum(others.values()))
    # The verdict: one operator. All use one model, as a fourth of the others do; all are in the planted pool.
    assert many / len(named) > 2 * others[model] / sum(others.values())
    assert {accounts[k]["account"] for k in named} <= set(told.pool)


# --- not sound ---


@pytest.mark.slow
def test_every_file_that_is_flipped_is_named(copy: Path) -> None:
    rng = random.Random(5)
    names = sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file())
    assert len(names) > 20
    for name in names:
        if name == verify.DRAFT:  # a person completes it, so it is not signed
            continue
        path = copy / name
        whole = path.read_bytes()
        for _ in range(2):
            changed = bytearray(whole)
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            path.write_bytes(changed)
            found, _ = verify.check_files(verify.Bundle(copy))
            assert any(sentence.startswith(f"{name}: ") for sentence in found), (name, found)
        path.write_bytes(whole)
    assert wrong(copy) == []


@pytest.mark.slow
def test_files_that_are_missing_added_or_links_are_named(copy: Path) -> None:
    (copy / "alert.json").unlink()
    (copy / "code" / "more.py").write_text("x = 1\n")
    os.symlink("/etc/passwd", copy / "link")
    os.symlink("/etc", copy / "away")
    found = wrong(copy)
    for sentence in (
        "alert.json: is missing",
        "code/more.py: is not in the manifest",
        "link: is no plain file",
        "away: is no plain file",
    ):
        assert sentence in found
    assert alone(copy).returncode == 1


def resigned(copy: Path, edit: Callable[[dict[str, bytes]], None], signer: Any = None) -> list[str]:
    """Return what is wrong after an insider with the key changes files and writes the manifest again."""
    files = {
        path.relative_to(copy).as_posix(): path.read_bytes()
        for path in copy.rglob("*")
        if path.is_file() and path.name != verify.MANIFEST
    }
    edit(files)
    envelope = json.loads((copy / verify.MANIFEST).read_text())
    predicate = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    ready = Prepared(predicate["case"], predicate["title"], (), files, predicate, b"")
    for name, data in files.items():
        (copy / name).write_bytes(data)
    (copy / verify.MANIFEST).write_bytes(signed_manifest(ready, signer or new_signer()))
    return wrong(copy)


@pytest.mark.slow
def test_claims_are_computed_whoever_signed(copy: Path) -> None:
    def drop_an_event(files: dict[str, bytes]) -> None:
        files["events.ndjson"] = b"\n".join(files["events.ndjson"].split(b"\n")[50:])

    found = resigned(copy, drop_an_event)
    assert any(sentence.startswith("claim harvest.exchanges: stated") for sentence in found)
    assert any(sentence.startswith("claim harvest.timeline") for sentence in found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("finding.json", '"exchanges": 8', '"exchanges": 18', "claim "),
        ("alert.json", '"actual": 1.0', '"actual": 0.8', "alert.json: "),
        ("alert.json", '"p_value": ', '"p_value": 1', "alert.json: its p-value"),
        ("population.json", '"accounts": 2', '"accounts": 3', "claim markers"),
        ("accounts.ndjson", '"in_finding":true', '"in_finding":false', "accounts.ndjson: does not list"),
        ("accounts.ndjson", '"since_us":1', '"since_us":2', "accounts.ndjson: "),
        (
            "claims.ndjson",
            '"name":"harvest.exchanges",',
            '"name":"harvest.x",',
            "claim harvest.exchanges",
        ),
        ("audit.ndjson", '"who":"', '"who":"b', "audit.ndjson: record"),
        ("audit_head.json", '"seq": ', '"seq": 1', "audit_head.json: is not signed"),
    ],
)
def test_a_number_that_is_changed_and_signed_again_is_named(
    copy: Path, name: str, old: str, new: str, expected: str
) -> None:
    def edit(files: dict[str, bytes]) -> None:
        assert old.encode() in files[name], files[name][:300]
        files[name] = files[name].replace(old.encode(), new.encode(), 1)

    found = resigned(copy, edit)
    assert any(sentence.startswith(expected) for sentence in found), found


def everywhere(files: dict[str, bytes], change: Callable[[dict[str, Any]], None]) -> None:
    """Change a finding, and every claim of the bundle with it."""
    found = json.loads(files["finding.json"])
    change(found["campaign"])
    files["finding.json"] = json.dumps(found).encode()
    said = recompute.stated_numbers(found)
    rows = [json.loads(line) for line in files["claims.ndjson"].splitlines()]
    rows = [row | {"stated": said.get(row["name"], row["stated"])} for row in rows]
    files["claims.ndjson"] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    p_value = found["campaign"]["finding"]["p_value"]
    alert = json.loads(files["alert.json"]) | {"p_value": p_value}
    for one in alert["why"]:
        if one["detector"] == "coordinated_harvest":
            one["p_value"] = p_value
    files["alert.json"] = json.dumps(alert).encode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "value", "expected"),
    [
        ("p_value", 1e-30, "claim finding.p_value: stated 1e-30, computed"),
        ("p_value", 0, "claim finding.p_value: stated 0, computed"),
        ("count", -1, "claim finding.p_value: stated "),
        ("share", 0.002, "claim finding.p_value: stated "),
        ("tries", 8, "claim reason.same_model.bits: stated "),
        ("correlation", 0.001, "finding.json: tested model: correlation is 0.001, and can be 0.03 to 0.08"),
        ("of", 10**15, "finding.json: tested model: of is 1000000000000000, and can be 1 to"),
        (
            "of",
            "many",
            "finding.json: campaign: evidence: tested, 1: of is 'many', and has to be a whole number",
        ),
    ],
)
def test_a_count_of_the_alarms_test_that_is_changed_everywhere_is_named(
    copy: Path, word: str, value: Any, expected: str
) -> None:
    def edit(campaign: dict[str, Any]) -> None:
        if word == "p_value":
            campaign["finding"][word] = value
        else:
            model = campaign["evidence"]["tested"][0]
            model[word] = model[word] + value if word == "count" else value

    found = resigned(copy, lambda files: everywhere(files, edit))
    assert any(sentence.startswith(expected) for sentence in found), found


@pytest.mark.slow
def test_of_a_finding_that_kept_no_counts_the_p_value_is_not_computed(copy: Path) -> None:
    def older(files: dict[str, bytes]) -> None:
        everywhere(files, lambda campaign: campaign["evidence"].pop("tested"))
        files["claims.ndjson"] = ndjson(claims(files))

    found = resigned(copy, older)
    assert found == ["finding.json: is not what the audit trail recorded when the finding was made"]
    by_name = {row["name"]: row for row in check(copy)["claims"]}
    assert by_name["finding.p_value"]["why_not"] == recompute.WHY_NOT["finding"]
    assert not [name for name in by_name if name.startswith("tested.")]
    assert not [line for line in answers.tell(check(copy)) if "the alarm's own p" in line]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_no_garbage_breaks_the_checker(copy: Path, seed: int) -> None:
    """Signed garbage from a hostile sender: the checker gives an answer and no traceback."""
    rng = random.Random(seed)
    junk = [b"", b"{}", b"[]", b"null", b"[" * 50_000, b"\xff\xfe", b'{"a":1e999}', b"1\n2\n", b'""']

    def edit(files: dict[str, bytes]) -> None:
        for name in ("finding.json", "claims.ndjson", "events.ndjson", "audit.ndjson", "population.json"):
            if rng.random() < 0.6:
                files[name] = rng.choice(junk)
        files["accounts.ndjson"] = rng.choice(junk)

    assert resigned(copy, edit)
    for data in junk:
        (copy / verify.MANIFEST).write_bytes(data)
        assert wrong(copy)
    done = alone(copy)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_what_is_no_bundle_is_refused(tmp_path: Path, told: Told) -> None:
    for words in ([str(tmp_path)], ["/nowhere"], [str(told.log)], ["--key"], ["--key", "xy"], ["--what"]):
        done = alone(told.bundle, *words)
        assert done.returncode == 2, words
        assert done.stderr.startswith("verify.py: ")
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_time_stamp_beside_the_manifest_is_read_and_checked(told: Told, tmp_path: Path) -> None:
    pytest.importorskip("rfc3161_client")
    with stamp_authority.answering(tmp_path / "authority") as clock, told.store() as store:
        by = Authority(clock.url, read_roots(clock.root))
        log = ScannedLog([told.log], told.accounts)
        ready = prepare(store, told.case, who="ann", now_us=NOW_US, log=log)
        made = release(store, ready, tmp_path / "out", who="ann", now_us=NOW_US, stamped_by=by)
        assert made.stamped_by == "CN=Clock of the tests"
        elsewhere = clock.stamp(clock.asked[0])  # for the same manifest, later
        stranger = stamp_authority.make(tmp_path / "stranger")
    assert alone(told.bundle, "--stamp-ca", str(clock.root)).returncode == 1  # it has none
    assert "no time stamp" in alone(told.bundle).stdout
    mine = ("--key", key_of(told))
    done = alone(made.path, *mine)
    assert done.returncode == 0, done.stdout
    assert "is not checked without the authority's root" in done.stdout
    done = alone(made.path, *mine, "--stamp-ca", str(clock.root))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "openssl checked it" in done.stdout
    assert alone(made.path, *mine, "--stamp-ca", str(stranger)).returncode == 1
    assert alone(made.path, *mine, "--stamp-ca", "/nowhere").returncode == 2
    (made.path / verify.STAMP).write_bytes(elsewhere)
    assert alone(made.path, *mine, "--stamp-ca", str(clock.root)).returncode == 0
    shutil.copy(told.bundle / verify.MANIFEST, made.path / verify.MANIFEST)
    assert f"{verify.STAMP}: is the time stamp of something else" in "\n".join(wrong(made.path))
    (made.path / verify.STAMP).write_bytes(b"0")
    assert f"{verify.STAMP}: is no time stamp" in "\n".join(wrong(made.path))


@pytest.mark.slow
def test_a_manifest_of_other_words_and_a_zip_that_swells_are_refused(copy: Path, tmp_path: Path) -> None:
    envelope = json.loads((copy / verify.MANIFEST).read_text())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    for predicate in ("{}", "[]", "null"):
        signer = new_signer()
        payload = json.dumps(
            statement | {"predicate": json.loads(predicate)}, sort_keys=True, separators=(",", ":")
        )
        signature = bytes.fromhex(signer.sign(verify.pae(verify.PAYLOAD_TYPE, payload.encode())))
        odd = {
            "payloadType": verify.PAYLOAD_TYPE, "payload": base64.b64encode(payload.encode()).decode(),
            "signatures": [{"keyid": signer.key, "sig": base64.b64encode(signature).decode()}],
        }  # fmt: skip
        (copy / verify.MANIFEST).write_text(json.dumps(odd, indent=1, sort_keys=True) + "\n")
        done = alone(copy)
        assert (done.returncode, done.stderr) == (1, "")
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(verify.MANIFEST, b"{}")
        packed.writestr("events.ndjson", b"")
    data = bomb.read_bytes()
    at = data.rindex(b"PK\x01\x02") + 24  # the uncompressed size of the last entry
    bomb.write_bytes(data[:at] + (3 << 30).to_bytes(4, "little") + data[at + 4 :])
    done = alone(copy, str(bomb))
    assert (done.returncode, "more than any bundle" in done.stderr) == (2, True)


# --- a zip ---


@pytest.mark.slow
def test_a_zip_says_the_same(told: Told, tmp_path: Path) -> None:
    with told.store() as store:
        made = export(
            store,
            told.case,
            tmp_path / "evidence.zip",
            who="ann",
            now_us=NOW_US + 2,
            log=ScannedLog([told.log], told.accounts),
        )
        assert store.case(told.case).id == told.case
    assert alone(told.bundle, str(made.path), "--key", key_of(told)).returncode == 0
    with zipfile.ZipFile(made.path) as packed:
        assert all(CANARY.encode() not in packed.read(name) for name in packed.namelist())
        packed.extractall(tmp_path)
    assert alone(tmp_path / "evidence", "--key", key_of(told)).returncode == 0
    rng = random.Random(1)
    whole = made.path.read_bytes()
    for _ in range(8):
        changed = bytearray(whole)
        at = rng.randrange(len(changed))
        changed[at] ^= 1 << rng.randrange(8)
        made.path.write_bytes(changed)
        try:
            found = check(made.path)
        except verify.Bad:
            continue
        if not found["wrong"]:  # metadata of the zip itself (a date, a version): every file is unchanged
            with zipfile.ZipFile(made.path) as packed:
                assert packed.testzip() is None


# --- what a release discloses ---


@pytest.mark.slow
def test_no_text_and_no_address_leaves(told: Told) -> None:
    prompts = [str(row["prompt"]) for row in told.planted.crowd.rows]
    pieces = {" ".join(text.split()[k : k + 3]).encode() for text in prompts for k in (0, 4)} - {b""}
    manifest = json.loads((told.bundle / verify.MANIFEST).read_text())
    everything = [path.read_bytes() for path in told.bundle.rglob("*") if path.is_file()]
    everything.append(base64.b64decode(manifest["payload"]))
    for data in everything:
        assert CANARY.encode() not in data
        assert AGENT.encode() not in data
        assert f'"{ADDRESS}'.encode() not in data
    joined = b"\n".join(everything)
    assert not [piece for piece in pieces if len(piece) > 12 and piece in joined]


@pytest.mark.slow
def test_tokens_differ_from_bundle_to_bundle(told: Told) -> None:
    with told.store() as store:
        ready = prepare(store, told.case, who="ann", now_us=NOW_US, log=ScannedLog([told.log], told.accounts))
    mine = {json.loads(line)["q"] for line in ready.files["events.ndjson"].splitlines()}
    theirs = {one["q"] for one in lines(told.bundle, "events.ndjson")}
    assert not mine & theirs
    assert ready.token_key.hex().encode() not in b"".join(ready.files.values())


def test_what_leaves_is_said_first_and_is_on_record(told: Told) -> None:
    joined = " ".join(told.said)
    assert "no prompt" in joined
    assert "the log given is the one that was scanned" in joined
    assert "1 of these accounts are judged victim" in joined
    with told.store() as store:
        assert verify_trail(store).__class__.__name__ == "VerifiedTrail"
        with store.reading() as db:
            from stillwatch.cases.audit.reading import read

            whats = [row.what for row in read(db, subject=told.case)]
    assert any("export" in what for what in whats)


def test_hostile_names_come_through_as_they_are(told: Told) -> None:
    named = {one["account"] for one in lines(told.bundle, "accounts.ndjson")}
    assert set(HOSTILE) <= named
    verdicts = {one["account"]: one["verdict"] for one in lines(told.bundle, "accounts.ndjson")}
    assert (verdicts[HOSTILE[0]], verdicts[HOSTILE[1]]) == ("victim", None)
    assert all((told.bundle / name).read_bytes().isascii() for name in ("accounts.ndjson", "alert.json"))


# --- making one ---


@pytest.mark.slow
def test_without_a_log_nothing_is_computed_and_it_says_so(told: Told, tmp_path: Path) -> None:
    by = {"who": "a", "now_us": NOW_US + 3}
    with told.store() as store:
        ready = prepare(store, told.case, **by)
        made = release(store, ready, tmp_path / "bare", **by)
    assert any("no claim can be computed" in sentence for sentence in ready.leaving)
    found = check(made.path)
    assert found["wrong"] == ["claims: none could be computed: every number is the sender's word"]
    assert {row["result"] for row in found["claims"]} == {"not computed"}


@pytest.mark.slow
def test_a_claim_that_the_sender_excuses_is_computed_all_the_same(copy: Path) -> None:
    def excuse(files: dict[str, bytes]) -> None:
        rows = [json.loads(line) for line in files["claims.ndjson"].splitlines()]
        for row in rows:
            if row["name"] == "harvest.exchanges":
                row |= {"stated": row["stated"] + 1_000, "why_not": "it is complicated"}
        files["claims.ndjson"] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        found = json.loads(files["finding.json"])
        found["campaign"]["finding"]["harvest"]["exchanges"] += 1_000
        files["finding.json"] = json.dumps(found).encode()

    assert any(sentence.startswith("claim harvest.exchanges: stated") for sentence in resigned(copy, excuse))


@pytest.mark.slow
def test_another_log_is_noticed(told: Told, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(told.log)
    thinner = table.take([k for k in range(len(table)) if k % 9])
    pq.write_table(thinner, tmp_path / "cut.parquet")
    with told.store() as store:
        ready = prepare(store, told.case, who="a", now_us=NOW_US, log=ScannedLog([tmp_path / "cut.parquet"]))
        joined = " ".join(ready.leaving)
        assert "NOT the one that was scanned" in joined
        assert "does not bear out" in joined
        pq.write_table(table.slice(0, 50), tmp_path / "other.parquet")
        with pytest.raises(BundleError, match="give the log that was scanned"):
            prepare(store, told.case, who="a", now_us=NOW_US, log=ScannedLog([tmp_path / "other.parquet"]))


def test_it_is_written_whole_or_not_at_all(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with told.store() as store:
        ready = prepare(store, told.case, who="a", now_us=NOW_US)
        before = store.revision()

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(BundleError, match="No space left"):
            release(store, ready, tmp_path / "out", who="a", now_us=NOW_US)
        monkeypatch.undo()
        assert list(tmp_path.iterdir()) == []
        assert store.revision() == before
        (tmp_path / "out").mkdir()
        with pytest.raises(BundleError, match="is there already"):
            release(store, ready, tmp_path / "out", who="a", now_us=NOW_US)
    with Store(told.url) as bare, pytest.raises(BundleError, match="trail"):
        prepare(bare, told.case, who="a", now_us=NOW_US)


def test_a_broken_trail_signs_nothing(told: Told, tmp_path: Path) -> None:
    shutil.copytree(told.folder, tmp_path / "w")
    from sqlalchemy import text

    from stillwatch.cases.audit.trail import attach

    with Store(f"sqlite:///{tmp_path}/w/cases.db") as store:
        attach(store, tmp_path / "w" / "audit.key")
        with store.engine.begin() as db:
            db.execute(text("UPDATE audit_records SET who = 'eve' WHERE seq = 2"))
        with pytest.raises(BundleError, match="from record 2 on"):
            prepare(store, told.case, who="a", now_us=NOW_US)


@pytest.mark.slow
def test_the_command_says_asks_and_tells_how_to_check(told: Told, tmp_path: Path) -> None:
    words = ["case", "export", told.case, "--form", "bundle", "--cases", told.url]
    words += ["--folder", str(told.folder), "--log", str(told.log), "--accounts", str(told.accounts)]
    assert CliRunner().invoke(app, words).exit_code == 2  # no --out
    out = tmp_path / "e"
    refused = CliRunner().invoke(app, [*words, "--out", str(out)])
    assert refused.exit_code == 2
    assert not out.exists()
    done = CliRunner().invoke(app, [*words, "--out", str(out), "--yes"])
    assert done.exit_code == 0, done.output
    key = done.stdout.split("--key ")[1].split()[0]
    assert alone(out, "--key", key).returncode == 0


# --- a sender whose files contradict each other ---


def each(name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[dict[str, bytes]], None]:
    def edit(files: dict[str, bytes]) -> None:
        files[name] = ndjson([row | change(row) for row in map(json.loads, files[name].splitlines())])

    return edit


def document(name: str, change: Callable[[Any], Any]) -> Callable[[dict[str, bytes]], None]:
    def edit(files: dict[str, bytes]) -> None:
        told = json.loads(files[name])
        change(told)
        files[name] = json.dumps(told).encode()

    return edit


def text(name: str, old: str, new: str) -> Callable[[dict[str, bytes]], None]:
    def edit(files: dict[str, bytes]) -> None:
        assert old.encode() in files[name], (name, old)
        files[name] = files[name].replace(old.encode(), new.encode(), 1)

    return edit


def first_code(files: dict[str, bytes]) -> str:
    return min(name for name in files if name.startswith("code/"))


CONTRADICTIONS: dict[str, Callable[[dict[str, bytes]], Any]] = {
    "a null softened": document("alert.json", lambda d: d["why"][0].update(null="nothing else is possible")),
    "a weakness hidden": document("alert.json", lambda d: d["detectors"][0].update(evades_by="nothing")),
    "another version": document("alert.json", lambda d: d["detectors"][0].update(version="99")),
    "an explanation dropped": document("alert.json", lambda d: d["benign"].pop()),
    "limits dropped": document("alert.json", lambda d: d.update(cannot_claim=[])),
    "links dropped": document("alert.json", lambda d: d.update(links=[])),
    "found earlier": document("alert.json", lambda d: d.update(found_us=1)),
    "more members": document("alert.json", lambda d: d.update(members=d["members"] + 1)),
    "no victim": document("alert.json", lambda d: d.update(victims=0)),
    "more tokens": document("alert.json", lambda d: d["exposure"].update(output_tokens=10**9)),
    "sure": document("alert.json", lambda d: d["confidence"].update(sentence="It is certain.")),
    "a field more": document("alert.json", lambda d: d.update(guilt=1.0)),
    "an owner": document("case.json", lambda d: d.update(owner="bob")),
    "another hand": document("case.json", lambda d: d["acts"][0].update(who="bob")),
    "another day": document("case.json", lambda d: d["acts"][0].update(at_us=5)),
    "an act taken back": document("case.json", lambda d: d["acts"][0].update(in_force=False)),
    "another due date": document("case.json", lambda d: d["acts"][0]["facets"].update(due_us=5)),
    "an act invented": document("case.json", lambda d: d["acts"].append(d["acts"][0] | {"act": 99})),
    "hours": document("case.json", lambda d: d["hours"].pop()),
    "a finding's links": document("finding.json", lambda d: d["campaign"]["evidence"].update(links=[])),
    "a finding's title": document("finding.json", lambda d: d["campaign"]["evidence"].update(title="x")),
    "a finding's digest": document("finding.json", lambda d: d.update(digest="0" * 64)),
    "gaps": document("settings.json", lambda d: d["gaps"].append({"start": "a", "end": "b", "text": "c"})),
    "the dial": document("settings.json", lambda d: d["settings"].update(false_cases=0.1)),
    "another release": document("environment.json", lambda d: d["packages"].update(stillwatch="99")),
    "exported earlier": document("environment.json", lambda d: d.update(exported_us=1)),
    "others, fewer": document("population.json", lambda d: d["mostly"]["model"][0].__setitem__(1, 1)),
    "others' networks": document("population.json", lambda d: d["networks"].update(AAAAAAAA=9)),
    "clients": each("events.ndjson", lambda row: {"u": str(row["t"])}),
    "tokens read": each("events.ndjson", lambda row: {"i": 5}),
    "organisations": each("accounts.ndjson", lambda row: {"org": None, "payment": None}),
    "one customer": each("accounts.ndjson", lambda row: {"customer": 0}),
    "named earlier": each("accounts.ndjson", lambda row: {"named_us": 5}),
    "cleared": each("accounts.ndjson", lambda row: {"verdict": "permitted"}),
    "definitions": text("queries.sql", "SELECT account", "SELECT other"),
    "commands": text("queries.sql", "stillwatch scan", "true"),
    "how to check": text("README.txt", "verify.py", "trust_me.py"),
    "certificate, a file": text("certificate.txt", " bytes ", " octets "),
    "certificate, the title": text("certificate.txt", " accounts took ", " thieves took "),
    "certificate, a second clock": text(
        "certificate.txt", "5. Gaps", "The exporting machine: right.\n5. Gaps"
    ),
    "certificate, a second exporter": text("certificate.txt", "5. Gaps", "at the command of bob\n5. Gaps"),
    "a report of its own": lambda files: files.update(
        {"report.html": b"<h1>The court has affirmed it.</h1>"}
    ),
    "a table of its own": lambda files: files.update({"findings.json": b'{"p_value": 1e-30}'}),
    "a share as a text": document("alert.json", lambda d: d["why"][0].update(peer_p95="0.5")),
    "a tie of nobody": document(
        "finding.json", lambda d: d["campaign"]["evidence"]["own_ties"].update(x=[1, 2, 1, 1, 2])
    ),
    "a tie as a text": document(
        "finding.json", lambda d: d["campaign"]["evidence"]["own_ties"].update(x=["1"] * 5)
    ),
    "code emptied": lambda files: files.update({first_code(files): b""}),
    "code taken out": lambda files: files.pop(first_code(files)),
    "code of nothing": lambda files: files.update({"code/more.py": b"x = 1\n"}),
    "a claim invented": lambda files: files.update(
        {
            "claims.ndjson": files["claims.ndjson"]
            + ndjson([{"name": "x", "stated": 1, "by": "export", "why_not": ""}])
        }
    ),
    "claims of the export dropped": lambda files: files.update(
        {"claims.ndjson": b"\n".join(r for r in files["claims.ndjson"].splitlines() if b'"total.' not in r)}
    ),
    "a record of the trail dropped": lambda files: files.update(
        {"audit.ndjson": b"".join(files["audit.ndjson"].splitlines(keepends=True)[:-1])}
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_what_contradicts_the_rest_is_named_though_the_sender_signed_it(
    told: Told, copy: Path, name: str
) -> None:
    with told.store() as store:
        signer = store.trail.signer  # type: ignore[union-attr]

    def edit(files: dict[str, bytes]) -> None:
        before = dict(files)
        CONTRADICTIONS[name](files)
        assert files != before
        for gone in before.keys() - files.keys():
            (copy / gone).unlink()

    assert resigned(copy, edit, signer), name
    found = check(copy, signer.key)
    assert found["answers"]["intact"].startswith("yes")
    assert found["answers"]["signer verified"].startswith("yes")
    assert found["answers"]["claims recomputed"].startswith("NO")


@pytest.mark.slow
def test_an_act_that_was_taken_back_is_not_said_to_count(tmp_path: Path) -> None:
    made, by = make(tmp_path), {"who": "ann", "why": "x", "now_us": NOW_US + 2}
    with made.store() as store:
        handling.judge(store, made.case, Verdict.TRUE, **by)
        number = reading.acts(store, made.case)[-1].id
        handling.undo(store, made.case, number, **by)
        log, out = ScannedLog([made.log], made.accounts), tmp_path / "second"
        export(store, made.case, out, who="ann", now_us=NOW_US + 3, log=log)
    assert wrong(out) == []

    def put_back(case: dict[str, Any]) -> None:
        next(act for act in case["acts"] if act["act"] == number)["in_force"] = True

    assert f"act {number}: is said to count, and was taken back" in resigned(
        out, document("case.json", put_back)
    )


@pytest.mark.slow
def test_a_person_completes_the_draft_certificate(told: Told, copy: Path) -> None:
    path = copy / verify.DRAFT
    path.write_text(path.read_text().replace("[NAME]", "Ann Smith").replace("[POSITION]", "engineer"))
    assert alone(copy, "--key", key_of(told)).returncode == 0


@pytest.mark.slow
def test_another_release_says_that_it_is_another(
    told: Told, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bare(name: str) -> ModuleType:
        return import_module(f"stillwatch.cases.bundle.{name}")

    assert any("knows no release" in one for one in verify.check(copy, None, None, bare)["wrong"])
    another = dict(documents.release(), version="0.0.0")
    monkeypatch.setattr("stillwatch.cases.bundle.contradictions.RELEASE", another)
    assert any("take that one's" in one for one in verify.check(copy, None, None, bare)["wrong"])


# --- absurd values ---

ABSURD: list[tuple[str, str, Any, str]] = [  # file, key, value, message
    ("events.ndjson", "t", -1, "t is -1, and has to be a whole number from 0"),
    ("events.ndjson", "t", float("nan"), "t is nan"),
    ("events.ndjson", "w", 10**40, "w is a whole number too large"),
    ("events.ndjson", "p", "seven", "tokens of eight letters"),
    ("events.ndjson", "k", True, "k is True"),
    ("events.ndjson", "a", 4_000, "is of account 4000"),
    ("events.ndjson", "q", [], "q is a list of 0"),
    ("accounts.ndjson", "created_us", "x", "created_us is 'x'"),
    ("accounts.ndjson", "customer", None, "customer is None"),
    ("population.json", "accounts", 0, "accounts is 0"),
    ("population.json", "mostly", {}, "model is missing"),
    ("population.json", "signups", [], "signups is a list of 0, and has to be a table"),
    ("population.json", "networks", {"x": -1}, "is -1"),
    ("finding.json", "campaign", None, "campaign is None"),
    ("alert.json", "p_value", float("inf"), "p_value is inf"),
    ("alert.json", "why", [1], "why, 1 is 1, and has to be a table"),
    ("claims.ndjson", "stated", [[[[1]]]], "stated is a list of 1"),
    ("claims.ndjson", "stated", float("nan"), "stated is nan"),
    ("claims.ndjson", "why_not", [0], "why_not is a list of 1"),
    ("environment.json", "python", float("nan"), "python is nan"),
    ("audit.ndjson", "at_us", None, "at_us is None"),
    ("case.json", "hours", [[0, -1, 0]], "hours, 1, 2 is -1"),
    ("alert.json", "merged_into", 0, "merged_into is 0"),
    ("audit_head.json", "keys", {}, "keys is a table of 0, and has to be a list"),
]


@pytest.mark.parametrize(("name", "key", "value", "said"), ABSURD)
def test_what_cannot_stand_in_a_file_is_named_with_its_place(
    copy: Path, name: str, key: str, value: Any, said: str
) -> None:
    def edit(files: dict[str, bytes]) -> None:
        rows = [json.loads(row) for row in files[name].split(b"\n") if row] if name.endswith("ndjson") else []
        for one in rows or [whole := json.loads(files[name])]:
            one[key] = value
        files[name] = b"\n".join(json.dumps(one).encode() for one in rows or [whole])

    found = resigned(copy, edit)
    assert any(one.startswith(name) and said in one for one in found), found
    assert not any("Error" in one for one in found)
    assert "claims: none could be computed: every number is the sender's word" in found


@pytest.mark.parametrize(
    "name", ["finding.json", "alert.json", "events.ndjson", "audit.ndjson", "claims.ndjson"]
)
def test_a_name_that_stands_twice_is_named_as_readers_differ_in_which_they_take(
    copy: Path, name: str
) -> None:
    def edit(files: dict[str, bytes]) -> None:
        first = next(
            iter(json.loads(files[name].split(b"\n")[0] if name.endswith("ndjson") else files[name]))
        )
        files[name] = files[name].replace(b"{", b'{"%b": null, ' % first.encode(), 1)

    found = resigned(copy, edit)
    assert any(one.startswith(name) and "appears twice in one table" in one for one in found), found
    assert "claims: none could be computed: every number is the sender's word" in found


def test_a_name_that_stands_twice_in_what_is_signed_is_named(copy: Path) -> None:
    envelope = json.loads((copy / verify.MANIFEST).read_bytes())
    payload = base64.b64decode(envelope["payload"])
    payload = payload.replace(b'"predicate"', b'"predicate": {}, "predicate"', 1)
    signature = bytes.fromhex(new_signer().sign(verify.pae(envelope["payloadType"], payload)))
    envelope |= {"payload": base64.b64encode(payload).decode()}
    envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    (copy / verify.MANIFEST).write_bytes(json.dumps(envelope).encode())
    found = wrong(copy)
    assert any("'predicate' appears twice in one table of what is signed" in one for one in found), found


def _every_signal(finding: dict[str, Any]) -> None:
    """Let a finding name every signal that recomputes numbers."""
    campaign, evidence = finding["campaign"]["finding"], finding["campaign"]["evidence"]
    for name in sorted(
        {*recomputed_by()[0], *recomputed_by()[1]} - {r["detector"] for r in campaign["reasons"]}
    ):
        campaign["reasons"].append({"detector": name, "text": "x", "bits": 1.0})
        numbers = {"actual": 1.0, "baseline": 0.5, "population_p95": None, "n": 7}
        evidence["reasons"].append(numbers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "value"),
    [("s", 0), ("s", 429), ("w", 0), ("r", 0), ("o", None), ("o", -5), ("n", None), ("q", None), ("t", 0)],
)
def test_events_of_one_absurd_value_contradict_each_signal_and_break_none(
    copy: Path, key: str, value: Any
) -> None:
    def edit(files: dict[str, bytes]) -> None:
        document("finding.json", _every_signal)(files)
        each("events.ndjson", lambda one: {**one, key: value})(files)
        each("accounts.ndjson", lambda one: {**one, "created_us": None})(files)

    found = resigned(copy, edit)
    assert "claim reason.signup_burst.n: the finding states it and claims.ndjson leaves it out" in found
    assert not any(
        "ZeroDivision" in one or "cannot be checked" in one or "cannot be held" in one for one in found
    )


def test_the_chance_of_many_is_computed_and_the_chance_of_too_many_takes_no_longer() -> None:
    e = object.__new__(OpenedBundle)
    for positive, items, rate in ((3, 16, 0.008), (900, 3_000, 0.28), (13, 16, 0.999), (1, 5_000, 1e-6)):
        assert math.isclose(
            e.chance_of(positive, items, rate), binom.sf(positive - 1, items, rate), rel_tol=1e-9
        )
    assert e.chance_of(10**12, 10**12, 0.5) == 0
    assert e.chance_of(5, 3, 1.0) == e.chance_of(1, 5, 0.0) == 0 < e.chance_of(5, 5, 1.0) == 1


def test_as_many_refusals_as_there_may_be_are_computed() -> None:
    """More than a thousand refused requests overflowed, since comb(n, x) exceeds the range of a float."""
    e = object.__new__(OpenedBundle)
    e.harvest = [{"t": k * 1_000_000, "a": k % 2, "s": 429} for k in range(3_000)]
    found = complementary_load.recompute(e)
    assert (found["n"], found["actual"]) == (3_000, 2_999 / 3_000)
    e.harvest = [{"t": 5, "a": 0, "s": 200}]
    assert complementary_load.recompute(e) == {"n": 0}
