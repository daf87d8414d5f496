# ruff: noqa: E501 - each wording is one line
"""The provider of the nineteenth author's world, a maker that sells flat plans for coding agents, and its users outside organised groups.

People, other software and companies are the fifteenth author's in other numbers; places are the eighteenth author's.
Terminal agents are new, with the automatic requests of one of them. The rules are in nineteenth_author.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

# isort: off
# fmt: off
import eighteenth_provider as eighteenth
import fifteenth_provider as fifteenth
from eighth_author import Row
from eighth_provider import Troubles
from eighteenth_provider import BOTS, ENGLISH, country_of, routed
from fifteenth_provider import DESKS, EVAL_PERSON, NODE, PRODUCTS, PYTHON, STAFF, FortnightLog, Public, near
from fifth_author import Piece, Product
from fourteenth_provider import agent_session
from fourth_author import MINUTE, Account, Request, Settings, choose
from selves import keyed
from sixth_author import deal_queue
from thirteenth_provider import CODE, DEEP, LAUNCH_DAY, NEW_MODEL, OLD, SMALL, USUAL, Sessions, token

DAYS = 21.0
OUTAGES = ((2.55, 2.55 + 75 * MINUTE, 0.5), (9.1, 9.1 + 50 * MINUTE, 0.35), (15.4, 15.4 + 25 * MINUTE, 0.95))
FAMILY = {USUAL: "dipper-4", SMALL: "dipper-4-air", DEEP: "dipper-4-think", CODE: "dipper-4-code", OLD: "dipper-3", NEW_MODEL: "dipper-4.5"}
TROUBLES = Troubles({"free": 4, "plan": 12, "payg": 60, "scale": 400}, 60, OUTAGES, ((LAUNCH_DAY, LAUNCH_DAY + 1.5, 0.05),), 0.008, 0.015, LAUNCH_DAY, 0.1, 0.35, 0.002, (FAMILY[NEW_MODEL], FAMILY[SMALL], FAMILY[USUAL]))


# --- terminal agents -----------------------------------------------------------------------------------------


CONSOLE = "Mozilla/5.0 (dipper console)"
CLI_TOOLS = {"tool": ("Read", "Grep", "Bash", "Edit", "Glob")}
SHELL_TOOLS = {"tool": ("read_file", "shell", "apply_patch", "grep")}
CLAUDE_CODE = Product("coding_agent_claude_code", 760, "claude-cli/2.1.118 (external, cli)", Settings(USUAL, 1.0, 32000, True, None, 17), "{text}", "You are Claude Code, Anthropic's official CLI for Claude.\n\nWorking directory: {root}\nIs directory a git repo: Yes", more="<tool_use_result tool=\"{tool}\" path=\"{file}\">\n{text}\n</tool_use_result>", parts=(3, 4), each=CLI_TOOLS, output=230, gap=0.5, units=2.6, life=260, update=(4.3, 1.6, 0.85, {"user_agent": "claude-cli/2.1.121 (external, cli)"}), moves=0.2, session=True)
AGENTS = (
    CLAUDE_CODE,
    Product("coding_agent_codex", 90, "codex_cli_rs/0.98.0", Settings(USUAL, None, None, True, None, 9), "{text}\n{file}", "You are a coding agent running in the Codex CLI, a terminal-based coding assistant.\n\n<cwd>{root}</cwd>", more="{tool} {file}\nOutput:\n{text}", parts=(3, 4), each=SHELL_TOOLS, output=220, gap=0.6, units=2.6, life=200, moves=0.14, session=True),
    Product("coding_agent_goose", 60, "goose/1.22.0", Settings(USUAL, None, None, True, None, 10), "{text}", "You are a general-purpose AI agent called goose, created by Block.\n\nCurrent directory: {root}", more="{tool}: {file}\n{text}", parts=(3, 4), each=SHELL_TOOLS, output=210, gap=0.7, units=2.4, life=220, moves=0.14, session=True),
    Product("coding_agent_cursor", 130, "Cursor/2.6", Settings(USUAL, 0.0, None, True), "<user_query>\n{text}\n</user_query>\n\n<open_file>{file}</open_file>", "You are an AI coding assistant. You operate in Cursor.", more="<tool_result name=\"{tool}\">{file}\n{text}</tool_result>", parts=(2, 4), each=SHELL_TOOLS, output=200, gap=1.0, units=2.8, life=300, moves=0.14, session=True),
    Product("coding_agent_droid", 50, "factory-cli/0.57", Settings(USUAL, None, 24000, True, None, 12), "{text}", "You are Droid, an AI software engineering agent built by Factory.\n\nRoot: {root}", more="{tool} {file}\n{text}", parts=(3, 4), each=CLI_TOOLS, output=220, gap=0.6, units=2.4, life=120, moves=0.14, session=True),
    Product("automation_openclaw", 180, "openclaw/2026.8", Settings(USUAL, None, 8192, True, None, 15), "{line}", "You are a personal assistant running inside OpenClaw.\n## Workspace\n{root}", more="<{tool}>\n{text}\n</{tool}>", parts=(1, 3), each={"tool": ("calendar", "browser", "mail", "notes", "shell")}, output=120, gap=0.4, units=5, life=200, moves=0.14, session=True),
)
ROOTS = ("app", "src", "web", "backend", "demo", "site", "playground", "api", "notes", "bot", "shop", "tools")
TOPIC = "Analyze if this message indicates a new conversation topic. If it does, extract a 2-3 word title that captures the new topic. Format your response as a JSON object with two fields: 'isNewTopic' (boolean) and 'title' (string, or null if isNewTopic is false)."


class DipperLog(FortnightLog):
    """The log of this provider. Rows are composed with the thirteenth author's names of models as roles."""

    days, retired_day, heir = DAYS, 17.1, SMALL

    def add(self, rng, account, begin, unit, campaign=None):  # as the method it extends
        """Add a session; Claude Code also sends its own requests: is there quota, and what is the topic."""
        if account.user_agent and account.user_agent.startswith("claude-cli") and len(unit) > 1 and rng.random() < 0.5:
            own = replace(account, settings=Settings(SMALL, 0.0, 512, False))
            hidden = ([Request("quota", output=1, limit=1)] if rng.random() < 0.4 else []) + [Request(unit[0].prompt[:1500], TOPIC, output=18)]
            super().add(rng, own, max(begin - 0.0002, account.start), hidden, campaign)
        super().add(rng, account, begin, unit, campaign)

    def row(self, rng, account, when, request, where, chat):  # as the method it extends
        """Add an agent's system text before any other."""
        shipped = BY_AGENT[account.user_agent].system if account.user_agent in BY_AGENT else None
        if shipped and request.prompt != "quota" and request.system != TOPIC and not (request.system or "").startswith(shipped[:30]):
            shipped = shipped.replace("{root}", ROOTS[keyed("root", account.name) % len(ROOTS)])
            request = replace(request, system=f"{shipped}\n\n{request.system}" if request.system else shipped)
        row = super().row(rng, account, when, request, routed(where, country_of(account)), chat)
        row["model"] = FAMILY[row["model"]]
        return row


