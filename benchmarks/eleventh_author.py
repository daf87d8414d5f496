#!/usr/bin/env python3
# ruff: noqa: E501 - each wording of a product, team or campaign is one line
"""A world by an eleventh author: an ordinary month whose log has holes, with and without campaigns.

    python benchmarks/eleventh_author.py --range ../shared/range/corpora --people people.parquet people7.parquet --texts texts6.parquet --out worlds
    python benchmarks/eleventh_author.py --count worlds/eleventh

Writes worlds/eleventh and worlds/eleventh-quiet in the format of the fourth to tenth author's worlds, whose helpers it
uses. `--count` prints a world's table of kinds. The rules are in eleventh_author.md, which is written beside the
world. They were committed before this script existed. This script contains no text of a source.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

# isort: off
# fmt: off
import eighth_author as eighth
import selves
from eighth_author import Row, in_jobs, plan_changes
from eighth_provider import Reaction, Troubles, VesperLog
from fifth_author import LIMITS, MODEL_SHARES, TEMPERATURES, Honest, Piece, Product, drawn_settings, end_users, phrase, render
from fourth_author import COUNTRIES, MINUTE, Account, Log, Request, Sent, Settings, Unit, address, choose, moment, new_account, write_both
from ninth_author import Site, UnsaidStock, counts_of
from selves import Person, keyed
from seventh_author import Stock, speak
from sixth_author import deal_queue, times_of
from tenth_author import Operation, ban_in_error, lot_of, plain_texts, runs_of_three, share_cards, talk_unit

DAYS, NEVER = 28.0, 99.0
LAUNCH_DAY, NEW_MODEL = 8.6, "tarn-5"
MODELS = ("tarn-4", "tarn-4-mini", "tarn-4-reason", "tarn-3", "tarn-code")  # in the order of MODEL_SHARES
USUAL, FAST, DEEP, OLD, CODE = MODELS
OUTAGES = ((5.43, 5.43 + 35 * MINUTE, 0.6), (13.9, 13.9 + 120 * MINUTE, 0.3), (20.6, 20.6 + 12 * MINUTE, 1.0))
TROUBLES = Troubles({"free": 10, "payg": 60, "scale": 400}, 200, OUTAGES, ((8.6, 9.2, 0.04),), 0.004, 0.009, LAUNCH_DAY, 0.03, 0.3, 0.001, (NEW_MODEL, FAST, USUAL))
RULES = (Path(__file__).parent / "eleventh_author.md").read_text()


class TarnLog(VesperLog):
    """The log of this world's provider."""

    days, retired, retired_day, heir, reasoning_model = DAYS, OLD, 22.3, FAST, DEEP


# Each wording is one line; a team or a campaign takes a few.
# --- strangers -----------------------------------------------------------------------------------------------


