#!/usr/bin/env python3
# ruff: noqa: E501 - each wording of a product, firm or campaign is one line
"""A world by a seventh author: an ordinary provider's fortnight, with and without campaigns.

    python benchmarks/seventh_author.py --range ../shared/range/corpora --people people.parquet people7.parquet --texts texts6.parquet --out worlds

Writes worlds/seventh and worlds/seventh-quiet in the format of the fourth to sixth author's worlds, whose helpers it
uses. The rules are in seventh_author.md, which is written beside the world. They were committed before the world
was generated. This script contains no text of a source.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import selves
from fifth_author import (
    LIMITS,
    MIX,
    MODEL_SHARES,
    OWN_WORDING,
    TEMPERATURES,
    ChangingLog,
    Honest,
    Piece,
    Product,
    Texts,
    bare_trace,
    conversation,
    drawn_settings,
    end_users,
    phrase,
    render,
)
from fourth_author import (
    BEGIN,
    DAYS,
    MINUTE,
    Account,
    Request,
    Sent,
    Settings,
    Unit,
    address,
    bare_instruction,
    choose,
    fail_and_retry,
    moment,
    new_account,
    people_of,
    write_both,
    write_world,
)
from selves import Person, keyed
from sixth_author import deal_queue, times_of

NEW_MODEL, LAUNCH_DAY, MOVES = "quill-5", 5.2, 0.2
OLD_MODEL, RETIRED_DAY, ITS_HEIR = "quill-3", 8.8, "quill-4-mini"
REASONS = "quill-4-reason"
MODELS = ("quill-4", "quill-4-mini", REASONS, OLD_MODEL, "quill-code")  # in the order of MODEL_SHARES
OUTAGES = ((2.2, 2.2 + 40 * MINUTE), (11.4, 11.4 + 25 * MINUTE))
STRANGERS_FACTOR = 1.0  # chosen by counting the rows of a draft with another seed, alone
RULES = (Path(__file__).parent / "seventh_author.md").read_text()


class QuillLog(ChangingLog):
    """The log of this world's provider."""

    retired, retired_day, heir = OLD_MODEL, RETIRED_DAY, ITS_HEIR
    reasoning_model = REASONS


class Stock(Texts):
    """Texts of the range and of `sixth_author.py texts`, each used once."""

    def __init__(self, folder: Path, texts: Path, rng: np.random.Generator) -> None:
        super().__init__(folder, rng)
        pools: dict[str, list] = defaultdict(list)
        for row in pq.read_table(texts).to_pylist():
            pools[row["pool"]].append((row["key"], row["text"]))
        self._pools |= {
            f"{name} pairs": [pool[at] for at in rng.permutation(len(pool))]
            for name, pool in sorted(pools.items())
        }
        for name, pool in self._pools.items():
            if pool and isinstance(pool[0], str):
                self._pools[name] = list(dict.fromkeys(pool))


# Each wording is one line; a crowd or a campaign takes a few.
# fmt: off
# --- strangers -----------------------------------------------------------------------------------------------

