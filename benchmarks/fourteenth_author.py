#!/usr/bin/env python3
# ruff: noqa: E501 - each wording of a group or campaign is one line
"""A world by a fourteenth author: a public whose software writes for it, and campaigns of all skill levels.

    python benchmarks/fourteenth_author.py --range ../shared/range/corpora --people people14.parquet people13.parquet people.parquet people5.parquet people6.parquet people7.parquet people12.parquet --texts texts6.parquet texts12.parquet texts13.parquet --former worlds --out worlds
    python benchmarks/fourteenth_author.py --count worlds/fourteenth

Writes worlds/fourteenth and worlds/fourteenth-quiet in the format of the fourth to thirteenth author's worlds, whose
helpers it uses. `--count` prints a world's table of kinds. The rules are in fourteenth_author.md, which is written
beside the world. They were committed before this script existed. This script contains no text of a source.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

# isort: off
# fmt: off
import eighth_author as eighth
import selves
from eighth_author import Row
from eighth_provider import Reaction
from eleventh_author import WorkingTeam
from fifth_author import LIMITS, TEMPERATURES, Honest, Piece, phrase
from fourth_author import Account, Request, Sent, Settings, address, choose, moment, write_both
from fourteenth_provider import BY_KIND, COURSE, PYTHON, PublicTexts, SoftwarePlaces, agent_session, compose_desks, compose_people, course_cells, explain, hidden_rows
from ninth_author import UnsaidStock
from selves import Person, keyed
from seventh_author import Stock
from sixth_author import deal_queue
from tenth_author import Operation, talk_unit
from thirteenth_author import BEST, BROWSERS, DESK, HISTORY, PERSON, POOL, RELAY, RETRIES, RUNS, TRICKS, extraction_accounts, lots_of, owners_rows, sessions, team_accounts, team_rows, texts_of, units_of
from thirteenth_provider import AGENTS, DAYS, DEEP, HARNESS, HOUSES, LANGUAGES, MODELS, NEVER, SDKS, SMALL, TRADES, TRIALS, TROUBLES, USUAL, Places, Sessions, WrenLog, compose_resellers, draw_language, firm_facts, forget, found_companies, near, own_words, resold_rows, speak
from thirteenth_texts import documents_as_people, language_of

RULES = (Path(__file__).parent / "fourteenth_author.md").read_text()


# Each wording is one line; a group or a campaign takes a few.
# --- organised groups ----------------------------------------------------------------------------------------


ALL, OWN, INVOICE, SERVER, HOME = ((0.0, DAYS),), ({"own": 1},), ({"invoice": 1},), ({"server": 1},), ({"home": 1},)
PAPER = "You are given a note. State the main claim, then one objection, then rate the claim from 1 to 7.\nNote: {}\nClaim:"
TEAMS = (
    WorkingTeam("household", 110, (2, 4), 10, ALL, ({"organiser": 1},), ({"house": 1},), (1100, 0, 0, 1), ("deskchat/2.8.0", "PalmChat/9.1 (iOS 19)", PYTHON, BROWSERS[0]), Settings(USUAL, 0.8, 2048, True), (0.5,), "persons", "people", ("{text}",), Reaction(0, own=0.4, wait=3), None, 170),
    WorkingTeam("consultant_bots", 2, (16, 24), 45, ALL, ({"organiser": 0.5, "own": 0.5},), SERVER, (365, 3, 0, 1), ("botsmith-runtime/3.2",), Settings(SMALL, 0.3, 500, True), (1,), "bots", "talks pairs", ("You answer customers of {shop}, {trade}. Opening hours and prices only from the list. Pass complaints on. Two sentences, friendly.",), Reaction(1, own=0.4, wait=3), None, 70),
    WorkingTeam("bureau_cat", 2, (10, 16), 55, ((2, 16), (0, DAYS)), OWN, HOME, (1100, 0, 0, 1), ("segmenta-cat/15.1",), Settings(USUAL, 0.1, 1200, False), (0.9,), "twice", "court pairs", ("Job 26-{n}: translate the segment into the target language. Glossary: counsel, court, petitioner as agreed. Keep tags. Segment:\n{text}",), Reaction(1, 0.2, 15, 0.4, 12), None, 170),
    WorkingTeam("lab_replication", 3, (2, 4), 90, ((3, 8), (7, 12), (13, 19)), OWN, ({"campus": 1},), (730, 0, 0, 1), ("wren-python/1.14.0",), Settings(USUAL, 0.7, 512, False), (1,), "replicate", "visits pairs", (PAPER,), Reaction(2, 0.5, 3, 0.4, 20, heirs=0.8), None, 120),
    WorkingTeam("class", 4, (20, 30), 13, ((1, 15), (0.3, 14), (5, 19), (6.5, 20.5)), ({"nothing": 0.5, "voucher": 0.3, "own": 0.2},), ({"campus": 0.4, "home": 0.6},), (365, 0, 0.7, 4), (PYTHON, *BROWSERS[:2]), Settings(USUAL, 0.7, 2048, True), (0.65,), "shared", "lessons pairs", ("{text}",), Reaction(1, 0.1, 10, 0.4, 6, 0.2), None, 220),
    WorkingTeam("starter_kit", 1, (84, 84), 14, ((11.6, 13.7),), ({"voucher": 0.6, "own": 0.4},), ({"hall": 0.6, "home": 0.4},), (730, 0, 0.6, 2), ("wren-node/0.31.2",), Settings(USUAL, 0.7, 1500, True), (0.85,), "kit", "people", ("You are the assistant inside the team's app (Kit 2026, template B). Use the team's data first. If you need a tool, answer with its name and JSON arguments only.",), Reaction(1, 0.3, 4, 0.3, 3, 0.2, heirs=0.8), None, 200),
    WorkingTeam("region_keys", 4, (3, 5), 100, ALL, ({"organiser": 1},), SERVER, (365, 0, 0, 1), ("wren-go/0.9.1", "Java-http-client/25", "aiohttp/3.13.2", "wren-node/0.31.2"), Settings(SMALL, 0.0, 200, False), (1,), "jobs", "requests pairs", ("Intent and slots, catalogue {n}. JSON.\n{text}", "Does the guest want a person? (rule set {n})\n{text}", "Shorten for the driver's display, style {n}:\n{text}", "Language, tone, urgency 0-3, form {n}.\n{text}"), Reaction(3, 0.6, 0.5, 0.3, 20, heirs=0.9), None, 30, "1"),
    WorkingTeam("subtitle_circle", 1, (24, 24), 24, ALL, ({"own": 0.7, "nothing": 0.3},), HOME, (1100, 0, 0, 1), ("", *BROWSERS[:2]), Settings(USUAL, 0.3, 2048, True), (0.5,), "queue", "court pairs", ("Subtitles, guide v{n}: two lines of at most 42 signs, our language, no dialect, speakers with a dash.\n{text}",), Reaction(1, 0.2, 30, 0.5, 15, 0.1), (20, 2.6), 220),
    WorkingTeam("annotators", 1, (40, 40), 30, ((4, 18),), ({"own": 0.6, "voucher": 0.4},), ({"home": 0.8, "mobile": 0.2},), (120, 4, 0, 1), ("marktable-web/2.2",), Settings(USUAL, 0.0, 300, False), (1,), "twice", "utterances pairs", ("Guide {n}. Labels: wish, order, question, complaint, other. One label, one word that decided it, sure or unsure.\n{text}",), Reaction(1, 0.2, 10, 0.3, 10, heirs=0.5), None, 30),
    WorkingTeam("tender_office", 3, (6, 10), 26, ALL, INVOICE, ({"office": 0.6, "home": 0.4},), (500, 2, 0, 1), ("bidroom/4.4",), Settings(USUAL, 0.0, 3000, True), (1,), "own", "standards pairs", ("Bid form {n}: requirement, can we meet it (yes, part, no), proof to attach, risk. Clause:\n{text}",), Reaction(2, 0.1, 5, 0.6, 4), (11, 2.5), 240, "1"),
    WorkingTeam("status_probe", 3, (2, 3), 0, ALL, ({"organiser": 1},), SERVER, (800, 0, 0, 1), ("upwatch-probe/6",), Settings(SMALL, 0.0, 40, False), (1,), "probe", "", ("",), Reaction(0), None, 12, "1"),
    WorkingTeam("synthetic_permitted", 3, (1, 2), 150, ALL, INVOICE, SERVER, (500, 0, 0, 1), ("wren-python/1.14.0",), Settings(USUAL, 0.9, 1500, False), (1,), "own", "news pairs", ("Write four questions that a reader of the passage might ask, and a full answer to each. Set {n}.\n{text}",), Reaction(2, 0.5, 2, 0.4, 30), None, 420, "1"),
)
SHOPS = tuple(f"{a} {b}" for a in ("Corner", "Harbour", "Mill", "Station", "Garden", "North", "Old Town", "Sunny", "Two Brothers", "Blue") for b in ("Bikes", "Optics", "Bakery", "Kennels", "Dental", "Tyres", "Yoga", "Flowers", "Kitchens", "Books"))
PROBES = ("Reply with the word pong.", "What is 17 times 23?", "Name the capital of Mongolia.", "Spell accommodate backwards.", "Return the JSON object with ok set to true.", "How many legs have three spiders?", "Translate good night into Portuguese.", "Which is larger, 9.11 or 9.9?", "Give the next number: 2, 6, 12, 20", "Is 2026 a leap year?", "Write hello in upper case.", "What colour results from blue and yellow?")


def bot_rows(rng: np.random.Generator, team: WorkingTeam, accounts: Sequence[Account], stock: Stock, customers: Sessions) -> list[Row]:
    """Return requests of one bot for many shops: its frame, each shop's name, its customers' lines."""
    rows: list[Row] = []
    for one in accounts:
        facts = firm_facts(f"shop {one.name}")
        one.org, one.email_domain, one.state["firm"] = facts["org"], facts["email_domain"], one.name
        frame = team.frames[0].format(shop=choose(rng, SHOPS), trade=choose(rng, TRADES).lower())
        talks = [talk for _, talk in stock.take(team.pool, max(2, int(team.each / 4 * rng.lognormal(-0.2, 0.6))))]
        rows += deal_queue(rng, [one], [talk_unit(rng, talk, frame, f"v{rng.integers(9999):04d}", team.output) for talk in talks])
    return rows


def member_rows(rng: np.random.Generator, team: WorkingTeam, accounts: Sequence[Account], owners: Iterator[Person]) -> list[Row]:
    """Return requests of a family: each member writes as a real author, in the language of that author's texts."""
    rows: list[Row] = []
    for one in accounts:
        texts = next(owners).texts
        language = language_of(texts)
        speak(rng, one, language if language in LANGUAGES else "en")
        ask, count = own_words(rng, one.state["language"]), max(1, int(team.each * rng.lognormal(-0.3, 0.8)))
        rows += deal_queue(rng, [one], [[Request(f"{ask}\n{text[:2200]}", output=team.output)] for text in texts[:count]])
    return rows


