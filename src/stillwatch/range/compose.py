"""Compose a scene: an honest population re-drawn from a scene at hand, with fresh campaigns put into it.

It writes the layout of the shipped scenes (exchanges, accounts, truth, truth_exchanges, scene.toml). The same
world gives the same bytes. What it does not know: how real campaigns hide. Arrival hours, token counts and
identities of campaigns are made, and a detector fitted to them would learn the composer.
"""

import hashlib
import json
from dataclasses import fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.errors import InputError
from stillwatch.range.campaigns import Plan, Request, accounts_of, requests
from stillwatch.range.identity import Donor, Identity, identities, token
from stillwatch.range.population import Population, World, donors_of, read_population, redraw
from stillwatch.range.stock import Corpora, read_corpora

MS_PER_TOKEN = {"mira-mini": 7.0, "mira-large": 15.5, "mira-think": 10.7, "mira-think-2": 10.7}
REASONS = ("mira-think", "mira-think-2")


Row = dict[str, Any]  # one Arrow row by column name


def cover(
    plan: Plan, sent: list[Request], talks: list[tuple[str, ...]], rng: np.random.Generator
) -> list[Request]:
    """Honest talk of the campaign's accounts: before it at tradecraft 2, and beside it as the plan says.

    Takes what it uses off the end of `talks`.
    """
    beside = round(len(sent) * plan.cover / (1 - plan.cover))
    ages = range(accounts_of(plan)) if plan.tradecraft == 2 else ()
    slots = [(a, float(rng.uniform(0, min(7.0, max(plan.start, 4.0))))) for a in ages if rng.random() < 0.7]
    honest: list[Request] = []
    talk = -1  # cover counts downwards, campaigns upwards
    while slots or beside > 0:
        early = bool(slots)
        account, day = slots.pop() if early else (sent[rng.integers(len(sent))].account, -1.0)
        day = day if early else plan.start + plan.days * float(rng.random())
        if not talks:
            raise InputError(f"{plan.name}: no unused honest talk is left for cover")
        for turn, prompt in enumerate(talks.pop()[: 1 + rng.integers(5)], start=1):
            honest.append(Request(account, day, prompt, turn=turn, talk=talk, covert=False))
            day += float(rng.uniform(30, 400)) / 86400
            beside -= not early
        talk -= 1
    return honest


def _row(
    r: Request, who: Identity, plan: Plan, begin: datetime, new_day: float, rng: np.random.Generator
) -> Row:
    like = who.donor
    # honest accounts mostly keep to one model: cover on another would show
    model = r.model or (plan.model if r.covert or rng.random() < 0.93 else like.model)
    if r.covert and r.model is None and plan.tradecraft == 2 and rng.random() < 0.03:
        model = ("mira-mini", "mira-large")[rng.integers(2)]
    keen = int(who.account[-2:], 16) < 40  # of 256: accounts that try a release at once
    if model == "mira-think" and r.day >= new_day and keen:
        model = "mira-think-2"
    elif model == "mira-think-2" and r.day < new_day:
        model = "mira-think"
    text = r.prompt + (r.system or "")
    wide = sum(ord(c) > 0x2E7F for c in text)
    visible = plan.visible_tokens if r.covert else 260.0
    shown = max(1, int(rng.lognormal(np.log(visible), 0.7)))
    median = plan.reasoning_tokens if r.covert else 1300.0
    thought = min(28000, int(rng.lognormal(np.log(median), 1.2))) if model in REASONS else 0
    refused = r.refused or rng.random() < 0.004
    if refused:
        shown, thought = int(rng.integers(18, 70)), thought // 8
    cap = r.max_tokens or like.max_tokens or 10**6
    output, thought = min(shown + thought, cap), min(thought, cap)
    status = 200 if rng.random() > 0.006 else (400, 429)[rng.integers(2)]
    if status != 200:
        output = thought = 0
    finish = "refusal" if refused else ("length" if output == cap else "stop")
    ip, asn = who.addresses[rng.integers(len(who.addresses))]
    micro = int((max(r.day, 0.0)) * 86_400_000_000)
    return {
        "exchange_id": f"req_{token(rng, 22)}",
        "time": begin + timedelta(microseconds=micro),
        "account": who.account,
        "client_ip": ip,
        "asn": asn,
        "user_agent": like.user_agent,
        "operation": "chat",
        "model": model,
        "conversation": f"conv_{token(rng, 16)}" if like.conversations else None,
        "turn": r.turn,
        "system": r.system,
        "prompt": r.prompt,
        "tools": 0,
        "input_tokens": max(1, int((len(text) - wide) * rng.normal(0.26, 0.01) + wide * 0.8)),
        "output_tokens": output,
        "reasoning_tokens": thought,
        "temperature": like.temperature,
        "top_p": like.top_p,
        "max_tokens": r.max_tokens or like.max_tokens,
        "n": 1,
        "top_logprobs": r.top_logprobs,
        "stream": like.stream,
        "response_format": like.response_format,
        "status": status,
        "finish_reason": finish if status == 200 else None,
        "latency_ms": int(rng.uniform(180, 420) + output * MS_PER_TOKEN[model] * rng.lognormal(0, 0.1)),
    }  # fmt: skip


def _join_turns(sent: list[Request], rows: list[Row]) -> None:
    """Give the turns of one talk one conversation, and each the earlier turns as input."""
    before: dict[int, tuple[str | None, int]] = {}
    for r, row in zip(sent, rows, strict=True):
        if r.talk is not None:
            conversation, history = before.get(r.talk, (row["conversation"], 0))
            row["conversation"] = conversation
            row["input_tokens"] += history
            visible = row["output_tokens"] - row["reasoning_tokens"]
            before[r.talk] = (conversation, row["input_tokens"] + visible)


