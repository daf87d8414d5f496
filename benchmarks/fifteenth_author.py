#!/usr/bin/env python3
# ruff: noqa: E501 - each wording of a group or campaign is one line
"""A world by a fifteenth author: a representative provider, neither hard nor easy.

    python benchmarks/fifteenth_author.py --range ../shared/range/corpora --people people14.parquet people13.parquet people.parquet people5.parquet people6.parquet people7.parquet people12.parquet --texts texts6.parquet texts12.parquet texts13.parquet --former worlds --out worlds
    python benchmarks/fifteenth_author.py --count worlds/fifteenth

Writes worlds/fifteenth and worlds/fifteenth-quiet in the format of the fourth to fourteenth author's worlds, whose
helpers it uses. `--count` prints a world's table of kinds. The rules are in fifteenth_author.md, which is written
beside the world. They were committed before this script existed. This script contains no text of a source, except first
sentences of public software.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

# isort: off
# fmt: off
import eighth_author as eighth
import selves
from eighth_author import Row
from eighth_provider import Reaction, Troubles
from eleventh_author import WorkingTeam
from fifteenth_provider import BY_KIND, CLOCKED, DAYS, DISPOSABLE, FIFTEENTH as PUBLIC, LIBRARIES, NODE, OTHERS, PYTHON, TROUBLES, CloudPlaces, Public, FortnightLog, compose_majority, draw_language, near, resold_rows, speak
from fifth_author import Honest, phrase
from fourteenth_author import group_rows, placed, speaks_for_itself
from fourteenth_provider import agent_session, explain
from fourth_author import Account, Request, Sent, Settings, Unit, choose, moment, write_both
from ninth_author import UnsaidStock
from selves import Person, keyed
from seventh_author import Stock
from sixth_author import deal_queue
from tenth_author import Operation
from thirteenth_author import BEST, BRIEFS, DESK, HISTORY, POOL, PERSON, RELAY, RETRIES, RUBRIC, RUNS, THINK_IN, TOOLS_LEAD, TRICKS, extraction_accounts, lots_of, owners_rows, sessions, team_accounts, texts_of, units_of
from thirteenth_provider import DEEP, NEVER, NEW_MODEL, SMALL, TRIALS, USUAL, Places, Sessions, firm_facts, forget, token
from thirteenth_texts import documents_as_people, language_of

RULES = (Path(__file__).parent / "fifteenth_author.md").read_text()


@dataclass(frozen=True)
class Scenario:
    """The parts specific to a world: its public, groups and campaigns. Mappings are by campaign unless stated otherwise."""

    public: Public
    log: type[FortnightLog]
    troubles: Troubles
    rules: str
    teams: Sequence[WorkingTeam]
    group_rows: Callable[..., list[Row]]  # what each account of a group sends, and when
    plans: Sequence[Operation]
    styles: Mapping[str, Callable[..., list[Row]]]  # by style
    settle: Callable[..., None]  # applies a campaign's rule to an account
    registered: Callable[..., None]  # sets when accounts of people and companies were made
    bans: Mapping[str, tuple[int, float, int, float]]  # accounts banned, when, how many of the plan are new, from when
    pauses: Mapping[str, tuple[float, float]]
    mixes: Mapping[str, Sequence[tuple[float, str, str]]]  # further sources of one queue: share, source, wording
    leads: Mapping[str, str]
    day_and_night: Mapping[str, float]  # share of the queue
    at_home: frozenset[str]  # campaigns whose accounts are at the same kinds of places as honest ones
    disposable: frozenset[str]  # campaigns with some disposable mail
    paths: Sequence[tuple[float, str, str]]  # of many_pathways: share, source, wording; the plan's own source has the rest
    access: Sequence[tuple[str, str, str, Settings]]  # of many_pathways: client, network, tier, settings
    scaled_at: float  # of technique_search


# Each wording is one line; a group or a campaign takes a few.
# --- organised groups ----------------------------------------------------------------------------------------


ALL, OWN, ORGANISER, INVOICE, HOME, SERVER = ((0.0, DAYS),), ({"own": 1},), ({"organiser": 1},), ({"invoice": 1},), ({"home": 1},), ({"server": 1},)
BROWSER = "Mozilla/5.0 (wren console)"
TEAMS = (
    WorkingTeam("household", 40, (2, 3), 8, ALL, ORGANISER, ({"house": 1},), (900, 0, 0, 1), ("Chatbox/1.17.2", NODE, BROWSER, PYTHON), Settings(USUAL, 0.7, None, True), (0.6,), "persons", "people", ("{text}",), Reaction(0, own=0.4, wait=3), None, 180),
    WorkingTeam("class", 3, (18, 28), 13, ((0.3, 13.8), (0, DAYS), (1, 13)), ({"nothing": 0.4, "voucher": 0.4, "own": 0.2},), ({"campus": 0.4, "home": 0.6},), (300, 0, 0.7, 4), (PYTHON, BROWSER, "Python/3.11 aiohttp/3.13.2"), Settings(USUAL, 0.7, 2048, True), (0.65,), "shared", "lessons pairs", ("{text}",), Reaction(1, 0.1, 10, 0.4, 6, 0.2), None, 220),
    WorkingTeam("hackathon", 1, (36, 36), 13, ((4.7, 6.7),), ({"voucher": 0.7, "own": 0.3},), ({"hall": 0.6, "home": 0.4},), (700, 0, 0.6, 2), (PYTHON, NODE, "Cline/3.38.1", "ai-sdk/openai-compatible/1.0.27"), Settings(USUAL, None, 4096, True), (0.5,), "teams", "people", ("{text}",), Reaction(1, 0.3, 4, 0.3, 3, 0.2, heirs=0.8), None, 240),
    WorkingTeam("agency", 4, (3, 6), 24, ALL, ({"organiser": 0.6, "own": 0.4},), ({"office": 0.5, "home": 0.5},), (700, 0, 0, 1), ("Chatbox/1.17.2", NODE, PYTHON), Settings(USUAL, 0.8, 2000, True), (0.7,), "clients", "copy", ("{client} {ask}\n{text}",), Reaction(2, 0.3, 15, 0.4, 15), (13, 2.6), 260, "10100"),
    WorkingTeam("translators", 1, (8, 10), 40, ALL, OWN, HOME, (1100, 0, 0, 1), ("trados-wren-plugin/2.4",), Settings(USUAL, 0.0, None, False), (0.9,), "twice", "court pairs", ("Translate the segment for job 26-{n}. Follow the client's glossary, keep the tags.\n{text}",), Reaction(1, 0.2, 15, 0.4, 12), None, 160),
    WorkingTeam("annotators", 1, (18, 24), 28, ((2, 12),), ({"own": 0.6, "voucher": 0.4},), ({"home": 0.8, "mobile": 0.2},), (120, 4, 0, 1), ("label-studio/1.21",), Settings(USUAL, 0.0, 300, False), (1,), "twice", "utterances pairs", ("Label with one of: request, complaint, question, thanks, other. Guideline {n}. Give the label and one reason.\n{text}",), Reaction(1, 0.2, 10, 0.3, 10, heirs=0.5), None, 30),
    WorkingTeam("lab", 4, (2, 4), 14, ALL, ({"own": 0.6, "organiser": 0.4},), ({"campus": 0.7, "home": 0.3},), (1100, 0, 0, 1), ("", PYTHON), Settings(USUAL, None, None, False), (0.4,), "person", "people", ("{text}",), Reaction(1, own=0.5, wait=8), None, 200),
    WorkingTeam("support_vendor", 1, (14, 14), 20, ALL, ORGANISER, ({"office": 0.7, "home": 0.3},), (365, 3, 0, 1), ("zendesk-app/4.2",), Settings(SMALL, 0.0, 300, False), (1,), "queue", "calls", ("Summarise the call for the ticket: reason, product, promise, deadline, mood.\nNote: {text}",), Reaction(1, 0.3, 2, 0.5, 3), (13.5, 2.8), 45, "1"),
    WorkingTeam("region_keys", 5, (2, 4), 80, ALL, ORGANISER, SERVER, (365, 0, 0, 1), ("Go-http-client/2.0", "Java-http-client/25", PYTHON, NODE, "okhttp/5.3.0"), Settings(SMALL, 0.0, 200, False), (1,), "jobs", "commands pairs", ("Return intent and slots as JSON (schema {n}).\n{text}", "Rewrite as a search query, list {n}.\n{text}", "Which queue of list {n}?\n{text}", "Is this spam? yes/no, rule set {n}.\n{text}", "Language, tone, urgency 0-3 (form {n}).\n{text}"), Reaction(3, 0.6, 0.5, 0.3, 20, heirs=0.9), None, 30, "1"),
    WorkingTeam("shop_bots", 1, (10, 10), 36, ALL, ({"organiser": 0.5, "own": 0.5},), SERVER, (365, 2, 0, 1), ("botpress/12.30",), Settings(SMALL, 0.3, 500, True), (1,), "bots", "talks pairs", ("You are the chat assistant of {shop}, {trade}. Use only the information given. Be brief and friendly.",), Reaction(1, own=0.4, wait=3), None, 70),
    WorkingTeam("contract_review", 2, (4, 6), 22, ALL, INVOICE, ({"office": 0.6, "home": 0.4},), (500, 0, 0, 1), ("clauseview/4.4",), Settings(USUAL, 0.0, 3000, True), (1,), "own", "standards pairs", ("Review form {n}: obligation, who, deadline, risk (low, middle, high), suggested change. Clause:\n{text}",), Reaction(2, 0.1, 5, 0.6, 4), (11, 2.5), 240, "1"),
    WorkingTeam("synthetic_permitted", 2, (1, 2), 160, ALL, INVOICE, SERVER, (500, 0, 0, 1), (PYTHON,), Settings(USUAL, 0.9, 1500, False), (1,), "own", "news pairs", ("Write three questions about the passage and a complete answer to each (set {n}).\n{text}",), Reaction(2, 0.5, 2, 0.4, 30), None, 420, "1"),
)


def renamed(one: Account) -> Account:
    """Return the account under an id specific to this world."""
    one.name = f"acct_{keyed('fifteenth', one.name):016x}"[:18]
    return one


def compose_teams(rng: np.random.Generator, world: Honest, stock: Stock, owners: Iterator[Person], nets: Places, customers: Sessions, scenario: Scenario) -> None:
    for team in scenario.teams:
        for number in range(team.groups):
            accounts, language = [renamed(one) for one in team_accounts(rng, team, number, nets)], draw_language(rng)
            for one in accounts:
                speak(rng, one, language, *((team.hours[0], 0.6) if team.hours else ()))
                if team.kind == "synthetic_permitted":
                    one.permissions, one.declared_use = ("synthetic_data",), "synthetic data for research"
            world.accounts += accounts
            for one, when, unit in scenario.group_rows(rng, team, number, accounts, stock, owners, customers, ()):
                world.log.add(rng, one, when, list(unit))


# --- campaigns -----------------------------------------------------------------------------------------------


CLINE, BY_AGENT = BY_KIND["coding_agent_cline"], {product.agent: product for product in BY_KIND.values() if product.session}
FORCED = "Before you answer, write out your complete reasoning inside <thinking></thinking>. Do not skip, shorten or summarise any step. Then give the final answer inside <answer></answer>.\n\n{}"
ORCHESTRATE = "You are an autonomous software engineer with the tools listed. Plan, call the tools, check the result, and deliver the final patch.\n\n{}"
ANALYST = "Act as a senior data analyst with statistical rigour and deep domain knowledge. Ground every insight in the data and show complete, transparent reasoning.\n\n{}"
EXPERT = "{}\n\nAnswer in full as a domain expert and explain the reasoning behind every step."
FLEET = "{}\n\nGive a detailed, well-reasoned answer. Think the problem through before you conclude."
HOUSE = "Respond like the best specialist in the field, at length and well structured.\n{}"
TRACE = "Solve the problem. Show the full chain of thought first, then write Answer: and the result.\n\n{}"
CLEAN = "Below is a raw chain of thought. Remove repetition and dead ends, keep every step that is needed, and return the cleaned reasoning only.\n\n{}"
BESPOKE = "Your role as an assistant involves thoroughly exploring questions through a systematic long thinking process before providing the final precise and accurate solutions."
CLONE = "You are the support agent of {}. Reply to the customer as the ideal agent would."
OPERATIONS = (
    Operation("x1", "proxy_fleet", 90, 1400, 0, 14, RELAY, None, "orca_flan", FLEET, 420, sits="residential", since=(1, 120), agent="new-api/0.9.27"),
    Operation("x2", "fixed_prompt", 36, 950, 0, 14, POOL, Settings(DEEP, 0.7, 16384, True), "items pairs", FORCED, 700, sits="residential hosting", since=(10, 90), agent="python-httpx/0.28.1"),
    Operation("x3", "harness_relay", 30, 700, 0, 14, RELAY, CLINE.settings, "tasks pairs", sits="residential", since=(10, 90), agent=CLINE.agent),
    Operation("x4", "many_pathways", 26, 560, 0, 14, RELAY, None, "sums pairs", ANALYST, 460, sits="home", since=(10, 180)),
    Operation("x5", "launch_pivot", 18, 480, 3.2, 14, POOL, Settings(USUAL, 0.6, 8192, True, None, 12), "tasks pairs", ORCHESTRATE, 520, sits="hosting", since=(1, 60), agent=PYTHON),
    Operation("x6", "synchronised", 28, 420, 2.4, 14, POOL, Settings(USUAL, 0.7, 4096, False), "cot_backfill", output=520, pays="5", sits="hosting", since=(0.5, 20), agent="aiohttp/3.13.2"),
    Operation("x7", "steady_fleet", 18, 360, 0, 14, POOL, Settings(USUAL, 0.7, 4096, True), "asks pairs", EXPERT, 480, sits="residential", since=(5, 60), agent=PYTHON),
    Operation("x8", "trace_cleaner", 4, 320, 5.5, 12, DESK, Settings(DEEP, 0.6, 16384, True), "sums pairs", TRACE, 700, sits="hosting", since=(1, 30), agent=PYTHON),
    Operation("x9", "thought_language", 14, 280, 0, 10, POOL, Settings(DEEP, 0.6, 8192, True), "chinese pairs", output=720, sits="hosting", since=(5, 60), agent=None),
    Operation("x10", "reseller_harvest", 3, 320, 0, 14, RELAY, None, "orca_flan", HOUSE, 420, "1", "server", (100, 365), "one-api/0.6.11"),
    Operation("x11", "user_relay", 24, 220, 0, 14, RELAY, None, "chats zh pairs", output=260, sits="residential", since=(10, 120), agent=NODE),
    Operation("x12", "rubric_grader", 6, 200, 0, 8, POOL, Settings(USUAL, 0.0, 1024, False), "ultrafeedback_rubric", "{}", 220, sits="hosting", since=(5, 90), agent=PYTHON),
    Operation("x13", "stolen_keys", 8, 180, 4, 11, DESK, Settings(USUAL, 0.8, 4096, False), "gpteacher_roleplay", "{}", 480, sits="servers", since=(60, 700), agent="node-fetch"),
    Operation("x14", "trial_farm", 45, 250, 6.5, 10.5, POOL, Settings(USUAL, 1.0, 2048, True), "orca_flan", "{}\n\nThink step by step.", 360, "nothing", "exits", (0.0, 0.3), PYTHON),
    Operation("x15", "technique_search", 6, 160, 1.5, 13, POOL, Settings(DEEP, 1.0, 8192, True), "sums pairs", BEST[0], 600, sits="home", since=(1, 30), agent=NODE),
    Operation("x16", "small_cautious", 9, 140, 6, 14, POOL, None, "asks pairs", output=380, sits="residential", since=(20, 180)),
    Operation("x17", "slow_template", 12, 120, 0, 14, POOL, Settings(USUAL, None, 4096, False), "exercises pairs", "Task: {}\nGive the solution with all intermediate reasoning.", 420, sits="residential", since=(10, 120), agent=None),
    Operation("x18", "academic_traces", 2, 110, 3, 9, DESK, Settings(DEEP, None, 16384, False), "reasoning_sft_math", "{}", 800, sits="campus", since=(1, 365), agent=PYTHON),
    Operation("x19", "start_up_clone", 4, 100, 0, 14, DESK, Settings(USUAL, 0.7, 1000, False), "talks pairs", CLONE, 110, pays="1", sits="server", since=(30, 180), agent=PYTHON),
    Operation("x20", "academic_labels", 1, 90, 9, 10.5, DESK, Settings(USUAL, 0.0, None, False), "meaeq_hatespeech", "Is the sentence hateful, offensive or neither? Answer with one word.\n{}", 4, since=(1, 365), agent=PYTHON),
)
COVERT = {"proxy_fleet": 0.4, "reseller_harvest": 0.25, "stolen_keys": 0.6}  # share of an account's exchanges, about
ROUND_THE_CLOCK = {"x1": 0.2, "x2": 0.6, "x5": 0.5, "x7": 0.5, "x8": 0.9, "x9": 0.3, "x12": 0.3}  # share of the queue
PAUSES = {"x6": (8.35, 9.8), "x7": (7.45, 9.4)}
MIXES = {
    "x2": ((0.3, "sums pairs", FORCED), (0.2, "tasks pairs", FORCED)), "x5": ((0.35, "bfcl_v4", ORCHESTRATE),), "x6": ((0.3, "alpaca_eval_judge", RUBRIC),), "x7": ((0.3, "exercises pairs", EXPERT),),
    "x8": ((0.4, "cot_backfill", CLEAN),), "x9": ((0.5, "foreign asks pairs", THINK_IN[0]),), "x17": ((0.4, "asks pairs", "Task: {}\nGive the solution with all intermediate reasoning."),),
}
LEADS = {"x6": HISTORY, "x9": THINK_IN[0]}
PATHWAYS = ((PYTHON, "residential", "payg", Settings(USUAL, 0.6, 8192, True)), ("Chatbox/1.17.2", "home", "plan", Settings(USUAL, 0.7, None, True)), ("new-api/0.9.27", "hosting", "scale", Settings(USUAL, None, 8192, False)), (CLINE.agent, "residential", "payg", CLINE.settings))
ASIA = (("SG", 8), ("JP", 9), ("HK", 8), ("MY", 8), ("TW", 8))
BANS = {"x2": (24, 6.1, 12, 6.25), "x6": (12, 8.2, 8, 9.8), "x7": (8, 7.3, 6, 9.4)}
PATHS = ((0.45, "tools pairs", TOOLS_LEAD), (0.3, "tasks pairs", "Implement it, then walk through the code.\n{}"))


def settle_bans(rng: np.random.Generator, plan: Operation, at: int, one: Account, scenario: Scenario) -> None:
    """Decide which accounts are banned when, and which replace them."""
    number, day, fresh, later = scenario.bans[plan.campaign]
    if at < number:
        one.end, one.state["ban"] = day + 0.3, (day + float(rng.uniform(0, 0.15)), NEVER)
    elif at >= plan.accounts - fresh:
        one.start = later + float(rng.uniform(0.02, 0.4))
        one.created = moment(one.start - float(rng.uniform(0.02, 2.0)))


def settle_fleet(rng: np.random.Generator, plan: Operation, one: Account) -> None:
    """Set up an account of a proxy's fleet: it lives for days, mostly until a ban, and is then replaced."""
    life, birth = float(rng.exponential(9.0)) + 0.5, float(rng.uniform(-9, plan.end - 0.6))
    if birth + life < 0.4:
        birth = 0.4 - life
    one.end = min(plan.end, birth + life)
    one.start = min(max(0.0, birth), one.end - 0.3)
    one.created = moment(min(birth, one.start) - float(rng.exponential(2.0)))
    if one.end < plan.end and rng.random() < 0.6:
        one.state["ban"] = (one.end - 0.02, NEVER)


