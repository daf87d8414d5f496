"""A verdict's bundle, mutated by a seed: always an answer, never a traceback, and never *sound* for more than
was proved. Seed 1 is a small part of all runs."""

import hashlib
import io
import json
import math
import py_compile
import random
import subprocess
import sys
import time
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import pytest

import bundle_world
from prove_mutants import mutant_of_bytes, mutant_of_json, mutant_of_zip
from stillwatch.prove import Grade, Row, bundle, checker, exact, report
from stillwatch.watermark import formula
from test_prove_report import row
from test_prove_seal import RELEASED, World
from test_prove_verdict import FOUND, LEAD, RANK, coin, signed

MOST_S = 10.0  # per check; most take 0.03 s
SENDERS = ("released", "stamp", "witnesses")  # in a proof: without trust, nothing follows from them


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("mutants"))


@pytest.fixture(scope="module")
def files(world: World) -> dict[str, bytes]:
    """A sealed test that ends in *trained*."""
    sealed = world.seal()
    came = world.test(sealed, world.suspect("crew-1"), (world.word(sealed),))
    return bundle.make((came.evidence,), world.owner, None, None, world.read(came))


@pytest.fixture(scope="module")
def stated(world: World) -> dict[str, bytes]:
    """One bundle of each other kind of evidence, a protocol, and the pairs of a mark."""
    key, draw = bytes(range(32)), random.Random(5)
    pairs = [((draw.randrange(999), k), draw.randrange(999)) for k in range(300)]
    p = exact.gamma_tail(sum(formula.score(key, *pair) for pair in pairs), len(pairs))
    mark = replace(FOUND, grade=Grade.MARK, rows=(Row("actor-a", 300, 0.1, None, None, p, p),))
    one = signed(world.owner, commitments=(formula.commitment(key),), units=("actor-a",))
    scored = {"kind": checker.SCORED, "actor": "actor-a", "key": key.hex(), "window": 2, "pairs": pairs}
    other = scored | {"weights": [1.0] * 300, "exponents": [2.0] * 300, "slope": 0.5}
    attached = {"a.json": json.dumps(scored).encode(), "b.json": json.dumps(other).encode()}
    evidence = (replace(mark, protocol_sha256=one.sha256), coin({"actor-b": 160}), RANK, LEAD)
    return bundle.make(evidence, world.owner, one, attached)


def told_by(world: World, place: Path) -> tuple[int, dict[str, Any]]:
    """Return the checker's exit code for a bundle, and its answer if there is one."""
    said, wrong, begun = io.StringIO(), io.StringIO(), time.process_time()
    words = ["--key", world.owner.key, "--witness", world.witness.key, "--released", RELEASED]
    with redirect_stdout(said), redirect_stderr(wrong):
        code = checker.main([str(place), "--json", *words])
    assert time.process_time() - begun < MOST_S
    assert code in (0, 1, 2)
    return code, json.loads(said.getvalue()) if code < 2 else {"answers": {"intact": wrong.getvalue()}}


def signed_anew(world: World, files: dict[str, bytes], name: str, data: bytes) -> dict[str, bytes]:
    """What a sender with the key can make: page, README and manifest that match the changed file."""
    made = {n: d for n, d in files.items() if n != bundle.MANIFEST} | {name: data}
    if name == checker.PROOF:
        digests = [hashlib.sha256(one).hexdigest().encode() for one in (files[name], data)]
        made["verdict.json"] = made["verdict.json"].replace(*digests)
    told = json.loads(files["verdict.json"])
    try:
        told = json.loads(made["verdict.json"])
        made["README.txt"] = report.readme(told).encode("utf-8", "backslashreplace")
        made["report.html"] = checker.page_of(checker.FilesInMemory(made), world.owner.key)
        manifest = bundle._manifest(made, told, world.owner)
    except checker.CANNOT:  # no page can be made of it: the old one is kept
        manifest = bundle._manifest(made, json.loads(files["verdict.json"]), world.owner)
    return made | {bundle.MANIFEST: manifest}


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def claimed(name: str, data: bytes) -> Any:
    """Return the claims in a file: of a proof all except the accuser's own record of what it received."""
    told = json.loads(data)
    if name == checker.PROOF:
        told["records"].sort(key=lambda one: one["leaf"])
        told["naming"].pop("stamp", None)
        told = {key: value for key, value in told.items() if key[:8] != "measured" and key not in SENDERS}
    return json.dumps(told, sort_keys=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["verdict.json", "proof.json"])
def test_a_mutant_that_its_owner_signs_is_never_sound_for_more(
    world: World, files: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    for k in range(60):
        data = mutant_of_json(files[name], random.Random(f"1 {name} {k}"))
        code, found = told_by(world, written(tmp_path, signed_anew(world, files, name, data)))
        if code == 0:
            assert claimed(name, data) == claimed(name, files[name]), k
            assert found["outcome"] == "trained"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["verdict.json", "attached/a.json", "attached/b.json", "protocol.dsse.json"])
