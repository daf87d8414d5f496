"""Computes one row of features per account from exchanges, on any engine."""

import pyarrow as pa

from stillwatch.engine import SqlEngine
from stillwatch.features import states
from stillwatch.features.definitions import DIMENSIONS, FEATURES

SHARED = "exact"  # the only column compared across accounts

SCHEMA = pa.schema(
    [pa.field("account", pa.int32())]
    + [pa.field(f.name, pa.int64() if f.is_whole else pa.float64()) for f in FEATURES]
)


def account_features(engine: SqlEngine, l0_name: str) -> pa.Table:
    """Compute the features of every account in the registered table `l0_name`, sorted by account.

    A null feature means that the log lacks the field (no turns, no stream flag) or that there is no value
    (variation of fewer than two gaps). An empty table gives an empty table of the same schema.
    """
    tables = {  # of states in the engine, with their columns
        "state_sums": engine.create("state_sums", states.sums(l0_name)),
        "state_spans": engine.create("state_spans", states.spans(l0_name)),
    }
    engine.create("by_hour", states.hours(l0_name))
    tables["state_days"] = engine.create("state_days", states.day_statistics("by_hour"))
    tables["state_hours"] = engine.create("state_hours", states.hour_statistics("by_hour"))
    engine.forget("by_hour")
    for dimension in DIMENSIONS:
        name = f"state_{dimension.column}"
        by_value = states.counts(l0_name, dimension)
        if dimension.column != SHARED:
            statistics = states.value_statistics(f"({by_value}) AS by_value", dimension)
            tables[name] = engine.create(name, statistics)
            continue
        engine.create("by_value", by_value)
        tables[name] = engine.create(name, states.value_statistics("by_value", dimension))
        tables["state_shared"] = engine.create("state_shared", states.shared_counts("by_value"))
        engine.forget("by_value")
    columns = {name: [c for c in names if c != "account"] for name, names in tables.items()}
    features = engine.query(states.final(columns))  # no other rows leave the engine
    for name in tables:
        engine.forget(name)
    return features.cast(SCHEMA).combine_chunks()
