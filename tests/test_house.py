"""The structure of the code base: layers, names, public modules, and a light core."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import stillwatch
from stillwatch.cli.main import one_line

ROOT = Path(__file__).parent.parent
PACKAGE = Path(stillwatch.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
SAY_NOTHING = {"util", "utils", "helper", "helpers", "misc", "common", "core", "base", "manager", "managers"}
HEAVY = ("torch", "pandas", "polars", "chdb", "sklearn", "networkx")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.slow
def test_imports_only_go_down() -> None:
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_name_says_something() -> None:
    names = {
        path.relative_to(PACKAGE): set(path.relative_to(PACKAGE).with_suffix("").parts) for path in MODULES
    }
    silent = [str(path) for path, parts in names.items() if parts & SAY_NOTHING]
    assert not silent


@pytest.mark.parametrize(
    "door", [path for path in MODULES if path.name == "__init__.py"], ids=lambda path: path.parent.name
)
def test_a_front_door_does_not_import_its_own_room(door: Path) -> None:
    room = ".".join(["stillwatch", *door.parent.relative_to(PACKAGE).parts])
    for node in ast.walk(ast.parse(door.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{door}: line {node.lineno} is a relative import"
            assert not (node.module or "").startswith(room), (
                f"{door}: line {node.lineno} imports its own room"
            )
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith(room) for alias in node.names), f"{door}: line {node.lineno}"


@pytest.mark.slow
def test_the_command_line_imports_nothing_heavy() -> None:
    done = python(
        "import sys, stillwatch.cli.main; print([name for name in "
        + repr(HEAVY)
        + " if name in sys.modules])"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


TABLES = {"numpy", "pyarrow", "duckdb", "pandas", "scipy"}
PAGES = {"rich", "typer", "jinja2"}
SERVERS = {"fastapi", "uvicorn", "sqlalchemy", "stillwatch.console", "stillwatch.gateway.path.exchange"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("path.worker", TABLES | PAGES | {"fastapi", "uvicorn", "sqlalchemy"}),
        ("template", TABLES | PAGES | SERVERS),
        ("serving", TABLES | PAGES | {"stillwatch.console.app", "stillwatch.scan.pipeline"}),
        ("record.recorder", {"duckdb", "pandas", "stillwatch.coin", "uvloop"} | PAGES | SERVERS),
        ("detector", PAGES | SERVERS),
    ],
)
def test_a_process_of_the_gateway_loads_nothing_of_the_others(module: str, heavy: set[str]) -> None:
    """Each starts quickly and is small: another process does the sketches, scans, pages or serving."""
    code = f"import sys, stillwatch.gateway.{module}; print(*(set(sys.argv[1:]) & set(sys.modules)))"
    words = [sys.executable, "-c", code, *heavy]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.split() == []


@pytest.mark.slow
def test_a_verb_imports_nothing_of_the_others() -> None:
    done = python(
        "import sys; from typer.testing import CliRunner; from stillwatch.cli.main import app\n"
        "print(CliRunner().invoke(app, ['key', '--help']).exit_code, sorted(n for n in sys.modules if n in ("
        "'scipy', 'stillwatch.scan.pipeline', 'stillwatch.range', 'stillwatch.prove', 'stillwatch.distill')))"
    )
    assert (done.returncode, done.stdout.strip()) == (0, "0 []"), done.stderr


def test_the_core_needs_nothing_heavy() -> None:
    locked = {
        line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line
    }
    assert locked.isdisjoint(HEAVY)
    assert "duckdb" in locked


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_names_no_host(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text()


@pytest.mark.slow
def test_a_refusal_is_one_line_and_exit_code_2() -> None:
    done = python(
        "import sys, stillwatch.cli.main as main\n"
        "from stillwatch.errors import InputError\n"
        "@main.app.command()\n"
        "def refuse(): raise InputError('a.jsonl:3: no column `time`\\nnor \\x1b[2J')\n"
        "sys.argv = ['stillwatch', 'refuse']\n"
        "main.run()"
    )
    assert done.returncode == 2
    assert done.stderr == "stillwatch: a.jsonl:3: no column `time` nor \\x1b[2J\n"
    assert done.stdout == ""


@pytest.mark.slow
def test_an_interrupt_is_exit_code_130() -> None:
    done = python(
        "import sys, stillwatch.cli.main as main\n"
        "@main.app.command()\n"
        "def wait(): raise KeyboardInterrupt\n"
        "sys.argv = ['stillwatch', 'wait']\n"
        "main.run()"
    )
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.slow
def test_a_closed_pipe_is_quiet() -> None:
    code = (
        "import sys, stillwatch.cli.main as main\n"
        "@main.app.command()\n"
        "def talk():\n"
        "    for _ in range(100_000): print('a long line of nothing in particular')\n"
        "sys.argv = ['stillwatch', 'talk']\n"
        "main.run()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as talker:
        assert talker.stdout is not None
        assert talker.stderr is not None
        talker.stdout.readline()
        talker.stdout.close()
        complaint = talker.stderr.read()
        assert talker.wait(timeout=60) == 141
    assert complaint == ""


def test_one_line_keeps_what_people_read() -> None:
    assert one_line("naïve  日本\t語\u202e") == "naïve 日本 語\\u202e"