def test_no_mutant_of_what_is_stated_breaks_the_checker(
    world: World, stated: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    for k in range(40):
        data = mutant_of_json(stated[name], random.Random(f"1 {name} {k}"))
        code, found = told_by(world, written(tmp_path, signed_anew(world, stated, name, data)))
        assert code == 1, (k, found["answers"])
        assert found["outcome"] != "trained"


@pytest.mark.slow
def test_a_mutant_of_anybody_else_is_never_intact(
    world: World, files: dict[str, bytes], tmp_path: Path
) -> None:
    for k in range(60):
        draw = random.Random(f"1 bytes {k}")
        name = draw.choice(sorted(files))
        by_value = name.endswith(".json") and draw.random() < 0.5
        data = (mutant_of_json if by_value else mutant_of_bytes)(files[name], draw)
        if data != files[name]:
            _, found = told_by(world, written(tmp_path, files | {name: data}))
            assert not found["answers"]["intact"].startswith("yes"), (k, name)


@pytest.mark.slow
def test_a_zip_that_is_changed_is_refused_or_holds_the_same_files(
    world: World, files: dict[str, bytes], tmp_path: Path
) -> None:
    whole = bundle.write(files, tmp_path / "b.zip").path.read_bytes()
    for k in range(60):
        place = tmp_path / "mutant.zip"
        place.write_bytes(mutant_of_zip(whole, random.Random(f"1 zip {k}")))
        code, _ = told_by(world, place)
        if code == 0:
            opened = checker.envelope.Bundle(place)
            assert {name: opened.read(name) for name in opened.names} == files, k


@pytest.mark.slow
@pytest.mark.parametrize("packed", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_that_is_packed_otherwise_is_refused(
    world: World, files: dict[str, bytes], tmp_path: Path, packed: int
) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", packed) as out:
        for name, data in files.items():
            out.writestr(f"b/{name}", data)
    assert told_by(world, tmp_path / "b.zip")[0] == 2


# --- errors found by mutants ---


@pytest.mark.slow
def test_a_second_row_of_one_name_convicts_nobody(
    world: World, files: dict[str, bytes], tmp_path: Path
) -> None:
    """An innocent's true row last, an invented one before it: once, only the last was checked."""
    sealed = world.seal()
    came = world.test(sealed, world.suspect(name="innocent"), (world.word(sealed),), ("crew-1",))
    true = bundle.make((came.evidence,), world.owner, None, None, world.read(came))
    told = json.loads(true["verdict.json"])
    assert told["outcome"] == "indeterminate"
    told["evidence"][0] |= {"power": "", "powered": False}
    told["evidence"][0]["rows"].insert(0, row(told) | {"p_value": 1e-30, "p_adjusted": 1e-29, "effect": 1.0})
    told |= {"outcome": "trained"} | report.words("trained", told["evidence"], ())
    forged = signed_anew(world, true, "verdict.json", json.dumps(told).encode())
    code, found = told_by(world, written(tmp_path, forged))
    assert (code, found["outcome"]) == (1, "nothing")
    assert any("two rows have one name" in one for one in found["wrong"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["verdict", "case"])
def test_compiled_code_beside_the_checker_is_not_run(
    world: World, files: dict[str, bytes], tmp_path: Path, kind: str
) -> None:
    """Python loads __pycache__/answers.*.pyc before answers.py, and no manifest names it."""
    place = tmp_path / "b"
    if kind == "case":
        place = bundle_world.make(tmp_path).bundle
    else:
        bundle.write(files, place)
    planted = tmp_path / "planted.py"
    planted.write_text("def main(*_): print('VERDICT: SOUND')\ndef report(*_): return {}")
    pyc = Path(cache_from_source(str(place / "answers.py")))
    py_compile.compile(
        str(planted), str(pyc), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    (place / "README.txt").write_text("Another text.")
    words = [sys.executable, "-I", "-S", str(place / "verify.py")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert "README.txt: is not the file that was signed" in done.stdout
    (pyc.parent / "letter.html").write_text("Affirmed on appeal.")  # the folder contains no hidden file
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "__pycache__/letter.html: is not in the manifest" in done.stdout


@pytest.mark.parametrize("n", [10**10, 10**17, 10**30, 10**400])
@pytest.mark.parametrize("test", ["binomial", "gamma", "rank"])
def test_counts_that_no_test_has_are_refused_at_once(test: str, n: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        exact.p_of(test, n // 2, n, 0.5)


@pytest.mark.parametrize(
    ("slope", "weight", "exponent"),
    [(-0.5, 1.0, 2.0), (0.0, 1.0, 2.0), (math.inf, 1.0, 2.0), (math.nan, 1.0, 2.0), (0.5, 1e18, 2.0),
     (0.5, math.nan, 2.0), (0.5, 1.0, -2.0), (0.5, 1.0, 0.0), (0.5, 1.0, math.inf)],
)  # fmt: skip
def test_no_bound_comes_of_what_is_no_bound(slope: float, weight: float, exponent: float) -> None:
    """A negative slope bounds the other tail, and gave any text a p-value as small as its owner wished."""
    with pytest.raises(ValueError, match="no bound"):
        exact.matched_tail(-50.0, [weight] * 300, [exponent] * 300, slope)


@pytest.mark.slow
def test_a_terminal_without_the_letters_gets_an_answer(
    world: World, files: dict[str, bytes], tmp_path: Path
) -> None:
    bundle.write(files, tmp_path / "b")
    words = [sys.executable, "-I", "-S", "-X", "utf8=0", str(tmp_path / "b" / "verify.py")]
    env = {"PATH": "/usr/bin", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    assert "VERDICT: NOT ESTABLISHED" in done.stdout
    assert done.stderr == ""
