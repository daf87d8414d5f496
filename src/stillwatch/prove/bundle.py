"""A verdict as a signed bundle that another company or a court's expert can check.

The same evidence, protocol and key give the same bytes: the only time in it is the protocol's. `checker`
travels in it as verify.py. It needs only Python's standard library, and runs before anything is written.
"""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import stillwatch
from stillwatch.cases.audit.signing import TrailSigner
from stillwatch.cases.bundle import Exported
from stillwatch.cases.bundle.signed import folder_beside, json_file, sign_manifest, write_files
from stillwatch.cases.bundle.verify import MANIFEST
from stillwatch.errors import refuse_os_errors
from stillwatch.prove import Evidence, ProveError, checker, report
from stillwatch.prove.protocol import Signed
from stillwatch.prove.proven import Proof
from stillwatch.prove.verdict import DOCUMENT, as_document

LARGEST = 256 << 20  # bytes of one attached file


def make(
    evidence: tuple[Evidence, ...],
    signer: TrailSigner,
    protocol: Signed | None = None,
    attached: Mapping[str, bytes] | None = None,
    proof: Proof | None = None,
) -> dict[str, bytes]:
    """Build a signed bundle in memory. attached: further files by name, included unchanged.

    Raises: ProveError.
    """
    document = as_document(evidence, protocol, proof)
    files = {
        checker.README: report.readme(document).encode("utf-8", "backslashreplace"),
        DOCUMENT: json_file(document),
        "verify.py": Path(checker.__file__).read_bytes(),
    }
    files |= {name: place.read_bytes() for name, place in checker.PARTS.items()}
    if protocol is not None:
        files[checker.PROTOCOL] = protocol.envelope
    if proof is not None:
        files[checker.PROOF] = proof.data
    for name, data in (attached or {}).items():
        if not name or name != Path(name).name or name.startswith(".") or not name.isprintable():
            raise ProveError(f"{name!r:.100}: an attached file has a plain name, without folders")
        files[f"attached/{name}"] = data
    try:
        files[checker.REPORT] = checker.page_of(checker.FilesInMemory(files), signer.key)
    except ValueError as why:
        raise ProveError(f"nothing was written: {why}") from None
    files[MANIFEST] = _manifest(files, document, signer)
    return files


def _manifest(files: Mapping[str, bytes], document: Mapping[str, Any], signer: TrailSigner) -> bytes:
    fields = {**document, "stillwatch": stillwatch.__version__}
    return sign_manifest(files, checker.PREDICATE, {name: fields[name] for name in checker.TOLD}, signer)


def write(files: Mapping[str, bytes], out: Path) -> Exported:
    """Write a bundle as a folder or a `.zip`, atomically, after its own checker has passed it.

    Raises: ProveError if the checker objects, the path exists or it cannot be written.
    """
    if out.exists():
        raise ProveError(f"{out}: is there already; name another place")
    with folder_beside(out, ProveError) as beside:
        made = (
            _write_zip(beside / out.name, files, out.stem)
            if out.suffix == ".zip"
            else write_files(beside / "b", files)
        )
        found = checker.check(made, None)
        if found["contradictions"]:
            raise ProveError(f"nothing was written: {'; '.join(found['contradictions'][:5])}")
        made.rename(out)
    manifest = hashlib.sha256(files[MANIFEST]).hexdigest()
    return Exported(out, manifest, len(files), sum(map(len, files.values())), found["told"]["signed_by"])


def _write_zip(path: Path, files: Mapping[str, bytes], inside: str) -> Path:
    """Stored, not deflated: another version of zlib would write other bytes."""
    with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED) as packed:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{inside}/{name}")
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            packed.writestr(entry, files[name])
    return path


def read_attached(paths: list[Path]) -> dict[str, bytes]:
    """Read files to be attached. Raises: ProveError."""
    found: dict[str, bytes] = {}
    for path in paths:
        if path.name in found:
            raise ProveError(f"{path}: another attached file is called {path.name}, too")
        with refuse_os_errors(ProveError, f"{path}: cannot be read"):
            if path.stat().st_size > LARGEST:
                raise ProveError(f"{path}: is larger than {LARGEST >> 20} MiB")
            found[path.name] = path.read_bytes()
    return found
