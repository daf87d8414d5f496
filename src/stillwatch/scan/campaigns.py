"""Campaigns from alarms: which accounts, which exchanges, since when. It raises no alarm.

What is kept of an alarm's accounts is decided here, with the whole log in sight; when they were named is not.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from stillwatch.actors import AccountFacts, Actor, ActorContext
from stillwatch.actors.clues.echo import group_evidence
from stillwatch.actors.groups import LEAST_TENANTS
from stillwatch.actors.sessions import content_of, one_source_parts
from stillwatch.actors.signature import NEEDED
from stillwatch.detectors import Population, lone_harvest
from stillwatch.engine import SqlEngine
from stillwatch.exchanges.column_file import let_go
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.features.kinds import KindOfUse
from stillwatch.scan import Campaign, Echo, Lead, OwnReaction, Reason, SettingTest, new_settings
from stillwatch.scan.alarms import NEVER, Alarm, Judgement
from stillwatch.scan.assemble import GROUP_TESTS, TEST_NAME, actor_features, campaign
from stillwatch.scan.candidates import still_open, weak_groups, with_shares
from stillwatch.scan.explanations import (
    customers,
    few_questions,
    one_customer,
    same_questions,
)
from stillwatch.scan.failover import (
    LEVEL,
    failover_evidence,
    failover_finding,
    failover_least_p_value,
    failover_reason,
)
from stillwatch.scan.harvest import moment
from stillwatch.scan.holds import LEAST_NAMED, HoldsEvidence, holds_evidence, holds_reason
from stillwatch.scan.own_tie import own_ties
from stillwatch.scan.parts import FAILOVER
from stillwatch.scan.set_aside import (
    Aside,
    before_the_alarm,
    bystanders,
    copied_from,
    list_set_aside,
    of_other_alarms,
    openly_together,
    students,
    users_of_software,
)
from stillwatch.scan.watch import WatchResult
from stillwatch.stats.dealing import distinct
from stillwatch.stats.exchangeability import ContentTest, Hands
from stillwatch.terms.holds import HoldCandidate, HoldSchedule

Tell = Callable[[str, int, int | None], None]
UNSURE = "too few sessions, an hour apart and of the same accounts, to tell one source from many"
CLASS = "nearly all of its accounts are of teaching institutions: a class"
TOGETHER = (
    "most of its accounts send from networks that others of them use, in an office, a class or at an event: "
    "such people are no hidden pool"
)
SOFTWARE = "most of its accounts run one vendor's product, whose defaults explain equal settings"
MOSTLY_OTHERS = 0.5  # of a finding's accounts must be no users of such a product, nor sit together
FAILOVER_P_VALUE = 1e-2  # of repeated refusals, at most: then a lead's text mentions them
FEW_FINGERPRINTS = 20  # own fingerprints below which nothing is asked of an account
FEW_CARRIED = 6  # nor where the median account carries fewer than this
SAME_GROUP = 0.5  # of a group's accounts that are in another, a finding or a schedule: then both are the same


@dataclass(frozen=True)
class _Found:
    """An alarm's actor before it is put into words."""

    actor: Actor
    at_us: int
    p_value: float
    named_at_us: dict[int, int]
    reason: Reason
    tested: tuple[SettingTest, ...] = ()
    own_reactions: dict[str, OwnReaction] = field(default_factory=dict)
    aside: Aside = field(default_factory=dict)  # whom it could have named, and does not