STEP = "<{tool} path=\"{file}\">\n{text}\n</{tool}>"
TOOLS = {"tool": ("read_file", "search_files", "execute_command", "apply_diff")}
HOST = {"os": ("macOS 15", "Ubuntu 24.04", "Windows 11", "Debian 12")}
TARGETS = {"target": ("German", "Simplified Chinese", "French", "Spanish", "Japanese", "Portuguese", "Korean", "Russian")}
TASKS = tuple(f"{a} {b}" for a in ("Categorise", "Summarise in one line", "Say who should handle", "Give the urgency of", "Draft a short answer to", "Pull names and dates from", "Put a title on") for b in ("the entry.", "this message.", "the new item, plain text.", "each record as JSON."))
CARDS = tuple(f"You are {a}, {b}. Stay in character, never speak for the user." for a in ("Mirelle", "Captain Oke", "Doctor Vane", "Yuki", "the Innkeeper", "Sable", "Tomas") for b in ("a witty thief", "a patient mentor", "a tired detective", "a starship pilot", "an old friend"))
FOLLOW = ("continue", "shorter please", "can you explain the second point", "that does not work", "thanks, and in {file}?", "give an example")
MANNER = ("Use one tool per message and wait for its result.", "Use one tool per message, wait for its result, and keep a task list.")
PRODUCTS = (
    Product("agent_cline", 190, "Cline/3.34.0", Settings("quill-4", 0.0, 8192, True), "<task>\n{text}\n</task>\n# Visible files\n{file}", "You are Cline, an engineer inside the editor on {os}. Working directory {root}. {manner}", more=STEP, parts=(2, 6), own=HOST, each=TOOLS, output=220, gap=0.7, units=3.2, sigma=1.0, life=420, update=(4.3, 1.5, 0.75, {"user_agent": "Cline/3.35.0"}), moves=MOVES, session=True),
    Product("agent_cli", 110, "opencode/0.15.2", Settings("quill-4", None, 32000, True, None, 11), "{text}\n\n{file}", "You are opencode, a command line agent. cwd={root} platform={os}. Be brief.", more=STEP, parts=(2, 7), own=HOST, each=TOOLS, output=200, gap=0.6, units=3.5, sigma=1.1, life=160, moves=MOVES, session=True),
    Product("agent_aider", 70, "aider/0.86.1", Settings("quill-4", 0.0, None, True), "{text}\n\n{file}", "Act as an expert developer. Reply with SEARCH/REPLACE blocks only. The files: {file}", more="I added {file}.\n{text}", parts=(1, 4), output=260, gap=1.5, units=5, life=700, moves=MOVES, session=True),
    Product("agent_roo", 70, "RooCode/3.28.14", Settings("quill-4", 0.0, None, True), "<task>{text}</task>\n<environment_details>{file}</environment_details>", "You are Roo, working in {mode} mode in {root}.", more=STEP, parts=(2, 6), own={"mode": ("code", "code", "architect", "debug")}, each=TOOLS, output=220, gap=0.7, units=3.2, life=300, moves=MOVES, session=True),
    Product("agent_continue", 90, "Continue/1.2.8", Settings("quill-code", None, 4096, True), "```{file}\n{text}\n```\nWhat should change here?", follow=FOLLOW, follow_share=0.45, output=200, gap=2, units=6, life=600, moves=MOVES),
    Product("chat_open_webui", 180, "Python/3.11 aiohttp/3.12", Settings("quill-4", None, None, True), "{text}", follow=FOLLOW, follow_share=0.5, output=260, gap=3, units=6, sigma=1.1, life=500, moves=MOVES),
    Product("chat_librechat", 90, "LibreChat/0.8", Settings("quill-4", None, None, True), "{text}", follow=FOLLOW, follow_share=0.5, output=260, gap=3, units=6, sigma=1.1, life=500, moves=MOVES),
    Product("chat_lobe", 60, "lobe-chat/1.130", Settings("quill-4", 1.0, None, True, 1.0), "{text}", follow=FOLLOW, follow_share=0.5, output=260, gap=3, units=6, life=400, moves=MOVES),
    Product("trial", 160, "Mozilla/5.0 (console)", Settings("quill-4", 1.0, 1024, True), "{text}", output=240, gap=3, units=1.5, sigma=0.5, life=0.01),
    Product("roleplay", 140, "SillyTavern/1.13", Settings("quill-4", 1.0, 300, True, 1.0), "{text}", "{card}", follow=("*nods* go on", "and then?", "I do not believe you", "where are we now?", "wait, tell me more"), follow_share=0.75, own={"card": CARDS}, output=170, gap=1.5, units=4, sigma=1.1, life=500),
    Product("notes_plugin", 90, "obsidian-copilot/2.9", Settings("quill-4", 0.1, 6000, True), "{text}\n\nNote: [[{file}]]", "You are Obsidian Copilot, an assistant for the user's notes.", follow=FOLLOW, follow_share=0.3, output=190, gap=3, units=5, life=450),
    Product("papers_plugin", 40, "zotero-gpt/3", Settings("quill-4", 1.0, None, True), "Answer from the passage and cite the page.\n{text}\nQ: what is claimed in {file}?", output=170, units=6, life=500),
    Product("browser_helper", 80, "browser-side-panel/5.1", Settings("quill-4-mini", 0.7, 2000, True), "Page {file}:\n{text}\n\n{act}", each={"act": ("Summarise.", "Explain like I am five.", "Key points.", "Reply politely.")}, output=150, units=7, life=500),
    Product("translator", 130, "immersive-translate/1.20", Settings("quill-4-mini", 0.0, None, False), "Translate to {target}:\n\n{text}", "You are a professional {target} native translator. Output only the translation.", more="Translate to {target}:\n\n{text}", parts=(2, 7), own=TARGETS, output=110, gap=0.1, units=4, life=600),
    Product("commit_bot", 80, "opencommit/3.2", Settings("quill-4-mini", 0.0, 500, False, 0.1), "{file}\n+ {text}", "Write the commit message for the output of git diff --staged in conventional commit form, present tense. {lang}", own={"lang": ("english", "english", "english", "deutsch", "espanol")}, output=30, units=9, sigma=1.0, life=700),
    Product("commit_hook", 50, "aicommits/2", Settings("quill-4-mini", 0.7, 200, False, 1.0), "diff of {file}\n{text}", "Generate a concise git commit message, 50 characters at most.", output=18, units=9, life=700),
    Product("review_bot", 90, "pr-agent/0.31", Settings("quill-4", 0.2, None, False), "--PR Info--\nTitle: {line}\nDiff of {file}:\n{text}", "You are PR-Reviewer. Answer in YAML with estimated_effort, score, key_issues.", output=200, units=8, sigma=1.1, life=500, moves=0.1),
    Product("home_voice", 90, "HomeAssistant/2026.8", Settings("quill-4-mini", 1.0, 150, True, 1.0, 14), "{line}", "You are a voice assistant for Home Assistant. Answer in plain text. Areas: {areas}", own={"areas": ("kitchen, hall", "living room, bedroom", "office, garage", "whole flat", "studio, garden")}, output=35, units=10, life=600, update=(9.2, 1.2, 0.67, {"user_agent": "HomeAssistant/2026.9", "max_tokens": 3000})),
    Product("shell_helper", 50, "shell-gpt/1.4", Settings("quill-4-mini", 0.0, None, True, 1.0), "{line}", "Provide only bash commands for {os} without any description.", own=HOST, output=30, units=9, life=700),
    Product("llm_cli", 50, "llm/0.27", Settings("quill-4-mini", None, None, True), "{text}", output=150, units=7, life=600),
    Product("workflow", 110, "n8n", Settings("quill-4-mini", 0.7, None, False), "{task}\n\n{text}", own={"task": TASKS}, output=90, units=11, sigma=1.2, life=500),
    Product("app_builder", 50, "dify/1.9", Settings("quill-4", 0.7, 512, True), "{text}", "{task} Answer in the language of the user.", own={"task": TASKS}, output=120, units=11, sigma=1.2, life=400),
    Product("sheet_addon", 60, "sheets-addon/4", Settings("quill-4-mini", 0.0, 256, False), "{task}\n{line}", more="{task}\n{line}", parts=(3, 10), own={"task": TASKS}, output=12, gap=0.05, units=2.5, life=500),
    Product("cards_addon", 30, "anki-cards/1.3", Settings("quill-4-mini", 0.5, 1500, False), "Make question and answer cards.\n{text}", output=170, units=5, life=300),
    Product("game_mod", 30, "npc-bridge/0.6", Settings("quill-4-mini", 0.9, 200, True), "{line}", "{card}", own={"card": CARDS}, follow=("Who are you?", "Show me.", "No."), follow_share=0.6, output=40, units=5, life=300),
    Product("script_langchain", 260, "langchain-openai/1.0", Settings("quill-4", 0.0, None, False), OWN_WORDING, own=MIX, output=170, units=7, sigma=1.3, life=600, moves=MOVES),
    Product("script_python", 560, "OpenAI/Python 2.8.0", Settings("quill-4", None, None, False), OWN_WORDING, own=MIX, output=170, units=7, sigma=1.3, life=700, moves=MOVES),
    Product("script_node", 240, "OpenAI/JS 6.9.0", Settings("quill-4", None, None, True), OWN_WORDING, own=MIX, output=170, units=7, sigma=1.3, life=700, moves=MOVES),
    Product("script_other", 200, "", Settings("quill-4", None, None, False), OWN_WORDING, own=MIX, output=170, units=6, sigma=1.3, life=700, moves=0.1),
)
BY_KIND = {product.kind: product for product in PRODUCTS}
OTHER_AGENTS = ("curl/8.12.1", "Go-http-client/2.0", "axios/1.12", "python-requests/2.32.5", "okhttp/5.1", "PostmanRuntime/7.46", "aiohttp/3.12", "reqwest/0.12")
REAL_TALK = {"chat_open_webui": 0.5, "chat_librechat": 0.5, "chat_lobe": 0.5, "trial": 1.0}  # share of accounts with real conversations


