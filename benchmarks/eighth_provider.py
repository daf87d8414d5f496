# ruff: noqa: E501 - each wording is one line
"""The provider of the eighth author's world: whom it refuses, and how clients and people react.

The rules are in eighth_author.md.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from heapq import heapify, heappop, heappush

import numpy as np

from fifth_author import ChangingLog, phrase
from fourth_author import BEGIN, DAYS, MINUTE, Account, choose, moment, move_to
from selves import keyed

NEW_MODEL, LAUNCH_DAY = "vesper-4", 6.4
PER_MINUTE, FREE_PER_DAY = {"free": 3, "payg": 12, "scale": 40}, 50
OUTAGES = (
    (2.55, 2.55 + 70 * MINUTE, 0.8),
    (7.4, 7.4 + 30 * MINUTE, 0.8),
    (11.35, 11.35 + 180 * MINUTE, 0.4),
)  # first day, last day, share refused
OVERLOADS = ((3.4, 3.9, 0.08), (9.1, 10.0, 0.06), (12.5, 12.8, 0.1))


@dataclass(frozen=True)
class Troubles:
    """Whom the provider refuses, and when. Shares are of requests, days of the log."""

    per_minute: Mapping[str, int] = field(default_factory=lambda: PER_MINUTE)
    free_per_day: int = FREE_PER_DAY
    outages: tuple[tuple[float, float, float], ...] = OUTAGES
    overloads: tuple[tuple[float, float, float], ...] = OVERLOADS
    busy: float = 0.008
    rush: float = 0.03  # on weekdays, 13 to 18 h UTC
    launch_day: float = LAUNCH_DAY
    launch: float = 0.15  # the new model in its first two days
    again: float = 0.4  # least share of quick retries after an overload
    errors: float = 0.004
    models: tuple[str, str, str] = (NEW_MODEL, "vesper-3-mini", "vesper-3")  # new, small, usual


EIGHTH = Troubles()
# a paraphrasing campaign's preface to its texts, a choice from each part
# fmt: off
LEADS = {
    "paraphrase": (("Here is a task.", "Consider the following.", "This came up today.", "One more piece of work.", "Look at this."), ("Solve it fully,", "Work it out in detail,", "Answer with all reasons,", "Deal with it as a specialist,", "Take it apart,"), ("nothing left out.", "step after step.", "as for a textbook.", "with the doubts on the way.", "and say why.")),
    "masked_half": (("A reader wants to know.", "Question of the day.", "From the quiz box:", "Somebody asked me this.", "For the next lesson:"), ("Say yes or no first;", "Check the passage line by line;", "Find the sentence that decides;", "Argue both sides;", "Weigh what is written;"), ("then the grounds.", "then how sure you are.", "quote what matters.", "and name what is missing.", "in your own order.")),
}
# fmt: on


class VesperLog(ChangingLog):
    """The log of this world's provider."""

    retired, retired_day, heir = "vesper-2", 10.2, "vesper-3-mini"
    reasoning_model = "vesper-3-think"


@dataclass(frozen=True)
class Reaction:
    """The reaction of a client and its people to a refusal. Shares are of what the client's own retries leave."""

    tries: int = 2  # retries by the client itself, seconds later
    away: float = 0.0  # asked again at another account of the group
    minutes: float = 5.0  # until then, the median
    own: float = 0.3  # asked again at the same account
    wait: float = 8.0  # minutes until then, the median
    reword: float = 0.0  # of what is asked again, in other words
    lower: float = 0.0  # of what is asked again at the same account, with the small model
    heirs: float = 0.0  # share of an account's work after its ban that is sent elsewhere at once
    carries: bool = False  # the request keeps its settings at another account


def reworded(rng: np.random.Generator, prompt: str, style: str | None) -> str:
    """Return the same wish in other words: with a new lead, or retyped."""
    if style in LEADS and "\n" in prompt:
        return f"{phrase(rng, *LEADS[style])}\n{prompt.split(chr(10), 1)[1]}"
    words = [word for word in prompt.split(" ") if rng.random() > 0.07] or [prompt]
    head = choose(rng, ("", "again: ", "please, ", "once more, ", "hi, "))
    return head + " ".join(words).rstrip(".?!")


def banned(one: Account, day: float) -> bool:
    first, last = one.state.get("ban", (DAYS, DAYS))
    return first <= day < last


def refusal(
    rng: np.random.Generator,
    day: float,
    row: dict,
    one: Account,
    minute: int,
    today: int,
    tries: int,
    troubles: Troubles,
) -> int:
    """Return the status of this request: 200, or why it is refused."""
    if banned(one, day):
        return 403
    if minute >= troubles.per_minute[one.tier] or (one.tier == "free" and today >= troubles.free_per_day):
        return 429
    if any(first <= day <= last and rng.random() < share for first, last, share in troubles.outages):
        return 503
    rush = int(day) % 7 < 5 and 0.54 < day % 1 < 0.75
    busy = max(
        [troubles.rush if rush else troubles.busy]
        + [share for first, last, share in troubles.overloads if first <= day <= last]
    )
    if row["model"] == troubles.models[0] and day < troubles.launch_day + 2:
        busy = max(busy, troubles.launch)
    if rng.random() < (
        max(busy, troubles.again) if tries else busy
    ):  # clients give up before an overload ends
        return 529
    return 500 if rng.random() < troubles.errors else 200


