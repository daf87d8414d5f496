"""A model that was trained for one account answers no other account, whatever the API calls it."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest

from gateway_world import Running, gateway, until
from scripted_upstream import Asked, ask, scripted
from stillwatch.gateway.control.owners import EVERYBODY
from stillwatch.gateway.health import health
from stillwatch.gateway.settings import GatewaySettings

TERMS = "version = 1\n[models]\nhide_banned = false\n" + "".join(
    f'[[operation]]\nmethod = "{method}"\npath = "{path}"\ndoes = "{does}"\n'
    for method, path, does in (
        ("POST", "/v1/accounts/acme/supervisedFineTuningJobs", "creates"),
        ("POST", "/v1/projects/p/locations/l/tuningJobs", "creates"),
        ("POST", "/v1/trainings", "creates"),
        ("POST", "/v1/fine-tunes", "creates"),
    )
)
CHAT = "/v1/chat/completions"
# By API: the path of its jobs, the reply of a finished job with the model's name, and the names to ask for it
PROVISIONED = "arn:aws:bedrock:us-east-1:1:provisioned-model/Ab9"
ENDPOINT = "projects/p/locations/l/endpoints/42"
ARN = "arn:aws:bedrock:us-east-1:123456789012:custom-model/acme.base/abc123"
APIS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "azure": (
        "/openai/fine_tuning/jobs",
        {"status": "succeeded", "fine_tuned_model": "gpt-4o-mini-2024-07-18.ft-0abc1"},
        ["gpt-4o-mini-2024-07-18.ft-0abc1", "GPT-4o-mini-2024-07-18.ft-0ABC1"],
    ),
    "mistral": (
        "/v1/fine_tuning/jobs",
        {"status": "SUCCESS", "fine_tuned_model": "ft:open-mistral-7b:acme:20261130:0abc2"},
        ["ft:open-mistral-7b:acme:20261130:0abc2", "mistral/ft:open-mistral-7b:acme:20261130:0abc2"],
    ),
    "together": (
        "/v1/fine-tunes",
        {"status": "completed", "model_output_name": "acme/Llama-3-8b-x-30b975fd",
         "output_name": "acme/Llama-3-8b-x-4fd0a1bc"},
        [
            "acme/Llama-3-8b-x-30b975fd", "together_ai/acme/llama-3-8b-x-30b975fd",
            "acme/Llama-3-8b-x-4fd0a1bc",
        ],
    ),
    "fireworks": (
        "/v1/accounts/acme/supervisedFineTuningJobs",
        {"state": "JOB_STATE_COMPLETED", "outputModel": "accounts/acme/models/ours-0abc5"},
        [
            "accounts/acme/models/ours-0abc5", "fireworks_ai/accounts/acme/models/ours-0abc5",
            "accounts/acme/models/ours-0abc5#accounts/acme/deployments/d",
        ],
    ),
    "vertex": (
        "/v1/projects/p/locations/l/tuningJobs",
        {"state": "JOB_STATE_SUCCEEDED", "tunedModel": {
            "model": "projects/p/locations/l/models/77abc6@1",
            "endpoint": "projects/p/locations/l/endpoints/77abc6"}},
        ["projects/p/locations/l/endpoints/77abc6", "vertex_ai/projects/p/locations/l/models/77abc6@1"],
    ),
    "replicate": (
        "/v1/trainings",
        {"status": "succeeded", "output": {"version": "acme/ours:0abc7f3e"}},
        ["acme/ours:0abc7f3e", "replicate/acme/ours:0abc7f3e", "acme/Ours:0abc7f3e"],
    ),
    "bedrock": ("/v1/fine_tuning/jobs", {"status": "Completed", "outputModelArn": ARN}, [ARN]),
}  # fmt: skip


def answer(asked: Asked) -> Any:
    path = asked.path.partition("?")[0]
    if path == "/v1/models":
        names = [name for _, _, names in APIS.values() for name in names]
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}
    for api, (jobs, made, _) in APIS.items():
        if path.startswith(jobs) and (asked.method == "POST" or path.endswith(f"/job-{api}")):
            name = f"job-{api}" if asked.method == "GET" else f"job-{asked.headers['x-api']}"
            said = json.loads(asked.body) if asked.body else {}  # the client's own text, repeated
            return {**said, "id": name, "status": "completed", **(made if asked.method == "GET" else {})}
    return {"id": "x", "model": "mira", "choices": [{"message": {"content": "ok"}}], "usage": {}}


class World:
    def __init__(self, gate: Running) -> None:
        self.gate = gate
        self.keys = {"a": gate.key, "b": gate.issue("acct_b")}

    def ask(self, who: str, method: str, target: str, body: Any = None, **more: str) -> tuple[int, Any]:
        return ask(self.gate, method, target, body, self.keys[who], **more)

    def status(self, who: str, target: str, body: Any) -> int:
        return self.ask(who, "POST", target, body)[0]

    def comes_to(self, status: int, what: str, ask: Callable[[], int | set[int]]) -> None:
        """Wait until every request gets one status: workers cache a model's owner for a second."""
        until(lambda: ask() in (status, {status}), 10, what)

    def statuses(self, who: str, model: str) -> set[int]:
        """Return the statuses of all kinds of requests for a model."""
        chat = {"model": model, "messages": []}
        path = quote(model, safe="")
        return {
            self.ask(who, method, target, body)[0]
            for method, target, body in (
                ("POST", CHAT, chat),
                ("POST", CHAT, {"model": "mira", "fallbacks": [model], "messages": []}),
                ("POST", "/v1/responses", {"model": model, "input": "x"}),
                ("POST", "/v1/messages/batches", {"requests": [{"custom_id": "1", "params": chat}]}),
                ("POST", f"/openai/deployments/{path}/chat/completions", {"messages": []}),
                ("POST", f"/v1beta/models/{path}:generateContent", {"contents": []}),
                ("POST", f"/model/{path}/converse", {"messages": []}),
                ("GET", f"/v1/models/{path}", None),
            )
        }


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with scripted(answer) as up, gateway(up.url, TERMS, recorder=False) as gate:
        yield World(gate)


