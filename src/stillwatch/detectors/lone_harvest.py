"""Volume and coverage by one payer: heavy use with none of the marks that honest heavy use leaves.

Each time a payer's traffic of five days reaches another step, its traits are taken. A trait's weight is how
rare it is among the log's other heavy payers, in bits; honest heavy users have several, hardly ever all.

Null: the payer is one more of the log's heavy payers; its rank among them is the p-value, 1/(n+1) at best.
Blind to: a harvest below the first step, one spread over payers (see coordinated harvest), one that imitates
    an application: end users, follow-ups, tools, a fixed schedule.
Fooled by: a large one-off job of a private person (a migration, a personal archive) that runs day and night.
Source: docs/field.md, signals 7, 9, 10, 12 and 17 (Anthropic 2026-02; Google 2026-02); the bar of 10.5 bits
    was set on the development scenes, see docs/evidence.md.
"""

# mypy: allow-untyped-defs

from dataclasses import dataclass

import numpy as np
from numba import njit

from stillwatch.exchanges.log import ExchangeLog
from stillwatch.stats.arrays import put_in_order
from stillwatch.units import HOUR_US

NAME = "lone_harvest"
STEPS = (300, 450, 675, 1000, 1500, 2250, 3400, 5000, 10_000)  # exchanges within the window
WINDOW_US = 5 * 86_400_000_000
LEAST_SPAN_H = 8  # hours: shorter, and any burst is even and in every hour
LEAST_BITS = 10.5
LEAST_PEERS = 10  # heavy payers needed before rarity means anything
HARVEST_CLASSES = 0b1011  # trace elicitation, rubric grading, task generation


@dataclass(frozen=True)
class Trait:
    name: str
    text: str  # completes "this payer ..."


TRAITS = (
    Trait("private", "is no organisation and holds no permission"),
    Trait("sudden", "had hardly any traffic before"),
    Trait("one model", "uses one model for at least 90 % of it"),
    Trait("never repeats", "never sends a prompt twice, nor one that others sent"),
    Trait("every hour", "is there in nearly every hour since it began"),
    Trait("unmarked", "shows no end users, follow-ups, tools, JSON or zero temperature"),
    Trait("even pace", "paces its requests more evenly than people and batches do"),
    Trait("no template", "has no opening, ending or system text of its own"),
    Trait("harvest wording", "mostly asks for reasoning traces, gradings or new tasks"),
)
PRIVATE, NEVER_REPEATS, UNMARKED = 0, 3, 5  # without these three it is no lone harvest, whatever else is rare


@dataclass(frozen=True)
class Sighting:
    """A payer at one step."""

    payer: int
    at_us: int
    exchanges: int
    traits: tuple[bool, ...]
    bits: tuple[float, ...]  # per trait, 0 where absent
    p_value: float
    peers: int

    @property
    def total_bits(self) -> float:
        return float(sum(self.bits))

    @property
    def text(self) -> str:
        """The sighting as a sentence, the rarest trait first."""
        held = sorted(zip(self.bits, TRAITS, self.traits, strict=True), key=lambda t: -t[0])
        told = "; ".join(f"{trait.text} ({bits:.1f} bits)" for bits, trait, has in held if has)
        return (
            f"after {self.exchanges:,} exchanges within five days this payer {told}. It ranks "
            f"{round(self.p_value * (self.peers + 1))} of {self.peers + 1} heavy payers"
        )


def sightings(
    log: ExchangeLog,
    payer: np.ndarray,
    private: np.ndarray,
    least_bits: float = LEAST_BITS,
    least_peers: int = LEAST_PEERS,
) -> list[Sighting]:
    """Every payer's first step at which it stands out, in time order; each judged by what came before it.

    payer: (exchanges,) int32; private: (payers,) bool, no organisation and no permission for such use;
    least_bits, least_peers: how rare its traits must be together, and among how many other heavy payers.
    """
    order = np.argsort(payer, kind="stable").astype(np.int64)
    begin = np.zeros(len(private) + 1, np.int64)
    np.cumsum(np.bincount(payer, minlength=len(private)), out=begin[1:])
    marked = (
        (log["end_user"] != 0)
        | (log["turn"] > 1)
        | (log["tools"] > 0)
        | (log["json_format"] > 0)
        | (log["temperature_milli"] == 0)
    )
    harvest = (log["classes"] & HARVEST_CLASSES) != 0
    who, at, seen, values = _steps(
        order,
        begin,
        log["ts_us"],
        log["model"],
        log["exact"],
        log["head"],
        log["tail"],
        log["system"],
        _sent_by_others(log["exact"], payer),
        marked,
        harvest,
        np.array(STEPS, np.int64),
        WINDOW_US,
    )
    traits = _traits(values, private[who], at - log["ts_us"][0] if len(at) else at)
    return _standing_out(who, at, seen, traits, least_bits, least_peers)


