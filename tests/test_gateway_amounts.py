"""The amount that a request asks for is parsed as its upstream does: no spelling makes it smaller."""

import json
from typing import Any

import pytest

from stillwatch.gateway.path.batch import BatchRequest, uploaded_batch
from stillwatch.gateway.path.request import BadRequest, Facts, read

ASK = {"role": "user", "content": "Why?"}
CHAT, OLD, GEMINI = "/v1/chat/completions", "/v1/completions", "/v1beta/models/g:generateContent"


def asked(target: str, body: dict[str, Any] | bytes, kind: str = "application/json") -> Facts:
    raw = body if isinstance(body, bytes) else json.dumps({"model": "mira", **body}).encode()
    return read("POST", target, kind, "", raw, 1 << 20)


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (CHAT, {"n": 9}),
        (CHAT, {"n": 9.0}),  # pydantic, and so vLLM and LiteLLM, read it as 9
        (CHAT, b'{"model": "mira", "n": 9e0}'),
        (CHAT, {"n": "9"}),
        (CHAT, {"n": " 9 "}),
        (CHAT, {"n": 1, "N": 9}),  # Go's parser uses the last one
        (CHAT, {"extra_body": {"n": 9}}),
        (OLD, {"prompt": "x", "best_of": 9}),  # all but one are generated, charged and discarded
        (OLD, {"prompt": "x", "n": 3, "best_of": 9}),
        (GEMINI, {"generationConfig": {"candidateCount": 9}}),
        (GEMINI, {"generation_config": {"candidate_count": 9}}),
        ("/models/acme/x", {"inputs": "x", "parameters": {"num_return_sequences": 9}}),
        ("/generate", {"inputs": "x", "parameters": {"best_of": 9}}),
        ("/generate", {"text": "x", "sampling_params": {"n": 9}}),
        ("/generate", {"text": ["x"], "sampling_params": [{"n": 2}, {"n": 9}]}),  # one for each prompt
        ("/model/cohere.command/invoke", {"prompt": "x", "num_generations": 9}),
    ],
)
def test_answers_are_counted_under_every_name(target: str, body: Any) -> None:
    found = asked(target, body)
    assert (found.n, found.answers) == (9, 9)


@pytest.mark.parametrize("n", [None, 0, -3, True, "many", [9], {"n": 9}, "", 0.5, "nan", "inf"])
def test_what_is_no_number_of_answers_is_one(n: Any) -> None:
    assert asked(CHAT, {"n": n}).n == 1


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (OLD, {"prompt": ["a", "b", "c"], "n": 2}),
        (OLD, {"prompt": [[1, 2], [3], [4]], "n": 2}),
        ("/generate", {"text": ["a", "b", "c"], "n": 2}),
        ("/models/acme/x", {"inputs": ["a", "b", "c"], "n": 2}),
        ("/v1/projects/p/locations/l/endpoints/7:predict", {"instances": [{}, {}, {}], "n": 2}),
        (f"{CHAT}/batch", {"messages": [[ASK], [ASK, ASK], [ASK]], "n": 2}),  # vLLM
        (f"{CHAT}/batch", {"requests": [{"messages": [ASK]}] * 3, "n": 2}),
    ],
)
def test_a_list_of_prompts_is_as_many_answers_and_one_question_each(target: str, body: Any) -> None:
    found = asked(target, body)
    assert (found.n, found.answers) == (2, 6)


def test_one_prompt_of_tokens_is_one_answer() -> None:
    assert asked(OLD, {"prompt": [1, 2, 3]}).answers == 1
    assert asked(CHAT, {"messages": [{}, {}, {}]}).answers == 1


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ({"max_tokens": 7, "MAX_TOKENS": 900}, 900),
        ({"max_tokens": 7, "maxTokens": 900}, 900),
        ({"max_tokens": 7, "Max_Completion_Tokens": 900.0}, 900),
        ({"MAX_TOKENS": 7}, None),  # only some upstreams obey it, so it is no limit
        ({"max_tokens": 7.0}, None),
        ({"max_tokens": 7, "max_completion_tokens": "900"}, 900),
    ],
)
def test_a_promise_is_what_every_reader_obeys(body: dict[str, Any], most: int | None) -> None:
    assert asked(CHAT, body).most == most


