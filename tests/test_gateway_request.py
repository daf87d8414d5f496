"""What a request asks for: any bytes are read as the upstream will read them, or refused."""

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.strict_json import decode
from stillwatch.gateway.path import request
from stillwatch.gateway.path.request import BadRequest, Facts, inflate, operation_of

LIGHT = settings(max_examples=100, deadline=None)
LIMIT = 32 << 20
CHAT = "/v1/chat/completions"

targets = st.sampled_from(
    [
        CHAT,
        "/v1/completions",
        "/v1/messages",
        "/v1/responses",
        "/v1/embeddings",
        "/v1/files",
        "/v1/models/x",
        "/",
    ]
)
kinds = st.sampled_from(
    ["application/json", "", "text/plain", "multipart/form-data; boundary=b", "application/x"]
)
codings = st.sampled_from(["", "identity", "gzip", "x-gzip", "deflate", "zstd", "br", "gzip, gzip", "\xff"])
texts = st.text(max_size=12)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 62), 1 << 62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
asked = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["mira", "deepseek-chat", "", "numä", "a/b:c"]),
        "stream": st.booleans() | st.none() | st.just("true"),
        "n": st.integers(-3, 9)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.booleans()
        | st.just("2"),
        "user": texts | st.integers(),
        "metadata": st.none() | st.dictionaries(st.just("user_id"), texts | st.none()),
        "models": values,
        "fallbacks": values,
        "messages": values,
        "include": values,
        "logprobs": values,
    },
)


def read(
    body: bytes, kind: str = "application/json", coding: str = "", target: str = CHAT, limit: int = LIMIT
) -> Facts:
    return request.read("POST", target, kind, coding, body, limit)


def judged(body: bytes, *given: Any, **named: Any) -> Facts | BadRequest:
    """Return the facts, or the reason why there are none. No other exception may be raised."""
    try:
        return read(body, *given, **named)
    except BadRequest as why:
        return why


def refused(body: bytes, *given: Any, **named: Any) -> BadRequest:
    found = judged(body, *given, **named)
    assert isinstance(found, BadRequest)
    return found


# --- any bytes -------------------------------------------------------------------------------------------


@LIGHT
@given(st.binary(max_size=300), targets, kinds, codings)
def test_any_bytes_are_read_or_refused(body: bytes, target: str, kind: str, coding: str) -> None:
    found = judged(body, kind, coding, target)
    if isinstance(found, BadRequest):
        assert found.status in (400, 413, 415)
        assert found.code
        assert found.message


@LIGHT
@given(
    st.binary(max_size=120),
    st.sampled_from(['{"model":"mira","a":', "[", '{"messages":[{"content":"']),
    targets,
)
@example(b"9" * 5000, '{"model":"mira","a":', CHAT)
@example(b"1e999}", '{"model":"mira","a":', CHAT)
@example(b"NaN}", '{"model":"mira","a":', CHAT)
@example(b"-Infinity}", '{"model":"mira","a":', CHAT)
@example(b'"\\ud800"}', '{"model":"mira","a":', CHAT)
@example(b'"\\udfff\\ud800"}', '{"model":"mira","a":', CHAT)
@example(b'"\xed\xa0\x80"}', '{"model":"mira","a":', CHAT)
@example(b'"\x00"}', '{"model":"mira","a":', CHAT)
def test_json_that_goes_wrong_is_refused(rest: bytes, start: str, target: str) -> None:
    body = start.encode() + rest
    found = judged(body, target=target)
    if isinstance(found, BadRequest):
        assert found.status == 400
    else:
        assert found.is_json
        json.loads(body)  # the most lenient parser accepts all that we accept


@LIGHT
@given(st.text("/abcdefghijklmnopqrstuvwxyz%25.#?;:\\ \x00é~", max_size=60))
def test_any_target_is_read_or_refused(target: str) -> None:
    found = judged(b"", target="/" + target)
    assert isinstance(found, Facts) or found.code == "bad_target"


# --- agreement with json.loads ---------------------------------------------------------------------------


