"""One self-contained HTML page about a scan, for a reader with one minute.

Any text on it may come from an attacker: the template escapes, `visible` defuses, and the page's own policy
allows no request and no script but its own.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from jinja2 import Environment

from stillwatch.report import amounts, sheet
from stillwatch.report.findings import FINDINGS, campaigns_by_harvest, leads_by_answers, write_atomically
from stillwatch.report.folded import LinkPicture, fold
from stillwatch.report.meter import Meter, meter, split_milestone
from stillwatch.report.rivals import rivals
from stillwatch.report.timeline import Timeline, timeline
from stillwatch.scan import AccountVerdict, Campaign, Lead, Link, Reason, ScanResult
from stillwatch.scan.measured import LEADS_FIRST, MEASURED, TITLE, WRONG
from stillwatch.scan.parts import claim_of
from stillwatch.scan.seen_window import window_headline
from stillwatch.scan.set_aside import aside_text, by_rule

PAGE = "index.html"
FULL = 25  # campaigns shown with pictures; the rest are rows of a table
RHYTHM = timedelta(days=3)  # scan.limits searches for gaps in longer logs
ROWS = 400  # campaigns in the first table
LEADS = 25  # leads in their table
HEAVY = 25  # heavy honest accounts
LINKS = 12  # single links shown for a campaign
REASONS = 20
EXAMPLES = 20
GAPS = 50
NO_BREAK = "\u00a0"


@dataclass(frozen=True)
class MemberRow:
    account: str
    named_at: datetime | None
    exchanges: int | None
    p_value: float | None


@dataclass(frozen=True)
class CampaignView:
    campaign: Campaign
    anchor: str
    since: datetime
    meter: Meter
    timeline: Timeline
    folded: LinkPicture
    reasons: tuple[Reason, ...]
    links: tuple[Link, ...]
    named: tuple[MemberRow, ...]
    named_left_out: int
    place: int  # position in the full list: campaigns[place] in findings.json


@dataclass(frozen=True)
class KindRow:
    kind: str
    accounts: int
    exchanges: int
    in_campaigns: int


@dataclass(frozen=True)
class View:
    result: ScanResult
    headline: str
    since: datetime | None
    open: tuple[CampaignView, ...]
    suppressed: tuple[CampaignView, ...]
    rows: tuple[tuple[Campaign, str | None], ...]  # every open campaign, with the anchor of its section
    rows_left_out: int
    leads: tuple[Lead, ...]  # most exchanges first
    leads_left_out: int
    accounts: int
    exchanges: int
    output_tokens: int
    at_alarm: int
    kinds: tuple[KindRow, ...]
    heavy: tuple[AccountVerdict, ...]
    honest: int
    short: bool  # the log is too short to search for gaps


def start_of(campaign: Campaign) -> datetime:
    """Return when a campaign's first answer was delivered, as far as its hours show."""
    return min((h.start for h in campaign.timeline if h.exchanges), default=campaign.alarm_at)


def headline(result: ScanResult) -> str:
    """Return in one sentence how many campaigns, over how many accounts, took how much, since when.

    Leads are counted only if there is no campaign. A live scan that could not see everything says so.
    """
    return f"{_findings_sentence(result)} {window_headline(result.window)}".rstrip()


def _findings_sentence(result: ScanResult) -> str:
    campaigns = [c for c in result.campaigns if c.suppressed_by is None]
    s = result.scanned
    if not campaigns:
        scope = f"{amounts.plural(s.exchanges, 'exchange')} of {amounts.plural(s.accounts, 'account')}"
        of_groups = [w.removeprefix("groups: ") for w in result.judged.why if w.startswith("groups: ")]
        why = "; ".join(of_groups[:1])
        leads = f" {leads_counted(result)}." if result.leads else ""
        if not result.judged.lacks:
            return f"No campaign found in {scope}{f'; but {why}' if why else ''}.{leads}"
        if not result.judged.lone:
            return f"Could not judge {scope}: {why}.{leads}"
        return f"Could not judge groups: {why}. No lone payer found in {scope}.{leads}"
    accounts = len({a for c in campaigns for a in c.accounts})
    taken = sum(c.harvest.exchanges for c in campaigns)
    tokens = sum(c.harvest.output_tokens for c in campaigns)
    verb = "has" if len(campaigns) == 1 else "have"
    since = min(start_of(c) for c in campaigns)
    return (
        f"{amounts.plural(len(campaigns), 'campaign')} over {amounts.plural(accounts, 'account')} {verb} "
        f"taken {amounts.plural(taken, 'exchange')} ({amounts.short(tokens, NO_BREAK)} output tokens) "
        f"since {since.day} {since:%B %Y}."
    )


def leads_counted(result: ScanResult) -> str:
    """Count the leads, and say that they are not an accusation."""
    accuse = "it accuses" if len(result.leads) == 1 else "they accuse"
    return f"{amounts.plural(len(result.leads), 'lead')} ({accuse} nobody)"


