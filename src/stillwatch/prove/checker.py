#!/usr/bin/env python3
"""Check a bundle of a verdict, with nothing but Python 3.11's own library.

    python3 -I -S verify.py [BUNDLE] [--key HEX-OR-FILE] [--json]

BUNDLE is the folder this file lies in, another one, or a .zip. It is checked whether every file is the one
that was signed, whether the protocol is signed and is the one that the evidence names, whether every
p-value that follows from counts is what comes out, whether adjusting and the verdict are what the rules
give, and, where an actor's key was revealed, whether the scores of its mark are. Exit code: 0 nothing
differs, 1 something does, 2 there is no bundle to check.

What it cannot know: whether the counts are what was counted in the suspect's answers (the sender says so),
when the protocol was signed (ask who was given its SHA-256 beforehand), and whether the key is the sender's
(ask him by another way, and name it with --key). A copy of this file that came with the bundle could be
made to lie; its SHA-256 is printed, to be compared with a copy from elsewhere.
"""

import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
PARTS = {  # beside this file in a bundle; in the program, where they are used
    "envelope.py": HERE.parent / "cases" / "bundle" / "verify.py",
    "exact.py": HERE / "exact.py",
    "formula.py": HERE.parent / "watermark" / "formula.py",
}
PREDICATE = "urn:stillwatch:verdict-bundle:1"
TOLD = ("suspect", "outcome", "stillwatch")  # of the manifest
PROTOCOL, VERDICT = "protocol.dsse.json", "verdict.json"
PROTOCOL_TYPE = "application/vnd.stillwatch.protocol+json"
SCORED = "stillwatch scored 1"
CLOSE = 1e-6  # two machines' logarithms differ in the last digits


def _part(name: str) -> ModuleType:
    beside = HERE / name
    place = beside if beside.exists() else PARTS[name]
    spec = spec_from_file_location(f"bundle_{name.removesuffix('.py')}", place)
    if spec is None or spec.loader is None:
        raise ImportError(f"{place}: cannot be loaded")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


envelope: Any = _part("envelope.py")
envelope.PREDICATE, envelope.TOLD = PREDICATE, TOLD  # this copy of it alone
exact: Any = _part("exact.py")
formula: Any = _part("formula.py")


def same(a: float, b: float) -> bool:
    return abs(a - b) <= CLOSE * max(abs(a), abs(b))


class Claims:
    """What was looked at: the same, differing, or not to be computed from here."""

    def __init__(self) -> None:
        self.same: list[str] = []
        self.wrong: list[str] = []
        self.open: list[str] = []

    def told(self, name: str, holds: bool, why: str) -> None:
        if holds:
            self.same.append(name)
        else:
            self.wrong.append(f"{name}: {why}")


def check_protocol(bundle: Any, verdict: Any, claims: Claims) -> dict[str, Any] | None:
    """Check the signed protocol, and that the evidence holds to it; give what it says."""
    if PROTOCOL not in bundle.names:
        claims.open.append("protocol: none came with the bundle")
        if verdict["protocol"] is not None:
            claims.wrong.append(f"{PROTOCOL}: the verdict names one, and it is missing")
        return None
    data = bundle.read(PROTOCOL)
    digest = hashlib.sha256(data).hexdigest()
    signed = json.loads(data)
    payload = base64.b64decode(signed["payload"], validate=True)
    (one,) = signed["signatures"]
    sound = signed["payloadType"] == PROTOCOL_TYPE and envelope.is_signed(
        bytes.fromhex(one["keyid"]), base64.b64decode(one["sig"]), envelope.pae(PROTOCOL_TYPE, payload)
    )
    claims.told("protocol, signature", sound, "is not signed by the key it names")
    protocol: dict[str, Any] = json.loads(payload)
    of_it = [e for e in verdict["evidence"] if e["protocol_sha256"] == digest]
    claims.told("protocol, which evidence", bool(of_it), "is the protocol of none of this evidence")
    named = verdict["protocol"] or {}
    claims.told("protocol, in the verdict", named.get("sha256") == digest, "the verdict names another one")
    for e in of_it:
        tested = {row["name"] for row in e["rows"]}
        claims.told(f"{e['method']}, alpha", e["alpha"] <= protocol["alpha"], "is above the protocol's")
        missing = sorted(set(protocol["units"]) - tested)
        claims.told(f"{e['method']}, what was tested", not missing, f"leaves out {missing}")
    return protocol


def check_evidence(verdict: Any, claims: Claims) -> None:
    """Compute again what follows from counts, and Holm's adjustment."""
    for e in verdict["evidence"]:
        tested = [row for row in e["rows"] if row["p_value"] is not None]
        if e["grade"] == "C":
            claims.told(f"{e['method']}, no p-value", not tested, "a lead has none")
        for row in tested:
            name = f"{e['method']}, {row['name']}, p"
            counts = row["counts"]
            if counts is None:
                claims.open.append(f"{name} = {row['p_value']:.3g}: no counts that it follows from")
                continue
            p = exact.p_of(counts["test"], counts["hits"], counts["n"], counts["share"])
            claims.told(name, same(p, row["p_value"]), f"{row['p_value']} is stated, {p} comes out")
        for row, holm in zip(tested, exact.holm([row["p_value"] for row in tested]), strict=True):
            name, stated = f"{e['method']}, {row['name']}, adjusted p", row["p_adjusted"]
            if stated is None:
                claims.open.append(f"{name}: not adjusted, so it finds nothing")
            elif same(stated, holm) or stated > holm:
                claims.same.append(name)
            elif e["grade"] == "B":
                claims.open.append(f"{name} = {stated:.3g}: not by Holm's rule")
            else:
                claims.wrong.append(f"{name}: {stated} is stated, Holm's rule gives {holm}")