@pytest.mark.slow
@LIGHT
@given(asked, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_well_formed_bodies_are_read_as_json_reads_them(
    said: dict[str, Any], escaped: bool, indent: Any
) -> None:
    body = json.dumps(said, ensure_ascii=escaped, indent=indent).encode("utf-8", "surrogatepass")
    found = judged(body)
    if isinstance(found, BadRequest):
        assert "\\ud" in json.dumps(said).lower() or "\\u0000" in json.dumps(said)  # half a surrogate pair
        return
    again = json.loads(body)
    assert found.stream is (again.get("stream") is True)
    assert (found.models[0] if again.get("model") else None) == (again.get("model") or None)
    n = again.get("n")
    lenient = float(n) if type(n) in (int, float, str) else 1.0  # as in pydantic: "2" and 2.0 are 2
    assert found.n == max(1, min(int(lenient), 1 << 20))
    for name in strings(again.get("models")):
        assert name in found.models or name == ""


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [name for inner in value for name in strings(inner)]
    return []


@pytest.mark.slow
@LIGHT
@given(values, values, st.integers(0, 3))
def test_a_key_twice_is_refused_at_any_depth(a: Any, b: Any, depth: int) -> None:
    inner = f'{{"k":{json.dumps(a)},"other":1,"k":{json.dumps(b)}}}'
    for _ in range(depth):
        inner = f'{{"x":[{inner}]}}'
    assert refused(f'{{"model":"mira","messages":{inner}}}'.encode()).status == 400


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"ok","model":"banned"}',
        b'{"model":"ok","\\u006dodel":"banned"}',
        b'{"model":"ok","Model":"banned"}',
        b'{"MODEL":"banned","messages":[]}',
        b'{"model":["banned"]}',
        b'{"model":7}',
        b'{"model":"a"}{"model":"b"}',
        b'\xef\xbb\xbf{"model":"banned"}',
        b'[{"model":"banned"}]',
        b'"banned"',
        b"null",
        b"model=banned&stream=true",
        '{"model":"banned"}'.encode("utf-16"),
        '{"model":"banned"}'.encode("utf-16-be"),
        '{"model":"banned"}'.encode("utf-16-le"),
        '{"model":"banned"}'.encode("utf-32"),
        b'{"model":"banned"}\x00',
        b'\x0b{"model":"banned"}',
        b'{"model":"ok",/**/"modelName":"banned"}',
        b'{"model":"ok"} // banned',
        b'{"model":"ok",}',
        b'{"model":"ok","n":NaN}',
        b'{"model":"ok","n":Infinity}',
        b"{'model':'banned'}",
        b'{"model":"ok","x":"\\ud800"}',
        b'+/v8-{"model":"banned"}',
        b'{"model\\u0000":"banned","model":"ok"}',  # for cJSON the first
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "", "multipart/form-data; boundary=x"])
def test_a_body_that_two_readers_could_read_differently_is_refused(body: bytes, kind: str) -> None:
    assert refused(body, kind).status == 400


@pytest.mark.parametrize(
    "kind",
    [
        "application/json; charset=utf-7",
        'application/json; charset="utf-16le"',
        "application/json;charset = ibm037",
        "application/json; charset=utf-8; charset=utf-7",
        "application/json; charset*=utf-8''utf-7",
        "application/json; charset",
        "application/json, text/plain; charset=utf-8",
        "multipart/mixed; boundary=b",
        "application/x-www-form-urlencoded; charset=utf-7",
    ],
)
@pytest.mark.parametrize("target", [CHAT, "/models/a/b", "/v1/audio/transcriptions", "/v1/embeddings"])
def test_a_content_type_that_makes_other_text_of_the_bytes_is_refused(kind: str, target: str) -> None:
    utf_7 = b'{"model":"ok","messages":[],"+AG0AbwBkAGUAbA-":"banned"}'
    assert refused(utf_7, kind, target=target).status == 415
    assert read(b'{"model":"ok"}', "application/json; charset=UTF-8".lower(), target=target).models


def test_a_form_that_says_another_charset_is_refused() -> None:
    target = "/v1/audio/transcriptions"
    head = '--b\r\ncontent-disposition: form-data; name="{}"\r\n{}\r\n{}\r\n'
    for name, more in (("_charset_", ""), ("model", "content-type: text/plain; charset=utf-7\r\n")):
        body = (head.format(name, more, "utf-7") + "--b--\r\n").encode()
        assert refused(body, "multipart/form-data; boundary=b", target=target).status == 400
    body = (head.format("model", "content-type: text/plain; charset=UTF-8\r\n", "w-1") + "--b--\r\n").encode()
    assert read(body, "multipart/form-data; boundary=b", target=target).models == ("w-1",)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":['])
def test_deep_json_is_refused(opening: bytes) -> None:
    assert refused(b'{"model":"mira","messages":' + opening * 100_000).status == 400
    assert refused(opening * 100_000).status == 400


