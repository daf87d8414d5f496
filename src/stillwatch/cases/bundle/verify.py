#!/usr/bin/env python3
"""Check a Stillwatch evidence bundle, with nothing but Python 3.11's own library.

    python3 -I -S verify.py [BUNDLE] [--key HEX-OR-FILE] [--stamp-ca FILE] [--json]

BUNDLE is the folder this file lies in, another one, or a .zip. It is checked whether every file is the one
that was signed, whether the records of the audit trail are signed and linked, and every claim that can be
computed again from the events in the bundle is computed again. Where a time stamp (RFC 3161) lies beside the
manifest, it is said what it names; with --stamp-ca, the PEM file of the authority's root, `openssl` checks
its signature. Exit code: 0 nothing differs, 1 something does, 2 there is no bundle to check.

What it cannot know: whether the events are what happened (the sender says so), and whether the key is the
sender's (ask him for it by another way, and name it with --key). A copy of this file that came with the
bundle could be made to lie; its SHA-256 is printed, to be compared with a copy from elsewhere.
"""

import base64
import hashlib
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

MANIFEST = "manifest.dsse.json"
STAMP = "manifest.tsr"  # an RFC 3161 TimeStampResp over the manifest; it cannot stand in the manifest itself
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:stillwatch:evidence-bundle:1"
LARGEST = 2 << 30  # bytes of all files together, unpacked
TOLD = ("case", "title", "exported_at", "exported_by", "stillwatch")  # of the manifest, to be shown
HOUR_US = 3_600_000_000
NEVER = 1 << 62
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# --- Ed25519 (RFC 8032, 5.1), verification only ---

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]  # extended homogeneous coordinates: X, Y, Z, T


def _point(data: bytes) -> Point | None:
    """Decode a point; None for what is none, or is written in another than the one way."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def _sum(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _times(k: int, p: Point) -> Point:
    q = (0, 1, 1, 0)
    while k:
        if k & 1:
            q = _sum(q, p)
        p, k = _sum(p, p), k >> 1
    return q


_BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = _point(_BASE_Y.to_bytes(32, "little")) or (0, 1, 1, 0)


def is_signed(key: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether an Ed25519 signature is this raw public key's."""
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r, s = _point(key), _point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    left, right = _times(s, BASE), _sum(r, _times(h, a))
    same_x = (left[0] * right[2] - right[0] * left[2]) % P == 0
    return same_x and (left[1] * right[2] - right[1] * left[2]) % P == 0


# --- the files ---


class Bad(Exception):
    """The bundle cannot be checked at all."""


class Bundle:
    """The files of a bundle, in a folder or a zip, by name with slashes."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._zip: zipfile.ZipFile | None = None
        if place.is_dir():
            self.names, self.odd = self._in_folder()
            return
        try:
            self._zip = zipfile.ZipFile(place)
        except (OSError, zipfile.BadZipFile) as why:
            raise Bad(f"{place}: is neither a folder nor a zip that can be read ({why})") from None
        size = sum(entry.file_size for entry in self._zip.infolist())
        if size > LARGEST:
            raise Bad(f"{place}: would unpack to {size:,} bytes, more than any bundle")
        names = [entry.filename for entry in self._zip.infolist() if not entry.is_dir()]
        top = {name.partition("/")[0] for name in names}
        self._inside = f"{top.pop()}/" if len(top) == 1 and MANIFEST not in names else ""
        self.names = [name.removeprefix(self._inside) for name in names]
        self.odd = [f"{name}: stands in the zip twice" for name, n in Counter(self.names).items() if n > 1]

    def _in_folder(self) -> tuple[list[str], list[str]]:
        names, odd = [], []
        for at, folders, files in os.walk(self.place):
            for name in sorted(files + [one for one in folders if os.path.islink(os.path.join(at, one))]):
                path = Path(at, name)
                shown = path.relative_to(self.place).as_posix()
                if path.is_symlink() or not path.is_file():
                    odd.append(f"{shown}: is no plain file")
                elif "__pycache__" not in path.parts:
                    names.append(shown)
        return sorted(names), odd

    def read(self, name: str) -> bytes:
        """Raises: OSError, ValueError for what cannot be read."""
        if self._zip is None:
            path = self.place / name
            if path.stat().st_size > LARGEST:
                raise ValueError("is larger than any file of a bundle")
            return path.read_bytes()
        try:
            if self._zip.getinfo(self._inside + name).file_size > LARGEST:
                raise ValueError("is larger than any file of a bundle")
            return self._zip.read(self._inside + name)
        except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError, zlib.error) as why:
            raise ValueError(f"cannot be unpacked ({why})") from None

    def json(self, name: str) -> Any:
        return json.loads(self.read(name))

    def lines(self, name: str) -> list[Any]:
        return [json.loads(line) for line in self.read(name).split(b"\n") if line]


# --- the manifest: an in-toto Statement in a DSSE envelope ---


def pae(payload_type: str, payload: bytes) -> bytes:
    """Give the bytes that a DSSE signature is over (DSSE 1.0, pre-authentication encoding)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def check_files(bundle: Bundle, key: str | None) -> tuple[list[str], dict[str, Any]]:
    """Check the signature and every file; give what is wrong, and the statement."""
    wrong = list(bundle.odd)
    try:
        envelope = json.loads(bundle.read(MANIFEST))
        payload = base64.b64decode(envelope["payload"], validate=True)
        signed = envelope["signatures"][0]
        signer, signature = bytes.fromhex(signed["keyid"]), base64.b64decode(signed["sig"], validate=True)
        statement = json.loads(payload)
        listed = {str(one["name"]): one["digest"]["sha256"] for one in statement["subject"]}
        told = {name: str(statement["predicate"][name]) for name in TOLD}
        sound = envelope["payloadType"] == PAYLOAD_TYPE and statement["_type"] == STATEMENT
        sound = sound and statement["predicateType"] == PREDICATE and len(envelope["signatures"]) == 1
        # One spelling only: what was written can be written again from what was read.
        again = json.dumps(envelope, indent=1, sort_keys=True).encode() + b"\n"
        sound = sound and again == bundle.read(MANIFEST) and len(listed) == len(statement["subject"])
        sound = sound and json.dumps(statement, sort_keys=True, separators=(",", ":")).encode() == payload
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as why:
        return [*wrong, f"{MANIFEST}: cannot be read ({type(why).__name__}: {why})"], {}
    if not sound:
        wrong.append(f"{MANIFEST}: is not the manifest of an evidence bundle, or was written anew")
    if not is_signed(signer, signature, pae(PAYLOAD_TYPE, payload)):
        wrong.append(f"{MANIFEST}: is not signed by the key that it names")
    if key is not None and signer.hex() != key:
        wrong.append(f"{MANIFEST}: is signed by key {signer.hex()}, not by the one that you named")
    names = set(bundle.names) - {MANIFEST, STAMP}
    for name in sorted(names | set(listed)):
        if name not in listed:
            wrong.append(f"{name}: is not in the manifest")
        elif name not in names:
            wrong.append(f"{name}: is missing")
        else:
            try:
                found = hashlib.sha256(bundle.read(name)).hexdigest()
            except (OSError, ValueError) as why:
                wrong.append(f"{name}: {why}")
                continue
            if found != listed[name]:
                wrong.append(f"{name}: is not the file that was signed")
    return wrong, told | {"signed_by": signer.hex()}


