"""From alarms to campaigns: reasons, links, harvest, alternatives."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from stillwatch.actors import Actor, ActorContext, Clue, ClueWeight, evidence_bits
from stillwatch.detectors import Detector, Population, lone_harvest
from stillwatch.engine import SqlEngine
from stillwatch.features.compute import account_features
from stillwatch.features.kinds import AccountRecord, Subject, permitted_synthetic, red_team
from stillwatch.scan import (
    Campaign,
    Link,
    OwnReaction,
    OwnTie,
    Reason,
    SettingTest,
    failover,
    holds,
)
from stillwatch.scan.alternatives import alternatives, lent_keys
from stillwatch.scan.explanations import answer_size
from stillwatch.scan.harvest import harvest, next_milestone, timeline
from stillwatch.scan.parts import MANNERS, by_refusals_alone
from stillwatch.signals import blamed_on_its_package, signal_modules, signal_of
from stillwatch.units import time_of

FIRM_CLASSES = 2
Features = Mapping[str, float | int | None]


def clues() -> tuple[Clue, ...]:
    """Return every clue: of actors/clues by file name, then those of installed packages."""
    return signal_modules("stillwatch.actors.clues", "stillwatch.clues", "weigh", "CONTROL", "CLASS")


def detectors() -> tuple[Detector, ...]:
    """Return every detector of an actor's features: those of detectors/, then those of packages."""
    return signal_modules("stillwatch.detectors", "stillwatch.detectors", "state")


def campaign(
    actor: Actor,
    context: ActorContext,
    *,
    at_us: int,
    p_value: float,
    named_at_us: dict[int, int],
    first_reason: Reason,
    more: tuple[Reason, ...] = (),
    tested: tuple[SettingTest, ...] = (),
    own_ties: Mapping[int, OwnTie] = MappingProxyType({}),
    own_reactions: Mapping[str, OwnReaction] = MappingProxyType({}),
    features: Features,
    population: Population,
) -> Campaign:
    """Assemble the campaign of one alarmed actor.

    named_at_us, own_ties: account code -> when it was named, and its own tie; features: the actor's own row
    of the feature table.
    """
    log = context.log
    names = log.accounts
    reasons, links = [first_reason, *more], []
    reacted = holds.NAME if first_reason.detector == holds.NAME else failover.NAME
    classes: dict[int, dict[str, str]] = {}  # account -> class of clue -> who controls the attribute
    number = campaign_id(actor, context)
    for account in actor.accounts:
        if (reaction := own_reactions.get(names[account])) is not None:
            if reaction.p_value <= holds.MOST_OWN_P:  # a single text taken over may be chance
                classes[int(account)] = {"reaction": "provider"}  # clients do not choose whom a refusal hits
            links.append(_reaction_link(names[account], number, reacted, reaction))
    for clue in clues():
        with blamed_on_its_package(clue):
            weight = clue.weigh(actor, context)
            if weight is None:
                continue
            reasons.append(_reason(clue.NAME, weight))
            for tie in weight.ties:
                other = number if tie.other is None else names[tie.other]
                for account in (tie.account, tie.other) if tie.firm else ():
                    if account is not None:
                        classes.setdefault(int(account), {})[clue.CLASS] = clue.CONTROL
                links.append(
                    Link(names[tie.account], other, clue.NAME, round(tie.bits, 3), tie.text, clue.CONTROL)
                )
    for detector in detectors():
        with blamed_on_its_package(detector):
            state = detector.state(features, population)
            if state is not None:
                bits = round(state.bits, 3)
                peers = state.baseline, state.population_p95
                reasons.append(Reason(detector.NAME, state.text, bits, state.actual, *peers, state.n))
    honest = alternatives(actor, context)
    if own_reactions:
        honest = (*honest, lent_keys(actor, context))
    taken = harvest(log, actor.rows)
    accounts = tuple(sorted(names[a] for a in actor.accounts))
    head, *rest = reasons
    ranked = (head, *sorted(rest, key=lambda r: (-r.bits, r.detector)))
    return Campaign(
        id=number,
        alarm_at=time_of(at_us),
        p_value=p_value,
        score_bits=round(float(sum(r.bits for r in ranked)), 3),
        accounts=accounts,
        harvest=taken,
        harvest_at_alarm=harvest(log, actor.rows, at_us),
        reasons=ranked,
        benign_alternatives=honest,
        suppressed_by=_permission(actor, context, features),
        title=_title(actor, context, taken.exchanges, ranked),
        named_at={names[a]: time_of(t) for a, t in sorted(named_at_us.items())},
        since=_since(actor, context),
        firm=accounts if first_reason.detector == lone_harvest.NAME else _firm(accounts, names, classes),
        own_ties={names[a]: tie for a, tie in sorted(own_ties.items())},
        own_reactions=dict(own_reactions),
        links=tuple(sorted(links, key=lambda k: (-k.bits, k.a, k.clue, k.b))),
        timeline=timeline(log, actor.rows),
        tested=tested,
        next_milestone=next_milestone(log, actor.rows, taken.exchanges),
        answer_tokens=answer_size(log, context.rows_of(actor.accounts)),
    )


