"""A program's customers as honest accounts: unrelated people with texts of their own and shared defaults.

Each has its own account, card, network and hours, installs the program at some time, keeps its defaults or
not, and gets its updates. A class also shares a campus, a mail domain and its assignments; an agency one card
and address; annotators one card and a queue of items distributed over them. A reseller distributes its
customers' requests over accounts on its card; a product's accounts have many end users. No detector was
consulted to choose a figure here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np

from stillwatch.range.arrivals import sitting_days
from stillwatch.range.identity import token
from stillwatch.range.people import Person, Sent
from stillwatch.range.people import product_words as w
from stillwatch.range.people.population_tables import exchanges_of, population_of
from stillwatch.range.people.selves import Author, OwnTexts
from stillwatch.range.people.software import Release, Software, releases
from stillwatch.range.people.supply import Supply
from stillwatch.range.people.traits import people_of
from stillwatch.range.population import HonestPopulation

VISIBLE_TOKENS = {
    "plugin": 350.0, "coding_agent": 420.0, "class": 260.0, "evaluation": 110.0, "agency": 500.0,
    "annotation": 4.0, "reseller": 400.0, "saas": 120.0,
}  # fmt: skip
OTHER_MODELS = (("mira-mini", 0.4), ("mira-large", 0.35), ("mira-think", 0.25))
OTHER_LIMITS = (None, 512, 2048, 4096, 16384)
OTHER_TEMPERATURES = (None, 0.2, 0.3, 0.5, 1.0)
NEVER_UPDATED = 0.05  # share of customers who keep their version
MOST_STEPS = 14  # of a coding session
RESOLD_CUSTOMERS = 12  # of a reseller, per account
END_USERS = 60  # of a product, per account
DEALT = ("annotation", "reseller")  # kinds with one queue that is distributed over the accounts
NEW_MODEL = "mira-think-2"
FIRST_EDITION = 800_000_000  # of the texts that classes and harnesses use

Value = TypeVar("Value")


@dataclass(frozen=True)
class Customer:
    """One customer: the account, when it begins to use the program, and when each update reaches it."""

    who: Person
    texts: OwnTexts
    begin: float
    updated: tuple[float, ...]

    def release(self, day: float, of: Sequence[Release]) -> Release:
        return of[sum(day >= at for at in self.updated)]


def customers(
    software: Software,
    days: int,
    begin: datetime,
    new_model_day: float,
    rng: np.random.Generator,
    real: Sequence[Author] = (),
) -> HonestPopulation:
    """Make a program's customers and their requests; `real` authors supply the texts of the first ones."""
    supply = Supply(rng, FIRST_EDITION)
    versions = releases(software)
    shared = _shared_source(software, supply, rng)
    people = _people(software, days, begin, rng)
    tables, used = [], []
    for n, who in enumerate(people):
        author = real[n] if n < len(real) else None
        customer = _customer(software, who, OwnTexts(rng, author), days, begin, rng)
        if customer.begin >= days:
            continue  # not yet a customer
        queue = shared[n :: len(people)] if software.kind in DEALT else shared
        use = ProgramUse(customer, software, versions, queue, days, new_model_day, rng)
        sent = SENDING[software.kind](use)
        if not sent.prompts:
            continue
        used.append(customer.who)
        visible = VISIBLE_TOKENS[software.kind]
        tables.append(exchanges_of(customer.who, sent, days, new_model_day, rng, visible, begin))
    return population_of(used, tables, begin, new_model_day)


