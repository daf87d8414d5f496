"""Examines the proof that lies beside its evidence, by what this reader trusts."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stillwatch.prove import Evidence, ProveError, checker
from stillwatch.prove.evidence_json import as_json

LARGEST = 256 << 20


@dataclass(frozen=True)
class Proof:
    """A proof and the result of its examination."""

    data: bytes
    sha256: str
    examined: Any  # `proof.Examined`


def trust(stamp_ca: Path | None, witnesses: Sequence[str], released: str | None) -> Any:
    """Build the settings of a checker's trust. Raises: ProveError for a key or a date that is not one."""
    try:
        keys = tuple(checker.answers.read_key(witness) for witness in witnesses)
    except ValueError:
        raise ProveError("--witness: give 64 hex digits, or a file that holds a public key") from None
    try:
        if released:
            checker.proof.when(released)
    except ValueError:
        raise ProveError(
            f"--released {released}: give a day, as in 2026-11-27, or an ISO time with Z"
        ) from None
    if stamp_ca is not None and not stamp_ca.is_file():
        raise ProveError(f"--stamp-ca {stamp_ca}: there is no such file")
    now = datetime.now(UTC).isoformat()
    return checker.proof.Trust(None if stamp_ca is None else str(stamp_ca), keys, released, now)


def read(path: Path, signer: str | None, given: Any) -> Proof:
    """Read a proof and examine it. Raises: ProveError."""
    try:
        if path.stat().st_size > LARGEST:
            raise ProveError(f"{path}: is larger than {LARGEST >> 20} MiB")
        data = path.read_bytes()
        found = checker.proof.examine(json.loads(data), signer, given, checker.parts)
    except OSError as why:
        raise ProveError(f"{path}: cannot be checked: {why.strerror or why}") from why
    except checker.envelope.CANNOT as why:
        raise ProveError(f"{path}: is no proof ({type(why).__name__}: {why})") from None
    return Proof(data, hashlib.sha256(data).hexdigest(), found)


def proofs_that_hold(evidence: Sequence[Evidence], proof: Proof | None) -> frozenset[str]:
    """Return the SHA-256 of each verified proof. Raises: ProveError if evidence contradicts its proof."""
    sealed = [item for item in evidence if item.proof_sha256]
    if not sealed:
        return frozenset()
    if proof is None or any(item.proof_sha256 != proof.sha256 for item in sealed):
        raise ProveError("the evidence is of another proof than the proof.json that was given")
    if proof.examined.wrong:
        raise ProveError(f"proof.json: {'; '.join(proof.examined.wrong[:5])}")
    for item in sealed:
        for name, holds, why in checker.compared(as_json(item), proof.examined):
            if not holds:
                raise ProveError(f"{item.method}: {name}: {why}")
    return frozenset({proof.sha256}) if proof.examined.holds else frozenset()