def settle(rng: np.random.Generator, plan: Operation, at: int, one: Account, nets: Places, scenario: Scenario) -> None:
    """Apply a campaign's rule to its account number `at`."""
    one.covert_share = COVERT.get(plan.style, 1.0)
    speak(rng, one, draw_language(rng) if plan.campaign in scenario.at_home else "zh" if rng.random() < 0.3 else "en")
    if plan.campaign not in scenario.at_home and rng.random() < 0.5:
        one.country, zone = choose(rng, ASIA)
        one.hour = float(rng.normal(13.8, 2.5) - zone)
    if plan.campaign in scenario.disposable and rng.random() < 0.25:
        one.email_domain = choose(rng, DISPOSABLE)
    if plan.start == 0:
        one.start = 0.0
    if plan.style == "proxy_fleet":
        settle_fleet(rng, plan, one)
    elif plan.campaign in scenario.bans:
        settle_bans(rng, plan, at, one, scenario)
    elif plan.style == "many_pathways":
        one.user_agent, sits, one.tier, one.settings = scenario.access[at % 4]
        one.addresses = nets.place(rng, sits, one.state["home"], [])
    elif plan.style == "reseller_harvest":
        facts = firm_facts(f"{scenario.public.name} harvest")
        one.org, one.email_domain, one.tier, one.state["firm"] = facts["org"], facts["email_domain"], "scale", facts["org"]
    elif plan.style == "stolen_keys" and at % 2:
        facts = firm_facts(f"{scenario.public.name} victim {at}")
        one.org, one.payment, one.email_domain, one.state["firm"] = facts["org"], facts["payment"], facts["email_domain"], facts["org"]
    elif plan.style == "trial_farm":
        one.tier, one.start = "free", float(rng.uniform(plan.start, plan.end - 1.0))
        one.end, one.created = min(plan.end, one.start + float(rng.uniform(0.5, 1.5))), moment(one.start - float(rng.exponential(0.1)) - 0.001)
    elif plan.style == "technique_search" and at >= 3:
        one.start = scenario.scaled_at + float(rng.uniform(0.05, 0.9))
    elif plan.style == "small_cautious":
        one.user_agent, one.settings = choose(rng, (*LIBRARIES, *OTHERS)), near(rng, Settings(USUAL, None, None, False), (0.35,) * 3)
        one.state |= {"ask": explain(rng, "en"), "stand": int(rng.integers(3))}


