"""Derives an alert from its finding and the release that wrote it. Standard library only.

This file travels in each bundle, beside `recompute.py`. Everything that an alert adds to its finding follows
from the finding: what each reason means and leaves open, which techniques it matches, what accounts share.
It is derived again here, so that an owner can neither omit nor add anything.
"""

from __future__ import annotations

import hashlib
import math
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .bundle_events import us
from .sentences import is_made_of

CASE = re.compile(r"case-[0-9a-f]{10}$")
COUNTED = re.compile(r"\b([\d,]+) of (?:the |its )?([\d,]+) accounts\b")
LEAST_BENIGN = 8  # honest explanations of each finding
FIRM_CLASSES = 2  # classes of evidence, one of which the client does not choose


class FindingLink(NamedTuple):
    """A link of a finding: a reason that ties an account to the actor."""

    a: str
    b: str
    clue: str
    bits: float
    text: str
    control: str


class FindingTrait(NamedTuple):
    """What accounts share: a row of the table of links."""

    letter: str
    clue: str
    text: str
    control: str
    accounts: int
    links: int
    bits: float
    total_bits: float


Link = FindingLink  # the names that `report.folded` uses
SharedTrait = FindingTrait
LINK_FIELDS, TRAIT_FIELDS = tuple(Link.__annotations__), tuple(SharedTrait.__annotations__)
# How links are folded into rows: `documents.checker` writes `report.folded` into the copy in a bundle.
shared_traits: Any = None


def fields_differ(
    alert: Mapping[str, Any],
    finding: Mapping[str, Any],
    settings: Mapping[str, Any],
    release: Mapping[str, Any],
) -> Iterator[str]:
    """Yield the differences between an alert and what follows from its finding and this release."""
    for name, expected in alert_from_finding(alert, finding, settings, release):
        said = alert
        for step in name.split("."):
            said = said[step]
        if not _alike(said, expected):
            yield f"alert.json: {name} is not what the finding comes to{_first_difference(said, expected)}"
    for sentence in [*alert["cannot_claim"], *(gap["text"] for gap in alert["gaps"])]:
        if not is_made_of(sentence, release["pieces"]["limits"]):
            yield f"alert.json: a limit of the log that this release never states: {sentence[:80]!a}"
    if not (alert["merged_into"] is None or CASE.match(alert["merged_into"])):
        yield "alert.json: merged_into is no case"


def _strongest(links: list[Link], stated: list[dict[str, Any]]) -> list[Link]:
    """Return links by strength, equally strong ones in the order in which an alert states them.

    The alert was ordered before the finding's bits were rounded.
    """
    place = {tuple(link.get(name) for name in LINK_FIELDS): k for k, link in enumerate(stated)}
    return sorted(links, key=lambda link: (-link.bits, place.get(tuple(link), len(place))))


def alert_from_finding(
    alert: Mapping[str, Any],
    finding: Mapping[str, Any],
    settings: Mapping[str, Any],
    release: Mapping[str, Any],
) -> Iterator[tuple[str, Any]]:
    """Yield each field of an alert that follows from the finding: its path and its required value."""
    stated, evidence = finding["campaign"]["finding"], finding["campaign"]["evidence"]
    raised = sorted({reason["detector"] for reason in stated["reasons"]})
    yield "why", _claims(stated, evidence, settings, release)
    yield (
        "benign",
        [
            {"kind": b["kind"], "check": b["text"], "checked": not b["text"].startswith("not checked")}
            for b in stated["benign_alternatives"]
        ],
    )
    yield from _link_fields(alert, stated["accounts"], evidence["links"], release)
    yield from _detector_fields(alert, raised, release)
    yield "exposure.value_tokens", evidence["value_tokens"]
    yield "exposure.unique_prompts", evidence.get("unique_prompts")
    yield "exposure.next_milestone", evidence["next_milestone"]
    yield "exposure.cost_to_us_usd", None
    yield "exposure.cost_to_them_usd", None
    yield "confidence.calibration", release["calibration"]
    yield "accounts", sorted(alert["accounts"])
    never = list(release["never_claimed"])
    yield "cannot_claim", alert["cannot_claim"][: -len(never)] + never


