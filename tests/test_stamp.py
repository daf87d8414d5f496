"""Time stamps: requested from a real `openssl ts`, checked, forged, and recorded on the trail."""

import base64
import contextlib
import hashlib
import json
import random
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import stamp_authority
from audit_tampers import BEGIN_US
from stamp_authority import Clock
from stillwatch.cases.audit import Broken, VerifiedTrail
from stillwatch.cases.audit.dated import check_stamps
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.audit.verify import verify
from stillwatch.cases.audit.witness import read_heads
from stillwatch.cases.bundle.timestamp import read_stamp
from stillwatch.cases.stamping import Authority, StampError, check, read_roots, stamp
from stillwatch.cases.store import Store
from stillwatch.cli.main import app

pytest.importorskip("rfc3161_client")
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
TEXT = b"what was there"


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clock]:
    with stamp_authority.answering(tmp_path_factory.mktemp("authority")) as made:
        yield made


@pytest.fixture(autouse=True)
def honest(clock: Clock) -> None:
    clock.instead = None


def authority(clock: Clock) -> Authority:
    return Authority(clock.url, read_roots(clock.root))


def test_a_stamp_is_asked_for_with_a_digest_alone_and_holds(clock: Clock) -> None:
    got = stamp(TEXT, authority(clock))
    assert (got.authority, got.accuracy_s) == ("CN=Clock of the tests", 1.0)
    assert hashlib.sha256(TEXT).digest() in clock.asked[-1]
    assert TEXT not in clock.asked[-1]
    assert check(got.answer, TEXT, read_roots(clock.root)) == got
    digest, at = read_stamp(got.answer)  # the bundle's own parser, without cryptography
    assert (digest, at) == (hashlib.sha256(TEXT).digest(), got.at.isoformat().replace("+00:00", "Z"))


def test_a_stamp_of_something_else_or_somebody_else_does_not_hold(clock: Clock, tmp_path: Path) -> None:
    got = stamp(TEXT, authority(clock))
    with pytest.raises(StampError, match="does not hold"):
        check(got.answer, TEXT + b".", read_roots(clock.root))
    stranger = stamp_authority.make(tmp_path / "stranger", "Clock of the tests")
    with pytest.raises(StampError, match="unable to get local issuer"):
        check(got.answer, TEXT, read_roots(stranger))
    clock.instead = 200, got.answer  # an old answer to a new question
    with pytest.raises(StampError, match="Nonce"):
        stamp(TEXT, authority(clock))


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (302, b"", "status 302"),
        (500, b"", "status 500"),
        (200, b"", "no time stamp"),
        (200, b"<html>", "no time stamp"),
        (200, b"0" * 70_000, "over 65,536 bytes"),
        (200, b"\x30\x03\x02\x01\x02", "no time stamp"),
    ],
)
def test_what_is_no_stamp_is_a_sentence(clock: Clock, status: int, body: bytes, said: str) -> None:
    clock.instead = status, body
    before = len(clock.asked)
    with pytest.raises(StampError, match=said):
        stamp(TEXT, authority(clock))
    assert len(clock.asked) == before + 1  # no redirect is followed


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_no_flipped_bit_changes_what_a_stamp_says(clock: Clock) -> None:
    got, rng, held = stamp(TEXT, authority(clock)), random.Random(3), 0
    for _ in range(200):
        changed = bytearray(got.answer)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        try:
            again = check(bytes(changed), TEXT, read_roots(clock.root))
        except StampError:
            continue
        held += 1  # an unsigned bit: the version of the envelope
        assert (again.at, again.authority) == (got.at, got.authority)
    assert held < 20


@given(st.binary(max_size=80))
def test_the_bundles_own_reader_takes_any_bytes(data: bytes) -> None:
    for whole in (data, b"\x30" + bytes([len(data)]) + data):
        with pytest.raises(ValueError):  # noqa: PT011 - any of them
            read_stamp(whole)


Node = tuple[int, "bytes | list[Node]"]  # of a stamp: a tag, with bytes or with its parts


def nodes(data: bytes) -> list[Node]:
    """Return the content of DER as a tree."""
    found: list[Node] = []
    while data:
        length, begin = data[1], 2
        if length > 127:
            begin, length = 2 + (length & 127), int.from_bytes(data[2 : 2 + (length & 127)], "big")
        content = data[begin : begin + length]
        found.append((data[0], nodes(content) if data[0] & 0x20 else content))
        data = data[begin + length :]
    return found


def within(node: Node) -> list[Node]:
    assert isinstance(node[1], list)
    return node[1]


def as_ber(node: Node, lengths: Mapping[int, int]) -> bytes:
    """Return a node as DER; as BER if a length, by its content's `id`, is open (0) or has this size."""
    tag, content = node
    data = content if isinstance(content, bytes) else b"".join(as_ber(one, lengths) for one in content)
    size = lengths.get(id(content), -1)
    if size == 0:
        return bytes([tag, 0x80]) + data + b"\0\0"
    if size < 0:
        size = 0 if len(data) < 128 else (len(data).bit_length() + 7) // 8
    return bytes([tag, *([0x80 | size, *len(data).to_bytes(size, "big")] if size else [len(data)])]) + data


