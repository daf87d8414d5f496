"""Campaigns from alarms: which accounts, which exchanges, since when. It raises no alarm.

What is kept of an alarm's accounts is decided here, with the whole log in sight; when they were named is not.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from stillwatch.actors import IN_USE, AccountFacts, Actor, ActorContext, evidence_bits
from stillwatch.actors.clues.echo import group_evidence
from stillwatch.actors.groups import LEAST_TENANTS
from stillwatch.actors.sessions import content_of, one_source_parts
from stillwatch.actors.signature import NEEDED
from stillwatch.actors.spread import Spread
from stillwatch.detectors import Population, lone_harvest
from stillwatch.engine import SqlEngine
from stillwatch.exchanges.column_file import let_go, trim_heap
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.features.kinds import KindOfUse
from stillwatch.scan import (
    Campaign,
    Echo,
    Lead,
    OwnReaction,
    OwnTie,
    Reason,
    SettingTest,
    Tell,
    holds,
    new_settings,
)
from stillwatch.scan.alarms import NEVER, Alarm, Judgement
from stillwatch.scan.assemble import actor_features, campaign
from stillwatch.scan.candidates import still_open, weak_groups, with_shares
from stillwatch.scan.explanations import (
    SHORT,
    answer_size,
    customers,
    few_questions,
    one_customer,
    same_material,
    same_questions,
    share_instruments,
    short_answers,
)
from stillwatch.scan.failover import (
    LEVEL,
    FailoverFinding,
    failover_evidence,
    failover_finding,
    failover_least_p_value,
    failover_reason,
)
from stillwatch.scan.failover_groups import SAME_GROUP, FailoverGroup, failover_groups
from stillwatch.scan.follow import DEVOTED_LEAST
from stillwatch.scan.harvest import moment
from stillwatch.scan.holds import LEAST_NAMED, HoldsEvidence, holds_evidence, holds_reason
from stillwatch.scan.more_accounts import KnownGroup, MoreAccounts, more_accounts
from stillwatch.scan.own_tie import own_ties
from stillwatch.scan.parts import FAILOVER, FOLLOW, GROUP_TESTS, TEST_NAME
from stillwatch.scan.set_aside import (
    OTHER,
    Aside,
    before_the_alarm,
    bystanders,
    copied_from,
    keep_signature,
    list_set_aside,
    of_other_alarms,
    openly_together,
    students,
    users_of_software,
)
from stillwatch.scan.settings import DetectionSettings
from stillwatch.scan.signups import ANY_SPAN, SIGNED_TOGETHER, SignupSpan
from stillwatch.scan.watch import WatchResult
from stillwatch.stats.dealing import distinct
from stillwatch.stats.exchangeability import ContentTest, Hands
from stillwatch.terms.holds import HoldCandidate, HoldSchedule

UNSURE = "too few sessions, an hour apart and of the same accounts, to tell one source from many"
CLASS = "nearly all of its accounts are of teaching institutions: a class"
TOGETHER = (
    "most of its accounts send from networks that others of them use, in an office, a class or at an event: "
    "such people are no hidden pool"
)
NOT_THEIRS = (
    "others sit together or run one product, and what the rest shares was mostly the wording of those: what "
    "was found of the group says little of the rest"
)
NOTHING_LEFT = (
    "all that its accounts ask is wording that they share, as where people work through one public set: "
    "nothing is left to tell one source from many"
)
SOFTWARE = "most of its accounts run one vendor's product, whose defaults explain equal settings"
MOSTLY_OTHERS = 0.5  # of a finding's accounts must be no users of such a product, nor sit together
FAILOVER_P_VALUE = 1e-2  # of repeated refusals, at most: then a lead's text mentions them
OWN_LEVEL = 0.05  # an account's own p-value, at most, where a finding's wording alone adds it
FEW_FINGERPRINTS = 20  # own fingerprints below which nothing is asked of an account
FEW_CARRIED = 6  # nor where the median account carries fewer than this


@dataclass(frozen=True)
class _ActorFinding:
    """An alarm's actor before it is put into words."""

    actor: Actor
    at_us: int
    p_value: float
    named_at_us: dict[int, int]
    reason: Reason
    context: ActorContext
    tested: tuple[SettingTest, ...] = ()
    own_reactions: dict[str, OwnReaction] = field(default_factory=dict)
    aside: Aside = field(default_factory=dict)  # whom it could have named, and does not
    more: tuple[Reason, ...] = ()  # what other ways led to the same actor
    learnt: tuple[ActorContext, Actor] | None = None  # the wording that accounts were added by, and these


@dataclass(frozen=True)
class _DoubtfulGroup:
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