def _campaign_view(
    campaign: Campaign,
    number: int,
    place: int,
    result: ScanResult,
    verdicts: dict[str, AccountVerdict],
    most: int,
) -> CampaignView:
    def member_row(account: str) -> MemberRow:
        v = verdicts.get(account)
        exchanges, p_value = (v.exchanges, v.p_value) if v else (None, None)
        return MemberRow(account, campaign.named_at.get(account), exchanges, p_value)

    order = sorted(campaign.accounts, key=lambda a: (campaign.named_at.get(a, campaign.alarm_at), a))
    return CampaignView(
        campaign=campaign,
        anchor=f"campaign-{number}",
        since=start_of(campaign),
        meter=meter(campaign.harvest.exchanges, campaign.harvest_at_alarm.exchanges),
        timeline=timeline(campaign, result.scanned, result.gaps),
        folded=fold(campaign),
        reasons=tuple(sorted(campaign.reasons, key=lambda r: (-r.bits, r.detector, r.text)))[:REASONS],
        links=tuple(sorted(campaign.links, key=lambda k: (-k.bits, k.clue, k.a, k.b))[:LINKS]),
        named=tuple(member_row(a) for a in order[:most]),
        named_left_out=max(0, len(order) - most),
        place=place,
    )


def _kinds(result: ScanResult) -> tuple[KindRow, ...]:
    accounts: Counter[str] = Counter()
    exchanges: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    for a in result.accounts:
        kind = a.kind_of_use or "not recognised"
        accounts[kind] += 1
        exchanges[kind] += a.exchanges
        inside[kind] += a.campaign is not None
    order = sorted(accounts, key=lambda k: (-exchanges[k], k))
    return tuple(KindRow(k, accounts[k], exchanges[k], inside[k]) for k in order)


def view(result: ScanResult) -> View:
    """Choose what the page shows, within its limits."""
    ordered = campaigns_by_harvest(result)
    verdicts = {a.account: a for a in result.accounts}
    places = {c.id: i for i, c in enumerate(ordered)}
    campaigns = [c for c in ordered if c.suppressed_by is None]
    suppressed_campaigns = [c for c in ordered if c.suppressed_by is not None]
    most = 200 if len(ordered) <= 6 else 50

    def view_of(campaign: Campaign, number: int) -> CampaignView:
        return _campaign_view(campaign, number, places[campaign.id], result, verdicts, most)

    shown = tuple(view_of(c, i + 1) for i, c in enumerate(campaigns[:FULL]))
    honest = [a for a in result.accounts if a.campaign is None]
    first, last = result.scanned.first, result.scanned.last
    return View(
        result=result,
        headline=headline(result),
        since=min((start_of(c) for c in campaigns), default=None),
        open=shown,
        suppressed=tuple(
            view_of(c, len(campaigns) + i + 1) for i, c in enumerate(suppressed_campaigns[:FULL])
        ),
        rows=tuple((c, shown[i].anchor if i < len(shown) else None) for i, c in enumerate(campaigns[:ROWS])),
        rows_left_out=max(0, len(campaigns) - ROWS),
        leads=tuple(leads_by_answers(result)[:LEADS]),
        leads_left_out=max(0, len(result.leads) - LEADS),
        accounts=len({a for c in campaigns for a in c.accounts}),
        exchanges=sum(c.harvest.exchanges for c in campaigns),
        output_tokens=sum(c.harvest.output_tokens for c in campaigns),
        at_alarm=sum(c.harvest_at_alarm.exchanges for c in campaigns),
        kinds=_kinds(result),
        heavy=tuple(sorted(honest, key=lambda a: (-a.exchanges, a.account))[:HEAVY]),
        honest=len(honest),
        short=not (first and last) or last - first < RHYTHM,
    )


@cache
def _environment() -> Environment:
    environment = sheet.environment("stillwatch.report")
    environment.filters["outlook"] = split_milestone
    environment.filters["claim"] = lambda reasons: claim_of({reason.detector for reason in reasons})
    environment.globals["findings_file"] = FINDINGS
    environment.globals["leads_first"] = LEADS_FIRST
    environment.globals["rivals"] = rivals
    environment.globals["aside_text"] = lambda campaign: aside_text(by_rule(campaign.set_aside))
    return environment


def render(result: ScanResult) -> str:
    """Return the page as text."""
    style = sheet.file_of("stillwatch.report", "page.css")
    script = sheet.file_of("stillwatch.report", "page.js")
    template = _environment().get_template("page.html.j2")
    return template.render(
        view=view(result),
        style=style,
        script=script,
        policy=sheet.policy(style, script),
        examples=EXAMPLES,
        gaps=GAPS,
        measured=MEASURED,
        wrong=WRONG,
        measured_title=TITLE,
    )


def write_page(result: ScanResult, out_dir: Path) -> Path:
    """Write `index.html` into a folder, atomically."""
    path = out_dir / PAGE
    write_atomically(path, render(result))
    return path
