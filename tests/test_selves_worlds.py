"""Variant worlds of benchmarks/selves.py, on a small generated world."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import selves

BEGIN = datetime(2026, 5, 4, tzinfo=UTC)
LEAD = "Turn the notes of the caller into one short ticket.\nNotes: "
TOPICS = ("kayak paddle river", "violin string bow", "oven heat bread", "router packet cable")
NAMES = [a + b + "rt" for a in "bdfgk" for b in "aeio"]
EXCHANGES = pa.schema(
    [
        ("exchange_id", pa.string()),
        ("time", pa.timestamp("us", tz="UTC")),
        ("account", pa.string()),
        ("client_ip", pa.string()),
        ("user_agent", pa.string()),
        ("model", pa.string()),
        ("conversation", pa.string()),
        ("turn", pa.int16()),
        ("system", pa.string()),
        ("prompt", pa.string()),
        ("input_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
        ("reasoning_tokens", pa.int32()),
        ("temperature", pa.float32()),
        ("status", pa.int16()),
        ("finish_reason", pa.string()),
        ("latency_ms", pa.int32()),
    ]
)


def exchange(number: int, account: str, prompt: str, *, agent: str = "notes/1", status: int = 200) -> dict:
    return {
        "exchange_id": f"req_{number:014x}",
        "time": BEGIN + timedelta(minutes=7 * number),
        "account": account,
        "client_ip": f"198.51.100.{int(account[1:])}",
        "user_agent": agent,
        "model": "m1",
        "conversation": None,
        "turn": 1,
        "system": None,
        "prompt": prompt,
        "input_tokens": len(prompt) // 4,
        "output_tokens": 50 if status == 200 else 0,
        "reasoning_tokens": 0,
        "temperature": 0.5,
        "status": status,
        "finish_reason": "stop",
        "latency_ms": 900,
    }


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Twelve customers of one plug-in, four other honest accounts, a campaign over four accounts."""
    rng = np.random.default_rng(5)
    words = [a + b + c for a in "lmnprst" for b in "aeiou" for c in ("ck", "ll", "nd", "sh")]
    rows, number = [], 0
    for turn in range(10):
        for holder in range(12):
            failed = 429 if turn == 3 and holder < 6 else 200
            text = " ".join(rng.choice(words, 6).tolist())
            rows.append(exchange(number, f"a{holder}", LEAD + f"{text} {number}", status=failed))
            number += 1
        for holder in range(12, 16):
            text = f"{number} " + " ".join(rng.choice(words, 8).tolist())
            rows.append(exchange(number, f"a{holder}", text, agent="curl"))
            number += 1
        for holder in range(16, 20):
            topic = TOPICS[int(rng.integers(4))]
            failed = 500 if turn == 5 else 200
            text = f"{topic} question {number} on {topic}"
            rows.append(exchange(number, f"a{holder}", text, agent="pool", status=failed))
            number += 1
    accounts = [f"a{holder}" for holder in range(20)]
    folder = tmp_path / "made"
    folder.mkdir()
    truth = [
        {
            "account": account,
            "kind": "campaign" if at >= 16 else "plugin_byok" if at < 12 else "app_backend",
            "campaign": "c1" if at >= 16 else None,
        }
        for at, account in enumerate(accounts)
    ]
    labels = [
        {"exchange_id": row["exchange_id"], "campaign": "c1"} for row in rows if row["user_agent"] == "pool"
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=EXCHANGES), folder / "exchanges.parquet")
    pq.write_table(pa.table({"account": accounts}), folder / "accounts.parquet")
    pq.write_table(pa.Table.from_pylist(truth), folder / "truth.parquet")
    pq.write_table(pa.Table.from_pylist(labels), folder / "truth_exchanges.parquet")
    (folder / "world.json").write_text("{}")
    return folder


def rows_of(folder: Path) -> list[dict]:
    return pq.read_table(folder / "exchanges.parquet").to_pylist()


def people_file(folder: Path, people: int = 20, texts: int = 30) -> Path:
    entries = [
        selves.Entry(
            f"p{person}",
            "made",
            BEGIN + timedelta(days=text),
            f"{NAMES[person]} mends {text} for {NAMES[person]} and {NAMES[person]}son",
            (f"src/p{person}.c",),
        )
        for person in range(people)
        for text in range(texts)
    ]
    path = folder / "people.parquet"
    pq.write_table(selves.collect(entries), path)
    return path


