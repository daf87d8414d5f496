"""The daily cost of each part at a million, 10^8 and 10^9 exchanges: core-hours, GB, dollars.

    python benchmarks/daily_cost.py                                # the tables
    python benchmarks/daily_cost.py --write                        # into docs/, and the picture
    python benchmarks/daily_cost.py --segments                     # measures an exchange in a segment

daily_cost.toml has everything that was measured, assumed or looked up, with its source. Larger amounts are
extrapolated proportionally: the column "times measured" shows how far. Nothing is timed here.
"""

import itertools
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import daily_cost_picture
import pages
from arguments import parser_of

ROOT = Path(__file__).parent.parent
FACTS = Path(__file__).with_suffix(".toml")
MOST_SCANNED = 134_000_000  # exchanges scanned at once: stillwatch.actors.spread refuses more
VOLUMES = (10**6, 10**8, 10**9)  # exchanges a day
PICTURE = ROOT / "docs" / "pictures" / "scale.svg"
HOUR_US, GB = 3.6e9, 1e9
ROWS_A_FILE = 1_000  # of a segment before its hour is merged


class Facts:
    """The figures of daily_cost.toml."""

    def __init__(self, path: Path = FACTS) -> None:
        self.all = tomllib.loads(path.read_text("utf-8"))

    def measured(self, name: str) -> float:
        return float(self.all["measured"][name]["value"])

    def assumed(self, name: str) -> float:
        return float(self.all["assumed"][name])

    def usd(self, name: str) -> float:
        return float(self.all["price"][name]["usd"])

    def times(self, name: str, exchanges: float) -> float | None:
        """Return the ratio to the measured number of exchanges; None if the number does not matter."""
        known = self.all["measured"][name].get("up_to")
        return exchanges / known if known else None


@dataclass(frozen=True)
class PartCost:
    """One part on one day. None: negligible, or not measured."""

    name: str
    core_hours: float | None
    gb: float | None
    usd: float
    times: float | None
    fits: bool = True  # on machines for rent, as the product is today
    counted: bool = True  # in the sum


def costs(facts: Facts, a_day: float) -> list[PartCost]:
    """Return each part's cost for so many exchanges a day."""
    return [
        _serve(facts, "whole replies", "reply_us", a_day, counted=True),
        _serve(facts, "streams", "stream_us", a_day, counted=False),
        *_segments(facts, a_day),
        _detector(facts, a_day),
        _scan(facts, a_day),
        *(_features(facts, name, a_day) for name in ("DuckDB", "ClickHouse", "Spark")),
    ]


def _serve(facts: Facts, what: str, name: str, a_day: float, counted: bool) -> PartCost:
    hours = facts.measured(name) * a_day / HOUR_US
    usd = hours * facts.assumed("peak_to_mean") * facts.usd("core_hour")
    return PartCost(f"gateways, {what}", hours, None, usd, facts.times(name, a_day), counted=counted)


def _segments(facts: Facts, a_day: float) -> Iterator[PartCost]:
    days = facts.assumed("folder_days")
    gb = facts.measured("segment_bytes") * a_day * days / GB
    times = facts.times("segment_bytes", a_day * days)
    yield PartCost(f"shared folder, {days:.0f} days", None, gb, gb * facts.usd("folder_gb_month") / 30, times)
    usd = gb * facts.usd("object_gb_month") / 30
    yield PartCost("the same in an object store", None, gb, usd, times, counted=False)


def _detector(facts: Facts, a_day: float) -> PartCost:
    days = facts.assumed("window_days")
    exchanges = a_day * days
    gb = facts.measured("detector_bytes") * exchanges / GB
    hours = 24 * facts.measured("detector_us") * exchanges / HOUR_US
    usd = gb * 24 * facts.usd("gb_hour") + hours * facts.usd("core_hour")
    fits = gb <= facts.assumed("largest_host_gb") and exchanges <= MOST_SCANNED
    times = facts.times("detector_bytes", exchanges)
    return PartCost(f"live detector, {days:.0f} days in memory", hours, gb, usd, times, fits)


def _scan(facts: Facts, a_day: float) -> PartCost:
    exchanges = a_day * facts.assumed("scan_days")
    hours = facts.measured("scan_us") * exchanges / HOUR_US
    gb = facts.measured("scan_bytes") * exchanges / GB
    of_memory = gb * hours / facts.assumed("scan_cores") * facts.usd("gb_hour")
    usd = max(of_memory, hours * facts.usd("core_hour"))
    fits = gb <= facts.assumed("largest_host_gb") and exchanges <= MOST_SCANNED
    name = f"a scan of {facts.assumed('scan_days'):.0f} days, each day"
    return PartCost(name, hours, gb, usd, facts.times("scan_us", exchanges), fits)