def campaigns(
    engine: SqlEngine,
    world: ActorContext,
    watched: WatchResult,
    tenant: np.ndarray,
    payer: np.ndarray,
    features: pa.Table,
    kinds: dict[int, KindOfUse],
    tell: Tell,
    *,
    alone: bool = True,
    held: Sequence[HoldSchedule] = (),
    until_us: int = NEVER,
) -> tuple[list[Campaign], list[Lead], tuple[HoldCandidate, ...]]:
    """Every alarm as a campaign, in the order of the alarms, the groups that remain leads, and weak groups.

    tenant, payer: (accounts,) int32, who counts as one; features, kinds: of every account;
    alone: whether payers that harvest alone are looked for; held: the gateway's schedules of holds, which
    make findings of groups that the log alone leaves open; until_us: until when the log is complete.
    """
    log = world.log
    found: list[_Found] = []
    excused = {code for code, kind in kinds.items() if kind.excuses == "case"}
    private = _private(log, world.known, kinds)
    settings = watched.settings
    rarity = settings.lone_least_bits, settings.lone_least_peers
    sightings = lone_harvest.sightings(log, payer[log["account"]], private, *rarity) if alone else []
    let_go(log.columns.values())
    alone_us = np.full(len(payer), NEVER)  # when each account's payer was named alone
    for sighting in sightings:
        alone_us[payer == sighting.payer] = sighting.at_us
    taken: set[int] = set()
    doubted: list[_Doubted] = []
    for alarm in (*watched.alarms, *watched.alike):
        group = _group_of(alarm, watched, world, tenant, kinds, alone_us)
        rows = _rows_since(world, group.accounts, group.marked, alarm.at_us - watched.settings.window_us)
        if len(group.accounts) < LEAST_TENANTS or not len(rows):
            continue
        others, aside, doubt = _without_honest(world, group, rows)
        let_go((log.content,))
        if doubt:
            if not taken.issuperset(group.accounts.tolist()):
                doubted.append(_Doubted(alarm, group.accounts, rows, group.marked, doubt))
            continue
        same = None if alarm.settings is None else _same_actor(found, others)
        if same is None:  # an account is in one finding
            aside |= of_other_alarms(world, taken.intersection(others.tolist()))
            others = np.array([a for a in others if a not in taken], np.int32)
        left = replace(group, accounts=others, aside=group.aside | aside)
        one = _found_by_alarm(alarm, watched, log, left, rows)
        if same is not None:
            found[same] = _together(found[same], one)
        elif len(others) >= LEAST_TENANTS:
            found.append(one)
        else:  # too few to be a group: one of them may still be found as a lone payer
            continue
        taken.update(others.tolist())
    for alarm in watched.leads:
        least = watched.settings.looks_before_naming
        often = {p: alarm.lead_us for p, looks in alarm.looks.items() if looks >= least}
        accounts, _ = _accounts_of(often, tenant, excused)
        marked = _marked(world, alarm)
        rows = _rows_since(world, accounts, marked, alarm.lead_us - watched.settings.window_us)
        if len(accounts) >= LEAST_TENANTS and len(rows):
            doubted.append(_Doubted(alarm, accounts, rows, marked, doubt_of(alarm.judgement)))
    # --- here what refusals show makes a finding of a group that the log leaves open otherwise ---
    leads: list[Lead] = []
    for doubtful in doubted:
        by_failover = _found_by_failover(world, watched, doubtful, tenant, payer, kinds, taken)
        if by_failover is None:
            leads.append(_lead(world, doubtful))
        else:
            found.append(by_failover)
            taken.update(by_failover.actor.accounts.tolist())
    shown = _evidence_of_holds(world, held, until_us)
    for schedule, evidence in shown:
        by_holds = _found_by_holds(world, watched, schedule, evidence, doubted, tenant, payer, kinds, taken)
        if by_holds is not None:
            found.append(by_holds)
            taken.update(by_holds.actor.accounts.tolist())
    for sighting in sightings:
        accounts = np.flatnonzero(payer == sighting.payer).astype(np.int32)
        if taken & set(accounts.tolist()):
            continue
        rows = world.rows_of(accounts)
        actor = Actor(accounts, rows, np.zeros(0, np.int64), {})
        named_at = {int(a): sighting.at_us for a in accounts}
        reason = Reason(lone_harvest.NAME, sighting.text, round(sighting.total_bits, 3), n=sighting.exchanges)
        found.append(_Found(actor, sighting.at_us, sighting.p_value, named_at, reason))
    rows_of = actor_features(engine, world, [f.actor for f in found])
    population = Population(features)
    unnamed = np.ones(len(log.accounts), bool)
    for f in found:
        unnamed[f.actor.accounts] = False
    cases = []
    for k, (f, row) in enumerate(zip(found, rows_of, strict=True)):
        tell("campaigns", k + 1, len(found))
        let_go((log.content, *log.columns.values()))
        cases.append(
            campaign(
                f.actor,
                world,
                at_us=f.at_us,
                p_value=f.p_value,
                named_at_us={int(a): f.named_at_us[int(a)] for a in f.actor.accounts},
                first_reason=f.reason,
                tested=f.tested,
                own_ties=own_ties(f.actor, world, unnamed) if f.reason.detector in GROUP_TESTS else {},
                own_reactions=f.own_reactions,
                features=row,
                population=population,
            )
        )
    finding_of = {account: c.id for c in cases for account in c.accounts}
    cases = [
        replace(c, set_aside=list_set_aside(f.aside, set(f.actor.accounts.tolist()), finding_of))
        for f, c in zip(found, cases, strict=True)
    ]
    found_campaigns = sorted(cases, key=lambda c: (c.alarm_at, c.id))
    leads = [_with_holds(lead, shown) for lead in leads if not _is_found(lead, found_campaigns)]
    return (
        found_campaigns,
        sorted(leads, key=lambda lead: (lead.since, lead.id)),
        _weak(world, watched, shown, tenant, payer, found_campaigns, leads),
    )


