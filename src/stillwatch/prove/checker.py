#!/usr/bin/env python3
"""Check a bundle of a verdict, with nothing but the library of Python 3.9 or newer.

    python3 -I -S verify.py [BUNDLE] --key HEX-OR-FILE [--stamp-ca FILE] [--witness HEX] [--released DATE]
    [--json]

BUNDLE is the folder this file lies in, another one, or a .zip. Three things are said, each for itself:
  intact             every file is the one that the manifest names, and the manifest's signature is right
  signer verified    it was signed with the key that YOU gave; ask the sender for it by another way
  claims recomputed  every p-value follows from what is disclosed here, the verdict from that, and every
                     word of verdict.json, report.html and README.txt from the verdict
Exit code: 0 all three; 1 one of them is missing; 2 there is no bundle to check.

For *trained* it is computed here, from proof.json: that each disclosed pair lies in the ledger as it was
sealed, with the coin that its secret gives; each lean, from the answers and what was measured; p over all
ways the coins could have fallen, times all tests that were sealed. And a third party has to say that the
seal is older than the suspect: name the time-stamping authority's root (--stamp-ca, needs openssl) or a
witness's key (--witness, may be several with commas), and the day of the suspect's release as you know it
(--released).

What it cannot know: whether the suspect said what is recorded of it (ask it again: the prompts are here),
whether the owner keeps coined answers out of its own training, as the seal says, whether its gateway
ordered the two answers without knowing the coin, and whether the ledger holds each coin as it fell. A copy of
this file that came with the bundle could be made to lie.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and not (sys.flags.isolated and sys.flags.no_site):
    # otherwise a json.py beside this file, or on PYTHONPATH, would be imported in place of Python's own
    sys.path[:] = [place for place in sys.path[1:] if place.startswith(sys.base_prefix)]
    import subprocess

    sys.exit(subprocess.call([sys.executable, "-I", "-S", *sys.argv]))

import base64
import hashlib
import json
import math
import struct
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
PARTS = {  # beside this file in a bundle; elsewhere in the installed package
    "envelope.py": HERE.parent / "cases" / "bundle" / "verify.py",
    "answers.py": HERE.parent / "cases" / "bundle" / "answers.py",
    "timestamp.py": HERE.parent / "cases" / "bundle" / "timestamp.py",
    "exact.py": HERE / "exact.py",
    "formula.py": HERE.parent / "watermark" / "formula.py",
    "openings.py": HERE.parent / "coin" / "openings.py",
    "leans.py": HERE / "coin" / "leans.py",
    "proof.py": HERE / "proof.py",
    "report.py": HERE / "report.py",
}
PREDICATE = "urn:stillwatch:verdict-bundle:3"
TOLD = ("suspect", "outcome", "headline", "stillwatch")  # in the manifest
PROTOCOL, VERDICT, PROOF = "protocol.dsse.json", "verdict.json", "proof.json"
REPORT, README = "report.html", "README.txt"
PROTOCOL_TYPE = "application/vnd.stillwatch.protocol+json"
SCORED = "stillwatch scored 1"
CLOSE = 1e-6  # logarithms differ between machines in the last digits
MANY = 1 << 53  # above it, JSON readers disagree about whole numbers
TEXT, FLAG, WHOLE, LIST, OBJECT, NONE = str, bool, int, list, dict, type(None)
NUMBER = (float, int)
SHAPES: Mapping[str, Mapping[str, Any]] = {  # names allowed in verdict.json, with their allowed values
    "verdict": {
        "kind": "stillwatch verdict 1", "stillwatch": TEXT, "suspect": TEXT, "outcome": TEXT,
        "headline": TEXT, "means": TEXT, "missing": LIST, "means_not": LIST, "sealed": (OBJECT, NONE),
        "protocol": (OBJECT, NONE), "evidence": LIST,
    },
    "evidence": {
        "kind": "stillwatch evidence 1", "grade": TEXT, "method": TEXT, "suspect": TEXT, "claim": TEXT,
        "null": TEXT, "alpha": NUMBER, "unit": TEXT, "rows": LIST, "p_floor": (*NUMBER, NONE), "power": TEXT,
        "confounds": LIST, "means_not": LIST, "none_of_them": FLAG, "powered": FLAG, "protocol_sha256": TEXT,
        "proof_sha256": TEXT,
    },
    "row": {
        "name": TEXT, "n": WHOLE, "effect": NUMBER, "effect_low": (*NUMBER, NONE),
        "effect_high": (*NUMBER, NONE), "p_value": (*NUMBER, NONE), "p_adjusted": (*NUMBER, NONE),
        "counts": (OBJECT, NONE),
    },
    "counts": {"test": TEXT, "hits": NUMBER, "n": WHOLE, "share": NUMBER},
    "confound": {"what": TEXT, "found": TEXT, "clear": FLAG},
}  # fmt: skip


def _part(name: str) -> ModuleType:
    beside = HERE / name
    place = beside if beside.exists() else PARTS[name]
    called = f"bundle_{name[: -len('.py')]}"
    module = sys.modules[called] = ModuleType(called)  # dataclasses look up their module here
    module.__file__ = str(place)
    # compiled here, because an import would prefer a file in __pycache__, which no manifest lists
    exec(compile(place.read_bytes(), str(place), "exec"), vars(module))
    return module


envelope: Any = _part("envelope.py")
envelope.PREDICATE, envelope.TOLD = PREDICATE, TOLD
answers: Any = _part("answers.py")
exact: Any = _part("exact.py")
formula: Any = _part("formula.py")
proof: Any = _part("proof.py")
CANNOT = (*envelope.CANNOT, struct.error, MemoryError)  # exceptions that a hostile file can cause
report: Any = _part("report.py")
parts = proof.ProofFiles(_part("openings.py"), _part("leans.py"), _part("timestamp.py"), envelope.is_signed)


def outcome_words(outcome: Any) -> str:
    return str(outcome).upper().replace("_", " ")


def read_json(data: bytes) -> Any:
    """Parse unambiguous JSON. Raises: ValueError for NaN, and for a name that appears twice."""

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text:.40} is no number")
        return value

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise ValueError(f"a name appears twice among {sorted(table)!r:.200}")
        return table

    return json.loads(data, parse_float=number, parse_constant=number, object_pairs_hook=object_of)


def is_written_alike(a: Any, b: Any) -> bool:
    """Return whether two values are the same JSON: true is not 1, and 1 is not 1.0."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def check_shape(table: Any, shape: str, place: str) -> None:
    """Check that an object has exactly the names of its shape, each with the right type.

    Raises: ValueError with the place of what is wrong.
    """
    if type(table) is not dict or table.keys() != SHAPES[shape].keys():
        odd = sorted(set(table) ^ SHAPES[shape].keys()) if type(table) is dict else []
        raise ValueError(f"{place}: is no {shape}; missing or unknown: {odd!r:.200}")
    for name, wanted in SHAPES[shape].items():
        value = table[name]
        if (
            value != wanted
            if isinstance(wanted, str)
            else type(value) not in (wanted if isinstance(wanted, tuple) else (wanted,))
        ):
            raise ValueError(f"{place}, {name}: cannot be {value!r:.80}")
        if type(value) is int and abs(value) > MANY:
            raise ValueError(f"{place}, {name}: is larger than any count")


