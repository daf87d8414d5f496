"""A report of one case to a body through which providers and authorities share such incidents.

It names no account, customer or prompt. Its parts follow public descriptions of such incidents: who reports
what against which target, when, how much was requested in how many ways, by which techniques, how that is
known and how often it is wrong. What only the owner knows is an argument, or left blank.

Blind to: what the owner knows but did not record.
Source: MITRE ATLAS, case study AML.CS0056 (actor, target, reporter, date, procedure by technique); OWASP
AISVS 1.0, 11.5.2 (source principal, query volume, statistics of what was asked).
"""

import json
import re
from dataclasses import asdict, dataclass

from stillwatch.cases import Json, Verdict
from stillwatch.cases.alert import Alert, alert
from stillwatch.cases.exports import Form
from stillwatch.cases.exports.marking import Tlp
from stillwatch.cases.exports.sums import leaving
from stillwatch.cases.exports.write import ReadyExport, check_verdict
from stillwatch.cases.statement import MEASURED_ON, rivals_table, sentence_list
from stillwatch.cases.store import Store
from stillwatch.report.amounts import moment_us, plural
from stillwatch.report.rivals import Rival, rival
from stillwatch.scan.parts import claim_of

FORMAT = "stillwatch.filing/1"
ALIKE = "https://atlas.mitre.org/studies/AML.CS0056"
BLANKS = {
    "reporter": "the organisation that reports, and its part: provider, cloud, reseller",
    "target": "the models and services that were asked",
    "contact": "who answers questions, and how",
    "response": "what was done, since when, and what is asked of the receiver",
}


@dataclass(frozen=True)
class FilingTerms:
    """What only the owner knows. Empty: a blank to fill in."""

    reporter: str = ""
    target: str = ""
    contact: str = ""
    response: str = ""


@dataclass(frozen=True)
class Filing:
    """The content of the report. Sentences are for people."""

    case: str
    made_us: int
    tlp: str
    judged: bool
    given: dict[str, str]  # reporter, target, contact, response
    actor: tuple[str, ...]
    times: dict[str, int | None]  # microseconds: first and last exchange, and when it was found
    principals: dict[str, int]  # accounts: suspected, victims, cleared
    volume: dict[str, int | None]
    asked: tuple[str, ...]  # capabilities
    shared: tuple[dict[str, str | int], ...]  # what ties the accounts: clue, who chooses it, how many
    procedure: tuple[dict[str, str], ...]  # techniques: id, name, why
    evidence: tuple[str, ...]
    left_out: int  # reasons that name an account, as a signal of another package may
    error_rates: tuple[str, ...]
    rivals: tuple[Rival, ...]
    not_claimed: tuple[str, ...]
    bundle_sha256: str | None
    blanks: tuple[str, ...]

    def as_json(self) -> Json:
        """Return it as JSON values."""
        return {"format": FORMAT, "like": ALIKE} | asdict(self)


def prepare_filing(
    store: Store,
    case_id: str,
    terms: FilingTerms,
    tlp: Tlp,
    *,
    now_us: int,
    unjudged: str = "",
    as_json: bool = False,
) -> tuple[ReadyExport, Filing]:
    """Assemble the report of a case, without sending it.

    unjudged: why it may leave although nobody has judged the case true. Raises: RecordNotFound; ExportError
    if the case may not leave.
    """
    case = store.case(case_id)
    override = check_verdict(case, unjudged)
    filing = _filing(alert(store, case.id, now_us), case.accounts, terms, tlp, now_us)
    text = json.dumps(filing.as_json(), indent=1) if as_json else write_filing(filing)
    data = text.encode("utf-8", "backslashreplace") + b"\n"
    holds = {"report of a case": 1, "reasons": len(filing.evidence), "techniques": len(filing.procedure)}
    return ReadyExport(case.id, data, leaving(Form.FILING, data, holds, tlp.value), override), filing


