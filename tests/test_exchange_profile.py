"""The exchange profile: a partner's own program comes to the same results as Stillwatch."""

import csv
import json
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pytest
import stix2
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cases_world import NOW_US, campaign, only, result
from indicators_world import Provider, provider
from stillwatch.cases import Verdict, handling, reading
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.bundle.documents import environment
from stillwatch.cases.evidence import inputs_of
from stillwatch.cases.exchange import matcher
from stillwatch.cases.exports.objects import EXTENSION
from stillwatch.cases.exports.objects import bundle as sealed_bundle
from stillwatch.cases.fold import fold
from stillwatch.cases.indicators import DIGITS, SKETCHED, IndicatorKind, search
from stillwatch.cases.indicators.keys import exchange, normalise
from stillwatch.cases.indicators.marks import IndicatorNumbers, LogHistory
from stillwatch.cases.store import Store
from stillwatch.cli.main import app
from stillwatch.exchanges import RECORD

HERE = Path(matcher.__file__).parent
MISP_READER = """
import json, pathlib, sys, stix2, misp_stix_converter
parser = misp_stix_converter.InternalSTIX2toMISPParser()
parser.load_stix_bundle(stix2.parse(pathlib.Path(sys.argv[1]).read_text("utf-8"), allow_custom=True))
parser.parse_stix_bundle(single_event=True)
event = parser.misp_event
print(json.dumps([len(event.objects), len(event.attributes), any(parser.errors.values())]))
"""
RAW = bytes(range(32))
KEY = exchange(RAW)
PIECES = [
    "Solve", "step", "by", "step", "12", "3.14", "https://example.org/a?b=c", "ftp://x", "http:/", "://",
    "x" * 40, "y" * 41, "Ünïcode", "naïve", "日本語のテキスト", "ไทย", "🙂🙂", "\u00a0", "don't", "a_b",
    "ЖЖЖ", "\x00", "\x1f", "\t", "  ", "A" * 7 + "://q", "\u2028", "٣", "\ud7b0", "ﬁ", "\n", "e\u0301",
]  # fmt: skip


def marks(prompt: str, system: str = "") -> dict[str, set[str]]:
    """Return what Stillwatch computes for a text under the exchange key."""
    row = dict.fromkeys(RECORD.names) | {"prompt": prompt, "system": system or None}
    batch = pa.RecordBatch.from_pylist([row], schema=pa.schema([(f.name, f.type) for f in RECORD]))
    made = IndicatorNumbers(LogHistory([], KEY), SKETCHED).of(batch)
    return {
        str(kind): {f"{int(n):0{DIGITS[kind]}x}" for n in np.ravel(numbers) if n}
        for kind, numbers in made.items()
    }


OURS = EXTENSION
PATTERN = f"[x-stillwatch-mark:kind = 'wording' AND x-stillwatch-mark:key = '{KEY.fingerprint}' AND "
PATTERN += "x-stillwatch-mark:value = '00000000']"
KEYS = (int(KEY.sketcher._key0), int(KEY.sketcher._key1))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(st.sampled_from(PIECES) | st.text(max_size=12), max_size=40),
    joint=st.sampled_from([" ", ""]),
)
def test_the_matcher_makes_the_same_marks_of_any_text(pieces: list[str], joint: str) -> None:
    text = joint.join(pieces).encode("utf-8", "replace").decode()
    assert matcher.marks_of(KEYS, text, text[:9]) == marks(text, text[:9])


def test_the_matcher_makes_the_same_marks_of_long_texts() -> None:
    for n in (4095, 4096, 4097, 9000):
        text = " ".join(
            f"w{chr(97 + k % 26)}{'abc'[k % 3] * (k % 5)}" + str(k) * (k % 4 == 0) for k in range(n)
        )
        assert matcher.marks_of(KEYS, text) == marks(text)
    assert matcher.marks_of(KEYS, "") == marks("")
    assert IndicatorKind.WORDING in marks("a b c")


