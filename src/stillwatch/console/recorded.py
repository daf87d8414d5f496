"""What recorded exchanges and the accounts table show of some accounts: what they share, and their activity.

Reads Parquet files of the exchange record. The pages check permission and record each request. Texts are
available only if the files hold them.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.console import CapturedExchange, ConsoleError
from stillwatch.console.group_facts import (
    AccountRow,
    CommonPrompt,
    GroupFact,
    account_rows,
    common_prompts,
    facts,
    prepare,
)
from stillwatch.console.wording import WordingTemplate, templates
from stillwatch.exchanges import ACCOUNTS, RECORD
from stillwatch.exchanges.log import network
from stillwatch.exchanges.parquet import DAMAGED

MEMORY = "1GB"
MOST_VALUES = 12  # of each kind
MOST_OTHERS = 20  # accounts outside that are named with a value
SAMPLE = 2_000  # prompts searched for templates, and as many of others for comparison
OF_ONE = 40  # at most this many of them from one account
KINDS = (
    "network",
    "payment",
    "organisation",
    "settings",
    "client",
    "sign-up day",
    "asn",
)  # telling ones first
PIVOTS = ("network", "payment", "organisation")  # shown if one of the accounts and some others have it
_COLUMNS = (
    "exchange_id", "time", "account", "client_ip", "asn", "user_agent", "model", "prompt", "completion",
    "output_tokens", "status", "max_tokens", "temperature",
)  # fmt: skip


@dataclass(frozen=True)
class SharedValue:
    """A value that accounts have in common, and others that have it."""

    kind: str  # one of KINDS
    value: str
    inside: int  # how many of the given accounts
    exchanges: int | None  # of these with it; None if the value is from the accounts table
    outside: int  # how many other accounts
    everybody_else: int  # how many other accounts have any value of this kind
    others: tuple[str, ...]  # the first of them


@dataclass(frozen=True)
class Observables:
    """What some accounts show. Kinds that the files do not hold are in `missing`, with what to add."""

    accounts: int
    seen: int  # how many of them are in the files at all
    facts: tuple[GroupFact, ...] = ()
    rows: tuple[AccountRow, ...] = ()  # those with most exchanges
    prompts: tuple[CommonPrompt, ...] = ()  # those that most of them sent
    values: tuple[SharedValue, ...] = ()  # by kind, the most distinctive first
    unshared: tuple[str, ...] = ()  # kinds in which no two of the accounts share a value
    templates: tuple[WordingTemplate, ...] = ()
    samples: tuple[tuple[str, CapturedExchange], ...] = ()  # (account, exchange), the newest of some
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class ActivityDay:
    """One day of an account, and of the others in its group."""

    day: str
    exchanges: int
    output_tokens: int
    refused: int  # answered with an error status
    models: tuple[str, ...]
    group: int | None = None  # exchanges of the others; None if not requested


@dataclass(frozen=True)
class SignUpFacts:
    """An account's entry in the accounts table; None: not stated."""

    created_us: int | None = None
    org: str | None = None
    tier: str | None = None
    country: str | None = None


