"""Reasons why an alarm's accounts may be unrelated people, and the leads that such groups become."""

import hashlib
from dataclasses import dataclass

import numpy as np

from stillwatch.actors import ActorContext
from stillwatch.actors.clues.echo import group_evidence
from stillwatch.actors.groups import LEAST_TENANTS
from stillwatch.actors.sessions import content_of, one_source_parts
from stillwatch.scan import Echo, Lead
from stillwatch.scan.alarms import Alarm, Judgement
from stillwatch.scan.explanations import (
    SHORT,
    answer_size,
    few_questions,
    one_customer,
    same_material,
    same_questions,
    short_answers,
)
from stillwatch.scan.failover import failover_evidence, failover_least_p_value
from stillwatch.scan.failover_groups import customers_of
from stillwatch.scan.set_aside import Aside, openly_together, students, users_of_software
from stillwatch.stats.exchangeability import ContentTest, Hands
from stillwatch.units import time_of

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
MOSTLY_OTHERS = 0.5  # share of a finding's accounts that must neither use such a product nor sit together
FAILOVER_P_VALUE = 1e-2  # for repeated refusals to be mentioned in a lead's text


@dataclass(frozen=True)
class DoubtfulGroup:
    """A group that may be many operators, and why: a lead unless its refused work shows otherwise."""

    alarm: Alarm
    accounts: np.ndarray
    rows: np.ndarray  # its exchanges since it took up what its accounts share
    marked: np.ndarray  # (exchanges,) bool: those that show what its accounts share
    doubt: str


def lead_of_group(context: ActorContext, group: DoubtfulGroup) -> Lead:
    alarm, accounts = group.alarm, group.accounts
    log = context.log
    names = tuple(sorted(log.accounts[a] for a in accounts))
    hands = alarm.judgement.content.hands if alarm.judgement else Hands.OPEN
    since = time_of(min(alarm.lead_us, alarm.at_us))
    carrying = int(group.marked[group.rows].sum())
    text = group.doubt + _failover_text(context, accounts, names)
    # quoted only, never enough for a finding: people who pass answers on to each other show the same
    # (docs/lab.md)
    echo = group_evidence(context, accounts)
    if echo is not None:
        text += f". {echo.text}"
    echoes = tuple(
        Echo(
            log.accounts[e.answered],
            time_of(e.answered_us),
            log.accounts[e.quoted_by],
            time_of(e.quoted_us),
            e.passages,
        )
        for e in (echo.echoes if echo else ())
    )
    size = answer_size(log, context.rows_of(accounts))
    return Lead(
        lead_id(alarm), since, alarm.p_value, names, carrying, str(hands), text, echoes, answer_tokens=size
    )


def lead_id(alarm: Alarm) -> str:
    """Return a lead's id, which is stable when its accounts change: hold schedules refer to it."""
    what = f"{alarm.lead_us} {alarm.evaluated_at_us[0]} {alarm.first_account}"
    digest = hashlib.blake2b(what.encode("utf-8", "surrogatepass"), digest_size=5, person=b"stillwatch.lead")
    return f"lead-{digest.hexdigest()}"


def _failover_text(context: ActorContext, accounts: np.ndarray, names: tuple[str, ...]) -> str:
    """Describe whether another account of a lead repeats refused texts; "" if that shows nothing."""
    if failover_least_p_value(context.log, context.rows_of(accounts)) > FAILOVER_P_VALUE:
        return ""
    evidence = failover_evidence(context.log, names, customer=context.once(customers_of))
    return f". {evidence.text}" if evidence.p_value <= FAILOVER_P_VALUE else ""


@dataclass(frozen=True)
class AlarmedGroup:
    """The accounts that an alarm names, judged on the whole log."""

    accounts: np.ndarray
    named_at: dict[int, int]
    marked: np.ndarray  # (exchanges,) bool: those that show what the group shares
    aside: Aside


def remove_honest(
    context: ActorContext, group: AlarmedGroup, rows: np.ndarray, tokens: int
) -> tuple[np.ndarray, Aside, str]:
    """Return a group's remaining accounts, the honestly explained ones, and why the rest may be many."""
    aside = users_of_software(context, group.accounts, group.marked)
    others = remove_accounts(group.accounts, aside)
    # a finding about the group means little for the few that are left of it
    enough = max(LEAST_TENANTS, MOSTLY_OTHERS * len(group.accounts))
    doubt = "" if len(others) >= enough else SOFTWARE
    aside |= openly_together(context, others)
    others = remove_accounts(others, aside)
    doubt = doubt if doubt or len(others) >= enough else TOGETHER
    in_class = students(context, others)
    if not doubt and len(others) - len(in_class) < LEAST_TENANTS:
        doubt = one_customer(context.known, others) or CLASS
    others = remove_accounts(others, in_class)
    return others, aside | in_class, doubt or doubt_of_hands(context, others, rows, group.marked, tokens)


def remove_accounts(accounts: np.ndarray, aside: Aside) -> np.ndarray:
    return np.setdiff1d(accounts, np.array(sorted(aside), np.int32))


def doubt_of_hands(
    context: ActorContext, accounts: np.ndarray, rows: np.ndarray, marked: np.ndarray, tokens: int = SHORT
) -> str:
    """Return why an alarm's accounts may be many operators after all, from the whole log, or "".

    rows: their exchanges since they took up what they share. Only those that show it (`marked`) count. A
    group of which a part is of one source keeps all tenants that the watch has named. tokens: an answer with
    fewer is short.
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
    # the shared question may be the wording itself, so all their questions count here
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
    """Return why a group of many operators stays a lead."""
    return (
        f"what is asked clings to accounts as it does with people: sessions of one account are "
        f"{content.effect:.1%} more alike than of different ones (p {content.p_value:.2g})"
    )


def doubt_of(judgement: Judgement | None) -> str:
    """Return why a group whose settings are too similar may be many operators, as a sentence."""
    if judgement is None:
        return UNSURE
    if judgement.explanation:
        return judgement.explanation
    return many_hands_text(judgement.content) if judgement.content.hands is Hands.MANY else UNSURE
