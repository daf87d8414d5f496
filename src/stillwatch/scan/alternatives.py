"""Honest explanations of a campaign, and the result of checking for each."""

from collections import Counter

import numpy as np

from stillwatch.actors import AccountFacts, Actor, ActorContext
from stillwatch.actors.clients import product
from stillwatch.actors.prompts import prompts, prompts_elsewhere
from stillwatch.scan import BenignAlternative
from stillwatch.scan.explanations import SHORT, short_share
from stillwatch.stats.dealing import distinct

HISTORY = 5  # requests before the group's own, needed for a history of the account


def alternatives(actor: Actor, context: ActorContext) -> tuple[BenignAlternative, ...]:
    """Return the honest explanations that fit an actor, each with the outcome of its check."""
    shape = (
        _stolen_keys(actor, context), _novelty(actor, context), _software(actor, context),
        _repeats(actor, context), _people(actor, context), _labels(actor, context),
    )  # fmt: skip
    if context.known is None:
        unchecked = "not checked: no accounts table was given (--accounts)"
        return (BenignAlternative("one organisation", unchecked), *shape)
    known = context.known
    school = _school(actor, known)
    all_kinds = (_organisation(actor, known), _permission(actor, known), *shape)
    return all_kinds if school is None else (*all_kinds, school)


def lent_keys(actor: Actor, context: ActorContext) -> BenignAlternative:
    """Check a group that passes refused work on for a project that uses the keys of several people."""
    networks = distinct(context.log["net"][actor.rows])
    payers, known = len(distinct(context.payers[actor.accounts])), int((networks >= 0).sum())
    text = (
        f"refusals cannot tell: its {len(actor.accounts):,} accounts send from {known:,} networks and have "
        f"{payers:,} payers; ask whether their holders lent them to one project"
    )
    return BenignAlternative("keys lent to one project", text)


def _organisation(actor: Actor, known: AccountFacts) -> BenignAlternative:
    orgs = Counter(known.org[a] for a in actor.accounts if known.org[a])
    n = len(actor.accounts)
    if not orgs:
        text = f"none of the {n:,} accounts belongs to an organisation"
    else:
        top = max(orgs.values())
        text = (
            f"{sum(orgs.values()):,} of {n:,} accounts belong to {len(orgs):,} different organisations, "
            f"{top:,} at most to one"
        )
    return BenignAlternative("one organisation's own work", text)


def _permission(actor: Actor, known: AccountFacts) -> BenignAlternative:
    permissions = Counter(p for a in actor.accounts for p in known.permissions[a])
    if not permissions:
        return BenignAlternative("permitted synthetic data", "no account holds a permission")
    listed = ", ".join(f"{p} ({n:,})" for p, n in sorted(permissions.items()))
    return BenignAlternative("permitted synthetic data", f"permissions held: {listed}")


def _school(actor: Actor, known: AccountFacts) -> BenignAlternative | None:
    n = sum(known.tier[a] == "edu" for a in actor.accounts)
    if not n:
        return None
    return BenignAlternative("a class", f"{n:,} of {len(actor.accounts):,} accounts have an education tier")


