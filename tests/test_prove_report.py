"""The page for counsel states what its bundle states: an owner who signs other words is detected."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from bundle_world import oldest_python
from stillwatch.prove import bundle, checker, report
from test_prove_seal import RELEASED, World
from test_prove_verdict import FOUND, LEAD, NASTY, RANK, signed


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Any]:
    """A sealed test that ends in *trained*."""
    world = World(tmp_path_factory.mktemp("report"))
    sealed = world.seal()
    return world, world.test(sealed, world.suspect("crew-1"), (world.word(sealed),))


@pytest.fixture(scope="module")
def whole(made: tuple[World, Any]) -> Mapping[str, bytes]:
    """The files of the test's bundle, for a reader who accepts what it names."""
    return MappingProxyType(files_of(made))


def files_of(made: tuple[World, Any], **trust: Any) -> dict[str, bytes]:
    world, came = made
    return bundle.make((came.evidence,), world.owner, None, None, world.read(came, world.trust(**trust)))


def check(world: World, files: Mapping[str, bytes], out: Path, *, given: bool = True) -> dict[str, Any]:
    place = bundle.write_files(out, files)
    trust = (None, world.witness.key, RELEASED) if given else ()
    return checker.check(place, world.owner.key, *trust)


def sign_anew(world: World, files: Mapping[str, bytes], told: dict[str, Any]) -> dict[str, bytes]:
    """The owner writes any text, adapts page and README, and signs all of it."""
    files = {name: data for name, data in files.items() if name != bundle.MANIFEST}
    files["verdict.json"] = json.dumps(told).encode()
    files["README.txt"] = report.readme(told).encode()
    files["report.html"] = checker.page_of(checker.FilesInMemory(files), world.owner.key)
    return files | {bundle.MANIFEST: bundle._manifest(files, told, world.owner)}


@pytest.mark.slow
def test_a_bundle_in_order_is_sound_with_its_page(
    made: tuple[World, Any], whole: Mapping[str, bytes], tmp_path: Path
) -> None:
    world, files = made[0], whole
    found = check(world, files, tmp_path / "b")
    assert found["sound"], found["wrong"]
    page = files["report.html"].decode()
    assert "index.html" not in files
    for said in (
        "was trained on answers served to crew-1", "intact", "signer verified", "claims recomputed",
        world.owner.key, f"the word of witness {world.witness.key}", f"released on {RELEASED}",
        "holds for a reader who grants", "Every p-value",
    ):  # fmt: skip
        assert said in page
    assert "acct-0" not in page


def test_who_grants_less_is_told_that_the_page_says_more(
    made: tuple[World, Any], whole: Mapping[str, bytes], tmp_path: Path
) -> None:
    found = check(made[0], whole, tmp_path / "b", given=False)
    assert not found["sound"]
    assert found["outcome"] == "owner_word"
    assert found["contradictions"] == []
    assert any("for a reader who grants what it names" in one for one in found["wrong"])


def test_a_page_for_a_sender_who_grants_nothing(made: tuple[World, Any], tmp_path: Path) -> None:
    files = files_of(made, witnesses=(), released=None)
    assert b"granted no third party" in files["report.html"]
    assert b"The owner&#39;s word: by its own test" in files["report.html"]
    assert check(made[0], files, tmp_path / "b", given=False)["contradictions"] == []


def row(told: dict[str, Any]) -> dict[str, Any]:
    one: dict[str, Any] = told["evidence"][0]["rows"][0]
    return one


