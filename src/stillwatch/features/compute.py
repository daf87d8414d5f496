"""From exchanges to one row of features per account, on any engine. It knows nothing of the log's texts.

Two ways give the same table: `account_features` over a whole log, and `partials` over each batch as it
arrives, kept and added up by `merge`. Both use the same SQL (states.py).
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from stillwatch.engine import SqlEngine
from stillwatch.features import states
from stillwatch.features.definitions import DIMENSIONS, FEATURES, Dimension

LEVEL_1 = {"sums": states.sums, "spans": states.spans, "hours": states.hours}
LEVEL_2 = {"sums": states.merged_sums, "spans": states.merged_spans}  # what else there is merges as counts
BY_PART = {f"counts_{d.column}": d for d in DIMENSIONS}
SHARED = "exact"  # the one column that is compared across accounts

SCHEMA = pa.schema(
    [pa.field("account", pa.int32())]
    + [pa.field(f.name, pa.int64() if f.whole else pa.float64()) for f in FEATURES]
)


def account_features(engine: SqlEngine, l0_name: str) -> pa.Table:
    """Compute the features of every account in the registered table `l0_name`, sorted by account.

    Null in a feature means that the log never says it (no turns, no stream flag) or that it has no value
    (variation of fewer than two gaps). An empty table gives an empty table of the same schema.
    """
    merged = {
        "state_sums": engine.query(states.sums(l0_name)),
        "state_spans": engine.query(states.spans(l0_name)),
    }
    _hour_states(engine, merged, engine.query(states.hours(l0_name)))
    for dimension in DIMENSIONS:
        by_value = states.counts(l0_name, dimension)
        if dimension.column == SHARED:
            _value_states(engine, merged, engine.query(by_value), dimension)
        else:
            sql = states.value_statistics(f"({by_value}) AS by_value", dimension)
            merged[f"state_{dimension.column}"] = engine.query(sql)
    return _final(engine, merged)


def partials(engine: SqlEngine, l0_name: str) -> dict[str, pa.Table]:
    """Compute the additive states of one batch; `merge` adds up those of many.

    The tables are `sums` and `spans` (per account), `hours` (per account and UTC hour) and `counts_COLUMN`
    (per account and value).
    """
    made = {name: engine.query(sql(l0_name)) for name, sql in LEVEL_1.items()}
    for name, dimension in BY_PART.items():
        made[name] = engine.query(states.counts(l0_name, dimension))
    return made


def merge(engine: SqlEngine, parts: Sequence[Mapping[str, pa.Table]]) -> pa.Table:
    """Add up the states of batches into the feature table that one batch of all would have given.

    Raises: ValueError if there are no parts.
    """
    if not parts:
        raise ValueError("no parts to merge; an empty log still has one part")
    merged: dict[str, pa.Table] = {}
    for name in parts[0]:
        engine.register("parts", pa.concat_tables([part[name] for part in parts]))
        total = engine.query(LEVEL_2.get(name, states.merged_counts)("parts"))
        engine.forget("parts")
        if name in LEVEL_2:
            merged[f"state_{name}"] = total
        elif name == "hours":
            _hour_states(engine, merged, total)
        else:
            _value_states(engine, merged, total, BY_PART[name])
    return _final(engine, merged)


def _hour_states(engine: SqlEngine, merged: dict[str, pa.Table], by_hour: pa.Table) -> None:
    """Add what is known per day and hour of day, given one row per account and hour."""
    engine.register("by_hour", by_hour)
    merged["state_days"] = engine.query(states.day_statistics("by_hour"))
    merged["state_hours"] = engine.query(states.hour_statistics("by_hour"))
    engine.forget("by_hour")


def _value_states(
    engine: SqlEngine, merged: dict[str, pa.Table], by_value: pa.Table, dimension: Dimension
) -> None:
    """Add what is known of one column's values, given one row per account and value."""
    engine.register("by_value", by_value)
    merged[f"state_{dimension.column}"] = engine.query(states.value_statistics("by_value", dimension))
    if dimension.column == SHARED:
        merged["state_shared"] = engine.query(states.shared_counts("by_value"))
    engine.forget("by_value")


def _final(engine: SqlEngine, merged: dict[str, pa.Table]) -> pa.Table:
    columns = {}
    for name, table in merged.items():
        engine.register(name, table)
        columns[name] = [c for c in table.column_names if c != "account"]
    result = engine.query(states.final(columns))
    for name in merged:
        engine.forget(name)
    return result.cast(SCHEMA).combine_chunks()
