"""A whole log in memory without its texts: one row per exchange, in event time, each exchange once.

Sixteen million exchanges take about 3 GB. It does not know what anything in it means.
"""

import ipaddress
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.exchanges.sketch import SYSTEM_PHRASES, Sketcher, Sketches

FINISH = {"stop": 1, "end_turn": 1, "stop_sequence": 1, "eos": 1, "completed": 1}
FINISH |= {"length": 2, "max_tokens": 2, "incomplete": 2}
FINISH |= {"refusal": 3, "content_filter": 3, "content_filtered": 3, "guardrail_intervened": 3}
FINISH |= {"tool_calls": 4, "tool_use": 4, "function_call": 4}

# column -> (dtype, the value that stands for null)
NUMBERS: dict[str, tuple[type, int]] = {
    "turn": (np.int32, 0),
    "asn": (np.int32, -1),
    "tools": (np.int32, -1),
    "input_tokens": (np.int64, -1),
    "output_tokens": (np.int64, -1),
    "reasoning_tokens": (np.int64, -1),
    "max_tokens": (np.int64, -1),
    "n": (np.int32, -1),
    "top_logprobs": (np.int32, -1),
    "latency_ms": (np.int64, -1),
    "status": (np.int16, 200),
}
CODED = ("account", "model", "user_agent", "client_ip")


