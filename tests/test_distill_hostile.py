"""Malicious teachers and models, and broken ones that look alike."""

import gzip
import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distill_teacher import Reply, teaching
from distill_world import clock_run, example
from stillwatch.distill import DistillError
from stillwatch.distill.collect import bounded
from stillwatch.distill.collect.reply import NotAnAnswer
from stillwatch.distill.embedded.clock import problems
from stillwatch.distill.rows import read_json, write_rows
from stillwatch.distill.train import Training
from test_distill_collect import collected, run_of, stored

BOMB = gzip.compress(bytes(4 << 20), mtime=0)


@pytest.mark.slow
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
        run, plan = run_of(tmp_path, url, 3, collect={"timeout_s": 3.0, "longest_wait_s": 0.1})
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
            bounded.unpack(raw, "gzip")
    else:
        assert bounded.unpack(raw, "gzip") == b""


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

    row = json.loads(run.collected_file.read_text(), parse_constant=never)
    assert row["logprobs"] == [["8", None, [[None, None]]]]


# --- models ----------------------------------------------------------------------------------------------


class Touch:
    """A pickle that creates a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def configured(**keys: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | keys))

    return change


def of_its_own_code(folder: Path) -> None:
    configured(model_type="evil", auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"})(folder)
    (folder / "evil.py").write_text(f"import os; os.mkdir({str(folder / 'ran')!r})")


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Touch(folder / "ran"), protocol=2))


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])


def its_own_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(folder)}))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from stillwatch.distill.embedded.models import blank_student, tokenizer

    folder = tmp_path_factory.mktemp("sound")
    blank_student(1).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.train
@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (of_its_own_code, "wants code that came with the weights"),
        (pickled, "a pickle that would run code"),
        (cut, "Error while deserializing"),
        (configured(n_layer=4), "24 of the model's weights are not in its files"),
        (configured(n_embd=64), "other sizes than its config.json says"),
        (configured(n_embd=-1), "negative dimension"),
        (configured(n_layer="two"), "n_layer"),
        (its_own_adapter, "belongs to another adapter"),
    ],
    ids=["code", "pickle", "cut", "layers", "width", "negative", "text", "adapter"],
)
def test_a_model_that_means_harm_is_refused_in_a_sentence(
    sound: Path, tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    from stillwatch.distill.train.models import load

    folder = tmp_path / "model"
    shutil.copytree(sound, folder)
    harm(folder)
    with pytest.raises(DistillError, match=words) as met:
        load(str(folder))
    assert "\n" not in str(met.value)
    assert not (folder / "ran").exists()


@pytest.mark.train
def test_a_template_that_refuses_a_message_is_counted_not_fatal(sound: Path, tmp_path: Path) -> None:
    """As Gemma's template does with a system message."""
    from stillwatch.distill.train.run import train

    folder = tmp_path / "model"
    shutil.copytree(sound, folder)
    from stillwatch.distill.embedded.models import CHAT_TEMPLATE

    picky = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHAT_TEMPLATE
    )
    (folder / "chat_template.jinja").write_text(picky)
    run = clock_run(tmp_path / "run", 4, 1)
    system = ({"role": "system", "content": "dial"},)
    rows = [example(one) for one in problems(4, 1)]
    rows[0] = replace(rows[0], prompt=system + rows[0].prompt)
    write_rows(run / "curated.jsonl", rows)
    settings = Training(student=str(folder), steps=1, batch=2, device="cpu")
    assert train(run, settings, lambda words: None).left_out == {
        "the model's chat template refuses it: no system": 1
    }
    write_rows(run / "curated.jsonl", rows[:1])
    with pytest.raises(DistillError, match=r"no example is left to learn from: 1 the model's.*no system"):
        train(run, settings, lambda words: None)
