"""Sending to real servers on loopback: no internal address, no redirect, and no lost message."""

import json
import os
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exports_world import CLAIM, Receiver, alert, certificate, receiver, until
from gateway_world import free_port
from stillwatch.cases.exports import Activity, ExportError
from stillwatch.cases.exports.deliver import work_off
from stillwatch.cases.exports.messages import TRIAL, case_message
from stillwatch.cases.exports.outbox import BACK_OFF_S, MOST, Outbox
from stillwatch.cases.exports.places import ReceiverAddress, addresses, inside_of, place
from stillwatch.cases.exports.post import HEAD_BYTES, post, tls_context
from stillwatch.cases.exports.signing import new_key
from stillwatch.cases.exports.sinks import ExportTarget, pagerduty
from stillwatch.cases.exports.targets import read_targets, sinks

NOW_US = 1_773_500_000_000_000
HTTP, HTTPS = ("https", "http"), ("https",)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def plain_receiver() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


# --- the receiver's address ---


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "::1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "0.0.0.0", "::", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fe80::1",
        "fe80::1%eth0", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1", "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1", "198.18.0.1",
        "203.0.113.9", "2001:db8::1", "not-an-address",
    ],
)  # fmt: skip
def test_nothing_goes_inside(address: str) -> None:
    assert inside_of(address)
    with pytest.raises(ExportError, match="nothing goes there"):
        addresses(place("https://innocent.example/", HTTPS), (), lambda host, port: ["1.1.1.1", address])


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808"])
def test_the_internet_is_allowed(address: str) -> None:
    assert inside_of(address) is None


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "127.1", "localhost", "017700000001"])
def test_odd_spellings_of_loopback_are_loopback(host: str) -> None:
    with pytest.raises(ExportError, match=r"loopback|cannot be resolved|no host"):
        addresses(place(f"https://{host}/", HTTPS), ())


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///etc/passwd", "give https"), ("gopher://x/", "give https"),
        ("https://u:p@x/", "ends up in logs"),
        ("https:///x", "no host"), ("https://x:0/", "port 0"),
        ("https://x:99999/", "cannot be read"),
        ("https://x/#f", "fragment"), ("https://x/\r\nx-evil: 1", "no URL has"),
        ("https://a b/", "no URL has"),
        ("https://exämple/", "no URL has"), ("https://x/" + "a" * 3000, "3010 char"), ("", "no URL has"),
        ("https://[::1", "cannot be read"), ("https://-x-/", "no host"), ("http://x/", "give https"),
    ],
)  # fmt: skip
def test_a_url_that_is_none_is_refused(url: str, why: str) -> None:
    with pytest.raises(ExportError, match=why) as refused:
        place(url, HTTPS)
    assert "u:p" not in str(refused.value)


def test_the_owner_may_name_a_host_of_its_own() -> None:
    def resolve(host: str, port: int) -> list[str]:
        return ["10.0.0.5"]

    where = place("https://SIEM.internal.:8443/x?y=1", HTTPS)
    assert where == ReceiverAddress("https", "siem.internal", 8443, "/x?y=1")
    for allow in (["siem.internal"], ["siem.internal:8443"], [" SIEM.internal. "]):
        assert addresses(where, allow, resolve) == ["10.0.0.5"]
    for allow in (["internal"], ["siem.internal:443"], ["*"]):
        with pytest.raises(ExportError, match="private"):
            addresses(where, allow, resolve)


def test_a_resolver_that_fails_or_hangs_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    where = place("https://x.example/", HTTPS)
    with pytest.raises(ExportError, match="has no address"):
        addresses(where, (), lambda host, port: [])
    with pytest.raises(ExportError, match="cannot be resolved"):
        addresses(where, (), lambda host, port: [][1:] or _fail(OSError("no such name")))
    monkeypatch.setattr("stillwatch.cases.exports.places.RESOLVING_S", 0.05)
    with pytest.raises(ExportError, match="was not resolved"):
        addresses(where, (), lambda host, port: time.sleep(1) or [])  # type: ignore[func-returns-value]