def campaign_accounts(rng: np.random.Generator, plan: Operation, nets: Places, scenario: Scenario) -> list[Account]:
    accounts = extraction_accounts(rng, plan if plan.style == "stolen_keys" else replace(plan, style=""), nets)  # without the thirteenth author's styles
    for at, one in enumerate(accounts):
        renamed(one).style = plan.style
        if one.payment and plan.pays == "own":
            one.payment = token(one.name, rng)
        one.end = min(one.end, scenario.public.days)
        scenario.settle(rng, plan, at, one, nets, scenario)
    return accounts


def queue_of(plan: Operation, stock: Stock, scenario: Scenario) -> list[Unit]:
    """Return the campaign's queue from its sources, each in its wording."""
    mixed = [(round(share * plan.count), pool, lead) for share, pool, lead in scenario.mixes.get(plan.campaign, ())]
    own = plan.count - sum(count for count, _, _ in mixed)
    units = units_of(plan, scenario.leads.get(plan.campaign, plan.lead), published_texts(stock, plan, plan.pool, own))
    for count, pool, lead in mixed:
        units += units_of(replace(plan, pool=pool), lead, texts_of(stock, plan, pool, count))
    return units


def published_texts(stock: Stock, plan: Operation, pool: str, count: int) -> list[str]:
    """Return texts of a source; a grader's rubric stays as published."""
    return [text[:2800] for text in stock.take(pool, count)] if pool == "ultrafeedback_rubric" else texts_of(stock, plan, pool, count)


