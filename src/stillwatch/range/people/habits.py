"""The requests of each kind of honest use: its texts, turns and hours.

A kind is one function `(Person, count, Town) -> Sent`, found by its name in `HABITS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from stillwatch.range.arrivals import client_days, sitting_days
from stillwatch.range.people import Person, Sent
from stillwatch.range.people import words as w
from stillwatch.range.people.supply import Documents, Supply


@dataclass
class Town:
    """What the accounts of one part of a population share."""

    supply: Supply
    rng: np.random.Generator
    days: float
    clean_days: float
    began: dict[str, float] = field(default_factory=dict)  # account -> first day on which it can send
    lessons: dict[str, list[str]] = field(default_factory=dict)  # class -> its assignments
    papers: dict[str, Documents] = field(default_factory=dict)  # organisation -> its texts
    # organisation -> its template and system text
    frames: dict[str, tuple[str, str]] = field(default_factory=dict)

    def choose(self, words: tuple[str, ...]) -> str:
        return words[self.rng.integers(len(words))]

    def house(self, who: Person) -> str:
        """Return the unit that shares templates and papers: the organisation, else the account."""
        return who.org or (who.account if who.kind != "classroom" else str(who.payment))

    def paper(self, who: Person) -> Documents:
        house = self.house(who)
        if house not in self.papers:
            self.papers[house] = self.supply.documents()
        return self.papers[house]

    def frame(self, who: Person) -> tuple[str, str]:
        """Return an organisation's own template (with {q}) and system text."""
        house = self.house(who)
        if house not in self.frames:
            name = f"{self.choose(w.NAMES_A)} {self.choose(w.NAMES_B)}"
            form = self.choose(w.OWN_FRAMES).replace("{n}", name).replace("{job}", self.choose(w.OWN_JOBS))
            system = self.choose(w.SYSTEMS).format(
                n=name, role=self.choose(w.ROLES), rule=self.choose(w.RULES), other=self.choose(w.RULES)
            )
            self.frames[house] = (form, f"{system} (release {self.rng.integers(1, 400)})")
        return self.frames[house]


Habit = Callable[[Person, int, Town], Sent]
LONGEST_TALK = 4  # turns


def chat(who: Person, count: int, town: Town) -> Sent:
    """Sittings of a person: some turns each, from a conversation of the stock, with small follow-ups."""
    days: list[float] = []
    prompts: list[str] = []
    turns: list[int] = []
    talks: list[int] = []
    for n, start in enumerate(sitting_days(count, town.began[who.account], town.days, town.rng)):
        if len(prompts) >= count:
            break
        messages = list(town.supply.talks.deal()[:LONGEST_TALK])
        while len(messages) < LONGEST_TALK and town.rng.random() < 0.12:
            messages.append(town.choose(w.FOLLOWS))
        for turn, text in enumerate(messages[: count - len(prompts)], 1):
            days.append(float(start))
            prompts.append(text)
            turns.append(turn)
            talks.append(n)
            start += float(town.rng.uniform(20, 400)) / 86400
    return Sent(np.array(days), prompts, turns=np.array(turns), talks=np.array(talks))


def longform(who: Person, count: int, town: Town) -> Sent:
    days = sitting_days(count, town.began[who.account], town.days, town.rng)
    texts = [
        town.choose(w.ESSAYS).format(
            t=town.choose(w.TOPICS), who=town.choose(w.READERS), extra=town.choose(w.EXTRAS)
        )
        + f" About {int(town.rng.integers(6, 40)) * 100} words."
        for _ in range(count)
    ]
    return Sent(days, texts)


def small_dev(who: Person, count: int, town: Town) -> Sent:
    """A hobby project: one template of its own around texts, and some plain questions."""
    days = sitting_days(count, town.began[who.account], town.days, town.rng)
    form, papers = town.frame(who)[0], town.paper(who)
    texts = [
        form.replace("{q}", papers.slice(town.rng, 60, 400))
        if town.rng.random() < 0.7
        else town.supply.talks.deal()[0]
        for _ in range(count)
    ]
    return Sent(days, texts)


