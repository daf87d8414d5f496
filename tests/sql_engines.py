"""The installed engines as parameters for pytest; Spark's tests have their own marker."""

import functools
import os
from importlib.util import find_spec

import pytest

from stillwatch.engine import SqlEngine
from stillwatch.engine.named import ENGINES, open_engine

NEEDS = {"clickhouse": "chdb", "spark": "pyspark"}
INSTALLED = tuple(name for name in ENGINES if find_spec(NEEDS.get(name, name)))
IN_PROCESS = tuple(name for name in INSTALLED if name != "spark")
SPARK_MASTER = "local-cluster[2,1,1024]"  # two workers, each a process with one core and 1,024 MB
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")  # short jobs: half of the CPU time

MARKS = {"spark": pytest.mark.spark}


def each(names: tuple[str, ...] = INSTALLED) -> list[object]:
    """Return names of engines as parameters."""
    return [pytest.param(name, marks=MARKS.get(name, ())) for name in names]


def opened(name: str, **settings: object) -> SqlEngine:
    """Return an engine; Spark's share one cluster, which stays until the tests end."""
    if name == "spark":
        _cluster()
    return open_engine(name, **settings)


@functools.cache
def _cluster() -> SqlEngine:
    return open_engine(f"spark:{SPARK_MASTER}")