def _people(software: Software, days: int, begin: datetime, rng: np.random.Generator) -> list[Person]:
    """Make unrelated people; those of a class, an agency, a product or a team share some traits."""
    if software.kind in ("agency", "annotation", "saas"):
        return _organisation(software, days, begin, rng)
    if software.kind == "reseller":  # no registered organisation: free mail, one card, one server
        owned = people_of("small_dev", software.accounts, begin, days, rng)
        card = owned[0].payment or token(rng, 16)
        return [replace(p, org=None, payment=card, addresses=owned[0].addresses) for p in owned]
    if software.kind != "class":
        return people_of("small_dev", software.accounts, begin, days, rng)
    people: list[Person] = []
    while len(people) < software.accounts:
        people += people_of("classroom", software.accounts - len(people), begin, days, rng)
    like, home = people[0], people_of("chat", software.accounts, begin, days, rng)
    start = begin + timedelta(days=max(software.released, 0.0))
    return [
        replace(
            person,
            email_domain=like.email_domain,
            payment=None,  # the provider's credits for courses
            country=like.country,
            created=start - timedelta(days=float(rng.uniform(-1.5, 3.0))),
            addresses=like.addresses if rng.random() < 0.6 else home[n].addresses,
        )
        for n, person in enumerate(people)
    ]


def _organisation(software: Software, days: int, begin: datetime, rng: np.random.Generator) -> list[Person]:
    """Make accounts on one card; annotators sign up when their project begins, and work from home."""
    people = people_of("small_dev", software.accounts, begin, days, rng)
    like, org = people[0], f"org_{token(rng, 10)}"
    start = begin + timedelta(days=max(software.released, 0.0))
    joint = [
        replace(p, org=org, payment=like.payment or token(rng, 16), email_domain=like.email_domain)
        for p in people
    ]
    joint = [replace(p, payment=joint[0].payment) for p in joint]
    if software.kind in ("agency", "saas"):
        return [replace(p, addresses=like.addresses) for p in joint]
    return [replace(p, created=start - timedelta(days=float(rng.uniform(0, 4)))) for p in joint]


def _customer(
    software: Software, who: Person, texts: OwnTexts, days: int, begin: datetime, rng: np.random.Generator
) -> Customer:
    """Draw when a customer installs and updates, and which defaults it keeps."""
    born = (who.created - begin).total_seconds() / 86400
    if software.released >= 0 or rng.random() < software.growth:
        least = max(software.released, 0.0)
        wait = rng.gamma(2.0, software.adoption_days / 2) if software.released >= 0 else rng.uniform(0, days)
        first = least + float(wait)
    else:
        first = 0.0
        if born > 0:  # installed before the log, so the account is older than the log
            age = 30.0 + float(rng.lognormal(4.0, 1.0))
            who, born = replace(who, created=begin - timedelta(days=min(age, 1000.0))), -age
    first = max(first, born)
    delays = rng.exponential(software.update_days, len(software.updates))
    stays = rng.random() < NEVER_UPDATED
    updated = () if stays else tuple(float(d + x) for d, x in zip(software.updates, delays, strict=True))
    model = software.model if rng.random() < software.keep_model else _other_model(software.model, rng)
    limit, temperature = software.max_tokens, software.temperature
    if rng.random() >= software.keep_max_tokens:
        limit = _other(OTHER_LIMITS, limit, rng)
    if rng.random() >= software.keep_temperature:
        temperature = _other(OTHER_TEMPERATURES, temperature, rng)
    who = replace(
        who,
        kind=software.kind,
        user_agents=(f"{software.name}/{releases(software)[0].version}",),
        model=model,
        other_model=model,
        temperature=temperature,
        top_p=None,
        max_tokens=limit,
        stream=software.kind in ("plugin", "coding_agent"),
        response_format=None,
        conversations=software.kind in ("coding_agent", "class"),
        declared_use="data labelling" if software.kind == "annotation" else None,
    )
    return Customer(who, texts, first, updated)


def _other_model(model: str, rng: np.random.Generator) -> str:
    others = [(name, share) for name, share in OTHER_MODELS if name != model]
    shares = np.array([share for _, share in others])
    return others[rng.choice(len(others), p=shares / shares.sum())][0]


def _other(choices: tuple[Value, ...], but: Value, rng: np.random.Generator) -> Value:
    others = [x for x in choices if x != but]
    return others[int(rng.integers(len(others)))]