def _weak(
    world: ActorContext,
    watched: WatchResult,
    shown: list[tuple[HoldSchedule, HoldsEvidence]],
    tenant: np.ndarray,
    payer: np.ndarray,
    found: list[Campaign],
    leads: list[Lead],
) -> tuple[HoldCandidate, ...]:
    """Groups that only holds could tell more of. What the log or holds have judged is in none."""
    log = world.log
    code = {name: k for k, name in enumerate(log.accounts)}
    judged = [a for campaign in found for a in campaign.accounts]
    judged += [a for lead in leads for a in lead.accounts]
    judged += [a for schedule, _ in shown for a in schedule.accounts]
    groups = [(p_value, np.flatnonzero(np.isin(tenant, members))) for p_value, members in watched.groups]
    schedules = [schedule for schedule, _ in shown]
    weak = weak_groups(log, payer, groups, [code[a] for a in judged if a in code], schedules)
    return with_shares(log, still_open(shown) + weak)


@dataclass(frozen=True)
class _Doubted:
    """A group that may be of many hands, and why: a lead unless its refused work shows otherwise."""

    alarm: Alarm
    accounts: np.ndarray
    rows: np.ndarray  # its exchanges since it took up what it shares
    marked: np.ndarray  # (exchanges,) bool: those that show what it shares
    doubt: str


@dataclass(frozen=True)
class _Group:
    """Whom an alarm names, with the whole log in sight."""

    accounts: np.ndarray
    named_at: dict[int, int]
    marked: np.ndarray  # (exchanges,) bool: those that show what the group shares
    aside: Aside


def _group_of(
    alarm: Alarm,
    watched: WatchResult,
    world: ActorContext,
    tenant: np.ndarray,
    kinds: dict[int, KindOfUse],
    alone_us: np.ndarray,
) -> _Group:
    own, marked = alarm.own_fingerprints(), _marked(world, alarm)
    copied, confirmed = copied_from(watched.spread, own), alarm.confirmed()
    everybody, named_at = _accounts_of(confirmed, tenant, set())
    aside = bystanders(world, everybody.tolist(), tenant, copied, kinds)
    # an alarm stands: who was named alone before stays alone
    alone = {a for a in everybody.tolist() if named_at[a] > alone_us[a]} - aside.keys()
    accounts = np.array([a for a in everybody.tolist() if a not in aside and a not in alone], np.int32)
    if alarm.settings is None:
        accounts = _using_signature(watched, tenant, _carrying(world, accounts, own))
    before = {} if alarm.judgement is None else alarm.judgement.aside
    aside = before_the_alarm(world, tenant, marked, before) | of_other_alarms(world, alone) | aside
    return _Group(accounts, named_at, marked, aside)