def _fail(why: OSError) -> list[str]:
    raise why


# --- one request ---


def sent(
    to: Receiver, body: bytes = b"{}", context: Any = None, timeout_s: float = 30.0, **headers: str
) -> Any:
    where = place(to.url, HTTP)
    if where.scheme == "https":
        context = context or tls_context()
    return post(where, ["127.0.0.1"], headers, body, context, timeout_s)


def test_a_request_over_tls_arrives_as_it_was(tls: Path) -> None:
    with receiver(tls) as to:
        body = os.urandom(300_000)
        assert sent(to, body, tls_context(str(tls / "cert.pem")), x="y").status == 204
        assert to.bodies() == [body]
        assert to.requests[0].startswith(b"POST /hook?x=1 HTTP/1.1\r\nhost: localhost:")
        assert to.headers()["x"] == "y"


def test_a_certificate_is_checked(tls: Path, tmp_path: Path) -> None:
    with receiver(tls) as to, pytest.raises(ExportError, match="not to be trusted"):
        sent(to)
    other = certificate(tmp_path / "other", "elsewhere.example")
    with receiver(other) as to, pytest.raises(ExportError, match=r"not to be trusted: Hostname mismatch"):
        sent(to, context=tls_context(str(other / "cert.pem")))
    with pytest.raises(ExportError, match="certificates that can be read"):
        tls_context(str(tmp_path / "none.pem"))


def test_the_address_that_was_checked_is_the_one_that_is_called(plain_receiver: Receiver) -> None:
    """DNS rebinding: whatever the name resolves to now, the connection goes to the checked address."""
    where = ReceiverAddress("http", "rebind.example", plain_receiver.port, "/")
    assert post(where, ["127.0.0.1"], {}, b"", None).status == 204
    assert plain_receiver.headers()["host"] == f"rebind.example:{plain_receiver.port}"


def test_a_redirect_is_not_followed(plain_receiver: Receiver, tmp_path: Path) -> None:
    with receiver() as inside:
        plain_receiver.answer = f"HTTP/1.1 307 Go\r\nlocation: {inside.url}\r\n\r\n".encode()
        assert sent(plain_receiver).status == 307
        assert inside.requests == []


def test_what_comes_before_an_answer_is_none(plain_receiver: Receiver) -> None:
    plain_receiver.answer = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\na: b\r\n\r\nHTTP/1.1 202 Yes\r\n\r\n"
    )
    assert sent(plain_receiver).status == 202
    plain_receiver.answer = b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000
    with pytest.raises(ExportError, match="no HTTP"):
        sent(plain_receiver)


def drip(line: socket.socket) -> None:
    for _ in range(2_000):
        line.sendall(b"HTTP/1.1 200 OK\r\nx: y\r\n"[_ % 20 : _ % 20 + 1])
        time.sleep(0.05)


def flood(line: socket.socket) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10_000)


def hang(line: socket.socket) -> None:
    time.sleep(3)


@pytest.mark.parametrize(
    ("answer", "timeout_s", "why"),
    [
        (drip, 0.4, "longer than it may"), (hang, 0.4, "longer than it may"),
        (flood, 30.0, f"over {HEAD_BYTES:,} bytes"), (b"220 smtp ready\r\n\r\n", 30.0, "no HTTP"),
        (b"", 30.0, "no HTTP"), (b"HTTP/1.1 99 x\r\n\r\n", 30.0, "no HTTP"),
    ],
)  # fmt: skip
def test_a_receiver_cannot_hold_us(plain_receiver: Receiver, answer: Any, timeout_s: float, why: str) -> None:
    plain_receiver.answer = answer
    begun = time.monotonic()
    with pytest.raises(ExportError, match=why):
        sent(plain_receiver, timeout_s=timeout_s)
    assert time.monotonic() - begun < 60  # the drip lasts a hundred seconds


def test_a_handshake_cannot_hold_us() -> None:
    with receiver(framed=False) as to:
        where = ReceiverAddress("https", "localhost", to.port, "/")
        with pytest.raises(ExportError, match="longer than it may"):
            post(where, ["127.0.0.1"], {}, b"", tls_context(), 0.3)