def test_the_vectors_say_what_stillwatch_and_the_matcher_make() -> None:
    told = json.loads((HERE / "vectors.json").read_text("utf-8"))
    assert (bytes.fromhex(told["exchange_key"]), told["key"]) == (RAW, KEY.fingerprint)
    for one in told["texts"]:
        for made in (
            marks(one["prompt"], one["system"]),
            matcher.marks_of(KEYS, one["prompt"], one["system"]),
        ):
            assert {kind: sorted(v) for kind, v in made.items() if v} == one["marks"]
    for one in told["identifiers"]:
        kind = IndicatorKind(one["kind"])
        assert normalise(kind, one["of"]) == one["normalised"]
        assert KEY.identify(kind, one["normalised"]) == one["mark"]
    rule = told["rule"]
    assert rule["wording_needed_in_one_prompt"] == search.NEEDED == matcher.LEAST["wording"]
    assert rule["wording_for_half_a_mark"] == search.HALF == matcher.LEAST["phrases"]
    assert rule["marked_rows"] == search.LEAST_MARKED
    assert rule["with_a_whole_mark"] == {"share_of_rows": search.LEAST_SHARE}
    assert rule["without"] == {
        "share_of_rows": search.LEAST_SHARE_HALF,
        "different_phrases": search.LEAST_PHRASES,
    }
    for one in told["accounts"]:
        given = (one["rows"], one["marked"], one["whole"], one["phrases"])
        assert (search.is_named(*given), by_the_matcher(*given)) == (one["named"], one["named"]), one
    schema = json.loads((HERE / "profile.json").read_text("utf-8"))
    assert told["profile"] == schema["$id"]


def by_the_matcher(rows: int, marked: int, whole: bool, phrases: int) -> bool:
    """Return the matcher's result for an account whose first marked row contains a whole mark, or none."""
    some = {f"{k:08x}" for k in range(phrases)}
    found: list[dict[str, set[str]]] = [{"phrases": some} for _ in range(marked)]
    found[0] |= {"opening": {"0" * 16}} if whole else {}
    return bool(matcher.is_named(rows, found))


@given(marked=st.integers(1, 30), more=st.integers(0, 3_000), whole=st.booleans(), phrases=st.integers(0, 12))
def test_the_matcher_names_whom_stillwatch_names(marked: int, more: int, whole: bool, phrases: int) -> None:
    given = (marked + more, marked, whole, phrases)
    assert by_the_matcher(*given) == search.is_named(*given)


