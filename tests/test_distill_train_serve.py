"""The embedded server: requests parsed and refused; with the extra, the official client and a model."""

import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.distill import DistillError
from stillwatch.distill.embedded.clock import problems
from stillwatch.distill.embedded.serve import RequestRefused
from stillwatch.distill.embedded.serve.wire import parts, read

USER = {"messages": [{"role": "user", "content": "?"}]}
QUIET = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
NAMES = (
    "messages",
    "prompt",
    "n",
    "max_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "logprobs",
    "stream",
)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(NAMES), JSON), st.booleans())
def test_any_request_is_read_or_refused(told: dict[str, Any], chat: bool) -> None:
    try:
        request = read(json.dumps(told).encode(), chat)
    except RequestRefused:
        return
    assert 1 <= request.n <= 128
    assert 0 <= request.temperature <= 2
    assert request.messages if chat else request.prompts


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
    ],
)
def test_a_refusal_names_its_parameter(change: dict[str, Any], param: str) -> None:
    told = USER | change
    with pytest.raises(RequestRefused) as why:
        read(json.dumps(told).encode(), True)
    assert why.value.param == param


@given(st.text("ab <>/think\n"), st.text("ab <>/think\n"), st.sampled_from(("field", "inline", "hidden")))
def test_what_streams_adds_up_to_the_whole(reasoning: str, answer: str, mode: str) -> None:
    """Cut anywhere, the parts of a text only grow, and end as the whole text's."""
    text = f"<think>{reasoning}</think>{answer}"
    whole = parts(text, mode, True)
    sent = parts("", mode, False)
    for end in range(len(text) + 1):
        now = parts(text[:end], mode, False)
        assert now.reasoning.startswith(sent.reasoning)
        assert now.content.startswith(sent.content)
        sent = now
    assert whole.reasoning.startswith(sent.reasoning.rstrip())
    assert whole.content.startswith(sent.content.rstrip())
    if mode == "hidden":
        assert whole.reasoning == ""


def test_a_model_that_is_not_there_and_a_port_that_is_taken_are_refused(tmp_path: Path) -> None:
    import socket

    from stillwatch.distill.embedded.serve.run import serve

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(DistillError, match="cannot listen"):
            serve(tmp_path, port=taken.getsockname()[1])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from stillwatch.distill.embedded.models import blank_student, tokenizer
    from stillwatch.distill.embedded.serve.run import start_server

    folder = tmp_path_factory.mktemp("served") / "blank"
    blank_student(1).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    with start_server(folder, reasoning="inline") as at:
        yield at


@pytest.fixture(scope="module")
def client(url: str) -> Any:
    openai = pytest.importorskip("openai")
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0)


def asked(i: int = 0) -> list[dict[str, str]]:
    return [{"role": "user", "content": problems(5, 1)[i].prompt}]


@pytest.mark.train
@QUIET
def test_the_official_client_gets_what_it_asks_for(client: Any) -> None:
    assert [m.id for m in client.models.list().data] == ["blank"]
    told = client.chat.completions.create(
        model="blank", messages=asked(), max_tokens=7, temperature=0, logprobs=True, top_logprobs=3, n=2
    )
    assert [c.index for c in told.choices] == [0, 1]
    assert told.choices[0].message.content == told.choices[1].message.content
    assert told.choices[0].finish_reason in ("length", "stop")
    assert told.usage.prompt_tokens == len(asked()[0]["content"].split()) + 1
    assert told.usage.completion_tokens == sum(len(c.logprobs.content) for c in told.choices)
    first = told.choices[0].logprobs.content[0]
    assert first.logprob == max(t.logprob for t in first.top_logprobs)
    assert len(first.top_logprobs) == 3