def read_verdict(bundle: Any) -> Any:
    """Read verdict.json and check the type of every value. Raises: ValueError."""
    verdict = read_json(bundle.read(VERDICT))
    check_shape(verdict, "verdict", VERDICT)
    for k, e in enumerate(verdict["evidence"]):
        check_shape(e, "evidence", f"evidence {k + 1}")
        if len({row["name"] for row in e["rows"]}) != len(e["rows"]):
            raise ValueError(f"evidence {k + 1}: two rows have one name")
        for row in e["rows"]:
            check_shape(row, "row", f"evidence {k + 1}, row")
            if row["counts"] is not None:
                check_shape(row["counts"], "counts", f"evidence {k + 1}, row, counts")
        for one in e["confounds"]:
            check_shape(one, "confound", f"evidence {k + 1}, confound")
    return verdict


def same(a: float, b: float) -> bool:
    return abs(a - b) <= CLOSE * max(abs(a), abs(b))


class Claims:
    """The results of the checks: confirmed, contradicted, or resting on the sender's word."""

    def __init__(self) -> None:
        self.same: list[str] = []
        self.wrong: list[str] = []
        self.open: list[str] = []

    def require(self, name: str, holds: bool, why: str) -> None:
        if holds:
            self.same.append(name)
        else:
            self.wrong.append(f"{name}: {why}")


