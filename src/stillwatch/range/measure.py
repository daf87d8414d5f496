"""Evaluates a defence's cases on a log whose truth is known.

`LogJudgement` and `TruthLedger` give `SceneOutcome`.

Every account that a case names is stopped from then on, whether a campaign's or not, and whether the case is
true or false: that is what an automatic reaction to cases does. Not modelled: a person who rejects a case,
and the attacker's reaction (range/attackers has those).
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stillwatch.range.costs import AttackPrices
from stillwatch.range.defences import Accusation, LogJudgement
from stillwatch.range.ledger import TruthLedger
from stillwatch.range.linkage import Linkage, linkage
from stillwatch.range.outcome import Collateral, Fate, SceneOutcome, ScoredPeople
from stillwatch.units import DAY_US

NEVER = np.iinfo(np.int64).max
PERMITTED = "synthetic_permitted"


@dataclass(frozen=True)
class LedgerCase:
    """One case in its final state, in codes of the ledger."""

    name: str
    at_us: int
    named_us: dict[int, int]  # account -> when
    hit: tuple[int, ...]  # its campaign accounts

    @property
    def true(self) -> bool:
        return 0 < len(self.named_us) <= 2 * len(self.hit)


def join_accusations(ledger: TruthLedger, accusations: Iterable[Accusation]) -> list[LedgerCase]:
    """Join the steps of each case, in order of time; accounts that are not in the log are left out."""
    at: dict[str, int] = {}
    named: dict[str, dict[int, int]] = {}
    for accusation in accusations:
        at[accusation.case] = min(at.get(accusation.case, accusation.at_us), accusation.at_us)
        of = named.setdefault(accusation.case, {})
        for account, when in accusation.named_at_us.items():
            code = ledger.codes.get(account)
            if code is not None:
                of[code] = min(of.get(code, NEVER), max(when, accusation.at_us))
    cases = [
        LedgerCase(name, at[name], named[name], tuple(a for a in named[name] if ledger.campaign[a] >= 0))
        for name in named
        if named[name]
    ]
    return sorted(cases, key=lambda c: (c.at_us, c.name))


def measure(
    ledger: TruthLedger,
    judged: LogJudgement,
    prices: AttackPrices,
    clean_days: int,
    *,
    scene: str,
    seed: int,
    defence: str,
    people: ScoredPeople | None = None,
) -> SceneOutcome:
    """Return every figure of one defence on one log; by default `people` are new for each scene and seed."""
    cases = join_accusations(ledger, judged.cases)
    stop = np.full(len(ledger.accounts), NEVER, np.int64)
    for case in cases:
        for account, when in case.named_us.items():
            stop[account] = min(stop[account], when)
    passed = ledger.answered & (ledger.time_us < stop[ledger.sender]) & ~ledger.rows_of(judged.refused)
    limited = ledger.answered & ~ledger.rows_of(judged.refused)
    false = [c for c in cases if not c.true and not _is_permitted(ledger, c)]
    clean_us = ledger.begin_us + clean_days * DAY_US
    days = _honest_days(ledger)
    clean = int((days < clean_us // DAY_US).sum())
    return SceneOutcome(
        scene,
        seed,
        defence,
        tuple(_fate(ledger, n, cases, passed, limited, prices) for n in _played_campaigns(ledger)),
        len(cases),
        len(false),
        sum(not c.true and _is_permitted(ledger, c) for c in cases),
        sum(c.at_us < clean_us for c in false),
        len(days) - clean,
        clean,
        _measure_linkage(ledger, cases),
        _collateral(ledger, cases, passed, _mostly(ledger, false)),
        people or ScoredPeople(f"{scene} {seed}"),
        judged.cannot_fire,
    )


def _played_campaigns(ledger: TruthLedger) -> list[int]:
    """Return campaigns with any answered request, as the reference scorer counts them."""
    present = set(np.unique(ledger.taken[ledger.answered & (ledger.taken >= 0)]).tolist())
    return [n for n in range(len(ledger.campaigns)) if n in present]


def _is_permitted(ledger: TruthLedger, case: LedgerCase) -> bool:
    return not case.true and all(
        ledger.campaign[a] >= 0 or ledger.kinds[ledger.kind[a]] == PERMITTED for a in case.named_us
    )


def _honest_days(ledger: TruthLedger) -> np.ndarray:
    """Return the day of each honest account-day."""
    honest = ledger.campaign[ledger.sender] < 0
    day, sender = ledger.time_us[honest] // DAY_US, ledger.sender[honest]
    return np.unique(day * len(ledger.accounts) + sender) // max(1, len(ledger.accounts))


def _fate(
    ledger: TruthLedger,
    n: int,
    cases: list[LedgerCase],
    passed: np.ndarray,
    limited: np.ndarray,
    prices: AttackPrices,
) -> Fate:
    known = ledger.campaigns[n]
    true = [c for c in cases if c.true and any(ledger.campaign[a] == n for a in c.hit)]
    alarm = min((c.at_us for c in true), default=None)
    named = {a for c in true for a in c.hit if ledger.campaign[a] == n}
    exchanges = np.flatnonzero(ledger.answered & (ledger.taken == n))
    out = exchanges[passed[exchanges]]
    early = exchanges[limited[exchanges] & (ledger.time_us[exchanges] < (NEVER if alarm is None else alarm))]
    tokens = ledger.output_tokens
    return Fate(
        known.name,
        known.style,
        known.accounts,
        len(exchanges),
        int(tokens[exchanges].sum()),
        alarm is not None,
        len(named),
        alarm,
        len(early),
        int(tokens[early].sum()),
        len(out),
        int(tokens[out].sum()),
        _examples(ledger, out),
        _examples(ledger, exchanges),
        _usd(ledger, n, out, prices),
        _usd(ledger, n, exchanges, prices),
    )


def _examples(ledger: TruthLedger, rows: np.ndarray) -> int:
    """Count complete answers to different prompts: the samples of the measured curve."""
    return len(np.unique(ledger.text[rows[ledger.whole[rows]]]))


def _usd(ledger: TruthLedger, n: int, rows: np.ndarray, prices: AttackPrices) -> float:
    """Return the cost of an attacker that does not react: all its accounts, and the answered tokens."""
    known = ledger.campaigns[n]
    own = 1.0 - known.stolen  # the owner of a stolen key pays for its tokens
    usd = known.accounts * (own * prices.account(known.account) + known.stolen * prices.account("stolen"))
    for m, model in enumerate(ledger.models):
        with_it = rows[ledger.model[rows] == m]
        sent, received = int(ledger.input_tokens[with_it].sum()), int(ledger.output_tokens[with_it].sum())
        usd += own * prices.exchange(model, sent, received)
        usd += known.stolen * prices.exchange(model, sent, received, paid=False)
    return round(usd, 6)


def _measure_linkage(ledger: TruthLedger, cases: list[LedgerCase]) -> Linkage:
    """Compare cases with campaigns, over campaign accounts and named ones; an account's first case counts."""
    order: dict[int, str] = {}
    for case in cases:
        for account in case.named_us:
            order.setdefault(account, case.name)
    everyone = sorted({*np.flatnonzero(ledger.campaign >= 0).tolist(), *order})
    return linkage(
        [order.get(a, a) for a in everyone],
        [("c", int(ledger.campaign[a])) if ledger.campaign[a] >= 0 else ("a", a) for a in everyone],
    )


