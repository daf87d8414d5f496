# ruff: noqa: E501 - each wording is one line
"""The provider of the eighteenth author's world, a mid-size maker with a chat app, and its users outside organised groups.

People, software and companies are the fifteenth author's, in other numbers and with more kinds of bots. Networks are
those of an account's country. The rules are in eighteenth_author.md.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np

# isort: off
# fmt: off
import fifteenth_provider as fifteenth
import thirteenth_provider as thirteenth
from eighth_provider import Troubles
from fifteenth_provider import BY_KIND, DESKS, EVAL_PERSON, NODE, PRODUCTS, PYTHON, STAFF, FortnightLog, Public
from fifth_author import Product
from fourth_author import BEGIN, MINUTE, Account, Settings, choose, moment
from selves import keyed
from thirteenth_provider import CODE, DEEP, LAUNCH_DAY, NEW_MODEL, OLD, SMALL, USUAL

DAYS = 21.0
OUTAGES = ((4.7, 4.7 + 35 * MINUTE, 0.6), (12.55, 12.55 + 110 * MINUTE, 0.25), (18.3, 18.3 + 15 * MINUTE, 1.0))
FAMILY = {USUAL: "petrel-3", SMALL: "petrel-3-small", DEEP: "petrel-3-think", CODE: "petrel-code-2", OLD: "petrel-2", NEW_MODEL: "petrel-3.5"}
TROUBLES = Troubles({"free": 5, "plan": 15, "payg": 60, "scale": 400}, 100, OUTAGES, ((LAUNCH_DAY, LAUNCH_DAY + 1, 0.04),), 0.006, 0.013, LAUNCH_DAY, 0.08, 0.3, 0.002, (FAMILY[NEW_MODEL], FAMILY[SMALL], FAMILY[USUAL]))
ISPS = {  # autonomous systems of access networks, by country
    "US": (7922, 7018, 701, 20115, 22773, 209), "CA": (577, 812, 6327, 852), "GB": (2856, 5089, 5607, 13285), "IN": (9829, 55836, 24560), "AU": (1221, 4804, 7545), "NL": (33915, 1136), "PL": (5617, 12741, 29314),
    "SE": (3301, 2119, 8473), "ID": (7713, 23700), "SG": (9506, 4773, 55430), "DE": (3320, 31334, 6805, 8881), "AT": (8447,), "CH": (3303, 6730), "ES": (3352, 12479), "MX": (8151,), "AR": (7303, 22927), "CO": (10620, 3816),
    "FR": (3215, 12322, 15557, 5410), "BE": (5432, 6848), "BR": (28573, 18881, 7738), "PT": (2860, 3243), "TW": (3462, 9924), "HK": (4760, 9269), "MY": (4788, 9534), "JP": (17676, 2516, 4713, 2497), "KZ": (9198,), "GE": (16010,),
    "RS": (8400, 31042), "IT": (3269, 30722, 12874), "KR": (4766, 9318, 3786),
}
HOME = frozenset({3320, 7018, 7922, 12322, 17676, 4766, 9829, 28573, 3215})  # what the helpers draw for somebody at home or in an office
FIRST = tuple(number for number in range(24, 222) if number not in (100, 127, 169, 172, 192, 198, 203))


def routed(place: tuple[str, int], country: str) -> tuple[str, int]:
    """Return the address in a network of this country, if it is a home address, with a prefix of that network."""
    ip, system = place
    if system in HOME and country in ISPS:
        systems = ISPS[country]
        system = systems[keyed("isp", ip) % len(systems)]
    prefix, (_, _, *rest) = keyed("prefix", system, keyed("which", ip) % 6), ip.split(".")
    return ".".join((str(FIRST[prefix % len(FIRST)]), str(prefix // 997 % 256), *rest)), system


def country_of(one: Account) -> str:
    """Return an account's country. All keys of a company have the same."""
    if not (firm := one.state.get("firm")):
        return one.country
    language = one.state.get("language", "en")
    lands = [land for land, _ in ENGLISH] if language == "en" else [land for land, _ in thirteenth.LANDS[language]]
    return lands[keyed("seat", firm) % len(lands)]


class PetrelLog(FortnightLog):
    """The log of this provider. Rows are composed with the thirteenth author's names of models as roles."""

    days, retired_day, heir = DAYS, 16.2, SMALL

    def row(self, rng, account, when, request, where, chat):  # as the method it extends
        row = super().row(rng, account, when, request, routed(where, country_of(account)), chat)
        row["model"] = FAMILY[row["model"]]
        return row


# --- who uses it ---------------------------------------------------------------------------------------------