def check_protocol(bundle: Any, verdict: Any, claims: Claims) -> dict[str, Any] | None:
    """Check the signed protocol, and that the evidence follows it; return the protocol."""
    if PROTOCOL not in bundle.names:
        if verdict["protocol"] is not None:
            claims.wrong.append(f"{PROTOCOL}: the verdict names one, and it is missing")
        return None
    data = bundle.read(PROTOCOL)
    digest = hashlib.sha256(data).hexdigest()
    signed = read_json(data)
    payload = base64.b64decode(signed["payload"], validate=True)
    (one,) = signed["signatures"]
    sound = signed["payloadType"] == PROTOCOL_TYPE and envelope.is_signed(
        bytes.fromhex(one["keyid"]),
        base64.b64decode(one["sig"], validate=True),
        envelope.pae(PROTOCOL_TYPE, payload),
    )
    claims.require("protocol, signature", sound, "is not signed by the key it names")
    protocol: dict[str, Any] = read_json(payload)
    of_it = [e for e in verdict["evidence"] if e["protocol_sha256"] == digest]
    claims.require("protocol, which evidence", bool(of_it), "is the protocol of none of this evidence")
    named = {"sha256": digest, "signed_by": one["keyid"]} | protocol
    held = is_written_alike(verdict["protocol"], named)
    claims.require("protocol, in the verdict", held, "the verdict tells another one")
    for e in of_it:
        tested = {row["name"] for row in e["rows"]}
        claims.require(f"{e['method']}, alpha", e["alpha"] <= protocol["alpha"], "is above the protocol's")
        missing = sorted(set(protocol["units"]) - tested)
        claims.require(f"{e['method']}, what was tested", not missing, f"leaves out {missing}")
    return protocol


def check_evidence(verdict: Any, claims: Claims) -> None:
    """Check that the stated p-values follow from the stated counts; the counts are the sender's word."""
    for e in verdict["evidence"]:
        tested = [row for row in e["rows"] if row["p_value"] is not None]
        if e["grade"] == "C":
            claims.require(f"{e['method']}, no p-value", not tested, "a lead has none")
            claims.open.append(f"{e['method']}: a lead, which nobody can compute and which moves nothing")
        if e["proof_sha256"]:
            continue
        if e["grade"] != "C":
            claims.open.append(f"{e['method']}: its effects, and what it says in words")
        for row in tested:
            name = f"{e['method']}, {row['name']}, p"
            counts = row["counts"]
            if counts is None:
                claims.open.append(f"{name} = {row['p_value']:.3g}: no counts that it follows from")
                continue
            p = exact.p_of(counts["test"], counts["hits"], counts["n"], counts["share"])
            if not same(p, row["p_value"]):
                claims.wrong.append(f"{name}: {row['p_value']} is stated, {p} comes out")
            else:
                claims.open.append(f"{name} = {p:.3g}: from {counts['hits']:g} of {counts['n']}, as stated")
        for row, holm in zip(tested, exact.holm([row["p_value"] for row in tested])):
            name, stated = f"{e['method']}, {row['name']}, adjusted p", row["p_adjusted"]
            if stated is None:
                claims.open.append(f"{name}: not adjusted, so it finds nothing")
            elif same(stated, holm) or stated > holm:
                claims.same.append(name)
            elif e["grade"] == "B":
                claims.open.append(f"{name} = {stated:.3g}: not by Holm's rule")
            else:
                claims.wrong.append(f"{name}: {stated} is stated, Holm's rule gives {holm}")


