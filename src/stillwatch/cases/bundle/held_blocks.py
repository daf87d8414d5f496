"""Repeats the draws of randomised holds, and counts their effects. Standard library only.

This file travels in each bundle, beside `recompute.py`. The draw is specified in docs/holds.md.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from .bundle_events import HOUR_US, OpenedBundle

MOVED_TO_US = 12 * HOUR_US  # of a text that a hold refused: docs/holds.md
HELD_COUNTS = (
    "held", "not_held", "moved_held", "moved_not_held", "held_answered_429", "not_held_answered_429",
)  # fmt: skip


def draws_doubt(drawn: Mapping[str, Any]) -> str:
    """Return why the draws of holds rest on the sender's word, or "" if the trail fixed them in time.

    Each record of the trail must be older than the first block that it applies to.
    """
    if drawn["key"] is None:
        return "the schedule of the holds had not ended when this was exported"
    events = [(row["what"], row["at_us"], json.loads(row["detail"])) for row in drawn["records"]]
    commitment = hashlib.sha256(b"stillwatch holds" + bytes.fromhex(drawn["key"])).hexdigest()
    fixed = {name: drawn[name] for name in ("start_us", "block_minutes", "one_block_in")}
    days = [
        detail["days"] for action, at_us, detail in events
        if action == "holds begun" and detail.get("commitment") == commitment and at_us < drawn["start_us"]
        and {name: detail.get(name) for name in fixed} == fixed
        and isinstance(detail.get("days"), int)
    ]  # fmt: skip
    if not days:
        return "no commitment to the draw was on the audit trail before the first block"
    first_days_end_us = drawn["start_us"] + min(days) * 24 * HOUR_US
    if drawn["days"] not in days and not any(
        action == "holds longer" and at_us < first_days_end_us and d.get("days") == drawn["days"]
        for action, at_us, d in events
    ):
        return "that it goes on for so many days was not on the audit trail before"
    joins = {
        d["from_us"]
        for action, at_us, d in events
        if action == "holds joined" and at_us < d.get("from_us", 0)
    }
    if not set(drawn["begin_us"].values()) <= {drawn["start_us"], *joins}:
        return "an account joined the holds at a time that was not on the audit trail before"
    denser = drawn["denser_one_block_in"], drawn["denser_from_us"]
    if denser != (None, None) and denser not in {
        (d.get("one_block_in"), d.get("from_us"))
        for action, at_us, d in events
        if action == "holds denser" and at_us < d.get("from_us", 0)
    }:
        return "that it draws more often was not on the audit trail before"
    return ""


class Draws:
    """The draws of a hold schedule, repeated from its key: docs/holds.md, How a hold is drawn."""

    def __init__(self, drawn: Mapping[str, Any], last_us: int) -> None:
        self._told, self._key = drawn, bytes.fromhex(drawn["key"])
        self.block_us = drawn["block_minutes"] * HOUR_US // 60
        end_us = max(drawn["start_us"], min(last_us - MOVED_TO_US, drawn["end_us"]))
        self.blocks = range(drawn["start_us"] // self.block_us, end_us // self.block_us)

    def one_in(self, block: int) -> int:
        """Return the average number of blocks of which one is drawn, at this block's time."""
        since_us = self._told["denser_from_us"]
        denser = since_us is not None and block * self.block_us >= since_us
        return int(self._told["denser_one_block_in"] if denser else self._told["one_block_in"])

    def draw(self, account: str, block: int) -> bool | None:
        """Return whether an account was held in a block; None if nothing was drawn for it."""
        begin_us = self._told["begin_us"].get(account)
        if begin_us is None or block not in self.blocks:
            return None
        first = begin_us // self.block_us
        if not first <= block < first + self._told["days"] * 24 * HOUR_US // self.block_us:
            return None
        if block > first and self._is_drawn(account, block - 1):
            return None
        return self._is_drawn(account, block)

    def _is_drawn(self, account: str, block: int) -> bool:
        text = f"{block}\0{account}".encode("utf-8", "surrogatepass")
        digest = hmac.new(self._key, text, "sha256").digest()
        return int.from_bytes(digest[:8], "big") * self.one_in(block) < 1 << 64


def held_here(e: OpenedBundle) -> dict[str, Any]:
    """Count what holds show among the finding's accounts, with every block drawn again.

    Empty if the draws rest on the sender's word. A text counts in the block in which an account first sends
    it. A text moved if another customer here sent it within twelve hours. p_here: the p-value of the number
    of moved texts in drawn blocks. answered_429: shows that the schedule was in force, because requests were
    refused in drawn blocks and hardly elsewhere. So the sender cannot commit to several schedules and choose
    one by its result.
    """
    drawn = e.draws
    if drawn is None or draws_doubt(drawn):
        return {}
    again = Draws(drawn, e.others["last_us"])
    first: dict[tuple[int, str], int] = {}  # account and text -> time of the first request
    for item in e.events:
        if item["q"] is not None:
            first.setdefault((item["a"], item["q"]), item["t"])
    asks_of: dict[str, list[tuple[int, int]]] = defaultdict(list)  # text -> time and account of each request
    for (a, text), at_us in first.items():
        asks_of[text].append((at_us, a))
    pairs_seen: set[tuple[int, int]] = set()
    out: dict[str, Any] = dict.fromkeys(HELD_COUNTS, 0)
    refused, chances = Counter[int](), [1.0]
    for item in e.events:
        a, block = item["a"], item["t"] // again.block_us
        if block not in again.blocks or (a, block) in pairs_seen:
            continue
        pairs_seen.add((a, block))
        is_held = again.draw(e.accounts[a]["account"], block)
        if is_held is None or item["q"] is None or first[a, item["q"]] != item["t"]:
            continue
        refused[a] += is_held
        later = (b for at_us, b in asks_of[item["q"]] if item["t"] < at_us <= item["t"] + MOVED_TO_US)
        moved = any(e.customer(b) != e.customer(a) for b in later)
        name = "held" if is_held else "not_held"
        out[name] += 1
        out[f"moved_{name}"] += moved
        out[f"{name}_answered_429"] += item["s"] == 429
        if moved:
            p = 1 / again.one_in(block)
            chances = [x * (1 - p) + y * p for x, y in zip([*chances, 0.0], [0.0, *chances])]
    out = {f"holds_here.{name}": value for name, value in out.items()}
    out["holds_here.p_here"] = min(1.0, math.fsum(chances[out["holds_here.moved_held"] :]))
    place = {item["account"]: k for k, item in enumerate(e.accounts)}
    for k, name in enumerate(sorted(e.more["own_reactions"])):
        out[f"reaction.{k}.refused"] = refused[place[name]]
    return out