def campaigns(
    engine: SqlEngine,
    context: ActorContext,
    watched: WatchResult,
    features: pa.Table,
    kinds: dict[int, KindOfUse],
    tell: Tell,
    *,
    alone: bool = True,
    schedules: Sequence[HoldSchedule] = (),
    until_us: int = NEVER,
    established: tuple[ActorContext, WatchResult] | None = None,
) -> tuple[list[Campaign], list[Lead], tuple[HoldCandidate, ...]]:
    """Every alarm as a campaign, in the order of the alarms, the groups that remain leads, and weak groups.

    features, kinds: of every account; alone: whether to search for payers that harvest alone; schedules: the
    gateway's holds, which make findings of groups that the log alone leaves open; until_us: until when the
    log is complete; established: what a watch of wording says that was in use when the log began.
    """
    log, payer = context.log, context.payers
    builder = _FindingsBuilder(context, watched, kinds)
    private = _private_accounts(log, context.known, kinds)
    rarity = watched.settings.lone_least_bits, watched.settings.lone_least_peers
    sightings = lone_harvest.sightings(log, payer[log["account"]], private, *rarity) if alone else []
    let_go(log.columns.values())
    trim_heap()
    alone_us = np.full(len(payer), NEVER)  # when each account's payer was named alone
    for sighting in sightings:
        alone_us[payer == sighting.payer] = sighting.at_us
    for alarm in (*watched.alarms, *watched.alike):
        builder.add_alarm(alarm, alone_us)
    for alarm in watched.leads:
        builder.add_lead(alarm)
    leads = [_lead(context, group) for group in builder.doubtful if not builder.add_failover(group)]
    hold_evidence = _evidence_of_holds(context, schedules, until_us)
    for schedule, evidence in hold_evidence:
        builder.add_holds(schedule, evidence)
    if established is not None:
        builder.add_established(*established, alone_us)
    builder.add_failover_groups()
    builder.add_more_accounts()
    for sighting in sightings:
        builder.add_lone_payer(sighting)
    trim_heap()
    cases = _cases(engine, context, builder.findings, Population(features), tell)
    leads = [_with_holds(lead, hold_evidence) for lead in leads if not _is_in_finding(lead, cases)]
    leads = sorted(leads, key=lambda lead: (lead.since, lead.id))
    let_go(log.columns.values())
    trim_heap()
    return cases, leads, _weak_candidates(context, watched, hold_evidence, cases, leads)


def _cases(
    engine: SqlEngine,
    context: ActorContext,
    findings: list[_ActorFinding],
    population: Population,
    tell: Tell,
) -> list[Campaign]:
    """Findings as campaigns, in the order of their alarms."""
    log = context.log
    unnamed = np.ones(len(log.accounts), bool)
    for finding in findings:
        unnamed[finding.actor.accounts] = False
    cases = []
    rows = actor_features(engine, context, [finding.actor for finding in findings])
    for k, (finding, row) in enumerate(zip(findings, rows, strict=True)):
        tell("campaigns", k + 1, len(findings))
        let_go((log.content, *log.columns.values(), context.use_row, context.use_fingerprint))
        of_group = finding.reason.detector in GROUP_TESTS
        cases.append(
            campaign(
                finding.actor,
                finding.context,
                at_us=finding.at_us,
                p_value=finding.p_value,
                named_at_us={int(a): finding.named_at_us[int(a)] for a in finding.actor.accounts},
                first_reason=finding.reason,
                more=finding.more,
                tested=finding.tested,
                own_ties=_own_ties(finding, unnamed) if of_group else {},
                own_reactions=finding.own_reactions,
                features=row,
                population=population,
            )
        )
    finding_of = {account: case.id for case in cases for account in case.accounts}
    cases = [
        replace(
            case, set_aside=list_set_aside(finding.aside, set(finding.actor.accounts.tolist()), finding_of)
        )
        for finding, case in zip(findings, cases, strict=True)
    ]
    return sorted(cases, key=lambda case: (case.alarm_at, case.id))


def _weak_candidates(
    context: ActorContext,
    watched: WatchResult,
    hold_evidence: list[tuple[HoldSchedule, HoldsEvidence]],
    cases: list[Campaign],
    leads: list[Lead],
) -> tuple[HoldCandidate, ...]:
    """Groups that only holds could tell more of. What the log or holds have judged is in none."""
    log, tenant = context.log, context.tenants
    code = {name: k for k, name in enumerate(log.accounts)}
    schedules = [schedule for schedule, _ in hold_evidence]
    judged = [account for case in cases for account in case.accounts]
    judged += [account for lead in leads for account in lead.accounts]
    judged += [account for schedule in schedules for account in schedule.accounts]
    groups = [(p_value, np.flatnonzero(np.isin(tenant, members))) for p_value, members in watched.groups]
    weak = weak_groups(log, context.payers, groups, [code[a] for a in judged if a in code], schedules)
    return with_shares(log, still_open(hold_evidence) + weak)