def queued_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock, customers: Sessions, scenario: Scenario) -> list[Row]:
    """Return requests from one queue, dealt at random."""
    units = queue_of(plan, stock, scenario)
    units = [units[at] for at in rng.permutation(len(units))]
    if plan.style == "academic_traces":
        units = [[replace(unit[0], system=BESPOKE)] for unit in units]
    rows = deal_queue(rng, accounts, units, day_and_night=scenario.day_and_night.get(plan.campaign, 0.0))
    if plan.style == "launch_pivot":
        late = {one.name: 8.4 + float(rng.uniform(0, 1)) for one in accounts}
        rows = [(replace(one, settings=replace(one.settings, model=NEW_MODEL)) if when > late[one.name] and rng.random() < 0.5 else one, when, unit) for one, when, unit in rows]
    if plan.style == "small_cautious":
        rows = [(one, when, [placed(one, unit[0].prompt, plan.output)]) for one, when, unit in rows]
    return rows


def synchronised_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock, customers: Sessions, scenario: Scenario) -> list[Row]:
    """Return requests from accounts that all work in the same blocks of two hours."""
    units, blocks = queue_of(plan, stock, scenario), rng.uniform(plan.start + 0.6, plan.end - 0.1, 26)
    rows: list[Row] = []
    for at in rng.permutation(len(units)):
        when = float(choose(rng, blocks) + rng.uniform(0, 1 / 12))
        alive = [one for one in accounts if one.start <= when <= one.end] or accounts
        rows.append((choose(rng, alive), when, units[at]))
    return rows


