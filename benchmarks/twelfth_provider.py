# ruff: noqa: E501 - each wording is one line
"""The provider of the twelfth author's world, and the majority of its accounts: self-service and companies.

The rules are in twelfth_author.md.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np

# isort: off
# fmt: off
from eighth_author import Row, in_jobs
from eighth_provider import Troubles, VesperLog
from fifth_author import LIMITS, TEMPERATURES, Honest, Piece, Product, conversation, render
from fourth_author import BEGIN, COUNTRIES, MINUTE, Account, Log, Request, Settings, Unit, address, choose, moment, new_account, people_of
from ninth_author import Site, at_the_minute, within_texts
from selves import Person, keyed
from seventh_author import Stock
from sixth_author import times_of
from tenth_author import ban_in_error, talk_unit

DAYS, NEVER = 24.0, 99.0
LAUNCH_DAY, NEW_MODEL = 9.4, "brant-3"
MODELS = {"auk-large": 0.3, "auk-mini": 0.24, "brant-2": 0.14, "brant-2-think": 0.07, "crake-70b": 0.09, "crake-8b": 0.05, "diver-code": 0.06, "eider-nordic": 0.05}
USUAL, SMALL, BRANT, DEEP, OPEN, OLD, CODE, NORDIC = MODELS
OUTAGES = ((4.6, 4.6 + 50 * MINUTE, 0.7), (12.3, 12.3 + 25 * MINUTE, 1.0), (18.1, 18.1 + 180 * MINUTE, 0.25))
TROUBLES = Troubles({"free": 8, "payg": 40, "scale": 300}, 150, OUTAGES, ((9.4, 10.2, 0.05),), 0.006, 0.012, LAUNCH_DAY, 0.05, 0.3, 0.002, (NEW_MODEL, SMALL, USUAL))
CLOUD = 51167  # the cloud's own network


class CloudLog(VesperLog):
    """The log of this world's provider. Two labs' adaptors drop a setting; a filter ends some answers."""

    days, retired, retired_day, heir, reasoning_model = DAYS, OLD, 17.3, SMALL, DEEP

    def row(self, rng, account, when, request, where, chat):  # as the method it extends
        row = super().row(rng, account, when, request, where, chat)
        dropped = {"crake": "temperature", "eider": "max_tokens"}.get(row["model"].split("-")[0])
        if dropped:
            row[dropped] = None
        if rng.random() < account.state.get("filtered", 0.002):
            row |= {"finish_reason": "content_filter", "output_tokens": int(rng.integers(1, 12))}
        return row


# Each wording is one line; a group or a campaign takes a few.
# --- accounts and their networks -----------------------------------------------------------------------------


REGION = {"DE": 0.22, "PL": 0.13, "NL": 0.12, "GB": 0.12, "FR": 0.1, "ES": 0.08, "US": 0.09, "IN": 0.06, "BR": 0.03, "CA": 0.02, "JP": 0.02, "ID": 0.01}
AGENTS = ("curl/8.16.0", "Go-http-client/2.0", "python-requests/2.32.5", "axios/1.12.2", "okhttp/5.2.0", "python-httpx/0.28.1", "reqwest/0.12", "undici", "aws-sdk-compat/3.1", "Java-http-client/21.0.8", "new-api/0.9.26")
SDKS = ("openai-python/2.14.0", "cloudkit-genai/4.2 (python)", "cloudkit-genai/4.2 (node)", "langchain/1.1", "spring-ai/1.1.0")
USES = ("internal assistant", "software development", "customer service", "education", "research", "content", "document processing", "personal", "start-up product", "public sector")
CAMPUS_MAIL = ("fjordholm.edu", "ostrana.edu", "veldhoven.edu", "alumni.fjordholm.edu")
NAMES = ("alder", "basalt", "corvid", "dunlin", "ember", "fathom", "gneiss", "heron", "isobar", "juniper")


def tenant(key: str) -> dict[str, str]:
    """Return organisation, token and mail domain of a tenant."""
    number = keyed("twelfth tenant", key)
    return {"org": f"tenant_{number % 10**8:08d}", "payment": f"card_{keyed('twelfth firm', key):012x}"[:18], "email_domain": f"{NAMES[number % 10]}-{number // 7 % 10**4}.com"}


def token(key: str, rng: np.random.Generator) -> str | None:
    """Return what the log shows of a person's payment."""
    form = choose(rng, ("card", "wallet", "mandate", None), (0.8, 0.1, 0.05, 0.05))
    return form and f"{form}_{keyed('twelfth pays', key):012x}"[:18]