@dataclass(frozen=True)
class ExchangeLog:
    """Columns of equal length, sorted by time and then by exchange id, and the names behind the codes."""

    columns: dict[str, np.ndarray]
    phrases: np.ndarray  # (n, k) uint32
    system_phrases: np.ndarray  # (n, j) uint32
    accounts: tuple[str, ...]
    models: tuple[str, ...]
    has: frozenset[str]  # which optional columns held any value
    duplicates: int  # exchanges seen more than once, kept once

    def __len__(self) -> int:
        return len(self.columns["ts_us"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def table(self) -> pa.Table:
        """The columns as one Arrow table for the SQL engines (phrases left out)."""
        return pa.table({k: pa.array(v) for k, v in self.columns.items() if k != "id"})


class _Codes:
    """Strings to dense numbers in the order of first sight; renumbered by name when the log is closed."""

    def __init__(self, key: object = None) -> None:
        self.index: dict[str, int] = {}

    def encode(self, column: pa.Array, transform=None) -> np.ndarray:
        coded = column.dictionary_encode() if not pa.types.is_dictionary(column.type) else column
        names = coded.dictionary.to_pylist()
        index = self.index
        codes = np.empty(len(names) + 1, np.int32)
        for i, name in enumerate(names):
            value = transform(name) if transform else name
            codes[i] = -1 if value is None else index.setdefault(value, len(index))
        codes[-1] = -1
        picked = coded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
        return codes[picked]

    def by_name(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Names in order, and the new code of each old one (the last entry keeps -1)."""
        names = sorted(self.index)
        remap = np.full(len(names) + 1, -1, np.int32)
        for new, name in enumerate(names):
            remap[self.index[name]] = new
        return tuple(names), remap


def network(address: str) -> str | None:
    """The /24 (IPv4) or /48 (IPv6) that an address lies in, or None where it is no address.

    >>> network("192.0.2.17"), network("2001:db8:1:2::9"), network("unknown")
    ('192.0.2', '2001:db8:1', None)
    """
    head, dot, last = address.rpartition(".")
    if dot and head.count(".") == 2 and last.isdigit():
        return head
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if parsed.version == 4:
        return str(parsed).rpartition(".")[0]
    return ":".join(f"{int(part, 16):x}" for part in parsed.exploded.split(":")[:3])


def build(batches: Iterable[pa.RecordBatch], sketcher: Sketcher, *, threads: int = 2) -> ExchangeLog:
    """Read batches of the exchange record into a log; texts are sketched and let go.

    Batches are sketched on `threads` threads while the next ones are read; the result does not depend on it.
    """
    parts: list[dict[str, np.ndarray]] = []
    codes = {name: _Codes() for name in CODED}
    has: set[str] = set()
    waiting: list[tuple[dict[str, np.ndarray], Future[Sketches], Future[Sketches]]] = []

    def settle(keep: int) -> None:
        while len(waiting) > keep:
            part, prompt, system = waiting.pop(0)
            p, s = prompt.result(), system.result()
            part |= {"exact": p.exact, "head": p.head, "tail": p.tail, "cell": p.cell, "classes": p.classes}
            part |= {"words": p.words, "phrases": p.phrases, "system": s.exact, "system_phrases": s.phrases}
            parts.append(part)

    with ThreadPoolExecutor(threads) as pool:
        for batch in batches:
            if batch.num_rows == 0:
                continue
            prompt = pool.submit(sketcher, batch.column("prompt"))
            system = pool.submit(sketcher, batch.column("system"), SYSTEM_PHRASES)
            has.update(name for name in batch.schema.names if batch.column(name).null_count < batch.num_rows)
            waiting.append((_columns(batch, codes, sketcher), prompt, system))
            settle(2 * threads)
        settle(0)
    return _close(parts, codes, frozenset(has))


def _columns(batch: pa.RecordBatch, codes: dict[str, _Codes], sketcher: Sketcher) -> dict[str, np.ndarray]:
    part: dict[str, np.ndarray] = {
        "ts_us": batch.column("time").cast(pa.int64()).to_numpy(zero_copy_only=False),
        "id": sketcher.hashes(batch.column("exchange_id")),
        "account": codes["account"].encode(batch.column("account")),
        "model": codes["model"].encode(batch.column("model").fill_null("")),
        "agent": codes["user_agent"].encode(batch.column("user_agent")),
        "net": codes["client_ip"].encode(batch.column("client_ip"), network),
        "end_user": sketcher.hashes(batch.column("end_user")).astype(np.uint32),
        "conversation": sketcher.hashes(batch.column("conversation")).astype(np.uint32),
    }
    for name, (dtype, null) in NUMBERS.items():
        values = pc.fill_null(batch.column(name), null).to_numpy(zero_copy_only=False)
        limits = np.iinfo(dtype)
        part[name] = np.clip(values, limits.min, limits.max).astype(dtype)
    for name in ("temperature", "top_p"):
        values = pc.fill_null(batch.column(name), -0.001).to_numpy(zero_copy_only=False)
        part[f"{name}_milli"] = np.clip(np.rint(values * 1000), -1, 1_000_000).astype(np.int32)
    stream = batch.column("stream").cast(pa.int8())
    part["stream"] = pc.fill_null(stream, -1).to_numpy(zero_copy_only=False).astype(np.int8)
    shape = pc.fill_null(pc.match_substring(batch.column("response_format"), "json"), False)
    part["json_format"] = shape.to_numpy(zero_copy_only=False).astype(np.int8)
    finish = batch.column("finish_reason").dictionary_encode()
    kinds = [FINISH.get(str(name).lower(), 5) for name in finish.dictionary.to_pylist()]
    lookup = np.array([*kinds, 0], np.int8)
    part["finish"] = lookup[finish.indices.fill_null(len(kinds)).to_numpy(zero_copy_only=False)]
    return part


def _close(parts: list[dict[str, np.ndarray]], codes: dict[str, _Codes], has: frozenset[str]) -> ExchangeLog:
    if not parts:
        return ExchangeLog(
            {"ts_us": np.zeros(0, np.int64)}, *(np.zeros((0, 1), np.uint32),) * 2, (), (), has, 0
        )
    names = {name: code.by_name() for name, code in codes.items()}
    ts = np.concatenate([p["ts_us"] for p in parts])
    ids = np.concatenate([p.pop("id") for p in parts])
    order = np.lexsort((ids, ts))
    total = len(order)
    first = np.ones(total, bool)
    by_id = np.argsort(ids[order], kind="stable")
    repeated = ids[order][by_id]
    first[by_id[1:]] = repeated[1:] != repeated[:-1]
    order = order[first]
    columns = {"ts_us": ts[order], "id": ids[order]}
    del ts, ids, by_id, repeated, first
    for name in [k for k in parts[0] if k not in ("ts_us", "id")]:
        columns[name] = np.concatenate([p.pop(name) for p in parts])[order]
    recode = {"account": "account", "model": "model", "agent": "user_agent", "net": "client_ip"}
    for column, source in recode.items():
        columns[column] = names[source][1][columns[column]]
    phrases, system_phrases = columns.pop("phrases"), columns.pop("system_phrases")
    return ExchangeLog(
        columns,
        phrases,
        system_phrases,
        names["account"][0],
        names["model"][0],
        has,
        total - len(order),
    )