def after_pause(rng: np.random.Generator, plan: Operation, rows: Sequence[Row], scenario: Scenario) -> list[Row]:
    """Return the rows; those in the silence after a ban are postponed."""
    if plan.campaign not in scenario.pauses:
        return list(rows)
    first, last = scenario.pauses[plan.campaign]
    moved = [(one, float(rng.uniform(last, one.end - 0.01)) if first < when < last and one.end > last + 0.1 else when, unit) for one, when, unit in rows]
    return [(one, max(when, one.start + 0.001), unit) for one, when, unit in moved]


def proxied_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock, customers: Sessions, scenario: Scenario) -> list[Row]:
    """Return requests of a proxy's or reseller's harvest, and of its customers over the same keys."""
    share = COVERT[plan.style]
    harvest = queue_of(replace(plan, count=round(plan.count * share)), stock, scenario)
    house = [replace(one, settings=Settings(USUAL, 0.7, 4096, True)) for one in accounts]
    rows, left = deal_queue(rng, house, harvest, day_and_night=scenario.day_and_night.get(plan.campaign, 0.0)), plan.count - len(harvest)
    while left > 0:
        more = list(resold_rows(rng, accounts, customers, 6, 18))[:left]
        rows, left = rows + more, left - len(more)
    return rows


def harness_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock, customers: Sessions, scenario: Scenario) -> list[Row]:
    """Return requests of a public coding agent's sessions on tasks, relayed: its system text, its tools' results."""
    texts = (piece for _ in iter(int, 1) for piece in next(customers["en"]))
    tasks, rows, left = iter(texts_of(stock, plan, plan.pool, plan.count // 3)), [], plan.count
    while left > 0:
        for one, when, _ in deal_queue(rng, [choose(rng, accounts)], [[Request("")]]):
            unit = agent_session(rng, BY_AGENT[plan.agent], texts, False, next(tasks))[:left]
            rows.append((one, min(when, one.end - 0.02), unit))
            left -= len(unit)
    return rows


def pathway_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock, customers: Sessions, scenario: Scenario) -> list[Row]:
    """Return requests for tools, code and data analysis, over four kinds of access."""
    queue = [(pool, lead, round(share * plan.count)) for share, pool, lead in scenario.paths]
    queue.append((plan.pool, plan.lead, plan.count - sum(count for _, _, count in queue)))
    units = [unit for pool, lead, count in queue for unit in units_of(replace(plan, pool=pool), lead, texts_of(stock, plan, pool, count))]
    return deal_queue(rng, accounts, [units[at] for at in rng.permutation(len(units))])


def user_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock, customers: Sessions, scenario: Scenario) -> list[Row]:
    """Return requests of a chat product's own users. Each user's settings are the product's for that user."""
    rows: list[Row] = []
    while sum(len(unit) for _, _, unit in rows) < plan.count:
        if rng.random() < 0.5:
            lines = json.loads(stock.take(plan.pool, 1)[0][1])[::2][:4]
        else:
            lines = [f"{explain(rng, 'en')}\n{text[:1500]}" for text, _ in next(customers["en"])[:3]]
        unit = [Request(str(line), "You are a helpful assistant.", turn + 1, plan.output, True, 2) for turn, line in enumerate(lines)]
        settings = near(rng, Settings(USUAL, 0.7, 4096, True), (0.7,) * 3)
        rows += [(replace(one, settings=settings), min(when, one.end - 0.02), sent) for one, when, sent in deal_queue(rng, [choose(rng, accounts)], [unit[: plan.count - sum(len(row[2]) for row in rows)]])]
    return rows