class _FindingsBuilder:
    """The findings so far, and the groups that may be of many hands. An account is in one finding."""

    def __init__(self, context: ActorContext, watched: WatchResult, kinds: dict[int, KindOfUse]) -> None:
        self.context, self.watched, self.kinds = context, watched, kinds
        self.findings: list[_ActorFinding] = []
        self.doubtful: list[_DoubtfulGroup] = []
        self.taken: set[int] = set()  # accounts of the findings
        self.excused = {code for code, kind in kinds.items() if kind.excuses == "case"}

    def add_established(self, context: ActorContext, watched: WatchResult, alone_us: np.ndarray) -> None:
        """Add findings of groups whose wording was in use when the log began, of accounts that none has."""
        older = _FindingsBuilder(context, watched, self.kinds)
        older.findings, older.taken = self.findings, self.taken
        for alarm in watched.alarms:
            older.add_alarm(alarm, alone_us)

    def _add(self, finding: _ActorFinding) -> None:
        self.findings.append(finding)
        self.taken.update(finding.actor.accounts.tolist())

    # --- what the watch raised --------------------------------------------------------------------------

    def add_alarm(self, alarm: Alarm, alone_us: np.ndarray) -> None:
        """Make a raised alarm a finding, a part of one, or a doubtful group.

        alone_us: (accounts,) when each account's payer was named alone.
        """
        context, group = self.context, self._group_of(alarm, alone_us)
        since_us = alarm.at_us - self.watched.settings.window_us
        rows = _rows_since(context, group.accounts, group.marked, since_us)
        if len(group.accounts) < LEAST_TENANTS or not len(rows):
            return
        others, aside, doubt = _remove_honest(context, group, rows, self.watched.settings.short_answer_tokens)
        let_go((context.log.content,))
        spread, own, left = self.watched.spread, alarm.own_fingerprints(), context.tenants[others]
        if aside and not doubt and not keep_signature(spread, own, left):
            doubt = NOT_THEIRS
        if doubt:
            if not self.taken.issuperset(group.accounts.tolist()):
                self.doubtful.append(_DoubtfulGroup(alarm, group.accounts, rows, group.marked, doubt))
            return
        same = None if alarm.settings is None else self._same_actor(others)
        if same is None:
            aside |= of_other_alarms(context, self.taken.intersection(others.tolist()))
            others = np.array([a for a in others if a not in self.taken], np.int32)
        if not self._made_together(others):
            return
        finding = self._finding(alarm, replace(group, accounts=others, aside=group.aside | aside), rows)
        if same is not None:
            self.findings[same] = _merge_findings(self.findings[same], finding)
            self.taken.update(others.tolist())
        elif len(others) >= LEAST_TENANTS:  # fewer are no group: one may still be found as a lone payer
            self._add(finding)

    def add_lead(self, alarm: Alarm) -> None:
        """Take a lead of the watch in, as a doubtful group of those whose use is not permitted."""
        context, least = self.context, self.watched.settings.looks_before_naming
        often = {p: alarm.lead_us for p, times in alarm.evaluations.items() if times >= least}
        accounts, _ = _accounts_of(often, context.tenants, self.excused)
        marked = _marked_rows(context, alarm)
        rows = _rows_since(context, accounts, marked, alarm.lead_us - self.watched.settings.window_us)
        if len(accounts) >= LEAST_TENANTS and len(rows):
            self.doubtful.append(_DoubtfulGroup(alarm, accounts, rows, marked, doubt_of(alarm.judgement)))

    def _group_of(self, alarm: Alarm, alone_us: np.ndarray) -> _Group:
        context, tenant = self.context, self.context.tenants
        own, marked = alarm.own_fingerprints(), _marked_rows(context, alarm)
        copied = copied_from(self.watched.spread, own)
        confirmed = alarm.confirmed(context.once(_last_us))
        everybody, named_at = _accounts_of(confirmed, tenant, set())
        aside = bystanders(context, everybody.tolist(), copied, self.kinds)
        # an alarm is not taken back: who was named alone before stays alone
        alone = {a for a in everybody.tolist() if named_at[a] > alone_us[a]} - aside.keys()
        accounts = np.array([a for a in everybody.tolist() if a not in aside and a not in alone], np.int32)
        accounts = who_took_part(context.log["account"], tenant, accounts, marked)
        if alarm.settings is None:
            accounts = self._using_signature(_matching_accounts(context, accounts, own))
        before = {} if alarm.judgement is None else alarm.judgement.aside
        aside = before_the_alarm(context, marked, before) | of_other_alarms(context, alone) | aside
        return _Group(accounts, named_at, marked, aside)

    def _finding(self, alarm: Alarm, group: _Group, rows: np.ndarray) -> _ActorFinding:
        log = self.context.log
        rows = rows[np.isin(log["account"][rows], group.accounts)]
        actor = Actor(group.accounts, rows, alarm.own_fingerprints(), dict(alarm.p_settings))
        reason = _group_reason(alarm, self.watched, log)
        if self.watched.signups is not None:
            reason = replace(reason, text=f"{reason.text}. {self._signup_span(group.accounts).text}")
        # a bundle holds no exchange from before the harvest: it cannot show who had used new settings before
        tested = alarm.tested if alarm.settings is None else ()
        return _ActorFinding(
            actor, alarm.at_us, alarm.p_value, group.named_at, reason, self.context, tested, aside=group.aside
        )

    def _made_together(self, accounts: np.ndarray) -> bool:
        """Whether accounts signed up together, and not because somebody pays for half of them.

        A sponsor's vouchers pay for a class, and a firm's card for its staff. They sign up together as well.
        Asked only where their wording was in use when the log began.
        """
        if self._signup_span(accounts).p_value > SIGNED_TOGETHER:
            return False
        sponsored = share_instruments(self.context.known, accounts, self.context.tenants)
        return self.watched.signups is None or not sponsored

    def _signup_span(self, accounts: np.ndarray) -> SignupSpan:
        """When accounts signed up; asked only where their wording was in use when the log began."""
        signups = self.watched.signups
        return ANY_SPAN if signups is None else signups.span(np.unique(self.context.tenants[accounts]), NEVER)

    def _same_actor(self, accounts: np.ndarray) -> int | None:
        """Which finding has half of its accounts, or half of these, in common with these accounts."""
        for k, finding in enumerate(self.findings):
            shared = len(np.intersect1d(finding.actor.accounts, accounts))
            if shared >= SAME_GROUP * min(len(finding.actor.accounts), len(accounts)):
                return k
        return None

    def _using_signature(self, accounts: np.ndarray) -> np.ndarray:
        """The accounts that used a fingerprint that is mostly or typically theirs, by the whole log.

        All where none is. A group without a signature is a chain of links: an account may hang on one link
        to a neighbour, and have nothing that the others have.
        """
        signature, tenant = self.watched.signature, self.context.tenants
        members = np.unique(tenant[accounts]).astype(np.int32)
        own = signature.own(members, 0, NEVER)
        if not len(own):
            return accounts
        own = np.union1d(own, signature.typical(members))
        using = members[signature.entries(own, members, 0, NEVER) > 0]
        return accounts[np.isin(tenant[accounts], using)]

    # --- what refusals show -----------------------------------------------------------------------------

    def add_failover(self, group: _DoubtfulGroup) -> bool:
        """Make a finding of a lead whose refused work goes on at its other accounts; say whether it is one.

        It names who took part: who asked what another customer was refused, and whose refused text was asked.
        Where all that the group asks is of one source, and no product is common in it, it names the others as
        well who carry its wording, but for whom it was copied from.
        """
        context, log = self.context, self.context.log
        accounts = np.array([a for a in group.accounts if int(a) not in self.taken], np.int32)
        left_out = FAILOVER not in self.watched.settings.parts
        if left_out or context.known is None or len(accounts) < LEAST_TENANTS:
            return False
        if failover_least_p_value(log, context.rows_of(accounts)) > LEVEL:
            return False  # without counting over the whole log
        failover = failover_finding(log, accounts, context.once(_customers))
        if failover is None:
            return False
        others = dict.fromkeys(self._of_one_source(group, accounts), failover.found_us)
        named = {**others, **failover.named_us}
        codes = np.array(sorted(named), np.int32)
        if self._few_payers(codes) or one_customer(context.known, codes):
            return False
        since_us = min(group.alarm.lead_us, group.alarm.at_us)
        rows = context.rows_of(codes)
        rows = rows[np.isin(rows, group.rows) | (log["ts_us"][rows] >= since_us)]
        finding = _ActorFinding(
            Actor(codes, rows, group.alarm.own_fingerprints(), {}),
            max(failover.found_us, since_us),
            failover.p_value,
            {code: max(at_us, since_us) for code, at_us in named.items()},
            failover_reason(failover),
            context,
            own_reactions={log.accounts[code]: reaction for code, reaction in failover.own.items()},
            aside=self._not_named(group),
        )
        self._add(finding)
        return True

    def add_failover_groups(self) -> None:
        """Add findings of groups that refused work forms, or what it shows of a finding's accounts to that.

        They name who took part, but for those whose use is permitted.
        """
        context, log = self.context, self.context.log
        groups, customer = groups_by_refusals(context, self.watched.settings), context.once(_customers)
        suspects = set().union(*(group.accounts for group in groups))
        for group in groups:
            codes = np.array(sorted(group.accounts - self.excused), np.int32)
            found = failover_finding(log, codes, customer, suspects)
            if found is None:
                continue
            found_us = max(
                found.found_us, int(log["ts_us"][-1]) if group.found_us is None else group.found_us
            )
            named = {code: max(at_us, found_us) for code, at_us in found.named_us.items()}
            same = self._same_actor(np.array(sorted(named), np.int32))
            self._add_failover_group(replace(found, found_us=found_us, named_us=named), same)

    def _add_failover_group(self, found: FailoverFinding, same: int | None) -> None:
        """Add one group's finding, or add it to the finding `same`."""
        context, log = self.context, self.context.log
        earlier = None if same is None else self.findings[same]
        own = set() if earlier is None else set(earlier.actor.accounts.tolist())
        codes = np.array(
            [code for code in sorted(found.named_us) if code in own or code not in self.taken], np.int32
        )
        few = len(np.unique(context.once(_customers)[codes])) < LEAST_TENANTS
        if earlier is None and (few or one_customer(context.known, codes)):
            return
        rows = context.rows_of(np.setdiff1d(codes, list(own)).astype(np.int32))
        finding = _ActorFinding(
            Actor(codes, rows[log["ts_us"][rows] >= found.since_us], np.zeros(0, np.int64), {}),
            found.found_us,
            found.p_value,
            {code: found.named_us[code] for code in codes.tolist()},
            failover_reason(found),
            context,
            own_reactions={log.accounts[code]: found.own[code] for code in codes.tolist()},
            aside=of_other_alarms(context, self.taken.difference(own).intersection(found.named_us)),
        )
        if same is None or earlier is None:
            self._add(finding)
        elif earlier.reason.detector != holds.NAME:  # what accounts did under holds stays their own evidence
            self.findings[same] = _with_failover(earlier, finding)
            self.taken.update(codes.tolist())

    def add_holds(self, schedule: HoldSchedule, evidence: HoldsEvidence) -> None:
        """Add the finding that holds of a group make, of those accounts whose own part shows it.

        Where most of them are of one lead of one source, the others who carry its wording are named as well,
        as refused work names them. There is none where holds make no finding, where too few customers are
        left of it, or where it is openly one customer.
        """
        if evidence.found_us is None:
            return
        context, log = self.context, self.context.log
        code = {name: k for k, name in enumerate(log.accounts)}
        codes = [code[name] for name in evidence.named_us]
        aside = of_other_alarms(context, self.taken.intersection(codes))
        aside |= bystanders(context, codes, {}, self.kinds)
        left_out = self.taken | aside.keys()
        named = {code[a]: at_us for a, at_us in evidence.named_us.items() if code[a] not in left_out}
        if self._few_payers(list(named)):
            return
        own = {log.accounts[a]: evidence.own[log.accounts[a]] for a in named}
        fingerprints = np.zeros(0, np.int64)
        for group in self.doubtful:
            inside = np.array([a for a in group.accounts.tolist() if a not in left_out], np.int32)
            if len(named.keys() & set(inside.tolist())) < SAME_GROUP * len(named):
                continue
            if others := self._of_one_source(group, inside):
                named = dict.fromkeys(others, evidence.found_us) | named
                fingerprints = group.alarm.own_fingerprints()
                aside |= self._not_named(group)
                break
        accounts = np.array(sorted(named), np.int32)
        if context.known is not None and one_customer(context.known, accounts):
            return
        rows = context.rows_of(accounts)
        actor = Actor(accounts, rows[log["ts_us"][rows] >= schedule.start_us], fingerprints, {})
        reason = holds_reason(evidence)
        self._add(
            _ActorFinding(actor, evidence.found_us, evidence.p_value, named, reason, context, (), own, aside)
        )

    def add_more_accounts(self) -> None:
        """Add to findings by refusals who sends their rare wording with their limit and temperature.

        What formed a group never adds to it: a finding by wording is not widened by its wording. Nobody is
        added where most of those who are alike run one product, sit together or had the wording long before:
        then that explains the rest.
        """
        context, log = self.context, self.context.log
        if FOLLOW not in self.watched.settings.parts:
            return
        places = [k for k, one in enumerate(self.findings) if one.own_reactions]
        groups = [
            KnownGroup(one.actor.accounts, one.actor.rows) for one in (self.findings[k] for k in places)
        ]
        found = more_accounts(context, groups)
        wording = next((_with_wording(context, more.signature.spread) for more in found if more), context)
        for k, more in zip(places, found, strict=True):
            if more is None:
                continue
            codes = np.flatnonzero(np.isin(context.tenants, more.tenants)).astype(np.int32)
            codes = who_took_part(log["account"], context.tenants, codes, more.marked)
            aside = self._not_named_more(self.findings[k], more, codes)
            codes = codes[np.isin(context.tenants[codes], more.tenants[more.alike])]
            left = _remove_accounts(codes, aside)
            aside = {code: aside[code] for code in np.setdiff1d(codes, left).tolist()}
            left = left[np.isin(context.tenants[left], more.tenants[more.later])]
            if len(left) <= MOSTLY_OTHERS * len(codes):
                continue
            # nobody is named without evidence of its own
            unnamed = np.ones(len(log.accounts), bool)
            unnamed[[*self.taken, *left.tolist()]] = False
            ties = own_ties(_added_actor(context, more, left), wording, unnamed, learnt=True)
            left = left[[(ties[code].p_value or 1.0) <= OWN_LEVEL for code in left.tolist()]]
            if len(left):
                added = _added_actor(context, more, left)
                widened = _with_more(self.findings[k], added, more.marked, aside)
                self.findings[k] = replace(widened, learnt=(wording, added))
                self.taken.update(left.tolist())

    def _not_named_more(self, finding: _ActorFinding, more: MoreAccounts, codes: np.ndarray) -> Aside:
        """Whom a group's wording must not name.

        A product is told by all who send its wording, whatever their settings: those of one setting alone
        would stand out among its users, and then it would explain nothing.
        """
        context, together = self.context, np.union1d(finding.actor.accounts, codes).astype(np.int32)
        copied = copied_from(more.signature.spread, more.fingerprints)
        aside = {code: why for code, why in finding.aside.items() if why.rule != OTHER}
        aside |= of_other_alarms(context, self.taken.intersection(codes.tolist()))
        aside |= bystanders(context, codes.tolist(), copied, self.kinds)
        aside |= users_of_software(context, together, more.marked)
        return aside | openly_together(context, together) | students(context, together)

    def add_lone_payer(self, sighting: lone_harvest.Sighting) -> None:
        """Add a payer that harvests alone, unless one of its accounts is in a finding."""
        accounts = np.flatnonzero(self.context.payers == sighting.payer).astype(np.int32)
        if self.taken & set(accounts.tolist()):
            return
        actor = Actor(accounts, self.context.rows_of(accounts), np.zeros(0, np.int64), {})
        named_at = dict.fromkeys(accounts.tolist(), sighting.at_us)
        reason = Reason(lone_harvest.NAME, sighting.text, round(sighting.total_bits, 3), n=sighting.exchanges)
        self._add(_ActorFinding(actor, sighting.at_us, sighting.p_value, named_at, reason, self.context))

    def _few_payers(self, codes: np.ndarray | list[int]) -> bool:
        return len(np.unique(self.context.payers[codes])) < LEAST_NAMED

    def _not_named(self, group: _DoubtfulGroup) -> Aside:
        """Of a lead's accounts those that a finding by refusals must not name for their wording."""
        copied = copied_from(self.watched.spread, group.alarm.own_fingerprints())
        accounts = group.accounts.tolist()
        others = of_other_alarms(self.context, self.taken.intersection(accounts))
        return others | bystanders(self.context, accounts, copied, self.kinds)

    def _of_one_source(self, group: _DoubtfulGroup, accounts: np.ndarray) -> list[int]:
        """Codes of the accounts that carry a lead's wording, but for whom it was copied from.

        None unless all that the lead asks is of one source, and no product is common in it.
        """
        judgement, own = group.alarm.judgement, group.alarm.own_fingerprints()
        one_source = judgement is not None and judgement.content.hands is Hands.ONE
        if not one_source or users_of_software(self.context, accounts, group.marked):
            return []
        copied, tenant = copied_from(self.watched.spread, own), self.context.tenants
        alike = self._using_signature(_matching_accounts(self.context, accounts, own))
        return [int(a) for a in alike if int(tenant[a]) not in copied]


