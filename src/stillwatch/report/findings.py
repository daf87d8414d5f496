"""`findings.json`, the contract that other tools depend on, and `evidence.json`, the rest.

Both are plain ASCII (a hostile account name cannot affect a terminal), sorted, and free of NaN. Two scans of
the same log differ only in `scanned.seconds`.
"""

import hashlib
import json
import math
from dataclasses import asdict, astuple, dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from stillwatch.conversion import convert
from stillwatch.errors import InputError
from stillwatch.new_file import replace_file
from stillwatch.report.amounts import iso
from stillwatch.scan import (
    Campaign,
    Echo,
    Harvest,
    Hour,
    Lead,
    Link,
    OwnReaction,
    OwnTie,
    PoolCover,
    Reason,
    ScanResult,
    SeenWindow,
    SetAside,
)
from stillwatch.scan.real_student import cite_curve
from stillwatch.scan.seen_window import window_sentences

FOLDER = Path("stillwatch-report")  # unless another is given
FINDINGS, EVIDENCE = "findings.json", "evidence.json"
_DIGITS = 9  # significant digits kept: more would differ by summation order, fewer would lose small p-values


@dataclass(frozen=True)
class Paths:
    findings: Path
    evidence: Path


def schema() -> dict[str, Any]:
    """Return the JSON Schema of `findings.json`."""
    text = resources.files("stillwatch.report").joinpath("findings.schema.json").read_text("utf-8")
    return dict(json.loads(text))


def _number(value: float, what: str) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{what} is {value}; a finding must carry a finite number")
    return float(f"{value:.{_DIGITS}g}") + 0.0  # + 0.0 turns -0.0 into 0.0


def _finite_or_none(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else _number(value, "number")


def _time(value: datetime | None) -> str | None:
    return None if value is None else iso(value)


def campaigns_by_harvest(result: ScanResult) -> list[Campaign]:
    """Return campaigns in display order: the largest harvest first, then by id."""
    return sorted(result.campaigns, key=lambda c: (-c.harvest.exchanges, -c.harvest.output_tokens, c.id))


def leads_by_answers(result: ScanResult) -> list[Lead]:
    """Return leads in display order: longest answers first, then most exchanges, then by id.

    A harvest takes long answers, most software short ones: docs/scan.md, *Leads*.
    """
    return sorted(result.leads, key=lambda lead: (-lead.answer_tokens, -lead.exchanges, lead.id))


def _reasons(campaign: Campaign) -> list[Reason]:
    return sorted(campaign.reasons, key=lambda r: (-r.bits, r.detector, r.text))


def _harvest(harvest: Harvest) -> dict[str, int]:
    return {"exchanges": int(harvest.exchanges), "output_tokens": int(harvest.output_tokens)}


def _campaign_findings(campaign: Campaign) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "alarm_at": iso(campaign.alarm_at),
        "p_value": _number(campaign.p_value, f"campaign {campaign.id}: p_value"),
        "score_bits": _number(campaign.score_bits, f"campaign {campaign.id}: score_bits"),
        "accounts": sorted(set(campaign.accounts)),
        "harvest": _harvest(campaign.harvest),
        "harvest_at_alarm": _harvest(campaign.harvest_at_alarm),
        "reasons": [
            {
                "detector": reason.detector,
                "text": reason.text,
                "bits": _number(reason.bits, f"campaign {campaign.id}: bits"),
            }
            for reason in _reasons(campaign)
        ],
        "benign_alternatives": [
            {"kind": alternative.kind, "text": alternative.text}
            for alternative in campaign.benign_alternatives
        ],
        "suppressed_by": campaign.suppressed_by,
        **(
            {"set_aside": [set_aside_json(entry) for entry in campaign.set_aside]}
            if campaign.set_aside
            else {}
        ),
    }


def set_aside_json(entry: SetAside) -> dict[str, Any]:
    """Return an account that was set aside as in findings.json, with the facts that its rule rests on."""
    facts = {name: value for name, value in asdict(entry).items() if value is not None}
    return {name: iso(value) if isinstance(value, datetime) else value for name, value in facts.items()}


def findings_json(result: ScanResult) -> dict[str, Any]:
    """Return exactly what `findings.json` promises: no more and no fewer keys, in a fixed order.

    Raises: ValueError if a required number is not finite or a time has no zone.
    """
    s = result.scanned
    return {
        "stillwatch": result.version,
        "scanned": {
            "exchanges": int(s.exchanges),
            "accounts": int(s.accounts),
            "first": _time(s.first),
            "last": _time(s.last),
            "rejected": int(s.rejected),
            "seconds": round(_number(s.seconds, "scanned.seconds"), 3),
        },
        "judged": {
            "groups": result.judged.groups,
            "lone": result.judged.lone,
            "lacks": list(result.judged.lacks),
            "why": list(result.judged.why),
        },
        "campaigns": [_campaign_findings(c) for c in campaigns_by_harvest(result)],
        "accounts": [
            {
                "account": a.account,
                "p_value": _finite_or_none(a.p_value),
                "campaign": a.campaign,
                "kind_of_use": a.kind_of_use,
            }
            for a in sorted(result.accounts, key=lambda a: a.account)
        ],
        "leads": [lead_json(lead) for lead in result.leads],
        **({"known_pools": [_pool_json(pool) for pool in result.pools]} if result.pools else {}),
        **({} if result.window is None else {"window": _window_json(result.window)}),
    }


