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
    made: Made = {}
    for name in LEVEL_2:
        made[f"state_{name}"] = engine.create(f"state_{name}", LEVEL_1[name](l0_name))
    _hour_states(engine, made, states.hours(l0_name))
    for dimension in DIMENSIONS:
        _value_states(engine, made, states.counts(l0_name, dimension), dimension)
    return _final(engine, made)


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
    made: Made = {}
    for name in parts[0]:
        engine.register("parts", pa.concat_tables([part[name] for part in parts]))
        sql = LEVEL_2.get(name, states.merged_counts)("parts")
        if name in LEVEL_2:
            made[f"state_{name}"] = engine.create(f"state_{name}", sql)
        elif name == "hours":
            _hour_states(engine, made, sql)
        else:
            _value_states(engine, made, sql, BY_PART[name])
        engine.forget("parts")
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
    """The features of merged states; the only rows that leave the engine, one for each account."""
    columns = {name: [c for c in names if c != "account"] for name, names in made.items()}
    result = engine.query(states.final(columns))
    for name in made:
        engine.forget(name)
    return result.cast(SCHEMA).combine_chunks()
