"""Volume and coverage by one payer: heavy use with none of the marks that honest heavy use leaves.

The traits of a payer are measured each time its traffic of five days reaches another step. A trait's weight
is its rarity among the log's other heavy payers, in bits; honest heavy users have several, hardly ever all.

Null: the payer is one more of the log's heavy payers; its rank among them is the p-value, 1/(n+1) at best.
Blind to: a harvest below the first step, one spread over payers (see coordinated harvest), one that imitates
    an application: end users, follow-ups, tools, a fixed schedule.
Fooled by: a large one-off job of a private person (a migration, a personal archive) that runs day and night.
Source: docs/field.md, signals 7, 9, 10, 12 and 17 (Anthropic 2026-02; Google 2026-02); the bar of 10.5 bits
    was set on the development scenes, see docs/evidence.md.
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.stats.dealing import deal, run_starts
from stillwatch.units import DAY_US, HOUR_US

NAME = "lone_harvest"
STEPS = (300, 450, 675, 1000, 1500, 2250, 3400, 5000, 10_000)  # exchanges within the window
WINDOW_US = 5 * DAY_US
LEAST_SPAN_H = 8  # hours: in a shorter span any burst is even and in every hour
LEAST_BITS = 10.5
LEAST_PEERS = 10  # heavy payers needed for rarity to have a meaning
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
PRIVATE, NEVER_REPEATS, UNMARKED = 0, 3, 5  # without these it is no lone harvest, whatever else is rare


@dataclass(frozen=True)
class Sighting:
    """A payer at one step."""

    payer: int
    at_us: int
    exchanges: int
    traits: tuple[bool, ...]
    bits: tuple[float, ...]  # per trait, 0 if absent
    p_value: float
    peers: int

    @property
    def total_bits(self) -> float:
        return float(sum(self.bits))

    @property
    def text(self) -> str:
        """Describe the sighting in a sentence, the rarest trait first."""
        held = sorted(zip(self.bits, TRAITS, self.traits, strict=True), key=lambda t: -t[0])
        traits = "; ".join(f"{trait.text} ({bits:.1f} bits)" for bits, trait, has in held if has)
        return (
            f"after {self.exchanges:,} exchanges within five days this payer {traits}. It ranks "
            f"{round(self.p_value * (self.peers + 1))} of {self.peers + 1} heavy payers"
        )


def sightings(
    log: ExchangeLog,
    payer: np.ndarray,
    private: np.ndarray,
    least_bits: float = LEAST_BITS,
    least_peers: int = LEAST_PEERS,
) -> list[Sighting]:
    """Return every payer's first step at which it stands out, in time order, by earlier data only.

    payer: (exchanges,) int32; private: (payers,) bool, no organisation and no permission for such use;
    least_bits: how rare its traits must be together; least_peers: among how many other heavy payers.
    """
    begin, order = deal(payer, len(private))
    marked = (
        (log["end_user"] != 0)
        | (log["turn"] > 1)
        | (log["tools"] > 0)
        | (log["json_format"] > 0)
        | (log["temperature_milli"] == 0)
    )
    harvest = (log["classes"] & HARVEST_CLASSES) != 0
    columns = (log[name] for name in ("ts_us", "model", "exact", "head", "tail", "system"))
    # for each step: the payer, when, exchanges in the window, (steps, 10) measured shares
    counts, steps = np.diff(begin), np.array(STEPS, np.int64)
    capacity = int(np.sum(counts >= steps[0])) * len(steps)
    who, at, seen = np.empty(capacity, np.int32), np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    values, ordered = np.empty((capacity, 10)), np.empty(int(counts.max(initial=0)), np.uint64)
    n = kernels.steps(
        *(
            order,
            begin,
            len(counts),
            *columns,
            _sent_by_others(log["exact"], payer),
            marked,
            harvest,
        ),
        *(steps, len(steps), WINDOW_US, ordered, who, at, seen, values),
    )
    who, at, seen, values = who[:n], at[:n], seen[:n], values[:n]
    traits = _traits(values, private[who], at - log["ts_us"][0] if len(at) else at)
    return _standing_out(who, at, seen, traits, least_bits, least_peers)


def _standing_out(
    who: np.ndarray, at: np.ndarray, seen: np.ndarray, traits: np.ndarray, least_bits: float, least_peers: int
) -> list[Sighting]:
    """Go through the steps in time; weigh each against the latest step of every other payer so far."""
    first_sightings: list[Sighting] = []
    latest: dict[int, int] = {}
    totals: dict[int, float] = {}
    reported: set[int] = set()
    count = np.zeros(len(TRAITS))
    for k in np.lexsort((who, at)):
        p = int(who[k])
        if p in latest:
            count -= traits[latest[p]]
        peers = len(latest) - (p in latest)
        rarity = np.log2((peers + 2) / (count + 1))
        bits = np.where(traits[k], rarity, 0.0)
        needed = traits[k][[PRIVATE, NEVER_REPEATS, UNMARKED]].all()
        if needed and p not in reported and peers >= least_peers and bits.sum() >= least_bits:
            above = sum(other != p and total >= bits.sum() for other, total in totals.items())
            value = float((1 + above) / (peers + 1))
            held = tuple(map(bool, traits[k]))
            sighting = Sighting(p, int(at[k]), int(seen[k]), held, tuple(map(float, bits)), value, peers)
            first_sightings.append(sighting)
            reported.add(p)
        latest[p] = k
        totals[p] = float(bits.sum())
        count += traits[k]
    return first_sightings


def _traits(values: np.ndarray, private: np.ndarray, age_us: np.ndarray) -> np.ndarray:
    """(steps, traits) bool from (steps, 10) measured shares."""
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
    """Return whether another payer sent the same prompt earlier (rows are in time order)."""
    order = np.argsort(exact, kind="stable").astype(np.int32)
    starts = run_starts(exact[order])
    text, sender = np.cumsum(starts, dtype=np.int32) - np.int32(1), payer[order]
    sent = np.zeros(len(exact), bool)
    sent[order] = sender != sender[starts][text]
    sent &= exact != 0
    return sent
