"""Collectors that a test kills: children of one process with all imports done."""

from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

from stillwatch.distill import DistillRun
from stillwatch.distill.collect.ask import collect_run
from stillwatch.distill.plan import load

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["openai", "stillwatch.distill.collect.ask", "stillwatch.distill.plan"])


def start_collector(folder: Path) -> BaseProcess:
    """Start to collect the missing answers of a prepared run."""
    process = FORKS.Process(target=_collect, args=(folder,))
    process.start()
    return process


def _collect(folder: Path) -> None:
    collect_run(DistillRun(folder), load(folder, {}), lambda progress: None, lambda words: None)
