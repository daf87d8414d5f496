"""The events of an evidence bundle, and the counts that claims are computed from. Standard library only.

This file travels in each bundle, beside `recompute.py`, which defines and checks the claims. The content of
the events is the sender's word.
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
    """Pad an ISO time: Python before 3.11 reads no Z, and only fractions of three or six digits."""
    text = text[:-1] + "+00:00" if text.endswith("Z") else text
    seconds, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return seconds + dot + (rest[:digits].ljust(6, "0")[:6] + rest[digits:] if dot else "")


def told_aside(bundle: Any) -> Any:
    """Return the bundle's list of accounts that were set aside; None if it has none."""
    return bundle.json("set_aside.json") if "set_aside.json" in bundle.names else None


def told_draws(bundle: Any) -> Any:
    """Return the bundle's draws of holds; None if it has none."""
    return bundle.json("holds.json") if "holds.json" in bundle.names else None


class OpenedBundle:
    """The events of the finding's accounts, and the sender's counts of all other accounts."""

    def __init__(self, bundle: Any) -> None:
        self.finding = bundle.json("finding.json")
        self.campaign = self.finding["campaign"]["finding"]
        self.more = self.finding["campaign"]["evidence"]
        self.alarm_us = us(self.campaign["alarm_at"])
        self.accounts = bundle.lines("accounts.ndjson")
        names, since = set(self.campaign["accounts"]), self.more.get("since", {})
        self.named = [k for k, item in enumerate(self.accounts) if item["account"] in names]
        own_numbers = set(self.named)
        self.events = [item for item in bundle.lines("events.ndjson") if item["a"] in own_numbers]
        begin = {k: us(since[name]) for k in own_numbers if (name := self.accounts[k]["account"]) in since}
        self.harvest = [item for item in self.events if item["t"] >= begin.get(item["a"], NEVER)]
        self.answered = [item for item in self.harvest if item["s"] == 200]
        self.others = bundle.json("population.json")
        self.aside, self.draws = told_aside(bundle), told_draws(bundle)
        place = {item["account"]: k for k, item in enumerate(self.accounts)}
        listed = [] if self.aside is None else self.aside["accounts"]
        # each account that was set aside, with its index among the accounts, or None if the log lacks it
        self.set_aside = [(item, place.get(item["account"])) for item in listed]
        listed_numbers = own_numbers | {k for _, k in self.set_aside if k is not None}
        self.sent: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for item in bundle.lines("events.ndjson"):
            if item["a"] in listed_numbers:
                self.sent[item["a"]].append(item)

    def party(self, account: int) -> str | int:
        """Return the party of an account: its organisation, else the account itself."""
        return self.accounts[account]["org"] or account

    def reasons(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        yield from zip(self.campaign["reasons"], self.more["reasons"])

    def share(self, flags: list[bool]) -> dict[str, float]:
        """Return the share of the harvest that the flags mark."""
        return {"actual": sum(flags) / len(self.harvest), "n": len(self.harvest)}

    def lexical(self, bit: int) -> dict[str, float]:
        """Return the share of the harvest that falls in a lexical class."""
        return self.share([bool(event["k"] >> bit & 1) for event in self.harvest])

    def setting(self, name: str) -> dict[str, float]:
        """Count the accounts whose commonest value of a setting is the group's, and others with it."""
        value_by_account = mostly(self.harvest, SETTINGS[name])
        counts = Counter(value_by_account.values())
        value = min(counts, key=lambda v: (-counts[v], v is not None, v))
        others = self.others["mostly"][name]
        total = sum(n for _, n in others)
        baseline = next((n for v, n in others if v == value), 0) / total if total else 0.0
        return {
            "actual": counts[value] / len(value_by_account),
            "baseline": baseline,
            "n": len(value_by_account),
        }

    def tied_by_setting(self, name: str) -> list[float]:
        """Return the bits of each account that the setting ties to the group."""
        shares = self.setting(name)
        bits_each = min(40.0, math.log2(1 / max(shares["baseline"], 0.02)))
        return [bits_each] * round(shares["actual"] * shares["n"])

    def main_networks(self, account: int) -> set[str]:
        """Return the networks from which an account sends most: several if they are equal."""
        counts = Counter(event["n"] for event in self.sent[account] if event["n"] is not None)
        return {n for n, times in counts.items() if times == max(counts.values())}

    def networks(self) -> dict[int, float]:
        """Return the accounts on a shared network that few others use, with the bits of the rarest."""
        own, total = defaultdict(set), defaultdict(set)
        for event in self.events:
            total[event["n"]].add(event["a"])
        for event in self.harvest:
            own[event["n"]].add(event["a"])
        outside, population = self.others["networks"], self.others["accounts"]
        behind = {n: len(who) + outside.get(n, 0) for n, who in total.items() if n is not None}
        useful = {n for n in behind if len(own[n]) >= 2 and behind[n] - len(own[n]) <= 3.0 * len(own[n])}
        best: dict[int, float] = {}
        for n in useful:
            for a in own[n]:
                best[a] = max(best.get(a, 0.0), math.log2(population / max(behind[n], 1)))
        return best

    def signups(self) -> dict[str, float]:
        """Count the sign-ups in the accounts' densest two days, and those of others in the same days."""
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
        """Return an account's customer as the sender states it: the line of that customer's first account."""
        return int(self.accounts[account]["customer"])

    def refused_texts(self) -> dict[int, int]:
        """Count the refused texts of each account; its own repetitions within minutes count once."""
        return dict(Counter(run["a"] for run in self._runs if run["refused"]))

    def moved_texts(self) -> list[tuple[int, int]]:
        """List pairs: an account that was refused, and another customer that sent the text minutes later."""
        runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for run in self._runs:
            runs[run["q"]].append(run)
        begin_by_text = {text: [run["t"] for run in runs_of_text] for text, runs_of_text in runs.items()}
        moved = []
        for run in self._runs:
            if not run["refused"]:
                continue
            text, until_us = run["q"], run["asked"] + MOVED_WITHIN_US
            for k in range(bisect_right(begin_by_text[text], run["asked"]), len(begin_by_text[text])):
                other = runs[text][k]
                if other["t"] > until_us:
                    break
                if self.customer(other["a"]) != self.customer(run["a"]):
                    moved.append((run["a"], other["a"]))
                    break
        return moved

    @cached_property
    def _runs(self) -> list[dict[str, Any]]:
        """Runs in which an account repeats one text, in order of time; `asked`: time of the first refusal."""
        runs: list[dict[str, Any]] = []
        last: dict[tuple[int, str], tuple[int, dict[str, Any]]] = {}
        for event in self.events:  # in the log's order, which is by time
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
        """Return the numbers that the finding states for a reason."""
        return {reason["detector"]: numbers for reason, numbers in self.reasons()}[detector]

    def chance_of(self, positive: int, items: int, rate: float) -> float:
        """P(at least `positive` of `items`), each with the chance `rate` (binomial)."""
        if positive <= 0 or positive > items or not 0 < rate < 1:
            return float(positive <= 0 or (positive <= items and rate >= 1))
        mean, reach = items * rate, 40 * math.sqrt(max(items, 0) * rate * (1 - rate)) + 40
        first = max(positive, math.floor(mean - reach))
        last = max(positive, math.ceil(mean)) + math.ceil(reach)
        ways = (  # terms further from the mean add nothing to a float
            math.lgamma(items + 1) - math.lgamma(k + 1) - math.lgamma(items - k + 1)
            + k * math.log(rate) + (items - k) * math.log1p(-rate)
            for k in range(first, min(items, last) + 1)
        )  # fmt: skip
        return min(1.0, math.fsum(map(math.exp, ways)))

    def quantile(self, values: list[float], q: float) -> float:
        """Interpolate linearly between the two nearest values, as NumPy does by default."""
        values = sorted(values)
        position = (len(values) - 1) * q
        low = math.floor(position)
        high = min(low + 1, len(values) - 1)
        return values[low] + (values[high] - values[low]) * (position - low)


def mostly(events: list[Any], name: str) -> dict[int, Any]:
    """Return each account's commonest value; of equally common ones the smaller, a missing one first."""
    counts: dict[int, Counter[Any]] = defaultdict(Counter)
    for event in events:
        counts[event["a"]][event[name]] += 1
    return {account: _commonest(counts) for account, counts in counts.items()}


def _commonest(counts: Counter[Any]) -> Any:
    return min(counts, key=lambda value: (-counts[value], value is not None, value))


def tail(count: int, members: int, share: float, correlation: float) -> float:
    """P(at least `count` of `members` choose a value of this share), beta-binomial (Skellam 1948)."""
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
    smallest = min(p_values)
    if smallest < 1e-10:
        return min(1.0, smallest * len(p_values))
    angles = [math.tan((0.5 - min(max(p, 1e-15), 0.99)) * math.pi) for p in p_values]
    return 0.5 - math.atan(sum(angles) / len(angles)) / math.pi
