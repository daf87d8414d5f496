"""The words of a verdict: its headline, its page, its README. It needs Python 3.9's standard library.

This file travels unchanged in every bundle. The checker makes words and page again from verdict.json and from
its own computations, and compares them: a page cannot state anything that its bundle does not.

Names on the page come from files and models: all text is escaped, active and invisible characters are shown
as their codes, and the page's own policy allows no request and no script.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

WORDS = ("headline", "means", "missing", "means_not")  # of verdict.json: derived from the rest
GRADES = {
    "A": "Exact. A keyed coin chose which of two answers was served; the test asks which of the two the "
    "suspect prefers.",
    "A'": "Exact. A key steered the sampling of the served answers; the test looks for that key in what the "
    "suspect writes.",
    "B": "A rank among models known to be innocent. As good as they are, and never below one in their number "
    "and one.",
    "C": "A score. It says where to look, has no p-value, and moves no verdict.",
}
OUTCOMES = {
    "trained": "evidence of training on served answers",
    "owner_word": "the owner's word",
    "consistent": "consistent with the candidate as its teacher",
    "indeterminate": "indeterminate",
    "none": "none of the candidates",
    "not_shown": "not shown",
}
MEANS = {
    "trained": "The coin's test rejects its null at the sealed alpha, adjusted for every test that was "
    "sealed. By a third party's clock the actor and the test were sealed before the actor's coins fell, and "
    "the coins before the suspect's release; every number follows from the pairs that are disclosed.",
    "owner_word": "The owner's own test rejects its null. Nobody else can tell that it was not made up or "
    "chosen after looking: what is missing is named below. It is no proof.",
    "consistent": "A rank among audited innocents is as high as alpha asks. Similar models can have other "
    "reasons to be similar.",
    "indeterminate": "Nothing here decides it either way. Similarity alone never does.",
    "none": "No candidate stands out against the innocent models.",
    "not_shown": "The tests would have found an effect of the size that the protocol names, and found none.",
}
TRAINING = (
    "It rests on the owner's statement that coined answers stay out of its own training: else an innocent "
    "who learned from the owner's later models would lean the same way."
)
HELD = (
    "It rests on the owner's word that the ledger holds each coin as it fell. The accounts were named "
    "before, and nobody else sees a coin that was thrown again, or a file of the ledger that was removed."
)
MEANS_NOT = {
    "owner_word": (
        "It does not say that the suspect was trained on the answers: an owner can choose an actor, a ledger "
        "or its counts after it has seen the suspect.",
        "It does not say that a law or a contract was broken.",
        TRAINING,
    ),
    "trained": (
        "It does not say how the answers came to whoever trained the suspect: asked for, bought, leaked or "
        "copied from elsewhere.",
        "It does not say how large a part of the suspect's training they were, or what it owes to them.",
        "It does not say that a law or a contract was broken.",
        TRAINING,
        "It rests on the gateway having put the two answers in an order that did not know the coin.",
        HELD,
        "What the suspect said is its accuser's record; whoever doubts it asks the suspect again.",
    ),
    "consistent": (
        "It is no proof of distillation: shared ancestors, shared data and a teacher that is not among the "
        "candidates can give the same rank.",
        "The p-value holds for a suspect that is exchangeable with the innocents, and nobody can show that "
        "it is.",
        TRAINING,
    ),
    "indeterminate": ("It clears nobody and accuses nobody.", TRAINING),
    "none": (
        "It does not say that the suspect was not distilled: its teacher may not be a candidate.",
        TRAINING,
    ),
    "not_shown": (
        "It does not say that the suspect was not trained on the answers: a smaller effect, or answers that "
        "were rewritten, would not have been found.",
        TRAINING,
    ),
}
NO_PROOF = (
    "nothing that the result could be computed from: no disclosed pairs, no seal, no third party's time; "
    "`stillwatch coin seal` names actors before their coins fall and, later, ends the coins, and "
    "`stillwatch prove coin --seal` tests by it"
)
README = """Stillwatch {version}: a verdict on {suspect}

{headline}

{means}

What it does not mean:
{means_not}

Check it, with nothing but Python 3.9 or newer:

    python3 -I -S verify.py --key KEY [--stamp-ca ROOT.pem] [--witness WITNESS] [--released DATE]

