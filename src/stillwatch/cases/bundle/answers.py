"""The command line of the bundle's checker, and its three answers."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MANIFEST = "manifest.dsse.json"


def report(
    count: int, files: list[str], predicate: dict[str, Any], key: str | None, claims: Mapping[str, Any]
) -> dict[str, Any]:
    """Combine the three answers. `claims`: wrong, summary, lines, and further entries for the report."""
    signer = str(predicate.get("signed_by", ""))
    signed = bool(key) and signer == key and not any(name.startswith(MANIFEST) for name in files)
    why = (
        f"signed by {signer or 'nobody'}, not by the key that you gave" if key else "you gave no key (--key)"
    )
    lines = {
        "intact": f"yes: {count} files are those that were signed"
        if not files
        else f"NO: {len(files)} things differ from what was signed",
        "signer verified": f"yes: by {key}, the key that you gave" if signed else f"NO: {why}",
        "claims recomputed": f"{'NO' if claims['wrong'] else 'yes'}: {claims['summary']}",
    }
    wrong = files + ([f"signer: {why}"] if key and not signed else []) + claims["wrong"]
    sound = not files and signed and not claims["wrong"]
    others = {name: value for name, value in claims.items() if name not in ("wrong", "summary")}
    return {"sound": sound, "answers": lines, "wrong": wrong, "told": predicate, **others}


def clean(text: object) -> str:
    """Return text from a bundle, safe to print on a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def tell(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines to print."""
    yield from (f"it says of itself: {name} {value}" for name, value in found["told"].items())
    yield from (f"this {name} is {digest}" for name, digest in found.get("code", {}).items())
    yield from ([found["time"]] if found.get("time") else [])
    yield from found["lines"]
    yield from (f"WRONG: {sentence}" for sentence in found["wrong"])
    yield from (f"{name + ':':18} {answer}" for name, answer in found["answers"].items())
    yield (
        "VERDICT: SOUND"
        if found["sound"]
        else "VERDICT: NOT ESTABLISHED. Do not rely on this bundle as it is."
    )


def read_key(text: str) -> str:
    """Read a public key: 64 hex digits, or a file of them, or a PEM file. Raises: ValueError."""
    if len(text) != 64 and Path(text).exists():
        text = Path(text).read_text("ascii", "replace").strip()
        if "BEGIN PUBLIC KEY" in text:
            text = base64.b64decode("".join(text.split("\n")[1:-1]))[-32:].hex()
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise ValueError("--key: give 64 hex digits, or a file that holds a public key")
    return text


def main(
    words: list[str],
    checker: Callable[..., dict[str, Any]],
    about: str | None,
    here: Path,
    options: Sequence[str] = (),
) -> int:
    """Parse the command line, check the bundle and print the result; return the exit code."""
    named_options: dict[str, str] = {}
    place, as_json, words = here, False, list(words)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may not support every character of a name
            stream.reconfigure(errors="backslashreplace")
    try:
        while words:
            word = words.pop(0)
            if word in ("-h", "--help"):
                print(about)
                return 0
            if word == "--json":
                as_json = True
            elif word in ("--key", "--stamp-ca", *options):
                named_options[word[2:].replace("-", "_")] = words.pop(0)
            elif word.startswith("-"):
                raise ValueError(f"{word}: is no option; see --help")
            else:
                place = Path(word)
        key = read_key(named_options.pop("key")) if "key" in named_options else None
        answer = checker(place, key, named_options.pop("stamp_ca", None), **named_options)
    except (IndexError, OSError, ValueError, subprocess.SubprocessError) as why:
        print(f"verify.py: {clean(why)}", file=sys.stderr)
        return 2
    code_files = sorted(here.glob("*.py")) if (here / MANIFEST).exists() else [here / "verify.py"]
    answer["code"] = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in code_files if file.exists()
    }
    print(json.dumps(answer, indent=1) if as_json else "\n".join(map(clean, tell(answer))))
    return 0 if answer["sound"] else 1
