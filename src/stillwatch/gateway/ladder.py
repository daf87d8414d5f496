"""Findings and the terms' ladder -> what to propose and do. Pure: it reads no clock and writes nothing.

The rules that keep innocents whole:
- A permission, the owner's in the terms or the one a finding names, takes accounts out.
- A step that an account can feel is taken by itself only where the terms say so, for at most `max_accounts`
  of one campaign, late by a delay and a jitter that nobody without the folder's secret can foresee.
- Where a person has decided about an account, nothing is done to it by itself; a stricter step is proposed.
- Standings only rise here. Whatever is done is one action that `actions.undo` takes back.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from stillwatch.gateway.folder import derive
from stillwatch.scan import Campaign
from stillwatch.terms import Ladder, Permission, Rung, Standing, Step

FELT = Step.VERIFY  # from here on an account notices


@dataclass(frozen=True)
class Wanted:
    """One step for some accounts of one campaign, as the ladder asks for it now."""

    campaign: str
    step: Step
    rule: str
    why: str
    accounts: tuple[str, ...]
    waits: str = ""  # why a person has to say so; empty: it is done by itself


@dataclass(frozen=True)
class Proposal:
    """A step that was asked for, and what became of it."""

    proposal: int  # 0: not written down yet
    at_us: int
    wanted: Wanted
    due_us: int | None  # done by itself then
    state: str = "open"
    decided_us: int | None = None
    decided_by: str | None = None
    action: int | None = None


@dataclass(frozen=True)
class Reconciled:
    """What is to be written down: proposals new, changed, and no longer asked for."""

    new: tuple[Proposal, ...]
    changed: tuple[Proposal, ...]
    gone: tuple[Proposal, ...]


def climb(
    campaigns: Iterable[Campaign],
    ladder: Ladder,
    *,
    standings: Mapping[str, Standing],
    decided: Mapping[str, Step],
    permitted: frozenset[str],
    now_us: int,
) -> list[Wanted]:
    """Give every step that the ladder asks for and that is not taken yet, strictest campaign first.

    decided: accounts about which a person has decided, with the strictest step concerned; permitted: accounts
    whose use the terms permit.
    """
    wanted = []
    for campaign in sorted(campaigns, key=lambda c: (c.p_value, c.id)):
        if campaign.suppressed_by is not None:
            continue
        accounts = [a for a in campaign.accounts if a not in permitted]
        fit = sorted((r for r in ladder.rungs if fits(r, campaign, now_us)), key=lambda r: (r.step, r.act))
        acting = next((r for r in reversed(fit) if r.act), None)
        asking = next((r for r in reversed(fit) if acting is None or r.step > acting.step), None)
        for rung in (acting, asking):
            if rung is not None:
                wanted += _steps(campaign, rung, accounts, ladder, standings, decided)
    return wanted


def fits(rung: Rung, campaign: Campaign, now_us: int) -> bool:
    """Tell whether a campaign meets all that a rung asks for."""
    return (
        campaign.p_value <= rung.p_value_at_most
        and now_us - int(campaign.alarm_at.timestamp() * 1e6) >= rung.age_at_least_s * 1_000_000
        and campaign.harvest.exchanges >= rung.exchanges_at_least
        and campaign.harvest.output_tokens >= rung.output_tokens_at_least
    )


def _steps(
    campaign: Campaign,
    rung: Rung,
    accounts: list[str],
    ladder: Ladder,
    standings: Mapping[str, Standing],
    decided: Mapping[str, Step],
) -> list[Wanted]:
    """The accounts below a rung, those that a person decided about apart."""
    below = [a for a in accounts if a not in standings or standings[a].step < rung.step]
    free = tuple(a for a in below if a not in decided)
    asked = tuple(a for a in below if decided.get(a, rung.step) < rung.step)
    waits = ""
    if not rung.act:
        waits = f"{rung.name} only proposes"
    elif ladder.dry_run:
        waits = "the terms' ladder is on dry_run"
    elif rung.step >= FELT and len(accounts) > ladder.max_accounts:
        # of the whole campaign: one that grows by a few at a time is not hit by a few at a time
        waits = f"it would hit {len(accounts)} accounts, max_accounts is {ladder.max_accounts}"
    base = Wanted(campaign.id, rung.step, rung.name, campaign.title or "the ladder's rule is met", (), waits)
    if waits:
        free, asked = tuple(a for a in below if a in free or a in asked), ()
    parts = ((free, waits), (asked, "a person has decided about these accounts before"))
    return [replace(base, accounts=who, waits=wait) for who, wait in parts if who]


def reconcile(
    before: Iterable[Proposal], wanted: Iterable[Wanted], ladder: Ladder, *, secret: bytes, now_us: int
) -> Reconciled:
    """Put what is asked for now beside the open proposals. A campaign gets another id when it grows, so a
    proposal goes on where the same step is asked for and accounts are shared; its due time then stays."""
    open_now = sorted(before, key=lambda p: p.proposal)
    new, changed = [], []
    for want in wanted:
        mine = set(want.accounts)
        rivals = [p for p in open_now if _alike(p.wanted, want)]
        best = max(rivals, key=lambda p: (len(mine & set(p.wanted.accounts)), -p.proposal), default=None)
        if best is None or not mine & set(best.wanted.accounts):
            new.append(Proposal(0, now_us, want, due(want, ladder, secret, now_us)))
            continue
        open_now.remove(best)
        if best.wanted != want:
            changed.append(replace(best, wanted=want))
    return Reconciled(tuple(new), tuple(changed), tuple(open_now))


def _alike(a: Wanted, b: Wanted) -> bool:
    return a.step == b.step and bool(a.waits) == bool(b.waits)


def due(want: Wanted, ladder: Ladder, secret: bytes, now_us: int) -> int | None:
    """When a step is done by itself. The jitter is keyed: one step seen does not tell when it was found."""
    if want.waits:
        return None
    if want.step < FELT:
        return now_us
    text = f"{want.campaign} {int(want.step)} {now_us}".encode()
    draw = hashlib.blake2b(text, key=derive(secret, b"ladder-jitter"), digest_size=8).digest()
    share = int.from_bytes(draw, "little") / 2**64
    return now_us + ladder.delay_s * 1_000_000 + int(ladder.jitter_s * 1e6 * share)


def standing(want: Wanted, *, secret: bytes, now_us: int, until_us: int | None = None) -> Standing:
    """What an account's standing becomes when a step is taken."""
    mark = None
    if want.step == Step.MARK:
        key = derive(secret, b"marks")
        mark = hashlib.blake2b(want.campaign.encode(), key=key, digest_size=12).hexdigest()
    return Standing(want.step, now_us, want.why, want.campaign, until_us=until_us, mark=mark)


def permitted(
    permissions: Iterable[Permission], orgs: Mapping[str, str | None], now_us: int
) -> frozenset[str]:
    """Give the accounts that a permission in the terms covers now. `orgs`: of each account known."""
    live = [p for p in permissions if p.expires_us > now_us]
    named = {p.account for p in live if p.account is not None}
    whole = {p.org for p in live if p.org is not None}
    return frozenset(named | {account for account, org in orgs.items() if org is not None and org in whole})
