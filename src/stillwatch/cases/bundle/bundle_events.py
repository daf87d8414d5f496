"""The events of an evidence bundle, and what is counted of them for each claim: no other package.

It travels in each bundle, beside `recompute.py`, which says what a claim is and whether it holds. What the
events say is the sender's word.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any

HOUR_US = 3_600_000_000
MOVED_WITHIN_US = HOUR_US // 6  # of a refused text: docs/evidence.md, refused work
NEVER = 1 << 62
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
SETTINGS = {"model": "m", "max_tokens": "x", "temperature_milli": "c"}


def us(text: str) -> int:
    """Read an ISO time as UTC microseconds."""
    return (datetime.fromisoformat(_pad_to_microseconds(text)) - EPOCH) // timedelta(microseconds=1)


def _pad_to_microseconds(text: str) -> str:
    """Python before 3.11 reads no Z, and fractions of three or six digits only."""
    text = text[:-1] + "+00:00" if text.endswith("Z") else text
    whole, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return whole + dot + (rest[:digits].ljust(6, "0")[:6] + rest[digits:] if dot else "")


def told_aside(bundle: Any) -> Any:
    """What a bundle tells of the accounts that were set aside; None where it names none."""
    return bundle.json("set_aside.json") if "set_aside.json" in bundle.names else None


def told_draws(bundle: Any) -> Any:
    """What a bundle tells of the draws of holds; None where it tells nothing."""
    return bundle.json("holds.json") if "holds.json" in bundle.names else None


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
        if not times:
            return {"n": 0}
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
        return {reason["detector"]: numbers for reason, numbers in self.reasons()}[detector]

    def chance_of(self, positive: int, items: int, rate: float) -> float:
        """P(at least `positive` of `items`), each with the chance `rate` (binomial)."""
        if positive <= 0 or positive > items or not 0 < rate < 1:
            return float(positive <= 0 or (positive <= items and rate >= 1))
        mean, reach = items * rate, 40 * math.sqrt(max(items, 0) * rate * (1 - rate)) + 40
        first, last = (
            max(positive, math.floor(mean - reach)),
            max(positive, math.ceil(mean)) + math.ceil(reach),
        )
        ways = (  # what lies further from the mean adds nothing to a float
            math.lgamma(items + 1) - math.lgamma(k + 1) - math.lgamma(items - k + 1)
            + k * math.log(rate) + (items - k) * math.log1p(-rate)
            for k in range(first, min(items, last) + 1)
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
    return {account: _commonest(counts) for account, counts in seen.items()}


def _commonest(counts: Counter[Any]) -> Any:
    return min(counts, key=lambda value: (-counts[value], value is not None, value))


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
