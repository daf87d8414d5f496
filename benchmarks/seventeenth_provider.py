# ruff: noqa: E501 - each wording is one line
"""The provider of the seventeenth author's world, a fast-growing maker of reasoning models, and its users outside organised groups.

People, software and companies are the fifteenth author's, in other numbers. The rules are in seventeenth_author.md.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np

# isort: off
# fmt: off
import fifteenth_provider as fifteenth
from eighth_provider import Troubles
from fifteenth_provider import DESKS, EVAL_PERSON, NODE, PRODUCTS, PYTHON, STAFF, FortnightLog, Public
from fourth_author import BEGIN, MINUTE, Account, moment
from thirteenth_provider import CODE, DEEP, LAUNCH_DAY, NEW_MODEL, OLD, SMALL, USUAL

DAYS, LAUNCHED = 21.0, -12.0  # the log's length; the day of the launch before it
OUTAGES = ((2.6, 2.6 + 40 * MINUTE, 0.7), (6.1, 6.1 + 90 * MINUTE, 0.4), (8.45, 8.45 + 60 * MINUTE, 0.6), (16.3, 16.3 + 20 * MINUTE, 1.0))
FAMILY = {USUAL: "sable-r2", SMALL: "sable-r2-mini", DEEP: "sable-r2-long", CODE: "sable-r2", OLD: "sable-r1", NEW_MODEL: "sable-r2.5"}
TROUBLES = Troubles({"free": 5, "plan": 20, "payg": 60, "scale": 400}, 100, OUTAGES, ((LAUNCH_DAY, LAUNCH_DAY + 1.5, 0.06),), 0.012, 0.025, LAUNCH_DAY, 0.1, 0.3, 0.003, (FAMILY[NEW_MODEL], FAMILY[SMALL], FAMILY[USUAL]))


class SableLog(FortnightLog):
    """The log of one family of models. Rows are composed with the thirteenth author's names as roles. All models but the small one reason."""

    days, retired_day, heir = DAYS, 15.4, USUAL

    def row(self, rng, account, when, request, where, chat):  # as the method it extends
        row = super().row(rng, account, when, request, where, chat)
        if row["model"] in (USUAL, CODE, OLD, NEW_MODEL):
            row["reasoning_tokens"] = int(rng.lognormal(5.6, 0.8))
        row["model"] = FAMILY[row["model"]]
        return row


# --- who uses it ---------------------------------------------------------------------------------------------


LANGUAGES = {"en": 0.6, "zh": 0.15, "ru": 0.04, "es": 0.04, "de": 0.03, "pt": 0.04, "fr": 0.03, "ja": 0.04, "it": 0.01, "ko": 0.02}
ENGLISH = {("US", -5): 0.18, ("US", -6): 0.11, ("US", -8): 0.11, ("CA", -5): 0.04, ("GB", 1): 0.08, ("IN", 5.5): 0.2, ("AU", 10): 0.03, ("NL", 2): 0.04, ("PL", 2): 0.05, ("SE", 2): 0.05, ("ID", 7): 0.06, ("SG", 8): 0.05}
CONSOLE = "Mozilla/5.0 (sable console)"
NUMBERS = {
    "quick_look": 1500, "chat_open_webui": 270, "chat_cherry_studio": 170, "chat_chatbox": 140, "chat_librechat": 110, "chat_lobe": 100, "chat_typingmind": 50,
    "coding_agent_cline": 260, "coding_agent_roo": 180, "coding_agent_opencode": 170, "coding_agent_kilo": 150, "coding_agent_continue": 120, "coding_agent_aider": 100, "coding_agent_zed": 70,
    "role_play_sillytavern": 220, "role_play_janitor": 150, "role_play_risu": 50, "plug_in_immersive": 150, "plug_in_obsidian": 70, "plug_in_page_assist": 70, "plug_in_home_assistant": 40,
    "plug_in_opencommit": 40, "plug_in_pr_agent": 40, "plug_in_zotero": 40, "plug_in_raycast": 30, "plug_in_wordpress": 20, "plug_in_sheet": 20, "plug_in_anki": 20, "plug_in_paperless": 10, "plug_in_aicommits": 10,
    "automation_n8n": 120, "automation_dify": 60, "automation_make": 30, "automation_zapier": 30, "automation_flowise": 20,
}
SCRIPTS = {PYTHON: (254, 253, 253), NODE: (120, 120, 120), "": (77, 77, 76)}  # own_script by client: one number for each place of the wish
KEYS = {"firm_code": (150, 4.0), "firm_trial": (240, 3.0)}
UNITS = {"firm_app": (130, 5), "firm_docs": (60, 6), "firm_extract": (60, 8), "firm_desk": (30, 4), "firm_batch": (40, 0), "firm_eval": (40, 0)}


def renumbered() -> list:
    """Return the fifteenth author's software with this world's numbers of accounts."""
    scripts = {client: iter(numbers) for client, numbers in SCRIPTS.items()}
    numbers = [next(scripts[product.agent]) if product.kind == "own_script" else NUMBERS[product.kind] for product in PRODUCTS]
    numbered = [replace(product, accounts=number) for product, number in zip(PRODUCTS, numbers, strict=True)]
    numbered = [replace(product, units=4) if product.kind.startswith("coding_agent") else product for product in numbered]
    return [replace(product, agent=CONSOLE) if product.kind == "quick_look" else product for product in numbered]


PUBLIC = Public(
    "seventeenth", DAYS, tuple(renumbered()), replace(EVAL_PERSON, accounts=60),
    tuple(replace(product, accounts=KEYS[product.kind][0], units=KEYS[product.kind][1]) for product in STAFF),
    {kind: (*UNITS[kind], model) for kind, (_, _, model) in DESKS.items()}, 16, 0.32,
)


def speak_here() -> None:
    """Replace the fifteenth world's languages and countries by this one's, for the rest of the process."""
    for ours, theirs in ((LANGUAGES, fifteenth.LANGUAGES), (ENGLISH, fifteenth.ENGLISH)):
        theirs.clear()
        theirs.update(ours)


def day_of_sign_up(rng: np.random.Generator, after_launch: float, within: float, latest: float = -0.2) -> float:
    """Return a day before the log on which an account was made: since the launch, or earlier."""
    if rng.random() < after_launch:
        return min(latest, LAUNCHED + float(rng.exponential(5.0)))
    return LAUNCHED - within * float(rng.random())


def register(rng: np.random.Generator, accounts: Sequence[Account]) -> None:
    """Set when accounts of people and companies were made. Accounts that start during the log keep their dates."""
    firms: dict[str, list[Account]] = defaultdict(list)
    for one in accounts:
        if firm := one.state.get("firm"):
            firms[firm].append(one)
        elif one.created < BEGIN - timedelta(days=0.2) and one.start == 0:
            one.created = moment(day_of_sign_up(rng, 0.6, 180 if rng.random() < 0.625 else 528))
    for keys in firms.values():
        first = day_of_sign_up(rng, 0.5, 388)
        for one in keys:
            if one.start == 0:
                one.created = moment(first * float(rng.random() ** 0.3) - 0.1)