def crowd(rng: np.random.Generator, product: Product, world: Honest) -> list[Account]:
    """Create a product's accounts, with later changes."""
    keeps = (0.45,) * 3 if product.kind.startswith("script_") else (rng.uniform(0.55, 0.95), rng.uniform(0.8, 1.0), rng.uniform(0.8, 1.0))
    accounts = []
    for at in range(product.accounts):
        one = new_account(rng, f"seventh {product.kind} {at}", product.kind, drawn_settings(rng, product.settings, keeps, MODELS), product.agent or choose(rng, OTHER_AGENTS), product.life)
        if product.kind == "trial":  # newcomers through the log
            one.start = float(rng.uniform(0, DAYS - 0.5))
            one.created, one.tier, one.state["at_once"] = moment(one.start - rng.exponential(0.01)), "free", True
        elif rng.random() < 0.15:
            one.org, one.email_domain = f"org_{keyed('org', one.name):08x}"[:12], f"d{keyed('domain', one.name) % 10**6}.com"
        changes = one.state.setdefault("changes", [])
        if product.update and rng.random() < product.update[2]:
            one.state["late"] = product.update[0] + rng.exponential(product.update[1])
            changes.append((one.state["late"], {name: value for name, value in product.update[3].items() if name != "max_tokens" or one.settings.max_tokens == product.settings.max_tokens}))
        if rng.random() < product.moves:
            changes.append((LAUNCH_DAY + rng.uniform(0, 4), {"model": NEW_MODEL}))
        changes.sort(key=lambda change: change[0])
        one.state["own"] = {name: choose(rng, items) for name, items in product.own.items()}
        if product.kind == "roleplay" and at % 2:
            one.state["own"]["card"] += f" {choose(rng, MIX['tail'])} World {keyed(one.name) % 997}."
        accounts.append(one)
    world.products.append({"product": product.agent, "kind": product.kind, "default_model": product.settings.model, "max_tokens": product.settings.max_tokens, "temperature": product.settings.temperature,
                           "keep_model": round(keeps[0], 2), "keep_temperature": round(keeps[1], 2), "keep_limit": round(keeps[2], 2), "update_day": product.update and product.update[0]})
    return accounts