def check_proof(bundle: Any, verdict: Any, signer: str, trust: Any, claims: Claims) -> tuple[str, Any]:
    """Recompute everything from the disclosed pairs; return the proof's SHA-256 and the result."""
    named = {e["proof_sha256"] for e in verdict["evidence"] if e["proof_sha256"]}
    if PROOF not in bundle.names:
        if named:
            claims.wrong.append(f"{PROOF}: the evidence names one, and it is missing")
        return "", None
    data = bundle.read(PROOF)
    digest = hashlib.sha256(data).hexdigest()
    claims.require("proof, which evidence", named == {digest}, "is the proof of none of this evidence")
    found = proof.examine(read_json(data), signer, trust, parts)
    claims.wrong += [f"{PROOF}: {sentence}" for sentence in found.wrong]
    for e in verdict["evidence"]:
        if e["proof_sha256"] == digest:
            for name, holds, why in compared(e, found):
                claims.require(name, holds, why)
            if e["powered"]:
                claims.open.append(f"{e['method']}: that its power would have been enough")
    return digest, found


def sealed_lines(found: Any) -> list[str]:
    """Describe what the examination of a proof found about its seal."""
    lines = [
        f"  {found.pairs} pairs and {found.unpaired} coins without a pair are disclosed; seal "
        f"{found.number}, {found.tests} tests sealed: all count"
    ]
    if found.sealed_at:
        lines.append(
            f"  sealed before {found.sealed_at}, by {found.by}; released {found.released or '(not told)'}"
        )
    if found.sealed_at and not found.witnessed:
        lines.append(
            "  a stamp dates, and does not count: that this key made no other seal 1 is the owner's word"
        )
    lines.append(
        "  the accounts were sealed after their coins fell: that they were not picked by a relative of the "
        "suspect is the owner's word"
        if found.naming is None
        else f"  seal {found.naming} named the accounts before their coins fell; that the ledger holds each "
        "coin as it fell is the owner's word"
    )
    return lines


class FilesInMemory:
    """The files of a bundle before they are written."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files, self.names = files, sorted(files)

    def read(self, name: str) -> bytes:
        return self._files[name]


def claims_of(bundle: Any, signer: str, trust: Any) -> tuple[Claims, str, Any]:
    """Compare the figures with their basis; return claims, and the proof's SHA-256 and examination."""
    verdict, claims = read_verdict(bundle), Claims()
    protocol = check_protocol(bundle, verdict, claims)
    check_evidence(verdict, claims)
    digest, found = check_proof(bundle, verdict, signer, trust, claims)
    check_scored(bundle, verdict, protocol, claims)
    check_names(bundle, verdict, claims)
    return claims, digest, found


def check_names(bundle: Any, verdict: Any, claims: Claims) -> None:
    """Refuse files that no check covers: a page could state anything. Attachments are the sender's own."""
    known = {VERDICT, REPORT, README, PROTOCOL, PROOF, "verify.py", *PARTS, envelope.MANIFEST, envelope.STAMP}
    for name in bundle.names:
        if name.startswith("attached/"):
            if not is_scored(bundle, name):
                claims.open.append(f"{name}: what it says")
        elif name not in known:
            claims.wrong.append(f"{name}: is no file of such a bundle")
    once = {json.dumps(e, sort_keys=True) for e in verdict["evidence"]}
    claims.require("evidence", len(once) == len(verdict["evidence"]), "a test is there twice")


