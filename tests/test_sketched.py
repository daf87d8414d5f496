"""A log of sketches gives the same scan as the log with its texts, and mixed keys are always noticed."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from scan_world import START, scene
from stillwatch.cli.main import app
from stillwatch.cli.options import sketch_key
from stillwatch.errors import InputError
from stillwatch.exchanges import RECORD
from stillwatch.exchanges.log import ExchangeLog, build
from stillwatch.exchanges.read import Rejects, read
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import (
    EXTRA,
    KEY,
    PURPOSE,
    SKETCHED,
    SKETCHES,
    check_key,
    is_sketched,
    schema_under,
    sketch_batch,
)
from stillwatch.gateway.folder import derive, open_folder
from stillwatch.report.findings import evidence_json, findings_json, to_text
from stillwatch.scan import ScanResult
from stillwatch.scan.harvest import harvest
from stillwatch.scan.pipeline import Options, run

SAMPLE = Path(__file__).parent.parent / "sample"
DEV = Path(__file__).parent.parent.parent / "shared" / "range" / "dev-a"
SECRET = b"a key for the tests of sketches"
SKETCHER = Sketcher(SECRET)
OPTIONS = Options(key=SECRET)


def sketched_from(log: Path, keep_text: bool = False) -> pa.Table:
    batches = read([log], rejects=Rejects())
    return pa.Table.from_batches([sketch_batch(b, SKETCHER, keep_text) for b in batches])


def texts(result: ScanResult) -> tuple[str, str]:
    still = replace(result, scanned=replace(result.scanned, seconds=0.0))
    return to_text(findings_json(still)), to_text(evidence_json(still))


def record(rows: Iterable[dict]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), RECORD)


def exchange(k: int = 0, **columns: object) -> dict:
    said = f"tell me about the number {k} and why it matters so much"
    return {"exchange_id": f"x{k}", "time": START, "account": "a", "prompt": said} | columns


def same(a: ExchangeLog, b: ExchangeLog) -> None:
    assert (a.accounts, a.models, len(a)) == (b.accounts, b.models, len(b))
    assert list(a.columns) == list(b.columns)
    for name in a.columns:
        np.testing.assert_array_equal(a[name], b[name], name)
    np.testing.assert_array_equal(a.phrases, b.phrases)
    np.testing.assert_array_equal(a.system_phrases, b.system_phrases)


# --- the same findings ------------------------------------------------------------------------------------


def check_same_findings(scene_folder: Path, tmp_path: Path) -> None:
    log, accounts = scene_folder / "exchanges.parquet", scene_folder / "accounts.parquet"
    table = sketched_from(log)
    third = len(table) // 3
    below = tmp_path / "segments" / "2026-03-02T00"
    below.mkdir(parents=True)
    pq.write_table(table.slice(0, third), below / "1.parquet")
    pq.write_table(table.slice(third - 50), below / "2.parquet")  # some rows are duplicates
    plain = run([log], accounts=accounts, options=OPTIONS)
    assert plain.campaigns
    assert texts(run([tmp_path], accounts=accounts, options=OPTIONS)) == texts(plain)


@pytest.mark.slow
def test_the_samples_sketches_give_the_samples_findings(tmp_path: Path) -> None:
    check_same_findings(SAMPLE, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not DEV.exists(), reason="the development scenes lie beside the repository")
def test_a_development_scenes_sketches_give_its_findings(tmp_path: Path) -> None:
    check_same_findings(DEV, tmp_path)


def test_a_log_half_sketched_and_half_plain_is_one_log(tmp_path: Path) -> None:
    world = scene(1, people=60)
    half = len(world.table) // 2
    pq.write_table(world.table, tmp_path / "plain.parquet")
    pq.write_table(world.table.slice(half), tmp_path / "half.parquet")
    rest = [sketch_batch(b, SKETCHER) for b in world.table.slice(0, half + 10).to_batches()]
    pq.write_table(pa.Table.from_batches(rest), tmp_path / "sketched.parquet")
    mixed = read(
        [tmp_path / "half.parquet", tmp_path / "sketched.parquet"], rejects=Rejects(), sketcher=SKETCHER
    )
    same(build(mixed, SKETCHER), build(read([tmp_path / "plain.parquet"], rejects=Rejects()), SKETCHER))


ODD = st.one_of(st.none(), st.text(max_size=40), st.sampled_from(["", " ", "ok", "\u202e" * 9, "漢字" * 30]))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(ODD, ODD, ODD, st.booleans()), min_size=1, max_size=12))
def test_any_texts_sketch_alike_at_the_door_and_at_the_scan(rows: list[tuple]) -> None:
    batch = record(
        exchange(k, prompt=p, system=s, conversation=c) | ({} if named else {"exchange_id": None})
        for k, (p, s, c, named) in enumerate(rows)
    )
    same(build([sketch_batch(batch, SKETCHER)], SKETCHER), build([batch], SKETCHER))


# --- stored data ------------------------------------------------------------------------------------------


def test_no_text_is_in_a_sketched_batch_unless_it_was_told_so() -> None:
    batch = record([exchange(1, system="be kind", completion="well")])
    bare, whole = sketch_batch(batch, SKETCHER, False), sketch_batch(batch, SKETCHER, True)
    assert bare.schema.equals(SKETCHED)
    for name in ("system", "prompt", "completion"):
        assert bare.column(name).null_count == 1
        assert whole.column(name).to_pylist() == batch.column(name).to_pylist()
    assert b"number" not in bare.serialize().to_pybytes()


def test_what_the_gateway_knows_travels_with_the_row(tmp_path: Path) -> None:
    plain = record([exchange(1, status=403)])
    extra = {"outcome": "refused", "rule": "ban:x", "worker": 2, "sequence": 7, "received": START}
    arrays = [*plain.columns, *(pa.array([extra.get(f.name)], f.type) for f in EXTRA)]
    batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema([*RECORD, *EXTRA]))
    pq.write_table(pa.Table.from_batches([sketch_batch(batch, SKETCHER)]), tmp_path / "s.parquet")
    (back,) = read([tmp_path / "s.parquet"], rejects=Rejects(), sketcher=SKETCHER)
    row = back.to_pylist()[0]
    assert {name: row[name] for name in extra} == extra
    log = build([back], SKETCHER)
    assert harvest(log, np.arange(1)).exchanges == 0  # refused: nothing was answered


def test_a_log_without_a_key_mark_of_its_own_is_told_apart_by_its_columns() -> None:
    assert is_sketched(SKETCHED)
    assert not is_sketched(RECORD)
    assert set(SKETCHES.names).isdisjoint(RECORD.names)


# --- keys -------------------------------------------------------------------------------------------------


def written(folder: Path, sketcher: Sketcher = SKETCHER) -> Path:
    table = pa.Table.from_batches([sketch_batch(record(exchange(k) for k in range(9)), sketcher)])
    pq.write_table(table, folder / "s.parquet")
    return folder / "s.parquet"


def test_another_key_is_refused_and_both_are_named(tmp_path: Path) -> None:
    other = Sketcher(b"quite another key, not the first")
    path = written(tmp_path, other)
    with pytest.raises(InputError, match=rf"{other.fingerprint}.*{SKETCHER.fingerprint}.*--key-file"):
        run([path], options=OPTIONS)


def test_sketches_of_another_form_or_without_a_mark_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not say under which key"):
        check_key({}, SKETCHER, "here")
    later = dict(schema_under(SKETCHER).metadata) | {b"stillwatch.sketched": b"99"}
    with pytest.raises(InputError, match="form 99"):
        check_key(later, SKETCHER, "here")
    check_key(schema_under(SKETCHER).metadata, SKETCHER, "here")
    assert SECRET not in schema_under(SKETCHER).metadata[KEY]


def test_a_reader_that_wants_texts_refuses_sketches(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds sketches instead of texts"):
        list(read([written(tmp_path)], rejects=Rejects()))


def test_bad_rows_of_a_sketched_file_are_left_out_and_counted(tmp_path: Path) -> None:
    batch = sketch_batch(record(exchange(k, account="" if k == 3 else "a") for k in range(9)), SKETCHER)
    pq.write_table(pa.Table.from_batches([batch]), tmp_path / "s.parquet")
    rejects = Rejects()
    (back,) = read([tmp_path / "s.parquet"], rejects=rejects, sketcher=SKETCHER)
    assert back.column("exchange_id").to_pylist() == [f"x{k}" for k in range(9) if k != 3]
    assert rejects.examples == [
        f"{tmp_path / 's.parquet'}:row 4: column account is empty; every exchange needs one"
    ]


@pytest.mark.slow
def test_a_gateways_folder_is_scanned_by_its_segments_under_its_own_key(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "serve")
    hour = folder.segments / "2026-03-02T00"
    hour.mkdir()
    written(hour, Sketcher(derive(folder.secret(), PURPOSE)))
    (folder.path / "gaps.jsonl").write_text('{"from": 1}\n')
    args = ["scan", str(folder.path), "--out", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(app, args, catch_exceptions=False)
    assert done.exit_code == 4  # read, but one account cannot be judged
    assert '"exchanges": 9' in done.output
    two = open_folder(tmp_path / "two")
    with pytest.raises(InputError, match="two keys"):
        sketch_key([folder.path, two.path], None)
