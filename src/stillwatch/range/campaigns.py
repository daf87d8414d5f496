"""Campaign styles: who asks what, when, in which words. It knows neither identities nor tokens nor the log.

Each style turns a plan and a stock of prompts into `Request`s, with accounts as numbers from 0. A new style
is one function in `STYLES`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from stillwatch.errors import InputError
from stillwatch.range.stock import Corpora, Item
from stillwatch.range.wording import (
    CLOSINGS,
    FOLLOW_UPS,
    OPENINGS,
    PROBE_HEADS,
    PROBE_TWISTS,
    RUBRICS,
    SYSTEMS,
    TEMPLATES,
)


@dataclass(frozen=True)
class Plan:
    """One campaign to be composed. Days count from the scene's first midnight."""

    name: str
    style: str
    accounts: int
    exchanges: int
    start: float
    days: float
    pipelines: tuple[str, ...]
    tradecraft: int
    model: str = "mira-think"
    language: str = "en"
    wording: int = 0  # which of the language's templates, or which rubric
    repeats: int = 8  # repeat_sampling: answers wanted per question
    bans: tuple[float, ...] = ()  # failover: after which shares of the campaign a pool is banned
    cover: float = 0.0  # share of the accounts' traffic in the campaign's days that is honest talk
    visible_tokens: float = 450.0  # median of the answer's visible part
    reasoning_tokens: float = 4000.0  # median, on models that reason


@dataclass(frozen=True, slots=True)
class Request:
    """One exchange before it has an identity: `account` is a number inside the campaign."""

    account: int
    day: float
    prompt: str
    system: str | None = None
    turn: int = 1
    talk: int | None = None  # requests with the same number are turns of one conversation
    covert: bool = True
    refused: bool = False
    model: str | None = None  # the plan's own, unless said
    top_logprobs: int = 0
    max_tokens: int | None = None


Words = Callable[[Item, np.random.Generator], str]
Style = Callable[[Plan, Corpora, np.random.Generator, float], list[Request]]


def bare(item: Item, rng: np.random.Generator) -> str:
    """The item as it is."""
    return item.question


def template(plan: Plan) -> Words:
    """Put every item into the plan's one template."""
    forms = TEMPLATES[plan.language]
    form = forms[plan.wording % len(forms)]
    return lambda item, rng: form.replace("{q}", item.question)


def wrapped(plan: Plan) -> Words:
    """Put every item between an opening and a closing drawn afresh."""
    openings, closings = OPENINGS[plan.language], CLOSINGS[plan.language]

    def words(item: Item, rng: np.random.Generator) -> str:
        return openings[rng.integers(len(openings))] + item.question + closings[rng.integers(len(closings))]

    return words


