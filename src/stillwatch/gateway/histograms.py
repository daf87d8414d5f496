"""Request durations by operation, model and status: one worker's histograms, in a file for other processes.

Named after OpenTelemetry's conventions for generative AI (`gen_ai.server.request.duration`,
`gen_ai.server.time_to_first_token`), with their buckets. The number of series is bounded: further models,
and those of unanswered requests, count as "other", since a client can invent names.
"""

import json
import os
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

DURATION, FIRST_TOKEN = "gen_ai_server_request_duration_seconds", "gen_ai_server_time_to_first_token_seconds"
HELP = {
    DURATION: "Time from a whole request to the end of its reply.",
    FIRST_TOKEN: "Time from a whole request to the first byte of a streamed reply.",
}
BUCKETS_S = {
    DURATION: (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
    FIRST_TOKEN: (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
}
LABELS = ("gen_ai_operation_name", "gen_ai_request_model", "http_response_status_code")
OPERATIONS = {"responses": "chat", "messages": "chat", "completions": "text_completion"}
OTHER = "other"
MOST_MODELS, MOST_SERIES = 100, 2_000
LONGEST_MODEL = 100  # characters of a label

Series = dict[tuple[str, str, str, str], list[float]]  # metric, labels -> counts by bucket, rest, sum


class Histograms:
    """One worker's, continued from its earlier processes. `path` None: nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._series: Series = {} if path is None else dict(_read(path))
        self._models = {key[2] for key in self._series}
        self._changed = False
        self._usual: dict[tuple[str, str, str, int], list[float]] = {}  # of models that are counted by name

    def observe(self, metric: str, operation: str, model: str, status: int, seconds: float) -> None:
        counts = self._usual.get((metric, operation, model, status))
        if counts is None:
            counts = self._counts(metric, operation, model, status)
            if model in self._models and len(self._usual) < MOST_SERIES:
                self._usual[metric, operation, model, status] = counts
        counts[bisect_left(BUCKETS_S[metric], seconds)] += 1
        counts[-1] += seconds
        self._changed = True

    def _counts(self, metric: str, operation: str, model: str, status: int) -> list[float]:
        answered = 200 <= status < 300
        if not answered or not model or len(model) > LONGEST_MODEL:
            model = OTHER
        elif model not in self._models:
            if len(self._models) >= MOST_MODELS:
                model = OTHER
            else:
                self._models.add(model)
        key = (metric, OPERATIONS.get(operation, operation), model, str(status))
        counts = self._series.get(key)
        if counts is None:
            if len(self._series) >= MOST_SERIES:
                key = (metric, OTHER, OTHER, f"{status // 100}xx")
            counts = self._series.setdefault(key, [0.0] * (len(BUCKETS_S[metric]) + 2))
        return counts

    def flush(self) -> None:
        """Write them for other processes, once a second. Disk errors are ignored."""
        if not self._changed or self._path is None:
            return
        temporary = self._path.with_suffix(".new")
        with suppress(OSError):
            temporary.write_text(json.dumps([[*key, counts] for key, counts in self._series.items()]))
            os.replace(temporary, self._path)
            self._changed = False


def _read(path: Path) -> Iterator[tuple[tuple[str, str, str, str], list[float]]]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return
    for *key, counts in document:
        if key[0] in BUCKETS_S and len(counts) == len(BUCKETS_S[key[0]]) + 2:
            yield (key[0], key[1], key[2], key[3]), counts


def text_of_all(run: Path) -> str:
    """Return all workers' histograms in Prometheus' text format."""
    total: Series = {}
    for path in sorted(run.glob("*.histograms")):
        for key, counts in _read(path):
            known = total.setdefault(key, [0.0] * len(counts))
            total[key] = [a + b for a, b in zip(known, counts, strict=True)]
    lines = []
    for metric, bounds in BUCKETS_S.items():
        lines += [f"# HELP {metric} {HELP[metric]}", f"# TYPE {metric} histogram"]
        for key, counts in sorted(total.items()):
            if key[0] != metric:
                continue
            labels = ",".join(f'{name}="{_escape(v)}"' for name, v in zip(LABELS, key[1:], strict=True))
            so_far = 0
            for bound, count in zip((*map(str, bounds), "+Inf"), counts[:-1], strict=True):
                so_far += int(count)
                lines.append(f'{metric}_bucket{{{labels},le="{bound}"}} {so_far}')
            lines += [f"{metric}_sum{{{labels}}} {counts[-1]!r}", f"{metric}_count{{{labels}}} {so_far}"]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
