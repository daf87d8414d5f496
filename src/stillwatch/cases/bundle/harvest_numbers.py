"""Recounts the harvest, the similarity of its accounts, and the alarm's own test. Standard library only.

This file travels in each bundle, beside `recompute.py`.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from .bundle_events import HOUR_US, SETTINGS, OpenedBundle, combine, mostly, tail

REACTION = ("refused", "repeated", "taken_over", "p_value")  # of one account: see `reactions`
FLOOR = {"model": 0.03, "max_tokens": 0.08, "temperature_milli": 0.08}  # docs/evidence.md
CEILING = {"model": 0.08, "max_tokens": 0.15, "temperature_milli": 0.15}
SAME = {"same_model": "model", "same_token_limit": "max_tokens", "same_temperature": "temperature_milli"}
WINDOW_US = 120 * HOUR_US  # evaluation window
MOST_CARRIERS = 10_000_000  # more would take too long
SUMMED = ("t", "x", "c", "i", "o", "w", "r", "g", "k")
TOLD_APART = ("a", "m", "q", "h", "l", "y", "p", "u", "n")
Ties = Callable[[OpenedBundle], "list[float]"]  # returns the bits of each account that a clue ties


def count_harvest(e: OpenedBundle) -> dict[str, Any]:
    """Count the finding's harvest again."""
    hours: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    prompts: Counter[str] = Counter()
    value = value_at_alarm = 0.0
    for event in e.answered:
        tokens = max(event["o"] or 0, 0)
        hours[event["t"] // HOUR_US][0] += 1
        hours[event["t"] // HOUR_US][1] += tokens
        prompts[event["q"]] += 1
        own = tokens / prompts[event["q"]] if event["f"] not in (2, 3) else 0.0
        value, value_at_alarm = value + own, value_at_alarm + own * (event["t"] < e.alarm_us)
    before = [event for event in e.answered if event["t"] < e.alarm_us]
    return {
        "accounts": len(e.named),
        "exchanges": len(e.answered),
        "output_tokens": sum(max(event["o"] or 0, 0) for event in e.answered),
        "exchanges_at_alarm": len(before),
        "output_tokens_at_alarm": sum(max(event["o"] or 0, 0) for event in before),
        "value_tokens": round(value, 3),
        "value_tokens_at_alarm": round(value_at_alarm, 3),
        "unique_prompts": len(prompts),
        "unique_prompts_at_alarm": len({event["q"] for event in before}),
        "timeline": [[hour * HOUR_US, *hours[hour]] for hour in sorted(hours)],
    }


def conduct(e: OpenedBundle) -> dict[str, float]:
    """Compute the similarity of the accounts: tail probabilities at the smallest and largest correlation."""
    out: dict[str, float] = {}
    for scope, events in (
        ("harvest", e.harvest),
        ("at_alarm", [o for o in e.harvest if o["t"] < e.alarm_us]),
    ):
        low, high = [], []
        for name, key in SETTINGS.items():
            counts = Counter(mostly(events, key).values())
            others = e.others["mostly"][name]
            total = sum(n for _, n in others)
            if not counts or not total:
                continue
            value = min(counts, key=lambda v: (-counts[v], v is not None, v))
            share = (next((n for v, n in others if v == value), 0) + 0.5) / (total + 1)
            members = sum(counts.values())
            tries = min(8, len(others) + 1)
            low.append(min(1.0, tries * tail(counts[value], members, share, FLOOR[name])))
            high.append(min(1.0, tries * tail(counts[value], members, share, CEILING[name])))
            out[f"{scope}.{name}.count"], out[f"{scope}.{name}.of"] = counts[value], members
            out[f"{scope}.{name}.others"] = share
        if low:
            out[f"{scope}.p_least_correlation"] = combine(low)
            out[f"{scope}.p_most_correlation"] = combine(high)
    return out


def alarm_test(e: OpenedBundle) -> dict[str, float]:
    """Compute the alarm's p-value from its test's counts, and how many of those counts the events show.

    What the test counted is taken as stated. Recounted: parties among the accounts here (an organisation is
    one) that were harvesting in the five days before the alarm, and those of them that mostly used the value.
    """
    tested = e.more.get("tested", [])
    if not tested or impossible(tested, e.others["accounts"]):
        return {}
    p_values: dict[str, float] = {}
    out: dict[str, float] = {}
    counts = [dict(o, a=e.party(o["a"])) for o in e.harvest if e.alarm_us - WINDOW_US <= o["t"] < e.alarm_us]
    for row in tested:
        name, share = row["setting"], row["share"]
        chance = tail(row["count"], row["of"], share, row["correlation"]) if share < 1 else 1.0
        p_values[name] = min(1.0, row["tries"] * chance)
        settings = mostly(counts, SETTINGS[name]).values()
        out[f"tested.{name}.count_here"] = sum(value == row["value"] for value in settings)
        out[f"tested.{name}.of_here"] = len(settings)
    out["finding.p_value"] = combine(list(p_values.values()))
    detectors = {reason["detector"] for reason, _ in e.reasons()}
    bits = {"coordinated_harvest": max(out["finding.p_value"], 1e-300)}
    bits |= {clue: p_values[name] for clue, name in SAME.items() if name in p_values}
    for detector, p in bits.items():
        if detector in detectors:
            out[f"reason.{detector}.bits"] = round(min(40.0, -math.log2(p)), 3)
    return out


def impossible(tested: list[Any], accounts: int) -> list[str]:
    """Yield counts of a stated test that no scan could have made."""
    wrong = []
    for row in tested:
        name = row["setting"]
        numbers = [row[word] for word in ("count", "of", "tries")]
        if name not in SETTINGS or any(type(number) is not int for number in numbers):
            wrong.append(f"finding.json: tested {brief(name)}: is no setting with whole counts")
            continue
        for word, low, high in (
            ("of", 1, min(accounts, MOST_CARRIERS)),
            ("count", 1, row["of"]),
            ("tries", 1, 8),
            ("share", 0.001, 1.0),
            ("correlation", FLOOR[name], CEILING[name]),
        ):
            if not low <= row[word] <= high:
                value = brief(row[word])
                wrong.append(f"finding.json: tested {name}: {word} is {value}, and can be {low} to {high}")
    if len({row["setting"] for row in tested}) < len(tested):
        wrong.append("finding.json: a setting is tested twice")
    return wrong


def markers(e: OpenedBundle) -> dict[str, float]:
    """Count the wording that the accounts share and few others have, by kind, with the smallest p-value.

    Null: the accounts with a marker are a random draw from the log's accounts. The accounts were found by
    their wording, so these p-values are descriptions, not tests.
    """
    out: dict[str, float] = {}
    population, n = e.others["accounts"], len(e.named)
    for kind in ("p", "h", "l", "q", "y"):
        carried: dict[str, set[int]] = defaultdict(set)
        for event in e.harvest:
            value = event[kind]
            for token in (
                [value[k : k + 8] for k in range(0, len(value), 8)] if kind == "p" else [value] * bool(value)
            ):
                carried[token].add(event["a"])
        outside = e.others["markers"][kind]
        own_counts = {
            t: who for t, who in carried.items() if len(who) >= 3 and outside.get(t, 0) <= len(who) * 2 / 3
        }
        if not own_counts:
            continue
        tied = {a for who in own_counts.values() for a in who}
        best = min(
            _overlap(len(who), len(who) + outside.get(t, 0), n, population) for t, who in own_counts.items()
        )
        out[f"{kind}.markers"], out[f"{kind}.accounts_tied"] = len(own_counts), len(tied)
        out[f"{kind}.median_accounts"] = statistics.median(len(who) for who in own_counts.values())
        out[f"{kind}.best_log10_p_corrected"] = min(0.0, best + math.log10(len(carried)))
    return out


def _overlap(m: int, matching: int, n: int, whole: int) -> float:
    """log10 P(at least m of n drawn accounts have what `matching` of all have): hypergeometric."""

    def ways(a: int, b: int) -> float:
        return math.lgamma(a + 1) - math.lgamma(b + 1) - math.lgamma(a - b + 1)

    last = min(n, matching)
    terms = [
        ways(matching, x) + ways(whole - matching, n - x) - ways(whole, n)
        for x in range(m, last + 1)
        if n - x <= whole - matching
    ]
    if not terms:
        return 0.0
    top = max(terms)
    return min(0.0, (top + math.log(sum(math.exp(t - top) for t in terms))) / math.log(10))


def links(e: OpenedBundle, ties: Mapping[str, Ties]) -> dict[str, float]:
    """Count the accounts that each clue ties to the rest, with the most bits of any account."""
    out: dict[str, float] = {}
    detectors = {reason["detector"] for reason, _ in e.reasons()}
    for clue in sorted(detectors & set(ties)):
        bits = ties[clue](e)
        out[f"{clue}.accounts"], out[f"{clue}.most_bits"] = len(bits), round(max(bits, default=0.0), 3)
        out[f"{clue}.total_bits"] = round(sum(round(one, 3) for one in bits), 3)
    return out


def reactions(e: OpenedBundle) -> dict[str, float]:
    """Count each account's refused texts, those that moved, those it took over; return its own p-value.

    If the tested group had other accounts than the finding, what moved is taken as stated.
    """
    tested = next((numbers for reason, numbers in e.reasons() if reason["detector"] == "failover"), None)
    if tested is None or tested["baseline"] is None:  # an older scan did not state the rate
        return {}
    refused, moves = e.refused_texts(), e.moved_texts()
    moved, moved_to = Counter(a for a, _ in moves), Counter(a for _, a in moves)
    place = {row["account"]: k for k, row in enumerate(e.accounts)}
    is_same_group = sum(refused.values()) == tested["n"]
    out: dict[str, float] = {}
    for k, name in enumerate(sorted(e.more["own_reactions"])):
        a = place[name]
        refusals = refused.get(a, 0)
        parts = (moved[a], moved_to[a]) if is_same_group else e.more["own_reactions"][name][1:3]
        tails = (
            e.chance_of(parts[0], refusals, tested["baseline"]),
            e.chance_of(parts[1], max(0, tested["n"] - refusals), tested["baseline"]),
        )
        out |= {f"{k}.refused": refusals, f"{k}.p_value": min(1.0, 2 * min(tails))}
        if is_same_group:
            out |= {f"{k}.repeated": parts[0], f"{k}.taken_over": parts[1]}
    return out


def totals(bundle: Any) -> dict[str, Any]:
    """Return control totals of every column of the events and the accounts, to detect any change."""
    out: dict[str, Any] = {}
    events, accounts = bundle.lines("events.ndjson"), bundle.lines("accounts.ndjson")
    for name in SUMMED:
        out[f"events.{name}"] = sum(row[name] or 0 for row in events)
    for name in TOLD_APART:
        out[f"events.{name}"] = len({row[name] for row in events})
    for name in ("s", "f"):
        counts = Counter(str(row[name]) for row in events)
        out[f"events.{name}"] = dict(sorted(counts.items()))
    for name in ("since_us", "named_us", "created_us"):
        out[f"accounts.{name}"] = sum(row[name] or 0 for row in accounts)
    for name in ("account", "org", "payment", "customer"):
        out[f"accounts.{name}"] = len({row[name] for row in accounts})
    out["accounts.verdict"] = dict(sorted(Counter(str(row["verdict"]) for row in accounts).items()))
    return out


def brief(value: Any) -> str:
    """Return a value in a few characters, for a sentence."""
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value)[:60]