def refuse(
    log: VesperLog,
    accounts: Mapping[str, Account],
    reacts: Mapping[str, tuple[str, Reaction]],
    troubles: Troubles = EIGHTH,
) -> dict[str, Counter[str]]:
    """Let the provider refuse in order of time, and everybody react. Return counts of reactions by kind.

    `reacts` names each account's group, to which it may hand work, and its reaction.
    """
    pools: dict[str, list[str]] = defaultdict(list)
    for name, (pool, _) in reacts.items():
        pools[pool].append(name)
    latest = {row["account"]: dict(row) for row in log.rows}
    heap = [(row["time"], at, row, 0, 0) for at, row in enumerate(log.rows)]
    heapify(heap)
    recent: dict[str, deque] = defaultdict(deque)
    today: Counter = Counter()
    strikes: Counter[str] = Counter()
    done: dict[str, Counter[str]] = defaultdict(Counter)
    kept, serial = [], len(heap)
    while heap:
        when, _, row, tries, handed = heappop(heap)
        one, day = accounts[row["account"]], (when - BEGIN) / timedelta(days=1)
        pool, reaction = reacts[one.name]
        rng, count = (
            np.random.default_rng(keyed("refusal", row["exchange_id"])),
            done[one.campaign or one.kind],
        )
        alive = (
            name
            for name in pools[pool]
            if name != one.name and accounts[name].start <= day <= accounts[name].end
        )
        others = [name for name in alive if not (banned(accounts[name], day) and strikes[name])]
        again = dict(row)
        if banned(one, day) and strikes[one.name] >= 1 + keyed("patience", one.name) % 5:
            if not others or rng.random() >= reaction.heirs:
                count["given up after a ban"] += 1
                continue
            move_on(rng, again, accounts[choose(rng, others)], latest, reaction.carries, troubles)
            count["elsewhere after a ban"] += 1
            delay, tries = 0.0, 0
        else:
            kept.append(row)
            times = recent[one.name]
            while times and when - times[0] > timedelta(minutes=1):
                times.popleft()
            status = refusal(rng, day, row, one, len(times), today[one.name, int(day)], tries, troubles)
            if status == 200:
                times.append(when)
                today[one.name, int(day)] += 1
                continue
            row.update(status=status, output_tokens=0, reasoning_tokens=0, finish_reason=None, latency_ms=180)
            count["refused"] += 1
            strikes[one.name] += status == 403
            draw, waits = rng.random(), status == 429
            if status != 403 and tries < reaction.tries:
                delay = rng.uniform(8, 60) / 60 if waits else 2**tries * rng.uniform(0.4, 1.2) / 60
                tries += 1
                count["retried by the client"] += 1
            elif draw < reaction.away and others and handed < 4:
                move_on(rng, again, accounts[choose(rng, others)], latest, reaction.carries, troubles)
                delay, tries, handed = reaction.minutes * float(rng.lognormal(0, 0.7)), 0, handed + 1
                count["at another account"] += 1
            elif draw < reaction.away + reaction.own and status != 403 and handed < 4:
                delay, tries, handed = reaction.wait * float(rng.lognormal(0, 0.8)), 0, handed + 1
                if rng.random() < reaction.lower:
                    again["model"] = troubles.models[1]
                count["later at its own"] += 1
            else:
                count["given up"] += 1
                continue
            if not tries and rng.random() < reaction.reword:
                again["prompt"] = reworded(rng, row["prompt"], one.style)
                count["in other words"] += 1
        again["time"] = when + timedelta(minutes=float(delay))
        if again["time"] >= moment(log.days):
            continue
        again["exchange_id"] = f"req_{keyed('again', row['exchange_id']):016x}"[:18]
        if row["exchange_id"] in log.labels:
            log.labels[again["exchange_id"]] = log.labels[row["exchange_id"]]
        serial += 1
        heappush(heap, (again["time"], serial, again, tries, handed))
    log.rows = kept
    return done


def move_on(
    rng: np.random.Generator,
    row: dict,
    other: Account,
    latest: Mapping[str, dict],
    carries: bool,
    troubles: Troubles,
) -> None:
    """Let another account send this row, with its own settings unless the request carries them."""
    move_to(rng, row, other, {other.name: row} if carries else latest)
    new, _, usual = troubles.models
    if row["model"] == new and row["time"] < moment(troubles.launch_day):
        row["model"] = usual