def _without_honest(world: ActorContext, group: _Group, rows: np.ndarray) -> tuple[np.ndarray, Aside, str]:
    """A group's accounts less those with an honest explanation, these, and why the rest may be many hands."""
    aside = users_of_software(world, group.accounts)
    others = _without(group.accounts, aside)
    # what was found of the whole says little of the few that are left of it
    enough = max(LEAST_TENANTS, MOSTLY_OTHERS * len(group.accounts))
    doubt = "" if len(others) >= enough else SOFTWARE
    aside |= openly_together(world, others)
    others = _without(others, aside)
    doubt = doubt if doubt or len(others) >= enough else TOGETHER
    taught = students(world, others)
    if not doubt and len(others) - len(taught) < LEAST_TENANTS:
        doubt = one_customer(world.known, others) or CLASS
    others = _without(others, taught)
    return others, aside | taught, doubt or _doubt(world, others, rows, group.marked)


def _without(accounts: np.ndarray, aside: Aside) -> np.ndarray:
    return np.setdiff1d(accounts, np.array(sorted(aside), np.int32))


def _found_by_alarm(
    alarm: Alarm, watched: WatchResult, log: ExchangeLog, group: _Group, rows: np.ndarray
) -> _Found:
    actor = Actor(
        group.accounts,
        rows[np.isin(log["account"][rows], group.accounts)],
        alarm.own_fingerprints(),
        dict(alarm.p_settings),
    )
    reason = _group_reason(alarm, watched, log)
    # who had used new settings before is not told by the harvest: nobody could compute that test again
    tested = alarm.tested if alarm.settings is None else ()
    return _Found(actor, alarm.at_us, alarm.p_value, group.named_at, reason, tested, aside=group.aside)


def _same_actor(found: list[_Found], accounts: np.ndarray) -> int | None:
    """Which finding has half of its accounts, or half of these, in common with these accounts."""
    for k, one in enumerate(found):
        both = len(np.intersect1d(one.actor.accounts, accounts))
        if both >= SAME_GROUP * min(len(one.actor.accounts), len(accounts)):
            return k
    return None


def _together(one: _Found, other: _Found) -> _Found:
    """One actor that was found by what it says and by its settings: the earlier alarm is the alarm."""
    first, second = sorted((one, other), key=lambda f: f.at_us)
    actor = Actor(
        np.union1d(one.actor.accounts, other.actor.accounts),
        np.union1d(one.actor.rows, other.actor.rows),
        one.actor.own_fingerprints,
        first.actor.p_settings,
    )
    named = second.named_at_us | first.named_at_us
    for account in second.named_at_us.keys() & first.named_at_us.keys():
        named[account] = min(first.named_at_us[account], second.named_at_us[account])
    return replace(first, actor=actor, named_at_us=named, aside=second.aside | first.aside)


