"""One definition for many engines and any partition of the rows; NumPy is the oracle."""

import math
import pathlib

import numpy as np
import pyarrow as pa
import pytest

from sql_engines import IN_PROCESS, INSTALLED, each, opened
from stillwatch.features.compute import SCHEMA, account_features
from stillwatch.features.definitions import DIMENSIONS, FEATURES
from stillwatch.features.states import sum_states

HOUR = 3_600_000_000
UNITS = {f.unit for f in FEATURES}
TYPES = {
    "ts_us": pa.int64(), "account": pa.int32(), "model": pa.int32(),
    "end_user": pa.uint32(),
    "conversation": pa.uint32(), "turn": pa.int32(), "net": pa.int32(), "asn": pa.int32(),
    "agent": pa.int32(), "system": pa.uint64(), "exact": pa.uint64(),
    "head": pa.uint64(), "tail": pa.uint64(), "cell": pa.uint16(),
    "classes": pa.uint32(), "words": pa.int32(), "tools": pa.int32(), "input_tokens": pa.int64(),
    "output_tokens": pa.int64(), "reasoning_tokens": pa.int64(), "temperature_milli": pa.int32(),
    "top_p_milli": pa.int32(), "max_tokens": pa.int64(), "n": pa.int32(), "top_logprobs": pa.int32(),
    "stream": pa.int8(), "json_format": pa.int8(), "status": pa.int16(), "finish": pa.int8(),
    "latency_ms": pa.int64(),
}  # fmt: skip
SCHEMA_L0 = pa.schema([pa.field(name, kind, nullable=False) for name, kind in TYPES.items()])
BLANK = {
    "model": 0, "end_user": 0, "conversation": 0, "turn": 0, "net": -1, "asn": -1, "agent": -1, "system": 0,
    "exact": 1, "head": 0, "tail": 0, "cell": 0, "classes": 0, "words": 3, "tools": -1, "input_tokens": -1,
    "output_tokens": -1, "reasoning_tokens": -1, "temperature_milli": -1, "top_p_milli": -1, "max_tokens": -1,
    "n": -1, "top_logprobs": -1, "stream": -1, "json_format": 0, "status": 200, "finish": 0, "latency_ms": -1,
}  # fmt: skip


def l0(rows):
    """Rows of a few columns; the others hold the values of a log without them."""
    columns = {name: [row.get(name, BLANK.get(name)) for row in rows] for name in TYPES}
    return pa.table({name: pa.array(columns[name], kind) for name, kind in TYPES.items()}, schema=SCHEMA_L0)


def random_l0(rows=6000, accounts=40, seed=7):
    draw = np.random.default_rng(seed)
    account = np.minimum(draw.geometric(0.12, rows) - 1, accounts - 1)
    big = np.uint64(2**63) + draw.integers(0, rows, rows).astype(np.uint64)
    columns = {
        "ts_us": 1_770_000_000_000_000 + draw.integers(0, 9 * 24 * HOUR, rows),
        "account": account,
        "model": draw.integers(0, 4, rows),
        "end_user": np.where(draw.random(rows) < 0.3, draw.integers(1, 2**32 - 1, rows), 0),
        "conversation": np.where(draw.random(rows) < 0.5, draw.integers(1, 900, rows), 0),
        "turn": draw.integers(0, 5, rows),
        "net": draw.integers(-1, 9, rows),
        "asn": draw.integers(-1, 9, rows),
        "agent": draw.integers(-1, 5, rows),
        "system": np.where(draw.random(rows) < 0.5, big % np.uint64(7) + np.uint64(2**63), np.uint64(0)),
        "exact": big,
        "head": np.where(draw.random(rows) < 0.8, big % np.uint64(50), np.uint64(0)),
        "tail": big % np.uint64(90),
        "cell": draw.integers(0, 300, rows),
        "classes": draw.integers(0, 64, rows),
        "words": draw.integers(1, 900, rows),
        "tools": draw.integers(-1, 4, rows),
        "input_tokens": draw.integers(-1, 9000, rows),
        "output_tokens": draw.integers(-1, 100_000, rows),
        "reasoning_tokens": draw.integers(-1, 5000, rows),
        "temperature_milli": draw.choice([-1, 0, 700], rows),
        "top_p_milli": draw.choice([-1, 1000], rows),
        "max_tokens": draw.choice([-1, 256, 1024], rows),
        "n": draw.choice([-1, 1, 4], rows),
        "top_logprobs": draw.choice([-1, 0, 5], rows),
        "stream": draw.integers(-1, 2, rows),
        "json_format": draw.integers(0, 2, rows),
        "status": draw.choice([200, 200, 200, 400, 429], rows),
        "finish": draw.integers(0, 6, rows),
        "latency_ms": draw.integers(-1, 9000, rows),
    }
    arrays = {
        name: pa.array(columns[name].astype(kind.to_pandas_dtype()), kind) for name, kind in TYPES.items()
    }
    return pa.table(arrays, schema=SCHEMA_L0)


