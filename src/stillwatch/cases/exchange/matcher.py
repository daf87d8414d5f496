"""Looks for a partner's keyed marks in a log of your own. Needs Python 3.9 or later, and no Stillwatch.

    python matcher.py FILE.json LOG.jsonl --key exchange.key [--map prompt=text] > accounts.csv

FILE: the STIX bundle that the partner sent. LOG: JSON lines or CSV with account, prompt, and where there are
such system and time (ISO 8601, UTC); --map gives your names. Marks of wording are looked for. What comes out:
each account that carries some, in how many rows, of which kinds, and how many before the campaign began.
Wording can be copied: whoever carries a mark is not thereby one of them.
"""

# mypy: ignore-errors
import argparse
import csv
import hashlib
import hmac
import json
import re
import sys
import time
from functools import lru_cache

OURS = "extension-definition--9b36d387-1c2b-51e7-89f2-a34b1c297d3b"
PATTERN = re.compile(r"\[x-stillwatch-mark:kind = '(.+?)' AND \S+:key = '(.+?)' AND \S+:value = '(.+?)'\]")
OWN = (  # scripts written without spaces, and signs: each character is a token
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2000-\u2bff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"
    r"\uff00-\uffef\U0001f000-\U0010ffff"
)
TOKEN = re.compile(rf"((?:[A-Za-z]|[^\x00-\x7f{OWN}])+)|([0-9]+)|[^\t-\r ]")
NO_SPACE = re.compile(r"[^\x00-\x20]*")
NUMBER, LINK, BLOB, ALL, M1 = 0x6E756D, 0x6C6E6B, 0x626C62, (1 << 64) - 1, 0xBF58476D1CE4E5B9
NEEDED, KEPT, EDGE, HALF = 3, 12, 6, 2048  # phrases for a hit, and kept; tokens of an edge, of half a text
FIELDS = ("account", "prompt", "system", "time")


def mix(x):
    x = (x ^ x >> 30) * M1 & ALL
    x = (x ^ x >> 27) * 0x94D049BB133111EB & ALL
    return x ^ x >> 31


def rotate(x, bits):
    return (x << bits | x >> 64 - bits) & ALL


@lru_cache(1 << 18)
def fnv(data, h=0xCBF29CE484222325):
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & ALL
    return h


def sip_round(a, b, c, d):
    a, c = a + b & ALL, c + d & ALL
    b, d = rotate(b, 13) ^ a, rotate(d, 16) ^ c
    a, c = rotate(a, 32) + d & ALL, c + b & ALL
    return a, rotate(b, 17) ^ c, rotate(c, 32), rotate(d, 21) ^ a


