"""Rejects passwords that are guessed first: common ones, leaked ones, names, keyboard runs.

Two lists are beside this file, both made by `benchmarks/password_lists.py`. Of leaked passwords only four
bytes of a digest are stored: one in some three thousand other passwords is rejected by chance.
"""

import gzip
import hashlib
import re
import secrets
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillwatch.console import ConsoleError

SHORTEST, LONGEST = 12, 1_024  # characters of a password (NIST SP 800-63B-4 requires 15 or a second factor)
LEAST_DIFFERENT = 5  # characters
LEAST_BESIDE = 6  # letters besides the guessable parts; two digits or signs count as one letter
LEAST_LISTED, LEAST_WORD, LEAST_ROW = 6, 3, 4  # characters
ROWS = ("abcdefghijklmnopqrstuvwxyz" * 2, "1234567890" * 3, "qwertyuiopasdfghjklzxcvbnm" * 2)
COMMON_WORDS = (
    "stillwatch",
    "console",
    "password",
    "passwort",
    "letmein",
    "welcome",
    "qwerty",
    "iloveyou",
    "admin",
    "login",
)
READ_AS = tuple(str.maketrans("@4830$57!1", "aabeosst" + letter * 2) for letter in "il")
BREACHED = "breached_passwords.bin.gz"


def check_password(password: str, name: str, words: Collection[str] = ()) -> None:
    """Reject an unsuitable password. words: the owner's, which are tried first. Raises: ConsoleError."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise ConsoleError(f"the password has {len(password)} characters; give {SHORTEST} to {LONGEST:,}")
    if why := guessable(password, name, words):
        raise ConsoleError(f"the password {why}, which is tried first; give some unrelated words")


def random_password(name: str) -> str:
    """Return a password of 120 random bits that these rules accept."""
    while guessable(password := secrets.token_urlsafe(15), name):
        pass
    return password


def guessable(password: str, name: str, words: Collection[str] = ()) -> str | None:
    """Return why a password would be guessed early, or None.

    >>> guessable("123123123123", "anna"), guessable("Anna-St1llw@tch1", "anna")
    ('is one piece again and again', "is little beside the user's name and common words")
    >>> guessable("Liverpool2026!", "anna"), guessable("three liverpool words", "anna")
    ('is little beside a password that many have', None)
    >>> guessable("Umbrella-Corp-26", "anna", ["Umbrella Corp"])
    "is little beside the user's name and common words"
    """
    text = password.lower()
    if (text + text).find(text, 1) < len(text):
        return "is one piece again and again"
    if len(set(text)) < LEAST_DIFFERENT:
        return f"has fewer than {LEAST_DIFFERENT} different characters"
    if text.isdecimal():
        return "is a number"
    if _weight(text, _rows_in(text)) < LEAST_BESIDE:
        return "is little beside a row of keys, or the alphabet"
    personal = _words_of(name, *words, *COMMON_WORDS)
    for form in (text, *(text.translate(look_alikes) for look_alikes in READ_AS)):
        listed = {piece for piece in _pieces(form) if piece in common_passwords()}
        if any(_weight(text, _spans(form, piece)) < LEAST_BESIDE for piece in listed):
            return "is little beside a password that many have"
        if _weight(text, (place for word in personal for place in _spans(form, word))) < LEAST_BESIDE:
            return "is little beside the user's name and common words"
    is_leaked = any(is_breached(form) for form in {text, text.rstrip("0123456789!?.$#@*-_ ")})
    return "is one that has leaked elsewhere" if is_leaked else None


def is_breached(text: str) -> bool:
    """Return whether a lower-case password is on the list of leaked ones, or collides with one."""
    digests, wanted_digest = breached_digests(), short_digest(text)
    position = int(np.searchsorted(digests, wanted_digest))
    return position < len(digests) and int(digests[position]) == wanted_digest


def short_digest(text: str) -> int:
    """Return the first four bytes of a text's SHA-256 as a number."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4])


@cache
def breached_digests() -> NDArray[np.uint32]:
    """Return the leaked passwords' short digests, sorted; the file stores their differences."""
    steps = np.frombuffer(gzip.decompress(Path(__file__).with_name(BREACHED).read_bytes()), dtype="<u2")
    return np.cumsum(steps, dtype=np.uint32)


@cache
def common_passwords() -> frozenset[str]:
    """Return common passwords, in lower case: see common_passwords.LICENSE.txt."""
    decompressed = gzip.decompress(Path(__file__).with_name("common_passwords.txt.gz").read_bytes())
    return frozenset(decompressed.decode("ascii").split())


@cache
def _longest_listed() -> int:
    return max(map(len, common_passwords()))


def _pieces(text: str) -> Iterator[str]:
    for n in range(LEAST_LISTED, min(len(text), _longest_listed()) + 1):
        yield from (text[k : k + n] for k in range(len(text) - n + 1))


def _words_of(*names: str) -> set[str]:
    """Return names and their parts, in lower case: anna.berg is anna and berg too."""
    whole_names = {name.lower() for name in names}
    parts = {part for name in whole_names for part in re.split(r"[^\w]|_", name)}
    return {word for word in whole_names | parts if len(word) >= LEAST_WORD}


def _spans(text: str, word: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of a word, as its start and end."""
    position = text.find(word)
    while position >= 0:
        yield position, position + len(word)
        position = text.find(word, position + 1)


def _rows_in(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of runs: neighbouring keys, consecutive letters, or one character repeated."""
    k = 0
    while k < len(text):
        n = 1
        while k + n < len(text) and _is_row(text[k : k + n + 1]):
            n += 1
        if n >= LEAST_ROW:
            yield k, k + n
        k += n


def _is_row(text: str) -> bool:
    return len(set(text)) == 1 or any(text in row or text[::-1] in row for row in ROWS)


def _weight(text: str, places: Iterator[tuple[int, int]]) -> float:
    """Return how many letters are outside some spans; a digit or a sign counts half."""
    weights = [1.0 if character.isalpha() else 0.5 for character in text]
    for first, behind in places:
        weights[first:behind] = [0.0] * (behind - first)
    return sum(weights)