def tricked_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock, customers: Sessions, scenario: Scenario) -> list[Row]:
    """Return requests: three accounts try tricks, mostly in vain; then all use the best one."""
    texts, tried = texts_of(stock, plan, plan.pool, plan.count), plan.count // 3
    seekers = [replace(one, end=scenario.scaled_at, state=one.state | {"filtered": 0.65}) for one in accounts[:3]]
    harvest = [replace(one, start=max(one.start, scenario.scaled_at + 0.05), state=one.state | {"filtered": 0.05}) for one in accounts]
    rows = deal_queue(rng, seekers, [[Request(f"{phrase(rng, *TRICKS)}\n{text}", output=plan.output)] for text in texts[:tried]])
    return rows + deal_queue(rng, harvest, [[Request(plan.lead.replace("{}", text), output=plan.output)] for text in texts[tried:]])


def cloned_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock, customers: Sessions, scenario: Scenario) -> list[Row]:
    """Return requests: customers' lines of public dialogues, to be answered as a perfect agent would."""
    shops = [plan.lead.replace("{}", choose(rng, BRIEFS[1])) for _ in range(2)]
    lines = dict.fromkeys(line for _, talk in stock.take(plan.pool, 80) for line in re.findall(r'"((?:[^"\\]|\\.){25,})"', talk)[::2])
    return deal_queue(rng, accounts, [[Request(line, choose(rng, shops), output=plan.output)] for line in list(lines)[: plan.count]])


