"""Stored indicators under partners' keys: from the key on, exact, bounded, never delaying the recorder."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2 as httpx
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from gateway_world import gateway
from indicators_world import FRAME, Provider, provider
from stillwatch.cases.exports.marking import Tlp
from stillwatch.cases.exports.stix import campaign_bundle
from stillwatch.cases.indicators import IndicatorError
from stillwatch.cases.indicators.gather import gather
from stillwatch.cases.indicators.keys import IndicatorKey, create, exchange
from stillwatch.cases.indicators.marks import LogHistory
from stillwatch.cases.indicators.search import search
from stillwatch.cases.indicators.shelf import IndicatorRecorder, place_key, shelf_of
from stillwatch.cli.main import app
from stillwatch.exchanges.rejects import Rejects
from test_indicators import START_US, case_of, partner_of
from upstream import Upstream

NOW = datetime(2026, 3, 14, 10, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def beta(tmp_path: Path) -> Provider:
    return provider(tmp_path / "beta", "beta", 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "served"
    made.mkdir()
    return made


@pytest.fixture
def key(tmp_path: Path, folder: Path) -> IndicatorKey:
    create(tmp_path / "partner.key")
    return place_key(folder, tmp_path / "partner.key")


def batches(one: Provider, many: int = 4) -> list[pa.RecordBatch]:
    rows = -(-one.table.num_rows // many)
    return one.table.combine_chunks().to_batches(max_chunksize=rows)


def ids(path: Path, key: IndicatorKey) -> list[str]:
    found = LogHistory([path], key).batches(Rejects())
    return sorted(name for batch in found for name in batch.column("exchange_id").to_pylist())


def test_without_a_key_nothing_is_kept(folder: Path, beta: Provider) -> None:
    shelf = IndicatorRecorder(folder)
    shelf.put(1, batches(beta)[0], NOW)
    shelf.tidy(NOW, 30)
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_what_was_served_can_be_searched_and_no_prompt_is_kept(
    folder: Path, key: IndicatorKey, beta: Provider, tmp_path: Path
) -> None:
    shelf = IndicatorRecorder(folder)
    for number, batch in enumerate(batches(beta), 1):
        shelf.put(number, batch, NOW)
    found = shelf_of(folder, key)
    assert found is not None
    alpha = provider(tmp_path / "alpha", "alpha", 1)
    hits = search(LogHistory([found], key), partner_of(gather(LogHistory([alpha.log], key), alpha.pool)))
    assert tuple(sorted(one.account for one in hits.accounts)) == beta.pool
    assert (hits.searched, hits.blind) == (beta.table.num_rows, 0)
    kept = b"".join(path.read_bytes() for path in found.rglob("*.parquet"))
    assert FRAME[:20].encode() not in kept
    assert shelf_of(folder, exchange(b"z" * 32)) is None


def test_a_number_that_is_put_again_is_there_once(folder: Path, key: IndicatorKey, beta: Provider) -> None:
    shelf, parts = IndicatorRecorder(folder), batches(beta)
    shelf.put(1, parts[0], NOW)
    IndicatorRecorder(folder).put(1, parts[0], NOW)  # the recorder was killed before its segment
    found = shelf_of(folder, key)
    assert found is not None
    assert ids(found, key) == sorted(parts[0].column("exchange_id").to_pylist())


@pytest.mark.slow
def test_hours_are_put_together_and_let_go(folder: Path, key: IndicatorKey, beta: Provider) -> None:
    shelf, parts = IndicatorRecorder(folder), batches(beta)
    for number, batch in enumerate(parts, 1):
        shelf.put(number, batch, NOW)
    found = shelf_of(folder, key)
    assert found is not None
    shelf.tidy(NOW + HOUR, 30)
    assert [path.name for path in sorted(found.rglob("*.parquet"))] == ["0000000001-0000000004.parquet"]
    shelf.put(5, parts[0], NOW)  # late, for an hour that is already merged
    shelf.tidy(NOW + HOUR, 30)
    assert [path.name for path in sorted(found.rglob("*.parquet"))] == ["0000000001-0000000005.parquet"]
    assert len(set(ids(found, key))) == beta.table.num_rows
    shelf.tidy(NOW + timedelta(days=30), 30)
    assert shelf_of(folder, key) is not None
    shelf.tidy(NOW + timedelta(days=30, hours=1), 30)
    assert shelf_of(folder, key) is None


def test_a_disk_or_a_key_that_fails_hinders_nobody(
    folder: Path,
    key: IndicatorKey,
    beta: Provider,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "partners" / "broken.key").write_text("hunter2")
    (folder / "partners" / "broken.key").chmod(0o600)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    shelf = IndicatorRecorder(folder)
    shelf.put(1, batches(beta)[0], NOW)
    said = capsys.readouterr().err
    assert shelf.missed == batches(beta)[0].num_rows
    assert "No space left on device; capture goes on" in said
    assert "holds no exchange key" in said
    assert "hunter2" not in said
    assert shelf_of(folder, key) is None


def test_a_key_that_is_placed_or_taken_away_counts_at_once(
    folder: Path, tmp_path: Path, beta: Provider
) -> None:
    shelf = IndicatorRecorder(folder)
    shelf.put(1, batches(beta)[0], NOW)
    key = create(tmp_path / "k")
    place_key(folder, tmp_path / "k")
    shelf.put(2, batches(beta)[1], NOW)
    found = shelf_of(folder, key)
    assert found is not None
    before = ids(found, key)
    assert before == sorted(batches(beta)[1].column("exchange_id").to_pylist())
    (folder / "partners" / f"{key.fingerprint}.key").unlink()
    os.utime(folder / "partners", ns=(1, 1))
    shelf.put(3, batches(beta)[2], NOW)
    assert ids(found, key) == before
    with pytest.raises(IndicatorError, match="cannot hold the key"):
        place_key(tmp_path / "none", tmp_path / "k")


@pytest.mark.slow
def test_a_gateway_that_shares_answers_a_partner(tmp_path: Path, beta: Provider) -> None:
    """End to end: a real gateway serves, keeps no text, and finds a partner's campaign."""
    key = create(tmp_path / "k")
    alpha = provider(tmp_path / "alpha", "alpha", 1)
    with Upstream() as up, gateway(up.url, account="acct_drain") as g:
        runner = CliRunner()
        shared = runner.invoke(
            app, ["indicators", "share", str(tmp_path / "k"), "--folder", str(g.folder.path)]
        )
        assert "can be compared under key" in shared.stdout
        for k in range(12):
            said = FRAME.format(item=f"what is {k} times {k + 1} in base seven")
            body = {"model": "mira", "messages": [{"role": "user", "content": said}]}
            assert httpx.post(g.url + "/v1/chat/completions", json=body, headers=g.auth).status_code == 200
        assert len(g.settle()) == 12
        told = gather(LogHistory([alpha.log], key), alpha.pool)
        now_us = time.time_ns() // 1000
        file = tmp_path / "told.json"
        file.write_bytes(
            campaign_bundle(
                case_of(alpha),
                told,
                key,
                sender="A",
                tlp=Tlp.GREEN,
                opened_us=START_US,
                now_us=now_us,
                valid_days=9,
            )[0]
        )
        words = ["indicators", "import", str(file), str(g.folder.path), "--exchange-key", str(tmp_path / "k")]
        found = runner.invoke(app, words, catch_exceptions=False)
        assert "1 account of 1; 12 of 12 exchanges carry one of its" in found.stdout
        assert "acct_drain" in found.stdout