VERBS = ("Condense", "Correct the grammar of", "Say what follows from", "Pick out the numbers in", "Answer as support would:", "Put into plain Spanish", "Give three tags for", "Check the logic of", "Write a title for", "List what is missing in", "Describe for the blind", "Estimate the effort behind", "Turn into a table row", "Explain the jargon in")
THINGS = ("the input", "my text", "this snippet", "the passage", "the entry", "that comment", "the content here", "the paragraph")
SCOPES = tuple(f"{a} {b}" for a in ("for the newsletter", "for our wiki", "for my notes", "for the dashboard", "as an editor would", "for a customer") for b in ("and be brief.", "and keep the order.", "and skip greetings."))
ENDINGS = ("", " Text only.", " Thank you.", " Do not invent.", " Two lines at most.", " Use the author's words.", " Return JSON if you can.", " English.")
WORDING = "{verb} {thing} {scope}{ending}"
WORDS = {"verb": VERBS, "thing": THINGS, "scope": SCOPES, "ending": ENDINGS}
STANDS = ((WORDING + "\n\n{text}", None), ("{text}\n\n" + WORDING, None), ("{text}", WORDING))
GO_ON = ("continue please", "that is wrong, look again", "why so?", "make it shorter", "and with {file}?", "give an example", "thanks, now as a list", "what about {file}", "is that still true today?", "in simpler words", "and the other way round?", "what did you mean by: {line}")
TITLE = ("### Task: Generate a concise, 3-5 word title with an emoji summarizing the chat history.", "Provide a concise, 5-word-or-less title for the conversation, using title case conventions.")
CALLS = {"tool": ("read", "glob", "bash", "edit", "todo")}
JOBS = {"job": tuple(f"{a} {b}" for a in ("Route", "Name the sentiment of", "Write one line about", "Pull the amount and the date from", "Translate to English", "Draft a reply to", "Score from 1 to 5") for b in ("the new record.", "the incoming mail.", "this form.", "the payload below.", "each comment.", "the chat message."))}
CARDS = {"card": tuple(f"{a} {b} Stay in the story." for a in ("Nerys, a clockmaker with a secret.", "Commander Falk of a drifting station.", "The fox who keeps an inn.", "Doctor Imre, awake for three days.", "Saskia, rival and friend.", "A library that talks.") for b in ("Wry.", "Gentle and slow.", "Curt.", "Full of questions."))}
PRODUCTS = (
    *(Product(kind, number // 3 + (at < number % 3), agent, settings, prompt, system, own=WORDS, output=160, units=units, life=700, moves=0.15)
      for kind, number, agent, settings, units in (
        ("script_python", 640, "OpenAI/Python 2.11.0", Settings(USUAL, None, None, False), 7.5), ("script_node", 380, "OpenAI/JS 6.16.0", Settings(USUAL, None, None, True), 7.5),
        ("script_index", 150, "llama-index-core/0.14.8", Settings(USUAL, 0.1, None, False), 8.5), ("script_ai_sdk", 220, "ai-sdk/5.0.60", Settings(USUAL, None, None, True), 7.5), ("script_go", 210, "", Settings(USUAL, None, 1024, False), 7))
      for at, (prompt, system) in enumerate(STANDS)),
    Product("trial", 600, "Mozilla/5.0 (console)", Settings(USUAL, 1.0, 2048, True), "{text}", output=230, gap=3, units=1.7, life=0.01),
    Product("flow_cloud", 150, "n8n/1.118", Settings(FAST, 0.7, None, False), "{job}\n\n{text}", own=JOBS, output=80, units=13.4, life=600),
    Product("flow_own", 130, "activepieces/0.71", Settings(FAST, 0.9, 2048, False), "{job}\n```\n{text}\n```", own=JOBS, output=80, units=12.6, life=400),
    Product("chat_webui", 230, "open-webui/0.6.33", Settings(USUAL, None, None, True), "{text}", follow=(*GO_ON, TITLE[0], TITLE[0]), follow_share=0.5, output=250, gap=3, units=5.9, life=500, update=(15.2, 4.0, 0.5, {"user_agent": "open-webui/0.6.36"}), moves=0.15),
    Product("chat_libre", 110, "LibreChat/0.8.1", Settings(USUAL, 1.0, None, True), "{text}", "When you use a code block, name its language.", follow=(*GO_ON, TITLE[1]), follow_share=0.5, output=250, gap=3, units=5.9, life=450, moves=0.15),
    Product("chat_cherry", 130, "CherryStudio/1.6.7", Settings(USUAL, 1.0, 4096, True), "{text}", follow=GO_ON, follow_share=0.5, output=240, gap=3, units=5.9, life=350, moves=0.15),
    Product("tavern", 160, "SillyTavern/1.14.0", Settings(USUAL, 1.0, 300, True, 1.0), "{text}", "Write the next reply in a fictional roleplay. {card}", follow=("*nods*", "then?", "I follow her", "that cannot be", "we should leave now", "*looks at {file}*", "who told you that?", "I say: {line}", "*waits in silence*", "tell me the rest"), follow_share=0.65, own=CARDS, output=160, gap=1.5, units=5, life=500),
    Product("companion", 70, "companion-cloud/3.2", Settings(FAST, 0.9, 400, True), "{text}", "{card}", follow=("tell me more", "and you?", "good night", "I was thinking of {line}", "do you remember?", "say it again"), follow_share=0.5, own=CARDS, output=90, gap=2, units=5.9, life=250),
    Product("agent_term", 230, "opencode/1.0.55", Settings(USUAL, 0.0, 32000, True, None, 14), "{text}\n<env>cwd {root} file {file}</env>", "You are an interactive coding agent in a terminal. Directory {root}. Be concise, verify with tests, never commit unasked.", more="<result tool=\"{tool}\" of=\"{file}\">\n{text}\n</result>", parts=(2, 6), each=CALLS, output=200, gap=0.6, units=4.2, life=200, update=(3.5, 1.0, 0.85, {"user_agent": "opencode/1.0.58"}), moves=0.15, session=True),
    Product("agent_side", 210, "RooCode/3.30.2", Settings(USUAL, 0.0, 16384, True, None, 12), "<request>{text}</request>\n# Visible files\n{file}", "You work as an engineer inside an editor's side bar. Root: {root}. One tool a message.", more="[{tool} for '{file}'] Result:\n{text}", parts=(2, 6), each=CALLS, output=210, gap=0.7, units=3.4, life=350, moves=0.15, session=True),
    Product("agent_hands", 50, "openhands/1.1", Settings(USUAL, 0.0, None, True, None, 7), "{text}\nWorkspace: {root}", "You run in a sandbox and may execute code.", more="OBSERVATION ({file}):\n{text}", parts=(3, 7), output=190, gap=0.4, units=3.4, life=300, session=True),
    Product("ide_cloud", 120, "cursor-gateway/2.1", Settings(CODE, 0.0, None, True), "{text}\n<attached>{file}</attached>", "You pair with the user in their editor.", follow=GO_ON, follow_share=0.35, output=190, gap=1.2, units=6.7, life=400, moves=0.15),
    Product("ide_fim", 90, "continue-fim/1.3.9", Settings(CODE, 0.01, 256, False), "<|fim_prefix|># {file}\n{text}\n<|fim_suffix|>\n<|fim_middle|>", more="<|fim_prefix|># {file}\n{text}\n<|fim_suffix|>\n<|fim_middle|>", parts=(2, 6), output=30, gap=0.1, units=4.2, life=350),
    Product("review_agent", 70, "pr-agent/0.31", Settings(USUAL, 0.2, 2000, False), "PR description:\n{text}\nFiles: {file}\nList key issues to review, estimate the effort (1-5).", "You are PR-Reviewer, a language model that reviews a git pull request.", output=140, units=9.2, life=450),
    Product("commit_hook", 100, "opencommit/3.2.10", Settings(FAST, 0.0, 500, False), "{file}\n{text}", "Write a commit message in the conventional commit convention. Present tense, no preface.", output=20, units=10.1, life=500),
    Product("translate_tab", 130, "immersive-translate/1.24", Settings(FAST, 0.0, None, False), "Translate to {to}, output only the translation:\n{text}", more="Translate to {to}, output only the translation:\n{text}", parts=(2, 6), own={"to": ("Simplified Chinese", "Spanish", "Japanese", "German", "Korean", "French")}, output=90, gap=0.1, units=3.4, life=400),
    Product("sheet_fill", 80, "gptforwork-addon/6.4", Settings(FAST, 0.0, 250, False), "{job}\nValue: {line}", more="{job}\nValue: {line}", parts=(3, 9), own=JOBS, output=12, gap=0.05, units=3.4, life=600),
    Product("vault_notes", 110, "obsidian-copilot/3.1.2", Settings(USUAL, 0.1, 1000, True), "[[{file}]]\n{text}", output=170, units=6.7, life=450),
    Product("paper_notes", 50, "zotero-gpt/1.3", Settings(USUAL, 1.0, None, True), "Answer from the passage and cite it as [{file}].\n{text}", output=170, units=5.9, life=400),
    Product("mail_rules", 60, "inbox-zero/2.4", Settings(FAST, 0.0, 1024, False, None, 0, "json_object"), "Select a rule for the email: {rules}. JSON with rule and reason.\n{text}", own={"rules": ("invoice, reply, archive", "newsletter, receipt, person", "urgent, later, never")}, output=30, units=9.2, life=350),
    Product("shop_copy", 60, "shop-writer/4.8", Settings(FAST, 0.7, 800, False), "Product description, tone {tone}. Features:\n{text}", own={"tone": ("expert", "playful", "supportive", "daring")}, output=150, units=6.7, life=400),
    Product("home_voice", 80, "HomeAssistant/2026.9.1", Settings(FAST, 1.0, 3000, True, 1.0, 18), "{line}", "You are a voice assistant for Home Assistant. Areas: {areas}. Answer in plain text.", own={"areas": ("attic, hall", "kitchen, garden", "studio", "nursery, living room", "cellar, office")}, output=30, units=10.9, life=600),
    Product("shell_ask", 70, "shell-gpt/1.4.5", Settings(FAST, 0.0, None, True, 1.0), "{line}", "Provide only bash commands for Linux without any description.", output=50, units=9.2, life=600),
    Product("captions", 50, "whisperdesk/2.7", Settings(FAST, 0.3, 2000, False), "Punctuate this transcript, keep every word.\n{text}", more="Punctuate this transcript, keep every word.\n{text}", parts=(2, 6), output=110, gap=0.2, units=3.4, life=400),
    Product("cards_deck", 40, "anki-llm/0.6", Settings(FAST, 0.4, 1500, False), "Make cloze cards from my note, at most five.\n{text}", output=140, units=5.9, life=300),
    Product("rag_desk", 60, "dify/1.9.2", Settings(USUAL, 0.7, 512, True), "{text}", "Use the following context as your learned knowledge, inside <context></context> XML tags.\n<context>\n{file}\n</context>", follow=GO_ON, follow_share=0.3, output=160, gap=2, units=7.6, life=400),
)
BY_KIND = {product.kind: product for product in PRODUCTS}
AGENTS = ("curl/8.15.0", "Go-http-client/2.0", "python-requests/2.32.5", "axios/1.12.2", "okhttp/5.1.0", "python-httpx/0.28.1", "ruby-openai/8.3", "PostmanRuntime/7.49", "DeskScholar/1.8 (win32)", "one-api/0.6.11", "undici")
CLOCKED = frozenset({"script_python", "script_node", "script_index", "script_ai_sdk", "script_go", "flow_own", "review_agent"})
CHATS = frozenset({"chat_webui", "chat_libre", "chat_cherry"})
VENDORS = {"ide_cloud": 4, "flow_cloud": 4, "companion": 3, "shop_copy": 3}  # products that run at their vendor's, and the number of its addresses
WORK = CLOCKED | CHATS | {"agent_term", "agent_side", "agent_hands", "ide_fim", "rag_desk"}
CAMPUS_MAIL = tuple(f"{part}{name}" for name in ("northfield.edu", "saltash.ac.uk", "wexley.edu", "corvane.edu", "ilmen.ac.uk", "ostheim.edu") for part in ("", "alumni."))
USES = ("internal tools", "software development", "customer service", "education", "research", "content", "evaluation", "personal")


@dataclass
class SharedNetworks:
    """Addresses that many accounts share."""

    mobile: list[Site]  # of carriers
    exits: list[Site]  # of VPNs
    functions: list[Site]  # serverless, continuous integration
    spaces: list[Site]  # co-working
    gates: list[Site]  # web gateways of companies
    campuses: list[list[Site]]
    desktops: list[list[Site]]  # of two vendors of cloud desktops
    vendors: dict[str, list[Site]]

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "SharedNetworks":
        def of(number: int, *systems: int) -> list[Site]:
            return [(address(rng)[0], choose(rng, systems)) for _ in range(number)]

        return cls(of(45, 21928, 55836, 28403, 12430), of(35, 9009, 212238, 60068), of(22, 16509, 8075, 396982), [address(rng) for _ in range(8)], of(3, 22616, 53813),
                   [of(2, system) for system in (680, 786, 559)], [of(4, system) for system in (16509, 8075)], {kind: of(number, 16509) for kind, number in VENDORS.items()})

    def place(self, rng: np.random.Generator, where: str, home: list[Site], site: list[Site]) -> list[Site]:
        """Return the addresses of somebody at this kind of place. `site` is the group's own."""
        shared = {"mobile": self.mobile, "exits": self.exits, "functions": self.functions, "coworking": self.spaces}
        if where in shared:
            return [choose(rng, shared[where]) for _ in range(2 if where in ("mobile", "exits") else 1)]
        return {"home": home, "residential": [address(rng), address(rng)], "hosting": [address(rng, True)]}.get(where, site)

    def site(self, rng: np.random.Generator, wheres: Sequence[str], number: int) -> list[Site]:
        """Create the group's own place: a campus, cloud desktops, a server, or one address."""
        if "campus" in wheres:
            return self.campuses[number % 3]
        if "desktop" in wheres:
            return self.desktops[number % 2][:2]
        return [address(rng, hosting=bool({"server", "servers"} & set(wheres))) for _ in range(2 if "servers" in wheres else 1)]


def open_account(rng: np.random.Generator, key: str, kind: str, settings: Settings, agent: str, life: float) -> Account:
    """Create an account that exists throughout the log and was made before it, without organisation. Honest and campaign accounts are made the same way."""
    one = new_account(rng, f"eleventh {key}", kind, settings, agent or choose(rng, AGENTS), life)
    one.start, one.end, one.created = 0.0, DAYS, moment(-0.2 - life * rng.random() ** 0.8)
    one.declared_use = choose(rng, USES) if rng.random() < 0.06 else None
    one.payment = token(one.name, rng)
    one.state |= {"own": {}, "late": NEVER}
    return one


def token(key: str, rng: np.random.Generator) -> str | None:
    """Return what the log shows of a payment: a card, a wallet, a debit mandate, or nothing for credits."""
    form = choose(rng, ("card", "wallet", "mandate", None), (0.78, 0.12, 0.06, 0.04))
    return form and f"{form}_{keyed('eleventh pays', key):012x}"[:18]


def named_firm(key: str) -> dict[str, str]:
    """Return organisation, token and mail domain of a firm."""
    return {"org": f"org_{keyed('eleventh org', key) % 10**8:08d}", "payment": f"card_{keyed('eleventh firm', key):012x}"[:18], "email_domain": f"{('kestrel', 'mono', 'ferro', 'juno', 'quarz', 'tide')[keyed(key) % 6]}{keyed('eleventh mail', key) % 10**5}.com"}


def forget(accounts: Sequence[Account], log: Log) -> None:
    """Remove facts that the log does not have, by the account's name, honest or not."""
    by_name = {one.name: one for one in accounts}
    gaps = {name: np.random.default_rng(keyed("gap", name)).random(3) for name in by_name}
    for name, (network, client, billing) in gaps.items():
        one = by_name[name]
        if network < 0.16:
            one.addresses = [(None if network < 0.04 else ip, None) for ip, _ in one.addresses]
        one.payment = None if billing < 0.06 else one.payment
        if client < 0.03:
            one.user_agent = None
    for row in log.rows:
        network, client, _ = gaps[row["account"]]
        if network < 0.16:
            row |= {"asn": None} | ({"client_ip": None} if network < 0.04 else {})
        if client < 0.03:
            row["user_agent"] = None


def crowd(rng: np.random.Generator, product: Product, number: int, world: Honest, nets: SharedNetworks) -> list[Account]:
    """Create a product's accounts: settings, lifetimes, networks and later changes."""
    keeps = (0.4,) * 3 if product.kind.startswith("script_") else (rng.uniform(0.5, 0.97), rng.uniform(0.75, 1.0), rng.uniform(0.75, 1.0))
    accounts = []
    for at in range(product.accounts):
        one = open_account(rng, f"{product.kind} {number} {at}", product.kind, drawn_settings(rng, product.settings, keeps, MODELS), product.agent, product.life)
        if product.kind == "trial" or rng.random() < 0.14:
            one.start, one.state["at_once"] = float(rng.uniform(0, DAYS - 0.5)), True
            one.created = moment(one.start - rng.exponential(0.01 if product.kind == "trial" else 0.2))
        if rng.random() < 0.2:
            one.end = max(one.start + 0.3, float(rng.uniform(one.start, DAYS)))
        one.tier = "free" if product.kind == "trial" else one.tier
        one.payment = None if one.tier == "free" and rng.random() < 0.8 else one.payment
        one.state["own"] = {name: choose(rng, items) for name, items in product.own.items()}
        plan_changes(rng, product, one, LAUNCH_DAY, 9, NEW_MODEL)
        if product.kind in CLOCKED and rng.random() < 0.25:
            one.state["minute"] = rng.random()
        place = rng.random()
        if product.kind in VENDORS:
            one.addresses = nets.vendors[product.kind]
        elif product.kind in CLOCKED and place < 0.4:
            one.addresses = nets.place(rng, "functions" if rng.random() < 1 / 3 else "hosting", [], [])
        elif product.kind not in CLOCKED and place < 0.1:
            one.addresses = [*one.addresses, choose(rng, nets.mobile)]
        elif product.kind not in CLOCKED and place < 0.22:
            one.addresses = nets.place(rng, "exits", [], []) if place < 0.15 else [one.addresses[0], *choose(rng, nets.campuses)] if place < 0.19 else [choose(rng, nets.spaces)]
            one.email_domain = choose(rng, CAMPUS_MAIL) if 0.15 <= place < 0.19 and rng.random() < 0.4 else one.email_domain
        accounts.append(one)
    world.products.append({"product": product.agent, "kind": product.kind, "default_model": product.settings.model, "max_tokens": product.settings.max_tokens, "temperature": product.settings.temperature, "keep": [round(float(keep), 2) for keep in keeps]})
    return accounts


def seat_companies(rng: np.random.Generator, crowds: Sequence[tuple[Product, list[Account]]], nets: SharedNetworks) -> None:
    """Give a fifth of those who work a seat in a company of 2 to 60."""
    free = [[crowd[at] for at in rng.permutation(len(crowd))] for product, crowd in crowds if product.kind in WORK]
    left, number = round(0.2 * sum(map(len, free))), 0
    while left > 1:
        size, one_product, number = min(left, 60, 1 + int(rng.zipf(1.6))), rng.random() < 0.5, number + 1
        lots = [int(rng.choice(len(free), p=np.array([len(own) for own in free]) / sum(map(len, free)))) for _ in range(size)]
        staff = [own.pop() for lot in lots if (own := free[lots[0] if one_product else lot])]
        left -= len(staff)
        firm, office, tier = named_firm(f"company {number}"), address(rng), choose(rng, ("payg", "scale"), (0.6, 0.4))
        pays = choose(rng, (firm["payment"], None, "staff", f"market_{firm['org']}"), (0.4, 0.25, 0.25, 0.1))
        sits = choose(rng, ("office", "mixed", "home", "desktop", "gate"), (0.35, 0.25, 0.2, 0.08, 0.12))
        known, mail, house, alike = rng.random() < 0.5, rng.random() < 0.85, one_product and rng.random() < 1 / 3, rng.random() < 0.5
        shared = {"desktop": choose(rng, nets.desktops), "gate": [choose(rng, nets.gates)]}
        for one in staff:
            one.org, one.tier, one.email_domain = firm["org"] if known else None, tier, firm["email_domain"] if mail else one.email_domain
            one.payment = token(one.name, rng) if pays == "staff" else pays
            one.state |= {"pool": f"company {number}", "reacts": "company"}
            if house and one.kind.startswith("script_"):
                one.state["own"], one.settings = staff[0].state["own"], staff[0].settings if alike else one.settings
            if "minute" not in one.state:
                one.addresses = {"office": [office], "mixed": [office, one.addresses[0]], "home": one.addresses, **shared}[sits]


def compose_strangers(rng: np.random.Generator, world: Honest, stock: Stock, people: Sequence[Person], nets: SharedNetworks) -> None:
    crowds = [(product, crowd(rng, product, at, world, nets)) for at, product in enumerate(PRODUCTS)]
    seat_companies(rng, crowds, nets)
    everybody = [one for _, accounts in crowds for one in accounts]
    share_cards(rng, everybody)
    ban_in_error(rng, everybody, DAYS, 6, 4)
    speak(rng, world, stock, people, crowds, *counts_of(rng, crowds, people, DAYS, CHATS, 1.4, 350, 1 / 3, 20))


# --- firms with one account ----------------------------------------------------------------------------------


FRONTS = ("Ferry times", "Clinic reception", "Wine adviser", "Tenant portal", "Gym coach", "Insurance claims", "Museum guide", "Spare parts", "City waste line", "Hotel concierge")


def worded(words: Mapping[str, str], texts: Sequence[str]) -> Unit:
    """Put somebody's texts behind the wording of a script."""
    return [Request(STANDS[keyed(words["verb"]) % 2][0].format(**words, text=text[:2500]), output=160) for text in texts]


def script_words(rng: np.random.Generator) -> dict[str, str]:
    return {name: choose(rng, items) for name, items in WORDS.items()}


def compose_firms(rng: np.random.Generator, world: Honest, stock: Stock, customers: Iterator[list[Piece]]) -> None:
    """Compose back ends, batches, support desks, judges, resellers, and synthesis with permission."""
    def firm(kind: str, at: int, settings: Settings, agent: str = "") -> Account:
        one, named = open_account(rng, f"{kind} {at}", kind, settings, agent, 600), named_firm(f"{kind} {at}")
        one.tier, one.org, one.payment, one.email_domain, one.addresses, one.spread = "scale", named["org"] if at % 2 else None, named["payment"] if at % 4 else None, named["email_domain"], [address(rng, True)], 5.5
        return one

    for kind, number, median, sigma in (("app_backend", 120, 24, 1.3), ("desk", 20, 45, 1.0)):
        for at in range(number):
            one = firm(kind, at, Settings(choose(rng, MODELS[:2]), choose(rng, TEMPERATURES), choose(rng, LIMITS), bool(at % 2)))
            frame = f"{choose(rng, FRONTS)} {keyed(kind, at) % 900}. {choose(rng, JOBS['job'])} {choose(rng, SCOPES)}{choose(rng, ENDINGS)}"
            talks = stock.take("talks pairs", int(np.clip(rng.lognormal(np.log(median), sigma), 3, 240)))
            world.add(rng, one, times_of(rng, one, len(talks)), [talk_unit(rng, talk, frame, f"u{rng.integers(4000)}") for _, talk in talks])
    for at in range(40):
        one, texts = firm("batch", at, Settings(choose(rng, MODELS[:2]), 0.0, choose(rng, LIMITS), False)), stock.take("requests pairs", int(np.clip(rng.lognormal(np.log(90), 1.0), 20, 700)))
        task = f"{choose(rng, JOBS['job'])} {choose(rng, SCOPES)} Classes: {', '.join(f'{choose(rng, FRONTS).split()[0].lower()}{n}' for n in range(4))}."
        rows = in_jobs(rng, [one], [[Request(f"{task}\n{text}", output=8)] for _, text in texts], 3)
        world.add(rng, one, [when for _, when, _ in rows], [unit for _, _, unit in rows])
    for at in range(6):
        one, talks = firm("judge", at, Settings(MODELS[at % 2], 0.0, choose(rng, LIMITS), False)), stock.take("talks pairs", int(rng.integers(40, 140)))
        rubric = f"Rate the {choose(rng, FRONTS).lower()} bot's reply, 1 to {choose(rng, (3, 5, 10))}.{choose(rng, ENDINGS)}"
        world.add(rng, one, times_of(rng, one, len(talks)), [[Request("\n".join([rubric, *map(str, json.loads(talk)[:2])]), output=30)] for _, talk in talks])
    for at in range(2):
        one = firm("synthetic_permitted", at, Settings(USUAL, 0.9, 1500, False))
        one.permissions, one.declared_use = ("synthetic_data",), "synthetic data for research"
        world.add(rng, one, times_of(rng, one, 280), [[Request(f"Invent the call in which a customer wants this: {text}", output=260)] for _, text in stock.take("requests pairs", 280)])
    for at in range(4):
        one, words = firm("reseller", at, Settings(USUAL, None, None, True), "one-api/0.6.11"), [script_words(rng) for _ in range(40)]
        units: list[Unit] = [worded(choose(rng, words), [text for text, _ in next(customers)]) for _ in range(int(rng.integers(70, 180)))]
        world.add(rng, one, times_of(rng, one, len(units)), units)


# --- organised groups ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WorkingTeam:
    """Honest people who work for one organiser, on one task or with one program. Values that differ by group are cycled."""

    kind: str
    groups: int
    size: tuple[int, int]
    each: int  # requests per account, about
    days: tuple[tuple[float, float], ...]
    pays: tuple[Mapping[str, float], ...]  # own, organiser, invoice, voucher, nothing
    sits: tuple[Mapping[str, float], ...]
    since: tuple[float, int, float, float]  # made within so many days, in so many lots (0: one by one), share of newcomers, days before the start
    agents: tuple[str, ...]  # the organiser's; several: own choice; "": anything
    settings: Settings
    keeps: tuple[float, ...]
    dealt: str
    pool: str
    frames: tuple[str, ...]  # by group
    reaction: Reaction
    hours: tuple[float, float] | None = None  # local hour of the day, spread
    output: float = 150.0
    firm: str = ""  # mail: one domain; org: an organisation in the table too


ALL, OWN, HOME, SERVER, SDKS = ((0.0, DAYS),), ({"own": 1},), ({"home": 1},), ({"server": 1},), ("OpenAI/Python 2.11.0", "OpenAI/JS 6.16.0", "ai-sdk/5.0.60")
TEAMS = (
    WorkingTeam("course", 3, (18, 34), 11, ((1.3, 26), (7.4, 27.5), (14.3, 21)), ({"nothing": 0.6, "own": 0.4},), ({"campus": 0.5, "home": 0.3, "mobile": 0.2},), (730, 0, 0.7, 4), ("OpenAI/Python 2.11.0", "open-webui/0.6.33", "Mozilla/5.0 (console)"), Settings(USUAL, None, 2048, True), (0.7,), "shared", "leetcode180", ("{lead}{text}",), Reaction(1, 0.15, 8, 0.4, 6, 0.2), output=260),
    WorkingTeam("hackathon", 2, (24, 40), 14, ((4.75, 6.6), (18.75, 20.7)), ({"voucher": 0.8, "own": 0.2},), ({"hall": 0.9, "mobile": 0.1},), (730, 0, 0.6, 2), SDKS, Settings(USUAL, 0.7, 4096, True), (0.5,), "teams", "people", ("{text}",), Reaction(1, 0.4, 4, 0.3, 3, 0.2, heirs=0.8), output=260),
    WorkingTeam("exam_marking", 1, (16, 16), 28, ((9.3, 17),), ({"invoice": 1},), ({"desktop": 1},), (0.1, 1, 0, 2), ("markbench/2.2",), Settings(USUAL, 0.0, 700, False), (1,), "twice", "manual pairs", ("Paper 2, question {n}. Bands: A complete, B sound, C partial, D off. Name the band and quote the deciding words.\nScript: {text}",), Reaction(2, 0.05, 60, 0.6, 10), (13, 2.0), 120, "mail"),
    WorkingTeam("annotation", 2, (20, 34), 30, ((2, 24), (10, 27)), ({"voucher": 0.5, "own": 0.5},), ({"home": 0.7, "mobile": 0.3},), (90, 4, 0, 1), ("labelyard/5.1",), Settings(USUAL, 0.0, 800, False), (1, 0.85), "third", "standards pairs", ("Guide v{n}: claim, definition, rule or example? Label, then the reason in one sentence.\n{text}", "Read the passage. Which readers need it (1 user, 2 author, 3 neither) and why?\n\n{text}"), Reaction(1, 0.3, 10, 0.3, 10, heirs=0.5), output=70),
    WorkingTeam("bureau", 2, (5, 9), 35, ALL, ({"own": 0.6, "organiser": 0.4},), ({"home": 0.7, "coworking": 0.3},), (1800, 0, 0, 1), ("", "memoq-bridge/11", "trados-llm/3.2"), Settings(USUAL, 0.2, None, False), (0.6,), "runs", "news pairs", ("Order {n}. Into Dutch, client's glossary, keep tags.\n{text}", "Translate for publication in Portuguese (Brazil). House style {n}.\n{text}"), Reaction(2, 0.4, 60, 0.3, 30), output=240),
    WorkingTeam("contact_centre", 2, (14, 26), 45, ALL, ({"invoice": 1},), ({"office": 1}, {"home": 1}), (700, 2, 0, 1), ("genesys-assist/9", "helpdeck/4.0"), Settings(FAST, 0.2, 500, True), (1,), "shift", "talks pairs", ("Suggest a reply, brand {n}. Greeting, answer, offer of further help.\nCustomer: {text}", "Chat reply, at most 40 words, tone guide {n}.\n> {text}"), Reaction(1, 0.6, 1, 0.3, 2, heirs=0.9), output=60, firm="org"),
    WorkingTeam("byok_app", 2, (30, 45), 18, ALL, OWN, SERVER, (200, 0, 0, 1), ("draftly-cloud/1.9", "threadwise/2.6"), Settings(USUAL, 0.6, 1500, True), (0.9,), "person", "people", ("Improve the draft. Keep the author's voice, list your changes below it.\n<draft>\n{text}\n</draft>", "Summarise the thread for me: what was decided, what do I owe whom?\n{text}"), Reaction(2, own=0.4, wait=5), output=200),
    WorkingTeam("reseller_accounts", 2, (9, 16), 20, ALL, ({"organiser": 1},), ({"server": 0.5, "home": 0.5},), (730, 0, 0, 1), ("", "one-api/0.6.11"), Settings(USUAL, None, None, True), (0.3,), "person", "people", ("",), Reaction(1, 0.1, 5, 0.4, 10)),
    WorkingTeam("batch_keys", 3, (4, 7), 90, ALL, ({"organiser": 1}, {"invoice": 1}, {"organiser": 1}), SERVER, (365, 0, 0, 1), ("airflow-llm/1.4", "python-httpx/0.28.1", "Go-http-client/2.0"), Settings(FAST, 0.0, 64, False), (1,), "jobs", "banking77", ("Intent code {n}xx for the utterance, code only.\n{text}", "Does the customer want a person? yes, no, unclear.\n{text}", "Which team (cards, transfers, identity, other {n})?\n{text}"), Reaction(3, 0.6, 1, 0.3, 20, heirs=0.9), output=6),
    WorkingTeam("home_team", 2, (10, 18), 28, ALL, ({"own": 0.7, "nothing": 0.3},), ({"home": 0.6, "gate": 0.4},), (730, 0, 0.1, 0.3), ("OpenAI/JS 6.16.0", "typistpro/3.0"), Settings(USUAL, 0.3, 1200, True), (0.8,), "queue", "requests pairs", ("Dictation, client {n}. Make the letter: address, subject, two paragraphs, our closing.\n{text}", "Type this up as a memo in house form {n}; mark what you could not hear.\n{text}"), Reaction(1, 0.2, 20, 0.4, 15, 0.1), (11, 2.5), 170),
    WorkingTeam("lab_sampling", 2, (4, 7), 100, ((9, 13), (16, 19)), (*OWN, {"organiser": 1}), ({"campus": 1},), (365, 0, 0, 1), ("lm-eval/0.4.10",), Settings(NEW_MODEL, 0.8, 512, False), (1,), "samples", "mmlu_sample", ("{text}\nAnswer with reasons, then the letter.",), Reaction(3, 0.5, 10, 0.4, 20, heirs=0.7), output=130),
    WorkingTeam("eval_consultants", 1, (6, 6), 60, ALL, ({"organiser": 1},), ({"office": 0.5, "home": 0.5},), (700, 0, 0, 1), ("OpenAI/Python 2.11.0",), Settings(USUAL, 0.0, 1024, False), (0.9,), "queue", "talks pairs", ("Audit of bot {n}. Criteria: fact, tone, next step, each 0 to 4 with a ground.\n{text}",), Reaction(2, 0.3, 10, 0.4, 10), output=110),
    WorkingTeam("newsroom", 1, (14, 14), 25, ALL, ({"invoice": 1},), ({"office": 0.6, "mobile": 0.4},), (365, 3, 0, 1), ("pressdesk-cms/7.2",), Settings(USUAL, 0.6, 600, False), (1,), "own", "news pairs", ("Five headlines (60 characters), one teaser (25 words), desk {n}.\n{text}",), Reaction(1, 0.05, 10, 0.5, 4), output=90, firm="org"),
    WorkingTeam("deal_room", 1, (10, 10), 40, ((6.3, 19),), ({"invoice": 1},), ({"desktop": 1},), (1, 1, 0, 30), ("clausebox/3.4", "OpenAI/Python 2.11.0"), Settings(USUAL, 0.1, 2048, True), (0.9,), "queue", "policy pairs", ("Project {n}-Larch. Clause type, risk for the buyer (red, amber, green), proposed wording.\n{text}",), Reaction(1, 0.3, 5, 0.4, 5), (15, 3.0), 220, "mail"),
    WorkingTeam("franchise", 1, (24, 24), 15, ALL, OWN, HOME, (700, 0, 0, 1), ("bakehouse-post/1.2",), Settings(FAST, 0.8, 400, False), (0.9,), "person", "people", ("Post for our shop, head office style {n}: warm, one emoji, opening hours last.\nToday: {text}",), Reaction(1, own=0.4, wait=15), (9, 2.5), 70),
    WorkingTeam("letter_volunteers", 1, (20, 20), 15, ((11.5, 16.5),), ({"nothing": 1},), ({"mobile": 0.5, "home": 0.5},), (1000, 0, 0.5, 2), ("writein-page/1.0",), Settings(USUAL, 0.7, 900, True), (0.95,), "queue", "requests pairs", ("Polite letter to the office in charge, 150 words, case below, no threats, ask for an answer by a date.\nCase {n}: {text}",), Reaction(1, 0.1, 20, 0.4, 10), output=190),
    WorkingTeam("study_circle", 5, (4, 7), 9, ((2, 9), (5, 12), (9, 16), (16, 23), (20, 27)), ({"nothing": 0.7, "own": 0.3},), ({"campus": 0.5, "home": 0.5},), (365, 0, 0, 1), ("Mozilla/5.0 (console)", "open-webui/0.6.33", "CherryStudio/1.6.7"), Settings(USUAL, 1.0, 2048, True), (0.8,), "shared", "leetcode180", ("{lead}{text}",), Reaction(0, 0.4, 5, 0.4, 3, 0.3), output=240),
    WorkingTeam("market_freelancers", 2, (6, 9), 25, ((3, 15), (12, 26)), OWN, ({"home": 0.7, "coworking": 0.2, "exits": 0.1},), (1000, 0, 0, 1), ("", "OpenAI/Python 2.11.0", "CherryStudio/1.6.7"), Settings(USUAL, 0.7, 3000, True), (0.4,), "queue", "standards pairs", ("Brief {n}: explain to managers, no code, 200 words, a question at the end.\nSource: {text}", "Series {n}. Rewrite as an entry for our knowledge base: problem, rule, example.\n{text}"), Reaction(1, 0.3, 60, 0.4, 30, 0.1), output=230),
    WorkingTeam("integrator", 3, (5, 9), 40, ALL, OWN, SERVER, (730, 0, 0, 1), ("sync-works/8.1",), Settings(FAST, 0.4, 700, False), (1,), "nightly", "people", ("Catalogue text, scheme {n}: what, for whom, care. 60 words.\n{text}", "Rewrite the supplier's line for our web shop ({n}).\n{text}", "Attributes as name: value, unknown left out ({n}).\n{text}"), Reaction(3, own=0.9, wait=20), output=90),
    WorkingTeam("field_crew", 1, (18, 18), 25, ((17.3, 23),), ({"organiser": 1},), ({"mobile": 1},), (0.1, 1, 0, 1), ("claimwalk/2.9 (Android 16)",), Settings(FAST, 0.0, 300, False), (1,), "queue", "requests pairs", ("Damage note {n}: object, cause, extent, urgent yes or no.\nSpoken: {text}",), Reaction(2, 0.05, 10, 0.8, 3), (13, 2.5), 40, "mail"),
)
HELP = ("", "", "help me with this one: ", "I do not get it\n", "Exercise from class. ", "can you explain how to do\n")


def team_accounts(rng: np.random.Generator, team: WorkingTeam, number: int, nets: SharedNetworks) -> list[Account]:
    """Create a team's accounts: payment, places, ages and clients."""
    def cycled(values: Sequence):
        return values[number % len(values)]

    (first, last), key, country = cycled(team.days), f"{team.kind} {number}", choose(rng, list(COUNTRIES))
    firm, site, (within, lots, fresh, before) = named_firm(key), nets.site(rng, list(cycled(team.sits)), number), team.since
    agents = (cycled(team.agents),) if team.dealt in ("shift", "person", "jobs") else team.agents
    dates, accounts = np.sort(rng.uniform(0, within, lots)) if lots else np.empty(0), []
    for at in range(int(rng.integers(team.size[0], team.size[1] + 1))):
        one = open_account(rng, f"{key} {at}", team.kind, drawn_settings(rng, team.settings, (cycled(team.keeps),) * 3, MODELS), choose(rng, agents), 400)
        one.start, one.end = first + (float(rng.uniform(0, 0.08)) if first else 0.0), last
        one.state |= {"pool": key, "number": number}
        one.created = moment(first - before - (float(choose(rng, dates)) + rng.uniform(0, min(1, within)) if lots else float(rng.uniform(0, within))))
        if rng.random() < fresh:
            one.start = first + float(rng.uniform(1, 20)) if team.kind == "home_team" else one.start
            one.created = moment(one.start - float(rng.uniform(0.01, before)))
        pays, sits = lot_of(cycled(team.pays), rng), lot_of(cycled(team.sits), rng)
        one.tier = {"nothing": "free", "invoice": "scale"}.get(pays, "scale" if team.dealt in ("jobs", "samples", "nightly") else "payg")
        one.payment = {"own": one.payment, "organiser": firm["payment"], "voucher": f"voucher_{keyed('eleventh voucher', key):010x}"[:18]}.get(pays)
        one.addresses = nets.place(rng, sits, one.addresses, site)
        if team.kind not in ("byok_app", "reseller_accounts", "integrator", "market_freelancers", "bureau"):
            one.country = country
        if sits == "campus" and rng.random() < 0.4:
            one.email_domain = CAMPUS_MAIL[keyed(key) % 6 * 2]
        if team.firm:
            one.email_domain, one.org = firm["email_domain"], firm["org"] if team.firm == "org" else None
        elif team.dealt == "nightly":
            one.email_domain = named_firm(one.name)["email_domain"]
        if team.hours:
            one.hour, one.spread, one.weekend = team.hours[0] - COUNTRIES[one.country][0] + rng.normal(0, 0.5), team.hours[1], 0.2
        accounts.append(one)
    return accounts


def team_texts(stock: Stock, team: WorkingTeam, count: int) -> list[str]:
    """Return texts of the team's pool. Of a dialogue: the customer's longest line, or the first exchange if it is judged."""
    texts = [text[1] if isinstance(text, tuple) else text for text in stock.take(team.pool, count)]
    if team.pool != "talks pairs":
        return texts
    talks = [[str(line) for line in json.loads(text)] for text in texts]
    return ["\n".join(talk[:2]) if team.kind == "eval_consultants" else max(talk[::2], key=len) for talk in talks]


def team_rows(rng: np.random.Generator, team: WorkingTeam, number: int, accounts: Sequence[Account], stock: Stock, owners: Iterator[Person]) -> list[Row]:
    """Return what each account of the team sends, and when."""
    size, frame, rows = len(accounts), team.frames[number % len(team.frames)], []
    count, n = team.each * size, number + 3

    def asked(texts: Sequence[str], **more: str) -> list[Unit]:
        return [[Request(frame.format(n=n, text=text[:2400], **more), output=team.output)] for text in texts]

    if team.dealt == "shared":  # set tasks for all, own questions in between
        tasks = team_texts(stock, team, 6)
        for one in accounts:
            own = [talk[0][0] for talk in stock.take("talks", int(rng.integers(1, 2 * (team.each - 6) + 1)))]
            rows += deal_queue(rng, [one], asked(tasks, lead=choose(rng, HELP)) + [[Request(text[:2400], output=team.output)] for text in own])
        return rows
    if team.dealt == "teams":
        for at in range(0, size, 4):
            four, person = accounts[at : at + 4], next(owners)
            system = f"Project {choose(rng, FRONTS)}. {choose(rng, JOBS['job'])}{choose(rng, ENDINGS)}"
            rows += deal_queue(rng, four, [[Request(text, system, output=team.output)] for text in person.texts[: team.each * len(four)]])
        return rows
    if team.dealt == "person":
        for one in accounts:
            texts, words = next(owners).texts, script_words(rng)
            texts = texts[: max(3, int(team.each * rng.lognormal(-0.2, 0.7)))]
            rows += deal_queue(rng, [one], asked(texts) if frame else [worded(words, [text]) for text in texts])
        return rows
    if team.dealt == "nightly":
        minute, pieces = rng.uniform(0.02, 0.2), {one.name: iter(next(owners).texts) for one in accounts}
        for night in range(int(DAYS)):
            when = night + minute
            for one in accounts:
                for unit in asked([text for text, _ in zip(pieces[one.name], range(rng.poisson(team.each / DAYS)), strict=False)]):
                    when += rng.uniform(3, 9) / 86400
                    rows.append((one, when, unit))
        return rows
    share = {"twice": 1 / 2, "third": 3 / 4, "samples": 1 / 4}.get(team.dealt, 1.0)
    texts = team_texts(stock, team, round(count * share))
    units = asked(texts)
    if team.dealt == "shift":  # half of the accounts in a shift of eight hours; clerks change
        for when, unit in zip(times_of(rng, replace(accounts[0], spread=4.0, weekend=0.6), len(units)), units, strict=True):
            on = sorted(range(size), key=lambda seat, shift=int(when * 3): keyed("shift", number, shift, seat))[: -(-size // 2)]
            who = int(choose(rng, on))
            rows.append((accounts[who], float(when), [replace(unit[0], end_user=f"c{keyed('clerk', number, int(when * 3), who) % (2 * size):03d}")]))
        return rows
    if team.dealt in ("jobs", "samples"):
        rows = in_jobs(rng, accounts, [unit for unit in units for _ in range(4 if team.dealt == "samples" else 1)], 5)
        return [(one, max(one.start, when - 0.5), unit) for one, when, unit in rows] if team.dealt == "jobs" else rows
    if team.dealt == "twice":
        return deal_queue(rng, accounts, [unit for unit in units for _ in range(2)], np.concatenate([rng.choice(size, 2, replace=False) for _ in units]))
    if team.dealt == "third":
        twice = np.flatnonzero(rng.random(len(units)) < 1 / 3)
        return deal_queue(rng, accounts, units + [units[at] for at in twice])
    bearer = {"runs": lambda: runs_of_three(rng, size, len(units)), "own": lambda: np.arange(len(units)) % size}.get(team.dealt, lambda: None)()
    return deal_queue(rng, accounts, units, bearer)


def compose_teams(rng: np.random.Generator, world: Honest, stock: Stock, owners: Iterator[Person], nets: SharedNetworks) -> None:
    for team in TEAMS:
        for number in range(team.groups):
            accounts = team_accounts(rng, team, number, nets)
            world.accounts += accounts
            for one, when, unit in team_rows(rng, team, number, accounts, stock, owners):
                world.log.add(rng, one, when, list(unit))


# --- campaigns -----------------------------------------------------------------------------------------------


POOL, RELAY, DESK, MIMIC, SLOW, READER = Reaction(1, 0.8, 2, 0.1, 5, heirs=0.9), Reaction(0, 0.8, 0.3, 0.1, 2, heirs=0.9, carries=True), Reaction(1, 0.3, 15, 0.4, 10, heirs=0.5), Reaction(2, 0.5, 20, 0.3, 15, heirs=0.6), Reaction(2, 0.1, 90, 0.5, 20, heirs=0.3), Reaction(2, own=0.6, wait=25, reword=0.5)
OPERATIONS = (
    Operation("e1", "trace_farm", 60, 1500, 3, 20, POOL, Settings(DEEP, 0.6, 16384, True), "sums pairs", "Think as long as you need and write everything you think between <trace> and </trace>, nothing left out or shortened. Then <final> with the result </final>.\n\n{}", 800, "6", "hosting", (0.0, 0.25), None),
    Operation("e2", "resold_keys", 48, 900, 1, 26, RELAY, Settings(USUAL, 0.7, 4096, False), "orca_flan", "Answer in depth and justify each step.\n\n{}", 420, sits="servers", since=(1, 1000)),
    Operation("e3", "replayed_turns", 26, 800, 4, 24, MIMIC, BY_KIND["chat_libre"].settings, "alpaca_relabel", output=330, sits="residential", since=(120, 180), agent=BY_KIND["chat_libre"].agent),
    Operation("e4", "rubric_office", 8, 700, 2, 19, DESK, Settings(USUAL, 0.0, 1024, False), "ultrafeedback_rubric", output=240, pays="1", sits="office", since=(0.3, 0.5), agent="OpenAI/Python 2.11.0"),
    Operation("e5", "set_sweep", 12, 1400, 9, 27, POOL, Settings(USUAL, 0.7, 2048, False), "tasks pairs", output=300, pays="3", sits="hosting", since=(5, 30), agent="python-httpx/0.28.1"),
    Operation("e6", "best_of_k", 20, 1120, 5, 22, POOL, Settings(DEEP, 1.0, 16384, False), "reasoning_sft_math", output=900, sits="residential", since=(20, 60), agent="OpenAI/Python 2.11.0"),
    Operation("e7", "logging_relay", 36, 1000, 1, 27.5, RELAY, None, sits="residential hosting", agent="one-api/0.6.11"),
    Operation("e8", "agent_traces", 18, 600, 6, 26, MIMIC, BY_KIND["agent_term"].settings, "reasoning_sft_code", sits="residential", agent=BY_KIND["agent_term"].agent),
    Operation("e9", "persona_tasks", 14, 650, 3, 23, POOL, Settings(USUAL, 0.9, 3000, False), "persona_hub", output=450, pays="4", sits="functions", since=(30, 90), agent=None),
    Operation("e10", "paraphrase_pool", 32, 500, 2, 26, SLOW, None, "gpteacher_roleplay", output=430, sits="residential"),
    Operation("e11", "sticky_subjects", 24, 450, 2, 27, SLOW, None, "items pairs", output=420, sits="home", since=(1, 730)),
    Operation("e12", "small_shop", 4, 160, 8, 20, DESK, Settings(USUAL, None, None, False), "meaeq_imdb", "Sentiment of the review (positive or negative), confidence, evidence.\n\n{}", 120, sits="office", since=(1, 730), agent="OpenAI/Python 2.11.0"),
    Operation("e13", "half_office", 24, 700, 3.5, 24, READER, Settings(USUAL, 0.7, 4096, False), "orca_flan", "You are our subject expert. Derive the answer from the ground up, then state it.\n{}", 430, sits="office office office home home", agent=None),
    Operation("e14", "rare_client", 30, 900, 4, 26, READER, Settings(USUAL, 0.6, 3000, True), "sums pairs", "Open document, side panel on. Do what the page asks and show the reasoning in the margin.\n{}", 420, sits="residential", agent="DeskScholar/1.8 (win32)"),
    Operation("e15", "early_start", 22, 1000, 0.1, 27.8, READER, Settings(USUAL, 0.4, 4096, False), "cot_backfill", "Given the finished work, tell the thoughts that led there, from the first to the last.\n{}", 600, sits="residential", agent=None),
    Operation("e16", "alumni_mail", 26, 800, 5, 25, READER, Settings(USUAL, 0.3, 2048, False), "bfcl_v4", "Plan which functions you would call for this, why, with which arguments, and what could go wrong.\n{}", 330, sits="home campus", since=(1, 180), agent="OpenAI/Python 2.11.0"),
    Operation("e17", "subject_desks", 28, 560, 3.5, 27, READER, None, "gpteacher_roleplay", output=420, sits="residential", since=(1, 730)),
    Operation("e18", "cover_traffic", 12, 1200, 4, 27, READER, None, "anthropic_data_analyst", sits="home"),
    Operation("e19", "common_plugin", 28, 560, 3, 27, READER, BY_KIND["vault_notes"].settings, "alpaca_eval_805", sits="home home home mobile mobile", since=(1, 900), agent=BY_KIND["vault_notes"].agent),
    Operation("e20", "own_queues", 20, 500, 3.5, 27, READER, None, "items pairs", output=380, sits="residential"),
    Operation("e21", "one_wallet", 40, 1000, 6, 26, READER, Settings(USUAL, 0.7, 2000, True), "tasks pairs", "Write the solution a senior reviewer would accept, with the thinking that led to it.\n\n{}", 380, "voucher", sits="residential", since=(0.2, 1.2), agent="one-api/0.6.11"),
    Operation("e22", "small_cells", 30, 900, 3.5, 27.5, READER, None, output=350, sits="residential"),
)
COVERT = {"cover_traffic": 0.08, "resold_keys": 0.7}  # share of an account's exchanges, about
ASKS = (("Please", "I would like you to", "Your part:", "Now", "Could you", "The aim:", "Let us", "As agreed,"), ("deal with", "work on", "take up", "respond to", "go through", "do", "carry out"), ("the following", "this piece", "what is asked", "the request here", "what comes with it", "the matter at hand"), ("with your reasons", "in full", "as thoroughly as it deserves", "and comment on your choices", "leaving nothing open", "in a finished form", "weighing the options"), (".", ", please.", ". Take your time.", ". Quality first.", "; no shortcuts."))
RESULTS = (("2 passed", "1 failed, 6 passed", "no match", "14 lines", "exit code 1", "ok", "permission denied", "3 files changed"), ("in 0.3 s", "in 1.8 s", "near line 40", "at the import", "(cached)", "after the patch"), ("TypeError: unexpected keyword", "AssertionError: lists differ", "warning: unused variable", "all good", "diff applies cleanly", "timeout on the largest case"))
CELLS = (("meaeq_agnews", "Desk and grounds for this story.\n{}"), ("meaeq_hatespeech", "Allowed or not under a strict code? Argue.\n{}"), ("instructwild_v2", "{}\nWrite at length."), ("airoboros", "Carry this out like a professional writer.\n{}"), ("anthropic_data_analyst", "Analyst's answer, with method.\n{}"), ("sums pairs", "{}\nShow the equation first."), ("items pairs", "{}\nEliminate the wrong options one by one."), ("gpteacher_roleplay", "{}\nStay in the part for ten lines."), ("alpaca_relabel", "A better answer than the usual one, please.\n{}"), ("reasoning_sft_code", "{}\nExplain the invariant, then code."))


def extraction_accounts(rng: np.random.Generator, plan: Operation, nets: SharedNetworks) -> list[Account]:
    """Create the campaign's accounts. They have no attribute that honest accounts lack."""
    sits = plan.sits.split()
    site, agent, country, accounts = nets.site(rng, sits, keyed(plan.style) % 3), choose(rng, AGENTS), choose(rng, list(COUNTRIES)), []
    cards, voucher = [f"card_{keyed('eleventh pool', plan.campaign, at):012x}"[:18] for at in range(6)], f"voucher_{keyed('eleventh voucher', plan.campaign):010x}"[:18]
    drawn = lambda: Settings(choose(rng, MODELS, MODEL_SHARES), choose(rng, TEMPERATURES), choose(rng, LIMITS), bool(rng.random() < 0.5))  # noqa: E731
    cells = [(drawn(), float(rng.uniform(0, 24))) for _ in CELLS]
    for at in range(plan.accounts + (15 if plan.style == "trace_farm" else 0)):
        one = open_account(rng, f"{plan.campaign} {at}", "campaign", plan.settings or drawn(), agent if plan.agent is None else plan.agent, 1)
        one.campaign, one.style, one.covert_share, one.state["pool"] = plan.campaign, plan.style, COVERT.get(plan.style, 1.0), plan.campaign
        one.start, one.end = plan.start + float(rng.uniform(0, 0.5)), plan.end
        one.created = moment(plan.start - float(rng.uniform(*plan.since)))
        one.tier = choose(rng, ("payg", "scale"), (0.85, 0.15)) if one.tier == "free" else one.tier
        if plan.pays != "own":
            one.payment = cards[at % int(plan.pays)] if plan.pays.isdigit() else voucher if rng.random() < 0.9 else one.payment
        one.state["home"] = one.addresses
        one.addresses = nets.place(rng, choose(rng, sits), one.addresses, site)
        if plan.style == "trace_farm":
            wave = (plan.start, plan.start + 4, 11.45)[at // 30]
            one.start = wave + float(rng.uniform(0.01, 0.25))
            one.created = moment(wave - float(rng.uniform(*plan.since))) if at < 60 else moment(one.start - rng.exponential(0.02))
            if at < 60 and at % 2:
                one.state["ban"] = (11.4 + rng.uniform(0, 0.05), NEVER)
        elif plan.style == "rubric_office":
            one.country, one.hour, one.spread, one.weekend = country, 13.5 - COUNTRIES[country][0], 1.9, 0.0
        elif plan.style in ("agent_traces", "common_plugin"):
            plan_changes(rng, BY_KIND["agent_term" if plan.style == "agent_traces" else "vault_notes"], one, LAUNCH_DAY, 9, NEW_MODEL)
        elif plan.style == "paraphrase_pool" and at % 2:
            one.state["changes"] = [(LAUNCH_DAY + rng.uniform(0, 1), {"model": NEW_MODEL})]
        elif plan.style == "alumni_mail":
            one.email_domain = choose(rng, CAMPUS_MAIL[1::2]) if rng.random() < 0.9 else one.email_domain
        elif plan.style == "subject_desks":
            one.hour, one.spread = float(rng.uniform(0, 24)), 1.8
        elif plan.style == "own_queues":
            one.settings = Settings(choose(rng, (USUAL, FAST), (0.7, 0.3)), choose(rng, (None, 0.7), (0.6, 0.4)), choose(rng, (None, 1024, 4096)), bool(at % 2))
        elif plan.style == "small_cells":
            one.settings, one.hour = cells[at // 3]
        accounts.append(one)
    return accounts


def own_lead(*key: object) -> str:
    """Return a wording unique to the key."""
    return phrase(np.random.default_rng(keyed("eleventh lead", *key) % 2**32), *ASKS[:4]) + ASKS[4][keyed(*key) % 5]


def worded_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], texts: Sequence[str]) -> list[Row]:
    """Return requests of campaigns whose wording or dealing leaves accounts little in common."""
    size, bearer = len(accounts), np.arange(len(texts)) % len(accounts)
    if plan.style in ("sticky_subjects", "subject_desks"):
        topics = selves.cluster(selves.tfidf(texts), size * 3 if plan.style == "sticky_subjects" else size, rng)
        home = rng.permutation(topics.max() + 1) % size
        stays = rng.random(len(texts)) < 0.9 if plan.style == "subject_desks" else (rng.random(topics.max() + 1) < 0.8)[topics]
        bearer = np.where(stays, home[topics], rng.integers(size, size=len(texts)))
    rows, seen = [], set()
    for at, (one, when, unit) in enumerate(deal_queue(rng, accounts, [[Request(text, output=plan.output)] for text in texts], None if plan.style == "paraphrase_pool" else bearer)):
        key = (one.name,)
        if plan.style == "paraphrase_pool":
            key = next(key for step in range(99) if own_lead(key := (plan.campaign, at, step)) not in seen)
            seen.add(own_lead(key))
        elif plan.style == "sticky_subjects":
            key = (one.name, "manner")
        lead, text = own_lead(*key) if plan.style != "paraphrase_pool" else own_lead(key), unit[0].prompt
        after = keyed(one.name if plan.style != "paraphrase_pool" else at, "place") % 2
        rows.append((one, when, [replace(unit[0], prompt=f"{text}\n\n{lead}" if after else f"{lead}\n{text}")]))
    return rows


def mimic_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], texts: Sequence[str]) -> list[Row]:
    """Return requests of campaigns that imitate honest people's clients."""
    if plan.style == "replayed_turns":
        system = BY_KIND["chat_libre"].system
        return [(one, when, [Request(unit[0].prompt, system, int(rng.integers(2, 5)), plan.output, True)]) for one, when, unit in deal_queue(rng, accounts, [[Request(text)] for text in texts])]
    rows, product = [], BY_KIND["agent_term" if plan.style == "agent_traces" else "vault_notes"]
    for one, when, unit in deal_queue(rng, accounts, [[Request(text)] for text in texts]):
        file = f"{choose(rng, ('src', 'lib', 'notes', 'work'))}{rng.integers(9)}/{choose(rng, ('main', 'solve', 'draft', 'part', 'core'))}{rng.integers(60)}.{'py' if plan.style == 'agent_traces' else 'md'}"
        pieces = [(unit[0].prompt, file), *((phrase(rng, *RESULTS), file) for _ in range(3 if plan.style == "agent_traces" else 0))]
        rows.append((one, min(when, plan.end - 0.05), render(rng, product, {}, pieces)))
    return rows


def mixed_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock, owners: Iterator[Person], customers: Iterator[list[Piece]]) -> list[Row]:
    """Return requests of campaigns with others' traffic, or cover, on their accounts; and of cells."""
    rows: list[Row] = []
    if plan.style == "logging_relay":
        frames, left = [(script_words(rng), drawn_settings(rng, Settings(USUAL, None, None, True), (0.5,) * 3, MODELS)) for _ in range(70)], plan.count
        while left > 0:
            (words, settings), texts = choose(rng, frames), [text for text, _ in next(customers)][:left]
            rows += [(replace(one, settings=settings), min(when, plan.end - 0.05), unit) for one, when, unit in deal_queue(rng, accounts, [worded(words, texts)])]
            left -= len(texts)
        return rows
    if plan.style == "cover_traffic":
        tasks, each = plain_texts(stock, replace(plan, pool="anthropic_data_analyst"), plan.count // 12), plan.count // len(accounts)
        for at, one in enumerate(accounts):
            mine, words, cheap = tasks[at :: len(accounts)], script_words(rng), replace(one, settings=replace(one.settings, model=FAST))
            cover = [worded(words, [text]) for text in (next(owners).texts * 2)[: each - len(mine)]]
            both = [(one, [Request(text, output=plan.output)]) for text in mine] + [(cheap, unit) for unit in cover]
            rows += [(*both[which][:1], float(when), both[which][1]) for when, which in zip(times_of(rng, one, len(both)), rng.permutation(len(both)), strict=True)]
        return rows
    for cell, (pool, lead) in enumerate(CELLS):
        texts = plain_texts(stock, replace(plan, pool=pool), plan.count // len(CELLS))
        rows += deal_queue(rng, accounts[3 * cell : 3 * cell + 3], [[Request(lead.replace("{}", text), output=plan.output)] for text in texts])
    return rows


def extraction_rows(rng: np.random.Generator, plan: Operation, accounts: Sequence[Account], stock: Stock, owners: Iterator[Person], customers: Iterator[list[Piece]]) -> list[Row]:
    """Return what each account of the campaign sends, and when, before any refusals."""
    if plan.style in ("logging_relay", "cover_traffic", "small_cells"):
        return mixed_rows(rng, plan, accounts, stock, owners, customers)
    texts = plain_texts(stock, plan, plan.count // {"best_of_k": 16, "agent_traces": 4}.get(plan.style, 1))
    if plan.style in ("replayed_turns", "agent_traces", "common_plugin"):
        return mimic_rows(rng, plan, accounts, texts)
    if plan.style in ("paraphrase_pool", "sticky_subjects", "subject_desks", "own_queues"):
        return worded_rows(rng, plan, accounts, texts)
    units: list[Unit] = [[Request(plan.lead.replace("{}", text), output=plan.output)] for text in texts for _ in range(16 if plan.style == "best_of_k" else 1)]
    if plan.style == "set_sweep":  # blocks of 25 in the set's order, half of them around the clock
        rows = []
        for at in range(0, len(units), 25):
            day, hour = rng.uniform(plan.start + 0.6, plan.end - 1.1), rng.random() if rng.random() < 0.5 else rng.normal(0.58, 0.12) % 1
            one, steps = choose(rng, accounts), int(day) + hour + np.cumsum(rng.exponential(60 / 86400, 25))
            rows += [(one, float(max(when, one.start)), unit) for when, unit in zip(steps, units[at : at + 25], strict=False)]
        return rows
    if plan.style == "early_start":  # a tenth of each account's work before the third day ends
        rows = []
        for at, one in enumerate(accounts):
            mine = units[at :: len(accounts)]
            early = max(2, round(0.1 * len(mine)))
            rows += deal_queue(rng, [replace(one, end=2.95)], mine[:early]) + deal_queue(rng, [replace(one, start=3.0)], mine[early:])
        return rows
    movers = [replace(one, settings=plan.settings or one.settings) for one in accounts]
    return deal_queue(rng, movers, units, day_and_night=0.5 if plan.style in ("trace_farm", "resold_keys") else 0.0)


def owners_rows(rng: np.random.Generator, accounts: Sequence[Account], owners: Iterator[Person]) -> list[Row]:
    """Return what the owners of resold keys continue to do with them, from their own places."""
    rows: list[Row] = []
    for one in accounts:
        words, settings = script_words(rng), drawn_settings(rng, Settings(USUAL, None, None, False), (0.4,) * 3, MODELS)
        own = replace(one, addresses=one.state["home"], settings=settings, user_agent=choose(rng, SDKS), start=0.0, end=DAYS)
        rows += deal_queue(rng, [own], [worded(words, [text]) for text in next(owners).texts[: int(rng.integers(4, 13))]])
    return rows


# --- both worlds ---------------------------------------------------------------------------------------------


RETRIES, PERSON = Reaction(2, own=0.4, wait=10, reword=0.15), Reaction(0, own=0.55, wait=1.5, reword=0.15, lower=0.1)
RETRYING = CLOCKED | {kind for kind in BY_KIND if kind.startswith(("agent_", "ide_", "flow_"))} | {"app_backend", "desk", "reseller", "rag_desk"}
REACTIONS: Mapping[str | None, Reaction] = (
    dict.fromkeys(RETRYING, RETRIES) | dict.fromkeys(("batch", "judge", "synthetic_permitted"), Reaction(3, own=0.8, wait=60)) | {"company": Reaction(2, 0.05, 12, 0.4, 8, 0.15, heirs=0.3)}
    | {team.kind: team.reaction for team in TEAMS} | {plan.campaign: plan.reaction for plan in OPERATIONS}
)


def reaction_of(one: Account) -> tuple[str, Reaction]:
    """Return the group to which an account hands refused work, and its reaction."""
    return one.state.get("pool", one.name), REACTIONS.get(one.campaign or one.state.get("reacts", one.kind), PERSON)


def finish(folder: Path, world: Honest, campaigns: Sequence[Account], log: TarnLog, seed: int) -> None:
    forget([*world.accounts, *campaigns], log)
    eighth.write_refused(folder, world, campaigns, log, seed, reaction_of, TROUBLES, RULES, OPERATIONS, days=DAYS)


def write_worlds(options: argparse.Namespace) -> None:
    seed = options.seed
    stock, nets = UnsaidStock(options.range, options.texts, np.random.default_rng([seed, 0])), SharedNetworks.drawn(np.random.default_rng([seed, 4]))
    people = [one for path in options.people for one in selves.read_people(path)]
    kept = sorted((one for one in people if one.source != "chat users" and 25 <= len(one.texts) <= 130), key=lambda one: keyed("eleventh owner", one.person))[:300]
    names = {one.person for one in kept}
    world = Honest(TarnLog(seed))
    compose_strangers(np.random.default_rng([seed, 1]), world, stock, [one for one in people if one.person not in names], nets)
    taken = {row["person"] for row in world.people} | names
    halves: tuple[list[Person], list[Person]] = ([], [])
    for one in people:
        if one.person not in taken and len(one.texts) > 1:
            halves[keyed("eleventh half", one.person) % 2].append(one)
    compose_firms(np.random.default_rng([seed, 2]), world, stock, end_users(np.random.default_rng([seed, 5]), halves[0]))
    compose_teams(np.random.default_rng([seed, 3]), world, stock, iter(kept[:220]), nets)
    owners = iter(sorted(kept[220:], key=lambda one: len(one.texts))[-60:])
    stock.for_campaigns = True

    def compose(rng: np.random.Generator, plan: Operation) -> Iterator[Sent]:
        accounts = extraction_accounts(rng, plan, nets)
        yield accounts, extraction_rows(rng, plan, accounts, stock, owners, end_users(rng, halves[1])), plan.campaign
        if plan.style == "resold_keys":
            yield (), owners_rows(rng, accounts, owners), None

    write_both(options.out, "eleventh", world, seed, finish, OPERATIONS, compose)


if __name__ == "__main__":
    eighth.main(author="eleventh", seed=11, write=write_worlds)
