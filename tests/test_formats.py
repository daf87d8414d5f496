"""Every file of a gateway states the version of its format, or is made again without loss."""

import json
import shutil
import sqlite3
import tomllib
from collections.abc import Callable
from contextlib import closing, suppress
from fnmatch import fnmatch
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from gateway_world import until
from served import served
from stillwatch.exchanges.sketched import FORM, FORMS
from stillwatch.gateway.control.owners import Owners, OwnersError
from stillwatch.gateway.record.wal import MAGIC
from upstream import Upstream


def user_version(path: Path) -> object:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def shapes(path: Path) -> object:
    with closing(sqlite3.connect(path)) as db:
        return dict(db.execute("SELECT part, version FROM shapes"))


def sketch_form(path: Path) -> object:
    form = (pq.read_schema(path).metadata or {})[FORM]
    return form if form in FORMS else None


def live_form(path: Path) -> object:
    with np.load(path) as file:
        return msgspec.json.decode(file["live"].tobytes())["form"]


def terms_version(path: Path) -> object:
    return tomllib.loads(path.read_text("utf-8"))["version"]


def writer(path: Path) -> object:
    return json.loads(path.read_bytes())["stillwatch"]


def magic(path: Path) -> object:
    return path.read_bytes().startswith(MAGIC)


# Pattern of the name below a gateway's folder -> how to read its version.
VERSIONED: dict[str, Callable[[Path], object]] = {
    "state.db": user_version,  # migrated step by step; a newer one is refused
    "objects.db": user_version,
    "cases.db": shapes,  # the same, for each part
    "segments/*/*.parquet": sketch_form,  # earlier forms are read as they are
    "wal/*.log": magic,
    "detector/live.npz": live_form,  # another form: it is made again from the segments
    "detector/findings.json": writer,  # fields are only added
    "detector/evidence.json": writer,
    "terms.toml": terms_version,
}
# Keys that are read by name: a missing one has its default, an unknown one is refused or ignored.
BY_NAME = (
    "serve.json",
    "terms-history.jsonl",
    "gaps.jsonl",
    "detector/handover.json",
    "retention_clock.json",
    "state.mark",
)
# Rewritten at each start, or from the segments: their versions would not matter.
MADE_ANEW = ("run/*", "lock", "*-wal", "*-shm", "wal/*", "detector/accounts.parquet", "detector/*.html")
# Listed by a file that states its version.
NAMED = ("detector/live.rows/*.npz",)
PLAIN = ("secret", "audit.key", "audit.key.pub")  # bytes of one length, PEM


@pytest.mark.slow
def test_each_file_of_a_gateway_says_its_version_or_needs_none() -> None:
    with Upstream() as up, served(up.url) as s:
        folder = s.folder.path
        for _ in range(3):
            assert s.ask() == 200
        until(lambda: list(folder.glob("segments/*/*.parquet")), what="a segment")
        until((folder / "detector/findings.json").exists, 60, "findings")
        with Owners(s.folder.objects) as owners:
            owners.assign("file-1", "acct_test", 1)
        seen, strange = set(), []
        assert s.stop() == 0
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = str(path.relative_to(folder))
            read = next((read for pattern, read in VERSIONED.items() if fnmatch(name, pattern)), None)
            if read is not None:
                assert read(path), name
                seen.add(next(pattern for pattern in VERSIONED if fnmatch(name, pattern)))
            elif not any(fnmatch(name, pattern) for pattern in (*BY_NAME, *MADE_ANEW, *PLAIN, *NAMED)):
                strange.append(name)
        assert strange == []  # add new files to the lists above
        assert set(VERSIONED) - seen <= {"wal/*.log"}  # the recorder has consumed them


def test_owners_of_an_earlier_form_are_taken_up_and_of_a_newer_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "objects.db"
    with Owners(path) as owners:
        owners.add("acct_1", [("file-1", "files")], 1, expected_new=True)
    assert user_version(path) == 1
    for form, taken in ((0, True), (1, True), (2, False)):
        copy = tmp_path / f"{form}.db"
        shutil.copy2(path, copy)
        with closing(sqlite3.connect(copy)) as db:
            db.execute(f"PRAGMA user_version = {form}")
        with Owners(copy) as owners:
            if taken:
                assert owners.owners(["file-1"]) == {"file-1": "acct_1"}
                continue
            with pytest.raises(OwnersError, match="newer"):
                owners.owners(["file-1"])
        with suppress(OwnersError):
            assert user_version(copy) == form
