#!/usr/bin/env python3
"""Is a ban of DeepSeek by lineage right on LiteLLM's public catalogue and under disguise, and how fast?

    python benchmarks/bans.py [--release 1.110.2] [--json]

The oracle is independent of the lineage table: a simple rule on the text of a name, and exceptions checked by
hand with a reason each (tests/data/litellm_models.exceptions.tsv). It cannot know what no name and no
publication states.
"""

import argparse
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stillwatch.lineage import ResolvedName
from stillwatch.lineage.resolve import resolve
from stillwatch.lineage.skeleton import LOOK_ALIKES
from stillwatch.terms.decide import model_verdict
from stillwatch.terms.load import default_text, loads

DATA = Path(__file__).parent.parent / "tests" / "data"
REPEATS = 3  # the best one counts, as the machine is shared
ORACLE_STUDENT = ("distill", "qwen", "llama")


@dataclass(frozen=True)
class Name:
    """One row of the catalogue, and the oracle's judgement."""

    name: str
    provider: str
    releases: tuple[str, ...]
    expected: str  # "weights", "student" or "other"


def catalogue() -> list[Name]:
    """Read the catalogue and judge each name by the oracle."""
    exceptions = {row["name"]: row["expected"] for row in _rows("litellm_models.exceptions.tsv")}
    return [
        Name(
            row["name"],
            row["provider"],
            tuple(row["in"].split("+")),
            exceptions.get(row["name"]) or rule(row["name"], row["provider"]),
        )
        for row in _rows("litellm_models.tsv")
    ]


def rule(name: str, provider: str) -> str:
    """Return the oracle's rule: the plain word or DeepSeek's own API; a student if it also names a base."""
    text = name.lower()
    if "deepseek" not in text and provider != "deepseek":
        return "other"
    after = text.split("/")[-1]
    return "student" if any(word in after for word in ORACLE_STUDENT) else "weights"


def _rows(file: str) -> Iterator[dict[str, str]]:
    head, *lines = (DATA / file).read_text(encoding="utf-8").splitlines()
    for line in lines:
        yield dict(zip(head.split("\t"), line.split("\t"), strict=True))


def says(found: ResolvedName) -> str:
    """Return the lineage table's answer in the oracle's terms."""
    if found.family == "deepseek":
        return "weights"
    return "student" if "deepseek" in found.teachers else "other"


def _spaced(name: str, by: str) -> str:
    return name.replace("deepseek", by.join("deepseek"))


def _homoglyphs(name: str, rng: random.Random) -> str:
    return "".join(
        rng.choice(LOOK_ALIKES[c]) if c in "deepsk" and c in LOOK_ALIKES and rng.random() < 0.5 else c
        for c in name
    )


