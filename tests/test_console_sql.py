"""The console's SQL: it answers, and cannot read or write outside its copy or run beyond its time limit."""

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from console_world import NOW, World, csrf_in, world
from stillwatch.cases import Verdict, handling, reading
from stillwatch.cases.audit.reading import read
from stillwatch.cases.fold import fold
from stillwatch.cases.store import Store
from stillwatch.console import ConsoleError, sql
from stillwatch.console.copies import COPIED, copy, copy_exchanges
from stillwatch.console.query import MOST_ROWS, answer
from stillwatch.console.sql import LIMIT_MS, Snapshots
from stillwatch.exchanges import RECORD
from test_report_world import result


@pytest.fixture(scope="module")
def asked(still: World) -> Iterator[Snapshots]:
    made = Snapshots(still.store)
    yield made
    made.close()


@pytest.mark.slow
def test_it_answers(asked: Snapshots, still: World) -> None:
    said = asked.ask("SELECT id, members FROM cases WHERE members = 300")
    assert (said.error, said.cut) == (None, False)
    assert said.columns == ("id", "members")
    assert said.rows == ((still.cases["c-7f3a19"], 300),)
    for table in asked.tables:
        assert answer(str(asked.path), f"SELECT count(*) FROM {table}", LIMIT_MS)["error"] is None
    many = answer(str(asked.path), "SELECT * FROM range(5000)", LIMIT_MS)
    assert (len(many["rows"]), many["cut"]) == (MOST_ROWS, True)