def _features(facts: Facts, engine: str, a_day: float) -> PartCost:
    name = f"{engine.lower()}_us"
    hours = facts.measured(name) * a_day / HOUR_US
    usd = hours * facts.usd("core_hour")
    times = facts.times(name, a_day)
    return PartCost(f"features of the day on {engine}", hours, None, usd, times, counted=False)


def number(value: float | None) -> str:
    """Format with two significant digits.

    >>> number(0.1234), number(12.4), number(1214.0), number(0.0012), number(None)
    ('0.12', '12', '1,200', '< 0.01', '–')
    """
    if value is None:
        return "–"
    if value < 0.01:
        return "< 0.01"
    return f"{value:.2g}" if value < 100 else f"{float(f'{value:.2g}'):,.0f}"


def table(facts: Facts, a_day: int) -> list[str]:
    """Return the lines of a volume's table. The sum counts gateways once, for whole replies."""
    found = costs(facts, a_day)
    lines = [
        f"**{a_day:,} exchanges a day**",
        "",
        "| part | core-hours | GB | $ a day | times measured | |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        figures = (number(one.core_hours), number(one.gb), number(one.usd), number(one.times))
        lines.append(
            f"| {one.name} | {' | '.join(figures)} | {'' if one.fits else 'does not fit one host'} |"
        )
    usd = sum(one.usd for one in found if one.fits and one.counted)
    fitting = all(one.fits for one in found)
    what = "gateways, folder, detector and scan" if fitting else "gateways and folder, without any detection"
    return [*lines, f"| **{what}** | | | **{number(usd)}** | | |", ""]


def span(days: float) -> str:
    """Return a length of time in a suitable unit.

    >>> span(3.07), span(0.0307), span(0.00307)
    ('3.1 days', '44 minutes', '4 minutes')
    """
    return f"{days:.1f} days" if days >= 1 else f"{days * 1440:.0f} minutes"


def full_tables(facts: Facts) -> list[str]:
    """Return each volume's table, then its sources."""
    lines = [line for a_day in VOLUMES for line in table(facts, a_day)]
    kept = [span(facts.measured("detector_default") / a_day) for a_day in VOLUMES]
    lines += [
        f"The detector as shipped looks back {', '.join(kept[:-1])} and {kept[-1]} at these volumes.",
        "",
    ]
    lines += ["| page | value | of what | measured | by |", "|---|---|---|---|---|"]
    for one in facts.all["measured"].values():
        where = Path(one["page"]).relative_to("docs")
        source = f"[{where}](../{where})"
        lines.append(f"| {source} | {one['value']:,} | {one['of']} | {one['on']} | `{one['command']}` |")
    lines += ["", "| price | $ | source | as of |", "|---|---|---|---|"]
    for price in facts.all["price"].values():
        lines.append(f"| {price['of']} | {price['usd']} | <{price['source']}> | {price['as_of']} |")
    lines += ["", "| assumed | |", "|---|---|"]
    lines += [f"| `{name}` | {value} |" for name, value in facts.all["assumed"].items()]
    return lines


SUMMARY = {
    "gateways, whole replies": "gateways, whole replies",
    "gateways, streams": "the same if all were streams",
    "shared folder": "shared folder, thirty days",
    "live detector": "live detector, ten days",
    "a scan": "a scan of two weeks, every day",
}


def summary(facts: Facts) -> list[str]:
    """Return the parts that matter: dollars a day at each volume."""
    lines = ["| exchanges a day | a million | a hundred million | a thousand million |", "|---|---|---|---|"]
    for start, said in SUMMARY.items():
        cells = []
        for a_day in VOLUMES:
            one = part(facts, start, a_day)
            cells.append(f"${number(one.usd)}" if one.fits else "does not fit one host")
        lines.append(f"| {said} | {' | '.join(cells).replace('$< 0.01', 'below a cent')} |")
    return lines


def part(facts: Facts, start: str, a_day: float) -> PartCost:
    """Return the part whose name starts with `start`."""
    return next(one for one in costs(facts, a_day) if one.name.startswith(start))


def estimate(facts: Facts) -> list[str]:
    """Compare the first estimate for a thousand million exchanges a day with the result."""
    most = VOLUMES[-1]
    a_day = f"{facts.measured('segment_bytes') * most / GB:,.0f}"
    whole = number(facts.measured("scan_us") * most / HOUR_US)
    memory = number(facts.measured("scan_bytes") * most / GB)
    clickhouse = number(part(facts, "features of the day on ClickHouse", most).core_hours)
    spark = number(part(facts, "features of the day on Spark", most).core_hours)
    folder = part(facts, "shared folder", most).usd
    replies, streams = (number(folder + part(facts, one, most).usd) for one in list(SUMMARY)[:2])
    return [
        "| estimated | found |",
        "|---|---|",
        f"| 90 to 99 GB of segments a day | **No.** {a_day} GB with long texts that nobody shares |",
        "| 54 GB of pairs by the hour | Not tried: nothing writes such pairs |",
        f"| 5 to 10 core-hours of detection on ClickHouse | **Not built.** Features alone take {clickhouse} "
        f"there. A whole scan of one day would take {whole} here, in {memory} GB, and none takes so many |",
        f"| about 80 core-hours on Spark | Features alone take {spark}, with handing over the log |",
        f"| some $52 a day | ${replies} for gateways and folder, without detection. "
        f"${streams} if all were streams |",
    ]


PLACES = {  # page -> the name of its marks
    (ROOT / "docs" / "figures" / "scale.md", "daily-cost"): full_tables,
    (ROOT / "docs" / "scale.md", "daily-cost"): summary,
    (ROOT / "docs" / "scale.md", "first-estimate"): estimate,
}


def picture(facts: Facts) -> str:
    """Return the parts and their volumes, as SVG."""
    volumes = {a_day: {one.name: one.gb for one in costs(facts, a_day)} for a_day in VOLUMES}
    return daily_cost_picture.picture(facts.measured("segment_bytes"), volumes)


def long_texts(batch: Any) -> Any:
    """Return the sample's rows with a random request and answer of 300 words each; no texts are shared."""
    import numpy as np
    import pyarrow as pa

    syllables = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]
    words = ["".join(parts) for parts in itertools.product(syllables, repeat=3)]
    drawn = np.random.default_rng(len(batch)).integers(0, len(words), (2, len(batch), 300))
    for column, numbers in zip(("prompt", "completion"), drawn, strict=True):
        texts = [" ".join(words[one] for one in row) for row in numbers.tolist()]
        batch = batch.set_column(batch.schema.get_field_index(column), column, pa.array(texts, pa.string()))
    return batch