# Ways to disguise "deepseek". The homoglyphs are drawn from our own table, so that row shows that it is
# applied, not that it is complete. `FOREIGN` was chosen without looking at it: 15 of its 20 were recognised
# at first, before Coptic and letters with strokes and hooks were added.
DISGUISES: dict[str, Callable[[str, random.Random], str]] = {
    "upper case": lambda n, _: n.upper(),
    "random case": lambda n, r: "".join(r.choice((c.upper(), c)) for c in n),
    "underscore in the word": lambda n, _: n.replace("deepseek", "deep_seek"),
    "dot in the word": lambda n, _: n.replace("deepseek", "deep.seek"),
    "space in the word": lambda n, _: n.replace("deepseek", "deep seek"),
    "letter by letter": lambda n, _: _spaced(n, "-"),
    "no separators": lambda n, _: n.replace("-", "").replace("_", ""),
    "zero-width space": lambda n, _: _spaced(n, "\u200b"),
    "soft hyphen": lambda n, _: _spaced(n, "\u00ad"),
    "word joiner": lambda n, _: _spaced(n, "\u2060"),
    "combining marks": lambda n, _: _spaced(n, "\u0336"),
    "hangul filler": lambda n, _: _spaced(n, "\u3164"),
    "full-width": lambda n, _: "".join(
        chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and c != "/" else c for c in n
    ),
    "mathematical bold": lambda n, _: "".join(
        chr(0x1D41A + ord(c) - 97) if "a" <= c <= "z" else c for c in n
    ),
    "circled letters": lambda n, _: "".join(chr(0x24D0 + ord(c) - 97) if "a" <= c <= "z" else c for c in n),
    "homoglyphs of our table": _homoglyphs,
    "accents": lambda n, _: n.replace("deepseek", "déépséék"),
    "leet 3": lambda n, _: n.replace("deepseek", "d33ps33k"),
    "leet one 3": lambda n, _: n.replace("deepseek", "d3epseek"),
    "leet $": lambda n, _: n.replace("deepseek", "deep$eek"),
    "leet 5": lambda n, _: n.replace("deepseek", "deep5eek"),
    "unknown prefix": lambda n, _: f"corp-gateway/{n}",
    "glued prefix": lambda n, _: n.replace("deepseek", "mydeepseek"),
    "tag": lambda n, _: f"{n}:latest",
    "file name": lambda n, _: f"{n}-Q4_K_M.gguf",
    "URL": lambda n, _: f"https://models.example.com/{n}",
    "percent-encoded": lambda n, _: n.replace("deepseek", "%64eepseek"),
    # From here on not expected to be recognised: only a probe of the endpoint finds a name without traces.
    "letters swapped": lambda n, _: n.replace("deepseek", "depeseek"),
    "letter dropped": lambda n, _: n.replace("deepseek", "deepsek"),
    "letter doubled": lambda n, _: n.replace("deepseek", "deepseeek"),
    "reversed": lambda n, _: n.replace("deepseek", "keespeed"),
    "upside down": lambda n, _: n.replace("deepseek", "ʞǝǝsdǝǝp"),
    "v for u-like shapes": lambda n, _: n.replace("deepseek", "|)eepseek"),
    "abbreviated": lambda n, _: n.replace("deepseek", "ds"),
    "renamed": lambda n, _: n.replace("deepseek", "team-fast"),
}
FOREIGN = {
    "Cyrillic": "dеерѕееk-r1",
    "Cyrillic, all that can be": "ԁеерѕеек-г1",
    "Greek": "dεεpsεεκ-r1",
    "Armenian d": "ժeepseek-r1",
    "Cherokee": "ᎠᎬᎬᏢᏚᎬᎬᏦ-r1",
    "Lisu": "ꓓꓰꓰꓑꓢꓰꓰꓗ-r1",
    "small capitals": "ᴅᴇᴇᴘꜱᴇᴇᴋ-r1",
    "superscript": "ᵈᵉᵉᵖˢᵉᵉᵏ-r1",
    "negative squared": "🅳🅴🅴🅿🆂🅴🅴🅺-r1",
    "regional indicators": "🇩🇪🇪🇵🇸🇪🇪🇰-r1",
    "double-struck": "𝕕𝕖𝕖𝕡𝕤𝕖𝕖𝕜-r1",
    "Fraktur": "𝔡𝔢𝔢𝔭𝔰𝔢𝔢𝔨-r1",
    "Coptic": "dⲉⲉⲣseek-r1",
    "Latin with hooks": "ɗeeƥseeƙ-r1",
    "Latin, stroke and tail": "đɇɇᵽsɇɇꝁ-r1",
    "Deseret": "d𐐩𐐩pseek-r1",
    "tags": "deep\U000e0061seek-r1",
    "right-to-left override": "deep\u202eseek-r1",
    "variation selector": "d\ufe0feepseek-r1",
    "braille blank": "deep\u2800seek-r1",
}
# Names of other things that are similar; none may be banned.
NEAR_MISSES = """
deepthink-translator deep-seeker-travel deepseeker seek-deep-v1 deep-search-r1 deepl-translate deepgram/nova-3
deepinfra/meta-llama/Llama-3.3-70B-Instruct deepset/roberta-base deepmind/gopher deep-research-preview r1
command-r1 rabbit-r1 open-r1-tokenizer step-r1-v-mini skywork/r1v4-lite acme-ds-v3 ds-team-classifier
peepseek fp-deepspeed deepspeed-chat seekdeep qwen/qwq-32b moonshotai/kimi-k2 s1-embedding t1-sky
limoncello-7b cogito-ergo-sum openthinkering sonar-pro janus-graph phi-4-mini-instruct dsv-logistics-v4
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--release", default="1.110.2", help="of the catalogue: 1.108.7 or 1.110.2")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = [one for one in catalogue() if options.release in one.releases]
    results = {**on_catalogue(names), **on_disguises(), **speed(names)}
    if options.json:
        print(json.dumps(results, indent=1, ensure_ascii=False))
    else:
        for key, value in results.items():
            print(f"{key:34} {value}")


def on_catalogue(names: list[Name]) -> dict[str, object]:
    """Compare the table's answers with the oracle, over a catalogue."""
    found = {one.name: says(resolve(one.name)) for one in names}
    of = {kind: [one for one in names if one.expected == kind] for kind in ("weights", "student", "other")}
    lineage = of["weights"] + of["student"]
    return {
        "names in the catalogue": len(names),
        "providers": len({one.provider for one in names}),
        "of DeepSeek's lineage": len(lineage),
        "their providers": len({one.provider for one in lineage}),
        "  its weights": len(of["weights"]),
        "  banned": sum(found[one.name] == "weights" for one in of["weights"]),
        "  students": len(of["student"]),
        "  students told apart": sum(found[one.name] == "student" for one in of["student"]),
        "other vendors' names": len(of["other"]),
        "  touched by the ban": sum(found[one.name] != "other" for one in of["other"]),
        "wrong": [one.name for one in names if found[one.name] != one.expected],
    }


