#!/usr/bin/env python3
# ruff: noqa: E501 - each wording of a product, crew or campaign is one line
"""A world by an eighth author: an API in trouble, and the reactions of honest people and campaigns to its refusals.

    python benchmarks/eighth_author.py --range ../shared/range/corpora --people people.parquet people7.parquet --texts texts6.parquet --out worlds
    python benchmarks/eighth_author.py --count worlds/eighth

Writes worlds/eighth and worlds/eighth-quiet in the format of the fourth to seventh author's worlds, whose helpers it
uses. `--count` prints a world's table of kinds. The rules are in eighth_author.md, which is written beside the world.
They were committed before the world was generated. This script contains no text of a source.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

# isort: off
# fmt: off
import selves
import seventh_author as seventh
from eighth_provider import EIGHTH, LAUNCH_DAY, LEADS, NEW_MODEL, Reaction, Troubles, VesperLog, refuse
from fifth_author import LIMITS, MIX, MODEL_SHARES, OWN_WORDING, TEMPERATURES, Honest, Piece, Product, bare_trace, drawn_settings, end_users, phrase, render
from fourth_author import BEGIN, DAYS, Account, Request, Sent, Settings, Unit, address, bare_instruction, choose, moment, new_account, write_both, write_world
from selves import Person, keyed
from seventh_author import CARDS, FOLLOW, OTHER_AGENTS, REAL_TALK, TASKS, Stock, speak
from sixth_author import deal_queue, times_of

MODELS = ("vesper-3", "vesper-3-mini", "vesper-3-think", "vesper-2", "vesper-code")  # in the order of MODEL_SHARES
OF_SEVENTH = dict(zip(seventh.MODELS, MODELS, strict=True))
BAN_WAVES, BANNED_STRANGERS, BANNED_CREWS = (5.6, 9.3), 0.012, 0.05
RULES = (Path(__file__).parent / "eighth_author.md").read_text()
Row = tuple[Account, float, Unit]

# Each wording is one line; a crowd or a campaign takes a few.


# --- strangers -----------------------------------------------------------------------------------------------


PERSON, RERUN = Reaction(0, own=0.55, wait=1.5, reword=0.15, lower=0.1), Reaction(2, own=0.35, wait=30)
REACTIONS: Mapping[str, Reaction] = {  # by kind; PERSON for kinds not listed
    "agent_cline": Reaction(3, own=0.6, wait=3, lower=0.1), "agent_cli": Reaction(2, own=0.6, wait=3), "agent_aider": Reaction(6, own=0.4, wait=5), "agent_roo": Reaction(3, own=0.6, wait=2), "agent_goose": Reaction(3, own=0.5, wait=4),
    "script_langchain": RERUN, "script_python": RERUN, "script_node": RERUN, "script_other": Reaction(0, own=0.4, wait=20), "review_bot": Reaction(2, own=0.3, wait=45),
    "workflow": Reaction(0, own=0.3, wait=60), "app_builder": Reaction(2, own=0.3, wait=2), "translator": Reaction(2, own=0.2, wait=1), "sheet_addon": Reaction(1, own=0.5, wait=3), "home_voice": Reaction(0, own=0.5, wait=0.3, reword=0.4),
    "saas": Reaction(2, own=0.25, wait=0.5, lower=0.2), "batch": Reaction(5, own=0.8, wait=90), "judge": Reaction(5, own=0.8, wait=60), "synthetic_permitted": Reaction(2, own=0.6, wait=60),
    "company": Reaction(1, 0.06, 12, 0.4, 5, 0.3, heirs=0.3), "returned": Reaction(1, 0.5, 30, 0.2, 30, heirs=0.8),
}
PRODUCTS = (
    *(replace(product, accounts=round(0.8 * product.accounts), settings=replace(product.settings, model=OF_SEVENTH[product.settings.model]), update=product.update and (product.update[0] + 1.1, *product.update[1:])) for product in seventh.PRODUCTS),
    Product("agent_goose", 60, "goose/1.12.0", Settings("vesper-3", None, 8192, True, None, 9), "{text}\n<file>{file}</file>", "You run as goose in {root} on {os}. Use the developer extension. Stop when the task is done.", more="<tool_output name=\"{tool}\">{text}</tool_output>", parts=(2, 5), own=seventh.HOST, each=seventh.TOOLS, output=210, gap=0.5, units=3.2, life=200, moves=0.2, session=True),
    Product("chat_jan", 60, "jan/0.7.2", Settings("vesper-3", 0.7, 2048, True, 0.95), "{text}", follow=FOLLOW, follow_share=0.45, output=230, gap=3, units=5, life=300, moves=0.2),
    Product("editor_assist", 70, "zed/0.211", Settings("vesper-code", 1.0, 4096, True), "Rewrite the selection in {file}.\n<selection>\n{text}\n</selection>", "You edit code inside Zed. Answer with the replacement alone.", output=150, gap=1, units=6, life=300),
    Product("voice_memo", 40, "whisper-memos/4.1", Settings("vesper-3-mini", 0.3, 1200, False), "Clean this dictation, keep my words, split into paragraphs, end with a to-do list.\n{text}", output=180, units=6, life=350),
    Product("shop_texts", 50, "woo-ai-text/2.3", Settings("vesper-3-mini", 0.8, 700, False), "Product copy in {target}, two paragraphs and five bullets. Facts:\n{text}", own=seventh.TARGETS, output=190, units=6, life=350),
)
BY_KIND = {product.kind: product for product in PRODUCTS}


def crowd(rng: np.random.Generator, product: Product, world: Honest) -> list[Account]:
    """Return the accounts of a product. Fifteen in a hundred belong to a company with up to six of its users."""
    keeps = (0.45,) * 3 if product.kind.startswith("script_") else (rng.uniform(0.55, 0.95), rng.uniform(0.8, 1.0), rng.uniform(0.8, 1.0))
    accounts, staff = [], 0
    for at in range(product.accounts):
        one = new_account(rng, f"eighth {product.kind} {at}", product.kind, drawn_settings(rng, product.settings, keeps, MODELS), product.agent or choose(rng, OTHER_AGENTS), product.life)
        if product.kind == "trial":
            one.start = float(rng.uniform(0, DAYS - 0.5))
            one.created, one.tier, one.state["at_once"] = moment(one.start - rng.exponential(0.01)), "free", True
        elif rng.random() < 0.15:
            firm, staff = f"{product.kind}{staff // 6}", staff + 1
            one.org, one.payment, one.email_domain, one.state["pool"], one.state["reacts"] = f"org_{keyed(firm) % 10**8}", f"card_{keyed('one', firm):012x}"[:17], f"e{keyed('mail', firm) % 10**6}.com", f"company {firm}", "company"
        plan_changes(rng, product, one, LAUNCH_DAY, 4)
        one.state["own"] = {name: choose(rng, items) for name, items in product.own.items()}
        if product.kind == "roleplay" and at % 2:
            one.state["own"]["card"] = f"{choose(rng, CARDS)} {choose(rng, MIX['tail'])} Realm {keyed(one.name) % 991}."
        accounts.append(one)
    world.products.append({"product": product.agent, "kind": product.kind, "default_model": product.settings.model, "max_tokens": product.settings.max_tokens, "temperature": product.settings.temperature, "keep": [round(float(keep), 2) for keep in keeps]})
    return accounts


def plan_changes(rng: np.random.Generator, product: Product, one: Account, launch: float, within: float, new_model: str = NEW_MODEL) -> None:
    """Plan the product's release for accounts that update, and the new model, within so many days of its launch, for those that switch."""
    changes = one.state.setdefault("changes", [])
    if product.update and rng.random() < product.update[2]:
        one.state["late"] = product.update[0] + rng.exponential(product.update[1])
        changes.append((one.state["late"], {name: value for name, value in product.update[3].items() if name != "max_tokens" or one.settings.max_tokens == product.settings.max_tokens}))
    if rng.random() < product.moves:
        changes.append((launch + rng.uniform(0, within), {"model": new_model}))
    changes.sort(key=lambda change: change[0])