def log(path: Path, n: int, more: dict[str, list[object]] | None = None) -> Path:
    """Write a log of n exchanges in which every text contains a canary."""
    at = datetime.fromtimestamp(NOW // 1_000_000, UTC)
    told = {
        "time": [at] * n, "account": ["acct-1"] * n, "prompt": ["canary question"] * n,
        "completion": ["canary answer"] * n, "client_ip": ["203.0.113.77"] * n, "system": ["canary"] * n,
        "model": ["mira"] * n, "output_tokens": list(range(n)),
    }  # fmt: skip
    table = pa.table(told | (more or {}))
    pq.write_table(table.cast(pa.schema([RECORD.field(name) for name in table.schema.names])), path)
    return path


@pytest.mark.slow
def test_exchanges_can_be_asked_about_and_hold_no_text(still: World, tmp_path: Path) -> None:
    files = [log(tmp_path / "a.parquet", 3), tmp_path / "gone.parquet", log(tmp_path / "b.parquet", 2)]
    asked = Snapshots(still.store, lambda: files)
    try:
        said = asked.ask(
            "SELECT account, model, count(*), sum(output_tokens), count(turn) FROM exchanges GROUP BY ALL"
        )
        assert (said.error, said.rows) == (None, (("acct-1", "mira", 5, 4, 0),))
        joined = "SELECT count(*) FROM cases JOIN claims ON case_id = id, exchanges"
        held = [str(asked.path), str(Path(str(asked.path)).parent / "exchanges.duckdb")]
        assert answer(held[0], joined, LIMIT_MS, held[1])["error"] is None
        for column in ("prompt", "completion", "system", "client_ip"):
            refused = answer(held[0], f"SELECT {column} FROM exchanges", LIMIT_MS, held[1])
            assert "Binder Error" in refused["error"]
        assert asked.path is not None
        data = b"".join(file.read_bytes() for file in asked.path.parent.iterdir())
        assert b"canary" not in data
        assert b"203.0.113" not in data
        for query in (
            *ESCAPES[:12:4],
            "DROP VIEW exchanges",
            "DETACH recorded",
            "INSERT INTO recorded.exchanges DEFAULT VALUES",
        ):
            assert answer(held[0], query.replace("{folder}", str(tmp_path)), LIMIT_MS, held[1])["error"], (
                query
            )
    finally:
        asked.close()
    assert not Path(held[0]).exists()


def test_the_newest_exchanges_are_copied_first_and_damage_is_a_sentence(tmp_path: Path) -> None:
    files = [str(log(tmp_path / f"{k}.parquet", 4, {"model": [f"m{k}"] * 4})) for k in range(3)]
    said = copy_exchanges(files, tmp_path / "copy.duckdb", most=5)
    assert said == "exchanges: the newest 8; left out: 1 older file"
    with duckdb.connect(str(tmp_path / "copy.duckdb")) as db:
        assert db.execute("SELECT DISTINCT model FROM exchanges ORDER BY 1").fetchall() == [("m1",), ("m2",)]
    whole = Path(files[0]).read_bytes()
    Path(files[0]).write_bytes(whole[:200] + bytes(len(whole) - 204) + whole[-4:])
    with pytest.raises(ConsoleError, match=r"0\.parquet: cannot be copied"):
        copy_exchanges(files[:1], tmp_path / "damaged.duckdb")


ESCAPES = (
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_blob('{folder}/*')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM parquet_metadata('{folder}/x.parquet')",
    "SELECT * FROM read_parquet('http://127.0.0.1:9/x.parquet')",
    "SELECT * FROM sqlite_scan('{folder}/cases.db', 'console_users')",
    "ATTACH '{folder}/cases.db' AS c (TYPE sqlite)",
    "ATTACH '{folder}/new.db'",
    "COPY cases TO '{folder}/out.csv'",
    "COPY (SELECT 1) TO '{folder}/out.csv'",
    "COPY cases FROM '/etc/passwd'",
    "EXPORT DATABASE '{folder}/out'",
    "IMPORT DATABASE '{folder}/out'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{folder}/x.so'",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET memory_limit = '100GB'",
    "RESET enable_external_access",
    "PRAGMA enable_external_access = true",
    "PRAGMA database_list",
    "CALL pragma_database_size()",
    "CREATE TABLE t AS SELECT 1",
    "CREATE TEMP TABLE t AS SELECT 1",
    "CREATE MACRO f(x) AS x + 1",
    "CREATE SECRET s (TYPE s3)",
    "INSERT INTO cases SELECT * FROM cases",
    "UPDATE cases SET owner = 'me'",
    "DELETE FROM cases",
    "DROP TABLE cases",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "PREPARE q AS SELECT 1",
    "EXECUTE q",
    "USE memory",
    "EXPLAIN ANALYZE DELETE FROM cases",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE cases",
    "",
    ";",
    "--",
    "SELECT * FROM store",  # no variable of ours
    "SELECT * FROM config",
    "SELECT * FROM query",
    "SELECT * FROM console_users",
    "SELECT * FROM console_sessions",
    "SELECT * FROM audit_records",
    "SELECT getenv('HOME')",
    "SELECT * FROM query('SELECT 1; DROP TABLE cases')",
    "SELECT * FROM query_table('console_users')",
    "SELECT " + "(" * 3_000 + "1" + ")" * 3_000,
)


@pytest.fixture(scope="module")
def copied(asked: Snapshots) -> str:
    assert asked.ask("SELECT 1").rows == ((1,),)
    return str(asked.path)


@pytest.mark.slow
@pytest.mark.parametrize("query", ESCAPES)
def test_there_is_no_way_out(copied: str, still: World, query: str) -> None:
    """Run inside this process: the other process adds its own protection."""
    folder = Path(str(still.store.url.database)).parent
    places = [folder, Path(copied).parent]
    before = [sorted(place.iterdir()) for place in places]
    said = answer(copied, query.replace("{folder}", str(folder)), LIMIT_MS)
    assert said["error"], said
    assert "Traceback" not in said["error"]
    assert said["rows"] == []
    assert [sorted(place.iterdir()) for place in places] == before
    kept = answer(copied, "SELECT count(*) FROM cases WHERE owner IS NULL", LIMIT_MS)
    assert kept["rows"] == [[len(still.cases)]]


@pytest.mark.slow
@pytest.mark.parametrize("query", [ESCAPES[0], "SELECT \ud800"])
def test_the_other_process_says_the_same(asked: Snapshots, query: str) -> None:
    said = asked.ask(query)
    assert said.error


@pytest.mark.slow
def test_it_answers_where_a_thousand_descriptors_are_open(asked: Snapshots) -> None:
    """select() accepts none above 1,023, and a gateway with many clients exceeds that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        with open(os.devnull, "rb") as one, ExitStack() as held:
            while (more := os.dup(one.fileno())) < 1_100:
                held.callback(os.close, more)
            held.callback(os.close, more)
            assert asked.ask("SELECT 1").rows == ((1,),)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM range(10_000_000_000) a",
        "SELECT count(*) FROM range(1_000_000) a, range(1_000_000) b",
        "SELECT max(a.range + b.range) FROM range(10_000_000) a, range(1_000_000) b ORDER BY 1",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
        "SELECT list(a.range) FROM range(1_000_000_000) a",
        "SELECT repeat('x', 2_000_000_000)",
    ],
)
def test_nothing_takes_longer_or_more_than_it_may(asked: Snapshots, query: str) -> None:
    begun = time.monotonic()
    said = asked.ask(query, limit_ms=200)
    took_s = time.monotonic() - begun
    assert said.took_ms < 5_000  # since the process was ready
    assert took_s < 60.0, took_s
    if said.error is None:
        assert all(len(str(cell)) < 3_000 for row in said.rows for cell in row)


def tables_of(file: Path) -> dict[str, list[Any]]:
    with duckdb.connect(str(file), read_only=True) as db:
        names = (*COPIED, "claims")
        return {name: sorted(db.execute(f"FROM {name}").fetchall(), key=repr) for name in names}


@pytest.mark.slow
def test_a_copy_that_is_brought_up_to_date_equals_one_that_is_made_anew(tmp_path: Path) -> None:
    """After each kind of change: people's acts, merges, splits, undoing, a scan with other accounts."""
    made = world(tmp_path)
    store, (one, other) = made.store, sorted(made.cases.values())[:2]
    said = {"who": "anna", "why": "w", "now_us": NOW}
    accounts = store.case(one).accounts

    def another_scan() -> None:
        found = result(300)
        grown = tuple(
            replace(c, accounts=(*c.accounts, "\x1anew \ud800")) if len(c.accounts) > 3 else c
            for c in found.campaigns
        )
        fold(store, replace(found, campaigns=grown), NOW + 1, "later")

    changes: list[Callable[[], object]] = [
        lambda: handling.note(store, one, "a note", who="anna", now_us=NOW),
        lambda: handling.judge_accounts(store, one, accounts[:1], Verdict.VICTIM, **said),
        lambda: handling.merge(store, one, other, **said),
        lambda: handling.undo(store, other, reading.acts(store, other)[-1].id, **said),
        lambda: handling.split(store, one, accounts[1:3], **said),
        another_scan,
        lambda: None,
    ]
    kept, revision = tmp_path / "kept.duckdb", copy(store, tmp_path / "kept.duckdb")
    for number, change in enumerate(changes):
        change()
        fresh = tmp_path / f"fresh-{number}.duckdb"
        assert copy(store, fresh) == (revision := copy(store, kept, revision))
        assert tables_of(kept) == tables_of(fresh), number
    store.close()


@pytest.mark.slow
def test_a_large_store_is_copied_by_a_process_of_its_own(tmp_path: Path, monkeypatch: Any) -> None:
    made = world(tmp_path)
    monkeypatch.setattr(sql, "LARGE", 1)
    asked = Snapshots(made.store)
    asked.prepare()
    assert asked.ask("SELECT count(*) FROM cases").rows == ((len(made.cases),),)
    handling.note(made.store, next(iter(made.cases.values())), "a note", who="anna", now_us=NOW)
    assert asked.ask("SELECT count(*) FROM acts WHERE verb = 'note'").rows == ((1,),)
    asked.close()
    made.store.close()


@pytest.mark.slow
def test_a_query_is_answered_while_the_first_copy_is_being_made(tmp_path: Path, monkeypatch: Any) -> None:
    made = world(tmp_path)
    begun, may_end, copy_all = threading.Event(), threading.Event(), sql.copy_whole

    def slow_copy(store: Store, path: Path) -> int:
        begun.set()
        assert may_end.wait(120)
        return copy_all(store, path)

    monkeypatch.setattr(sql, "copy_whole", slow_copy)
    early = (
        "SELECT count(*) FROM members",
        "SELECT account FROM cases JOIN members ON id = case_id WHERE cases.members > 3 ORDER BY 1",
        "WITH largest AS (SELECT max(members) AS m FROM cases) SELECT m FROM largest",
    )
    late = (  # these need what was not copied, or would show that it was not
        "SELECT * FROM cases ORDER BY id",
        "SELECT members FROM members ORDER BY case_id, account",
        "SELECT TRY(COLUMNS(*)) FROM findings ORDER BY ALL",
        "SELECT table_name FROM duckdb_tables(), (SELECT 1 FROM cases LIMIT 1) ORDER BY 1",
        "SELECT count(*) FROM claims",
        "SELECT count(*) FROM cases NATURAL JOIN acts",
    )
    asked = Snapshots(made.store)
    asked.prepare()
    assert begun.wait(60)
    answers = {query: asked.ask(query, 20_000) for query in early}
    with ThreadPoolExecutor(len(late)) as pool:
        waiting = {query: pool.submit(asked.ask, query) for query in late}
        not_done = wait(waiting.values(), timeout=2).not_done
        may_end.set()
        answers |= {query: answer.result() for query, answer in waiting.items()}
    assert len(not_done) == len(late)
    for query, early_answer in answers.items():
        again = asked.ask(query)
        assert (early_answer.error, early_answer.columns, early_answer.rows) == (
            again.error,
            again.columns,
            again.rows,
        ), query
        assert early_answer.error is None
    asked.close()
    made.store.close()


@pytest.mark.slow
def test_a_long_query_is_refused_and_a_changed_case_is_seen(asked: Snapshots, still: World) -> None:
    with pytest.raises(ConsoleError, match="characters"):
        asked.ask("SELECT 1 --" + "x" * 30_000)
    case = still.cases["c-7f3a19"]
    handling.note(still.store, case, "a note", who="anna", now_us=NOW)
    assert asked.ask("SELECT count(*) FROM acts WHERE verb = 'note'").rows == ((1,),)
    assert LIMIT_MS == 1_000


@pytest.mark.slow
def test_a_question_is_on_record_and_its_answer_has_its_forms(still: World) -> None:
    anna = still.client("anna")
    token = csrf_in(anna.get("/sql").text)
    query = "SELECT '=1+1' AS \"<b>\", '<script>' AS b, 1 AS b"
    page = anna.post("/sql", data={"csrf": token, "query": query})
    assert page.status_code == 200
    assert "<script>" not in page.text.replace('<script src="', "")
    assert "<b>" not in page.text
    sheet = anna.post("/sql", data={"csrf": token, "query": query, "format": "csv"})
    assert sheet.text == "<b>,b,b_2\r\n'=1+1,<script>,1\r\n"
    assert sheet.headers["content-type"].startswith("text/csv")
    heads = anna.post("/sql", data={"csrf": token, "query": 'SELECT 1 AS "=cmd()"', "format": "csv"})
    assert heads.text == "'=cmd()\r\n1\r\n"
    rows = anna.post("/sql", data={"csrf": token, "query": query, "format": "json"}).json()["answer"]["rows"]
    assert rows == [{"<b>": "=1+1", "b": "<script>", "b_2": 1}]
    with still.store.reading() as db:
        newest = read(db, limit=1, opened=True)[0]
    assert (newest.who, newest.what) == ("anna", "SQL asked")
    assert newest.personal[0]["query"] == query


@pytest.mark.slow
def test_copies_of_a_killed_process_are_removed_and_those_of_a_live_one_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    script = (
        "import os, signal, tempfile\n"
        "tempfile.tempdir = os.environ['PLACE']\n"
        "from stillwatch.console.sql import Snapshots\n"
        "copies = Snapshots(None)\n"
        "(copies._place() / 'cases.duckdb').write_text('accounts')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PLACE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert len(list(tmp_path.glob("*/cases.duckdb"))) == 1
    (tmp_path / "stillwatch-sql-other").symlink_to(tmp_path.parent)
    with Store(f"sqlite:///{tmp_path / 'cases.db'}") as store:
        one, other = Snapshots(store), Snapshots(store)
        for copies in (one, other):
            assert copies.ask("SELECT count(*) FROM cases").error is None
        assert {c.path for c in (one, other)} == set(tmp_path.glob("*/cases.duckdb"))
        one.close()
        other.close()
    assert tmp_path.parent.exists()
    assert not list(tmp_path.glob("*/cases.duckdb"))


@pytest.mark.slow
def test_a_query_gets_a_process_of_its_own_that_was_started_before(still: World) -> None:
    asked = Snapshots(still.store)
    assert asked.ask("SELECT 1").rows == ((1,),)
    first = asked._next
    assert first is not None
    assert first.alive
    assert asked.ask("SELECT 2").rows == ((2,),)
    assert not first.alive  # no query leaves anything for another
    second = asked._next
    assert second is not None
    assert second is not first
    second.end()  # killed while it waited
    assert asked.ask("SELECT 3").rows == ((3,),)
    third = asked._next
    asked.close()
    assert third is not None
    assert not third.alive


@pytest.mark.slow
def test_a_process_that_waits_for_a_query_ends_with_whoever_started_it() -> None:
    script = (
        "import os, signal\n"
        "from stillwatch.console.sql import QueryProcess\n"
        "waiting = QueryProcess()\n"
        "print(waiting._child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False).stdout
    place, until = Path(f"/proc/{int(said)}/stat"), time.monotonic() + 20
    while place.exists() and place.read_text().split()[2] != "Z":
        assert time.monotonic() < until
        time.sleep(0.05)