def _shared_source(software: Software, supply: Supply, rng: np.random.Generator) -> tuple[str, ...]:
    """Return what customers get from one source: a course's assignments, or the items of a project.

    An assignment has three exercises; there is one at first and one with each update. A project's items are
    short texts of its client, each for one annotator. A reseller's are its customers' requests in order of
    arrival, each for the next account.
    """
    if software.kind == "reseller":
        writers = [OwnTexts(rng) for _ in range(RESOLD_CUSTOMERS * software.accounts)]
        texts = software.accounts * round(4 * software.exchanges)
        return tuple(writers[i].passage(10, 80) for i in rng.integers(len(writers), size=texts))
    if software.kind == "annotation":
        items = software.accounts * round(4 * software.exchanges)
        return tuple(supply.questions.deal()[0] for _ in range(items))
    if software.kind != "class":
        return ()
    lessons = supply.tests["gsm8k"]
    start = int(supply.rng.integers(len(lessons)))
    return tuple(
        "\n".join(f"{k + 1}. {lessons[(start + 3 * n + k) % len(lessons)]}" for k in range(3))
        for n in range(len(software.updates) + 1)
    )


@dataclass(frozen=True)
class ProgramUse:
    """One customer's use of a program in a scene of a number of days, before it is written out."""

    customer: Customer
    software: Software
    versions: Sequence[Release]
    shared: Sequence[str]  # from one source (`_shared_source`)
    days: int
    new_model_day: float
    rng: np.random.Generator

    def count(self) -> int:
        """Draw the customer's number of exchanges in the days of using the program."""
        usual = self.software.exchanges * self.days / 14 * self.rng.lognormal(0.0, self.software.spread)
        return max(1, round(usual * (self.days - self.customer.begin) / self.days))

    def moments(self, count: int) -> np.ndarray:
        """Draw the times of use, in days."""
        return sitting_days(count, self.customer.begin, float(self.days), self.rng)

    def release(self, day: float) -> Release:
        return self.customer.release(day, self.versions)


def _plugin(use: ProgramUse) -> Sent:
    """Make a plug-in user's requests: own passages in the plug-in's wording."""
    count = use.count()
    at = use.moments(count)
    forms = [use.release(float(day)).wording for day in at]
    prompts = [form.replace("{q}", use.customer.texts.passage(15, 130)) for form in forms]
    return Sent(at, prompts)


def _coding_agent(use: ProgramUse) -> Sent:
    """Make sessions: a task and the environment, then results of tools, under a long system text."""
    rng = use.rng
    count, texts = use.count(), use.customer.texts
    moments: list[float] = []
    prompts: list[str] = []
    systems: list[str | None] = []
    turns: list[int] = []
    talks: list[int] = []
    lengths: list[int] = []
    while sum(lengths) < count:
        lengths.append(min(1 + int(rng.geometric(1 / 6)), MOST_STEPS, count - sum(lengths)))
    sessions = use.moments(len(lengths))
    for talk, (start, steps) in enumerate(zip(sessions, lengths, strict=True)):
        day = float(start)
        for turn in range(1, steps + 1):
            release = use.release(day)
            opened = "\n".join(texts.file() for _ in range(int(rng.integers(1, 5))))
            around = f"<environment>\nWorking directory: {texts.folder}\nOpen:\n{opened}\n</environment>"
            if turn == 1:
                body = release.wording.replace("{q}", f"<task>\n{texts.request()}\n</task>")
            else:
                tool = w.TOOLS[int(rng.integers(len(w.TOOLS) - 2))][0]
                form = w.RESULTS[0] if rng.random() < 0.9 else w.RESULTS[1]
                body = form.format(tool=tool, f=texts.file(), body=texts.code(int(rng.integers(3, 25))))
            moments.append(day)
            prompts.append(f"{body}\n\n{around}")
            systems.append(release.system)
            turns.append(turn)
            talks.append(talk)
            day += float(rng.uniform(8, 120)) / 86400
    return Sent(np.array(moments), prompts, systems, np.array(turns), np.array(talks), tools=len(w.TOOLS))