def test_a_stamp_of_today_never_says_an_earlier_day(clock: Clock, tmp_path: Path) -> None:
    """The unsigned part of a stamp contains another TSTInfo, of 2024; open lengths lead a parser there."""
    answer, draw, taken = stamp(TEXT, authority(clock)).answer, random.Random(13), 0
    (top,) = nodes(answer)
    assert as_ber(top, {}) == answer
    token = within(top)[1]
    signed = within(within(within(token)[1])[0])
    packed = within(within(signed[2])[1])[0][1]
    assert isinstance(packed, bytes)
    (info,) = nodes(packed)
    within(info)[4] = 0x18, b"20240101000000Z"
    algorithm = within(signed[1])[0]
    within(algorithm)[1:] = [(0x30, [(0x04, as_ber(info, {}))])]
    envelope = [id(one[1]) for one in (top, within(top)[0], token, within(token)[1], *signed[1:3], algorithm)]
    ways = [{one: size} for one in envelope for size in (0, 3, 4)]
    ways += [{one: draw.choice([0, 0, 3, 5]) for one in draw.sample(envelope, 3)} for _ in range(50)]
    (tmp_path / "text").write_bytes(TEXT)
    words = ["openssl", "ts", "-verify", "-in", "answer", "-data", "text", "-CAfile", str(clock.root)]
    for lengths in ways:
        (tmp_path / "answer").write_bytes(as_ber(top, lengths))
        taken += not subprocess.run(words, capture_output=True, check=False, cwd=tmp_path).returncode
        with contextlib.suppress(ValueError):
            assert read_stamp(as_ber(top, lengths)) == read_stamp(answer), lengths
    assert taken > len(ways) / 2  # openssl accepts them: the parsed stamp must be the one that it verified


# --- the trail ---


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["audit", *words])


@pytest.mark.slow
def test_a_stamped_checkpoint_says_by_when_the_records_were_there(clock: Clock, tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/cases.db") as store:
        attach(store, tmp_path / "audit.key")
        with store.writing(BEGIN_US) as tx:
            tx.audit("ann", "note", "case-1", {}, None)
    heads, ca = str(tmp_path / "heads.jsonl"), str(clock.root)
    where = ("--folder", str(tmp_path))
    assert run("checkpoint", "--to", heads, "--stamp", clock.url, *where).exit_code == 2  # no root given
    done = run("checkpoint", "--to", heads, "--stamp", clock.url, "--stamp-ca", ca, *where)
    assert done.exit_code == 0, done.output
    assert "by CN=Clock of the tests" in done.stdout
    seen = run("verify", "--witness", heads, "--stamp-ca", ca, *where)
    assert seen.exit_code == 0
    assert "time stamp: records 1 to 2 were there on " in seen.stdout
    assert "not checked without the authority's root" in run("verify", "--witness", heads, *where).stdout
    told = json.loads(run("verify", "--witness", heads, "--stamp-ca", ca, "--json", *where).stdout)
    assert told["stamps"][0]["seq"] == 2
    # a partner who witnesses the line returns the stamp with it
    partner, back = str(tmp_path / "partner.key"), tmp_path / "back.jsonl"
    back.write_text(run("witness", heads, "--keep", str(tmp_path / "kept"), "--signing-key", partner).stdout)
    both = run("verify", "--witness", str(back), "--witness-key", f"{partner}.pub", "--stamp-ca", ca, *where)
    assert "time stamp: records 1 to 2" in both.stdout
    # what no named partner signed was compared with nothing: its stamp proves nothing
    alone = run("verify", "--witness", heads, "--witness-key", f"{partner}.pub", "--stamp-ca", ca, *where)
    assert "time stamp" not in alone.stdout


def test_a_stamp_of_another_head_is_named(clock: Clock, tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/cases.db") as store:
        trail = attach(store, tmp_path / "audit.key")
        with store.writing(BEGIN_US) as tx:
            tx.audit("ann", "note", "case-1", {}, None)
        with store.reading() as db:
            head = trail.signed_head(db, BEGIN_US)
        other = stamp(b"another head", authority(clock)).answer
        for text in (base64.b64encode(other).decode(), "no base64!", ""):
            line = json.dumps({**vars(head), "stamp": text})
            (tmp_path / "heads.jsonl").write_text(line + "\n")
            seen = read_heads(tmp_path / "heads.jsonl")
            found = verify(store, witness=seen)
            assert isinstance(found, VerifiedTrail)
            said = check_stamps(found, seen, read_roots(clock.root))
            assert isinstance(said, Broken)
            assert "time stamp does not hold" in said.why
