"""`stillwatch holds` lists, tests and ends the holds of a gateway's folder."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from holds_world import START_US, Client, people, queue, schedule
from stillwatch.cli.main import app
from stillwatch.exchanges import RECORD
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import PURPOSE, sketch_batch
from stillwatch.gateway.control.holds import all_held, follow
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import Folder, derive, open_folder
from stillwatch.gateway.record import segments
from stillwatch.report.explain import explain
from stillwatch.report.findings import load
from stillwatch.scan import ScanResult
from stillwatch.scan.holds import LEVEL
from stillwatch.scan.parts import RAISING
from stillwatch.terms.holds import HoldCandidate, HoldSchedule
from stillwatch.terms.load import loads

ON = 'version = 1\n[holds]\nmode = "on"\ndays = 7\n'


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder in which a queue over sixteen accounts was held for a week."""
    made = open_folder(tmp_path / "serve")
    made.secret_file.write_bytes(bytes(range(32)))
    accounts = schedule(0, 16).accounts
    then_us = START_US  # long over, so the draw and its p-value are the same each time
    with ControlState(made.state, made.secret()) as state:
        follow(
            state, loads(ON), [HoldCandidate("sw-1", 0.01, accounts)], {}, now_us=then_us, tell=lambda _: None
        )
        drawn = all_held(state)[0].schedule
    put(made, drawn)
    return made


def put(folder: Folder, drawn: HoldSchedule, client: Client = queue) -> None:
    """Write the clients' requests as the recorder does."""
    door = client(drawn, np.random.default_rng(1), 12)
    rows = [
        {
            "exchange_id": f"x{number}",
            "time": datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us),
            "account": account,
            "status": status,
            "prompt": f"thing number {text}",
        }
        for number, (at_us, account, status, text) in enumerate(sorted(door.rows))
    ]
    whole = pa.Table.from_pylist(rows, RECORD).combine_chunks().to_batches()[0]
    sketcher = Sketcher(derive(folder.secret(), PURPOSE))
    segments.write(folder, 1, sketch_batch(whole, sketcher), b"", rows[0]["time"])


def run(folder: Folder, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["holds", *words, "--folder", str(folder.path)])
    return done.exit_code, done.stdout + done.stderr


@pytest.mark.slow
def test_what_ran_is_listed_tested_and_ended(folder: Folder) -> None:
    code, told = run(folder, "list")
    assert code == 0
    assert "sw-1" in told
    assert "16" in told
    assert "runs" in told
    (listed,) = json.loads(run(folder, "list", "--json")[1])
    assert listed["key"] is None  # it would disclose the next holds
    (tested,) = json.loads(run(folder, "test", "--json")[1])
    assert tested["p_value"] <= 0.01
    assert tested["failover_p_value"] < 1e-6
    assert len(tested["named"]) >= 12
    assert tested["accounts_alone"].keys() == set(schedule(0, 16).accounts)
    assert "16 accounts asked" in run(folder, "test")[1]
    assert run(folder, "end", "9", "--why", "?")[0] != 0
    assert run(folder, "end", "1", "--why", " ")[0] != 0
    assert run(folder, "end", "1", "--why", "testers")[0] == 0
    assert "has ended already" in run(folder, "end", "1", "--why", "testers")[1]


@pytest.mark.slow
def test_accounts_of_one_customer_show_nothing(folder: Folder, tmp_path: Path) -> None:
    """One card for all, or an office's mail domain: known only from an accounts table."""
    accounts, table = schedule(0, 16).accounts, tmp_path / "accounts.csv"
    for column, of in (("payment", "card1"), ("email_domain", "acme.example"), ("payment", "")):
        table.write_text("\n".join([f"account,{column}", *(f"{name},{of}" for name in accounts)]) + "\n")
        code, told = run(folder, "test", "--json", "--accounts", str(table))
        (tested,) = json.loads(told)
        assert (code, bool(tested["named"])) == (0, not of)
        assert (tested["failover_p_value"] < 1e-6) is (not of)
    table = tmp_path / "accounts.jsonl"
    table.write_text('{"account": "acct-00"}\n{"account": \n')
    code, told = run(folder, "test", "--accounts", str(table))
    assert (code, "accounts.jsonl" in told) == (3, True)


@pytest.mark.slow
def test_who_has_the_key_recomputes_the_draw(folder: Folder) -> None:
    run(folder, "end", "1", "--why", "over")
    (listed,) = json.loads(run(folder, "list", "--json")[1])
    with ControlState(folder.state, folder.secret()) as state:
        drawn = all_held(state)[0].schedule
    again = HoldSchedule(
        listed["candidate"],
        dict.fromkeys(listed["accounts"], drawn.start_us),
        drawn.start_us,
        listed["days"],
        listed["block_minutes"],
        listed["one_block_in"],
        bytes.fromhex(listed["key"]),
    )
    assert listed["joined"] == {}
    assert again.commitment == listed["commitment"]
    cells = [(account, block) for account in drawn.accounts for block in drawn.blocks(drawn.end_us)]
    assert [again.draw(*cell) for cell in cells] == [drawn.draw(*cell) for cell in cells]


def scanned(folder: Folder, out: Path) -> ScanResult:
    done = CliRunner().invoke(app, ["scan", str(folder.path), "--out", str(out)])
    assert done.exit_code in (0, 4), done.output
    return load(out)


@pytest.mark.slow
def test_a_scan_of_the_folder_takes_its_holds_for_evidence(folder: Folder, tmp_path: Path) -> None:
    """The texts have no common wording and there are no settings: only the holds show it."""
    result = scanned(folder, tmp_path / "report")
    (found,) = result.campaigns
    assert [r.detector for r in found.reasons if r.detector in RAISING] == ["holds"]
    assert len(found.accounts) >= 12
    assert found.p_value <= LEVEL
    assert set(found.own_reactions) == set(found.accounts)
    # no account gets the group's p-value as its own
    mine = {v.account: v.p_value for v in result.accounts if v.campaign == found.id}
    assert mine == pytest.approx({a: one.p_value for a, one in found.own_reactions.items()})
    assert min(mine.values()) > found.p_value
    told = explain(result, found.accounts[0])
    assert any("randomised holds show of this account" in line for line in told.compared_with)
    assert not any("lone payer" in line for line in told.compared_with)


@pytest.mark.slow
def test_a_scan_does_not_accuse_people_who_were_held(folder: Folder, tmp_path: Path) -> None:
    with ControlState(folder.state, folder.secret()) as state:
        drawn = all_held(state)[0].schedule
    for segment in folder.segments.rglob("*"):
        if segment.is_file():
            segment.unlink()
    put(folder, drawn, people)
    assert scanned(folder, tmp_path / "report").campaigns == ()


def test_a_folder_in_which_nobody_was_held(tmp_path: Path) -> None:
    made = open_folder(tmp_path / "empty")
    with ControlState(made.state, made.secret()):
        pass
    assert "nobody has been held" in run(made, "list")[1]
    assert run(made, "test", "--json")[1].strip() == "[]"
