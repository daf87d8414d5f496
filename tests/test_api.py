"""The public Python interface: logs in any shape, results as tables, refusals that state what to do."""

import ast
import inspect
import json
import multiprocessing
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import stillwatch as sw
from scan_world import Scene, scene
from stillwatch.exchanges import RECORD
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import sketch_batch
from stillwatch.scan.live import HOUR_US
from test_cli_scan import stillwatch

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "sample"
KEY = b"a key for the tests of the api"
HEAVY = ("scipy", "duckdb", "pyarrow", "numpy", "pandas", "fastapi", "rich", "jinja2", "typer")


def findings(result: sw.ScanReport) -> dict[str, Any]:
    """Return the content of findings.json, without the duration of the scan."""
    document: dict[str, Any] = json.loads(result.to_json())
    document["scanned"]["seconds"] = 0
    return document


@pytest.fixture(scope="module")
def world() -> Scene:
    return scene(3, people=200, days=8, pools=1)


@pytest.fixture(scope="module")
def scan_report(world: Scene) -> sw.ScanReport:
    result = sw.scan(world.table, world.accounts)
    assert result.campaigns, "nothing to compare"
    return result


@pytest.fixture
def few() -> pa.Table:
    """Return exchanges of three accounts, for tests of refusals and repairs."""
    return pa.table(
        {
            "time": pa.array([datetime(2026, 3, 1, 12, k, tzinfo=UTC) for k in range(6)]),
            "account": ["a", "b", "c"] * 2,
            "prompt": [f"what is the {k}th of them" for k in range(6)],
            "model": ["m-1"] * 6,
        }
    )


def records(data: Any, **how: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = sw.read(data, **how).to_arrow().to_pylist()
    return rows


# --- the import -------------------------------------------------------------------------------------------


def test_the_import_is_cheap() -> None:
    code = f"import sys, stillwatch; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_documented() -> None:
    stub = (ROOT / "src" / "stillwatch" / "__init__.pyi").read_text()
    assert set(re.findall(r"^from \S+ import \w+ as (\w+)$", stub, re.MULTILINE)) == set(sw.__all__) - {
        "__version__"
    }
    for name in set(sw.__all__) - {"__version__"}:
        assert inspect.getdoc(getattr(sw, name)), name
        assert name in dir(sw)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sw.nonsense


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "import stillwatch.scan.pipeline; sw.LiveScan; "])
def test_scan_is_the_function_and_the_package_in_any_order(before: str) -> None:
    code = (
        f"import stillwatch as sw; {before}from stillwatch import scan\n"
        "import stillwatch.scan.parts as parts\n"
        "import inspect; assert 'columns' in inspect.signature(sw.scan).parameters; assert parts.PARTS\n"
        "try: sw.scan('nowhere.parquet')\n"
        "except sw.InputError as why: print(why)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("nowhere.parquet: no such file")


@pytest.mark.slow
def test_the_public_surface_is_typed(tmp_path: Path) -> None:
    """Run mypy as a user would: py.typed ships, and the lazy names have their types."""
    user = tmp_path / "user.py"
    user.write_text(
        "import stillwatch as sw\n"
        "from stillwatch import scan\n"
        "result = sw.scan('log.parquet', settings=sw.Settings(window_days=7.0))\n"
        "reveal_type(result)\nreveal_type(scan)\nreveal_type(result.campaigns[0].accounts)\n"
        "reveal_type(sw.LiveScan().look())\nsw.scan(7)\n"
    )
    done = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--strict", "--follow-imports", "silent",
            "--ignore-missing-imports", "--cache-dir", tmp_path / "cache", user,
        ],
        capture_output=True, text=True, env={"MYPYPATH": str(ROOT / "src"), "PATH": ""}, cwd=tmp_path,
    )  # fmt: skip
    said = done.stdout
    assert '"stillwatch.api.result.ScanReport"' in said, said
    assert '"builtins.tuple[builtins.str, ...]"' in said or '"tuple[str, ...]"' in said, said
    assert "stillwatch.api.live.LiveAlarm" in said, said
    assert said.count(": error:") == 1, said
    assert "arg-type" in said, said