@dataclass(frozen=True)
class Recorded:
    """Files of exchanges and the accounts table, if any."""

    files: Sequence[Path] = ()
    accounts: pa.Table | None = None

    @contextmanager
    def _open(self, accounts: Collection[str]) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a database of `exchanges`, `known` (the accounts table) and `mine` (the given accounts)."""
        with duckdb.connect(config={"threads": 2, "memory_limit": MEMORY}) as db:
            try:
                schemas = {str(file): pq.read_schema(file).names for file in self.files if file.exists()}
                columns_present = list(schemas)
                column_names = {name for names in schemas.values() for name in names}
                selected = ", ".join(
                    name if name in column_names else f"CAST(NULL AS {_kind(name)}) AS {name}"
                    for name in _COLUMNS
                )
                empty = pa.schema([RECORD.field(name) for name in _COLUMNS]).empty_table()
                db.register("nothing", empty)
                source = "nothing"
                db.register("mine", pa.table({"account": pa.array(map(_storable, accounts), pa.string())}))
                db.register("known", ACCOUNTS.empty_table() if self.accounts is None else self.accounts)
                if columns_present:
                    listed = ", ".join("'" + name.replace("'", "''") + "'" for name in columns_present)
                    source = f"read_parquet([{listed}], union_by_name = true)"
                db.execute(f"CREATE VIEW exchanges AS SELECT {selected} FROM {source}")
                yield db
            except (duckdb.Error, OSError, *DAMAGED) as why:
                problem = str(why).split("\n")[0][:200]
                raise ConsoleError(f"the recorded exchanges cannot be read: {problem}") from None

    def texts(self, account: str, limit: int) -> list[CapturedExchange]:
        """Return an account's newest exchanges with text."""
        with self._open([account]) as db:
            return [exchange for _, exchange in _texts(db, limit, limit)]

    def observables(self, accounts: Collection[str]) -> Observables:
        """Return what these accounts share with each other and with others."""
        with self._open(accounts) as db:
            first_seen = _first_number(
                db, "SELECT count(DISTINCT account) FROM exchanges SEMI JOIN mine USING (account)"
            )
            prepare(db)
            _add_networks(db)
            shared_values: list[SharedValue] = []
            unshared, missing, unknown = [], [], []
            for kind in KINDS:
                values = _values(db, kind, len(accounts))
                shared = [
                    v for v in values if v.inside > 1 or len(accounts) == 1 or (v.outside and kind in PIVOTS)
                ]
                shared_values += shared
                if not values and kind in _MISSING:
                    missing.append(_MISSING[kind])
                elif not values:
                    unknown.append(kind)
                elif not shared:
                    unshared.append(kind)
            if unknown:
                missing.append(
                    f"{', '.join(unknown)}: no accounts table says it of these accounts (--accounts)"
                )
            prompts = _prompts(db, "SEMI")
            found_templates = templates(prompts, _prompts(db, "ANTI")) if prompts else ()
            if not prompts:
                missing.append(_MISSING["prompt"])
            samples = tuple(_texts(db, 6, 1))
            several = len(accounts) > 1
            return Observables(
                len(accounts),
                first_seen,
                facts(db) if several else (),
                account_rows(db),
                common_prompts(db) if several else (),
                tuple(shared_values),
                tuple(unshared),
                found_templates,
                samples,
                tuple(missing),
            )

    def activity(self, account: str, group: Collection[str] = ()) -> list[ActivityDay]:
        """Return an account's days, newest first, with the activity of the others in its group."""
        with self._open([account, *group]) as db:
            rows = db.execute(
                "SELECT strftime(time AT TIME ZONE 'UTC', '%Y-%m-%d') AS day, "
                "count(*) FILTER (account = $a), "
                "coalesce(sum(output_tokens) FILTER (account = $a), 0), "
                "count(*) FILTER (account = $a AND status >= 400), "
                "list_sort(list_distinct(list(model) FILTER (account = $a AND model IS NOT NULL))), "
                "count(*) FILTER (account <> $a) "
                "FROM exchanges SEMI JOIN mine USING (account) GROUP BY day ORDER BY day DESC",
                {"a": _storable(account)},
            ).fetchall()
        return [
            ActivityDay(day, n, int(tokens), refused, tuple(models or ()), others if group else None)
            for day, n, tokens, refused, models, others in rows
            if n or group
        ]

    def facts(self, account: str) -> SignUpFacts | None:
        """Return an account's entry in the accounts table."""
        if self.accounts is None:
            return None
        with self._open([account]) as db:
            row = db.execute(
                "SELECT epoch_us(created), org, tier, country FROM known SEMI JOIN mine USING (account)"
            ).fetchone()
        return None if row is None else SignUpFacts(*row)


_MISSING = {
    "network": "networks: the recorded exchanges hold no client_ip",
    "asn": "autonomous systems: the recorded exchanges hold no asn",
    "client": "clients: the recorded exchanges hold no user_agent",
    "settings": "settings: the recorded exchanges hold no max_tokens and no temperature",
    "prompt": "templates and sample prompts: no text is kept, or no --log holds it",
}
_SOURCES = {  # (account, value, exchanges) of everybody
    "network": "SELECT account, net AS value, n FROM used JOIN nets USING (client_ip)",
    "asn": "SELECT account, asn AS value, n FROM used",
    "client": "SELECT account, client AS value, n FROM used",
    "settings": "SELECT account, settings AS value, n FROM used",
    "organisation": "SELECT account, org AS value, NULL AS n FROM known",
    "payment": "SELECT account, payment AS value, NULL AS n FROM known",
    "sign-up day": "SELECT account, strftime(created AT TIME ZONE 'UTC', '%Y-%m-%d') AS value, NULL AS n "
    "FROM known",
}