def _found_by_failover(
    world: ActorContext,
    watched: WatchResult,
    group: _Doubted,
    tenant: np.ndarray,
    payer: np.ndarray,
    kinds: dict[int, KindOfUse],
    taken: set[int],
) -> _Found | None:
    """Give the finding that refused work makes of a lead, or None.

    It names who took part: who asked what another customer was refused, and whose refused text was asked.
    Where all that the group asks is of one source, and no product is common in it, it names the others as
    well who carry its wording, but for whom it was copied from.
    """
    log = world.log
    accounts = np.array([a for a in group.accounts if int(a) not in taken], np.int32)
    left_out = FAILOVER not in watched.settings.parts
    if left_out or world.known is None or len(accounts) < LEAST_TENANTS:
        return None
    if failover_least_p_value(log, world.rows_of(accounts)) > LEVEL:
        return None  # without counting over the whole log
    found = failover_finding(log, accounts, world.once(_customers))
    if found is None:
        return None
    own = group.alarm.own_fingerprints()
    named = dict.fromkeys(_of_one_source(world, watched, group, accounts, tenant), found.found_us)
    named |= found.named_us
    codes = np.array(sorted(named), np.int32)
    if len(set(payer[codes].tolist())) < LEAST_NAMED or one_customer(world.known, codes):
        return None
    since_us = min(group.alarm.lead_us, group.alarm.at_us)
    rows = world.rows_of(codes)
    rows = rows[np.isin(rows, group.rows) | (log["ts_us"][rows] >= since_us)]
    return _Found(
        Actor(codes, rows, own, {}),
        max(found.found_us, since_us),
        found.p_value,
        {code: max(at_us, since_us) for code, at_us in named.items()},
        failover_reason(found),
        own_reactions={log.accounts[code]: one for code, one in found.own.items()},
        aside=_not_named(world, watched, group, tenant, kinds, taken),
    )


def _not_named(
    world: ActorContext,
    watched: WatchResult,
    group: _Doubted,
    tenant: np.ndarray,
    kinds: dict[int, KindOfUse],
    taken: set[int],
) -> Aside:
    """Of a lead's accounts those that a finding by refused work or holds must not name for their wording."""
    copied = copied_from(watched.spread, group.alarm.own_fingerprints())
    accounts = group.accounts.tolist()
    return of_other_alarms(world, taken.intersection(accounts)) | bystanders(
        world, accounts, tenant, copied, kinds
    )


def _of_one_source(
    world: ActorContext, watched: WatchResult, group: _Doubted, accounts: np.ndarray, tenant: np.ndarray
) -> list[int]:
    """Codes of the accounts that carry a lead's wording, but for whom it was copied from.

    None unless all that the lead asks is of one source, and no product is common in it.
    """
    judgement, own = group.alarm.judgement, group.alarm.own_fingerprints()
    one_source = judgement is not None and judgement.content.hands is Hands.ONE
    if not one_source or users_of_software(world, accounts):
        return []
    copied = copied_from(watched.spread, own)
    alike = _using_signature(watched, tenant, _carrying(world, accounts, own))
    return [int(a) for a in alike if int(tenant[a]) not in copied]


def _customers(world: ActorContext) -> np.ndarray:
    every = np.arange(len(world.log.accounts))
    payer = every if world.payer is None else world.payer
    return payer if world.known is None else customers(world.log, world.known, payer)


def _evidence_of_holds(
    world: ActorContext, held: Sequence[HoldSchedule], until_us: int
) -> list[tuple[HoldSchedule, HoldsEvidence]]:
    log = world.log
    if not held or len(log) == 0:
        return []
    until_us = min(until_us, int(log["ts_us"][-1]))
    customer = world.once(_customers).tolist()
    tenant_of = {name: str(customer[code]) for code, name in enumerate(log.accounts)}
    first_us = int(log["ts_us"][0])  # of a schedule that ended before it nothing is left to be seen
    return [(one, holds_evidence(log, one, until_us, tenant_of)) for one in held if one.end_us > first_us]


