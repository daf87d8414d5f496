"""The part of an alert that is fixed when a finding is added: claims, links, detectors, gaps, ATLAS ids.

It is stored as JSON with the finding, so that an alert shows what was known then: which code raised it, on
which files, and what the scan could not claim. `alert` adds people's later acts.
"""

import hashlib
import importlib
import inspect
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from stillwatch.cases import Json
from stillwatch.cases.evidence import Input
from stillwatch.detectors import lone_harvest
from stillwatch.report.amounts import iso
from stillwatch.report.folded import fold as folded
from stillwatch.report.meter import meter
from stillwatch.scan import Campaign, Gap, Link, Reason, ScanResult, failover, holds, new_settings
from stillwatch.scan.assemble import clues, detectors
from stillwatch.scan.explanations import SHORT
from stillwatch.scan.parts import RAISING, TEST_NAME
from stillwatch.scan.set_aside import by_rule
from stillwatch.signals import Signal, signal_of
from stillwatch.units import us

LINKS_SHOWN = 200
NEVER_CLAIMED = (  # by any scan, whatever the log holds
    "Who the people behind the accounts are, a log does not say.",
    "That each of the accounts takes part is not shown: the p-value is the group's.",
    "That a model was trained on these answers is not shown: `stillwatch prove` tests that.",
)

# The alarm's own test has no file to itself: these summarise docs/evidence.md, "The test of settings" and "An
# adversary who reads this".
_TEST_DOC = {
    "Null": "accounts that share wording choose model, output limit and temperature independently, as "
    "the population does, but for the likeness that other groups of the log show",
    "Blind to": "pools whose accounts draw model and settings at random, that paraphrase each wrapper, or "
    "that pace themselves to fewer than 4 new accounts for each phrase in 5 days",
    "Fooled by": "who copies a bystander's wording, model and limit from many accounts",
    "Source": "docs/evidence.md; Skellam 1948 (beta-binomial); Liu and Xie 2020 (Cauchy combination)",
}
_TEST_PARTS = (
    "stillwatch.scan.settings",
    "stillwatch.scan.watch",
    "stillwatch.scan.alarms",
    "stillwatch.stats.groups",
)

# Clues of one class may have one cause; two classes are independent evidence: docs/actors.md.
CLASSES: Mapping[str, str] = {clue.NAME: clue.CLASS for clue in clues()}

# MITRE ATLAS 5.6.0; additions of single signals are in their files.
ATLAS_ALWAYS = (
    ("AML.T0040", "AI Model Inference API Access", "the harvest went through the API"),
    ("AML.T0024.002", "Extract AI Model", "answers were collected at the scale of a training set"),
    ("AML.T0048.004", "AI Intellectual Property Theft", "what a harvest is good for"),
)


@dataclass(frozen=True)
class Claim:
    """One detector's or clue's statement, with everything needed to check it."""

    signal: str  # in words
    detector: str
    text: str
    actual: float | None
    baseline: float | None  # the population's median, or the expected value
    peer_p95: float | None
    effect: float | None  # actual over baseline; None if there is no baseline, or it is 0
    bits: float  # log2 of the likelihood ratio of one actor to unrelated accounts
    p_value: float  # under the detector's own null
    n: int | None  # exchanges, accounts or shingles that it rests on
    null: str
    query: str  # recomputes it
    input_sha256: str  # of the data it was computed from: the files, the accounts, the window


@dataclass(frozen=True)
class Benign:
    """An honest explanation, and the result of checking it."""

    kind: str
    check: str
    checked: bool


@dataclass(frozen=True)
class LinkRow(Link):
    """One reason that ties an account to the actor."""

    independence: str  # clues of one class may have one cause


@dataclass(frozen=True)
class SharedRow:
    """One clue over all accounts that share it."""

    clue: str
    text: str
    control: str
    independence: str
    accounts: int
    links: int
    bits: float  # median of its links
    total_bits: float


