#!/usr/bin/env python3
"""Which fields of a case's bundle its own dishonest signer can change so that the checker still exits with 0.

    python benchmarks/tamper_bundle.py [--scene sample] [--each 6] [--rows 3] [--json] [--open]

Each leaf of each signed JSON file is changed as somebody who has the key would change it: a number doubled
or one more, a time a day later, an account replaced by an innocent one of the log, a sentence added, a list's
item lost, doubled or swapped, a line lost or doubled. Then the manifest is signed anew and judged, once with
the leaf alone changed, and once after all that follows from it was made anew as well: copies in other files,
claims, digests, the audit trail. Of what `verify.py` still calls SOUND it is counted what the checker names
as the sender's word.

--each: how many leaves of one kind (`finding.json: campaign/evidence/links/#/3`) are tried, 0 for all;
--rows: the same for columns of events.ndjson and accounts.ndjson; --open: list the fields that stay sound.
"""

import argparse
import hashlib
import json
import random
import re
import resource
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Set
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from stillwatch.cases.audit.chain import canonical, record_hash, seal, signed_of_record
from stillwatch.cases.audit.signing import TrailSigner, is_signed, read_signer
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.bundle import documents, recompute, verify
from stillwatch.cases.bundle.bundle_events import us
from stillwatch.cases.bundle.contradictions import (
    clock_words,
    context_digest,
    context_of,
    finding_digest,
    sha256_of,
    title_of,
)
from stillwatch.cases.bundle.export import prepare
from stillwatch.cases.bundle.gather import ScannedLog, ndjson
from stillwatch.cases.bundle.signed import json_file, sign_manifest, write_files
from stillwatch.cases.claims import LINKS_SHOWN
from stillwatch.cases.evidence import inputs_of
from stillwatch.cases.fold import fold
from stillwatch.cases.reading import Filter, queue
from stillwatch.cases.store import Store
from stillwatch.errors import StillwatchError
from stillwatch.scan.pipeline import run
from stillwatch.units import time_of