def set_country(rng: np.random.Generator, one: Account, country: str, hour: float = 13.5, spread: float = 2.5) -> None:
    one.country, one.hour = country, float(rng.normal(hour, spread) - COUNTRIES[country][0])


def open_account(rng: np.random.Generator, key: str, kind: str, settings: Settings, agent: str, life: float) -> Account:
    """Create a project that exists throughout the log and was made before it, a tenant of its own. Honest and campaign accounts are made the same way."""
    one = new_account(rng, f"twelfth {key}", kind, settings, agent or choose(rng, AGENTS), life)
    one.start, one.end, one.created = 0.0, DAYS, moment(-0.2 - life * rng.random() ** 0.8)
    set_country(rng, one, choose(rng, list(REGION), list(REGION.values())))
    one.declared_use = choose(rng, USES) if rng.random() < 0.55 else None
    one.org = tenant(one.name)["org"]
    one.payment = token(one.name, rng) if one.tier != "free" else None
    one.state |= {"own": {}, "late": NEVER}
    return one


def settings_near(rng: np.random.Generator, default: Settings, keeps: Sequence[float], lab: str = "") -> Settings:
    """Return the default, each part kept with its own probability; else what people choose, from one lab if it is named."""
    models = {name: share for name, share in MODELS.items() if name.startswith(lab)}
    model, temperature, limit = (rng.random() < keep for keep in keeps)
    stays = model and default.model.startswith(lab)
    weight = np.array(list(models.values()))
    return replace(default, model=default.model if stays else choose(rng, list(models), weight / weight.sum()), temperature=default.temperature if temperature else choose(rng, TEMPERATURES), max_tokens=default.max_tokens if limit else choose(rng, LIMITS))


class Networks:
    """Addresses that many accounts share, and somebody's places."""

    def __init__(self, rng: np.random.Generator) -> None:
        def of(number: int, *systems: int) -> list[Site]:
            return [(address(rng)[0], choose(rng, systems)) for _ in range(number)]

        self.shared = {"egress": of(12, CLOUD), "mobile": of(40, 1257, 2119, 12430, 6830), "exits": of(30, 9009, 212238, 60068), "coworking": [address(rng) for _ in range(8)], "gates": of(4, 22616, 53813)}
        self.campuses = [of(2, system) for system in (1653, 2603, 224)]
        self.vendors = {"mail_pilot": of(4, CLOUD), "tutor_app": of(3, 16509), "resume_app": of(3, CLOUD), "bot_store": of(4, 16509)}

    def place(self, rng: np.random.Generator, where: str, home: list[Site], site: list[Site]) -> list[Site]:
        """Return the addresses of somebody at this kind of place. `site` is the group's own."""
        if where in self.shared:
            return [choose(rng, self.shared[where]) for _ in range(1 if where in ("coworking", "gates") else 2)]
        if where == "campus":
            return choose(rng, self.campuses)
        return {"home": home, "residential": [address(rng), address(rng)], "hosting": [address(rng, True)], "cloud": [(address(rng)[0], CLOUD)]}.get(where, site)


def forget(accounts: Sequence[Account], log: Log) -> None:
    """Remove facts that the log does not have: by tenant of a company or by account, honest or not. Contracts forbid some texts."""
    gaps: dict[str, dict] = {}
    for one in accounts:
        firm = one.state.get("firm")
        place, client, contract = np.random.default_rng(keyed("twelfth gap", firm or one.name)).random(3)
        billing, moved = np.random.default_rng(keyed("twelfth billing", one.name)).random(2)
        hidden = place < (0.09 if firm else 0.03)
        fields: dict = {"asn": None} if hidden or place > 0.93 else {}
        fields |= {"client_ip": None} if hidden else {}
        fields |= {"user_agent": None} if client < (0.18 if firm else 0.04) else {}
        one.addresses = [(None if hidden else ip, None if "asn" in fields else asn) for ip, asn in one.addresses]
        one.user_agent = None if "user_agent" in fields else one.user_agent
        one.org, one.payment = None if moved < 0.08 else one.org, None if billing < 0.05 else one.payment
        one.state["silent"] = contract < 0.03 and one.state.get("small", False)
        gaps[one.name] = fields | ({"prompt": None, "system": None} if one.state["silent"] else {})
    for row in log.rows:
        row |= gaps[row["account"]]


# --- self-service --------------------------------------------------------------------------------------------