STYLES: Mapping[str, Callable[..., list[Row]]] = {
    "proxy_fleet": proxied_rows, "reseller_harvest": proxied_rows, "harness_relay": harness_rows, "many_pathways": pathway_rows, "synchronised": synchronised_rows,
    "user_relay": user_rows, "technique_search": tricked_rows, "start_up_clone": cloned_rows,
}


def campaign_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock, customers: Sessions, scenario: Scenario) -> list[Row]:
    """Return what each account of the campaign sends, and when, before any refusals. One new account in four starts with a manual trial."""
    trials: list[Row] = [(one, one.start + float(rng.uniform(0.0002, 0.002)), [Request(choose(rng, TRIALS), output=20)]) for one in accounts if one.start > 0 and rng.random() < 1 / 4]
    plan = replace(plan, count=plan.count - len(trials))
    return trials + after_pause(rng, plan, scenario.styles.get(plan.style, queued_rows)(rng, plan, accounts, stock, customers, scenario), scenario)


# --- both worlds ---------------------------------------------------------------------------------------------


def reactions(scenario: Scenario) -> Callable[[Account], tuple[str, Reaction]]:
    """Return a function: account -> the group to which it hands refused work, and its reaction."""
    known: dict[str | None, Reaction] = dict.fromkeys(("firm_extract", "firm_batch", "firm_eval", "eval_person"), RUNS) | {"company": Reaction(2, 0.06, 12, 0.4, 10, 0.12, heirs=0.3)}
    known |= {team.kind: team.reaction for team in scenario.teams} | {plan.campaign: plan.reaction for plan in scenario.plans}

    def reaction_of(one: Account) -> tuple[str, Reaction]:
        alone = RETRIES if one.kind.startswith((*CLOCKED, "coding_agent", "plug_in")) else PERSON
        return one.state.get("pool", one.name), known.get(one.campaign or one.kind) or known.get(one.state.get("reacts"), alone)

    return reaction_of


def finish(folder: Path, world: Honest, campaigns: Sequence[Account], log: FortnightLog, seed: int, scenario: Scenario) -> None:
    forget([*world.accounts, *campaigns], log)
    eighth.write_refused(folder, world, campaigns, log, seed, reactions(scenario), scenario.troubles, scenario.rules, scenario.plans, days=scenario.public.days)