def seat_rows(rng: np.random.Generator, accounts: Sequence[Account], customers: Sessions, people: int, each: float, house: str = "", language: str | None = None) -> Iterator[Row]:
    """Yield requests of several people's sessions over these accounts: each person has one agent, nearly its defaults, and a language."""
    for _ in range(people):
        product, tongue = choose(rng, SEATS), language or fifteenth.draw_language(rng)
        settings, texts = near(rng, product.settings, (0.85, 0.95, 0.95)), pieces(customers, tongue)
        for _ in range(max(1, int(rng.lognormal(np.log(each), 0.8)))):
            unit = agent_session(rng, product, texts)
            unit = [replace(request, system=f"{request.system}\n\n{house}") for request in unit] if house else unit
            for one, when, sent in deal_queue(rng, [choose(rng, accounts)], [unit]):
                yield replace(one, settings=settings, user_agent=one.user_agent or product.agent), min(when, one.end - 0.02), sent


def pieces(customers: Sessions, language: str) -> Iterator[Piece]:
    return (piece for _ in iter(int, 1) for piece in next(customers[language]))


# --- who uses it ---------------------------------------------------------------------------------------------


LANGUAGES = {"en": 0.58, "zh": 0.13, "ja": 0.05, "es": 0.045, "pt": 0.045, "de": 0.04, "ru": 0.04, "fr": 0.035, "ko": 0.025, "it": 0.01}
NUMBERS = {
    "quick_look": 900, "chat_open_webui": 170, "chat_cherry_studio": 120, "chat_chatbox": 80, "chat_librechat": 70, "chat_lobe": 50, "chat_typingmind": 40,
    "coding_agent_cline": 330, "coding_agent_roo": 200, "coding_agent_opencode": 420, "coding_agent_kilo": 230, "coding_agent_continue": 90, "coding_agent_aider": 80, "coding_agent_zed": 90,
    "role_play_sillytavern": 100, "role_play_janitor": 40, "role_play_risu": 20, "plug_in_immersive": 110, "plug_in_obsidian": 70, "plug_in_page_assist": 40, "plug_in_home_assistant": 50,
    "plug_in_opencommit": 70, "plug_in_pr_agent": 70, "plug_in_zotero": 30, "plug_in_raycast": 40, "plug_in_wordpress": 20, "plug_in_sheet": 30, "plug_in_anki": 20, "plug_in_paperless": 20, "plug_in_aicommits": 30,
    "automation_n8n": 90, "automation_dify": 40, "automation_make": 30, "automation_zapier": 20, "automation_flowise": 20,
}
SCRIPTS = {PYTHON: (160, 160, 160), NODE: (90, 90, 90), "": (60, 60, 60)}  # own_script by client: one number for each place of the wish
MORE = {"automation_discord": 50, "automation_telegram": 50, "coding_agent_crush": 90}
KEYS = {"firm_code": (420, 4.0), "firm_trial": (130, 3.0)}
UNITS = {"firm_app": (140, 5), "firm_docs": (90, 7), "firm_extract": (90, 9), "firm_desk": (50, 4), "firm_batch": (70, 0), "firm_eval": (40, 0)}