def siphash(keys, word):
    k, r = keys
    v = k ^ 0x736F6D6570736575, r ^ 0x646F72616E646F6D, k ^ 0x6C7967656E657261, r ^ 0x7465646279746573
    for m in (word, 8 << 56):
        a, b, c, d = sip_round(v[0], v[1], v[2], v[3] ^ m)
        v = a ^ m, b, c, d
    v = v[0], v[1], v[2] ^ 0xFF, v[3]
    for _ in range(3):
        v = sip_round(*v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def tokens(keys, text):
    """A text's tokens as hashes, numbers, links and long words masked; the mark of all, nothing masked."""
    at, masked, whole = 0, [], keys[0]
    while found := TOKEN.search(text, at):
        at, raw = found.end(), found[0].encode("utf-8", "replace")
        h, mask = fnv(raw.lower()), NUMBER if found[2] else BLOB if found[1] and len(raw) > 40 else 0
        if found[1] and 2 <= len(raw) <= 6 and text.startswith("://", at):
            link = NO_SPACE.match(text, at)
            h, mask, at = fnv(link[0].encode("utf-8", "replace"), h), LINK, link.end()
        masked.append(mask or h)
        whole = (whole ^ h) * M1 & ALL
        whole ^= whole >> 29
    return masked, {f"{siphash(keys, whole ^ len(masked)):016x}"} if masked else set()


def marks_of(keys, prompt, system=""):
    seen, question = tokens(keys, prompt)
    marks = {"system-text": tokens(keys, system)[1], "question": question if len(seen) >= EDGE else set()}
    for kind, h, edge in ("opening", keys[1], seen[:EDGE]), ("ending", keys[1] ^ ALL, seen[EDGE:][-EDGE:]):
        for masked in edge:
            h = mix(h ^ masked)
        marks[kind] = {f"{siphash(keys, h):016x}"} if len(edge) == EDGE else set()
    grams = set()
    for part in [seen] if len(seen) <= 2 * HALF else [seen[:HALF], seen[-HALF:]]:
        k = [mix(masked ^ keys[0]) for masked in part]
        grams |= {mix(k[i] ^ rotate(k[i - 1], 21) ^ rotate(k[i - 2], 42)) or 1 for i in range(2, len(k))}
    return {**marks, "wording": {f"{siphash(keys, g) >> 32 or 1:08x}" for g in sorted(grams)[:KEPT]}}


def read_bundle(path, exchange_key, unsealed):
    """What is looked for (kind -> values), when the campaign began, and the keys of wording."""
    parts = (b"sw.exch.sketch", b"sw.exch.seal")
    sketch, sealing = (hashlib.blake2b(exchange_key, digest_size=32, person=part).digest() for part in parts)
    fingerprint = hashlib.blake2b(sketch, digest_size=8, person=b"stillwatch.kid").hexdigest()
    halves = hashlib.blake2b(sketch, digest_size=16, person=b"stillwatch.key").digest()
    with open(path, encoding="utf-8") as file:
        objects = sorted(json.load(file)["objects"], key=lambda one: one["id"])
    said = [one["extensions"][OURS] for one in objects if OURS in one.get("extensions", {})]
    seal = next((one.pop("seal") for one in said if "seal" in one), "")
    text = json.dumps(objects, sort_keys=True, separators=(",", ":")).encode("ascii")
    right = hmac.new(sealing, b"stillwatch.seal.1\n" + text, "sha256").hexdigest()
    if not (unsealed or hmac.compare_digest(seal, right)):
        sys.exit(f"{path}: not sealed with this key, or changed since; --unsealed takes it as a mere claim")
    wanted, begins, now = {}, [], time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    for one in objects:
        found = PATTERN.fullmatch(one.get("pattern", ""))
        if found and found[2] == fingerprint and not one.get("revoked") and one.get("valid_until", "9") > now:
            wanted.setdefault(found[1], set()).add(found[3])
            begins.append(one["valid_from"][:19])
    if not wanted:
        sys.exit(f"{path}: holds no mark under key {fingerprint} that is still valid")
    return wanted, min(begins), tuple(int.from_bytes(half, "little") for half in (halves[:8], halves[8:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    several, flag = {"action": "append", "default": []}, {"action": "store_true"}
    options = {"file": {}, "log": {}, "--key": {"required": True}, "--map": several, "--unsealed": flag}
    for name, more in options.items():
        parser.add_argument(name, **more)
    given = parser.parse_args()
    names = dict(pair.split("=", 1) for pair in given.map)
    with open(given.key, encoding="ascii") as file:
        wanted, began, keys = read_bundle(given.file, bytes.fromhex(file.read().strip()), given.unsealed)
    carriers = {}
    with open(given.log, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file) if given.log.endswith(".csv") else map(json.loads, file):
            account, prompt, system, at = (row.get(names.get(name, name)) or "" for name in FIELDS)
            carried = {k: len(v & wanted.get(k, set())) for k, v in marks_of(keys, prompt, system).items()}
            kinds = {kind for kind, n in carried.items() if n >= (NEEDED if kind == "wording" else 1)}
            if kinds:
                rows, before, had = carriers.get(account, (0, 0, set()))
                carriers[account] = rows + 1, before + ("" < at[:19] < began), had | kinds
    out = csv.writer(sys.stdout)
    out.writerow(("account", "rows", "rows_before", "kinds"))
    out.writerows((a, n, b, " ".join(sorted(k))) for a, (n, b, k) in sorted(carriers.items()))


if __name__ == "__main__":
    main()