def context(
    result: ScanResult, c: Campaign, source: str, inputs: Sequence[Input], settings: Mapping[str, Any]
) -> Json:
    """Return the fixed part of a campaign's alert, as JSON values."""
    files = [asdict(item) for item in sorted(inputs, key=lambda i: (i.name, i.sha256))]
    reasons = sorted(c.reasons, key=lambda r: (-r.bits, r.detector, r.text))
    benign = [Benign(b.kind, b.text, not b.text.startswith("not checked")) for b in c.benign_alternatives]
    raised = {r.detector for r in c.reasons}
    shape = folded(c)
    return {
        "stillwatch": result.version,
        "source": source,
        "inputs": files,
        "settings": dict(settings),
        "scanned": _scan_facts(result),
        "accounts": len(set(c.accounts)),
        "why": [asdict(_claim_of(c, r, files, settings)) for r in reasons],
        "benign": [asdict(b) for b in benign],
        "set_aside": by_rule(c.set_aside),
        "links": [asdict(k) | {"independence": CLASSES.get(k.clue, k.clue)} for k in c.links[:LINKS_SHOWN]],
        "links_total": len(c.links),
        "picture": {
            "groups": [asdict(g) for g in shape.groups],
            "lines": [asdict(line) for line in shape.lines],
            "lines_left_out": shape.lines_left_out,
            "unlinked": shape.unlinked,
            "letters": [s.letter for s in shape.shared],
        },
        "shared": [
            asdict(
                SharedRow(
                    **{k: v for k, v in vars(s).items() if k != "letter"},
                    independence=CLASSES.get(s.clue, s.clue),
                )
            )
            for s in shape.shared
        ],
        "classes": sorted({CLASSES[name] for name in raised if name in CLASSES}),
        "seen_by_provider": sorted({CLASSES[m.NAME] for m in clues() if m.NAME in raised and _ours(m)}),
        "detectors": [_source(name, settings) for name in sorted(raised)],
        "capabilities": [item.capability for item in _signals(raised) if item.capability],
        "value_tokens": _finite(c.harvest.value_tokens) or 0.0,
        "unique_prompts": c.harvest.unique_prompts,
        "exchanges_at_alarm": c.harvest_at_alarm.exchanges,
        "output_tokens_at_alarm": c.harvest_at_alarm.output_tokens,
        "milestones": meter(c.harvest.exchanges, c.harvest_at_alarm.exchanges).sentence,
        "next_milestone": c.next_milestone,
        "gaps": [
            {"start": iso(g.start), "end": iso(g.end), "text": g.text} for g in result.gaps if _during(g, c)
        ],
        "cannot_claim": [*result.cannot_claim, *NEVER_CLAIMED],
        "atlas": _atlas(raised),
    }


def _scan_facts(result: ScanResult) -> Json:
    s = result.scanned
    return {
        "exchanges": s.exchanges,
        "accounts": s.accounts,
        "first": None if s.first is None else iso(s.first),
        "last": None if s.last is None else iso(s.last),
        "rejected": s.rejected,
    }