def test_what_cannot_be_sent_is_refused(plain_receiver: Receiver) -> None:
    with pytest.raises(ExportError, match="no header"):
        sent(plain_receiver, x="a\r\nb: c")
    with pytest.raises(ExportError, match="at most"):
        sent(plain_receiver, bytes(21 << 20))
    port = free_port()  # nobody listens there
    with pytest.raises(ExportError, match="refused"):
        post(ReceiverAddress("http", "localhost", port, "/"), ["127.0.0.1"], {}, b"", None)
    assert plain_receiver.requests == []


# --- the outbox ---


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


def target(to: Receiver, tmp_path: Path, name: str = "hook", **other: Any) -> ExportTarget:
    key = tmp_path / f"{name}.key"
    if not key.exists():
        new_key(key, "hmac")
    fields = {"kind": "webhook", "keys": (key,), "says": "alert", "allow": ("localhost",), "ca": None}
    return ExportTarget(name=name, where=place(to.url, HTTP), **fields | other)


def work(outbox: Outbox, *targets: ExportTarget, now_us: int = NOW_US) -> Any:
    return work_off(outbox, targets, lambda: now_us, random.Random(1))


def test_a_letter_is_sent_once(outbox: Outbox, plain_receiver: Receiver, tmp_path: Path) -> None:
    assert outbox.put("hook", "sw_1", "case-1", '{"id":"sw_1"}', NOW_US)
    assert not outbox.put("hook", "sw_1", "case-1", '{"id":"sw_1"}', NOW_US)
    assert work(outbox, target(plain_receiver, tmp_path)).sent == 1
    assert work(outbox, target(plain_receiver, tmp_path)).sent == 0
    assert plain_receiver.bodies() == [b'{"id":"sw_1"}']
    assert plain_receiver.headers()["webhook-id"] == "sw_1"
    assert plain_receiver.headers()["content-type"].startswith("application/cloudevents+json")
    assert outbox.waiting() == []


def test_what_fails_waits_longer_each_time_and_is_kept_dead(
    outbox: Outbox, plain_receiver: Receiver, tmp_path: Path
) -> None:
    plain_receiver.answer = b"HTTP/1.1 500 no\r\n\r\n"
    outbox.put("hook", "sw_1", "case-1", "{}", NOW_US)
    now_us, waits = NOW_US, []
    for _ in BACK_OFF_S:
        assert work(outbox, target(plain_receiver, tmp_path), now_us=now_us).failed == 1
        (letter,) = outbox.waiting()
        waits.append((letter.next_us - now_us) / 1e6)
        assert work(outbox, target(plain_receiver, tmp_path), now_us=now_us).waiting == 1
        now_us = letter.next_us
    assert all(least <= wait <= 1.2 * least for wait, least in zip(waits, BACK_OFF_S, strict=True))
    assert work(outbox, target(plain_receiver, tmp_path), now_us=now_us).dead == 1
    (letter,) = outbox.dead()
    assert (letter.attempts, letter.event_id) == (len(BACK_OFF_S) + 1, "sw_1")
    assert "answers 500" in letter.last_error
    ids = {raw.split(b"webhook-id: ")[1].split(b"\r\n")[0] for raw in plain_receiver.requests}
    times = [raw.split(b"webhook-timestamp: ")[1].split(b"\r\n")[0] for raw in plain_receiver.requests]
    assert ids == {b"sw_1"}
    assert len(set(times)) == len(times)  # each attempt has its own signature
    outbox.revive(letter, now_us)
    plain_receiver.answer = b"HTTP/1.1 200 OK\r\n\r\n"
    assert work(outbox, target(plain_receiver, tmp_path), now_us=now_us).sent == 1
    assert outbox.dead() == []


