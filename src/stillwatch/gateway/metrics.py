"""`/metrics`: the gateway's numbers in Prometheus' text format (0.0.4)."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillwatch.gateway import heartbeat
from stillwatch.gateway.counters import GAUGES, NAMES, read_all
from stillwatch.gateway.fleet.store import PROCESS as STORE
from stillwatch.gateway.fleet.store import is_store
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.health import DEGRADED, FAILING, OK, Health
from stillwatch.gateway.histograms import text_of_all
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.terms import Step

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
HELP = {
    "requests": "Requests that came in.",
    "answered": "Requests that were answered by the upstream.",
    "refused_key": "Requests refused for their key.",
    "refused_terms": "Requests refused by the terms: bans, standings, limits.",
    "refused_body": "Requests refused for what they are: too large, malformed.",
    "refused_capture": "Requests refused because they could not be written down.",
    "streams": "Streams begun.",
    "output_tokens": "Output tokens delivered.",
    "input_tokens": "Input tokens of answered requests.",
    "client_left": "Clients that hung up before the end.",
    "upstream_errors": "Upstream connections or replies that failed.",
    "captured": "Exchanges written down.",
    "uncaptured": "Exchanges that could not be written down.",
    "gaps": "Gaps in capture that ended.",
    "cut_budget": "Streams cut at the end of a budget.",
    "cut_model": "Replies cut because another model answered.",
    "model_mismatch": "Replies that named another model than was asked for.",
    "shed_clients": "Connections closed to make room for others: without a request, or with replies unread.",
    "refused_address": "Connections and bodies refused: their address has as much as one may have.",
    "wal_bytes": "Bytes written to the logs.",
}
NOT_SUMMED = frozenset({"commits", "commit_us", "gap_since_us", "gap_exchanges"})


@dataclass(frozen=True)
class Metric:
    """One metric with its samples: (labels, value)."""

    name: str
    kind: str
    help: str
    samples: tuple[tuple[dict[str, str], float], ...]


def metrics(folder: Folder, settings: GatewaySettings, health: Health, by_step: dict[Step, int]) -> str:
    """Return every number of the gateway as text."""
    samples = [*_worker_metrics(folder.run), *_processes(folder, settings), *_of_health(health)]
    steps = tuple(({"step": step.name.lower()}, float(count)) for step, count in sorted(by_step.items()))
    samples.append(Metric("standings", "gauge", "Accounts on each step of the ladder.", steps))
    samples += _disk(folder)
    return "".join(_text(metric) for metric in samples) + text_of_all(folder.run)


def _worker_metrics(run: Path) -> Iterator[Metric]:
    total = read_all(run)
    for name in NAMES:
        if name in NOT_SUMMED:
            continue
        kind = "gauge" if name in GAUGES else "counter"
        full = name if name in GAUGES else f"{name}_total"
        words = HELP.get(name, name.replace("_", " ").capitalize() + ".")
        yield Metric(full, kind, words, (({}, float(total[name])),))
    count, seconds = total["commits"], total["commit_us"] / 1e6
    yield Metric("commits_total", "counter", "Group commits.", (({}, float(count)),))
    yield Metric("commit_seconds_total", "counter", "Time spent in group commits.", (({}, seconds),))


def _processes(folder: Folder, settings: GatewaySettings) -> Iterator[Metric]:
    workers = sorted(path.stem for path in folder.run.glob("worker-*.json"))
    names = [*workers, "recorder", "detector", "supervisor"]
    names += ["hooks"] if settings.hooks_port is not None else []
    names += [STORE] if is_store(settings.shared) else []
    says = {name: heartbeat.read(folder.run / f"{name}.json") for name in names}
    beats = tuple(({"process": n}, s["at"] / 1e6) for n, s in says.items() if _number(s.get("at")))
    yield Metric("heartbeat_timestamp_seconds", "gauge", "When a process last gave a sign.", beats)
    held = tuple(({"process": n}, float(s["rss"])) for n, s in says.items() if _number(s.get("rss")))
    yield Metric("resident_memory_bytes", "gauge", "Memory a process holds.", held)
    late = tuple(({"process": n}, float(s["lag_s"])) for n, s in says.items() if _number(s.get("lag_s")))
    yield Metric("lag_seconds", "gauge", "How far a process is behind.", late)
    unread = says["recorder"].get("unread_documents") or {}
    counts = tuple(({"why": why}, float(count)) for why, count in sorted(unread.items()))
    yield Metric("unread_documents_total", "counter", "Documents in requests that were not read.", counts)
    yield from _of_detector(says["detector"])
    yield from _of_store(says.get(STORE, {}))
    children = says["supervisor"].get("children", {})
    again = tuple(({"process": n}, float(c["restarts"])) for n, c in sorted(children.items()))
    yield Metric("restarts_total", "counter", "Restarts of a process since the gateway was started.", again)
    version = max((s["terms_version"] for s in says.values() if _number(s.get("terms_version"))), default=0)
    yield Metric("terms_version", "gauge", "Version of the terms in force.", (({}, float(version)),))


def _of_detector(says: dict[str, Any]) -> Iterator[Metric]:
    """Return how many exchanges the detector holds, and what its rules lack."""
    if not _number(says.get("exchanges")):  # it runs elsewhere, or has not started
        return
    unseen = says.get("unseen")
    unseen = unseen if isinstance(unseen, dict) else {}
    for name, value, words in (
        ("exchanges", says["exchanges"], "Exchanges in the detector's memory."),
        ("window_missing_seconds", unseen.get("missing_s", 0), "Of what the rules need, what memory let go."),
        ("late_exchanges", unseen.get("late", 0), "Exchanges that came too late to be evaluated."),
    ):
        yield Metric(f"detector_{name}", "gauge", words, (({}, float(value)),))


def _of_store(says: dict[str, Any]) -> Iterator[Metric]:
    """Return the traffic with the fleet's object store."""
    for name, kind, key, words in (
        ("waiting_segments", "gauge", "waiting", "Segments that are not in the object store yet."),
        (
            "waiting_bytes",
            "gauge",
            "waiting_bytes",
            "Bytes of segments that are not in the object store yet.",
        ),
        ("put_total", "counter", "put", "Segments put into the object store."),
        ("taken_total", "counter", "taken", "Segments taken from the object store."),
        ("strange_objects", "gauge", "strange", "Objects that are damaged, or not of this fleet."),
    ):
        if _number(says.get(key)):
            yield Metric(f"store_{name}", kind, words, (({}, float(says[key])),))


def _of_health(health: Health) -> Iterator[Metric]:
    worth = {OK: 0.0, DEGRADED: 1.0, FAILING: 2.0}
    parts = tuple(({"part": part.name}, worth[part.status]) for part in health.parts)
    yield Metric("health", "gauge", "State of a part: 0 ok, 1 degraded, 2 failing.", parts)


def _disk(folder: Folder) -> Iterator[Metric]:
    free = float(shutil.disk_usage(folder.path).free)
    yield Metric("disk_free_bytes", "gauge", "Room left for capture.", (({}, free),))
    waiting = sum(entry.stat().st_size for entry in os.scandir(folder.wal) if entry.is_file())
    yield Metric("wal_waiting_bytes", "gauge", "Logs that no segment holds yet.", (({}, float(waiting)),))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(metric: Metric) -> str:
    name = f"stillwatch_{metric.name}"
    lines = [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}"]
    for labels, value in metric.samples:
        shown = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        number = str(int(value)) if value.is_integer() else repr(value)
        lines.append(f"{name}{{{shown}}} {number}" if shown else f"{name} {number}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