WORDS = {
    "verb": ("Say in one sentence what is behind", "Proofread", "Guess the reader of", "Make a checklist from", "Render in formal German", "Name three risks in", "Find a subject line for", "Grade the clarity of", "Ask five questions about", "Turn into an FAQ entry:", "List every name in", "Rewrite without passive voice:"),
    "thing": ("this", "the note", "what I paste", "the draft", "our entry", "the message", "the change", "the record"),
    "scope": tuple(f"{a} {b}" for a in ("for the board", "for new staff", "for a ticket", "for the archive", "for a slide") for b in ("in plain words.", "with no preface.", "keeping all figures.")),
    "ending": ("", " Plain text.", " Stay neutral.", " At most forty words.", " Answer as YAML.", " No lists.", " Be strict."),
}
WORDING = "{verb} {thing} {scope}{ending}"
STANDS = ((WORDING + "\n{text}", None), ("{text}\n---\n" + WORDING, None), ("{text}", WORDING))
GO_ON = ("go on", "no, I meant {file}", "shorter", "are you sure?", "in a table", "what else?", "say it more politely", "and if it fails?", "where does this come from: {line}", "ok thanks", "once more with an example", "translate that")
ROLES_OF_BOTS, WHO, STYLES = ("a lighthouse keeper", "a tired oracle", "your running mate", "a chef", "a detective", "the school nurse", "a dragon's clerk", "a radio host", "a chess rival", "a ghost", "a gardener", "a pilot", "the landlady", "a poet", "a robot cat", "a coach"), ("never forgets a birthday", "gossips about history", "speaks in weather", "is never satisfied", "asks back", "collects keys", "has seen the sea twice", "lost a bet", "believes everything", "counts stairs", "hums at night", "wants to be mayor", "fears ducks"), ("Short lines.", "Warm and slow.", "Rhymes at times.", "Emoji allowed.", "Old-fashioned words.", "Dry humour.")
SYLLABLES = ("ka", "lo", "mi", "ren", "tas", "ve", "du", "shi", "or", "bel", "nu", "fa")
HOUSE_RULE = "Store policy 7: you are a third-party bot, say so when asked; no medical or legal advice; keep to the card.\n"
STEPS = {"job": tuple(f"{a} {b}" for a in ("Sort", "Summarise", "Detect the language of", "Draft an answer to", "Extract contact data from", "Flag anything urgent in") for b in ("the trigger's payload.", "the new row.", "this submission.", "the attachment's text.", "the last message.")), "mark": ("###", "---", "\"\"\"")}
PRODUCTS = (
    *(Product(kind, number // 3 + (at < number % 3), agent, settings, prompt, system, own=WORDS, output=150, units=units, life=600, moves=0.12)
      for kind, number, agent, settings, units in (("sdk_python", 330, "openai-python/2.14.0", Settings(USUAL, None, None, False), 8), ("sdk_node", 190, "cloudkit-genai/4.2 (node)", Settings(USUAL, None, 2048, True), 8), ("sdk_rest", 150, "", Settings(SMALL, None, 1024, False), 8))
      for at, (prompt, system) in enumerate(STANDS)),
    Product("try_once", 380, "Mozilla/5.0 (cloud console)", Settings(USUAL, 0.7, 1024, True), "{text}", output=220, gap=3, units=1.6, life=0.01),
    Product("chat_desk", 150, "chatbox/1.17.2", Settings(USUAL, 0.7, 4096, True), "{text}", "You are a helpful assistant on the user's desktop.", follow=GO_ON, follow_share=0.5, output=240, gap=3, units=5, life=450, moves=0.12),
    Product("chat_mobile", 110, "pocketchat/5.3 (Android 16)", Settings(SMALL, 1.0, 2000, True), "{text}", follow=GO_ON, follow_share=0.45, output=180, gap=2, units=5, life=300, moves=0.12),
    Product("agent_panel", 120, "Cline/3.41.0", Settings(BRANT, 0.0, 8192, True, None, 13), "<task>\n{text}\n</task>\n<open>{file}</open>", "You are an engineer in the editor's panel. Workspace {root}. One tool per turn, then wait.", more="[{tool} for '{file}'] Result:\n{text}", parts=(2, 6), each={"tool": ("read_file", "search", "run", "apply_patch")}, output=200, gap=0.7, units=3.5, life=350, moves=0.12, session=True),
    Product("agent_shell", 80, "crush/0.19.4", Settings(CODE, None, 16000, True, None, 10), "{text}\n\ncwd: {root}", "You are a terminal agent. Be terse. Repository {root}.", more="<output cmd=\"{tool} {file}\">\n{text}\n</output>", parts=(2, 6), each={"tool": ("cat", "rg", "make", "git diff")}, output=180, gap=0.5, units=3.5, life=200, moves=0.12, session=True),
    Product("automation", 90, "make-scenario/2.9", Settings(SMALL, 0.5, 1500, False), "{job}\n{mark}\n{text}\n{mark}", own=STEPS, output=80, units=13, life=500),
    Product("translate_app", 90, "lingua-hover/8.1", Settings(NORDIC, 0.0, None, True), "To {to}:\n{text}", more="To {to}:\n{text}", parts=(1, 5), own={"to": ("Swedish", "Polish", "German", "Dutch", "Finnish", "English")}, output=90, gap=0.1, units=4, life=400),
    Product("mail_pilot", 130, "mailpilot-server/22", Settings(USUAL, 0.4, 800, False), "Draft a reply in my tone to the mail below. Sign with {name}.\n\n{text}", later="You write for {name}. First decide: reply, delegate or archive. If reply, give the draft under DRAFT:, in the sender's language.\n\n{text}", own={"name": ("my initials", "first name", "full signature", "the team's name")}, output=120, units=9, life=450, update=(8.35, 0.06, 1.0, {"model": BRANT, "max_tokens": 1200, "user_agent": "mailpilot-server/23"})),
    Product("note_keeper", 140, "notekeeper-desktop/3.8", Settings(SMALL, 0.3, 700, True), "Note from {file}. Summary and tags.\n{text}", later="Note from {file}. Give: gist (1 line), open questions, links to related notes, tags.\n{text}", output=140, units=7, life=400, update=(12.4, 1.1, 0.8, {"max_tokens": 1400, "user_agent": "notekeeper-desktop/3.9"}), moves=0.05),
    Product("tutor_app", 90, "homework-buddy/6", Settings(SMALL, 0.6, 900, True), "{text}", "You help a pupil of class {grade}. Never give the result first; ask one guiding question.", follow=("i dont know", "is it {line}?", "just tell me", "ok and then", "why"), follow_share=0.5, own={"grade": ("6", "7", "8", "9", "10")}, output=110, gap=1.5, units=5, life=250),
    Product("resume_app", 60, "cv-polish/2.3", Settings(USUAL, 0.5, 1200, False), "Rewrite this bullet of a CV: verb first, a figure if there is one, no pronouns.\n{text}", more="Rewrite this bullet of a CV: verb first, a figure if there is one, no pronouns.\n{text}", parts=(2, 6), output=45, gap=0.5, units=3, life=300),
    Product("bot_store", 240, "botstore-runtime/14.2", Settings(SMALL, 0.9, 500, True), "{text}", "{card}", follow=("hi again", "tell me a joke", "{line}", "what do you think?", "lol", "and you?", "bye", "that's not true"), follow_share=0.6, own={"card": STYLES}, output=80, gap=1.2, units=6, life=350, update=(15.1, 0.015, 1.0, {"user_agent": "botstore-runtime/14.3"})),
)
BY_KIND = {product.kind: product for product in PRODUCTS}
CLOCKED = frozenset({"sdk_python", "sdk_node", "sdk_rest", "automation"})
CHATS = frozenset({"chat_desk", "chat_mobile"})


def change_later(rng: np.random.Generator, product: Product, one: Account) -> None:
    """Set the product's release, which keeps the account's own choices, and the new model for those who switch."""
    changes = one.state.setdefault("changes", [])
    if product.update and rng.random() < product.update[2]:
        day, delay, _, new = product.update
        one.state["late"] = day + min(float(rng.exponential(delay)), 4 * delay)
        changes.append((one.state["late"], {name: value for name, value in new.items() if name == "user_agent" or getattr(one.settings, name) == getattr(product.settings, name)}))
    if rng.random() < product.moves:
        changes.append((LAUNCH_DAY + rng.uniform(0, 9), {"model": NEW_MODEL}))
    changes.sort(key=lambda change: change[0])


def crowd(rng: np.random.Generator, product: Product, number: int, world: Honest, nets: Networks) -> list[Account]:
    """Create a product's accounts: settings, lifetimes, networks and later changes."""
    keeps = (0.35,) * 3 if product.kind.startswith("sdk_") else (rng.uniform(0.45, 0.97), rng.uniform(0.7, 1.0), rng.uniform(0.7, 1.0))
    accounts = []
    for at in range(product.accounts):
        one = open_account(rng, f"{product.kind} {number} {at}", product.kind, settings_near(rng, product.settings, keeps), product.agent, product.life)
        if product.kind == "try_once" or rng.random() < 0.16:
            one.start, one.state["at_once"] = float(rng.uniform(0, DAYS - 0.5)), True
            one.created = moment(one.start - rng.exponential(0.01 if product.kind == "try_once" else 0.2))
        if rng.random() < 0.2:
            one.end = max(one.start + 0.3, float(rng.uniform(one.start, DAYS)))
        if product.kind == "try_once":
            one.tier, one.payment = "free", None
        one.state["own"] = {name: choose(rng, items) for name, items in product.own.items()}
        if product.kind == "bot_store":  # its own card
            one.state["own"]["card"] = f"Bot: {''.join(choose(rng, SYLLABLES) for _ in range(3)).title()}, {choose(rng, ROLES_OF_BOTS)} who {choose(rng, WHO)} and {choose(rng, WHO)}. {choose(rng, STYLES)}"
        change_later(rng, product, one)
        place = rng.random()
        if product.kind in nets.vendors:
            one.addresses = nets.vendors[product.kind]
        elif product.kind in CLOCKED and place < 0.5:
            one.addresses = nets.place(rng, "egress" if place < 1 / 3 else "hosting", [], [])
            if rng.random() < 0.4:
                one.state["minute"] = rng.random()
        elif product.kind not in CLOCKED and place < 0.12:
            one.addresses = [*one.addresses, choose(rng, nets.shared["mobile"])]
        elif product.kind not in CLOCKED and place < 0.26:
            one.addresses = nets.place(rng, "exits" if place < 0.18 else "campus" if place < 0.22 else "coworking", [], [])
            one.email_domain = choose(rng, CAMPUS_MAIL) if 0.18 <= place < 0.22 and rng.random() < 0.4 else one.email_domain
        accounts.append(one)
    world.products.append({"product": product.agent, "kind": product.kind, "default_model": product.settings.model, "max_tokens": product.settings.max_tokens, "temperature": product.settings.temperature, "keep": [round(float(keep), 2) for keep in keeps]})
    return accounts


def units_of(rng: np.random.Generator, product: Product, one: Account, times: Sequence[float], own: Sequence[Piece]) -> list[Unit]:
    """Return a unit for each time, over the texts of the account's person in their order."""
    units, first = [], 0
    for when in times:
        size, late = int(rng.integers(product.parts[0], product.parts[1] + 1)), float(when) > one.state["late"]
        unit = render(rng, product, one.state["own"], [own[(first + step) % len(own)] for step in range(size)], late)
        if product.kind == "bot_store":
            user = f"u{keyed(one.name, int(rng.zipf(1.7))) % 10**6:06d}"
            unit = [replace(request, system=(HOUSE_RULE if late else "") + str(request.system), end_user=user) for request in unit]
        units.append(housed(one, unit))
        first += size
    return units


def housed(one: Account, unit: Unit) -> Unit:
    """Return the unit behind the house instruction of the account's tenant, if it has one."""
    house = one.state.get("house")
    return [replace(request, system=f"{house}\n{request.system}" if request.system else house) for request in unit] if house else unit


# --- companies -----------------------------------------------------------------------------------------------


AREAS = ("Freight papers", "Grid operation", "Dental supply", "Union office", "Harbour services", "Seed catalogue", "Lift maintenance", "Housing fund", "Brewery sales", "Rail spares", "City archive", "Wind farms", "Payroll bureau", "Ferry line", "Optics shop", "Tile works")
HOUSES = (("You work for", "Assistant of", "This is an internal tool of", "On behalf of"), tuple(f"{a} {b}." for a in ("Do not name", "Never repeat", "Mark clearly", "Ask a colleague about", "Keep apart", "Do not promise") for b in ("other companies", "personal data", "guesses", "dates", "prices", "matters under dispute", "anything marked red")), ("Classification: internal.", "Policy AI-3 applies.", "Logs are reviewed.", ""))
ROLES = {"role": tuple(f"{a} {b}" for a in ("Summarise for", "Explain to", "Give the key points to", "Write the weekly line for") for b in ("the steering group.", "the works council.", "the plant.", "our customers.", "the auditor.", "sales."))}
REVIEWS = {"rule": tuple(f"Check {a}; {b}." for a in ("naming", "error paths", "tests", "security", "style guide 4") for b in ("comment only on faults", "grade A to D", "at most three remarks", "say what to ask the author"))}
PROJECTS = (  # with one real author each
    Product("proj_code", 300, "", Settings(BRANT, 0.0, 8192, True, None, 11), "{text}\nFile: {file}", "Coding assistant. Repository {root}.", more="<tool name=\"{tool}\" path=\"{file}\">\n{text}\n</tool>", parts=(2, 5), each={"tool": ("read", "grep", "edit", "test")}, output=200, gap=0.8, units=5, moves=0.12, session=True),
    Product("proj_summary", 130, "", Settings(USUAL, 0.2, 1000, False), "{role}\n\n{text}", own=ROLES, output=120, units=14),
    Product("proj_review", 90, "", Settings(USUAL, 0.0, 2000, False), "Change in {file}:\n{text}", "{rule}", own=REVIEWS, output=140, units=14, moves=0.1),
    Product("proj_translate", 80, "", Settings(NORDIC, 0.0, None, False), "{to}\n{text}", own={"to": tuple(f"Translate into {a}, {b}." for a in ("Polish", "German", "Dutch", "French", "English") for b in ("term base attached to this project", "formal address", "keep placeholders", "UK spelling where English"))}, output=120, units=16),
    Product("proj_sandbox", 260, "", Settings(USUAL, None, None, False), "{text}", output=160, units=3),
)
STAFFED = {"proj_chat": (240, 8, USUAL), "proj_extract": (260, 20, SMALL), "proj_docs": (220, 18, USUAL), "proj_desk": (140, 8, SMALL), "proj_nightly": (50, 0, USUAL)}  # accounts, median, model
OF_PEOPLE = {product.kind: product for product in PROJECTS}


@dataclass
class Tenant:
    """A company with projects on the cloud."""

    key: str
    projects: list[Account] = field(default_factory=list)


def found_tenants(rng: np.random.Generator, nets: Networks) -> list[Tenant]:
    """Create companies, each with its habits, until all projects have one."""
    defaults = {product.kind: product.settings for product in PROJECTS} | {kind: Settings(model, 0.2, 1024, kind == "proj_chat") for kind, (_, _, model) in STAFFED.items()}
    left = [product.kind for product in PROJECTS for _ in range(product.accounts)] + [kind for kind, (number, _, _) in STAFFED.items() for _ in range(number)]
    left = [left[at] for at in rng.permutation(len(left))]
    tenants: list[Tenant] = []
    while left:
        size, key = min(len(left), 45, int(rng.zipf(1.73))), f"company {len(tenants)}"
        firm, partner, country = tenant(key), f"card_{keyed('twelfth partner', len(tenants) % 7):012x}"[:18], choose(rng, list(REGION), list(REGION.values()))
        pays, site = choose(rng, (None, firm["payment"], partner), (0.6, 0.3, 0.1)), choose(rng, ("egress", "cloud", "office", "gates"), (0.4, 0.3, 0.2, 0.1))
        addresses, lab = nets.place(rng, site, [], [address(rng)]), choose(rng, ("", "auk", "brant", "crake", "eider"), (0.4, 0.32, 0.15, 0.09, 0.04))
        libraries, tier, hour = [choose(rng, (*SDKS, *AGENTS)) for _ in range(int(rng.integers(1, 3)))], choose(rng, ("payg", "scale"), (0.45, 0.55)), float(rng.normal(12.5, 1.0))
        house = f"{choose(rng, HOUSES[0])} {choose(rng, AREAS)} {keyed(key) % 900}. {choose(rng, HOUSES[1])} {choose(rng, HOUSES[2])}".strip() if rng.random() < 0.4 else None
        one_tenant = Tenant(key)
        for at in range(size):
            kind = left.pop()
            one = open_account(rng, f"{key} {at}", kind, settings_near(rng, defaults[kind], (0.6, 0.8, 0.8), lab), choose(rng, libraries), 700)
            one.settings = replace(one.settings, response_format="json_object") if kind == "proj_extract" and rng.random() < 0.5 else one.settings
            one.org, one.payment, one.email_domain, one.tier = firm["org"], pays, firm["email_domain"], tier
            one.addresses = one.addresses if kind == "proj_code" and rng.random() < 0.5 else addresses
            set_country(rng, one, country, hour, 1.0)
            one.state |= {"firm": key, "pool": key, "reacts": "project", "house": house, "small": size <= 6}
            if rng.random() < 0.15:
                one.start = float(rng.uniform(0, DAYS - 2))
                one.created = moment(one.start - rng.exponential(0.5))
            if product := OF_PEOPLE.get(kind):
                one.state["own"] = {name: choose(rng, items) for name, items in product.own.items()}
                change_later(rng, product, one)
            one_tenant.projects.append(one)
        tenants.append(one_tenant)
    return tenants


SHELVES = ("Answer from", "Use only", "Rely on", "Quote", "Look first into", "Search", "Stay within"), ("the sources", "the shelf below", "these documents", "our handbook", "the excerpts", "what was found", "the records in brackets")
FIELDS = ("intent", "amount", "date", "place", "product", "name", "urgency", "channel", "language", "time of day")


def staffed_rows(rng: np.random.Generator, one: Account, count: int, stock: Stock, customers: Iterator[list[Piece]]) -> list[Row]:
    """Return requests: what a company's project sends that no single person writes."""
    if one.kind == "proj_chat":
        system = f"{choose(rng, AREAS)} chat {keyed(one.name) % 300}. {choose(rng, HOUSES[1])}"
        units = [[Request(text[:2500], system, turn + 1, 180, True, 2, None, f"e{rng.integers(200):03d}") for turn, (text, _) in enumerate(next(customers)[:4])] for _ in range(count)]
        return [(one, float(when), unit) for when, unit in zip(times_of(rng, one, count), units, strict=True)]
    if one.kind == "proj_desk":
        frame = f"{choose(rng, AREAS)} customer line {keyed(one.name) % 300}. {choose(rng, HOUSES[1])} {choose(rng, WORDS['ending'])}".strip()
        units = [talk_unit(rng, talk, frame, f"c{rng.integers(5000):04d}") for _, talk in stock.take("talks pairs", count)]
        return [(one, float(when), unit) for when, unit in zip(times_of(rng, one, count), units, strict=True)]
    if one.kind == "proj_docs":
        medical = keyed("twelfth shelf", one.state["firm"]) % 4 == 0
        passages = [text for _, text in stock.take("health pairs" if medical else choose(rng, ("court pairs", "news pairs", "standards pairs", "lessons pairs")), 6)]
        questions = [text for _, text in stock.take("asks pairs", count)] if medical else [next(customers)[0][0][:300] for _ in range(count)]
        lead = f"{choose(rng, SHELVES[0])} {choose(rng, SHELVES[1])}. {choose(rng, HOUSES[1])}"
        units = [[Request(text, f"{lead}\n[1] {choose(rng, passages)}\n[2] {choose(rng, passages)[:600]}", output=130, end_user=f"e{rng.integers(90):02d}" if one.state["small"] else None)] for text in questions]
        return [(one, float(when), unit) for when, unit in zip(times_of(rng, one, count), units, strict=True)]
    if one.kind == "proj_nightly":
        task, minute = f"{choose(rng, WORDS['verb'])} {choose(rng, WORDS['thing'])} {choose(rng, WORDS['scope'])}", rng.random()
        prompts = [f"{task}\n{next(customers)[0][0][:1500]}" for _ in range(int(rng.integers(6, 15)))]
        return [(one, night + minute + at * 9 / 86400, [Request(prompt, output=90)]) for night in range(int(one.start) + 1, int(DAYS) - 1) for at, prompt in enumerate(prompts)]
    keys = ", ".join(str(name) for name in rng.choice(FIELDS, int(rng.integers(2, 5)), replace=False))
    one.state["task"] = f"{choose(rng, ('Extract', 'Fill the record:', 'Return JSON with', 'Columns:', 'Read out'))} {keys}. {choose(rng, ('Unknown is null.', 'Leave out what is not said.', 'Use codes of table ' + str(keyed(one.name) % 60) + '.', 'No prose.'))}"
    texts = [text for _, text in stock.take(choose(rng, ("utterances pairs", "commands pairs", "requests pairs")), count)]
    return in_jobs(rng, [one], [[Request(f"{one.state['task']}\n{text}", output=25)] for text in texts], 4)


def mirror_rows(rng: np.random.Generator, world: Honest, tenants: Sequence[Tenant]) -> None:
    """Add staging projects: a part of a sibling's requests again, minutes later, with another model."""
    by_account: dict[str, list[dict]] = defaultdict(list)
    for row in world.log.rows:
        by_account[row["account"]].append(row)
    larger = [firm for firm in tenants if len(firm.projects) > 2 and any(len(by_account[one.name]) > 9 for one in firm.projects)]
    for at in range(50):
        firm = choose(rng, larger)
        sibling = choose(rng, [one for one in firm.projects if len(by_account[one.name]) > 9])
        one = replace(sibling, name=f"acct_{keyed('twelfth mirror', at):016x}"[:18], kind="proj_mirror", state=sibling.state | {"changes": []}, settings=replace(sibling.settings, model=choose(rng, list(MODELS), list(MODELS.values()))))
        one.created, share = moment(-float(rng.uniform(1, 200))), rng.uniform(0.1, 0.33)
        world.accounts.append(one)
        for row in by_account[sibling.name]:
            if rng.random() < share:
                day = (row["time"] - BEGIN) / timedelta(days=1) + float(rng.exponential(4)) * MINUTE
                world.log.add(rng, one, day, [Request(row["prompt"], row["system"], row["turn"], max(1, row["output_tokens"]))])


def compose_majority(rng: np.random.Generator, world: Honest, stock: Stock, people: Sequence[Person], nets: Networks, customers: Iterator[list[Piece]]) -> list[Tenant]:
    """Compose all accounts that belong to no organised group."""
    crowds, tenants = [(product, crowd(rng, product, at, world, nets)) for at, product in enumerate(PRODUCTS)], found_tenants(rng, nets)
    alone = [one for _, accounts in crowds for one in accounts]
    ban_in_error(rng, alone, DAYS)
    crowds += [(product, [one for firm in tenants for one in firm.projects if one.kind == product.kind]) for product in PROJECTS]
    counts, needs = {}, {}
    for product, accounts in crowds:
        sigma, most = (1.5, 500) if product.kind.startswith("proj_") else (0.5, 20) if product.kind == "try_once" else (1.35, 320)
        for one in accounts:
            share = 1.0 if product.kind == "try_once" else (one.end - one.start) / DAYS
            counts[one.name] = max(1, int(np.clip(rng.lognormal(np.log(product.units), sigma), 1, most) * share))
            if product.kind == "try_once" or (product.kind in CHATS and rng.random() < 1 / 3):
                counts[one.name] = min(counts[one.name], 15)
            else:
                needs[one.name] = (product, int(np.ceil(counts[one.name] * np.mean(product.parts))))
    iterators, world.people = people_of(rng, within_texts(counts, needs, people), people)
    spoken, entry = {name: list(pieces) for name, pieces in iterators.items()}, {row["account"]: row for row in world.people}
    for product, accounts in crowds:
        for one in accounts:
            before, own, times = len(world.log.rows), spoken.get(one.name), times_of(rng, one, counts[one.name])
            if "minute" in one.state:
                times = np.sort(at_the_minute(one, times))
            if one.name not in needs:
                world.add(rng, one, times, [conversation(product, one, talk) for talk in stock.take("talks", len(times))])
            elif own:  # else no person has so many texts
                world.add(rng, one, times, units_of(rng, product, one, times, own))
                entry[one.name]["exchanges"] = len(world.log.rows) - before
            if (product.kind == "proj_sandbox" or one.state.get("at_once")) and rng.random() < 1 / 3:  # a manual trial comes first
                world.log.add(rng, one, one.start + float(rng.uniform(0.0002, 0.002)), [Request(choose(rng, TRIALS), output=20)])
    for firm in tenants:
        for one in firm.projects:
            if one.kind in STAFFED:
                count = max(1, int(np.clip(rng.lognormal(np.log(STAFFED[one.kind][1] or 1), 1.5), 1, 400) * (one.end - one.start) / DAYS))
                world.accounts.append(one)
                for _, when, unit in staffed_rows(rng, one, count, stock, customers):
                    world.log.add(rng, one, max(float(when), one.start), housed(one, unit))
    mirror_rows(rng, world, tenants)
    pass_on_a_prompt(rng, world, alone, customers)
    return tenants


TRIALS = ("hi", "test", "are you there?", "hello", "who are you", "1+1", "ping", "say hello")
POSTED = "You are my brutally honest future self, ten years older. Read what I send and tell me the three things I am avoiding, the one thing I do well, and end with a sentence I should put on the wall. No flattery, no bullet points. Here it is:\n"


def pass_on_a_prompt(rng: np.random.Generator, world: Honest, alone: Sequence[Account], customers: Iterator[list[Piece]]) -> None:
    """Add a prompt that spreads on social media, word for word, before the account's own texts."""
    able = [one for one in alone if one.kind in ("chat_desk", "chat_mobile", "note_keeper", "try_once") and one.end > 11 and one.start < 20]
    for at in rng.permutation(len(able))[:90]:
        one = able[at]
        first = float(np.clip(10.6 + rng.exponential(3.0), max(10.6, one.start + 0.01), one.end - 0.1))
        for step, (text, _) in enumerate(next(customers)[: int(rng.integers(1, 4))]):
            world.log.add(rng, one, first + step * float(rng.exponential(5)) * MINUTE, [Request(POSTED + text[:1200], output=230)])