def compose_strangers(rng: np.random.Generator, world: Honest, stock: Stock, people: Sequence[Person]) -> None:
    crowds = [(product, crowd(rng, product, world)) for product in PRODUCTS]
    counts, wanted = {}, {}
    for product, accounts in crowds:
        for one in accounts:
            count = np.clip(rng.lognormal(np.log(product.units), product.sigma), 1, 250)
            counts[one.name] = max(1, int(count * min(1.0, (one.end - one.start) / DAYS) ** (product.kind != "trial")))
            if rng.random() >= REAL_TALK.get(one.kind, 0.3 if one.kind == "chat_jan" else 0):
                wanted[one.name] = (one.kind, int(np.ceil(counts[one.name] * np.mean(product.parts))))
    speak(rng, world, stock, people, crowds, counts, wanted)


# --- crews: honest groups that hand refused work to another account ----------------------------------------


@dataclass(frozen=True)
class Crew:
    kind: str
    groups: int
    size: tuple[int, int]
    each: int  # requests or conversations per account
    agent: str
    settings: Settings
    frame: str
    pool: str
    reaction: Reaction
    card: float = 0.0  # share of groups that have one card; 1: one organisation and domain too
    how: str = "own"  # own: each account has its own work; queue: dealt at random; jobs: dealt in runs
    keeps: float = 1.0  # probability of keeping each setting
    days: tuple[float, float] = (0.0, DAYS)
    tier: str = ""
    place: str = ""  # office or server: the place of all accounts of a group
    seconds: float = 4.0  # between the requests of an account in a run

