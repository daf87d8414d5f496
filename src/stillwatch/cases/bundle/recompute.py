"""Compute the claims of an evidence bundle again, and check its audit trail: no other package.

`verify.py` loads this file from beside itself. `check` gives what is wrong, a sentence on the audit trail,
and every claim with what came of it. What the events say is the sender's word; whether the rest follows from
them and from the signed audit trail is computed here, and by `contradictions.py` from each other.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import statistics
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any

HOUR_US = 3_600_000_000
MOVED_WITHIN_US = HOUR_US // 6  # of a refused text: docs/evidence.md, refused work
MOVED_TO_US = 12 * HOUR_US  # of a text that a hold refused: docs/holds.md
NEVER = 1 << 62
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
CANNOT = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)

# --- the records of the audit trail ---


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def check_audit(bundle: Any, is_signed: Callable[[bytes, bytes, bytes], bool]) -> tuple[list[str], str]:
    """Check the extract of the audit trail: give what is wrong, and a sentence."""
    wrong: list[str] = []
    rows = bundle.lines("audit.ndjson")
    head = bundle.json("audit_head.json")
    said = {name: head[name] for name in ("at_us", "chain", "key", "seal", "seq")}
    keys = {span["key"]: span for span in head["keys"]}
    if not is_signed(
        bytes.fromhex(head["key"]),
        bytes.fromhex(head["signature"]),
        b"stillwatch.audit.head.1\n" + _canonical(said),
    ):
        wrong.append("audit_head.json: is not signed by the key that it names")
    linked, before = 0, None
    drawn = told_draws(bundle)
    for place, each in (("audit.ndjson", rows), ("holds.json", [] if drawn is None else drawn["records"])):
        wrong += _unsigned_records(place, each, keys, is_signed)
    for row in rows:
        seq = row["seq"]
        if before is not None and before["seq"] + 1 == seq:
            linked += 1
            if hashlib.sha256((before["hash"] + before["signature"]).encode()).hexdigest() != row["prev"]:
                wrong.append(f"audit.ndjson: record {seq} does not follow on record {seq - 1}")
        before = row
    sentence = (
        f"{len(rows)} records of the audit trail are signed, {linked} of them linked to the one before; the "
        f"trail stood at record {head['seq']}, {head['seal'][:16]}…, and what lies between is not here"
    )
    return wrong, sentence


def _unsigned_records(
    place: str, rows: list[Any], keys: Mapping[str, Any], is_signed: Callable[[bytes, bytes, bytes], bool]
) -> Iterator[str]:
    """Where a record of the trail is not what was hashed, or not signed by the trail's key."""
    names = ("at_us", "detail", "prev", "sealed", "seq", "subject", "what", "who")
    for row in rows:
        seq = row["seq"]
        body = b"stillwatch.audit.1\n" + _canonical({name: row[name] for name in names})
        signer = next((key for key, span in keys.items() if span["first"] <= seq <= span["last"]), "")
        message = b"stillwatch.audit.record.1\n" + row["hash"].encode()
        if hashlib.sha256(body).hexdigest() != row["hash"]:
            yield f"{place}: record {seq} is not what was hashed"
        elif not signer or not is_signed(bytes.fromhex(signer), bytes.fromhex(row["signature"]), message):
            yield f"{place}: record {seq} is not signed by the trail's key"


# --- computing claims again ---


def us(text: str) -> int:
    """Read an ISO time as UTC microseconds."""
    return (datetime.fromisoformat(_pad_to_microseconds(text)) - EPOCH) // timedelta(microseconds=1)


def _pad_to_microseconds(text: str) -> str:
    """Python before 3.11 reads no Z, and fractions of three or six digits only."""
    text = text[:-1] + "+00:00" if text.endswith("Z") else text
    whole, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return whole + dot + (rest[:digits].ljust(6, "0")[:6] + rest[digits:] if dot else "")


