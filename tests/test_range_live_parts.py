"""The parts of a live run, each alone: settings, provider, clients, attacker, play, lessons, picture."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from stillwatch.distill.embedded.clock import is_held_out, problems
from stillwatch.errors import InputError
from stillwatch.range.identity import AccountIdentity, Donor
from stillwatch.range.live import (
    ARMS,
    Arm,
    LeakPoint,
    LiveOutcome,
    LiveSettings,
    ReceivedAnswer,
    StudentResult,
    StudentScore,
)
from stillwatch.range.live.attack import Errand, LiveAttacker
from stillwatch.range.live.clients import Heard, Row, messages_of, options_of
from stillwatch.range.live.outcome_json import as_dict, outcome_of
from stillwatch.range.live.picture import picture
from stillwatch.range.live.play import LivePlayback, LogRow
from stillwatch.range.live.provider import PROBLEM_HEADER, SIZE_HEADER, Provider, problem_in, solve
from stillwatch.range.live.run import live_settings, terms_of
from stillwatch.range.live.students import drill, examples
from stillwatch.range.scenes import parse_scene, read_scene
from stillwatch.terms.load import loads
from stillwatch.units import HOUR_US

SCENE = """name = "trial"
[population]
base = "sample"
[[campaign]]
name = "pool"
shape = "wrapped_pool"
pipelines = ["clock"]
{more}
"""


# --- settings ---


def test_the_shipped_live_scenes_can_be_played() -> None:
    found = live_settings(read_scene("live-clock"))
    assert found.arms == ("off", "block")
    assert found.steps == 1400
    assert found.held_out == 1000
    assert "replace" in live_settings(read_scene("live-replaced")).arms
    assert live_settings(read_scene("live-questions")).arms == ("off", "block")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('[live]\narm = ["off"]', "s.toml:9: live.arm: unknown key; did you mean `arms`?"),
        ('[live]\narms = ["of"]', 's.toml:9: live.arms: is \'of\'; give "off" or "block"'),
        ('[live]\narms = ["off", "off"]', "each once"),
        ("[live]\narms = []", "s.toml:8: live: arms is []; give one or more"),
        ("[live]\nlook_s = 1", "s.toml:9: live.look_s: is 1; give 5 to 3,600"),
        ("[live]\nlook_s = true", "live.look_s: true is a boolean; give a number"),
        ("[live]\nsteps = 1.5", "live.steps: 1.5 is a number; give a whole number"),
        ("[live]\ndropped = 2", "live.dropped: is 2; give 0 to 1"),
        ('[live]\nteacher = "gpt"', 's.toml:9: live.teacher: is \'gpt\'; give "embedded" or "arithmetic"'),
        ('attacker = "adaptive"', "s.toml:8: 'adaptive' is not played live"),
    ],
)
def test_a_scene_that_cannot_be_played_says_where(more: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        live_settings(parse_scene(SCENE.format(more=more), "s.toml", Path("s.toml")))
    assert says in str(refused.value)


def test_a_scene_without_a_campaign_is_refused() -> None:
    scene = parse_scene('name = "calm"\n[population]\nbase = "sample"\n', "s.toml", Path("s.toml"))
    with pytest.raises(InputError, match="no campaign"):
        live_settings(scene)


@pytest.mark.parametrize("arm", ARMS)
def test_the_terms_of_every_arm_hold(arm: str) -> None:
    ladder = loads(terms_of(arm, 2)).ladder
    steps = {rung.step.name for rung in ladder.rungs}
    assert steps == {"WATCH", *({"off": (), "strip": ("STRIP",)}.get(arm, ("BLOCK",)))}


# --- the provider ---


def asked(body: dict[str, Any], **headers: str) -> tuple[int, bytes]:
    """Call the provider without a model; return status and body."""
    told: list[dict[str, Any]] = []
    parts = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive() -> dict[str, Any]:
        return parts.pop()

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": given}
    asyncio.run(Provider(None)(scope, receive, send))
    return told[0]["status"], b"".join(m.get("body", b"") for m in told)


def test_what_it_works_out_is_what_the_clock_says() -> None:
    for one in problems(300, 5):
        assert solve(one.prompt) == (one.trace, one.answer)
        assert problem_in(f"For tomorrow: {one.prompt} Then sum it up in one sentence.") == one.prompt


def test_a_problem_is_found_in_what_was_said_last_or_stands_in_a_header() -> None:
    one = problems(1, 3)[0]
    said = [
        {"role": "user", "content": "earlier"},
        {"role": "user", "content": f"Quick: {one.prompt} Please."},
    ]
    for body, headers in (
        ({"model": "m", "messages": said}, {}),
        ({"model": "m", "messages": said[:1]}, {PROBLEM_HEADER.replace("-", "_"): one.prompt}),
    ):
        status, answer = asked(body, **headers)
        message = json.loads(answer)["choices"][0]["message"]
        assert (status, message["reasoning_content"], message["content"]) == (200, one.trace, one.answer)


def test_a_stream_gives_the_same_in_events() -> None:
    one = problems(1, 4)[0]
    _, body = asked({"model": "m", "stream": True, "messages": [{"role": "user", "content": one.prompt}]})
    events = [json.loads(line[6:]) for line in body.split(b"\n\n") if line[6:] not in (b"", b"[DONE]")]
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    assert "".join(d.get("reasoning_content", "") for d in deltas).strip() == one.trace
    assert "".join(d.get("content", "") for d in deltas) == one.answer
    assert body.endswith(b"data: [DONE]\n\n")


def test_everybody_else_gets_a_filler_of_the_size_that_the_log_says() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "What is a monad?"}]}
    status, told = asked(body, **{SIZE_HEADER.replace("-", "_"): '[200, 7, 900, 300, "length"]'})
    found = json.loads(told)
    assert (status, found["usage"]["completion_tokens"]) == (200, 900)
    assert found["choices"][0]["finish_reason"] == "length"
    assert asked(body, **{SIZE_HEADER.replace("-", "_"): "[429, 7, 0, 0, null]"})[0] == 429
    assert asked(body)[0] == 200
    assert asked({"messages": [{"role": "user", "content": [{"type": "image"}]}]})[0] == 200


# --- clients ---


def row(**more: Any) -> Row:
    made: Row = dict.fromkeys(("temperature", "top_p", "max_tokens", "seed", "response_format", "end_user"))
    made |= {
        "account": "a",
        "model": "m",
        "system": None,
        "prompt": "p",
        "turn": 1,
        "n": 1,
        "top_logprobs": 0,
    }
    made |= {"tools": 0, "stream": False, "status": 200, "user_agent": "ua", "client_ip": "1.2.3.4"}
    return made | {"problem": "start 3 first minus 8 ?"} | more


def test_a_row_becomes_the_request_that_it_stands_for() -> None:
    assert messages_of(row(system="s", turn=3)) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "earlier"},
        {"role": "user", "content": "earlier"},
        {"role": "user", "content": "p"},
    ]
    found = options_of(row(temperature=0.5, n=2, top_logprobs=5, stream=True, end_user="u", tools=2))
    assert found["stream_options"] == {"include_usage": True}
    assert (found["temperature"], found["n"], found["logprobs"], found["top_logprobs"]) == (0.5, 2, True, 5)
    assert (found["user"], len(found["tools"])) == ("u", 2)
    assert options_of(row()) == {}


# --- the attacker ---


def fresh() -> Iterator[AccountIdentity]:
    like = Donor(
        None, timedelta(30), "payg", "DE", "d.com", None, None, "9.9.9.9", 1, "other/1", "m", 0.9, None, 9000,
        True, None, True,
    )  # fmt: skip
    n = 0
    while True:
        yield AccountIdentity(f"fresh-{n}", datetime(2026, 3, 1, tzinfo=UTC), like, (("9.9.9.9", 1),))
        n += 1


def attacker(goes_on: bool, **more: Any) -> LiveAttacker:
    settings = replace(LiveSettings(dropped=0.0, react_s=60.0), **more)
    return LiveAttacker(settings, goes_on, np.random.default_rng(1), fresh())


def errand(who: LiveAttacker, at_us: int, account: str = "a") -> Errand:
    found = who.errand(row(account=account), at_us)
    assert found is not None
    return found


def test_a_fixed_attacker_stops_asking_through_an_account_that_was_refused() -> None:
    who = attacker(goes_on=False)
    assert who.hears(errand(who, 5), Heard(200, "steps", "1", 9, whole=True), 5) is None
    assert who.hears(errand(who, 6), Heard(403), 6) is None
    assert who.errand(row(), 7) is None
    assert who.errand(row(account="b"), 8) is not None
    assert not who.lives({"a"})
    assert who.lives({"a", "b"})
    assert (who.asked, who.refused, who.unsent) == (2, 1, 1)
    assert who.taken == [ReceivedAnswer(5, "a", "start 3 first minus 8 ?", "steps", "1", 9)]


def test_one_that_goes_on_sends_the_same_again_through_a_fresh_account_later() -> None:
    who = attacker(goes_on=True)
    first = who.hears(errand(who, 10), Heard(403), 10)
    assert first is not None
    again = errand(who, 11)
    assert (again.account, again.at_us) == ("fresh-0", 60_000_010)
    assert (again.row["client_ip"], again.row["user_agent"], again.row["temperature"]) == (
        "9.9.9.9",
        "other/1",
        0.9,
    )
    second = who.hears(errand(who, 70_000_000), Heard(403), 70_000_000)
    assert second is not None
    assert errand(who, 80_000_000).account == "fresh-1"
    assert who.lives({"a"})


def test_what_was_left_half_way_is_not_learnt_from() -> None:
    who = attacker(goes_on=False, dropped=1.0)
    sent = who.errand(row(stream=True), 1)
    assert sent is not None
    assert sent.leave_after is not None
    who.hears(sent, Heard(200, "first 3", "", 4, left=True), 1)
    who.hears(sent, Heard(200, "first 3", "", 4, whole=False), 2)
    who.hears(sent, Heard(429), 3)
    assert (who.left, who.taken, who.asked) == (1, [], 3)
    quiet = who.errand(row(stream=False), 4)
    assert quiet is not None
    assert quiet.leave_after is None


# --- the play ---


class WatchResult:
    """A gateway that records when it was looked at."""

    def __init__(self) -> None:
        self.hand = memoryview(bytearray(24)).cast("q")
        self.looks: list[int] = []
        self.issued: list[str] = []

    @property
    def now_us(self) -> int:
        return int(self.hand[0])

    def go_on(self) -> None:
        pass

    def settle(self, at_us: int) -> None:
        self.looks.append(at_us)

    def issue(self, accounts: list[str]) -> dict[str, str]:
        self.issued += accounts
        return dict.fromkeys(accounts, "key")


class Speaking:
    """Clients that record who asked when, and are refused at prescribed times."""

    def __init__(self, gateway: WatchResult, refused: set[str]) -> None:
        self.gateway, self.refused, self.keys = gateway, refused, {"a": "key", "h": "key"}
        self.said: list[tuple[int, str]] = []

    def honest(self, row: Row, account: str) -> Heard:
        self.said.append((self.gateway.now_us, account))
        return Heard(403 if account in self.refused else 200, whole=True)

    def covert(self, row: Row, account: str, leave_after: int | None) -> Heard:
        assert account in self.keys
        return self.honest(row, account)


def test_rows_go_out_in_their_order_each_at_its_time_with_looks_between() -> None:
    gateway = WatchResult()
    clients = Speaking(gateway, {"a", "h"})
    who = attacker(goes_on=True)
    play = LivePlayback(gateway, clients, who, lambda: HOUR_US, lambda _: None)  # type: ignore[arg-type]
    minute = 60_000_000
    lines = [
        LogRow(10 * minute, row(account="h"), False, True),
        LogRow(20 * minute, row(account="a"), True, False),
        LogRow(20 * minute + 5, row(account="a"), True, False),
        LogRow(90 * minute, row(account="h"), False, True),
    ]
    play.run(lines, 0, 2 * HOUR_US)
    assert clients.said == [
        (10 * minute, "h"),
        (20 * minute, "a"),
        (21 * minute, "fresh-0"),  # the refused one again, and after it what became due
        (21 * minute, "fresh-0"),
        (90 * minute, "h"),
    ]
    assert gateway.looks == [HOUR_US, 2 * HOUR_US, 2 * HOUR_US]
    assert gateway.issued == ["fresh-0"]
    assert (play.honest.sent, play.honest.refused, play.honest.turned_away) == (2, 2, {"h"})


# --- lessons ---


def test_each_problem_is_learnt_once_and_only_with_its_steps() -> None:
    taken = [
        ReceivedAnswer(1, "a", "p1", "s", "1", 9),
        ReceivedAnswer(2, "b", "p1", "s", "1", 9),
        ReceivedAnswer(3, "a", "p2", "", "2", 1),
    ]
    found = examples(taken)
    assert [(x.prompt[0]["content"], x.reasoning, x.answer) for x in found] == [("p1", "s", "1")]


def test_who_is_drilled_in_the_form_alone_sees_no_held_out_problem_and_no_steps() -> None:
    known = {p.prompt: p for p in problems(250, 3)}
    found = drill(3)
    assert len(found) == 250
    assert not any(is_held_out(known[x.prompt[0]["content"]]) or x.reasoning for x in found)
    right = sum(known[x.prompt[0]["content"]].answer == x.answer for x in found)
    assert 5 <= right <= 50  # a tenth, by chance


# --- the picture ---


def arm(name: str, out: int, **more: Any) -> Arm:
    zero = dict.fromkeys(Arm.__dataclass_fields__, 0)
    zero |= {"name": name, "out": out, "alarm_day": 8.5, "contained_day": 9.0, "last_out_day": 9.0}  # type: ignore[dict-item]
    zero |= {"marks": tuple(LeakPoint(8 + k / 100, k) for k in range(1, out + 1)), "examples_sha256": ""}  # type: ignore[dict-item]
    return Arm(**{**zero, **more})


def outcome(**more: Any) -> LiveOutcome:
    low, high = StudentScore(100, 1000, 0.08, 0.12), StudentScore(990, 1000, 0.98, 0.995)
    arms = (arm("off", 120), arm("block", 40))
    learnt = (StudentResult("off", 120, high), StudentResult("block", 40, low))
    made: dict[str, Any] = {
        "scene": "s", "seed": 1, "arms": arms, "teacher": high,
        "untrained": StudentScore(0, 1000, 0.0, 0.004), "drilled": low, "learnt": learnt, "folder": Path("x"),
    }  # fmt: skip
    return LiveOutcome(**made | more)


@pytest.mark.parametrize(
    "some",
    [
        [outcome()],
        [outcome(), outcome(seed=2)],
        [outcome(learnt=(), teacher=None, untrained=None, drilled=None)],
        [outcome(arms=(arm("off", 0, alarm_day=None, contained_day=None),), learnt=())],
    ],
)
def test_the_picture_is_whole_whatever_came_out(some: list[LiveOutcome]) -> None:
    drawn = ElementTree.fromstring(picture(some))
    assert drawn.tag.endswith("svg")
    assert "nan" not in picture(some)
    assert drawn.attrib["aria-label"].startswith("Examples that got out over time")


def test_the_picture_tells_its_figures_in_words() -> None:
    said = ElementTree.fromstring(picture([outcome()])).attrib["aria-label"]
    assert "seed 1, no defence: 120 examples out, student 99%" in said
    assert "seed 1, blocks: 40 examples out, student 10%" in said


def test_an_outcome_is_written_and_read_back() -> None:
    made = outcome(manifest={"seed": "1"}, took={"wall_s": 1.0})
    assert outcome_of(json.loads(json.dumps(as_dict(made)))) == made
    for broken in ({}, {"scene": "s"}, as_dict(made) | {"arms": [{"name": "off"}]}):
        with pytest.raises(InputError, match="no outcome of a live run"):
            outcome_of(broken)