def test_people_fill_the_slot_and_the_wrapper_stays(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    selves.main(["world", str(world), str(out), "--people", str(people_file(tmp_path))])
    before, after = rows_of(world), rows_of(out)
    persons: dict[str, list[str]] = defaultdict(list)
    for old, new in zip(before, after, strict=True):
        assert {k: v for k, v in old.items() if k not in ("prompt", "input_tokens")} == {
            k: v for k, v in new.items() if k not in ("prompt", "input_tokens")
        }
        if old["user_agent"] == "notes/1":
            assert new["prompt"].startswith(LEAD)
            persons[new["account"]].append(new["prompt"].removeprefix(LEAD))
        else:
            assert new["prompt"] == old["prompt"]
    names = {account: {text.split()[0] for text in texts} for account, texts in persons.items()}
    assert all(len(own) == 1 for own in names.values())  # one person per account
    assert len({next(iter(own)) for own in names.values()}) == 12  # and no person twice
    order = [int(text.split()[2]) for text in persons["a0"]]
    assert order == sorted(order)  # the person's own order of time
    report = json.loads((out / "variant.json").read_text())["people"]
    assert report["persons"] == report["with_a_real_person"] == 12
    assert pq.read_schema(out / "exchanges.parquet").equals(pq.read_schema(world / "exchanges.parquet"))


def test_who_has_nobody_with_enough_texts_stays_as_composed(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    selves.main(["world", str(world), str(out), "--people", str(people_file(tmp_path, people=3))])
    changed = {
        new["account"]
        for old, new in zip(rows_of(world), rows_of(out), strict=True)
        if old["prompt"] != new["prompt"]
    }
    assert len(changed) == 3
    assert json.loads((out / "variant.json").read_text())["people"]["share"] == 0.25


def test_real_people_cling_more_than_composed_ones(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    selves.main(["world", str(world), str(out), "--people", str(people_file(tmp_path))])
    within, across = selves.measure(out)["people"]["plugin_byok"]
    assert within > across + 0.1


def pool_texts(folder: Path) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = defaultdict(list)
    for row in rows_of(folder):
        if row["user_agent"] == "pool":
            texts[row["account"]].append(row["prompt"])
    return texts


def clinging(folder: Path) -> float:
    within, across = selves.measure(folder)["campaigns"]["c1"]
    return within - across


def test_sticky_dealing_moves_texts_and_nothing_else(world: Path, tmp_path: Path) -> None:
    out, free = tmp_path / "out", tmp_path / "free"
    selves.main(["world", str(world), str(out), "--sticky", "1"])
    selves.main(["world", str(world), str(free), "--sticky", "0"])
    before, after = pool_texts(world), pool_texts(out)
    assert sorted(chain(*before.values())) == sorted(chain(*after.values()))
    assert {a: len(own) for a, own in before.items()} == {a: len(own) for a, own in after.items()}
    for old, new in zip(rows_of(world), rows_of(out), strict=True):
        assert (old["exchange_id"], old["time"], old["account"]) == (
            new["exchange_id"],
            new["time"],
            new["account"],
        )
    assert clinging(out) > clinging(free) + 0.1


def test_failures_are_asked_again_where_the_rules_say(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    selves.main(["world", str(world), str(out), "--retries"])
    before = {row["exchange_id"] for row in rows_of(world)}
    after = rows_of(out)
    assert [row["time"] for row in after] == sorted(row["time"] for row in after)
    failed = {row["prompt"]: row for row in after if row["status"] != 200}
    new = [row for row in after if row["exchange_id"] not in before]
    assert len(new) == len(failed) == 10
    for row in new:
        first = failed[row["prompt"]]
        delay = row["time"] - first["time"]
        assert timedelta(seconds=19) < delay <= timedelta(minutes=15)
        assert (row["account"] != first["account"]) == (row["user_agent"] == "pool")
        assert row["client_ip"] == f"198.51.100.{int(row['account'][1:])}"
    labelled = set(pq.read_table(out / "truth_exchanges.parquet")["exchange_id"].to_pylist())
    assert {row["exchange_id"] for row in new if row["user_agent"] == "pool"} <= labelled


def test_a_world_without_failures_gets_some(world: Path, tmp_path: Path) -> None:
    table = pq.read_table(world / "exchanges.parquet")
    at = table.schema.get_field_index("status")
    ok = pa.array([200] * table.num_rows, pa.int16())
    failing = selves.fail_some(
        table.set_column(at, table.schema.field("status"), ok), np.random.default_rng(1), 0.2
    )
    assert set(failing["status"].to_pylist()) == {200, 429, 500}


def test_two_halves_share_no_honest_account(world: Path, tmp_path: Path) -> None:
    halves = []
    for seed in (4, 5):
        out = tmp_path / str(seed)
        selves.main(["world", str(world), str(out), "--disjoint", str(seed)])
        halves.append(set(pq.read_table(out / "truth.parquet")["account"].to_pylist()))
        assert {row["account"] for row in rows_of(out)} <= halves[-1]
    assert halves[0] & halves[1] == {"a16", "a17", "a18", "a19"}
    assert halves[0] | halves[1] == {f"a{at}" for at in range(20)}


def test_the_same_seed_writes_the_same_world(world: Path, tmp_path: Path) -> None:
    people = people_file(tmp_path)
    options = ["--people", str(people), "--sticky", "0.5", "--retries"]
    for name in ("one", "two"):
        selves.main(["world", str(world), str(tmp_path / name), *options])
    assert rows_of(tmp_path / "one") == rows_of(tmp_path / "two")


def test_a_changelog_gives_each_change_to_its_author() -> None:
    lines = [
        "bash (5.2-1) unstable; urgency=medium\n",
        "\n",
        "  [ Ada One ]\n",
        "  * Rebuild the tables\n",
        "    of the parser in d/rules.\n",
        "\n",
        "  [ Bob Two ]\n",
        "  * Drop an obsolete patch.\n",
        "\n",
        " -- Cy Three <cy@example.org>  Wed, 09 Apr 2025 10:34:37 +0200\n",
    ]
    entries = list(selves.debian_changelog("bash", lines))
    assert [entry.text for entry in entries] == [
        "Rebuild the tables\nof the parser in d/rules.",
        "Drop an obsolete patch.",
    ]
    assert entries[0].person == selves.person_id("debian", "Ada One") != entries[1].person
    assert entries[0].files == ("d/rules.",)


def test_lines_that_name_people_are_removed() -> None:
    text = "Fix the lock\n\nIt was released twice.\n\nSigned-off-by: A <a@example.org>\nReviewed-by: B"
    assert selves.clean(text) == "Fix the lock\n\nIt was released twice."


def test_a_folder_that_is_no_world_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"is no world: it has no exchanges\.parquet"):
        selves.main(["world", str(tmp_path), str(tmp_path / "out")])
