"""Compares accounts with all others for a first look: software, payer, sign-up, settings, tasks.

Null: none; it helps a person distinguish a crowd of customers from one operator, and proves nothing.
Blind to: what the files do not hold, and an operator who gives each account its own program and card.
Fooled by: a client's name for itself, and settings that an operator copies from a common program.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from stillwatch.actors.clients import product
from stillwatch.scan.explanations import SHORT, SHORT_SHARE

MOST_COMMON = 6  # prompts that several accounts sent
MOST_ROWS = 100  # accounts, one by one
LONGEST = 1_200  # characters of a common prompt
RARE = 0.01  # share of others below which a setting is rare
COMMON = 0.05  # share above which a recurring prompt, or a mail domain, is common

# What a first look needs of each exchange: account, program, settings, prompt.
_USED = """
CREATE TEMP TABLE used AS SELECT account, client_ip, CAST(asn AS VARCHAR) AS asn, user_agent AS client,
  CASE WHEN (SELECT count(max_tokens) + count(temperature) FROM exchanges) > 0 THEN
    'output limit ' || coalesce(CAST(max_tokens AS VARCHAR), 'unset') || ', temperature '
    || coalesce(CAST(round(temperature, 3) AS VARCHAR), 'unset') END AS settings, count(*) AS n
FROM exchanges GROUP BY ALL
"""
_ASKED = """
CREATE TEMP TABLE asked AS SELECT account, hash(prompt) AS asked, count(*) AS n FROM exchanges
WHERE prompt IS NOT NULL AND prompt <> '' GROUP BY ALL
"""
_GIVEN = f"""
CREATE TEMP TABLE given AS SELECT account, sum(output_tokens) AS tokens,
  coalesce(sum(output_tokens) FILTER (output_tokens < {SHORT}), 0) AS short FROM exchanges
