"""A PostgreSQL table as a log: from LiteLLM's own database to a report in one command."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from postgres_server import new_database
from stillwatch.cli.main import app
from stillwatch.errors import InputError
from stillwatch.exchanges import database
from stillwatch.exchanges.database import export_table, is_database, public_url
from stillwatch.exchanges.sources import local_files

psycopg = pytest.importorskip("psycopg")

# the columns that matter of LiteLLM_SpendLogs, as litellm/proxy/schema.prisma (1.108.7) types them
SPEND_LOGS = """CREATE TABLE "LiteLLM_SpendLogs" (
    request_id text PRIMARY KEY, call_type text NOT NULL, api_key text NOT NULL DEFAULT '',
    spend double precision DEFAULT 0, prompt_tokens integer DEFAULT 0, completion_tokens integer DEFAULT 0,
    "startTime" timestamp(3) NOT NULL, "endTime" timestamp(3) NOT NULL, model text DEFAULT '',
    model_group text, "user" text, metadata jsonb DEFAULT '{}', end_user text, requester_ip_address text,
    messages jsonb DEFAULT '{}', response jsonb DEFAULT '{}', session_id text, status text,
    proxy_server_request jsonb DEFAULT '{}')"""


@pytest.fixture
def litellm(server: str) -> str:
    """Yield the address of a database with five of LiteLLM's requests."""
    url = new_database(server).replace("+psycopg", "")
    with psycopg.connect(url) as db:
        db.execute(SPEND_LOGS)
        for k in range(5):
            said = json.dumps([{"role": "user", "content": f"Two lines,\n\tone \u2028 mark {k}"}])
            db.execute(
                'INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, api_key, "startTime", "endTime", '
                "messages, model_group, status) VALUES (%s, 'acompletion', %s, %s, %s, %s, 'm', 'success')",
                (f"r{k}", f"hash{k}", f"2026-03-02 0{k}:00:00.25", f"2026-03-02 0{k}:00:01", said),
            )
        db.execute("CREATE TABLE calls (at timestamptz, who text, said text)")
        db.execute("INSERT INTO calls VALUES ('2026-03-02 09:00:00+00', 'c-1', 'How far is the sea?')")
    return url


def run(*words: str):
    return CliRunner().invoke(app, list(words))


@pytest.mark.slow
def test_litellms_database_is_read_whole_and_never_written(litellm):
    told = run("inspect", litellm, "--json")
    found = json.loads(told.stdout)
    assert [(one["format"], one["rows"]) for one in found["files"]] == [("LiteLLM", 5)]
    assert (found["accounts"], found["refused"], found["filled"]["prompt"]) == (5, 0, 1)
    with local_files([litellm]) as local:
        lines = Path(local[0]).read_text().split("\n")
        assert len(lines) == 6, "one row a line, whatever its texts hold"
        assert "Two lines,\\n\\tone" in lines[0]


@pytest.mark.slow
def test_another_table_is_named_after_the_address(litellm, tmp_path):
    names = ("--map", "time=at", "--map", "account=who", "--map", "prompt=said")
    for table in ("calls", "public.calls"):
        found = json.loads(run("inspect", f"{litellm}#{table}", *names, "--json").stdout)
        assert (found["rows"], found["taken"]["account"]) == (1, "who")
    told = run("scan", f"{litellm}#none", "--out", str(tmp_path / "r"))
    assert told.exit_code == 2
    assert "public.LiteLLM_SpendLogs, public.calls" in told.stderr
    with psycopg.connect(litellm) as db:
        db.execute('DROP TABLE "LiteLLM_SpendLogs"')
    assert "name the table" in run("inspect", litellm).stderr


def test_no_message_holds_a_password(litellm, tmp_path):
    assert public_url("postgres://u:p%40ss@h:99/d?password=x#t") == "postgres://u@h:99/d#t"
    assert not is_database(Path("postgresql://x"))
    assert not is_database("logs/postgresql")
    for url in (
        "postgresql://me:hunter2@127.0.0.1:1/x",
        "postgresql://me:hunter2@/x?host=/nowhere&password=hunter2",
    ):
        told = run("scan", url, "--out", str(tmp_path / "r"))
        assert told.exit_code == 2
        assert "cannot be read" in told.stderr
        assert "hunter2" not in told.output + told.stderr
    for broken in (
        "postgresql://me:hunter2@[h/d",
        "postgresql://me:hunter2@h:door/d",
        "postgresql://me:hunter2@h/d?x",
    ):
        told = run("inspect", broken)
        assert told.exit_code == 2
        assert told.stderr.startswith("stillwatch: ")
        assert "hunter2" not in told.output + told.stderr


@pytest.mark.slow
def test_without_the_driver_the_extra_is_named(monkeypatch, tmp_path):
    def missing(name: str):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(database.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"stillwatch\[postgres\]"):
        export_table("postgresql://h/d", tmp_path)