REFUSED = (StillwatchError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
LINK = ("a", "b", "clue", "bits", "text", "control")
NOW_US = 1_790_000_000_000_000
DAY_US = 86_400_000_000
Way = tuple[Any, ...]
ADDED = "The court has affirmed it."

MAPS = {
    "since",
    "named_at",
    "own_ties",
    "own_reactions",
    "begin_us",
    "prompts",
    "networks",
    "payments",
    "packages",
}
MAPS |= {"set_aside", "products", "p", "h", "l", "q", "y"}
# files and fields that speak of single accounts, or of what the accused did or how that is to be read
OF_ACCOUNTS = (
    "accounts.ndjson", "events.ndjson", "finding.json", "alert.json: accounts", "alert.json: links",
    "alert.json: why", "alert.json: title", "alert.json: p_value", "alert.json: score_bits",
    "alert.json: benign", "alert.json: exposure", "alert.json: shared", "alert.json: cannot_claim",
    "alert.json: verdict", "alert.json: members", "alert.json: independent_classes", "case.json",
    "set_aside.json", "holds.json", "claims.ndjson", "alert.json: detectors", "alert.json: atlas",
)  # fmt: skip
PUSHED = ("detector", "text", "bits"), ("actual", "baseline", "n")


def kind_of(name: str, way: Way) -> str:
    """Give a leaf's kind: its place, without the numbers of items and the names in maps."""
    steps, before = [], ""
    for step in way:
        steps.append("#" if isinstance(step, int) else "*" if before in MAPS else step)
        before = step if isinstance(step, str) else before
    return f"{name}: {'/'.join(steps)}".rstrip(": ")


def places(value: Any, way: Way = ()) -> Iterator[tuple[Way, bool]]:
    """Give the ways to every leaf (True), and to every table and list (False)."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    yield way, not isinstance(value, (dict, list))
    for step, item in inner:
        yield from places(item, (*way, step))


@dataclass
class Case:
    """A bundle as its owner has it: parsed files, the rest as bytes, the key, names of innocent accounts."""

    documents: dict[str, Any]
    other_files: dict[str, bytes]
    predicate: dict[str, Any]
    signer: TrailSigner
    innocent: list[str]
    kept: dict[str, bytes] = field(default_factory=dict)  # bytes of files that nobody changed

    def data(self, name: str, document: Any) -> bytes:
        if document is not self.documents[name]:
            return ndjson(document) if name.endswith(".ndjson") else json_file(document)
        if name not in self.kept:
            self.kept[name] = ndjson(document) if name.endswith(".ndjson") else json_file(document)
        return self.kept[name]

    def files(self, documents_now: Mapping[str, Any]) -> dict[str, bytes]:
        return self.other_files | {name: self.data(name, item) for name, item in documents_now.items()}


class Changed(verify.Bundle):
    """A bundle in memory, of which one reader or another takes the same parsed files."""

    def __init__(self, files: Mapping[str, bytes], documents_now: Mapping[str, Any]) -> None:
        self._files, self._documents = files, documents_now
        self.names, self.odd = sorted(files), []

    def read(self, name: str) -> bytes:
        return self._files[name]

    def json(self, name: str) -> Any:
        return self._documents[name]

    lines = json


# --- what a dishonest owner writes ---


def changes(value: Any, case: Case, draw: random.Random) -> Iterator[tuple[str, Any]]:
    """Give other values that could stand there, each with what was done."""
    if isinstance(value, bool):
        yield "flipped", not value
    elif isinstance(value, (int, float)):
        if abs(value) > 10**15:
            yield "a day later", value + DAY_US
            return
        yield "one more", value + 1 if isinstance(value, int) else value * 1.01
        yield "doubled", value * 2 if value != 1.0 else 0.5
    elif value is None:
        yield "a number", 1
        yield "a text", ADDED
    elif isinstance(value, str):
        yield from _other_texts(value, case, draw)
    elif isinstance(value, list):
        if value:
            yield "an item lost", value[:-1]
            yield "an item doubled", [*value, value[0]]
        if len(value) > 1:
            yield "items swapped", [value[1], value[0], *value[2:]]
        if not value or isinstance(value[0], str):
            yield "an item added", [*value, ADDED]
    else:
        yield "a name added", value | {"note": ADDED}
        if value:
            name = draw.choice(sorted(value))
            yield "a name lost", {k: v for k, v in value.items() if k != name}
            if name in case.innocent or name in {row["account"] for row in case.documents["accounts.ndjson"]}:
                yield (
                    "an innocent's name",
                    {case.innocent[0] if k == name else k: v for k, v in value.items()},
                )


def _other_texts(value: str, case: Case, draw: random.Random) -> Iterator[tuple[str, str]]:
    if value in {row["account"] for row in case.documents["accounts.ndjson"]}:
        yield "an innocent's name", draw.choice(case.innocent)
        return
    try:
        yield (
            "a day later",
            (datetime.fromisoformat(value) + timedelta(days=1)).isoformat().replace("+00:00", "Z"),
        )
        return
    except ValueError:
        pass
    if len(value) in (64, 128) and not set(value) - set("0123456789abcdef"):
        yield "another digest", hashlib.sha256(value.encode()).hexdigest() * (len(value) // 64)
        return
    if len(value) == 8 and " " not in value:
        yield "another token", "AAAAAAAA"
    number = next((word for word in value.split() if word.replace(",", "").isdigit()), None)
    if number is not None:
        yield "a number doubled", value.replace(number, f"{int(number.replace(',', '')) * 2:,}", 1)
    yield "a sentence added", f"{value} {ADDED}"


def put(document: Any, way: Way, value: Any) -> Any:
    """Give the document with another value at a place; all else is shared with the one before."""
    if not way:
        return value
    step, rest = way[0], way[1:]
    if isinstance(document, list):
        return [*document[:step], put(document[step], rest, value), *document[step + 1 :]]
    return document | {step: put(document[step], rest, value)}


@dataclass
class Made:
    """A bundle as it was made anew: parsed files, all files, what the manifest says."""

    documents: dict[str, Any]
    files: dict[str, bytes]
    predicate: dict[str, Any]


def change_alone(case: Case, documents_now: dict[str, Any]) -> Made:
    """Leave all other files as they were; the manifest alone is signed anew."""
    return Made(documents_now, case.files(documents_now), case.predicate)


def remake_rest(
    case: Case,
    judge: "Judge",
    documents_now: dict[str, Any],
    name: str,
    renamed: tuple[str, str] | None = None,
) -> Made:
    """Make anew what follows from a changed file: copies, claims, digests, trail, texts, manifest."""
    copied = ("alert.json", "finding.json", "settings.json", "case.json", "audit.ndjson", "accounts.ndjson")
    d = documents_now | {other: deepcopy(documents_now[other]) for other in copied}
    if renamed is not None:  # somebody else is accused, in all files
        old, new = (json.dumps(one) for one in renamed)
        d = {other: json.loads(json.dumps(item).replace(old, new)) for other, item in d.items()}
    alert, finding, settings, history = (d[other] for other in copied[:4])
    if name == "alert.json":
        _push_alert(d)
    elif name == "settings.json":
        alert |= {k: settings[k] for k in ("inputs", "scanned", "gaps", "source")}
    elif name in ("events.ndjson", "accounts.ndjson", "population.json"):
        _push_events(case, judge, d)
    elif name == "case.json":
        alert |= {k: history[k] for k in ("state", "verdict", "owner")}
    elif name == "audit.ndjson":
        alert["found_us"] = max(row["at_us"] for row in d[name] if row["what"] == "case.finding")
    if name not in ("alert.json", "case.json", "audit.ndjson", "settings.json"):
        _push_finding(case, d)
    hours = history["hours"]
    if name != "alert.json":
        alert["exposure"] |= {
            "exchanges": sum(hour[1] for hour in hours), "output_tokens": sum(hour[2] for hour in hours),
            "first_us": min(hour[0] for hour in hours), "last_us": max(hour[0] for hour in hours),
        }  # fmt: skip
        alert["accounts_sha256"] = hashlib.sha256("\n".join(alert["accounts"]).encode()).hexdigest()
        alert["title"] = title_of(alert, finding)
    stated, evidence = (finding["campaign"][part] for part in ("finding", "evidence"))
    evidence["id"] = stated["id"]
    say = judge.part("alert_fields").alert_from_finding
    for place, value in say(alert, finding, settings, judge.part("contradictions").RELEASE):
        table, _, last = place.rpartition(".")
        (alert[table] if table else alert)[last] = value
    finding["digest"] = finding_digest(finding["campaign"])
    _sign_trail(case, d, name)
    files = case.files(d)
    if name != "claims.ndjson":
        d["claims.ndjson"] = _claims(d, judge, Changed(files, d))
        files["claims.ndjson"] = ndjson(d["claims.ndjson"])
    environment = d["environment.json"]
    exported_at = datetime.fromtimestamp(environment["exported_us"] // 1_000_000, UTC)
    predicate = case.predicate | {
        "title": alert["title"], "case": alert["case"], "finding": finding["id"],
        "exported_at": exported_at.isoformat().replace("+00:00", "Z"),
        "stillwatch": environment["packages"]["stillwatch"],
    }  # fmt: skip
    words = predicate | {"version": predicate["stillwatch"], "clock": clock_words(environment["clock"])}
    files["README.txt"], files["queries.sql"] = documents.readme(words), documents.queries(alert["why"])
    files[verify.DRAFT] = documents.certificate(words, settings["inputs"], settings["gaps"])
    return Made(d, files, predicate)


def iso(at_us: int) -> str:
    """Write a time as findings have it: with what is finer than seconds, if there is any."""
    return time_of(at_us).isoformat().replace("+00:00", "Z")


def _push_alert(d: dict[str, Any]) -> None:
    """Write what the alert says into the files that it is held against."""
    alert, finding, settings, history = (
        d[n] for n in ("alert.json", "finding.json", "settings.json", "case.json")
    )
    stated, evidence = (finding["campaign"][part] for part in ("finding", "evidence"))
    settings |= {k: alert[k] for k in ("inputs", "scanned", "gaps", "source")}
    history |= {k: alert[k] for k in ("case", "state", "verdict", "owner")}
    finding["id"], stated["id"] = alert["finding"], alert["campaign"]
    stated |= {k: alert[k] for k in ("p_value", "score_bits")}
    by_name = {claim["detector"]: claim for claim in alert["why"]}
    for reason, numbers in zip(stated["reasons"], evidence["reasons"], strict=True):
        if claim := by_name.get(reason["detector"]):
            reason |= {k: claim[k] for k in ("text", "bits")}
            numbers |= {k: claim[k] for k in ("actual", "baseline", "n")}
    evidence["links"] = [[item[k] for k in LINK] for item in alert["links"]] + evidence["links"][LINKS_SHOWN:]
    stated["benign_alternatives"] = [{"kind": b["kind"], "text": b["check"]} for b in alert["benign"]]
    exposure = alert["exposure"]
    stated["harvest_at_alarm"] = {k: exposure[f"{k}_at_alarm"] for k in ("exchanges", "output_tokens")}
    evidence |= {k: exposure[k] for k in ("value_tokens", "unique_prompts", "next_milestone")}
    evidence["title"] = alert["title"]


def _claims(d: Mapping[str, Any], judge: "Judge", bundle: Changed) -> list[dict[str, Any]]:
    """Claim what the changed finding states and the changed events come to."""
    stated = recompute.stated_numbers(d["finding.json"], d.get("set_aside.json"))
    again, before = judge.computed(bundle)[0], {row["name"]: row for row in d["claims.ndjson"]}
    rows = []
    for name, value in (again | stated).items():
        row = before.get(name, {"why_not": None if name in again else "it needs the whole log"})
        rows.append(row | {"name": name, "stated": value, "by": "finding" if name in stated else "export"})
    return rows


def _push_events(case: Case, judge: "Judge", d: dict[str, Any]) -> None:
    """Write what the changed events and accounts come to into the finding."""
    stated, evidence = (d["finding.json"]["campaign"][part] for part in ("finding", "evidence"))
    rows = d["accounts.ndjson"]
    stated["accounts"] = sorted(row["account"] for row in rows if row["in_finding"])
    for name, column in (("since", "since_us"), ("named_at", "named_us")):
        evidence[name] = {
            r["account"]: iso(r[column]) for r in rows if r["in_finding"] and r[column] is not None
        }
    files = case.files(d)
    again, _ = judge.computed(Changed(files, d))
    for part, suffix in (("harvest", ""), ("harvest_at_alarm", "_at_alarm")):
        stated[part] = {k: again[f"harvest.{k}{suffix}"] for k in ("exchanges", "output_tokens")}
    evidence |= {k: again[f"harvest.{k}"] for k in ("value_tokens", "unique_prompts")}
    evidence["timeline"] = [[iso(at_us), n, tokens] for at_us, n, tokens in again["harvest.timeline"]]
    for reason, numbers in zip(stated["reasons"], evidence["reasons"], strict=True):
        for word in ("actual", "baseline", "n"):
            if numbers[word] is not None:
                numbers[word] = again.get(f"reason.{reason['detector']}.{word}", numbers[word])
        reason["bits"] = again.get(f"reason.{reason['detector']}.bits", reason["bits"])
    stated["score_bits"] = round(sum(reason["bits"] for reason in stated["reasons"]), 3)


def _push_finding(case: Case, d: dict[str, Any]) -> None:
    """Write what the finding says into the alert, the case and the list of accounts."""
    alert, finding, history = d["alert.json"], d["finding.json"], d["case.json"]
    stated, evidence = (finding["campaign"][part] for part in ("finding", "evidence"))
    n, taken = len(set(stated["accounts"])), stated["harvest"]["exchanges"]
    begin = f"{n:,} account{'s' if n != 1 else ''} took {taken:,} answers"
    evidence["title"] = re.sub(r"^[\d,]+ accounts? took [\d,]+ answers", begin, evidence["title"])
    before = case.documents["finding.json"]["campaign"]["evidence"]
    if before["timeline"] != evidence["timeline"]:
        history["hours"] = [[us(hour), n, tokens] for hour, n, tokens in evidence["timeline"]]
    alert |= {"finding": finding["id"], "campaign": stated["id"], "alarm_us": us(stated["alarm_at"])}
    alert |= {k: stated[k] for k in ("p_value", "score_bits", "accounts")} | {"members": n}
    numbers = dict(zip((r["detector"] for r in stated["reasons"]), evidence["reasons"], strict=False))
    reasons = {r["detector"]: r for r in stated["reasons"]}
    for claim in alert["why"]:
        if claim["detector"] in reasons:
            claim |= {k: reasons[claim["detector"]][k] for k in ("text", "bits")}
            claim |= {k: numbers[claim["detector"]].get(k) for k in ("actual", "baseline", "n")}
    for item, link in zip(alert["links"], evidence["links"], strict=False):
        item |= dict(zip(LINK, link, strict=True))
    alert["links"] = alert["links"][: len(evidence["links"])]
    for item, benign in zip(alert["benign"], stated["benign_alternatives"], strict=False):
        item |= {"kind": benign["kind"], "check": benign["text"]}
    alert["exposure"] |= {f"{k}_at_alarm": v for k, v in stated["harvest_at_alarm"].items()}
    alert["exposure"] |= {k: evidence[k] for k in ("value_tokens", "unique_prompts", "next_milestone")}
    for row in d["accounts.ndjson"]:
        if row["in_finding"]:
            since, named = (evidence[k].get(row["account"]) for k in ("since", "named_at"))
            row |= {"since_us": since and us(since), "named_us": named and us(named)}


def _sign_trail(case: Case, d: dict[str, Any], name: str) -> None:
    """Write the trail's records anew: what they hold of the finding and the acts, hashes, signatures."""
    alert, finding, history = d["alert.json"], d["finding.json"], d["case.json"]
    acts, prev, last = {act["act"]: act for act in history["acts"]}, None, 0
    for row in d["audit.ndjson"]:
        detail = json.loads(row["detail"])
        if row["what"] == "case.finding" and detail["finding"] == finding["id"]:
            detail["digest"], detail["evidence"] = finding["digest"], sha256_of(finding["campaign"])
            detail["context"] = context_digest(context_of(alert, finding, d["settings.json"]))
            row["at_us"] = alert["found_us"]
        elif (act := acts.get(detail.get("act"))) and name == "case.json":
            row |= {"who": act["who"], "what": f"case.{act['verb']}", "at_us": act["at_us"]}
            detail |= {"text": act["text_sha256"], "sets": act["sets_sha256"]}
        row["detail"] = canonical(detail)
        row["prev"] = prev if row["seq"] == last + 1 and prev else row["prev"]
        parts = [row[k] for k in ("prev", "seq", "at_us", "who", "what", "subject", "detail", "sealed")]
        row["hash"] = record_hash(*parts)
        row["signature"] = case.signer.sign(signed_of_record(row["hash"]))
        prev, last = seal(row["hash"], row["signature"]), row["seq"]
    head = d["audit_head.json"]
    if head["seq"] == last and prev and name != "audit_head.json":
        head = head | {"seal": prev}
    statement = {k: head[k] for k in ("at_us", "chain", "key", "seal", "seq")}
    if head["key"] == case.signer.key:
        signature = case.signer.sign(b"stillwatch.audit.head.1\n" + canonical(statement).encode())
        d["audit_head.json"] = head | {"signature": signature}


# --- the judge ---


class Judge:
    """The checker that travels, with what this release knows."""

    def __init__(self, folder: Path) -> None:
        write_files(folder, documents.checker())
        spec = spec_from_file_location("checker_that_travels", folder / "verify.py")
        assert spec is not None
        assert spec.loader is not None
        self.verify = module_from_spec(spec)
        spec.loader.exec_module(self.verify)
        self.part = cache(self.verify.part)
        for name in (*self.verify.COMPUTING, "contradictions"):
            self.part(name)
        self._memory: dict[bytes, Any] = {}
        recompute_part = self.part("recompute")
        self._compute, recompute_part.computed = recompute_part.computed, self.computed
        shapes = self.part("file_shapes")
        shapes._doubled_in, self._shape_errors = cache(shapes._doubled_in), shapes.shape_errors
        shapes.shape_errors = self.shape_errors
        self.fit: dict[int, Any] = {}  # lines that are known to be of their shape, by identity

    def shape_errors(self, value: Any, shape: Any, place: str) -> Iterator[str]:
        return iter(()) if id(value) in self.fit else self._shape_errors(value, shape, place)

    def computed(self, bundle: verify.Bundle) -> Any:
        """Compute the claims; of files that were computed from last time the answer is still known."""
        names = (
            "finding.json",
            "accounts.ndjson",
            "population.json",
            "events.ndjson",
            "set_aside.json",
            "holds.json",
        )
        digest = hashlib.sha256(
            b"\0".join(bundle.read(name) for name in names if name in bundle.names)
        ).digest()
        if digest not in self._memory:
            if len(self._memory) > 100:
                self._memory.clear()
            self._memory[digest] = self._compute(bundle)
        return self._memory[digest]

    def says(self, made: Made) -> dict[str, Any]:
        """Judge what follows from the files; the manifest is right, as the owner has signed it."""
        bundle = Changed(made.files, made.documents)
        differ = self.part("contradictions").contradictions
        found: dict[str, Any] = self.part("recompute").check(
            bundle,
            lambda key, signature, message: is_signed(key.hex(), signature.hex(), message),
            lambda: differ(bundle, made.predicate),
        )
        return found

    def whole(self, made: Made, case: Case, folder: Path) -> bool:
        """Write the bundle, sign it, and have it checked from its files with the owner's key."""
        signed = {name: data for name, data in made.files.items() if name != verify.DRAFT}
        manifest = sign_manifest(signed, verify.PREDICATE, made.predicate, case.signer)
        write_files(folder, made.files | {verify.MANIFEST: manifest})
        return bool(self.verify.check(folder, case.signer.key, load=self.part)["sound"])


@dataclass
class Tally:
    """What came of one kind of leaf."""

    leaves: int = 0
    tried: int = 0
    sound: Counter[str] = field(default_factory=Counter)  # attack -> leaves of which a change stays sound
    said: bool = False  # the checker names it as the sender's word
    how: str = ""  # a change that stays sound


def attack(
    case: Case, judge: Judge, each: int, rows: int, folder: Path, few: int | None = None, seed: int = 1
) -> dict[str, Tally]:
    """Try every kind of leaf, or a few of them by a seed; give by kind what stays sound."""
    judge.fit = {id(row): row for row in case.documents["events.ndjson"]}
    draw, kinds = random.Random(seed), defaultdict[str, list[tuple[str, Way]]](list)
    leaf: dict[str, bool] = {}
    for name, document in case.documents.items():
        for way, is_leaf in places(document):
            if way or not name.endswith(".ndjson"):
                kind = kind_of(name, way) + ("" if is_leaf else " (whole)")
                kinds[kind].append((name, way))
                leaf[kind] = is_leaf
    out: dict[str, Tally] = {}
    chosen = list(kinds) if few is None else draw.sample(sorted(kinds), few)
    for kind in chosen:
        found = kinds[kind]
        tally = out[kind] = Tally(len(found))
        name = found[0][0]
        most = rows if name in ("events.ndjson", "accounts.ndjson") else each
        for _, way in draw.sample(found, min(most or len(found), len(found))):
            tally.tried += 1
            value = case.documents[name]
            for step in way:
                value = value[step]
            sound = set[str]()
            for what, other in changes(value, case, draw):
                changed = case.documents | {name: put(case.documents[name], way, other)}
                for attacker in ("alone", "remade"):
                    if attacker in sound:
                        continue
                    try:
                        renamed = _renamed(what, value, other)
                        made = (
                            change_alone(case, changed)
                            if attacker == "alone"
                            else remake_rest(case, judge, changed, name, renamed)
                        )
                        judged = judge.says(made)
                    except REFUSED:
                        continue
                    if judged["wrong"] or _is_undone(made.documents[name], way, value):
                        continue
                    if not tally.how and not judge.whole(made, case, folder):
                        raise AssertionError(
                            f"{kind}: {what}: {attacker}: sound here, and not from its files"
                        )
                    tally.how = tally.how or f"{what}, {attacker}"
                    place = kind.removesuffix(" (whole)")
                    tally.said = judge.part("senders_word").is_senders_word(place, judged["senders_word"])
                    sound.add(attacker)
            tally.sound.update(sound)
    return out


def _is_undone(document: Any, way: Way, value: Any) -> bool:
    """Return whether a change was lost when the rest was made anew: the place has its former value again."""
    for step in way:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return False
    return bool(document == value)


def _renamed(what: str, value: Any, other: Any) -> tuple[str, str] | None:
    if what != "an innocent's name":
        return None
    return (
        (value, other)
        if isinstance(value, str)
        else (min(set(value) - set(other)), min(set(other) - set(value)))
    )


def cases_of(folder: Path, work: Path) -> Iterator[Case]:
    """Scan a scene, and export each case as its owner does."""
    log, accounts = folder / "exchanges.parquet", folder / "accounts.parquet"
    result = run([log], accounts=accounts)
    names = set(pq.read_table(log, columns=["account"])["account"].to_pylist())
    with Store(f"sqlite:///{work}/cases.db") as store:
        attach(store, work / "audit.key")
        fold(store, result, NOW_US, "scan", inputs=inputs_of([log, accounts]))
        signer = read_signer(work / "audit.key")
        for item in queue(store, Filter(), NOW_US).cases:
            ready = prepare(store, item.id, who="owner", now_us=NOW_US, log=ScannedLog([log], accounts))
            yield case_of(ready.files, ready.predicate, signer, names)


def case_of(
    files: Mapping[str, bytes], predicate: dict[str, Any], signer: TrailSigner, names: Set[str]
) -> Case:
    """Read a bundle's files but for its manifest. names: all accounts of the log."""
    parsed = {name: parse(name, data) for name, data in files.items() if name.endswith("json")}
    accused = {row["account"] for row in parsed["accounts.ndjson"]}
    other = {name: data for name, data in files.items() if name not in parsed}
    return Case(parsed, other, predicate, signer, sorted(names - accused))


def parse(name: str, data: bytes) -> Any:
    return [json.loads(line) for line in data.splitlines()] if name.endswith(".ndjson") else json.loads(data)


def summary(found: Mapping[str, Tally]) -> list[str]:
    """Give the table: leaves by file, those that stay sound, and of these what is not named."""

    def speaks(kind: str) -> bool:
        return kind.startswith(OF_ACCOUNTS)

    out = ["| file | leaves | kinds | sound alone | sound with all that follows | not named | of accounts |"]
    out.append("|---|---|---|---|---|---|---|")
    total = Counter[int]()
    for name in sorted({kind.split()[0].rstrip(":") for kind in found}):
        mine = {kind: t for kind, t in found.items() if kind.split()[0].rstrip(":") == name}
        row = [
            sum(t.leaves for kind, t in mine.items() if not kind.endswith("(whole)")), len(mine),
            estimate(mine, "alone"), estimate(mine, "remade"),
            estimate({k: t for k, t in mine.items() if not t.said}, "any"),
            estimate({k: t for k, t in mine.items() if not t.said and speaks(k)}, "any"),
        ]  # fmt: skip
        total.update(dict(enumerate(row)))
        out.append(f"| `{name}` | " + " | ".join(f"{n:,}" for n in row) + " |")
    out.append("| all | " + " | ".join(f"{total[k]:,}" for k in range(6)) + " |")
    return out


def estimate(found: Mapping[str, Tally], attacker: str) -> int:
    """Leaves that stay sound, where a part of a kind was tried in proportion to it."""

    def share(t: Tally) -> float:
        sound = max(t.sound.values(), default=0) if attacker == "any" else t.sound[attacker]
        return sound / t.tried if t.tried else 0.0

    return round(sum(t.leaves * share(t) for kind, t in found.items() if not kind.endswith("(whole)")))


def main() -> int:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--scene", type=Path, default=Path(__file__).parent.parent / "sample")
    told.add_argument("--case", type=int, default=0, help="number of the case; of the smallest events first")
    told.add_argument("--each", type=int, default=6)
    told.add_argument("--rows", type=int, default=3)
    told.add_argument("--open", action="store_true")
    asked = told.parse_args()
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        found_cases = sorted(cases_of(asked.scene, work), key=lambda c: len(c.documents["events.ndjson"]))
        case = found_cases[asked.case]
        found = attack(case, Judge(work / "checker"), asked.each, asked.rows, work / "b")
    print("\n".join(summary(found)))
    if asked.open:
        for kind, t in found.items():
            if t.sound:
                word = "named" if t.said else "OPEN "
                print(f"{word} {kind}: {t.leaves} leaves, {dict(t.sound)} of {t.tried}: {t.how}")
    used, tried = resource.getrusage(resource.RUSAGE_SELF), sum(t.tried for t in found.values())
    print(f"{tried} places tried, {used.ru_utime + used.ru_stime:.0f} CPU seconds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