def words_at(one: Account, when: float) -> dict[str, str]:
    """Return the account's choices of words, with the manner of its release."""
    return one.state["own"] | {"manner": MANNER[when > one.state.get("late", DAYS)]}


def units_of(rng: np.random.Generator, product: Product, one: Account, times: Sequence[float], own: Sequence[Piece]) -> list[Unit]:
    """Return a unit for each time, over the texts of the account's person in their order."""
    units, first = [], 0
    for when in times:
        size = int(rng.integers(product.parts[0], product.parts[1] + 1))
        units.append(render(rng, product, words_at(one, float(when)), [own[(first + step) % len(own)] for step in range(size)]))
        first += size
    return units


def at_the_minute(one: Account, times: np.ndarray) -> np.ndarray:
    """Return the times of an account that runs daily at a fixed minute: one unit after the other, 20 seconds apart."""
    days = np.floor(times) + one.state["minute"]
    days = np.where(days < one.start, days + 1, days)
    days = np.where(days > one.end - 0.05, days - 1, days)
    return np.where((days > one.start) & (days < one.end - 0.02), days + np.minimum(np.arange(len(days)) % 60 * 20 / 86400, 0.02), times)


def speak(rng: np.random.Generator, world: Honest, stock: Stock, people: Sequence[Person], crowds: Sequence[tuple[Product, list[Account]]], counts: Mapping[str, int], wanted: Mapping[str, tuple[str, int]]) -> None:
    """Add the accounts' requests: those in `wanted` use the texts of a person each, the others real conversations."""
    iterators, world.people = people_of(rng, wanted, people)
    spoken = {name: list(pieces) for name, pieces in iterators.items()}
    entry = {row["account"]: row for row in world.people}
    for product, accounts in crowds:
        for one in accounts:
            before, own, times = len(world.log.rows), spoken.get(one.name), times_of(rng, one, counts[one.name])
            if "minute" in one.state:
                times = np.sort(at_the_minute(one, times))
            if one.name not in wanted:
                world.add(rng, one, times, [conversation(product, one, talk) for talk in stock.take("talks", len(times))])
            elif own:  # else no person has so many texts
                world.add(rng, one, times, units_of(rng, product, one, times, own))
                entry[one.name]["exchanges"] = len(world.log.rows) - before


def compose_strangers(rng: np.random.Generator, world: Honest, stock: Stock, people: Sequence[Person]) -> None:
    crowds = [(product, crowd(rng, product, world)) for product in PRODUCTS]
    seats = company_seats(rng)
    crowds += [(BY_KIND[one.state["client"]], [one]) for one in seats]
    counts, wanted = {}, {}
    for product, accounts in crowds:
        for one in accounts:
            count = np.clip(rng.lognormal(np.log(product.units * STRANGERS_FACTOR), product.sigma), 1, 250)
            counts[one.name] = max(1, int(count * min(1.0, (one.end - one.start) / DAYS) ** (product.kind != "trial")))
            if one.kind not in REAL_TALK or rng.random() >= REAL_TALK[one.kind]:
                wanted[one.name] = (one.kind, int(np.ceil(counts[one.name] * np.mean(product.parts))))
    speak(rng, world, stock, people, crowds, counts, wanted)


# --- firms and others ----------------------------------------------------------------------------------------


def firm_account(rng: np.random.Generator, key: str, kind: str, settings: Settings, agent: str, firm: str | None, pool: str | None = None) -> Account:
    """Create an account that exists from the beginning; one of a firm has its card, domain and organisation."""
    one = new_account(rng, f"seventh {kind} {key}", kind, settings, agent, 500)
    one.start, one.created = 0.0, min(one.created, moment(-3))
    if firm:
        one.org, one.payment, one.email_domain, one.tier = f"org_{firm}", f"card_{firm}", f"{firm}.example", "scale"
    if pool:
        one.state["pool"] = pool
    return one


def company_seats(rng: np.random.Generator) -> list[Account]:
    seats = []
    clients = ("agent_cline", "agent_continue", "chat_open_webui", "script_python", "review_bot", "notes_plugin", "workflow")
    for firm in range(14):
        office, shared = [address(rng)], clients[firm % len(clients)]
        for seat in range(int(rng.integers(5, 15))):
            client = BY_KIND[shared if firm % 2 else choose(rng, clients)]
            settings = drawn_settings(rng, client.settings, (0.9, 0.95, 0.95), MODELS)
            one = firm_account(rng, f"{firm} {seat}", "company_seats", settings, client.agent, f"company{firm}")
            one.addresses, one.state["client"], one.state["own"] = office, client.kind, {name: choose(rng, items) for name, items in client.own.items()}
            seats.append(one)
    return seats


