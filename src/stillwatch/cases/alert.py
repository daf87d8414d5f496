"""The alert: everything that a person needs to judge a case, including a partner who has only this file.

`as_json` is what the command line, the console and the exports show.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from stillwatch.cases import Case, DetectorState, Json, Verdict
from stillwatch.cases.acts import acts_of
from stillwatch.cases.claims import Benign, Claim, LinkRow, SharedRow
from stillwatch.cases.evidence import context_in
from stillwatch.cases.feedback import DetectorStanding, Measured, measured_in, standings_of
from stillwatch.cases.reading import Targets, targets_in
from stillwatch.cases.store import Store, case_in
from stillwatch.cases.tables import members
from stillwatch.conversion import convert
from stillwatch.report.amounts import p_value, plural
from stillwatch.report.meter import meter
from stillwatch.scan.measured import MEASURED
from stillwatch.terms import Step

FORMAT = "stillwatch.alert/1"
ACCOUNTS_SHOWN = 1_000
BUNDLE = "bundle"
ENOUGH_JUDGED = 20  # verdicts of this deployment from which on its own record is quoted
VICTIMS = ("AML.T0012", "Valid Accounts", "keys of customers were used that are not the actor's")
CALIBRATION = "docs/evidence.md, 'Logs without a campaign': group tests and false cases there"


@dataclass(frozen=True)
class Exposure:
    """The amount taken, over all findings of the case."""

    exchanges: int
    output_tokens: int
    value_tokens: float  # of the latest finding: weighted by the new part of an answer
    unique_prompts: int | None  # of the latest finding
    exchanges_at_alarm: int
    output_tokens_at_alarm: int
    first_us: int | None
    last_us: int | None
    capabilities: tuple[str, ...]  # what was requested, in words
    milestones: str  # in relation to published training sets
    next_milestone: str | None
    cost_to_us_usd: float | None  # None: no price was given
    cost_to_them_usd: float | None
    victims_exchanges: int  # of accounts judged to be victims, everything they sent in the scanned log
    cleared_exchanges: int  # of cleared accounts


@dataclass(frozen=True)
class Confidence:
    """How often such alarms were right, and in which data that was measured."""

    sentence: str
    measured_on: str
    right: int | None  # of `judged` alarms
    judged: int | None
    low: float | None  # 95 % interval of the share that was right
    high: float | None
    calibration: str  # where the calibration of the p-value is documented


@dataclass(frozen=True)
class SignalSource:
    """A detector or clue behind the alert: its exact version, and how it is evaded."""

    id: str
    version: str
    config_sha256: str  # of its source text and the settings
    raised: bool  # its alarm is the finding
    state: str  # shadow, alert or act
    evades_by: str
    fooled_by: str


@dataclass(frozen=True)
class RecommendedAction:
    """The recommended next action. It is not taken by this."""

    step: str  # of the policy's ladder, or "none"
    text: str
    accounts: int  # dry run: how many it would affect
    left_out: dict[str, int]  # reason -> how many accounts of the case would not be affected
    collateral: int  # accounts outside the actor that it would affect
    collateral_note: str
    command: str


@dataclass(frozen=True)
class Alert:
    """One case's alert. Times are UTC microseconds."""

    case: str
    revision: int
    title: str  # one sentence with numbers
    state: str
    verdict: str | None
    owner: str | None
    campaign: str
    finding: int
    found_us: int
    alarm_us: int
    p_value: float
    score_bits: float
    members: int
    victims: int
    cleared: int
    accounts: tuple[str, ...]  # the actor's, the first thousand by name
    accounts_sha256: str  # of all of them, one per line
    why: tuple[Claim, ...]  # most bits first
    benign: tuple[Benign, ...]
    links: tuple[LinkRow, ...]  # the strongest
    links_total: int
    shared: tuple[SharedRow, ...]  # all links, folded
    independent_classes: tuple[str, ...]
    seen_by_provider: tuple[str, ...]  # those of classes that the client does not choose
    exposure: Exposure
    confidence: Confidence
    detectors: tuple[SignalSource, ...]
    gaps: tuple[dict[str, str], ...]  # in the window: start, end, text
    cannot_claim: tuple[str, ...]
    atlas: tuple[dict[str, str], ...]  # id, name, why
    action: RecommendedAction
    inputs: tuple[Json, ...]  # files scanned: name, sha256, bytes
    scanned: Json
    source: str
    stillwatch: str
    permalink: str
    json_twin: str
    bundle_sha256: str | None  # of the last evidence bundle of this case
    merged_into: str | None = None  # the case that continues with this actor
    # similar accounts that were set aside, by rule; names stay with the finding. None: not recorded
    set_aside: dict[str, int] | None = None

    def as_json(self) -> Json:
        """Return it as JSON values."""
        return {"format": FORMAT} | asdict(self)


