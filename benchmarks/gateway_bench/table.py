"""Turns runs of the gateway benchmark into figures: medians over rounds, added latency, and aims."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Run = dict[str, Any]
KINDS = {"small": "1 kB", "large": "30 kB", "stream": "120 chunks"}


def kind_of(run: Run) -> str:
    return str(run["kind"]).split("-")[0]


def case(run: Run) -> tuple[str, int]:
    return kind_of(run), int(run["connections"])


def pick(runs: Iterable[Run], name: str, at: tuple[str, int]) -> list[Run]:
    """Return the runs of one contestant in one case, by round."""
    return sorted((r for r in runs if r["name"] == name and case(r) == at), key=lambda r: r["round"])


def cpu_us(run: Run, parts: Sequence[str] | None = None) -> float:
    """Return CPU microseconds per request, of some parts or of all, without the processes' idle use."""
    spent = {part: us for part, us in run["cpu_us"].items() if parts is None or part in parts}
    return sum(spent.values())


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Format the median and, for several rounds, the smallest and the largest."""
    if not values:
        return ""
    middle = f"{statistics.median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def ratios(
    runs: list[Run], name: str, other: str, at: tuple[str, int], of: Callable[[Run], float]
) -> list[float]:
    """Return `of` of one contestant relative to another's, round by round."""
    below = {r["round"]: of(r) for r in pick(runs, other, at)}
    return [of(r) / below[r["round"]] for r in pick(runs, name, at) if below.get(r["round"])]


def added(runs: list[Run], name: str, at: tuple[str, int], what: str, rank: str) -> list[float]:
    """Return the microseconds added to direct connections in the same round."""
    direct = {r["round"]: r[what].get(rank) for r in pick(runs, "direct", at)}
    return [
        r[what][rank] - direct[r["round"]]
        for r in pick(runs, name, at)
        if rank in r[what] and direct.get(r["round"]) is not None
    ]


def names(runs: list[Run]) -> list[str]:
    return list(dict.fromkeys(r["name"] for r in runs))


def cases(runs: list[Run]) -> list[tuple[str, int]]:
    return sorted({case(r) for r in runs}, key=lambda at: (list(KINDS).index(at[0]), at[1]))


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def cost_table(runs: list[Run]) -> str:
    """Format CPU per request, beside nginx's."""
    rows = []
    for at in cases(runs):
        for name in names(runs):
            found = pick(runs, name, at)
            if not found or name == "direct":
                continue
            beside = ratios(runs, name, "nginx", at, cpu_us)
            parts = "; ".join(
                f"{part} {statistics.median([r['cpu_us'].get(part, 0.0) for r in found]):,.0f}"
                for part in found[0]["cpu_us"]
                if len(found[0]["cpu_us"]) > 1
            )
            cells = [f"{KINDS[at[0]]}, {at[1]}", name, spread([cpu_us(r) for r in found])]
            rows.append([*cells, spread(beside, 1), parts, f"{sum(r['wrong'] for r in found):,}"])
    return markdown(["body, connections", "", "CPU µs per request", "× nginx", "of which", "wrong"], rows)


def latency_table(runs: list[Run]) -> str:
    """Format the latency that a gateway adds to direct connections."""
    rows = []
    for at in cases(runs):
        stream = at[0] == "stream"
        for name in names(runs):
            if not pick(runs, name, at):
                continue
            row = [f"{KINDS[at[0]]}, {at[1]}", name]
            if name == "direct":
                found = pick(runs, name, at)
                what = "chunk_us" if stream else "whole_us"
                for rank in ("p50", "p99"):
                    row.append(f"{statistics.median([r[what][rank] for r in found]):,.0f} in all")
                first = statistics.median([r["first_us"]["p50"] for r in found])
                rows.append([*row, f"{first:,.0f} in all"])
                continue
            what = "chunk_us" if stream else "whole_us"
            row += [spread(added(runs, name, at, what, rank)) for rank in ("p50", "p99")]
            rows.append([*row, spread(added(runs, name, at, "first_us", "p50"))])
    head = ["body, connections", "", "added p50 µs", "added p99 µs", "added to the first byte, p50 µs"]
    return markdown(head, rows)


def memory_table(runs: list[Run], idle: dict[str, dict[str, float]]) -> str:
    """Format memory under load, and CPU without requests."""
    rows = []
    for name in names(runs):
        found = [r for r in runs if r["name"] == name and r["rss"]]
        if not found:
            continue
        most = {part: max(r["rss"].get(part, 0) for r in found) / 1e6 for part in found[0]["rss"]}
        told = "; ".join(f"{part} {mb:,.0f}" for part, mb in most.items()) if len(most) > 1 else ""
        spent = 1000 * sum(idle.get(name, {}).values())
        rows.append([name, f"{sum(most.values()):,.0f}", told, f"{spent:,.1f}"])
    return markdown(["", "RSS MB", "of which", "idle: CPU ms per second"], rows)


def verdicts(runs: list[Run], ours: str = "Stillwatch") -> list[str]:
    """Return which aims are met, case by case."""
    told = []
    for at in cases(runs):
        where = f"{KINDS[at[0]]}, {at[1]} connections"
        beside = ratios(runs, ours, "nginx", at, cpu_us)
        serving = ratios(runs, ours, "nginx", at, lambda r: cpu_us(r, ["worker"]))
        if beside:
            met = "met" if statistics.median(beside) <= 2 else "MISSED"
            told.append(
                f"at most 2 × nginx ({where}): {met}: {spread(beside, 2)}; workers alone {spread(serving, 2)}"
            )
        for other in names(runs):
            if other.startswith("LiteLLM"):
                above = ratios(runs, other, ours, at, cpu_us)
                if above:
                    met = "met" if statistics.median(above) >= 100 else "MISSED"
                    told.append(f"at least 100 × less than {other} ({where}): {met}: {spread(above)} ×")
    return told
