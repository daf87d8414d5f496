"""Findings from alarms, from refused work and from holds. An account is in at most one finding.

Findings are put into words elsewhere.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from stillwatch.actors import IN_USE, Actor, ActorContext, evidence_bits
from stillwatch.actors.groups import LEAST_TENANTS
from stillwatch.actors.spread import Spread
from stillwatch.detectors import lone_harvest
from stillwatch.exchanges.column_file import let_go
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.features.kinds import KindOfUse
from stillwatch.scan import OwnReaction, Reason, SettingTest, holds, new_settings
from stillwatch.scan.alarms import NEVER, Alarm
from stillwatch.scan.doubtful_groups import (
    MOSTLY_OTHERS,
    NOT_THEIRS,
    AlarmedGroup,
    DoubtfulGroup,
    doubt_of,
    remove_accounts,
    remove_honest,
)
from stillwatch.scan.explanations import one_customer, share_instruments
from stillwatch.scan.failover import (
    LEVEL,
    FailoverFinding,
    failover_finding,
    failover_least_p_value,
    failover_reason,
)
from stillwatch.scan.failover_groups import SAME_GROUP, customers_of, groups_by_refusals, share_half
from stillwatch.scan.follow import DEVOTED_LEAST
from stillwatch.scan.group_members import (
    accounts_of,
    last_us_of_tenants,
    marked_rows,
    matching_accounts,
    rows_since,
    who_took_part,
)
from stillwatch.scan.holds import LEAST_NAMED, HoldsEvidence, holds_reason
from stillwatch.scan.more_accounts import KnownGroup, MoreAccounts, more_accounts
from stillwatch.scan.own_tie import own_ties
from stillwatch.scan.parts import FAILOVER, FOLLOW, TEST_NAME
from stillwatch.scan.set_aside import (
    OTHER,
    Aside,
    before_the_alarm,
    bystanders,
    copied_from,
    keep_signature,
    of_other_alarms,
    openly_together,
    students,
    users_of_software,
)
from stillwatch.scan.signups import ANY_SPAN, SIGNED_TOGETHER, SignupSpan
from stillwatch.scan.watch import WatchResult
from stillwatch.stats.exchangeability import Hands
from stillwatch.terms.holds import HoldSchedule

OWN_LEVEL = 0.05  # greatest p-value of an account that only a finding's wording adds


@dataclass(frozen=True)
class ActorFinding:
    """The actor of an alarm, before it is put into words."""

    actor: Actor
    at_us: int
    p_value: float
    named_at_us: dict[int, int]
    reason: Reason
    context: ActorContext
    tested: tuple[SettingTest, ...] = ()
    own_reactions: dict[str, OwnReaction] = field(default_factory=dict)
    aside: Aside = field(default_factory=dict)  # accounts that it could have named, and does not
    more: tuple[Reason, ...] = ()  # from other ways that led to the same actor
    learnt: tuple[ActorContext, Actor] | None = None  # the wording that accounts were added by, and these


class FindingsBuilder:
    """The findings so far, and the groups that may be many operators. An account is in one at most."""

    def __init__(self, context: ActorContext, watched: WatchResult, kinds: dict[int, KindOfUse]) -> None:
        self.context, self.watched, self.kinds = context, watched, kinds
        self.findings: list[ActorFinding] = []
        self.doubtful: list[DoubtfulGroup] = []
        self.taken: set[int] = set()  # accounts of the findings
        self.excused = {code for code, kind in kinds.items() if kind.excuses == "case"}

    def add_established(self, context: ActorContext, watched: WatchResult, alone_us: np.ndarray) -> None:
        """Add findings of groups whose wording was in use when the log began."""
        older = FindingsBuilder(context, watched, self.kinds)
        older.findings, older.taken = self.findings, self.taken
        for alarm in watched.alarms:
            older.add_alarm(alarm, alone_us)

    def _add(self, finding: ActorFinding) -> None:
        self.findings.append(finding)
        self.taken.update(finding.actor.accounts.tolist())

    # --- what the watch raised --------------------------------------------------------------------------

    def add_alarm(self, alarm: Alarm, alone_us: np.ndarray) -> None:
        """Turn a raised alarm into a finding, a part of one, or a doubtful group.

        alone_us: (accounts,) when each account's payer was named alone.
        """
        context, group = self.context, self._group_of(alarm, alone_us)
        since_us = alarm.at_us - self.watched.settings.window_us
        rows = rows_since(context, group.accounts, group.marked, since_us)
        if len(group.accounts) < LEAST_TENANTS or not len(rows):
            return
        others, aside, doubt = remove_honest(context, group, rows, self.watched.settings.short_answer_tokens)
        let_go((context.log.content,))
        spread, own, left = self.watched.spread, alarm.own_fingerprints(), context.tenants[others]
        if aside and not doubt and not keep_signature(spread, own, left):
            doubt = NOT_THEIRS
        if doubt:
            if not self.taken.issuperset(group.accounts.tolist()):
                self.doubtful.append(DoubtfulGroup(alarm, group.accounts, rows, group.marked, doubt))
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
        elif len(others) >= LEAST_TENANTS:  # fewer are no group, but may still be found as a lone payer
            self._add(finding)

    def add_lead(self, alarm: Alarm) -> None:
        """Add a lead of the watch as a doubtful group, without the accounts whose use is permitted."""
        context, least = self.context, self.watched.settings.looks_before_naming
        often = {p: alarm.lead_us for p, times in alarm.evaluations.items() if times >= least}
        accounts, _ = accounts_of(often, context.tenants, self.excused)
        marked = marked_rows(context, alarm)
        rows = rows_since(context, accounts, marked, alarm.lead_us - self.watched.settings.window_us)
        if len(accounts) >= LEAST_TENANTS and len(rows):
            self.doubtful.append(DoubtfulGroup(alarm, accounts, rows, marked, doubt_of(alarm.judgement)))

    def _group_of(self, alarm: Alarm, alone_us: np.ndarray) -> AlarmedGroup:
        context, tenant = self.context, self.context.tenants
        own, marked = alarm.own_fingerprints(), marked_rows(context, alarm)
        copied = copied_from(self.watched.spread, own)
        confirmed = alarm.confirmed(context.once(last_us_of_tenants))
        everybody, named_at = accounts_of(confirmed, tenant, set())
        aside = bystanders(context, everybody.tolist(), copied, self.kinds)
        # alarms are not withdrawn: an account already named as harvesting alone stays so
        alone = {a for a in everybody.tolist() if named_at[a] > alone_us[a]} - aside.keys()
        accounts = np.array([a for a in everybody.tolist() if a not in aside and a not in alone], np.int32)
        accounts = who_took_part(context.log["account"], tenant, accounts, marked)
        if alarm.settings is None:
            accounts = self._using_signature(matching_accounts(context, accounts, own))
        before = {} if alarm.judgement is None else alarm.judgement.aside
        aside = before_the_alarm(context, marked, before) | of_other_alarms(context, alone) | aside
        return AlarmedGroup(accounts, named_at, marked, aside)

    def _finding(self, alarm: Alarm, group: AlarmedGroup, rows: np.ndarray) -> ActorFinding:
        log = self.context.log
        rows = rows[np.isin(log["account"][rows], group.accounts)]
        actor = Actor(group.accounts, rows, alarm.own_fingerprints(), dict(alarm.p_settings))
        reason = _group_reason(alarm, self.watched, log)
        if self.watched.signups is not None:
            reason = replace(reason, text=f"{reason.text}. {self._signup_span(group.accounts).text}")
        # a bundle has no exchange from before the harvest, so it cannot show earlier users of the settings
        tested = alarm.tested if alarm.settings is None else ()
        return ActorFinding(
            actor, alarm.at_us, alarm.p_value, group.named_at, reason, self.context, tested, aside=group.aside
        )

    def _made_together(self, accounts: np.ndarray) -> bool:
        """Return whether accounts signed up together, unless somebody pays for half of them.

        A sponsor's vouchers pay for a class, and a firm's card for its staff, and these sign up together as
        well. Used only for wording that was in use when the log began.
        """
        if self._signup_span(accounts).p_value > SIGNED_TOGETHER:
            return False
        sponsored = share_instruments(self.context.known, accounts, self.context.tenants)
        return self.watched.signups is None or not sponsored

    def _signup_span(self, accounts: np.ndarray) -> SignupSpan:
        """Return when accounts signed up; only for wording that was in use when the log began."""
        signups = self.watched.signups
        return ANY_SPAN if signups is None else signups.span(np.unique(self.context.tenants[accounts]), NEVER)

    def _same_actor(self, accounts: np.ndarray) -> int | None:
        """Return the finding that shares half of its accounts, or half of these, with these accounts."""
        for k, finding in enumerate(self.findings):
            shared = len(np.intersect1d(finding.actor.accounts, accounts))
            if shared >= SAME_GROUP * min(len(finding.actor.accounts), len(accounts)):
                return k
        return None

    def _using_signature(self, accounts: np.ndarray) -> np.ndarray:
        """Return the accounts that used a fingerprint that is mostly or typically theirs, by the whole log.

        If there is none, all are returned. A group without a signature is a chain of links: an account may
        depend on one link to a neighbour, and share nothing with the others.
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

    def add_failover(self, group: DoubtfulGroup) -> bool:
        """Turn a lead whose refused work continues at its other accounts into a finding; return whether it
        is.

        It names the accounts that took part: they asked what another customer was refused, or their refused
        text was asked. If all of the group's questions are of one source, and no product is common in it, the
        others who carry its wording are named too, except those from whom it was copied.
        """
        context, log = self.context, self.context.log
        accounts = np.array([a for a in group.accounts if int(a) not in self.taken], np.int32)
        left_out = FAILOVER not in self.watched.settings.parts
        if left_out or context.known is None or len(accounts) < LEAST_TENANTS:
            return False
        if failover_least_p_value(log, context.rows_of(accounts)) > LEVEL:
            return False  # without counting over the whole log
        failover = failover_finding(log, accounts, context.once(customers_of))
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
        finding = ActorFinding(
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
        """Add findings of groups that refused work forms; evidence on a finding's accounts goes to that
        finding.

        They name the accounts that took part, except those whose use is permitted.
        """
        context, log = self.context, self.context.log
        groups, customer = groups_by_refusals(context, self.watched.settings), context.once(customers_of)
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
        context, log = self.context, self.context.log
        earlier = None if same is None else self.findings[same]
        own = set() if earlier is None else set(earlier.actor.accounts.tolist())
        codes = np.array(
            [code for code in sorted(found.named_us) if code in own or code not in self.taken], np.int32
        )
        few = len(np.unique(context.once(customers_of)[codes])) < LEAST_TENANTS
        if earlier is None and (few or one_customer(context.known, codes)):
            return
        rows = context.rows_of(np.setdiff1d(codes, list(own)).astype(np.int32))
        finding = ActorFinding(
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
        elif earlier.reason.detector != holds.NAME:  # evidence under holds stays that of the holds
            self.findings[same] = _with_failover(earlier, finding)
            self.taken.update(codes.tolist())

    def add_holds(self, schedule: HoldSchedule, evidence: HoldsEvidence) -> None:
        """Add the finding from holds on a group, for the accounts whose own part shows it.

        If they are half of a lead of one source, and half of them are in it, the others who carry its wording
        are named as well, as with refused work. None is added if holds make no finding, if too few customers
        of it are left, or if it is openly one customer.
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
            if not share_half(named.keys(), set(inside.tolist())):
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
            ActorFinding(actor, evidence.found_us, evidence.p_value, named, reason, context, (), own, aside)
        )

    def add_more_accounts(self) -> None:
        """Extend findings from refusals to accounts that send their rare wording with their settings.

        The evidence that formed a group never extends it: a finding by wording is not widened by its wording.
        No account is added if most of the similar ones run one product, sit together or had the wording long
        before: that then explains the rest.
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
            left = remove_accounts(codes, aside)
            aside = {code: aside[code] for code in np.setdiff1d(codes, left).tolist()}
            left = left[np.isin(context.tenants[left], more.tenants[more.later])]
            if len(left) <= MOSTLY_OTHERS * len(codes):
                continue
            # no account is named without evidence of its own
            unnamed = np.ones(len(log.accounts), bool)
            unnamed[[*self.taken, *left.tolist()]] = False
            ties = own_ties(_added_actor(context, more, left), wording, unnamed, learnt=True)
            left = left[[(ties[code].p_value or 1.0) <= OWN_LEVEL for code in left.tolist()]]
            if len(left):
                added = _added_actor(context, more, left)
                widened = _with_more(self.findings[k], added, more.marked, aside)
                self.findings[k] = replace(widened, learnt=(wording, added))
                self.taken.update(left.tolist())

    def _not_named_more(self, finding: ActorFinding, more: MoreAccounts, codes: np.ndarray) -> Aside:
        """Return the accounts that a group's wording must not name.

        A product is recognised from all who send its wording, whatever their settings: those with one setting
        alone would stand out among its users, and then it would explain nothing.
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
        self._add(ActorFinding(actor, sighting.at_us, sighting.p_value, named_at, reason, self.context))

    def _few_payers(self, codes: np.ndarray | list[int]) -> bool:
        return len(np.unique(self.context.payers[codes])) < LEAST_NAMED

    def _not_named(self, group: DoubtfulGroup) -> Aside:
        """Return a lead's accounts that a finding from refusals must not name for their wording."""
        copied = copied_from(self.watched.spread, group.alarm.own_fingerprints())
        accounts = group.accounts.tolist()
        others = of_other_alarms(self.context, self.taken.intersection(accounts))
        return others | bystanders(self.context, accounts, copied, self.kinds)

    def _of_one_source(self, group: DoubtfulGroup, accounts: np.ndarray) -> list[int]:
        """Return the accounts that carry a lead's wording, except those from whom it was copied.

        Empty unless all of the lead's questions are of one source and no product is common in it.
        """
        judgement, own = group.alarm.judgement, group.alarm.own_fingerprints()
        one_source = judgement is not None and judgement.content.hands is Hands.ONE
        if not one_source or users_of_software(self.context, accounts, group.marked):
            return []
        copied, tenant = copied_from(self.watched.spread, own), self.context.tenants
        alike = self._using_signature(matching_accounts(self.context, accounts, own))
        return [int(a) for a in alike if int(tenant[a]) not in copied]


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


def _merge_findings(by_wording: ActorFinding, by_settings: ActorFinding) -> ActorFinding:
    """Merge the findings of one actor by wording and by settings: the earlier alarm counts."""
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


def _with_failover(earlier: ActorFinding, by_failover: ActorFinding) -> ActorFinding:
    """Add the evidence from refused work to a finding: more accounts, and each account's part in it."""
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


def _with_more(finding: ActorFinding, added: Actor, marked: np.ndarray, aside: Aside) -> ActorFinding:
    """Add accounts to a finding, each named at its third marked exchange, and after the others."""
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


def _with_wording(context: ActorContext, found: Spread) -> ActorContext:
    """Return the context with other fingerprints than those that were new in the log."""
    return replace(
        context,
        use_row=found.row,
        use_fingerprint=found.fingerprint,
        fingerprint_kind=found.fingerprint_kind,
        counted={},
    )


def _added_actor(context: ActorContext, more: MoreAccounts, codes: np.ndarray) -> Actor:
    """Return the accounts added to a finding, and what they sent since each took its wording up."""
    first = np.full(len(context.log.accounts), len(context.log), np.int64)
    marked = np.flatnonzero(more.marked)
    np.minimum.at(first, context.log["account"][marked], marked)
    rows = context.rows_of(codes)
    return Actor(codes, rows[rows >= first[context.log["account"][rows]]], more.fingerprints, {})