def is_scored(bundle: Any, name: str) -> bool:
    """Return whether an attached file holds the scored pairs of a mark."""
    try:
        document = read_json(bundle.read(name))
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("kind") == SCORED


def page_of(bundle: Any, signer: str, claims: Claims | None = None) -> bytes:
    """Render the page of a bundle from verdict.json and from what was recomputed."""
    known = claims or claims_of(bundle, signer, proof.Trust())[0]
    page: str = report.page(read_verdict(bundle), signer, known.open)
    return page.encode("utf-8", "backslashreplace")


def check_pages(bundle: Any, signer: str, claims: Claims) -> None:
    """Check page and README by making both again, byte for byte."""
    verdict = read_verdict(bundle)
    why = "is not what verdict.json comes to (by this checker's release; the bundle says {})"
    made = {
        REPORT: page_of(bundle, signer, claims),
        README: report.readme(verdict).encode("utf-8", "backslashreplace"),
    }
    for name, data in made.items():
        held = name in bundle.names and bundle.read(name) == data
        claims.require(name, held, why.format(verdict["stillwatch"]))


def check_words(bundle: Any, signer: str, trust: Any, claims: Claims, found: Any) -> None:
    """Check that the texts in verdict.json follow from the evidence and the sender's stated assumptions."""
    verdict, lacks, proven, sealed = read_verdict(bundle), [], set(), None
    same_suspect = {e["suspect"] for e in verdict["evidence"]} == {verdict["suspect"]}
    claims.require("verdict.json, suspect", same_suspect, "the evidence is of another one")
    if PROOF in bundle.names:
        document, granted = read_json(bundle.read(PROOF)), verdict["sealed"]["granted"]
        root = trust.stamp_ca if document["stamp"] is not None else "none is needed"
        if granted["stamp"] and root is None:
            claims.open.append("the verdict grants a time stamp: name its authority's root (--stamp-ca)")
            return
        given = proof.Trust(
            root if granted["stamp"] else None, tuple(granted["witnesses"]), granted["released"] or None,
            granted["now"],
        )  # fmt: skip
        if given != proof.Trust(trust.stamp_ca, tuple(sorted(trust.witnesses)), trust.released) or not found:
            found = proof.examine(document, signer, given, parts)
        digest = hashlib.sha256(bundle.read(PROOF)).hexdigest()
        lacks, sealed = found.missing, found.facts() | {"proof": digest}
        proven = {digest} if found.holds else set()
    held = is_written_alike(verdict["sealed"], sealed)
    claims.require("verdict.json, sealed", held, f"{sealed} comes out")
    rules = outcome(verdict["evidence"], proven)
    claims.require("the verdict", verdict["outcome"] == rules, f"{rules} is what the rules give")
    if verdict["outcome"] == rules:
        for name, value in report.words(rules, verdict["evidence"], lacks).items():
            held = is_written_alike(verdict[name], value)
            claims.require(f"verdict.json, {name}", held, f"{value!r:.300} comes out")


def compared(e: Any, found: Any) -> Iterator[tuple[str, bool, str]]:
    """Compare the rows of a piece of evidence with those recomputed from its proof."""
    yield f"{e['method']}, alpha", e["alpha"] == found.alpha, f"the seal has {found.alpha}"
    yield f"{e['method']}, suspect", e["suspect"] == found.suspect, f"the proof is of {found.suspect}"
    rows = {row["name"]: row for row in e["rows"]}
    for name, value in found.words.items():
        yield f"{e['method']}, {name}", is_written_alike(e[name], value), f"the seal gives {value!r:.300}"
    plain = e["grade"] == "A" and not e["protocol_sha256"] and e["p_floor"] is None and not e["none_of_them"]
    yield f"{e['method']}, kind", plain, "is no sealed test of grade A"
    significant = any(row["p_adjusted"] <= e["alpha"] for row in e["rows"])
    yield (
        f"{e['method']}, power",
        not (significant and (e["power"] or e["powered"])),
        "a test that found has none",
    )
    yield f"{e['method']}, rows", rows.keys() == found.actors.keys(), "are not the actors of the proof"
    for name in sorted(rows.keys() & found.actors.keys()):
        row, got = rows[name], found.actors[name]
        held = row["n"] == got["n"] and same(row["effect"] * got["n"], got["hits"])
        yield f"{name}, leans", held, f"{got['hits']} of {got['n']} lean to the served answer"
        yield f"{name}, interval", is_interval(row, int(got["hits"]), int(got["n"])), "is not the exact one"
        for key, value in (("p_value", got["p"]), ("p_adjusted", got["adjusted"])):
            yield f"{name}, {key}", same(row[key], value), f"{row[key]} is stated, {value} comes out"


