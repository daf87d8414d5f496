"""Signs what others will check: documents in DSSE envelopes, and manifests of files.

The same document and key give the same bytes.
Source: in-toto Attestation Framework 1.0, Statement; DSSE 1.0; RFC 8032.
"""

import base64
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stillwatch.cases.audit.signing import TrailSigner
from stillwatch.cases.bundle.verify import PAYLOAD_TYPE, STATEMENT, pae
from stillwatch.errors import StillwatchError, refuse_os_errors


def sign_document(document: Mapping[str, Any], payload_type: str, signer: TrailSigner) -> bytes:
    """Return a document in its signed envelope."""
    payload = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
    signature = bytes.fromhex(signer.sign(pae(payload_type, payload)))
    envelope = {
        "payloadType": payload_type,
        "payload": base64.b64encode(payload).decode("ascii"),
        "signatures": [{"keyid": signer.key, "sig": base64.b64encode(signature).decode("ascii")}],
    }
    return json.dumps(envelope, indent=1, sort_keys=True).encode("ascii") + b"\n"


def sign_manifest(
    files: Mapping[str, bytes], predicate_type: str, predicate: Mapping[str, Any], signer: TrailSigner
) -> bytes:
    """List every file with its SHA-256 in a signed manifest."""
    statement = {
        "_type": STATEMENT,
        "subject": [
            {"name": name, "digest": {"sha256": hashlib.sha256(files[name]).hexdigest()}}
            for name in sorted(files)
        ],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return sign_document(statement, PAYLOAD_TYPE, signer)


def json_file(document: Any) -> bytes:
    """Return a document's bytes as a file of a bundle."""
    return json.dumps(document, ensure_ascii=True, allow_nan=False, indent=1).encode("ascii") + b"\n"


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@contextmanager
def folder_beside(out: Path, refusal: type[StillwatchError]) -> Iterator[Path]:
    """Yield a temporary folder beside `out`, whose content is then moved there. Raises: `refusal`."""
    with refuse_os_errors(refusal, f"{out}: cannot be written"):
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name[:100]}."))
        try:
            yield beside
        finally:
            shutil.rmtree(beside, ignore_errors=True)