def _remove_honest(
    context: ActorContext, group: _Group, rows: np.ndarray, tokens: int
) -> tuple[np.ndarray, Aside, str]:
    """A group's accounts less those with an honest explanation, these, and why the rest may be many hands."""
    aside = users_of_software(context, group.accounts, group.marked)
    others = _remove_accounts(group.accounts, aside)
    # what was found of the group says little of the few that are left of it
    enough = max(LEAST_TENANTS, MOSTLY_OTHERS * len(group.accounts))
    doubt = "" if len(others) >= enough else SOFTWARE
    aside |= openly_together(context, others)
    others = _remove_accounts(others, aside)
    doubt = doubt if doubt or len(others) >= enough else TOGETHER
    in_class = students(context, others)
    if not doubt and len(others) - len(in_class) < LEAST_TENANTS:
        doubt = one_customer(context.known, others) or CLASS
    others = _remove_accounts(others, in_class)
    return others, aside | in_class, doubt or _doubt(context, others, rows, group.marked, tokens)


def _remove_accounts(accounts: np.ndarray, aside: Aside) -> np.ndarray:
    return np.setdiff1d(accounts, np.array(sorted(aside), np.int32))


def _merge_findings(by_wording: _ActorFinding, by_settings: _ActorFinding) -> _ActorFinding:
    """One actor that was found by what it says and by its settings: the earlier alarm is the alarm."""
    first, second = sorted((by_wording, by_settings), key=lambda f: f.at_us)
    actor = Actor(
        np.union1d(first.actor.accounts, second.actor.accounts),
        np.union1d(first.actor.rows, second.actor.rows),
        by_wording.actor.own_fingerprints,
        first.actor.p_settings,
    )
    named = second.named_at_us | first.named_at_us
    for account in second.named_at_us.keys() & first.named_at_us.keys():
        named[account] = min(first.named_at_us[account], second.named_at_us[account])
    return replace(first, actor=actor, named_at_us=named, aside=second.aside | first.aside)


