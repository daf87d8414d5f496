"""Honest client software with defaults: what a vendor fixes, and how its releases spread over unrelated
users.

A vendor's program fixes a wording, an output limit, a temperature and a default model for customers who have
nothing else in common. This module has the settings of one such program and the text of its releases.

What is published: the open-source coding agent cline sends `temperature: 0` and the model's limit or 8,192
tokens (src/api/providers, 2025); EleutherAI's harness sends temperature 0, at most 256 tokens and one seed
(lm_eval/models, `_max_gen_toks`); plug-ins for notes send temperature 0.7 and 1,000 to 1,024 tokens
(Obsidian Copilot and others, DEFAULT_SETTINGS). What is assumed: that 0.60 to 0.98 of the customers keep the
model, 0.80 to 1 the temperature, 0.85 to 1 the limit; that a release spreads in two to four days and an
update in one or two (the second author's worlds, /work/shared/range/second-author.md). All texts are written
for the composer.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stillwatch.range.people import product_words as w

Kind = Literal["plugin", "coding_agent", "class", "evaluation", "agency", "annotation", "reseller", "saas"]
CROWD_KINDS: tuple[Kind, ...] = (
    "plugin", "coding_agent", "class", "evaluation", "agency", "annotation", "reseller", "saas",
)  # fmt: skip


@dataclass(frozen=True)
class Software:
    """One program (or course) and its customers. Days count from the scene's first midnight."""

    name: str
    kind: Kind
    accounts: int = 60
    exchanges: float = 12.0  # median of an account in a fortnight
    spread: float = 0.9  # sigma of the logarithm of that
    released: float = 7.5  # below 0: installed long before the log
    adoption_days: float = 3.0  # mean delay from the release to a customer's first use
    growth: float = 0.1  # of a program older than the log: share of customers who install it during the log
    updates: tuple[float, ...] = ()  # days of a new version, or of a new assignment
    update_days: float = 1.0  # mean delay until a customer has it
    model: str = "mira-large"
    keep_model: float = 0.8
    max_tokens: int | None = 1000
    keep_max_tokens: float = 0.92
    temperature: float | None = 0.7
    keep_temperature: float = 0.9
    new_model: float = 0.0  # share of customers who try the new model when it comes out
    wording: str = ""  # around the customer's text, {q}; empty: composed from the name
    system: str = ""  # empty: composed from the name, if the kind has one
    texts: Literal["made", "authors"] = "made"  # made vocabularies, or real people's texts (local only)


DEFAULTS: dict[Kind, Software] = {
    "plugin": Software("", "plugin"),
    "coding_agent": Software(
        "", "coding_agent", accounts=120, exchanges=40.0, spread=1.0, released=-300.0, growth=0.12,
        updates=(5.3, 10.6), max_tokens=8192, keep_max_tokens=0.95, temperature=0.0, keep_model=0.75,
    ),
    "class": Software(
        "", "class", accounts=45, spread=0.6, released=2.0, adoption_days=1.5, updates=(5.0, 8.0, 11.0),
        model="mira-mini", keep_model=0.9, max_tokens=1024,
    ),
    "evaluation": Software(
        "", "evaluation", accounts=30, exchanges=150.0, spread=0.5, released=-200.0, keep_model=0.6,
        max_tokens=256, keep_max_tokens=0.85, temperature=0.0, keep_temperature=0.97, new_model=0.75,
    ),
    "agency": Software(
        "", "agency", accounts=7, exchanges=30.0, released=-200.0, growth=0.2, keep_model=0.85,
    ),
    "annotation": Software(
        "", "annotation", accounts=25, exchanges=60.0, spread=0.5, released=7.8, adoption_days=1.0,
        model="mira-mini", keep_model=0.97, max_tokens=300, keep_max_tokens=0.98, temperature=0.0,
        keep_temperature=0.98,
    ),
    "reseller": Software(
        "", "reseller", accounts=24, exchanges=60.0, spread=0.3, released=-60.0, growth=0.3, keep_model=0.5,
        max_tokens=2048, keep_max_tokens=1.0, temperature=None, keep_temperature=1.0,
    ),
    "saas": Software(
        "", "saas", accounts=6, exchanges=400.0, spread=0.5, released=-200.0, updates=(6.0,), growth=0.1,
        keep_model=0.9, max_tokens=800, temperature=0.3, keep_max_tokens=1.0, keep_temperature=1.0,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Release:
    """The text that one version of a program puts around a customer's text."""

    version: str
    system: str | None
    wording: str  # with {q}


def releases(software: Software) -> tuple[Release, ...]:
    """Return the first release and one for each update; the same program has the same text in every scene.

    >>> first, second = releases(Software("Notewright", "plugin", updates=(9.0,)))
    >>> first.wording != second.wording, "{q}" in first.wording
    (True, True)
    """
    digest = hashlib.blake2b(f"{software.kind} {software.name}".encode(), digest_size=8).digest()
    rng = np.random.default_rng(int.from_bytes(digest))
    major = int(rng.integers(1, 9))
    rules = list(rng.permutation(len(w.RULES_OF[software.kind])))
    spare = rules[w.RULES_SHOWN[software.kind] :]
    shown = rules[: w.RULES_SHOWN[software.kind]]
    lead = w.LEADS[software.kind][int(rng.integers(len(w.LEADS[software.kind])))]
    programs = []
    for n in range(len(software.updates) + 1):
        if n:  # a new version changes a few rules
            for _ in range(min(3, len(spare), len(shown))):
                at = int(rng.integers(len(shown)))
                shown[at], spare[0] = spare[0], shown[at]
                spare.append(spare.pop(0))
        version = f"{major}.{n + int(major % 3)}"
        text = " ".join(w.RULES_OF[software.kind][i] for i in shown)
        programs.append(_release(software, version, lead, text, rng))
    return tuple(programs)


def _release(software: Software, version: str, lead: str, rules: str, rng: np.random.Generator) -> Release:
    """Put a version's rules where the kind of program has them."""
    name = software.name
    system: str | None = None
    wording = "{q}"
    if software.kind in ("plugin", "agency", "saas"):
        wording = f"{lead} {rules}\n\n{{q}}"
    elif software.kind == "coding_agent":
        tools = "\n".join(f"## {tool}\n{about}" for tool, about in w.TOOLS)
        system = f"{lead.format(name=name)} (version {version})\n\n{rules}\n\n# Tools\n{tools}"
    elif software.kind in ("class", "annotation", "reseller"):
        system = f"{lead.format(name=name)} {rules}"
    else:
        wording = f"{w.SHOTS}\n\nQuestion: {{q}}\nAnswer:"
    return Release(version, software.system or system, software.wording or wording)
