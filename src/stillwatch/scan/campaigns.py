"""Turns alarms into campaigns: their accounts, exchanges and start.

The accounts and exchanges are those of the findings (`scan.findings`).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from stillwatch.actors import AccountFacts, ActorContext
from stillwatch.detectors import Population, lone_harvest
from stillwatch.engine import SqlEngine
from stillwatch.exchanges.column_file import let_go, trim_heap
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.features.kinds import KindOfUse
from stillwatch.scan import Campaign, Lead, OwnTie, Tell
from stillwatch.scan.alarms import NEVER
from stillwatch.scan.assemble import actor_features, campaign
from stillwatch.scan.candidates import still_open, weak_groups, with_shares
from stillwatch.scan.doubtful_groups import lead_of_group
from stillwatch.scan.failover_groups import SAME_GROUP, customers_of
from stillwatch.scan.findings import ActorFinding, FindingsBuilder
from stillwatch.scan.holds import HoldsEvidence, holds_evidence
from stillwatch.scan.own_tie import own_ties
from stillwatch.scan.parts import GROUP_TESTS
from stillwatch.scan.set_aside import list_set_aside
from stillwatch.scan.watch import WatchResult
from stillwatch.terms.holds import HoldCandidate, HoldSchedule


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
    """Return every alarm as a campaign, in order, the groups that remain leads, and weak groups.

    features, kinds: of every account; alone: whether to search for payers that harvest alone; schedules: the
    gateway's holds, which can turn a group that the log alone leaves open into a finding; until_us: until
    when the log is complete; established: the result for wording that was already in use when the log began.
    """
    log, payer = context.log, context.payers
    builder = FindingsBuilder(context, watched, kinds)
    private = _private_accounts(log, context.known, kinds)
    rarity = watched.settings.lone_least_bits, watched.settings.lone_least_peers
    sightings = lone_harvest.sightings(log, payer[log["account"]], private, *rarity) if alone else []
    let_go(log.columns.values())
    trim_heap()
    alone_us = np.full(len(payer), NEVER)  # when each account's payer was named as harvesting alone
    for sighting in sightings:
        alone_us[payer == sighting.payer] = sighting.at_us
    for alarm in (*watched.alarms, *watched.alike):
        builder.add_alarm(alarm, alone_us)
    for alarm in watched.leads:
        builder.add_lead(alarm)
    leads = [lead_of_group(context, group) for group in builder.doubtful if not builder.add_failover(group)]
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
    findings: list[ActorFinding],
    population: Population,
    tell: Tell,
) -> list[Campaign]:
    """Return findings as campaigns, in the order of their alarms."""
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


def _own_ties(finding: ActorFinding, unnamed: np.ndarray) -> dict[int, OwnTie]:
    """Return each account's tie to its finding; added accounts are judged by the wording that added them."""
    ties = own_ties(finding.actor, finding.context, unnamed)
    if finding.learnt is None:
        return ties
    wording, added = finding.learnt
    learnt = own_ties(added, wording, unnamed, learnt=True)
    return ties | {int(code): learnt[int(code)] for code in added.accounts}


def _weak_candidates(
    context: ActorContext,
    watched: WatchResult,
    hold_evidence: list[tuple[HoldSchedule, HoldsEvidence]],
    cases: list[Campaign],
    leads: list[Lead],
) -> tuple[HoldCandidate, ...]:
    """Return groups on which only holds could give more evidence. Groups judged before are excluded."""
    log, tenant = context.log, context.tenants
    code = {name: k for k, name in enumerate(log.accounts)}
    schedules = [schedule for schedule, _ in hold_evidence]
    judged = [account for case in cases for account in case.accounts]
    judged += [account for lead in leads for account in lead.accounts]
    judged += [account for schedule in schedules for account in schedule.accounts]
    groups = [(p_value, np.flatnonzero(np.isin(tenant, members))) for p_value, members in watched.groups]
    weak = weak_groups(log, context.payers, groups, [code[a] for a in judged if a in code], schedules)
    return with_shares(log, still_open(hold_evidence) + weak)


def _evidence_of_holds(
    context: ActorContext, schedules: Sequence[HoldSchedule], until_us: int
) -> list[tuple[HoldSchedule, HoldsEvidence]]:
    log = context.log
    if not schedules or len(log) == 0:
        return []
    until_us = min(until_us, int(log["ts_us"][-1]))
    customer = context.once(customers_of).tolist()
    tenant_of = {name: str(customer[code]) for code, name in enumerate(log.accounts)}
    first_us = int(log["ts_us"][0])  # a schedule that ended before the log leaves no trace in it
    running = [schedule for schedule in schedules if schedule.end_us > first_us]
    return [(schedule, holds_evidence(log, schedule, until_us, tenant_of)) for schedule in running]


def _is_in_finding(lead: Lead, campaigns_found: list[Campaign]) -> bool:
    """Return whether refusals have made a finding of most of a lead."""
    accounts = set(lead.accounts)
    by_refusals = [c for c in campaigns_found if c.own_reactions]
    return any(len(accounts.intersection(c.accounts)) >= SAME_GROUP * len(accounts) for c in by_refusals)


def _with_holds(lead: Lead, hold_evidence: list[tuple[HoldSchedule, HoldsEvidence]]) -> Lead:
    """Add to a lead the results of its holds so far."""
    accounts = set(lead.accounts)
    sentences = [
        evidence.text
        for schedule, evidence in hold_evidence
        if evidence.blocks and len(accounts.intersection(schedule.accounts)) >= SAME_GROUP * len(accounts)
    ]
    return replace(lead, text=". ".join([lead.text, *sentences])) if sentences else lead


def _private_accounts(
    log: ExchangeLog, known: AccountFacts | None, kinds: dict[int, KindOfUse]
) -> np.ndarray:
    """(accounts,) bool: no organisation, and no permission other than for synthetic data.

    Permitted synthetic data is measured like any harvest: the permission then suppresses the case.
    """
    if known is None:
        return np.ones(len(log.accounts), bool)
    measured = {code for code, kind in kinds.items() if kind.kind == "permitted_synthetic"}
    pairs = enumerate(zip(known.org, known.permissions, strict=True))
    return np.array([not org and (not given or k in measured) for k, (org, given) in pairs], bool)