@dataclass(frozen=True)
class TokenPrices:
    """Prices of a million output tokens, in dollars; None: unknown."""

    to_us: float | None = None
    to_them: float | None = None


NO_PRICES = TokenPrices()


def alert(
    store: Store, case_id: str, now_us: int, base_url: str = "", prices: TokenPrices = NO_PRICES
) -> Alert:
    """Assemble a case's alert: the latest finding, and people's acts since.

    base_url: of the console, for permalinks. Raises: RecordNotFound.
    """
    with store.reading() as db:
        case, (finding, facts) = case_in(db, case_id), context_in(db, case_id)
        hit = targets_in(db, case_id)
        standing = standings_of(db, {case.raised_by, *(item["id"] for item in facts["detectors"])})
        record = measured_in(db, case.raised_by, now_us)
        spent = _exchanges_of(db, case_id)
        bundle = _last_bundle(db, case_id)
    link = f"{base_url.rstrip('/')}/cases/{case.id}"
    fields = {
        "case": case.id,
        "title": _alert_title(case, facts["accounts"]),
        "state": str(case.state),
        "verdict": None if case.verdict is None else str(case.verdict),
        "finding": finding.id,
        "found_us": finding.at_us,
        "alarm_us": finding.alarm_us,
        "accounts": case.accounts[:ACCOUNTS_SHOWN],
        "accounts_sha256": hashlib.sha256(
            "\n".join(case.accounts).encode("utf-8", "surrogatepass")
        ).hexdigest(),
        "independent_classes": facts["classes"],
        "exposure": _exposure(case, facts, spent, prices),
        "confidence": _confidence(case, record),
        "detectors": [
            item | {"version": facts["stillwatch"], "state": str(standing[item["id"]].state)}
            for item in facts["detectors"]
        ],
        "atlas": _techniques_of(facts["atlas"], case.victims),
        "action": _action(case, hit, standing.get(case.raised_by)),
        "permalink": link,
        "json_twin": f"{link}.json",
        "bundle_sha256": bundle,
    }
    return convert({**facts, **vars(case), **fields}, Alert)  # the remaining fields have the same names


def _exposure(
    case: Case, facts: Mapping[str, Any], spent: Mapping[str, int], prices: TokenPrices
) -> Exposure:
    return Exposure(
        exchanges=case.exchanges,
        output_tokens=case.output_tokens,
        value_tokens=facts["value_tokens"],
        unique_prompts=facts["unique_prompts"],
        exchanges_at_alarm=facts["exchanges_at_alarm"],
        output_tokens_at_alarm=facts["output_tokens_at_alarm"],
        first_us=case.first_us,
        last_us=case.last_us,
        capabilities=tuple(facts["capabilities"]),
        milestones=meter(case.exchanges, facts["exchanges_at_alarm"]).sentence,
        next_milestone=facts["next_milestone"],
        cost_to_us_usd=_cost(prices.to_us, case.output_tokens),
        cost_to_them_usd=_cost(prices.to_them, case.output_tokens),
        victims_exchanges=spent["victim"],
        cleared_exchanges=spent["cleared"],
    )


def _cost(usd_per_million: float | None, tokens: int) -> float | None:
    return None if usd_per_million is None else round(usd_per_million / 1e6 * tokens, 2)


def _alert_title(case: Case, named: int) -> str:
    """Return the finding's sentence, with the case's totals if they exceed the finding's."""
    if case.members <= named and not case.victims and not case.cleared:
        return case.title
    sizes = f"{plural(case.members, 'account')} and {plural(case.exchanges, 'exchange')} over all findings"
    sizes += f", {plural(case.victims, 'victim')} beside them" if case.victims else ""
    sizes += f", {case.cleared:,} cleared" if case.cleared else ""
    return f"{case.title.rstrip('.')} ({sizes})."


def _exchanges_of(db: Connection, case_id: str) -> dict[str, int]:
    m = members.c
    is_member = (m.case_id == case_id) & m.moved_to.is_(None)
    cleared = m.verdict.in_([str(Verdict.FALSE), str(Verdict.PERMITTED)])
    sums = select(
        func.coalesce(func.sum(m.exchanges).filter(m.verdict == str(Verdict.VICTIM)), 0),
        func.coalesce(func.sum(m.exchanges).filter(cleared), 0),
    )
    victims, given_up = db.execute(sums.where(is_member)).one()
    return {"victim": int(victims), "cleared": int(given_up)}