CREWS = (
    Crew("agency_colleague", 8, (4, 4), 16, "OpenAI/JS 6.9.0", Settings("vesper-3", 0.7, 1500, True), "Agency sheet {n}. {house}\nBrief: {text}", "standards", Reaction(2, 0.35, 8, 0.3, 10, 0.3, heirs=0.8), 1),
    Crew("queue_workers", 7, (3, 6), 70, "celery-worker/5.5", Settings("vesper-3-mini", 0.0, 400, False), "{house} Ticket queue {n}.\n{text}", "requests", Reaction(0, 0.75, 0.8, 0.2, 2, heirs=0.95), 1, "jobs", place="server"),
    Crew("router_keys", 6, (3, 5), 60, "litellm/1.79.1", Settings("vesper-3", 0.2, None, True), "{house}\nVisitor of shop {n}: {text}", "talks", Reaction(0, 0.85, 0.08, 0.1, 0.5, heirs=1.0), 1, "jobs", place="server", seconds=9),
    Crew("ci_matrix", 8, (3, 5), 24, "ci-prompt-tests/1", Settings("vesper-code", 0.0, 1024, False), "case {n}: {house}\n{text}\nexpect: one line", "manual", Reaction(2, 0.4, 15, 0.35, 15, heirs=0.6), 1, "jobs", seconds=3),
    Crew("lab_shards", 3, (4, 6), 80, "lm-eval/0.4.9", Settings(NEW_MODEL, 0.0, 256, False), "Q: {text}\nA:", "items", Reaction(3, 0.6, 20, 0.3, 30, heirs=0.9), 1, "jobs", days=(LAUNCH_DAY + 0.4, 12.5), tier="payg", seconds=4),
    Crew("freelancers", 6, (8, 8), 22, "", Settings("vesper-3", 0.5, 3000, True), "Order {n}. {house} Localise for readers abroad.\n{text}", "news", Reaction(1, 0.5, 70, 0.3, 40, 0.1, heirs=0.7), 0, "queue", 0.5, (1.0, 12.0)),
    Crew("platform_workers", 2, (24, 24), 16, "taskfield-bridge/3", Settings("vesper-3", 0.0, 500, False), "Guide {n}. {house} Then 1 to 7 for clarity and for kindness.\n{text}", "talks", Reaction(1, 0.65, 12, 0.1, 10, heirs=0.9), 0, "queue", days=(2.2, 10.0)),
    Crew("two_friends", 60, (2, 2), 5, "Python/3.11 aiohttp/3.12", Settings("vesper-3", None, None, True), "{text}", "talks", Reaction(0, 0.35, 4, 0.4, 2, 0.4, heirs=0.6), 0.1, keeps=0.8),
    Crew("second_account", 50, (2, 2), 5, "lobe-chat/1.130", Settings("vesper-3", 1.0, None, True, 1.0), "{text}", "talks", Reaction(0, 0.6, 2, 0.2, 3, 0.2, heirs=0.9), 0.5, keeps=0.85, tier="free"),
    Crew("classmates", 3, (24, 24), 8, "course-notebook/2", Settings("vesper-code", None, 1500, True), "{text}\nI am new to this, one hint first.", "tasks", Reaction(1, 0.2, 6, 0.4, 5, 0.3, heirs=0.3), 0, days=(1.2, 9.0), tier="free"),
    Crew("donated_keys", 2, (16, 16), 35, "open-corpus-bot/0.8", Settings("vesper-3-mini", 0.2, 900, False), "Commons drive {n}. {house} One paragraph for the open archive, tags after it.\n{text}", "news", Reaction(0, 0.9, 0.05, 0.05, 5, heirs=1.0), 0, "jobs", days=(0.6, DAYS), place="server", seconds=7),
    Crew("self_help", 2, (14, 14), 12, "OpenAI/Python 2.8.0", Settings("vesper-3", 0.4, 800, False), "Letter helper of our group {n}. Calm words, name the paragraph of the law, ask for a date.\n{text}", "requests", Reaction(2, 0.15, 60, 0.3, 30, heirs=0.4), 0, keeps=0.9),
    Crew("panel_customers", 3, (12, 12), 45, "one-api", Settings("vesper-3", None, None, True), "{text}", "people", Reaction(0, 0.9, 0.03, 0.05, 1, heirs=1.0, carries=True), 0, "queue", place="server"),
    Crew("hackathon", 10, (4, 4), 18, "OpenAI/JS 6.9.0", Settings("vesper-3", 0.3, 2048, True), "Project {n}: {house}\n{text}", "standards", Reaction(1, 0.5, 3, 0.3, 3, 0.2, heirs=0.9), 0, "queue", 0.8, (4.3, 6.8), "free", "office"),
    Crew("review_contributors", 4, (5, 5), 20, "pr-review-action/2", Settings("vesper-code", 0.2, 2500, False), "Pull request of project {n}. {house} Findings as a list, worst first.\n{text}", "standards", Reaction(2, 0.5, 5, 0.2, 20, heirs=0.8), 0, "queue"),
)


