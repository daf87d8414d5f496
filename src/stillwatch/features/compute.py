"""From exchanges to one row of features per account, on any engine. It knows nothing of the log's texts."""

import pyarrow as pa

from stillwatch.engine import SqlEngine
from stillwatch.features import states
from stillwatch.features.definitions import DIMENSIONS, FEATURES, Dimension

Made = dict[str, list[str]]  # a table of states in the engine -> its columns
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
    made: Made = {
        "state_sums": engine.create("state_sums", states.sums(l0_name)),
        "state_spans": engine.create("state_spans", states.spans(l0_name)),
    }
    _hour_states(engine, made, states.hours(l0_name))
    for dimension in DIMENSIONS:
        _value_states(engine, made, states.counts(l0_name, dimension), dimension)
    return _final(engine, made)


def _hour_states(engine: SqlEngine, made: Made, by_hour: str) -> None:
    """Add what is known per day and hour of day; by_hour: SQL of one row per account and hour."""
    engine.create("by_hour", by_hour)
    made["state_days"] = engine.create("state_days", states.day_statistics("by_hour"))
    made["state_hours"] = engine.create("state_hours", states.hour_statistics("by_hour"))
    engine.forget("by_hour")


def _value_states(engine: SqlEngine, made: Made, by_value: str, dimension: Dimension) -> None:
    """Add what is known of one column's values; by_value: SQL of one row per account and value."""
    name = f"state_{dimension.column}"
    if dimension.column != SHARED:
        made[name] = engine.create(name, states.value_statistics(f"({by_value}) AS by_value", dimension))
        return
    engine.create("by_value", by_value)
    made[name] = engine.create(name, states.value_statistics("by_value", dimension))
    made["state_shared"] = engine.create("state_shared", states.shared_counts("by_value"))
    engine.forget("by_value")


def _final(engine: SqlEngine, made: Made) -> pa.Table:
    """The features of all states; the only rows that leave the engine, one for each account."""
    columns = {name: [c for c in names if c != "account"] for name, names in made.items()}
    result = engine.query(states.final(columns))
    for name in made:
        engine.forget(name)
    return result.cast(SCHEMA).combine_chunks()