def compose_firms(rng: np.random.Generator, world: Honest, stock: Stock) -> None:
    for at in range(60):
        one = firm_account(rng, str(at), "saas", drawn_settings(rng, Settings(("quill-4-mini", "quill-4")[at % 2], choose(rng, TEMPERATURES), choose(rng, LIMITS), bool(at % 3)), (0.9, 1, 1), MODELS), choose(rng, OTHER_AGENTS), f"saas{at}")
        one.addresses, one.spread = [address(rng, True) for _ in range(2)], 6.0
        frame, units = f"{choose(rng, ('Help desk', 'Shop guide', 'Booking desk', 'Study aid', 'Claims desk'))} of tenant {at}. {choose(rng, TASKS)} {choose(rng, MIX['tail'])}".strip(), []
        for _ in range(int(np.clip(rng.lognormal(np.log(26), 1.0), 4, 450))):
            lines = json.loads(stock.take("talks pairs", 1)[0][1])[::2][:6]
            units.append([Request(line, frame, turn + 1, 70, True, 1.2, None, f"u{rng.integers(3000)}") for turn, line in enumerate(lines)])
        world.add(rng, one, times_of(rng, one, len(units)), units)
    for at in range(30):
        one = firm_account(rng, str(at), "batch", Settings(choose(rng, MODELS[:2]), choose(rng, (0.0, 0.0, None)), choose(rng, LIMITS), False), choose(rng, OTHER_AGENTS), f"batch{at}" if at % 2 else None)
        task, texts = f"{choose(rng, TASKS)}{choose(rng, MIX['tail'])} Labels: {', '.join(str(label) for label in rng.choice(MIX['verb'], 4, replace=False))}.", stock.take("requests pairs", int(np.clip(rng.lognormal(np.log(130), 0.8), 30, 900)))
        days = rng.choice(14, 4, replace=False)
        world.add(rng, one, np.sort(rng.choice(days, len(texts)) + rng.uniform(0.3, 0.4, len(texts))), [[Request(f"{task}\n{text}", output=6)] for _, text in texts])
    for firm in range(8):
        house = f"House style {firm}: {choose(rng, MIX['verb'])} the brief for the client.{choose(rng, MIX['tail'])}"
        for client in range(4):
            one = firm_account(rng, f"{firm} {client}", "agency", Settings(MODELS[firm % 2], 0.7, (1500, None)[firm % 2], True), "OpenAI/JS 6.9.0", f"agency{firm}", f"agency {firm}")
            texts = [text for _, text in sorted(stock.take("standards pairs", int(rng.integers(10, 40))))]
            world.add(rng, one, times_of(rng, one, len(texts)), [[Request(f"{house}\nBrief: {text}", output=210)] for text in texts])
    queue_firms(rng, world, stock)
    alone(rng, world, stock)


def deal_honest(rng: np.random.Generator, world: Honest, accounts: Sequence[Account], units: Sequence[Unit]) -> None:
    world.accounts += accounts
    for one, when, unit in deal_queue(rng, accounts, units):
        world.log.add(rng, one, when, unit)


def queue_firms(rng: np.random.Generator, world: Honest, stock: Stock) -> None:
    for firm in range(2):
        accounts = [firm_account(rng, f"{firm} {at}", "bureau", Settings("quill-4", 0.3, 4000, False), "OpenAI/Python 2.8.0", f"bureau{firm}", f"bureau {firm}") for at in range(6)]
        deal_honest(rng, world, accounts, [[Request(f"Translate into {('Czech', 'Italian')[firm]}, keep the terms of the client.\n{text}", output=260)] for _, text in stock.take("manual pairs", 110)])
    accounts = [firm_account(rng, f"lab {at}", "harness", Settings(NEW_MODEL, 0.0, 256, False), "lm-eval/0.4.9", "lab", "laboratory") for at in range(5)]
    for one in accounts:
        one.start, one.declared_use = LAUNCH_DAY + 0.3, "evaluation"
    sets = {"gsm8k": stock.take("gsm8k_test", 600), "mmlu": stock.take("mmlu_sample", 800)}
    frames = {"gsm8k": "Question: {}\nAnswer:", "mmlu": "The following are multiple choice questions (with answers).\n\n{}\nAnswer:"}
    deal_honest(rng, world, accounts, [[Request(frames["gsm8k"].format(text), output=120)] for text in sets["gsm8k"][:300]])
    for at in range(26):
        one = firm_account(rng, str(at), "harness", Settings(NEW_MODEL if at % 5 < 3 else choose(rng, MODELS, MODEL_SHARES), 0.0, 256, False), "lm-eval/0.4.9", None)
        one.start = float(LAUNCH_DAY + rng.exponential(2.0) if at % 5 < 3 else rng.uniform(0, 12))
        one.start = min(one.start, 12.5)
        one.end, one.declared_use, name = min(DAYS, one.start + 1.0), choose(rng, (None, None, "evaluation")), ("gsm8k", "mmlu")[at % 2]
        first = int(rng.integers(0, 100))
        items = sets[name][first : first + int(rng.integers(20, 110))]
        world.add(rng, one, times_of(rng, one, len(items)), [[Request(frames[name].format(text), output=120)] for text in items])
    workers = []
    for at in range(18):
        one = new_account(rng, f"seventh annotators {at}", "annotators", Settings("quill-4", 0.0, 400, False), "taskhall-bridge/2", 60)
        one.start, one.end, one.state["pool"], one.declared_use = 3.5 + rng.exponential(0.4), 9.0, "annotators", choose(rng, (None, "annotation"))
        one.created = min(one.created, moment(one.start - 0.05))
        workers.append(one)
    units = [[Request(f"Guideline 3. Score the reply 1 to 5 for help and tone, one reason each.\nU: {turns[0]}\nR: {turns[1]}", output=90)] for _, talk in stock.take("talks pairs", 150) if len(turns := json.loads(talk)) > 1]
    deal_honest(rng, world, workers, [unit for unit in units for _ in range(2)])