def _filing(report: Alert, accounts: tuple[str, ...], terms: FilingTerms, tlp: Tlp, now_us: int) -> Filing:
    exposure = report.exposure
    judged = report.verdict == Verdict.TRUE
    capabilities = tuple(
        f"{item.signal}: {item.text}"
        for item in report.why
        if not any(name in item.text and _is_named(name, item.text) for name in accounts)
    )
    claim = claim_of({item.detector for item in report.why})
    return Filing(
        case=report.case,
        made_us=now_us,
        tlp=tlp.value,
        judged=judged,
        given={name: text or f"[TO FILL IN: {BLANKS[name]}]" for name, text in asdict(terms).items()},
        actor=(
            f"{claim[0].upper()}{claim[1:]}: claimed.",
            "One operator is behind them: "
            + ("claimed, a person judged so." if judged else "not claimed, nobody has judged it."),
            "A named person or organisation is behind them: not claimed, a log does not say it.",
        ),
        times={"first": exposure.first_us, "last": exposure.last_us, "found": report.alarm_us},
        principals={"suspected": report.members, "victims": report.victims, "cleared": report.cleared},
        volume={
            "exchanges": exposure.exchanges, "output_tokens": exposure.output_tokens,
            "different_prompts": exposure.unique_prompts, "exchanges_when_found": exposure.exchanges_at_alarm,
        },
        asked=exposure.capabilities,
        shared=tuple(
            {"clue": item.clue, "control": item.control, "accounts": item.accounts} for item in report.shared
        ),
        procedure=report.atlas,
        evidence=capabilities,
        left_out=len(report.why) - len(capabilities),
        error_rates=(report.confidence.sentence, report.confidence.measured_on, MEASURED_ON),
        rivals=tuple(rival(item.kind, item.check) for item in report.benign),
        not_claimed=report.cannot_claim,
        bundle_sha256=report.bundle_sha256,
        blanks=tuple(name for name, text in asdict(terms).items() if not text),
    )  # fmt: skip


def _is_named(name: str, text: str) -> bool:
    """Return whether a text contains a name as a word. A name of digits cannot be told from a count.

    >>> _is_named("acct_5", "with acct_5."), _is_named("acct_5", "acct_52"), _is_named("59", "59 of 60")
    (True, False, False)
    """
    return not name.isdecimal() and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def write_filing(f: Filing) -> str:
    """Return the report as Markdown, with nothing that can act in a terminal or a browser."""
    first, last, found_text = (
        "unknown" if at_us is None else moment_us(at_us)
        for at_us in (f.times["first"], f.times["last"], f.times["found"])
    )
    size = f.volume
    capabilities = [
        f"Source principals: {plural(f.principals['suspected'], 'account')} suspected, "
        f"{f.principals['victims']:,} whose keys were used by others, {f.principals['cleared']:,} cleared.",
        f"Query volume: {plural(size['exchanges'] or 0, 'exchange')} and "
        f"{plural(size['output_tokens'] or 0, 'output token')} from {first} to {last}; "
        f"{size['exchanges_when_found'] or 0:,} before it was found at {found_text}.",
        "Different prompts: "
        + ("not counted." if size["different_prompts"] is None else f"{size['different_prompts']:,}."),
        f"Asked for: {', '.join(f.asked) or 'nothing that a signal knows'}.",
    ]
    control = {"provider": "observed by us", "client": "chosen by the client"}
    shared = [
        f"{str(item['clue']).replace('_', ' ')} ({control.get(str(item['control']), item['control'])}): "
        f"{plural(int(item['accounts']), 'account')}"
        for item in f.shared
    ]
    left_out = [f"Left out, as they name accounts: {plural(f.left_out, 'reason')}."] if f.left_out else []
    lines = [
        f"# Incident report: suspected unauthorised distillation, {f.case}",
        f"TLP:{f.tlp.upper()}. Made {moment_us(f.made_us)}. "
        + ("A person judged the case true." if f.judged else "**Nobody has judged the case.**"),
        "## Who reports, what was asked",
        sentence_list(f"{name.capitalize()}: {f.given[name]}" for name in ("reporter", "target", "contact")),
        "## Who is behind it",
        sentence_list(f.actor),
        "## What was asked for, and how much",
        sentence_list(capabilities),
        "## What ties the accounts",
        sentence_list(shared or ["Nothing beside the finding itself."]),
        f"## Procedure, in the words of MITRE ATLAS (an alike case: {ALIKE})",
        sentence_list([f"{item['id']} {item['name']}: {item['why']}" for item in f.procedure]),
        "## Evidence",
        sentence_list([*f.evidence, *left_out]),
        "## How often such evidence is wrong",
        sentence_list(f.error_rates),
        "## Honest explanations",
        rivals_table(f.rivals),
        "## What is not claimed",
        sentence_list(f.not_claimed),
        "## What was done, and what is asked of you",
        sentence_list([f.given["response"]]),
        "## What can be checked",
        sentence_list(
            [
                "Marks by which you find the same actor in your own log, without a name: "
                "`stillwatch indicators export`, under a key that we share.",
                "An evidence bundle with its own checker: "
                + (f"SHA-256 {f.bundle_sha256}." if f.bundle_sha256 else "none was made yet."),
            ]
        ),
    ]
    return "\n\n".join(lines)