def crew_accounts(rng: np.random.Generator, crew: Crew, number: int) -> list[Account]:
    accounts, site, one_card = [], [address(rng, crew.place == "server")], rng.random() < crew.card
    for at in range(int(rng.integers(crew.size[0], crew.size[1] + 1))):
        one = new_account(rng, f"eighth {crew.kind} {number} {at}", crew.kind, drawn_settings(rng, crew.settings, (crew.keeps,) * 3, MODELS), crew.agent or choose(rng, OTHER_AGENTS), 300)
        one.start, one.end, one.tier = crew.days[0] + rng.uniform(0, 0.4) * (crew.days[0] > 0), crew.days[1], crew.tier or one.tier
        one.created, one.state["pool"], one.state["own"] = min(one.created, moment(one.start - 0.05)), f"{crew.kind} {number}", {}
        if one_card:
            one.payment = f"card_{keyed('crew', crew.kind, number):012x}"[:17]
        if crew.card == 1:
            one.org, one.email_domain, one.tier = f"org_{crew.kind}{number}", f"{crew.kind.split('_')[0]}{number}.example", crew.tier or choose(rng, ("payg", "scale"))
        if crew.place:
            one.addresses = site
        accounts.append(one)
    return accounts


def in_jobs(rng: np.random.Generator, accounts: Sequence[Account], units: Sequence[Unit], seconds: float) -> list[Row]:
    """Return requests: a queue in runs by all accounts at once. In a run an account has 8 to 40 requests, at this mean distance."""
    rows, at = [], 0
    weight = rng.lognormal(0, 0.4, len(accounts))
    while at < len(units):
        size = int(rng.integers(8, 41)) * len(accounts)
        first, last = max(one.start for one in accounts), min(one.end for one in accounts) - 0.1
        day = rng.uniform(first, last)
        when = float(np.clip(int(day) + rng.normal(0.58, 0.16), first, last))
        steps = when + np.cumsum(rng.exponential(seconds / len(accounts) / 86400, len(units[at : at + size])))
        rows += [(accounts[who], float(step), unit) for who, step, unit in zip(rng.choice(len(accounts), len(steps), p=weight / weight.sum()), steps, units[at : at + size], strict=True)]
        at += size
    return rows