def outcome(evidence: Any) -> str:
    """What all the evidence says at most: similarity moves it nowhere."""

    def found(e: Any) -> bool:
        return any(row["p_adjusted"] is not None and row["p_adjusted"] <= e["alpha"] for row in e["rows"])

    planted = [e for e in evidence if e["grade"] in ("A", "A'")]
    ranks = [e for e in evidence if e["grade"] == "B"]
    if any(map(found, planted)):
        return "trained"
    if any(map(found, ranks)):
        return "consistent"
    if planted and all(e["powered"] for e in planted):
        return "not_shown"
    return "none" if any(e["none_of_them"] for e in ranks) else "indeterminate"


def check_scored(bundle: Any, verdict: Any, protocol: dict[str, Any] | None, claims: Claims) -> None:
    """Where an actor's key was revealed: score every pair again."""
    for name in bundle.names:
        if not name.startswith("attached/") or not name.endswith(".json"):
            continue
        told = bundle.json(name)
        if not isinstance(told, dict) or told.get("kind") != SCORED:
            continue
        key, pairs = bytes.fromhex(told["key"]), [(tuple(c), t) for c, t in told["pairs"]]
        published = [] if protocol is None else protocol["commitments"]
        committed = formula.commitment(key) in published
        claims.told(f"{told['actor']}, key", committed, "is not one that the protocol is committed to")
        claims.told(f"{told['actor']}, pairs", len(set(pairs)) == len(pairs), "one is scored twice")
        p = scored_again(told, key, pairs)
        rows = [
            row
            for e in verdict["evidence"]
            for row in e["rows"]
            if e["grade"] == "A'" and row["name"] == told["actor"]
        ]
        hit = any(row["n"] == len(pairs) and same(row["p_value"], p) for row in rows)
        claims.told(f"{told['actor']}, scores", hit, f"p = {p} over {len(pairs)} comes out, no row says so")


def scored_again(told: Any, key: bytes, pairs: list[tuple[tuple[int, ...], int]]) -> float:
    """Give the p-value of the pairs under the key: exact, or with weights the bound at the told slope."""
    if "weights" not in told:
        return float(exact.gamma_tail(sum(formula.score(key, *pair) for pair in pairs), len(pairs)))
    weights, exponents = told["weights"], told["exponents"]
    total = sum(
        w * (formula.number(key, *pair) ** k - 1 / (k + 1))
        for pair, w, k in zip(pairs, weights, exponents, strict=True)
    )
    return float(exact.matched_tail(total, weights, exponents, told["slope"]))


def check(place: Path, key: str | None) -> dict[str, Any]:
    """Check a bundle. Raises: envelope.Bad where there is none."""
    bundle = envelope.Bundle(place)
    wrong, told = envelope.check_files(bundle, key)
    claims = Claims()
    try:
        verdict = bundle.json(VERDICT)
        protocol = check_protocol(bundle, verdict, claims)
        check_evidence(verdict, claims)
        comes_out = outcome(verdict["evidence"])
        claims.told("the verdict", verdict["outcome"] == comes_out, f"{comes_out} is what the rules give")
        check_scored(bundle, verdict, protocol, claims)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as why:
        wrong.append(f"cannot be checked to the end ({type(why).__name__}: {why})")
        verdict = {}
    return {
        "sound": not wrong and not claims.wrong,
        "wrong": wrong + claims.wrong,
        "files": len(bundle.names),
        "signed_by": told.get("signed_by"),
        "key_named": key is not None,
        "headline": verdict.get("headline") if isinstance(verdict, dict) else None,
        "computed_again": claims.same,
        "not_computed": claims.open,
    }


def tell(found: Any) -> Iterator[str]:
    """Give the lines of the verdict on the bundle."""
    if found["headline"]:
        yield f"it says: {found['headline']}"
    if found["signed_by"]:
        yield f"signed by key {found['signed_by']}"
        if not found["key_named"]:
            yield "  nobody has said whose key that is: ask the sender by another way, and name it with --key"
    yield f"this verify.py is {hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}"
    yield f"claims: {len(found['computed_again'])} computed again and the same"
    for sentence in found["not_computed"]:
        yield f"  not computed: {sentence}"
    for sentence in found["wrong"]:
        yield f"WRONG: {sentence}"
    if not found["sound"]:
        yield f"VERDICT: NOT SOUND. {len(found['wrong'])} things are wrong. Do not rely on this bundle."
        return
    if not any(claim.endswith((", p", ", scores")) for claim in found["computed_again"]):
        yield (
            f"VERDICT: UNCHANGED, AND NO P-VALUE COMPUTED. All {found['files']} files are those that were "
            "signed, but no p-value follows from counts in them: each is the sender's word."
        )
        return
    yield (
        f"VERDICT: SOUND. All {found['files']} files are those that were signed, and every claim that can be "
        "computed from them was, and is the same."
    )


def main(words: list[str]) -> int:
    place, key, as_json = HERE, None, False
    words = list(words)
    try:
        while words:
            word = words.pop(0)
            if word in ("-h", "--help"):
                print(__doc__)
                return 0
            if word == "--json":
                as_json = True
            elif word == "--key":
                key = envelope.read_key(words.pop(0))
            elif word.startswith("-"):
                raise envelope.Bad(f"{word}: is no option; see --help")
            else:
                place = Path(word)
        found = check(place, key)
    except (envelope.Bad, IndexError, OSError) as why:
        print(f"verify.py: {envelope.clean(why)}", file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        for line in tell(found):
            print(envelope.clean(line))
    return 0 if found["sound"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