def alone(rng: np.random.Generator, world: Honest, stock: Stock) -> None:
    """Compose courses, judges, resellers' stock of conversations, and permitted synthesis."""
    for course in range(2):
        tasks = [text for _, text in stock.take("tasks pairs", 5)]
        for at in range(22):
            one = new_account(rng, f"seventh course {course} {at}", "course", Settings("quill-code", None, 1500, True), "course-notebook/2", 5)
            one.start, one.declared_use, one.tier = (1.0, 7.0)[course] + rng.uniform(0, 0.6), choose(rng, (None, None, "education")), "free"
            one.created, one.end = moment(one.start - rng.uniform(0, 1.0)), min(DAYS, one.start + 6.0)
            units: list[Unit] = [[Request(f"{task}\nHelp me, I am a beginner.", output=260, conversation=True)] for task in tasks]
            units += [[Request(text, output=200, conversation=True)] for _, text in stock.take("tasks pairs", int(rng.integers(1, 6)))]
            world.add(rng, one, times_of(rng, one, len(units)), units)
    for at in range(8):
        one = firm_account(rng, str(at), "judge", Settings(MODELS[at % 2], 0.0, choose(rng, LIMITS), False), choose(rng, OTHER_AGENTS), f"judge{at}")
        rubric, talks = f"{choose(rng, ('Rate', 'Check', 'Audit', 'Grade'))} our bot's reply from 0 to {choose(rng, (3, 5, 10, 100))}.{choose(rng, MIX['tail'])}", stock.take("talks pairs", int(rng.integers(30, 120)))
        world.add(rng, one, times_of(rng, one, len(talks)), [[Request(f"{rubric}\n{chr(10).join(json.loads(talk)[:2])}", output=30)] for _, talk in talks])
    for at in range(2):
        one = firm_account(rng, str(at), "synthetic_permitted", Settings("quill-4", 0.9, 1500, False), "OpenAI/Python 2.8.0", f"permitted{at}")
        one.permissions, one.declared_use = ("synthetic_data",), "synthetic data for research"
        world.add(rng, one, times_of(rng, one, 300), [[Request(f"Invent a mail in which somebody wants this: {text}", output=260)] for _, text in stock.take("requests pairs", 300)])


def resellers(rng: np.random.Generator, world: Honest, customers: Iterator[list[Piece]]) -> None:
    for at in range(3):
        one = firm_account(rng, str(at), "reseller", Settings("quill-4", None, None, True), choose(rng, OTHER_AGENTS), f"resale{at}")
        one.addresses, one.spread = [address(rng, True)], 6.0
        units: list[Unit] = []
        for _ in range(int(rng.integers(60, 200))):
            words = {name: choose(rng, items) for name, items in MIX.items()}
            units += [[Request(OWN_WORDING.format(**words, text=text[:2500]), output=170)] for text, _ in next(customers)]
        world.add(rng, one, times_of(rng, one, len(units)), [units[u] for u in rng.permutation(len(units))])


# --- campaigns -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    campaign: str
    style: str
    accounts: int
    share: float
    start: float
    end: float
    again: float  # share of failures retried at another account
    settings: Settings | None = None  # None: random per account
    pool: str = ""  # of texts
    lead: str = "{}"
    output: float = 400.0
    hosting: float = 0.0
    nights: float = 0.0


