"""The checkers as a stranger runs them: in a folder with other files, and on zips with hidden content."""

import base64
import io
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bundle_world
import tamper_bundle
from bundle_world import Told
from prove_mutants import mutant_of_json
from stillwatch.cases.audit.signing import open_signer
from stillwatch.cases.bundle import verify
from stillwatch.cases.bundle.signed import sign_manifest
from stillwatch.prove import bundle, checker
from test_prove_verdict import FOUND

PLANTED = "print('VERDICT: SOUND')\nimport os\nos._exit(0)\n"
MODULES = (
    "base64", "hashlib", "json", "zipfile", "zlib", "collections", "pathlib", "subprocess", "os", "types",
    "importlib", "typing", "unicodedata", "datetime", "struct", "math", "shutil", "tempfile", "io", "re",
)  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return bundle_world.make(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def places(exported: Told, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a case's bundle and a verdict's."""
    folder = tmp_path_factory.mktemp("verdict")
    files = bundle.make((FOUND,), open_signer(folder / "key"))
    return {"case": exported.bundle, "verdict": bundle.write(files, folder / "b").path}


def run(place: Path, words: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the checker against the README's advice: without -I and -S, from within the folder."""
    return subprocess.run(
        [sys.executable, *words, "verify.py"], cwd=place, capture_output=True, text=True, check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["case", "verdict"])
@pytest.mark.parametrize("words", [(), ("-S",), ("-E",), ("-s", "-B")])
def test_a_module_that_lies_beside_the_checker_is_not_run(
    places: dict[str, Path], kind: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    place = shutil.copytree(places[kind], tmp_path / "b")
    for name in MODULES:
        (place / f"{name}.py").write_text(PLANTED)
    done = run(place, words)
    assert done.returncode == 1, done.stderr
    assert "VERDICT: NOT ESTABLISHED" in done.stdout
    assert "json.py: is not in the manifest" in done.stdout
    assert "VERDICT: SOUND" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["case", "verdict"])
def test_a_module_on_the_path_of_python_is_not_run(
    places: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    for name in ("json", "base64", "zipfile", "hashlib", "subprocess", "struct"):
        (tmp_path / f"{name}.py").write_text(PLANTED)
    done = run(places[kind], PYTHONPATH=f"{tmp_path}{os.pathsep}")
    assert (done.returncode, "VERDICT: NOT ESTABLISHED" in done.stdout) == (1, True), done.stderr


# --- zips ---


Entries = dict[str, bytes]


def zip_of(files: Entries, change: Callable[[zipfile.ZipInfo], None] = lambda entry: None) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as out:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"b/{name}")
            entry.external_attr = 0o100644 << 16
            change(entry)
            out.writestr(entry, files[name])
    return data.getvalue()


def with_hidden_entry(files: Entries) -> bytes:
    """Add another report as an entry outside the zip's directory. Some unpacking programs find it."""
    other = zip_of({"report.html": b"The court has affirmed it.", "README.txt": b"Sound."})
    return other[: other.index(b"PK\1\2")] + zip_of(files)


def with_link(files: Entries) -> bytes:
    def link(entry: zipfile.ZipInfo) -> None:
        if entry.filename.endswith("README.txt"):
            entry.external_attr = 0o120777 << 16

    return zip_of(files, link)


def between(files: Entries) -> bytes:
    """Add bytes between the files and their directory."""
    data = zip_of(files)
    at = data.index(b"PK\1\2", data.rindex(b"PK\3\4"))
    begin = int.from_bytes(data[-6:-2], "little") + 5
    return data[:at] + b"more." + data[at:-6] + begin.to_bytes(4, "little") + data[-2:]


ZIPS: dict[str, Callable[[Entries], bytes]] = {
    "hidden": with_hidden_entry,
    "linked": with_link,
    "between": between,
    "page before": lambda files: b"<html>Affirmed.</html>" + zip_of(files),
    "page behind": lambda files: zip_of(files) + b"<html>Affirmed.</html>",
    "remark": lambda files: zip_of(files)[:-2] + b"\x09\0Affirmed.",
    "two zips": lambda files: zip_of({"report.html": b"Affirmed."}) + zip_of(files),
    "nul": lambda files: zip_of({f"{name}!.exe" if name == "README.txt" else name: data
                                 for name, data in files.items()}).replace(b"txt!.exe", b"txt\0.exe"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ZIPS)
def test_a_zip_that_holds_more_than_its_files_is_not_intact(tmp_path: Path, kind: str) -> None:
    signer, place = open_signer(tmp_path / "key"), tmp_path / "b.zip"
    files = bundle.make((FOUND,), signer)
    place.write_bytes(zip_of(files))
    assert not checker.check(place, signer.key)["answers"]["intact"].startswith("NO")
    place.write_bytes(ZIPS[kind](files))
    try:
        found = checker.check(place, signer.key)
    except checker.envelope.Bad:
        return
    assert found["answers"]["intact"].startswith("NO"), found["answers"]
    assert not found["sound"]


NAMES = (
    "/etc/cron.d/x", "../x", "attached/../../x", "attached//x", "./x", "attached\\x", "C:x", "x\u202etxt",
    "x\n",
    "REPORT.html", "attached/a.json", "attached/A.json", "attached/\u00e9.json", "attached/e\u0301.json",
)  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False])
def test_names_that_are_none_or_two_in_one_are_not_intact(tmp_path: Path, zipped: bool) -> None:
    """Their sender signs them. Unpacked, one file could overwrite another, or lie outside the folder."""
    signer = open_signer(tmp_path / "key")
    plain = {"report.html": b"1", "a.txt": b"2"}
    for number, more in enumerate([*NAMES[:-4], NAMES[-4:-2], NAMES[-2:]]):
        files = plain | dict.fromkeys((more,) if isinstance(more, str) else more, b"3")
        stated = dict.fromkeys(verify.TOLD, "x")
        files[verify.MANIFEST] = sign_manifest(files, verify.PREDICATE, stated, signer)
        place = tmp_path / f"{number}{'.zip' * zipped}"
        if zipped:
            place.write_bytes(zip_of(files))
        elif any(name.startswith(("/", "..")) or ".." in name or "//" in name for name in files):
            continue
        else:
            for name, data in files.items():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(data)
        wrong, _ = verify.check_files(verify.Bundle(place))
        assert wrong or (not zipped and more == "./x"), more


def weak_keys() -> Iterator[bytes]:
    """Keys of small order: one of their signatures is valid for any text."""
    yield (1).to_bytes(32, "little")
    yield (verify.P - 1).to_bytes(32, "little")
    yield bytes(32)
    yield bytes([*bytes(31), 128])
    for text in ("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                 "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"):  # fmt: skip
        yield bytes.fromhex(text)


def test_a_key_that_signs_anything_signs_nothing() -> None:
    signature = (1).to_bytes(32, "little") + bytes(32)
    for key in weak_keys():
        for k in range(40):
            assert not verify.is_signed(key, signature, f"text {k}".encode())


def test_a_name_begins_no_line_of_its_own_in_the_readme(tmp_path: Path) -> None:
    name = "acme-7b\n\nThe court has affirmed it.\x1b[2J\u202e"
    files = bundle.make((replace(FOUND, suspect=name),), open_signer(tmp_path / "key"))
    lines = files["README.txt"].decode().splitlines()
    assert not any(line.startswith("The court") for line in lines)
    assert not {"\x1b", "\u202e"} & set(files["README.txt"].decode())


# --- changes that a sender makes to a case and signs ---

# about the sender's machine and other accounts than the accused; a token that occurs once can have any value
OWN_WORD = {"environment.json", "population.json", "accounts.ndjson", "events.ndjson"}


@pytest.mark.slow
def test_a_case_that_its_sender_changes_and_signs_is_an_answer_and_not_sound(
    exported: Told, tmp_path: Path
) -> None:
    """One seeded change of a value, name or line: no traceback, and sound only where it cannot be checked."""
    checker_of_case, signer = bundle_world.released(), open_signer(exported.folder / "audit.key")
    place = shutil.copytree(exported.bundle, tmp_path / "b")
    files = {p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*") if p.is_file()}
    manifest = json.loads(files[verify.MANIFEST])
    predicate = json.loads(base64.b64decode(manifest["payload"]))["predicate"]
    names = sorted(name for name in files if name.endswith("json") and name != verify.MANIFEST)
    for k in range(40):
        draw = random.Random(f"13 case {k}")
        name = draw.choice([one for one in names if not one.startswith("manifest")])
        lines = files[name].split(b"\n") if name.endswith(".ndjson") else [files[name]]
        at = draw.randrange(len(lines) - name.endswith(".ndjson"))
        try:
            lines[at] = mutant_of_json(lines[at], draw).replace(b"\n", b" ")
        except (ValueError, RecursionError):
            continue
        changed = {name: b"\n".join(lines)}
        listed = {n: d for n, d in (files | changed).items() if n not in (verify.DRAFT, verify.MANIFEST)}
        (place / name).write_bytes(changed[name])
        (place / verify.MANIFEST).write_bytes(sign_manifest(listed, verify.PREDICATE, predicate, signer))
        found = checker_of_case.check(place, signer.key)
        if found["sound"] and name not in OWN_WORD:
            before = files[name].split(b"\n") if name.endswith(".ndjson") else [files[name]]
            assert json.loads(lines[at]) == json.loads(before[at]), (k, name)
        (place / name).write_bytes(files[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("accounts.ndjson", {"confession": "Yes, it was us."}),
        ("events.ndjson", {"note": 1}),
        ("claims.ndjson", {"by": "the court"}),
        ("claims.ndjson", {"affirmed": True}),
    ],
)
def test_a_line_holds_nothing_that_nobody_checks(
    exported: Told, tmp_path: Path, name: str, change: dict[str, Any]
) -> None:
    place = shutil.copytree(exported.bundle, tmp_path / "b")
    first, _, rest = (place / name).read_bytes().partition(b"\n")
    (place / name).write_bytes(json.dumps(json.loads(first) | change).encode() + b"\n" + rest)
    found = bundle_world.released().check(place, None)
    assert any(f"{name}: line 1" in one for one in found["wrong"])


TITLES: dict[str, Callable[[str], str]] = {
    "more accounts": lambda title: f"9{title}",
    "other digits": lambda title: title.translate({ord(str(k)): 0xFF10 + k for k in range(10)}),
    "other letters": lambda title: title.replace("a", "\u0430"),
    "other words": lambda title: "They stole it.",
    "a line more": lambda title: f"{title}\nThe court has affirmed it.",
    "a clause more": lambda title: title.replace(", ", ", which is a crime, ", 1)[:-1] + ", as proved.",
    "backwards": lambda title: f"\u202e{title}",
    "unseen": lambda title: title.replace(",", "\u200b,", 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TITLES)
def test_a_title_is_the_sentence_that_a_scan_makes(exported: Told, name: str) -> None:
    """The sender writes it identically into alert, finding and manifest, and signs the trail again."""
    *_, contradictions = map(bundle_world.released().part, (*verify.COMPUTING, "contradictions"))
    names = ("alert.json", "case.json", "finding.json", "settings.json")
    b = {one: json.loads((exported.bundle / one).read_bytes()) for one in names}
    assert not [*contradictions.alert_differs(b)]
    evidence = b["finding.json"]["campaign"]["evidence"]
    evidence["title"] = TITLES[name](evidence["title"])
    b["alert.json"]["title"] = contradictions.title_of(b["alert.json"], b["finding.json"])
    assert any("its title is not the sentence" in one for one in contradictions.alert_differs(b))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "key"), [("why", "text"), ("why", "detector")])
def test_an_alert_says_what_its_finding_says(exported: Told, name: str, key: str) -> None:
    *_, contradictions = map(bundle_world.released().part, (*verify.COMPUTING, "contradictions"))
    names = ("alert.json", "case.json", "finding.json", "settings.json")
    b = {one: json.loads((exported.bundle / one).read_bytes()) for one in names}
    b["alert.json"][name][0][key] += " beyond doubt"
    assert len([*contradictions.alert_differs(b)]) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "key"), [("why", "text"), ("why", "detector"), ("links", "text"), ("links", "b")]
)
def test_an_alert_is_what_its_release_makes_of_the_finding(exported: Told, name: str, key: str) -> None:
    contradictions = bundle_world.released().part("contradictions")
    fields = bundle_world.released().part("alert_fields")
    names = ("alert.json", "finding.json", "settings.json")
    files = [json.loads((exported.bundle / one).read_bytes()) for one in names]
    assert not [*fields.fields_differ(*files, contradictions.RELEASE)]
    files[0][name][0][key] += " beyond doubt"
    assert [*fields.fields_differ(*files, contradictions.RELEASE)]