def on_disguises() -> dict[str, object]:
    """Disguise DeepSeek's names; list by kind of disguise those not recognised."""
    rng = random.Random(11)
    plain = [one.name for one in catalogue() if one.expected == "weights" and "deepseek" in one.name.lower()]
    tried, folded, missed = 0, 0, Counter[str]()
    for way, write in DISGUISES.items():
        for name in plain:
            disguised = write(name.lower(), rng)
            tried += 1
            if says(resolve(disguised)) == "weights":
                folded += 1
            else:
                missed[way] += 1
    foreign = [way for way, name in FOREIGN.items() if says(resolve(name)) != "weights"]
    return {
        "disguised names": tried,
        "  seen through": folded,
        "  missed, by way": {way: f"{count} of {len(plain)}" for way, count in missed.items()},
        "foreign spellings": len(FOREIGN),
        "  missed, foreign": foreign,
        "near misses": len(NEAR_MISSES.split()),
        "  touched, near misses": [name for name in NEAR_MISSES.split() if says(resolve(name)) != "other"],
    }


def speed(names: list[Name]) -> dict[str, object]:
    """Time a name's uncached resolution, and a policy verdict with one ban, on new and on seen names."""
    ban = '\n[[ban]]\nfamily = "deepseek"\n'
    terms = loads(default_text() + ban, "benchmark")
    resolving = _times(resolve, [one.name for one in names])
    first = [_once(lambda name: model_verdict(terms, name, "", 0), one.name) for one in names]
    again = _times(lambda name: model_verdict(terms, name, "", 0), [one.name for one in names[:4000]])
    return {
        "resolve p50 / p99, µs": f"{resolving[0]:.0f} / {resolving[1]:.0f}",
        "verdict, new name, p50 / p99, µs": f"{statistics.median(first):.0f} / {_p99(first):.0f}",
        "verdict, seen before, p50 / p99, µs": f"{again[0]:.0f} / {again[1]:.0f}",
    }


def _times(call: Callable[[str], object], names: list[str]) -> tuple[float, float]:
    took = [min(_once(call, name) for _ in range(REPEATS)) for name in names]
    return statistics.median(took), _p99(took)


def _p99(took: list[float]) -> float:
    return statistics.quantiles(took, n=100)[98]


def _once(call: Callable[[str], object], name: str) -> float:
    start = time.perf_counter_ns()
    call(name)
    return (time.perf_counter_ns() - start) / 1000


if __name__ == "__main__":
    main()