def _last_bundle(db: Connection, case_id: str) -> str | None:
    exports = [act.sets["export"] for act in acts_of(db, case_id) if "export" in act.sets]
    digests = [export["sha256"] for export in exports if export["format"] == BUNDLE]
    return digests[-1] if digests else None


def _techniques_of(techniques: list[dict[str, str]], victims: int) -> tuple[dict[str, str], ...]:
    about_victims = [dict(zip(("id", "name", "why"), VICTIMS, strict=True))] if victims else []
    return tuple(techniques + about_victims)


def _confidence(case: Case, record: Measured) -> Confidence:
    """Return how often such alarms were right: here, if enough were judged; else in the benchmark scenes."""
    enough_judged = record.judged >= ENOUGH_JUDGED and record.low is not None and record.high is not None
    chance = f"p = {p_value(case.p_value, plain=True)} under the detector's null, not the chance of innocence"
    if enough_judged:
        on = f"verdicts of this deployment on {case.raised_by} in the last 180 days"
        span = f"{record.low:.0%} to {record.high:.0%}"
        record_sentence = f"{record.right} of {record.judged} such alarms were right here ({span})"
    else:
        on = " ".join(MEASURED)
        record_sentence = f"{record.judged} such alarms were judged here so far, too few to say"
    return Confidence(
        sentence=f"{record_sentence}; {chance}.",
        measured_on=on,
        right=record.right if enough_judged else None,
        judged=record.judged if enough_judged else None,
        low=record.low if enough_judged else None,
        high=record.high if enough_judged else None,
        calibration=CALIBRATION,
    )


# --- recommended action ---


def _action(case: Case, hit: Targets, standing: DetectorStanding | None) -> RecommendedAction:
    """Recommend the next action and the accounts: only reversible actions; people decide on blocks."""
    step, text = _step(case, hit, standing)
    command = ""
    if step is not None:
        name = step.name.lower()
        whom = "--targets" if hit.accounts else "--targets --weak"
        command = (
            f"stillwatch case accounts {case.id} {whom} | stillwatch standing set --accounts-file - "
            f'--step {name} --why "{case.id}" --dry-run'
        )
    if case.victims:
        keys = plural(case.victims, "customer")
        text += f" Replace the stolen keys of {keys} and tell them; leave their accounts alone."
    return RecommendedAction(
        step="none" if step is None else step.name.lower(),
        text=text,
        accounts=0 if step is None else len(hit.accounts or hit.weak),
        left_out=dict(hit.left_out),
        collateral=0,
        collateral_note="accounts are named one by one, so none outside the case is touched; end users "
        "behind the named ones are: the dry run counts them, and names neighbours that stay untouched",
        command=command,
    )


def _step(case: Case, hit: Targets, standing: DetectorStanding | None) -> tuple[Step | None, str]:
    n = plural(len(hit.accounts), "account")
    weak = ""
    if hit.weak:
        weak = f" {len(hit.weak):,} more are tied by too little: judge them one by one first."
    if case.permission is not None:
        return None, f"Nothing: {case.permission}. It is measured all the same."
    if case.verdict in (Verdict.FALSE, Verdict.PERMITTED):
        return None, f"Nothing: judged {case.verdict}."
    if not hit.accounts and not hit.weak:
        return None, "Nothing: no account is left that is the actor's and that the latest finding names."
    if standing is not None and standing.state == DetectorState.SHADOW and case.verdict != Verdict.TRUE:
        return None, f"Look: {case.raised_by} is in shadow, its record is not known."
    if not hit.accounts:
        tell = "one kind of evidence ties them, or only what a client chooses, which a rival can copy"
        return Step.WATCH, f"Watch {plural(len(hit.weak), 'account')}: {tell}. Judge them one by one."
    if case.verdict == Verdict.TRUE:
        return Step.BLOCK, f"Block {n}: judged true. A second person sees the dry run first.{weak}"
    if case.members == 1:
        return Step.VERIFY, f"Ask who is behind {n}: it is alone, and a person's one-off job looks the same."
    judge = f"Throttle {n} while somebody judges it: it can be taken back. Ban nobody on this alone."
    return Step.THROTTLE, f"{judge}{weak}"
