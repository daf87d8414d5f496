"""Writes a verdict as one self-contained page and verdict.json, within what the grades allow.

`report` makes its words and its page; it travels in bundles and makes them again there.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stillwatch import __version__
from stillwatch.errors import refuse_os_errors
from stillwatch.prove import Evidence, Grade, ProveError, outcome, report
from stillwatch.prove.evidence_json import as_json
from stillwatch.prove.protocol import Signed
from stillwatch.prove.proven import Proof, proofs_that_hold
from stillwatch.report.findings import write_atomically
from stillwatch.report.visible import visible

KIND = "stillwatch verdict 1"
PAGE, DOCUMENT = "index.html", "verdict.json"


def headline(evidence: Sequence[Evidence], proof: Proof | None = None) -> str:
    """State in one sentence the most that the evidence supports."""
    found = outcome(tuple(evidence), proofs_that_hold(evidence, proof))
    return report.headline(found.name.lower(), [as_json(item) for item in evidence])


def check_evidence(evidence: Sequence[Evidence], protocol: Signed | None) -> None:
    """Check that the evidence is about one suspect and matches its protocol. Raises: ProveError."""
    if not evidence:
        raise ProveError("a verdict needs evidence: give at least one file that a `prove` verb wrote")
    suspects = sorted({item.suspect for item in evidence})
    if len(suspects) > 1:
        raise ProveError(
            f"the evidence is about {len(suspects)} suspects ({visible(', '.join(suspects), 200)}); a "
            "verdict is about one"
        )
    for item in evidence:
        if protocol is None or item.protocol_sha256 != protocol.sha256:
            continue
        fixed = protocol.protocol
        if item.alpha > fixed.alpha:
            raise ProveError(
                f"{item.method}: alpha is {item.alpha}, the signed protocol has {fixed.alpha}: it cannot be "
                "raised after the data were seen"
            )
        missing = sorted(set(fixed.units) - {row.name for row in item.rows})
        if missing and item.grade is not Grade.LEAD:
            raise ProveError(
                f"{item.method}: the protocol tests {len(fixed.units)} units, the evidence leaves out "
                f"{visible(', '.join(missing), 200)}; what was to be tested is reported, found or not"
            )
        more = sorted({row.name for row in item.rows if row.p_value is not None} - set(fixed.units))
        if more:
            raise ProveError(
                f"{item.method}: {visible(', '.join(more), 200)} was tested and is not in the protocol"
            )
    if protocol is not None and not any(item.protocol_sha256 == protocol.sha256 for item in evidence):
        raise ProveError("the protocol is of none of this evidence (protocol_sha256 differs)")


def as_document(
    evidence: Sequence[Evidence], protocol: Signed | None, proof: Proof | None = None
) -> dict[str, Any]:
    """Return verdict.json. Raises: ProveError."""
    check_evidence(evidence, protocol)
    outcome_name = outcome(tuple(evidence), proofs_that_hold(evidence, proof)).name.lower()
    shown = [as_json(item) for item in evidence]
    lacks = () if proof is None else proof.examined.missing
    return {
        "kind": KIND,
        "stillwatch": __version__,
        "suspect": evidence[0].suspect,
        "outcome": outcome_name,
        **report.words(outcome_name, shown, lacks),
        "sealed": None if proof is None else proof.examined.facts() | {"proof": proof.sha256},
        "protocol": None if protocol is None else _protocol_json(protocol),
        "evidence": shown,
    }


def _protocol_json(signed: Signed) -> dict[str, Any]:
    document = {"sha256": signed.sha256, "signed_by": signed.key} | asdict(signed.protocol)
    return dict(json.loads(json.dumps(document)))


def write_verdict(
    evidence: tuple[Evidence, ...], out_dir: Path, protocol: Signed | None = None, proof: Proof | None = None
) -> Path:
    """Write index.html and verdict.json into a folder; return the page's path. Raises: ProveError."""
    document = as_document(evidence, protocol, proof)
    with refuse_os_errors(ProveError, f"{out_dir}: the verdict cannot be written"):
        out_dir.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=True) + "\n"
        write_atomically(out_dir / DOCUMENT, text)
        page = report.page(document).encode("utf-8", "backslashreplace")
        write_atomically(out_dir / PAGE, page.decode("utf-8"))
    return out_dir / PAGE