def _claim_of(c: Campaign, r: Reason, files: list[Json], settings: Mapping[str, Any]) -> Claim:
    actual, baseline = _finite(r.actual), _finite(r.baseline)
    effect = _finite(actual / baseline) if actual is not None and baseline else None
    beside = {name: option for option in ("accounts", "networks") for name in settings.get(option, ())}
    options = "".join(f" --{option} {shlex.quote(name)}" for name, option in beside.items())
    logs = [item["name"] for item in files if item["name"] not in beside]
    names = (" ".join(map(shlex.quote, logs)) or "LOG...") + options
    jq_query = f'.campaigns[] | select(.id == "{c.id}") | .reasons[] | select(.detector == "{r.detector}")'
    dial = settings.get("false_cases_per_10k_account_days", 1.0)
    short = settings.get("short_answer_tokens", SHORT)
    dials = f"--false-cases {dial:g}" + ("" if short == SHORT else f" --short-answers {short}")
    query = f"stillwatch scan {names} {dials} --json | jq {shlex.quote(jq_query)}"
    return Claim(
        signal=r.detector.replace("_", " "),
        detector=r.detector,
        text=r.text,
        actual=actual,
        baseline=baseline,
        peer_p95=_finite(r.population_p95),
        effect=effect,
        bits=r.bits,
        p_value=c.p_value if r.detector in RAISING else min(1.0, 2.0**-r.bits),
        n=r.n,
        null=documented_limits(r.detector)["Null"],
        query=query,
        input_sha256=_input_digest(c, files),
    )


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _input_digest(c: Campaign, files: list[Json]) -> str:
    """Return the digest of a claim's input: the files, the accounts, the hours."""
    digest = hashlib.sha256()
    for item in files:
        digest.update(f"{item['sha256']} {item['bytes']}\n".encode())
    for account in sorted(set(c.accounts)):
        digest.update(account.encode("utf-8", "surrogatepass") + b"\n")
    for hour in c.timeline:
        digest.update(f"{us(hour.start)} {hour.exchanges} {hour.output_tokens}\n".encode())
    return digest.hexdigest()


def _ours(clue: Any) -> bool:
    """Return whether the provider determines the attribute; settings are observed but client-chosen."""
    return str(clue.CONTROL) == "provider" and CLASSES.get(clue.NAME) != "settings"


def _during(gap: Gap, c: Campaign) -> bool:
    if not c.timeline:
        return True
    first, last = c.timeline[0].start, c.timeline[-1].start + timedelta(hours=1)
    return gap.start < last and gap.end > first


def _signals(raised: set[str]) -> list[Signal]:
    """Return the signals that were raised, in their order."""
    signals = [signal_of(signal_module) for name, signal_module in signal_sources().items() if name in raised]
    return sorted(signals, key=lambda signal: signal.order)


def _atlas(raised: set[str]) -> list[dict[str, str]]:
    techniques = {item[0]: item for item in ATLAS_ALWAYS}
    for item in _signals(raised):
        if item.atlas is not None:
            techniques.setdefault(item.atlas[0], item.atlas)
    return [{"id": number, "name": name, "why": why} for number, name, why in techniques.values()]


# --- exact versions of detectors ---


@cache
def signal_sources() -> Json:
    """Return every signal's module by name; the alarm's own test has no file to itself."""
    modules: tuple[Any, ...] = (*clues(), *detectors(), lone_harvest, holds, new_settings, failover)
    return {module.NAME: module for module in modules}


def _source(name: str, settings: Mapping[str, Any]) -> Json:
    digest = hashlib.sha256(_source_text(name).encode())
    digest.update(json.dumps(dict(settings), sort_keys=True).encode())
    limits = documented_limits(name)
    return {
        "id": name,
        "config_sha256": digest.hexdigest(),
        "raised": name in RAISING,
        "evades_by": limits["Blind to"],
        "fooled_by": limits["Fooled by"],
    }


@cache
def _source_text(name: str) -> str:
    return "".join(map(inspect.getsource, hashed_modules(name)))


def hashed_modules(name: str) -> list[Any]:
    """Return the modules whose source identifies the detector's exact version."""
    if name == TEST_NAME:
        return [importlib.import_module(part) for part in _TEST_PARTS]
    module = signal_sources().get(name)
    return [] if module is None else [module]


@cache
def documented_limits(name: str) -> dict[str, str]:
    """Return what a detector's or clue's file documents: Null, Blind to, Fooled by, Source."""
    if name == TEST_NAME:
        return _TEST_DOC
    module = signal_sources().get(name)
    limits = dict.fromkeys(_TEST_DOC, "not stated")
    heading = ""
    for line in (getattr(module, "__doc__", None) or "").splitlines():
        start, colon, rest = line.partition(": ")
        if colon and start in limits:
            heading = start
            limits[heading] = rest.strip()
        elif line.startswith(" ") and heading:
            limits[heading] += f" {line.strip()}"
        else:
            heading = ""
    return {name: text.rstrip(".") for name, text in limits.items()}
