"""Exports a case's evidence bundle: shows what leaves, asks, writes, and says how to check it."""

from pathlib import Path

from stillwatch.cases.bundle.export import prepare, release
from stillwatch.cases.bundle.gather import ScannedLog
from stillwatch.cases.reading import find
from stillwatch.cases.stamping import Authority
from stillwatch.cases.store import Store
from stillwatch.cli.folder import whoami
from stillwatch.cli.main import one_line
from stillwatch.cli.options import may_leave
from stillwatch.errors import InputError


def bundle(
    store: Store,
    case: str,
    out: Path | None,
    log: ScannedLog | None,
    with_set_aside: bool,
    *,
    yes: bool,
    now_us: int,
    stamped_by: Authority | None = None,
) -> None:
    """Export a case as an evidence bundle; with_set_aside: see `prepare`.

    Raises: InputError, BundleError, AuditError, RecordNotFound.
    """
    if out is None:
        raise InputError("a bundle is a folder or a .zip; --out names it")
    if out.exists():
        raise InputError(f"{out}: is there already; name another place")
    case_id, who = find(store, case), whoami()
    ready = prepare(store, case_id, who=who, now_us=now_us, log=log, with_set_aside=with_set_aside)
    beside = (
        () if stamped_by is None else (f"the SHA-256 of its manifest, to {stamped_by.url}, for a time stamp",)
    )
    may_leave(ready.leaving + beside, str(out), yes)
    file = release(store, ready, out, who=who, now_us=now_us, stamped_by=stamped_by)
    print(f"{one_line(str(file.path))}: {file.files} files, {file.bytes:,} bytes; manifest {file.sha256}")
    if file.stamped_at is not None:
        print(f"stamped {file.stamped_at:%Y-%m-%dT%H:%M:%SZ} by {one_line(file.stamped_by)}")
    checker = (
        "unpack it, then: python3 -I -S verify.py"
        if out.suffix == ".zip"
        else (f"python3 -I -S {one_line(str(out))}/verify.py")
    )
    print(f"check it: {checker} --key {file.key}")
    print("give the receiver that key by another way than the bundle")