def _standing_out(
    who: np.ndarray,
    at: np.ndarray,
    seen: np.ndarray,
    traits: np.ndarray,
    least_bits: float,
    least_peers: int,
) -> list[Sighting]:
    """Walk the steps in time; weigh each against the latest step of every other payer so far."""
    found: list[Sighting] = []
    latest: dict[int, int] = {}
    totals: dict[int, float] = {}
    named: set[int] = set()
    count = np.zeros(len(TRAITS))
    for k in np.lexsort((who, at)):
        p = int(who[k])
        if p in latest:
            count -= traits[latest[p]]
        peers = len(latest) - (p in latest)
        rarity = np.log2((peers + 2) / (count + 1))
        bits = np.where(traits[k], rarity, 0.0)
        needed = traits[k][[PRIVATE, NEVER_REPEATS, UNMARKED]].all()
        if needed and p not in named and peers >= least_peers and bits.sum() >= least_bits:
            above = sum(other != p and total >= bits.sum() for other, total in totals.items())
            value = float((1 + above) / (peers + 1))
            found.append(
                Sighting(
                    p,
                    int(at[k]),
                    int(seen[k]),
                    tuple(map(bool, traits[k])),
                    tuple(map(float, bits)),
                    value,
                    peers,
                )
            )
            named.add(p)
        latest[p] = k
        totals[p] = float(bits.sum())
        count += traits[k]
    return found


def _traits(values: np.ndarray, private: np.ndarray, age_us: np.ndarray) -> np.ndarray:
    """(steps, traits) bool from (steps, 9) measured shares."""
    earlier, model, distinct, others, hours, span_h, pace, template, marked, harvest = values.T
    old_enough = age_us >= 3 * 24 * HOUR_US
    return np.stack(
        [
            private,
            old_enough & (earlier <= 0.1),
            model >= 0.9,
            (distinct >= 0.99) & (others <= 0.01),
            (hours >= 0.95) & (span_h >= LEAST_SPAN_H),
            marked <= 0.05,
            (pace <= 1.1) & (span_h >= LEAST_SPAN_H),
            template <= 0.2,
            harvest >= 0.5,
        ],
        axis=1,
    )


def _sent_by_others(exact: np.ndarray, payer: np.ndarray) -> np.ndarray:
    """Whether another payer sent the same prompt earlier (rows are in time order)."""
    order = np.argsort(exact, kind="stable")
    e, p = exact[order], payer[order]
    starts = np.r_[True, e[1:] != e[:-1]] if len(e) else np.zeros(0, bool)
    first_payer = p[np.maximum.accumulate(np.where(starts, np.arange(len(e)), 0))] if len(e) else p
    out = np.zeros(len(e), bool)
    out[order] = (p != first_payer) & (e != 0)
    return out


@njit(cache=True, nogil=True)
def _top_share(ordered):
    put_in_order(ordered)
    best = 0
    run = 0
    for k in range(len(ordered)):
        run = run + 1 if k and ordered[k] == ordered[k - 1] else 1
        if ordered[k] != 0 and run > best:
            best = run
    return best / len(ordered)


@njit(cache=True, nogil=True)
def _steps(order, begin, ts, model, exact, head, tail, system, others, marked, harvest, steps, window):
    payers = len(begin) - 1
    room = 0
    for p in range(payers):
        if begin[p + 1] - begin[p] >= steps[0]:
            room += len(steps)
    who = np.empty(room, np.int32)
    at = np.empty(room, np.int64)
    seen = np.empty(room, np.int64)
    values = np.empty((room, 10))
    k = 0
    for p in range(payers):
        if begin[p + 1] - begin[p] < steps[0]:
            continue
        lo = begin[p]
        step = 0
        for j in range(begin[p], begin[p + 1]):
            now = ts[order[j]]
            while ts[order[lo]] < now - window:
                lo += 1
            n = j - lo + 1
            if step == len(steps) or n < steps[step]:
                continue
            while step < len(steps) and n >= steps[step]:
                step += 1
            rows = order[lo : j + 1]
            who[k] = p
            at[k] = now
            seen[k] = n
            hours = 0
            previous = np.int64(-1)
            total = 0.0
            squares = 0.0
            marks = 0
            wanted = 0
            known = 0
            codes = np.empty(n, np.uint64)
            for q in range(n):
                r = rows[q]
                h = ts[r] // 3_600_000_000
                if h != previous:
                    hours += 1
                    previous = h
                if q:
                    gap = (ts[r] - ts[rows[q - 1]]) / 1e6
                    total += gap
                    squares += gap * gap
                marks += marked[r]
                wanted += harvest[r]
                known += others[r]
                codes[q] = np.uint64(model[r] + 1)
            span = (now - ts[rows[0]]) / 3_600_000_000.0
            mean = total / (n - 1)
            spread = np.sqrt(max(squares / (n - 1) - mean * mean, 0.0))
            distinct = exact[rows]
            put_in_order(distinct)
            different = 1
            for q in range(1, n):
                different += distinct[q] != distinct[q - 1]
            values[k, 0] = (lo - begin[p]) / (j - begin[p] + 1)
            values[k, 1] = _top_share(codes)
            values[k, 2] = different / n
            values[k, 3] = known / n
            values[k, 4] = hours / max(span, 1.0)
            values[k, 5] = span
            values[k, 6] = spread / mean if mean > 0 else 0.0
            values[k, 7] = max(_top_share(head[rows]), _top_share(tail[rows]), _top_share(system[rows]))
            values[k, 8] = marks / n
            values[k, 9] = wanted / n
            k += 1
    return who[:k].copy(), at[:k].copy(), seen[:k].copy(), values[:k].copy()