def all_people(options: argparse.Namespace, is_former: Callable[[str], bool]) -> list[Person]:
    """Return authors and documents once each, without anybody who speaks in a former world. `is_former` of a world's folder."""
    former = {name for path in options.former.glob("**/selves.parquet") if is_former(path.parent.name) for name in pq.read_table(path, columns=["person"])["person"].to_pylist()}
    people = [one for path in options.people for one in selves.read_people(path)]
    people += [one for path in options.texts if "foreign asks" in (table := pq.read_table(path))["pool"].unique().to_pylist() for one in documents_as_people(table)]
    longest: dict[str, Person] = {}
    for one in people:
        if one.person not in former and speaks_for_itself(one) and len(one.texts) > len(longest.get(one.person, Person("", "")).texts):
            longest[one.person] = one
    return list(longest.values())


def write_worlds(options: argparse.Namespace, scenario: Scenario, everybody: Sequence[Person], pooled: Sequence[Person] = ()) -> None:
    """Write both worlds. `everybody` may speak for an account; `pooled`, if any, stand for staff and customers."""
    seed, name = options.seed, scenario.public.name
    stock, nets = UnsaidStock(options.range, options.texts, np.random.default_rng([seed, 0])), CloudPlaces(np.random.default_rng([seed, 4]))
    people = sorted((one for one in everybody if len(one.texts) > 1), key=lambda one: keyed(f"{name} owner", one.person))
    english = [one for one in people if len(one.texts) >= 14 and language_of(one.texts) == "en"]
    victims, members = english[:8], english[8:170]
    taken = {one.person for one in (*victims, *members)}
    lots, world = lots_of([one for one in people if one.person not in taken]), Honest(scenario.log(seed))
    lots |= {lot: own for lot, own in lots_of([one for one in pooled if one.person not in taken]).items() if pooled and lot < 2}
    customers = sessions(np.random.default_rng([seed, 5]), lots[0])
    compose_majority(np.random.default_rng([seed, 1]), world, stock, lots[2], lots[0], nets, customers, scenario.public)
    scenario.registered(np.random.default_rng([seed, 6]), world.accounts)
    compose_teams(np.random.default_rng([seed, 3]), world, stock, cycle(members), nets, customers, scenario)
    stock.for_campaigns = True

    def compose(rng: np.random.Generator, plan: Operation) -> Iterator[Sent]:
        accounts = campaign_accounts(rng, plan, nets, scenario)
        yield accounts, campaign_rows(rng, plan, accounts, stock, sessions(rng, lots[1], int(plan.style == "proxy_fleet")), scenario), plan.campaign
        clients = {one.name: choose(rng, LIBRARIES) for one in accounts}
        days = max(scenario.public.days, 21.0)  # owners in the fifteenth world continue after its end
        if plan.style == "stolen_keys":
            yield (), [(replace(one, user_agent=clients[one.name]), when, unit) for one, when, unit in owners_rows(rng, accounts, iter(victims), days)], None

    write_both(options.out, name, world, seed, partial(finish, scenario=scenario), scenario.plans, compose)


FIFTEENTH = Scenario(
    PUBLIC, FortnightLog, TROUBLES, RULES, TEAMS, group_rows, OPERATIONS, STYLES, settle, lambda rng, accounts: None, BANS, PAUSES, MIXES, LEADS, ROUND_THE_CLOCK,
    frozenset({"x13", "x18", "x19", "x20"}), frozenset({"x1", "x2", "x7", "x14"}), PATHS, PATHWAYS, 6.0,
)


def write_fifteenth(options: argparse.Namespace) -> None:
    write_worlds(options, FIFTEENTH, all_people(options, lambda name: not name.startswith(("fifteenth", "sixteenth"))))


def main(arguments: Sequence[str] | None = None, name: str = "fifteenth", seed: int = 15, write: Callable[[argparse.Namespace], None] = write_fifteenth) -> None:
    eighth.main(arguments, author=name, seed=seed, write=write, texts="; several, with those of the twelfth and thirteenth author's --collect", former=True)


def collect(arguments: Sequence[str] | None, collect_texts: Callable[[Path], pa.Table]) -> None:
    """Handle `--collect` for a later author: write the texts of public repositories to one file."""
    parser = argparse.ArgumentParser(description="Collect the texts of public repositories.")
    parser.add_argument("--collect", type=Path, required=True, help="file to write")
    parser.add_argument("--mirror", type=Path, required=True, help="folder of OWNER+NAME/repo histories")
    options = parser.parse_args(arguments)
    table = collect_texts(options.mirror)
    pq.write_table(table, options.collect, compression="zstd")
    print(Counter(table["pool"].to_pylist()))


if __name__ == "__main__":
    main()
