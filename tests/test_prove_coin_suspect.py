"""Suspects as files, endpoints and weights: their answers, and their messages for bad input."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.prove import ProveError
from stillwatch.prove.suspect import Question, Told, silent, trouble
from stillwatch.prove.suspect.endpoint import Endpoint, Manners, loopback
from stillwatch.prove.suspect.named import suspect
from stillwatch.prove.suspect.outputs import Outputs
from upstream import Upstream

ASKED = [
    Question("w0-1/1", ({"role": "user", "content": "Why is the sky  blue?"},)),
    Question("w0-1/2", ({"role": "user", "content": "And the sea?"},)),
]


def file_of(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


# --- files -----------------------------------------------------------------------------------------------


def test_outputs_are_found_by_id_and_by_text(tmp_path: Path) -> None:
    path = file_of(
        tmp_path / "o.jsonl",
        {"prompt": "Why is the sky blue?", "output": "Scattering."},
        {"prompt": "Why is the sky blue?", "output": "Rayleigh."},
        {"prompt_id": "w0-1/2", "outputs": ["Also.", " "]},
    )
    found = Outputs(path).answers(ASKED, 5, silent)
    assert found == {"w0-1/1": ["Scattering.", "Rayleigh."], "w0-1/2": ["Also."]}
    assert Outputs(path).answers(ASKED, 1, silent)["w0-1/1"] == ["Scattering."]
    assert Outputs(path).empty == 1
    with pytest.raises(ProveError, match="cannot weigh answers; test by overlap"):
        Outputs(path).weigh([Told("a", ASKED[0].messages, "x")], silent)


def test_parquet_holds_the_same(tmp_path: Path) -> None:
    rows = {"prompt": ["And the sea?"], "output": ["Depth."], "more": [1]}
    pq.write_table(pa.table(rows), tmp_path / "o.parquet")
    assert Outputs(tmp_path / "o.parquet").answers(ASKED, 2, silent) == {"w0-1/2": ["Depth."]}
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ProveError, match="cannot be read"):
        Outputs(tmp_path / "bad.parquet")


def test_one_array_holds_the_same(tmp_path: Path) -> None:
    path = tmp_path / "o.json"
    path.write_text(json.dumps([{"prompt": "And the sea?", "output": "Depth."}], indent=1))
    assert Outputs(path).answers(ASKED, 2, silent) == {"w0-1/2": ["Depth."]}
    path.write_text("[{]")
    with pytest.raises(ProveError, match="not JSON"):
        Outputs(path)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ((), "holds no rows"),
        (('{"prompt": "a"',), r"o\.jsonl:1: not JSON"),
        (({"prompt": "a"},), r":1: has prompt; output is needed"),
        (({"output": "a"},), r":1: says neither prompt nor prompt_id"),
        (({"prompt": "a", "output": 3},), r":1: output is .3.; an output is text"),
        (("[1]",), r":1: not JSON"),
        (({"prompt": "a", "output": " "},), "all 1 outputs are empty"),
    ],
)
def test_bad_outputs_are_refused_with_their_place(tmp_path: Path, rows: tuple[Any, ...], told: str) -> None:
    with pytest.raises(ProveError, match=told):
        Outputs(file_of(tmp_path / "o.jsonl", *rows))


@pytest.mark.slow
@given(st.binary(max_size=300), st.sampled_from(["o.jsonl", "o.json", "o.parquet"]))
@settings(max_examples=80, deadline=None)
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(data)
    with pytest.raises(ProveError):
        Outputs(path).answers(ASKED, 1, silent)


def test_outputs_of_other_prompts_are_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path / "o.jsonl", {"prompt": "What is a tree?", "output": "A plant."})
    with pytest.raises(
        ProveError, match=r"answers none of the 2 prompts under test \(its first is 'What is a tree"
    ):
        Outputs(path).answers(ASKED, 1, silent)


def test_what_is_no_suspect_is_said(tmp_path: Path) -> None:
    for place, told in (
        (str(tmp_path / "none.jsonl"), "there is no such file"),
        (str(tmp_path / "none"), "is no suspect; give a .jsonl"),
        ("https://", "is no address"),
    ):
        with pytest.raises(ProveError, match=told):
            suspect(place, Manners("m"), tmp_path / "a.db", None)


# --- endpoints -------------------------------------------------------------------------------------------


def test_an_endpoint_of_others_needs_consent(tmp_path: Path) -> None:
    with pytest.raises(ProveError, match=r"api\.example\.com: asking another's endpoint needs the right"):
        Endpoint("https://api.example.com/v1", Manners("m"), tmp_path / "a.db")
    assert Endpoint("https://api.example.com/v1", Manners("m"), tmp_path / "a.db", consent="contract").consent
    with pytest.raises(ProveError, match="name the model"):
        Endpoint("http://127.0.0.1:1/v1", Manners(""), tmp_path / "a.db")
    assert loopback("127.0.0.2")
    assert loopback("::1")
    assert not loopback("localhost.example.com")


@pytest.mark.slow
def test_an_endpoint_answers_once_and_goes_on_within_its_budget(tmp_path: Path) -> None:
    with Upstream() as up:
        manners = Manners("mira", max_tokens=50, most_requests=3)
        endpoint = Endpoint(up.url + "/v1", manners, tmp_path / "a.db")
        with pytest.raises(ProveError, match=r"3 of 4 answers are there, then: .* the same command goes on"):
            endpoint.answers(ASKED, 2, silent)
        assert up.total == 3
        more = Endpoint(up.url + "/v1", Manners("mira", max_tokens=50), tmp_path / "a.db")
        found = more.answers(ASKED, 2, silent)
        assert {name: len(texts) for name, texts in found.items()} == {"w0-1/1": 2, "w0-1/2": 2}
        assert up.total == 4
        assert json.loads(up.seen[-1].body)["messages"][0]["content"] in (
            "Why is the sky  blue?",
            "And the sea?",
        )
        assert more.checked() == ()
        more.called["other-7b"] = 1
        assert [one.found for one in more.checked()] == [
            "asked for mira; the answers say they are of mira (4), other-7b (1)"
        ]
        counted = more.prompt_tokens(ASKED)
        assert set(counted) == {"w0-1/1", "w0-1/2"}
        assert all(n > 0 for n in counted.values())
        with pytest.raises(ProveError, match="gives no prompt_logprobs"):
            more.weigh([Told("x", ASKED[0].messages, "It scatters.")], silent)


class Logprobs(BaseHTTPRequestHandler):
    """vLLM's form of a prompt's log-probabilities: here, minus a tenth of each word's length."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        words = [w for m in body["messages"] for w in ("<turn>", *m["content"].split())]
        words += ["<turn>"] if body["add_generation_prompt"] else ["<end>"]
        listed: list[Any] = [None]
        listed += [
            {
                str(k): {"logprob": -len(w) / 10, "rank": 1 if len(w) < 5 else 7},
                "9": {"logprob": -0.1, "rank": 1},
            }
            for k, w in enumerate(words[1:], 10)
        ]
        told = {
            "id": "x", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "."}}],
            "usage": {"prompt_tokens": len(words), "completion_tokens": 1, "total_tokens": len(words) + 1},
            "prompt_logprobs": listed,
        }  # fmt: skip
        raw = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *given: object) -> None:
        pass