def _with_failover(earlier: _ActorFinding, by_failover: _ActorFinding) -> _ActorFinding:
    """A finding, and what refused work shows of its actor: whom else, and each account's own part in it."""
    more = () if earlier.own_reactions else (by_failover.reason,)
    return replace(
        earlier,
        actor=replace(
            earlier.actor,
            accounts=np.union1d(earlier.actor.accounts, by_failover.actor.accounts),
            rows=np.union1d(earlier.actor.rows, by_failover.actor.rows),
        ),
        named_at_us=by_failover.named_at_us | earlier.named_at_us,
        own_reactions=by_failover.own_reactions | earlier.own_reactions,
        aside=by_failover.aside | earlier.aside,
        more=(*earlier.more, *more),
    )


def _with_wording(context: ActorContext, found: Spread) -> ActorContext:
    """The same log with other fingerprints than those that were new in it."""
    return replace(
        context,
        use_row=found.row,
        use_fingerprint=found.fingerprint,
        fingerprint_kind=found.fingerprint_kind,
        counted={},
    )


def _added_actor(context: ActorContext, more: MoreAccounts, codes: np.ndarray) -> Actor:
    """Accounts that are added to a finding, and what they have sent since each took its wording up."""
    first = np.full(len(context.log.accounts), len(context.log), np.int64)
    marked = np.flatnonzero(more.marked)
    np.minimum.at(first, context.log["account"][marked], marked)
    rows = context.rows_of(codes)
    return Actor(codes, rows[rows >= first[context.log["account"][rows]]], more.fingerprints, {})