def _link_fields(
    alert: Mapping[str, Any], accounts: list[str], rows: list[list[Any]], release: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    links, clues = [Link(*row) for row in rows], release["clues"]
    strongest = _strongest(links, alert["links"])[: release["links_shown"]]
    yield (
        "links",
        [{**dict(zip(LINK_FIELDS, link)), "independence": _class_of(link.clue, clues)} for link in strongest],
    )
    yield "links_total", len(links)
    yield (
        "shared",
        [
            {**dict(zip(TRAIT_FIELDS[1:], row[1:])), "independence": _class_of(row.clue, clues)}
            for row in shared_traits(links, frozenset(accounts))[0]
        ],
    )


def _detector_fields(
    alert: Mapping[str, Any], raised: list[str], release: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    limits = release["limits"]
    clues = [release["clues"][name] for name in raised if name in release["clues"]]  # control, class
    yield "independent_classes", sorted({kind for _, kind in clues})
    seen = {kind for control, kind in clues if control == "provider" and kind != "settings"}
    yield "seen_by_provider", sorted(seen)
    config = {d["id"]: d["config_sha256"] for d in reversed(alert["detectors"])}
    yield (
        "detectors",
        [
            {
                "id": name,
                "version": alert["stillwatch"],
                "config_sha256": config.get(name),
                "raised": name in release["raising"],
                "evades_by": limits[name]["Blind to"],
                "fooled_by": limits[name]["Fooled by"],
            }
            for name in raised
        ],
    )
    signals = [item for item in release["signals"] if item["name"] in raised]  # in the release's order
    yield "exposure.capabilities", [item["capability"] for item in signals if item["capability"]]
    techniques = {item[0]: item for item in release["atlas"]}
    for item in signals:
        if item["atlas"]:
            techniques.setdefault(item["atlas"][0], item["atlas"])
    if alert["victims"]:
        techniques["victims"] = release["atlas_of_victims"]
    yield "atlas", [dict(zip(("id", "name", "why"), item)) for item in techniques.values()]


def _claims(
    stated: Mapping[str, Any],
    evidence: Mapping[str, Any],
    settings: Mapping[str, Any],
    release: Mapping[str, Any],
) -> list[dict[str, Any]]:
    files = settings["inputs"]
    digest = hashlib.sha256()
    for item in files:
        digest.update(f"{item['sha256']} {item['bytes']}\n".encode())
    for account in sorted(set(stated["accounts"])):
        digest.update(account.encode("utf-8", "surrogatepass") + b"\n")
    for begin, n, tokens in evidence["timeline"]:
        digest.update(f"{us(begin)} {n} {tokens}\n".encode())
    told = settings["settings"]
    beside = {name: option for option in ("accounts", "networks") for name in told.get(option, ())}
    options = "".join(f" --{option} {shlex.quote(name)}" for name, option in beside.items())
    logs = [item["name"] for item in files if item["name"] not in beside]
    names = (" ".join(map(shlex.quote, logs)) or "LOG...") + options
    short = told.get("short_answer_tokens", release["short"])
    dials = f"--false-cases {told.get('false_cases_per_10k_account_days', 1.0):g}"
    dials += "" if short == release["short"] else f" --short-answers {short}"
    claims = []
    for reason, numbers in zip(stated["reasons"], evidence["reasons"]):
        name, actual, baseline = reason["detector"], numbers["actual"], numbers["baseline"]
        query = f'.campaigns[] | select(.id == "{stated["id"]}") | .reasons[] | select(.detector == "{name}")'
        claims.append({
            "signal": name.replace("_", " "), "detector": name, "text": reason["text"],
            "actual": actual, "baseline": baseline, "peer_p95": numbers["population_p95"],
            "effect": actual / baseline if actual is not None and baseline else None, "bits": reason["bits"],
            "p_value": stated["p_value"] if name in release["raising"] else min(1.0, 2.0 ** -reason["bits"]),
            "n": numbers["n"], "null": release["limits"][name]["Null"],
            "query": f"stillwatch scan {names} {dials} --json | jq {shlex.quote(query)}",
            "input_sha256": digest.hexdigest(),
        })  # fmt: skip
    return claims


def _class_of(clue: str, clues: Mapping[str, Any]) -> str:
    return str(clues[clue][1]) if clue in clues else clue


def _alike(a: Any, b: Any) -> bool:
    """Return whether two values are the same. A finding states numbers with nine digits."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, float) or isinstance(b, float):
        numbers = not isinstance(a, bool) and isinstance(a, (int, float)) and isinstance(b, (int, float))
        return numbers and math.isclose(a, b, rel_tol=3e-8, abs_tol=1e-300)
    return type(a) is type(b) and bool(a == b)


def _first_difference(a: Any, b: Any) -> str:
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return f": {len(a)} in place of {len(b)}"
        at = next(k for k, (x, y) in enumerate(zip(a, b)) if not _alike(x, y))
        return f", {at + 1}{_first_difference(a[at], b[at])}"
    if isinstance(a, dict) and isinstance(b, dict):
        names = sorted(name for name in a.keys() | b.keys() if not _alike(a.get(name), b.get(name)))
        return f": {names[0]}"
    return f": {str(a)[:60]!a}"


def finding_differs(
    finding: Mapping[str, Any], models: set[str], release: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what no scan of this release writes: other texts, impossible links, weak firm ties."""
    stated, evidence = finding["campaign"]["finding"], finding["campaign"]["evidence"]
    accounts, clues = set(stated["accounts"]), release["clues"]
    if evidence["id"] != stated["id"]:
        yield "finding.json: has two names"
    if stated["accounts"] != sorted(accounts) or not set(evidence["firm"]) <= accounts:
        yield "finding.json: its accounts are not in order, or it ties some that it does not accuse"
    for reason in stated["reasons"]:
        name, text = reason["detector"], reason["text"]
        if not is_made_of(text, release["pieces"][release["made_by"][name]], models):
            yield f"finding.json: {name}: says what this release never says: {text[:80]!a}"
    pieces, kinds = release["pieces"]["benign"], [item["kind"] for item in stated["benign_alternatives"]]
    for item in stated["benign_alternatives"]:
        if item["kind"] not in pieces or not is_made_of(item["text"], pieces, models):
            yield f"finding.json: an honest explanation that this release never gives: {item['text'][:80]!a}"
    least = LEAST_BENIGN - ("one organisation" in kinds)  # one fewer without an accounts table
    if len(set(kinds)) < len(kinds) or len(kinds) < least:
        yield "finding.json: does not give each honest explanation once"
    if evidence["next_milestone"] and not is_made_of(
        evidence["next_milestone"], release["pieces"]["milestone"]
    ):
        yield "finding.json: its next milestone is no sentence of this release"
    for reason, numbers in zip(stated["reasons"], evidence["reasons"]):
        for found in COUNTED.finditer(reason["text"]):
            count, of = (int(number.replace(",", "")) for number in found.groups())
            # a sentence with this beginning states the share as well
            share = numbers["actual"] if found.start() == 0 and of == numbers["n"] else None
            if not count <= of <= len(accounts) or (share is not None and count != round(share * of)):
                yield f"finding.json: {reason['detector']}: {found[0]}: its numbers differ"
    detectors = {reason["detector"] for reason in stated["reasons"]}
    seen = Counter((link[0], link[1], link[2], link[4]) for link in evidence["links"])
    if any(times > 1 for times in seen.values()):
        yield "finding.json: has a link twice"
    controls: dict[str, dict[str, str]] = {}
    for link in (Link(*row) for row in evidence["links"]):
        if link.a not in accounts or link.b not in accounts | {stated["id"]}:
            yield f"finding.json: a link ties {link.a[:60]!a} to {link.b[:60]!a}, of whom one is not accused"
        if link.clue not in detectors or link.clue not in release["made_by"]:
            yield f"finding.json: a link is by {link.clue[:60]!a}, which is no reason of it"
            continue
        control, kind = clues.get(link.clue, ("provider", "reaction"))
        if link.control != control:
            yield f"finding.json: a link by {link.clue} is said to be controlled by {link.control[:60]!a}"
        if not is_made_of(link.text, release["pieces"][release["made_by"][link.clue]], models):
            yield f"finding.json: a link says what this release never says: {link.text[:80]!a}"
        for account in {link.a, link.b} & accounts:
            controls.setdefault(account, {})[kind] = control
    if "lone_harvest" not in detectors:
        for account in evidence["firm"]:
            tied = controls.get(account, {})
            if len(tied) < FIRM_CLASSES or "provider" not in tied.values():
                yield f"finding.json: {account!a} is said to be tied firmly, and its links do not do that"


def claims_said_otherwise(claims: list[Any], release: Mapping[str, Any]) -> Iterator[str]:
    """Yield claims that are marked as not computed for a reason that this release never gives."""
    for claim in claims:
        why_not = claim["why_not"]
        if why_not is not None and why_not not in release["why_not"]:
            yield f"claim {claim['name']}: is said not to be computed for no reason of this release"