def test_a_receiver_may_ask_to_wait_and_may_leave(
    outbox: Outbox, plain_receiver: Receiver, tmp_path: Path
) -> None:
    plain_receiver.answer = b"HTTP/1.1 429 slow\r\nRetry-After: 7200\r\n\r\n"
    outbox.put("hook", "sw_1", "case-1", "{}", NOW_US)
    work(outbox, target(plain_receiver, tmp_path))
    assert outbox.waiting()[0].next_us == NOW_US + 7_200_000_000
    plain_receiver.answer = b"HTTP/1.1 410 gone\r\n\r\n"
    outbox.put("hook", "sw_2", "case-1", "{}", NOW_US)
    assert work(outbox, target(plain_receiver, tmp_path)).dead == 1
    outbox.put("away", "sw_3", "case-1", "{}", NOW_US)
    assert work(outbox, target(plain_receiver, tmp_path)).dead == 1
    assert {letter.last_error[:20] for letter in outbox.dead()} == {
        "localhost:" + str(plain_receiver.port)[:10]
    } | {"no target is called "} or len(outbox.dead()) == 2


def test_a_target_that_fails_hinders_no_other(
    outbox: Outbox, plain_receiver: Receiver, tmp_path: Path
) -> None:
    for k in range(3):
        outbox.put("bad", f"sw_{k}", "case-1", "{}", NOW_US)
        outbox.put("hook", f"sw_{k}", "case-1", "{}", NOW_US + 1)
    port = free_port()  # nobody listens there
    bad = target(Receiver(f"http://localhost:{port}/", port), tmp_path, "bad")
    done = work(outbox, bad, target(plain_receiver, tmp_path), now_us=NOW_US + 2)
    assert (done.sent, done.failed, done.waiting) == (3, 1, 2)
    assert len(done.refusals) == 1


def test_two_never_work_at_once_and_a_crash_loses_nothing(
    outbox: Outbox, plain_receiver: Receiver, tmp_path: Path
) -> None:
    outbox.put("hook", "sw_1", "case-1", "{}", NOW_US)
    (outbox.folder / "waiting" / ".half").write_text('{"name"')  # an interrupted write
    (outbox.folder / "waiting" / ("f" * 40 + ".json")).write_text("not a letter")
    with outbox.hold_outbox() as mine:
        assert mine
        assert work(outbox, target(plain_receiver, tmp_path)).held_elsewhere
    assert work(outbox, target(plain_receiver, tmp_path)).sent == 1
    assert [path.suffix for path in (outbox.folder / "dead").iterdir()] == [".unreadable"]


def test_an_outbox_is_bounded_and_a_full_disk_is_said(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k in range(3):
        outbox.put("hook", f"sw_{k}", "c", "{}", NOW_US)
    monkeypatch.setattr("stillwatch.cases.exports.outbox.MOST", 3)
    with pytest.raises(ExportError, match="3 alerts wait already"):
        outbox.put("hook", "sw_9", "c", "{}", NOW_US)
    assert MOST == 10_000
    monkeypatch.undo()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ExportError, match="No space left"):
        outbox.put("hook", "sw_9", "c", "{}", NOW_US)
    monkeypatch.undo()
    assert len(outbox.waiting()) == 3
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot hold an outbox"):
        Outbox(tmp_path / "file")


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_syslog_keeps_records_apart(scheme: str, outbox: Outbox, tls: Path, tmp_path: Path) -> None:
    lines = ["CEF:0|a|b|1|x|one|3|", "CEF:0|a|b|1|x|two|3|msg=x\\=y"]
    outbox.put("siem", "sw_1", "case-1", "\n".join(lines), NOW_US)
    with receiver(tls if scheme == "tls" else None, framed=False) as to:
        where = place(f"{scheme}://localhost:{to.port}", ("tcp", "tls"))
        siem = ExportTarget("syslog", "siem", where, (), "alert", ("localhost",), tls / "cert.pem")
        assert work(outbox, siem).sent == 1
        raw = until(lambda: to.requests)[0]
    messages = []
    while raw:
        length, _, rest = raw.partition(b" ")
        messages.append(rest[: int(length)])
        raw = rest[int(length) :]
    assert [one.partition(b"\xef\xbb\xbf")[2].decode() for one in messages] == lines