def _own_ties(finding: _ActorFinding, unnamed: np.ndarray) -> dict[int, OwnTie]:
    """Each account's own tie to its finding: of those that were added by the wording that added them."""
    ties = own_ties(finding.actor, finding.context, unnamed)
    if finding.learnt is None:
        return ties
    wording, added = finding.learnt
    learnt = own_ties(added, wording, unnamed, learnt=True)
    return ties | {int(code): learnt[int(code)] for code in added.accounts}


def _with_more(finding: _ActorFinding, added: Actor, marked: np.ndarray, aside: Aside) -> _ActorFinding:
    """A finding with further accounts, each named at its third marked exchange, and after the others."""
    log, learnt_us = (
        finding.context.log,
        max(finding.named_at_us[int(code)] for code in finding.actor.accounts),
    )
    rows = added.rows[marked[added.rows]]
    sender, ts = log["account"][rows], log["ts_us"][rows]
    named = {
        code: max(learnt_us, int(ts[sender == code][:DEVOTED_LEAST][-1])) for code in added.accounts.tolist()
    }
    actor = replace(
        finding.actor,
        accounts=np.union1d(finding.actor.accounts, added.accounts).astype(np.int32),
        rows=np.union1d(finding.actor.rows, added.rows),
    )
    return replace(finding, actor=actor, named_at_us=finding.named_at_us | named, aside=aside | finding.aside)