def _class(use: ProgramUse) -> Sent:
    """Make the week's assignment, whole or one exercise of it, and questions in own words."""
    rng = use.rng
    at = use.moments(use.count())
    prompts, systems = [], []
    for day in at:
        assignment = use.shared[sum(float(day) >= given for given in use.software.updates)]
        own = use.customer.texts.request()
        u = rng.random()
        if u < 0.25:
            prompts.append(f"{assignment}\n\n{own}")
        elif u < 0.6:
            exercises = assignment.split("\n")
            prompts.append(f"{exercises[int(rng.integers(len(exercises)))]}\n{own}")
        else:
            prompts.append(own)
        systems.append(use.release(float(day)).system)
    return Sent(at, prompts, systems)


def _evaluation(use: ProgramUse) -> Sent:
    """Make runs over a public set, in its order; most measure a new model within a day of its launch."""
    rng = use.rng
    tests = Supply(rng, FIRST_EDITION).tests
    test = tests[sorted(tests)[int(rng.integers(len(tests)))]]
    count = use.count()
    runs = sorted(
        float(rng.uniform(use.customer.begin, use.days - 0.05)) for _ in range(1 + int(rng.integers(3)))
    )
    models = [use.customer.who.model] * len(runs)
    launch = use.new_model_day + float(rng.exponential(0.4))
    if rng.random() < use.software.new_model and use.customer.begin < launch < use.days - 0.05:
        runs.append(launch)
        models.append(NEW_MODEL)
    each = max(1, min(count // len(runs), len(test)))
    first = int(rng.integers(len(test) - each + 1)) if rng.random() < 0.3 else 0
    moments: list[float] = []
    prompts: list[str] = []
    chosen: list[str] = []
    for start, model in zip(runs, models, strict=True):
        gaps = np.cumsum(rng.exponential(2.5, each)) / 86400
        form = use.release(start).wording
        for n, gap in enumerate(gaps):
            if start + gap < use.days:
                moments.append(start + float(gap))
                prompts.append(form.replace("{q}", test[first + n]))
                chosen.append(model)
    order = np.argsort(moments, kind="stable")
    return Sent(np.array(moments)[order], [prompts[i] for i in order], models=[chosen[i] for i in order])


def _annotation(use: ProgramUse) -> Sent:
    """Make one annotator's part of a project's queue, item by item, under the project's guideline."""
    count = min(use.count(), len(use.shared))
    at = use.moments(count)
    releases_of = [use.release(float(day)) for day in at]
    prompts = [r.wording.replace("{q}", item) for r, item in zip(releases_of, use.shared, strict=False)]
    return Sent(at, prompts, [r.system for r in releases_of])


def _reseller(use: ProgramUse) -> Sent:
    """Make this account's part of the reseller's queue; customers choose their models."""
    rng = use.rng
    sent = _annotation(use)
    usual = (rng.random(len(sent.prompts)) < use.software.keep_model).tolist()
    models = [use.software.model if kept else _other_model(use.software.model, rng) for kept in usual]
    return replace(sent, models=models)


def _saas(use: ProgramUse) -> Sent:
    """Make what a product's users write, in the product's wording; each request names its end user."""
    rng = use.rng
    count = use.count()
    at = use.moments(count)
    users = [(f"u_{token(rng, 8)}", OwnTexts(rng)) for _ in range(END_USERS)]
    asking = rng.integers(END_USERS, size=count)
    forms = [use.release(float(day)).wording for day in at]
    prompts = [form.replace("{q}", users[i][1].passage(8, 60)) for form, i in zip(forms, asking, strict=True)]
    return Sent(at, prompts, end_users=[users[i][0] for i in asking])


SENDING: dict[str, Callable[[ProgramUse], Sent]] = {
    "plugin": _plugin, "coding_agent": _coding_agent, "class": _class, "evaluation": _evaluation,
    "agency": _plugin, "annotation": _annotation, "reseller": _reseller, "saas": _saas,
}  # fmt: skip