def _found_by_holds(
    world: ActorContext,
    watched: WatchResult,
    schedule: HoldSchedule,
    evidence: HoldsEvidence,
    doubted: Sequence[_Doubted],
    tenant: np.ndarray,
    payer: np.ndarray,
    kinds: dict[int, KindOfUse],
    taken: set[int],
) -> _Found | None:
    """Give the finding that holds of a group make, of those accounts whose own part shows it.

    Where most of them are of one lead of one source, the others who carry its wording are named as well, as
    refused work names them. None where holds make no finding, where too few customers are left of it, or
    where it is openly one customer.
    """
    if evidence.found_us is None:
        return None
    log = world.log
    code = {name: k for k, name in enumerate(log.accounts)}
    shown = [code[name] for name in evidence.named_us]
    aside = of_other_alarms(world, taken.intersection(shown)) | bystanders(world, shown, tenant, {}, kinds)
    left_out = taken | aside.keys()
    named = {code[name]: at_us for name, at_us in evidence.named_us.items() if code[name] not in left_out}
    if len(set(payer[list(named)].tolist())) < LEAST_NAMED:
        return None
    own = {log.accounts[a]: evidence.own[log.accounts[a]] for a in named}
    fingerprints = np.zeros(0, np.int64)
    for group in doubted:
        inside = np.array([a for a in group.accounts.tolist() if a not in left_out], np.int32)
        if len(named.keys() & set(inside.tolist())) < SAME_GROUP * len(named):
            continue
        if others := _of_one_source(world, watched, group, inside, tenant):
            named = dict.fromkeys(others, evidence.found_us) | named
            fingerprints = group.alarm.own_fingerprints()
            aside |= _not_named(world, watched, group, tenant, kinds, taken)
            break
    accounts = np.array(sorted(named), np.int32)
    if world.known is not None and one_customer(world.known, accounts):
        return None
    rows = world.rows_of(accounts)
    rows = rows[log["ts_us"][rows] >= schedule.start_us]
    actor = Actor(accounts, rows, fingerprints, {})
    return _Found(
        actor,
        evidence.found_us,
        evidence.p_value,
        named,
        holds_reason(evidence),
        own_reactions=own,
        aside=aside,
    )


def _is_found(lead: Lead, found: list[Campaign]) -> bool:
    """Whether refusals have made a finding of most of a lead."""
    mine = set(lead.accounts)
    by_refusals = [c for c in found if c.own_reactions]
    return any(len(mine.intersection(c.accounts)) >= SAME_GROUP * len(mine) for c in by_refusals)


def _with_holds(lead: Lead, shown: list[tuple[HoldSchedule, HoldsEvidence]]) -> Lead:
    """Add to a lead what holds of it have shown so far."""
    mine = set(lead.accounts)
    sentences = [
        evidence.text
        for schedule, evidence in shown
        if evidence.blocks and len(mine.intersection(schedule.accounts)) >= SAME_GROUP * len(mine)
    ]
    return replace(lead, text=". ".join([lead.text, *sentences])) if sentences else lead


def _doubt(world: ActorContext, accounts: np.ndarray, rows: np.ndarray, marked: np.ndarray) -> str:
    """Why an alarm's accounts may be many hands after all, by everything that the log holds of them, or "".

    rows: their exchanges since they took up what they share. Those that show none of it (`marked`) count for
    nothing. A group of which a part is of one source keeps all that the watch has named.
    """
    log = world.log
    every = rows[np.isin(world.log["account"][rows], accounts)]
    whose = (log["account"], accounts.tolist(), log.accounts.__getitem__)
    shared = every[marked[every]]
    content = content_of(log, shared, *whose)
    if content.hands is Hands.MANY and not one_source_parts(log, shared, *whose, LEAST_TENANTS):
        return many_hands_text(content)
    # a shared question may be the wording itself: so all that they ask counts here
    few = few_questions(content)
    repeated = same_questions(content_of(log, every, *whose), log, every, log["account"]) if few else ""
    return one_customer(world.known, accounts) or repeated


def many_hands_text(content: ContentTest) -> str:
    """Why a group of many hands stays a lead."""
    return (
        f"what is asked clings to accounts as it does with people: sessions of one account are "
        f"{content.effect:.1%} more alike than of different ones (p {content.p_value:.2g})"
    )