@pytest.mark.slow
@pytest.mark.parametrize("api", APIS)
def test_a_trained_model_answers_its_own_account_alone(world: World, api: str) -> None:
    jobs, _, names = APIS[api]
    for name in names:  # Replicate's versions have a form that public models have too
        assert world.statuses("a", name) == world.statuses("b", name) == {200 if api == "replicate" else 404}
    job = world.ask("a", "POST", jobs, {"model": "base", "training_file": ""}, x__api=api)[1]["id"]
    assert world.ask("b", "GET", f"{jobs}/{job}")[0] == 404
    assert world.ask("a", "GET", f"{jobs}/{job}")[0] == 200
    for name in names:
        assert world.statuses("a", name) == {200}, "at once"
        world.comes_to(404, name, partial(world.statuses, "b", name))
        assert world.statuses("a", name) == {200}
    listed = [model["id"] for model in world.ask("b", "GET", "/v1/models")[1]["data"]]
    assert not set(names) & set(listed)
    assert set(names) <= {model["id"] for model in world.ask("a", "GET", "/v1/models")[1]["data"]}
    assert world.statuses("b", "mira") == world.statuses("b", names[0].rpartition("/")[2][3:8]) == {200}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("assigned", "asked"),
    [
        ("Team-Deployment", "team-deployment"),
        ("our-Deployment", "OUR-deployment"),
        (PROVISIONED, PROVISIONED),
        (ENDPOINT, ENDPOINT),
        ("acme/deployed", "azure/acme/deployed:latest"),
    ],
)  # fmt: skip
def test_an_administrator_gives_a_model_to_an_account(world: World, assigned: str, asked: str) -> None:
    assert world.statuses("b", asked) == {404 if asked in (PROVISIONED, ENDPOINT) else 200}
    world.gate.own(assigned)
    world.comes_to(404, "the assignment", partial(world.statuses, "b", asked))
    world.comes_to(200, "the assignment", partial(world.statuses, "a", asked))
    vertex = f"/v1/{asked}:generateContent"
    if asked.startswith("projects/"):
        assert world.ask("b", "POST", vertex, {"contents": []})[0] == 404
        assert world.ask("a", "POST", vertex, {"contents": []})[0] == 200


@pytest.mark.slow
def test_a_trained_model_is_nobodys_until_it_is_known_whose_it_is(world: World) -> None:
    """Also a checkpoint, an old name, one behind a router; and it can be assigned to everybody."""
    for name in (
        "ft:gpt-4o-mini-2024-07-18:acme::9abcNobody", "FT:gpt-4o-mini:acme::9abc", "openai/ft:gpt-4o:acme::1",
        " ft:gpt-4o:acme::1", "ft:gpt-4o:acme::1:ckpt-step-90", "davinci:ft-acme-2023-01-01-00-00-00",
        "gpt-35-turbo-0613.ft-0123456789abcdef", "accounts/acme/models/ours", "tunedModels/ours-1",
        "f4ba3c15-0000-4000-8000-0123456789ab-ft", "bedrock/arn:aws:bedrock:x:1:imported-model/abc",
    ):  # fmt: skip
        for who in ("a", "b"):
            for body in ({"model": name}, {"model": "mira", "fallbacks": [name]}, {"model": f"mira,{name}"}):
                status, said = world.ask(who, "POST", CHAT, body | {"messages": []})
                assert status == 404, (name, body)
            status, said = world.ask(who, "POST", CHAT, {"model": name, "messages": []})
            assert "read its finished job" in said["error"]["message"]
    for name in (
        "accounts/fireworks/models/llama-v3p1-8b",
        "publishers/google/models/gemini-3",
        "left-claude",
        "a,b",
    ):
        assert world.status("b", CHAT, {"model": name, "messages": []}) == 200
    openapi = "/v1/projects/p/locations/l/endpoints/openapi/chat/completions"
    assert world.status("b", openapi, {"model": "google/gemini-3", "messages": []}) == 200
    world.gate.own("ft:gpt-4o:acme::shared", account=EVERYBODY)
    for who in ("a", "b"):
        shared = {"model": "openai/ft:gpt-4o:acme::shared:ckpt-step-9", "messages": []}
        world.comes_to(200, "the assignment", partial(world.status, who, CHAT, shared))


