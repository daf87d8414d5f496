# ruff: noqa: E501 - each wording is one line
"""The provider of the sixteenth author's world, a cloud's marketplace of models, and its users outside organised groups.

People, software and companies are the fifteenth author's, in other numbers. The rules are in sixteenth_author.md.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

# isort: off
# fmt: off
from eighth_provider import Troubles
from fifteenth_provider import EVAL_PERSON, NODE, PRODUCTS, PYTHON, STAFF, Public
from fourth_author import BEGIN, MINUTE, Account, choose, moment
from selves import keyed
from thirteenth_provider import CODE, DEEP, LAUNCH_DAY, NEVER, NEW_MODEL, OLD, SMALL, USUAL, WrenLog

DAYS = 28.0
OUTAGES = ((6.3, 6.3 + 35 * MINUTE, 0.6), (13.8, 13.8 + 15 * MINUTE, 0.9), (22.4, 22.4 + 60 * MINUTE, 0.3))


# --- makers and their models ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Maker:
    """A maker of models. Rows are composed with the thirteenth author's names as roles; the log replaces them by the maker's names."""

    share: float  # if no default is kept
    models: Mapping[str, str]
    launch: float = NEVER  # the day of its new model, if there is one
    drops: str = ""  # a setting that its adaptor omits


MAKERS = {
    "halden": Maker(0.32, {USUAL: "halden-5", SMALL: "halden-5-mini", DEEP: "halden-5-think", CODE: "halden-code-2", OLD: "halden-4", NEW_MODEL: "halden-6"}, LAUNCH_DAY),
    "orsay": Maker(0.24, {USUAL: "orsay-large-3", SMALL: "orsay-lite-3", DEEP: "orsay-reason-2", CODE: "orsay-large-3", OLD: "orsay-large-2", NEW_MODEL: "orsay-large-4"}, 19.2),
    "miro": Maker(0.18, {USUAL: "miro-120b", SMALL: "miro-14b", DEEP: "miro-120b-r", CODE: "miro-coder-32b", OLD: "miro-70b"}, drops="response_format"),
    "kestrel": Maker(0.14, {USUAL: "kestrel-pro", SMALL: "kestrel-flash", DEEP: "kestrel-pro-deep", CODE: "kestrel-pro", OLD: "kestrel-1"}),
    "tanso": Maker(0.12, {USUAL: "tanso-v4", SMALL: "tanso-v4-lite", DEEP: "tanso-r2", CODE: "tanso-coder", OLD: "tanso-v3"}, drops="top_p"),
}
EDGES = np.cumsum([maker.share for maker in MAKERS.values()])
SOFTWARE = ("chat_", "coding_agent", "role_play", "plug_in", "automation")  # kinds whose software has a default maker
CUSTOMERS = "customers"  # in place of a maker: each customer of a reseller has one
TROUBLES = Troubles({"free": 10, "plan": 40, "payg": 120, "scale": 900}, 200, OUTAGES, ((8.4, 9.4, 0.04), (19.2, 20.2, 0.03)), 0.004, 0.008, LAUNCH_DAY, 0.08, 0.3, 0.0015, ("halden-6", "halden-5-mini", "halden-5"))


def drawn(*key: object) -> str:
    """Return a maker, by share."""
    return list(MAKERS)[int(np.searchsorted(EDGES, keyed("sixteenth", *key) % 10**6 / 10**6))]


def maker_of(one: Account, when: float) -> str:
    """Return the maker whose models this account uses at that time."""
    state = one.state
    if "maker_later" in state and when > state["maker_later"][0]:
        return state["maker_later"][1]
    if state.get("maker") == CUSTOMERS or one.kind == "reseller":
        own = one.settings
        return drawn("customer", state.get("pool"), own.model, own.temperature, own.max_tokens, own.stream)
    if "maker" in state:
        return state["maker"]
    group = state.get("pool", state.get("firm")) if one.campaign is None else None
    key, keeps = ((one.kind, one.settings.tools), 0.6) if one.kind.startswith(SOFTWARE) else ((group,), state.get("keeps_maker", 0.75)) if group else ((one.name,), 1.0)
    return drawn(*(key if keyed("keeps maker", one.name) % 1000 < 1000 * keeps else (one.name,)))


class GardenLog(WrenLog):
    """The log of the marketplace: each maker's models, launches and adaptors."""

    days, retired_day = DAYS, 22.5

    def row(self, rng, account, when, request, where, chat):  # as the method it extends
        maker = MAKERS[maker_of(account, when)]
        moved = [(day + (maker.launch - LAUNCH_DAY if new.get("model") == NEW_MODEL else 0), new) for day, new in account.state.get("changes", ())]
        row = super().row(rng, replace(account, state=account.state | {"changes": moved}), when, request, where, chat)
        row["model"] = maker.models.get(row["model"], maker.models[USUAL])
        return row | ({maker.drops: None} if maker.drops else {})