def _storable(name: str) -> str:
    """Return a name without lone surrogates, which no file can hold: nothing is found for such a name."""
    return name.encode("utf-8", "backslashreplace").decode()


def _kind(name: str) -> str:
    kind = RECORD.field(name).type
    if pa.types.is_timestamp(kind):
        return "TIMESTAMPTZ"
    return "VARCHAR" if kind == pa.string() else "DOUBLE" if pa.types.is_floating(kind) else "BIGINT"


def _first_number(db: duckdb.DuckDBPyConnection, query: str) -> int:
    row = db.execute(query).fetchone()
    return int(row[0]) if row else 0


def _add_networks(db: duckdb.DuckDBPyConnection) -> None:
    """Make the table of networks: addresses that share a prefix with those of the given accounts."""
    ips = [ip for (ip,) in db.execute("SELECT DISTINCT client_ip FROM used").fetchall() if ip]
    nets = [(ip, net) for ip in ips if (net := network(ip)) is not None]
    networks = [f"{net}::/48" if ":" in net else f"{net}.0/24" for _, net in nets]
    columns = {
        "client_ip": pa.array([ip for ip, _ in nets], pa.string()),
        "net": pa.array(networks, pa.string()),
    }
    db.register("nets", pa.table(columns))


def _values(db: duckdb.DuckDBPyConnection, kind: str, size: int) -> list[SharedValue]:
    rows = db.execute(
        f"WITH everybody AS ({_SOURCES[kind]}), ours AS (SELECT value, count(DISTINCT account) AS inside, "
        "sum(n) AS n FROM everybody SEMI JOIN mine USING (account) WHERE value IS NOT NULL GROUP BY value), "
        "theirs AS (SELECT value, list_sort(list(DISTINCT account)) AS names FROM everybody "
        "SEMI JOIN ours USING (value) ANTI JOIN mine USING (account) GROUP BY value), "
        "rest AS (SELECT count(DISTINCT account) AS m FROM everybody ANTI JOIN mine USING (account) "
        "WHERE value IS NOT NULL) "
        "SELECT value, inside, n, coalesce(len(names), 0) AS outside, m, names[:$others] FROM ours "
        "LEFT JOIN theirs USING (value) CROSS JOIN rest "
        "ORDER BY inside > 1 DESC, inside * ln(inside * (m + 1) / ($size * (outside + 1))) DESC, n DESC, "
        "value LIMIT $most",
        {"most": MOST_VALUES, "others": MOST_OTHERS, "size": size},
    ).fetchall()
    return [
        SharedValue(kind, value, inside, None if n is None else int(n), outside, m, tuple(names or ()))
        for value, inside, n, outside, m, names in rows
    ]


def _prompts(db: duckdb.DuckDBPyConnection, join: str) -> list[tuple[str, str]]:
    """Return (account, prompt), spread over accounts: of the given ones, or of others."""
    rows: list[tuple[str, str]] = db.execute(
        f"SELECT account, left(prompt, 4000) FROM exchanges {join} JOIN mine USING (account) "
        "WHERE prompt IS NOT NULL AND prompt <> '' QUALIFY row_number() OVER (PARTITION BY account ORDER BY "
        "hash(exchange_id), time) <= $one ORDER BY hash(exchange_id), time LIMIT $most",
        {"one": OF_ONE, "most": SAMPLE},
    ).fetchall()
    return rows


def _texts(db: duckdb.DuckDBPyConnection, most: int, of_one: int) -> Iterator[tuple[str, CapturedExchange]]:
    rows: list[tuple[Any, ...]] = db.execute(
        "SELECT account, epoch_us(time), exchange_id, model, user_agent, prompt, completion FROM exchanges "
        "SEMI JOIN mine USING (account) WHERE prompt IS NOT NULL QUALIFY row_number() OVER (PARTITION BY "
        "account ORDER BY time DESC) <= $one ORDER BY time DESC LIMIT $most",
        {"one": of_one, "most": most},
    ).fetchall()
    for account, at_us, *words in rows:
        yield account, CapturedExchange(int(at_us), *(word or "" for word in words))
