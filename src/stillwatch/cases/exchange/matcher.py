"""Searches your own log for a partner's keyed indicators. Needs Python 3.9 or later, and no Stillwatch.

    python matcher.py FILE.json LOG.jsonl --key exchange.key [--map prompt=text] > accounts.csv
FILE: the partner's STIX bundle. LOG: JSON lines or CSV with account, prompt, perhaps system, time (ISO, UTC);
--map gives your names. Wording can be copied: a match alone does not make an account part of the campaign."""

import argparse
import csv
import hashlib
import hmac
import json
import re
import sys
import time
from pathlib import Path

OURS = "extension-definition--9b36d387-1c2b-51e7-89f2-a34b1c297d3b"
PATTERN = re.compile(r"\[x-s\S{13}k:kind = '([a-z-]+)' AND x\S{17}key = '(\w+)' AND x\S{17}value = '(\w+)'\]")
OWN = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2000-\u2bff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"
OWN += r"\uff00-\uffef\U0001f000-\U0010ffff"  # scripts without spaces, and signs: each character is a token
TOKEN = re.compile(rf"((?:[A-Za-z]|[^\x00-\x7f{OWN}])+)|([0-9]+)|[^\t-\r ]")
NUMBER, LINK, BLOB, ALL, M1 = 0x6E756D, 0x6C6E6B, 0x626C62, (1 << 64) - 1, 0xBF58476D1CE4E5B9
SIP = 0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573
FORMULA = re.compile("[\\s\\0]*[-=+@|%\uff1d\uff0b\uff0d\uff20]")  # what a spreadsheet may execute
KEPT, EDGE, HALF, FIELDS = 12, 6, 2048, ("account", "prompt", "system", "time")  # phrases kept; tokens
LEAST = {"wording": 3, "phrases": 2}  # phrases of the campaign in one prompt: a whole mark, and half of one


def mix(x):
    x = (x ^ x >> 30) * M1 & ALL
    x = (x ^ x >> 27) * 0x94D049BB133111EB & ALL
    return x ^ x >> 31


def turn(x, bits):
    return (x << bits | x >> 64 - bits) & ALL


def fnv(data, h=0xCBF29CE484222325):
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & ALL
    return h


def siphash(keys, word):
    a, b, c, d = (keys[i % 2] ^ SIP[i] for i in range(4))
    for m, last in (word, 0), (8 << 56, 0), (0, 0xFF), (0, 0), (0, 0):
        a, c, d = a + b & ALL, (c ^ last) + (d ^ m) & ALL, d ^ m
        b, d = turn(b, 13) ^ a, turn(d, 16) ^ c
        a, c = turn(a, 32) + d & ALL, c + b & ALL
        a, b, c, d = a ^ m, turn(b, 17) ^ c, turn(c, 32), turn(d, 21) ^ a
    return a ^ b ^ c ^ d


def tokens(keys, text):
    at, masked, whole = 0, [], keys[0]
    while found := TOKEN.search(text, at):
        at, raw = found.end(), found[0].encode("utf-8", "replace")
        h, mask = fnv(raw.lower()), NUMBER if found[2] else BLOB if found[1] and len(raw) > 40 else 0
        if found[1] and 2 <= len(raw) <= 6 and text.startswith("://", at):
            link = re.compile(r"[^\x00-\x20]*").match(text, at)
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
    parts = [seen] if len(seen) <= 2 * HALF else [seen[:HALF], seen[-HALF:]]
    ks = [[mix(masked ^ keys[0]) for masked in part] for part in parts]
    grams = {mix(k[i] ^ turn(k[i - 1], 21) ^ turn(k[i - 2], 42)) or 1 for k in ks for i in range(2, len(k))}
    return {**marks, "wording": {f"{siphash(keys, g) >> 32 or 1:08x}" for g in sorted(grams)[:KEPT]}}


def read_bundle(path, key_path, unsealed):
    key, parts = bytes.fromhex(Path(key_path).read_text()), (b"sw.exch.sketch", b"sw.exch.seal")
    sketch, sealing = (hashlib.blake2b(key, digest_size=32, person=part).digest() for part in parts)
    fingerprint = hashlib.blake2b(sketch, digest_size=8, person=b"stillwatch.kid").hexdigest()
    halves = hashlib.blake2b(sketch, digest_size=16, person=b"stillwatch.key").digest()
    with open(path, "rb") as file:
        objects = sorted(json.loads(file.read(8 << 20))["objects"], key=lambda one: one["id"])
    notes = (one["extensions"][OURS] for one in objects if OURS in one.get("extensions", {}))
    seal = next((note.pop("seal") for note in notes if "seal" in note), "")
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
    assert wanted, f"it holds no mark under key {fingerprint} that is still valid"
    return wanted, min(begins), tuple(int.from_bytes(half, "little") for half in (halves[:8], halves[8:]))


def is_named(rows, found):
    share, phrases = len(found) / rows, set().union(*(row.get("phrases", ()) for row in found))
    whole = any(row.keys() - {"phrases"} for row in found)
    return len(found) > 1 and ((share >= 0.02 and whole) or (share >= 0.1 and len(phrases) >= 4))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options = {"file": {}, "log": {}, "--key": {"required": True}, "--map": {"action": "append"}}
    for name, more in {**options, "--unsealed": {"action": "store_true"}}.items():
        parser.add_argument(name, **more)
    given = parser.parse_args()
    names = dict(pair.split("=", 1) for pair in given.map or ())
    try:
        wanted, began, keys = read_bundle(given.file, given.key, given.unsealed)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, AssertionError) as why:
        sys.exit(f"{given.file}, {given.key}: cannot be used, or larger than 8 MB ({why!a:.200})")
    rows, found, before, unread, out, _ = {}, {}, {}, 0, csv.writer(sys.stdout), csv.field_size_limit(1 << 30)
    with open(given.log, encoding="utf-8", errors="replace", newline="") as file:
        for line in csv.DictReader(s.replace("\0", "") for s in file) if given.log.endswith(".csv") else file:
            try:
                row = line if isinstance(line, dict) else json.loads(line)
                who, prompt, system, at = (row.get(names.get(name, name)) or "" for name in FIELDS)
                made, account, early = marks_of(keys, prompt, system), str(who), "" < str(at)[:19] < began
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                unread += 1
                continue
            hits = {kind: some & wanted.get(kind, set()) for kind, some in made.items()}
            hits["phrases"] = hits["wording"]  # three are a whole mark, two are half of one
            carried = {kind: some for kind, some in hits.items() if len(some) >= LEAST.get(kind, 1)}
            rows[account] = rows.get(account, 0) + 1
            if carried:
                found.setdefault(account, []).append(carried)
                before[account] = before.get(account, 0) + (early and carried.keys() != {"phrases"})
    sys.stderr.write(f"{unread} lines hold no row with account and texts: not searched\n" if unread else "")
    named = {who: mine for who, mine in sorted(found.items()) if is_named(rows[who], mine)}
    if len(named) > max(20, len(rows) / 5):
        sys.exit(f"nobody is named: the marks fit {len(named)} of {len(rows)} accounts, which no campaign is")
    out.writerow(("account", "rows", "rows_before", "kinds", "rows_in_all"))
    for who, mine in named.items():
        kinds, safe = " ".join(sorted(set().union(*mine))), "'" * bool(FORMULA.match(who)) + who
        out.writerow((safe, len(mine), before[who], kinds, rows[who]))


if __name__ == "__main__":
    main()
