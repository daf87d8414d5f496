"""A verdict as one self-contained page and verdict.json: what the ceiling allows to say. It tests nothing.

Names on it come from files and models: the template escapes, `visible` defuses, and the page's own policy
allows no request and no script.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from stillwatch import __version__
from stillwatch.prove import Evidence, Grade, Outcome, ProveError, outcome
from stillwatch.prove.evidence_json import as_json
from stillwatch.prove.protocol import Signed
from stillwatch.prove.proven import Proof, missing, proofs_that_hold
from stillwatch.report import amounts, sheet
from stillwatch.report.findings import write_atomically
from stillwatch.report.visible import visible

KIND = "stillwatch verdict 1"
PAGE, DOCUMENT = "index.html", "verdict.json"
GRADES = {
    Grade.COIN: "Exact. A keyed coin chose which of two answers was served; the test asks which of the two "
    "the suspect prefers.",
    Grade.MARK: "Exact. A key steered the sampling of the served answers; the test looks for that key in "
    "what the suspect writes.",
    Grade.RANK: "A rank among models known to be innocent. As good as they are, and never below one in their "
    "number and one.",
    Grade.LEAD: "A score. It says where to look, has no p-value, and moves no verdict.",
}
MEANS = {
    Outcome.TRAINED: "The coin's test rejects its null at the sealed alpha, adjusted for every test that was "
    "sealed. Actors, pairs and test were sealed before the suspect's release by a third party's clock, and "
    "every number follows from the pairs that are disclosed.",
    Outcome.OWNER_WORD: "The owner's own test rejects its null. Nobody else can tell that it was "
    "not made up or "
    "chosen after looking: what is missing is named below. It is no proof.",
    Outcome.CONSISTENT: "A rank among audited innocents is as high as alpha asks. Similar models can have "
    "other reasons to be similar.",
    Outcome.INDETERMINATE: "Nothing here decides it either way. Similarity alone never does.",
    Outcome.NONE: "No candidate stands out against the innocent models.",
    Outcome.NOT_SHOWN: "The tests would have found an effect of the size that the protocol names, and found "
    "none.",
}
TRAINING = (
    "It rests on the owner's statement that coined answers stay out of its own training: else an "
    "innocent who "
    "learned from the owner's later models would lean the same way."
)
MEANS_NOT = {
    Outcome.OWNER_WORD: (
        "It does not say that the suspect was trained on the answers: an owner can choose an "
        "actor, a ledger or "
        "its counts after it has seen the suspect.",
        "It does not say that a law or a contract was broken.",
        TRAINING,
    ),
    Outcome.TRAINED: (
        "It does not say how the answers came to whoever trained the suspect: asked for, bought, leaked or "
        "copied from elsewhere.",
        "It does not say how large a part of the suspect's training they were, or what it owes to them.",
        "It does not say that a law or a contract was broken.",
        TRAINING,
        "It rests on the gateway having put the two answers in an order that did not know the coin.",
        "What the suspect said is its accuser's record; whoever doubts it asks the suspect again.",
    ),
    Outcome.CONSISTENT: (
        "It is no proof of distillation: shared ancestors, shared data and a teacher that is not among the "
        "candidates can give the same rank.",
        "The p-value holds for a suspect that is exchangeable with the innocents, and nobody can show that "
        "it is.",
        TRAINING,
    ),
    Outcome.INDETERMINATE: ("It clears nobody and accuses nobody.", TRAINING),
    Outcome.NONE: (
        "It does not say that the suspect was not distilled: its teacher may not be a candidate.",
        TRAINING,
    ),
    Outcome.NOT_SHOWN: (
        "It does not say that the suspect was not trained on the answers: a smaller effect, or answers that "
        "were rewritten, would not have been found.",
        TRAINING,
    ),
}


def names_found(evidence: Sequence[Evidence], grades: tuple[Grade, ...]) -> list[tuple[str, float]]:
    """Give the rows that were found, each with its smallest adjusted p-value, in order of that."""
    found: dict[str, float] = {}
    for one in evidence:
        for row in one.found() if one.grade in grades else ():
            found[row.name] = min(found.get(row.name, 1.0), row.p_adjusted or 1.0)
    return sorted(found.items(), key=lambda pair: (pair[1], pair[0]))


def headline(evidence: Sequence[Evidence], proof: Proof | None = None) -> str:
    """Say in one sentence what all the evidence says at most."""
    told, suspect = outcome(tuple(evidence), proofs_that_hold(evidence, proof)), evidence[0].suspect
    if told is Outcome.TRAINED:
        names = names_found([one for one in evidence if one.proof_sha256], (Grade.COIN,))
        p = amounts.p_value(names[0][1])
        who = _list_names([name for name, _ in names])
        return f"Evidence that {suspect} was trained on answers served to {who}: p = {p}, adjusted, exact."
    if told is Outcome.OWNER_WORD:
        names = names_found(evidence, (Grade.COIN, Grade.MARK))
        p, who = amounts.p_value(names[0][1]), _list_names([name for name, _ in names])
        return (
            f"The owner's word: by its own test {suspect} leans to answers served to {who} (p "
            f"= {p}). No proof."
        )
    if told is Outcome.CONSISTENT:
        who = _list_names([name for name, _ in names_found(evidence, (Grade.RANK,))])
        return f"{suspect} is consistent with {who} as its teacher. That is no proof of it."
    if told is Outcome.NONE:
        return f"None of the candidates stands out as the teacher of {suspect}."
    if told is Outcome.NOT_SHOWN:
        return f"Not shown: a test that would have seen it does not see served answers in {suspect}."
    return f"Indeterminate: the evidence on {suspect} decides nothing."


def _list_names(names: list[str], most: int = 3) -> str:
    """
    >>> _list_names(["a"]), _list_names(["a", "b"]), _list_names(["a", "b", "c", "d", "e"])
    ('a', 'a and b', 'a, b, c and 2 more')
    """
    shown = names[:most]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]


def check_evidence(evidence: Sequence[Evidence], protocol: Signed | None) -> None:
    """See to it that the evidence is about one suspect and what its protocol fixed. Raises: ProveError."""
    if not evidence:
        raise ProveError("a verdict needs evidence: give at least one file that a `prove` verb wrote")
    suspects = sorted({one.suspect for one in evidence})
    if len(suspects) > 1:
        raise ProveError(
            f"the evidence is about {len(suspects)} suspects ({visible(', '.join(suspects), 200)}); a "
            "verdict is about one"
        )
    for one in evidence:
        if protocol is None or one.protocol_sha256 != protocol.sha256:
            continue
        fixed = protocol.protocol
        if one.alpha > fixed.alpha:
            raise ProveError(
                f"{one.method}: alpha is {one.alpha}, the signed protocol has {fixed.alpha}: it cannot be "
                "raised after the data were seen"
            )
        missing = sorted(set(fixed.units) - {row.name for row in one.rows})
        if missing and one.grade is not Grade.LEAD:
            raise ProveError(
                f"{one.method}: the protocol tests {len(fixed.units)} units, the evidence leaves out "
                f"{visible(', '.join(missing), 200)}; what was to be tested is reported, found or not"
            )
        more = sorted({row.name for row in one.rows if row.p_value is not None} - set(fixed.units))
        if more:
            raise ProveError(
                f"{one.method}: {visible(', '.join(more), 200)} was tested and is not in the protocol"
            )
    if protocol is not None and not any(one.protocol_sha256 == protocol.sha256 for one in evidence):
        raise ProveError("the protocol is of none of this evidence (protocol_sha256 differs)")


def as_document(
    evidence: Sequence[Evidence], protocol: Signed | None, proof: Proof | None = None
) -> dict[str, Any]:
    """Give verdict.json. Raises: ProveError."""
    check_evidence(evidence, protocol)
    told = outcome(tuple(evidence), proofs_that_hold(evidence, proof))
    return {
        "kind": KIND,
        "stillwatch": __version__,
        "suspect": evidence[0].suspect,
        "outcome": told.name.lower(),
        "headline": headline(evidence, proof),
        "means": MEANS[told],
        "missing": missing(evidence, proof),
        "means_not": list(MEANS_NOT[told]),
        "sealed": sealed_json(proof),
        "protocol": None if protocol is None else _protocol_json(protocol),
        "evidence": [as_json(one) for one in evidence],
    }


def sealed_json(proof: Proof | None) -> dict[str, Any] | None:
    """What a proof says of its seal; None without one."""
    if proof is None:
        return None
    names = ("number", "tests", "alpha", "sealed_at", "by", "released", "pairs")
    return {"proof": proof.sha256} | {name: getattr(proof.examined, name) for name in names}


def _protocol_json(signed: Signed) -> dict[str, Any]:
    return {"sha256": signed.sha256, "signed_by": signed.key} | asdict(signed.protocol)


def write_verdict(
    evidence: tuple[Evidence, ...], out_dir: Path, protocol: Signed | None = None, proof: Proof | None = None
) -> Path:
    """Write index.html and verdict.json into a folder; give the page's path. Raises: ProveError."""
    document = as_document(evidence, protocol, proof)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=True) + "\n"
        write_atomically(out_dir / DOCUMENT, text)
        write_atomically(out_dir / PAGE, render(evidence, protocol, proof))
    except OSError as why:
        raise ProveError(f"{out_dir}: the verdict cannot be written: {why.strerror}") from why
    return out_dir / PAGE


def render(evidence: Sequence[Evidence], protocol: Signed | None, proof: Proof | None = None) -> str:
    """Give the page as text. Raises: ProveError."""
    check_evidence(evidence, protocol)
    told = outcome(tuple(evidence), proofs_that_hold(evidence, proof))
    style = sheet.style_with("stillwatch.prove", "verdict.css")
    order = {Grade.COIN: 0, Grade.MARK: 1, Grade.RANK: 2, Grade.LEAD: 3}
    return (
        _environment()
        .get_template("verdict.html.j2")
        .render(
            evidence=sorted(evidence, key=lambda one: order[one.grade]),
            told=told,
            headline=headline(evidence, proof),
            means=MEANS[told],
            missing=missing(evidence, proof),
            sealed=sealed_json(proof),
            means_not=MEANS_NOT[told],
            grades=GRADES,
            signed=protocol,
            style=style,
            policy=sheet.policy(style),
            version=__version__,
        )
    )


@cache
def _environment() -> Environment:
    environment = sheet.environment("stillwatch.prove")
    environment.filters.update(count=amounts.count, number=amounts.number, p_value=amounts.p_value)
    environment.globals.update(counted=amounts.plural)
    return environment
