"""Checks the time stamps on heads of a trail already verified by `verify` and the witnesses.

A stamp proves that a head, and so every record before it, existed at a time. The holder of the signing key
can rewrite history, but not under an old stamp. A stamp does not show how long before that a record was
written.
"""

import base64
from collections.abc import Sequence
from dataclasses import replace

from cryptography.x509 import Certificate

from stillwatch.cases.audit import Broken, Cause, Stamped, VerifiedTrail
from stillwatch.cases.audit.witness import WitnessedHead, is_vouched, stamped_bytes
from stillwatch.cases.stamping import StampError, check


def check_stamps(
    verified: VerifiedTrail,
    witness: Sequence[WitnessedHead | str],
    roots: Sequence[Certificate] | None,
    witness_keys: Sequence[str] = (),
) -> VerifiedTrail | Broken:
    """Check the stamps on those lines of the witnesses that `verify` compared with the trail.

    roots: of the authority; None: stamps are only counted.
    """
    marked = [
        line
        for line in witness
        if isinstance(line, WitnessedHead)
        and line.stamp is not None
        and line.head.chain == verified.chain
        # a line not signed by a named partner was not compared with the trail
        and (not witness_keys or (line.witness in witness_keys and is_vouched(line)))
    ]
    if not marked:
        if roots is None:
            return verified
        why = "no line of the witness carries a time stamp of this trail (`audit checkpoint --stamp`)"
        return replace(verified, notes=(*verified.notes, why))
    if roots is None:
        why = f"{len(marked)} with a time stamp: not checked without the authority's root (--stamp-ca)"
        return replace(verified, notes=(*verified.notes, why))
    stamps = []
    for line in marked:
        try:
            answer = base64.b64decode(line.stamp or "", validate=True)
            stamp = check(answer, stamped_bytes(line.head), roots)
        except (ValueError, StampError) as why:
            return Broken(line.head.seq, Cause.WITNESS, f"{line.place}: its time stamp does not hold: {why}")
        behind_s = stamp.at.timestamp() - line.head.at_us / 1e6
        at_text = stamp.at.isoformat().replace("+00:00", "Z")
        stamps.append(Stamped(line.head.seq, at_text, stamp.authority, round(behind_s, 3)))
    return replace(verified, stamps=tuple(sorted(stamps, key=lambda line: line.seq)))
