"""A sink from an installed package: the example of docs/exports.md, and what a bad sink cannot do."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from exports_world import Receiver, receiver
from other_package import unpack
from stillwatch.cases.exports import ExportError
from stillwatch.cases.exports.deliver import work_off
from stillwatch.cases.exports.notices import trial_event
from stillwatch.cases.exports.outbox import Outbox
from stillwatch.cases.exports.signing import new_key
from stillwatch.cases.exports.targets import GROUP, read_targets, sinks
from stillwatch.errors import InputError

NOW_US = 1_773_500_000_000_000
PAGE = (Path(__file__).parent.parent / "docs" / "exports.md").read_text()
EXAMPLE = next(one for one in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "SCHEMES" in one)
Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    def unpack_sink(source: str) -> None:
        name = f"acme_chat_{tmp_path.name}"  # a module of its own for each test
        place = unpack(tmp_path / "site", GROUP, f"chat = {name}", source)
        monkeypatch.syspath_prepend(str(place))
        sinks.cache_clear()

    yield unpack_sink
    sinks.cache_clear()


@pytest.fixture
def room() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def write_list(tmp_path: Path, room: Receiver, *more: str, allow: str = 'allow = ["localhost"]\n') -> Path:
    tmp_path.mkdir(exist_ok=True)
    new_key(tmp_path / "a.key", "hmac")
    hook = f'[[webhook]]\nname = "hook"\nurl = "{room.url}"\nkeys = ["a.key"]\nallow = ["localhost"]\n'
    chat = f'[[chat]]\nname = "room"\nurl = "{room.url}"\n' + "".join(more) + allow
    path = tmp_path / "alerts.toml"
    path.write_text(hook + chat)
    return path


def deliver(tmp_path: Path, listed: Path) -> Any:
    outbox = Outbox(tmp_path / "outbox")
    event, body = trial_event(NOW_US, cef=False)
    for name in ("room", "hook"):
        outbox.put(name, event, "case-1", body, NOW_US)
    return work_off(outbox, read_targets(listed), lambda: NOW_US, Random(1)), outbox


def test_the_example_sends_what_the_room_reads(install: Install, room: Receiver, tmp_path: Path) -> None:
    install(EXAMPLE)
    done, _ = deliver(tmp_path, write_list(tmp_path, room, 'channel = "abuse"\n'))
    assert (done.sent, done.failed, done.refusals) == (2, 0, [])
    (said,) = [one for one in map(json.loads, room.bodies()) if "channel" in one]
    assert said["channel"] == "abuse"
    assert "A test; nothing happened." in said["text"]


def test_its_options_are_checked_with_their_place(install: Install, room: Receiver, tmp_path: Path) -> None:
    install(EXAMPLE)
    with pytest.raises(ExportError, match=r"alerts.toml:6: chat: `channel` is missing; give"):
        read_targets(write_list(tmp_path, room))
    with pytest.raises(ExportError, match=r"alerts.toml:10: chat.chanel: .*did you mean `channel`"):
        read_targets(write_list(tmp_path / "b", room, 'channel = "a"\n', 'chanel = "b"\n'))


def test_nothing_goes_inside_by_way_of_a_sink(install: Install, room: Receiver, tmp_path: Path) -> None:
    install(EXAMPLE)
    listed = write_list(tmp_path, room, 'channel = "abuse"\n', allow="")
    before, room_table = listed.read_text().split("[[chat]]")
    listed.write_text(f"{before}[[chat]]{room_table.replace('http://', 'https://')}")
    done, _ = deliver(tmp_path, listed)
    assert done.sent == 1
    assert "loopback" in done.refusals[0]
    assert len(room.requests) == 1


def test_a_sink_that_fails_hinders_no_other_and_loses_nothing(
    install: Install, room: Receiver, tmp_path: Path
) -> None:
    install(EXAMPLE.replace('event["data"]', 'event["nothing"]'))
    done, outbox = deliver(tmp_path, write_list(tmp_path, room, 'channel = "abuse"\n'))
    assert (done.sent, done.failed) == (1, 1)
    assert re.search(r"room: the sink chat failed: line \d+: KeyError: 'nothing'", done.refusals[0])
    assert [letter.target for letter in outbox.waiting()] == ["room"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"chat"', '"webhook"', "several sinks are named webhook"),
        ('("https",', '("gopher",', "the SCHEMES of chat are not of https"),
        ("Form.CLOUDEVENT", "Form.STIX", "the FORM of chat is stix"),
        ("def send", "send = 1\ndef send_", "its send is 1; right would be a function"),
        ("import json", "import jason", "cannot be loaded"),
    ],
)
def test_what_is_no_sink_is_refused(
    install: Install, room: Receiver, tmp_path: Path, old: str, new: str, said: str
) -> None:
    install(EXAMPLE.replace(old, new))
    with pytest.raises(InputError, match=said):
        read_targets(write_list(tmp_path, room))
