"""Which accounts of a candidate are held, and when: drawn by a key, and reproducible with that key.

Time is cut into blocks (`block_minutes`). In each block each account is drawn with probability `1 /
one_block_in`, independently of other blocks and accounts; during a drawn block the account is refused. No
state is needed, so the draws for a log can be recomputed.
"""

import hashlib
import hmac
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from stillwatch.terms import Hold, Holds, Permission
from stillwatch.units import DAY_US, MINUTE_US


@dataclass(frozen=True)
class HoldSchedule:
    """One candidate's draw. Past blocks are fixed; accounts can join, and the end can move."""

    candidate: str
    begin_us: Mapping[str, int]  # account -> start of the block from which it may be held
    start_us: int  # of the first of them
    days: int  # planned per account; more if the schedule is extended because it is undecided
    block_minutes: int
    one_block_in: int  # one block in this many of an account is drawn, on average
    key: bytes = field(repr=False)  # of this candidate only, so that it can be given to an outside checker
    ended_us: int | None = None  # set if it ended early
    # draws after its own holds showed that work moves: one block in this many, and from when
    denser_one_block_in: int | None = None
    denser_from_us: int | None = None

    @cached_property
    def accounts(self) -> tuple[str, ...]:
        """Return its accounts, sorted by name."""
        return tuple(sorted(self.begin_us))

    @property
    def end_us(self) -> int:
        planned = max(self.begin_us.values(), default=self.start_us) + self.days * DAY_US
        return planned if self.ended_us is None else min(planned, self.ended_us)

    @property
    def block_us(self) -> int:
        return self.block_minutes * MINUTE_US

    def chance(self, block: int) -> float:
        """Return the probability that an account is drawn in a block, counted from the epoch."""
        return 1 / self._one_in(block)

    @property
    def commitment(self) -> str:
        """Return a digest to record at the start: it shows later that the key was not chosen afterwards."""
        return hashlib.sha256(b"stillwatch holds" + self.key).hexdigest()

    def blocks(self, until_us: int) -> range:
        """Return the blocks that are over by a time, counted from the epoch."""
        end_us = max(self.start_us, min(until_us, self.end_us))
        return range(self.start_us // self.block_us, end_us // self.block_us)

    def draw(self, account: str, block: int) -> bool | None:
        """Return whether an account is held in a block, counted from the epoch; None if nothing was drawn.

        Nothing is drawn before the account has joined, after its days are over, or in the block after a drawn
        one: a client that waits as requested is served.
        """
        first = self.begin_us[account] // self.block_us
        if not first <= block < first + self.days * DAY_US // self.block_us:
            return None
        if block > first and self._is_drawn(account, block - 1):
            return None
        return self._is_drawn(account, block)

    def hold_end_us(self, account: str, now_us: int) -> int | None:
        """Return until when an account of the schedule is held, or None if it is not held now."""
        if account not in self.begin_us or not self.start_us <= now_us < self.end_us:
            return None
        block = now_us // self.block_us
        return min((block + 1) * self.block_us, self.end_us) if self.draw(account, block) else None

    def hold(self, account: str, now_us: int) -> Hold | None:
        """Return the hold that an account is under now."""
        until_us = self.hold_end_us(account, now_us)
        return None if until_us is None else Hold(self.candidate, until_us)

    def _is_drawn(self, account: str, block: int) -> bool:
        digest = hmac.digest(self.key, f"{block}\0{account}".encode("utf-8", "surrogatepass"), "sha256")
        return int.from_bytes(digest[:8], "big") * self._one_in(block) < 1 << 64

    def _one_in(self, block: int) -> int:
        denser = self.denser_from_us is not None and block * self.block_us >= self.denser_from_us
        return self.denser_one_block_in if denser and self.denser_one_block_in else self.one_block_in


MOVED = 0.1  # p-value of a schedule's holds below which it draws more often: about one text that moved
DENSER_COST = 2.0  # times `refused_share_at_most`: what denser draws may refuse beside the first draws
BY_REFUSALS = "refusals"  # prefix of the names of candidates found by refusals
LARGEST = 0.25  # of the refusal budget, for one candidate; a back end with few accounts would exceed it
LONGER_PLACES = 0.25  # of the slots: for schedules extended beyond their first days
SAME_GROUP = 0.5  # of a schedule's accounts in a candidate: then it is the same group under another id
OVER = "its last day has passed"
RESERVED = 0.5  # of the refusal budget: kept for candidates by refusals that are not known yet


@dataclass(frozen=True)
class HoldCandidate:
    """Accounts that may belong to one operator: a lead or finding of the scan, or a weaker group."""

    candidate: str
    p_value: float
    accounts: tuple[str, ...]
    share: float = 0.0  # of all recent requests
    rank: int = 1  # lowest first
    moved_p: float = 1.0  # p-value of the holds of its running schedule so far
    undecided: bool = False  # its schedule has shown neither that work moves nor that it does not


@dataclass(frozen=True)
class HoldChoice:
    """What the policy decides on one candidate."""

    candidate: HoldCandidate  # without exempt accounts
    exempt: tuple[str, ...]
    why_not: str | None  # in words; None: it may be held


def choose(
    terms: Holds,
    candidates: Iterable[HoldCandidate],
    orgs: Mapping[str, str | None],
    permissions: Iterable[Permission],
    now_us: int,
    running: Iterable[HoldSchedule] = (),
    resting: Iterable[str] = (),
) -> list[HoldChoice]:
    """Return for each candidate whether the policy lets it be held, by rank, then by fewest requests.

    Candidates by refusals get half of the slots, all others the other half. `orgs`: of each known account. An
    account is in one schedule at a time. `running` schedules take precedence, and a candidate is held without
    the accounts already taken if these are the minority. `resting`: accounts recently in a schedule.
    """
    permissions, running, candidates = tuple(permissions), tuple(running), tuple(candidates)
    taken = {account for schedule in running for account in schedule.accounts} | set(resting)
    begun = Counter(_is_by_refusals(schedule.candidate) for schedule in running)
    half = (terms.candidates_at_once + 1) // 2
    cost = running_cost(terms, running, candidates)
    choices = []
    for candidate in sorted(candidates, key=lambda c: (c.rank, c.share, c.p_value, c.candidate)):
        exempt_accounts = tuple(
            a for a in candidate.accounts if exempt(terms, a, orgs.get(a), permissions, now_us)
        )
        eligible = set(candidate.accounts).difference(exempt_accounts)
        free_accounts = eligible - taken
        accounts_left = tuple(sorted(free_accounts if 2 * len(free_accounts) >= len(eligible) else eligible))
        reduced = replace(
            candidate,
            accounts=accounts_left,
            share=candidate.share * len(accounts_left) / max(1, len(candidate.accounts)),
        )
        by_refusals = _is_by_refusals(candidate.candidate)
        places = min(half - begun[by_refusals], terms.candidates_at_once - begun.total())
        reserved = 0 if by_refusals else RESERVED * terms.refused_share_at_most
        why_not = _why_not(terms, reduced, taken, places, cost + reserved)
        if why_not is None:
            taken.update(reduced.accounts)
            begun[by_refusals] += 1
            cost += _refused_share(terms, reduced.share)
        choices.append(HoldChoice(reduced, exempt_accounts, why_not))
    return choices


def _is_by_refusals(candidate: str) -> bool:
    return candidate.startswith(f"{BY_REFUSALS}-")


def candidate_of_schedule(
    schedule: HoldSchedule, candidates: Iterable[HoldCandidate]
) -> HoldCandidate | None:
    """Return the candidate with most of a schedule's accounts (on a tie, the larger one), or None."""
    shared = {candidate: len(schedule.begin_us.keys() & set(candidate.accounts)) for candidate in candidates}
    best = max(shared, key=lambda candidate: (shared[candidate], -candidate.rank), default=None)
    return best if best is not None and 2 * shared[best] > len(schedule.begin_us) else None


def running_cost(
    terms: Holds, running: Iterable[HoldSchedule], candidates: Collection[HoldCandidate]
) -> float:
    """Return the share of all requests that running schedules refuse at their candidates' present traffic."""
    cost = 0.0
    for schedule in running:
        if (candidate := candidate_of_schedule(schedule, candidates)) is not None:
            shared = len(schedule.begin_us.keys() & set(candidate.accounts))
            cost += candidate.share / schedule.one_block_in * shared / len(candidate.accounts)
    return cost


def joining(
    terms: Holds,
    schedule: HoldSchedule,
    candidate: HoldCandidate,
    orgs: Mapping[str, str | None],
    permissions: Iterable[Permission],
    now_us: int,
    taken: Collection[str],
    cost: float,
) -> tuple[tuple[str, ...], float]:
    """Return accounts of a candidate that may join its running schedule, and their cost.

    `taken`: accounts of schedules that run, or ran recently; `cost`: of running schedules, as a share of all
    requests.
    """
    permissions = tuple(permissions)
    new = tuple(
        account
        for account in sorted(set(candidate.accounts) - schedule.begin_us.keys())
        if account not in taken and not exempt(terms, account, orgs.get(account), permissions, now_us)
    )
    # cost per account
    account_cost = candidate.share / schedule.one_block_in / len(candidate.accounts)
    added_cost = account_cost * len(new)
    held_cost = account_cost * len(schedule.begin_us.keys() & set(candidate.accounts))
    fits = (
        candidate.p_value <= terms.p_value_at_most
        and len(schedule.begin_us) + len(new) <= terms.accounts_at_most
        and held_cost + added_cost <= LARGEST * terms.refused_share_at_most
        and cost + added_cost <= terms.refused_share_at_most
    )
    return (new, added_cost) if fits else ((), 0.0)


def join(schedule: HoldSchedule, accounts: Iterable[str], now_us: int) -> HoldSchedule:
    """Return the schedule with further accounts, which may be held from the next block on."""
    begin_us = (now_us // schedule.block_us + 1) * schedule.block_us
    return replace(schedule, begin_us={**schedule.begin_us, **dict.fromkeys(accounts, begin_us)})


def draw_denser(
    terms: Holds, running: Collection[HoldSchedule], candidates: Collection[HoldCandidate], now_us: int
) -> list[HoldSchedule]:
    """Return those of the running schedules that draw more often from the next block on.

    This happens once a schedule's own holds show that work moves (p at most `MOVED`), and at once for a
    candidate by refusals, since these have shown it. Together they may refuse, beyond their first draws,
    `DENSER_COST` times `refused_share_at_most`; `RESERVED` of that is kept for those whose own holds show it.

    Later draws may depend on earlier observations: a bet is fair at the probability of its own block.
    """
    often = terms.one_block_in_once_moved
    moved_p = {candidate.candidate: candidate.moved_p for candidate in candidates}
    budget, denser_schedules = DENSER_COST * terms.refused_share_at_most, []
    for schedule in sorted(running, key=lambda s: (s.denser_from_us is None, moved_p.get(s.candidate, 1.0))):
        candidate = candidate_of_schedule(schedule, candidates)
        denser = schedule.denser_one_block_in or often
        if candidate is None or denser >= schedule.one_block_in:
            continue
        share = (
            candidate.share
            * len(schedule.begin_us.keys() & set(candidate.accounts))
            / len(candidate.accounts)
        )
        added_cost = share * (1 / denser - 1 / schedule.one_block_in)
        if schedule.denser_from_us is not None:
            budget -= added_cost
            continue
        moved = moved_p.get(schedule.candidate, 1.0) <= MOVED
        reserved = 0.0 if moved else RESERVED * DENSER_COST * terms.refused_share_at_most
        if (moved or _is_by_refusals(schedule.candidate)) and added_cost <= budget - reserved:
            budget -= added_cost
            begin_us = (now_us // schedule.block_us + 1) * schedule.block_us
            denser_schedules.append(replace(schedule, denser_one_block_in=often, denser_from_us=begin_us))
    return denser_schedules


def draw_longer(
    terms: Holds, running: Collection[HoldSchedule], candidates: Iterable[HoldCandidate], now_us: int
) -> list[HoldSchedule]:
    """Return those of the running schedules that are extended to `days_at_most` days because they are
    undecided.

    The decision falls on the last day of the accounts that joined first, so that it is recorded before it
    takes effect. Extended schedules take at most `LONGER_PLACES` of the slots. Extending may depend on
    earlier observations: each bet is fair regardless, and a bettor may stop at any time.
    """
    undecided = {candidate.candidate: candidate.moved_p for candidate in candidates if candidate.undecided}
    places = int(LONGER_PLACES * terms.candidates_at_once) - sum(s.days > terms.days for s in running)
    due = []
    for schedule in running:
        over_us = schedule.start_us + schedule.days * DAY_US
        if schedule.candidate in undecided and schedule.days < terms.days_at_most:
            due += [schedule] if over_us - DAY_US <= now_us < over_us - schedule.block_us else []
    due.sort(key=lambda schedule: undecided[schedule.candidate])
    return [replace(schedule, days=terms.days_at_most) for schedule in due[: max(0, places)]]


def why_over(
    terms: Holds, schedule: HoldSchedule, candidates: Collection[HoldCandidate], now_us: int
) -> str | None:
    """Return in words why a running schedule ends now, or None if it continues."""
    if now_us >= schedule.end_us:
        return OVER
    if terms.mode != "on":
        return f'the terms have mode = "{terms.mode}"'
    shape = (schedule.block_minutes, schedule.one_block_in)
    if shape != (terms.block_minutes, terms.one_block_in) or schedule.days not in (
        terms.days,
        terms.days_at_most,
    ):
        return "the terms have changed the schedule"
    if not any(_is_schedule_of(schedule, candidate) for candidate in candidates):
        return "it is no longer a candidate"
    if now_us >= replace(schedule, days=terms.days).end_us and not any(
        entry.undecided for entry in candidates if entry.candidate == schedule.candidate
    ):
        return OVER
    return None


def _is_schedule_of(schedule: HoldSchedule, candidate: HoldCandidate) -> bool:
    """Return whether a schedule belongs to a candidate. A lead that becomes a finding gets another id."""
    shared = len(schedule.begin_us.keys() & set(candidate.accounts))
    return schedule.candidate == candidate.candidate or shared >= SAME_GROUP * len(schedule.begin_us)


def _refused_share(terms: Holds, share: float) -> float:
    """Return the share of all requests that a candidate's holds refuse; daily budgets can lower it."""
    return share / terms.one_block_in


def _why_not(terms: Holds, candidate: HoldCandidate, taken: set[str], places: int, cost: float) -> str | None:
    accounts = len(candidate.accounts)
    if candidate.p_value > terms.p_value_at_most:
        return f"its p-value {candidate.p_value:.2g} is above p_value_at_most = {terms.p_value_at_most:g}"
    if accounts < terms.accounts_at_least:
        return f"only {accounts:,} accounts may be held; accounts_at_least = {terms.accounts_at_least:,}"
    if accounts > terms.accounts_at_most:
        return f"it has {accounts:,} accounts; accounts_at_most = {terms.accounts_at_most:,}"
    if taken & set(candidate.accounts):
        return "most of its accounts are, or recently were, in another candidate's schedule"
    if places <= 0:
        most = f"candidates_at_once = {terms.candidates_at_once:,}"
        return (
            f"all places are taken ({most}; half are reserved for candidates by refusals, half for the "
            "others)"
        )
    if (refused := _refused_share(terms, candidate.share)) > LARGEST * terms.refused_share_at_most:
        return (
            f"its holds alone would refuse {refused:.2%} of all requests, more than {LARGEST:.0%} of "
            f"refused_share_at_most = {terms.refused_share_at_most:g}"
        )
    if (all_refused := cost + _refused_share(terms, candidate.share)) > terms.refused_share_at_most:
        most = f"refused_share_at_most = {terms.refused_share_at_most:g}"
        return (
            f"with it, and with the share reserved for candidates by refusals, {all_refused:.2%} of all "
            f"requests could be refused ({most})"
        )
    return None


def candidate_key(deployment_key: bytes, candidate: str) -> bytes:
    """Return the key of one candidate's draw."""
    return hmac.digest(deployment_key, b"candidate\0" + candidate.encode(), "sha256")


def plan(
    terms: Holds, candidate: str, accounts: Iterable[str], now_us: int, deployment_key: bytes
) -> HoldSchedule:
    """Plan a candidate's schedule from the next block on, so that it is recorded before it begins."""
    block_us = terms.block_minutes * MINUTE_US
    start_us = (now_us // block_us + 1) * block_us
    return HoldSchedule(
        candidate,
        dict.fromkeys(sorted(set(accounts)), start_us),
        start_us,
        terms.days,
        terms.block_minutes,
        terms.one_block_in,
        candidate_key(deployment_key, f"{candidate} {start_us}"),
    )


def exempt(
    terms: Holds, account: str, org: str | None, permissions: Iterable[Permission], now_us: int
) -> bool:
    """Return whether an account must never be held: by name, by organisation, or by a permission."""
    if account in terms.exempt_accounts:
        return True
    if org is not None and (org in terms.exempt_orgs or "*" in terms.exempt_orgs):
        return True
    live = [entry for entry in permissions if entry.expires_us > now_us]
    return any(e.account == account or (e.org is not None and e.org == org) for e in live)