def _window_json(window: SeenWindow) -> dict[str, Any]:
    return asdict(window) | {
        "kept_days": _finite_or_none(window.kept_days),
        "since": _time(window.since),
        "unevaluated": [[iso(start), iso(end)] for start, end in window.unevaluated],
        "text": list(window_sentences(window)),
    }


def lead_json(lead: Lead) -> dict[str, Any]:
    """Return a lead as in findings.json."""
    return (
        {
            "id": lead.id,
            "since": iso(lead.since),
            "p_value": _number(lead.p_value, f"lead {lead.id}: p_value"),
            "accounts": list(lead.accounts),
            "exchanges": int(lead.exchanges),
            "hands": lead.hands,
            "text": lead.text,
            "answer_tokens": int(lead.answer_tokens),
        }
        | ({"echoes": [_echo_json(item) for item in lead.echoes]} if lead.echoes else {})
        | ({"known_pools": [_pool_json(item) for item in lead.pools]} if lead.pools else {})
    )


def _pool_json(pool: PoolCover) -> dict[str, Any]:
    return asdict(pool) | {
        "expected": _number(pool.expected, f"known pool {pool.pool}: expected"),
        "p_value": _number(pool.p_value, f"known pool {pool.pool}: p_value"),
    }


def _echo_json(echo: Echo) -> dict[str, Any]:
    return asdict(echo) | {"answered_at": iso(echo.answered_at), "quoted_at": iso(echo.quoted_at)}


def _campaign_evidence(campaign: Campaign) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "title": campaign.title,
        "next_milestone": campaign.next_milestone,
        "value_tokens": _finite_or_none(campaign.harvest.value_tokens),
        "value_tokens_at_alarm": _finite_or_none(campaign.harvest_at_alarm.value_tokens),
        "unique_prompts": campaign.harvest.unique_prompts,
        "unique_prompts_at_alarm": campaign.harvest_at_alarm.unique_prompts,
        "answer_tokens": campaign.answer_tokens,
        "reasons": [
            {
                "actual": _finite_or_none(reason.actual),
                "baseline": _finite_or_none(reason.baseline),
                "population_p95": _finite_or_none(reason.population_p95),
                "n": None if reason.n is None else int(reason.n),
            }
            for reason in _reasons(campaign)
        ],
        "named_at": {a: iso(campaign.named_at[a]) for a in sorted(campaign.named_at)},
        "since": {a: iso(campaign.since[a]) for a in sorted(campaign.since)},
        "firm": list(campaign.firm),
        "own_ties": {a: list(astuple(campaign.own_ties[a])) for a in sorted(campaign.own_ties)},
        "own_reactions": {
            a: list(astuple(campaign.own_reactions[a])) for a in sorted(campaign.own_reactions)
        },
        "tested": [asdict(test) for test in campaign.tested],
        "links": [
            [k.a, k.b, k.clue, _number(k.bits, f"campaign {campaign.id}: link bits"), k.text, k.control]
            for k in sorted(campaign.links, key=lambda k: (-k.bits, k.clue, k.a, k.b, k.text))
        ],
        "timeline": [
            [iso(h.start), int(h.exchanges), int(h.output_tokens)]
            for h in sorted(campaign.timeline, key=lambda h: h.start)
        ],
    }


def campaign_json(campaign: Campaign) -> dict[str, Any]:
    """Return one campaign as in the two files; `campaign_of` reads it back."""
    return {"finding": _campaign_findings(campaign), "evidence": _campaign_evidence(campaign)}


def campaign_of(document: dict[str, Any]) -> Campaign:
    """Read back the output of `campaign_json`."""
    return _campaign(document["finding"], document["evidence"])


def evidence_json(result: ScanResult) -> dict[str, Any]:
    """Return everything that `findings.json` does not hold; `reasons` are in its order."""
    return {
        "stillwatch": result.version,
        "findings_digest": _digest(findings_json(result)),
        "campaigns": [
            _campaign_evidence(c) | {"curve": cite_curve(c.harvest.exchanges)}
            for c in campaigns_by_harvest(result)
        ],
        "accounts": [
            {"account": a.account, "exchanges": int(a.exchanges), "kind_evidence": a.kind_evidence}
            for a in sorted(result.accounts, key=lambda a: a.account)
        ],
        "rejected_examples": list(result.rejected_examples),
        "gaps": [{"start": iso(g.start), "end": iso(g.end), "text": g.text} for g in result.gaps],
        "cannot_claim": list(result.cannot_claim),
    }


