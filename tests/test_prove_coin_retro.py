"""The test without a coin: exact against all arrangements, uniform on innocents, never above grade B."""

import itertools
import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coin_world import text
from stillwatch.cli.main import app
from stillwatch.prove import Grade, Outcome, ProveError, outcome
from stillwatch.prove.coin.retro import Block, evidence, read_log, thrown_again


def test_p_is_the_share_of_all_arrangements() -> None:
    draw = random.Random(2)
    found = [Block(str(k), "a", tuple(draw.sample([1.0, 2.0, 3.0], 3))) for k in range(7)]
    observed = sum(one.ranks[0] for one in found)
    sums = [sum(places) for places in itertools.product(*(one.ranks for one in found))]
    expected = sum(one >= observed for one in sums) / len(sums)
    p, far, draws = thrown_again(found, 1, 200_000)
    assert p == pytest.approx(expected, abs=0.02)
    assert p == (1 + far) / (1 + draws)


def test_innocents_are_uniform() -> None:
    draw = random.Random(3)
    p_values = []
    for seed in range(200):
        found = [Block(str(k), "a", tuple(draw.sample([1.0, 2.0, 3.0, 4.0], 4))) for k in range(30)]
        p_values.append(thrown_again(found, seed, 1_999)[0])
    assert 0.02 <= sum(p <= 0.1 for p in p_values) / 200 <= 0.19
    assert 0.38 <= sum(p <= 0.5 for p in p_values) / 200 <= 0.62


def test_it_is_never_more_than_consistent() -> None:
    found = [Block(str(k), "a", (4.0, 1.0, 2.0, 3.0)) for k in range(40)]
    said = evidence(found, "likelihood", "s", 1e-3, 1, "0" * 64, 9_999)
    assert said.grade is Grade.RANK
    assert outcome((said,)) is Outcome.CONSISTENT
    assert not said.confounds[0].clear
    with pytest.raises(ProveError, match="no prompt has two different values"):
        evidence([], "likelihood", "s", 1e-3, 1, "")


def test_from_files_to_evidence(tmp_path: Path) -> None:
    draw = random.Random(4)
    served, fresh, said = [], [], []
    for k in range(60):
        account = "rogue" if k % 2 else "honest"
        prompt, answer = f"Question {k}?", text(draw)
        served.append({"id": k, "prompt": prompt, "output": answer, "account": account})
        fresh.append({"prompt_id": k, "outputs": [text(draw) for _ in range(4)]})
        said.append({"prompt_id": k, "output": answer if account == "rogue" else text(draw)})
    for name, rows in (("log", served), ("fresh", fresh), ("said", said)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["prove", "retro", str(tmp_path / "log.jsonl"), "--suspect", str(tmp_path / "said.jsonl")]
    words += ["--out", str(tmp_path / "out"), "--signing-key", str(tmp_path / "k"), "--json"]
    done = CliRunner().invoke(app, [*words, "--draws", str(tmp_path / "fresh.jsonl")])
    assert done.exit_code == 0, done.output
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["rogue"]["p_adjusted"] < 1e-4
    assert rows["honest"]["p_value"] > 0.01
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "either --draws FILE or --teacher" in done.output


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"prompt": "a"}], ":1: has prompt; output is needed"),
        ([{"id": 1, "output": "b"}], ":1: a served answer needs its prompt and its output"),
        (
            [{"id": 1, "prompt": "a", "output": "b"}, {"id": 1, "prompt": "c", "output": "d"}],
            "'1' is there twice",
        ),
        ([{"messages": [1], "output": "b"}], "messages are no objects"),
        ([3], ":1: is no JSON object"),
        ([], "holds no served answers"),
    ],
)
def test_a_bad_log_is_refused(tmp_path: Path, rows: list[object], told: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ProveError, match=told):
        read_log(path)