def renumbered() -> list[Product]:
    """Return the former authors' software with this world's numbers of accounts, and this world's terminal agents."""
    scripts = {client: iter(numbers) for client, numbers in SCRIPTS.items()}
    numbers = [next(scripts[product.agent]) if product.kind == "own_script" else NUMBERS[product.kind] for product in PRODUCTS]
    numbered = [replace(product, accounts=number) for product, number in zip(PRODUCTS, numbers, strict=True)]
    return [*(replace(product, agent=CONSOLE) if product.kind == "quick_look" else product for product in numbered), *(replace(product, accounts=MORE[product.kind]) for product in BOTS), *AGENTS]


PUBLIC = Public(
    "nineteenth", DAYS, tuple(renumbered()), replace(EVAL_PERSON, accounts=40),
    tuple(replace(product, accounts=KEYS[product.kind][0], units=KEYS[product.kind][1]) for product in STAFF),
    {kind: (*UNITS[kind], model) for kind, (_, _, model) in DESKS.items()}, 10, 0.24,
)
BY_AGENT = {product.agent: product for product in PUBLIC.products if product.session}
SEATS = [product for product in PUBLIC.products if product.kind.startswith("coding_agent") and product.each for _ in range(product.accounts // 50)]


def speak_here() -> None:
    """Replace the fifteenth world's languages and countries by this one's, for the rest of the process."""
    for ours, theirs in ((LANGUAGES, fifteenth.LANGUAGES), (ENGLISH, fifteenth.ENGLISH)):
        theirs.clear()
        theirs.update(ours)


def subscribe(rng: np.random.Generator, one: Account) -> None:
    """Put an account on a plan."""
    one.tier, one.payment = "plan", one.payment or token(one.name, rng)


def register(rng: np.random.Generator, accounts: Sequence[Account]) -> None:
    """Set when accounts of people and companies were made, as in the eighteenth world; and who has a plan or a voucher."""
    eighteenth.register(rng, accounts)
    for one in accounts:
        if one.state.get("firm"):
            continue
        if rng.random() < (0.72 if one.kind.startswith(("coding_agent", "automation_openclaw")) else 0.1 if one.tier != "free" else 0.0):
            subscribe(rng, one)
        elif one.tier == "free" and rng.random() < 0.12:
            one.payment = f"voucher_{keyed('nineteenth code', choose(rng, range(20))):010x}"[:18]  # a friend's or a video's code