def is_interval(row: Any, hits: int, n: int) -> bool:
    """Return whether a row's bounds are those of Clopper and Pearson, 95 %: each leaves a tail of 2.5 %."""

    def tail(count: int, share: float) -> float:
        return float(exact.binomial_tail(count, n, share)) if 0 < share < 1 else float(share == 1)

    low, high = row["effect_low"], row["effect_high"]
    low_held = low == 0 if hits == 0 else abs(tail(hits, low) - 0.025) < CLOSE
    high_held = high == 1 if hits == n else abs(tail(n - hits, 1 - high) - 0.025) < CLOSE
    return low_held and high_held and row["counts"] is None


def outcome(evidence: Any, proven: Any = ()) -> str:
    """Return the strongest outcome that the evidence supports; a lead counts for nothing."""

    def found(e: Any) -> bool:
        return any(row["p_adjusted"] is not None and row["p_adjusted"] <= e["alpha"] for row in e["rows"])

    planted = [e for e in evidence if e["grade"] in ("A", "A'")]
    ranks = [e for e in evidence if e["grade"] == "B"]
    if any(found(e) and e["grade"] == "A" and e["proof_sha256"] in proven for e in planted):
        return "trained"
    if any(map(found, planted)):
        return "owner_word"
    if any(map(found, ranks)):
        return "consistent"
    if planted and all(e["powered"] for e in planted):
        return "not_shown"
    return "none" if any(e["none_of_them"] for e in ranks) else "indeterminate"


def check_scored(bundle: Any, verdict: Any, protocol: dict[str, Any] | None, claims: Claims) -> None:
    """Score every pair again, if an actor's key was revealed."""
    for name in bundle.names:
        if not name.startswith("attached/") or not is_scored(bundle, name):
            continue
        scored = read_json(bundle.read(name))
        keys = [bytes.fromhex(one) for one in (scored["key"], *scored.get("more", ()))]
        pairs = [(tuple(c), t) for c, t in scored["pairs"]]
        published = [] if protocol is None else protocol["commitments"]
        committed = all(formula.commitment(key) in published for key in keys)
        claims.require(f"{scored['actor']}, key", committed, "is not one that the protocol is committed to")
        once = len(set(pairs)) == len(pairs) and len(set(keys)) == len(keys)
        claims.require(f"{scored['actor']}, pairs", once, "one is scored twice")
        p = scored_again(scored, keys, pairs)
        rows = [
            (e, row)
            for e in verdict["evidence"]
            for row in e["rows"]
            if e["grade"] == "A'" and row["name"] == scored["actor"]
        ]
        hits = [(e, row) for e, row in rows if row["n"] == len(pairs) and same(row["p_value"], p)]
        claims.require(
            f"{scored['actor']}, scores", bool(hits), f"p = {p} over {len(pairs)} comes out, no row says so"
        )
        done = tuple(f"{e['method']}, {row['name']}, p = " for e, row in hits if len(hits) == len(rows))
        claims.open = [sentence for sentence in claims.open if not sentence.startswith(done or ("\0",))]