# --- who uses it ---------------------------------------------------------------------------------------------


STUDIO = "Mozilla/5.0 (garden studio)"
NUMBERS = {
    "quick_look": 760, "chat_open_webui": 100, "chat_librechat": 50, "chat_chatbox": 25, "chat_cherry_studio": 25, "chat_typingmind": 15, "chat_lobe": 15,
    "coding_agent_cline": 100, "coding_agent_opencode": 50, "coding_agent_roo": 50, "coding_agent_continue": 50, "coding_agent_kilo": 30, "coding_agent_aider": 30, "coding_agent_zed": 20,
    "role_play_sillytavern": 30, "role_play_risu": 10, "plug_in_immersive": 30, "plug_in_obsidian": 20, "plug_in_home_assistant": 15, "plug_in_page_assist": 15, "plug_in_opencommit": 25,
    "plug_in_wordpress": 25, "plug_in_sheet": 40, "plug_in_pr_agent": 40, "plug_in_raycast": 5, "plug_in_zotero": 10, "plug_in_paperless": 5, "plug_in_aicommits": 10,
    "automation_n8n": 120, "automation_make": 50, "automation_zapier": 40, "automation_dify": 40, "automation_flowise": 10,
}
SCRIPTS = {PYTHON: (144, 143, 143), NODE: (77, 77, 76), "": (54, 53, 53)}  # own_script by client: one number for each place of the wish
KEYS = {"firm_code": (480, 2), "firm_trial": (220, 3)}
DESKS = {"firm_app": (430, 2, USUAL), "firm_docs": (340, 4, USUAL), "firm_extract": (340, 5, SMALL), "firm_desk": (180, 1.5, SMALL), "firm_batch": (160, 0, SMALL), "firm_eval": (70, 0, USUAL)}


def renumbered() -> list:
    """Return the fifteenth author's software with this world's numbers of accounts."""
    scripts = {client: iter(numbers) for client, numbers in SCRIPTS.items()}
    own = [replace(product, accounts=next(scripts[product.agent])) for product in PRODUCTS if product.kind == "own_script"]
    rest = [replace(product, accounts=NUMBERS[product.kind]) for product in PRODUCTS if product.kind in NUMBERS]
    return [replace(product, agent=STUDIO) if product.kind == "quick_look" else product for product in (*own, *rest)]


PUBLIC = Public(
    "sixteenth", DAYS, tuple(renumbered()), replace(EVAL_PERSON, accounts=20),
    tuple(replace(product, accounts=KEYS[product.kind][0], units=KEYS[product.kind][1]) for product in STAFF), DESKS, 14,
)
WAVES = (20, 75, 170, 340)  # days before the log: earlier launches and offers


def register(rng: np.random.Generator, accounts: Sequence[Account]) -> None:
    """Set when accounts of people and companies were made. Accounts that start during the log keep their dates."""
    firms: dict[str, list[Account]] = defaultdict(list)
    for one in accounts:
        if firm := one.state.get("firm"):
            firms[firm].append(one)
        elif one.created < BEGIN - timedelta(days=0.2) and one.start == 0 and rng.random() < 0.4:
            one.created = moment(min(-0.2, float(rng.exponential(6.0)) - choose(rng, WAVES)))
    for keys in firms.values():
        contract = -1 - 900 * float(rng.random() ** 0.8)
        for one in keys:
            later = min(14.0, -contract) if rng.random() < 0.5 else -contract
            if one.start == 0:
                one.created = moment(contract + later * float(rng.random()) * 0.999)