# --- the time stamp (RFC 3161, 2.4.2; DER, X.690) ---


def _der(data: bytes, *path: int) -> bytes:
    """Give the content of an element: by its place in the first element, its place in that, and so on.

    Raises: ValueError.
    """
    for place in (0, *path):
        at = 0
        for k in range(place + 1):
            if at + 2 > len(data):
                raise ValueError("it ends too early")
            length, begin = data[at + 1], at + 2
            if length > 127:
                begin += length & 127
                length = int.from_bytes(data[at + 2 : begin], "big")
            if begin + length > len(data):
                raise ValueError("an element is longer than what holds it")
            if k < place:
                at = begin + length
        data = data[begin : begin + length]
    return data


def read_stamp(answer: bytes) -> tuple[bytes, str]:
    """Give the digest that a stamp names and its time, ISO in UTC. Its signature is not looked at here.

    Raises: ValueError.
    """
    info = _der(answer, 1, 1, 0, 2, 1, 0)  # response -> token -> SignedData -> its content: a TSTInfo
    text = _der(info, 4).decode("ascii").removesuffix("Z")
    at = datetime.strptime(text.partition(".")[0], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return _der(info, 2, 1), at.isoformat().replace("+00:00", "Z")


def check_stamp(bundle: Bundle, roots: str | None) -> tuple[list[str], str]:
    """Say what the stamp beside the manifest comes to. Raises: Bad where it was to be checked and cannot."""
    if STAMP not in bundle.names:
        wanted = [f"{STAMP}: there is none, and you named whose it should be"] if roots else []
        return wanted, "no time stamp: that it was made at that time is the sender's word"
    try:
        answer, manifest = bundle.read(STAMP), bundle.read(MANIFEST)
        named, at = read_stamp(answer)
    except (OSError, ValueError) as why:
        return [f"{STAMP}: is no time stamp that can be read ({why})"], ""
    if named not in (hashlib.new(name, manifest).digest() for name in ("sha256", "sha384", "sha512")):
        return [f"{STAMP}: is the time stamp of something else, not of this {MANIFEST}"], ""
    if roots is None:
        said = (
            f"a time stamp says that all this was there at {at}. WHO signed it is not checked here; name the"
        )
        return [], f"{said} authority's root (--stamp-ca FILE, needs openssl)"
    trouble = _openssl(answer, manifest, roots, at)
    if trouble:
        return [f"{STAMP}: is not signed by an authority under {roots} ({trouble})"], ""
    said = f"all this was there at {at}, by the clock of an authority under {roots}; openssl checked its"
    return [], f"{said} signature. When each thing was written before that, it cannot know"


def _openssl(answer: bytes, manifest: bytes, roots: str, at: str) -> str:
    """Have openssl check a stamp; give what it says where it does not hold. Raises: Bad."""
    tool = shutil.which("openssl")
    if tool is None:
        raise Bad("--stamp-ca needs openssl, and there is none on this machine")
    if not Path(roots).is_file():
        raise Bad(f"--stamp-ca: {roots}: no such file")
    then = int(datetime.fromisoformat(at).timestamp())  # a certificate may have run out since
    with tempfile.TemporaryDirectory() as name:
        for file, data in ((STAMP, answer), (MANIFEST, manifest)):
            Path(name, file).write_bytes(data)
        words = [tool, "ts", "-verify", "-in", f"{name}/{STAMP}", "-data", f"{name}/{MANIFEST}"]
        words += ["-CAfile", roots, "-attime", str(then)]
        done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    if done.returncode == 0 and b"Verification: OK" in done.stdout + done.stderr:
        return ""
    said = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "error" in line.lower()]
    return said[0].split(":", 2)[-1][:200] if said else f"openssl ends with {done.returncode}"


