"""The cost of processes: CPU time to the nanosecond and memory, by name."""

import re
import time
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Cost:
    """CPU seconds (user and system) and resident bytes of a process tree, by the part each process plays."""

    cpu_s: dict[str, float]
    rss: dict[str, int]

    def since(self, before: "Cost") -> dict[str, float]:
        return {part: max(0.0, spent - before.cpu_s.get(part, 0.0)) for part, spent in self.cpu_s.items()}


def cpu_s(pid: int) -> float:
    """Return the CPU clock of another process (clock_getcpuclockid(3)): all its threads, ended ones too."""
    return time.clock_gettime((~pid << 3) | 2)


def part_of(process: psutil.Process, names: dict[str, str]) -> str:
    """Return the first of `names` whose pattern is in the command line; else "other"."""
    line = " ".join(process.cmdline())
    return next((name for name, pattern in names.items() if re.search(pattern, line)), "other")


def cost(pid: int, names: dict[str, str]) -> Cost:
    """Return the cost of a process and all below it."""
    spent: dict[str, float] = {}
    rss: dict[str, int] = {}
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            part = part_of(process, names)
            spent[part] = spent.get(part, 0.0) + cpu_s(process.pid)
            rss[part] = rss.get(part, 0) + process.memory_info().rss
        except (psutil.NoSuchProcess, OSError):
            continue  # it has just ended
    return Cost(spent, rss)


def settled(pid: int, names: dict[str, str], idle_s: float, limit_s: float = 20.0) -> Cost:
    """Return the cost once background work has caught up: CPU use is near its idle rate again."""
    before = cost(pid, names)
    until = time.monotonic() + limit_s
    while True:
        time.sleep(0.5)
        now = cost(pid, names)
        if sum(now.since(before).values()) < 0.5 * (1.5 * idle_s + 0.01) or time.monotonic() > until:
            return now
        before = now