@pytest.mark.parametrize(
    "edit",
    [
        lambda told: told.update(headline="A court has found acme-7b guilty."),
        lambda told: told.update(means="It proves theft."),
        lambda told: told.update(means_not=told["means_not"][1:]),
        lambda told: told.update(means_not=[]),
        lambda told: told.update(missing=["nothing"]),
        lambda told: told.update(suspect="acme-8b"),
        lambda told: told.update(sealed=None),
        lambda told: told["sealed"].update(sealed_at="2020-01-01T00:00:00Z"),
        lambda told: told["sealed"].update(by="the Supreme Court"),
        lambda told: told["sealed"].update(released="2030-01-01"),
        lambda told: told["sealed"].update(pairs=40_000),
        lambda told: told["sealed"].update(tests=1),
        lambda told: told["sealed"]["granted"].update(witnesses=[]),
        lambda told: told["sealed"]["granted"].update(witnesses=["ab" * 32]),
        lambda told: told["sealed"]["granted"].update(released="2026-05-01"),
        lambda told: told["sealed"]["granted"].update(stamp=True),
        lambda told: told["evidence"][0].update(method="double-blind trial"),
        lambda told: told["evidence"][0].update(claim="acme-7b stole"),
        lambda told: told["evidence"][0].update(null="none is needed"),
        lambda told: told["evidence"][0].update(unit="share of what was stolen"),
        lambda told: told["evidence"][0].update(means_not=[]),
        lambda told: told["evidence"][0].update(confounds=[]),
        lambda told: told["evidence"][0]["confounds"][0].update(found="audited", clear=True),
        lambda told: told["evidence"][0].update(power="Checked by a court."),
        lambda told: told["evidence"][0].update(powered=True),
        lambda told: told["evidence"][0].update(p_floor=1e-30),
        lambda told: told["evidence"][0].update(none_of_them=True),
        lambda told: told["evidence"][0].update(alpha=1e-30),
        lambda told: told["evidence"][0].update(protocol_sha256="ab" * 32),
        lambda told: told["evidence"][0].update(proof_sha256="ab" * 32),
        lambda told: row(told).update(effect_low=0.99),
        lambda told: row(told).update(effect_high=0.5),
        lambda told: row(told).update(effect=0.99),
        lambda told: row(told).update(n=4_000),
        lambda told: row(told).update(name="crew-2"),
        lambda told: row(told).update(p_adjusted=1e-30),
        lambda told: row(told).update(counts={"test": "binomial", "hits": 60, "n": 60, "share": 0.5}),
        lambda told: told.update(outcome="not_shown", headline="Not shown."),
        lambda told: told.update(protocol={"sha256": "ab"}),
        lambda told: told["evidence"].append(json.loads(json.dumps(told["evidence"][0]))),
    ],
)  # fmt: skip
def test_an_owner_who_signs_other_words_is_found_out(
    made: tuple[World, Any],
    whole: Mapping[str, bytes],
    tmp_path: Path,
    edit: Callable[[dict[str, Any]], Any],
) -> None:
    """It holds the key, and adapts page, README and manifest to its text."""
    told = json.loads(whole["verdict.json"])
    edit(told)
    try:
        forged = sign_anew(made[0], whole, told)
    except (KeyError, TypeError, ValueError):  # no page can be made of it: the old one is kept
        forged = {n: d for n, d in whole.items() if n != bundle.MANIFEST}
        forged["verdict.json"] = json.dumps(told).encode()
        forged[bundle.MANIFEST] = bundle._manifest(forged, told, made[0].owner)
    found = check(made[0], forged, tmp_path / "b")
    assert found["answers"]["intact"].startswith("yes")
    assert found["answers"]["signer verified"].startswith("yes")
    assert found["answers"]["claims recomputed"].startswith("NO"), found
    assert not found["sound"]


@pytest.mark.parametrize("name", ["report.html", "README.txt"])
@pytest.mark.parametrize(
    "edit",
    [
        lambda data: data.replace(b"No proof", b"Proof").replace(b"does not say", b"says"),
        lambda data: data + b"<p>Affirmed on appeal.</p>",
        lambda data: data[: len(data) // 2],
        lambda data: data + b" ",
        lambda data: b"",
    ],
)
def test_a_page_that_says_something_else_is_found(
    made: tuple[World, Any],
    whole: Mapping[str, bytes],
    tmp_path: Path,
    name: str,
    edit: Callable[[bytes], bytes],
) -> None:
    files = {n: d for n, d in whole.items() if n != bundle.MANIFEST}
    files[name] = edit(files[name])
    files[bundle.MANIFEST] = bundle._manifest(files, json.loads(files["verdict.json"]), made[0].owner)
    found = check(made[0], files, tmp_path / "b")
    assert not found["sound"]
    assert any(one.startswith(name) for one in found["contradictions"])


def test_a_second_page_is_found(made: tuple[World, Any], whole: Mapping[str, bytes], tmp_path: Path) -> None:
    """A page beside the reproduced one: it is no file of a bundle."""
    files = {n: d for n, d in whole.items() if n != bundle.MANIFEST}
    files["index.html"] = files["report.html"] + b"<p>Affirmed on appeal.</p>"
    files[bundle.MANIFEST] = bundle._manifest(files, json.loads(files["verdict.json"]), made[0].owner)
    found = check(made[0], files, tmp_path / "b")
    assert any(one.startswith("index.html") for one in found["contradictions"])


def test_what_nobody_can_compute_is_said_on_the_page(made: tuple[World, Any], tmp_path: Path) -> None:
    world = made[0]
    one = signed(world.owner)
    files = bundle.make((replace(FOUND, protocol_sha256=one.sha256), RANK, LEAD), world.owner, one)
    page = files["report.html"].decode()
    for said in ("are the sender’s word", "from 230 of 300, as stated", "a lead, which nobody can compute"):
        assert said in page
    found = check(world, files, tmp_path / "b", given=False)
    assert found["contradictions"] == []
    assert found["answers"]["claims recomputed"].startswith("NO")
    told = json.loads(files["verdict.json"])
    told["protocol"]["made_at"] = "2020-01-01T00:00:00Z"
    found = check(world, sign_anew(world, files, told), tmp_path / "c", given=False)
    assert any("protocol, in the verdict" in one for one in found["contradictions"])


def test_hostile_names_make_the_same_page_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    evidence = replace(FOUND, suspect=NASTY, method=NASTY, rows=(replace(FOUND.rows[0], name=NASTY),))
    files = bundle.make((evidence,), world.owner)
    assert check(world, files, tmp_path / "b", given=False)["contradictions"] == []


@pytest.mark.slow
@pytest.mark.parametrize("python", [sys.executable, oldest_python()])
def test_a_bare_python_makes_the_page_again(made: tuple[World, Any], tmp_path: Path, python: str) -> None:
    if python is None:
        pytest.skip("there is no Python 3.9 here")
    world = made[0]
    place = bundle.write_files(tmp_path / "b", files_of(made))
    words = ["--key", world.owner.key, "--witness", world.witness.key, "--released", RELEASED]
    told = subprocess.run(
        [python, "-I", "-S", str(place / "verify.py"), *words], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