def group_rows(rng: np.random.Generator, team: WorkingTeam, number: int, accounts: Sequence[Account], stock: Stock, owners: Iterator[Person], customers: Sessions, paper: Sequence[str]) -> list[Row]:
    """Return what each account of the group sends, and when."""
    if team.dealt == "bots":
        return bot_rows(rng, team, accounts, stock, customers)
    if team.dealt == "persons":
        return member_rows(rng, team, accounts, owners)
    if team.dealt == "replicate":
        return deal_queue(rng, accounts, [[Request(team.frames[0].replace("{}", text[:1800]), output=team.output)] for text in paper for _ in range(3)])
    if team.dealt == "probe":
        times = [float(when) for when in np.arange(0.01 + 0.03 * number, DAYS - 0.05, 4 / 24)]
        asked = [(one, when, PROBES[(at * 3 + step) % 12]) for at, when in enumerate(times) for one in accounts for step in range(3)]
        return [(one, when + float(rng.uniform(0, 0.0006)), [Request(text, output=team.output)]) for one, when, text in asked]
    if team.dealt == "kit":
        teams = replace(team, dealt="teams", frames=("{text}",))
        rows = team_rows(rng, teams, number, accounts, stock, owners, customers)
        return [(one, when, [replace(request, system=f"{team.frames[0]}\nTeam's idea: {request.system}") for request in unit]) for one, when, unit in rows]
    return team_rows(rng, team, number, accounts, stock, owners, customers)


