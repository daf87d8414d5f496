"""A small log with a pool, found, folded into a case, and exported as a bundle. Every text has a canary."""

import atexit
import importlib.util
import shutil
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scan_world import Crowd, Scene, scene
from stillwatch.cases import Verdict
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.bundle import documents
from stillwatch.cases.bundle.export import Exported, prepare, release
from stillwatch.cases.bundle.gather import ScannedLog
from stillwatch.cases.evidence import inputs_of
from stillwatch.cases.fold import fold
from stillwatch.cases.handling import judge_accounts
from stillwatch.cases.reading import Filter, queue
from stillwatch.cases.store import Store
from stillwatch.scan import ScanResult
from stillwatch.scan.pipeline import Options, run

CANARY = "zzcanaryzz"
AGENT, ADDRESS = "canary-agent/7", "172."
HOSTILE = (
    "acct\x00nul",
    "acct \u202egnp.exe",
    "acct<script>alert(1)</script>",
    "acct\x1b[2J\nline",
    "=cmd()|'x'!A1",
)
NOW_US = 1_790_000_000_000_000


@cache
def released() -> ModuleType:
    """Return the checker as distributed, with this release's data: `verify` of a folder of its own."""
    folder = Path(mkdtemp(prefix="stillwatch-checker"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, content in documents.checker().items():
        (folder / name).write_bytes(content)
    spec = importlib.util.spec_from_file_location("released_verify", folder / "verify.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.part = part = cache(module.part)  # type: ignore[attr-defined]
    module.check = partial(module.check, load=part)  # type: ignore[attr-defined]  # else it compiles each anew
    return module


@dataclass(frozen=True)
class Told:
    """The paths of the world."""

    folder: Path
    log: Path
    accounts: Path
    url: str
    case: str
    pool: tuple[str, ...]
    bundle: Path
    said: tuple[str, ...]  # reported before the export
    planted: Scene

    def store(self) -> Store:
        store = Store(self.url)
        attach(store, self.folder / "audit.key")
        return store


def scan_crowd(crowd: Crowd, folder: Path) -> tuple[Path, Path, ScanResult]:
    """Write a crowd's log and accounts to a folder, and scan them."""
    log, accounts = folder / "log.parquet", folder / "accounts.parquet"
    pq.write_table(crowd.table(), log)
    pq.write_table(crowd.accounts(), accounts)
    return log, accounts, run([log], accounts=accounts, options=Options(threads=1))


def oldest_python() -> str | None:
    """Return the oldest Python that the stand-alone checkers support, if installed."""
    built = sorted(Path("~/.pyenv/versions").expanduser().glob("3.9.*/bin/python"))
    return str(built[0]) if built else shutil.which("python3.9")


def make(folder: Path) -> Told:
    planted = scene(1, people=200)
    pool = planted.pools["p0"]
    renamed = dict(zip(pool[: len(HOSTILE)], HOSTILE, strict=True))
    log, accounts = folder / "log.parquet", folder / "accounts.parquet"
    pq.write_table(_with_canaries(_renamed(planted.table, renamed)), log)
    pq.write_table(_renamed(planted.accounts, renamed), accounts)
    result = run([log], accounts=accounts, options=Options(threads=1))
    url = f"sqlite:///{folder}/cases.db"
    with Store(url) as store:
        attach(store, folder / "audit.key")
        fold(store, result, NOW_US, "scan", inputs=inputs_of([log, accounts]))
        case = queue(store, Filter(), NOW_US).cases[0].id
        judge_accounts(
            store, case, [HOSTILE[0]], Verdict.VICTIM, who="ann", why=f"{CANARY}: her key", now_us=NOW_US
        )
        out = folder / "evidence"
        made = {"who": "ann", "now_us": NOW_US + 1}
        ready = prepare(store, case, log=ScannedLog([log], accounts), **made)
        release(store, ready, out, **made)
    names = tuple(renamed.get(name, name) for name in pool)
    return Told(folder, log, accounts, url, case, names, out, ready.leaving, planted)


def export(
    store: Store, case: str, out: Path, *, who: str, now_us: int, log: ScannedLog | None = None
) -> Exported:
    """Make a bundle, whatever it contains."""
    ready = prepare(store, case, who=who, now_us=now_us, log=log)
    return release(store, ready, out, who=who, now_us=now_us)


def _renamed(table: pa.Table, names: dict[str, str]) -> pa.Table:
    at = table.schema.get_field_index("account")
    column = [names.get(name, name) for name in table["account"].to_pylist()]
    return table.set_column(at, table.schema.field(at), pa.array(column, table.schema.field(at).type))


def _with_canaries(table: pa.Table) -> pa.Table:
    def put(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
        at = table.schema.get_field_index(name)
        return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))

    prompts = table["prompt"].to_pylist()
    table = put(table, "prompt", [f"{text} {CANARY}{k}" for k, text in enumerate(prompts)])
    table = put(table, "system", [f"{CANARY} system"] * len(prompts))
    table = put(table, "completion", [f"{CANARY} answer {k}" for k in range(len(prompts))])
    return put(table, "user_agent", [AGENT] * len(prompts))
