"""Paths that no table knows may be read: what they tell of other accounts' objects is left out."""

from collections.abc import Iterator
from typing import Any

import pytest

from gateway_world import Running, gateway
from scripted_upstream import Asked, Said, ask, scripted
from stillwatch.gateway.path.foreign_names import without_names

FILES: dict[str, str] = {}  # who made which
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


def test_only_what_holds_a_name_is_left_out() -> None:
    foreign = {"a"}
    assert without_names({"x": [{"id": "a"}, {"id": "b"}], "y": 1}, foreign) == {"x": [{"id": "b"}], "y": 1}
    assert without_names({"x": {"a": 1, "b": 2}}, foreign) == {"x": {"b": 2}}
    assert without_names([["a"], "b"], foreign) == [[], "b"]
    assert without_names({"id": "a", "x": 1}, foreign) is None
