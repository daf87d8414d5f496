"""The SQL of the states from which features are computed: sums and counts per account.

Every state is a whole number below 2**63, so that sums are equal, bit for bit, in any order and on any number
of threads.
"""

from stillwatch.features.definitions import FEATURES, HOURS, Dimension, n_log_n
from stillwatch.units import DAY_US, HOUR_US

GAP_CAP_CS = 30 * 24 * 360_000  # keeps a sum of squares below 2**63 for logs of up to 11 years


def sum_states() -> dict[str, str]:
    """Return name and per-exchange expression of every summed state, each once.

    Raises: ValueError if two features use one name for two expressions.
    """
    states: dict[str, str] = {}
    for feature in FEATURES:
        for name, expression in feature.sums:
            if states.setdefault(name, expression) != expression:
                raise ValueError(f"state {name} of feature {feature.name} is defined twice, differently")
    return states


def sums(source: str) -> str:
    """Return summed states per account, from exchanges."""
    columns = [f"CAST(SUM({expression}) AS BIGINT) AS {name}" for name, expression in sum_states().items()]
    return (
        f"SELECT account, CAST(COUNT(*) AS BIGINT) AS exchanges, {', '.join(columns)} "
        f"FROM {source} GROUP BY account"
    )


def counts(source: str, dimension: Dimension) -> str:
    """Return exchanges per account and value, from exchanges."""
    where = f" WHERE NOT ({dimension.absent})" if dimension.absent else ""
    return (
        f"SELECT account, {dimension.column} AS value, CAST(COUNT(*) AS BIGINT) AS n "
        f"FROM {source}{where} GROUP BY account, {dimension.column}"
    )


def value_statistics(source: str, dimension: Dimension) -> str:
    """Return the number of values, the top count, and n log2 n, from one row per account and value."""
    column = dimension.column
    return (
        f"SELECT account, CAST(COUNT(*) AS BIGINT) AS {column}_values, "
        f"CAST(MAX(n) AS BIGINT) AS {column}_top, CAST(SUM(n) AS BIGINT) AS {column}_n, "
        f"CAST(SUM({n_log_n('n')}) AS BIGINT) AS {column}_nlogn "
        f"FROM {source} GROUP BY account"
    )


def shared_counts(source: str) -> str:
    """Return each account's exchanges whose value another account has too, from one row per pair."""
    return (
        f"SELECT account, CAST(SUM(n) AS BIGINT) AS exact_shared FROM {source} WHERE value IN "
        f"(SELECT value FROM {source} GROUP BY value HAVING COUNT(*) > 1) GROUP BY account"
    )


def spans(source: str) -> str:
    """Return first, last and squared gaps (in hundredths of a second) per account, from exchanges."""
    previous = "LAG(ts_us, 1, ts_us) OVER (PARTITION BY account ORDER BY ts_us) AS previous_us"
    stepped = f"SELECT account, ts_us, {previous} FROM {source}"
    # times are rounded down to hundredths of a second before subtraction, so that gaps add up
    step = "CAST(((ts_us - ts_us % 10000) - (previous_us - previous_us % 10000)) / 10000 AS BIGINT)"
    gap = f"LEAST(GREATEST({step}, 0), {GAP_CAP_CS})"
    return (
        "SELECT account, MIN(ts_us) AS first_us, MAX(ts_us) AS last_us, "
        f"CAST(SUM({gap} * {gap}) AS BIGINT) AS gap_squares "
        f"FROM ({stepped}) AS stepped GROUP BY account"
    )


def hours(source: str) -> str:
    """Return exchanges per account and UTC hour, from exchanges."""
    hour = f"ts_us - ts_us % {HOUR_US}"
    return (
        f"SELECT account, {hour} AS value, CAST(COUNT(*) AS BIGINT) AS n "
        f"FROM {source} GROUP BY account, {hour}"
    )


def day_statistics(source: str) -> str:
    """Return active days and the busiest, from one row per account and hour."""
    day = f"value - value % {DAY_US}"
    by_day = f"SELECT account, {day} AS day_us, SUM(n) AS n FROM {source} GROUP BY account, {day}"
    return (
        "SELECT account, CAST(COUNT(*) AS BIGINT) AS active_days, CAST(MAX(n) AS BIGINT) AS peak_day "
        f"FROM ({by_day}) AS by_day GROUP BY account"
    )


def hour_statistics(source: str) -> str:
    """Return active hours, the busiest, and counts by hour of the day, from one row per account and hour."""
    by_hour = (
        f"SELECT account, value % {DAY_US} AS hour_us, SUM(n) AS n, COUNT(*) AS hours, MAX(n) AS peak "
        f"FROM {source} GROUP BY account, value % {DAY_US}"
    )
    of_day = [
        f"CAST(SUM(CASE WHEN hour_us = {h * HOUR_US} THEN n ELSE 0 END) AS BIGINT) AS {name}"
        for h, name in enumerate(HOURS)
    ]
    return (
        "SELECT account, CAST(SUM(hours) AS BIGINT) AS active_hours, CAST(MAX(peak) AS BIGINT) AS peak_hour, "
        f"{', '.join(of_day)} FROM ({by_hour}) AS by_hour GROUP BY account"
    )


def final(tables: dict[str, list[str]]) -> str:
    """Return the feature table from the states: `tables` names each table and its state columns.

    The table `state_sums` has every account; if another table lacks an account, its states are 0.
    """
    states = ", ".join(
        f"COALESCE({table}.{column}, 0) AS {column}"
        for table, columns in tables.items()
        for column in columns
    )
    joins = " ".join(
        f"LEFT JOIN {table} ON state_sums.account = {table}.account"
        for table in tables
        if table != "state_sums"
    )
    columns = ", ".join(
        f"CAST({f.sql} AS {'BIGINT' if f.is_whole else 'DOUBLE'}) AS {f.name}" for f in FEATURES
    )
    return (
        f"SELECT account, {columns} FROM (SELECT state_sums.account AS account, {states} "
        f"FROM state_sums {joins}) AS states ORDER BY account"
    )