LANGUAGES = {"en": 0.66, "zh": 0.08, "de": 0.04, "fr": 0.04, "es": 0.04, "pt": 0.04, "ja": 0.04, "ru": 0.025, "ko": 0.02, "it": 0.015}
ENGLISH = {("US", -5): 0.21, ("US", -6): 0.12, ("US", -8): 0.12, ("CA", -5): 0.05, ("GB", 1): 0.1, ("IN", 5.5): 0.15, ("AU", 10): 0.04, ("NL", 2): 0.04, ("PL", 2): 0.05, ("SE", 2): 0.03, ("ID", 7): 0.04, ("SG", 8): 0.05}
CONSOLE = "Mozilla/5.0 (petrel console)"
NUMBERS = {
    "quick_look": 1300, "chat_open_webui": 310, "chat_cherry_studio": 120, "chat_chatbox": 120, "chat_librechat": 130, "chat_lobe": 80, "chat_typingmind": 70,
    "coding_agent_cline": 240, "coding_agent_roo": 130, "coding_agent_opencode": 190, "coding_agent_kilo": 120, "coding_agent_continue": 130, "coding_agent_aider": 90, "coding_agent_zed": 80,
    "role_play_sillytavern": 190, "role_play_janitor": 110, "role_play_risu": 30, "plug_in_immersive": 110, "plug_in_obsidian": 90, "plug_in_page_assist": 60, "plug_in_home_assistant": 80,
    "plug_in_opencommit": 50, "plug_in_pr_agent": 50, "plug_in_zotero": 40, "plug_in_raycast": 40, "plug_in_wordpress": 40, "plug_in_sheet": 40, "plug_in_anki": 20, "plug_in_paperless": 20, "plug_in_aicommits": 20,
    "automation_n8n": 160, "automation_dify": 50, "automation_make": 50, "automation_zapier": 50, "automation_flowise": 20,
}
SCRIPTS = {PYTHON: (270, 270, 270), NODE: (140, 140, 140), "": (90, 90, 90)}  # own_script by client: one number for each place of the wish
BOTS = (
    Product("automation_discord", 90, "discord.js/14.25 openai", Settings(SMALL, 0.8, 500, False), "{line}", "You are the bot of a Discord server about {theme}. Be short, no pings.", own={"theme": ("a strategy game", "home servers", "indie music", "a small streamer", "anime", "keyboards", "a Linux distribution", "a chess club", "crafts", "a podcast")}, output=60, units=9, life=400),
    Product("automation_telegram", 60, "python-telegram-bot/22 httpx", Settings(SMALL, 0.7, None, False), "{text}", "{duty}", own={"duty": ("Answer briefly.", "You summarise what is forwarded to you.", "Translate what you get into English.", "Helper of our family chat.", "Fix my spelling, nothing else.", "Notes keeper: return a title and three bullets.")}, output=80, units=9, life=400),
    replace(BY_KIND["coding_agent_opencode"], kind="coding_agent_crush", accounts=70, agent="Charm-Crush/0.18 (go)", system="You are Crush, a powerful AI assistant that runs in the CLI.\n\nworkdir: {root}", settings=Settings(CODE, None, 20000, True, None, 11), update=None),
)
KEYS = {"firm_code": (220, 4.0), "firm_trial": (200, 3.0)}
UNITS = {"firm_app": (180, 5), "firm_docs": (120, 7), "firm_extract": (120, 9), "firm_desk": (60, 4), "firm_batch": (70, 0), "firm_eval": (50, 0)}


def renumbered() -> list[Product]:
    """Return the fifteenth author's software with this world's numbers of accounts, and this world's bots."""
    scripts = {client: iter(numbers) for client, numbers in SCRIPTS.items()}
    numbers = [next(scripts[product.agent]) if product.kind == "own_script" else NUMBERS[product.kind] for product in PRODUCTS]
    numbered = [replace(product, accounts=number) for product, number in zip(PRODUCTS, numbers, strict=True)]
    return [*(replace(product, agent=CONSOLE) if product.kind == "quick_look" else product for product in numbered), *BOTS]


PUBLIC = Public(
    "eighteenth", DAYS, tuple(renumbered()), replace(EVAL_PERSON, accounts=45),
    tuple(replace(product, accounts=KEYS[product.kind][0], units=KEYS[product.kind][1]) for product in STAFF),
    {kind: (*UNITS[kind], model) for kind, (_, _, model) in DESKS.items()}, 12, 0.2,
)


def speak_here() -> None:
    """Replace the fifteenth world's languages and countries by this one's, for the rest of the process."""
    for ours, theirs in ((LANGUAGES, fifteenth.LANGUAGES), (ENGLISH, fifteenth.ENGLISH)):
        theirs.clear()
        theirs.update(ours)


def register(rng: np.random.Generator, accounts: Sequence[Account]) -> None:
    """Set when accounts of people and companies were made, and in which country. Accounts that start during the log keep their dates."""
    firms: dict[str, list[Account]] = defaultdict(list)
    for one in accounts:
        if firm := one.state.get("firm"):
            firms[firm].append(one)
            one.country = country_of(one)
        elif one.created < BEGIN - timedelta(days=0.2) and one.start == 0:
            one.created = moment(-0.2 - 620 * float(rng.beta(0.8, 1.6)))  # the provider grows: half of them within 180 days
    for keys in firms.values():
        first = 0.3 + 600 * float(rng.beta(0.9, 1.4))
        together = rng.random() < 0.5  # a start-up makes all its keys at once
        for one in keys:
            if one.start == 0:
                one.created = moment(-first * (1 if together else float(rng.random() ** 0.3)) - float(rng.uniform(0, 0.1)))
    for one in accounts:
        if one.tier == "free" and rng.random() < 0.15 and not one.state.get("firm"):
            one.payment = f"voucher_{keyed('eighteenth trial', choose(rng, range(12))):010x}"[:18]  # credits of a newsletter, a meet-up, a student's pack
