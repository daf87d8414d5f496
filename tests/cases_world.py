"""Small invented findings for the tests of cases, and the databases used to test them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import select

from postgres_server import WHY_NOT, new_database, of_this_process
from stillwatch.cases import reading
from stillwatch.cases.store import Store
from stillwatch.cases.tables import METADATA, cases, hours, members
from stillwatch.scan import (
    AccountVerdict,
    BenignAlternative,
    Campaign,
    Follower,
    Gap,
    Harvest,
    Hour,
    Link,
    Reason,
    ScanResult,
    ScanTotals,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR_US = 3_600_000_000
START_US = int(START.timestamp()) * 1_000_000
NOW_US = START_US + 400 * HOUR_US
RAISED = Reason("coordinated_harvest", "act alike", 17.2, 0.92, 0.41, None, 40)
WORDED = Reason("shared_wording", "595 phrases are shared", 14.3, 1.0, 0.0, None, 595)
NETWORK = Reason("shared_network", "share 4 networks", 6.5, 0.13, 0.38, None, 40)
TRACES = Reason("trace_elicitation", "ask for the reasoning itself", 4.1, 1.0, 0.02, 0.6, 1100)


def names(first: int, last: int, stem: str = "acct_") -> tuple[str, ...]:
    return tuple(f"{stem}{i:05d}" for i in range(first, last))


def campaign(
    name: str,
    accounts: Sequence[str],
    *,
    first_hour: int = 10,
    hours: int = 4,
    an_hour: int = 100,
    p: float = 1e-6,
    reasons: Sequence[Reason] = (RAISED, WORDED, NETWORK, TRACES),
    suppressed_by: str | None = None,
) -> Campaign:
    line = tuple(Hour(START + timedelta(hours=first_hour + h), an_hour, an_hour * 500) for h in range(hours))
    alarm = START + timedelta(hours=first_hour + 1)
    total, early = hours * an_hour, an_hour
    return Campaign(
        id=name,
        alarm_at=alarm,
        p_value=p,
        score_bits=sum(r.bits for r in reasons),
        accounts=tuple(accounts),
        harvest=Harvest(total, total * 500, total * 450.0, total - 3),
        harvest_at_alarm=Harvest(early, early * 500, early * 450.0, early),
        reasons=tuple(reasons),
        benign_alternatives=(
            BenignAlternative("one organisation", "not checked: no accounts table was given (--accounts)"),
            BenignAlternative("a new public template", "3 accounts outside use some of its wording too"),
            BenignAlternative("an evaluation", "5% of its exchanges are at temperature 0"),
        ),
        suppressed_by=suppressed_by,
        title=f"{len(accounts):,} accounts took {total:,} answers of mira-think, asking for traces.",
        named_at=dict.fromkeys(accounts, alarm),
        links=tuple(
            Link(a, name, r.detector, 8.4, r.text, "provider" if r is NETWORK else "client")
            for r in (NETWORK, WORDED)  # in the order of reports
            if r in reasons
            for a in accounts
        ),
        timeline=line,
        firm=tuple(accounts) if NETWORK in reasons or WORDED not in reasons else (),
        next_milestone="17,000 exchanges (Sky-T1) on 2026-04-19 at the pace of its last day",
    )


def result(*campaigns: Campaign, followers: Sequence[Follower] = ()) -> ScanResult:
    verdicts = [
        AccountVerdict(a, c.p_value, c.id, None, 10 + len(a) % 3) for c in campaigns for a in c.accounts
    ]
    return ScanResult(
        "0.1.0",
        ScanTotals(30_000, 700, START, START + timedelta(hours=336), 3, 1.5),
        tuple(campaigns),
        tuple(verdicts),
        gaps=(
            Gap(START + timedelta(hours=12), START + timedelta(hours=13), "half of the usual"),
            Gap(START + timedelta(hours=300), START + timedelta(hours=301), "long after"),
        ),
        cannot_claim=("No accounts table was given.",),
        followers=tuple(followers),
    )


def later(c: Campaign, name: str, more: Sequence[str], **changes: object) -> Campaign:
    """Return the same actor as seen later, with more accounts and another id."""
    links, firm = (*c.links, *campaign(name, more).links), (*c.firm, *more)
    accounts = tuple(sorted({*c.accounts, *more}))
    return replace(c, id=name, accounts=accounts, links=links, firm=firm, **changes)  # type: ignore[arg-type]


def url_of(kind: str, folder: Path, like: str | None = None, lasting: bool = False) -> str:
    """Return a new database of a kind: "sqlite", or "postgres" if there is a server for it.

    like: the URL of the PostgreSQL database to copy. lasting: it is needed by other modules too.
    """
    if kind == "sqlite":
        return f"sqlite:///{folder}/cases.db"
    server = of_this_process()
    if server is None:
        pytest.skip(WHY_NOT)
    return new_database(server, like, lasting)


@contextmanager
def fast_folder() -> Iterator[Path]:
    """Provide a folder, in memory if possible: hundreds of trials need not wait for a disk."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


Filling = Callable[[Store, Path], object]  # adds a test's starting data to a store and its folder


@cache
def _filled_database(fill: Filling, kind: str) -> tuple[str, dict[str, bytes]]:
    """Return a filled database, and the files beside it."""
    with fast_folder() as folder:
        url = url_of(kind, folder, lasting=True)
        with Store(url) as store:
            fill(store, folder)
        return url, {file.name: file.read_bytes() for file in folder.iterdir()}


@contextmanager
def store_with(fill: Filling, folder: Path, kind: str = "sqlite") -> Iterator[Store]:
    """Provide a store with the data of `fill`, which is filled once and copied for each test."""
    like, files = _filled_database(fill, kind)
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    with Store(url_of(kind, folder, like)) as store:
        yield store


def nothing(store: Store, folder: Path) -> None:
    """Leave a store with empty tables."""


def everything(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Return everything stored, row by row."""
    with store.reading() as db:
        return {
            table.name: sorted((tuple(row) for row in db.execute(select(table))), key=repr)
            for table in METADATA.sorted_tables
        }


MOVING = ("updated_us", "revision")  # that a case was touched does not count


def standing(store: Store) -> dict[str, list[dict[str, object]]]:
    """Return the present cases, their accounts and hours, without the acts that led to them."""
    with store.reading() as db:
        return {
            table.name: sorted(
                (
                    {name: value for name, value in row.items() if name not in MOVING}
                    for row in db.execute(select(table)).mappings()
                ),
                key=repr,
            )
            for table in (cases, members, hours)
        }


def only(store: Store) -> str:
    """Return the id of the one case."""
    (case,) = reading.queue(store, reading.Filter(), NOW_US).cases
    return case.id
