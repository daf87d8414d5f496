"""Verdicts: the ceiling, evidence on disk, protocols, the page and the bundle with its checker."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from stillwatch.cases.audit.signing import TrailSigner, new_signer, open_signer
from stillwatch.cli.main import app
from stillwatch.prove import (
    Checked,
    Counts,
    Evidence,
    Grade,
    Outcome,
    ProveError,
    Row,
    bundle,
    checker,
    evidence_json,
    exact,
    outcome,
)
from stillwatch.prove import protocol as protocols
from stillwatch.prove.protocol import Protocol, Signed
from stillwatch.prove.verdict import headline, write_verdict

NASTY = "<script>alert(1)</script>\u202e\x1b[2J\x00 \ud800 {{ 7*7 }} \"'"
ACTORS = ("actor-a", "actor-b")


def protocol(**other: Any) -> Protocol:
    made = Protocol(
        method="coin, sign test",
        suspect="acme-7b",
        claim="acme-7b prefers the served of two answers",
        statistic="share of coins at which the served answer is likelier",
        null="the coin does not depend on how the suspect was trained",
        alpha=1e-3,
        units=ACTORS,
        prompts=2,
        prompts_sha256=protocols.prompts_digest(["one", "two"]),
        made_at="2026-11-26T01:00:00Z",
        effect=0.1,
    )
    return replace(made, **other)


def coin(hits: dict[str, int], n: int = 300, **other: Any) -> Evidence:
    p = [exact.binomial_tail(k, n, 0.5) for k in hits.values()]
    rows = tuple(
        Row(name, n, k / n - 0.5, k / n - 0.56, k / n - 0.44, one, adjusted, Counts("binomial", k, n, 0.5))
        for (name, k), one, adjusted in zip(hits.items(), p, exact.holm(p), strict=True)
    )
    made = Evidence(
        grade=Grade.COIN,
        method="coin, sign test",
        suspect="acme-7b",
        claim="acme-7b prefers the served of two answers",
        null="the coin does not depend on how the suspect was trained",
        alpha=1e-3,
        unit="share above a half",
        rows=rows,
        confounds=(Checked("a base model", "subtracted", True), Checked("a leak", "not looked for", False)),
        means_not=("It does not say how they came by them.",),
    )
    return replace(made, **other)


FOUND = coin({"actor-a": 230, "actor-b": 152})
LEAD = Evidence(
    Grade.LEAD,
    "rare n-grams",
    "acme-7b",
    "is alike",
    "",
    0.05,
    "score",
    (Row("x", 9, 9e9, None, None, None, None),),
)
RANK = Evidence(
    Grade.RANK,
    "conformal",
    "acme-7b",
    "is alike",
    "exchangeable with the innocents",
    0.05,
    "similarity",
    (Row("teacher-x", 99, 1.4, None, None, 0.01, 0.02, Counts("rank", 0, 99)),),
    p_floor=0.01,
)


def signed(signer: TrailSigner, **other: Any) -> Signed:
    return protocols.sign(protocol(**other), signer)


# --- exact p-values, beside SciPy ---


@given(st.integers(1, 3000), st.floats(0, 1), st.floats(0.01, 0.99))
def test_binomial_beside_scipy(n: int, at: float, share: float) -> None:
    hits = round(at * n)
    ours, theirs = exact.binomial_tail(hits, n, share), float(stats.binom.sf(hits - 1, n, share))
    assert ours == pytest.approx(max(theirs, exact.LEAST), rel=1e-7) or theirs < 1e-290


@given(st.integers(1, 5000), st.floats(0.01, 3))
def test_gamma_beside_scipy(n: int, at: float) -> None:
    ours, theirs = exact.gamma_tail(at * n, n), float(stats.gamma.sf(at * n, n))
    assert ours == pytest.approx(max(theirs, exact.LEAST), rel=1e-6) or theirs < 1e-290


@given(st.lists(st.floats(1e-12, 1), min_size=1, max_size=12))
def test_holm_by_hand(p: list[float]) -> None:
    got, order = exact.holm(p), sorted(p)
    for one, adjusted in zip(p, got, strict=True):
        place = max(i for i, q in enumerate(order) if q <= one)
        assert adjusted == pytest.approx(min(1, max((len(p) - i) * order[i] for i in range(place + 1))))


@pytest.mark.parametrize(
    "wrong",
    [
        ("gamma", 1.0, 0, 0.5),
        ("binomial", 5, 4, 0.5),
        ("rank", 1.5, 4, 0.5),
        ("t", 1, 4, 0.5),
        ("gamma", float("nan"), 2, 0.5),
        ("binomial", 1, 4, 1.0),
    ],
)
def test_counts_that_cannot_be(wrong: tuple[str, float, int, float]) -> None:
    with pytest.raises(ValueError, match=r"of|known|share"):
        exact.p_of(*wrong)


# --- the ceiling ---


def test_a_lead_moves_nothing() -> None:
    assert outcome((LEAD,)) is Outcome.INDETERMINATE
    assert outcome((LEAD, RANK)) is Outcome.CONSISTENT
    assert outcome((LEAD, RANK, FOUND)) is Outcome.OWNER_WORD  # nobody else can compute it
    sealed = replace(FOUND, proof_sha256="p")
    assert outcome((sealed,), ()) is Outcome.OWNER_WORD
    assert outcome((sealed, FOUND), ("p",)) is Outcome.TRAINED
    assert outcome((replace(sealed, grade=Grade.MARK),), ("p",)) is Outcome.OWNER_WORD
    assert outcome((replace(FOUND, rows=FOUND.rows[1:]),)) is Outcome.INDETERMINATE
    assert outcome((replace(FOUND, rows=FOUND.rows[1:], powered=True),)) is Outcome.NOT_SHOWN
    assert outcome((replace(RANK, alpha=0.001, none_of_them=True),)) is Outcome.NONE


@pytest.mark.slow
@given(
    st.lists(
        st.sampled_from(
            [
                LEAD,
                RANK,
                FOUND,
                replace(FOUND, proof_sha256="p"),
                replace(FOUND, rows=FOUND.rows[1:], powered=True),
                replace(RANK, alpha=0.001, none_of_them=True),
            ]
        ),
        min_size=1,
        max_size=4,
    )
)
def test_the_checker_has_the_same_ceiling(evidence: list[Evidence]) -> None:
    told = json.loads(json.dumps([evidence_json.as_json(e) for e in evidence]))
    for proven in ((), ("p",), ("q",)):
        assert checker.outcome(told, proven) == outcome(tuple(evidence), proven).name.lower()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Row("a", 1, 0.0, None, None, 0.0, None),
        lambda: Row("a", 1, 0.0, None, None, 1.5, None),
        lambda: Row("a", 1, 0.0, None, None, None, 0.5),
        lambda: Row("a", 1, 0.0, None, None, 0.5, 0.4),
        lambda: Row("a", 1, float("nan"), None, None, None, None),
        lambda: replace(LEAD, rows=RANK.rows),
        lambda: replace(RANK, null=""),
        lambda: replace(RANK, alpha=0.0),
    ],
)
def test_what_no_evidence_says(wrong: Any) -> None:
    with pytest.raises(ProveError):
        wrong()


# --- on disk ---


def test_evidence_comes_back_as_it_went(tmp_path: Path) -> None:
    for one in (FOUND, LEAD, RANK, replace(FOUND, suspect=NASTY)):
        assert evidence_json.read(evidence_json.write(one, tmp_path / "e.json")) == one


def changed(**other: Any) -> dict[str, Any]:
    return evidence_json.as_json(FOUND) | other


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ([], "no evidence"),
        ({"kind": "other"}, "no evidence"),
        (changed(grade="D"), r"'D' - at `\$.grade`"),
        (changed(alpha="x"), r"`float`, got `str` - at `\$.alpha`"),
        (changed(alpha=float("inf")), "alpha is inf"),
        (changed(more=1), "'more' is unknown"),
        (changed(rows=7), r"got `int` - at `\$.rows`"),
        (changed(rows=[{"name": "x"}]), r"`n` - at `\$.rows\[0\]`"),
        (changed(rows=[7]), r"got `int` - at `\$.rows\[0\]`"),
        (changed(means_not=[1]), r"got `int` - at `\$.means_not\[0\]`"),
        (changed(powered=1), r"`bool`, got `int` - at `\$.powered`"),
        (changed(null=""), "null in words"),
        (changed(grade="C"), "never a p-value"),
        ({k: v for k, v in changed().items() if k != "claim"}, "required field `claim`"),
    ],
)
def test_what_is_no_evidence_is_refused_with_its_place(tmp_path: Path, told: Any, why: str) -> None:
    path = tmp_path / "e.json"
    path.write_text(json.dumps(told))
    with pytest.raises(ProveError, match=why) as said:
        evidence_json.read(path)
    assert str(path) in str(said.value)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_their_place(data: bytes) -> None:
    with pytest.raises(ProveError, match="here"):
        protocols.open_protocol(data, "here")


# --- protocols ---


def test_a_protocol_is_signed_and_never_replaced(tmp_path: Path) -> None:
    signer = new_signer()
    one, path = signed(signer), tmp_path / "p.json"
    protocols.write(one, path)
    protocols.write(signed(signer), path)  # the same again
    assert protocols.read(path, signer.key) == one
    with pytest.raises(ProveError, match="stays"):
        protocols.write(signed(signer, alpha=0.01), path)
    with pytest.raises(ProveError, match="not by"):
        protocols.read(path, new_signer().key)
    other = signed(new_signer(), alpha=0.01).envelope
    for bad in (one.envelope[:-40], one.envelope.replace(b'"sig": "', b'"sig": "AAAA'), b"{}", other[:50]):
        path.write_bytes(bad)
        with pytest.raises(ProveError):
            protocols.read(path)


def test_a_protocol_that_fixes_nothing() -> None:
    for wrong in ({"alpha": 0.0}, {"units": ()}, {"units": ("a", "a")}, {"statistic": ""}):
        with pytest.raises(ProveError):
            protocol(**wrong)


def test_evidence_holds_to_its_protocol(tmp_path: Path) -> None:
    one = signed(new_signer())
    good = replace(FOUND, protocol_sha256=one.sha256)
    write_verdict((good,), tmp_path, one)
    for evidence, why in (
        (replace(good, alpha=0.01), "cannot be raised"),
        (replace(good, rows=good.rows[:1]), "leaves out actor-b"),
        (coin({"actor-a": 1, "actor-b": 2, "c": 299}, protocol_sha256=one.sha256), "not in the protocol"),
        (FOUND, "of none of this evidence"),
        (replace(good, suspect="other"), "2 suspects"),
    ):
        with pytest.raises(ProveError, match=why):
            write_verdict((evidence,) if why != "2 suspects" else (good, evidence), tmp_path, one)
    with pytest.raises(ProveError, match="needs evidence"):
        write_verdict((), tmp_path)


# --- the page ---


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") or name in ("src", "style") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(tmp_path: Path, *evidence: Evidence, protocol: Signed | None = None) -> tuple[str, Seen]:
    text = write_verdict(evidence, tmp_path, protocol).read_text("utf-8")
    seen = Seen()
    seen.feed(text)
    return text, seen


def test_the_page_says_grade_null_effect_and_what_it_does_not_mean(tmp_path: Path) -> None:
    one = signed(new_signer())
    text, _ = page(tmp_path, LEAD, RANK, replace(FOUND, protocol_sha256=one.sha256), protocol=one)
    for said in (
        "The owner&#39;s word: by its own test acme-7b leans to answers served to actor-a",
        "no disclosed pairs, no seal, no third party&#39;s time",
        FOUND.null,
        RANK.null,
        one.sha256,
        "without a p-value",
        "It does not say that a law or a contract was broken",
        "The smallest p",
        "was not fixed by it",
    ):
        assert said in text
    assert text.index("coin, sign test") < text.index("conformal") < text.index("rare n-grams")
    told = json.loads((tmp_path / "verdict.json").read_text())
    assert told["outcome"] == "owner_word"
    assert evidence_json.of_json(told["evidence"][0], "") == LEAD


def test_nothing_on_the_page_comes_alive(tmp_path: Path) -> None:
    rows = (replace(FOUND.rows[0], name=NASTY),)
    bad = replace(
        FOUND,
        suspect=NASTY,
        method=NASTY,
        null=NASTY,
        unit=NASTY,
        claim=NASTY,
        power=NASTY,
        rows=rows,
        means_not=(NASTY,),
        confounds=(Checked(NASTY, NASTY, False),),
    )
    text, seen = page(tmp_path, bad)
    assert "script" not in seen.tags
    assert "49" not in re.findall(r"\b49\b", "".join(seen.text))
    assert not any(c in text for c in "\u202e\x1b\x00\ud800")
    assert "default-src &#39;none&#39;" in text
    assert "http" not in re.sub(r"<meta http-equiv", "", text)


def test_headlines_of_every_outcome() -> None:
    assert "no proof" in headline((RANK,))
    assert "Indeterminate" in headline((LEAD,))
    assert "Not shown" in headline((replace(FOUND, rows=FOUND.rows[1:], powered=True),))
    assert "None of the candidates" in headline((replace(RANK, alpha=0.001, none_of_them=True),))


# --- the bundle ---


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrailSigner]:
    """A bundle as a folder and as an archive, read-only."""
    signer, folder = new_signer(), tmp_path_factory.mktemp("written")
    one = signed(signer)
    evidence = (replace(FOUND, protocol_sha256=one.sha256), RANK)
    files = bundle.make(evidence, signer, one, {"ledger.jsonl": b"{}\n"})
    bundle.write(files, folder / "b")
    bundle.write(files, folder / "b.zip")
    return folder, signer


@pytest.fixture
def own_copy(written: tuple[Path, TrailSigner], tmp_path: Path) -> tuple[Path, TrailSigner]:
    """The same, for tests that change it."""
    return Path(shutil.copytree(written[0], tmp_path, dirs_exist_ok=True)), written[1]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    words = (sys.executable, "-I", "-S", str(folder / "verify.py"), *words)
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_bundle_checks_itself_with_the_standard_library(own_copy: tuple[Path, TrailSigner]) -> None:
    place, signer = own_copy
    told = run(place / "b", "--key", signer.key)
    assert told.returncode == 1, told.stdout + told.stderr  # counts that nobody can recompute
    assert "VERDICT: SOUND" not in told.stdout
    answers = [line.partition(":")[2].split(":")[0].strip() for line in told.stdout.splitlines()[-4:-1]]
    assert answers == ["yes", "yes", "NO"]
    assert "the verdict is: OWNER WORD" in told.stdout
    assert "signer verified:   NO" in run(place / "b", "--key", new_signer().key).stdout
    assert run(place / "b", str(place / "b.zip"), "--key", signer.key).stdout == told.stdout
    assert run(place / "b", str(place / "none")).returncode == 2


def test_a_bundle_of_a_lead_decides_nothing(tmp_path: Path) -> None:
    signer = new_signer()
    bundle.write(bundle.make((LEAD,), signer), tmp_path / "b")
    found = checker.check(tmp_path / "b", signer.key)
    assert found["contradictions"] == []
    assert found["outcome"] == "indeterminate"


def test_the_same_makes_the_same_bytes(own_copy: tuple[Path, TrailSigner]) -> None:
    place, signer = own_copy
    one = signed(signer)
    evidence = (replace(FOUND, protocol_sha256=one.sha256), RANK)
    files = bundle.make(evidence, signer, one, {"ledger.jsonl": b"{}\n"})
    bundle.write(files, place / "again" / "b.zip")
    assert (place / "again" / "b.zip").read_bytes() == (place / "b.zip").read_bytes()
    assert {n.split("/", 1)[1] for n in zipfile.ZipFile(place / "b.zip").namelist()} == set(files)
    with pytest.raises(ProveError, match="is there already"):
        bundle.write(files, place / "b")


@pytest.mark.parametrize(
    "name",
    [
        "verdict.json",
        "protocol.dsse.json",
        "exact.py",
        "report.html",
        "README.txt",
        "attached/ledger.jsonl",
        "manifest.dsse.json",
    ],
)
def test_a_changed_file_is_found(own_copy: tuple[Path, TrailSigner], name: str) -> None:
    path = own_copy[0] / "b" / name
    path.write_bytes(path.read_bytes().replace(b"e", b"E", 1) + b" ")
    assert not checker.check(own_copy[0] / "b", None)["sound"]


def test_a_missing_and_an_added_file_are_found(own_copy: tuple[Path, TrailSigner]) -> None:
    (own_copy[0] / "b" / "more.txt").write_text("x")
    (own_copy[0] / "b" / "README.txt").unlink()
    wrong = " ".join(checker.check(own_copy[0] / "b", None)["wrong"])
    assert "more.txt: is not in the manifest" in wrong
    assert "README.txt: is missing" in wrong


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (lambda e: e["rows"][0].update(p_value=1e-30), "comes out"),
        (lambda e: e["rows"][1].update(p_adjusted=e["rows"][1]["p_value"] * 0.9), "Holm"),
        (lambda e: e.update(alpha=0.5), "above the protocol"),
        (lambda e: e["rows"].pop(), "leaves out"),
        (lambda e: e["rows"][0]["counts"].update(hits=1e9), "cannot be checked"),
    ],
)
def test_whoever_signs_a_wrong_figure_is_found_out(
    own_copy: tuple[Path, TrailSigner], what: Any, why: str
) -> None:
    """The forger has the key and signs everything again: what follows from counts and rules is checked."""
    place, signer = own_copy
    one = signed(signer)
    files = bundle.make((replace(FOUND, protocol_sha256=one.sha256),), signer, one)
    told = json.loads(files["verdict.json"])
    what(told["evidence"][0])
    files["verdict.json"] = json.dumps(told).encode()
    del files[bundle.MANIFEST]
    files[bundle.MANIFEST] = bundle._manifest(files, told, signer)
    with pytest.raises(ProveError, match=why):
        bundle.write(files, place / "forged")
    assert not (place / "forged").exists()


def test_the_ceiling_is_checked_too(own_copy: tuple[Path, TrailSigner]) -> None:
    place, signer = own_copy
    files = bundle.make((LEAD,), signer)
    told = json.loads(files["verdict.json"]) | {"outcome": "trained"}
    files["verdict.json"] = json.dumps(told).encode()
    del files[bundle.MANIFEST]
    files[bundle.MANIFEST] = bundle._manifest(files, told, signer)
    with pytest.raises(ProveError, match="indeterminate is what the rules give"):
        bundle.write(files, place / "forged")


def test_names_of_attached_files_stay_inside(own_copy: tuple[Path, TrailSigner]) -> None:
    for name in ("../x", "a/b", "", ".hidden", "x\ny"):
        with pytest.raises(ProveError, match="plain name"):
            bundle.make((LEAD,), own_copy[1], None, {name: b""})


# --- the verbs ---


@pytest.mark.slow
def test_the_verbs(tmp_path: Path) -> None:
    signer = open_signer(tmp_path / "k")
    one = signed(signer)
    protocols.write(one, tmp_path / "p.json")
    evidence_json.write(replace(FOUND, protocol_sha256=one.sha256), tmp_path / "e.json")
    runner = CliRunner()
    words = [
        "prove",
        "verdict",
        str(tmp_path / "e.json"),
        "--out",
        str(tmp_path / "v"),
        "--protocol",
        str(tmp_path / "p.json"),
    ]
    got = runner.invoke(
        app, [*words, "--bundle", str(tmp_path / "b.zip"), "--signing-key", str(tmp_path / "k")]
    )
    assert got.exit_code == 0, got.output
    assert "answers served to actor-a" in got.output
    assert (tmp_path / "v" / "index.html").exists()
    told = runner.invoke(app, [*words, "--json"])
    assert json.loads(told.stdout)["outcome"] == "owner_word"
    checked = ["prove", "verify", str(tmp_path / "b.zip"), "--key", str(tmp_path / "k.pub"), "--json"]
    ok = json.loads(runner.invoke(app, checked).stdout)
    assert (ok["contradictions"], ok["sound"], ok["outcome"]) == ([], False, "owner_word")
    assert runner.invoke(app, ["prove", "verify", str(tmp_path / "b.zip"), "--key", "0" * 64]).exit_code == 1
    assert runner.invoke(app, ["prove", "verify", str(tmp_path / "none")]).exit_code == 2
    bad = runner.invoke(app, ["prove", "verdict", str(tmp_path / "none.json")])
    assert bad.exit_code == 2
    assert "cannot be read" in bad.output