class OpenedBundle:
    """The events of the finding's accounts, and what the sender says of all others."""

    def __init__(self, bundle: Any) -> None:
        self.finding = bundle.json("finding.json")
        self.campaign = self.finding["campaign"]["finding"]
        self.more = self.finding["campaign"]["evidence"]
        self.alarm_us = us(self.campaign["alarm_at"])
        self.accounts = bundle.lines("accounts.ndjson")
        names, since = set(self.campaign["accounts"]), self.more.get("since", {})
        self.named = [k for k, one in enumerate(self.accounts) if one["account"] in names]
        mine = set(self.named)
        self.events = [one for one in bundle.lines("events.ndjson") if one["a"] in mine]
        begin = {k: us(since[name]) for k in mine if (name := self.accounts[k]["account"]) in since}
        self.harvest = [one for one in self.events if one["t"] >= begin.get(one["a"], NEVER)]
        self.answered = [one for one in self.harvest if one["s"] == 200]
        self.others = bundle.json("population.json")
        self.aside, self.draws = told_aside(bundle), told_draws(bundle)
        place = {one["account"]: k for k, one in enumerate(self.accounts)}
        listed = [] if self.aside is None else self.aside["accounts"]
        # each account that was set aside with its place among the accounts; a log may lack it
        self.set_aside = [(one, place.get(one["account"])) for one in listed]
        shown = mine | {k for _, k in self.set_aside if k is not None}
        self.sent: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for one in bundle.lines("events.ndjson"):
            if one["a"] in shown:
                self.sent[one["a"]].append(one)

    def party(self, account: int) -> str | int:
        """Who counts as one: an organisation, else the account."""
        return self.accounts[account]["org"] or account

    def reasons(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        yield from zip(self.campaign["reasons"], self.more["reasons"])

    def share(self, flags: list[bool]) -> dict[str, float]:
        """How large a part of the harvest the flags mark."""
        return {"actual": sum(flags) / len(self.harvest), "n": len(self.harvest)}

    def lexical(self, bit: int) -> dict[str, float]:
        """How large a part of the harvest asks for what a lexical class stands for."""
        return self.share([bool(one["k"] >> bit & 1) for one in self.harvest])

    def setting(self, name: str) -> dict[str, float]:
        """The accounts whose commonest value of a setting is the commonest of all, beside the others."""
        own = mostly(self.harvest, SETTINGS[name])
        counted = Counter(own.values())
        value = min(counted, key=lambda v: (-counted[v], v is not None, v))
        others = self.others["mostly"][name]
        total = sum(n for _, n in others)
        baseline = next((n for v, n in others if v == value), 0) / total if total else 0.0
        return {"actual": counted[value] / len(own), "baseline": baseline, "n": len(own)}

    def tied_by_setting(self, name: str) -> list[float]:
        """The bits of each account that the setting ties."""
        found = self.setting(name)
        one = min(40.0, math.log2(1 / max(found["baseline"], 0.02)))
        return [one] * round(found["actual"] * found["n"])

    def main_networks(self, account: int) -> set[str]:
        """The networks from which an account sends most: several where it is a tie."""
        seen = Counter(one["n"] for one in self.sent[account] if one["n"] is not None)
        return {n for n, times in seen.items() if times == max(seen.values())}

    def networks(self) -> dict[int, float]:
        """Each account that shares a network hardly anyone else is behind, with the bits of the rarest."""
        mine, every = defaultdict(set), defaultdict(set)
        for one in self.events:
            every[one["n"]].add(one["a"])
        for one in self.harvest:
            mine[one["n"]].add(one["a"])
        outside, whole = self.others["networks"], self.others["accounts"]
        behind = {n: len(who) + outside.get(n, 0) for n, who in every.items() if n is not None}
        useful = {n for n in behind if len(mine[n]) >= 2 and behind[n] - len(mine[n]) <= 3.0 * len(mine[n])}
        best: dict[int, float] = {}
        for n in useful:
            for a in mine[n]:
                best[a] = max(best.get(a, 0.0), math.log2(whole / max(behind[n], 1)))
        return best

    def signups(self) -> dict[str, float]:
        """The densest two days of the accounts' sign-ups, beside the others'."""
        times = sorted(self.accounts[k]["created_us"] for k in self.named if self.accounts[k]["created_us"])
        count = max(sum(begin <= t <= begin + 48 * HOUR_US for t in times) for begin in times)
        other = self.others["signups"]
        baseline = (other["inside"] + 0.5) / (other["others"] + 1)
        p_value = min(1.0, len(times) * tail(count, len(times), round(baseline, 6), 0.1))
        bits = min(40.0, -math.log2(max(p_value, 1e-12)))
        return {"actual": count / len(times), "baseline": baseline, "bits": bits, "n": len(times)}

    def customer(self, account: int) -> int:
        """Who counts as one customer, by the sender's word: the first line of its accounts."""
        return int(self.accounts[account]["customer"])

    def refused_texts(self) -> dict[int, int]:
        """How many texts each account was refused; its own repeats within minutes are one."""
        return dict(Counter(one["a"] for one in self._runs if one["refused"]))

    def moved_texts(self) -> list[tuple[int, int]]:
        """Each refused text that another customer of the finding asked within minutes: whose, and who did."""
        runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for one in self._runs:
            runs[one["q"]].append(one)
        begun = {text: [one["t"] for one in same] for text, same in runs.items()}
        moved = []
        for one in self._runs:
            if not one["refused"]:
                continue
            text, until_us = one["q"], one["asked"] + MOVED_WITHIN_US
            for k in range(bisect_right(begun[text], one["asked"]), len(begun[text])):
                other = runs[text][k]
                if other["t"] > until_us:
                    break
                if self.customer(other["a"]) != self.customer(one["a"]):
                    moved.append((one["a"], other["a"]))
                    break
        return moved

    @cached_property
    def _runs(self) -> list[dict[str, Any]]:
        """Runs of requests in which an account asks one text, in time; `asked`: its first refusal."""
        runs: list[dict[str, Any]] = []
        last: dict[tuple[int, str], tuple[int, dict[str, Any]]] = {}
        for event in self.events:  # in the log's order, which is that of time
            if event["q"] is None:
                continue
            before_us, run = last.get((event["a"], event["q"]), (0, None))
            if run is None or event["t"] - before_us > MOVED_WITHIN_US:
                run = {name: event[name] for name in "taq"} | {"asked": event["t"], "refused": False}
                runs.append(run)
            if not run["refused"] and (event["s"] in (403, 408, 429) or event["s"] >= 500):
                run["asked"], run["refused"] = event["t"], True
            last[event["a"], event["q"]] = event["t"], run
        return runs

    def numbers(self, detector: str) -> dict[str, Any]:
        """What the finding states of a reason."""
        return next(numbers for reason, numbers in self.reasons() if reason["detector"] == detector)

    def chance_of(self, positive: int, items: int, rate: float) -> float:
        """P(at least `positive` of `items`), each with the chance `rate` (binomial)."""
        if positive <= 0:
            return 1.0
        ways = (
            math.lgamma(items + 1) - math.lgamma(k + 1) - math.lgamma(items - k + 1)
            + k * math.log(rate) + (items - k) * math.log1p(-rate)
            for k in range(positive, items + 1)
        )  # fmt: skip
        return min(1.0, math.fsum(map(math.exp, ways)))

    def quantile(self, values: list[float], q: float) -> float:
        """Linear between the two nearest, as NumPy's default."""
        values = sorted(values)
        at = (len(values) - 1) * q
        low = math.floor(at)
        high = min(low + 1, len(values) - 1)
        return values[low] + (values[high] - values[low]) * (at - low)


def mostly(events: list[Any], name: str) -> dict[int, Any]:
    """Each account's commonest value; ties to the smaller (a missing one is the smallest)."""
    seen: dict[int, Counter[Any]] = defaultdict(Counter)
    for one in events:
        seen[one["a"]][one[name]] += 1
    order: Callable[[Any], Any] = lambda v: (v is not None, v)  # noqa: E731 - a key, used twice
    return {a: min(n, key=lambda v, n=n: (-n[v], order(v))) for a, n in seen.items()}  # type: ignore[misc]


def tail(count: int, members: int, share: float, correlation: float) -> float:
    """P(at least `count` of `members` choose what a share chooses), beta-binomial (Skellam 1948)."""
    strength = (1 - correlation) / correlation
    a, b = share * strength, (1 - share) * strength

    def beta(x: float, y: float) -> float:
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    total = 0.0
    for k in range(count, members + 1):
        ways = -math.log(members + 1) - beta(members - k + 1, k + 1)
        total += math.exp(ways + beta(k + a, members - k + b) - beta(a, b))
    return min(max(total, 1e-300), 1.0)


def combine(p_values: list[float]) -> float:
    """Cauchy combination (Liu and Xie 2020); Bonferroni's bound below 1e-10."""
    least = min(p_values)
    if least < 1e-10:
        return min(1.0, least * len(p_values))
    angles = [math.tan((0.5 - min(max(p, 1e-15), 0.99)) * math.pi) for p in p_values]
    return 0.5 - math.atan(sum(angles) / len(angles)) / math.pi


REACTION = ("refused", "repeated", "taken_over", "p_value")  # of one account: see `reactions`
SETTINGS = {"model": "m", "max_tokens": "x", "temperature_milli": "c"}
FLOOR = {"model": 0.03, "max_tokens": 0.08, "temperature_milli": 0.08}  # docs/evidence.md, 3
CEILING = {"model": 0.08, "max_tokens": 0.15, "temperature_milli": 0.15}
SAME = {"same_model": "model", "same_token_limit": "max_tokens", "same_temperature": "temperature_milli"}
WINDOW_US = 120 * HOUR_US  # in which a look counts
EVENT_US = 72 * HOUR_US  # in which people at an event ask all that they ask: docs/evidence.md, 4
# of an account that was set aside
FACTS = (
    "product", "network", "asn", "accounts_there", "first", "last", "mail_domain", "ahead", "carried",
    "kind_of_use", "finding",
)  # fmt: skip
MOST_CARRIERS = 10_000_000  # more would take too long

Recompute = Callable[[OpenedBundle], Mapping[str, float]]
Ties = Callable[[OpenedBundle], "list[float]"]  # the bits of each account that a clue ties
# What each signal's own file computes again. `documents.checker` writes it into the copy that travels.
RECOMPUTE: dict[str, Recompute] = {}
TIES: dict[str, Ties] = {}
RAISING = (
    "coordinated_harvest",
    "new_settings",
    "failover",
    "lone_harvest",
    "holds",
)  # whose p-value is the finding's
WHY_NOT = {
    "finding": "the finding does not keep what the alarm's test counted; see the claims `conduct`",
    "tested": "those who carried the wording at that hour, and what all others did then, are not in the "
    "bundle: it is taken as stated, and the p-value is computed from it",
    "links": "which of its accounts are tied by this clue needs the whole log",
    "coordinated_harvest": "it is of the last look, at the whole log",
    "new_settings": "who had used these settings before needs the whole log",
    "failover": "what other texts do needs the whole log; see moved_here and refused_here, and `reaction`",
    "reaction": "what all others asked needs the whole log; see holds_here",
    "set_aside": "whose a network is, how many others send from it, mail domains, permissions, other "
    "findings and who had a wording first are not in the events",
    "lone_harvest": "its rank needs all other payers' events",
    "holds": "what all others asked needs the whole log; see holds_here, where the draw was fixed before",
}


def links(e: OpenedBundle, ties: Mapping[str, Ties]) -> dict[str, float]:
    """What ties single accounts to the rest, clue by clue: how many are tied, and the most bits of one."""
    out: dict[str, float] = {}
    told = {reason["detector"] for reason, _ in e.reasons()}
    for clue in sorted(told & set(ties)):
        bits = ties[clue](e)
        out[f"{clue}.accounts"], out[f"{clue}.most_bits"] = len(bits), round(max(bits, default=0.0), 3)
    return out


def reactions(e: OpenedBundle) -> dict[str, float]:
    """Of each account: texts that it was refused, that moved, that it took over; its own p-value."""
    tested = next((numbers for reason, numbers in e.reasons() if reason["detector"] == "failover"), None)
    if tested is None or tested["baseline"] is None:  # an older scan did not state the rate
        return {}
    refused, moves = e.refused_texts(), e.moved_texts()
    moved, taken = Counter(a for a, _ in moves), Counter(a for _, a in moves)
    place = {one["account"]: k for k, one in enumerate(e.accounts)}
    out: dict[str, float] = {}
    for k, name in enumerate(sorted(e.more["own_reactions"])):
        a = place[name]
        mine = refused.get(a, 0)
        tails = (
            e.chance_of(moved[a], mine, tested["baseline"]),
            e.chance_of(taken[a], tested["n"] - mine, tested["baseline"]),
        )
        own = (mine, moved[a], taken[a], min(1.0, 2 * min(tails)))
        out |= {f"{k}.{number}": value for number, value in zip(REACTION, own)}
    return out


def set_aside(e: OpenedBundle) -> dict[str, Any]:
    """Of each account that was set aside what its events show of the facts that its rule rests on."""
    numbered: dict[int, set[str]] = {}
    for one, k in e.set_aside:
        if k is not None and one.get("network") is not None:
            mine = e.main_networks(k)
            numbered[one["network"]] = numbered.get(one["network"], mine) & mine
    out: dict[str, Any] = {}
    for number, (one, k) in enumerate(e.set_aside):
        if k is None or not e.sent[k]:
            continue
        times = [event["t"] for event in e.sent[k]]
        if one["rule"] == "product":
            products = e.aside["products"] if e.aside is not None else {}
            named = [(event["t"], products[event["u"]]) for event in e.sent[k] if event["u"] in products]
            until = [(t, name) for t, name in named if t <= us(one["last"])]
            out[f"{number}.last"], out[f"{number}.product"] = until[-1] if until else (0, "")
        if one["rule"] == "event":
            out[f"{number}.first"], out[f"{number}.last"] = min(times), max(times)
        if one.get("network") is not None:  # its number, where all who have that number share a network
            out[f"{number}.network"] = one["network"] if numbered[one["network"]] else 0
    return out


def rules_broken(e: OpenedBundle) -> Iterator[str]:
    """Where an account was set aside by a rule that its own events and facts do not fit."""
    place: Counter[str] = Counter()
    shown = {k for _, k in e.set_aside if k is not None}
    for account in {*e.named, *shown}:
        place.update(e.main_networks(account))
    for one, k in e.set_aside:
        if k is None:
            continue
        who, times = f"set_aside.json: {one['account']!a}", [event["t"] for event in e.sent[k]]
        if one["rule"] in ("site", "event") and not any(place[n] > 1 for n in e.main_networks(k)):
            yield f"{who} shares its network with nobody here"
        if one["rule"] == "event" and times and max(times) - min(times) > EVENT_US:
            yield f"{who} was at an event, and sent requests over more than three days"
        if one["rule"] == "event" and e.accounts[k]["payment"] is not None:
            yield f"{who} was at an event, and pays"


def together(e: OpenedBundle) -> str:
    """Say how many of the accused send most from a network of three of them; "" where none does."""
    of = {k: e.main_networks(k) for k in e.named}
    place = Counter(n for mine in of.values() for n in mine)
    many = sum(any(place[n] > 2 for n in mine) for mine in of.values())
    if not many:
        return ""
    return (
        f"{many} of the {len(of)} accused accounts send most from a network that two others of them send "
        "most from: that they sit at no site, and were at no event, rests on `asn` and payment, the "
        "sender's word"
    )


def draws_doubt(drawn: Mapping[str, Any]) -> str:
    """Say why the draws of holds are the sender's word, or "" where the trail fixed them before they counted.

    Each record of the trail must be from before the block from which on it counts.
    """
    if drawn["key"] is None:
        return "the schedule of the holds had not ended when this was exported"
    told = [(row["what"], row["at_us"], json.loads(row["detail"])) for row in drawn["records"]]
    commitment = hashlib.sha256(b"stillwatch holds" + bytes.fromhex(drawn["key"])).hexdigest()
    fixed = {name: drawn[name] for name in ("start_us", "days", "block_minutes", "one_block_in")}
    begun = [
        at_us for what, at_us, detail in told
        if what == "holds begun" and detail.get("commitment") == commitment
        and {name: detail.get(name) for name in fixed} == fixed
    ]  # fmt: skip
    if not begun or min(begun) >= drawn["start_us"]:
        return "no commitment to the draw was on the audit trail before the first block"
    joins = {
        d["from_us"] for what, at_us, d in told if what == "holds joined" and at_us < d.get("from_us", 0)
    }
    if not set(drawn["begin_us"].values()) <= {drawn["start_us"], *joins}:
        return "an account joined the holds at a time that was not on the audit trail before"
    denser = drawn["denser_one_block_in"], drawn["denser_from_us"]
    if denser != (None, None) and denser not in {
        (d.get("one_block_in"), d.get("from_us"))
        for what, at_us, d in told
        if what == "holds denser" and at_us < d.get("from_us", 0)
    }:
        return "that it draws more often was not on the audit trail before"
    return ""


class Draws:
    """The draws of a schedule of holds, made again from its key: docs/holds.md, How a hold is drawn."""

    def __init__(self, drawn: Mapping[str, Any], last_us: int) -> None:
        self._told, self._key = drawn, bytes.fromhex(drawn["key"])
        self.block_us = drawn["block_minutes"] * HOUR_US // 60
        end_us = max(drawn["start_us"], min(last_us - MOVED_TO_US, drawn["end_us"]))
        self.blocks = range(drawn["start_us"] // self.block_us, end_us // self.block_us)

    def one_in(self, block: int) -> int:
        """Of how many blocks one is drawn, on average, at this one."""
        since_us = self._told["denser_from_us"]
        denser = since_us is not None and block * self.block_us >= since_us
        return int(self._told["denser_one_block_in"] if denser else self._told["one_block_in"])

    def draw(self, account: str, block: int) -> bool | None:
        """Whether an account was held in a block; None: nothing was drawn for it."""
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


HELD_COUNTS = (
    "held", "not_held", "moved_held", "moved_not_held", "held_answered_429", "not_held_answered_429",
)  # fmt: skip


def held_here(e: OpenedBundle) -> dict[str, Any]:
    """What holds show among the finding's own accounts, with every block drawn again.

    Nothing where the draws are the sender's word. Counted is what an account asks first in a block, where it
    never asked it before. A text moved that another customer here asked within twelve hours. p_here: how
    often so many of the moved texts, or more, fall into drawn blocks. answered_429: a schedule that was in
    force refused in drawn blocks and hardly elsewhere, so that of several that were committed to one cannot
    be chosen afterwards by what it would have shown.
    """
    drawn = e.draws
    if drawn is None or draws_doubt(drawn):
        return {}
    again = Draws(drawn, e.others["last_us"])
    first: dict[tuple[int, str], int] = {}  # account and text -> when it asked it first
    for one in e.events:
        if one["q"] is not None:
            first.setdefault((one["a"], one["q"]), one["t"])
    asked: dict[str, list[tuple[int, int]]] = defaultdict(list)  # text -> when it was asked, by whom
    for (a, text), at_us in first.items():
        asked[text].append((at_us, a))
    seen: set[tuple[int, int]] = set()
    out: dict[str, Any] = dict.fromkeys(HELD_COUNTS, 0)
    refused, chances = Counter[int](), [1.0]
    for one in e.events:
        a, block = one["a"], one["t"] // again.block_us
        if block not in again.blocks or (a, block) in seen:
            continue
        seen.add((a, block))
        held = again.draw(e.accounts[a]["account"], block)
        if held is None or one["q"] is None or first[a, one["q"]] != one["t"]:
            continue
        refused[a] += held
        later = (b for at_us, b in asked[one["q"]] if one["t"] < at_us <= one["t"] + MOVED_TO_US)
        moved = any(e.customer(b) != e.customer(a) for b in later)
        name = "held" if held else "not_held"
        out[name] += 1
        out[f"moved_{name}"] += moved
        out[f"{name}_answered_429"] += one["s"] == 429
        if moved:
            p = 1 / again.one_in(block)
            chances = [x * (1 - p) + y * p for x, y in zip([*chances, 0.0], [0.0, *chances])]
    out = {f"holds_here.{name}": value for name, value in out.items()}
    out["holds_here.p_here"] = min(1.0, math.fsum(chances[out["holds_here.moved_held"] :]))
    place = {one["account"]: k for k, one in enumerate(e.accounts)}
    for k, name in enumerate(sorted(e.more["own_reactions"])):
        out[f"reaction.{k}.refused"] = refused[place[name]]
    return out


def told_draws(bundle: Any) -> Any:
    """What a bundle tells of the draws of holds; None where it tells nothing."""
    return bundle.json("holds.json") if "holds.json" in bundle.names else None


def harvested(e: OpenedBundle) -> dict[str, Any]:
    """The harvest of the finding, counted again."""
    hours: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    prompts: Counter[str] = Counter()
    value = 0.0
    for one in e.answered:
        tokens = max(one["o"] or 0, 0)
        hours[one["t"] // HOUR_US][0] += 1
        hours[one["t"] // HOUR_US][1] += tokens
        prompts[one["q"]] += 1
        value += tokens / prompts[one["q"]] if one["f"] not in (2, 3) else 0.0
    before = [one for one in e.answered if one["t"] < e.alarm_us]
    return {
        "accounts": len(e.named),
        "exchanges": len(e.answered),
        "output_tokens": sum(max(one["o"] or 0, 0) for one in e.answered),
        "exchanges_at_alarm": len(before),
        "output_tokens_at_alarm": sum(max(one["o"] or 0, 0) for one in before),
        "value_tokens": round(value, 3),
        "unique_prompts": len(prompts),
        "timeline": [[hour * HOUR_US, *hours[hour]] for hour in sorted(hours)],
    }


def conduct(e: OpenedBundle) -> dict[str, float]:
    """How alike the accounts act: tail probabilities at the least and the largest correlation granted."""
    out: dict[str, float] = {}
    for scope, events in (
        ("harvest", e.harvest),
        ("at_alarm", [o for o in e.harvest if o["t"] < e.alarm_us]),
    ):
        low, high = [], []
        for name, key in SETTINGS.items():
            own = Counter(mostly(events, key).values())
            others = e.others["mostly"][name]
            total = sum(n for _, n in others)
            if not own or not total:
                continue
            value = min(own, key=lambda v: (-own[v], v is not None, v))
            share = (next((n for v, n in others if v == value), 0) + 0.5) / (total + 1)
            members = sum(own.values())
            tries = min(8, len(others) + 1)
            low.append(min(1.0, tries * tail(own[value], members, share, FLOOR[name])))
            high.append(min(1.0, tries * tail(own[value], members, share, CEILING[name])))
            out[f"{scope}.{name}.count"], out[f"{scope}.{name}.of"] = own[value], members
            out[f"{scope}.{name}.others"] = share
        if low:
            out[f"{scope}.p_least_correlation"], out[f"{scope}.p_most_correlation"] = (
                combine(low),
                combine(high),
            )
    return out


def alarm_test(e: OpenedBundle) -> dict[str, float]:
    """The alarm's p-value from what its test counted, and how many of those counted the events show.

    What the test counted is taken as stated. Recounted: parties among the accounts here (an organisation is
    one) that were harvesting in the five days before the alarm, and those of them that mostly used the value.
    """
    tested = e.more.get("tested", [])
    if not tested or impossible(tested, e.others["accounts"]):
        return {}
    p_values: dict[str, float] = {}
    out: dict[str, float] = {}
    counts = [dict(o, a=e.party(o["a"])) for o in e.harvest if e.alarm_us - WINDOW_US <= o["t"] < e.alarm_us]
    for one in tested:
        name, share = one["setting"], one["share"]
        chance = tail(one["count"], one["of"], share, one["correlation"]) if share < 1 else 1.0
        p_values[name] = min(1.0, one["tries"] * chance)
        own = mostly(counts, SETTINGS[name]).values()
        out[f"tested.{name}.count_here"] = sum(value == one["value"] for value in own)
        out[f"tested.{name}.of_here"] = len(own)
    out["finding.p_value"] = combine(list(p_values.values()))
    told = {reason["detector"] for reason, _ in e.reasons()}
    bits = {"coordinated_harvest": max(out["finding.p_value"], 1e-300)}
    bits |= {clue: p_values[name] for clue, name in SAME.items() if name in p_values}
    for detector, p in bits.items():
        if detector in told:
            out[f"reason.{detector}.bits"] = round(min(40.0, -math.log2(p)), 3)
    return out


def impossible(tested: list[Any], accounts: int) -> list[str]:
    """What of the counts that a test states no test of a scan could have had."""
    wrong = []
    for one in tested:
        name = one["setting"]
        numbers = [one[word] for word in ("count", "of", "tries")]
        if name not in SETTINGS or any(type(number) is not int for number in numbers):
            wrong.append(f"finding.json: tested {_short(name)}: is no setting with whole counts")
            continue
        for word, least, most in (
            ("of", 1, min(accounts, MOST_CARRIERS)),
            ("count", 1, one["of"]),
            ("tries", 1, 8),
            ("share", 0.001, 1.0),
            ("correlation", FLOOR[name], CEILING[name]),
        ):
            if not least <= one[word] <= most:
                found = _short(one[word])
                wrong.append(f"finding.json: tested {name}: {word} is {found}, and can be {least} to {most}")
    if len({one["setting"] for one in tested}) < len(tested):
        wrong.append("finding.json: a setting is tested twice")
    return wrong


def markers(e: OpenedBundle) -> dict[str, float]:
    """What the accounts' wording shares that few others have: markers by kind, and how unlikely the best is.

    Null: whoever carries a marker is a random draw of the log's accounts. The accounts were found by their
    wording, so these p-values are descriptions, not tests.
    """
    out: dict[str, float] = {}
    whole, n = e.others["accounts"], len(e.named)
    for kind in ("p", "h", "l", "q", "y"):
        carried: dict[str, set[int]] = defaultdict(set)
        for one in e.harvest:
            found = one[kind]
            for token in (
                [found[k : k + 8] for k in range(0, len(found), 8)] if kind == "p" else [found] * bool(found)
            ):
                carried[token].add(one["a"])
        outside = e.others["markers"][kind]
        own = {
            t: who for t, who in carried.items() if len(who) >= 3 and outside.get(t, 0) <= len(who) * 2 / 3
        }
        if not own:
            continue
        tied = {a for who in own.values() for a in who}
        best = min(_overlap(len(who), len(who) + outside.get(t, 0), n, whole) for t, who in own.items())
        out[f"{kind}.markers"], out[f"{kind}.accounts_tied"] = len(own), len(tied)
        out[f"{kind}.median_accounts"] = statistics.median(len(who) for who in own.values())
        out[f"{kind}.best_log10_p_corrected"] = min(0.0, best + math.log10(len(carried)))
    return out


def _overlap(m: int, carriers: int, n: int, whole: int) -> float:
    """log10 P(at least m of n drawn accounts carry what `carriers` of all carry): hypergeometric."""

    def ways(a: int, b: int) -> float:
        return math.lgamma(a + 1) - math.lgamma(b + 1) - math.lgamma(a - b + 1)

    last = min(n, carriers)
    terms = [
        ways(carriers, x) + ways(whole - carriers, n - x) - ways(whole, n)
        for x in range(m, last + 1)
        if n - x <= whole - carriers
    ]
    if not terms:
        return 0.0
    top = max(terms)
    return min(0.0, (top + math.log(sum(math.exp(t - top) for t in terms))) / math.log(10))


SUMMED, TOLD_APART = (
    ("t", "x", "c", "i", "o", "w", "r", "g", "k"),
    ("a", "m", "q", "h", "l", "y", "p", "u", "n"),
)


def totals(bundle: Any) -> dict[str, Any]:
    """Control totals of every column of the events and the accounts: nothing in them changes unseen."""
    out: dict[str, Any] = {}
    events, accounts = bundle.lines("events.ndjson"), bundle.lines("accounts.ndjson")
    for name in SUMMED:
        out[f"events.{name}"] = sum(one[name] or 0 for one in events)
    for name in TOLD_APART:
        out[f"events.{name}"] = len({one[name] for one in events})
    for name in ("s", "f"):
        counted = Counter(str(one[name]) for one in events)
        out[f"events.{name}"] = dict(sorted(counted.items()))
    for name in ("since_us", "named_us", "created_us"):
        out[f"accounts.{name}"] = sum(one[name] or 0 for one in accounts)
    for name in ("account", "org", "payment", "customer"):
        out[f"accounts.{name}"] = len({one[name] for one in accounts})
    out["accounts.verdict"] = dict(sorted(Counter(str(one["verdict"]) for one in accounts).items()))
    return out


def computed(
    bundle: Any, recompute: Mapping[str, Recompute] = RECOMPUTE, ties: Mapping[str, Ties] = TIES
) -> dict[str, Any]:
    """All that can be computed again, by name. recompute, ties: what each signal computes."""
    e = OpenedBundle(bundle)
    if not e.more.get("since"):
        return {}
    out: dict[str, Any] = {f"harvest.{name}": value for name, value in harvested(e).items()}
    out |= {f"total.{name}": value for name, value in totals(bundle).items()}
    if e.harvest:
        out |= {f"conduct.{name}": value for name, value in conduct(e).items()}
        out |= alarm_test(e)
        out |= {f"markers.{name}": value for name, value in markers(e).items()}
        out |= {f"links.{name}": value for name, value in links(e, ties).items()}
        out |= {f"reaction.{name}": value for name, value in reactions(e).items()}
        out |= {f"set_aside.{name}": value for name, value in set_aside(e).items()}
        out |= held_here(e)
        for reason, _ in e.reasons():
            if (again := recompute.get(reason["detector"])) is not None:
                out |= {f"reason.{reason['detector']}.{name}": value for name, value in again(e).items()}
    return out


def stated_numbers(finding: Mapping[str, Any], aside: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the finding itself states, under the same names. aside: what is told of whom it set aside."""
    found, more = finding["campaign"]["finding"], finding["campaign"]["evidence"]
    out: dict[str, Any] = {"finding.p_value": found["p_value"], "harvest.accounts": len(found["accounts"])}
    for name in ("exchanges", "output_tokens"):
        out[f"harvest.{name}"] = found["harvest"][name]
        out[f"harvest.{name}_at_alarm"] = found["harvest_at_alarm"][name]
    out["harvest.value_tokens"] = more["value_tokens"]
    if more.get("unique_prompts") is not None:
        out["harvest.unique_prompts"] = more["unique_prompts"]
    out["harvest.timeline"] = [[us(hour), n, tokens] for hour, n, tokens in more["timeline"]]
    for reason, numbers in zip(found["reasons"], more["reasons"]):
        for name in ("actual", "baseline", "n"):
            if numbers[name] is not None:
                out[f"reason.{reason['detector']}.{name}"] = numbers[name]
        out[f"reason.{reason['detector']}.bits"] = reason["bits"]
    for one in more.get("tested", []):
        for name in ("count", "of", "share", "tries", "correlation"):
            out[f"tested.{one['setting']}.{name}"] = one[name]
    for k, own in enumerate(more["own_reactions"][name] for name in sorted(more.get("own_reactions", {}))):
        out |= {f"reaction.{k}.{number}": value for number, value in zip(REACTION, own)}
    tied: dict[str, list[float]] = defaultdict(list)
    for _, _, clue, bits, *_ in more["links"]:
        tied[clue].append(bits)
    for clue, all_bits in tied.items():
        out[f"links.{clue}.accounts"], out[f"links.{clue}.most_bits"] = len(all_bits), max(all_bits)
    for number, one in enumerate([] if aside is None else aside["accounts"]):
        for name in FACTS:
            if name in one:
                out[f"set_aside.{number}.{name}"] = us(one[name]) if name in ("first", "last") else one[name]
    return out


def told_aside(bundle: Any) -> Any:
    """What a bundle tells of the accounts that were set aside; None where it names none."""
    return bundle.json("set_aside.json") if "set_aside.json" in bundle.names else None


def same(a: Any, b: Any) -> bool:
    """Tell whether two values are the same: numbers to 9 digits with rounding, all else exactly."""
    if (
        isinstance(a, bool)
        or isinstance(b, bool)
        or not (isinstance(a, (int, float)) and isinstance(b, (int, float)))
    ):
        return bool(a == b)
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    return math.isclose(a, b, rel_tol=2e-8, abs_tol=6e-4 if abs(a) >= 1 else 1e-9)


def same_chance(a: float, b: float) -> bool:
    """Tell whether two p-values are the same, however small. Near 1e-10 an arc tangent has fewer digits."""
    return math.isclose(a, b, rel_tol=2e-8, abs_tol=4e-16 if min(a, b) > 1e-11 else 0.0)


def same_claim(name: str, a: Any, b: Any) -> bool:
    """Tell whether two values of a claim are the same."""
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (a, b))
    return same_chance(a, b) if numbers and name.rpartition(".")[2].startswith("p_") else same(a, b)


def check_claims(bundle: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """Compute every claim again: give what differs, and each claim with what came of it."""
    wrong: list[str] = []
    rows: list[dict[str, Any]] = []
    claims = bundle.lines("claims.ndjson")
    have_events = "events.ndjson" in bundle.names
    again = computed(bundle) if have_events else {}
    finding = bundle.json("finding.json")
    said = stated_numbers(finding, told_aside(bundle))
    for claim in claims:
        name, row = claim["name"], dict(claim)
        if name in said and not same_claim(name, claim["stated"], said[name]):
            wrong.append(
                f"claim {name}: is {claim['stated']} in claims.ndjson and {said[name]} in finding.json"
            )
        if name not in said and name not in again:
            wrong.append(f"claim {name}: neither the finding nor the events say anything of it")
        if claim["why_not"] is not None and name in again and same_claim(name, claim["stated"], again[name]):
            wrong.append(f"claim {name}: is said not to be computable ({claim['why_not']}), and is")
        if claim["why_not"] is not None and name not in again:
            row["result"] = "not computed"
        elif name not in again:
            row["result"] = "differs"
            wrong.append(f"claim {name}: can no longer be computed from the events")
        else:
            row["again"] = again[name]
            row["result"] = "same" if same_claim(name, claim["stated"], again[name]) else "differs"
            if row["result"] == "differs":
                wrong.append(
                    f"claim {name}: stated {_short(claim['stated'])}, computed {_short(again[name])}"
                )
        rows.append(row)
    named = {claim["name"] for claim in claims}
    wrong += [
        f"claim {name}: the finding states it and claims.ndjson leaves it out"
        for name in sorted(said.keys() - named)
    ]
    wrong += [
        f"claim {name}: comes out of the events and claims.ndjson leaves it out"
        for name in sorted(again.keys() - named)
    ]
    wrong += _alert_differs(bundle.json("alert.json"), finding)
    if have_events:
        tested = finding["campaign"]["evidence"].get("tested", [])
        wrong += impossible(tested, bundle.json("population.json")["accounts"])
        wrong += _accounts_differ(bundle.lines("accounts.ndjson"), finding)
        wrong += rules_broken(OpenedBundle(bundle))
    bits = sum(reason["bits"] for reason in finding["campaign"]["finding"]["reasons"])
    if not math.isclose(bits, finding["campaign"]["finding"]["score_bits"], abs_tol=0.01):
        wrong.append(f"finding.json: its reasons come to {bits:.3f} bits, its score says otherwise")
    return wrong, rows


def _alert_differs(alert: Mapping[str, Any], finding: Mapping[str, Any]) -> Iterator[str]:
    """Where the alert says another thing than the finding that it is about."""
    found, more = finding["campaign"]["finding"], finding["campaign"]["evidence"]
    if (alert["finding"], alert["campaign"]) != (finding["id"], found["id"]):
        yield "alert.json: is about another finding"
    if not same_chance(alert["p_value"], found["p_value"]):
        yield f"alert.json: its p-value is {alert['p_value']}, the finding's {found['p_value']}"
    told = {one["detector"]: one for one in alert["why"]}
    for reason, numbers in zip(found["reasons"], more["reasons"]):
        one = told.get(reason["detector"])
        if one is None:
            yield f"alert.json: leaves out {reason['detector']}"
            continue
        if reason["detector"] in RAISING and not same_chance(one["p_value"], found["p_value"]):
            yield f"alert.json: {reason['detector']}: p is {one['p_value']}, the finding's {found['p_value']}"
        for name, value in (
            ("bits", reason["bits"]),
            *((k, numbers[k]) for k in ("actual", "baseline", "n")),
        ):
            if not same(one[name], value):
                yield f"alert.json: {reason['detector']}: {name} is {one[name]}, in the finding {value}"


def _accounts_differ(accounts: list[Any], finding: Mapping[str, Any]) -> Iterator[str]:
    """Where the list of accounts says another thing than the finding."""
    found, since = finding["campaign"]["finding"], finding["campaign"]["evidence"].get("since", {})
    listed = {one["account"] for one in accounts if one["in_finding"]}
    if listed != set(found["accounts"]) or len({one["account"] for one in accounts}) != len(accounts):
        yield "accounts.ndjson: does not list the finding's accounts"
    for one in accounts:
        begin = us(since[one["account"]]) if one["account"] in since else None
        if one["since_us"] != begin:
            yield f"accounts.ndjson: {one['account']!a} counts from another time than in the finding"


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value)[:60]


# --- all of it ---


def check(
    bundle: Any, is_signed: Callable[[bytes, bytes, bytes], bool], contradictions: Callable[[], list[str]]
) -> dict[str, Any]:
    """Check the trail, compute every claim again, take in what the files contradict each other in."""
    wrong: list[str] = []
    audit, rows = "", list[Any]()
    try:
        found, audit = check_audit(bundle, is_signed)
        wrong += found
    except CANNOT as why:
        wrong.append(f"audit: cannot be checked ({type(why).__name__}: {why})")
    try:
        found, rows = check_claims(bundle)
        wrong += found
    except CANNOT as why:
        wrong.append(f"claims: cannot be checked ({type(why).__name__}: {why})")
    try:
        wrong += contradictions()
    except CANNOT as why:
        wrong.append(f"files: cannot be held against each other ({type(why).__name__}: {why})")
    counts = Counter(row["result"] for row in rows)
    same_n, differ_n, not_n = (counts[word] for word in ("same", "differs", "not computed"))
    if not same_n:
        wrong.append("claims: none could be computed: every number is the sender's word")
    summary = f"{same_n} claims computed and the same, {differ_n} differ, {not_n} are the sender's word; "
    summary += f"{len(wrong)} contradictions" if wrong else "no file contradicts another"
    return {
        "wrong": wrong,
        "summary": summary,
        "audit": audit,
        "claims": rows,
        "lines": [*_lines(audit, rows), *_tell_set_aside(bundle)],
    }


def _tell_set_aside(bundle: Any) -> Iterator[str]:
    """Whom the finding set aside, as far as the bundle tells, and what rests on the sender's word there."""
    try:
        alert, aside = bundle.json("alert.json"), told_aside(bundle)
        counts = alert["set_aside"]
        if counts is None:
            yield "whom the finding set aside was not kept when it was made"
        elif counts:
            told = ", ".join(f"{n} {rule}" for rule, n in sorted(counts.items()))
            shown = "set_aside.json names them"
            if aside is None:
                shown = "who they are is not in the bundle; the audit trail has a digest of the list"
            yield f"{sum(counts.values())} accounts that look alike were set aside ({told}): {shown}"
        named = {one["account"] for one in ([] if aside is None else aside["accounts"])}
        if both := len(named & set(alert["accounts"])):
            yield f"{both} of them are accounts of the case, by an earlier finding or by hand"
        if "events.ndjson" in bundle.names and (sentence := together(OpenedBundle(bundle))):
            yield sentence
        yield from _tell_draws(bundle)
    except CANNOT:
        return  # `check` says what is wrong with these files


def _tell_draws(bundle: Any) -> Iterator[str]:
    """Whether the draws of holds were fixed before they counted, or are the sender's word."""
    told = {one["detector"] for one in bundle.json("alert.json")["why"]}
    drawn = told_draws(bundle)
    if "holds" not in told:
        return
    doubt = "the schedule is not in the bundle" if drawn is None else draws_doubt(drawn)
    if doubt:
        yield f"what randomised holds drew is the sender's word: {doubt}"
    else:
        yield "what randomised holds drew was fixed on the audit trail before, and every block is drawn again"
        if here := held_here(OpenedBundle(bundle)):
            n = {name.partition(".")[2]: value for name, value in here.items()}
            yield (
                f"of {n['held']} first questions in drawn blocks {n['held_answered_429']} were answered 429, "
                f"of {n['not_held']} in others {n['not_held_answered_429']}; a schedule not in force "
                "would have as large a share of both"
            )


def _lines(audit: str, rows: list[Any]) -> Iterator[str]:
    """What a reader should know beside the three answers."""
    if audit:
        yield audit
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["result"] == "not computed":
            reasons[row["why_not"]].append(f"{row['name']} = {_short(row['stated'])}")
    for why_not, names in reasons.items():
        yield f"  not computed, as {why_not}:"
        yield from (f"    {name}" for name in names)
    again = {row["name"]: row["stated"] for row in rows if row["result"] == "same"}
    yield from _tell_test(rows, again)
    for scope, words in (("at_alarm", "before the alarm"), ("harvest", "in the whole harvest")):
        low = again.get(f"conduct.{scope}.p_least_correlation")
        if low is not None:
            high = again[f"conduct.{scope}.p_most_correlation"]
            yield f"alike in model, limit and temperature {words}: p {low:.1e} to {high:.1e}, computed here"


def _tell_test(claims: list[Any], again: Mapping[str, Any]) -> Iterator[str]:
    """The alarm's own test: what was stated, what came of it here, what of it the events show."""
    if "finding.p_value" not in again:
        return
    stated = {row["name"]: row["stated"] for row in claims}
    p = again["finding.p_value"]
    yield f"the alarm's own p {p:.1e}: computed here from what the finding says was counted"
    for name in SETTINGS:
        count, of, share, granted, count_here, of_here = (
            stated.get(f"tested.{name}.{word}")
            for word in ("count", "of", "share", "correlation", "count_here", "of_here")
        )
        if count is not None:
            yield (
                f"  {name}: {_short(count)} of {_short(of)} had one value that a share of {_short(share)} of "
                f"all have, correlation {_short(granted)}: as stated. Counted here, of the accounts in the "
                f"bundle: {_short(count_here)} of {_short(of_here)}"
            )