KEY is the sender's public key; ask for it by another way than this bundle. ROOT.pem is the certificate of
the time-stamping authority, from the authority; WITNESS the public key of who saw the seal, from the
witness. report.html is the page for people, verdict.json the same in figures; proof.json, where it is there,
holds the disclosed pairs, what was measured of them and the seals; protocol.dsse.json what was fixed and
signed before the suspect was asked. All files that end in .py are the checker; leans.py, exact.py and
formula.py made the p-values, report.py the page.
"""


# --- what follows from an outcome and its evidence ---


def _names_found(evidence: Iterable[Mapping[str, Any]]) -> list[tuple[str, float]]:
    """Return the rows that were found, each with its smallest adjusted p-value, in order of that."""
    least: dict[str, float] = {}
    for item in evidence:
        for row in item["rows"]:
            p = row["p_adjusted"]
            if p is not None and p <= item["alpha"]:
                least[row["name"]] = min(least.get(row["name"], 1.0), p)
    return sorted(least.items(), key=lambda pair: (pair[1], pair[0]))


def headline(outcome: str, evidence: Sequence[Mapping[str, Any]]) -> str:
    """State in one sentence the most that the evidence supports."""
    suspect = evidence[0]["suspect"]
    if outcome == "trained":
        names = _names_found(item for item in evidence if item["proof_sha256"] and item["grade"] == "A")
        who, p = name_list([name for name, _ in names]), p_text(names[0][1])
        return f"Evidence that {suspect} was trained on answers served to {who}: p = {p}, adjusted, exact."
    if outcome == "owner_word":
        names = _names_found(item for item in evidence if item["grade"] in ("A", "A'"))
        who, p = name_list([name for name, _ in names]), p_text(names[0][1])
        return (
            f"The owner's word: by its own test {suspect} leans to answers served to {who} (p = {p}). "
            "No proof."
        )
    if outcome == "consistent":
        who = name_list([name for name, _ in _names_found(item for item in evidence if item["grade"] == "B")])
        return f"{suspect} is consistent with {who} as its teacher. That is no proof of it."
    if outcome == "none":
        return f"None of the candidates stands out as the teacher of {suspect}."
    if outcome == "not_shown":
        return f"Not shown: a test that would have seen it does not see served answers in {suspect}."
    return f"Indeterminate: the evidence on {suspect} decides nothing."


def name_list(names: Sequence[str], most: int = 3) -> str:
    """
    >>> name_list(["a"]), name_list(["a", "b"]), name_list(["a", "b", "c", "d", "e"])
    ('a', 'a and b', 'a, b, c and 2 more')
    """
    shown = list(names[:most])
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]


def words(outcome: str, evidence: Sequence[Mapping[str, Any]], of_proof: Sequence[str]) -> dict[str, Any]:
    """Return all texts of verdict.json. of_proof: what its proof lacks for *trained*."""
    found = [e for e in evidence if e["grade"] in ("A", "A'") and _names_found([e])]
    missing = [NO_PROOF] if any(not e["proof_sha256"] for e in found) else []
    if any(e["proof_sha256"] for e in found):
        missing = list(of_proof)
    return {
        "headline": headline(outcome, evidence),
        "means": MEANS[outcome],
        "missing": missing,
        "means_not": list(MEANS_NOT[outcome]),
    }


def readme(verdict: Mapping[str, Any]) -> str:
    """Return README.txt of a bundle."""
    verdict_words = {name: plain_text(verdict[name]) for name in ("suspect", "headline", "means")}
    return README.format(
        version=plain_text(verdict["stillwatch"]),
        means_not="\n".join(f"- {sentence}" for sentence in verdict["means_not"]),
        **verdict_words,
    )


# --- the page ---

STYLE = """
:root { color-scheme: light dark; --ink: #1f1c18; --soft: #625b51; --line: #d9d2c4; --card: #fffefc;
  --bg: #f6f4ef; --hot: #9a4716; --cool: #235a78; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #ebe8e2; --soft: #aaa59b; --line: #3a3e44;
  --card: #1a1c1f; --bg: #121315; --hot: #f2a873; --cool: #8cc4e2; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 3rem; max-width: 62rem; background: var(--bg);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.8rem; line-height: 1.25; margin: 0.6rem 0; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 0.7rem; }
h3 { font-size: 1.1rem; margin: 0 0 0.6rem; }
h4 { font-size: 0.95rem; margin: 1.3rem 0 0.4rem; }
p, ul { max-width: 48em; margin: 0 0 0.7rem; }
a { color: var(--cool); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.2rem 1.4rem;
  margin: 0 0 1.2rem; }
.soft, .by { color: var(--soft); }
.outcome, .grade { display: inline-block; border: 1.5px solid currentColor; border-radius: 1em;
  padding: 0 0.7em; font-weight: 650; color: var(--soft); }
.outcome.trained, .no, tr.found { color: var(--hot); }
.grade { margin-right: 0.5em; color: var(--cool); }
.null { border-left: 4px solid var(--line); padding-left: 0.9rem; }
.ctl { font-family: monospace; border: 1px solid var(--line); border-radius: 3px; font-size: 0.85em; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.35rem 0.8rem 0.35rem 0;
  border-bottom: 1px solid var(--line); }
th { min-width: 4.2em; }
th[scope=row] { min-width: 9.5em; }
td:last-child { min-width: 3.5em; }
code { font: 0.88em/1.4 monospace; overflow-wrap: anywhere; }
@media print { body { background: none; } .card { break-inside: avoid-page; border-radius: 0; } }
"""
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}
_HIDES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")
_BLANK = (0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0)  # letters and symbols that are invisible
_POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MOST_ROWS = 400


def escape(text: str) -> str:
    """Escape a text for an element or a quoted attribute."""
    return html.escape(text).replace("&#x27;", "&#39;")


def _visible_characters(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each character, and whether it is shown as its code: active, invisible and stacking ones are.

    Uses Unicode 3.2, which every Python has, so that all machines make the same page.
    """
    marks = 0
    for char in text:
        kind, code = unicodedata.ucd_3_2_0.category(char), ord(char)
        plain = " " <= char < "\x7f" and char != "\\"
        hides = kind in _HIDES or code in _BLANK or 0xFE00 <= code <= 0xFE0F
        if not plain and (char in _SHORT or hides or (kind[0] == "M" and marks >= 2)):
            yield (
                _SHORT.get(char)
                or (
                    f"\\x{code:02x}"
                    if code < 0x100
                    else f"\\u{code:04x}"
                    if code < 0x10000
                    else f"\\U{code:08x}"
                ),
                True,
            )
        else:
            yield char, False
        marks = marks + 1 if kind[0] == "M" else 0


def plain_text(text: str, limit: int = 1200) -> str:
    """Return a text for a file without markup: a name cannot begin a line of its own, nor hide anything.

    >>> plain_text("a\\nb\\u202e")
    'a\\\\nb\\\\u202e'
    """
    return "".join(shown for shown, _ in _visible_characters(text[:limit]))


def escaped_text(text: Any, limit: int = 1200) -> str:
    """Return a text for HTML: escaped, with active, invisible and stacking characters as their codes.

    >>> escaped_text("a<b\\u202e")
    '<bdi>a&lt;b<span class="ctl">\\\\u202e</span></bdi>'
    """
    if text is None or text == "":
        return "-" if text is None else '<span class="ctl">(empty)</span>'
    made = [
        f'<span class="ctl">{shown}</span>' if is_code else escape(shown)
        for shown, is_code in _visible_characters(str(text)[:limit])
    ]
    more = len(str(text)) - limit
    cut = f'<span class="ctl">... (+{more:,} characters)</span>' if more > 0 else ""
    return f"<bdi>{''.join(made)}{cut}</bdi>"


def p_text(p: float | None) -> str:
    """
    >>> p_text(0.25), p_text(2.5e-6), p_text(None)
    ('0.25', '2.5 × 10⁻⁶', '-')
    """
    if p is None or not math.isfinite(p):
        return "-"
    if p >= 1e-3 or p <= 0:
        return f"{p:.2g}"
    digits, power = f"{p:.1e}".split("e")
    return f"{digits} × 10{str(int(power)).translate(_POWERS)}"


def number_text(value: float | None) -> str:
    """
    >>> number_text(None), number_text(0.0312), number_text(41250.0)
    ('-', '0.0312', '41,250')
    """
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def policy() -> str:
    """The page's content security policy: its own style and nothing else."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode("utf-8")).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def page(
    verdict: Mapping[str, Any], signer: str | None = None, senders_word: Sequence[str] | None = None
) -> str:
    """Render the page of a verdict. In a bundle, with its signer and what nobody else can recompute."""
    outcome_name = verdict["outcome"]
    title = escaped_text(f"verdict on {verdict['suspect']}", 160)
    parts = [
        f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(policy())}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Stillwatch: {escape(_plain(verdict["suspect"]))}</title>
<style>{STYLE}</style>
</head>
<body>
<header><p class="soft">Stillwatch {escaped_text(verdict["stillwatch"], 40)}: {title}</p></header>
<main>
<p class="outcome {outcome_name}">{escape(OUTCOMES[outcome_name])}</p>
<h1>{escaped_text(verdict["headline"], 400)}</h1>
<p>{escaped_text(verdict["means"])}</p>""",
        _conditions(verdict),
        _list("What is missing for more", verdict["missing"]),
        _three_lines(verdict, signer, senders_word),
        "<h2>Evidence</h2>",
        *(_card(e) for e in sorted(verdict["evidence"], key=lambda e: "A A' B C".index(e["grade"]))),
        "<h2>What this verdict does not mean</h2>",
        f'<div class="card">{_items(verdict["means_not"])}</div>',
        _protocol(verdict),
        "<h2>Grades</h2>",
        f'<div class="card">{_table((), [(f"<b>{k}</b>", escape(v)) for k, v in GRADES.items()])}'
        "<p>Evidence of grade B never says more than “consistent”, evidence of grade C never more than "
        "“indeterminate”.</p></div>",
        "</main>\n</body>\n</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _plain(text: str) -> str:
    return "".join(c if " " <= c < "\x7f" else "?" for c in str(text))[:120]


def _items(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escaped_text(sentence)}</li>' for sentence in sentences)}</ul>"


def _list(title: str, sentences: Sequence[str]) -> str:
    return f"<h4>{title}</h4>{_items(sentences)}" if sentences else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], found: Sequence[bool] = ()) -> str:
    head = "".join(f'<th scope="col">{head_}</th>' for head_ in heads)
    body = []
    for k, row in enumerate(rows):
        mark = ' class="found"' if found and found[k] else ""
        cells = "".join(f"<td>{cell}</td>" for cell in row[1:])
        body.append(f'<tr{mark}><th scope="row">{row[0]}</th>{cells}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _conditions(verdict: Mapping[str, Any]) -> str:
    """List the conditions of a sealed test's verdict that a reader has to accept or to supply."""
    sealed = verdict["sealed"]
    if sealed is None:
        return ""
    granted = sealed["granted"]
    given = [f"the word of witness {witness}" for witness in granted["witnesses"]]
    given += ["a time stamp under a root that the sender named"] if granted["stamp"] else []
    given += [f"that the suspect was released on {granted['released']}"] if granted["released"] else []
    there = f" It was there at {sealed['sealed_at']}, by {sealed['by']}." if sealed["sealed_at"] else ""
    named = (
        "No earlier seal named the actors."
        if sealed["naming"] is None
        else f"Seal {sealed['naming']} named the actors, before their coins fell."
    )
    facts = (
        f"Seal {sealed['number']} allows {sealed['tests']} tests; all of them count. {named} "
        f"{sealed['pairs']} pairs are disclosed, and {sealed['unpaired']} coins without a pair of answers: "
        f"each of these counts against.{there}"
    )
    if not given:
        return f"<p>{escaped_text(facts)} The sender granted no third party's word and no release date.</p>"
    return (
        f"<p>{escaped_text(facts)}</p><p><b>This verdict holds for a reader who grants</b> "
        f"{escaped_text('; '.join(given), 4000)}. Whoever grants less names to the checker what he grants "
        "(--witness, --stamp-ca, --released); it says which verdict is left.</p>"
    )


def _three_lines(verdict: Mapping[str, Any], signer: str | None, senders_word: Sequence[str] | None) -> str:
    """Intact, signer verified, claims recomputed: what this page can and cannot show of each."""
    if signer is None or senders_word is None:
        return (
            "<h2>How to check it</h2><p>This page lies outside of any bundle. Nothing binds it: ask for the "
            "signed bundle (<code>stillwatch prove verdict --bundle</code>).</p>"
        )
    if senders_word:
        claims = (
            f'<b class="no">NO.</b> {len(senders_word)} statements are the sender’s word: nobody can compute '
            f"them from this bundle.{_items(senders_word)}"
        )
    else:
        claims = (
            "Every p-value, row, and word on this page follows from what the bundle discloses, by the rules "
            "of this release. The checker computes them and makes this page again."
        )
    rows = [
        (
            "intact",
            "No page can say this of its own bundle. The checker compares every file with the signed "
            "manifest.",
        ),
        (
            "signer verified",
            f"The manifest is signed by key <code>{escaped_text(signer, 80)}</code>. It is verified only by "
            "who got this key from the sender by another way than this bundle.",
        ),
        ("claims recomputed", claims),
    ]
    return (
        "<h2>How to check it</h2><p>Three things, each for itself. Run a copy of the checker that you did "
        "not get with the bundle, with nothing but Python 3.9 or newer:</p><p><code>python3 -I -S "
        "verify.py BUNDLE --key KEY --witness WITNESS --released DATE</code></p>"
        + _table(("Line", "What it says here"), rows)
    )


def _card(e: Mapping[str, Any]) -> str:
    """One test."""
    found = [row["p_adjusted"] is not None and row["p_adjusted"] <= e["alpha"] for row in e["rows"]]
    whose = (
        "Everything in this box follows from proof.json."
        if e["proof_sha256"]
        else "The words and counts in this box are the sender’s."
    )
    rows = [
        (
            escaped_text(row["name"], 160), f"{row['n']:,}",
            number_text(row["effect"])
            + (
                ""
                if row["effect_low"] is None
                else f" ({number_text(row['effect_low'])} to {number_text(row['effect_high'])})"
            ),
            p_text(row["p_value"]), p_text(row["p_adjusted"]),
        )
        for row in e["rows"][:_MOST_ROWS]
    ]  # fmt: skip
    heads = ("Name", "n", "Effect (95 % interval)", "p", "p, adjusted")
    more = len(e["rows"]) - _MOST_ROWS
    null = (
        f"<b>Null:</b> {escaped_text(e['null'])}"
        if e["null"]
        else "A lead: a score, without a null and without a p-value."
    )
    floor = (
        f" The smallest p that this test can give is {p_text(e['p_floor'])}."
        if e["p_floor"] is not None
        else ""
    )
    means = f" Found means: p, adjusted, at most {p_text(e['alpha'])}.{floor}" if e["null"] else ""
    none = " This test says: none of the candidates." if e["none_of_them"] else ""
    checks = [
        (escaped_text(c["what"]), escaped_text(c["found"]), "yes" if c["clear"] else '<b class="no">no</b>')
        for c in e["confounds"]
    ]
    return "".join(
        (
            f'<div class="card"><h3><span class="grade">{escape(e["grade"])}</span>',
            f"{escaped_text(e['method'])}</h3>",
            f'<p class="soft">{whose}</p><p><b>Under test:</b> {escaped_text(e["claim"])}</p>',
            f'<p class="null">{null}</p>{_table(heads, rows, found)}',
            f"<p>{more} more are in verdict.json.</p>" if more > 0 else "",
            f'<p class="soft">Effect: {escaped_text(e["unit"], 400)}.{means}{none}</p>',
            f"<p><b>Power, as the sender states it:</b> {escaped_text(e['power'])}</p>" if e["power"] else "",
            f"<h4>What else could explain it</h4>{_table(('Checked', 'Found', 'Clear'), checks)}"
            if checks
            else "",
            _list("This test does not say", e["means_not"]),
            "</div>",
        )
    )


def _protocol(verdict: Mapping[str, Any]) -> str:
    """What was signed before the suspect was asked."""
    p = verdict["protocol"]
    if p is None:
        if all(e["proof_sha256"] for e in verdict["evidence"]):
            return ""  # a seal fixed all of it, earlier
        return (
            '<h2>Protocol</h2><div class="card"><p>No signed protocol came with this verdict. Whoever '
            "reads it cannot tell whether prompts, statistic and alpha were chosen before the answers were "
            "seen.</p>"
            "</div>"
        )
    units = ", ".join(p["units"][:40]) + (f" and {len(p['units']) - 40} more" if len(p["units"]) > 40 else "")
    rows = [
        ("Made at", f"{escaped_text(p['made_at'])}, as its signer says"),
        ("Statistic", escaped_text(p["statistic"])),
        ("Tested together", escaped_text(units, 6000)),
        ("Alpha over all of them", p_text(p["alpha"])),
        ("Prompts", f"{p['prompts']:,}, SHA-256 <code>{escaped_text(p['prompts_sha256'])}</code>"),
        ("Looks", escaped_text(p["stop"])),
        *(("Commitment", f"<code>{escaped_text(commitment)}</code>") for commitment in p["commitments"]),
        *((escaped_text(name), escaped_text(value)) for name, value in p["settings"]),
        ("Signed by", f"<code>{escaped_text(p['signed_by'])}</code>"),
        ("SHA-256 of the signed file", f"<code>{escaped_text(p['sha256'])}</code>"),
    ]
    if p["effect"] is not None:
        rows.insert(4, ("Effect that is to be found", number_text(p["effect"])))
    not_fixed = "".join(
        f" The test “{escaped_text(e['method'])}” was not fixed by it."
        for e in verdict["evidence"]
        if e["protocol_sha256"] != p["sha256"]
    )
    return (
        f'<h2>Protocol</h2><div class="card">{_table((), rows)}<p class="soft">That the protocol is '
        "older than the answers is shown by whoever was given this SHA-256 before; the signature alone does "
        "not show it."
        f"{not_fixed}</p></div>"
    )