PLANS = (
    Plan("k1", "fixed_prompt_pools", 60, 0.012, 2.5, 13.5, 0.8, Settings(REASONS, 0.6, 16384, True), "reasoning_sft_math", "{}\n\nOpen with <trace>, think there without leaving anything out, close with </trace>, then <result>.", 900, 0.5, 0.33),
    Plan("k2", "client_copy", 24, 0.0045, 3.0, 13.0, 0.4, BY_KIND["agent_cli"].settings, "reasoning_sft_code", "{}", 700),
    Plan("k3", "preference_pairs", 18, 0.008, 1.8, 12.0, 0.5, Settings("quill-4", 1.0, 2048, False), "alpaca_relabel", "{}", 260),
    Plan("k4", "rewriting", 5, 0.0025, 4.1, 11.0, 0.6, Settings("quill-4", 0.8, 1200, False), "meaeq_agnews", "Re-express the paragraph so that a strict content filter has nothing to object to; keep the facts, drop loaded words.\n---\n{}", 220, 0.5),
    Plan("k5", "masked_grading", 30, 0.009, 3.3, 13.6, 0.6, None, "ultrafeedback_rubric", "{}", 240),
    Plan("k6", "tool_use", 8, 0.003, 5.3, 12.5, 0.5, Settings(NEW_MODEL, 0.2, 3000, False, None, 4), "bfcl_v4", "Goal: {}\nLay out the plan, name the function for each step with its arguments, call them one by one.", 190),
    Plan("k7", "multilingual", 12, 0.0045, 2.1, 13.0, 0.3, None, "alpaca_relabel", "", 380),
    Plan("k8", "topic_sticky", 6, 0.0035, 3.0, 13.5, 0.2, Settings("quill-4", 0.9, 3500, True), "persona_hub", "Carry this out at expert level and show how an expert gets there.\n{}", 520),
    Plan("k9", "plain", 3, 0.0012, 6.0, 12.0, 0.3, Settings("quill-4", 0.7, 1800, False), "gpteacher_roleplay", "{}", 330),
    Plan("k10", "plain", 4, 0.0008, 0.5, 13.8, 0.0, Settings("quill-4", 1.0, 3072, False), "self_instruct_alpaca", "{}", 700),
    Plan("k11", "user_relay", 80, 0.01, 1.0, 13.8, 0.3, BY_KIND["agent_cline"].settings),
    Plan("k12", "trace_backfill", 40, 0.007, 4.0, 13.0, 0.7, None, "cot_backfill", "", 650, 0.33, 0.5),
    Plan("k13", "pair_judge", 6, 0.002, 3.0, 10.0, 0.6, Settings("quill-4", 0.0, 700, False), "tasks pairs", "", 200),
    Plan("k14", "plain", 10, 0.0005, 1.0, 13.5, 0.0, None, "anthropic_data_analyst", "{}", 300),
)
BAN_DAY = 7.1
LANGUAGES = ("Vietnamese", "Arabic", "Indonesian", "Thai", "Turkish", "Hindi")


def campaign_accounts(rng: np.random.Generator, plan: Plan) -> list[Account]:
    accounts, agent = [], choose(rng, OTHER_AGENTS)
    for at in range(plan.accounts):
        settings = plan.settings or Settings(choose(rng, MODELS, MODEL_SHARES), choose(rng, TEMPERATURES), choose(rng, LIMITS), bool(rng.random() < 0.5))
        one = new_account(rng, f"seventh {plan.campaign} {at}", "campaign", settings, agent if plan.settings else choose(rng, OTHER_AGENTS), 260)
        one.campaign, one.style, one.covert_share, one.state["pool"] = plan.campaign, plan.style, 1.0, plan.campaign
        one.start, one.end, one.state["own"] = plan.start + rng.uniform(0, 0.6), plan.end, {"os": choose(rng, HOST["os"])}
        one.addresses = [address(rng, bool(rng.random() < plan.hosting)) for _ in range(2)]
        one.created = min(one.created, moment(plan.start - 20))
        if plan.style == "fixed_prompt_pools":
            one.start, one.end = (one.start, BAN_DAY) if at < 40 else (BAN_DAY + rng.uniform(0.03, 0.2), plan.end)
            one.created, one.state["at_once"] = moment(one.start - rng.uniform(0.02, 1.0)), True
        elif plan.style == "client_copy":
            one.user_agent = BY_KIND["agent_cli"].agent
        elif plan.style == "user_relay":
            one.user_agent, one.country = BY_KIND["agent_cline"].agent, ("SG", "JP")[at % 2]
        elif plan.style == "masked_grading":
            one.covert_share = 0.67
        if plan.campaign == "k10":
            one.payment = "card_k10"
        accounts.append(one)
    return accounts


def trace_leads(rng: np.random.Generator, count: int) -> list[str]:
    parts = (("Here is finished work.", "Look at this case and its reply.", "The reply below is correct.", "Somebody solved this already."), ("Recover the thoughts behind it,", "Write the inner reasoning that must have led there,", "Fill in what was thought before,", "Reconstruct the path of thought,"), ("first person, nothing left out.", "with the doubts on the way.", "from reading to the last word.", "as it may have run."))
    return [phrase(rng, *parts) for _ in range(count)]