def _customers(context: ActorContext) -> np.ndarray:
    if context.known is None:
        return context.payers
    return customers(context.log, context.known, context.payers)


def groups_by_refusals(context: ActorContext, settings: DetectionSettings) -> list[FailoverGroup]:
    """Give the groups that refused work forms; none where no accounts table tells customers apart."""
    if FAILOVER not in settings.parts or context.known is None or len(context.log) == 0:
        return []
    groups: list[FailoverGroup] = context.once(_failover_groups)
    return groups


def _failover_groups(context: ActorContext) -> list[FailoverGroup]:
    return failover_groups(context.log, context.once(_customers), context.payers)


def _evidence_of_holds(
    context: ActorContext, schedules: Sequence[HoldSchedule], until_us: int
) -> list[tuple[HoldSchedule, HoldsEvidence]]:
    log = context.log
    if not schedules or len(log) == 0:
        return []
    until_us = min(until_us, int(log["ts_us"][-1]))
    customer = context.once(_customers).tolist()
    tenant_of = {name: str(customer[code]) for code, name in enumerate(log.accounts)}
    first_us = int(log["ts_us"][0])  # of a schedule that ended before it nothing is left to be seen
    running = [schedule for schedule in schedules if schedule.end_us > first_us]
    return [(schedule, holds_evidence(log, schedule, until_us, tenant_of)) for schedule in running]


def _is_in_finding(lead: Lead, campaigns_found: list[Campaign]) -> bool:
    """Whether refusals have made a finding of most of a lead."""
    accounts = set(lead.accounts)
    by_refusals = [c for c in campaigns_found if c.own_reactions]
    return any(len(accounts.intersection(c.accounts)) >= SAME_GROUP * len(accounts) for c in by_refusals)


def _with_holds(lead: Lead, hold_evidence: list[tuple[HoldSchedule, HoldsEvidence]]) -> Lead:
    """Add to a lead what holds of it have shown so far."""
    accounts = set(lead.accounts)
    sentences = [
        evidence.text
        for schedule, evidence in hold_evidence
        if evidence.blocks and len(accounts.intersection(schedule.accounts)) >= SAME_GROUP * len(accounts)
    ]
    return replace(lead, text=". ".join([lead.text, *sentences])) if sentences else lead


def _doubt(
    context: ActorContext, accounts: np.ndarray, rows: np.ndarray, marked: np.ndarray, tokens: int = SHORT
) -> str:
    """Why an alarm's accounts may be many hands after all, by everything that the log holds of them, or "".

    rows: their exchanges since they took up what they share. Those that show none of it (`marked`) count for
    nothing. A group of which a part is of one source keeps all that the watch has named. tokens: that a short
    answer has fewer than.
    """
    log = context.log
    rows = rows[np.isin(log["account"][rows], accounts)]
    labelled = (log["account"], accounts.tolist(), log.accounts.__getitem__)
    shared = rows[marked[rows]]
    content = content_of(log, shared, *labelled)
    if content.hands is Hands.MANY and not one_source_parts(log, shared, *labelled, LEAST_TENANTS):
        return many_hands_text(content)
    if content.all_shared:
        return NOTHING_LEFT
    # a shared question may be the wording itself: so all that they ask counts here
    explanation = one_customer(context.known, accounts)
    explanation = explanation or same_material(log["exact"][rows], log["account"][rows])
    if explanation or (
        short_answers(log, shared, tokens) and (explanation := short_answers(log, rows, tokens))
    ):
        return explanation
    if not few_questions(content):
        return ""
    return same_questions(content_of(log, rows, *labelled), log, rows, log["account"])


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


def _marked_rows(context: ActorContext, alarm: Alarm) -> np.ndarray:
    """(exchanges,) bool: those that show what an alarm's accounts share.

    Their settings; else at least two of their own fingerprints, or of any where they have none.
    """
    log = context.log
    if alarm.settings is not None:
        limit, temperature = alarm.settings
        return (log["max_tokens"] == limit) & (log["temperature_milli"] == temperature)
    own = alarm.own_fingerprints()
    if not len(own):
        marked_by_any: np.ndarray = context.once(_rows_marked_by_any, of_uses=True)
        return marked_by_any
    rows, carried = np.unique(context.use_row[context.uses_of(own)], return_counts=True)
    marked = np.zeros(len(log), bool)
    marked[rows[carried >= NEEDED]] = True
    return marked


def _lead(context: ActorContext, group: _DoubtfulGroup) -> Lead:
    alarm, accounts = group.alarm, group.accounts
    log = context.log
    names = tuple(sorted(log.accounts[a] for a in accounts))
    hands = alarm.judgement.content.hands if alarm.judgement else Hands.OPEN
    since = moment(min(alarm.lead_us, alarm.at_us))
    carrying = int(group.marked[group.rows].sum())
    text = group.doubt + _failover_text(context, accounts, names)
    # quoted, and no way to a finding: people who pass answers on to each other show the same (docs/lab.md)
    echo = group_evidence(context, accounts)
    if echo is not None:
        text += f". {echo.text}"
    echoes = tuple(
        Echo(
            log.accounts[e.answered],
            moment(e.answered_us),
            log.accounts[e.quoted_by],
            moment(e.quoted_us),
            e.passages,
        )
        for e in (echo.echoes if echo else ())
    )
    size = answer_size(log, context.rows_of(accounts))
    return Lead(
        lead_id(alarm), since, alarm.p_value, names, carrying, str(hands), text, echoes, answer_tokens=size
    )