@pytest.mark.train
@QUIET
def test_a_stream_says_the_same_as_the_whole(client: Any) -> None:
    order: dict[str, Any] = {
        "model": "blank",
        "messages": asked(1),
        "max_tokens": 12,
        "temperature": 1.2,
        "seed": 4,
    }
    whole = client.chat.completions.create(**order)
    chunks = list(
        client.chat.completions.create(**order, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == whole.choices[0].finish_reason
    plain = client.completions.create(
        model="blank", prompt=["<bos> start 3", "<bos> start 4"], max_tokens=3, logprobs=1
    )
    assert len(plain.choices) == 2
    assert len(plain.choices[0].logprobs.tokens) <= 3


@pytest.mark.train
@QUIET
def test_refusals_are_those_of_the_official_client(client: Any) -> None:
    openai = pytest.importorskip("openai")
    with pytest.raises(openai.NotFoundError, match="there is no model"):
        client.chat.completions.create(model="other", messages=asked())
    with pytest.raises(openai.BadRequestError) as why:
        client.chat.completions.create(model="blank", messages=[{"role": "user", "content": "start " * 200}])
    assert why.value.code == "context_length_exceeded"


@pytest.mark.train
@QUIET
def test_many_at_once_get_their_own_answers(client: Any) -> None:
    def one(i: int) -> str:
        told = client.chat.completions.create(
            model="blank", messages=asked(i % 5), max_tokens=6, temperature=0
        )
        return str(told.choices[0].message.content)

    alone = [one(i) for i in range(5)]
    found: dict[int, str] = {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: one(i)})) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {i: alone[i % 5] for i in range(20)}


@pytest.mark.train
@QUIET
def test_prompts_that_begin_others_are_answered_as_alone() -> None:
    """They are read once, with the prompts: a continuation is requested after every word of an answer."""
    from stillwatch.distill.embedded.models import blank_student, tokenizer
    from stillwatch.distill.embedded.serve import GenerationRequest
    from stillwatch.distill.embedded.serve.engine import GenerationEngine, Job
    from stillwatch.distill.train.models import LoadedModel

    engine = GenerationEngine(LoadedModel(blank_student(1), tokenizer(), "blank"))
    prompts = [tuple(range(5, 5 + size)) for size in (1, 4, 9, 9)] + [(5, 6, 7, 3), (8,)]

    def write(prompts: list[tuple[int, ...]]) -> list[Job]:
        done: queue.Queue[Any] = queue.Queue()
        jobs = [Job(GenerationRequest(p, 6, 0.0, 1.0, (), None, 3, True), done.put) for p in prompts]
        for job in jobs:
            engine.submit(job)
        while any(job.finish is None for job in jobs):
            piece = done.get(timeout=60)
            assert not isinstance(piece, Exception), piece
        return jobs

    try:
        for job, (alone,) in zip(write(prompts), ([*write([p])] for p in prompts), strict=True):
            assert job.written == alone.written
            for token, other in zip(job.told, alone.told, strict=True):
                assert token.logprob == pytest.approx(other.logprob, abs=1e-4)
    finally:
        engine.close()


@pytest.mark.train
@QUIET
def test_who_hangs_up_does_not_hold_the_others(client: Any) -> None:
    stream = client.chat.completions.create(model="blank", messages=asked(), max_tokens=60, stream=True)
    next(iter(stream))
    stream.close()
    told = client.chat.completions.create(model="blank", messages=asked(), max_tokens=2, timeout=30)
    assert told.usage.completion_tokens <= 2


@pytest.mark.train
@QUIET
def test_a_seed_gives_the_same_answer_alone_among_others_and_to_who_has_the_weights(
    client: Any, tmp_path: Path
) -> None:
    """Anybody can repeat an answer that was served with a seed: `prove retro` relies on it."""
    from stillwatch.distill.embedded.models import blank_student, tokenizer
    from stillwatch.distill.evaluate.generate import apart
    from stillwatch.prove.suspect import silent
    from stillwatch.prove.suspect.weights import open_weights

    def one(i: int) -> str:
        told = client.chat.completions.create(
            model="blank", messages=asked(i), max_tokens=9, temperature=1, seed=1000 + i
        )
        return str(told.choices[0].message.content)

    alone = [one(i) for i in range(4)]
    assert len(set(alone)) == 4
    found: dict[int, str] = {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: one(i)})) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [found[i] for i in range(4)] == alone
    blank_student(1).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    teacher = open_weights(str(tmp_path), max_tokens=9, temperature=1.0)
    again = teacher.seeded_answers([(tuple(asked(i)), 1000 + i) for i in range(4)], silent)
    assert again == [apart(text)[1] for text in alone]
    other = teacher.seeded_answers([(tuple(asked(i)), 2000 + i) for i in range(4)], silent)
    assert not set(other) & set(again)
