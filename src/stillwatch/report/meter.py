"""The harvest meter: the amount taken, beside the sizes of published data sets that sufficed for training.

Blind to: the content of the exchanges. A size that sufficed elsewhere shows what is possible, not what was
done.
"""

from dataclasses import dataclass

from stillwatch.report.amounts import short
from stillwatch.report.chart import on_log
from stillwatch.scan.milestones import MILESTONES
from stillwatch.scan.real_student import cite_curve

FROM = 100.0  # the scale's left end, in exchanges
TO = 2_500_000.0  # and its right end, unless the harvest is larger


@dataclass(frozen=True)
class Tick:
    x: float  # percent of the width
    label: str
    name: str
    passed: bool


@dataclass(frozen=True)
class Meter:
    """Positions in percent of the width, on a logarithmic scale."""

    total_x: float
    alarm_x: float
    alarm_anchor: str
    ticks: tuple[Tick, ...]
    sentence: str
    curve: str  # what as many samples gave a small student of ours, with its limits


def _place(exchanges: float, end: float) -> float:
    return round(on_log(exchanges, FROM, end), 2)


def split_milestone(milestone: str | None) -> str | None:
    """Return a campaign's next milestone as the beginning of a sentence and its rest.

    >>> split_milestone("stopped on 2026-03-13 07:10 UTC, before 17,000 (Sky-T1)")
    'It stopped on 2026-03-13 07:10 UTC, before 17,000 (Sky-T1)'
    >>> split_milestone("17,000 exchanges (Sky-T1) on 2026-03-18 at the pace of its last day")
    'If it goes on: 17,000 exchanges (Sky-T1) on 2026-03-18 at the pace of its last day'
    """
    if milestone is None:
        return None
    return f"It {milestone}" if milestone.startswith("stopped") else f"If it goes on: {milestone}"


def meter(total: int, at_alarm: int) -> Meter:
    """Place a harvest among the published sizes.

    >>> meter(17_000, 240).sentence
    'Past 1 k (s1K) and 17 k (Sky-T1); the next size is 52 k (Alpaca).'
    """
    end = max(TO, total * 1.6)
    ticks = tuple(
        Tick(_place(m.exchanges, end), short(m.exchanges), m.name, total >= m.exchanges) for m in MILESTONES
    )
    passed = [f"{t.label} ({t.name})" for t in ticks if t.passed]
    next_sizes = [f"{t.label} ({t.name})" for t in ticks if not t.passed]
    if passed:
        listed = passed[0] if len(passed) == 1 else f"{', '.join(passed[:-1])} and {passed[-1]}"
        sentence = f"Past {listed}"
        sentence += f"; the next size is {next_sizes[0]}." if next_sizes else ": every published size here."
    else:
        sentence = f"Below every published size; the first is {next_sizes[0]}."
    alarm_x = _place(at_alarm, end)
    anchor = "start" if alarm_x < 65 else "end"
    return Meter(_place(total, end), alarm_x, anchor, ticks, sentence, cite_curve(total))
