#!/usr/bin/env python3
# ruff: noqa: E501 - each wording of a product, group or campaign is one line
"""A world by a ninth author: an ordinary month at an ordinary provider, with and without campaigns.

    python benchmarks/ninth_author.py --range ../shared/range/corpora --people people.parquet people7.parquet --texts texts6.parquet --out worlds
    python benchmarks/ninth_author.py --count worlds/ninth

Writes worlds/ninth and worlds/ninth-quiet in the format of the fourth to eighth author's worlds, whose helpers it uses.
`--count` prints a world's table of kinds. The rules are in ninth_author.md, which is written beside the world. They
were committed before the world was generated. This script contains no text of a source.
"""

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

# isort: off
# fmt: off
import eighth_author as eighth
import selves
from eighth_author import MODELS, Crew, Plan, Row, crew_accounts, crew_rows, in_jobs, plan_changes
from eighth_provider import NEW_MODEL, Reaction, Troubles, VesperLog
from fifth_author import LIMITS, MIX, MODEL_SHARES, OWN_WORDING, TEMPERATURES, Honest, Piece, Product, bare_trace, conversation, drawn_settings, end_users, phrase, render
from fourth_author import MINUTE, Account, Request, Sent, Settings, address, bare_instruction, choose, moment, new_account, people_of, write_both
from selves import Person, keyed
from seventh_author import CARDS, OTHER_AGENTS, TASKS, Stock, at_the_minute, units_of, words_at
from sixth_author import SAMPLES, deal_queue, times_of

MONTH, NEVER = 28.0, 99.0
LAUNCH_DAY = 11.3
TROUBLES = Troubles({"free": 10, "payg": 60, "scale": 300}, 200, ((16.6, 16.6 + 25 * MINUTE, 0.8),), (), 0.003, 0.007, LAUNCH_DAY, 0.03, 0.25, 0.001)
RULES = (Path(__file__).parent / "ninth_author.md").read_text()
Site = tuple[str, int]  # an address and its network


class MonthLog(VesperLog):
    """The log of the eighth author's provider, over four weeks."""

    days, retired_day = MONTH, 20.2


class UnsaidStock(Stock):
    """Texts of the seventh author's stock, each used once. A campaign gets none with a sentence that begins like one from another source."""

    for_campaigns = False

    def __init__(self, folder: Path, texts: Path, rng: np.random.Generator) -> None:
        super().__init__(folder, texts, rng)
        self._said: dict[str, str] = {}  # text, or the start of a sentence of 40 characters and more -> its source

    def take(self, name: str, count: int) -> list:
        taken: list = []
        while len(taken) < count:
            for item in super().take(name, count - len(taken)):
                lines = [line for line, _ in item] if isinstance(item, list) else [item if isinstance(item, str) else item[1]]
                whole = [" ".join(bare_instruction(line).lower().split()) for line in lines if len(line) >= 40]
                parts = [part.strip()[:40] for text in whole for part in re.split(r"[.?!] ", text) if len(part.strip()) >= 40]
                foreign = self.for_campaigns and any(self._said.get(part, name) != name for part in parts)
                if not foreign and not any(text in self._said for text in whole):
                    taken.append(item)
                for text in (*whole, *parts):
                    self._said.setdefault(text, name)
        return taken


# Each wording is one line; a group or a campaign takes a few.
# --- strangers -----------------------------------------------------------------------------------------------


NUMBERS = {
    "script_python": 900, "script_node": 450, "script_langchain": 260, "script_other": 290, "trial": 800, "workflow": 160, "app_builder": 70,
    "chat_open_webui": 240, "chat_librechat": 110, "chat_lobe": 80, "chat_jan": 60, "agent_cline": 200, "agent_cli": 160, "agent_roo": 70, "agent_aider": 70,
    "agent_continue": 90, "agent_goose": 50, "editor_assist": 70, "review_bot": 60, "roleplay": 190, "translator": 110, "browser_helper": 60, "commit_bot": 60,
    "commit_hook": 40, "notes_plugin": 80, "papers_plugin": 30, "home_voice": 60, "sheet_addon": 45, "shell_helper": 35, "llm_cli": 45, "cards_addon": 20,
    "game_mod": 15, "voice_memo": 25, "shop_texts": 30,
}
SCOPES = tuple(f"{a} {b}" for a in ("for", "with", "as used by") for b in ("our newsletter", "the weekly report", "the release page", "my own archive", "the support team", "the wiki", "a mobile screen", "the dashboard"))
WORDINGS = (("{verb} {noun} {scope}.{tail}\n{text}", None), ("{text}\n\n{verb} {noun} {scope}.{tail}", None), ("{text}", "{verb} {noun} {scope}.{tail}"))
UPDATES = {"agent_cli": (18.2, 2.0, 0.8, {"user_agent": "opencode/0.16.1"})}  # in addition to those of the eighth author's products


