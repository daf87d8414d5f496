"""Every engine returns the same results; and refusals are ones that a person can act on."""

import pathlib
import subprocess
import sys

import pyarrow as pa
import pytest

from sql_engines import IN_PROCESS, INSTALLED, each, opened
from stillwatch.engine import EngineError
from stillwatch.engine.named import open_engine
from stillwatch.errors import StillwatchError


@pytest.fixture(params=each())
def engine(request):
    engine = opened(request.param, threads=2)
    yield engine
    engine.close()


@pytest.mark.slow
def test_query_reads_what_was_registered(engine):
    engine.register("t", pa.table({"x": pa.array([3, 1, 2], pa.int32())}))
    got = engine.query("SELECT x, CAST(x AS DOUBLE) / 2 AS half FROM t ORDER BY x")
    assert got.to_pydict() == {"x": [1, 2, 3], "half": [0.5, 1.0, 1.5]}


@pytest.mark.slow
def test_register_replaces_and_forget_lets_go(engine):
    engine.register("t", pa.table({"x": [1]}))
    engine.register("t", pa.table({"x": [2, 2]}))
    assert engine.query("SELECT x FROM t").to_pydict() == {"x": [2, 2]}
    engine.forget("t")
    engine.forget("never_there")
    with pytest.raises(EngineError, match="t"):
        engine.query("SELECT x FROM t")


@pytest.mark.slow
def test_what_is_created_stays_in_the_engine(engine):
    engine.register("t", pa.table({"k": [1, 1, 2], "x": [3, 4, 5]}))
    made = engine.create("sums", "SELECT k, CAST(SUM(x) AS BIGINT) AS x FROM t GROUP BY k")
    engine.forget("t")
    assert made == ["k", "x"]
    assert engine.query("SELECT k, x FROM sums ORDER BY k").to_pydict() == {"k": [1, 2], "x": [7, 5]}
    engine.register("sums", pa.table({"x": [9]}))  # the last registration of a name counts
    assert engine.query("SELECT x FROM sums").to_pydict() == {"x": [9]}
    assert engine.create("sums", "SELECT 1 AS one") == ["one"]
    engine.forget("sums")
    with pytest.raises(EngineError, match="sums"):
        engine.query("SELECT * FROM sums")
    with pytest.raises(EngineError, match="nowhere"):
        engine.create("sums", "SELECT 1 AS one FROM nowhere")
    with pytest.raises(EngineError, match="not a table name"):
        engine.create("t; DROP TABLE x", "SELECT 1 AS one")


@pytest.mark.slow
def test_empty_table_keeps_its_columns(engine):
    engine.register("t", pa.table({"x": pa.array([], pa.int64())}))
    got = engine.query("SELECT x FROM t ORDER BY x")
    assert (got.num_rows, got.column_names) == (0, ["x"])


def test_unsigned_64_bits_survive(engine):
    engine.register("t", pa.table({"x": pa.array([2**64 - 1, 2**63, 0], pa.uint64())}))
    assert engine.query("SELECT MAX(x) AS x FROM t").to_pydict() == {"x": [2**64 - 1]}


def test_unmatched_join_gives_null(engine):
    engine.register("a", pa.table({"k": [1, 2]}))
    engine.register("b", pa.table({"k": [1], "v": [7]}))
    sql = "SELECT a.k AS k, b.v AS v FROM a LEFT JOIN b ON a.k = b.k ORDER BY k"
    assert engine.query(sql).to_pydict() == {"k": [1, 2], "v": [7, None]}


def test_a_column_wins_over_an_alias_of_its_name(engine):
    engine.register("t", pa.table({"k": [1, 1], "n": [2, 5]}))
    sql = "SELECT k, CAST(SUM(n) AS BIGINT) AS n, CAST(MAX(n) AS BIGINT) AS top FROM t GROUP BY k"
    assert engine.query(sql).to_pydict() == {"k": [1], "n": [7], "top": [5]}


def test_first_row_of_lag_takes_the_default(engine):
    engine.register("t", pa.table({"k": [1, 1, 2], "x": [10, 30, 50]}))
    sql = "SELECT x, LAG(x, 1, x) OVER (PARTITION BY k ORDER BY x) AS before FROM t ORDER BY x"
    assert engine.query(sql).to_pydict() == {"x": [10, 30, 50], "before": [10, 10, 50]}


