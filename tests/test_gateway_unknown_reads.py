"""Unknown paths may be read: their replies leave out what concerns other accounts' objects."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway_world import Running, gateway, until
from growth import grows_with_the_text
from scripted_upstream import Asked, Said, ask, scripted
from stillwatch.gateway.path.budgets import Budgets
from stillwatch.gateway.path.foreign_names import without_names
from stillwatch.gateway.path.forwarding import why_not_forwarded
from stillwatch.terms import Capture, Terms

FILES: dict[str, str] = {}  # the account that made each
REPLIES: dict[str, Any] = {}


def answer(asked: Asked) -> Any:
    if asked.method == "POST":
        return {"id": f"{asked.headers['x-who']}{len(asked.body)}-7f3a"}
    path = asked.path.partition("?")[0]
    return REPLIES.get(path, {"data": []})


class World:
    def __init__(self, gate: Running) -> None:
        self.gate = gate
        self.keys = {"a": gate.key, "b": gate.issue("acct_b")}
        for who, key in self.keys.items():
            FILES[who] = ask(gate, "POST", "/v1/files", b"x", key, x__who=who, content__type="text/plain")[1][
                "id"
            ]

    def get(self, who: str, target: str) -> tuple[int, Any]:
        return ask(self.gate, "GET", target, None, self.keys[who])


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with scripted(answer) as up, gateway(up.url, recorder=False) as gate:
        yield World(gate)


@pytest.mark.slow
def test_replies_that_are_no_json_are_looked_through_line_by_line(world: World) -> None:
    a, b = FILES["a"], FILES["b"]
    table = f"name,size\n{a},secret\n{b},mine\nhttps://x/v1/files/{a},secret\n"
    lines = f'{{"id": "{a[:2]}\\u{ord(a[2]):04x}{a[3:]}", "n": "secret"}}\n{{"id": "{b}", "n": "mine"}}\n'
    for k, (kind, text) in enumerate(
        (
            ("text/csv", table), ("text/plain; charset=utf-8", table), ("text/html", table),
            ("application/x-ndjson", lines), ("text/plain", lines), ("application/jsonl", lines),
        )
    ):  # fmt: skip
        path = f"/v1/no/json/{k}"
        REPLIES[path] = Said(text.encode(), headers={"content-type": kind})
        status, said = world.get("b", path)
        assert status == 200, kind
        assert "secret" not in str(said), (kind, said)
        assert "mine" in str(said), (kind, said)
    REPLIES["/v1/no/json/x"] = Said(f"only {a}".encode(), headers={"content-type": "text/plain"})
    assert world.get("b", "/v1/no/json/x")[0] == 404
    assert world.get("a", "/v1/no/json/x")[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "body", "tokens"),
    [
        ("text/plain", b"word " * 400, 500),
        ("application/octet-stream", b"word " * 400, 500),
        ("application/json", b'["%s"]' % (b"word " * 400), 501),
        ("text/event-stream", b"data: %s\n\n" % (b"word " * 400), 502),
        ("application/x-ndjson", b'{"odd": "%s"}\n' % (b"word " * 400), 503),
        ("application/json", json.dumps({"pad": "x" * 400, "usage": {"completion_tokens": 7}}).encode(), 7),
        ("audio/mpeg", b"word " * 400, 0),
    ],
)  # fmt: skip
def test_what_an_unknown_operation_writes_counts_whatever_its_form(
    kind: str, body: bytes, tokens: int
) -> None:
    """If the owner allows such paths, and limits the account."""
    terms = 'version = 1\n[capture]\nunknown_paths = "pass"\n[limits]\noutput_tokens_per_day = 100_000\n'
    said = Said(body, headers={"content-type": kind})
    with scripted(lambda asked: said) as up, gateway(up.url, terms, recorder=False) as gate:
        status, _ = ask(
            gate, "POST", "/v1/odd/things", {"question": "Which lighthouse stands furthest north?"}
        )
        assert status == 200
        budgets = Budgets(gate.folder.run, 9, 1)

        def counted() -> int:
            return budgets.spent(0, time.time_ns() // 1000).output_tokens_day

        until(lambda: counted() >= tokens, what="it is charged")
        (row,) = gate.settle()
        assert counted() == tokens == (row["output_tokens"] or 0)
        assert row["prompt_words"] >= 5
        assert row["outcome"] == "complete"
        assert row["delivered_bytes"] == len(body)


@pytest.mark.slow
def test_what_is_another_s_stands_in_no_reply_to_a_path_that_nobody_knows(world: World) -> None:
    a, b = FILES["a"], FILES["b"]
    shapes: dict[str, Any] = {
        "/v1/nothing/known": {"result": {"items": [{"id": a, "name": "secret"}, {"id": b, "name": "mine"}]}},
        "/v1/deeper": {"pages": [[{"x": {"file_id": a, "n": "secret"}}, {"x": {"file_id": b, "n": "mine"}}]]},
        "/v1/by_name": {"files": {a: {"n": "secret"}, b: {"n": "mine"}}},
        "/v1/plain/list": {"used": [a, b], "n": "mine"},
        "/v1/an/object": {"usage": {"file": a, "n": "secret"}, "other": {"file": b, "n": "mine"}},
        "/v1/addresses": {"rows": [{"x": f"https://x/files/{a}", "n": "secret"}, {"x": b, "n": "mine"}]},
        f"/v1/files/{b}/relatives": {"rows": [{"id": "unknown", "n": "mine"}, {"file": a, "n": "secret"}]},
    }  # fmt: skip
    REPLIES.update(shapes)
    for path in shapes:
        status, said = world.get("b", path)
        assert status == 200, path
        assert a not in str(said), (path, said)
        assert "secret" not in str(said), (path, said)
        assert "mine" in str(said), (path, said)
    REPLIES["/v1/whole"] = {"file": a, "n": "secret"}
    assert world.get("b", "/v1/whole")[0] == 404
    assert world.get("a", "/v1/whole") == (200, REPLIES["/v1/whole"])
    REPLIES["/v1/same"] = Said(b'{ "note":  "mine", "at": 1.50 }')
    assert world.get("b", "/v1/same")[1] == {"note": "mine", "at": 1.5}


@pytest.mark.parametrize(
    ("target", "passes"),
    [
        ("/proxy?url=http://169.254.169.254/latest", False),
        ("/fetch?to=HTTPS%253A%252F%252Fexample.com", False),
        ("/v9/proxy/http:/10.0.0.1/", False),
        ("/v9/proxy?u=file:%5C%5Chost", False),
        ("/v9/stations?at=12:30&sort=name", True),
        ("/v9/arn:aws:thing/7", True),
    ],
)
def test_a_path_that_nobody_knows_leads_nowhere_else(target: str, passes: bool) -> None:
    assert (why_not_forwarded(Terms(1), None, "GET", target) is None) == passes
    assert why_not_forwarded(Terms(1, capture=Capture(unknown_paths="pass")), None, "GET", target) is None


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["a", "a.", ":a", "%61", "a:"])
def test_a_long_path_that_nobody_knows_takes_time_in_proportion(unit: str) -> None:
    """One of 60,000 characters took 38 s."""

    def read(text: str) -> str | None:
        return why_not_forwarded(Terms(1), None, "GET", f"/{text}")

    assert grows_with_the_text(read, unit, 6_000 // len(unit))


def test_only_what_holds_a_name_is_left_out() -> None:
    foreign = {"a"}
    assert without_names({"x": [{"id": "a"}, {"id": "b"}], "y": 1}, foreign) == {"x": [{"id": "b"}], "y": 1}
    assert without_names({"x": {"a": 1, "b": 2}}, foreign) == {"x": {"b": 2}}
    assert without_names([["a"], "b"], foreign) == [[], "b"]
    assert without_names({"id": "a", "x": 1}, foreign) is None