# --- one log in many shapes -------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_table_gives_what_the_command_line_writes(
    tmp_path: Path, world: Scene, scan_report: sw.ScanReport
) -> None:
    log, accounts = tmp_path / "a log.parquet", tmp_path / "accounts.parquet"
    pq.write_table(world.table, log)
    pq.write_table(world.accounts, accounts)
    done = stillwatch("scan", log, "--accounts", accounts, "--out", tmp_path / "cli")
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "cli" / "findings.json").read_text())
    written["scanned"]["seconds"] = 0
    assert findings(scan_report) == written
    page = scan_report.report(tmp_path / "api")
    assert page == tmp_path / "api" / "index.html"
    seconds = re.compile(r'"seconds": [0-9.]+')
    for name in ("findings.json", "evidence.json"):
        ours, theirs = ((tmp_path / by / name).read_text() for by in ("api", "cli"))
        assert seconds.sub("", ours) == seconds.sub("", theirs), name
    assert scan_report.to_json() == (tmp_path / "api" / "findings.json").read_text()


@pytest.mark.slow
def test_a_scan_twice_gives_the_same(world: Scene, scan_report: sw.ScanReport) -> None:
    assert findings(sw.scan(world.table, world.accounts, threads=1)) == findings(scan_report)


class OnlyCapsule:
    """A table as polars and others appear here: nothing but the PyCapsule interface."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def cast(table: pa.Table, text: pa.DataType, time: pa.DataType) -> pa.Table:
    fields = [
        f.with_type(text if f.type == pa.string() else time if f.name == "time" else f.type)
        for f in table.schema
    ]
    return table.cast(pa.schema(fields))


def batches_of(table: pa.Table) -> Iterator[pa.RecordBatch]:
    yield from table.to_batches(max_chunksize=700)


SHAPES: dict[str, Callable[[pa.Table], Any]] = {
    "reader": lambda t: t.to_reader(),
    "one batch": lambda t: t.combine_chunks().to_batches()[0],
    "a generator of batches": batches_of,
    "a list of tables": lambda t: [t.slice(0, 100), t.slice(100)],
    "large_string, ms": lambda t: cast(t, pa.large_string(), pa.timestamp("ms", "UTC")),
    "string_view, ns, only a capsule": lambda t: OnlyCapsule(
        cast(t, pa.string_view(), pa.timestamp("ns", "Europe/Berlin"))
    ),
    "dictionaries": lambda t: t.set_column(
        t.schema.get_field_index("account"), "account", t["account"].dictionary_encode()
    ).set_column(t.schema.get_field_index("model"), "model", t["model"].dictionary_encode()),
    "dictionaries of views": lambda t: t.set_column(
        t.schema.get_field_index("model"),
        "model",
        pa.chunked_array(
            [
                pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(pa.string_view()))
                for chunk in t["model"].dictionary_encode().chunks
            ]
        ),
    ),
    "pandas": lambda t: t.to_pandas(),
    "pandas with an index": lambda t: t.to_pandas().set_index("time"),
    "pandas, shuffled index": lambda t: t.to_pandas().sample(frac=1.0, random_state=1),
    "pandas categories": lambda t: t.to_pandas().astype({"account": "category", "model": "category"}),
    "ten columns too many": lambda t: t.append_column("note", pa.nulls(len(t), pa.string())).append_column(
        "weights", pa.array([[1.0]] * len(t))
    ),
    "columns in another order": lambda t: t.select(t.column_names[::-1]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_speaks_arrow_is_read_alike(shape: str, world: Scene) -> None:
    table = world.table.slice(0, 1500)
    whole = [f.name for f in RECORD if table[f.name].type == f.type]
    assert whole == RECORD.names
    ms = pa.compute.floor_temporal(table["time"], unit="millisecond")  # every shape can hold milliseconds
    table = table.set_column(table.schema.get_field_index("time"), "time", ms)
    read = sw.read(SHAPES[shape](table))
    rows = sorted(read.to_arrow().to_pylist(), key=lambda row: row["exchange_id"])
    assert rows == sorted(sw.read(table).to_arrow().to_pylist(), key=lambda row: row["exchange_id"])
    assert read.warnings == ()


@pytest.mark.slow
def test_polars_is_read_alike(world: Scene, scan_report: sw.ScanReport) -> None:
    polars = pytest.importorskip("polars")
    assert findings(sw.scan(polars.from_arrow(world.table), polars.from_arrow(world.accounts))) == findings(
        scan_report
    )
    assert polars.from_arrow(scan_report.campaigns.to_arrow())["id"].to_list() == [
        one.id for one in scan_report.campaigns
    ]


@pytest.mark.slow
def test_pandas_gives_the_same_findings(world: Scene, scan_report: sw.ScanReport) -> None:
    result = sw.scan(world.table.to_pandas(), world.accounts.to_pandas())
    assert findings(result) == findings(scan_report)
    assert result.warnings == scan_report.warnings


def test_paths_of_every_kind(tmp_path: Path, few: pa.Table) -> None:
    folder = tmp_path / "logs of march, übrig"
    folder.mkdir()
    pq.write_table(few.slice(0, 3), folder / "one log.parquet")
    pq.write_table(few.slice(3), folder / "two.parquet")
    every = records(few)
    for given in (
        folder,
        str(folder),
        str(folder / "*.parquet"),
        [folder / "one log.parquet", str(folder / "two.parquet")],
        sorted(folder.glob("*.parquet")),
        (path for path in sorted(folder.iterdir())),
    ):
        assert records(given) == every


# --- columns with other names -----------------------------------------------------------------------------

NAMES = {"account": "tenant name", "prompt": "q", "time": "when"}


@pytest.mark.slow
def test_columns_of_a_table_and_of_files(tmp_path: Path, few: pa.Table) -> None:
    other = few.rename_columns(["when", "tenant name", "q", "model"])
    decoy = other.append_column("account", pa.array(["the proxy"] * 6)).append_column(
        "tenant", pa.array(["an alias"] * 6)
    )
    expected = records(few)
    pq.write_table(decoy, tmp_path / "log.parquet")
    pa.csv.write_csv(decoy, tmp_path / "log.csv")
    lines = [json.dumps(row, default=str) for row in decoy.to_pylist()]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    (tmp_path / "docker.jsonl").write_text("\n".join(json.dumps({"log": line}) for line in lines))
    for data in (decoy, decoy.to_pandas(), *tmp_path.iterdir()):
        assert records(data, columns=NAMES) == expected, data
    assert sw.scan(decoy, columns=NAMES).totals.accounts == 3


def test_a_line_without_its_named_column_is_no_other_payers(tmp_path: Path) -> None:
    """An alias that happens to exist must not replace the column that was named."""
    log = tmp_path / "log.jsonl"
    rows = [
        {"time": "2026-03-01T12:00:00Z", "prompt": "hi", "team": "a", "api_key": "k1"},
        {"time": "2026-03-01T12:01:00Z", "prompt": "hi", "api_key": "k2"},
        {"time": "2026-03-01T12:02:00Z", "prompt": "hi", "team": None, "api_key": "k3"},
    ]
    log.write_text("\n".join(map(json.dumps, rows)))
    read = sw.read(log, columns={"account": "team"})
    assert [row["account"] for row in read.to_arrow().to_pylist()] == ["a"]
    assert read.warnings[0].startswith("2 lines could not be read")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"acount": "x"}, "'acount' is no field of the record; near: account"),
        ({"account": "nowhere"}, "nowhere"),
        ({"account": 7}, "right would be a column's name"),
        (
            {"account": "account", "end_user": "account"},
            "'account' is named for 'account' and for 'end_user'",
        ),
    ],
)
def test_columns_that_make_no_sense(few: pa.Table, tmp_path: Path, columns: Any, words: str) -> None:
    pa.csv.write_csv(few, tmp_path / "log.csv")
    (tmp_path / "log.jsonl").write_text(json.dumps(few.slice(0, 1).to_pylist()[0], default=str))
    for data in (few, tmp_path / "log.csv", tmp_path / "log.jsonl"):
        with pytest.raises(sw.InputError, match=re.escape(words)):
            sw.scan(data, columns=columns)


# --- refused input, and input that is only counted --------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop_columns("account"), "or name yours: columns={'account': '...'}"),
        (lambda t: t.drop_columns("time"), "has no column 'time'"),
        (lambda t: t.slice(0, 0), "is empty: no row to read"),
        (lambda t: t.to_pandas().iloc[:0], "is empty: no row to read"),
        (lambda t: t.set_column(1, "account", pa.array([1.5] * 6)), "'account' is of type double"),
        (lambda t: t.set_column(0, "time", pa.array([True] * 6)), "'time' is of type bool"),
        (lambda t: t.to_pandas().assign(time=lambda f: f.time.dt.tz_localize(None)), "assume_utc=True"),
        (lambda t: t.append_column("account", t["account"]), "'account' appears twice"),
        (lambda t: t.set_column(1, "account", pa.nulls(6)), "column account is empty"),
        (lambda t: {"time": [1]}, "is a dict; right would be a path"),
        (lambda t: t.to_pylist(), "pyarrow.Table.from_pylist"),
        (lambda t: iter(t.to_pylist()), "pyarrow.Table.from_pylist"),
        (lambda t: 7, "is a int; right would be a path"),
        (lambda t: None, "is a NoneType; right would be a path"),
        (lambda t: b"log.parquet", "is a bytes; right would be a path"),
        (lambda t: [], "no log given"),
        (lambda t: "", "an empty text is no path"),
        (lambda t: ["", "log.parquet"], "an empty text is no path"),
        (lambda t: iter(()), "holds nothing"),
        (lambda t: ["log.parquet", t], "a list of logs holds a path and a Table"),
        (lambda t: [t, "log.parquet"], "a list of logs holds a path and a Table"),
        (lambda t: np.zeros(3), "is a numpy.float64; right would be"),
        (lambda t: pd.DataFrame({"account": ["a", 1, b"x"]}), "cannot be handed over as Arrow"),
        (lambda t: pd.Series(["a"], name="account"), None),
    ],
)  # fmt: skip
def test_refusals_are_sentences(few: pa.Table, change: Callable[[Any], Any], words: str | None) -> None:
    with pytest.raises(sw.InputError) as caught:
        sw.scan(change(few))
    assert words is None or words in str(caught.value), caught.value
    assert "Traceback" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.slow
def test_a_stream_that_breaks_off(few: pa.Table) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from few.to_batches()
        raise OSError("the disk is gone")

    reader = pa.RecordBatchReader.from_batches(few.schema, broken())
    result = sw.scan(reader)
    assert result.totals.exchanges == 6
    assert any("broke off" in text for text in result.warnings)


def test_what_a_callers_generator_raises_is_the_callers(few: pa.Table) -> None:
    def mine() -> Iterator[pa.Table]:
        yield few
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        sw.scan(mine())


@pytest.mark.slow
def test_bad_rows_are_counted_and_the_rest_is_read(few: pa.Table, tmp_path: Path) -> None:
    bad = few.to_pandas().assign(
        account=["a", None, "c", "", "b", "c"],
        status=[200, 200, 99999, 200, 200, 429],
        temperature=[0.1, np.nan, 0.2, 0.3, np.inf, 0.5],
        max_tokens=[1.0, np.nan, 2.0, 3.5, 4.5, 5.0],
        client_ip=np.nan,
    )
    result = sw.scan(bad, rejected=tmp_path / "rejected.jsonl")
    assert result.totals.exchanges == 3
    assert result.totals.rejected == 3
    assert result.warnings[0] == "3 lines could not be read (a refused table counts as one)."
    assert any("table:row 2: column account is empty" in text for text in result.warnings)
    assert any("left empty" in text and "rejected.jsonl" not in text for text in result.warnings)
    places = [json.loads(line)["place"] for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert {"table:row 2", "table:row 3", "table:row 4"} <= set(places)
    assert sw.scan(bad).to_json().count('"rejected": 3') == 1


@pytest.mark.slow
def test_an_earlier_scans_rejected_rows_do_not_stay(few: pa.Table, tmp_path: Path) -> None:
    place = tmp_path / "rejected.jsonl"
    place.write_text("of an earlier scan")
    sw.scan(few, rejected=place)
    assert not place.exists()
    with pytest.raises(sw.InputError, match=r"rejected: .* cannot be written"):
        sw.scan(few, rejected=tmp_path)


@pytest.mark.slow
def test_sketched_tables_need_their_key(world: Scene) -> None:
    sketcher = Sketcher(KEY)
    table = pa.Table.from_batches([sketch_batch(batch, sketcher) for batch in world.table.to_batches()])
    plain = sw.scan(world.table, world.accounts, key=KEY)
    assert findings(sw.scan(table, world.accounts, key=KEY)) == findings(plain)
    with pytest.raises(sw.InputError, match="was sketched under key"):
        sw.scan(table, world.accounts)
    with pytest.raises(sw.InputError, match="does not say under which key"):
        sw.scan(table.replace_schema_metadata(None), key=KEY)
    with pytest.raises(sw.InputError, match="holds sketches instead of texts"):
        sw.read(table).to_arrow()


@pytest.mark.slow
def test_exchanges_go_wherever_arrow_goes(few: pa.Table) -> None:
    read = sw.read(few)
    assert (
        pa.table(read).equals(read.to_arrow()) is read.to_reader().read_all().equals(read.to_arrow()) is True
    )
    assert sw.scan(read).totals.exchanges == 6
    with pytest.raises(sw.InputError, match="no column 'account'"):
        sw.read(few.drop_columns("account")).to_reader().read_all()


@pytest.mark.slow
def test_duplicate_ids_count_once(few: pa.Table) -> None:
    twice = pa.concat_tables([few, few]).append_column(
        "exchange_id", pa.array([f"x{k % 6}" for k in range(12)])
    )
    result = sw.scan(twice)
    assert result.totals.exchanges == 6
    assert any("6 rows repeated an earlier one" in text for text in result.warnings)


@pytest.mark.slow
def test_a_table_without_texts_is_judged_as_far_as_it_goes(few: pa.Table) -> None:
    for shape in (few.drop_columns("prompt"), few.drop_columns("prompt").to_reader()):
        result = sw.scan(shape)
        assert result.could_not_judge
        assert "texts" in result.coverage.lacks
        assert any("without one" in text for text in result.warnings)


@pytest.mark.slow
def test_accounts_of_every_shape(world: Scene, tmp_path: Path) -> None:
    frame = world.accounts.to_pandas()
    frame["country"] = np.nan
    naive = frame.assign(created=frame.created.dt.tz_localize(None))
    log = world.table.slice(0, 400)
    good = sw.scan(log, world.accounts)
    assert sw.scan(log, frame).warnings == good.warnings == ()
    assert any("left empty" in text for text in sw.scan(log, naive).warnings)
    for wrong, words in (
        (few_columns := frame[["org"]], "has no column 'account'"),
        (few_columns.iloc[:0], "has no column 'account'"),
        (frame.iloc[:0], "no account could be read"),
        (tmp_path / "none.csv", "no such file"),
        (7, "accounts table: is a int"),
    ):
        with pytest.raises(sw.InputError, match=words):
            sw.scan(log, wrong)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"key": b"short"}, "key: is of 5 bytes; give at least 16"),
        ({"key": "text of enough letters"}, "key: is of str"),
        ({"threads": 0}, "threads: is 0"),
        ({"threads": 1.5}, "threads: is 1.5"),
        ({"now": datetime(2026, 3, 1)}, "now: 2026-03-01T00:00:00 has no zone"),  # noqa: DTZ001
        ({"now": "2026-03-01"}, "now: is a str"),
        ({"accounts": ["a.csv", "b.csv"]}, "accounts table: is 2 paths"),
        ({"accounts": []}, "accounts table: is 0 paths"),
        ({"settings": {"window_days": 3}}, "right would be stillwatch.Settings"),
    ],
)
def test_arguments_that_make_no_sense(few: pa.Table, how: Any, words: str) -> None:
    with pytest.raises(sw.InputError, match=re.escape(words)):
        sw.scan(few, **how)


@pytest.mark.slow
def test_progress_is_told_and_may_stop_a_scan(world: Scene, scan_report: sw.ScanReport) -> None:
    stages: list[str] = []
    sw.scan(world.table, world.accounts, progress=lambda stage, done, total: stages.append(stage))
    assert {"reading", "watching"} <= set(stages)

    def stop(stage: str, done: int, total: int | None) -> None:
        if stage == "watching" and done:
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        sw.scan(world.table, world.accounts, progress=stop)
    assert threading.active_count() == before
    assert findings(sw.scan(world.table, world.accounts)) == findings(scan_report)


@pytest.mark.slow
def test_scans_in_threads(world: Scene, scan_report: sw.ScanReport) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: findings(sw.scan(world.table, world.accounts)), range(2)))
    assert both == [findings(scan_report)] * 2


def _in_child(table: pa.Table, accounts: pa.Table, out: Any) -> None:
    out.put(findings(sw.scan(table, accounts)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_scan_in_a_forked_process(world: Scene, scan_report: sw.ScanReport) -> None:
    context = multiprocessing.get_context("fork")
    out = context.Queue()
    child = context.Process(target=_in_child, args=(world.table, world.accounts, out))
    child.start()
    try:
        assert out.get(timeout=120) == findings(scan_report)
    finally:
        child.join(10)
        child.kill()
    assert child.exitcode == 0


# --- the result -------------------------------------------------------------------------------------------


def test_tables_of_a_result(scan_report: sw.ScanReport) -> None:
    table = scan_report.campaigns.to_arrow()
    document = findings(scan_report)
    assert table["id"].to_pylist() == [one["id"] for one in document["campaigns"]]
    assert table["accounts"].to_pylist() == [one["accounts"] for one in document["campaigns"]]
    assert table["exchanges"].to_pylist() == [one["harvest"]["exchanges"] for one in document["campaigns"]]
    assert (
        len(scan_report.accounts) == scan_report.accounts.to_arrow().num_rows == scan_report.totals.accounts
    )
    assert list(scan_report.accounts.to_pandas().columns)[:2] == ["account", "campaign"]
    assert pa.table(scan_report.campaigns).equals(table)
    assert scan_report.campaigns[0] in list(scan_report.campaigns)
    assert len(scan_report.campaigns[:1]) == 1
    assert scan_report.leads.to_arrow().num_rows == len(scan_report.leads)
    assert scan_report.leads[:0].to_arrow().schema == scan_report.leads.to_arrow().schema
    assert repr(scan_report).startswith("ScanReport: 1 campaign over")
    assert isinstance(scan_report.explain(scan_report.campaigns[0].id), str)
    with pytest.raises(sw.InputError, match="no such account"):
        scan_report.explain("nobody at all")
    assert findings(pickle.loads(pickle.dumps(scan_report))) == findings(scan_report)


def test_to_pandas_without_pandas(scan_report: sw.ScanReport, monkeypatch: pytest.MonkeyPatch) -> None:
    class Poor:
        def to_pandas(self) -> None:
            raise ModuleNotFoundError("No module named 'pandas'")

    monkeypatch.setattr(sw.ResultTable, "to_arrow", lambda self: Poor())
    with pytest.raises(sw.InputError, match="pip install pandas"):
        scan_report.campaigns.to_pandas()


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[Any] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.attributes += attrs


def test_notebook_views_are_small_and_defused(scan_report: sw.ScanReport) -> None:
    table = pa.table({"<script>": ['<img src=x onerror=alert(1)>"', "\u202eevil\n"], "n": [[1, 2], None]})
    evil = sw.ResultTable([1, 2], lambda rows: table)
    for view in (scan_report._repr_html_(), scan_report.campaigns._repr_html_(), evil._repr_html_()):
        tags = _Tags()
        tags.feed(view)
        allowed = {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
        assert tags.tags <= allowed
        assert tags.attributes == []
        assert len(view) < 20_000
    assert "\u202e" not in evil._repr_html_()
    assert scan_report.campaigns[0].id in scan_report._repr_html_()


def test_a_report_alone_and_where_it_cannot_be(scan_report: sw.ScanReport, tmp_path: Path) -> None:
    page = scan_report.report(tmp_path / "one page.html")
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert list(tmp_path.iterdir()) == [page]
    (tmp_path / "file").write_text("")
    with pytest.raises(sw.InputError, match="could not be written"):
        scan_report.report(tmp_path / "file" / "below")


# --- settings ---------------------------------------------------------------------------------------------


def test_every_setting_has_a_unit_a_source_that_can_be_opened_and_bounds() -> None:
    for row in sw.Settings.describe():
        assert row["unit"], row
        assert str(row["meaning"]).endswith("."), row
        source = str(row["source"])
        assert source.startswith("https://") or (ROOT / source.partition("#")[0]).is_file(), row
    assert sw.Settings().changes() == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_days": 0.0},
        {"window_days": float("nan")},
        {"window_days": "5"},
        {"min_entrants": 4.5},
        {"min_entrants": True},
        {"false_cases_per_10k_account_days": 0},
        {"parts": frozenset({"ears"})},
        {"correlation_floor": (0.1, 0.1)},
        {"correlation_floor": (0.4, 0.4, 0.4)},
        {"alpha_ceiling": 1.0},
    ],
)
def test_settings_out_of_bounds(wrong: Any) -> None:
    with pytest.raises(sw.InputError):
        sw.Settings(**wrong)


@pytest.mark.slow
@pytest.mark.parametrize(
    "strict",
    [
        {"parts": frozenset({"wording"})},
        {"min_entrants": 1000, "parts": frozenset({"wording", "model"})},
        {"novelty": 1000.0, "parts": frozenset({"wording", "openings", "model"})},
        {"neighbours": 1, "novelty": 1000.0, "parts": frozenset({"wording", "model"})},
        {"burn_in_days": 28.0, "parts": frozenset({"wording", "openings", "model"})},
        {"alpha_ceiling": 1e-9, "looks_before_alarm": 24},
        {"correlation_floor": (0.5, 0.5, 0.5), "correlation_ceiling": (0.5, 0.5, 0.5)},
    ],
)  # fmt: skip
def test_each_setting_reaches_the_detection(world: Scene, scan_report: sw.ScanReport, strict: Any) -> None:
    result = sw.scan(world.table, world.accounts, settings=sw.Settings(**strict))
    assert result.settings.changes() == strict
    assert any("not the shipped settings" in text for text in result.notes)
    assert findings(result)["campaigns"] != findings(scan_report)["campaigns"]


@pytest.mark.slow
def test_a_longer_window_and_other_looks_change_when_an_alarm_comes(
    world: Scene, scan_report: sw.ScanReport
) -> None:
    unsure = {"alpha_ceiling": 1e-8}  # otherwise one evaluation is enough for this pool
    slow = sw.scan(world.table, world.accounts, settings=sw.Settings(looks_before_naming=24, **unsure))
    fast = sw.scan(world.table, world.accounts, settings=sw.Settings(looks_before_naming=1, **unsure))
    assert [one.named_at for one in slow.campaigns] != [one.named_at for one in fast.campaigns]
    short = sw.scan(world.table, world.accounts, settings=sw.Settings(window_days=1.0))
    assert findings(short)["campaigns"] != findings(scan_report)["campaigns"]


@pytest.mark.slow
def test_a_report_under_other_settings_says_so(
    world: Scene, scan_report: sw.ScanReport, tmp_path: Path
) -> None:
    """Its error rates were measured with the shipped tests: with looser tests they do not apply."""
    loose = sw.Settings(alpha_ceiling=0.05, parts=sw.Settings().parts - {"follow"})
    said = "These are not the shipped settings (parts without follow, alpha_ceiling 0.05)."
    result = sw.scan(world.table, world.accounts, settings=loose)
    assert result.notes[0].startswith(said)
    assert said in result.report(tmp_path / "page.html").read_text()
    assert not any("shipped settings" in text for text in scan_report.notes)
    live = sw.LiveScan(world.accounts, settings=loose)
    live.add(world.table)
    live.finish()
    assert live.result.notes[0].startswith(said)
    log = tmp_path / "log.parquet"
    pq.write_table(world.table.slice(0, 300), log)
    done = stillwatch("scan", log, "--false-cases", "7", "--out", tmp_path / "cli")
    assert "false_cases_per_10k_account_days 7.0" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_the_dial(world: Scene) -> None:
    """If honest groups may be more alike, the pool is only found with a larger false-positive budget."""
    granted = {"correlation_floor": (0.1, 0.1, 0.1), "correlation_ceiling": (0.1, 0.1, 0.1)}
    few, many = (
        sw.scan(
            world.table, world.accounts, settings=sw.Settings(false_cases_per_10k_account_days=d, **granted)
        )
        for d in (0.001, 100.0)
    )
    assert len(few.campaigns) < len(many.campaigns)


# --- live -------------------------------------------------------------------------------------------------


def pieces(table: pa.Table, hours: int) -> Iterator[pa.Table]:
    table = table.sort_by("time")
    us = table["time"].cast(pa.int64()).to_numpy()
    for start in range(int(us[0]), int(us[-1]) + 1, hours * HOUR_US):
        lo, hi = np.searchsorted(us, [start, start + hours * HOUR_US])
        yield table.slice(lo, hi - lo)


def test_a_bad_row_of_before_hides_no_refusal() -> None:
    """Otherwise each `add` would return 0 new exchanges, without a reason."""
    row = {"account": "a", "prompt": "what is one plus two"}
    good = pa.Table.from_pylist([row | {"time": f"2026-03-0{day}T08:00:00Z"} for day in (1, 2)])
    bad = pa.Table.from_pylist([row | {"time": "never"}])
    live = sw.LiveScan()
    assert live.add(pa.concat_tables([good, bad.select(good.column_names)])) == 2
    assert live.add(bad) == 0  # counted, and no refusal
    other = pa.Table.from_batches(
        [sketch_batch(batch, Sketcher(KEY)) for batch in sw.read(good).to_arrow().to_batches()]
    )
    with pytest.raises(sw.InputError, match="was sketched under key"):
        live.add(other)


@pytest.mark.slow
def test_batches_in_alarms_out_through_restarts(
    world: Scene, scan_report: sw.ScanReport, tmp_path: Path
) -> None:
    live = sw.LiveScan(world.accounts, key=KEY)
    with pytest.raises(sw.InputError, match="nothing was evaluated yet"):
        _ = live.result
    assert live.look() == live.finish() == ()
    alarms: list[sw.LiveAlarm] = []
    for number, piece in enumerate(pieces(world.table, 13)):
        added = live.add(piece.to_pandas() if number % 2 else piece)
        assert added == len(piece)
        assert live.add(piece.slice(0, 5)) == 0
        alarms += live.look()
        assert live.look() == ()
        if number % 5 == 3:
            live.save(tmp_path / "state")
            live = sw.LiveScan.load(tmp_path / "state", world.accounts, key=KEY)
    alarms += live.finish()
    once = sw.scan(world.table, world.accounts, key=KEY)
    assert findings(live.result)["campaigns"] == findings(once)["campaigns"]
    firm = [alarm for alarm in alarms if not alarm.provisional]
    named = [account for alarm in firm for account in alarm.accounts]
    assert len(named) == len(set(named))
    assert set(named) >= {account for one in scan_report.campaigns for account in one.accounts}
    assert all(alarm.at.tzinfo is not None and alarm.text for alarm in alarms)


@pytest.mark.slow
def test_a_live_scan_bears_bad_batches(few: pa.Table, tmp_path: Path) -> None:
    live = sw.LiveScan(columns={"account": "who"})
    named = few.rename_columns(["time", "who", "prompt", "model"])
    assert live.add(named.slice(0, 0)) == 0
    assert live.add(named) == 6
    assert live.add(named.set_column(1, "who", pa.nulls(6, pa.string()))) == 0
    with pytest.raises(sw.InputError, match="no column 'who'"):
        live.add(few)
    live.look()
    assert live.result.totals.exchanges == 6
    assert live.result.warnings[0].startswith("7 lines could not be read")
    with pytest.raises(sw.InputError, match="give a key of your own"):
        live.save(tmp_path / "state")
    with pytest.raises(sw.InputError, match="has no zone"):
        live.look(now=datetime(2026, 3, 1))  # noqa: DTZ001 - the error is about that
    with pytest.raises(sw.InputError, match="there is no saved live scan"):
        sw.LiveScan.load(tmp_path / "none", key=KEY)


@pytest.mark.slow
def test_a_saved_live_scan_keeps_its_settings(few: pa.Table, tmp_path: Path) -> None:
    mine = sw.Settings(window_days=7.0, parts=frozenset({"wording", "model"}))
    live = sw.LiveScan(settings=mine, key=KEY)
    live.add(few)
    live.finish()
    live.save(tmp_path / "state")
    loaded = sw.LiveScan.load(tmp_path / "state", key=KEY)
    assert loaded.settings.changes() == mine.changes()
    assert loaded.exchanges == 6
    with pytest.raises(sw.InputError, match="key"):
        sw.LiveScan.load(tmp_path / "state", key=b"quite another key than that")
    (tmp_path / "state").write_bytes(b"PK nothing")
    with pytest.raises(sw.InputError, match="no whole saved live scan"):
        sw.LiveScan.load(tmp_path / "state", key=KEY)


# --- the docstrings in the reference ---------------------------------------------------------------------


def test_public_functions_say_what_they_take_and_what_they_refuse() -> None:
    for path in ("api/scanning.py", "api/exchanges.py", "api/live.py", "api/result.py"):
        tree = ast.parse((ROOT / "src" / "stillwatch" / path).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name in ("scan", "read", "add", "look", "load"):
                text = ast.get_docstring(node) or ""
                assert "Arguments:" in text, (path, node.name)
                assert "Raises:" in text, (path, node.name)