@pytest.mark.slow
def test_refusals_carry_the_engines_words(engine):
    with pytest.raises(EngineError, match="nowhere"):
        engine.query("SELECT 1 FROM nowhere")


def test_two_engines_do_not_see_each_other(engine):
    other = open_engine("duckdb" if type(engine).__name__ == "DuckDBEngine" else "clickhouse")
    engine.register("t", pa.table({"x": [1]}))
    with pytest.raises(EngineError):
        other.query("SELECT x FROM t")
    other.close()


def test_a_query_cannot_name_a_python_variable():
    secret = pa.table({"x": [1]})
    engine = open_engine("duckdb")
    with pytest.raises(EngineError, match="secret"):
        engine.query("SELECT x FROM secret")
    engine.close()
    assert secret.num_rows == 1


@pytest.mark.parametrize("name", each())
@pytest.mark.parametrize("wrong", [{"threads": 0}, {"memory_limit": "plenty"}, {"memory_limit": "-1GB"}])
def test_wrong_settings_say_what_is_right(name, wrong):
    with pytest.raises(EngineError, match=r"at least 1|such as '3GB'"):
        opened(name, **wrong)


@pytest.mark.parametrize("name", each())
def test_limits_are_taken(name):
    engine = opened(name, threads=1, memory_limit="512MiB")
    engine.register("t", pa.table({"x": [1]}))
    assert engine.query("SELECT x FROM t").num_rows == 1
    engine.close()


def test_unknown_engine_names_the_known_ones():
    with pytest.raises(EngineError, match=r"oracle.*duckdb"):
        open_engine("oracle")


def test_table_names_are_checked_before_they_reach_sql(engine):
    with pytest.raises(EngineError, match="not a table name"):
        engine.register("t; DROP TABLE x", pa.table({"x": [1]}))


@pytest.mark.parametrize("name", IN_PROCESS)
def test_an_engine_of_this_process_takes_no_address(name):
    with pytest.raises(EngineError, match=rf"{name} runs in this process.*write {name} alone"):
        open_engine(f"{name}:http://elsewhere:8123")


@pytest.mark.parametrize("name", each(tuple(set(INSTALLED) & {"spark"})))
def test_spark_runs_under_one_master_only(name):
    opened(name).close()
    with pytest.raises(EngineError, match=r"local-cluster.*omit the master, or name this one"):
        open_engine(f"{name}:spark://elsewhere:7077")


def test_a_strangers_engine_is_one_file(tmp_path, monkeypatch):
    info = tmp_path / "acme_sql-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-sql\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stillwatch.engines]\nacme = acme_sql\nbroken = no_such_module\n")
    (tmp_path / "acme_sql.py").write_text(
        "from stillwatch.engine.engines.duckdb import DuckDBEngine\n"
        "def open_engine(threads, memory_limit, address):\n"
        "    assert address == 'somewhere:1'\n"
        "    return DuckDBEngine(threads, memory_limit)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    engine = open_engine("acme:somewhere:1", threads=1)
    assert engine.query("SELECT 1 AS one").to_pydict() == {"one": [1]}
    engine.close()
    with pytest.raises(StillwatchError, match=r"entry point broken.*no_such_module"):
        open_engine("broken")
    with pytest.raises(EngineError, match=r"oracle.*acme"):
        open_engine("oracle")


def test_spilled_files_are_gone_after_close():
    engine = open_engine("duckdb")
    spill = pathlib.Path(engine._spill.name)
    assert spill.is_dir()
    engine.close()
    assert not spill.exists()


@pytest.mark.slow
def test_default_engine_works_without_chdb():
    program = (
        "import sys; sys.modules['chdb'] = None\n"
        "from stillwatch.engine import EngineError\n"
        "from stillwatch.engine.named import open_engine\n"
        "open_engine('duckdb').close()\n"
        "try:\n    open_engine('clickhouse')\n"
        "except EngineError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "stillwatch[clickhouse]" in done.stdout