def measure_segments() -> None:
    """Print the bytes of an exchange in merged segments, written as a gateway's recorder does."""
    import pyarrow as pa

    import kept_memory
    from stillwatch.exchanges.read import Rejects, read
    from stillwatch.exchanges.sketch import Sketcher
    from stillwatch.exchanges.sketched import sketch_batch
    from stillwatch.gateway.folder import open_folder
    from stillwatch.gateway.record import segments

    hour = datetime(2026, 1, 1, tzinfo=UTC)
    changes: dict[str, Any] = {
        "the sample": lambda batch: batch,
        "with an answer each": kept_memory.answered,
        "with long texts that nobody shares": long_texts,
    }
    for name, changed in changes.items():
        with tempfile.TemporaryDirectory() as made:
            folder, sketcher = open_folder(made), Sketcher(kept_memory.SECRET)
            rows: Any = read([kept_memory.SAMPLE / "exchanges.parquet"], rejects=Rejects())
            sketched = [sketch_batch(changed(batch), sketcher) for batch in rows]
            whole = pa.Table.from_batches(sketched).sort_by("time").combine_chunks()
            for place in range(0, len(whole), ROWS_A_FILE):
                (batch,) = whole.slice(place, ROWS_A_FILE).combine_chunks().to_batches()
                segments.write(folder, place // ROWS_A_FILE + 1, batch, b"", hour)
            segments.merge(folder, hour + timedelta(days=1))
            size = sum(path.stat().st_size for path in folder.segments.glob("*/*.parquet"))
            print(f"{name}: {size / len(whole):.0f} bytes an exchange, of {len(whole):,}")


def main() -> None:
    """Print the tables, or write them and the picture to the docs."""
    parser = parser_of(__doc__)
    parser.add_argument("--write", action="store_true", help="put tables and picture into docs/")
    parser.add_argument("--segments", action="store_true", help="measure a segment's bytes instead")
    given = parser.parse_args()
    if given.segments:
        measure_segments()
        return
    facts = Facts()
    if given.write:
        for (place, name), lines in PLACES.items():
            pages.put(place, f"<!-- {name} -->", f"<!-- /{name} -->", lines(facts))
        PICTURE.write_text(picture(facts), "utf-8")
    print("\n".join([*summary(facts), "", *full_tables(facts)]))


if __name__ == "__main__":
    main()