def lead_id(alarm: Alarm) -> str:
    """Give a lead's id, which stays when its accounts change: a schedule of holds goes by it."""
    what = f"{alarm.lead_us} {alarm.evaluated_at_us[0]} {alarm.first_account}"
    digest = hashlib.blake2b(what.encode("utf-8", "surrogatepass"), digest_size=5, person=b"stillwatch.lead")
    return f"lead-{digest.hexdigest()}"


def _failover_text(context: ActorContext, accounts: np.ndarray, names: tuple[str, ...]) -> str:
    """Say whether another account of a lead repeats what one was refused; "" where that shows nothing."""
    if failover_least_p_value(context.log, context.rows_of(accounts)) > FAILOVER_P_VALUE:
        return ""
    evidence = failover_evidence(context.log, names, customer=context.once(_customers))
    return f". {evidence.text}" if evidence.p_value <= FAILOVER_P_VALUE else ""


def _private_accounts(
    log: ExchangeLog, known: AccountFacts | None, kinds: dict[int, KindOfUse]
) -> np.ndarray:
    """(accounts,) bool: no organisation, and no permission but one for synthetic data.

    Permitted synthetic data is measured like any harvest: the permission then suppresses the case.
    """
    if known is None:
        return np.ones(len(log.accounts), bool)
    measured = {code for code, kind in kinds.items() if kind.kind == "permitted_synthetic"}
    pairs = enumerate(zip(known.org, known.permissions, strict=True))
    return np.array([not org and (not given or k in measured) for k, (org, given) in pairs], bool)


def _last_us(context: ActorContext) -> np.ndarray:
    """(tenants,) int64: when each sent its last exchange."""
    sender, ts = context.log["account"], context.log["ts_us"]
    last_us = np.zeros(int(context.tenants.max(initial=0)) + 1, np.int64)
    named = sender >= 0
    last_us[context.tenants[sender[named]]] = ts[named]  # of several the last stays: rows are in time order
    return last_us


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


def who_took_part(
    sender: np.ndarray, tenant: np.ndarray, accounts: np.ndarray, marked: np.ndarray
) -> np.ndarray:
    """Of some accounts those with an exchange that shows what the group shares.

    A colleague is not named for what another one sent. All stay of a tenant none of whose accounts has such
    an exchange: something else tied it.

    sender: (exchanges,) whose each is; tenant: (accounts of the log,) who counts as one; marked: (exchanges,)
    bool: those that show it.
    """
    took_part = np.isin(accounts, sender[marked])
    return accounts[took_part | ~np.isin(tenant[accounts], tenant[accounts[took_part]])]


def _matching_accounts(context: ActorContext, accounts: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The accounts that carry a tenth of the fingerprints that the median one carries, and three at least.

    Where an actor has hardly any fingerprints of its own, nothing can be asked of its accounts.
    """
    if len(own) < FEW_FINGERPRINTS or len(accounts) == 0:
        return accounts
    log = context.log
    fingerprints = len(context.fingerprint_kind)
    use = context.uses_of(own)
    pairs = distinct(
        log["account"][context.use_row[use]].astype(np.int64) * fingerprints + context.use_fingerprint[use]
    )
    carried = np.bincount(pairs // fingerprints, minlength=len(log.accounts))[accounts]
    usual = float(np.median(carried))
    return accounts[carried >= least_carried(len(own), usual)]


def least_carried(own: int, usual: float) -> float:
    """How many of its actor's own fingerprints an account must carry; the median account carries `usual`."""
    return max(3.0, 0.1 * usual) if own >= FEW_FINGERPRINTS and usual >= FEW_CARRIED else 0.0


def _rows_since(context: ActorContext, accounts: np.ndarray, marked: np.ndarray, since_us: int) -> np.ndarray:
    """Every exchange of the accounts since each first showed what they share (`marked`).

    since_us: the beginning of the window that raised the alarm; what lies further back is left out.
    """
    log = context.log
    own_rows = context.rows_of(accounts)
    rows = own_rows[marked[own_rows] & (log["ts_us"][own_rows] >= since_us)]
    first = np.full(len(log.accounts), len(log), np.int64)
    np.minimum.at(first, log["account"][rows], rows)
    return own_rows[own_rows >= first[log["account"][own_rows]]]


def _rows_marked_by_any(context: ActorContext) -> np.ndarray:
    """(exchanges,) bool: those that carry at least two fingerprints, whosever they are."""
    marked: np.ndarray = np.bincount(context.use_row, minlength=len(context.log)) >= NEEDED
    return marked


def _group_reason(alarm: Alarm, watched: WatchResult, log: ExchangeLog) -> Reason:
    bits = round(evidence_bits(alarm.p_value, 1e-300), 3)
    if alarm.settings is not None:
        return _settings_reason(alarm, bits)
    value = alarm.dominant[0] if alarm.dominant else -1
    model = log.models[int(watched.codes[0][value])] if value >= 0 else ""
    wording = "accounts that came to share wording at the same time"
    if watched.signups is not None:
        wording = f"accounts that share wording, which was {IN_USE},"
    return Reason(
        TEST_NAME,
        f"{wording} also act alike ({alarm.share[0]:.0%} mostly use {model or 'one model'}): a chance of "
        f"{alarm.p_value:.1g} if they were independent",
        bits,
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