def doubt_of(judgement: Judgement | None) -> str:
    """Why a group whose settings are too alike may be many hands, as a sentence."""
    if judgement is None:
        return UNSURE
    if judgement.explanation:
        return judgement.explanation
    return many_hands_text(judgement.content) if judgement.content.hands is Hands.MANY else UNSURE


def _marked(world: ActorContext, alarm: Alarm) -> np.ndarray:
    """(exchanges,) bool: those that show what an alarm's accounts share.

    Their settings; else at least two of their own fingerprints, or of any where they have none.
    """
    log = world.log
    if alarm.settings is not None:
        limit, temperature = alarm.settings
        return (log["max_tokens"] == limit) & (log["temperature_milli"] == temperature)
    own = alarm.own_fingerprints()
    if not len(own):
        every: np.ndarray = world.once(_marked_by_any)
        return every
    rows, carried = np.unique(world.use_row[world.uses_of(own)], return_counts=True)
    marked = np.zeros(len(log), bool)
    marked[rows[carried >= NEEDED]] = True
    return marked


def _lead(world: ActorContext, group: _Doubted) -> Lead:
    alarm, accounts = group.alarm, group.accounts
    log = world.log
    names = tuple(sorted(log.accounts[a] for a in accounts))
    hands = alarm.judgement.content.hands if alarm.judgement else Hands.OPEN
    since = moment(min(alarm.lead_us, alarm.at_us))
    carrying = int(group.marked[group.rows].sum())
    text = group.doubt + _failover_text(world, accounts, names)
    # quoted, and no way to a finding: people who pass answers on to each other show the same (docs/lab.md)
    echo = group_evidence(world, accounts)
    echoes: tuple[Echo, ...] = ()
    if echo is not None:
        text += f". {echo.text}"
        echoes = tuple(
            Echo(
                log.accounts[one.answered],
                moment(one.answered_us),
                log.accounts[one.quoted_by],
                moment(one.quoted_us),
                one.passages,
            )
            for one in echo.echoes
        )
    return Lead(lead_id(alarm), since, alarm.p_value, names, carrying, str(hands), text, echoes)


def lead_id(alarm: Alarm) -> str:
    """Give a lead's id, which stays when its accounts change: a schedule of holds goes by it."""
    what = f"{alarm.lead_us} {alarm.looked_at_us[0]} {alarm.first_account}"
    digest = hashlib.blake2b(what.encode("utf-8", "surrogatepass"), digest_size=5, person=b"stillwatch.lead")
    return f"lead-{digest.hexdigest()}"


def _failover_text(world: ActorContext, accounts: np.ndarray, names: tuple[str, ...]) -> str:
    """Say whether another account of a lead repeats what one was refused; "" where that shows nothing."""
    if failover_least_p_value(world.log, world.rows_of(accounts)) > FAILOVER_P_VALUE:
        return ""
    evidence = failover_evidence(world.log, names, customer=world.once(_customers))
    return f". {evidence.text}" if evidence.p_value <= FAILOVER_P_VALUE else ""


def _private(log: ExchangeLog, known: AccountFacts | None, kinds: dict[int, KindOfUse]) -> np.ndarray:
    """(accounts,) bool: no organisation, and no permission but one for synthetic data.

    Permitted synthetic data is measured like any harvest: the permission then suppresses the case.
    """
    if known is None:
        return np.ones(len(log.accounts), bool)
    measured = {code for code, kind in kinds.items() if kind.kind == "permitted_synthetic"}
    held = enumerate(zip(known.org, known.permissions, strict=True))
    return np.array([not org and (not given or k in measured) for k, (org, given) in held], bool)


def _accounts_of(
    named: dict[int, int], tenant: np.ndarray, excused: set[int]
) -> tuple[np.ndarray, dict[int, int]]:
    """The accounts of named tenants, less those whose use is permitted, and when each was named."""
    named_at = {
        int(code): named[int(p)]
        for code, p in enumerate(tenant)
        if int(p) in named and int(code) not in excused
    }
    return np.array(sorted(named_at), np.int32), named_at