def test_syslog_over_udp_is_one_datagram_a_record(outbox: Outbox, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as siem:
        siem.bind(("127.0.0.1", 0))
        siem.settimeout(60)
        where = ReceiverAddress("udp", "127.0.0.1", siem.getsockname()[1], "/")
        outbox.put("siem", "sw_1", "case-1", "CEF:0|one\nCEF:0|two", NOW_US)
        assert (
            work(outbox, ExportTarget("syslog", "siem", where, (), "alert", ("127.0.0.1",), None)).sent == 1
        )
        assert [siem.recv(9000)[-3:] for _ in range(2)] == [b"one", b"two"]


# --- messages for people ---

HOSTILE = "x" * 3_000 + " <!channel> <https://evil.example|us> [a](https://evil.example) \u202e\n*b*"


def message_by(sink: str, *of: Any) -> str:
    return sinks()[sink].write(case_message(*of))


@pytest.mark.parametrize("form", ["slack", "teams", "pagerduty"])
def test_a_message_is_short_links_to_the_case_and_lists_no_account(form: str) -> None:
    told = message_by(form, alert("acct-secret"), Activity.OPENED, "urn:stillwatch:1")
    assert told == message_by(form, alert("acct-secret"), Activity.OPENED, "urn:stillwatch:1")
    assert "acct-2" not in told
    assert "https://console.example/case/case-7f3a" in told
    for word in ("1,204 exchanges", "nobody has judged it", "Next: Throttle them."):
        assert word in told
    away = message_by(form, alert(permalink="/case/1"), Activity.UPDATED, "urn:stillwatch:1")
    assert "/case/1" not in away
    long = message_by(form, alert(title=HOSTILE, why=(CLAIM,) * 50), Activity.OPENED, "urn:stillwatch:1")
    assert len(long) < 8_000
    assert long.isascii()
    assert "\u202e" not in repr(json.loads(long))


def test_nothing_in_a_message_is_a_link_a_mention_or_a_format() -> None:
    title = "<!channel> <https://evil.example|us> [a](https://evil.example) & *b*"
    slack = json.loads(message_by("slack", alert(title=title), Activity.OPENED, "urn:x"))
    assert not set("<>") & set(slack["text"])
    words, link = slack["blocks"]
    assert (words["text"]["type"], words["text"]["emoji"]) == ("plain_text", False)
    assert link["text"]["text"] == "<https://console.example/case/case-7f3a|Open the case>"
    teams = json.loads(message_by("teams", alert(title=title), Activity.OPENED, "urn:x"))
    card = teams["attachments"][0]["content"]
    assert {one["type"] for one in card["body"]} == {"RichTextBlock"}  # a TextBlock would read Markdown
    assert title in card["body"][0]["inlines"][0]["text"]
    assert card["actions"] == [
        {"type": "Action.OpenUrl", "title": "Open the case", "url": "https://console.example/case/case-7f3a"}
    ]


def test_an_incident_is_one_for_a_case_and_ends_with_it() -> None:
    raised = json.loads(message_by("pagerduty", alert(), Activity.OPENED, "urn:x"))
    assert (raised["event_action"], raised["dedup_key"]) == ("trigger", alert().case)
    assert raised["payload"]["severity"] == "warning"
    assert len(raised["payload"]["summary"]) <= 1_024
    ended = json.loads(message_by("pagerduty", alert(state="closed"), Activity.CLOSED, "urn:x"))
    assert (ended["event_action"], ended["dedup_key"]) == ("resolve", alert().case)


def test_a_message_goes_out_with_no_signature_and_the_routing_key_is_in_no_outbox(
    outbox: Outbox, plain_receiver: Receiver, tmp_path: Path
) -> None:
    key = tmp_path / "pd.key"
    key.write_text("R0UTING\n")
    key.chmod(0o600)
    pager = target(plain_receiver, tmp_path, "pager", kind="pagerduty", keys=(key,))
    room = target(plain_receiver, tmp_path, "room", kind="slack", keys=())
    for one in (pager, room):
        outbox.put(one.name, "sw_1", "case-1", sinks()[one.kind].write(TRIAL), NOW_US)
    assert pagerduty.read_key(key) == "R0UTING"
    assert "R0UTING" not in "".join(p.read_text() for p in outbox.folder.rglob("*") if p.is_file())
    assert work(outbox, pager, room).sent == 2
    bodies = [json.loads(body) for body in plain_receiver.bodies()]
    assert sorted(body.get("routing_key", "") for body in bodies) == ["", "R0UTING"]
    for k in range(2):
        assert plain_receiver.headers(k)["content-type"] == "application/json"
        assert "webhook-signature" not in plain_receiver.headers(k)
    key.chmod(0o644)
    with pytest.raises(ExportError, match="others may read it"):
        pagerduty.read_key(key)


# --- the owner's list ---

GOOD = """
[[webhook]]
name = "on-call"
url = "https://hooks.example.com/stillwatch"
keys = ["on-call.key"]
says = "ocsf"

[[syslog]]
name = "siem"
url = "tls://siem.internal"
allow = ["siem.internal:6514"]
"""


def test_a_list_of_targets_is_read(tmp_path: Path) -> None:
    path = tmp_path / "alerts.toml"
    path.write_text(GOOD)
    hook, siem = read_targets(path)
    assert (hook.name, hook.says, hook.keys) == ("on-call", "ocsf", (tmp_path / "on-call.key",))
    assert (siem.where.port, siem.allow) == (6514, ("siem.internal:6514",))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[webhok]]\n", r":1: webhok: unknown key; did you mean `webhook`"),
        ("webhook = 3", r"write \[\[webhook\]\]"),
        ("[[webhook]\n", ":1: not TOML"),
        ('[[webhook]]\nurl = "https://x/"', ":1: webhook: `name` is missing"),
        ('[[webhook]]\nname = "a b"', ":2: webhook.name: is 'a b'; give letters, digits"),
        ("webhook = [3]", ":1: webhook: 3 is a whole number"),
        ('[[webhook]]\nname = "a"\nurl = "http://x/"\nkeys = ["k"]', "shows an alert to everybody"),
        ('[[webhook]]\nname = "a"\nurl = "https://x/"', "a webhook is signed"),
        ('[[webhook]]\nname = "a"\nurl = "https://x/"\nkeys = [1]', ":4: webhook.keys: 1 is a whole number"),
        ('[[webhook]]\nname = "a"\nurl = "ftp://x/"\nkeys = ["k"]', "webhook.url: ftp: give https"),
        ('[[webhook]]\nname = "a"\nurl = 3\nkeys = ["k"]', ":3: webhook.url: 3 is a whole number"),
        (GOOD + 'says = "x"', "syslog.says: unknown key"),
        (GOOD.replace('"ocsf"', '"x"'), "webhook.says: 'x' is not known"),
        (GOOD + 'secret = "x"', "syslog.secret: unknown key"),
        (GOOD.replace("on-call", "siem"), "two targets are called 'siem'"),
        ('[[slack]]\nname = "a"\nurl = "https://x/"\nkeys = ["k"]', "slack.keys: unknown key"),
        ('[[pagerduty]]\nname = "a"\nurl = "https://x/"', "routing key"),
        ("x = " + "[" * 5000, "not TOML"),
    ],
)
def test_a_bad_list_is_refused_with_its_place(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "alerts.toml"
    path.write_text(text)
    with pytest.raises(ExportError, match=why):
        read_targets(path)


def test_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be read"):
        read_targets(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ExportError, match=r"bytes\.toml:1: is not UTF-8"):
        read_targets(tmp_path / "bytes.toml")
    (tmp_path / "long.toml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(ExportError, match="larger than 1,048,576 bytes"):
        read_targets(tmp_path / "long.toml")


def test_a_letter_is_json_that_says_what_it_is(outbox: Outbox) -> None:
    outbox.put("hook", "sw_1", "case-\ud800", "{}", NOW_US)
    (path,) = (outbox.folder / "waiting").glob("*.json")
    assert json.loads(path.read_text())["case"] == "case-\ud800"
    assert oct((outbox.folder / "waiting").stat().st_mode & 0o777) == "0o700"