def test_a_model_s_own_fields_at_bedrock_make_an_answer_longer_and_never_shorter() -> None:
    own = {"max_tokens": 900, "thinking": {"budget_tokens": 5}}
    said = {"inferenceConfig": {"maxTokens": 7}, "additionalModelRequestFields": own}
    assert asked("/model/m/converse", said).most == 900
    assert asked("/model/m/converse", said | {"inferenceConfig": {"maxTokens": 2_000}}).most == 2_000
    assert asked("/model/m/converse", {"additionalModelRequestFields": own}).most is None


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (CHAT, {"logprobs": True}),
        (CHAT, {"Logprobs": True}),
        (OLD, {"prompt": "x", "logprobs": 0}),  # of the sampled token
        (CHAT, {"prompt_logprobs": 0}),
        (CHAT, {"extra_body": {"prompt_logprobs": 1}}),
        ("/completion", {"prompt": "x", "n_probs": 5}),
        ("/generate", {"text": "x", "return_logprob": True}),
        ("/generate", {"inputs": "x", "parameters": {"top_n_tokens": 5}}),
        ("/generate", {"inputs": "x", "parameters": {"decoder_input_details": True}}),
        ("/v1/chat", {"message": "x", "return_likelihoods": "ALL"}),
        (GEMINI, {"generationConfig": {"responseLogprobs": True}}),
        ("/v1/responses", {"input": "x", "include": ["message.output_text.logprobs"]}),
        ("/v1/responses?include[]=message.output_text.%6cogprobs", {"input": "x"}),
    ],
)
def test_log_probabilities_are_seen_under_every_name(target: str, body: dict[str, Any]) -> None:
    assert asked(target, body).logprobs


@pytest.mark.parametrize(
    "body",
    [
        {"logprobs": False},
        {"logprobs": None},
        {"n_probs": 0},
        {"return_likelihoods": "NONE"},
        {"include": ["usage"]},
        {"messages": [{"role": "user", "content": "logprobs", "logprobs": True}]},
    ],
)
def test_who_asks_for_no_log_probabilities_asks_for_none(body: dict[str, Any]) -> None:
    assert not asked(CHAT, body).logprobs


def test_log_probabilities_are_seen_without_a_body_and_in_a_form() -> None:
    target = "/v1/responses/resp_1?include%5B%5D=message.output_text.logprobs"
    assert read("GET", target, "", "", b"", 1 << 20).logprobs
    form = b'--b\r\ncontent-disposition: form-data; name="include[]"\r\n\r\nlogprobs\r\n--b--\r\n'
    assert asked("/v1/audio/transcriptions", form, "multipart/form-data; boundary=b").logprobs


# --- batches ----------------------------------------------------------------------------------------------


def lines(*questions: dict[str, Any]) -> BatchRequest:
    found = uploaded_batch(b"\n".join(json.dumps({"custom_id": "a", **one}).encode() for one in questions))
    assert found is not None
    return found


def test_no_question_of_a_batch_goes_uncounted() -> None:
    plain = {"url": CHAT, "body": {"max_tokens": 5}}
    for odd in ({"params": 5}, {"request": "x"}, {"body": "x"}, {"response": 1, "body": [1]}):
        found = lines(plain, {**plain, **odd})
        assert found.questions == 2
        assert found.said + found.unsaid > 5
    torn = b'{"custom_id": "a", "body": {"max_tokens": 5}} {"x": 1}'
    read_in = uploaded_batch(b'{"custom_id": "b", "body": {"max_tokens": 5}}\n' + torn)
    assert read_in is not None
    assert (read_in.questions, read_in.said, read_in.unsaid) == (2, 5, 1)


def test_a_question_of_a_batch_is_read_as_one_that_is_asked_alone() -> None:
    old = {"url": OLD, "body": {"max_tokens": 5, "prompt": ["a", "b"], "best_of": 3}}
    assert (lines(old).said, lines(old).n) == (30, 3)
    assert lines({"url": CHAT, "body": {"max_tokens": 5, "n": "4"}}).said == 20
    assert lines({"url": CHAT, "body": {"logprobs": 0}}).logprobs
    # upstreams whose batch lines need no path still read a prompt
    assert lines({"url": "/v1/embeddings", "body": {"max_tokens": 5, "prompt": "x"}}).said == 5
    assert lines({"url": "/v1/embeddings", "body": {"input": "x"}}).unsaid == 0


# --- a body with a form's content type ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "mira", "x": "&model=banned&y="}',
        b'{"model": "mira", "x": ";model=banned;y="}',  # python-multipart splits at these too
        b'{"model": "mira", "x": "&mod%65l=banned"}',
    ],
)
def test_json_that_is_also_a_form_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest) as why:
        asked(CHAT, body, "application/x-www-form-urlencoded")
    assert (why.value.status, why.value.code) == (415, "bad_form")
    assert asked(CHAT, body).models == ("mira",)


def test_curl_that_names_no_content_type_is_served() -> None:
    body = b'{"model": "mira", "messages": [{"role": "user", "content": "is a = b & c; or not?"}]}'
    assert asked(CHAT, body, "application/x-www-form-urlencoded").models == ("mira",)