def scored_again(scored: Any, keys: list[bytes], pairs: list[tuple[tuple[int, ...], int]]) -> float:
    """Return the p-value of the pairs under all keys: exact, or with weights the bound at the given slope."""
    if "weights" not in scored:
        total = sum(formula.score(key, *pair) for key in keys for pair in pairs)
        return float(exact.gamma_tail(total, len(keys) * len(pairs)))
    weights, exponents = scored["weights"], scored["exponents"]
    if not len(weights) == len(exponents) == len(pairs):
        raise ValueError(f"{scored['actor']}: each scored pair has a weight and an exponent")
    total = sum(
        w * (formula.number(key, *pair) ** k - 1 / (k + 1))
        for key in keys
        for pair, w, k in zip(pairs, weights, exponents)
    )
    return float(exact.matched_tail(total, weights * len(keys), exponents * len(keys), scored["slope"]))


def check(
    place: Path, key: str | None, stamp_ca: str | None = None, witness: str = "", released: str | None = None
) -> dict[str, Any]:
    """Check a bundle. Raises: envelope.Bad if there is none, OSError if openssl is missing."""
    bundle = envelope.Bundle(place)
    if envelope.MANIFEST not in bundle.names:
        raise envelope.Bad(f"{place}: holds no {envelope.MANIFEST}; it is no bundle of a verdict")
    files, predicate = envelope.check_files(bundle)
    witnesses = tuple(answers.read_key(one) for one in witness.split(",") if one)
    trust = proof.Trust(stamp_ca, witnesses, released, datetime.now(timezone.utc).isoformat())
    if released:
        proof.when(released)
    claims, says = Claims(), "nothing"
    missing = ["no test here comes with a proof (proof.json) that it could be computed from"]
    sealed: list[str] = []
    try:
        signer, verdict = predicate.get("signed_by", ""), read_verdict(bundle)
        claims, digest, found = claims_of(bundle, signer, trust)
        check_pages(bundle, signer, claims)
        check_words(bundle, signer, trust, claims, found)
        if found is not None:
            missing, sealed = list(found.missing), sealed_lines(found)
        says = outcome(verdict["evidence"], {digest} if found is not None and found.holds else set())
        if verdict["outcome"] != says:
            claims.open.append(
                f"the verdict is {outcome_words(verdict['outcome'])}, for a reader who grants what it names; "
                f"by what you gave it is {outcome_words(says)}: see below"
            )
        for name in TOLD:
            claims.require(
                f"manifest, {name}", predicate.get(name) == verdict[name], "the verdict says another"
            )
    except CANNOT as why:
        if isinstance(why, OSError) and "openssl" in str(why):
            raise
        claims.wrong.append(f"cannot be checked to the end ({type(why).__name__}: {why})")
    summary = f"{len(claims.same)} claims computed and the same, {len(claims.open)} are the sender's word"
    if not claims.same and not claims.open:
        claims.open.append("nothing here could be computed")
    lines = [f"by what is here and what you gave, the verdict is: {outcome_words(says)}"]
    lines += sealed
    lines += [f"  the sender's word: {sentence}" for sentence in claims.open]
    lines += [f"  missing for *trained*: {sentence}" for sentence in missing if says != "trained"]
    count = len(set(bundle.names) - {envelope.MANIFEST, envelope.STAMP})
    answer = answers.report(
        count, files, predicate, key,
        {"wrong": claims.wrong + [f"not recomputed: {one}" for one in claims.open], "summary": summary,
         "lines": lines, "contradictions": files + claims.wrong, "outcome": says, "missing": missing,
         "computed_again": claims.same, "not_computed": claims.open},
    )  # fmt: skip
    return dict(answer)


def main(words: list[str]) -> int:
    """Check the bundle named by the arguments. Exit code: 0 all three hold, 1 not, 2 there is no bundle."""
    return int(answers.main(words, check, __doc__, HERE, ("--witness", "--released")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
