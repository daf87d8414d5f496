"""A population from scratch as tables of the shipped layout, part by part.

Large populations are made in parts that share only public templates, test sets and viral prompts. A part
depends only on its number and the seed, so that the whole never has to be in memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from stillwatch.range.people import KINDS, Person, Sent
from stillwatch.range.people.habits import HABITS, Town
from stillwatch.range.people.supply import Supply
from stillwatch.range.people.traits import people_of
from stillwatch.range.population import HonestPopulation
from stillwatch.range.rows import MS_PER_TOKEN
from stillwatch.range.scenes import Scene

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
PART = 1000  # accounts of one part, at most
PART_EXCHANGES = 160_000  # of one part, approximately
EDITIONS = 1000  # of texts that a part may use
EXCHANGES = pa.schema(
    [
        ("exchange_id", pa.string()), ("time", pa.timestamp("us", "UTC")), ("account", pa.string()),
        ("end_user", pa.string()), ("client_ip", pa.string()), ("asn", pa.int32()),
        ("user_agent", pa.string()), ("operation", pa.string()), ("model", pa.string()),
        ("conversation", pa.string()), ("turn", pa.int16()), ("system", pa.string()),
        ("prompt", pa.string()), ("tools", pa.int16()), ("input_tokens", pa.int32()),
        ("output_tokens", pa.int32()), ("reasoning_tokens", pa.int32()), ("temperature", pa.float32()),
        ("top_p", pa.float32()), ("max_tokens", pa.int32()), ("n", pa.int8()), ("seed", pa.int64()),
        ("top_logprobs", pa.int8()), ("stream", pa.bool_()), ("response_format", pa.string()),
        ("status", pa.int16()), ("finish_reason", pa.string()), ("latency_ms", pa.int32()),
    ]
)  # fmt: skip
ACCOUNTS = pa.schema(
    [
        ("account", pa.string()), ("org", pa.string()), ("created", pa.timestamp("us", "UTC")),
        ("tier", pa.string()), ("country", pa.string()), ("email_domain", pa.string()),
        ("payment", pa.string()), ("declared_use", pa.string()), ("permissions", pa.list_(pa.string())),
    ]
)  # fmt: skip
TRUTH = pa.schema(
    [
        ("account", pa.string()), ("kind", pa.string()), ("campaign", pa.string()), ("style", pa.string()),
        ("covert_share", pa.float32()),
    ]
)  # fmt: skip


def counts(shares: dict[str, float], accounts: int) -> dict[str, int]:
    """Split accounts among kinds by largest remainder.

    >>> counts({"chat": 0.66, "rag": 0.34}, 10)
    {'chat': 7, 'rag': 3}
    """
    total = sum(shares.values())
    exact = {kind: accounts * share / total for kind, share in shares.items()}
    of_kind = {kind: int(x) for kind, x in exact.items()}
    most = sorted(exact, key=lambda kind: (of_kind[kind] - exact[kind], kind))
    for kind in most[: accounts - sum(of_kind.values())]:
        of_kind[kind] += 1
    return {kind: n for kind, n in of_kind.items() if n}


def crowd(scene: Scene, seed: int) -> Iterator[HonestPopulation]:
    """Make the scene's honest people, part by part."""
    shares = dict(scene.people.kinds) or {kind: like.share for kind, like in KINDS.items()}
    shares = {k: s for k, s in shares.items() if s and k not in scene.people.drop_kinds}
    of_kind = counts(shares, scene.people.accounts)
    wanted = scene.people.exchanges
    parts = -(-max(scene.people.accounts, (wanted or 0) * PART // PART_EXCHANGES) // PART)
    parts = min(parts, scene.people.accounts)
    before = done = 0
    for n in range(parts):
        kinds = {k: c * (n + 1) // parts - c * n // parts for k, c in of_kind.items()}  # includes rare kinds
        done += sum(kinds.values())
        rng = np.random.default_rng([seed, n, *scene.name.encode()])
        share = None if wanted is None else round(wanted * done / scene.people.accounts) - before
        before += share or 0
        people = {k: c for k, c in kinds.items() if c}
        if people:
            yield part(people, share, scene, Supply(rng, n * EDITIONS), rng)


def part(
    kinds: dict[str, int], exchanges: int | None, scene: Scene, supply: Supply, rng: np.random.Generator
) -> HonestPopulation:
    """Make one part: a number of accounts of each kind, and about a number of exchanges in all."""
    people = [p for kind, n in kinds.items() for p in people_of(kind, n, BEGIN, scene.days, rng)]
    usual = np.array([KINDS[p.kind].volume * scene.days / 14 for p in people])
    sigma = np.array([KINDS[p.kind].spread for p in people])
    volume = usual * rng.lognormal(0.0, sigma)
    if exchanges is not None:
        volume *= exchanges / volume.sum()
    volume = np.maximum(1, np.round(volume)).astype(int)
    town = Town(supply, rng, float(scene.days), float(scene.clean_days))
    new_day = scene.people.new_model_day
    tables = []
    for who, count in zip(people, volume, strict=True):
        age = (BEGIN - who.created).total_seconds() / 86400
        town.began[who.account] = min(max(0.0, -age), 0.9 * scene.days)
        sent = HABITS[who.kind](who, int(count), town)
        visible = KINDS[who.kind].visible_tokens
        tables.append(exchanges_of(who, sent, scene.days, new_day, rng, visible))
    return population_of(people, tables, BEGIN, new_day)


def population_of(
    people: list[Person], exchanges: list[pa.Table], begin: datetime, new_model_day: float
) -> HonestPopulation:
    """Put people and their requests into the tables of a population."""
    about = [
        {name: list(v) if isinstance(v := getattr(p, name), tuple) else v for name in ACCOUNTS.names}
        for p in people
    ]
    truth = [{"account": p.account, "kind": p.kind, "covert_share": 0.0} for p in people]
    return HonestPopulation(
        pa.concat_tables(exchanges),
        pa.Table.from_pylist(about, ACCOUNTS),
        pa.Table.from_pylist(truth, TRUTH),
        begin,
        new_model_day,
    )


def _ids(prefix: str, count: int, digits: int, rng: np.random.Generator) -> list[str]:
    raw = rng.bytes(count * digits // 2).hex()
    return [prefix + raw[i : i + digits] for i in range(0, count * digits, digits)]


def exchanges_of(
    who: Person,
    sent: Sent,
    days: int,
    new_day: float,
    rng: np.random.Generator,
    visible_tokens: float,
    first_midnight: datetime = BEGIN,
) -> pa.Table:
    """Return one account's requests as rows: tokens, status and latency are generated here."""
    n = len(sent.prompts)
    day = np.clip(sent.days, 0.0, days - 1e-9)
    turn = np.ones(n, int) if sent.turns is None else sent.turns.astype(int)
    model = np.where(rng.random(n) < 0.93, who.model, who.other_model)
    keen = int(who.account[-2:], 16) < 40  # of 256: accounts that try a release at once
    if keen:
        model = np.where((model == "mira-think") & (day >= new_day), "mira-think-2", model)
    if sent.models is not None:
        model = np.array(sent.models)
    thinks = np.char.startswith(model, "mira-think")
    systems = sent.systems or [None] * n
    letters = np.array([len(p) + len(s or "") for p, s in zip(sent.prompts, systems, strict=True)])
    visible = rng.lognormal(np.log(visible_tokens), 0.7, n).astype(int) + 1
    thought = np.where(thinks, np.minimum(28_000, rng.lognormal(np.log(700.0), 1.1, n)), 0).astype(int)
    refused = rng.random(n) < 0.004
    visible = np.where(refused, rng.integers(18, 70, n), visible)
    thought = np.where(refused, thought // 8, thought)
    cap = who.max_tokens or 1_000_000
    output, thought = np.minimum(visible + thought, cap), np.minimum(thought, cap)
    status = np.where(rng.random(n) > 0.006, 200, np.where(rng.random(n) < 0.5, 400, 429))
    good = status == 200
    output, thought = np.where(good, output, 0), np.where(good, thought, 0)
    finish = np.where(refused, "refusal", np.where(output >= cap, "length", "stop"))
    at = rng.integers(len(who.addresses), size=n)
    agent = rng.integers(len(who.user_agents), size=n)
    conversation: list[str] | None = None
    if who.conversations or sent.talks is not None:
        conversation = _ids("conv_", n, 16, rng)
        if sent.talks is not None:
            first: dict[int, str] = {}
            conversation = [
                first.setdefault(int(t), c) for t, c in zip(sent.talks, conversation, strict=True)
            ]
    pace = np.vectorize(MS_PER_TOKEN.get)(model)
    begin = np.datetime64(first_midnight.replace(tzinfo=None), "us").astype(np.int64)
    columns = {
        "exchange_id": pa.array(_ids("req_", n, 22, rng)),
        "time": pa.array(begin + (day * 86_400_000_000).astype(np.int64)).cast(pa.timestamp("us", "UTC")),
        "client_ip": pa.array([who.addresses[i][0] for i in at]),
        "asn": pa.array([who.addresses[i][1] for i in at], pa.int32()),
        "user_agent": pa.array([who.user_agents[i] for i in agent]),
        "model": pa.array(model.tolist()),
        "turn": pa.array(turn, pa.int16()),
        "prompt": pa.array(sent.prompts, pa.string()),
        "input_tokens": pa.array(
            np.maximum(1, letters * rng.normal(0.26, 0.01, n) + (turn - 1) * 330).astype(np.int32)
        ),
        "output_tokens": pa.array(output.astype(np.int32)),
        "reasoning_tokens": pa.array(thought.astype(np.int32)),
        "status": pa.array(status.astype(np.int16)),
        "finish_reason": pa.array(finish.tolist(), mask=~good),
        "latency_ms": pa.array(
            (rng.uniform(180, 420, n) + output * pace * rng.lognormal(0, 0.1, n)).astype(np.int32)
        ),
    }
    if sent.systems is not None:
        columns["system"] = pa.array(sent.systems, pa.string())
    if sent.end_users is not None:
        columns["end_user"] = pa.array(sent.end_users, pa.string())
    if conversation is not None:
        columns["conversation"] = pa.array(conversation)
    constant: dict[str, object] = {
        "account": who.account, "operation": "chat", "tools": sent.tools, "temperature": who.temperature,
        "top_p": who.top_p, "max_tokens": who.max_tokens, "n": 1, "top_logprobs": 0, "stream": who.stream,
        "response_format": who.response_format,
    }  # fmt: skip
    arrays = [
        columns[f.name] if f.name in columns else pa.repeat(pa.scalar(constant.get(f.name), f.type), n)
        for f in EXCHANGES
    ]
    return pa.Table.from_arrays(arrays, schema=EXCHANGES)


def concat_populations(parts: Iterable[HonestPopulation]) -> HonestPopulation:
    """Concatenate populations of one calendar, in the columns of the first."""
    first, *others = parts
    if not others:
        return first
    tables = {
        name: pa.concat_tables(
            [of, *(getattr(p, name).select(of.column_names).cast(of.schema) for p in others)]
        )
        for name, of in (("exchanges", first.exchanges), ("accounts", first.accounts), ("truth", first.truth))
    }
    return replace(first, **tables)