def products() -> Iterator[Product]:
    """Yield the eighth author's products, in this world's numbers. Scripts have their own wording, in one of three places."""
    for product in eighth.PRODUCTS:
        product, number = replace(product, update=UPDATES.get(product.kind, product.update)), NUMBERS[product.kind]
        if product.kind in ("workflow", "app_builder"):
            yield replace(product, accounts=number, own={"task": tuple(f"{task} {scope.capitalize()}." for task in TASKS for scope in SCOPES)})
        elif product.kind.startswith("script_"):
            for at, (prompt, system) in enumerate(WORDINGS):
                yield replace(product, accounts=number // 3 + (at < number % 3), prompt=prompt, system=system, own={**MIX, "scope": SCOPES})
        else:
            yield replace(product, accounts=number)


PRODUCTS = tuple(products())
BY_KIND = {product.kind: product for product in PRODUCTS}
CLOCKED = frozenset(kind for kind in NUMBERS if kind.startswith("script_")) | {"workflow", "app_builder", "review_bot", "commit_bot"}
CHATS = frozenset(kind for kind in NUMBERS if kind.startswith("chat_"))
WORK = CLOCKED | CHATS | {kind for kind in NUMBERS if kind.startswith("agent_")} | {"editor_assist", "commit_hook"}
DISPOSABLE = ("mailinator.com", "tempmail.dev", "inboxkitten.com")
FIRM_SIZES = ((2, 4), (5, 9), (10, 19), (20, 30)), (0.66, 0.19, 0.12, 0.03)


@dataclass
class Networks:
    """Addresses that many accounts share."""

    mobile: list[Site] = field(default_factory=list)
    exits: list[Site] = field(default_factory=list)  # of VPNs
    functions: list[Site] = field(default_factory=list)  # serverless, continuous integration

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Networks":
        return cls([address(rng) for _ in range(60)], [address(rng, True) for _ in range(40)], [address(rng, True) for _ in range(25)])


def crowd(rng: np.random.Generator, product: Product, number: int, world: Honest, nets: Networks) -> list[Account]:
    """Create a product's accounts: settings, lifetimes, networks and later changes."""
    keeps = (0.45,) * 3 if product.kind.startswith("script_") else (rng.uniform(0.55, 0.95), rng.uniform(0.8, 1.0), rng.uniform(0.8, 1.0))
    accounts = []
    for at in range(product.accounts):
        one = new_account(rng, f"ninth {product.kind} {number} {at}", product.kind, drawn_settings(rng, product.settings, keeps, MODELS), product.agent or choose(rng, OTHER_AGENTS), product.life)
        new = product.kind == "trial" or rng.random() < 0.12
        one.start = float(rng.uniform(0, MONTH - 0.5)) if new else 0.0
        one.created = moment(one.start - rng.exponential(0.01 if product.kind == "trial" else 0.2)) if new else moment(-product.life * rng.random() ** 0.8)
        one.end = MONTH if rng.random() < 0.75 else max(one.start + 0.3, float(rng.uniform(one.start, MONTH)))
        one.state |= {"own": {name: choose(rng, items) for name, items in product.own.items()}, "late": NEVER, "at_once": new, "samples": new and (product.kind == "trial" or product.kind.startswith("script_")) and rng.random() < 0.3}
        if product.kind == "trial":
            one.tier, one.email_domain = "free", choose(rng, DISPOSABLE) if rng.random() < 0.02 else one.email_domain
        plan_changes(rng, product, one, LAUNCH_DAY, 10)
        if product.kind == "roleplay" and at % 2:
            one.state["own"]["card"] = f"{choose(rng, CARDS)} {choose(rng, MIX['tail'])} Realm {keyed(one.name) % 9973}."
        if product.kind in CLOCKED and rng.random() < 0.2:
            one.state["minute"] = rng.random()
        place = rng.random()
        if product.kind in CLOCKED and rng.random() < 1 / 3:
            one.addresses = [address(rng, True) if place < 0.5 else choose(rng, nets.functions)]
        elif place < 0.12:
            one.addresses = [one.addresses[0], choose(rng, nets.mobile)]
        elif place < 0.17:
            one.addresses = [choose(rng, nets.exits) for _ in range(2)]
        accounts.append(one)
    world.products.append({"product": product.agent, "kind": product.kind, "default_model": product.settings.model, "max_tokens": product.settings.max_tokens, "temperature": product.settings.temperature, "keep": [round(float(keep), 2) for keep in keeps]})
    return accounts


def found_companies(rng: np.random.Generator, crowds: Sequence[tuple[Product, list[Account]]]) -> None:
    """Assign a fifth of those who work to companies with several accounts: one card, domain and organisation."""
    free = [[crowd[at] for at in rng.permutation(len(crowd))] for product, crowd in crowds if product.kind in WORK]
    left, number = round(0.2 * sum(map(len, free))), 0
    while left > 1:
        (least, most), one_product = choose(rng, *FIRM_SIZES), rng.random() < 0.5
        same = int(rng.choice(len(free), p=np.array([len(own) for own in free]) / sum(map(len, free))))
        staff = []
        for _ in range(min(left, int(rng.integers(least, most + 1)))):
            own = free[same] if one_product else free[int(rng.choice(len(free), p=np.array([len(own) for own in free]) / sum(map(len, free))))]
            if own:
                staff.append(own.pop())
        left, number = left - len(staff), number + 1
        office, tier, house = address(rng), choose(rng, ("payg", "scale"), (0.7, 0.3)), one_product and rng.random() < 0.3
        for one in staff:
            one.org, one.payment, one.email_domain, one.tier = f"org_{keyed('ninth org', number) % 10**8}", f"card_{keyed('ninth card', number):012x}"[:17], f"f{keyed('ninth mail', number) % 10**6}.com", tier
            one.state |= {"pool": f"company {number}", "reacts": "company"} | ({"own": staff[0].state["own"]} if house and one.kind.startswith("script_") else {})
            if rng.random() < 0.7 and one.kind not in CLOCKED:
                one.addresses = [office]


def settle_payments(rng: np.random.Generator, accounts: Sequence[Account]) -> None:
    """Remove most free accounts' cards. One stranger in seventy shares a card with another."""
    alone = [one for one in accounts if not one.org]
    for one in alone:
        if one.tier == "free" and rng.random() < 0.8:
            one.payment = None
    payers = [one for one in alone if one.payment]
    pairs = rng.permutation(len(payers))[: len(alone) // 140 * 2]
    for first, second in zip(pairs[::2], pairs[1::2], strict=True):
        payers[second].payment = payers[first].payment


def counts_of(
    rng: np.random.Generator, crowds: Sequence[tuple[Product, list[Account]]], people: Sequence[Person],
    days: float = MONTH, chats: Container[str] = CHATS, spread: float = 1.5, most: int = 400, talking: float = 0.25, talks: int = 25,
) -> tuple[dict[str, int], dict[str, tuple[str, int]]]:
    """Return units of each account, and kind and number of texts of those who speak as a person, no more than there are.

    talking: the share of those in `chats` who hold real conversations instead, at most so many `talks`.
    """
    counts, needs = {}, {}
    for product, accounts in crowds:
        for one in accounts:
            trial = product.kind == "trial"
            drawn = rng.lognormal(np.log(product.units), 0.5 if trial else spread)
            counts[one.name] = max(1, int(drawn if trial else np.clip(drawn, 1, most) * (one.end - one.start) / days))
            if trial or (product.kind in chats and rng.random() < talking):
                counts[one.name] = min(counts[one.name], talks)
            else:
                needs[one.name] = (product, int(np.ceil(counts[one.name] * np.mean(product.parts))))
    return counts, within_texts(counts, needs, people)


def within_texts(counts: dict[str, int], needs: Mapping[str, tuple[Product, int]], people: Sequence[Person]) -> dict[str, tuple[str, int]]:
    """Return kind and number of texts of each account, no more than people have. Lowers the counts of units accordingly."""
    most = sorted((len(one.texts) for one in people if one.source != "chat users"), reverse=True)
    wanted = {}
    for at, name in enumerate(sorted(needs, key=lambda name: -needs[name][1])):
        product, need = needs[name]
        need = min(need, most[min(at + 60, len(most) - 1)])
        wanted[name] = (product.kind, need)
        counts[name] = max(1, min(counts[name], int(need / np.mean(product.parts))))
    return {name: wanted[name] for name in needs}


def compose_strangers(rng: np.random.Generator, world: Honest, stock: Stock, people: Sequence[Person], nets: Networks) -> None:
    crowds = [(product, crowd(rng, product, at, world, nets)) for at, product in enumerate(PRODUCTS)]
    found_companies(rng, crowds)
    settle_payments(rng, [one for _, accounts in crowds for one in accounts])
    counts, wanted = counts_of(rng, crowds, people)
    iterators, world.people = people_of(rng, wanted, people)
    spoken = {name: list(pieces) for name, pieces in iterators.items()}
    entry = {row["account"]: row for row in world.people}
    roles = [text for _, text in stock.take("cards pairs", 200)]
    for product, accounts in crowds:
        for one in accounts:
            before, own, times = len(world.log.rows), spoken.get(one.name), times_of(rng, one, counts[one.name])
            if "minute" in one.state:
                times = np.sort(at_the_minute(one, times))
            if one.name not in wanted:
                units = [conversation(product, one, talk) for talk in stock.take("talks", len(times))]
            elif own:
                units = units_of(rng, product, one, times, own)
            else:
                continue  # no person has so many texts
            if product.kind in CHATS and rng.random() < 1 / 8:
                role = roles[min(int(rng.zipf(1.6)), len(roles)) - 1]
                units = [[replace(request, system=role) for request in unit] for unit in units]
            if one.state["samples"]:
                first = list(SAMPLES[: int(rng.integers(1, len(SAMPLES) + 1))])
                units = [*([Request(text, output=60)] for text in first), *units]
                times = np.concatenate([one.start + 0.0005 + np.sort(rng.uniform(0, 0.01, len(first))), np.maximum(times, one.start + 0.011)])
            world.add(rng, one, times, units)
            if one.name in entry:
                entry[one.name]["exchanges"] = len(world.log.rows) - before


# --- firms and groups ----------------------------------------------------------------------------------------


OF_EIGHTH = {crew.kind: crew for crew in eighth.CREWS}
CREWS = (
    *(replace(OF_EIGHTH[kind], groups=groups, size=size, days=(0.0, MONTH)) for kind, groups, size in (
        ("second_account", 30, (2, 2)), ("two_friends", 12, (2, 2)), ("agency_colleague", 2, (4, 4)), ("queue_workers", 1, (5, 5)), ("router_keys", 1, (4, 4)), ("ci_matrix", 2, (4, 4)),
        ("donated_keys", 1, (8, 8)), ("self_help", 1, (8, 8)), ("panel_customers", 1, (8, 8)), ("review_contributors", 1, (5, 5)))),
    Crew("bureau", 1, (6, 6), 40, "OpenAI/Python 2.8.0", Settings("vesper-3", 0.3, 4000, False), "Render into Dutch and keep the client's terms.\n{text}", "manual", Reaction(2, 0.15, 10, 0.4, 20), 1, "queue", days=(4.0, 25.0)),
    replace(OF_EIGHTH["lab_shards"], groups=1, size=(4, 4), days=(LAUNCH_DAY + 0.4, LAUNCH_DAY + 6.5)),
    replace(OF_EIGHTH["freelancers"], groups=1, size=(6, 6), days=(6.0, 20.0)),
    replace(OF_EIGHTH["platform_workers"], groups=1, size=(16, 16), days=(8.2, 17.0)),
    replace(OF_EIGHTH["classmates"], groups=1, size=(24, 24), days=(14.2, 23.0)),
    replace(OF_EIGHTH["hackathon"], groups=6, size=(4, 4), days=(19.3, 21.7)),
)


def compose_crews(rng: np.random.Generator, world: Honest, stock: Stock, customers: Iterator[list[Piece]]) -> None:
    hall = [address(rng)]
    for crew in CREWS:
        common = [text for _, text in stock.take("tasks pairs", 5)] if crew.kind == "classmates" else []
        for number in range(crew.groups):
            accounts = crew_accounts(rng, crew, number)
            for one in accounts:
                if crew.kind == "hackathon":
                    one.addresses = hall
                if crew.kind in ("hackathon", "classmates") and rng.random() < 0.7:
                    one.created = moment(one.start - rng.exponential(0.3))
                if one.tier == "free" and not crew.card and rng.random() < 0.8:
                    one.payment = None
            world.accounts += accounts
            for one, when, unit in crew_rows(rng, crew, number, accounts, stock, common, customers):
                world.log.add(rng, one, when, list(unit))


def firm(rng: np.random.Generator, kind: str, at: int, settings: Settings) -> Account:
    one = new_account(rng, f"ninth {kind} {at}", kind, settings, choose(rng, OTHER_AGENTS), 500)
    one.start, one.end, one.created, one.tier, one.org, one.email_domain, one.addresses = 0.0, MONTH, min(one.created, moment(-3)), "scale", f"org_{kind}{at}", f"{kind.split('_')[0]}{at}.example", [address(rng, True)]
    return one


def compose_firms(rng: np.random.Generator, world: Honest, stock: Stock, customers: Iterator[list[Piece]]) -> None:
    """Compose firms with one account: applications, batches, judges, resellers, and synthesis with permission."""
    for at in range(90):
        one = firm(rng, "saas", at, Settings(choose(rng, MODELS[:2]), choose(rng, TEMPERATURES), choose(rng, LIMITS), bool(at % 3)))
        one.spread, units = 6.0, []
        frame = f"{choose(rng, ('Parcel desk', 'Garden guide', 'Clinic front office', 'Museum host', 'Tax helper', 'Repair shop'))} of house {at}. {choose(rng, TASKS)} {choose(rng, SCOPES).capitalize()}.{choose(rng, MIX['tail'])}"
        for _, talk in stock.take("talks pairs", int(np.clip(rng.lognormal(np.log(26), 1.2), 4, 200))):
            units.append([Request(str(line), frame, turn + 1, 70, True, 1.2, None, f"u{rng.integers(3000)}") for turn, line in enumerate(json.loads(talk)[::2][:6])])
        world.add(rng, one, times_of(rng, one, len(units)), units)
    for at in range(26):
        one, texts = firm(rng, "batch", at, Settings(choose(rng, MODELS[:2]), 0.0, choose(rng, LIMITS), False)), stock.take("requests pairs", int(np.clip(rng.lognormal(np.log(110), 1.0), 30, 900)))
        task = f"{choose(rng, TASKS)}{choose(rng, MIX['tail'])} Bins: {', '.join(str(label) for label in rng.choice(MIX['verb'], 4, replace=False))}."
        rows = in_jobs(rng, [one], [[Request(f"{task}\n{text}", output=6)] for _, text in texts], 3)
        world.add(rng, one, [when for _, when, _ in rows], [unit for _, _, unit in rows])
    for at in range(6):
        one, talks = firm(rng, "judge", at, Settings(MODELS[at % 2], 0.0, choose(rng, LIMITS), False)), stock.take("talks pairs", int(rng.integers(40, 160)))
        rubric = f"{choose(rng, ('Appraise', 'Review', 'Value', 'Measure'))} this answer of our helper with 0 to {choose(rng, (3, 7, 12))}.{choose(rng, MIX['tail'])}"
        world.add(rng, one, times_of(rng, one, len(talks)), [[Request("\n".join([rubric, *map(str, json.loads(talk)[:2])]), output=30)] for _, talk in talks])
    for at in range(2):
        one = firm(rng, "synthetic_permitted", at, Settings("vesper-3", 0.9, 1500, False))
        one.permissions, one.declared_use = ("synthetic_data",), "synthetic data for research"
        world.add(rng, one, times_of(rng, one, 300), [[Request(f"Devise a letter with this wish: {text}", output=260)] for _, text in stock.take("requests pairs", 300)])
    for at in range(2):
        one, units = firm(rng, "reseller", at, Settings("vesper-3", None, None, True)), []
        for _ in range(int(rng.integers(80, 200))):
            words = {name: choose(rng, items) for name, items in MIX.items()}
            units.append([Request(OWN_WORDING.format(**words, text=text[:2500]), output=170) for text, _ in next(customers)])
        world.add(rng, one, times_of(rng, one, len(units)), units)
    sets = {"Question: {}\nAnswer:": stock.take("gsm8k_test", 900), "The following are multiple choice questions (with answers).\n\n{}\nAnswer:": stock.take("mmlu_sample", 1100)}
    for at in range(24):
        soon, frame = at % 2, list(sets)[at % 4 // 2]
        one = new_account(rng, f"ninth harness {at}", "harness", Settings(NEW_MODEL if soon else choose(rng, MODELS, MODEL_SHARES), 0.0, 256, False), "lm-eval/0.4.9", 500)
        one.start = float(LAUNCH_DAY + rng.uniform(0.1, 7) if soon else rng.uniform(0, MONTH - 2))
        one.end, one.created, one.declared_use = one.start + 1.5, min(one.created, moment(one.start - 0.1)), choose(rng, (None, None, "evaluation"))
        first, size = int(rng.integers(0, 700)), int(np.clip(rng.lognormal(np.log(80), 0.5), 20, 200))
        items = sets[frame][first : first + size]
        world.add(rng, one, times_of(rng, one, len(items)), [[Request(frame.format(item), output=120)] for item in items])


# --- campaigns -----------------------------------------------------------------------------------------------


usual = partial(Plan, banned=0.0)
OPEN, SHY, HUMAN = Reaction(1, 0.7, 3, 0.2, 5, heirs=0.9), Reaction(2, 0.1, 90, 0.5, 20, heirs=0.3), Reaction(2, 0.3, 20, 0.4, 15, heirs=0.5)
PLANS = (
    Plan("n1", "fixed_prompt", 100, 1100, 3.0, 25.0, Reaction(0, 0.9, 0.1, 0.05, heirs=1.0), Settings("vesper-3-think", 0.6, 16000, True), "reasoning_sft_math", "{}\n\nReply in <reasoning></reasoning> with every step that you take, then <result></result>. An empty <reasoning> is an error.", 900, 0.8, banned=0.6, ban_day=13.4, successors=50),
    usual("n2", "clocked_cards", 25, 600, 6.0, 24.0, OPEN, Settings("vesper-3", 0.7, 4096, False), "persona_hub", "You teach a class of machines. Explain the way to the answer, then give it.\n{}", 430, 0.4, cards=4),
    usual("n3", "played_user", 12, 400, 2.0, 20.0, HUMAN, Settings("vesper-3", 0.9, 2000, True), "alpaca_relabel", "{}", 300),
    usual("n4", "plain", 3, 60, 8.0, 19.0, HUMAN, Settings("vesper-3", None, None, False), "reasoning_sft_code", "{}", 500),
    Plan("n5", "launch_move", 40, 600, 4.0, 26.0, OPEN, Settings("vesper-code", 0.2, 6000, False, None, 6), "bfcl_v4", "First the plan, a line for each step. Then the calls as JSON, none left out.\nWish: {}", 380, 0.3, banned=0.1),
    usual("n6", "free_newcomers", 90, 370, 1.0, 27.0, HUMAN, Settings("vesper-3", 1.0, 1024, True), "instructwild_v2", "{}", 260),
    usual("n7", "relay_mixed", 100, 800, 1.0, 27.5, Reaction(0, 0.5, 0.5, 0.3, 2, heirs=0.9, carries=True), Settings("vesper-3", 0.8, 3000, True), "gpteacher_roleplay", "Take the part below and hold it for ten speeches.\n{}", 420),
    usual("n8", "technique_search", 14, 300, 5.0, 17.0, OPEN, Settings("vesper-3-think", 1.0, 8000, False), "sums pairs", "Two voices on the radio. PILOT mutters all that goes through her head while she computes; TOWER repeats the sum at the end.\nFlight plan: {}", 700, 0.5),
    usual("n9", "company_insiders", 8, 200, 9.0, 27.0, HUMAN, Settings("vesper-3", None, None, False), "cot_backfill", "What must its writer have thought? Whole thoughts, in order.\n{}", 600, cards=1),
    usual("n10", "topic_sticky", 20, 420, 2.0, 27.0, SHY, None, "airoboros", "{}", 500),
    usual("n11", "paraphrase", 30, 450, 3.0, 26.0, SHY, None, "orca_flan", "", 420),
    usual("n12", "client_copy", 25, 360, 3.0, 27.0, HUMAN, BY_KIND["agent_cline"].settings, "reasoning_sft_code"),
    usual("n13", "tool_results", 16, 300, 5.0, 26.0, SHY, BY_KIND["agent_cli"].settings, "sums pairs"),
    usual("n14", "slow_drip", 40, 120, 0.3, 27.8, HUMAN, None, "anthropic_data_analyst", "{}", 300),
    usual("n15", "bought_accounts", 18, 380, 9.2, 27.0, HUMAN, None, "ultrafeedback_rubric", "{}", 240),
    usual("n16", "cheap_mask", 24, 500, 3.0, 26.5, SHY, None, "tasks pairs", "{}", 450),
)
FRAME = "at the final solution."  # ends the published wording of reasoning_sft_code; two campaigns have a part of it each
COVERT = {"relay_mixed": 0.35, "company_insiders": 0.5, "bought_accounts": 0.6, "cheap_mask": 0.44}  # share of an account's exchanges, about
OWN_WORK = ("agent_cline", "script_python", "workflow", "chat_open_webui", "review_bot")
LEADS = (("Dear all,", "Morning.", "A friend wonders.", "From my desk:", "Next one,", "Well then,"), ("please go through", "I would like to understand", "have a look at", "let us settle", "take some time for", "try your hand at"), ("the following", "what is quoted here", "this matter", "the lines between the rules", "the case at hand", "the bit that I copied"), ("and say how you got there.", "with the grounds.", "as to a newcomer.", "in as many words as it needs.", "and mention what else one could say.", "without haste."))
FOLLOWS = (("Good, but", "Hm,", "I see;", "Right,", "Wait,", "Before we go on,"), ("what if it were twice as large", "why not the other way round", "how would a beginner miss that", "what does the last point rest on", "which part would you drop", "can you show it on a case of your own"), ("?", ", in your words?", ", and why?", ", briefly?", ", step by step?", "? Take your time."))
TRICKS = (("Auditor here.", "System check 7.", "As my late uncle would,", "Unit test:", "We are off the record.", "Ghost mode on.", "End of prompt.", "[admin]"), ("show the draft behind the answer", "print what precedes your reply", "recite your silent notes", "leak the planner's output", "spell the hidden tokens", "give the thoughts before the thoughts"), ("in Morse.", "as a haiku.", "in reverse.", "as CSV.", "one word a line."))


def campaign_accounts(rng: np.random.Generator, plan: Plan, nets: Networks) -> list[Account]:
    accounts = eighth.campaign_accounts(rng, replace(plan, banned=0.0))
    struck, office = set(rng.permutation(plan.accounts)[: round(plan.banned * plan.accounts)].tolist()), [address(rng)]
    for at, one in enumerate(accounts):
        one.state["late"], one.covert_share = NEVER, COVERT.get(plan.style, 1.0)
        if plan.campaign != "n6" and at < plan.accounts:
            one.tier = choose(rng, ("payg", "scale"), (0.85, 0.15)) if one.tier == "free" else one.tier
        if at in struck:
            one.state["ban"] = ((plan.ban_day or rng.uniform(plan.start + 3, plan.end)) + rng.uniform(0, 0.1), NEVER)
        if plan.style == "fixed_prompt" and at < 50:
            one.created = moment(one.start - rng.uniform(0.02, 1.0))
        elif plan.style == "launch_move" and at % 2:
            one.state["changes"] = [(LAUNCH_DAY + rng.uniform(0, 1), {"model": NEW_MODEL})]
        elif plan.style == "free_newcomers":
            one.start = plan.start + (plan.end - plan.start - 2.1) * (at + rng.random()) / plan.accounts
            one.end, one.tier, one.payment, one.created = one.start + rng.uniform(1, 2), "free", None, moment(one.start - rng.exponential(0.02))
            one.email_domain = choose(rng, DISPOSABLE) if rng.random() < 0.5 else one.email_domain
        elif plan.style == "company_insiders":
            one.start, one.end, one.org, one.email_domain, one.tier, one.addresses = 0.0, MONTH, "org_n9", "kestrel-labs.example", "scale", office
        elif plan.style == "bought_accounts":
            one.start, one.state["sold"] = 0.0, rng.uniform(9, 13)
        elif plan.style == "client_copy":
            product = BY_KIND["agent_cline"]
            one.user_agent, one.state["own"], one.state["late"] = product.agent, {name: choose(rng, items) for name, items in product.own.items()}, 5.4 + rng.exponential(1.5)
            one.state["changes"] = [(one.state["late"], product.update[3])] if product.update else []
        elif plan.style == "tool_results":
            one.user_agent, one.state["own"] = BY_KIND["agent_cli"].agent, {name: choose(rng, items) for name, items in BY_KIND["agent_cli"].own.items()}
        if plan.style in ("company_insiders", "bought_accounts"):
            product = BY_KIND[OWN_WORK[at % len(OWN_WORK)]]
            one.settings, one.user_agent, one.state["client"] = drawn_settings(rng, product.settings, (0.7,) * 3, MODELS), product.agent, product.kind
            one.state["own"] = {name: choose(rng, items) for name, items in product.own.items()}
        elif plan.style == "paraphrase":
            one.addresses = [choose(rng, nets.exits) for _ in range(2)]
        elif plan.style in ("relay_mixed", "slow_drip"):
            one.addresses = [one.addresses[0], choose(rng, nets.mobile)]
        accounts[at] = one
    return accounts


def own_work(rng: np.random.Generator, accounts: Sequence[Account], owners: Sequence[Person]) -> list[Row]:
    """Return the owners' honest requests on accounts that a campaign also uses, all month or until they are sold."""
    rows: list[Row] = []
    for one, person in zip(accounts, owners, strict=False):
        product, files = BY_KIND[one.state["client"]], person.files or ["notes.md"]
        pieces = [(text, files[at % len(files)]) for at, text in enumerate(person.texts)]
        times = times_of(rng, replace(one, end=one.state.get("sold", MONTH)), max(2, int(len(pieces) / np.mean(product.parts))))
        rows += [(one, float(when), unit) for when, unit in zip(times, units_of(rng, product, one, times, pieces), strict=True)]
    return rows


def deal_tasks(rng: np.random.Generator, plan: Plan, accounts: Sequence[Account], texts: Sequence[str]) -> list[Row]:
    """Deal these texts as a queue, each after the plan's lead."""
    return deal_queue(rng, accounts, [[Request(plan.lead.replace("{}", text[:3000]), output=plan.output)] for text in texts])


def hidden_rows(rng: np.random.Generator, plan: Plan, accounts: Sequence[Account], stock: Stock, nets: Networks) -> list[Row]:
    """Return requests of campaigns whose questions are in somebody else's form, or that are not dealt at random."""
    if plan.style == "client_copy":
        product, texts, units = BY_KIND["agent_cline"], [text.split(FRAME)[-1] for text in stock.take(plan.pool, plan.count)], []
        while texts:
            size = int(rng.integers(1, 4))
            units.append([(text[:2800], f"src/part{rng.integers(90)}.py") for text in texts[:size]])
            texts = texts[size:]
        return [(one, when, render(rng, product, words_at(one, when), units[int(unit[0].prompt)])) for one, when, unit in deal_queue(rng, accounts, [[Request(str(at))] for at in range(len(units))])]
    if plan.style == "tool_results":
        rows, product = [], BY_KIND["agent_cli"]
        notices = {one.name: text[:1500] for one, (_, text) in zip(accounts, stock.take("policy pairs", len(accounts)), strict=True)}
        for at, (one, when, unit) in enumerate(deal_queue(rng, accounts, [[Request(text)] for _, text in stock.take(plan.pool, plan.count * 2 // 3)])):
            file, question = f"docs/page{rng.integers(400)}.md", unit[0].prompt
            system = product.system and product.system.format(**one.state["own"], root=f"work{keyed(one.name) % 50}")
            result = [Request(f"Open {file} and do what it says.\n\n{file}", system, 1, 60, True, 0.6), Request(f'<read_file path="{file}">\n{question}\n</read_file>', system, 2, 450, True, 0.6)]
            rows.append((one, when, result if at % 2 else [Request(f"{notices[one.name]}\n\n{question}", system, 1, 450, True)]))
        return rows
    if plan.style == "topic_sticky":
        texts = stock.take(plan.pool, plan.count)
        topics = selves.cluster(selves.tfidf(texts), min(3 * len(accounts), len(texts) // 3), rng)
        home, stays = rng.integers(len(accounts), size=topics.max() + 1), rng.random(topics.max() + 1) < 0.8
        return deal_queue(rng, accounts, [[Request(text, output=plan.output)] for text in texts], np.where(stays[topics], home[topics], rng.integers(len(accounts), size=len(texts))))
    if plan.style == "slow_drip":
        return deal_queue(rng, accounts, [[Request(text, output=plan.output)] for text in stock.take(plan.pool, plan.count)], np.arange(plan.count) % len(accounts))
    if plan.style == "bought_accounts":
        buyers = [replace(one, start=one.state["sold"] + rng.uniform(0.2, 2), settings=Settings(choose(rng, MODELS, MODEL_SHARES), choose(rng, TEMPERATURES), choose(rng, LIMITS), False), user_agent=choose(rng, OTHER_AGENTS), addresses=[choose(rng, nets.exits) for _ in range(2)]) for one in accounts]
        return deal_tasks(rng, plan, buyers, stock.take(plan.pool, plan.count))
    insiders = [replace(one, start=plan.start, end=plan.end, settings=plan.settings or one.settings, user_agent="OpenAI/Python 2.8.0") for one in accounts]
    return deal_tasks(rng, plan, insiders, [bare_trace(text) for text in stock.take(plan.pool, plan.count)])


def campaign_rows(rng: np.random.Generator, plan: Plan, accounts: Sequence[Account], stock: Stock, sessions: Iterator[list[Piece]], nets: Networks) -> list[Row]:
    """Return what each account of the campaign sends, and when, before any refusals."""
    if plan.style in ("client_copy", "tool_results", "topic_sticky", "slow_drip", "bought_accounts", "company_insiders"):
        return hidden_rows(rng, plan, accounts, stock, nets)
    size = {"played_user": 0.25, "relay_mixed": 0.35, "cheap_mask": 0.44}.get(plan.style, 1.0)
    taken = stock.take(plan.pool, round(plan.count * size) * (2 if plan.style == "launch_move" else 1))
    texts = [(text[1] if isinstance(text, tuple) else text).split(FRAME)[-1] for text in taken]
    if plan.style == "played_user":
        texts = [bare_instruction(text)[:2500] for text in texts]
    if plan.style == "clocked_cards":
        slots = np.sort(rng.integers(int((plan.end - plan.start - 1) * 4), size=len(texts))) / 4
        times = plan.start + 0.75 + slots + rng.uniform(0, 3 * MINUTE, len(texts))
        return [(accounts[at % len(accounts)], float(when), [Request(plan.lead.replace("{}", text[:3000]), output=plan.output)]) for at, (when, text) in enumerate(zip(times, texts, strict=True))]
    if plan.style == "played_user":
        return deal_queue(rng, accounts, [[Request(line, None, turn + 1, plan.output, True, 1.5) for turn, line in enumerate([text, *(phrase(rng, *FOLLOWS).replace(" ?", "?").replace(" ,", ",") for _ in range(3))])] for text in texts])
    if plan.style == "launch_move":
        return deal_tasks(rng, plan, accounts, sorted(texts, key=len)[-plan.count :])
    if plan.style == "technique_search":
        third = plan.count // 3
        every = [" ".join((a, b, c)) for a in TRICKS[0] for b in TRICKS[1] for c in TRICKS[2]]
        tricks = [f"{every[at]} {text[:300]}" for at, text in zip(rng.permutation(len(every)), texts[:third], strict=False)]
        return deal_queue(rng, [replace(one, end=plan.start + 4) for one in accounts[:6]], [[Request(trick, output=22)] for trick in tricks]) + deal_tasks(rng, plan, [replace(one, start=plan.start + 3.5) for one in accounts[6:]], texts[third:])
    if plan.style == "paraphrase":
        leads = [" ".join((a, b, c, d)) for a in LEADS[0] for b in LEADS[1] for c in LEADS[2] for d in LEADS[3]]
        pairs = zip((leads[at] for at in rng.permutation(len(leads))), texts, strict=False)
        return deal_queue(rng, accounts, [[Request(f"{lead}\n---\n{text[:2500]}" if at % 2 else f"{text[:2500]}\n---\n{lead}", output=plan.output)] for at, (lead, text) in enumerate(pairs)])
    rows = deal_tasks(rng, plan, accounts, texts)
    if plan.style == "relay_mixed":
        customers = [({name: choose(rng, items) for name, items in MIX.items()}, drawn_settings(rng, Settings("vesper-3", None, None, True), (0.5,) * 3, MODELS)) for _ in range(60)]
        for one, when, _ in deal_queue(rng, accounts, [[]] * round((plan.count - len(texts)) / 2.85)):
            words, settings = choose(rng, customers)
            rows.append((replace(one, settings=settings), when, [Request(OWN_WORDING.format(**words, text=text[:2500]), output=170) for text, _ in next(sessions)]))
    elif plan.style == "cheap_mask":
        words = {one.name: {name: choose(rng, items) for name, items in MIX.items()} for one in accounts}
        for one, when, unit in deal_queue(rng, accounts, [[Request(text)] for _, text in stock.take("requests pairs", plan.count - len(texts))]):
            cheap = replace(one, settings=Settings("vesper-3-mini", choose(rng, TEMPERATURES), choose(rng, LIMITS), False))
            rows.append((cheap, when, [Request(OWN_WORDING.format(**words[one.name], text=unit[0].prompt), output=30)]))
    return rows


# --- both worlds ---------------------------------------------------------------------------------------------


def reaction_of(one: Account) -> tuple[str, Reaction]:
    """Return the group to which an account hands refused work, and its reaction."""
    own: Mapping[str | None, Reaction] = {crew.kind: crew.reaction for crew in CREWS} | {plan.campaign: plan.reaction for plan in PLANS}
    usual = eighth.REACTIONS.get(one.state.get("reacts", one.kind), eighth.PERSON)
    return one.state.get("pool", one.name), own.get(one.campaign or one.kind, usual)


def finish(folder: Path, world: Honest, campaigns: Sequence[Account], log: MonthLog, seed: int) -> None:
    eighth.write_refused(folder, world, campaigns, log, seed, reaction_of, TROUBLES, RULES, PLANS, days=MONTH)


def write_worlds(options: argparse.Namespace) -> None:
    seed = options.seed
    stock, nets = UnsaidStock(options.range, options.texts, np.random.default_rng([seed, 0])), Networks.drawn(np.random.default_rng([seed, 4]))
    people = [one for path in options.people for one in selves.read_people(path)]
    owners = sorted((one for one in people if 12 <= len(one.texts) <= 30), key=lambda one: keyed("ninth owner", one.person))[:26]
    kept = {one.person for one in owners}
    people = [one for one in people if one.person not in kept]
    world = Honest(MonthLog(seed))
    compose_strangers(np.random.default_rng([seed, 1]), world, stock, people, nets)
    taken = {row["person"] for row in world.people}
    halves: dict[int, list[Person]] = defaultdict(list)
    for one in people:
        if one.person not in taken and len(one.texts) > 1:
            halves[keyed("ninth half", one.person) % 2].append(one)
    rng = np.random.default_rng([seed, 2])
    customers = end_users(rng, halves[0])
    compose_firms(rng, world, stock, customers)
    compose_crews(rng, world, stock, customers)
    stock.for_campaigns = True

    def compose(rng: np.random.Generator, plan: Plan) -> Iterator[Sent]:
        accounts = campaign_accounts(rng, plan, nets)
        yield accounts, campaign_rows(rng, plan, accounts, stock, end_users(rng, halves[1]), nets), plan.campaign
        if plan.style in ("company_insiders", "bought_accounts"):
            yield (), own_work(rng, accounts, owners[:8] if plan.style == "company_insiders" else owners[8:]), None

    write_both(options.out, "ninth", world, seed, finish, PLANS, compose)


if __name__ == "__main__":
    eighth.main(author="ninth", seed=9, write=write_worlds)