def _digest(findings: dict[str, Any]) -> str:
    """Return a digest of the findings without the scan's duration, to detect files of two different scans."""
    timeless = dict(findings, scanned=dict(findings["scanned"], seconds=0.0))
    return hashlib.sha256(json.dumps(timeless, sort_keys=True, allow_nan=False).encode("ascii")).hexdigest()


def to_text(document: dict[str, Any]) -> str:
    """Return a document as written to the file: ASCII, a final newline, one space of indent."""
    return json.dumps(document, ensure_ascii=True, allow_nan=False, indent=1) + "\n"


def write_atomically(path: Path, text: str) -> None:
    """Write a text atomically: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, [text.encode()], 0o644)


def write(result: ScanResult, out_dir: Path) -> Paths:
    """Write both files into a folder, which is created if needed."""
    paths = Paths(findings=out_dir / FINDINGS, evidence=out_dir / EVIDENCE)
    texts = to_text(findings_json(result)), to_text(evidence_json(result))  # before any file is written
    write_atomically(paths.evidence, texts[1])
    write_atomically(paths.findings, texts[0])
    return paths


def _read_report(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; run `stillwatch scan LOG... --out {path.parent}` first"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a report that can be read ({error}); scan again") from None
    if not isinstance(document, dict) or "stillwatch" not in document:
        raise InputError(f"{path}: not written by stillwatch scan")
    return document


def _campaign(f: dict[str, Any], e: dict[str, Any]) -> Campaign:
    time = datetime.fromisoformat
    taken = ("value_tokens_at_alarm", "unique_prompts_at_alarm")
    parts = {
        "harvest": _harvest_of(f["harvest"], e["value_tokens"], e.get("unique_prompts")),
        "harvest_at_alarm": _harvest_of(f["harvest_at_alarm"], *(e.get(name) for name in taken)),
        "reasons": [a | b for a, b in zip(f["reasons"], e["reasons"], strict=True)],
        "own_ties": {a: OwnTie(*tie) for a, tie in e.get("own_ties", {}).items()},
        "own_reactions": {a: OwnReaction(*item) for a, item in e.get("own_reactions", {}).items()},
        "links": [Link(*k) for k in e["links"]],
        "timeline": [Hour(time(h[0]), h[1], h[2]) for h in e["timeline"]],
    }
    return convert({"firm": f["accounts"]} | f | e | parts, Campaign)


def _harvest_of(sizes: dict[str, int], value_tokens: float | None, unique_prompts: int | None) -> Harvest:
    return Harvest(**sizes, value_tokens=value_tokens or 0.0, unique_prompts=unique_prompts)


def _result(f: dict[str, Any], e: dict[str, Any]) -> ScanResult:
    ties = {a["id"]: b.get("own_ties") for a, b in zip(f["campaigns"], e["campaigns"], strict=True)}
    accounts = [
        a | b | {"p_value": _own_p_value(a, ties)} for a, b in zip(f["accounts"], e["accounts"], strict=True)
    ]
    parts = {
        "version": f["stillwatch"],
        "campaigns": [_campaign(a, b) for a, b in zip(f["campaigns"], e["campaigns"], strict=True)],
        "accounts": accounts,
        "leads": [lead_of(lead) for lead in f.get("leads", ())],
        "pools": f.get("known_pools", ()),
    }
    return convert(f | e | parts, ScanResult)


def lead_of(document: dict[str, Any]) -> Lead:
    """Read back the output of `lead_json`."""
    return convert(document | {"pools": document.get("known_pools", ())}, Lead)


def _own_p_value(account: dict[str, Any], ties: dict[str, Any]) -> float | None:
    """Return an account's own p-value. Older reports, without `own_ties`, gave it its campaign's."""
    if account["campaign"] is not None and ties.get(account["campaign"]) is None:
        return None
    p_value: float | None = account["p_value"]
    return p_value


def load(out_dir: Path) -> ScanResult:
    """Read a report folder, in the files' order.

    Raises: InputError if a file is missing or unreadable, or the two belong to different scans.
    """
    findings, evidence = _read_report(out_dir / FINDINGS), _read_report(out_dir / EVIDENCE)
    try:
        if evidence["findings_digest"] != _digest(findings):
            raise InputError(f"{out_dir}: {FINDINGS} and {EVIDENCE} are not of one scan; scan again")
        return _result(findings, evidence)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{out_dir}: not a whole report ({error!r}); scan again") from None