def _reaction_link(account: str, campaign: str, detector: str, own: OwnReaction) -> Link:
    bits = evidence_bits(own.p_value, 1e-300)
    text = failover.own_text(own) if detector == failover.NAME else holds.own_text(own)
    return Link(account, campaign, detector, round(bits, 3), text, "provider")


def _firm(accounts: tuple[str, ...], names: Any, classes: Mapping[int, Mapping[str, str]]) -> tuple[str, ...]:
    """Return the accounts that two classes of clue tie to the others, at least one not chosen by the client.

    Users of one program share wording and settings. A lone payer's accounts are tied by payment.
    """
    tied = {
        names[account]
        for account, controls in classes.items()
        if len(controls) >= FIRM_CLASSES and "provider" in controls.values()
    }
    return tuple(account for account in accounts if account in tied)


def _since(actor: Actor, context: ActorContext) -> dict[str, datetime]:
    """Return when each account's part of the harvest begins: all that it sent from then on counts."""
    log = context.log
    accounts, first = np.unique(log["account"][np.sort(actor.rows)], return_index=True)
    times = log["ts_us"][np.sort(actor.rows)[first]]
    return {log.accounts[a]: time_of(int(t)) for a, t in zip(accounts, times, strict=True)}


def campaign_id(actor: Actor, context: ActorContext) -> str:
    """Return an id that is always the same for the same accounts in the same log."""
    return id_of(context.log.accounts[a] for a in actor.accounts)


def id_of(accounts: Iterable[str]) -> str:
    """Return the campaign id of these accounts."""
    digest = hashlib.blake2b(digest_size=5, person=b"stillwatch.actor")
    for account in sorted(accounts):
        digest.update(account.encode("utf-8", "surrogatepass") + b"\0")
    return f"sw-{digest.hexdigest()}"


def actor_features(engine: SqlEngine, context: ActorContext, actors: Iterable[Actor]) -> list[Features]:
    """Return the feature table's row of each actor: the accounts' features, over the actor's exchanges.

    The engine has the log as `l0` already, so only the row numbers of the actors' exchanges are passed.
    """
    actors = list(actors)
    if not actors:
        return []
    places = pa.array(np.concatenate([a.rows for a in actors]), pa.int32())
    subject = np.concatenate([np.full(len(a.rows), k, np.int32) for k, a in enumerate(actors)])
    engine.register("places", pa.table({"place": places, "subject": pa.array(subject)}))
    columns = ", ".join(
        f"l0.{name} AS {name}" for name in context.log.columns if name not in ("id", "account")
    )
    engine.create(
        "actors",
        f"SELECT places.subject AS account, {columns} FROM l0 JOIN places ON l0.place = places.place",
    )
    by_subject = {row["account"]: row for row in account_features(engine, "actors").to_pylist()}
    engine.forget("actors")
    engine.forget("places")
    return [by_subject[k] for k in range(len(actors))]


def _reason(name: str, weight: ClueWeight) -> Reason:
    return Reason(
        name,
        weight.text,
        round(weight.bits, 3),
        weight.actual,
        weight.baseline,
        weight.population_p95,
        weight.n,
    )


def _permission(actor: Actor, context: ActorContext, features: Features) -> str | None:
    """Return the permission for such use that most of the actor's accounts hold: it suppresses the case."""
    if context.known is None:
        return None
    granted = [context.known.permissions[a] for a in actor.accounts]
    for name in sorted({p for permissions in granted for p in permissions}):
        if _excuses(name, features) and sum(name in permissions for permissions in granted) * 2 > len(
            granted
        ):
            return f"permission: {name}"
    return None


def _excuses(permission: str, features: Features) -> bool:
    """Return whether a permission is for harvesting or probing; most are for something else."""
    subject = Subject(features, AccountRecord(permissions=(permission,)))
    signs = (permitted_synthetic.recognise(subject), red_team.recognise(subject))
    return any(sign is not None and sign.excuses == "case" for sign in signs)


def _title(actor: Actor, context: ActorContext, exchanges: int, reasons: tuple[Reason, ...]) -> str:
    n = len(actor.accounts)
    model = np.bincount(context.log["model"][actor.rows], minlength=len(context.log.models))
    share = model.max() / len(actor.rows)
    name = context.log.models[int(model.argmax())]
    raised = {r.detector for r in reasons}
    modules: tuple[Clue | Detector, ...] = (*clues(), *detectors())
    signals = (signal_of(module) for module in modules if module.NAME in raised)
    signal = min((s for s in signals if s.title), key=lambda s: s.order, default=None)
    alike, heavily, handing_on = MANNERS
    manner = handing_on if by_refusals_alone(raised) else alike if n > 1 else heavily
    manner = signal.title if signal else manner
    target = f" of {name}" if name and share >= 0.6 else ""
    return f"{n:,} account{'s' if n != 1 else ''} took {exchanges:,} answers{target}, {manner}."