def campaign_rows(rng: np.random.Generator, plan: Plan, accounts: Sequence[Account], count: int, stock: Stock, sessions: Iterator[list[Piece]]) -> list[tuple[Account, float, Unit]]:
    """Return what each account sends, and when: about `count` exchanges."""
    if plan.style == "user_relay":
        product = BY_KIND["agent_cline"]
        return [(one, when, render(rng, product, words_at(one, when), next(sessions))) for one, when, _ in deal_queue(rng, accounts, [[]] * int(count / 3.6))]
    wanted = {"preference_pairs": count // 2, "masked_grading": count * 2 // 3, "pair_judge": count}.get(plan.style, count)
    texts = stock.take(plan.pool, wanted)
    bearer = None
    if plan.style == "preference_pairs":
        pairs = [rng.choice(len(accounts), 2, replace=False) for _ in texts]
        texts, bearer = [text for text in texts for _ in range(2)], np.concatenate(pairs)
    elif plan.style == "multilingual":
        bearer = rng.integers(len(accounts), size=count)
        texts = [f"Reply in {LANGUAGES[who % len(LANGUAGES)]} alone, grounds before the conclusion.\n{bare_instruction(text)[:2000]}" for who, text in zip(bearer, texts, strict=True)]
    elif plan.style == "topic_sticky":
        topics = selves.cluster(selves.tfidf(texts), 3 * len(accounts), rng)
        home, stays = rng.integers(len(accounts), size=topics.max() + 1), rng.random(topics.max() + 1) < 0.8
        bearer = np.where(stays[topics], home[topics], rng.integers(len(accounts), size=count))
    elif plan.style == "trace_backfill":
        texts = [f"{lead}\n{bare_trace(text)}" for lead, text in zip(trace_leads(rng, count), texts, strict=True)]
    elif plan.style == "pair_judge":
        texts = [f"Which answer serves better, A or B? Argue, then name it.\nTask: {task[:700]}\nA: {answer[:700]}\nB: {other[:700]}" for (answer, task), (other, _) in zip(texts, texts[1:] + texts[:1], strict=True)]
    lead = plan.lead or "{}"
    system = BY_KIND["agent_cli"].system if plan.style == "client_copy" else None
    units = [[Request(lead.replace("{}", text[:3000]), system and system.format(root=f"src{at % 40}", os=choose(rng, HOST["os"])), output=plan.output)] for at, text in enumerate(texts)]
    rows = deal_queue(rng, accounts, units, bearer, plan.nights)
    if plan.style == "masked_grading":
        words = {one.name: {name: choose(rng, items) for name, items in MIX.items()} for one in accounts}
        for one, when, _ in deal_queue(rng, accounts, [[]] * (count - len(units))):
            rows.append((one, when, [Request(OWN_WORDING.format(**words[one.name], text=next(sessions)[0][0][:2500]), output=120)]))
    return rows


# fmt: on
# --- both worlds ---------------------------------------------------------------------------------------------


def finish(folder: Path, world: Honest, campaigns: Sequence[Account], log: QuillLog, seed: int) -> None:
    """Add failures and retries; then write the files."""
    accounts = {one.name: one for one in (*world.accounts, *campaigns)}
    pools: dict[str, list[str]] = defaultdict(list)
    latest = {row["account"]: dict(row) for row in log.rows}
    for name in latest:
        pools[accounts[name].state.get("pool", accounts[name].kind)].append(name)
    away: Mapping[str, float] = {plan.campaign: plan.again for plan in PLANS} | {"laboratory": 0.7}
    away |= {f"agency {n}": 0.15 for n in range(8)} | {f"bureau {n}": 0.15 for n in range(2)}
    retries = fail_and_retry(log, accounts, pools, latest, OUTAGES, away)
    facts = {
        "world": folder.name, "seed": seed, "first_day": f"{BEGIN:%Y-%m-%d}", "model_launch_day": LAUNCH_DAY, "new_model": NEW_MODEL,
        "retired": {OLD_MODEL: RETIRED_DAY}, "products": world.products, "retries": dict(sorted(retries.items())),
        "people": {"accounts": len(world.people), "persons": len({row["person"] for row in world.people})},
    }  # fmt: skip
    write_world(folder, log, list(accounts.values()), world.people, facts, RULES, PLANS)


def write_worlds(options: argparse.Namespace) -> None:
    seed = options.seed
    stock = Stock(options.range, options.texts, np.random.default_rng([seed, 0]))
    people = [one for path in options.people for one in selves.read_people(path)]
    world = Honest(QuillLog(seed))
    compose_strangers(np.random.default_rng([seed, 1]), world, stock, people)
    compose_firms(np.random.default_rng([seed, 2]), world, stock)
    taken = {row["person"] for row in world.people}
    left = [one for one in people if one.person not in taken and len(one.texts) > 2]
    half = [keyed("seventh half", one.person) % 2 for one in left]
    customers, relayed = ([one for one, side in zip(left, half, strict=True) if side == s] for s in (0, 1))
    rng = np.random.default_rng([seed, 3])
    resellers(rng, world, end_users(rng, customers))
    size = len(world.log.rows)

    def compose(rng: np.random.Generator, plan: Plan) -> Iterator[Sent]:
        accounts = campaign_accounts(rng, plan)
        rows = campaign_rows(rng, plan, accounts, round(plan.share * size), stock, end_users(rng, relayed))
        yield accounts, rows, plan.campaign

    write_both(options.out, "seventh", world, seed, finish, PLANS, compose)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Compose the seventh author's world, with and without campaigns."
    )
    parser.add_argument(
        "--range", type=Path, required=True, help="folder with benign.parquet and distill.parquet"
    )
    parser.add_argument(
        "--people", type=Path, nargs="+", required=True, help="files of `benchmarks/selves.py collect`"
    )
    parser.add_argument("--texts", type=Path, required=True, help="file of `sixth_author.py texts`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=7)
    write_worlds(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
