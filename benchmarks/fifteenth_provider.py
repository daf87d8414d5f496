# ruff: noqa: E501 - each wording is one line
"""The honest majority of the fifteenth author's world: people with public software, and companies, in realistic proportions by the author's estimate.

The provider is the thirteenth author's, with two weeks of its own. The rules are in fifteenth_author.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

import numpy as np

# isort: off
# fmt: off
import thirteenth_provider as thirteenth
from eighth_author import Row
from eighth_provider import Troubles
from fifth_author import Honest, Piece, Product, render
from fourteenth_provider import agent_session, explain, small
from fourth_author import MINUTE, Account, Request, Settings, Unit, address, choose, moment
from ninth_author import at_the_minute, within_texts
from selves import Person, keyed, match_people
from seventh_author import Stock
from sixth_author import deal_queue, times_of
from tenth_author import ban_in_error
from thirteenth_provider import CODE, HARNESS, HOUSES, LAUNCH_DAY, MODELS, NEVER, NEW_MODEL, SCHOOLS, SMALL, TRADES, TRIALS, USUAL, Company, Places, Sessions, WrenLog, batch_rows, change_later, desk_rows, eval_rows, firm_facts, own_words, talk_of
from twelfth_provider import housed, units_of

DAYS = 14.0
OUTAGES = ((3.6, 3.6 + 40 * MINUTE, 0.5), (10.3, 10.3 + 20 * MINUTE, 0.9))
TROUBLES = Troubles({"free": 5, "plan": 20, "payg": 60, "scale": 400}, 100, OUTAGES, ((8.4, 9.4, 0.04),), 0.004, 0.008, LAUNCH_DAY, 0.08, 0.3, 0.0015, (NEW_MODEL, SMALL, USUAL))


class FortnightLog(WrenLog):
    """The log of this world's provider. No model is retired in these two weeks."""

    days, retired_day = DAYS, NEVER


# Each wording is one line; a group or a campaign takes a few.
# --- who somebody is -----------------------------------------------------------------------------------------


LANGUAGES = {"en": 0.8, "zh": 0.05, "ru": 0.025, "es": 0.025, "de": 0.025, "pt": 0.025, "fr": 0.02, "ja": 0.02, "it": 0.005, "ko": 0.005}
ENGLISH = {("US", -5): 0.25, ("US", -6): 0.15, ("US", -8): 0.12, ("CA", -5): 0.06, ("GB", 1): 0.11, ("IN", 5.5): 0.11, ("AU", 10): 0.04, ("NL", 2): 0.04, ("PL", 2): 0.04, ("SE", 2): 0.03, ("ID", 7): 0.03, ("SG", 8): 0.02}
TEMPERATURES = {None: 0.25, 0.0: 0.22, 0.1: 0.05, 0.2: 0.08, 0.3: 0.07, 0.5: 0.06, 0.6: 0.03, 0.7: 0.13, 0.8: 0.04, 1.0: 0.07}
LIMITS = {None: 0.35, 256: 0.03, 500: 0.04, 512: 0.04, 1000: 0.07, 1024: 0.1, 2000: 0.05, 2048: 0.09, 4000: 0.04, 4096: 0.1, 8192: 0.06, 16384: 0.03}
DISPOSABLE = ("sharklasers.com", "maildrop.cc", "mailto.plus", "tmpmail.org", "duck.com", "mozmail.com")


def draw_language(rng: np.random.Generator) -> str:
    return choose(rng, list(LANGUAGES), list(LANGUAGES.values()))


def speak(rng: np.random.Generator, one: Account, language: str, hour: float = 13.8, spread: float = 2.5) -> None:
    """Set country, zone and hours of a speaker of this language."""
    thirteenth.speak(rng, one, language)
    country, zone = choose(rng, list(ENGLISH), list(ENGLISH.values())) if language == "en" else next(land for land in thirteenth.LANDS[language] if land[0] == one.country)
    one.country, one.hour = country, float(rng.normal(hour, spread) - zone)


def near(rng: np.random.Generator, default: Settings, keeps: Sequence[float]) -> Settings:
    """Return the default, each part kept with its own probability; else what people choose."""
    model, temperature, limit = (rng.random() < keep for keep in keeps)
    return replace(
        default, model=default.model if model else choose(rng, list(MODELS), list(MODELS.values())),
        temperature=default.temperature if temperature else choose(rng, list(TEMPERATURES), list(TEMPERATURES.values())),
        max_tokens=default.max_tokens if limit else choose(rng, list(LIMITS), list(LIMITS.values())),
    )


def wish(rng: np.random.Generator, language: str) -> str:
    """Return somebody's wish in their own words."""
    return own_words(rng, language) if rng.random() < 0.55 else explain(rng, language)