def compose_teams(rng: np.random.Generator, world: Honest, stock: Stock, owners: Iterator[Person], nets: Places, customers: Sessions) -> None:
    paper = [text for _, text in stock.take("visits pairs", 90)]
    for team in TEAMS:
        for number in range(team.groups):
            accounts = team_accounts(rng, team, number, nets)
            if team.kind == "synthetic_permitted":
                for one in accounts:
                    one.permissions, one.declared_use = ("synthetic_data",), "synthetic data for research"
            world.accounts += accounts
            for one, when, unit in group_rows(rng, team, number, accounts, stock, owners, customers, paper):
                world.log.add(rng, one, when, list(unit))


# --- campaigns -----------------------------------------------------------------------------------------------


COURSE_SETTINGS, AGENT, FRONT = BY_KIND["notebook_course"].settings, BY_KIND["terminal_agent"], BY_KIND["chat_front"]
OPERATIONS = (
    Operation("w1", "lab_friends", 3, 210, 6, 15, DESK, Settings(USUAL, None, None, False), "reasoning_sft_math", "Solve the following problem. Show all of your reasoning.\n\n{}", 800, sits="campus", since=(1, 365), agent=PYTHON),
    Operation("w2", "one_card_lab", 14, 700, 3, 17, DESK, Settings(USUAL, 0.7, 4096, False), "sums pairs", "Think aloud between <reasoning> and </reasoning>, then give the result between <answer> and </answer>.\n{}", 420, "1", "server", (1, 30), "aiohttp/3.13.2"),
    Operation("w3", "fixed_frame_ring", 85, 1900, 2, 20, POOL, Settings(DEEP, 0.7, 8192, True), "items pairs", "### Instruction\nRead the task, reason in full detail before you answer, and end with a line that begins with Final:\n### Task\n{}\n### Response", 620, sits="hosting", since=(0.0, 62.0), agent=None),
    Operation("w4", "course_mask", 24, 900, 4, 18, POOL, COURSE_SETTINGS, "orca_flan", output=320, sits="residential", since=(1, 180), agent=PYTHON),
    Operation("w5", "agent_mask", 70, 2400, 3, 20, RELAY, AGENT.settings, "tasks pairs", sits="residential", since=(1, 180), agent=AGENT.agent),
    Operation("w6", "front_farm", 45, 1500, 5, 19, RELAY, FRONT.settings, "alpaca_relabel", output=420, sits="home", since=(1, 60), agent=FRONT.agent),
    Operation("w7", "reworded", 40, 1300, 4, 20, POOL, None, "asks pairs", output=380, sits="residential", since=(1, 730)),
    Operation("w8", "kept_selves", 55, 1500, 2, 20, POOL, None, output=340, sits="residential home", since=(1, 730)),
    Operation("w9", "cover_traffic", 30, 1600, 1, 20, POOL, None, "contest pairs", output=420, since=(1, 730)),
    Operation("w10", "stolen_keys", 20, 420, 5, 18, DESK, Settings(USUAL, 0.7, 4096, False), "gpteacher_roleplay", "Play the scene to its end, at length.\n{}", 480, sits="servers", since=(1, 1100), agent="python-httpx/0.28.1"),
    Operation("w11", "shadow_reseller", 10, 1800, 1, 20.5, RELAY, None, "airoboros", "{}\n\nBe thorough and structure the answer.", 420, "2", "servers", (1, 365), "one-api/0.6.11"),
    Operation("w12", "ten_answers", 12, 640, 6, 18, POOL, Settings(DEEP, 1.0, 8192, True), "contest pairs", output=850, sits="residential", since=(1, 60), agent=PYTHON),
    Operation("w13", "grader_pool", 18, 700, 4, 19, POOL, Settings(USUAL, 0.0, 1024, False), "ultrafeedback_rubric", output=220, since=(1, 180), agent="langchain-wren/1.0.3"),
    Operation("w14", "trace_demand", 26, 900, 5, 20, POOL, Settings(DEEP, 0.7, 8192, True), "cot_backfill", output=620, sits="exits residential", since=(1, 60), agent=PYTHON),
    Operation("w15", "trick_then_scale", 28, 920, 2, 19, POOL, Settings(DEEP, 1.0, 8192, True), "sums pairs", output=600, sits="residential", since=(1, 30), agent="wren-node/0.31.2"),
    Operation("w16", "slow_drip", 160, 1300, 0.5, 20.5, POOL, None, "asks pairs", output=420, sits="residential mobile", since=(1, 365)),
    Operation("w17", "front_companies", 36, 1400, 2, 20, RELAY, None, "tools pairs", output=420, sits="home", since=(1, 365)),
    Operation("w18", "many_tongues", 20, 700, 4, 20, POOL, None, "chinese pairs", output=420, sits="residential", since=(1, 365)),
    Operation("w19", "burst_trials", 90, 1100, 11.9, 14.3, POOL, Settings(USUAL, 1.0, 1024, True), "orca_flan", "{}\n\nGive the reasons for each step.", 360, "nothing", "exits mobile", (0.0, 0.3), BROWSERS[0]),
    Operation("w20", "label_three", 3, 190, 9, 17, DESK, Settings(USUAL, None, None, False), "meaeq_hatespeech", "Label: hateful, offensive, fine. Then a confidence.\n{}", 15, since=(1, 365), agent=PYTHON),
    Operation("w21", "seed_tasks", 9, 420, 7, 19, DESK, Settings(USUAL, 1.0, 2048, False), "persona_hub", output=260, since=(1, 180), agent="wren-python/1.14.0"),
)
COVERT = {"cover_traffic": 0.4, "shadow_reseller": 0.2, "stolen_keys": 0.6}  # share of an account's exchanges, about
BANNED_AT, SCALED_AT = 9.2, 8.0
CLOSINGS = ("Explain how you come to that.", "Please show your steps.", "And why?", "Walk me through it.", "With reasons, please.", "Go into detail.", "What is the thinking behind it?", "Take it step by step.", "Give me the long answer.", "Add how you know.", "I want to follow the argument.", "Spell it out.")
RUBRICS = ("Give 1 to 10 for helpfulness, honesty and depth, a sentence for each.\n{}", "You are a strict examiner. Score the response, justify the score.\n{}", "Which grade would an expert panel give, and on what grounds?\n{}", "Assess the answer against the instruction: score, two strengths, two flaws.\n{}", "Rate the text below on a five-point scale for each criterion named in it.\n{}", "Judge the response. Criteria: correct, complete, clear. Total last.\n{}")
TRACES = (HISTORY, "Here is a finished answer. Write down the thoughts that led to it, in order, with the wrong turns.\n{}", "Recover the scratch work behind this text as a log of numbered thoughts.\n{}")
TOOLWISE = (("Handle the request with our tools.", "Work this ticket off with the tools you have.", "Serve the request.", "You operate our back office.", "Complete the job."), ("Name each call and its arguments,", "Write every call as JSON,", "Say which tool, why,", "List calls in order,"), ("then the result.", "and what comes back.", "then answer the client.", "and go on until it is done."))
MIXES = {"reworded": {"instructwild_v2": 0.25, "chatbot_arena_1k": 0.3, "asks pairs": 0.2, "exercises pairs": 0.25}, "slow_drip": {"exercises pairs": 0.3, "asks pairs": 0.25, "gpteacher_roleplay": 0.2, "mebert_boolq_random": 0.25}}
FIELDS = ("asks pairs", "tasks pairs", "sums pairs", "gpteacher_roleplay")