def _mostly(ledger: TruthLedger, false: list[LedgerCase]) -> Counter[int]:
    """Count false cases by the kind of most of their honest accounts, as the scorer does."""
    of_kind: Counter[int] = Counter()
    for case in false:
        kinds = Counter(int(ledger.kind[a]) for a in case.named_us if ledger.campaign[a] < 0)
        if kinds:
            of_kind[kinds.most_common(1)[0][0]] += 1
    return of_kind


def _collateral(
    ledger: TruthLedger, cases: list[LedgerCase], passed: np.ndarray, false: Counter[int]
) -> tuple[Collateral, ...]:
    named = np.zeros(len(ledger.accounts), bool)
    for case in cases:
        named[list(case.named_us)] = True
    honest = ledger.campaign < 0
    sent = ledger.answered & honest[ledger.sender]
    of = ledger.kind[ledger.sender]
    rows = []
    for k in np.unique(ledger.kind[honest]).tolist():
        exchanges = sent & (of == k)
        lost = exchanges & ~passed
        who = honest & (ledger.kind == k)
        rows.append(
            Collateral(
                ledger.kinds[k],
                int(who.sum()),
                int((named & who).sum()),
                int(exchanges.sum()),
                int(ledger.output_tokens[exchanges].sum()),
                int(lost.sum()),
                int(ledger.output_tokens[lost].sum()),
                false[k],
            )
        )
    return tuple(rows)