def spread(plan: Plan, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Choose the account and the day of `count` requests, in the order of time; every account gets one.

    At tradecraft 2 volumes differ between accounts and each keeps waking hours of its own; below it, work is
    dealt out evenly and round the clock.
    """
    pool, human = plan.accounts, plan.tradecraft == 2
    weight = rng.gamma(2.5, size=pool) if human else np.ones(pool)
    first = np.arange(min(pool, count))
    account = np.concatenate([first, rng.choice(pool, size=count - len(first), p=weight / weight.sum())])
    day = plan.start + plan.days * rng.random(count)
    if human:
        waking = rng.random(pool)[account]  # when the account's day begins, as a share of a day
        asleep = (day - waking) % 1.0 > 0.67
        day[asleep] -= rng.uniform(0.34, 0.67, size=int(asleep.sum()))
        day = plan.start + (day - plan.start) % plan.days
    order = np.argsort(day, kind="stable")
    return account[order], day[order]


def _ask(
    plan: Plan, items: list[Item], words: Words, rng: np.random.Generator, *, as_published: bool = False
) -> list[Request]:
    account, day = spread(plan, len(items), rng)
    return [
        Request(int(a), float(d), words(item, rng), item.system if as_published else None)
        for a, d, item in zip(account, day, items, strict=True)
    ]


def loud_single(
    plan: Plan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[Request]:
    """A pipeline as published, from one account or very few."""
    return _ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), bare, rng, as_published=True)


def bare_partition(
    plan: Plan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[Request]:
    """One distribution dealt out over many accounts, no two asking the same, no words added."""
    return _ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), bare, rng, as_published=True)


def shared_template_pool(
    plan: Plan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[Request]:
    """One template over many accounts."""
    return _ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), template(plan), rng)


def wrapped_pool(
    plan: Plan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[Request]:
    """The same stock, each prompt in a wrapper of its own."""
    return _ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), wrapped(plan), rng)


def repeat_sampling(
    plan: Plan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[Request]:
    """Each question `repeats` times, on different accounts: rejection sampling at the teacher's cost."""
    items = corpora.draw(plan.pipelines, -(-plan.exchanges // plan.repeats), rng)
    again = [items[i // plan.repeats] for i in rng.permutation(plan.exchanges)]
    return _ask(plan, again, bare, rng)


def rubric_grading(
    plan: Plan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[Request]:
    """The teacher as reward model: real question and answer pairs under one rubric."""
    form = RUBRICS[plan.wording % len(RUBRICS)]
    items = corpora.draw(("pairs",), plan.exchanges, rng)
    return _ask(plan, items, lambda item, _: form.format(q=item.question, a=item.answer), rng)


def drip(plan: Plan, corpora: Corpora, rng: np.random.Generator, new_model_day: float) -> list[Request]:
    """A few requests per account and day over very many accounts; half in a template, half wrapped."""
    one, other = template(plan), wrapped(plan)
    items = corpora.draw(plan.pipelines, plan.exchanges, rng)
    return _ask(plan, items, lambda item, r: (one if r.random() < 0.5 else other)(item, r), rng)


def failover(plan: Plan, corpora: Corpora, rng: np.random.Generator, new_model_day: float) -> list[Request]:
    """Pools of accounts that stop when banned, and fresh pools that go on with the same stock."""
    items = corpora.draw(plan.pipelines, plan.exchanges, rng)
    edges = (0.0, *plan.bans, 1.0)
    sent: list[Request] = []
    for wave, (begin, end) in enumerate(pairwise(edges)):
        part = items[round(begin * len(items)) : round(end * len(items))]
        pause = 0.15 if wave else 0.0
        now = replace(
            plan, start=plan.start + plan.days * begin + pause, days=plan.days * (end - begin) - pause
        )
        sent += [
            replace(r, account=r.account + wave * plan.accounts) for r in _ask(now, part, template(plan), rng)
        ]
    return sent


def system_rotated(
    plan: Plan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[Request]:
    """Bare questions; each account hides the elicitation in a system prompt of its own."""
    sent = _ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), bare, rng)
    voice = rng.permutation(plan.accounts)

    def system(account: int) -> str:
        n = int(voice[account])
        return SYSTEMS[n % len(SYSTEMS)] + " " + SYSTEMS[(n // len(SYSTEMS) + n + 1) % len(SYSTEMS)]

    return [replace(r, system=system(r.account)) for r in sent]


def slow_relay(plan: Plan, corpora: Corpora, rng: np.random.Generator, new_model_day: float) -> list[Request]:
    """A resold service: a minority of each account's traffic is the campaign, the rest is honest talk."""
    return _ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), wrapped(plan), rng)


def logprob_harvest(
    plan: Plan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[Request]:
    """Short completions with log-probabilities: soft labels rather than text."""
    sent = _ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), bare, rng)
    return [replace(r, top_logprobs=5, max_tokens=int(rng.choice([1, 2, 4]))) for r in sent]


def recon_then_scale(
    plan: Plan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[Request]:
    """A few accounts try ever different tricks and are refused; a day later the others run one template."""
    probes = min(150, plan.exchanges // 10)
    scouts = max(2, plan.accounts // 20)
    pairs = [(h, t) for h in PROBE_HEADS for t in PROBE_TWISTS]
    tricks = [Item(f"{h} {t}.") for h, t in (pairs[i] for i in rng.permutation(len(pairs))[:probes])]
    recon = _ask(replace(plan, accounts=scouts, days=0.6), tricks, bare, rng)
    items = corpora.draw(plan.pipelines, plan.exchanges - len(tricks), rng)
    later = replace(plan, accounts=plan.accounts - scouts, start=plan.start + 1.0, days=plan.days - 1.0)
    scaled = [replace(r, account=r.account + scouts) for r in _ask(later, items, template(plan), rng)]
    return [replace(r, refused=bool(rng.random() < 0.8)) for r in recon] + scaled


def pivot(plan: Plan, corpora: Corpora, rng: np.random.Generator, new_model_day: float) -> list[Request]:
    """Within 24 hours of a release the campaign moves to the new model."""
    sent = _ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), wrapped(plan), rng)
    moves = new_model_day + rng.random(plan.accounts)
    return [replace(r, model="mira-think-2") if r.day >= moves[r.account] else r for r in sent]


def dialogue(plan: Plan, corpora: Corpora, rng: np.random.Generator, new_model_day: float) -> list[Request]:
    """The question alone first, the elicitation as a follow-up in the same conversation."""
    first = _ask(plan, corpora.draw(plan.pipelines, plan.exchanges // 2, rng), bare, rng)
    sent: list[Request] = []
    for talk, opening in enumerate(first):
        request = replace(opening, talk=talk)
        later = request.day + float(rng.uniform(40, 240)) / 86400
        ask = FOLLOW_UPS[rng.integers(len(FOLLOW_UPS))]
        sent += [request, replace(request, day=later, prompt=ask, turn=2)]
    return sent


STYLES: dict[str, Style] = {
    "loud_single": loud_single,
    "shared_template_pool": shared_template_pool,
    "wrapped_pool": wrapped_pool,
    "bare_partition": bare_partition,
    "repeat_sampling": repeat_sampling,
    "rubric_grading": rubric_grading,
    "drip": drip,
    "failover": failover,
    "system_rotated": system_rotated,
    "slow_relay": slow_relay,
    "logprob_harvest": logprob_harvest,
    "recon_then_scale": recon_then_scale,
    "pivot": pivot,
    "dialogue": dialogue,
}


def accounts_of(plan: Plan) -> int:
    """How many accounts a plan uses in all, replacements for banned ones included."""
    return plan.accounts * (1 + len(plan.bans))


def requests(plan: Plan, corpora: Corpora, rng: np.random.Generator, new_model_day: float) -> list[Request]:
    """Everything the campaign sends, cover aside."""
    if plan.style not in STYLES:
        raise InputError(
            f"{plan.name}: style {plan.style!r} is unknown; known are {', '.join(sorted(STYLES))}"
        )
    return STYLES[plan.style](plan, corpora, rng, new_model_day)
