"""The timeline: exchanges per hour, with the alarm and the log's gaps."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stillwatch.scan import Campaign, Gap, Hour, ScanTotals

BARS = 336  # two weeks of hours; in longer logs a bar covers several hours
HEIGHT = 100  # units of the bars' own drawing
DAYS_SHOWN = 62  # in the table under the chart
_WHOLE_LOG = timedelta(days=31)  # for a longer log only the campaign's own span is shown
_STEPS_H = (1, 2, 3, 6, 12, 24, 48, 168, 336, 672, 2160, 8760)


@dataclass(frozen=True)
class TickMark:
    x: float  # percent of the width
    label: str
    minor: bool = False  # omitted on narrow screens


@dataclass(frozen=True)
class Shade:
    x: float
    width: float
    label: str


@dataclass(frozen=True)
class Day:
    label: str
    exchanges: int
    output_tokens: int


@dataclass(frozen=True)
class Timeline:
    """`before` and `after` are SVG paths in a box of `bars` by 100."""

    bars: int
    step_h: int
    before: str
    after: str
    peak: int
    peak_at: datetime
    alarm: TickMark
    alarm_anchor: str
    days: tuple[TickMark, ...]
    gaps: tuple[Shade, ...]
    table: tuple[Day, ...]
    table_left_out: int


def _floor(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _span(campaign: Campaign, scanned: ScanTotals) -> tuple[datetime, datetime]:
    times = [h.start for h in campaign.timeline] + [campaign.alarm_at]
    start, end = _floor(min(times)), _floor(max(times)) + timedelta(hours=1)
    if scanned.first and scanned.last and scanned.last - scanned.first <= _WHOLE_LOG:
        return min(start, _floor(scanned.first)), max(end, _floor(scanned.last) + timedelta(hours=1))
    pad = max(timedelta(hours=2), (end - start) // 10)
    return _floor(start - pad), _floor(end + pad)


def _path(counts: list[int], peak: int, chosen: range) -> str:
    parts = []
    for i in chosen:
        if counts[i]:
            high = max(1, round(HEIGHT * counts[i] / peak))
            parts.append(f"M{i} {HEIGHT}v-{high}h.85v{high}z")
    return "".join(parts)


def _day_marks(start: datetime, end: datetime) -> tuple[TickMark, ...]:
    seconds = (end - start).total_seconds()
    midnight = start.replace(hour=0) + timedelta(days=0 if start.hour == 0 else 1)
    step = max(1, -(-(end - start).days // 8))
    marks: list[TickMark] = []
    while midnight < end:
        x = round(100 * (midnight - start).total_seconds() / seconds, 2)
        if x <= 94:
            marks.append(TickMark(x, f"{midnight.day} {midnight:%b}", minor=len(marks) % 2 == 1))
        midnight += timedelta(days=step)
    return tuple(marks)


def _days(hours: tuple[Hour, ...]) -> list[Day]:
    sums: dict[str, list[int]] = {}
    for h in sorted(hours, key=lambda h: h.start):
        row = sums.setdefault(h.start.astimezone(UTC).strftime("%Y-%m-%d"), [0, 0])
        row[0] += h.exchanges
        row[1] += h.output_tokens
    return [Day(name, exchanges, tokens) for name, (exchanges, tokens) in sums.items()]


def timeline(campaign: Campaign, scanned: ScanTotals, gaps: tuple[Gap, ...] = ()) -> Timeline:
    """Draw a campaign's hours over the log's span (its own span if the log is longer than a month)."""
    start, end = _span(campaign, scanned)
    hours = int((end - start).total_seconds()) // 3600
    step = next((s for s in _STEPS_H if hours <= s * BARS), -(-hours // BARS))
    bars = -(-hours // step)
    counts = [0] * bars
    for h in campaign.timeline:
        counts[int((h.start - start).total_seconds() // 3600) // step] += h.exchanges
    peak = max(max(counts), 1)
    span = timedelta(hours=bars * step)
    alarm_x = round(100 * (campaign.alarm_at - start) / span, 2)
    split = min(bars, int((campaign.alarm_at - start) / timedelta(hours=step)))
    shades = []
    for gap in gaps:
        first, last = max(gap.start, start), min(gap.end, end)
        if first < last:
            left, width = round(100 * (first - start) / span, 2), round(100 * (last - first) / span, 2)
            shades.append(Shade(left, width, gap.text))
    days = _days(campaign.timeline)
    return Timeline(
        bars=bars,
        step_h=step,
        before=_path(counts, peak, range(split)),
        after=_path(counts, peak, range(split, bars)),
        peak=peak,
        peak_at=start + timedelta(hours=step * counts.index(max(counts))),
        alarm=TickMark(alarm_x, "alarm"),
        alarm_anchor="start" if alarm_x < 60 else "end",
        days=_day_marks(start, start + span),
        gaps=tuple(shades),
        table=tuple(days[:DAYS_SHOWN]),
        table_left_out=max(0, len(days) - DAYS_SHOWN),
    )