def test_the_matcher_is_short_and_needs_python_alone() -> None:
    text = Path(matcher.__file__).read_text("utf-8")
    assert len(text.splitlines()) <= 150
    imported = {line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imported <= sys.stdlib_module_names
    assert matcher.OURS == EXTENSION


# --- a dishonest partner, and that partner's customers ---

OWN_TEXT = "Solve the riddle step by step and say what the otter keeps in its pouch"
SLOW = "[x-stillwatch-mark:kind = '" + "x' AND a:key = 'x' AND a:value = 'x" * 3_000 + "'"
EVIL: dict[str, dict[str, Any]] = {
    "slow": {"pattern": SLOW},
    "no text": {"pattern": ["x"]},
    "number": {"pattern": 7},
    "valid for ever": {"valid_until": 9_999},
    "from no time": {"valid_from": None},
    "from a table": {"valid_from": {}},
    "no extension": {"extensions": [OURS]},
    "kind": {"pattern": PATTERN.replace("wording", "=cmd()|'x'!A1")},
    "lines": {"pattern": PATTERN.replace("wording", "wording\nroot,9,9,x,9")},
    "id": {"id": 7},
    "no id": {"id": None},
}
ROWS: tuple[Any, ...] = (
    None, 7, [], {}, {"account": "a"}, {"account": ["a"], "prompt": "x"}, {"account": "a", "prompt": ["x"]},
    {"account": "a", "prompt": {"x": 1}}, {"account": "a", "prompt": "x", "system": 7}, {"account": {}},
    {"account": "a", "prompt": "x", "time": 1_700_000_000}, {"account": True, "prompt": "x"},
)  # fmt: skip
LINES = ("", "{", "[" * 50_000, '{"a":' * 50_000, "\0", "\x1b[2J", "nan", "9" * 5_000, '"\\ud800"')


def told_of(path: Path, text: str, more: Sequence[dict[str, Any]] = ()) -> None:
    """A sealed file with one text's marks and any other content that its sender chooses."""
    pattern = (
        "[x-stillwatch-mark:kind = '{}' AND x-stillwatch-mark:key = '{}' AND x-stillwatch-mark:value = '{}']"
    )
    found = [(kind, value) for kind, values in matcher.marks_of(KEYS, text).items() for value in values]
    objects = [
        {
            "type": "indicator", "id": f"indicator--{k:08x}-0000-4000-8000-000000000000",
            "pattern": pattern.format(kind, KEY.fingerprint, value), "valid_from": "2026-03-01T00:00:00.000Z",
        }
        | (more[k] if k < len(more) else {})
        for k, (kind, value) in enumerate([*([("wording", "0" * 8)] * len(more)), *found])
    ]  # fmt: skip
    sender = {"type": "identity", "id": "identity--00000000-0000-4000-8000-000000000000", "name": "Alpha"}
    path.write_text(json.dumps(sealed_bundle([*objects, sender], KEY.sealing, KEY.fingerprint)))


@pytest.mark.slow
@pytest.mark.parametrize("evil", EVIL)
def test_a_partner_who_holds_the_key_stops_no_matcher(tmp_path: Path, evil: str) -> None:
    """Any sealed content is refused in a sentence, or ignored, without delay."""
    (tmp_path / "key").write_text(RAW.hex())
    log = tmp_path / "log.jsonl"
    log.write_text(2 * (json.dumps({"account": "a", "prompt": OWN_TEXT}) + "\n"))
    told_of(tmp_path / "told.json", OWN_TEXT)
    assert [row["account"] for row in match(tmp_path, log)[1]] == ["a"]
    try:
        told_of(tmp_path / "told.json", OWN_TEXT, [EVIL[evil]])
    except (TypeError, ValueError, AttributeError):
        data = json.loads((tmp_path / "told.json").read_text())
        data["objects"][0] |= EVIL[evil]
        (tmp_path / "told.json").write_text(json.dumps(data))
    begun = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    code, found, said = match(tmp_path, log)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - begun < 5
    assert "Traceback" not in said
    assert code in (0, 1)
    assert [row["account"] for row in found] in ([], ["a"])
    assert (tmp_path / "told.json").stat().st_size < 8 << 20
    (tmp_path / "told.json").write_bytes(b" " * (8 << 20) + b"{}")
    assert "larger than 8 MB" in match(tmp_path, log)[2]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_no_row_of_a_customer_hides_another(tmp_path: Path, ending: str) -> None:
    """A thief whose input confuses a log reader is still found."""
    (tmp_path / "key").write_text(RAW.hex())
    told_of(tmp_path / "told.json", OWN_TEXT)
    log = tmp_path / f"log.{ending}"
    if ending == "jsonl":
        rows = [json.dumps({"account": "thief", "prompt": OWN_TEXT})] * 2
        data = "\n".join([*map(json.dumps, ROWS), *LINES, *rows]).encode("utf-8") + b"\n\xff\xfe{}\n"
    else:
        odd = ['a,"' + "x" * 200_000 + '"', "a,x\0y", "a", "a,b,c,d,e", ",", 'a,"b\nc"']
        data = "\n".join(["account,prompt", *odd, *[f"thief,{OWN_TEXT}"] * 2]).encode() + b"\n\xff,\xfe\n"
    log.write_bytes(data)
    code, found, said = match(tmp_path, log)
    assert (code, [row["account"] for row in found]) == (0, ["thief"]), said
    assert ("not searched" in said) == (ending == "jsonl")


# --- an export ---


@pytest.fixture(scope="module")
def alpha(tmp_path_factory: pytest.TempPathFactory) -> Provider:
    return provider(tmp_path_factory.mktemp("alpha"), "alpha", 1)


@pytest.fixture(scope="module")
def beta(tmp_path_factory: pytest.TempPathFactory) -> Provider:
    return provider(tmp_path_factory.mktemp("beta"), "beta", 2, begin_day=7.0)


@pytest.fixture
def folder(tmp_path: Path, alpha: Provider) -> Path:
    """A folder with one case of the pool, and an exchange key."""
    with Store(f"sqlite:///{tmp_path / 'cases.db'}") as store:
        attach(store, tmp_path / "audit.key")
        fold(store, result(campaign("sw-1", alpha.pool)), NOW_US, "scan")
    (tmp_path / "key").write_text(RAW.hex())
    (tmp_path / "key").chmod(0o600)
    return tmp_path


def export(folder: Path, log: Path, *more: object, code: int = 0) -> str:
    """Export the one case; return the output."""
    out = folder / "told.json"
    out.unlink(missing_ok=True)
    words = ["indicators", "export", "case-", log, "--folder", folder, "--exchange-key", folder / "key",
             "--sender", "Alpha", "--out", out, "--yes", *more]  # fmt: skip
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    assert out.exists() == (code == 0)
    return done.stderr


def match(folder: Path, log: Path, *more: str) -> tuple[int, list[dict[str, str]], str]:
    """Run the program itself, outside this package."""
    copy = folder / "elsewhere" / "matcher.py"
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(matcher.__file__, copy)
    words = [
        sys.executable,
        "-I",
        str(copy),
        str(folder / "told.json"),
        str(log),
        "--key",
        str(folder / "key"),
    ]
    done = subprocess.run([*words, *more], capture_output=True, text=True)
    return done.returncode, list(csv.DictReader(done.stdout.splitlines())), done.stderr


@pytest.mark.slow
def test_a_partner_with_the_matcher_finds_whom_stillwatch_finds(
    folder: Path, alpha: Provider, beta: Provider
) -> None:
    export(folder, alpha.log, "--tlp", "amber", "--unjudged", "urgent")
    rows = beta.table.select(["account", "prompt", "system", "time"]).to_pylist()
    lines = folder / "log.jsonl"
    lines.write_text("".join(json.dumps(row | {"time": row["time"].isoformat()}) + "\n" for row in rows))
    with (folder / "log.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(("who", "asked", "system"))
        out.writerows((row["account"], row["prompt"], row["system"]) for row in rows)
    code, found, _ = match(folder, lines)
    assert (code, {row["account"] for row in found}) == (0, set(beta.pool))
    named = ("--map", "account=who", "--map", "prompt=asked")
    again = match(folder, folder / "log.csv", *named)[1]
    assert [(row["account"], row["rows"]) for row in again] == [
        (row["account"], row["rows"]) for row in found
    ]
    took = [
        "indicators",
        "import",
        folder / "told.json",
        beta.log,
        "--exchange-key",
        folder / "key",
        "--json",
    ]
    theirs = json.loads(CliRunner().invoke(app, [str(word) for word in took]).stdout)[0]["carriers"]
    assert {row["account"]: int(row["rows"]) for row in found} == {
        c["account"]: c["exchanges"] for c in theirs
    }
    assert {row["account"] for row in found if int(row["rows_before"])} == {
        c["account"] for c in theirs if c["before"]
    }
    told = (folder / "told.json").read_text()
    (folder / "told.json").write_text(told.replace('"confidence": 100', '"confidence": 99', 1))
    assert "not sealed with this key" in match(folder, lines)[2]
    assert match(folder, lines, "--unsealed")[0] == 0


@pytest.mark.slow
def test_every_form_of_export_keeps_to_the_profile(folder: Path, alpha: Provider) -> None:
    check = jsonschema.Draft202012Validator(json.loads((HERE / "profile.json").read_text("utf-8")))
    everything = (
        "--plain",
        "network",
        "--plain",
        "account",
        "--accounts",
        alpha.accounts,
        "--hashed-accounts",
    )
    for tlp, more in (("green", ()), ("amber+strict", everything)):
        export(folder, alpha.log, "--tlp", tlp, "--unjudged", "urgent", *more)
        told = json.loads((folder / "told.json").read_text())
        check.validate(told)
        stix2.parse(json.dumps(told), allow_custom=False)
        for wrong in ({"pattern": "[x:y = 'z']"}, {"prompt": "Solve"}, {"object_marking_refs": []}):
            (one, *_) = (o for o in told["objects"] if o["type"] == "indicator")
            broken = json.loads(json.dumps(told).replace(json.dumps(one), json.dumps(one | wrong)))
            assert not check.is_valid(broken), wrong


@pytest.mark.slow
def test_names_leave_only_by_consent_and_to_one_partner(folder: Path, alpha: Provider) -> None:
    account = ("--plain", "account", "--unjudged", "urgent")
    assert "give --tlp amber+strict" in export(folder, alpha.log, "--tlp", "amber", *account, code=2)
    with Store(f"sqlite:///{folder / 'cases.db'}") as store:
        case = only(store)
        handling.judge_accounts(
            store, case, alpha.pool[:2], Verdict.VICTIM, who="ann", why="stolen", now_us=NOW_US
        )
    said = export(folder, alpha.log, "--tlp", "amber+strict", *account)
    assert "IN PLAIN, names of accounts: 10" in said
    assert "names of accounts: as they are" in said
    told = (folder / "told.json").read_text()
    assert [name in told for name in alpha.pool] == [False, False, *[True] * 10]
    assert "IN PLAIN" not in export(folder, alpha.log, "--tlp", "amber", "--unjudged", "urgent")


@pytest.mark.slow
def test_an_unjudged_case_leaves_only_with_a_reason_on_the_trail(folder: Path, alpha: Provider) -> None:
    url = f"sqlite:///{folder / 'cases.db'}"
    assert "nobody has judged case" in export(folder, alpha.log, "--tlp", "amber", code=2)
    export(folder, alpha.log, "--tlp", "amber", "--unjudged", "it goes on at this hour")
    with Store(url) as store:
        attach(store, folder / "audit.key")
        case, by = only(store), {"who": "ann", "why": "looked", "now_us": NOW_US}
        last = reading.acts(store, case)[-1]
        assert (last.verb, last.text, last.sets["unjudged"]) == ("export", "it goes on at this hour", True)
        with store.reading() as db:
            assert next(r for r in read(db, subject=case) if r.what == "case.export").detail["unjudged"]
        handling.judge(store, case, Verdict.SUSPICIOUS, **by)
    assert "nobody has judged" in export(folder, alpha.log, "--tlp", "amber", code=2)
    with Store(url) as store:
        attach(store, folder / "audit.key")
        handling.judge(store, case, Verdict.FALSE, **by)
    for more in ((), ("--unjudged", "but")):
        assert "nothing of it goes to a partner" in export(folder, alpha.log, "--tlp", "amber", *more, code=2)
    with Store(url) as store:
        attach(store, folder / "audit.key")
        handling.judge(store, case, Verdict.TRUE, **by)
    export(folder, alpha.log, "--tlp", "amber")
    with Store(url) as store:
        assert "unjudged" not in reading.acts(store, case)[-1].sets


@pytest.mark.slow
def test_misp_reads_marks_as_objects_of_their_template(folder: Path, alpha: Provider) -> None:
    more = ("--plain", "network", "--plain", "email-domain", "--plain", "account",
            "--accounts", alpha.accounts, "--misp")  # fmt: skip
    export(folder, alpha.log, "--tlp", "amber+strict", "--unjudged", "urgent", *more)
    told = json.loads((folder / "told.json").read_text())
    objects = [one for one in told["objects"] if one["type"] == "x-misp-object"]
    known = json.loads((HERE / "misp-object.json").read_text("utf-8"))
    assert {one["x_misp_name"] for one in objects} == {known["name"]}
    for one in objects:
        names = {a["object_relation"] for a in one["x_misp_attributes"]}
        assert set(known["required"]) <= names <= set(known["attributes"])
    # in a separate process: its imports leave hooks behind that cause warnings later
    read = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MISP_READER, folder / "told.json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert read.returncode == 0, read.stderr
    assert json.loads(read.stdout) == [len(objects), 2 + len(alpha.pool), False]


def test_nothing_of_the_machine_is_in_what_leaves(tmp_path: Path) -> None:
    log = tmp_path / "secret-folder" / "log.jsonl"
    log.parent.mkdir()
    log.write_text("{}\n")
    assert [one.name for one in inputs_of([log])] == ["log.jsonl"]
    assert platform.release() not in json.dumps(environment(NOW_US))


def test_the_files_for_a_partner_are_written(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["indicators", "profile", "--out", str(tmp_path / "for-partner")])
    assert done.exit_code == 0
    for name in ("profile.json", "vectors.json", "matcher.py", "misp-object.json"):
        assert (tmp_path / "for-partner" / name).read_bytes() == (HERE / name).read_bytes()
    (tmp_path / "file").touch()
    assert (
        CliRunner().invoke(app, ["indicators", "profile", "--out", str(tmp_path / "file" / "x")]).exit_code
        == 2
    )
