#!/usr/bin/env python3
# ruff: noqa: E501 - each wording of a product or campaign is one line
"""A world by a fourth author: other products, other campaigns, people with real texts.

    python benchmarks/fourth_author.py --range ../shared/range/corpora --people people.parquet --out worlds

Writes worlds/fourth and worlds/fourth-quiet (the same honest traffic without campaigns) in the format of the second
author's worlds. The author had not read the detector. The rules are in RULES, which is written beside the world; they
were fixed before the world was generated.

`--people` is a file of `benchmarks/selves.py collect`. This script contains no text of it or of the range, and the
worlds may not be published, because some of the sources may not.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import selves
from selves import Person, keyed

BEGIN = datetime(2026, 9, 7, tzinfo=UTC)  # a Monday
DAYS = 14.0
LAUNCH_DAY = 7.6
NEW_MODEL = "sable-3"
MODELS = ("sable-2", "sable-2-mini", "sable-2-think", "sable-1", "sable-code")
MODEL_SHARES = (0.38, 0.27, 0.1, 0.15, 0.1)
OUTAGES = ((4.54, 4.57), (10.35, 10.38))
FAILURE_RATE = 0.016
MINUTE = 1 / 1440
COUNTRIES = {
    "US": (-6, 0.27), "DE": (2, 0.09), "GB": (1, 0.08), "IN": (5.5, 0.1), "BR": (-3, 0.07), "FR": (2, 0.06),
    "JP": (9, 0.06), "CA": (-5, 0.05), "PL": (2, 0.04), "ES": (2, 0.04), "KR": (9, 0.04), "ID": (7, 0.03),
    "NL": (2, 0.03), "AU": (10, 0.02), "MX": (-6, 0.02),
}  # fmt: skip
DOMAINS = (
    "gmail.com",
    "outlook.com",
    "proton.me",
    "icloud.com",
    "gmx.de",
    "yahoo.com",
    "mail.ru",
    "naver.com",
)
EXCHANGE_SCHEMA = pa.schema(
    [
        ("exchange_id", pa.string()), ("time", pa.timestamp("us", tz="UTC")), ("account", pa.string()),
        ("end_user", pa.string()), ("client_ip", pa.string()), ("asn", pa.int32()),
        ("user_agent", pa.string()), ("operation", pa.string()), ("model", pa.string()),
        ("conversation", pa.string()), ("turn", pa.int16()), ("system", pa.string()), ("prompt", pa.string()),
        ("tools", pa.int16()), ("input_tokens", pa.int32()), ("output_tokens", pa.int32()),
        ("reasoning_tokens", pa.int32()), ("temperature", pa.float32()), ("top_p", pa.float32()),
        ("max_tokens", pa.int32()), ("n", pa.int8()), ("seed", pa.int64()), ("top_logprobs", pa.int8()),
        ("stream", pa.bool_()), ("response_format", pa.string()), ("status", pa.int16()),
        ("finish_reason", pa.string()), ("latency_ms", pa.int32()),
    ]
)  # fmt: skip
ACCOUNT_SCHEMA = pa.schema(
    [
        ("account", pa.string()), ("org", pa.string()), ("created", pa.timestamp("us", tz="UTC")),
        ("tier", pa.string()), ("country", pa.string()), ("email_domain", pa.string()),
        ("payment", pa.string()), ("declared_use", pa.string()), ("permissions", pa.list_(pa.string())),
    ]
)  # fmt: skip
TRUTH_SCHEMA = pa.schema(
    [
        ("account", pa.string()), ("kind", pa.string()), ("campaign", pa.string()), ("style", pa.string()),
        ("covert_share", pa.float64()),
    ]
)  # fmt: skip

RULES = (Path(__file__).parent / "fourth_author.md").read_text()


def moment(day: float) -> datetime:
    return BEGIN + timedelta(days=day)


def choose(rng: np.random.Generator, items: Sequence, shares: Sequence[float] | None = None):
    p = None if shares is None else np.asarray(shares) / np.sum(shares)
    return items[int(rng.choice(len(items), p=p))]


# --- accounts ------------------------------------------------------------------------------------------------


@dataclass
class Settings:
    model: str
    temperature: float | None
    max_tokens: int | None
    stream: bool
    top_p: float | None = None
    tools: int = 0
    response_format: str | None = None


@dataclass
class Account:
    name: str
    kind: str
    country: str
    created: datetime
    settings: Settings
    user_agent: str
    updated_agent: str | None = None
    updated_day: float = 99.0
    updated_limit: float = 1.0
    moves_day: float = 99.0  # switches to the new model
    start: float = 0.0
    end: float = DAYS
    addresses: list[tuple[str, int]] = field(default_factory=list)
    org: str | None = None
    tier: str = "payg"
    email_domain: str = "gmail.com"
    payment: str | None = None
    declared_use: str | None = None
    permissions: tuple[str, ...] = ()
    campaign: str | None = None
    style: str | None = None
    covert_share: float = 0.0
    hour: float = 14.0
    spread: float = 3.2
    weekend: float = 0.5
    state: dict = field(default_factory=dict)

    def day(self) -> float:
        return (self.created - BEGIN) / timedelta(days=1)


def address(rng: np.random.Generator, hosting: bool = False) -> tuple[str, int]:
    networks = (
        (14061, 16276, 24940, 63949) if hosting else (3320, 7018, 7922, 12322, 17676, 4766, 9829, 28573, 3215)
    )
    first = int(choose(rng, (23, 45, 64, 78, 91, 104, 143, 165, 186, 203)))
    return f"{first}.{rng.integers(256)}.{rng.integers(256)}.{rng.integers(1, 255)}", int(
        choose(rng, networks)
    )


def new_account(
    rng: np.random.Generator, key: str, kind: str, settings: Settings, agent: str, life: float
) -> Account:
    """Return a person's account, created within the last `life` days; 6 % are created during the log."""
    country = choose(rng, list(COUNTRIES), [share for _, share in COUNTRIES.values()])
    zone = COUNTRIES[country][0]
    age = rng.uniform(-DAYS + 1, 0) if rng.random() < 0.06 else life * rng.random() ** 0.8
    return Account(
        name=f"acct_{keyed('fourth', key):016x}"[:18],
        kind=kind,
        country=country,
        created=moment(-age),
        settings=settings,
        user_agent=agent,
        start=max(0.0, -age),
        addresses=[address(rng) for _ in range(1 + int(rng.random() < 0.4) + int(rng.random() < 0.15))],
        tier=choose(rng, ("payg", "free", "scale"), (0.66, 0.24, 0.1)),
        email_domain=choose(rng, DOMAINS),
        payment=f"card_{keyed('card', key):012x}"[:17],
        hour=float(rng.normal(14.5, 2.5) - zone),
        spread=float(rng.uniform(1.8, 4.5)),
        weekend=float(rng.choice([0.2, 0.6, 1.2])),
    )


def drawn_settings(
    rng: np.random.Generator, default: Settings, keeps: tuple[float, float, float]
) -> Settings:
    """Return the product's default, each part kept with its own probability."""
    model, temperature, limit = (rng.random() < keep for keep in keeps)
    return Settings(
        default.model if model else choose(rng, MODELS, MODEL_SHARES),
        default.temperature if temperature else choose(rng, (None, 0.0, 0.3, 0.7, 1.0)),
        default.max_tokens if limit else choose(rng, (None, 256, 1024, 2048, 4096)),
        default.stream,
        default.top_p,
        default.tools,
        default.response_format,
    )