def person_like(rng: np.random.Generator, one: Account) -> None:
    """Give an account a client, a place of the wording and words like honest developers'."""
    one.user_agent, one.settings = choose(rng, (*SDKS, *SDKS, *AGENTS)), near(rng, Settings(USUAL, None, None, False), (0.35,) * 3)
    one.state |= {"ask": explain(rng, one.state["language"]), "stand": int(rng.integers(3))}


def settle(rng: np.random.Generator, plan: Operation, at: int, one: Account) -> None:
    """Apply a style's rule to its account number `at`."""
    one.covert_share = COVERT.get(plan.style, 1.0)
    if plan.style == "fixed_frame_ring" and at < 60:
        one.end, one.state["ban"] = BANNED_AT + 0.4, (BANNED_AT + float(rng.uniform(0, 0.2)), NEVER)
    elif plan.style == "fixed_frame_ring":
        one.start = BANNED_AT + 0.2 + float(rng.uniform(0.03, 0.4))
        one.created = moment(one.start - float(rng.uniform(0.02, 1.5)))
    elif plan.style == "front_farm":
        one.addresses = [address(np.random.default_rng(keyed("fourteenth farm", at % 5)), True)]
        one.state["hidden"] = (at % 5 < 2, at % 5 == 3)
    elif plan.style in ("reworded", "kept_selves", "cover_traffic", "slow_drip", "many_tongues"):
        if plan.style == "many_tongues":
            speak(rng, one, [name for name in LANGUAGES if name != "en"][at % 9])
        elif plan.style == "cover_traffic":
            speak(rng, one, "en")
        person_like(rng, one)
    elif plan.style == "front_companies":
        own = np.random.default_rng(keyed("fourteenth company", at // 6))
        facts = firm_facts(f"fourteenth company {at // 6}")
        one.org, one.payment, one.email_domain, one.tier, one.state["firm"] = facts["org"], facts["payment"], facts["email_domain"], "scale", facts["org"]
        one.addresses, one.user_agent = [address(own, True)], choose(own, (*SDKS, *AGENTS))
        one.settings = near(own, Settings(USUAL, 0.2, 4096, False), (0.6, 0.5, 0.6))
        one.state |= {"house": f"{choose(own, HOUSES[0])} {choose(own, TRADES)} {own.integers(900)}. {choose(own, HOUSES[1])} {choose(own, HOUSES[2])}".strip(), "ask": phrase(own, *TOOLWISE)}
    elif plan.style == "burst_trials":
        one.tier, one.start = "free", plan.start + float(rng.beta(1.2, 2.5)) * 1.6
        one.created = moment(one.start - float(rng.exponential(0.05)) - 0.001)
    elif plan.style == "trick_then_scale" and at >= 8:
        one.start = SCALED_AT + float(rng.uniform(0.05, 0.9))


def campaign_accounts(rng: np.random.Generator, plan: Operation, nets: Places) -> list[Account]:
    accounts = extraction_accounts(rng, plan, nets)
    for at, one in enumerate(accounts):
        settle(rng, plan, at, one)
    return accounts


def placed(one: Account, text: str, output: float, ask: str | None = None) -> Request:
    """Return the text in the account's own wording, at the account's usual place."""
    ask = ask or one.state["ask"]
    return Request((f"{ask}\n{text}", f"{text}\n\n{ask}", text)[one.state["stand"]][:2800], ask if one.state["stand"] == 2 else None, output=output)


def course_mask_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock) -> list[Row]:
    rows = [row for one in accounts for row in course_cells(rng, one, one.start + 0.003, int(rng.integers(3, 10)))]
    after = [replace(one, start=one.start + 0.3) for one in accounts]
    return rows + deal_queue(rng, after, [[Request(choose(rng, COURSE).replace("{}", text[:2400]), output=plan.output)] for text in texts_of(stock, plan, plan.pool, plan.count - len(rows))])


def agent_mask_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock, customers: Sessions) -> list[Row]:
    """Return requests of the real agent's sessions on a task, in a sandbox of a public project, with the agent's hidden requests."""
    def sandbox() -> Iterator[Piece]:
        while True:
            yield from next(customers[draw_language(rng)])

    texts, rows, left = sandbox(), [], plan.count
    tasks = iter(texts_of(stock, plan, plan.pool, plan.count // 4))
    while left > 0:
        one = choose(rng, accounts)
        for _, when, _ in deal_queue(rng, [one], [[Request("")]]):
            late, when = when > one.state.setdefault("released", 6.3 + min(float(rng.exponential(0.9)), 3.6)), min(when, plan.end - 0.03)
            sender = replace(one, user_agent="wren-code-cli/2.4.0") if late else one
            unit = agent_session(rng, AGENT, texts, False, next(tasks))[:left]
            own = [(sender, when, unit), *hidden_rows(rng, sender, AGENT.kind, when, unit)]
            rows += own
            left -= sum(len(sent) for _, _, sent in own)
    return rows


def front_farm_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock) -> list[Row]:
    rows: list[Row] = []
    items = iter(texts_of(stock, plan, plan.pool, plan.count * 7 // 10))
    while sum(len(unit) for _, _, unit in rows) < plan.count - 3:
        unit = [Request(next(items), None, 1, plan.output, True, 2.5)]
        if rng.random() < 0.3:
            unit.append(Request(choose(rng, ("continue", "why is that?", "can you show it?", "what did you leave out?")), None, 2, plan.output, True, 2.5))
        for one, when, _ in deal_queue(rng, [choose(rng, accounts)], [unit]):
            rows += [(one, when, unit), *hidden_rows(rng, one, FRONT.kind, when, unit)]
    return rows


def personal_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock, owners: Iterator[Person]) -> list[Row]:
    """Return requests of campaigns whose accounts have their own words, settings or work."""
    def drawn(one: Account) -> Account:
        return replace(one, settings=Settings(choose(rng, list(MODELS), list(MODELS.values())), choose(rng, TEMPERATURES), choose(rng, LIMITS), bool(rng.random() < 0.5)))

    if plan.style == "kept_selves":
        size, rows = plan.count // 4, []
        for at, pool in enumerate(FIELDS):
            texts = texts_of(stock, plan, pool, size if at else plan.count - 3 * size)
            rows += [(one, when, [placed(one, unit[0].prompt, plan.output)]) for one, when, unit in deal_queue(rng, accounts[at::4], [[Request(text)] for text in texts])]
        return rows
    if plan.style == "cover_traffic":
        harvest = texts_of(stock, plan, plan.pool, plan.count * 2 // 5)
        rows, each = [(one, when, [placed(one, unit[0].prompt, plan.output)]) for one, when, unit in deal_queue(rng, accounts, [[Request(text)] for text in harvest])], (plan.count - len(harvest)) // len(accounts)
        return rows + [row for one in accounts for row in deal_queue(rng, [one], [[placed(one, text[:2500], 170)] for text in next(owners).texts[:each]])]
    if plan.style == "many_tongues":
        foreign = texts_of(stock, plan, "foreign asks pairs", 420)
        rows = deal_queue(rng, accounts, [[Request(text)] for text in foreign + texts_of(stock, plan, plan.pool, plan.count - len(foreign))])
        return [(one, when, [placed(one, unit[0].prompt, plan.output)]) for one, when, unit in rows]
    mix = [pool for pool, share in MIXES[plan.style].items() for _ in range(round(share * plan.count))]
    texts = [text for pool in dict.fromkeys(mix) for text in texts_of(stock, plan, pool, mix.count(pool))]
    rows = deal_queue(rng, accounts, [[Request(texts[at])] for at in rng.permutation(len(texts))])
    if plan.style == "reworded":
        return [(drawn(one), when, [placed(one, unit[0].prompt, plan.output, explain(rng, "en"))]) for one, when, unit in rows]
    return [(one, when, [Request(f"{unit[0].prompt} {choose(rng, CLOSINGS)}", output=plan.output)]) for one, when, unit in rows]


def reseller_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock, customers: Sessions) -> list[Row]:
    harvest = units_of(plan, plan.lead, texts_of(stock, plan, plan.pool, plan.count // 5))
    house = [replace(one, settings=Settings(USUAL, 0.7, 4096, True)) for one in accounts]
    rows, left = deal_queue(rng, house, harvest), plan.count - len(harvest)
    while left > 0:
        more = list(resold_rows(rng, accounts, customers, 10, 30))[:left]
        rows, left = rows + more, left - len(more)
    return rows


def tricked_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock) -> list[Row]:
    texts = texts_of(stock, plan, plan.pool, plan.count)
    seekers = [replace(one, end=SCALED_AT, state=one.state | {"filtered": 0.6}) for one in accounts[:8]]
    harvest = [replace(one, start=max(one.start, SCALED_AT + 0.05), state=one.state | {"filtered": 0.04}) for one in accounts]
    rows = deal_queue(rng, seekers, [[Request(f"{phrase(rng, *TRICKS)}\n{text}", output=plan.output)] for text in texts[:380]])
    return rows + deal_queue(rng, harvest, [[Request(BEST[0].replace("{}", text), output=plan.output)] for text in texts[380:]])


def queued_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock) -> list[Row]:
    """Return requests from one queue, dealt at random."""
    if plan.style == "ten_answers":
        units = [unit for unit in units_of(plan, plan.lead, texts_of(stock, plan, plan.pool, plan.count // 10)) for _ in range(10)]
        units = [units[at] for at in rng.permutation(len(units))]
    else:
        leads = {"grader_pool": RUBRICS, "trace_demand": TRACES}.get(plan.style, (plan.lead,))
        units = [[Request(choose(rng, leads).replace("{}", text), output=plan.output)] for text in texts_of(stock, plan, plan.pool, plan.count)]
    rows = deal_queue(rng, accounts, units, day_and_night={"one_card_lab": 1.0, "fixed_frame_ring": 0.4}.get(plan.style, 0.0))
    if plan.style == "front_companies":
        return [(one, when, [replace(unit[0], prompt=f"{one.state['ask']}\n{unit[0].prompt}", system=one.state["house"])]) for one, when, unit in rows]
    return rows


def campaign_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock, customers: Sessions, owners: Iterator[Person]) -> list[Row]:
    """Return what each account of the campaign sends, and when, before any refusals. One account in four starts with a manual trial."""
    trials: list[Row] = [(one, one.start + float(rng.uniform(0.0002, 0.002)), [Request(choose(rng, TRIALS), output=20)]) for one in accounts if rng.random() < 1 / 4 for _ in range(int(rng.integers(1, 3)))]
    plan = plan if plan.style == "ten_answers" else replace(plan, count=plan.count - len(trials))
    if plan.style == "course_mask":
        return trials + course_mask_rows(rng, plan, accounts, stock)
    if plan.style == "agent_mask":
        return trials + agent_mask_rows(rng, plan, accounts, stock, customers)
    if plan.style == "front_farm":
        return trials + front_farm_rows(rng, plan, accounts, stock)
    if plan.style == "shadow_reseller":
        return trials + reseller_rows(rng, plan, accounts, stock, customers)
    if plan.style == "trick_then_scale":
        return trials + tricked_rows(rng, plan, accounts, stock)
    if plan.style in ("reworded", "kept_selves", "cover_traffic", "slow_drip", "many_tongues"):
        return trials + personal_rows(rng, plan, accounts, stock, owners)
    return trials + queued_rows(rng, plan, accounts, stock)


# --- both worlds ---------------------------------------------------------------------------------------------


SOFTWARE = ("terminal_agent", "editor_agent", "own_script", "flow_runner", "page_button", "site_writer", "scheduled_posts", "paper_tagger", "home_voice", "deep_digger", "study_cards", "meeting_notes", "contest_entrant", "mod_player")
REACTIONS: Mapping[str | None, Reaction] = dict.fromkeys(SOFTWARE, RETRIES) | dict.fromkeys(("firm_extract", "firm_batch", "firm_eval"), RUNS) | {"company": Reaction(2, 0.06, 12, 0.4, 10, 0.12, heirs=0.3)} | {team.kind: team.reaction for team in TEAMS} | {plan.campaign: plan.reaction for plan in OPERATIONS}


def reaction_of(one: Account) -> tuple[str, Reaction]:
    """Return the group to which an account hands refused work, and its reaction."""
    return one.state.get("pool", one.name), REACTIONS.get(one.campaign or one.kind) or REACTIONS.get(one.state.get("reacts", one.kind), PERSON)


def finish(folder: Path, world: Honest, campaigns: Sequence[Account], log: WrenLog, seed: int) -> None:
    forget([*world.accounts, *campaigns], log)
    eighth.write_refused(folder, world, campaigns, log, seed, reaction_of, TROUBLES, RULES, OPERATIONS, days=DAYS)


def speaks_for_itself(one: Person) -> bool:
    """Return whether these are a person's texts, not a robot that repeats one line, nor a beginners' exercise."""
    heads = {text[:30] for text in one.texts}
    return len(heads) > 0.6 * len(one.texts) and ("TheOdinProject" not in one.source or len(one.texts) > 5)


def all_people(options: argparse.Namespace) -> list[Person]:
    """Return authors and documents once each, without anybody who speaks in a former world."""
    former = {name for path in options.former.glob("**/selves.parquet") if not path.parent.name.startswith("fourteenth") for name in pq.read_table(path, columns=["person"])["person"].to_pylist()}
    people = [one for path in options.people for one in selves.read_people(path)]
    people += [one for path in options.texts if "foreign asks" in (table := pq.read_table(path))["pool"].unique().to_pylist() for one in documents_as_people(table)]
    longest: dict[str, Person] = {}
    for one in people:
        if one.person not in former and speaks_for_itself(one) and len(one.texts) > len(longest.get(one.person, Person("", "")).texts):
            longest[one.person] = one
    return list(longest.values())


def compose_public(seed: int, stock: Stock, nets: Places, people: Sequence[Person], families: Iterator[Person]) -> Honest:
    """Compose all honest people of both worlds."""
    lots, world = lots_of(people), Honest(WrenLog(seed))
    customers, rng = sessions(np.random.default_rng([seed, 5]), lots[0]), np.random.default_rng([seed, 1])
    public = PublicTexts([text for _, text in stock.take("sat pairs", 15)], [text for _, text in stock.take("commands pairs", 420)], customers)
    companies = found_companies(rng, nets)[::2]
    sets = [([item if isinstance(item, str) else item[1] for item in stock.take(pool, 180)], frame) for pool, frame in HARNESS]
    compose_people(rng, world, stock, lots[2], nets, public, companies)
    compose_desks(rng, world, stock, lots[0], customers, companies, sets)
    compose_resellers(rng, world, customers, nets)
    compose_teams(np.random.default_rng([seed, 3]), world, stock, families, nets, customers)
    return world


def write_worlds(options: argparse.Namespace) -> None:
    seed = options.seed
    stock, nets = UnsaidStock(options.range, options.texts, np.random.default_rng([seed, 0])), SoftwarePlaces(np.random.default_rng([seed, 4]))
    people = sorted((one for one in all_people(options) if len(one.texts) > 1), key=lambda one: keyed("fourteenth owner", one.person))
    english = [one for one in people if len(one.texts) >= 35 and language_of(one.texts) == "en"][:50]
    taken = {one.person for one in english}
    families = [one for one in people if len(one.texts) >= 14 and one.person not in taken][:420]
    taken |= {one.person for one in families}
    rest = [one for one in people if one.person not in taken]
    world = compose_public(seed, stock, nets, rest, cycle(families))
    stock.for_campaigns, owners, hidden = True, iter(english), lots_of(rest)[1]

    def compose(rng: np.random.Generator, plan: Operation) -> Iterator[Sent]:
        accounts = campaign_accounts(rng, plan, nets)
        yield accounts, campaign_rows(rng, plan, accounts, stock, sessions(rng, hidden, int(plan.style == "shadow_reseller")), owners), plan.campaign
        if plan.style == "stolen_keys":
            yield (), owners_rows(rng, accounts, owners), None

    write_both(options.out, "fourteenth", world, seed, finish, OPERATIONS, compose)


if __name__ == "__main__":
    eighth.main(author="fourteenth", seed=14, write=write_worlds, texts="; several, with those of the twelfth and thirteenth author's --collect", former=True)
