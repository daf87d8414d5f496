"""Small random logs with truth, for tests of a run's measurements."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
KINDS = ("chat", "eval_harness", "synthetic_permitted")
SCHEMA = pa.schema(
    [
        ("exchange_id", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("account", pa.string()),
        ("model", pa.string()),
        ("system", pa.string()),
        ("prompt", pa.string()),
        ("input_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
        ("status", pa.int16()),
        ("finish_reason", pa.string()),
    ]
)


def write_scene(folder: Path, seed: int, honest: int = 12, pools: tuple[int, ...] = (4, 3, 1)) -> Path:
    """Write a random fortnight of a few honest accounts and a pool for each number in `pools`."""
    draw = random.Random(seed)
    truth = [(f"h{n}", KINDS[n % len(KINDS)], None, None) for n in range(honest)]
    for p, size in enumerate(pools):
        truth += [(f"c{p}-{n}", "campaign", f"k{p}", f"style{p % 2}") for n in range(size)]
    rows, marks = [], []
    for account, _, campaign, _ in truth:
        for _ in range(draw.randrange(1, 9)):
            name = f"e{len(rows):04}"
            day = draw.uniform(7, 14) if campaign else draw.uniform(0, 14)
            finish = draw.choice(["stop", "stop", "stop", "length", "refusal", None])
            status = draw.choice([200, 200, 200, 200, 429])
            rows.append(
                {
                    "exchange_id": name,
                    "time": BEGIN + timedelta(microseconds=int(day * 86_400_000_000)),
                    "account": account,
                    "model": draw.choice(["mira-think", "mira-mini"]),
                    "system": None,
                    "prompt": f"question {draw.randrange(40)}",
                    "input_tokens": draw.randrange(1, 900),
                    "output_tokens": draw.choice([None, draw.randrange(2000)]),
                    "status": status,
                    "finish_reason": finish if status == 200 else None,
                }
            )
            if campaign and draw.random() < 0.8:
                marks.append({"exchange_id": name, "campaign": campaign})
    draw.shuffle(rows)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "exchanges.parquet")
    names = ("account", "kind", "campaign", "style")
    told = pa.schema([(name, pa.string()) for name in names])
    pq.write_table(
        pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in truth], told),
        folder / "truth.parquet",
    )
    schema = pa.schema([("exchange_id", pa.string()), ("campaign", pa.string())])
    pq.write_table(pa.Table.from_pylist(marks, schema), folder / "truth_exchanges.parquet")
    listed = "".join(f'[[campaign]]\nname = "k{p}"\ntradecraft = {p % 3}\n' for p in range(len(pools)))
    (folder / "scene.toml").write_text(f'name = "random"\nbegin = "{BEGIN:%Y-%m-%d}"\n{listed}')
    return folder