# --- the records of the audit trail ---


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def check_audit(bundle: Bundle) -> tuple[list[str], str]:
    """Check the extract of the audit trail: give what is wrong, and a sentence."""
    wrong: list[str] = []
    rows = bundle.lines("audit.ndjson")
    head = bundle.json("audit_head.json")
    said = {name: head[name] for name in ("at_us", "chain", "key", "seal", "seq")}
    keys = {span["key"]: span for span in head["keys"]}
    if not is_signed(
        bytes.fromhex(head["key"]),
        bytes.fromhex(head["signature"]),
        b"stillwatch.audit.head.1\n" + _canonical(said),
    ):
        wrong.append("audit_head.json: is not signed by the key that it names")
    linked, before = 0, None
    names = ("at_us", "detail", "prev", "sealed", "seq", "subject", "what", "who")
    for row in rows:
        seq = row["seq"]
        body = b"stillwatch.audit.1\n" + _canonical({name: row[name] for name in names})
        signer = next((key for key, span in keys.items() if span["first"] <= seq <= span["last"]), "")
        message = b"stillwatch.audit.record.1\n" + row["hash"].encode()
        if hashlib.sha256(body).hexdigest() != row["hash"]:
            wrong.append(f"audit.ndjson: record {seq} is not what was hashed")
        elif not signer or not is_signed(bytes.fromhex(signer), bytes.fromhex(row["signature"]), message):
            wrong.append(f"audit.ndjson: record {seq} is not signed by the trail's key")
        if before is not None and before["seq"] + 1 == seq:
            linked += 1
            if hashlib.sha256((before["hash"] + before["signature"]).encode()).hexdigest() != row["prev"]:
                wrong.append(f"audit.ndjson: record {seq} does not follow on record {seq - 1}")
        before = row
    sentence = (
        f"{len(rows)} records of the audit trail are signed, {linked} of them linked to the one before; the "
        f"trail stood at record {head['seq']}, {head['seal'][:16]}…, and what lies between is not here"
    )
    return wrong, sentence


# --- computing claims again ---


