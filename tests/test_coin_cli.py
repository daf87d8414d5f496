"""`stillwatch coin` and `stillwatch prove coin` as a person types them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coin_world import KEY, NOW_US, WORDS, pair_in, write
from stillwatch.cli.main import app
from stillwatch.coin.keys import write_key
from stillwatch.coin.ledger import Ledger, files
from stillwatch.coin.sealing import new_reading_key
from stillwatch.gateway.folder import open_folder
from stillwatch.prove import Outcome, evidence_json


def run(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gateway's folder with canaries for three actors."""
    made = open_folder(tmp_path / "gw")
    write_key(made.coin / "keys", KEY)
    write(made.coin / "ledger", {"rogue": 60, "other": 40}, reader=new_reading_key(tmp_path / "reading.key"))
    return made.path


def test_a_key_is_made_and_committed_to(tmp_path: Path) -> None:
    told = json.loads(
        run("coin", "new-key", "--folder", tmp_path / "g", "--reading-key", tmp_path / "r.key", "--json")
    )
    assert told["commitment"] not in Path(told["key"]).read_text().split('"key"')[0]
    out = json.loads(run("coin", "commit", "--folder", tmp_path / "g"))
    assert out["keys"] == [{"epoch": told["epoch"], "commitment": told["commitment"]}]
    assert out["heads"] == []
    secret = json.loads(Path(told["key"]).read_text())["key"]
    assert secret not in json.dumps(out)
    assert "has its key already" in run("coin", "new-key", "--folder", tmp_path / "g", code=2)
    assert "already" in run(
        "coin", "new-key", "--epoch", "x", "--folder", tmp_path / "g", "--reading-key", tmp_path / "s", code=2
    )
    assert "is no gateway's folder" in run("coin", "commit", "--folder", tmp_path / "none", code=2)


@pytest.mark.slow
def test_a_ledger_is_verified_shown_and_held_against_what_was_published(tmp_path: Path, folder: Path) -> None:
    at = ["--folder", folder]
    published = tmp_path / "commitment.json"
    run("coin", "commit", *at, "--out", published, "--signing-key", tmp_path / "sign.key")
    told = run("coin", "verify", *at, "--published", published)
    assert "in order: 100 pairs (0 ties) in 1 files" in told
    assert "1 published heads lie in it" in told
    seen = json.loads(run("coin", "show", *at, "--last", 3, "--json"))
    assert len(seen) == 3
    assert "why" in seen[-1]
    assert "answers" not in seen[0]
    opened = run("coin", "show", *at, "--reading-key", tmp_path / "reading.key", "--last", 2)
    assert "rogue" in opened or "other" in opened
    changed = json.loads(published.read_text())
    changed["heads"][0]["records"] -= 1
    published.write_text(json.dumps(changed))
    assert "is not signed by the key it names" in run("coin", "verify", *at, "--published", published, code=2)
    published.write_text("{}")
    assert "is not what `stillwatch coin commit` prints" in run(
        "coin", "verify", *at, "--published", published, code=2
    )
    path = files(folder / "coin" / "ledger")[0]
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:40] + lines[41:]))
    assert ":41: does not follow the record before it" in run("coin", "verify", *at, code=2)


@pytest.mark.slow
def test_a_file_of_outputs_is_tested(tmp_path: Path, folder: Path) -> None:
    from stillwatch.coin.sealing import read_reading_key
    from stillwatch.coin.verify import pairs

    known = list(
        pairs(folder / "coin" / "ledger", {KEY.commitment: KEY}, read_reading_key(tmp_path / "reading.key"))
    )
    rows = [
        {
            "prompt": p.messages[-1]["content"],
            "output": p.answers[p.served].text if p.account == "rogue" else " ".join(WORDS),
        }
        for p in known
    ]
    (tmp_path / "outputs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = [
        "prove", "coin", "--folder", folder, "--reading-key", tmp_path / "reading.key", "--each-account",
        "--suspect", tmp_path / "outputs.jsonl", "--signing-key", tmp_path / "prove.key",
        "--out", tmp_path / "test", "--draws", 999_999,
    ]  # fmt: skip
    told = json.loads(run(*words, "--only-protocol", "--json"))
    assert told["actors"] == ["other", "rogue"]
    assert not (tmp_path / "test" / "evidence.json").exists()
    found = json.loads(run(*words, "--json"))
    by_actor = {one["actor"]: one for one in found["actors"]}
    assert by_actor["rogue"]["p_adjusted"] == pytest.approx(2e-6)
    assert by_actor["other"]["p_value"] > 0.01
    assert found["outcome"] == Outcome.OWNER_WORD.value  # nothing was sealed
    assert (tmp_path / "test" / "index.html").exists()
    assert evidence_json.read(tmp_path / "test" / "evidence.json").found()[0].name == "rogue"
    assert "another test" in run(*words, "--alpha", "0.01", code=2)
    text = run(*words)
    assert "look  other actors" not in text
    assert "no published heads were given" in text


@pytest.mark.slow
def test_what_is_missing_is_said(tmp_path: Path, folder: Path) -> None:
    base = ["prove", "coin", "--folder", folder, "--out", tmp_path / "t", "--signing-key", tmp_path / "k"]
    assert "its answers are sealed; give the reading key" in run(
        *base, "--suspect", _outputs(tmp_path), code=2
    )
    assert "there is no such file" in run(*base, "--suspect", "none.jsonl", code=2)
    assert "needs the right" in run(*base, "--suspect", "https://api.example.com/v1", "--model", "m", code=2)
    assert "there is no ledger" in run(*base, "--suspect", "x.jsonl", "--ledger", tmp_path / "none", code=2)
    assert "there is no key of a coin" in run(
        "prove", "coin", "--folder", tmp_path / "empty", "--suspect", "x.jsonl", code=2
    )


def test_a_plain_ledger_from_elsewhere_needs_no_gateway(tmp_path: Path) -> None:
    import random

    write_key(tmp_path / "keys", KEY)
    ledger = Ledger(tmp_path / "ledger", 0, KEY, None, NOW_US)
    draw = random.Random(1)
    pairs = [pair_in(ledger, draw, "a", campaign="c-1") for _ in range(30)]
    ledger.add(pairs, NOW_US)
    ledger.close(NOW_US)
    rows = [{"prompt_id": p.id, "output": p.answers[p.served].text} for p in pairs]
    (tmp_path / "o.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = json.loads(
        run(
            "prove", "coin", "--ledger", tmp_path / "ledger", "--key", tmp_path / "keys",
            "--suspect", tmp_path / "o.jsonl", "--draws", 99_999,
            "--out", tmp_path / "t", "--signing-key", tmp_path / "k", "--json",
        )
    )  # fmt: skip
    assert told["actors"][0]["actor"] == "c-1"
    assert told["actors"][0]["p_sign"] == pytest.approx(2.0**-30)


def _outputs(tmp_path: Path) -> Path:
    path = tmp_path / "some.jsonl"
    path.write_text('{"prompt": "a", "output": "b"}\n')
    return path