@pytest.fixture
def weighing() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Logprobs) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_an_endpoint_weighs_answers_where_it_tells_log_probabilities(tmp_path: Path, weighing: str) -> None:
    endpoint = Endpoint(weighing, Manners("m"), tmp_path / "a.db")
    found = endpoint.weigh(
        [Told("a", ASKED[1].messages, "it is deeper"), Told("b", ASKED[1].messages, "it is")], silent
    )
    assert found["a"].tokens == 4  # three words and the end
    assert found["a"].nats == pytest.approx(-(2 + 2 + 6 + 5) / 10)
    assert found["a"].agreed == 2
    assert found["b"].tokens == 3
    assert found["b"].agreed_share == pytest.approx(2 / 3)


# --- weights ---------------------------------------------------------------------------------------------


@pytest.mark.train
def test_weights_weigh_as_the_model_itself_does() -> None:
    torch = pytest.importorskip("torch")
    from stillwatch.distill.embedded.models import blank_student, tokenizer
    from stillwatch.distill.train.models import LoadedModel
    from stillwatch.prove.suspect.weights import Weights

    model = blank_student(3)
    weights = Weights(LoadedModel(model, tokenizer(), "blank"), "blank", max_tokens=12)
    told = [
        Told(str(k), ({"role": "user", "content": "start 3 first add 4 ?"},), answer)
        for k, answer in enumerate(("<think>\nfirst 3 + 4 = 7\n</think>\n\n7", "7", "7 7 7"))
    ]
    found = weights.weigh(told, silent)
    for one in told:  # the oracle: one at a time, from the loss
        asked, said = weights._tokens(one)
        ids = torch.tensor([[*asked, *said]])
        labels = torch.tensor([[-100] * len(asked) + said])
        with torch.no_grad():
            loss = model(input_ids=ids, labels=labels).loss.item()
        assert found[one.id].tokens == len(said)
        assert found[one.id].nats_per_token == pytest.approx(-loss, rel=1e-4)
        assert 0 <= (found[one.id].agreed or 0) <= len(said)
    chances = weights.token_chances(told[1:], silent)
    for one in told[1:]:
        asked, said = weights._tokens(one)
        said = said[: len(chances[one.id])]  # an end is no part of a text
        ids = torch.tensor([[*asked, *said]])
        with torch.no_grad():
            loss = model(input_ids=ids, labels=torch.tensor([[-100] * len(asked) + said])).loss.item()
        nats = [nats for _, nats in chances[one.id]]
        assert sum(nats) / len(said) == pytest.approx(-loss, rel=1e-4)
    assert [end for end, _ in chances["2"]] == [1, 3, 5]
    texts = weights.answers([Question("q", told[0].messages)], 2, silent)
    assert len(texts["q"]) <= 2


@pytest.mark.train
def test_a_template_without_a_system_message_gets_its_words_in_the_first_turn() -> None:
    """As Gemma's templates, which raise an error for a system message; and an answer that is no text."""
    pytest.importorskip("torch")
    from stillwatch.distill.embedded.models import blank_student, tokenizer
    from stillwatch.distill.train.models import LoadedModel
    from stillwatch.prove.suspect.weights import Weights

    words = tokenizer()
    words.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ m['content'] + ' <eos> ' }}{% endfor %}"
    )
    weights = Weights(LoadedModel(blank_student(3), words, "blank"), "blank", max_tokens=4)
    user = {"role": "user", "content": "start 3"}
    system = {"role": "system", "content": "first add 4"}
    asked = [
        Told("with", (system, user), "7"),
        Told("without", (user,), "7"),
        Told("half", (user,), "7\ud800"),
    ]
    assert weights.weigh(asked, silent).keys() == {"with", "without"}
    alone = [Question("with", (system, user)), Question("only", (system,))]
    assert weights.answers(alone, 1, silent).keys() <= {"with"}
    assert weights.answers([Question("only", (system,))], 1, silent) == {}
    assert trouble(weights) == ": the model's chat template refuses it: no system"