@dataclass(frozen=True)
class Public:
    """The users of a provider outside organised groups, and the length of its log."""

    name: str  # the world's: accounts and companies of two worlds must differ
    days: float
    products: Sequence[Product]
    eval_person: Product
    staff: Sequence[Product]  # companies' keys with one person each
    desks: Mapping[str, tuple[int, float, str]]  # companies' other keys: number, median of units, model
    resellers: int
    newcomers: float = 0.16  # share of people's accounts that begin during the log


def open_account(rng: np.random.Generator, public: Public, key: str, kind: str, settings: Settings, agent: str, life: float) -> Account:
    """Create an account that exists throughout the log and was made before it."""
    one = thirteenth.open_account(rng, f"{public.name} {key}", kind, settings, agent or choose(rng, OTHERS), life)
    one.end = public.days
    speak(rng, one, draw_language(rng))
    if rng.random() < (0.05 if one.tier == "free" else 0.0125):
        one.email_domain = choose(rng, DISPOSABLE)
    return one


# --- public software and its defaults ------------------------------------------------------------------------


PYTHON, NODE = "OpenAI/Python 2.8.0", "OpenAI/JS 6.9.1"
LIBRARIES = (PYTHON, PYTHON, "AsyncOpenAI/Python 2.8.0", NODE, NODE, "langchain-openai/1.0.3", "ai-sdk/openai-compatible/1.0.27")
OTHERS = ("curl/8.17.0", "Go-http-client/2.0", "python-requests/2.32.5", "axios/1.13.2", "okhttp/5.3.0", "python-httpx/0.28.1", "reqwest/0.12.24", "Guzzle/7.10", "Java-http-client/25", "aiohttp/3.13.2", "PostmanRuntime/7.49")
STANDS = (("{ask}\n\n{text}", None), ("{text}\n\n{ask}", None), ("{text}", "{ask}"))
FOLLOW = ("thanks", "why?", "can you shorten that", "what about {file}?", "that's not what I meant", "give me an example", "continue", "and how do I test it?", "explain the second point", "hm, are you sure?", "in a table please", "ok, now {line}")
ENGINEER = "a highly skilled software engineer with extensive knowledge in many programming languages, frameworks, design patterns, and best practices."
TOOLS = {"tool": ("read_file", "search_files", "execute_command", "apply_diff", "list_files")}
OPENED = "<task>\n{text}\n</task>\n\n<environment_details>\n# VSCode Visible Files\n{file}\n</environment_details>"
RESULT = "[{tool} for '{file}'] Result:\n{text}"
CAST = {"name": ("Elara", "Kael", "Captain Mirov", "Sister Agnes", "Rin", "Dr Halloran", "Old Tam", "Nadia", "Prince Orin", "Moth", "Juno", "The Archivist"), "user": ("User", "Anon", "Max", "Lena", "the traveler"), "card": tuple(f"{a}, {b}" for a in ("keeper of the northern gate", "on the run", "from a drowned city", "who sells maps", "a retired duelist", "new in town", "last of the crew", "raised by monks") for b in ("dry humour", "secretive", "kind", "easily bored", "proud", "talks too much"))}
TASKS = tuple(f"{a} {b}" for a in ("Summarise", "Classify", "Extract the contact data from", "Draft a friendly reply to", "Translate to English:", "Score the lead in", "Pull out dates and amounts from", "Write a social post about") for b in ("the item below.", "this form entry. Plain text only.", "the message. Return JSON.", "the record, two sentences at most.", "the email body.", "the row. No preamble."))
AREAS = {"areas": ("Kitchen, Living Room", "Bedroom, Office, Garage", "Upstairs, Downstairs", "Studio", "Garden, Hall, Kitchen"), "to": ("Simplified Chinese", "German", "Japanese", "Spanish", "French", "Russian", "Brazilian Portuguese")}
VOICE = "You are a voice assistant for Home Assistant.\nAnswer questions about the world truthfully.\nAnswer in plain text. Keep it simple and to the point.\nAreas: {areas}"
TRANSLATOR = "You are a professional {to} native translator who needs to fluently translate text into {to}."
COMMIT = "You are to act as an author of a commit message in git. Your mission is to create clean and comprehensive commit messages as per the Conventional Commit Convention."
PRODUCTS = (
    Product("quick_look", 1500, "Mozilla/5.0 (wren console)", Settings(USUAL, 1.0, 2048, True), "{ask}\n{text}", output=220, gap=3, units=1.6, life=0.01),
    *(Product("own_script", number // 3 + (at < number % 3), agent, settings, prompt, system, output=150, units=5, life=600, moves=0.14)
      for number, agent, settings in ((700, PYTHON, Settings(USUAL, None, None, False)), (380, NODE, Settings(USUAL, None, 2048, True)), (270, "", Settings(SMALL, None, 1024, False)))
      for at, (prompt, system) in enumerate(STANDS)),
    Product("chat_open_webui", 300, "Python/3.11 aiohttp/3.13.2", Settings(USUAL, None, None, True), "{text}\n\n{ask}", follow=FOLLOW, follow_share=0.5, output=280, gap=3, units=3, life=500, moves=0.14),
    Product("chat_librechat", 110, NODE, Settings(USUAL, None, None, True), "{text}\n\n{ask}", follow=FOLLOW, follow_share=0.5, output=280, gap=3, units=3, life=500, moves=0.14),
    Product("chat_chatbox", 110, "Chatbox/1.17.2", Settings(USUAL, 0.7, None, True), "{ask}\n{text}", "You are a helpful assistant.", follow=FOLLOW, follow_share=0.5, output=260, gap=3, units=3, life=450, moves=0.14),
    Product("chat_cherry_studio", 90, "CherryStudio/1.6.7", Settings(USUAL, 1.0, None, True), "{ask}\n{text}", follow=FOLLOW, follow_share=0.5, output=260, gap=3, units=3, life=300, moves=0.14),
    Product("chat_typingmind", 60, "Mozilla/5.0 (typingmind)", Settings(USUAL, None, None, True), "{text}\n{ask}", follow=FOLLOW, follow_share=0.5, output=260, gap=3, units=3, life=500, moves=0.14),
    Product("chat_lobe", 60, "lobe-chat/1.141", Settings(USUAL, 1.0, None, True, 1.0), "{ask}\n{text}", follow=FOLLOW, follow_share=0.5, output=260, gap=3, units=3, life=400, moves=0.14),
    Product("coding_agent_cline", 220, "Cline/3.38.1", Settings(USUAL, 0.0, 8192, True), OPENED, f"You are Cline, {ENGINEER}\n\nCurrent Working Directory: {{root}}", more=RESULT, parts=(3, 4), each=TOOLS, output=240, gap=0.7, units=2.8, life=350, update=(5.2, 1.2, 0.8, {"user_agent": "Cline/3.39.0"}), moves=0.14, session=True),
    Product("coding_agent_opencode", 130, "opencode/1.0.85", Settings(USUAL, None, 32000, True, None, 12), "{text}\n\n@{file}", "You are opencode, an interactive CLI tool that helps users with software engineering tasks.\nWorking directory: {root}", more="<{tool} path=\"{file}\">\n{text}\n</{tool}>", parts=(3, 4), each={"tool": ("read", "grep", "bash", "edit")}, output=220, gap=0.6, units=2.8, life=160, update=(9.7, 0.8, 0.9, {"user_agent": "opencode/1.0.91"}), moves=0.14, session=True),
    Product("coding_agent_roo", 110, "RooCode/3.32.1", Settings(USUAL, 0.0, None, True), OPENED, f"You are Roo, {ENGINEER}\n\nWorkspace: {{root}}", more=RESULT, parts=(3, 4), each=TOOLS, output=240, gap=0.7, units=2.8, life=300, moves=0.14, session=True),
    Product("coding_agent_kilo", 100, "Kilo-Code/4.122", Settings(CODE, 0.0, None, True), OPENED, f"You are Kilo Code, {ENGINEER}\n\nWorkspace: {{root}}", more=RESULT, parts=(3, 4), each=TOOLS, output=240, gap=0.7, units=2.8, life=150, moves=0.14, session=True),
    Product("coding_agent_continue", 110, "Continue/1.2.11", Settings(CODE, None, 4096, True), "```{file}\n{text}\n```\n{ask}", more="{text}", parts=(1, 3), output=200, gap=2, units=3, life=500, moves=0.14, session=True),
    Product("coding_agent_aider", 80, "aider/0.86.1 litellm", Settings(USUAL, 0.0, None, True), "{text}\n\n{file}", "Act as an expert software developer.\nAlways use best practices when coding.\nRespect and use existing conventions, libraries, etc that are already present in the code base.", more="I added {file} to the chat.\n{text}", parts=(1, 4), output=260, gap=1.5, units=3, life=600, moves=0.14, session=True),
    Product("coding_agent_zed", 70, "Zed/0.213", Settings(USUAL, 1.0, None, True, None, 14), "{text}\n\n{file}", "You are a highly skilled software engineer working in the Zed editor. Project root: {root}.", more="<{tool}>{file}\n{text}</{tool}>", parts=(3, 4), each=TOOLS, output=220, gap=0.8, units=2.8, life=300, moves=0.14, session=True),
    Product("role_play_sillytavern", 190, "node-fetch", Settings(USUAL, 1.0, 300, True, 1.0), "{text}", "Write {name}'s next reply in a fictional chat between {name} and {user}.\n{name}: {card}", follow=("*nods* go on", "what happens next?", "I look around.", "{line}", "wait.", "tell me more about that", "I don't believe you"), follow_share=0.8, own=CAST, output=180, gap=1.4, units=2.2, life=400),
    Product("role_play_janitor", 110, "Mozilla/5.0 (janitorai.com)", Settings(USUAL, 1.1, 400, True), "{text}", "{name}, {card}. Stay in character and never speak for {user}.", follow=("go on", "really?", "{line}", "I sit down", "who else knows?"), follow_share=0.8, own=CAST, output=180, gap=1.4, units=2.2, life=250),
    Product("role_play_risu", 40, "RisuAI/171", Settings(USUAL, 0.8, 500, True), "{text}", "{name}: {card}. Continue the roleplay with {user}.", follow=("go on", "{line}", "and then?"), follow_share=0.8, own=CAST, output=180, gap=1.4, units=2.2, life=300),
    Product("plug_in_immersive", 130, "Mozilla/5.0 (immersive-translate)", Settings(SMALL, 0.0, None, False), "Translate to {to}:\n\n{text}", TRANSLATOR, more="Translate to {to}:\n\n{text}", parts=(1, 5), own=AREAS, output=100, gap=0.1, units=3, life=500),
    Product("plug_in_obsidian", 90, "obsidian-copilot/3.1", Settings(USUAL, 0.1, 6000, True), "{ask}\n\n[[{file}]]\n{text}", "You are Obsidian Copilot, a helpful assistant that integrates AI to Obsidian note-taking.", follow=FOLLOW, follow_share=0.3, output=200, gap=3, units=3, life=450),
    Product("plug_in_home_assistant", 90, "AsyncOpenAI/Python 2.8.0 homeassistant", Settings(SMALL, 1.0, 3000, True, 1.0, 16), "{line}", VOICE, own=AREAS, output=30, units=7, life=500),
    Product("plug_in_page_assist", 70, "Mozilla/5.0 (page-assist)", Settings(SMALL, None, None, True), "{text}\n\n{act}", each={"act": ("Summarize this page.", "Explain this.", "Rephrase this.", "Translate this to English.", "What are the key points?")}, output=160, units=4, life=400),
    Product("plug_in_opencommit", 60, "opencommit/3.2.10", Settings(SMALL, 0.0, 500, False, 0.1), "diff --git a/{file} b/{file}\n{text}", COMMIT, output=35, units=6, life=600),
    Product("plug_in_wordpress", 60, "WordPress/6.9; ai-engine/3.2", Settings(USUAL, 0.8, 1024, False), "{ask}\n{text}", output=350, units=4, life=500),
    Product("plug_in_sheet", 50, "Google-Apps-Script", Settings(SMALL, 0.0, 256, False), "{job}\n{line}", more="{job}\n{line}", parts=(3, 8), own={"job": TASKS}, output=14, gap=0.05, units=2, life=400),
    Product("plug_in_pr_agent", 50, "pr-agent/0.31 litellm", Settings(USUAL, 0.2, None, False), "--PR Info--\nTitle: '{line}'\n## File: '{file}'\n{text}", "You are PR-Reviewer, a language model designed to review a Git Pull Request (PR).", output=220, units=5, life=500),
    Product("plug_in_raycast", 50, "Raycast/1.104", Settings(SMALL, 0.5, None, True), "{ask}: {text}", output=120, units=5, life=400, update=(9.0, 0.05, 1.0, {"model": NEW_MODEL, "user_agent": "Raycast/1.105"})),
    Product("plug_in_zotero", 40, "zotero-gpt/3.2", Settings(USUAL, 1.0, None, True), "Answer from the passage.\n{text}\n\nQuestion: {ask}", output=170, units=4, life=500),
    Product("plug_in_anki", 30, "anki-ai-addon/2.0", Settings(SMALL, 0.5, 1500, False), "Make question and answer cards from this note:\n{text}", output=170, units=4, life=300),
    Product("plug_in_paperless", 30, "paperless-ai/3.0", Settings(SMALL, 0.3, None, False, None, 0, "json_object"), "Analyze the document and return title, correspondent, tags, document_date, language as JSON.\n\n{text}", output=70, units=7, life=300),
    Product("plug_in_aicommits", 30, "aicommits/2.0", Settings(SMALL, 0.7, 200, False, 1.0), "{file}\n+{text}", "Generate a concise git commit message written in present tense for the following code diff.", output=20, units=6, life=500),
    Product("automation_n8n", 180, NODE, Settings(SMALL, 0.7, None, False), "{job}\n\n{text}", own={"job": TASKS}, output=90, units=8, life=500),
    Product("automation_make", 60, "Make/production", Settings(SMALL, 1.0, 2048, False), "{job}\n{text}", own={"job": TASKS}, output=90, units=8, life=500),
    Product("automation_zapier", 60, "Zapier", Settings(SMALL, 1.0, 500, False), "{text}", "{job}", own={"job": TASKS}, output=90, units=8, life=500),
    Product("automation_dify", 60, "dify/1.10", Settings(USUAL, 0.7, 512, True), "{text}", "{ask}", output=120, units=8, life=400),
    Product("automation_flowise", 30, "langchain-openai/1.0.3 flowise", Settings(SMALL, 0.9, None, True), "{ask}\n{text}", output=110, units=8, life=400),
)
EVAL_PERSON = Product("eval_person", 30, "lm-eval/0.4.9.2", Settings(USUAL, 0.0, 1024, False), "{text}", life=300)
STAFF = (  # with one real author each
    Product("firm_code", 200, "", Settings(USUAL, 0.0, 8192, True, None, 12), "{text}\n\n{file}", "Coding assistant. Repository {root}.", more="[{tool}] {file}\n{text}", parts=(3, 4), each={"tool": ("open", "grep", "patch", "run")}, output=220, gap=0.8, units=4, moves=0.14, session=True),
    Product("firm_trial", 140, "", Settings(USUAL, None, None, False), "{ask}\n{text}", output=160, units=3),
)
DESKS = {"firm_app": (190, 5, USUAL), "firm_docs": (140, 8, USUAL), "firm_extract": (160, 12, SMALL), "firm_desk": (80, 4, SMALL), "firm_batch": (80, 0, SMALL), "firm_eval": (40, 0, USUAL)}  # keys, median, model
FIFTEENTH = Public("fifteenth", DAYS, PRODUCTS, EVAL_PERSON, STAFF, DESKS, 6)
BY_KIND = {product.kind: product for product in PRODUCTS}
CLOCKED = ("own_script", "automation", "plug_in_paperless", "plug_in_wordpress")
TITLES = {  # a chat front end's automatic requests, after the first answer
    "chat_open_webui": "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n### Output:\nJSON format: { \"title\": \"your concise title here\" }\n### Chat History:\n<chat_history>\nUSER: {}\n</chat_history>",
    "chat_librechat": "Provide a concise, 5-word-or-less title for the conversation, using title case conventions. Only return the title itself.\n\nConversation:\nUser: {}",
    "chat_chatbox": "Based on the chat history, give this conversation a name. Keep it short, 10 characters max, no quotes.\n\n{}",
    "chat_cherry_studio": "Summarize the conversation into a title within 10 words, in the user's language, without punctuation.\n\n{}",
    "chat_lobe": "Name the topic of the conversation in at most five words.\n\n{}",
}
NEXT = "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might naturally ask next in this conversation as a **user**, based on the chat history.\n### Output:\nJSON format: { \"follow_ups\": [\"Question 1?\"] }\n### Chat History:\n<chat_history>\nUSER: {}\n</chat_history>"
LABELS = "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history, along with 1-3 more specific subtopic tags.\n### Output:\nJSON format: { \"tags\": [\"tag1\"] }\n### Chat History:\n<chat_history>\nUSER: {}\n</chat_history>"


def hidden_rows(rng: np.random.Generator, one: Account, when: float, unit: Unit) -> list[Row]:
    """Return requests that a chat front end makes by itself about a conversation, with the account's own model or the small one."""
    if one.kind not in TITLES:
        return []
    if "hidden" not in one.state:
        one.state["hidden"] = (bool(rng.random() < 0.6), bool(rng.random() < 0.6), bool(rng.random() < 0.4))
    nexts, labels, task_model = one.state["hidden"]
    frames = [TITLES[one.kind]] + ([NEXT] * nexts + [LABELS] * labels if one.kind == "chat_open_webui" else [])
    sender = small(one, stream=False) if task_model else replace(one, settings=replace(one.settings, max_tokens=1000, stream=False))
    later = when + float(rng.uniform(0.2, 0.8)) * MINUTE
    return [(sender, later + at * 0.1 * MINUTE, [Request(frame.replace("{}", unit[0].prompt[:1500]), output=22)]) for at, frame in enumerate(frames)]


def rows_of(rng: np.random.Generator, product: Product, one: Account, times: Sequence[float], own: Sequence[Piece]) -> list[Row]:
    """Return what somebody's software sends at these times, using its person's texts."""
    if product.each and product.session:
        texts = cycle(own)
        return [(one, float(when), agent_session(rng, product, texts, float(when) > one.state["late"])) for when in times]
    if product.kind == "quick_look" or product.kind.startswith("chat_"):
        rows: list[Row] = []
        for when, piece in zip(map(float, times), cycle(own), strict=False):
            unit = render(rng, product, {**one.state["own"], "ask": wish(rng, one.state["language"])}, [piece])
            rows += [(one, when, unit), *hidden_rows(rng, one, when, unit)]
        return rows
    bare = replace(one, state=one.state | {"house": None})  # the house text is in the log already
    return list(zip([one] * len(times), map(float, times), units_of(rng, product, bare, times, own), strict=True))


def crowd(rng: np.random.Generator, product: Product, number: int, world: Honest, nets: Places, public: Public = FIFTEENTH) -> list[Account]:
    """Create a program's accounts: settings, lifetimes, networks, words and later changes."""
    keeps = (0.35,) * 3 if product.kind == "own_script" else (rng.uniform(0.6, 0.97), rng.uniform(0.8, 1.0), rng.uniform(0.8, 1.0))
    accounts = []
    for at in range(product.accounts):
        one = open_account(rng, public, f"{product.kind} {number} {at}", product.kind, near(rng, product.settings, keeps), product.agent, product.life)
        if product.kind == "quick_look" or rng.random() < public.newcomers:
            one.start, one.state["at_once"] = float(rng.uniform(0, public.days - 0.5)), True
            one.created = moment(one.start - rng.exponential(0.01 if product.kind == "quick_look" else 0.2))
        if rng.random() < 0.15:
            one.end = max(one.start + 0.3, float(rng.uniform(one.start, public.days)))
        if product.kind == "quick_look" and rng.random() < 0.85:
            one.tier, one.payment = "free", None
        one.state["own"] = {name: choose(rng, items) for name, items in product.own.items()} | {"ask": wish(rng, one.state["language"])}
        change_later(rng, product, one)
        settle_place(rng, one, nets)
        accounts.append(one)
    world.products.append({"product": product.agent, "kind": product.kind, "default_model": product.settings.model, "max_tokens": product.settings.max_tokens, "temperature": product.settings.temperature, "keep": [round(float(keep), 2) for keep in keeps]})
    return accounts


def settle_place(rng: np.random.Generator, one: Account, nets: Places) -> None:
    """Set where the requests come from: home, a server, a vendor's cloud, a phone, a campus, a private network."""
    place = rng.random()
    if one.kind in ("automation_make", "automation_zapier", "role_play_janitor"):
        one.addresses = nets.vendors[one.kind]
    elif one.kind.startswith(CLOCKED):
        if place < 0.5:
            one.addresses = nets.place(rng, "hosting" if place < 0.35 else "platform", [], [])
        if rng.random() < 0.3:
            one.state["minute"] = rng.random()
    elif place < 0.1:
        one.addresses = [*one.addresses, choose(rng, nets.shared["mobile"])]
    elif place < 0.22:
        one.addresses = nets.place(rng, "exits" if place < 0.16 else "campus" if place < 0.2 else "coworking", [], [])
        one.email_domain = choose(rng, SCHOOLS) if 0.16 <= place < 0.2 and rng.random() < 0.4 else one.email_domain


class CloudPlaces(Places):
    """The thirteenth author's networks, and those of the vendors that send for their customers."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self.vendors = {kind: [(address(rng)[0], system) for _ in range(number)] for kind, number, system in (("automation_make", 6, 16509), ("automation_zapier", 8, 16509), ("role_play_janitor", 4, 13335))}


# --- companies and resellers ---------------------------------------------------------------------------------




def company_of(rng: np.random.Generator, key: str, kinds: Sequence[str], nets: Places, public: Public) -> Company:
    """Create a company with these keys: one payment, place and language, a library or two, perhaps a house text."""
    of_people = {product.kind: product for product in public.staff}
    defaults = {kind: product.settings for kind, product in of_people.items()} | {kind: Settings(model, 0.2, 1024, kind == "firm_app") for kind, (_, _, model) in public.desks.items()}
    facts, language, site = firm_facts(f"{public.name} {key}"), draw_language(rng), choose(rng, ("office", "server", "platform", "hosting"), (0.3, 0.35, 0.25, 0.1))
    pays, addresses = choose(rng, (None, facts["payment"])), nets.place(rng, site, [], [address(rng, site == "server")])
    libraries, tier, hour = [choose(rng, (*LIBRARIES, *OTHERS)) for _ in range(int(rng.integers(1, 3)))], choose(rng, ("payg", "scale"), (0.5, 0.5)), float(rng.normal(12.5, 1.0))
    house = f"{choose(rng, HOUSES[0])} {choose(rng, TRADES)} {keyed(public.name, key) % 900}. {choose(rng, HOUSES[1])} {choose(rng, HOUSES[2])}".strip() if rng.random() < 0.4 else None
    company = Company(key)
    for at, kind in enumerate(kinds):
        one = open_account(rng, public, f"{key} {at}", kind, near(rng, defaults[kind], (0.6, 0.8, 0.8)), choose(rng, libraries), 700)
        one.org, one.payment, one.email_domain, one.tier = facts["org"], pays, facts["email_domain"], tier
        one.addresses = one.addresses if kind == "firm_code" and rng.random() < 0.5 else addresses
        speak(rng, one, language, hour, 1.0)
        one.state |= {"firm": key, "pool": key, "reacts": "company", "house": house}
        if rng.random() < 0.1:
            one.start = float(rng.uniform(0, public.days - 2))
            one.created = moment(one.start - rng.exponential(0.5))
        if product := of_people.get(kind):
            one.state["own"] = {"ask": wish(rng, language)}
            change_later(rng, product, one)
        company.keys.append(one)
    return company


def found_companies(rng: np.random.Generator, nets: Places, public: Public = FIFTEENTH) -> list[Company]:
    """Create companies until all keys have one."""
    left = [product.kind for product in public.staff for _ in range(product.accounts)] + [kind for kind, (number, _, _) in public.desks.items() for _ in range(number)]
    left = [left[at] for at in rng.permutation(len(left))]
    companies: list[Company] = []
    while left:
        size = min(len(left), 40, int(rng.zipf(1.75)))
        companies.append(company_of(rng, f"company {len(companies)}", left[:size], nets, public))
        left = left[size:]
    return companies


def compose_desks(rng: np.random.Generator, world: Honest, stock: Stock, staff: Mapping[str, Sequence[Person]], customers: Sessions, companies: Sequence[Company], sets: Sequence[tuple[Sequence[str], str]], public: Public) -> None:
    """Compose what companies' keys send that no single person writes."""
    busy = {language: [*(one for one in own if len(one.texts) >= 30), *sorted(own, key=lambda one: -len(one.texts))[:8]] for language, own in staff.items()}
    for one in (one for company in companies for one in company.keys if one.kind in public.desks):
        count = max(1, int(np.clip(rng.lognormal(np.log(public.desks[one.kind][1] or 1), 1.8), 1, 1500) * (one.end - one.start) / public.days))
        world.accounts.append(one)
        rows = batch_rows(rng, one, choose(rng, busy[one.state["language"]]), max(public.days, thirteenth.DAYS)) if one.kind == "firm_batch" else eval_rows(rng, one, sets) if one.kind == "firm_eval" else desk_rows(rng, one, count, stock, customers)
        for key, when, unit in rows:
            world.log.add(rng, key, max(float(when), one.start), housed(one, unit))


def resold_rows(rng: np.random.Generator, accounts: Sequence[Account], customers: Sessions, people: int, each: int) -> Iterator[Row]:
    """Yield the requests of a reseller's customers, each with their own words and settings, over any free key."""
    for _ in range(people):
        language = draw_language(rng)
        ask, settings, place = wish(rng, language), near(rng, Settings(USUAL, None, None, True), (0.5,) * 3), int(rng.integers(3))
        texts = [text for _ in range(int(np.clip(rng.lognormal(np.log(each / 4), 0.9), 1, 60))) for text, _ in next(customers[language])]
        prompts = [(f"{ask}\n{text[:2500]}", f"{text[:2500]}\n\n{ask}", text[:2500])[place] for text in texts]
        for one, when, unit in deal_queue(rng, accounts, [[Request(prompt, ask if place == 2 else None, output=160)] for prompt in prompts]):
            yield replace(one, settings=settings), when, unit


def reseller_keys(rng: np.random.Generator, number: int, keys: int, public: Public) -> list[Account]:
    """Create a reseller's accounts: one organisation, one payment, one server, a key manager."""
    facts, site, manager = firm_facts(f"{public.name} reseller {number}"), [address(rng, True)], choose(rng, ("one-api/0.6.11", "new-api/0.9.27", "litellm/1.79.1"))
    accounts = [open_account(rng, public, f"reseller {number} {at}", "reseller", Settings(USUAL, None, None, True), manager, 500) for at in range(keys)]
    for one in accounts:
        one.org, one.payment, one.email_domain, one.tier, one.addresses = facts["org"], facts["payment"], facts["email_domain"], "scale", site
        one.state |= {"firm": f"reseller {number}", "pool": f"reseller {number}", "reacts": "company"}
    return accounts


# --- accounts outside organised groups ------------------------------------------------------------------------


def count_units(rng: np.random.Generator, product: Product, one: Account, days: float) -> int:
    """Return the number of conversations, sessions or requests of an account."""
    if product.kind == "quick_look":
        return max(1, int(np.clip(rng.lognormal(np.log(product.units), 0.6), 1, 6)))
    sigma, most = (1.8, 400) if product.kind.startswith("firm_") else (1.5, 300)
    return max(1, int(np.clip(rng.lognormal(np.log(product.units), sigma), 1, most) * (one.end - one.start) / days))


def speakers(needs: Mapping[str, tuple[Product, int]], counts: dict[str, int], languages: Mapping[str, str], people: Mapping[str, Sequence[Person]], world: Honest, public: Public) -> dict[str, list[Piece]]:
    """Return each account's texts of one person, in its language if there are any, else English. Nobody has two accounts."""
    spoken: dict[str, list[Piece]] = {}
    for language in [*(name for name in people if name != "en"), "en"]:
        able = sorted((name for name in needs if name not in spoken and language in ("en", languages[name])), key=lambda name: keyed(f"{public.name} turn", name))[: len(people[language]) * 9 // 10]
        wanted = within_texts(counts, {name: needs[name] for name in able}, people[language])
        turns = sorted(wanted, key=lambda name: (-wanted[name][1], keyed(f"{public.name} choice", name)))
        for name, person in match_people([(name, *wanted[name]) for name in turns], people[language]).items():
            files, texts = person.files or ["notes.md"], person.texts[: wanted[name][1]]
            spoken[name] = [(text, files[(keyed(name, at) % 7 + at) % len(files)]) for at, text in enumerate(texts)]
            world.people.append({"account": name, "kind": wanted[name][0], "person": person.person, "source": person.source, "exchanges": 0, "texts": texts})
    return spoken


def compose_people(rng: np.random.Generator, world: Honest, stock: Stock, people: Mapping[str, Sequence[Person]], nets: Places, customers: Sessions, companies: Sequence[Company], public: Public) -> None:
    """Compose all accounts that speak as one person, or hold real conversations."""
    crowds = [(product, crowd(rng, product, at, world, nets, public)) for at, product in enumerate(public.products)]
    ban_in_error(rng, [one for _, accounts in crowds for one in accounts], public.days)
    crowds += [(product, [one for company in companies for one in company.keys if one.kind == product.kind]) for product in public.staff]
    counts, needs, languages = {}, {}, {}
    for product, accounts in crowds:
        for one in accounts:
            counts[one.name], languages[one.name] = count_units(rng, product, one, public.days), one.state["language"]
            if rng.random() < (0.5 if product.kind.startswith("chat_") else 0.3 if product.kind == "quick_look" else 0.0):
                counts[one.name] = min(counts[one.name], 12)
            else:
                needs[one.name] = (product, int(np.ceil(counts[one.name] * np.mean(product.parts))))
    spoken, entry = speakers(needs, counts, languages, people, world, public), {row["account"]: row for row in world.people}
    for product, accounts in crowds:
        for one in accounts:
            before, own, times = len(world.log.rows), spoken.get(one.name), times_of(rng, one, counts[one.name])
            times = np.sort(at_the_minute(one, times)) if "minute" in one.state else times
            if one.name not in needs:
                units = [talk_of(rng, stock, product, one, customers) for _ in times]
                rows = [row for when, unit in zip(map(float, times), units, strict=True) for row in ((one, when, unit), *hidden_rows(rng, one, when, unit))]
            else:  # no person has as many texts as some accounts need
                rows = rows_of(rng, product, one, times, own) if own else []
            if one.state.get("at_once") and rng.random() < 1 / 4:  # a manual trial comes first
                rows.append((one, one.start + float(rng.uniform(0.0002, 0.002)), [Request(choose(rng, TRIALS), output=20)]))
            world.accounts.append(one)
            for sender, when, unit in rows:
                world.log.add(rng, sender, when, housed(one, unit))
            if own and one.name in entry:
                entry[one.name]["exchanges"] = len(world.log.rows) - before


def compose_majority(rng: np.random.Generator, world: Honest, stock: Stock, people: Mapping[str, Sequence[Person]], staff: Mapping[str, Sequence[Person]], nets: Places, customers: Sessions, public: Public = FIFTEENTH) -> None:
    """Compose all accounts that belong to no organised group."""
    companies = found_companies(rng, nets, public)
    compose_people(rng, world, stock, people, nets, customers, companies, public)
    frames = (*HARNESS, ("alpaca_eval_judge", "{}"))
    sets = [([item if isinstance(item, str) else item[1] for item in stock.take(pool, 180)], frame) for pool, frame in frames]
    compose_desks(rng, world, stock, staff, customers, companies, sets, public)
    for one in crowd(rng, public.eval_person, 99, world, nets, public):
        one.tier = "payg" if one.tier == "free" else one.tier  # a harness soon reaches a free account's limits
        one.start, one.user_agent = min(one.start, public.days - 2), choose(rng, ("lm-eval/0.4.9.2", "inspect-ai/0.3.150", PYTHON))
        one.end, one.created = max(one.end, one.start + 1), min(one.created, moment(one.start))
        world.accounts.append(one)
        for sender, when, unit in eval_rows(rng, one, sets):
            world.log.add(rng, sender, when, unit)
    for number in range(public.resellers):
        accounts = reseller_keys(rng, number, 3, public)
        world.accounts += accounts
        for one, when, unit in resold_rows(rng, accounts, customers, int(rng.integers(10, 41)), 18):
            world.log.add(rng, one, when, list(unit))