# --- requests ------------------------------------------------------------------------------------------------


@dataclass
class Request:
    prompt: str
    system: str | None = None
    turn: int = 1
    output: float = 150.0  # tokens, the median
    conversation: bool = False
    gap: float = 1.0  # minutes after the request before it
    limit: int | None = None  # if the software sets another limit for this request
    end_user: str | None = None


Unit = list[Request]


def schedule(rng: np.random.Generator, account: Account, units: int) -> np.ndarray:
    """Start times of the units: sessions at the account's hours, pauses of minutes within a session."""
    first, last = account.start, account.end
    if not first < last:
        raise ValueError(f"{account.kind} {account.name}: starts on day {first}, ends on day {last}")
    days = np.arange(int(first), int(np.ceil(last)))
    weight = np.where(days % 7 >= 5, account.weekend, 1.0)
    times: list[float] = []
    while len(times) < units:
        start = (
            rng.choice(days, p=weight / weight.sum()) + ((rng.normal(account.hour, account.spread)) % 24) / 24
        )
        for _ in range(1 + rng.poisson(1.8)):
            times.append(float(start))
            start += rng.lognormal(np.log(5 * MINUTE), 1.0)
    inside = np.clip(np.sort(np.array(times[:units])), first + 0.001, None)
    over = inside > last - 0.002
    inside[over] = rng.uniform(first + 0.001, last - 0.002, int(over.sum()))
    return np.sort(inside)


class Log:
    """Rows of the exchanges being composed."""

    days = DAYS  # later exchanges are not in the log

    def __init__(self, seed: int) -> None:
        self.rows: list[dict] = []
        self.labels: dict[str, str] = {}
        self.seed = seed

    def add(
        self,
        rng: np.random.Generator,
        account: Account,
        begin: float,
        unit: Unit,
        campaign: str | None = None,
    ) -> None:
        when = begin
        chat = f"conv_{keyed(self.seed, account.name, begin, len(self.rows)):016x}"[:14]
        where = account.addresses[int(rng.integers(len(account.addresses)))]
        for request in unit:
            when += 0 if request is unit[0] else request.gap * float(rng.lognormal(0, 0.5)) * MINUTE
            if when >= self.days:
                return
            row = self.row(rng, account, when, request, where, chat)
            self.rows.append(row)
            if campaign is not None:
                self.labels[row["exchange_id"]] = campaign

    def row(
        self,
        rng: np.random.Generator,
        account: Account,
        when: float,
        request: Request,
        where: tuple[str, int],
        chat: str,
    ) -> dict:
        own = account.settings
        model = NEW_MODEL if when > account.moves_day else own.model
        updated = when > account.updated_day
        limit = request.limit or own.max_tokens
        if limit and updated and not request.limit:
            limit = int(limit * account.updated_limit)
        output = max(1, int(request.output * rng.lognormal(0, 0.6)))
        reason = "tool_calls" if own.tools and rng.random() < 0.6 else "stop"
        if limit and output >= limit:
            output, reason = limit, "length"
        thought = int(rng.lognormal(6, 0.7)) if model == "sable-2-think" else 0
        count = (len(request.prompt) + len(request.system or "")) // 4 + 60 * own.tools + 8
        return {
            "exchange_id": f"req_{keyed('exchange', self.seed, account.name, when, request.prompt):016x}"[
                :18
            ],
            "time": moment(when),
            "account": account.name,
            "end_user": request.end_user,
            "client_ip": where[0],
            "asn": where[1],
            "user_agent": account.updated_agent if updated and account.updated_agent else account.user_agent,
            "operation": "chat",
            "model": model,
            "conversation": chat if request.conversation else None,
            "turn": request.turn,
            "system": request.system,
            "prompt": request.prompt,
            "tools": own.tools,
            "input_tokens": count + (request.turn - 1) * 220,
            "output_tokens": output,
            "reasoning_tokens": thought,
            "temperature": own.temperature,
            "top_p": own.top_p,
            "max_tokens": limit,
            "n": 1,
            "seed": None,
            "top_logprobs": 0,
            "stream": own.stream,
            "response_format": own.response_format,
            "status": 200,
            "finish_reason": reason,
            "latency_ms": int(250 + (output + thought) * rng.uniform(8, 22)),
        }


# --- honest products: what one text of a person becomes ------------------------------------------------------


def first_line(text: str, most: int = 300) -> str:
    return text.split("\n")[0][:most]


