"""`stillwatch audit` as it is typed: sentences and exit codes."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from audit_tampers import BEGIN_US
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.store import Store
from stillwatch.cli.main import app


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["audit", *words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Store(f"sqlite:///{tmp_path}/cases.db") as store:
        attach(store, tmp_path / "audit.key")
        for k in range(4):
            with store.writing(BEGIN_US + k * 61_000_000) as tx:
                tx.audit("ann", "note", f"case-{k % 2}", {"k": k}, {"acct-1": {"text": "canary"}})
    return tmp_path


def test_verify_says_sound_with_what_it_rests_on(folder: Path) -> None:
    done = run("verify", "--folder", str(folder))
    assert done.exit_code == 0
    assert "sound: 5 records" in done.stdout
    assert "no witness" in done.stdout
    assert "no key" not in done.stdout
    assert json.loads(run("verify", "--folder", str(folder), "--json").stdout)["sound"] is True


def test_verify_names_the_first_bad_record(folder: Path) -> None:
    with Store(f"sqlite:///{folder}/cases.db") as store, store.engine.begin() as db:
        db.execute(text("UPDATE audit_records SET who = 'bob' WHERE seq = 3"))
    done = run("verify", "--folder", str(folder))
    assert done.exit_code == 1
    assert "NOT sound, from record 3 on: altered" in done.stdout
    told = json.loads(run("verify", "--folder", str(folder), "--json").stdout)
    assert (told["sound"], told["seq"], told["cause"]) == (False, 3, "altered")


def test_verify_knows_another_key(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "other.pub"
    other.write_text("ab" * 32)
    done = run("verify", "--folder", str(folder), "--key", str(other))
    assert done.exit_code == 1
    assert "other key" in done.stdout


@pytest.mark.parametrize("words", [("verify",), ("show",), ("checkpoint",), ("rotate", "--why", "x")])
def test_without_cases_it_says_how_to_make_some(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(*words, "--folder", str(tmp_path))
    assert done.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_a_trail_cannot_be_verified(tmp_path: Path) -> None:
    Store(f"sqlite:///{tmp_path}/cases.db").close()
    assert run("verify", "--folder", str(tmp_path)).exit_code == 2


@pytest.mark.slow
def test_show_opens_what_is_sealed_only_when_asked_and_that_goes_on_record(folder: Path) -> None:
    assert "canary" not in run("show", "--folder", str(folder)).stdout
    assert "1 sealed" in run("show", "--folder", str(folder), "--subject", "case-1").stdout
    assert "canary" in run("show", "--folder", str(folder), "--person", "acct-1", "--open").stdout
    rows = json.loads(run("show", "--folder", str(folder), "--json").stdout)
    assert rows[0]["what"] == "sealed details looked at"
    assert run("verify", "--folder", str(folder)).exit_code == 0


@pytest.mark.slow
def test_erase_says_first_then_does(folder: Path) -> None:
    assert (
        "would erase what 4 records hold"
        in run("erase", "acct-1", "--folder", str(folder), "--dry-run").stdout
    )
    assert run("erase", "acct-1", "--folder", str(folder)).exit_code == 2  # no --why
    assert run("erase", "acct-1", "--folder", str(folder), "--why", "request 7").exit_code == 0
    done = run("verify", "--folder", str(folder))
    assert done.exit_code == 0
    assert "erased 20" in done.stdout
    assert "canary" not in run("show", "--folder", str(folder), "--open").stdout
    assert run("erase", "acct-1", "--folder", str(folder), "--why", "again").exit_code == 2


@pytest.mark.slow
def test_a_partner_witnesses_and_a_cut_tail_is_found(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    away = tmp_path_factory.mktemp("away")
    heads, kept = away / "heads.jsonl", away / "kept.jsonl"
    assert run("checkpoint", "--folder", str(folder), "--to", str(heads)).exit_code == 0
    signing = ("--keep", str(kept), "--signing-key", str(away / "w.key"))
    back = run("witness", str(heads), *signing)
    assert back.exit_code == 0
    (away / "back.jsonl").write_text(back.stdout)
    with Store(f"sqlite:///{folder}/cases.db") as store, store.engine.begin() as db:
        seal = db.execute(text("SELECT prev FROM audit_records WHERE seq = 5")).scalar_one()
        db.execute(text("DELETE FROM audit_records WHERE seq = 5"))
        db.execute(text("DELETE FROM audit_checkpoints WHERE seq = 5"))
        point = db.execute(text("SELECT seq, at_us FROM audit_checkpoints ORDER BY seq DESC")).first()
        assert point is not None
        db.execute(
            text("UPDATE audit_head SET seq = 4, seal = :seal, checkpoint_seq = :s, checkpoint_us = :t"),
            {"seal": seal, "s": point.seq, "t": point.at_us},
        )
    assert run("verify", "--folder", str(folder)).exit_code == 0
    witness = ("--witness", str(away / "back.jsonl"), "--witness-key", str(away / "w.key.pub"))
    done = run("verify", "--folder", str(folder), *witness)
    assert done.exit_code == 1
    assert "from record 5 on: cut tail" in done.stdout


def test_rotate_hands_over(folder: Path) -> None:
    before = (folder / "audit.key.pub").read_text()
    assert run("rotate", "--folder", str(folder), "--why", "yearly").exit_code == 0
    assert (folder / "audit.key.pub").read_text() != before
    assert "records 1 to 6 signed" in run("verify", "--folder", str(folder)).stdout


def test_cases_of_a_scan_need_no_folder_of_a_gateway(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    url = f"sqlite:///{folder}/cases.db"
    checkpoint = run("checkpoint", "--cases", url)
    assert checkpoint.exit_code == 0, checkpoint.output
    verified = run("verify", "--cases", url)
    assert verified.exit_code == 0
    assert "no key" not in verified.stdout