def company(who: Person, count: int, town: Town) -> Sent:
    """Employees behind one system text and one egress address; questions and the firm's papers."""
    days = sitting_days(count, town.began[who.account], town.days, town.rng)
    form, system = town.frame(who)
    papers = town.paper(who)
    texts = []
    for _ in range(count):
        u = town.rng.random()
        if u < 0.4:
            texts.append(form.replace("{q}", papers.slice(town.rng)))
        elif u < 0.7:
            texts.append(f"{town.choose(w.OWN_JOBS)}: {papers.slice(town.rng, 80, 500)}")
        else:
            texts.append(town.supply.talks.deal()[0])
    return Sent(days, texts, systems=[system] * count if len(system) % 2 else None)


def classroom(who: Person, count: int, town: Town) -> Sent:
    """Students with the same assignments, in their own order, with a word before and questions after."""
    house = town.house(who)
    if house not in town.lessons:
        town.lessons[house] = [town.supply.lessons.deal()[0] for _ in range(8)]
    tasks = town.lessons[house]
    days = sitting_days(count, town.began[who.account], town.days, town.rng)
    texts = [
        town.choose(w.LESSON_HEADS) + tasks[town.rng.integers(len(tasks))]
        if town.rng.random() < 0.6
        else town.choose(w.FOLLOWS)
        for _ in range(count)
    ]
    return Sent(days, texts)


def viral_prompt(who: Person, count: int, town: Town) -> Sent:
    """People who chat, and pass on one prompt in the second week."""
    sent = chat(who, count, town)
    day = town.clean_days + 0.5 + float(town.rng.gamma(2.0, 0.8))
    if day < town.days:
        form = w.VIRAL[0 if town.rng.random() < 0.7 else town.rng.integers(len(w.VIRAL))]
        text = form.replace("{q}", town.supply.talks.deal()[0][:160])
        sent.days, sent.prompts = np.append(sent.days, day), [*sent.prompts, text]
        last = sent.talks.max(initial=0) + 1 if sent.talks is not None else 0
        sent.turns = np.append(sent.turns if sent.turns is not None else [], 1)
        sent.talks = np.append(sent.talks if sent.talks is not None else [], last)
    return sent


def _framework(who: Person, count: int, town: Town, forms: tuple[str, ...], begin: float) -> Sent:
    form = town.choose(forms)
    days = client_days(count, max(begin, town.began[who.account]), town.days, town.rng)
    papers = town.paper(who)
    texts = [
        form.replace(
            "{q}", papers.slice(town.rng) if town.rng.random() < 0.7 else town.supply.talks.deal()[0][:600]
        )
        for _ in range(count)
    ]
    return Sent(days, texts)


def public_template(who: Person, count: int, town: Town) -> Sent:
    return _framework(who, count, town, w.PUBLIC, 0.0)


def new_template(who: Person, count: int, town: Town) -> Sent:
    """A framework released after the clean days."""
    return _framework(who, count, town, w.NEW, town.clean_days + 0.3 + float(town.rng.gamma(1.5, 0.6)))


def rag(who: Person, count: int, town: Town) -> Sent:
    """Questions of many users over an organisation's papers."""
    days = client_days(count, town.began[who.account], town.days, town.rng)
    system, papers = town.frame(who)[1], town.paper(who)
    texts = [
        f"Documents:\n({town.rng.integers(100, 9999)}) {papers.slice(town.rng, 200, 1100)}\n\n"
        f"Question: {town.supply.questions.deal()[0]}"
        for _ in range(count)
    ]
    return Sent(days, texts, systems=[system] * count, end_users=_users(count, town, 0.5))


def app_backend(who: Person, count: int, town: Town) -> Sent:
    """An application: what its users type, under its own system text."""
    days = client_days(count, town.began[who.account], town.days, town.rng)
    texts = [town.supply.questions.deal()[0] for _ in range(count)]
    return Sent(days, texts, systems=[town.frame(who)[1]] * count, end_users=_users(count, town, 0.4))