def us(text: str) -> int:
    """Read an ISO time as UTC microseconds."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


class Evidence:
    """The events of the finding's accounts, and what the sender says of all others."""

    def __init__(self, bundle: Bundle) -> None:
        self.finding = bundle.json("finding.json")
        self.campaign = self.finding["campaign"]["finding"]
        self.more = self.finding["campaign"]["evidence"]
        self.alarm_us = us(self.campaign["alarm_at"])
        self.accounts = bundle.lines("accounts.ndjson")
        names, since = set(self.campaign["accounts"]), self.more.get("since", {})
        self.named = [k for k, one in enumerate(self.accounts) if one["account"] in names]
        mine = set(self.named)
        self.events = [one for one in bundle.lines("events.ndjson") if one["a"] in mine]
        begin = {k: us(since[name]) for k in mine if (name := self.accounts[k]["account"]) in since}
        self.harvest = [one for one in self.events if one["t"] >= begin.get(one["a"], NEVER)]
        self.answered = [one for one in self.harvest if one["s"] == 200]
        self.others = bundle.json("population.json")

    def party(self, account: int) -> str | int:
        """Who counts as one: an organisation, else the account."""
        return self.accounts[account]["org"] or account

    def reasons(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        yield from zip(self.campaign["reasons"], self.more["reasons"], strict=True)


def mostly(events: list[Any], name: str) -> dict[int, Any]:
    """Each account's commonest value; ties to the smaller (a missing one is the smallest)."""
    seen: dict[int, Counter[Any]] = defaultdict(Counter)
    for one in events:
        seen[one["a"]][one[name]] += 1
    order: Callable[[Any], Any] = lambda v: (v is not None, v)  # noqa: E731 - a key, used twice
    return {a: min(n, key=lambda v, n=n: (-n[v], order(v))) for a, n in seen.items()}  # type: ignore[misc]


def tail(count: int, members: int, share: float, correlation: float) -> float:
    """P(at least `count` of `members` choose what a share chooses), beta-binomial (Skellam 1948)."""
    strength = (1 - correlation) / correlation
    a, b = share * strength, (1 - share) * strength

    def beta(x: float, y: float) -> float:
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    total = 0.0
    for k in range(count, members + 1):
        ways = -math.log(members + 1) - beta(members - k + 1, k + 1)
        total += math.exp(ways + beta(k + a, members - k + b) - beta(a, b))
    return min(max(total, 1e-300), 1.0)


def combine(p_values: list[float]) -> float:
    """Cauchy combination (Liu and Xie 2020); Bonferroni's bound below 1e-10."""
    least = min(p_values)
    if least < 1e-10:
        return min(1.0, least * len(p_values))
    angles = [math.tan((0.5 - min(max(p, 1e-15), 0.99)) * math.pi) for p in p_values]
    return 0.5 - math.atan(sum(angles) / len(angles)) / math.pi


def quantile(values: list[float], q: float) -> float:
    """Linear between the two nearest, as NumPy's default."""
    values = sorted(values)
    at = (len(values) - 1) * q
    low = math.floor(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (at - low)


SETTINGS = {"model": "m", "max_tokens": "x", "temperature_milli": "c"}
FLOOR = {"model": 0.03, "max_tokens": 0.08, "temperature_milli": 0.08}  # docs/evidence.md, 3
CEILING = {"model": 0.08, "max_tokens": 0.15, "temperature_milli": 0.15}
SAME = {"same_model": "model", "same_token_limit": "max_tokens", "same_temperature": "temperature_milli"}
WINDOW_US = 120 * HOUR_US  # in which a look counts
MOST_CARRIERS = 10_000_000  # more would take too long


def setting(e: Evidence, name: str) -> dict[str, float]:
    """Actual and baseline of a settings clue."""
    own = mostly(e.harvest, SETTINGS[name])
    counted = Counter(own.values())
    value = min(counted, key=lambda v: (-counted[v], v is not None, v))
    others = e.others["mostly"][name]
    total = sum(n for _, n in others)
    baseline = next((n for v, n in others if v == value), 0) / total if total else 0.0
    return {"actual": counted[value] / len(own), "baseline": baseline, "n": len(own)}


def repeated_question(e: Evidence) -> dict[str, float]:
    long = [one for one in e.harvest if one["w"] >= 6]
    senders: dict[str, set[int]] = defaultdict(set)
    for one in long:
        senders[one["q"]].add(one["a"])
    outside = e.others["prompts"]
    shared = sum(
        len(senders[one["q"]]) >= 2 and len(senders[one["q"]]) > outside.get(one["q"], 0) for one in long
    )
    return {"actual": shared / len(long), "n": len(long)}


def _rarity(count: int, whole: int) -> float:
    return math.log2(whole / max(count, 1))


def _networks(e: Evidence) -> dict[int, float]:
    """Each account that shares a network hardly anyone else is behind, with the bits of the rarest."""
    mine, every = defaultdict(set), defaultdict(set)
    for one in e.events:
        every[one["n"]].add(one["a"])
    for one in e.harvest:
        mine[one["n"]].add(one["a"])
    outside, whole = e.others["networks"], e.others["accounts"]
    behind = {n: len(who) + outside.get(n, 0) for n, who in every.items() if n is not None}
    useful = {n for n in behind if len(mine[n]) >= 2 and behind[n] - len(mine[n]) <= 3.0 * len(mine[n])}
    best: dict[int, float] = {}
    for n in useful:
        for a in mine[n]:
            best[a] = max(best.get(a, 0.0), _rarity(behind[n], whole))
    return best


def shared_network(e: Evidence) -> dict[str, float]:
    best = _networks(e)
    share = len(best) / len(e.named)
    bits = min(40.0, 2 * statistics.median(best.values()) * share) if best else 0.0
    return {"actual": share, "bits": bits, "n": len(e.named)}


def shared_payment(e: Evidence) -> dict[str, float]:
    mine = Counter(
        e.accounts[k]["payment"] for k in e.named if e.accounts[k]["payment"] and not e.accounts[k]["org"]
    )
    shared = {token: n for token, n in mine.items() if n >= 2}
    return {"actual": sum(shared.values()) / len(e.named), "n": len(e.named)}


def signup_burst(e: Evidence) -> dict[str, float]:
    times = sorted(e.accounts[k]["created_us"] for k in e.named if e.accounts[k]["created_us"])
    within = [sum(begin <= t <= begin + 48 * HOUR_US for t in times) for begin in times]
    count = max(within)
    other = e.others["signups"]
    baseline = (other["inside"] + 0.5) / (other["others"] + 1)
    p_value = min(1.0, len(times) * tail(count, len(times), round(baseline, 6), 0.1))
    bits = min(40.0, -math.log2(max(p_value, 1e-12)))
    return {"actual": count / len(times), "baseline": baseline, "bits": bits, "n": len(times)}


def even_shares(e: Evidence) -> dict[str, float]:
    volumes = [math.log(n) for n in Counter(one["a"] for one in e.harvest).values()]
    return {"actual": statistics.pstdev(volumes), "bits": 2.0, "n": len(volumes)}


def complementary_parts(e: Evidence) -> dict[str, float]:
    sent = Counter(one["q"] for one in e.harvest)
    return {
        "actual": sum(sent[one["q"]] > 1 for one in e.harvest) / len(e.harvest),
        "bits": 2.0,
        "n": len(e.harvest),
    }


def complementary_load(e: Evidence) -> dict[str, float]:
    followed = throttled = 0
    for k, one in enumerate(e.harvest):
        if one["s"] != 429:
            continue
        throttled += 1
        for after in e.harvest[k + 1 :]:
            if after["t"] > one["t"] + 60_000_000:
                break
            if after["a"] != one["a"]:
                followed += 1
                break
    hours = len({one["t"] // HOUR_US for one in e.harvest})
    expected = 1 - math.exp(-len(e.harvest) / max(hours, 1) / 60)
    bits = min(40.0, -math.log2(max(_at_least(followed, throttled, expected), 1e-12)))
    return {"actual": followed / throttled, "baseline": expected, "bits": bits, "n": throttled}


def _at_least(k: int, n: int, p: float) -> float:
    """P(at least k of n), binomial."""
    return min(1.0, sum(math.comb(n, x) * p**x * (1 - p) ** (n - x) for x in range(k, n + 1)))


def no_dialogue(e: Evidence) -> dict[str, float]:
    turns = [one["r"] for one in e.harvest if one["r"] > 0]
    return {"actual": sum(turn > 1 for turn in turns) / len(turns), "bits": 1.0, "n": len(e.harvest)}


def logprob_harvest(e: Evidence) -> dict[str, float]:
    return {"actual": sum((one["g"] or 0) > 0 for one in e.harvest) / len(e.harvest), "n": len(e.harvest)}


def reconnaissance(e: Evidence) -> dict[str, float]:
    return {"actual": sum(one["f"] == 3 for one in e.harvest) / len(e.harvest), "n": len(e.harvest)}


def synchronous_start(e: Evidence) -> dict[str, float]:
    first: dict[int, float] = {}
    for one in e.harvest:
        first.setdefault(one["a"], one["t"])
    times = list(first.values())
    return {"actual": (quantile(times, 0.9) - quantile(times, 0.1)) / HOUR_US, "n": len(times)}


def volume(e: Evidence) -> dict[str, float]:
    return {"actual": float(len(e.harvest)), "n": len(e.harvest)}


def long_outputs(e: Evidence) -> dict[str, float]:
    sized = [one["o"] for one in e.answered if one["o"] is not None]
    fixed = sum(math.floor(math.log2(o + 1) * 2**26 + 0.5) for o in sized)
    return {"actual": fixed / len(sized) / 2**26}


def lexical(bit: int) -> Callable[[Evidence], dict[str, float]]:
    def share(e: Evidence) -> dict[str, float]:
        return {"actual": sum(one["k"] >> bit & 1 for one in e.harvest) / len(e.harvest), "n": len(e.harvest)}

    return share


AGAIN: Mapping[str, Callable[[Evidence], dict[str, float]]] = {
    "same_model": lambda e: setting(e, "model"),
    "same_token_limit": lambda e: setting(e, "max_tokens"),
    "same_temperature": lambda e: setting(e, "temperature_milli"),
    "repeated_question": repeated_question,
    "shared_network": shared_network,
    "shared_payment": shared_payment,
    "signup_burst": signup_burst,
    "even_shares": even_shares,
    "complementary_parts": complementary_parts,
    "complementary_load": complementary_load,
    "no_dialogue": no_dialogue,
    "logprob_harvest": logprob_harvest,
    "reconnaissance": reconnaissance,
    "synchronous_start": synchronous_start,
    "volume_and_coverage": volume,
    "long_outputs": long_outputs,
    "trace_elicitation": lexical(0),
    "rubric_grading": lexical(1),
    "task_generation": lexical(3),
}
RAISING = ("coordinated_harvest", "lone_harvest", "holds")  # whose p-value is the finding's
WHY_NOT = {
    "finding": "the finding does not keep what the alarm's test counted; see the claims `conduct`",
    "tested": "those who carried the wording at that hour, and what all others did then, are not in the "
    "bundle: it is taken as stated, and the p-value is computed from it",
    "links": "which of its accounts are tied by this clue needs the whole log",
    "coordinated_harvest": "it is of the last look, at the whole log",
    "lone_harvest": "its rank needs all other payers' events",
    "holds": "the draw is not in the bundle; who has the schedule's key can make it again",
    "same_model": "its bits are the test's, whose counts the finding does not keep; see `conduct`",
    "same_token_limit": "its bits are the test's, whose counts the finding does not keep; see `conduct`",
    "same_temperature": "its bits are the test's, whose counts the finding does not keep; see `conduct`",
    "shared_wording": "which phrases were new needs the whole log; see the claims `markers`",
    "shared_frame": "which openings were new needs the whole log; see the claims `markers`",
}


def links(e: Evidence) -> dict[str, float]:
    """What ties single accounts to the rest, clue by clue: how many are tied, and the most bits of one."""
    out: dict[str, float] = {}

    def tell(clue: str, bits: list[float]) -> None:
        out[f"{clue}.accounts"], out[f"{clue}.most_bits"] = len(bits), round(max(bits, default=0.0), 3)

    told = {reason["detector"] for reason, _ in e.reasons()}
    for clue, name in SAME.items():
        if clue in told:
            found = setting(e, name)
            one = min(40.0, math.log2(1 / max(found["baseline"], 0.02)))
            tell(clue, [one] * round(found["actual"] * found["n"]))
    if "shared_network" in told:
        tell("shared_network", [min(40.0, bits) for bits in _networks(e).values()])
    if "signup_burst" in told:
        found = signup_burst(e)
        one = min(6.0, math.log2(1 / found["baseline"]))
        tell("signup_burst", [one] * round(found["actual"] * found["n"]))
    return out


def harvested(e: Evidence) -> dict[str, Any]:
    """The harvest of the finding, counted again."""
    hours: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    prompts: Counter[str] = Counter()
    value = 0.0
    for one in e.answered:
        tokens = max(one["o"] or 0, 0)
        hours[one["t"] // HOUR_US][0] += 1
        hours[one["t"] // HOUR_US][1] += tokens
        prompts[one["q"]] += 1
        value += tokens / prompts[one["q"]] if one["f"] not in (2, 3) else 0.0
    before = [one for one in e.answered if one["t"] < e.alarm_us]
    return {
        "accounts": len(e.named),
        "exchanges": len(e.answered),
        "output_tokens": sum(max(one["o"] or 0, 0) for one in e.answered),
        "exchanges_at_alarm": len(before),
        "output_tokens_at_alarm": sum(max(one["o"] or 0, 0) for one in before),
        "value_tokens": round(value, 3),
        "unique_prompts": len(prompts),
        "timeline": [[hour * HOUR_US, *hours[hour]] for hour in sorted(hours)],
    }


def conduct(e: Evidence) -> dict[str, float]:
    """How alike the accounts act: tail probabilities at the least and the largest correlation granted."""
    out: dict[str, float] = {}
    for scope, events in (
        ("harvest", e.harvest),
        ("at_alarm", [o for o in e.harvest if o["t"] < e.alarm_us]),
    ):
        low, high = [], []
        for name, key in SETTINGS.items():
            own = Counter(mostly(events, key).values())
            others = e.others["mostly"][name]
            total = sum(n for _, n in others)
            if not own or not total:
                continue
            value = min(own, key=lambda v: (-own[v], v is not None, v))
            share = (next((n for v, n in others if v == value), 0) + 0.5) / (total + 1)
            members = sum(own.values())
            tries = min(8, len(others) + 1)
            low.append(min(1.0, tries * tail(own[value], members, share, FLOOR[name])))
            high.append(min(1.0, tries * tail(own[value], members, share, CEILING[name])))
            out[f"{scope}.{name}.count"], out[f"{scope}.{name}.of"] = own[value], members
            out[f"{scope}.{name}.others"] = share
        if low:
            out[f"{scope}.p_least_correlation"], out[f"{scope}.p_most_correlation"] = (
                combine(low),
                combine(high),
            )
    return out


def alarm_test(e: Evidence) -> dict[str, float]:
    """The alarm's p-value from what its test counted, and how many of those counted the events show.

    What the test counted is taken as stated. Recounted: parties among the accounts here (an organisation is
    one) that were harvesting in the five days before the alarm, and those of them that mostly used the value.
    """
    tested = e.more.get("tested", [])
    if not tested or impossible(tested, e.others["accounts"]):
        return {}
    p_values: dict[str, float] = {}
    out: dict[str, float] = {}
    counts = [dict(o, a=e.party(o["a"])) for o in e.harvest if e.alarm_us - WINDOW_US <= o["t"] < e.alarm_us]
    for one in tested:
        name, share = one["setting"], one["share"]
        chance = tail(one["count"], one["of"], share, one["correlation"]) if share < 1 else 1.0
        p_values[name] = min(1.0, one["tries"] * chance)
        own = mostly(counts, SETTINGS[name]).values()
        out[f"tested.{name}.count_here"] = sum(value == one["value"] for value in own)
        out[f"tested.{name}.of_here"] = len(own)
    out["finding.p_value"] = combine(list(p_values.values()))
    told = {reason["detector"] for reason, _ in e.reasons()}
    bits = {"coordinated_harvest": max(out["finding.p_value"], 1e-300)}
    bits |= {clue: p_values[name] for clue, name in SAME.items() if name in p_values}
    for detector, p in bits.items():
        if detector in told:
            out[f"reason.{detector}.bits"] = round(min(40.0, -math.log2(p)), 3)
    return out


def impossible(tested: list[Any], accounts: int) -> list[str]:
    """What of the counts that a test states no test of a scan could have had."""
    wrong = []
    for one in tested:
        name = one["setting"]
        numbers = [one[word] for word in ("count", "of", "tries")]
        if name not in SETTINGS or any(type(number) is not int for number in numbers):
            wrong.append(f"finding.json: tested {_short(name)}: is no setting with whole counts")
            continue
        for word, least, most in (
            ("of", 1, min(accounts, MOST_CARRIERS)),
            ("count", 1, one["of"]),
            ("tries", 1, 8),
            ("share", 0.001, 1.0),
            ("correlation", FLOOR[name], CEILING[name]),
        ):
            if not least <= one[word] <= most:
                found = _short(one[word])
                wrong.append(f"finding.json: tested {name}: {word} is {found}, and can be {least} to {most}")
    if len({one["setting"] for one in tested}) < len(tested):
        wrong.append("finding.json: a setting is tested twice")
    return wrong


def markers(e: Evidence) -> dict[str, float]:
    """What the accounts' wording shares that few others have: markers by kind, and how unlikely the best is.

    Null: whoever carries a marker is a random draw of the log's accounts. The accounts were found by their
    wording, so these p-values are descriptions, not tests.
    """
    out: dict[str, float] = {}
    whole, n = e.others["accounts"], len(e.named)
    for kind in ("p", "h", "l", "q", "y"):
        carried: dict[str, set[int]] = defaultdict(set)
        for one in e.harvest:
            found = one[kind]
            for token in (
                [found[k : k + 8] for k in range(0, len(found), 8)] if kind == "p" else [found] * bool(found)
            ):
                carried[token].add(one["a"])
        outside = e.others["markers"][kind]
        own = {
            t: who for t, who in carried.items() if len(who) >= 3 and outside.get(t, 0) <= len(who) * 2 / 3
        }
        if not own:
            continue
        tied = {a for who in own.values() for a in who}
        best = min(_overlap(len(who), len(who) + outside.get(t, 0), n, whole) for t, who in own.items())
        out[f"{kind}.markers"], out[f"{kind}.accounts_tied"] = len(own), len(tied)
        out[f"{kind}.median_accounts"] = statistics.median(len(who) for who in own.values())
        out[f"{kind}.best_log10_p_corrected"] = min(0.0, best + math.log10(len(carried)))
    return out


def _overlap(m: int, carriers: int, n: int, whole: int) -> float:
    """log10 P(at least m of n drawn accounts carry what `carriers` of all carry): hypergeometric."""

    def ways(a: int, b: int) -> float:
        return math.lgamma(a + 1) - math.lgamma(b + 1) - math.lgamma(a - b + 1)

    last = min(n, carriers)
    terms = [
        ways(carriers, x) + ways(whole - carriers, n - x) - ways(whole, n)
        for x in range(m, last + 1)
        if n - x <= whole - carriers
    ]
    if not terms:
        return 0.0
    top = max(terms)
    return min(0.0, (top + math.log(sum(math.exp(t - top) for t in terms))) / math.log(10))


def computed(bundle: Bundle) -> dict[str, Any]:
    """All that can be computed again, by name."""
    e = Evidence(bundle)
    if not e.more.get("since"):
        return {}
    out: dict[str, Any] = {f"harvest.{name}": value for name, value in harvested(e).items()}
    if e.harvest:
        out |= {f"conduct.{name}": value for name, value in conduct(e).items()}
        out |= alarm_test(e)
        out |= {f"markers.{name}": value for name, value in markers(e).items()}
        out |= {f"links.{name}": value for name, value in links(e).items()}
        for reason, _ in e.reasons():
            if (again := AGAIN.get(reason["detector"])) is not None:
                out |= {f"reason.{reason['detector']}.{name}": value for name, value in again(e).items()}
    return out


def stated(finding: Mapping[str, Any]) -> dict[str, Any]:
    """What the finding itself states, under the same names."""
    found, more = finding["campaign"]["finding"], finding["campaign"]["evidence"]
    out: dict[str, Any] = {"finding.p_value": found["p_value"], "harvest.accounts": len(found["accounts"])}
    for name in ("exchanges", "output_tokens"):
        out[f"harvest.{name}"] = found["harvest"][name]
        out[f"harvest.{name}_at_alarm"] = found["harvest_at_alarm"][name]
    out["harvest.value_tokens"] = more["value_tokens"]
    if more.get("unique_prompts") is not None:
        out["harvest.unique_prompts"] = more["unique_prompts"]
    out["harvest.timeline"] = [[us(hour), n, tokens] for hour, n, tokens in more["timeline"]]
    for reason, numbers in zip(found["reasons"], more["reasons"], strict=True):
        for name in ("actual", "baseline", "n"):
            if numbers[name] is not None:
                out[f"reason.{reason['detector']}.{name}"] = numbers[name]
        out[f"reason.{reason['detector']}.bits"] = reason["bits"]
    for one in more.get("tested", []):
        for name in ("count", "of", "share", "tries", "correlation"):
            out[f"tested.{one['setting']}.{name}"] = one[name]
    tied: dict[str, list[float]] = defaultdict(list)
    for _, _, clue, bits, *_ in more["links"]:
        tied[clue].append(bits)
    for clue, all_bits in tied.items():
        out[f"links.{clue}.accounts"], out[f"links.{clue}.most_bits"] = len(all_bits), max(all_bits)
    return out


def same(a: Any, b: Any) -> bool:
    """Tell whether two values are the same: numbers to 9 digits with rounding, all else exactly."""
    if (
        isinstance(a, bool)
        or isinstance(b, bool)
        or not (isinstance(a, int | float) and isinstance(b, int | float))
    ):
        return bool(a == b)
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    return math.isclose(a, b, rel_tol=2e-8, abs_tol=6e-4 if abs(a) >= 1 else 1e-9)


def same_chance(a: float, b: float) -> bool:
    """Tell whether two p-values are the same, however small. Near 1e-10 an arc tangent has fewer digits."""
    return math.isclose(a, b, rel_tol=2e-8, abs_tol=4e-16 if min(a, b) > 1e-11 else 0.0)


def same_claim(name: str, a: Any, b: Any) -> bool:
    """Tell whether two values of a claim are the same."""
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b))
    return same_chance(a, b) if numbers and name.rpartition(".")[2].startswith("p_") else same(a, b)


def check_claims(bundle: Bundle) -> tuple[list[str], list[dict[str, Any]]]:
    """Compute every claim again: give what differs, and each claim with what came of it."""
    wrong: list[str] = []
    rows: list[dict[str, Any]] = []
    claims = bundle.lines("claims.ndjson")
    have_events = "events.ndjson" in bundle.names
    again = computed(bundle) if have_events else {}
    finding = bundle.json("finding.json")
    said = stated(finding)
    for claim in claims:
        name, row = claim["name"], dict(claim)
        if name in said and not same_claim(name, claim["stated"], said[name]):
            wrong.append(
                f"claim {name}: is {claim['stated']} in claims.ndjson and {said[name]} in finding.json"
            )
        if claim["why_not"] is not None and name not in again:
            row["result"] = "not computed"
        elif name not in again:
            row["result"] = "differs"
            wrong.append(f"claim {name}: can no longer be computed from the events")
        else:
            row["again"] = again[name]
            row["result"] = "same" if same_claim(name, claim["stated"], again[name]) else "differs"
            if row["result"] == "differs":
                wrong.append(
                    f"claim {name}: stated {_short(claim['stated'])}, computed {_short(again[name])}"
                )
        rows.append(row)
    named = {claim["name"] for claim in claims}
    wrong += [
        f"claim {name}: the finding states it and claims.ndjson leaves it out"
        for name in sorted(said.keys() - named)
    ]
    wrong += _alert_differs(bundle.json("alert.json"), finding)
    if have_events:
        tested = finding["campaign"]["evidence"].get("tested", [])
        wrong += impossible(tested, bundle.json("population.json")["accounts"])
        wrong += _accounts_differ(bundle.lines("accounts.ndjson"), finding)
    bits = sum(reason["bits"] for reason in finding["campaign"]["finding"]["reasons"])
    if not math.isclose(bits, finding["campaign"]["finding"]["score_bits"], abs_tol=0.01):
        wrong.append(f"finding.json: its reasons come to {bits:.3f} bits, its score says otherwise")
    return wrong, rows


def _alert_differs(alert: Mapping[str, Any], finding: Mapping[str, Any]) -> Iterator[str]:
    """Where the alert says another thing than the finding that it is about."""
    found, more = finding["campaign"]["finding"], finding["campaign"]["evidence"]
    if (alert["finding"], alert["campaign"]) != (finding["id"], found["id"]):
        yield "alert.json: is about another finding"
    if not same_chance(alert["p_value"], found["p_value"]):
        yield f"alert.json: its p-value is {alert['p_value']}, the finding's {found['p_value']}"
    told = {one["detector"]: one for one in alert["why"]}
    for reason, numbers in zip(found["reasons"], more["reasons"], strict=True):
        one = told.get(reason["detector"])
        if one is None:
            yield f"alert.json: leaves out {reason['detector']}"
            continue
        if reason["detector"] in RAISING and not same_chance(one["p_value"], found["p_value"]):
            yield f"alert.json: {reason['detector']}: p is {one['p_value']}, the finding's {found['p_value']}"
        for name, value in (
            ("bits", reason["bits"]),
            *((k, numbers[k]) for k in ("actual", "baseline", "n")),
        ):
            if not same(one[name], value):
                yield f"alert.json: {reason['detector']}: {name} is {one[name]}, in the finding {value}"


def _accounts_differ(accounts: list[Any], finding: Mapping[str, Any]) -> Iterator[str]:
    """Where the list of accounts says another thing than the finding."""
    found, since = finding["campaign"]["finding"], finding["campaign"]["evidence"].get("since", {})
    listed = {one["account"] for one in accounts if one["in_finding"]}
    if listed != set(found["accounts"]) or len({one["account"] for one in accounts}) != len(accounts):
        yield "accounts.ndjson: does not list the finding's accounts"
    for one in accounts:
        begin = us(since[one["account"]]) if one["account"] in since else None
        if one["since_us"] != begin:
            yield f"accounts.ndjson: {one['account']!a} counts from another time than in the finding"


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value)[:60]


# --- the verdict ---


def check(place: Path, key: str | None, stamp_roots: str | None = None) -> dict[str, Any]:
    """Check a bundle. Raises: Bad where there is none."""
    bundle = Bundle(place)
    if MANIFEST not in bundle.names:
        raise Bad(f"{place}: holds no {MANIFEST}; it is no evidence bundle")
    wrong, told = check_files(bundle, key)
    found, stamped = check_stamp(bundle, stamp_roots)
    wrong += found
    audit, rows = "", []
    for part in (check_audit, check_claims):
        try:
            found, result = part(bundle)
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            IndexError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as why:
            wrong.append(f"{part.__name__[6:]}: cannot be checked ({type(why).__name__}: {why})")
            continue
        wrong += found
        if part is check_audit:
            audit = str(result)
        else:
            rows = list(result)
    return {
        "sound": not wrong,
        "wrong": wrong,
        "files": len(set(bundle.names) - {MANIFEST, STAMP}),
        "told": told,
        "key_named": key is not None,
        "stamp": stamped,
        "audit": audit,
        "claims": rows,
    }


def clean(text: object) -> str:
    """Text from a bundle, safe to print on a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def tell(found: Mapping[str, Any]) -> Iterator[str]:
    """Give the lines of the verdict."""
    told = found["told"]
    if told:
        yield f"case {told['case']}: {told['title']}"
        yield f"exported {told['exported_at']} by {told['exported_by']}, Stillwatch {told['stillwatch']}"
        yield f"signed by key {told['signed_by']}"
        if not found["key_named"]:
            yield "  nobody has said whose key that is: ask the sender by another way, and name it with --key"
    if found["stamp"]:
        yield found["stamp"]
    own = Path(__file__)
    if own.exists():
        yield f"this verify.py is {hashlib.sha256(own.read_bytes()).hexdigest()}"
    if found["audit"]:
        yield found["audit"]
    counts = Counter(row["result"] for row in found["claims"])
    same_n, differ_n, not_n = (counts[word] for word in ("same", "differs", "not computed"))
    yield f"claims: {same_n} computed again and the same, {differ_n} differ, {not_n} not computed"
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in found["claims"]:
        if row["result"] == "not computed":
            reasons[row["why_not"]].append(f"{row['name']} = {_short(row['stated'])}")
    for why_not, names in reasons.items():
        yield f"  not computed, as {why_not}:"
        yield from (f"    {name}" for name in names)
    again = {row["name"]: row["stated"] for row in found["claims"] if row["result"] == "same"}
    yield from _tell_test(found["claims"], again)
    for scope, words in (("at_alarm", "before the alarm"), ("harvest", "in the whole harvest")):
        if (low := again.get(f"conduct.{scope}.p_least_correlation")) is not None:
            high = again[f"conduct.{scope}.p_most_correlation"]
            yield f"alike in model, limit and temperature {words}: p {low:.1e} to {high:.1e}, computed here"
    for sentence in found["wrong"]:
        yield f"WRONG: {sentence}"
    if not found["sound"]:
        many = len(found["wrong"])
        said = "One thing is wrong" if many == 1 else f"{many} things are wrong"
        yield f"VERDICT: NOT SOUND. {said}. Do not rely on this bundle."
        return
    if not same_n:
        yield (
            f"VERDICT: UNCHANGED, AND NOTHING COMPUTED. All {found['files']} files are those that were "
            "signed, but no claim could be computed from them: every number is the sender's word."
        )
        return
    yield (
        f"VERDICT: SOUND. All {found['files']} files are those that were signed, and every claim that can be "
        "computed from them was, and is the same."
    )


def _tell_test(claims: list[Any], again: Mapping[str, Any]) -> Iterator[str]:
    """The alarm's own test: what was stated, what came of it here, what of it the events show."""
    if "finding.p_value" not in again:
        return
    stated = {row["name"]: row["stated"] for row in claims}
    p = again["finding.p_value"]
    yield f"the alarm's own p {p:.1e}: computed here from what the finding says was counted"
    for name in SETTINGS:
        count, of, share, granted, count_here, of_here = (
            stated.get(f"tested.{name}.{word}")
            for word in ("count", "of", "share", "correlation", "count_here", "of_here")
        )
        if count is not None:
            yield (
                f"  {name}: {_short(count)} of {_short(of)} had one value that a share of {_short(share)} of "
                f"all have, correlation {_short(granted)}: as stated. Counted here, of the accounts in the "
                f"bundle: {_short(count_here)} of {_short(of_here)}"
            )


def main(words: list[str]) -> int:
    place, key, roots, as_json = Path(__file__).resolve().parent, None, None, False
    words = list(words)
    try:
        while words:
            word = words.pop(0)
            if word in ("-h", "--help"):
                print(__doc__)
                return 0
            if word == "--json":
                as_json = True
            elif word == "--key":
                key = read_key(words.pop(0))
            elif word == "--stamp-ca":
                roots = words.pop(0)
            elif word.startswith("-"):
                raise Bad(f"{word}: is no option; see --help")
            else:
                place = Path(word)
        found = check(place, key, roots)
    except (Bad, IndexError, OSError, subprocess.SubprocessError) as why:
        print(f"verify.py: {clean(why)}", file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        for line in tell(found):
            print(clean(line))
    return 0 if found["sound"] else 1


def read_key(text: str) -> str:
    """Read a public key: 64 hex digits, or a file of them, or a PEM file. Raises: Bad."""
    path = Path(text)
    if len(text) != 64 and path.exists():
        text = path.read_text("ascii", "replace").strip()
        if "BEGIN PUBLIC KEY" in text:
            der = base64.b64decode("".join(text.split("\n")[1:-1]))
            text = der[-32:].hex()
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise Bad("--key: give 64 hex digits, or a file that holds a public key")
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
