"""Teachers and models that mean harm, or are broken as if they did."""

import gzip
import json
from pathlib import Path

import pytest

from distill_teacher import Reply, teaching
from stillwatch.distill.collect import bounded
from stillwatch.distill.collect.reply import NotAnAnswer
from stillwatch.distill.rows import read_json
from test_distill_collect import collected, run_of, stored

BOMB = gzip.compress(bytes(4 << 20))


@pytest.mark.parametrize(
    "bad",
    [
        Reply(body=b"[" + b" " * (1 << 20)),
        Reply(body=BOMB, headers={"content-encoding": "gzip"}),
        Reply(body=BOMB[:2000], headers={"content-encoding": "gzip"}),
        Reply(body=b"BZh9", headers={"content-encoding": "br"}),
        Reply(status=500, body=b" " * (1 << 20)),
        Reply(drip_s=0.05),
    ],
    ids=["endless", "bomb", "cut bomb", "packed", "endless error", "drip"],
)
def test_an_answer_without_end_takes_neither_memory_nor_time(
    tmp_path: Path, bad: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "LONGEST_REPLY", 1 << 16)
    with teaching(lambda n, body: bad if n == 1 else Reply()) as (url, seen):
        run, plan = run_of(tmp_path, url, 3, collect={"timeout_s": 0.4, "longest_wait_s": 0.1})
        got = collected(run, plan)
    assert (got.answers, len(seen.bodies)) == (3, 4)
    assert read_json(run.spent)["in_doubt"]["requests"] == 1


def test_packed_answers_are_read(tmp_path: Path) -> None:
    raw = gzip.compress(Reply("7").raw("acme"))
    with teaching(lambda n, body: Reply(body=raw, headers={"content-encoding": "gzip"})) as (url, _):
        run, plan = run_of(tmp_path, url, 2)
        assert collected(run, plan).answers == 2
    assert stored(run)[0].answer == "7"


@pytest.mark.parametrize("raw", [b"", b"x", b"\x1f\x8b", BOMB[:50]])
def test_what_is_packed_is_whole_or_refused(raw: bytes) -> None:
    if raw:
        with pytest.raises(NotAnAnswer):
            bounded.unpacked(raw, "gzip")
    else:
        assert bounded.unpacked(raw, "gzip") == b""


@pytest.mark.parametrize("place", ["file:///etc/passwd", "http://{there}/v1/chat/completions"])
def test_prompts_and_keys_go_where_the_plan_says_and_nowhere_else(tmp_path: Path, place: str) -> None:
    with teaching() as (there, seen):
        to = place.format(there=there.removeprefix("http://").removesuffix("/v1"))
        with teaching(lambda n, body: Reply(status=307, headers={"location": to})) as (url, asked):
            run, plan = run_of(tmp_path, url)
            got = collected(run, plan)
    assert f"sends on to '{to}'" in got.stopped
    assert (len(asked.bodies), len(seen.bodies)) == (1, 0)


def test_chances_that_are_no_numbers_leave_the_file_json(tmp_path: Path) -> None:
    top = [{"token": 5, "logprob": float("-inf")}]
    one = {"token": "8", "logprob": float("nan"), "top_logprobs": top}
    reply = Reply(extra={"logprobs": {"content": [one, 3]}})
    with teaching(lambda n, body: reply) as (url, _):
        run, plan = run_of(tmp_path, url, 1, collect={"logprobs": 1})
        assert collected(run, plan).answers == 1

    def never(word: str) -> None:
        raise AssertionError(word)

    row = json.loads(run.collected.read_text(), parse_constant=never)
    assert row["logprobs"] == [["8", None, [[None, None]]]]