def _stolen_keys(actor: Actor, context: ActorContext) -> BenignAlternative:
    """Check whether accounts have a history of their own, and send the shared wording from elsewhere."""
    kind, log, n = "stolen keys of customers", context.log, len(actor.accounts)
    account, net = log["account"], log["net"]
    rows = context.rows_of(actor.accounts)
    begun = np.full(len(log.accounts), len(log), np.int64)
    np.minimum.at(begun, account[actor.rows], actor.rows)
    before = account[rows[rows < begun[account[rows]]]]
    old = actor.accounts[np.bincount(before, minlength=len(log.accounts))[actor.accounts] >= HISTORY]
    subject = f"of the {n:,} accounts" if n > 1 else "of its accounts"
    rows_with_network = f"{len(old):,}" if len(old) else "none"
    whose_history = (
        f"{rows_with_network} {subject} had sent {HISTORY} requests or more before what is counted here"
    )
    if len(old) == 0:
        return BenignAlternative(kind, whose_history)
    if (net[rows] < 0).all():
        return BenignAlternative(
            kind, f"not checked: no address of a client was given (client_ip); {whose_history}"
        )
    shared = np.intersect1d(context.use_row[context.uses_of(actor.own_fingerprints)], actor.rows)
    groups = shared if len(shared) else actor.rows
    places = int(net.max()) + 1
    shared_places, other_places = (
        distinct(account[rows_with_network].astype(np.int64) * places + net[rows_with_network])
        for rows_with_network in (_with_network(groups, net), _with_network(np.setdiff1d(rows, groups), net))
    )
    apart = np.setdiff1d(
        np.intersect1d(shared_places // places, other_places // places),
        np.intersect1d(shared_places, other_places) // places,
    )
    moved = len(np.intersect1d(apart, old))
    from_where = "only from networks that their other requests lack"
    return BenignAlternative(
        kind, f"{whose_history}; {moved:,} of these sent the shared wording {from_where}"
    )


def _with_network(rows: np.ndarray, net: np.ndarray) -> np.ndarray:
    return rows[net[rows] >= 0]


def _novelty(actor: Actor, context: ActorContext) -> BenignAlternative:
    if len(actor.own_fingerprints) == 0:
        return BenignAlternative("a new public template", "no wording of its own is shared: does not apply")
    log = context.log
    rows = np.setdiff1d(context.use_row[context.uses_of(actor.own_fingerprints)], actor.rows)
    others = len(np.setdiff1d(np.unique(log["account"][rows]), actor.accounts))
    return BenignAlternative(
        "a new public template or viral prompt", f"{others:,} accounts outside use some of its wording too"
    )


def _software(actor: Actor, context: ActorContext) -> BenignAlternative:
    """Check for one program, since its defaults give unrelated users equal settings."""
    kind, log = "one program with its defaults", context.log
    if not actor.p_settings:
        return BenignAlternative(kind, "its settings raised no alarm: does not apply")
    agents = log["agent"][actor.rows]
    if not any(log.agents[agent] for agent in distinct(agents) if agent >= 0):
        return BenignAlternative(kind, "not checked: no name of a client's program was given (user_agent)")
    programs = [product(agent) for agent in log.agents]
    number = {name: place for place, name in enumerate(sorted({"", *programs}))}
    code = np.array([*(number[name] for name in programs), 0], np.int64)[agents]  # -1: none given
    pairs, count = np.unique(
        log["account"][actor.rows].astype(np.int64) * len(number) + code, return_counts=True
    )
    order = np.lexsort((count, pairs // len(number)))  # the last entry of each account is its most frequent
    account, mostly = (pairs // len(number))[order], (pairs % len(number))[order]
    last = np.append(account[1:] != account[:-1], True)
    named = Counter(sorted(number)[place] for place in mostly[last])
    libraries, n = named.pop("", 0), len(actor.accounts)
    if not named:
        text = f"none of the {n:,} accounts names a product, only libraries, which bring no defaults"
    else:
        name, most = min(named.items(), key=lambda item: (-item[1], item[0]))
        text = (
            f"{most:,} of {n:,} accounts mostly name {name[:60]} as their program; {len(named):,} products "
            f"are named in all, and {libraries:,} accounts name libraries, which bring no defaults"
        )
    return BenignAlternative(kind, f"{text}; a client chooses what it is called")


def _repeats(actor: Actor, context: ActorContext) -> BenignAlternative:
    log = context.log
    zero = float((log["temperature_milli"][actor.rows] == 0).mean())
    others = prompts_elsewhere(actor.accounts, context)
    number = context.once(prompts).number[actor.rows]
    known_share = float((others.rows[np.searchsorted(others.prompt, number)] > 0).mean())
    return BenignAlternative(
        "an evaluation on a public test set",
        f"{zero:.0%} of its exchanges are at temperature 0, and {known_share:.0%} of its prompts were sent "
        "by accounts outside it too",
    )


def _people(actor: Actor, context: ActorContext) -> BenignAlternative:
    log = context.log
    users = np.count_nonzero(np.unique(log["end_user"][actor.rows]))  # 0 stands for none given
    follow = float((log["turn"][actor.rows] > 1).mean())
    return BenignAlternative(
        "an application with people behind it",
        f"{users:,} end users are named and {follow:.0%} of its exchanges follow up on an answer",
    )


def _labels(actor: Actor, context: ActorContext) -> BenignAlternative:
    share, total = short_share(context.log, actor.rows)
    text = f"{share:.0%} of its {total:,} output tokens stand in complete answers of fewer than {SHORT}"
    if not total:
        text = "not checked: how long its answers were is not known"
    return BenignAlternative("labelling, marking or a classifier", text)
