"""Adds a campaign to a scene's people: its requests, cover, accounts and truth as rows.

How real campaigns hide is unknown: their hours, token counts and identities are invented here, and a detector
fitted to them would learn the composer.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import InputError
from stillwatch.range.campaigns import CampaignPlan, PlannedRequest, accounts_of
from stillwatch.range.campaigns.dealing import deal
from stillwatch.range.campaigns.shapes import requests_of
from stillwatch.range.identity import LEAST_AGE, AccountIdentity, Donor, identities
from stillwatch.range.placing import PlaceCapture
from stillwatch.range.population import DONOR_KINDS, HonestPopulation
from stillwatch.range.rows import REASONS, Row, exchange_row, join_turns
from stillwatch.range.stock import Corpora


@dataclass(frozen=True)
class Side:
    """Honest people, and the material for campaigns among them. Both are used up as campaigns are added."""

    people: HonestPopulation
    donors: list[Donor]  # traits that a campaign's accounts can take over
    corpora: Corpora
    talks: list[tuple[str, ...]]  # honest conversations that nobody in the scene had, for cover
    victims: list[str]  # accounts whose keys can be stolen
    rng: np.random.Generator


@dataclass(frozen=True)
class Injection:
    """The additions of one campaign to a scene."""

    campaign: str
    shape: str
    rows: list[Row]
    accounts: list[Row]
    truth: list[Row]
    marks: list[Row]  # exchange_id and campaign of covert requests
    stolen: dict[str, float]  # honest accounts whose keys were used, with the covert requests of each


def cover(
    plan: CampaignPlan, sent: list[PlannedRequest], talks: list[tuple[str, ...]], rng: np.random.Generator
) -> list[PlannedRequest]:
    """Return honest conversations of the campaign's accounts: before it at tradecraft 2, and with it.

    It removes what it uses from the end of `talks`.
    """
    cover = round(len(sent) * plan.cover / (1 - plan.cover))
    ages = range(accounts_of(plan)) if plan.tradecraft == 2 else ()
    slots = [(a, float(rng.uniform(0, min(7.0, max(plan.start, 4.0))))) for a in ages if rng.random() < 0.7]
    honest: list[PlannedRequest] = []
    talk = -1  # numbers of cover are negative, of campaigns positive
    while slots or cover > 0:
        early = bool(slots)
        account, day = slots.pop() if early else (sent[rng.integers(len(sent))].account, -1.0)
        day = day if early else plan.start + plan.days * float(rng.random())
        if not talks:
            raise InputError(f"{plan.name}: no unused honest talk is left for cover")
        for turn, prompt in enumerate(talks.pop()[: 1 + rng.integers(5)], start=1):
            honest.append(PlannedRequest(account, day, prompt, turn=turn, talk=talk, covert=False))
            day += float(rng.uniform(30, 400)) / 86400
            cover -= not early
        talk -= 1
    return honest


def inject(plan: CampaignPlan, side: Side, days: float = 14.0, folder: Path | None = None) -> Injection:
    """Compose one campaign; `folder` holds shapes of your own.

    Raises: InputError: an unknown shape or pipeline, or a missing stock, conversation or honest account.
    """
    people, donors, rng = side.people, side.donors, side.rng
    if plan.tradecraft == 2 and not any(d.age > LEAST_AGE for d in donors):
        raise InputError(
            f"{plan.name}: no honest account of kind {', '.join(DONOR_KINDS)} is old enough to be copied at "
            "tradecraft 2; give the scene more of them, or a lower level"
        )
    covert = deal(plan, requests_of(plan, side.corpora, rng, people.new_model_day, folder), rng)
    sent = [r for r in covert + cover(plan, covert, side.talks, rng) if r.day < days]
    if plan.model in REASONS:  # nobody pays for reasoning and cuts it off
        fit = [d for d in donors if d.max_tokens is None or d.max_tokens >= 8192]
        donors = fit or [replace(d, max_tokens=None) for d in donors]
    if plan.style == "repeat_sampling":  # many answers to one question are worthless at temperature 0
        donors = [replace(d, temperature=(0.6, 0.7, 0.8, 1.0)[rng.integers(4)]) for d in donors]
    whose: list[AccountIdentity] = []
    for wave in range(1 + len(plan.bans)):
        at = plan.start + plan.days * (0.0, *plan.bans)[wave]
        start = people.begin + timedelta(days=at)
        whose += identities(plan.tradecraft, plan.accounts, people.begin, start, donors, rng)
    stolen = _steal(whose, plan, side.victims, rng) if plan.stolen else set()
    sent = [r for r in sent if r.covert or r.account not in stolen]  # the owner's own traffic is cover enough
    rows = [exchange_row(r, whose[r.account], plan, people.begin, people.new_model_day, rng) for r in sent]
    join_turns(sent, rows)
    if plan.place != "message":
        captured = PlaceCapture()
        for r, row in sorted(zip(sent, rows, strict=True), key=lambda pair: pair[1]["time"]):
            captured.put(row, plan.place if r.covert else "message")
    total, taken = np.zeros(len(whose)), np.zeros(len(whose))
    for r in sent:
        total[r.account] += 1
        taken[r.account] += r.covert
    used = [n for n in range(len(whose)) if taken[n]]
    rows = [row for r, row in zip(sent, rows, strict=True) if taken[r.account]]
    marks = [
        {"exchange_id": row["exchange_id"], "campaign": plan.name}
        for row, r in zip(rows, (r for r in sent if taken[r.account]), strict=True)
        if r.covert
    ]
    about = []
    for n in (n for n in used if n not in stolen):
        who, like = whose[n], whose[n].donor
        entry = {
            f: getattr(like, f) for f in ("org", "tier", "country", "email_domain", "payment", "declared_use")
        }
        about.append({"account": who.account, "created": who.created, "permissions": [], **entry})
    shape = Path(plan.style).stem
    truth = [
        {"account": whose[n].account, "kind": "campaign", "campaign": plan.name, "style": shape,
         "covert_share": taken[n] / total[n]}
        for n in used
        if n not in stolen
    ]  # fmt: skip
    robbed = {whose[n].account: float(taken[n]) for n in used if n in stolen}
    return Injection(plan.name, shape, rows, about, truth, marks, robbed)


def _steal(
    whose: list[AccountIdentity], plan: CampaignPlan, victims: list[str], rng: np.random.Generator
) -> set[int]:
    """Let a share of the accounts be honest people's own: the thief keeps his client and addresses."""
    chosen = sorted(int(n) for n in rng.permutation(len(whose))[: round(plan.stolen * len(whose))])
    if len(chosen) > len(victims):
        raise InputError(
            f"{plan.name}: {len(chosen)} keys are to be stolen, {len(victims)} honest accounts fit"
        )
    for n in chosen:
        whose[n] = replace(whose[n], account=victims.pop())
    return set(chosen)


def victims_of(people: HonestPopulation, rng: np.random.Generator) -> list[str]:
    """Return honest accounts of ordinary kinds active in both halves of the scene, in random order."""
    kind = pc.is_in(people.truth["kind"], value_set=pa.array(DONOR_KINDS))
    plain = set(people.truth.filter(kind)["account"].to_pylist())
    day = pc.divide(pc.subtract(people.exchanges["time"], people.begin).cast("int64"), 86_400_000_000)
    half = pc.divide(pc.max(day).as_py() + 1, 2)
    early, late = (
        set(people.exchanges.filter(side)["account"].unique().to_pylist())
        for side in (pc.less(day, half), pc.greater_equal(day, half))
    )
    both = sorted(plain & early & late)
    return [both[i] for i in rng.permutation(len(both))]
