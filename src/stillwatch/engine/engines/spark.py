"""Apache Spark, behind the extra `spark`: in this process, or on a cluster by its master's address.

Spark has no unsigned integers, so registered columns are widened and 64 bits become DECIMAL(20, 0). Order and
sums stay as in the other engines. An overflow is an error (ANSI mode), never silent.
"""

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa
import sqlglot
from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from stillwatch.engine import EngineError
from stillwatch.engine.settings import size_bytes, table_name, thread_count

WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
}
SUBMITTED = "PYSPARK_GATEWAY_PORT"  # set by spark-submit, which then has chosen the master
LOCAL_PARTITIONS = 4  # of a shuffle on one machine; a cluster keeps Spark's own setting


class SparkEngine:
    """Temporary views of a Spark session of its own.

    `address`: a master such as spark://host:7077, yarn or local-cluster[2,1,1024]; without one `threads`
    cores of this machine, or what spark-submit was given. `memory_limit` is the driver's heap, if this
    process starts it. Neither changes a result.
    """

    engines = 0  # open in this process
    owns_session = False  # whether this process started the context, so that the last engine must stop it

    def __init__(self, threads: int | None, memory_limit: str | None, address: str) -> None:
        running = _start(threads, memory_limit, address)
        with _refusals():
            self._session = running.newSession()
            self._session.conf.set("spark.sql.ansi.enabled", "true")
        SparkEngine.engines += 1
        self._frames: dict[str, Any] = {}

    def register(self, name: str, table: pa.Table) -> None:
        self.forget(table_name(name))
        with _refusals():
            self._keep(name, self._session.createDataFrame(_without_unsigned(table)))

    def forget(self, name: str) -> None:
        frame = self._frames.pop(table_name(name), None)
        if frame is not None:
            with _refusals():
                self._session.catalog.dropTempView(name)
                frame.unpersist()

    def create(self, name: str, sql: str) -> list[str]:
        self.forget(name)
        with _refusals():
            return self._keep(name, self._session.sql(_spark_sql(sql)))

    def query(self, sql: str) -> pa.Table:
        with _refusals():
            return _with_unsigned(self._session.sql(_spark_sql(sql)).toArrow())

    def close(self) -> None:
        with suppress(EngineError):  # after an interrupt Spark may accept no more commands
            for name in list(self._frames):
                self.forget(name)
        SparkEngine.engines -= 1
        if SparkEngine.owns_session and SparkEngine.engines == 0:
            self._session.stop()
            SparkEngine.owns_session = False

    def _keep(self, name: str, frame: Any) -> list[str]:
        """Cache a frame's rows on the executors now, because its sources may be dropped next."""
        frame.persist()
        frame.count()
        frame.createOrReplaceTempView(name)
        self._frames[name] = frame
        columns: list[str] = frame.columns
        return columns


def _start(threads: int | None, memory_limit: str | None, address: str) -> Any:
    """Return the running Spark session, or start one with these settings."""
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # refusals are raised instead
    cores = "*" if threads is None else str(thread_count(threads))
    heap = None if memory_limit is None else f"{size_bytes(memory_limit) >> 20}m"
    running = SparkContext._active_spark_context  # no public call reports it without starting one
    if running is not None:
        if address and running.master != address:
            raise EngineError(
                f"Spark already runs in this process with the master {running.master}; omit "
                "the master, or name this one"
            )
        return SparkSession.builder.getOrCreate()
    master = address or ("" if SUBMITTED in os.environ else f"local[{cores}]")
    settings = {"spark.app.name": "stillwatch", "spark.ui.showConsoleProgress": "false"}
    settings["spark.log.level"] = "ERROR"
    if heap is not None:
        settings["spark.driver.memory"] = heap
    if master:
        settings["spark.master"] = master
    if master.startswith("local"):  # no other machine has to reach this driver
        settings |= {
            "spark.ui.enabled": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.shuffle.partitions": str(LOCAL_PARTITIONS),
            "spark.sql.adaptive.enabled": "false",
        }
    expected = "give a master that answers, such as spark://HOST:7077, yarn or local[2]"
    with (
        _refusals(f"does not start on {master or 'what spark-submit was told'} ({expected})"),
        _own_interrupts(),
    ):
        session = SparkSession.builder.config(map=settings).getOrCreate()
    SparkEngine.owns_session = True
    return session


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """Keep Ctrl-C working as before: Spark's own handler calls Java in the middle of a call, and fails."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


def _not_of_py4j(record: logging.LogRecord) -> bool:
    """Return false for py4j's messages on the root logger: it writes an interrupt's traceback there."""
    return "py4j" not in record.pathname


@contextmanager
def _refusals(outcome: str = "refused") -> Iterator[None]:
    """Turn Spark's exceptions into an EngineError that names the `outcome`."""
    root = logging.getLogger()
    root.addFilter(_not_of_py4j)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of pandas 3, which nothing here uses
            yield
    except (PySparkException, Py4JError) as error:
        error_lines = str(error).strip().splitlines() or [type(error).__name__]
        if "JAVA_GATEWAY_EXITED" in error_lines[0]:
            raise EngineError(
                f"Spark {outcome}: its Java process ended, see its output above. It needs Java 17 or 21 "
                "(Debian: apt-get install default-jre-headless; elsewhere set JAVA_HOME)"
            ) from error
        raise EngineError(f"Spark {outcome}: {' '.join(error_lines[:2])}") from error
    finally:
        root.removeFilter(_not_of_py4j)


def _spark_sql(sql: str) -> str:
    return sqlglot.transpile(sql, read="duckdb", write="spark")[0]


def _without_unsigned(table: pa.Table) -> pa.Table:
    fields = [field.with_type(WIDER.get(field.type, field.type)) for field in table.schema]
    return table.cast(pa.schema(fields))


def _with_unsigned(table: pa.Table) -> pa.Table:
    """Return 64-bit columns as the unsigned type they were registered with; narrower ones stay widened."""
    wide = WIDER[pa.uint64()]
    fields = [field.with_type(pa.uint64()) if field.type == wide else field for field in table.schema]
    return table.cast(pa.schema(fields))


def open_engine(threads: int | None, memory_limit: str | None, address: str) -> SparkEngine:
    return SparkEngine(threads, memory_limit, address)