@pytest.mark.parametrize("key", ["source", "data_source_config", "conversation", "input", "messages"])
@pytest.mark.parametrize("kind", [["file_id"], {"a": 1}, 1, None, True])
def test_a_type_that_is_no_text_names_nothing(key: str, kind: Any) -> None:
    found = judged(json.dumps({"model": "m", key: {"type": kind, "role": kind}}).encode())
    assert isinstance(found, Facts)
    assert found.models == ("m",)


@pytest.mark.slow
def test_a_large_prompt_is_read() -> None:
    told = {"model": "mira", "messages": [{"role": "user", "content": "still " * 1_700_000}]}
    assert read(json.dumps(told).encode()).models == ("mira",)
    told = {"model": "mira", "messages": [{"role": "user", "content": "x"}] * 10_000}
    assert read(json.dumps(told).encode()).models == ("mira",)
    combining = {
        "model": "mira",
        "messages": [{"role": "user", "content": "a" + "\u0301" * 1_000_000 + "\u202e"}],
    }
    assert read(json.dumps(combining, ensure_ascii=False).encode()).models == ("mira",)


# --- compressed ------------------------------------------------------------------------------------------


def zipped(coding: str, plain: bytes) -> bytes:
    if coding == "zstd":
        return pa.compress(plain, codec="zstd", asbytes=True)
    return zlib.compress(plain) if coding == "deflate" else gzip.compress(plain, mtime=0)


@LIGHT
@given(st.binary(max_size=400), st.sampled_from(["gzip", "deflate", "zstd"]), st.integers(1, 400))
def test_what_was_compressed_is_opened_as_far_as_the_limit(plain: bytes, coding: str, limit: int) -> None:
    body = zipped(coding, plain)
    if len(plain) > limit:
        with pytest.raises(BadRequest) as why:
            inflate(body, coding, limit)
        assert why.value.status == 413
    else:
        assert inflate(body, coding, limit) == plain


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_bomb_is_refused_and_costs_little_memory(coding: str) -> None:
    bomb = zipped(coding, b'{"model":"mira","messages":"' + bytes(80 << 20) + b'"}')
    assert len(bomb) < 300_000
    tracemalloc.start()
    assert refused(bomb, "application/json", coding).status == 413
    grown = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert grown < 2 * LIMIT + (1 << 20)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_compressed_body_that_is_cut_or_goes_on_is_refused(coding: str) -> None:
    body = zipped(coding, b'{"model":"mira"}')
    assert read(body, coding=coding).models == ("mira",)
    assert refused(body[:-9], coding=coding).status == 400
    assert refused(body + zipped(coding, b'{"model":"banned"}'), coding=coding).status == 400
    assert refused(body, coding="br").status == 415
    assert refused(body, coding=f"{coding}, {coding}").status == 415


# --- places that may name a model ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/openai/deployments/deepseek-chat/chat/completions?api-version=1",
        "/openai/Deployments/deepseek-chat/chat/completions",
        "/openai/d%65ployments/deepseek-chat/chat/completions",
        "/openai/deployments/deep%73eek-chat/chat/completions",
        "/openai/deployments/deepseek-chat/chat%2Fcompletions",
        "/v1/engines/deepseek-chat/completions",
        "/v1beta/models/deepseek-chat:generateContent",
        "/v1/models/deepseek-chat",
        "/api//model/deepseek-chat/invoke-with-response-stream",
    ],
)
def test_a_model_in_the_path_is_seen(target: str) -> None:
    assert [name.partition("/")[0] for name in read(b"", target=target).models] == ["deepseek-chat"]


@pytest.mark.parametrize(
    ("target", "operation"),
    [
        ("/v1/chat/completions", "chat"),
        ("/v1/chat/completions/", "chat"),
        ("/v1//chat/completions?x=/models", "chat"),
        ("/v1/chat%2fcompletions", "chat"),
        ("/v1/chat/complet%69ons", "chat"),
        ("/v1/Chat/Completions", "chat"),
        ("/v1/completions", "completions"),
        ("/v1/messages", "messages"),
        ("/v1/messages/count_tokens", "other"),
        ("/v1/responses", "responses"),
        ("/v1/embeddings", "embeddings"),
        ("/v1/models", "models"),
        ("/v1/files", "other"),
    ],
)
def test_operations_are_told_by_what_the_upstream_would_decode(target: str, operation: str) -> None:
    assert operation_of(target) == operation