def features_of(table, engine_name="duckdb", threads=2):
    engine = opened(engine_name, threads=threads)
    engine.register("l0", table)
    got = account_features(engine, "l0")
    engine.close()
    return got


def ipc_bytes(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.fixture(scope="module")
def log():
    return random_l0()


@pytest.fixture(scope="module")
def features(log):
    return features_of(log)


@pytest.mark.slow
@pytest.mark.parametrize("engine_name", each(tuple(name for name in INSTALLED if name != "duckdb")))
def test_engines_agree_to_the_bit(log, features, engine_name):
    assert ipc_bytes(features_of(log, engine_name)) == ipc_bytes(features)


@pytest.mark.slow
def test_hashes_may_be_signed(log, features):
    columns = [
        pa.array(column.to_numpy().view(np.int64)) if column.type == pa.uint64() else column
        for column in log.itercolumns()
    ]
    assert features_of(pa.table(columns, names=log.column_names)).equals(features)


@pytest.mark.slow
def test_only_the_features_leave_the_engine(log, monkeypatch):
    engine = opened("duckdb", threads=2)
    query, pulled = engine.query, []
    monkeypatch.setattr(engine, "query", lambda sql: pulled.append(query(sql)) or pulled[-1])
    engine.register("l0", log)
    got = account_features(engine, "l0")
    assert sum(table.num_rows for table in pulled) == got.num_rows
    engine.close()


@pytest.mark.slow
def test_permuted_input_gives_identical_bytes(log, features):
    order = np.random.default_rng(2).permutation(log.num_rows)
    for threads in (1, 2):
        assert ipc_bytes(features_of(log.take(order), threads=threads)) == ipc_bytes(features)


@pytest.mark.slow
@pytest.mark.parametrize("engine_name", IN_PROCESS)
def test_empty_log(log, engine_name):
    empty = features_of(log.slice(0, 0), engine_name)
    assert (empty.num_rows, empty.schema) == (0, SCHEMA)


@pytest.mark.slow
@pytest.mark.parametrize("engine_name", each())
def test_one_bare_row(engine_name):
    table = features_of(l0([{"ts_us": 5 * HOUR + 7, "account": 3}]), engine_name)
    (row,) = table.to_pylist()
    assert (row["account"], row["exchanges"], row["answered"], row["output_tokens"]) == (3, 1, 1, 0)
    assert (row["first_us"], row["active_days"], row["peak_day"], row["heads"]) == (5 * HOUR + 7, 1, 1, 0)
    assert (row["distinct_prompt_share"], row["repeats_across_accounts"], row["cell_entropy_bits"]) == (
        1,
        0,
        0,
    )
    silent = {name for name, value in row.items() if value is None}
    assert silent == {
        "gap_cv", "follow_up_share", "exchanges_per_conversation", "log2_output_mean", "log2_output_sd",
        "reasoning_token_share", "tools_share", "stream_share",
    }  # fmt: skip


@pytest.mark.slow
def test_numpy_oracle(log, features):
    frame = log.to_pandas()
    prompt_accounts = frame.groupby("exact").account.nunique()
    for row in features.to_pylist():
        mine = frame[frame.account == row["account"]]
        ts = np.sort(mine.ts_us.to_numpy())
        n = len(mine)
        hours = np.bincount(ts // HOUR % 24, minlength=24)
        cells = mine.cell.value_counts().to_numpy() / n
        sized = mine[(mine.status == 200) & (mine.output_tokens >= 0)].output_tokens
        logs = np.log2(sized + 1)
        gaps = np.diff(ts // 10_000)
        expected = {
            "exchanges": n,
            "answered": (mine.status == 200).sum(),
            "output_tokens": mine[mine.status == 200].output_tokens.clip(lower=0).sum(),
            "active_days": len(set(ts // (24 * HOUR))),
            "active_hours": len(set(ts // HOUR)),
            "peak_day": np.unique(ts // (24 * HOUR), return_counts=True)[1].max(),
            "peak_hour": np.unique(ts // HOUR, return_counts=True)[1].max(),
            "hour_entropy_bits": -sum(p * math.log2(p) for p in hours / n if p),
            "quiet_6h_share": min(np.roll(hours, -h)[:6].sum() for h in range(24)) / n,
            "cell_entropy_bits": -sum(p * math.log2(p) for p in cells),
            "follow_up_share": (mine.turn > 1).sum() / (mine.turn > 0).sum(),
            "end_users": mine[mine.end_user > 0].end_user.nunique(),
            "systems": mine[mine.system > 0].system.nunique(),
            "top_head_share": mine[mine["head"] > 0]["head"].value_counts().max() / n,
            "distinct_prompt_share": mine.exact.nunique() / n,
            "repeats_across_accounts": (mine.exact.map(prompt_accounts) > 1).sum() / n,
            "rubric_grading_share": ((mine.classes.astype(int) & 2) > 0).sum() / n,
            "roleplay_share": ((mine.classes.astype(int) & 32) > 0).sum() / n,
            "log2_output_mean": logs.mean(),
            "log2_output_sd": logs.std(ddof=0),
            "gap_cv": gaps.std() / gaps.mean() if n > 2 else None,
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, abs=1e-3 if name.endswith("_sd") else 1e-4), name


@pytest.mark.slow
def test_a_clock_has_no_variation_and_bursts_have_much():
    clock = [{"ts_us": k * HOUR // 2, "account": 0} for k in range(100)]
    burst = [{"ts_us": (k // 50) * 20 * HOUR + k * 1_000_000, "account": 1} for k in range(100)]
    steady, bursty = features_of(l0(clock + burst))["gap_cv"].to_pylist()
    assert steady == pytest.approx(0, abs=1e-6)
    assert bursty > 5


@pytest.mark.slow
@pytest.mark.parametrize("engine_name", IN_PROCESS)
def test_long_silence_does_not_overflow(engine_name):
    years = [{"ts_us": k * 365 * 24 * HOUR, "account": 0} for k in range(11)]
    assert features_of(l0(years), engine_name)["gap_cv"].to_pylist() == [0.0]


def test_every_feature_and_state_has_its_own_name():
    names = [f.name for f in FEATURES]
    assert len(set(names)) == len(names)
    assert not set(sum_states()) & set(TYPES), "a state named like a column would hide it"


def test_every_feature_is_documented():
    page = (pathlib.Path(__file__).parents[1] / "docs" / "features.md").read_text()
    for feature in FEATURES:
        assert f"| `{feature.name}` | {feature.unit} | {feature.doc} |" in page
    for dimension in DIMENSIONS:
        assert f"`{dimension.column}`" in page
    rows = [line for line in page.splitlines() if line.startswith("| `") and line.split(" | ")[1] in UNITS]
    assert len(rows) == len(FEATURES)
