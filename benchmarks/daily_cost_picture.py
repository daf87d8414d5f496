"""Draws the parts of an installation and the flows between them, as SVG."""

from collections.abc import Mapping
from html import escape

INK, FAINT, PAPER, LINE, FILL = "#2b2822", "#625b51", "#fffefc", "#b9ae9b", "#f4efe6"
STRONG, WIDE, HIGH = "#c4682e", 900, 470

Box = tuple[float, float, float, float]
BOXES: dict[str, tuple[Box, tuple[str, ...]]] = {
    "clients": ((20, 30, 150, 50), ("clients",)),
    "gateways": ((300, 30, 240, 50), ("gateways: as many as you need",)),
    "model": ((740, 30, 140, 50), ("model API",)),
    "postgres": ((20, 180, 210, 66), ("PostgreSQL", "keys, statuses, budgets, cases")),
    "folder": ((300, 180, 240, 66), ("shared folder", "segments of sketches, findings")),
    "detector": ((670, 180, 210, 66), ("one live detector", "holds ten days in memory")),
    "scan": ((300, 340, 240, 66), ("a scan, on one host", "reads the log, makes the graph")),
    "engine": ((670, 340, 210, 66), ("engine of the scan", "DuckDB, ClickHouse or Spark")),
    "analyst": ((20, 340, 210, 66), ("console and report", "findings, cases, steps")),
}
LIMITED = ("detector", "scan")


def picture(segment_bytes: float, volumes: Mapping[int, Mapping[str, float | None]]) -> str:
    """Draw all parts, with each arrow's daily flow. `volumes`: GB by part, by exchanges a day."""
    a_day = " · ".join(_gb(segment_bytes * many / 1e9) for many in volumes)
    in_memory = " · ".join(_gb(_of(found, "live detector")) for found in volumes.values())
    in_scan = " · ".join(_gb(_of(found, "a scan")) for found in volumes.values())
    sizes = " · ".join(f"{many:,}" for many in volumes)
    said = "Gateways, PostgreSQL, shared folder, one detector, a scan and its engine, with their volumes"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" role="img" '
        f'font-family="sans-serif" font-size="13" aria-label="{escape(said)}">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        f'orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="{FAINT}"/></marker></defs>',
        f'<rect width="{WIDE}" height="{HIGH}" fill="{PAPER}"/>',
        *(_box(name) for name in BOXES),
        _arrow("M170 55H296", 233, 46, "requests"),
        _arrow("M540 55H736", 638, 46, "what is allowed"),
        _arrow("M420 80V176", 412, 150, f"{a_day} a day", anchor="end"),
        _arrow("M350 84V112H125V176", 237, 105, "changes, within 2 s", both=True),
        _arrow("M540 213H666", 603, 205, "all rows"),
        _arrow("M775 180V112H490V84", 632, 105, "findings, steps"),
        _arrow("M420 246V336", 428, 296, "two weeks of them", anchor="start"),
        _arrow("M540 362H666", 603, 354, "131 bytes each"),
        _arrow("M666 386H544", 603, 402, "a row an account"),
        _arrow("M300 373H234", 265, 364, ""),
        _text(775, 268, f"memory: {in_memory}", STRONG),
        _text(420, 428, f"memory: {in_scan}", STRONG),
        _text(
            20, HIGH - 12, f"At {sizes} exchanges a day. In orange: one process on one host.", FAINT, "start"
        ),
    ]
    return "\n".join([*parts, "</svg>", ""])


def _of(found: Mapping[str, float | None], start: str) -> float:
    return next(gb or 0.0 for name, gb in found.items() if name.startswith(start))


def _gb(gb: float) -> str:
    """Return an amount, as people write it.

    >>> _gb(0.15), _gb(15), _gb(1214)
    ('0.15 GB', '15 GB', '1.2 TB')
    """
    return f"{gb / 1000:.2g} TB" if gb >= 1000 else f"{gb:.2g} GB" if gb < 100 else f"{gb:.0f} GB"


def _box(name: str) -> str:
    (x, y, wide, high), lines = BOXES[name]
    edge = STRONG if name in LIMITED else LINE
    frame = f'<rect x="{x}" y="{y}" width="{wide}" height="{high}" rx="6" fill="{FILL}" stroke="{edge}"/>'
    first = y + high / 2 + (5 if len(lines) == 1 else -4)
    texts = [_text(x + wide / 2, first + 19 * k, line, FAINT if k else INK) for k, line in enumerate(lines)]
    return "".join([frame, *texts])


def _arrow(path: str, x: float, y: float, text: str, anchor: str = "middle", both: bool = False) -> str:
    start = ' marker-start="url(#tip)"' if both else ""
    drawn = f'<path d="{path}" fill="none" stroke="{FAINT}" marker-end="url(#tip)"{start}/>'
    return drawn + _text(x, y, text, FAINT, anchor)


def _text(x: float, y: float, text: str, colour: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="{colour}" text-anchor="{anchor}">{escape(text)}</text>'
