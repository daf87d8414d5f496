"""Merged segments: the same rows in the same order, each read once, however small the pieces."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import sketch_batch
from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.record import rows, segments

HOUR = datetime(2026, 11, 25, 10, tzinfo=UTC)
SKETCHER = Sketcher(b"a key of these tests, not public")


def write(folder: Folder, number: int, count: int) -> None:
    said = [
        {"exchange_id": f"x{number}.{k}", "time": int(HOUR.timestamp()) * 1_000_000, "account": "a"}
        for k in range(count)
    ]
    batch = sketch_batch(rows.batch(said), SKETCHER)
    segments.write(folder, number, batch, b"stood at %d" % number, HOUR)


def read_ids(folder: Folder, seen: set[str]) -> list[str]:
    return [name for table in segments.read_new(folder, seen) for name in table["exchange_id"].to_pylist()]


@pytest.mark.slow
@pytest.mark.parametrize("group", [1, 7, 100_000])
def test_a_merged_hour_is_its_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int) -> None:
    monkeypatch.setattr(segments, "GROUP_ROWS", group)
    folder = open_folder(tmp_path / "serve")
    for number in range(1, 6):
        write(folder, number, 3 * number)
    seen = {path.name for path in segments.new_segments(folder, set())[:2]}
    later = HOUR + timedelta(hours=2)
    assert segments.merge(folder, later) == 5
    (one,) = segments.all_segments(folder)
    assert (one.first, one.last) == (1, 5)
    ids = [f"x{number}.{k}" for number in range(1, 6) for k in range(3 * number)]
    assert pq.read_table(one.path)["exchange_id"].to_pylist() == ids
    assert segments.last_checkpoint(folder) == (5, b"stood at 5")
    assert read_ids(folder, seen) == ids[9:]  # those of the first two were read before

    write(folder, 6, 2)  # arrives late for its hour
    assert segments.merge(folder, later) == 2
    (one,) = segments.all_segments(folder)
    assert (one.first, one.last) == (1, 6)
    assert segments.last_checkpoint(folder) == (6, b"stood at 6")
    assert read_ids(folder, seen) == ["x6.0", "x6.1"]
    assert read_ids(folder, set()) == [*ids, "x6.0", "x6.1"]