def _carrying(world: ActorContext, accounts: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The accounts that carry a tenth of the fingerprints that the median one carries, and three at least.

    Where an actor has hardly any fingerprints of its own, nothing can be asked of its accounts.
    """
    if len(own) < FEW_FINGERPRINTS or len(accounts) == 0:
        return accounts
    log = world.log
    fingerprints = len(world.fingerprint_kind)
    use = world.uses_of(own)
    pairs = distinct(
        log["account"][world.use_row[use]].astype(np.int64) * fingerprints + world.use_fingerprint[use]
    )
    carried = np.bincount(pairs // fingerprints, minlength=len(log.accounts))[accounts]
    usual = float(np.median(carried))
    return accounts[carried >= least_carried(len(own), usual)]


def _using_signature(watched: WatchResult, tenant: np.ndarray, accounts: np.ndarray) -> np.ndarray:
    """The accounts that used a fingerprint that is mostly theirs, by the whole log; all where none is.

    A group without a signature is a chain of links: an account may hang on one link to a neighbour, and have
    nothing that the others have.
    """
    members = np.unique(tenant[accounts]).astype(np.int32)
    own = watched.signature.own(members, 0, NEVER)
    if not len(own):
        return accounts
    using = members[watched.signature.entries(own, members, 0, NEVER) > 0]
    return accounts[np.isin(tenant[accounts], using)]


def least_carried(own: int, usual: float) -> float:
    """How many of its actor's own fingerprints an account must carry; the median account carries `usual`."""
    return max(3.0, 0.1 * usual) if own >= FEW_FINGERPRINTS and usual >= FEW_CARRIED else 0.0


def _rows_since(world: ActorContext, accounts: np.ndarray, marked: np.ndarray, since_us: int) -> np.ndarray:
    """Every exchange of the accounts since each first showed what they share (`marked`).

    since_us: the beginning of the window that raised the alarm; what lies further back is left out.
    """
    log = world.log
    theirs = world.rows_of(accounts)
    rows = theirs[marked[theirs] & (log["ts_us"][theirs] >= since_us)]
    first = np.full(len(log.accounts), len(log), np.int64)
    np.minimum.at(first, log["account"][rows], rows)
    return theirs[theirs >= first[log["account"][theirs]]]


def _marked_by_any(world: ActorContext) -> np.ndarray:
    """(exchanges,) bool: those that carry at least two fingerprints, whosever they are."""
    marked: np.ndarray = np.bincount(world.use_row, minlength=len(world.log)) >= NEEDED
    return marked


def _group_reason(alarm: Alarm, watched: WatchResult, log: ExchangeLog) -> Reason:
    bits = float(min(40.0, -np.log2(max(alarm.p_value, 1e-300))))
    if alarm.settings is not None:
        return _settings_reason(alarm, round(bits, 3))
    value = alarm.dominant[0] if alarm.dominant else -1
    model = log.models[int(watched.codes[0][value])] if value >= 0 else ""
    return Reason(
        TEST_NAME,
        f"accounts that came to share wording at the same time also act alike ({alarm.share[0]:.0%} mostly "
        f"use {model or 'one model'}): a chance of {alarm.p_value:.1g} if they were independent",
        round(bits, 3),
        float(alarm.share[0]),
        float(watched.base[0][value]) if value >= 0 else None,
        None,
        len(alarm.named),
    )


def _settings_reason(alarm: Alarm, bits: float) -> Reason:
    test = alarm.tested[0]
    limit, temperature = str(test.value).split(", ")
    return Reason(
        new_settings.NAME,
        f"{test.count} accounts came to use one output limit ({limit}) and temperature ({temperature}) "
        f"within days, which {test.share:.2%} of accounts had used before; what they ask is of one source: a "
        f"chance of {alarm.p_value:.1g} if each had picked its settings by itself",
        bits,
        test.count / max(test.of, 1),
        test.share,
        None,
        test.count,
    )
