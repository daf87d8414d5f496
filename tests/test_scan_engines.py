"""Every engine writes the same two files, and a missing requirement is reported before a log is read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sql_engines import INSTALLED, each, opened
from stillwatch.api.scanning import scan
from stillwatch.cli.main import app
from stillwatch.errors import InputError, StillwatchError
from stillwatch.exchanges.rejects import Rejects
from stillwatch.scan.pipeline import Options, run
from test_scan import texts

SAMPLE = Path(__file__).parent.parent / "sample"


def scanned(engine: str) -> tuple[str, str]:
    """Return findings.json and evidence.json of the sample, without the duration of the scan."""
    kept = opened(engine)  # of Spark: the cluster of two workers, for the scan to use
    accounts = SAMPLE / "accounts.parquet"
    found = run(
        [SAMPLE / "exchanges.parquet"], accounts=accounts, rejects=Rejects(), options=Options(engine=engine)
    )
    kept.close()
    return texts(found)


@pytest.fixture(scope="module")
def on_duckdb() -> tuple[str, str]:
    return scanned("duckdb")


@pytest.mark.slow
@pytest.mark.parametrize("engine", each(tuple(name for name in INSTALLED if name != "duckdb")))
def test_a_scan_says_the_same_on_every_engine(engine: str, on_duckdb: tuple[str, str]) -> None:
    assert len(on_duckdb[0]) > 100_000
    assert scanned(engine) == on_duckdb


def test_an_engine_that_is_not_there_is_said_first(tmp_path: Path) -> None:
    missing = tmp_path / "no-such-log.parquet"
    done = CliRunner().invoke(
        app, ["scan", str(missing), "--engine", "oracle", "--out", str(tmp_path / "report")]
    )
    assert done.exit_code == 2
    assert "there is no engine 'oracle'; available: clickhouse, duckdb, spark" in done.output
    assert "no-such-log" not in done.output


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "package"), [("clickhouse", "chdb"), ("spark", "py4j")])
def test_a_missing_package_names_its_extra(engine: str, package: str, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from stillwatch.cli.main import run\n"
        f"sys.argv = ['stillwatch', 'scan', {str(SAMPLE)!r}, '--engine', {engine!r}]\n"
        "run()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2, done.stderr
    assert f"pip install 'stillwatch[{engine}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_engine_is_an_argument_of_the_call() -> None:
    with pytest.raises(StillwatchError, match="duckdb runs in this process"):
        scan(SAMPLE / "exchanges.parquet", engine="duckdb:somewhere")
    with pytest.raises(InputError, match="engine: is 7; give a name"):
        scan(SAMPLE / "exchanges.parquet", engine=7)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", each(tuple(set(INSTALLED) & {"spark"})))
@pytest.mark.parametrize(
    ("address", "java", "words"),
    [("nonsense", "", "nonsense"), ("", "/no/java/here", "default-jre-headless")],
)
def test_a_spark_that_does_not_start_says_what_to_do(
    engine: str, address: str, java: str, words: str, tmp_path: Path
) -> None:
    program = (
        "import sys\nfrom stillwatch.cli.main import run\n"
        f"sys.argv = ['stillwatch', 'scan', {str(SAMPLE)!r}, '--engine', '{engine}:{address}']\n"
        "run()\n"
    )
    where = os.environ | ({"JAVA_HOME": java} if java else {})
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path, env=where
    )
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
