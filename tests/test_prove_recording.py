"""Files of outputs as strangers send them: what is read, what is omitted, and what is refused."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from lineage_world import Made, pool_of, write_pool
from stillwatch.cli.main import app
from stillwatch.prove import ProveError
from stillwatch.prove.pool import Pool, PoolError
from stillwatch.prove.pool.checks import fit
from stillwatch.prove.pool.reading import read_pool
from stillwatch.prove.recording import RecordedAnswers, Unread, is_recording, read
from stillwatch.prove.suspect.outputs import Outputs


def rows_in(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


REPLY = {"choices": [{"message": {"role": "assistant", "content": "Blue."}}]}
PARTS = [{"type": "text", "text": "Bl"}, {"type": "text", "text": "ue."}]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Sky?", "output": "Blue."},
        {"instruction": "Sky?", "input": "", "output": "Blue."},
        {"prompt": "Sky?", "generated_text": "Blue."},
        {"prompt": "Sky?", "text": "Blue."},
        {
            "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "Sky?"}],
            "response": "Blue.",
        },
        {"messages": [{"role": "user", "content": "Sky?"}, {"role": "assistant", "content": "Blue."}]},
        {"messages": [{"role": "user", "content": "Sky?"}, {"role": "assistant", "content": PARTS}]},
        {"conversations": [{"from": "human", "value": "Sky?"}, {"from": "gpt", "value": "Blue."}]},
        {"prompt": "Sky?", "response": {"status_code": 200, "body": REPLY}},
        {"prompt": "Sky?", "choices": [{"index": 0, "turns": ["Blue.", "to a later question"]}]},
        {"prompt": "Sky?", "outputs": ["Blue.", ""]},
        {"question_id": 81, "prompt": "Sky?", "model_id": "m", "answer": ["Blue."]},
    ],
)
def test_rows_are_read_as_others_write_them(tmp_path: Path, row: dict[str, Any]) -> None:
    (said,) = read(rows_in(tmp_path / "o.jsonl", row))
    assert isinstance(said, RecordedAnswers), said
    assert (said.asked, said.answers) == ("Sky?", ("Blue.",))


def test_the_same_rows_in_every_form_of_file_are_the_same(tmp_path: Path) -> None:
    rows = [{"prompt_id": str(i), "output": f'He said "{i}",\nand left.'} for i in range(3)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "a.jsonl").write_text("\ufeff" + text)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "c.json").write_text(json.dumps(rows, indent=1))
    quoted = [row["output"].replace('"', '""') for row in rows]
    lines = [f'{i},"{said}"\n' for i, said in enumerate(quoted)]
    (tmp_path / "d.csv").write_text("prompt_id,output\n" + "".join(lines))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "e.parquet")
    ids = pa.array(range(3))
    pq.write_table(
        pa.table({"id": ids, "answers": [[row["output"]] for row in rows]}), tmp_path / "f.parquet"
    )
    found = []
    for path in sorted(tmp_path.iterdir()):
        assert is_recording(str(path))
        found.append([(one.id, one.answers) for one in read(path) if isinstance(one, RecordedAnswers)])
    assert found == [[(row["prompt_id"], (row["output"],)) for row in rows]] * 6


BAD = [
    '{"prompt_id": "x", "outp',
    "[1]",
    '{"prompt_id": "y", "error": "429"}',
    '{"prompt_id": "z", "output": 4}',
]


def test_rows_that_cannot_be_used_are_told_and_the_rest_is_read(tmp_path: Path) -> None:
    good = [{"prompt_id": str(i), "output": f"answer {i}"} for i in range(9)]
    path = rows_in(tmp_path / "o.jsonl", *good, *BAD, {"prompt_id": "n", "output": None})
    unread = [one for one in read(path) if isinstance(one, Unread)]
    assert [one.place for one in unread] == [f"{path}:{line}" for line in (10, 11, 12, 13)]
    pool = read_pool([path])
    assert len(pool.answers["o"]) == 9
    assert len(pool.unread) == 4
    outputs = Outputs(path)
    assert (len(outputs.unread), outputs.empty) == (4, 1)
    mostly = rows_in(tmp_path / "m.jsonl", *good[:2], *BAD)
    with pytest.raises(ProveError, match=r"m\.jsonl:3: .*and so 3 more of 6 rows"):
        read_pool([mostly])
    with pytest.raises(ProveError, match=r"m\.jsonl:3: .*and so 3 more of 6 rows"):
        Outputs(mostly)


def test_ids_that_name_two_prompts_are_refused(tmp_path: Path) -> None:
    path = rows_in(
        tmp_path / "o.jsonl",
        {"id": 0, "prompt": "Sky?", "output": "Blue.", "model": "a"},
        {"id": 0, "prompt": "Sea?", "output": "Deep.", "model": "b"},
    )
    with pytest.raises(PoolError, match=r"o\.jsonl:2: '0' names 'Sea\?' here and 'Sky\?' before"):
        read_pool([path])


def test_prompts_are_the_same_where_their_words_are(tmp_path: Path) -> None:
    """The asking party numbers a suspect's rows: the numbers are no ids of the pool's."""
    asked = [f"Question {i}?" for i in range(40)]
    known = Pool(
        tuple(f"p{i:02d}" for i in range(40)),
        {"a": {f"p{i:02d}": (f"told {i}",) for i in range(40)}},
        {f"p{i:02d}": text for i, text in enumerate(asked)},
        {},
    )
    own = rows_in(
        tmp_path / "s.jsonl",
        *({"id": i, "prompt": text, "output": f"said {i}"} for i, text in enumerate(reversed(asked))),
    )
    both = known.joined(read_pool([own]))
    assert both.prompts == known.prompts
    assert both.answers["s"]["p39"] == ("said 0",)
    other = rows_in(
        tmp_path / "t.jsonl",
        *({"id": f"p{i:02d}", "prompt": f"Another {i}?", "output": f"said {i}"} for i in range(40)),
    )
    with pytest.raises(PoolError, match="outputs have to be on the same prompts"):
        fit(known.joined(read_pool([other])), "t")


def test_a_suspect_that_says_one_thing_at_length_is_refused() -> None:
    answers = {f"p{i:03d}": ("!" * 100_000 + str(i),) for i in range(40)}
    others = {f"p{i:03d}": (f"it is {i} of them",) for i in range(40)}
    pool = Pool(tuple(answers), {"s": answers, "a": others}, {}, {})
    with pytest.raises(PoolError, match="says the same to most prompts"):
        fit(pool, "s")


def test_the_verb_ends_with_three_where_rows_were_left_out(tmp_path: Path) -> None:
    world = pool_of([Made("a", "one"), Made("b", "two")])
    pool = write_pool(world.of(["a"]), tmp_path / "pool.jsonl")
    suspect = write_pool(world.of(["b"]), tmp_path / "s.jsonl")
    with suspect.open("a") as file:
        file.write('{"prompt_id": "x", "outp')
    run = CliRunner().invoke(app, ["prove", "leads", str(suspect), "--pool", str(pool)])
    assert run.exit_code == 3, run.output
    assert "rows left out" in run.output


def test_what_a_model_says_most_often_is_compared_most_often(tmp_path: Path) -> None:
    """Nine of ten samples agree: on one prompt in ten, not on every second, the other one is compared."""
    rows = [{"prompt_id": str(i), "outputs": [f"usual {i}"] * 9 + [f"rare {i}"]} for i in range(400)]
    pool = read_pool([rows_in(tmp_path / "s.jsonl", *rows)])
    rare = sum(told[0].startswith("rare") for told in pool.answers["s"].values())
    assert 15 <= rare <= 70  # 40 expected; the binomial exceeds these bounds once in a million
    assert read_pool([rows_in(tmp_path / "s.jsonl", *reversed(rows))]) == pool