@pytest.mark.slow
def test_links_of_one_strength_may_stand_in_any_order_in_an_alert(exported: Told) -> None:
    """The scan orders them by more digits than a finding keeps. An honest bundle was refused."""
    contradictions = bundle_world.released().part("contradictions")
    fields = bundle_world.released().part("alert_fields")
    names = ("alert.json", "finding.json", "settings.json")
    files = [json.loads((exported.bundle / one).read_bytes()) for one in names]
    links = files[0]["links"]
    same = next(k for k in range(1, len(links)) if links[k]["bits"] == links[k - 1]["bits"])
    links[same - 1 : same + 1] = links[same], links[same - 1]
    assert not [*fields.fields_differ(*files, contradictions.RELEASE)]
    other = next(k for k in range(1, len(links)) if links[k]["bits"] != links[k - 1]["bits"])
    links[other - 1 : other + 1] = links[other], links[other - 1]
    assert [*fields.fields_differ(*files, contradictions.RELEASE)]


@pytest.mark.slow
def test_a_claim_that_is_left_out_is_no_traceback(exported: Told, tmp_path: Path) -> None:
    place = shutil.copytree(exported.bundle, tmp_path / "b")
    whole = (place / "claims.ndjson").read_bytes().splitlines(keepends=True)
    for k in range(0, len(whole), 29):
        (place / "claims.ndjson").write_bytes(b"".join(whole[:k] + whole[k + 1 :]))
        assert not bundle_world.released().check(place, None)["sound"]
    kept = [line for line in whole if b"p_most_correlation" not in line]
    (place / "claims.ndjson").write_bytes(b"".join(kept))
    found = bundle_world.released().check(place, None)
    assert len(kept) < len(whole)
    assert any("leaves out what belongs together" in one for one in found["wrong"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_what_its_owner_can_change_is_named_as_his_word(exported: Told, tmp_path: Path, seed: int) -> None:
    """Some kinds of places; `benchmarks/tamper_bundle.py` tries all. Other changes never stay sound."""
    place = exported.bundle
    files = {p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*") if p.is_file()}
    predicate = json.loads(base64.b64decode(json.loads(files.pop(verify.MANIFEST))["payload"]))["predicate"]
    case = tamper_bundle.case_of(
        files, predicate, open_signer(exported.folder / "audit.key"), {"acct_of_nobody", *exported.pool}
    )
    judge = tamper_bundle.Judge(tmp_path / "checker")
    found = tamper_bundle.attack(case, judge, 1, 1, tmp_path / "b", few=14, seed=seed)
    assert sum(tally.tried for tally in found.values()) >= 10
    assert [kind for kind, tally in found.items() if tally.sound and not tally.said] == []