def commit_hook(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    new = " Imperative mood." if account.state.get("late") else ""
    lead = f"Compose the subject and body of a commit from the staged changes. Subject under 60 signs.{new}"
    return [Request(f"{lead}\n<staged>\n{file}\n{text[:1500]}\n</staged>", output=60)]


def shell_helper(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    state = account.state
    state.setdefault(
        "box", f"{choose(rng, ('Linux', 'macOS 15', 'WSL2'))}, {choose(rng, ('bash', 'zsh', 'fish'))}"
    )
    system = (
        f"You turn a wish into one shell line. Machine: {state['box']}. Only the line, no fence, no talk."
    )
    return [Request(f"wish: {first_line(text)} ({file})", system, output=25)]


def fim_completion(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    unit = []
    for part in range(int(rng.integers(2, 6))):
        cut = int(rng.integers(1, max(2, min(len(text), 900))))
        prompt = f"|before|{file}\n{text[max(0, cut - 700) : cut]}|cursor|{text[cut : cut + 300]}|after|"
        unit.append(Request(prompt, output=22, gap=0.4 if part else 1))
    return unit


def note_plugin(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    vault = account.state.setdefault("vault", file.split("/")[0])
    prompt = f"Vault {vault}. Sum the note up in two lines, then up to five #tags and [[links]] that fit.\n---\n{text[:3000]}"
    return [Request(prompt, output=90)]


def chat_frontend(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    unit = [Request(text[:4000], conversation=True, output=330)]
    title = f"Name this chat in at most five words, one emoji first, no quotes.\n\nperson: {text[:300]}"
    unit.append(Request(title, output=9, gap=0.3))
    for turn in range(2, 2 + int(rng.geometric(0.5)) - 1):
        more = choose(
            rng,
            ("go on", "shorter", "why?", "and for " + file, "can you give an example", "in a table please"),
        )
        unit.append(Request(more, turn=turn, conversation=True, output=280, gap=2.5))
    return unit


def browser_sidebar(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    prompt = f"Page: https://{file.replace('/', '.')}\nWhat does the reader get from the page below? Three bullets, then one doubt.\n\n"
    return [Request(prompt + text[:3500], output=130)]


def home_voice(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    rooms = ("kitchen", "hall", "study", "attic", "bath", "garage", "porch", "bedroom", "cellar", "nursery")
    things = ("lamp", "blind", "heater", "fan", "speaker", "socket", "lock", "camera")
    if "home" not in account.state:
        own = [f"{choose(rng, rooms)} {choose(rng, things)}" for _ in range(int(rng.integers(5, 22)))]
        account.state["home"] = sorted(set(own))
    home = account.state["home"]
    system = "You are the voice of a home. Devices: " + "; ".join(home) + ". Answer in one spoken sentence."
    if rng.random() < 0.35:
        prompt = f"remind me about this: {first_line(text, 160)}"
    else:
        prompt = f"{choose(rng, ('turn on', 'turn off', 'dim', 'is it on,', 'what about'))} the {choose(rng, home)}"
    return [Request(prompt, system, output=18)]


def mail_drafts(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    prompt = (
        "Draft the answer to this mail. Before the draft, set out fully why you answer so and which points stay"
        f" open; the person wants to check your reasons.\n>>>\n{text[:3000]}\n<<<\nSubject: Re: {first_line(text, 60)}"
    )
    return [Request(prompt, output=380)]


def sql_helper(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    if "schema" not in account.state:
        names = [
            part for part in file.replace(".", "/").replace("-", "_").split("/") if part.isidentifier()
        ] or ["main"]
        columns = ("id", "owner", "created_at", "state", "amount", "label", "parent", "kind")
        account.state["schema"] = "\n".join(
            f"{name}({', '.join(rng.permutation(columns)[: int(rng.integers(3, 7))])})" for name in names[:4]
        )
    prompt = f"Dialect postgres. Schema:\n{account.state['schema']}\nWrite one query, comment on its plan.\nNeed: {first_line(text)}"
    return [Request(prompt, output=140)]


def flow_node(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    role = account.state.setdefault(
        "role",
        f"You look after {file} and file what comes in as {choose(rng, ('done, open, odd', 'now, later, never', 'a, b or c'))}.",
    )
    system = f"{role}\n\nReply as one JSON object that the next node can parse. Keys: result, reason."
    return [Request(f"Input item 0:\n{text[:2500]}", system, output=70)]


def paper_reader(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    prompt = (
        "From the text take (1) each claim, (2) the method behind it, (3) the chain of reasons from method to claim,"
        f" complete and in order, (4) what would refute it.\nTEXT [{file}]\n{text[:3500]}"
    )
    return [Request(prompt, output=520)]


def proof_coach(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    prompt = (
        "Coach me. Go through my derivation line by line, say for each line what it rests on, never skip a step,"
        f" and finish with a check by another way.\nMine ({file}):\n{text[:3000]}"
    )
    unit = [Request(prompt, output=700, conversation=True)]
    if rng.random() < 0.35:
        unit.append(Request("I do not see the third step", turn=2, conversation=True, output=400, gap=4))
    return unit


def incident_bot(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    unit = []
    lines = [line for line in text.split("\n") if line.strip()] or [text]
    for part in range(int(rng.integers(1, 5))):
        log = "\n".join(
            f"{rng.integers(24):02d}:{rng.integers(60):02d} {choose(rng, ('WARN', 'ERROR', 'FATAL'))} {file} {line[:160]}"
            for line in lines[part : part + 4] or lines[:2]
        )
        prompt = f"ALERT on call. Think step by step to the root cause, list what you rule out and why, then one action.\nLOG\n{log}"
        unit.append(Request(prompt, output=260, gap=3))
    return unit


def npc_mod(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    cast = account.state.setdefault(
        "cast", [choose(rng, ("Orla", "Bram", "Sefu", "Ines", "Tova", "Rurik")) for _ in range(3)]
    )
    system = f"You speak as {choose(rng, cast)} of the mod, a {choose(rng, ('smith', 'ferryman', 'spy', 'herbalist'))}. Stay in the world. Two sentences and a mood in brackets."
    unit = []
    for turn in range(1, 1 + int(rng.integers(1, 5))):
        said = (
            first_line(text, 200)
            if turn == 1
            else choose(rng, ("And then?", "I do not trust you.", "Show me.", "What do you want for it?"))
        )
        unit.append(Request(f"[player] {said}", system, turn, 55, True, 0.7))
    return unit


def studio(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    house = account.state["house"]
    prompt = f"House style {house}: short lines, no adjectives before nouns, second person. Make a teaser and a caption.\nBrief of the client: {text[:1500]}"
    return [Request(prompt, output=120)]


def api_small(rng: np.random.Generator, account: Account, text: str, file: str) -> Unit:
    if "own" not in account.state:
        verb = choose(
            rng,
            (
                "Rate",
                "Rewrite",
                "Shorten",
                "Translate to German",
                "Explain",
                "List what is missing in",
                "Turn into a test",
                "Find names in",
            ),
        )
        tail = choose(
            rng,
            (
                "",
                " Keep it brief.",
                " Output only that.",
                " Use plain words.",
                " One paragraph.",
                " As a list.",
            ),
        )
        account.state["own"] = f"{verb} the following{choose(rng, (' text', '', ' entry', ' piece'))}.{tail}"
    return [
        Request(f"{account.state['own']}{choose(rng, (chr(10), chr(10) * 2, ' '))}{text[:3000]}", output=160)
    ]


@dataclass(frozen=True)
class Product:
    """A crowd: strangers who use one program."""

    kind: str
    accounts: int
    render: Callable[[np.random.Generator, Account, str, str], Unit]
    agent: str
    settings: Settings
    units: float  # median of the texts of an account
    sigma: float
    life: float  # days since its first release
    released: float | None = None  # day in the log
    update: tuple[float, str, float] | None = None  # day, new agent, factor on the limit
    moves: float = 0.0  # share that switches to the new model


PRODUCTS = (
    Product("commit_hook", 420, commit_hook, "quillhook/0.9.4", Settings("sable-2-mini", 0.2, 120, False), 6, 1.1, 500,
            update=(6.3, "quillhook/1.0.0", 1.0), moves=0.1),
    Product("shell_helper", 330, shell_helper, "shwish 2.3", Settings("sable-2-mini", 0.0, 200, False), 6, 1.1, 420),
    Product("fim_completion", 260, fim_completion, "tabstop-ide/5.1", Settings("sable-code", 0.1, 64, True, 0.95), 4, 1.0, 300,
            moves=0.15),
    Product("note_plugin", 300, note_plugin, "vaultmate/1.12", Settings("sable-2", 0.4, 600, True), 5, 1.0, 300),
    Product("chat_frontend", 520, chat_frontend, "Lantern UI 0.6.2", Settings("sable-2", None, None, True), 3, 1.0, 380,
            update=(9.2, "Lantern UI 0.6.3", 1.0), moves=0.3),
    Product("browser_sidebar", 260, browser_sidebar, "SideLight/3", Settings("sable-2-mini", 0.3, 800, True), 6, 1.0, 250),
    Product("home_voice", 200, home_voice, "hearth-conversation/2026.8", Settings("sable-2-mini", 1.0, 150, False, 0.9, 9), 8, 0.9, 600),
    Product("mail_drafts", 220, mail_drafts, "Postbird/7.4", Settings("sable-2", 0.5, 1500, True), 5, 1.0, 320,
            update=(3.1, "Postbird/7.5", 1.33)),
    Product("sql_helper", 150, sql_helper, "tablepeek-ai 0.4", Settings("sable-2", 0.0, 512, False), 5, 1.1, 200, moves=0.2),
    Product("flow_node", 210, flow_node, "flowstead/1.88 node", Settings("sable-2-mini", 0.7, 2048, False, None, 0, "json_object"), 7, 1.2, 450),
    Product("paper_reader", 160, paper_reader, "citebox-reader/0.1", Settings("sable-2", 0.1, 3000, True), 5, 1.0, 30, released=5.2),
    Product("proof_coach", 140, proof_coach, "stepwise-coach/1", Settings("sable-2-think", 0.6, 4000, True), 4, 0.9, 30, released=8.6),
    Product("incident_bot", 110, incident_bot, "pagerwren/2.0", Settings("sable-2", 0.2, 900, False), 4, 1.1, 340),
    Product("npc_mod", 130, npc_mod, "tavernmod 0.8", Settings("sable-1", 1.0, 180, True), 4, 1.1, 400),
)  # fmt: skip
CODERS = frozenset({"fim_completion", "chat_frontend", "sql_helper", "commit_hook"})


# --- the honest world ----------------------------------------------------------------------------------------


@dataclass
class Corpora:
    """Texts of the range, each used once."""

    passages: list[str]
    questions: list[str]
    dialogues: list[list[tuple[str, str]]]
    public_items: list[str]
    pipelines: dict[str, list[str]]

    @classmethod
    def read(cls, folder: Path, rng: np.random.Generator) -> "Corpora":
        passages, questions, dialogues, public = [], [], [], []
        for row in pq.read_table(folder / "benign.parquet", columns=["corpus", "messages"]).to_pylist():
            messages = json.loads(row["messages"])
            users = [str(m["content"] or "") for m in messages if m["role"] == "user"]
            if not users:
                continue
            if row["corpus"] in ("banking77", "bfcl_v4"):
                questions.append(users[0])
            elif row["corpus"] in ("gsm8k_test", "mmlu_sample", "mt_bench"):
                public.append(users[0])
            elif row["corpus"] == "sharegpt_v3_part":
                pairs = [
                    (str(a["content"] or ""), str(b["content"] or ""))
                    for a, b in pairwise(messages)
                    if a["role"] == "user" and b["role"] == "assistant"
                ]
                if pairs:
                    dialogues.append(pairs)
        for pool in (questions, dialogues, public):
            order = rng.permutation(len(pool))
            pool[:] = [pool[at] for at in order]
        third = len(dialogues) // 3  # a third supplies passages for search, the rest are conversations
        passages = [b for pairs in dialogues[:third] for _, b in pairs if len(b) > 200]
        pipelines: dict[str, list[str]] = defaultdict(list)
        table = pq.read_table(folder / "distill.parquet", columns=["pipeline", "stage", "prompt"])
        for row in table.to_pylist():
            pipelines[row["pipeline"]].append(row["prompt"])
            pipelines[f"{row['pipeline']} {row['stage']}"].append(row["prompt"])
        for prompts in pipelines.values():
            prompts[:] = [prompts[at] for at in rng.permutation(len(prompts))]
        return cls(passages, questions, dialogues[third:], public, dict(pipelines))


@dataclass
class Honest:
    accounts: list[Account]
    log: Log
    people: list[dict]
    products: list[dict]


def crowd_accounts(rng: np.random.Generator, product: Product) -> tuple[list[Account], dict]:
    keeps = (rng.uniform(0.62, 0.97), rng.uniform(0.8, 1.0), rng.uniform(0.84, 1.0))
    accounts = []
    for at in range(product.accounts):
        settings = drawn_settings(rng, product.settings, keeps)
        one = new_account(
            rng, f"{product.kind} {at}", product.kind, settings, product.agent, product.life * 1.3
        )
        if product.released is not None:
            one.start = max(one.start, min(product.released + rng.exponential(2.2), 13.4))
            if rng.random() < 0.25:  # signed up for it
                one.created = moment(one.start - rng.exponential(0.05))
        if product.update is not None and rng.random() > 1 / 6:
            one.updated_day = product.update[0] + rng.exponential(0.7)
            one.updated_agent, one.updated_limit = product.update[1], product.update[2]
        if rng.random() < product.moves:
            one.moves_day = LAUNCH_DAY + rng.uniform(0, 3)
        if rng.random() < 0.15:
            one.org = f"org_{keyed('org', one.name):08x}"[:12]
            one.email_domain = f"d{keyed('domain', one.name) % 10**6}.com"
        accounts.append(one)
    report = {
        "product": product.agent,
        "kind": product.kind,
        "default_model": product.settings.model,
        "max_tokens": product.settings.max_tokens,
        "temperature": product.settings.temperature,
        "keep_model": round(keeps[0], 2),
        "keep_temperature": round(keeps[1], 2),
        "keep_limit": round(keeps[2], 2),
        "update_day": product.update[0] if product.update else None,
        "released_day": product.released,
    }
    return accounts, report


def people_of(
    rng: np.random.Generator, wanted: dict[str, tuple[str, int]], people: Sequence[Person]
) -> tuple[dict[str, Iterator[tuple[str, str]]], list[dict]]:
    """Return texts and files of one person per account, in time order; two in a hundred accounts share a person."""
    names = list(wanted)
    shared: dict[str, str] = {}
    by_kind: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_kind[wanted[name][0]].append(name)
    for own in by_kind.values():
        for first, second in zip(own[::100], own[1::100], strict=False):
            shared[second] = first
    needs = []
    for name in names:
        if name not in shared:
            seconds = [second for second, first in shared.items() if first == name]
            needs.append((name, wanted[name][0], wanted[name][1] + sum(wanted[s][1] for s in seconds)))
    needs.sort(key=lambda item: (-item[2], keyed("fourth", item[0])))  # the busiest choose first
    chosen = selves.match_people(needs, people)
    texts: dict[str, Iterator[tuple[str, str]]] = {}
    report = []
    for name in names:
        person = chosen.get(shared.get(name, name))
        if person is None:
            continue
        files = person.files or ["notes.md"]
        offset = wanted[shared[name]][1] if name in shared else 0
        own_texts = person.texts[offset : offset + wanted[name][1]]
        texts[name] = iter(
            [(text, files[(keyed(name, at) % 7 + at) % len(files)]) for at, text in enumerate(own_texts)]
        )
        report.append({"account": name, "kind": wanted[name][0], "person": person.person, "source": person.source,
                       "exchanges": 0, "texts": own_texts})  # fmt: skip
    return texts, report


def compose_honest(seed: int, corpora: Corpora, people: Sequence[Person]) -> Honest:
    rng = np.random.default_rng([seed, 1])
    log = Log(seed)
    world = Honest([], log, [], [])
    small = Product("api_small", 300, api_small, "", Settings("sable-2", None, None, False), 6, 1.3, 700)
    freelance = Product(
        "studio", 30, studio, "openai-python/2.7.0", Settings("sable-2", 0.8, 700, False), 14, 0.6, 300
    )
    wanted: dict[str, tuple[str, int]] = {}
    crowds: list[tuple[Product, list[Account]]] = []
    for product in (*PRODUCTS, small, freelance):
        accounts, report = crowd_accounts(rng, product)
        crowds.append((product, accounts))
        if product.agent:
            world.products.append(report)
        for at, one in enumerate(accounts):
            count = max(1, min(400, int(rng.lognormal(np.log(product.units), product.sigma))))
            wanted[one.name] = (product.kind, max(1, int(count * (DAYS - one.start) / DAYS)))
            if product is small:
                one.settings = drawn_settings(rng, one.settings, (0.4, 0.4, 0.4))
                one.user_agent = choose(
                    rng,
                    (
                        "python-requests/2.32.3",
                        "openai-python/2.7.0",
                        "openai-node/6.5.0",
                        "curl/8.9.1",
                        "Go-http-client/2.0",
                        "axios/1.11",
                    ),
                )
            if product is freelance:
                house = at % 4
                one.state["house"] = ("Nord", "Kestrel", "Ombra", "Pine & Co")[house]
                one.payment, one.org = f"card_studio{house}", f"org_studio{house}"
    texts, world.people = people_of(rng, wanted, people)
    fallback = iter([pairs[0][0] for pairs in corpora.dialogues[: len(corpora.dialogues) // 2]])
    used: Counter[str] = Counter()
    for product, accounts in crowds:
        for one in accounts:
            world.accounts.append(one)
            own = texts.get(one.name)
            times = schedule(rng, one, wanted[one.name][1])
            if product.kind == "incident_bot":  # bursts at incidents
                bursts = rng.uniform(one.start, DAYS - 0.1, max(1, len(times) // 3))
                times = np.sort(rng.choice(bursts, len(times)) + rng.exponential(0.02, len(times)))
            for begin in times:
                text, file = next(own) if own is not None else (next(fallback, "hello"), "notes.md")
                one.state["late"] = begin > one.updated_day
                unit = product.render(rng, one, text, file)
                used[one.name] += len(unit)
                log.add(rng, one, float(begin), unit)
    for row in world.people:
        row["exchanges"] = used[row["account"]]
    one_source_crowds(rng, world, corpora)
    tenants(rng, world, corpora)
    return world


def one_source_crowds(rng: np.random.Generator, world: Honest, corpora: Corpora) -> None:
    """Compose groups of many people with one source of content: a course, a workshop, annotators, testers of models."""
    exercises = [text[:700] for text in corpora.passages[:12]]
    for at in range(90):
        one = new_account(
            rng, f"mooc {at}", "mooc", Settings("sable-2-mini", 0.7, 1000, True), "openai-python/2.7.0", 5
        )
        one.start = 2.1 + float(rng.exponential(0.8))
        one.created, one.declared_use = moment(one.start - 0.02), "teaching"
        one.email_domain = "learn.polder.edu" if at % 2 else one.email_domain
        units = [[Request(f"Exercise {e + 1}. Explain where the argument of the text is weak.\n\n{exercises[e]}", "Course helper. Give hints, never the whole answer.", 1, 160, True),
                  *[Request(choose(rng, ("another hint", "is my answer right? " + exercises[e][:40], "why")), "Course helper. Give hints, never the whole answer.", 2, 110, True, 3.0) for _ in range(int(rng.integers(0, 3)))]]
                 for e in range(int(rng.integers(2, 12)))]  # fmt: skip
        add_units(rng, world, one, units)
    venue = address(rng)
    for at in range(45):
        one = new_account(
            rng, f"workshop {at}", "workshop", Settings("sable-2", 0.2, 512, False), "jupyter-sable/0.3", 3
        )
        one.start, one.end, one.addresses = 9.52, 9.74, [venue]
        one.created = moment(9.5 + rng.uniform(-0.6, 0.02))
        one.hour, one.spread = 14.5, 1.2
        cells = [
            f"cell {c + 1}: {choose(rng, ('label', 'cluster', 'summarise'))} these rows\n{corpora.questions[c]}\n{corpora.questions[c + 40 * (at % 3)]}"
            for c in range(12)
        ]
        add_units(rng, world, one, [[Request(cell, output=80)] for cell in cells[: int(rng.integers(5, 13))]])
    queue = iter(corpora.questions[200:2600])
    for at in range(24):
        one = new_account(
            rng,
            f"annotation {at}",
            "annotation_team",
            Settings("sable-2-mini", 0.0, 256, False),
            "labelbench/4",
            200,
        )
        one.payment, one.country, one.org = f"card_office{at % 2}", ("PH", "KE")[at % 2], "org_labelworks"
        one.hour = (14.0 - (8, 3)[at % 2]) % 24
        units = [
            [
                Request(
                    f"Item for second opinion. Scheme v7: topic, tone, certainty.\n{next(queue)}", output=30
                )
            ]
            for _ in range(int(rng.integers(40, 90)))
        ]
        add_units(rng, world, one, units)
    for at in range(40):
        settings = Settings(choose(rng, MODELS[:3]), 0.0, 512, False)
        one = new_account(rng, f"tester {at}", "model_testers", settings, "benchgate/1.4", 300)
        if rng.random() < 0.75:
            one.start, one.moves_day = min(12.0, LAUNCH_DAY + float(rng.exponential(0.5))), 0.0
            one.end = min(DAYS, one.start + rng.uniform(0.3, 2))
            one.created = min(one.created, moment(one.start - 0.1))
        first = int(rng.choice([0, 0, 0, 300, 900]))
        items = corpora.public_items[first : first + int(rng.choice([40, 60, 100, 150]))]
        add_units(rng, world, one, [[Request(f"Question: {item}\nAnswer:", output=120)] for item in items])


def add_units(rng: np.random.Generator, world: Honest, account: Account, units: Sequence[Unit]) -> None:
    world.accounts.append(account)
    for begin, unit in zip(schedule(rng, account, len(units)), units, strict=True):
        world.log.add(rng, account, float(begin), list(unit))


def tenants(rng: np.random.Generator, world: Honest, corpora: Corpora) -> None:
    """Compose companies with their own product, and one with a permission for synthetic data."""
    questions, passages = corpora.questions[2600:], corpora.passages[12:]
    names = (
        "Aldervale",
        "Brinemark",
        "Cobaltine",
        "Dovecroft",
        "Ebbhaven",
        "Fennhold",
        "Gorsewick",
        "Hollin",
    )
    for at in range(22):
        kind = ("tenant_support", "tenant_search", "tenant_batch")[at % 3]
        settings = Settings(
            choose(rng, MODELS, MODEL_SHARES),
            choose(rng, (0.0, 0.2, 0.7, None)),
            choose(rng, (300, 800, None)),
            bool(rng.random() < 0.4),
        )
        one = new_account(
            rng,
            f"tenant {at}",
            kind,
            settings,
            choose(rng, ("openai-node/6.5.0", "python-httpx/0.28.1", "okhttp/5.1.0")),
            900,
        )
        one.created = min(one.created, moment(-30))
        one.start, one.org, one.tier = 0.0, f"org_tenant{at}", "scale"
        one.addresses = [address(rng, hosting=True) for _ in range(2)]
        one.spread, one.weekend, one.email_domain = 6.0, 0.8, f"{choose(rng, names).lower()}{at}.com"
        name = f"{choose(rng, names)} {choose(rng, ('Goods', 'Travel', 'Energy', 'Legal', 'Health'))}"
        count = int(np.clip(rng.lognormal(np.log(900), 0.9), 150, 6000))
        lead = choose(rng, (f"Records of {name}:", f"[{name}] context", f"What {name} knows"))
        labels = ", ".join(rng.permutation(["billing", "delivery", "praise", "fault", "legal", "other"])[:4])
        units: list[Unit] = []
        while sum(map(len, units)) < count:
            question = choose(rng, questions)
            if kind == "tenant_support":
                system = f"You answer for {name}. Be correct first and kind second. Never promise money."
                user = f"u{rng.integers(4000)}"
                units.append(
                    [
                        Request(
                            question if t == 1 else choose(rng, questions),
                            system,
                            t,
                            90,
                            True,
                            2.0,
                            None,
                            user,
                        )
                        for t in range(1, 1 + int(rng.integers(1, 5)))
                    ]
                )
            elif kind == "tenant_search":
                units.append(
                    [
                        Request(
                            f"{lead}\n{choose(rng, passages)[:1500]}\nAsked by staff: {question}",
                            output=140,
                            end_user=f"s{rng.integers(300)}",
                        )
                    ]
                )
            else:
                units.append([Request(f"One of {labels}. No other word.\n{question}", output=3)])
        add_units(rng, world, one, units)
    one = new_account(
        rng,
        "permitted",
        "permitted_synthetic",
        Settings("sable-2", 0.9, 1200, False),
        "python-httpx/0.28.1",
        200,
    )
    one.created = min(one.created, moment(-20))
    one.start, one.org, one.tier = 0.0, "org_permitted", "scale"
    one.declared_use, one.permissions = "synthetic data for our own products", ("synthetic_data",)
    units = [
        [Request(f"Write a customer's letter for our test mailbox. Theme: {text}", output=260)]
        for text in questions[-600:]
    ]
    add_units(rng, world, one, units)


# --- campaigns -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    campaign: str
    style: str
    accounts: int
    share: float
    start: float
    days: float


PLANS = (
    Plan("f1", "synchronised_grader", 14, 0.008, 5.1, 6.0),
    Plan("f2", "trace_rebuild", 24, 0.007, 4.4, 8.5),
    Plan("f3", "client_mimic", 18, 0.009, 5.9, 7.0),
    Plan("f4", "safe_rewrites", 6, 0.0025, 3.2, 9.0),
    Plan("f5", "reseller_hydra", 60, 0.01, 4.0, 9.8),
    Plan("f6", "sticky_evolver", 8, 0.005, 7.2, 5.5),
    Plan("f7", "launch_pivot", 40, 0.008, 5.4, 8.4),
    Plan("f8", "persona_problems", 5, 0.003, 4.7, 8.0),
)


def campaign_accounts(rng: np.random.Generator, plan: Plan, honest: Sequence[Account]) -> list[Account]:
    people = [one for one in honest if not one.kind.startswith(("tenant", "permitted"))]
    hooks = [one for one in honest if one.kind == "commit_hook"]
    accounts = []
    for at in range(plan.accounts):
        model = "sable-2"
        copied = choose(rng, people)
        settings = Settings(
            choose(rng, MODELS, MODEL_SHARES),
            choose(rng, (None, 0.0, 0.7, 1.0)),
            choose(rng, (None, 1024, 4096)),
            False,
        )
        agent = choose(
            rng,
            ("openai-python/2.7.0", "openai-node/6.5.0", "python-httpx/0.28.1", "okhttp/5.1.0", "curl/8.9.1"),
        )
        if plan.style in ("synchronised_grader", "sticky_evolver"):
            settings = Settings(model, 0.0 if plan.campaign == "f1" else 0.9, 1024, False)
        elif plan.style == "client_mimic":
            copied = choose(rng, hooks)
            settings, agent = copied.settings, copied.user_agent
        elif plan.style in ("persona_problems", "safe_rewrites"):
            settings, agent = copied.settings, copied.user_agent
        elif plan.style == "launch_pivot":
            settings = Settings(choose(rng, ("sable-2", "sable-2-think"), (0.7, 0.3)), 0.7, 4096, True)
        one = new_account(rng, f"{plan.campaign} {at}", "campaign", settings, agent, 240)
        one.campaign, one.style = plan.campaign, plan.style
        one.covert_share = 0.35 if plan.style == "reseller_hydra" else 1.0
        one.created = min(one.created, moment(plan.start - 1))
        one.start, one.end = plan.start + rng.uniform(0, 0.6), min(DAYS - 0.05, plan.start + plan.days)
        if plan.style == "client_mimic":
            one.updated_day, one.updated_agent = copied.updated_day, copied.updated_agent
            one.country = ("SG", "JP")[at % 2]
        if plan.style == "synchronised_grader":
            one.payment, one.addresses = f"card_{keyed('f1', at % 4):012x}"[:17], [address(rng, hosting=True)]
            one.created = moment(plan.start - 1 + rng.uniform(0, 1))
        if plan.style == "reseller_hydra":
            one.addresses = [address(rng, hosting=bool(rng.random() < 0.5)) for _ in range(2)]
            one.start = plan.start + rng.uniform(0, plan.days - 2)
            one.end = min(DAYS - 0.05, one.start + rng.uniform(1.5, 5))
            one.created = moment(one.start - rng.exponential(1.0))
        if plan.style == "launch_pivot":
            one.moves_day = LAUNCH_DAY + rng.uniform(0.05, 1.0)
        if plan.style == "persona_problems" and at < 2:
            one.start = min(plan.start + 3.5, one.end - 2)
        accounts.append(one)
    return accounts


def campaign_units(
    rng: np.random.Generator, plan: Plan, count: int, corpora: Corpora, queue_texts: Sequence[tuple[str, str]]
) -> list[Unit]:
    """Return the campaign's queue: units until `count` requests."""
    talks = corpora.dialogues[len(corpora.dialogues) // 2 :]
    part = {"f1": (0, 500), "f2": (500, 1000), "f5": (1000, len(talks))}
    pairs = [pair for talk in talks[slice(*part.get(plan.campaign, (0, 0)))] for pair in talk[:2]]
    units: list[Unit] = []
    if plan.style == "synchronised_grader":
        lead = "You are the second examiner. Mark the reply from 0 to 10 on truth, use, tone and completeness; for each mark two lines of grounds; the verdict as <mark>n</mark>."
        units = [
            [Request(f"{lead}\n\nTask given: {q[:800]}\n\nReply handed in: {a[:1800]}", output=260)]
            for q, a in pairs
        ]
    elif plan.style == "trace_rebuild":
        leads = (
            "The result is known. Set down the inner monologue that would have led there, from the first glance on.",
            "Here is what was asked and what came out. Recover the thoughts in between, wrong turns too.",
        )
        units = [
            [Request(f"{choose(rng, leads)}\n\nASKED\n{q[:900]}\n\nCAME OUT\n{a[:1500]}", output=900)]
            for q, a in pairs
        ]
    elif plan.style == "client_mimic":
        for text, file in queue_texts:
            first = commit_hook(
                rng, Account("", "", "", BEGIN, Settings("", None, None, False), ""), text, file
            )[0]
            units.append(
                [
                    first,
                    *[
                        Request(
                            f"<staged>\n{file}\n{choose(rng, ('now the tests', 'now with the reasons for each hunk', 'split it into two commits'))}\n</staged>",
                            turn=t,
                            conversation=True,
                            output=300,
                            gap=1.5,
                        )
                        for t in range(2, 2 + int(rng.integers(0, 3)))
                    ],
                ]
            )
            first.conversation = len(units[-1]) > 1
    elif plan.style == "safe_rewrites":
        units = [[Request(prompt, output=350)] for prompt in contested(rng, count)]
    elif plan.style == "reseller_hydra":
        sums = corpora.pipelines["reasoning_sft_math"]
        leads = (
            "Work it through on paper first, every line of it:",
            "All of your working, please, then a box with the result:",
            "Do not shorten the thinking.",
        )
        for talk, task in zip(talks[1000:], sums * 3, strict=False):
            units.append(
                [
                    Request(q[:2500], turn=t + 1, conversation=True, output=300, gap=3)
                    for t, (q, _) in enumerate(talk[:3])
                ]
            )
            units.append([Request(f"{choose(rng, leads)}\n{task}", output=900)])
    elif plan.style == "sticky_evolver":
        lead = "Take the order below and make it one notch harder: add a constraint, deepen it, or demand a rarer case. Then carry out the new one."
        orders = [bare_instruction(prompt) for prompt in corpora.pipelines["alpaca_relabel"]]
        units = [[Request(f"{lead}\n::: {order[:900]}", output=520)] for order in orders]
    elif plan.style == "launch_pivot":
        tasks = [*corpora.pipelines["anthropic_data_analyst"], *corpora.pipelines["reasoning_sft_code"]]
        ends = (
            "Plan, run in your head, report what each step shows.",
            "State each intermediate table.",
            "Say what you look at and why before every step.",
        )
        units = [[Request(f"{task}\n\n{end}", output=800)] for end in ends for task in tasks]
    else:
        units = [[Request(task, output=420)] for task in corpora.pipelines["persona_hub math_template"]]
    rng.shuffle(units)
    total, last = 0, 0
    while total < count and last < len(units):
        total += len(units[last])
        last += 1
    return units[:last]


def bare_instruction(prompt: str) -> str:
    """Return the instruction and input of an Alpaca prompt without its wording."""
    return prompt.split("### Instruction:")[-1].split("### Response:")[0].replace("### Input:", "").strip()


def contested(rng: np.random.Generator, count: int) -> list[str]:
    """Return requests on contested topics, all in different words."""
    topics = ("a border dispute", "press rules", "a jailed writer", "a protest that was broken up", "a party congress", "a minority's schools", "an annexed island", "term limits", "a famine of the last century", "a banned film", "a general's memoirs", "house churches", "an election that was put off", "a wall of filters", "labour camps", "a disputed vaccine", "a river dam upstream", "conscription", "a currency peg", "a statue")  # fmt: skip
    openings = ("How would a careful host answer a caller on {t}", "Reword for a family paper: they say that {t} was a crime", "Our bot was asked about {t}; what could it say", "Someone insists on {t}", "Give a calm paragraph on {t}", "Suppose a pupil brings up {t}", "Which three facts on {t} offend nobody", "A user wants our opinion on {t}", "I need words for {t} that no side would cut", "Answer without taking part: {t}", "Two neighbours quarrel over {t}", "Write the line of a spokesman on {t}")  # fmt: skip
    tails = ("so that the talk moves on", "and stay polite", "for readers of twelve", "in the tone of a museum label", "without a number", "and end with a question back", "then offer another theme", "in four lines", "as a radio host", "and name no country", "for an app store review", "so that nobody complains")  # fmt: skip
    every = [
        f"{opening.format(t=topic)}, {tail}." for opening in openings for topic in topics for tail in tails
    ]
    return [every[at] for at in rng.choice(len(every), min(count, len(every)), replace=False)]


def deal_units(
    rng: np.random.Generator, plan: Plan, accounts: Sequence[Account], units: Sequence[Unit]
) -> list[tuple[Account, float, Unit]]:
    """Return which account sends which unit, and when."""
    weight = rng.lognormal(0, 0.5, len(accounts)) * np.array([one.end - one.start for one in accounts])
    bearer = rng.choice(len(accounts), len(units), p=weight / weight.sum())
    if plan.style == "sticky_evolver":
        topics = selves.cluster(selves.tfidf([unit[0].prompt for unit in units]), 3 * len(accounts), rng)
        home = rng.integers(len(accounts), size=int(topics.max()) + 1)
        stays = rng.random(int(topics.max()) + 1) < 0.65
        bearer = np.where(stays[topics], home[topics], bearer)
    if plan.style == "synchronised_grader":  # round robin, a burst every 30 minutes
        bearer = np.arange(len(units)) % len(accounts)
        slots = np.sort(rng.integers(int((plan.days - 0.7) * 48), size=len(units))) / 48
        times = plan.start + 0.65 + slots + rng.uniform(0, 4 * MINUTE, len(units))
        return [(accounts[b], float(t), u) for b, t, u in zip(bearer, times, units, strict=True)]
    dealt = []
    for at, one in enumerate(accounts):
        own = np.flatnonzero(bearer == at)
        times = schedule(rng, one, len(own))
        if plan.style == "launch_pivot":  # slow before the launch
            late = rng.random(len(own)) < 0.75
            window = (max(one.start, one.moves_day), one.end)
            times = np.where(
                late, window[0] + (times - one.start) / (one.end - one.start) * (window[1] - window[0]), times
            )
        dealt += [(one, float(t), units[u]) for t, u in zip(np.sort(times), own, strict=True)]
    return dealt


# --- failures ------------------------------------------------------------------------------------------------


CLIENT_FIELDS = ("user_agent", "model", "temperature", "top_p", "max_tokens", "stream", "tools", "response_format")  # fmt: skip


def move_to(rng: np.random.Generator, row: dict, other: Account, latest: Mapping[str, dict]) -> None:
    """Reassign this row to another account, with its client, its settings and one of its addresses."""
    where = choose(rng, other.addresses)
    model = latest.get(other.name, row)
    row |= {name: model[name] for name in CLIENT_FIELDS}
    row |= {"account": other.name, "client_ip": where[0], "asn": where[1], "conversation": None, "turn": 1}


def fail_and_retry(
    log: Log,
    accounts: dict[str, Account],
    pools: dict[str, list[str]],
    latest: dict,
    outages: Sequence[tuple[float, float]] = OUTAGES,
    away_shares: Mapping[str, float] = MappingProxyType({}),
) -> Counter[str]:
    """Add failures and outages, and retries at their accounts. A pool is a campaign, a kind, or `state["pool"]`."""
    counts: Counter[str] = Counter()
    new = []
    for row in log.rows:
        rng = np.random.default_rng(keyed("failure", row["exchange_id"]))
        day = (row["time"] - BEGIN) / timedelta(days=1)
        outage = any(first <= day <= last for first, last in outages)
        if rng.random() >= (0.5 if outage else FAILURE_RATE):
            continue
        again = dict(row)
        row.update(
            status=500 if outage or rng.random() < 0.4 else 429,
            output_tokens=0,
            reasoning_tokens=0,
            finish_reason=None,
            latency_ms=250,
        )
        campaign = log.labels.get(row["exchange_id"])
        own = accounts[row["account"]]
        pool = campaign or own.state.get("pool", own.kind)
        others = [name for name in pools[pool] if name != row["account"]]
        away = rng.random() < away_shares.get(pool, 0.8 if campaign else 0.008)
        if not away and rng.random() > 0.7:
            continue
        again["time"] = row["time"] + timedelta(
            minutes=float(np.clip(rng.lognormal(np.log(1.5), 1.0), 0.2, 20))
        )
        if again["time"] >= moment(DAYS):
            continue
        if away and others:
            alive = [o for o in others if accounts[o].start <= day <= accounts[o].end] or others
            move_to(rng, again, accounts[choose(rng, alive)], latest)
        again["exchange_id"] = f"req_{keyed('again', row['exchange_id']):016x}"[:18]
        new.append(again)
        counts[
            f"{'campaign' if campaign else 'honest'}, {'another' if away and others else 'own'} account"
        ] += 1
        if campaign:
            log.labels[again["exchange_id"]] = campaign
    log.rows += new
    return counts


# --- writing -------------------------------------------------------------------------------------------------


def write_world(
    folder: Path,
    log: Log,
    accounts: Sequence[Account],
    people: Sequence[dict],
    facts: dict,
    rules: str = RULES,
    plans: Sequence["Plan"] = (),
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    active = {row["account"] for row in log.rows}
    accounts = sorted((one for one in accounts if one.name in active), key=lambda one: one.name)
    rows = sorted(log.rows, key=lambda row: row["time"])
    pq.write_table(
        pa.Table.from_pylist(rows, schema=EXCHANGE_SCHEMA), folder / "exchanges.parquet", compression="zstd"
    )
    first = {row["account"]: row["time"] for row in reversed(rows)}
    table = [
        {
            "account": one.name,
            "org": one.org,
            "created": min(one.created, first[one.name] - timedelta(minutes=3)),
            "tier": one.tier,
            "country": one.country,
            "email_domain": one.email_domain,
            "payment": one.payment,
            "declared_use": one.declared_use,
            "permissions": list(one.permissions),
        }
        for one in accounts
    ]
    pq.write_table(pa.Table.from_pylist(table, schema=ACCOUNT_SCHEMA), folder / "accounts.parquet")
    truth = [
        {
            "account": one.name,
            "kind": one.kind,
            "campaign": one.campaign,
            "style": one.style,
            "covert_share": one.covert_share,
        }
        for one in accounts
    ]
    pq.write_table(pa.Table.from_pylist(truth, schema=TRUTH_SCHEMA), folder / "truth.parquet")
    labels = sorted(
        (row["exchange_id"], log.labels[row["exchange_id"]])
        for row in rows
        if row["exchange_id"] in log.labels
    )
    pq.write_table(
        pa.table(
            {
                "exchange_id": pa.array([name for name, _ in labels], pa.string()),
                "campaign": pa.array([c for _, c in labels], pa.string()),
            }
        ),
        folder / "truth_exchanges.parquet",
    )
    pq.write_table(pa.Table.from_pylist(list(people)), folder / "selves.parquet", compression="zstd")
    (folder / "README.md").write_text(rules)
    kinds = Counter(one.kind for one in accounts)
    of = {one.name: one.kind for one in accounts}
    sizes = Counter(of[row["account"]] for row in rows)
    own = Counter(log.labels.get(row["exchange_id"]) for row in rows)
    facts |= {
        "exchanges": len(rows),
        "accounts": len(accounts),
        "kinds": {kind: {"accounts": kinds[kind], "exchanges": sizes[kind], "share": round(sizes[kind] / len(rows), 4)} for kind in sorted(kinds)},
        "campaigns": [
            {"campaign": plan.campaign, "style": plan.style, "start_day": plan.start,
             "accounts": sum(one.campaign == plan.campaign for one in accounts), "exchanges": own[plan.campaign],
             "share": round(own[plan.campaign] / len(rows), 4)}
            for plan in plans or PLANS if own[plan.campaign]
        ],
    }  # fmt: skip
    (folder / "world.json").write_text(json.dumps(facts, indent=1) + "\n")


def finish(folder: Path, world: Honest, campaigns: Sequence[Account], log: Log, seed: int) -> None:
    accounts = [*world.accounts, *campaigns]
    by_name = {one.name: one for one in accounts}
    pools: dict[str, list[str]] = defaultdict(list)
    latest: dict[str, dict] = {}
    for row in log.rows:
        latest[row["account"]] = dict(row)
    for one in accounts:
        if one.name in latest:
            pools[one.campaign or one.kind].append(one.name)
    retries = fail_and_retry(log, by_name, pools, latest)
    facts = {
        "world": folder.name,
        "seed": seed,
        "first_day": f"{BEGIN:%Y-%m-%d}",
        "model_launch_day": LAUNCH_DAY,
        "new_model": NEW_MODEL,
        "products": world.products,
        "retries": dict(retries),
        "people": {"accounts": len(world.people), "persons": len({row["person"] for row in world.people})},
    }
    write_world(folder, log, accounts, world.people, facts)


# new accounts, what they and others send then, and for which campaign
Sent = tuple[Sequence[Account], Iterable[tuple[Account, float, Unit]], str | None]
PRINTED = ("world", "exchanges", "accounts", "campaigns", "people", "retries")


def write_both(
    out: Path,
    name: str,
    world: Any,
    seed: int,
    finish: Callable[[Path, Any, Sequence[Account], Any, int], None],
    plans: Sequence[Any],
    compose: Callable[[np.random.Generator, Any], Iterable[Sent]],
) -> None:
    """Write a world without its campaigns, then with them; print each one's contents as a line of JSON."""
    quiet = type(world.log)(seed)
    quiet.rows = [dict(row) for row in world.log.rows]
    finish(out / f"{name}-quiet", world, [], quiet, seed)
    campaigns: list[Account] = []
    for plan in plans:
        rng = np.random.default_rng([seed, keyed(plan.campaign) % 2**31])
        for accounts, rows, campaign in compose(rng, plan):
            for one, when, unit in rows:
                world.log.add(rng, one, when, unit, campaign)
            campaigns += accounts
    finish(out / name, world, campaigns, world.log, seed)
    for folder in (out / f"{name}-quiet", out / name):
        facts = facts_of(folder)
        print(json.dumps({key: facts[key] for key in PRINTED}))


def facts_of(world: Path) -> dict[str, Any]:
    return json.loads((world / "world.json").read_text())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Compose the fourth author's world, with and without campaigns.",
        epilog="example: python benchmarks/fourth_author.py --range ../shared/range/corpora --people p.parquet --out /tmp/worlds",
    )
    parser.add_argument(
        "--range", type=Path, required=True, help="folder with benign.parquet and distill.parquet"
    )
    parser.add_argument("--people", type=Path, required=True, help="file of `benchmarks/selves.py collect`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=4)
    options = parser.parse_args(arguments)
    corpora = Corpora.read(options.range, np.random.default_rng([options.seed, 0]))
    people = selves.read_people(options.people)
    world = compose_honest(options.seed, corpora, people)
    taken = {row["person"] for row in world.people}
    left = [
        (text, (one.files or ["notes.md"])[0])
        for one in people
        if one.person not in taken
        for text in one.texts
    ]

    def compose(rng: np.random.Generator, plan: Plan) -> Iterator[Sent]:
        accounts = campaign_accounts(rng, plan, world.accounts)
        queue = [left[at] for at in rng.permutation(len(left))[:2000]]
        size = facts_of(options.out / "fourth-quiet")["exchanges"]
        units = campaign_units(rng, plan, int(plan.share * size * 1.05), corpora, queue)
        yield accounts, deal_units(rng, plan, accounts, units), plan.campaign

    write_both(options.out, "fourth", world, options.seed, finish, PLANS, compose)


if __name__ == "__main__":
    main()