def _inject(
    plan: Plan, people: Population, donors: list[Donor], corpora: Corpora, talks: list[tuple[str, ...]],
    rng: np.random.Generator,
) -> tuple[list[Row], list[Row], list[Row], list[Row]]:  # fmt: skip
    covert = requests(plan, corpora, rng, people.new_model_day)
    sent = [r for r in covert + cover(plan, covert, talks, rng) if r.day < 14.0]
    if plan.model in REASONS:  # nobody pays for thinking and cuts it off
        donors = [d for d in donors if d.max_tokens is None or d.max_tokens >= 8192]
    if plan.style == "repeat_sampling":  # many answers to one question are worth nothing at temperature 0
        donors = [replace(d, temperature=(0.6, 0.7, 0.8, 1.0)[rng.integers(4)]) for d in donors]
    whose: list[Identity] = []
    for wave in range(1 + len(plan.bans)):
        at = plan.start + plan.days * (0.0, *plan.bans)[wave]
        start = people.begin + timedelta(days=at)
        whose += identities(plan.tradecraft, plan.accounts, people.begin, start, donors, rng)
    rows = [_row(r, whose[r.account], plan, people.begin, people.new_model_day, rng) for r in sent]
    _join_turns(sent, rows)
    total, taken = np.zeros(len(whose)), np.zeros(len(whose))
    for r in sent:
        total[r.account] += 1
        taken[r.account] += r.covert
    used = [n for n in range(len(whose)) if taken[n]]
    rows = [row for r, row in zip(sent, rows, strict=True) if taken[r.account]]
    marks = [
        {"exchange_id": row["exchange_id"], "campaign": plan.name}
        for row, r in zip(rows, (r for r in sent if taken[r.account]), strict=True)
        if r.covert
    ]
    about = []
    for n in used:
        who, like = whose[n], whose[n].donor
        entry = {
            f: getattr(like, f) for f in ("org", "tier", "country", "email_domain", "payment", "declared_use")
        }
        about.append({"account": who.account, "created": who.created, "permissions": [], **entry})
    truth = [
        {"account": whose[n].account, "kind": "campaign", "campaign": plan.name, "style": plan.style,
         "covert_share": taken[n] / total[n]}
        for n in used
    ]  # fmt: skip
    return rows, about, truth, marks


def compose(world: World, shared: Path, out: Path) -> Path:
    """Write the world into `out`/name, from the scenes and corpora in `shared`; give the folder.

    Raises:
        InputError: a scene, style or pipeline is unknown, or a stock is too small.
    """
    seed = int.from_bytes(hashlib.sha256(f"{world.seed}:{world.name}".encode()).digest()[:8])
    rng = np.random.default_rng(seed)
    whole = read_population(shared / world.base)
    people = redraw(whole, world, shared, rng)
    exchanges, accounts, truth = people.exchanges, people.accounts, people.truth
    marks: list[Row] = []
    if world.campaigns:
        donors = donors_of(whole)
        corpora = read_corpora(shared / "corpora", set(people.exchanges["prompt"].to_pylist()))
        talks = [corpora.talks[i] for i in rng.permutation(len(corpora.talks))]
        parts = [_inject(plan, people, donors, corpora, talks, rng) for plan in world.campaigns]
        new = [[row for part in parts for row in part[i]] for i in range(4)]
        exchanges = pa.concat_tables([exchanges, pa.Table.from_pylist(new[0], exchanges.schema)])
        accounts = pa.concat_tables([accounts, pa.Table.from_pylist(new[1], accounts.schema)])
        truth = pa.concat_tables([truth, pa.Table.from_pylist(new[2], truth.schema)])
        marks = new[3]
    folder = out / world.name
    folder.mkdir(parents=True, exist_ok=True)
    keys = [("time", "ascending"), ("exchange_id", "ascending")]
    pq.write_table(exchanges.sort_by(keys), folder / "exchanges.parquet", compression="zstd")
    pq.write_table(accounts.sort_by("account"), folder / "accounts.parquet", compression="zstd")
    pq.write_table(truth.sort_by("account"), folder / "truth.parquet", compression="zstd")
    schema = pa.schema([("exchange_id", pa.string()), ("campaign", pa.string())])
    pq.write_table(
        pa.Table.from_pylist(marks, schema), folder / "truth_exchanges.parquet", compression="zstd"
    )
    (folder / "scene.toml").write_text(scene_toml(world, people))
    return folder


def scene_toml(world: World, people: Population) -> str:
    """Say what was composed, in the shape of the shipped scenes' scene.toml."""
    early = any(plan.start < 7 for plan in world.campaigns)
    lines = [f'name = "{world.name}"', 'split = "composed"', f'base = "{world.base}"', f"seed = {world.seed}"]
    lines += [f'begin = "{people.begin:%Y-%m-%d}"', f"contaminated = {str(early).lower()}"]
    lines += [f"new_model_day = {people.new_model_day}", f"keep_accounts = {world.keep_accounts}"]
    for name in ("drop_kinds", "drop_corpora", "borrow_kinds"):
        lines.append(f"{name} = {json.dumps(list(getattr(world, name)))}")
    for plan in world.campaigns:
        lines += ["", "[[campaign]]"]
        for f in fields(plan):
            value = getattr(plan, f.name)
            lines.append(f"{f.name} = {json.dumps(list(value) if isinstance(value, tuple) else value)}")
    return "\n".join(lines) + "\n"