@pytest.mark.slow
def test_a_model_is_its_accounts_also_in_a_list_of_names_and_behind_an_alias() -> None:
    terms = TERMS + '[models.aliases]\n"fast" = "team-deployment"\n'
    with scripted(answer) as up, gateway(up.url, terms, recorder=False) as gate:
        world = World(gate)
        gate.own("team-deployment")
        for name in (
            "team-deployment",
            "mira,team-deployment",
            "mira, azure/Team-Deployment",
            "fast",
            "x,FAST",
        ):
            world.comes_to(404, name, partial(world.status, "b", CHAT, {"model": name, "messages": []}))
            assert world.status("a", CHAT, {"model": name, "messages": []}) == 200
        long = {"model": f"mira,{'x' * 600},team-deployment", "messages": []}
        assert world.status("a", CHAT, long) == world.status("b", CHAT, long) == 404


@pytest.mark.slow
def test_while_nobody_can_look_up_whose_a_model_is_what_may_be_somebodys_is_refused() -> None:
    with scripted(answer) as up, gateway(up.url, TERMS, recorder=False) as gate:
        world = World(gate)
        gate.own("team-deployment")
        chat: dict[str, Any] = {"messages": []}

        def asks(who: str, model: str) -> int:
            return world.status(who, CHAT, chat | {"model": model})

        def owners_part() -> list[str]:
            settings = GatewaySettings.load(gate.folder.settings)
            parts = health(gate.folder, settings, time.time_ns() // 1000).parts
            return [part.text for part in parts if part.name == "owners"]

        world.comes_to(404, "the assignment", lambda: asks("b", "team-deployment"))
        assert asks("b", "seen-before") == 200
        assert owners_part() == []
        gate.stop("worker-0")
        for path in gate.folder.path.glob("objects.db*"):
            path.rename(path.with_name(f"lost-{path.name}"))
        gate.folder.objects.write_bytes(b"no database" * 1_000)
        gate.start("worker-0")
        assert asks("b", "team-deployment") == asks("a", "team-deployment") == 503
        assert asks("b", "ft:gpt-4o:acme::1") in (404, 503)
        assert asks("b", "azure/team-deployment:latest") == asks("b", "seen-before") == 503
        assert asks("b", "gpt-4o") == 200, "nothing hangs on it"
        until(owners_part, what="health says so")
        gate.folder.objects.unlink()
        for path in gate.folder.path.glob("lost-*"):
            path.rename(path.with_name(path.name.removeprefix("lost-")))
        world.comes_to(200, "it is there again", lambda: asks("a", "team-deployment"))
        assert asks("b", "team-deployment") == 404
        until(lambda: not owners_part(), what="health says no more")


@pytest.mark.slow
def test_what_was_known_of_a_model_holds_while_nobody_can_look_it_up() -> None:
    with scripted(answer) as up, gateway(up.url, TERMS, recorder=False) as gate:
        world = World(gate)
        gate.own("team-deployment")
        chat: dict[str, Any] = {"messages": []}
        mine, other = chat | {"model": "team-deployment"}, chat | {"model": "free-name"}
        world.comes_to(404, "the assignment", lambda: world.status("b", CHAT, mine))
        assert world.status("b", CHAT, other) == 200
        lock = sqlite3.connect(gate.folder.objects, isolation_level=None)
        try:
            lock.execute("DROP TABLE objects")
            time.sleep(1.1)  # the cache of one second has expired
            assert world.status("b", CHAT, mine) == 404
            assert world.status("a", CHAT, mine) == world.status("b", CHAT, other) == 200
            assert world.status("b", CHAT, chat | {"model": "new-name"}) == 503
        finally:
            lock.close()


@pytest.mark.slow
def test_weights_that_are_laid_over_a_model_are_named_apart(world: World) -> None:
    world.gate.own("acme/our-lora", "0123456789abcdef")
    for who, status in (("b", 404), ("a", 200)):
        for target, body in (
            ("/generate", {"inputs": "x", "parameters": {"adapter_id": "acme/our-lora"}}),
            ("/v1/completions", {"model": "mira", "prompt": "x", "lora": "acme/our-lora"}),
            ("/v1/predictions", {"version": "0123456789abcdef", "input": {"prompt": "x"}}),
        ):
            world.comes_to(status, f"{who} {target}", partial(world.status, who, target, body))


@pytest.mark.slow
def test_no_client_takes_a_model_from_the_others_by_naming_it(world: World) -> None:
    """A name that a client can choose gives it no ownership."""
    for target in ("/v1/fine_tuning/jobs", CHAT, "/v1/files"):
        body = {"model": "mira", "output_name": "mira", "outputModel": "mira", "fine_tuned_model": "mira"}
        world.ask("a", "POST", target, body | {"messages": []}, x__api="azure")
    assert world.statuses("b", "mira") == {200}