WHERE output_tokens > 0 GROUP BY account
"""


_LIBRARY = "a library for any use: it brings no wording and no settings of its own"
_PAID = (
    "SELECT account, payment, count(*) OVER (PARTITION BY payment) AS n FROM known WHERE payment IS NOT NULL"
)
_ONE_PROGRAM = "one program: its defaults and its own wording can explain what is alike"


@dataclass(frozen=True)
class GroupFact:
    """One question of a first look: the value here and among all others, and what it indicates."""

    question: str
    here: str
    others: str
    reading: str


@dataclass(frozen=True)
class CommonPrompt:
    """A prompt that several of the accounts sent verbatim."""

    text: str
    accounts: int
    exchanges: int
    elsewhere: int  # other accounts that sent it, too


@dataclass(frozen=True)
class AccountRow:
    """One of the given accounts; None: not on record."""

    account: str
    exchanges: int
    client: str | None
    settings: str | None
    payment: str | None
    created: str | None
    org: str | None
    email_domain: str | None
    country: str | None


def prepare(db: duckdb.DuckDBPyConnection) -> None:
    """Make the tables `used`, `asked`, `given` and `programs` (each client's) from the view `exchanges`."""
    for table in (_USED, _ASKED, _GIVEN):
        db.execute(table)
    clients = [client for (client,) in db.execute("SELECT DISTINCT client FROM used").fetchall() if client]
    programs = {
        "client": pa.array(clients, pa.string()),
        "program": pa.array([product(one) or one.split("/")[0] for one in clients], pa.string()),
    }
    db.register("programs", pa.table(programs))


def facts(db: duckdb.DuckDBPyConnection) -> tuple[GroupFact, ...]:
    """Return facts on the accounts in `mine` beside all others, as far as the files hold them."""
    software = _software(db)
    one_program = software is not None and software.reading == _ONE_PROGRAM
    made = (software, _payer(db), _sign_up(db), *_belonging(db), _settings(db, one_program), _tasks(db))
    made = (*made, _answers(db))
    return tuple(fact for fact in made if fact is not None)


def _share(part: int, whole: int) -> str:
    share = 100 * part / whole if whole else 0.0
    return (
        f"{part:,} of {whole:,} ({share:.0f} %)"
        if share >= 1 or not part
        else f"{part:,} of {whole:,} (< 1 %)"
    )


def _row(db: duckdb.DuckDBPyConnection, query: str, *values: object) -> tuple[Any, ...]:
    return db.execute(query, list(values)).fetchone() or ()


def _telling_value(
    db: duckdb.DuckDBPyConnection, each: str, commonest: bool = False
) -> tuple[str, int, int, int, int] | None:
    """Return the value that sets our accounts most apart from others, shared by at least two of them.

    `each` selects (account, value), one or more rows per account; nulls are not on record. commonest: the
    value that most of ours have. Returns: the value, how many of ours have it, how many of ours are on
    record, and the same two numbers for all others.
    """
    return db.execute(
        f"WITH each AS (SELECT DISTINCT account, value FROM ({each}) WHERE value IS NOT NULL), "
        "counted AS (SELECT account IN (SELECT account FROM mine) AS ours, account, value FROM each), "
        "whole AS (SELECT count(DISTINCT account) FILTER (ours) AS n, "
        "count(DISTINCT account) FILTER (NOT ours) AS m FROM counted), "
        "by_value AS (SELECT value, count(*) FILTER (ours) AS a, count(*) FILTER (NOT ours) AS b "
        "FROM counted GROUP BY value) SELECT value, a, n, b, m FROM by_value, whole WHERE a > 0 "
        f"ORDER BY {'a DESC, ' if commonest else ''}a > 1 DESC, "
        "a * ln((a / n) / ((b + 1) / (m + 1))) DESC, a DESC, value LIMIT 1"
    ).fetchone()


def _software(db: duckdb.DuckDBPyConnection) -> GroupFact | None:
    each = (
        "SELECT account, arg_max(program, n) AS value FROM (SELECT account, program, sum(n) AS n FROM used "
        "JOIN programs USING (client) GROUP BY ALL) GROUP BY account"
    )
    found = _telling_value(db, each, commonest=True)
    if found is None:
        return None
    name, ours, all_ours, theirs, others = found
    (many,) = _row(db, f"SELECT count(DISTINCT value) FROM ({each}) SEMI JOIN mine USING (account)")
    here = f"{_share(ours, all_ours)} mostly use {name}; {many:,} different programs in all"
    if many == 1 or ours == 1:
        here = (
            f"all {all_ours:,} use {name}"
            if many == 1
            else f"{all_ours:,} accounts, each with another program"
        )
    reading = "no program that most of them use explains what is alike"
    if 2 * ours >= all_ours and ours > 1:
        reading = _ONE_PROGRAM if product(name) else _LIBRARY
    return GroupFact("What software?", here, f"{_share(theirs, others)} use {name}", reading)


def _payer(db: duckdb.DuckDBPyConnection) -> GroupFact | None:
    accounts, instruments = _row(
        db, f"SELECT count(*), count(DISTINCT payment) FROM ({_PAID}) SEMI JOIN mine USING (account)"
    )
    if not accounts:
        return None
    (most,) = _row(
        db,
        f"SELECT max(n) FROM (SELECT count(*) AS n FROM ({_PAID}) SEMI JOIN mine USING (account) "
        "GROUP BY payment)",
    )
    together, others = _row(
        db, f"SELECT count(*) FILTER (n > 1), count(*) FROM ({_PAID}) ANTI JOIN mine USING (account)"
    )
    here, reading = (
        f"{accounts:,} accounts pay with {instruments:,} instruments, at most {most:,} with one",
        ("accounts that share an instrument have one payer"),
    )
    if most == 1:
        here = f"{accounts:,} accounts, each with an instrument of its own"
        reading = "separate customers, or an operator with a card for each: it tells neither apart"
    elif 2 * most >= accounts:
        here = f"one instrument pays for {_share(most, accounts)}; {instruments:,} in all"
        reading = "one payer: an event, a course, a firm, a reseller, or one operator"
    return GroupFact("Who pays?", here, f"{_share(together, others)} share theirs with somebody", reading)


def _sign_up(db: duckdb.DuckDBPyConnection) -> GroupFact | None:
    each = "SELECT account, strftime(created AT TIME ZONE 'UTC', '%Y-%m-%d') AS value FROM known"
    found = _telling_value(db, each)
    if found is None:
        return None
    day, ours, all_ours, theirs, others = found
    first, last = _row(db, f"SELECT min(value), max(value) FROM ({each}) SEMI JOIN mine USING (account)")
    if ours == 1:
        here, beside = f"each on another day, from {first} to {last}", "-"
    else:
        here = f"{_share(ours, all_ours)} on {day}" + (
            "" if first == last else f"; all from {first} to {last}"
        )
        beside = f"{_share(theirs, others)} on that day"
    reading = (
        "together: an event, a course, a product's launch, or accounts made for one purpose"
        if 2 * ours >= all_ours > 1 < ours
        else "one by one, as customers do, or as accounts that were bought or stolen"
    )
    return GroupFact("When did they sign up?", here, beside, reading)


def _belonging(db: duckdb.DuckDBPyConnection) -> Iterator[GroupFact]:
    for column, question, one in (
        ("org", "Which organisation?", "one organisation's own work, if it is one: look at its contract"),
        (
            "email_domain",
            "Whose mail addresses?",
            "a school's or a firm's domain is a class or one firm's work",
        ),
    ):
        found = _telling_value(db, f"SELECT account, {column} AS value FROM known")
        if found is None:
            continue
        name, ours, all_ours, theirs, others = found
        most = 2 * ours >= all_ours and ours > 1 and theirs < COMMON * others
        reading = one if most else "none explains most of them"
        here, beside = f"on record of {all_ours:,}, each another", "-"
        if ours > 1:
            here, beside = f"{_share(ours, all_ours)} of {name}", f"{_share(theirs, others)} of it"
        yield GroupFact(question, here, beside, reading)


def _settings(db: duckdb.DuckDBPyConnection, one_program: bool) -> GroupFact | None:
    found = _telling_value(db, "SELECT account, settings AS value FROM used")
    if found is None:
        return None
    value, ours, all_ours, theirs, others = found
    reading = "no setting that is theirs alone"
    if ours > 1 and theirs < RARE * others:
        reading = "hardly anybody else has both, and no program brings them: one hand, or a course's recipe"
        if one_program:
            reading = "hardly anybody else has both: the defaults of that program, or one hand"
        if 2 * ours < all_ours:
            reading = "a part of them has settings that hardly anybody else has: look at these apart"
    here = f"{_share(ours, all_ours)} have used {value}"
    return GroupFact("Which settings?", here, f"{_share(theirs, others)} have, too", reading)


def _tasks(db: duckdb.DuckDBPyConnection) -> GroupFact | None:
    counted = (
        "SELECT asked, count(*) FILTER (account IN (SELECT account FROM mine)) AS inside, "
        "count(*) FILTER (account NOT IN (SELECT account FROM mine)) AS outside FROM asked GROUP BY asked"
    )
    prompts, inside, outside, theirs, repeated = _row(
        db,
        f"SELECT count(*) FILTER (inside > 0), count(*) FILTER (inside > 1), "
        "count(*) FILTER (inside > 0 AND outside > 0), count(*) FILTER (outside > 0), "
        f"count(*) FILTER (outside > 1) FROM ({counted})",
    )
    if not prompts:
        return None
    shared, common = inside / prompts, outside / prompts
    reading = "hardly one repeats another: each has work of its own, or one list is dealt out among them"
    if common >= COMMON:
        reading = "others ask the same: a public data set, a template, or small talk; see which prompts"
    elif shared >= COMMON:
        reading = (
            "they work off one list that others do not: a test set, a course's exercises, or one operator's"
        )
    return GroupFact(
        "What do they ask?",
        f"{prompts:,} different prompts: {_share(inside, prompts)} came from several of them, "
        f"{_share(outside, prompts)} from other accounts too",
        f"{_share(repeated, theirs)} came from several",
        reading,
    )


def _answers(db: duckdb.DuckDBPyConnection) -> GroupFact | None:
    def share(joined: str) -> tuple[float, int]:
        short, tokens = _row(db, f"SELECT sum(short), sum(tokens) FROM given {joined} mine USING (account)")
        return (float(short / tokens), int(tokens)) if tokens else (0.0, 0)

    (here, tokens), (elsewhere, _) = share("SEMI JOIN"), share("ANTI JOIN")
    if not tokens:
        return None
    reading = "long enough to teach a student; a person may need them as well"
    if here >= SHORT_SHARE:
        reading = "labels, marks or a few sentences each: a desk, a classifier, or labels are what is wanted"
    return GroupFact(
        "How long are the answers?",
        f"{here:.0%} of {tokens:,} tokens stand in answers of fewer than {SHORT}",
        f"{elsewhere:.0%} of theirs",
        reading,
    )


def common_prompts(db: duckdb.DuckDBPyConnection) -> tuple[CommonPrompt, ...]:
    """Return the prompts that most of the accounts in `mine` sent verbatim."""
    rows = db.execute(
        "WITH ours AS (SELECT asked, count(*) AS inside, sum(n) AS n FROM asked "
        "SEMI JOIN mine USING (account) GROUP BY asked HAVING inside > 1 "
        "ORDER BY inside DESC, n DESC, asked LIMIT $most), "
        "theirs AS (SELECT asked, count(*) AS outside FROM asked SEMI JOIN ours USING (asked) "
        "ANTI JOIN mine USING (account) GROUP BY asked), "
        "texts AS (SELECT hash(prompt) AS asked, min(left(prompt, $longest)) AS text FROM exchanges "
        "WHERE hash(prompt) IN (SELECT asked FROM ours) GROUP BY hash(prompt)) "
        "SELECT text, inside, n, coalesce(outside, 0) FROM ours JOIN texts USING (asked) "
        "LEFT JOIN theirs USING (asked) ORDER BY inside DESC, n DESC, text",
        {"most": MOST_COMMON, "longest": LONGEST},
    ).fetchall()
    return tuple(CommonPrompt(text, inside, int(n), outside) for text, inside, n, outside in rows)


def account_rows(db: duckdb.DuckDBPyConnection) -> tuple[AccountRow, ...]:
    """Return the accounts in `mine` one by one, those with most exchanges first."""
    rows = db.execute(
        "WITH seen AS (SELECT account, sum(n) AS n, arg_max(client, n) AS client FROM "
        "(SELECT account, client, sum(n) AS n FROM used GROUP BY ALL) GROUP BY account), "
        "set_so AS (SELECT account, arg_max(settings, n) AS settings FROM "
        "(SELECT account, settings, sum(n) AS n FROM used GROUP BY ALL) GROUP BY account) "
        "SELECT account, coalesce(seen.n, 0) AS n, client, settings, payment, "
        "strftime(created AT TIME ZONE 'UTC', '%Y-%m-%d'), org, email_domain, country FROM mine "
        "LEFT JOIN seen USING (account) LEFT JOIN set_so USING (account) LEFT JOIN known USING (account) "
        "ORDER BY n DESC, account LIMIT $most",
        {"most": MOST_ROWS},
    ).fetchall()
    return tuple(AccountRow(account, int(n), *more) for account, n, *more in rows)