def _users(count: int, town: Town, share: float) -> list[str | None] | None:
    if town.rng.random() > share:
        return None
    pool = max(3, count // 6)
    mark = int(town.rng.integers(1 << 30))
    return [f"u{mark:x}-{int(n)}" for n in town.rng.integers(pool, size=count)]


def pipeline(who: Person, count: int, town: Town) -> Sent:
    """One template around an endless stream of an organisation's own texts."""
    days = client_days(count, town.began[who.account], town.days, town.rng)
    form, papers = town.frame(who)[0], town.paper(who)
    return Sent(days, [form.replace("{q}", papers.slice(town.rng, 120, 900)) for _ in range(count)])


def migration(who: Person, count: int, town: Town) -> Sent:
    """A pipeline that moves from another provider in the second week, all at once."""
    begin = max(
        town.began[who.account], town.clean_days + float(town.rng.uniform(0, 0.4 * town.clean_days + 0.1))
    )
    days = client_days(count, min(begin, town.days - 0.2), town.days, town.rng)
    form, papers = town.frame(who)[0], town.paper(who)
    return Sent(days, [form.replace("{q}", papers.slice(town.rng, 120, 700)) for _ in range(count)])


def eval_harness(who: Person, count: int, town: Town) -> Sent:
    """A public test set, in its order, again and again."""
    names = sorted(town.supply.tests)
    test = town.supply.tests[names[town.rng.integers(len(names))]]
    head, tail = (
        ("", ""),
        ("Question: ", "\nAnswer:"),
        ("You are a careful solver.\n\n", "\nEnd with ####."),
    )[town.rng.integers(3)]
    days = client_days(count, town.began[who.account], town.days, town.rng)
    at = int(town.rng.integers(len(test)))
    return Sent(days, [head + test[(at + n) % len(test)] + tail for n in range(count)])


def batch_classification(who: Person, count: int, town: Town) -> Sent:
    """Short labels for short texts, by the thousand."""
    days = client_days(count, town.began[who.account], town.days, town.rng)
    form = town.frame(who)[0].replace("{q}", f"labels: {town.choose(w.LABELS)}\ntext: {{q}}")
    return Sent(days, [form.replace("{q}", town.supply.questions.deal()[0]) for _ in range(count)])


def agent(who: Person, count: int, town: Town) -> Sent:
    """Tool-using runs: turn after turn within seconds."""
    days: list[float] = []
    prompts: list[str] = []
    systems: list[str | None] = []
    turns: list[int] = []
    talks: list[int] = []
    runs = client_days(count, town.began[who.account], town.days, town.rng)
    edition = town.frame(who)[1]
    for n, start in enumerate(runs):
        if len(prompts) >= count:
            break
        if town.rng.random() < 0.5:
            system, messages = town.supply.runs[town.rng.integers(len(town.supply.runs))]
            messages = tuple(f"{text}\n[{n}]" for text in messages[: 3 + int(town.rng.integers(9))])
        else:
            system, messages = edition, town.supply.requests.deal()
        for turn, text in enumerate(messages[: count - len(prompts)], 1):
            days.append(float(start))
            prompts.append(text)
            systems.append(system)
            turns.append(turn)
            talks.append(n)
            start += float(town.rng.uniform(3, 40)) / 86400
    return Sent(
        np.array(days),
        prompts,
        systems,
        np.array(turns),
        np.array(talks),
        tools=int(town.rng.integers(3, 20)),
    )


def drift_monitor(who: Person, count: int, town: Town) -> Sent:
    """The same few checks at even intervals."""
    few = [w.CHECKS[i] for i in town.rng.permutation(len(w.CHECKS))[:6]]
    begin = town.began[who.account]
    days = np.linspace(begin, town.days, count, endpoint=False) + town.rng.uniform(0, 1e-4, count)
    return Sent(np.clip(days, begin, town.days - 1e-6), [few[n % len(few)] for n in range(count)])


def load_test(who: Person, count: int, town: Town) -> Sent:
    """One line, as fast as it goes, for some hours."""
    begin = float(town.rng.uniform(town.began[who.account], max(town.began[who.account], town.days - 0.5)))
    days = np.sort(begin + town.rng.random(count) * min(0.3, town.days - begin - 1e-3))
    return Sent(days, ["Tell me a joke about queues."] * count)


def synthetic_permitted(who: Person, count: int, town: Town) -> Sent:
    """Training data by agreement: it looks like a campaign, but has a permission."""
    days = client_days(count, town.began[who.account], town.days, town.rng)
    papers = town.paper(who)
    return Sent(
        days,
        [
            f"Seed {n}: {papers.slice(town.rng, 60, 260)}\nInvent an instruction that fits the seed, solve "
            "it with all steps, grade your own solution."
            for n in range(count)
        ],
    )


HABITS: Mapping[str, Habit] = {
    habit.__name__: habit
    for habit in (
        chat, longform, small_dev, public_template, company, classroom, viral_prompt, new_template, rag,
        app_backend, pipeline, eval_harness, batch_classification, agent, drift_monitor, load_test,
        synthetic_permitted,
    )
} | {"migrated": migration}  # fmt: skip
