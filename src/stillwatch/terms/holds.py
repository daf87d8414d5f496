"""Which accounts of a candidate are held, and when: drawn by a key, the same for whoever holds that key.

Time is cut into blocks (`block_minutes`), blocks into windows (`blocks_per_window`). In each window one block
is drawn; in it half of the candidate's accounts are refused. The other half is never held: these are the
focal accounts, whose requests tell whether they react. No state is needed, so a log can be recomputed.
It knows no request and no detector.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from stillwatch.terms import Hold, Holds, Permission
from stillwatch.units import DAY_US, MINUTE_US


@dataclass(frozen=True)
class HoldSchedule:
    """One candidate's draw. Accounts and times are fixed before the first block; only the end can move."""

    candidate: str
    accounts: tuple[str, ...]  # in the order of their names
    start_us: int  # the beginning of a window
    days: int  # planned
    block_minutes: int
    blocks_per_window: int
    key: bytes = field(repr=False)  # of this candidate alone: it can be handed to whoever recomputes the draw
    ended_us: int | None = None  # where it ended before its days were over

    @property
    def end_us(self) -> int:
        planned = self.start_us + self.days * DAY_US
        return planned if self.ended_us is None else min(planned, self.ended_us)

    @property
    def block_us(self) -> int:
        return self.block_minutes * MINUTE_US

    @property
    def window_us(self) -> int:
        return self.block_us * self.blocks_per_window

    @property
    def commitment(self) -> str:
        """Give a digest to write down at the start: it shows later that the key was not chosen afterwards."""
        return hashlib.sha256(b"stillwatch holds" + self.key).hexdigest()

    @cached_property
    def held_accounts(self) -> frozenset[str]:
        """Give the accounts that are held: half of them, the smaller half of an odd number."""
        order = sorted(self.accounts, key=lambda account: (self._draw("account", account), account))
        return frozenset(order[: len(order) // 2])

    @cached_property
    def focal(self) -> tuple[str, ...]:
        """Give the accounts that are never held."""
        return tuple(account for account in self.accounts if account not in self.held_accounts)

    def block(self, window: int) -> int:
        """Give the block, from 0, that is drawn in a window. `window`: counted from the epoch."""
        return self._draw("window", str(window)) * self.blocks_per_window >> 64

    def windows(self, until_us: int) -> range:
        """Give the windows that are over by a time, counted from the epoch."""
        end_us = max(self.start_us, min(until_us, self.end_us))
        return range(self.start_us // self.window_us, end_us // self.window_us)

    def hold_end_us(self, account: str, now_us: int) -> int | None:
        """Say until when an account is held now, or None where it is not.

        A block whose predecessor was drawn as well holds nobody: the time that a client was told to wait for
        would else be untrue. It counts as drawn all the same, so the draw stays uniform.
        """
        if not self.start_us <= now_us < self.end_us or account not in self.held_accounts:
            return None
        at = now_us - now_us % self.block_us
        if not self._is_drawn(at) or (at > self.start_us and self._is_drawn(at - self.block_us)):
            return None
        return min(at + self.block_us, self.end_us)

    def hold(self, account: str, now_us: int) -> Hold | None:
        """Give the hold that an account is under now."""
        until_us = self.hold_end_us(account, now_us)
        return None if until_us is None else Hold(self.candidate, until_us)

    def _is_drawn(self, block_begin_us: int) -> bool:
        window, within = divmod(block_begin_us, self.window_us)
        return self.block(window) == within // self.block_us

    def _draw(self, what: str, name: str) -> int:
        """Give 64 random bits that belong to a name."""
        message = f"{what}\0{name}".encode()
        return int.from_bytes(hmac.digest(self.key, message, "sha256")[:8], "big")


@dataclass(frozen=True)
class HoldCandidate:
    """Accounts that may be one hand: a lead or a finding of the scan, or a weaker group."""

    candidate: str
    p_value: float
    accounts: tuple[str, ...]
    share: float = 0.0  # of all requests, lately
    rank: int = 1  # the least comes first


@dataclass(frozen=True)
class HoldChoice:
    """What the terms say of one candidate."""

    candidate: HoldCandidate  # without accounts that are exempt
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
    """Say of each candidate whether the terms let it be held, the one of the least rank, then p-value, first.

    `orgs`: of each account that is known. An account is in one schedule at a time, as a hold of one would
    mislead the test of the other; `running` come first. `resting`: accounts that were in one lately.
    """
    permissions, running, candidates = tuple(permissions), tuple(running), tuple(candidates)
    taken = {account for schedule in running for account in schedule.accounts} | set(resting)
    places = terms.candidates_at_once - len(running)
    held_now = {schedule.candidate for schedule in running}
    cost = sum(_refused_share(terms, one.share) for one in candidates if one.candidate in held_now)
    found = []
    for one in sorted(candidates, key=lambda c: (c.rank, c.p_value, c.candidate)):
        spared = tuple(a for a in one.accounts if exempt(terms, a, orgs.get(a), permissions, now_us))
        left = replace(one, accounts=tuple(sorted(set(one.accounts) - set(spared))))
        why_not = _why_not(terms, left, taken, places, cost)
        if why_not is None:
            taken.update(left.accounts)
            places -= 1
            cost += _refused_share(terms, left.share)
        found.append(HoldChoice(left, spared, why_not))
    return found


def _refused_share(terms: Holds, share: float) -> float:
    """Give the share of all requests that holds of a candidate refuse: half of its accounts, a block of each
    window. The day's budget of an account makes it less."""
    return share / 2 / terms.blocks_per_window


def _why_not(terms: Holds, one: HoldCandidate, taken: set[str], places: int, cost: float) -> str | None:
    many = len(one.accounts)
    if one.p_value > terms.p_value_at_most:
        return f"its p-value {one.p_value:.2g} is above p_value_at_most = {terms.p_value_at_most:g}"
    if many < terms.accounts_at_least:
        return f"{many:,} accounts may be held, fewer than accounts_at_least = {terms.accounts_at_least:,}"
    if many > terms.accounts_at_most:
        return f"{many:,} accounts are more than accounts_at_most = {terms.accounts_at_most:,}"
    if taken & set(one.accounts):
        return "one of its accounts is, or lately was, in another candidate's schedule"
    if places <= 0:
        return f"candidates_at_once = {terms.candidates_at_once:,} are held already"
    if cost + _refused_share(terms, one.share) > terms.refused_share_at_most:
        most = f"refused_share_at_most = {terms.refused_share_at_most:g}"
        return (
            f"with it {cost + _refused_share(terms, one.share):.2%} of all requests would be refused ({most})"
        )
    return None


def candidate_key(deployment_key: bytes, candidate: str) -> bytes:
    """Give the key of one candidate's draw."""
    return hmac.digest(deployment_key, b"candidate\0" + candidate.encode(), "sha256")


def plan(
    terms: Holds, candidate: str, accounts: Iterable[str], now_us: int, deployment_key: bytes
) -> HoldSchedule:
    """Draw a candidate's schedule, from the next window on: it is written down before it begins."""
    window_us = terms.block_minutes * terms.blocks_per_window * MINUTE_US
    start_us = (now_us // window_us + 1) * window_us
    return HoldSchedule(
        candidate,
        tuple(sorted(set(accounts))),
        start_us,
        terms.days,
        terms.block_minutes,
        terms.blocks_per_window,
        candidate_key(deployment_key, f"{candidate} {start_us}"),
    )


def exempt(
    terms: Holds, account: str, org: str | None, permissions: Iterable[Permission], now_us: int
) -> bool:
    """Say whether an account must never be held: it is named, its organisation is, or it has a permission."""
    if account in terms.exempt_accounts:
        return True
    if org is not None and (org in terms.exempt_orgs or "*" in terms.exempt_orgs):
        return True
    live = [entry for entry in permissions if entry.expires_us > now_us]
    return any(e.account == account or (e.org is not None and e.org == org) for e in live)