@pytest.mark.parametrize(
    "target",
    ["", "*", "http://other.example/v1/models", "v1/models", "/v1/a b", "/v1/\x7f", "/v1/é", "/v1/../admin",
     "/v1/%2e%2e/admin", "/v1/./models", "/v1/chat/completions#x", "/v1/%252e%252e/admin", "/v1/files%00",
     "/v1/%c0%ae%c0%ae/admin", "/v1/%u002e%u002e/admin", "/v1/chat%2563ompletions"],
)  # fmt: skip
def test_a_target_that_is_no_plain_path_is_refused(target: str) -> None:
    assert refused(b"", target=target).code == "bad_target"


@pytest.mark.parametrize("name", ['name="model"', "name=model", 'name="model"; x=y', 'x=y; name="model"'])
def test_a_model_in_a_form_is_seen(name: str) -> None:
    body = (
        '--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nmodel\r\n'
        f"--b\r\ncontent-type: text/plain\r\ncontent-disposition: form-data; {name}\r\n\r\nw-1\r\n--b--\r\n"
    ).encode()
    assert read(body, "multipart/form-data; boundary=b", target="/v1/audio/transcriptions").models == ("w-1",)


def test_models_of_an_uploaded_batch_are_seen() -> None:
    lines = b"\n".join(b'{"body":{"model":"m%d"}}' % k for k in (2, 1, 2))
    assert read(lines, "application/octet-stream", target="/v1/files").models == ("m1", "m2")
    assert read(b'[{"model":"m1"},{"model":"m2"}]', target="/v1/batch").models == ("m1", "m2")


def test_a_body_where_none_belongs_is_refused() -> None:
    with pytest.raises(BadRequest, match="has no body"):
        request.read("GET", CHAT, "application/json", "", b'{"model":"banned"}', LIMIT)


@pytest.mark.parametrize(
    "asked",
    [
        {"modelName": "b"},
        {"model-id": "b"},
        {"fallback_model": "b"},
        {"judge-model": "b"},
        {"options": {"draftModel": "b"}},
        {"fallbac\u212as": ["b"]},  # Go's parser equates the Kelvin sign with k, and the long s with s
        {"model\u017f": ["b"]},
        {"custom_llm_provider": "b"},
        {"adapter_id": "b"},
    ],
)
def test_a_model_has_many_names_in_a_body(asked: dict[str, Any]) -> None:
    body = json.dumps({"model": "mira", **asked}).encode()
    named = request.read("POST", CHAT, "application/json", "", body, LIMIT).models
    assert named in (("mira", "b"), ("mira", "b/mira"))


def test_words_that_only_end_like_a_model_s_field_name_none() -> None:
    body = b'{"model": "mira", "supermodel": "b", "tools": [{"function": {"car_model": "b"}}], "n_models": 2}'
    assert request.read("POST", CHAT, "application/json", "", body, LIMIT).models == ("mira",)


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("/v1/accounts/a/ai/run/@cf/deepseek-ai/r1", "@cf/deepseek-ai/r1"),
        ("/v1beta/tunedModels/t-1:generateContent", "t-1"),
        ("/v1/x?deployment-id=b", "b"),
    ],
)
def test_a_model_in_the_path_of_further_hosts(target: str, named: str) -> None:
    assert request.read("POST", target, "", "", b"", LIMIT).models == (named,)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_body_opens_to_a_hundred_times_its_size_at_most(coding: str) -> None:
    plain = b'{"model": "mira"}' + b" " * (5 << 20)
    assert refused(zipped(coding, plain), "application/json", coding).status == 413
    small = b'{"model": "mira"}' + b" " * (3 << 20)
    assert request.read("POST", CHAT, "application/json", coding, zipped(coding, small), LIMIT).models == (
        "mira",
    )


KEYS = st.sampled_from(['"a"', '"b"', r'"a\\"', r'"\""', '":"', r'"\":"', '" :"', r'"x\"y:"'])


@pytest.mark.slow
@given(
    st.recursive(
        KEYS | st.just("1"), lambda inner: st.lists(st.tuples(KEYS, inner), max_size=3), max_leaves=8
    )
)
def test_a_key_that_stands_twice_is_found_whatever_quotes_stand_around(value: Any) -> None:
    def written(one: Any) -> str:
        return one if isinstance(one, str) else "{" + ",".join(f"{k} :{written(v)}" for k, v in one) + "}"

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    raw = written(value)
    try:
        right = json.loads(raw, object_pairs_hook=once)
    except AssertionError:
        with pytest.raises(Refused):
            decode(raw.encode())
    else:
        assert decode(raw.encode()) == right