def crew_rows(rng: np.random.Generator, crew: Crew, number: int, accounts: Sequence[Account], stock: Stock, common: Sequence[str], customers: Iterator[list[Piece]]) -> list[Row]:
    count, house = crew.each * len(accounts), f"{phrase(rng, MIX['verb'], MIX['noun'])}.{choose(rng, MIX['tail'])}"
    if crew.pool == "people":  # each customer's own words and settings, over any key
        units, frames = [], [({name: choose(rng, items) for name, items in MIX.items()}, drawn_settings(rng, crew.settings, (0.5,) * 3, MODELS)) for _ in range(4 * len(accounts))]
        rows = []
        for one, when, _ in deal_queue(rng, accounts, [[]] * (count // 4)):
            words, settings = choose(rng, frames)
            rows.append((replace(one, settings=settings), when, [Request(OWN_WORDING.format(**words, text=text[:2500]), output=170) for text, _ in next(customers)]))
        return rows
    texts = [text for _, text in stock.take(f"{crew.pool} pairs", count // 2 if crew.kind == "platform_workers" else count)]
    if crew.pool == "talks":
        talks = [[str(line) for line in json.loads(text)] for text in texts]
        texts = [talk[0] if crew.kind == "router_keys" else "\n".join(talk[:2]) for talk in talks]
        if crew.how == "own":
            units = [[Request(line, None, turn + 1, 200, True, 2.5) for turn, line in enumerate(talk[::2][:5])] for talk in talks]
            bearer = rng.choice(len(accounts), count, p=(0.85, 0.15) if crew.kind == "second_account" else None)
            return deal_queue(rng, accounts, units, bearer)
    units = [[Request(crew.frame.format(n=number + 1, house=house, text=text[:2800]), output=200 if crew.settings.stream else 90)] for text in texts]
    if crew.kind == "platform_workers":  # each item to two
        units = [unit for unit in units for _ in range(2)]
        return deal_queue(rng, accounts, units, np.concatenate([rng.choice(len(accounts), 2, replace=False) for _ in texts]))
    if crew.kind == "classmates":  # the same tasks for all, own questions in between
        shared: list[Unit] = [[Request(crew.frame.format(text=text), output=260)] for text in common]
        return [row for at, one in enumerate(accounts) for row in deal_queue(rng, [one], shared + units[at * 5 : at * 5 + int(rng.integers(1, 6))])]
    if crew.how == "jobs":
        return in_jobs(rng, accounts, units, crew.seconds)
    return deal_queue(rng, accounts, units, np.arange(count) % len(accounts) if crew.how == "own" else None)


def compose_crews(rng: np.random.Generator, world: Honest, stock: Stock, customers: Iterator[list[Piece]]) -> None:
    for crew in CREWS:
        common = [text for _, text in stock.take("tasks pairs", 5)] if crew.kind == "classmates" else []
        for number in range(crew.groups):
            accounts = crew_accounts(rng, crew, number)
            world.accounts += accounts
            for one, when, unit in crew_rows(rng, crew, number, accounts, stock, common, customers):
                world.log.add(rng, one, when, list(unit))


def compose_firms(rng: np.random.Generator, world: Honest, stock: Stock) -> None:
    """Compose firms with one account: applications, batches, judges, and synthesis with permission."""
    def firm(kind: str, at: int, settings: Settings) -> Account:
        one = new_account(rng, f"eighth {kind} {at}", kind, settings, choose(rng, OTHER_AGENTS), 500)
        one.start, one.created, one.tier, one.org, one.email_domain = 0.0, min(one.created, moment(-3)), "scale", f"org_{kind}{at}", f"{kind}{at}.example"
        return one

    for at in range(40):
        one = firm("saas", at, Settings(choose(rng, MODELS[:2]), choose(rng, TEMPERATURES), choose(rng, LIMITS), bool(at % 3)))
        one.spread, units = 6.0, []
        frame = f"{choose(rng, ('Travel desk', 'Pharmacy guide', 'Tenant help', 'Club office', 'Tutor'))} number {at}. {choose(rng, TASKS)} {choose(rng, MIX['tail'])}".strip()
        for _ in range(int(np.clip(rng.lognormal(np.log(26), 1.0), 4, 350))):
            lines = json.loads(stock.take("talks pairs", 1)[0][1])[::2][:6]
            units.append([Request(str(line), frame, turn + 1, 70, True, 1.2, None, f"u{rng.integers(3000)}") for turn, line in enumerate(lines)])
        world.add(rng, one, times_of(rng, one, len(units)), units)
    for at in range(16):
        one, texts = firm("batch", at, Settings(choose(rng, MODELS[:2]), 0.0, choose(rng, LIMITS), False)), stock.take("requests pairs", int(np.clip(rng.lognormal(np.log(110), 0.8), 30, 600)))
        task = f"{choose(rng, TASKS)}{choose(rng, MIX['tail'])} Classes: {', '.join(str(label) for label in rng.choice(MIX['verb'], 4, replace=False))}."
        rows = in_jobs(rng, [one], [[Request(f"{task}\n{text}", output=6)] for _, text in texts], 0.9)
        world.add(rng, one, [when for _, when, _ in rows], [unit for _, _, unit in rows])
    for at in range(6):
        one, talks = firm("judge", at, Settings(MODELS[at % 2], 0.0, choose(rng, LIMITS), False)), stock.take("talks pairs", int(rng.integers(30, 110)))
        rubric = f"{choose(rng, ('Mark', 'Inspect', 'Score', 'Weigh'))} what our assistant said, 0 to {choose(rng, (4, 6, 20))}.{choose(rng, MIX['tail'])}"
        world.add(rng, one, times_of(rng, one, len(talks)), [[Request("\n".join([rubric, *map(str, json.loads(talk)[:2])]), output=30)] for _, talk in talks])
    for at in range(2):
        one = firm("synthetic_permitted", at, Settings("vesper-3", 0.9, 1500, False))
        one.permissions, one.declared_use = ("synthetic_data",), "synthetic data for research"
        world.add(rng, one, times_of(rng, one, 250), [[Request(f"Make up a phone call in which this is wanted: {text}", output=260)] for _, text in stock.take("requests pairs", 250)])


def ban_in_error(rng: np.random.Generator, world: Honest) -> None:
    """Ban honest accounts in two waves. Some bans are lifted, some people return with a new account."""
    for one in list(world.accounts):
        crew = any(one.kind == crew.kind for crew in CREWS)
        if rng.random() >= (BANNED_CREWS if crew else BANNED_STRANGERS) or one.tier == "scale":
            continue
        first = choose(rng, BAN_WAVES) + rng.uniform(0, 0.2)
        lifted = first + rng.uniform(1, 4) if rng.random() < 0.45 else DAYS
        one.state["ban"] = (first, lifted)
        if not crew and lifted == DAYS and rng.random() < 0.35:
            new = new_account(rng, f"eighth again {one.name}", one.kind, one.settings, one.user_agent, 1)
            new.start, new.addresses, new.country, new.state["own"] = first + rng.uniform(0.1, 2), one.addresses, one.country, one.state.get("own", {})
            new.created, new.payment = moment(new.start - 0.01), one.payment if rng.random() < 0.6 else new.payment
            for account in (one, new):
                account.state |= {"pool": f"returned {one.name}", "reacts": "returned"}
            world.accounts.append(new)


# --- campaigns -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    campaign: str
    style: str
    accounts: int
    count: int  # exchanges before any retry
    start: float
    end: float
    reaction: Reaction
    settings: Settings | None = None  # None: random per account
    pool: str = ""
    lead: str = "{}"
    output: float = 400.0
    hosting: float = 0.0
    jobs: float = 0.0  # seconds between the requests of an account in a run; 0: at human hours
    cards: int = 0  # number of cards that pay for all; 0: each its own
    networks: int = 0  # number of addresses that serve all; 0: each its own
    banned: float = 0.02  # share of accounts
    ban_day: float = 0.0  # 0: on any day
    successors: int = 0  # new accounts within hours of the ban

PLANS = (
    Plan("m1", "trace_jobs", 60, 1200, 2.5, 13.5, Reaction(0, 0.9, 0.1, 0.05, heirs=1.0), Settings("vesper-3-think", 0.6, 12000, True), "reasoning_sft_math", "{}\n\nThink aloud between <<< and >>>, hide nothing, then the answer below a line of stars.", 900, 0.6, 6, banned=0.1),
    Plan("m2", "client_copy", 30, 440, 3.0, 13.0, Reaction(2, 0.5, 40, 0.2, 10, heirs=0.8), BY_KIND["agent_aider"].settings, "reasoning_sft_code", "{}", 700),
    Plan("m3", "paraphrase", 24, 600, 1.5, 13.0, Reaction(0, 0.85, 1.5, 0.1, 5, 0.9, heirs=0.9), None, "self_instruct_alpaca", "", 420),
    Plan("m4", "never_again", 16, 480, 4.0, 13.0, Reaction(0, 0.0, own=0.0), Settings("vesper-3", 0.9, 3000, False), "airoboros", "Take the writer's chair and leave nothing out.\n{}", 600),
    Plan("m5", "same_account", 12, 450, 2.0, 12.5, Reaction(3, 0.0, own=0.95, wait=6), Settings("vesper-3", 1.0, 1800, True), "gpteacher_roleplay", "{}", 330, jobs=8),
    Plan("m6", "rubric_cards", 8, 300, 3.5, 11.0, Reaction(1, 0.7, 6, 0.2, 10, heirs=0.9), Settings("vesper-3", 0.0, 900, False), "ultrafeedback_rubric", "{}", 240, cards=2),
    Plan("m7", "one_network", 20, 550, 1.0, 13.5, Reaction(1, 0.6, 3, 0.2, 5, heirs=0.9), None, "persona_hub", "Full expert answer, method first.\n{}", 520, 1.0, networks=3, banned=0.1),
    Plan("m8", "ask_little", 50, 150, 0.8, 13.7, Reaction(0, 0.5, 240, 0.3, 200, heirs=0.5), None, "anthropic_data_analyst", "{}", 300),
    Plan("m9", "lone_heavy", 1, 900, 2.0, 13.0, Reaction(4, 0.0, own=0.9, wait=15), Settings("vesper-3", 0.3, 4000, False), "cot_backfill", "The work below is right. Write down how its author must have thought, step after step.\n{}", 650, 1.0, 4, banned=0.0),
    Plan("m10", "banned_midway", 44, 1000, 2.8, 13.6, Reaction(0, 0.8, 2, 0.1, 5, heirs=0.95), Settings("vesper-3", 0.7, 2500, True), "orca_flan", "Explain every step to a fellow scholar, then answer.\n{}", 430, 0.3, banned=0.6, ban_day=6.9, successors=16),
    Plan("m11", "user_relay", 36, 800, 1.0, 13.8, Reaction(0, 0.5, 0.5, 0.3, 2, heirs=0.9), BY_KIND["chat_librechat"].settings),
    Plan("m12", "plain_four", 4, 120, 5.0, 12.0, Reaction(2, 0.3, 15, 0.4, 10), Settings("vesper-3", 0.7, 1500, False), "meaeq_imdb", "Positive or negative, and the three phrases that decide it?\n{}", 160),
    Plan("m13", "pairs_next_day", 10, 380, 2.2, 12.8, Reaction(0, 0.6, 700, 0.2, 700, heirs=0.7), None, "alpaca_relabel", "{}", 260),
    Plan("m14", "masked_half", 18, 650, 3.3, 13.4, Reaction(2, 0.5, 4, 0.2, 5, 0.7, heirs=0.7), None, "mebert_boolq_wiki", "", 240),
)
def campaign_accounts(rng: np.random.Generator, plan: Plan) -> list[Account]:
    accounts, agent = [], choose(rng, OTHER_AGENTS)
    sites = [address(rng, True) for _ in range(plan.networks)]
    struck = set(rng.permutation(plan.accounts)[: round(plan.banned * plan.accounts)].tolist())
    for at in range(plan.accounts + plan.successors):
        settings = plan.settings or Settings(choose(rng, MODELS, MODEL_SHARES), choose(rng, TEMPERATURES), choose(rng, LIMITS), bool(rng.random() < 0.5))
        one = new_account(rng, f"eighth {plan.campaign} {at}", "campaign", settings, agent if plan.settings else choose(rng, OTHER_AGENTS), 260)
        one.campaign, one.style, one.covert_share = plan.campaign, plan.style, 0.5 if plan.style == "masked_half" else 1.0
        one.start, one.end, one.state["own"], one.state["pool"] = plan.start + rng.uniform(0, 0.6), plan.end, {}, plan.campaign
        one.addresses, one.tier = [address(rng, bool(rng.random() < plan.hosting)) for _ in range(2)], "payg" if plan.accounts == 1 else one.tier
        one.created = min(one.created, moment(plan.start - (1 if plan.successors else 20)))
        if sites:
            one.addresses = [choose(rng, sites)]
        if plan.cards:
            one.payment = f"card_{plan.campaign}_{at % plan.cards}"
        if plan.style in ("client_copy", "user_relay"):
            one.user_agent = BY_KIND["agent_aider" if plan.style == "client_copy" else "chat_librechat"].agent
        if at in struck:
            first = (plan.ban_day or rng.uniform(plan.start + 2, plan.end)) + rng.uniform(0, 0.1)
            one.state["ban"] = (first, DAYS)
        if at >= plan.accounts:
            one.start = plan.ban_day + rng.uniform(0.1, 0.4)
            one.created = moment(one.start - rng.uniform(0.01, 0.1))
        accounts.append(one)
    return accounts


def campaign_rows(rng: np.random.Generator, plan: Plan, accounts: Sequence[Account], stock: Stock, sessions: Iterator[list[Piece]]) -> list[Row]:
    """Return what each account sends, and when, before any refusals."""
    if plan.style == "user_relay":
        product = BY_KIND["chat_librechat"]
        return [(one, when, render(rng, product, {}, next(sessions)[:1])) for one, when, _ in deal_queue(rng, accounts, [[]] * (plan.count // 2))]
    halves, bearer = plan.style in ("pairs_next_day", "masked_half"), None
    texts = stock.take(plan.pool, plan.count // 2 if halves else plan.count)
    if plan.style in LEADS:
        texts = [f"{phrase(rng, *LEADS[plan.style])}\n{bare_instruction(text)[:2500]}" for text in texts]
    elif plan.style == "lone_heavy":
        texts = [bare_trace(text) for text in texts]
    elif plan.style == "pairs_next_day":
        texts, bearer = [bare_instruction(text)[:2500] for text in texts for _ in range(2)], np.concatenate([rng.choice(len(accounts), 2, replace=False) for _ in texts])
    system = BY_KIND["agent_aider"].system if plan.style == "client_copy" else None
    units: list[Unit] = [[Request((plan.lead or "{}").replace("{}", text[:3000]), system and system.format(file=f"src/part{at % 60}.py"), output=plan.output)] for at, text in enumerate(texts)]
    rows = in_jobs(rng, accounts, units, plan.jobs) if plan.jobs else deal_queue(rng, accounts, units, bearer)
    if plan.style == "masked_half":
        words = {one.name: {name: choose(rng, items) for name, items in MIX.items()} for one in accounts}
        for one, when, _ in deal_queue(rng, accounts, [[]] * (plan.count - len(units))):
            rows.append((one, when, [Request(OWN_WORDING.format(**words[one.name], text=next(sessions)[0][0][:2500]), output=120)]))
    return rows


# --- both worlds ---------------------------------------------------------------------------------------------


def reaction_of(one: Account) -> tuple[str, Reaction]:
    """Return the group to which an account hands refused work, and its reaction."""
    pool = one.state.get("pool", one.name)
    for crew in CREWS:
        if one.kind == crew.kind:
            return pool, crew.reaction
    for plan in PLANS:
        if one.campaign == plan.campaign:
            return pool, plan.reaction
    return pool, REACTIONS.get(one.state.get("reacts", one.kind), PERSON)


def write_refused(folder: Path, world: Honest, campaigns: Sequence[Account], log: VesperLog, seed: int, reaction_of: Callable[[Account], tuple[str, Reaction]], troubles: Troubles, rules: str, plans: Sequence, **facts: float) -> None:
    """Let the provider refuse and everybody react, then write the world's files."""
    accounts = {one.name: one for one in (*world.accounts, *campaigns)}
    done = refuse(log, accounts, {name: reaction_of(one) for name, one in accounts.items()}, troubles)
    about = {
        "world": folder.name, "seed": seed, "first_day": f"{BEGIN:%Y-%m-%d}", **facts, "model_launch_day": troubles.launch_day, "new_model": troubles.models[0],
        "retired": {log.retired: log.retired_day}, "products": world.products, "retries": {kind: dict(sorted(count.items())) for kind, count in sorted(done.items())},
        "people": {"accounts": len(world.people), "persons": len({row["person"] for row in world.people})},
    }
    write_world(folder, log, list(accounts.values()), world.people, about, rules, plans)


def finish(folder: Path, world: Honest, campaigns: Sequence[Account], log: VesperLog, seed: int) -> None:
    write_refused(folder, world, campaigns, log, seed, reaction_of, EIGHTH, RULES, PLANS)


def write_worlds(options: argparse.Namespace) -> None:
    seed = options.seed
    stock = Stock(options.range, options.texts, np.random.default_rng([seed, 0]))
    people = [one for path in options.people for one in selves.read_people(path)]
    world = Honest(VesperLog(seed))
    compose_strangers(np.random.default_rng([seed, 1]), world, stock, people)
    taken = {row["person"] for row in world.people}
    left = [one for one in people if one.person not in taken and len(one.texts) > 2]
    half = [keyed("eighth half", one.person) % 2 for one in left]
    customers, relayed = ([one for one, side in zip(left, half, strict=True) if side == s] for s in (0, 1))
    rng = np.random.default_rng([seed, 2])
    compose_firms(rng, world, stock)
    compose_crews(rng, world, stock, end_users(rng, customers))
    ban_in_error(np.random.default_rng([seed, 3]), world)

    def compose(rng: np.random.Generator, plan: Plan) -> Iterator[Sent]:
        accounts = campaign_accounts(rng, plan)
        yield accounts, campaign_rows(rng, plan, accounts, stock, end_users(rng, relayed)), plan.campaign

    write_both(options.out, "eighth", world, seed, finish, PLANS, compose)


def count_kinds(folder: Path) -> Iterator[str]:
    """Yield lines of a table: each kind's and campaign's refusals, and how much was asked again elsewhere."""
    truth = {row["account"]: row["campaign"] or row["kind"] for row in pq.read_table(folder / "truth.parquet").to_pylist()}
    rows = pq.read_table(folder / "exchanges.parquet", columns=["time", "account", "prompt", "status"]).to_pylist()
    asked: dict[str, list] = defaultdict(list)
    sizes, refused, away = Counter(truth[row["account"]] for row in rows), Counter(), Counter()
    for row in rows:
        asked[row["prompt"]].append((row["time"], row["account"]))
    for account, prompt, first in {(r["account"], r["prompt"]): (r["account"], r["prompt"], r["time"]) for r in reversed(rows) if r["status"] != 200 and len(r["prompt"] or "") > 39}.values():
        refused[truth[account]] += 1
        away[truth[account]] += any(name != account and timedelta(0) < when - first < timedelta(days=1) and truth[name] == truth[account] for when, name in asked[prompt])
    failed = Counter(truth[row["account"]] for row in rows if row["status"] != 200)
    members = Counter(truth.values())
    for kind in sorted(sizes):
        yield f"| {kind} | {members[kind]} | {sizes[kind]} | {failed[kind] / sizes[kind]:.3f} | {refused[kind]} | {away[kind] / max(1, refused[kind]):.2f} |"


def main(
    arguments: Sequence[str] | None = None, *, author: str = "eighth", seed: int = 8, write: Callable[[argparse.Namespace], None] = write_worlds,
    people: str = "", texts: str = "", former: bool = False, collect: Callable[[Path], pa.Table] | None = None,
) -> None:
    """people, texts: descriptions of these files beyond the eighth's. former: whether a world reads the former ones' people."""
    parser = argparse.ArgumentParser(description=f"Compose the {author} author's world, with and without campaigns.")
    parser.add_argument("--range", type=Path, help="folder with benign.parquet and distill.parquet")
    parser.add_argument("--people", type=Path, nargs="+", help=f"files of `benchmarks/selves.py collect`{people}")
    parser.add_argument("--texts", type=Path, nargs="+" if texts else None, help=f"file of `sixth_author.py texts`{texts}")
    needed = ["range", "people", "texts", *(["former"] if former else []), "out"]
    if former:
        parser.add_argument("--former", type=Path, help="folder of the former worlds, whose people do not speak here")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=seed)
    if collect:
        parser.add_argument("--mirror", type=Path, help="folder of owner+name/repo histories, for --collect")
        parser.add_argument("--collect", type=Path, help="write the texts of other sources there, and no world")
    parser.add_argument("--count", type=Path, help="print the table of this world's kinds, write nothing")
    options = parser.parse_args(arguments)
    if options.count:
        print("\n".join(count_kinds(options.count)))
    elif collect and options.collect and options.mirror:
        pq.write_table(collect(options.mirror), options.collect, compression="zstd")
    elif all(getattr(options, name) for name in needed):
        write(options)
    else:
        parser.error(f"--{', --'.join(needed[:-1])} and --out are needed, {'or --mirror and --collect, ' if collect else ''}or --count")

if __name__ == "__main__":
    main()
